/* cmd_eval.c - `rudd eval`: how good a model is on one folder of class folders. */
#include "train/command.h"

#include "data/session.h"
#include "kernels/kern.h"
#include "train/cli/signals.h"
#include "train/evaluate.h"
#include "train/labels.h"
#include "train/left.h"
#include "train/progress.h"
#include "nn/trace.h"
#include "weights/model_file.h"
#include <stdio.h>

struct eval_settings {
    const char *model, *data;
    int batch, threads, views;
    size_t memory_limit;
    double max_megapixels;
    bool truncated, json, quiet, raw, calibrated;
};

static void print_table(const struct train_metrics *m, const struct nn_model *model, double images_per_second)
{
    printf("%-32s %9s %9s %9s %9s\n", "class", "precision", "recall", "F1", "pictures");
    for (int k = 0; k < m->classes; k++) {
        const struct train_class_metrics *c = &m->per_class[k];
        printf("%-32s %9.3f %9.3f %9.3f %9d\n", model->classes[k].name, c->precision, c->recall, c->f1, c->support);
    }
    printf("\n%d pictures  top-1 %.1f%%  top-3 %.1f%%  top-5 %.1f%%  balanced %.1f%%  macro F1 %.3f  weighted F1 %.3f\n"
           "loss %.4f  calibration error %.3f  ROC AUC %.4f  %.1f images/s\n",
           m->images, 100 * m->top1, 100 * m->top3, 100 * m->top5, 100 * m->balanced_accuracy, m->macro_f1, m->weighted_f1,
           m->loss, m->ece, m->roc_auc, images_per_second);
    if (m->temperature > 0)
        printf("calibrated with temperature %g; without (--raw): loss %.4f, calibration error %.3f\n", m->temperature,
               m->loss_raw, m->ece_raw);
}

enum rudd_status train_cmd_eval(int argc, char **argv, struct rudd_error *err)
{
    struct eval_settings s = {.batch = 16, .views = 1, .max_megapixels = DATA_MEGAPIXELS, .memory_limit = NN_BYTES_AUTO};
    const struct nn_option rows[] = {
        {"model", NN_OPTION_REQUIRED, &s.model, "FILE", 0, 0, "model file to measure", NN_COMMON},
        {"data", NN_OPTION_REQUIRED, &s.data, "DIR", 0, 0,
         "folder with a folder for each class, named like the model's classes", NN_COMMON},
        {"json", NN_OPTION_FLAG, &s.json, NULL, 0, 0, "print one JSON object instead of a table", NN_COMMON},
        {"views", NN_OPTION_INT, &s.views, "N", 1, DATA_VIEWS,
         "average over N views of each picture. 2: also mirrored; 6: also the corners; 10: also "
         "these mirrored"},
        DATA_OPTION_RAW(&s.raw),
        DATA_OPTION_CALIBRATED(&s.calibrated),
        {"batch", NN_OPTION_INT, &s.batch, "N", 1, 4096, "pictures in one pass"},
        NN_OPTION_THREADS(&s.threads, "threads"),
        DATA_OPTION_MEGAPIXELS(&s.max_megapixels),
        DATA_OPTION_TRUNCATED(&s.truncated),
        NN_OPTION_MEMORY(&s.memory_limit, "most memory for the network; less memory means fewer "
                                          "pictures at a time"),
        {"quiet", NN_OPTION_FLAG, &s.quiet, NULL, 0, 0, "print no progress and no names of unreadable pictures"},
    };
    static const struct nn_example examples[] = {
        {"how good is the model on pictures that it has not seen?",
         "rudd eval --model runs/1/model.safetensors --data photos/test"},
        {"the same for a program", "rudd eval --model m.safetensors --data photos/test --json"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd eval --model FILE --data DIR [--json]",
                                 .about = "Measures a model on a folder of pictures, such as "
                                          "test/ of a data set. Shows how many answers are right, "
                                          "for all pictures and for each class, and which classes "
                                          "are confused.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows};
    struct nn_model *model = NULL;
    struct data_set set = {0};
    struct train_evaluator *evaluator = NULL;
    struct nn_trace_log *trace = NULL;
    struct train_evaluation evaluation = {0};
    bool done;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status != RUDD_OK || done) goto done;
    train_signals_quit("rudd: eval: stopped before the first picture\n");
    kern_set_threads(kern_threads_within(s.threads));
    const struct data_limits limits = data_limits_of(s.max_megapixels, s.truncated);
    status = rudd_model_open(&model, s.model, err);
    if (status == RUDD_OK) status = data_calibration_check(model, s.model, s.raw, s.calibrated, err);
    if (status == RUDD_OK) status = train_labels_scan(&set, model, s.data, err);
    if (status == RUDD_OK)
        status = train_evaluator_within(&evaluator, model, &set, &limits, s.batch, s.threads, s.memory_limit, err);
    if (status == RUDD_OK && s.raw) train_evaluator_set_raw(evaluator);
    if (status == RUDD_OK && s.views > 1) status = train_evaluator_set_views(evaluator, s.views, err);
    if (status != RUDD_OK) goto done;

    trace = nn_trace_begin(train_evaluator_plan(evaluator));
    struct train_progress progress;
    struct train_events events = train_progress_events(&progress, s.quiet || s.json);
    const struct train_events *notes = s.json && !s.quiet ? &train_progress_notes : &events;
    events.listen(events.user); /* from here on there are lines that a signal must not cut */
    train_left_note(notes, s.data, &set.left);
    status = train_evaluate(&evaluation, evaluator, "eval", &events, err);
    if (status == RUDD_CANCELLED)
        rudd_fail(err, status, "eval: stopped on request before all pictures were judged; the same command starts again");
    if (status != RUDD_OK) goto done;
    const struct data_loader *loader = train_evaluator_loader(evaluator);
    struct train_told told = {0};
    train_pictures_note(notes, loader, &told);
    double rate = evaluation.count / evaluation.seconds;
    if (s.json) {
        json_t *object = train_metrics_json(&evaluation.metrics, model->classes, true);
        if (object) json_object_set_new(object, "images_per_second", train_json_number(rate));
        if (object)
            json_object_set_new(object, "unreadable", train_pictures_json(loader, data_loader_bad_count, data_loader_bad));
        if (object)
            json_object_set_new(object, "damaged", train_pictures_json(loader, data_loader_note_count, data_loader_note));
        if (object) json_object_set_new(object, "left_out", train_left_json(&set.left));
        status = train_command_print(object, err);
    } else {
        print_table(&evaluation.metrics, model, rate);
    }
done:
    nn_trace_end(stderr, trace);
    train_evaluation_free(&evaluation);
    train_evaluator_destroy(evaluator);
    data_set_free(&set);
    nn_model_destroy(model);
    nn_options_free(&options);
    return status;
}
