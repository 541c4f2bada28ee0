/* looks.h - every picture of some sets read once, on several threads: its hash and its look. Not
 * for use outside data/sets. */
#ifndef DATA_LOOKS_H
#define DATA_LOOKS_H

#include "data/image/decode.h"
#include "data/sets/dataset.h"
#include "data/sets/near.h"

struct data_looked {
    char hash[NN_SHA256_HEX]; /* of the file's bytes; "" when it cannot be opened */
    int set, item;
    char *fault; /* why it cannot be read; NULL: it can */
    char *note;  /* what is wrong with it although it can; NULL: nothing */
};
struct data_looks {
    struct data_looked *pictures; /* sets one after another, items in order */
    struct data_near_look *looks; /* NULL: not asked for */
    int count;
};
/* RUDD_NO_MEMORY. threads: 0: as kern_threads. limits may be NULL. The result does not depend on
 * them. */
enum rudd_status data_looks_read(struct data_looks *looks, const struct data_set *const *sets,
                                 int count, bool near, int threads,
                                 const struct data_limits *limits, struct rudd_error *err);
void data_looks_free(struct data_looks *looks);

/* Groups of pictures that show one photograph, equal files among them: as data_near_find. Equal
 * files are compared once. */
enum rudd_status data_looks_group(struct data_near_found *found, struct data_looks *looks,
                                  struct rudd_error *err);
/* Indices of pictures by hash, then in order, rudd_alloc'ed; NULL: no memory. */
int *data_looks_by_hash(const struct data_looks *looks);

#endif
