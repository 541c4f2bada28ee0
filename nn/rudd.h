/* rudd.h - the public interface for programs that embed rudd: open a model file, predict, close.
 *
 *     struct rudd_error err;
 *     rudd_model *m;  rudd_session *s;  struct rudd_top top[3];
 *     if (rudd_model_open(&m, "fish.safetensors", &err) || rudd_session_create(&s, m, 1, &err)) ...err.message...
 *     if (rudd_predict_bytes(s, jpeg, jpeg_len, NULL, &err)) ...
 *     rudd_top_k(top, 3, rudd_session_probabilities(s), rudd_model_class_count(m));
 *
 * Rules: functions that can fail return a status and fill a caller-owned error (err may be NULL); on failure the caller's
 * objects are unchanged. Nothing here prints, exits or aborts. A model is read-only after opening and may serve many sessions
 * in many threads; a session belongs to one thread at a time. */
#ifndef RUDD_H
#define RUDD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The header's version; the number is 10000 major + 100 minor + patch. */
#define RUDD_VERSION "0.1.0"
#define RUDD_VERSION_NUMBER 100
/* The library's: another one than the header's when a newer librudd.so was installed. */
const char *rudd_version(void);
int rudd_version_number(void);

enum rudd_status {
    RUDD_OK,
    RUDD_NO_MEMORY, /* an allocation failed */
    RUDD_IO,        /* the operating system refused: open, read, write, rename */
    RUDD_FORMAT,    /* foreign bytes break their format */
    RUDD_MISMATCH,  /* well-formed, but not what this model or data set needs */
    RUDD_LIMIT,     /* larger than an agreed limit (pixels, bytes, classes, memory) */
    RUDD_ARGUMENT,  /* an option or argument has no meaning here */
    RUDD_CANCELLED  /* stopped on request */
};

/* What went wrong: where, what was found, what was expected, what to do; one line, always terminated. */
struct rudd_error {
    enum rudd_status status;
    char message[2000];
};

#if defined(__GNUC__)
#define RUDD_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define RUDD_PRINTF(format_index, first)
#endif

/* Fills err (if not NULL) and returns status, so that a failing function can end with `return rudd_fail(err, ...)`. */
enum rudd_status rudd_fail(struct rudd_error *err, enum rudd_status status, const char *format, ...) RUDD_PRINTF(3, 4);
const char *rudd_status_name(enum rudd_status status); /* "ok", "no_memory", "io", ... */

/* ---- memory: one hook for every allocation of the library -------------------------------------------------------------------
 */

/* Blocks are aligned to 64 bytes. rudd_alloc(0) gives a valid pointer. Callers check for NULL and report RUDD_NO_MEMORY. */
void *rudd_alloc(size_t bytes);
void *rudd_zalloc(size_t count, size_t size);  /* zeroed; NULL when count*size overflows */
void *rudd_realloc(void *block, size_t bytes); /* keeps the contents; NULL leaves block as it was */
char *rudd_strdup(const char *s);
void rudd_free(void *block); /* NULL is fine */

/* Called before each allocation with the bytes asked for; returning 0 makes it fail. For embedders' budgets and for tests that
 * fail the N-th allocation. NULL: allow all. Not to be changed while another thread allocates. */
void rudd_set_alloc_hook(int (*allow)(void *user, size_t bytes), void *user);

/* ---- models and predictions -------------------------------------------------------------------------------------- */

typedef struct nn_model rudd_model;
typedef struct rudd_session rudd_session;

/* Opens a native model file (safetensors with rudd.* metadata, or timm's own with a recognised architecture). Everything is checked but
 * the weights are not read yet: the first session does that, and the file stays open until then. */
enum rudd_status rudd_model_open(rudd_model **model, const char *path, struct rudd_error *err);
/* The same of a file's contents in memory, which stay unchanged there until rudd_model_close. */
enum rudd_status rudd_model_open_bytes(rudd_model **model, const void *bytes, size_t length, struct rudd_error *err);
void rudd_model_close(rudd_model *model);
int rudd_model_class_count(const rudd_model *model);
const char *rudd_model_class_name(const rudd_model *model, int index);
/* What people call a class in a language: NULL where the model does not say, or for a wrong index. */
enum rudd_words { RUDD_LATIN, RUDD_ENGLISH, RUDD_RUSSIAN };
const char *rudd_model_class_words(const rudd_model *model, int index, enum rudd_words words);
const char *rudd_model_arch(const rudd_model *model);
double rudd_model_temperature(const rudd_model *model); /* 0: it holds none */
int rudd_model_image_size(const rudd_model *model);

/* A session owns the plan and its one block of memory for up to max_batch images at a time. The weights are the model's, once for all
 * its sessions: RUDD_IO when its file became shorter before the first one. The model must outlive it. */
enum rudd_status rudd_session_create(rudd_session **session, const rudd_model *model, int max_batch, struct rudd_error *err);
/* The same with more to say. size: sizeof(struct rudd_session_options), by which a library knows how
 * old the caller's struct is; what is 0 stands for what rudd_session_create does. */
struct rudd_session_options {
    size_t size;
    int max_batch;       /* 0: 1 */
    int threads;         /* of those of the process (rudd_set_threads), at most so many for this session; 0: all.
                          * Results do not depend on it */
    size_t memory_limit; /* bytes for its block and the prepared weights; 0: none. RUDD_LIMIT where they need more */
};
enum rudd_status rudd_session_create_with(rudd_session **session, const rudd_model *model,
                                          const struct rudd_session_options *options, struct rudd_error *err);
void rudd_session_destroy(rudd_session *session);

/* Ends the prediction that the session is making, or else the next one, with RUDD_CANCELLED; a
 * network stops before its next layer. The session then serves again. The only function that another
 * thread may call while the session is used. */
void rudd_session_cancel(rudd_session *session);

/* A session's probabilities are softmax(logits / the model's temperature): calibrated, so that of
 * answers given at 0.9 about nine in ten are right. raw not 0: from now on they are softmax(logits), as
 * they are for a model without a temperature (trained without validation pictures, or imported). */
void rudd_session_set_raw(rudd_session *session, int raw);

/* From now on a picture's logits are the logarithms of the mean of softmax(logits) over this many views of it: 1 as it is (at first), 2
 * with its mirror, 6 with the four corners too, 10 with their mirrors; somewhat more accurate, at as many times the price. Tensors are
 * taken as they are. RUDD_ARGUMENT unless views is 1..10. */
enum rudd_status rudd_session_set_views(rudd_session *session, int views, struct rudd_error *err);

/* Milliseconds that one prediction spent on decoding + resizing, and on the network. */
struct rudd_timing {
    double decode_ms, infer_ms;
};
/* One picture file (JPEG, PNG, and what else was built in) in memory, or on disk, or w*h*3 bytes of
 * RGB. timing may be NULL. Afterwards the session holds the results. */
enum rudd_status rudd_predict_bytes(rudd_session *session, const void *bytes, size_t length, struct rudd_timing *timing,
                                    struct rudd_error *err);
enum rudd_status rudd_predict_file(rudd_session *session, const char *path, struct rudd_timing *timing, struct rudd_error *err);
enum rudd_status rudd_predict_rgb(rudd_session *session, const uint8_t *rgb, int w, int h, struct rudd_timing *timing,
                                  struct rudd_error *err);
/* The same of pixels in another order, or with bytes between rows. Grey counts three times; alpha is
 * left out. */
enum rudd_order { RUDD_RGB, RUDD_BGR, RUDD_RGBA, RUDD_BGRA, RUDD_GRAY };
struct rudd_pixels {
    const void *data; /* the upper left pixel, 8 bits a channel */
    int width, height;
    ptrdiff_t stride; /* bytes from a row to the one below it; 0: rows without a gap; negative: they lie bottom up */
    enum rudd_order order;
};
enum rudd_status rudd_predict_pixels(rudd_session *session, const struct rudd_pixels *pixels, struct rudd_timing *timing,
                                     struct rudd_error *err);
/* count <= max_batch normalised images [count,3,h,w], h = w = the image size: straight into the network. */
enum rudd_status rudd_predict_tensor(rudd_session *session, const float *nchw, int count, struct rudd_timing *timing,
                                     struct rudd_error *err);

/* The same in two halves, so that some threads prepare pictures while others run the network over several at once.
 * First half: out [S,S,3], S = rudd_model_image_size, gets the picture resized and cropped as the model wants it. Any thread. */
enum rudd_status rudd_prepare_rgb(uint8_t *out, const rudd_model *model, const uint8_t *rgb, int w, int h,
                                  struct rudd_error *err);
/* Second half: count <= max_batch prepared pictures, one view of each; the results are those of predicting them one by one. Allocates
 * nothing. RUDD_ARGUMENT for other counts, and for a session of several views. */
enum rudd_status rudd_predict_prepared(rudd_session *session, const uint8_t *const *pictures, int count,
                                       struct rudd_timing *timing, struct rudd_error *err);

/* Results of the last prediction, [count, classes]; valid until the next one. */
const float *rudd_session_logits(const rudd_session *session);
const float *rudd_session_probabilities(const rudd_session *session);
/* Features of the last prediction, [count, rudd_model_feature_count]: what the classifier (its hidden
 * layer, if it has one) was given, the pooled output of the network. Pictures that look alike have
 * features in like directions. NULL for a session of several views. Valid until the next one. */
const float *rudd_session_embed(const rudd_session *session);
int rudd_model_feature_count(const rudd_model *model);

struct rudd_top {
    int index;
    float probability;
};
/* The k <= classes largest of probabilities [classes], largest first, ties by lower index. Returns how many were written. */
int rudd_top_k(struct rudd_top *top, int k, const float *probabilities, int classes);

/* Threads for all sessions of the process; n <= 0: one for each processor that this process may use. */
void rudd_set_threads(int n);

#ifdef __cplusplus
}
#endif

#endif
