/* metrics.h - how good a classifier is, from its logits [n, classes] and the true labels [n].
 *
 *     top1, top3, top5   share of pictures whose label is the largest, or among the k largest; of equals the first comes first
 *     precision_c   hits_c / predicted_c     recall_c = hits_c / support_c     f1_c = 2 hits_c / (predicted_c + support_c)
 *     macro_f1      mean of f1_c over classes that occur among labels or predictions (scikit-learn's reading)
 *     weighted_f1   mean weighted by support
 *     loss          mean of -log softmax(logits)[label]: plain cross-entropy, no smoothing, no class weights
 *     balanced_accuracy   mean of recall_c over classes that occur among labels
 *     ece           sum_b |b|/n * |accuracy_b - confidence_b| over 15 equal bins of the largest probability; arXiv:1706.04599
 *     roc_auc       mean over classes with both kinds of pictures of the one-vs-rest area (Mann-Whitney's U with ties at half)
 *
 * A temperature T > 0 divides the logits. It changes no answer, only how sure it sounds: fitted on
 * validation pictures by least loss, it makes "90 %" right nine times in ten (arXiv:1706.04599,
 * section 4.2). Where T is given, every figure is that of softmax(logits / T), as the model answers;
 * loss_raw and ece_raw are those of softmax(logits).
 *
 * 0/0 counts as 0. Everything is summed in double, in order.
 *
 * Answers are added one by one and need not be kept: of 20,000 classes and 60,000 pictures the logits
 * take 4.8 GB. Where they fit TRAIN_KEPT_BYTES all are kept, and every figure is exact. Where they do
 * not, two figures change their method:
 *
 *     roc_auc       from histograms of each class's log probabilities; scores within one bin count as
 *                   equal. roc_auc_error bounds what that can change.
 *     temperature   fitted on evenly spaced pictures whose logits take a quarter of
 *                   TRAIN_KEPT_BYTES */
#ifndef TRAIN_METRICS_H
#define TRAIN_METRICS_H

#include <stdint.h>
#include "nn/rudd.h"
#include "train/events.h"

enum { TRAIN_KEPT_BYTES = 256 << 20 };
/* Up to so many classes there is a matrix of confusions; above, a list. */
enum { TRAIN_MATRIX_CLASSES = 200 };

struct train_class_metrics {
    double precision, recall, f1;
    int support;
};
/* Answers whose largest probability is in ((b) / BINS, (b + 1) / BINS]. */
enum { TRAIN_BINS = 15 };
struct train_bin {
    double confidence; /* sum of the probabilities */
    int hits, count;
};
struct train_confused {
    int label, answer, count;
};
struct train_metrics {
    int images, classes;
    double top1, top3, top5, balanced_accuracy, macro_f1, weighted_f1, loss, ece;
    double roc_auc;       /* NaN when no class has both kinds */
    double roc_auc_error; /* 0: exact */
    struct train_bin bins[TRAIN_BINS];
    double temperature; /* 0: none, and the next three mean nothing */
    double loss_raw, ece_raw;
    struct train_bin bins_raw[TRAIN_BINS];
    struct train_class_metrics *per_class;
    struct train_confused *confused; /* label and answer that occur together, by label, then answer; right ones too */
    int confused_count;
};

/* What came out for one picture. */
struct train_result {
    int best;         /* the class of the largest logit */
    float confidence; /* its probability */
    float surprise;   /* -log of the label's */
};

/* Logits that were kept. */
struct train_kept {
    float *logits; /* [count, classes] */
    int *labels;   /* [count] */
    int count, classes;
    bool all;
};

struct train_measure; /* metrics under way */
/* For at most n pictures. keep: bytes of logits that may be kept, TRAIN_KEPT_BYTES but in tests; a
 * quarter of it where not all fit. RUDD_NO_MEMORY. */
enum rudd_status train_measure_create(struct train_measure **measure, int n, int classes, size_t keep, struct rudd_error *err);
/* From the first picture on, logits are divided by this temperature; 0: they are not. */
void train_measure_set_temperature(struct train_measure *measure, double temperature);
/* The next picture's logits [classes]; label within 0..classes-1. */
void train_measure_add(struct train_measure *measure, const float *logits, int label, struct train_result *answer);
/* Metrics of what was added, one picture at least. kept (may be NULL) takes the logits over.
 * RUDD_CANCELLED when events (may be NULL) asked to stop, RUDD_NO_MEMORY. */
enum rudd_status train_measure_finish(struct train_metrics *metrics, struct train_kept *kept, struct train_measure *measure,
                                      const struct train_events *events, struct rudd_error *err);
void train_measure_destroy(struct train_measure *measure); /* NULL is fine */
void train_kept_free(struct train_kept *kept);
/* The metrics of logits [n, classes] that lie there already. */
enum rudd_status train_metrics_compute(struct train_metrics *metrics, const float *logits, const int *labels, int n,
                                       int classes, struct rudd_error *err);
/* How often pictures of class label got the answer. */
int train_metrics_confused(const struct train_metrics *metrics, int label, int answer);
void train_metrics_free(struct train_metrics *metrics);

/* The T that minimises the loss of logits / T, with six digits, so that text keeps it; 1 when no T within 1/20 .. 20 does, as where
 * every answer is right: more pictures are needed to tell how sure is too sure. n >= 1. */
double train_temperature(const struct train_kept *kept, const struct train_events *events);
/* Metrics of plain logits become those of this temperature, all but the ROC-AUC: loss, ece and bins
 * move to *_raw and are measured again on the kept logits. */
void train_metrics_calibrate(struct train_metrics *metrics, double temperature, const struct train_kept *kept);

/* Index of the largest of x[count]; the first of equals. */
int train_argmax(const float *x, int count);
/* How many of x[count] stand before x[label]: 0 when it is the first. Equal values stand before by lower index. */
int train_rank(const float *x, int count, int label);
/* p = softmax(x) in double; returns log(sum exp(x - max)) + max, so that -log p[i] = that - x[i]. p may be NULL. */
double train_log_softmax(double *p, const float *x, int count);

#endif
