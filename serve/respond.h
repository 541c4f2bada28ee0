/* respond.h - the server's answers as JSON (INTERFACE: the superset of what earlier clients read).
 *
 * Each function gives a new reference, or NULL when memory ran out; serve_json_print frees it. */
#ifndef SERVE_RESPOND_H
#define SERVE_RESPOND_H

#include <jansson.h>
#include "nn/model.h"
#include "serve/bytes.h"
#include "serve/engine.h"
#include "serve/models.h"
#include "serve/request.h"

enum serve_state { SERVE_LOADING, SERVE_READY, SERVE_DRAINING };
const char *serve_state_name(enum serve_state state); /* "loading", "ready", "draining" */

/* /predict: the job's probabilities; total_ms from the request's first header to now; id names this answer. */
json_t *serve_json_prediction(const struct serve_model *model, const struct serve_job *job, int top_k, double total_ms,
                              const char *id);
json_t *serve_json_model(const struct serve_model *model);
json_t *serve_json_versions(struct serve_models *models); /* [{"version","model_name","sha256","default"}, ...] */
/* Service facts for `GET /`; model NULL while loading. */
json_t *serve_json_facts(const struct serve_model *model, size_t max_body, uint64_t max_pixels);
json_t *serve_json_health(const struct serve_model *model, enum serve_state state, double uptime_s);
json_t *serve_json_status(const char *status);
json_t *serve_json_problem(const struct serve_problem *problem);

/* Appends root as one line of JSON to out and drops the reference; numbers have 9 significant digits, which is all of a float.
 */
enum rudd_status serve_json_print(struct serve_bytes *out, json_t *root);

#endif
