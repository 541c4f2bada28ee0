/* cache_folder.c - where activations lie between runs: see cache_folder.h. */
#include "train/learn/cache_folder.h"

#include "train/folder.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool train_cache_folder_path(char out[TRAIN_PATH])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (cache && *cache == '/') /* the specification ignores relative ones */
        n = snprintf(out, TRAIN_PATH, "%s/rudd", cache);
    else if (home && *home == '/')
        n = snprintf(out, TRAIN_PATH, "%s/.cache/rudd", home);
    return n > 0 && n < TRAIN_PATH;
}

bool train_cache_folder_open(char out[TRAIN_PATH], uint64_t bytes, uint64_t limit)
{
    struct statvfs disk;
    if (bytes > limit || !train_cache_folder_path(out)) return false;
    if (train_folder_make_all(out, NULL) || access(out, W_OK | X_OK) || statvfs(out, &disk))
        return false;
    return bytes <= (uint64_t)disk.f_bavail * disk.f_frsize;
}

static bool is_cache(const char *name)
{
    const size_t n = strlen(name), end = sizeof ".cache" - 1;
    return n < sizeof((struct train_cache_file *)0)->name && strncmp(name, "frozen-", 7) == 0 &&
           n > end && strcmp(name + n - end, ".cache") == 0;
}

static int by_use(const void *a, const void *b)
{
    const struct train_cache_file *x = a, *y = b;
    if (x->used != y->used) return x->used < y->used ? 1 : -1;
    return strcmp(x->name, y->name);
}

enum rudd_status train_cache_folder_list(struct train_cache_file **files, int *count,
                                         const char *folder, struct rudd_error *err)
{
    struct train_cache_file *list = NULL;
    int n = 0, room = 0;
    enum rudd_status status = RUDD_OK;
    DIR *dir = opendir(folder);
    if (!dir && errno != ENOENT)
        return rudd_fail(err, RUDD_IO, "%s: cannot be read: %s", folder, strerror(errno));
    for (struct dirent *e; dir && !status && (e = readdir(dir));) {
        struct stat st;
        if (!is_cache(e->d_name) || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
            !S_ISREG(st.st_mode))
            continue;
        if (n == room) {
            struct train_cache_file *grown =
                rudd_realloc(list, (size_t)(room += 64) * sizeof *list);
            if (!grown)
                status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to list it", folder);
            else
                list = grown;
        }
        if (status) break;
        struct train_cache_file *file = &list[n++];
        snprintf(file->name, sizeof file->name, "%.79s", e->d_name); /* is_cache bounds it */
        file->bytes = (uint64_t)st.st_size;
        file->used = (double)st.st_mtim.tv_sec + 1e-9 * (double)st.st_mtim.tv_nsec;
    }
    if (dir) closedir(dir);
    if (status) {
        rudd_free(list);
        return status;
    }
    if (n) qsort(list, (size_t)n, sizeof *list, by_use);
    *files = list;
    *count = n;
    return RUDD_OK;
}

enum rudd_status train_cache_folder_trim(int *removed, const char *folder, uint64_t limit,
                                         const char *keep, struct rudd_error *err)
{
    struct train_cache_file *files;
    int count;
    enum rudd_status status = train_cache_folder_list(&files, &count, folder, err);
    if (status) return status;
    uint64_t total = 0;
    *removed = 0;
    for (int i = 0; i < count; i++) total += files[i].bytes;
    for (int i = count - 1; i >= 0 && total > limit && !status; i--) {
        char path[TRAIN_PATH];
        if (keep && strcmp(files[i].name, keep) == 0) continue;
        if (unlink(train_run_path(path, folder, files[i].name)) == 0)
            ++*removed;
        else if (errno != ENOENT)
            status = rudd_fail(err, RUDD_IO, "%s: cannot be deleted: %s", path, strerror(errno));
        total -= files[i].bytes;
    }
    rudd_free(files);
    return status;
}
