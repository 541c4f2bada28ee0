/* fuzz_request.c - the parsers of what clients send. The first byte chooses one. */
#include "serve/request.h"
#include "serve/server.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    struct serve_problem problem = {0};
    struct rudd_error err;
    size_t n = size - 1, length = 0;
    uint8_t *image = NULL, *out = rudd_alloc(n / 4 * 3 + 2);
    char *text = rudd_alloc(n + 1), host[256];
    int number;
    memcpy(text, data + 1, n);
    text[n] = 0;
    switch (data[0] % 4) {
    case 0: serve_base64_parse(out, &length, text, n); break;
    case 1: serve_image_json_parse(&image, &length, data + 1, n, &problem); break;
    case 2: serve_top_k_parse(&number, text, 3, 1000, &problem); break;
    default: serve_listen_parse(host, &number, text, &err); break;
    }
    serve_accepts_json(text);
    serve_is_image(data + 1, n);
    rudd_free(image);
    rudd_free(out);
    rudd_free(text);
    return 0;
}
