/* predict_sheet.c - a contact sheet: one HTML page with a thumbnail of every picture and the
 * likeliest classes, doubtful ones first, to be looked through by a person.
 *
 *     answer --card--> spool (a nameless file beside the page)        in the order of pictures
 *                      list of {probability, where in the spool}
 *     end:   head | cards in the order of the list | foot  --> the page, by a rename
 *
 * So memory grows by 32 bytes a picture up to `most`, and by the classes that occurred. Of more than
 * `most` pictures the doubtful ones stay: the list is then a heap with the surest on top, which is
 * the next to go.
 *
 * The page needs nothing but itself: no script, no network (its policy forbids both). Colours follow
 * the reader's light or dark setting. Names may be any bytes. */
#include "train/predict.h"

#include "data/image/jpeg_write.h"
#include "data/image/preprocess.h"
#include "train/folder.h"
#include "train/sheet_style.h"
#include "weights/replace.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THUMB = 160, QUALITY = 80, SHOWN = 3, OPEN_UNREAD = 10 };

/* A card in the spool. Pictures that could not be read have the probability -1. */
struct card {
    float probability;
    size_t order, length;
    off_t at;
};

struct sheet {
    struct train_sink sink;
    const rudd_model *model;
    struct train_sheet options;
    const char *path;
    int spool;
    off_t spooled;
    struct card *cards; /* [count]; a heap once count == options.most */
    size_t count, room, pictures, sure, unread;
    int *by_class;          /* [classes] pictures whose likeliest it is */
    struct train_page page; /* kept from card to card */
};

/* ---- a card --------------------------------------------------------------------------------- */

static const char *band(const struct sheet *s, float probability)
{
    return probability >= s->options.sure ? "sure" : probability >= 0.5 ? "likely" : "unsure";
}

/* Whole per cent, rounded down: 99.9 % is not 100 %. */
static int percent(float probability)
{
    return (int)(100.0 * (double)probability + 1e-4);
}

/* Says whether there is a thumbnail; a tensor has none. */
static bool add_thumbnail(struct train_page *p, const struct sheet *s, const struct train_answer *a)
{
    struct data_image small = {0};
    uint8_t *jpeg = NULL;
    size_t length;
    if (a->bytes && data_thumbnail(&small, a->bytes, a->length, a->path, s->options.limits, THUMB, NULL) == RUDD_OK &&
        data_jpeg_write(&jpeg, &length, &small, QUALITY, NULL) == RUDD_OK) {
        train_page_add(p, "<img width=\"%d\" height=\"%d\" alt=\"\" loading=\"lazy\" src=\"data:image/jpeg;base64,", small.w,
                       small.h);
        train_page_base64(p, jpeg, length);
        train_page_add(p, "\">");
    }
    data_image_free(&small);
    rudd_free(jpeg);
    return jpeg != NULL;
}

static void add_facts(struct train_page *p, const struct train_answer *a)
{
    train_page_add(p, "<p class=\"path\"><bdi>");
    train_page_text(p, a->path);
    if (a->image >= 0) train_page_add(p, "[%d]", a->image);
    train_page_add(p, "</bdi></p>");
    if (*a->exif.time || a->exif.has_position) {
        train_page_add(p, "<p>%s", a->exif.time);
        if (a->exif.has_position)
            train_page_add(p, "%s<a href=\"geo:%.6f,%.6f\">%.4f, %.4f</a>", *a->exif.time ? "<br>" : "", a->exif.latitude,
                           a->exif.longitude, a->exif.latitude, a->exif.longitude);
        train_page_add(p, "</p>");
    }
    if (a->note && *a->note) {
        train_page_add(p, "<p>");
        train_page_text(p, a->note);
        train_page_add(p, "</p>");
    }
}

static void add_card(struct train_page *p, const struct sheet *s, const struct train_answer *a)
{
    const float probability = a->top[0].probability;
    train_page_add(p, "<figure class=\"%s\"><div class=\"frame\">", band(s, probability));
    if (!add_thumbnail(p, s, a)) train_page_add(p, "<span>no picture</span>");
    train_page_add(p, "</div><figcaption><ol>");
    for (int i = 0; i < a->count && i < SHOWN; i++) {
        const int share = percent(a->top[i].probability);
        train_page_add(p, "<li style=\"--w:%d%%\"><span>", share);
        train_page_text(p, rudd_model_class_name(s->model, a->top[i].index));
        train_page_add(p, "</span><span>%d&nbsp;%%</span></li>", share);
    }
    train_page_add(p, "</ol>");
    add_facts(p, a);
    train_page_add(p, "</figcaption></figure>\n");
}

/* ---- the doubtful ones ---------------------------------------------------------------------- */

static int by_doubt(const void *a, const void *b)
{
    const struct card *x = a, *y = b;
    if (x->probability != y->probability) return x->probability < y->probability ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* Sinks the card at i to its place below surer ones. */
static void sift(struct card *heap, size_t count, size_t i)
{
    for (;;) {
        size_t top = i, child = 2 * i + 1;
        for (size_t c = child; c < child + 2 && c < count; c++)
            if (by_doubt(&heap[c], &heap[top]) > 0) top = c;
        if (top == i) return;
        const struct card keep = heap[i];
        heap[i] = heap[top];
        heap[top] = keep;
        i = top;
    }
}

/* Where the next card goes: room for one more, or the place of the surest; *place NULL: it is surer
 * than all, and stays out. */
static enum rudd_status find_place(struct card **place, struct sheet *s, const struct card *card, struct rudd_error *err)
{
    if (s->count == (size_t)s->options.most) {
        *place = by_doubt(card, &s->cards[0]) < 0 ? &s->cards[0] : NULL;
        return RUDD_OK;
    }
    if (s->count == s->room) {
        const size_t room = s->room ? 2 * s->room : 256;
        struct card *larger = rudd_realloc(s->cards, room * sizeof *larger);
        if (!larger) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for the list of pictures", s->path);
        s->cards = larger;
        s->room = room;
    }
    *place = &s->cards[s->count];
    return RUDD_OK;
}

static enum rudd_status spool(struct sheet *s, const struct train_page *page, struct rudd_error *err)
{
    if (page->failed) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory for a picture's card", s->path);
    for (size_t done = 0; done < page->length;) {
        const ssize_t n = pwrite(s->spool, page->text + done, page->length - done, s->spooled + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return rudd_fail(err, RUDD_IO, "%s: cannot write its pictures: %s", s->path, strerror(n ? errno : ENOSPC));
        done += (size_t)n;
    }
    return RUDD_OK;
}

static enum rudd_status take(struct train_sink *sink, const struct train_answer *a, struct rudd_error *err)
{
    struct sheet *s = (struct sheet *)sink;
    struct train_page *page = &s->page;
    struct card card = {.probability = a->error ? -1 : a->top[0].probability, .order = s->pictures++, .at = s->spooled};
    struct card *place = NULL;
    if (a->error)
        s->unread++;
    else {
        s->by_class[a->top[0].index]++;
        s->sure += a->top[0].probability >= s->options.sure;
    }
    enum rudd_status status = find_place(&place, s, &card, err);
    if (status || !place) return status;
    page->length = 0;
    if (a->error) {
        train_page_add(page, "<li>");
        train_page_text(page, a->error);
        train_page_add(page, "</li>\n");
    } else
        add_card(page, s, a);
    status = spool(s, page, err);
    if (status) return status;
    card.length = page->length;
    s->spooled += (off_t)page->length;
    *place = card;
    if (place == &s->cards[s->count]) {
        if (++s->count == (size_t)s->options.most)
            for (size_t i = s->count / 2; i-- > 0;) sift(s->cards, s->count, i);
    } else
        sift(s->cards, s->count, 0);
    return RUDD_OK;
}

/* ---- the page ------------------------------------------------------------------------------- */

static void add_tile(struct train_page *p, const char *class, size_t count, const char *what)
{
    train_page_add(p, "<div class=\"tile %s\"><b>%zu</b><span>%s</span></div>", class, count, what);
}

static void add_head(struct train_page *p, const struct sheet *s, bool stopped)
{
    const size_t read = s->pictures - s->unread;
    train_page_bytes(p, train_sheet_start, strlen(train_sheet_start));
    train_page_bytes(p, train_sheet_style, strlen(train_sheet_style));
    train_page_add(p, "<header><h1>%zu picture%s, doubtful ones first</h1><p>Classified by ", s->pictures,
                   s->pictures == 1 ? "" : "s");
    train_page_text(p, rudd_model_arch(s->model));
    train_page_add(p, " with %d classes. Sure: at least %d&nbsp;%%.</p>", rudd_model_class_count(s->model),
                   percent((float)s->options.sure));
    if (stopped) train_page_add(p, "<p class=\"warn\">The run ended early: pictures behind these were not seen.</p>");
    if (s->count < s->pictures)
        train_page_add(p,
                       "<p class=\"warn\">This page shows the %zu most doubtful of them; "
                       "<code>--contact-sheet-max</code> lets it show more.</p>",
                       s->count);
    train_page_add(p, "<div class=\"tiles\">");
    add_tile(p, "sure", s->sure, "sure");
    add_tile(p, "unsure", read - s->sure, "not sure");
    add_tile(p, "", s->unread, "not read");
    train_page_add(p, "</div></header>\n");
}

struct species {
    int index, count;
};

static int by_count(const void *a, const void *b)
{
    const struct species *x = a, *y = b;
    return x->count != y->count ? y->count - x->count : x->index - y->index;
}

static void add_species(struct train_page *p, const struct sheet *s)
{
    const int classes = rudd_model_class_count(s->model);
    struct species *list = rudd_alloc((size_t)classes * sizeof *list);
    int n = 0;
    if (!list) {
        p->failed = true;
        return;
    }
    for (int k = 0; k < classes; k++)
        if (s->by_class[k]) list[n++] = (struct species){k, s->by_class[k]};
    if (n) {
        qsort(list, (size_t)n, sizeof *list, by_count);
        train_page_add(p, "<details class=\"species\"><summary>%d class%s</summary><ol>", n, n == 1 ? "" : "es");
        for (int i = 0; i < n; i++) {
            train_page_add(p, "<li style=\"--w:%.1f%%\"><span>", 100.0 * list[i].count / list[0].count);
            train_page_text(p, rudd_model_class_name(s->model, list[i].index));
            train_page_add(p, "</span><span>%d</span></li>", list[i].count);
        }
        train_page_add(p, "</ol></details>\n");
    }
    rudd_free(list);
}

static enum rudd_status write_cards(struct weights_replacement *r, const struct sheet *s, const struct card *cards,
                                    size_t count, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    char piece[1 << 15];
    for (size_t i = 0; i < count; i++)
        for (size_t done = 0; done < cards[i].length && !status;) {
            size_t want = cards[i].length - done;
            if (want > sizeof piece) want = sizeof piece;
            const ssize_t n = pread(s->spool, piece, want, cards[i].at + (off_t)done);
            if (n <= 0)
                status = rudd_fail(err, RUDD_IO, "%s: cannot read its pictures back: %s", s->path, strerror(n ? errno : EIO));
            else
                status = weights_replace_write(r, piece, (size_t)n, err);
            done += (size_t)(n > 0 ? n : 0);
        }
    return status;
}

/* Writes what the page holds, and empties it. */
static enum rudd_status flush(struct weights_replacement *r, struct sheet *s, struct rudd_error *err)
{
    struct train_page *p = &s->page;
    if (p->failed) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write it", s->path);
    enum rudd_status status = weights_replace_write(r, p->text, p->length, err);
    p->length = 0;
    return status;
}

static enum rudd_status write_page(struct sheet *s, bool stopped, struct rudd_error *err)
{
    struct weights_replacement r;
    struct train_page *p = &s->page;
    size_t unread = 0;
    if (s->count) qsort(s->cards, s->count, sizeof *s->cards, by_doubt);
    while (unread < s->count && s->cards[unread].probability < 0) unread++;
    enum rudd_status status = weights_replace_begin(&r, s->path, err);
    if (status) return status;
    p->length = 0;
    add_head(p, s, stopped);
    add_species(p, s);
    if (unread)
        train_page_add(p, "<details class=\"unread\"%s><summary>%zu could not be read</summary><ul>\n",
                       unread <= OPEN_UNREAD ? " open" : "", s->unread);
    status = flush(&r, s, err);
    if (!status) status = write_cards(&r, s, s->cards, unread, err);
    if (unread) train_page_add(p, "</ul></details>\n");
    train_page_add(p, "<main>\n");
    if (!status) status = flush(&r, s, err);
    if (!status && s->count > unread) status = write_cards(&r, s, s->cards + unread, s->count - unread, err);
    train_page_add(p, "</main></body></html>\n");
    if (!status) status = flush(&r, s, err);
    return weights_replace_end(&r, status, err);
}

static void free_sheet(struct sheet *s)
{
    if (s->spool >= 0) close(s->spool);
    rudd_free(s->cards);
    rudd_free(s->by_class);
    rudd_free(s->page.text);
    rudd_free(s);
}

static enum rudd_status end(struct train_sink *sink, bool stopped, struct rudd_error *err)
{
    struct sheet *s = (struct sheet *)sink;
    enum rudd_status status = write_page(s, stopped, err);
    free_sheet(s);
    return status;
}

/* A file without a name in the page's folder, on the disk that has to hold the page anyway. */
static int open_spool(const char *path)
{
    const size_t room = strlen(path) + 16;
    char *name = rudd_alloc(room);
    if (!name) {
        errno = ENOMEM;
        return -1;
    }
    snprintf(name, room, "%s.XXXXXX", path);
    const int fd = mkstemp(name);
    if (fd >= 0) unlink(name);
    rudd_free(name);
    return fd;
}

enum rudd_status train_predict_sheet(struct train_sink **sink, const char *path, const rudd_model *model,
                                     const struct train_sheet *sheet, struct rudd_error *err)
{
    struct weights_replacement trial;
    enum rudd_status status = train_file_must_be_own(path, train_sheet_start, "a contact sheet", err);
    if (!status) status = weights_replace_begin(&trial, path, err); /* to fail before the first picture */
    if (status) return status;
    weights_replace_end(&trial, RUDD_CANCELLED, NULL);
    struct sheet *s = rudd_zalloc(1, sizeof *s);
    if (!s) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write it", path);
    *s = (struct sheet){.sink = {take, end}, .model = model, .options = *sheet, .path = path};
    s->by_class = rudd_zalloc((size_t)rudd_model_class_count(model), sizeof *s->by_class);
    s->spool = open_spool(path);
    if (!s->by_class)
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write it", path);
    else if (s->spool < 0)
        status = rudd_fail(err, errno == ENOMEM ? RUDD_NO_MEMORY : RUDD_IO, "%s: cannot create a file beside it: %s", path,
                           strerror(errno));
    if (status)
        free_sheet(s);
    else
        *sink = &s->sink;
    return status;
}
