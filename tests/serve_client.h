/* serve_client.h - what the server's tests share: a rudd-serve child on a free port, and a small HTTP client over a socket.
 *
 * The client runs in many threads, so it never asserts; a failed exchange has code 0. */
#ifndef TESTS_SERVE_CLIENT_H
#define TESTS_SERVE_CLIENT_H

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

/* A test uses some of what follows. */
#define HELPER static __attribute__((unused))

/* ---- the child --------------------------------------------------------------------------------------------------------------
 */

struct server {
    pid_t pid;
    int port;
};

/* build/rudd-serve: beside this test's own folder. */
HELPER void server_binary(char *path, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", path, size - 64);
    assert_true(n > 0);
    path[n] = 0;
    strcpy(strrchr(path, '/'), "/../rudd-serve");
}

/* Starts it with --model and --listen, and up to 12 more arguments, NULL last; returns when it says that it listens. */
HELPER struct server server_start(const char *model, ...)
{
    static char binary[4096];
    char *argv[20] = {binary, "--model", (char *)(uintptr_t)model, "--listen", "127.0.0.1:0"}, line[512] = "";
    int out[2];
    struct server s = {0};
    va_list more;
    server_binary(binary, sizeof binary);
    va_start(more, model);
    for (int i = 5; i < 18 && (argv[i] = va_arg(more, char *)); i++) continue;
    va_end(more);
    assert_int_equal(pipe(out), 0);
    s.pid = fork();
    if (s.pid == 0) {
        dup2(out[1], 1);
        close(out[0]);
        close(out[1]);
        execv(binary, argv);
        _exit(127);
    }
    close(out[1]);
    FILE *f = fdopen(out[0], "r");
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    const char *url = strstr(line, "rudd-serve: listening on http"), *port = url ? strstr(url, "://127.0.0.1:") : NULL;
    assert_non_null(port);
    assert_int_equal(sscanf(port, "://127.0.0.1:%d", &s.port), 1);
    return s;
}

/* Waits for the child's end; its exit status, or -1 when a signal ended it. */
HELPER int server_wait(struct server s)
{
    int status = 0;
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

HELPER void server_stop(struct server s)
{
    kill(s.pid, SIGTERM);
    assert_int_equal(server_wait(s), 0); /* under sanitizers: no report either */
}

/* ---- one exchange -----------------------------------------------------------------------------------------------------------
 */

/* A growing text of any bytes. */
struct text {
    char *data;
    size_t length;
};

HELPER void text_add(struct text *t, const void *data, size_t n)
{
    t->data = realloc(t->data, t->length + n + 1);
    memcpy(t->data + t->length, data, n);
    t->length += n;
    t->data[t->length] = 0;
}

HELPER void text_print(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
HELPER void text_print(struct text *t, const char *format, ...)
{
    char line[2048];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    text_add(t, line, (size_t)n);
}

struct answer {
    int code;         /* 0: nothing came */
    struct text all;  /* head and body */
    const char *body; /* into all */
};

HELPER void answer_free(struct answer *a)
{
    free(a->all.data);
    *a = (struct answer){0};
}

HELPER int client_connect(int port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

HELPER int client_send(int fd, const char *data, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
        if (sent <= 0) return 0;
        data += sent;
        n -= (size_t)sent;
    }
    return 1;
}

/* Reads to the end of the stream (requests say Connection: close), then closes. */
HELPER struct answer client_read(int fd)
{
    struct answer a = {0};
    char piece[16384];
    for (ssize_t n; (n = recv(fd, piece, sizeof piece, 0)) > 0;) text_add(&a.all, piece, (size_t)n);
    close(fd);
    if (!a.all.data) return a;
    char *end = strstr(a.all.data, "\r\n\r\n");
    if (!end || sscanf(a.all.data, "HTTP/1.1 %d", &a.code) != 1) return a;
    a.body = end + 4;
    return a;
}

/* The bytes of a request; headers: "" or whole lines, each ending in \r\n. */
HELPER struct text request(const char *method, const char *path, const char *headers, const void *body, size_t n)
{
    struct text t = {0};
    text_print(&t, "%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n%s", method, path, headers);
    if (body) text_print(&t, "Content-Length: %zu\r\n", n);
    text_print(&t, "\r\n");
    if (body) text_add(&t, body, n);
    return t;
}

HELPER struct answer exchange(int port, struct text t)
{
    struct answer a = {0};
    int fd = client_connect(port);
    if (fd >= 0) {
        client_send(fd, t.data, t.length); /* a refusal may come before all is sent: read in any case */
        a = client_read(fd);
    }
    free(t.data);
    return a;
}

HELPER struct answer ask(int port, const char *method, const char *path, const char *headers, const void *body, size_t n)
{
    return exchange(port, request(method, path, headers, body, n));
}

HELPER struct answer get(int port, const char *path)
{
    return ask(port, "GET", path, "", NULL, 0);
}

HELPER struct answer post(int port, const char *path, const char *type, const void *body, size_t n)
{
    char headers[256];
    snprintf(headers, sizeof headers, "Content-Type: %s\r\n", type);
    return ask(port, "POST", path, headers, body, n);
}

/* The answer's body as JSON; the caller drops the reference. */
HELPER json_t *answer_json(const struct answer *a)
{
    json_t *root = a->body ? json_loads(a->body, 0, NULL) : NULL;
    assert_non_null(root);
    return root;
}

/* Whether the head has this line (without its end). */
HELPER int has_header(const struct answer *a, const char *line)
{
    const char *found = a->all.data ? strcasestr(a->all.data, line) : NULL;
    return found && found < a->body;
}

/* An error: this status, this code word, a sentence. Frees a. */
HELPER void assert_problem(struct answer a, int http, const char *code)
{
    assert_int_equal(a.code, http);
    json_t *root = answer_json(&a);
    assert_string_equal(json_string_value(json_object_get(root, "code")), code);
    assert_true(json_string_length(json_object_get(root, "detail")) > 5);
    assert_true(has_header(&a, "Content-Type: application/json"));
    json_decref(root);
    answer_free(&a);
}

/* The value of a metric's line that begins with `name`; -1 when there is none. */
HELPER double metric(int port, const char *name)
{
    char start[256];
    double value = -1;
    struct answer a = get(port, "/metrics");
    snprintf(start, sizeof start, "\n%s ", name);
    const char *line = a.body ? strstr(a.body, start) : NULL;
    if (line) value = atof(line + strlen(start));
    answer_free(&a);
    return value;
}

HELPER void pause_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

#endif
