/* torch_read.h - PyTorch's checkpoints (.pth, .pt): see torch_read.c. */
#ifndef WEIGHTS_TORCH_READ_H
#define WEIGHTS_TORCH_READ_H

#include "weights/archive.h"

/* The form of torch.save since 1.6. */
weights_archive_parser weights_torch_zip_parse;
/* The form before it, and of _use_new_zipfile_serialization=False. */
weights_parser weights_torch_stream_parse;

#endif
