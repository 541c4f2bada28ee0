/* teacher.h - the model that distillation learns from: an inference plan over the student's own input.
 *
 *     pixels as the student sees them (augmented, mixed, normalised) --teacher's plan--> logits in the student's class order
 *
 * It sees the very floats that the student sees, so its image size, mean and standard deviation must be the student's. Classes meet by
 * name. Not here: the loss (loss.h). */
#ifndef TRAIN_TEACHER_H
#define TRAIN_TEACHER_H

#include "nn/model.h"

struct train_teacher;

/* Opens the model file and plans it for batches of up to `batch`; student is read here only. memory_limit as in nn_plan_options: a quarter
 * is taken, for as many pictures at a time as it allows, or all that one picture needs.
 * RUDD_MISMATCH, with what to do, when its input or its classes are not the student's; what opening a model file says. */
enum rudd_status train_teacher_open(struct train_teacher **teacher, const char *path, const struct nn_model *student, int batch,
                                    size_t memory_limit, struct rudd_error *err);
void train_teacher_close(struct train_teacher *teacher);
size_t train_teacher_bytes(const struct train_teacher *teacher);        /* of its plan */
size_t train_teacher_weight_bytes(const struct train_teacher *teacher); /* of its prepared weights */

/* Logits [n, classes] for x [n, size, size, 3]; valid until the next call. */
const float *train_teacher_run(struct train_teacher *teacher, const float *x, int n);

#endif
