/* access_log.c - see access_log.h.
 *
 * Two blocks of bytes: lines are added to one while the other is written. The writer writes no more at a time than a pipe that says it has room
 * takes whole (PIPE_BUF), so that a reader who has stopped can hold up the writer only until the log is closed. */
#include "serve/access_log.h"
#include "serve/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { MAX_WAITING = 1 << 20, FAREWELL_MS = 1000 };

struct serve_log {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    struct serve_bytes waiting;
    bool reopen, stopping;
    struct serve_metrics *metrics;
    char *path;
    /* The writer's own. */
    int fd;
    struct serve_bytes writing;
};

static int open_path(const char *path)
{
    if (!strcmp(path, "-")) return dup(STDOUT_FILENO);
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

static bool is_stopping(struct serve_log *log)
{
    pthread_mutex_lock(&log->mutex);
    bool stopping = log->stopping;
    pthread_mutex_unlock(&log->mutex);
    return stopping;
}

/* Writes all of it, unless it fails or the log is closed and the reader has stopped; the bytes written. */
static size_t write_all(struct serve_log *log, const uint8_t *data, size_t n)
{
    size_t done = 0;
    double give_up = 0;
    while (done < n) {
        struct pollfd p = {.fd = log->fd, .events = POLLOUT};
        if (poll(&p, 1, 100) <= 0) {
            if (!is_stopping(log)) continue;
            if (give_up == 0) give_up = serve_now_ms() + FAREWELL_MS;
            if (serve_now_ms() > give_up) break;
            continue;
        }
        size_t piece = n - done < PIPE_BUF ? n - done : PIPE_BUF;
        ssize_t wrote = write(log->fd, data + done, piece);
        if (wrote < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (wrote <= 0) break;
        done += (size_t)wrote;
    }
    return done;
}

static int count_lines(const uint8_t *data, size_t n)
{
    int lines = 0;
    for (size_t i = 0; i < n; i++) lines += data[i] == '\n';
    return lines;
}

static void *write_lines(void *arg)
{
    struct serve_log *log = arg;
    bool stopping = false;
    while (!stopping) {
        pthread_mutex_lock(&log->mutex);
        while (!log->waiting.length && !log->reopen && !log->stopping) pthread_cond_wait(&log->changed, &log->mutex);
        struct serve_bytes full = log->waiting;
        log->waiting = log->writing;
        log->waiting.length = 0;
        log->writing = full;
        bool reopen = log->reopen;
        log->reopen = false;
        stopping = log->stopping;
        pthread_mutex_unlock(&log->mutex);
        int fd = reopen ? open_path(log->path) : -1;
        if (fd >= 0) {
            close(log->fd);
            log->fd = fd;
        }
        size_t done = write_all(log, full.data, full.length);
        int lost = count_lines(full.data + done, full.length - done);
        if (lost) serve_metrics_add(log->metrics, SERVE_M_LOG_DROPPED, lost);
    }
    return NULL;
}

enum rudd_status serve_log_open(struct serve_log **out, const char *path, struct serve_metrics *metrics, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    struct serve_log *log = rudd_zalloc(1, sizeof *log);
    if (!log) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the access log");
    log->metrics = metrics;
    log->fd = -1;
    log->path = rudd_strdup(path);
    pthread_mutex_init(&log->mutex, NULL);
    pthread_cond_init(&log->changed, NULL);
    if (!log->path) status = rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the access log");
    if (!status && (log->fd = open_path(path)) < 0)
        status = rudd_fail(err, RUDD_IO, "--access-log %.200s: %s", path, strerror(errno));
    if (!status && pthread_create(&log->thread, NULL, write_lines, log))
        status = rudd_fail(err, RUDD_IO, "--access-log: the system starts no more threads");
    if (!status) {
        *out = log;
        return RUDD_OK;
    }
    if (log->fd >= 0) close(log->fd);
    pthread_cond_destroy(&log->changed);
    pthread_mutex_destroy(&log->mutex);
    rudd_free(log->path);
    rudd_free(log);
    return status;
}

void serve_log_close(struct serve_log *log)
{
    if (!log) return;
    pthread_mutex_lock(&log->mutex);
    log->stopping = true;
    pthread_cond_signal(&log->changed);
    pthread_mutex_unlock(&log->mutex);
    pthread_join(log->thread, NULL);
    close(log->fd);
    pthread_cond_destroy(&log->changed);
    pthread_mutex_destroy(&log->mutex);
    rudd_free(log->waiting.data);
    rudd_free(log->writing.data);
    rudd_free(log->path);
    rudd_free(log);
}

void serve_log_line(struct serve_log *log, const struct serve_bytes *line)
{
    if (!log) return;
    pthread_mutex_lock(&log->mutex);
    bool dropped = line->lost || serve_bytes_add(&log->waiting, line->data, line->length, MAX_WAITING);
    pthread_cond_signal(&log->changed);
    pthread_mutex_unlock(&log->mutex);
    serve_metrics_add(log->metrics, dropped ? SERVE_M_LOG_DROPPED : SERVE_M_LOG_LINES, 1);
}

void serve_log_reopen(struct serve_log *log)
{
    if (!log) return;
    pthread_mutex_lock(&log->mutex);
    log->reopen = true;
    pthread_cond_signal(&log->changed);
    pthread_mutex_unlock(&log->mutex);
}

/* The length of the UTF-8 character at text (RFC 3629: no overlong forms, no surrogates); 0: there is none. */
static int utf8_length(const unsigned char *text)
{
    static const struct {
        unsigned char first, last, low, high; /* lead bytes; range of the second byte */
        int length;
    } forms[] = {{0x20, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
                 {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (text[0] < forms[i].first || text[0] > forms[i].last) continue;
        int n = 1;
        if (forms[i].length > 1 && text[1] >= forms[i].low && text[1] <= forms[i].high) n++;
        while (n > 1 && n < forms[i].length && (text[n] & 0xc0) == 0x80) n++;
        return n == forms[i].length ? n : 0;
    }
    return 0;
}

void serve_log_string(struct serve_bytes *out, const char *text)
{
    serve_bytes_print(out, "\"");
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        int n = utf8_length(p);
        if (*p == '"' || *p == '\\')
            serve_bytes_print(out, "\\%c", *p);
        else if (n)
            serve_bytes_print(out, "%.*s", n, (const char *)p);
        else
            serve_bytes_print(out, *p < 0x20 ? "\\u%04x" : "\\ufffd", *p);
        p += n ? n : 1;
    }
    serve_bytes_print(out, "\"");
}
