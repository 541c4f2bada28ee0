/* unpack.h - deflated bytes of a weights file, as much of them as somebody wants. */
#ifndef WEIGHTS_UNPACK_H
#define WEIGHTS_UNPACK_H

#include "weights/file.h"

/* out [count]: bytes first .. first+count of what packed unpacks to, which has them. Whatever is wanted, all of it is gone through (64 KiB at a time,
 * nothing else is held), and RUDD_FORMAT says, beginning with where, that it does not unpack to packed->size bytes of packed->crc. What is
 * not deflated is copied. Bytes that lie in file's map are read from the file itself (weights_read_bytes: RUDD_IO); others from memory. */
enum rudd_status weights_unpack(void *out, size_t first, size_t count, const struct weights_packed *packed,
                                const struct weights_file *file, const char *where, struct rudd_error *err);

#endif
