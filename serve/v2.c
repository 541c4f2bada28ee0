/* v2.c - the Open Inference Protocol, version 2: what KServe's and Triton's clients speak.
 *
 *     GET  /v2                                            the server            POST /v2/models/NAME[/versions/V]/infer
 *     GET  /v2/health/live, /v2/health/ready              its health               the body: v2_request.h
 *     GET  /v2/models/NAME[/versions/V], .../ready        the model
 *
 * Pictures of one request go their own ways (ask.h), as if /predict had been asked for each; the connection sleeps until the last is done. A
 * tensor is one job, which the cache and the log of predictions do not see: it need not be a picture at all.
 *
 * Not here: sequences, shared memory, gRPC. */
#include "serve/clock.h"
#include "serve/exchange.h"
#include "serve/v2_request.h"
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char HEADER_LENGTH[] = "Inference-Header-Content-Length";

/* One infer request, from its arrival to its answer. */
struct serve_v2 {
    struct serve_exchange *exchange;
    struct serve_v2_request request;
    float *probabilities; /* [count, classes] */
    atomic_bool refused;  /* the queue was full for one of the asks */
    atomic_int left;      /* asks that are not done, and one while they begin */
    int ask_count;
    struct serve_ask asks[];
};

void serve_v2_free(struct serve_v2 *v2)
{
    if (!v2) return;
    serve_v2_request_free(&v2->request);
    rudd_free(v2->probabilities);
    rudd_free(v2);
}

/* ---- facts ------------------------------------------------------------------------------------------------------------- */

enum MHD_Result serve_answer_v2(struct serve_exchange *x)
{
    return serve_send_json(x, 200,
                           json_pack("{s:s,s:s,s:[ss]}", "name", "rudd-serve", "version", RUDD_VERSION, "extensions",
                                     "classification", "binary_tensor_data"));
}

enum MHD_Result serve_answer_v2_live(struct serve_exchange *x)
{
    return serve_send_json(x, 200, json_pack("{s:b}", "live", 1));
}

enum MHD_Result serve_answer_v2_ready(struct serve_exchange *x)
{
    bool ready = serve_state_of(x->server) == SERVE_READY;
    return serve_send_json(x, ready ? 200 : 503, json_pack("{s:b}", "ready", ready));
}

/* Makes the exchange's model the one that a path below /v2/models/ names, of any version or of the path's. NULL and a problem. */
static const struct serve_model *find_model(struct serve_exchange *x, enum serve_v2_action *action)
{
    char version[65] = "";
    const struct serve_model *all[SERVE_MODELS_MAX], *found = NULL;
    bool named = false;
    int count = serve_models_all(all, x->server->models);
    for (int i = 0; i < count; i++) {
        enum serve_v2_action a = serve_v2_path_parse(version, x->tail, all[i]->name);
        bool fits = a != SERVE_V2_NOTHING && (!*version || !strcmp(version, all[i]->version));
        if (a != SERVE_V2_NOTHING) *action = a;
        named = named || a != SERVE_V2_NOTHING;
        /* X-Model-Version chooses where the path does not. */
        if (fits && (!found || (!*version && all[i] == x->model))) {
            serve_models_put(x->server->models, found);
            found = all[i];
        } else {
            serve_models_put(x->server->models, all[i]);
        }
    }
    if (!found && named)
        serve_refuse(&x->problem, 404, "unknown_version", "there is no such version; /v2/models/NAME lists those there are");
    if (!found)
        serve_refuse(&x->problem, 404, "not_found", "there is no /v2/models/%.80s here; /model_info names the models", x->tail);
    if (x->problem.http) {
        serve_models_put(x->server->models, found);
        return NULL;
    }
    serve_models_put(x->server->models, x->model);
    return x->model = found;
}

static json_t *metadata(struct serve_exchange *x, const struct serve_model *m)
{
    int size = m->model->preprocess.image_size, count;
    const struct serve_model *all[SERVE_MODELS_MAX];
    json_t *versions = json_array();
    count = serve_models_all(all, x->server->models);
    for (int i = 0; i < count; i++) {
        if (!strcmp(all[i]->name, m->name)) json_array_append_new(versions, json_string(all[i]->version));
        serve_models_put(x->server->models, all[i]);
    }
    return json_pack("{s:s,s:o,s:s,s:[{s:s,s:s,s:[i]},{s:s,s:s,s:[i,i,i,i]}],s:[{s:s,s:s,s:[i,i]}]}", "name", m->name,
                     "versions", versions, "platform", "rudd", "inputs", "name", "image", "datatype", "BYTES", "shape", -1,
                     "name", "input", "datatype", "FP32", "shape", -1, 3, size, size, "outputs", "name", "probabilities",
                     "datatype", "FP32", "shape", -1, m->model->class_count);
}

enum MHD_Result serve_answer_v2_model(struct serve_exchange *x)
{
    enum serve_v2_action action = SERVE_V2_NOTHING;
    const struct serve_model *model = find_model(x, &action);
    if (x->problem.http) return serve_send_problem(x);
    return serve_send_json(
        x, 200, action == SERVE_V2_READY ? json_pack("{s:s,s:b}", "name", model->name, "ready", 1) : metadata(x, model));
}

/* ---- the answer -------------------------------------------------------------------------------------------------------- */

/* Appends a BYTES element: its length and itself. */
static bool add_element(struct serve_bytes *out, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);
    const uint8_t length[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};
    return !serve_bytes_add(out, length, 4, SIZE_MAX) && !serve_bytes_add(out, text, n, SIZE_MAX);
}

/* "probability:index:label" of the k most likely classes of each picture, into data (JSON) or bytes. */
static bool add_classes(json_t *data, struct serve_bytes *bytes, const struct nn_model *m, const struct serve_v2 *v2, int k)
{
    struct rudd_top *top = rudd_alloc(sizeof *top * (size_t)k);
    bool good = top != NULL;
    for (int i = 0; good && i < v2->request.count; i++) {
        rudd_top_k(top, k, v2->probabilities + (size_t)i * (size_t)m->class_count, m->class_count);
        for (int j = 0; good && j < k; j++) {
            struct serve_bytes text = {0};
            good = !serve_bytes_print(&text, "%.6f:%d:%s", (double)top[j].probability, top[j].index,
                                      m->classes[top[j].index].name);
            if (good)
                good =
                    data ? !json_array_append_new(data, json_string((char *)text.data)) : add_element(bytes, (char *)text.data);
            rudd_free(text.data);
        }
    }
    rudd_free(top);
    return good;
}

/* The answer's JSON, and the tensor's bytes if those were asked for. NULL: no memory. */
static json_t *make_answer(struct serve_bytes *tensor, const struct serve_model *model, const struct serve_v2 *v2)
{
    const struct serve_v2_request *r = &v2->request;
    const int classes = model->model->class_count, k = r->classification < classes ? r->classification : classes;
    const size_t values = (size_t)r->count * (size_t)classes;
    json_t *data = r->binary ? NULL : json_array();
    bool good = r->binary || data;
    if (k)
        good = good && add_classes(data, tensor, model->model, v2, k);
    else if (r->binary)
        good = !serve_bytes_add(tensor, v2->probabilities, values * sizeof(float), SIZE_MAX);
    for (size_t i = 0; good && data && !k && i < values; i++)
        good = !json_array_append_new(data, json_real((double)v2->probabilities[i]));
    json_t *output = json_pack("{s:s,s:s,s:[i,i]}", "name", "probabilities", "datatype", k ? "BYTES" : "FP32", "shape",
                               r->count, k ? k : classes);
    if (data)
        good = !json_object_set_new(output, "data", data) && good;
    else
        good = !json_object_set_new(output, "parameters", json_pack("{s:I}", "binary_data_size", (json_int_t)tensor->length)) &&
               good;
    json_t *root = json_pack("{s:s,s:s,s:[o]}", "model_name", model->name, "model_version", model->version, "outputs", output);
    if (root && r->id) good = !json_object_set_new(root, "id", json_string(r->id)) && good;
    if (good && root) return root;
    json_decref(root);
    return NULL;
}

static enum MHD_Result send_answer(struct serve_exchange *x, const struct serve_v2 *v2)
{
    struct serve_bytes out = {0}, tensor = {0};
    json_t *root = make_answer(&tensor, serve_model_of(x), v2);
    bool good = root && !serve_json_print(&out, root);
    char length[32];
    snprintf(length, sizeof length, "%zu", out.length);
    if (good && v2->request.binary) good = !serve_bytes_add(&out, tensor.data, tensor.length, SIZE_MAX);
    rudd_free(tensor.data);
    struct MHD_Response *response =
        good ? MHD_create_response_from_buffer_with_free_callback(out.length, out.data, rudd_free) : NULL;
    if (!response) {
        rudd_free(out.data);
        serve_refuse(&x->problem, 503, "out_of_memory", "the server is short of memory; try again");
        return serve_send_problem(x);
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            v2->request.binary ? "application/octet-stream" : "application/json");
    if (v2->request.binary) MHD_add_response_header(response, HEADER_LENGTH, length);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    return serve_send_response(x, 200, response);
}

/* Picture i of a tensor; its stages are counted once. */
static void count_tensor(struct serve_exchange *x, const struct serve_v2 *v2, int i)
{
    struct serve_job row = v2->asks[0].job;
    row.probabilities = v2->probabilities + (size_t)i * (size_t)v2->asks[0].model->model->class_count;
    row.cached = i > 0;
    serve_count_prediction(x->server, v2->asks[0].model, &row, serve_now_ms() - x->start_ms);
}

static void remember(struct serve_exchange *x, const struct serve_ask *ask)
{
    const struct serve_asker who = {x->trace.request_id, *x->client ? x->client : NULL, x->start_ms};
    char id[SERVE_ID], hash[NN_SHA256_HEX];
    if (serve_new_id(id)) serve_ask_remember(hash, ask, id, &who, NULL);
}

/* All are done: the first that failed is the answer, or all of them are. */
static enum MHD_Result finish(struct serve_exchange *x, struct serve_v2 *v2)
{
    const struct nn_model *m = serve_model_of(x)->model;
    const size_t values = (size_t)v2->request.count * (size_t)m->class_count;
    for (int i = 0; i < v2->ask_count && !x->problem.http; i++) {
        if (!v2->asks[i].job.status) continue;
        serve_ask_refuse(&x->problem, &v2->asks[i]);
        size_t n = strlen(x->problem.detail);
        if (v2->ask_count > 1 && !v2->asks[i].full)
            snprintf(x->problem.detail + n, sizeof x->problem.detail - n, " (picture %d)", i);
    }
    for (size_t i = 0; i < values && v2->request.tensor && !x->problem.http; i++)
        if (!isfinite(v2->probabilities[i]))
            serve_refuse(&x->problem, 422, "not_finite", "the network's answer is not finite; is the input normalised?");
    if (x->problem.http) return serve_send_problem(x);

    for (int i = 0; i < v2->request.count; i++)
        if (v2->request.tensor)
            count_tensor(x, v2, i);
        else
            remember(x, &v2->asks[i]);
    return send_answer(x, v2);
}

/* ---- the request ------------------------------------------------------------------------------------------------------- */

static void part_done(struct serve_v2 *v2)
{
    if (atomic_fetch_sub(&v2->left, 1) == 1) MHD_resume_connection(v2->exchange->connection);
}

static void ask_done(struct serve_ask *ask)
{
    struct serve_v2 *v2 = ask->user;
    if (ask->full) v2->refused = true;
    part_done(v2);
}

/* The body as a request of this model; false: refused. */
static bool parse_body(struct serve_v2_request *r, struct serve_exchange *x, const struct serve_model *model)
{
    const struct serve_body *body = &x->body;
    const char *text = serve_header(x, HEADER_LENGTH), *coded = serve_header(x, MHD_HTTP_HEADER_CONTENT_ENCODING);
    size_t n = body->bytes.length, digits = text ? strspn(text, "0123456789") : 0;
    if (body->too_large)
        return serve_refuse(&x->problem, 413, "body_too_large", "the body is larger than %zu bytes, the limit of this server",
                            body->max);
    if (body->failed) return serve_refuse(&x->problem, 503, "out_of_memory", "the server is short of memory; try again");
    if (body->kind == SERVE_BODY_MULTIPART || (coded && strcmp(coded, "identity")))
        return serve_refuse(&x->problem, 415, "not_json",
                            "send JSON, and tensor bytes behind it, neither compressed nor as a form");
    if (text && (!digits || text[digits] || digits > 12))
        return serve_refuse(&x->problem, 400, "bad_header", "%s must be a number of bytes", HEADER_LENGTH);
    if (!n) return serve_refuse(&x->problem, 400, "empty_body", "send {\"inputs\":[...]}; GET /v2/models/NAME says which");
    return serve_v2_parse(r, body->bytes.data, n, text ? (size_t)strtoull(text, NULL, 10) : n,
                          model->model->preprocess.image_size, &x->problem);
}

/* x->v2 with its asks filled; false: refused. */
static bool make_asks(struct serve_exchange *x, const struct serve_model *model, struct serve_v2_request *r)
{
    const size_t classes = (size_t)model->model->class_count;
    const double deadline = x->server->options.deadline_ms ? serve_now_ms() + x->server->options.deadline_ms : 0;
    int count = r->tensor ? 1 : r->count;
    struct serve_v2 *v2 = x->v2 = rudd_zalloc(1, sizeof *v2 + sizeof *v2->asks * (size_t)count);
    if (v2) v2->probabilities = rudd_alloc(sizeof(float) * (size_t)r->count * classes);
    if (!v2 || !v2->probabilities) {
        serve_v2_request_free(r);
        return serve_refuse(&x->problem, 503, "out_of_memory", "the server is short of memory; try again");
    }
    v2->exchange = x;
    v2->request = *r;
    v2->ask_count = count;
    for (int i = 0; i < count; i++) {
        struct serve_ask *ask = &v2->asks[i];
        serve_ask_init(ask, x->server, model, v2->probabilities + (size_t)i * classes, ask_done, v2);
        ask->job.deadline_ms = deadline;
        ask->job.tensor = r->tensor;
        ask->job.tensor_count = r->count;
        if (r->tensor) continue;
        ask->job.bytes = r->pictures[i].bytes;
        ask->job.length = r->pictures[i].length;
    }
    return true;
}

enum MHD_Result serve_answer_v2_infer(struct serve_exchange *x)
{
    if (x->v2) return finish(x, x->v2);
    enum serve_v2_action action = SERVE_V2_NOTHING;
    struct serve_v2_request r = {0};
    const struct serve_model *model = find_model(x, &action);
    if (x->problem.http || !parse_body(&r, x, model) || !make_asks(x, model, &r)) return serve_send_problem(x);
    struct serve_v2 *v2 = x->v2;
    atomic_init(&v2->left, v2->ask_count + 1);
    /* Suspended before the hand-over: all may be done before the last submit returns. */
    MHD_suspend_connection(x->connection);
    for (int i = 0; i < v2->ask_count; i++)
        if (v2->refused || serve_ask_find(&v2->asks[i]))
            part_done(v2);
        else
            serve_ask_go(&v2->asks[i]);
    part_done(v2);
    return MHD_YES;
}
