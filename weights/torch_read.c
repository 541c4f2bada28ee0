/* torch_read.c - PyTorch's checkpoints become tensors, in both forms that torch.save has had.
 *
 *     zip      NAME/data.pkl  the pickle    NAME/data/KEY  a storage's bytes    [NAME/byteorder]
 *     stream   | pickle: magic | pickle: 1001 | pickle: system | pickle | pickle: [KEY, ...] | i64 count, bytes | i64 count, bytes ...
 *
 * The pickle (pickle.h) says what there is: a state dict, alone or in a dict beside the optimiser and other things, which are not even
 * looked at. An average of the weights goes before the weights, as in timm: wrappers[] is the order. A tensor is a view of a storage: where it is row-major it stays where it is in the file; that of a deflated storage
 * (torch.save makes none, but zip programs do) or in another order is made when somebody asks for it.
 *
 * Sources: torch/serialization.py (_save, _legacy_save, _load, _legacy_load); timm/models/_helpers.py (load_state_dict, clean_state_dict).
 * Not here: TorchScript, the tar form of 0.1, files of big-endian machines, sparse and quantised tensors. */
#include "weights/torch_read.h"
#include "weights/pickle.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a storage's bytes are; deflated only if t, which begins at byte first of them, is all the rest of them. */
struct source {
    enum rudd_status (*find)(struct weights_packed *bytes, struct source *source, const struct weights_storage *storage,
                             const struct weights_tensor *t, size_t first, struct rudd_error *err);
    struct weights_file *file; /* that is being made */
    size_t length;             /* of the whole container */
};

/* ---- the state dict ---------------------------------------------------------------------------------------------- */

static size_t count_tensors(const struct weights_value *dict)
{
    size_t count = 0;
    for (size_t i = 0; dict->kind == WEIGHTS_DICT && i < dict->list.count; i += 2)
        count += dict->list.items[i]->kind == WEIGHTS_TEXT && dict->list.items[i + 1]->kind == WEIGHTS_TENSOR_VIEW;
    return count;
}

static const struct weights_value *find_state_dict(const struct weights_value *root)
{
    static const char *const wrappers[] = {"state_dict_ema", "model_ema",        "ema",  "ema_state_dict",
                                           "state_dict",     "model_state_dict", "model"};
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++) {
        const struct weights_value *v = weights_value_find(root, wrappers[i]);
        if (v && count_tensors(v)) return v;
    }
    const struct weights_value *only = NULL;
    for (size_t i = 1; root->kind == WEIGHTS_DICT && i < root->list.count; i += 2) {
        if (!count_tensors(root->list.items[i])) continue;
        if (only) return root; /* several: which one, nobody says */
        only = root->list.items[i];
    }
    return only && !count_tensors(root) ? only : root;
}

/* What is said of a dict without tensors: its first keys. */
static enum rudd_status refuse_root(const struct weights_value *root, const char *path, struct rudd_error *err)
{
    char keys[300] = "";
    size_t n = 0;
    for (size_t i = 0; root->kind == WEIGHTS_DICT && i < root->list.count && n + 48 < sizeof keys; i += 2) {
        const struct weights_value *key = root->list.items[i];
        const int length = key->kind == WEIGHTS_TEXT ? (int)(key->text.length < 40 ? key->text.length : 40) : 1;
        n += (size_t)snprintf(keys + n, sizeof keys - n, "%s%.*s", n ? ", " : ": ", length,
                              key->kind == WEIGHTS_TEXT ? key->text.bytes : "?");
    }
    return rudd_fail(err, RUDD_FORMAT, "%s: holds %s%s; expected a state dict: names and tensors", path,
                     weights_kind_name(root->kind), keys);
}

static enum rudd_status copy_name(char **name, const struct weights_value *key, const char *path, struct rudd_error *err)
{
    const char *bytes = key->text.bytes;
    const size_t length = key->text.length;
    *name = length <= WEIGHTS_MAX_NAME ? rudd_alloc(length + 1) : NULL;
    if (!*name && length <= WEIGHTS_MAX_NAME) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for tensor names", path);
    if (*name) {
        memcpy(*name, bytes, length);
        (*name)[length] = 0;
    }
    if (!*name || strlen(*name) != length || !weights_name_is_printable(*name))
        return rudd_fail(err, RUDD_FORMAT, "%s: tensor name \"%.*s\" has control characters or more than %d bytes", path,
                         (int)(length < 40 ? length : 40), bytes, WEIGHTS_MAX_NAME);
    return RUDD_OK;
}

static enum rudd_status take_tensor(struct source *s, const struct weights_value *key, const struct weights_view *view,
                                    struct rudd_error *err)
{
    const char *path = s->file->path;
    struct weights_tensor *t = &s->file->tensors[s->file->tensor_count++];
    *t = view->tensor;
    enum rudd_status status = copy_name(&t->name, key, path, err);
    if (status || !t->count) return status;
    if (t->count > (size_t)view->storage->length)
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: tensor %s has %zu elements, its storage %" PRId64 ": it repeats them; save it .contiguous()",
                         path, t->name, t->count, view->storage->length);
    struct weights_packed bytes;
    const size_t first = (size_t)view->offset * weights_dtype_size(t->dtype);
    status = s->find(&bytes, s, view->storage, t, first, err);
    return status ? status : weights_set_values(s->file, t, &bytes, first, view->stride, s->length, err);
}

static enum rudd_status take_tensors(struct source *s, const struct weights_value *root, struct rudd_error *err)
{
    const struct weights_value *dict = find_state_dict(root);
    const size_t count = count_tensors(dict);
    if (!count) return refuse_root(root, s->file->path, err);
    s->file->tensors = rudd_zalloc(count, sizeof *s->file->tensors);
    if (!s->file->tensors) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %zu tensors", s->file->path, count);
    enum rudd_status status = RUDD_OK;
    for (size_t i = 0; i < dict->list.count && !status; i += 2) {
        const struct weights_value *key = dict->list.items[i], *value = dict->list.items[i + 1];
        if (key->kind != WEIGHTS_TEXT || value->kind != WEIGHTS_TENSOR_VIEW) continue;
        if (weights_value_is(key, "n_averaged")) continue; /* how many an average is of: AveragedModel's, no parameter */
        status = take_tensor(s, key, value->view, err);
    }
    return status;
}

/* ---- the zip form ------------------------------------------------------------------------------------------------ */

struct zip_source {
    struct source source;
    struct weights_zip *zip;
    int folder_length; /* of "NAME/", which the entries' names begin with */
    const char *folder;
};

/* The archive's entry NAME/name; NULL if absent. */
static struct weights_zip_entry *find_entry(const struct zip_source *z, const char *name, size_t name_length)
{
    char full[WEIGHTS_MAX_NAME + 1];
    if ((size_t)z->folder_length + name_length > WEIGHTS_MAX_NAME) return NULL;
    snprintf(full, sizeof full, "%.*s%.*s", z->folder_length, z->folder, (int)name_length, name);
    return weights_zip_find(z->zip, full);
}

static enum rudd_status find_in_zip(struct weights_packed *bytes, struct source *source, const struct weights_storage *storage,
                                    const struct weights_tensor *t, size_t first, struct rudd_error *err)
{
    struct zip_source *z = (struct zip_source *)source;
    char name[WEIGHTS_MAX_NAME + 1];
    const size_t wanted = (size_t)storage->count * weights_dtype_size(storage->dtype);
    const int length = storage->key_length < 100 ? (int)storage->key_length : 100;
    snprintf(name, sizeof name, "data/%.*s", length, storage->key);
    struct weights_zip_entry *e = find_entry(z, name, strlen(name));
    if (!e) return rudd_fail(err, RUDD_FORMAT, "%s: no entry %s for a storage that its pickle names", z->zip->path, name);
    if (e->packed.size != wanted)
        return rudd_fail(err, RUDD_FORMAT, "%s: entry %s: %zu bytes, its pickle asks for %zu", z->zip->path, name,
                         e->packed.size, wanted);
    *bytes = e->packed;
    if (weights_is_rest_of(t, &e->packed, first)) return weights_zip_check(e, z->zip, source->file, NULL, 0, err);
    enum rudd_status status = weights_zip_read(e, z->zip, source->file, err);
    *bytes = (struct weights_packed){.bytes = e->bytes, .length = wanted, .size = wanted};
    return status;
}

/* The pickle: an entry data.pkl one folder deep. */
static struct weights_zip_entry *find_pickle(struct weights_zip *zip)
{
    for (int i = 0; i < zip->entry_count; i++) {
        const char *slash = strchr(zip->entries[i].name, '/');
        if (slash && !strcmp(slash, "/data.pkl")) return &zip->entries[i];
    }
    return NULL;
}

enum rudd_status weights_torch_zip_parse(struct weights_file *file, struct weights_zip *zip, struct rudd_error *err)
{
    static const char order[] = "byteorder", little[] = "little";
    struct zip_source z = {{find_in_zip, file, zip->length}, zip, 0, NULL};
    struct weights_pickle pickle;
    struct weights_zip_entry *e = find_pickle(zip);
    if (!e) return rudd_fail(err, RUDD_FORMAT, "%s: no entry NAME/data.pkl, which a PyTorch checkpoint has", zip->path);
    enum rudd_status status = weights_zip_read(e, zip, file, err);
    if (status) return status;
    z.folder = e->name;
    z.folder_length = (int)(strchr(e->name, '/') + 1 - e->name);

    struct weights_zip_entry *byteorder = find_entry(&z, order, strlen(order));
    if (byteorder) status = weights_zip_read(byteorder, zip, file, err);
    if (status) return status;
    if (byteorder && (byteorder->packed.size != strlen(little) || memcmp(byteorder->bytes, little, strlen(little))))
        return rudd_fail(err, RUDD_FORMAT, "%s: its byte order is not little; save it on another machine", zip->path);

    status = weights_pickle_parse(&pickle, e->bytes, e->packed.size, zip->path, err);
    if (status) return status;
    status = take_tensors(&z.source, pickle.root, err);
    weights_pickle_free(&pickle);
    return status;
}

/* ---- the stream form --------------------------------------------------------------------------------------------- */

struct stream_source {
    struct source source;
    const struct weights_storage **storages; /* sorted by key, each key once */
    size_t storage_count;
    const unsigned char **bytes; /* of each; NULL: the stream has none */
};

static int by_key(const void *a, const void *b)
{
    const struct weights_storage *s = *(const struct weights_storage *const *)a, *t = *(const struct weights_storage *const *)b;
    if (s->key_length != t->key_length) return s->key_length < t->key_length ? -1 : 1;
    return memcmp(s->key, t->key, s->key_length);
}

/* The index of the storage of this key; storage_count if there is none. */
static size_t find_key(const struct stream_source *s, const struct weights_storage *storage)
{
    const struct weights_storage **found =
        s->storage_count ? bsearch(&storage, s->storages, s->storage_count, sizeof *s->storages, by_key) : NULL;
    return found ? (size_t)(found - s->storages) : s->storage_count;
}

static enum rudd_status find_in_stream(struct weights_packed *bytes, struct source *source,
                                       const struct weights_storage *storage, const struct weights_tensor *t, size_t first,
                                       struct rudd_error *err)
{
    struct stream_source *s = (struct stream_source *)source;
    const size_t size = (size_t)storage->count * weights_dtype_size(storage->dtype);
    (void)t;
    (void)first;
    *bytes = (struct weights_packed){.bytes = s->bytes[find_key(s, storage)], .length = size, .size = size};
    return bytes->bytes
               ? RUDD_OK
               : rudd_fail(err, RUDD_FORMAT, "%s: no bytes for storage %.*s, which its pickle names", source->file->path,
                           (int)(storage->key_length < 40 ? storage->key_length : 40), storage->key);
}

/* Storages that the pickle names several times must be the same each time. */
static enum rudd_status unite_storages(struct stream_source *s, struct weights_pickle *pickle, struct rudd_error *err)
{
    s->storages = pickle->storages;
    if (pickle->storage_count) qsort(s->storages, pickle->storage_count, sizeof *s->storages, by_key);
    for (size_t i = 0; i < pickle->storage_count; i++) {
        const struct weights_storage *now = s->storages[i], *last = s->storage_count ? s->storages[s->storage_count - 1] : NULL;
        if (!last || by_key(&last, &now))
            s->storages[s->storage_count++] = now;
        else if (last->dtype != now->dtype || last->count != now->count)
            return rudd_fail(err, RUDD_FORMAT, "%s: its pickle names storage %.*s twice, with other types or sizes",
                             s->source.file->path, (int)(now->key_length < 40 ? now->key_length : 40), now->key);
    }
    s->bytes = rudd_zalloc(s->storage_count + 1, sizeof *s->bytes); /* the last stays NULL: what is not found */
    return s->bytes ? RUDD_OK
                    : rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %zu storages", s->source.file->path, s->storage_count);
}

/* The storages' bytes, in the order of keys, from p to exactly end. */
static enum rudd_status place_storages(struct stream_source *s, const struct weights_value *keys, const unsigned char *p,
                                       const unsigned char *end, struct rudd_error *err)
{
    const char *path = s->source.file->path;
    if (keys->kind != WEIGHTS_LIST)
        return rudd_fail(err, RUDD_FORMAT, "%s: %s where the list of storages should be", path, weights_kind_name(keys->kind));
    for (size_t i = 0; i < keys->list.count; i++) {
        const struct weights_value *key = keys->list.items[i];
        struct weights_storage wanted = {.key = ""};
        if (key->kind == WEIGHTS_TEXT)
            wanted = (struct weights_storage){.key = key->text.bytes, .key_length = key->text.length};
        const size_t k = find_key(s, &wanted);
        if (k == s->storage_count || s->bytes[k])
            return rudd_fail(err, RUDD_FORMAT, "%s: storage %zu of its list is not in its pickle, or twice in the list", path,
                             i);
        const uint64_t count = (uint64_t)s->storages[k]->count, size = weights_dtype_size(s->storages[k]->dtype);
        uint64_t found = 0;
        for (int b = 7; end - p >= 8 && b >= 0; b--) found = found << 8 | p[b];
        if (end - p < 8 || found != count || count > (uint64_t)(end - p - 8) / size)
            return rudd_fail(err, RUDD_FORMAT,
                             "%s: storage %zu of %zu: its pickle asks for %" PRIu64 " elements, %zu bytes are left; "
                             "the file is truncated or damaged",
                             path, i, keys->list.count, count, (size_t)(end - p));
        s->bytes[k] = p + 8;
        p += 8 + count * size;
    }
    if (p != end) return rudd_fail(err, RUDD_FORMAT, "%s: %zu bytes follow the last storage", path, (size_t)(end - p));
    return RUDD_OK;
}

/* The pickle at *p, which moves behind it. */
static enum rudd_status next_pickle(struct weights_pickle *pickle, const unsigned char **p, const unsigned char *end,
                                    const char *path, struct rudd_error *err)
{
    enum rudd_status status = weights_pickle_parse(pickle, *p, (size_t)(end - *p), path, err);
    if (!status) *p += pickle->used;
    return status;
}

/* The three pickles before the one that matters: they must say what they always say. */
static enum rudd_status skip_preamble(const unsigned char **p, const unsigned char *end, const char *path,
                                      struct rudd_error *err)
{
    static const char magic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    enum { MAGIC, VERSION, SYSTEM, PARTS };
    for (int part = MAGIC; part < PARTS; part++) {
        struct weights_pickle pickle;
        enum rudd_status status = next_pickle(&pickle, p, end, path, err);
        if (status) return status;
        const struct weights_value *v = pickle.root, *little = weights_value_find(v, "little_endian");
        const bool good = part == MAGIC     ? weights_value_is(v, magic)
                          : part == VERSION ? v->kind == WEIGHTS_INTEGER && v->integer == 1001
                                            : little && little->kind == WEIGHTS_TRUTH && little->integer;
        weights_pickle_free(&pickle);
        if (!good)
            return rudd_fail(err, RUDD_FORMAT, "%s: %s", path,
                             part == MAGIC     ? "a pickle, but not by torch.save"
                             : part == VERSION ? "its version is not 1001, the only one there was"
                                               : "it was not written on a little-endian machine");
    }
    return RUDD_OK;
}

enum rudd_status weights_torch_stream_parse(struct weights_file *file, const void *bytes, size_t length, const char *name,
                                            struct rudd_error *err)
{
    const unsigned char *p = bytes, *end = p + length;
    struct weights_file parsed = {.path = rudd_strdup(name)};
    struct stream_source s = {{find_in_stream, &parsed, length}, NULL, 0, NULL};
    struct weights_pickle pickle = {.root = NULL}, keys = {.root = NULL};
    enum rudd_status status = parsed.path ? RUDD_OK : rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to parse it", name);
    if (!status) status = skip_preamble(&p, end, name, err);
    if (!status) status = next_pickle(&pickle, &p, end, name, err);
    if (!status) status = next_pickle(&keys, &p, end, name, err);
    if (!status) status = unite_storages(&s, &pickle, err);
    if (!status) status = place_storages(&s, keys.root, p, end, err);
    if (!status) status = take_tensors(&s.source, pickle.root, err);
    if (!status) status = weights_sort(&parsed, err);
    rudd_free(s.bytes);
    weights_pickle_free(&keys);
    weights_pickle_free(&pickle);
    if (status)
        weights_close(&parsed);
    else
        *file = parsed;
    return status;
}
