/* test_sets.c - the scan over folders and lists as users have them: what is taken, what is left out
 * and told, and what is refused with which words. */
#include "data/sets/listing.h"
#include "data/sets/spelling.h"
#include "data/table/csv.h"
#include "tests/pictures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    folder_create(folder);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static const char *in_folder(const char *name)
{
    static char path[4][300];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static void put(const char *name)
{
    static int key;
    picture_put(folder, name, 16, 12, key++);
}

static void put_text(const char *name, const char *text)
{
    file_write(in_folder(name), (struct bytes){(uint8_t *)text, strlen(text)});
}

/* `count` pictures in under/<class> for each of two classes. */
static void put_classes(const char *under, int count)
{
    char name[200];
    for (int c = 0; c < 2; c++)
        for (int i = 0; i < count; i++) {
            snprintf(name, sizeof name, "%s%s/%d.jpg", under, c ? "perch" : "bream", i);
            put(name);
        }
}

static struct data_set scanned(const char *dir)
{
    struct data_set set;
    struct rudd_error err;
    if (data_set_scan(&set, dir, NULL, 0, &err)) fail_msg("%s", err.message);
    return set;
}

static struct data_splits divided(const char *dir)
{
    struct data_splits splits;
    struct rudd_error err;
    if (data_splits_scan(&splits, dir, NULL, 0, &err)) fail_msg("%s", err.message);
    return splits;
}

/* The scan fails with these words. */
static void refused(const char *dir, enum rudd_status expected, const char *words)
{
    struct data_set set;
    struct rudd_error err;
    assert_int_equal(data_set_scan(&set, dir, NULL, 0, &err), expected);
    if (!strstr(err.message, words)) fail_msg("%s: lacks \"%s\"", err.message, words);
}

/* ---- one folder of classes -------------------------------------------------------------------- */

/* Endings in any case, none at all, a wrong one: the first bytes decide. */
static void endings(void **state)
{
    (void)state;
    put_classes("", 1);
    put("bream/a.jfif");
    put("bream/b.JPE");
    put("bream/c");
    put("bream/d.dat");
    put_text("bream/e.txt", "words");
    put_text("bream/f.png", "no picture, but it claims to be one: reading it will tell");
    struct data_set set = scanned(folder);
    assert_int_equal(set.count, 7);
    assert_int_equal(set.left.count[DATA_LEFT_OTHER], 1);
    assert_non_null(strstr(set.left.example[DATA_LEFT_OTHER], "bream/e.txt"));
    assert_int_equal(data_account_total(&set.left), 1);
    data_set_free(&set);
}

/* Folders inside a class belong to it; names within the class tell them apart. */
static void nested(void **state)
{
    (void)state;
    put_classes("", 1);
    put("bream/site1/0.jpg");
    put("bream/site1/deep/0.jpg");
    struct data_set set = scanned(folder);
    assert_int_equal(set.count, 4);
    assert_string_equal(set.items[1].path + set.items[1].name, "site1/0.jpg");
    assert_string_equal(set.items[2].path + set.items[2].name, "site1/deep/0.jpg");
    assert_int_equal(set.items[2].label, 0);
    assert_int_equal(data_account_total(&set.left), 0);

    /* The same picture under another folder of the class makes another data set. */
    char before[NN_SHA256_HEX], after[NN_SHA256_HEX];
    data_set_hash(before, &set);
    data_set_free(&set);
    assert_int_equal(rename(in_folder("bream/site1"), in_folder("bream/site2")), 0);
    set = scanned(folder);
    data_set_hash(after, &set);
    assert_string_not_equal(before, after);
    data_set_free(&set);
}

/* A loop of links ends; a link to a picture is one; a link that leads nowhere is counted. */
static void links(void **state)
{
    (void)state;
    put_classes("", 2);
    assert_int_equal(symlink(".", in_folder("bream/loop")), 0);
    assert_int_equal(symlink("..", in_folder("bream/up")), 0);
    assert_int_equal(symlink("0.jpg", in_folder("bream/z.jpg")), 0);
    assert_int_equal(symlink("/nowhere/at/all.jpg", in_folder("perch/gone.jpg")), 0);
    assert_int_equal(symlink("self.jpg", in_folder("perch/self.jpg")), 0);
    struct data_set set = scanned(folder);
    assert_int_equal(set.count, 5);
    assert_int_equal(set.left.count[DATA_LEFT_AGAIN], 2);
    assert_int_equal(set.left.count[DATA_LEFT_DANGLING], 2);
    char line[1000];
    data_account_print(line, sizeof line, &set.left);
    assert_non_null(strstr(line, "2 links that lead nowhere (such as "));
    assert_non_null(strstr(line, "perch/gone.jpg)"));
    data_set_free(&set);
}

/* A folder that cannot be entered does not end the scan. Root enters everything, so it is left. */
static void closed(void **state)
{
    (void)state;
    const bool root = geteuid() == 0;
    put_classes("", 1);
    put("bream/m/x.jpg");
    put("bream/z.jpg");
    chmod(folder, 0755);
    chmod(in_folder("bream/m"), 0);
    if (root) assert_int_equal(seteuid(65534), 0);
    struct data_set set = scanned(folder);
    if (root) assert_int_equal(seteuid(0), 0);
    chmod(in_folder("bream/m"), 0777);
    assert_int_equal(set.count, 3);
    assert_int_equal(set.left.count[DATA_LEFT_CLOSED], 1);
    data_set_free(&set);
}

/* 100 levels are as good as one. */
static void deep(void **state)
{
    (void)state;
    char name[300] = "bream/";
    put_classes("", 1);
    for (int i = 0; i < 100; i++) strcat(name, "d/");
    strcat(name, "x.jpg");
    put(name);
    struct data_set set = scanned(folder);
    assert_int_equal(set.count, 3);
    data_set_free(&set);
}

static void system_folders(void **state)
{
    (void)state;
    static const char *const names[] = {"__MACOSX/bream", "@eaDir", "lost+found", "$RECYCLE.BIN", ".git"};
    char name[100];
    put_classes("", 1);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "%s/._0.jpg", names[i]);
        put(name);
    }
    struct data_set set = scanned(folder);
    assert_int_equal(set.class_count, 2);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.left.count[DATA_LEFT_SYSTEM], 4);
    data_set_free(&set);
}

/* One level too high, and one too low. */
static void wrong_level(void **state)
{
    (void)state;
    put_classes("fish/", 2);
    char words[100];
    snprintf(words, sizeof words, "did you mean %s/fish?", folder);
    refused(folder, RUDD_FORMAT, words);
    refused(in_folder("fish/bream"), RUDD_FORMAT, "2 pictures without a class");
}

/* "brème" in its two spellings: one name across folders, two of one in the same folder. */
static void unicode(void **state)
{
    (void)state;
    static const char nfc[] = "br\xc3\xa8me", nfd[] = "bre\xcc\x80me";
    bool plain = false;
    char *key = data_spelling(nfd, &plain), name[100];
    assert_string_equal(key, plain ? nfd : nfc);
    rudd_free(key);
    if (plain) skip(); /* built or run without utf8proc */
    snprintf(name, sizeof name, "train/%s/a.jpg", nfc);
    put(name);
    put("train/perch/a.jpg");
    snprintf(name, sizeof name, "val/%s/a.jpg", nfd);
    put(name);
    struct data_splits s = divided(folder);
    assert_int_equal(s.val.count, 1);
    assert_int_equal(s.val.items[0].label, 0);
    assert_string_equal(s.train.class_names[0], nfc);
    data_splits_free(&s);
    snprintf(name, sizeof name, "train/%s/a.jpg", nfd);
    put(name);
    refused(in_folder("train"), RUDD_MISMATCH, "spelled in two ways");
}

/* ---- splits ----------------------------------------------------------------------------------- */

static void other_names(void **state)
{
    (void)state;
    static const char *const names[] = {"valid", "validation", "Val", "dev"};
    char name[100];
    for (int i = 0; i < 4; i++) {
        put_classes("Train/", 3);
        snprintf(name, sizeof name, "%s/", names[i]);
        put_classes(name, 2);
        struct data_splits s = divided(folder);
        assert_int_equal(s.train.count, 6);
        assert_int_equal(s.val.count, 4);
        assert_true(s.divided);
        assert_non_null(strstr(s.left.note, "is taken for val/"));
        data_splits_free(&s);
        folder_remove(folder);
        mkdir(folder, 0777);
    }
    /* The usual name wins, and the other is told. */
    put_classes("train/", 3);
    put_classes("val/", 1);
    put_classes("valid/", 2);
    struct data_splits s = divided(folder);
    assert_int_equal(s.val.count, 2);
    assert_int_equal(s.left.count[DATA_LEFT_BESIDE], 1);
    data_splits_free(&s);
}

/* Kaggle's flat test/, and a val/ with nothing in it. */
static void flat_and_empty(void **state)
{
    (void)state;
    put_classes("train/", 3);
    put("test/1.jpg");
    put("test/2.jpg");
    mkdir(in_folder("val"), 0777);
    struct data_splits s = divided(folder);
    assert_int_equal(s.test.count, 0);
    assert_int_equal(s.test.class_count, 2);
    assert_int_equal(s.left.count[DATA_LEFT_UNLABELLED], 2);
    assert_non_null(strstr(s.left.note, "test/ is not used: it has pictures but no class folders"));
    assert_non_null(strstr(s.left.note, "val/ is not used: it has no pictures"));
    data_splits_free(&s);
}

/* Classes called train, bus and car are no splits; a folder without pictures beside train/ makes
 * no class of it. */
static void vehicles(void **state)
{
    (void)state;
    char name[100];
    for (int nest = 0; nest < 2; nest++) {
        for (int i = 0; i < 12; i++) {
            static const char *const classes[3] = {"train", "bus", "car"};
            snprintf(name, sizeof name, "%s%s/%d.jpg", classes[i % 3], nest ? "/site" : "", i);
            put(name);
        }
        struct data_splits s = divided(folder);
        assert_false(s.divided);
        assert_int_equal(s.train.class_count, 3);
        assert_int_equal(s.train.count + s.val.count + s.test.count, 12);
        data_splits_free(&s);
        assert_false(data_has_splits(folder));
        folder_remove(folder);
        mkdir(folder, 0777);
    }
    put_classes("train/", 3);
    mkdir(in_folder("notes"), 0777);
    put_text("notes/a.txt", "words");
    struct data_splits s = divided(folder);
    assert_true(s.divided);
    assert_int_equal(s.train.count, 6);
    assert_int_equal(s.left.count[DATA_LEFT_BESIDE], 1);
    data_splits_free(&s);
}

/* ---- lists ------------------------------------------------------------------------------------ */

static const char *csv_cases[][2] = {
    /* rows as "a|b;", then what goes in */
    {"a|b;c|d;", "a,b\nc,d\n"},
    {"a|b;c|d;", "\xef\xbb\xbf"
                 "a,b\r\nc,d"},
    {"a|b;c|d;", "a;b\n\n\nc;d\n"},
    {"a|b, \"c\"\nd;", "a,\"b, \"\"c\"\"\nd\"\n"},
    {"a||;", "a,,\n"},
    {"a|b;", "a\tb"},
    {"a|b c| d;", " a , b c ,\" d\" \n"}, /* blanks inside quotes stay */
    {"", ""},
    {"", "\n\r\n"},
};

static void csv_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof csv_cases / sizeof *csv_cases; i++) {
        struct data_csv csv;
        char found[100] = "";
        bool more;
        const char *text = csv_cases[i][1];
        assert_int_equal(data_csv_begin(&csv, text, strlen(text), "x", NULL), RUDD_OK);
        while (!data_csv_next(&csv, &more, NULL) && more)
            for (int k = 0; k < csv.count; k++) {
                strcat(found, csv.fields[k]);
                strcat(found, k + 1 < csv.count ? "|" : ";");
            }
        data_csv_end(&csv);
        assert_string_equal(found, csv_cases[i][0]);
    }
}

static void csv_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
        const char *words;
    } cases[] = {
        {"a,b\n\"c,d\n", 9, "x:2: a quoted field that begins here never ends"},
        {"a,\"b\"c\n", 7, "x:1: text behind a closing quote"},
        {"a,b\nc\0,d", 8, "x:2: a 0 byte"},
        {"\xff\xfe"
         "a\0",
         4, "UTF-16"},
    };
    for (int i = 0; i < 4; i++) {
        struct data_csv csv;
        struct rudd_error err;
        bool more = true;
        enum rudd_status status = data_csv_begin(&csv, cases[i].bytes, cases[i].length, "x", &err);
        while (!status && more) status = data_csv_next(&csv, &more, &err);
        assert_int_equal(status, RUDD_FORMAT);
        if (!strstr(err.message, cases[i].words)) fail_msg("%s", err.message);
        data_csv_end(&csv);
    }
}

/* Boxes name a picture several times; columns stand in any order; what cannot be used is told. */
static void csv_labels(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        char name[30];
        snprintf(name, sizeof name, "pictures/%d.jpg", i);
        put(name);
    }
    put_text("labels.csv", "width,Label,file_name\n"
                           "1,perch,pictures/0.jpg\n"
                           "1,bream,pictures/1.jpg\n2,bream,pictures/1.jpg\n"
                           "1,bream,pictures/2.jpg\n2,perch,pictures/2.jpg\n"
                           "1,,pictures/3.jpg\n"
                           "1,perch,pictures/gone.jpg\n");
    struct data_set set = scanned(in_folder("labels.csv"));
    assert_int_equal(set.class_count, 2);
    assert_string_equal(set.class_names[0], "bream");
    assert_int_equal(set.count, 2);
    assert_non_null(strstr(set.items[0].path, "/pictures/1.jpg"));
    assert_string_equal(set.items[0].path + set.items[0].name, "pictures/1.jpg");
    assert_int_equal(set.items[1].label, 1);
    assert_int_equal(set.left.count[DATA_LEFT_AMBIGUOUS], 1);
    assert_int_equal(set.left.count[DATA_LEFT_UNLABELLED], 1);
    assert_int_equal(set.left.count[DATA_LEFT_MISSING], 1);
    data_set_free(&set);

    put_text("bare.csv", "pictures/0.jpg,perch,train\npictures/1.jpg,bream,train\n"
                         "pictures/2.jpg,perch,Valid\n");
    struct data_splits s = divided(in_folder("bare.csv"));
    assert_true(s.divided);
    assert_int_equal(s.train.count, 2);
    assert_int_equal(s.val.count, 1);
    assert_int_equal(s.val.items[0].label, 1);
    assert_int_equal(s.test.class_count, 2);
    data_splits_free(&s);

    put_text("bad.csv", "file,label,split\npictures/0.jpg,perch,sometimes\n");
    refused(in_folder("bad.csv"), RUDD_FORMAT, "bad.csv:2: split is \"sometimes\"");
    put_text("heads.csv", "where,what\nx,y\n");
    refused(in_folder("heads.csv"), RUDD_FORMAT, "its columns are where, what");
    put_text("short.csv", "file,label\npictures/0.jpg\n");
    refused(in_folder("short.csv"), RUDD_FORMAT, "short.csv:2: found 1 fields");
    put_text("two.csv", "file,label,split\na.jpg,b,train\na.jpg,b,val\n");
    refused(in_folder("two.csv"), RUDD_FORMAT, "a.jpg stands in two splits");
}

/* A metadata.csv in a folder gives labels, if it has any; captions leave the folders in charge. */
static void metadata(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        char name[40];
        snprintf(name, sizeof name, "train/images/%d.jpg", i);
        put(name);
    }
    put_text("train/metadata.csv", "file_name,label\nimages/0.jpg,b\nimages/1.jpg,a\nimages/2.jpg,a\n");
    struct data_splits s = divided(folder);
    assert_true(s.divided);
    assert_int_equal(s.train.count, 3);
    assert_int_equal(s.train.class_count, 2);
    data_splits_free(&s);
    put("train/other/x.jpg");
    put_text("train/metadata.csv", "file_name,text\nimages/0.jpg,a fish\n");
    s = divided(folder);
    assert_int_equal(s.train.count, 5);
    assert_string_equal(s.train.class_names[0], "images");
    data_splits_free(&s);
}

static void coco(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        char name[30];
        snprintf(name, sizeof name, "%d.jpg", i);
        put(name);
    }
    put_text("_annotations.coco.json", "{\"images\":[{\"id\":7,\"file_name\":\"0.jpg\"},{\"id\":8,\"file_name\":\"1.jpg\"},"
                                       "{\"id\":9,\"file_name\":\"2.jpg\"},{\"id\":10,\"file_name\":\"3.jpg\"}],"
                                       "\"categories\":[{\"id\":0,\"name\":\"fish\"},{\"id\":1,\"name\":\"perch\"},"
                                       "{\"id\":2,\"name\":\"bream\"}],"
                                       "\"annotations\":[{\"image_id\":7,\"category_id\":1},{\"image_id\":7,\"category_id\":1},"
                                       "{\"image_id\":8,\"category_id\":2},{\"image_id\":9,\"category_id\":1},"
                                       "{\"image_id\":9,\"category_id\":2}]}");
    struct data_set set = scanned(folder);
    assert_int_equal(set.class_count, 2); /* what no picture has is no class */
    assert_string_equal(set.class_names[0], "bream");
    assert_int_equal(set.count, 2);
    assert_int_equal(set.left.count[DATA_LEFT_AMBIGUOUS], 1);
    assert_int_equal(set.left.count[DATA_LEFT_UNLABELLED], 1);
    data_set_free(&set);

    put_text("a.json", "{\"images\":[],\"categories\":[]}");
    refused(in_folder("a.json"), RUDD_FORMAT, "no list \"annotations\"");
    put_text("b.json", "{\"images\":[{\"id\":\"x\",\"file_name\":\"0.jpg\"}],\"categories\":[],"
                       "\"annotations\":[]}");
    refused(in_folder("b.json"), RUDD_FORMAT, "entry 1 of \"images\" has no \"id\"");
    put_text("c.json", "{\"images\":[],\"categories\":[],"
                       "\"annotations\":[{\"image_id\":1,\"category_id\":2}]}");
    refused(in_folder("c.json"), RUDD_FORMAT, "annotation 1 names an image or a category");
    put_text("d.json", "{");
    refused(in_folder("d.json"), RUDD_FORMAT, "d.json:1: not JSON");
}

/* Names that climb out of the list's folder are cut to their last part, for whoever copies. */
static void outside(void **state)
{
    (void)state;
    put("a/0.jpg");
    put("b/1.jpg");
    char text[400];
    snprintf(text, sizeof text, "file,label\n../a/0.jpg,x\n%s,y\n", in_folder("b/1.jpg"));
    put("lists/unused.jpg");
    put_text("lists/l.csv", text);
    struct data_set set = scanned(in_folder("lists/l.csv"));
    assert_int_equal(set.count, 2);
    assert_string_equal(set.items[0].path + set.items[0].name, "0.jpg");
    assert_string_equal(set.items[1].path + set.items[1].name, "1.jpg");
    data_set_free(&set);
}

/* The n-th allocation fails, for every n: a refusal that says so, and nothing leaks. */
static void no_memory(void **state)
{
    (void)state;
    put_classes("train/", 2);
    put_classes("valid/", 1);
    put("train/bream/br\xc3\xa8me/x.jpg");
    put_text("l.csv", "file,label,split\ntrain/bream/0.jpg,x,train\ntrain/bream/1.jpg,y,val\n");
    put_text("c.csv", "file,label\ntrain/bream/0.jpg,x\ntrain/bream/1.jpg,y\n");
    const char *const dirs[3] = {folder, in_folder("l.csv"), in_folder("c.csv")};
    for (int k = 0; k < 3; k++)
        for (long n = 1;; n++) {
            struct data_splits s = {0};
            fail_allocation(n);
            enum rudd_status status = data_splits_scan(&s, dirs[k], NULL, 0, NULL);
            const bool reached = allocations() >= n;
            rudd_set_alloc_hook(NULL, NULL);
            data_splits_free(&s);
            /* An example or a note may be missing for want of memory; a picture may not. l.csv has
             * a class in val that train lacks. */
            if (reached && status && status != RUDD_NO_MEMORY && k != 1) fail_msg("%d: %d", k, (int)status);
            if (!reached) break;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, drop_folder)
        TEST(endings),     TEST(nested),     TEST(links),       TEST(closed),         TEST(deep),     TEST(system_folders),
        TEST(wrong_level), TEST(unicode),    TEST(other_names), TEST(flat_and_empty), TEST(vehicles), TEST(csv_rows),
        TEST(csv_refuses), TEST(csv_labels), TEST(metadata),    TEST(coco),           TEST(outside),  TEST(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
