/* test_engine.c - the queue, the decoders and the batches, without HTTP: answers are those of a session alone, bit for bit, whoever shared
 * the run; what is full, late, broken or cancelled is said once; running a network allocates nothing.
 *
 * No test waits for a time to pass on a quiet machine: a worker is held inside `done` (a gate) until what the test claims has happened. */
#include "nn/model.h"
#include "nn/rng.h"
#include "serve/clock.h"
#include "serve/engine.h"
#include "tests/gate.h"
#include "tests/pictures.h"

#include <stdatomic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

enum { CLASSES = 6, PICTURES = 5, NETS = 2, MAX_JOBS = 64 };
static const int sizes[NETS] = {64, 96};
static struct rudd_error err;
static rudd_model *models[NETS];
static struct bytes pictures[PICTURES];
static float expected[NETS][PICTURES][CLASSES];

/* A network of random numbers whose answers differ between pictures. */
static rudd_model *make_model(int size, uint64_t seed)
{
    struct nn_model *m;
    assert_int_equal(nn_model_create(&m, "rudd_nano", CLASSES, &err), RUDD_OK);
    nn_model_init_params(m, seed, NULL);
    m->preprocess.image_size = size;
    for (int i = 0; i < m->param_count; i++)
        for (size_t k = 0; m->params[i].kind == NN_LINEAR_WEIGHT && k < m->params[i].count; k++)
            m->values[m->params[i].offset + k] *= 100;
    return m;
}

static int setup(void **state)
{
    (void)state;
    rudd_set_threads(1); /* two workers of one thread each */
    for (int i = 0; i < PICTURES; i++) {
        const struct picture p = {.w = 70 + 31 * i, .h = 150 - 17 * i, .orientation = i};
        pictures[i] = i % 2 ? picture_jpeg(&p) : picture_png(&(struct picture){.w = p.w, .h = p.h});
    }
    for (int n = 0; n < NETS; n++) {
        rudd_session *session;
        models[n] = make_model(sizes[n], (uint64_t)n + 5);
        assert_int_equal(rudd_session_create(&session, models[n], 1, &err), RUDD_OK);
        for (int i = 0; i < PICTURES; i++) {
            assert_int_equal(rudd_predict_bytes(session, pictures[i].at, pictures[i].length, NULL, &err), RUDD_OK);
            memcpy(expected[n][i], rudd_session_probabilities(session), sizeof expected[n][i]);
            for (int j = 0; j < i; j++) assert_true(memcmp(expected[n][i], expected[n][j], sizeof expected[n][i]));
        }
        rudd_session_destroy(session);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int n = 0; n < NETS; n++) rudd_model_close(models[n]);
    for (int i = 0; i < PICTURES; i++) free(pictures[i].at);
    return 0;
}

/* ---- jobs, and the gate that holds whoever ends one ---------------------------------------------------------------------- */

struct task {
    struct serve_job job;
    int net, picture;
    atomic_int ended; /* times done was called */
    int order;        /* of all ends, from 1 */
    float probabilities[CLASSES];
};

static pthread_t enders[MAX_JOBS]; /* that ended jobs well */
static int ender_count;

static void done(struct serve_job *job)
{
    struct task *t = job->user;
    pthread_mutex_lock(&gate.mutex);
    bool known = job->status != RUDD_OK; /* only workers stop at the gate: decoders must go on ending late jobs */
    for (int i = 0; i < ender_count; i++) known |= pthread_equal(enders[i], pthread_self());
    if (!known && ender_count < MAX_JOBS) enders[ender_count++] = pthread_self();
    atomic_fetch_add(&t->ended, 1);
    t->order = gate.ended + 1;
    gate_pass(!job->status);
    pthread_mutex_unlock(&gate.mutex);
}

static void make_task(struct task *t, const struct serve_net *nets, int net, int picture)
{
    memset(t, 0, sizeof *t);
    t->net = net;
    t->picture = picture;
    t->job = (struct serve_job){.net = &nets[net],
                                .bytes = pictures[picture].at,
                                .length = pictures[picture].length,
                                .done = done,
                                .user = t,
                                .probabilities = t->probabilities};
}

static void assert_right(const struct task *t)
{
    if (t->job.status) fail_msg("%s", t->job.err.message);
    assert_int_equal(t->ended, 1);
    assert_memory_equal(t->probabilities, expected[t->net][t->picture], sizeof t->probabilities);
    assert_true(t->job.batch >= 1 && t->job.decode_ms > 0 && t->job.infer_ms > 0 && t->job.queue_ms >= 0);
}

static struct serve_engine *start(struct serve_net nets[NETS], struct serve_engine_options o)
{
    struct serve_engine *e;
    gate.ended = gate.inside = ender_count = 0;
    if (!o.workers) o.workers = 1;
    if (!o.decoders) o.decoders = 1;
    if (!o.limit) o.limit = MAX_JOBS;
    o.limits = data_limits_default;
    for (int n = 0; n < NETS; n++)
        assert_int_equal(serve_net_init(&nets[n], models[n], false, o.workers, o.max_batch, &err), RUDD_OK);
    assert_int_equal(serve_engine_create(&e, &o, &err), RUDD_OK);
    return e;
}

static void stop(struct serve_engine *e, struct serve_net nets[NETS])
{
    serve_engine_destroy(e);
    for (int n = 0; n < NETS; n++) serve_net_free(&nets[n]);
}

/* Submits one picture and waits until the worker that computed it stands at the gate. */
static void hold_worker(struct serve_engine *e, const struct serve_net *nets, struct task *t)
{
    gate_set(true);
    make_task(t, nets, 0, 0);
    assert_true(serve_engine_submit(e, &t->job));
    wait_for(&gate.inside, 1);
}

/* ---- the two halves of a prediction ---------------------------------------------------------------------------------------- */

/* Pictures prepared by rudd_prepare_rgb and run together, in any number up to max_batch, get the bits of each alone. */
static void a_batch_is_its_pictures(void **state)
{
    (void)state;
    uint8_t *squares[PICTURES];
    for (int n = 0; n < NETS; n++) {
        size_t bytes = (size_t)sizes[n] * (size_t)sizes[n] * 3;
        rudd_session *session;
        assert_int_equal(rudd_session_create(&session, models[n], PICTURES, &err), RUDD_OK);
        for (int i = 0; i < PICTURES; i++) {
            struct data_image image;
            squares[i] = malloc(bytes);
            assert_int_equal(data_image_decode(&image, pictures[i].at, pictures[i].length, "", NULL, &err), RUDD_OK);
            assert_int_equal(rudd_prepare_rgb(squares[i], models[n], image.rgb, image.w, image.h, &err), RUDD_OK);
            data_image_free(&image);
        }
        for (int count = 1; count <= PICTURES; count++)
            for (int first = 0; first + count <= PICTURES; first++) {
                const uint8_t *const *some = (const uint8_t *const *)squares + first;
                assert_int_equal(rudd_predict_prepared(session, some, count, NULL, &err), RUDD_OK);
                assert_memory_equal(rudd_session_probabilities(session), expected[n][first],
                                    sizeof expected[n][0] * (size_t)count);
            }
        const uint8_t *const *all = (const uint8_t *const *)squares;
        assert_int_equal(rudd_predict_prepared(session, all, 0, NULL, &err), RUDD_ARGUMENT);
        assert_int_equal(rudd_predict_prepared(session, all, PICTURES + 1, NULL, &err), RUDD_ARGUMENT);
        assert_int_equal(rudd_session_set_views(session, 2, &err), RUDD_OK);
        assert_int_equal(rudd_predict_prepared(session, all, 1, NULL, &err), RUDD_ARGUMENT);
        assert_int_equal(rudd_prepare_rgb(squares[0], models[n], squares[0], 0, 1, &err), RUDD_ARGUMENT);
        for (int i = 0; i < PICTURES; i++) free(squares[i]);
        rudd_session_destroy(session);
    }
}

/* ---- batches ----------------------------------------------------------------------------------------------------------------- */

/* A picture that comes alone does not wait for others, however long it might. */
static void alone_runs_at_once(void **state)
{
    (void)state;
    struct serve_net nets[NETS];
    struct task t;
    struct serve_engine *e = start(nets, (struct serve_engine_options){.max_batch = 4, .max_delay_ms = 3600e3});
    for (int i = 0; i < PICTURES; i++) {
        make_task(&t, nets, 1, i);
        assert_true(serve_engine_submit(e, &t.job));
        wait_for(&gate.ended, i + 1);
        assert_right(&t);
        assert_int_equal(t.job.batch, 1);
    }
    stop(e, nets);
}

/* What came while the worker was busy shares runs, in the order of arrival: of max_batch, or of half of what is left where that is less. */
static void what_waited_shares_a_run(void **state)
{
    (void)state;
    enum { BATCH = 3, WAITING = 3 * BATCH };
    static const int runs[WAITING] = {3, 3, 3, 3, 3, 3, 2, 2, 1};
    struct serve_net nets[NETS];
    struct task first, t[WAITING];
    struct serve_engine *e = start(nets, (struct serve_engine_options){.max_batch = BATCH, .max_delay_ms = 3600e3});
    hold_worker(e, nets, &first);
    for (int i = 0; i < WAITING; i++) {
        make_task(&t[i], nets, 0, i % PICTURES);
        assert_true(serve_engine_submit(e, &t[i].job));
    }
    gate_set(false);
    wait_for(&gate.ended, 1 + WAITING);
    stop(e, nets);
    assert_right(&first);
    for (int i = 0; i < WAITING; i++) {
        assert_right(&t[i]);
        assert_int_equal(t[i].job.batch, runs[i]);
    }
}

/* Where sharing a run does not pay, a network's pictures run one by one, in the order in which they came, beside those of one where it does. */
static void a_network_may_run_one_by_one(void **state)
{
    (void)state;
    enum { BATCH = 3, WAITING = 2 * BATCH };
    struct serve_net nets[NETS];
    struct task first, t[WAITING];
    struct serve_engine *e = start(nets, (struct serve_engine_options){.max_batch = BATCH, .max_delay_ms = 3600e3});
    nets[0].max_batch = 1;
    hold_worker(e, nets, &first);
    for (int i = 0; i < WAITING; i++) {
        make_task(&t[i], nets, i % 2, i % PICTURES);
        assert_true(serve_engine_submit(e, &t[i].job));
    }
    while (serve_engine_waiting(e)) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* until all are decoded */
    gate_set(false);
    wait_for(&gate.ended, 1 + WAITING);
    stop(e, nets);
    for (int i = 0; i < WAITING; i++) {
        assert_right(&t[i]);
        assert_int_equal(t[i].job.batch, i % 2 ? BATCH : 1);
        if (i >= 2) assert_true(t[i].order > t[i - 2].order);
    }
}

/* Sharing must pay for what it costs who came first: a tenth at least. */
static void batches_must_pay(void **state)
{
    (void)state;
    assert_false(serve_batch_pays(25, 101, 4)); /* two processors, B4 at 224 */
    assert_false(serve_batch_pays(25, 57, 2));
    assert_false(serve_batch_pays(10, 36.1, 4));
    assert_true(serve_batch_pays(10, 35.9, 4));
    assert_true(serve_batch_pays(10, 11, 8));
    assert_false(serve_batch_pays(10, 1, 1)); /* one picture is no batch */
    for (int max = 1; max <= 3; max++) {
        int batch = 0;
        assert_int_equal(serve_net_choose_batch(&batch, models[0], max, 1, 0, &err), RUDD_OK);
        assert_true(batch == 1 || batch == max);
    }
}

/* Two networks of two sizes in turns: no run mixes them, no answer is the other's; several workers and decoders at that. */
static void networks_do_not_mix(void **state)
{
    (void)state;
    for (int workers = 1; workers <= 2; workers++) {
        struct serve_net nets[NETS];
        static struct task t[MAX_JOBS];
        struct serve_engine *e =
            start(nets, (struct serve_engine_options){.workers = workers, .decoders = 2, .max_batch = 4, .max_delay_ms = 1});
        for (int i = 0; i < MAX_JOBS; i++) {
            make_task(&t[i], nets, i % NETS, i / NETS % PICTURES);
            assert_true(serve_engine_submit(e, &t[i].job));
        }
        serve_engine_stop(e); /* finishes what waits */
        make_task(&t[0], nets, 0, 0);
        assert_false(serve_engine_submit(e, &t[0].job));
        for (int i = 1; i < MAX_JOBS; i++) assert_right(&t[i]);
        stop(e, nets);
    }
}

/* A picture that is none fails alone; those beside it are answered. */
static void broken_pictures_fail_alone(void **state)
{
    (void)state;
    struct serve_net nets[NETS];
    struct task first, t[9];
    struct serve_engine *e = start(nets, (struct serve_engine_options){.max_batch = 9, .max_delay_ms = 3600e3});
    hold_worker(e, nets, &first);
    for (int i = 0; i < 9; i++) {
        make_task(&t[i], nets, 0, i % PICTURES);
        if (i % 3 == 2) t[i].job.length /= 2;
        assert_true(serve_engine_submit(e, &t[i].job));
    }
    gate_set(false);
    wait_for(&gate.ended, 10);
    for (int i = 0; i < 9; i++) {
        if (i % 3 == 2) {
            assert_int_equal(t[i].job.status, RUDD_FORMAT);
            assert_true(strlen(t[i].job.err.message) > 10);
            assert_int_equal(t[i].ended, 1);
        } else {
            assert_right(&t[i]);
            assert_true(t[i].job.batch <= 5);
        }
    }
    assert_true(t[0].job.batch >= 3); /* they did share a run */
    stop(e, nets);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------------------ */

/* With the worker held, jobs whose deadline passes end late and unexecuted, wherever they wait; those without one stay. */
static void late_jobs_are_dropped(void **state)
{
    (void)state;
    enum { JOBS = 12 }; /* more than the slots hold: some are decoded, some are not */
    struct serve_net nets[NETS];
    struct task first, t[JOBS];
    struct serve_engine *e = start(nets, (struct serve_engine_options){.max_batch = 2, .max_delay_ms = 1});
    hold_worker(e, nets, &first);
    for (int i = 0; i < JOBS; i++) {
        make_task(&t[i], nets, 0, i % PICTURES);
        if (i % 3) t[i].job.deadline_ms = serve_now_ms() + 10;
        assert_true(serve_engine_submit(e, &t[i].job));
    }
    wait_for(&gate.ended, 1 + 8);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(t[i].ended, i % 3 != 0);
        if (i % 3 == 0) continue;
        assert_int_equal(t[i].job.status, RUDD_CANCELLED);
        assert_true(t[i].job.late);
        assert_int_equal(t[i].job.batch, 0);
        assert_true(t[i].job.queue_ms > 0);
    }
    gate_set(false);
    wait_for(&gate.ended, 1 + JOBS);
    for (int i = 0; i < JOBS; i += 3) assert_right(&t[i]);
    stop(e, nets);
}

/* At most `limit` wait for a decoder; the rest is refused and never ended. Cancelling ends those that wait, once. */
static void the_queue_has_an_end(void **state)
{
    (void)state;
    enum { LIMIT = 3 };
    struct serve_net nets[NETS];
    struct task first, t[MAX_JOBS];
    struct serve_engine *e = start(nets, (struct serve_engine_options){.max_batch = 1, .max_delay_ms = 0, .limit = LIMIT});
    hold_worker(e, nets, &first);
    int accepted = 0, refused = 0;
    for (int i = 0; i < MAX_JOBS && refused < 5; i++) {
        make_task(&t[i], nets, 0, i % PICTURES);
        /* Decoders take jobs from the queue until their slots are full. */
        if (serve_engine_submit(e, &t[i].job)) {
            assert_int_equal(accepted, i - refused);
            accepted++;
        } else {
            struct timespec pause = {0, 20 * 1000 * 1000};
            refused++;
            t[i].job.slot = -7;
            nanosleep(&pause, NULL);
        }
    }
    assert_true(accepted >= LIMIT && refused == 5);
    serve_engine_cancel(e);
    assert_int_equal(serve_engine_waiting(e), 0);
    gate_set(false);
    serve_engine_stop(e);
    int cancelled = 0;
    for (int i = 0; i < accepted + refused; i++) {
        bool in = t[i].job.slot != -7;
        assert_int_equal(t[i].ended, in);
        if (in && t[i].job.status) {
            assert_int_equal(t[i].job.status, RUDD_CANCELLED);
            assert_false(t[i].job.late);
            cancelled++;
        } else if (in) {
            assert_right(&t[i]);
        }
    }
    assert_true(cancelled >= LIMIT - 1);
    stop(e, nets);
}

static void processors_are_shared(void **state)
{
    (void)state;
    for (int processors = 1; processors <= 9; processors++)
        for (int workers = 0; workers <= 12; workers++)
            for (int threads = 0; threads <= 12; threads++) {
                int w = workers, t = threads;
                bool lowered = serve_engine_fit(&w, &t, processors);
                assert_true(w >= 1 && w * (t ? t : 1) <= processors && w <= (workers ? workers : SERVE_WORKERS_MOST));
                assert_true(t <= threads && !t == !threads);
                assert_int_equal(lowered, (workers && w != workers) || t != threads);
                assert_true(!lowered || (workers ? workers : 1) * (threads ? threads : 1) > processors);
                if (!workers) assert_true(w == SERVE_WORKERS_MOST || (w + 1) * (t ? t : 1) > processors);
            }
    /* However runs begin, they never have more processors than there are, and none is idle while a run could take it. */
    for (int free = 1; free <= 9; free++)
        for (int runs = 1; runs <= 12; runs++)
            for (int most = 0; most <= 9; most++) {
                int left = free;
                for (int i = runs; i > 0 && left > 0; i--) {
                    int n = serve_engine_share(left, i, most);
                    assert_true(n >= 1 && n <= left && (!most || n <= most));
                    left -= n;
                }
                assert_true(!left || (most && most * runs < free));
            }
}

/* A run that comes alone has all processors, or as many as one may take. */
static void alone_has_all_processors(void **state)
{
    (void)state;
    for (int most = 0; most <= 2; most++) {
        struct serve_net nets[NETS];
        struct task t;
        struct serve_engine *e =
            start(nets, (struct serve_engine_options){.workers = 3, .processors = 5, .threads = most, .max_batch = 1});
        for (int i = 1; i <= 3; i++) {
            make_task(&t, nets, 0, i);
            assert_true(serve_engine_submit(e, &t.job));
            wait_for(&gate.ended, i);
            assert_right(&t);
            assert_int_equal(t.job.threads, most ? most : 5);
        }
        stop(e, nets);
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------------------ */

static atomic_long by_workers, by_others;
static int count(void *user, size_t bytes)
{
    (void)user, (void)bytes;
    bool worker = false; /* enders is written before the hook is set */
    for (int i = 0; i < ender_count; i++) worker |= pthread_equal(enders[i], pthread_self());
    atomic_fetch_add(worker ? &by_workers : &by_others, 1);
    return 1;
}

/* Once warm, workers allocate nothing, and decoders no slot. */
static void running_allocates_nothing(void **state)
{
    (void)state;
    enum { ROUNDS = 6 };
    struct serve_net nets[NETS];
    static struct task t[MAX_JOBS];
    struct serve_engine *e = start(nets, (struct serve_engine_options){.max_batch = 4, .max_delay_ms = 1});
    long others[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        if (round == 2) rudd_set_alloc_hook(count, NULL);
        atomic_store(&by_others, 0);
        for (int i = 0; i < MAX_JOBS; i++) {
            make_task(&t[i], nets, i / 8 % NETS, i % PICTURES);
            assert_true(serve_engine_submit(e, &t[i].job));
        }
        wait_for(&gate.ended, (round + 1) * MAX_JOBS);
        others[round] = atomic_load(&by_others);
        for (int i = 0; i < MAX_JOBS; i++) assert_right(&t[i]);
    }
    serve_engine_stop(e);
    rudd_set_alloc_hook(NULL, NULL);
    assert_int_equal(ender_count, 1);
    assert_int_equal(by_workers, 0);
    assert_true(others[2] > MAX_JOBS); /* the hook counts: decoding allocates */
    for (int round = 3; round < ROUNDS; round++) assert_int_equal(others[round], others[2]);
    stop(e, nets);
}

/* Whichever allocation fails, creating says so and leaves nothing behind. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    const struct serve_engine_options o = {
        .workers = 2, .decoders = 2, .max_batch = 2, .limit = 4, .limits = data_limits_default};
    enum rudd_status status = RUDD_NO_MEMORY;
    long n = 1;
    for (; status; n++) {
        struct serve_engine *e = NULL;
        struct serve_net net = {0};
        fail_allocation(n);
        status = serve_net_init(&net, models[0], false, 2, 2, &err);
        if (!status) status = serve_engine_create(&e, &o, &err);
        fail_allocation(0);
        if (status) assert_int_equal(status, RUDD_NO_MEMORY);
        assert_true(!status == (e != NULL));
        serve_engine_destroy(e);
        serve_net_free(&net);
    }
    assert_true(n > 15);
    rudd_set_alloc_hook(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_its_pictures),    cmocka_unit_test(alone_runs_at_once),
        cmocka_unit_test(what_waited_shares_a_run),   cmocka_unit_test(a_network_may_run_one_by_one),
        cmocka_unit_test(batches_must_pay),           cmocka_unit_test(networks_do_not_mix),
        cmocka_unit_test(broken_pictures_fail_alone), cmocka_unit_test(late_jobs_are_dropped),
        cmocka_unit_test(the_queue_has_an_end),       cmocka_unit_test(processors_are_shared),
        cmocka_unit_test(alone_has_all_processors),   cmocka_unit_test(running_allocates_nothing),
        cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
