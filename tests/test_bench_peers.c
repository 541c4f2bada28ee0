/* test_bench_peers.c - rudd-bench peers as a whole, with a shell script in the place of a peer or
 * of another build: its rows at rest and beside busy loops. No time is judged. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], script[128];

/* A program that says what a shell makes of the text, whatever its arguments are. */
static void write_script(const char *text)
{
    FILE *f = fopen(script, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "#!/bin/sh\n%s\n", text) > 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(script, 0700), 0);
}

static int make_folder(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/rudd-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder)) return -1;
    snprintf(script, sizeof script, "%s/script", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(script);
    return rmdir(folder);
}

/* Runs `rudd-bench peers` on the smallest network, its errors among its output. Its status. */
static int run_peers(char *out, size_t size, const char *arguments)
{
    char path[4096], command[8192];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
    assert_true(n > 0);
    path[n] = 0;
    strcpy(strrchr(path, '/'), "/../rudd-bench");
    /* One thread: several wait for each other, for long where loops run. */
    const char *form = "%s peers --arch rudd_nano --size 32 --rounds 6 --threads 1 --python %s "
                       "--only %s 2>&1";
    snprintf(command, sizeof command, form, path, script, arguments);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    out[fread(out, 1, size - 1, f)] = 0;
    const int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The next line of JSON; moves *text behind it. */
static json_t *next_line(const char **text)
{
    const char *end = strchr(*text, '\n');
    assert_non_null(end);
    json_t *line = json_loadb(*text, (size_t)(end - *text), 0, NULL);
    if (!line) fail_msg("no JSON: %s", *text);
    *text = end + 1;
    return line;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("no number %s", key);
    return json_number_value(value);
}

/* low <= middle <= high */
static void assert_within(const json_t *object, const char *interval, const char *middle)
{
    const json_t *ends = json_object_get(object, interval);
    assert_int_equal(json_array_size(ends), 2);
    assert_true(json_number_value(json_array_get(ends, 0)) <= number(object, middle));
    assert_true(json_number_value(json_array_get(ends, 1)) >= number(object, middle));
}

static const char good_peer[] = "echo ready fake 1.0; while read x; do echo 2.5 1e-6; done";

/* At rest and beside loops the same are measured, and each line says which it is. */
static void a_row_has_a_twin_beside_loops(void **state)
{
    (void)state;
    static char out[16384];
    const char *at = out;
    write_script(good_peer);
    assert_int_equal(run_peers(out, sizeof out, "torch --beside 2 --json"), 0);
    for (int beside = 0; beside <= 2; beside += 2) {
        json_t *line = next_line(&at);
        assert_true(number(line, "beside") == beside);
        assert_within(line, "rudd_quartiles_ms", "rudd_ms");
        const json_t *peer = json_array_get(json_object_get(line, "peers"), 0);
        assert_true(number(peer, "median_ms") == 2.5);
        assert_within(peer, "quartiles_ms", "median_ms");
        assert_within(peer, "ratio_interval", "ratio");
        json_decref(line);
    }
    assert_int_equal(*at, 0);
    assert_int_equal(run_peers(out, sizeof out, "torch --beside 0 --json"), 0);
    at = out;
    json_decref(next_line(&at));
    assert_int_equal(*at, 0);
    assert_int_equal(run_peers(out, sizeof out, "torch --beside 2"), 0);
    assert_non_null(strstr(out, "the same, beside 2 busy loops"));
    assert_int_equal(run_peers(out, sizeof out, "torch --beside 0"), 0);
    assert_null(strstr(out, "busy loops"));
}

/* A peer that gives up takes nobody with it; five rounds are too few for an interval. */
static void a_failed_peer_has_no_figures(void **state)
{
    (void)state;
    static char out[16384];
    const char *at = out;
    write_script("echo ready fake 1.0; read x; echo failed tired");
    assert_int_equal(run_peers(out, sizeof out, "torch --beside 1 --json"), 0);
    for (int i = 0; i < 2; i++) {
        json_t *line = next_line(&at);
        const json_t *peer = json_array_get(json_object_get(line, "peers"), 0);
        assert_string_equal(json_string_value(json_object_get(peer, "failed")), "tired");
        assert_null(json_object_get(peer, "ratio"));
        json_decref(line);
    }
    write_script("echo ready fake 1.0; read x; echo 0 1e-6");
    assert_int_equal(run_peers(out, sizeof out, "torch --beside 0"), 0);
    assert_non_null(strstr(out, "failed: gave a time of 0 ms"));
    write_script(good_peer);
    assert_int_equal(run_peers(out, sizeof out, "torch --beside 0 --rounds 5 --json"), 0);
    assert_non_null(strstr(out, "\"ratio_interval\":null"));
}

/* Another build is one more contestant in every row, and this build is asked in the same way. */
static void another_build_takes_part(void **state)
{
    (void)state;
    static char out[16384], arguments[256];
    const char *at = out;
    write_script("echo \"$@\" >> \"$0.log\"; echo '{\"median_ms\":2.5}'; echo and more");
    snprintf(arguments, sizeof arguments, "none --beside 1 --json --old %s", script);
    assert_int_equal(run_peers(out, sizeof out, arguments), 0);
    for (int beside = 0; beside < 2; beside++) {
        json_t *line = next_line(&at);
        const json_t *old = json_object_get(line, "old");
        assert_true(number(line, "beside") == beside);
        assert_true(number(old, "median_ms") == 2.5 && number(old, "this_build_ms") > 0);
        assert_within(old, "this_build_quartiles_ms", "this_build_ms");
        assert_within(old, "ratio_interval", "ratio");
        assert_int_equal(json_array_size(json_object_get(line, "peers")), 0);
        json_decref(line);
    }
    char log[160], asked[256];
    snprintf(log, sizeof log, "%s.log", script);
    FILE *f = fopen(log, "r");
    assert_true(f && fgets(asked, sizeof asked, f));
    fclose(f);
    unlink(log);
    assert_non_null(strstr(asked, "infer --arch rudd_nano --size 32 --batch 1"));
    assert_null(strstr(asked, "--beside")); /* an old build does not know it */
}

/* Whatever is wrong with it is said in its place, and the row goes on. */
static void a_bad_build_is_described(void **state)
{
    (void)state;
    static const char *const bad[][2] = {{"exit 3", "failed: ended without an answer: exit"},
                                         {"echo hello", "failed: said \"hello\"; expected JSON"},
                                         {"echo '{\"median_ms\":0}'", "expected JSON with"},
                                         {"echo '[]'", "expected JSON with a median_ms"}};
    static char out[16384], arguments[256];
    snprintf(arguments, sizeof arguments, "none --beside 0 --old %s", script);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_script(bad[i][0]);
        assert_int_equal(run_peers(out, sizeof out, arguments), 0);
        if (!strstr(out, bad[i][1])) fail_msg("%s: %s", bad[i][0], out);
    }
    assert_int_equal(run_peers(out, sizeof out, "none --old /nowhere/rudd-bench"), 1);
    assert_non_null(strstr(out, "--old: /nowhere/rudd-bench: No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_has_a_twin_beside_loops),
        cmocka_unit_test(a_failed_peer_has_no_figures),
        cmocka_unit_test(another_build_takes_part),
        cmocka_unit_test(a_bad_build_is_described),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
