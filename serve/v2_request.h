/* v2_request.h - the body of an Open Inference Protocol (v2) request, turned into values. Pure: no connection, no server.
 *
 *     | JSON                                     | tensor bytes, those of each input one after the other |
 *     {"id":"1",                                   present only with Inference-Header-Content-Length, which is the JSON's length
 *      "inputs":[{"name":"image","datatype":"BYTES","shape":[2],"data":["<base64>","<base64>"]}],
 *      "outputs":[{"name":"probabilities","parameters":{"binary_data":true,"classification":3}}]}
 *
 * One input is given, of two that the model has:
 *
 *     image  BYTES [n]          picture files: base64 in JSON; in tensor bytes each file behind
 *                               its length (uint32, little-endian)
 *     input  FP32  [n,3,s,s]    pictures as the network takes them: RGB planes, (value/255 - mean) / std; s the model's image size
 *
 * Sources: github.com/kserve/open-inference-protocol, "HTTP/REST"; Triton's extensions "binary tensor data" and "classification". */
#ifndef SERVE_V2_REQUEST_H
#define SERVE_V2_REQUEST_H

#include <jansson.h>
#include "serve/request.h"

enum { SERVE_V2_PICTURES = 64 }; /* at most in one request, of either kind */

struct serve_v2_picture {
    const uint8_t *bytes; /* into the body, or own */
    size_t length;
    uint8_t *own;
};

struct serve_v2_request {
    json_t *json;
    const char *id; /* into json; NULL: none */
    int count;
    struct serve_v2_picture *pictures; /* [count]; NULL: tensor */
    float *tensor;                     /* [count,3,s,s], finite; NULL: pictures */
    bool binary;                       /* the answer's tensor is to be bytes */
    int classification;                /* answers "probability:index:label" for so many classes; 0: plain numbers */
};

/* json_length: n, or what the header said. On failure p says why and *r is as it was. The body must outlive *r. */
bool serve_v2_parse(struct serve_v2_request *r, const void *body, size_t n, size_t json_length, int image_size,
                    struct serve_problem *p);
void serve_v2_request_free(struct serve_v2_request *r);

/* What follows NAME in a path below /v2/models/: the model's name is known, and may hold anything. */
enum serve_v2_action { SERVE_V2_NOTHING, SERVE_V2_METADATA, SERVE_V2_READY, SERVE_V2_INFER };
/* version gets what /versions/ says, "" when it says nothing. SERVE_V2_NOTHING: another name, or no such path. */
enum serve_v2_action serve_v2_path_parse(char version[65], const char *path, const char *name);

#endif
