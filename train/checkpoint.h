/* checkpoint.h - last.safetensors: everything that a run needs to go on as if it had never stopped.
 *
 *     <parameter>           all values, running statistics included: under their own names, so that it is a model file too
 *     rudd.ema.<parameter>  the moving average, if there is one
 *     rudd.m0.<parameter>   first moment or momentum, of trained parameters
 *     rudd.m1.<parameter>   second moment
 *     __metadata__          as a model file (weights/metadata.h), and "rudd.checkpoint": train_state as JSON, with "began", per stage
 *                           the optimiser's steps before its first, or -1
 *
 *     rudd.grad.<parameter> the gradient's sum so far, when a step has begun (tally.step_mass > 0)
 *
 * A run can be left between any two batches, and what goes on from its checkpoint is, byte for byte, what would have been. For
 * that, whatever a later batch depends on must be one of these:
 *
 *     1. saved here: values, moments, average, gradients, and the numbers of train_state;
 *     2. derived from the options and from (epoch, tally.batches), as all random choices are: keyed, never drawn from a stream;
 *     3. derived from files that the run's id or record names by their hash.
 *
 * A feature that needs a number of its own adds a field to one of the lists below, or to the tally's (learner.h): writing and
 * reading follow. Nothing may depend on the clock, on threads, or on where a process began. Kept in a variable alone, it is
 * lost. tests/test_resume.c and `make kill-train` show it.
 *
 * Written whole and atomically (weights_write): after any failure the checkpoint before it is intact. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "train/ema.h"
#include "train/learner.h"
#include "train/optim.h"
#include "train/record.h"

/* Counters and the best so far, all doubles; whole numbers are exact up to 2^53. COUNTS are read as such: 0, 1, 2, ... */
#define TRAIN_STATE_COUNTS(F)                                                                                                  \
    F(epoch)       /* finished; the tally is of the one behind it */                                                           \
    F(optim_steps) /* taken */                                                                                                 \
    F(ema_updates) /* likewise */                                                                                              \
    F(best_epoch)  /* 0: none yet */                                                                                           \
    F(stale)       /* epochs since the best */                                                                                 \
    F(plateau_stale)                                                                                                           \
    F(plateau_epochs)
#define TRAIN_STATE_VALUES(F)                                                                                                  \
    F(best_accuracy)  /* of validation; 0 without */                                                                           \
    F(best_loss)      /* of validation, or of training without */                                                              \
    F(plateau_factor) /* train_schedule's */                                                                                   \
    F(plateau_best)
struct train_state {
    TRAIN_STATE_COUNTS(TRAIN_FIELD)
    TRAIN_STATE_VALUES(TRAIN_FIELD)
    struct train_tally tally; /* all zero between epochs */
};

/* What is saved beside the state; model->run is the run's id. */
struct train_checkpoint {
    struct nn_model *model;
    struct train_optim *optim;
    struct train_ema *ema; /* NULL: none */
    float *grads;          /* [value_count]; left alone between steps */
};

enum rudd_status train_checkpoint_write(const char *path, const struct train_checkpoint *checkpoint,
                                        const struct train_state *state, struct rudd_error *err);
/* Fills model->values, the moments and their step counts, the average and the gradients. All or nothing: every tensor is checked before the
 * first is copied. RUDD_MISMATCH when tensors are missing, of other sizes, or unknown, or the file belongs to another run than
 * model->run. */
enum rudd_status train_checkpoint_read(struct train_checkpoint *checkpoint, struct train_state *state, const char *path,
                                       struct rudd_error *err);

#endif
