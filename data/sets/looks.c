/* looks.c - see looks.h. */
#include "data/sets/looks.h"
#include "kernels/kern.h"
#include "nn/share.h"

#include <stdlib.h>
#include <string.h>

struct reading {
    struct data_looks *looks;
    const struct data_set *const *sets;
    const struct data_limits *limits;
};

static enum rudd_status read_one(void *user, int i, int lane, struct rudd_error *err)
{
    const struct reading *r = user;
    struct data_looked *p = &r->looks->pictures[i];
    const char *path = r->sets[p->set]->items[p->item].path;
    struct data_image image = {0};
    struct rudd_error why;
    uint8_t *bytes = NULL;
    size_t length;
    (void)lane;
    enum rudd_status status = data_image_load(&bytes, &length, path, r->limits, &why);
    if (!status) {
        struct nn_sha256 hash;
        nn_sha256_init(&hash);
        nn_sha256_update(&hash, bytes, length);
        nn_sha256_hex(p->hash, &hash);
        status = data_image_decode(&image, bytes, length, path, r->limits, &why);
    }
    if (!status && r->looks->looks) status = data_near_look(&r->looks->looks[i], &image, &why);
    if (!status && image.note[0] && !(p->note = rudd_strdup(image.note)))
        status =
            rudd_fail(&why, RUDD_NO_MEMORY, "%s: no memory to say what is wrong with it", path);
    data_image_free(&image);
    rudd_free(bytes);
    if (status && status != RUDD_NO_MEMORY && (p->fault = rudd_strdup(why.message))) return RUDD_OK;
    return status ? rudd_fail(err, RUDD_NO_MEMORY, "%s", why.message) : RUDD_OK;
}

enum rudd_status data_looks_read(struct data_looks *looks, const struct data_set *const *sets,
                                 int count, bool near, int threads,
                                 const struct data_limits *limits, struct rudd_error *err)
{
    struct data_looks fresh = {0};
    size_t total = 0;
    for (int s = 0; s < count; s++) total += (size_t)sets[s]->count;
    fresh.pictures = rudd_zalloc(total + 1, sizeof *fresh.pictures);
    fresh.looks = near ? rudd_zalloc(total + 1, sizeof *fresh.looks) : NULL;
    if (!fresh.pictures || (near && !fresh.looks)) {
        data_looks_free(&fresh);
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory to look at %zu pictures", total);
    }
    for (int s = 0; s < count; s++)
        for (int i = 0; i < sets[s]->count; i++) {
            fresh.pictures[fresh.count].set = s;
            fresh.pictures[fresh.count++].item = i;
        }
    struct reading reading = {&fresh, sets, limits};
    enum rudd_status status =
        nn_share(fresh.count, threads > 0 ? threads : kern_threads(), read_one, &reading, err);
    if (status)
        data_looks_free(&fresh);
    else
        *looks = fresh;
    return status;
}

void data_looks_free(struct data_looks *looks)
{
    for (int i = 0; looks->pictures && i < looks->count; i++) {
        rudd_free(looks->pictures[i].fault);
        rudd_free(looks->pictures[i].note);
    }
    rudd_free(looks->pictures);
    rudd_free(looks->looks);
    *looks = (struct data_looks){0};
}

/* ---- equal files --------------------------------------------------------------------------- */

struct hashed {
    const char *hash;
    int index;
};

static int by_hash(const void *a, const void *b)
{
    const struct hashed *x = a, *y = b;
    int order = strcmp(x->hash, y->hash);
    return order ? order : x->index - y->index;
}

int *data_looks_by_hash(const struct data_looks *looks)
{
    struct hashed *list = rudd_alloc(((size_t)looks->count + 1) * sizeof *list);
    int *order = rudd_alloc(((size_t)looks->count + 1) * sizeof *order);
    if (!list || !order) {
        rudd_free(list);
        rudd_free(order);
        return NULL;
    }
    for (int i = 0; i < looks->count; i++) list[i] = (struct hashed){looks->pictures[i].hash, i};
    qsort(list, (size_t)looks->count, sizeof *list, by_hash);
    for (int i = 0; i < looks->count; i++) order[i] = list[i].index;
    rudd_free(list);
    return order;
}

enum rudd_status data_looks_group(struct data_near_found *found, struct data_looks *looks,
                                  struct rudd_error *err)
{
    int *order = data_looks_by_hash(looks);
    if (!order)
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory to group %d pictures", looks->count);
    struct data_looked *p = looks->pictures;
    for (int i = 1; i < looks->count; i++)
        if (strcmp(p[order[i]].hash, p[order[i - 1]].hash) == 0)
            looks->looks[order[i]].seen = false;
    enum rudd_status status = data_near_find(found, looks->looks, looks->count, err);
    for (int i = 1; i < looks->count && !status;
         i++) { /* the first of equal files speaks for all */
        const int first = order[i - 1], other = order[i];
        if (p[other].hash[0] && strcmp(p[other].hash, p[first].hash) == 0)
            found->leader[other] = found->leader[first];
    }
    rudd_free(order);
    return status;
}
