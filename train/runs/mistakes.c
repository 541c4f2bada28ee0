/* mistakes.c - which pictures a model got wrong: see mistakes.h. */
#include "train/runs/mistakes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double train_answer_sure(const struct train_evaluation *evaluation, int row)
{
    const struct train_evaluation *e = evaluation;
    const double t = e->metrics.temperature;
    if (t <= 0 || !e->kept.all || row >= e->kept.count) return e->results[row].confidence;
    const int classes = e->kept.classes;
    const float *x = e->kept.logits + (size_t)row * (size_t)classes;
    const double most = x[e->results[row].best];
    double sum = 0;
    for (int k = 0; k < classes; k++) sum += exp((x[k] - most) / t);
    return 1 / sum;
}

static int by_surprise(const void *a, const void *b)
{
    const struct train_mistake *x = a, *y = b;
    if (x->surprise != y->surprise) return x->surprise < y->surprise ? 1 : -1;
    return x->row - y->row;
}

/* Takes the answer of a row into account; best [classes] holds how sure the examples are. */
static void take(struct train_mistakes *m, double *best, const struct train_evaluation *e, int row)
{
    const struct train_result *answer = &e->results[row];
    const double sure = train_answer_sure(e, row);
    const bool right = answer->best == e->labels[row];
    if (sure >= TRAIN_SURE) {
        m->sure_count++;
        m->sure_right += right;
    }
    if (!right) {
        m->list[m->count++] = (struct train_mistake){row, sure, answer->surprise};
    } else if (sure > best[answer->best]) {
        best[answer->best] = sure;
        m->example[answer->best] = row;
    }
}

enum rudd_status train_mistakes_find(struct train_mistakes *mistakes,
                                     const struct train_evaluation *evaluation,
                                     struct rudd_error *err)
{
    const struct train_evaluation *e = evaluation;
    const size_t classes = (size_t)e->metrics.classes;
    struct train_mistakes m = {.list = rudd_zalloc((size_t)e->count, sizeof *m.list),
                               .example = rudd_alloc(classes * sizeof *m.example)};
    double *best = rudd_zalloc(classes, sizeof *best);
    if (!m.list || !m.example || !best) {
        rudd_free(best);
        train_mistakes_free(&m);
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory to list the mistakes among %d pictures",
                         e->count);
    }
    for (size_t k = 0; k < classes; k++) m.example[k] = -1;
    for (int i = 0; i < e->count; i++) take(&m, best, e, i);
    qsort(m.list, (size_t)m.count, sizeof *m.list, by_surprise);
    rudd_free(best);
    *mistakes = m;
    return RUDD_OK;
}

void train_mistakes_free(struct train_mistakes *mistakes)
{
    rudd_free(mistakes->list);
    rudd_free(mistakes->example);
    memset(mistakes, 0, sizeof *mistakes);
}
