/* v2_request.c - see v2_request.h. */
#include "serve/v2_request.h"
#include <math.h>
#include <string.h>

/* Tensor bytes that no input has taken yet. */
struct rest {
    const uint8_t *at;
    size_t left;
};

/* shape[0] of [n] or [n,1] (wanted 0) or of [n,3,wanted,wanted]; 0 and a problem for anything else. */
static int parse_shape(const json_t *shape, int wanted, const char *name, struct serve_problem *p)
{
    const json_int_t rest[2][3] = {{1}, {3, wanted, wanted}};
    size_t dimensions = json_array_size(shape);
    bool good = wanted ? dimensions == 4 : dimensions == 1 || dimensions == 2;
    json_int_t n = json_integer_value(json_array_get(shape, 0));
    for (size_t i = 1; good && i < dimensions; i++)
        good = json_integer_value(json_array_get(shape, i)) == rest[wanted != 0][i - 1];
    if (!good || n < 1) {
        if (wanted)
            serve_refuse(p, 400, "bad_shape", "input %s: expected a \"shape\" of [n,3,%d,%d] with n >= 1", name, wanted,
                         wanted);
        else
            serve_refuse(p, 400, "bad_shape", "input %s: expected a \"shape\" of [n] with n >= 1", name);
        return 0;
    }
    if (n > SERVE_V2_PICTURES) {
        serve_refuse(p, 413, "too_many_pictures", "input %s has more than %d pictures; send several requests", name,
                     SERVE_V2_PICTURES);
        return 0;
    }
    return (int)n;
}

/* ---- image: BYTES ------------------------------------------------------------------------------------------------------ */

static bool out_of_memory(struct serve_problem *p)
{
    return serve_refuse(p, 503, "out_of_memory", "the server is short of memory; try again");
}

/* An element that is not a picture's file may be one in base64. */
static bool unwrap(struct serve_v2_picture *picture, int index, struct serve_problem *p)
{
    const char *text = (const char *)picture->bytes;
    size_t n = picture->length;
    if (serve_is_image(text, n)) return true;
    const char *comma = n > 5 && !memcmp(text, "data:", 5) ? memchr(text, ',', n) : NULL;
    if (comma) {
        n -= (size_t)(comma + 1 - text);
        text = comma + 1;
    }
    picture->own = rudd_alloc(n / 4 * 3 + 2);
    if (!picture->own) return out_of_memory(p);
    picture->bytes = picture->own;
    if (!serve_base64_parse(picture->own, &picture->length, text, n) || !serve_is_image(picture->own, picture->length))
        return serve_refuse(p, 415, "not_an_image", "picture %d is no picture file that rudd knows, nor base64 of one", index);
    return true;
}

static bool add_picture(struct serve_v2_request *r, int index, const void *bytes, size_t n, struct serve_problem *p)
{
    r->pictures[index] = (struct serve_v2_picture){.bytes = bytes, .length = n};
    return unwrap(&r->pictures[index], index, p);
}

static bool pictures_from_bytes(struct serve_v2_request *r, struct rest bytes, struct serve_problem *p)
{
    for (int i = 0; i < r->count; i++) {
        if (bytes.left < 4)
            return serve_refuse(p, 400, "bad_tensor", "the tensor bytes end before the length of picture %d", i);
        uint32_t n =
            (uint32_t)bytes.at[0] | (uint32_t)bytes.at[1] << 8 | (uint32_t)bytes.at[2] << 16 | (uint32_t)bytes.at[3] << 24;
        if (n > bytes.left - 4)
            return serve_refuse(p, 400, "bad_tensor", "picture %d claims %u bytes but %zu follow", i, (unsigned)n,
                                bytes.left - 4);
        if (!add_picture(r, i, bytes.at + 4, n, p)) return false;
        bytes.at += 4 + (size_t)n;
        bytes.left -= 4 + (size_t)n;
    }
    return !bytes.left ||
           serve_refuse(p, 400, "bad_tensor", "%zu tensor bytes are left over behind the last picture", bytes.left);
}

/* data may be nested as the shape is. */
static bool pictures_from_json(struct serve_v2_request *r, const json_t *data, struct serve_problem *p)
{
    for (int i = 0; i < r->count; i++) {
        const json_t *element = json_array_get(data, (size_t)i);
        if (json_array_size(element) == 1) element = json_array_get(element, 0);
        if (json_array_size(data) != (size_t)r->count || !json_is_string(element))
            return serve_refuse(p, 400, "bad_data", "input image: expected %d strings of base64 in \"data\"", r->count);
        if (!add_picture(r, i, json_string_value(element), json_string_length(element), p)) return false;
    }
    return true;
}

/* ---- input: FP32 --------------------------------------------------------------------------------------------------------- */

/* Appends the numbers of a nest of arrays; false: too many, or something else than a number in it. Depth is bounded by jansson's. */
static bool flatten(float *out, size_t *n, size_t max, const json_t *data)
{
    size_t i;
    json_t *element;
    json_array_foreach(data, i, element)
    {
        if (json_is_array(element)) {
            if (!flatten(out, n, max, element)) return false;
        } else {
            if (!json_is_number(element) || *n == max) return false;
            out[(*n)++] = (float)json_number_value(element);
        }
    }
    return true;
}

static bool parse_tensor(struct serve_v2_request *r, const json_t *data, const struct rest *bytes, int size,
                         struct serve_problem *p)
{
    const size_t values = (size_t)r->count * 3 * (size_t)size * (size_t)size;
    size_t n = 0;
    if (bytes && bytes->left != values * sizeof(float))
        return serve_refuse(p, 400, "bad_tensor", "input input: %zu tensor bytes where its shape needs %zu", bytes->left,
                            values * sizeof(float));
    r->tensor = rudd_alloc(values * sizeof(float));
    if (!r->tensor) return out_of_memory(p);
    if (bytes)
        memcpy(r->tensor, bytes->at, bytes->left); /* little-endian, as are all machines this runs on */
    else if (!flatten(r->tensor, &n, values, data) || n != values)
        return serve_refuse(p, 400, "bad_data", "input input: expected %zu numbers in \"data\"", values);
    for (size_t i = 0; i < values; i++)
        if (!isfinite(r->tensor[i])) return serve_refuse(p, 400, "bad_data", "input input: number %zu is not finite", i);
    return true;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

static bool parse_input(struct serve_v2_request *r, const json_t *input, struct rest bytes, int image_size,
                        struct serve_problem *p)
{
    const char *name = json_string_value(json_object_get(input, "name")),
               *type = json_string_value(json_object_get(input, "datatype"));
    const json_t *data = json_object_get(input, "data"),
                 *size = json_object_get(json_object_get(input, "parameters"), "binary_data_size");
    bool image = name && !strcmp(name, "image"), tensor = name && !strcmp(name, "input");
    if (!image && !tensor)
        return serve_refuse(p, 400, "bad_input", "the model's inputs are named image and input; give one of them");
    if (!type || strcmp(type, image ? "BYTES" : "FP32"))
        return serve_refuse(p, 400, "bad_input", "input %s: expected a \"datatype\" of %s", name, image ? "BYTES" : "FP32");
    if (size ? data || json_integer_value(size) < 0 || (uint64_t)json_integer_value(size) != bytes.left : !data || bytes.left)
        return serve_refuse(p, 400, "bad_tensor",
                            "input %s: give \"data\", or \"binary_data_size\" and as many bytes behind the JSON (%zu came)",
                            name, bytes.left);
    if (!size && !json_is_array(data)) return serve_refuse(p, 400, "bad_data", "input %s: \"data\" must be an array", name);
    r->count = parse_shape(json_object_get(input, "shape"), image ? 0 : image_size, name, p);
    if (!r->count) return false;
    if (tensor) return parse_tensor(r, data, size ? &bytes : NULL, image_size, p);
    r->pictures = rudd_zalloc((size_t)r->count, sizeof *r->pictures);
    if (!r->pictures) return out_of_memory(p);
    return size ? pictures_from_bytes(r, bytes, p) : pictures_from_json(r, data, p);
}

static bool parse_outputs(struct serve_v2_request *r, struct serve_problem *p)
{
    const json_t *outputs = json_object_get(r->json, "outputs");
    r->binary = json_is_true(json_object_get(json_object_get(r->json, "parameters"), "binary_data_output"));
    if (!outputs || json_is_null(outputs)) return true;
    const json_t *output = json_array_get(outputs, 0), *parameters = json_object_get(output, "parameters"),
                 *binary = json_object_get(parameters, "binary_data"), *classes = json_object_get(parameters, "classification");
    const char *name = json_string_value(json_object_get(output, "name"));
    if (json_array_size(outputs) != 1 || !name || strcmp(name, "probabilities"))
        return serve_refuse(p, 400, "bad_output", "the model has one output, named probabilities");
    if (binary) r->binary = json_is_true(binary);
    if (classes && (!json_is_integer(classes) || json_integer_value(classes) < 0))
        return serve_refuse(p, 400, "bad_output", "\"classification\" must be a whole number");
    json_int_t k = json_integer_value(classes);
    r->classification = k > 1000000 ? 1000000 : (int)k;
    return true;
}

bool serve_v2_parse(struct serve_v2_request *out, const void *body, size_t n, size_t json_length, int image_size,
                    struct serve_problem *p)
{
    struct serve_v2_request r = {0};
    json_error_t where;
    if (json_length > n)
        return serve_refuse(p, 400, "bad_header", "Inference-Header-Content-Length is %zu but the body has %zu bytes",
                            json_length, n);
    r.json = json_loadb(body, json_length, JSON_REJECT_DUPLICATES, &where);
    if (!r.json) return serve_refuse_json(p, &where);
    const json_t *inputs = json_object_get(r.json, "inputs"), *id = json_object_get(r.json, "id");
    const struct rest bytes = {(const uint8_t *)body + json_length, n - json_length};
    r.id = json_string_value(id);
    bool good = false;
    if (id && !r.id)
        serve_refuse(p, 400, "bad_request", "\"id\" must be a string");
    else if (json_array_size(inputs) != 1)
        serve_refuse(p, 400, "bad_input", "expected one input in \"inputs\": image (BYTES) or input (FP32)");
    else
        good = parse_outputs(&r, p) && parse_input(&r, json_array_get(inputs, 0), bytes, image_size, p);
    if (good)
        *out = r;
    else
        serve_v2_request_free(&r);
    return good;
}

void serve_v2_request_free(struct serve_v2_request *r)
{
    for (int i = 0; r->pictures && i < r->count; i++) rudd_free(r->pictures[i].own);
    rudd_free(r->pictures);
    rudd_free(r->tensor);
    json_decref(r->json);
    *r = (struct serve_v2_request){0};
}

enum serve_v2_action serve_v2_path_parse(char version[65], const char *path, const char *name)
{
    const size_t n = strlen(name);
    *version = 0;
    if (strncmp(path, name, n)) return SERVE_V2_NOTHING;
    path += n;
    if (!strncmp(path, "/versions/", 10)) {
        path += 10;
        size_t digits = strcspn(path, "/");
        if (!digits || digits > 64) return SERVE_V2_NOTHING;
        memcpy(version, path, digits);
        version[digits] = 0;
        path += digits;
    }
    return !*path                    ? SERVE_V2_METADATA
           : !strcmp(path, "/ready") ? SERVE_V2_READY
           : !strcmp(path, "/infer") ? SERVE_V2_INFER
                                     : SERVE_V2_NOTHING;
}
