/* store_images.c - see store_images.h. */
#include "serve/store_images.h"
#include "data/image/formats.h"
#include "serve/clock.h"
#include "serve/store.h"
#include "weights/replace.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAITING_BYTES = 64 << 20, HASH = 65, SWEEP_MS = 3600 * 1000 };

struct picture {
    struct picture *next;
    char hash[HASH];
    struct serve_bytes bytes;
};

struct serve_images {
    char *folder;
    int days;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct picture *first, **last;
    size_t waiting; /* bytes */
    bool stopping, running;
    struct serve_images_stats stats;
    pthread_t thread;
};

/* One file, whose time is now. */
static uint64_t *write_picture(struct serve_images *s, const struct picture *p)
{
    char path[4096];
    char ending[8];
    const struct data_format *format = data_format_sniff(p->bytes.data, p->bytes.length);
    if (!format) return &s->stats.failed;
    int n = snprintf(path, sizeof path, "%s/%.2s", s->folder, p->hash);
    if (n < 0 || (size_t)n + HASH + 8 > sizeof path) return &s->stats.failed;
    if (mkdir(path, 0777) && errno != EEXIST) return &s->stats.failed;
    snprintf(path + n, sizeof path - (size_t)n, "/%s.%s", p->hash, data_format_ending(ending, format));
    if (!utimensat(AT_FDCWD, path, NULL, 0)) return &s->stats.known;
    return weights_write_bytes(path, p->bytes.data, p->bytes.length, NULL) ? &s->stats.failed : &s->stats.kept;
}

/* ---- the age limit --------------------------------------------------------------------------------------------------------------- */

static bool is_hexadecimal(const char *text, size_t n)
{
    return strspn(text, "0123456789abcdef") == n;
}

/* Whether a file in the folder `digits` is called as we call ours. */
static bool is_ours(const char *name, const char *digits)
{
    char ending[8];
    bool known = false;
    if (!is_hexadecimal(name, HASH - 1) || strncmp(name, digits, 2) || name[HASH - 1] != '.') return false;
    for (int i = 0; data_format_at(i) && !known; i++)
        known = !strcmp(name + HASH, data_format_ending(ending, data_format_at(i)));
    return known;
}

/* Deletes what is too old in one of the 256 folders; how many. */
static uint64_t sweep_folder(int folder, const char *digits, double before)
{
    uint64_t expired = 0;
    int fd = openat(folder, digits, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0) close(fd);
    if (!d) return 0;
    for (const struct dirent *e; (e = readdir(d));) {
        struct stat st;
        if (is_ours(e->d_name, digits) && !fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
            (double)st.st_mtime < before)
            expired += !unlinkat(fd, e->d_name, 0);
    }
    closedir(d);
    return expired;
}

static uint64_t sweep(const struct serve_images *s)
{
    uint64_t expired = 0;
    const double before = serve_wall_s() - s->days * 86400.0;
    int folder = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = folder >= 0 ? fdopendir(folder) : NULL;
    if (!d && folder >= 0) close(folder);
    if (!d) return 0;
    for (const struct dirent *e; (e = readdir(d));)
        if (is_hexadecimal(e->d_name, 2) && !e->d_name[2]) expired += sweep_folder(folder, e->d_name, before);
    closedir(d);
    return expired;
}

/* ---- the thread -------------------------------------------------------------------------------------------------------------------- */

/* The next picture, when there is one; NULL: the end, or it is time to sweep. Called with the lock. */
static struct picture *wait_for_picture(struct serve_images *s, double sweep_ms)
{
    struct timespec t = serve_timespec(sweep_ms);
    while (!s->first && !s->stopping)
        if (!s->days)
            pthread_cond_wait(&s->changed, &s->mutex);
        else if (pthread_cond_timedwait(&s->changed, &s->mutex, &t) == ETIMEDOUT)
            break;
    return s->first;
}

static void *write_all(void *arg)
{
    struct serve_images *s = arg;
    double sweep_ms = 0;
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        if (s->days && serve_now_ms() >= sweep_ms) {
            pthread_mutex_unlock(&s->mutex);
            uint64_t expired = sweep(s);
            pthread_mutex_lock(&s->mutex);
            s->stats.expired += expired;
            sweep_ms = serve_now_ms() + SWEEP_MS;
        }
        struct picture *p = wait_for_picture(s, sweep_ms);
        if (!p && s->stopping) break;
        if (!p) continue;
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

enum rudd_status serve_images_create(struct serve_images **images, const char *folder, int days, struct rudd_error *err)
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
    s->days = days;
    s->last = &s->first;
    pthread_mutex_init(&s->mutex, NULL);
    serve_cond_init(&s->changed);
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
