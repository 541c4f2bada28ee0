/* files.c - see files.h. */
#include "serve/files.h"
#include "serve/clock.h"
#include <errno.h>
#include <sys/stat.h>

enum { FILES = 4, PERIOD_MS = 1000 };

struct file {
    const char *path;
    struct serve_stamp seen;
    void (*changed)(void *user);
    void *user;
};

struct serve_files {
    pthread_mutex_t mutex; /* of what follows; held while files are looked at and read, so that one can be removed for good */
    pthread_cond_t stop;
    struct file files[FILES];
    int count;
    bool stopping, running;
    pthread_t thread;
};

struct serve_stamp serve_stamp_of(const char *path)
{
    struct stat st;
    if (stat(path, &st)) return (struct serve_stamp){0};
    return (struct serve_stamp){(uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size, st.st_mtim.tv_sec,
                                st.st_mtim.tv_nsec};
}

bool serve_stamp_same(const struct serve_stamp *a, const struct serve_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size && a->seconds == b->seconds &&
           a->nanoseconds == b->nanoseconds;
}

static void look(struct file *f)
{
    struct serve_stamp now = serve_stamp_of(f->path);
    if (serve_stamp_same(&now, &f->seen)) return;
    f->seen = now;
    f->changed(f->user);
}

static void *watch(void *arg)
{
    struct serve_files *s = arg;
    pthread_mutex_lock(&s->mutex);
    while (!s->stopping) {
        struct timespec t = serve_timespec(serve_now_ms() + PERIOD_MS);
        if (pthread_cond_timedwait(&s->stop, &s->mutex, &t) != ETIMEDOUT) continue;
        for (int i = 0; i < s->count; i++) look(&s->files[i]);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

enum rudd_status serve_files_create(struct serve_files **files, struct rudd_error *err)
{
    struct serve_files *s = rudd_zalloc(1, sizeof *s);
    if (!s) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for the files to watch");
    pthread_mutex_init(&s->mutex, NULL);
    serve_cond_init(&s->stop);
    *files = s;
    return RUDD_OK;
}

void serve_files_destroy(struct serve_files *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    pthread_cond_signal(&s->stop);
    pthread_mutex_unlock(&s->mutex);
    if (s->running) pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->stop);
    pthread_mutex_destroy(&s->mutex);
    rudd_free(s);
}

enum rudd_status serve_files_add(struct serve_files *s, const char *path, void (*changed)(void *user), void *user,
                                 struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    pthread_mutex_lock(&s->mutex);
    if (s->count == FILES)
        status = rudd_fail(err, RUDD_LIMIT, "%.500s: more than %d files to watch", path, FILES);
    else if (!s->running && pthread_create(&s->thread, NULL, watch, s))
        status = rudd_fail(err, RUDD_IO, "%.500s: the system starts no more threads", path);
    if (!status) {
        s->running = true;
        s->files[s->count++] = (struct file){path, serve_stamp_of(path), changed, user};
    }
    pthread_mutex_unlock(&s->mutex);
    return status;
}

void serve_files_remove(struct serve_files *s, const void *user)
{
    if (!s) return;
    pthread_mutex_lock(&s->mutex);
    int kept = 0;
    for (int i = 0; i < s->count; i++)
        if (s->files[i].user != user) s->files[kept++] = s->files[i];
    s->count = kept;
    pthread_mutex_unlock(&s->mutex);
}
