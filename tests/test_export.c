/* test_export.c - which form `rudd export` and `rudd import` write, and what they refuse to replace.
 *
 * Each command is the program itself, as a process: its exit status and its line on standard error
 * are part of the claims. */
#include "tests/running.h"
#include "tests/training.h"
#include "weights/model_file.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char *model; /* the file that is exported */
static char said[SAID];

static int export_to(const char *out, const char *more)
{
    char line[1500];
    snprintf(line, sizeof line, "export|--model|%s|-o|%s%s", model, out, more);
    return run_within(0, said, line);
}

/* What a file is, by its first bytes. */
static const char *kind_of(const char *path)
{
    unsigned char b[16] = {0};
    FILE *f = fopen(path, "rb");
    if (!f) return "missing";
    const size_t n = fread(b, 1, sizeof b, f);
    fclose(f);
    if (n < 9) return "short";
    if (!memcmp(b, "PK\3\4", 4)) return "npz";
    if (!memcmp(b, "\x89HDF\r\n\x1a\n", 8)) return "keras";
    if (b[0] == 8 && b[2] == 0x12) return "onnx"; /* ir_version, then producer_name */
    if (b[8] == '{') return "safetensors";
    return "other";
}

/* The ending alone decides, in any case of its letters; so does a folder. */
static void the_ending_decides(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"a.safetensors", "safetensors"},
                                           {"a.SafeTensors", "safetensors"},
                                           {"a.onnx", "onnx"},
                                           {"a.ONNX", "onnx"},
                                           {"a.b.npz", "npz"},
                                           {"a.weights.h5", "keras"}};
    struct stat st;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (export_to(in_root(cases[i][0]), "")) fail_msg("%s: %s", cases[i][0], said);
        assert_string_equal(kind_of(in_root(cases[i][0])), cases[i][1]);
    }
    static const char *const folders[] = {"folder", "slash/", "there", ".hidden"};
    assert_int_equal(mkdir(in_root("there"), 0777), 0);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (export_to(in_root(folders[i]), "")) fail_msg("%s: %s", folders[i], said);
        assert_string_equal(kind_of(file_of(folders[i], "model.safetensors")), "safetensors");
        assert_int_equal(stat(file_of(folders[i], "config.json"), &st), 0);
    }
    /* --format decides where the ending says nothing. */
    assert_int_equal(export_to(in_root("plain"), "|--format|onnx"), 0);
    assert_string_equal(kind_of(in_root("plain")), "onnx");
    assert_int_equal(export_to(in_root("m.bin"), "|--format|npz"), 0);
    assert_string_equal(kind_of(in_root("m.bin")), "npz");
    assert_int_equal(export_to(in_root("b.npz"), "|--format|npz"), 0);
}

/* A refusal is one line that names the ways out, status 2, and leaves nothing. */
static void contradictions_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *out, *more, *says[2];
    } cases[] = {
        {"x.onnx", "|--format|safetensors", {"for --format onnx", "ends in .safetensors"}},
        {"x.npz", "|--format|timm", {"leave --format out", "ends in /"}},
        {"x.safetensors", "|--format|keras", {"leave --format out", "ends in .weights.h5"}},
        {"y/", "|--format|onnx", {"for --format timm", "ends in .onnx"}},
        {"x.pth", "", {"does not say", ".safetensors, .onnx, .npz, .weights.h5 or /"}},
        {"x.h5", "", {"does not say", "--format"}},
        {"x.keras", "|--format|keras", {"expected a name that ends in .weights.h5", ""}},
        {"x.onnx", "|--names|lukemelas", {"--names", "onnx"}},
        {"x.weights.h5", "|--dtype|float16", {"--dtype", "keras"}},
        {"x.npz", "|--softmax", {"--softmax", "onnx"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (export_to(in_root(cases[i].out), cases[i].more) != 2) fail_msg("%s: %s", cases[i].out, said);
        assert_int_equal(strncmp(said, "rudd: ", 6), 0);
        assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
        for (int k = 0; k < 2; k++)
            if (!strstr(said, cases[i].says[k])) fail_msg("\"%s\" is not in: %s", cases[i].says[k], said);
        assert_int_not_equal(access(in_root(cases[i].out), F_OK), 0);
    }
}

/* What is read is never written: by its own name, by a link, by the folder that holds it. */
static void an_input_is_not_replaced(void **state)
{
    (void)state;
    char line[1500];
    size_t length, after;
    char *bytes = read_all(model, &length);
    assert_int_equal(symlink(model, in_root("link.safetensors")), 0);
    assert_int_equal(export_to(model, "|--dtype|float16"), 2);
    assert_non_null(strstr(said, "give another name"));
    assert_int_equal(export_to(in_root("link.safetensors"), ""), 2);
    assert_int_equal(export_to(in_root("run"), ""), 2);
    assert_int_equal(export_to(in_root("run/"), "|--format|timm"), 2);
    snprintf(line, sizeof line, "import|%s|-o|%s|--dtype|float16", model, model);
    assert_int_equal(run_within(0, said, line), 2);
    assert_non_null(strstr(said, "give another name"));
    snprintf(line, sizeof line, "import|%s|-o|%s", in_root("folder"), file_of("folder", "model.safetensors"));
    assert_int_equal(run_within(0, said, line), 2);
    char *now = read_all(model, &after);
    assert_int_equal(length, after);
    assert_memory_equal(bytes, now, length);
    rudd_free(bytes);
    rudd_free(now);
}

/* An import writes one form, and says how to come to another. */
static void imports_write_model_files(void **state)
{
    (void)state;
    char line[1500];
    static const char *const others[] = {"i.onnx", "i.npz", "i.weights.h5"};
    for (int i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "import|%s|-o|%s", model, in_root(others[i]));
        assert_int_equal(run_within(0, said, line), 2);
        assert_non_null(strstr(said, "rudd export"));
        assert_int_not_equal(access(in_root(others[i]), F_OK), 0);
    }
    snprintf(line, sizeof line, "import|%s|-o|%s", model, in_root("there"));
    assert_int_equal(run_within(0, said, line), 2);
    assert_non_null(strstr(said, "is a folder"));
    snprintf(line, sizeof line, "import|%s|-o|%s", model, in_root("i.safetensors"));
    if (run_within(0, said, line)) fail_msg("%s", said);
    assert_string_equal(kind_of(in_root("i.safetensors")), "safetensors");
}

static int begin(void **state)
{
    if (begin_runs(state) != 0) return -1;
    must(train("run", "|--epochs|1"));
    model = strdup(file_of("run", "model.safetensors"));
    return model ? 0 : -1;
}

static int end(void **state)
{
    free(model);
    return end_runs(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ending_decides),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(an_input_is_not_replaced),
        cmocka_unit_test(imports_write_model_files),
    };
    return cmocka_run_group_tests_name("export", tests, begin, end);
}
