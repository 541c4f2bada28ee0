/* near.c - see near.h.
 *
 * Each look is described by the 18 lowest waves of its luma (DCT-II, normalised, so that light and
 * contrast do not matter), once for itself and once for each of 81 parts of it that lack 0, 5 or
 * 10 % at each side. The signs of the waves and the mean luma make a key. If B is a part of A, one
 * of A's 81 keys is B's own, or differs from it in waves that are near 0:
 *
 *     look B --its key and those a doubtful sign away, mirrored too--> table of parts  --> A
 *     look A --keys of its parts---------------------------------> table of wholes --> B
 *
 * Whom the tables give is compared (near_fit.h). A picture that has a group joins it and is put
 * into the tables only where few of its group are, and a cell of a table holds few: so the frames
 * of a fixed camera are each compared with some, not with all that came before.
 *
 * Threshold: of the 1.36 million pairs among 1,651 photographs of fish, five that nobody had
 * grouped have a likeness above 0.945, and each of these shows one photograph twice (0.969, a crop
 * of more than a tenth, to 0.997). Planted crops, mirrored, resized and saved at quality 30 to 95,
 * have 0.990 or more (200 of them). LIKE stands between. bench/near.py measures what is found. */
#include "data/sets/near_fit.h"
#include "data/image/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = DATA_NEAR_SIDE,
    ORDER = 5,  /* waves along an axis: 0 .. 4 */
    WAVES = 18, /* of them, by rising frequency */
    CUTS = 3,   /* 0, 5 and 10 % */
    EDGES = CUTS * CUTS,
    PARTS = EDGES * EDGES,
    DOUBTFUL = 6, /* signs that are tried both ways */
    CELL = 48,    /* entries of a cell at most */
    MEMBERS = 8,  /* of a group in the tables */
    COMPARED = 16 /* pictures that one is compared with */
};
static const double LIKE = 0.97;  /* likeness of one photograph */
static const double FIRST = 0.86; /* correlation of luma, from which on it is looked at closely */
static const float NEAR_WAVES = 0.16f; /* squared distance of descriptions that may be alike */
static const float PLAIN = 1.5f;       /* root of the waves' energy, in levels of luma */

/* Waves along x and y, by frequency. */
static const uint8_t wave_x[WAVES] = {1, 0, 2, 1, 0, 3, 2, 1, 0, 4, 3, 2, 1, 0, 4, 3, 2, 1};
static const uint8_t wave_y[WAVES] = {0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4, 1, 2, 3, 4};

enum rudd_status data_near_look(struct data_near_look *look, const struct data_image *image,
                                struct rudd_error *err)
{
    uint8_t rgb[SIDE * SIDE * 3];
    const struct data_resize whole = {
        NN_BILINEAR, 0, 0, (float)image->w, (float)image->h, SIDE, SIDE, 0, 0, SIDE, SIDE};
    enum rudd_status status = data_resize(rgb, image, &whole, err);
    for (int i = 0; i < SIDE * SIDE && !status; i++) /* ITU-R BT.601 */
        look->luma[i] =
            (uint8_t)((299 * rgb[3 * i] + 587 * rgb[3 * i + 1] + 114 * rgb[3 * i + 2] + 500) /
                      1000);
    look->seen = !status;
    return status;
}

/* ---- descriptions -------------------------------------------------------------------------- */

struct description {
    float wave[WAVES]; /* unit norm */
    float mean;        /* luma, 0..255 */
    float energy;      /* norm before */
};

/* base[e][u][x]: wave u over what the cuts e = first * CUTS + last leave of an axis. */
struct bases {
    float base[EDGES][ORDER][SIDE];
};

static void make_bases(struct bases *b)
{
    for (int e = 0; e < EDGES; e++) {
        const double first = 0.05 * (e / CUTS), last = 1 - 0.05 * (e % CUTS), length = last - first;
        for (int u = 0; u < ORDER; u++)
            for (int x = 0; x < SIDE; x++) {
                /* The cell's share of the part, and the wave at the middle of that share. */
                double from = (double)x / SIDE, to = (double)(x + 1) / SIDE;
                if (from < first) from = first;
                if (to > last) to = last;
                const double share = to > from ? (to - from) / length : 0;
                const double place = ((from + to) / 2 - first) / length;
                b->base[e][u][x] = (float)(share * (u ? sqrt(2) * cos(M_PI * u * place) : 1));
            }
    }
}

/* All parts of a look: part p = across * EDGES + down. */
static void describe(struct description d[PARTS], const struct bases *b, const uint8_t *luma)
{
    float rows[SIDE][ORDER];
    for (int across = 0; across < EDGES; across++) {
        for (int y = 0; y < SIDE; y++)
            for (int u = 0; u < ORDER; u++) {
                float sum = 0;
                for (int x = 0; x < SIDE; x++) sum += b->base[across][u][x] * luma[y * SIDE + x];
                rows[y][u] = sum;
            }
        for (int down = 0; down < EDGES; down++) {
            struct description *out = &d[across * EDGES + down];
            float wave[ORDER][ORDER] = {{0}}, squares = 0;
            for (int v = 0; v < ORDER; v++)
                for (int y = 0; y < SIDE; y++)
                    for (int u = 0; u < ORDER; u++) wave[v][u] += b->base[down][v][y] * rows[y][u];
            out->mean = wave[0][0];
            for (int k = 0; k < WAVES; k++) {
                out->wave[k] = wave[wave_y[k]][wave_x[k]];
                squares += out->wave[k] * out->wave[k];
            }
            out->energy = sqrtf(squares);
            const float scale = out->energy > 1e-3f ? 1 / out->energy : 0;
            for (int k = 0; k < WAVES; k++) out->wave[k] *= scale;
        }
    }
}

static void mirror(struct description *d)
{
    for (int k = 0; k < WAVES; k++)
        if (wave_x[k] % 2) d->wave[k] = -d->wave[k];
}

/* Signs, then the mean in steps of 32 levels. */
static uint32_t key_of(const struct description *d)
{
    uint32_t key = (uint32_t)d->mean / 32 << WAVES;
    for (int k = 0; k < WAVES; k++) key |= (uint32_t)(d->wave[k] > 0) << k;
    return key;
}

/* The key and those that doubtful signs, and the other mean that is near, would give. */
struct keys {
    uint32_t key[2 << DOUBTFUL];
    int count;
};

static void try_keys(struct keys *keys, const struct description *d, int doubtful)
{
    int order[WAVES];
    for (int k = 0; k < WAVES; k++) { /* by rising size; few, so by insertion */
        int at = k;
        for (; at > 0 && fabsf(d->wave[order[at - 1]]) > fabsf(d->wave[k]); at--)
            order[at] = order[at - 1];
        order[at] = k;
    }
    keys->key[0] = key_of(d);
    keys->count = 1;
    for (int i = 0; i < doubtful && fabsf(d->wave[order[i]]) < 0.12f; i++) {
        for (int j = 0; j < keys->count; j++)
            keys->key[keys->count + j] = keys->key[j] ^ 1u << order[i];
        keys->count *= 2;
    }
    /* The light of a fixed camera varies: the next step of the mean is tried as well. */
    const int step = fmodf(d->mean, 32) < 16 ? -1 : 1, other = (int)d->mean / 32 + step;
    if (!doubtful || other < 0 || other > 7) return;
    for (int j = 0; j < keys->count; j++)
        keys->key[keys->count + j] = (keys->key[j] & ((1u << WAVES) - 1)) | (uint32_t)other
                                                                                << WAVES;
    keys->count *= 2;
}

/* ---- tables -------------------------------------------------------------------------------- */

struct entry {
    uint32_t key;
    int picture, next; /* next: in the cell; -1: none */
    int8_t wave[WAVES];
    uint8_t part;
};

struct table {
    struct entry *entries;
    int count, room;
    struct cell {
        int first, length;
    } * cells;
    uint32_t cell_count; /* a power of 2 */
};

static struct cell *cell_of(const struct table *t, uint32_t key)
{
    return &t->cells[(key * 0x9e3779b1u >> 7) & (t->cell_count - 1)];
}

static bool make_table(struct table *t, int pictures)
{
    t->cell_count = 1u << 12;
    while (t->cell_count < (uint32_t)pictures * 8 && t->cell_count < 1u << 21) t->cell_count *= 2;
    t->cells = rudd_alloc(t->cell_count * sizeof *t->cells);
    for (uint32_t i = 0; t->cells && i < t->cell_count; i++) t->cells[i] = (struct cell){-1, 0};
    return t->cells;
}

static enum rudd_status put(struct table *t, const struct description *d, int picture, int part,
                            bool *full, struct rudd_error *err)
{
    const uint32_t key = key_of(d);
    struct cell *cell = cell_of(t, key);
    if (cell->length == CELL) {
        *full = true;
        return RUDD_OK;
    }
    if (t->count == t->room) {
        const int room = t->room ? 2 * t->room : 1024;
        struct entry *larger = rudd_realloc(t->entries, (size_t)room * sizeof *larger);
        if (!larger)
            return rudd_fail(err, RUDD_NO_MEMORY, "no memory to look for pictures that are alike");
        t->entries = larger;
        t->room = room;
    }
    struct entry *e = &t->entries[t->count];
    *e = (struct entry){.key = key, .picture = picture, .next = cell->first, .part = (uint8_t)part};
    for (int k = 0; k < WAVES; k++) e->wave[k] = (int8_t)lrintf(d->wave[k] * 127);
    cell->first = t->count++;
    cell->length++;
    return RUDD_OK;
}

static float distance(const struct entry *e, const struct description *d)
{
    float sum = 0;
    for (int k = 0; k < WAVES; k++) {
        const float difference = (float)e->wave[k] / 127 - d->wave[k];
        sum += difference * difference;
    }
    return sum;
}

/* ---- the search ---------------------------------------------------------------------------- */

/* A picture to compare with: one of the two is a part of the other. */
struct candidate {
    int picture;
    int part;      /* of which */
    bool of_other; /* the part is of that picture, and the whole is ours */
    bool mirrored;
    float distance;
};

struct search {
    const struct data_near_look *looks;
    struct bases bases;
    struct table wholes, parts;
    struct description described[PARTS];
    struct candidate candidates[COMPARED];
    int candidate_count;
    int *leader, *members; /* members: of the group that the picture leads, in the tables */
    struct data_near_found *found;
    bool cut;
};

/* Keeps the nearest COMPARED, one for each picture and way. */
static void offer(struct search *s, struct candidate c)
{
    int at = s->candidate_count;
    for (int i = 0; i < s->candidate_count; i++) {
        const struct candidate *o = &s->candidates[i];
        if (o->picture != c.picture || o->of_other != c.of_other || o->mirrored != c.mirrored)
            continue;
        if (o->distance <= c.distance) return;
        at = i; /* it is better than this one of the same */
        break;
    }
    if (at == COMPARED) {
        s->cut = true;
        if (s->candidates[--at].distance <= c.distance) return;
    }
    if (at == s->candidate_count) s->candidate_count++;
    for (; at > 0 && s->candidates[at - 1].distance > c.distance; at--)
        s->candidates[at] = s->candidates[at - 1];
    s->candidates[at] = c;
}

static void look_up(struct search *s, const struct table *t, const struct description *d,
                    const struct keys *keys, struct candidate like)
{
    for (int i = 0; i < keys->count; i++)
        for (int e = cell_of(t, keys->key[i])->first; e >= 0; e = t->entries[e].next) {
            const struct entry *entry = &t->entries[e];
            if (entry->key != keys->key[i]) continue;
            like.distance = distance(entry, d);
            if (like.distance > NEAR_WAVES) continue;
            like.picture = entry->picture;
            if (like.of_other) like.part = entry->part;
            offer(s, like);
        }
}

static void gather(struct search *s)
{
    struct keys keys;
    s->candidate_count = 0;
    for (int mirrored = 0; mirrored < 2; mirrored++) {
        struct description d = s->described[0];
        if (mirrored) mirror(&d);
        try_keys(&keys, &d, DOUBTFUL);
        look_up(s, &s->parts, &d, &keys,
                (struct candidate){.of_other = true, .mirrored = mirrored});
        for (int part = 1; part < PARTS; part++) {
            d = s->described[part];
            if (mirrored) mirror(&d);
            try_keys(&keys, &d, 2);
            look_up(s, &s->wholes, &d, &keys,
                    (struct candidate){.part = part, .mirrored = mirrored});
        }
    }
}

static struct near_part part_of(int part)
{
    const int across = part / EDGES, down = part % EDGES;
    return (struct near_part){{0.05f * (float)(across / CUTS), 0.05f * (float)(across % CUTS),
                               0.05f * (float)(down / CUTS), 0.05f * (float)(down % CUTS)}};
}

static const struct near_part everything = {{0, 0, 0, 0}};

static bool is_alike(const struct search *s, int picture, const struct candidate *c)
{
    const uint8_t *ours = s->looks[picture].luma, *theirs = s->looks[c->picture].luma;
    struct near_part part = part_of(c->part);
    struct near_patch whole;
    near_patch_make(&whole, c->of_other ? ours : theirs, &everything, c->mirrored);
    return near_fit(c->of_other ? theirs : ours, &part, &whole, FIRST, LIKE) >= LIKE;
}

static int lead(int *leader, int picture)
{
    while (leader[picture] != picture) picture = leader[picture] = leader[leader[picture]];
    return picture;
}

/* The group whose first picture comes first leads. */
static void join(struct search *s, int a, int b)
{
    a = lead(s->leader, a);
    b = lead(s->leader, b);
    if (a == b) return;
    const int first = a < b ? a : b, second = a < b ? b : a;
    s->leader[second] = first;
    s->members[first] += s->members[second];
}

static enum rudd_status insert(struct search *s, int picture, struct rudd_error *err)
{
    uint32_t known[PARTS];
    int count = 0;
    enum rudd_status status = put(&s->wholes, &s->described[0], picture, 0, &s->cut, err);
    for (int part = 0; part < PARTS && !status; part++) {
        int i = 0;
        known[count] = key_of(&s->described[part]);
        while (known[i] != known[count]) i++;
        if (i < count) continue; /* a part of this key is there */
        count++;
        status = put(&s->parts, &s->described[part], picture, part, &s->cut, err);
    }
    s->members[lead(s->leader, picture)]++;
    return status;
}

static enum rudd_status place(struct search *s, int picture, struct rudd_error *err)
{
    describe(s->described, &s->bases, s->looks[picture].luma);
    if (s->described[0].energy < PLAIN) {
        s->found->plain++;
        return RUDD_OK;
    }
    s->cut = false;
    gather(s);
    for (int i = 0; i < s->candidate_count; i++) {
        const struct candidate *c = &s->candidates[i];
        if (lead(s->leader, c->picture) == lead(s->leader, picture)) continue;
        if (is_alike(s, picture, c)) join(s, c->picture, picture);
    }
    enum rudd_status status = RUDD_OK;
    if (s->members[lead(s->leader, picture)] < MEMBERS) status = insert(s, picture, err);
    s->found->cut += s->cut && lead(s->leader, picture) == picture;
    return status;
}

enum rudd_status data_near_find(struct data_near_found *found, const struct data_near_look *looks,
                                int count, struct rudd_error *err)
{
    struct data_near_found fresh = {.leader = rudd_alloc(((size_t)count + 1) * sizeof(int))};
    struct search *s = rudd_zalloc(1, sizeof *s);
    enum rudd_status status = RUDD_OK;
    if (s) {
        s->looks = looks;
        s->leader = fresh.leader;
        s->members = rudd_zalloc((size_t)count + 1, sizeof *s->members);
        s->found = &fresh;
        make_bases(&s->bases);
    }
    if (!s || !fresh.leader || !s->members || !make_table(&s->wholes, count) ||
        !make_table(&s->parts, count))
        status = rudd_fail(err, RUDD_NO_MEMORY,
                           "no memory to look for alike ones among %d pictures", count);
    for (int i = 0; i < count && !status; i++) fresh.leader[i] = i;
    for (int i = 0; i < count && !status; i++)
        if (looks[i].seen) status = place(s, i, err);
    for (int i = 0; i < count && !status; i++) fresh.leader[i] = lead(fresh.leader, i);
    if (s) {
        rudd_free(s->members);
        rudd_free(s->wholes.cells);
        rudd_free(s->wholes.entries);
        rudd_free(s->parts.cells);
        rudd_free(s->parts.entries);
        rudd_free(s);
    }
    if (status)
        data_near_free(&fresh);
    else
        *found = fresh;
    return status;
}

void data_near_free(struct data_near_found *found)
{
    rudd_free(found->leader);
    *found = (struct data_near_found){0};
}

double data_near_likeness(const struct data_near_look *a, const struct data_near_look *b)
{
    double best = -1;
    for (int way = 0; way < 4; way++) {
        const uint8_t *of = way & 1 ? b->luma : a->luma;
        struct near_patch whole;
        near_patch_make(&whole, way & 1 ? a->luma : b->luma, &everything, way & 2);
        for (int p = 0; p < PARTS; p++) {
            struct near_part part = part_of(p);
            const double fit = near_fit(of, &part, &whole, FIRST, 1);
            if (fit > best) best = fit;
        }
    }
    return best;
}
