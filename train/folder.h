/* folder.h - folders that commands write pictures into. */
#ifndef TRAIN_FOLDER_H
#define TRAIN_FOLDER_H

#include "nn/rudd.h"

/* Makes one folder; one that is there already is fine. */
enum rudd_status train_folder_make(const char *path, struct rudd_error *err);
/* Makes it and those above it, where they are missing. RUDD_IO also when something else lies there. */
enum rudd_status train_folder_make_all(const char *path, struct rudd_error *err);
/* As train_folder_make, but it must be empty: pictures of two runs in one folder would mix. RUDD_ARGUMENT when it is not. */
enum rudd_status train_folder_claim(const char *path, struct rudd_error *err);
/* A whole file; nothing is left of it on failure. Neither atomic nor synced: for pictures by the thousand, not for models. */
enum rudd_status train_folder_write(const char *path, const void *bytes, size_t length, struct rudd_error *err);

#endif
