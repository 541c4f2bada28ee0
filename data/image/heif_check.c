/* heif_check.c - looks at a HEIC or AVIF file before libheif does: see heif_check.h.
 *
 *     ftyp | meta { pitm, iinf, iref, iprp { ipco, ipma }, iloc, idat } | mdat
 *
 *     item        a picture in HEVC (hvc1) or AV1 (av01), a grid of such, or something else
 *     iinf        the type of each item             pitm   the item that is the picture
 *     iref        dimg: a grid's tiles              auxl: the picture that an alpha belongs to
 *     ipco, ipma  properties, and which item has which; hvcC and av1C begin the decoder's data
 *     iloc        where in the file (or in idat) the data of each item is
 *
 * libheif 1.15, which Debian 12 has, follows a grid that is its own tile until the stack is full,
 * and believes a small box around a large picture. So only this is let through:
 *
 *     each of these boxes once, each item once, each picture's data in one piece
 *     grids of tiles that are no grids and have no alpha; alpha that has no alpha
 *     sizes within the limits, where the decoder will read them (heif_coded.c); the tiles of one
 *     grid together at most twice the limit, since edges may be cut off
 *
 * Other items, such as EXIF, are left alone. The picture itself must be hvc1, av01 or grid.
 * Source: ISO/IEC 14496-12, 8.11; 23008-12, 6. Not here: what the pixels are. */
#include "data/image/heif_check.h"

#include <string.h>

enum { MOST_ITEMS = 4096, MOST_PROPERTIES = 4096, MOST_REFERENCES = 16384 };

struct span {
    const uint8_t *at;
    size_t n;
};

struct box {
    char type[5];
    struct span in; /* behind the header; of those that have one, behind version and flags */
    unsigned version, flags;
};

struct item {
    uint32_t id;
    char type[5];
    bool tile, alpha, has_alpha;
    uint64_t pixels; /* coded */
};

struct file {
    const uint8_t *bytes;
    size_t length;
    const char *name;
    const struct data_limits *limits;
    struct rudd_error *err;
    struct box pitm, iinf, iref, ipco, ipma, iloc, idat; /* at is NULL: not there */
    struct item *items;                                  /* [MOST_ITEMS] */
    uint64_t *properties;                                /* pixels, [MOST_PROPERTIES] */
    int item_count, property_count;
};

static enum rudd_status refuse(const struct file *f, const char *why)
{
    return rudd_fail(f->err, RUDD_FORMAT, "%s: broken or truncated HEIC or AVIF: %s", f->name, why);
}

/* ---- boxes ----------------------------------------------------------------------------------- */

/* A big-endian number of 0 to 8 bytes; false: there are fewer. */
static bool take(uint64_t *v, struct span *from, unsigned bytes)
{
    *v = 0;
    if (bytes > from->n) return false;
    for (unsigned i = 0; i < bytes; i++) *v = *v << 8 | from->at[i];
    from->at += bytes;
    from->n -= bytes;
    return true;
}

/* The next box of *from; false: there is none that is well-formed. Only on the top a size may be of
 * 64 bits, or reach to the end. */
static bool take_box(struct box *b, struct span *from, bool top)
{
    uint64_t size, long_size;
    const struct span whole = *from;
    *b = (struct box){0};
    if (!take(&size, from, 4) || from->n < 4) return false;
    memcpy(b->type, from->at, 4);
    from->at += 4;
    from->n -= 4;
    if (top && size == 1) {
        if (!take(&long_size, from, 8)) return false;
        size = long_size;
    } else if (top && size == 0) {
        size = whole.n;
    }
    const size_t header = (size_t)(from->at - whole.at);
    if (size < header || size > whole.n) return false;
    b->in = (struct span){from->at, (size_t)size - header};
    *from = (struct span){whole.at + size, whole.n - (size_t)size};
    return true;
}

static bool take_version(struct box *b)
{
    uint64_t v;
    if (!take(&v, &b->in, 4)) return false;
    b->version = (unsigned)(v >> 24);
    b->flags = (unsigned)v & 0xffffff;
    return true;
}

static bool is(const char *type, const char *wanted)
{
    return !memcmp(type, wanted, 4);
}

/* Keeps a box that may be there once. */
static bool keep(struct box *to, const struct box *b, bool versioned)
{
    if (to->in.at) return false;
    *to = *b;
    return !versioned || take_version(to);
}

static bool find_properties(struct file *f, struct box iprp)
{
    struct box b;
    while (iprp.in.n) {
        if (!take_box(&b, &iprp.in, false)) return false;
        if (is(b.type, "ipco") && !keep(&f->ipco, &b, false)) return false;
        if (is(b.type, "ipma") && !keep(&f->ipma, &b, true)) return false;
    }
    return true;
}

static enum rudd_status find_boxes(struct file *f)
{
    struct span rest = {f->bytes, f->length};
    struct box b, meta = {0}, iprp = {0};
    bool fine = true;
    while (rest.n && fine) {
        fine = take_box(&b, &rest, true);
        if (fine && is(b.type, "meta")) fine = keep(&meta, &b, true);
    }
    if (!fine || !meta.in.at) return refuse(f, "its boxes do not fit the file");
    while (meta.in.n && fine) {
        fine = take_box(&b, &meta.in, false);
        if (!fine) break;
        if (is(b.type, "pitm")) fine = keep(&f->pitm, &b, true);
        if (is(b.type, "iinf")) fine = keep(&f->iinf, &b, true);
        if (is(b.type, "iref")) fine = keep(&f->iref, &b, true);
        if (is(b.type, "iloc")) fine = keep(&f->iloc, &b, true);
        if (is(b.type, "idat")) fine = keep(&f->idat, &b, false);
        if (is(b.type, "iprp")) fine = keep(&iprp, &b, false) && find_properties(f, b);
    }
    if (!fine || !f->pitm.in.at || !f->iinf.in.at || !f->iloc.in.at || !f->ipco.in.at ||
        !f->ipma.in.at)
        return refuse(f, "a box is missing, twice there, or does not fit");
    return RUDD_OK;
}

/* ---- items and what they refer to ------------------------------------------------------------ */

static struct item *find_item(const struct file *f, uint64_t id)
{
    for (int i = 0; i < f->item_count; i++)
        if (f->items[i].id == id) return &f->items[i];
    return NULL;
}

static bool is_coded(const struct item *item)
{
    return is(item->type, "hvc1") || is(item->type, "av01");
}

static bool is_picture(const struct item *item)
{
    return is_coded(item) || is(item->type, "grid");
}

static enum rudd_status read_items(struct file *f)
{
    uint64_t count, id, skipped;
    struct span in = f->iinf.in;
    struct box b;
    if (!take(&count, &in, f->iinf.version ? 4 : 2))
        return refuse(f, "its list of items ends early");
    while (in.n) {
        if (!take_box(&b, &in, false) || !take_version(&b))
            return refuse(f, "its list of items ends early");
        if (!is(b.type, "infe") || b.version < 2) continue; /* nothing that is a picture */
        if (!take(&id, &b.in, b.version == 2 ? 2 : 4) || !take(&skipped, &b.in, 2) || b.in.n < 4)
            return refuse(f, "its list of items ends early");
        if (find_item(f, id)) return refuse(f, "two items have one number");
        if (f->item_count == MOST_ITEMS) return refuse(f, "it has more than 4096 items");
        struct item *item = &f->items[f->item_count++];
        item->id = (uint32_t)id;
        memcpy(item->type, b.in.at, 4);
    }
    const bool known = take(&id, &f->pitm.in, f->pitm.version ? 4 : 2);
    const struct item *primary = known ? find_item(f, id) : NULL;
    if (!primary || !is_picture(primary))
        return refuse(f, "its picture is none in HEVC or AV1, and no grid of such");
    return RUDD_OK;
}

/* One kind of reference from one item to others. */
static const char *read_reference(const struct file *f, const struct box *b, unsigned bytes,
                                  int *references)
{
    uint64_t from_id, count, id;
    struct span in = b->in;
    if (!take(&from_id, &in, bytes) || !take(&count, &in, 2) || in.n != count * bytes)
        return "its references do not fit";
    if ((*references += (int)count) > MOST_REFERENCES) return "it has more than 16384 references";
    struct item *from = find_item(f, from_id);
    const bool tiles = is(b->type, "dimg"), alpha = is(b->type, "auxl");
    for (; count > 0; count--) {
        take(&id, &in, bytes);
        struct item *to = find_item(f, id);
        if (tiles && (!to || !is_coded(to))) return "a part of a grid is no picture in HEVC or AV1";
        if (tiles) to->tile = true;
        if (alpha && from && !is_picture(from))
            return "an alpha channel is no picture in HEVC or AV1";
        if (alpha && to) to->has_alpha = true;
    }
    if (alpha && from) from->alpha = true;
    return NULL;
}

static enum rudd_status read_references(struct file *f)
{
    struct span in = f->iref.in;
    struct box b;
    int references = 0;
    while (in.n) {
        if (!take_box(&b, &in, false)) return refuse(f, "its references do not fit");
        const char *why = read_reference(f, &b, f->iref.version ? 4 : 2, &references);
        if (why) return refuse(f, why);
    }
    for (int i = 0; i < f->item_count; i++)
        if (f->items[i].has_alpha && (f->items[i].alpha || f->items[i].tile))
            return refuse(f, "an alpha channel or a tile has an alpha channel");
    return RUDD_OK;
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static bool read_hvcc(struct data_coded_size *size, struct span in)
{
    uint64_t v, arrays, units, n;
    if (in.n < 22) return false;
    in = (struct span){in.at + 22, in.n - 22};
    if (!take(&arrays, &in, 1)) return false;
    for (; arrays > 0; arrays--) {
        if (!take(&v, &in, 1) || !take(&units, &in, 2)) return false;
        for (; units > 0; units--) {
            if (!take(&n, &in, 2) || n > in.n || !data_hevc_unit_size(size, in.at, (size_t)n))
                return false;
            in = (struct span){in.at + n, in.n - (size_t)n};
        }
    }
    return true;
}

/* Within the limits, if there is any. */
static enum rudd_status check(const struct file *f, struct data_coded_size size, uint64_t *pixels)
{
    if (!size.w && !size.h) return RUDD_OK;
    enum rudd_status status = data_check_size(size.w, size.h, f->name, f->limits, f->err);
    if (!status && size.w * size.h > *pixels) *pixels = size.w * size.h;
    return status;
}

static enum rudd_status read_properties(struct file *f)
{
    struct span in = f->ipco.in;
    struct box b;
    while (in.n) {
        struct data_coded_size size = {0, 0};
        if (!take_box(&b, &in, false)) return refuse(f, "its properties do not fit");
        if (f->property_count == MOST_PROPERTIES)
            return refuse(f, "it has more than 4096 properties");
        bool fine = true;
        if (is(b.type, "hvcC")) fine = read_hvcc(&size, b.in);
        if (is(b.type, "av1C")) fine = b.in.n >= 4 && data_av1_size(&size, b.in.at + 4, b.in.n - 4);
        if (!fine) return refuse(f, "the head of its pixels makes no sense");
        enum rudd_status status = check(f, size, &f->properties[f->property_count++]);
        if (status) return status;
    }
    return RUDD_OK;
}

/* Gives each item the pixels of its properties. */
static enum rudd_status read_associations(struct file *f)
{
    const unsigned bytes = f->ipma.flags & 1 ? 2 : 1;
    uint64_t entries, id, count, index;
    struct span in = f->ipma.in;
    if (!take(&entries, &in, 4)) return refuse(f, "its properties do not fit");
    for (; entries > 0; entries--) {
        if (!take(&id, &in, f->ipma.version ? 4 : 2) || !take(&count, &in, 1))
            return refuse(f, "its properties do not fit");
        struct item *item = find_item(f, id);
        for (; count > 0; count--) {
            if (!take(&index, &in, bytes)) return refuse(f, "its properties do not fit");
            index &= bytes == 2 ? 0x7fff : 0x7f; /* from 1; 0: none */
            if (item && index && index <= (uint64_t)f->property_count &&
                f->properties[index - 1] > item->pixels)
                item->pixels = f->properties[index - 1];
        }
    }
    return RUDD_OK;
}

/* A grid says the size of the whole in its own data. */
static enum rudd_status read_grid(const struct file *f, struct span in)
{
    uint64_t head, w, h;
    const bool fine = take(&head, &in, 4);
    const unsigned bytes = head >> 16 & 1 ? 4 : 2;
    if (!fine || !take(&w, &in, bytes) || !take(&h, &in, bytes))
        return refuse(f, "a grid ends early");
    return data_check_size(w, h, f->name, f->limits, f->err);
}

static enum rudd_status read_data(const struct file *f, struct item *item, struct span in)
{
    struct data_coded_size size = {0, 0};
    if (is(item->type, "grid")) return read_grid(f, in);
    if (is(item->type, "hvc1") ? !data_hevc_size(&size, in.at, in.n)
                               : !data_av1_size(&size, in.at, in.n))
        return refuse(f, "its pixels end early, or are more than one picture");
    return check(f, size, &item->pixels);
}

/* Where the data of one item is. */
static enum rudd_status read_location(const struct file *f, struct span *in,
                                      const unsigned bytes[4])
{
    uint64_t id, method = 0, skipped, base, extents, index, offset, length;
    const unsigned version = f->iloc.version;
    if (!take(&id, in, version < 2 ? 2 : 4) || (version && !take(&method, in, 2)) ||
        !take(&skipped, in, 2) || !take(&base, in, bytes[2]) || !take(&extents, in, 2))
        return refuse(f, "its list of places ends early");
    struct item *item = find_item(f, id);
    const bool picture = item && is_picture(item);
    if (picture && (extents != 1 || (method & 15) > 1))
        return refuse(f, "a picture's data is not in one piece");
    for (; extents > 0; extents--) {
        if ((version && !take(&index, in, bytes[3])) || !take(&offset, in, bytes[0]) ||
            !take(&length, in, bytes[1]))
            return refuse(f, "its list of places ends early");
        if (!picture) continue;
        const struct span whole = method & 15 ? f->idat.in : (struct span){f->bytes, f->length};
        if (!length || base > whole.n || offset > whole.n - base ||
            length > whole.n - base - offset)
            return refuse(f, "a picture's data ends early");
        enum rudd_status status =
            read_data(f, item, (struct span){whole.at + base + offset, (size_t)length});
        if (status) return status;
    }
    return RUDD_OK;
}

static enum rudd_status read_locations(const struct file *f)
{
    uint64_t sizes, count;
    struct span in = f->iloc.in;
    if (f->iloc.version > 2 || !take(&sizes, &in, 2) ||
        !take(&count, &in, f->iloc.version < 2 ? 2 : 4))
        return refuse(f, "its list of places ends early");
    const unsigned bytes[4] = {sizes >> 12 & 15, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15};
    for (int i = 0; i < 4; i++)
        if (bytes[i] > 8) return refuse(f, "its list of places makes no sense");
    enum rudd_status status = RUDD_OK;
    for (; count > 0 && !status; count--) status = read_location(f, &in, bytes);
    return status;
}

/* All tiles of a grid together. */
static enum rudd_status check_grids(const struct file *f)
{
    const unsigned bytes = f->iref.version ? 4 : 2;
    struct span in = f->iref.in;
    struct box b;
    while (in.n && take_box(&b, &in, false)) {
        uint64_t id, count, pixels = 0, most = 2 * f->limits->max_pixels + (1 << 20);
        if (!is(b.type, "dimg")) continue;
        take(&id, &b.in, bytes);
        take(&count, &b.in, 2);
        for (; count > 0; count--) {
            take(&id, &b.in, bytes);
            pixels += find_item(f, id)->pixels; /* at most 2^32, 2^16 times */
        }
        if (pixels > most)
            return rudd_fail(
                f->err, RUDD_LIMIT,
                "%s: a grid of %llu pixels in all its tiles; at most %llu are accepted", f->name,
                (unsigned long long)pixels, (unsigned long long)most);
    }
    return RUDD_OK;
}

enum rudd_status data_heif_check(const uint8_t *bytes, size_t length, const char *name,
                                 const struct data_limits *limits, struct rudd_error *err)
{
    struct file f = {.bytes = bytes, .length = length, .name = name, .limits = limits, .err = err};
    enum rudd_status status = find_boxes(&f);
    if (status) return status;
    f.items = rudd_zalloc(MOST_ITEMS, sizeof *f.items);
    f.properties = rudd_zalloc(MOST_PROPERTIES, sizeof *f.properties);
    if (!f.items || !f.properties)
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to look at this HEIC or AVIF", name);
    if (!status) status = read_items(&f);
    if (!status) status = read_references(&f);
    if (!status) status = read_properties(&f);
    if (!status) status = read_associations(&f);
    if (!status) status = read_locations(&f);
    if (!status) status = check_grids(&f);
    rudd_free(f.items);
    rudd_free(f.properties);
    return status;
}
