/* test_limits.c - commands in processes that `ulimit -v` holds down: they fit by computing again,
 * to the same bits, or refuse with figures before they begin.
 *
 * Each run is the program itself in a process of its own, since a limit once set stays. */
#include "tests/sanitized.h"
#include "tests/running.h"
#include "tests/training.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* MiB by which a refusal says it is too little. */
static double lacking(const char *said)
{
    const char *needs = strstr(said, "needs "), *limit = strstr(said, "the limit is ");
    if (!needs || !limit || !strstr(said, "ulimit -v")) fail_msg("no figures: %s", said);
    return strtod(needs + 6, NULL) - strtod(limit + 13, NULL);
}

/* MiB that a program which has just begun takes of the address space, by a refusal of one with
 * `threads` to come (72 MiB each: limits.c). */
static size_t start_mib(const char *said, int threads)
{
    const char *used = strstr(said, "ulimit -v leaves: of ");
    used = used ? strstr(used, " MiB ") : NULL;
    if (!used) fail_msg("no figures: %s", said);
    return (size_t)strtod(used + 5, NULL) - 72 * (size_t)threads;
}

static size_t start; /* of any command here */

static double plan_bytes(const char *run)
{
    json_t *record = parse_json(file_of(run, "run.json"));
    const double bytes = json_number_value(json_object_get(json_object_get(record, "model"), "plan_bytes"));
    json_decref(record);
    return bytes;
}

#define RUN                                                                                                                    \
    "train|--quiet|--data|%s|--out|%s|--arch|rudd_nano|--image-size|160|--batch|8|--epochs|1|--threads|1|--max-steps|2%s"

/* The least limit that is accepted: learning computes again and ends with the same bits. A little
 * less is refused, and the words name the --memory-limit that learns from smaller batches, which
 * the user may choose. */
static void training_fits_or_refuses(void **state)
{
    (void)state;
    char line[1500], said[SAID];
    snprintf(line, sizeof line, RUN, in_root("set"), in_root("free"), "");
    if (run_within(0, said, line)) fail_msg("%s", said);

    size_t mib = 100;
    int status = 1;
    for (int i = 0; status && i < 20; i++) {
        snprintf(line, sizeof line, RUN, in_root("set"), in_root("tight"), "");
        status = run_within(mib, said, line);
        if (!status) break;
        assert_int_equal(status, 1);
        assert_int_not_equal(access(in_root("tight"), F_OK), 0);
        start = start_mib(said, 3); /* a loader's for each set, and the network's */
        assert_non_null(strstr(said, "--image-size"));
        assert_non_null(strstr(said, "--memory-limit 0"));
        mib += (size_t)ceil(lacking(said)) + (strstr(said, "0.0 MiB;") ? 32 : 1);
    }
    if (status) fail_msg("%s", said);
    assert_true(plan_bytes("tight") < plan_bytes("free"));
    assert_values(file_of("free", "model.safetensors"), file_of("tight", "model.safetensors"), true);
    json_t *record = parse_json(file_of("tight", "run.json"));
    assert_string_equal(json_string_value(json_object_get(json_object_get(record, "options"), "memory-limit")), "auto");
    json_decref(record);

    snprintf(line, sizeof line, RUN, in_root("set"), in_root("refused"), "");
    status = run_within(mib - 12, said, line);
    assert_int_equal(status, 1);
    assert_true(lacking(said) > 0);
    const char *advice = strstr(said, "--memory-limit ");
    assert_non_null(advice);
    assert_non_null(strstr(said, "batches of 4, 2 to a step"));
    char given[100];
    snprintf(given, sizeof given, "|--memory-limit|%.*s", (int)strspn(advice + 15, "0123456789M"), advice + 15);
    snprintf(line, sizeof line, RUN, in_root("set"), in_root("told"), given);
    if (run_within(mib - 12, said, line)) fail_msg("%s", said);
    assert_values(file_of("free", "model.safetensors"), file_of("told", "model.safetensors"), false);
}

/* Evaluation takes fewer pictures at a time, to the same figures, or refuses; so does prediction. */
static void inference_fits_or_refuses(void **state)
{
    (void)state;
    char line[1500], said[SAID];
    if (!start) skip(); /* the test above says why */
    static const char *const commands[] = {"eval|--quiet|--threads|1|--batch|12|--data|%s/test|--model|%s",
                                           "predict|--threads|1|%s/test/green/0.jpg|--model|%s"};
    for (int c = 0; c < 2; c++) {
        size_t mib = start + 16;
        int status = 1, refusals = 0;
        snprintf(line, sizeof line, commands[c], in_root("set"), file_of("free", "model.safetensors"));
        for (int i = 0; status && i < 20; i++) {
            status = run_within(mib, said, line);
            if (!status) break;
            assert_int_equal(status, 1);
            mib += (size_t)ceil(lacking(said)) + (strstr(said, "0.0 MiB;") ? 32 : 1);
            refusals++;
        }
        if (status) fail_msg("%s", said);
        assert_true(refusals > 0);
        strcat(line, "|--memory-limit|1K");
        assert_int_equal(run_within(0, said, line), 1);
        assert_non_null(strstr(said, "but the limit is 0.0 MiB"));
        assert_null(strstr(said, "ulimit"));
    }
}

int main(void)
{
    if (SANITIZED) {
        puts("skipped under sanitizers: their shadow takes more address space than any limit\n0 passed, 0 failed, 2 skipped");
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(training_fits_or_refuses), cmocka_unit_test(inference_fits_or_refuses)};
    return cmocka_run_group_tests_name("limits", tests, begin_runs, end_runs);
}
