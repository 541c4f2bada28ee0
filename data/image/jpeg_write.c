/* jpeg_write.c - RGB pixels to a JPEG file in memory, through libjpeg-turbo.
 *
 * libjpeg writes into a window of a block that grows by doubling; it reports errors by leaving
 * through longjmp, so that nothing prints or exits. Integer DCT: the bytes do not depend on the
 * processor.
 *
 * Not here: progressive files, metadata, colour profiles. */
#include "data/image/jpeg_write.h"
#include "data/image/libjpeg.h"
#include "nn/library.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>

struct sink {
    struct jpeg_destination_mgr base; /* first: libjpeg's pointer to it is ours */
    uint8_t *block;
    size_t capacity, length;
};
struct complaint {
    struct jpeg_error_mgr base;
    jmp_buf out;
    char message[JMSG_LENGTH_MAX];
    bool no_memory;
};

static void leave(j_common_ptr c)
{
    struct complaint *e = (struct complaint *)c->err;
    e->base.format_message(c, e->message);
    longjmp(e->out, 1);
}
static void stay_silent(j_common_ptr c)
{
    (void)c;
}

static boolean grow(j_compress_ptr c)
{
    struct sink *s = (struct sink *)c->dest;
    size_t capacity = s->capacity ? 2 * s->capacity : 16384;
    uint8_t *block = rudd_realloc(s->block, capacity);
    if (!block) {
        struct complaint *e = (struct complaint *)c->err;
        e->no_memory = true;
        longjmp(e->out, 1);
    }
    /* libjpeg asks only when the window is full, and then ignores how much of it was free: all of
     * the old block is data. */
    s->base.next_output_byte = block + s->capacity;
    s->base.free_in_buffer = capacity - s->capacity;
    s->block = block;
    s->capacity = capacity;
    return TRUE;
}
static void start(j_compress_ptr c)
{
    grow(c);
}
static void finish(j_compress_ptr c)
{
    struct sink *s = (struct sink *)c->dest;
    s->length = s->capacity - s->base.free_in_buffer;
}

/* Owned by the caller of encode(), so that longjmp leaves its contents defined (C11 7.13.2.1). */
struct writer {
    struct jpeg_compress_struct c;
    struct complaint complaint;
    struct sink sink;
};

static bool encode(struct writer *w, const struct data_image *image, int quality)
{
    struct jpeg_compress_struct *c = &w->c;
    if (setjmp(w->complaint.out)) return false;
    jpeg_create_compress(c);
    c->dest = &w->sink.base;
    c->image_width = (JDIMENSION)image->w;
    c->image_height = (JDIMENSION)image->h;
    c->input_components = 3;
    c->in_color_space = JCS_RGB;
    jpeg_set_defaults(c);
    jpeg_set_quality(c, quality, TRUE);
    c->dct_method = JDCT_ISLOW;
    jpeg_start_compress(c, TRUE);
    while (c->next_scanline < c->image_height) {
        JSAMPROW row = image->rgb + (size_t)c->next_scanline * (size_t)image->w * 3;
        jpeg_write_scanlines(c, &row, 1);
    }
    jpeg_finish_compress(c);
    return true;
}

enum rudd_status data_jpeg_write(uint8_t **bytes, size_t *length, const struct data_image *image,
                                 int quality, struct rudd_error *err)
{
    if (image->w < 1 || image->h < 1 || image->w > JPEG_MAX_DIMENSION ||
        image->h > JPEG_MAX_DIMENSION)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "a JPEG file cannot be %d x %d pixels; its sides are 1..%ld", image->w,
                         image->h, (long)JPEG_MAX_DIMENSION);
    enum rudd_status status =
        nn_library_load(&data_libjpeg_library, err, "a JPEG is to be written");
    if (status) return status;
    struct writer w = {.sink.base = {.init_destination = start,
                                     .empty_output_buffer = grow,
                                     .term_destination = finish}};
    w.c.err = jpeg_std_error(&w.complaint.base);
    w.complaint.base.error_exit = leave;
    w.complaint.base.output_message = stay_silent;
    bool done = encode(&w, image, quality);
    jpeg_destroy_compress(&w.c);
    if (!done) {
        rudd_free(w.sink.block);
        if (w.complaint.no_memory)
            return rudd_fail(err, RUDD_NO_MEMORY, "out of memory while writing a JPEG of %d x %d",
                             image->w, image->h);
        return rudd_fail(err, RUDD_FORMAT, "libjpeg: %s", w.complaint.message);
    }
    *bytes = w.sink.block;
    *length = w.sink.length;
    return RUDD_OK;
}
