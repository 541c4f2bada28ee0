/* sort_undo.h - undo.sh of a folder of sorted pictures (predict_sort.c): written line by line. */
#ifndef TRAIN_SORT_UNDO_H
#define TRAIN_SORT_UNDO_H

#include <stdbool.h>
#include "nn/rudd.h"

struct train_undo;
/* Marks the folder, whose descriptor is dir, and begins its undo.sh, or goes on with the one that an
 * earlier sort left. made: the folder itself is new, so undoing removes it too. RUDD_ARGUMENT when
 * the folder holds anything else. */
enum rudd_status train_undo_open(struct train_undo **undo, int dir, const char *folder, bool made, struct rudd_error *err);
/* Call these before making the thing. name: its path within the folder, without a dash in front. */
enum rudd_status train_undo_folder(struct train_undo *undo, const char *name, struct rudd_error *err);
/* target: the absolute path of the picture. */
enum rudd_status train_undo_file(struct train_undo *undo, const char *name, const char *target, bool copy,
                                 struct rudd_error *err);
void train_undo_close(struct train_undo *undo); /* NULL is fine */

#endif
