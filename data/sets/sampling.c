/* sampling.c - the list of an epoch: see sampling.h. */
#include "data/sets/sampling.h"

#include <limits.h>
#include <string.h>

static const uint64_t SHUFFLE =
    UINT64_MAX; /* in the place of a picture's index: no picture has it */

/* Items by class, whatever order they stand in. */
static void sort_members(struct data_sampler *s)
{
    for (int i = 0; i < s->set->count; i++) s->first[s->set->items[i].label + 1]++;
    for (int k = 0; k < s->set->class_count; k++) s->first[k + 1] += s->first[k];
    for (int i = 0; i < s->set->count; i++) s->members[s->first[s->set->items[i].label]++] = i;
    for (int k = s->set->class_count; k > 0; k--)
        s->first[k] = s->first[k - 1]; /* each had moved to its end */
    s->first[0] = 0;
}

enum rudd_status data_sampler_init(struct data_sampler *sampler, const struct data_set *set,
                                   enum data_sampling sampling, bool shuffle, int views,
                                   struct rudd_error *err)
{
    const bool balanced = sampling == DATA_BALANCED;
    struct data_sampler s = {.set = set,
                             .sampling = sampling,
                             .shuffle = shuffle || balanced,
                             .views = views < 1 || balanced ? 1 : views};
    if (set->count > INT_MAX / s.views)
        return rudd_fail(err, RUDD_LIMIT, "%d views of %d pictures are too many", s.views,
                         set->count);
    s.length = set->count * s.views;
    const size_t length = (size_t)s.length, classes = (size_t)set->class_count;
    bool ok = (s.draws = rudd_alloc(length * sizeof *s.draws));
    if (s.shuffle)
        ok = ok && (s.order = rudd_alloc((length > classes ? length : classes) * sizeof *s.order));
    if (balanced) {
        ok = ok && (s.list = rudd_alloc(length * sizeof *s.list)) &&
             (s.members = rudd_alloc(length * sizeof *s.members)) &&
             (s.first = rudd_zalloc(classes + 1, sizeof *s.first));
        if (ok) sort_members(&s);
    }
    if (!ok) {
        data_sampler_free(&s);
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a list of %zu pictures", length);
    }
    *sampler = s;
    return RUDD_OK;
}

void data_sampler_free(struct data_sampler *s)
{
    rudd_free(s->draws);
    rudd_free(s->members);
    rudd_free(s->first);
    rudd_free(s->order);
    rudd_free(s->list);
    memset(s, 0, sizeof *s);
}

/* `share` draws of class k, behind list. */
static uint64_t *draw_class(uint64_t *list, struct data_sampler *s, struct nn_rng *rng, int k,
                            int share)
{
    const int *members = s->members + s->first[k], n = s->first[k + 1] - s->first[k];
    nn_rng_permutation(rng, s->order,
                       n); /* who comes once more than the others: the first of these */
    for (int i = 0; i < share; i++)
        *list++ = (uint64_t)members[s->order[i % n]] + (uint64_t)(i / n) * (uint64_t)s->set->count;
    return list;
}

/* Equal shares; those left over go to classes drawn at random. */
static void draw_balanced(struct data_sampler *s, struct nn_rng *rng)
{
    const int classes = s->set->class_count;
    uint64_t *list = s->list;
    int present = 0, more = 0;
    for (int k = 0; k < classes; k++) present += s->first[k + 1] > s->first[k];
    nn_rng_permutation(rng, s->order, present);
    /* The scratch is needed again within each class: the ranks are kept where draws will stand. */
    for (int i = 0; i < present; i++) s->draws[i] = (uint64_t)s->order[i];
    for (int k = 0; k < classes; k++) {
        if (s->first[k + 1] == s->first[k]) continue;
        bool extra = s->draws[more++] < (uint64_t)(s->length % present);
        list = draw_class(list, s, rng, k, s->length / present + extra);
    }
}

void data_sampler_draw(struct data_sampler *s, uint64_t seed, uint64_t epoch)
{
    const int count = s->set->count;
    struct nn_rng rng;
    nn_rng_init(&rng, seed, epoch, SHUFFLE);
    if (s->sampling == DATA_BALANCED) draw_balanced(s, &rng);
    if (s->shuffle) nn_rng_permutation(&rng, s->order, s->length);
    for (int i = 0; i < s->length; i++) {
        int at = s->shuffle ? s->order[i] : i;
        s->draws[i] = s->sampling == DATA_BALANCED
                          ? s->list[at]
                          : (uint64_t)(at / s->views) + (uint64_t)(at % s->views) * (uint64_t)count;
    }
}

int data_draw_item(const struct data_sampler *sampler, uint64_t draw)
{
    return (int)(draw % (uint64_t)sampler->set->count);
}

int data_draw_appearance(const struct data_sampler *sampler, uint64_t draw)
{
    return (int)(draw / (uint64_t)sampler->set->count);
}
