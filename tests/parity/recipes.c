/* recipes.c - rudd's optimisers and schedules, for comparison with PyTorch's and timm's (parity_recipes.py).
 *
 * Reads jobs from standard input, one a line, and answers each on standard output:
 *
 *     params ARCH CLASSES             -> N\n, then N lines "name count", in the table's order
 *     train ARCH CLASSES STEPS KIND LR HEAD_LR LAYER_DECAY WEIGHT_DECAY MOMENTUM CLIP one-cycle|constant
 *                                     -> the values of all parameters, packed, raw float32
 *     schedule KIND EPOCHS STEPS WARMUP_EPOCHS DECAY_EPOCHS DECAY_RATE
 *                                     -> EPOCHS*STEPS lines "factor momentum"; plateau's losses are 1/(1 + epoch%5) of every epoch
 *
 * Values and gradients of a train job are drawn by `drawn`, which the script has too. A job that fails answers "0 message\n". */
#include "train/optim.h"
#include "train/schedule.h"

#include <stdio.h>
#include <string.h>

static const char *const optimisers[] = {"adamw", "sgd", "rmsprop", "lion"};
static const char *const schedules[] = {"cosine", "plateau", "constant", "step", "one-cycle"};

static int index_of(const char *word, const char *const *list, int count)
{
    int i = 0;
    while (i < count - 1 && strcmp(word, list[i]) != 0) i++;
    return i;
}

/* [-1, 1), a function of element, parameter and time; exact in float32. */
static float drawn(uint32_t i, uint32_t param, uint32_t t)
{
    uint32_t x = i * 2654435761u + param * 40503u + t * 2246822519u;
    x ^= x >> 15;
    x *= 2246822519u;
    x ^= x >> 13;
    return (float)(x >> 8) / (1 << 23) - 1;
}

static bool is_trained(const struct nn_param *p)
{
    return p->kind != NN_BN_MEAN && p->kind != NN_BN_VAR;
}

static void draw(float *block, const struct nn_model *model, int t)
{
    for (int j = 0; j < model->param_count; j++)
        for (size_t i = 0; is_trained(&model->params[j]) && i < model->params[j].count; i++)
            block[model->params[j].offset + i] = drawn((uint32_t)i, (uint32_t)j, (uint32_t)t);
}

static enum rudd_status list_params(const char *rest, struct rudd_error *err)
{
    char arch[48];
    int classes;
    struct nn_model *model;
    if (sscanf(rest, "%47s %d", arch, &classes) != 2) return rudd_fail(err, RUDD_ARGUMENT, "params ARCH CLASSES");
    enum rudd_status status = nn_model_describe(&model, arch, classes, err);
    if (status != RUDD_OK) return status;
    printf("%d\n", model->param_count);
    for (int i = 0; i < model->param_count; i++) printf("%s %zu\n", model->params[i].name, model->params[i].count);
    nn_model_destroy(model);
    return RUDD_OK;
}

static enum rudd_status train(const char *rest, struct rudd_error *err)
{
    char arch[48], kind[16], schedule[16];
    int classes, steps;
    struct train_optim_options o;
    struct train_optim optim = {.steps = 0};
    struct train_schedule s;
    struct nn_model *model = NULL;
    if (sscanf(rest, "%47s %d %d %15s %lf %lf %lf %lf %lf %lf %15s", arch, &classes, &steps, kind, &o.lr, &o.head_lr,
               &o.layer_decay, &o.weight_decay, &o.momentum, &o.clip_norm, schedule) != 11)
        return rudd_fail(err, RUDD_ARGUMENT, "train takes eleven words");
    o.kind = (enum train_optim_kind)index_of(kind, optimisers, 4);
    train_schedule_init(
        &s,
        &(struct train_schedule_options){.kind = (enum train_schedule_kind)index_of(schedule, schedules, 5), .epochs = steps},
        1);
    enum rudd_status status = nn_model_create(&model, arch, classes, err);
    float *grads = status == RUDD_OK ? rudd_zalloc(model->value_count, sizeof *grads) : NULL;
    bool *trains = status == RUDD_OK ? rudd_zalloc((size_t)model->param_count, sizeof *trains) : NULL;
    if (status == RUDD_OK && (!grads || !trains)) status = rudd_fail(err, RUDD_NO_MEMORY, "no memory");
    for (int j = 0; status == RUDD_OK && j < model->param_count; j++) trains[j] = is_trained(&model->params[j]);
    if (status == RUDD_OK) status = train_optim_init(&optim, model, trains, &o, err);
    if (status == RUDD_OK) draw(model->values, model, 0);
    for (int t = 0; status == RUDD_OK && t < steps; t++) {
        draw(grads, model, t + 1);
        train_optim_step(&optim, model->values, grads, train_schedule_factor(&s, (uint64_t)t),
                         train_schedule_momentum(&s, (uint64_t)t), 1);
    }
    for (int j = 0; status == RUDD_OK && j < model->param_count; j++)
        fwrite(model->values + model->params[j].offset, sizeof(float), model->params[j].count, stdout);
    train_optim_free(&optim);
    rudd_free(grads);
    rudd_free(trains);
    nn_model_destroy(model);
    return status;
}

static enum rudd_status print_schedule(const char *rest, struct rudd_error *err)
{
    char kind[16];
    int steps;
    struct train_schedule_options o;
    struct train_schedule s;
    if (sscanf(rest, "%15s %d %d %lf %lf %lf", kind, &o.epochs, &steps, &o.warmup_epochs, &o.decay_epochs, &o.decay_rate) != 6)
        return rudd_fail(err, RUDD_ARGUMENT, "schedule takes six words");
    o.kind = (enum train_schedule_kind)index_of(kind, schedules, 5);
    train_schedule_init(&s, &o, (uint64_t)steps);
    for (int i = 0; i < o.epochs * steps; i++) {
        printf("%.17g %.17g\n", train_schedule_factor(&s, (uint64_t)i), train_schedule_momentum(&s, (uint64_t)i));
        if ((i + 1) % steps == 0) train_schedule_epoch(&s, 1 / (1.0 + i / steps % 5));
    }
    return RUDD_OK;
}

int main(void)
{
    char line[1000], verb[16];
    struct rudd_error err;
    while (fgets(line, sizeof line, stdin)) {
        int rest = 0;
        enum rudd_status status = RUDD_ARGUMENT;
        snprintf(err.message, sizeof err.message, "params, train or schedule");
        if (sscanf(line, "%15s %n", verb, &rest) < 1) continue;
        if (strcmp(verb, "params") == 0) status = list_params(line + rest, &err);
        if (strcmp(verb, "train") == 0) status = train(line + rest, &err);
        if (strcmp(verb, "schedule") == 0) status = print_schedule(line + rest, &err);
        if (status != RUDD_OK) printf("0 %s\n", err.message);
        fflush(stdout);
    }
    return 0;
}
