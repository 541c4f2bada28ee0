/* diff.h - two weights files, tensor by tensor and key by key.
 *
 *     names of a   conv.bias   conv.weight               fc.weight
 *     names of b   conv.bias                 extra       fc.weight       merged in order; where both have one, values are compared */
#ifndef WEIGHTS_DIFF_H
#define WEIGHTS_DIFF_H

#include "weights/file.h"

/* A name of either file. */
struct weights_tensor_diff {
    const struct weights_tensor *a, *b; /* NULL: the other file's alone */
    bool same_shape;
    size_t equal;    /* values that are the same bit for bit; of different dtypes, the same number */
    double max_abs;  /* the largest |a - b|; infinite where one is no finite number and the other is not the same */
    double relative; /* that as a share of the largest |a| or |b| of the tensor */
};
struct weights_meta_diff {
    const char *key, *a, *b; /* values; NULL: absent */
};
/* Points into the files, which must outlive it. */
struct weights_diff {
    struct weights_tensor_diff *tensors; /* all names of both, in order */
    int tensor_count;
    struct weights_meta_diff *metas; /* keys that differ only */
    int meta_count;
};

/* RUDD_NO_MEMORY; errors of weights_values. *diff is unchanged on failure. */
enum rudd_status weights_diff_make(struct weights_diff *diff, const struct weights_file *a, const struct weights_file *b,
                                   struct rudd_error *err);
void weights_diff_free(struct weights_diff *diff);
/* In both files, in one shape, and: tolerance 0, in one dtype with the same bits; else no further apart than that share of the largest. */
bool weights_diff_is_equal(const struct weights_tensor_diff *d, double tolerance);

#endif
