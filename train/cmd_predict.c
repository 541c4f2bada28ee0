/* cmd_predict.c - `rudd predict`: pictures, folders of pictures and .npy tensors in; the likeliest classes out, a line each.
 *
 * A picture that cannot be read costs one line on stderr and the exit status, never the rest of the list. Folders are walked in
 * the order of their names. */
#include "data/npy.h"
#include "data/image/preprocess.h"
#include "data/session.h"
#include "kernels/kern.h"
#include "nn/budget.h"
#include "nn/text.h"
#include "nn/trace.h"
#include "train/command.h"
#include "weights/model_file.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_TOP = 100, MAX_DEPTH = 32 };

/* What every picture is predicted with, and how it is shown. */
struct predicting {
    rudd_model *model;
    rudd_session *session;
    int top;
    bool json, logits;
    struct data_limits limits; /* of pictures */
    enum rudd_status failed;   /* of the last file that could not be read; its line is in *err, not yet printed */
    struct rudd_error *err;
};

static bool ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name), e = strlen(ending);
    return n > e && !strcasecmp(name + n - e, ending);
}

/* What is taken from a folder; a file named on the command line is always tried. */
static bool is_picture(const char *name)
{
    return ends_with(name, ".jpg") || ends_with(name, ".jpeg") || ends_with(name, ".png") || ends_with(name, ".npy");
}

/* Milliseconds to a microsecond, so that JSON shows no digits that mean nothing. */
static json_t *milliseconds(double ms)
{
    return json_real(round(ms * 1e3) / 1e3);
}

static void print_json(const struct predicting *p, const char *file, int index, const struct rudd_top *top, int count,
                       const struct rudd_timing *timing)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:i, s:s, s:f}", "index", top[i].index, "class",
                                              rudd_model_class_name(p->model, top[i].index), "probability",
                                              (double)top[i].probability));
    json_t *line = json_pack("{s:o, s:o, s:o, s:o}", "file", nn_text_json(file), "top", list, "decode_ms",
                             milliseconds(timing->decode_ms), "infer_ms", milliseconds(timing->infer_ms));
    if (index >= 0) json_object_set_new(line, "image", json_integer(index));
    if (*data_session_note(p->session)) json_object_set_new(line, "note", json_string(data_session_note(p->session)));
    if (p->logits) {
        json_t *values = json_array();
        for (int i = 0; i < rudd_model_class_count(p->model); i++)
            json_array_append_new(values, json_real((double)rudd_session_logits(p->session)[i]));
        json_object_set_new(line, "logits", values);
    }
    json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)); /* 9 digits: any float32 comes back */
    putchar('\n');
    json_decref(line);
}

/* The session's results: image `index` of a tensor file, or the one of a picture (-1). */
static void print_result(const struct predicting *p, const char *file, int index, const struct rudd_timing *timing)
{
    struct rudd_top top[MAX_TOP];
    int count = rudd_top_k(top, p->top, rudd_session_probabilities(p->session), rudd_model_class_count(p->model));
    if (p->json)
        print_json(p, file, index, top, count, timing);
    else {
        printf(index >= 0 ? "%s[%d]:" : "%s:", file, index);
        for (int i = 0; i < count; i++)
            printf("%s %s %.1f%%", i ? "," : "", rudd_model_class_name(p->model, top[i].index),
                   100.0 * (double)top[i].probability);
        for (int i = 0; p->logits && i < rudd_model_class_count(p->model); i++)
            printf("%s%.9g", i ? " " : "\n", (double)rudd_session_logits(p->session)[i]);
        putchar('\n');
    }
    fflush(stdout); /* whoever reads the pipe sees each answer when it is there */
}

static enum rudd_status predict_npy(const struct predicting *p, const char *path, struct rudd_error *err)
{
    float *images;
    int64_t shape[4], size = rudd_model_image_size(p->model);
    enum rudd_status status = data_npy_read(&images, shape, path, err);
    if (status) return status;
    if (shape[1] != 3 || shape[2] != size || shape[3] != size)
        status = rudd_fail(err, RUDD_MISMATCH, "%s: shape (%lld,%lld,%lld,%lld), expected (N,3,%lld,%lld); see --image-size",
                           path, (long long)shape[0], (long long)shape[1], (long long)shape[2], (long long)shape[3],
                           (long long)size, (long long)size);
    for (int64_t i = 0; i < shape[0] && !status; i++) {
        struct rudd_timing timing;
        status = rudd_predict_tensor(p->session, images + i * 3 * size * size, 1, &timing, err);
        if (!status) print_result(p, path, (int)i, &timing);
    }
    rudd_free(images);
    return status;
}

/* A failure is kept as the command's own; the one before it is printed now, so that each has its line. */
static void predict_file(struct predicting *p, const char *path)
{
    struct rudd_error err;
    struct rudd_timing timing;
    enum rudd_status status;
    if (ends_with(path, ".npy"))
        status = predict_npy(p, path, &err);
    else {
        status = rudd_predict_file(p->session, path, &timing, &err);
        if (!status && *data_session_note(p->session)) fprintf(stderr, "rudd: %s: %s\n", path, data_session_note(p->session));
        if (!status) print_result(p, path, -1, &timing);
    }
    if (!status) return;
    if (p->failed) fprintf(stderr, "rudd: %s\n", p->err->message);
    p->failed = rudd_fail(p->err, status == RUDD_ARGUMENT ? RUDD_FORMAT : status, "%s", err.message);
}

static enum rudd_status predict_path(struct predicting *p, const char *path, int depth, struct rudd_error *err);

/* Files that look like pictures and folders, by name. */
static enum rudd_status predict_folder(struct predicting *p, const char *path, int depth, struct rudd_error *err)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) return rudd_fail(err, RUDD_IO, "%s: cannot read the folder", path);
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        size_t room = strlen(path) + strlen(name) + 2;
        struct stat st;
        char *full = name[0] == '.' || status ? NULL : rudd_alloc(room);
        if (full) {
            snprintf(full, room, "%s/%s", path, name);
            if (is_picture(name) || (!stat(full, &st) && S_ISDIR(st.st_mode))) status = predict_path(p, full, depth + 1, err);
            rudd_free(full);
        } else if (name[0] != '.' && !status)
            status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to walk it", path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static enum rudd_status predict_path(struct predicting *p, const char *path, int depth, struct rudd_error *err)
{
    struct stat st;
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
        predict_file(p, path);
        return RUDD_OK;
    }
    if (depth > MAX_DEPTH) return rudd_fail(err, RUDD_LIMIT, "%s: folders nested deeper than %d", path, MAX_DEPTH);
    return predict_folder(p, path, depth, err);
}

/* One picture is decoded at a time. What folders hold is not known yet; the files named here are looked at. */
static enum rudd_status open_session(struct predicting *p, size_t asked, char *const *files, int count, struct rudd_error *err)
{
    struct nn_budget budget;
    size_t most = 0;
    nn_budget_make(&budget, asked, 0, 0);
    for (int i = 0; budget.found && i < count; i++) {
        const size_t bytes = data_image_bytes(files[i], &p->limits);
        if (bytes > most) most = bytes;
    }
    nn_budget_make(&budget, asked, most, kern_threads() - 1);
    enum rudd_status status = data_session_create(&p->session, p->model, 1, budget.limit, err);
    return nn_budget_tell(&budget, status, "smaller pictures (--image-size) or a smaller model", err);
}

enum rudd_status train_cmd_predict(int argc, char **argv, struct rudd_error *err)
{
    const char *path = NULL;
    int threads = 0, size = 0, views = 1;
    size_t memory_limit = NN_BYTES_AUTO;
    double max_megapixels = DATA_MEGAPIXELS;
    bool done, calibrated = false, truncated = false;
    struct rudd_error bad;
    struct nn_trace_log *trace = NULL;
    struct predicting p = {.top = 3, .err = &bad};
    const struct nn_option rows[] = {
        {"model", NN_OPTION_REQUIRED, &path, "FILE", 0, 0, "the model file"},
        {"top", NN_OPTION_INT, &p.top, "K", 1, MAX_TOP, "how many classes to show"},
        {"json", NN_OPTION_FLAG, &p.json, NULL, 0, 0, "one JSON object a line"},
        {"logits", NN_OPTION_FLAG, &p.logits, NULL, 0, 0, "all logits too"},
        {"calibrated", NN_OPTION_FLAG, &calibrated, NULL, 0, 0,
         "probabilities with the temperature fitted on validation pictures"},
        {"views", NN_OPTION_INT, &views, "N", 1, DATA_VIEWS,
         "mean of so many views of each picture: 2 with the mirror, 6 with the corners too, 10 with their mirrors"},
        {"image-size", NN_OPTION_INT, &size, "N", 0, 4096, "side of the network's input; 0: the model's own"},
        NN_OPTION_THREADS(&threads, "processors"),
        DATA_OPTION_MEGAPIXELS(&max_megapixels),
        DATA_OPTION_TRUNCATED(&truncated),
        NN_OPTION_MEMORY(&memory_limit, "for activations and prepared weights"),
    };
    struct nn_options options = {.usage = "rudd predict --model FILE IMAGE|DIR|TENSOR.npy ...",
                                 .about = "Classifies pictures (JPEG, PNG), folders of them, and normalised tensors (N,3,H,W).",
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows,
                                 .max_arguments = -1};
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status || done) goto out;
    if (!options.argument_count) {
        status = rudd_fail(err, RUDD_ARGUMENT, "predict: no picture given; usage: %s", options.usage);
        goto out;
    }
    p.limits = data_limits_of(max_megapixels, truncated);
    rudd_set_threads(kern_threads_within(threads));
    status = rudd_model_open(&p.model, path, err);
    if (!status && size) p.model->preprocess.image_size = size; /* sessions take the size from here */
    if (!status) status = open_session(&p, memory_limit, options.arguments, options.argument_count, err);
    if (!status) data_session_set_limits(p.session, &p.limits);
    if (!status) status = rudd_session_set_views(p.session, views, err);
    if (!status && calibrated) status = rudd_session_calibrate(p.session, err);
    if (!status) trace = nn_trace_begin(data_session_plan(p.session));
    for (int i = 0; i < options.argument_count && !status; i++) status = predict_path(&p, options.arguments[i], 0, err);
    if (p.failed) {
        if (status) /* the walk ended early: two lines, in order */
            fprintf(stderr, "rudd: %s\n", bad.message);
        else
            status = rudd_fail(err, p.failed, "%s", bad.message);
    }
out:
    nn_trace_end(stderr, trace);
    rudd_session_destroy(p.session);
    if (p.model) rudd_model_close(p.model);
    nn_options_free(&options);
    return status;
}
