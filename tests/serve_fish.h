/* serve_fish.h - what a server under test answers with, and to: a small random model of five species, and pictures, in a folder of the test
 * program's own; a session in this process says what is right. */
#ifndef TESTS_SERVE_FISH_H
#define TESTS_SERVE_FISH_H

#include "tests/serve_client.h"
#include "weights/model_file.h"
#include <png.h>

enum { CLASSES = 5, SIZE = 64, PICTURES = 5 }; /* of the model; the side of its pictures; of those below */

static __attribute__((unused)) char folder[64], model_path[256];
static __attribute__((unused)) struct text pictures[PICTURES]; /* PNG files that differ */
static __attribute__((unused)) struct server shared_server;    /* for tests that change nothing about it */

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

/* The folder, the model and the pictures; then what belongs to them. */
HELPER void make_fish(const char *test)
{
    snprintf(folder, sizeof folder, "/tmp/rudd-test-%s-XXXXXX", test);
    assert_non_null(mkdtemp(folder));
    snprintf(model_path, sizeof model_path, "%s/fish.safetensors", folder);
    make_model(model_path);
    for (int i = 0; i < PICTURES; i++) pictures[i] = make_png(90 + 20 * i, 80, i);
}

HELPER int remove_fish(void **state)
{
    (void)state;
    char command[128];
    for (int i = 0; i < PICTURES; i++) free(pictures[i].data);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

/* The pictures' probabilities, which differ, by a session in this process. */
HELPER void predict_fish(float expected[PICTURES][CLASSES])
{
    struct rudd_error err = {0};
    rudd_model *model = NULL;
    rudd_session *session = NULL;
    assert_int_equal(rudd_model_open(&model, model_path, &err), RUDD_OK);
    assert_int_equal(rudd_session_create(&session, model, 1, &err), RUDD_OK);
    for (int i = 0; i < PICTURES; i++) {
        assert_int_equal(rudd_predict_bytes(session, pictures[i].data, pictures[i].length, NULL, &err), RUDD_OK);
        memcpy(expected[i], rudd_session_probabilities(session), sizeof expected[i]);
        for (int j = 0; j < i; j++) assert_true(memcmp(expected[i], expected[j], sizeof expected[i]));
    }
    rudd_session_destroy(session);
    rudd_model_close(model);
}

/* Whether an answer holds exactly these probabilities. Runs in threads: no assertions. */
HELPER int is_right(const struct answer *a, const float p[CLASSES])
{
    static const char *const names[CLASSES] = {"pike", "perch", "roach", "zander", "bream"};
    json_t *root = a->code == 200 ? json_loads(a->body, 0, NULL) : NULL, *all = json_object_get(root, "all_predictions");
    int right = all != NULL && json_object_size(all) == CLASSES;
    for (int i = 0; right && i < CLASSES; i++) right = (float)json_number_value(json_object_get(all, names[i])) == p[i];
    json_decref(root);
    return right;
}

/* ---- a server that many tests ask ------------------------------------------------------------------------------------------ */

HELPER void start_shared(const char *test)
{
    make_fish(test);
    shared_server = server_start(model_path, NULL);
}

HELPER int stop_shared(void **state)
{
    server_stop(shared_server);
    return remove_fish(state);
}

#define SHARED(test) cmocka_unit_test_prestate(test, &shared_server)

#endif
