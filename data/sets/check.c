/* check.c - finds broken pictures, duplicates, leaks between splits, and classes that do not match.
 *
 *     each file: read once -> SHA-256 of its bytes (equal files) + decode (broken ones) -> difference hash (alike ones)
 *
 * Equal bytes are found by sorting. The difference hash (N. Krawetz, "Kind of like that", 2013) shrinks a picture to 9 x 9 grey cells and
 * keeps which of two neighbours is lighter: 72 bits along rows, 72 along columns, of which we use 64 + 64. Up to MAX_BITS of 128 different
 * survive re-encoding and resizing. Every pair is compared, which is nothing beside decoding up to NEAR_LIMIT pictures; larger sets are
 * not searched for pictures that are merely alike.
 *
 * Not here: printing, repairing. */
#include "data/sets/check.h"
#include "data/image/resize.h"
#include "nn/options.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BITS = 4, NEAR_LIMIT = 30000, SPLITS = 3 };

static const struct {
    const char *name;
    bool hint;
} kinds[DATA_FAULT_KINDS] = {
    {"corrupt", false},     {"leak", false},           {"conflict", false}, {"duplicate", false},
    {"empty_class", false}, {"class_mismatch", false}, {"near", true}};

const char *data_fault_name(enum data_fault_kind kind)
{
    return kinds[kind].name;
}

struct split {
    const char *name; /* "train"; "" when the folder is not split */
    char *folder;
    struct data_set set;
};

struct picture {
    char hash[NN_SHA256_HEX];
    uint64_t rows, columns; /* difference hash */
    int split, item;
    bool alike; /* has a difference hash that says something */
};

struct check {
    struct data_report *report;
    struct split splits[SPLITS];
    int split_count;
    struct picture *pictures;
    int count;
};

void data_report_free(struct data_report *report)
{
    for (int i = 0; i < report->count; i++) rudd_free(report->faults[i].text);
    rudd_free(report->faults);
    data_account_free(&report->left);
    *report = (struct data_report){0};
}

static enum rudd_status RUDD_PRINTF(4, 5) note(struct data_report *r, enum data_fault_kind kind,
                                               struct rudd_error *err, const char *format, ...)
{
    struct rudd_error line;
    va_list args;
    va_start(args, format);
    vsnprintf(line.message, sizeof line.message, format, args);
    va_end(args);
    if (r->count == r->room) {
        int room = r->room ? 2 * r->room : 16;
        struct data_fault *larger = rudd_realloc(r->faults, (size_t)room * sizeof *larger);
        if (!larger)
            return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a list of %d faults", room);
        r->faults = larger;
        r->room = room;
    }
    char *text = rudd_strdup(line.message);
    if (!text)
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a list of %d faults", r->count + 1);
    r->faults[r->count++] = (struct data_fault){kind, text};
    if (!kinds[kind].hint) r->faulty++;
    return RUDD_OK;
}

static const char *path_of(const struct check *c, const struct picture *p)
{
    return c->splits[p->split].set.items[p->item].path;
}

static int label_of(const struct check *c, const struct picture *p)
{
    return c->splits[p->split].set.items[p->item].label;
}

/* ---- folders ---------------------------------------------------------------------------------------------------------------- */

static int find_class(const struct data_set *set, const char *name)
{
    for (int i = 0; i < set->class_count; i++)
        if (strcmp(set->class_names[i], name) == 0) return i;
    return -1;
}

static enum rudd_status open_split(struct check *c, const char *dir, const char *name,
                                   struct rudd_error *err)
{
    struct split *s = &c->splits[c->split_count];
    struct rudd_error why;
    *s = (struct split){.name = name, .folder = rudd_strdup(dir)};
    if (!s->folder) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to check it", dir);
    c->split_count++;
    enum rudd_status status = data_set_scan(&s->set, s->folder, NULL, 0, &why);
    data_account_merge(&c->report->left, &s->set.left);
    if (status == RUDD_FORMAT) return note(c->report, DATA_EMPTY_CLASS, err, "%s", why.message);
    return status ? rudd_fail(err, status, "%s", why.message) : RUDD_OK;
}

static enum rudd_status open_splits(struct check *c, const char *dir, struct rudd_error *err)
{
    struct data_layout layout;
    enum rudd_status status = data_layout_find(&layout, dir, &c->report->left, err);
    if (!status && !layout.split) status = open_split(c, dir, "", err);
    for (int i = 0; i < SPLITS && !status; i++)
        if (layout.folder[i]) status = open_split(c, layout.folder[i], data_split_name(i), err);
    data_layout_free(&layout);
    return status;
}

static enum rudd_status check_class(struct check *c, const struct split *s, int label,
                                    struct rudd_error *err)
{
    int pictures = 0;
    for (int i = 0; i < s->set.count; i++) pictures += s->set.items[i].label == label;
    if (pictures) return RUDD_OK;
    return note(c->report, DATA_EMPTY_CLASS, err, "%s/%s: no pictures in this class", s->folder,
                s->set.class_names[label]);
}

/* Classes of s that `other` has not, with the name there that is nearest. */
static enum rudd_status check_names(struct check *c, const struct split *s,
                                    const struct split *other, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < s->set.class_count && other->set.class_count && !status; i++) {
        const char *name = s->set.class_names[i];
        if (find_class(&other->set, name) >= 0) continue;
        const char *near = nn_option_nearest(name, (const char *const *)other->set.class_names,
                                             other->set.class_count);
        status = note(c->report, DATA_CLASS_MISMATCH, err, "class %s is in %s but not in %s%s%s%s",
                      name, s->name, other->name, near ? "; is it the same as " : "",
                      near ? near : "", near ? "?" : "");
    }
    return status;
}

/* ---- pictures --------------------------------------------------------------------------------------------------------------- */

static enum rudd_status difference_hash(struct picture *p, const struct data_image *image,
                                        struct rudd_error *err)
{
    enum { N = 9 };
    uint8_t cells[N * N * 3];
    int grey[N][N];
    struct data_resize r = {NN_BILINEAR, 0, 0, (float)image->w, (float)image->h, N, N, 0, 0, N, N};
    enum rudd_status status = data_resize(cells, image, &r, err);
    if (status) return status;
    int least = 255 * 3, most = 0;
    for (int y = 0; y < N; y++)
        for (int x = 0; x < N; x++) {
            const uint8_t *px = cells + (y * N + x) * 3;
            int g = grey[y][x] = px[0] + px[1] + px[2];
            least = g < least ? g : least;
            most = g > most ? g : most;
        }
    for (int y = 0; y < N - 1; y++)
        for (int x = 0; x < N - 1; x++) {
            p->rows = p->rows << 1 | (grey[y][x] < grey[y][x + 1]);
            p->columns = p->columns << 1 | (grey[y][x] < grey[y + 1][x]);
        }
    p->alike = most - least > 60; /* of 765: a blank picture's neighbours differ by noise alone */
    return RUDD_OK;
}

static enum rudd_status check_picture(struct check *c, struct picture *p, struct rudd_error *err)
{
    struct rudd_error why;
    struct data_image image = {0};
    uint8_t *bytes = NULL;
    size_t length;
    const char *path = path_of(c, p);
    enum rudd_status status =
        data_file_read(&bytes, &length, path, data_limits_default.max_bytes, &why);
    if (!status) {
        struct nn_sha256 hash;
        nn_sha256_init(&hash);
        nn_sha256_update(&hash, bytes, length);
        nn_sha256_hex(p->hash, &hash);
        status = data_image_decode(&image, bytes, length, path, NULL, &why);
    }
    if (!status) status = difference_hash(p, &image, &why);
    if (status == RUDD_NO_MEMORY)
        status = rudd_fail(err, status, "%s", why.message);
    else if (status)
        status = note(c->report, DATA_CORRUPT, err, "%s", why.message);
    data_image_free(&image);
    rudd_free(bytes);
    return status;
}

static enum rudd_status read_pictures(struct check *c, struct rudd_error *err)
{
    int total = 0;
    for (int s = 0; s < c->split_count; s++) total += c->splits[s].set.count;
    c->pictures = rudd_zalloc((size_t)total + 1, sizeof *c->pictures);
    if (!c->pictures)
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory to check %d pictures", total);
    enum rudd_status status = RUDD_OK;
    for (int s = 0; s < c->split_count; s++)
        for (int i = 0; i < c->splits[s].set.count && !status; i++) {
            struct picture *p = &c->pictures[c->count++];
            p->split = s;
            p->item = i;
            status = check_picture(c, p, err);
        }
    c->report->pictures = total;
    return status;
}

/* ---- equal and alike -------------------------------------------------------------------------------------------------------- */

/* By content, then in the order of splits and files. */
static int by_hash(const void *a, const void *b)
{
    const struct picture *x = a, *y = b;
    int order = strcmp(x->hash, y->hash);
    if (order == 0) order = x->split - y->split;
    return order ? order : x->item - y->item;
}

/* The first of equal files is the original; each other one is a fault of the gravest kind that applies. */
static enum rudd_status find_equal(struct check *c, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    qsort(c->pictures, (size_t)c->count, sizeof *c->pictures, by_hash);
    for (int i = 1, first = 0; i < c->count && !status; i++) {
        const struct picture *a = &c->pictures[first], *b = &c->pictures[i];
        if (!b->hash[0] || strcmp(a->hash, b->hash) != 0) {
            first = i;
            continue;
        }
        enum data_fault_kind kind = a->split != b->split               ? DATA_LEAK
                                    : label_of(c, a) != label_of(c, b) ? DATA_CONFLICT
                                                                       : DATA_DUPLICATE;
        status =
            note(c->report, kind, err, "%s: the same file as %s", path_of(c, b), path_of(c, a));
    }
    return status;
}

static enum rudd_status find_alike(struct check *c, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    if (c->count > NEAR_LIMIT) return RUDD_OK;
    for (int i = 0; i < c->count; i++)
        for (int j = 0; j < i && !status; j++) {
            const struct picture *a = &c->pictures[j], *b = &c->pictures[i];
            if (a->split == b->split || !a->alike || !b->alike) continue;
            int bits = __builtin_popcountll(a->rows ^ b->rows) +
                       __builtin_popcountll(a->columns ^ b->columns);
            if (bits > MAX_BITS || strcmp(a->hash, b->hash) == 0) continue;
            status =
                note(c->report, DATA_NEAR, err, "%s: looks like %s", path_of(c, b), path_of(c, a));
        }
    return status;
}

enum rudd_status data_check(struct data_report *report, const char *dir, struct rudd_error *err)
{
    struct data_report fresh = {0};
    struct check c = {.report = &fresh};
    enum rudd_status status = open_splits(&c, dir, err);
    for (int s = 0; s < c.split_count && !status; s++) {
        const struct data_set *set = &c.splits[s].set;
        if (set->class_count > fresh.classes) fresh.classes = set->class_count;
        for (int label = 0; label < set->class_count && !status; label++)
            status = check_class(&c, &c.splits[s], label, err);
        for (int other = 0; other < c.split_count && !status; other++)
            if (other != s) status = check_names(&c, &c.splits[s], &c.splits[other], err);
    }
    if (!status) status = read_pictures(&c, err);
    if (!status) status = find_equal(&c, err);
    if (!status) status = find_alike(&c, err);

    rudd_free(c.pictures);
    for (int s = 0; s < c.split_count; s++) {
        data_set_free(&c.splits[s].set);
        rudd_free(c.splits[s].folder);
    }
    if (status)
        data_report_free(&fresh);
    else
        *report = fresh;
    return status;
}

/* ---- statistics ------------------------------------------------------------------------------------------------------------- */

void data_stats(struct data_stats *stats, const struct data_set *set)
{
    struct data_stats s = {0};
    uint64_t histogram[3][256] = {{0}}, pixels = 0, w_sum = 0,
             h_sum = 0; /* exact, and each pixel costs three increments */
    for (int i = 0; i < set->count; i++) {
        struct data_image image;
        if (data_image_read(&image, set->items[i].path, NULL, NULL)) {
            s.bad++;
            continue;
        }
        for (size_t j = 0, n = (size_t)image.w * (size_t)image.h; j < n; j++)
            for (int c = 0; c < 3; c++) histogram[c][image.rgb[3 * j + (size_t)c]]++;
        if (s.pictures == 0 || image.w < s.w_min) s.w_min = image.w;
        if (s.pictures == 0 || image.h < s.h_min) s.h_min = image.h;
        if (image.w > s.w_max) s.w_max = image.w;
        if (image.h > s.h_max) s.h_max = image.h;
        w_sum += (uint64_t)image.w;
        h_sum += (uint64_t)image.h;
        pixels += (uint64_t)image.w * (uint64_t)image.h;
        s.pictures++;
        data_image_free(&image);
    }
    for (int c = 0; c < 3 && s.pictures; c++) {
        double sum = 0, squares = 0;
        for (int v = 0; v < 256; v++) sum += (double)histogram[c][v] * v;
        s.mean[c] = sum / (double)pixels;
        for (int v = 0; v < 256; v++)
            squares += (double)histogram[c][v] * (v - s.mean[c]) * (v - s.mean[c]);
        s.std[c] = sqrt(squares / (double)pixels) / 255;
        s.mean[c] /= 255;
    }
    if (s.pictures) {
        s.w_mean = (double)w_sum / s.pictures;
        s.h_mean = (double)h_sum / s.pictures;
    }
    *stats = s;
}
