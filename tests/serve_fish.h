/* serve_fish.h - what a server under test answers with, and to: a small random model of five species, and pictures. */
#ifndef TESTS_SERVE_FISH_H
#define TESTS_SERVE_FISH_H

#include "tests/serve_client.h"
#include "weights/model_file.h"
#include <png.h>

enum { CLASSES = 5, SIZE = 64 }; /* of the model; the side of its pictures */

/* A PNG of w*h: waves and stripes that depend on seed. */
HELPER struct text make_png(int w, int h, int seed)
{
    struct text t = {0};
    uint8_t *rgb = malloc((size_t)w * (size_t)h * 3);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++)
                rgb[(y * w + x) * 3 + c] = (uint8_t)((x * (seed + 1) + y * (3 - c) + (x * y >> (seed + 2))) * (c + seed + 1));
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = (png_uint_32)w, .height = (png_uint_32)h, .format = PNG_FORMAT_RGB};
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    t.data = malloc(size);
    assert_true(png_image_write_to_memory(&image, t.data, &size, 0, rgb, 0, NULL));
    t.length = size;
    free(rgb);
    return t;
}

/* A network of five species that answers differently to different pictures, into path. */
HELPER void make_model(const char *path)
{
    struct rudd_error err = {0};
    struct nn_model *m = NULL;
    char *names[CLASSES] = {"pike", "perch", "roach", "zander", "bream"};
    struct nn_class classes[CLASSES] = {{0}};
    for (int i = 0; i < CLASSES; i++) classes[i].name = names[i];
    classes[0].latin = "Esox lucius";
    assert_int_equal(nn_model_create(&m, "efficientnet_b0", CLASSES, &err), RUDD_OK);
    m->preprocess.image_size = SIZE;
    /* A fresh network's logits are about 1e-4; a steeper classifier makes answers that differ between pictures. */
    for (int i = 0; i < m->param_count; i++)
        if (m->params[i].kind == NN_LINEAR_WEIGHT)
            for (size_t k = 0; k < m->params[i].count; k++) m->values[m->params[i].offset + k] *= 1e4f;
    assert_int_equal(nn_model_set_classes(m, classes, CLASSES, &err), RUDD_OK);
    assert_int_equal(nn_model_set_text(&m->run, "run-7", &err), RUDD_OK);
    assert_int_equal(nn_model_set_text(&m->metrics, "{\"top1\":0.5}", &err), RUDD_OK);
    assert_int_equal(weights_model_save(path, m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    nn_model_destroy(m);
}

#endif
