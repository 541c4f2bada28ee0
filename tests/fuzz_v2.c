/* fuzz_v2.c - the body of a v2 request. The first two bytes are the JSON's length (all of the body, when that is more); pictures of 2x2 keep
 * tensors small enough to be found. */
#include "serve/v2_request.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    struct serve_v2_request r = {0};
    struct serve_problem problem = {0};
    size_t n = size - 2, json = (size_t)data[0] | (size_t)data[1] << 8;
    uint8_t *body = rudd_alloc(n); /* a block of its own size: a byte too far is seen */
    memcpy(body, data + 2, n);
    if (serve_v2_parse(&r, body, n, json < n ? json : n, 2, &problem)) {
        size_t sum = 0;
        if (problem.http || r.count < 1 || r.count > SERVE_V2_PICTURES || !r.pictures == !r.tensor) abort();
        for (int i = 0; r.pictures && i < r.count; i++)
            for (size_t k = 0; k < r.pictures[i].length; k++) sum += r.pictures[i].bytes[k];
        for (int i = 0; r.tensor && i < 12 * r.count; i++) sum += r.tensor[i] > 0;
        if (sum == SIZE_MAX) abort();
        serve_v2_request_free(&r);
    } else if (!problem.http || r.json) {
        abort();
    }
    char version[65], *path = rudd_alloc(n + 1);
    memcpy(path, body, n);
    path[n] = 0;
    serve_v2_path_parse(version, path, "fish");
    rudd_free(path);
    rudd_free(body);
    return 0;
}
