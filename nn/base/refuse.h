/* refuse.h - why a file or a folder cannot be opened or written, in words that say what to do. */
#ifndef NN_BASE_REFUSE_H
#define NN_BASE_REFUSE_H

#include "nn/rudd.h"

/* RUDD_IO with its message. what: "file" or "folder". cause: errno. Any thread. */
enum rudd_status nn_refuse_open(const char *path, const char *what, int cause,
                                struct rudd_error *err);
/* The same where writing fails, and where a folder cannot be made. */
enum rudd_status nn_refuse_write(const char *path, int cause, struct rudd_error *err);
enum rudd_status nn_refuse_folder(const char *path, int cause, struct rudd_error *err);
/* What to do about a write that fails, to end a message with: "; make room ..." for a disk that takes
 * no more, else "". */
const char *nn_write_advice(int cause);

#endif
