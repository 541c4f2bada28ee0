/* metrics.c - measures of a classifier: formulas in metrics.h.
 *
 * One pass over the pictures fills the confusion matrix, the loss and the calibration bins; then one sort per class gives its
 * area under the ROC curve. */
#include "train/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int train_argmax(const float *x, int count)
{
    int best = 0;
    for (int i = 1; i < count; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

int train_rank(const float *x, int count, int label)
{
    int before = 0;
    for (int i = 0; i < count; i++) before += x[i] > x[label] || (x[i] == x[label] && i < label);
    return before;
}

double train_log_softmax(double *p, const float *x, int count)
{
    double max = x[train_argmax(x, count)], sum = 0;
    for (int i = 0; i < count; i++) sum += exp(x[i] - max);
    for (int i = 0; p && i < count; i++) p[i] = exp(x[i] - max) / sum;
    return log(sum) + max;
}

enum { BINS = 15 };
struct bin {
    double confidence;
    int hits, count;
};

static double calibration_error(const struct bin *bins, int n)
{
    double sum = 0;
    for (int b = 0; b < BINS; b++)
        if (bins[b].count) sum += fabs(bins[b].hits - bins[b].confidence) / n;
    return sum;
}

static void fill_classes(struct train_metrics *m)
{
    int present = 0, c = m->classes;
    for (int k = 0; k < c; k++) {
        int predicted = 0, support = 0, hits = m->confusion[(size_t)k * c + k];
        for (int j = 0; j < c; j++) {
            support += m->confusion[(size_t)k * c + j];
            predicted += m->confusion[(size_t)j * c + k];
        }
        m->per_class[k] = (struct train_class_metrics){
            .precision = predicted ? (double)hits / predicted : 0,
            .recall = support ? (double)hits / support : 0,
            .f1 = predicted + support ? 2.0 * hits / (predicted + support) : 0,
            .support = support,
        };
        present += predicted + support > 0;
        m->macro_f1 += m->per_class[k].f1;
        m->weighted_f1 += m->per_class[k].f1 * support / m->images;
    }
    m->macro_f1 /= present;
}

struct score {
    double p;
    bool positive;
};

static int by_score(const void *a, const void *b)
{
    double x = ((const struct score *)a)->p, y = ((const struct score *)b)->p;
    return (x > y) - (x < y);
}

/* Area = (sum of the positives' ranks - P(P+1)/2) / (P*N), equal scores sharing their mean rank. NaN without both kinds. */
static double area(struct score *scores, int n)
{
    double ranks = 0, positives = 0;
    qsort(scores, (size_t)n, sizeof *scores, by_score);
    for (int i = 0, j; i < n; i = j) {
        int inside = 0;
        for (j = i; j < n && scores[j].p == scores[i].p; j++) inside += scores[j].positive;
        ranks += inside * (i + 1 + j) / 2.0; /* ranks i+1 .. j */
        positives += inside;
    }
    if (positives == 0 || positives == n) return NAN;
    return (ranks - positives * (positives + 1) / 2) / (positives * (n - positives));
}

static double roc_auc(const float *logits, const int *labels, struct score *scores, const double *norms, int n, int classes)
{
    double sum = 0;
    int counted = 0;
    for (int k = 0; k < classes; k++) {
        for (int i = 0; i < n; i++) scores[i] = (struct score){logits[(size_t)i * classes + k] - norms[i], labels[i] == k};
        double a = area(scores, n);
        if (isnan(a)) continue;
        sum += a;
        counted++;
    }
    return counted ? sum / counted : NAN;
}

enum rudd_status train_metrics_compute(struct train_metrics *metrics, const float *logits, const int *labels, int n,
                                       int classes, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    struct bin bins[BINS] = {{0}};
    struct train_metrics m = {.images = n, .classes = classes};
    double *p = rudd_zalloc((size_t)classes, sizeof *p);
    double *norms = rudd_zalloc((size_t)n, sizeof *norms); /* log of the softmax's denominator */
    struct score *scores = rudd_zalloc((size_t)n, sizeof *scores);
    m.per_class = rudd_zalloc((size_t)classes, sizeof *m.per_class);
    m.confusion = rudd_zalloc((size_t)classes * (size_t)classes, sizeof *m.confusion);
    if (!p || !norms || !scores || !m.per_class || !m.confusion) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "metrics: no memory for %d pictures and %d classes", n, classes);
        goto done;
    }
    int hits = 0, near = 0;
    for (int i = 0; i < n; i++) {
        const float *x = logits + (size_t)i * classes;
        int best = train_argmax(x, classes), rank = train_rank(x, classes, labels[i]);
        norms[i] = train_log_softmax(p, x, classes);
        m.loss += (norms[i] - x[labels[i]]) / n;
        m.confusion[(size_t)labels[i] * classes + best]++;
        hits += rank == 0;
        near += rank < TRAIN_TOP;
        int b = (int)ceil(p[best] * BINS) - 1; /* bins are open below and closed above */
        bins[b < 0 ? 0 : b].confidence += p[best];
        bins[b < 0 ? 0 : b].hits += best == labels[i];
        bins[b < 0 ? 0 : b].count++;
    }
    m.top1 = (double)hits / n;
    m.top3 = (double)near / n;
    m.ece = calibration_error(bins, n);
    fill_classes(&m);
    m.roc_auc = roc_auc(logits, labels, scores, norms, n, classes);
    *metrics = m;
    m = (struct train_metrics){0};
done:
    train_metrics_free(&m);
    rudd_free(p);
    rudd_free(norms);
    rudd_free(scores);
    return status;
}

void train_metrics_free(struct train_metrics *metrics)
{
    rudd_free(metrics->per_class);
    rudd_free(metrics->confusion);
    memset(metrics, 0, sizeof *metrics);
}
