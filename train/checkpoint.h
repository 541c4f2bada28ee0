/* checkpoint.h - last.safetensors: everything that a run needs to go on as if it had never stopped.
 *
 *     <parameter>           all values, running statistics included: under their own names, so that it is a model file too
 *     rudd.ema.<parameter>  the moving average, if there is one
 *     rudd.m0.<parameter>   first moment or momentum, of trained parameters
 *     rudd.m1.<parameter>   second moment
 *     __metadata__          as a model file (weights/metadata.h), and "rudd.checkpoint": train_state as JSON, with "began", per stage
 *                           the optimiser's steps before its first, or -1
 *
 * Random choices are keyed by (seed, epoch, step), so the counters in train_state are all there is to save of them. Written
 * whole and atomically (weights_write): after any failure the checkpoint before it is intact. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "train/ema.h"
#include "train/optim.h"
#include "train/record.h"

/* Counters and the best so far; whole numbers are exact up to 2^53. */
#define TRAIN_STATE_FIELDS(F)                                                                                                  \
    F(epoch)          /* finished */                                                                                           \
    F(optim_steps)    /* taken */                                                                                              \
    F(ema_updates)    /* likewise */                                                                                           \
    F(best_epoch)     /* 0: none yet */                                                                                        \
    F(best_accuracy)  /* of validation; 0 without */                                                                           \
    F(best_loss)      /* of validation, or of training without */                                                              \
    F(stale)          /* epochs since the best */                                                                              \
    F(plateau_factor) /* train_schedule's */                                                                                   \
    F(plateau_best)                                                                                                            \
    F(plateau_stale)                                                                                                           \
    F(plateau_epochs)
struct train_state {
    TRAIN_STATE_FIELDS(TRAIN_FIELD)
};

/* What is saved beside the state; model->run is the run's id. ema NULL: none. */
struct train_checkpoint {
    struct nn_model *model;
    struct train_optim *optim;
    struct train_ema *ema;
};

enum rudd_status train_checkpoint_write(const char *path, const struct train_checkpoint *checkpoint,
                                        const struct train_state *state, struct rudd_error *err);
/* Fills model->values, the moments and their step counts, and the average. All or nothing: every tensor is checked before the
 * first is copied. RUDD_MISMATCH when tensors are missing, of other sizes, or unknown, or the file belongs to another run than
 * model->run. */
enum rudd_status train_checkpoint_read(struct train_checkpoint *checkpoint, struct train_state *state, const char *path,
                                       struct rudd_error *err);

#endif
