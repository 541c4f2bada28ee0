/* test_embed.c - what programs that embed rudd rely on (nn/rudd.h): models in memory, words of
 * classes, features, pixels in any order, threads, cancelling; and which names the libraries show. */
#define _GNU_SOURCE /* popen */
#include "nn/graph.h"
#include "tests/pictures.h"
#include "weights/model_file.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { CLASSES = 3, SIDE = 32, W = 50, H = 40 };

static char folder[64], model_path[96];
static struct rudd_error err;
static uint8_t pixels[H][W][3];

static void must(enum rudd_status status)
{
    if (status != RUDD_OK) fail_msg("%s", err.message);
}

static struct nn_model *make_model(const char *arch)
{
    struct nn_model *m;
    must(nn_model_create(&m, arch, CLASSES, &err));
    nn_model_init_params(m, 3, NULL);
    m->preprocess.image_size = SIDE;
    return m;
}

static int begin(void **state)
{
    (void)state;
    char latin[] = "Rutilus rutilus", en[] = "roach", name[][4] = {"a", "b", "c"};
    const struct nn_class words[CLASSES] = {{.name = name[0], .latin = latin, .en = en}, {.name = name[1]}, {.name = name[2]}};
    folder_create(folder);
    snprintf(model_path, sizeof model_path, "%s/m.safetensors", folder);
    struct nn_model *m = make_model("rudd_nano");
    must(nn_model_set_classes(m, words, CLASSES, &err));
    must(weights_model_save(model_path, m, NULL, WEIGHTS_TIMM, &err));
    nn_model_destroy(m);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < 3; c++) pixels[y][x][c] = picture_sample(x, y, c);
    return 0;
}

static int end(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static rudd_session *session_of(const rudd_model *m)
{
    rudd_session *s;
    must(rudd_session_create(&s, m, 1, &err));
    return s;
}

/* The answer to a picture, with the session that gave it gone. */
static void answer(float out[CLASSES], const rudd_model *m)
{
    rudd_session *s = session_of(m);
    must(rudd_predict_rgb(s, pixels[0][0], W, H, NULL, &err));
    memcpy(out, rudd_session_probabilities(s), sizeof(float) * CLASSES);
    rudd_session_destroy(s);
}

static void versions(void **state)
{
    (void)state;
    int major, minor, patch;
    assert_string_equal(rudd_version(), RUDD_VERSION);
    assert_int_equal(sscanf(RUDD_VERSION, "%d.%d.%d", &major, &minor, &patch), 3);
    assert_int_equal(rudd_version_number(), 10000 * major + 100 * minor + patch);
}

/* A model in memory answers as its file does, and refuses what its file would. */
static void from_memory(void **state)
{
    (void)state;
    rudd_model *file, *memory;
    float a[CLASSES], b[CLASSES];
    FILE *f = fopen(model_path, "rb");
    assert_non_null(f);
    static char bytes[8 << 20];
    const size_t length = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_true(length > 1000 && length < sizeof bytes);
    must(rudd_model_open(&file, model_path, &err));
    must(rudd_model_open_bytes(&memory, bytes, length, &err));
    unlink(model_path); /* nobody reads it any more than it is open */
    answer(a, file);
    answer(b, memory);
    assert_memory_equal(a, b, sizeof a);
    rudd_model_close(file);
    rudd_model_close(memory);
    for (size_t cut = 0; cut < length; cut += cut < 64 ? 7 : 999)
        assert_int_not_equal(rudd_model_open_bytes(&memory, bytes, cut, &err), RUDD_OK);
    assert_int_not_equal(rudd_model_open_bytes(&memory, NULL, 0, &err), RUDD_OK);
    f = fopen(model_path, "wb");
    assert_int_equal(fwrite(bytes, 1, length, f), length);
    fclose(f);
}

static void words_of_classes(void **state)
{
    (void)state;
    rudd_model *m;
    must(rudd_model_open(&m, model_path, &err));
    assert_string_equal(rudd_model_class_words(m, 0, RUDD_LATIN), "Rutilus rutilus");
    assert_string_equal(rudd_model_class_words(m, 0, RUDD_ENGLISH), "roach");
    assert_null(rudd_model_class_words(m, 0, RUDD_RUSSIAN));
    assert_null(rudd_model_class_words(m, 1, RUDD_LATIN));
    assert_null(rudd_model_class_words(m, CLASSES, RUDD_LATIN));
    assert_null(rudd_model_class_words(m, -1, RUDD_LATIN));
    assert_true(rudd_model_temperature(m) == 0);
    rudd_model_close(m);
}

/* ---- features -------------------------------------------------------------------------------- */

static const float *value_of(const struct nn_model *m, const char *name)
{
    const int i = nn_model_find(m, name);
    assert_true(i >= 0);
    return m->values + m->params[i].offset;
}

/* The classifier by hand over a session's features gives its logits, for both images of a batch. */
static void classify(const struct nn_model *m, const char *weight, const char *bias)
{
    rudd_session *s;
    static float x[2 * 3 * SIDE * SIDE];
    const int n = rudd_model_feature_count(m);
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) x[i] = (float)sin((double)i * 0.37 + (double)(i / 3072));
    must(rudd_session_create(&s, m, 2, &err));
    must(rudd_predict_tensor(s, x, 2, NULL, &err));
    const float *f = rudd_session_embed(s), *z = rudd_session_logits(s);
    const float *w = value_of(m, weight), *b = value_of(m, bias);
    assert_true(n > 8 && f);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < CLASSES; k++) {
            double sum = b[k];
            for (int j = 0; j < n; j++) sum += (double)w[k * n + j] * (double)f[i * n + j];
            assert_true(fabs(sum - (double)z[i * CLASSES + k]) < 1e-4 * (1 + fabs(sum)));
        }
    assert_memory_not_equal(f, f + n, sizeof *f * (size_t)n);
    must(rudd_session_set_views(s, 2, &err));
    assert_null(rudd_session_embed(s));
    rudd_session_destroy(s);
}

static void features(void **state)
{
    (void)state;
    static const char *const heads[][3] = {{"rudd_nano", "classifier.weight", "classifier.bias"},
                                           {"mobilenetv2_035", "classifier.weight", "classifier.bias"},
                                           {"resnetv2_50", "head.fc.weight", "head.fc.bias"}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct nn_model *m = make_model(heads[i][0]);
        classify(m, heads[i][1], heads[i][2]);
        nn_model_destroy(m);
    }
    /* A hidden layer belongs to the classifier: features are what goes into it. */
    struct nn_model *plain = make_model("rudd_nano"), *hidden = make_model("rudd_nano+mlp8");
    assert_int_equal(rudd_model_feature_count(plain), rudd_model_feature_count(hidden));
    rudd_session *a = session_of(plain), *b = session_of(hidden);
    must(rudd_predict_rgb(a, pixels[0][0], W, H, NULL, &err));
    must(rudd_predict_rgb(b, pixels[0][0], W, H, NULL, &err));
    const size_t bytes = sizeof(float) * (size_t)rudd_model_feature_count(plain);
    assert_memory_equal(rudd_session_embed(a), rudd_session_embed(b), bytes);
    rudd_session_destroy(a);
    rudd_session_destroy(b);
    nn_model_destroy(plain);
    nn_model_destroy(hidden);
}

/* ---- pixels ---------------------------------------------------------------------------------- */

/* The same picture in any order and with any stride gives the same answer, to the last bit. */
static void orders_of_pixels(void **state)
{
    (void)state;
    static const struct {
        enum rudd_order order;
        int bytes, r, g, b;
    } orders[] = {{RUDD_RGB, 3, 0, 1, 2}, {RUDD_BGR, 3, 2, 1, 0}, {RUDD_RGBA, 4, 0, 1, 2}, {RUDD_BGRA, 4, 2, 1, 0}};
    struct nn_model *m = make_model("rudd_nano");
    rudd_session *s = session_of(m);
    float plain[CLASSES], grey[CLASSES];
    static uint8_t other[H * (W * 4 + 9)], luma[H * W];
    answer(plain, m);
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++)
        for (int gap = -1; gap <= 9; gap += 5) { /* -1: bottom up */
            const ptrdiff_t row = W * orders[o].bytes + (gap > 0 ? gap : 0);
            memset(other, 0xa5, sizeof other);
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++) {
                    uint8_t *p = other + row * (gap < 0 ? H - 1 - y : y) + x * orders[o].bytes;
                    p[orders[o].r] = pixels[y][x][0];
                    p[orders[o].g] = pixels[y][x][1];
                    p[orders[o].b] = pixels[y][x][2];
                }
            const struct rudd_pixels in = {gap < 0 ? other + row * (H - 1) : other, W, H, gap < 0 ? -row : row,
                                           orders[o].order};
            must(rudd_predict_pixels(s, &in, NULL, &err));
            assert_memory_equal(rudd_session_probabilities(s), plain, sizeof plain);
        }
    static uint8_t three[H][W][3];
    for (int i = 0; i < H * W; i++) {
        luma[i] = pixels[i / W][i % W][1];
        memset(three[i / W][i % W], luma[i], 3);
    }
    must(rudd_predict_rgb(s, three[0][0], W, H, NULL, &err));
    memcpy(grey, rudd_session_probabilities(s), sizeof grey);
    must(rudd_predict_pixels(s, &(struct rudd_pixels){luma, W, H, 0, RUDD_GRAY}, NULL, &err));
    assert_memory_equal(rudd_session_probabilities(s), grey, sizeof grey);

    const struct rudd_pixels wrong[] = {{NULL, W, H, 0, RUDD_RGB},
                                        {luma, 0, H, 0, RUDD_GRAY},
                                        {luma, W, -1, 0, RUDD_GRAY},
                                        {luma, W, H, W - 1, RUDD_GRAY},
                                        {luma, W, H, 1 - W, RUDD_GRAY},
                                        {luma, W, H, 0, (enum rudd_order)5},
                                        {luma, W, H, 0, (enum rudd_order) - 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(rudd_predict_pixels(s, &wrong[i], NULL, &err), RUDD_ARGUMENT);
    rudd_session_destroy(s);
    nn_model_destroy(m);
}

/* ---- options --------------------------------------------------------------------------------- */

/* An older caller's struct is shorter, a newer one's longer; threads change no bit. */
static void options_of_sessions(void **state)
{
    (void)state;
    struct nn_model *m = make_model("rudd_nano");
    float plain[CLASSES];
    answer(plain, m);
    struct {
        struct rudd_session_options known;
        long later;
    } newer = {{sizeof newer, 2, 0, 0}, 0};
    for (int threads = 0; threads <= 3; threads++) {
        rudd_session *s;
        newer.known.threads = threads;
        must(rudd_session_create_with(&s, m, &newer.known, &err));
        must(rudd_predict_rgb(s, pixels[0][0], W, H, NULL, &err));
        assert_memory_equal(rudd_session_probabilities(s), plain, sizeof plain);
        rudd_session_destroy(s);
    }
    rudd_session *s = NULL;
    newer.later = 1;
    assert_int_equal(rudd_session_create_with(&s, m, &newer.known, &err), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "newer"));
    struct rudd_session_options o = {offsetof(struct rudd_session_options, threads), 0, -7, 1};
    must(rudd_session_create_with(&s, m, &o, &err)); /* what lies behind its end is nobody's */
    rudd_session_destroy(s);
    o.size = 0;
    assert_int_equal(rudd_session_create_with(&s, m, &o, &err), RUDD_ARGUMENT);
    o = (struct rudd_session_options){.size = sizeof o, .threads = -1};
    assert_int_equal(rudd_session_create_with(&s, m, &o, &err), RUDD_ARGUMENT);
    o = (struct rudd_session_options){.size = sizeof o, .memory_limit = 1000};
    assert_int_equal(rudd_session_create_with(&s, m, &o, &err), RUDD_LIMIT);
    nn_model_destroy(m);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

struct canceller {
    rudd_session *session;
    atomic_bool over;
    atomic_long times;
};

static void *cancel_often(void *user)
{
    struct canceller *c = user;
    while (!atomic_load(&c->over)) {
        rudd_session_cancel(c->session);
        atomic_fetch_add(&c->times, 1);
        nanosleep(&(struct timespec){0, 200000}, NULL);
    }
    return NULL;
}

/* Every kind of prediction ends when asked, and the one after it is as good as ever. */
static void cancelled(void **state)
{
    (void)state;
    struct nn_model *m = make_model("rudd_nano");
    rudd_session *s = session_of(m);
    float plain[CLASSES];
    answer(plain, m);
    static float x[3 * SIDE * SIDE];
    static uint8_t square[SIDE * SIDE * 3];
    const uint8_t *const prepared[] = {square};
    rudd_session_cancel(s);
    rudd_session_cancel(s); /* twice is once */
    assert_int_equal(rudd_predict_rgb(s, pixels[0][0], W, H, NULL, &err), RUDD_CANCELLED);
    must(rudd_predict_tensor(s, x, 1, NULL, &err));
    rudd_session_cancel(s);
    assert_int_equal(rudd_predict_tensor(s, x, 1, NULL, &err), RUDD_CANCELLED);
    must(rudd_predict_prepared(s, prepared, 1, NULL, &err));
    rudd_session_cancel(s);
    assert_int_equal(rudd_predict_prepared(s, prepared, 1, NULL, &err), RUDD_CANCELLED);

    struct canceller c = {.session = s};
    pthread_t thread;
    int stopped = 0, made = 0;
    assert_int_equal(pthread_create(&thread, NULL, cancel_often, &c), 0);
    for (int i = 0; i < 100000 && (stopped < 20 || made < 20); i++) {
        const enum rudd_status status = rudd_predict_rgb(s, pixels[0][0], W, H, NULL, &err);
        assert_true(status == RUDD_OK || status == RUDD_CANCELLED);
        if (status == RUDD_OK) assert_memory_equal(rudd_session_probabilities(s), plain, sizeof plain);
        stopped += status == RUDD_CANCELLED;
        made += status == RUDD_OK;
    }
    atomic_store(&c.over, true);
    pthread_join(thread, NULL);
    assert_true(stopped >= 20 && stopped <= atomic_load(&c.times)); /* none ends two */
    rudd_predict_rgb(s, pixels[0][0], W, H, NULL, &err);            /* takes the last one, if it waits */
    must(rudd_predict_rgb(s, pixels[0][0], W, H, NULL, &err));
    assert_memory_equal(rudd_session_probabilities(s), plain, sizeof plain);
    rudd_session_destroy(s);
    nn_model_destroy(m);
}

/* ---- what the libraries show ------------------------------------------------------------------ */

/* Lines of `nm` over a file beside this program's folder. */
static FILE *names_of(const char *options, const char *file)
{
    char path[4096], line[5000];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    assert_true(n > 0);
    path[n] = 0;
    snprintf(strrchr(path, '/'), 64, "/../%s", file);
    snprintf(line, sizeof line, "nm %s --defined-only -P '%s' | sort", options, path);
    FILE *f = popen(line, "r");
    assert_non_null(f);
    return f;
}

static void only_public_names(void **state)
{
    (void)state;
    static const char *const files[][2] = {{"-g", "librudd.a"}, {"-D", "librudd.so"}};
    for (int i = 0; i < 2; i++) {
        char name[200], kind[8], line[400];
        int count = 0;
        FILE *f = names_of(files[i][0], files[i][1]);
        while (fgets(line, sizeof line, f)) {
            if (sscanf(line, "%199s %7s", name, kind) != 2 || strlen(kind) != 1) continue; /* the archive's own lines */
            if (strncmp(name, "rudd_", 5) != 0) fail_msg("%s shows %s", files[i][1], name);
            count++;
        }
        pclose(f);
        assert_true(count > 30);
    }
}

static void put(char *text, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsprintf(text + strlen(text), format, list);
    va_end(list);
}

/* Functions, and the layout of everything that callers lay out themselves, as tests/abi.txt has them. A
 * change that old programs do not survive takes a new soname; one that adds takes a new line there. */
static void the_abi(void **state)
{
    (void)state;
    static char found[16384], known[16384];
    char name[200], kind[8], line[400];
    FILE *f = names_of("-D", "librudd.so");
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%199s %7s", name, kind) == 2 && *kind == 'T') put(found, "function %s\n", name);
    pclose(f);
#define SIZE(type) put(found, "size %s %zu\n", #type, sizeof(struct type))
#define FIELD(type, field) put(found, "field %s.%s %zu\n", #type, #field, offsetof(struct type, field))
#define VALUE(name) put(found, "value %s %d\n", #name, (int)name)
    SIZE(rudd_error), FIELD(rudd_error, status), FIELD(rudd_error, message);
    SIZE(rudd_timing), FIELD(rudd_timing, decode_ms), FIELD(rudd_timing, infer_ms);
    SIZE(rudd_top), FIELD(rudd_top, index), FIELD(rudd_top, probability);
    SIZE(rudd_pixels), FIELD(rudd_pixels, data), FIELD(rudd_pixels, width), FIELD(rudd_pixels, height);
    FIELD(rudd_pixels, stride), FIELD(rudd_pixels, order);
    SIZE(rudd_session_options), FIELD(rudd_session_options, size), FIELD(rudd_session_options, max_batch);
    FIELD(rudd_session_options, threads), FIELD(rudd_session_options, memory_limit);
    VALUE(RUDD_OK), VALUE(RUDD_NO_MEMORY), VALUE(RUDD_IO), VALUE(RUDD_FORMAT), VALUE(RUDD_MISMATCH), VALUE(RUDD_LIMIT);
    VALUE(RUDD_ARGUMENT), VALUE(RUDD_CANCELLED);
    VALUE(RUDD_RGB), VALUE(RUDD_BGR), VALUE(RUDD_RGBA), VALUE(RUDD_BGRA), VALUE(RUDD_GRAY);
    VALUE(RUDD_LATIN), VALUE(RUDD_ENGLISH), VALUE(RUDD_RUSSIAN);
    if (sizeof(void *) != 8) return; /* the list is of 64-bit machines */
    f = fopen("tests/abi.txt", "r");
    assert_non_null(f);
    known[fread(known, 1, sizeof known - 1, f)] = 0;
    fclose(f);
    if (strcmp(known, found) != 0) {
        printf("---- what this build has; tests/abi.txt differs\n%s----\n", found);
        fflush(stdout);
        fail();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions),  cmocka_unit_test(from_memory),       cmocka_unit_test(words_of_classes),
        cmocka_unit_test(features),  cmocka_unit_test(orders_of_pixels),  cmocka_unit_test(options_of_sessions),
        cmocka_unit_test(cancelled), cmocka_unit_test(only_public_names), cmocka_unit_test(the_abi),
    };
    return cmocka_run_group_tests_name("embed", tests, begin, end);
}
