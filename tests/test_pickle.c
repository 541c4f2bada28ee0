/* test_pickle.c - the allow-listed machine, and PyTorch's checkpoints around it: everything that torch.save writes is read, everything else is
 * refused by its name, and nothing takes more than it may. The peer's own files are read in tests/parity/parity_torchfile.py. */
#include "tests/archives.h"
#include "tests/pickles.h"
#include "weights/pickle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct rudd_error err;
static unsigned char file[1 << 16];

static enum rudd_status parse(struct weights_pickle *p, struct piece bytes)
{
    return weights_pickle_parse(p, bytes.bytes, bytes.length, "a.pkl", &err);
}

/* The pickle is refused, with this in the message, which is one line and names the file. */
static void assert_refused(struct piece bytes, enum rudd_status expected, const char *fault)
{
    struct weights_pickle p, before;
    memset(&p, 0x5a, sizeof p);
    before = p;
    enum rudd_status status = parse(&p, bytes);
    if (status != expected || !strstr(err.message, fault))
        print_error("expected %s: %s\n", fault, status ? err.message : "read");
    assert_int_equal(status, expected);
    assert_non_null(strstr(err.message, "a.pkl: "));
    assert_non_null(strstr(err.message, fault));
    assert_null(strchr(err.message, '\n'));
    assert_memory_equal(&p, &before, sizeof p);
}

/* ---- opcodes ----------------------------------------------------------------------------------------------------- */

/* Python's opcodes, by the names of its pickletools. */
static const struct {
    unsigned char code;
    const char *name;
    bool allowed;
} known[] = {
    {'(', "MARK", true},           {'.', "STOP", true},
    {'0', "POP", false},           {'1', "POP_MARK", false},
    {'2', "DUP", false},           {'F', "FLOAT", false},
    {'I', "INT", false},           {'J', "BININT", true},
    {'K', "BININT1", true},        {'L', "LONG", false},
    {'M', "BININT2", true},        {'N', "NONE", true},
    {'P', "PERSID", false},        {'Q', "BINPERSID", true},
    {'R', "REDUCE", true},         {'S', "STRING", false},
    {'T', "BINSTRING", true},      {'U', "SHORT_BINSTRING", true},
    {'V', "UNICODE", false},       {'X', "BINUNICODE", true},
    {'a', "APPEND", true},         {'b', "BUILD", true},
    {'c', "GLOBAL", true},         {'d', "DICT", false},
    {'}', "EMPTY_DICT", true},     {'e', "APPENDS", true},
    {'g', "GET", false},           {'h', "BINGET", true},
    {'i', "INST", false},          {'j', "LONG_BINGET", true},
    {'l', "LIST", false},          {']', "EMPTY_LIST", true},
    {'o', "OBJ", false},           {'p', "PUT", false},
    {'q', "BINPUT", true},         {'r', "LONG_BINPUT", true},
    {'s', "SETITEM", true},        {'t', "TUPLE", true},
    {')', "EMPTY_TUPLE", true},    {'u', "SETITEMS", true},
    {'G', "BINFLOAT", true},       {0x80, "PROTO", true},
    {0x81, "NEWOBJ", true},        {0x82, "EXT1", false},
    {0x83, "EXT2", false},         {0x84, "EXT4", false},
    {0x85, "TUPLE1", true},        {0x86, "TUPLE2", true},
    {0x87, "TUPLE3", true},        {0x88, "NEWTRUE", true},
    {0x89, "NEWFALSE", true},      {0x8a, "LONG1", true},
    {0x8b, "LONG4", true},         {'B', "BINBYTES", true},
    {'C', "SHORT_BINBYTES", true}, {0x8c, "SHORT_BINUNICODE", true},
    {0x8d, "BINUNICODE8", true},   {0x8e, "BINBYTES8", true},
    {0x8f, "EMPTY_SET", true},     {0x90, "ADDITEMS", true},
    {0x91, "FROZENSET", true},     {0x92, "NEWOBJ_EX", false},
    {0x93, "STACK_GLOBAL", true},  {0x94, "MEMOIZE", true},
    {0x95, "FRAME", true},         {0x96, "BYTEARRAY8", false},
    {0x97, "NEXT_BUFFER", false},  {0x98, "READONLY_BUFFER", false},
};

/* Each of the 256 bytes is an opcode that is read, one that is refused by its name, or none at all. */
static void every_opcode_has_its_place(void **state)
{
    (void)state;
    int read = 0, refused = 0, none = 0;
    for (int code = 0; code < 256; code++) {
        const char *name = NULL;
        bool allowed = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            if (known[k].code == code) {
                name = known[k].name;
                allowed = known[k].allowed;
            }
        /* Behind enough values, in front of enough bytes, so that an opcode that is read does not fail for want of them. */
        char pickle[64] = "\x80\2]]]]", text[80];
        pickle[6] = (char)code;
        struct weights_pickle p;
        enum rudd_status status = parse(&p, (struct piece){pickle, sizeof pickle});
        assert_int_not_equal(status, RUDD_OK);
        if (!name) {
            snprintf(text, sizeof text, "byte 6: 0x%02x is no opcode", code);
            none++;
        } else if (!allowed) {
            snprintf(text, sizeof text, "byte 6: opcode %s (0x%02x) is not among", name, code);
            refused++;
        } else {
            read++;
            assert_null(strstr(err.message, "is not among"));
            assert_null(strstr(err.message, "byte 6: 0x"));
            continue;
        }
        assert_non_null(strstr(err.message, text));
    }
    assert_int_equal(read, 46);
    assert_int_equal(refused, 22);
    assert_int_equal(none, 256 - 68);
}

/* Values of every kind come out as what Python put in. */
static void values_are_read(void **state)
{
    (void)state;
    struct weights_pickle p;
    static const char pickle[] = "\x80\4\x95\1\0\0\0\0\0\0\0}q\0(" /* in a frame; number 0 */
        NAME("\1", "i") "J\376\377\377\377"                        /* -2 */
        NAME("\1", "j") "M\1\2"                                    /* 513 */
        NAME("\1", "k") "\x8a\2\0\xff"                             /* -256 */
        NAME("\1", "l") "\x8a\0"                                   /* 0 */
        NAME("\1", "m") "\x8b\x9\0\0\0"
                        "123456789"                              /* 72 bits */
        NAME("\1", "f") "G\x3f\xf8\0\0\0\0\0\0"                  /* 1.5 */
        NAME("\1", "t") "\x88"                                   /* True */
        NAME("\1", "n") "N"                                      /* None */
                        "U\1bC\3abc\x8c\1u\x8d\1\0\0\0\0\0\0\0v" /* texts in four forms */
        NAME("\1", "s") "(K\1K\2\x91"                            /* a frozenset */
        NAME("\1", "w") "(K\1\x88\x89t\x94"                      /* a tuple, number 1 */
        NAME("\1", "x") "h\1" NAME("\1", "y") "j\0\0\0\0"        /* numbers 1 and 0 */
                                              "u.behind";
    assert_int_equal(parse(&p, PIECE(pickle)), RUDD_OK);
    assert_int_equal(p.used, sizeof pickle - 1 - 6);
    assert_int_equal(p.root->kind, WEIGHTS_DICT);
    assert_int_equal(weights_value_find(p.root, "i")->integer, -2);
    assert_int_equal(weights_value_find(p.root, "j")->integer, 513);
    assert_int_equal(weights_value_find(p.root, "k")->integer, -256);
    assert_int_equal(weights_value_find(p.root, "l")->integer, 0);
    assert_true(weights_value_is(weights_value_find(p.root, "m"), "123456789"));
    assert_true(weights_value_find(p.root, "f")->real == 1.5);
    assert_int_equal(weights_value_find(p.root, "t")->kind, WEIGHTS_TRUTH);
    assert_int_equal(weights_value_find(p.root, "n")->kind, WEIGHTS_NONE);
    assert_true(weights_value_is(weights_value_find(p.root, "b"), "abc"));
    assert_true(weights_value_is(weights_value_find(p.root, "u"), "v"));
    assert_int_equal(weights_value_find(p.root, "s")->kind, WEIGHTS_INERT);
    assert_int_equal(weights_value_find(p.root, "w")->list.count, 3);
    assert_ptr_equal(weights_value_find(p.root, "x"), weights_value_find(p.root, "w"));
    assert_ptr_equal(weights_value_find(p.root, "y"), p.root); /* it contains itself */
    assert_null(weights_value_find(p.root, "z"));
    assert_null(weights_value_find(weights_value_find(p.root, "w"), "z"));
    weights_pickle_free(&p);

    /* Lists grow; the later of two equal keys counts; Python 2 gives a dict its pairs. */
    assert_int_equal(parse(&p, PIECE("\x80\2ccollections\nOrderedDict\n](]U\1aaK\1a]U\1aaK\2aee\x85R.")), RUDD_FORMAT);
    assert_int_equal(parse(&p, PIECE("\x80\2ccollections\nOrderedDict\n](](U\1aK\1e](U\1aK\2ee\x85R.")), RUDD_OK);
    assert_int_equal(p.root->list.count, 4);
    assert_int_equal(weights_value_find(p.root, "a")->integer, 2);
    weights_pickle_free(&p);
}

/* What is broken is refused where it is broken. */
static void broken_pickles_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct piece bytes;
        const char *fault;
    } cases[] = {
        {{"", 0}, "ends without STOP"},
        {{"\x80\2", 2}, "ends without STOP"},
        {{"\x80\1K\1.", 5}, "protocol 1"},
        {{"\x80\6K\1.", 5}, "protocol 6"},
        {{"\x80", 1}, "needs 1 bytes but 0 follow"},
        {{".", 1}, "stops with 0 values"},
        {{"K\1K\1.", 5}, "stops with 2 values"},
        {{"K\1(.", 4}, "stops with 1 values and 1 marks"},
        {{"\x95\3\0\0\0\0\0\0\0.", 10}, "a frame of 3 bytes"},
        {{"X\377\377\377\377abc", 8}, "needs 4294967295 bytes but 3 follow"},
        {{"\x8d\377\377\377\377\377\377\377\377abc", 12}, "needs 18446744073709551615 bytes"},
        {{"\x8b\377\377\377\377abc", 8}, "needs 4294967295 bytes"},
        {{"cabc\n", 5}, "without a newline"},
        {{"t", 1}, "there is none"},
        {{"\x85", 1}, "needs 1 values"},
        {{"K\1(\x85", 4}, "needs 1 values, the stack has 0"},
        {{"(K\1e", 4}, "needs a value"},
        {{"N(K\1e", 5}, "appends to None"},
        {{"N(K\1u", 5}, "sets items of None"},
        {{"}(K\1u", 5}, "keys and values 1 together"},
        {{"}NNNs", 5}, "sets items of None"},
        {{"h\1", 2}, "recalls number 1"},
        {{"j\377\377\377\377", 5}, "recalls number 4294967295"},
        {{"Nr\377\377\377\377", 6}, "remembers a value as number 4294967295"},
        {{"q\1", 2}, "needs a value"},
        {{"NN\x93", 3}, "not text"},
        {{"N)R", 3}, "calls None with a tuple"},
        {{"ctorch\ndevice\nNR", 16}, "calls a global with None"},
        {{"ctorch\nFloatStorage\n)R", 22}, "calls torch.FloatStorage"},
        {{"ctorch._utils\n_rebuild_parameter\n)R", 35}, "_rebuild_parameter of what is no tensor"},
        {{"NNb", 3}, "gives a state to None"},
        {{"NQ", 2}, "a persistent id that is None"},
        {{")Q", 2}, "a persistent id that is a tuple"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_refused(cases[i].bytes, RUDD_FORMAT, cases[i].fault);
}

/* What could run something is refused by its name, however it is asked for, and however odd that name is. */
static void other_names_are_refused(void **state)
{
    (void)state;
    assert_refused(PIECE("\x80\2cposix\nsystem\nX\2\0\0\0id\x85R."), RUDD_FORMAT, "byte 16: asks for posix.system, which");
    assert_refused(PIECE("\x80\4\x8c\5posix\x8c\6system\x93."), RUDD_FORMAT, "asks for posix.system, which");
    assert_refused(PIECE("\x80\2c__builtin__\neval\n."), RUDD_FORMAT, "asks for builtins.eval, which");
    assert_refused(PIECE("\x80\2cbuiltins\nexec\n."), RUDD_FORMAT, "asks for builtins.exec, which");
    assert_refused(PIECE("\x80\2ctorch\nload\n."), RUDD_FORMAT, "asks for torch.load, which");
    assert_refused(PIECE("\x80\2ctorch\nFloatStorag\n."), RUDD_FORMAT, "asks for torch.FloatStorag, which");
    assert_refused(PIECE("\x80\2ctorch.nn.modules.container\nSequential\n."), RUDD_FORMAT,
                   "torch.nn.modules.container.Sequential");
    assert_refused(PIECE("\x80\2ca\x1b[2J\nb\n."), RUDD_FORMAT, "asks for a?[2J.b, which");
    static char longer[70000] = "c";
    memset(longer + 1, 'x', 30000);
    longer[30001] = '\n';
    memset(longer + 30002, 'y', 30000);
    longer[60002] = '\n';
    assert_refused((struct piece){longer, 60003}, RUDD_FORMAT, "torch.save(model.state_dict(), FILE)");
}

/* ---- bombs ------------------------------------------------------------------------------------------------------- */

/* Depth, stack, memory and memo have ends; values that contain each other are not followed. */
static void bombs_are_refused(void **state)
{
    (void)state;
    enum { LENGTH = 12 << 20 };
    char *bytes = malloc(LENGTH);
    assert_non_null(bytes);
    memset(bytes, '(', LENGTH);
    assert_refused((struct piece){bytes, LENGTH}, RUDD_FORMAT, "nests deeper than 256");

    /* Each opcode recalls the same value. */
    memcpy(bytes, "Nq\0N", 4);
    for (int i = 4; i < LENGTH; i++) bytes[i] = i % 2 ? 0 : 'h';
    assert_refused((struct piece){bytes, LENGTH}, RUDD_LIMIT, "more than 4194304 values at once");

    /* New values, which are appended at once so that the stack stays low: six million lists are more than 256 MiB. */
    bytes[0] = ']';
    for (int i = 1; i + 1 < LENGTH; i += 2) {
        bytes[i] = ']';
        bytes[i + 1] = 'a';
    }
    bytes[LENGTH - 1] = '.';
    assert_refused((struct piece){bytes, LENGTH}, RUDD_LIMIT, "more than 256 MiB");

    struct weights_pickle p;
    /* A hundred levels of a list that holds the one before ten times: 10^100 values, were they followed. */
    char *at = bytes;
    *at++ = ']';
    for (int level = 0; level < 100; level++) {
        *at++ = 'q';
        *at++ = (char)level;
        *at++ = ']';
        for (int i = 0; i < 10; i++) {
            *at++ = 'h';
            *at++ = (char)level;
            *at++ = 'a';
        }
        *at++ = '\x86'; /* with the one before: one value on the stack */
    }
    *at++ = '.';
    assert_int_equal(parse(&p, (struct piece){bytes, (size_t)(at - bytes)}), RUDD_OK);
    weights_pickle_free(&p);
    free(bytes);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* A tensor is a view: its shape, strides and offset must lie within its storage, to the last element. */
static void views_stay_within_their_storage(void **state)
{
    (void)state;
    struct weights_pickle p;
    assert_int_equal(parse(&p, PIECE("\x80\2" TENSOR("0", "\4", "\2") ".")), RUDD_OK);
    assert_int_equal(p.root->kind, WEIGHTS_TENSOR_VIEW);
    assert_int_equal(p.root->view->tensor.count, 2);
    assert_int_equal(p.root->view->offset, 2);
    assert_int_equal(p.storage_count, 1);
    weights_pickle_free(&p);
    assert_refused(PIECE("\x80\2" TENSOR("0", "\4", "\3") "."), RUDD_FORMAT, "does not lie within its storage of 4");
    assert_refused(PIECE("\x80\2" TENSOR("0", "\4", "\4") "."), RUDD_FORMAT, "does not lie within its storage of 4");

#define REBUILD "ctorch._utils\n_rebuild_tensor\n("
#define HUGE "\x8a\x8\0\0\0\0\0\0\0\x40"
    static const struct {
        struct piece bytes;
        const char *fault;
    } cases[] = {
        {{REBUILD STORAGE("0", "\4") "K\0K\2\x85K\4\x85tR.", sizeof REBUILD STORAGE("0", "\4") + 11}, "does not lie within"},
        {{REBUILD STORAGE("0", "\4") "J\377\377\377\377K\2\x85K\1\x85tR.", sizeof REBUILD STORAGE("0", "\4") + 14},
         "from element -1"},
        {{REBUILD STORAGE("0", "\4") "K\0J\377\377\377\377\x85K\1\x85tR.", sizeof REBUILD STORAGE("0", "\4") + 14},
         "dimension 0 is not"},
        {{REBUILD STORAGE("0", "\4") "K\3K\2\x85J\377\377\377\377\x85tR.", sizeof REBUILD STORAGE("0", "\4") + 14},
         "does not lie within"},
        {{REBUILD STORAGE("0", "\4") "K\0" HUGE "\x85K\0\x85tR.", sizeof REBUILD STORAGE("0", "\4") + 19}, "overflows"},
        {{REBUILD STORAGE("0", "\4") "K\0K\2\x85" HUGE "\x85tR.", sizeof REBUILD STORAGE("0", "\4") + 19},
         "does not lie within"},
        {{REBUILD STORAGE("0", "\4") HUGE "K\2\x85K\1\x85tR.", sizeof REBUILD STORAGE("0", "\4") + 19}, "does not lie within"},
        {{REBUILD STORAGE("0", "\4") "K\0K\2\x85)tR.", sizeof REBUILD STORAGE("0", "\4") + 9}, "a tensor that is not"},
        {{REBUILD STORAGE("0", "\4") "K\0NNtR.", sizeof REBUILD STORAGE("0", "\4") + 6}, "a tensor that is not"},
        {{REBUILD "NK\0))tR.", sizeof REBUILD + 7}, "a tensor that is not"},
        {{REBUILD "tR.", sizeof REBUILD + 2}, "a tensor that is not"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_refused(cases[i].bytes, RUDD_FORMAT, cases[i].fault);

        /* The older form's view of a storage: elements 1 and 2 of four. */
#define OLD(BEGIN, LENGTH) "(U\7storagectorch\nFloatStorage\nU\1\60U\3cpuK\4(U\1vK" BEGIN "K" LENGTH "ttQ"
    static const struct {
        struct piece bytes;
        const char *fault;
    } old[] = {
        {{REBUILD OLD("\1", "\2") "K\1K\1\x85K\1\x85tR.", sizeof REBUILD OLD("\1", "\2") + 11}, NULL},
        {{REBUILD OLD("\1", "\2") "K\1K\2\x85K\1\x85tR.", sizeof REBUILD OLD("\1", "\2") + 11}, "within its storage of 2"},
        {{REBUILD OLD("\1", "\4") "K\0K\1\x85K\1\x85tR.", sizeof REBUILD OLD("\1", "\4") + 11}, "a storage of 4 elements"},
    };
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        if (old[i].fault) {
            assert_refused(old[i].bytes, RUDD_FORMAT, old[i].fault);
            continue;
        }
        assert_int_equal(parse(&p, old[i].bytes), RUDD_OK);
        assert_int_equal(p.root->view->offset, 2);
        weights_pickle_free(&p);
    }
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

static const float storage[4] = {1, 2, 3, 4};

/* A checkpoint in the zip form, with one storage "0" of four floats; packed: all of it deflated, as zip programs do. */
static size_t make_zip_form(struct piece pickle, const char *byteorder, bool packed)
{
    static unsigned char room[3][1 << 12];
    struct entry entries[] = {{.name = "a/data.pkl", .bytes = pickle.bytes, .length = pickle.length, .flags = 8},
                              {.name = "a/byteorder", .bytes = byteorder, .length = strlen(byteorder), .flags = 8},
                              {.name = "a/data/0", .bytes = storage, .length = sizeof storage, .flags = 8}};
    for (int i = 0; packed && i < 3; i++) {
        struct entry *e = &entries[i];
        e->crc = (uint32_t)crc32(0, e->bytes, (uInt)e->length);
        e->unpacked = e->length;
        e->length = deflated(room[i], sizeof room[i], e->bytes, e->unpacked);
        e->bytes = room[i];
        e->method = 8;
        e->flags = 0;
        assert_true(e->length);
    }
    return make_zip(file, entries, 3, 1);
}
static size_t make_checkpoint(struct piece pickle, const char *byteorder)
{
    return make_zip_form(pickle, byteorder, false);
}

/* The same in the stream form. */
static size_t make_stream(struct piece pickle, struct piece keys, uint64_t count)
{
#define PREAMBLE "\x80\2\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe9\3.\x80\2}X\15\0\0\0little_endian\x88s."
    size_t n = sizeof PREAMBLE - 1;
    memcpy(file, PREAMBLE, n);
    memcpy(file + n, pickle.bytes, pickle.length);
    n += pickle.length;
    memcpy(file + n, keys.bytes, keys.length);
    n += keys.length;
    n += put(file + n, count, 8);
    memcpy(file + n, storage, sizeof storage);
    return n + sizeof storage;
}
#define KEYS                                                                                                                   \
    PIECE("\x80\2]X\1\0\0\0"                                                                                                   \
          "0a.")

static void assert_tensor(const struct weights_file *f, const char *name, float first, float second)
{
    float out[2];
    const struct weights_tensor *t = weights_find(f, name);
    assert_non_null(t);
    assert_int_equal(t->dtype, WEIGHTS_F32);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->shape[1], 2);
    assert_int_equal(weights_read_f32(out, f, t, &err), RUDD_OK);
    assert_true(out[0] == first && out[1] == second);
}

#define A TENSOR("0", "\4", "\0")
#define B TENSOR("0", "\4", "\2")

/* Wherever the state dict is, it is found: an average before the weights, and nothing of the optimiser. */
static void state_dicts_are_found(void **state)
{
    (void)state;
    static const char plain[] = "\x80\2}(" NAME("\1", "a") A NAME("\1", "b") B NAME("\1", "n") "K\1u.",
                      wrapped[] = "\x80\2}(" NAME("\5", "model") "}" NAME("\1", "a") A
                      "s" NAME("\5", "epoch") "K\7" NAME("\x9", "optimizer") "}" NAME("\1", "b") B "su.",
                      averaged[] = "\x80\2}(" NAME("\12", "state_dict") "}" NAME("\1", "a") A
                      "s" NAME("\16", "state_dict_ema") "}" NAME("\1", "a") B "su.",
                      no_average[] =
                          "\x80\2}(" NAME("\12", "state_dict") "}" NAME("\1", "a") A "s" NAME("\16", "state_dict_ema") "Nu.",
                      unknown[] = "\x80\2}(" NAME("\5", "epoch") "K\7" NAME("\3", "net") "}" NAME("\1", "a") B "su.",
                      several[] =
                          "\x80\2}(" NAME("\3", "gen") "}" NAME("\1", "a") A "s" NAME("\3", "net") "}" NAME("\1", "a") B "su.",
                      prefixed[] = "\x80\2}(" NAME("\10", "module.a") A NAME("\22", "_orig_mod.module.b")
                          B NAME("\12", "n_averaged") "ctorch._utils\n_rebuild_tensor\n(" STORAGE("0", "\4") "K\0))tRu.";
    struct weights_file f;
    assert_int_equal(weights_parse(&f, file, make_checkpoint(PIECE(plain), "little"), "a.pth", &err), RUDD_OK);
    assert_int_equal(f.tensor_count, 2);
    assert_tensor(&f, "a", 1, 2);
    assert_tensor(&f, "b", 3, 4);
    weights_close(&f);
    assert_int_equal(weights_parse(&f, file, make_checkpoint(PIECE(wrapped), "little"), "a.pth", &err), RUDD_OK);
    assert_int_equal(f.tensor_count, 1);
    assert_tensor(&f, "a", 1, 2);
    weights_close(&f);
    assert_int_equal(weights_parse(&f, file, make_checkpoint(PIECE(averaged), "little"), "a.pth", &err), RUDD_OK);
    assert_int_equal(f.tensor_count, 1);
    assert_tensor(&f, "a", 3, 4);
    weights_close(&f);
    assert_int_equal(weights_parse(&f, file, make_checkpoint(PIECE(no_average), "little"), "a.pth", &err), RUDD_OK);
    assert_tensor(&f, "a", 1, 2);
    weights_close(&f);
    assert_int_equal(weights_parse(&f, file, make_checkpoint(PIECE(unknown), "little"), "a.pth", &err), RUDD_OK);
    assert_tensor(&f, "a", 3, 4); /* the only one */
    weights_close(&f);
    assert_int_equal(weights_parse(&f, file, make_checkpoint(PIECE(several), "little"), "a.pth", &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "holds a dict: gen, net; expected a state dict"));
    for (int form = 0; form < 3; form++) { /* the views of a deflated storage share what it unpacks to */
        const size_t length =
            form ? make_zip_form(PIECE(prefixed), "little", form == 2) : make_stream(PIECE(prefixed), KEYS, 4);
        assert_int_equal(weights_parse(&f, file, length, "a.pth", &err), RUDD_OK);
        assert_int_equal(f.tensor_count, 2);
        assert_tensor(&f, "a", 1, 2);
        assert_tensor(&f, "b", 3, 4);
        weights_close(&f);
    }
}

/* A view that is not row-major is put in order; one that repeats elements is refused. */
static void strided_tensors_are_ordered(void **state)
{
    (void)state;
    static const char transposed[] = "\x80\2}" NAME("\1", "t") REBUILD STORAGE("0", "\4") "K\0K\2K\2\x86K\1K\2\x86tRs.",
                      part[] = "\x80\2}" NAME("\1", "t") REBUILD STORAGE("0", "\4") "K\0K\1K\2\x86K\1K\2\x86tRs.",
                      repeated[] = "\x80\2}" NAME("\1", "t") REBUILD STORAGE("0", "\4") "K\0K\5K\2\x86K\0K\1\x86tRs.";
    float out[4];
    struct weights_file f;
    for (int form = 0; form < 3; form++) {
        size_t length = form ? make_zip_form(PIECE(transposed), "little", form == 2) : make_stream(PIECE(transposed), KEYS, 4);
        assert_int_equal(weights_parse(&f, file, length, "a.pth", &err), RUDD_OK);
        assert_null(weights_find(&f, "t")->data); /* not before it is asked for */
        assert_int_equal(weights_read_f32(out, &f, weights_find(&f, "t"), &err), RUDD_OK);
        assert_true(out[0] == 1 && out[1] == 3 && out[2] == 2 && out[3] == 4);
        weights_close(&f);
        length = form ? make_zip_form(PIECE(part), "little", form == 2) : make_stream(PIECE(part), KEYS, 4);
        assert_int_equal(weights_parse(&f, file, length, "a.pth", &err), RUDD_OK);
        assert_int_equal(weights_read_f32(out, &f, weights_find(&f, "t"), &err), RUDD_OK);
        assert_true(out[0] == 1 && out[1] == 3);
        weights_close(&f);
    }
    assert_int_equal(weights_parse(&f, file, make_checkpoint(PIECE(repeated), "little"), "a.pth", &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "tensor t has 10 elements, its storage 4"));
}

/* What does not hold together around the pickle is refused. */
static void false_checkpoints_are_refused(void **state)
{
    (void)state;
    static const char good[] = "\x80\2}" NAME("\1", "a") A "s.", empty[] = "\x80\2}" NAME("\5", "epoch") "K\7s.",
                      other[] = "\x80\2}" NAME("\1", "a") TENSOR("1", "\4", "\0") "s.",
                      larger[] = "\x80\2}" NAME("\1", "a") TENSOR("0", "\5", "\0") "s.",
                      twice[] = "\x80\2}(" NAME("\1", "a") A NAME("\10", "module.a") B "u.",
                      differing[] = "\x80\2}(" NAME("\1", "a") A NAME("\1", "b") TENSOR("0", "\5", "\0") "u.",
                      odd_name[] = "\x80\2}" NAME("\3", "a\1b") A "s.", list[] = "\x80\2].";
    static const struct {
        struct piece pickle;
        const char *byteorder;
        const char *fault;
    } zips[] = {
        {{good, sizeof good - 1}, "big", "its byte order is not little"},
        {{empty, sizeof empty - 1}, "little", "holds a dict: epoch; expected a state dict"},
        {{list, sizeof list - 1}, "little", "holds a list; expected a state dict"},
        {{other, sizeof other - 1}, "little", "no entry data/1"},
        {{larger, sizeof larger - 1}, "little", "data/0: 16 bytes, its pickle asks for 20"},
        {{twice, sizeof twice - 1}, "little", "two tensors are called a"},
        {{odd_name, sizeof odd_name - 1}, "little", "control characters"},
    };
    struct weights_file f;
    for (size_t i = 0; i < sizeof zips / sizeof *zips; i++) {
        size_t length = make_checkpoint(zips[i].pickle, zips[i].byteorder);
        enum rudd_status status = weights_parse(&f, file, length, "a.pth", &err);
        if (status != RUDD_FORMAT || !strstr(err.message, zips[i].fault)) print_error("%s: %s\n", zips[i].fault, err.message);
        assert_int_equal(status, RUDD_FORMAT);
        assert_non_null(strstr(err.message, zips[i].fault));
    }
    const struct {
        struct piece pickle, keys;
        uint64_t count;
        const char *fault;
    } streams[] = {
        {PIECE(good), KEYS, 5, "storage 0 of 1: its pickle asks for 4 elements"},
        {PIECE(good), KEYS, 1ull << 62, "storage 0 of 1"},
        {PIECE(good), PIECE("\x80\2}."), 4, "a dict where the list of storages should be"},
        {PIECE(good),
         PIECE("\x80\2]X\1\0\0\0"
               "1a."),
         4, "storage 0 of its list is not in its pickle"},
        {PIECE(good), PIECE("\x80\2]Na."), 4, "storage 0 of its list is not in its pickle"},
        {PIECE(good), PIECE("\x80\2]."), 4, "24 bytes follow the last storage"},
        {PIECE(good),
         PIECE("\x80\2](X\1\0\0\0"
               "0X\1\0\0\0"
               "0e."),
         4, "twice in the list"},
        {PIECE(differing), KEYS, 4, "names storage 0 twice, with other types or sizes"},
        {PIECE(empty), PIECE("\x80\2]."), 4, "bytes follow"},
    };
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        size_t length = make_stream(streams[i].pickle, streams[i].keys, streams[i].count);
        enum rudd_status status = weights_parse(&f, file, length, "a.pth", &err);
        if (status != RUDD_FORMAT || !strstr(err.message, streams[i].fault))
            print_error("%s: %s\n", streams[i].fault, err.message);
        assert_int_equal(status, RUDD_FORMAT);
        assert_non_null(strstr(err.message, streams[i].fault));
    }
    size_t length = make_stream(PIECE(good), KEYS, 4);
    file[19] ^= 1; /* of version 1001 */
    assert_int_equal(weights_parse(&f, file, length, "a.pth", &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "version"));
    file[19] ^= 1;
    file[9] ^= 1; /* of the magic number */
    assert_int_equal(weights_parse(&f, file, length, "a.pth", &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "not by torch.save"));
}

/* Cut at any byte, both forms are refused. */
static void cut_checkpoints_are_refused(void **state)
{
    (void)state;
    static const char good[] = "\x80\2}" NAME("\1", "a") A "s.";
    for (int stream = 0; stream < 2; stream++) {
        const size_t length = stream ? make_stream(PIECE(good), KEYS, 4) : make_checkpoint(PIECE(good), "little");
        for (size_t n = 4; n < length; n++) {
            struct weights_file f;
            unsigned char *cut = malloc(n);
            memcpy(cut, file, n);
            assert_int_equal(weights_parse(&f, cut, n, "cut.pth", &err), RUDD_FORMAT);
            free(cut);
        }
    }
}

static int allow_fewer(void *left, size_t bytes)
{
    (void)bytes;
    return (*(int *)left)-- > 0;
}

/* Whichever allocation fails, reading says so and leaves nothing behind. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char good[] =
        "\x80\2}q\0(" NAME("\1", "a") A NAME("\1", "t") REBUILD STORAGE("0", "\4") "K\0K\2K\2\x86K\1K\2\x86tRu.";
    for (int stream = 0; stream < 2; stream++) {
        const size_t length = stream ? make_stream(PIECE(good), KEYS, 4) : make_checkpoint(PIECE(good), "little");
        int n = 0;
        for (;; n++) {
            struct weights_file f;
            int left = n;
            rudd_set_alloc_hook(allow_fewer, &left);
            enum rudd_status status = weights_parse(&f, file, length, "f.pth", &err);
            rudd_set_alloc_hook(NULL, NULL);
            if (!status) {
                assert_int_equal(f.tensor_count, 2);
                weights_close(&f);
                break;
            }
            assert_int_equal(status, RUDD_NO_MEMORY);
        }
        assert_true(n >= 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_opcode_has_its_place),
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(broken_pickles_are_refused),
        cmocka_unit_test(other_names_are_refused),
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(views_stay_within_their_storage),
        cmocka_unit_test(state_dicts_are_found),
        cmocka_unit_test(strided_tensors_are_ordered),
        cmocka_unit_test(false_checkpoints_are_refused),
        cmocka_unit_test(cut_checkpoints_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
