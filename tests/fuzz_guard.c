/* fuzz_guard.c - the readers of what decides who may ask, and of what a shared cache holds. The first byte chooses one. */
#include <string.h>
#include "serve/cache_redis.h"
#include "serve/cors.h"
#include "serve/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file that is accepted has keys, and opens to none that it does not hold. */
static void key_file(const char *text, size_t n)
{
    struct serve_keys *keys = NULL;
    struct rudd_error err;
    char name[SERVE_KEY_NAME];
    if (serve_keys_parse(&keys, text, n, "the file", &err)) return;
    if (serve_keys_count(keys) < 1 || serve_keys_check(keys, "no such key", 11, name)) __builtin_trap();
    serve_keys_free(keys);
}

/* A key lies within its header and has no blank or control character. */
static void key_headers(const char *authorization, const char *api_key)
{
    size_t n = 0;
    const char *key = serve_key_parse(&n, authorization, api_key), *in = key == api_key ? api_key : authorization;
    if (!key) return;
    if (!n || key < in || key + n > in + strlen(in)) __builtin_trap();
    for (size_t i = 0; i < n; i++)
        if (key[i] <= ' ' || key[i] > '~') __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    struct serve_redis_address address;
    struct rudd_error err;
    float values[3];
    size_t n = size - 1;
    char *text = rudd_alloc(n + 1);
    memcpy(text, data + 1, n);
    text[n] = 0;
    const char *second = text + strlen(text) + (strlen(text) < n); /* behind the first 0, if there is one */
    switch (data[0] % 6) {
    case 0: key_file(text, n); break;
    case 1: key_headers(text, second); break;
    case 2: key_headers(NULL, text); break;
    case 3:
        if (!serve_cors_check(text, &err) && strcmp(text, "*") && serve_cors_allows(text, "null")) __builtin_trap();
        serve_cors_allows(text, second);
        serve_cors_is_own(text, second);
        break;
    case 4:
        if (!serve_redis_url_parse(&address, text, &err) && (!address.host[0] || address.port < 1 || address.port > 65535))
            __builtin_trap();
        break;
    default: serve_redis_value_parse(values, 3, text, n);
    }
    rudd_free(text);
    return 0;
}
