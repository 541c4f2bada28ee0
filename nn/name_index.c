/* name_index.c - see name_index.h. */
#include "nn/name_index.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    const struct nn_named *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->number - y->number;
}

const char *nn_name_of_array(const void *user, int i)
{
    return ((char *const *)user)[i];
}

enum rudd_status nn_name_index_make(struct nn_name_index *index, const char *(*name_of)(const void *user, int i),
                                    const void *user, int count, struct rudd_error *err)
{
    struct nn_name_index fresh = {.count = count, .twice = -1};
    *index = (struct nn_name_index){.twice = -1};
    fresh.list = rudd_zalloc((size_t)count + 1, sizeof *fresh.list);
    if (!fresh.list) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d names", count);
    for (int i = 0; i < count; i++) fresh.list[i] = (struct nn_named){name_of(user, i), i};
    qsort(fresh.list, (size_t)count, sizeof *fresh.list, by_name);
    for (int i = 1; i < count && fresh.twice < 0; i++)
        if (strcmp(fresh.list[i - 1].name, fresh.list[i].name) == 0) fresh.twice = fresh.list[i].number;
    *index = fresh;
    return RUDD_OK;
}

int nn_name_index_find(const struct nn_name_index *index, const char *name)
{
    int low = 0, high = index->count;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (strcmp(index->list[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < index->count && strcmp(index->list[low].name, name) == 0 ? index->list[low].number : -1;
}

void nn_name_index_free(struct nn_name_index *index)
{
    rudd_free(index->list);
    *index = (struct nn_name_index){.twice = -1};
}
