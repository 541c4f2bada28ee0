/* fuzz_trace.c - request ids and traceparents as clients may send them, and any text as a string of the access log. */
#include "serve/access_log.h"
#include "serve/trace_context.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct serve_trace trace, again = {0};
    struct serve_bytes out = {0};
    char parent[SERVE_TRACEPARENT], id[SERVE_REQUEST_ID];
    char *text = rudd_alloc(size + 1);
    if (size) memcpy(text, data, size);
    text[size] = 0;
    serve_trace_begin(&trace, text, text);
    serve_traceparent_print(parent, &trace);
    /* What goes out is well-formed, whatever came in. */
    if (!serve_traceparent_parse(&again, parent) || strcmp(again.trace_id, trace.trace_id)) abort();
    if (!serve_request_id_parse(id, trace.request_id)) abort();
    serve_log_string(&out, text);
    json_t *value = json_loadb((const char *)out.data, out.length, JSON_DECODE_ANY, NULL);
    if (!value) abort();
    json_decref(value);
    rudd_free(out.data);
    rudd_free(text);
    return 0;
}
