/* refuse.h - why a file or a folder cannot be opened, in words that say what to do. */
#ifndef NN_BASE_REFUSE_H
#define NN_BASE_REFUSE_H

#include "nn/rudd.h"

/* RUDD_IO with its message. what: "file" or "folder". cause: errno. Any thread. */
enum rudd_status nn_refuse_open(const char *path, const char *what, int cause,
                                struct rudd_error *err);

#endif
