/* docs.c - the documents inside the program: the page, /docs and /openapi.json; and the policy that lets each page run its own script and
 * style and nothing else, which is computed from the page's bytes. */
#include "nn/sha256.h"
#include "serve/exchange.h"
#include "serve/page.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 'sha256-<base64>' of the page's text between <tag> and </tag>. */
static void csp_hash(char out[64], const char *page, const char *tag)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char open[16], shut[16], hex[NN_SHA256_HEX];
    snprintf(open, sizeof open, "<%s>", tag);
    snprintf(shut, sizeof shut, "</%s>", tag);
    const char *begin = strstr(page, open) + strlen(open), *end = strstr(begin, shut);
    struct nn_sha256 hash;
    nn_sha256_init(&hash);
    nn_sha256_update(&hash, begin, (size_t)(end - begin));
    nn_sha256_hex(hex, &hash);
    size_t n = (size_t)snprintf(out, 64, "'sha256-");
    for (int i = 0; i < 64; i += 3) { /* three hex digits are twelve bits: two characters */
        char three[4] = {hex[i], i + 1 < 64 ? hex[i + 1] : '0', i + 2 < 64 ? hex[i + 2] : '0', 0};
        unsigned long bits = strtoul(three, NULL, 16);
        out[n++] = alphabet[bits >> 6];
        out[n++] = alphabet[bits & 63];
    }
    snprintf(out + n - 1, 64 - n + 1, "='"); /* 32 bytes are 43 characters and one of padding */
}

void serve_page_csp(char csp[SERVE_CSP], const unsigned char *page)
{
    char script[64], style[64];
    csp_hash(script, (const char *)page, "script");
    csp_hash(style, (const char *)page, "style");
    snprintf(csp, SERVE_CSP,
             "default-src 'none'; script-src %s; style-src %s; img-src 'self' blob: data:; connect-src 'self'; "
             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
             script, style);
}

/* MHD's own copy rules: documents live as long as the program. csp NULL: it is no page. */
static enum MHD_Result send_document(struct serve_exchange *x, const unsigned char *bytes, size_t size, const char *type,
                                     const char *csp)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(size, (void *)(uintptr_t)bytes, MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (csp) MHD_add_response_header(response, "Content-Security-Policy", csp);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
    MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept");
    x->sent = size;
    return serve_send_response(x, 200, response);
}

enum MHD_Result serve_send_page(struct serve_exchange *x)
{
    return send_document(x, serve_page, serve_page_size, "text/html; charset=utf-8", x->server->csp);
}

enum MHD_Result serve_answer_docs(struct serve_exchange *x)
{
    return send_document(x, serve_docs, serve_docs_size, "text/html; charset=utf-8", x->server->docs_csp);
}

enum MHD_Result serve_answer_openapi(struct serve_exchange *x)
{
    return send_document(x, serve_openapi, serve_openapi_size, "application/json", NULL);
}
