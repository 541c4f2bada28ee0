/* cmd_data.c - `rudd data check|stats|split|synth|feedback`: folders of pictures before training.
 *
 *     check   what is wrong with DIR; exit status 1 when something is
 *     stats   pictures per class and split, sizes, colours
 *     split   SRC/<class>/ into DST/train, DST/val and DST/test, stratified
 *     synth   the drawn set (cmd_synth.c)
 *     feedback   what people said of a server's answers (cmd_feedback.c) */
#include "data/sets/check.h"
#include "data/sets/listing.h"
#include "data/image/decode.h"
#include "kernels/limits.h"
#include "nn/name_index.h"
#include "nn/text.h"
#include "train/cli/cmd_data_cache.h"
#include "train/cmd_feedback.h"
#include "train/cmd_synth.h"
#include "train/folder.h"
#include "train/left.h"
#include "train/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum rudd_status one_folder(const struct nn_options *options, const char **dir, struct rudd_error *err)
{
    if (options->argument_count != 1)
        return rudd_fail(err, RUDD_ARGUMENT, "%d folders given; expected one: %s", options->argument_count, options->usage);
    *dir = options->arguments[0];
    return RUDD_OK;
}

/* How pictures are read. */
struct reading {
    double max_megapixels;
    bool truncated;
};

/* ---- check ------------------------------------------------------------------------------------------------------------------- */

static json_t *alike_json(const struct data_report *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->alike_count; i++) {
        const struct data_alike *a = &r->alike[i];
        json_t *paths = json_array();
        for (int k = 0; k < a->path_count; k++) json_array_append_new(paths, nn_text_json(a->paths[k]));
        json_array_append_new(list, json_pack("{si, si, si, so}", "pictures", a->pictures, "splits", a->splits, "classes",
                                              a->classes, "paths", paths));
    }
    return list;
}

static json_t *report_json(const struct data_report *r)
{
    json_t *faults = json_array(), *counts = json_object();
    for (int kind = 0; kind < DATA_FAULT_KINDS; kind++)
        json_object_set_new(counts, data_fault_name((enum data_fault_kind)kind), json_integer(r->counts[kind]));
    for (int i = 0; i < r->count; i++)
        json_array_append_new(
            faults, json_pack("{ss, so}", "kind", data_fault_name(r->faults[i].kind), "text", nn_text_json(r->faults[i].text)));
    return json_pack("{si, si, si, so, so, sb, so, si, si, so}", "pictures", r->pictures, "classes", r->classes, "faulty",
                     r->faulty, "counts", counts, "faults", faults, "near_searched", r->searched, "near", alike_json(r),
                     "near_plain", r->plain, "near_cut", r->cut, "left_out", train_left_json(&r->left));
}

static void print_report(const struct data_report *r)
{
    for (int i = 0; i < r->count; i++) printf("%-14s %s\n", data_fault_name(r->faults[i].kind), r->faults[i].text);
    for (int kind = 0; kind < DATA_FAULT_KINDS; kind++)
        if (r->counts[kind] > DATA_FAULT_TEXTS)
            printf("%-14s and %d more\n", data_fault_name((enum data_fault_kind)kind), r->counts[kind] - DATA_FAULT_TEXTS);
    printf("%d pictures of %d classes\n", r->pictures, r->classes);
    if (!r->searched)
        puts("pictures that look alike were not searched for (--no-near)");
    else if (r->plain || r->cut)
        printf("of these, %d are too plain to be searched for what looks alike, and %d were compared with some only\n",
               r->plain, r->cut);
}

static enum rudd_status check(int argc, char **argv, struct rudd_error *err)
{
    bool json = false, done;
    struct data_check_options o = {.near = true};
    struct reading reading = {.max_megapixels = DATA_MEGAPIXELS};
    int threads = 0;
    const char *dir = NULL;
    const struct nn_option rows[] = {
        {"json", NN_OPTION_FLAG, &json, NULL, 0, 0, "print the report as one JSON object"},
        {"near", NN_OPTION_FLAG, &o.near, NULL, 0, 0,
         "search for pictures of the same photograph: cropped, mirrored, resized, saved again"},
        DATA_OPTION_MEGAPIXELS(&reading.max_megapixels),
        DATA_OPTION_TRUNCATED(&reading.truncated),
        NN_OPTION_THREADS(&threads, "threads"),
    };
    static const struct nn_example examples[] = {
        {"before training", "rudd data check photos"},
        {"faster, without the search for similar pictures", "rudd data check photos --no-near"},
        {NULL, NULL},
    };
    struct nn_options options = {
        .usage = "rudd data check DIR [--json] [--no-near]",
        .about = "Reads every picture of a folder and lists what is wrong. DIR holds train/, val/ "
                 "and test/ with class folders in them, or class folders alone, or a list of "
                 "labels. Errors are broken files, equal files, files in two splits, empty "
                 "classes, and classes that another split does not have: then the exit status is "
                 "1. Pictures of the same photograph, and damaged pictures that can be read, are "
                 "listed as hints.",
        .examples = examples,
        .rows = rows,
        .count = sizeof rows / sizeof *rows,
        .max_arguments = 1,
    };
    struct data_report report = {0};
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (!status && !done) {
        status = one_folder(&options, &dir, err);
        rudd_set_threads(kern_threads_within(threads));
        const struct data_limits limits = data_limits_of(reading.max_megapixels, reading.truncated);
        o.limits = &limits;
        if (!status) status = data_check(&report, dir, &o, err);
        if (!status && json)
            status = train_command_print(report_json(&report), err);
        else if (!status)
            print_report(&report);
        if (!status) train_left_note(&train_progress_notes, dir, &report.left);
        if (!status && report.faulty)
            status = rudd_fail(err, RUDD_FORMAT, "%s: %d fault%s in %d pictures; %s", dir, report.faulty,
                               report.faulty > 1 ? "s" : "", report.pictures, "remove or repair what is listed");
    }
    data_report_free(&report);
    nn_options_free(&options);
    return status;
}

/* ---- stats ------------------------------------------------------------------------------------------------------------------- */

static json_t *stats_json(const char *name, const struct data_set *set, const int *counts, const struct data_stats *s)
{
    json_t *classes = json_object();
    for (int label = 0; label < set->class_count; label++) {
        char *class = nn_text(set->class_names[label]);
        json_object_set_new(classes, class ? class : "", json_integer(counts[label]));
        rudd_free(class);
    }
    return json_pack("{ss, si, si, s[ii], s[ii], s[ff], s[fff], s[fff], so}", "split", name, "pictures", s->pictures,
                     "unreadable", s->bad, "width_range", s->w_min, s->w_max, "height_range", s->h_min, s->h_max, "size_mean",
                     s->w_mean, s->h_mean, "mean", s->mean[0], s->mean[1], s->mean[2], "std", s->std[0], s->std[1], s->std[2],
                     "classes", classes);
}

static void print_stats(const char *name, const struct data_set *set, const int *counts, const struct data_stats *s)
{
    printf("%s: %d pictures of %d classes, %d unreadable\n", name, s->pictures, set->class_count, s->bad);
    printf("  width %d to %d, %.0f on average; height %d to %d, %.0f\n", s->w_min, s->w_max, s->w_mean, s->h_min, s->h_max,
           s->h_mean);
    printf("  mean %.3f %.3f %.3f, deviation %.3f %.3f %.3f\n", s->mean[0], s->mean[1], s->mean[2], s->std[0], s->std[1],
           s->std[2]);
    for (int label = 0; label < set->class_count; label++) printf("  %6d  %s\n", counts[label], set->class_names[label]);
}

/* One split's figures: into list for JSON, else printed. */
static enum rudd_status add_stats(json_t *list, const char *name, const struct data_set *set, const struct data_limits *limits,
                                  struct rudd_error *err)
{
    struct data_stats s;
    int *counts = data_set_counts(set);
    if (!counts) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %d classes", name, set->class_count);
    data_stats(&s, set, limits);
    if (list)
        json_array_append_new(list, stats_json(name, set, counts, &s));
    else
        print_stats(name, set, counts, &s);
    rudd_free(counts);
    return RUDD_OK;
}

static enum rudd_status stats(int argc, char **argv, struct rudd_error *err)
{
    bool json = false, done;
    const char *dir = NULL;
    struct reading reading = {.max_megapixels = DATA_MEGAPIXELS};
    const struct nn_option rows[] = {
        {"json", NN_OPTION_FLAG, &json, NULL, 0, 0, "print a JSON list with an object for each split"},
        DATA_OPTION_MEGAPIXELS(&reading.max_megapixels),
        DATA_OPTION_TRUNCATED(&reading.truncated),
    };
    static const struct nn_example examples[] = {
        {"how many pictures has each class?", "rudd data stats photos"},
        {NULL, NULL},
    };
    struct nn_options options = {
        .usage = "rudd data stats DIR [--json]",
        .about = "Counts the pictures of each class, and measures their sizes and colours.",
        .examples = examples,
        .rows = rows,
        .count = sizeof rows / sizeof *rows,
        .max_arguments = 1,
    };
    struct data_splits splits = {0};
    static const double whole[3] = {1, 0, 0}; /* what nothing divides stays one */
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (!status && !done) {
        status = one_folder(&options, &dir, err);
        const struct data_limits limits = data_limits_of(reading.max_megapixels, reading.truncated);
        json_t *list = json ? json_array() : NULL;
        if (!status) status = data_splits_scan(&splits, dir, whole, 0, err);
        const struct data_set *sets[DATA_SPLITS] = {&splits.train, &splits.val, &splits.test};
        for (int i = 0; i < DATA_SPLITS && !status; i++)
            if (sets[i]->count) status = add_stats(list, splits.divided ? data_split_name(i) : "all", sets[i], &limits, err);
        if (!status) train_left_note(&train_progress_notes, dir, &splits.left);
        if (!status && json)
            status = train_command_print(list, err);
        else
            json_decref(list);
    }
    data_splits_free(&splits);
    nn_options_free(&options);
    return status;
}

/* ---- split ------------------------------------------------------------------------------------------------------------------- */

struct split_options {
    const char *out;
    double shares[3];
    int seed;
    bool link, near;
    struct reading reading;
};

static enum rudd_status place_file(const char *to, const char *from, bool link_it, struct rudd_error *err)
{
    uint8_t *bytes;
    size_t length;
    if (link_it)
        return link(from, to) == 0
                   ? RUDD_OK
                   : rudd_fail(err, RUDD_IO, "%s: cannot be linked to %s: %s; copy without --link", to, from, strerror(errno));
    enum rudd_status status = data_file_read(&bytes, &length, from, SIZE_MAX / 2, err);
    if (status) return status;
    status = train_folder_write(to, bytes, length, err);
    rudd_free(bytes);
    return status;
}

/* folder/name, or folder/stem-2.ending where that is taken: lists may name x.jpg of two folders. The folders in name are made. */
static enum rudd_status free_path(char **path, const char *folder, const char *name, struct rudd_error *err)
{
    const char *slash = strrchr(name, '/'), *dot = strrchr(name, '.');
    const size_t room = strlen(folder) + strlen(name) + 16;
    const int stem = (int)((dot && dot > (slash ? slash + 1 : name) ? dot : name + strlen(name)) - name);
    char *to = rudd_alloc(room);
    if (!to) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for a path in it", folder);
    enum rudd_status status = RUDD_OK;
    snprintf(to, room, "%s/%.*s", folder, slash ? (int)(slash - name) : 0, name);
    if (slash) status = train_folder_make_all(to, err);
    snprintf(to, room, "%s/%s", folder, name);
    for (int n = 2; !status && access(to, F_OK) == 0; n++)
        snprintf(to, room, "%s/%.*s-%d%s", folder, stem, name, n, name + stem);
    if (status)
        rudd_free(to);
    else
        *path = to;
    return status;
}

static enum rudd_status place_item(const char *folder, const struct data_set *set, const struct data_item *item, bool link_it,
                                   struct rudd_error *err)
{
    char *class_folder = data_path_join(folder, set->class_names[item->label]), *to = NULL;
    if (!class_folder) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for a path in it", folder);
    enum rudd_status status = free_path(&to, class_folder, item->path + item->name, err);
    if (!status) status = place_file(to, item->path, link_it, err);
    rudd_free(to);
    rudd_free(class_folder);
    return status;
}

static enum rudd_status place_set(const char *folder, const struct data_set *set, bool link_it, struct rudd_error *err)
{
    enum rudd_status status = train_folder_make(folder, err);
    for (int label = 0; label < set->class_count && !status; label++) {
        char *class_folder = data_path_join(folder, set->class_names[label]);
        if (!class_folder) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for a path in it", folder);
        status = train_folder_make(class_folder, err);
        rudd_free(class_folder);
    }
    for (int i = 0; i < set->count && !status; i++) status = place_item(folder, set, &set->items[i], link_it, err);
    return status;
}

/* Finds the pictures of SRC and divides them, those of one photograph together. */
static enum rudd_status divide(struct data_splits *splits, const char *dir, const struct split_options *o,
                               struct rudd_error *err)
{
    struct data_set all = {0};
    int *leader = NULL, groups = 0, grouped = 0;
    const struct data_limits limits = data_limits_of(o->reading.max_megapixels, o->reading.truncated);
    if (data_has_splits(dir)) return rudd_fail(err, RUDD_ARGUMENT, "%s: has a train/ folder, so it is split already", dir);
    enum rudd_status status = data_is_listing(dir) ? data_splits_scan(splits, dir, o->shares, (uint64_t)o->seed, err) : RUDD_OK;
    if (status || splits->divided) return status; /* as the list divides them */
    data_splits_free(splits);
    status = data_set_scan(&all, dir, NULL, 0, err);
    if (!status) status = nn_class_names_check(nn_name_of_array, all.class_names, all.class_count, dir, err);
    if (!status && o->near) status = data_set_groups(&leader, &groups, &grouped, &all, 0, &limits, err);
    if (!status) status = data_splits_make(splits, &all, leader, o->shares, (uint64_t)o->seed, err);
    if (!status && o->near)
        printf("%d pictures show a photograph that others show too: kept together, in %d groups\n", grouped, groups);
    rudd_free(leader);
    data_set_free(&all);
    return status;
}

static enum rudd_status split_folder(const char *dir, const struct split_options *o, struct rudd_error *err)
{
    struct data_splits splits = {0};
    enum rudd_status status = data_shares_check(o->shares, err);
    if (!status) status = divide(&splits, dir, o, err);
    const struct data_set *sets[DATA_SPLITS] = {&splits.train, &splits.val, &splits.test};
    if (!status) status = train_folder_claim(o->out, err);
    for (int i = 0; i < DATA_SPLITS && !status; i++) {
        if (o->shares[i] == 0) continue;
        char *folder = data_path_join(o->out, data_split_name(i));
        status = folder ? place_set(folder, sets[i], o->link, err) : rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory", o->out);
        rudd_free(folder);
    }
    if (!status)
        printf("%s: train %d, val %d, test %d pictures of %d classes\n", o->out, sets[0]->count, sets[1]->count, sets[2]->count,
               sets[0]->class_count);
    if (!status) train_left_note(&train_progress_notes, dir, &splits.left);
    data_splits_free(&splits);
    return status;
}

static enum rudd_status split(int argc, char **argv, struct rudd_error *err)
{
    struct split_options o = {.shares = {0.7, 0.15, 0.15}, .near = true, .reading = {.max_megapixels = DATA_MEGAPIXELS}};
    const char *dir = NULL;
    bool done;
    const struct nn_option rows[] = {
        {"out|o", NN_OPTION_REQUIRED, &o.out, "DST", 0, 0, "new or empty folder for train/, val/ and test/", NN_COMMON},
        {"split", NN_OPTION_DOUBLES, o.shares, "TRAIN,VAL,TEST", 0, 1,
         "shares for training, validation and test, in each class", NN_COMMON},
        {"seed", NN_OPTION_INT, &o.seed, "N", 0, 2147483647, "number that decides which picture goes where"},
        {"near", NN_OPTION_FLAG, &o.near, NULL, 0, 0,
         "read all pictures, and keep pictures of the same photograph in one split", NN_COMMON},
        DATA_OPTION_MEGAPIXELS(&o.reading.max_megapixels),
        DATA_OPTION_TRUNCATED(&o.reading.truncated),
        {"link", NN_OPTION_FLAG, &o.link, NULL, 0, 0, "make hard links instead of copies", NN_COMMON},
    };
    static const struct nn_example examples[] = {
        {"80 % for training, 10 % for validation, 10 % for test", "rudd data split photos -o parts --split 0.8,0.1,0.1 --near"},
        {"without using space on the disk", "rudd data split photos -o parts --link"},
        {NULL, NULL},
    };
    struct nn_options options = {
        .usage = "rudd data split SRC -o DST [--split 0.7,0.15,0.15] [--seed N]",
        .about = "Divides a folder of class folders into train/, val/ and test/. Every class is "
                 "divided by the same shares. The same seed gives the same split, and pictures "
                 "that are added later move few others.",
        .examples = examples,
        .rows = rows,
        .count = sizeof rows / sizeof *rows,
        .max_arguments = 1,
    };
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (!status && !done) {
        status = one_folder(&options, &dir, err);
        if (!status) status = split_folder(dir, &o, err);
    }
    nn_options_free(&options);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------------------- */

enum rudd_status train_cmd_data(int argc, char **argv, struct rudd_error *err)
{
    static const struct train_subcommand rows[] = {
        {"check", check, "broken, equal and misplaced pictures"},
        {"stats", stats, "counts, sizes and colours"},
        {"split", split, "class folders into train, val and test"},
        {"cache", train_cmd_data_cache, "what training keeps between runs; make it smaller"},
        {"synth", train_cmd_data_synth, "draw the embedded fifteen-species set"},
        {"feedback", train_cmd_data_feedback, "a training folder from what people said of a server's answers"},
        {NULL, NULL, NULL},
    };
    static const struct nn_example examples[] = {
        {"what is wrong in a folder of photos, before training on it", "rudd data check photos"},
        {"a validation and a test part, without two views of one photograph in different parts",
         "rudd data split photos -o parts --near"},
        {"drawings to try rudd with", "rudd data synth -o fishes --per-class 40"},
        {NULL, NULL}};
    static const struct nn_synonym synonyms[] = {
        {"verify", "check", NULL}, {"validate", "check", NULL}, {"lint", "check", NULL},
        {"info", "stats", NULL},   {"describe", "stats", NULL}, {"count", "stats", NULL},
        {"draw", "synth", NULL},   {"generate", "synth", NULL}, {NULL, NULL, NULL}};
    static const struct train_commands commands = {.usage = "rudd data COMMAND [OPTION ...]",
                                                   .about = "Checks and prepares folders of "
                                                            "pictures.",
                                                   .examples = examples,
                                                   .synonyms = synonyms,
                                                   .rows = rows};
    return train_command_dispatch(&commands, argc, argv, err);
}
