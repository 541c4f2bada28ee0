/* metrics.h - what the server counts, as Prometheus reads it (text format 0.0.4). All metrics are rows of metrics.def:
 *
 *     serve_metrics_add(m, SERVE_M_STORE_ERRORS, 1);               one without labels
 *     serve_metrics_add(m, SERVE_M_CACHE_HITS, 1, "redis");        a value for each label, in the row's order
 *     serve_metrics_set(m, SERVE_M_STORE_SPOOL, 17);               gauges
 *     serve_metrics_observe(m, SERVE_M_STAGES, 0.021, "decode");   histograms
 *
 * A combination of labels exists from its first use on; labels must come from sets that are small (routes, classes, key names), never
 * from what clients send. Every function is thread-safe and takes one short lock; a NULL metrics counts nothing. */
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H

#include <stdbool.h>
#include "serve/bytes.h"

#define METRIC(id, type, name, labels, help) SERVE_M_##id,
enum serve_metric {
#include "serve/metrics.def"
    SERVE_METRICS
};
#undef METRIC
enum { SERVE_LABELS = 4 }; /* that a metric has at most */

struct serve_metrics;
enum rudd_status serve_metrics_create(struct serve_metrics **metrics, struct rudd_error *err);
void serve_metrics_destroy(struct serve_metrics *metrics); /* NULL is fine */

#define serve_metrics_add(metrics, id, amount, ...)                                                                            \
    serve_metrics_change(metrics, id, false, amount, (const char *const[SERVE_LABELS + 1]){NULL, ##__VA_ARGS__})
#define serve_metrics_set(metrics, id, value, ...)                                                                             \
    serve_metrics_change(metrics, id, true, value, (const char *const[SERVE_LABELS + 1]){NULL, ##__VA_ARGS__})
#define serve_metrics_observe serve_metrics_add
/* What the three stand for. labels[1..]: the values; too few of them count as "". */
void serve_metrics_change(struct serve_metrics *metrics, enum serve_metric id, bool set, double value,
                          const char *const labels[SERVE_LABELS + 1]);

/* A finished request; route: the label of its row in the table of routes. */
void serve_metrics_request(struct serve_metrics *metrics, const char *route, unsigned code, double seconds);
/* A prediction: its top class and confidence 0..1, seconds from request to answer. */
void serve_metrics_prediction(struct serve_metrics *metrics, const char *class, double confidence, double seconds);

/* Appends the whole text, with the process's own numbers of this moment. */
enum rudd_status serve_metrics_print(struct serve_bytes *out, struct serve_metrics *metrics);
/* The name of a metric's family, for tests. */
const char *serve_metric_name(enum serve_metric id);

#endif
