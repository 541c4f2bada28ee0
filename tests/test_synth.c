/* test_synth.c - the drawn picture set: exact by key, every species at every size, neither trivial nor fragile; its command. */
#include "data/image/decode.h"
#include "data/image/jpeg_write.h"
#include "data/synth.h"
#include "train/cmd_synth.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct data_image draw(int species, int size, uint64_t seed, uint64_t index)
{
    struct data_image image;
    struct rudd_error err;
    if (data_synth_picture(&image, species, size, seed, index, &err)) fail_msg("%s", err.message);
    assert_int_equal(image.w, size);
    assert_int_equal(image.h, size);
    return image;
}

/* Mean absolute difference of two pictures of one size, in steps of 1/255. */
static double distance(const struct data_image *a, const struct data_image *b)
{
    double sum = 0;
    size_t count = (size_t)a->w * (size_t)a->h * 3;
    for (size_t i = 0; i < count; i++) sum += abs(a->rgb[i] - b->rgb[i]);
    return sum / (double)count;
}

/* The table is what a data set's class list will be: sorted, unique, complete, and found by name. */
static void table_is_whole(void **state)
{
    (void)state;
    for (int i = 0; i < DATA_SPECIES_COUNT; i++) {
        const struct data_species *s = &data_species[i];
        if (i) assert_true(strcmp(data_species[i - 1].name, s->name) < 0);
        assert_int_equal(data_species_find(s->name), i);
        assert_true(s->latin && s->en && s->ru);
        assert_true(s->tail_len > 0 && s->scales > 0 && s->dorsal[0].x1 > s->dorsal[0].x0 && s->anal.x1 > s->anal.x0);
    }
    assert_int_equal(data_species_find("rudd"), -1);
    assert_int_equal(data_species_find(""), -1);
}

/* A picture depends on its key alone: the same bytes again, whatever was drawn between; any other key gives another picture. */
static void key_decides(void **state)
{
    (void)state;
    struct data_image a = draw(4, 96, 7, 3), others[] = {draw(4, 96, 7, 4), draw(4, 96, 8, 3), draw(5, 96, 7, 3)},
                      b = draw(4, 96, 7, 3);
    assert_memory_equal(a.rgb, b.rgb, 96 * 96 * 3);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_true(distance(&a, &others[i]) > 5);
        data_image_free(&others[i]);
    }
    data_image_free(&a);
    data_image_free(&b);

    uint8_t *x, *y;
    size_t nx, ny;
    assert_int_equal(data_synth_jpeg(&x, &nx, 9, 64, 1, 2, NULL), RUDD_OK);
    assert_int_equal(data_synth_jpeg(&y, &ny, 9, 64, 1, 2, NULL), RUDD_OK);
    assert_int_equal(nx, ny);
    assert_memory_equal(x, y, nx);
    rudd_free(x);
    rudd_free(y);
}

/* Every species is drawn at every size, smallest to large, and the picture is one: neither black, nor white, nor flat. */
static void every_species_and_size(void **state)
{
    (void)state;
    static const int sizes[] = {DATA_SYNTH_MIN, 17, 32, 63, 64, 160, 224, 512};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int species = 0; species < DATA_SPECIES_COUNT; species++) {
            struct data_image image = draw(species, sizes[k], 5, (uint64_t)species);
            size_t count = (size_t)sizes[k] * (size_t)sizes[k] * 3;
            double sum = 0, squares = 0;
            for (size_t i = 0; i < count; i++) {
                sum += image.rgb[i];
                squares += (double)image.rgb[i] * image.rgb[i];
            }
            double mean = sum / (double)count, deviation = sqrt(squares / (double)count - mean * mean);
            assert_in_range(mean, 12, 243);
            assert_true(deviation > 6);
            data_image_free(&image);
        }
}

/* One key shows one scene at every size: halving the larger picture gives nearly the smaller one. Noise, blur and details below
 * a pixel differ; another key's picture is several times further away. */
static void scene_does_not_depend_on_size(void **state)
{
    (void)state;
    double same = 0, other = 0;
    for (int species = 0; species < DATA_SPECIES_COUNT; species++) {
        struct data_image large = draw(species, 128, 3, 1), small = draw(species, 64, 3, 1), far = draw(species, 64, 3, 2);
        for (int i = 0; i < 64; i++)
            for (int j = 0; j < 64; j++)
                for (int k = 0; k < 3; k++) {
                    const uint8_t *p = large.rgb + ((size_t)(2 * i) * 128 + (size_t)(2 * j)) * 3 + k;
                    small.rgb[(i * 64 + j) * 3 + k] =
                        (uint8_t)abs(small.rgb[(i * 64 + j) * 3 + k] - (p[0] + p[3] + p[384] + p[387]) / 4);
                    far.rgb[(i * 64 + j) * 3 + k] =
                        (uint8_t)abs(far.rgb[(i * 64 + j) * 3 + k] - (p[0] + p[3] + p[384] + p[387]) / 4);
                    same += small.rgb[(i * 64 + j) * 3 + k];
                    other += far.rgb[(i * 64 + j) * 3 + k];
                }
        data_image_free(&large);
        data_image_free(&small);
        data_image_free(&far);
    }
    assert_true(same * 4 < other);
}

static void bad_arguments(void **state)
{
    (void)state;
    struct data_image image = {1, 2, NULL};
    struct rudd_error err;
    assert_int_equal(data_synth_picture(&image, -1, 64, 0, 0, &err), RUDD_ARGUMENT);
    assert_int_equal(data_synth_picture(&image, DATA_SPECIES_COUNT, 64, 0, 0, &err), RUDD_ARGUMENT);
    assert_int_equal(data_synth_picture(&image, 0, DATA_SYNTH_MIN - 1, 0, 0, &err), RUDD_ARGUMENT);
    assert_int_equal(data_synth_picture(&image, 0, DATA_SYNTH_MAX + 1, 0, 0, &err), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "16..2048"));
    assert_int_equal(image.w, 1); /* untouched */
    assert_int_equal(image.h, 2);
    uint8_t *bytes = NULL;
    size_t length = 5;
    assert_int_equal(data_jpeg_write(&bytes, &length, &(struct data_image){0, 4, NULL}, 80, &err), RUDD_ARGUMENT);
    assert_int_equal(data_jpeg_write(&bytes, &length, &(struct data_image){65501, 1, NULL}, 80, &err), RUDD_ARGUMENT);
    assert_true(!bytes && length == 5);
}

static int allocations_left;
static int allow_some(void *user, size_t bytes)
{
    (void)user, (void)bytes;
    return allocations_left-- > 0;
}

/* Whichever allocation fails, the call says so, leaves its results alone and leaks nothing (the sanitizers watch). */
static void nth_allocation_fails(void **state)
{
    (void)state;
    int n = 0;
    for (;; n++) {
        uint8_t *bytes = NULL;
        size_t length = 0;
        struct rudd_error err;
        allocations_left = n;
        rudd_set_alloc_hook(allow_some, NULL);
        enum rudd_status status = data_synth_jpeg(&bytes, &length, 2, 256, 0, 0, &err);
        rudd_set_alloc_hook(NULL, NULL);
        if (!status) {
            rudd_free(bytes);
            break;
        }
        assert_int_equal(status, RUDD_NO_MEMORY);
        assert_null(bytes);
    }
    assert_true(n >= 4); /* two canvases, the pixels, the file: it did fail a few times */
}

/* What is written is the picture: our own reader gives it back, the closer the higher the quality. Blocks that must grow many
 * times come out whole. */
static void jpeg_holds_the_picture(void **state)
{
    (void)state;
    struct data_image image = draw(13, 300, 2, 9);
    double last = 100;
    for (int quality = 20; quality <= 100; quality += 40) {
        uint8_t *bytes;
        size_t length;
        struct data_image back;
        assert_int_equal(data_jpeg_write(&bytes, &length, &image, quality, NULL), RUDD_OK);
        assert_int_equal(data_image_decode(&back, bytes, length, "memory", NULL, NULL), RUDD_OK);
        assert_int_equal(back.w, 300);
        assert_int_equal(back.h, 300);
        double d = distance(&image, &back);
        assert_true(d < last);
        last = d;
        data_image_free(&back);
        rudd_free(bytes);
    }
    assert_true(last < 4); /* at quality 100 only the halved chroma is lost */
    data_image_free(&image);
}

static void mean_colour(double mean[3], int species, uint64_t index)
{
    struct data_image image = draw(species, 32, 11, index);
    for (int k = 0; k < 3; k++) {
        mean[k] = 0;
        for (int i = 0; i < 32 * 32; i++) mean[k] += image.rgb[i * 3 + k] / (32. * 32.);
    }
    data_image_free(&image);
}

/* The task is not trivial: who knows only the mean colour of pictures, with the nearest centroid, stays far below 60 %. */
static void mean_colour_is_not_enough(void **state)
{
    (void)state;
    enum { LEARN = 30, ASK = 15 };
    double centroid[DATA_SPECIES_COUNT][3] = {{0}}, mean[3];
    for (int s = 0; s < DATA_SPECIES_COUNT; s++)
        for (uint64_t i = 0; i < LEARN; i++) {
            mean_colour(mean, s, i);
            for (int k = 0; k < 3; k++) centroid[s][k] += mean[k] / LEARN;
        }
    int right = 0;
    for (int s = 0; s < DATA_SPECIES_COUNT; s++)
        for (uint64_t i = LEARN; i < LEARN + ASK; i++) {
            mean_colour(mean, s, i);
            int best = 0;
            double nearest = INFINITY;
            for (int t = 0; t < DATA_SPECIES_COUNT; t++) {
                double d = 0;
                for (int k = 0; k < 3; k++) d += (mean[k] - centroid[t][k]) * (mean[k] - centroid[t][k]);
                if (d < nearest) nearest = d, best = t;
            }
            right += best == s;
        }
    assert_true(right < .60 * DATA_SPECIES_COUNT * ASK);
}

/* ---- rudd data synth --------------------------------------------------------------------------------------------------------
 */

static char folder[] = "/tmp/rudd-synth-XXXXXX";
static int make_place(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}
static int clear_place(void **state)
{
    (void)state;
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* Runs the command with these words after it, the output going nowhere. */
static enum rudd_status synth(struct rudd_error *err, const char *out, const char *words)
{
    static char line[1000];
    char *argv[40] = {"synth", "-o", (char *)(uintptr_t)out};
    int argc = 3;
    snprintf(line, sizeof line, "%s", words);
    for (char *w = strtok(line, " "); w; w = strtok(NULL, " ")) argv[argc++] = w;
    fflush(stdout);
    int keep = dup(1);
    assert_non_null(freopen("/dev/null", "w", stdout));
    enum rudd_status status = train_cmd_data_synth(argc, argv, err);
    fflush(stdout);
    dup2(keep, 1);
    close(keep);
    return status;
}

static char *at(const char *set, const char *name)
{
    static char path[4][PATH_MAX];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, PATH_MAX, "%s/%s%s%s", folder, set, *name ? "/" : "", name);
    return p;
}

static void assert_files_equal(const char *a, const char *b)
{
    uint8_t *x, *y;
    size_t nx, ny;
    assert_int_equal(data_file_read(&x, &nx, a, 1 << 24, NULL), RUDD_OK);
    assert_int_equal(data_file_read(&y, &ny, b, 1 << 24, NULL), RUDD_OK);
    assert_int_equal(nx, ny);
    assert_memory_equal(x, y, nx);
    rudd_free(x);
    rudd_free(y);
}

/* The set is a folder that `rudd train` takes: split, named, labelled; and neither threads, nor the number of pictures, nor the
 * other classes change a picture. */
static void command_writes_a_set(void **state)
{
    (void)state;
    struct rudd_error err = {RUDD_OK, ""};
    if (synth(&err, at("a", ""), "--per-class 10 --size 48 --seed 3 --threads 1")) fail_msg("%s", err.message);
    if (synth(&err, at("b", ""), "--per-class 20 --size 48 --seed 3 --threads 4 --classes perca_fluviatilis,esox_lucius"))
        fail_msg("%s", err.message);
    struct stat st;
    for (int i = 0; i < 10; i++) {
        char name[100];
        snprintf(name, sizeof name, "%s/esox_lucius/%04d.jpg", i < 6 ? "train" : i < 8 ? "val" : "test", i);
        assert_int_equal(stat(at("a", name), &st), 0);
    }
    assert_int_not_equal(stat(at("a", "test/esox_lucius/0010.jpg"), &st), 0);
    assert_files_equal(at("a", "train/esox_lucius/0005.jpg"), at("b", "train/esox_lucius/0005.jpg"));
    assert_files_equal(at("a", "train/perca_fluviatilis/0001.jpg"), at("b", "train/perca_fluviatilis/0001.jpg"));
    assert_int_not_equal(stat(at("b", "train/rutilus_rutilus"), &st), 0);

    json_t *labels = json_load_file(at("a", "labels.json"), 0, NULL);
    assert_int_equal(json_array_size(labels), DATA_SPECIES_COUNT);
    json_t *rudd = json_array_get(labels, DATA_SPECIES_COUNT - 1);
    assert_string_equal(json_string_value(json_object_get(rudd, "name")), "scardinius_erythrophthalmus");
    assert_string_equal(json_string_value(json_object_get(rudd, "latin")), "Scardinius erythrophthalmus");
    assert_string_equal(json_string_value(json_object_get(rudd, "en")), "rudd");
    assert_string_equal(json_string_value(json_object_get(rudd, "ru")), "краснопёрка");
    json_decref(labels);
    labels = json_load_file(at("b", "labels.json"), 0, NULL);
    assert_int_equal(json_array_size(labels), 2);
    json_decref(labels);
}

/* Wrong usage is said in one line, and nothing is drawn over what is there. */
static void command_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *words, *says;
    } cases[] = {
        {"--classes esox_lucis", "esox_lucius"},
        {"--classes ,", "no species"},
        {"--per-class 0", "per-class"},
        {"--per-class 2", "at least 3"},
        {"--size 8", "size"},
        {"--seed -1", "--seed"},
        {"--seed 1x", "--seed"},
        {"--split 0.5,0.5,0.5", "add up to"},
        {"--colour red", "colour"},
    };
    struct rudd_error err;
    struct stat st;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(synth(&err, at("c", ""), cases[i].words), RUDD_ARGUMENT);
        if (!strstr(err.message, cases[i].says) || strchr(err.message, '\n')) fail_msg("%s: %s", cases[i].words, err.message);
        assert_int_not_equal(stat(at("c", ""), &st), 0);
    }
    assert_int_equal(mkdir(at("d", ""), 0777), 0);
    if (synth(&err, at("d", ""), "--per-class 3 --size 16 --classes esox_lucius")) fail_msg("%s", err.message);
    assert_int_equal(synth(&err, at("d", ""), "--per-class 3 --size 16 --seed 9"), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "new or empty"));
    assert_int_equal(synth(&err, at("d", "labels.json"), ""), RUDD_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_whole),         cmocka_unit_test(key_decides),
        cmocka_unit_test(every_species_and_size), cmocka_unit_test(scene_does_not_depend_on_size),
        cmocka_unit_test(bad_arguments),          cmocka_unit_test(nth_allocation_fails),
        cmocka_unit_test(jpeg_holds_the_picture), cmocka_unit_test(mean_colour_is_not_enough),
        cmocka_unit_test(command_writes_a_set),   cmocka_unit_test(command_refuses),
    };
    return cmocka_run_group_tests(tests, make_place, clear_place);
}
