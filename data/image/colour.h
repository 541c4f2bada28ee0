/* colour.h - colour and sharpness of 8-bit RGB, bit-equal to Pillow's ImageEnhance and to
 * torchvision's adjust_hue over it.
 *
 * All work in place on count pixels [count, 3]; a factor of 1 (hue: 0) changes nothing. Factors are
 * >= 0. Thread-safe. */
#ifndef DATA_COLOUR_H
#define DATA_COLOUR_H

#include <stddef.h>
#include <stdint.h>

void data_brightness(uint8_t *rgb, size_t count, float factor); /* blend with black */
void data_contrast(uint8_t *rgb, size_t count,
                   float factor); /* blend with the mean grey of the picture */
void data_saturation(uint8_t *rgb, size_t count, float factor); /* blend with its own grey */
/* Blend with a smoothed copy of [h, w, 3]; the outermost pixels stay. scratch: as many bytes,
 * overlaps nothing. */
void data_sharpness(uint8_t *rgb, uint8_t *scratch, int w, int h, float factor);
void data_hue(uint8_t *rgb, size_t count, double shift); /* turns, -0.5 .. 0.5 */

#endif
