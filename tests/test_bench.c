/* test_bench.c - rudd-bench's talk with other engines: their lines, and peers (small shell scripts) that behave well, badly or not at all. */
#include "bench/bench.h"
#include "bench/peer.h"
#include "nn/trace.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static struct rudd_error err;

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static void sound_lines_are_taken_apart(void **state)
{
    (void)state;
    struct bench_answer a;
    assert_true(bench_answer_parse(&a, "ready torch-frozen 1.13.0a0+x"));
    assert_int_equal(a.kind, BENCH_READY);
    assert_string_equal(a.name, "torch-frozen");
    assert_string_equal(a.version, "1.13.0a0+x");
    assert_true(bench_answer_parse(&a, "missing No module named 'torch'"));
    assert_int_equal(a.kind, BENCH_MISSING);
    assert_string_equal(a.text, "No module named 'torch'");
    assert_true(bench_answer_parse(&a, "failed ValueError: bad"));
    assert_int_equal(a.kind, BENCH_FAILED);
    assert_true(bench_answer_parse(&a, "12.5"));
    assert_int_equal(a.kind, BENCH_TIME);
    assert_true(a.ms == 12.5 && a.difference == -1);
    assert_true(bench_answer_parse(&a, "0.25 3.1e-06"));
    assert_true(a.ms == 0.25 && a.difference == 3.1e-06);
}

static void other_lines_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {"",
                                        " ",
                                        "ready",
                                        "ready ",
                                        "ready x",
                                        "ready x ",
                                        "ready  x 1",
                                        "ready x 1 2",
                                        "readyx 1 2",
                                        "READY x 1",
                                        "missing",
                                        "missing ",
                                        "failed",
                                        "12.5 ",
                                        " 12.5",
                                        "12.5ms",
                                        "-1",
                                        "+1",
                                        "nan",
                                        "inf",
                                        "1e999",
                                        "1 nan",
                                        "1 -2",
                                        "1 2 3",
                                        "1  2",
                                        "0x10 y",
                                        ".5",
                                        "1\t2",
                                        "missing \033[2J",
                                        "Traceback (most recent call last):"};
    struct bench_answer a;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (bench_answer_parse(&a, lines[i])) fail_msg("taken: \"%s\"", lines[i]);
}

/* Words longer than their place are refused, reasons cut; nothing is written beyond. */
static void long_lines_stay_in_bounds(void **state)
{
    (void)state;
    struct bench_answer a;
    char line[1024];
    for (int n = 1; n < 1000; n++) {
        snprintf(line, sizeof line, "ready %0*d 1", n, 0);
        assert_int_equal(bench_answer_parse(&a, line), n < (int)sizeof a.name);
        snprintf(line, sizeof line, "ready x %0*d", n, 0);
        assert_int_equal(bench_answer_parse(&a, line), n < (int)sizeof a.version);
        snprintf(line, sizeof line, "missing %0*d", n, 0);
        assert_true(bench_answer_parse(&a, line));
        assert_true(strlen(a.text) < sizeof a.text);
        snprintf(line, sizeof line, "%0*d", n, 0);
        (void)bench_answer_parse(&a, line);
    }
}

/* ---- peers ------------------------------------------------------------------------------------------------------- */

static void start(struct bench_peer *peer, const char *script)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    assert_int_equal(bench_peer_start(peer, argv, &err), RUDD_OK);
}

/* No child of this process is left: neither running nor a zombie. */
static void assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* A whole conversation; several lines may come in one piece, one line in several. */
static void a_good_peer_is_understood(void **state)
{
    (void)state;
    struct bench_peer peer;
    struct bench_answer a;
    start(&peer, "printf 'ready fake '; sleep 0.05; echo 1.0; read x && [ \"$x\" = run ] && printf '1.5 2e-5\\n2.5\\n'; read "
                 "x; echo failed tired");
    assert_int_equal(bench_peer_ask(&a, &peer, NULL, 10, &err), RUDD_OK);
    assert_int_equal(a.kind, BENCH_READY);
    assert_string_equal(a.version, "1.0");
    assert_int_equal(bench_peer_ask(&a, &peer, "run", 10, &err), RUDD_OK);
    assert_true(a.ms == 1.5 && a.difference == 2e-5);
    assert_int_equal(bench_peer_ask(&a, &peer, "run", 10, &err), RUDD_OK);
    assert_true(a.ms == 2.5 && a.difference == -1);
    assert_int_equal(bench_peer_ask(&a, &peer, NULL, 10, &err), RUDD_OK);
    assert_int_equal(a.kind, BENCH_FAILED);
    bench_peer_stop(&peer);
    assert_no_children();
}

/* Whatever a bad peer does is an error that says what, and leaves no process behind. */
static void bad_peers_are_described(void **state)
{
    (void)state;
    static const struct {
        const char *script, *says;
        enum rudd_status status;
    } bad[] = {
        {"exit 3", "exit status 3", RUDD_IO},
        {"kill -9 $$", "signal 9", RUDD_IO},
        {"exec <&- >&-; sleep 2", "hung up", RUDD_IO},
        {"sleep 20", "no answer within", RUDD_IO},
        {"echo hello", "said \"hello\"", RUDD_FORMAT},
        {"printf 'a\\033b\\n'", "said \"a?b\"", RUDD_FORMAT},
        {"printf '1\\0002\\n'", "said \"1?2\"", RUDD_FORMAT},
        {"while :; do printf xxxxxxxxxxxxxxxx; done", "a line of more than", RUDD_FORMAT},
        {"printf 'ready x 1'", "exit status 0", RUDD_IO},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bench_peer peer;
        struct bench_answer a;
        start(&peer, bad[i].script);
        assert_int_equal(bench_peer_ask(&a, &peer, NULL, 0.5, &err), bad[i].status);
        if (!strstr(err.message, bad[i].says)) fail_msg("%s: \"%s\"", bad[i].script, err.message);
        bench_peer_stop(&peer);
        assert_no_children();
    }
}

/* A peer that is gone when it is told to run costs an error, not a SIGPIPE. */
static void telling_the_dead_is_an_error(void **state)
{
    (void)state;
    struct bench_peer peer;
    struct bench_answer a;
    signal(SIGPIPE, SIG_DFL);
    start(&peer, "echo ready x 1; exit 7");
    assert_int_equal(bench_peer_ask(&a, &peer, NULL, 10, &err), RUDD_OK);
    assert_int_equal(waitid(P_PID, (id_t)peer.pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
    assert_int_equal(bench_peer_ask(&a, &peer, "run", 10, &err), RUDD_IO);
    assert_non_null(strstr(err.message, "exit status 7"));
    bench_peer_stop(&peer);
    assert_no_children();
}

/* A peer that ignores the end of its input is killed; one that cannot be started is an error; stopping nothing is fine. */
static void stopping_always_ends(void **state)
{
    (void)state;
    struct bench_peer peer;
    struct bench_answer a;
    start(&peer, "trap '' HUP TERM; echo ready x 1; while :; do sleep 1; done");
    assert_int_equal(bench_peer_ask(&a, &peer, NULL, 10, &err), RUDD_OK);
    bench_peer_stop(&peer);
    assert_no_children();
    bench_peer_stop(&peer);
    static const char *const argv[] = {"/nowhere/python", NULL};
    assert_int_equal(bench_peer_start(&peer, argv, &err), RUDD_IO);
    assert_non_null(strstr(err.message, "/nowhere/python"));
    bench_peer_stop(&peer);
    assert_no_children();
}

static void median_is_the_middle(void **state)
{
    (void)state;
    double odd[] = {5, 1, 3}, even[] = {4, 1, 9, 2}, one[] = {7};
    assert_true(bench_median(odd, 3) == 3 && bench_median(even, 4) == 3 && bench_median(one, 1) == 7);
}

/* The ranks are those of printed tables of the sign test. */
static void interval_has_the_ranks_of_tables(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        int low, high; /* counted from 1 */
    } table[] = {{6, 1, 6}, {8, 1, 8}, {9, 2, 8}, {11, 2, 10}, {12, 3, 10}, {20, 6, 15}, {100, 40, 61}};
    double sorted[10000], low, high;
    for (int i = 0; i < 10000; i++) sorted[i] = i + 1;
    for (size_t n = 0; n < 6; n++) assert_false(bench_interval(&low, &high, sorted, n));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_true(bench_interval(&low, &high, sorted, table[i].n));
        assert_true(low == table[i].low && high == table[i].high);
    }
    assert_true(bench_interval(&low, &high, sorted, 10000));
    assert_true(low > 4898 && low < 4906 && low + high == 10001); /* 5000 - 1.96 * 50 */
}

/* The script inside the program is the protocol's other half, whole and ending in a 0. */
static void script_is_embedded(void **state)
{
    (void)state;
    assert_int_equal(strlen((const char *)bench_peer_py), bench_peer_py_size);
    assert_non_null(strstr((const char *)bench_peer_py, "ready NAME VERSION"));
}

/* ---- RUDD_TRACE ---------------------------------------------------------------------------------------------------- */

/* Every step of a run has its line, with an expansion where there is one, and what a line says of a kernel is an argument with which
 * rudd-bench kernels finds it. */
static void trace_lines_are_bench_arguments(void **state)
{
    (void)state;
    enum { KINDS = 8 };
    char line[512], seen[KINDS][32] = {""};
    int lines = 0, kinds = 0, expansions = 0;
    struct nn_model *m;
    struct nn_plan *plan;
    const struct nn_plan_options o = {.batch = 1, .image_size = 64};
    assert_int_equal(nn_model_describe(&m, "rudd_nano", 5, &err), RUDD_OK);
    assert_int_equal(nn_model_draw_later(m, 0, &err), RUDD_OK);
    assert_int_equal(nn_plan_create(&plan, m, &o, &err), RUDD_OK);
    unsetenv("RUDD_TRACE");
    assert_null(nn_trace_begin(plan));
    setenv("RUDD_TRACE", "1", 1);
    struct nn_trace_log *log = nn_trace_begin(plan);
    unsetenv("RUDD_TRACE");
    FILE *f = tmpfile();
    assert_true(log && f);
    bench_fill(nn_plan_input(plan), 64 * 64 * 3);
    nn_plan_forward(plan, 1);
    nn_plan_forward(plan, 1);
    nn_trace_end(f, log);
    rewind(f);
    while (fgets(line, sizeof line, f)) {
        char kernel[32], tier[16], words[4][64] = {""};
        if (!strncmp(line, "warning", 7)) continue;
        if (sscanf(line, "%*d %*s forw %31s %15s %63s %63s %63s %63s", kernel, tier, words[0], words[1], words[2], words[3]) !=
                6 ||
            !strchr(words[0], 'x'))
            break; /* the sums */
        lines++;
        assert_non_null(strstr(line, "GFLOP/s"));
        assert_non_null(strstr(line, " at "));
        expansions += !strcmp(kernel, "expand_dw_f32") && strchr(words[0], '-') && !strstr(words[0], "x0-");
        int k = 0;
        while (k < kinds && strcmp(seen[k], kernel)) k++;
        if (k < kinds) continue;
        assert_true(kinds < KINDS);
        strcpy(seen[kinds++], kernel);
        char *argv[12] = {"kernels", "--ms", "0", kernel, tier, words[0]};
        int argc = 6;
        for (int i = 1; i < 4 && (strchr(words[i], '=') || !strcmp(words[i], "NT")); i++) argv[argc++] = words[i];
        if (bench_kernels(argc, argv, &err)) fail_msg("%s%s", line, err.message);
    }
    assert_true(lines > 15 && kinds >= 3);
    assert_true(expansions > 0 || !strcmp(kern_isa(), "ref") || !strcmp(kern_isa(), "blas"));
    fclose(f);
    nn_plan_destroy(plan);
    nn_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_lines_are_taken_apart),
        cmocka_unit_test(other_lines_are_refused),
        cmocka_unit_test(long_lines_stay_in_bounds),
        cmocka_unit_test(a_good_peer_is_understood),
        cmocka_unit_test(bad_peers_are_described),
        cmocka_unit_test(telling_the_dead_is_an_error),
        cmocka_unit_test(stopping_always_ends),
        cmocka_unit_test(median_is_the_middle),
        cmocka_unit_test(interval_has_the_ranks_of_tables),
        cmocka_unit_test(script_is_embedded),
        cmocka_unit_test(trace_lines_are_bench_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
