/* listing.c - see listing.h.
 *
 *     bytes --CSV | COCO--> rows (file, label, split) --one row a file--> items of a set
 *
 * A list of boxes names a picture once a box: rows of one file become one, and the picture has
 * several classes where their labels differ. */
#include "data/sets/listing.h"
#include "data/image/formats.h"
#include "data/sets/spelling.h"
#include "data/table/csv.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_LIST = 1 << 30 }; /* bytes of a list: that of 20 million pictures */

static bool ends_with(const char *name, const char *ending)
{
    const size_t n = strlen(name), e = strlen(ending);
    return n > e && strcasecmp(name + n - e, ending) == 0;
}

static bool is_json(const char *name)
{
    return ends_with(name, ".json");
}

static enum rudd_status no_memory(const char *name, struct rudd_error *err)
{
    return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for its list of pictures", name);
}

/* ---- rows ---------------------------------------------------------------------------------- */

void data_listing_free(struct data_rows_read *read)
{
    for (int i = 0; i < read->count; i++) {
        rudd_free(read->rows[i].file);
        rudd_free(read->rows[i].label);
    }
    rudd_free(read->rows);
    *read = (struct data_rows_read){0};
}

/* Appends a row; label may be NULL. */
static enum rudd_status add_row(struct data_rows_read *read, int *room, const char *file,
                                const char *label, int split, const char *name,
                                struct rudd_error *err)
{
    if (read->count == *room) {
        const int more = *room ? 2 * *room : 256;
        struct data_listed *larger = rudd_realloc(read->rows, (size_t)more * sizeof *larger);
        if (!larger) return no_memory(name, err);
        read->rows = larger;
        *room = more;
    }
    struct data_listed row = {rudd_strdup(file), label ? rudd_strdup(label) : NULL, split, false};
    read->rows[read->count++] = row;
    return row.file && (row.label || !label) ? RUDD_OK : no_memory(name, err);
}

static int by_file(const void *a, const void *b)
{
    const struct data_listed *x = a, *y = b;
    int order = strcmp(x->file, y->file);
    if (!order && x->label && y->label) order = strcmp(x->label, y->label);
    return order ? order : !!y->label - !!x->label;
}

/* One row a file. RUDD_FORMAT: a file in two splits. */
static enum rudd_status merge_rows(struct data_rows_read *read, const char *name,
                                   struct rudd_error *err)
{
    int n = 0;
    enum rudd_status status = RUDD_OK;
    if (read->count) qsort(read->rows, (size_t)read->count, sizeof *read->rows, by_file);
    for (int i = 0; i < read->count; i++) {
        struct data_listed *last = n ? &read->rows[n - 1] : NULL, row = read->rows[i];
        if (!last || strcmp(last->file, row.file) != 0) {
            read->rows[n++] = row;
            continue;
        }
        if (row.label && strcmp(last->label, row.label) != 0) last->several = true;
        if (!status && row.split != last->split)
            status = rudd_fail(err, RUDD_FORMAT, "%s: %s stands in two splits", name, row.file);
        rudd_free(row.file);
        rudd_free(row.label);
    }
    read->count = n;
    return status;
}

/* ---- CSV ----------------------------------------------------------------------------------- */

enum { FILE_COLUMN, LABEL_COLUMN, SPLIT_COLUMN, COLUMNS };
static const char *const heads[COLUMNS] = {
    " file file_name filename path image image_path ",
    " label class category species target class_name ",
    " split subset set ",
};

/* Which column a head names; -1: none of ours. */
static int column_of(const char *head)
{
    char word[40];
    if (strchr(head, ' ') || snprintf(word, sizeof word, " %s ", head) >= (int)sizeof word)
        return -1;
    for (char *c = word; *c; c++) *c = (char)tolower((unsigned char)*c);
    for (int k = 0; k < COLUMNS; k++)
        if (strstr(heads[k], word)) return k;
    return -1;
}

/* at[column] = its place in a row, or -1. *headless: the first row is data, file,label[,split]. */
static bool find_columns(int at[COLUMNS], bool *headless, const struct data_csv *csv)
{
    for (int k = 0; k < COLUMNS; k++) at[k] = -1;
    for (int i = 0; i < csv->count; i++) {
        const int k = column_of(csv->fields[i]);
        if (k >= 0 && at[k] < 0) at[k] = i;
    }
    *headless = csv->count >= 2 && csv->count <= 3 && at[FILE_COLUMN] < 0 && at[LABEL_COLUMN] < 0 &&
                data_format_of_name(csv->fields[0]);
    for (int k = 0; *headless && k < COLUMNS; k++) at[k] = k < csv->count ? k : -1;
    return at[FILE_COLUMN] >= 0 && at[LABEL_COLUMN] >= 0;
}

static enum rudd_status refuse_heads(const struct data_csv *csv, struct rudd_error *err)
{
    char found[300] = "";
    size_t used = 0;
    for (int i = 0; i < csv->count && used < sizeof found; i++)
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%.60s", i ? ", " : "",
                                 csv->fields[i]);
    return rudd_fail(err, RUDD_FORMAT,
                     "%s: its columns are %s; expected one of pictures (file) and one of classes "
                     "(label), and maybe split",
                     csv->name, csv->count ? found : "missing");
}

static enum rudd_status read_split(int *split, const struct data_csv *csv, int at,
                                   struct rudd_error *err)
{
    *split = at < 0 ? -1 : data_split_of_name(csv->fields[at]);
    if (at < 0 || *split >= 0) return RUDD_OK;
    return rudd_fail(err, RUDD_FORMAT, "%s:%d: split is \"%.60s\"; expected train, val or test",
                     csv->name, csv->line, csv->fields[at]);
}

static enum rudd_status read_csv(struct data_rows_read *read, struct data_csv *csv,
                                 struct rudd_error *err)
{
    int at[COLUMNS], room = 0, needed = 0;
    bool more, headless;
    enum rudd_status status = data_csv_next(csv, &more, err);
    if (status) return status;
    if (!find_columns(at, &headless, csv)) return refuse_heads(csv, err);
    read->divided = at[SPLIT_COLUMN] >= 0;
    for (int k = 0; k < COLUMNS; k++) needed = at[k] >= needed ? at[k] + 1 : needed;
    if (!headless) status = data_csv_next(csv, &more, err);
    while (!status && more) {
        int split = -1;
        if (csv->count < needed)
            status = rudd_fail(err, RUDD_FORMAT, "%s:%d: found %d fields, expected %d or more",
                               csv->name, csv->line, csv->count, needed);
        if (!status) status = read_split(&split, csv, at[SPLIT_COLUMN], err);
        if (!status && !csv->fields[at[FILE_COLUMN]][0])
            status = rudd_fail(err, RUDD_FORMAT, "%s:%d: no file is named", csv->name, csv->line);
        const char *label = status ? "" : csv->fields[at[LABEL_COLUMN]];
        if (!status)
            status = add_row(read, &room, csv->fields[at[FILE_COLUMN]], *label ? label : NULL,
                             split, csv->name, err);
        if (!status) status = data_csv_next(csv, &more, err);
    }
    return status;
}

/* ---- COCO ---------------------------------------------------------------------------------- */

/* Numbers of pictures or categories, to what they name. */
struct numbered {
    json_int_t id;
    const char *text;
};

static int by_id(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static const char *find_text(const struct numbered *list, size_t count, json_int_t id)
{
    const struct numbered key = {id, NULL};
    const struct numbered *found = count ? bsearch(&key, list, count, sizeof *list, by_id) : NULL;
    return found ? found->text : NULL;
}

/* The members `id` and `text` of each object of an array. */
static enum rudd_status number(struct numbered **list, const json_t *root, const char *member,
                               const char *text, const char *name, struct rudd_error *err)
{
    const json_t *array = json_object_get(root, member), *entry;
    const size_t count = json_array_size(array);
    size_t i;
    struct numbered *l = rudd_zalloc(count + 1, sizeof *l);
    if (!l) return no_memory(name, err);
    *list = l;
    json_array_foreach(array, i, entry)
    {
        const json_t *id = json_object_get(entry, "id");
        const char *word = json_string_value(json_object_get(entry, text));
        if (!json_is_integer(id) || !word || !*word)
            return rudd_fail(err, RUDD_FORMAT,
                             "%s: entry %zu of \"%s\" has no \"id\" (a whole number) or no \"%s\"",
                             name, i + 1, member, text);
        l[i] = (struct numbered){json_integer_value(id), word};
    }
    if (count) qsort(l, count, sizeof *l, by_id);
    for (i = 1; i < count; i++)
        if (l[i].id == l[i - 1].id)
            return rudd_fail(err, RUDD_FORMAT, "%s: \"%s\" has the id %lld twice", name, member,
                             (long long)l[i].id);
    return RUDD_OK;
}

static enum rudd_status read_annotations(struct data_rows_read *read, const json_t *root,
                                         const struct numbered *images,
                                         const struct numbered *categories, const char *name,
                                         struct rudd_error *err)
{
    const size_t image_count = json_array_size(json_object_get(root, "images"));
    const size_t category_count = json_array_size(json_object_get(root, "categories"));
    const json_t *entry;
    size_t i;
    int room = 0;
    enum rudd_status status = RUDD_OK;
    /* A row for each picture, so that those without an annotation are counted. */
    for (i = 0; i < image_count && !status; i++)
        status = add_row(read, &room, images[i].text, NULL, -1, name, err);
    json_array_foreach(json_object_get(root, "annotations"), i, entry)
    {
        const json_t *image = json_object_get(entry, "image_id");
        const json_t *category = json_object_get(entry, "category_id");
        const char *file = find_text(images, image_count, json_integer_value(image));
        const char *label = find_text(categories, category_count, json_integer_value(category));
        if (status) break;
        if (!json_is_integer(image) || !json_is_integer(category) || !file || !label)
            status = rudd_fail(err, RUDD_FORMAT,
                               "%s: annotation %zu names an image or a category that is not listed",
                               name, i + 1);
        else
            status = add_row(read, &room, file, label, -1, name, err);
    }
    return status;
}

static enum rudd_status read_coco(struct data_rows_read *read, const char *bytes, size_t length,
                                  const char *name, struct rudd_error *err)
{
    static const char *const members[] = {"images", "annotations", "categories"};
    json_error_t where;
    struct numbered *images = NULL, *categories = NULL;
    enum rudd_status status = RUDD_OK;
    json_t *root = json_loadb(bytes, length, 0, &where);
    if (!root)
        return rudd_fail(err, RUDD_FORMAT, "%s:%d: not JSON: %s", name, where.line, where.text);
    for (int i = 0; i < 3 && !status; i++)
        if (!json_is_array(json_object_get(root, members[i])))
            status = rudd_fail(err, RUDD_FORMAT,
                               "%s: no list \"%s\"; expected COCO's JSON: images, annotations, "
                               "categories",
                               name, members[i]);
    if (!status) status = number(&images, root, "images", "file_name", name, err);
    if (!status) status = number(&categories, root, "categories", "name", name, err);
    if (!status) status = read_annotations(read, root, images, categories, name, err);
    rudd_free(images);
    rudd_free(categories);
    json_decref(root);
    return status;
}

/* ---- files --------------------------------------------------------------------------------- */

enum rudd_status data_listing_read(struct data_rows_read *read, const char *bytes, size_t length,
                                   const char *name, struct rudd_error *err)
{
    struct data_rows_read fresh = {0};
    struct data_csv csv = {0};
    enum rudd_status status;
    if (is_json(name))
        status = read_coco(&fresh, bytes, length, name, err);
    else {
        status = data_csv_begin(&csv, bytes, length, name, err);
        if (!status) status = read_csv(&fresh, &csv, err);
        data_csv_end(&csv);
    }
    if (!status) status = merge_rows(&fresh, name, err);
    if (status)
        data_listing_free(&fresh);
    else
        *read = fresh;
    return status;
}

static enum rudd_status read_file(struct data_rows_read *read, const char *list,
                                  struct rudd_error *err)
{
    uint8_t *bytes = NULL;
    size_t length = 0;
    enum rudd_status status = data_file_read(&bytes, &length, list, MAX_LIST, err);
    if (!status) status = data_listing_read(read, (const char *)bytes, length, list, err);
    rudd_free(bytes);
    return status;
}

bool data_is_listing(const char *path)
{
    struct stat st;
    return (ends_with(path, ".csv") || ends_with(path, ".tsv") || is_json(path)) &&
           !(stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

/* Whether a metadata.csv gives labels: its first row has the columns. */
static enum rudd_status look_at_heads(bool *gives_labels, const char *path, struct rudd_error *err)
{
    struct data_csv csv = {0};
    uint8_t *bytes = NULL;
    size_t length = 0;
    int at[COLUMNS];
    bool more = false, headless;
    enum rudd_status status = data_file_read(&bytes, &length, path, MAX_LIST, err);
    if (!status) status = data_csv_begin(&csv, (const char *)bytes, length, path, err);
    if (!status) status = data_csv_next(&csv, &more, err);
    *gives_labels = !status && more && find_columns(at, &headless, &csv);
    data_csv_end(&csv);
    rudd_free(bytes);
    return status;
}

enum rudd_status data_listing_find(char **list, const char *dir, struct rudd_error *err)
{
    static const char *const names[] = {"metadata.csv", "_annotations.coco.json"};
    const bool itself = data_is_listing(dir);
    enum rudd_status status = RUDD_OK;
    *list = itself ? rudd_strdup(dir) : NULL;
    if (itself) return *list ? RUDD_OK : no_memory(dir, err);
    for (int i = 0; i < 2 && !status; i++) {
        char *path = data_path_join(dir, names[i]);
        bool gives_labels = false;
        if (!path) return no_memory(dir, err);
        if (access(path, F_OK) == 0) {
            if (is_json(path))
                gives_labels = true;
            else
                status = look_at_heads(&gives_labels, path, err);
        }
        if (gives_labels) {
            *list = path;
            return RUDD_OK;
        }
        rudd_free(path);
    }
    return status;
}

/* ---- sets ---------------------------------------------------------------------------------- */

static bool climbs(const char *file)
{
    for (const char *at = file; (at = strstr(at, "..")); at += 2)
        if ((at == file || at[-1] == '/') && (!at[2] || at[2] == '/')) return true;
    return file[0] == '/';
}

/* Where the row's file is, and where its name begins: behind the list's folder, or at its last part
 * where it lies outside. NULL: no memory. */
static char *locate(const char *list, const char *file, int *name)
{
    const char *slash = strrchr(list, '/');
    const size_t n = slash && file[0] != '/' ? (size_t)(slash - list) + 1 : 0,
                 length = strlen(file);
    char *path = rudd_alloc(n + length + 1);
    if (!path) return NULL;
    memcpy(path, list, n);
    memcpy(path + n, file, length + 1);
    const char *last = strrchr(path + n, '/');
    *name = climbs(file) && last ? (int)(last + 1 - path) : (int)n;
    return path;
}

/* Whether a listed file can be used; if not, it is counted. */
static bool is_usable(const struct data_listed *row, const char *path, struct data_account *left)
{
    const struct data_walk walk = {.account = left};
    const char *slash = strrchr(path, '/');
    struct data_entry entry = {.name = (char *)(slash ? slash + 1 : path)};
    struct stat st;
    if (row->several || !row->label)
        data_account_add(left, row->several ? DATA_LEFT_AMBIGUOUS : DATA_LEFT_UNLABELLED, path,
                         NULL);
    else if (stat(path, &st) == 0)
        return data_walk_takes(&walk, path, &entry);
    else
        data_account_add(left, lstat(path, &st) == 0 ? DATA_LEFT_DANGLING : DATA_LEFT_MISSING, path,
                         NULL);
    return false;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The labels of the rows of a split (-1: of all) become the classes. */
static enum rudd_status name_by_labels(struct data_set *set, const struct data_rows_read *read,
                                       int split, const char *list, struct rudd_error *err)
{
    int n = 0, distinct = 0;
    char **names = rudd_alloc(((size_t)read->count + 1) * sizeof *names);
    if (!names) return no_memory(list, err);
    for (int i = 0; i < read->count; i++)
        if (read->rows[i].label && !read->rows[i].several &&
            (split < 0 || read->rows[i].split == split))
            names[n++] = read->rows[i].label;
    if (n) qsort(names, (size_t)n, sizeof *names, by_bytes);
    for (int i = 0; i < n; i++)
        if (i == 0 || strcmp(names[i], names[distinct - 1]) != 0) names[distinct++] = names[i];
    enum rudd_status status = data_set_name(set, names, distinct, err);
    rudd_free(names);
    return status;
}

static int by_class(const void *a, const void *b)
{
    const struct data_item *x = a, *y = b;
    return x->label != y->label ? (x->label > y->label) - (x->label < y->label)
                                : strcmp(x->path, y->path);
}

/* The usable rows of a split (-1: all) into a set that has its classes. */
static enum rudd_status fill_set(struct data_set *set, const struct data_rows_read *read, int split,
                                 const char *list, struct rudd_error *err)
{
    struct data_spellings spellings;
    int room = 0;
    enum rudd_status status =
        data_spellings_make(&spellings, set->class_names, set->class_count, list, err);
    if (status) return status;
    for (int i = 0; i < read->count && !status; i++) {
        const struct data_listed *row = &read->rows[i];
        int name;
        if (split >= 0 && row->split != split) continue;
        char *path = locate(list, row->file, &name);
        if (!path)
            status = no_memory(list, err);
        else if (is_usable(row, path, &set->left)) {
            int label;
            status = data_spellings_find(&label, &spellings, row->label, err);
            if (!status && label < 0)
                status = rudd_fail(err, RUDD_MISMATCH,
                                   "%s: %s has the label %s, which is not among the %d classes",
                                   list, row->file, row->label, set->class_count);
            else if (!status)
                status = data_set_add(set, &room, path, label, name, err), path = NULL;
        }
        rudd_free(path);
    }
    if (set->count) qsort(set->items, (size_t)set->count, sizeof *set->items, by_class);
    data_spellings_free(&spellings);
    return status;
}

enum rudd_status data_listing_scan(struct data_set *set, const char *list, char *const *names,
                                   int count, struct rudd_error *err)
{
    struct data_rows_read read = {0};
    enum rudd_status status = read_file(&read, list, err);
    if (!status)
        status = names ? data_set_name(set, names, count, err)
                       : name_by_labels(set, &read, -1, list, err);
    if (!status) status = fill_set(set, &read, -1, list, err);
    data_listing_free(&read);
    return status;
}

enum rudd_status data_listing_splits(struct data_splits *splits, const char *list,
                                     struct rudd_error *err)
{
    struct data_set *const sets[DATA_SPLITS] = {&splits->train, &splits->val, &splits->test};
    struct data_rows_read read = {0};
    enum rudd_status status = read_file(&read, list, err);
    splits->divided = !status && read.divided;
    for (int i = 0; i < DATA_SPLITS && !status && splits->divided; i++) {
        status = i == DATA_TRAIN ? name_by_labels(sets[i], &read, DATA_TRAIN, list, err)
                                 : data_set_name(sets[i], splits->train.class_names,
                                                 splits->train.class_count, err);
        if (!status) status = fill_set(sets[i], &read, i, list, err);
        data_account_merge(&splits->left, &sets[i]->left);
    }
    if (!status && splits->divided && !splits->train.count)
        status = rudd_fail(err, RUDD_FORMAT, "%s: no picture to train on", list);
    data_listing_free(&read);
    return status;
}
