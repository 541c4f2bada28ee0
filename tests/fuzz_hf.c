/* fuzz_hf.c - arbitrary bytes as a Hugging Face folder's config.json. */
#include "weights/hf_folder.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weights_hf hf;
    struct rudd_error err;
    if (weights_hf_parse(&hf, data, size, "fuzz", &err)) return 0;
    volatile size_t length = strlen(hf.arch); /* what is handed out must lie in memory that is still there */
    for (int i = 0; i < hf.class_count; i++) length += strlen(hf.names[i]);
    (void)length;
    weights_hf_free(&hf);
    return 0;
}
