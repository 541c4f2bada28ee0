/* report.c - report.html: curves, confusion matrix, classes, worst mistakes, options.
 *
 * One page: style, SVG and thumbnails are inside it; there is no script. Colours follow the reader's light or dark setting.
 * All names, paths and options are escaped: a folder may be called anything.
 *
 * Not here: comparing runs. */
#include "train/report.h"

#include "data/jpeg_write.h"
#include "data/preprocess.h"
#include "train/page.h"
#include "weights/replace.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { THUMB = 160, MISTAKES = 24, MATRIX_CLASSES = 40, PAIRS = 12 };

static const char style[] =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
    "<meta name=\"color-scheme\" content=\"light dark\"><title>rudd report</title><style>"
    ":root{--bg:#fbfbf9;--fg:#1c2330;--dim:#667085;--line:#dcdfe4;--a:#0b6e99;--b:#c2410c;--hit:11,110,153;--miss:194,65,12}"
    "@media(prefers-color-scheme:dark){:root{--bg:#14181f;--fg:#e6e8ec;--dim:#98a2b3;--line:#2e3540;--a:#5bb8e0;--b:#f59e6b;"
    "--hit:91,184,224;--miss:245,158,107}}"
    "body{margin:0 auto;max-width:1080px;padding:24px;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}"
    "h1{font-size:24px;margin:0}h2{font-size:18px;margin:36px 0 12px}p{margin:4px 0;color:var(--dim)}"
    ".tiles{display:flex;flex-wrap:wrap;gap:12px;margin-top:16px}.tile{border:1px solid var(--line);border-radius:8px;"
    "padding:8px 16px}.tile b{display:block;font-size:22px}.tile span{color:var(--dim);font-size:13px}"
    ".charts{display:flex;flex-wrap:wrap;gap:24px}svg{width:500px;max-width:100%;height:auto}"
    "svg text{fill:var(--dim);font-size:12px}svg line{stroke:var(--line)}svg polyline{fill:none;stroke-width:2}"
    "svg circle{stroke:none}"
    "table{border-collapse:collapse;font-size:13px}td,th{padding:3px 8px;text-align:right;border-bottom:1px solid var(--line)}"
    "td:first-child,th:first-child{text-align:left}.scroll{overflow-x:auto}.matrix td,.matrix th{padding:2px "
    "5px;text-align:center;"
    "border:0}.matrix th:first-child{text-align:right}.matrix "
    ".up{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left}"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(160px,1fr));gap:16px}figure{margin:0}"
    "figure img{width:100%;border-radius:6px}figcaption{font-size:12px;overflow-wrap:anywhere}figcaption span{color:var(--dim)}"
    "</style>";

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static void tile(struct train_page *p, const char *name, double value, const char *format)
{
    char number[32];
    snprintf(number, sizeof number, format, value);
    train_page_add(p, "<div class=\"tile\"><b>%s</b><span>%s</span></div>", isfinite(value) ? number : "-", name);
}

static void add_head(struct train_page *p, const struct train_report *r)
{
    const struct train_metrics *m = &r->evaluation->metrics;
    train_page_bytes(p, style, sizeof style - 1);
    train_page_add(p, "<h1>");
    train_page_escaped(p, r->model->arch);
    train_page_add(p, ", %d classes</h1><p>run ", r->model->class_count);
    train_page_escaped(p, r->model->run ? r->model->run : "");
    train_page_add(p, " in ");
    train_page_escaped(p, r->folder->path);
    train_page_add(p, "; best model, on %d %s pictures:</p><div class=\"tiles\">", m->images, r->phase);
    tile(p, "top-1", 100 * m->top1, "%.1f %%");
    tile(p, "top-3", 100 * m->top3, "%.1f %%");
    tile(p, "macro F1", m->macro_f1, "%.3f");
    tile(p, "weighted F1", m->weighted_f1, "%.3f");
    tile(p, "cross-entropy", m->loss, "%.3f");
    tile(p, "calibration error", m->ece, "%.3f");
    tile(p, "ROC AUC", m->roc_auc, "%.4f");
    train_page_add(p, "</div>");
}

/* ---- curves ------------------------------------------------------------------------------------------------------ */

/* The two series of a chart, by offset into struct train_epoch. */
struct chart {
    const char *title;
    size_t series[2]; /* train, val */
    double scale;
};

static double point(const struct train_run_folder *f, int epoch, const struct chart *c, int series)
{
    double x;
    memcpy(&x, (const char *)&f->epochs[epoch] + c->series[series], sizeof x);
    return x * c->scale;
}

static void add_series(struct train_page *p, const struct train_run_folder *f, const struct chart *c, int series, double low,
                       double high)
{
    static const char *const colours[2] = {"var(--b)", "var(--a)"};
    train_page_add(p, "<polyline style=\"stroke:%s\" points=\"", colours[series]);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < f->count; i++) {
            double value = point(f, i, c, series);
            if (!isfinite(value)) continue;
            double x = 50 + (f->count > 1 ? 430.0 * i / (f->count - 1) : 215), y = 210 - 180 * (value - low) / (high - low);
            if (pass == 0) train_page_add(p, "%.1f,%.1f ", x, y);
            if (pass == 1)
                train_page_add(
                    p, "<circle style=\"fill:%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>epoch %d: %.4g</title></circle>",
                    colours[series], x, y, i + 1, value);
        }
        if (pass == 0) train_page_add(p, "\"/>");
    }
}

static void add_chart(struct train_page *p, const struct train_run_folder *f, const struct chart *c)
{
    double low = INFINITY, high = -INFINITY;
    for (int series = 0; series < 2; series++)
        for (int i = 0; i < f->count; i++) {
            double v = point(f, i, c, series);
            if (isfinite(v) && v < low) low = v;
            if (isfinite(v) && v > high) high = v;
        }
    if (!(low <= high)) return;
    if (high - low < 1e-9) high = low + 1;
    train_page_add(p, "<svg viewBox=\"0 0 500 240\" role=\"img\"><title>%s</title>", c->title);
    for (int i = 0; i <= 4; i++) {
        double y = 210 - 45.0 * i;
        train_page_add(
            p, "<line x1=\"50\" x2=\"480\" y1=\"%.0f\" y2=\"%.0f\"/><text x=\"44\" y=\"%.0f\" text-anchor=\"end\">%.3g</text>",
            y, y, y + 4, low + (high - low) * i / 4);
    }
    train_page_add(p, "<text x=\"50\" y=\"230\">epoch 1</text><text x=\"480\" y=\"230\" text-anchor=\"end\">%d</text>",
                   f->count);
    train_page_add(p,
                   "<text x=\"50\" y=\"18\">%s: <tspan style=\"fill:var(--b)\">training</tspan> and "
                   "<tspan style=\"fill:var(--a)\">validation</tspan></text>",
                   c->title);
    for (int series = 0; series < 2; series++) add_series(p, f, c, series, low, high);
    train_page_add(p, "</svg>");
}

static void add_curves(struct train_page *p, const struct train_run_folder *f)
{
    static const struct chart charts[] = {
        {"Loss", {offsetof(struct train_epoch, train_loss), offsetof(struct train_epoch, val_loss)}, 1},
        {"Accuracy, %", {offsetof(struct train_epoch, train_accuracy), offsetof(struct train_epoch, val_accuracy)}, 100}};
    train_page_add(p,
                   "<h2>Learning</h2><p>Training figures are taken on altered pictures with smoothed targets, so they may lie "
                   "behind validation.</p><div class=\"charts\">");
    for (size_t i = 0; i < sizeof charts / sizeof *charts; i++) add_chart(p, f, &charts[i]);
    train_page_add(p, "</div>");
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

static void add_matrix(struct train_page *p, const struct train_report *r)
{
    const struct train_metrics *m = &r->evaluation->metrics;
    if (m->classes > MATRIX_CLASSES) return;
    train_page_add(p, "<h2>Confusion matrix</h2><p>Rows: what it is. Columns: what the model says.</p>"
                      "<div class=\"scroll\"><table class=\"matrix\"><tr><th></th>");
    for (int k = 0; k < m->classes; k++) {
        train_page_add(p, "<th class=\"up\">");
        train_page_escaped(p, r->model->classes[k].name);
        train_page_add(p, "</th>");
    }
    for (int k = 0; k < m->classes; k++) {
        train_page_add(p, "</tr><tr><th>");
        train_page_escaped(p, r->model->classes[k].name);
        train_page_add(p, "</th>");
        for (int j = 0; j < m->classes; j++) {
            int count = m->confusion[k * m->classes + j], support = m->per_class[k].support;
            if (count)
                train_page_add(p, "<td style=\"background:rgba(var(--%s),%.2f)\">%d</td>", j == k ? "hit" : "miss",
                               0.15 + 0.6 * count / support, count);
            else
                train_page_add(p, "<td></td>");
        }
    }
    train_page_add(p, "</tr></table></div>");
}

struct pair {
    int count, truth, said;
};

static int by_count(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->count != y->count) return y->count - x->count;
    return x->truth != y->truth ? x->truth - y->truth : x->said - y->said;
}

/* The pairs most often confused: the matrix in a few lines, also where it is too large to show. */
static void add_pairs(struct train_page *p, const struct train_report *r)
{
    const struct train_metrics *m = &r->evaluation->metrics;
    struct pair pairs[PAIRS + 1];
    int n = 0;
    for (int k = 0; k < m->classes; k++)
        for (int j = 0; j < m->classes; j++) {
            int count = m->confusion[(size_t)k * (size_t)m->classes + (size_t)j];
            if (k == j || !count) continue;
            pairs[n++] = (struct pair){count, k, j};
            qsort(pairs, (size_t)n, sizeof *pairs, by_count);
            if (n > PAIRS) n = PAIRS;
        }
    if (!n) return;
    train_page_add(p, "<h2>Most confused</h2><table><tr><th>it is</th><th>model says</th><th>pictures</th></tr>");
    for (int i = 0; i < n; i++) {
        train_page_add(p, "<tr><td>");
        train_page_escaped(p, r->model->classes[pairs[i].truth].name);
        train_page_add(p, "</td><td>");
        train_page_escaped(p, r->model->classes[pairs[i].said].name);
        train_page_add(p, "</td><td>%d of %d</td></tr>", pairs[i].count, m->per_class[pairs[i].truth].support);
    }
    train_page_add(p, "</table>");
}

static void add_classes(struct train_page *p, const struct train_report *r)
{
    const struct train_metrics *m = &r->evaluation->metrics;
    train_page_add(
        p, "<h2>Classes</h2><table><tr><th>class</th><th>precision</th><th>recall</th><th>F1</th><th>pictures</th></tr>");
    for (int k = 0; k < m->classes; k++) {
        const struct train_class_metrics *c = &m->per_class[k];
        train_page_add(p, "<tr><td>");
        train_page_escaped(p, r->model->classes[k].name);
        train_page_add(p, "</td><td>%.3f</td><td>%.3f</td><td>%.3f</td><td>%d</td></tr>", c->precision, c->recall, c->f1,
                       c->support);
    }
    train_page_add(p, "</table>");
}

/* ---- mistakes ---------------------------------------------------------------------------------------------------- */

struct mistake {
    int row, said;
    double loss, confidence;
};

static int by_loss(const void *a, const void *b)
{
    const struct mistake *x = a, *y = b;
    if (x->loss != y->loss) return x->loss < y->loss ? 1 : -1;
    return x->row - y->row;
}

/* The whole picture, scaled and centred, as a data: URI. A picture that cannot be read any more is left out. */
static void add_thumbnail(struct train_page *p, const char *path, const struct nn_preprocess *preprocess)
{
    struct nn_preprocess whole = *preprocess;
    struct data_image image = {0}, small = {THUMB, THUMB, NULL};
    uint8_t *jpeg = NULL;
    size_t length;
    whole.mode = NN_RESIZE_PAD;
    small.rgb = rudd_alloc((size_t)THUMB * THUMB * 3);
    if (small.rgb && data_image_read(&image, path, NULL, NULL) == RUDD_OK &&
        data_preprocess(small.rgb, &image, &whole, THUMB, NULL) == RUDD_OK &&
        data_jpeg_write(&jpeg, &length, &small, 80, NULL) == RUDD_OK) {
        train_page_add(p, "<img width=\"%d\" height=\"%d\" alt=\"\" src=\"data:image/jpeg;base64,", THUMB, THUMB);
        train_page_base64(p, jpeg, length);
        train_page_add(p, "\">");
    }
    rudd_free(jpeg);
    rudd_free(small.rgb);
    data_image_free(&image);
}

static void add_mistakes(struct train_page *p, const struct train_report *r)
{
    const struct train_evaluation *e = r->evaluation;
    const int classes = e->metrics.classes;
    struct mistake *list = rudd_zalloc((size_t)e->count, sizeof *list);
    int n = 0;
    if (!list) {
        p->failed = true;
        return;
    }
    for (int i = 0; i < e->count; i++) {
        const float *x = e->logits + (size_t)i * (size_t)classes;
        int said = train_argmax(x, classes);
        double norm = train_log_softmax(NULL, x, classes);
        if (said != e->labels[i]) list[n++] = (struct mistake){i, said, norm - x[e->labels[i]], exp(x[said] - norm)};
    }
    qsort(list, (size_t)n, sizeof *list, by_loss);
    train_page_add(p,
                   "<h2>Worst mistakes</h2><p>%d of %d %s pictures are wrong; those the model was surest about first. Look for "
                   "wrong labels too.</p><div class=\"grid\">",
                   n, e->count, r->phase);
    for (int i = 0; i < n && i < MISTAKES; i++) {
        const char *path = r->set->items[e->items[list[i].row]].path, *slash = strrchr(path, '/');
        train_page_add(p, "<figure>");
        add_thumbnail(p, path, &r->model->preprocess);
        train_page_add(p, "<figcaption>");
        train_page_escaped(p, r->model->classes[e->labels[list[i].row]].name);
        train_page_add(p, ", taken for ");
        train_page_escaped(p, r->model->classes[list[i].said].name);
        train_page_add(p, " at %.0f %%<br><span>", 100 * list[i].confidence);
        train_page_escaped(p, slash ? slash + 1 : path);
        train_page_add(p, "</span></figcaption></figure>");
    }
    train_page_add(p, "</div>");
    rudd_free(list);
}

/* ---- the run itself ---------------------------------------------------------------------------------------------- */

static void add_value(struct train_page *p, const json_t *value)
{
    char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    train_page_escaped(p, json_is_string(value) ? json_string_value(value) : text ? text : "");
    free(text); /* jansson's */
}

static void add_facts(struct train_page *p, const struct train_report *r)
{
    static const char *const sections[][2] = {
        {"dataset", "Pictures"}, {"weights", "Weights"}, {"model", "Model"}, {"machine", "Machine"}, {"options", "Options"}};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        const char *key;
        json_t *value;
        train_page_add(p, "<h2>%s</h2><table>", sections[i][1]);
        json_object_foreach(json_object_get(r->record, sections[i][0]), key, value)
        {
            train_page_add(p, "<tr><td>");
            train_page_escaped(p, key);
            train_page_add(p, "</td><td>");
            add_value(p, value);
            train_page_add(p, "</td></tr>");
        }
        train_page_add(p, "</table>");
    }
    const json_t *skipped = json_object_get(r->record, "skipped");
    if (json_array_size(skipped) == 0) return;
    train_page_add(p, "<h2>Skipped pictures</h2>");
    for (size_t i = 0; i < json_array_size(skipped); i++) {
        train_page_add(p, "<p>");
        train_page_escaped(p, json_string_value(json_array_get(skipped, i)));
        train_page_add(p, "</p>");
    }
}

enum rudd_status train_report_write(const struct train_report *report, struct rudd_error *err)
{
    struct train_page page = {0};
    char path[TRAIN_PATH];
    add_head(&page, report);
    add_curves(&page, report->folder);
    add_pairs(&page, report);
    add_matrix(&page, report);
    add_mistakes(&page, report);
    add_classes(&page, report);
    add_facts(&page, report);
    train_page_add(&page, "</html>\n");
    train_run_path(path, report->folder->path, "report.html");
    enum rudd_status status = page.failed ? rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write it", path)
                                          : weights_write_bytes(path, page.text, page.length, err);
    rudd_free(page.text);
    return status;
}
