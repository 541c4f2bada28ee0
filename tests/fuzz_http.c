/* fuzz_http.c - a request as a whole: libmicrohttpd's own parsing, its form parser, and what rudd makes of the pieces.
 *
 *     byte 0  what the rest is: 0 everything after the connection was made, 1 a form's body, 2 a JSON body, 3 a query, 4 a raw body, 5 and 6 a batch as a form
 *             and as JSON
 *     byte 1  how large the pieces are in which it is sent
 *
 * A server without threads or port: each input is one end of a socket pair whose other end is given to it. */
#include "serve/batch.h"
#include "serve/request.h"
#include "serve/respond.h"
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 16, MAX_BODY = 1 << 14 };

struct exchange {
    struct serve_body body;
    struct serve_problem problem;
    bool batch; /* the path says so */
};

/* What becomes of a batch's body; traps when a batch that was taken is none. */
static void parse_batch(struct exchange *x, struct MHD_Connection *c)
{
    struct serve_batch_work *w = rudd_zalloc(1, sizeof *w);
    char id[SERVE_REQUEST_ID];
    if (!w) return;
    bool fine = serve_batch_parse(w, c, &x->body, &x->problem);
    if (fine != !x->problem.http || w->count > SERVE_BATCH_ITEMS) __builtin_trap();
    if (fine && (w->count < 1 || (*w->id && !serve_request_id_parse(id, w->id)))) __builtin_trap();
    for (int i = 0; fine && i < w->count; i++)
        if (w->items[i].url && w->items[i].bytes.data) __builtin_trap();
    serve_batch_work_free(w);
}

static enum MHD_Result answer(void *user, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                              const char *upload, size_t *length, void **context)
{
    (void)user, (void)method, (void)version;
    struct exchange *x = *context;
    if (!x) {
        *context = x = rudd_zalloc(1, sizeof *x);
        if (!x) return MHD_NO;
        x->batch = !strncmp(url, "/batch", 6);
        if (x->batch)
            x->body = (struct serve_body){.max = MAX_BODY};
        else
            serve_body_init(&x->body, c, MAX_BODY, &x->problem);
        return MHD_YES;
    }
    if (*length) {
        if (!x->problem.http) serve_body_add(&x->body, upload, *length);
        *length = 0;
        return MHD_YES;
    }
    int top_k = 0;
    const char *text = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "top_k");
    serve_accepts_json(MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Accept"));
    if (x->batch) parse_batch(x, c);
    bool fine = !x->batch && serve_top_k_parse(&top_k, text, 3, 5, &x->problem) && !x->problem.http &&
                serve_body_finish(&x->body, &x->problem);
    /* What an answer may rely on. */
    if ((!x->batch && fine != !x->problem.http) ||
        (fine && (top_k < 1 || top_k > 5 || !serve_is_image(x->body.bytes.data, x->body.bytes.length))))
        __builtin_trap();
    struct serve_bytes out = {0};
    if (x->problem.http) serve_json_print(&out, serve_json_problem(&x->problem));
    struct MHD_Response *r = MHD_create_response_from_buffer(out.length, out.data, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_queue_response(c, x->problem.http ? x->problem.http : 200, r);
    MHD_destroy_response(r);
    rudd_free(out.data);
    return result;
}

static void completed(void *user, struct MHD_Connection *c, void **context, enum MHD_RequestTerminationCode code)
{
    (void)user, (void)c, (void)code;
    struct exchange *x = *context;
    if (x) serve_body_free(&x->body);
    rudd_free(x);
    *context = NULL;
}

static size_t write_request(char *out, uint8_t kind, const uint8_t *data, size_t n)
{
    static const char *const heads[] = {
        "",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=XX\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n",
        "GET /predict?",
        "POST /predict?top_k=2 HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n",
        "POST /batch/predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=XX\r\n",
        "POST /batch/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"};
    size_t used = (size_t)sprintf(out, "%s", heads[kind]);
    if (kind && kind != 3) used += (size_t)sprintf(out + used, "Content-Length: %zu\r\n\r\n", n);
    memcpy(out + used, data, n);
    used += n;
    if (kind == 3) used += (size_t)sprintf(out + used, " HTTP/1.1\r\nHost: x\r\n\r\n");
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct MHD_Daemon *daemon;
    static char text[MOST + 1024];
    static const struct sockaddr_in from = {.sin_family = AF_INET};
    int ends[2];
    if (size < 2 || size > MOST) return 0;
    if (!daemon)
        daemon = MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, answer, NULL, MHD_OPTION_NOTIFY_COMPLETED, completed,
                                  NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)32 * 1024, MHD_OPTION_END);
    if (!daemon || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends)) __builtin_trap();
    const size_t length = write_request(text, data[0] % 7, data + 2, size - 2);
    const size_t piece = data[1] ? (size_t)data[1] * data[1] : length;
    if (MHD_add_connection(daemon, ends[1], (const struct sockaddr *)&from, sizeof from) != MHD_YES) __builtin_trap();

    for (size_t sent = 0; sent < length;) {
        const size_t n = length - sent < piece ? length - sent : piece;
        const ssize_t got = send(ends[0], text + sent, n, MSG_NOSIGNAL);
        MHD_run(daemon);
        if (got < 0 && errno != EAGAIN) break; /* it hung up */
        if (got > 0) sent += (size_t)got;
        char answers[4096];
        while (recv(ends[0], answers, sizeof answers, 0) > 0) continue;
    }
    shutdown(ends[0], SHUT_WR);
    for (int i = 0; i < 8; i++) MHD_run(daemon);
    close(ends[0]);
    for (int i = 0; i < 3; i++) MHD_run(daemon);
    return 0;
}
