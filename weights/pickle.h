/* pickle.h - what a pickle of weights says, as a tree of values. Nothing in it is ever called, imported or built.
 *
 *     bytes --opcodes of an allow-list--> values: None, numbers, text, lists, dicts; names of an allow-list; storages and tensors
 *
 * A pickle is a program for Python's stack machine that may call anything. This machine knows the opcodes that torch.save makes
 * (protocols 2 to 5) and a short list of names that stand for data: torch's storages and tensors, ordered dicts, and some that checkpoints
 * have beside the weights, which become "something" (WEIGHTS_INERT). Any other opcode or name is refused by its name.
 *
 * Memory is bounded before it is taken: 256 MiB of values in all, four million on the stack and as many remembered. Values lie in blocks of
 * the pickle's own and are freed together, so that values which contain themselves do no harm; text points into the bytes.
 *
 * Sources: Python's Lib/pickletools.py; torch/_utils.py and torch/serialization.py. */
#ifndef WEIGHTS_PICKLE_H
#define WEIGHTS_PICKLE_H

#include "weights/file.h"

enum weights_kind {
    WEIGHTS_NONE,
    WEIGHTS_TRUTH, /* integer: 0 or 1 */
    WEIGHTS_INTEGER,
    WEIGHTS_REAL,
    WEIGHTS_TEXT, /* also Python's bytes, and integers beyond 64 bits as their little-endian bytes */
    WEIGHTS_LIST,
    WEIGHTS_TUPLE,
    WEIGHTS_DICT,
    WEIGHTS_NAME, /* a global of the allow-list that was not called */
    WEIGHTS_STORAGE,
    WEIGHTS_TENSOR_VIEW,
    WEIGHTS_INERT /* allowed, but of no interest */
};
const char *weights_kind_name(enum weights_kind kind); /* "a list" */

struct weights_storage {
    const char *key; /* [key_length], not terminated */
    size_t key_length;
    enum weights_dtype dtype;
    int64_t count;         /* elements of the whole storage */
    int64_t begin, length; /* of the part that is meant, elements; lies within count */
};

/* Elements base[offset + sum of index[i]*stride[i]] of a storage; all of them within it. */
struct weights_view {
    const struct weights_storage *storage;
    int64_t offset;               /* from the storage's first element, begin included */
    struct weights_tensor tensor; /* dtype and shape */
    int64_t stride[WEIGHTS_MAX_RANK];
};

struct weights_value {
    enum weights_kind kind;
    union {
        int64_t integer;
        double real;
        struct {
            const char *bytes;
            size_t length;
        } text;
        struct {
            struct weights_value **items; /* of a dict: key, value, key, value, ... in its order */
            size_t count, room;
        } list;
        const struct weights_storage *storage;
        const struct weights_view *view;
        const void *name; /* pickle.c's */
    };
};

struct weights_pickle {
    struct weights_value *root;
    size_t used;                             /* bytes of the pickle; what follows is not its own */
    const struct weights_storage **storages; /* one for each time that a storage is named */
    size_t storage_count;
    void *memory;
};

/* Reads the one pickle that bytes begin with; bytes must outlive it. RUDD_FORMAT with the place for what is broken, or refused; RUDD_LIMIT. *p is
 * unchanged on failure. */
enum rudd_status weights_pickle_parse(struct weights_pickle *p, const void *bytes, size_t length, const char *name,
                                      struct rudd_error *err);
void weights_pickle_free(struct weights_pickle *p);
/* Whether v is this text. */
bool weights_value_is(const struct weights_value *v, const char *text);
/* A dict's value under the key, the last if there are several; NULL: not there, or no dict. */
const struct weights_value *weights_value_find(const struct weights_value *dict, const char *key);

#endif
