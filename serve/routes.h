/* routes.h - inside the server: its state, and the callbacks through which libmicrohttpd reaches the routes. */
#ifndef SERVE_ROUTES_H
#define SERVE_ROUTES_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include "serve/access_log.h"
#include "serve/ask.h"
#include "serve/batch.h"
#include "serve/cache.h"
#include "serve/engine.h"
#include "serve/guard.h"
#include "serve/metrics.h"
#include "serve/page.h"
#include "serve/models.h"
#include "serve/respond.h"
#include "serve/server.h"
#include "serve/store_record.h"
#include "serve/tls.h"
#include "serve/watch.h"

struct serve_server {
    struct serve_options options;
    struct MHD_Daemon *daemon;
    struct serve_metrics *metrics;
    struct serve_log *log; /* NULL: none is kept */
    struct serve_cache *cache;
    struct serve_asks *asks;
    struct serve_guard *guard;
    struct serve_record record;
    struct serve_files *files;   /* that are watched */
    struct serve_tls *tls;       /* NULL: plain HTTP */
    struct serve_watch *watch;   /* connections whose next request has not arrived whole */
    struct serve_engine *engine; /* this and models: set once, before state becomes SERVE_READY */
    struct serve_models *models;
    struct serve_batch *batch;     /* the same */
    struct serve_fetcher *fetcher; /* NULL: nothing is fetched */
    atomic_int state;              /* enum serve_state */
    char url[320], csp[SERVE_CSP], docs_csp[SERVE_CSP];
    double started_ms, start_time; /* monotonic; seconds since 1970 */
    pthread_mutex_t mutex;
    pthread_cond_t idle; /* in_flight became 0 */
    int in_flight;       /* requests between their first header and the last byte of their answer */
};

/* MHD_AccessHandlerCallback and MHD_RequestCompletedCallback; user is the struct serve_server. */
enum MHD_Result serve_handle(void *user, struct MHD_Connection *connection, const char *path, const char *method,
                             const char *version, const char *data, size_t *size, void **slot);
void serve_completed(void *user, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode why);
/* MHD_NotifyConnectionCallback */
void serve_connected(void *user, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode what);
/* Of server->watch: answers 408 and closes. */
void serve_expired(struct serve_deadline *deadline);

#endif
