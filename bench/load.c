/* load.c - see load.h. */
#define _GNU_SOURCE /* memmem */
#include "bench/load.h"
#include "bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FIRST_ROOM = 1 << 14, MOST_ANSWER = 1 << 26, PATIENCE_MS = 60 * 1000 };

struct client {
    int fd; /* -1: not connected */
    bool asking;
    struct bench_request request;
    size_t sent;
    double began_ms, resume_ms; /* resume_ms: a pause's end; 0: none */
    char *text;                 /* the answer so far */
    size_t used, room;
};

struct run {
    const struct bench_load *load;
    struct bench_load_result *result;
    struct client *clients;
    int epoll;
    double start_ms;
    long begun;
    size_t room; /* of result->ms */
    bool no_memory;
};

/* ---- answers ------------------------------------------------------------------------------------------------------------------ */

/* The value of a header in head[n], which ends in an empty line; NULL: it has none of that name. */
static const char *header(const char *head, size_t n, const char *name)
{
    const size_t length = strlen(name);
    for (const char *line = memchr(head, '\n', n); line && (size_t)(line + 1 - head) + length < n;
         line = memchr(line + 1, '\n', n - (size_t)(line + 1 - head)))
        if (strncasecmp(line + 1, name, length) == 0 && line[1 + length] == ':') return line + 2 + length;
    return NULL;
}

long bench_answer_length(const char *text, size_t n, int *code, size_t *head)
{
    static const char begin[] = "HTTP/1.1 ";
    const size_t known = n < sizeof begin - 1 ? n : sizeof begin - 1;
    if (memcmp(text, begin, known) != 0) return -1;
    const char *end = memmem(text, n, "\r\n\r\n", 4);
    if (!end) return n > 1 << 16 ? -1 : 0;
    *head = (size_t)(end - text) + 4;
    *code = 0;
    for (size_t i = sizeof begin - 1; i < sizeof begin + 2; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        *code = *code * 10 + (text[i] - '0');
    }
    long body = 0;
    const char *value = header(text, *head, "Content-Length");
    if (!value || header(text, *head, "Transfer-Encoding")) return -1;
    while (*value == ' ') value++;
    if (*value < '0' || *value > '9') return -1;
    for (; *value >= '0' && *value <= '9'; value++) {
        body = body * 10 + (*value - '0');
        if (body > MOST_ANSWER) return -1;
    }
    return *head + (size_t)body <= n ? (long)*head + body : 0;
}

double bench_percentile(const double *ms, size_t n, double q)
{
    if (!n) return 0;
    size_t at = (size_t)(q * (double)n);
    if ((double)at < q * (double)n) at++; /* ceil */
    return ms[at < 1 ? 0 : at > n ? n - 1 : at - 1];
}

/* ---- clients -------------------------------------------------------------------------------------------------------------------- */

static int dial(int port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) || fcntl(fd, F_SETFL, O_NONBLOCK)) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static bool may_ask(const struct run *r)
{
    const struct bench_load *l = r->load;
    if (l->stop && atomic_load(l->stop)) return false;
    return !(l->requests && r->begun >= l->requests) && !(l->seconds > 0 && bench_now_ms() >= r->start_ms + l->seconds * 1e3);
}

static void hang_up(struct client *c)
{
    if (c->fd >= 0) close(c->fd); /* epoll forgets it */
    c->fd = -1;
}

static void note(struct run *r, double ms)
{
    struct bench_load_result *result = r->result;
    if (result->count == r->room) {
        const size_t room = r->room ? 2 * r->room : 4096;
        double *more = rudd_realloc(result->ms, room * sizeof *more);
        if (!more) {
            r->no_memory = true;
            return;
        }
        result->ms = more;
        r->room = room;
    }
    result->ms[result->count++] = ms;
}

/* An exchange is over: code 0 for a broken connection. */
static void settle(struct run *r, struct client *c, int code, const char *body, size_t length)
{
    const struct bench_load *l = r->load;
    const double now = bench_now_ms(), ms = now - c->began_ms;
    c->asking = false;
    c->used = 0;
    c->resume_ms = l->pause_ms > 0 ? now + l->pause_ms : 0;
    bool fine = code != 0;
    if (fine && l->answered) fine = l->answered(l->user, (int)(c - r->clients), code, body, length, ms);
    if (fine && code == 200) {
        r->result->ok++;
        note(r, ms);
    } else if (fine && code == 503) {
        r->result->busy++;
    } else {
        r->result->errors++;
        r->result->worst_code = code;
    }
}

static void watch(struct run *r, struct client *c, bool write)
{
    struct epoll_event e = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.u32 = (uint32_t)(c - r->clients)};
    epoll_ctl(r->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

/* Sends what the socket takes; EPOLLOUT tells when it takes more. */
static void push(struct run *r, struct client *c)
{
    const struct bench_request *q = &c->request;
    const size_t all = q->head_length + q->body_length;
    while (c->sent < all) {
        const size_t in_body = c->sent > q->head_length ? c->sent - q->head_length : 0;
        const size_t in_head = c->sent < q->head_length ? c->sent : q->head_length;
        struct iovec part[2] = {{(char *)(uintptr_t)q->head + in_head, q->head_length - in_head},
                                {(char *)(uintptr_t)q->body + in_body, q->body_length - in_body}};
        struct msghdr message = {.msg_iov = part, .msg_iovlen = q->body_length ? 2 : 1};
        const ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            watch(r, c, true);
            return;
        }
        if (n < 0) return; /* the answer, or its absence, is read next */
        c->sent += (size_t)n;
    }
    watch(r, c, false);
}

/* The next request; connects first where needed. False: nobody listens. */
static bool ask(struct run *r, struct client *c)
{
    c->resume_ms = 0;
    if (c->fd < 0) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)(c - r->clients)};
        c->fd = dial(r->load->port);
        if (c->fd < 0 || epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->fd, &e)) {
            hang_up(c);
            return false;
        }
    }
    r->begun++;
    r->load->ask(r->load->user, (int)(c - r->clients), &c->request);
    c->asking = true;
    c->sent = 0;
    c->began_ms = bench_now_ms();
    push(r, c);
    return true;
}

/* Reads what is there. */
static void pull(struct run *r, struct client *c)
{
    if (c->used == c->room) {
        const size_t room = c->room ? 2 * c->room : FIRST_ROOM;
        char *more = rudd_realloc(c->text, room);
        if (!more) {
            r->no_memory = true;
            return;
        }
        c->text = more;
        c->room = room;
    }
    const ssize_t n = recv(c->fd, c->text + c->used, c->room - c->used, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        hang_up(c);
        if (c->asking) settle(r, c, 0, NULL, 0);
        return;
    }
    c->used += (size_t)n;
    int code = 0;
    size_t head = 0;
    const long length = bench_answer_length(c->text, c->used, &code, &head);
    if (length == 0) return;
    if (length < 0 || !c->asking || (size_t)length != c->used) {
        hang_up(c); /* nonsense, or more than was asked for */
        settle(r, c, 0, NULL, 0);
        return;
    }
    const char *connection = header(c->text, head, "Connection");
    const bool over = connection && strncasecmp(connection + strspn(connection, " "), "close", 5) == 0;
    settle(r, c, code, c->text + head, (size_t)length - head);
    if (over) hang_up(c);
}

/* Lets every client that is free ask, where it may; returns how many are asking or pausing, or -1 when nobody listens. *wait_ms: until the
 * next pause ends. */
static int wake(struct run *r, int *wait_ms)
{
    const double now = bench_now_ms();
    int alive = 0;
    *wait_ms = 1000;
    for (int i = 0; i < r->load->clients; i++) {
        struct client *c = &r->clients[i];
        if (c->asking && now > c->began_ms + PATIENCE_MS) {
            hang_up(c);
            settle(r, c, 0, NULL, 0);
        }
        if (!c->asking && c->resume_ms <= now && may_ask(r) && !ask(r, c)) return -1;
        const bool pausing = !c->asking && c->resume_ms > now && may_ask(r);
        if (pausing && (int)(c->resume_ms - now) + 1 < *wait_ms) *wait_ms = (int)(c->resume_ms - now) + 1;
        alive += c->asking || pausing;
    }
    return alive;
}

static enum rudd_status loop(struct run *r, struct rudd_error *err)
{
    int wait_ms, alive;
    while ((alive = wake(r, &wait_ms)) > 0) {
        struct epoll_event events[64];
        const int n = epoll_wait(r->epoll, events, 64, wait_ms);
        if (n < 0 && errno != EINTR) return rudd_fail(err, RUDD_IO, "load: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            struct client *c = &r->clients[events[i].data.u32];
            if (c->fd >= 0 && events[i].events & EPOLLOUT) push(r, c);
            if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) pull(r, c);
        }
        if (r->no_memory) return rudd_fail(err, RUDD_NO_MEMORY, "load: no memory for answers");
    }
    if (alive < 0) return rudd_fail(err, RUDD_IO, "port %d: cannot connect: %s", r->load->port, strerror(errno));
    return RUDD_OK;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum rudd_status bench_load_run(struct bench_load_result *result, const struct bench_load *load, struct rudd_error *err)
{
    *result = (struct bench_load_result){0};
    struct run r = {.load = load, .result = result, .start_ms = bench_now_ms()};
    enum rudd_status status;
    r.clients = rudd_zalloc((size_t)load->clients, sizeof *r.clients);
    r.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; r.clients && i < load->clients; i++) r.clients[i].fd = -1;
    if (!r.clients)
        status = rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d clients", load->clients);
    else if (r.epoll < 0)
        status = rudd_fail(err, RUDD_IO, "load: %s", strerror(errno));
    else
        status = loop(&r, err);
    result->seconds = (bench_now_ms() - r.start_ms) / 1e3;
    for (int i = 0; r.clients && i < load->clients; i++) {
        hang_up(&r.clients[i]);
        rudd_free(r.clients[i].text);
    }
    if (r.epoll >= 0) close(r.epoll);
    rudd_free(r.clients);
    if (status) {
        rudd_free(result->ms);
        result->ms = NULL;
    } else {
        if (result->count) qsort(result->ms, result->count, sizeof *result->ms, by_value);
    }
    return status;
}
