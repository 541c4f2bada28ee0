/* test_identify.c - a file is named by what it is, in one line: the first bytes of each kind, by the
 * programs that make them where they are installed; folders; networks; a wrong --arch. */
#include "weights/container/folder.h"
#include "weights/container/identify.h"
#include "weights/hf_folder.h"
#include "weights/model_file.h"
#include "weights/names/others.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64];
static struct rudd_error err;

static int begin(void **state)
{
    (void)state;
    strcpy(folder, P_tmpdir "/rudd-test-XXXXXX");
    return mkdtemp(folder) && !chdir(folder) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    char line[100];
    snprintf(line, sizeof line, "rm -rf %s", folder);
    return chdir("/") || system(line);
}

static void write_file(const char *name, const void *bytes, size_t length)
{
    FILE *f = fopen(name, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, length, f), length);
    fclose(f);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

#define BYTES(text) text, sizeof text - 1

static const struct {
    const char *bytes;
    size_t length;
    const char *what;
} kinds[] = {
    {BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"),
     "a Git LFS pointer, not the file itself"},
    {BYTES("\xef\xbb\xbf\n<!DOCTYPE html>\n<html><head><title>Sign in</title>"), "HTML, not weights"},
    {BYTES("<html>\r\n<head><title>404 Not Found</title></head>"), "HTML, not weights"},
    {BYTES("<!doctype html><html lang=\"en\"><head><title>rudd abc</title>"), "a run's report, not its weights"},
    {BYTES("<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>"), "XML, not weights"},
    {BYTES("<?xml version=\"1.0\"?>\n<net name=\"m\" version=\"11\">\n<layers>"), "an OpenVINO network"},
    {BYTES("<svg xmlns=\"http://www.w3.org/2000/svg\">"), "an SVG drawing, not weights"},
    {BYTES("{\n  \"metadata\": {\"total_size\": 9},\n  \"weight_map\": {\"a\": \"b\"}}"),
     "the index of weights in several files"},
    {BYTES("{\"architecture\": \"efficientnet_b0\", \"num_classes\": 1000}"), "a model's configuration, not its weights"},
    {BYTES("{\"architectures\": [\"ViTForImageClassification\"], \"model_type\": \"vit\"}"),
     "a model's configuration, not its weights"},
    {BYTES("{\"id\":1,\"dataset\":\"x\",\"machine\":{},\"versions\":{}}"), "a run's record, not its weights"},
    {BYTES("{\"epoch\":1,\"train_loss\":0.5}\n"), "a run's table of metrics, not its weights"},
    {BYTES("[1, 2, 3]"), "JSON, not weights"},
    {BYTES("{\"a\":{\"{\":{}}}"), "JSON, not weights"},
    {BYTES("#!/bin/sh\nexit 0\n"), "a script, not weights"},
    {BYTES("name,latin\npike,Esox lucius\n"), "a table of text (CSV), not weights"},
    {BYTES("pike\nperch\n"), "text, not weights"},
    {BYTES("\x1c\0\0\0TFL3\x14\0\x20\0"), "a TensorFlow Lite file"},
    {BYTES("GGUF\3\0\0\0"), "a GGUF file, a language model's"},
    /* ModelProto: ir_version 8, producer_name "pytorch"; and rudd's own order, graph first. */
    {BYTES("\x08\x08\x12\x07pytorch\x1a\x05"
           "2.1.0"),
     "an ONNX file"},
    {BYTES("\x08\x07\x3a\x90\x20\x0a\x10"), "an ONNX file"},
    /* SavedModel: schema 1, a MetaGraphDef with MetaInfoDef.stripped_op_list. */
    {BYTES("\x08\x01\x12\x90\x20\x0a\x80\x08\x12\x20\x0a"), "a TensorFlow SavedModel"},
    /* Model: specificationVersion 4, ModelDescription.input with its name. */
    {BYTES("\x08\x04\x12\x40\x0a\x10\x0a\x05image\x1a\x07"), "a Core ML file"},
    {BYTES("\x0a\x20\x0a\x05input\x12\x0bPlaceholder\x2a\x04"), "a frozen TensorFlow graph"},
    {BYTES("\x81\xa6params\x82\xa5"
           "Dense"),
     "a Flax file (MessagePack)"},
    {BYTES("\0\0\0\0\2\0\0\0\5\0\0\0\0\0\0\1"), "Darknet weights, a YOLO detector's"},
    {BYTES("\x93NUMPY\1\0v\0{'descr': '<f4'}"), "one NumPy array"},
    {BYTES("\x80\4\x95\x0b\0\0\0"), "a Python pickle, but not torch.save's"},
    {BYTES("\xff\xd8\xff\xe0\0\x10JFIF"), "a JPEG picture, not weights"},
    {BYTES("\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "a PNG picture, not weights"},
    {BYTES("GIF89a\1\0\1\0"), "a GIF picture, not weights"},
    {BYTES("RIFF\x24\0\0\0WEBPVP8 "), "a WebP picture, not weights"},
    {BYTES("\0\0\0\x18"
           "ftypheic\0\0\0\0"),
     "a HEIC or AVIF picture, not weights"},
    {BYTES("\0\0\0\x18"
           "ftypisom\0\0\0\0"),
     "a video, not weights"},
    {BYTES("BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"), "a BMP picture, not weights"},
    {BYTES("II\x2a\0\x08\0\0\0"), "a TIFF picture, not weights"},
    {BYTES("%PDF-1.7\n%"), "a PDF document, not weights"},
    {BYTES("7z\xbc\xaf\x27\x1c\0\4"), "a 7z archive"},
    {BYTES("Rar!\x1a\7\1\0"), "a RAR archive"},
    {BYTES("SQLite format 3\0\x10\0"), "an SQLite database, not weights"},
    {BYTES("PAR1\x15\x04"), "a Parquet table, not weights"},
    {BYTES("\x7f"
           "ELF\2\1\1\0"),
     "a program, not weights"},
    {BYTES("\0\5\x16\7\0\2\0\0Mac OS X"), "what macOS stores beside a file (._NAME)"},
    {BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "zeros instead of weights"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Each kind is named through the door that every command uses, with an advice behind it; cut anywhere
 * and in a block of just that size it is read without one byte too many. */
static void each_kind_is_named(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        struct weights_file f;
        char expected[200];
        write_file("x.safetensors", kinds[i].bytes, kinds[i].length);
        snprintf(expected, sizeof expected, "x.safetensors: %s; ", kinds[i].what);
        const enum rudd_status status = weights_open(&f, "x.safetensors", &err);
        if (status != RUDD_FORMAT || strncmp(err.message, expected, strlen(expected)))
            fail_msg("expected \"%s\", found %d \"%s\"", expected, (int)status, err.message);
        assert_true(strlen(err.message) > strlen(expected) + 10);
        for (size_t n = 0; n < kinds[i].length; n++) {
            char *cut = malloc(n ? n : 1);
            memcpy(cut, kinds[i].bytes, n);
            weights_identify(cut, n);
            free(cut);
        }
    }
    unlink("x.safetensors");
}

/* Real programs' archives, of a file that is none of the kinds. */
static void archives_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *program, *command, *what;
    } rows[] = {
        {"gzip", "gzip -c noise > packed", "packed: a gzip archive; unpack it first and give the weights file in it"},
        {"xz", "xz -c noise > packed", "packed: an xz archive; unpack it first and give the weights file in it"},
        {"zstd", "zstd -qc noise > packed", "packed: a zstd archive; unpack it first and give the weights file in it"},
        {"bzip2", "bzip2 -c noise > packed", "packed: a bzip2 archive; unpack it first and give the weights file in it"},
        {"tar", "tar cf packed noise", "packed: a tar archive; unpack it first and give the weights file in it"},
        {"zip", "cp noise m.safetensors && rm -f packed.zip && zip -q packed.zip m.safetensors && mv packed.zip packed",
         "packed: a zip archive with a weights file (.safetensors) in it; unpack it and give that file"},
        {"zip", "rm -f packed.zip && zip -q packed.zip noise && mv packed.zip packed",
         "packed: a zip archive without weights: expected arrays of NumPy (X.npy), a PyTorch checkpoint (data.pkl) or a Keras "
         "model (model.weights.h5)"},
    };
    unsigned char noise[3000];
    int tried = 0;
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (unsigned char)(0xa0 | i * 37 % 95);
    noise[0] = noise[1] = 0xff;
    write_file("noise", noise, sizeof noise);
    struct weights_file f;
    assert_null(weights_identify(noise, sizeof noise));
    assert_int_equal(weights_open(&f, "noise", &err), RUDD_FORMAT);
    assert_string_equal(err.message, "noise: no weights by its first bytes; expected safetensors, .pth, .npz, .h5 or .keras; "
                                     "if it was downloaded, download it again");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char look[100];
        snprintf(look, sizeof look, "command -v %s >/dev/null", rows[i].program);
        if (system(look)) continue;
        tried++;
        assert_int_equal(system(rows[i].command), 0);
        assert_int_equal(weights_open(&f, "packed", &err), RUDD_FORMAT);
        assert_string_equal(err.message, rows[i].what);
    }
    assert_true(tried > 1); /* tar and gzip are everywhere */
}

/* What is safetensors and cut is told with what there is and what should be. */
static void cut_files_are_told(void **state)
{
    (void)state;
    static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}";
    unsigned char bytes[sizeof header + 20] = {sizeof header - 1};
    struct weights_file f;
    memcpy(bytes + 8, header, sizeof header - 1);
    assert_int_equal(weights_parse(&f, bytes, 8 + sizeof header - 1 + 7, "m", &err), RUDD_FORMAT);
    assert_string_equal(err.message, "m: the file is not complete: its tensors have 12 bytes, 7 of them are there; "
                                     "download it again");
    assert_int_equal(weights_parse(&f, bytes, 20, "m", &err), RUDD_FORMAT);
    char expected[200];
    snprintf(expected, sizeof expected,
             "m: the file is not complete: its header has %zu bytes, 12 of them are there; download it again",
             sizeof header - 1);
    assert_string_equal(err.message, expected);
}

/* ---- folders --------------------------------------------------------------------------------- */

/* Makes the folder d anew with empty files, and folders where a name ends in a slash. */
static void make_folder(const char *names)
{
    char list[300], *rest;
    assert_int_equal(system("rm -rf d && mkdir d && chmod 700 d"), 0);
    snprintf(list, sizeof list, "%s", names);
    for (char *name = strtok_r(list, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
        char path[400];
        snprintf(path, sizeof path, "d/%s", name);
        if (name[strlen(name) - 1] == '/')
            assert_int_equal(mkdir(path, 0700), 0);
        else
            write_file(path, "x", 1);
    }
}

static void folders_are_resolved(void **state)
{
    (void)state;
    static const struct {
        const char *names, *answer; /* the file, or what the refusal says */
        bool found;
    } rows[] = {
        {"run.json model.safetensors last.safetensors", "d/model.safetensors", true},
        {"model.safetensors", "d/model.safetensors", true},
        {"pytorch_model.bin README.md", "d/pytorch_model.bin", true},
        {"run.json metrics.jsonl",
         "d: a run that has no model yet; its first epoch has not ended; wait for it, or continue it "
         "with rudd train --resume",
         false},
        {"saved_model.pb variables/",
         "d: a TensorFlow SavedModel; in Keras save it with model.save(\"model.keras\") and import that", false},
        {"model.safetensors.index.json model-00001-of-00002.safetensors",
         "d: weights in several files; rudd reads one file; join them where they come from", false},
        {"config.json",
         "d: a configuration without weights; expected model.safetensors or pytorch_model.bin beside it; "
         "download that too",
         false},
        {"Manifest.json Data/", "d: a Core ML package; rudd does not read it; import the weights it was made from", false},
        {"my.pth notes.txt", "d: a folder; give the weights file in it: d/my.pth", false},
        {"mine/ mine/run.json mine/model.safetensors", "d: a folder of runs; give one of them, such as d/mine", false},
        {"1.jpg 2.jpg", "d: a folder of pictures; expected a model: a run's folder or a file such as model.safetensors", false},
        {"train/ train/pike/ train/pike/1.JPG",
         "d: a folder of pictures; expected a model: a run's folder or a file such as model.safetensors", false},
        {"", "d: a folder without model.safetensors; expected a run's folder or a weights file", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char file[WEIGHTS_PATH];
        make_folder(rows[i].names);
        const enum rudd_status status = weights_find_file(file, i % 2 ? "d" : "d/", &err);
        const char *said = status ? err.message : file;
        char expected[300];
        snprintf(expected, sizeof expected, "%s", rows[i].answer);
        if (!rows[i].found && i % 2 == 0) /* the path is told as it was given */
            status ? assert_int_equal(strncmp(said, "d/: ", 4), 0) : fail();
        else if (strcmp(said, expected))
            fail_msg("expected \"%s\", found \"%s\"", expected, said);
        assert_int_equal(status, rows[i].found ? RUDD_OK : RUDD_MISMATCH);
        if (rows[i].found) continue;
        struct weights_file f;
        assert_int_equal(weights_open(&f, "d", &err), RUDD_MISMATCH);
        assert_string_equal(err.message, rows[i].answer);
    }
    char file[WEIGHTS_PATH];
    assert_int_equal(weights_find_file(file, "no/such/file", &err), RUDD_OK); /* whoever opens it says so */
    assert_string_equal(file, "no/such/file");
}

/* A run's folder is a model wherever one is opened, and so is a hub's, whose configuration is read. */
static void run_folders_are_models(void **state)
{
    (void)state;
    struct nn_model *m, *back, *timm;
    rudd_model *opened;
    make_folder("run.json config.json");
    assert_int_equal(nn_model_create(&m, "rudd_nano", 3, &err), RUDD_OK);
    assert_int_equal(weights_model_save("d/model.safetensors", m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    assert_int_equal(weights_model_load(&back, "d", &(struct weights_load_options){.hash = true}, NULL, &err), RUDD_OK);
    assert_int_equal(back->class_count, 3);
    nn_model_destroy(back);
    assert_int_equal(rudd_model_open(&opened, "d/", &err), RUDD_OK);
    assert_string_equal(rudd_model_arch(opened), "rudd_nano");
    rudd_model_close(opened);
    unlink("d/run.json");
    assert_int_equal(weights_model_load(&back, "d", NULL, NULL, &err), RUDD_FORMAT); /* "x" is no configuration */
    assert_non_null(strstr(err.message, "d/config.json: "));
    assert_int_equal(system("rm -r d"), 0);
    assert_int_equal(nn_model_create(&timm, "efficientnet_b0", 3, &err), RUDD_OK);
    assert_int_equal(weights_hf_write("d", timm, WEIGHTS_F32, &err), RUDD_OK);
    assert_int_equal(rudd_model_open(&opened, "d", &err), RUDD_OK);
    assert_string_equal(rudd_model_arch(opened), "efficientnet_b0");
    rudd_model_close(opened);
    nn_model_destroy(timm);
    nn_model_destroy(m);
}

/* ---- networks -------------------------------------------------------------------------------- */

/* A file of one value under each name. */
static void write_names(const char *const *names)
{
    static const float value = 1;
    struct weights_tensor t[8];
    int count = 0;
    for (; names[count]; count++)
        t[count] = (struct weights_tensor){
            .name = (char *)names[count], .dtype = WEIGHTS_F32, .rank = 1, .shape = {1}, .count = 1, .data = &value};
    assert_int_equal(weights_write("n.safetensors", t, count, NULL, 0, &err), RUDD_OK);
}

#define HAS "; it has EfficientNet, EfficientNetV2, MobileNetV2 and ResNet V2"
static void other_networks_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *names[4], *message;
    } rows[] = {
        {{"blocks.0.attn.qkv.weight", "cls_token"}, "n.safetensors: looks like a ViT, which rudd does not have" HAS},
        {{"layer1.0.conv1.weight", "conv1.weight"},
         "n.safetensors: looks like a ResNet (version 1), which rudd does not have" HAS},
        {{"module.model.0.conv.weight", "module.model.1.conv.weight"},
         "n.safetensors: looks like a YOLO detector, which rudd does not have" HAS},
        {{"conv_stem.weight", "conv_head.bias"}, "n.safetensors: looks like a MobileNetV3, which rudd does not have" HAS},
        {{"features.0.0.weight", "features.1.0.layer_scale"},
         "n.safetensors: looks like a ConvNeXt, which rudd does not have" HAS},
        {{"one", "two"},
         "n.safetensors: its 2 tensors are of no network that rudd has (EfficientNet, EfficientNetV2, "
         "MobileNetV2 and ResNet V2); rudd inspect --tensors lists them"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nn_model *m;
        write_names(rows[i].names);
        assert_int_equal(weights_model_load(&m, "n.safetensors", NULL, NULL, &err), RUDD_MISMATCH);
        assert_string_equal(err.message, rows[i].message);
    }
}

static int without_meta(const char *from, const char *to, bool (*drop)(const char *name))
{
    struct weights_file f;
    assert_int_equal(weights_open(&f, from, &err), RUDD_OK);
    int kept = 0;
    for (int i = 0; i < f.tensor_count; i++)
        if (!drop(f.tensors[i].name))
            f.tensors[kept++] = f.tensors[i];
        else
            rudd_free(f.tensors[i].name);
    const int dropped = f.tensor_count - kept;
    f.tensor_count = kept;
    assert_int_equal(weights_write(to, f.tensors, kept, NULL, 0, &err), RUDD_OK);
    weights_close(&f);
    return dropped;
}

static bool nothing(const char *name)
{
    (void)name;
    return false;
}

static bool classifier(const char *name)
{
    return !strncmp(name, "classifier.", 11);
}

static bool classifier_and_head(const char *name)
{
    return classifier(name) || !strcmp(name, "conv_head.weight") || !strcmp(name, "bn2.weight");
}

/* --arch that does not fit is answered with the one that does, by metadata or tensors; only where the classifier alone is missing
 * --allow-missing is spoken of. */
static void the_right_arch_is_named(void **state)
{
    (void)state;
    struct nn_model *m, *back;
    const struct weights_load_options wrong = {.arch = "efficientnet_b4"};
    assert_int_equal(nn_model_create(&m, "efficientnet_b0", 5, &err), RUDD_OK);
    assert_int_equal(weights_model_save("m.safetensors", m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    nn_model_destroy(m);
    assert_int_equal(weights_model_load(&back, "m.safetensors", &wrong, NULL, &err), RUDD_MISMATCH);
    assert_string_equal(err.message,
                        "m.safetensors: the weights are of efficientnet_b0 (the file says so), not efficientnet_b4; "
                        "leave --arch out or say --arch efficientnet_b0");
    without_meta("m.safetensors", "bare.safetensors", nothing);
    assert_int_equal(weights_model_load(&back, "bare.safetensors", &wrong, NULL, &err), RUDD_MISMATCH);
    assert_string_equal(err.message, "bare.safetensors: the weights are of efficientnet_b0 (recognised by its tensors), not "
                                     "efficientnet_b4; leave --arch out or say --arch efficientnet_b0");
    /* Every tensor of B0 is in B1, too. */
    assert_int_equal(nn_model_create(&m, "efficientnet_b1", 5, &err), RUDD_OK);
    assert_int_equal(weights_model_save("b1.safetensors", m, NULL, WEIGHTS_TIMM, &err), RUDD_OK);
    nn_model_destroy(m);
    without_meta("b1.safetensors", "bare.safetensors", nothing);
    const struct weights_load_options right = {.arch = "efficientnet_b0"};
    assert_int_equal(weights_model_load(&back, "bare.safetensors", &right, NULL, &err), RUDD_MISMATCH);
    assert_string_equal(err.message, "bare.safetensors: the weights are of efficientnet_b1 (recognised by its tensors), not "
                                     "efficientnet_b0; leave --arch out or say --arch efficientnet_b1");
    assert_int_equal(without_meta("m.safetensors", "body.safetensors", classifier), 2);
    assert_int_equal(weights_model_load(&back, "body.safetensors", NULL, NULL, &err), RUDD_MISMATCH);
    assert_string_equal(err.message, "body.safetensors: the weights of efficientnet_b0 without its classifier; --allow-missing "
                                     "starts with a new one");
    assert_int_equal(without_meta("m.safetensors", "less.safetensors", classifier_and_head), 4);
    assert_int_equal(weights_model_load(&back, "less.safetensors", &right, NULL, &err), RUDD_MISMATCH);
    assert_string_equal(err.message,
                        "less.safetensors: does not fit efficientnet_b0 (timm names); 4 missing: conv_head.weight, "
                        "bn2.weight, classifier.weight, ...; rudd inspect --tensors lists what the file holds");
    const struct weights_load_options twin = {.arch = "tf_efficientnet_b0"}; /* has the same tensors, so it is not the fault */
    assert_int_equal(weights_model_load(&back, "less.safetensors", &twin, NULL, &err), RUDD_MISMATCH);
    assert_non_null(strstr(err.message, "does not fit tf_efficientnet_b0 (timm names); 4 missing: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_named),      cmocka_unit_test(archives_are_named),
        cmocka_unit_test(cut_files_are_told),      cmocka_unit_test(folders_are_resolved),
        cmocka_unit_test(run_folders_are_models),  cmocka_unit_test(other_networks_are_named),
        cmocka_unit_test(the_right_arch_is_named),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
