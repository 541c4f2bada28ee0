/* test_progress.c - what a run looks like on a terminal: nothing of the bar is left on any line, whatever ends the run; and how the
 * time left is computed.
 *
 * build/rudd runs on a pseudo-terminal. A small model of a screen takes what it writes, as a terminal would. */
#include "tests/running.h"
#include "tests/training.h"
#include "train/progress.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- a screen ---------------------------------------------------------------------------------------------------- */

enum { ROWS = 400, COLUMNS = 256 };

/* Rows never scroll away. Knows \r, \n, ESC [ K, and wrapping at its width; each byte is a column. */
struct screen {
    char cell[ROWS][COLUMNS + 1];
    int width, row, column, wraps;
    int escape; /* bytes of an escape sequence so far */
};

static void screen_put(struct screen *s, char c)
{
    if (s->escape) {
        s->escape++;
        if (s->escape == 2) assert_int_equal(c, '[');
        if (s->escape < 3) return;
        assert_int_equal(c, 'K'); /* the only one that is used */
        memset(&s->cell[s->row][s->column], ' ', (size_t)(s->width - s->column));
        s->escape = 0;
    } else if (c == '\033') {
        s->escape = 1;
    } else if (c == '\r') {
        s->column = 0;
    } else if (c == '\n') {
        s->row++;
    } else {
        if (s->column == s->width) {
            s->row++;
            s->wraps++;
            s->column = 0;
        }
        s->cell[s->row][s->column++] = c;
    }
    assert_in_range(s->row, 0, ROWS - 2);
}

/* The row without what is blank at its end. */
static const char *screen_row(struct screen *s, int row)
{
    size_t used = COLUMNS;
    while (used > 0 && (s->cell[row][used - 1] == ' ' || !s->cell[row][used - 1])) used--;
    for (size_t i = 0; i < used; i++)
        if (!s->cell[row][i]) s->cell[row][i] = ' ';
    s->cell[row][used] = 0;
    return s->cell[row];
}

static void screen_is_clean(struct screen *s)
{
    for (int i = 0; i <= s->row; i++) {
        const char *row = screen_row(s, i);
        if (strstr(row, " left") || strstr(row, "[#") || strstr(row, "[.") || strstr(row, "..]"))
            fail_msg("row %d shows what is left of a bar: \"%s\"", i, row);
    }
    if (s->column) fail_msg("the prompt would follow \"%s\"", screen_row(s, s->row));
}

static bool screen_shows(struct screen *s, const char *text)
{
    for (int i = 0; i <= s->row; i++)
        if (strstr(screen_row(s, i), text)) return true;
    return false;
}

/* ---- a program on it --------------------------------------------------------------------------------------------- */

/* What it wrote, raw, and what is seen in the end. */
static char raw[1 << 16];
static size_t raw_used;
static struct screen screen;

/* Runs build/rudd with words separated by '|' on a terminal of so many columns. Where `signals` are given, they are sent as soon as
 * a bar stands there. The wait status. */
static int run_on_terminal(int width, const int *signals, int signal_count, const char *line)
{
    char copy[4000], *argv[64], c;
    int master, status;
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)width};
    snprintf(copy, sizeof copy, "%s", line);
    program_words(argv, copy);
    memset(&screen, 0, sizeof screen);
    screen.width = width;
    raw_used = 0;
    const pid_t child = forkpty(&master, NULL, NULL, &size);
    assert_true(child >= 0);
    if (child == 0) {
        setenv("TERM", "xterm", 1);
        execv(argv[0], argv);
        _exit(121);
    }
    for (ssize_t got; (got = read(master, &c, 1)) == 1 || (got < 0 && errno == EINTR);) {
        if (got != 1) continue;
        if (raw_used < sizeof raw - 1) raw[raw_used++] = c;
        screen_put(&screen, c);
        const bool drawn = raw_used >= 3 && memcmp(raw + raw_used - 3, "\033[K", 3) == 0;
        if (drawn && signal_count && strstr(screen_row(&screen, screen.row), "/")) {
            while (signal_count) kill(child, signals[--signal_count]);
        }
    }
    raw[raw_used] = 0;
    close(master);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static const char *train_line(const char *out, const char *more)
{
    static char line[3000];
    remove_run(out);
    snprintf(line, sizeof line, "train|--data|%s|--out|%s|--arch|efficientnet_b0|--image-size|32|--batch|8|--bn-momentum|0.5%s",
             in_root("set"), in_root(out), more);
    return line;
}

/* ---- claims ------------------------------------------------------------------------------------------------------ */

/* A run that ends well leaves nothing of its bars, on wide and narrow terminals. */
static void done_is_clean(void **state)
{
    (void)state;
    static const int widths[] = {200, 80, 40, 12};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const int status = run_on_terminal(widths[i], NULL, 0, train_line("done", "|--epochs|2|--lr|1e-3"));
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        screen_is_clean(&screen);
        assert_non_null(strstr(raw, "epoch 1/2 t")); /* there were bars, of learning */
        if (widths[i] == 200) {
            assert_non_null(strstr(raw, "] ") ? strstr(raw, " left") : NULL);
            assert_true(screen_shows(&screen, "epoch 2/2  train"));
            assert_true(screen_shows(&screen, "best epoch "));
            assert_true(screen_shows(&screen, "Caution: the network starts from random weights"));
        }
    }
}

/* So does one that fails in the middle: the reason stands on a line of its own. */
static void failure_is_clean(void **state)
{
    (void)state;
    const int status =
        run_on_terminal(100, NULL, 0, train_line("wild", "|--epochs|30|--lr|100|--warmup-epochs|0|--clip-norm|0"));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    screen_is_clean(&screen);
    assert_non_null(strstr(raw, "epoch 1/30 train"));
    bool told = false;
    for (int i = 0; i <= screen.row; i++) told |= strncmp(screen_row(&screen, i), "rudd: ", 6) == 0;
    assert_true(told);
}

/* Stopped by a signal while a bar stands there, by two of them, or where nobody listens. */
static void stopped_is_clean(void **state)
{
    (void)state;
    static const int interrupt[] = {SIGINT}, terminate[] = {SIGTERM}, both[] = {SIGTERM, SIGINT};
    char line[1000];
    run_on_terminal(80, interrupt, 1, train_line("stopped", "|--epochs|1000"));
    screen_is_clean(&screen);
    if (!screen_shows(&screen, "--resume")) fail_msg("no way to go on in: %s", raw);
    run_on_terminal(80, terminate, 1, train_line("stopped", "|--epochs|1000"));
    screen_is_clean(&screen);
    if (!screen_shows(&screen, "--resume")) fail_msg("no way to go on in: %s", raw);
    run_on_terminal(80, both, 2, train_line("stopped", "|--epochs|1000"));
    screen_is_clean(&screen);

    must(train("judged", "|--epochs|1"));
    snprintf(line, sizeof line, "eval|--model|%s|--data|%s/train|--batch|1|--views|10", file_of("judged", "model.safetensors"),
             in_root("set"));
    run_on_terminal(80, NULL, 0, line);
    screen_is_clean(&screen);
    assert_non_null(strstr(raw, "eval 0/24"));
    assert_true(screen_shows(&screen, "top-1"));
    run_on_terminal(80, interrupt, 1, line);
    screen_is_clean(&screen);
    assert_false(screen_shows(&screen, "top-1")); /* it was ended before */
}

/* Not on a terminal there are lines and nothing else. */
static void plain_elsewhere(void **state)
{
    (void)state;
    char words[4000], shell[9000];
    snprintf(words, sizeof words, "%s", train_line("plain", "|--epochs|2"));
    for (char *c = words; *c; c++)
        if (*c == '|') *c = ' ';
    snprintf(shell, sizeof shell, "%s %s 2>&1", program_path(), words);
    FILE *pipe = popen(shell, "r");
    assert_non_null(pipe);
    raw_used = fread(raw, 1, sizeof raw - 1, pipe);
    raw[raw_used] = 0;
    assert_int_equal(pclose(pipe), 0);
    assert_non_null(strstr(raw, "\nepoch 1/2  train "));
    assert_non_null(strstr(raw, "\nepoch 2/2  train "));
    assert_null(strchr(raw, '\r'));
    assert_null(strchr(raw, '\033'));
}

/* ---- time left --------------------------------------------------------------------------------------------------- */

static void near(double found, double expected)
{
    if (!(fabs(found - expected) < 1e-9)) fail_msg("found %.12g, expected %.12g", found, expected);
}

/* All that is left counts: the epochs to come, their validation, the last evaluation. */
static void left_is_of_the_whole_run(void **state)
{
    (void)state;
    struct train_pace p = {.work = {[TRAIN_PACE_LEARN] = 3 * 100, [TRAIN_PACE_JUDGE] = 3 * 20 + 40}};
    assert_true(isnan(train_pace_left(&p)));
    train_pace_pass(&p, TRAIN_PACE_LEARN, 10, 3); /* 0.3 s a picture; a third of that to judge one */
    near(train_pace_left(&p), 290 * 0.3 + 100 * 0.1);
    train_pace_pass(&p, TRAIN_PACE_LEARN, 100, 30);
    near(train_pace_left(&p), 200 * 0.3 + 100 * 0.1);
    train_pace_pass_over(&p);
    train_pace_pass(&p, TRAIN_PACE_JUDGE, 10, 0.5); /* now it is measured: 0.05 s */
    near(train_pace_left(&p), 200 * 0.3 + 90 * 0.05);
    train_pace_pass(&p, TRAIN_PACE_JUDGE, 20, 1);
    train_pace_pass_over(&p);
    train_pace_pass(&p, TRAIN_PACE_LEARN, 100, 50); /* slower: the mean of both epochs */
    near(train_pace_left(&p), 100 * 0.4 + 80 * 0.05);

    /* A pass that begins anew without the end of the one before. */
    train_pace_pass(&p, TRAIN_PACE_LEARN, 50, 20);
    near(train_pace_left(&p), 50 * (100.0 / 250) + 80 * 0.05);

    /* A frozen part: what follows costs little, and is not known yet. */
    struct train_pace frozen = {.work = {100, 50, 400}};
    train_pace_pass(&frozen, TRAIN_PACE_CACHE, 100, 2);
    near(train_pace_left(&frozen), 300 * 0.02);
    frozen.done[TRAIN_PACE_LEARN] = 100;
    frozen.done[TRAIN_PACE_JUDGE] = 50;
    frozen.done[TRAIN_PACE_CACHE] = 400;
    near(train_pace_left(&frozen), 0);
}

static void time_in_words(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *words;
    } rows[] = {{0, "a few seconds"},       {4.9, "a few seconds"},
                {5, "about 5 s"},           {12.4, "about 10 s"},
                {57, "about 55 s"},         {58, "about 1 min"},
                {100, "about 2 min"},       {3569, "about 59 min"},
                {3570, "about 1 h"},        {3600 + 700, "about 1 h 10 min"},
                {7200, "about 2 h"},        {9 * 3600 + 3599, "about 10 h"},
                {20 * 3600, "about 20 h"},  {3 * 86400, "about 3 days"},
                {1e9, "more than 100 days"}};
    char text[TRAIN_PACE_TEXT];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(train_pace_words(text, rows[i].seconds), rows[i].words);
}

struct heard {
    int notes, ticks, ends;
    char note[200];
    double left;
};

static void hear_note(void *user, const char *line)
{
    struct heard *h = user;
    h->notes++;
    snprintf(h->note, sizeof h->note, "%s", line);
}

static void hear_tick(void *user, const struct train_tick *tick)
{
    struct heard *h = user;
    h->ticks++;
    h->left = tick->left;
}

static void hear_end(void *user)
{
    ((struct heard *)user)->ends++;
}

/* The whole time is told once, when some seconds have shown it and where it is worth telling. */
static void whole_time_is_told_once(void **state)
{
    (void)state;
    for (int epochs = 1; epochs <= 100; epochs += 99) {
        struct heard h = {0};
        struct train_pace pace = {.work = {[TRAIN_PACE_LEARN] = 100 * epochs}};
        const struct train_events events = {
            .user = &h, .note = hear_note, .tick = hear_tick, .pass_over = hear_end, .pace = &pace};
        train_tick(&events, (struct train_tick){.done = 10, .total = 100, .seconds = 1});
        assert_int_equal(h.notes, 0);
        near(h.left, 10 * epochs - 1);
        train_tick(&events, (struct train_tick){.done = 40, .total = 100, .seconds = 4});
        train_tick(&events, (struct train_tick){.done = 50, .total = 100, .seconds = 5});
        train_pass_over(&events);
        assert_int_equal(h.notes, epochs > 1);
        if (epochs > 1) assert_string_equal(h.note, "The whole run will take about 17 min more.");
        assert_int_equal(h.ticks, 3);
        assert_int_equal(h.ends, 1);
    }
    /* A pass that stands alone: its own time. */
    struct heard h = {0};
    const struct train_events alone = {.user = &h, .tick = hear_tick};
    train_tick(&alone, (struct train_tick){.done = 25, .total = 100, .seconds = 2, .kind = TRAIN_PACE_JUDGE});
    near(h.left, 6);
    train_pass_over(&alone);
    train_tick(NULL, (struct train_tick){0});
    train_pass_over(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(done_is_clean),
        cmocka_unit_test(failure_is_clean),
        cmocka_unit_test(stopped_is_clean),
        cmocka_unit_test(plain_elsewhere),
        cmocka_unit_test(left_is_of_the_whole_run),
        cmocka_unit_test(time_in_words),
        cmocka_unit_test(whole_time_is_told_once),
    };
    return cmocka_run_group_tests(tests, begin_runs, end_runs);
}
