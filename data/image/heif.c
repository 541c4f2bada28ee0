/* heif.c - HEIC and AVIF to RGB over libheif: the primary picture of the file.
 *
 * libheif turns and mirrors (irot, imir), cuts (clap) and puts tiles together (grid) by itself, as
 * the format says that a reader must. An EXIF block repeats how the camera was held; applying it,
 * too, would turn the picture twice. So the orientation is always 1 here, as in pillow-heif.
 * Deeper samples become 8 bits by libheif. Alpha is dropped.
 *
 * heif_check.c looks at the file first, since libheif trusts it too much. Sizes are checked there,
 * when libheif has parsed the boxes, and before the pixels are copied. A file that ends early is
 * refused, since its boxes say where its data lies.
 *
 * Which codecs libheif has is its own affair: where HEVC or AV1 is missing, its words say so. Of
 * broken HEVC libde265 may print a line to stderr, which no setting prevents.
 * Source: ISO/IEC 23008-12; libheif/heif.h.
 * Not here: other pictures of the file, bursts, depth maps, colour profiles. */
#include "data/image/formats.h"
#include "data/image/heif_check.h"
#include "data/image/libheif.h"
#include "nn/library.h"

#ifdef HAVE_LIBHEIF

#include <string.h>

/* What libheif made; each may be NULL. */
struct decoder {
    struct heif_context *context;
    struct heif_image_handle *handle;
    struct heif_decoding_options *options;
    struct heif_image *decoded;
    const char *format; /* "HEIC" or "AVIF" */
};

static enum rudd_status out_of_memory(const struct decoder *d, const char *name,
                                      struct rudd_error *err)
{
    return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to decode this %s", name, d->format);
}

static enum rudd_status explain(const struct decoder *d, struct heif_error e, const char *name,
                                struct rudd_error *err)
{
    if (e.subcode == heif_suberror_Security_limit_exceeded)
        return rudd_fail(err, RUDD_LIMIT, "%s: this %s is larger than libheif may decode: %s", name,
                         d->format, e.message);
    if (e.code == heif_error_Memory_allocation_error) return out_of_memory(d, name, err);
    if (e.code == heif_error_Unsupported_feature)
        return rudd_fail(err, RUDD_FORMAT, "%s: a %s that this libheif cannot decode: %s", name,
                         d->format, e.message);
    return rudd_fail(err, RUDD_FORMAT, "%s: broken or truncated %s: %s", name, d->format,
                     e.message);
}

static enum rudd_status copy(struct data_image *image, const struct decoder *d, const char *name,
                             const struct data_limits *limits, struct rudd_error *err)
{
    int stride = 0;
    const int w = heif_image_get_width(d->decoded, heif_channel_interleaved);
    const int h = heif_image_get_height(d->decoded, heif_channel_interleaved);
    const uint8_t *from =
        heif_image_get_plane_readonly(d->decoded, heif_channel_interleaved, &stride);
    if (!from || w <= 0 || h <= 0 || stride < 3 * w)
        return rudd_fail(err, RUDD_FORMAT, "%s: broken or truncated %s: no pixels came of it", name,
                         d->format);
    enum rudd_status status = data_check_size((uint64_t)w, (uint64_t)h, name, limits, err);
    if (status) return status;
    const size_t row = (size_t)w * 3;
    uint8_t *rgb = rudd_alloc(row * (size_t)h);
    if (!rgb) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %d x %d pixels", name, w, h);
    for (int y = 0; y < h; y++)
        memcpy(rgb + (size_t)y * row, from + (size_t)y * (size_t)stride, row);
    *image = (struct data_image){w, h, rgb};
    return RUDD_OK;
}

static enum rudd_status decode(struct data_image *image, struct decoder *d, const uint8_t *bytes,
                               size_t length, const char *name, const struct data_limits *limits,
                               struct rudd_error *err)
{
    enum { MAX_SIDE = 65535 };
    d->context = heif_context_alloc();
    d->options = heif_decoding_options_alloc();
    if (!d->context || !d->options) return out_of_memory(d, name, err);
    heif_context_set_maximum_image_size_limit(
        d->context, limits->max_pixels < MAX_SIDE ? (int)limits->max_pixels : MAX_SIDE);
    heif_context_set_max_decoding_threads(d->context, 0); /* whoever decodes has its own */
    d->options->convert_hdr_to_8bit = 1;
    /* Of two decoders of AV1 the one that prints nothing. libheif takes another if it must. */
    if (d->options->version >= 4) d->options->decoder_id = "aom";

    struct heif_error e =
        heif_context_read_from_memory_without_copy(d->context, bytes, length, NULL);
    if (!e.code) e = heif_context_get_primary_image_handle(d->context, &d->handle);
    if (e.code) return explain(d, e, name, err);
    const int w = heif_image_handle_get_width(d->handle),
              h = heif_image_handle_get_height(d->handle);
    enum rudd_status status =
        data_check_size(w < 0 ? 0 : (uint64_t)w, h < 0 ? 0 : (uint64_t)h, name, limits, err);
    if (status) return status;
    e = heif_decode_image(d->handle, &d->decoded, heif_colorspace_RGB, heif_chroma_interleaved_RGB,
                          d->options);
    return e.code ? explain(d, e, name, err) : copy(image, d, name, limits, err);
}

enum rudd_status data_heif_decode(struct data_image *image, int *orientation, const uint8_t *bytes,
                                  size_t length, const char *name, const struct data_limits *limits,
                                  struct rudd_error *err)
{
    const struct data_format *format = data_format_sniff(bytes, length);
    struct decoder d = {.format = format ? format->name : "HEIF"};
    enum rudd_status status =
        nn_library_load(&data_libheif_library, err, "%s: this picture is %s", name, d.format);
    if (status) return status;
    status = data_heif_check(bytes, length, name, limits, err);
    if (!status) status = decode(image, &d, bytes, length, name, limits, err);
    if (!status) *orientation = 1;
    if (d.decoded) heif_image_release(d.decoded);
    if (d.handle) heif_image_handle_release(d.handle);
    if (d.options) heif_decoding_options_free(d.options);
    if (d.context) heif_context_free(d.context);
    return status;
}

#endif
