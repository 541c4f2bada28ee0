/* hdf5_write.c - tensors and texts as an HDF5 file of the first form, which every HDF5 library reads.
 *
 *     | superblock | heap of texts | members before their group: headers, names, leaves, tree | ... | root group | numbers, in order of path |
 *
 * All but the numbers is made in memory, each structure at the address that it will have; then the numbers follow, one tensor at a time. */
#include "weights/hdf5.h"
#include "weights/replace.h"
#include "weights/supply.h"

#include <stdlib.h>
#include <string.h>

enum {
    SUPERBLOCK = 96,
    TEXT_HEAP = 4096,   /* the least that libhdf5 takes for one */
    LEAF_LINKS = 32,    /* twice what the superblock says */
    TREE_CHILDREN = 32, /* likewise */
    LEAF = 8 + LEAF_LINKS * 40,
    TREE = 24 + TREE_CHILDREN * 16 + 8,
    UNDEFINED = -1
};
_Static_assert(LEAF_LINKS *TREE_CHILDREN == WEIGHTS_HDF5_LINKS, "a tree of one level");

/* A tensor on its way: where its numbers' address has to be written. */
struct item {
    const char *name;
    int tensor;
    size_t address_field;
};
struct writing {
    struct weights_supply *supply;
    struct item *items; /* [supply->count] sorted by name */
    const struct weights_meta *attributes;
    int attribute_count;
    size_t text_heap;
    unsigned char *bytes; /* the file up to the numbers */
    size_t length, capacity;
    enum rudd_status status; /* sticky */
    struct rudd_error *err;
};

/* ---- bytes in memory --------------------------------------------------------------------------------------------- */

static size_t padded(size_t size)
{
    return (size + 7) / 8 * 8;
}

/* size bytes of 0 at the end; their address. */
static size_t add(struct writing *w, size_t size)
{
    const size_t at = w->length;
    if (w->status) return 0;
    if (size > w->capacity - w->length) {
        const size_t capacity = w->capacity * 2 + size + 65536;
        unsigned char *grown = rudd_realloc(w->bytes, capacity);
        if (!grown) {
            w->status = rudd_fail(w->err, RUDD_NO_MEMORY, "no memory for the tables of an HDF5 file");
            return 0;
        }
        w->bytes = grown;
        w->capacity = capacity;
    }
    memset(w->bytes + at, 0, size);
    w->length += size;
    return at;
}

static void put(struct writing *w, size_t at, const void *from, size_t size)
{
    if (!w->status && size) memcpy(w->bytes + at, from, size);
}

static void put_number(struct writing *w, size_t at, uint64_t value, int size)
{
    for (int i = 0; i < size && !w->status; i++) w->bytes[at + (size_t)i] = (unsigned char)(value >> 8 * i);
}

/* ---- object headers ---------------------------------------------------------------------------------------------- */

static size_t begin_header(struct writing *w)
{
    const size_t at = add(w, 16);
    put_number(w, at, 1, 1);
    put_number(w, at + 4, 1, 4); /* references */
    return at;
}

/* A message's body of size bytes, to be filled. */
static size_t add_message(struct writing *w, size_t header, int type, size_t size)
{
    const size_t at = add(w, 8 + padded(size));
    if (w->status) return 0;
    put_number(w, at, (uint64_t)type, 2);
    put_number(w, at + 2, padded(size), 2);
    w->bytes[header + 2]++;
    w->bytes[header + 3] = (unsigned char)(w->bytes[header + 3] + !w->bytes[header + 2]); /* the carry */
    return at + 8;
}

static void end_header(struct writing *w, size_t header)
{
    put_number(w, header + 8, w->length - header - 16, 4);
}

/* The attributes of the group whose path is the first length bytes of path. */
static void add_attributes(struct writing *w, size_t header, const char *path, size_t length)
{
    static const unsigned char text_type[20] = {0x19, 1, 1, 0, 16, 0, 0, 0, 0x10, 0,
                                                0,    0, 1, 0, 0,  0, 0, 0, 8,    0}; /* UTF-8, any length */
    for (int i = 0; i < w->attribute_count; i++) {
        const char *key = w->attributes[i].key, *name = strchr(key, '@');
        if ((size_t)(name - key) != length || strncmp(key, path, length)) continue;
        const size_t size = strlen(++name) + 1;
        size_t at = add_message(w, header, 0xC, 8 + padded(size) + 24 + 8 + 16);
        put_number(w, at, 1, 1);
        put_number(w, at + 2, size, 2);
        put_number(w, at + 4, sizeof text_type, 2);
        put_number(w, at + 6, 8, 2);
        put(w, at += 8, name, size);
        put(w, at += padded(size), text_type, sizeof text_type);
        put_number(w, at += 24, 1, 1); /* a scalar */
        put_number(w, at += 8, strlen(w->attributes[i].value), 4);
        put_number(w, at + 4, w->text_heap, 8);
        put_number(w, at + 12, (uint64_t)i + 1, 4);
    }
}

/* Header of the data set of an item; its address. */
static size_t add_data_set(struct writing *w, struct item *item)
{
    static const unsigned char fill[] = {2, 2, 2, 0}; /* version, allocated late, written where set, not set */
    const struct weights_tensor *t = &w->supply->tensors[item->tensor];
    size_t type_size = 0;
    const unsigned char *type = weights_hdf5_datatype(&type_size, t->dtype);
    const size_t header = begin_header(w);
    if (!type && !w->status)
        w->status = rudd_fail(w->err, RUDD_ARGUMENT, "%s: HDF5 has no %s", t->name, weights_dtype_name(t->dtype));
    size_t at = add_message(w, header, 0x1, 8 + 8 * (size_t)t->rank);
    put_number(w, at, 1, 1);
    put_number(w, at + 1, (uint64_t)t->rank, 1);
    for (int k = 0; k < t->rank; k++) put_number(w, at + 8 + 8 * (size_t)k, (uint64_t)t->shape[k], 8);
    put(w, add_message(w, header, 0x3, type_size), type, type_size);
    put(w, add_message(w, header, 0x5, sizeof fill), fill, sizeof fill);
    at = add_message(w, header, 0x8, 18);
    put_number(w, at, 3, 1); /* version; then: one block */
    put_number(w, at + 1, 1, 1);
    item->address_field = at + 2;
    put_number(w, at + 10, t->count * weights_dtype_size(t->dtype), 8);
    end_header(w, header);
    return header;
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

struct member {
    const char *name;
    size_t length, header, name_offset;
};

/* The tree over members' leaves; its address. heap_names is where their names start. */
static size_t add_tree(struct writing *w, const struct member *members, int count)
{
    const int leaves = (count + LEAF_LINKS - 1) / LEAF_LINKS;
    const size_t tree = add(w, TREE);
    put(w, tree, "TREE", 4);
    put_number(w, tree + 6, (uint64_t)leaves, 2);
    put_number(w, tree + 8, (uint64_t)UNDEFINED, 8);
    put_number(w, tree + 16, (uint64_t)UNDEFINED, 8);
    for (int l = 0; l < leaves; l++) {
        const int first = l * LEAF_LINKS, links = count - first < LEAF_LINKS ? count - first : LEAF_LINKS;
        const size_t leaf = add(w, LEAF);
        put(w, leaf, "SNOD\1", 5);
        put_number(w, leaf + 6, (uint64_t)links, 2);
        for (int i = 0; i < links; i++) {
            put_number(w, leaf + 8 + (size_t)i * 40, members[first + i].name_offset, 8);
            put_number(w, leaf + 16 + (size_t)i * 40, members[first + i].header, 8);
        }
        put_number(w, tree + 32 + (size_t)l * 16, leaf, 8);
        put_number(w, tree + 40 + (size_t)l * 16, members[first + links - 1].name_offset, 8); /* the last name up to here */
    }
    return tree;
}

static size_t add_names(struct writing *w, struct member *members, int count)
{
    size_t size = 8; /* the empty name, before all others in the tree */
    for (int i = 0; i < count; i++) {
        members[i].name_offset = size;
        size += padded(members[i].length + 1);
    }
    const size_t heap = add(w, 32), names = add(w, size);
    put(w, heap, "HEAP", 4);
    put_number(w, heap + 8, size, 8);
    put_number(w, heap + 16, 1, 8); /* no free place */
    put_number(w, heap + 24, names, 8);
    for (int i = 0; i < count; i++) put(w, names + members[i].name_offset, members[i].name, members[i].length);
    return heap;
}

/* Where a group is to be found. */
struct place {
    size_t header, tree, heap;
};

/* The group of items first..end, whose names agree in length bytes (a path and its '/'). */
static struct place add_group(struct writing *w, int first, int end, size_t length)
{
    struct place place = {0, 0, 0};
    struct member *members = w->status ? NULL : rudd_alloc(((size_t)(end - first) + 1) * sizeof *members);
    int count = 0;
    if (!members && !w->status) w->status = rudd_fail(w->err, RUDD_NO_MEMORY, "no memory for the tables of an HDF5 file");
    for (int i = first, next; i < end && !w->status; i = next) {
        const char *name = w->items[i].name + length;
        const size_t own = strcspn(name, "/");
        for (next = i + 1; name[own] && next < end && !strncmp(w->items[next].name + length, name, own + 1);) next++;
        const size_t header = name[own] ? add_group(w, i, next, length + own + 1).header : add_data_set(w, &w->items[i]);
        members[count++] = (struct member){name, own, header, 0};
    }
    if (count > WEIGHTS_HDF5_LINKS)
        w->status = rudd_fail(w->err, RUDD_LIMIT, "%.*s: a group of %d members, at most %d are written", (int)length,
                              w->items[first].name, count, WEIGHTS_HDF5_LINKS);
    if (!w->status) {
        place.heap = add_names(w, members, count);
        place.tree = add_tree(w, members, count);
        place.header = begin_header(w);
        const size_t table = add_message(w, place.header, 0x11, 16);
        put_number(w, table, place.tree, 8);
        put_number(w, table + 8, place.heap, 8);
        add_attributes(w, place.header, end > first ? w->items[first].name : "", length ? length - 1 : 0);
        end_header(w, place.header);
    }
    rudd_free(members);
    return place;
}

/* All texts; attribute i is number i + 1. */
static void add_texts(struct writing *w)
{
    size_t size = 16, at;
    for (int i = 0; i < w->attribute_count; i++) size += 16 + padded(strlen(w->attributes[i].value));
    const size_t whole = size + 16 > TEXT_HEAP ? size : TEXT_HEAP;
    w->text_heap = add(w, whole);
    put(w, w->text_heap, "GCOL\1", 5);
    put_number(w, w->text_heap + 8, whole, 8);
    at = w->text_heap + 16;
    for (int i = 0; i < w->attribute_count; i++) {
        const size_t length = strlen(w->attributes[i].value);
        put_number(w, at, (uint64_t)i + 1, 2);
        put_number(w, at + 2, 1, 2); /* references */
        put_number(w, at + 8, length, 8);
        put(w, at + 16, w->attributes[i].value, length);
        at += 16 + padded(length);
    }
    if (whole > size) put_number(w, at + 8, whole - size, 8); /* object 0: the free place */
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static void put_superblock(struct writing *w, struct place root, size_t file_length)
{
    put(w, 0, "\x89HDF\r\n\x1a\n", 8);
    put_number(w, 13, 8, 1); /* bytes of an address */
    put_number(w, 14, 8, 1); /* of a size */
    put_number(w, 16, LEAF_LINKS / 2, 2);
    put_number(w, 18, TREE_CHILDREN / 2, 2);
    put_number(w, 32, (uint64_t)UNDEFINED, 8);
    put_number(w, 40, file_length, 8);
    put_number(w, 48, (uint64_t)UNDEFINED, 8);
    put_number(w, 64, root.header, 8);
    put_number(w, 72, 1, 4); /* the tree and the names are said here, too */
    put_number(w, 80, root.tree, 8);
    put_number(w, 88, root.heap, 8);
}

/* Tells each data set where its numbers will be; the length of the whole file. */
static size_t place_numbers(struct writing *w)
{
    size_t at = padded(w->length);
    for (int i = 0; i < w->supply->count; i++) {
        const struct weights_tensor *t = &w->supply->tensors[w->items[i].tensor];
        const size_t size = t->count * weights_dtype_size(t->dtype);
        put_number(w, w->items[i].address_field, size ? at : (uint64_t)UNDEFINED, 8);
        at += padded(size);
    }
    return at;
}

static enum rudd_status write_numbers(struct writing *w, struct weights_replacement *r)
{
    static const unsigned char zeros[8];
    enum rudd_status status = weights_replace_write(r, zeros, padded(w->length) - w->length, w->err);
    for (int i = 0; i < w->supply->count && !status; i++) {
        const struct weights_tensor *t = &w->supply->tensors[w->items[i].tensor];
        const size_t size = t->count * weights_dtype_size(t->dtype);
        const void *bytes = NULL;
        status = weights_fetch(&bytes, w->supply, w->items[i].tensor, w->err);
        if (!status) status = weights_replace_write(r, bytes, size, w->err);
        if (!status) status = weights_replace_write(r, zeros, padded(size) - size, w->err);
    }
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

enum rudd_status weights_hdf5_write(const char *path, struct weights_supply *supply, const struct weights_meta *attributes,
                                    int attribute_count, struct rudd_error *err)
{
    struct writing w = {.supply = supply, .attributes = attributes, .attribute_count = attribute_count, .err = err};
    struct weights_replacement r;
    w.items = rudd_zalloc((size_t)supply->count + 1, sizeof *w.items);
    if (!w.items) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write %d tensors", path, supply->count);
    for (int i = 0; i < supply->count; i++) w.items[i] = (struct item){supply->tensors[i].name, i, 0};
    qsort(w.items, (size_t)supply->count, sizeof *w.items, by_name);
    add(&w, SUPERBLOCK);
    add_texts(&w);
    const struct place root = add_group(&w, 0, supply->count, 0);
    put_superblock(&w, root, place_numbers(&w));
    enum rudd_status status = w.status;
    if (!status) status = weights_replace_begin(&r, path, err);
    if (!status) {
        status = weights_replace_write(&r, w.bytes, w.length, err);
        if (!status) status = write_numbers(&w, &r);
        status = weights_replace_end(&r, status, err);
    }
    rudd_free(w.bytes);
    rudd_free(w.items);
    return status;
}
