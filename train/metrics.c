/* metrics.c - measures of a classifier: formulas in metrics.h.
 *
 *     logits of a picture --train_measure_add--> sums, counts, and either the logits or histograms
 *                         --train_measure_finish--> metrics */
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

void train_metrics_calibrate(struct train_metrics *metrics, double temperature, const struct train_kept *kept)
{
    struct train_metrics *m = metrics;
    const int n = kept->count, classes = kept->classes;
    m->temperature = temperature;
    m->loss_raw = m->loss;
    m->ece_raw = m->ece;
    memcpy(m->bins_raw, m->bins, sizeof m->bins_raw);
    m->loss = 0;
    memset(m->bins, 0, sizeof m->bins);
    for (int i = 0; i < n; i++) {
        const float *x = kept->logits + (size_t)i * (size_t)classes;
        const int best = train_argmax(x, classes);
        const double norm = log_norm(x, classes, temperature);
        m->loss += (norm - x[kept->labels[i]] / temperature) / n;
        add_answer(m->bins, exp(x[best] / temperature - norm), best == kept->labels[i]);
    }
    m->ece = calibration_error(m->bins, n);
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
double train_temperature(const struct train_kept *kept, const struct train_events *events)
{
    const float *logits = kept->logits;
    const int *labels = kept->labels, n = kept->count, classes = kept->classes;
    double low = 1 / 20.0, high = 20, s = 1, first, second;
    slope(&first, &second, low, logits, labels, n, classes);
    bool inside = first < 0;
    slope(&first, &second, high, logits, labels, n, classes);
    if (!inside || first <= 0) return 1;
    for (int step = 0; step < 60 && high - low > 1e-9 * high && !train_is_stopped(events); step++) {
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

/* ---- one pass ----------------------------------------------------------------------------------------------------- */

struct train_measure {
    int n, classes, added; /* n: at most */
    size_t rows;           /* whose logits are kept */
    double temperature;    /* 0: none */
    double loss, loss_raw;
    int hits, within[2]; /* of the largest 3 and 5 */
    struct train_bin bins[TRAIN_BINS], bins_raw[TRAIN_BINS];
    int *label, *best;                /* [n] */
    int *support, *predicted, *right; /* [classes] */
    struct train_kept kept;
    double *norms; /* [n] log of the softmax's denominator, where all logits are kept */
    /* Where they are not: how many pictures have a log probability of this class in each bin, and in which bin each label's is. */
    uint32_t *histogram; /* [classes, histogram_bins] */
    int histogram_bins;
    int *label_bin; /* [n] */
};

/* Log probabilities from 0 to here are told apart. */
enum { LOWEST = 32, HISTOGRAM_BYTES = 64 << 20 };

static int count_bins(int classes)
{
    int bins = (int)(HISTOGRAM_BYTES / sizeof(uint32_t) / (size_t)classes);
    return bins > 1024 ? 1024 : bins;
}

enum rudd_status train_measure_create(struct train_measure **measure, int n, int classes, size_t keep, struct rudd_error *err)
{
    const size_t c = (size_t)classes, row = c * sizeof(float), all = (size_t)n * row;
    struct train_measure *m = rudd_zalloc(1, sizeof *m);
    bool ok = m;
    if (ok) {
        const bool keeps = all <= keep;
        const size_t rows = keeps ? (size_t)n : keep / 4 / row + 1;
        m->n = n;
        m->rows = rows - !keeps;
        m->classes = classes;
        m->kept = (struct train_kept){.classes = classes, .all = keeps};
        m->kept.logits = rudd_alloc(rows * row);
        m->kept.labels = rudd_alloc(rows * sizeof(int));
        m->label = rudd_alloc((size_t)n * sizeof(int));
        m->best = rudd_alloc((size_t)n * sizeof(int));
        m->support = rudd_zalloc(c, sizeof(int));
        m->predicted = rudd_zalloc(c, sizeof(int));
        m->right = rudd_zalloc(c, sizeof(int));
        ok = m->kept.logits && m->kept.labels && m->label && m->best && m->support && m->predicted && m->right;
        if (keeps) {
            ok = ok && (m->norms = rudd_alloc((size_t)n * sizeof *m->norms));
        } else {
            m->histogram_bins = count_bins(classes);
            ok = ok && (m->histogram = rudd_zalloc(c * (size_t)m->histogram_bins, sizeof *m->histogram));
            ok = ok && (m->label_bin = rudd_alloc((size_t)n * sizeof(int)));
        }
    }
    if (!ok) {
        train_measure_destroy(m);
        return rudd_fail(err, RUDD_NO_MEMORY, "metrics: no memory for %d pictures and %d classes", n, classes);
    }
    *measure = m;
    return RUDD_OK;
}

void train_kept_free(struct train_kept *kept)
{
    rudd_free(kept->logits);
    rudd_free(kept->labels);
    *kept = (struct train_kept){0};
}

void train_measure_destroy(struct train_measure *measure)
{
    struct train_measure *m = measure;
    if (!m) return;
    train_kept_free(&m->kept);
    rudd_free(m->label);
    rudd_free(m->best);
    rudd_free(m->support);
    rudd_free(m->predicted);
    rudd_free(m->right);
    rudd_free(m->norms);
    rudd_free(m->histogram);
    rudd_free(m->label_bin);
    rudd_free(m);
}

/* Whether picture i of n is among the `rows` evenly spaced ones, the first and not more than that. */
static bool is_spaced(int i, int n, size_t rows)
{
    return i == 0 || (size_t)i * rows / (size_t)n != (size_t)(i - 1) * rows / (size_t)n;
}

static int bin_of(const struct train_measure *m, double below) /* minus the log probability */
{
    const double bin = below * m->histogram_bins / LOWEST;
    return bin < 0 ? 0 : bin >= m->histogram_bins - 1 ? m->histogram_bins - 1 : (int)bin;
}

void train_measure_set_temperature(struct train_measure *measure, double temperature)
{
    measure->temperature = temperature;
}

void train_measure_add(struct train_measure *measure, const float *logits, int label, struct train_result *answer)
{
    struct train_measure *m = measure;
    const int i = m->added++, classes = m->classes;
    const int best = train_argmax(logits, classes), rank = train_rank(logits, classes, label);
    const double t = m->temperature > 0 ? m->temperature : 1;
    const double norm = log_norm(logits, classes, t), p = exp(logits[best] / t - norm);
    const size_t row = (size_t)classes * sizeof *logits;
    if (m->temperature > 0) {
        const double raw = log_norm(logits, classes, 1);
        m->loss_raw += raw - logits[label];
        add_answer(m->bins_raw, exp(logits[best] - raw), best == label);
    }
    m->loss += norm - logits[label] / t;
    m->hits += rank == 0;
    m->within[0] += rank < 3;
    m->within[1] += rank < 5;
    m->support[label]++;
    m->predicted[best]++;
    m->right[label] += best == label;
    m->label[i] = label;
    m->best[i] = best;
    add_answer(m->bins, p, best == label);
    *answer = (struct train_result){best, (float)p, (float)(norm - logits[label] / t)};
    if (m->kept.all)
        m->norms[i] = norm;
    else {
        for (int k = 0; k < classes; k++)
            m->histogram[(size_t)k * (size_t)m->histogram_bins + (size_t)bin_of(m, norm - logits[k] / t)]++;
        m->label_bin[i] = bin_of(m, norm - logits[label] / t);
    }
    if (m->kept.all || is_spaced(i, m->n, m->rows)) {
        memcpy(m->kept.logits + (size_t)m->kept.count * (size_t)classes, logits, row);
        m->kept.labels[m->kept.count++] = label;
    }
}

/* ---- what they say ------------------------------------------------------------------------------------------------ */

static void fill_classes(struct train_metrics *out, const struct train_measure *m)
{
    int present = 0, labelled = 0;
    for (int k = 0; k < m->classes; k++) {
        const int predicted = m->predicted[k], support = m->support[k], hits = m->right[k];
        out->per_class[k] = (struct train_class_metrics){
            .precision = predicted ? (double)hits / predicted : 0,
            .recall = support ? (double)hits / support : 0,
            .f1 = predicted + support ? 2.0 * hits / (predicted + support) : 0,
            .support = support,
        };
        present += predicted + support > 0;
        labelled += support > 0;
        out->balanced_accuracy += out->per_class[k].recall;
        out->macro_f1 += out->per_class[k].f1;
        out->weighted_f1 += out->per_class[k].f1 * support / out->images;
    }
    out->macro_f1 /= present;
    out->balanced_accuracy /= labelled;
}

static int by_label(const void *a, const void *b)
{
    const struct train_confused *x = a, *y = b;
    return x->label != y->label ? x->label - y->label : x->answer - y->answer;
}

/* list has room for one entry a picture. */
static int count_confused(struct train_confused *list, const struct train_measure *m)
{
    int n = 0;
    for (int i = 0; i < m->added; i++) list[i] = (struct train_confused){m->label[i], m->best[i], 1};
    qsort(list, (size_t)m->added, sizeof *list, by_label);
    for (int i = 0; i < m->added; i++) {
        if (n && by_label(&list[n - 1], &list[i]) == 0)
            list[n - 1].count++;
        else
            list[n++] = list[i];
    }
    return n;
}

int train_metrics_confused(const struct train_metrics *metrics, int label, int answer)
{
    const struct train_confused key = {label, answer, 0};
    const struct train_confused *found =
        bsearch(&key, metrics->confused, (size_t)metrics->confused_count, sizeof key, by_label);
    return found ? found->count : 0;
}

/* ---- area under the ROC curve -------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How many of the sorted list are below x; *equal: and how many are x. */
static int count_below(const double *list, int n, double x, int *equal)
{
    int low = 0, high = n;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (list[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    for (*equal = 0; low + *equal < n && list[low + *equal] == x;) ++*equal;
    return low;
}

/* Area of class k: of all pairs of a picture of the class and another one, how many have the larger score in the right place; equal
 * scores are half right. The pictures of a class are few: they are sorted, and each other picture is looked up among them. */
static double exact_area(const struct train_measure *m, int k, double *scores)
{
    const int positives = m->support[k], negatives = m->added - positives;
    const double t = m->temperature > 0 ? m->temperature : 1;
    double right = 0;
    int n = 0, equal;
    const float *x = m->kept.logits + k;
    for (int i = 0; i < m->added; i++)
        if (m->label[i] == k) scores[n++] = x[(size_t)i * (size_t)m->classes] / t - m->norms[i];
    qsort(scores, (size_t)n, sizeof *scores, by_value);
    for (int i = 0; i < m->added; i++) {
        if (m->label[i] == k) continue;
        const int below = count_below(scores, n, x[(size_t)i * (size_t)m->classes] / t - m->norms[i], &equal);
        right += n - below - equal / 2.0;
    }
    return right / ((double)positives * negatives);
}

/* The same from a histogram, in which `own` counts the pictures of the class. *error: half of the pairs within one bin. */
static double binned_area(const struct train_measure *m, int k, const uint32_t *own, double *error)
{
    const uint32_t *all = m->histogram + (size_t)k * (size_t)m->histogram_bins;
    const double pairs = (double)m->support[k] * (m->added - m->support[k]);
    double right = 0, together = 0, before = 0; /* before: pictures of the class with a larger score */
    for (int bin = 0; bin < m->histogram_bins; bin++) {
        const double others = all[bin] - own[bin];
        right += others * (before + own[bin] / 2.0);
        together += others * own[bin];
        before += own[bin];
    }
    *error = together / 2 / pairs;
    return right / pairs;
}

struct labelled {
    int label, bin;
};

static int by_labelled(const void *a, const void *b)
{
    return ((const struct labelled *)a)->label - ((const struct labelled *)b)->label;
}

static enum rudd_status binned_auc(struct train_metrics *out, const struct train_measure *m, const struct train_events *events,
                                   struct rudd_error *err)
{
    struct labelled *list = rudd_alloc((size_t)m->added * sizeof *list);
    uint32_t *own = rudd_alloc((size_t)m->histogram_bins * sizeof *own);
    enum rudd_status status = RUDD_OK;
    double sum = 0, error_sum = 0, error;
    int counted = 0;
    if (!list || !own) status = rudd_fail(err, RUDD_NO_MEMORY, "metrics: no memory for %d pictures", m->added);
    for (int i = 0; i < m->added && !status; i++) list[i] = (struct labelled){m->label[i], m->label_bin[i]};
    if (!status) qsort(list, (size_t)m->added, sizeof *list, by_labelled);
    for (int i = 0; i < m->added && !status;) {
        const int label = list[i].label;
        memset(own, 0, (size_t)m->histogram_bins * sizeof *own);
        for (; i < m->added && list[i].label == label; i++) own[list[i].bin]++;
        if (m->support[label] == m->added) continue;
        sum += binned_area(m, label, own, &error);
        error_sum += error;
        counted++;
        if (train_is_stopped(events)) status = rudd_fail(err, RUDD_CANCELLED, "stopped on request");
    }
    out->roc_auc = counted ? sum / counted : NAN;
    out->roc_auc_error = counted ? error_sum / counted : 0;
    rudd_free(list);
    rudd_free(own);
    return status;
}

static enum rudd_status exact_auc(struct train_metrics *out, const struct train_measure *m, const struct train_events *events,
                                  struct rudd_error *err)
{
    double *scores = rudd_alloc((size_t)m->added * sizeof *scores), sum = 0;
    int counted = 0;
    enum rudd_status status = scores ? RUDD_OK : rudd_fail(err, RUDD_NO_MEMORY, "metrics: no memory for %d pictures", m->added);
    for (int k = 0; k < m->classes && !status; k++) {
        if (!m->support[k] || m->support[k] == m->added) continue;
        sum += exact_area(m, k, scores);
        counted++;
        if (train_is_stopped(events)) status = rudd_fail(err, RUDD_CANCELLED, "stopped on request");
    }
    out->roc_auc = counted ? sum / counted : NAN;
    rudd_free(scores);
    return status;
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

enum rudd_status train_measure_finish(struct train_metrics *metrics, struct train_kept *kept, struct train_measure *measure,
                                      const struct train_events *events, struct rudd_error *err)
{
    struct train_measure *m = measure;
    const int n = m->added;
    struct train_metrics out = {.images = n, .classes = m->classes};
    out.per_class = rudd_zalloc((size_t)m->classes, sizeof *out.per_class);
    out.confused = rudd_alloc((size_t)n * sizeof *out.confused);
    if (!out.per_class || !out.confused) {
        train_metrics_free(&out);
        return rudd_fail(err, RUDD_NO_MEMORY, "metrics: no memory for %d pictures and %d classes", n, m->classes);
    }
    out.loss = m->loss / n;
    out.top1 = (double)m->hits / n;
    out.top3 = (double)m->within[0] / n;
    out.top5 = (double)m->within[1] / n;
    memcpy(out.bins, m->bins, sizeof out.bins);
    out.ece = calibration_error(m->bins, n);
    if (m->temperature > 0) {
        out.temperature = m->temperature;
        out.loss_raw = m->loss_raw / n;
        out.ece_raw = calibration_error(m->bins_raw, n);
        memcpy(out.bins_raw, m->bins_raw, sizeof out.bins_raw);
    }
    fill_classes(&out, m);
    out.confused_count = count_confused(out.confused, m);
    enum rudd_status status = m->kept.all ? exact_auc(&out, m, events, err) : binned_auc(&out, m, events, err);
    if (status) {
        train_metrics_free(&out);
        return status;
    }
    if (kept) {
        *kept = m->kept;
        m->kept = (struct train_kept){0};
    }
    *metrics = out;
    return RUDD_OK;
}

enum rudd_status train_metrics_compute(struct train_metrics *metrics, const float *logits, const int *labels, int n,
                                       int classes, struct rudd_error *err)
{
    struct train_measure *measure;
    struct train_result result;
    enum rudd_status status = train_measure_create(&measure, n, classes, TRAIN_KEPT_BYTES, err);
    if (status) return status;
    for (int i = 0; i < n; i++) train_measure_add(measure, logits + (size_t)i * (size_t)classes, labels[i], &result);
    status = train_measure_finish(metrics, NULL, measure, NULL, err);
    train_measure_destroy(measure);
    return status;
}

void train_metrics_free(struct train_metrics *metrics)
{
    rudd_free(metrics->per_class);
    rudd_free(metrics->confused);
    memset(metrics, 0, sizeof *metrics);
}
