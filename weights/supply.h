/* supply.h - tensors on their way into a file: what they are is known at once, their values come one tensor at a time.
 *
 *     values in memory, or in the file they come from --fetch i--> float32 --narrow--> the dtype of storage --> the container's writer
 *
 * So no writer needs a second copy of a model: rudd import holds one tensor at a time. Every container's writer takes a supply. */
#ifndef WEIGHTS_SUPPLY_H
#define WEIGHTS_SUPPLY_H

#include "weights/metadata.h"
#include "weights/model_file.h"

struct weights_supply {
    const struct weights_tensor *tensors; /* name, dtype, rank, shape, count */
    int count;
    /* *bytes: tensor i's values, row-major in its dtype, until the next call. NULL: they are where tensors[i].data says. */
    enum rudd_status (*fetch)(const void **bytes, struct weights_supply *supply, int i, struct rudd_error *err);
};
enum rudd_status weights_fetch(const void **bytes, struct weights_supply *supply, int i, struct rudd_error *err);

/* Writes a supply and metadata into a container (safetensors.h, npz.h), atomically. */
typedef enum rudd_status weights_writer(const char *path, struct weights_supply *supply, const struct weights_meta *meta,
                                        int meta_count, struct rudd_error *err);

/* A model's parameters under the names of a dialect and in its layout, in their order. */
struct weights_model_supply {
    struct weights_supply supply;
    const struct nn_model *model;
    const float *values; /* NULL: the model's, or its source's */
    struct weights_tensor *tensors;
    char (*names)[NN_NAME];
    float *scratch;  /* [count of the largest parameter] */
    float *laid_out; /* likewise, for dialects with a layout of their own; else NULL */
};
/* values: NULL for the model's own, else a block of the same layout. model and values must outlive s. On failure there is nothing to free.
 * RUDD_ARGUMENT: the dialect has no names for this family, or values are nowhere to be had. */
enum rudd_status weights_model_supply_init(struct weights_model_supply *s, const struct nn_model *model, const float *values,
                                           struct weights_form form, struct rudd_error *err);
void weights_model_supply_free(struct weights_model_supply *s);
/* Parameter i in float32 as the file will hold it, but in our layout: rounded where its dtype is narrow. out [count].
 * Several threads may call it at the same time. */
enum rudd_status weights_model_supply_read(float *out, struct weights_model_supply *s, int i, struct rudd_error *err);

/* The native metadata of what s will write, the golden answer among them, which runs the network once over the values as they will be stored. */
enum rudd_status weights_model_metadata(struct weights_metadata *metadata, struct weights_model_supply *s,
                                        struct rudd_error *err);

/* weights_model_save_as (model_file.h) into any container. */
enum rudd_status weights_model_write(const char *path, weights_writer *writer, const struct nn_model *model,
                                     const float *values, struct weights_form form, struct rudd_error *err);

/* in [count] to F32, F16 or BF16: to the nearest, halves to even; infinities and NaNs stay what they are. Returns count, or the index of the first
 * finite value that is beyond the dtype's largest. out may be in. */
size_t weights_from_f32(void *out, enum weights_dtype dtype, const float *in, size_t count);
/* The same for the tensor of that name, saying which value does not fit: RUDD_LIMIT. */
enum rudd_status weights_narrow(void *out, enum weights_dtype dtype, const float *in, size_t count, const char *name,
                                struct rudd_error *err);

#endif
