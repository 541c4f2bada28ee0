/* trace_context.c - see trace_context.h. Source: W3C Recommendation "Trace Context", 2021. */
#include "serve/trace_context.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

bool serve_request_id_parse(char out[SERVE_REQUEST_ID], const char *text)
{
    size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    if (!n || n >= SERVE_REQUEST_ID || text[n]) return false;
    memcpy(out, text, n + 1);
    return true;
}

/* n lower-case hexadecimal digits at text; with nonzero, not all of them 0. */
static bool is_hex(const char *text, size_t n, bool nonzero)
{
    size_t digits = 0;
    while (digits < n && text[digits] && strchr("0123456789abcdef", text[digits])) digits++;
    return digits == n && !(nonzero && strspn(text, "0") >= n);
}

bool serve_traceparent_parse(struct serve_trace *trace, const char *text)
{
    enum { TRACE = 3, PARENT = 36, FLAGS = 53, END = 55 }; /* where they begin */
    if (strnlen(text, END) < END || text[TRACE - 1] != '-' || text[PARENT - 1] != '-' || text[FLAGS - 1] != '-') return false;
    bool known = !memcmp(text, "00", 2);
    if (!is_hex(text, 2, false) || !memcmp(text, "ff", 2)) return false;
    /* A later version may say more after another dash; what version 0 knows stays in its place. */
    if (text[END] && (known || text[END] != '-')) return false;
    if (!is_hex(text + TRACE, 32, true) || !is_hex(text + PARENT, 16, true) || !is_hex(text + FLAGS, 2, false)) return false;
    memcpy(trace->trace_id, text + TRACE, 32);
    trace->trace_id[32] = 0;
    /* Of a later version only the flag is kept that version 0 knows: sampled. */
    memcpy(trace->flags, text + FLAGS, 2);
    trace->flags[2] = 0;
    if (!known) memcpy(trace->flags, strchr("13579bdf", text[FLAGS + 1]) ? "01" : "00", 2);
    trace->continued = true;
    return true;
}

void serve_traceparent_print(char out[SERVE_TRACEPARENT], const struct serve_trace *trace)
{
    snprintf(out, SERVE_TRACEPARENT, "00-%s-%s-%s", trace->trace_id, trace->span_id, trace->flags);
}

/* 2n digits. An id of zeros alone is none. */
static void print_id(char *out, const uint8_t *random, size_t n)
{
    for (size_t i = 0; i < n; i++) snprintf(out + 2 * i, 3, "%02x", random[i]);
    if (strspn(out, "0") == 2 * n) out[2 * n - 1] = '1';
}

void serve_trace_begin(struct serve_trace *trace, const char *request_id, const char *traceparent)
{
    uint8_t random[24] = {0};
    *trace = (struct serve_trace){.flags = "00"};
    if (getrandom(random, sizeof random, 0) != sizeof random) random[23] = 1; /* without randomness ids are bad, not fatal */
    print_id(trace->trace_id, random, 16);
    print_id(trace->span_id, random + 16, 8);
    if (traceparent) serve_traceparent_parse(trace, traceparent);
    if (!request_id || !serve_request_id_parse(trace->request_id, request_id))
        snprintf(trace->request_id, sizeof trace->request_id, "%.32s", trace->trace_id);
}
