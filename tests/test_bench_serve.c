/* test_bench_serve.c - the load generator: what it makes of answers, of servers that hang up or talk nonsense, and rudd-bench serve as a whole
 * against a real rudd-serve with a small network: counters equal, no errors. No time is looked at. */
#include "bench/bench.h"
#include "bench/load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static struct rudd_error err;

/* ---- answers --------------------------------------------------------------------------------------------------------------- */

/* An answer is complete with its last byte and not before, wherever it is cut. */
static void answers_are_taken_apart(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\ncontent-length:  5\r\n\r\nhello";
    const size_t all = sizeof text - 1;
    int code = 0;
    size_t head = 0;
    for (size_t n = 0; n < all; n++) assert_int_equal(bench_answer_length(text, n, &code, &head), 0);
    assert_int_equal(bench_answer_length(text, all, &code, &head), all);
    assert_int_equal(code, 503);
    assert_int_equal(head, all - 5);
}

static void other_texts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
                                        "SSH-2.0-x\r\n",
                                        "HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nX-Content-Length: 3\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int code;
        size_t head;
        assert_int_equal(bench_answer_length(texts[i], strlen(texts[i]), &code, &head), -1);
    }
}

static void percentiles(void **state)
{
    (void)state;
    double ms[100];
    for (int i = 0; i < 100; i++) ms[i] = i + 1;
    assert_true(bench_percentile(ms, 100, 0.5) == 50 && bench_percentile(ms, 100, 0.95) == 95);
    assert_true(bench_percentile(ms, 100, 0.99) == 99 && bench_percentile(ms, 100, 1) == 100);
    assert_true(bench_percentile(ms, 3, 0.5) == 2 && bench_percentile(ms, 1, 0.99) == 1 && bench_percentile(NULL, 0, 0.5) == 0);
}

/* ---- servers of all kinds -------------------------------------------------------------------------------------------------------- */

/* Answers the connections of one port, one after the other: each gets the script's next text for every request that comes, and is closed after
 * `most` of them. */
struct stub {
    int fd, port, most;
    const char *const *texts; /* NULL last; then the first again */
    pthread_t thread;
};

static void *serve_stub(void *user)
{
    struct stub *s = user;
    int next = 0;
    for (;;) {
        int fd = accept(s->fd, NULL, NULL), done = 0;
        char buffer[4096];
        if (fd < 0) return NULL;
        while (done < s->most && recv(fd, buffer, sizeof buffer, 0) > 0) {
            const char *text = s->texts[next];
            next = s->texts[next + 1] ? next + 1 : 0;
            if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0) break;
            done++;
        }
        close(fd);
    }
}

static void stub_start(struct stub *s, const char *const *texts, int most)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    *s = (struct stub){.fd = socket(AF_INET, SOCK_STREAM, 0), .most = most, .texts = texts};
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &size), 0);
    s->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve_stub, s), 0);
}

static void stub_stop(struct stub *s)
{
    shutdown(s->fd, SHUT_RDWR); /* wakes accept */
    pthread_join(s->thread, NULL);
    close(s->fd);
}

static void ask(void *user, int client, struct bench_request *q)
{
    static const char head[] = "GET / HTTP/1.1\r\n\r\n";
    (void)user, (void)client;
    *q = (struct bench_request){head, NULL, sizeof head - 1, 0};
}

static bool never(void *user, int client, int code, const char *body, size_t length, double ms)
{
    (void)user, (void)client, (void)code, (void)body, (void)length, (void)ms;
    return false;
}

static struct bench_load_result load_stub(const char *const *texts, int most, long requests, bool refuse)
{
    struct stub s;
    struct bench_load_result result;
    stub_start(&s, texts, most);
    const struct bench_load load = {
        .port = s.port, .clients = 1, .requests = requests, .ask = ask, .answered = refuse ? never : NULL};
    if (bench_load_run(&result, &load, &err)) fail_msg("%s", err.message);
    rudd_free(result.ms);
    stub_stop(&s);
    return result;
}

#define OK_TEXT "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* Every request is counted once, as what it was answered; connections that end between answers are no errors. */
static void every_exchange_is_counted(void **state)
{
    (void)state;
    static const char *const fine[] = {OK_TEXT, OK_TEXT, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", NULL};
    struct bench_load_result r = load_stub(fine, 1000, 30, false);
    assert_true(r.ok == 20 && r.busy == 10 && r.errors == 0 && r.count == 20);
    static const char *const closing[] = {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", NULL};
    r = load_stub(closing, 1, 5, false);
    assert_true(r.ok == 5 && r.errors == 0);
    static const char *const failing[] = {"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", OK_TEXT, NULL};
    r = load_stub(failing, 1000, 8, false);
    assert_true(r.ok == 4 && r.errors == 4 && r.worst_code == 500);
    r = load_stub(fine, 1000, 3, true); /* the caller finds the answers wrong */
    assert_true(r.ok == 0 && r.errors == 3);
}

/* A server that talks nonsense, hangs up within an answer or says more than it was asked is an error each time, and no more than that. */
static void broken_servers_are_errors(void **state)
{
    (void)state;
    static const char *const texts[] = {"220 ready\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", OK_TEXT OK_TEXT,
                                        NULL};
    struct bench_load_result r = load_stub(texts, 1, 9, false);
    assert_true(r.ok == 0 && r.errors == 9 && r.worst_code == 0);
    struct bench_load_result result;
    const struct bench_load nobody = {.port = 1, .clients = 2, .requests = 2, .ask = ask};
    assert_int_equal(bench_load_run(&result, &nobody, &err), RUDD_IO);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------- */

/* With too little room in the queue and beside other load, too: 503s are no errors, and are counted on both sides. */
static void the_server_counts_the_same(void **state)
{
    (void)state;
    char *argv[] = {"serve",   "--arch",    "efficientnet_b0",
                    "--size",  "32",        "--side",
                    "48",      "--clients", "3",
                    "--flood", "24",        "--seconds",
                    "0.3",     "--soak",    "0.5",
                    "--swap",  "3",         "--beside",
                    "2",       "--json",    "--",
                    "--queue", "2"};
    if (bench_serve(sizeof argv / sizeof *argv, argv, &err)) fail_msg("%s", err.message);
    char *wrong[] = {"serve", "--arch", "efficientnet_b0", "--", "--no-such-option"};
    assert_int_equal(bench_serve(5, wrong, &err), RUDD_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_taken_apart),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(percentiles),
        cmocka_unit_test(every_exchange_is_counted),
        cmocka_unit_test(broken_servers_are_errors),
        cmocka_unit_test(the_server_counts_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
