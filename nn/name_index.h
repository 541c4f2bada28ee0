/* name_index.h - names to their numbers: a sorted list and binary search, for lists of thousands. */
#ifndef NN_NAME_INDEX_H
#define NN_NAME_INDEX_H

#include "nn/rudd.h"

struct nn_name_index {
    struct nn_named {
        const char *name; /* the caller's */
        int number;
    } * list; /* sorted by bytes */
    int count;
    int twice; /* the number of a name that an earlier one has; -1: all differ */
};

/* name_of(user, i) gives the i-th of count names; they must outlive the index. RUDD_NO_MEMORY leaves it
 * empty. */
enum rudd_status nn_name_index_make(struct nn_name_index *index, const char *(*name_of)(const void *user, int i),
                                    const void *user, int count, struct rudd_error *err);
/* The least number of that name; -1: none. Thread-safe. */
int nn_name_index_find(const struct nn_name_index *index, const char *name);
void nn_name_index_free(struct nn_name_index *index);

/* name_of for an array of names: user is a char *const *. */
const char *nn_name_of_array(const void *user, int i);

#endif
