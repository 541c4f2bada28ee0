/* pickle_globals.c - the allow-list of names, and what those of torch stand for: storages, tensors, dicts. See pickle.h.
 *
 * Sources: torch/_utils.py (_rebuild_tensor_v2 ...), torch/serialization.py (persistent_id), Python's Lib/collections. */
#include "weights/pickle_machine.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAME_TEXT = 160 };

/* ---- names of the allow-list ------------------------------------------------------------------------------------- */

enum role {
    TENSOR,    /* called with storage, offset, shape, strides: a tensor */
    PARAMETER, /* called with a tensor: that tensor */
    DICT,      /* called with nothing, or Python 2's list of pairs: a dict */
    STORAGE,   /* the type of a storage */
    THING      /* called or not: something of no interest */
};
struct global {
    const char *module, *name;
    enum role role;
    enum weights_dtype dtype; /* of a STORAGE */
};
static const struct global globals[] = {
    {"torch._utils", "_rebuild_tensor_v2", TENSOR, 0},
    {"torch._utils", "_rebuild_tensor", TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", PARAMETER, 0},
    {"torch._utils", "_rebuild_parameter_with_state", PARAMETER, 0},
    {"torch.nn.parameter", "Parameter", PARAMETER, 0},
    {"collections", "OrderedDict", DICT, 0},
    {"collections", "defaultdict", DICT, 0},
    {"collections", "Counter", DICT, 0},
    {"torch", "FloatStorage", STORAGE, WEIGHTS_F32},
    {"torch", "HalfStorage", STORAGE, WEIGHTS_F16},
    {"torch", "BFloat16Storage", STORAGE, WEIGHTS_BF16},
    {"torch", "DoubleStorage", STORAGE, WEIGHTS_F64},
    {"torch", "LongStorage", STORAGE, WEIGHTS_I64},
    {"torch", "IntStorage", STORAGE, WEIGHTS_I32},
    {"torch", "ShortStorage", STORAGE, WEIGHTS_I16},
    {"torch", "CharStorage", STORAGE, WEIGHTS_I8},
    {"torch", "ByteStorage", STORAGE, WEIGHTS_U8},
    {"torch", "BoolStorage", STORAGE, WEIGHTS_BOOL},
    {"torch", "UntypedStorage", STORAGE, WEIGHTS_U8},
    {"torch.storage", "UntypedStorage", STORAGE, WEIGHTS_U8},
    /* What training scripts save beside the weights. */
    {"torch", "device", THING, 0},
    {"torch", "Size", THING, 0},
    {"torch", "float32", THING, 0},
    {"torch", "float16", THING, 0},
    {"torch", "bfloat16", THING, 0},
    {"torch", "float64", THING, 0},
    {"torch", "int64", THING, 0},
    {"argparse", "Namespace", THING, 0},
    {"builtins", "set", THING, 0},
    {"builtins", "frozenset", THING, 0},
    {"builtins", "dict", THING, 0},
    {"builtins", "list", THING, 0},
    {"builtins", "int", THING, 0},
    {"builtins", "float", THING, 0},
    {"builtins", "bytearray", THING, 0},
    {"builtins", "complex", THING, 0},
    {"_codecs", "encode", THING, 0},
    {"pathlib", "PosixPath", THING, 0},
    {"pathlib._local", "PosixPath", THING, 0},
    {"numpy", "dtype", THING, 0},
    {"numpy", "ndarray", THING, 0},
    {"numpy.core.multiarray", "scalar", THING, 0},
    {"numpy.core.multiarray", "_reconstruct", THING, 0},
    {"numpy._core.multiarray", "scalar", THING, 0},
    {"numpy._core.multiarray", "_reconstruct", THING, 0},
};

bool pickle_push_global(struct pickle_machine *m, struct pickle_text module, struct pickle_text name)
{
    if (pickle_is(module, "__builtin__")) module = (struct pickle_text){"builtins", 8}; /* Python 2's word */
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (pickle_is(module, globals[i].module) && pickle_is(name, globals[i].name))
            return pickle_push_new(m, (struct weights_value){.kind = WEIGHTS_NAME, .name = &globals[i]});
    return pickle_refuse(
        m,
        "asks for %.*s.%.*s, which weights have no use for, so it was not touched; in a program that trusts the "
        "file, save the weights alone: torch.save(model.state_dict(), FILE)",
        module.length < NAME_TEXT ? (int)module.length : NAME_TEXT, module.bytes,
        name.length < NAME_TEXT ? (int)name.length : NAME_TEXT, name.bytes);
}

/* ---- storages and tensors ---------------------------------------------------------------------------------------- */

static bool is_global(const struct weights_value *v, enum role role)
{
    return v->kind == WEIGHTS_NAME && ((const struct global *)v->name)->role == role;
}

static bool is_integer(const struct weights_value *v)
{
    return v->kind == WEIGHTS_INTEGER;
}

/* ("storage", type, key, place, count) or, in the older form, with a sixth: None or (key, begin, length) of a view. */
bool pickle_push_storage(struct pickle_machine *m, const struct weights_value *id)
{
    struct weights_value *const *part = id->list.items;
    const size_t parts = id->kind == WEIGHTS_TUPLE ? id->list.count : 0;
    if ((parts != 5 && parts != 6) || !weights_value_is(part[0], "storage") || !is_global(part[1], STORAGE) ||
        part[2]->kind != WEIGHTS_TEXT || !is_integer(part[4]))
        return pickle_refuse(m, "a persistent id that is %s; expected (\"storage\", type, key, place, count)",
                             weights_kind_name(id->kind));
    struct weights_storage *s = pickle_take(m, sizeof *s);
    if (!s) return false;
    *s = (struct weights_storage){.key = part[2]->text.bytes,
                                  .key_length = part[2]->text.length,
                                  .dtype = ((const struct global *)part[1]->name)->dtype,
                                  .count = part[4]->integer,
                                  .length = part[4]->integer};
    if (parts == 6 && part[5]->kind != WEIGHTS_NONE) {
        struct weights_value *const *view = part[5]->list.items;
        if (part[5]->kind != WEIGHTS_TUPLE || part[5]->list.count != 3 || !is_integer(view[1]) || !is_integer(view[2]))
            return pickle_refuse(m, "a view of a storage that is not (key, begin, length)");
        s->begin = view[1]->integer;
        s->length = view[2]->integer;
    }
    if (s->count < 0 || (uint64_t)s->count > SIZE_MAX / 16 || s->begin < 0 || s->length < 0 || s->begin > s->count ||
        s->length > s->count - s->begin)
        return pickle_refuse(m, "a storage of %" PRId64 " elements, of which %" PRId64 " from %" PRId64 " on are meant",
                             s->count, s->length, s->begin);
    if (!pickle_grow(&m->storages, &m->storage_room, m->storage_count + 1, m)) return false;
    m->storages[m->storage_count++] = s;
    return pickle_push_new(m, (struct weights_value){.kind = WEIGHTS_STORAGE, .storage = s});
}

/* Whether the first and the last element, and so all, lie within the storage. */
static bool lies_within(const struct weights_view *v)
{
    const struct weights_tensor *t = &v->tensor;
    if (!t->count) return true;
    if (v->offset < 0 || v->offset >= v->storage->length) return false;
    int64_t room = v->storage->length - 1 - v->offset; /* elements behind the one reached so far */
    for (int i = 0; i < t->rank; i++) {
        if (v->stride[i] < 0 || (v->stride[i] && t->shape[i] - 1 > room / v->stride[i])) return false;
        room -= v->stride[i] * (t->shape[i] - 1);
    }
    return true;
}

/* (storage, offset, shape, strides, ...): what else there is has to do with gradients. */
static bool push_tensor(struct pickle_machine *m, const struct weights_value *arguments)
{
    struct weights_value *const *a = arguments->list.items;
    if (arguments->list.count < 4 || a[0]->kind != WEIGHTS_STORAGE || !is_integer(a[1]) || a[2]->kind != WEIGHTS_TUPLE ||
        a[3]->kind != WEIGHTS_TUPLE || a[2]->list.count != a[3]->list.count || a[2]->list.count > WEIGHTS_MAX_RANK)
        return pickle_refuse(m, "a tensor that is not (storage, offset, shape, strides) of at most %d dimensions",
                             WEIGHTS_MAX_RANK);
    struct weights_view *v = pickle_take(m, sizeof *v);
    if (!v) return false;
    int64_t shape[WEIGHTS_MAX_RANK];
    const size_t rank = a[2]->list.count;
    v->storage = a[0]->storage;
    v->tensor.dtype = v->storage->dtype;
    v->offset = a[1]->integer;
    for (size_t i = 0; i < rank; i++) {
        const struct weights_value *n = a[2]->list.items[i], *step = a[3]->list.items[i];
        shape[i] = is_integer(n) ? n->integer : -1;
        v->stride[i] = is_integer(step) ? step->integer : -1;
    }
    char where[1024];
    snprintf(where, sizeof where, "%.480s: pickle, byte %zu", m->name, (size_t)(m->at - m->begin));
    if (weights_set_shape(&v->tensor, shape, rank, where, m->err)) return false;
    if (!lies_within(v))
        return pickle_refuse(m, "a tensor from element %" PRId64 " on does not lie within its storage of %" PRId64, v->offset,
                             v->storage->length);
    v->offset += v->storage->begin;
    return pickle_push_new(m, (struct weights_value){.kind = WEIGHTS_TENSOR_VIEW, .view = v});
}

/* Python 2 gives an OrderedDict its contents as a list of pairs; otherwise they follow. */
static bool push_dict(struct pickle_machine *m, const struct weights_value *arguments)
{
    if (!pickle_push_new(m, (struct weights_value){.kind = WEIGHTS_DICT})) return false;
    const struct weights_value *pairs = arguments->list.count ? arguments->list.items[0] : NULL;
    if (!pairs || pairs->kind != WEIGHTS_LIST) return true;
    struct weights_value *dict = m->stack[m->stack_count - 1];
    for (size_t i = 0; i < pairs->list.count; i++) {
        const struct weights_value *pair = pairs->list.items[i];
        if ((pair->kind != WEIGHTS_LIST && pair->kind != WEIGHTS_TUPLE) || pair->list.count != 2)
            return pickle_refuse(m, "a dict of things that are no pairs");
        if (!pickle_append(m, dict, pair->list.items, 2)) return false;
    }
    return true;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

bool pickle_push_call(struct pickle_machine *m, const struct weights_value *name, const struct weights_value *arguments)
{
    if (name->kind != WEIGHTS_NAME || arguments->kind != WEIGHTS_TUPLE)
        return pickle_refuse(m, "calls %s with %s", weights_kind_name(name->kind), weights_kind_name(arguments->kind));
    const struct global *g = name->name;
    switch (g->role) {
    case TENSOR: return push_tensor(m, arguments);
    case PARAMETER:
        if (!arguments->list.count || arguments->list.items[0]->kind != WEIGHTS_TENSOR_VIEW)
            return pickle_refuse(m, "%s of what is no tensor", g->name);
        return pickle_push(m, arguments->list.items[0]);
    case DICT: return push_dict(m, arguments);
    case STORAGE: return pickle_refuse(m, "calls %s.%s", g->module, g->name);
    case THING: break;
    }
    return pickle_push_new(m, (struct weights_value){.kind = WEIGHTS_INERT});
}
