/* spool.c - see spool.h. */
#include "serve/spool.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { HEAD = 16, WINDOW = HEAD + SERVE_SPOOL_RECORD };
static const char magic[4] = {'R', 'S', 'P', 'L'};

struct serve_spool {
    int fd;
    char *path;
    uint64_t max, end;          /* of the file */
    uint64_t read_at, accepted; /* offsets; accepted <= read_at <= end */
    uint64_t rows, read_rows;   /* from accepted to the end; of those, read */
    uint64_t skipped;
    bool opened;              /* looked through from end to end */
    struct serve_bytes group; /* records to be written */
    uint64_t group_rows;
    uint8_t *window; /* the file's bytes from window_at on */
    uint64_t window_at;
    size_t window_size;
};

static void put32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t take32(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static uint32_t checksum(const void *bytes, size_t n)
{
    return (uint32_t)crc32(0, bytes, (uInt)n); /* n <= SERVE_SPOOL_RECORD */
}

const uint8_t *serve_spool_parse(size_t *length, size_t *at, uint64_t *skipped, const uint8_t *bytes, size_t n, bool last)
{
    for (; *at < n; ++*at, ++*skipped) {
        const uint8_t *head = bytes + *at;
        size_t rest = n - *at;
        if (rest < HEAD) {
            if (!last) return NULL;
            continue;
        }
        if (memcmp(head, magic, sizeof magic) || take32(head + 12) != checksum(head, 12)) continue;
        size_t size = take32(head + 4);
        if (size > SERVE_SPOOL_RECORD) continue;
        if (rest - HEAD < size) {
            if (!last) return NULL;
            continue;
        }
        if (take32(head + 8) != checksum(head + HEAD, size)) continue;
        *length = size;
        *at += HEAD + size;
        return head + HEAD;
    }
    return NULL;
}

/* ---- the file ---------------------------------------------------------------------------------------------------------------- */

static enum rudd_status fail(const struct serve_spool *s, const char *what, struct rudd_error *err)
{
    return rudd_fail(err, RUDD_IO, "%.300s: %s: %s", s->path, what, strerror(errno));
}

/* So that the window begins at read_at and holds a whole record, if the file does. */
static enum rudd_status fill(struct serve_spool *s, struct rudd_error *err)
{
    if (!s->window) s->window = rudd_alloc(WINDOW);
    if (!s->window) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for reading the spool");
    s->window_at = s->read_at;
    s->window_size = 0;
    uint64_t rest = s->end - s->read_at;
    size_t want = rest < WINDOW ? (size_t)rest : WINDOW;
    while (s->window_size < want) {
        ssize_t n = pread(s->fd, s->window + s->window_size, want - s->window_size, (off_t)(s->window_at + s->window_size));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(s, "cannot be read", err);
        if (n == 0) {
            s->end = s->window_at + s->window_size; /* somebody cut it */
            break;
        }
        s->window_size += (size_t)n;
    }
    return RUDD_OK;
}

enum rudd_status serve_spool_next(const uint8_t **payload, size_t *length, struct serve_spool *s, struct rudd_error *err)
{
    uint64_t again = 0; /* what is skipped was counted when the file was opened */
    *payload = NULL;
    *length = 0;
    while (s->read_at < s->end) {
        if (s->read_at < s->window_at || s->read_at >= s->window_at + s->window_size) {
            enum rudd_status status = fill(s, err);
            if (status) return status;
        }
        bool last = s->window_at + s->window_size >= s->end;
        size_t at = (size_t)(s->read_at - s->window_at);
        *payload = serve_spool_parse(length, &at, s->opened ? &again : &s->skipped, s->window, s->window_size, last);
        s->read_at = s->window_at + at;
        if (*payload) {
            s->read_rows++;
            return RUDD_OK;
        }
        s->window_size = 0; /* the record reaches beyond the window, which next begins with it */
    }
    return RUDD_OK;
}

/* Counts what an earlier process left and cuts off a torn end. */
static enum rudd_status look_through(struct serve_spool *s, struct rudd_error *err)
{
    uint64_t whole = 0;
    for (;;) {
        const uint8_t *payload;
        size_t length;
        enum rudd_status status = serve_spool_next(&payload, &length, s, err);
        if (status) return status;
        if (!payload) break;
        whole = s->read_at;
    }
    s->rows = s->read_rows;
    if (whole < s->end && ftruncate(s->fd, (off_t)whole)) return fail(s, "cannot be cut", err);
    s->end = whole;
    s->read_at = s->accepted = s->read_rows = 0;
    s->opened = true;
    s->window_size = 0;
    return RUDD_OK;
}

/* A file's name is durable when its folder is synced. */
static void sync_folder(const char *path)
{
    char *folder = rudd_strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) slash[slash == folder] = 0;
    int fd = folder ? open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    rudd_free(folder);
}

enum rudd_status serve_spool_open(struct serve_spool **spool, const char *path, size_t max, struct rudd_error *err)
{
    struct serve_spool *s = rudd_zalloc(1, sizeof *s);
    struct stat info;
    enum rudd_status status = RUDD_OK;
    if (s) {
        s->fd = -1;
        s->path = rudd_strdup(path);
        s->max = max;
    }
    if (!s || !s->path) {
        rudd_free(s);
        return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the spool");
    }
    s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->fd < 0)
        status = fail(s, "cannot be opened", err);
    else if (flock(s->fd, LOCK_EX | LOCK_NB))
        status = rudd_fail(err, RUDD_LIMIT, "%.300s: another process writes this spool; give each server its own", path);
    else if (fstat(s->fd, &info))
        status = fail(s, "cannot be looked at", err);
    if (!status) {
        s->end = (uint64_t)info.st_size;
        sync_folder(path);
        status = look_through(s, err);
    }
    if (status)
        serve_spool_close(s);
    else
        *spool = s;
    return status;
}

void serve_spool_close(struct serve_spool *s)
{
    if (!s) return;
    if (s->fd >= 0) close(s->fd);
    rudd_free(s->group.data);
    rudd_free(s->window);
    rudd_free(s->path);
    rudd_free(s);
}

enum rudd_status serve_spool_add(struct serve_spool *s, const void *payload, size_t length, bool vital, struct rudd_error *err)
{
    uint8_t head[HEAD];
    uint64_t limit = vital ? s->max : s->max - s->max / 8;
    size_t before = s->group.length;
    if (length > SERVE_SPOOL_RECORD || s->end + before + HEAD + length > limit)
        return rudd_fail(err, RUDD_LIMIT, "%.300s: the spool has no room for %zu bytes more; its limit is %llu", s->path,
                         length, (unsigned long long)s->max);
    memcpy(head, magic, sizeof magic);
    put32(head + 4, (uint32_t)length);
    put32(head + 8, checksum(payload, length));
    put32(head + 12, checksum(head, 12));
    enum rudd_status status = serve_bytes_add(&s->group, head, HEAD, SIZE_MAX);
    if (!status) status = serve_bytes_add(&s->group, payload, length, SIZE_MAX);
    if (status) {
        s->group.length = before;
        return rudd_fail(err, status, "out of memory for the spool");
    }
    s->group_rows++;
    return RUDD_OK;
}

enum rudd_status serve_spool_commit(struct serve_spool *s, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    size_t written = 0, n = s->group.length;
    while (written < n && !status) {
        ssize_t k = pwrite(s->fd, s->group.data + written, n - written, (off_t)(s->end + written));
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0)
            status = fail(s, "cannot be written", err);
        else
            written += (size_t)k;
    }
    if (!status && n && fdatasync(s->fd)) status = fail(s, "cannot be synced", err);
    if (status) {
        if (ftruncate(s->fd, (off_t)s->end)) status = fail(s, "cannot be cut back", err);
    } else {
        s->end += n;
        s->rows += s->group_rows;
    }
    s->group.length = 0;
    s->group_rows = 0;
    return status;
}

void serve_spool_rewind(struct serve_spool *s)
{
    s->read_at = s->accepted;
    s->read_rows = 0;
}

void serve_spool_accept(struct serve_spool *s)
{
    s->rows -= s->read_rows;
    s->read_rows = 0;
    s->accepted = s->read_at;
    /* A file that cannot be emptied is read again one day, which does no harm. */
    if (s->accepted == s->end && s->end && ftruncate(s->fd, 0) == 0) {
        s->accepted = s->read_at = s->end = 0;
        s->window_size = 0;
        rudd_free(s->window); /* 4 MB that may not be needed for weeks */
        s->window = NULL;
    }
}

uint64_t serve_spool_bytes(const struct serve_spool *s)
{
    return s->end;
}

uint64_t serve_spool_rows(const struct serve_spool *s)
{
    return s->rows;
}

uint64_t serve_spool_skipped(const struct serve_spool *s)
{
    return s->skipped;
}
