/* protobuf.h - protocol buffers, written only: a growing message, field by field.
 *
 *     message = field...      field = varint(number << 3 | wire type), then by wire type
 *         0  varint           integers: 7 bits a byte, lowest first, top bit set on all but the last
 *         2  varint n, n bytes  strings, bytes, messages in messages
 *         5  4 bytes LE       float
 *
 * A nested message is made by itself and then put into its parent, which knows its length by then. An allocation that fails is
 * remembered in `failed`, and everything after it is a no-op: the caller looks once, at the end.
 *
 * Source: protobuf.dev/programming-guides/encoding.   Not here: reading, groups, packed lists, zigzag and 64-bit fixed fields. */
#ifndef WEIGHTS_PROTOBUF_H
#define WEIGHTS_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message; {0} is an empty one. */
struct weights_pb {
    unsigned char *bytes;
    size_t length, capacity;
    bool failed;
};
void weights_pb_free(struct weights_pb *m);

/* Each appends one field. Integers >= 0. */
void weights_pb_int(struct weights_pb *m, int field, uint64_t value);
void weights_pb_float(struct weights_pb *m, int field, float value);
void weights_pb_string(struct weights_pb *m, int field, const char *text);
/* Puts inner in as a field and frees it; its failure becomes m's. */
void weights_pb_message(struct weights_pb *m, int field, struct weights_pb *inner);
/* The same for an inner message that is not complete: the caller writes `more` bytes of it behind m by itself. */
void weights_pb_message_open(struct weights_pb *m, int field, struct weights_pb *inner, size_t more);
/* A bytes field, all of whose length bytes the caller writes behind m by itself. */
void weights_pb_announce(struct weights_pb *m, int field, size_t length);

#endif
