/* hdf5_read.c - HDF5 as h5py writes it for Keras, read without trust: see hdf5.h.
 *
 * Every structure is fetched by look(), which checks that it lies in the file and pays for it from a budget as large as the file is. So a file whose
 * structures refer to each other in circles, or to one of them a million times, ends as soon as an honest one of its size would. */
#include "weights/hdf5.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_DEPTH = 32,        /* groups within groups; Keras' nested models take two each */
    MAX_TREE_LEVEL = 8,    /* 16^8 links */
    MAX_ATTRIBUTES = 8192, /* they are looked up by going through them */
    MAX_BLOCKS = 64,       /* of one object header */
    SPARE_BUDGET = 1 << 16 /* what small files may spend over their length */
};
static const uint64_t undefined = UINT64_MAX;

/* Everything of one parse. */
struct reading {
    const char *name;
    const unsigned char *bytes;
    size_t length, budget;
    struct weights_file file;
    int tensor_capacity, meta_capacity;
    char path[WEIGHTS_MAX_NAME + 1]; /* of the object that is being read */
    struct rudd_error *err;
};

struct span {
    const unsigned char *at;
    size_t size;
};

static uint64_t number(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static enum rudd_status refuse(struct reading *r, const char *what)
{
    return rudd_fail(r->err, RUDD_FORMAT, "%.200s: /%s: %s", r->name, r->path, what);
}

static enum rudd_status spend(struct reading *r, size_t cost)
{
    if (cost > r->budget)
        return rudd_fail(r->err, RUDD_LIMIT,
                         "%.200s: /%s: its structures refer to each other more often than a file of %zu bytes can need",
                         r->name, r->path, r->length);
    r->budget -= cost;
    return RUDD_OK;
}

/* The size bytes at an address, which begin with a signature (may be NULL). what names them. */
static enum rudd_status look(const unsigned char **p, struct reading *r, uint64_t address, uint64_t size, const char *signature,
                             const char *what)
{
    if (address > r->length || size > r->length - address)
        return rudd_fail(r->err, RUDD_FORMAT,
                         "%.200s: /%s: %s at byte %" PRIu64 ", the file ends at %zu; it is truncated or broken", r->name,
                         r->path, what, address, r->length);
    *p = r->bytes + address;
    if (signature && memcmp(*p, signature, 4))
        return rudd_fail(r->err, RUDD_FORMAT, "%.200s: /%s: no %s (\"%s\") at byte %" PRIu64, r->name, r->path, what, signature,
                         address);
    return spend(r, 16);
}

/* ---- messages of an object header -------------------------------------------------------------------------------- */

enum message {
    DATASPACE = 0x1,
    LINK_INFO = 0x2,
    DATATYPE = 0x3,
    LINK = 0x6,
    EXTERNAL = 0x7,
    LAYOUT = 0x8,
    FILTERS = 0xB,
    ATTRIBUTE = 0xC,
    CONTINUATION = 0x10,
    SYMBOL_TABLE = 0x11,
    KINDS
};

/* Datatype messages, byte for byte, of version 1; later versions have the same rest: little-endian numbers as numpy has them. */
static const struct {
    enum weights_dtype dtype;
    unsigned char size, bytes[20];
} datatypes[] = {
    {WEIGHTS_F32, 20, {0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0}},
    {WEIGHTS_F16, 20, {0x11, 0x20, 15, 0, 2, 0, 0, 0, 0, 0, 16, 0, 10, 5, 0, 10, 15, 0, 0, 0}},
    {WEIGHTS_BF16, 20, {0x11, 0x20, 15, 0, 2, 0, 0, 0, 0, 0, 16, 0, 7, 8, 0, 7, 127, 0, 0, 0}},
    {WEIGHTS_BF16, 8, {0x15, 0, 0, 0, 2, 0, 0, 0}}, /* two bytes without a meaning: what h5py makes of Keras' bfloat16 */
    {WEIGHTS_F64, 20, {0x11, 0x20, 63, 0, 8, 0, 0, 0, 0, 0, 64, 0, 52, 11, 0, 52, 0xFF, 3, 0, 0}},
    {WEIGHTS_I64, 12, {0x10, 0x08, 0, 0, 8, 0, 0, 0, 0, 0, 64, 0}},
    {WEIGHTS_I32, 12, {0x10, 0x08, 0, 0, 4, 0, 0, 0, 0, 0, 32, 0}},
    {WEIGHTS_I16, 12, {0x10, 0x08, 0, 0, 2, 0, 0, 0, 0, 0, 16, 0}},
    {WEIGHTS_I8, 12, {0x10, 0x08, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0}},
    {WEIGHTS_U8, 12, {0x10, 0x00, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0}},
};

const unsigned char *weights_hdf5_datatype(size_t *size, enum weights_dtype dtype)
{
    for (size_t i = 0; i < sizeof datatypes / sizeof *datatypes; i++)
        if (datatypes[i].dtype == dtype) {
            *size = datatypes[i].size;
            return datatypes[i].bytes;
        }
    return NULL;
}

/* False: a type that no tensor has. */
static bool read_datatype(enum weights_dtype *dtype, struct span m)
{
    for (size_t i = 0; i < sizeof datatypes / sizeof *datatypes; i++)
        if (m.size >= datatypes[i].size && (m.at[0] & 15) == (datatypes[i].bytes[0] & 15) &&
            !memcmp(m.at + 1, datatypes[i].bytes + 1, datatypes[i].size - 1u)) {
            *dtype = datatypes[i].dtype;
            return true;
        }
    return false;
}

/* Into t's shape; rank -1: the null space, which holds nothing at all. */
static enum rudd_status read_dataspace(struct weights_tensor *t, struct reading *r, struct span m)
{
    int64_t shape[WEIGHTS_MAX_RANK];
    const size_t head = m.size >= 4 && m.at[0] == 1 ? 8 : 4;
    if (m.size < head || (m.at[0] != 1 && m.at[0] != 2)) return refuse(r, "a dataspace of an unknown version");
    const size_t rank = m.at[1];
    if (m.at[0] == 2 && m.at[3] == 2) {
        t->rank = -1;
        return RUDD_OK;
    }
    if (m.size - head < rank * 8) return refuse(r, "a dataspace that is shorter than its rank");
    for (size_t i = 0; i < rank && i < WEIGHTS_MAX_RANK; i++) shape[i] = (int64_t)number(m.at + head + i * 8, 8);
    char where[WEIGHTS_MAX_NAME + 256];
    snprintf(where, sizeof where, "%.200s: /%s", r->name, r->path);
    return weights_set_shape(t, shape, rank, where, r->err);
}

/* Where a data set's bytes lie. */
static enum rudd_status read_layout(struct weights_tensor *t, struct reading *r, struct span m)
{
    enum { COMPACT, CONTIGUOUS, CHUNKED };
    const size_t size = t->count * weights_dtype_size(t->dtype);
    if (m.size < 2 || (m.at[0] != 3 && m.at[0] != 4)) return refuse(r, "a layout of an unknown version; expected 3 or 4");
    if (m.at[1] == CHUNKED)
        return refuse(r, "is stored in chunks; expected one block, as Keras writes it (h5repack -l CONTI makes one)");
    if (m.at[1] == COMPACT) {
        if (m.size < 4 || number(m.at + 2, 2) != size || m.size - 4 < size)
            return refuse(r, "its block does not have its size");
        t->data = m.at + 4;
        return RUDD_OK;
    }
    if (m.at[1] != CONTIGUOUS || m.size < 18) return refuse(r, "a layout of an unknown class");
    const uint64_t address = number(m.at + 2, 8);
    t->data = r->bytes;
    if (!size) return RUDD_OK;
    if (address == undefined) return refuse(r, "was never written");
    if (number(m.at + 10, 8) != size) return refuse(r, "its block does not have its size");
    return look((const unsigned char **)&t->data, r, address, size, NULL, "the numbers");
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

/* Object `index` of the heap at an address. */
static enum rudd_status find_in_heap(struct span *found, struct reading *r, uint64_t address, uint64_t index)
{
    const unsigned char *p = NULL;
    enum rudd_status status = look(&p, r, address, 16, "GCOL", "heap");
    if (status) return status;
    const uint64_t size = number(p + 8, 8);
    status = look(&p, r, address, size, NULL, "heap");
    for (uint64_t at = 16; !status && at <= size && size - at >= 16;) {
        const uint64_t own = number(p + at, 2), length = number(p + at + 8, 8);
        if (!own || length > size - at - 16) break; /* 0: the free space behind the last */
        if (own == index) {
            *found = (struct span){p + at + 16, (size_t)length};
            return RUDD_OK;
        }
        at += 16 + (length + 7) / 8 * 8;
        status = spend(r, 1);
    }
    return status ? status : refuse(r, "an attribute refers to text that the heap does not hold");
}

static void *grow(void *array, int count, int *capacity, size_t size)
{
    if (count < *capacity) return array;
    void *grown = rudd_realloc(array, ((size_t)*capacity * 2 + 64) * size);
    if (grown) *capacity = *capacity * 2 + 64;
    return grown;
}

static enum rudd_status add_text(struct reading *r, struct span name, struct span text)
{
    char key[2 * WEIGHTS_MAX_NAME + 2];
    struct weights_file *f = &r->file;
    if (f->meta_count == MAX_ATTRIBUTES)
        return rudd_fail(r->err, RUDD_LIMIT, "%.200s: more than %d attributes", r->name, MAX_ATTRIBUTES);
    enum rudd_status status = spend(r, text.size);
    if (status) return status;
    snprintf(key, sizeof key, "%s@%.*s", r->path, (int)(name.size < WEIGHTS_MAX_NAME ? name.size : WEIGHTS_MAX_NAME),
             (const char *)name.at);
    struct weights_meta *grown = grow(f->meta, f->meta_count, &r->meta_capacity, sizeof *grown);
    if (grown) {
        f->meta = grown;
        struct weights_meta *m = &grown[f->meta_count];
        *m = (struct weights_meta){rudd_strdup(key), rudd_zalloc(text.size + 1, 1)};
        f->meta_count++;
        if (m->key && m->value) {
            memcpy(m->value, text.at, text.size);
            return RUDD_OK;
        }
    }
    return rudd_fail(r->err, RUDD_NO_MEMORY, "%.200s: no memory for its attributes", r->name);
}

/* Cuts size bytes, padded to a multiple of pad, off the front of m. */
static bool cut(struct span *piece, struct span *m, size_t size, size_t pad)
{
    const size_t whole = (size + pad - 1) / pad * pad;
    if (whole > m->size) return false;
    *piece = (struct span){m->at, size};
    *m = (struct span){m->at + whole, m->size - whole};
    return true;
}

/* Scalar text becomes metadata; other attributes are passed over. */
static enum rudd_status read_attribute(struct reading *r, struct span m)
{
    enum { FIXED_STRING = 3, VARIABLE = 9 };
    struct span name, type, space;
    const int version = m.size >= 8 ? m.at[0] : 0;
    if (version < 1 || version > 3) return refuse(r, "an attribute of an unknown version");
    if (version > 1 && m.at[1]) return RUDD_OK; /* its type is shared with other objects: not plain text */
    const size_t sizes[] = {(size_t)number(m.at + 2, 2), (size_t)number(m.at + 4, 2), (size_t)number(m.at + 6, 2)};
    const size_t head = version == 3 ? 9 : 8, pad = version == 1 ? 8 : 1;
    if (m.size < head) return refuse(r, "an attribute that is cut off");
    m = (struct span){m.at + head, m.size - head};
    if (!cut(&name, &m, sizes[0], pad) || !cut(&type, &m, sizes[1], pad) || !cut(&space, &m, sizes[2], pad))
        return refuse(r, "an attribute that is cut off");
    while (name.size && !name.at[name.size - 1]) name.size--;
    if (type.size < 8 || space.size < 4 || space.at[1]) return RUDD_OK; /* not a scalar */
    if (space.at[0] == 2 && space.at[3]) return RUDD_OK;                /* the null space */
    const int class = type.at[0] & 15;
    size_t size = (size_t)number(type.at + 4, 4);
    if (class == VARIABLE && (type.at[1] & 15) == 1 && size == 16 && m.size >= 16) {
        const uint64_t length = number(m.at, 4);
        if (!length) return add_text(r, name, (struct span){m.at, 0});
        enum rudd_status status = find_in_heap(&m, r, number(m.at + 4, 8), number(m.at + 12, 4));
        if (status) return status;
        if (length > m.size) return refuse(r, "an attribute that is longer than its place in the heap");
        size = (size_t)length;
    } else if (class != FIXED_STRING || size > m.size)
        return RUDD_OK;
    const unsigned char *end = size ? memchr(m.at, 0, size) : NULL;
    return add_text(r, name, (struct span){m.at, end ? (size_t)(end - m.at) : size});
}

/* ---- objects ----------------------------------------------------------------------------------------------------- */

/* What of an object header says what it is. at NULL: no such message. */
struct object {
    struct span messages[KINDS];
};

static enum rudd_status take_message(struct object *o, struct reading *r, uint64_t type, unsigned flags, struct span m)
{
    static const char *const refused[KINDS] = {
        [LINK_INFO] =
            "a group with links of the new style (track_order or libver='latest'); expected a symbol table, as Keras has it",
        [LINK] = "a group with links of the new style (soft, external or ordered); expected a symbol table, as Keras has it",
        [EXTERNAL] = "its numbers lie in other files; expected them in this one",
        [FILTERS] = "its numbers are compressed or otherwise filtered; expected them as they are, as Keras writes them"};
    if (type >= KINDS) return RUDD_OK;
    if (refused[type]) return refuse(r, refused[type]);
    if (type == ATTRIBUTE) return flags & 2 ? RUDD_OK : read_attribute(r, m); /* 2: shared, stored elsewhere */
    if ((type == DATATYPE || type == DATASPACE) && flags & 2)
        return refuse(r, "a type or shape that is shared with other objects; expected its own");
    if (o->messages[type].at && type != CONTINUATION) return refuse(r, "says twice what it is");
    o->messages[type] = m;
    return RUDD_OK;
}

static enum rudd_status read_header(struct object *o, struct reading *r, uint64_t address)
{
    const unsigned char *p = NULL;
    memset(o, 0, sizeof *o);
    enum rudd_status status = look(&p, r, address, 16, NULL, "object header");
    if (status) return status;
    if (p[0] != 1) return refuse(r, "an object header of an unknown version; expected 1, as Keras' files have it");
    uint64_t left = number(p + 2, 2);
    struct span blocks[MAX_BLOCKS] = {{NULL, (size_t)number(p + 8, 4)}};
    int count = 1;
    status = look(&blocks[0].at, r, address + 16, blocks[0].size, NULL, "object header");
    for (int b = 0; b < count && !status; b++)
        for (struct span block = blocks[b], m, head; left && block.size && !status; left--) {
            if (!cut(&head, &block, 8, 1) || !cut(&m, &block, (size_t)number(head.at + 2, 2), 1))
                return refuse(r, "an object header whose messages run over its end");
            const uint64_t type = number(head.at, 2);
            status = spend(r, 8);
            if (!status) status = take_message(o, r, type, head.at[4], m);
            if (status || type != CONTINUATION) continue;
            if (m.size < 16 || count == MAX_BLOCKS) return refuse(r, "an object header that goes on in too many places");
            blocks[count].size = (size_t)number(m.at + 8, 8);
            status = look(&blocks[count].at, r, number(m.at, 8), blocks[count].size, NULL, "object header's continuation");
            count++;
        }
    return status;
}

static enum rudd_status read_data_set(struct reading *r, const struct object *o)
{
    struct weights_file *f = &r->file;
    struct weights_tensor t = {0};
    if (!o->messages[DATASPACE].at || !o->messages[DATATYPE].at || !o->messages[LAYOUT].at)
        return refuse(r, "neither a group nor a data set");
    enum rudd_status status = read_dataspace(&t, r, o->messages[DATASPACE]);
    if (status || t.rank < 0 || !read_datatype(&t.dtype, o->messages[DATATYPE])) return status;
    status = read_layout(&t, r, o->messages[LAYOUT]);
    if (status) return status;
    struct weights_tensor *grown = grow(f->tensors, f->tensor_count, &r->tensor_capacity, sizeof *grown);
    if (grown) f->tensors = grown;
    t.name = grown ? rudd_strdup(r->path) : NULL;
    if (!t.name) return rudd_fail(r->err, RUDD_NO_MEMORY, "%.200s: no memory for its tensors", r->name);
    f->tensors[f->tensor_count++] = t;
    return RUDD_OK;
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

/* A group that is being read. */
struct group {
    struct span names; /* each ends with a 0 */
    int depth;
};

static enum rudd_status read_object(struct reading *r, uint64_t address, int depth);

static enum rudd_status read_link(struct reading *r, const struct group *g, const unsigned char *entry)
{
    const uint64_t offset = number(entry, 8);
    const size_t own = strlen(r->path);
    if (offset >= g->names.size || !memchr(g->names.at + offset, 0, g->names.size - (size_t)offset))
        return refuse(r, "a link without a name");
    const char *name = (const char *)g->names.at + offset;
    if (!*name || strchr(name, '/') || !weights_name_is_printable(name)) return refuse(r, "a link whose name is not one");
    if (number(entry + 16, 4) == 2) return refuse(r, "holds a soft link; expected data sets and groups alone");
    if (own + 1 + strlen(name) > WEIGHTS_MAX_NAME) return refuse(r, "a path that is too long");
    sprintf(r->path + own, "%s%s", own ? "/" : "", name);
    enum rudd_status status = spend(r, strlen(r->path));
    if (!status) status = read_object(r, number(entry + 8, 8), g->depth + 1);
    r->path[own] = 0;
    return status;
}

static enum rudd_status read_tree(struct reading *r, const struct group *g, uint64_t address, int above)
{
    enum { ENTRY = 40 };
    const unsigned char *node = NULL, *leaf = NULL;
    enum rudd_status status = look(&node, r, address, 24, "TREE", "group's tree");
    if (status) return status;
    const int level = node[5];
    const uint64_t children = number(node + 6, 2);
    if (node[4] || level >= above) return refuse(r, "a group's tree whose levels do not fall");
    status = look(&node, r, address, 24 + 8 + children * 16, "TREE", "group's tree");
    for (uint64_t c = 0; c < children && !status; c++) {
        const uint64_t child = number(node + 32 + c * 16, 8);
        if (level) {
            status = read_tree(r, g, child, level);
            continue;
        }
        status = look(&leaf, r, child, 8, "SNOD", "group's leaf");
        const uint64_t links = status ? 0 : number(leaf + 6, 2);
        if (!status) status = look(&leaf, r, child, 8 + links * ENTRY, "SNOD", "group's leaf");
        for (uint64_t i = 0; i < links && !status; i++) status = read_link(r, g, leaf + 8 + i * ENTRY);
    }
    return status;
}

static enum rudd_status read_group(struct reading *r, struct span table, int depth)
{
    struct group g = {.depth = depth};
    const unsigned char *heap = NULL;
    if (table.size < 16) return refuse(r, "a symbol table that is cut off");
    if (depth == MAX_DEPTH) return rudd_fail(r->err, RUDD_LIMIT, "%.200s: groups lie %d deep", r->name, MAX_DEPTH);
    enum rudd_status status = look(&heap, r, number(table.at + 8, 8), 32, "HEAP", "group's names");
    if (status) return status;
    g.names.size = (size_t)number(heap + 8, 8);
    status = look(&g.names.at, r, number(heap + 24, 8), g.names.size, NULL, "group's names");
    return status ? status : read_tree(r, &g, number(table.at, 8), MAX_TREE_LEVEL);
}

static enum rudd_status read_object(struct reading *r, uint64_t address, int depth)
{
    struct object o;
    enum rudd_status status = read_header(&o, r, address);
    if (status) return status;
    return o.messages[SYMBOL_TABLE].at ? read_group(r, o.messages[SYMBOL_TABLE], depth) : read_data_set(r, &o);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const struct weights_tensor *s = a, *t = b;
    uintptr_t p = (uintptr_t)s->data, q = (uintptr_t)t->data;
    return (p > q) - (p < q);
}

static enum rudd_status check_overlaps(struct reading *r)
{
    struct weights_file *f = &r->file;
    const unsigned char *end = NULL;
    if (f->tensor_count) qsort(f->tensors, (size_t)f->tensor_count, sizeof *f->tensors, by_place);
    for (int i = 0; i < f->tensor_count; i++) {
        const struct weights_tensor *t = &f->tensors[i];
        if (!t->count) continue;
        if (end && (const unsigned char *)t->data < end)
            return rudd_fail(r->err, RUDD_FORMAT, "%.200s: /%s overlaps another data set", r->name, t->name);
        end = (const unsigned char *)t->data + t->count * weights_dtype_size(t->dtype);
    }
    return RUDD_OK;
}

static enum rudd_status read_superblock(uint64_t *root, struct reading *r)
{
    const unsigned char *p = NULL;
    enum rudd_status status = look(&p, r, 0, 24, "\x89HDF", "superblock");
    if (status) return status;
    const int version = p[8];
    if (version > 1)
        return rudd_fail(r->err, RUDD_FORMAT,
                         "%.200s: HDF5 superblock %d (libver='latest'); expected 0, as h5py writes it unless told otherwise",
                         r->name, version);
    if (p[13] != 8 || p[14] != 8)
        return rudd_fail(r->err, RUDD_FORMAT, "%.200s: HDF5 addresses of %d and sizes of %d bytes; expected 8", r->name, p[13],
                         p[14]);
    const size_t at = version ? 28 : 24;
    status = look(&p, r, at, 72, NULL, "superblock");
    if (status) return status;
    const uint64_t base = number(p, 8), end = number(p + 16, 8);
    if (base) return rudd_fail(r->err, RUDD_FORMAT, "%.200s: an HDF5 file that does not start at its first byte", r->name);
    if (end > r->length)
        return rudd_fail(r->err, RUDD_FORMAT,
                         "%.200s: the file is not complete: it says that it has %" PRIu64
                         " bytes, there are %zu; download it again",
                         r->name, end, r->length);
    *root = number(p + 40, 8);
    return RUDD_OK;
}

enum rudd_status weights_hdf5_parse(struct weights_file *file, const void *bytes, size_t length, const char *name,
                                    struct rudd_error *err)
{
    struct reading r = {.name = name, .bytes = bytes, .length = length, .budget = length + SPARE_BUDGET, .err = err};
    uint64_t root = 0;
    r.file.path = rudd_strdup(name);
    enum rudd_status status =
        r.file.path ? read_superblock(&root, &r) : rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to parse it", name);
    if (!status) status = read_object(&r, root, 0);
    if (!status) status = check_overlaps(&r);
    if (!status) status = weights_sort(&r.file, err);
    if (status)
        weights_close(&r.file);
    else
        *file = r.file;
    return status;
}
