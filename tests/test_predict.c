/* test_predict.c - models opened for predicting only: their weights are read once, straight into the form that kernels read, and shared
 * by all sessions; what they can no longer do is refused; the peak of a process. */
#include "data/session.h"
#include "nn/graph.h"
#include "nn/plan.h"
#include "nn/rng.h"
#include "nn/steps.h"
#include "tests/pictures.h"
#include "weights/model_file.h"
#include "weights/onnx_write.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { CLASSES = 7 };
static char folder[64], path[96], other[96];
static struct rudd_error err;

static int setup(void **state)
{
    (void)state;
    folder_create(folder);
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    snprintf(other, sizeof other, "%s/b.safetensors", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

/* A model in memory whose every parameter, biases and statistics included, matters for the logits. */
static struct nn_model *make_model(const char *arch)
{
    struct nn_model *m;
    assert_int_equal(nn_model_create(&m, arch, CLASSES, &err), RUDD_OK);
    m->preprocess.image_size = 64;
    for (int i = 0; i < m->param_count; i++) {
        const struct nn_param *p = &m->params[i];
        struct nn_rng rng;
        nn_rng_init(&rng, 3, (uint64_t)i, 0);
        for (size_t j = 0; p->rank == 1 && j < p->count; j++) {
            double x = 0.3 * nn_rng_normal(&rng);
            bool positive = p->kind == NN_BN_VAR || p->kind == NN_BN_WEIGHT;
            m->values[p->offset + j] = (float)(positive ? 0.7 + fabs(x) : x);
        }
    }
    return m;
}

static void save(const char *arch)
{
    struct nn_model *m = make_model(arch);
    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    nn_model_destroy(m);
}

static struct nn_plan *make_plan(struct nn_model *m, int batch, int size)
{
    struct nn_plan *plan;
    const struct nn_plan_options o = {.batch = batch, .image_size = size};
    if (nn_plan_create(&plan, m, &o, &err)) fail_msg("%s", err.message);
    float *x = nn_plan_input(plan);
    for (size_t i = 0; i < (size_t)batch * size * size * 3; i++) x[i] = (float)(i * 7919 % 1009) / 504.5f - 1;
    return plan;
}

/* Plans of other sizes and batches, over one set of weights that a file gave to the first of them, compute the bits of plans that
 * prepare their own from values in memory; at 32 pixels the last stages are single pixels, which must not change how weights lie. */
static void shared_weights_give_the_same_bits(void **state)
{
    (void)state;
    static const char *const archs[] = {"efficientnet_b0", "tf_efficientnetv2_b0", "rudd_nano"};
    static const struct {
        int batch, size;
    } plans[] = {{1, 64}, {3, 32}, {2, 96}};
    for (int a = 0; a < 3; a++) {
        save(archs[a]);
        struct nn_model *values, *lean;
        const struct weights_load_options predict = {.predict_only = true};
        assert_int_equal(weights_model_load(&values, path, NULL, NULL, &err), RUDD_OK);
        assert_int_equal(weights_model_load(&lean, path, &predict, NULL, &err), RUDD_OK);
        assert_null(lean->values);
        struct nn_plan *shared[3];
        for (int i = 0; i < 3; i++) {
            shared[i] = make_plan(lean, plans[i].batch, plans[i].size);
            assert_ptr_equal(shared[i]->weights, lean->prepared);
            assert_null(lean->source); /* the file is closed */
        }
        for (int i = 0; i < 3; i++) {
            struct nn_plan *own = make_plan(values, plans[i].batch, plans[i].size);
            nn_plan_forward(own, plans[i].batch);
            nn_plan_forward(shared[i], plans[i].batch);
            assert_memory_equal(nn_plan_logits(own), nn_plan_logits(shared[i]), sizeof(float) * CLASSES * plans[i].batch);
            nn_plan_destroy(own);
            nn_plan_destroy(shared[i]); /* and the weights stay for the others */
        }
        nn_model_destroy(values);
        nn_model_destroy(lean);
    }
}

enum { SESSIONS = 6 };
struct creation {
    pthread_t thread;
    rudd_model *model;
    rudd_session *session;
    enum rudd_status status;
};

static void *create_session(void *user)
{
    struct creation *c = user;
    c->status = rudd_session_create(&c->session, c->model, 1, NULL);
    return NULL;
}

/* Threads that create the first sessions of a model at the same time get one set of weights, and whatever the number of processors
 * that prepared and used it, the same bits. */
static void threads_change_nothing(void **state)
{
    (void)state;
    enum { SIZE = 64 };
    static const int processors[] = {1, 2, 4};
    static float pixels[3 * SIZE * SIZE], first[CLASSES];
    for (int i = 0; i < 3 * SIZE * SIZE; i++) pixels[i] = (float)(i * 31 % 511) / 255 - 1;
    save("efficientnet_b0");
    for (int p = 0; p < 3; p++) {
        struct creation c[SESSIONS];
        rudd_model *m;
        rudd_set_threads(processors[p]);
        assert_int_equal(rudd_model_open(&m, path, &err), RUDD_OK);
        for (int i = 0; i < SESSIONS; i++) {
            c[i] = (struct creation){.model = m};
            assert_int_equal(pthread_create(&c[i].thread, NULL, create_session, &c[i]), 0);
        }
        for (int i = 0; i < SESSIONS; i++) assert_int_equal(pthread_join(c[i].thread, NULL), 0);
        for (int i = 0; i < SESSIONS; i++) {
            assert_int_equal(c[i].status, RUDD_OK);
            assert_ptr_equal(data_session_plan(c[i].session)->weights, m->prepared);
            assert_int_equal(rudd_predict_tensor(c[i].session, pixels, 1, NULL, &err), RUDD_OK);
            if (p + i == 0) memcpy(first, rudd_session_logits(c[i].session), sizeof first);
            assert_memory_equal(first, rudd_session_logits(c[i].session), sizeof first);
            rudd_session_destroy(c[i].session);
        }
        rudd_model_close(m);
    }
    rudd_set_threads(0);
}

/* Training, unfused plans and ONNX need values in memory, saving needs them there or in the file: one clear line where they are not. */
static void what_needs_values_is_refused(void **state)
{
    (void)state;
    rudd_model *m;
    rudd_session *s = NULL;
    struct nn_plan *plan = NULL;
    save("rudd_nano");
    assert_int_equal(rudd_model_open(&m, path, &err), RUDD_OK);
    for (int i = 0; i < 2; i++) {
        const struct nn_plan_options train = {.batch = 2, .image_size = 64, .train = true};
        const struct nn_plan_options unfused = {.batch = 1, .image_size = 64, .unfused = true};
        assert_int_equal(nn_plan_create(&plan, m, &train, &err), RUDD_ARGUMENT);
        assert_non_null(strstr(err.message, "opened for predicting only"));
        assert_int_equal(nn_plan_create(&plan, m, &unfused, &err), RUDD_ARGUMENT);
        assert_null(plan);
        if (i) assert_int_equal(weights_model_save(other, m, NULL, WEIGHTS_TIMM, &err), RUDD_ARGUMENT);
        assert_int_equal(weights_onnx_write(other, m, NULL, &err), RUDD_ARGUMENT);
        assert_int_equal(access(other, F_OK), -1);
        if (!s) assert_int_equal(rudd_session_create(&s, m, 1, &err), RUDD_OK);
    }
    rudd_session_destroy(s);
    rudd_model_close(m);

    struct nn_model *described;
    const struct nn_plan_options infer = {.batch = 1, .image_size = 64};
    assert_int_equal(nn_model_describe(&described, "rudd_nano", 2, &err), RUDD_OK);
    assert_int_equal(nn_plan_create(&plan, described, &infer, &err), RUDD_ARGUMENT);
    nn_model_destroy(described);
}

/* Whichever allocation fails, in opening or in creating a session, it is said, and the same model serves afterwards. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    enum rudd_status status = RUDD_NO_MEMORY;
    rudd_model *m = NULL;
    rudd_session *s = NULL;
    long n = 1;
    save("rudd_nano");
    for (; status; n++) {
        fail_allocation(n);
        status = rudd_model_open(&m, path, &err);
        fail_allocation(0);
        if (status) assert_int_equal(status, RUDD_NO_MEMORY);
        assert_true(!status == (m != NULL));
    }
    assert_true(n > 100);
    status = RUDD_NO_MEMORY;
    for (n = 1; status; n++) {
        fail_allocation(n);
        status = rudd_session_create(&s, m, 1, &err);
        fail_allocation(0);
        if (status) assert_int_equal(status, RUDD_NO_MEMORY);
        assert_true(!status == (s != NULL));
        if (status) assert_null(m->prepared);
    }
    assert_true(n > 10);
    rudd_session_destroy(s);
    rudd_model_close(m);
    rudd_set_alloc_hook(NULL, NULL);
}

/* Between opening and the first session the file may go or be replaced by renaming; one that is shorter by then is an error. */
static void the_file_may_change(void **state)
{
    (void)state;
    rudd_model *m;
    rudd_session *s = NULL;
    save("rudd_nano");
    assert_int_equal(rudd_model_open(&m, path, &err), RUDD_OK);
    unlink(path);
    assert_int_equal(rudd_session_create(&s, m, 1, &err), RUDD_OK);
    rudd_session_destroy(s);
    rudd_model_close(m);

    s = NULL;
    save("rudd_nano");
    assert_int_equal(rudd_model_open(&m, path, &err), RUDD_OK);
    assert_int_equal(truncate(path, 100000), 0);
    assert_int_equal(rudd_session_create(&s, m, 1, &err), RUDD_IO);
    assert_non_null(strstr(err.message, "100000"));
    assert_null(s);
    rudd_model_close(m);
}

/* Any dtype read from the file is what the map gives, over more elements than one piece. */
static void dtypes_are_read_as_mapped(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    static unsigned char bytes[COUNT * 8];
    static float mapped[COUNT], read[COUNT];
    for (int i = 0; i < COUNT * 8; i++) bytes[i] = (unsigned char)(i * 31 >> 2);
    for (int d = WEIGHTS_F32; d <= WEIGHTS_U8; d++) {
        struct weights_tensor t = {
            .name = "t", .dtype = (enum weights_dtype)d, .rank = 1, .shape = {COUNT}, .count = COUNT, .data = bytes};
        struct weights_file f;
        assert_int_equal(weights_write(path, &t, 1, NULL, 0, &err), RUDD_OK);
        assert_int_equal(weights_open(&f, path, &err), RUDD_OK);
        weights_to_f32(mapped, &f.tensors[0]);
        assert_int_equal(weights_read_f32(read, &f, &f.tensors[0], &err), RUDD_OK);
        assert_memory_equal(mapped, read, sizeof read);
        weights_close(&f);
    }
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* `rudd predict` with EfficientNet-B4 at 380 pixels, weights of 77 MB, never holds more than 150 MB. */
static void predicting_is_lean(void **state)
{
    (void)state;
#ifdef SANITIZED
    skip();
#else
    enum { LIMIT_KIB = 150 * 1000 * 1000 / 1024 };
    char binary[4096], picture[128];
    int status;
    /* Saving holds the weights twice, for the golden answer: by a child, so that this process stays small. */
    pid_t pid = fork();
    if (pid == 0) {
        struct nn_model *m;
        bool failed =
            nn_model_create(&m, "efficientnet_b4", 1000, &err) || weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err);
        _exit(failed);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    picture_put(folder, "x.jpg", 640, 480, 1);
    snprintf(picture, sizeof picture, "%s/x.jpg", folder);
    ssize_t n = readlink("/proc/self/exe", binary, sizeof binary - 64);
    assert_true(n > 0);
    binary[n] = 0;
    strcpy(strrchr(binary, '/'), "/../rudd");

    char *argv[] = {binary, "predict", "--threads", "2", "--model", path, picture, NULL};
    char *environment[] = {NULL};
    posix_spawn_file_actions_t quiet;
    struct rusage use;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    assert_int_equal(posix_spawn(&pid, binary, &quiet, NULL, argv, environment), 0);
    posix_spawn_file_actions_destroy(&quiet);
    assert_int_equal(wait4(pid, &status, 0, &use), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    print_message("  peak: %ld KiB\n", use.ru_maxrss);
    assert_true(use.ru_maxrss > 77 * 1000 && use.ru_maxrss <= LIMIT_KIB);
#endif
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    /* The kernel counts the peak of whoever starts a program as that program's own, so the test of peaks comes while this one is small. */
    const struct CMUnitTest tests[] = {
        TEST(predicting_is_lean),           TEST(shared_weights_give_the_same_bits), TEST(threads_change_nothing),
        TEST(what_needs_values_is_refused), TEST(every_allocation_may_fail),         TEST(the_file_may_change),
        TEST(dtypes_are_read_as_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
