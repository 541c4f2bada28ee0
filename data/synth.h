/* synth.h - the embedded picture set: fifteen freshwater fishes, drawn.
 *
 * For demonstrations, tests and benchmarks on machines without data: pictures with varied individuals, pose, scale, light,
 * background, blur and noise, every one a pure function of (species, size, seed, index): no order, thread or file matters.
 *
 *     species.c      what each species looks like: one table
 *     synth_draw.c   one individual, shaded pixel by pixel on a canvas
 *     synth_scene.c  where it lies or swims, the light and the camera; the whole picture
 *     jpeg_write.c   the picture as a file
 *
 * Arithmetic is +, -, *, / and square roots on float alone (rounded the same everywhere; no libm), so the bytes are the same on
 * every machine. Not here: photographs, and any claim that a model trained on drawings knows real fish. */
#ifndef DATA_SYNTH_H
#define DATA_SYNTH_H

#include "data/image/decode.h"

#include <stdbool.h>

/* ---- the species ------------------------------------------------------------------------------------------------------------
 */

/* All lengths are shares of the standard length: x runs from the snout (0) to the end of the scaled body (1), y down.
 *
 *            dorsal[0] dorsal[1]        back[9] and belly[9]: distance of the outline from the axis at data_stations[]
 *              /|  |\   /--\            front, back: heights of a fin at both ends of its base
 *        __----------------------__|\   rake: how far the fin's tip lies behind its base, per height
 *      <  o  )    body             ||   fork: depth of the notch of the tail, as a share of its length; negative: rounded
 *       ''-----------------------''|/
 *            \pelvic  \anal/      tail */
enum { DATA_STATIONS = 9 };
extern const float data_stations[DATA_STATIONS];

struct data_fin {
    float x0, x1, front, back, rake;
    bool spiny;
};
enum data_pattern { DATA_PLAIN, DATA_BARS, DATA_LIGHT_SPOTS, DATA_DARK_SPOTS, DATA_BLOTCHES, DATA_MOTTLE };

struct data_species {
    const char *name, *latin, *en, *ru; /* name: the folder's and the label's */
    float back[DATA_STATIONS], belly[DATA_STATIONS];
    float head;                    /* length, to the edge of the gill cover */
    float mouth_y, gape, mouth_up; /* corner at x = gape; slope of the cleft: > 0 superior, < 0 inferior */
    float eye_x, eye_y, eye_r;
    float barbel; /* length; 0: none */
    struct data_fin dorsal[2], anal;
    float pelvic_x, pelvic_len, pectoral_len;
    float tail_len, tail_spread, fork;
    uint32_t back_rgb, flank_rgb, belly_rgb, iris_rgb, dorsal_rgb, tail_rgb, anal_rgb, pelvic_rgb, pectoral_rgb; /* 0xRRGGBB */
    enum data_pattern pattern;
    float pattern_count, pattern_strength; /* marks along the body; 0..1 */
    float fin_marks;                       /* dark spots on dorsal and tail fins, 0..1 */
    float scales, scale_edge, sheen;       /* rows from back to belly; contrast of their rims; silver, 0..1 */
};

enum { DATA_SPECIES_COUNT = 15 };
extern const struct data_species data_species[DATA_SPECIES_COUNT]; /* sorted by name, as a data set's classes are */
int data_species_find(const char *name);                           /* index; -1: no such species */

/* ---- pictures ---------------------------------------------------------------------------------------------------------------
 */

enum { DATA_SYNTH_MIN = 16, DATA_SYNTH_MAX = 2048 };

/* image becomes [size,size,3], from rudd_alloc. RUDD_ARGUMENT: species outside the table, or size outside MIN..MAX.
 * Thread-safe. */
enum rudd_status data_synth_picture(struct data_image *image, int species, int size, uint64_t seed, uint64_t index,
                                    struct rudd_error *err);

/* The same picture as a JPEG file in memory, at a quality that is drawn like all else. *bytes is from rudd_alloc. */
enum rudd_status data_synth_jpeg(uint8_t **bytes, size_t *length, int species, int size, uint64_t seed, uint64_t index,
                                 struct rudd_error *err);

#endif
