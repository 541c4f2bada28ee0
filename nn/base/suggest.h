/* suggest.h - what a user meant who typed a name that does not exist.
 *
 * The idea: first by meaning, from a table of words that other programs use (timm, Keras,
 * ultralytics, llama.cpp, Triton); then by spelling, the nearest name by edit distance. */
#ifndef NN_BASE_SUGGEST_H
#define NN_BASE_SUGGEST_H

#include "nn/options.h"

/* A word that rudd does not have. Tables end with a NULL wrong. */
struct nn_synonym {
    const char *wrong;  /* lower case, '-' between words */
    const char *right;  /* names with '|' between: the first that exists is meant; may be NULL */
    const char *advice; /* what to do when none of them exists; may be NULL */
};
struct nn_suggestion {
    const char *name;   /* one of the names that were given; NULL: none is meant */
    const char *advice; /* a clause instead; NULL: nothing is known */
    bool spelled;       /* name is only near in spelling: another meaning may be better */
};

/* '_' and capitals in wrong count as '-' and small letters. Thread-safe. */
struct nn_suggestion nn_suggest(const char *wrong, const char *const *names, int count,
                                const struct nn_synonym *synonyms);

/* Words for options in other programs (synonyms.c). */
extern const struct nn_synonym nn_option_synonyms[];
/* The option of that table that was meant; NULL: none. *found says how, and what to do instead. */
const struct nn_option *nn_suggest_option(struct nn_suggestion *found,
                                          const struct nn_options *options, const char *wrong);

#endif
