/* name.h - names of weights on the Hugging Face hub: which text is one, and what it names.
 *
 *     timm/tf_efficientnetv2_b0.in1k            owner/name: the newest version, "main"
 *     timm/tf_efficientnetv2_b0.in1k@v1         a branch, a tag or a commit of it
 *     hf-hub:timm/...   hf://timm/...           the same, as timm and the hub's own client write it
 *     https://huggingface.co/timm/...           the address of its page, or of a file on it
 *     tf_efficientnetv2_b0.in1k                 timm's, where known.h has it
 *
 * The rules for owner, name and revision are those of huggingface_hub (utils/_validators.py). */
#ifndef WEIGHTS_HUB_NAME_H
#define WEIGHTS_HUB_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum { HUB_REPO = 200, HUB_REVISION = 200 };

struct hub_name {
    char repo[HUB_REPO]; /* "timm/tf_efficientnetv2_b0.in1k" */
    char revision[HUB_REVISION];
    bool marked; /* it began with hf-hub:, hf:// or https://: it cannot be meant as a path */
};

/* Whether text is a name of these forms; then *name is filled. No file is looked at: a text such as
 * "models/fish" may be a path, too (hub.h decides). What ends as a file of weights or a model does
 * (".safetensors", ".pth", ".onnx") is none. endpoint: pages of it are taken, too; may be NULL. */
bool hub_name_parse(struct hub_name *name, const char *text, const char *endpoint);

/* Whether the revision is a commit: 40 hexadecimal digits. */
bool hub_is_commit(const char *revision);

#endif
