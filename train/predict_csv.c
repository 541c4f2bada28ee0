/* predict_csv.c - answers as comma-separated values, a row a picture.
 *
 *     path,class_1,probability_1,...,class_K,probability_K,time,latitude,longitude,image,note,error
 *
 * Each row reaches the file in one write as soon as the picture is answered: a run that is killed
 * leaves whole rows. Quotes are those of RFC 4180; lines end in LF. Paths keep their bytes, also
 * those that are not UTF-8. Probabilities have nine digits: any float32 comes back. */
#include "train/predict.h"

#include "train/folder.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char train_predict_csv_start[] = "path,class_1,probability_1";

struct csv {
    struct train_sink sink;
    const rudd_model *model;
    const char *path;
    int fd, top;
    struct train_page row; /* kept from row to row */
};

/* ---- fields --------------------------------------------------------------------------------- */

void train_csv_field(struct train_page *row, const char *bytes)
{
    const size_t n = strlen(bytes);
    const bool blank = n && (strchr(" \t", bytes[0]) || strchr(" \t", bytes[n - 1]));
    if (!blank && !strpbrk(bytes, "\",;\t\r\n")) {
        train_page_bytes(row, bytes, n);
        return;
    }
    train_page_bytes(row, "\"", 1);
    for (const char *s = bytes; *s; s++) train_page_bytes(row, *s == '"' ? "\"\"" : s, *s == '"' ? 2 : 1);
    train_page_bytes(row, "\"", 1);
}

void train_csv_path(struct train_page *row, const char *path)
{
    char *safe = NULL;
    const bool standard = strcmp(path, "-") == 0 || strncmp(path, "-: ", 3) == 0; /* standard input */
    if (*path && strchr("=+-@\t\r", *path) && !standard) {
        safe = rudd_alloc(strlen(path) + 3);
        if (!safe) {
            row->failed = true;
            return;
        }
        memcpy(safe, "./", 2);
        strcpy(safe + 2, path);
    }
    train_csv_field(row, safe ? safe : path);
    rudd_free(safe);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static enum rudd_status write_row(struct csv *c, struct rudd_error *err)
{
    const char *bytes = c->row.text;
    size_t left = c->row.length;
    if (c->row.failed) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for a row", c->path);
    while (left) {
        ssize_t n = write(c->fd, bytes, left);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return rudd_fail(err, RUDD_IO, "%s: cannot write: %s; its last row may be cut short", c->path,
                             strerror(n ? errno : ENOSPC));
        bytes += n;
        left -= (size_t)n;
    }
    return RUDD_OK;
}

static enum rudd_status take(struct train_sink *sink, const struct train_answer *a, struct rudd_error *err)
{
    struct csv *c = (struct csv *)sink;
    struct train_page *row = &c->row;
    row->length = 0;
    train_csv_path(row, a->path);
    for (int i = 0; i < c->top; i++) {
        train_page_add(row, ",");
        if (i >= a->count)
            train_page_add(row, ",");
        else {
            train_csv_field(row, rudd_model_class_name(c->model, a->top[i].index));
            train_page_add(row, ",%.9g", (double)a->top[i].probability);
        }
    }
    train_page_add(row, ",%s", a->exif.time);
    if (a->exif.has_position)
        train_page_add(row, ",%.6f,%.6f", a->exif.latitude, a->exif.longitude);
    else
        train_page_add(row, ",,");
    train_page_add(row, ",");
    if (a->image >= 0) train_page_add(row, "%d", a->image);
    train_page_add(row, ",");
    train_csv_field(row, a->note ? a->note : "");
    train_page_add(row, ",");
    train_csv_path(row, a->error ? a->error : ""); /* it begins with the path */
    train_page_add(row, "\n");
    return write_row(c, err);
}

static enum rudd_status end(struct train_sink *sink, bool stopped, struct rudd_error *err)
{
    (void)stopped; /* as many rows as pictures */
    struct csv *c = (struct csv *)sink;
    enum rudd_status status = RUDD_OK;
    if (c->fd >= 0 && c->fd != STDOUT_FILENO && close(c->fd))
        status = rudd_fail(err, RUDD_IO, "%s: cannot write: %s", c->path, strerror(errno));
    rudd_free(c->row.text);
    rudd_free(c);
    return status;
}

enum rudd_status train_predict_csv(struct train_sink **sink, const char *path, const rudd_model *model, int top,
                                   struct rudd_error *err)
{
    const bool standard = strcmp(path, "-") == 0;
    enum rudd_status status = RUDD_OK;
    if (!standard) status = train_file_must_be_own(path, train_predict_csv_start, "a CSV of answers", err);
    if (status) return status;
    struct csv *c = rudd_zalloc(1, sizeof *c);
    if (!c) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write it", path);
    const int classes = rudd_model_class_count(model);
    *c = (struct csv){{take, end}, model, standard ? "standard output" : path, STDOUT_FILENO, top, {0}};
    if (c->top > classes) c->top = classes;
    if (!standard) c->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (c->fd < 0) {
        status = rudd_fail(err, RUDD_IO, "%s: cannot open it for writing: %s", path, strerror(errno));
    } else {
        train_page_add(&c->row, "%s", train_predict_csv_start);
        for (int i = 2; i <= c->top; i++) train_page_add(&c->row, ",class_%d,probability_%d", i, i);
        train_page_add(&c->row, ",time,latitude,longitude,image,note,error\n");
        status = write_row(c, err);
    }
    if (status)
        end(&c->sink, true, NULL);
    else
        *sink = &c->sink;
    return status;
}
