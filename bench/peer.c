/* peer.c - see peer.h. */
#include "bench/peer.h"
#include "bench/bench.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* What follows "word " in line; NULL if it does not start so. */
static const char *after(const char *line, const char *word)
{
    size_t n = strlen(word);
    return !strncmp(line, word, n) && line[n] == ' ' && line[n + 1] ? line + n + 1 : NULL;
}

/* Copies up to the next space or the end, at most room - 1 characters, and returns what follows that space. NULL when there are none
 * or more, and when nothing follows the space. */
static const char *take_word(char *out, size_t room, const char *p)
{
    size_t n = strcspn(p, " ");
    if (!n || n >= room || (p[n] && !p[n + 1])) return NULL;
    memcpy(out, p, n);
    out[n] = 0;
    return p[n] ? p + n + 1 : p + n;
}

/* A finite number >= 0. */
static const char *take_number(double *out, const char *p)
{
    char word[40], *end;
    p = take_word(word, sizeof word, p);
    if (!p || word[0] < '0' || word[0] > '9') return NULL; /* strtod also takes signs, spaces, "inf" and "nan" */
    *out = strtod(word, &end);
    return *end || !isfinite(*out) ? NULL : p;
}

bool bench_answer_parse(struct bench_answer *answer, const char *line)
{
    const char *p;
    *answer = (struct bench_answer){.difference = -1};
    for (p = line; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127) return false;
    if ((p = after(line, "ready"))) {
        answer->kind = BENCH_READY;
        p = take_word(answer->name, sizeof answer->name, p);
        p = p ? take_word(answer->version, sizeof answer->version, p) : NULL;
        return p && !*p;
    }
    if ((p = after(line, "missing")) || (p = after(line, "failed"))) {
        answer->kind = line[0] == 'm' ? BENCH_MISSING : BENCH_FAILED;
        snprintf(answer->text, sizeof answer->text, "%s", p);
        return true;
    }
    answer->kind = BENCH_TIME;
    p = take_number(&answer->ms, line);
    if (p && *p) p = take_number(&answer->difference, p);
    return p && !*p;
}

/* ---- the process ------------------------------------------------------------------------------------------------- */

enum rudd_status bench_peer_start(struct bench_peer *peer, const char *const *argv, struct rudd_error *err)
{
    int ends[2];
    *peer = (struct bench_peer){.fd = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        return rudd_fail(err, RUDD_IO, "%s: cannot make a socket to it: %s", argv[0], strerror(errno));
    posix_spawn_file_actions_t actions;
    int failed = posix_spawn_file_actions_init(&actions);
    if (!failed) {
        failed = posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
        if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
        if (!failed) failed = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
        /* posix_spawn's prototype is older than const; it changes nothing. */
        if (!failed) failed = posix_spawnp(&peer->pid, argv[0], &actions, NULL, (char *const *)argv, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    if (failed) {
        close(ends[0]);
        peer->pid = 0;
        return rudd_fail(err, RUDD_IO, "%s: cannot start it: %s", argv[0], strerror(failed));
    }
    peer->fd = ends[0];
    return RUDD_OK;
}

void bench_peer_stop(struct bench_peer *peer)
{
    const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
    if (!peer->pid) return;
    if (peer->fd >= 0) close(peer->fd);
    bool gone = false;
    for (int i = 0; i < 300 && !gone; i++) {
        gone = waitpid(peer->pid, NULL, WNOHANG) != 0;
        if (!gone) nanosleep(&moment, NULL);
    }
    if (!gone) {
        kill(peer->pid, SIGKILL);
        while (waitpid(peer->pid, NULL, 0) < 0 && errno == EINTR) continue;
    }
    *peer = (struct bench_peer){.fd = -1};
}

/* It hung up: how it ended. Reaps it. */
static enum rudd_status explain_end(struct bench_peer *peer, struct rudd_error *err)
{
    int status = 0;
    pid_t pid = peer->pid;
    close(peer->fd);
    peer->fd = -1;
    const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
    for (int i = 0; i < 100 && pid == peer->pid; i++) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) peer->pid = 0;
        if (!ended) nanosleep(&moment, NULL);
    }
    if (peer->pid) return rudd_fail(err, RUDD_IO, "hung up without an answer");
    if (WIFSIGNALED(status)) return rudd_fail(err, RUDD_IO, "died without an answer: signal %d", WTERMSIG(status));
    return rudd_fail(err, RUDD_IO, "ended without an answer: exit status %d", WEXITSTATUS(status));
}

static enum rudd_status say(struct bench_peer *peer, const char *line, struct rudd_error *err)
{
    char text[64];
    int length = snprintf(text, sizeof text, "%s\n", line);
    /* So short that the socket takes it whole. Without a signal, when nobody reads any more. */
    if (send(peer->fd, text, (size_t)length, MSG_NOSIGNAL) == length) return RUDD_OK;
    return errno == EPIPE || errno == ECONNRESET ? explain_end(peer, err)
                                                 : rudd_fail(err, RUDD_IO, "cannot be told to run: %s", strerror(errno));
}

/* Waits until there is something to read. */
static enum rudd_status wait_for(struct bench_peer *peer, double until_ms, double seconds, struct rudd_error *err)
{
    struct pollfd p = {.fd = peer->fd, .events = POLLIN};
    double left = until_ms - bench_now_ms();
    int n = left > 0 ? poll(&p, 1, (int)left + 1) : 0;
    if (n > 0) return RUDD_OK;
    if (n == 0) return rudd_fail(err, RUDD_IO, "no answer within %.0f seconds", seconds);
    return errno == EINTR ? rudd_fail(err, RUDD_CANCELLED, "stopped by a signal")
                          : rudd_fail(err, RUDD_IO, "cannot be listened to: %s", strerror(errno));
}

enum rudd_status bench_peer_read(char line[BENCH_PEER_LINE], struct bench_peer *peer, double seconds, struct rudd_error *err)
{
    const double until_ms = bench_now_ms() + seconds * 1e3;
    enum rudd_status status = RUDD_OK;
    char *end = NULL;
    while (!status && !(end = memchr(peer->buffer, '\n', peer->used))) {
        if (peer->used == sizeof peer->buffer)
            return rudd_fail(err, RUDD_FORMAT, "a line of more than %zu characters; expected one of the protocol",
                             sizeof peer->buffer);
        status = wait_for(peer, until_ms, seconds, err);
        if (status) break;
        ssize_t n = recv(peer->fd, peer->buffer + peer->used, sizeof peer->buffer - peer->used, 0);
        if (n > 0)
            peer->used += (size_t)n;
        else if (n == 0 || errno != EINTR)
            status = explain_end(peer, err);
    }
    if (status) return status;
    const size_t length = (size_t)(end - peer->buffer);
    for (size_t i = 0; i < length; i++) { /* it may reach a terminal */
        const unsigned char c = (unsigned char)peer->buffer[i];
        line[i] = c < ' ' || c == 127 ? '?' : peer->buffer[i];
    }
    line[length] = 0;
    peer->used -= length + 1;
    memmove(peer->buffer, end + 1, peer->used);
    return RUDD_OK;
}

enum rudd_status bench_peer_ask(struct bench_answer *answer, struct bench_peer *peer, const char *question, double seconds,
                                struct rudd_error *err)
{
    char line[BENCH_PEER_LINE];
    enum rudd_status status = question ? say(peer, question, err) : RUDD_OK;
    if (!status) status = bench_peer_read(line, peer, seconds, err);
    if (status || bench_answer_parse(answer, line)) return status;
    return rudd_fail(err, RUDD_FORMAT, "said \"%.80s\"; expected `ready NAME VERSION`, a time, `missing` or `failed`", line);
}
