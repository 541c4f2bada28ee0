/* metrics.c - measures of a classifier: formulas in metrics.h.
 *
 * One pass over the pictures fills the confusion matrix, the loss and the calibration bins; then one sort per class gives its
 * area under the ROC curve. */
#include "train/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
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

/* log sum_i exp(x_i / t). */
static double log_norm(const float *x, int count, double t)
{
    double max = x[train_argmax(x, count)], sum = 0;
    for (int i = 0; i < count; i++) sum += exp((x[i] - max) / t);
    return log(sum) + max / t;
}

static double calibration_error(const struct train_bin *bins, int n)
{
    double sum = 0;
    for (int b = 0; b < TRAIN_BINS; b++)
        if (bins[b].count) sum += fabs(bins[b].hits - bins[b].confidence) / n;
    return sum;
}

/* Bins are open below and closed above. */
static void add_answer(struct train_bin *bins, double confidence, bool hit)
{
    int b = (int)ceil(confidence * TRAIN_BINS) - 1;
    b = b < 0 ? 0 : b >= TRAIN_BINS ? TRAIN_BINS - 1 : b;
    bins[b].confidence += confidence;
    bins[b].hits += hit;
    bins[b].count++;
}

void train_metrics_calibrate(struct train_metrics *metrics, double temperature, const float *logits, const int *labels)
{
    const int n = metrics->images, classes = metrics->classes;
    metrics->temperature = temperature;
    metrics->loss_calibrated = 0;
    memset(metrics->bins_calibrated, 0, sizeof metrics->bins_calibrated);
    for (int i = 0; i < n; i++) {
        const float *x = logits + (size_t)i * (size_t)classes;
        int best = train_argmax(x, classes);
        double norm = log_norm(x, classes, temperature);
        metrics->loss_calibrated += (norm - x[labels[i]] / temperature) / n;
        add_answer(metrics->bins_calibrated, exp(x[best] / temperature - norm), best == labels[i]);
    }
    metrics->ece_calibrated = calibration_error(metrics->bins_calibrated, n);
}

/* First and second derivative of the mean loss by s = 1/T: mean of E[x] - x[label], and of Var[x], under softmax(s x). */
static void slope(double *first, double *second, double s, const float *logits, const int *labels, int n, int classes)
{
    *first = *second = 0;
    for (int i = 0; i < n; i++) {
        const float *x = logits + (size_t)i * (size_t)classes;
        double max = x[train_argmax(x, classes)], sum = 0, mean = 0, square = 0;
        for (int k = 0; k < classes; k++) {
            double d = x[k] - max, e = exp(s * d);
            sum += e;
            mean += e * d;
            square += e * d * d;
        }
        mean /= sum;
        *first += (mean - (x[labels[i]] - max)) / n;
        *second += (square / sum - mean * mean) / n;
    }
}

/* The loss is convex in s = 1/T, so its slope rises: Newton's steps, kept within a bracket that each one narrows. */
double train_temperature(const float *logits, const int *labels, int n, int classes)
{
    double low = 1 / 20.0, high = 20, s = 1, first, second;
    slope(&first, &second, low, logits, labels, n, classes);
    bool inside = first < 0;
    slope(&first, &second, high, logits, labels, n, classes);
    if (!inside || first <= 0) return 1;
    for (int step = 0; step < 60 && high - low > 1e-9 * high; step++) {
        slope(&first, &second, s, logits, labels, n, classes);
        if (first > 0) high = s;
        if (first < 0) low = s;
        if (first == 0) break;
        double next = second > 0 ? s - first / second : INFINITY;
        if (next > low && next < high && fabs(next - s) < 1e-9 * s) break;
        s = next > low && next < high ? next : sqrt(low * high);
    }
    char text[32];
    snprintf(text, sizeof text, "%.6g", 1 / s);
    return strtod(text, NULL);
}

static void fill_classes(struct train_metrics *m)
{
    int present = 0, labelled = 0, c = m->classes;
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
        labelled += support > 0;
        m->balanced_accuracy += m->per_class[k].recall;
        m->macro_f1 += m->per_class[k].f1;
        m->weighted_f1 += m->per_class[k].f1 * support / m->images;
    }
    m->macro_f1 /= present;
    m->balanced_accuracy /= labelled;
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
    int hits = 0, within[2] = {0};
    for (int i = 0; i < n; i++) {
        const float *x = logits + (size_t)i * classes;
        int best = train_argmax(x, classes), rank = train_rank(x, classes, labels[i]);
        norms[i] = train_log_softmax(p, x, classes);
        m.loss += (norms[i] - x[labels[i]]) / n;
        m.confusion[(size_t)labels[i] * classes + best]++;
        hits += rank == 0;
        within[0] += rank < 3;
        within[1] += rank < 5;
        add_answer(m.bins, p[best], best == labels[i]);
    }
    m.top1 = (double)hits / n;
    m.top3 = (double)within[0] / n;
    m.top5 = (double)within[1] / n;
    m.ece = calibration_error(m.bins, n);
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
