/* explain.h - what went wrong with the hub, in one line that says what to do. */
#ifndef WEIGHTS_HUB_EXPLAIN_H
#define WEIGHTS_HUB_EXPLAIN_H

#include "weights/hub/name.h"
#include "weights/hub/transfer.h"

/* Who asked for what. */
struct hub_about {
    const struct hub_name *name;
    const struct hub_settings *settings;
    const char *file;
};

/* ENDPOINT/owner/name/resolve/REVISION/FILE; a slash in the revision becomes %2F. */
void hub_address(char url[HUB_URL], const struct hub_settings *settings, const char *repo,
                 const char *revision, const char *file);

/* The words for a result that is not HUB_DONE. part: how far the file came; NULL: not begun.
 * Returns its status; err of HUB_FAILED is left as it is. */
enum rudd_status hub_explain(const struct hub_about *about, enum hub_result result,
                             const struct hub_answer *answer, const struct hub_part *part,
                             struct rudd_error *err);
/* No network is to be used, and the cache has no such file. */
enum rudd_status hub_explain_offline(const struct hub_about *about, struct rudd_error *err);
/* err stays as it is, and says behind it how the file comes here without rudd. */
enum rudd_status hub_explain_by_hand(const struct hub_about *about, enum rudd_status status,
                                     struct rudd_error *err);

#endif
