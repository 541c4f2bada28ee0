/* main.c - the program `rudd-serve`: options, signals, exit status (0 done, 1 failed, 2 wrong usage).
 *
 * The main thread only waits for signals. The first SIGTERM or SIGINT drains: what began is answered, then the program ends
 * with 0. A second one ends it at once. */
#include "data/libraries.h"
#include "data/session.h"
#include "data/store/where.h"
#include "kernels/kern.h"
#include "nn/options.h"
#include "serve/keys.h"
#include "serve/engine.h"
#include "serve/libraries.h"
#include "serve/server.h"
#include "weights/hub/libraries.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct settings {
    struct serve_options server;
    double drain_s;
    const char *new_key, *hash_key; /* NAME:ROLES */
    bool version;
};

#define COUNT(rows) ((int)(sizeof(rows) / sizeof *(rows)))

static enum rudd_status print_line(const char *who, const char *key, struct rudd_error *err)
{
    char line[SERVE_KEY_LINE];
    enum rudd_status status = serve_keys_line(line, who, key, err);
    if (!status) puts(line);
    return status;
}

/* The key goes to stderr, so that `--new-key phone:predict >> keys` leaves only its hash in a file. */
static enum rudd_status make_key(const char *who, struct rudd_error *err)
{
    char key[SERVE_KEY_MAX];
    enum rudd_status status = serve_keys_draw(key, err);
    if (!status) status = print_line(who, key, err);
    if (!status) fprintf(stderr, "%s\n", key);
    return status;
}

static enum rudd_status hash_key(const char *who, struct rudd_error *err)
{
    char key[SERVE_KEY_MAX + 2] = "";
    if (!fgets(key, sizeof key, stdin))
        return rudd_fail(err, RUDD_ARGUMENT, "--hash-key: expected a key on the first line of stdin");
    key[strcspn(key, "\r\n")] = 0;
    return print_line(who, key, err);
}

static enum rudd_status print_version(struct rudd_error *err)
{
    static const struct nn_build_library *const libraries[] = {data_libraries, weights_hub_libraries, serve_libraries, NULL};
    char *text = nn_build_print("rudd-serve", libraries);
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for the version's page");
    fputs(text, stdout);
    rudd_free(text);
    return RUDD_OK;
}

/* *done: help or the version was printed. */
static enum rudd_status parse(struct settings *s, struct nn_options *options, bool *done, int argc, char **argv,
                              struct rudd_error *err)
{
    enum rudd_status status = nn_options_parse(options, argc, argv, err);
    *done = options->help || s->version || s->new_key || s->hash_key;
    if (!status && options->help) {
        fputs(options->help, stdout);
    } else if (s->version) {
        status = print_version(err);
    } else if (!status && (s->new_key || s->hash_key)) {
        status = s->new_key ? make_key(s->new_key, err) : hash_key(s->hash_key, err);
    } else if (!status && !s->server.models.count && !s->server.models_folder) {
        status = rudd_fail(err, RUDD_ARGUMENT, "no model given; say --model FILE (rudd train writes RUN/model.safetensors)");
    }
    return status;
}

static void say(const char *line)
{
    fprintf(stderr, "rudd-serve: %s\n", line);
}

static enum rudd_status serve(const struct settings *s, struct rudd_error *err)
{
    struct serve_server *server = NULL;
    sigset_t signals;
    int which;
    /* Blocked before any thread starts, so that only sigwait below receives them. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    umask(umask(077) | 027); /* pictures and what people say of them are not for every user of the machine */

    struct serve_options o = s->server;
    o.say = say;
    rudd_set_threads(0);
    o.processors = kern_threads();
    if (serve_engine_fit(&o.workers, &o.threads, o.processors))
        fprintf(stderr, "rudd-serve: --workers %d x --threads %d are more than the %d processors here; taking %d x %d\n",
                s->server.workers, s->server.threads, o.processors, o.workers, o.threads);
    if (o.threads) rudd_set_threads(o.threads);
    enum rudd_status status = serve_server_create(&server, &o, err);
    if (!status) status = serve_server_load(server, err);
    if (!status) {
        if (*serve_server_warning(server)) fprintf(stderr, "rudd-serve: %s\n", serve_server_warning(server));
        printf("rudd-serve: listening on %s\n", serve_server_url(server));
        fflush(stdout);
        while (!sigwait(&signals, &which) && which == SIGHUP) serve_server_hangup(server);
        pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
        serve_server_drain(server, s->drain_s);
    }
    serve_server_destroy(server);
    return status;
}

int main(int argc, char **argv)
{
    struct settings s = {.server = serve_options_default, .drain_s = 10};
    struct serve_options *o = &s.server;
    const struct nn_option rows[] = {
        NN_OPTION_HEADING("Models and address"),
        {"model|m", NN_OPTION_STRINGS, &o->models, "FILE", 0, 0,
         "model file that answers; give it again for more versions, which clients choose by "
         "X-Model-Version",
         NN_COMMON},
        {"models", NN_OPTION_STRING, &o->models_folder, "DIR", 0, 0, "folder of model files, all of them", NN_COMMON},
        {"watch-ms", NN_OPTION_INT, &o->watch_ms, "N", 0, 3600000,
         "milliseconds between checks whether a model file has changed; 0: only on SIGHUP"},
        {"listen", NN_OPTION_STRING, &o->listen, "HOST:PORT", 0, 0, "address and port to listen on; port 0: any free port",
         NN_COMMON},
        NN_OPTION_HEADING("Threads, batches and memory"),
        NN_OPTION_THREADS(&o->threads, "threads of one run of the network, of those that no "
                                       "other run uses"),
        {"workers", NN_OPTION_INT, &o->workers, "N", 0, KERN_THREADS_MAX,
         "runs of the network at a time, each with its own memory; 0: one for each processor, at "
         "most 4"},
        NN_OPTION_MEMORY(&o->memory_limit, "most memory for the network of a model"),
        {"decoders", NN_OPTION_INT, &o->decoders, "N", 1, 64, "threads that decode and resize pictures"},
        {"max-batch", NN_OPTION_INT, &o->max_batch, "N", 0, 256,
         "pictures in one run of the network; 0: 4 if that is faster on this machine, else 1"},
        {"max-delay-us", NN_OPTION_INT, &o->max_delay_us, "N", 0, 1000000,
         "microseconds that a picture waits for others that are being decoded, to share a run"},
        {"deadline-ms", NN_OPTION_INT, &o->deadline_ms, "N", 0, 3600000, "longest wait before the answer is 503; 0: no limit"},
        {"queue", NN_OPTION_INT, &o->queue, "N", 1, 100000,
         "pictures that may wait to be decoded; further ones are answered with 503"},
        NN_OPTION_HEADING("Limits"),
        {"io-threads", NN_OPTION_INT, &o->io_threads, "N", 1, 64, "threads that read requests and write answers"},
        {"connections", NN_OPTION_INT, &o->connections, "N", 64, 100000, "most connections at a time"},
        {"max-body", NN_OPTION_BYTES, &o->max_body, "BYTES", 1024, 1 << 30, "largest request body"},
        {"max-megapixels", NN_OPTION_DOUBLE, &o->max_megapixels, "X", 0.0001, 10000, "largest picture, in millions of pixels"},
        DATA_OPTION_TRUNCATED(&o->truncated),
        {"timeout", NN_OPTION_INT, &o->timeout_s, "SECONDS", 1, 3600,
         "seconds for a request to arrive, and for a connection to be idle"},
        {"drain-seconds", NN_OPTION_DOUBLE, &s.drain_s, "X", 0, 3600,
         "seconds after SIGTERM to finish the answers that were begun"},
        NN_OPTION_HEADING("Cache of predictions"),
        {"cache-entries", NN_OPTION_INT, &o->cache.entries, "N", 0, 10000000, "predictions to keep in memory; 0: none"},
        {"cache-bytes", NN_OPTION_BYTES, &o->cache.bytes, "BYTES", 0, 0, "memory for these predictions"},
        {"cache", NN_OPTION_STRING, &o->cache.redis, "URL", 0, 0,
         "also keep predictions in Redis, redis://HOST:PORT/DB. Its password: "
         "RUDD_REDIS_PASSWORD in the environment, or --cache-password-file",
         NN_COMMON},
        {"cache-password-file", NN_OPTION_STRING, &o->cache.password_file, "FILE", 0, 0,
         "file with the password for Redis in its first line"},
        {"cache-ttl", NN_OPTION_INT, &o->cache.ttl_s, "SECONDS", 1, 31536000, "seconds to keep a prediction in Redis"},
        NN_OPTION_HEADING("Pictures by URL"),
        {"fetch-allow", NN_OPTION_STRING, &o->fetch.allow, "HOSTS", 0, 0,
         "hosts from which pictures of a batch may be fetched, with commas between"},
        {"fetch-seconds", NN_OPTION_INT, &o->fetch.seconds, "N", 1, 300, "seconds for fetching one picture"},
        NN_OPTION_HEADING("Log and answers"),
        {"access-log", NN_OPTION_STRING, &o->access_log, "FILE", 0, 0,
         "write a line of JSON for each request; -: to standard output", NN_COMMON},
        {"name", NN_OPTION_STRING, &o->name, "NAME", 0, 0, "name of the model in answers; without it, the file's name"},
        DATA_OPTION_RAW(&o->raw),
        DATA_OPTION_CALIBRATED(&o->calibrated),
        NN_OPTION_HEADING("Access"),
        {"keys", NN_OPTION_STRING, &o->guard.keys, "FILE", 0, 0,
         "file of keys that may ask: name, roles and hash in each line; read again when it changes", NN_COMMON},
        {"rate-limit", NN_OPTION_DOUBLE, &o->guard.rate, "X", 0, 1e6,
         "requests in a second for each key, or for each address without a key; 0: no limit"},
        {"rate-burst", NN_OPTION_DOUBLE, &o->guard.burst, "X", 1, 1e6, "requests at once before --rate-limit counts"},
        {"cors", NN_OPTION_STRING, &o->guard.cors, "ORIGINS", 0, 0,
         "other sites whose pages may ask, with commas between; *: all"},
        {"tls-cert", NN_OPTION_STRING, &o->tls_certificate, "FILE", 0, 0,
         "PEM file with the certificate and its chain: the server speaks HTTPS", NN_COMMON},
        {"tls-key", NN_OPTION_STRING, &o->tls_key, "FILE", 0, 0, "PEM file with the private key of the certificate", NN_COMMON},
        {"insecure-open", NN_OPTION_FLAG, &o->guard.insecure_open, NULL, 0, 0,
         "listen beyond this machine although there are no --keys"},
        {"new-key", NN_OPTION_STRING, &s.new_key, "NAME:ROLES", 0, 0,
         "print a new key (to stderr) and its line for --keys (to stdout), and end"},
        {"hash-key", NN_OPTION_STRING, &s.hash_key, "NAME:ROLES", 0, 0,
         "print the line for a key that is read from stdin, and end"},
        NN_OPTION_HEADING("Store of predictions and feedback"),
        {"store", NN_OPTION_STRING, &o->record.store, "WHERE", 0, 0,
         "where to keep predictions and feedback: an SQLite file (" DATA_STORE_FILE
         "), postgresql://USER@HOST/DATABASE, or none",
         NN_COMMON},
        {"store-file", NN_OPTION_STRING, &o->record.file, "FILE", 0, 0,
         "file with the URL of the store, for a URL with a password"},
        {"store-days", NN_OPTION_INT, &o->record.keep_days, "N", 0, 36500,
         "days to keep predictions without feedback and finished batches; 0: for ever"},
        {"spool", NN_OPTION_STRING, &o->record.spool, "FILE", 0, 0, "file where rows wait while the store cannot be reached"},
        {"spool-max", NN_OPTION_BYTES, &o->record.spool_max, "BYTES", 65536, 0, "largest size of the spool"},
        {"keep-images", NN_OPTION_STRING, &o->record.images, "DIR", 0, 0,
         "keep the pictures there, named by their hash; without it, they are not kept"},
        {"keep-images-days", NN_OPTION_INT, &o->record.images_days, "N", 0, 36500,
         "delete pictures that were last sent more days ago; 0: never"},
        NN_OPTION_HEADING("Other"),
        {"config", NN_OPTION_CONFIG, NULL, "FILE", 0, 0, "read options from a file of name = value lines", NN_COMMON},
        {"version", NN_OPTION_FLAG, &s.version, NULL, 0, 0, "print version, commit, processor and libraries, and end"},
    };
    static const struct nn_example examples[] = {
        {"try it on this machine: open http://127.0.0.1:8080/", "rudd-serve --model runs/1/model.safetensors"},
        {"ask it", "curl -F file=@photo.jpg http://127.0.0.1:8080/predict"},
        {"for other machines: a key for each client, and HTTPS", "rudd-serve --new-key phone:predict >> keys"},
        {"then", "rudd-serve -m m.safetensors --listen 0.0.0.0:8443 --keys keys --tls-cert c --tls-key k"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd-serve --model FILE [--listen HOST:PORT]",
                                 .about = "Answers over HTTP what is on a picture. The page at / "
                                          "lets you try it; /docs describes all requests.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = COUNT(rows)};
    struct rudd_error err = {RUDD_OK, ""};
    bool done = false;
    enum rudd_status status = parse(&s, &options, &done, argc, argv, &err);
    if (!status && !done) status = serve(&s, &err);
    nn_options_free(&options);
    if (!status) return 0;
    fprintf(stderr, "rudd: %s\n", err.message);
    return status == RUDD_ARGUMENT ? 2 : 1;
}
