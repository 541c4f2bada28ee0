/* near.h - pictures that show one photograph: cropped a little, mirrored, resized, saved again.
 *
 *     picture --data_near_look--> 32 x 32 luma --data_near_find--> groups
 *
 * Found are crops that lose up to a tenth on each side, mirror images, other sizes and other
 * compressions, and all of these together. Not found are turned pictures, larger crops and
 * pictures whose light was changed much. The time grows with the number of pictures, not with
 * its square, also where most of them are alike, as the frames of a fixed camera. */
#ifndef DATA_NEAR_H
#define DATA_NEAR_H

#include <stdbool.h>
#include "data/image/decode.h"

enum { DATA_NEAR_SIDE = 32 };

/* What is kept of a picture: 1 KiB. */
struct data_near_look {
    uint8_t luma[DATA_NEAR_SIDE * DATA_NEAR_SIDE]; /* the whole picture, squashed to a square */
    bool seen;                                     /* false: it could not be read */
};

/* Fills *look from a picture. RUDD_NO_MEMORY. Thread-safe. */
enum rudd_status data_near_look(struct data_near_look *look, const struct data_image *image,
                                struct rudd_error *err);

struct data_near_found {
    int *leader; /* [count] the first picture of its group; itself where it is alone */
    int plain;   /* pictures without enough structure to compare: never in a group */
    int cut;     /* pictures for which some comparison was left out to keep the time linear */
};
/* Groups looks[count]. The result depends on their order and content alone. RUDD_NO_MEMORY. */
enum rudd_status data_near_find(struct data_near_found *found, const struct data_near_look *looks,
                                int count, struct rudd_error *err);
void data_near_free(struct data_near_found *found);

/* How alike two looks are, -1..1: the correlation of their gradients where one is laid over the
 * other as well as it can be, mirrored or not, each cropped by up to 12 % a side. Slow and
 * thorough: the measure that data_near_find decides by, for tests and for choosing the threshold.
 */
double data_near_likeness(const struct data_near_look *a, const struct data_near_look *b);

#endif
