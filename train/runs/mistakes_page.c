/* mistakes_page.c - the mistakes of a run as a part of report.html: see mistakes_page.h.
 *
 *     [ the file ]  [ the class that it was taken for ]
 *     test/roach/12.jpg
 *     is roach, taken for rudd, 93 % sure
 *
 * Pictures are inside the page, so SHOWN of them are; LISTED are named. */
#include "train/runs/mistakes_page.h"

#include "data/image/jpeg_write.h"
#include "data/image/preprocess.h"
#include <string.h>

enum { THUMB = 160, SHOWN = 24, LISTED = 1000 };

/* The whole picture, scaled and centred, as a data: URI. */
static void add_thumbnail(struct train_page *p, const struct train_mistakes_page *w, int row)
{
    const char *path = w->set->items[w->evaluation->items[row]].path;
    struct nn_preprocess whole = w->model->preprocess;
    struct data_image image = {0}, small = {THUMB, THUMB, NULL};
    uint8_t *jpeg = NULL;
    size_t length;
    whole.mode = NN_RESIZE_PAD;
    small.rgb = rudd_alloc((size_t)THUMB * THUMB * 3);
    if (small.rgb && data_image_read(&image, path, &w->limits, NULL) == RUDD_OK &&
        data_preprocess(small.rgb, &image, &whole, THUMB, NULL) == RUDD_OK &&
        data_jpeg_write(&jpeg, &length, &small, 80, NULL) == RUDD_OK) {
        train_page_add(p, "<img width=\"%d\" height=\"%d\" alt=\"\" src=\"data:image/jpeg;base64,",
                       THUMB, THUMB);
        train_page_base64(p, jpeg, length);
        train_page_add(p, "\">");
    } else {
        train_page_add(p, "<div class=\"none\">cannot be read</div>");
    }
    rudd_free(jpeg);
    rudd_free(small.rgb);
    data_image_free(&image);
}

/* A file's path within the data folder, so that it can be found there. */
static void add_path(struct train_page *p, const struct train_mistakes_page *w, int row)
{
    const char *path = w->set->items[w->evaluation->items[row]].path;
    size_t skip = w->data ? strlen(w->data) : 0;
    if (skip && strncmp(path, w->data, skip) == 0 && (path[skip] == '/' || path[skip - 1] == '/'))
        path += skip + (path[skip] == '/');
    train_page_text(p, path);
}

static const char *class_name(const struct train_mistakes_page *w, int k)
{
    return w->model->classes[k].name;
}

static void add_figure(struct train_page *p, const struct train_mistakes_page *w, int row,
                       const char *before, const char *name)
{
    train_page_add(p, "<figure>");
    if (row >= 0)
        add_thumbnail(p, w, row);
    else
        train_page_add(p, "<div class=\"none\">no picture of this class was recognised</div>");
    train_page_add(p, "<figcaption>%s", before);
    train_page_text(p, name);
    train_page_add(p, "</figcaption></figure>");
}

static void add_shown(struct train_page *p, const struct train_mistakes_page *w,
                      const struct train_mistakes *m, int i)
{
    const int row = m->list[i].row, said = w->evaluation->results[row].best;
    train_page_add(p, "<div class=\"mistake\"><div class=\"pair\">");
    add_figure(p, w, row, "is ", class_name(w, w->evaluation->labels[row]));
    add_figure(p, w, m->example[said], "taken for ", class_name(w, said));
    train_page_add(p, "</div><p>");
    add_path(p, w, row);
    train_page_add(p, "<br>%.0f&nbsp;%% sure", 100 * m->list[i].sure);
    if (m->example[said] >= 0) {
        train_page_add(p, "; the right-hand picture: ");
        add_path(p, w, m->example[said]);
    }
    train_page_add(p, "</p></div>");
}

static void add_listed(struct train_page *p, const struct train_mistakes_page *w,
                       const struct train_mistakes *m)
{
    train_page_add(p,
                   "<details><summary>%d more</summary><div class=\"scroll\"><table class=\"files"
                   "\"><tr><th>file</th><th>is</th><th>taken for</th><th>sure</th></tr>",
                   m->count - SHOWN);
    for (int i = SHOWN; i < m->count && i < LISTED; i++) {
        const int row = m->list[i].row;
        train_page_add(p, "<tr><td>");
        add_path(p, w, row);
        train_page_add(p, "</td><td>");
        train_page_text(p, class_name(w, w->evaluation->labels[row]));
        train_page_add(p, "</td><td>");
        train_page_text(p, class_name(w, w->evaluation->results[row].best));
        train_page_add(p, "</td><td>%.0f&nbsp;%%</td></tr>", 100 * m->list[i].sure);
    }
    train_page_add(p, "</table></div>");
    if (m->count > LISTED)
        train_page_add(p, "<p>And %d that are not listed.</p>", m->count - LISTED);
    train_page_add(p, "</details>");
}

void train_mistakes_page(struct train_page *page, const struct train_mistakes_page *what)
{
    struct train_page *p = page;
    struct train_mistakes m;
    if (train_mistakes_find(&m, what->evaluation, NULL) != RUDD_OK) {
        p->failed = true;
        return;
    }
    train_page_add(p, "<h2>Mistakes</h2><p>");
    if (m.count)
        train_page_add(p,
                       "%d of %d %s pictures are wrong. First come those whose own class seemed "
                       "least likely; wrong labels are often among them. To the right stands a "
                       "picture of the class that each was taken for. Paths are relative to ",
                       m.count, what->evaluation->count, what->phase);
    else
        train_page_add(p, "None: all %d %s pictures are right. They are in ",
                       what->evaluation->count, what->phase);
    train_page_text(p, what->data ? what->data : "the folder of pictures");
    train_page_add(p, ".</p><div class=\"mistakes\">");
    for (int i = 0; i < m.count && i < SHOWN; i++) add_shown(p, what, &m, i);
    train_page_add(p, "</div>");
    if (m.count > SHOWN) add_listed(p, what, &m);
    train_mistakes_free(&m);
}
