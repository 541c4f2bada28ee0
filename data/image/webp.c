/* webp.c - WebP to RGB over libwebp: lossy, lossless, and the first frame of an animation.
 *
 *     "RIFF" size u32 "WEBP" | chunks { name [4] | size u32 | payload | a zero where size is odd }
 *
 *     still       VP8X?  ALPH?  VP8 or VP8L  EXIF?
 *     animation   VP8X  ANIM  ANMF..  EXIF?
 *     ANMF        { x/2 u24, y/2 u24, w-1 u24, h-1 u24, time u24, flags u8 | ALPH? VP8 or VP8L }
 *
 * libwebp decodes a still picture as it is. Of an animation it takes the inner chunks of one frame,
 * which are found here. Such a frame may be smaller than the picture: what it leaves out is black,
 * as in Pillow, whose canvas is transparent black. Alpha is dropped.
 *
 * The file is whole when it has as many bytes as its first chunk says. A shorter one is refused,
 * even if only its annotations are missing: so does Pillow.
 * Source: developers.google.com/speed/webp/docs/riff_container.
 * Not here: upright turning (decode.c), later frames, colour profiles. */
#include "data/image/codec.h"
#include "data/image/exif.h"
#include "data/image/libwebp.h"
#include "nn/library.h"

#ifdef HAVE_LIBWEBP

#include <string.h>

enum { RIFF = 12, CHUNK = 8, ANMF = 16 }; /* bytes of a header */

struct span {
    const uint8_t *at;
    size_t n;
};

static uint32_t get24(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

static uint32_t get32(const uint8_t *p)
{
    return get24(p) | (uint32_t)p[3] << 24;
}

/* The payload of the first chunk of that name; at is NULL when there is none. */
static struct span find(struct span chunks, const char *name)
{
    while (chunks.n >= CHUNK) {
        size_t size = get32(chunks.at + 4), left = chunks.n - CHUNK;
        if (size > left) size = left;
        if (!memcmp(chunks.at, name, 4)) return (struct span){chunks.at + CHUNK, size};
        size_t step = CHUNK + size + (size & 1 && size < left);
        chunks.at += step;
        chunks.n -= step;
    }
    return (struct span){0};
}

static enum rudd_status explain(VP8StatusCode code, const char *name, struct rudd_error *err)
{
    static const char *const words[] = {
        [VP8_STATUS_BITSTREAM_ERROR] = "its bits make no sense",
        [VP8_STATUS_UNSUPPORTED_FEATURE] = "a feature that libwebp does not know",
        [VP8_STATUS_SUSPENDED] = "the data ends early",
        [VP8_STATUS_NOT_ENOUGH_DATA] = "the data ends early",
    };
    const char *why = (size_t)code < sizeof words / sizeof *words ? words[code] : NULL;
    if (code == VP8_STATUS_OUT_OF_MEMORY)
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to decode this WebP", name);
    return rudd_fail(err, RUDD_FORMAT, "%s: broken or truncated WebP: %s", name,
                     why ? why : "libwebp refuses it");
}

/* What is decoded, and where it lies in the picture. */
struct frame {
    struct span data;
    uint32_t x, y, w, h;
};

/* The first frame of an animation of w x h pixels. */
static VP8StatusCode first_frame(struct frame *f, struct span chunks, uint32_t w, uint32_t h)
{
    const struct span anmf = find(chunks, "ANMF");
    if (!anmf.at || anmf.n < ANMF) return VP8_STATUS_NOT_ENOUGH_DATA;
    f->data = (struct span){anmf.at + ANMF, anmf.n - ANMF};
    f->x = 2 * get24(anmf.at);
    f->y = 2 * get24(anmf.at + 3);
    f->w = get24(anmf.at + 6) + 1;
    f->h = get24(anmf.at + 9) + 1;
    if (f->x > w || f->w > w - f->x || f->y > h || f->h > h - f->y)
        return VP8_STATUS_BITSTREAM_ERROR;
    /* Inside, the frame says its size once more. */
    WebPBitstreamFeatures inner;
    VP8StatusCode code =
        WebPGetFeaturesInternal(f->data.at, f->data.n, &inner, WEBP_DECODER_ABI_VERSION);
    if (!code && ((uint32_t)inner.width != f->w || (uint32_t)inner.height != f->h))
        code = VP8_STATUS_BITSTREAM_ERROR;
    return code;
}

static VP8StatusCode decode(uint8_t *rgb, const struct frame *f, size_t w, size_t h)
{
    WebPDecoderConfig c;
    if (!WebPInitDecoderConfigInternal(&c, WEBP_DECODER_ABI_VERSION))
        return VP8_STATUS_INVALID_PARAM;
    const size_t skipped = (f->y * w + f->x) * 3;
    c.output.colorspace = MODE_RGB;
    c.output.is_external_memory = 1;
    c.output.u.RGBA = (WebPRGBABuffer){rgb + skipped, (int)(w * 3), w * h * 3 - skipped};
    return WebPDecode(f->data.at, f->data.n, &c);
}

enum rudd_status data_webp_decode(struct data_image *image, int *orientation, const uint8_t *bytes,
                                  size_t length, const char *name, const struct data_limits *limits,
                                  struct rudd_error *err)
{
    WebPBitstreamFeatures features;
    enum rudd_status status =
        nn_library_load(&data_libwebp_library, err, "%s: this picture is a WebP", name);
    if (status) return status;
    if (length < RIFF + CHUNK || get32(bytes + 4) > length - 8)
        return explain(VP8_STATUS_NOT_ENOUGH_DATA, name, err);
    VP8StatusCode code =
        WebPGetFeaturesInternal(bytes, length, &features, WEBP_DECODER_ABI_VERSION);
    if (code) return explain(code, name, err);
    status =
        data_check_size((uint64_t)features.width, (uint64_t)features.height, name, limits, err);
    if (status) return status;

    const size_t w = (size_t)features.width, h = (size_t)features.height;
    const struct span chunks = {bytes + RIFF, length - RIFF};
    struct frame f = {.data = {bytes, length}, .w = (uint32_t)w, .h = (uint32_t)h};
    if (features.has_animation) code = first_frame(&f, chunks, (uint32_t)w, (uint32_t)h);
    if (code) return explain(code, name, err);
    uint8_t *rgb = rudd_zalloc(w * 3, h);
    if (!rgb)
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %zu x %zu pixels", name, w, h);
    code = decode(rgb, &f, w, h);
    if (code) {
        rudd_free(rgb);
        return explain(code, name, err);
    }
    *image = (struct data_image){(int)w, (int)h, rgb};
    *orientation = data_image_orientation(bytes, length); /* a WebP's takes no memory */
    return RUDD_OK;
}

#endif
