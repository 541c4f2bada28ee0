/* dataset.c - a folder of class folders to a list of pictures; sets and their hashes.
 *
 *     dir --names of folders--> classes --a walk for each (walk.h)--> items
 *
 * The class folders are the entries of dir that are folders, without hidden ones and those that
 * systems make. Pictures that lie beside them have no class: they are counted, not used.
 *
 * Not here: train, val and test (splits.c), lists of labels (listing.c), reading pictures
 * (loader.c), finding what is wrong with a folder (check.c). */
#include "data/sets/listing.h"
#include "data/sets/spelling.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- sets ---------------------------------------------------------------------------------- */

void data_set_free(struct data_set *set)
{
    for (int i = 0; i < set->class_count; i++) rudd_free(set->class_names[i]);
    for (int i = 0; i < set->count; i++) rudd_free(set->items[i].path);
    rudd_free(set->class_names);
    rudd_free(set->items);
    data_account_free(&set->left);
    *set = (struct data_set){0};
}

int *data_set_counts(const struct data_set *set)
{
    int *counts = rudd_zalloc((size_t)set->class_count + 1, sizeof *counts);
    for (int i = 0; counts && i < set->count; i++) counts[set->items[i].label]++;
    return counts;
}

enum rudd_status data_set_name(struct data_set *set, char *const *names, int count,
                               struct rudd_error *err)
{
    set->class_names = rudd_zalloc((size_t)count + 1, sizeof *set->class_names);
    if (!set->class_names)
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d class names", count);
    for (; set->class_count < count; set->class_count++)
        if (!(set->class_names[set->class_count] = rudd_strdup(names[set->class_count])))
            return rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d class names", count);
    return RUDD_OK;
}

enum rudd_status data_set_add(struct data_set *set, int *room, char *path, int label, int name,
                              struct rudd_error *err)
{
    if (path && set->count == *room) {
        const int more = *room ? 2 * *room : 256;
        struct data_item *larger = rudd_realloc(set->items, (size_t)more * sizeof *larger);
        if (larger) {
            set->items = larger;
            *room = more;
        }
    }
    if (!path || set->count == *room) {
        rudd_free(path);
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a list of %d pictures",
                         set->count + 1);
    }
    set->items[set->count++] = (struct data_item){path, label, name};
    return RUDD_OK;
}

/* ---- class folders ------------------------------------------------------------------------- */

/* A scan under way. */
struct scan {
    struct data_set *set;
    const char *dir;
    struct data_entry *folders; /* those that may be classes */
    int folder_count;
    int room;  /* of set->items */
    int label; /* of the folder that is walked */
    int name;  /* where names within it begin */
};

static enum rudd_status take(void *user, const char *path, struct rudd_error *err)
{
    struct scan *s = user;
    return data_set_add(s->set, &s->room, rudd_strdup(path), s->label, s->name, err);
}

/* Folders that may be classes come first in entries; pictures beside them are counted. */
static enum rudd_status find_folders(struct scan *s, struct rudd_error *err)
{
    struct data_account *left = &s->set->left, beside = {0};
    const struct data_walk walk = {.account = &beside};
    struct data_entry *entries = NULL;
    int count = 0, folders = 0;
    enum rudd_status status = data_entries_read(&entries, &count, s->dir, err);
    for (int i = 0; i < count && !status; i++) {
        const struct data_entry e = entries[i];
        char *path = data_path_join(s->dir, e.name);
        if (!path)
            status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its list", s->dir);
        else if (e.kind == DATA_ENTRY_FOLDER && data_is_system_folder(e.name))
            data_account_add(left, DATA_LEFT_SYSTEM, path, NULL);
        else if (e.kind == DATA_ENTRY_FOLDER && e.name[0] != '.') {
            entries[i] = entries[folders];
            entries[folders++] = e;
        } else if (e.kind == DATA_ENTRY_FILE && data_walk_takes(&walk, path, &e))
            data_account_add(left, DATA_LEFT_UNLABELLED, path, NULL);
        rudd_free(path);
    }
    data_account_free(&beside); /* a list or a text beside class folders is no news */
    s->folders = entries;
    s->folder_count = folders;
    for (int i = folders; i < count; i++) rudd_free(entries[i].name);
    return status;
}

static enum rudd_status name_by_folders(struct scan *s, struct rudd_error *err)
{
    char **names = rudd_zalloc((size_t)s->folder_count + 1, sizeof *names);
    if (!names) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its classes", s->dir);
    for (int i = 0; i < s->folder_count; i++) names[i] = s->folders[i].name;
    enum rudd_status status = data_set_name(s->set, names, s->folder_count, err);
    rudd_free(names);
    return status;
}

/* All folders that are no class, in one message. */
static enum rudd_status refuse_folders(const struct scan *s, const int *folder_of,
                                       struct rudd_error *err)
{
    char list[600] = "";
    size_t used = 0;
    int unknown = 0;
    struct data_layout layout;
    for (int i = 0; i < s->folder_count; i++) {
        bool known = false;
        for (int k = 0; k < s->set->class_count && !known; k++) known = folder_of[k] == i;
        if (known) continue;
        unknown++;
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                     unknown > 1 ? ", " : "", s->folders[i].name);
    }
    const bool split = data_layout_find(&layout, s->dir, NULL, NULL) == RUDD_OK && layout.split;
    data_layout_free(&layout);
    return rudd_fail(err, RUDD_MISMATCH, "%s: %d folder%s not among the %d classes: %s; %s", s->dir,
                     unknown, unknown > 1 ? "s" : "", s->set->class_count, list,
                     split         ? "these are splits: give one of them"
                     : unknown > 1 ? "rename or remove them"
                                   : "rename or remove it");
}

/* folder_of[class] = the folder of that class, or -1. */
static enum rudd_status match_folders(struct scan *s, int *folder_of, struct rudd_error *err)
{
    struct data_spellings spellings;
    int found = 0;
    enum rudd_status status =
        data_spellings_make(&spellings, s->set->class_names, s->set->class_count, s->dir, err);
    if (status) return status;
    for (int k = 0; k < s->set->class_count; k++) folder_of[k] = -1;
    for (int i = 0; i < s->folder_count && !status; i++) {
        int label;
        status = data_spellings_find(&label, &spellings, s->folders[i].name, err);
        if (status || label < 0) continue;
        if (folder_of[label] >= 0)
            status = rudd_fail(err, RUDD_MISMATCH,
                               "%s: two folders have one name, %s, spelled in two ways of Unicode "
                               "(NFC and NFD); merge them or rename one",
                               s->dir, s->folders[i].name);
        folder_of[label] = i;
        found++;
    }
    data_spellings_free(&spellings);
    return status || found == s->folder_count ? status : refuse_folders(s, folder_of, err);
}

static enum rudd_status walk_class(struct scan *s, const char *folder_name, struct rudd_error *err)
{
    const struct data_walk walk = {
        .picture = take, .user = s, .outside = s->dir, .account = &s->set->left};
    char *folder = data_path_join(s->dir, folder_name);
    if (!folder) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its list", s->dir);
    s->name = (int)strlen(folder) + 1;
    enum rudd_status status = data_walk(&walk, folder, err);
    if (status == RUDD_IO) { /* this class folder cannot be entered; the others can */
        data_account_add(&s->set->left, DATA_LEFT_CLOSED, folder, NULL);
        status = RUDD_OK;
    }
    rudd_free(folder);
    return status;
}

/* Whether pictures of the one class all lie in folders inside it: then its folder was meant. */
static bool is_level_above(const struct data_set *set)
{
    if (set->class_count != 1 || !set->count) return false;
    const char *first = NULL;
    bool several = false;
    for (int i = 0; i < set->count; i++) {
        const char *name = set->items[i].path + set->items[i].name, *slash = strchr(name, '/');
        if (!slash) return false;
        const size_t n = (size_t)(slash - name) + 1;
        if (!first) first = name;
        several |= strncmp(first, name, n) != 0;
    }
    return several;
}

static enum rudd_status refuse_empty(const struct data_set *set, const char *dir,
                                     struct rudd_error *err)
{
    char left[400];
    data_account_print(left, sizeof left, &set->left);
    return rudd_fail(err, RUDD_FORMAT, "%s: no pictures; expected %s/<class>/*.jpg or the like%s%s",
                     dir, dir, *left ? "; " : "", left);
}

static enum rudd_status scan_classes(struct scan *s, char *const *names, int count,
                                     struct rudd_error *err)
{
    struct data_set *set = s->set;
    int *folder_of = NULL;
    enum rudd_status status = find_folders(s, err);
    if (!status) status = names ? data_set_name(set, names, count, err) : name_by_folders(s, err);
    if (!status && !(folder_of = rudd_alloc(((size_t)set->class_count + 1) * sizeof *folder_of)))
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its classes", s->dir);
    if (!status) status = match_folders(s, folder_of, err);
    for (s->label = 0; s->label < set->class_count && !status; s->label++)
        if (folder_of[s->label] >= 0)
            status = walk_class(s, s->folders[folder_of[s->label]].name, err);
    rudd_free(folder_of);
    data_entries_free(s->folders, s->folder_count);
    if (!status && !names && is_level_above(set))
        status = rudd_fail(err, RUDD_FORMAT,
                           "%s: its one class folder, %s, holds no pictures but folders with "
                           "pictures; did you mean %s/%s?",
                           s->dir, set->class_names[0], s->dir, set->class_names[0]);
    return status;
}

enum rudd_status data_set_scan(struct data_set *set, const char *dir, char *const *names, int count,
                               struct rudd_error *err)
{
    struct data_set fresh = {0};
    struct scan s = {.set = &fresh, .dir = dir};
    char *list = NULL;
    enum rudd_status status = data_listing_find(&list, dir, err);
    if (!status)
        status = list ? data_listing_scan(&fresh, list, names, count, err)
                      : scan_classes(&s, names, count, err);
    if (!status && fresh.count == 0) status = refuse_empty(&fresh, dir, err);
    rudd_free(list);
    if (status)
        data_set_free(&fresh);
    else
        *set = fresh;
    return status;
}

/* ---- hashes -------------------------------------------------------------------------------- */

enum rudd_status data_file_hash(char hex[NN_SHA256_HEX], const char *path, struct rudd_error *err)
{
    uint8_t block[1 << 14];
    struct nn_sha256 hash;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return rudd_fail(err, RUDD_IO, "%s: cannot open: %s", path, strerror(errno));
    nn_sha256_init(&hash);
    while ((n = read(fd, block, sizeof block)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0) nn_sha256_update(&hash, block, (size_t)n);
    enum rudd_status status =
        n < 0 ? rudd_fail(err, RUDD_IO, "%s: cannot read: %s", path, strerror(errno)) : RUDD_OK;
    close(fd);
    if (!status) nn_sha256_hex(hex, &hash);
    return status;
}

void data_set_hash(char hex[NN_SHA256_HEX], const struct data_set *set)
{
    struct nn_sha256 root;
    nn_sha256_init(&root);
    for (int i = 0; i < set->count; i++) {
        const struct data_item *item = &set->items[i];
        char content[NN_SHA256_HEX] = "unreadable";
        const char *class = set->class_names[item->label], *name = item->path + item->name;
        data_file_hash(content, item->path, NULL);
        nn_sha256_update(&root, class, strlen(class));
        nn_sha256_update(&root, "/", 1);
        nn_sha256_update(&root, name, strlen(name));
        nn_sha256_update(&root, " ", 1);
        nn_sha256_update(&root, content, strlen(content));
        nn_sha256_update(&root, "\n", 1);
    }
    nn_sha256_hex(hex, &root);
}
