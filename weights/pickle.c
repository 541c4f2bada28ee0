/* pickle.c - the table of opcodes, and what each does to the stack: see pickle.h. It knows more opcodes than it allows, so that a refusal says
 * which it was.
 *
 * Not here: protocols 0 and 1, extension codes, buffers out of band, classes, persistent ids other than torch's storages. */
#include "weights/pickle_machine.h"
#include <inttypes.h>
#include <string.h>

/* ---- opcodes ----------------------------------------------------------------------------------------------------- */

/* Each is given the n of its row; false when it failed. */
typedef bool operation(struct pickle_machine *m, int n);

static bool op_protocol(struct pickle_machine *m, int n)
{
    uint64_t version;
    if (!pickle_number(&version, m, n)) return false;
    return (version >= 2 && version <= 5) || pickle_refuse(m, "protocol %" PRIu64 "; 2 to 5 are read", version);
}

static bool op_frame(struct pickle_machine *m, int n)
{
    uint64_t length;
    if (!pickle_number(&length, m, n)) return false;
    return length <= (size_t)(m->end - m->at) ||
           pickle_refuse(m, "a frame of %" PRIu64 " bytes; the file is truncated", length);
}

static bool op_stop(struct pickle_machine *m, int n)
{
    m->stopped = m->stack_count == (size_t)n && !m->mark_count;
    return m->stopped ||
           pickle_refuse(m, "stops with %zu values and %zu marks; expected one value", m->stack_count, m->mark_count);
}

static bool op_mark(struct pickle_machine *m, int n)
{
    (void)n;
    if (m->mark_count == PICKLE_MAX_MARKS) return pickle_refuse(m, "nests deeper than %d", PICKLE_MAX_MARKS);
    m->marks[m->mark_count++] = m->stack_count;
    return true;
}

/* An empty value of kind n. */
static bool op_push(struct pickle_machine *m, int n)
{
    return pickle_push_new(m, (struct weights_value){.kind = (enum weights_kind)n});
}

static bool op_truth(struct pickle_machine *m, int n)
{
    return pickle_push_new(m, (struct weights_value){.kind = WEIGHTS_TRUTH, .integer = n});
}

static bool push_integer(struct pickle_machine *m, int64_t integer)
{
    return pickle_push_new(m, (struct weights_value){.kind = WEIGHTS_INTEGER, .integer = integer});
}

/* n bytes without a sign; -4: four with one. */
static bool op_integer(struct pickle_machine *m, int n)
{
    uint64_t number;
    if (!pickle_number(&number, m, n < 0 ? -n : n)) return false;
    return push_integer(m, n < 0 ? (int32_t)(uint32_t)number : (int64_t)number);
}

/* As many bytes as the first n say. */
static bool op_text(struct pickle_machine *m, int n)
{
    uint64_t length;
    const unsigned char *bytes = pickle_number(&length, m, n) ? pickle_bytes(m, length) : NULL;
    if (!bytes) return false;
    return pickle_push_new(m, (struct weights_value){.kind = WEIGHTS_TEXT, .text = {(const char *)bytes, (size_t)length}});
}

/* The same as two's complement. */
static bool op_long(struct pickle_machine *m, int n)
{
    if (!op_text(m, n)) return false;
    struct weights_value *v = pickle_top(m);
    const unsigned char *bytes = (const unsigned char *)v->text.bytes;
    const size_t length = v->text.length;
    if (length > 8) return true;
    uint64_t number = length && bytes[length - 1] >= 0x80 ? UINT64_MAX : 0;
    for (size_t i = length; i > 0; i--) number = number << 8 | bytes[i - 1];
    *v = (struct weights_value){.kind = WEIGHTS_INTEGER, .integer = (int64_t)number};
    return true;
}

/* The one number that is big-endian. */
static bool op_real(struct pickle_machine *m, int n)
{
    struct weights_value v = {.kind = WEIGHTS_REAL};
    const unsigned char *p = pickle_bytes(m, (uint64_t)n);
    uint64_t bits = 0;
    if (!p) return false;
    for (int i = 0; i < n; i++) bits = bits << 8 | p[i];
    memcpy(&v.real, &bits, sizeof bits);
    return pickle_push_new(m, v);
}

/* The upper n values as a tuple; 0: those above the mark. */
static bool op_tuple(struct pickle_machine *m, int n)
{
    size_t count = (size_t)n;
    struct weights_value **values = pickle_pop(m, &count), *tuple = values ? pickle_take(m, sizeof *tuple) : NULL;
    if (!tuple) return false;
    tuple->kind = WEIGHTS_TUPLE;
    return pickle_append(m, tuple, values, count) && pickle_push(m, tuple);
}

static bool op_frozenset(struct pickle_machine *m, int n)
{
    size_t count = 0;
    return pickle_pop(m, &count) && op_push(m, n);
}

/* The upper n values, or (0) those above the mark, into the list or set below them. */
static bool op_append(struct pickle_machine *m, int n)
{
    size_t count = (size_t)n;
    struct weights_value **values = pickle_pop(m, &count), *list = values ? pickle_top(m) : NULL;
    if (!list) return false;
    if (list->kind == WEIGHTS_INERT) return true;
    if (list->kind != WEIGHTS_LIST) return pickle_refuse(m, "appends to %s", weights_kind_name(list->kind));
    return pickle_append(m, list, values, count);
}

/* The same for keys and values, and a dict. */
static bool op_set(struct pickle_machine *m, int n)
{
    size_t count = (size_t)n;
    struct weights_value **values = pickle_pop(m, &count), *dict = values ? pickle_top(m) : NULL;
    if (!dict) return false;
    if (dict->kind == WEIGHTS_INERT) return true;
    if (dict->kind != WEIGHTS_DICT || count % 2)
        return pickle_refuse(m, "sets items of %s, keys and values %zu together", weights_kind_name(dict->kind), count);
    return pickle_append(m, dict, values, count);
}

static bool op_global(struct pickle_machine *m, int n)
{
    (void)n;
    struct pickle_text module, name;
    return pickle_line(&module, m) && pickle_line(&name, m) && pickle_push_global(m, module, name);
}

static bool op_stack_global(struct pickle_machine *m, int n)
{
    size_t count = (size_t)n;
    struct weights_value **v = pickle_pop(m, &count);
    if (!v) return false;
    if (v[0]->kind != WEIGHTS_TEXT || v[1]->kind != WEIGHTS_TEXT) return pickle_refuse(m, "a global whose name is not text");
    return pickle_push_global(m, (struct pickle_text){v[0]->text.bytes, v[0]->text.length},
                              (struct pickle_text){v[1]->text.bytes, v[1]->text.length});
}

/* Something called with a tuple: one of the allow-list, so that what would come out is known without calling it. */
static bool op_call(struct pickle_machine *m, int n)
{
    size_t count = (size_t)n;
    struct weights_value **v = pickle_pop(m, &count);
    return v && pickle_push_call(m, v[0], v[1]);
}

/* State that an object is given beyond what made it: nothing that weights need. */
static bool op_build(struct pickle_machine *m, int n)
{
    size_t count = (size_t)n;
    const struct weights_value *object = pickle_pop(m, &count) ? pickle_top(m) : NULL;
    if (!object) return false;
    return object->kind == WEIGHTS_DICT || object->kind == WEIGHTS_TENSOR_VIEW || object->kind == WEIGHTS_INERT ||
           pickle_refuse(m, "gives a state to %s", weights_kind_name(object->kind));
}

static bool op_persistent(struct pickle_machine *m, int n)
{
    size_t count = (size_t)n;
    struct weights_value **id = pickle_pop(m, &count);
    return id && pickle_push_storage(m, *id);
}

static bool remember(struct pickle_machine *m, uint64_t number)
{
    struct weights_value *value = pickle_top(m);
    if (!value) return false;
    /* Writers number in order, so a number cannot exceed the bytes so far. */
    if (number > (size_t)(m->at - m->begin))
        return pickle_refuse(m, "remembers a value as number %" PRIu64 "; numbers go up by one", number);
    if (!pickle_grow(&m->memo, &m->memo_room, (size_t)number + 1, m)) return false;
    m->memo_count += !m->memo[number];
    m->memo[number] = value;
    return true;
}

static bool op_put(struct pickle_machine *m, int n)
{
    uint64_t number;
    return pickle_number(&number, m, n) && remember(m, number);
}

static bool op_memoize(struct pickle_machine *m, int n)
{
    (void)n;
    return remember(m, m->memo_count);
}

static bool op_get(struct pickle_machine *m, int n)
{
    uint64_t number;
    if (!pickle_number(&number, m, n)) return false;
    if (number >= m->memo_room || !m->memo[number])
        return pickle_refuse(m, "recalls number %" PRIu64 ", which was never remembered", number);
    return pickle_push(m, m->memo[number]);
}

/* All opcodes there are; those without an operation are refused. */
static const struct {
    const char *name;
    operation *run;
    int n;
} opcodes[256] = {
    [0x80] = {"PROTO", op_protocol, 1},
    [0x95] = {"FRAME", op_frame, 8},
    ['.'] = {"STOP", op_stop, 1},
    ['('] = {"MARK", op_mark, 0},
    ['N'] = {"NONE", op_push, WEIGHTS_NONE},
    [0x88] = {"NEWTRUE", op_truth, 1},
    [0x89] = {"NEWFALSE", op_truth, 0},
    ['J'] = {"BININT", op_integer, -4},
    ['K'] = {"BININT1", op_integer, 1},
    ['M'] = {"BININT2", op_integer, 2},
    [0x8a] = {"LONG1", op_long, 1},
    [0x8b] = {"LONG4", op_long, 4},
    ['G'] = {"BINFLOAT", op_real, 8},
    ['X'] = {"BINUNICODE", op_text, 4},
    [0x8c] = {"SHORT_BINUNICODE", op_text, 1},
    [0x8d] = {"BINUNICODE8", op_text, 8},
    ['B'] = {"BINBYTES", op_text, 4},
    ['C'] = {"SHORT_BINBYTES", op_text, 1},
    [0x8e] = {"BINBYTES8", op_text, 8},
    ['T'] = {"BINSTRING", op_text, 4},
    ['U'] = {"SHORT_BINSTRING", op_text, 1},
    [')'] = {"EMPTY_TUPLE", op_push, WEIGHTS_TUPLE},
    ['t'] = {"TUPLE", op_tuple, 0},
    [0x85] = {"TUPLE1", op_tuple, 1},
    [0x86] = {"TUPLE2", op_tuple, 2},
    [0x87] = {"TUPLE3", op_tuple, 3},
    [']'] = {"EMPTY_LIST", op_push, WEIGHTS_LIST},
    ['a'] = {"APPEND", op_append, 1},
    ['e'] = {"APPENDS", op_append, 0},
    ['}'] = {"EMPTY_DICT", op_push, WEIGHTS_DICT},
    ['s'] = {"SETITEM", op_set, 2},
    ['u'] = {"SETITEMS", op_set, 0},
    [0x8f] = {"EMPTY_SET", op_push, WEIGHTS_INERT},
    [0x90] = {"ADDITEMS", op_append, 0},
    [0x91] = {"FROZENSET", op_frozenset, WEIGHTS_INERT},
    ['c'] = {"GLOBAL", op_global, 0},
    [0x93] = {"STACK_GLOBAL", op_stack_global, 2},
    ['R'] = {"REDUCE", op_call, 2},
    [0x81] = {"NEWOBJ", op_call, 2},
    ['b'] = {"BUILD", op_build, 1},
    ['Q'] = {"BINPERSID", op_persistent, 1},
    ['q'] = {"BINPUT", op_put, 1},
    ['r'] = {"LONG_BINPUT", op_put, 4},
    [0x94] = {"MEMOIZE", op_memoize, 0},
    ['h'] = {"BINGET", op_get, 1},
    ['j'] = {"LONG_BINGET", op_get, 4},
    /* Protocols 0 and 1, and what torch.save never makes. */
    ['0'] = {"POP", NULL, 0},
    ['1'] = {"POP_MARK", NULL, 0},
    ['2'] = {"DUP", NULL, 0},
    ['F'] = {"FLOAT", NULL, 0},
    ['I'] = {"INT", NULL, 0},
    ['L'] = {"LONG", NULL, 0},
    ['P'] = {"PERSID", NULL, 0},
    ['S'] = {"STRING", NULL, 0},
    ['V'] = {"UNICODE", NULL, 0},
    ['d'] = {"DICT", NULL, 0},
    ['g'] = {"GET", NULL, 0},
    ['i'] = {"INST", NULL, 0},
    ['l'] = {"LIST", NULL, 0},
    ['o'] = {"OBJ", NULL, 0},
    ['p'] = {"PUT", NULL, 0},
    [0x82] = {"EXT1", NULL, 0},
    [0x83] = {"EXT2", NULL, 0},
    [0x84] = {"EXT4", NULL, 0},
    [0x92] = {"NEWOBJ_EX", NULL, 0},
    [0x96] = {"BYTEARRAY8", NULL, 0},
    [0x97] = {"NEXT_BUFFER", NULL, 0},
    [0x98] = {"READONLY_BUFFER", NULL, 0},
};

static bool run(struct pickle_machine *m)
{
    while (!m->stopped) {
        if (m->at == m->end) return pickle_refuse(m, "ends without STOP; the file is truncated");
        const unsigned char code = *m->at;
        if (!opcodes[code].name) return pickle_refuse(m, "0x%02x is no opcode; the file is damaged", code);
        if (!opcodes[code].run)
            return pickle_refuse(m, "opcode %s (0x%02x) is not among those that hold weights; nothing of the file was run",
                                 opcodes[code].name, code);
        m->at++;
        if (!opcodes[code].run(m, opcodes[code].n)) return false;
    }
    return true;
}

/* ---- the tree ---------------------------------------------------------------------------------------------------- */

enum rudd_status weights_pickle_parse(struct weights_pickle *p, const void *bytes, size_t length, const char *name,
                                      struct rudd_error *err)
{
    struct rudd_error own;
    struct pickle_machine m = {.at = bytes, .begin = bytes, .end = (const unsigned char *)bytes + length, .name = name};
    m.err = err ? err : &own;
    const bool good = run(&m);
    if (good) {
        *p = (struct weights_pickle){m.stack[0], (size_t)(m.at - m.begin), m.storages, m.storage_count, m.chunks};
    } else {
        pickle_free_chunks(m.chunks);
        rudd_free(m.storages);
    }
    rudd_free(m.stack);
    rudd_free(m.memo);
    return good ? RUDD_OK : m.err->status;
}

void weights_pickle_free(struct weights_pickle *p)
{
    pickle_free_chunks(p->memory);
    rudd_free(p->storages);
    memset(p, 0, sizeof *p);
}
