/* request.h - what a client sends, turned into values: the pure parsers, and the body as it arrives.
 *
 *     multipart/form-data, field `file`  \
 *     {"image":"<base64>"}                >-- serve_body --> the bytes of one picture file
 *     the file itself                    /
 */
#ifndef SERVE_REQUEST_H
#define SERVE_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include "serve/bytes.h"

struct MHD_Connection;
struct MHD_PostProcessor;

/* Why a request is refused: what the client reads. http 0: it is not. */
struct serve_problem {
    unsigned http;
    const char *code; /* one machine word */
    char detail[512]; /* one sentence, nothing internal in it */
};
/* Fills p, unless it already holds an earlier problem; returns false, for `return serve_refuse(...)`. */
bool serve_refuse(struct serve_problem *p, unsigned http, const char *code, const char *format, ...) RUDD_PRINTF(4, 5);
/* 400: jansson could not read it. */
bool serve_refuse_json(struct serve_problem *p, const json_error_t *where);

/* ---- pure parsers over foreign bytes ----------------------------------------------------------------------------------------
 */

/* out gets at most n/4*3+2 bytes; may be the same memory as text. RFC 4648 with either alphabet (section 4 or 5), blanks and
 * line ends skipped, padding optional. false: a character outside the alphabet, or an impossible length. */
bool serve_base64_parse(uint8_t *out, size_t *length, const char *text, size_t n);
/* {"image":"<base64>"}; a data URL ("data:image/png;base64,...") is fine too. *image is from rudd_alloc. */
bool serve_image_json_parse(uint8_t **image, size_t *length, const void *body, size_t n, struct serve_problem *p);
/* A decimal number of 1..max; larger ones become max. text NULL: fallback, or max if that is smaller. */
bool serve_top_k_parse(int *k, const char *text, int fallback, int max, struct serve_problem *p);
/* Whether an Accept header (may be NULL) prefers JSON to the page: it names JSON and not HTML. */
bool serve_accepts_json(const char *accept);
/* Whether these bytes begin like a picture's (data/image/formats.h). */
bool serve_is_image(const void *bytes, size_t n);
/* false and a problem: they do not (415), or this server was built without the decoder (501). */
bool serve_image_check(const void *bytes, size_t n, struct serve_problem *p);

/* ---- the body of POST /predict ----------------------------------------------------------------------------------- */

struct serve_body {
    enum { SERVE_BODY_RAW, SERVE_BODY_JSON, SERVE_BODY_MULTIPART } kind;
    struct serve_bytes bytes; /* the raw body, or the content of field `file` */
    size_t received, max;
    struct MHD_PostProcessor *form;
    int files;              /* parts named `file` that have begun */
    bool in_file;           /* the part that arrives is one */
    bool too_large, failed; /* failed: no memory */
};

/* Chooses the kind by the request's Content-Type. */
bool serve_body_init(struct serve_body *body, struct MHD_Connection *connection, size_t max, struct serve_problem *p);
/* The next piece; problems are remembered until the end. */
void serve_body_add(struct serve_body *body, const char *data, size_t n);
/* At the end: body->bytes becomes the picture's bytes. 400 (malformed), 413 (too large), 415 (no picture). */
bool serve_body_finish(struct serve_body *body, struct serve_problem *p);
void serve_body_free(struct serve_body *body);

#endif
