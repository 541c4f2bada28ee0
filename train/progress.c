/* progress.c - a run told to people: see progress.h. */
#include "train/progress.h"

#include "train/cli/signals.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void listen(void *user)
{
    (void)user;
    train_signals_listen();
}

static bool stop(void *user)
{
    (void)user;
    return train_signals_asked();
}

static void clear_bar(const struct train_progress *p)
{
    if (p->bar) fputs("\r\033[K", stderr);
}

static void tick(void *user, const struct train_tick *t)
{
    struct train_progress *p = user;
    enum { WIDTH = 24 };
    double now = train_now();
    if (!p->bar || now - p->drawn < 0.1) return;
    p->drawn = now;
    char bar[WIDTH + 1], loss[32] = "", epoch[48] = "";
    int full = t->total > 0 ? (int)((double)WIDTH * t->done / t->total) : 0;
    if (full > WIDTH) full = WIDTH;
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)full);
    bar[WIDTH] = 0;
    double rate = t->seconds > 0 ? t->done / t->seconds : 0, left = rate > 0 ? (t->total - t->done) / rate : 0;
    if (isfinite(t->loss)) snprintf(loss, sizeof loss, "  loss %.3f", t->loss);
    if (t->epoch) snprintf(epoch, sizeof epoch, "epoch %d/%d ", t->epoch, t->epochs);
    fprintf(stderr, "\r%s%s [%s] %d/%d%s  %.1f images/s  %.0f s left\033[K", epoch, t->phase, bar, t->done, t->total, loss,
            rate, left);
}

static void epoch_done(void *user, const struct train_epoch *e, int epochs, bool best)
{
    const struct train_progress *p = user;
    clear_bar(p);
    if (p->quiet) return;
    printf("epoch %.0f/%d  train %.4f %.1f%%", e->epoch, epochs, e->train_loss, 100 * e->train_accuracy);
    if (isfinite(e->val_loss))
        printf("  val %.4f %.1f%% top-3 %.1f%% F1 %.3f", e->val_loss, 100 * e->val_accuracy, 100 * e->val_top3,
               e->val_macro_f1);
    printf("  lr %.2e  %.1f images/s  %.0f s%s\n", e->learning_rate, e->images_per_second, e->seconds, best ? "  best" : "");
    fflush(stdout);
}

static void note(void *user, const char *line)
{
    const struct train_progress *p = user;
    clear_bar(p);
    if (p->quiet) return;
    puts(line);
    fflush(stdout);
}

static void note_aside(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "rudd: %s\n", line);
}

const struct train_events train_progress_notes = {.note = note_aside};

struct train_events train_progress_events(struct train_progress *progress, bool quiet)
{
    *progress = (struct train_progress){.bar = !quiet && isatty(STDERR_FILENO), .quiet = quiet};
    return (struct train_events){.user = progress,
                                 .tick = tick,
                                 .epoch = epoch_done,
                                 .note = note,
                                 .listen = listen,
                                 .stop = stop,
                                 .hub = train_fetch_events(&progress->fetch, quiet)};
}
