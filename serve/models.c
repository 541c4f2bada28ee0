/* models.c - see models.h.
 *
 *     mutex      guards entries, references and what is asked for; held for moments
 *     the thread alone loads, and alone changes entries; so it reads them without the mutex
 *
 * Looking is that of files.h. A changed file is loaded when it has rested for one interval, so that one being copied in place is not read half. */
#include "serve/models.h"
#include "data/session.h"
#include "serve/clock.h"
#include "serve/files.h"
#include "weights/container/folder.h"
#include "weights/golden.h"
#include "weights/model_file.h"
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    char *path;
    struct serve_model *model;
    struct serve_stamp loaded; /* of the file when it was last loaded, or last failed to */
    struct serve_stamp seen;   /* at the last look */
    bool found;                /* in the folder, not named: it leaves when its file does */
};

/* A file in the folder that is not served: not yet, or it could not be loaded. */
struct candidate {
    char *path;
    struct serve_stamp seen;
    bool failed;
};

struct serve_models {
    struct serve_models_options options;
    pthread_mutex_t mutex;
    pthread_cond_t asked;
    struct entry entries[SERVE_MODELS_MAX];
    int count;
    struct candidate candidates[SERVE_MODELS_MAX];
    int candidate_count;
    bool stopping, reload;
    struct serve_reload *waiting;
    pthread_t thread;
    bool running;
};

/* "models/fish.safetensors" -> "fish"; a run's folder "runs/fish/" -> "fish" */
static char *stem(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start && path[start - 1] != '/') start--;
    char *name = rudd_strdup(path + start), *dot;
    if (!name) return NULL;
    name[end - start] = 0;
    dot = strrchr(name, '.');
    if (dot && dot > name) *dot = 0;
    return name;
}

/* Of the file that is loaded: a run's folder changes whenever a file in it is replaced. */
static struct serve_stamp stamp_of(const char *path)
{
    char file[WEIGHTS_PATH];
    return weights_find_file(file, path, NULL) ? (struct serve_stamp){0} : serve_stamp_of(file);
}

/* ---- one version ---------------------------------------------------------------------------------------------------------- */

static void free_model(struct serve_model *m)
{
    if (!m) return;
    serve_net_free(&m->net);
    rudd_model_close(m->model);
    rudd_free(m->name);
    rudd_free(m->file);
    rudd_free(m);
}

/* Every session runs once, which touches its memory, and must give the golden answer. */
static enum rudd_status warm_up(struct serve_model *m, struct rudd_error *err)
{
    const struct nn_model *n = m->model;
    const int size = n->preprocess.image_size;
    float *x = rudd_alloc(3 * sizeof *x * (size_t)size * (size_t)size);
    if (!x) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory to warm a model up");
    weights_golden_input(x, size);
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < m->net.workers && !status; i++) {
        status = rudd_predict_tensor(m->net.sessions[i], x, 1, NULL, err);
        if (!status && n->golden) status = weights_golden_check(n, rudd_session_logits(m->net.sessions[i]), err);
    }
    m->golden = n->golden && !status;
    rudd_free(x);
    return status;
}

/* Pictures in one run: what was asked for, what the version before was found to need, or what is found now. */
static enum rudd_status choose_batch(int *batch, const struct serve_model *m, const struct serve_model *before,
                                     const struct serve_models_options *o, size_t limit, struct rudd_error *err)
{
    const bool alike = before && !strcmp(rudd_model_arch(before->model), rudd_model_arch(m->model)) &&
                       rudd_model_image_size(before->model) == rudd_model_image_size(m->model);
    *batch = o->max_batch ? o->max_batch : alike ? before->net.max_batch : 0;
    return *batch ? RUDD_OK : serve_net_choose_batch(batch, m->model, SERVE_BATCH_MOST, o->share, limit, err);
}

/* Beside the sessions each has two batches of prepared pictures (engine.c). What is asked later comes on top: pictures that are decoded, kept
 * answers. */
static void make_budget(struct nn_budget *budget, const struct serve_model *m, const struct serve_models_options *o)
{
    const size_t side = (size_t)rudd_model_image_size(m->model),
                 batch = (size_t)(o->max_batch ? o->max_batch : SERVE_BATCH_MOST);
    nn_budget_make(budget, o->memory_limit, 2 * batch * (size_t)o->workers * side * side * 3, o->workers * (1 + o->share));
}

/* before: the version whose place it shall take; NULL: none. */
static enum rudd_status load(struct serve_model **model, const char *path, const struct serve_model *before,
                             const struct serve_models_options *o, struct rudd_error *err)
{
    int batch = 1;
    struct nn_budget budget;
    const struct weights_load_options as_it_is = {.predict_only = true, .hash = true}; /* answers name the file's hash */
    struct serve_model *m = rudd_zalloc(1, sizeof *m);
    if (!m) return rudd_fail(err, RUDD_NO_MEMORY, "%s: out of memory", path);
    enum rudd_status status = weights_model_load(&m->model, path, &as_it_is, NULL, err);
    if (!status) status = data_calibration_check(m->model, path, o->raw, o->calibrated, err);
    if (!status) {
        m->file = stem(path);
        m->name = o->name ? rudd_strdup(o->name) : stem(path);
        if (!m->name || !m->file) status = rudd_fail(err, RUDD_NO_MEMORY, "%s: out of memory", path);
    }
    if (!status) {
        if (m->model->run)
            snprintf(m->version, sizeof m->version, "%s", m->model->run);
        else
            snprintf(m->version, sizeof m->version, "%.12s", m->model->sha256);
        make_budget(&budget, m, o);
        status = choose_batch(&batch, m, before, o, budget.limit, err);
    }
    if (!status) status = serve_net_init_within(&m->net, m->model, o->raw, o->workers, batch, &budget, err);
    if (status == RUDD_LIMIT && !o->max_batch && batch > 1) /* nobody asked for so many */
        status = serve_net_init_within(&m->net, m->model, o->raw, o->workers, 1, &budget, err);
    if (!status) {
        struct rudd_error why;
        status = warm_up(m, &why);
        if (status) rudd_fail(err, status, "%.500s: %.1400s", path, why.message);
    }
    if (status) {
        free_model(m);
        return status;
    }
    m->references = 1;
    *model = m;
    return RUDD_OK;
}

/* ---- getting and putting -------------------------------------------------------------------------------------------------- */

const struct serve_model *serve_models_get(struct serve_models *r, const char *version)
{
    struct serve_model *found = NULL;
    pthread_mutex_lock(&r->mutex);
    if (!version || !*version) found = r->entries[0].model;
    for (int i = 0; i < r->count && !found; i++)
        if (!strcmp(r->entries[i].model->version, version)) found = r->entries[i].model;
    for (int i = 0; i < r->count && !found; i++)
        if (!strcmp(r->entries[i].model->file, version)) found = r->entries[i].model;
    if (found) found->references++;
    pthread_mutex_unlock(&r->mutex);
    return found;
}

void serve_models_put(struct serve_models *r, const struct serve_model *model)
{
    struct serve_model *m = (struct serve_model *)model; /* only the registry may change it */
    if (!m) return;
    pthread_mutex_lock(&r->mutex);
    bool last = --m->references == 0;
    pthread_mutex_unlock(&r->mutex);
    if (last) free_model(m);
}

int serve_models_all(const struct serve_model *all[SERVE_MODELS_MAX], struct serve_models *r)
{
    pthread_mutex_lock(&r->mutex);
    int count = r->count;
    for (int i = 0; i < count; i++) {
        r->entries[i].model->references++;
        all[i] = r->entries[i].model;
    }
    pthread_mutex_unlock(&r->mutex);
    return count;
}

/* ---- changing: on the registry's thread, or before it runs ------------------------------------------------------------------ */

static void tell(struct serve_models *r, enum serve_model_event event, const struct serve_model *m, const char *format, ...)
    RUDD_PRINTF(4, 5);
static void tell(struct serve_models *r, enum serve_model_event event, const struct serve_model *m, const char *format, ...)
{
    char line[2400];
    va_list args;
    if (!r->options.news) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    r->options.news(r->options.user, event, m, *line ? line : NULL);
}

/* A version must say which model answered. */
static enum rudd_status check_version(const struct serve_models *r, const struct serve_model *m, int except,
                                      struct rudd_error *err)
{
    for (int i = 0; i < r->count; i++)
        if (i != except && !strcmp(r->entries[i].model->version, m->version))
            return rudd_fail(err, RUDD_ARGUMENT, "%s: version %s is served already, from %s", m->file, m->version,
                             r->entries[i].path);
    return RUDD_OK;
}

/* Loads entry i's file again and lets it take the place of what is served. On failure all is as it was. */
static enum rudd_status renew(struct serve_models *r, int i, struct rudd_error *err)
{
    struct entry *e = &r->entries[i];
    struct serve_model *fresh = NULL, *old = e->model;
    double started = serve_now_ms();
    e->seen = e->loaded = stamp_of(e->path); /* before it is read: a change meanwhile is seen at the next look */
    enum rudd_status status = load(&fresh, e->path, old, &r->options, err);
    if (!status) status = check_version(r, fresh, i, err);
    if (status) {
        free_model(fresh);
        tell(r, SERVE_MODEL_FAILED, old, "model %s stays at version %s: %.1800s", old->name, old->version, err->message);
        return status;
    }
    char from[SERVE_VERSION];
    memcpy(from, old->version, sizeof from);
    pthread_mutex_lock(&r->mutex);
    e->model = fresh;
    fresh->references++; /* for the news */
    pthread_mutex_unlock(&r->mutex);
    tell(r, SERVE_MODEL_RETIRED, old, "%s", "");
    serve_models_put(r, old);
    tell(r, SERVE_MODEL_LOADED, fresh, "model %s: version %s after %s, in %.0f ms; golden answer %s", fresh->name,
         fresh->version, from, serve_now_ms() - started, fresh->golden ? "as it should be" : "not in the file");
    serve_models_put(r, fresh);
    return RUDD_OK;
}

static enum rudd_status add(struct serve_models *r, const char *path, bool found, struct rudd_error *err)
{
    struct entry e = {.path = rudd_strdup(path), .found = found};
    enum rudd_status status = RUDD_OK;
    if (!e.path) return rudd_fail(err, RUDD_NO_MEMORY, "%s: out of memory", path);
    if (r->count == SERVE_MODELS_MAX) status = rudd_fail(err, RUDD_LIMIT, "more than %d models", SERVE_MODELS_MAX);
    e.seen = e.loaded = stamp_of(path);
    if (!status) status = load(&e.model, path, NULL, &r->options, err);
    if (!status) status = check_version(r, e.model, -1, err);
    if (status) {
        free_model(e.model);
        rudd_free(e.path);
        return status;
    }
    pthread_mutex_lock(&r->mutex);
    r->entries[r->count++] = e;
    pthread_mutex_unlock(&r->mutex);
    tell(r, SERVE_MODEL_LOADED, e.model, "model %s: version %s; golden answer %s", e.model->name, e.model->version,
         e.model->golden ? "as it should be" : "not in the file");
    return RUDD_OK;
}

static void retire(struct serve_models *r, int i)
{
    struct entry e = r->entries[i];
    pthread_mutex_lock(&r->mutex);
    memmove(&r->entries[i], &r->entries[i + 1], sizeof e * (size_t)(r->count - i - 1));
    r->count--;
    pthread_mutex_unlock(&r->mutex);
    tell(r, SERVE_MODEL_RETIRED, e.model, "model %s: version %s retired, its file is gone", e.model->name, e.model->version);
    serve_models_put(r, e.model);
    rudd_free(e.path);
}

static int is_model_file(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');
    return dot && dot > d->d_name && d->d_name[0] != '.' && !strcmp(dot, ".safetensors");
}

static int find(const struct serve_models *r, const char *path)
{
    int i = 0;
    while (i < r->count && strcmp(r->entries[i].path, path)) i++;
    return i < r->count ? i : -1;
}

/* Whether a file that is not served should be loaded now: it has rested since the last look, and this text of it has not failed before. */
static bool is_ripe(struct serve_models *r, const char *path)
{
    const struct serve_stamp now = stamp_of(path);
    for (int i = 0; i < r->candidate_count; i++) {
        struct candidate *c = &r->candidates[i];
        if (strcmp(c->path, path)) continue;
        if (serve_stamp_same(&c->seen, &now)) return !c->failed;
        c->seen = now;
        c->failed = false;
        return false;
    }
    char *copy = r->candidate_count < SERVE_MODELS_MAX ? rudd_strdup(path) : NULL;
    if (copy) r->candidates[r->candidate_count++] = (struct candidate){.path = copy, .seen = now};
    return false;
}

/* Remembers that this text of the file could not be loaded; forgets files that are served or gone. */
static void sort_candidates(struct serve_models *r, const char *failed)
{
    for (int i = r->candidate_count - 1; i >= 0; i--) {
        struct candidate *c = &r->candidates[i];
        if (failed && !strcmp(c->path, failed)) c->failed = true;
        if (find(r, c->path) < 0 && stamp_of(c->path).inode) continue;
        rudd_free(c->path);
        *c = r->candidates[--r->candidate_count];
    }
}

/* Adds the folder's files that are not served yet: all of them, or those that are ripe. Failures are counted, the first one in err. */
static int add_found(struct serve_models *r, bool all, struct rudd_error *err)
{
    struct dirent **names = NULL;
    int failed = 0, count = scandir(r->options.folder, &names, is_model_file, alphasort);
    if (count < 0) {
        rudd_fail(err, RUDD_IO, "--models %.500s: %s", r->options.folder, strerror(errno));
        return 1;
    }
    for (int i = 0; i < count; i++) {
        char path[4096];
        struct rudd_error why = {RUDD_OK, ""};
        snprintf(path, sizeof path, "%s/%s", r->options.folder, names[i]->d_name);
        free(names[i]);
        if (find(r, path) >= 0 || !(is_ripe(r, path) || all) || !add(r, path, true, &why)) continue;
        sort_candidates(r, path);
        if (r->running) tell(r, SERVE_MODEL_FAILED, NULL, "%s", why.message);
        if (!failed++) *err = why;
    }
    free(names);
    sort_candidates(r, NULL);
    return failed;
}

/* ---- the thread ------------------------------------------------------------------------------------------------------------- */

/* One look at all files; all: every one is loaded again. */
static void look_around(struct serve_models *r, bool all, struct serve_reload *result)
{
    struct rudd_error err = {RUDD_OK, ""};
    for (int i = r->count - 1; i >= 0; i--) {
        struct entry *e = &r->entries[i];
        struct serve_stamp now = stamp_of(e->path);
        const bool gone = !now.inode, rested = serve_stamp_same(&now, &e->seen);
        e->seen = now;
        if (gone && e->found && r->count > 1) {
            retire(r, i);
        } else if (all || (!gone && rested && !serve_stamp_same(&now, &e->loaded))) {
            if (!renew(r, i, &err))
                result->loaded++;
            else if (!result->failed++)
                result->err = err;
        }
    }
    if (!r->options.folder) return;
    int before = r->count, failed = add_found(r, all, &err);
    result->loaded += r->count - before;
    if (failed && !result->failed) result->err = err;
    result->failed += failed;
}

static void *keep_watch(void *arg)
{
    struct serve_models *r = arg;
    pthread_mutex_lock(&r->mutex);
    while (!r->stopping || r->waiting) {
        struct timespec until = serve_timespec(serve_now_ms() + r->options.watch_ms);
        while (!r->stopping && !r->reload) {
            if (!r->options.watch_ms)
                pthread_cond_wait(&r->asked, &r->mutex);
            else if (pthread_cond_timedwait(&r->asked, &r->mutex, &until) == ETIMEDOUT)
                break;
        }
        struct serve_reload result = {0}, *waiting = r->waiting;
        bool all = r->reload;
        r->waiting = NULL;
        r->reload = false;
        bool work = !r->stopping;
        pthread_mutex_unlock(&r->mutex);
        if (work) look_around(r, all, &result);
        while (waiting) {
            struct serve_reload *next = waiting->next; /* done may free it */
            waiting->loaded = result.loaded;
            waiting->failed = result.failed;
            waiting->err = result.err;
            waiting->done(waiting);
            waiting = next;
        }
        pthread_mutex_lock(&r->mutex);
    }
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

void serve_models_reload(struct serve_models *r, struct serve_reload *reload)
{
    pthread_mutex_lock(&r->mutex);
    bool late = r->stopping;
    if (reload && !late) {
        reload->next = r->waiting;
        r->waiting = reload;
    }
    r->reload = true;
    pthread_cond_signal(&r->asked);
    pthread_mutex_unlock(&r->mutex);
    if (reload && late) reload->done(reload);
}

/* ---- the registry ------------------------------------------------------------------------------------------------------------- */

enum rudd_status serve_models_create(struct serve_models **models, const struct serve_models_options *o, struct rudd_error *err)
{
    struct serve_models *r = rudd_zalloc(1, sizeof *r);
    if (!r) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the models");
    r->options = *o;
    pthread_mutex_init(&r->mutex, NULL);
    serve_cond_init(&r->asked);
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < o->path_count && !status; i++) status = add(r, o->paths[i], false, err);
    if (!status && o->folder) {
        struct rudd_error why = {RUDD_OK, ""};
        if (add_found(r, true, &why)) status = rudd_fail(err, why.status, "%s", why.message);
    }
    if (!status && !r->count)
        status = rudd_fail(err, RUDD_ARGUMENT,
                           "--models %.500s: no *.safetensors there; put a model file into it, or give --model FILE",
                           o->folder ? o->folder : "");
    if (!status && pthread_create(&r->thread, NULL, keep_watch, r))
        status = rudd_fail(err, RUDD_IO, "the system starts no more threads");
    r->running = !status;
    if (status)
        serve_models_destroy(r);
    else
        *models = r;
    return status;
}

void serve_models_stop(struct serve_models *r)
{
    pthread_mutex_lock(&r->mutex);
    r->stopping = true;
    pthread_cond_signal(&r->asked);
    pthread_mutex_unlock(&r->mutex);
    if (r->running) pthread_join(r->thread, NULL);
    r->running = false;
}

void serve_models_destroy(struct serve_models *r)
{
    if (!r) return;
    serve_models_stop(r);
    for (int i = 0; i < r->count; i++) {
        free_model(r->entries[i].model);
        rudd_free(r->entries[i].path);
    }
    for (int i = 0; i < r->candidate_count; i++) rudd_free(r->candidates[i].path);
    pthread_cond_destroy(&r->asked);
    pthread_mutex_destroy(&r->mutex);
    rudd_free(r);
}
