/* test_feedback.c - POST /feedback, the prediction log and --keep-images as clients and administrators see them: rudd-serve as a child with a
 * store of its own, and `rudd data feedback` on what it leaves. The store itself is test_store.c's. */
#define _GNU_SOURCE /* strcasestr */
#include "nn/sha256.h"
#include "serve/store_sql.h"
#include "tests/serve_client.h"
#include "tests/serve_fish.h"
#include <limits.h>
#include <sys/stat.h>

static char store_path[300], images_path[300];
static struct server s;

static int begin(void **state)
{
    (void)state;
    make_fish("feedback");
    snprintf(store_path, sizeof store_path, "%s/store", folder);
    snprintf(images_path, sizeof images_path, "%s/kept", folder);
    umask(022);
    s = server_start(model_path, "--store", store_path, "--keep-images", images_path, NULL);
    return 0;
}

static enum rudd_status read_number(void *user, const struct serve_sql_value *columns, struct rudd_error *err)
{
    (void)err;
    *(int64_t *)user = columns[0].integer;
    return RUDD_OK;
}

static int64_t ask_store(const char *text)
{
    struct serve_sql *sql = NULL;
    int64_t n = -1;
    assert_int_equal(serve_sqlite_open(&sql, store_path, 2000, NULL), RUDD_OK);
    assert_int_equal(serve_sql_run(sql, text, NULL, 0, read_number, &n, NULL), RUDD_OK);
    serve_sql_close(sql);
    return n;
}

static void predict(char id[40], char hash[80], int picture)
{
    struct answer a = post(s.port, "/predict", "image/png", pictures[picture].data, pictures[picture].length);
    assert_int_equal(a.code, 200);
    json_t *root = answer_json(&a);
    snprintf(id, 40, "%s", json_string_value(json_object_get(root, "prediction_id")));
    if (hash) snprintf(hash, 80, "%s", json_string_value(json_object_get(root, "image_hash")));
    json_decref(root);
    answer_free(&a);
}

static struct answer say(const char *field, const char *value, const char *label)
{
    char body[300];
    snprintf(body, sizeof body, "{\"%s\":\"%s\",\"label\":\"%s\"}", field, value, label);
    return post(s.port, "/feedback", "application/json", body, strlen(body));
}

static void assert_said(const char *field, const char *value, const char *label, const char *status)
{
    struct answer a = say(field, value, label);
    assert_int_equal(a.code, 200);
    json_t *root = answer_json(&a);
    assert_string_equal(json_string_value(json_object_get(root, "status")), status);
    assert_string_equal(json_string_value(json_object_get(root, "label")), label);
    json_decref(root);
    answer_free(&a);
}

/* An answer's id and its picture's hash are known at once, also for an answer from the cache; what is said of them is in the file when the
 * answer comes, once; each prediction is logged. */
static void feedback_is_kept(void **state)
{
    (void)state;
    char first[40], second[40], hash[80], again[80], line[200];
    predict(first, hash, 0);
    predict(second, again, 0);
    assert_string_not_equal(first, second);
    assert_string_equal(hash, again);
    struct nn_sha256 sha;
    char hex[NN_SHA256_HEX];
    nn_sha256_init(&sha);
    nn_sha256_update(&sha, pictures[0].data, pictures[0].length);
    nn_sha256_hex(hex, &sha);
    assert_string_equal(hash, hex);
    assert_said("prediction_id", first, "pike", "stored");
    assert_said("prediction_id", first, "pike", "stored");
    assert_int_equal(ask_store("SELECT COUNT(*) FROM feedback WHERE label = 'pike'"), 1);
    assert_said("prediction_id", second, "perch", "stored");
    assert_said("image_hash", hash, "roach", "stored");
    assert_int_equal(ask_store("SELECT COUNT(*) FROM feedback"), 3);
    snprintf(line, sizeof line, "SELECT COUNT(*) FROM predictions WHERE image_hash = '%s'", hash);
    assert_int_equal(ask_store(line), 2);
    assert_int_equal(
        ask_store("SELECT COUNT(*) FROM predictions WHERE cached = 1 AND confidence > 0 AND model_version = 'run-7'"), 1);
}

/* Whatever umask the server was started with, other users of the machine see neither pictures nor rows. */
static void others_cannot_read(void **state)
{
    (void)state;
    char id[40], hash[80], path[400];
    struct stat st;
    predict(id, hash, 4);
    snprintf(path, sizeof path, "%s/%.2s/%s.png", images_path, hash, hash);
    for (int i = 0; stat(path, &st) && i < 200; i++) pause_ms(50);
    const char *const paths[] = {path, images_path, store_path};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(stat(paths[i], &st), 0);
        assert_int_equal(st.st_mode & 027, 0);
    }
}

/* Each mistake has its status, and leaves no row. */
static void wrong_feedback(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int code;
        const char *word;
    } cases[] = {
        {"", 400, "empty_body"},
        {"pike", 400, "bad_json"},
        {"[]", 400, "bad_feedback"},
        {"{\"label\":\"pike\"}", 400, "bad_feedback"},
        {"{\"prediction_id\":7,\"label\":\"pike\"}", 400, "bad_feedback"},
        {"{\"prediction_id\":\"0123456789abcdef0123456789abcdef\"}", 400, "bad_feedback"},
        {"{\"prediction_id\":\"0123456789abcdef0123456789abcdef\",\"label\":\"pike\",\"comment\":[]}", 400, "bad_feedback"},
        {"{\"prediction_id\":\"0123456789abcdef0123456789abcdef\",\"label\":\"pike\\u0000\"}", 400, "bad_json"},
        {"{\"prediction_id\":\"0123456789abcdef0123456789abcdef\",\"label\":\"pike\"}", 404, "unknown_prediction"},
        {"{\"prediction_id\":\"' OR 1=1\",\"label\":\"pike\"}", 404, "unknown_prediction"},
        {"{\"image_hash\":\"aa\",\"label\":\"pike\"}", 404, "unknown_prediction"},
        {"{\"prediction_id\":\"0123456789abcdef0123456789abcdef\",\"label\":\"dragon\"}", 422, "unknown_label"},
    };
    int64_t before = ask_store("SELECT COUNT(*) FROM feedback");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_problem(post(s.port, "/feedback", "application/json", cases[i].body, strlen(cases[i].body)), cases[i].code,
                       cases[i].word);
    assert_problem(post(s.port, "/feedback", "multipart/form-data; boundary=XX", "--XX--\r\n", 8), 415, "not_json");
    assert_problem(get(s.port, "/feedback"), 405, "method_not_allowed");
    assert_int_equal(ask_store("SELECT COUNT(*) FROM feedback"), before);
}

/* While another process holds the database, predictions are answered as ever, feedback goes to the spool and is acknowledged, and the
 * metrics say so; afterwards all of it is in the database. */
static void store_away(void **state)
{
    (void)state;
    struct serve_sql *holder = NULL;
    char id[40];
    int64_t before = ask_store("SELECT COUNT(*) FROM feedback");
    assert_int_equal(serve_sqlite_open(&holder, store_path, 2000, NULL), RUDD_OK);
    assert_int_equal(serve_sql_run(holder, "BEGIN IMMEDIATE", NULL, 0, NULL, NULL, NULL), RUDD_OK);
    predict(id, NULL, 1);
    assert_said("prediction_id", id, "bream", "spooled"); /* after the time limit of the first try */
    predict(id, NULL, 1);
    assert_said("prediction_id", id, "bream", "spooled");
    assert_true(metric(s.port, "rudd_store_up") == 0);
    assert_true(metric(s.port, "rudd_store_spool_rows") >= 4);
    serve_sql_close(holder);
    for (int i = 0; i < 100 && metric(s.port, "rudd_store_up") == 0; i++) pause_ms(100);
    assert_true(metric(s.port, "rudd_store_up") == 1);
    assert_true(metric(s.port, "rudd_store_spool_rows") == 0);
    assert_true(metric(s.port, "rudd_store_replayed_total") >= 4);
    assert_int_equal(ask_store("SELECT COUNT(*) FROM feedback"), before + 2);
}

/* The kept pictures come out under their newest labels, byte for byte. */
static void training_folder(void **state)
{
    (void)state;
    char binary[PATH_MAX], line[PATH_MAX + 1000], path[600], hash[80], id[40];
    predict(id, hash, 0);
    assert_said("image_hash", hash, "zander", "stored"); /* the fourth opinion on this picture */
    server_stop(s);
    server_binary(binary, sizeof binary);
    strcpy(strrchr(binary, '/'), "/rudd");
    snprintf(line, sizeof line, "%s data feedback %s --store %s -o %s/train > %s/said", binary, images_path, store_path, folder,
             folder);
    assert_int_equal(system(line), 0);
    snprintf(path, sizeof path, "%s/train/zander/%s.png", folder, hash);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *bytes = malloc(pictures[0].length + 1);
    assert_int_equal(fread(bytes, 1, pictures[0].length + 1, f), pictures[0].length);
    assert_memory_equal(bytes, pictures[0].data, pictures[0].length);
    fclose(f);
    free(bytes);
    snprintf(line, sizeof line, "test $(find %s/train -type f | wc -l) = 2 && test -d %s/train/bream", folder, folder);
    assert_int_equal(system(line), 0);
    /* The same from the file that the server may have been told, whose words no message repeats. */
    snprintf(line, sizeof line,
             "echo sqlite:%s > %s/where && cd %s && %s data feedback %s --store-file where -o by_file && diff -r train by_file",
             store_path, folder, folder, binary, images_path);
    assert_int_equal(system(line), 0);
    snprintf(line, sizeof line,
             "cd %s && echo 'postgresql://a:se@cret@h/b' > where && %s data feedback %s --store-file where -o none 2> said; "
             "test $? = 2 -a $(wc -l < said) = 1 && ! grep -q cret said",
             folder, binary, images_path);
    assert_int_equal(system(line), 0);
    snprintf(line, sizeof line, "cd %s && %s data feedback %s --store-file where --store %s -o none 2> said; test $? = 2",
             folder, binary, images_path, store_path);
    assert_int_equal(system(line), 0);
    snprintf(line, sizeof line, "%s data feedback %s --store %s/none -o %s/other 2> /dev/null", binary, images_path, folder,
             folder);
    assert_int_not_equal(system(line), 0);
}

/* Without a store the server answers, keeps nothing and says so; a password has no place on a command line. */
static void without_store(void **state)
{
    (void)state;
    char binary[PATH_MAX], line[PATH_MAX + 1000];
    s = server_start(model_path, "--store", "none", NULL);
    struct answer a = post(s.port, "/predict", "image/png", pictures[0].data, pictures[0].length);
    assert_int_equal(a.code, 200);
    assert_null(strstr(a.body, "image_hash"));
    answer_free(&a);
    assert_problem(say("prediction_id", "0123456789abcdef0123456789abcdef", "pike"), 404, "no_store");
    server_stop(s);
    server_binary(binary, sizeof binary);
    snprintf(line, sizeof line,
             "%s --model %s --listen :0 --store postgresql://a:secret@127.0.0.1:1/b 2>&1 | grep -q PGPASSFILE", binary,
             model_path);
    assert_int_equal(system(line), 0);
    snprintf(line, sizeof line, "%s --model %s --listen :0 --store %s/none/store 2> /dev/null", binary, model_path, folder);
    assert_int_equal(WEXITSTATUS(system(line)), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(feedback_is_kept), cmocka_unit_test(others_cannot_read),
                                       cmocka_unit_test(wrong_feedback),   cmocka_unit_test(store_away),
                                       cmocka_unit_test(training_folder),  cmocka_unit_test(without_store)};
    return cmocka_run_group_tests(tests, begin, remove_fish);
}
