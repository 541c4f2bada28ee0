/* progress.c - a run told to people: see progress.h. */
#include "train/progress.h"

#include "train/cli/signals.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char erase[] = "\r\033[K"; /* to the line's beginning; clear to its end */

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

static void clear_bar(struct train_progress *p)
{
    if (p->drawn > 0) fputs(erase, stderr);
    p->drawn = 0;
}

/* Columns of the terminal that may be written to: in the last one, some terminals wrap. */
static int columns(void)
{
    struct winsize size;
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return (known ? size.ws_col : 80) - 1;
}

/* Writes "epoch 3/8 train 640/1153 [#####....]  about 3 min left  loss 0.812  35 images/s" into
 * line [size], at most `width` columns. What does not fit is left out, from the right. The bar takes
 * what room there is, if it is enough to see. */
static void print_bar(char *line, size_t size, const struct train_tick *t, int width)
{
    enum { LEAST = 8, WIDTH = 24, FRAME = 3, PIECES = 4 }; /* FRAME: " []" */
    char pieces[PIECES][TRAIN_PACE_TEXT + 40] = {"", "", "", ""};
    char words[TRAIN_PACE_TEXT], bar[WIDTH + FRAME + 1] = "";
    if (t->epoch) snprintf(pieces[0], sizeof pieces[0], "epoch %d/%d ", t->epoch, t->epochs);
    const size_t used = strlen(pieces[0]);
    snprintf(pieces[0] + used, sizeof pieces[0] - used, "%.20s %d/%d", t->phase, t->done, t->total);
    if (isfinite(t->left)) snprintf(pieces[1], sizeof pieces[1], "  %s left", train_pace_words(words, t->left));
    if (isfinite(t->loss)) snprintf(pieces[2], sizeof pieces[2], "  loss %.3f", t->loss);
    if (t->seconds > 0) snprintf(pieces[3], sizeof pieces[3], "  %.0f images/s", t->done / t->seconds);

    int room = width;
    for (int i = 0; i < PIECES; i++) {
        const int length = (int)strlen(pieces[i]);
        if (length > room) pieces[i][i ? 0 : room > 0 ? room : 0] = 0;
        room -= (int)strlen(pieces[i]);
    }
    const int cells = room - FRAME < WIDTH ? room - FRAME : WIDTH;
    if (cells >= LEAST) {
        int full = t->total > 0 ? (int)((double)cells * t->done / t->total) : 0;
        full = full > cells ? cells : full;
        memcpy(bar, " [", 2);
        memset(bar + 2, '#', (size_t)full);
        memset(bar + 2 + full, '.', (size_t)(cells - full));
        bar[2 + cells] = ']';
    }
    snprintf(line, size, "%s%s%s%s%s", pieces[0], bar, pieces[1], pieces[2], pieces[3]);
}

static void tick(void *user, const struct train_tick *t)
{
    struct train_progress *p = user;
    const double now = train_now();
    char line[400];
    if (!p->bar || now - p->drawn < 0.1) return;
    p->drawn = now;
    print_bar(line, sizeof line, t, columns());
    fprintf(stderr, "\r%s\033[K", line);
}

static void pass_over(void *user)
{
    clear_bar(user);
}

static void epoch_done(void *user, const struct train_epoch *e, int epochs, bool best)
{
    struct train_progress *p = user;
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
    struct train_progress *p = user;
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
    const char *terminal = getenv("TERM");
    const bool dumb = terminal && strcmp(terminal, "dumb") == 0; /* it cannot erase */
    *progress = (struct train_progress){.bar = !quiet && !dumb && isatty(STDERR_FILENO), .quiet = quiet};
    if (progress->bar) train_signals_erase(erase);
    return (struct train_events){.user = progress,
                                 .tick = tick,
                                 .pass_over = pass_over,
                                 .epoch = epoch_done,
                                 .note = note,
                                 .listen = listen,
                                 .stop = stop,
                                 .hub = train_fetch_events(&progress->fetch, quiet)};
}
