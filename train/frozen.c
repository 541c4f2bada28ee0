/* frozen.c - the frozen part of a network, run once over every picture: see frozen.h.
 *
 * A loader whose source is the network does the work: its threads read, decode and compute a picture each, and the batches it hands
 * out in order are appended to the file. With a plan per thread no two threads wait for one another within a picture, which is what
 * small maps on a busy machine suffer from (V2-B0 at 224 on two cores: 17 ms a picture and thread; 12 for both together when quiet, and
 * ten times that when not). */
#include "train/frozen.h"

#include "kernels/kern.h"
#include "nn/plan.h"
#include "train/cache.h"
#include "train/run_folder.h"
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SETS = 3, FILL_BATCH = 8, MAX_THREADS = 64 };

/* What is known of one set. Records of view v stand from v * count on. */
struct features {
    const struct train_frozen *frozen;
    const struct data_set *set;
    int views;     /* at least 1 */
    bool random;   /* views are random ones */
    long *records; /* [views * count]; -1: the picture could not be read */
    char **why;    /* [count] NULL, or what was wrong with it */
    char **notes;  /* [count] NULL, or what is wrong with it although it could be read, when that was done now */
    atomic_bool lost;
};

struct train_frozen {
    struct nn_model *model;
    struct train_frozen_options options;
    struct features features[SETS];
    size_t numbers; /* of a record */
    struct train_cache *cache;
    char path[TRAIN_PATH];
};

/* ---- names of what is computed ------------------------------------------------------------------------------------- */

static void from_hex(uint8_t out[TRAIN_CACHE_HASH], const char *hex)
{
    for (int i = 0; i < TRAIN_CACHE_HASH; i++) {
        unsigned byte;
        sscanf(hex + 2 * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
}

static void end_hash(uint8_t out[TRAIN_CACHE_HASH], struct nn_sha256 *hash)
{
    char hex[NN_SHA256_HEX];
    nn_sha256_hex(hex, hash);
    from_hex(out, hex);
}

/* The hash of all that every record depends on. The tier counts: other instructions may give other last bits. */
static void make_recipe(uint8_t out[TRAIN_CACHE_HASH], const struct train_frozen *f)
{
    const struct nn_model *m = f->model;
    const struct nn_preprocess *p = &f->options.pictures.preprocess;
    char text[600];
    struct nn_sha256 hash;
    nn_sha256_init(&hash);
    int n = snprintf(text, sizeof text, "%s %s %d %d %d %.9g | %d %d %d %.17g %.17g %.9g %.9g %.9g %.9g %.9g %.9g", m->arch,
                     kern_isa(), f->options.stage, (int)m->pad, m->pad_size, (double)m->bn_eps, f->options.pictures.image_size,
                     (int)p->mode, (int)p->filter, p->crop_fraction, p->reduce, (double)p->mean[0], (double)p->mean[1],
                     (double)p->mean[2], (double)p->std[0], (double)p->std[1], (double)p->std[2]);
    const struct data_limits *limits = &f->options.pictures.limits;
    if (limits->max_bytes && (limits->truncated || limits->max_pixels != data_limits_default.max_pixels))
        n += snprintf(text + n, sizeof text - (size_t)n, " | %llu %d", (unsigned long long)limits->max_pixels,
                      limits->truncated);
    nn_sha256_update(&hash, text, (size_t)n);
    for (int i = 0; i < m->param_count; i++)
        if (m->params[i].stage < f->options.stage)
            nn_sha256_update(&hash, m->values + m->params[i].offset, m->params[i].count * sizeof *m->values);
    end_hash(out, &hash);
}

/* The key of a picture's view: the hash of its file; of a random view also of all that the choice depends on. */
static void make_key(uint8_t out[TRAIN_CACHE_HASH], const uint8_t content[TRAIN_CACHE_HASH], const struct features *f, int view)
{
    const struct data_loader_options *o = &f->frozen->options.pictures;
    struct nn_sha256 hash;
    memcpy(out, content, TRAIN_CACHE_HASH);
    if (!f->random) return;
    _Static_assert(sizeof(struct data_augment) % sizeof(double) == 0, "all its bytes have a meaning");
    nn_sha256_init(&hash);
    nn_sha256_update(&hash, content, TRAIN_CACHE_HASH);
    nn_sha256_update(&hash, o->augment, sizeof *o->augment);
    nn_sha256_update(&hash, &o->seed, sizeof o->seed);
    nn_sha256_update(&hash, &view, sizeof view);
    end_hash(out, &hash);
}

/* A plan for each of *threads threads, fewer where memory does not suffice for all. */
static enum rudd_status make_plans(struct nn_plan **plans, int *threads, const struct train_frozen *f, struct rudd_error *err)
{
    struct nn_plan_options o = {.batch = 1, .image_size = f->options.pictures.image_size, .end_stage = f->options.stage};
    enum rudd_status status = RUDD_OK;
    size_t left = f->options.memory_limit;
    int made = 0;
    for (; made < *threads; made++) {
        o.memory_limit = left;
        status = nn_plan_create(&plans[made], f->model, &o, err);
        if (status != RUDD_OK) break;
        size_t bytes = nn_plan_bytes(plans[made]) + nn_plan_weight_bytes(plans[made]);
        if (left) left = left > bytes ? left - bytes : 1;
    }
    *threads = made;
    return made > 0 ? RUDD_OK : status;
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static bool features_init(struct features *f, const struct train_frozen *frozen, const struct data_set *set, bool training)
{
    const size_t count = (size_t)set->count;
    f->frozen = frozen;
    f->set = set;
    f->random = training && frozen->options.views > 0;
    f->views = f->random ? frozen->options.views : 1;
    f->records = rudd_zalloc(count * (size_t)f->views, sizeof *f->records);
    f->why = rudd_zalloc(count, sizeof *f->why);
    f->notes = rudd_zalloc(count, sizeof *f->notes);
    return f->records && f->why && f->notes;
}

enum rudd_status train_frozen_create(struct train_frozen **frozen, struct nn_model *model, const struct data_splits *splits,
                                     const struct train_frozen_options *options, struct rudd_error *err)
{
    struct train_frozen *f = rudd_zalloc(1, sizeof *f);
    bool ok = f;
    if (ok) {
        f->model = model;
        f->options = *options;
        if (!options->views) f->options.pictures.augment = NULL;
        ok = features_init(&f->features[0], f, &splits->train, true) &&
             features_init(&f->features[1], f, &splits->val, false) && features_init(&f->features[2], f, &splits->test, false);
    }
    struct nn_plan *plan = NULL;
    int threads = 1;
    enum rudd_status status =
        ok ? make_plans(&plan, &threads, f, err)
           : rudd_fail(err, RUDD_NO_MEMORY, "no memory to list the activations of %d pictures", splits->train.count);
    if (status == RUDD_OK) f->numbers = nn_plan_output_floats(plan);
    nn_plan_destroy(plan);
    if (status != RUDD_OK) {
        train_frozen_destroy(f);
        return status;
    }
    *frozen = f;
    return RUDD_OK;
}

void train_frozen_destroy(struct train_frozen *frozen)
{
    if (!frozen) return;
    for (int i = 0; i < SETS; i++) {
        struct features *f = &frozen->features[i];
        for (int j = 0; f->why && j < f->set->count; j++) rudd_free(f->why[j]);
        for (int j = 0; f->notes && j < f->set->count; j++) rudd_free(f->notes[j]);
        rudd_free(f->why);
        rudd_free(f->notes);
        rudd_free(f->records);
    }
    train_cache_close(frozen->cache);
    rudd_free(frozen);
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static enum rudd_status read_features(float *out, char note[DATA_NOTE], void *user, int item, uint64_t epoch, int worker,
                                      struct rudd_error *err)
{
    (void)worker;
    struct features *f = user;
    size_t view = f->random ? (size_t)((epoch - 1) % (uint64_t)f->views) : 0; /* epochs count from 1 */
    long record = f->records[view * (size_t)f->set->count + (size_t)item];
    if (record < 0) return rudd_fail(err, RUDD_FORMAT, "%s", f->why[item] ? f->why[item] : f->set->items[item].path);
    if (f->notes[item]) snprintf(note, DATA_NOTE, "%s", f->notes[item]);
    enum rudd_status status = train_cache_read(out, f->frozen->cache, record, err);
    if (status) atomic_store(&f->lost, true);
    return status;
}

struct train_frontier train_frozen_frontier(struct train_frozen *frozen, const struct data_set *set)
{
    int i = 0;
    if (!frozen) return (struct train_frontier){0};
    while (i < SETS - 1 && frozen->features[i].set != set) i++;
    return (struct train_frontier){frozen->options.stage, {.read = read_features, .user = &frozen->features[i]}};
}

enum rudd_status train_frozen_check(const struct train_frozen *frozen, struct rudd_error *err)
{
    for (int i = 0; i < SETS; i++)
        if (atomic_load(&frozen->features[i].lost))
            return rudd_fail(err, RUDD_FORMAT, "%s: was damaged while it was used; go on with --resume, which repairs it",
                             frozen->path);
    return RUDD_OK;
}

uint64_t train_frozen_bytes(const struct train_frozen *frozen)
{
    uint64_t records = 0;
    for (int i = 0; i < SETS; i++) records += (uint64_t)frozen->features[i].set->count * (uint64_t)frozen->features[i].views;
    return records * train_cache_record_bytes(frozen->numbers, frozen->options.bytes);
}

const char *train_frozen_file(const struct train_frozen *frozen)
{
    return strrchr(frozen->path, '/') + 1;
}

void train_frozen_remove(struct train_frozen *frozen)
{
    if (frozen->cache) unlink(frozen->path);
}

/* ---- filling ------------------------------------------------------------------------------------------------------- */

/* The pictures of one set that are missing, and who computes them. Item i of `missing` is view views[i] of item from[i] of the set. */
struct job {
    struct features *features;
    uint8_t (*contents)[TRAIN_CACHE_HASH]; /* [count] */
    struct data_set missing;
    int *from, *views;
    char **why, **notes; /* [missing.count] as in features */
    struct nn_plan **plans;
    uint8_t *squares[MAX_THREADS];
};

static enum rudd_status compute(float *out, char note[DATA_NOTE], void *user, int item, uint64_t epoch, int worker,
                                struct rudd_error *err)
{
    (void)epoch;
    struct job *job = user;
    const struct train_frozen *frozen = job->features->frozen;
    struct data_loader_options pictures = frozen->options.pictures;
    struct nn_plan *plan = job->plans[worker];
    struct rudd_error own;
    uint64_t key; /* names the picture wherever it lies in which set */
    memcpy(&key, job->contents[job->from[item]], sizeof key);
    if (!job->features->random) pictures.augment = NULL;
    enum rudd_status status =
        data_loader_picture(nn_plan_input(plan), job->squares[worker], note, job->missing.items[item].path, &pictures,
                            (uint64_t)job->views[item], key, &own);
    if (!status && note[0]) job->notes[item] = rudd_strdup(note);
    if (status) {
        job->why[item] = rudd_strdup(own.message);
        return rudd_fail(err, status, "%s", own.message);
    }
    nn_plan_forward(plan, 1);
    const float *y = nn_plan_logits(plan);
    const size_t count = nn_plan_output_floats(plan);
    memcpy(out, y, count * sizeof *y);
    return RUDD_OK;
}

static void job_free(struct job *job, int threads)
{
    for (int i = 0; job->why && i < job->missing.count; i++) rudd_free(job->why[i]);
    for (int i = 0; job->notes && i < job->missing.count; i++) rudd_free(job->notes[i]);
    rudd_free(job->why);
    rudd_free(job->notes);
    rudd_free(job->contents);
    rudd_free(job->missing.items);
    rudd_free(job->from);
    rudd_free(job->views);
    for (int i = 0; i < threads; i++) rudd_free(job->squares[i]);
}

static void set_text(char **text, const char *message)
{
    rudd_free(*text);
    *text = message ? rudd_strdup(message) : NULL;
}

/* Hashes every picture and lists the views that the file lacks. */
static enum rudd_status job_init(struct job *job, struct features *f, struct nn_plan **plans, int threads,
                                 struct rudd_error *err)
{
    const int count = f->set->count, size = f->frozen->options.pictures.image_size;
    const size_t most = (size_t)count * (size_t)f->views;
    *job = (struct job){.features = f, .plans = plans, .missing = *f->set};
    job->missing.count = 0;
    job->contents = rudd_alloc(sizeof *job->contents * (size_t)count);
    job->missing.items = rudd_alloc(sizeof *job->missing.items * most);
    job->from = rudd_alloc(sizeof *job->from * most);
    job->views = rudd_alloc(sizeof *job->views * most);
    job->why = rudd_zalloc(most, sizeof *job->why);
    job->notes = rudd_zalloc(most, sizeof *job->notes);
    bool ok = job->contents && job->missing.items && job->from && job->views && job->why && job->notes;
    for (int i = 0; ok && i < threads; i++) ok = (job->squares[i] = rudd_alloc((size_t)size * (size_t)size * 3));
    if (!ok) {
        job_free(job, threads);
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory to list %d pictures", count);
    }
    for (int i = 0; i < count; i++) {
        char hex[NN_SHA256_HEX];
        struct rudd_error own;
        uint8_t key[TRAIN_CACHE_HASH];
        set_text(&f->why[i], NULL);
        bool read = data_file_hash(hex, f->set->items[i].path, &own) == RUDD_OK;
        if (!read) set_text(&f->why[i], own.message);
        memset(job->contents[i], 0, TRAIN_CACHE_HASH);
        if (read) from_hex(job->contents[i], hex);
        for (int v = 0; read && v < f->views; v++) {
            make_key(key, job->contents[i], f, v);
            if (train_cache_find(f->frozen->cache, key) >= 0) continue;
            job->from[job->missing.count] = i;
            job->views[job->missing.count] = v;
            job->missing.items[job->missing.count++] = f->set->items[i];
        }
    }
    return RUDD_OK;
}

static enum rudd_status run_job(struct job *job, int threads, const char *phase, const struct train_events *events,
                                struct rudd_error *err)
{
    const struct features *f = job->features;
    struct data_loader *loader;
    struct data_batch batch;
    struct data_loader_options options = {.batch = FILL_BATCH, .threads = threads, .depth = 2 * threads};
    options.source = (struct data_source){compute, job, nn_plan_output_floats(job->plans[0])};
    if (job->missing.count == 0) return RUDD_OK;
    enum rudd_status status = data_loader_create(&loader, &job->missing, &options, err);
    if (status != RUDD_OK) return status;
    const double began = train_now();
    int done = 0;
    data_loader_start(loader, 0, 0);
    while (status == RUDD_OK && data_loader_next(loader, &batch)) {
        for (int i = 0; i < batch.n && status == RUDD_OK; i++) {
            uint8_t key[TRAIN_CACHE_HASH];
            const int item = batch.items[i];
            make_key(key, job->contents[job->from[item]], f, job->views[item]);
            status = train_cache_append(f->frozen->cache, key, batch.x + (size_t)i * options.source.floats, err);
        }
        done += batch.n;
        train_tick(events, (struct train_tick){.phase = phase,
                                               .done = done,
                                               .total = job->missing.count,
                                               .loss = NAN,
                                               .seconds = train_now() - began,
                                               .kind = TRAIN_PACE_CACHE});
        if (status == RUDD_OK && events && events->stop && events->stop(events->user))
            status = rudd_fail(err, RUDD_CANCELLED, "stopped on request while caching");
    }
    train_pass_over(events);
    if (status == RUDD_OK) status = data_loader_status(loader, err);
    data_loader_destroy(loader);
    return status;
}

static enum rudd_status fill_set(struct features *f, struct nn_plan **plans, int threads, const char *phase,
                                 const struct train_events *events, struct rudd_error *err)
{
    struct job job;
    enum rudd_status status = job_init(&job, f, plans, threads, err);
    if (status != RUDD_OK) return status;
    status = run_job(&job, threads, phase, events, err);
    for (int i = 0; i < job.missing.count; i++) {
        const int item = job.from[i];
        if (job.why[i] && !f->why[item]) set_text(&f->why[item], job.why[i]);
        if (job.notes[i]) set_text(&f->notes[item], job.notes[i]);
    }
    for (int i = 0; i < f->set->count; i++)
        for (int v = 0; v < f->views; v++) {
            uint8_t key[TRAIN_CACHE_HASH];
            make_key(key, job.contents[i], f, v);
            f->records[(size_t)v * (size_t)f->set->count + (size_t)i] =
                f->why[i] ? -1 : train_cache_find(f->frozen->cache, key);
        }
    job_free(&job, threads);
    return status;
}

static enum rudd_status open_cache(struct train_frozen *f, const char *folder, size_t numbers, struct rudd_error *err)
{
    struct train_cache_form form = {.numbers = numbers, .bytes = f->options.bytes};
    char name[64];
    make_recipe(form.recipe, f);
    int n = snprintf(name, sizeof name, "frozen-%d-", 8 * form.bytes);
    for (int i = 0; i < 8; i++) n += snprintf(name + n, sizeof name - (size_t)n, "%02x", form.recipe[i]);
    snprintf(name + n, sizeof name - (size_t)n, ".cache");
    return train_cache_open(&f->cache, train_run_path(f->path, folder, name), &form, err);
}

enum rudd_status train_frozen_fill(struct train_frozen *frozen, const char *folder, const struct train_events *events,
                                   struct rudd_error *err)
{
    static const char *const phases[SETS] = {"frozen: train", "frozen: val", "frozen: test"};
    struct train_frozen *f = frozen;
    struct nn_plan *plans[MAX_THREADS] = {NULL};
    const int all = kern_threads();
    int threads = all < MAX_THREADS ? all : MAX_THREADS;
    const double began = train_now();
    kern_set_threads(1);
    enum rudd_status status = make_plans(plans, &threads, f, err);
    if (status == RUDD_OK) status = open_cache(f, folder, nn_plan_output_floats(plans[0]), err);
    const long before = status == RUDD_OK ? train_cache_count(f->cache) : 0;
    for (int i = 0; i < SETS && status == RUDD_OK; i++)
        if (f->features[i].set->count) status = fill_set(&f->features[i], plans, threads, phases[i], events, err);
    if (status == RUDD_OK) {
        train_cache_share(f->cache);
        const long computed = train_cache_count(f->cache) - before;
        train_note(events,
                   "The frozen part of the network has seen %ld pictures in %.1f s; %ld were kept from "
                   "before in %s.",
                   computed, train_now() - began, before, f->path);
    }
    for (int i = 0; i < threads; i++) nn_plan_destroy(plans[i]);
    kern_set_threads(all);
    return status;
}
