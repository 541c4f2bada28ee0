/* share.h - work that can fail, shared among threads: reading and preparing weights. */
#ifndef NN_SHARE_H
#define NN_SHARE_H

#include "nn/rudd.h"

/* One item of work. lane: 0 <= lane < the lanes asked for; no two items run in one lane at a time. */
typedef enum rudd_status nn_share_fn(void *user, int item, int lane, struct rudd_error *err);

/* Runs fn for the items 0 .. count-1, taken in this order, up to `lanes` of them at a time. Once one has
 * failed no further one is begun. Status and message are those of the lowest item that failed,
 * whatever the timing. fn may itself share (kernels/team.h). */
enum rudd_status nn_share(int count, int lanes, nn_share_fn *fn, void *user, struct rudd_error *err);

#endif
