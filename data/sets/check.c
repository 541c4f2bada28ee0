/* check.c - finds broken pictures, duplicates, leaks between splits, and classes that do not match.
 *
 *     each file: read once (looks.c) -> SHA-256 of its bytes (equal files) + decode (broken ones)
 *                                    -> its look (near.c: those of one photograph)
 *
 * Texts are bounded: of each kind the first DATA_FAULT_TEXTS are kept and all are counted, and
 * pictures that are alike are told as groups. The work grows with the number of pictures.
 *
 * Not here: printing, repairing. */
#include "data/sets/check.h"
#include "data/sets/listing.h"
#include "data/sets/looks.h"
#include "data/sets/spelling.h"
#include "nn/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUGGESTED = 20, SHOWN = 3 };

static const struct {
    const char *name;
    bool hint;
} kinds[DATA_FAULT_KINDS] = {
    [DATA_CORRUPT] = {"corrupt", false},
    [DATA_LEAK] = {"leak", false},
    [DATA_CONFLICT] = {"conflict", false},
    [DATA_DUPLICATE] = {"duplicate", false},
    [DATA_EMPTY_CLASS] = {"empty_class", false},
    [DATA_CLASS_MISMATCH] = {"class_mismatch", false},
    [DATA_NEAR] = {"near", true},
    [DATA_DAMAGED] = {"damaged", true},
};

const char *data_fault_name(enum data_fault_kind kind)
{
    return kinds[kind].name;
}

struct split {
    const char *name; /* "train"; "" when the folder is not split */
    char *folder;
    struct data_set set;
};

struct check {
    struct data_report *report;
    struct split splits[DATA_SPLITS];
    int split_count;
    struct data_looks looks;
};

void data_report_free(struct data_report *report)
{
    for (int i = 0; i < report->count; i++) rudd_free(report->faults[i].text);
    for (int i = 0; i < report->alike_count; i++)
        for (int k = 0; k < report->alike[i].path_count; k++) rudd_free(report->alike[i].paths[k]);
    rudd_free(report->faults);
    rudd_free(report->alike);
    data_account_free(&report->left);
    *report = (struct data_report){0};
}

static enum rudd_status RUDD_PRINTF(4, 5) note(struct data_report *r, enum data_fault_kind kind,
                                               struct rudd_error *err, const char *format, ...)
{
    struct rudd_error line;
    va_list args;
    if (!kinds[kind].hint) r->faulty++;
    if (r->counts[kind]++ >= DATA_FAULT_TEXTS) return RUDD_OK;
    va_start(args, format);
    vsnprintf(line.message, sizeof line.message, format, args);
    va_end(args);
    if (r->count == r->room) {
        int room = r->room ? 2 * r->room : 16;
        struct data_fault *larger = rudd_realloc(r->faults, (size_t)room * sizeof *larger);
        if (!larger)
            return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a list of %d faults", room);
        r->faults = larger;
        r->room = room;
    }
    char *text = rudd_strdup(line.message);
    if (!text)
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a list of %d faults", r->count + 1);
    r->faults[r->count++] = (struct data_fault){kind, text};
    return RUDD_OK;
}

static const char *path_of(const struct check *c, int picture)
{
    const struct data_looked *p = &c->looks.pictures[picture];
    return c->splits[p->set].set.items[p->item].path;
}

static int label_of(const struct check *c, int picture)
{
    const struct data_looked *p = &c->looks.pictures[picture];
    return c->splits[p->set].set.items[p->item].label;
}

static int split_of(const struct check *c, int picture)
{
    return c->looks.pictures[picture].set;
}

/* ---- folders ------------------------------------------------------------------------------- */

static enum rudd_status open_split(struct check *c, const char *dir, const char *name,
                                   struct rudd_error *err)
{
    struct split *s = &c->splits[c->split_count];
    struct rudd_error why;
    *s = (struct split){.name = name, .folder = rudd_strdup(dir)};
    if (!s->folder) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to check it", dir);
    c->split_count++;
    enum rudd_status status = data_set_scan(&s->set, s->folder, NULL, 0, &why);
    data_account_merge(&c->report->left, &s->set.left);
    if (status == RUDD_FORMAT) return note(c->report, DATA_EMPTY_CLASS, err, "%s", why.message);
    return status ? rudd_fail(err, status, "%s", why.message) : RUDD_OK;
}

/* A list that divides its pictures: its sets become the splits. */
static enum rudd_status take_list(struct check *c, const char *list, bool *divided,
                                  struct rudd_error *err)
{
    struct data_splits splits = {0};
    enum rudd_status status = data_listing_splits(&splits, list, err);
    struct data_set *const sets[DATA_SPLITS] = {&splits.train, &splits.val, &splits.test};
    *divided = splits.divided;
    data_account_merge(&c->report->left, &splits.left);
    for (int i = 0; i < DATA_SPLITS && !status && splits.divided; i++) {
        if (!sets[i]->count) continue;
        struct split *s = &c->splits[c->split_count++];
        *s = (struct split){data_split_name(i), rudd_strdup(list), *sets[i]};
        *sets[i] = (struct data_set){0};
        if (!s->folder) status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to check it", list);
    }
    data_splits_free(&splits);
    return status;
}

static enum rudd_status open_splits(struct check *c, const char *dir, struct rudd_error *err)
{
    struct data_layout layout;
    char *list = NULL;
    bool divided = false;
    enum rudd_status status = data_listing_find(&list, dir, err);
    if (!status && list) status = take_list(c, list, &divided, err);
    rudd_free(list);
    if (status || divided) return status;
    status = data_layout_find(&layout, dir, &c->report->left, err);
    if (!status && !layout.split) status = open_split(c, dir, "", err);
    for (int i = 0; i < DATA_SPLITS && !status; i++)
        if (layout.folder[i]) status = open_split(c, layout.folder[i], data_split_name(i), err);
    data_layout_free(&layout);
    return status;
}

static enum rudd_status check_classes(struct check *c, const struct split *s,
                                      struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    int *counts = data_set_counts(&s->set);
    if (!counts) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to check it", s->folder);
    if (s->set.class_count > c->report->classes) c->report->classes = s->set.class_count;
    for (int label = 0; label < s->set.class_count && !status; label++)
        if (!counts[label])
            status = note(c->report, DATA_EMPTY_CLASS, err, "%s/%s: no pictures in this class",
                          s->folder, s->set.class_names[label]);
    rudd_free(counts);
    return status;
}

/* Classes of s that `other` has not, with the name there that is nearest for the first of them. */
static enum rudd_status check_names(struct check *c, const struct split *s,
                                    const struct split *other, struct rudd_error *err)
{
    struct data_spellings spellings;
    int count = other->set.class_count, missing = 0;
    char **names = other->set.class_names;
    if (!count) return RUDD_OK;
    enum rudd_status status = data_spellings_make(&spellings, names, count, other->folder, err);
    for (int i = 0; i < s->set.class_count && !status; i++) {
        const char *name = s->set.class_names[i], *near = NULL;
        int found;
        status = data_spellings_find(&found, &spellings, name, err);
        if (status || found >= 0) continue;
        if (missing++ < SUGGESTED)
            near = nn_option_nearest(name, (const char *const *)names, count);
        status = note(c->report, DATA_CLASS_MISMATCH, err, "class %s is in %s but not in %s%s%s%s",
                      name, s->name, other->name, near ? "; is it the same as " : "",
                      near ? near : "", near ? "?" : "");
    }
    data_spellings_free(&spellings);
    return status;
}

static enum rudd_status check_folders(struct check *c, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    for (int s = 0; s < c->split_count && !status; s++) {
        status = check_classes(c, &c->splits[s], err);
        for (int other = 0; other < c->split_count && !status; other++)
            if (other != s) status = check_names(c, &c->splits[s], &c->splits[other], err);
    }
    return status;
}

/* ---- equal files --------------------------------------------------------------------------- */

/* The first of equal files is the original; each other one is a fault of the gravest kind. */
static enum rudd_status find_equal(struct check *c, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    int *order = data_looks_by_hash(&c->looks);
    if (!order)
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory to compare %d pictures", c->looks.count);
    for (int i = 1, first = 0; i < c->looks.count && !status; i++) {
        const int a = order[first], b = order[i];
        const char *hash = c->looks.pictures[b].hash;
        if (!hash[0] || strcmp(c->looks.pictures[a].hash, hash) != 0) {
            first = i;
            continue;
        }
        enum data_fault_kind kind = split_of(c, a) != split_of(c, b)   ? DATA_LEAK
                                    : label_of(c, a) != label_of(c, b) ? DATA_CONFLICT
                                                                       : DATA_DUPLICATE;
        status =
            note(c->report, kind, err, "%s: the same file as %s", path_of(c, b), path_of(c, a));
    }
    rudd_free(order);
    return status;
}

/* ---- pictures of one photograph ------------------------------------------------------------ */

/* Members of one group, [first, first + count) of a list of pictures. */
struct group {
    int first, count, splits, classes;
};

/* Across splits first, then across classes; each in the order of its first picture. */
static int by_weight(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    if ((x->splits > 1) != (y->splits > 1)) return (y->splits > 1) - (x->splits > 1);
    if ((x->classes > 1) != (y->classes > 1)) return (y->classes > 1) - (x->classes > 1);
    return x->first - y->first;
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Different labels, and different splits, of a group. Labels are each split's own. */
static void measure(const struct check *c, const int *list, struct group *g, int *labels)
{
    int splits = 0;
    for (int i = 0; i < g->count; i++) {
        labels[i] = label_of(c, list[g->first + i]);
        splits |= 1 << split_of(c, list[g->first + i]);
    }
    qsort(labels, (size_t)g->count, sizeof *labels, by_number);
    for (int i = 0; i < g->count; i++) g->classes += i == 0 || labels[i] != labels[i - 1];
    g->splits = __builtin_popcount((unsigned)splits);
}

static bool all_equal(const struct check *c, const int *list, const struct group *g)
{
    const char *first = c->looks.pictures[list[g->first]].hash;
    for (int i = 1; i < g->count; i++)
        if (strcmp(c->looks.pictures[list[g->first + i]].hash, first) != 0) return false;
    return true;
}

static enum rudd_status tell_group(struct check *c, const int *list, const struct group *g,
                                   struct rudd_error *err)
{
    struct data_report *r = c->report;
    char names[1500] = "", where[80] = "";
    size_t used = 0;
    const bool kept = r->counts[DATA_NEAR] < DATA_FAULT_TEXTS;
    for (int i = 0; i < g->count && i < SHOWN && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%.450s", i ? ", " : "",
                                 path_of(c, list[g->first + i]));
    if (g->splits > 1 || g->classes > 1)
        snprintf(where, sizeof where, " in %d %s", g->splits > 1 ? g->splits : g->classes,
                 g->splits > 1 ? "splits" : "classes");
    enum rudd_status status = note(r, DATA_NEAR, err, "%d pictures%s look alike: %s%s", g->count,
                                   where, names, g->count > SHOWN ? ", ..." : "");
    if (status || !kept) return status;
    struct data_alike *alike = &r->alike[r->alike_count++];
    *alike = (struct data_alike){.pictures = g->count, .splits = g->splits, .classes = g->classes};
    for (int i = 0; i < g->count && i < DATA_ALIKE_PATHS; i++) {
        char *path = rudd_strdup(path_of(c, list[g->first + i]));
        if (!path) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for a list of pictures");
        alike->paths[alike->path_count++] = path;
    }
    return RUDD_OK;
}

/* list: all pictures, those of a group together, groups by their leaders, members in order. */
static void gather(int *list, struct group *groups, int *group_count, const int *leader, int count)
{
    int *size = list, n = 0; /* sizes first, in the place of the list */
    memset(size, 0, (size_t)count * sizeof *size);
    for (int i = 0; i < count; i++) size[leader[i]]++;
    for (int i = 0; i < count; i++) {
        groups[i] = (struct group){.first = n, .count = 0};
        n += size[i];
    }
    for (int i = 0; i < count; i++) {
        struct group *g = &groups[leader[i]];
        list[g->first + g->count++] = i;
    }
    *group_count = 0;
    for (int i = 0; i < count; i++)
        if (groups[i].count > 1) groups[(*group_count)++] = groups[i];
}

static enum rudd_status find_alike(struct check *c, struct rudd_error *err)
{
    struct data_near_found found = {0};
    struct data_report *r = c->report;
    const size_t room = (size_t)c->looks.count + 1;
    int count = 0, *list = rudd_alloc(room * sizeof *list),
        *labels = rudd_alloc(room * sizeof *labels);
    struct group *groups = rudd_alloc(room * sizeof *groups);
    r->alike = rudd_zalloc(DATA_FAULT_TEXTS, sizeof *r->alike);
    enum rudd_status status =
        list && labels && groups && r->alike
            ? data_looks_group(&found, &c->looks, err)
            : rudd_fail(err, RUDD_NO_MEMORY, "no memory to group %d pictures", c->looks.count);
    if (!status) {
        gather(list, groups, &count, found.leader, c->looks.count);
        for (int i = 0; i < count; i++) measure(c, list, &groups[i], labels);
        qsort(groups, (size_t)count, sizeof *groups, by_weight);
    }
    for (int i = 0; i < count && !status; i++)
        if (!all_equal(c, list, &groups[i])) status = tell_group(c, list, &groups[i], err);
    r->searched = true;
    r->plain = found.plain;
    r->cut = found.cut;
    data_near_free(&found);
    rudd_free(list);
    rudd_free(labels);
    rudd_free(groups);
    return status;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static enum rudd_status read_pictures(struct check *c, const struct data_check_options *options,
                                      struct rudd_error *err)
{
    const struct data_set *sets[DATA_SPLITS];
    for (int s = 0; s < c->split_count; s++) sets[s] = &c->splits[s].set;
    enum rudd_status status = data_looks_read(&c->looks, sets, c->split_count, options->near,
                                              options->threads, options->limits, err);
    for (int i = 0; i < c->looks.count && !status; i++) {
        const struct data_looked *p = &c->looks.pictures[i];
        if (p->fault) status = note(c->report, DATA_CORRUPT, err, "%s", p->fault);
        if (p->note) status = note(c->report, DATA_DAMAGED, err, "%s: %s", path_of(c, i), p->note);
    }
    c->report->pictures = c->looks.count;
    return status;
}

enum rudd_status data_check(struct data_report *report, const char *dir,
                            const struct data_check_options *options, struct rudd_error *err)
{
    struct data_report fresh = {0};
    struct check c = {.report = &fresh};
    enum rudd_status status = open_splits(&c, dir, err);
    if (!status) status = check_folders(&c, err);
    if (!status) status = read_pictures(&c, options, err);
    if (!status) status = find_equal(&c, err);
    if (!status && options->near) status = find_alike(&c, err);

    data_looks_free(&c.looks);
    for (int s = 0; s < c.split_count; s++) {
        data_set_free(&c.splits[s].set);
        rudd_free(c.splits[s].folder);
    }
    if (status)
        data_report_free(&fresh);
    else
        *report = fresh;
    return status;
}

enum rudd_status data_set_groups(int **leader, int *groups, int *grouped,
                                 const struct data_set *set, int threads,
                                 const struct data_limits *limits, struct rudd_error *err)
{
    struct data_looks looks;
    struct data_near_found found = {0};
    enum rudd_status status = data_looks_read(&looks, &set, 1, true, threads, limits, err);
    if (status) return status;
    status = data_looks_group(&found, &looks, err);
    data_looks_free(&looks);
    if (status) return status;
    int *size = rudd_zalloc((size_t)set->count + 1, sizeof *size);
    if (!size) {
        data_near_free(&found);
        return rudd_fail(err, RUDD_NO_MEMORY, "no memory to group %d pictures", set->count);
    }
    *groups = *grouped = 0;
    for (int i = 0; i < set->count; i++) size[found.leader[i]]++;
    for (int i = 0; i < set->count; i++) {
        *groups += size[i] > 1;
        *grouped += size[i] > 1 ? size[i] : 0;
    }
    rudd_free(size);
    *leader = found.leader;
    return RUDD_OK;
}
