/* report.c - report.html: advice, curves and calibration (charts.c), confusion matrix, mistakes
 * (mistakes_page.c), classes, options.
 *
 * One page: style, SVG and thumbnails are inside it; there is no script. Colours follow the reader's light or dark setting.
 * All names, paths and options are escaped: a folder may be called anything.
 *
 * Not here: comparing runs. */
#include "train/report.h"

#include "train/charts.h"
#include "train/runs/mistakes_page.h"
#include "weights/replace.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_CLASSES = 1000, MATRIX_CLASSES = 40, PAIRS = 12 };

static const char style[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
    "content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>rudd "
    "report</title><style>"
    ":root{--bg:#fbfbf9;--card:#fff;--fg:#1c2330;--dim:#5d6778;--line:#dfe2e7;--bar:#e9ecf0;--a:#0b6e99;--b:#c2410c;"
    "--hit:11,110,153;--miss:194,65,12}"
    "@media(prefers-color-scheme:dark){:root{--bg:#14181f;--card:#1a1f28;--fg:#e6e8ec;--dim:#98a2b3;--line:#2e3540;"
    "--bar:#262d38;--a:#5bb8e0;--b:#f59e6b;--hit:91,184,224;--miss:245,158,107}}"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:1120px;padding:24px 20px 64px;background:var(--bg);color:var(--fg);"
    "font:15px/1.5 system-ui,sans-serif}"
    "h1{font-size:24px;line-height:1.25;margin:0;overflow-wrap:anywhere}h2{font-size:18px;margin:40px 0 10px}"
    "p{margin:4px 0 12px;color:var(--dim);max-width:75ch;overflow-wrap:anywhere}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(116px,1fr));gap:10px;margin-top:16px}"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:8px 12px}"
    ".tile b{display:block;font-size:21px;font-variant-numeric:tabular-nums}.tile span{color:var(--dim);font-size:12.5px}"
    ".charts,.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(300px,100%),1fr));gap:24px 20px}"
    ".two{grid-template-columns:repeat(auto-fit,minmax(min(340px,100%),1fr));align-items:start}.two h2{margin-top:28px}.two "
    "svg{max-width:380px}"
    "svg{display:block;width:100%;max-width:460px;height:auto}svg text{fill:var(--dim);font-size:12px}"
    "svg .title{fill:var(--fg);font-weight:600}svg line{stroke:var(--line)}svg .best{stroke:var(--dim);stroke-dasharray:3 3}"
    "svg rect{fill:var(--bar)}svg polyline{fill:none;stroke-width:2;stroke-linejoin:round}"
    "svg polyline.a{stroke:var(--a)}svg polyline.b{stroke:var(--b)}svg circle.a,svg text.a{fill:var(--a)}"
    "svg circle.b,svg text.b{fill:var(--b)}"
    "table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}td,th{padding:4px 10px;text-align:right;"
    "border-bottom:1px solid var(--line)}th{font-weight:600}td:first-child,th:first-child{text-align:left;padding-left:0}"
    ".scroll{overflow-x:auto;max-width:100%}.facts td+td{text-align:left;overflow-wrap:anywhere}"
    ".words td:nth-child(2),.words th:nth-child(2){text-align:left}.facts{width:100%}.facts "
    "td:first-child{width:11em;color:var(--dim);vertical-align:top}"
    ".bar{background:linear-gradient(90deg,rgba(var(--hit),.28) var(--w),transparent var(--w));min-width:96px}"
    ".matrix td,.matrix th{padding:2px 4px;text-align:center;border:0;min-width:28px}.matrix td{height:28px}"
    ".matrix th{font-weight:400}.matrix th:first-child{text-align:right;white-space:nowrap;padding-right:8px;position:sticky;"
    "left:0;background:var(--bg)}.matrix .up{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;"
    "vertical-align:bottom;white-space:nowrap}"
    ".advice{margin:16px 0;padding:12px 16px 12px 36px;background:var(--card);border:1px solid var(--line);"
    "border-left:4px solid var(--a);border-radius:8px}.advice li{margin:4px 0;max-width:85ch;overflow-wrap:anywhere}"
    ".mistakes{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(300px,100%),1fr));gap:24px 20px}"
    ".mistake p{font-size:12.5px;margin:6px 0 0}.pair{display:grid;grid-template-columns:1fr 1fr;gap:6px}figure{margin:0}"
    "figure img,figure .none{display:block;width:100%;height:auto;aspect-ratio:1;border-radius:6px;background:var(--bar)}"
    "figure .none{padding:12px;font-size:12.5px;color:var(--dim)}"
    "figcaption{font-size:13px;line-height:1.4;margin-top:4px;overflow-wrap:anywhere}"
    ".files td:nth-child(-n+3),.files th:nth-child(-n+3){text-align:left}"
    "code{white-space:nowrap}details{margin-top:40px}summary{font-size:18px;font-weight:600;cursor:pointer;margin-bottom:10px}"
    "@media(max-width:480px){table{font-size:12px}td,th{padding:4px 3px}.bar{min-width:52px}.matrix{font-size:11px}}"
    "</style></head><body>";

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static void tile(struct train_page *p, const char *name, double value, const char *format)
{
    char number[32];
    snprintf(number, sizeof number, format, value);
    train_page_add(p, "<div class=\"tile\"><b>%s</b><span>%s</span></div>", isfinite(value) ? number : "-", name);
}

/* The record's three sentences. */
static void add_advice(struct train_page *p, const struct train_report *r)
{
    const json_t *advice = json_object_get(r->record, "advice");
    if (!json_array_size(advice)) return;
    train_page_add(p, "<ol class=\"advice\">");
    for (size_t i = 0; i < json_array_size(advice); i++) {
        train_page_add(p, "<li>");
        train_page_escaped(p, json_string_value(json_array_get(advice, i)));
        train_page_add(p, "</li>");
    }
    train_page_add(p, "</ol>");
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
    train_page_add(p, "</p>");
    add_advice(p, r);
    train_page_add(p, "<p>The best model, on %d %s pictures:</p><div class=\"tiles\">", m->images, r->phase);
    tile(p, "top-1", 100 * m->top1, "%.1f&nbsp;%%");
    tile(p, "top-3", 100 * m->top3, "%.1f&nbsp;%%");
    tile(p, "balanced accuracy", 100 * m->balanced_accuracy, "%.1f&nbsp;%%");
    tile(p, "macro F1", m->macro_f1, "%.3f");
    tile(p, "weighted F1", m->weighted_f1, "%.3f");
    tile(p, "cross-entropy", m->loss, "%.3f");
    tile(p, "calibration error", m->ece, "%.3f");
    tile(p, "ROC AUC", m->roc_auc, "%.4f");
    train_page_add(p, "</div>");
}

/* ---- curves, calibration ----------------------------------------------------------------------------------------- */

static void add_curves(struct train_page *p, const struct train_report *r)
{
    const json_t *options = json_object_get(r->record, "options");
    const char *optimizer = json_string_value(json_object_get(options, "optimizer"));
    const bool altered = json_is_true(json_object_get(options, "augment"));
    const bool smoothed = json_number_value(json_object_get(options, "label-smoothing")) > 0;
    const int best = (int)json_integer_value(json_object_get(json_object_get(r->record, "final"), "epoch"));
    if (optimizer && strcmp(optimizer, "lbfgs") == 0) return; /* one fit: no curves, no rate */
    train_page_add(p, "<h2>Learning</h2><p>");
    if (altered || smoothed)
        train_page_add(p, "Training figures are taken %s%s, so they may lie behind validation. ",
                       altered ? "on altered pictures" : "",
                       !smoothed ? ""
                       : altered ? " with smoothed targets"
                                 : "with smoothed targets");
    train_page_add(p, "Dashed: the epoch that was kept.</p><div class=\"charts\">");
    train_charts_curves(p, r->folder, best);
    train_page_add(p, "</div>");
}

static void add_calibration(struct train_page *p, const struct train_report *r)
{
    const struct train_metrics *m = &r->evaluation->metrics;
    train_page_add(p, "<section><h2>How sure it may be</h2>");
    train_charts_reliability(p, m);
    train_page_add(p, "<p>On the dashed line, answers are right as often as they say; above it the model is too shy, below too "
                      "sure. Grey: how many answers.");
    if (m->temperature > 0)
        train_page_add(
            p,
            " The temperature %.3g, fitted on the validation pictures, takes the calibration error from %.3f to %.3f "
            "and the cross-entropy from %.3f to %.3f. Answers use it; <code>--raw</code> gives those without.",
            m->temperature, m->ece_raw, m->ece, m->loss_raw, m->loss);
    train_page_add(p, "</p></section>");
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
            int count = train_metrics_confused(m, k, j), support = m->per_class[k].support;
            if (count)
                train_page_add(p, "<td style=\"background:rgba(var(--%s),%.2f)\">%d</td>", j == k ? "hit" : "miss",
                               0.15 + 0.6 * count / support, count);
            else
                train_page_add(p, "<td></td>");
        }
    }
    train_page_add(p, "</tr></table></div>");
}

static int by_count(const void *a, const void *b)
{
    const struct train_confused *x = a, *y = b;
    if (x->count != y->count) return y->count - x->count;
    return x->label != y->label ? x->label - y->label : x->answer - y->answer;
}

/* The pairs most often confused: the matrix in a few lines, also where it is too large to show. */
static void add_pairs(struct train_page *p, const struct train_report *r)
{
    const struct train_metrics *m = &r->evaluation->metrics;
    struct train_confused pairs[PAIRS + 1];
    int n = 0;
    for (int i = 0; i < m->confused_count; i++) {
        if (m->confused[i].label == m->confused[i].answer) continue;
        if (n == PAIRS && m->confused[i].count <= pairs[PAIRS - 1].count) continue;
        pairs[n++] = m->confused[i];
        qsort(pairs, (size_t)n, sizeof *pairs, by_count);
        if (n > PAIRS) n = PAIRS;
    }
    train_page_add(p, "<section><h2>Most confused</h2>");
    if (!n) {
        train_page_add(p, "<p>Nothing: every answer is right.</p></section>");
        return;
    }
    train_page_add(p,
                   "<div class=\"scroll\"><table class=\"words\"><tr><th>it is</th><th>model says</th><th>pictures</th></tr>");
    for (int i = 0; i < n; i++) {
        train_page_add(p, "<tr><td>");
        train_page_text(p, r->model->classes[pairs[i].label].name);
        train_page_add(p, "</td><td>");
        train_page_text(p, r->model->classes[pairs[i].answer].name);
        train_page_add(p, "</td><td>%d of %d</td></tr>", pairs[i].count, m->per_class[pairs[i].label].support);
    }
    train_page_add(p, "</table></div></section>");
}

static int by_f1(const void *a, const void *b)
{
    const struct train_class_metrics *const *x = a, *const *y = b;
    if (!(*x)->support != !(*y)->support) return (*x)->support ? -1 : 1; /* a class that was not asked is not hard */
    if ((*x)->f1 != (*y)->f1) return (*x)->f1 < (*y)->f1 ? -1 : 1;
    return (*x > *y) - (*x < *y);
}

static void add_classes(struct train_page *p, const struct train_report *r)
{
    const struct train_metrics *m = &r->evaluation->metrics;
    const struct train_class_metrics **order = rudd_zalloc((size_t)m->classes, sizeof *order);
    if (!order) {
        p->failed = true;
        return;
    }
    for (int k = 0; k < m->classes; k++) order[k] = &m->per_class[k];
    qsort(order, (size_t)m->classes, sizeof *order, by_f1);
    train_page_add(p, "<h2>Classes, the hardest first</h2><div class=\"scroll\"><table><tr><th>class</th><th>precision</th>"
                      "<th>recall</th><th>F1</th><th>pictures</th></tr>");
    for (int k = 0; k < m->classes && k < TABLE_CLASSES; k++) {
        const struct train_class_metrics *c = order[k];
        train_page_add(p, "<tr><td>");
        train_page_text(p, r->model->classes[c - m->per_class].name);
        if (!c->support) {
            train_page_add(p, "</td><td>-</td><td>-</td><td>-</td><td>0</td></tr>");
            continue;
        }
        train_page_add(p, "</td><td>%.3f</td><td>%.3f</td><td class=\"bar\" style=\"--w:%.0f%%\">%.3f</td><td>%d</td></tr>",
                       c->precision, c->recall, 100 * c->f1, c->f1, c->support);
    }
    train_page_add(p, "</table></div>");
    if (m->classes > TABLE_CLASSES)
        train_page_add(p, "<p>And %d classes that are not as hard; run.json has them all.</p>", m->classes - TABLE_CLASSES);
    rudd_free(order);
}

/* ---- mistakes ---------------------------------------------------------------------------------------------------- */

static void add_mistakes(struct train_page *p, const struct train_report *r)
{
    const struct train_mistakes_page what = {
        .evaluation = r->evaluation,
        .set = r->set,
        .model = r->model,
        .phase = r->phase,
        .data = json_string_value(json_object_get(json_object_get(r->record, "options"), "data")),
        .limits = r->limits};
    train_mistakes_page(p, &what);
}

/* ---- the run itself ---------------------------------------------------------------------------------------------- */

static void add_value(struct train_page *p, const json_t *value)
{
    char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    train_page_escaped(p, json_is_string(value) ? json_string_value(value) : text ? text : "");
    free(text); /* jansson's */
}

static void add_table(struct train_page *p, const json_t *object)
{
    const char *key;
    json_t *value;
    train_page_add(p, "<table class=\"facts\">");
    json_object_foreach((json_t *)object, key, value)
    {
        train_page_add(p, "<tr><td>");
        train_page_escaped(p, key);
        train_page_add(p, "</td><td>");
        add_value(p, value);
        train_page_add(p, "</td></tr>");
    }
    train_page_add(p, "</table>");
}

static void add_facts(struct train_page *p, const struct train_report *r)
{
    static const char *const sections[][2] = {
        {"dataset", "Pictures"}, {"weights", "Weights"}, {"model", "Model"}, {"machine", "Machine"}};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        train_page_add(p, "<h2>%s</h2>", sections[i][1]);
        add_table(p, json_object_get(r->record, sections[i][0]));
    }
    train_page_add(p, "<details><summary>All options</summary>");
    add_table(p, json_object_get(r->record, "options"));
    train_page_add(p, "</details>");
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
    add_curves(&page, report);
    train_page_add(&page, "<div class=\"two\">");
    add_calibration(&page, report);
    add_pairs(&page, report);
    train_page_add(&page, "</div>");
    add_matrix(&page, report);
    add_mistakes(&page, report);
    add_classes(&page, report);
    add_facts(&page, report);
    train_page_add(&page, "</body></html>\n");
    train_run_path(path, report->folder->path, "report.html");
    enum rudd_status status = page.failed ? rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to write it", path)
                                          : weights_write_bytes(path, page.text, page.length, err);
    rudd_free(page.text);
    return status;
}
