/* metrics.c - see metrics.h. Format: prometheus.io/docs/instrumenting/exposition_formats.
 *
 *     families[id] -> series -> series -> ...      one series for each combination of labels, in order of first use
 *     buckets[hash(id, labels)] -> the same series, to find them
 *
 * Series without labels, and those whose label values the table names, exist from the start, so that their first scrape says 0 rather than
 * nothing. */
#include "serve/metrics.h"
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum type { COUNTER, GAUGE, INFO, SECONDS, SIZES };

static const struct family {
    enum type type;
    const char *name, *labels, *help;
} families[SERVE_METRICS] = {
#define METRIC(id, type, name, labels, help) {type, name, labels, help},
#include "serve/metrics.def"
#undef METRIC
};

enum { BOUNDS = 14 };
/* Upper bounds, 0 at the end: from a cached answer to a large model behind a full queue; of batches. */
static const double seconds_bounds[BOUNDS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
static const double sizes_bounds[BOUNDS] = {1, 2, 4, 8, 16, 32, 64, 128, 256};

static const struct {
    double below; /* confidence */
    const char *label;
} confidences[] = {{0.5, "0.0-0.5"}, {0.7, "0.5-0.7"}, {0.9, "0.7-0.9"}, {2, "0.9-1.0"}};
enum { CONFIDENCES = sizeof confidences / sizeof *confidences };

struct series {
    struct series *next, *chain; /* in the family; in the bucket */
    enum serve_metric id;
    double value;            /* a histogram's sum */
    uint64_t counts[BOUNDS]; /* a histogram's, not cumulative; the last used is beyond every bound */
    char labels[];           /* the values, each with its 0 */
};

enum { BUCKETS = 1024, MAX_SERIES = 32768 };
struct serve_metrics {
    pthread_mutex_t mutex;
    struct series *first[SERVE_METRICS], **last[SERVE_METRICS];
    struct series *buckets[BUCKETS];
    int count;
};

static int label_count(enum serve_metric id)
{
    const char *names = families[id].labels;
    int n = *names != 0;
    for (; *names; names++) n += *names == ',';
    return n;
}

static const double *bounds_of(enum serve_metric id)
{
    return families[id].type == SECONDS ? seconds_bounds : families[id].type == SIZES ? sizes_bounds : NULL;
}

/* FNV-1a over the values and their ends. */
static unsigned bucket_of(enum serve_metric id, int n, const char *const labels[])
{
    uint32_t h = 2166136261u ^ (uint32_t)id;
    for (int i = 0; i < n; i++)
        for (const char *p = labels[i] ? labels[i] : "";; p++) {
            h = (h ^ (unsigned char)*p) * 16777619u;
            if (!*p) break;
        }
    return h % BUCKETS;
}

static bool same_labels(const struct series *s, int n, const char *const labels[])
{
    const char *have = s->labels;
    for (int i = 0; i < n; i++, have += strlen(have) + 1)
        if (strcmp(have, labels[i] ? labels[i] : "")) return false;
    return true;
}

/* Finds or makes it; NULL when there is no memory, or there are so many that somebody counts what he should not. */
static struct series *find(struct serve_metrics *m, enum serve_metric id, const char *const labels[])
{
    int n = label_count(id);
    struct series **bucket = &m->buckets[bucket_of(id, n, labels)], *s = *bucket;
    while (s && (s->id != id || !same_labels(s, n, labels))) s = s->chain;
    if (s || m->count == MAX_SERIES) return s;
    size_t size = 0;
    for (int i = 0; i < n; i++) size += strlen(labels[i] ? labels[i] : "") + 1;
    s = rudd_zalloc(1, sizeof *s + size);
    if (!s) return NULL;
    s->id = id;
    char *to = s->labels;
    for (int i = 0; i < n; i++) to = stpcpy(to, labels[i] ? labels[i] : "") + 1;
    s->chain = *bucket;
    *bucket = s;
    *m->last[id] = s;
    m->last[id] = &s->next;
    m->count++;
    return s;
}

/* The series that there are before anything happens; false: no memory. */
static bool begin_family(struct serve_metrics *m, enum serve_metric id)
{
    const char *value = strchr(families[id].labels, '=');
    if (!label_count(id)) return families[id].type == GAUGE || find(m, id, NULL);
    while (value) {
        char text[32];
        size_t n = strcspn(++value, "|");
        snprintf(text, sizeof text, "%.*s", (int)n, value);
        if (!find(m, id, (const char *[]){text})) return false;
        value = value[n] ? value + n : NULL;
    }
    return true;
}

enum rudd_status serve_metrics_create(struct serve_metrics **metrics, struct rudd_error *err)
{
    struct serve_metrics *m = rudd_zalloc(1, sizeof *m);
    if (!m) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the metrics");
    pthread_mutex_init(&m->mutex, NULL);
    for (int id = 0; id < SERVE_METRICS; id++) m->last[id] = &m->first[id];
    for (int id = 0; id < SERVE_METRICS; id++)
        if (!begin_family(m, id)) {
            serve_metrics_destroy(m);
            return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the metrics");
        }
    serve_metrics_set(m, SERVE_M_BUILD_INFO, 1, RUDD_VERSION);
    *metrics = m;
    return RUDD_OK;
}

void serve_metrics_destroy(struct serve_metrics *m)
{
    if (!m) return;
    for (int id = 0; id < SERVE_METRICS; id++)
        for (struct series *s = m->first[id], *next; s; s = next) {
            next = s->next;
            rudd_free(s);
        }
    pthread_mutex_destroy(&m->mutex);
    rudd_free(m);
}

void serve_metrics_change(struct serve_metrics *m, enum serve_metric id, bool set, double value,
                          const char *const labels[SERVE_LABELS + 1])
{
    if (!m) return;
    const double *bounds = bounds_of(id);
    pthread_mutex_lock(&m->mutex);
    struct series *s = find(m, id, labels + 1);
    if (s && bounds) {
        int i = 0;
        while (bounds[i] > 0 && value > bounds[i]) i++;
        s->counts[i]++;
    }
    if (s) s->value = set ? value : s->value + value;
    pthread_mutex_unlock(&m->mutex);
}

void serve_metrics_request(struct serve_metrics *m, const char *route, unsigned code, double seconds)
{
    char text[16];
    snprintf(text, sizeof text, "%u", code);
    serve_metrics_add(m, SERVE_M_REQUESTS, 1, route, text);
    serve_metrics_observe(m, SERVE_M_REQUEST_SECONDS, seconds, route);
}

void serve_metrics_prediction(struct serve_metrics *m, const char *class, double confidence, double seconds)
{
    int i = 0;
    while (i < CONFIDENCES - 1 && confidence >= confidences[i].below) i++;
    serve_metrics_add(m, SERVE_M_PREDICTIONS, 1, class, confidences[i].label);
    serve_metrics_observe(m, SERVE_M_LATENCY, seconds);
}

const char *serve_metric_name(enum serve_metric id)
{
    return families[id].name;
}

/* ---- the process ---------------------------------------------------------------------------------------------------- */

/* Linux: sizes from /proc/self/statm and counts of its folders; what cannot be read is not set. */
static void set_process(struct serve_metrics *m)
{
    unsigned long pages = 0, resident = 0;
    static const struct {
        const char *folder;
        enum serve_metric id;
        int more; /* entries that are not counted: . and .., and the descriptor of the folder itself */
    } folders[] = {{"/proc/self/task", SERVE_M_THREADS, 2}, {"/proc/self/fd", SERVE_M_OPEN_FDS, 3}};
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lu %lu", &pages, &resident) == 2) {
        serve_metrics_set(m, SERVE_M_VIRTUAL, (double)pages * (double)sysconf(_SC_PAGESIZE));
        serve_metrics_set(m, SERVE_M_RESIDENT, (double)resident * (double)sysconf(_SC_PAGESIZE));
    }
    if (f) fclose(f);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        DIR *d = opendir(folders[i].folder);
        if (!d) continue;
        int count = -folders[i].more;
        while (readdir(d)) count++;
        closedir(d);
        serve_metrics_set(m, folders[i].id, count);
    }
    struct rusage use;
    struct rlimit files;
    getrusage(RUSAGE_SELF, &use);
    serve_metrics_set(m, SERVE_M_CPU,
                      (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                          (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    if (!getrlimit(RLIMIT_NOFILE, &files)) serve_metrics_set(m, SERVE_M_MAX_FDS, (double)files.rlim_cur);
}

/* ---- text ------------------------------------------------------------------------------------------------------------- */

/* name="value",name="value"; a value's backslashes, quotes and line ends are escaped. */
static void print_labels(struct serve_bytes *out, const struct series *s)
{
    const char *value = s->labels;
    for (const char *name = families[s->id].labels; *name; value++) {
        size_t n = strcspn(name, ",");
        serve_bytes_print(out, "%.*s=\"", (int)strcspn(name, ",="), name);
        for (; *value; value++)
            serve_bytes_print(out, *value == '\n' ? "\\n" : *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
        serve_bytes_print(out, "\"%s", name[n] ? "," : "");
        name += n + (name[n] != 0);
    }
}

/* name_suffix{labels} value, with an upper bound `le` when there is one. */
static void print_line(struct serve_bytes *out, const struct series *s, const char *suffix, const char *le, double value)
{
    bool labels = *families[s->id].labels != 0;
    serve_bytes_print(out, "%s%s%s", families[s->id].name, suffix, labels || le ? "{" : "");
    print_labels(out, s);
    if (le) serve_bytes_print(out, "%sle=\"%s\"", labels ? "," : "", le);
    serve_bytes_print(out, "%s %.15g\n", labels || le ? "}" : "", value);
}

static void print_histogram(struct serve_bytes *out, const struct series *s, const double *bounds)
{
    uint64_t count = 0;
    int i = 0;
    for (; bounds[i] > 0; i++) {
        char le[32];
        snprintf(le, sizeof le, "%g", bounds[i]);
        print_line(out, s, "_bucket", le, (double)(count += s->counts[i]));
    }
    count += s->counts[i];
    print_line(out, s, "_bucket", "+Inf", (double)count);
    print_line(out, s, "_sum", NULL, s->value);
    print_line(out, s, "_count", NULL, (double)count);
}

enum rudd_status serve_metrics_print(struct serve_bytes *out, struct serve_metrics *m)
{
    static const char *const types[] = {"counter", "gauge", "gauge", "histogram", "histogram"};
    set_process(m);
    pthread_mutex_lock(&m->mutex);
    for (int id = 0; id < SERVE_METRICS; id++) {
        const struct family *f = &families[id];
        const double *bounds = bounds_of(id);
        serve_bytes_print(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, types[f->type]);
        for (const struct series *s = m->first[id]; s; s = s->next)
            if (bounds)
                print_histogram(out, s, bounds);
            else if (f->type != INFO || s->value != 0)
                print_line(out, s, "", NULL, s->value);
    }
    pthread_mutex_unlock(&m->mutex);
    return out->lost ? RUDD_NO_MEMORY : RUDD_OK;
}
