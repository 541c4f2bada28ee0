/* dataset.c - folders of class folders to lists of pictures, and their split into train, val and test.
 *
 * Everything is sorted by bytes after reading, so that no order comes from the file system. Names that begin with a dot, and files that
 * do not end in .jpg, .jpeg or .png (any case), are not pictures.
 *
 * The split ranks the files of a class by a hash of (seed, class, file name) and cuts the ranking: a picture that is added or removed later
 * moves few others, and classes do not influence each other.
 *
 * Not here: reading pictures (loader.c), finding what is wrong with a folder (check.c). */
#include "data/sets/dataset.h"
#include "nn/rng.h"
#include "nn/sha256.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- lists of names ------------------------------------------------------------------------------------------------------- */

static void names_free(char **names, int count)
{
    for (int i = 0; i < count; i++) rudd_free(names[i]);
    rudd_free(names);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool data_is_picture_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 || strcasecmp(dot, ".png") == 0);
}

/* Whether folder/name is what is looked for. -1: no memory. */
static int wanted(const char *folder, const char *name, bool folders)
{
    if (name[0] == '.' || (!folders && !data_is_picture_name(name))) return 0;
    struct stat st;
    char *path = data_path_join(folder, name);
    if (!path) return -1;
    int yes = stat(path, &st) == 0 && (folders ? S_ISDIR(st.st_mode) : !S_ISDIR(st.st_mode));
    rudd_free(path);
    return yes;
}

enum rudd_status data_list_folder(char ***names, int *count, const char *folder, bool folders, struct rudd_error *err)
{
    char **list = NULL;
    int n = 0, room = 0;
    enum rudd_status status = RUDD_OK;
    DIR *dir = opendir(folder);
    if (!dir) return rudd_fail(err, RUDD_IO, "%s: cannot open the folder: %s", folder, strerror(errno));

    for (struct dirent *e; !status && (e = readdir(dir));) {
        int want = wanted(folder, e->d_name, folders);
        if (want == 0) continue;
        if (want > 0 && n == room) {
            char **larger = rudd_realloc(list, (size_t)(room = room ? 2 * room : 64) * sizeof *list);
            if (larger)
                list = larger;
            else
                want = -1;
        }
        if (want > 0 && !(list[n] = rudd_strdup(e->d_name))) want = -1;
        if (want < 0)
            status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for the list of its files", folder);
        else
            n++;
    }
    closedir(dir);
    if (status) {
        names_free(list, n);
        return status;
    }
    if (n) qsort(list, (size_t)n, sizeof *list, by_bytes);
    *names = list;
    *count = n;
    return RUDD_OK;
}

void data_list_free(char **names, int count)
{
    names_free(names, count);
}

/* ---- one split ------------------------------------------------------------------------------------------------------------ */

void data_set_free(struct data_set *set)
{
    names_free(set->class_names, set->class_count);
    for (int i = 0; i < set->count; i++) rudd_free(set->items[i].path);
    rudd_free(set->items);
    *set = (struct data_set){0};
}

static enum rudd_status copy_names(struct data_set *set, char *const *names, int count, struct rudd_error *err)
{
    set->class_names = rudd_zalloc((size_t)count + 1, sizeof *set->class_names);
    if (!set->class_names) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d class names", count);
    for (; set->class_count < count; set->class_count++)
        if (!(set->class_names[set->class_count] = rudd_strdup(names[set->class_count])))
            return rudd_fail(err, RUDD_NO_MEMORY, "no memory for %d class names", count);
    return RUDD_OK;
}

static int find_name(char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

/* Every folder of dir must be a class: the message lists all that are not. */
static enum rudd_status check_folders(const struct data_set *set, const char *dir, char *const *folders, int count,
                                      struct rudd_error *err)
{
    char list[600] = "";
    size_t used = 0;
    int unknown = 0;
    const bool splits = find_name(folders, count, "train") >= 0 && find_name(folders, count, "val") >= 0;
    for (int i = 0; i < count; i++) {
        if (find_name(set->class_names, set->class_count, folders[i]) >= 0) continue;
        unknown++;
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", unknown > 1 ? ", " : "", folders[i]);
    }
    if (!unknown) return RUDD_OK;
    return rudd_fail(err, RUDD_MISMATCH, "%s: %d folder%s not among the %d classes: %s; %s", dir, unknown,
                     unknown > 1 ? "s" : "", set->class_count, list,
                     splits        ? "these are splits: give one of them"
                     : unknown > 1 ? "rename or remove them"
                                   : "rename or remove it");
}

/* Appends the pictures of dir/<class of label>, which may be missing. */
static enum rudd_status add_class(struct data_set *set, int *room, const char *dir, int label, struct rudd_error *err)
{
    char **files = NULL;
    int count = 0;
    struct stat st;
    char *folder = data_path_join(dir, set->class_names[label]);
    enum rudd_status status = RUDD_OK;
    if (!folder)
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its list of pictures", dir);
    else if (stat(folder, &st) == 0)
        status = data_list_folder(&files, &count, folder, false, err);

    if (!status && set->count + count > *room) {
        struct data_item *larger = rudd_realloc(set->items, ((size_t)(set->count + count) * 2) * sizeof *larger);
        if (larger) {
            set->items = larger;
            *room = (set->count + count) * 2;
        } else
            status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its list of pictures", folder);
    }
    for (int i = 0; i < count && !status; i++) {
        char *path = data_path_join(folder, files[i]);
        if (path)
            set->items[set->count++] = (struct data_item){path, label};
        else
            status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its list of pictures", folder);
    }
    names_free(files, count);
    rudd_free(folder);
    return status;
}

enum rudd_status data_set_scan(struct data_set *set, const char *dir, char *const *names, int count, struct rudd_error *err)
{
    struct data_set fresh = {0};
    char **folders = NULL;
    int folder_count = 0, room = 0;
    enum rudd_status status = data_list_folder(&folders, &folder_count, dir, true, err);
    if (!status) status = copy_names(&fresh, names ? names : folders, names ? count : folder_count, err);
    if (!status) status = check_folders(&fresh, dir, folders, folder_count, err);
    for (int label = 0; label < fresh.class_count && !status; label++) status = add_class(&fresh, &room, dir, label, err);
    if (!status && fresh.count == 0)
        status = rudd_fail(err, RUDD_FORMAT, "%s: no pictures; expected %s/<class>/*.jpg (or .jpeg, .png)", dir, dir);
    names_free(folders, folder_count);
    if (status)
        data_set_free(&fresh);
    else
        *set = fresh;
    return status;
}

/* ---- three splits --------------------------------------------------------------------------------------------------------- */

void data_splits_free(struct data_splits *splits)
{
    data_set_free(&splits->train);
    data_set_free(&splits->val);
    data_set_free(&splits->test);
}

bool data_has_splits(const char *dir)
{
    return wanted(dir, "train", true) > 0;
}

/* dir/train, dir/val and dir/test; the last two may be missing. */
static enum rudd_status scan_folders(struct data_splits *splits, const char *dir, struct rudd_error *err)
{
    static const char *const names[3] = {"train", "val", "test"};
    struct data_set *const sets[3] = {&splits->train, &splits->val, &splits->test};
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < 3 && !status; i++) {
        const struct data_set *train = &splits->train;
        char *folder = data_path_join(dir, names[i]);
        if (!folder)
            status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory", dir);
        else if (i == 0)
            status = data_set_scan(sets[i], folder, NULL, 0, err);
        else if (wanted(dir, names[i], true) > 0)
            status = data_set_scan(sets[i], folder, train->class_names, train->class_count, err);
        else
            status = copy_names(sets[i], train->class_names, train->class_count, err);
        rudd_free(folder);
    }
    return status;
}

struct ranked {
    uint64_t key;
    int index;
};

static int by_key(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->index - y->index;
}

static uint64_t hash_text(uint64_t key, const char *text)
{
    for (; *text; text++) key = nn_rng_u64(key, (unsigned char)*text, 0, 0);
    return nn_rng_u64(key, 0, 1, 0); /* where one name ends matters: ab + c is not a + bc */
}

/* part[i] = 0, 1 or 2 for the items [first, end), all of one class: shares of the ranking, rounded; train takes the rest. */
static void split_class(int *part, struct ranked *rank, const struct data_set *all, int first, int end, const double split[3],
                        uint64_t seed)
{
    int n = end - first;
    for (int i = first; i < end; i++) {
        uint64_t key = hash_text(seed, all->class_names[all->items[i].label]);
        rank[i - first] = (struct ranked){hash_text(key, strrchr(all->items[i].path, '/') + 1), i};
    }
    qsort(rank, (size_t)n, sizeof *rank, by_key);
    int val = (int)(n * split[1] + 0.5), test = (int)(n * split[2] + 0.5);
    while (val + test > n - (split[0] > 0)) { /* a class of one or two pictures: train comes first, then val */
        if (test > 0)
            test--;
        else
            val--;
    }
    for (int i = 0; i < n; i++) part[rank[i].index] = i < n - val - test ? 0 : i < n - test ? 1 : 2;
}

/* Moves the items with part[i] == which out of all into set. */
static enum rudd_status take_part(struct data_set *set, struct data_set *all, const int *part, int which,
                                  struct rudd_error *err)
{
    int n = 0;
    for (int i = 0; i < all->count; i++) n += part[i] == which;
    enum rudd_status status = copy_names(set, all->class_names, all->class_count, err);
    if (status) return status;
    set->items = rudd_alloc((size_t)n * sizeof *set->items);
    if (!set->items) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a list of %d pictures", n);
    for (int i = 0; i < all->count; i++) {
        if (part[i] != which) continue;
        set->items[set->count++] = all->items[i];
        all->items[i].path = NULL;
    }
    return RUDD_OK;
}

static enum rudd_status scan_and_split(struct data_splits *splits, const char *dir, const double split[3], uint64_t seed,
                                       struct rudd_error *err)
{
    struct data_set *const sets[3] = {&splits->train, &splits->val, &splits->test};
    struct data_set all = {0};
    enum rudd_status status = data_set_scan(&all, dir, NULL, 0, err);
    if (status) return status;

    int *part = rudd_alloc((size_t)all.count * sizeof *part);
    struct ranked *rank = rudd_alloc((size_t)all.count * sizeof *rank);
    if (!part || !rank) status = rudd_fail(err, RUDD_NO_MEMORY, "no memory to split %d pictures", all.count);
    for (int first = 0, end; !status && first < all.count; first = end) {
        for (end = first; end < all.count && all.items[end].label == all.items[first].label;) end++;
        split_class(part, rank, &all, first, end, split, seed);
    }
    for (int i = 0; i < 3 && !status; i++) status = take_part(sets[i], &all, part, i, err);
    rudd_free(rank);
    rudd_free(part);
    data_set_free(&all);
    return status;
}

enum rudd_status data_splits_scan(struct data_splits *splits, const char *dir, const double split[3], uint64_t seed,
                                  struct rudd_error *err)
{
    static const double standard[3] = {0.7, 0.15, 0.15};
    if (!split) split = standard;
    double sum = split[0] + split[1] + split[2];
    if (!(split[0] > 0 && split[1] >= 0 && split[2] >= 0 && sum > 0.999 && sum < 1.001))
        return rudd_fail(err, RUDD_ARGUMENT, "split %g,%g,%g: three shares (train, val, test) that add up to 1, train above 0",
                         split[0], split[1], split[2]);

    struct data_splits fresh = {0};
    enum rudd_status status =
        data_has_splits(dir) ? scan_folders(&fresh, dir, err) : scan_and_split(&fresh, dir, split, seed, err);
    if (status)
        data_splits_free(&fresh);
    else
        *splits = fresh;
    return status;
}

/* ---- hashes --------------------------------------------------------------------------------------------------------------- */

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
    enum rudd_status status = n < 0 ? rudd_fail(err, RUDD_IO, "%s: cannot read: %s", path, strerror(errno)) : RUDD_OK;
    close(fd);
    if (!status) nn_sha256_hex(hex, &hash);
    return status;
}

void data_set_hash(char hex[NN_SHA256_HEX], const struct data_set *set)
{
    struct nn_sha256 root;
    nn_sha256_init(&root);
    for (int i = 0; i < set->count; i++) {
        char content[NN_SHA256_HEX] = "unreadable";
        const char *class = set->class_names[set->items[i].label], *file = strrchr(set->items[i].path, '/') + 1;
        data_file_hash(content, set->items[i].path, NULL);
        nn_sha256_update(&root, class, strlen(class));
        nn_sha256_update(&root, "/", 1);
        nn_sha256_update(&root, file, strlen(file));
        nn_sha256_update(&root, " ", 1);
        nn_sha256_update(&root, content, strlen(content));
        nn_sha256_update(&root, "\n", 1);
    }
    nn_sha256_hex(hex, &root);
}
