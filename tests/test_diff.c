/* test_diff.c - `rudd diff` and `rudd inspect` of any weights file: what differs is found and counted, and the exit status says it. */
#include "train/command.h"
#include "weights/diff.h"
#include "weights/model_file.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], a[128], b[128], said[128];
static struct rudd_error err;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, P_tmpdir "/rudd-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(a, sizeof a, "%s/a.safetensors", folder);
    snprintf(b, sizeof b, "%s/b.safetensors", folder);
    snprintf(said, sizeof said, "%s/said.json", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(a);
    unlink(b);
    unlink(said);
    return rmdir(folder);
}

/* Runs a command with its standard output in `said`; *json, if asked for, is what it printed. */
static enum rudd_status run(train_command *command, json_t **json, const char *const *words, int count)
{
    char *argv[8];
    for (int i = 0; i < count; i++) argv[i] = (char *)words[i]; /* reordered, not changed */
    fflush(stdout);
    int kept = dup(1), file = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(kept >= 0 && file >= 0);
    dup2(file, 1);
    enum rudd_status status = command(count, argv, &err);
    fflush(stdout);
    dup2(kept, 1);
    close(kept);
    close(file);
    if (json) {
        *json = json_load_file(said, 0, NULL);
        assert_non_null(*json);
    }
    return status;
}
#define RUN(command, json, ...)                                                                                                \
    run(command, json, (const char *const[]){#command, __VA_ARGS__},                                                           \
        (int)(1 + sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

static json_int_t number(const json_t *json, const char *key)
{
    assert_true(json_is_integer(json_object_get(json, key)));
    return json_integer_value(json_object_get(json, key));
}

static void write_model(const char *path, enum weights_dtype dtype)
{
    struct nn_model *m;
    assert_int_equal(nn_model_create(&m, "rudd_nano", 3, &err), RUDD_OK);
    assert_int_equal(weights_model_save_as(path, m, NULL, (struct weights_form){WEIGHTS_TIMM, dtype}, &err), RUDD_OK);
    nn_model_destroy(m);
}

static void write_tensors(const char *path, const struct weights_tensor *t, int count, const char *note)
{
    struct weights_meta meta = {"note", (char *)note};
    assert_int_equal(weights_write(path, t, count, &meta, note != NULL, &err), RUDD_OK);
}

/* One number of each sort of difference, told exactly: a value, a sign of zero, a NaN, a shape, a dtype, a name on either side, metadata. */
static void every_difference_is_counted(void **state)
{
    (void)state;
    float x[4] = {1, -4, 0, NAN}, y[4] = {1, -3.5f, -0.0f, NAN};
    double fine[2] = {1, 1 + 1e-12}, finer[2] = {1, 1};
    const struct weights_tensor left[] = {
        {.name = "fine", .dtype = WEIGHTS_F64, .rank = 1, .shape = {2}, .count = 2, .data = fine},
        {.name = "only.left", .dtype = WEIGHTS_F32, .rank = 1, .shape = {4}, .count = 4, .data = x},
        {.name = "shape", .dtype = WEIGHTS_F32, .rank = 2, .shape = {2, 2}, .count = 4, .data = x},
        {.name = "values", .dtype = WEIGHTS_F32, .rank = 1, .shape = {4}, .count = 4, .data = x},
        {.name = "same", .dtype = WEIGHTS_F32, .rank = 1, .shape = {4}, .count = 4, .data = x},
    };
    const struct weights_tensor right[] = {
        {.name = "fine", .dtype = WEIGHTS_F64, .rank = 1, .shape = {2}, .count = 2, .data = finer},
        {.name = "shape", .dtype = WEIGHTS_F32, .rank = 1, .shape = {4}, .count = 4, .data = x},
        {.name = "values", .dtype = WEIGHTS_F32, .rank = 1, .shape = {4}, .count = 4, .data = y},
        {.name = "same", .dtype = WEIGHTS_F32, .rank = 1, .shape = {4}, .count = 4, .data = x},
        {.name = "zonly.right", .dtype = WEIGHTS_F32, .rank = 1, .shape = {3}, .count = 3, .data = x},
    };
    write_tensors(a, left, 5, "left");
    write_tensors(b, right, 5, NULL);
    struct weights_file f, g;
    struct weights_diff d;
    assert_int_equal(weights_open(&f, a, &err), RUDD_OK);
    assert_int_equal(weights_open(&g, b, &err), RUDD_OK);
    assert_int_equal(weights_diff_make(&d, &f, &g, &err), RUDD_OK);
    static const char *const order[] = {"fine", "only.left", "same", "shape", "values", "zonly.right"};
    assert_int_equal(d.tensor_count, 6);
    for (int i = 0; i < 6; i++) {
        const struct weights_tensor_diff *t = &d.tensors[i];
        assert_string_equal((t->a ? t->a : t->b)->name, order[i]);
        assert_int_equal(weights_diff_is_equal(t, 0), i == 2);
    }
    assert_int_equal(d.tensors[0].equal, 1); /* float32 would see no difference */
    assert_true(fabs(d.tensors[0].max_abs - 1e-12) < 1e-15 && weights_diff_is_equal(&d.tensors[0], 1e-9));
    assert_null(d.tensors[1].b);
    assert_false(d.tensors[3].same_shape);
    assert_int_equal(d.tensors[4].equal, 2); /* 1 and NaN */
    assert_float_equal(d.tensors[4].max_abs, 0.5, 0);
    assert_float_equal(d.tensors[4].relative, 0.125, 0);
    assert_false(weights_diff_is_equal(&d.tensors[4], 0.1));
    assert_true(weights_diff_is_equal(&d.tensors[4], 0.125));
    assert_null(d.tensors[5].a);
    assert_int_equal(d.meta_count, 1);
    assert_string_equal(d.metas[0].a, "left");
    assert_null(d.metas[0].b);
    weights_diff_free(&d);
    weights_close(&f);
    weights_close(&g);
}

/* A number against none: infinitely far, whatever the tolerance. */
static void nan_is_no_number(void **state)
{
    (void)state;
    float x = 1, y = NAN;
    const struct weights_tensor left = {.name = "x", .count = 1, .data = &x}, right = {.name = "x", .count = 1, .data = &y};
    write_tensors(a, &left, 1, NULL);
    write_tensors(b, &right, 1, NULL);
    json_t *json;
    assert_int_equal(RUN(train_cmd_diff, &json, a, b, "--json", "--tolerance", "1"), RUDD_MISMATCH);
    assert_true(json_is_null(json_object_get(json_array_get(json_object_get(json, "different"), 0), "max_abs")));
    json_decref(json);
}

/* The command: equal files are RUDD_OK, rounded ones RUDD_MISMATCH unless within the tolerance; wrong usage is told apart. */
static void the_command_says_it_by_its_status(void **state)
{
    (void)state;
    json_t *json;
    write_model(a, WEIGHTS_F32);
    write_model(b, WEIGHTS_F32);
    assert_int_equal(RUN(train_cmd_diff, &json, a, b, "--json"), RUDD_OK);
    assert_true(json_is_true(json_object_get(json, "equal")));
    assert_int_equal(number(json, "equal_tensors"), number(json, "tensors"));
    json_decref(json);
    write_model(b, WEIGHTS_F16);
    assert_int_equal(RUN(train_cmd_diff, &json, a, b, "--json"), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, b));
    assert_true(json_is_false(json_object_get(json, "equal")));
    assert_int_equal(number(json, "different_tensors"), number(json, "tensors"));
    json_decref(json);
    assert_int_equal(RUN(train_cmd_diff, NULL, a, b, "--no-metadata", "--tolerance", "0.001"), RUDD_OK);
    assert_int_equal(RUN(train_cmd_diff, NULL, a), RUDD_ARGUMENT);
    assert_int_equal(RUN(train_cmd_diff, NULL, a, folder), RUDD_MISMATCH);
}

/* A model by its layers; anything else, and any file when asked, by its tensors. */
static void inspect_takes_any_file(void **state)
{
    (void)state;
    float x[6] = {0};
    const struct weights_tensor t = {.name = "encoder.weight", .rank = 2, .shape = {2, 3}, .count = 6, .data = x};
    json_t *json;
    write_model(a, WEIGHTS_F32);
    write_tensors(b, &t, 1, "of another world");
    assert_int_equal(RUN(train_cmd_inspect, &json, a, "--json"), RUDD_OK);
    assert_string_equal(json_string_value(json_object_get(json, "arch")), "rudd_nano");
    const json_int_t tensors = number(json, "tensors"), parameters = number(json, "parameters");
    json_decref(json);
    assert_int_equal(RUN(train_cmd_inspect, &json, a, "--json", "--tensors"), RUDD_OK);
    assert_int_equal(number(json, "tensors"), tensors);
    assert_int_equal(json_array_size(json_object_get(json, "tensor_table")), tensors);
    assert_true(number(json, "values") > parameters); /* running statistics are values too */
    json_decref(json);
    assert_int_equal(RUN(train_cmd_inspect, &json, b, "--json"), RUDD_OK);
    assert_true(json_is_null(json_object_get(json, "arch")));
    const json_t *row = json_array_get(json_object_get(json, "tensor_table"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "name")), "encoder.weight");
    assert_int_equal(number(row, "values"), 6);
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "metadata"), "note")), "of another world");
    json_decref(json);
    assert_int_equal(RUN(train_cmd_inspect, NULL, b, "--arch", "rudd_nano"), RUDD_MISMATCH);
}

/* Multiply-adds by layer sum to those of the network. */
static void layers_share_the_work(void **state)
{
    (void)state;
    struct nn_model *m;
    assert_int_equal(nn_model_describe(&m, "efficientnet_b4", 1000, &err), RUDD_OK);
    uint64_t *each = malloc(sizeof *each * (size_t)m->param_count), sum = 0;
    assert_true(nn_model_macs_each(each, m, 380) == 4393771024);
    for (int i = 0; i < m->param_count; i++) sum += each[i];
    assert_true(sum == 4393771024);
    assert_true(each[0] == 48 * 27 * 190 * 190); /* the stem: stride 2 */
    free(each);
    nn_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_difference_is_counted, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(nan_is_no_number, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_command_says_it_by_its_status, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(inspect_takes_any_file, make_folder, remove_folder),
        cmocka_unit_test(layers_share_the_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
