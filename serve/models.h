/* models.h - the versions of the model that answer, and how they change while they do.
 *
 *     --model FILE ... / --models DIR --load, warm up, golden answer--> served versions --get--> a request's own model --put-->
 *
 * A file that changes is loaded beside the version that serves. Only when it computes what it says it should (weights/golden.h) does it
 * take its place, at once for all requests that begin; those that began keep theirs, and the last one frees it. What cannot be loaded
 * changes nothing: the version before it goes on. Loading happens on a thread of the registry, which looks at the files every second
 * and when it is asked. */
#ifndef SERVE_MODELS_H
#define SERVE_MODELS_H

#include "nn/model.h"
#include "serve/engine.h"

enum { SERVE_VERSION = 65, SERVE_MODELS_MAX = 32 };

/* One loaded version; fixed. */
struct serve_model {
    rudd_model *model;
    char *name;                  /* as users know it: --name, or the file's name without its ending */
    char *file;                  /* the file's name without its ending: another way to choose it */
    char version[SERVE_VERSION]; /* the run it came from, or the first 12 digits of the file's SHA-256 */
    bool golden;                 /* it was checked against its file's golden answer; false: the file has none */
    struct serve_net net;
    int references; /* the registry's own: requests, and 1 while it is served */
};

/* What became of a file or a version; line is for the log, without a line end; NULL: nothing to log. Called on the
 * thread that loads, with nothing locked. model is NULL for a file that never was one. */
enum serve_model_event { SERVE_MODEL_LOADED, SERVE_MODEL_FAILED, SERVE_MODEL_RETIRED };
typedef void serve_model_news(void *user, enum serve_model_event event, const struct serve_model *model, const char *line);

struct serve_models_options {
    const char *const *paths; /* the first is the one that answers when nobody chooses */
    int path_count;
    const char *folder;   /* its *.safetensors, by name, behind paths; may be NULL */
    const char *name;     /* for all of them; NULL: each its file's */
    bool raw, calibrated; /* see DATA_OPTION_RAW, DATA_OPTION_CALIBRATED */
    int workers;          /* of the engine */
    int share;            /* processors of a run when all workers run */
    int max_batch;        /* pictures in one run; 0: what pays (serve_net_choose_batch) */
    size_t
        memory_limit; /* for prepared weights and sessions of a version, NN_BYTES_AUTO: what is left (nn/budget.h); 0: none */
    int watch_ms;     /* between two looks at the files; 0: never */
    serve_model_news *news; /* may be NULL */
    void *user;
};

struct serve_models;
/* Loads all, or fails: a server starts with what it was told to serve or not at all. */
enum rudd_status serve_models_create(struct serve_models **models, const struct serve_models_options *options,
                                     struct rudd_error *err);
/* Ends the thread; whoever waits for a reload hears that nothing was loaded. Again is fine; not from two threads at a time. */
void serve_models_stop(struct serve_models *models);
/* Every model that was got must have been put, and the engine be gone. NULL is fine. */
void serve_models_destroy(struct serve_models *models);

/* The model of that version, or of that file's name; NULL or "": the default. It stays until it is put. NULL: there is none. Thread-safe. */
const struct serve_model *serve_models_get(struct serve_models *models, const char *version);
void serve_models_put(struct serve_models *models, const struct serve_model *model); /* NULL is fine. Thread-safe. */
/* All that are served, the default first, each to be put; returns how many. Thread-safe. */
int serve_models_all(const struct serve_model *all[SERVE_MODELS_MAX], struct serve_models *models);

/* Somebody who asked for a reload. */
struct serve_reload {
    void (*done)(struct serve_reload *reload); /* on the registry's thread; must not wait */
    void *user;
    int loaded, failed;    /* filled: files */
    struct rudd_error err; /* of the first that failed */
    struct serve_reload *next;
};
/* Loads every file again, changed or not; reload NULL: nobody waits. done is called in any case. Thread-safe. */
void serve_models_reload(struct serve_models *models, struct serve_reload *reload);

#endif
