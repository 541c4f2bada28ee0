/* splits.c - train, val and test: found as folders or in a list, or made.
 *
 * Making ranks the pictures of a class by a hash of (seed, class, name) and cuts the ranking: a
 * picture that is added or removed later moves few others, and classes do not influence each other.
 *
 * A folder called train/ is not always a split: a set of vehicles has train/, bus/ and car/. It is
 * one when class folders or a list are in it, and beside it are val/ or test/, or no pictures. */
#include "data/sets/listing.h"
#include "nn/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The usual name first; it wins where a folder has two of them. */
static const struct {
    const char *names[5];
} spellings[DATA_SPLITS] = {
    {{"train", "training"}}, {{"val", "valid", "validation", "dev"}}, {{"test", "testing"}}};

const char *data_split_name(int split)
{
    return spellings[split].names[0];
}

/* How good a name for this split: 0 is the usual one; -1: none. */
static int rank_of_name(int split, const char *name)
{
    if (strcmp(name, spellings[split].names[0]) == 0) return 0;
    for (int i = 0; spellings[split].names[i]; i++)
        if (strcasecmp(name, spellings[split].names[i]) == 0) return i + 1;
    return -1;
}

int data_split_of_name(const char *name)
{
    for (int split = 0; split < DATA_SPLITS; split++)
        if (rank_of_name(split, name) >= 0) return split;
    return -1;
}

/* ---- where they are ------------------------------------------------------------------------ */

static enum rudd_status stop_at_first(void *user, const char *path, struct rudd_error *err)
{
    (void)path;
    *(bool *)user = true;
    return rudd_fail(err, RUDD_CANCELLED, "one is enough");
}

static enum rudd_status look_for_pictures(bool *found, const char *folder, struct rudd_error *err)
{
    struct data_account left = {0};
    const struct data_walk walk = {.picture = stop_at_first, .user = found, .account = &left};
    *found = false;
    enum rudd_status status = data_walk(&walk, folder, err);
    data_account_free(&left);
    return *found || status == RUDD_IO ? RUDD_OK : status; /* what is closed shows none */
}

static bool is_candidate(const struct data_entry *e)
{
    return e->kind == DATA_ENTRY_FOLDER && e->name[0] != '.' && !data_is_system_folder(e->name);
}

/* Whether class folders, or a list of labels, are in it. */
static enum rudd_status look_for_classes(bool *found, const char *folder, struct rudd_error *err)
{
    struct data_entry *entries = NULL;
    int count = 0;
    char *list = NULL;
    enum rudd_status status = data_listing_find(&list, folder, err);
    *found = list;
    rudd_free(list);
    if (status || *found) return status;
    status = data_entries_read(&entries, &count, folder, err);
    for (int i = 0; i < count && !*found; i++) *found = is_candidate(&entries[i]);
    data_entries_free(entries, count);
    return status == RUDD_IO ? RUDD_OK : status; /* its own scan will say so */
}

/* The folders of dir. */
struct found {
    const char *dir;
    struct data_entry *entries;
    int count;
    int at[DATA_SPLITS]; /* entry of each split; -1: none */
};

static void find_splits(struct found *f)
{
    for (int split = 0; split < DATA_SPLITS; split++) {
        int best = -1;
        f->at[split] = -1;
        for (int i = 0; i < f->count; i++) {
            const int rank =
                is_candidate(&f->entries[i]) ? rank_of_name(split, f->entries[i].name) : -1;
            if (rank < 0 || (best >= 0 && best <= rank)) continue;
            best = rank;
            f->at[split] = i;
        }
    }
}

static bool is_split_at(const struct found *f, int entry)
{
    for (int split = 0; split < DATA_SPLITS; split++)
        if (f->at[split] == entry) return true;
    return false;
}

/* Folders that are no split: *pictures says whether one of them holds any, if asked; each is
 * counted in *left, if asked. */
static enum rudd_status look_beside(const struct found *f, bool *pictures,
                                    struct data_account *left, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    if (pictures) *pictures = false;
    for (int i = 0; i < f->count && !status && !(pictures && *pictures); i++) {
        if (!is_candidate(&f->entries[i]) || is_split_at(f, i)) continue;
        char *path = data_path_join(f->dir, f->entries[i].name);
        if (!path) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to look into it", f->dir);
        if (pictures) status = look_for_pictures(pictures, path, err);
        if (left) data_account_add(left, DATA_LEFT_BESIDE, path, NULL);
        rudd_free(path);
    }
    return status;
}

/* Pictures alone in train/ are a class where other classes stand beside it; where none do, the
 * reader of train/ will say what is missing. */
static enum rudd_status decide(bool *split, const struct found *f, const char *train,
                               struct rudd_error *err)
{
    const bool partner = f->at[DATA_VAL] >= 0 || f->at[DATA_TEST] >= 0;
    bool classes = false, beside = false;
    enum rudd_status status = look_for_classes(&classes, train, err);
    if (!status && !(classes && partner)) status = look_beside(f, &beside, NULL, err);
    *split = classes ? partner || !beside : partner && !beside;
    return status;
}

static enum rudd_status fill_layout(struct data_layout *layout, const struct found *f,
                                    struct data_account *account, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    for (int split = 0; split < DATA_SPLITS; split++) {
        if (f->at[split] < 0) continue;
        const char *name = f->entries[f->at[split]].name;
        layout->folder[split] = data_path_join(f->dir, name);
        if (!layout->folder[split])
            status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its splits", f->dir);
        if (account && layout->folder[split] && strcmp(name, data_split_name(split)) != 0)
            data_account_note(account, "%s/ is taken for %s/", layout->folder[split],
                              data_split_name(split));
    }
    if (!status && layout->folder[DATA_TRAIN])
        status = decide(&layout->split, f, layout->folder[DATA_TRAIN], err);
    return status;
}

enum rudd_status data_layout_find(struct data_layout *layout, const char *dir,
                                  struct data_account *account, struct rudd_error *err)
{
    struct data_account fresh = {0};
    struct found f = {.dir = dir};
    *layout = (struct data_layout){0};
    if (data_is_listing(dir)) return RUDD_OK;
    enum rudd_status status = data_entries_read(&f.entries, &f.count, dir, err);
    if (status) return status;
    find_splits(&f);
    status = fill_layout(layout, &f, account ? &fresh : NULL, err);
    if (!status && layout->split && account) status = look_beside(&f, NULL, &fresh, err);
    if (!status && layout->split && account) data_account_merge(account, &fresh);
    data_account_free(&fresh);
    if (status || !layout->split) data_layout_free(layout);
    data_entries_free(f.entries, f.count);
    return status;
}

void data_layout_free(struct data_layout *layout)
{
    for (int split = 0; split < DATA_SPLITS; split++) rudd_free(layout->folder[split]);
    *layout = (struct data_layout){0};
}

bool data_has_splits(const char *dir)
{
    struct data_layout layout;
    const bool split = data_layout_find(&layout, dir, NULL, NULL) == RUDD_OK && layout.split;
    data_layout_free(&layout);
    return split;
}

/* ---- three folders ------------------------------------------------------------------------- */

void data_splits_free(struct data_splits *splits)
{
    data_set_free(&splits->train);
    data_set_free(&splits->val);
    data_set_free(&splits->test);
    data_account_free(&splits->left);
}

static enum rudd_status count_unlabelled(void *user, const char *path, struct rudd_error *err)
{
    (void)err;
    data_account_add(user, DATA_LEFT_UNLABELLED, path, NULL);
    return RUDD_OK;
}

/* A val/ or test/ without class folders: flat, as Kaggle gives unlabelled pictures, or empty. */
static enum rudd_status scan_flat(struct data_account *left, const char *folder,
                                  struct rudd_error *err)
{
    const struct data_walk walk = {.picture = count_unlabelled, .user = left, .account = left};
    const int before = left->count[DATA_LEFT_UNLABELLED];
    enum rudd_status status = data_walk(&walk, folder, err);
    if (!status)
        data_account_note(left, "%s/ is not used: it has %s", folder,
                          left->count[DATA_LEFT_UNLABELLED] > before
                              ? "pictures but no class folders"
                              : "no pictures");
    return status;
}

static enum rudd_status scan_folders(struct data_splits *splits, const struct data_layout *layout,
                                     struct rudd_error *err)
{
    struct data_set *const sets[DATA_SPLITS] = {&splits->train, &splits->val, &splits->test};
    const struct data_set *train = &splits->train;
    enum rudd_status status =
        data_set_scan(sets[DATA_TRAIN], layout->folder[DATA_TRAIN], NULL, 0, err);
    for (int i = DATA_VAL; i < DATA_SPLITS && !status; i++) {
        const char *folder = layout->folder[i];
        bool classes = false, pictures = false;
        if (folder) status = look_for_classes(&classes, folder, err);
        if (classes) status = look_for_pictures(&pictures, folder, err);
        if (status) break;
        if (pictures)
            status = data_set_scan(sets[i], folder, train->class_names, train->class_count, err);
        else {
            status = data_set_name(sets[i], train->class_names, train->class_count, err);
            if (!status && folder) status = scan_flat(&splits->left, folder, err);
        }
    }
    for (int i = 0; i < DATA_SPLITS && !status; i++)
        data_account_merge(&splits->left, &sets[i]->left);
    return status;
}

/* ---- one set, divided ---------------------------------------------------------------------- */

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

/* The ranking of a class, last first, fills test, then val; train takes the rest. A group of
 * pictures that belong together is one unit, in the class and at the place of its leader. It goes
 * where it fits: the next unit may fit better than a large one. size[leader]: pictures of a group.
 */
static void split_class(int *part, struct ranked *rank, const struct data_set *all, int first,
                        int end, const int *leader, const int *size, const double split[3],
                        uint64_t seed)
{
    int units = 0, n = 0;
    const uint64_t class = hash_text(seed, all->class_names[all->items[first].label]);
    for (int i = first; i < end; i++) {
        const struct data_item *item = &all->items[i];
        if (leader && leader[i] != i) continue;
        rank[units++] = (struct ranked){hash_text(class, item->path + item->name), i};
        n += leader ? size[i] : 1;
    }
    if (!units) return; /* all belong to groups of other classes */
    qsort(rank, (size_t)units, sizeof *rank, by_key);
    int val = (int)(n * split[1] + 0.5), test = (int)(n * split[2] + 0.5);
    while (val + test > n - (split[0] > 0)) { /* one or two pictures: train first, then val */
        if (test > 0)
            test--;
        else
            val--;
    }
    for (int i = units - 1; i >= 0; i--) {
        const int index = rank[i].index, pictures = leader ? size[index] : 1;
        int *left = pictures <= test ? &test : pictures <= val ? &val : NULL;
        part[index] = left == &test ? DATA_TEST : left == &val ? DATA_VAL : DATA_TRAIN;
        if (left) *left -= pictures;
    }
}

/* Moves item i of all into split part[i]. */
static enum rudd_status take_parts(struct data_splits *splits, struct data_set *all,
                                   const int *part, struct rudd_error *err)
{
    struct data_set *const sets[DATA_SPLITS] = {&splits->train, &splits->val, &splits->test};
    int room[DATA_SPLITS] = {0};
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < DATA_SPLITS && !status; i++)
        status = data_set_name(sets[i], all->class_names, all->class_count, err);
    for (int i = 0; i < all->count && !status; i++) {
        struct data_item item = all->items[i];
        all->items[i].path = NULL;
        status = data_set_add(sets[part[i]], &room[part[i]], item.path, item.label, item.name, err);
    }
    data_account_merge(&splits->left, &all->left);
    return status;
}

enum rudd_status data_splits_make(struct data_splits *splits, struct data_set *all,
                                  const int *leader, const double split[3], uint64_t seed,
                                  struct rudd_error *err)
{
    const size_t room = (size_t)all->count + 1;
    int *part = rudd_alloc(room * sizeof *part), *size = rudd_zalloc(room, sizeof *size);
    struct ranked *rank = rudd_alloc(room * sizeof *rank);
    enum rudd_status status = RUDD_OK;
    if (!part || !rank || !size)
        status = rudd_fail(err, RUDD_NO_MEMORY, "no memory to split %d pictures", all->count);
    for (int i = 0; i < all->count && !status && leader; i++) size[leader[i]]++;
    for (int first = 0, end; !status && first < all->count; first = end) {
        for (end = first; end < all->count && all->items[end].label == all->items[first].label;)
            end++;
        split_class(part, rank, all, first, end, leader, size, split, seed);
    }
    for (int i = 0; i < all->count && !status && leader; i++) part[i] = part[leader[i]];
    if (!status) status = take_parts(splits, all, part, err);
    rudd_free(rank);
    rudd_free(size);
    rudd_free(part);
    return status;
}

enum rudd_status data_shares_check(const double split[3], struct rudd_error *err)
{
    const double sum = split[0] + split[1] + split[2];
    if (split[0] > 0 && split[1] >= 0 && split[2] >= 0 && sum > 0.999 && sum < 1.001)
        return RUDD_OK;
    return rudd_fail(
        err, RUDD_ARGUMENT,
        "split %g,%g,%g: three shares (train, val, test) that add up to 1, train above 0", split[0],
        split[1], split[2]);
}

static enum rudd_status scan_and_split(struct data_splits *splits, const char *dir,
                                       const double split[3], uint64_t seed, struct rudd_error *err)
{
    struct data_set all = {0};
    enum rudd_status status = data_set_scan(&all, dir, NULL, 0, err);
    if (!status) status = data_splits_make(splits, &all, NULL, split, seed, err);
    data_set_free(&all);
    return status;
}

enum rudd_status data_splits_scan(struct data_splits *splits, const char *dir,
                                  const double split[3], uint64_t seed, struct rudd_error *err)
{
    static const double standard[3] = {0.7, 0.15, 0.15};
    if (!split) split = standard;
    struct data_splits fresh = {0};
    struct data_layout layout;
    char *list = NULL;
    enum rudd_status status = data_shares_check(split, err);
    if (!status) status = data_listing_find(&list, dir, err);
    if (!status && list) status = data_listing_splits(&fresh, list, err);
    if (!status && !list) status = data_layout_find(&layout, dir, &fresh.left, err);
    if (!status && !list) {
        fresh.divided = layout.split;
        if (fresh.divided) status = scan_folders(&fresh, &layout, err);
        data_layout_free(&layout);
    }
    if (!status && !fresh.divided) status = scan_and_split(&fresh, dir, split, seed, err);
    rudd_free(list);
    if (status)
        data_splits_free(&fresh);
    else
        *splits = fresh;
    return status;
}
