/* test_store.c - what the server remembers: the store in a SQLite file, its spool, and a database that is away. */
#include "serve/spool.h"
#include "serve/store.h"
#include "serve/store_row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/rudd-test-store-XXXXXX";
static struct rudd_error err;

static const char *in_folder(const char *name)
{
    static char paths[8][300];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char line[400];
    snprintf(line, sizeof line, "rm -rf %s", folder);
    return system(line);
}

static struct serve_store *open_store(const char *name)
{
    char spool[320];
    struct serve_store *store = NULL;
    const char *where = in_folder(name);
    snprintf(spool, sizeof spool, "%s.spool", where);
    struct serve_store_options options = {.where = where, .spool = spool, .spool_max = 1 << 20, .time_limit_ms = 200};
    if (serve_store_create(&store, &options, &err)) fail_msg("%s", err.message);
    return store;
}

static enum rudd_status read_integer(void *user, const struct serve_sql_value *columns, struct rudd_error *e)
{
    (void)e;
    *(int64_t *)user = columns[0].integer;
    return RUDD_OK;
}

/* One number, asked of the file on a connection of its own. */
static int64_t ask_number(const char *name, const char *text)
{
    struct serve_sql *sql = NULL;
    int64_t value = -1;
    assert_int_equal(serve_sqlite_open(&sql, in_folder(name), 2000, &err), RUDD_OK);
    if (serve_sql_run(sql, text, NULL, 0, read_integer, &value, &err)) fail_msg("%s", err.message);
    serve_sql_close(sql);
    return value;
}

static void log_one(struct serve_store *store, const char *id, const char *image)
{
    const struct serve_store_prediction p = {.id = id,
                                             .image_hash = image,
                                             .model = "fish",
                                             .model_version = "1",
                                             .model_sha256 = "00",
                                             .class = "щука",
                                             .confidence = 0.9,
                                             .latency_ms = 12.5,
                                             .top = "[]"};
    serve_store_log(store, &p);
}

static enum rudd_status tell(struct serve_store *store, const char *prediction, const char *image, const char *label,
                             bool *spooled)
{
    char id[SERVE_ID];
    struct serve_store_op op = {0};
    const struct serve_store_feedback f = {.prediction_id = prediction, .image_hash = image, .label = label, .client = "me"};
    assert_int_equal(serve_store_feedback_op(&op, id, &f, &err), RUDD_OK);
    enum rudd_status status = serve_store_wait(store, &op, &err);
    if (spooled) *spooled = op.spooled;
    rudd_free(op.row.data);
    return status;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------------- */

/* Rows that were logged and feedback that was acknowledged are in the file, which another connection can read; the same feedback again is
 * the same row; feedback on nothing is refused and stores nothing. */
static void rows_arrive(void **state)
{
    (void)state;
    struct serve_store *store = open_store("rows");
    char id[SERVE_ID], other[SERVE_ID];
    assert_true(serve_new_id(id) && serve_new_id(other) && strcmp(id, other) != 0);
    assert_true(serve_is_id(id) && !serve_is_id("x") && !serve_is_id(NULL));
    log_one(store, id, "aa");
    log_one(store, id, "aa");                                       /* twice: one row */
    assert_int_equal(tell(store, id, NULL, "pike", NULL), RUDD_OK); /* seen although the row before it may still wait */
    assert_int_equal(tell(store, id, NULL, "pike", NULL), RUDD_OK);
    assert_int_equal(tell(store, NULL, "aa", "perch", NULL), RUDD_OK);
    assert_int_equal(tell(store, other, NULL, "pike", NULL), RUDD_ARGUMENT);
    assert_int_equal(tell(store, NULL, "bb", "pike", NULL), RUDD_ARGUMENT);
    assert_int_equal(ask_number("rows", "SELECT COUNT(*) FROM predictions WHERE class = 'щука' AND confidence = 0.9"), 1);
    assert_int_equal(ask_number("rows", "SELECT COUNT(*) FROM feedback"), 2);
    struct serve_store_stats stats;
    serve_store_get_stats(&stats, store);
    assert_true(stats.up);
    assert_int_equal(stats.feedback, 3);
    serve_store_destroy(store);
    /* Stopping writes what nobody waited for. */
    store = open_store("rows");
    log_one(store, other, "cc");
    serve_store_destroy(store);
    assert_int_equal(ask_number("rows", "SELECT COUNT(*) FROM predictions"), 2);
    store = open_store("rows");
    serve_store_stop(store);
    log_one(store, other, "cc");
    serve_store_get_stats(&stats, store);
    assert_int_equal(stats.dropped, 1);
    serve_store_destroy(store);
}

/* A store of a later version is refused and left alone. */
static void newer_schema(void **state)
{
    (void)state;
    struct serve_store *store = open_store("newer");
    serve_store_destroy(store);
    int64_t version = ask_number("newer", "SELECT MAX(version) FROM rudd_migrations");
    assert_true(version > 0);
    ask_number("newer", "INSERT INTO rudd_migrations VALUES (9999, 0)");
    struct serve_store_options options = {.where = in_folder("newer"), .spool = in_folder("newer.spool"), .spool_max = 1 << 20};
    assert_int_equal(serve_store_create(&store, &options, &err), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, "9999"));
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------------------- */

static json_int_t number(const json_t *job, const char *key)
{
    return json_integer_value(json_object_get(job, key));
}

static void assert_job(struct serve_store *store, const char *id, const char *state, int queued, int running, int done,
                       int failed)
{
    json_t *job = NULL;
    if (serve_store_job_read(&job, store, id, &err)) fail_msg("%s", err.message);
    assert_string_equal(json_string_value(json_object_get(job, "state")), state);
    assert_int_equal(number(job, "queued"), queued);
    assert_int_equal(number(job, "running"), running);
    assert_int_equal(number(job, "done"), done);
    assert_int_equal(number(job, "failed"), failed);
    json_decref(job);
}

/* Items are claimed in order, each once; outcomes stay with their items; a restart queues what was running. */
static void jobs_go_through(void **state)
{
    (void)state;
    struct serve_store *store = open_store("jobs");
    const struct serve_store_item items[] = {{.name = "a", .image = "\0\1\2", .length = 3},
                                             {.name = "b", .url = "https://example.org/b.jpg"},
                                             {.image = "xyz", .length = 3}};
    struct serve_store_claim a, b, c;
    int unfinished = -1;
    json_t *job = NULL;
    assert_int_equal(serve_store_job_create(store, "j1", items, 3, "{\"top_k\":2}", "r1", NULL, &err), RUDD_OK);
    assert_int_equal(serve_store_job_create(store, "j1", items, 1, NULL, NULL, NULL, &err), RUDD_ARGUMENT);
    assert_int_equal(serve_store_job_create(store, "j2", items, 1, NULL, NULL, NULL, &err), RUDD_OK);
    assert_int_equal(serve_store_job_read(&job, store, "j3", &err), RUDD_ARGUMENT);
    assert_job(store, "j1", "queued", 3, 0, 0, 0);
    assert_int_equal(serve_store_job_claim(store, &a, 60, &err), RUDD_OK);
    assert_int_equal(serve_store_job_claim(store, &b, 60, &err), RUDD_OK);
    assert_true(!strcmp(a.job_id, "j1") && a.item == 0 && a.length == 3 && !memcmp(a.image, "\0\1\2", 3) && !a.url);
    assert_string_equal(a.options, "{\"top_k\":2}");
    assert_true(b.item == 1 && !b.image && !strcmp(b.url, "https://example.org/b.jpg"));
    assert_int_equal(serve_store_job_finish(store, "j1", 1, NULL, "timeout", "it took too long", &err), RUDD_OK);
    assert_int_equal(serve_store_job_finish(store, "j1", 1, "{\"late\":1}", NULL, NULL, &err), RUDD_OK); /* the first stays */
    assert_job(store, "j1", "running", 1, 1, 0, 1);
    assert_int_equal(serve_store_job_release(store, "j1", 0, &err), RUDD_OK);
    assert_job(store, "j1", "running", 2, 0, 0, 1);
    serve_store_claim_free(&a);
    assert_int_equal(serve_store_job_claim(store, &a, 60, &err), RUDD_OK);
    assert_int_equal(a.item, 0);
    serve_store_claim_free(&a);
    serve_store_claim_free(&b);
    serve_store_destroy(store);

    store = open_store("jobs"); /* "killed" with item 0 running */
    assert_int_equal(serve_store_job_unfinished(store, &unfinished, &err), RUDD_OK);
    assert_int_equal(unfinished, 3);
    assert_job(store, "j1", "running", 2, 0, 0, 1);
    assert_int_equal(serve_store_job_claim(store, &a, 0, &err), RUDD_OK); /* a lease that has expired at once */
    assert_int_equal(serve_store_job_claim(store, &b, 60, &err), RUDD_OK);
    assert_true(a.item == 0 && b.item == 0);
    assert_int_equal(serve_store_job_claim(store, &c, 60, &err), RUDD_OK);
    assert_int_equal(c.item, 2);
    serve_store_claim_free(&c);
    assert_int_equal(serve_store_job_claim(store, &c, 60, &err), RUDD_OK);
    assert_string_equal(c.job_id, "j2");
    serve_store_claim_free(&c);
    assert_int_equal(serve_store_job_claim(store, &c, 60, &err), RUDD_OK);
    assert_null(c.job_id); /* nothing waits */
    assert_int_equal(serve_store_job_finish(store, "j1", 0, "{\"class\":\"pike\"}", NULL, NULL, &err), RUDD_OK);
    assert_int_equal(serve_store_job_finish(store, "j1", 2, "{\"class\":\"perch\"}", NULL, NULL, &err), RUDD_OK);
    assert_job(store, "j1", "done", 0, 0, 2, 1);
    assert_int_equal(serve_store_job_read(&job, store, "j1", &err), RUDD_OK);
    json_t *list = json_object_get(job, "items");
    const char *expected[] = {"pike", NULL, "perch"};
    for (size_t i = 0; i < 3; i++) {
        const char *class = json_string_value(json_object_get(json_object_get(json_array_get(list, i), "result"), "class"));
        assert_true(expected[i] ? class && !strcmp(class, expected[i]) : !class);
    }
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "code")), "timeout");
    json_decref(job);
    serve_store_claim_free(&a);
    serve_store_claim_free(&b);
    serve_store_destroy(store);
    assert_int_equal(ask_number("jobs", "SELECT COUNT(*) FROM job_items WHERE job_id = 'j1' AND image IS NOT NULL"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_arrive), cmocka_unit_test(newer_schema),
                                       cmocka_unit_test(jobs_go_through)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
