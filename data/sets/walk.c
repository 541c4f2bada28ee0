/* walk.c - see walk.h.
 *
 * Folders are told apart by (device, inode). The depth of a walk is bounded by the length of a
 * path: a folder that lies deeper cannot be opened and is counted like any other that cannot. */
#include "data/sets/walk.h"
#include "data/image/formats.h"
#include "nn/base/refuse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

char *data_path_join(const char *folder, const char *name)
{
    size_t a = strlen(folder), b = strlen(name);
    while (a > 1 && folder[a - 1] == '/') a--;
    char *path = rudd_alloc(a + b + 2);
    if (!path) return NULL;
    memcpy(path, folder, a);
    path[a] = '/';
    memcpy(path + a + 1, name, b + 1);
    return path;
}

bool data_is_system_folder(const char *name)
{
    static const char *const names[] = {"__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN",
                                        "System Volume Information"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0) return true;
    return false;
}

/* ---- one folder ---------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct data_entry *)a)->name, ((const struct data_entry *)b)->name);
}

/* Follows links; what the file system says of the type saves asking for each file. */
static void find_kind(struct data_entry *entry, int dir, const struct dirent *e)
{
    struct stat st;
    entry->kind = e->d_type == DT_DIR ? DATA_ENTRY_FOLDER : DATA_ENTRY_FILE;
    entry->link = e->d_type == DT_LNK;
    if (e->d_type == DT_DIR || e->d_type == DT_REG) return;
    if (e->d_type == DT_UNKNOWN)
        entry->link = fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
    if (fstatat(dir, e->d_name, &st, 0) == 0)
        entry->kind = S_ISDIR(st.st_mode) ? DATA_ENTRY_FOLDER : DATA_ENTRY_FILE;
    else if (errno == ENOENT || errno == ELOOP || errno == ENOTDIR)
        entry->kind = DATA_ENTRY_DANGLING;
}

void data_entries_free(struct data_entry *entries, int count)
{
    for (int i = 0; i < count; i++) rudd_free(entries[i].name);
    rudd_free(entries);
}

enum rudd_status data_entries_read(struct data_entry **entries, int *count, const char *folder,
                                   struct rudd_error *err)
{
    struct data_entry *list = NULL;
    int n = 0, room = 0;
    DIR *dir = opendir(folder);
    if (!dir) return nn_refuse_open(folder, "folder", errno, err);

    enum rudd_status status = RUDD_OK;
    struct dirent *e;
    errno = 0;
    for (; !status && (e = readdir(dir)); errno = 0) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (n == room) {
            struct data_entry *larger =
                rudd_realloc(list, (size_t)(room = room ? 2 * room : 64) * sizeof *list);
            if (larger)
                list = larger;
            else
                status = RUDD_NO_MEMORY;
        }
        if (!status && !(list[n].name = rudd_strdup(e->d_name))) status = RUDD_NO_MEMORY;
        if (!status) find_kind(&list[n++], dirfd(dir), e);
    }
    if (status)
        rudd_fail(err, status, "%s: no memory for the list of its files", folder);
    else if (errno)
        status = rudd_fail(err, RUDD_IO, "%s: cannot read the folder: %s", folder, strerror(errno));
    closedir(dir);
    if (status) {
        data_entries_free(list, n);
        return status;
    }
    if (n) qsort(list, (size_t)n, sizeof *list, by_name);
    *entries = list;
    *count = n;
    return RUDD_OK;
}

/* ---- what is a picture --------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *ending)
{
    const size_t n = strlen(name), e = strlen(ending);
    return n > e && strcasecmp(name + n - e, ending) == 0;
}

/* By its first bytes; *closed: it cannot be opened. */
static const struct data_format *look(const char *path, bool *closed)
{
    uint8_t first[DATA_SNIFF];
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *closed = fd < 0;
    for (ssize_t got;
         fd >= 0 && n < sizeof first && (got = read(fd, first + n, sizeof first - n)) > 0;)
        n += (size_t)got;
    if (fd >= 0) close(fd);
    return data_format_sniff(first, n);
}

bool data_walk_takes(const struct data_walk *walk, const char *path, const struct data_entry *entry)
{
    struct data_account *account = walk->account;
    const struct data_format *format = data_format_of_name(entry->name);
    bool closed = false;
    if (entry->kind == DATA_ENTRY_DANGLING) {
        data_account_add(account, DATA_LEFT_DANGLING, path, NULL);
        return false;
    }
    if (entry->name[0] == '.') {
        /* .DS_Store and .gitignore are no news; ._a.jpg looks like a picture. */
        if (format) data_account_add(account, DATA_LEFT_HIDDEN, path, NULL);
        return false;
    }
    if (walk->also && ends_with(entry->name, walk->also)) return true;
    if (!format) format = look(path, &closed);
    if (format && format->decode) return true;
    if (format)
        data_account_add(account, DATA_LEFT_FORMAT, path, format->package);
    else
        data_account_add(account, closed ? DATA_LEFT_CLOSED : DATA_LEFT_OTHER, path, NULL);
    return false;
}

/* ---- the walk ------------------------------------------------------------------------------ */

/* Folders that were entered: a hash table of (device, inode), open addressing. */
struct seen {
    struct place {
        dev_t device;
        ino_t inode;
        bool used;
    } * places;
    size_t room, count;
};

static struct place *find_place(const struct seen *s, dev_t device, ino_t inode)
{
    size_t at = ((uint64_t)inode * 0x9e3779b97f4a7c15u ^ (uint64_t)device) % s->room;
    while (s->places[at].used && (s->places[at].inode != inode || s->places[at].device != device))
        at = (at + 1) % s->room;
    return &s->places[at];
}

static bool grow(struct seen *s)
{
    struct seen larger = {.room = s->room ? 2 * s->room : 64, .count = s->count};
    larger.places = rudd_zalloc(larger.room, sizeof *larger.places);
    if (!larger.places) return false;
    for (size_t i = 0; i < s->room; i++)
        if (s->places[i].used)
            *find_place(&larger, s->places[i].device, s->places[i].inode) = s->places[i];
    rudd_free(s->places);
    *s = larger;
    return true;
}

/* 1: not entered before, but now; 0: it was; -1: no memory. A folder that cannot be asked counts as
 * new: opening it will tell. */
static int enter(struct seen *s, const char *folder)
{
    struct stat st;
    if (stat(folder, &st)) return 1;
    if (2 * s->count >= s->room && !grow(s)) return -1;
    struct place *place = find_place(s, st.st_dev, st.st_ino);
    if (place->used) return 0;
    *place = (struct place){st.st_dev, st.st_ino, true};
    s->count++;
    return 1;
}

struct walking {
    const struct data_walk *walk;
    struct seen seen;
};

static enum rudd_status walk_entries(struct walking *w, const char *folder,
                                     struct data_entry *entries, int count, struct rudd_error *err);

static enum rudd_status walk_folder(struct walking *w, const char *folder, bool first,
                                    struct rudd_error *err)
{
    struct data_account *account = w->walk->account;
    struct data_entry *entries = NULL;
    int count = 0, fresh = enter(&w->seen, folder);
    if (fresh < 0) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to walk it", folder);
    if (!fresh) {
        data_account_add(account, DATA_LEFT_AGAIN, folder, NULL);
        return RUDD_OK;
    }
    enum rudd_status status = data_entries_read(&entries, &count, folder, err);
    if (status == RUDD_IO && !first) {
        data_account_add(account, DATA_LEFT_CLOSED, folder, NULL);
        return RUDD_OK;
    }
    if (!status) status = walk_entries(w, folder, entries, count, err);
    data_entries_free(entries, count);
    return status;
}

static enum rudd_status walk_entries(struct walking *w, const char *folder,
                                     struct data_entry *entries, int count, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < count && !status; i++) {
        const struct data_entry *e = &entries[i];
        char *path = data_path_join(folder, e->name);
        if (!path) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to walk it", folder);
        if (e->kind != DATA_ENTRY_FOLDER) {
            if (data_walk_takes(w->walk, path, e))
                status = w->walk->picture(w->walk->user, path, err);
        } else if (e->name[0] == '.')
            data_account_add(w->walk->account, DATA_LEFT_HIDDEN, path, NULL);
        else if (data_is_system_folder(e->name))
            data_account_add(w->walk->account, DATA_LEFT_SYSTEM, path, NULL);
        else
            status = walk_folder(w, path, false, err);
        rudd_free(path);
    }
    return status;
}

enum rudd_status data_walk(const struct data_walk *walk, const char *folder, struct rudd_error *err)
{
    struct walking w = {.walk = walk};
    enum rudd_status status = RUDD_OK;
    if (walk->outside && enter(&w.seen, walk->outside) < 0)
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to walk it", folder);
    if (!status) status = walk_folder(&w, folder, true, err);
    rudd_free(w.seen.places);
    return status;
}
