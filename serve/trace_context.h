/* trace_context.h - the names under which a request is found again: its request id, and its place in a distributed trace.
 *
 *     X-Request-Id: <1..64 of A-Z a-z 0-9 . _ ->                  the client's, or made here; in every answer, in the log
 *     traceparent: 00-<trace id: 32>-<parent id: 16>-<flags: 2>   lower-case hexadecimal; W3C Trace Context, section 3.2
 *
 * What is not well-formed is ignored, as the W3C asks; it never fails a request. */
#ifndef SERVE_TRACE_CONTEXT_H
#define SERVE_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

enum { SERVE_REQUEST_ID = 65, SERVE_TRACEPARENT = 56 }; /* bytes with the 0 */

struct serve_trace {
    char request_id[SERVE_REQUEST_ID];
    char trace_id[33]; /* the client's, or made here */
    char span_id[17];  /* of this request, made here: what is done for it has this as its parent */
    char flags[3];     /* the client's; "00" (nobody records it) for our own */
    bool continued;    /* the client sent a traceparent */
};

/* Copies a well-formed request id. Pure. */
bool serve_request_id_parse(char out[SERVE_REQUEST_ID], const char *text);
/* Takes trace id and flags from a well-formed traceparent; false leaves trace as it is. Pure. */
bool serve_traceparent_parse(struct serve_trace *trace, const char *text);
/* The traceparent that names this request. */
void serve_traceparent_print(char out[SERVE_TRACEPARENT], const struct serve_trace *trace);
/* All of it, from the two headers (either may be NULL) and from the system's randomness. */
void serve_trace_begin(struct serve_trace *trace, const char *request_id, const char *traceparent);

#endif
