/* test_hdf5.c - HDF5 written and read back, what its reader refuses, and Keras' names, layouts and preprocessing on top of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "weights/hdf5.h"
#include "weights/keras.h"
#include "weights/supply.h"

static char folder[64], path[96];
static struct rudd_error err;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/rudd-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/x.h5", folder);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* ---- files in memory --------------------------------------------------------------------------------------------- */

struct bytes {
    unsigned char *at;
    size_t length;
};

static struct bytes file_bytes(void)
{
    struct bytes b = {NULL, 0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    b.length = (size_t)ftell(f);
    rewind(f);
    b.at = malloc(b.length);
    assert_int_equal(fread(b.at, 1, b.length, f), b.length);
    fclose(f);
    return b;
}

static struct bytes written(struct weights_tensor *tensors, int count, const struct weights_meta *attributes,
                            int attribute_count)
{
    struct weights_supply supply = {tensors, count, NULL};
    assert_int_equal(weights_hdf5_write(path, &supply, attributes, attribute_count, &err), RUDD_OK);
    return file_bytes();
}

static const float numbers[24] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24};

/* A float32 tensor of the first of those numbers. */
static struct weights_tensor tensor(const char *name, int rank, int a, int b)
{
    return (struct weights_tensor){.name = (char *)name,
                                   .rank = rank,
                                   .shape = {a, b},
                                   .count = (size_t)(rank > 0 ? a : 1) * (size_t)(rank > 1 ? b : 1),
                                   .data = numbers};
}

/* Two groups, three data sets, a text: what the tests of broken files break. */
static struct bytes small_file(void)
{
    struct weights_tensor t[] = {tensor("layers/conv2d/vars/0", 2, 3, 4), tensor("layers/conv2d/vars/1", 1, 4, 0),
                                 tensor("scalar", 0, 0, 0)};
    struct weights_meta text[] = {{"layers/conv2d/vars@name", "stem_conv"}};
    return written(t, 3, text, 1);
}

/* ---- the container ----------------------------------------------------------------------------------------------- */

/* Every dtype, every rank, emptiness and texts come back. */
static void all_comes_back(void **state)
{
    (void)state;
    struct weights_tensor t[WEIGHTS_DTYPES + 8];
    char names[WEIGHTS_DTYPES + 8][32];
    int n = 0;
    for (int d = 0; d < WEIGHTS_DTYPES; d++) {
        size_t size;
        if (!weights_hdf5_datatype(&size, (enum weights_dtype)d)) continue;
        sprintf(names[n], "a/of_type_%d", d);
        t[n] = tensor(names[n], 1, 3, 0);
        t[n++].dtype = (enum weights_dtype)d;
    }
    assert_int_equal(n, 9); /* all but BOOL */
    for (int rank = 0; rank <= 5; rank++, n++) {
        sprintf(names[n], "a/b/c/of_rank_%d", rank);
        t[n] = tensor(names[n], rank, 1, 2);
        for (int k = 2; k < rank; k++) t[n].shape[k] = 1;
    }
    t[n] = tensor("empty", 2, 0, 7);
    n++;
    struct weights_meta texts[] = {
        {"@root's", "of the root"}, {"a/b@empty", ""}, {"a/b@second", "\xd1\x80\xd1\x8b\xd0\xb1\xd0\xb0"}};
    struct bytes b = written(t, n, texts, 3);
    struct weights_file f;
    assert_int_equal(weights_hdf5_parse(&f, b.at, b.length, "f", &err), RUDD_OK);
    assert_int_equal(f.tensor_count, n);
    for (int i = 0; i < n; i++) {
        const struct weights_tensor *found = weights_find(&f, t[i].name);
        assert_non_null(found);
        assert_int_equal(found->dtype, t[i].dtype);
        assert_int_equal(found->rank, t[i].rank);
        assert_memory_equal(found->shape, t[i].shape, (size_t)t[i].rank * sizeof *t->shape);
        assert_memory_equal(found->data, t[i].data, t[i].count * weights_dtype_size(t[i].dtype));
    }
    assert_int_equal(f.meta_count, 3);
    for (int i = 0; i < 3; i++) assert_string_equal(weights_meta(&f, texts[i].key), texts[i].value);
    weights_close(&f);
    struct bytes again = written(t, n, texts, 3);
    assert_int_equal(again.length, b.length);
    assert_memory_equal(again.at, b.at, b.length);
    free(again.at);
    free(b.at);
}

/* A group takes as many members as it says, and no more; texts take more than the least heap. */
static void groups_are_wide(void **state)
{
    (void)state;
    enum { MANY = WEIGHTS_HDF5_LINKS };
    struct weights_tensor *t = calloc(MANY + 1, sizeof *t);
    char(*names)[16] = calloc(MANY + 1, sizeof *names), *text = calloc(100001, 1);
    for (int i = 0; i <= MANY; i++) {
        sprintf(names[i], "g/%d", i * 7919 % 100003);
        t[i] = tensor(names[i], 1, 1 + i % 5, 0);
    }
    memset(text, 'x', 100000);
    struct weights_meta texts[] = {{"g@long", text}};
    struct bytes b = written(t, MANY, texts, 1);
    struct weights_file f;
    assert_int_equal(weights_hdf5_parse(&f, b.at, b.length, "f", &err), RUDD_OK);
    assert_int_equal(f.tensor_count, MANY);
    for (int i = 0; i < MANY; i++) assert_int_equal(weights_find(&f, names[i])->count, 1 + i % 5);
    assert_string_equal(weights_meta(&f, "g@long"), text);
    weights_close(&f);
    struct weights_supply one_more = {t, MANY + 1, NULL};
    assert_int_equal(weights_hdf5_write(path, &one_more, NULL, 0, &err), RUDD_LIMIT);
    free(b.at);
    free(text);
    free(names);
    free(t);
}

/* No shorter file is taken for the whole one, and no changed byte leads a reader out of the file (the sanitizers look). */
static void broken_files_are_refused(void **state)
{
    (void)state;
    struct bytes b = small_file();
    struct weights_file f;
    int refused = 0, taken = 0;
    for (size_t n = 0; n < b.length; n++) {
        unsigned char *cut = malloc(n + 1); /* of its own, so that a byte too far is seen */
        memcpy(cut, b.at, n);
        assert_int_equal(weights_hdf5_parse(&f, cut, n, "f", &err), RUDD_FORMAT);
        free(cut);
    }
    for (size_t i = 0; i < b.length; i++) {
        static const unsigned char changes[] = {0x01, 0x80, 0xff};
        for (size_t c = 0; c < sizeof changes; c++) {
            b.at[i] ^= changes[c];
            if (weights_hdf5_parse(&f, b.at, b.length, "f", &err))
                refused++;
            else {
                float values[24];
                for (int k = 0; k < f.tensor_count; k++) {
                    assert_true(f.tensors[k].count <= 24);
                    weights_to_f32(values, &f.tensors[k]);
                }
                weights_close(&f);
                taken++;
            }
            b.at[i] ^= changes[c];
        }
    }
    assert_true(refused > 500 && taken > 500);
    free(b.at);
}

/* Where a needle first lies at or after a place. */
static size_t find(const struct bytes *b, size_t from, const void *needle, size_t length)
{
    for (size_t i = from; i + length <= b->length; i++)
        if (!memcmp(b->at + i, needle, length)) return i;
    fail();
    return 0;
}

/* What Keras never writes is refused under its name. */
static void foreign_parts_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *needle; /* bytes; the change is at `at` from their beginning */
        size_t length, at;
        unsigned char byte;
        enum rudd_status status;
        const char *says;
    } cases[] = {
        {"\x89HDF", 4, 8, 2, RUDD_FORMAT, "superblock 2"},
        {"\x89HDF", 4, 13, 4, RUDD_FORMAT, "expected 8"},
        {"\x08\x00\x18\x00\x00\x00\x00\x00\x03\x01", 10, 9, 2, RUDD_FORMAT, "chunks"},
        {"\x08\x00\x18\x00\x00\x00\x00\x00\x03\x01", 10, 8, 1, RUDD_FORMAT, "version"},
        {"\x05\x00\x08\x00\x00\x00\x00\x00\x02\x02", 10, 0, 0xB, RUDD_FORMAT, "compressed"},
        {"\x05\x00\x08\x00\x00\x00\x00\x00\x02\x02", 10, 0, 0x7, RUDD_FORMAT, "other files"},
        {"\x05\x00\x08\x00\x00\x00\x00\x00\x02\x02", 10, 0, 0x6, RUDD_FORMAT, "links of the new style"},
        {"\x05\x00\x08\x00\x00\x00\x00\x00\x02\x02", 10, 0, 0x2, RUDD_FORMAT, "links of the new style"},
        {"\x05\x00\x08\x00\x00\x00\x00\x00\x02\x02", 10, 0, 0x3, RUDD_FORMAT, "twice"},
        {"\x03\x00\x18\x00\x00\x00\x00\x00\x11\x20", 10, 4, 2, RUDD_FORMAT, "shared"},
        {"SNOD", 4, 8 + 16, 2, RUDD_FORMAT, "soft link"},
        {"SNOD", 4, 7, 0xff, RUDD_FORMAT, "ends at"},
        {"TREE", 4, 5, 9, RUDD_FORMAT, "levels"},
        {"HEAP", 4, 0, 'h', RUDD_FORMAT, "group's names"},
        {"GCOL", 4, 16, 9, RUDD_FORMAT, "heap does not hold"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct bytes b = small_file();
        struct weights_file f;
        b.at[find(&b, 0, cases[k].needle, cases[k].length) + cases[k].at] = cases[k].byte;
        assert_int_equal(weights_hdf5_parse(&f, b.at, b.length, "f", &err), cases[k].status);
        if (!strstr(err.message, cases[k].says)) fail_msg("\"%s\" does not say \"%s\"", err.message, cases[k].says);
        free(b.at);
    }
}

/* Groups that hold themselves, data sets that share bytes, and names that a million links share: an end is found soon. */
static void circles_end(void **state)
{
    (void)state;
    struct bytes b = small_file();
    struct weights_file f;
    size_t root = (size_t)b.at[64] | (size_t)b.at[65] << 8 | (size_t)b.at[66] << 16;
    for (size_t leaf = 0; (leaf = leaf + 1) + 16 < b.length;) /* every link of every group leads to the root */
        if (!memcmp(b.at + leaf, "SNOD", 4))
            for (int i = 0; i < b.at[leaf + 6]; i++) memcpy(b.at + leaf + 16 + i * 40, &root, 8);
    assert_int_equal(weights_hdf5_parse(&f, b.at, b.length, "f", &err), RUDD_LIMIT);
    free(b.at);

    b = small_file();
    size_t first = find(&b, 0, "\x08\x00\x18\x00\x00\x00\x00\x00\x03\x01", 10),
           second = find(&b, first + 10, "\x08\x00\x18\x00\x00\x00\x00\x00\x03\x01", 10);
    memcpy(b.at + second + 10, b.at + first + 10, 8);
    assert_int_equal(weights_hdf5_parse(&f, b.at, b.length, "f", &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "overlaps"));
    free(b.at);
}

static int allow_fewer(void *left, size_t size)
{
    (void)size;
    return (*(int *)left)-- > 0;
}

static void failing_allocations_are_reported(void **state)
{
    (void)state;
    struct bytes b = small_file();
    struct weights_tensor t = tensor("layers/dense/vars/0", 2, 3, 4);
    struct weights_supply supply = {&t, 1, NULL};
    struct weights_file f;
    int failures[2] = {0, 0};
    for (int what = 0; what < 2; what++)
        for (int left = 0, n = 0;; left = ++n) {
            rudd_set_alloc_hook(allow_fewer, &left);
            enum rudd_status status =
                what ? weights_hdf5_write(path, &supply, NULL, 0, &err) : weights_keras_parse(&f, b.at, b.length, "f", &err);
            rudd_set_alloc_hook(NULL, NULL);
            if (!status) break;
            assert_int_equal(status, RUDD_NO_MEMORY);
            failures[what]++;
        }
    weights_close(&f);
    assert_true(failures[0] > 8 && failures[1] > 4);
    free(b.at);
}

/* ---- Keras ------------------------------------------------------------------------------------------------------- */

/* Each way to call a variable becomes the one that the dialect looks for; what belongs to training is left out. */
static void paths_become_names(void **state)
{
    (void)state;
    static const struct {
        const char *path, *layer, *name; /* layer: the attribute; name NULL: left out */
    } cases[] = {
        {"stem_conv/stem_conv/kernel:0", NULL, "stem_conv/kernel"},
        {"model_weights/stem_bn/stem_bn/moving_variance:0", NULL, "stem_bn/moving_variance"},
        {"model_weights/block1a_dwconv/block1a_dwconv/depthwise_kernel:0", NULL, "block1a_dwconv/kernel"},
        {"model_weights/efficientnetb0/block1a_bn/gamma", NULL, "block1a_bn/gamma"},
        {"layers/conv2d_12/vars/0", "block2a_se_reduce", "block2a_se_reduce/kernel"},
        {"layers/conv2d_12/vars/1", "block2a_se_reduce", "block2a_se_reduce/bias"},
        {"layers/depthwise_conv2d/vars/0", "block1a_dwconv", "block1a_dwconv/kernel"},
        {"layers/functional/layers/batch_normalization_3/vars/2", "top_bn", "top_bn/moving_mean"},
        {"_layer_checkpoint_dependencies/conv2d_3/vars/0", NULL, "conv2d_3/kernel"},
        {"layers/normalization/vars/1", "normalization_2", "normalization_2/variance"},
        {"layers/normalization/vars/2", NULL, "normalization/count"},
        {"layers/conv2d/vars/0", "a/b", "conv2d/kernel"}, /* a layer's name is no path */
        {"layers/my_layer/vars/0", "mine", "mine/0"},
        {"layers/conv2d_x/vars/0", NULL, "conv2d_x/0"},
        {"layers/conv2d/vars/4", NULL, "conv2d/4"},
        {"optimizer/vars/0", NULL, NULL},
        {"optimizer_weights/Adam/m/kernel:0", NULL, NULL},
        {"metrics/mean/vars/0", NULL, NULL},
        {"kernel:0", NULL, "kernel"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char key[128];
        const char *leaf = strrchr(cases[k].path, '/');
        snprintf(key, sizeof key, "%.*s@name", (int)(leaf ? leaf - cases[k].path : 0), cases[k].path);
        struct weights_tensor t = tensor(cases[k].path, 1, 3, 0);
        struct weights_meta text = {key, (char *)cases[k].layer};
        struct bytes b = written(&t, 1, &text, cases[k].layer != NULL);
        struct weights_file f;
        assert_int_equal(weights_parse(&f, b.at, b.length, "f", &err), RUDD_OK);
        assert_int_equal(f.tensor_count, cases[k].name != NULL);
        if (cases[k].name) assert_string_equal(f.tensors[0].name, cases[k].name);
        weights_close(&f);
        free(b.at);
    }
}

/* The only dense layer is the classifier, whatever it is called; of two, neither is renamed. */
static void the_classifier_is_found(void **state)
{
    (void)state;
    struct weights_tensor t[] = {tensor("fish/fish/bias:0", 1, 4, 0), tensor("fish/fish/kernel:0", 2, 3, 4),
                                 tensor("stem_conv/kernel:0", 1, 3, 0), tensor("hidden/hidden/kernel:0", 2, 3, 3)};
    for (int n = 3; n <= 4; n++) {
        struct bytes b = written(t, n, NULL, 0);
        struct weights_file f;
        assert_int_equal(weights_keras_parse(&f, b.at, b.length, "f", &err), RUDD_OK);
        assert_int_equal(weights_find(&f, "predictions/kernel") != NULL, n == 3);
        assert_int_equal(weights_find(&f, "predictions/bias") != NULL, n == 3);
        assert_int_equal(weights_find(&f, "fish/kernel") != NULL, n == 4);
        weights_close(&f);
        free(b.at);
    }
}

/* Shapes and values go to Keras' layout and come back; one small kernel is checked number by number. */
static void layouts_are_inverse(void **state)
{
    (void)state;
    static const struct nn_param params[] = {
        {.kind = NN_CONV_WEIGHT, .rank = 4, .shape = {2, 3, 2, 2}, .count = 24},
        {.kind = NN_DWCONV_WEIGHT, .rank = 4, .shape = {6, 1, 2, 2}, .count = 24},
        {.kind = NN_LINEAR_WEIGHT, .rank = 2, .shape = {4, 6, 1, 1}, .count = 24},
        {.kind = NN_BN_VAR, .rank = 1, .shape = {24, 1, 1, 1}, .count = 24},
    };
    static const int64_t shapes[][4] = {{2, 2, 3, 2}, {2, 2, 6, 1}, {6, 4, 1, 1}, {24, 1, 1, 1}};
    for (int k = 0; k < 4; k++) {
        float theirs[24], back[24];
        int64_t shape[4];
        weights_dialect_shape(shape, &params[k], WEIGHTS_KERAS);
        assert_memory_equal(shape, shapes[k], sizeof shape);
        weights_to_keras(theirs, numbers, &params[k]);
        weights_from_keras(back, theirs, &params[k]);
        assert_memory_equal(back, numbers, sizeof back);
        assert_int_equal(memcmp(theirs, numbers, sizeof theirs) != 0, params[k].rank > 1);
        if (k) continue;
        for (int o = 0; o < 2; o++)
            for (int i = 0; i < 3; i++)
                for (int y = 0; y < 2; y++)
                    for (int x = 0; x < 2; x++)
                        assert_true(theirs[((y * 2 + x) * 3 + i) * 2 + o] == numbers[((o * 3 + i) * 2 + y) * 2 + x]);
    }
}

/* A variance is rooted, ImageNet's deviation is not, and the option overrules both; numbers of 0..255 before another network are scaled;
 * nonsense is refused, and so are two layers, unless neither is asked for. */
static void normalization_becomes_preprocessing(void **state)
{
    (void)state;
    static const float mean[] = {0.5f, 0.25f, 0.125f}, variance[] = {0.04f, 0.09f, 0.16f},
                       imagenet[] = {0.229f, 0.224f, 0.225f}, broken[] = {0.04f, -1, 0.09f}, large[] = {2601, 5852.25f, 10404};
    static const struct {
        const char *arch;
        const float *slot;
        enum weights_keras_norm norm;
        int layers;
        enum rudd_status status;
        float std[3];
    } cases[] = {
        {"tf_efficientnet_b0", variance, WEIGHTS_KERAS_AUTO, 1, RUDD_OK, {0.2f, 0.3f, 0.4f}},
        {"tf_efficientnet_b0", variance, WEIGHTS_KERAS_STD, 1, RUDD_OK, {0.04f, 0.09f, 0.16f}},
        {"tf_efficientnet_b0", imagenet, WEIGHTS_KERAS_AUTO, 1, RUDD_OK, {0.229f, 0.224f, 0.225f}},
        {"tf_efficientnet_b0", imagenet, WEIGHTS_KERAS_VARIANCE, 1, RUDD_OK, {0.478539f, 0.473286f, 0.474342f}},
        {"tf_efficientnet_b0", broken, WEIGHTS_KERAS_AUTO, 1, RUDD_FORMAT, {0}},
        {"tf_efficientnet_b0",
         large,
         WEIGHTS_KERAS_AUTO,
         1,
         RUDD_OK,
         {51, 76.5f, 102}}, /* its own layer always has 0..1 before it */
        {"resnet50v2", variance, WEIGHTS_KERAS_AUTO, 1, RUDD_OK, {0.2f, 0.3f, 0.4f}},
        {"resnet50v2", large, WEIGHTS_KERAS_AUTO, 1, RUDD_OK, {0.2f, 0.3f, 0.4f}},
        {"tf_efficientnet_b0", variance, WEIGHTS_KERAS_AUTO, 2, RUDD_MISMATCH, {0}},
        {"tf_efficientnet_b0", variance, WEIGHTS_KERAS_NONE, 2, RUDD_OK, {1, 1, 1}},
        {"mobilenetv2_100", variance, WEIGHTS_KERAS_AUTO, 0, RUDD_OK, {1, 1, 1}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct weights_tensor t[] = {tensor("normalization/mean", 1, 3, 0), tensor("normalization/variance", 1, 3, 0),
                                     tensor("normalization_4/mean", 1, 3, 0), tensor("normalization_4/variance", 1, 3, 0)};
        struct weights_file f = {.path = "f", .tensors = t, .tensor_count = 2 * cases[k].layers};
        struct nn_model m = {.preprocess.std = {1, 1, 1}};
        bool found;
        strcpy(m.arch, cases[k].arch);
        t[0].data = t[2].data = mean;
        t[1].data = t[3].data = cases[k].slot;
        assert_int_equal(weights_keras_preprocess(&m, &found, &f, cases[k].norm, &err), cases[k].status);
        if (cases[k].status == RUDD_MISMATCH)
            assert_non_null(strstr(err.message, "normalization/mean and normalization_4/mean"));
        if (cases[k].status) continue;
        const bool taken = cases[k].layers && cases[k].norm != WEIGHTS_KERAS_NONE;
        const float scale = cases[k].slot == large && m.arch[0] == 'r' ? 255 : 1;
        assert_int_equal(found, taken);
        for (int c = 0; c < 3; c++) {
            assert_float_equal(m.preprocess.mean[c], taken ? mean[c] / scale : 0, 1e-7);
            assert_float_equal(m.preprocess.std[c], cases[k].std[c], 1e-6);
        }
    }
}

/* What h5py makes of a bfloat16, two bytes without a meaning, is read as what it was. */
static void opaque_pairs_are_bfloat16(void **state)
{
    (void)state;
    static const unsigned char opaque[8] = {0x15, 0, 0, 0, 2, 0, 0, 0};
    struct weights_tensor t = tensor("layers/conv2d/vars/0", 1, 3, 0);
    t.dtype = WEIGHTS_BF16;
    struct bytes b = written(&t, 1, NULL, 0);
    size_t size;
    const unsigned char *type = weights_hdf5_datatype(&size, WEIGHTS_BF16);
    memcpy(b.at + find(&b, 0, type, size), opaque, sizeof opaque);
    struct weights_file f;
    assert_int_equal(weights_hdf5_parse(&f, b.at, b.length, "f", &err), RUDD_OK);
    assert_int_equal(f.tensor_count, 1);
    assert_int_equal(f.tensors[0].dtype, WEIGHTS_BF16);
    assert_memory_equal(f.tensors[0].data, numbers, 3 * 2);
    weights_close(&f);
    free(b.at);
}

/* A file of Keras' own makes a model with Keras' conventions, whatever the architecture's are elsewhere. */
static void conventions_are_keras(void **state)
{
    (void)state;
    struct nn_model *m, *back;
    struct weights_load_options o = {.arch = "efficientnet_b0"};
    assert_int_equal(nn_model_create(&m, "efficientnet_b0", 3, &err), RUDD_OK);
    assert_true(m->pad == NN_PAD_SYMMETRIC && m->bn_eps == 1e-5f);
    assert_int_equal(weights_keras_write(path, m, &err), RUDD_OK);
    struct bytes b = file_bytes();
    for (size_t i = 0; i + 16 < b.length; i++) /* rudd's metadata becomes some other program's */
        if (!memcmp(b.at + i, "rudd.", 5) || !memcmp(b.at + i, "architecture", 12)) b.at[i] = 'X';
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(b.at, 1, b.length, f), b.length);
    fclose(f);
    assert_int_equal(weights_model_load(&back, path, &o, NULL, &err), RUDD_OK);
    assert_true(back->pad == NN_PAD_SAME && back->bn_eps == 1e-3f);
    nn_model_destroy(back);
    assert_int_equal(weights_model_load(&back, path, NULL, NULL, &err), RUDD_OK);
    assert_string_equal(back->arch, "tf_efficientnet_b0");
    nn_model_destroy(back);
    nn_model_destroy(m);
    free(b.at);
}

/* A model goes out and comes back with all that it is, through Keras' own form. */
static void models_survive(void **state)
{
    (void)state;
    static const char *const archs[] = {"tf_efficientnet_b0", "tf_efficientnetv2_b0", "resnet50v2"};
    for (int k = 0; k < 3; k++) {
        struct nn_model *m, *back;
        struct weights_report r;
        assert_int_equal(nn_model_create(&m, archs[k], 3, &err), RUDD_OK);
        nn_model_init_params(m, 7, NULL);
        m->preprocess.mean[1] = 0.3f;
        assert_int_equal(
            nn_model_set_classes(m, (struct nn_class[]){{.name = "pike"}, {.name = "perch"}, {.name = "rudd"}}, 3, &err),
            RUDD_OK);
        assert_int_equal(weights_keras_write(path, m, &err), RUDD_OK);
        assert_int_equal(weights_model_load(&back, path, NULL, &r, &err), RUDD_OK);
        assert_int_equal(r.dialect, WEIGHTS_KERAS);
        assert_string_equal(back->arch, m->arch);
        assert_true(back->pad == m->pad && back->bn_eps == m->bn_eps);
        assert_memory_equal(&back->preprocess.mean, &m->preprocess.mean, sizeof m->preprocess.mean);
        assert_memory_equal(&back->preprocess.std, &m->preprocess.std, sizeof m->preprocess.std);
        assert_string_equal(back->classes[2].name, "rudd");
        for (int i = 0; i < m->param_count; i++)
            assert_memory_equal(back->values + back->params[i].offset, m->values + m->params[i].offset,
                                m->params[i].count * sizeof(float));
        weights_report_free(&r);
        nn_model_destroy(back);
        nn_model_destroy(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_comes_back),
        cmocka_unit_test(groups_are_wide),
        cmocka_unit_test(broken_files_are_refused),
        cmocka_unit_test(foreign_parts_are_refused_by_name),
        cmocka_unit_test(circles_end),
        cmocka_unit_test(failing_allocations_are_reported),
        cmocka_unit_test(paths_become_names),
        cmocka_unit_test(the_classifier_is_found),
        cmocka_unit_test(layouts_are_inverse),
        cmocka_unit_test(normalization_becomes_preprocessing),
        cmocka_unit_test(opaque_pairs_are_bfloat16),
        cmocka_unit_test(conventions_are_keras),
        cmocka_unit_test(models_survive),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
