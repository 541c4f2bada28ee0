#define _GNU_SOURCE /* pipe2 */
/* test_predict_sort.c - pictures sorted into folders by `rudd predict`, the script that undoes it,
 * contact sheets, and what a signal or a lack of memory leaves of them. */
#include "tests/predicting.h"
#include "train/predict.h"

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

/* What a shell command says, to be freed. */
static char *said(const char *command)
{
    char line[512];
    snprintf(line, sizeof line, "{ %s; } > said.txt", command);
    assert_int_equal(system(line), 0);
    return read_file("said.txt", NULL);
}

/* All that lies below a folder: names, kinds, targets, sizes, times, contents. */
static char *tree(const char *path)
{
    char command[400];
    snprintf(command, sizeof command,
             "find %s \\( -type d -printf '%%p d\\n' -o -printf '%%p %%y %%l %%s %%T@\\n' \\) | LC_ALL=C sort; "
             "find %s -type f -exec cksum {} + | LC_ALL=C sort",
             path, path);
    return said(command);
}

static void assert_count(const char *command, int count)
{
    char line[400];
    snprintf(line, sizeof line, "%s -printf x", command);
    char *text = said(line);
    assert_int_equal(strlen(text), count);
    free(text);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A median of the likeliest class's probabilities over pics/, as text. */
static const char *median(void)
{
    static char text[32];
    double p[READABLE];
    int n = 0;
    struct result r = predict(NULL, 0, "--csv", "-", "--top", "1", "pics", NULL);
    for (const char *s = r.out; (s = strstr(s, ",0."));) p[n++] = atof(++s);
    drop(&r);
    assert_int_equal(n, READABLE);
    qsort(p, READABLE, sizeof *p, by_value);
    assert_true(p[READABLE / 2 - 1] + 1e-6 < p[READABLE / 2]);
    snprintf(text, sizeof text, "%.9f", (p[READABLE / 2 - 1] + p[READABLE / 2]) / 2);
    return text;
}

/* ---- sorting and undoing --------------------------------------------------------------------- */

/* Every picture has one link, or copy, of its bytes; three of the same name have three. undo.sh leaves
 * nothing behind, and the folder only if it was there before. */
static void sorted_and_undone(void **state)
{
    (void)state;
    for (int copy = 0; copy < 2; copy++)
        for (int existed = 0; existed < 2; existed++) {
            if (existed) mkdir("sorted", 0777);
            char *before = tree("pics");
            struct result r =
                predict(NULL, 0, "--sort-into", "sorted", copy ? "--copy" : "--no-copy", "--sure", median(), "pics", NULL);
            assert_int_equal(r.status, 1); /* bad.jpg */
            drop(&r);
            assert_count(copy ? "find sorted/sure sorted/unsure -type f" : "find sorted/sure sorted/unsure -type l", READABLE);
            assert_count("find sorted -name 'plain*.jpg'", 3);
            /* The same bytes on both sides, each as often. */
            char *a = said("find pics -type f ! -name bad.jpg -exec cksum {} + | cut -d' ' -f1,2 | sort");
            char *b = said("find -L sorted/sure sorted/unsure -type f -exec cksum {} + | cut -d' ' -f1,2 | sort");
            assert_string_equal(a, b);
            free(a);
            free(b);
            if (copy) {
                char *times = said("find sorted/*sure -type f -newer pics/bad.jpg -printf x"); /* drawn before it */
                assert_string_equal(times, "");
                free(times);
            }
            char *unread = read_file("sorted/unread.csv", NULL);
            assert_int_equal(strncmp(unread, "path,error\npics/bad.jpg,\"pics/bad.jpg: ", 39), 0);
            free(unread);
            assert_int_equal(run_script("sorted/undo.sh"), 0);
            assert_int_equal(access("sorted", F_OK), existed ? 0 : -1);
            char *after = tree("pics");
            assert_string_equal(before, after);
            if (existed) assert_int_equal(rmdir("sorted"), 0); /* empty */
            free(before);
            free(after);
        }
}

/* Sure and unsure lie apart, by the class that JSON names. */
static void sure_and_unsure(void **state)
{
    (void)state;
    const char *limit = median();
    struct result r = predict(NULL, 0, "--json", "--sort-into", "sorted", "--sure", limit, "pics", NULL);
    int sure = 0, unsure = 0;
    for (char *line = strtok(r.out, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *answer = json_loads(line, 0, NULL);
        const json_t *top = json_array_get(json_object_get(answer, "top"), 0);
        const char *file = json_string_value(json_object_get(answer, "file")), *slash = strrchr(file, '/');
        char path[400];
        struct stat st;
        if (top && !strchr(file, '\\')) {
            const bool is_sure = json_real_value(json_object_get(top, "probability")) > atof(limit);
            sure += is_sure;
            unsure += !is_sure;
            snprintf(path, sizeof path, "sorted/%s/%s%s", is_sure ? "sure" : "unsure",
                     json_string_value(json_object_get(top, "class")), slash);
            if (lstat(path, &st) || !S_ISLNK(st.st_mode)) fail_msg("%s is not there", path);
        }
        json_decref(answer);
    }
    assert_true(sure > 0 && unsure > 0);
    drop(&r);
}

/* Two sorts into one folder are undone together; a name never replaces another, however long it is. */
static void sorted_twice(void **state)
{
    (void)state;
    char name[300] = "pics/";
    memset(name + 5, 'n', 251);
    memcpy(name + 5 + 251, ".jpg", 5);
    assert_int_equal(link("pics/plain.jpg", name), 0);
    char *before = tree("pics");
    for (int i = 1; i <= 12; i++) {
        struct result r = predict(NULL, 0, "--sort-into", "sorted", name, "pics/sub", NULL);
        assert_int_equal(r.status, 0);
        drop(&r);
        assert_count("find sorted -type l", 3 * i);
    }
    /* A power cut may leave half a line. */
    FILE *f = fopen("sorted/undo.sh", "a");
    fputs("undo_link 'sure/pike_perch/x.jpg' '/somewh", f);
    fclose(f);
    struct result r = predict(NULL, 0, "--sort-into", "sorted", "pics/sub", NULL);
    assert_int_equal(r.status, 0);
    drop(&r);
    assert_int_equal(run_script("sorted/undo.sh"), 0);
    assert_int_equal(access("sorted", F_OK), -1);
    char *after = tree("pics");
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* The script removes nothing that is not what was made: not what users put there, not what they
 * changed, not elsewhere. */
static void undo_is_careful(void **state)
{
    (void)state;
    mkdir("other", 0777);
    mkdir("foreign", 0777);
    write_file("foreign/mine.txt", "x", 1);
    struct result r = predict(NULL, 0, "--sort-into", "foreign", "pics", NULL);
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "foreign holds mine.txt already"));
    drop(&r);

    r = predict(NULL, 0, "--sort-into", "copies", "--copy", "--sure", "0", "pics", NULL);
    drop(&r);
    r = predict(NULL, 0, "--sort-into", "links", "--sure", "0", "pics", NULL);
    drop(&r);
    /* In another folder of links to the same pictures it does nothing. */
    char *text = said("cp links/undo.sh other/undo.sh; cp -P \"$(find links -name plain.jpg | head -n 1)\" other/");
    free(text);
    char *before = tree("other links");
    assert_int_equal(run_script("other/undo.sh"), 1);
    char *after = tree("other links");
    assert_string_equal(before, after);
    free(before);
    free(after);

    text = said("cd links/sure; d=$(ls | head -n 1); printf mine > \"$d/mine.txt\"; "
                "l=$(find . -type l -name 'plain.jpg' | head -n 1); rm \"$l\"; printf mine > \"$l\"; ln -sfn "
                "../../../m.safetensors */=1+1.jpg; "
                "cd ../../copies/sure; printf more >> \"$(find . -name 'plain.jpg' | head -n 1)\"");
    free(text);
    assert_int_equal(run_script("links/undo.sh"), 1);
    assert_int_equal(run_script("copies/undo.sh"), 1);
    assert_count("find links -type l", 1);
    assert_count("find links -name mine.txt", 1);
    assert_count("find links -name plain.jpg -size -5c", 1);
    assert_count("find copies/sure -type f", 1);
    /* When the reasons are gone it ends its work, wherever the folder has moved, from any place. */
    text = said("rm links/sure/*/mine.txt links/sure/*/=1+1.jpg links/sure/*/plain.jpg copies/sure/*/plain.jpg; mv links "
                "'it'\"'\"'s $(moved)'");
    free(text);
    assert_int_equal(run_script("it's $(moved)/undo.sh"), 0);
    assert_int_equal(access("it's $(moved)", F_OK), -1);
    text = said("cd copies; sh undo.sh");
    free(text);
    assert_int_equal(access("copies", F_OK), -1);
    /* A link whose picture is gone goes too; a copy that is the last one stays. */
    for (int copy = 0; copy < 2; copy++) {
        r = predict(NULL, 0, "--sort-into", "last", copy ? "--copy" : "--no-copy", "pics/caf\xe9.jpg", "pics/two\nlines.jpg",
                    NULL);
        assert_int_equal(r.status, 0);
        drop(&r);
        assert_int_equal(unlink(copy ? "pics/two\nlines.jpg" : "pics/caf\xe9.jpg"), 0);
        assert_int_equal(run_script("last/undo.sh"), copy);
        assert_int_equal(access("last", F_OK), copy ? 0 : -1);
        if (!copy) picture_put(".", "pics/caf\xe9.jpg", 50, 40, 3);
    }
    assert_count("find last -name 'two*' -type f", 1);
}

/* A folder that pictures are sorted into is not read itself. */
static void sorted_within_its_pictures(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct result r = predict(NULL, 0, "--json", "--sort-into", "pics/0", "pics", NULL);
        assert_int_equal(count_of(r.out, "\"top\""), READABLE);
        drop(&r);
    }
    assert_count("find pics/0 -type l", 2 * READABLE);
    assert_int_equal(run_script("pics/0/undo.sh"), 0);
}

/* ---- contact sheets -------------------------------------------------------------------------- */

/* Every element that is opened is closed, in order; no script, nothing from elsewhere. */
static void assert_html(const char *page)
{
    static const char *const empty[] = {"meta", "img", "br", "wbr"};
    char open[64][16];
    int depth = 0;
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "http:"));
    assert_null(strstr(page, "https:"));
    for (const char *s = page; (s = strchr(s, '<')); s++) {
        char name[16] = "";
        if (s[1] == '!') continue;
        sscanf(s + 1 + (s[1] == '/'), "%15[a-z0-9]", name);
        if (!*name) fail_msg("a stray < before %.40s", s);
        bool single = false;
        for (int i = 0; i < 4; i++) single |= strcmp(name, empty[i]) == 0;
        if (s[1] == '/') {
            assert_true(depth > 0);
            assert_string_equal(open[--depth], name);
        } else if (!single) {
            assert_true(depth < 64);
            strcpy(open[depth++], name);
        }
    }
    assert_int_equal(depth, 0);
}

/* The first per cent of each card, in the page's order. */
static void assert_doubtful_first(const char *page, int cards)
{
    int last = 0, n = 0;
    for (const char *s = page; (s = strstr(s, "<figure")); n++) {
        s = strstr(s, "--w:");
        const int share = atoi(s + 4);
        assert_true(share >= last && share <= 100);
        last = share;
    }
    assert_int_equal(n, cards);
}

static void a_sheet_has_every_picture(void **state)
{
    (void)state;
    static const char *const shown[] = {"pics/<wbr>plain.jpg",
                                        "two\xe2\x90\x8alines.jpg",
                                        "quo'te&quot;.jpg",
                                        "caf\\xe9.jpg",
                                        "=1+1.jpg",
                                        "$(false)`.jpg",
                                        "&lt;b&gt;&amp;amp;\xe2\x90\x81\xe2\x90\xa1.jpg",
                                        " blank .jpg",
                                        ("a,b;c\xe2\x90\x89"
                                         "d\xe2\x90\x8d.jpg")};
    struct result r = predict(NULL, 0, "--contact-sheet", "s.html", "--sure", "0.6", "pics", NULL);
    assert_int_equal(r.status, 1);
    drop(&r);
    char *page = read_file("s.html", NULL);
    assert_html(page);
    assert_doubtful_first(page, READABLE);
    assert_int_equal(count_of(page, "src=\"data:image/jpeg;base64,/9j/"), READABLE);
    for (int i = 0; i < ODD; i++)
        if (!strstr(page, shown[i])) fail_msg("no %s", shown[i]);
    assert_non_null(strstr(page, "<summary>1 could not be read</summary>"));
    assert_non_null(strstr(page, "<h1>12 pictures, doubtful ones first</h1>"));
    assert_null(strstr(page, "contact-sheet-max"));
    assert_count("find . -maxdepth 1 -name 's.html*'", 1); /* nothing beside it */
    free(page);

    r = predict(NULL, 0, "--contact-sheet", "s.html", "--contact-sheet-max", "4", "pics/sub", "pics", NULL);
    drop(&r);
    page = read_file("s.html", NULL);
    assert_html(page);
    assert_doubtful_first(page, 3);
    assert_non_null(strstr(page, "<h1>14 pictures"));
    assert_non_null(strstr(page, "shows the 4 most doubtful of them"));
    assert_non_null(strstr(page, "<summary>1 could not be read</summary>"));
    free(page);
}

/* Of thousands the most doubtful stay, whatever the order in which they come. */
static void a_full_sheet_keeps_the_doubtful(void **state)
{
    (void)state;
    enum { PICTURES = 3000, MOST = 50 };
    rudd_model *m;
    assert_int_equal(rudd_model_open(&m, "m.safetensors", &err), RUDD_OK);
    for (int order = 0; order < 3; order++) {
        struct train_sink *sink;
        assert_int_equal(train_predict_sheet(&sink, "s.html", m, &(struct train_sheet){0.8, MOST}, &err), RUDD_OK);
        for (int i = 0; i < PICTURES; i++) {
            const int rank = order == 0 ? i : order == 1 ? PICTURES - 1 - i : i * 1009 % PICTURES;
            char path[32];
            snprintf(path, sizeof path, "rank-%d.", rank);
            const struct rudd_top top = {2, 0.2f + 0.8f * (float)rank / PICTURES};
            const struct train_answer a = {.path = path, .image = -1, .top = &top, .count = 1, .note = ""};
            assert_int_equal(sink->take(sink, &a, &err), RUDD_OK);
        }
        assert_int_equal(sink->end(sink, false, &err), RUDD_OK);
        char *page = read_file("s.html", NULL), *at = page;
        assert_doubtful_first(page, MOST);
        for (int rank = 0; rank < MOST; rank++) {
            char path[32];
            snprintf(path, sizeof path, "rank-%d.", rank);
            at = strstr(at, path); /* in order */
            if (!at) fail_msg("no %s", path);
        }
        free(page);
    }
    rudd_model_close(m);
}

/* ---- interruptions --------------------------------------------------------------------------- */

/* A signal while the program waits for more names: all files are whole, and hold what was seen. */
static void a_signal_leaves_whole_files(void **state)
{
    (void)state;
    static const char *const words[] = {"--list",          "-",      "--csv", "a.csv", "--sort-into", "sorted",
                                        "--contact-sheet", "s.html", NULL};
    static const int numbers[] = {SIGTERM, SIGINT};
    char *before = tree("pics");
    for (int i = 0; i < 2; i++) {
        int ends[2];
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        const pid_t pid = start_predict(ends[0], words);
        close(ends[0]);
        static const char names[] = "pics/plain.jpg\npics/bad.jpg\npics/sub\npics/cut o";
        assert_int_equal(write(ends[1], names, sizeof names - 1), sizeof names - 1);
        for (;;) { /* until the last answer is there */
            char *out = read_file("out.txt", NULL);
            const int lines = count_of(out, "\n");
            free(out);
            if (lines == 3) break;
            nanosleep(&(struct timespec){0, 5000000}, NULL);
        }
        kill(pid, numbers[i]);
        struct result r = finish(pid);
        close(ends[1]);
        assert_int_equal(r.status, 75);
        assert_non_null(strstr(r.err, "stopped on request behind 4 pictures"));
        drop(&r);
        char *csv = read_file("a.csv", NULL), *page = read_file("s.html", NULL);
        assert_int_equal(count_of(csv, "\n"), 5);
        assert_html(page);
        assert_doubtful_first(page, 3);
        assert_non_null(strstr(page, "The run ended early"));
        free(csv);
        free(page);
        assert_count("find sorted -type l", 3);
        assert_int_equal(run_script("sorted/undo.sh"), 0);
        assert_int_equal(access("sorted", F_OK), -1);
        char *after = tree("pics");
        assert_string_equal(before, after);
        free(after);
    }
    free(before);
}

/* Killed at once, at many moments: rows are whole, and undo.sh knows all that was made. */
static void a_kill_leaves_what_can_be_undone(void **state)
{
    (void)state;
    static const char *const words[] = {"--list", "many", "--csv", "a.csv", "--sort-into", "sorted", NULL};
    FILE *f = fopen("many", "w");
    for (int i = 0; i < 3000; i++) fputs("pics/plain.jpg\n", f);
    fclose(f);
    char *before = tree("pics");
    for (int i = 0; i < 5; i++) {
        const pid_t pid = start_predict(0, words);
        for (int lines = 0; lines < 1 + 7 * i;) {
            char *out = read_file("out.txt", NULL);
            lines = count_of(out, "\n");
            free(out);
        }
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        char *csv = read_file("a.csv", NULL);
        assert_true(count_of(csv, "\n") > 7 * i);
        assert_int_equal(csv[strlen(csv) - 1], '\n');
        free(csv);
        assert_int_equal(run_script("sorted/undo.sh"), 0);
        assert_int_equal(access("sorted", F_OK), -1);
        char *after = tree("pics");
        assert_string_equal(before, after);
        free(after);
    }
    free(before);
}

/* Whichever allocation fails, in whichever sink, it is said; nothing leaks, and undo.sh works. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    rudd_model *m;
    size_t length;
    char *bytes = read_file("pics/plain.jpg", &length);
    assert_int_equal(rudd_model_open(&m, "m.safetensors", &err), RUDD_OK);
    const struct rudd_top top[2] = {{1, 0.7f}, {0, 0.2f}};
    const struct train_answer good = {.path = "pics/caf\xe9.jpg",
                                      .image = -1,
                                      .top = top,
                                      .count = 2,
                                      .note = "n\xff",
                                      .bytes = (uint8_t *)bytes,
                                      .length = length};
    const struct train_answer bad = {.path = "=\\\xff", .image = -1, .note = "", .error = "=\\\xff: \"broken\""};
    for (int which = 0; which < 3; which++) {
        enum rudd_status status = RUDD_NO_MEMORY;
        int n = 0;
        while (status) {
            struct train_sink *sink = NULL;
            fail_allocation(++n);
            if (which == 0)
                status = train_predict_csv(&sink, "a.csv", m, 3, &err);
            else if (which == 1)
                status = train_predict_sort(&sink, "sorted", m, &(struct train_sorting){0.8, false}, &err);
            else
                status = train_predict_sheet(&sink, "s.html", m, &(struct train_sheet){0.8, 1}, &err);
            assert_true(!status == (sink != NULL));
            if (!status) status = sink->take(sink, &good, &err);
            if (!status) status = sink->take(sink, &bad, &err);
            const enum rudd_status ended = sink ? sink->end(sink, status != RUDD_OK, &err) : RUDD_OK;
            if (!status) status = ended;
            if (status) assert_int_equal(status, RUDD_NO_MEMORY);
            if (!status && allocations() >= n) status = RUDD_NO_MEMORY; /* a thumbnail may be missing: that is no failure */
            fail_allocation(0);
        }
        assert_true(n > 3);
        if (which == 1) assert_int_equal(run_script("sorted/undo.sh"), 0);
    }
    rudd_set_alloc_hook(NULL, NULL);
    rudd_model_close(m);
    free(bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_predicting, end_predicting)
    const struct CMUnitTest tests[] = {
        TEST(sorted_and_undone),
        TEST(sure_and_unsure),
        TEST(sorted_twice),
        TEST(undo_is_careful),
        TEST(sorted_within_its_pictures),
        TEST(a_sheet_has_every_picture),
        TEST(a_full_sheet_keeps_the_doubtful),
        TEST(a_signal_leaves_whole_files),
        TEST(a_kill_leaves_what_can_be_undone),
        TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
