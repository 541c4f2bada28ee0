/* known.h - weights on the hub that rudd's architectures take: timm's names, from its source.
 *
 * timm/models/efficientnet.py and resnetv2.py (Apache-2.0), default_cfgs: entries of 1,000 classes
 * with hf_hub_id. The hub holds many more that work: fine-tuned ones of everybody. */
#ifndef WEIGHTS_HUB_KNOWN_H
#define WEIGHTS_HUB_KNOWN_H

#include <stdbool.h>
#include <stddef.h>

struct hub_known {
    const char *arch;
    const char *tags; /* with spaces between; the first is the one to take when in doubt */
};

/* Row i; NULL past the end. In the order of rudd's architectures. */
const struct hub_known *hub_known(int i);
/* The row of an architecture; NULL: none. */
const struct hub_known *hub_known_arch(const char *arch);
/* Whether text is ARCH.TAG of a row. */
bool hub_is_known(const char *text);

/* The name that text may have been meant for, "timm/ARCH.TAG", into out: text is the name of a row
 * with a slip of the pen, with or without an owner, or with another tag. False: none is near. */
bool hub_known_nearest(char *out, size_t size, const char *text);

#endif
