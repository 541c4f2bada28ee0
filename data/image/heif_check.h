/* heif_check.h - what a HEIC or AVIF file must keep to before libheif is given it. */
#ifndef DATA_HEIF_CHECK_H
#define DATA_HEIF_CHECK_H

#include "data/image/codec.h"

/* RUDD_FORMAT: not well-formed, or built in a way that rudd does not let through; RUDD_LIMIT: a
 * picture, a tile, or all tiles of a grid together are larger than limits. Thread-safe. */
enum rudd_status data_heif_check(const uint8_t *bytes, size_t length, const char *name,
                                 const struct data_limits *limits, struct rudd_error *err);

/* The pixels that a decoder of HEVC or AV1 would make of these bytes: the largest size that they
 * claim, 0 x 0 when none. HEVC: units of 4 bytes length and their content. AV1: a row of OBUs.
 * false: not well-formed, or several pictures where one is expected. */
struct data_coded_size {
    uint64_t w, h;
};
bool data_hevc_size(struct data_coded_size *size, const uint8_t *units, size_t length);
bool data_hevc_unit_size(struct data_coded_size *size, const uint8_t *unit, size_t length);
bool data_av1_size(struct data_coded_size *size, const uint8_t *obus, size_t length);

#endif
