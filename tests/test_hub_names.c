/* test_hub_names.c - which texts are names on a hub, what they name, what the environment says, and
 * the hashes that files are known by. Nothing here uses a network. */
#include "nn/model.h"
#include "tests/pictures.h"
#include "weights/hub/cache.h"
#include "weights/hub/explain.h"
#include "weights/hub/hub.h"
#include "weights/hub/known.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static struct rudd_error err;

/* ---- names ----------------------------------------------------------------------------------- */

static void texts_that_are_names(void **state)
{
    (void)state;
    static const struct {
        const char *text, *repo, *revision;
        bool marked;
    } rows[] = {
        {"timm/tf_efficientnetv2_b0.in1k", "timm/tf_efficientnetv2_b0.in1k", "main", false},
        {"timm/x.in1k@v1", "timm/x.in1k", "v1", false},
        {"timm/x@refs/pr/1", "timm/x", "refs/pr/1", false},
        {"hf-hub:timm/x", "timm/x", "main", true},
        {"hf_hub:timm/x@abc", "timm/x", "abc", true},
        {"hf://timm/x", "timm/x", "main", true},
        {"hf://models/timm/x", "timm/x", "main", true},
        {"https://huggingface.co/timm/x", "timm/x", "main", true},
        {"https://huggingface.co/timm/x/", "timm/x", "main", true},
        {"https://huggingface.co/timm/x?a=b", "timm/x", "main", true},
        {"https://huggingface.co/timm/x/tree/v2", "timm/x", "v2", true},
        {"https://huggingface.co/timm/x/resolve/main/model.safetensors", "timm/x", "main", true},
        {"https://hf.co/timm/x/blob/v3/config.json", "timm/x", "v3", true},
        {"http://my.hub:8080/timm/x", "timm/x", "main", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hub_name n;
        const bool is_name = hub_name_parse(&n, rows[i].text, "http://my.hub:8080");
        if (!is_name) fail_msg("%s is no name", rows[i].text);
        assert_string_equal(n.repo, rows[i].repo);
        assert_string_equal(n.revision, rows[i].revision);
        assert_int_equal(n.marked, rows[i].marked);
    }
}

static void texts_that_are_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "/",
                                        "x",
                                        "timm/",
                                        "/x",
                                        "./x",
                                        "../x",
                                        "~/x",
                                        "timm/x/y",
                                        "/etc/passwd",
                                        "timm/..",
                                        "timm/x..y",
                                        "timm/x--y",
                                        "timm/-x",
                                        "timm/x.",
                                        "timm/x y",
                                        "timm/x%2f",
                                        "timm/x@",
                                        "timm/x@../y",
                                        "timm/x@/y",
                                        "timm/x@a//b",
                                        "timm/x@.git",
                                        "timm/x\n",
                                        "runs/model.safetensors",
                                        "runs/MODEL.PTH",
                                        "a/b.onnx",
                                        "a/b.h5",
                                        "a/b.keras",
                                        "https://example.com/timm/x",
                                        "https://huggingface.co/timm",
                                        "https://huggingface.co/timm/x/discussions",
                                        "https://huggingface.co/timm/x/tree/../y",
                                        "http://my.hub:80801/timm/x",
                                        "hf-hub:timm"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct hub_name n = {.repo = "untouched"};
        if (hub_name_parse(&n, texts[i], "http://my.hub:8080")) fail_msg("%s is a name", texts[i]);
        assert_string_equal(n.repo, "untouched");
    }
    char text[500] = "timm/"; /* as long as names may be, and one more */
    struct hub_name n;
    memset(text + 5, 'a', 96);
    text[101] = 0;
    assert_true(hub_name_parse(&n, text, NULL));
    memset(text + 5, 'a', 97);
    text[102] = 0;
    assert_false(hub_name_parse(&n, text, NULL));
}

static void addresses(void **state)
{
    (void)state;
    char url[HUB_URL];
    const struct hub_settings s = {.endpoint = "https://huggingface.co"};
    hub_address(url, &s, "timm/x", "refs/pr/1", "config.json");
    assert_string_equal(url, "https://huggingface.co/timm/x/resolve/refs%2Fpr%2F1/config.json");
}

/* Every name that is listed is a name, of an architecture that rudd has. */
static void what_is_known_works(void **state)
{
    (void)state;
    struct hub_name n;
    char text[200], near[200];
    int names = 0;
    for (int i = 0; hub_known(i); i++) {
        struct nn_model *m;
        assert_ptr_equal(hub_known_arch(hub_known(i)->arch), hub_known(i));
        assert_int_equal(nn_model_describe(&m, hub_known(i)->arch, 1000, &err), RUDD_OK);
        nn_model_destroy(m);
        for (const char *tag = hub_known(i)->tags; *tag; names++) {
            const size_t length = strcspn(tag, " ");
            snprintf(text, sizeof text, "timm/%s.%.*s", hub_known(i)->arch, (int)length, tag);
            assert_true(hub_name_parse(&n, text, NULL));
            assert_true(hub_is_known(text + 5));
            tag += length + (tag[length] == ' ');
        }
    }
    assert_true(names > 40);
    assert_false(hub_is_known("timm/efficientnet_b0.ra_in1k"));
    assert_true(hub_known_nearest(near, sizeof near, "timm/eficientnet_b0.ra_in1k"));
    assert_string_equal(near, "timm/efficientnet_b0.ra_in1k");
    assert_true(hub_known_nearest(near, sizeof near, "tf_efficientnetv2_b0"));
    assert_string_equal(near, "timm/tf_efficientnetv2_b0.in1k");
    assert_true(hub_known_nearest(near, sizeof near, "google/tf_efficientnet_b4.nonsense"));
    assert_string_equal(near, "timm/tf_efficientnet_b4.ns_jft_in1k");
    assert_false(hub_known_nearest(near, sizeof near, "bert-base-uncased"));
}

/* ---- paths and names ------------------------------------------------------------------------- */

/* What is here is meant; so is a path below a folder that is here. No network is asked. */
static void paths_win(void **state)
{
    (void)state;
    static const char *const missing[] = {"owner/fish", "no/such.pth", "x.h5", "owner/b.onnx"};
    char folder[64], *path;
    folder_create(folder);
    assert_int_equal(chdir(folder), 0);
    setenv("HF_ENDPOINT", "http://127.0.0.1:1", 1); /* nobody answers there */
    setenv("HF_HOME", "home", 1);
    assert_int_equal(mkdir("owner", 0777), 0);
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        assert_int_equal(weights_hub_locate(&path, missing[i], NULL, &err), RUDD_OK);
        assert_string_equal(path, missing[i]);
        rudd_free(path);
    }
    assert_int_equal(mkdir("owner/fish", 0777), 0);
    assert_int_equal(weights_hub_locate(&path, "owner/fish", NULL, &err), RUDD_OK);
    rudd_free(path);
    /* A marked name is a name all the same; so is one whose owner is no folder. */
    setenv("HF_HUB_OFFLINE", "1", 1);
    static const char *const names[] = {"hf-hub:owner/fish", "a/b", "efficientnet_b0.ra_in1k"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(weights_hub_locate(&path, names[i], NULL, &err), RUDD_IO);
        assert_non_null(strstr(err.message, "HF_HUB_OFFLINE"));
        const char *aside = strstr(err.message, "is here; as a name on the Hugging Face hub: ");
        assert_int_equal(i > 0, aside != NULL);
    }
    unsetenv("HF_HUB_OFFLINE");
    assert_int_equal(weights_hub_locate(&path, "tf_efficientnetv2_b0", NULL, &err), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, "such as timm/tf_efficientnetv2_b0.in1k"));
    struct weights_hub_found *found = rudd_zalloc(1, sizeof *found);
    assert_int_equal(weights_hub_fetch(found, "nothing at all", NULL, &err), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "expected the name of weights, owner/name"));
    const char *slip = "tf_efficientnetv2_b0.in21k";
    assert_int_equal(weights_hub_fetch(found, slip, NULL, &err), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "did you mean timm/tf_efficientnetv2_b0.in1k?"));
    rudd_free(found);
    assert_int_equal(chdir("/"), 0);
    folder_remove(folder);
}

/* ---- the environment ------------------------------------------------------------------------- */

static void clear_environment(void)
{
    static const char *const variables[] = {"HF_ENDPOINT",
                                            "HF_HOME",
                                            "HF_HUB_CACHE",
                                            "HUGGINGFACE_HUB_CACHE",
                                            "XDG_CACHE_HOME",
                                            "HF_TOKEN",
                                            "HUGGING_FACE_HUB_TOKEN",
                                            "HF_TOKEN_PATH",
                                            "HF_HUB_OFFLINE",
                                            "TRANSFORMERS_OFFLINE",
                                            "HF_HUB_ETAG_TIMEOUT",
                                            "HF_HUB_DOWNLOAD_TIMEOUT"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
    setenv("HOME", "/somebody", 1);
}

static void the_environment_decides(void **state)
{
    (void)state;
    struct hub_settings s;
    static const struct {
        const char *variable, *value, *cache;
    } caches[] = {{NULL, NULL, "/somebody/.cache/huggingface/hub"},
                  {"XDG_CACHE_HOME", "/x", "/x/huggingface/hub"},
                  {"HF_HOME", "~/h", "/somebody/h/hub"},
                  {"HUGGINGFACE_HUB_CACHE", "/old", "/old"},
                  {"HF_HUB_CACHE", "/c", "/c"}};
    clear_environment();
    for (size_t i = 0; i < sizeof caches / sizeof *caches; i++) { /* stronger and stronger */
        if (caches[i].variable) setenv(caches[i].variable, caches[i].value, 1);
        assert_int_equal(hub_settings_read(&s, &err), RUDD_OK);
        assert_string_equal(s.cache, caches[i].cache);
    }
    clear_environment();
    assert_int_equal(hub_settings_read(&s, &err), RUDD_OK);
    assert_string_equal(s.endpoint, "https://huggingface.co");
    assert_string_equal(s.token, "");
    assert_int_equal(s.etag_seconds, 10);
    assert_false(s.offline);
    setenv("HF_ENDPOINT", "https://mirror.example//", 1);
    setenv("TRANSFORMERS_OFFLINE", "yes", 1);
    setenv("HF_TOKEN", "\thf_abc \n", 1);
    setenv("HF_HUB_ETAG_TIMEOUT", "3", 1);
    assert_int_equal(hub_settings_read(&s, &err), RUDD_OK);
    assert_string_equal(s.endpoint, "https://mirror.example");
    assert_string_equal(s.token, "hf_abc");
    assert_int_equal(s.etag_seconds, 3);
    assert_true(s.offline);
    setenv("HF_TOKEN", "a\r\nX-Header: b", 1); /* would be a header line of its own */
    assert_int_equal(hub_settings_read(&s, &err), RUDD_OK);
    assert_string_equal(s.token, "");
}

static void senseless_values_are_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"HF_ENDPOINT", "ftp://x"},
                                          {"HF_ENDPOINT", "huggingface.co"},
                                          {"HF_ENDPOINT", "https://name:password@host"},
                                          {"HF_HUB_ETAG_TIMEOUT", "soon"},
                                          {"HF_HUB_DOWNLOAD_TIMEOUT", "-1"}};
    struct hub_settings s;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        clear_environment();
        setenv(rows[i][0], rows[i][1], 1);
        assert_int_equal(hub_settings_read(&s, &err), RUDD_ARGUMENT);
        assert_non_null(strstr(err.message, rows[i][0]));
    }
    char longest[HUB_PATH];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    clear_environment();
    setenv("HF_HOME", longest, 1);
    assert_int_equal(hub_settings_read(&s, &err), RUDD_ARGUMENT);
    clear_environment();
}

/* ---- hashes ---------------------------------------------------------------------------------- */

/* Known SHA-1s, at every cut in two; text of two blocks; and git's name of a file. */
static void hashes_are_right(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
                                          {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
                                          {"a", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"}};
    char hex[HUB_SHA1_HEX];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const size_t n = strlen(rows[i][0]);
        for (size_t cut = 0; cut <= n; cut++) {
            struct hub_sha1 s;
            hub_sha1_init(&s);
            hub_sha1_update(&s, rows[i][0], cut);
            hub_sha1_update(&s, rows[i][0] + cut, n - cut);
            hub_sha1_hex(hex, &s);
            assert_string_equal(hex, rows[i][1]);
        }
    }
    struct hub_sha1 blocks;
    hub_sha1_init(&blocks);
    hub_sha1_update(&blocks, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56);
    hub_sha1_hex(hex, &blocks);
    assert_string_equal(hex, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    const char *git = "ce013625030ba8dba906f756967f9e9ca394464a"; /* git hash-object */
    struct hub_digest d;
    struct hub_digest_hex both;
    hub_digest_init(&d, git, 6);
    hub_digest_update(&d, "hello\n", 6);
    hub_digest_hex(&both, &d);
    assert_string_equal(both.git, git);
    assert_string_equal(both.sha256, "5891b5b522d5df086d0ff0b110fbd9d2"
                                     "1bb4fc7163af34d08286a2e846f6be03");
    assert_int_equal(hub_hash_kind(both.git), HUB_HASH_GIT);
    assert_int_equal(hub_hash_kind(both.sha256), HUB_HASH_SHA256);
    assert_int_equal(hub_hash_kind("5891b5b5-2"), HUB_HASH_NONE);
    assert_int_equal(hub_digest_check(&both, "some-etag", NULL, "x", &err), RUDD_OK);
    assert_int_equal(hub_digest_check(&both, both.sha256, both.sha256, "x", &err), RUDD_OK);
    both.git[0] = '0';
    assert_int_equal(hub_digest_check(&both, git, NULL, "x", &err), RUDD_MISMATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_are_names),
        cmocka_unit_test(texts_that_are_none),
        cmocka_unit_test(addresses),
        cmocka_unit_test(what_is_known_works),
        cmocka_unit_test(paths_win),
        cmocka_unit_test(the_environment_decides),
        cmocka_unit_test(senseless_values_are_refused),
        cmocka_unit_test(hashes_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
