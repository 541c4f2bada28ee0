/* loader.c - worker threads that keep a few batches ahead of the network.
 *
 * The work of an epoch is one list of pictures (sampling.h) in their final order; picture i belongs to batch i / batch_size, and batch b lives in slot
 * b % slots of the ring. Workers take the next picture of the list whose slot is free and write its pixels to its fixed place, so who did it
 * and when leaves no trace:
 *
 *     list   0 1 2 3 | 4 5 6 7 | 8 9 ..          next: first picture nobody has taken
 *     ring   [slot 0]  [slot 1]  [slot 2]         taken: first batch not handed out yet; batches below taken + depth may be filled
 *
 * There is one slot more than batches ahead: the caller reads the last one it got while `depth` others fill. Pictures that failed are
 * closed up when their batch is handed out; their messages are taken over then, in list order, and so are the notes on damaged ones.
 *
 * One lock guards all counters; a picture costs milliseconds, so it is never contended. */
#include "data/sets/loader.h"
#include "data/image/decode.h"
#include "kernels/limits.h"
#include "nn/rng.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_WORKERS = 64 };

struct slot {
    float *x;                 /* [batch, size, size, 3] */
    int *labels;              /* [batch] */
    int *items;               /* [batch] */
    enum rudd_status *status; /* [batch] */
    /* [batch] why not good, or what is wrong with it; NULL: nothing, already reported, or no memory
     */
    char **message;
    int left; /* pictures not done yet */
};

struct worker {
    struct data_loader *loader;
    pthread_t thread;
    uint8_t *square; /* [size, size, 3] a picture on its way to floats */
};

/* Pictures of which something was said, each once. */
struct remarks {
    bool *said;  /* [count] by item */
    char **text; /* [count], `count` of them set; NULL: without memory */
    int count;
};

struct data_loader {
    const struct data_set *set;
    struct data_loader_options options;
    struct data_augment view;
    size_t floats; /* of one picture */
    int batches, slots;
    struct slot *ring;

    pthread_mutex_t lock;
    pthread_cond_t work; /* a picture may be taken */
    pthread_cond_t done; /* a batch, or all that was under way, is finished */
    struct worker workers[MAX_WORKERS];
    int worker_count; /* started */
    bool stop;

    uint64_t epoch;
    struct data_sampler sampler; /* the epoch's list */
    int next, taken, busy;
    bool waiting; /* the caller, for the batch `taken` */

    struct remarks bad, notes;
    struct rudd_error failure; /* no memory for a picture; message "": none */
};

static int list_end(const struct data_loader *l)
{
    int64_t full = (int64_t)l->batches * l->options.batch;
    return full < l->sampler.length ? (int)full : l->sampler.length;
}

/* Pictures of batch b. */
static int batch_count(const struct data_loader *l, int b)
{
    int left = list_end(l) - b * l->options.batch;
    return left < l->options.batch ? left : l->options.batch;
}

/* ---- one picture --------------------------------------------------------------------------- */

/* key names the random view; without augmentation the picture is seen in the fixed view of that
 * number. */
static enum rudd_status load_view(float *x, uint8_t *square, char note[DATA_NOTE], const char *path,
                                  const struct data_loader_options *o, uint64_t epoch, uint64_t key,
                                  int view, struct rudd_error *err)
{
    const struct data_limits *limits = o->limits.max_bytes ? &o->limits : NULL;
    struct data_image image = {0};
    struct data_reading reading = {0};
    uint8_t *bytes = NULL;
    size_t length;
    enum rudd_status status;
    if (o->augment) {
        status = data_image_read_for(&image, path, limits, &o->preprocess, o->image_size, err);
        if (!status)
            status = data_augment_view(square, &image, o->augment, &o->preprocess, o->image_size,
                                       o->seed, epoch, key, err);
    } else {
        status = data_image_load(&bytes, &length, path, limits, err);
        if (!status)
            status = data_preprocess_bytes(square, bytes, length, path, limits, &o->preprocess,
                                           o->image_size, view, &reading, err);
    }
    if (!status)
        data_normalise(x, square, (size_t)o->image_size * (size_t)o->image_size, &o->preprocess);
    memcpy(note, o->augment ? image.note : reading.note, DATA_NOTE);
    rudd_free(bytes);
    data_image_free(&image);
    return status;
}

enum rudd_status data_loader_picture(float *x, uint8_t *square, char note[DATA_NOTE],
                                     const char *path, const struct data_loader_options *options,
                                     uint64_t epoch, uint64_t key, struct rudd_error *err)
{
    return load_view(x, square, note, path, options, epoch, key, 0, err);
}

static enum rudd_status load(float *x, char note[DATA_NOTE], const struct worker *w, uint64_t draw,
                             uint64_t epoch, struct rudd_error *err)
{
    const struct data_loader *l = w->loader;
    const int item = data_draw_item(&l->sampler, draw);
    const struct data_source *source = &l->options.source;
    if (source->read)
        return source->read(x, note, source->user, item, epoch, (int)(w - l->workers), err);
    return load_view(x, w->square, note, l->set->items[item].path, &l->options, epoch, draw,
                     data_draw_appearance(&l->sampler, draw), err);
}

/* What is to be said of a picture: why it was not read, or "PATH: NOTE". NULL: nothing, or no
 * memory. */
static char *remark(enum rudd_status status, const struct rudd_error *err, const char *path,
                    const char *note)
{
    struct rudd_error line;
    if (status) return rudd_strdup(err->message);
    if (!note[0]) return NULL;
    snprintf(line.message, sizeof line.message, "%s: %s", path, note);
    return rudd_strdup(line.message);
}

static bool may_take(const struct data_loader *l)
{
    return l->next < list_end(l) &&
           l->next / l->options.batch < l->taken + (l->waiting ? 1 : l->options.depth);
}

static void *work(void *user)
{
    struct worker *self = user;
    struct data_loader *l = self->loader;

    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->stop && !may_take(l)) pthread_cond_wait(&l->work, &l->lock);
        if (l->stop) break;
        int at = l->next++, item = data_draw_item(&l->sampler, l->sampler.draws[at]),
            b = at / l->options.batch, place = at % l->options.batch;
        struct slot *s = &l->ring[b % l->slots];
        uint64_t epoch = l->epoch, draw = l->sampler.draws[at];
        bool known = l->bad.said[item], noted = l->notes.said[item];
        l->busy++;
        pthread_mutex_unlock(&l->lock);

        struct rudd_error err;
        char note[DATA_NOTE] = "";
        enum rudd_status status = RUDD_FORMAT; /* known bad: not tried again */
        if (!known) status = load(s->x + (size_t)place * l->floats, note, self, draw, epoch, &err);
        if (noted) note[0] = 0;
        char *message = known ? NULL : remark(status, &err, l->set->items[item].path, note);

        pthread_mutex_lock(&l->lock);
        s->labels[place] = l->set->items[item].label;
        s->items[place] = item;
        s->status[place] = status;
        s->message[place] = message;
        l->busy--;
        if (--s->left == 0 || l->busy == 0) pthread_cond_broadcast(&l->done);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- epochs and batches -------------------------------------------------------------------- */

static void drop_messages(struct data_loader *l)
{
    for (int i = 0; i < l->slots; i++)
        for (int j = 0; j < l->options.batch; j++) {
            rudd_free(l->ring[i].message[j]);
            l->ring[i].message[j] = NULL;
        }
}

void data_loader_start(struct data_loader *loader, uint64_t epoch, int first)
{
    struct data_loader *l = loader;
    pthread_mutex_lock(&l->lock);
    l->next = list_end(
        l); /* nothing more is taken; what is under way must land before its slot is given away */
    while (l->busy > 0) pthread_cond_wait(&l->done, &l->lock);
    drop_messages(l);
    l->failure.message[0] = 0;

    data_sampler_draw(&l->sampler, l->options.seed, epoch);
    l->epoch = epoch;
    l->taken = first < 0 ? 0 : first < l->batches ? first : l->batches;
    for (int b = l->taken; b < l->batches && b < l->taken + l->slots; b++)
        l->ring[b % l->slots].left = batch_count(l, b);
    l->next = l->taken < l->batches ? l->taken * l->options.batch : list_end(l);
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
}

/* Takes over what is to be said about picture j of a slot; the lock is held. */
static void take_remark(struct data_loader *l, struct slot *s, int j)
{
    const int item = s->items[j];
    struct remarks *r = s->status[j] ? &l->bad : &l->notes;
    if (s->status[j] == RUDD_NO_MEMORY) {
        if (!l->failure.message[0])
            rudd_fail(&l->failure, RUDD_NO_MEMORY, "%s",
                      s->message[j] ? s->message[j] : "no memory for a picture, nor to say which");
        rudd_free(s->message[j]);
    } else if (r->said[item] || (!s->status[j] && !s->message[j])) {
        rudd_free(s->message[j]);
    } else {
        r->said[item] = true;
        r->text[r->count++] = s->message[j];
    }
    s->message[j] = NULL;
}

/* Closes the gaps that bad pictures left; returns how many remain. */
static int close_up(struct data_loader *l, struct slot *s, int count)
{
    int n = 0;
    for (int j = 0; j < count; j++) {
        take_remark(l, s, j);
        if (s->status[j]) continue;
        if (n < j) {
            memcpy(s->x + (size_t)n * l->floats, s->x + (size_t)j * l->floats,
                   l->floats * sizeof *s->x);
            s->labels[n] = s->labels[j];
            s->items[n] = s->items[j];
        }
        n++;
    }
    return n;
}

bool data_loader_next(struct data_loader *loader, struct data_batch *batch)
{
    struct data_loader *l = loader;
    int n = 0;
    pthread_mutex_lock(&l->lock);
    while (n == 0 && l->taken < l->batches && !l->failure.message[0]) {
        struct slot *s = &l->ring[l->taken % l->slots];
        l->waiting = l->options.depth == 0;
        if (l->waiting) pthread_cond_broadcast(&l->work);
        while (s->left > 0) pthread_cond_wait(&l->done, &l->lock);
        l->waiting = false;
        n = close_up(l, s, batch_count(l, l->taken));
        if (l->failure.message[0]) {
            n = 0;
            break;
        }
        *batch = (struct data_batch){s->x, s->labels, s->items, n};

        /* The slot handed out before this one is free now: it will hold the batch `slots` after it.
         */
        int refill = l->taken - 1 + l->slots;
        if (refill < l->batches) l->ring[refill % l->slots].left = batch_count(l, refill);
        l->taken++;
        pthread_cond_broadcast(&l->work);
    }
    pthread_mutex_unlock(&l->lock);
    return n > 0;
}

enum rudd_status data_loader_status(const struct data_loader *loader, struct rudd_error *err)
{
    if (!loader->failure.message[0]) return RUDD_OK; /* the caller's thread alone changes it */
    return rudd_fail(err, RUDD_NO_MEMORY, "%s", loader->failure.message);
}

int data_loader_position(const struct data_loader *loader)
{
    return loader->taken; /* the caller's thread alone changes it */
}

int data_loader_batches(const struct data_loader *loader)
{
    return loader->batches;
}

static const char *remark_at(const struct remarks *r, int i)
{
    if (i < 0 || i >= r->count) return NULL;
    return r->text[i] ? r->text[i]
                      : "a picture could not be read, and there was no memory to say which";
}

int data_loader_bad_count(const struct data_loader *loader)
{
    return loader->bad.count;
}

const char *data_loader_bad(const struct data_loader *loader, int i)
{
    return remark_at(&loader->bad, i);
}

int data_loader_note_count(const struct data_loader *loader)
{
    return loader->notes.count;
}

const char *data_loader_note(const struct data_loader *loader, int i)
{
    return remark_at(&loader->notes, i);
}

/* ---- creation ------------------------------------------------------------------------------ */

static bool remarks_init(struct remarks *r, size_t count)
{
    r->said = rudd_zalloc(count, sizeof *r->said);
    r->text = rudd_zalloc(count, sizeof *r->text);
    return r->said && r->text;
}

static void remarks_free(struct remarks *r)
{
    for (int i = 0; i < r->count; i++) rudd_free(r->text[i]);
    rudd_free(r->text);
    rudd_free(r->said);
}

static bool slot_init(struct slot *s, int batch, size_t floats)
{
    size_t n = (size_t)batch;
    s->x = rudd_alloc(n * floats * sizeof *s->x);
    s->labels = rudd_alloc(n * sizeof *s->labels);
    s->items = rudd_alloc(n * sizeof *s->items);
    s->status = rudd_zalloc(n, sizeof *s->status);
    s->message = rudd_zalloc(n, sizeof *s->message);
    return s->x && s->labels && s->items && s->status && s->message;
}

static enum rudd_status take_memory(struct data_loader *l, struct rudd_error *err)
{
    size_t count = (size_t)l->set->count, size = (size_t)l->options.image_size;
    bool ok = (l->ring = rudd_zalloc((size_t)l->slots, sizeof *l->ring));
    for (int i = 0; ok && i < l->slots; i++)
        ok = slot_init(&l->ring[i], l->options.batch, l->floats);
    for (int i = 0; ok && !l->options.source.read && i < l->options.threads; i++)
        ok = (l->workers[i].square = rudd_alloc(size * size * 3));
    ok = ok && remarks_init(&l->bad, count) && remarks_init(&l->notes, count);
    if (ok) return RUDD_OK;
    return rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d batches of %d pictures of %zu numbers",
                     l->slots, l->options.batch, l->floats);
}

static enum rudd_status start_workers(struct data_loader *l, struct rudd_error *err)
{
    /* Signals are the main thread's affair: Ctrl-C must not land in a worker. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; l->worker_count < l->options.threads; l->worker_count++) {
        struct worker *w = &l->workers[l->worker_count];
        w->loader = l;
        if (pthread_create(&w->thread, NULL, work, w) != 0) break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (l->worker_count > 0) return RUDD_OK; /* fewer than wished for only take longer */
    return rudd_fail(err, RUDD_NO_MEMORY, "no thread could be started to load pictures");
}

/* Loading feeds one network: more threads than these only take memory. */
static int default_threads(void)
{
    const int processors = kern_processors();
    return processors < 8 ? processors : 8;
}

/* Batches in memory, and 0 or "as you like" replaced by figures. */
static int settle(struct data_loader_options *o, int batches)
{
    if (o->threads <= 0) o->threads = default_threads();
    if (o->threads > MAX_WORKERS) o->threads = MAX_WORKERS;
    if (o->depth == 0) o->depth = 2;
    if (o->depth < 0) o->depth = 0;
    if (o->depth > batches) o->depth = batches > 0 ? batches : 1;
    return (o->depth > 0 ? o->depth : 1) + 1;
}

/* Bytes that reading the largest picture takes. Files are ranked by their size: those of the most
 * bytes are taken for the largest, and a few are measured, since compression varies. */
static size_t largest_picture(const struct data_set *set, const struct data_limits *limits)
{
    enum { MEASURED = 8 };
    int items[MEASURED], count = 0;
    off_t sizes[MEASURED];
    for (int i = 0; i < set->count; i++) {
        struct stat st;
        if (stat(set->items[i].path, &st) || !S_ISREG(st.st_mode)) continue;
        int at = count < MEASURED ? count++ : MEASURED;
        for (; at > 0 && sizes[at - 1] < st.st_size; at--)
            if (at < MEASURED) sizes[at] = sizes[at - 1], items[at] = items[at - 1];
        if (at < MEASURED) sizes[at] = st.st_size, items[at] = i;
    }
    size_t most = 0;
    for (int i = 0; i < count; i++) {
        const size_t bytes = data_image_bytes(set->items[items[i]].path, limits);
        if (bytes > most) most = bytes;
    }
    return most;
}

struct data_loader_needs data_loader_needs(const struct data_set *set,
                                           const struct data_loader_options *options)
{
    struct data_loader_options o = *options;
    const bool reads = !o.source.read;
    const size_t square = (size_t)o.image_size * (size_t)o.image_size * 3,
                 floats = reads ? square : o.source.floats;
    const int batches = o.batch > 0 ? (set->count + o.batch - 1) / o.batch : 1,
              slots = settle(&o, batches);
    const size_t picture =
        reads ? largest_picture(set, o.limits.max_bytes ? &o.limits : NULL) + square : 0;
    return (struct data_loader_needs){(size_t)slots * (size_t)o.batch * floats * sizeof(float) +
                                          (size_t)o.threads * picture,
                                      o.threads};
}

static enum rudd_status check_options(const struct data_loader_options *o, struct rudd_error *err)
{
    if (o->batch < 1 || o->batch > 65536)
        return rudd_fail(err, RUDD_ARGUMENT, "batch of %d; 1 to 65536 are possible", o->batch);
    if (o->source.read) return RUDD_OK;
    enum rudd_status status = data_preprocess_check(&o->preprocess, o->image_size, err);
    if (!status && o->augment) status = data_augment_check(o->augment, err);
    if (!status && !o->augment && o->views > DATA_VIEWS)
        status = rudd_fail(err, RUDD_ARGUMENT, "%d views; at most %d are possible", o->views,
                           DATA_VIEWS);
    return status;
}

enum rudd_status data_loader_create(struct data_loader **loader, const struct data_set *set,
                                    const struct data_loader_options *options,
                                    struct rudd_error *err)
{
    enum rudd_status status = check_options(options, err);
    if (status) return status;
    struct data_loader *l = rudd_zalloc(1, sizeof *l);
    if (!l) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a loader");
    status = data_sampler_init(&l->sampler, set, options->sampling, options->shuffle,
                               options->augment ? 1 : options->views, err);
    if (status) {
        rudd_free(l);
        return status;
    }
    l->set = set;
    l->options = *options;
    if (options->augment) {
        l->view = *options->augment;
        l->options.augment = &l->view; /* the caller's may go away */
    }
    l->floats = options->source.read
                    ? options->source.floats
                    : (size_t)options->image_size * (size_t)options->image_size * 3;
    int length = l->sampler.length, whole = length / options->batch;
    l->batches = whole + (!options->drop_last && length % options->batch != 0);
    l->slots = settle(&l->options, l->batches);
    l->taken = l->batches; /* nothing to do before data_loader_start */
    l->next = length;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);

    status = take_memory(l, err);
    if (!status) status = start_workers(l, err);
    if (status)
        data_loader_destroy(l);
    else
        *loader = l;
    return status;
}

void data_loader_destroy(struct data_loader *loader)
{
    struct data_loader *l = loader;
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->worker_count; i++) pthread_join(l->workers[i].thread, NULL);
    pthread_cond_destroy(&l->done);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);

    for (int i = 0; i < MAX_WORKERS; i++) rudd_free(l->workers[i].square);
    for (int i = 0; l->ring && i < l->slots; i++) {
        struct slot *s = &l->ring[i];
        for (int j = 0; s->message && j < l->options.batch; j++) rudd_free(s->message[j]);
        rudd_free(s->message);
        rudd_free(s->status);
        rudd_free(s->items);
        rudd_free(s->labels);
        rudd_free(s->x);
    }
    remarks_free(&l->bad);
    remarks_free(&l->notes);
    data_sampler_free(&l->sampler);
    rudd_free(l->ring);
    rudd_free(l);
}
