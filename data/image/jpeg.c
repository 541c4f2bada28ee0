/* jpeg.c - JPEG to RGB over libjpeg-turbo, with the settings that make its pixels equal Pillow's.
 *
 * Those are the library's defaults, spelled out below because the last bit of every logit hangs on
 * them: accurate integer inverse DCT, smooth chroma upsampling, no scaled decoding unless the
 * caller asks for it. CMYK and YCCK files are taken as Adobe writes them, inverted, whether or not
 * they carry its marker, and become RGB by Pillow's integer formula.
 *
 * libjpeg reports through a callback that must not return; it jumps back here (setjmp). What it
 * calls warnings (a bad Huffman code, a segment that ends early, a marker out of place) costs some
 * pixels: as in Pillow the picture is read, and the first of them is its note.
 *
 * Data that end before the last row are another matter: a half-grey picture would be classified
 * with confidence. The source gives what there is and then suspends the decoder, as Pillow's does.
 * Such a file is refused unless limits->truncated; then an end marker comes behind the data, and
 * libjpeg makes the rest grey, or as coarse as the scans that are there. So it does where a marker
 * that it does not know ends the scan. A missing end marker alone is a note. Files that claim many
 * scans in little data are stopped after MAX_SCANS.
 *
 * Of a picture that comes in rows, columns that nobody reads are left out after the Huffman
 * decoder: of a photograph of 4:3 whose middle square is wanted, a third of the inverse DCT,
 * upsampling and colour conversion. The rest is the same to the last bit, because the cut stays
 * clear of it.
 *
 * Memory of the library's own (Huffman tables, coefficients of progressive files) comes from
 * malloc, capped by max_memory_to_use. Not here: upright turning (decode.c), 12-bit and lossless
 * JPEG, colour profiles. */
#include "data/image/codec.h"
#include "data/image/exif.h"
#include "data/image/libjpeg.h"
#include "nn/library.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>

enum {
    MAX_SCANS =
        500,  /* real progressive files have about 10; libjpeg-turbo's own fuzzers stop at 500 */
    ROWS = 16 /* in a band: those of the largest MCU */
};

struct decoder {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_source_mgr source;
    bool feeds, fed; /* behind the data an end marker may come; it was wanted */
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    enum rudd_status status;
    char text[JMSG_LENGTH_MAX];
    char note[DATA_NOTE];
    int orientation;
    bool whole;           /* all rows are read */
    struct data_rows *to; /* NULL: the picture is wanted whole */
    uint8_t *rgb;         /* [h, w, 3]; for *to a band of ROWS rows */
    uint8_t *cmyk;        /* [w, 4] */
    size_t w, x; /* of a row of rgb; where the library's rows, which may be shorter, lie in it */
};

static _Noreturn void stop(j_common_ptr cinfo)
{
    struct decoder *d = cinfo->client_data;
    d->status = cinfo->err->msg_code == JERR_OUT_OF_MEMORY ? RUDD_NO_MEMORY : RUDD_FORMAT;
    cinfo->err->format_message(cinfo, d->text);
    longjmp(d->failed, 1);
}

/* The first warning becomes the note. */
static void on_message(j_common_ptr cinfo, int level)
{
    static const char prefix[] = "Corrupt JPEG data: ";
    struct decoder *d = cinfo->client_data;
    const int code = cinfo->err->msg_code;
    if (level >= 0 || d->note[0]) return;                            /* a trace */
    if (code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM) return; /* no pixel is lost */
    char text[JMSG_LENGTH_MAX];
    cinfo->err->format_message(cinfo, text);
    const size_t skip = strncmp(text, prefix, sizeof prefix - 1) == 0 ? sizeof prefix - 1 : 0;
    snprintf(d->note, sizeof d->note, "damaged, but read: %.120s", text + skip);
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo; /* the library never prints */
}

static void on_progress(j_common_ptr cinfo)
{
    struct decoder *d = cinfo->client_data;
    if (d->cinfo.input_scan_number <= MAX_SCANS) return;
    d->status = RUDD_LIMIT;
    snprintf(d->text, sizeof d->text, "more than %d scans", (int)MAX_SCANS);
    longjmp(d->failed, 1);
}

/* Pillow's Convert.c, cmyk2rgb, on samples still inverted: k is then 255 - black. */
static uint8_t under_black(int ink, int k)
{
    int product = (255 - ink) * k + 128, v = k - ((product + (product >> 8)) >> 8);
    return (uint8_t)(v < 0 ? 0 : v);
}

static void cmyk_to_rgb(uint8_t *rgb, const uint8_t *cmyk, size_t w)
{
    for (size_t i = 0; i < w; i++)
        for (int c = 0; c < 3; c++) rgb[3 * i + c] = under_black(cmyk[4 * i + c], cmyk[4 * i + 3]);
}

/* ---- the source: all bytes at once, and what comes behind them ------------------------------- */

static void on_source(j_decompress_ptr c)
{
    (void)c;
}

/* false suspends the decoder. */
static boolean on_end(j_decompress_ptr c)
{
    static const JOCTET end[2] = {0xff, JPEG_EOI};
    struct decoder *d = c->client_data;
    if (!d->feeds) return FALSE;
    d->fed = true;
    d->source.next_input_byte = end;
    d->source.bytes_in_buffer = sizeof end;
    return TRUE;
}

static void on_skip(j_decompress_ptr c, long count)
{
    struct jpeg_source_mgr *source = c->src;
    const size_t left = source->bytes_in_buffer;
    const size_t n = count < 0 ? 0 : (size_t)count < left ? (size_t)count : left;
    source->next_input_byte += n;
    source->bytes_in_buffer -= n;
}

static void set_source(struct decoder *d, const uint8_t *bytes, size_t length)
{
    d->source = (struct jpeg_source_mgr){.next_input_byte = bytes,
                                         .bytes_in_buffer = length,
                                         .init_source = on_source,
                                         .fill_input_buffer = on_end,
                                         .skip_input_data = on_skip,
                                         .resync_to_restart = jpeg_resync_to_restart,
                                         .term_source = on_source};
    d->cinfo.src = &d->source;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The next n rows. false: suspended, the data end early. */
static bool read_band(struct decoder *d, uint8_t *at, JDIMENSION n)
{
    struct jpeg_decompress_struct *c = &d->cinfo;
    const size_t w = d->w;
    const JDIMENSION first = c->output_scanline;
    while (c->output_scanline < first + n) {
        const JDIMENSION done = c->output_scanline - first;
        JDIMENSION got;
        if (d->cmyk) {
            JSAMPROW row = d->cmyk;
            got = jpeg_read_scanlines(c, &row, 1);
            if (got) cmyk_to_rgb(at + (done * w + d->x) * 3, d->cmyk, c->output_width);
        } else {
            JSAMPROW rows[ROWS]; /* the library gives a few at a time */
            for (JDIMENSION i = 0; i < n - done; i++) rows[i] = at + ((done + i) * w + d->x) * 3;
            got = jpeg_read_scanlines(c, rows, n - done);
        }
        if (got == 0) return false;
    }
    return true;
}

/* All rows. false: as above. */
static bool read_rows(struct decoder *d)
{
    const JDIMENSION h = d->cinfo.output_height;
    for (JDIMENSION y = 0; y < h; y += ROWS) {
        const JDIMENSION n = h - y < ROWS ? h - y : ROWS;
        uint8_t *at = d->to ? d->rgb : d->rgb + (size_t)y * d->w * 3;
        if (!read_band(d, at, n)) return false;
        if (d->to) d->to->add(d->to, at, (int)y, (int)n);
    }
    d->whole = true;
    return true;
}

/* Leaves out columns that *to does not read. Upsampling takes the edge of what is left for the
 * picture's, so a margin is kept; files of several scans, whose missing parts are smoothed from
 * their neighbours, stay whole. */
static void narrow(struct decoder *d)
{
    enum { MARGIN = 64 }; /* two of the largest MCU */
    struct jpeg_decompress_struct *c = &d->cinfo;
    if (!d->to || c->scale_denom != 1 || jpeg_has_multiple_scans(c)) return;
    const int w = (int)c->output_width, first = d->to->first - MARGIN, last = d->to->last + MARGIN;
    JDIMENSION x = first > 0 ? (JDIMENSION)first : 0, n = (JDIMENSION)(last < w ? last : w) - x;
    if (last - first > w - MARGIN) return; /* not worth it */
    jpeg_crop_scanline(c, &x, &n);
    d->x = x;
}

static enum rudd_status cut_short(const char *name, const struct data_limits *limits,
                                  struct rudd_error *err)
{
    return rudd_fail(err, RUDD_FORMAT, "%s: truncated JPEG: the data end early%s", name,
                     data_truncated_hint(limits));
}

/* All that may jump. What it took stands in *d, for the caller to free. */
static enum rudd_status decode(struct decoder *d, const uint8_t *bytes, size_t length,
                               const char *name, const struct data_limits *limits,
                               struct rudd_error *err)
{
    struct jpeg_decompress_struct *c = &d->cinfo;
    if (setjmp(d->failed)) {
        if (d->status == RUDD_NO_MEMORY)
            return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to decode this JPEG", name);
        if (d->whole && d->status == RUDD_FORMAT && limits->truncated) {
            snprintf(d->note, sizeof d->note, "breaks off: %.100s; the rest is grey", d->text);
            return RUDD_OK;
        }
        return rudd_fail(err, d->status, "%s: broken JPEG: %s%s", name, d->text,
                         d->whole ? data_truncated_hint(limits) : "");
    }
    jpeg_create_decompress(c);
    c->progress = &d->progress;
    set_source(d, bytes, length);
    if (jpeg_read_header(c, TRUE) == JPEG_SUSPENDED)
        return rudd_fail(err, RUDD_FORMAT, "%s: truncated JPEG: the data end before any pixel",
                         name);

    enum rudd_status status = data_check_size(c->image_width, c->image_height, name, limits, err);
    if (status) return status;
    int parts = c->num_components;
    if (parts != 1 && parts != 3 && parts != 4)
        return rudd_fail(err, RUDD_FORMAT,
                         "%s: JPEG of %d components; 1 (grey), 3 (colour) and 4 (CMYK) are known",
                         name, parts);

    /* Coefficients of a progressive file: 2 bytes a sample of at most 4 components, sides rounded
     * up to whole MCUs of 32. */
    c->mem->max_memory_to_use =
        (1 << 24) + 8 * ((long)c->image_width + 32) * ((long)c->image_height + 32);
    c->out_color_space = parts == 4 ? JCS_CMYK : JCS_RGB;
    c->dct_method = JDCT_ISLOW;
    c->do_fancy_upsampling = TRUE;
    c->do_block_smoothing = TRUE;

    d->orientation = data_image_orientation(bytes, length); /* a JPEG's takes no memory */
    const bool sideways = data_turn_of(d->orientation).transpose;
    if (d->to && d->to->reduction) {
        const int upright_w = (int)(sideways ? c->image_height : c->image_width);
        const int upright_h = (int)(sideways ? c->image_width : c->image_height);
        c->scale_num = 1;
        c->scale_denom = (unsigned)d->to->reduction(d->to, upright_w, upright_h);
    }
    jpeg_calc_output_dimensions(c);
    size_t w = c->output_width, h = c->output_height;
    d->w = w;
    d->rgb = d->to ? rudd_zalloc(w * 3, ROWS) : rudd_alloc(w * 3 * h);
    if (parts == 4) d->cmyk = rudd_alloc(w * 4);
    if (!d->rgb || (parts == 4 && !d->cmyk))
        return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for %zu x %zu pixels", name, w, h);

    if (d->to) {
        d->to->first = 0;
        d->to->last = (int)w;
        status = d->to->begin(d->to, (int)(sideways ? h : w), (int)(sideways ? w : h),
                              d->orientation, err);
        if (status) return status;
    }
    d->feeds = limits->truncated;
    if (!jpeg_start_decompress(c)) return cut_short(name, limits, err); /* it wants all scans */
    narrow(d);
    if (!read_rows(d)) return cut_short(name, limits, err);
    if (d->fed) snprintf(d->note, sizeof d->note, "cut off: the data end early; the rest is grey");
    d->feeds = false;
    if (!jpeg_finish_decompress(c) && !d->note[0])
        snprintf(d->note, sizeof d->note, "damaged, but read: the end marker is missing");
    return RUDD_OK;
}

static enum rudd_status run(struct decoder *d, const uint8_t *bytes, size_t length,
                            const char *name, const struct data_limits *limits,
                            struct rudd_error *err)
{
    enum rudd_status status =
        nn_library_load(&data_libjpeg_library, err, "%s: this picture is a JPEG", name);
    if (status) return status;
    d->cinfo.err = jpeg_std_error(&d->errors);
    d->errors.error_exit = stop;
    d->errors.emit_message = on_message;
    d->errors.output_message = on_output;
    d->progress.progress_monitor = on_progress;
    d->cinfo.client_data = d;

    status = decode(d, bytes, length, name, limits, err);
    jpeg_destroy_decompress(&d->cinfo); /* fine after any failure, also of its own creation */
    rudd_free(d->cmyk);
    return status;
}

enum rudd_status data_jpeg_decode(struct data_image *image, int *orientation, const uint8_t *bytes,
                                  size_t length, const char *name, const struct data_limits *limits,
                                  struct rudd_error *err)
{
    struct decoder d;
    memset(&d, 0, sizeof d);
    enum rudd_status status = run(&d, bytes, length, name, limits, err);
    if (!status) {
        *image =
            (struct data_image){(int)d.cinfo.output_width, (int)d.cinfo.output_height, d.rgb, ""};
        memcpy(image->note, d.note, sizeof d.note);
        *orientation = d.orientation;
        d.rgb = NULL;
    }
    rudd_free(d.rgb);
    return status;
}

enum rudd_status data_jpeg_rows(struct data_rows *to, const uint8_t *bytes, size_t length,
                                const char *name, const struct data_limits *limits,
                                struct rudd_error *err)
{
    struct decoder d;
    memset(&d, 0, sizeof d);
    d.to = to;
    enum rudd_status status = run(&d, bytes, length, name, limits, err);
    memcpy(to->note, d.note, sizeof d.note);
    rudd_free(d.rgb);
    return status;
}
