/* protobuf.c - see protobuf.h. */
#include "weights/protobuf.h"
#include "nn/rudd.h"
#include <string.h>

enum wire { VARINT = 0, BYTES = 2, FIXED32 = 5 };

void weights_pb_free(struct weights_pb *m)
{
    rudd_free(m->bytes);
    *m = (struct weights_pb){0};
}

static void append(struct weights_pb *m, const void *bytes, size_t length)
{
    if (m->failed || !length) return;
    if (length > m->capacity - m->length) {
        size_t capacity = 2 * m->capacity + length + 64;
        unsigned char *grown = rudd_realloc(m->bytes, capacity);
        if (!grown) {
            m->failed = true;
            return;
        }
        m->bytes = grown;
        m->capacity = capacity;
    }
    memcpy(m->bytes + m->length, bytes, length);
    m->length += length;
}

static void varint(struct weights_pb *m, uint64_t value)
{
    unsigned char bytes[10];
    size_t n = 0;
    for (; value > 127; value >>= 7) bytes[n++] = (unsigned char)(value | 128);
    bytes[n++] = (unsigned char)value;
    append(m, bytes, n);
}

static void tag(struct weights_pb *m, int field, enum wire wire)
{
    varint(m, (uint64_t)field << 3 | wire);
}

void weights_pb_int(struct weights_pb *m, int field, uint64_t value)
{
    tag(m, field, VARINT);
    varint(m, value);
}

void weights_pb_float(struct weights_pb *m, int field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    tag(m, field, FIXED32);
    append(m, (unsigned char[]){bits & 255, bits >> 8 & 255, bits >> 16 & 255, bits >> 24}, 4);
}

void weights_pb_announce(struct weights_pb *m, int field, size_t length)
{
    tag(m, field, BYTES);
    varint(m, length);
}

void weights_pb_string(struct weights_pb *m, int field, const char *text)
{
    weights_pb_announce(m, field, strlen(text));
    append(m, text, strlen(text));
}

void weights_pb_message_open(struct weights_pb *m, int field, struct weights_pb *inner, size_t more)
{
    weights_pb_announce(m, field, inner->length + more);
    append(m, inner->bytes, inner->length);
    m->failed |= inner->failed;
    weights_pb_free(inner);
}

void weights_pb_message(struct weights_pb *m, int field, struct weights_pb *inner)
{
    weights_pb_message_open(m, field, inner, 0);
}
