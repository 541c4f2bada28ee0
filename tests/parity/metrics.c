/* metrics.c - the C side of parity_metrics.py: raw logits and labels in, what rudd makes of them out, as one JSON object.
 *
 *     metrics N CLASSES A B LABELS      A, B: float32 [N, CLASSES] of two models; LABELS: int32 [N] */
#include "train/compare.h"
#include "train/evaluate.h"

#include <stdio.h>
#include <stdlib.h>

static void *read_all(const char *path, size_t bytes)
{
    FILE *f = fopen(path, "rb");
    void *block = rudd_alloc(bytes);
    bool whole = f && block && fread(block, 1, bytes, f) == bytes;
    if (f) fclose(f);
    if (whole) return block;
    rudd_free(block);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 6 && argc != 7) return 2;
    const size_t keep = argc == 7 ? strtoul(argv[6], NULL, 10) : TRAIN_KEPT_BYTES; /* of logits */
    const int n = atoi(argv[1]), classes = atoi(argv[2]);
    const size_t bytes = (size_t)n * (size_t)classes * sizeof(float);
    float *logits[2] = {read_all(argv[3], bytes), read_all(argv[4], bytes)};
    int *labels = read_all(argv[5], (size_t)n * sizeof *labels);
    unsigned char *answers[2] = {rudd_alloc((size_t)n), rudd_alloc((size_t)n)};
    struct nn_class *names = rudd_zalloc((size_t)classes, sizeof *names);
    struct train_metrics m;
    struct train_measure *measure = NULL;
    struct train_kept kept = {0};
    struct train_result result;
    struct train_comparison c;
    struct rudd_error err = {RUDD_OK, ""};
    int status = 1;
    if (!logits[0] || !logits[1] || !labels || !answers[0] || !answers[1] || !names) goto done;
    for (int k = 0; k < classes; k++) names[k].name = (char *)"-";
    if (train_measure_create(&measure, n, classes, keep, &err) != RUDD_OK) goto done;
    for (int i = 0; i < n; i++) train_measure_add(measure, logits[0] + (size_t)i * (size_t)classes, labels[i], &result);
    if (train_measure_finish(&m, &kept, measure, NULL, &err) != RUDD_OK) goto done;
    train_metrics_calibrate(&m, train_temperature(&kept, NULL), &kept);
    train_kept_free(&kept);
    struct train_metrics calibrated;
    train_measure_destroy(measure);
    if (train_measure_create(&measure, n, classes, keep, &err) != RUDD_OK) goto done;
    train_measure_set_temperature(measure, m.temperature);
    for (int i = 0; i < n; i++) train_measure_add(measure, logits[0] + (size_t)i * (size_t)classes, labels[i], &result);
    if (train_measure_finish(&calibrated, NULL, measure, NULL, &err) != RUDD_OK) goto done;
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < n; i++)
            answers[j][i] =
                train_argmax(logits[j] + (size_t)i * (size_t)classes, classes) == labels[i] ? TRAIN_RIGHT : TRAIN_WRONG;
    train_compare(&c, answers[0], answers[1], n);
    json_t *object = train_metrics_json(&m, names, true);
    json_object_set_new(object, "one_pass", train_metrics_json(&calibrated, names, false));
    train_metrics_free(&calibrated);
    json_object_set_new(object, "compare",
                        json_pack("{s:i,s:i,s:b,s:o,s:f,s:f,s:f,s:f}", "only_a", c.only_a, "only_b", c.only_b, "exact", c.exact,
                                  "statistic", train_json_number(c.statistic), "p", c.p, "difference", c.difference, "low",
                                  c.low, "high", c.high));
    status = json_dumpf(object, stdout, JSON_REAL_PRECISION(15)) != 0;
    json_decref(object);
    train_metrics_free(&m);
done:
    train_measure_destroy(measure);
    for (int j = 0; j < 2; j++) {
        rudd_free(logits[j]);
        rudd_free(answers[j]);
    }
    rudd_free(labels);
    rudd_free(names);
    return status;
}
