/* bytes.c - see bytes.h. Grows by doubling from what has really arrived, never from what a header promises. */
#include "serve/bytes.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum rudd_status reserve(struct serve_bytes *b, size_t n)
{
    if (n <= b->capacity - b->length) return RUDD_OK;
    if (n > SIZE_MAX / 4 - b->length) return RUDD_NO_MEMORY;
    size_t capacity = b->capacity ? b->capacity : 1024;
    while (capacity < b->length + n) capacity *= 2;
    uint8_t *data = rudd_realloc(b->data, capacity);
    if (!data) return RUDD_NO_MEMORY;
    b->data = data;
    b->capacity = capacity;
    return RUDD_OK;
}

enum rudd_status serve_bytes_add(struct serve_bytes *b, const void *data, size_t n, size_t max)
{
    if (b->length > max || n > max - b->length) return RUDD_LIMIT;
    enum rudd_status status = reserve(b, n);
    if (status) return status;
    if (n) memcpy(b->data + b->length, data, n);
    b->length += n;
    return RUDD_OK;
}

enum rudd_status serve_bytes_print(struct serve_bytes *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    enum rudd_status status = n < 0 ? RUDD_ARGUMENT : reserve(b, (size_t)n + 1);
    if (!status) {
        vsnprintf((char *)b->data + b->length, (size_t)n + 1, format, again);
        b->length += (size_t)n;
    } else {
        b->lost = true;
    }
    va_end(again);
    return status;
}
