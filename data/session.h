/* session.h - what rudd.h does not show of a session. */
#ifndef DATA_SESSION_H
#define DATA_SESSION_H

#include "data/image/decode.h"
#include "nn/options.h"
#include "nn/plan.h"

/* rudd_session_create whose plan keeps to memory_limit (nn_plan_options). */
enum rudd_status data_session_create(rudd_session **session, const rudd_model *model, int max_batch, size_t memory_limit,
                                     struct rudd_error *err);

/* From now on pictures are read within these limits (copied); before, within data_limits_default. */
void data_session_set_limits(rudd_session *session, const struct data_limits *limits);
/* What is wrong with the last picture although it could be read: a data_image's note, "": nothing. */
const char *data_session_note(const rudd_session *session);
/* rudd_predict_bytes whose messages call the picture `name`. */
enum rudd_status data_session_predict(rudd_session *session, const void *bytes, size_t length, const char *name,
                                      struct rudd_timing *timing, struct rudd_error *err);

/* --raw and --calibrated, of everything that answers with a model's probabilities. */
#define DATA_OPTION_RAW(target)                                                                                                \
    {                                                                                                                          \
        "raw", NN_OPTION_FLAG, target, NULL, 0, 0, "probabilities of the network itself, without the model's temperature"      \
    }
#define DATA_OPTION_CALIBRATED(target)                                                                                         \
    {                                                                                                                          \
        "calibrated", NN_OPTION_FLAG, target, NULL, 0, 0,                                                                      \
            "refuse a model that holds no temperature; one that does is always calibrated"                                     \
    }
/* RUDD_ARGUMENT for both options at once, RUDD_MISMATCH where `calibrated` is asked of a model without a
 * temperature. name starts the message. */
enum rudd_status data_calibration_check(const rudd_model *model, const char *name, bool raw, bool calibrated,
                                        struct rudd_error *err);

/* The session's plan, for traces; it lives as long as the session. */
struct nn_plan *data_session_plan(rudd_session *session);

#endif
