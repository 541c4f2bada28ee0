/* head_fit.c - a linear classifier over fixed features, fitted as a whole: see head_fit.h.
 *
 * The two products of an evaluation, logits = z V^T and dV = dlogits^T z, are float32 kernels whose sums do not depend on the number of
 * threads; all else is double. Variables of L-BFGS: V row by row, then c. */
#include "train/head_fit.h"

#include "kernels/kern.h"
#include "kernels/team.h"
#include "train/metrics.h"
#include <math.h>
#include <string.h>

/* Multiply-adds of a product below which one thread runs it: 100 million take 5 ms, and on a busy machine two threads that wait for each
 * other several times in that take ten times as long. */
static const double worth_threads = 1e8;
enum { HISTORY = 10, MAX_ITERATIONS = 500 };
static const double tolerance = 1e-4; /* scikit-learn's; float32's products let it come down to some 2e-5 */

struct objective {
    const struct train_head_options *options;
    const float *z, *q;
    double inv_norm;
    int n, features, classes;
    float *v, *c, *dv, *dc; /* the variables and their gradients as the kernels want them */
    float *logits, *scratch;
};

static struct kern_gemm forward_product(const struct objective *o)
{
    return (struct kern_gemm){.m = o->n, .n = o->classes, .k = o->features, .trans_b = true, .bias = o->c};
}

static struct kern_gemm gradient_product(const struct objective *o)
{
    return (struct kern_gemm){.m = o->classes, .n = o->features, .k = o->n, .trans_a = true};
}

static void run_forward(struct objective *o, const double *x)
{
    const size_t weights = (size_t)o->classes * (size_t)o->features;
    for (size_t i = 0; i < weights; i++) o->v[i] = (float)x[i];
    for (int k = 0; k < o->classes; k++) o->c[k] = (float)x[weights + (size_t)k];
    const struct kern_gemm forward = forward_product(o);
    kern_table()->gemm_f32(o->logits, o->z, o->v, &forward, o->scratch);
}

static double evaluate(void *user, double *gradient, const double *x)
{
    struct objective *o = user;
    const size_t weights = (size_t)o->classes * (size_t)o->features;
    const struct kern_gemm product = gradient_product(o);
    double loss, square = 0;
    kern_team_begin();
    run_forward(o, x);
    kern_table()->xent_f32(&loss, o->logits, o->logits, o->q, o->inv_norm, o->n, o->classes);
    kern_table()->gemm_f32(o->dv, o->logits, o->z, &product, o->scratch);
    kern_table()->colsum_f32(o->dc, o->logits, o->n, o->classes, o->scratch);
    kern_team_end();
    for (size_t i = 0; i < weights; i++) {
        gradient[i] = o->dv[i] + o->options->decay * x[i];
        square += x[i] * x[i];
    }
    for (int k = 0; k < o->classes; k++) gradient[weights + (size_t)k] = o->dc[k];
    return loss + o->options->decay / 2 * square;
}

static bool ask_stop(void *user)
{
    const struct train_head_options *options = ((struct objective *)user)->options;
    return options->stop && options->stop(options->user);
}

/* x becomes z; mean and 1/deviation of each feature. One that does not vary says nothing: 0. */
static void standardise(float *x, double *mean, double *inverse, int n, int features)
{
    const size_t width = (size_t)features;
    memset(mean, 0, sizeof *mean * width);
    memset(inverse, 0, sizeof *inverse * width);
    for (int i = 0; i < n; i++)
        for (size_t j = 0; j < width; j++) mean[j] += x[(size_t)i * width + j];
    for (size_t j = 0; j < width; j++) mean[j] /= n;
    for (int i = 0; i < n; i++)
        for (size_t j = 0; j < width; j++) {
            double d = x[(size_t)i * width + j] - mean[j];
            inverse[j] += d * d;
        }
    for (size_t j = 0; j < width; j++) {
        double deviation = sqrt(inverse[j] / n);
        inverse[j] = deviation > 1e-7 * (fabs(mean[j]) + 1e-20) ? 1 / deviation : 0;
    }
    for (int i = 0; i < n; i++)
        for (size_t j = 0; j < width; j++)
            x[(size_t)i * width + j] = (float)((x[(size_t)i * width + j] - mean[j]) * inverse[j]);
}

enum rudd_status train_head_fit(float *weight, float *bias, struct train_lbfgs_result *result, float *logits, float *x,
                                const float *q, double inv_norm, int n, int features, int classes,
                                const struct train_head_options *options, struct rudd_error *err)
{
    const size_t weights = (size_t)classes * (size_t)features, variables = weights + (size_t)classes;
    const int threads = kern_threads();
    if ((double)weights * n < worth_threads) kern_set_threads(1);
    struct objective o = {.options = options,
                          .z = x,
                          .q = q,
                          .inv_norm = inv_norm,
                          .n = n,
                          .features = features,
                          .classes = classes,
                          .logits = logits};
    const struct kern_gemm forward = forward_product(&o), product = gradient_product(&o);
    size_t scratch = kern_rows_scratch(classes);
    if (kern_gemm_scratch(&forward) > scratch) scratch = kern_gemm_scratch(&forward);
    if (kern_gemm_scratch(&product) > scratch) scratch = kern_gemm_scratch(&product);
    const struct train_lbfgs_options search = {.n = variables,
                                               .history = HISTORY,
                                               .max_iterations = options->max_iterations,
                                               .tolerance = options->tolerance,
                                               .stop = ask_stop};
    double *solution = rudd_zalloc(variables, sizeof *solution), *mean = rudd_alloc(sizeof *mean * 2 * (size_t)features);
    float *block = rudd_alloc(sizeof *block * (2 * variables + scratch));
    enum rudd_status status;
    if (!solution || !mean || !block) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "no memory to fit a classifier of %zu weights", weights);
        goto done;
    }
    double *inverse = mean + features;
    o.v = block;
    o.c = block + weights;
    o.dv = block + variables;
    o.dc = block + variables + weights;
    o.scratch = block + 2 * variables;
    standardise(x, mean, inverse, n, features);
    status = train_lbfgs(result, solution, evaluate, &o, &search, err);
    if (status != RUDD_OK) goto done;
    run_forward(&o, solution);
    for (int k = 0; k < classes; k++) {
        const double *v = solution + (size_t)k * (size_t)features;
        double b = solution[weights + (size_t)k];
        for (int j = 0; j < features; j++) {
            weight[(size_t)k * (size_t)features + (size_t)j] = (float)(v[j] * inverse[j]);
            b -= v[j] * inverse[j] * mean[j];
        }
        bias[k] = (float)b;
    }
done:
    kern_set_threads(threads);
    rudd_free(solution);
    rudd_free(mean);
    rudd_free(block);
    return status;
}

/* ---- a learner's classifier ---------------------------------------------------------------------------------------- */

/* All features and labels of the learner's set, every picture once in each view. */
static enum rudd_status read_rows(int *rows, float *x, int *labels, const struct train_learner *l, int views,
                                  struct rudd_error *err)
{
    const size_t features = l->options.loader.source.floats;
    struct data_batch batch;
    *rows = 0;
    for (int view = 1; view <= views; view++) {
        data_loader_start(l->loader, (uint64_t)view, 0);
        for (; data_loader_next(l->loader, &batch); *rows += batch.n) {
            memcpy(x + (size_t)*rows * features, batch.x, sizeof *x * features * (size_t)batch.n);
            memcpy(labels + *rows, batch.labels, sizeof *labels * (size_t)batch.n);
        }
        enum rudd_status status = data_loader_status(l->loader, err);
        if (status != RUDD_OK) return status;
    }
    if (*rows > 0) return RUDD_OK;
    return rudd_fail(err, RUDD_FORMAT, "training: none of the %d pictures could be read; the first: %s", l->set->count,
                     data_loader_bad_count(l->loader) ? data_loader_bad(l->loader, 0) : "(there is none)");
}

static float *classifier_part(const struct nn_model *m, enum nn_param_kind kind)
{
    for (int i = m->param_count - 1; i >= 0; i--)
        if (m->params[i].kind == kind && m->params[i].stage == nn_model_stage_count(m) - 1)
            return m->values + m->params[i].offset;
    return NULL;
}

enum rudd_status train_head_learn(struct train_learner *learner, int views, const struct train_events *events,
                                  struct rudd_error *err)
{
    struct train_learner *l = learner;
    const size_t features = l->options.loader.source.floats, most = (size_t)l->set->count * (size_t)views;
    const int classes = l->model->class_count;
    const int iterations =
        l->options.max_steps && l->options.max_steps < MAX_ITERATIONS ? (int)l->options.max_steps : MAX_ITERATIONS;
    const struct train_head_options options = {.decay = l->options.optim.weight_decay,
                                               .max_iterations = iterations,
                                               .tolerance = tolerance,
                                               .stop = events ? events->stop : NULL,
                                               .user = events ? events->user : NULL};
    struct train_lbfgs_result result;
    size_t base;
    int hidden;
    if (nn_arch_parse(&base, &hidden, l->model->arch) && hidden)
        return rudd_fail(err, RUDD_ARGUMENT, "--optimizer lbfgs: fits one layer, %s has a hidden one; try adamw",
                         l->model->arch);
    const double began = train_now();
    int n = 0;
    float *x = most <= INT32_MAX ? rudd_zalloc(most, sizeof *x * features) : NULL;
    float *q = rudd_zalloc(most, sizeof *q * 2 * (size_t)classes), *logits = q ? q + most * (size_t)classes : NULL;
    int *labels = rudd_zalloc(most, sizeof *labels);
    enum rudd_status status;
    if (!x || !q || !labels)
        status = rudd_fail(err, RUDD_NO_MEMORY, "--optimizer lbfgs: no memory for %zu rows of %zu features; try adamw", most,
                           features);
    else
        status = read_rows(&n, x, labels, l, views, err);
    if (status != RUDD_OK) goto done;
    const double inv_norm = nn_targets(q, labels, l->class_weights, l->options.label_smoothing, n, classes);
    status = train_head_fit(classifier_part(l->model, NN_LINEAR_WEIGHT), classifier_part(l->model, NN_BIAS), &result, logits, x,
                            q, inv_norm, n, (int)features, classes, &options, err);
    if (status != RUDD_OK) goto done;
    train_note(events,
               "The last layer is fitted (L-BFGS: %d steps, %d evaluations, objective %.6f, largest "
               "gradient %.1e).",
               result.iterations, result.evaluations, result.value, result.gradient);
    if (!result.converged)
        train_note(events, "Caution: the fit ended before it was exact (gradient above 1e-4); a larger "
                           "--weight-decay makes it easier.");
    struct train_tally *t = &l->tally;
    double loss;
    kern_table()->xent_f32(&loss, NULL, logits, q, 1, n, classes);
    *t = (struct train_tally){.pictures = n, .batches = 1, .loss = loss, .mass = 1 / inv_norm};
    for (int i = 0; i < n; i++) t->hits += train_argmax(logits + (size_t)i * (size_t)classes, classes) == labels[i];
    t->seconds = train_now() - began;
    l->optim.steps = (uint64_t)result.iterations;
    l->epoch = 1;
done:
    rudd_free(x);
    rudd_free(q);
    rudd_free(labels);
    return status;
}
