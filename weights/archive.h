/* archive.h - zip archives that hold weights: told apart by the entries they have.
 *
 *     config.json, model.weights.h5       .keras: a Keras model (keras.c)
 *     NAME/data.pkl, NAME/data/KEY ...    .pth: a PyTorch checkpoint (torch_read.c)
 *     X.npy ...                           .npz: NumPy's arrays by name (npz_read.c) */
#ifndef WEIGHTS_ARCHIVE_H
#define WEIGHTS_ARCHIVE_H

#include "weights/zip.h"

/* Any of them. RUDD_FORMAT when it is none. */
weights_parser weights_archive_parse;

/* ---- for archive.c ----------------------------------------------------------------------------------------------- */

/* Fills file, which has its path and owns what the parser adds even when it fails, from an open archive. */
typedef enum rudd_status weights_archive_parser(struct weights_file *file, struct weights_zip *zip, struct rudd_error *err);
weights_archive_parser weights_npz_parse, weights_keras_archive_parse;

#endif
