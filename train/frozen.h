/* frozen.h - the frozen part of a network, run once over every picture: epochs go on from its activations.
 *
 *     pictures --decode, view--> plan below the frontier --> cache file (cache.h) --> data_source --> plan from the frontier on
 *              \__________ once, each thread its own picture __________/        \____________ every epoch ____________/
 *
 * Found again by what they were computed from: picture file, view, preprocessing, network, frozen weights, frontier, instruction tier.
 * So a run that died while caching goes on where it was, and runs that share a folder share what they have in common. Each picture
 * goes through the network alone and on one thread: its numbers depend on neither its neighbours nor the number of threads. */
#ifndef TRAIN_FROZEN_H
#define TRAIN_FROZEN_H

#include "train/evaluate.h"

struct train_frozen_options {
    int stage; /* the first that learns, above 0 */
    int bytes; /* of a cached number: 2 (float16) or 4 (float32) */
    int views; /* random ones of each training picture, epochs taking turns; 0: one, as evaluation sees it */
    /* image_size, preprocess; with views also augment and seed. augment must outlive what is made of it. */
    struct data_loader_options pictures;
    size_t memory_limit; /* for the plans of all threads; fewer run where they do not fit. 0: none */
};

struct train_frozen;
/* For the three sets of splits, some of which may be empty; model and splits must outlive it. Nothing is computed yet, but RUDD_LIMIT
 * says that it could not be. */
enum rudd_status train_frozen_create(struct train_frozen **frozen, struct nn_model *model, const struct data_splits *splits,
                                     const struct train_frozen_options *options, struct rudd_error *err);
void train_frozen_destroy(struct train_frozen *frozen);

/* Where learners and evaluators of this set go on; usable once train_frozen_fill has succeeded. A picture that could not be read then
 * fails with the same words now. set: one of the three. Empty for frozen NULL. */
struct train_frontier train_frozen_frontier(struct train_frozen *frozen, const struct data_set *set);

/* Computes what the cache file in this folder lacks, on kern_threads() threads. What is there when it fails is not lost. RUDD_CANCELLED:
 * events asked to stop. */
enum rudd_status train_frozen_fill(struct train_frozen *frozen, const char *folder, const struct train_events *events,
                                   struct rudd_error *err);
/* RUDD_FORMAT when a record could not be read back since: loaders take that for a bad picture. */
enum rudd_status train_frozen_check(const struct train_frozen *frozen, struct rudd_error *err);
/* Deletes the file: a run has ended, and the folder is its own. */
void train_frozen_remove(struct train_frozen *frozen);
/* Bytes of all its records, were none there yet; and the name of the file once it is filled. */
uint64_t train_frozen_bytes(const struct train_frozen *frozen);
const char *train_frozen_file(const struct train_frozen *frozen);

#endif
