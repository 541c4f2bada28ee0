/* cmd_predict.c - `rudd predict`: pictures, folders of them and .npy tensors in; the likeliest classes
 * out, as lines, JSON, CSV, sorted folders or a contact sheet.
 *
 *     arguments | --list | -  --walk folders-->  one picture  --bytes-->  answer  -->  every sink
 *
 * A picture that cannot be read costs one line on stderr and the exit status, never the rest. A
 * signal ends the run behind the picture that is being worked on, and every file is completed. */
#include "data/npy.h"
#include "data/image/preprocess.h"
#include "data/session.h"
#include "data/sets/walk.h"
#include "kernels/kern.h"
#include "nn/budget.h"
#include "nn/text.h"
#include "nn/trace.h"
#include "train/cli/signals.h"
#include "train/command.h"
#include "train/left.h"
#include "train/names.h"
#include "train/predict.h"
#include "train/progress.h"
#include "weights/model_file.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_TOP = 100, MAX_SINKS = 4 };

/* What every picture is predicted with, and where its answer goes. */
struct predicting {
    rudd_model *model;
    rudd_session *session;
    int top;
    bool json, logits;
    struct data_limits limits; /* of pictures */
    struct train_sink *sinks[MAX_SINKS];
    int sink_count;
    struct train_events events;
    const char *sort_into;   /* a folder that no walk enters; NULL: none */
    long done;               /* pictures read, and those that could not be */
    long found;              /* by the walk that goes on */
    enum rudd_status failed; /* of the last picture or folder that could not be read, which was told */
};

/* ---- answers as lines ------------------------------------------------------------------------ */

/* The sink that is standard output, and standard error for what could not be read. */
struct screen {
    struct train_sink sink;
    const struct predicting *p;
    bool quiet; /* standard output is another's */
};

/* Milliseconds to a microsecond, so that JSON shows no digits that mean nothing. */
static json_t *milliseconds(double ms)
{
    return json_real(round(ms * 1e3) / 1e3);
}

static json_t *exif_json(const struct data_exif *exif)
{
    json_t *object = json_object();
    if (*exif->time) json_object_set_new(object, "time", json_string(exif->time));
    if (!exif->has_position) return object;
    json_object_set_new(object, "latitude", json_real(exif->latitude));
    json_object_set_new(object, "longitude", json_real(exif->longitude));
    return object;
}

static json_t *answer_json(const struct predicting *p, const struct train_answer *a)
{
    if (a->error) return json_pack("{s:o, s:o}", "file", nn_text_json(a->path), "error", nn_text_json(a->error));
    json_t *list = json_array();
    for (int i = 0; i < a->count; i++)
        json_array_append_new(list, json_pack("{s:i, s:s, s:f}", "index", a->top[i].index, "class",
                                              rudd_model_class_name(p->model, a->top[i].index), "probability",
                                              (double)a->top[i].probability));
    json_t *line = json_pack("{s:o, s:o, s:o, s:o}", "file", nn_text_json(a->path), "top", list, "decode_ms",
                             milliseconds(a->timing.decode_ms), "infer_ms", milliseconds(a->timing.infer_ms));
    if (a->image >= 0) json_object_set_new(line, "image", json_integer(a->image));
    if (*a->exif.time || a->exif.has_position) json_object_set_new(line, "exif", exif_json(&a->exif));
    if (*a->note) json_object_set_new(line, "note", nn_text_json(a->note));
    if (p->logits) {
        json_t *values = json_array();
        for (int i = 0; i < rudd_model_class_count(p->model); i++)
            json_array_append_new(values, json_real((double)a->logits[i]));
        json_object_set_new(line, "logits", values);
    }
    return line;
}

static void print_json(json_t *line)
{
    json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)); /* 9 digits: any float32 comes back */
    putchar('\n');
    json_decref(line);
}

static void print_text(const struct predicting *p, const struct train_answer *a)
{
    if (a->error) return;
    printf(a->image >= 0 ? "%s[%d]:" : "%s:", a->path, a->image);
    for (int i = 0; i < a->count; i++)
        printf("%s %s %.1f%%", i ? "," : "", rudd_model_class_name(p->model, a->top[i].index),
               100.0 * (double)a->top[i].probability);
    for (int i = 0; p->logits && i < rudd_model_class_count(p->model); i++)
        printf("%s%.9g", i ? " " : "\n", (double)a->logits[i]);
    putchar('\n');
}

static enum rudd_status screen_take(struct train_sink *sink, const struct train_answer *a, struct rudd_error *err)
{
    const struct screen *s = (const struct screen *)sink;
    if (a->error) fprintf(stderr, "rudd: %s\n", a->error);
    if (*a->note) fprintf(stderr, "rudd: %s: %s\n", a->path, a->note);
    if (s->quiet) return RUDD_OK;
    if (s->p->json)
        print_json(answer_json(s->p, a));
    else
        print_text(s->p, a);
    /* Whoever reads the pipe sees each answer when it is there. */
    return fflush(stdout) ? rudd_fail(err, RUDD_IO, "standard output cannot be written: %s", strerror(errno)) : RUDD_OK;
}

static enum rudd_status screen_end(struct train_sink *sink, bool stopped, struct rudd_error *err)
{
    (void)sink, (void)stopped, (void)err;
    return RUDD_OK;
}

static bool ends_in(const char *name, const char *ending)
{
    const size_t length = strlen(name), n = strlen(ending);
    return length >= n && strcasecmp(name + length - n, ending) == 0;
}

/* ---- one picture ----------------------------------------------------------------------------- */

static enum rudd_status deliver(struct predicting *p, struct train_answer *a, struct rudd_error *err)
{
    struct rudd_top top[MAX_TOP];
    enum rudd_status status = RUDD_OK;
    if (!a->error) {
        a->logits = rudd_session_logits(p->session);
        a->count = rudd_top_k(top, p->top, rudd_session_probabilities(p->session), rudd_model_class_count(p->model));
        a->top = top;
    }
    p->done++;
    for (int i = 0; i < p->sink_count && !status; i++) status = p->sinks[i]->take(p->sinks[i], a, err);
    return status;
}

/* A picture or folder that cannot be read is an answer, too. */
static enum rudd_status deliver_error(struct predicting *p, struct train_answer *a, const struct rudd_error *bad,
                                      struct rudd_error *err)
{
    p->failed = bad->status == RUDD_ARGUMENT ? RUDD_FORMAT : bad->status; /* using rudd was not what was wrong */
    a->error = bad->message;
    return deliver(p, a, err);
}

/* Its answers are delivered one by one; *bad says what is wrong with the file, *err what ends the run. */
static enum rudd_status predict_npy(struct predicting *p, struct train_answer *a, struct rudd_error *bad,
                                    struct rudd_error *err)
{
    float *images;
    int64_t shape[4], size = rudd_model_image_size(p->model);
    enum rudd_status status = RUDD_OK;
    bad->status = data_npy_read(&images, shape, a->path, bad);
    if (bad->status) return RUDD_OK;
    if (shape[1] != 3 || shape[2] != size || shape[3] != size)
        rudd_fail(bad, RUDD_MISMATCH, "%s: shape (%lld,%lld,%lld,%lld), expected (N,3,%lld,%lld); see --image-size", a->path,
                  (long long)shape[0], (long long)shape[1], (long long)shape[2], (long long)shape[3], (long long)size,
                  (long long)size);
    for (int64_t i = 0; i < shape[0] && !bad->status && !status && !train_is_stopped(&p->events); i++) {
        bad->status = rudd_predict_tensor(p->session, images + i * 3 * size * size, 1, &a->timing, bad);
        a->image = (int)i;
        if (!bad->status) status = deliver(p, a, err);
    }
    rudd_free(images);
    return status;
}

/* A picture's bytes; of "-" those of standard input. */
static enum rudd_status load(struct predicting *p, uint8_t **bytes, size_t *length, const char *path, bool standard,
                             struct rudd_error *err)
{
    return standard ? train_stdin_read(bytes, length, p->limits.max_bytes, &p->events, err)
                    : data_image_load(bytes, length, path, &p->limits, err);
}

static enum rudd_status predict_picture(struct predicting *p, const char *path, bool standard, struct rudd_error *err)
{
    struct train_answer a = {.path = path, .image = -1, .note = ""};
    struct rudd_error bad = {RUDD_OK, ""};
    uint8_t *bytes = NULL;
    if (train_is_stopped(&p->events)) return RUDD_CANCELLED;
    p->found++;
    if (ends_in(path, ".npy")) {
        enum rudd_status status = predict_npy(p, &a, &bad, err);
        return status || !bad.status ? status : deliver_error(p, &a, &bad, err);
    }
    const double started = train_now();
    bad.status = load(p, &bytes, &a.length, path, standard, &bad);
    if (bad.status == RUDD_CANCELLED) return RUDD_CANCELLED;
    const double loaded = train_now();
    if (!bad.status) {
        a.bytes = bytes;
        data_image_exif(&a.exif, bytes, a.length);
        bad.status = data_session_predict(p->session, bytes, a.length, path, &a.timing, &bad);
        if (!bad.status) a.note = data_session_note(p->session);
        a.timing.decode_ms += standard ? 0 : 1e3 * (loaded - started);
    }
    enum rudd_status status = bad.status ? deliver_error(p, &a, &bad, err) : deliver(p, &a, err);
    rudd_free(bytes);
    return status;
}

/* ---- what was named -------------------------------------------------------------------------- */

static enum rudd_status on_picture(void *user, const char *path, struct rudd_error *err)
{
    return predict_picture(user, path, false, err);
}

/* A folder without a picture is a failure of its own: whoever named it meant something. */
static enum rudd_status predict_folder(struct predicting *p, const char *path, struct rudd_error *err)
{
    struct data_account left = {0};
    struct rudd_error bad = {RUDD_OK, ""};
    struct train_answer a = {.path = path, .image = -1, .note = ""};
    const struct data_walk walk = {on_picture, p, ".npy", p->sort_into, &left};
    char text[1500];
    p->found = 0;
    enum rudd_status status = data_walk(&walk, path, err);
    data_account_print(text, sizeof text, &left);
    if (status == RUDD_IO && !p->found) /* the folder itself */
        rudd_fail(&bad, status, "%s", err->message);
    else if (!status && !p->found)
        rudd_fail(&bad, RUDD_IO, "%s: no picture in it%s%s", path, *text ? "; " : "", text);
    if (bad.status)
        status = deliver_error(p, &a, &bad, err);
    else if (*text)
        train_left_note(&train_progress_notes, path, &left);
    if (p->json && data_account_total(&left))
        print_json(json_pack("{s:o, s:o}", "folder", nn_text_json(path), "left_out", train_left_json(&left)));
    data_account_free(&left);
    return status;
}

static enum rudd_status predict_path(struct predicting *p, const char *path, struct rudd_error *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return predict_folder(p, path, err);
    return predict_picture(p, path, false, err);
}

static enum rudd_status predict_list(struct predicting *p, const char *list, struct rudd_error *err)
{
    struct train_names *names = NULL;
    const char *name = NULL;
    enum rudd_status status = train_names_open(&names, list, &p->events, err);
    if (!status) status = train_names_next(&name, names, err);
    while (!status && name) {
        status = predict_path(p, name, err);
        if (!status) status = train_names_next(&name, names, err);
    }
    train_names_close(names);
    return status;
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

/* ---- the command ----------------------------------------------------------------------------- */

struct predict_options {
    const char *model, *csv, *list, *sort_into, *sheet;
    int threads, size, views, sheet_most;
    size_t memory_limit;
    double sure;
    double max_megapixels;
    bool raw, calibrated, copy, truncated;
};

/* What excludes what, before anything is opened. */
static enum rudd_status check(const struct predicting *p, const struct predict_options *o, const struct nn_options *options,
                              struct rudd_error *err)
{
    int standard = 0;
    for (int i = 0; i < options->argument_count; i++) standard += strcmp(options->arguments[i], "-") == 0;
    const bool listed = o->list && strcmp(o->list, "-") == 0;
    if (!options->argument_count && !o->list)
        return rudd_fail(err, RUDD_ARGUMENT, "predict: no picture given; usage: %s", options->usage);
    if (standard + listed > 1)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "predict: standard input can be read once: one picture (-) or one list (--list -)");
    if (o->csv && strcmp(o->csv, "-") == 0 && p->json)
        return rudd_fail(err, RUDD_ARGUMENT, "predict: --json and --csv - both want standard output; give --csv a file");
    if (standard && o->sort_into)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "predict: the picture on standard input is no file, so --sort-into cannot sort it");
    if (o->csv && ends_in(o->csv, ".html"))
        return rudd_fail(err, RUDD_ARGUMENT,
                         "--csv %s: is a table, not a page; give a name that ends in .csv, or say "
                         "--contact-sheet for a page",
                         o->csv);
    if (o->sheet && ends_in(o->sheet, ".csv"))
        return rudd_fail(err, RUDD_ARGUMENT,
                         "--contact-sheet %s: is a page, not a table; give a name that ends in .html, or "
                         "say --csv for a table",
                         o->sheet);
    if (o->copy && !o->sort_into) return rudd_fail(err, RUDD_ARGUMENT, "predict: --copy says how to --sort-into a folder");
    return RUDD_OK;
}

static enum rudd_status open_sinks(struct predicting *p, const struct predict_options *o, struct screen *screen,
                                   struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    const struct train_sorting sorting = {o->sure, o->copy};
    const struct train_sheet sheet = {o->sure, o->sheet_most, &p->limits};
    *screen = (struct screen){{screen_take, screen_end}, p, o->csv && strcmp(o->csv, "-") == 0};
    p->sinks[p->sink_count++] = &screen->sink;
    if (o->csv) {
        status = train_predict_csv(&p->sinks[p->sink_count], o->csv, p->model, p->top, err);
        p->sink_count += !status;
    }
    if (o->sheet && !status) {
        status = train_predict_sheet(&p->sinks[p->sink_count], o->sheet, p->model, &sheet, err);
        p->sink_count += !status;
    }
    if (o->sort_into && !status) {
        status = train_predict_sort(&p->sinks[p->sink_count], o->sort_into, p->model, &sorting, err);
        p->sink_count += !status;
    }
    return status;
}

/* Completes every sink, whatever happened; the first failure is the run's. */
static enum rudd_status end_sinks(struct predicting *p, enum rudd_status status, struct rudd_error *err)
{
    for (int i = 0; i < p->sink_count; i++) {
        struct rudd_error later;
        const enum rudd_status ended = p->sinks[i]->end(p->sinks[i], status != RUDD_OK, &later);
        if (ended && status && status != RUDD_CANCELLED)
            fprintf(stderr, "rudd: %s\n", later.message);
        else if (ended)
            status = rudd_fail(err, ended, "%s", later.message);
    }
    return status;
}

static enum rudd_status run(struct predicting *p, const struct predict_options *o, const struct nn_options *options,
                            struct rudd_error *err)
{
    struct screen screen;
    struct train_progress progress;
    p->events = train_progress_events(&progress, true);
    p->events.listen(p->events.user);
    enum rudd_status status = open_sinks(p, o, &screen, err);
    for (int i = 0; i < options->argument_count && !status; i++) {
        const bool standard = strcmp(options->arguments[i], "-") == 0;
        status = standard ? predict_picture(p, "-", true, err) : predict_path(p, options->arguments[i], err);
    }
    if (o->list && !status) status = predict_list(p, o->list, err);
    if (!status && train_is_stopped(&p->events)) status = RUDD_CANCELLED;
    if (status == RUDD_CANCELLED)
        rudd_fail(err, status, "predict: stopped on request behind %ld pictures; what was written is complete up to there",
                  p->done);
    status = end_sinks(p, status, err);
    if (!status && !p->done)
        status = rudd_fail(err, RUDD_IO, "predict: %s: no name in it, so nothing was read", o->list);
    else if (!status && p->failed)
        status = rudd_fail(err, p->failed, "%s", ""); /* each has had its line */
    return status;
}

enum rudd_status train_cmd_predict(int argc, char **argv, struct rudd_error *err)
{
    struct predict_options o = {
        .views = 1, .sheet_most = 5000, .sure = 0.8, .memory_limit = NN_BYTES_AUTO, .max_megapixels = DATA_MEGAPIXELS};
    bool done;
    struct nn_trace_log *trace = NULL;
    struct predicting p = {.top = 3};
    const struct nn_option rows[] = {
        NN_OPTION_HEADING("Answers"),
        {"model", NN_OPTION_REQUIRED, &o.model, "FILE", 0, 0, "model file that answers", NN_COMMON},
        {"top", NN_OPTION_INT, &p.top, "K", 1, MAX_TOP, "how many classes to show for each picture", NN_COMMON},
        {"json", NN_OPTION_FLAG, &p.json, NULL, 0, 0, "print one JSON object for each picture", NN_COMMON},
        {"logits", NN_OPTION_FLAG, &p.logits, NULL, 0, 0, "also print all logits, the network's raw output"},
        {"csv", NN_OPTION_STRING, &o.csv, "FILE|-", 0, 0,
         "write a table: path, classes, probabilities, time and place of the picture, error", NN_COMMON},
        {"list", NN_OPTION_STRING, &o.list, "FILE|-", 0, 0,
         "read more names of pictures from a file: one in each line, or each ended by a 0 byte"},
        NN_OPTION_HEADING("Sorted folders and contact sheet"),
        {"sort-into", NN_OPTION_STRING, &o.sort_into, "DIR", 0, 0,
         "make a folder for each class there, with links to the pictures; undo.sh in it undoes "
         "this",
         NN_COMMON},
        {"copy", NN_OPTION_FLAG, &o.copy, NULL, 0, 0, "with --sort-into: copy the pictures instead of linking"},
        {"contact-sheet", NN_OPTION_STRING, &o.sheet, "FILE", 0, 0,
         "write an HTML page with all pictures as thumbnails, doubtful ones first", NN_COMMON},
        {"contact-sheet-max", NN_OPTION_INT, &o.sheet_most, "N", 1, 1000000, "most pictures on the contact sheet"},
        {"sure", NN_OPTION_DOUBLE, &o.sure, "P", 0, 1,
         "from this probability on an answer is called sure, in folders and on the contact sheet"},
        NN_OPTION_HEADING("Probabilities"),
        DATA_OPTION_RAW(&o.raw),
        DATA_OPTION_CALIBRATED(&o.calibrated),
        {"views", NN_OPTION_INT, &o.views, "N", 1, DATA_VIEWS,
         "average over N views of each picture. 2: also mirrored; 6: also the corners; 10: also "
         "these mirrored"},
        NN_OPTION_HEADING("Pictures and machine"),
        {"image-size", NN_OPTION_INT, &o.size, "N", 0, 4096,
         "width and height of the pictures inside the network; 0: what the model was made for"},
        NN_OPTION_THREADS(&o.threads, "threads"),
        DATA_OPTION_MEGAPIXELS(&o.max_megapixels),
        DATA_OPTION_TRUNCATED(&o.truncated),
        NN_OPTION_MEMORY(&o.memory_limit, "most memory for the network"),
    };
    static const struct nn_example examples[] = {
        {"what is on a photo?", "rudd predict --model runs/1/model.safetensors photo.jpg"},
        {"a folder of photos: a table, and a page with thumbnails",
         "rudd predict --model m.safetensors --csv a.csv --contact-sheet a.html photos"},
        {"sort photos into folders by class", "rudd predict --model m.safetensors --sort-into sorted photos"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd predict --model FILE IMAGE|DIR|TENSOR.npy|- ...",
                                 .about = "Says what is on pictures. Names may be pictures, "
                                          "folders of pictures, .npy files of normalised tensors "
                                          "(N,3,H,W), and - for one picture on standard input.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows,
                                 .max_arguments = -1};
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (!status && !done) status = check(&p, &o, &options, err);
    if (status || done) goto out;
    p.sort_into = o.sort_into;
    p.limits = data_limits_of(o.max_megapixels, o.truncated);
    train_signals_quit("rudd: predict: stopped before the first picture\n");
    rudd_set_threads(kern_threads_within(o.threads));
    status = rudd_model_open(&p.model, o.model, err);
    if (!status) status = data_calibration_check(p.model, o.model, o.raw, o.calibrated, err);
    if (!status && o.size) p.model->preprocess.image_size = o.size; /* sessions take the size from here */
    if (!status) status = open_session(&p, o.memory_limit, options.arguments, options.argument_count, err);
    if (!status) data_session_set_limits(p.session, &p.limits);
    if (!status) status = rudd_session_set_views(p.session, o.views, err);
    if (!status && o.raw) rudd_session_set_raw(p.session, 1);
    if (!status) trace = nn_trace_begin(data_session_plan(p.session));
    if (!status) status = run(&p, &o, &options, err);
out:
    nn_trace_end(stderr, trace);
    rudd_session_destroy(p.session);
    if (p.model) rudd_model_close(p.model);
    nn_options_free(&options);
    return status;
}
