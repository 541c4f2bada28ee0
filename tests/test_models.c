/* test_models.c - versions of the model that come and go while they answer: first the registry and the engine in this process (where
 * ThreadSanitizer sees all of it), then rudd-serve with clients over sockets. No request fails, each answer is that of exactly the version
 * that it names, and a file that is no good changes nothing. */
#define _GNU_SOURCE /* strcasestr, memmem */
#include "serve/models.h"
#include "tests/pictures.h"
#include "tests/sanitized.h"
#include "tests/serve_client.h"
#include "weights/golden.h"
#include "weights/model_file.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum { CLASSES = 4, SIZE = 64, VERSIONS = 3, CLIENTS = 4, SWAPS = SANITIZED ? 10 : 100 };
static const char *const names[CLASSES] = {"pike", "perch", "roach", "zander"};
static const char *const versions[VERSIONS] = {"v1", "v2", "v3"};
static struct rudd_error err;
static char folder[64], masters[VERSIONS][128], served[128];
static struct bytes picture;
static float expected[VERSIONS][CLASSES];

static char *in_folder(char path[128], const char *name)
{
    snprintf(path, 128, "%s/%s", folder, name);
    return path;
}

static void save_version(int v)
{
    struct nn_model *m;
    struct nn_class classes[CLASSES] = {{0}};
    for (int i = 0; i < CLASSES; i++) classes[i].name = (char *)(uintptr_t)names[i];
    assert_int_equal(nn_model_create(&m, "rudd_nano", CLASSES, &err), RUDD_OK);
    nn_model_init_params(m, (uint64_t)v + 1, NULL);
    m->preprocess.image_size = SIZE;
    for (int i = 0; i < m->param_count; i++)
        for (size_t k = 0; m->params[i].kind == NN_LINEAR_WEIGHT && k < m->params[i].count; k++)
            m->values[m->params[i].offset + k] *= 100;
    assert_int_equal(nn_model_set_classes(m, classes, CLASSES, &err), RUDD_OK);
    assert_int_equal(nn_model_set_text(&m->run, versions[v], &err), RUDD_OK);
    assert_int_equal(weights_model_save(masters[v], m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    nn_model_destroy(m);
}

static int setup(void **state)
{
    (void)state;
    rudd_set_threads(1);
    folder_create(folder);
    in_folder(served, "served.safetensors");
    picture = picture_jpeg(&(struct picture){.w = 120, .h = 90});
    for (int v = 0; v < VERSIONS; v++) {
        rudd_model *model;
        rudd_session *session;
        in_folder(masters[v], versions[v]); /* no ending: not one of a folder's models */
        save_version(v);
        assert_int_equal(rudd_model_open(&model, masters[v], &err), RUDD_OK);
        assert_int_equal(rudd_session_create(&session, model, 1, &err), RUDD_OK);
        assert_int_equal(rudd_predict_bytes(session, picture.at, picture.length, NULL, &err), RUDD_OK);
        memcpy(expected[v], rudd_session_probabilities(session), sizeof expected[v]);
        rudd_session_destroy(session);
        rudd_model_close(model);
    }
    assert_true(memcmp(expected[0], expected[1], sizeof expected[0]));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(picture.at);
    folder_remove(folder);
    return 0;
}

static struct text read_file(const char *path)
{
    struct text t = {0};
    char piece[65536];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) text_add(&t, piece, n);
    fclose(f);
    return t;
}

/* The file at path becomes these bytes, at once. Runs in threads: no assertions. */
static void put_bytes(const char *path, const char *data, size_t n)
{
    char fresh[200];
    snprintf(fresh, sizeof fresh, "%s.fresh", path);
    FILE *f = fopen(fresh, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f) || rename(fresh, path)) abort();
}

static void put_version(const char *path, int v)
{
    struct text t = read_file(masters[v]);
    put_bytes(path, t.data, t.length);
    free(t.data);
}

/* A version's file that has become something else. */
enum damage { CUT, ZEROS, NO_GOLDEN, GARBAGE, NO_CLASSES };
static void put_damaged(const char *path, int v, enum damage damage)
{
    struct text t = read_file(masters[v]);
    if (damage == CUT) t.length = t.length * 3 / 4;
    if (damage == ZEROS) memset(t.data + t.length - t.length / 8, 0, t.length / 8); /* the classifier among them */
    if (damage == GARBAGE) memset(t.data, 'x', t.length);
    const char *key = damage == NO_GOLDEN ? "rudd.golden" : damage == NO_CLASSES ? "rudd_nano" : NULL;
    for (char *at; key && (at = memmem(t.data, t.length, key, strlen(key)));) at[2] = 'x';
    put_bytes(path, t.data, t.length);
    free(t.data);
}

/* ---- the registry ------------------------------------------------------------------------------------------------------------ */

static pthread_mutex_t news_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news_came = PTHREAD_COND_INITIALIZER;
static int loaded, failed, retired, reloads;
static char last_failure[3000];

static void hear(void *user, enum serve_model_event event, const struct serve_model *model, const char *line)
{
    (void)user, (void)model;
    pthread_mutex_lock(&news_mutex);
    loaded += event == SERVE_MODEL_LOADED;
    failed += event == SERVE_MODEL_FAILED;
    retired += event == SERVE_MODEL_RETIRED;
    if (event == SERVE_MODEL_FAILED) snprintf(last_failure, sizeof last_failure, "%s", line);
    pthread_cond_broadcast(&news_came);
    pthread_mutex_unlock(&news_mutex);
}

static void wait_news(const int *counter, int least)
{
    pthread_mutex_lock(&news_mutex);
    while (*counter < least) pthread_cond_wait(&news_came, &news_mutex);
    pthread_mutex_unlock(&news_mutex);
}

static void was_reloaded(struct serve_reload *reload)
{
    (void)reload;
    pthread_mutex_lock(&news_mutex);
    reloads++;
    pthread_cond_broadcast(&news_came);
    pthread_mutex_unlock(&news_mutex);
}

static struct serve_reload reload_now(struct serve_models *models)
{
    struct serve_reload r = {.done = was_reloaded};
    int before = reloads;
    serve_models_reload(models, &r);
    wait_news(&reloads, before + 1);
    return r;
}

static struct serve_models *registry(const char *path, const char *more, int watch_ms)
{
    struct serve_models *models;
    const struct serve_models_options o = {.paths = &path,
                                           .path_count = path != NULL,
                                           .folder = more,
                                           .workers = 2,
                                           .max_batch = 2,
                                           .watch_ms = watch_ms,
                                           .news = hear};
    loaded = failed = retired = 0;
    if (serve_models_create(&models, &o, &err)) fail_msg("%s", err.message);
    return models;
}

static void assert_version(struct serve_models *models, const char *choice, const char *version)
{
    const struct serve_model *m = serve_models_get(models, choice);
    if (version)
        assert_string_equal(m->version, version);
    else
        assert_null(m);
    serve_models_put(models, m);
}

/* A damaged file, whichever way, leaves the version that serves; a sound one takes its place; one without a golden answer may. */
static void damaged_files_change_nothing(void **state)
{
    (void)state;
    static const enum damage bad[] = {CUT, ZEROS, GARBAGE, NO_CLASSES};
    put_version(served, 0);
    struct serve_models *models = registry(served, NULL, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_damaged(served, 1, bad[i]);
        struct serve_reload r = reload_now(models);
        assert_int_equal(r.loaded, 0);
        assert_int_equal(r.failed, 1);
        assert_true(r.err.status && strlen(r.err.message) > 10);
        assert_int_equal(failed, i + 1);
        assert_non_null(strstr(last_failure, "stays at version v1"));
        if (bad[i] == ZEROS) assert_non_null(strstr(last_failure, "golden"));
        assert_version(models, NULL, "v1");
    }
    unlink(served);
    assert_int_equal(reload_now(models).failed, 1);
    assert_version(models, NULL, "v1");
    put_version(served, 1);
    assert_int_equal(reload_now(models).loaded, 1);
    assert_version(models, NULL, "v2");
    const struct serve_model *m = serve_models_get(models, NULL);
    assert_true(m->golden);
    serve_models_put(models, m);
    put_damaged(served, 2, NO_GOLDEN);
    assert_int_equal(reload_now(models).loaded, 1);
    m = serve_models_get(models, NULL);
    assert_false(m->golden);
    assert_string_equal(m->version, "v3");
    serve_models_put(models, m);
    serve_models_destroy(models);
}

/* Golden answers: the logits of the writer, within the tolerance and not beyond; no NaN passes. */
static void golden_answers(void **state)
{
    (void)state;
    struct nn_model *m;
    rudd_session *session;
    float x[3 * SIZE * SIZE], logits[CLASSES];
    assert_int_equal(weights_model_load(&m, masters[0], NULL, NULL, &err), RUDD_OK);
    assert_non_null(m->golden);
    weights_golden_input(x, SIZE);
    assert_int_equal(rudd_session_create(&session, m, 1, &err), RUDD_OK);
    assert_int_equal(rudd_predict_tensor(session, x, 1, NULL, &err), RUDD_OK);
    memcpy(logits, rudd_session_logits(session), sizeof logits);
    assert_int_equal(weights_golden_check(m, logits, &err), RUDD_OK);
    float largest = 0;
    for (int i = 0; i < CLASSES; i++) largest = logits[i] > largest ? logits[i] : -logits[i] > largest ? -logits[i] : largest;
    for (int i = 0; i < CLASSES; i++) {
        const float was = logits[i], wrong[] = {was + 0.03f * largest, was - 0.03f * largest, 0.0f / (largest - largest)};
        logits[i] = was + 0.01f * largest;
        assert_int_equal(weights_golden_check(m, logits, &err), RUDD_OK);
        for (int k = 0; k < 3; k++) {
            logits[i] = wrong[k];
            assert_int_equal(weights_golden_check(m, logits, &err), RUDD_MISMATCH);
        }
        logits[i] = was;
    }
    static const char *const malformed[] = {
        NULL, "", "{}", "[]", "{\"size\":64}", "{\"size\":64,\"logits\":[1,2,3]}", "{\"size\":65,\"logits\":[1,2,3,4]}"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        assert_int_equal(nn_model_set_text(&m->golden, malformed[i], &err), RUDD_OK);
        assert_int_equal(weights_golden_check(m, logits, &err), RUDD_FORMAT);
    }
    rudd_session_destroy(session);
    nn_model_destroy(m);
}

/* Files named, files in a folder, the default, choosing by version or by file, coming and going; a text that failed is tried once. */
static void versions_come_and_go(void **state)
{
    (void)state;
    char dir[128], a[160], b[160], c[160];
    in_folder(dir, "models");
    mkdir(dir, 0777);
    snprintf(a, sizeof a, "%s/a.safetensors", dir);
    snprintf(b, sizeof b, "%s/b.safetensors", dir);
    snprintf(c, sizeof c, "%s/c.safetensors", dir);
    put_version(served, 2);
    put_version(b, 1);
    struct serve_models *models = registry(served, dir, 5);
    const struct serve_model *all[SERVE_MODELS_MAX];
    assert_int_equal(serve_models_all(all, models), 2);
    assert_string_equal(all[0]->version, "v3");
    assert_string_equal(all[1]->version, "v2");
    serve_models_put(models, all[0]);
    assert_version(models, NULL, "v3");
    assert_version(models, "", "v3");
    assert_version(models, "v2", "v2");
    assert_version(models, "b", "v2");
    assert_version(models, "served", "v3");
    assert_version(models, "v1", NULL);

    put_version(a, 0); /* appears */
    wait_news(&loaded, 3);
    assert_version(models, "v1", "v1");
    assert_version(models, NULL, "v3");
    put_damaged(c, 1, CUT);
    wait_news(&failed, 1);
    put_damaged(c, 1, NO_GOLDEN); /* a version that is served already */
    wait_news(&failed, 2);
    assert_non_null(strstr(last_failure, "served already"));
    put_version(served, 0); /* so is this */
    wait_news(&failed, 3);
    assert_version(models, NULL, "v3");
    pause_ms(50);
    assert_int_equal(failed, 3);
    unlink(c);
    unlink(b); /* while somebody holds it */
    wait_news(&retired, 1);
    assert_version(models, "v2", NULL);
    assert_string_equal(all[1]->version, "v2");
    assert_string_equal(all[1]->name, "b");
    serve_models_put(models, all[1]);
    unlink(a);
    wait_news(&retired, 2);
    put_version(served, 1); /* a named file may change its version */
    wait_news(&loaded, 4);
    assert_version(models, NULL, "v2");
    unlink(served); /* and stays when it goes */
    pause_ms(30);
    assert_version(models, NULL, "v2");
    serve_models_destroy(models);
}

/* What cannot be served is said at the start. */
static void bad_starts(void **state)
{
    (void)state;
    char dir[128];
    in_folder(dir, "empty");
    mkdir(dir, 0777);
    put_damaged(served, 0, ZEROS);
    const char *twice[] = {masters[0], masters[1], masters[0]}, *bad = served;
    const struct serve_models_options tries[] = {{.paths = twice, .path_count = 3, .workers = 1, .max_batch = 1},
                                                 {.paths = &bad, .path_count = 1, .workers = 1, .max_batch = 1},
                                                 {.folder = dir, .workers = 1, .max_batch = 1},
                                                 {.folder = "/nowhere", .workers = 1, .max_batch = 1}};
    static const enum rudd_status want[] = {RUDD_ARGUMENT, RUDD_MISMATCH, RUDD_ARGUMENT, RUDD_IO};
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        struct serve_models *models = NULL;
        assert_int_equal(serve_models_create(&models, &tries[i], &err), want[i]);
        assert_null(models);
    }
}

/* A run's folder is served under its name; another file in it changes nothing, a new best model is loaded. */
static void a_run_folder_is_watched(void **state)
{
    (void)state;
    char run[128], model[128], log[128];
    in_folder(run, "mine");
    in_folder(model, "mine/model.safetensors");
    in_folder(log, "mine/metrics.jsonl");
    assert_int_equal(mkdir(run, 0777), 0);
    put_version(model, 0);
    struct serve_models *models = registry(run, NULL, 20);
    const struct serve_model *m = serve_models_get(models, "mine");
    assert_non_null(m);
    assert_string_equal(m->name, "mine");
    serve_models_put(models, m);
    assert_version(models, NULL, "v1");
    const int before = loaded;
    put_bytes(log, "{}", 2);
    pause_ms(100);
    assert_int_equal(loaded, before);
    put_version(model, 1);
    wait_news(&loaded, before + 1);
    assert_version(models, NULL, "v2");
    serve_models_destroy(models);
    unlink(model);
    unlink(log);
    rmdir(run);
}

/* Whichever allocation fails while a model is swapped, the one that serves stays, and the next attempt succeeds. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    put_version(served, 0);
    struct serve_models *models = registry(served, NULL, 0);
    put_version(served, 1);
    struct serve_reload r = {.failed = 1};
    long n = 1;
    for (; r.failed; n++) {
        if (n > 60) n += 17; /* the network's own are tested elsewhere */
        assert_version(models, NULL, "v1");
        fail_allocation(n);
        r = reload_now(models);
        fail_allocation(0);
        if (r.failed) assert_int_equal(r.err.status, RUDD_NO_MEMORY);
    }
    assert_true(n > 60);
    assert_version(models, NULL, "v2");
    rudd_set_alloc_hook(NULL, NULL);
    serve_models_destroy(models);
}

/* ---- under load, in this process ----------------------------------------------------------------------------------------------- */

struct client {
    pthread_t thread;
    struct serve_models *models;
    struct serve_engine *engine;
    int port;
    atomic_bool *stop;
    int answers, wrong, seen[VERSIONS];
};

struct call {
    struct serve_job job;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool done;
};

static void called_back(struct serve_job *job)
{
    struct call *c = job->user;
    pthread_mutex_lock(&c->mutex);
    c->done = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->mutex);
}

static int version_index(const char *version)
{
    int v = 0;
    while (v < VERSIONS && strcmp(versions[v], version)) v++;
    return v;
}

static void *ask_engine(void *arg)
{
    struct client *c = arg;
    while (!atomic_load(c->stop)) {
        float p[CLASSES];
        const struct serve_model *m = serve_models_get(c->models, NULL);
        struct call call = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
        call.job = (struct serve_job){.net = &m->net,
                                      .bytes = picture.at,
                                      .length = picture.length,
                                      .done = called_back,
                                      .user = &call,
                                      .probabilities = p};
        if (serve_engine_submit(c->engine, &call.job)) {
            pthread_mutex_lock(&call.mutex);
            while (!call.done) pthread_cond_wait(&call.changed, &call.mutex);
            pthread_mutex_unlock(&call.mutex);
        } else {
            call.job.status = RUDD_LIMIT;
        }
        int v = version_index(m->version);
        c->answers++;
        c->seen[v % VERSIONS]++;
        c->wrong += v == VERSIONS || call.job.status || memcmp(p, expected[v], sizeof p);
        serve_models_put(c->models, m);
    }
    return NULL;
}

/* Many swaps while threads predict: each answer is that of the version that was got, and all memory is given back. */
static void swaps_under_load(void **state)
{
    (void)state;
    put_version(served, 0);
    struct serve_models *models = registry(served, NULL, 0);
    const struct serve_engine_options o = {
        .workers = 2, .decoders = 2, .max_batch = 2, .max_delay_ms = 1, .limit = CLIENTS, .limits = data_limits_default};
    struct serve_engine *engine;
    struct client clients[CLIENTS];
    atomic_bool stop = false;
    assert_int_equal(serve_engine_create(&engine, &o, &err), RUDD_OK);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.models = models, .engine = engine, .stop = &stop};
        pthread_create(&clients[i].thread, NULL, ask_engine, &clients[i]);
    }
    for (int i = 1; i <= SWAPS; i++) {
        put_version(served, i % VERSIONS);
        assert_int_equal(reload_now(models).loaded, 1);
        assert_version(models, NULL, versions[i % VERSIONS]);
    }
    atomic_store(&stop, true);
    int seen[VERSIONS] = {0};
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_true(clients[i].answers > 0);
        assert_int_equal(clients[i].wrong, 0);
        for (int v = 0; v < VERSIONS; v++) seen[v] += clients[i].seen[v];
    }
    for (int v = 0; v < VERSIONS; v++) assert_true(seen[v] > 0);
    assert_int_equal(loaded, SWAPS + 1);
    assert_int_equal(retired, SWAPS);
    serve_engine_destroy(engine);
    serve_models_destroy(models);
}

/* ---- under load, over HTTP ------------------------------------------------------------------------------------------------------- */

/* The version that an answer names, when it is whole and has that version's probabilities; VERSIONS: it is wrong. No assertions: threads. */
static int check_answer(const struct answer *a)
{
    json_t *root = a->code == 200 ? json_loads(a->body, 0, NULL) : NULL, *all = json_object_get(root, "all_predictions");
    const char *version = json_string_value(json_object_get(root, "model_version"));
    int v = version ? version_index(version) : VERSIONS;
    for (int i = 0; v < VERSIONS && i < CLASSES; i++)
        if ((float)json_number_value(json_object_get(all, names[i])) != expected[v][i]) v = VERSIONS;
    json_decref(root);
    return v;
}

static void *ask_server(void *arg)
{
    struct client *c = arg;
    while (!atomic_load(c->stop)) {
        struct answer a = post(c->port, "/predict", "image/jpeg", picture.at, picture.length);
        int v = check_answer(&a);
        c->answers++;
        c->wrong += v == VERSIONS;
        if (v < VERSIONS) c->seen[v]++;
        answer_free(&a);
    }
    return NULL;
}

static struct answer reload_server(int port)
{
    return ask(port, "POST", "/admin/reload", "", "", 0);
}

/* A hundred swaps, a few failed ones among them, with clients all the while: none hears anything but answers, each of one version. */
static void served_swaps(void **state)
{
    (void)state;
    put_version(served, 0);
    struct server s = server_start(served, "--workers", "2", "--watch-ms", "0", NULL);
    struct client clients[CLIENTS];
    atomic_bool stop = false;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.port = s.port, .stop = &stop};
        pthread_create(&clients[i].thread, NULL, ask_server, &clients[i]);
    }
    int broken = 0;
    for (int i = 1; i <= SWAPS; i++) {
        if (i % 10 == 0) {
            put_damaged(served, i % VERSIONS, i % 20 ? CUT : ZEROS);
            broken++;
            assert_problem(reload_server(s.port), 500, "reload_failed");
        }
        put_version(served, i % VERSIONS);
        struct answer a = reload_server(s.port);
        assert_int_equal(a.code, 200);
        assert_non_null(strstr(a.body, versions[i % VERSIONS]));
        answer_free(&a);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_true(clients[i].answers > 0);
        assert_int_equal(clients[i].wrong, 0);
    }
    assert_true(metric(s.port, "rudd_model_loads_total{result=\"ok\"}") == SWAPS);
    assert_true(metric(s.port, "rudd_model_loads_total{result=\"failed\"}") == broken);
    server_stop(s);
}

/* Waits until the default version is this one. */
static void wait_version(int port, const char *version)
{
    for (bool there = false; !there; pause_ms(10)) {
        struct answer a = get(port, "/model_info");
        json_t *root = answer_json(&a);
        there = !strcmp(json_string_value(json_object_get(root, "version")), version);
        json_decref(root);
        answer_free(&a);
    }
}

/* SIGHUP and a changed file swap, too; X-Model-Version chooses; what it does not know is 404. */
static void signals_files_and_headers(void **state)
{
    (void)state;
    put_version(served, 0);
    struct server s = server_start(served, "--model", masters[1], "--watch-ms", "0", NULL);
    static const struct {
        const char *header;
        int version;
    } choices[] = {{"", 0}, {"X-Model-Version: v1\r\n", 0}, {"X-Model-Version: v2\r\n", 1}, {"X-Model-Version: served\r\n", 0}};
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        struct answer a = ask(s.port, "POST", "/predict", choices[i].header, picture.at, picture.length);
        assert_int_equal(check_answer(&a), choices[i].version);
        answer_free(&a);
    }
    assert_problem(ask(s.port, "POST", "/predict", "X-Model-Version: v9\r\n", picture.at, picture.length), 404,
                   "unknown_model");
    assert_problem(ask(s.port, "GET", "/model_info", "X-Model-Version: \x84\r\n", NULL, 0), 404,
                   "unknown_model"); /* not UTF-8 */
    struct answer a = ask(s.port, "GET", "/model_info", "X-Model-Version: v2\r\n", NULL, 0);
    json_t *root = answer_json(&a);
    assert_string_equal(json_string_value(json_object_get(root, "version")), "v2");
    assert_int_equal(json_array_size(json_object_get(root, "versions")), 2);
    json_decref(root);
    answer_free(&a);
    put_version(served, 2);
    kill(s.pid, SIGHUP);
    wait_version(s.port, "v3");
    server_stop(s);

    put_version(served, 0);
    s = server_start(served, "--watch-ms", "5", NULL);
    put_version(served, 1);
    wait_version(s.port, "v2");
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_answers),           cmocka_unit_test(damaged_files_change_nothing),
        cmocka_unit_test(versions_come_and_go),     cmocka_unit_test(bad_starts),
        cmocka_unit_test(a_run_folder_is_watched),  cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(swaps_under_load),         cmocka_unit_test(served_swaps),
        cmocka_unit_test(signals_files_and_headers)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
