/* metrics.c - see metrics.h. Format: prometheus.io/docs/instrumenting/exposition_formats. */
#include "serve/metrics.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Upper bounds in seconds: from a small model on a fast machine to a large one behind a full queue. */
static const double bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
enum { BOUNDS = sizeof bounds / sizeof *bounds };

struct histogram {
    uint64_t buckets[BOUNDS + 1]; /* not cumulative; the last is beyond every bound */
    double sum;
};

static const struct {
    double below; /* confidence */
    const char *label;
} confidences[] = {{0.5, "0.0-0.5"}, {0.7, "0.5-0.7"}, {0.9, "0.7-0.9"}, {2, "0.9-1.0"}};
enum { CONFIDENCES = sizeof confidences / sizeof *confidences };

/* Every status the server sends. */
static const unsigned codes[] = {200, 304, 400, 401, 404, 405, 408, 413, 415, 422, 429, 500, 503};
enum { CODES = sizeof codes / sizeof *codes };

static const char *const stage_names[SERVE_STAGES] = {"queue", "decode", "infer"};

struct serve_metrics {
    pthread_mutex_t mutex;
    const char *const *routes;
    int route_count, class_count;
    uint64_t (*requests)[CODES];          /* [routes] */
    uint64_t (*predictions)[CONFIDENCES]; /* [classes] */
    struct histogram latency, stages[SERVE_STAGES];
};

enum rudd_status serve_metrics_create(struct serve_metrics **metrics, const char *const *routes, int route_count,
                                      struct rudd_error *err)
{
    struct serve_metrics *m = rudd_zalloc(1, sizeof *m);
    if (m) m->requests = rudd_zalloc((size_t)route_count, sizeof *m->requests);
    if (!m || !m->requests) {
        rudd_free(m);
        return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the metrics");
    }
    pthread_mutex_init(&m->mutex, NULL);
    m->routes = routes;
    m->route_count = route_count;
    *metrics = m;
    return RUDD_OK;
}

void serve_metrics_destroy(struct serve_metrics *m)
{
    if (!m) return;
    pthread_mutex_destroy(&m->mutex);
    rudd_free(m->requests);
    rudd_free(m->predictions);
    rudd_free(m);
}

enum rudd_status serve_metrics_set_classes(struct serve_metrics *m, int count, struct rudd_error *err)
{
    uint64_t(*table)[CONFIDENCES] = rudd_zalloc((size_t)count, sizeof *table);
    if (!table) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the counters of %d classes", count);
    pthread_mutex_lock(&m->mutex);
    m->predictions = table;
    m->class_count = count;
    pthread_mutex_unlock(&m->mutex);
    return RUDD_OK;
}

void serve_metrics_request(struct serve_metrics *m, int route, unsigned code)
{
    int i = 0;
    while (i < CODES && codes[i] != code) i++;
    if (i == CODES) return;
    pthread_mutex_lock(&m->mutex);
    m->requests[route][i]++;
    pthread_mutex_unlock(&m->mutex);
}

static void observe(struct histogram *h, double seconds)
{
    int i = 0;
    while (i < BOUNDS && seconds > bounds[i]) i++;
    h->buckets[i]++;
    h->sum += seconds;
}

void serve_metrics_prediction(struct serve_metrics *m, int class, double confidence, double seconds,
                              const double stages[SERVE_STAGES])
{
    int i = 0;
    while (i < CONFIDENCES - 1 && confidence >= confidences[i].below) i++;
    pthread_mutex_lock(&m->mutex);
    m->predictions[class][i]++;
    observe(&m->latency, seconds);
    for (int s = 0; stages && s < SERVE_STAGES; s++) observe(&m->stages[s], stages[s]);
    pthread_mutex_unlock(&m->mutex);
}

/* ---- text -------------------------------------------------------------------------------------------------------------------
 */

static void head(struct serve_bytes *out, const char *name, const char *type, const char *help)
{
    serve_bytes_print(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(struct serve_bytes *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    serve_bytes_print(out, "%s %.17g\n", name, value);
}

/* A label's value, quoted: backslash, quote and line end are escaped. */
static void label(struct serve_bytes *out, const char *name, const char *text)
{
    serve_bytes_print(out, "%s=\"", name);
    for (; *text; text++) serve_bytes_print(out, *text == '\n' ? "\\n" : *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    serve_bytes_print(out, "\"");
}

/* labels: "" or `stage="infer"` */
static void print_histogram(struct serve_bytes *out, const char *name, const char *labels, const struct histogram *h)
{
    const char *comma = *labels ? "," : "", *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    uint64_t count = 0;
    for (int i = 0; i < BOUNDS; i++) {
        count += h->buckets[i];
        serve_bytes_print(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, labels, comma, bounds[i], (unsigned long long)count);
    }
    count += h->buckets[BOUNDS];
    serve_bytes_print(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma, (unsigned long long)count);
    serve_bytes_print(out, "%s_sum%s%s%s %.9g\n", name, open, labels, close, h->sum);
    serve_bytes_print(out, "%s_count%s%s%s %llu\n", name, open, labels, close, (unsigned long long)count);
}

static void print_counters(struct serve_bytes *out, const struct serve_metrics *m, const struct serve_gauges *g)
{
    head(out, "predictions_total", "counter", "Predictions by top class and its probability.");
    for (int c = 0; c < m->class_count; c++)
        for (int i = 0; i < CONFIDENCES; i++) {
            if (!m->predictions[c][i]) continue;
            serve_bytes_print(out, "predictions_total{");
            label(out, "class", g->class_name(g->model, c));
            serve_bytes_print(out, ",confidence_bucket=\"%s\"} %llu\n", confidences[i].label,
                              (unsigned long long)m->predictions[c][i]);
        }
    head(out, "prediction_latency_seconds", "histogram", "From a prediction's first header to its answer.");
    print_histogram(out, "prediction_latency_seconds", "", &m->latency);
    head(out, "rudd_stage_seconds", "histogram", "Parts of a prediction: waiting, pixels, network.");
    for (int s = 0; s < SERVE_STAGES; s++) {
        char labels[32];
        snprintf(labels, sizeof labels, "stage=\"%s\"", stage_names[s]);
        print_histogram(out, "rudd_stage_seconds", labels, &m->stages[s]);
    }
    head(out, "rudd_http_requests_total", "counter", "Answers by route and status.");
    for (int r = 0; r < m->route_count; r++)
        for (int i = 0; i < CODES; i++)
            if (m->requests[r][i])
                serve_bytes_print(out, "rudd_http_requests_total{route=\"%s\",code=\"%u\"} %llu\n", m->routes[r], codes[i],
                                  (unsigned long long)m->requests[r][i]);
}

/* Linux: the second number of /proc/self/statm, in pages. 0 elsewhere. */
static double resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (fscanf(f, "%*u %lu", &pages) != 1) pages = 0;
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void print_process(struct serve_bytes *out, const struct serve_gauges *g)
{
    struct rusage use;
    gauge(out, "process_start_time_seconds", "Start, in seconds since 1970.", g->start_time);
    gauge(out, "process_resident_memory_bytes", "Memory of the process that lies in RAM.", resident_bytes());
    getrusage(RUSAGE_SELF, &use);
    head(out, "process_cpu_seconds_total", "counter", "Processor time, user and system.");
    serve_bytes_print(out, "process_cpu_seconds_total %.6f\n",
                      (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                          (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
}

enum rudd_status serve_metrics_print(struct serve_bytes *out, struct serve_metrics *m, const struct serve_gauges *g)
{
    pthread_mutex_lock(&m->mutex);
    print_counters(out, m, g);
    pthread_mutex_unlock(&m->mutex);
    gauge(out, "rudd_queue_depth", "Predictions that wait for a worker.", g->queue_depth);
    gauge(out, "rudd_queue_limit", "Predictions that may wait; more are answered 503.", g->queue_limit);
    gauge(out, "rudd_workers", "Predictions computed at a time.", g->workers);
    gauge(out, "rudd_requests_in_flight", "Requests begun and not yet answered, this one included.", g->in_flight);
    gauge(out, "rudd_ready", "1 when /ready answers 200.", g->ready);
    if (g->model_name) {
        head(out, "rudd_model_info", "gauge", "The model that answers; always 1.");
        serve_bytes_print(out, "rudd_model_info{");
        label(out, "name", g->model_name);
        serve_bytes_print(out, ",");
        label(out, "arch", g->model_arch);
        serve_bytes_print(out, ",");
        label(out, "version", g->model_version);
        serve_bytes_print(out, ",");
        label(out, "sha256", g->model_sha256);
        serve_bytes_print(out, "} 1\n");
    }
    print_process(out, g);
    return out->lost ? RUDD_NO_MEMORY : RUDD_OK;
}
