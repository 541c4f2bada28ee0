/* run_folder.c - the run's folder and its small files: see run_folder.h. */
#include "train/run_folder.h"
#include "train/folder.h"

#include "data/image/decode.h"
#include "weights/replace.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RUN_JSON_MAX = 256 << 20, LINE_LENGTH = 1024 };

const char *train_run_path(char out[TRAIN_PATH], const char *path, const char *name)
{
    snprintf(out, TRAIN_PATH, "%s/%s", path, name);
    return out;
}

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* Whether name is what an atomic writer (replace.h) of this folder's files would have called its unfinished one. */
static bool is_left_over(const char *name)
{
    static const char *const files[] = {"run.json", "metrics.jsonl", "model.safetensors", "last.safetensors", "report.html"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const size_t n = strlen(files[i]);
        if (strncmp(name, files[i], n) != 0 || name[n] != '.') continue;
        const char *tail = name + n + 1 + strspn(name + n + 1, "0123456789");
        return *tail == '-' && strcmp(tail + 1 + strspn(tail + 1, "0123456789"), ".tmp") == 0;
    }
    return false;
}

/* What may lie in a new run's folder: what a dead writer left, and what --find-lr found. */
static bool may_stay(const char *name)
{
    return is_left_over(name) || strcmp(name, TRAIN_LR_FINDER) == 0;
}

enum rudd_status train_run_folder_create(struct train_run_folder *folder, const char *path, struct rudd_error *err)
{
    struct train_run_folder fresh = {.epochs = NULL};
    char file[TRAIN_PATH];
    if (path && strlen(path) >= sizeof fresh.path)
        return rudd_fail(err, RUDD_ARGUMENT, "--out: the path is %zu bytes long, expected fewer than %zu", strlen(path),
                         sizeof fresh.path);
    if (path) {
        snprintf(fresh.path, sizeof fresh.path, "%s", path);
        if (exists(train_run_path(file, path, "run.json")))
            return rudd_fail(err, RUDD_ARGUMENT, "%s: holds a run already; choose another --out, or --resume %s", path, path);
    } else {
        int number = 0;
        do snprintf(fresh.path, sizeof fresh.path, "runs/%d", ++number);
        while (exists(fresh.path));
    }
    enum rudd_status status = train_folder_make_all(fresh.path, err);
    if (status == RUDD_OK) status = train_folder_must_be_empty(fresh.path, "a run is", may_stay, err);
    if (status == RUDD_OK) *folder = fresh;
    return status;
}

enum rudd_status train_run_claim(int *claim, const char *path, struct rudd_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return rudd_fail(err, RUDD_IO, "%s: no such run: %s", path, strerror(errno));
    int refused = flock(fd, LOCK_EX | LOCK_NB);
    /* Whoever asks (train_run_claimed) holds it for some microseconds. */
    for (int i = 0; refused && errno == EWOULDBLOCK && i < 20; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        refused = flock(fd, LOCK_EX | LOCK_NB);
    }
    if (refused && errno == EWOULDBLOCK) {
        close(fd);
        return rudd_fail(err, RUDD_LIMIT, "%s: another process is training in it; stop that one first", path);
    }
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (is_left_over(entry->d_name)) unlinkat(fd, entry->d_name, 0);
    if (folder) closedir(folder);
    *claim = fd;
    return RUDD_OK;
}

void train_run_release(int claim)
{
    if (claim >= 0) close(claim);
}

enum train_claim train_run_claimed(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum train_claim claim = TRAIN_CLAIM_UNKNOWN;
    if (fd < 0) return claim;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        claim = TRAIN_CLAIM_FREE;
    else if (errno == EWOULDBLOCK)
        claim = TRAIN_CLAIM_HELD;
    close(fd);
    return claim;
}

static enum rudd_status keep(struct train_run_folder *folder, const struct train_epoch *epoch, struct rudd_error *err)
{
    if (folder->count == folder->capacity) {
        int more = folder->capacity ? 2 * folder->capacity : 16;
        struct train_epoch *grown = rudd_realloc(folder->epochs, sizeof *grown * (size_t)more);
        if (!grown) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for the metrics", folder->path);
        folder->epochs = grown;
        folder->capacity = more;
    }
    folder->epochs[folder->count++] = *epoch;
    return RUDD_OK;
}

enum rudd_status train_run_folder_open(struct train_run_folder *folder, const char *path, int epochs, struct rudd_error *err)
{
    struct train_run_folder fresh = {.epochs = NULL};
    char file[TRAIN_PATH];
    uint8_t *bytes = NULL;
    size_t length;
    snprintf(fresh.path, sizeof fresh.path, "%s", path);
    enum rudd_status status = RUDD_OK;
    if (epochs > 0) status = data_file_read(&bytes, &length, train_run_path(file, path, "metrics.jsonl"), RUN_JSON_MAX, err);
    if (status != RUDD_OK) return status;
    const char *line = (const char *)bytes, *end = line + (bytes ? length : 0);
    for (int i = 0; i < epochs && status == RUDD_OK; i++) {
        struct train_epoch epoch;
        const char *stop = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
        json_t *object = stop ? json_loadb(line, (size_t)(stop - line), 0, NULL) : NULL;
        bool good = object && train_record_parse((double *)&epoch, train_epoch_names, TRAIN_EPOCH_COUNT, object);
        json_decref(object);
        if (!good || (int)epoch.epoch != i + 1)
            status = rudd_fail(err, RUDD_FORMAT, "%s:%d: found no record of epoch %d", file, i + 1, i + 1);
        else
            status = keep(&fresh, &epoch, err);
        line = stop ? stop + 1 : end;
    }
    rudd_free(bytes);
    if (status == RUDD_OK)
        *folder = fresh;
    else
        train_run_folder_free(&fresh);
    return status;
}

void train_run_folder_free(struct train_run_folder *folder)
{
    rudd_free(folder->epochs);
    if (folder->bytes) close(folder->fd);
    folder->epochs = NULL;
    folder->count = folder->capacity = 0;
    folder->bytes = 0;
}

/* Writes an epoch's line to text[LINE_LENGTH]. Returns its length; 0: no memory. */
static size_t print_line(char *text, const struct train_epoch *epoch)
{
    json_t *object = train_record_json((const double *)epoch, train_epoch_names, TRAIN_EPOCH_COUNT);
    size_t n = object ? json_dumpb(object, text, LINE_LENGTH - 1, JSON_REAL_PRECISION(9)) : 0;
    json_decref(object);
    if (n == 0 || n >= LINE_LENGTH) return 0;
    text[n] = '\n';
    return n + 1;
}

/* Replaces metrics.jsonl by one of all epochs, and opens it for the lines to come. */
static enum rudd_status begin_metrics(struct train_run_folder *folder, struct rudd_error *err)
{
    char file[TRAIN_PATH];
    char *text = rudd_alloc((size_t)folder->count * LINE_LENGTH);
    size_t used = 0, n = 1;
    for (int i = 0; text && n && i < folder->count; i++) used += n = print_line(text + used, &folder->epochs[i]);
    enum rudd_status status;
    if (text && n)
        status = weights_write_bytes(train_run_path(file, folder->path, "metrics.jsonl"), text, used, err);
    else
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for the metrics", folder->path);
    rudd_free(text);
    if (status != RUDD_OK) return status;
    folder->fd = open(file, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (folder->fd < 0) return rudd_fail(err, RUDD_IO, "%s: cannot open: %s", file, strerror(errno));
    folder->bytes = used;
    folder->synced = folder->count;
    return RUDD_OK;
}

/* Adds the last epoch's line to metrics.jsonl, or leaves the file as it is. */
static enum rudd_status append_line(struct train_run_folder *folder, struct rudd_error *err)
{
    char line[LINE_LENGTH];
    const size_t n = print_line(line, &folder->epochs[folder->count - 1]);
    if (n == 0) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for the metrics", folder->path);
    for (size_t written = 0; written < n;) {
        ssize_t now = write(folder->fd, line + written, n - written);
        if (now < 0 && errno == EINTR) continue;
        if (now <= 0) {
            rudd_fail(err, RUDD_IO, "%s/metrics.jsonl: cannot write: %s", folder->path, strerror(now ? errno : ENOSPC));
            (void)!ftruncate(folder->fd, (off_t)folder->bytes); /* --resume cuts it off, too */
            return RUDD_IO;
        }
        written += (size_t)now;
    }
    folder->bytes += n;
    return RUDD_OK;
}

enum rudd_status train_run_folder_add(struct train_run_folder *folder, const struct train_epoch *epoch, struct rudd_error *err)
{
    enum rudd_status status = keep(folder, epoch, err);
    if (status != RUDD_OK) return status;
    status = folder->bytes ? append_line(folder, err) : begin_metrics(folder, err);
    if (status != RUDD_OK) folder->count--;
    return status;
}

enum rudd_status train_run_folder_sync(struct train_run_folder *folder, struct rudd_error *err)
{
    if (folder->count == 0) return RUDD_OK;
    if (folder->bytes == 0) return begin_metrics(folder, err);
    if (folder->synced == folder->count) return RUDD_OK;
    if (fsync(folder->fd) != 0)
        return rudd_fail(err, RUDD_IO, "%s/metrics.jsonl: cannot sync to disk: %s", folder->path, strerror(errno));
    folder->synced = folder->count;
    return RUDD_OK;
}

enum rudd_status train_run_json_write(const char *path, const json_t *json, struct rudd_error *err)
{
    char file[TRAIN_PATH];
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for run.json", path);
    enum rudd_status status = weights_write_bytes(train_run_path(file, path, "run.json"), text, strlen(text), err);
    free(text); /* jansson's */
    return status;
}

void train_run_json_mark(const char *path, const char *from, const char *to)
{
    char file[TRAIN_PATH], text[8192], wanted[64];
    int fd = open(train_run_path(file, path, "run.json"), O_RDWR | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
    if (n > 0) {
        text[n] = 0;
        snprintf(wanted, sizeof wanted, "\"status\": \"%s\"", from);
        char *at = strstr(text, wanted);
        const int room = (int)strlen(from) - (int)strlen(to);
        /* Blanks behind the word keep the file's length. */
        snprintf(wanted, sizeof wanted, "\"status\": \"%s\"%*s", to, room > 0 ? room : 0, "");
        if (at && room >= 0 && pwrite(fd, wanted, strlen(wanted), at - text) > 0) fsync(fd);
    }
    if (fd >= 0) close(fd);
}

enum rudd_status train_run_json_read(json_t **json, const char *path, struct rudd_error *err)
{
    char file[TRAIN_PATH];
    uint8_t *bytes;
    size_t length;
    json_error_t where;
    if (strlen(path) >= sizeof((struct train_run_folder *)0)->path)
        return rudd_fail(err, RUDD_ARGUMENT, "--resume: the path is %zu bytes long, far too long for a folder", strlen(path));
    enum rudd_status status = data_file_read(&bytes, &length, train_run_path(file, path, "run.json"), RUN_JSON_MAX, err);
    if (status != RUDD_OK) return status;
    json_t *object = json_loadb((const char *)bytes, length, 0, &where);
    rudd_free(bytes);
    if (!json_is_object(object)) {
        json_decref(object);
        return rudd_fail(err, RUDD_FORMAT, "%s: not the record of a run: %s", file, object ? "expected an object" : where.text);
    }
    *json = object;
    return RUDD_OK;
}
