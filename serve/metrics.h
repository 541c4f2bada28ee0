/* metrics.h - what the server counts, as Prometheus reads it (text format 0.0.4).
 *
 *     predictions_total{class,confidence_bucket}     prediction_latency_seconds (histogram, request to answer)
 *     rudd_http_requests_total{route,code}           rudd_stage_seconds{stage="queue|decode|infer"} (histogram)
 *     gauges that the caller passes in, and the process's own
 *
 * Every function is thread-safe; counting takes one short lock. */
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H

#include <stdbool.h>
#include "serve/bytes.h"

enum serve_stage { SERVE_QUEUE, SERVE_DECODE, SERVE_INFER, SERVE_STAGES };

struct serve_metrics;
/* routes: the labels of route 0..route_count-1, which must outlive the metrics; rows that share a label are added up by giving
 * the same index. */
enum rudd_status serve_metrics_create(struct serve_metrics **metrics, const char *const *routes, int route_count,
                                      struct rudd_error *err);
void serve_metrics_destroy(struct serve_metrics *metrics);
/* Makes room for predictions of count classes; once, before the first prediction. */
enum rudd_status serve_metrics_set_classes(struct serve_metrics *metrics, int count, struct rudd_error *err);

void serve_metrics_request(struct serve_metrics *metrics, int route, unsigned code);
/* class: index of the top class; confidence 0..1; stages in seconds; NULL for one that came from the cache. */
void serve_metrics_prediction(struct serve_metrics *metrics, int class, double confidence, double seconds,
                              const double stages[SERVE_STAGES]);

/* What the text says of the moment, gathered by the caller. */
struct serve_gauges {
    int queue_depth, queue_limit, workers, ready, in_flight;
    double start_time;                                                  /* seconds since 1970 */
    const char *model_name, *model_arch, *model_version, *model_sha256; /* name NULL: no model yet */
    const char *(*class_name)(const void *model, int index);
    const void *model;
};
/* Appends the whole text. */
enum rudd_status serve_metrics_print(struct serve_bytes *out, struct serve_metrics *metrics, const struct serve_gauges *gauges);

#endif
