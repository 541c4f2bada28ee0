/* cache.c - see cache.h. */
#include "weights/hub/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum rudd_status hub_path(char out[HUB_PATH], struct rudd_error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(out, HUB_PATH, format, arguments);
    va_end(arguments);
    if (n > 0 && n < HUB_PATH) return RUDD_OK;
    return rudd_fail(err, RUDD_LIMIT, "the path %.200s... is longer than %d bytes", out,
                     HUB_PATH - 1);
}

void hub_cache_name(struct hub_cache *c, const struct hub_settings *settings,
                    const struct hub_name *name)
{
    const int owner = (int)strcspn(name->repo, "/");
    const char *model = name->repo + owner + 1;
    /* settings.c keeps 512 bytes free behind the cache's path; a repository's name has 200. */
    hub_path(c->folder, NULL, "%s/models--%.*s--%s", settings->cache, owner, name->repo, model);
    hub_path(c->locks, NULL, "%s/.locks/models--%.*s--%s", settings->cache, owner, name->repo,
             model);
}

bool hub_cache_commit(char commit[HUB_COMMIT], const struct hub_cache *c, const char *revision)
{
    char path[HUB_PATH], text[HUB_COMMIT + 2];
    if (hub_is_commit(revision)) {
        memcpy(commit, revision, 41);
        return true;
    }
    if (hub_path(path, NULL, "%s/refs/%s", c->folder, revision)) return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    text[strcspn(text, "\r\n")] = 0;
    const size_t length = strlen(text);
    if (!length || length >= HUB_COMMIT || strspn(text, "0123456789abcdefABCDEF") < length)
        return false;
    memcpy(commit, text, length + 1);
    return true;
}

bool hub_cache_find(char path[HUB_PATH], const struct hub_cache *c, const char *commit,
                    const char *file)
{
    return !hub_path(path, NULL, "%s/snapshots/%s/%s", c->folder, commit, file) &&
           !access(path, F_OK);
}

/* The folder of path, and those above it. */
static enum rudd_status make_parents(const char *path, struct rudd_error *err)
{
    char part[HUB_PATH];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (mkdir(part, 0777) && errno != EEXIST)
            return rudd_fail(err, RUDD_IO,
                             "%s: cannot make this folder: %s; set HF_HOME to a folder where "
                             "downloaded weights can be kept",
                             part, strerror(errno));
    }
    return RUDD_OK;
}

enum rudd_status hub_cache_prepare(char blob[HUB_PATH], const struct hub_cache *c,
                                   const struct hub_facts *facts, struct rudd_error *err)
{
    char pointer[HUB_PATH], longest[HUB_PATH];
    enum rudd_status status = hub_path(blob, err, "%s/blobs/%s", c->folder, facts->etag);
    if (!status) status = hub_path(longest, err, "%s.incomplete", blob);
    if (!status) status = hub_path(pointer, err, "%s/snapshots/%s/x", c->folder, facts->commit);
    if (!status) status = make_parents(blob, err);
    return status ? status : make_parents(pointer, err);
}

static void note(const struct weights_hub_events *events, const char *line)
{
    if (events && events->note) events->note(events->user, line);
}

enum rudd_status hub_cache_lock(int *lock, const struct hub_cache *c, const struct hub_facts *facts,
                                const struct weights_hub_events *events, struct rudd_error *err)
{
    const struct timespec moment = {.tv_nsec = 100 * 1000 * 1000};
    char path[HUB_PATH];
    *lock = -1;
    enum rudd_status status = hub_path(path, err, "%s/%s.lock", c->locks, facts->etag);
    if (!status) status = make_parents(path, err);
    if (status) return status;
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0664);
    if (fd < 0) return rudd_fail(err, RUDD_IO, "%s: cannot open: %s", path, strerror(errno));
    bool told = false;
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK) { /* a file system without locks */
            close(fd);
            return RUDD_OK;
        }
        if (!told) note(events, "another process fetches the same file: waiting for it");
        told = true;
        if (events && events->stop && events->stop(events->user)) {
            close(fd);
            return rudd_fail(err, RUDD_CANCELLED, "stopped while another process fetched");
        }
        nanosleep(&moment, NULL);
    }
    *lock = fd;
    return RUDD_OK;
}

enum rudd_status hub_cache_link(const struct hub_cache *c, const struct hub_facts *facts,
                                const char *file, struct rudd_error *err)
{
    char path[HUB_PATH], target[HUB_ETAG + 32], blob[HUB_PATH];
    if (hub_cache_find(path, c, facts->commit, file)) return RUDD_OK;
    enum rudd_status status =
        hub_path(path, err, "%s/snapshots/%s/%s", c->folder, facts->commit, file);
    if (!status) status = hub_path(blob, err, "%s/blobs/%s", c->folder, facts->etag);
    if (status) return status;
    snprintf(target, sizeof target, "../../blobs/%s", facts->etag);
    unlink(path); /* a link whose blob was deleted */
    if (!symlink(target, path)) return RUDD_OK;
    if (!rename(blob, path)) return RUDD_OK; /* a file system without links: as Python does it */
    return rudd_fail(err, RUDD_IO, "%s: cannot make this link: %s", path, strerror(errno));
}

enum rudd_status hub_cache_set_commit(const struct hub_cache *c, const char *revision,
                                      const char *commit, struct rudd_error *err)
{
    char path[HUB_PATH], fresh[HUB_PATH], old[HUB_COMMIT];
    if (!strcmp(revision, commit)) return RUDD_OK;
    if (hub_cache_commit(old, c, revision) && !strcmp(old, commit)) return RUDD_OK;
    enum rudd_status status = hub_path(path, err, "%s/refs/%s", c->folder, revision);
    if (!status) status = hub_path(fresh, err, "%s.%ld", path, (long)getpid());
    if (!status) status = make_parents(path, err);
    if (status) return status;
    const int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    const ssize_t length = (ssize_t)strlen(commit);
    const bool written = fd >= 0 && write(fd, commit, (size_t)length) == length;
    if (fd >= 0 && close(fd) == 0 && written && !rename(fresh, path)) return RUDD_OK;
    status = rudd_fail(err, RUDD_IO, "%s: cannot write: %s", path, strerror(errno));
    unlink(fresh);
    return status;
}
