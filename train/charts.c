/* charts.c - inline SVG: see charts.h.
 *
 *     (LEFT, TOP) +---------------------------+      a plot within a view of WIDTH x HEIGHT units, which are pixels on a phone;
 *                 | high ... values ... low   |      colours and strokes are the page's, so that they follow light and dark
 *                 +---------------------------+ (RIGHT, BOTTOM)
 */
#include "train/charts.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { WIDTH = 340, HEIGHT = 220, LEFT = 54, RIGHT = 330, TOP = 34, BOTTOM = 194 };

/* What is drawn along an axis. */
struct scale {
    double low, high;
};

static double place_x(double share)
{
    return LEFT + (RIGHT - LEFT) * share;
}

static double place_y(const struct scale *s, double value)
{
    return BOTTOM - (BOTTOM - TOP) * (value - s->low) / (s->high - s->low);
}

/* 1, 2 or 5 times a power of ten: at most five steps over the range. */
static double step_of(const struct scale *s)
{
    double raw = (s->high - s->low) / 5, power = pow(10, floor(log10(raw))), lead = raw / power;
    return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

static void open_chart(struct train_page *p, const char *title)
{
    train_page_add(p,
                   "<svg viewBox=\"0 0 %d %d\" role=\"img\"><title>%s</title><text class=\"title\" x=\"0\" y=\"14\">%s</text>",
                   WIDTH, HEIGHT, title, title);
}

static void rule(struct train_page *p, double y, double value)
{
    train_page_add(
        p, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>", LEFT,
        RIGHT, y, y, LEFT - 6, y + 4, value);
}

/* Lines at round values; stretches the scale so that it begins and ends with one. */
static void rules(struct train_page *p, struct scale *s)
{
    if (s->high - s->low < 1e-12) s->high = s->low + (s->low > 0 ? s->low : 1);
    double step = step_of(s);
    double first = floor(s->low / step + 1e-9), last = ceil(s->high / step - 1e-9);
    s->low = first * step;
    s->high = last * step;
    for (double i = first; i <= last; i++) rule(p, place_y(s, i * step), i * step == 0 ? 0 : i * step);
}

/* ---- curves ------------------------------------------------------------------------------------------------------ */

struct chart {
    const char *title, *names[2]; /* of the series */
    size_t offset[2];             /* into struct train_epoch */
    int series;
    double scale;
};

static const char *const colours[2] = {"b", "a"};

static double value_of(const struct train_run_folder *f, int epoch, const struct chart *c, int series)
{
    double x;
    memcpy(&x, (const char *)&f->epochs[epoch] + c->offset[series], sizeof x);
    return x * c->scale;
}

static double place_epoch(const struct train_run_folder *f, int i)
{
    return place_x(f->count > 1 ? (double)i / (f->count - 1) : 0.5);
}

static void add_series(struct train_page *p, const struct train_run_folder *f, const struct chart *c, int series,
                       const struct scale *s)
{
    const char *colour = colours[c->series > 1 ? series : 1];
    train_page_add(p, "<polyline class=\"%s\" points=\"", colour);
    for (int i = 0; i < f->count; i++) {
        double v = value_of(f, i, c, series);
        if (isfinite(v)) train_page_add(p, "%.1f,%.1f ", place_epoch(f, i), place_y(s, v));
    }
    train_page_add(p, "\"/>");
    for (int i = 0; i < f->count; i++) {
        double v = value_of(f, i, c, series);
        if (isfinite(v))
            train_page_add(p,
                           "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>epoch %d, %s: %.4g</title></circle>",
                           colour, place_epoch(f, i), place_y(s, v), f->count > 40 ? "1.5" : "2.5", i + 1, c->names[series], v);
    }
}

static void add_chart(struct train_page *p, const struct train_run_folder *f, const struct chart *c, int best)
{
    struct scale s = {INFINITY, -INFINITY};
    for (int series = 0; series < c->series; series++)
        for (int i = 0; i < f->count; i++) {
            double v = value_of(f, i, c, series);
            if (isfinite(v)) s = (struct scale){fmin(s.low, v), fmax(s.high, v)};
        }
    if (!(s.low <= s.high)) return;
    open_chart(p, c->title);
    rules(p, &s);
    for (int series = 0; series < c->series && c->series > 1; series++)
        train_page_add(p, "<text class=\"%s\" x=\"%d\" y=\"14\" text-anchor=\"end\">%s</text>", colours[series],
                       series ? RIGHT : RIGHT - 72, c->names[series]);
    if (best > 0 && best <= f->count)
        train_page_add(p,
                       "<line class=\"best\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"><title>best epoch, %d</title></line>",
                       place_epoch(f, best - 1), place_epoch(f, best - 1), TOP, BOTTOM, best);
    train_page_add(p, "<text x=\"%d\" y=\"%d\">epoch 1</text>", LEFT, BOTTOM + 18);
    if (f->count > 1) train_page_add(p, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%d</text>", RIGHT, BOTTOM + 18, f->count);
    for (int series = 0; series < c->series; series++) add_series(p, f, c, series, &s);
    train_page_add(p, "</svg>");
}

void train_charts_curves(struct train_page *page, const struct train_run_folder *folder, int best_epoch)
{
#define AT(field) offsetof(struct train_epoch, field)
    static const struct chart charts[] = {
        {"Loss", {"training", "validation"}, {AT(train_loss), AT(val_loss)}, 2, 1},
        {"Accuracy, %", {"training", "validation"}, {AT(train_accuracy), AT(val_accuracy)}, 2, 100},
        {"Learning rate", {"learning rate", NULL}, {AT(learning_rate), 0}, 1, 1}};
#undef AT
    for (size_t i = 0; i < sizeof charts / sizeof *charts; i++) add_chart(page, folder, &charts[i], best_epoch);
}

/* ---- reliability ------------------------------------------------------------------------------------------------- */

static void add_bins(struct train_page *p, const struct train_bin *bins, const char *colour, const struct scale *s)
{
    train_page_add(p, "<polyline class=\"%s\" points=\"", colour);
    for (int b = 0; b < TRAIN_BINS; b++)
        if (bins[b].count)
            train_page_add(p, "%.1f,%.1f ", place_x(bins[b].confidence / bins[b].count),
                           place_y(s, 100.0 * bins[b].hits / bins[b].count));
    train_page_add(p, "\"/>");
    for (int b = 0; b < TRAIN_BINS; b++) {
        if (!bins[b].count) continue;
        double confidence = bins[b].confidence / bins[b].count, right = (double)bins[b].hits / bins[b].count;
        train_page_add(p,
                       "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>%d answers given at %.0f %%: %.0f %% "
                       "right</title></circle>",
                       colour, place_x(confidence), place_y(s, 100 * right), bins[b].count, 100 * confidence, 100 * right);
    }
}

void train_charts_reliability(struct train_page *page, const struct train_metrics *metrics)
{
    struct scale s = {0, 100};
    int most = 1;
    for (int b = 0; b < TRAIN_BINS; b++) most = metrics->bins[b].count > most ? metrics->bins[b].count : most;
    open_chart(page, "Right, %, by stated probability");
    rules(page, &s);
    for (int b = 0; b < TRAIN_BINS; b++) { /* how many answers each bin has: bars of up to a third of the height */
        double height = (BOTTOM - TOP) / 3.0 * metrics->bins[b].count / most;
        train_page_add(page, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%d answers</title></rect>",
                       place_x((double)b / TRAIN_BINS) + 1, BOTTOM - height, (double)(RIGHT - LEFT) / TRAIN_BINS - 2, height,
                       metrics->bins[b].count);
    }
    train_page_add(page, "<line class=\"best\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>", LEFT, BOTTOM, RIGHT, TOP);
    add_bins(page, metrics->temperature > 0 ? metrics->bins_raw : metrics->bins, "b", &s);
    if (metrics->temperature > 0) add_bins(page, metrics->bins, "a", &s);
    train_page_add(page,
                   "<text x=\"%d\" y=\"%d\">0</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">1</text>"
                   "<text class=\"b\" x=\"%d\" y=\"14\" text-anchor=\"end\">as it is</text>",
                   LEFT, BOTTOM + 18, RIGHT, BOTTOM + 18, metrics->temperature > 0 ? RIGHT - 68 : RIGHT);
    if (metrics->temperature > 0)
        train_page_add(page, "<text class=\"a\" x=\"%d\" y=\"14\" text-anchor=\"end\">calibrated</text>", RIGHT);
    train_page_add(page, "</svg>");
}
