/* teacher.c - a second model that looks over the student's shoulder: see teacher.h. */
#include "train/teacher.h"

#include "nn/plan.h"
#include <string.h>

struct train_teacher {
    struct nn_model *model;
    struct nn_plan *plan;
    int *place;    /* [classes] where the student's class stands in the teacher's logits */
    float *logits; /* [batch, classes] */
};

static enum rudd_status check_input(const struct nn_model *model, const struct nn_model *student, const char *path,
                                    struct rudd_error *err)
{
    const struct nn_preprocess *t = &model->preprocess, *s = &student->preprocess;
    if (t->image_size != s->image_size)
        return rudd_fail(err, RUDD_MISMATCH,
                         "--teacher %s: takes pictures of %d pixels, expected the student's %d; train with --image-size %d",
                         path, t->image_size, s->image_size, t->image_size);
    for (int c = 0; c < 3; c++)
        if (t->mean[c] != s->mean[c] || t->std[c] != s->std[c])
            return rudd_fail(
                err, RUDD_MISMATCH,
                "--teacher %s: normalises channel %d by mean %g and deviation %g, expected the student's %g and %g; "
                "choose a teacher of the same convention",
                path, c, (double)t->mean[c], (double)t->std[c], (double)s->mean[c], (double)s->std[c]);
    return RUDD_OK;
}

static enum rudd_status match_classes(int *place, const struct nn_model *model, const struct nn_model *student,
                                      const char *path, struct rudd_error *err)
{
    if (model->class_count != student->class_count)
        return rudd_fail(err, RUDD_MISMATCH, "--teacher %s: has %d classes, expected the student's %d", path,
                         model->class_count, student->class_count);
    for (int k = 0; k < student->class_count; k++) {
        int at = 0;
        while (at < model->class_count && strcmp(model->classes[at].name, student->classes[k].name) != 0) at++;
        if (at == model->class_count)
            return rudd_fail(err, RUDD_MISMATCH, "--teacher %s: has no class \"%s\"; expected all that are learned", path,
                             student->classes[k].name);
        place[k] = at;
    }
    return RUDD_OK;
}

/* The student makes better use of the rest of a limit than a teacher of more pictures at a time would. */
static enum rudd_status make_plan(struct train_teacher *t, int image_size, int batch, size_t limit, struct rudd_error *err)
{
    struct nn_plan_options o = {.batch = batch, .image_size = image_size, .memory_limit = (limit + 3) / 4};
    enum rudd_status status = nn_plan_create(&t->plan, t->model, &o, err);
    for (; status == RUDD_LIMIT && o.batch > 1; status = nn_plan_create(&t->plan, t->model, &o, err))
        o.batch = (o.batch + 1) / 2;
    if (status != RUDD_LIMIT) return status;
    o.memory_limit = limit;
    return nn_plan_create(&t->plan, t->model, &o, err);
}

enum rudd_status train_teacher_open(struct train_teacher **teacher, const char *path, const struct nn_model *student, int batch,
                                    size_t memory_limit, struct rudd_error *err)
{
    const size_t classes = (size_t)student->class_count;
    struct train_teacher *t = rudd_zalloc(1, sizeof *t);
    if (!t) return rudd_fail(err, RUDD_NO_MEMORY, "--teacher %s: no memory", path);
    enum rudd_status status = rudd_model_open(&t->model, path, err);
    if (status == RUDD_OK) status = check_input(t->model, student, path, err);
    if (status != RUDD_OK) goto done;
    t->place = rudd_zalloc(classes, sizeof *t->place);
    t->logits = rudd_zalloc((size_t)batch * classes, sizeof *t->logits);
    if (!t->place || !t->logits) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "--teacher %s: no memory for %zu classes", path, classes);
        goto done;
    }
    status = match_classes(t->place, t->model, student, path, err);
    if (status != RUDD_OK) goto done;
    status = make_plan(t, student->preprocess.image_size, batch, memory_limit, err);
    if (status != RUDD_OK) goto done;
    *teacher = t;
    t = NULL;
done:
    train_teacher_close(t);
    return status;
}

void train_teacher_close(struct train_teacher *teacher)
{
    if (!teacher) return;
    nn_plan_destroy(teacher->plan);
    nn_model_destroy(teacher->model);
    rudd_free(teacher->place);
    rudd_free(teacher->logits);
    rudd_free(teacher);
}

size_t train_teacher_bytes(const struct train_teacher *teacher)
{
    return teacher ? nn_plan_bytes(teacher->plan) : 0;
}

size_t train_teacher_weight_bytes(const struct train_teacher *teacher)
{
    return teacher ? nn_plan_weight_bytes(teacher->plan) : 0;
}

const float *train_teacher_run(struct train_teacher *teacher, const float *x, int n)
{
    struct train_teacher *t = teacher;
    const size_t classes = (size_t)t->model->class_count, floats = nn_plan_input_floats(t->plan);
    const int most = nn_plan_batch(t->plan);
    for (int from = 0, count; from < n; from += count) {
        count = n - from < most ? n - from : most;
        memcpy(nn_plan_input(t->plan), x + (size_t)from * floats, (size_t)count * floats * sizeof *x);
        nn_plan_forward(t->plan, count);
        const float *theirs = nn_plan_logits(t->plan);
        float *ours = t->logits + (size_t)from * classes;
        for (size_t i = 0; i < (size_t)count; i++)
            for (size_t k = 0; k < classes; k++) ours[i * classes + k] = theirs[i * classes + (size_t)t->place[k]];
    }
    return t->logits;
}
