/* test_ask.c - a picture's way through cache and engine. In this process: equal pictures at once are computed once, and what befalls the first does
 * not befall those who wait for it. Then a server: /predict, batches and /v2 share answers, and all are logged.
 *
 * No test waits for a time to pass: the worker is held inside `done` (a gate) until what the test claims has happened. */
#define _GNU_SOURCE /* strcasestr */
#include "serve/clock.h"
#include "serve/routes.h"
#include "serve/store_sql.h"
#include "tests/gate.h"
#include "tests/serve_fish.h"
#include "weights/model_file.h"

enum { MOST = 12, DECODED = 3 }; /* pictures that are decoded ahead: two for the worker, one for the decoder */
static float expected[PICTURES][CLASSES];
static struct serve_model model;
static struct rudd_error err;

static int make_all(void **state)
{
    (void)state;
    const struct weights_load_options load = {.predict_only = true, .hash = true};
    rudd_set_threads(1);
    make_fish("ask");
    predict_fish(expected);
    assert_int_equal(weights_model_load(&model.model, model_path, &load, NULL, &err), RUDD_OK);
    assert_int_equal(serve_net_init(&model.net, model.model, false, 1, 1, &err), RUDD_OK);
    return 0;
}

static int remove_all(void **state)
{
    serve_net_free(&model.net);
    rudd_model_close(model.model);
    return remove_fish(state);
}

/* ---- a server's inside, and askers --------------------------------------------------------------------------------------------- */

static void begin(struct serve_server *s, int entries, int queue)
{
    const struct serve_cache_options cache = {.entries = entries, .bytes = 1 << 20, .ttl_s = 3600};
    const struct serve_engine_options engine = {
        .workers = 1, .decoders = 1, .max_batch = 1, .limit = queue, .limits = data_limits_default};
    *s = (struct serve_server){.options = {.queue = queue}};
    assert_int_equal(serve_metrics_create(&s->metrics, &err), RUDD_OK);
    assert_int_equal(serve_cache_create(&s->cache, &cache, s->metrics, &err), RUDD_OK);
    assert_int_equal(serve_asks_create(&s->asks, &err), RUDD_OK);
    assert_int_equal(serve_engine_create(&s->engine, &engine, &err), RUDD_OK);
}

static void end(struct serve_server *s)
{
    serve_engine_destroy(s->engine);
    serve_asks_destroy(s->asks);
    serve_cache_destroy(s->cache);
    serve_metrics_destroy(s->metrics);
}

struct asker {
    struct serve_ask ask;
    float probabilities[CLASSES];
    int picture, ended;
    bool holds; /* the worker, while the gate is shut */
};

static void done(struct serve_ask *ask)
{
    struct asker *a = ask->user;
    pthread_mutex_lock(&gate.mutex);
    a->ended++;
    gate_pass(a->holds);
    pthread_mutex_unlock(&gate.mutex);
}

/* Asks; deadline_ms from now, 0: none. Whether the answer was in memory. */
static bool begin_ask(struct asker *a, struct serve_server *s, int picture, double deadline_ms)
{
    *a = (struct asker){.picture = picture};
    serve_ask_init(&a->ask, s, &model, a->probabilities, done, a);
    a->ask.job.bytes = (const uint8_t *)pictures[picture].data;
    a->ask.job.length = pictures[picture].length;
    a->ask.job.deadline_ms = deadline_ms > 0 ? serve_now_ms() + deadline_ms : 0;
    if (serve_ask_find(&a->ask)) return true;
    serve_ask_go(&a->ask);
    return false;
}

/* The worker stands at the gate, with a picture that no test asks for again. */
static void hold_worker(struct asker *a, struct serve_server *s)
{
    gate_set(true);
    gate.inside = gate.ended = 0;
    *a = (struct asker){.picture = PICTURES - 1, .holds = true};
    serve_ask_init(&a->ask, s, &model, a->probabilities, done, a);
    a->ask.job.bytes = (const uint8_t *)pictures[a->picture].data;
    a->ask.job.length = pictures[a->picture].length;
    assert_false(serve_ask_find(&a->ask));
    serve_ask_go(&a->ask);
    wait_for(&gate.inside, 1);
}

static void assert_right(const struct asker *a, bool cached)
{
    assert_int_equal(a->ask.job.status, RUDD_OK);
    assert_int_equal(a->ask.job.cached, cached);
    assert_memory_equal(a->probabilities, expected[a->picture], sizeof a->probabilities);
}

/* ---- equal pictures -------------------------------------------------------------------------------------------------------------- */

/* Of each picture that many ask for at once, the first is computed, and the others have its answer; without a cache each is computed. */
static void equal_pictures_are_computed_once(void **state)
{
    (void)state;
    for (int entries = 0; entries <= 100; entries += 100) {
        struct serve_server s;
        struct asker holder, a[MOST];
        begin(&s, entries, MOST);
        hold_worker(&holder, &s);
        for (int i = 0; i < MOST; i++) assert_false(begin_ask(&a[i], &s, i % 3, 0));
        gate_set(false);
        wait_for(&gate.ended, 1 + MOST);
        for (int i = 0; i < MOST; i++) {
            assert_int_equal(a[i].ended, 1);
            assert_right(&a[i], entries && i >= 3);
        }
        assert_int_equal(begin_ask(&a[0], &s, 0, 0), entries > 0);
        end(&s);
    }
}

/* The first one's deadline passes while it waits: it is late, the others are answered all the same, computed once. */
static void a_late_first_fails_alone(void **state)
{
    (void)state;
    struct serve_server s;
    struct asker holder, late, a[4];
    begin(&s, 100, MOST);
    hold_worker(&holder, &s);
    assert_false(begin_ask(&late, &s, 0, 30));
    for (int i = 0; i < 4; i++) begin_ask(&a[i], &s, 0, i < 2 ? 3600e3 : 0);
    wait_for(&late.ended, 1);
    assert_true(late.ask.job.late);
    gate_set(false);
    wait_for(&gate.ended, 6);
    int computed = 0;
    for (int i = 0; i < 4; i++) {
        assert_right(&a[i], a[i].ask.job.cached);
        computed += !a[i].ask.job.cached;
    }
    assert_int_equal(computed, 1);
    end(&s);
}

/* Who must be answered soon does not wait for one that has time. */
static void nobody_waits_for_a_slower_one(void **state)
{
    (void)state;
    struct serve_server s;
    struct asker holder, patient, hasty;
    begin(&s, 100, MOST);
    hold_worker(&holder, &s);
    assert_false(begin_ask(&patient, &s, 0, 0));
    assert_false(begin_ask(&hasty, &s, 0, 20));
    wait_for(&hasty.ended, 1); /* with the gate shut: it had a deadline of its own */
    assert_true(hasty.ask.job.late);
    assert_int_equal(patient.ended, 0);
    gate_set(false);
    wait_for(&gate.ended, 3);
    assert_right(&patient, false);
    end(&s);
}

/* A full queue is said at once, and who asks again later is answered. */
static void a_full_queue_is_said(void **state)
{
    (void)state;
    struct serve_server s;
    struct serve_problem p = {0};
    struct asker holder, full;
    static struct asker a[MOST];
    struct text copies[MOST];
    int count = 0;
    begin(&s, 100, 1);
    hold_worker(&holder, &s);
    for (bool in = true; in; count++) { /* other bytes each time: behind a PNG's end anything may stand */
        assert_true(count < MOST);
        copies[count] = (struct text){0};
        text_add(&copies[count], pictures[0].data, pictures[0].length);
        text_add(&copies[count], &count, sizeof count);
        serve_ask_init(&a[count].ask, &s, &model, a[count].probabilities, done, &a[count]);
        a[count].ask.job.bytes = (const uint8_t *)copies[count].data;
        a[count].ask.job.length = copies[count].length;
        assert_false(serve_ask_find(&a[count].ask));
        serve_ask_go(&a[count].ask);
        in = !a[count].ask.full;
        while (count < DECODED && serve_engine_waiting(s.engine)) pause_ms(1);
    }
    assert_int_equal(count, DECODED + 2); /* one waits, and the last one was refused */
    assert_false(begin_ask(&full, &s, 1, 0));
    assert_true(full.ask.full && full.ended == 1);
    serve_ask_refuse(&p, &full.ask);
    assert_string_equal(p.code, "overloaded");
    gate_set(false);
    wait_for(&gate.ended, 1 + count + 1);
    serve_ask_go(&full.ask);
    wait_for(&full.ended, 2);
    assert_right(&full, false);
    end(&s);
    for (int i = 0; i < count; i++) free(copies[i].data);
}

/* What is true of the bytes is said to all; when the engine gives up, all hear that, once. */
static void all_hear_what_is_theirs(void **state)
{
    (void)state;
    struct serve_server s;
    struct asker holder, a[4];
    const size_t whole = pictures[2].length;
    begin(&s, 100, MOST);
    hold_worker(&holder, &s);
    pictures[2].length = whole / 2;
    for (int i = 0; i < 4; i++) begin_ask(&a[i], &s, 2, 0);
    wait_for(&gate.ended, 1 + 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(a[i].ask.job.status, RUDD_FORMAT);
        assert_true(strlen(a[i].ask.job.err.message) > 5);
    }
    pictures[2].length = whole;
    for (int i = 0; i < 4; i++) begin_ask(&a[i], &s, 2, 0);
    while (serve_engine_waiting(s.engine)) pause_ms(1);
    for (bool all = false; !all; pause_ms(1)) { /* one may be in the decoder's hands */
        serve_engine_cancel(s.engine);
        pthread_mutex_lock(&gate.mutex);
        all = gate.ended >= 1 + 4 + 4;
        pthread_mutex_unlock(&gate.mutex);
    }
    for (int i = 0; i < 4; i++) {
        struct serve_problem p = {0};
        assert_int_equal(a[i].ended, 1);
        serve_ask_refuse(&p, &a[i].ask);
        assert_string_equal(p.code, "draining");
    }
    gate_set(false);
    end(&s);
}

/* Threads that ask for the same few pictures, with deadlines and without, while the cache forgets: each ask ends once, rightly or late. */
struct crowd {
    struct serve_server *server;
    pthread_t thread;
    unsigned seed;
    int right, late, wrong;
};

static void *ask_often(void *arg)
{
    struct crowd *c = arg;
    for (int i = 0; i < 60; i++) {
        struct asker a;
        int picture = (int)(rand_r(&c->seed) % (PICTURES - 1));
        bool here = begin_ask(&a, c->server, picture, rand_r(&c->seed) % 3 ? 0 : 1 + rand_r(&c->seed) % 8);
        if (!here) wait_for(&a.ended, 1);
        if (a.ask.job.late)
            c->late++;
        else if (a.ask.job.status || memcmp(a.probabilities, expected[picture], sizeof a.probabilities))
            c->wrong++;
        else
            c->right++;
    }
    return NULL;
}

static void crowds_are_answered(void **state)
{
    (void)state;
    struct serve_server s;
    struct crowd crowd[6];
    begin(&s, 1, MOST);
    for (int i = 0; i < 6; i++) {
        crowd[i] = (struct crowd){.server = &s, .seed = (unsigned)i + 1};
        assert_int_equal(pthread_create(&crowd[i].thread, NULL, ask_often, &crowd[i]), 0);
    }
    int right = 0;
    for (int i = 0; i < 6; i++) {
        pthread_join(crowd[i].thread, NULL);
        assert_int_equal(crowd[i].wrong, 0);
        right += crowd[i].right;
    }
    assert_true(right > 6 * 30);
    end(&s);
}

/* ---- three doors ------------------------------------------------------------------------------------------------------------------- */

static enum rudd_status read_number(void *user, const struct serve_sql_value *columns, struct rudd_error *e)
{
    (void)e;
    *(int64_t *)user = columns[0].integer;
    return RUDD_OK;
}

/* One picture through one of the three; whether it came from the cache (v2 does not say: -1). */
static int ask_door(int port, int door, const struct text *picture)
{
    struct text body = {0};
    char headers[128];
    struct answer a;
    if (door == 0) {
        a = post(port, "/predict", "image/png", picture->data, picture->length);
    } else if (door == 1) {
        text_print(&body, "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n");
        text_add(&body, picture->data, picture->length);
        text_print(&body, "\r\n--XX--\r\n");
        a = post(port, "/batch/predict", "multipart/form-data; boundary=XX", body.data, body.length);
    } else {
        const uint32_t n = (uint32_t)picture->length;
        text_print(&body,
                   "{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[1],"
                   "\"parameters\":{\"binary_data_size\":%u}}]}",
                   n + 4);
        snprintf(headers, sizeof headers, "Inference-Header-Content-Length: %zu\r\n", body.length);
        text_add(&body, &n, 4);
        text_add(&body, picture->data, picture->length);
        a = ask(port, "POST", "/v2/models/fish/infer", headers, body.data, body.length);
    }
    free(body.data);
    assert_int_equal(a.code, 200);
    json_t *root = answer_json(&a);
    const json_t *result = json_object_get(json_array_get(json_object_get(root, "results"), 0), "result");
    int cached = door == 2 ? -1 : json_is_true(json_object_get(door ? result : root, "cached"));
    json_decref(root);
    answer_free(&a);
    return cached;
}

/* Whichever door a picture comes through first, the others have its answer from the cache; each is logged, and its picture kept. */
static void three_doors_one_way(void **state)
{
    (void)state;
    char store[300], kept[300];
    int64_t rows = -1, hashes = -1;
    struct serve_sql *sql = NULL;
    snprintf(store, sizeof store, "%s/store", folder);
    snprintf(kept, sizeof kept, "%s/kept", folder);
    struct server s = server_start(model_path, "--store", store, "--keep-images", kept, NULL);
    for (int first = 0; first < 3; first++) {
        assert_true(ask_door(s.port, first, &pictures[first]) <= 0);
        for (int door = 0; door < 3; door++) assert_true(ask_door(s.port, door, &pictures[first]) != 0);
    }
    assert_true(metric(s.port, "rudd_cache_hits_total{tier=\"memory\"}") == 9);
    assert_true(metric(s.port, "rudd_stage_seconds_count{stage=\"infer\"}") == 3);
    assert_true(metric(s.port, "prediction_latency_seconds_count") == 12);
    server_stop(s);
    assert_int_equal(serve_sqlite_open(&sql, store, 2000, NULL), RUDD_OK);
    serve_sql_run(sql, "SELECT COUNT(*) FROM predictions WHERE request_id IS NOT NULL", NULL, 0, read_number, &rows, NULL);
    serve_sql_run(sql, "SELECT COUNT(DISTINCT image_hash) FROM predictions", NULL, 0, read_number, &hashes, NULL);
    serve_sql_close(sql);
    assert_int_equal(rows, 12);
    assert_int_equal(hashes, 3);
    char command[700];
    snprintf(command, sizeof command, "test $(find '%s' -name '*.png' | wc -l) = 3", kept);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equal_pictures_are_computed_once),
                                       cmocka_unit_test(a_late_first_fails_alone),
                                       cmocka_unit_test(nobody_waits_for_a_slower_one),
                                       cmocka_unit_test(a_full_queue_is_said),
                                       cmocka_unit_test(all_hear_what_is_theirs),
                                       cmocka_unit_test(crowds_are_answered),
                                       cmocka_unit_test(three_doors_one_way)};
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
