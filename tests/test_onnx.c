/* test_onnx.c - the ONNX file, read back by a small reader of this test's own: every initialiser, every name, the padding, and what is
 * refused. That ONNX Runtime computes the same from it is tests/parity/parity_onnx.py. */
#include "nn/graph.h"
#include "weights/onnx_write.h"
#include "weights/protobuf.h"
#include "weights/supply.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], path[128];
static struct rudd_error err;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, P_tmpdir "/rudd-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a.onnx", folder);
    err = (struct rudd_error){RUDD_OK, ""};
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails, and the test with it, when a temporary file was left */
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Bytes not yet read; a field of them. */
struct span {
    const unsigned char *p, *end;
};
struct field {
    int number;
    uint64_t value;    /* of a varint */
    struct span bytes; /* of the other wire types */
};

static uint64_t read_varint(struct span *s)
{
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(s->p < s->end && shift < 64);
        value |= (uint64_t)(*s->p & 127) << shift;
        if (!(*s->p++ & 128)) return value;
    }
}

/* False at the end; anything malformed fails the test. */
static bool next_field(struct field *f, struct span *s)
{
    if (s->p == s->end) return false;
    uint64_t tag = read_varint(s);
    *f = (struct field){.number = (int)(tag >> 3)};
    if ((tag & 7) == 0) {
        f->value = read_varint(s);
        return true;
    }
    assert_true((tag & 7) == 2 || (tag & 7) == 5);
    uint64_t length = (tag & 7) == 5 ? 4 : read_varint(s);
    assert_true(length <= (uint64_t)(s->end - s->p));
    f->bytes = (struct span){s->p, s->p + length};
    s->p += length;
    return true;
}

static void copy_text(char out[128], struct span s)
{
    size_t n = (size_t)(s.end - s.p);
    assert_true(n < 128);
    memcpy(out, s.p, n);
    out[n] = 0;
}

struct node {
    char type[128], name[128], in[5][128], out[128];
    int in_count, pads[4], group;
    float epsilon;
};
struct tensor {
    char name[128];
    size_t count; /* product of dims */
    int type;
    const unsigned char *data;
};
enum { MANY = 2000 };
static struct onnx {
    unsigned char *bytes;
    size_t length;
    struct node nodes[MANY];
    struct tensor tensors[MANY];
    int node_count, tensor_count, opset;
    char input[128], output[128];
} file;

static void read_attribute(struct node *n, struct span s)
{
    char name[128] = "";
    int ints[8] = {0}, count = 0, single = 0;
    float real = 0;
    for (struct field f; next_field(&f, &s);) {
        if (f.number == 1) copy_text(name, f.bytes);
        if (f.number == 2) memcpy(&real, f.bytes.p, 4);
        if (f.number == 3) single = (int)f.value;
        if (f.number == 8) ints[count++ % 8] = (int)f.value;
    }
    if (!strcmp(name, "pads")) memcpy(n->pads, ints, sizeof n->pads);
    if (!strcmp(name, "group")) n->group = single;
    if (!strcmp(name, "epsilon")) n->epsilon = real;
}

static void read_node(struct node *n, struct span s)
{
    *n = (struct node){.type = ""};
    for (struct field f; next_field(&f, &s);) {
        if (f.number == 1) copy_text(n->in[n->in_count++], f.bytes);
        if (f.number == 2) copy_text(n->out, f.bytes);
        if (f.number == 3) copy_text(n->name, f.bytes);
        if (f.number == 4) copy_text(n->type, f.bytes);
        if (f.number == 5) read_attribute(n, f.bytes);
    }
}

static void read_tensor(struct tensor *t, struct span s)
{
    *t = (struct tensor){.count = 1};
    size_t bytes = 0;
    for (struct field f; next_field(&f, &s);) {
        if (f.number == 1) t->count *= (size_t)f.value;
        if (f.number == 2) t->type = (int)f.value;
        if (f.number == 8) copy_text(t->name, f.bytes);
        if (f.number == 9) t->data = f.bytes.p, bytes = (size_t)(f.bytes.end - f.bytes.p);
    }
    assert_true(t->type == 1 || t->type == 10 || t->type == 16); /* float32, float16, bfloat16 */
    assert_int_equal(bytes, t->count * (t->type == 1 ? 4 : 2));
}

static void read_port(char out[128], struct span s)
{
    for (struct field f; next_field(&f, &s);)
        if (f.number == 1) copy_text(out, f.bytes);
}

static void read_graph(struct span s)
{
    for (struct field f; next_field(&f, &s);) {
        assert_true(file.node_count < MANY && file.tensor_count < MANY);
        if (f.number == 1) read_node(&file.nodes[file.node_count++], f.bytes);
        if (f.number == 5) read_tensor(&file.tensors[file.tensor_count++], f.bytes);
        if (f.number == 11) read_port(file.input, f.bytes);
        if (f.number == 12) read_port(file.output, f.bytes);
    }
}

static void forget_file(void)
{
    free(file.bytes);
    memset(&file, 0, sizeof file);
}

static void read_file(void)
{
    struct stat st;
    forget_file();
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && !fstat(fd, &st));
    file.length = (size_t)st.st_size;
    file.bytes = malloc(file.length);
    assert_int_equal(read(fd, file.bytes, file.length), st.st_size);
    close(fd);
    struct span s = {file.bytes, file.bytes + file.length};
    for (struct field f; next_field(&f, &s);) {
        struct field inner;
        if (f.number == 7) read_graph(f.bytes);
        if (f.number == 8)
            while (next_field(&inner, &f.bytes))
                if (inner.number == 2) file.opset = (int)inner.value;
    }
}

static const struct tensor *find_tensor(const char *name)
{
    for (int i = 0; i < file.tensor_count; i++)
        if (!strcmp(file.tensors[i].name, name)) return &file.tensors[i];
    return NULL;
}

static const struct node *find_node(const char *name)
{
    for (int i = 0; i < file.node_count; i++)
        if (!strcmp(file.nodes[i].name, name)) return &file.nodes[i];
    fail_msg("no node %s", name);
    return NULL;
}

static float value_of(const struct tensor *t, size_t i)
{
    float v;
    assert_non_null(t);
    memcpy(&v, t->data + 4 * i, sizeof v);
    return v;
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

static struct nn_model *model_of(const char *arch)
{
    struct nn_model *m;
    assert_int_equal(nn_model_create(&m, arch, 7, &err), RUDD_OK);
    for (int i = 0; i < m->param_count; i++) { /* statistics that change what they normalise */
        float *v = m->values + m->params[i].offset;
        for (size_t k = 0; k < m->params[i].count; k++) {
            float u = (float)(k * 37 % 101) / 101;
            if (m->params[i].kind == NN_BN_WEIGHT || m->params[i].kind == NN_BN_VAR) v[k] = 0.5f + u;
            if (m->params[i].kind == NN_BN_BIAS || m->params[i].kind == NN_BN_MEAN) v[k] = u - 0.5f;
        }
    }
    return m;
}

static void write_and_read(const struct nn_model *m, struct weights_onnx_options options)
{
    assert_int_equal(weights_onnx_write(path, m, &options, &err), RUDD_OK);
    read_file();
}

/* ---- claims ------------------------------------------------------------------------------------------------------ */

/* Integers of every length come back, and a nested message ends where it says. */
static void protobuf_fields_come_back(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, 1u << 31, UINT64_MAX};
    enum { VALUES = sizeof values / sizeof *values };
    struct weights_pb m = {0}, inner = {0};
    for (int i = 0; i < VALUES; i++) weights_pb_int(&inner, 1 + 20 * i, values[i]);
    weights_pb_float(&inner, 999, 1.5f);
    weights_pb_message(&m, 3, &inner);
    weights_pb_string(&m, 4, "behind");
    assert_false(m.failed);
    struct span s = {m.bytes, m.bytes + m.length};
    struct field f, g;
    float real;
    assert_true(next_field(&f, &s));
    assert_int_equal(f.number, 3);
    for (int i = 0; i < VALUES; i++) {
        assert_true(next_field(&g, &f.bytes));
        assert_int_equal(g.number, 1 + 20 * i);
        assert_true(g.value == values[i]);
    }
    assert_true(next_field(&g, &f.bytes));
    memcpy(&real, g.bytes.p, 4);
    assert_true(real == 1.5f && g.number == 999 && !next_field(&g, &f.bytes));
    char text[128];
    assert_true(next_field(&f, &s));
    copy_text(text, f.bytes);
    assert_string_equal(text, "behind");
    assert_false(next_field(&f, &s));
    weights_pb_free(&m);
}

/* A node reads only what stands before it: earlier values, initialisers, the input; values and initialisers have one name each. The
 * last node makes the output. */
static void graph_is_in_order(void **state)
{
    (void)state;
    static const char *const archs[] = {"efficientnet_b0", "tf_efficientnetv2_b0", "rudd_nano"};
    for (int a = 0; a < 6; a++) {
        struct nn_model *m = model_of(archs[a / 2]);
        write_and_read(m, (struct weights_onnx_options){.keep_batchnorm = a % 2,
                                                        .softmax = a % 2,
                                                        .preprocess = a >= 2,
                                                        .dtype = a == 3   ? WEIGHTS_F16
                                                                 : a == 4 ? WEIGHTS_BF16
                                                                          : WEIGHTS_F32});
        assert_int_equal(file.opset, 17);
        assert_string_equal(file.input, "input");
        assert_string_equal(file.output, a % 2 ? "probabilities" : "logits");
        assert_string_equal(file.nodes[file.node_count - 1].out, file.output);
        for (int i = 0; i < file.node_count; i++) {
            for (int k = 0; k < file.nodes[i].in_count; k++) {
                const char *in = file.nodes[i].in[k];
                bool known = !strcmp(in, "input") || find_tensor(in);
                for (int j = 0; j < i; j++) known |= !strcmp(in, file.nodes[j].out);
                if (!known) fail_msg("%s reads %s, which nothing before it makes", file.nodes[i].name, in);
            }
            assert_null(find_tensor(file.nodes[i].out));
            for (int j = 0; j < i; j++) {
                assert_string_not_equal(file.nodes[i].out, file.nodes[j].out);
                assert_string_not_equal(file.nodes[i].name, file.nodes[j].name);
            }
        }
        for (int i = 0; i < file.tensor_count; i++) assert_ptr_equal(find_tensor(file.tensors[i].name), &file.tensors[i]);
        nn_model_destroy(m);
    }
}

/* Batch norms kept: every parameter is there under its name, bit for bit, and nothing else; epsilon is the model's. */
static void kept_parameters_are_the_models(void **state)
{
    (void)state;
    struct nn_model *m = model_of("efficientnet_b0");
    m->bn_eps = 0.125f;
    write_and_read(m, (struct weights_onnx_options){.keep_batchnorm = true});
    assert_int_equal(file.tensor_count, m->param_count);
    for (int i = 0; i < m->param_count; i++) {
        const struct tensor *t = find_tensor(m->params[i].name);
        assert_non_null(t);
        assert_int_equal(t->count, m->params[i].count);
        assert_memory_equal(t->data, m->values + m->params[i].offset, 4 * t->count);
    }
    assert_true(find_node("bn1")->epsilon == 0.125f);
    nn_model_destroy(m);
}

/* Folded: gamma*(w*x - mean)/sqrt(var+eps) + beta = w'*x + b' for each channel of a dense, a pointwise and a depthwise layer. */
static void folding_keeps_the_function(void **state)
{
    (void)state;
    static const char *const layers[][2] = {
        {"conv_stem", "bn1"}, {"blocks.1.0.conv_pw", "blocks.1.0.bn1"}, {"blocks.1.0.conv_dw", "blocks.1.0.bn2"}};
    struct nn_model *m = model_of("efficientnet_b0");
    write_and_read(m, (struct weights_onnx_options){0});
    assert_null(find_tensor("bn1.weight"));
    for (int l = 0; l < 3; l++) {
        char name[2 * NN_NAME];
        snprintf(name, sizeof name, "%s.weight", layers[l][1]);
        int bn = nn_model_find(m, name);
        snprintf(name, sizeof name, "%s.weight", layers[l][0]);
        const struct nn_param *w = &m->params[nn_model_find(m, name)];
        const struct tensor *folded = find_tensor(name);
        snprintf(name, sizeof name, "%s.bias", layers[l][0]);
        const struct tensor *bias = find_tensor(name);
        size_t taps = w->count / (size_t)w->shape[0];
        for (size_t c = 0; c < (size_t)w->shape[0]; c++) {
            double plain = 0, now = value_of(bias, c), p[4];
            for (size_t i = 0; i < taps; i++) {
                double x = sin((double)(i + c));
                plain += x * m->values[w->offset + c * taps + i];
                now += x * value_of(folded, c * taps + i);
            }
            for (int k = 0; k < 4; k++) p[k] = m->values[m->params[bn + k].offset + c];
            assert_true(fabs(now - (p[0] * (plain - p[2]) / sqrt(p[3] + m->bn_eps) + p[1])) < 1e-5);
        }
    }
    nn_model_destroy(m);
}

static void pads_at(const char *arch, const char *layer, int size, int before, int after, int group)
{
    struct nn_model *m = model_of(arch);
    write_and_read(m, (struct weights_onnx_options){.image_size = size});
    const struct node *n = find_node(layer);
    const int expected[4] = {before, before, after, after};
    assert_string_equal(n->type, "Conv");
    assert_memory_equal(n->pads, expected, sizeof expected);
    assert_int_equal(n->group, group);
    nn_model_destroy(m);
}

/* SAME depends on the size, the smaller half first; symmetric padding does not. By hand from total = (ceil(i/s)-1)*s + k - i. */
static void padding_is_right_for_the_size(void **state)
{
    (void)state;
    pads_at("tf_efficientnet_b0", "conv_stem", 224, 0, 1, 1);
    pads_at("tf_efficientnet_b0", "conv_stem", 127, 1, 1, 1);
    pads_at("tf_efficientnet_b0", "blocks.2.0.conv_dw", 224, 1, 2, 144); /* 5x5, stride 2, from 56 */
    pads_at("tf_efficientnet_b0", "blocks.2.0.conv_dw", 100, 2, 2, 144); /* from 25 */
    pads_at("efficientnet_b0", "conv_stem", 224, 1, 1, 1);
    pads_at("efficientnet_b0", "blocks.2.0.conv_dw", 100, 2, 2, 144);
}

/* Padding frozen for 224 pixels begins as at 224 pixels at every size; at its end it may lie unread, and is left out. */
static void frozen_padding_is_that_of_its_size(void **state)
{
    (void)state;
    struct nn_model *m = model_of("tf_efficientnet_b0");
    assert_int_equal(nn_model_freeze_pads(m, 224, &err), RUDD_OK);
    static const int sizes[] = {224, 127, 100}, stem[] = {0, 0, 1, 1}, fifth[] = {1, 1, 2, 2};
    const size_t before = 2 * sizeof *stem;
    for (int i = 0; i < 3; i++) {
        write_and_read(m, (struct weights_onnx_options){.image_size = sizes[i]});
        assert_memory_equal(find_node("conv_stem")->pads, stem, i ? before : sizeof stem);
        assert_memory_equal(find_node("blocks.2.0.conv_dw")->pads, fifth, i ? before : sizeof fifth);
    }
    assert_int_equal(nn_model_freeze_pads(m, 0, &err), RUDD_OK);
    write_and_read(m, (struct weights_onnx_options){.image_size = 127});
    assert_int_equal(find_node("conv_stem")->pads[0], 1);
    nn_model_destroy(m);
}

/* Pixels first: (x - 255*mean) / (255*std) for each plane. */
static void pixels_are_normalised_inside(void **state)
{
    (void)state;
    struct nn_model *m = model_of("rudd_nano");
    write_and_read(m, (struct weights_onnx_options){.preprocess = true, .dtype = WEIGHTS_F16});
    assert_string_equal(file.nodes[0].type, "Sub");
    assert_string_equal(file.nodes[0].in[0], "input");
    assert_string_equal(file.nodes[1].type, "Mul");
    assert_string_equal(file.nodes[1].out, "normalised");
    const struct tensor *centre = find_tensor(file.nodes[0].in[1]), *scale = find_tensor(file.nodes[1].in[1]);
    assert_true(centre->type == 1 && scale->type == 1); /* exact, whatever the dtype */
    for (size_t c = 0; c < 3; c++)
        for (int x = 0; x < 256; x += 51) {
            const double expected = (x / 255.0 - m->preprocess.mean[c]) / m->preprocess.std[c];
            assert_true(fabs((x - value_of(centre, c)) * value_of(scale, c) - expected) < 1e-6);
        }
    nn_model_destroy(m);
}

/* Narrow initialisers keep their names; what reads them reads a Cast. A value beyond float16 is refused by its name. */
static void narrow_initialisers_are_cast(void **state)
{
    (void)state;
    struct nn_model *m = model_of("rudd_nano");
    write_and_read(m, (struct weights_onnx_options){.dtype = WEIGHTS_F16, .keep_batchnorm = true});
    assert_int_equal(file.tensor_count, m->param_count);
    for (int i = 0; i < file.tensor_count; i++) {
        char cast[2 * NN_NAME];
        snprintf(cast, sizeof cast, "%s.float32", file.tensors[i].name);
        assert_int_equal(file.tensors[i].type, 10);
        assert_string_equal(find_node(cast)->in[0], file.tensors[i].name);
        uint16_t stored, expected;
        memcpy(&stored, file.tensors[i].data, sizeof stored);
        const struct nn_param *p = &m->params[nn_model_find(m, file.tensors[i].name)];
        assert_int_equal(weights_from_f32(&expected, WEIGHTS_F16, m->values + p->offset, 1), 1);
        assert_int_equal(stored, expected);
    }
    assert_string_equal(find_node("conv_stem")->in[1], "conv_stem.weight.float32");
    unlink(path);
    m->values[m->params[nn_model_find(m, "classifier.weight")].offset] = 1e5f;
    assert_int_equal(weights_onnx_write(path, m, &(struct weights_onnx_options){.dtype = WEIGHTS_F16}, &err), RUDD_LIMIT);
    assert_non_null(strstr(err.message, "classifier.weight"));
    assert_int_equal(access(path, F_OK), -1);
    nn_model_destroy(m);
}

/* Equal models give equal bytes. */
static void bytes_are_determined(void **state)
{
    (void)state;
    struct nn_model *m = model_of("rudd_nano");
    write_and_read(m, (struct weights_onnx_options){0});
    struct onnx *first = malloc(sizeof *first);
    *first = file;
    file.bytes = NULL;
    assert_int_equal(weights_onnx_write(path, m, NULL, &err), RUDD_OK);
    read_file();
    assert_int_equal(file.length, first->length);
    assert_memory_equal(file.bytes, first->bytes, file.length);
    free(first->bytes);
    free(first);
    nn_model_destroy(m);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void describe_wide(struct nn_builder *b, const void *spec)
{
    int x = nn_build_pool(b, nn_build_input(b));
    x = nn_build_linear(b, x, "wide", *(const int *)spec);
    nn_build_linear(b, x, "classifier", b->model->class_count);
}

/* Just below 2 GiB is another matter than just above: refused by arithmetic, before any value is read (there are none here). */
static void two_gibibytes_are_refused(void **state)
{
    (void)state;
    struct nn_model *m;
    int width = 8192; /* * 65536 classes * 4 bytes = 2 GiB */
    assert_int_equal(nn_model_outline(&m, "wide", describe_wide, &width, NN_MAX_CLASSES, &err), RUDD_OK);
    assert_int_equal(weights_onnx_write(path, m, NULL, &err), RUDD_LIMIT);
    assert_non_null(strstr(err.message, "2 GiB"));
    assert_int_equal(access(path, F_OK), -1);
    nn_model_destroy(m);
}

static void senseless_sizes_are_refused(void **state)
{
    (void)state;
    struct nn_model *m = model_of("rudd_nano");
    static const int sizes[] = {-1, 1, 7, 4097};
    for (int i = 0; i < 4; i++) {
        struct weights_onnx_options options = {.image_size = sizes[i]};
        assert_int_equal(weights_onnx_write(path, m, &options, &err), RUDD_ARGUMENT);
    }
    assert_int_equal(access(path, F_OK), -1);
    nn_model_destroy(m);
}

static int allocations_left;
static int allow(void *user, size_t bytes)
{
    (void)user;
    (void)bytes;
    return allocations_left-- > 0;
}

/* Whichever allocation fails, the writer says so and the file that was there stays; no temporary file is left (remove_folder). */
static void any_allocation_may_fail(void **state)
{
    (void)state;
    struct nn_model *m = model_of("rudd_nano");
    static const char old[] = "the old one";
    int failures = 0;
    for (enum rudd_status status = RUDD_NO_MEMORY; status; failures++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        assert_int_equal(write(fd, old, sizeof old), sizeof old);
        close(fd);
        allocations_left = failures;
        rudd_set_alloc_hook(allow, NULL);
        status = weights_onnx_write(path, m, NULL, &err);
        rudd_set_alloc_hook(NULL, NULL);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        if (status) {
            assert_int_equal(status, RUDD_NO_MEMORY);
            assert_int_equal(st.st_size, sizeof old);
        } else {
            assert_true((size_t)st.st_size > sizeof old);
        }
    }
    assert_true(failures > 20);
    nn_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protobuf_fields_come_back),
        cmocka_unit_test_setup_teardown(graph_is_in_order, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(kept_parameters_are_the_models, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(folding_keeps_the_function, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(padding_is_right_for_the_size, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(frozen_padding_is_that_of_its_size, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(pixels_are_normalised_inside, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(narrow_initialisers_are_cast, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(bytes_are_determined, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(two_gibibytes_are_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(senseless_sizes_are_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(any_allocation_may_fail, make_folder, remove_folder),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    forget_file();
    return failed;
}
