/* test_store.c - what the server remembers: the store in a SQLite file, its spool, and a database that is away. */
#include "serve/spool.h"
#include "serve/store.h"
#include "serve/store_row.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
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

static atomic_int away_lines, back_lines; /* that the log had */

static void hear(const char *line)
{
    if (strstr(line, "the database is away")) away_lines++;
    if (strstr(line, "the database is back")) back_lines++;
}

static struct serve_store *open_store(const char *name)
{
    char spool[320];
    struct serve_store *store = NULL;
    const char *where = in_folder(name);
    snprintf(spool, sizeof spool, "%s.spool", where);
    struct serve_store_options options = {
        .where = where, .spool = spool, .spool_max = 1 << 20, .time_limit_ms = 200, .say = hear};
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
    struct serve_store_opinion o = {0};
    const struct serve_store_feedback f = {.prediction_id = prediction, .image_hash = image, .label = label, .client = "me"};
    assert_int_equal(serve_store_feedback_op(&o, &f, &err), RUDD_OK);
    enum rudd_status status = serve_store_wait(store, &o.op, &err);
    if (spooled) *spooled = o.op.spooled;
    rudd_free(o.op.row.data);
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
    assert_int_equal(stats.rows[SERVE_FEEDBACK], 3);
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
    assert_int_equal(stats.dropped[SERVE_PREDICTIONS], 1);
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

/* ---- the spool -------------------------------------------------------------------------------------------------------------- */

static void fill_spool(const char *path, int records)
{
    struct serve_spool *spool = NULL;
    assert_int_equal(serve_spool_open(&spool, path, 1 << 16, &err), RUDD_OK);
    for (int i = 0; i < records; i++) {
        char text[16];
        int n = snprintf(text, sizeof text, "record %d", i);
        assert_int_equal(serve_spool_add(spool, text, (size_t)n, true, &err), RUDD_OK);
        if (i % 2) assert_int_equal(serve_spool_commit(spool, &err), RUDD_OK);
    }
    assert_int_equal(serve_spool_commit(spool, &err), RUDD_OK);
    assert_int_equal(serve_spool_rows(spool), records);
    serve_spool_close(spool);
}

static size_t read_file(const char *path, uint8_t *bytes, size_t size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, size, f);
    fclose(f);
    return n;
}

static void write_file(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

/* Reads the spool to its end: how many records, each "record <i>" in rising order of i. */
static int read_spool(const char *path)
{
    struct serve_spool *spool = NULL;
    const uint8_t *payload;
    size_t length;
    int count = 0, last = -1;
    assert_int_equal(serve_spool_open(&spool, path, 1 << 16, &err), RUDD_OK);
    uint64_t rows = serve_spool_rows(spool);
    while (!serve_spool_next(&payload, &length, spool, &err) && payload) {
        int i = -1;
        assert_true(length < 16);
        char text[16] = "";
        memcpy(text, payload, length);
        assert_int_equal(sscanf(text, "record %d", &i), 1);
        assert_true(i > last);
        last = i;
        count++;
    }
    assert_int_equal(rows, count);
    serve_spool_close(spool);
    return count;
}

/* Cut anywhere, a spool gives the records before the cut, whole; with any one byte changed, all but at most one. */
static void spool_survives_damage(void **state)
{
    (void)state;
    enum { RECORDS = 7 };
    static uint8_t bytes[4096];
    const char *path = in_folder("damaged.spool");
    fill_spool(path, RECORDS);
    size_t n = read_file(path, bytes, sizeof bytes), record = n / RECORDS;
    assert_int_equal(n % RECORDS, 0);
    for (size_t cut = 0; cut <= n; cut++) {
        write_file(path, bytes, cut);
        assert_int_equal(read_spool(path), cut / record);
        struct stat info;
        stat(path, &info);
        assert_int_equal(info.st_size, cut / record * record); /* the torn end is gone: what is appended next can be read */
    }
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= 0x55;
        write_file(path, bytes, n);
        assert_int_equal(read_spool(path), RECORDS - 1);
        bytes[i] ^= 0x55;
    }
}

/* Read records come again after a rewind, not after they were accepted; all accepted, the file is empty. A full spool keeps its last eighth
 * for what is vital. Nobody else can open it meanwhile. */
static void spool_goes_round(void **state)
{
    (void)state;
    struct serve_spool *spool = NULL, *other = NULL;
    const uint8_t *payload;
    static uint8_t big[1000];
    size_t length;
    const char *path = in_folder("round.spool");
    fill_spool(path, 3);
    assert_int_equal(serve_spool_open(&spool, path, 8000, &err), RUDD_OK);
    assert_int_equal(serve_spool_open(&other, path, 8000, &err), RUDD_LIMIT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(serve_spool_next(&payload, &length, spool, &err), RUDD_OK);
        assert_memory_equal(payload, "record 0", 8);
        serve_spool_rewind(spool);
    }
    serve_spool_next(&payload, &length, spool, &err);
    serve_spool_accept(spool);
    assert_int_equal(serve_spool_rows(spool), 2);
    serve_spool_next(&payload, &length, spool, &err);
    serve_spool_rewind(spool);
    serve_spool_next(&payload, &length, spool, &err);
    assert_memory_equal(payload, "record 1", 8);
    serve_spool_next(&payload, &length, spool, &err);
    assert_int_equal(serve_spool_next(&payload, &length, spool, &err), RUDD_OK);
    assert_null(payload);
    serve_spool_accept(spool);
    assert_true(serve_spool_bytes(spool) == 0 && serve_spool_rows(spool) == 0);
    int plain = 0, vital = 0;
    while (!serve_spool_add(spool, big, sizeof big, false, &err)) plain++;
    while (!serve_spool_add(spool, big, sizeof big, true, &err)) vital++;
    assert_true(plain == 6 && vital == 1);
    assert_int_equal(serve_spool_commit(spool, &err), RUDD_OK);
    assert_int_equal(serve_spool_rows(spool), 7);
    serve_spool_close(spool);
}

/* ---- away ------------------------------------------------------------------------------------------------------------------------------- */

/* Until the store has the database again, at most some seconds. */
static void wait_up(struct serve_store *store)
{
    struct serve_store_stats stats;
    for (int i = 0; i < 200; i++) {
        serve_store_get_stats(&stats, store);
        if (stats.up) return;
        usleep(50 * 1000);
    }
    fail_msg("the store does not come back; %d rows in the spool", (int)stats.spool_rows);
}

/* While somebody else holds the database, feedback is acknowledged from the spool and jobs are refused; afterwards all rows are in the
 * database, once, in the spool none. */
static void away_and_back(void **state)
{
    (void)state;
    enum { ROWS = 40 };
    struct serve_store *store = open_store("away");
    struct serve_store_stats stats;
    struct serve_sql *holder = NULL;
    char id[SERVE_ID];
    bool spooled = false;
    int unfinished;
    away_lines = back_lines = 0;
    assert_int_equal(serve_sqlite_open(&holder, in_folder("away"), 2000, &err), RUDD_OK);
    assert_int_equal(serve_sql_run(holder, "BEGIN IMMEDIATE", NULL, 0, NULL, NULL, &err), RUDD_OK);
    for (int i = 0; i < ROWS; i++) {
        assert_true(serve_new_id(id));
        log_one(store, id, "aa");
        assert_int_equal(tell(store, id, NULL, "pike", &spooled), RUDD_OK);
        assert_true(spooled);
    }
    assert_int_equal(serve_store_job_unfinished(store, &unfinished, &err), RUDD_IO);
    serve_store_get_stats(&stats, store);
    assert_true(!stats.up && stats.spool_rows == 2 * ROWS && stats.errors > 0 && stats.dropped[SERVE_FEEDBACK] == 0);
    serve_sql_run(holder, "ROLLBACK", NULL, 0, NULL, NULL, &err);
    serve_sql_close(holder);
    wait_up(store);
    assert_int_equal(tell(store, id, NULL, "perch", &spooled), RUDD_OK);
    assert_false(spooled);
    serve_store_get_stats(&stats, store);
    assert_true(stats.spool_rows == 0 && stats.spool_bytes == 0 && stats.replayed == 2 * ROWS);
    serve_store_destroy(store);
    assert_true(away_lines == 1 && back_lines == 1); /* however often it was tried */
    assert_int_equal(ask_number("away", "SELECT COUNT(*) FROM predictions"), ROWS);
    assert_int_equal(ask_number("away", "SELECT COUNT(*) FROM feedback"), ROWS + 1);
    assert_int_equal(ask_number("away", "SELECT COUNT(*) FROM feedback f JOIN predictions p ON f.prediction_id = p.id"),
                     ROWS + 1);
}

/* A server that dies with a full spool: the next one brings it in, once, though part of it was there; a row that no database takes goes
 * beside it and stops nobody. */
static void spool_of_the_dead(void **state)
{
    (void)state;
    struct serve_store *store = open_store("dead");
    struct serve_spool *spool = NULL;
    struct serve_store_stats stats;
    struct serve_bytes row = {0};
    char ids[3][SERVE_ID];
    for (int i = 0; i < 3; i++) serve_new_id(ids[i]);
    log_one(store, ids[0], "aa");
    serve_store_destroy(store);
    assert_int_equal(serve_spool_open(&spool, in_folder("dead.spool"), 1 << 20, &err), RUDD_OK);
    for (int i = 0; i < 3; i++) {
        const struct serve_store_prediction p = {.id = ids[i],
                                                 .image_hash = "aa",
                                                 .model = "m",
                                                 .model_version = "1",
                                                 .model_sha256 = "",
                                                 .class = "pike",
                                                 .top = "[]"};
        row.length = 0;
        assert_int_equal(serve_store_log_row(&row, &p), RUDD_OK);
        serve_spool_add(spool, row.data, row.length, true, &err);
        if (i == 1) serve_spool_add(spool, "nonsense", 8, true, &err);
        if (i == 2) { /* a row that parses, but has no class */
            struct serve_store_prediction bad = p;
            bad.class = NULL;
            bad.id = "x";
            row.length = 0;
            assert_int_equal(serve_store_log_row(&row, &bad), RUDD_OK);
            serve_spool_add(spool, row.data, row.length, true, &err);
        }
    }
    assert_int_equal(serve_spool_commit(spool, &err), RUDD_OK);
    serve_spool_close(spool);
    rudd_free(row.data);
    store = open_store("dead");
    wait_up(store);
    serve_store_get_stats(&stats, store);
    assert_int_equal(stats.rejected, 2);
    serve_store_destroy(store);
    assert_int_equal(ask_number("dead", "SELECT COUNT(*) FROM predictions"), 3);
    assert_int_equal(access(in_folder("dead.spool.rejected"), F_OK), 0);
}

/* Two servers in one folder have a spool each; what one leaves behind, the next to start takes over. */
static void two_servers(void **state)
{
    (void)state;
    struct serve_spool *left = NULL;
    struct serve_bytes row = {0};
    char id[SERVE_ID];
    serve_new_id(id);
    const struct serve_store_prediction p = {
        .id = id, .image_hash = "aa", .model = "m", .model_version = "1", .model_sha256 = "", .class = "pike", .top = "[]"};
    assert_int_equal(serve_store_log_row(&row, &p), RUDD_OK);
    assert_int_equal(serve_spool_open(&left, in_folder("two.spool.3"), 1 << 20, &err), RUDD_OK);
    serve_spool_add(left, row.data, row.length, true, &err);
    assert_int_equal(serve_spool_commit(left, &err), RUDD_OK);
    rudd_free(row.data);
    struct serve_store *a = open_store("two"), *b = open_store("two"); /* b must not take what is still held */
    assert_string_not_equal(serve_store_owner(a), serve_store_owner(b));
    serve_store_destroy(b);
    serve_spool_close(left);
    b = open_store("two");
    wait_up(b);
    serve_store_destroy(a);
    serve_store_destroy(b);
    assert_int_equal(ask_number("two", "SELECT COUNT(*) FROM predictions"), 1);
    assert_int_not_equal(access(in_folder("two.spool.3"), F_OK), 0);
}

/* Old predictions go, those with feedback stay. */
static void old_rows_go(void **state)
{
    (void)state;
    struct serve_store *store = open_store("old");
    char ids[2][SERVE_ID];
    for (int i = 0; i < 2; i++) {
        serve_new_id(ids[i]);
        log_one(store, ids[i], "aa");
    }
    assert_int_equal(tell(store, ids[0], NULL, "pike", NULL), RUDD_OK);
    serve_store_destroy(store);
    ask_number("old", "UPDATE predictions SET time = time - 200000");
    struct serve_store_options options = {
        .where = in_folder("old"), .spool = in_folder("old.spool"), .spool_max = 1 << 20, .keep_days = 2};
    assert_int_equal(serve_store_create(&store, &options, &err), RUDD_OK);
    for (int i = 0; i < 100 && ask_number("old", "SELECT COUNT(*) FROM predictions") > 1; i++) usleep(20 * 1000);
    serve_store_destroy(store);
    assert_int_equal(ask_number("old", "SELECT COUNT(*) FROM predictions p JOIN feedback f ON f.prediction_id = p.id"), 1);
    assert_int_equal(ask_number("old", "SELECT COUNT(*) FROM predictions"), 1);
}

/* ---- kill -9 ------------------------------------------------------------------------------------------------------------------- */

/* The child: logs, tells, and reports each acknowledged prediction's id through the pipe. Half of the time another process holds the
 * database, so that the spool is in play, too. */
static void child_works(int pipe_fd)
{
    struct serve_store *store = open_store("killed");
    for (;;) {
        char id[SERVE_ID];
        serve_new_id(id);
        log_one(store, id, "aa");
        if (tell(store, id, NULL, "pike", NULL)) continue;
        if (write(pipe_fd, id, SERVE_ID) != SERVE_ID) _exit(1);
    }
}

static enum rudd_status collect(void *user, const struct serve_sql_value *columns, struct rudd_error *e)
{
    (void)e;
    FILE *f = user;
    fprintf(f, "%s\n", serve_sql_get_text(&columns[0]));
    return RUDD_OK;
}

/* Killed at any moment, with the database there or held by another, no acknowledged feedback is lost, and each is there once. */
static void kill_loses_nothing(void **state)
{
    (void)state;
    enum { KILLS = 12, MOST = 200000 };
    static char ids[MOST][SERVE_ID];
    int count = 0, spooling = 0;
    srand(1);
    serve_store_destroy(open_store("killed"));
    for (int kill_count = 0; kill_count < KILLS; kill_count++) {
        int fds[2];
        struct serve_sql *holder = NULL;
        if (kill_count % 3 == 1) {
            assert_int_equal(serve_sqlite_open(&holder, in_folder("killed"), 2000, &err), RUDD_OK);
        }
        assert_int_equal(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0) {
            close(fds[0]);
            child_works(fds[1]);
        }
        close(fds[1]);
        usleep(100 * 1000 + (unsigned)rand() % 200000);
        if (holder && !serve_sql_run(holder, "BEGIN IMMEDIATE", NULL, 0, NULL, NULL, &err)) {
            spooling++;
            usleep(400 * 1000);
        }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        serve_sql_close(holder);
        while (count < MOST && read(fds[0], ids[count], SERVE_ID) == SERVE_ID) count++;
        close(fds[0]);
    }
    assert_true(count > 2 * KILLS && spooling > 0);
    struct serve_store *store = open_store("killed");
    wait_up(store);
    serve_store_destroy(store);

    struct serve_sql *sql = NULL;
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_int_equal(serve_sqlite_open(&sql, in_folder("killed"), 2000, &err), RUDD_OK);
    assert_int_equal(serve_sql_run(sql, "SELECT prediction_id FROM feedback ORDER BY prediction_id", NULL, 0, collect, f, &err),
                     RUDD_OK);
    fclose(f);
    serve_sql_close(sql);
    qsort(ids, (size_t)count, SERVE_ID, (int (*)(const void *, const void *))strcmp);
    const char *at = text; /* both are sorted: one walk */
    for (int i = 0; i < count; i++) {
        while (*at && strncmp(at, ids[i], SERVE_ID - 1) < 0) at = strchr(at, '\n') + 1;
        if (strncmp(at, ids[i], SERVE_ID - 1) != 0) fail_msg("%s was acknowledged and is lost", ids[i]);
    }
    free(text);
    assert_int_equal(ask_number("killed", "SELECT COUNT(*) - COUNT(DISTINCT prediction_id) FROM feedback"), 0);
    print_message("%d acknowledged, %d kills, %d of them with a spool\n", count, (int)KILLS, spooling);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_arrive),       cmocka_unit_test(newer_schema),
                                       cmocka_unit_test(jobs_go_through),   cmocka_unit_test(spool_survives_damage),
                                       cmocka_unit_test(spool_goes_round),  cmocka_unit_test(away_and_back),
                                       cmocka_unit_test(spool_of_the_dead), cmocka_unit_test(two_servers),
                                       cmocka_unit_test(old_rows_go),       cmocka_unit_test(kill_loses_nothing)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
