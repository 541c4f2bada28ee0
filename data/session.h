/* session.h - what rudd.h does not show of a session. */
#ifndef DATA_SESSION_H
#define DATA_SESSION_H

#include "nn/plan.h"

/* rudd_session_create whose plan keeps to memory_limit (nn_plan_options). */
enum rudd_status data_session_create(rudd_session **session, const rudd_model *model, int max_batch, size_t memory_limit,
                                     struct rudd_error *err);

/* The session's plan, for traces; it lives as long as the session. */
struct nn_plan *data_session_plan(rudd_session *session);

#endif
