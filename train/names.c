/* names.c - see names.h. */
#include "train/names.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Linux takes paths of up to 4096 bytes. A name that fills the buffer is none. */
enum { BUFFER = 1 << 16, LONGEST = 4096, PATIENCE_MS = 200 };

struct train_names {
    const char *path;
    const struct train_events *events;
    int fd;
    char separator;    /* 0 or '\n' */
    bool begun, ended; /* the first piece was seen, the last was */
    size_t at, length; /* what is left of the buffer */
    long count;        /* names given out, for messages */
    char bytes[BUFFER + 1];
};

/* As read(2), -1 with ECANCELED when a stop was asked for. */
static ssize_t read_some(int fd, void *bytes, size_t room, const struct train_events *events)
{
    struct pollfd ready = {fd, POLLIN, 0};
    for (;;) {
        if (train_is_stopped(events)) {
            errno = ECANCELED;
            return -1;
        }
        const int n = poll(&ready, 1, PATIENCE_MS);
        if (n < 0 && errno != EINTR) return -1;
        if (n <= 0) continue;
        const ssize_t got = read(fd, bytes, room);
        if (got >= 0 || (errno != EINTR && errno != EAGAIN)) return got;
    }
}

static enum rudd_status read_failed(const char *path, struct rudd_error *err)
{
    if (errno == ECANCELED) return rudd_fail(err, RUDD_CANCELLED, "%s: stopped on request while reading it", path);
    return rudd_fail(err, RUDD_IO, "%s: cannot read: %s", path, strerror(errno));
}

/* ---- lists ---------------------------------------------------------------------------------- */

enum rudd_status train_names_open(struct train_names **names, const char *path, const struct train_events *events,
                                  struct rudd_error *err)
{
    const bool standard = strcmp(path, "-") == 0;
    struct train_names *n = rudd_zalloc(1, sizeof *n);
    if (!n) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to read it", path);
    n->path = standard ? "standard input" : path;
    n->events = events;
    n->separator = '\n';
    n->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (n->fd < 0) {
        const int why = errno;
        rudd_free(n);
        return rudd_fail(err, RUDD_IO, "%s: cannot open the list: %s", path, strerror(why));
    }
    *names = n;
    return RUDD_OK;
}

/* One more piece behind what is left. */
static enum rudd_status fill(struct train_names *n, struct rudd_error *err)
{
    memmove(n->bytes, n->bytes + n->at, n->length);
    n->at = 0;
    const ssize_t got = read_some(n->fd, n->bytes + n->length, BUFFER - n->length, n->events);
    if (got < 0) return read_failed(n->path, err);
    n->ended = got == 0;
    n->length += (size_t)got;
    if (!n->begun && n->length >= 3 && !memcmp(n->bytes, "\xef\xbb\xbf", 3)) {
        n->at = 3;
        n->length -= 3;
    }
    if (!n->begun && memchr(n->bytes, 0, n->length)) n->separator = 0;
    n->begun = true;
    return RUDD_OK;
}

enum rudd_status train_names_next(const char **name, struct train_names *n, struct rudd_error *err)
{
    for (;;) {
        char *start = n->bytes + n->at, *stop = memchr(start, n->separator, n->length);
        if (!stop && !n->ended && n->length < BUFFER) {
            enum rudd_status status = fill(n, err);
            if (status) return status;
            continue;
        }
        if (!stop && !n->length) {
            *name = NULL;
            return RUDD_OK;
        }
        const size_t length = stop ? (size_t)(stop - start) : n->length, used = length + (stop != NULL);
        if (length >= LONGEST)
            return rudd_fail(err, RUDD_FORMAT, "%s: name %ld is longer than %d bytes, so this is no list of names", n->path,
                             n->count + 1, LONGEST - 1);
        if (memchr(start, 0, length))
            return rudd_fail(err, RUDD_FORMAT,
                             "%s: a 0 byte in name %ld, but the list began with lines; end all names with 0 bytes", n->path,
                             n->count + 1);
        start[length] = 0;
        if (n->separator && length && start[length - 1] == '\r') start[length - 1] = 0;
        n->at += used;
        n->length -= used;
        if (!*start) continue;
        n->count++;
        *name = start;
        return RUDD_OK;
    }
}

void train_names_close(struct train_names *n)
{
    if (!n) return;
    if (n->fd != STDIN_FILENO) close(n->fd);
    rudd_free(n);
}

/* ---- one picture ---------------------------------------------------------------------------- */

enum rudd_status train_stdin_read(uint8_t **bytes, size_t *length, size_t max, const struct train_events *events,
                                  struct rudd_error *err)
{
    uint8_t *block = NULL;
    size_t n = 0, room = 0;
    enum rudd_status status = RUDD_OK;
    for (ssize_t got = 1; !status && got;) {
        if (n == room) {
            uint8_t *larger = rudd_realloc(block, room = room ? 2 * room : BUFFER);
            if (!larger) {
                status = rudd_fail(err, RUDD_NO_MEMORY, "-: no memory for more than %zu bytes", n);
                break;
            }
            block = larger;
        }
        got = read_some(STDIN_FILENO, block + n, room - n, events);
        if (got < 0)
            status = read_failed("-", err);
        else if ((n += (size_t)got) > max)
            status = rudd_fail(err, RUDD_LIMIT, "-: more than %zu bytes are not accepted", max);
    }
    if (status) {
        rudd_free(block);
        return status;
    }
    *bytes = block;
    *length = n;
    return RUDD_OK;
}
