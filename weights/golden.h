/* golden.h - a model file's own answer: what its network says to an input that everybody can make. Whoever loads the file finds out whether
 * it computes what its writer computed.
 *
 *     input [3,S,S]   x[i] = (i * 7919 mod 1009) / 504.5 - 1, as if normalised; S the model's image size
 *     rudd.golden     {"size":S, "logits":[the first 16 at most]}
 *
 * Kernels of other instruction sets and lower precision round differently, so answers agree to 2 % of the largest logit. A wrong weight
 * file, a wrong padding or epsilon, or zeros where a download broke are off by far more. */
#ifndef WEIGHTS_GOLDEN_H
#define WEIGHTS_GOLDEN_H

#include "nn/model.h"

enum { WEIGHTS_GOLDEN_LOGITS = 16 };

/* x [3,size,size]. */
void weights_golden_input(float *x, int size);
/* The value of rudd.golden for a model whose parameters come from source (which is not closed in earnest: its close is called), rudd_alloc'ed. *text is
 * NULL when there is none to be had: an image size that the network cannot take, logits that are not finite. Runs the network once. */
enum rudd_status weights_golden_make(char **text, const struct nn_model *model, struct nn_source *source,
                                     struct rudd_error *err);
/* Whether logits [class_count], for that input, are what model->golden says. RUDD_MISMATCH says both figures; RUDD_FORMAT: no golden answer. */
enum rudd_status weights_golden_check(const struct nn_model *model, const float *logits, struct rudd_error *err);

#endif
