/* fuzz_hub.c - any text as the name of weights: what is taken for one can be asked for, and stands
 * for itself. */
#include "weights/hub/explain.h"
#include "weights/hub/known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hub_name n, again;
    char text[1024], url[HUB_URL], near[200];
    const struct hub_settings settings = {.endpoint = "https://hub.example:8080/x"};
    if (size >= sizeof text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    hub_known_nearest(near, sizeof near, text);
    if (!hub_name_parse(&n, text, settings.endpoint)) return 0;
    /* One folder below the cache, one file below refs/. */
    const char *slash = strchr(n.repo, '/');
    if (!slash || strchr(slash + 1, '/') || strstr(n.repo, "..")) abort();
    if (strstr(n.revision, "..")) abort();
    if (*n.revision == '/' || strstr(n.revision, "//")) abort();
    hub_address(url, &settings, n.repo, n.revision, "config.json");
    if (strpbrk(url, " \t\r\n\"?#")) abort();
    snprintf(text, sizeof text, "hf-hub:%s@%s", n.repo, n.revision);
    if (!hub_name_parse(&again, text, NULL)) abort();
    if (strcmp(again.repo, n.repo) || strcmp(again.revision, n.revision)) abort();
    return 0;
}
