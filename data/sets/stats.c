/* stats.c - sizes and colours of a set: see check.h. Histograms are exact, and a pixel costs three
 * increments. */
#include "data/sets/check.h"
#include "data/image/decode.h"

#include <math.h>

void data_stats(struct data_stats *stats, const struct data_set *set,
                const struct data_limits *limits)
{
    struct data_stats s = {0};
    uint64_t histogram[3][256] = {{0}}, pixels = 0, w_sum = 0, h_sum = 0;
    for (int i = 0; i < set->count; i++) {
        struct data_image image;
        if (data_image_read(&image, set->items[i].path, limits, NULL)) {
            s.bad++;
            continue;
        }
        for (size_t j = 0, n = (size_t)image.w * (size_t)image.h; j < n; j++)
            for (int c = 0; c < 3; c++) histogram[c][image.rgb[3 * j + (size_t)c]]++;
        if (s.pictures == 0 || image.w < s.w_min) s.w_min = image.w;
        if (s.pictures == 0 || image.h < s.h_min) s.h_min = image.h;
        if (image.w > s.w_max) s.w_max = image.w;
        if (image.h > s.h_max) s.h_max = image.h;
        w_sum += (uint64_t)image.w;
        h_sum += (uint64_t)image.h;
        pixels += (uint64_t)image.w * (uint64_t)image.h;
        s.pictures++;
        data_image_free(&image);
    }
    for (int c = 0; c < 3 && s.pictures; c++) {
        double sum = 0, squares = 0;
        for (int v = 0; v < 256; v++) sum += (double)histogram[c][v] * v;
        s.mean[c] = sum / (double)pixels;
        for (int v = 0; v < 256; v++)
            squares += (double)histogram[c][v] * (v - s.mean[c]) * (v - s.mean[c]);
        s.std[c] = sqrt(squares / (double)pixels) / 255;
        s.mean[c] /= 255;
    }
    if (s.pictures) {
        s.w_mean = (double)w_sum / s.pictures;
        s.h_mean = (double)h_sum / s.pictures;
    }
    *stats = s;
}
