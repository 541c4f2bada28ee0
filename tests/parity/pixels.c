/* pixels.c - prints the pixels that rudd sees, as raw bytes, for comparison with Pillow (parity_pillow.py).
 *
 * Reads jobs from standard input, one a line, and answers each on standard output, so that one process serves thousands:
 *
 *     decode PATH                                       -> w h NOTE\n  w*h*3 bytes    the note on a damaged picture may be empty
 *     exif PATH                                         -> 0 0 orientation|time|latitude|longitude     of the file's bytes
 *     truncated PATH                                    -> the same with --truncated
 *     resize bicubic|bilinear W H L T R B PATH          -> W H\n  W*H*3 bytes      box left, top, right, bottom; R = 0: the whole picture
 *     crop|squash|pad bicubic|bilinear SIZE FRACTION PATH  -> S S\n  S*S*3 bytes   (data_preprocess; mean colour of ImageNet)
 *     op NAME ARGUMENT bicubic|bilinear SIZE PATH       -> S S\n  S*S*3 bytes    (squash, then an operation of RandAugment)
 *
 * A job that fails answers "0 0 message\n". Build: cc -std=c11 -D_DEFAULT_SOURCE -I. tests/parity/pixels.c build/librudd.a $(LDLIBS) */
#include "data/image/exif.h"
#include "data/image/preprocess.h"
#include "data/image/randaugment.h"
#include "data/image/resize.h"

#include <stdio.h>
#include <string.h>

static void answer(const uint8_t *rgb, int w, int h, const char *note)
{
    printf("%d %d %s\n", w, h, note);
    fwrite(rgb, 3, (size_t)w * (size_t)h, stdout);
    fflush(stdout);
}

static enum nn_filter filter_of(const char *name)
{
    return strcmp(name, "bilinear") == 0 ? NN_BILINEAR : NN_BICUBIC;
}

static enum data_randaugment_op op_of(const char *name)
{
    int op = 0;
    while (op < DATA_RANDAUGMENT_COUNT - 1 && strcmp(data_randaugment_names[op], name) != 0) op++;
    return (enum data_randaugment_op)op;
}

/* The picture squashed to p's size and changed. */
static enum rudd_status run_op(const char *name, double argument, const struct data_image *image, const struct nn_preprocess *p,
                               struct rudd_error *err)
{
    size_t bytes = (size_t)p->image_size * (size_t)p->image_size * 3;
    uint8_t *out = rudd_alloc(bytes), *scratch = rudd_alloc(bytes);
    enum rudd_status status = data_preprocess(out, image, p, p->image_size, err);
    if (!status) {
        data_randaugment_run(out, scratch, op_of(name), argument, p, p->image_size);
        answer(out, p->image_size, p->image_size, "");
    }
    rudd_free(out);
    rudd_free(scratch);
    return status;
}

/* The facts stand where another answer has its error. */
static enum rudd_status run_exif(const char *path, struct rudd_error *err)
{
    struct data_exif exif;
    uint8_t *bytes;
    size_t length;
    enum rudd_status status = data_image_load(&bytes, &length, path, NULL, err);
    if (status) return status;
    data_image_exif(&exif, bytes, length);
    rudd_free(bytes);
    printf("0 0 %d|%s|", exif.orientation, exif.time);
    if (exif.has_position)
        printf("%.9f|%.9f\n", exif.latitude, exif.longitude);
    else
        printf("|\n");
    fflush(stdout);
    return RUDD_OK;
}

static enum rudd_status run(const char *verb, const char *rest, struct rudd_error *err)
{
    char filter[16], name[16] = "";
    double argument = 0;
    int path = 0;
    struct data_image image = {0};
    struct data_resize r = {0};
    struct nn_preprocess p = {.mean = {0.485f, 0.456f, 0.406f}};
    enum rudd_status status;
    uint8_t *out = NULL;
    const bool truncated = strcmp(verb, "truncated") == 0, decode = truncated || strcmp(verb, "decode") == 0;
    const struct data_limits limits = data_limits_of(DATA_MEGAPIXELS, truncated);

    if (strcmp(verb, "exif") == 0) return run_exif(rest, err);
    if (strcmp(verb, "resize") == 0)
        sscanf(rest, "%15s %d %d %f %f %f %f %n", filter, &r.w, &r.h, &r.left, &r.top, &r.right, &r.bottom, &path);
    else if (strcmp(verb, "op") == 0)
        sscanf(rest, "%15s %lf %15s %d %n", name, &argument, filter, &p.image_size, &path);
    else if (!decode)
        sscanf(rest, "%15s %d %lf %n", filter, &p.image_size, &p.crop_fraction, &path);

    status = data_image_read(&image, rest + path, &limits, err);
    if (status) return status;
    if (decode) {
        answer(image.rgb, image.w, image.h, image.note);
    } else if (strcmp(verb, "resize") == 0) {
        r.filter = filter_of(filter);
        if (r.right == 0) {
            r.right = (float)image.w;
            r.bottom = (float)image.h;
        }
        r.cw = r.w;
        r.ch = r.h;
        out = rudd_alloc((size_t)r.w * (size_t)r.h * 3);
        status = data_resize(out, &image, &r, err);
        if (!status) answer(out, r.w, r.h, "");
    } else if (strcmp(verb, "op") == 0) {
        p.filter = filter_of(filter);
        p.mode = NN_RESIZE_SQUASH;
        status = run_op(name, argument, &image, &p, err);
    } else {
        p.filter = filter_of(filter);
        p.mode = strcmp(verb, "crop") == 0 ? NN_RESIZE_CROP : strcmp(verb, "pad") == 0 ? NN_RESIZE_PAD : NN_RESIZE_SQUASH;
        out = rudd_alloc((size_t)p.image_size * (size_t)p.image_size * 3);
        status = data_preprocess(out, &image, &p, p.image_size, err);
        if (!status) answer(out, p.image_size, p.image_size, "");
    }
    rudd_free(out);
    data_image_free(&image);
    return status;
}

int main(void)
{
    char line[8192];
    while (fgets(line, sizeof line, stdin)) {
        struct rudd_error err = {0};
        char *rest = strchr(line, ' ');
        line[strcspn(line, "\n")] = 0;
        if (!rest) return 2;
        *rest = 0;
        if (run(line, rest + 1, &err)) {
            printf("0 0 %s\n", err.message);
            fflush(stdout);
        }
    }
    return 0;
}
