/* lbfgs.c - L-BFGS with strong Wolfe line searches: see lbfgs.h. */
#include "train/lbfgs.h"

#include <math.h>
#include <string.h>

static const double armijo = 1e-4, curvature = 0.9; /* c1, c2: N&W, section 3.1, for quasi-Newton methods */
enum { BRACKET_STEPS = 20, ZOOM_STEPS = 30 };

/* A point on the line: the step length, value and slope there. */
struct probe {
    double a, f, slope;
};

struct minimiser {
    const struct train_lbfgs_options *options;
    train_lbfgs_fn *fn;
    void *user;
    size_t n;
    double *x, *g;         /* the point that was evaluated last, and its gradient */
    double *from, *from_g; /* where the line starts */
    double *d;             /* its direction */
    double *s, *y, *rho;   /* [history] steps, changes of the gradient, 1 / s.y; a ring */
    int stored, next;
    int evaluations;
};

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static double largest(const double *g, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(g[i]));
    return most;
}

/* ---- the line ------------------------------------------------------------------------------------------------------ */

static struct probe probe_at(struct minimiser *m, double a)
{
    for (size_t i = 0; i < m->n; i++) m->x[i] = m->from[i] + a * m->d[i];
    double f = m->fn(m->user, m->g, m->x);
    m->evaluations++;
    return (struct probe){a, f, dot(m->g, m->d, m->n)};
}

/* The minimum of the cubic through both probes (N&W, eq. 3.59), kept away from the ends; the middle where there is none. */
static double between(struct probe p, struct probe q)
{
    const double width = q.a - p.a, d1 = p.slope + q.slope - 3 * (p.f - q.f) / (p.a - q.a),
                 square = d1 * d1 - p.slope * q.slope;
    double a = p.a + width / 2;
    if (square >= 0) {
        double d2 = width > 0 ? sqrt(square) : -sqrt(square);
        double cubic = q.a - width * ((q.slope + d2 - d1) / (q.slope - p.slope + 2 * d2));
        if (isfinite(cubic)) a = cubic;
    }
    const double share = (a - p.a) / width;
    return share < 0.1 ? p.a + 0.1 * width : share > 0.9 ? p.a + 0.9 * width : a;
}

/* Alg. 3.6: lo has the smallest value so far among those that decrease enough, and the minimum lies between lo and hi. */
static bool zoom(struct minimiser *m, struct probe *at, struct probe start, struct probe lo, struct probe hi)
{
    for (int i = 0; i < ZOOM_STEPS && lo.a != hi.a; i++) {
        *at = probe_at(m, isfinite(hi.f) ? between(lo, hi) : lo.a + (hi.a - lo.a) / 2);
        if (!(at->f <= start.f + armijo * at->a * start.slope) || at->f >= lo.f) {
            hi = *at;
            continue;
        }
        if (fabs(at->slope) <= -curvature * start.slope) return true;
        if (at->slope * (hi.a - lo.a) >= 0) hi = lo;
        lo = *at;
    }
    /* Rounding hides the rest. A smaller value is a step all the same. */
    if (lo.a > 0) *at = probe_at(m, lo.a);
    return lo.a > 0;
}

/* Alg. 3.5. True: x and g are at the new point, *at. */
static bool line_search(struct minimiser *m, struct probe *at, struct probe start, double first)
{
    struct probe before = start;
    double a = first;
    for (int i = 0; i < BRACKET_STEPS; i++, a *= 2) {
        *at = probe_at(m, a);
        if (!(at->f <= start.f + armijo * a * start.slope) || (i > 0 && at->f >= before.f))
            return zoom(m, at, start, before, *at);
        if (fabs(at->slope) <= -curvature * start.slope) return true;
        if (at->slope >= 0) return zoom(m, at, start, *at, before);
        before = *at;
    }
    return true;
}

/* ---- the direction ------------------------------------------------------------------------------------------------- */

/* Alg. 7.4 from the last step back to the oldest, H0 = s.y / y.y (eq. 7.20). */
static void find_direction(struct minimiser *m, double *alpha)
{
    const size_t n = m->n;
    const int history = m->options->history;
    for (size_t i = 0; i < n; i++) m->d[i] = -m->from_g[i];
    for (int k = 1; k <= m->stored; k++) {
        const int j = (m->next - k + history) % history;
        alpha[j] = m->rho[j] * dot(m->s + (size_t)j * n, m->d, n);
        for (size_t i = 0; i < n; i++) m->d[i] -= alpha[j] * m->y[(size_t)j * n + i];
    }
    if (m->stored) {
        const double *y = m->y + (size_t)((m->next - 1 + history) % history) * n;
        const double scale = 1 / (m->rho[(m->next - 1 + history) % history] * dot(y, y, n));
        for (size_t i = 0; i < n; i++) m->d[i] *= scale;
    }
    for (int k = m->stored; k >= 1; k--) {
        const int j = (m->next - k + history) % history;
        const double beta = m->rho[j] * dot(m->y + (size_t)j * n, m->d, n);
        for (size_t i = 0; i < n; i++) m->d[i] += (alpha[j] - beta) * m->s[(size_t)j * n + i];
    }
}

/* The step just taken joins the history, unless rounding has left it no curvature. */
static void remember(struct minimiser *m)
{
    double *s = m->s + (size_t)m->next * m->n, *y = m->y + (size_t)m->next * m->n;
    for (size_t i = 0; i < m->n; i++) {
        s[i] = m->x[i] - m->from[i];
        y[i] = m->g[i] - m->from_g[i];
    }
    const double sy = dot(s, y, m->n);
    if (!(sy > 1e-12 * dot(y, y, m->n))) return;
    m->rho[m->next] = 1 / sy;
    m->next = (m->next + 1) % m->options->history;
    if (m->stored < m->options->history) m->stored++;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

static enum rudd_status minimise(struct train_lbfgs_result *r, struct minimiser *m, double *alpha, struct rudd_error *err)
{
    const size_t bytes = sizeof(double) * m->n;
    r->value = m->fn(m->user, m->from_g, m->from);
    m->evaluations = 1;
    if (!isfinite(r->value)) return rudd_fail(err, RUDD_LIMIT, "L-BFGS: the value to minimise is not finite at the start");
    for (;; r->iterations++) {
        r->gradient = largest(m->from_g, m->n);
        r->evaluations = m->evaluations;
        r->converged = r->gradient <= m->options->tolerance;
        if (r->converged || r->iterations >= m->options->max_iterations) return RUDD_OK;
        if (m->options->stop && m->options->stop(m->user)) return rudd_fail(err, RUDD_CANCELLED, "L-BFGS: stopped on request");
        find_direction(m, alpha);
        struct probe start = {0, r->value, dot(m->from_g, m->d, m->n)}, at;
        const double first = m->stored ? 1 : fmin(1, 1 / sqrt(dot(m->from_g, m->from_g, m->n)));
        if (!(start.slope < 0) || !line_search(m, &at, start, first) || !(at.f < start.f)) {
            if (m->stored == 0) return RUDD_OK;
            m->stored = 0; /* once more, straight down */
            continue;
        }
        remember(m);
        memcpy(m->from, m->x, bytes);
        memcpy(m->from_g, m->g, bytes);
        r->value = at.f;
    }
}

enum rudd_status train_lbfgs(struct train_lbfgs_result *result, double *x, train_lbfgs_fn *fn, void *user,
                             const struct train_lbfgs_options *options, struct rudd_error *err)
{
    const size_t n = options->n, history = (size_t)options->history, vectors = 4 + 2 * history;
    struct train_lbfgs_result r = {0};
    if (n < 1 || options->history < 1 || n > SIZE_MAX / 16 / vectors)
        return rudd_fail(err, RUDD_ARGUMENT, "L-BFGS: %zu variables with a history of %d steps", n, options->history);
    double *block = rudd_alloc(sizeof *block * (vectors * n + 2 * history));
    if (!block) return rudd_fail(err, RUDD_NO_MEMORY, "L-BFGS: no memory for %zu variables and %zu steps", n, history);
    struct minimiser m = {.options = options,
                          .fn = fn,
                          .user = user,
                          .n = n,
                          .from = x,
                          .x = block,
                          .g = block + n,
                          .from_g = block + 2 * n,
                          .d = block + 3 * n,
                          .s = block + 4 * n,
                          .y = block + (4 + history) * n,
                          .rho = block + vectors * n};
    enum rudd_status status = minimise(&r, &m, m.rho + history, err);
    rudd_free(block);
    *result = r;
    return status;
}
