/* request.c - see request.h. Multipart is libmicrohttpd's post processor, JSON is jansson's; base64 and the small header
 * questions are here. */
#define _GNU_SOURCE /* strcasestr */
#include "serve/request.h"
#include "data/image/formats.h"
#include <jansson.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool serve_refuse(struct serve_problem *p, unsigned http, const char *code, const char *format, ...)
{
    if (p->http) return false;
    p->http = http;
    p->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(p->detail, sizeof p->detail, format, args);
    va_end(args);
    return false;
}

static int base64_digit(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool serve_base64_parse(uint8_t *out, size_t *length, const char *text, size_t n)
{
    uint32_t bits = 0;
    size_t digits = 0, pads = 0, o = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') continue;
        if (c == '=') {
            pads++;
            continue;
        }
        int digit = base64_digit(c);
        if (digit < 0 || pads) return false;
        bits = bits << 6 | (uint32_t)digit;
        if (++digits % 4 == 0) {
            out[o++] = (uint8_t)(bits >> 16);
            out[o++] = (uint8_t)(bits >> 8);
            out[o++] = (uint8_t)bits;
        }
    }
    size_t rest = digits % 4; /* 2 digits carry one byte more, 3 carry two; one alone carries nothing */
    if (rest == 1 || pads > 2 || (pads && (digits + pads) % 4)) return false;
    if (rest == 2) out[o++] = (uint8_t)(bits >> 4);
    if (rest == 3) {
        out[o++] = (uint8_t)(bits >> 10);
        out[o++] = (uint8_t)(bits >> 2);
    }
    *length = o;
    return true;
}

bool serve_refuse_json(struct serve_problem *p, const json_error_t *where)
{
    return serve_refuse(p, 400, "bad_json", "the body is not JSON%s: line %d, column %d",
                        json_error_code(where) == json_error_duplicate_key ? ", it names a field twice" : "", where->line,
                        where->column);
}

bool serve_image_json_parse(uint8_t **image, size_t *length, const void *body, size_t n, struct serve_problem *p)
{
    uint8_t *bytes = NULL;
    json_error_t where;
    json_t *root = json_loadb(body, n, JSON_REJECT_DUPLICATES, &where);
    json_t *field = json_object_get(root, "image");
    if (!root) {
        serve_refuse_json(p, &where);
        goto out;
    }
    if (!json_is_string(field)) {
        serve_refuse(p, 400, "no_image", "expected {\"image\":\"<base64 of a picture file>\"}");
        goto out;
    }
    const char *text = json_string_value(field);
    size_t size = json_string_length(field);
    const char *comma = size > 5 && !strncasecmp(text, "data:", 5) ? memchr(text, ',', size) : NULL;
    if (comma) {
        size -= (size_t)(comma + 1 - text);
        text = comma + 1;
    }
    bytes = rudd_alloc(size / 4 * 3 + 2);
    if (!bytes)
        serve_refuse(p, 503, "out_of_memory", "the server is short of memory; try again");
    else if (!serve_base64_parse(bytes, length, text, size)) {
        serve_refuse(p, 400, "bad_base64", "\"image\" is not base64 (RFC 4648)");
        rudd_free(bytes);
        bytes = NULL;
    }
out:
    json_decref(root);
    if (bytes) *image = bytes;
    return bytes != NULL;
}

bool serve_top_k_parse(int *k, const char *text, int fallback, int max, struct serve_problem *p)
{
    if (!text) {
        *k = fallback < max ? fallback : max;
        return true;
    }
    size_t digits = strspn(text, "0123456789");
    if (!digits || text[digits] || strspn(text, "0") == digits)
        return serve_refuse(p, 400, "bad_top_k", "top_k must be a whole number of 1 or more");
    long value = digits > 9 ? max : strtol(text, NULL, 10);
    *k = value < max ? (int)value : max;
    return true;
}

bool serve_accepts_json(const char *accept)
{
    return accept && strcasestr(accept, "json") && !strcasestr(accept, "text/html");
}

bool serve_is_image(const void *bytes, size_t n)
{
    return data_format_sniff(bytes, n) != NULL;
}

bool serve_image_check(const void *bytes, size_t n, struct serve_problem *p)
{
    char known[200];
    const struct data_format *format = data_format_sniff(bytes, n);
    if (!format)
        return serve_refuse(p, 415, "not_an_image", "the bytes are no picture; this server reads %s",
                            data_format_names(known, sizeof known));
    if (!format->decode)
        return serve_refuse(p, 501, "no_decoder", "a %s picture: this server was built without %s", format->name,
                            format->package);
    return true;
}

/* The body keeps at most max bytes in all: a form's other fields count, too. */
static void keep(struct serve_body *body, const char *data, size_t n)
{
    switch (serve_bytes_add(&body->bytes, data, n, body->max)) {
    case RUDD_OK: break;
    case RUDD_LIMIT: body->too_large = true; break;
    default: body->failed = true;
    }
}

/* key NULL: a name without quotes (name=file, as .NET writes it), which libmicrohttpd does not read; then the part is the picture if it looks
 * like one. */
static enum MHD_Result form_part(void *user, enum MHD_ValueKind kind, const char *key, const char *file_name, const char *type,
                                 const char *encoding, const char *data, uint64_t offset, size_t n)
{
    (void)kind, (void)file_name, (void)type, (void)encoding;
    struct serve_body *body = user;
    if (offset == 0) {
        body->in_file = key ? !strcmp(key, "file") : serve_is_image(data, n);
        body->files += body->in_file;
    }
    if (body->in_file && body->files == 1) keep(body, data, n);
    return MHD_YES;
}

bool serve_body_init(struct serve_body *body, struct MHD_Connection *connection, size_t max, struct serve_problem *p)
{
    enum { FORM_BUFFER = 64 * 1024 };
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    *body = (struct serve_body){.max = max};
    if (type && !strncasecmp(type, "multipart/form-data", 19)) {
        body->kind = SERVE_BODY_MULTIPART;
        body->form = MHD_create_post_processor(connection, FORM_BUFFER, form_part, body);
        if (!body->form) return serve_refuse(p, 400, "bad_multipart", "the multipart Content-Type names no usable boundary");
    } else if (type && strcasestr(type, "json")) {
        body->kind = SERVE_BODY_JSON;
    }
    return true;
}

void serve_body_add(struct serve_body *body, const char *data, size_t n)
{
    body->received += n;
    if (body->received > body->max) body->too_large = true;
    if (body->too_large || body->failed) return;
    if (body->kind != SERVE_BODY_MULTIPART)
        keep(body, data, n);
    else if (body->form && MHD_post_process(body->form, data, n) == MHD_NO) {
        MHD_destroy_post_processor(body->form);
        body->form = NULL;
    }
}

/* Replaces the JSON text by the picture in it. */
static bool unwrap_json(struct serve_body *body, struct serve_problem *p)
{
    struct serve_bytes image = {0};
    if (!serve_image_json_parse(&image.data, &image.length, body->bytes.data, body->bytes.length, p)) return false;
    image.capacity = image.length;
    rudd_free(body->bytes.data);
    body->bytes = image;
    return true;
}

bool serve_body_finish(struct serve_body *body, struct serve_problem *p)
{
    if (body->too_large)
        return serve_refuse(p, 413, "body_too_large", "the body is larger than %zu bytes, the limit of this server", body->max);
    if (body->failed) return serve_refuse(p, 503, "out_of_memory", "the server is short of memory; try again");
    if (!body->received)
        return serve_refuse(p, 400, "empty_body",
                            "send a picture: multipart field `file`, a raw picture, or {\"image\":\"<base64>\"}");
    if (body->kind == SERVE_BODY_MULTIPART) {
        bool whole = body->form && MHD_destroy_post_processor(body->form) == MHD_YES;
        body->form = NULL;
        if (!whole) return serve_refuse(p, 400, "bad_multipart", "the multipart body is malformed or truncated");
        if (!body->files) return serve_refuse(p, 400, "no_image", "the form has no field named `file`");
        if (body->files > 1)
            return serve_refuse(p, 400, "several_images", "the form has %d fields named `file`; send one", body->files);
        if (!body->bytes.length) return serve_refuse(p, 400, "no_image", "the form's field `file` is empty");
    }
    /* curl -d calls everything a form: what opens with a brace is JSON. */
    bool json = body->kind == SERVE_BODY_JSON || (body->kind == SERVE_BODY_RAW && body->bytes.data[0] == '{');
    if (json && !unwrap_json(body, p)) return false;
    return serve_image_check(body->bytes.data, body->bytes.length, p);
}

void serve_body_free(struct serve_body *body)
{
    if (body->form) MHD_destroy_post_processor(body->form);
    rudd_free(body->bytes.data);
}
