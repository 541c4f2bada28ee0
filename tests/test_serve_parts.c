/* test_serve_parts.c - the server's parts that need no child process: parsers, bounded bytes, creation without memory. */
#include "serve/bytes.h"
#include "serve/request.h"
#include "serve/server.h"
#include "serve/store_images.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <setjmp.h>
#include <cmocka.h>

static void base64_follows_the_rfc(void **state)
{
    (void)state;
    static const char *const good[][2] = {/* RFC 4648, section 10 */
                                          {"", ""},
                                          {"Zg==", "f"},
                                          {"Zm8=", "fo"},
                                          {"Zm9v", "foo"},
                                          {"Zm9vYg==", "foob"},
                                          {"Zm9vYmE=", "fooba"},
                                          {"Zm9vYmFy", "foobar"},
                                          {"Zm 9v\r\nYmE", "fooba"},
                                          {"-_-_", "\xfb\xff\xbf"}};
    static const char *const bad[] = {"Z", "Zm9vY", "Zg=", "Zg===", "=", "Zg==Zg==", "Zm9v!", "Zm=v"};
    uint8_t out[32];
    size_t n;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(serve_base64_parse(out, &n, good[i][0], strlen(good[i][0])));
        assert_int_equal(n, strlen(good[i][1]));
        assert_memory_equal(out, good[i][1], n);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(serve_base64_parse(out, &n, bad[i], strlen(bad[i])));
}

static void listen_takes_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        int port;
    } good[] = {{"127.0.0.1:80", "127.0.0.1", 80},   {":0", "127.0.0.1", 0}, {"8080", "127.0.0.1", 8080},
                {"0.0.0.0:65535", "0.0.0.0", 65535}, {"[::1]:9", "::1", 9},  {"localhost:1", "localhost", 1}};
    static const char *const bad[] = {"", ":", "x", "a:b", "1.2.3.4:65536", "::1:80", "host:", "host:-1", "host:99999999999"};
    struct rudd_error err;
    char host[256];
    int port;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(serve_listen_parse(host, &port, good[i].text, &err), RUDD_OK);
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(serve_listen_parse(host, &port, bad[i], &err), RUDD_ARGUMENT);
}

/* top_k counts from 1, is cut at the class count, and anything but digits is refused. */
static void top_k_is_a_count(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int k; /* 0: refused */
    } cases[] = {{NULL, 3}, {"1", 1},  {"7", 7},   {"007", 7}, {"1000", 50}, {"99999999999999999999", 50}, {"0", 0}, {"000", 0},
                 {"-1", 0}, {"+1", 0}, {"1e1", 0}, {" 1", 0},  {"", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct serve_problem p = {0};
        int k = 0;
        assert_int_equal(serve_top_k_parse(&k, cases[i].text, 3, 50, &p), cases[i].k > 0);
        assert_int_equal(k, cases[i].k);
        assert_int_equal(p.http, cases[i].k ? 0 : 400);
    }
}

static void accept_chooses_the_face(void **state)
{
    (void)state;
    assert_false(serve_accepts_json(NULL));
    assert_false(serve_accepts_json("*/*"));
    assert_false(serve_accepts_json("text/html,application/json;q=0.9"));
    assert_true(serve_accepts_json("application/json"));
    assert_true(serve_accepts_json("Application/JSON, text/plain"));
}

/* A block never grows past its bound, whatever the pieces, and what was refused left no trace. */
static void bytes_keep_their_bound(void **state)
{
    (void)state;
    enum { MAX = 5000 };
    struct serve_bytes b = {0};
    uint8_t piece[999];
    for (size_t n = 1; n < sizeof piece; n = n * 3 + 1) {
        memset(piece, (int)n, n);
        while (!serve_bytes_add(&b, piece, n, MAX)) assert_int_equal(b.data[b.length - 1], (uint8_t)n);
        assert_true(b.length <= MAX && b.length + n > MAX);
        b.length = b.length / 2;
    }
    assert_int_equal(serve_bytes_add(&b, piece, SIZE_MAX / 2, SIZE_MAX), RUDD_NO_MEMORY);
    rudd_free(b.data);
}

static int allow_some(void *user, size_t bytes)
{
    (void)bytes;
    int *left = user;
    return (*left)-- > 0;
}

/* Whichever allocation fails, creating a server fails cleanly (leaks and wild frees are the sanitizers' part). */
static void create_without_memory(void **state)
{
    (void)state;
    struct serve_options options = serve_options_default;
    struct rudd_error err;
    options.listen = "127.0.0.1:0";
    int fatal = 0;
    for (enum rudd_status status = RUDD_NO_MEMORY; status != RUDD_OK; fatal++) {
        struct serve_server *s = NULL;
        int left = fatal;
        rudd_set_alloc_hook(allow_some, &left);
        status = serve_server_create(&s, &options, &err);
        rudd_set_alloc_hook(NULL, NULL);
        assert_true(status == RUDD_OK ? s != NULL : status == RUDD_NO_MEMORY && !s);
        serve_server_destroy(s);
    }
    assert_true(fatal > 3); /* it did fail a few times */
}

/* ---- kept pictures ---------------------------------------------------------------------------------------------------------------- */

static char kept[64];

/* A path in kept; the file is made if days >= 0, last changed so many days ago. */
static const char *kept_file(const char *name, int days)
{
    static char path[300];
    struct timespec times[2] = {{0}};
    snprintf(path, sizeof path, "%s/%s", kept, name);
    if (days < 0) return path;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &times[1]), 0);
    times[1].tv_sec -= days * 86400;
    times[0] = times[1];
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    return path;
}

#define DIGITS "34567890abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Pictures past their age are deleted, whoever sent them; those sent again lately are not, nor is what is none of ours. */
static void old_pictures_go(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int days, stays;
    } files[] = {{"ab/ab" DIGITS ".jpg", 3, 0},    {"ab/ab" DIGITS ".png", 1, 1}, {"ab/ac" DIGITS ".jpg", 3, 1},
                 {"ab/notes.txt", 3, 1},           {"ab/ab" DIGITS ".txt", 3, 1}, {"00/00" DIGITS ".png", 400, 0},
                 {"album/ab" DIGITS ".jpg", 3, 1}, {"ab" DIGITS ".jpg", 3, 1},    {"cd/cd" DIGITS ".png", 3, 1},
                 {"cd/cd" DIGITS ".webp", 3, 0}};
    enum { FILES = sizeof files / sizeof *files };
    struct serve_images *images;
    struct serve_images_stats stats;
    struct serve_bytes bytes = {0};
    char command[128];
    snprintf(kept, sizeof kept, "/tmp/rudd-test-kept-XXXXXX");
    assert_non_null(mkdtemp(kept));
    const char *folders[] = {"ab", "00", "album", "cd"};
    for (int i = 0; i < 4; i++) assert_int_equal(mkdir(kept_file(folders[i], -1), 0777), 0);
    for (int i = 0; i < FILES; i++) kept_file(files[i].name, files[i].days);
    /* Without a limit nothing goes; the PNG in cd/ is sent once more. */
    assert_int_equal(serve_images_create(&images, kept, 0, NULL), RUDD_OK);
    assert_int_equal(serve_bytes_add(&bytes, "\x89PNG\r\n\x1a\n", 8, SIZE_MAX), RUDD_OK);
    serve_images_keep(images, "cd" DIGITS, &bytes);
    serve_images_destroy(images);
    for (int i = 0; i < FILES; i++) assert_int_equal(access(kept_file(files[i].name, -1), F_OK), 0);
    assert_int_equal(serve_images_create(&images, kept, 2, NULL), RUDD_OK);
    for (stats.expired = 0; stats.expired < 3; usleep(1000)) serve_images_get_stats(&stats, images);
    serve_images_destroy(images);
    assert_int_equal(stats.expired, 3);
    for (int i = 0; i < FILES; i++) assert_int_equal(!access(kept_file(files[i].name, -1), F_OK), files[i].stays);
    snprintf(command, sizeof command, "rm -r '%s'", kept);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(base64_follows_the_rfc), cmocka_unit_test(listen_takes_every_form),
                                       cmocka_unit_test(top_k_is_a_count),       cmocka_unit_test(accept_chooses_the_face),
                                       cmocka_unit_test(bytes_keep_their_bound), cmocka_unit_test(create_without_memory),
                                       cmocka_unit_test(old_pictures_go)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
