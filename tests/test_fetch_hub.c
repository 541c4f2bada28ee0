/* test_fetch_hub.c - weights by name: tokens, proxies, answers that are none, no network, and
 * several processes at a time. */
#include "tests/hub/fetching.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

/* ---- who may see what ------------------------------------------------------------------------ */

/* The token goes to the hub, and not to the host that the hub redirects to. */
static void the_token_stays_with_the_hub(void **state)
{
    (void)state;
    setenv("HF_TOKEN", " hf_secret\n", 1);
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_true(hub.tokens_at_hub > 0);
    assert_int_equal(hub.tokens_at_network, 0);
    /* From the file that `hf auth login` writes. */
    char path[128];
    unsetenv("HF_TOKEN");
    snprintf(path, sizeof path, "%s/token", getenv("HF_HOME"));
    file_write(path, (struct bytes){(uint8_t *)(uintptr_t) "hf_secret", 9});
    folder_remove(cache);
    const int before = hub.tokens_at_hub;
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_true(hub.tokens_at_hub > before);
    assert_int_equal(hub.tokens_at_network, 0);
    setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
    const int then = hub.tokens_at_hub;
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    unsetenv("HF_HUB_DISABLE_IMPLICIT_TOKEN");
    assert_int_equal(hub.tokens_at_hub, then);
}

/* ---- no answer, and bad ones ----------------------------------------------------------------- */

static void bad_answers_are_told(void **state)
{
    (void)state;
    static const struct {
        int http;
        const char *code, *token, *words;
    } rows[] = {
        {401, "RepoNotFound", NULL, "found no such name on http://127.0.0.1"},
        {401, "GatedRepo", NULL, "make a token in your settings there, and set HF_TOKEN"},
        {403, "GatedRepo", "hf_x", "its owner gives it only to those who accepted his conditions"},
        {401, NULL, "hf_x", "does not accept your token"},
        {403, NULL, NULL, "forbids it (403)"},
        {404, NULL, NULL, "found no such name"},
        {407, NULL, NULL, "the proxy asks for a name and a password"},
        {429, NULL, NULL, "too many requests (429): wait 7 seconds and try again; with HF_TOKEN"},
        {503, NULL, NULL, "answers with error 503: it has trouble of its own; try again later"},
        {418, NULL, NULL, "answers with error 418"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hub.status = rows[i].http;
        hub.code = rows[i].code;
        if (rows[i].token)
            setenv("HF_TOKEN", rows[i].token, 1);
        else
            unsetenv("HF_TOKEN");
        assert_int_not_equal(fetch_as(name, NULL), RUDD_OK);
        assert_says(rows[i].words);
        assert_null(strstr(err.message, "hf_x"));
    }
    hub.status = 0;
    assert_int_equal(fetch_as("tim/tf_efficientnetv2_b0.in1k", NULL), RUDD_MISMATCH);
    assert_says("did you mean timm/tf_efficientnetv2_b0.in1k?");
}

/* A page instead of a file: a network that wants a login. */
static void a_page_is_no_file(void **state)
{
    (void)state;
    hub.page = true;
    assert_int_equal(fetch_as(name, NULL), RUDD_FORMAT);
    assert_says("answers with a page, not with a file of a hub (HTTP 200)");
    assert_int_equal(count_in("blobs"), 0);
    hub.page = false;
    hub.forget_commit = true;
    assert_int_equal(fetch_as(name, NULL), RUDD_FORMAT);
}

/* Without a network: from the cache, or the address to open elsewhere. */
static void without_a_network(void **state)
{
    (void)state;
    const char *address;
    const int port = hub.port;
    set_endpoint(1); /* nobody listens there */
    address = "open http://127.0.0.1:1/timm/test.in1k/resolve/main/model.safetensors in a browser";
    assert_int_equal(fetch_as(name, NULL), RUDD_IO);
    assert_says("no connection to http://127.0.0.1:1");
    assert_says(address);
    assert_says("--weights FILE");
    set_endpoint(port);
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    set_endpoint(1);
    struct stopper s = {.after = UINT64_MAX};
    const struct weights_hub_events events = {.user = &s, .note = count_note};
    assert_int_equal(fetch_as(name, &(struct weights_hub_options){.events = &events}), RUDD_OK);
    assert_int_equal(s.notes, 1);
    assert_fetched(weights);
}

/* HF_HUB_OFFLINE: not one question, also with a hub that would answer. */
static void offline_is_offline(void **state)
{
    (void)state;
    setenv("HF_HUB_OFFLINE", "1", 1);
    assert_int_equal(fetch_as(name, NULL), RUDD_IO);
    assert_says("HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids the network");
    assert_says("/resolve/main/model.safetensors in a browser");
    assert_int_equal(hub.heads, 0);
    unsetenv("HF_HUB_OFFLINE");
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    setenv("TRANSFORMERS_OFFLINE", "ON", 1);
    const int heads = hub.heads;
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_int_equal(hub.heads, heads);
    assert_fetched(weights);
}

static void proxies_are_used(void **state)
{
    (void)state;
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", hub.port);
    setenv("http_proxy", proxy, 1);
    setenv("no_proxy", "localhost", 1);
    setenv("HF_ENDPOINT", "http://hub.invalid", 1);
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_true(hub.proxied >= 4); /* both files: asked for, and brought */
    assert_fetched(weights);
}

/* ---- several at a time ----------------------------------------------------------------------- */

static pid_t start_rudd(const char *const *words)
{
    char binary[4096];
    const char *argv[20] = {binary};
    const ssize_t n = readlink("/proc/self/exe", binary, sizeof binary - 64);
    assert_true(n > 0);
    binary[n] = 0;
    snprintf(strrchr(binary, '/'), 64, "/../rudd");
    for (int i = 0; words[i]; i++) argv[i + 1] = words[i];
    const pid_t pid = fork();
    if (pid == 0) {
        const int out = open("/dev/null", O_WRONLY);
        dup2(out, 1);
        dup2(out, 2);
        execv(binary, (char **)(uintptr_t)argv);
        _exit(127);
    }
    return pid;
}

static int wait_for(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(...) wait_for(start_rudd((const char *const[]){__VA_ARGS__, NULL}))

/* Of two processes one brings the file, the other waits for it. */
static void two_processes_fetch_once(void **state)
{
    (void)state;
    const char *const words[] = {"fetch", name, NULL};
    hub.wait_ms = 300;
    const pid_t a = start_rudd(words), b = start_rudd(words);
    assert_int_equal(wait_for(a), 0);
    assert_int_equal(wait_for(b), 0);
    assert_int_equal(hub.downloads, 2);
    setenv("HF_HUB_OFFLINE", "1", 1);
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_fetched(weights);
}

/* The commands take a name where they take a file. */
static void commands_take_names(void **state)
{
    (void)state;
    char out[96], copy[96], path[128];
    struct nn_model *m;
    snprintf(out, sizeof out, "%s/out.safetensors", folder);
    snprintf(copy, sizeof copy, "%s/copy", folder);
    assert_int_equal(RUN("import", "hf-hub:timm/test.in1k", "-o", out), 0);
    assert_int_equal(weights_model_load(&m, out, NULL, NULL, &err), RUDD_OK);
    assert_string_equal(m->arch, "mobilenetv2_035");
    assert_int_equal(m->preprocess.image_size, 96); /* config.json's */
    nn_model_destroy(m);
    assert_int_equal(RUN("inspect", name, "--json"), 0);
    assert_int_equal(RUN("fetch", name, "-o", copy), 0);
    snprintf(path, sizeof path, "%s/model.safetensors", copy);
    struct bytes b = read_whole(path);
    assert_int_equal(b.length, weights.length);
    assert_memory_equal(b.at, weights.at, b.length);
    free(b.at);
    snprintf(path, sizeof path, "%s/config.json", copy);
    assert_int_equal(access(path, R_OK), 0);
    assert_int_equal(RUN("fetch", name, "-o", out), 2); /* a file's name for a folder */
    assert_int_equal(RUN("fetch", "no-name"), 2);
    assert_int_equal(RUN("fetch", "timm/none"), 1);
    assert_int_equal(RUN("fetch", "--list"), 0);
}

/* Training starts from a name; the record keeps the name, so that it can be repeated anywhere. */
static void training_takes_names(void **state)
{
    (void)state;
    char data[96], run[96], path[128];
    snprintf(data, sizeof data, "%s/pictures", folder);
    snprintf(run, sizeof run, "%s/run", folder);
    for (int i = 0; i < 8; i++) {
        char file[64];
        snprintf(file, sizeof file, "%s/%d.jpg", i % 2 ? "perch" : "pike", i);
        mkdir(data, 0777);
        picture_put(data, file, 64, 64, i);
    }
    const char *const words[] = {
        "train",    "--data", data,      "--split", "0.5,0.5,0",    "--weights", name,       "--out", run,
        "--epochs", "1",      "--batch", "4",       "--image-size", "32",        "--freeze", "all",   NULL,
    };
    assert_int_equal(wait_for(start_rudd(words)), 0);
    snprintf(path, sizeof path, "%s/run.json", run);
    const struct bytes record = read_whole(path);
    record.at[record.length] = 0;
    assert_non_null(strstr((const char *)record.at, "\"timm/test.in1k\""));
    assert_non_null(strstr((const char *)record.at, hub.files[1].etag)); /* the weights' SHA-256 */
    free(record.at);
}

/* A host that takes connections and says nothing: given up, not asked again and again. */
static void a_silent_host_is_given_up(void **state)
{
    (void)state;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&here, &length), 0);
    set_endpoint(ntohs(here.sin_port));
    setenv("HF_HUB_ETAG_TIMEOUT", "1", 1);
    assert_int_equal(fetch_as(name, NULL), RUDD_IO);
    unsetenv("HF_HUB_ETAG_TIMEOUT");
    assert_says("no connection to http://127.0.0.1:");
    int connections = 0;
    fcntl(listener, F_SETFL, O_NONBLOCK);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; connections++) close(fd);
    assert_int_equal(connections, 1);
    close(listener);
}

/* A process that is killed leaves a part that the next one goes on from. */
static void a_killed_process_leaves_the_part(void **state)
{
    (void)state;
    const char *const words[] = {"fetch", name, NULL};
    const struct timespec moment = {.tv_nsec = 10000000};
    hub.cuts = 1000;
    hub.cut_after = 200000;
    hub.wait_ms = 200;
    const pid_t pid = start_rudd(words);
    for (int i = 0; i < 3000 && part_size() < 200000; i++) nanosleep(&moment, NULL);
    kill(pid, SIGKILL);
    wait_for(pid);
    const long there = part_size();
    assert_true(there >= 200000 && there < (long)weights.length);
    hub.cuts = 0;
    char range[64];
    snprintf(range, sizeof range, "bytes=%ld-", there);
    assert_int_equal(fetch_as(name, NULL), RUDD_OK);
    assert_string_equal(hub.last_range, range);
    assert_fetched(weights);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(the_token_stays_with_the_hub),
        TEST(bad_answers_are_told),
        TEST(a_page_is_no_file),
        TEST(without_a_network),
        TEST(offline_is_offline),
        TEST(proxies_are_used),
        TEST(two_processes_fetch_once),
        TEST(commands_take_names),
        TEST(training_takes_names),
        TEST(a_silent_host_is_given_up),
        TEST(a_killed_process_leaves_the_part),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
