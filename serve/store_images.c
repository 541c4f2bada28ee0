/* store_images.c - see store_images.h. */
#include "serve/store_images.h"
#include "weights/replace.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAITING_BYTES = 64 << 20, HASH = 65 };

struct picture {
    struct picture *next;
    char hash[HASH];
    struct serve_bytes bytes;
};

struct serve_images {
    char *folder;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct picture *first, **last;
    size_t waiting; /* bytes */
    bool stopping, running;
    struct serve_images_stats stats;
    pthread_t thread;
};

/* One file. */
static uint64_t *write_picture(struct serve_images *s, const struct picture *p)
{
    char path[4096];
    const char *ending = p->bytes.data[0] == 0xff ? "jpg" : "png";
    int n = snprintf(path, sizeof path, "%s/%.2s", s->folder, p->hash);
    if (n < 0 || (size_t)n + HASH + 8 > sizeof path) return &s->stats.failed;
    if (mkdir(path, 0777) && errno != EEXIST) return &s->stats.failed;
    snprintf(path + n, sizeof path - (size_t)n, "/%s.%s", p->hash, ending);
    if (!access(path, F_OK)) return &s->stats.known;
    return weights_write_bytes(path, p->bytes.data, p->bytes.length, NULL) ? &s->stats.failed : &s->stats.kept;
}

static void *write_all(void *arg)
{
    struct serve_images *s = arg;
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        while (!s->first && !s->stopping) pthread_cond_wait(&s->changed, &s->mutex);
        struct picture *p = s->first;
        if (!p) break;
        s->first = p->next;
        if (!s->first) s->last = &s->first;
        pthread_mutex_unlock(&s->mutex);
        uint64_t *figure = write_picture(s, p);
        pthread_mutex_lock(&s->mutex);
        ++*figure;
        s->waiting -= p->bytes.length;
        rudd_free(p->bytes.data);
        rudd_free(p);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

enum rudd_status serve_images_create(struct serve_images **images, const char *folder, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    if (mkdir(folder, 0777) && errno != EEXIST)
        return rudd_fail(err, RUDD_IO, "--keep-images %.300s: cannot be made: %s", folder, strerror(errno));
    if (access(folder, W_OK | X_OK))
        return rudd_fail(err, RUDD_IO, "--keep-images %.300s: cannot be written: %s", folder, strerror(errno));
    struct serve_images *s = rudd_zalloc(1, sizeof *s);
    if (s) s->folder = rudd_strdup(folder);
    if (!s || !s->folder) {
        rudd_free(s);
        return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for --keep-images");
    }
    s->last = &s->first;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (pthread_create(&s->thread, NULL, write_all, s))
        status = rudd_fail(err, RUDD_IO, "the system starts no thread for --keep-images");
    s->running = !status;
    if (status)
        serve_images_destroy(s);
    else
        *images = s;
    return status;
}

void serve_images_destroy(struct serve_images *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    if (s->running) pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    rudd_free(s->folder);
    rudd_free(s);
}

void serve_images_keep(struct serve_images *s, const char *hash, struct serve_bytes *bytes)
{
    struct picture *p = rudd_zalloc(1, sizeof *p);
    pthread_mutex_lock(&s->mutex);
    if (p && bytes->length && s->waiting + bytes->length <= WAITING_BYTES) {
        snprintf(p->hash, sizeof p->hash, "%s", hash);
        p->bytes = *bytes;
        *bytes = (struct serve_bytes){0};
        *s->last = p;
        s->last = &p->next;
        s->waiting += p->bytes.length;
        pthread_cond_signal(&s->changed);
        p = NULL;
    } else {
        s->stats.dropped++;
    }
    pthread_mutex_unlock(&s->mutex);
    rudd_free(p);
}

void serve_images_get_stats(struct serve_images_stats *stats, struct serve_images *s)
{
    pthread_mutex_lock(&s->mutex);
    *stats = s->stats;
    pthread_mutex_unlock(&s->mutex);
}
