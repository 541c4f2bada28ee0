/* spelling.h - names that look the same are the same.
 *
 * "brème" is five letters to a reader and can be five or six code points: e-grave is one (NFC) or
 * e and an accent (NFD). Systems spell file names differently, so class folders are compared by
 * their NFC form (Unicode Standard Annex 15). utf8proc makes it; names of ASCII need no library. */
#ifndef DATA_SPELLING_H
#define DATA_SPELLING_H

#include <stdbool.h>
#include "nn/name_index.h"

/* The NFC form of a name, rudd_alloc'ed; NULL: no memory. What is not UTF-8, and every name where
 * utf8proc is missing, is copied as it is; then *plain (may be NULL) is set. Thread-safe. */
char *data_spelling(const char *name, bool *plain);

/* Names to numbers, by that form. */
struct data_spellings {
    char **keys; /* [count] the forms */
    int count;
    struct nn_name_index index; /* of keys */
    bool plain; /* some name was compared as it is, though it has other than ASCII characters */
};
/* RUDD_MISMATCH when two of the names are alike: the message shows both. `where` starts it. A
 * failure leaves *spellings empty. */
enum rudd_status data_spellings_make(struct data_spellings *spellings, char *const *names,
                                     int count, const char *where, struct rudd_error *err);
/* Its number into *index; -1: none. RUDD_NO_MEMORY. */
enum rudd_status data_spellings_find(int *index, const struct data_spellings *spellings,
                                     const char *name, struct rudd_error *err);
void data_spellings_free(struct data_spellings *spellings);

#endif
