/* evaluate.h - a model over a set of pictures: the one path for validation during training, for the final test and for
 * `rudd eval`.
 *
 *     set --loader (evaluation path)--> batches --inference plan--> logits --> metrics
 *
 * The plan is fused and folded (nn/plan.h); it sees the model's values as they are when train_evaluate is called. */
#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H

#include "data/sets/loader.h"
#include "train/events.h"
#include "train/metrics.h"

/* What came out. items index the set's pictures; those that could not be read are absent. */
struct train_evaluation {
    int count;
    int *labels, *items;          /* [count] */
    struct train_result *results; /* [count] */
    struct train_kept kept;       /* logits, of all where they are not too many (metrics.h) */
    struct train_metrics metrics;
    double seconds;
};
void train_evaluation_free(struct train_evaluation *evaluation);

/* Where a frozen part of the network has been run already: the evaluator goes on with this stage, from what source reads. */
struct train_frontier {
    int stage;
    struct data_source source; /* floats: as the stage needs */
};

struct train_evaluator;
/* Plans and loader for a model and a set whose labels are the model's; both must outlive it. frontier NULL: from the pictures, through
 * the whole network. limits are the pictures'; NULL: data_limits_default. memory_limit as in nn_plan_options, with as many pictures at a time, up to batch, as it allows. */
enum rudd_status train_evaluator_create(struct train_evaluator **evaluator, struct nn_model *model, const struct data_set *set,
                                        const struct train_frontier *frontier, const struct data_limits *limits, int batch,
                                        int threads, size_t memory_limit, struct rudd_error *err);
/* The same from pictures, for a user's --threads and --memory-limit (nn/budget.h). */
enum rudd_status train_evaluator_within(struct train_evaluator **evaluator, struct nn_model *model, const struct data_set *set,
                                        const struct data_limits *limits, int batch, int threads, size_t asked,
                                        struct rudd_error *err);
/* What its loader takes beside the plan. */
struct data_loader_needs train_evaluator_needs(const struct nn_model *model, const struct data_set *set,
                                               const struct data_limits *limits, int batch, int threads);
/* From now on each picture is judged by the mean of its probabilities over the first `views` of its views (data/image/preprocess.h): 2 adds the
 * mirror, 10 all corners and their mirrors; its logits are the logarithms of that mean. At views times the price. Not with a frontier.
 * On failure the evaluator is as before. */
enum rudd_status train_evaluator_set_views(struct train_evaluator *evaluator, int views, struct rudd_error *err);
/* From now on metrics and results are those of the network itself; before, of the model's temperature
 * where it has one. */
void train_evaluator_set_raw(struct train_evaluator *evaluator);
void train_evaluator_destroy(struct train_evaluator *evaluator);
size_t train_evaluator_bytes(const struct train_evaluator *evaluator);   /* of its plan */
struct nn_plan *train_evaluator_plan(struct train_evaluator *evaluator); /* for traces */
const struct data_loader *train_evaluator_loader(const struct train_evaluator *evaluator);

/* One pass in the set's order. phase names it in ticks; events may be NULL. RUDD_FORMAT when no picture could be read,
 * RUDD_CANCELLED when events asked to stop, RUDD_NO_MEMORY when there was none for a picture. */
enum rudd_status train_evaluate(struct train_evaluation *evaluation, struct train_evaluator *evaluator, const char *phase,
                                const struct train_events *events, struct rudd_error *err);

/* Fits the model's temperature on this evaluation, which is raw and of validation pictures, and
 * makes its metrics those of the calibrated model (train_metrics_calibrate). */
void train_evaluation_calibrate(struct train_evaluation *evaluation, struct nn_model *model, const struct train_events *events);

/* {"images","top1","top3","top5","balanced_accuracy","macro_f1","weighted_f1","loss","ece","roc_auc"}, where they are those of calibrated
 * answers also {"temperature","loss_raw","ece_raw"}, and with tables also {"per_class":[{"class",
 * "precision","recall","f1","support"}],"confusion":[[..]]}, or above TRAIN_MATRIX_CLASSES "confusion_pairs":[[true,predicted,count],..]. Where it
 * is not exact, "roc_auc_error" bounds what "roc_auc" is off. A new reference; NULL when out of memory. */
json_t *train_metrics_json(const struct train_metrics *metrics, const struct nn_class *classes, bool tables);

#endif
