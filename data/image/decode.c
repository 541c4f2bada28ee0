/* decode.c - bytes to an upright RGB picture: which format, which limits, which way up.
 *
 *     bytes --formats.c--> jpeg.c | png.c | .. --> RGB as stored + orientation --turn--> data_image
 *
 * A file's name says nothing about its format: the first bytes decide. Source of the eight
 * orientations: codec.h. */
#include "data/image/formats.h"
#include "nn/base/refuse.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES ((size_t)64 << 20)
enum { MAX_SIDE = 65535 };

const struct data_limits data_limits_default = {.max_bytes = MAX_BYTES,
                                                .max_pixels = DATA_MEGAPIXELS * 1000000};

struct data_limits data_limits_of(double max_megapixels, bool truncated)
{
    const double share = max_megapixels > DATA_MEGAPIXELS ? max_megapixels / DATA_MEGAPIXELS : 1;
    return (struct data_limits){.max_bytes = (size_t)((double)MAX_BYTES * share),
                                .max_pixels = (uint64_t)(max_megapixels * 1e6 + 0.5),
                                .truncated = truncated};
}

const char *data_truncated_hint(const struct data_limits *limits)
{
    return limits->fixed ? "" : "; --truncated reads what is there";
}

/* "; at most 100 are accepted: --max-megapixels 109", with what would suffice. */
static const char *megapixel_hint(char text[100], double needed, const struct data_limits *limits)
{
    const double unit = needed < 10 ? 1e4 : 1; /* rounded up to this part of a million */
    const double most = (double)limits->max_pixels / 1e6;
    if (limits->fixed)
        snprintf(text, 100, "; at most %g are accepted", most);
    else
        snprintf(text, 100, "; at most %g are accepted: --max-megapixels %g", most,
                 ceil(needed * unit) / unit);
    return text;
}

enum rudd_status data_check_size(uint64_t w, uint64_t h, const char *name,
                                 const struct data_limits *limits, struct rudd_error *err)
{
    if (w == 0 || h == 0) return rudd_fail(err, RUDD_FORMAT, "%s: the picture has no pixels", name);
    if (w > MAX_SIDE || h > MAX_SIDE)
        return rudd_fail(err, RUDD_LIMIT, "%s: %llu x %llu pixels; at most %d a side are accepted",
                         name, (unsigned long long)w, (unsigned long long)h, MAX_SIDE);
    const double millions = (double)(w * h) / 1e6;
    char hint[100];
    if (w * h > limits->max_pixels)
        return rudd_fail(err, RUDD_LIMIT, "%s: %llu x %llu pixels, %.4g megapixels%s", name,
                         (unsigned long long)w, (unsigned long long)h, millions,
                         megapixel_hint(hint, millions, limits));
    return RUDD_OK;
}

struct data_turn data_turn_of(int orientation)
{
    static const struct data_turn turns[8] = {{0, 0, 0}, {0, 1, 0}, {0, 1, 1}, {0, 0, 1},
                                              {1, 0, 0}, {1, 0, 1}, {1, 1, 1}, {1, 1, 0}};
    return turns[orientation - 1];
}

void data_turn_rgb(uint8_t *restrict out, const uint8_t *restrict in, int in_w, int in_h,
                   struct data_turn t)
{
    ptrdiff_t iw = in_w, ih = in_h, w = t.transpose ? ih : iw, h = t.transpose ? iw : ih;
    ptrdiff_t column = t.flip_column ? -3 : 3, row = t.flip_row ? -3 * iw : 3 * iw;
    ptrdiff_t step_x = t.transpose ? row : column, step_y = t.transpose ? column : row;
    const uint8_t *origin =
        in + (t.flip_column ? 3 * (iw - 1) : 0) + (t.flip_row ? 3 * iw * (ih - 1) : 0);

    /* In tiles: a transposed walk touches a new cache line at each pixel, which the next rows of
     * the tile find again. */
    enum { TILE = 32 };
    for (ptrdiff_t y0 = 0; y0 < h; y0 += TILE)
        for (ptrdiff_t x0 = 0; x0 < w; x0 += TILE)
            for (ptrdiff_t y = y0; y < h && y < y0 + TILE; y++)
                for (ptrdiff_t x = x0; x < w && x < x0 + TILE; x++)
                    memcpy(out + (y * w + x) * 3, origin + y * step_y + x * step_x, 3);
}

static enum rudd_status too_long(uint64_t length, const char *name,
                                 const struct data_limits *limits, struct rudd_error *err)
{
    const double needed = (double)length / (double)MAX_BYTES * DATA_MEGAPIXELS;
    char hint[100] = "";
    if (!limits->fixed) snprintf(hint, sizeof hint, ": --max-megapixels %.0f", ceil(needed));
    return rudd_fail(err, RUDD_LIMIT, "%s: %llu bytes; at most %zu are accepted%s", name,
                     (unsigned long long)length, limits->max_bytes, hint);
}

enum rudd_status data_make_upright(struct data_image *image, int orientation, const char *name,
                                   struct rudd_error *err)
{
    if (orientation == 1) return RUDD_OK;
    struct data_turn t = data_turn_of(orientation);
    int iw = image->w, ih = image->h;
    uint8_t *out = rudd_alloc((size_t)iw * (size_t)ih * 3);
    if (!out)
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to turn %d x %d pixels upright", name,
                         iw, ih);
    data_turn_rgb(out, image->rgb, iw, ih, t);
    rudd_free(image->rgb);
    image->w = t.transpose ? ih : iw;
    image->h = t.transpose ? iw : ih;
    image->rgb = out;
    return RUDD_OK;
}

/* Which decoder these bytes are for, by the first of them. */
static enum rudd_status choose(data_codec **decode, const void *bytes, size_t length,
                               const char *name, const struct data_limits *limits,
                               struct rudd_error *err)
{
    char known[200];
    if (length > limits->max_bytes) return too_long(length, name, limits, err);
    if (!length) return rudd_fail(err, RUDD_FORMAT, "%s: the file is empty", name);
    const struct data_format *format = data_format_sniff(bytes, length);
    if (!format)
        return rudd_fail(err, RUDD_FORMAT, "%s: %s; expected %s", name,
                         data_not_a_picture(bytes, length), data_format_names(known, sizeof known));
    if (!format->decode)
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: a %s picture, which this rudd cannot read: it was built without %s",
                         name, format->name, format->package);
    *decode = format->decode;
    return RUDD_OK;
}

enum rudd_status data_image_decode(struct data_image *image, const void *bytes, size_t length,
                                   const char *name, const struct data_limits *limits,
                                   struct rudd_error *err)
{
    if (!limits) limits = &data_limits_default;
    data_codec *decode = NULL;
    struct data_image fresh = {0};
    int orientation = 1;
    enum rudd_status status = choose(&decode, bytes, length, name, limits, err);
    if (!status) status = decode(&fresh, &orientation, bytes, length, name, limits, err);
    if (!status) status = data_make_upright(&fresh, orientation, name, err);
    if (status)
        data_image_free(&fresh);
    else
        *image = fresh;
    return status;
}

enum rudd_status data_image_rows(struct data_rows *to, const void *bytes, size_t length,
                                 const char *name, const struct data_limits *limits,
                                 struct rudd_error *err)
{
    if (!limits) limits = &data_limits_default;
    data_codec *decode = NULL;
    enum rudd_status status = choose(&decode, bytes, length, name, limits, err);
    if (status) return status;
    if (decode == data_jpeg_decode) return data_jpeg_rows(to, bytes, length, name, limits, err);

    struct data_image image = {0};
    int orientation = 1;
    status = decode(&image, &orientation, bytes, length, name, limits, err);
    const bool sideways = data_turn_of(orientation).transpose;
    if (!status)
        status = to->begin(to, sideways ? image.h : image.w, sideways ? image.w : image.h,
                           orientation, err);
    if (!status) to->add(to, image.rgb, 0, image.h);
    memcpy(to->note, image.note, sizeof to->note);
    data_image_free(&image);
    return status;
}

enum rudd_status data_image_read(struct data_image *image, const char *path,
                                 const struct data_limits *limits, struct rudd_error *err)
{
    uint8_t *bytes = NULL;
    size_t length;
    if (!limits) limits = &data_limits_default;
    enum rudd_status status = data_image_load(&bytes, &length, path, limits, err);
    if (!status) status = data_image_decode(image, bytes, length, path, limits, err);
    rudd_free(bytes);
    return status;
}

/* A decoder's sink that wants the size alone. */
struct measure {
    struct data_rows rows;
    size_t pixels;
};

static enum rudd_status measure_begin(struct data_rows *to, int w, int h, int orientation,
                                      struct rudd_error *err)
{
    (void)orientation;
    ((struct measure *)to)->pixels = (size_t)w * (size_t)h;
    return rudd_fail(err, RUDD_CANCELLED, "only measured");
}

static void measure_add(struct data_rows *to, const uint8_t *rgb, int y, int count)
{
    (void)to, (void)rgb, (void)y, (void)count;
}

size_t data_image_bytes(const char *path, const struct data_limits *limits)
{
    struct measure m = {.rows = {.begin = measure_begin, .add = measure_add}};
    uint8_t *bytes = NULL;
    size_t length = 0;
    if (data_image_load(&bytes, &length, path, limits, NULL)) return 0;
    data_image_rows(&m.rows, bytes, length, path, limits,
                    NULL); /* ends at the size; a PNG is decoded first */
    rudd_free(bytes);
    return m.pixels ? length + 2 * 3 * m.pixels : 0;
}

void data_image_free(struct data_image *image)
{
    rudd_free(image->rgb);
    *image = (struct data_image){0};
}

/* Exactly n bytes, or -1 with errno; a file that shrank meanwhile is an error too. */
static int read_all(int fd, uint8_t *out, size_t n)
{
    while (n > 0) {
        ssize_t got = read(fd, out, n);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = EIO;
        if (got <= 0) return -1;
        out += got;
        n -= (size_t)got;
    }
    return 0;
}

static enum rudd_status load(uint8_t **bytes, size_t *length, const char *path,
                             const struct data_limits *limits, struct rudd_error *err)
{
    enum rudd_status status;
    uint8_t *block = NULL;
    struct stat st;
    /* O_NONBLOCK: a named pipe in a data folder must not hang the run; it has no meaning for plain
     * files. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return nn_refuse_open(path, "file", errno, err);

    if (fstat(fd, &st) != 0)
        status = rudd_fail(err, RUDD_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        status = rudd_fail(err, RUDD_IO, "%s: is %s, not a plain file", path,
                           S_ISDIR(st.st_mode) ? "a folder" : "a device or pipe");
    else if ((uint64_t)st.st_size > limits->max_bytes)
        status = too_long((uint64_t)st.st_size, path, limits, err);
    else if (!(block = rudd_alloc((size_t)st.st_size)))
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %lld bytes", path,
                           (long long)st.st_size);
    else if (read_all(fd, block, (size_t)st.st_size) != 0)
        status = rudd_fail(err, RUDD_IO, "%s: cannot read: %s", path, strerror(errno));
    else {
        *bytes = block;
        *length = (size_t)st.st_size;
        block = NULL;
        status = RUDD_OK;
    }
    rudd_free(block);
    close(fd);
    return status;
}

enum rudd_status data_image_load(uint8_t **bytes, size_t *length, const char *path,
                                 const struct data_limits *limits, struct rudd_error *err)
{
    return load(bytes, length, path, limits ? limits : &data_limits_default, err);
}

enum rudd_status data_file_read(uint8_t **bytes, size_t *length, const char *path, size_t max_bytes,
                                struct rudd_error *err)
{
    const struct data_limits limits = {.max_bytes = max_bytes, .fixed = true};
    return load(bytes, length, path, &limits, err);
}
