/* serve.c - rudd-bench serve: what rudd-serve does under load, in one table, with its counters held against the load generator's own.
 *
 * The server is a process of its own, beside this program's file, on a free port; generator and server share the machine's processors, so
 * figures are those of both together.
 *
 *     uncached, 65 % cached, cached       requests a second, percentiles of the time from request to answer, 503s, errors
 *     12 megapixels                       what the server says decoding and resizing one took
 *     /health, queue full                 its percentiles while far more clients ask than may wait
 *     --swap N                            another model takes the place of the one that answers, N times; each answer is of one of them
 *     --soak SECONDS                      resident memory after warming up, and at the end
 *
 * Pictures that must not be in the cache are one JPEG with another number in a comment each time: other bytes, the same work. */
#define _GNU_SOURCE /* memmem */
#include "bench/bench.h"
#include "bench/child.h"
#include "bench/load.h"
#include "train/command.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_CLIENTS = 1024, WARM = 8 };

/* ---- what is asked ------------------------------------------------------------------------------------------------------------------- */

struct bench {
    const char *arch, *model;
    int size, classes, clients, side, flood, swaps;
    int beside; /* busy loops that run meanwhile */
    double seconds, soak;
    bool json;
    char **server_options;
    int server_option_count;

    struct bench_child child;
    struct bench_beside loops;
    struct bench_picture small, large;
    char head[256], large_head[256];
    uint8_t *warm[WARM]; /* pictures that stay the same */
    long ok, busy, hits; /* over all runs: what /metrics should say */
    long fresh;          /* pictures numbered so far */
    long errors;
    bool unequal;
};

/* Requests of one run. */
struct asking {
    struct bench *b;
    const struct bench_picture *picture;
    const char *head;
    double share; /* that shall be in the cache */
    long asked;
    bool hit[MOST_CLIENTS];
    int versions; /* swapping: one picture has one confidence under each of two versions; -1: models stay */
    char version[2][96];
    double confidence[2];
    uint8_t *body[MOST_CLIENTS];
    double decode_ms, resize_ms; /* as the last answers said, the fastest of them */
};

static void ask_predict(void *user, int client, struct bench_request *q)
{
    struct asking *a = user;
    const double before = a->share * (double)a->asked, after = a->share * (double)(a->asked + 1);
    a->hit[client] = floor(after) > floor(before);
    *q = (struct bench_request){a->head, a->b->warm[a->asked % WARM], strlen(a->head), a->picture->length};
    a->asked++;
    if (a->hit[client]) return;
    bench_picture_number(a->body[client], WARM + a->b->fresh++);
    q->body = a->body[client];
}

static double number_of(const char *body, const char *key)
{
    const char *at = strstr(body, key);
    return at ? atof(at + strlen(key)) : -1;
}

/* Whether an answer is wholly of one of two models: what the first answer of a version said, all others of it say. */
static bool of_one_model(struct asking *a, const char *text)
{
    char version[96] = "";
    const char *at = strstr(text, "\"model_version\":\"");
    const double confidence = number_of(text, "\"confidence\":");
    int i = 0;
    if (!at || sscanf(at, "\"model_version\":\"%95[^\"]", version) != 1) return false;
    while (i < a->versions && strcmp(a->version[i], version)) i++;
    if (i == 2) return false;
    if (i == a->versions) {
        memcpy(a->version[i], version, sizeof version);
        a->confidence[i] = confidence;
        a->versions++;
    }
    return a->confidence[i] == confidence;
}

/* An answer that was to come from the cache says so, and no other. */
static bool check_predict(void *user, int client, int code, const char *body, size_t length, double ms)
{
    struct asking *a = user;
    (void)ms;
    if (code != 200) return code == 503;
    char *text = rudd_alloc(length + 1);
    if (!text) return false;
    memcpy(text, body, length);
    text[length] = 0;
    const bool cached = strstr(text, "\"cached\":true") != NULL;
    bool fine = strstr(text, "\"predicted_class\":") && cached == a->hit[client];
    if (fine && a->versions >= 0) fine = of_one_model(a, text);
    const double decode = number_of(text, "\"decode_ms\":"), resize = number_of(text, "\"resize_ms\":");
    if (!cached && (a->decode_ms <= 0 || decode + resize < a->decode_ms + a->resize_ms)) {
        a->decode_ms = decode;
        a->resize_ms = resize;
    }
    rudd_free(text);
    return fine;
}

static void ask_health(void *user, int client, struct bench_request *q)
{
    static const char head[] = "GET /health HTTP/1.1\r\nHost: bench\r\n\r\n";
    (void)user, (void)client;
    *q = (struct bench_request){head, NULL, sizeof head - 1, 0};
}

/* One run of predictions, with its figures added to the sums. */
static enum rudd_status predict(struct bench *b, struct bench_load_result *result, struct asking *a, struct bench_load *load,
                                struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    a->b = b;
    for (int i = 0; i < load->clients && !status; i++) {
        a->body[i] = rudd_alloc(a->picture->length);
        if (a->body[i])
            memcpy(a->body[i], a->picture->bytes, a->picture->length);
        else
            status = rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d pictures", load->clients);
    }
    load->port = b->child.port;
    load->ask = ask_predict;
    load->answered = check_predict;
    load->user = a;
    const bool run = !status;
    if (run) status = bench_load_run(result, load, err);
    for (int i = 0; i < load->clients; i++) rudd_free(a->body[i]);
    if (status) return status;
    b->ok += result->ok;
    b->busy += result->busy;
    b->errors += result->errors;
    return RUDD_OK;
}

/* ---- the rows -------------------------------------------------------------------------------------------------------------------------- */

static void print_heading(const struct bench *b)
{
    const char *name = b->model ? b->model : b->arch;
    const int height = b->side * 3 / 4;
    printf("rudd-serve, %s, JPEG of %d x %d in %zu bytes, ", name, b->side, height, b->small.length);
    printf("%d clients, %d busy loops beside\n  %-22s", b->clients, b->beside, "");
    printf(" %10s %9s %9s %9s %9s", "requests/s", "p50 ms", "p95 ms", "p99 ms", "answers");
    printf(" %7s %7s\n", "busy", "errors");
}

/* What every row begins with: its name and, in JSON, what ran beside. */
static void begin_row(const struct bench *b, const char *name)
{
    if (b->json)
        printf("{\"row\":\"%s\",\"beside\":%d,", name, b->beside);
    else
        printf("  %-22s", name);
}

static void print_row(const struct bench *b, const char *name, const struct bench_load_result *r)
{
    const double p50 = bench_percentile(r->ms, r->count, 0.5), p95 = bench_percentile(r->ms, r->count, 0.95),
                 p99 = bench_percentile(r->ms, r->count, 0.99), rate = r->seconds > 0 ? (double)r->ok / r->seconds : 0;
    begin_row(b, name);
    printf(b->json ? "\"requests_per_second\":%.2f,\"p50_ms\":%.3f,\"p95_ms\":%.3f,\"p99_ms\":%.3f,"
                     "\"answers\":%ld,\"busy\":%ld,\"errors\":%ld}\n"
                   : " %10.1f %9.2f %9.2f %9.2f %9ld %7ld %7ld\n",
           rate, p50, p95, p99, r->ok, r->busy, r->errors);
    fflush(stdout);
}

/* Predictions from `clients` clients, of which the share comes from the cache. */
static enum rudd_status row(struct bench *b, const char *name, double share, struct rudd_error *err)
{
    struct asking a = {.picture = &b->small, .head = b->head, .share = share, .versions = -1};
    struct bench_load load = {.clients = b->clients, .seconds = b->seconds};
    struct bench_load_result result = {0};
    enum rudd_status status = predict(b, &result, &a, &load, err);
    if (status) return status;
    print_row(b, name, &result);
    rudd_free(result.ms);
    return RUDD_OK;
}

static enum rudd_status row_large(struct bench *b, struct rudd_error *err)
{
    struct asking a = {.picture = &b->large, .head = b->large_head, .versions = -1};
    struct bench_load load = {.clients = 1, .requests = 8};
    struct bench_load_result result = {0};
    enum rudd_status status = predict(b, &result, &a, &load, err);
    if (status) return status;
    begin_row(b, "12 megapixels");
    printf(b->json ? "\"bytes\":%zu,\"decode_ms\":%.2f,\"resize_ms\":%.2f,\"errors\":%ld}\n"
                   : " %zu bytes: decode %.1f ms + resize %.1f ms; %ld errors\n",
           b->large.length, a.decode_ms, a.resize_ms, result.errors);
    rudd_free(result.ms);
    return RUDD_OK;
}

struct flood {
    struct bench *b;
    struct asking asking;
    struct bench_load load;
    struct bench_load_result result;
    atomic_bool stop;
    enum rudd_status status;
    struct rudd_error err;
};

static void *flood(void *user)
{
    struct flood *f = user;
    f->status = predict(f->b, &f->result, &f->asking, &f->load, &f->err);
    return NULL;
}

static enum rudd_status row_health(struct bench *b, struct rudd_error *err)
{
    struct flood *f = rudd_zalloc(1, sizeof *f);
    pthread_t thread;
    if (!f) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for clients");
    *f = (struct flood){.b = b, .asking = {.picture = &b->small, .head = b->head, .versions = -1}};
    f->load = (struct bench_load){.clients = b->flood, .seconds = b->seconds + 0.5, .pause_ms = 50};
    enum rudd_status status = RUDD_OK;
    if (pthread_create(&thread, NULL, flood, f)) {
        rudd_free(f);
        return rudd_fail(err, RUDD_IO, "the system starts no more threads");
    }
    const struct timespec fill = {.tv_nsec = 500 * 1000 * 1000};
    nanosleep(&fill, NULL);
    struct bench_load_result result = {0};
    const struct bench_load load = {
        .port = b->child.port, .clients = 1, .seconds = b->seconds, .pause_ms = 5, .ask = ask_health};
    status = bench_load_run(&result, &load, err);
    pthread_join(thread, NULL);
    if (!status && f->status) {
        status = f->status;
        if (err) *err = f->err;
    }
    if (!status) {
        print_row(b, "(flood)", &f->result);
        print_row(b, "/health, queue full", &result);
        b->errors += result.errors + result.busy;
    }
    rudd_free(result.ms);
    rudd_free(f->result.ms);
    rudd_free(f);
    return status;
}

/* ---- memory ------------------------------------------------------------------------------------------------------------------------------ */

/* Bytes of the child in RAM; 0: not known. */
static double resident(pid_t pid)
{
    char path[64];
    long all = 0, pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%ld %ld", &all, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Full load, half of it cached, in slices of a second or so. The first fifth, at most a minute, warms up. */
static enum rudd_status soak(struct bench *b, struct rudd_error *err)
{
    const double start = bench_now_ms(), warm_ms = fmin(60e3, b->soak * 200);
    double warm = 0, most = 0, now = 0;
    struct bench_load_result sum = {0};
    enum rudd_status status = RUDD_OK;
    struct asking a = {.picture = &b->small, .head = b->head, .share = 0.5, .versions = -1};
    while (!status && bench_now_ms() < start + b->soak * 1e3) {
        struct bench_load load = {.clients = b->clients, .seconds = 1};
        struct bench_load_result result = {0};
        status = predict(b, &result, &a, &load, err);
        rudd_free(result.ms);
        sum.ok += result.ok;
        sum.busy += result.busy;
        sum.errors += result.errors;
        now = resident(b->child.pid);
        if (bench_now_ms() < start + warm_ms || !warm) warm = now;
        most = now > most ? now : most;
    }
    if (status) return status;
    const double growth = warm > 0 ? 100 * (now / warm - 1) : 0;
    begin_row(b, "soak");
    printf(b->json ? "\"seconds\":%.0f,\"answers\":%ld,\"busy\":%ld,\"errors\":%ld,\"warm_mb\":%.2f,"
                     "\"end_mb\":%.2f,\"most_mb\":%.2f,\"growth_percent\":%.2f}\n"
                   : " %.0f s: %ld answers, %ld busy, %ld errors; resident memory %.1f MB warm, %.1f MB at the end, "
                     "%.1f MB at most: %+.2f %%\n",
           b->soak, sum.ok, sum.busy, sum.errors, warm / 1e6, now / 1e6, most / 1e6, growth);
    fflush(stdout);
    return RUDD_OK;
}

/* ---- swaps ---------------------------------------------------------------------------------------------------------------------------- */

static void ask_model(void *user, int client, struct bench_request *q)
{
    static const char head[] = "GET /model_info HTTP/1.1\r\nHost: bench\r\n\r\n";
    (void)user, (void)client;
    *q = (struct bench_request){head, NULL, sizeof head - 1, 0};
}

/* user: 96 bytes for the version. */
static bool read_version(void *user, int client, int code, const char *body, size_t length, double ms)
{
    (void)client, (void)ms;
    const char *at = code == 200 ? memmem(body, length, "\"version\":\"", 11) : NULL;
    const size_t n = at ? strcspn(at + 11, "\"") : 96;
    if (n >= 96) return false;
    memcpy(user, at + 11, n);
    ((char *)user)[n] = 0;
    return true;
}

/* Puts the other file in the model's place, and waits until the server says that it has another version. */
static enum rudd_status swap(struct bench *b, const char *file, struct rudd_error *err)
{
    char before[96] = "", now[96] = "", fresh[160];
    const struct bench_load load = {
        .port = b->child.port, .clients = 1, .requests = 1, .ask = ask_model, .answered = read_version};
    snprintf(fresh, sizeof fresh, "%s.new", b->child.model);
    for (int i = 0; i < 1500; i++) {
        struct bench_load look = load;
        struct bench_load_result result = {0};
        const struct timespec moment = {.tv_nsec = 20 * 1000 * 1000};
        look.user = i ? now : before;
        enum rudd_status status = bench_load_run(&result, &look, err);
        rudd_free(result.ms);
        if (status) return status;
        if (i && strcmp(before, now)) return RUDD_OK;
        if (!i && (link(file, fresh) || rename(fresh, b->child.model)))
            return rudd_fail(err, RUDD_IO, "%s: cannot be put in the model's place", file);
        if (!i) kill(b->child.pid, SIGHUP);
        nanosleep(&moment, NULL);
    }
    return rudd_fail(err, RUDD_MISMATCH, "the server did not take another model within half a minute");
}

static enum rudd_status row_swaps(struct bench *b, struct rudd_error *err)
{
    struct flood *f = rudd_zalloc(1, sizeof *f);
    pthread_t thread;
    if (!f) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for clients");
    *f = (struct flood){.b = b, .asking = {.picture = &b->small, .head = b->head}};
    f->load = (struct bench_load){.clients = b->clients, .stop = &f->stop};
    if (pthread_create(&thread, NULL, flood, f)) {
        rudd_free(f);
        return rudd_fail(err, RUDD_IO, "the system starts no more threads");
    }
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < b->swaps && !status; i++) status = swap(b, b->child.other[(i + 1) % 2], err);
    atomic_store(&f->stop, true);
    pthread_join(thread, NULL);
    if (!status && f->status) {
        status = f->status;
        if (err) *err = f->err;
    }
    if (!status) {
        begin_row(b, "swaps");
        printf(b->json ? "\"swaps\":%d,\"answers\":%ld,\"busy\":%ld,\"errors\":%ld,\"versions\":%d}\n"
                       : " %d under load: %ld answers, %ld busy, %ld errors; each of one of %d models\n",
               b->swaps, f->result.ok, f->result.busy, f->result.errors, f->asking.versions);
    }
    /* Back to the first: what is in the cache is its. */
    if (!status && b->swaps % 2) status = swap(b, b->child.other[0], err);
    if (!status && b->swaps > 1 && (f->asking.versions != 2 || f->asking.confidence[0] == f->asking.confidence[1]))
        status = rudd_fail(err, RUDD_MISMATCH, "answers of two models were expected, and that they differ");
    rudd_free(f->result.ms);
    rudd_free(f);
    return status;
}

/* ---- counters ------------------------------------------------------------------------------------------------------------------------------ */

static void ask_metrics(void *user, int client, struct bench_request *q)
{
    static const char head[] = "GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n";
    (void)user, (void)client;
    *q = (struct bench_request){head, NULL, sizeof head - 1, 0};
}

/* Sums over a metric's lines that hold `label` (NULL: any). */
static double metric(const char *text, const char *name, const char *label)
{
    double sum = 0;
    const size_t n = strlen(name);
    for (const char *line = text, *end; line && *line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        const size_t length = end ? (size_t)(end - line) : strlen(line);
        char copy[512];
        if (strncmp(line, name, n) || (line[n] != '{' && line[n] != ' ') || length >= sizeof copy) continue;
        memcpy(copy, line, length);
        copy[length] = 0;
        if (!label || strstr(copy, label)) sum += atof(strrchr(copy, ' ') + 1);
    }
    return sum;
}

struct counters {
    double ok, busy, predictions;
};
static bool read_counters(void *user, int client, int code, const char *body, size_t length, double ms)
{
    struct counters *c = user;
    (void)client, (void)ms;
    char *text = rudd_alloc(length + 1);
    if (!text || code != 200) {
        rudd_free(text);
        return false;
    }
    memcpy(text, body, length);
    text[length] = 0;
    static const char family[] = "rudd_http_requests_total";
    c->ok = metric(text, family, "route=\"/predict\",code=\"200\"");
    c->busy = metric(text, family, "route=\"/predict\",code=\"503\"");
    c->predictions = metric(text, "predictions_total", NULL);
    rudd_free(text);
    return true;
}

/* The server counts an answer when its last byte has gone, which may be after it was read: waits a moment for the sums to meet. */
static enum rudd_status compare(struct bench *b, struct rudd_error *err)
{
    struct counters c = {0};
    const struct bench_load load = {
        .port = b->child.port, .clients = 1, .requests = 1, .ask = ask_metrics, .answered = read_counters, .user = &c};
    bool equal = false;
    for (int i = 0; i < 20 && !equal; i++) {
        const struct timespec moment = {.tv_nsec = 50 * 1000 * 1000};
        struct bench_load_result result = {0};
        if (i) nanosleep(&moment, NULL);
        enum rudd_status status = bench_load_run(&result, &load, err);
        rudd_free(result.ms);
        if (status) return status;
        equal = c.ok == (double)b->ok && c.busy == (double)b->busy && c.predictions == (double)b->ok;
    }
    b->unequal = !equal;
    begin_row(b, "counters");
    printf(b->json ? "\"equal\":%s,\"ok\":%ld,\"ok_server\":%.0f,\"busy\":%ld,\"busy_server\":%.0f,"
                     "\"predictions_server\":%.0f}\n"
                   : " %s: %ld answers (server %.0f), %ld busy (server %.0f), predictions %.0f\n",
           b->json ? (equal ? "true" : "false") : (equal ? "equal" : "DIFFER"), b->ok, c.ok, b->busy, c.busy, c.predictions);
    return RUDD_OK;
}

/* ---- the command ----------------------------------------------------------------------------------------------------------------------------- */

static void make_head(char *head, size_t size, const struct bench_picture *p)
{
    snprintf(head, size, "POST /predict HTTP/1.1\r\nHost: bench\r\nContent-Type: image/jpeg\r\nContent-Length: %zu\r\n\r\n",
             p->length);
}

static enum rudd_status prepare(struct bench *b, struct rudd_error *err)
{
    enum rudd_status status = bench_picture_draw(&b->small, b->side, b->side * 3 / 4 + !(b->side * 3 / 4), err);
    if (!status) status = bench_picture_draw(&b->large, 4000, 3000, err);
    for (int i = 0; i < WARM && !status; i++) {
        b->warm[i] = rudd_alloc(b->small.length);
        if (!b->warm[i]) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for pictures");
        memcpy(b->warm[i], b->small.bytes, b->small.length);
        bench_picture_number(b->warm[i], i);
    }
    if (status) return status;
    make_head(b->head, sizeof b->head, &b->small);
    make_head(b->large_head, sizeof b->large_head, &b->large);
    if (!b->model) status = bench_child_models(&b->child, b->arch, b->size, b->classes, b->swaps > 0, err);
    if (!status)
        status =
            bench_child_start(&b->child, b->model ? b->model : b->child.model, b->server_options, b->server_option_count, err);
    return status;
}

/* The pictures that shall be in the cache, asked for once; they are answered uncached. */
static enum rudd_status warm(struct bench *b, struct rudd_error *err)
{
    struct asking a = {.picture = &b->small, .head = b->head, .share = 0, .versions = -1};
    struct bench_load load = {.clients = 1, .requests = WARM};
    struct bench_load_result result = {0};
    b->fresh = -WARM; /* numbers 0 .. WARM-1 */
    enum rudd_status status = predict(b, &result, &a, &load, err);
    rudd_free(result.ms);
    return status;
}

static enum rudd_status measure(struct bench *b, struct rudd_error *err)
{
    enum rudd_status status = warm(b, err);
    if (!status && !b->json) print_heading(b);
    if (!status) status = row(b, "uncached", 0, err);
    if (!status) status = row(b, "65 % cached", 0.65, err);
    if (!status) status = row(b, "cached", 1, err);
    if (!status) status = row_health(b, err);
    if (!status) status = row_large(b, err);
    if (!status && b->swaps) status = row_swaps(b, err);
    if (!status && b->soak > 0) status = soak(b, err);
    if (!status) status = compare(b, err);
    if (status) return status;
    if (b->errors) return rudd_fail(err, RUDD_MISMATCH, "%ld requests failed", b->errors);
    if (b->unequal) return rudd_fail(err, RUDD_MISMATCH, "/metrics does not count what was asked and answered");
    return RUDD_OK;
}

enum rudd_status bench_serve(int argc, char **argv, struct rudd_error *err)
{
    struct bench b = {
        .arch = "efficientnet_b4", .size = 224, .classes = 15, .clients = 4, .side = 640, .flood = 256, .seconds = 10};
    const struct nn_option rows[] = {
        {"arch", NN_OPTION_STRING, &b.arch, "NAME", 0, 0, "architecture, with random weights"},
        {"model", NN_OPTION_STRING, &b.model, "FILE", 0, 0, "model file instead"},
        {"size", NN_OPTION_INT, &b.size, "N", 16, 2048, "width and height of the random network's pictures"},
        {"classes", NN_OPTION_INT, &b.classes, "N", 1, 100000, "classes of the random network"},
        {"clients", NN_OPTION_INT, &b.clients, "N", 1, MOST_CLIENTS, "connections that ask again when they are answered"},
        {"flood", NN_OPTION_INT, &b.flood, "N", 1, MOST_CLIENTS, "clients that keep the queue full while /health is measured"},
        {"side", NN_OPTION_INT, &b.side, "N", 16, 8000, "width of the pictures that are sent; the height is three quarters"},
        {"seconds", NN_OPTION_DOUBLE, &b.seconds, "X", 0.05, 3600, "seconds for each row"},
        {"soak", NN_OPTION_DOUBLE, &b.soak, "SECONDS", 0, 1e6, "run under full load for so long and watch the memory; 0: no"},
        {"swap", NN_OPTION_INT, &b.swaps, "N", 0, 100000, "exchange models N times under load; not with --model"},
        {"beside", NN_OPTION_INT, &b.beside, "N", 0, BENCH_BESIDE_MOST, "processes that keep a processor busy meanwhile"},
        {"json", NN_OPTION_FLAG, &b.json, NULL, 0, 0, "print one JSON object for each row instead of a table"},
    };
    static const struct nn_example examples[] = {
        {"your model with 8 clients", "rudd-bench serve --model runs/1/model.safetensors --clients 8"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd-bench serve [--model FILE] [OPTION ...] [-- OPTION-OF-RUDD-SERVE ...]",
                                 .about = "Measures rudd-serve under load. Starts it on a free "
                                          "port, and compares its counters with its own: fails "
                                          "when a request failed or the counters differ. Options "
                                          "behind -- go to rudd-serve.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows,
                                 .max_arguments = -1};
    bool done;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (!status && !done) {
        signal(SIGPIPE, SIG_IGN); /* behind `| head` this must still live to stop its server */
        b.server_options = options.arguments;
        b.server_option_count = options.argument_count;
        if (b.model && b.swaps) status = rudd_fail(err, RUDD_ARGUMENT, "--swap makes its own models; leave --model out");
        if (!status) status = prepare(&b, err);
        if (!status) status = bench_beside_start(&b.loops, b.beside, err);
        if (!status) status = measure(&b, err);
        status = bench_beside_stop(&b.loops, status, err);
        status = bench_child_stop(&b.child, status, err);
    }
    for (int i = 0; i < WARM; i++) rudd_free(b.warm[i]);
    rudd_free(b.small.bytes);
    rudd_free(b.large.bytes);
    nn_options_free(&options);
    return status;
}
