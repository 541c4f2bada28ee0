/* test_predict_outputs.c - what `rudd predict` reads and writes: CSV, lists of names, pictures on
 * standard input, folders without a picture. */
#include "tests/predicting.h"
#include "train/names.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- CSV ------------------------------------------------------------------------------------- */

/* A reader of RFC 4180 that shares nothing with the program: fields [rows][columns], NULL at the end
 * of each row. */
static char ***parse_csv(const char *text, int *rows)
{
    char ***table = NULL;
    *rows = 0;
    while (*text) {
        char **row = NULL;
        int n = 0;
        for (bool more = true; more;) {
            char *field = calloc(1, strlen(text) + 1), *out = field;
            if (*text == '"') {
                for (text++; *text != '"' || text[1] == '"'; text++) {
                    assert_true(*text);
                    if (*text == '"') text++;
                    *out++ = *text;
                }
                text++;
            } else
                while (*text && !strchr(",\n\"", *text)) *out++ = *text++;
            assert_true(*text == ',' || *text == '\n');
            more = *text++ == ',';
            row = realloc(row, sizeof *row * (size_t)(n + 2));
            row[n++] = field;
            row[n] = NULL;
        }
        table = realloc(table, sizeof *table * (size_t)(*rows + 1));
        table[(*rows)++] = row;
    }
    return table;
}

static void free_csv(char ***table, int rows)
{
    for (int i = 0; i < rows; i++) {
        for (char **field = table[i]; *field; field++) free(*field);
        free(table[i]);
    }
    free(table);
}

static char **row_of(char ***table, int rows, const char *path)
{
    char **found = NULL;
    for (int i = 1; i < rows; i++)
        if (strcmp(table[i][0], path) == 0) {
            assert_null(found);
            found = table[i];
        }
    if (!found) fail_msg("no row of \"%s\"", path);
    return found;
}

/* Every picture has one row with the bytes of its path, the unreadable one too. Figures are those of
 * the JSON of the same run. */
static void csv_has_a_row_for_every_picture(void **state)
{
    (void)state;
    struct result r = predict(NULL, 0, "--json", "--top", "2", "--csv", "a.csv", "pics", NULL);
    assert_int_equal(r.status, 1);
    assert_int_equal(count_of(r.err, "\n"), 1);
    assert_non_null(strstr(r.err, "pics/bad.jpg: text, not a picture"));
    char *text = read_file("a.csv", NULL);
    int rows;
    char ***table = parse_csv(text, &rows);
    assert_int_equal(rows, 1 + READABLE + 1);
    assert_string_equal(strtok(text, "\n"),
                        "path,class_1,probability_1,class_2,probability_2,time,latitude,longitude,image,note,error");
    for (int i = 0; i < rows; i++) {
        int n = 0;
        while (table[i][n]) n++;
        assert_int_equal(n, 11);
    }
    for (int i = 0; i < ODD; i++) {
        char path[64];
        snprintf(path, sizeof path, "pics/%s", odd[i]);
        assert_string_equal(row_of(table, rows, path)[10], "");
    }
    char **bad = row_of(table, rows, "pics/bad.jpg");
    assert_string_equal(bad[1], "");
    assert_int_equal(strncmp(bad[10], "pics/bad.jpg: ", 14), 0);

    int lines = 0;
    for (char *line = strtok(r.out, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *answer = json_loads(line, 0, NULL);
        assert_non_null(answer);
        char **row = table[++lines]; /* both in the order of pictures */
        if (json_object_get(answer, "error")) assert_string_equal(json_string_value(json_object_get(answer, "error")), row[10]);
        for (size_t k = 0; k < json_array_size(json_object_get(answer, "top")); k++) {
            const json_t *top = json_array_get(json_object_get(answer, "top"), k);
            assert_string_equal(json_string_value(json_object_get(top, "class")), row[1 + 2 * k]);
            assert_true(fabs(json_real_value(json_object_get(top, "probability")) - atof(row[2 + 2 * k])) < 1e-8);
        }
        json_decref(answer);
    }
    assert_int_equal(lines, rows - 1);
    free_csv(table, rows);
    free(text);
    drop(&r);
}

/* A path that a spreadsheet would compute is written as another name of the same file. On standard
 * output the table is alone. */
static void csv_is_no_program(void **state)
{
    (void)state;
    assert_int_equal(chdir("pics"), 0);
    assert_int_equal(link("plain.jpg", "@x.jpg"), 0);
    assert_int_equal(symlink("../m.safetensors", "m.safetensors"), 0);
    struct result r = predict(NULL, 0, "--csv", "-", "=1+1.jpg", "./plain.jpg", "@x.jpg", "-nothing", NULL);
    assert_int_equal(r.status, 2); /* an option, not a name */
    drop(&r);
    r = predict(NULL, 0, "--csv", "-", "--", "=1+1.jpg", "./plain.jpg", "@x.jpg", "-nothing", NULL);
    assert_int_equal(r.status, 1);
    int rows;
    char ***table = parse_csv(r.out, &rows);
    assert_int_equal(rows, 5);
    for (int i = 1; i < rows; i++) assert_int_equal(strncmp(table[i][0], "./", 2), 0);
    assert_int_equal(access(table[1][0], R_OK), 0);
    assert_int_equal(access(table[3][0], R_OK), 0);
    assert_int_equal(strncmp(table[4][12], "./-nothing: there is no such file", 32), 0);
    free_csv(table, rows);
    drop(&r);
    assert_int_equal(chdir(".."), 0);
}

/* No file but an earlier table or page is replaced: not the model, not the list of names. */
static void foreign_files_stay(void **state)
{
    (void)state;
    static const char list[] = "pics/plain.jpg\n";
    static const char *const options[] = {"--csv", "--contact-sheet"};
    write_file("list.txt", list, sizeof list - 1);
    for (int i = 0; i < 2; i++) {
        struct result r = predict(NULL, 0, "--list", "list.txt", options[i], "list.txt", NULL);
        assert_int_equal(r.status, 2);
        assert_non_null(strstr(r.err, "is not replaced"));
        drop(&r);
        char *text = read_file("list.txt", NULL);
        assert_string_equal(text, list);
        free(text);
        for (int again = 0; again < 2; again++) { /* its own it replaces */
            r = predict(NULL, 0, options[i], "own", "pics/plain.jpg", NULL);
            assert_int_equal(r.status, 0);
            drop(&r);
        }
        unlink("own");
    }
    struct result r = predict(NULL, 0, "--contact-sheet", "missing/s.html", "pics/plain.jpg", NULL);
    assert_int_equal(r.status, 1);
    assert_string_equal(r.out, ""); /* before the first picture */
    drop(&r);
}

/* What the camera wrote: south and east, 12.5 and 100.25 degrees. */
static void csv_says_when_and_where(void **state)
{
    (void)state;
    static const uint8_t exif[] =
        {
            'I', 'I', 42,   0,   8,   0,   0,   0, /* */
            2,   0,   0x32, 1,   2,   0,   20,  0,   0,   0,   38,  0,   0,   0,   0x25, 0x88, 4,   0,   1,   0,
            0,   0,   58,   0,   0,   0,   0,   0,   0,   0,                                                     /* */
            '2', '0', '2',  '5', ':', '0', '6', ':', '0', '7', ' ', '0', '8', ':', '0',  '9',  ':', '1', '0', 0, /* at 38 */
            4,   0,   1,    0,   2,   0,   2,   0,   0,   0,   'S', 0,   0,   0,   2,    0,    5,   0,   3,   0,
            0,   0,   112,  0,   0,   0, /* at 58 */
            3,   0,   2,    0,   2,   0,   0,   0,   'E', 0,   0,   0,   4,   0,   5,    0,    3,   0,   0,   0,
            136, 0,   0,    0,   0,   0,   0,   0, /* */
            12,  0,   0,    0,   1,   0,   0,   0,   30,  0,   0,   0,   1,   0,   0,    0,    0,   0,   0,   0,
            1,   0,   0,    0, /* at 112 */
            100, 0,   0,    0,   1,   0,   0,   0,   15,  0,   0,   0,   1,   0,   0,    0,    0,   0,   0,   0,
            1,   0,   0,    0, /* at 136 */
        };
    struct bytes b = picture_jpeg(&(struct picture){.w = 40, .h = 40, .exif = exif, .exif_length = sizeof exif});
    file_write("gps.jpg", b);
    free(b.at);
    struct result r = predict(NULL, 0, "--csv", "-", "--contact-sheet", "s.html", "gps.jpg", NULL);
    assert_int_equal(r.status, 0);
    if (!strstr(r.out, ",2025-06-07 08:09:10,-12.500000,100.250000,,,\n")) fail_msg("%s", r.out);
    drop(&r);
    char *page = read_file("s.html", NULL);
    assert_non_null(strstr(page, "2025-06-07 08:09:10<br><a href=\"geo:-12.500000,100.250000\">-12.5000, 100.2500</a>"));
    free(page);
}

/* ---- names and standard input ---------------------------------------------------------------- */

static void lists_of_either_kind(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
        int answers;
    } lists[] = {
#define LIST(text, answers) {text, sizeof text - 1, answers}
        LIST("pics/plain.jpg\n\n\npics/sub\n", 3),                 /* a folder, blank lines */
        LIST("\xef\xbb\xbfpics/plain.jpg\r\npics/caf\xe9.jpg", 2), /* from another system; no end */
        LIST("pics/two\nlines.jpg\0pics/plain.jpg\0", 2),          /* find -print0 */
        LIST("pics/two\nlines.jpg\0pics/a,b;c\td\r.jpg", 2),
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        write_file("list", lists[i].bytes, lists[i].length);
        struct result file = predict(NULL, 0, "--json", "--list", "list", NULL);
        struct result standard = predict(lists[i].bytes, lists[i].length, "--json", "--list", "-", NULL);
        assert_int_equal(file.status, 0);
        assert_int_equal(standard.status, 0);
        assert_int_equal(count_of(file.out, "\"top\""), lists[i].answers);
        assert_int_equal(count_of(standard.out, "\"top\""), lists[i].answers);
        drop(&file);
        drop(&standard);
    }
    struct result r = predict("\n\n", 2, "--list", "-", NULL);
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.err, "no name in it"));
    drop(&r);
    r = predict("pics/plain.jpg\n", 15, "--list", "-", "-", NULL);
    assert_int_equal(r.status, 2);
    drop(&r);
    r = predict(NULL, 0, "--list", "missing", NULL);
    assert_int_equal(r.status, 1);
    drop(&r);
}

/* A million names pass through memory that does not grow. */
static void long_lists_take_no_memory(void **state)
{
    (void)state;
    enum { NAMES = 1000000 };
    struct train_names *names;
    const struct train_events events = {0};
    const char *name;
    FILE *f = fopen("long", "wb");
    for (int i = 0; i < NAMES; i++) fprintf(f, "some/folder/picture-%d.jpg%c", i, i % 7 ? '\n' : '\r'), i % 7 || fputc('\n', f);
    fclose(f);
    fail_allocation(0);
    assert_int_equal(train_names_open(&names, "long", &events, &err), RUDD_OK);
    for (int i = 0; i < NAMES; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "some/folder/picture-%d.jpg", i);
        assert_int_equal(train_names_next(&name, names, &err), RUDD_OK);
        if (!name || strcmp(name, expected)) fail_msg("%s instead of %s", name ? name : "nothing", expected);
    }
    assert_int_equal(train_names_next(&name, names, &err), RUDD_OK);
    assert_null(name);
    assert_int_equal(allocations(), 1);
    train_names_close(names);
    rudd_set_alloc_hook(NULL, NULL);

    f = fopen("long", "wb"); /* no list: one name without an end */
    for (int i = 0; i < 100000; i++) fputc('x', f);
    fclose(f);
    assert_int_equal(train_names_open(&names, "long", &events, &err), RUDD_OK);
    assert_int_equal(train_names_next(&name, names, &err), RUDD_FORMAT);
    train_names_close(names);
}

static void a_picture_on_standard_input(void **state)
{
    (void)state;
    size_t length;
    char *bytes = read_file("pics/plain.jpg", &length);
    struct result file = predict(NULL, 0, "pics/plain.jpg", NULL), standard = predict(bytes, length, "-", NULL);
    assert_int_equal(standard.status, 0);
    assert_string_equal(file.out + strlen("pics/plain.jpg"), standard.out + 1);
    assert_int_equal(standard.out[0], '-');
    drop(&standard);
    standard = predict(bytes, length / 2, "--csv", "-", "-", NULL);
    assert_int_equal(standard.status, 1);
    assert_non_null(strstr(standard.out, "\n-,"));
    drop(&file);
    drop(&standard);
    standard = predict(bytes, length, "--sort-into", "d", "-", NULL);
    assert_int_equal(standard.status, 2);
    assert_int_equal(access("d", F_OK), -1);
    drop(&standard);
    free(bytes);
}

/* A folder in which nothing is a picture is a failure, with a line that says what was left out. */
static void an_empty_folder_is_told(void **state)
{
    (void)state;
    mkdir("none", 0777);
    write_file("none/notes.txt", "x", 1);
    assert_int_equal(symlink("nowhere", "none/a.jpg"), 0);
    struct result r = predict(NULL, 0, "--json", "none", NULL);
    assert_int_equal(r.status, 1);
    assert_int_equal(count_of(r.err, "\n"), 1);
    assert_non_null(strstr(r.err, "none: no picture in it; left out: 1 link that leads nowhere (none/a.jpg), 1 file that"));
    assert_non_null(strstr(r.out, "{\"folder\":\"none\",\"left_out\":{\"total\":2,"));
    drop(&r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_predicting, end_predicting)
    const struct CMUnitTest tests[] = {
        TEST(csv_has_a_row_for_every_picture), TEST(csv_is_no_program),       TEST(foreign_files_stay),
        TEST(csv_says_when_and_where),         TEST(lists_of_either_kind),    TEST(long_lists_take_no_memory),
        TEST(a_picture_on_standard_input),     TEST(an_empty_folder_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
