/* folder.h - the weights file that a user means by a folder.
 *
 *     runs/mine, which holds model.safetensors                -> runs/mine/model.safetensors
 *     a Hugging Face folder without config.json, one file     -> the file of its known name
 *     pictures, other frameworks' folders, runs without model -> refused by what they are */
#ifndef WEIGHTS_CONTAINER_FOLDER_H
#define WEIGHTS_CONTAINER_FOLDER_H

#include <stdbool.h>
#include "nn/rudd.h"

/* Whether path is a folder with config.json and without run.json, as hubs hold models: then the
 * weights alone are not the model (weights/hf_folder.h). */
bool weights_is_hf_folder(const char *path);

enum { WEIGHTS_PATH = 4096 };

/* Into out the weights file of a folder, or path itself where it is no folder, which is not looked
 * at. RUDD_MISMATCH says what the folder is instead; RUDD_IO. Allocates nothing. */
enum rudd_status weights_find_file(char out[WEIGHTS_PATH], const char *path,
                                   struct rudd_error *err);

#endif
