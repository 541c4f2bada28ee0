/* onnx_write.c - the graph of a model, node by node, as an ONNX model.
 *
 *     NN_CONV, NN_DWCONV   Conv; the classifier Flatten, Gemm      NN_SCALE    Mul (over h and w by broadcasting)
 *     NN_BATCHNORM         folded, or BatchNormalization           NN_ADD      Add
 *     NN_ACT silu          Sigmoid, Mul                            NN_DROPOUT  nothing: its input
 *     NN_ACT relu6         Clip                                    NN_POOL     GlobalAveragePool
 *     NN_MAXPOOL           MaxPool, after a Pad where the border counts
 *
 * These are the forms that PyTorch's exporter gives, which runtimes know how to fuse; only pooling is said as one operation,
 * since a ReduceMean keeps ONNX Runtime from its blocked layout. SAME padding depends on the picture's size: it is written as
 * explicit pads, right for the size of the file's input alone.
 *
 * Layout of the file: small things first, the weights streamed behind them, so that no copy of the model is made in memory.
 *
 *     ModelProto | version, opset, metadata | graph: | nodes, input, output | initialiser: | name, shape | floats | ...
 *
 * Source: github.com/onnx/onnx, onnx/onnx.proto (field numbers) and docs/Operators.md.
 * Not here: reading ONNX, other element types, external data. */
#include "weights/onnx_write.h"
#include "nn/graph.h"
#include "weights/metadata.h"
#include "weights/protobuf.h"
#include "weights/replace.h"
#include "weights/supply.h"
#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { IR_VERSION = 8, OPSET = 17 }; /* the IR version that came with that opset (ONNX 1.12): older readers take it */
enum { TYPE_FLOAT = 1, TYPE_FLOAT16 = 10, TYPE_BFLOAT16 = 16 }; /* TensorProto.DataType */

/* Field numbers of onnx.proto. */
enum {
    MODEL_IR_VERSION = 1,
    MODEL_PRODUCER = 2,
    MODEL_PRODUCER_VERSION = 3,
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    MODEL_META = 14
};
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { META_KEY = 1, META_VALUE = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_TYPE = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_F = 2, ATTRIBUTE_I = 3, ATTRIBUTE_INTS = 8, ATTRIBUTE_TYPE = 20 };
enum { ATTRIBUTE_IS_FLOAT = 1, ATTRIBUTE_IS_INT = 2, ATTRIBUTE_IS_INTS = 7 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, TENSOR_ELEMENT = 1, TENSOR_SHAPE = 2, SHAPE_DIM = 1 };
enum { DIM_VALUE = 1, DIM_PARAM = 2 };

/* An initialiser: a parameter as it is, or what a convolution becomes with a batch norm folded in. */
struct constant {
    char name[NN_NAME + 8];
    int rank, shape[4];
    size_t count;
    int param;                    /* -1: the bias of `folded`, or values */
    const struct nn_node *folded; /* NULL: as it is */
    const float *values;          /* no parameter's; NULL: none */
    char cast[NN_NAME + 16];      /* what nodes read in its place, where numbers are stored narrow */
};

struct onnx {
    const struct nn_model *model;
    struct nn_graph graph;   /* after passes */
    struct nn_shape *shapes; /* of its nodes */
    struct constant *constants;
    int constant_count;
    size_t largest, widest;    /* count of the largest constant, channels of the widest */
    float *scratch;            /* [largest + 2*widest] */
    float centre[3], scale[3]; /* of pixels */
    enum weights_dtype dtype;
    bool preprocess;
    struct weights_pb body;
};

/* ---- names ------------------------------------------------------------------------------------------------------- */

enum { NAME = 32 };
static const char *const value_words[NN_OP_COUNT] = {"input", "conv",    "dwconv", "bn",  "act",
                                                     "pool",  "maxpool", "scale",  "add", "dropout"};

static int through_dropouts(const struct onnx *o, int i)
{
    while (o->graph.nodes[i].op == NN_DROPOUT) i = o->graph.nodes[i].in[0];
    return i;
}

/* The name of node i's value. */
static const char *value_name(char out[NAME], const struct onnx *o, int i)
{
    i = through_dropouts(o, i);
    const struct nn_node *n = &o->graph.nodes[i];
    if (i == through_dropouts(o, o->graph.output))
        snprintf(out, NAME, "logits");
    else if (n->op == NN_INPUT)
        snprintf(out, NAME, o->preprocess ? "normalised" : "input");
    else
        snprintf(out, NAME, "%s_%d", value_words[n->op], i);
    return out;
}

/* "conv_stem.weight" -> "conv_stem" + suffix */
static void sibling(char *out, size_t room, const char *name, const char *suffix)
{
    const char *dot = strrchr(name, '.');
    snprintf(out, room, "%.*s%s", dot ? (int)(dot - name) : (int)strlen(name), name, suffix);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

/* A node's message, without attributes and name; inputs end at the first NULL. */
static struct weights_pb begin_node(const char *type, const char *out, const char *const in[5])
{
    struct weights_pb node = {0};
    for (int i = 0; i < 5 && in[i]; i++) weights_pb_string(&node, NODE_INPUT, in[i]);
    weights_pb_string(&node, NODE_OUTPUT, out);
    weights_pb_string(&node, NODE_TYPE, type);
    return node;
}
#define INPUTS(...) ((const char *const[5]){__VA_ARGS__})

static void end_node(struct onnx *o, struct weights_pb *node, const char *name)
{
    weights_pb_string(node, NODE_NAME, name);
    weights_pb_message(&o->body, GRAPH_NODE, node);
}

/* A node without attributes. */
static void plain_node(struct onnx *o, const char *type, const char *out, const char *const in[5])
{
    struct weights_pb node = begin_node(type, out, in);
    end_node(o, &node, out);
}

static struct weights_pb begin_attribute(const char *name, int type)
{
    struct weights_pb a = {0};
    weights_pb_string(&a, ATTRIBUTE_NAME, name);
    weights_pb_int(&a, ATTRIBUTE_TYPE, (uint64_t)type);
    return a;
}

static void attribute_int(struct weights_pb *node, const char *name, int value)
{
    struct weights_pb a = begin_attribute(name, ATTRIBUTE_IS_INT);
    weights_pb_int(&a, ATTRIBUTE_I, (uint64_t)value);
    weights_pb_message(node, NODE_ATTRIBUTE, &a);
}

static void attribute_float(struct weights_pb *node, const char *name, float value)
{
    struct weights_pb a = begin_attribute(name, ATTRIBUTE_IS_FLOAT);
    weights_pb_float(&a, ATTRIBUTE_F, value);
    weights_pb_message(node, NODE_ATTRIBUTE, &a);
}

static void attribute_ints(struct weights_pb *node, const char *name, const int *values, int count)
{
    struct weights_pb a = begin_attribute(name, ATTRIBUTE_IS_INTS);
    for (int i = 0; i < count; i++) weights_pb_int(&a, ATTRIBUTE_INTS, (uint64_t)values[i]);
    weights_pb_message(node, NODE_ATTRIBUTE, &a);
}

/* ---- constants --------------------------------------------------------------------------------------------------- */

static const int element_types[] = {[WEIGHTS_F32] = TYPE_FLOAT, [WEIGHTS_F16] = TYPE_FLOAT16, [WEIGHTS_BF16] = TYPE_BFLOAT16};

/* The name that nodes read it by: its own, or that of a Cast node before them, which runtimes compute once, when they load the file. */
static const char *finish_constant(struct onnx *o, struct constant *c)
{
    if (c->count > o->largest) o->largest = c->count;
    if (c->folded && (size_t)c->folded->c > o->widest) o->widest = (size_t)c->folded->c;
    if (o->dtype == WEIGHTS_F32 || c->values) return c->name;
    snprintf(c->cast, sizeof c->cast, "%s.float32", c->name);
    struct weights_pb node = begin_node("Cast", c->cast, INPUTS(c->name));
    attribute_int(&node, "to", TYPE_FLOAT);
    end_node(o, &node, c->cast);
    return c->cast;
}

/* param: as in struct constant. Returns the name to read it by. */
static const char *add_constant(struct onnx *o, int param, const struct nn_node *folded)
{
    struct constant *c = &o->constants[o->constant_count++];
    *c = (struct constant){.param = param, .folded = folded};
    if (param >= 0) {
        const struct nn_param *p = &o->model->params[param];
        snprintf(c->name, sizeof c->name, "%s", p->name);
        memcpy(c->shape, p->shape, sizeof c->shape);
        c->rank = p->kind == NN_LINEAR_WEIGHT ? 2 : p->rank; /* Gemm's, though it be stored as a convolution's */
        c->count = p->count;
    } else {
        sibling(c->name, sizeof c->name, o->model->params[folded->weight].name, ".bias");
        c->shape[0] = folded->c;
        c->rank = 1;
        c->count = (size_t)folded->c;
    }
    return finish_constant(o, c);
}

/* [1,3,1,1], for pixels. */
static const char *add_planes(struct onnx *o, const char *name, const float values[3])
{
    struct constant *c = &o->constants[o->constant_count++];
    *c = (struct constant){.param = -1, .values = values, .rank = 4, .shape = {1, 3, 1, 1}, .count = 3};
    snprintf(c->name, sizeof c->name, "%s", name);
    return finish_constant(o, c);
}

static const float *value_of(const struct nn_model *m, int param)
{
    return param >= 0 ? m->values + m->params[param].offset : NULL;
}

/* Where a constant's floats are: in the model, or in o->scratch. */
static const float *constant_values(const struct onnx *o, const struct constant *c)
{
    const struct nn_model *m = o->model;
    const struct nn_node *n = c->folded;
    if (c->values) return c->values;
    if (!n) return value_of(m, c->param);
    const float *const bn[] = {value_of(m, n->bn), value_of(m, n->bn + 1), value_of(m, n->bn + 2), value_of(m, n->bn + 3)};
    float *out = o->scratch, *scale = o->scratch + o->largest, *bias = scale + n->c;
    nn_fold_batchnorm(scale, bias, bn, value_of(m, n->bias), m->bn_eps, n->c);
    if (c->param < 0) return bias;
    const float *weight = value_of(m, c->param);
    const size_t per_channel = c->count / (size_t)n->c;
    for (size_t i = 0; i < c->count; i++) out[i] = weight[i] * scale[i / per_channel];
    return out;
}

static enum weights_dtype constant_dtype(const struct onnx *o, const struct constant *c)
{
    return c->values ? WEIGHTS_F32 : o->dtype;
}

static size_t constant_bytes(const struct onnx *o, const struct constant *c)
{
    return c->count * weights_dtype_size(constant_dtype(o, c));
}

/* All of an initialiser before its numbers. */
static void constant_head(struct weights_pb *head, const struct onnx *o, const struct constant *c)
{
    struct weights_pb tensor = {0};
    const size_t bytes = constant_bytes(o, c);
    for (int i = 0; i < c->rank; i++) weights_pb_int(&tensor, TENSOR_DIMS, (uint64_t)c->shape[i]);
    weights_pb_int(&tensor, TENSOR_TYPE, (uint64_t)element_types[constant_dtype(o, c)]);
    weights_pb_string(&tensor, TENSOR_NAME, c->name);
    weights_pb_announce(&tensor, TENSOR_RAW, bytes);
    weights_pb_message_open(head, GRAPH_INITIALIZER, &tensor, bytes);
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

/* top, left, bottom, right. Symmetric padding stays k/2 on all sides, as PyTorch has it, though the last row of it may be
 * unread. */
static void conv_pads(int pads[4], const struct kern_conv *g, enum nn_pad pad)
{
    int below = (g->oh - 1) * g->stride + g->k - g->ih - g->pad_top;
    int right = (g->ow - 1) * g->stride + g->k - g->iw - g->pad_left;
    pads[0] = g->pad_top;
    pads[1] = g->pad_left;
    pads[2] = pad == NN_PAD_SYMMETRIC ? g->pad_top : below > 0 ? below : 0;
    pads[3] = pad == NN_PAD_SYMMETRIC ? g->pad_left : right > 0 ? right : 0;
}

static void conv_attributes(struct weights_pb *node, const struct onnx *o, int i)
{
    const struct nn_node *n = &o->graph.nodes[i];
    struct kern_conv g = nn_conv_geometry(n, o->shapes[n->in[0]], o->shapes[i], o->model->pad, 1);
    int pads[4];
    conv_pads(pads, &g, o->model->pad);
    attribute_ints(node, "dilations", (int[]){1, 1}, 2);
    attribute_int(node, "group", n->op == NN_DWCONV ? n->c : 1);
    attribute_ints(node, "kernel_shape", (int[]){n->k, n->k}, 2);
    attribute_ints(node, "pads", pads, 4);
    attribute_ints(node, "strides", (int[]){n->stride, n->stride}, 2);
}

/* A convolution, or a linear layer: Gemm over the flattened input. */
static void add_conv(struct onnx *o, int i, const char *x, const char *y)
{
    const struct nn_node *n = &o->graph.nodes[i], *folded = n->bn >= 0 ? n : NULL;
    const struct nn_param *p = &o->model->params[n->weight];
    const char *weight = add_constant(o, n->weight, folded);
    const char *bias = folded || n->bias >= 0 ? add_constant(o, folded ? -1 : n->bias, folded) : NULL;
    char name[NN_NAME + 8];
    struct weights_pb node;
    if (p->kind == NN_LINEAR_WEIGHT) {
        char flat[NAME];
        snprintf(flat, sizeof flat, "flatten_%d", i);
        plain_node(o, "Flatten", flat, INPUTS(x));
        node = begin_node("Gemm", y, INPUTS(flat, weight, bias));
        attribute_int(&node, "transB", 1);
    } else {
        node = begin_node("Conv", y, INPUTS(x, weight, bias));
        conv_attributes(&node, o, i);
    }
    sibling(name, sizeof name, p->name, "");
    end_node(o, &node, name);
}

/* A number as a node's value: a small file has no initialisers but parameters. */
static void add_number(struct onnx *o, const char *name, float value)
{
    struct weights_pb node = begin_node("Constant", name, INPUTS(NULL));
    attribute_float(&node, "value_float", value);
    end_node(o, &node, name);
}

/* A border that counts as 0 is padded before: MaxPool's own padding never wins. The Max between them changes nothing, but ONNX Runtime (1.31) would
 * make the Pad the MaxPool's own, and the zeros nothing. */
static void add_maxpool(struct onnx *o, int i, const char *x, const char *y)
{
    const struct nn_node *n = &o->graph.nodes[i];
    const struct kern_conv g = nn_conv_geometry(n, o->shapes[n->in[0]], o->shapes[i], o->model->pad, 1);
    char sides[NAME], zeros[NAME], lowest[NAME], padded[NAME];
    int pads[4];
    conv_pads(pads, &g, o->model->pad);
    if (n->zeros) {
        snprintf(sides, sizeof sides, "pads_%d", i);
        snprintf(zeros, sizeof zeros, "pad_%d", i);
        snprintf(lowest, sizeof lowest, "lowest_%d", i);
        snprintf(padded, sizeof padded, "padded_%d", i);
        struct weights_pb node = begin_node("Constant", sides, INPUTS(NULL));
        attribute_ints(&node, "value_ints", (int[]){0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]}, 8);
        end_node(o, &node, sides);
        plain_node(o, "Pad", zeros, INPUTS(x, sides));
        add_number(o, lowest, -FLT_MAX);
        plain_node(o, "Max", padded, INPUTS(zeros, lowest));
        memset(pads, 0, sizeof pads);
    }
    struct weights_pb node = begin_node("MaxPool", y, INPUTS(n->zeros ? padded : x));
    attribute_ints(&node, "kernel_shape", (int[]){n->k, n->k}, 2);
    attribute_ints(&node, "pads", pads, 4);
    attribute_ints(&node, "strides", (int[]){n->stride, n->stride}, 2);
    end_node(o, &node, y);
}

static void add_batchnorm(struct onnx *o, int i, const char *x, const char *y)
{
    int bn = o->graph.nodes[i].bn;
    const char *in[5] = {x};
    char name[NN_NAME + 8];
    for (int k = 0; k < 4; k++) in[k + 1] = add_constant(o, bn + k, NULL);
    struct weights_pb node = begin_node("BatchNormalization", y, in);
    attribute_float(&node, "epsilon", o->model->bn_eps);
    sibling(name, sizeof name, o->model->params[bn].name, "");
    end_node(o, &node, name);
}

static void add_relu6(struct onnx *o, int i, const char *x, const char *y)
{
    char bounds[2][NAME];
    for (int k = 0; k < 2; k++) {
        snprintf(bounds[k], NAME, "%s_%d", k ? "six" : "zero", i);
        add_number(o, bounds[k], k ? 6 : 0);
    }
    plain_node(o, "Clip", y, INPUTS(x, bounds[0], bounds[1]));
}

static void add_act(struct onnx *o, int i, const char *x, const char *y)
{
    char sigmoid[NAME];
    switch (o->graph.nodes[i].act) {
    case KERN_ACT_NONE: plain_node(o, "Identity", y, INPUTS(x)); break;
    case KERN_ACT_RELU: plain_node(o, "Relu", y, INPUTS(x)); break;
    case KERN_ACT_RELU6: add_relu6(o, i, x, y); break;
    case KERN_ACT_SIGMOID: plain_node(o, "Sigmoid", y, INPUTS(x)); break;
    case KERN_ACT_SILU:
        snprintf(sigmoid, sizeof sigmoid, "sigmoid_%d", i);
        plain_node(o, "Sigmoid", sigmoid, INPUTS(x));
        plain_node(o, "Mul", y, INPUTS(x, sigmoid));
        break;
    }
}

static void add_node(struct onnx *o, int i)
{
    const struct nn_node *n = &o->graph.nodes[i];
    char x[NAME] = "", s[NAME] = "", y[NAME];
    value_name(y, o, i);
    if (n->in[0] >= 0) value_name(x, o, n->in[0]);
    if (n->in[1] >= 0) value_name(s, o, n->in[1]);
    switch (n->op) {
    case NN_CONV:
    case NN_DWCONV: add_conv(o, i, x, y); break;
    case NN_BATCHNORM: add_batchnorm(o, i, x, y); break;
    case NN_ACT: add_act(o, i, x, y); break;
    case NN_POOL: plain_node(o, "GlobalAveragePool", y, INPUTS(x)); break;
    case NN_MAXPOOL: add_maxpool(o, i, x, y); break;
    case NN_SCALE: plain_node(o, "Mul", y, INPUTS(x, s)); break;
    case NN_ADD: plain_node(o, "Add", y, INPUTS(x, s)); break;
    case NN_INPUT:
    case NN_DROPOUT:
    case NN_OP_COUNT: break;
    }
}

/* An input or output of the graph: float32, [N, dims...]. */
static void add_port(struct onnx *o, int field, const char *name, const int *dims, int count)
{
    struct weights_pb port = {0}, type = {0}, tensor = {0}, shape = {0}, dim = {0};
    weights_pb_string(&dim, DIM_PARAM, "N");
    weights_pb_message(&shape, SHAPE_DIM, &dim);
    for (int i = 0; i < count; i++) {
        weights_pb_int(&dim, DIM_VALUE, (uint64_t)dims[i]);
        weights_pb_message(&shape, SHAPE_DIM, &dim);
    }
    weights_pb_int(&tensor, TENSOR_ELEMENT, TYPE_FLOAT);
    weights_pb_message(&tensor, TENSOR_SHAPE, &shape);
    weights_pb_message(&type, TYPE_TENSOR, &tensor);
    weights_pb_string(&port, VALUE_NAME, name);
    weights_pb_message(&port, VALUE_TYPE, &type);
    weights_pb_message(&o->body, field, &port);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* (x - centre) * scale for bytes x of 0..255, which is (x/255 - mean) / std. */
static void add_preprocess(struct onnx *o)
{
    const struct nn_preprocess *p = &o->model->preprocess;
    for (int c = 0; c < 3; c++) {
        o->centre[c] = (float)(255.0 * p->mean[c]);
        o->scale[c] = (float)(1 / (255.0 * p->std[c]));
    }
    plain_node(o, "Sub", "centred", INPUTS("input", add_planes(o, "preprocess.centre", o->centre)));
    plain_node(o, "Mul", "normalised", INPUTS("centred", add_planes(o, "preprocess.scale", o->scale)));
}

static void make_body(struct onnx *o, int size, const struct weights_onnx_options *wanted)
{
    const char *output = wanted->softmax ? "probabilities" : "logits";
    if (o->preprocess) add_preprocess(o);
    for (int i = 0; i < o->graph.count; i++) add_node(o, i);
    if (wanted->softmax) {
        const char *scores = "logits";
        if (o->model->temperature > 0 && !wanted->raw) {
            scores = "calibrated";
            add_number(o, "temperature", (float)o->model->temperature);
            plain_node(o, "Div", scores, INPUTS("logits", "temperature"));
        }
        struct weights_pb node = begin_node("Softmax", output, INPUTS(scores));
        attribute_int(&node, "axis", 1);
        end_node(o, &node, output);
    }
    weights_pb_string(&o->body, GRAPH_NAME, o->model->arch);
    add_port(o, GRAPH_INPUT, "input", (int[]){3, size, size}, 3);
    add_port(o, GRAPH_OUTPUT, output, &o->model->class_count, 1);
}

/* Everything before the first initialiser; more: bytes of those. */
static enum rudd_status make_head(struct weights_pb *head, struct onnx *o, size_t more, struct rudd_error *err)
{
    struct weights_metadata metadata = {.count = 0};
    enum rudd_status status = weights_metadata_make(&metadata, o->model, err);
    if (status) return status;
    struct weights_pb opset = {0}, entry = {0};
    weights_pb_int(head, MODEL_IR_VERSION, IR_VERSION);
    weights_pb_string(head, MODEL_PRODUCER, "rudd");
    weights_pb_string(head, MODEL_PRODUCER_VERSION, RUDD_VERSION);
    weights_pb_string(&opset, OPSET_DOMAIN, "");
    weights_pb_int(&opset, OPSET_VERSION, OPSET);
    weights_pb_message(head, MODEL_OPSET, &opset);
    for (int i = 0; i < metadata.count; i++) {
        if (!strcmp(metadata.entries[i].key, "format")) continue; /* says "PyTorch": of safetensors only */
        weights_pb_string(&entry, META_KEY, metadata.entries[i].key);
        weights_pb_string(&entry, META_VALUE, metadata.entries[i].value);
        weights_pb_message(head, MODEL_META, &entry);
    }
    weights_metadata_free(&metadata);
    weights_pb_message_open(head, MODEL_GRAPH, &o->body, more);
    return RUDD_OK;
}

/* Lengths of all initialisers together. False: no memory. */
static bool measure(uint64_t *length, const struct onnx *o)
{
    bool ok = true;
    *length = 0;
    for (int i = 0; i < o->constant_count; i++) {
        struct weights_pb head = {0};
        constant_head(&head, o, &o->constants[i]);
        *length += head.length + constant_bytes(o, &o->constants[i]);
        ok &= !head.failed;
        weights_pb_free(&head);
    }
    return ok;
}

static enum rudd_status write_constant(struct weights_replacement *r, const struct onnx *o, const struct constant *c,
                                       struct rudd_error *err)
{
    struct weights_pb head = {0};
    const float *values = constant_values(o, c);
    const void *bytes = values;
    enum rudd_status status = RUDD_OK;
    constant_head(&head, o, c);
    if (head.failed) status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write %s", r->path, c->name);
    if (!status && constant_dtype(o, c) != WEIGHTS_F32) {
        status = weights_narrow(o->scratch, constant_dtype(o, c), values, c->count, c->name, err);
        bytes = o->scratch;
    }
    if (!status) status = weights_replace_write(r, head.bytes, head.length, err);
    if (!status) status = weights_replace_write(r, bytes, constant_bytes(o, c), err);
    weights_pb_free(&head);
    return status;
}

static enum rudd_status write_file(const char *path, struct onnx *o, struct rudd_error *err)
{
    struct weights_pb head = {0};
    struct weights_replacement r;
    uint64_t weights;
    enum rudd_status status = RUDD_OK;
    bool fits = measure(&weights, o);
    if (weights + o->body.length > INT32_MAX - (1 << 20)) { /* a MiB for what comes before and around the graph */
        status = rudd_fail(err, RUDD_LIMIT,
                           "%s: %s with %d classes would make %" PRIu64
                           " bytes, but an ONNX file holds less than 2 GiB; fewer classes or a smaller network fit",
                           path, o->model->arch, o->model->class_count, weights);
        goto out;
    }
    o->scratch = rudd_alloc(sizeof *o->scratch * (o->largest + 2 * o->widest));
    status = nn_model_need_values(o->model, err);
    if (!status) status = make_head(&head, o, (size_t)weights, err);
    if (!status && (!o->scratch || !fits || head.failed))
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write it", path);
    if (!status) status = weights_replace_begin(&r, path, err);
    if (status) goto out;
    status = weights_replace_write(&r, head.bytes, head.length, err);
    for (int i = 0; i < o->constant_count && !status; i++) status = write_constant(&r, o, &o->constants[i], err);
    status = weights_replace_end(&r, status, err);
out:
    weights_pb_free(&head);
    rudd_free(o->scratch);
    return status;
}

enum rudd_status weights_onnx_write(const char *path, const struct nn_model *model, const struct weights_onnx_options *options,
                                    struct rudd_error *err)
{
    enum { MIN_SIDE = 8, MAX_SIDE = 4096 }; /* as a plan's */
    const struct weights_onnx_options as_it_is = {0}, *wanted = options ? options : &as_it_is;
    int size = wanted->image_size ? wanted->image_size : model->preprocess.image_size;
    if (size < MIN_SIDE || size > MAX_SIDE)
        return rudd_fail(err, RUDD_ARGUMENT, "%s: image size %d; expected %d to %d pixels", path, size, MIN_SIDE, MAX_SIDE);
    struct onnx o = {.model = model, .dtype = wanted->dtype, .preprocess = wanted->preprocess};
    enum rudd_status status = nn_graph_copy(&o.graph, model->graph, err);
    if (status) return status;
    if (!wanted->keep_batchnorm) {
        nn_pass_freeze(&o.graph, false, 0);
        nn_pass_fold_batchnorm(&o.graph);
        nn_pass_compact(&o.graph);
    }
    size_t nodes = (size_t)o.graph.count;
    o.shapes = rudd_alloc(sizeof *o.shapes * nodes);
    o.constants =
        rudd_alloc(sizeof *o.constants * ((size_t)model->param_count + nodes + 2)); /* folding adds a bias a node at most */
    if (o.shapes && o.constants) {
        nn_graph_shapes(o.shapes, &o.graph, size);
        make_body(&o, size, wanted);
        status = write_file(path, &o, err);
    } else {
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write it", path);
    }
    weights_pb_free(&o.body);
    rudd_free(o.shapes);
    rudd_free(o.constants);
    nn_graph_free(&o.graph);
    return status;
}
