/* onnx_write.h - a model as an ONNX file, for ONNX Runtime, OpenVINO and whatever else reads that form. */
#ifndef WEIGHTS_ONNX_WRITE_H
#define WEIGHTS_ONNX_WRITE_H

#include "weights/file.h"
#include "nn/model.h"

/* All zeros: as the model is, batch norms folded, logits. */
struct weights_onnx_options {
    int image_size;      /* side of the input, 8..4096; 0: the model's */
    bool keep_batchnorm; /* BatchNormalization nodes under timm's names, instead of folded into the convolutions before them */
    bool softmax;        /* the output is "probabilities" instead of "logits" */
    bool raw;            /* probabilities without the model's temperature */
    bool preprocess;     /* the input is pixels of 0..255, normalised by the first nodes, Sub and Mul */
    enum weights_dtype dtype; /* of the initialisers: WEIGHTS_F32, or narrow and cast to float32 where they are read */
};

/* Writes model as ONNX, opset 17, atomically (replace.h). options may be NULL.
 *
 *     input "input" [N,3,size,size] float32, normalised (or as pixels), N any; output "logits" [N,classes] float32
 *
 * Parameters keep timm's names; with batch norm folded into convolution X, X.weight is the folded weight and X.bias is new. The
 * metadata of the model file (classes, preprocessing) come along as metadata_props. Equal models give equal bytes.
 * RUDD_ARGUMENT: image size; RUDD_LIMIT: a file of 2 GiB or more, which protocol buffers cannot hold. */
enum rudd_status weights_onnx_write(const char *path, const struct nn_model *model, const struct weights_onnx_options *options,
                                    struct rudd_error *err);

#endif
