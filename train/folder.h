/* folder.h - folders and files that commands write into. */
#ifndef TRAIN_FOLDER_H
#define TRAIN_FOLDER_H

#include "nn/rudd.h"

#include <stdbool.h>

/* Makes one folder; one that is there already is fine. */
enum rudd_status train_folder_make(const char *path, struct rudd_error *err);
/* Makes it and those above it, where they are missing. RUDD_IO also when something else lies there. */
enum rudd_status train_folder_make_all(const char *path, struct rudd_error *err);
/* The folder must be there and empty, so that nothing of the user's is replaced and two runs' files
 * do not mix. what: "pictures are", which are written into it. may_stay: names that do no harm; NULL:
 * none. RUDD_ARGUMENT when it is not empty; err names one thing that it holds. */
enum rudd_status train_folder_must_be_empty(const char *path, const char *what, bool (*may_stay)(const char *name),
                                            struct rudd_error *err);
/* As train_folder_make, and it must be empty. */
enum rudd_status train_folder_claim(const char *path, struct rudd_error *err);
/* A whole file; nothing is left of it on failure. Neither atomic nor synced: for pictures by the thousand, not for models. */
enum rudd_status train_folder_write(const char *path, const void *bytes, size_t length, struct rudd_error *err);
/* A file that is about to be written must be new, empty, no plain file (a pipe), or begin like those
 * of its kind, so that no file of the user's is replaced by mistake. what: "a CSV of answers".
 * RUDD_ARGUMENT. */
enum rudd_status train_file_must_be_own(const char *path, const char *beginning, const char *what, struct rudd_error *err);

#endif
