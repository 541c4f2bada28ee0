/* session.h - what rudd.h does not show of a session. */
#ifndef DATA_SESSION_H
#define DATA_SESSION_H

#include "nn/plan.h"

/* The session's plan, for traces; it lives as long as the session. */
struct nn_plan *data_session_plan(rudd_session *session);

#endif
