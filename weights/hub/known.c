/* known.c - see known.h. */
#include "weights/hub/known.h"

#include <stdio.h>
#include <string.h>

#include "nn/options.h"

static const struct hub_known rows[] = {
    {"efficientnet_b0", "ra_in1k ra4_e3600_r224_in1k"},
    {"efficientnet_b1", "ft_in1k ra4_e3600_r240_in1k"},
    {"efficientnet_b2", "ra_in1k"},
    {"efficientnet_b3", "ra2_in1k"},
    {"efficientnet_b4", "ra2_in1k"},
    {"efficientnet_b5", "sw_in12k_ft_in1k"},
    {"tf_efficientnet_b0", "ns_jft_in1k ap_in1k aa_in1k in1k"},
    {"tf_efficientnet_b1", "ns_jft_in1k ap_in1k aa_in1k in1k"},
    {"tf_efficientnet_b2", "ns_jft_in1k ap_in1k aa_in1k in1k"},
    {"tf_efficientnet_b3", "ns_jft_in1k ap_in1k aa_in1k in1k"},
    {"tf_efficientnet_b4", "ns_jft_in1k ap_in1k aa_in1k in1k"},
    {"tf_efficientnet_b5", "ns_jft_in1k ap_in1k aa_in1k ra_in1k in1k"},
    {"tf_efficientnet_b6", "ns_jft_in1k ap_in1k aa_in1k"},
    {"tf_efficientnet_b7", "ns_jft_in1k ap_in1k aa_in1k ra_in1k"},
    {"tf_efficientnetv2_b0", "in1k"},
    {"tf_efficientnetv2_b1", "in1k"},
    {"tf_efficientnetv2_b2", "in1k"},
    {"tf_efficientnetv2_b3", "in21k_ft_in1k in1k"},
    {"tf_efficientnetv2_s", "in21k_ft_in1k in1k"},
    {"mobilenetv2_050", "lamb_in1k"},
    {"mobilenetv2_100", "ra_in1k"},
    {"mobilenetv2_140", "ra_in1k"},
    {"resnetv2_50", "a1h_in1k"},
};
enum { ROWS = sizeof rows / sizeof *rows, NAMES = 80 };

const struct hub_known *hub_known(int i)
{
    return i >= 0 && i < ROWS ? &rows[i] : NULL;
}

const struct hub_known *hub_known_arch(const char *arch)
{
    for (int i = 0; i < ROWS; i++)
        if (!strcmp(rows[i].arch, arch)) return &rows[i];
    return NULL;
}

/* ARCH.TAG of all rows; how many. */
static int list_names(char names[NAMES][64])
{
    int count = 0;
    for (int i = 0; i < ROWS; i++)
        for (const char *tag = rows[i].tags; *tag && count < NAMES;) {
            const size_t length = strcspn(tag, " ");
            snprintf(names[count++], 64, "%s.%.*s", rows[i].arch, (int)length, tag);
            tag += length + (tag[length] == ' ');
        }
    return count;
}

bool hub_is_known(const char *text)
{
    char names[NAMES][64];
    const int count = list_names(names);
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], text)) return true;
    return false;
}

bool hub_known_nearest(char *out, size_t size, const char *text)
{
    char names[NAMES][64], arch[64];
    const char *list[NAMES], *bare = strrchr(text, '/') ? strrchr(text, '/') + 1 : text;
    const int count = list_names(names);
    for (int i = 0; i < count; i++) list[i] = names[i];
    snprintf(arch, sizeof arch, "%.*s", (int)(strcspn(bare, ".") < 63 ? strcspn(bare, ".") : 63),
             bare);
    const struct hub_known *row = hub_known_arch(arch);
    const char *near = row || strlen(bare) > 60 ? NULL : nn_option_nearest(bare, list, count);
    if (row)
        snprintf(out, size, "timm/%s.%.*s", row->arch, (int)strcspn(row->tags, " "), row->tags);
    else if (near)
        snprintf(out, size, "timm/%s", near);
    return row || near;
}
