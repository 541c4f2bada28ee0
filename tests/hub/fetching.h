/* fetching.h - what the tests of weights by name share: a fake hub with one repository,
 * timm/test.in1k, an empty cache for each test, and the environment of nobody. */
#ifndef TESTS_HUB_FETCHING_H
#define TESTS_HUB_FETCHING_H

#include "tests/hub/fake_hub.h"
#include "tests/pictures.h"
#include "weights/hub/hub.h"
#include "weights/model_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char name[] = "timm/test.in1k";
static const char config[] = "{\"architecture\":\"mobilenetv2_035\",\"num_classes\":3,"
                             "\"pretrained_cfg\":{\"input_size\":[3,96,96],\"crop_pct\":0.9,"
                             "\"interpolation\":\"bilinear\"}}";
static char folder[64], cache[128];
static struct bytes weights, other;
static struct rudd_error err;
static struct weights_hub_found found;

/* ---- a hub with one repository --------------------------------------------------------------- */

HELPER struct bytes read_whole(const char *path)
{
    struct stat st;
    struct bytes b;
    const int fd = open(path, O_RDONLY);
    if (fd < 0) fail_msg("%s is not there", path);
    assert_int_equal(fstat(fd, &st), 0);
    b.length = (size_t)st.st_size;
    b.at = malloc(b.length + 1);
    assert_int_equal(read(fd, b.at, b.length), (ssize_t)b.length);
    close(fd);
    return b;
}

/* A weights file with these random numbers. */
HELPER struct bytes make_weights(uint64_t seed)
{
    char path[128];
    struct nn_model *m;
    snprintf(path, sizeof path, "%s/made.safetensors", folder);
    assert_int_equal(nn_model_create(&m, "mobilenetv2_035", 3, &err), RUDD_OK);
    nn_model_init_params(m, seed, NULL);
    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    nn_model_destroy(m);
    return read_whole(path);
}

HELPER int make_all(void **state)
{
    (void)state;
    folder_create(folder);
    weights = make_weights(1);
    other = make_weights(2);
    return 0;
}

HELPER int free_all(void **state)
{
    (void)state;
    folder_remove(folder);
    free(weights.at);
    free(other.at);
    return 0;
}

HELPER void set_endpoint(int port)
{
    char text[64];
    snprintf(text, sizeof text, "http://127.0.0.1:%d", port);
    setenv("HF_ENDPOINT", text, 1);
}

/* Each test has an empty cache, a hub that is well, and the environment of nobody. */
HELPER int begin(void **state)
{
    static const char *const variables[] = {"HF_TOKEN",
                                            "HUGGING_FACE_HUB_TOKEN",
                                            "HF_TOKEN_PATH",
                                            "HF_HUB_CACHE",
                                            "HUGGINGFACE_HUB_CACHE",
                                            "http_proxy",
                                            "HF_HUB_OFFLINE",
                                            "TRANSFORMERS_OFFLINE",
                                            "no_proxy",
                                            "all_proxy",
                                            "NO_PROXY",
                                            "https_proxy",
                                            "HF_HUB_DOWNLOAD_TIMEOUT",
                                            "ALL_PROXY"};
    char home[96];
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
    snprintf(home, sizeof home, "%s/home", folder);
    if (!access(home, F_OK)) folder_remove(home);
    setenv("HF_HOME", home, 1);
    snprintf(cache, sizeof cache, "%s/hub/models--timm--test.in1k", home);
    hub_start();
    hub_put(name, "config.json", config, sizeof config - 1, false);
    hub_put(name, "model.safetensors", weights.at, weights.length, true);
    set_endpoint(hub.port);
    err = (struct rudd_error){RUDD_OK, ""};
    return 0;
}

HELPER int end(void **state)
{
    (void)state;
    hub_stop();
    return 0;
}

HELPER enum rudd_status fetch_as(const char *what, const struct weights_hub_options *options)
{
    struct weights_hub_options o = options ? *options : (struct weights_hub_options){0};
#ifndef HAVE_LIBCURL
    skip(); /* nothing comes without it */
#endif
    o.retry_ms = 1;
    return weights_hub_fetch(&found, what, &o, &err);
}

HELPER void assert_says(const char *words)
{
    if (!strstr(err.message, words)) fail_msg("\"%s\" does not say \"%s\"", err.message, words);
    assert_null(strchr(err.message, '\n'));
}

HELPER void assert_fetched(struct bytes expected)
{
    const struct bytes b = read_whole(found.file);
    assert_int_equal(b.length, expected.length);
    assert_memory_equal(b.at, expected.at, b.length);
    free(b.at);
}

/* How many files lie in a folder of the cache. */
HELPER int count_in(const char *part)
{
    char command[256];
    int count = -1;
    snprintf(command, sizeof command, "ls '%s/%s' 2>/dev/null | wc -l", cache, part);
    FILE *f = popen(command, "r");
    assert_int_equal(fscanf(f, "%d", &count), 1);
    pclose(f);
    return count;
}

/* Stops when so many bytes are there. */
struct stopper {
    uint64_t after, done;
    int notes;
};

HELPER void count_tick(void *user, const struct weights_hub_tick *t)
{
    struct stopper *s = user;
    if (!strcmp(t->file, "model.safetensors")) s->done = t->done;
}

HELPER void count_note(void *user, const char *line)
{
    struct stopper *s = user;
    assert_null(strchr(line, '\n'));
    s->notes++;
}

HELPER bool is_enough(void *user)
{
    const struct stopper *s = user;
    return s->done >= s->after;
}

/* The size of the part; -1: there is none. */
HELPER long part_size(void)
{
    char path[400];
    struct stat st;
    snprintf(path, sizeof path, "%s/blobs/%s.incomplete", cache, hub.files[1].etag);
    return stat(path, &st) ? -1 : (long)st.st_size;
}

#endif
