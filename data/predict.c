/* predict.c - sessions: one model, one plan, the path from a file or from pixels to probabilities.
 *
 *     bytes --decode--> RGB --data_preprocess--> u8 --data_normalise--> plan input --forward--> logits --softmax--> probabilities
 *
 * A session owns all it needs, so predicting allocates only what the picture itself asks for. Opening models: weights/open.c. */
#include "data/image/pixels.h"
#include "data/image/preprocess.h"
#include "data/session.h"
#include "kernels/kern.h"
#include "nn/plan.h"

#include <float.h>
#include <math.h>
#include <string.h>
#include <time.h>

struct rudd_session {
    struct nn_plan *plan;
    const struct nn_model *model;
    uint8_t *square;      /* [size, size, 3] */
    float *probabilities; /* [max_batch, classes] */
    int max_batch;
    double temperature; /* 0: plain probabilities */
    int views;          /* of each picture */
    float *mean;        /* [2, classes] sum or mean of probabilities over views, and its logarithm */
    bool averaged;      /* the last prediction was such a mean */
    int threads;        /* that its runs take at most; 0: all of the process */
    atomic_bool cancelled;
    struct data_limits limits;
    char note[DATA_NOTE]; /* of the last picture */
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

enum rudd_status rudd_session_create(rudd_session **session, const rudd_model *model, int max_batch, struct rudd_error *err)
{
    return data_session_create(session, model, max_batch, 0, err);
}

enum rudd_status data_session_create(rudd_session **session, const rudd_model *model, int max_batch, size_t memory_limit,
                                     struct rudd_error *err)
{
    if (max_batch < 1) return rudd_fail(err, RUDD_ARGUMENT, "a session for %d images; at least 1 is needed", max_batch);
    const struct rudd_session_options options = {sizeof options, max_batch, 0, memory_limit};
    return rudd_session_create_with(session, model, &options, err);
}

/* A caller's struct that is older than this library ends early. One that is newer may say only what
 * this library does not know as well, which is 0. */
static enum rudd_status read_options(struct rudd_session_options *own, const struct rudd_session_options *from,
                                     struct rudd_error *err)
{
    const unsigned char *bytes = (const unsigned char *)from;
    *own = (struct rudd_session_options){0};
    if (from->size < offsetof(struct rudd_session_options, max_batch) + sizeof own->max_batch)
        return rudd_fail(err, RUDD_ARGUMENT, "session options of %zu bytes; set size to sizeof(struct rudd_session_options)",
                         from->size);
    for (size_t i = sizeof *own; i < from->size; i++)
        if (bytes[i])
            return rudd_fail(err, RUDD_ARGUMENT,
                             "session options of %zu bytes say more than rudd %s knows; install a newer one", from->size,
                             rudd_version());
    memcpy(own, from, from->size < sizeof *own ? from->size : sizeof *own);
    if (!own->max_batch) own->max_batch = 1;
    if (own->max_batch < 0 || own->threads < 0)
        return rudd_fail(err, RUDD_ARGUMENT, "a session for %d images and %d threads; expected 0 or more", own->max_batch,
                         own->threads);
    return RUDD_OK;
}

/* The plan, made by the session's own threads: the first one of a model prepares its weights. */
static enum rudd_status make_plan(rudd_session *s, size_t memory_limit, struct rudd_error *err)
{
    const struct nn_plan_options options = {
        .batch = s->max_batch, .image_size = s->model->preprocess.image_size, .memory_limit = memory_limit, .features = true};
    const int before = s->threads ? kern_cap_threads(s->threads) : 0;
    /* Only a training plan writes to its model, and the first plan of one that was opened for predicting reads its weights. */
    enum rudd_status status = nn_plan_create(&s->plan, (struct nn_model *)s->model, &options, err);
    if (s->threads) kern_cap_threads(before);
    if (!status) nn_plan_set_stop(s->plan, &s->cancelled);
    return status;
}

enum rudd_status rudd_session_create_with(rudd_session **session, const rudd_model *model,
                                          const struct rudd_session_options *options, struct rudd_error *err)
{
    const size_t size = (size_t)model->preprocess.image_size;
    struct rudd_session_options own;
    enum rudd_status status = read_options(&own, options, err);
    if (status) return status;
    const size_t most = (size_t)own.max_batch;

    rudd_session *s = rudd_zalloc(1, sizeof *s);
    if (!s) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a session");
    s->model = model;
    s->max_batch = own.max_batch;
    s->threads = own.threads;
    atomic_init(&s->cancelled, false);
    s->views = 1;
    s->temperature = model->temperature;
    s->limits = data_limits_default;
    s->square = rudd_alloc(size * size * 3);
    s->probabilities = rudd_zalloc(most * (size_t)model->class_count, sizeof *s->probabilities);
    s->mean = rudd_zalloc((size_t)model->class_count, 2 * sizeof *s->mean);
    if (!s->square || !s->probabilities || !s->mean)
        status = rudd_fail(err, RUDD_NO_MEMORY, "no memory for a session of %d images", own.max_batch);
    else
        status = make_plan(s, own.memory_limit, err);
    if (status) {
        rudd_session_destroy(s);
        return status;
    }
    *session = s;
    return RUDD_OK;
}

void data_session_set_limits(rudd_session *session, const struct data_limits *limits)
{
    session->limits = *limits;
}

const char *data_session_note(const rudd_session *session)
{
    return session->note;
}

struct nn_plan *data_session_plan(rudd_session *session)
{
    return session->plan;
}

void rudd_session_destroy(rudd_session *session)
{
    if (!session) return;
    nn_plan_destroy(session->plan);
    rudd_free(session->square);
    rudd_free(session->probabilities);
    rudd_free(session->mean);
    rudd_free(session);
}

void rudd_session_set_raw(rudd_session *session, int raw)
{
    session->temperature = raw ? 0 : session->model->temperature;
}

enum rudd_status data_calibration_check(const rudd_model *model, const char *name, bool raw, bool calibrated,
                                        struct rudd_error *err)
{
    if (raw && calibrated) return rudd_fail(err, RUDD_ARGUMENT, "--raw and --calibrated exclude each other; give one of them");
    if (calibrated && !(model->temperature > 0))
        return rudd_fail(err, RUDD_MISMATCH,
                         "%s: the model holds no temperature, so --calibrated cannot be met; rudd train fits one on "
                         "validation pictures",
                         name);
    return RUDD_OK;
}

/* p = softmax(x / temperature) [count, classes]. */
static void calibrate(float *p, const float *x, double temperature, int count, int classes)
{
    for (int i = 0; i < count; i++, p += classes, x += classes) {
        double max = x[0], sum = 0;
        for (int k = 1; k < classes; k++) max = x[k] > max ? x[k] : max;
        for (int k = 0; k < classes; k++) sum += exp((x[k] - max) / temperature);
        for (int k = 0; k < classes; k++) p[k] = (float)(exp((x[k] - max) / temperature) / sum);
    }
}

enum rudd_status rudd_session_set_views(rudd_session *session, int views, struct rudd_error *err)
{
    if (views < 1 || views > DATA_VIEWS)
        return rudd_fail(err, RUDD_ARGUMENT, "%d views of each picture; 1 to %d are possible", views, DATA_VIEWS);
    session->views = views;
    return RUDD_OK;
}

void rudd_session_cancel(rudd_session *session)
{
    atomic_store(&session->cancelled, true);
}

/* The prediction that reports it has used it up. */
static enum rudd_status check_cancelled(rudd_session *s, struct rudd_error *err)
{
    if (!atomic_load_explicit(&s->cancelled, memory_order_relaxed) || !atomic_exchange(&s->cancelled, false)) return RUDD_OK;
    return rudd_fail(err, RUDD_CANCELLED, "the prediction was cancelled");
}

/* Runs the plan over the count images in its input, and adds the milliseconds it took to *ms. */
static enum rudd_status infer(double *ms, rudd_session *s, int count, struct rudd_error *err)
{
    double started = now_ms();
    s->note[0] = 0;
    const int before = s->threads ? kern_cap_threads(s->threads) : 0;
    nn_plan_forward(s->plan, count);
    if (s->threads) kern_cap_threads(before);
    enum rudd_status status = check_cancelled(s, err);
    if (status) return status;
    if (s->temperature > 0 && s->views == 1)
        calibrate(s->probabilities, nn_plan_logits(s->plan), s->temperature, count, s->model->class_count);
    else
        nn_plan_softmax(s->plan, s->probabilities, count);
    s->averaged = false;
    *ms += now_ms() - started;
    return RUDD_OK;
}

/* Adds the probabilities of count views to the sum; behind the last of them it becomes the session's result. */
static void average(rudd_session *s, int count, bool first, bool last)
{
    const size_t classes = (size_t)s->model->class_count;
    float *sum = s->mean, *logits = s->mean + classes;
    if (first) memset(sum, 0, classes * sizeof *sum);
    for (size_t i = 0; i < (size_t)count; i++)
        for (size_t k = 0; k < classes; k++) sum[k] += s->probabilities[i * classes + k];
    for (size_t k = 0; last && k < classes; k++) {
        float mean = sum[k] / (float)s->views;
        s->probabilities[k] = mean;
        logits[k] = logf(mean < FLT_MIN ? FLT_MIN : mean); /* the least that float32 has; NaN stays */
    }
    if (last && s->temperature > 0) calibrate(s->probabilities, logits, s->temperature, 1, (int)classes);
    s->averaged = last;
}

/* The prepared pixels [S,S,3] become image i of the plan's input. */
static void fill(rudd_session *s, int i, const uint8_t *square)
{
    const struct nn_preprocess *p = &s->model->preprocess;
    const size_t pixels = (size_t)p->image_size * (size_t)p->image_size;
    data_normalise(nn_plan_input(s->plan) + (size_t)i * pixels * 3, square, pixels, p);
}

/* A picture: its pixels, or the file's bytes, which are decoded for each view. */
struct source {
    const struct data_image *image; /* NULL: the bytes */
    const void *bytes;
    size_t length;
    const char *name;
};

static enum rudd_status predict_image(rudd_session *s, const struct source *from, double started, struct rudd_timing *timing,
                                      struct rudd_error *err)
{
    const struct nn_preprocess *p = &s->model->preprocess;
    struct data_reading reading = {0};
    double inferring = 0;
    for (int done = 0; done < s->views;) {
        int n = s->views - done < s->max_batch ? s->views - done : s->max_batch;
        for (int i = 0; i < n; i++) {
            const int view = done + i, size = p->image_size;
            enum rudd_status status = from->image ? data_preprocess_view(s->square, from->image, p, size, view, err)
                                                  : data_preprocess_bytes(s->square, from->bytes, from->length, from->name,
                                                                          &s->limits, p, size, view, &reading, err);
            if (status) return status;
            fill(s, i, s->square);
        }
        enum rudd_status status = infer(&inferring, s, n, err);
        if (status) return status;
        if (s->views > 1) average(s, n, done == 0, done + n == s->views);
        done += n;
    }
    memcpy(s->note, from->image ? from->image->note : reading.note, sizeof s->note);
    if (timing) *timing = (struct rudd_timing){now_ms() - started - inferring, inferring};
    return RUDD_OK;
}

static enum rudd_status predict_encoded(rudd_session *s, const void *bytes, size_t length, const char *name, double started,
                                        struct rudd_timing *timing, struct rudd_error *err)
{
    struct data_image image = {0};
    struct source from = {NULL, bytes, length, name};
    /* One view needs no whole picture: it is resized while it is decoded. Views of a reduced picture see it reduced, too. */
    if (s->views == 1 || s->model->preprocess.reduce > 0) return predict_image(s, &from, started, timing, err);
    from.image = &image;
    enum rudd_status status = data_image_decode(&image, bytes, length, name, &s->limits, err);
    if (!status) status = predict_image(s, &from, started, timing, err);
    data_image_free(&image);
    return status;
}

enum rudd_status rudd_predict_bytes(rudd_session *session, const void *bytes, size_t length, struct rudd_timing *timing,
                                    struct rudd_error *err)
{
    return predict_encoded(session, bytes, length, "image", now_ms(), timing, err);
}

enum rudd_status data_session_predict(rudd_session *session, const void *bytes, size_t length, const char *name,
                                      struct rudd_timing *timing, struct rudd_error *err)
{
    return predict_encoded(session, bytes, length, name, now_ms(), timing, err);
}

enum rudd_status rudd_predict_file(rudd_session *session, const char *path, struct rudd_timing *timing, struct rudd_error *err)
{
    double started = now_ms();
    uint8_t *bytes = NULL;
    size_t length;
    enum rudd_status status = data_image_load(&bytes, &length, path, &session->limits, err);
    if (!status) status = predict_encoded(session, bytes, length, path, started, timing, err);
    rudd_free(bytes);
    return status;
}

enum rudd_status rudd_predict_rgb(rudd_session *session, const uint8_t *rgb, int w, int h, struct rudd_timing *timing,
                                  struct rudd_error *err)
{
    return rudd_predict_pixels(session, &(struct rudd_pixels){rgb, w, h, 0, RUDD_RGB}, timing, err);
}

enum rudd_status rudd_predict_pixels(rudd_session *session, const struct rudd_pixels *pixels, struct rudd_timing *timing,
                                     struct rudd_error *err)
{
    const double started = now_ms();
    struct data_image image;
    uint8_t *made;
    enum rudd_status status = data_pixels_rgb(&image, &made, pixels, err);
    if (status) return status;
    status = predict_image(session, &(struct source){.image = &image}, started, timing, err);
    rudd_free(made);
    return status;
}

enum rudd_status rudd_prepare_rgb(uint8_t *out, const rudd_model *model, const uint8_t *rgb, int w, int h,
                                  struct rudd_error *err)
{
    if (w < 1 || h < 1) return rudd_fail(err, RUDD_ARGUMENT, "a picture of %d x %d pixels", w, h);
    const struct data_image image = {w, h, (uint8_t *)rgb}; /* read only */
    return data_preprocess(out, &image, &model->preprocess, model->preprocess.image_size, err);
}

enum rudd_status rudd_predict_prepared(rudd_session *session, const uint8_t *const *pictures, int count,
                                       struct rudd_timing *timing, struct rudd_error *err)
{
    if (count < 1 || count > session->max_batch)
        return rudd_fail(err, RUDD_ARGUMENT, "%d pictures; this session takes 1 to %d", count, session->max_batch);
    if (session->views != 1)
        return rudd_fail(err, RUDD_ARGUMENT, "prepared pictures have one view; this session averages %d", session->views);
    double started = now_ms();
    for (int i = 0; i < count; i++) fill(session, i, pictures[i]);
    double filled = now_ms(), inferring = 0;
    enum rudd_status status = infer(&inferring, session, count, err);
    if (timing && !status) *timing = (struct rudd_timing){filled - started, inferring};
    return status;
}

enum rudd_status rudd_predict_tensor(rudd_session *session, const float *nchw, int count, struct rudd_timing *timing,
                                     struct rudd_error *err)
{
    if (count < 1 || count > session->max_batch)
        return rudd_fail(err, RUDD_ARGUMENT, "%d images; this session takes 1 to %d", count, session->max_batch);
    double started = now_ms();
    size_t plane = (size_t)session->model->preprocess.image_size * (size_t)session->model->preprocess.image_size;
    float *nhwc = nn_plan_input(session->plan);
    for (size_t n = 0; n < (size_t)count; n++)
        for (size_t i = 0; i < plane; i++)
            for (size_t c = 0; c < 3; c++) nhwc[(n * plane + i) * 3 + c] = nchw[(n * 3 + c) * plane + i];
    double decoded = now_ms(), inferring = 0;
    enum rudd_status status = infer(&inferring, session, count, err);
    if (timing && !status) *timing = (struct rudd_timing){decoded - started, inferring};
    return status;
}

const float *rudd_session_logits(const rudd_session *session)
{
    return session->averaged ? session->mean + session->model->class_count : nn_plan_logits(session->plan);
}

const float *rudd_session_embed(const rudd_session *session)
{
    return session->views > 1 ? NULL : nn_plan_features(session->plan);
}

const float *rudd_session_probabilities(const rudd_session *session)
{
    return session->probabilities;
}

int rudd_top_k(struct rudd_top *top, int k, const float *probabilities, int classes)
{
    int n = 0;
    for (int i = 0; i < classes; i++) {
        int at = n;
        while (at > 0 && top[at - 1].probability < probabilities[i]) at--;
        if (at >= k) continue;
        if (n < k) n++;
        memmove(top + at + 1, top + at, (size_t)(n - 1 - at) * sizeof *top);
        top[at] = (struct rudd_top){i, probabilities[i]};
    }
    return n;
}

void rudd_set_threads(int n)
{
    kern_set_threads(n);
}
