/* metrics.c - rudd-bench metrics: what the figures of an evaluation cost with many classes, from
 * logits that a network would have given. */
#include "bench/bench.h"
#include "nn/rng.h"
#include "train/command.h"
#include "train/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Noise, and a hill at the label: right about three times in four. */
static void make_logits(float *x, int classes, int picture, int label)
{
    uint64_t state = nn_rng_u64(1, (uint64_t)picture, 0, 0);
    for (int k = 0; k < classes; k++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[k] = (float)(state >> 40) / (1 << 24) * 8;
    }
    x[label] += 7.5f;
}

static enum rudd_status measure(int pictures, int classes, struct rudd_error *err)
{
    struct train_measure *m = NULL;
    struct train_metrics metrics = {0};
    struct train_kept kept = {0};
    struct train_result result;
    struct nn_class *names = rudd_zalloc((size_t)classes, sizeof *names);
    float *x = rudd_alloc((size_t)classes * sizeof *x);
    char name[] = "a_class_of_usual_length";
    enum rudd_status status = names && x ? train_measure_create(&m, pictures, classes, TRAIN_KEPT_BYTES, err)
                                         : rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d classes", classes);
    double adding = 0;
    for (int k = 0; k < classes && !status; k++) names[k].name = name;
    for (int i = 0; i < pictures && !status; i++) {
        make_logits(x, classes, i, i % classes);
        const double begun = bench_now_ms();
        train_measure_add(m, x, i % classes, &result);
        adding += bench_now_ms() - begun;
    }
    const double last = bench_now_ms();
    if (!status) status = train_measure_finish(&metrics, &kept, m, NULL, err);
    const double figures = bench_now_ms();
    if (!status) train_metrics_calibrate(&metrics, train_temperature(&kept, NULL), &kept);
    const double calibrated = bench_now_ms();
    json_t *json = status ? NULL : train_metrics_json(&metrics, names, true);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (!status && !text) status = rudd_fail(err, RUDD_NO_MEMORY, "no memory for the metrics' JSON");
    const double end = bench_now_ms();
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    if (!status)
        printf("%d pictures of %d classes: %.2f ms a picture beside the network\n"
               "from the last logits: figures %.2f s, temperature %.2f s, JSON of %.1f MB %.2f s, all %.2f s; peak %.0f MB\n"
               "top-1 %.4f, ROC AUC %.6f, off by %.6f at most\n",
               pictures, classes, adding / pictures, (figures - last) / 1e3, (calibrated - figures) / 1e3,
               (double)strlen(text) / 1e6, (end - calibrated) / 1e3, (end - last) / 1e3, (double)use.ru_maxrss / 1024,
               metrics.top1, metrics.roc_auc, metrics.roc_auc_error);
    free(text); /* jansson's */
    json_decref(json);
    train_metrics_free(&metrics);
    train_kept_free(&kept);
    train_measure_destroy(m);
    rudd_free(names);
    rudd_free(x);
    return status;
}

enum rudd_status bench_metrics(int argc, char **argv, struct rudd_error *err)
{
    int pictures = 60000, classes = 20000;
    const struct nn_option rows[] = {
        {"pictures", NN_OPTION_INT, &pictures, "N", 1, 100000000, "how many answers"},
        {"classes", NN_OPTION_INT, &classes, "N", 1, NN_MAX_CLASSES, "of how many classes"},
    };
    static const struct nn_example examples[] = {
        {"many classes", "rudd-bench metrics --classes 1000"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd-bench metrics [--classes N] [--pictures N]",
                                 .about = "Measures what the figures of an evaluation cost. The "
                                          "logits are made up.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows};
    bool done;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (!status && !done) status = measure(pictures, classes, err);
    nn_options_free(&options);
    return status;
}
