/* cache.c - activations on disk: layout in cache.h.
 *
 * In memory there are the records' keys and a table of record numbers, open addressing over their first bytes, which are as good as random. The numbers themselves stay in the file; the system's page cache is the memory for them. */
#include "train/cache.h"

#include "nn/base/refuse.h"
#include "nn/half.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { HEADER = 64, HEADER_CRC = HEADER - 4, CRC = TRAIN_CACHE_HASH, NUMBERS = CRC + 4 };
static const char magic[8] = "RUDDACT1";

struct train_cache {
    struct train_cache_form form;
    char *path;
    int fd;
    size_t record_bytes;
    uint8_t *record; /* one, on its way in or, while opening, out */
    uint8_t (*keys)[TRAIN_CACHE_HASH];
    long count, capacity;
    long *table; /* [slots] record, or -1; at most half full */
    size_t slots;
};

size_t train_cache_record_bytes(uint64_t numbers, int bytes)
{
    return NUMBERS + (size_t)numbers * (size_t)bytes;
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

static uint32_t record_crc(const uint8_t *record, size_t bytes)
{
    uLong crc = crc32(0, record, CRC);
    return (uint32_t)crc32_z(crc, record + NUMBERS, bytes - NUMBERS);
}

static bool record_is_sound(const uint8_t *record, size_t bytes)
{
    uint32_t crc;
    memcpy(&crc, record + CRC, sizeof crc);
    return crc == record_crc(record, bytes);
}

static off_t record_at(const struct train_cache *c, long record)
{
    return HEADER + (off_t)record * (off_t)c->record_bytes;
}

/* All of bytes, or false: the end of the file, or an error in errno (0 at the end). */
static bool read_at(int fd, void *out, size_t bytes, off_t at)
{
    for (uint8_t *to = out; bytes > 0;) {
        ssize_t n = pread(fd, to, bytes, at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            if (n == 0) errno = 0;
            return false;
        }
        to += n;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

static bool write_at(int fd, const void *in, size_t bytes, off_t at)
{
    for (const uint8_t *from = in; bytes > 0;) {
        ssize_t n = pwrite(fd, from, bytes, at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        from += n;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* ---- the index ---------------------------------------------------------------------------------------------------- */

/* The slot that holds this key, or the empty one where it belongs. */
static size_t seek(const struct train_cache *c, const uint8_t *key)
{
    uint64_t h;
    memcpy(&h, key, sizeof h);
    size_t i = (size_t)(h % c->slots);
    while (c->table[i] >= 0 && memcmp(c->keys[c->table[i]], key, TRAIN_CACHE_HASH) != 0) i = (i + 1) % c->slots;
    return i;
}

static bool grow(struct train_cache *c)
{
    const long capacity = c->capacity ? 2 * c->capacity : 1024;
    const size_t slots = 2 * (size_t)capacity + 1;
    uint8_t(*keys)[TRAIN_CACHE_HASH] = rudd_realloc(c->keys, sizeof *keys * (size_t)capacity);
    if (keys) c->keys = keys;
    long *table = rudd_alloc(sizeof *table * slots);
    if (!keys || !table) {
        rudd_free(table);
        return false;
    }
    rudd_free(c->table);
    c->table = table;
    c->slots = slots;
    c->capacity = capacity;
    for (size_t i = 0; i < slots; i++) table[i] = -1;
    for (long r = 0; r < c->count; r++) table[seek(c, keys[r])] = r;
    return true;
}

/* Indexes the record that stands behind the others. A second one of the same key is never found, and does no harm. */
static bool index_record(struct train_cache *c, const uint8_t *key)
{
    if (c->count == c->capacity && !grow(c)) return false;
    size_t slot = seek(c, key);
    memcpy(c->keys[c->count], key, TRAIN_CACHE_HASH);
    if (c->table[slot] < 0) c->table[slot] = c->count;
    c->count++;
    return true;
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static void make_header(uint8_t header[HEADER], const struct train_cache_form *form)
{
    const uint32_t bytes = (uint32_t)form->bytes;
    memset(header, 0, HEADER);
    memcpy(header, magic, 8);
    memcpy(header + 8, form->recipe, TRAIN_CACHE_HASH);
    memcpy(header + 40, &form->numbers, 8);
    memcpy(header + 48, &bytes, 4);
    uint32_t crc = (uint32_t)crc32(0, header, HEADER_CRC);
    memcpy(header + HEADER_CRC, &crc, 4);
}

/* Reads on up to the first record that is not whole and sound; the file ends there. */
static enum rudd_status scan(struct train_cache *c, struct rudd_error *err)
{
    uint8_t header[HEADER], found[HEADER];
    make_header(header, &c->form);
    if (!read_at(c->fd, found, HEADER, 0) || memcmp(header, found, HEADER) != 0) {
        if (ftruncate(c->fd, 0) != 0 || !write_at(c->fd, header, HEADER, 0)) return nn_refuse_write(c->path, errno, err);
        return RUDD_OK;
    }
    while (read_at(c->fd, c->record, c->record_bytes, record_at(c, c->count)) && record_is_sound(c->record, c->record_bytes))
        if (!index_record(c, c->record)) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to list its records", c->path);
    if (ftruncate(c->fd, record_at(c, c->count)) != 0)
        return rudd_fail(err, RUDD_IO, "%s: cannot cut off its torn end: %s", c->path, strerror(errno));
    return RUDD_OK;
}

enum rudd_status train_cache_open(struct train_cache **cache, const char *path, const struct train_cache_form *form,
                                  struct rudd_error *err)
{
    if (form->numbers < 1 || form->numbers > (SIZE_MAX >> 8) || (form->bytes != 2 && form->bytes != 4))
        return rudd_fail(err, RUDD_ARGUMENT, "%s: records of %llu numbers of %d bytes; expected numbers of 2 or 4 bytes", path,
                         (unsigned long long)form->numbers, form->bytes);
    struct train_cache *c = rudd_zalloc(1, sizeof *c);
    if (!c) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to open it", path);
    enum rudd_status status = RUDD_OK;
    struct stat st;
    c->form = *form;
    c->record_bytes = train_cache_record_bytes(form->numbers, form->bytes);
    c->path = rudd_strdup(path);
    c->record = rudd_alloc(c->record_bytes);
    c->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (c->fd < 0)
        status = rudd_fail(err, RUDD_IO, "%s: cannot open: %s", path, strerror(errno));
    else if (!c->path || !c->record || !grow(c))
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to open it", path);
    else if (fstat(c->fd, &st) != 0 || !S_ISREG(st.st_mode))
        status = rudd_fail(err, RUDD_IO, "%s: is not a file", path);
    else if (flock(c->fd, LOCK_EX) != 0)
        status = rudd_fail(err, errno == EINTR ? RUDD_CANCELLED : RUDD_IO, "%s: another process is filling it: %s", path,
                           strerror(errno));
    else
        status = scan(c, err);
    if (!status) futimens(c->fd, NULL); /* used now; cache_folder.h deletes what was not for long */
    if (status)
        train_cache_close(c);
    else
        *cache = c;
    return status;
}

void train_cache_close(struct train_cache *cache)
{
    if (!cache) return;
    if (cache->fd >= 0) close(cache->fd);
    rudd_free(cache->path);
    rudd_free(cache->record);
    rudd_free(cache->keys);
    rudd_free(cache->table);
    rudd_free(cache);
}

void train_cache_share(struct train_cache *cache)
{
    flock(cache->fd, LOCK_UN);
}

/* ---- use ---------------------------------------------------------------------------------------------------------- */

long train_cache_count(const struct train_cache *cache)
{
    return cache->count;
}

long train_cache_find(const struct train_cache *cache, const uint8_t key[TRAIN_CACHE_HASH])
{
    return cache->table[seek(cache, key)];
}

enum rudd_status train_cache_append(struct train_cache *cache, const uint8_t key[TRAIN_CACHE_HASH], const float *numbers,
                                    struct rudd_error *err)
{
    struct train_cache *c = cache;
    if (train_cache_find(c, key) >= 0) return RUDD_OK;
    memcpy(c->record, key, TRAIN_CACHE_HASH);
    if (c->form.bytes == 4)
        memcpy(c->record + NUMBERS, numbers, c->record_bytes - NUMBERS);
    else
        for (size_t i = 0; i < c->form.numbers; i++) {
            uint16_t h = nn_f16_from_f32(numbers[i]);
            memcpy(c->record + NUMBERS + 2 * i, &h, sizeof h);
        }
    uint32_t crc = record_crc(c->record, c->record_bytes);
    memcpy(c->record + CRC, &crc, sizeof crc);
    if (!write_at(c->fd, c->record, c->record_bytes, record_at(c, c->count))) return nn_refuse_write(c->path, errno, err);
    if (!index_record(c, key)) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to list its records", c->path);
    return RUDD_OK;
}

enum rudd_status train_cache_read(float *out, const struct train_cache *cache, long record, struct rudd_error *err)
{
    const struct train_cache *c = cache;
    const size_t payload = c->record_bytes - NUMBERS;
    /* The head, then the numbers straight to their place; halves to its upper half, from where they widen downwards. */
    uint8_t head[NUMBERS], *to = (uint8_t *)out + (c->form.bytes == 4 ? 0 : payload);
    uint32_t crc;
    if (!read_at(c->fd, head, NUMBERS, record_at(c, record)) || !read_at(c->fd, to, payload, record_at(c, record) + NUMBERS))
        return rudd_fail(err, RUDD_IO, "%s: cannot read record %ld: %s", c->path, record,
                         errno ? strerror(errno) : "the file is shorter than it was");
    memcpy(&crc, head + CRC, sizeof crc);
    if (crc != (uint32_t)crc32_z(crc32(0, head, CRC), to, payload))
        return rudd_fail(err, RUDD_FORMAT, "%s: record %ld has been damaged since the file was opened; start again", c->path,
                         record);
    for (size_t i = 0; c->form.bytes == 2 && i < c->form.numbers; i++) {
        uint16_t h;
        memcpy(&h, to + 2 * i, sizeof h);
        out[i] = nn_f32_from_f16(h);
    }
    return RUDD_OK;
}
