/* test_options.c - the option parser: every type, its range, the messages, help, config files, arguments in any place. */
#include "nn/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct targets {
    bool flip;
    int epochs;
    double lr;
    size_t limit;
    const char *data, *out;
    int order;
    double split[3];
    struct nn_strings more;
} t;

static const struct nn_option rows[] = {
    {"flip", NN_OPTION_FLAG, &t.flip, NULL, 0, 0, "mirror pictures"},
    {"epochs", NN_OPTION_INT, &t.epochs, "N", 1, 100, "passes"},
    {"lr", NN_OPTION_DOUBLE, &t.lr, "X", 0, 10, "learning rate"},
    {"memory-limit", NN_OPTION_BYTES, &t.limit, "BYTES", 0, 0, "refuse above"},
    {"data", NN_OPTION_REQUIRED, &t.data, "DIR", 0, 0, "the pictures"},
    {"out|o", NN_OPTION_STRING, &t.out, "FILE", 0, 0, "the result"},
    {"order", NN_OPTION_CHOICE, &t.order, "up|down|random", 0, 0, "which way"},
    {"split", NN_OPTION_DOUBLES, &t.split, "TRAIN,VAL,TEST", 0, 1, "shares"},
    {"more", NN_OPTION_STRINGS, &t.more, "NAME", 0, 0, "any number of times"},
    {"config", NN_OPTION_CONFIG, NULL, "FILE", 0, 0, "options from a file"},
};
static struct nn_options options;
static struct rudd_error err;

static int reset(void **state)
{
    (void)state;
    nn_options_free(&options);
    t = (struct targets){.epochs = 8, .lr = 3e-4, .split = {0.7, 0.15, 0.15}};
    options = (struct nn_options){
        .usage = "prog --data DIR", .about = "A test.", .rows = rows, .count = sizeof rows / sizeof *rows, .max_arguments = 2};
    err = (struct rudd_error){RUDD_OK, ""};
    return 0;
}

/* Parses a command line given as words with spaces between; static, because string targets point into it. */
static enum rudd_status parse(const char *line)
{
    static char copy[1000], *argv[64];
    int argc = 0;
    nn_options_free(&options);
    snprintf(copy, sizeof copy, "prog %s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) argv[argc++] = word;
    return nn_options_parse(&options, argc, argv, &err);
}

/* An option that may be given several times keeps all of it, in order, up to its bound. */
static void strings_add_up(void **state)
{
    (void)state;
    char shown[64], line[1000] = "--data d";
    assert_int_equal(parse("--data d --more a --more=b --more c"), RUDD_OK);
    assert_int_equal(t.more.count, 3);
    assert_string_equal(t.more.items[0], "a");
    assert_string_equal(t.more.items[1], "b");
    assert_string_equal(t.more.items[2], "c");
    assert_string_equal(nn_option_print(shown, sizeof shown, nn_option_find(&options, "more")), "a b c");
    assert_int_equal(parse("--data d --more="), RUDD_ARGUMENT);
    for (int i = 0; i < NN_STRINGS; i++) strcat(line, " --more=x");
    t.more.count = 0;
    assert_int_equal(parse(line), RUDD_OK);
    t.more.count = 0;
    assert_int_equal(parse(strcat(line, " --more=x")), RUDD_ARGUMENT);
}

/* Each type arrives in its target, in the three spellings, in any order, with arguments between. */
static void every_type(void **state)
{
    (void)state;
    assert_int_equal(
        parse("a --flip --epochs=3 --lr 1e-2 --memory-limit 300M --data d b -o x --order random --split .5,.25,.25"), RUDD_OK);
    assert_true(t.flip);
    assert_int_equal(t.epochs, 3);
    assert_float_equal(t.lr, 0.01, 0);
    assert_int_equal(t.limit, 300u << 20);
    assert_string_equal(t.data, "d");
    assert_string_equal(t.out, "x");
    assert_int_equal(t.order, 2);
    assert_float_equal(t.split[0], 0.5, 0);
    assert_float_equal(t.split[2], 0.25, 0);
    assert_int_equal(options.argument_count, 2);
    assert_string_equal(options.arguments[0], "a");
    assert_string_equal(options.arguments[1], "b");
    assert_int_equal(parse("--data d --no-flip -- --lr"), RUDD_OK);
    assert_false(t.flip);
    assert_string_equal(options.arguments[0], "--lr");
}

/* A mistake is RUDD_ARGUMENT, and its line says what was found and what was expected. */
static void mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *line, *found, *hint;
    } cases[] = {
        {"--data d --epochs 0", "--epochs: found \"0\"", "from 1 to 100"},
        {"--data d --epochs 3x", "\"3x\"", "a whole number"},
        {"--data d --epochs 99999999999999999999", "99999999999999999999", "from 1 to 100"},
        {"--data d --epochs=", "found \"\"", "a whole number"},
        {"--data d --lr nan", "\"nan\"", "a number from 0 to 10"},
        {"--data d --lr 11", "\"11\"", "from 0 to 10"},
        {"--data d --lr -1", "\"-1\"", "from 0 to 10"},
        {"--data d --memory-limit -5", "\"-5\"", "bytes"},
        {"--data d --memory-limit 5T", "\"5T\"", "bytes"},
        {"--data d --memory-limit 99999999999999999G", "G\"", "bytes"},
        {"--data d --order sideways", "\"sideways\"", "up|down|random"},
        {"--data d --order u", "\"u\"", "up|down|random"},
        {"--data d --split 0.5,0.5", "\"0.5,0.5\"", "3 numbers from 0 to 1"},
        {"--data d --split 1,1,1,1", "\"1,1,1,1\"", "3 numbers"},
        {"--data d --split 1,,1", "\"1,,1\"", "3 numbers"},
        {"--data d --flip=maybe", "\"maybe\"", "true or false"},
        {"--data d --no-flip=true", "--no-flip", "none"},
        {"--data d --no-lr", "--no-lr", "see --help"},
        {"--data d --epoch 3", "--epoch;", "did you mean --epochs"},
        {"--data d --zzzzzzzz 3", "--zzzzzzzz", "see --help"},
        {"--data d -x", "-x", "see --help"},
        {"--data d --lr", "--lr", "expected X"},
        {"--data d a b c", "\"c\"", "usage: prog"},
        {"--epochs 3", "--data", "missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reset(NULL);
        if (parse(cases[i].line) != RUDD_ARGUMENT || !strstr(err.message, cases[i].found) ||
            !strstr(err.message, cases[i].hint))
            fail_msg("\"%s\" gave: %s", cases[i].line, err.message);
    }
}

static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* A config file sets options, flags win wherever they stand, and a mistake names file and line. */
static void config_files(void **state)
{
    (void)state;
    char good[] = "/tmp/rudd_options_XXXXXX", bad[] = "/tmp/rudd_options_XXXXXX", line[200];
    write_file(good, "# a comment\n\n  epochs = 5   # five\nlr=0.5\ndata = some folder#1\nflip = true\n");
    write_file(bad, "epochs = 5\nepocs = 6\n");

    snprintf(line, sizeof line, "--epochs 7 --config %s", good);
    assert_int_equal(parse(line), RUDD_OK);
    assert_int_equal(t.epochs, 7);
    assert_float_equal(t.lr, 0.5, 0);
    assert_string_equal(t.data, "some folder#1");
    assert_true(t.flip);

    nn_options_free(&options);
    snprintf(line, sizeof line, "--data d --config %s", bad);
    assert_int_equal(parse(line), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, ":2: unknown option epocs; did you mean epochs"));
    assert_int_equal(parse("--data d --config /nowhere/at/all"), RUDD_IO);
    unlink(good);
    unlink(bad);
}

static enum rudd_status config(const char *text)
{
    nn_options_free(&options);
    return nn_config_parse(&options, text, strlen(text), "run.toml", &err);
}

/* The form of TOML: sections, quotes, lists, `_` for `-`, comments behind values and on lines of their own. */
static void config_lines(void **state)
{
    (void)state;
    assert_int_equal(config("\xef\xbb\xbf[train]\r\nepochs = 12 # passes\r\nmemory_limit=7K\n; ini's comment\n[ data ] # too\n"
                            "data = \"a # b \\\"c\\\" \\\\\" # a folder\nout = '\\n=\"'\nsplit = [ 0.5, 0.25,\t0.25 ]\n"
                            "order = \"down\"\nflip = true"),
                     RUDD_OK);
    assert_int_equal(t.epochs, 12);
    assert_int_equal(t.limit, 7168);
    assert_string_equal(t.data, "a # b \"c\" \\");
    assert_string_equal(t.out, "\\n=\"");
    assert_float_equal(t.split[1], 0.25, 0);
    assert_int_equal(t.order, 1);
    assert_true(t.flip);
}

/* A run's record sets what it ran with, but not where it wrote; the inner object alone will do; flags win over both. */
static void config_json(void **state)
{
    (void)state;
    static const char *const unrepeated[] = {"out", NULL};
    static const char record[] = "{\"id\": \"x\", \"options\": {\"epochs\": 12, \"lr\": 0.000123456789, \"out\": \"old\",\n"
                                 " \"data\": \"photos\", \"split\": [0.5,0.25,0.25], \"flip\": true, \"order\": \"random\"},"
                                 "\"final\": {\"epochs\": 3}}";
    options.unrepeated = unrepeated;
    assert_int_equal(config(record), RUDD_OK);
    assert_int_equal(t.epochs, 12);
    assert_float_equal(t.lr, 0.000123456789, 0);
    assert_float_equal(t.split[0], 0.5, 0);
    assert_string_equal(t.data, "photos");
    assert_null(t.out);
    assert_true(t.flip);
    assert_int_equal(t.order, 2);
    assert_int_equal(config("{\"memory_limit\": \"1K\", \"out\": \"x\", \"lr\": null}"), RUDD_OK);
    assert_int_equal(t.limit, 1024);
    assert_string_equal(t.out, "x");

    char file[] = "/tmp/rudd_options_XXXXXX", line[200];
    write_file(file, record);
    snprintf(line, sizeof line, "--config %s --epochs 7 --out new", file);
    assert_int_equal(parse(line), RUDD_OK);
    assert_int_equal(t.epochs, 7);
    assert_string_equal(t.out, "new");
    assert_string_equal(t.data, "photos");
    unlink(file);
}

/* Whatever is wrong in a config file is told in one line that names file and line. */
static void config_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"\n\nepocs = 3", "run.toml:3: unknown option epocs; did you mean epochs"},
        {"epochs = 3\nepochs = 4", "run.toml:2: epochs: is given in line 1 already"},
        {"epochs = 0", "run.toml:1: epochs: found \"0\""},
        {"epochs", "run.toml:1: found \"epochs\", expected name = value"},
        {"= 3", "expected name = value"},
        {"[train", "run.toml:1: found \"[train\", expected [section]"},
        {"[train] x", "expected [section]"},
        {"data = \"open", "run.toml:1: data: the quoted text"},
        {"data = \"a\" b", "the quoted text"},
        {"data = \"a\\q\"", "the quoted text"},
        {"data = \"a\\", "the quoted text"},
        {"data =", "data: found \"\""},
        {"config = other", "unknown option config"},
        {"split = [0.5, 0.5]", "split: found \"0.5,0.5\""},
        {"{\n\"epochs\": 3,\n \"epocs\": 3}", "run.toml:3: unknown option epocs; did you mean epochs"},
        {"{\"epocs\": 0,\n\"options\": {\n\n\"epocs\": 3}}", "run.toml:4: unknown option epocs"},
        {"{\"epochs\": \"many\"}", "run.toml:1: epochs: found \"many\""},
        {"{\"epochs\": {\"a\": 1}}", "epochs: found \"{"},
        {"{\"data\": 3}", "data: found 3, expected text"},
        {"{\"epochs\": 3", "run.toml:1: not valid JSON"},
        {"{\"epochs\": 3, \"epochs\": 4}", "duplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum rudd_status status = config(cases[i].text);
        if (status == RUDD_OK || !strstr(err.message, cases[i].said) || strchr(err.message, '\n'))
            fail_msg("\"%s\" gave: %s", cases[i].text, status == RUDD_OK ? "no error" : err.message);
    }
    assert_int_equal(nn_config_parse(&options, "epochs=3\0x", 10, "x", &err), RUDD_FORMAT);
}

static int refuse_at(void *user, size_t bytes)
{
    (void)bytes;
    return --*(int *)user != 0;
}

/* Any allocation of the reader may fail: the status says so, and all is given back. */
static void config_without_memory(void **state)
{
    (void)state;
    int failures = 0;
    for (int fatal = 1;; fatal++) {
        int countdown = fatal;
        rudd_set_alloc_hook(refuse_at, &countdown);
        enum rudd_status status = config("epochs = 3\ndata = \"x\"\n");
        rudd_set_alloc_hook(NULL, NULL);
        if (status == RUDD_OK) break;
        assert_int_equal(status, RUDD_NO_MEMORY);
        failures++;
    }
    assert_true(failures >= 2);
    nn_options_free(&options);
}

/* --help wins over everything, changes nothing, and the page shows every option with its default. */
static void help_page(void **state)
{
    (void)state;
    assert_int_equal(parse("--epochs 3 --nonsense --help"), RUDD_OK);
    const char *text = options.help;
    assert_non_null(text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[64], dashed[70];
        snprintf(dashed, sizeof dashed, "--%s", nn_option_name(name, sizeof name, &rows[i]));
        assert_non_null(strstr(text, dashed));
        assert_non_null(strstr(text, rows[i].help));
    }
    assert_non_null(strstr(text, "(default 8)"));
    assert_non_null(strstr(text, "(default 0.7,0.15,0.15)"));
    assert_non_null(strstr(text, "-o, --out FILE"));
}

/* What is printed can be set again: the record of a run repeats it. */
static void print_and_set_agree(void **state)
{
    (void)state;
    assert_int_equal(parse("--flip --epochs=3 --lr 0.012345 --memory-limit 7K --data d --order down --split .1,.2,.7"),
                     RUDD_OK);
    struct targets before = t;
    char texts[16][100], name[64];
    for (int i = 0; i < options.count; i++) nn_option_print(texts[i], sizeof texts[i], &rows[i]);
    assert_string_equal(texts[5], "");
    reset(NULL);
    for (int i = 0; i < options.count; i++)
        if (texts[i][0])
            assert_int_equal(nn_option_set(&options, nn_option_name(name, 64, &rows[i]), texts[i], "", &err), RUDD_OK);
    assert_int_equal(t.flip, before.flip);
    assert_int_equal(t.epochs, before.epochs);
    assert_float_equal(t.lr, before.lr, 0);
    assert_int_equal(t.limit, before.limit);
    assert_string_equal(t.data, before.data);
    assert_int_equal(t.order, before.order);
    assert_memory_equal(t.split, before.split, sizeof t.split);
}

/* The nearest name is found within a third of the letters, and far words are left alone. */
static void nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"train", "eval", "predict", "inspect"};
    assert_string_equal(nn_option_nearest("trian", names, 4), "train");
    assert_string_equal(nn_option_nearest("evla", names, 4), "eval");
    assert_string_equal(nn_option_nearest("inspct", names, 4), "inspect");
    assert_null(nn_option_nearest("serve-me", names, 4));
    assert_null(nn_option_nearest("", names, 4));
}

static int given_threads;
static size_t given_limit;

/* The rows that many commands have: one range of threads, and a limit of memory that may be left to be found. */
static void shared_rows(void **state)
{
    (void)state;
    static const struct nn_option shared[] = {NN_OPTION_THREADS(&given_threads, "speed"),
                                              NN_OPTION_MEMORY(&given_limit, "for activations")};
    const struct nn_options table = {.rows = shared, .count = 2};
    char text[64];
    assert_int_equal(nn_option_set(&table, "threads", "64", "", &err), RUDD_OK);
    assert_int_equal(nn_option_set(&table, "threads", "0", "", &err), RUDD_OK);
    assert_int_equal(nn_option_set(&table, "threads", "65", "", &err), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "from 0 to 64"));
    assert_int_equal(nn_option_set(&table, "threads", "-1", "", &err), RUDD_ARGUMENT);
    assert_int_equal(nn_option_set(&table, "memory-limit", "2K", "", &err), RUDD_OK);
    assert_int_equal(given_limit, 2048);
    assert_string_equal(nn_option_print(text, sizeof text, &shared[1]), "2048");
    assert_int_equal(nn_option_set(&table, "memory-limit", "auto", "", &err), RUDD_OK);
    assert_true(given_limit == NN_BYTES_AUTO);
    assert_string_equal(nn_option_print(text, sizeof text, &shared[1]), "auto");
    assert_int_equal(nn_option_set(&table, "memory-limit", "automatic", "", &err), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "auto"));
    assert_int_equal(nn_option_set(&options, "memory-limit", "auto", "", &err), RUDD_ARGUMENT); /* a row that cannot */
}

/* ---- environment ------------------------------------------------------------------------------- */

static const char *const variables[] = {
    "RUDD_TEST_ONE_EPOCHS", "RUDD_TEST_ONE_LR",           "RUDD_TEST_ONE_DATA", "RUDD_TEST_ONE_FLIP",
    "RUDD_TEST_ONE_MORE",   "RUDD_TEST_ONE_MEMORY_LIMIT", "RUDD_TEST_ONE_OUT",  "RUDD_TEST_ONE_CONFIG",
    "RUDD_TEST_ONE_EPOCS",  "RUDD_TEST_ONE_ZZZZZZZZ",     "RUDD_TEST_EPOCHS",   "RUDD_TEST_ONE_LEARNING_RATE",
};

/* The table belongs to `rudd test one`; no variable of it is set. */
static int reset_environment(void **state)
{
    reset(state);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
    options.usage = "rudd test one --data DIR";
    return 0;
}

/* The command line wins over the environment, the environment over a file, the file over defaults. */
static void environment_is_between(void **state)
{
    (void)state;
    char file[] = "/tmp/rudd_options_XXXXXX", line[200];
    write_file(file, "epochs = 5\nlr = 0.5\nmemory-limit = 9K\nmore = file\n");
    setenv("RUDD_TEST_ONE_EPOCHS", "6", 1);
    setenv("RUDD_TEST_ONE_LR", "0.25", 1);
    setenv("RUDD_TEST_ONE_DATA", "a b", 1);
    setenv("RUDD_TEST_ONE_FLIP", "yes", 1);
    setenv("RUDD_TEST_ONE_OUT", "", 1); /* counts as not set */
    snprintf(line, sizeof line, "--epochs 7 --config %s", file);
    assert_int_equal(parse(line), RUDD_OK);
    assert_int_equal(t.epochs, 7);
    assert_float_equal(t.lr, 0.25, 0);
    assert_int_equal(t.limit, 9 << 10);
    assert_string_equal(t.data, "a b");
    assert_true(t.flip);
    assert_null(t.out);

    reset(NULL);
    options.usage = "rudd test one";
    setenv("RUDD_TEST_ONE_CONFIG", file, 1); /* a file that the environment names is a file all the same */
    assert_int_equal(parse("--no-flip"), RUDD_OK);
    assert_int_equal(t.epochs, 6);
    assert_int_equal(t.limit, 9 << 10);
    assert_false(t.flip);

    reset(NULL); /* a table whose usage does not begin with rudd has no variables */
    assert_int_equal(parse("--data d"), RUDD_OK);
    assert_int_equal(t.epochs, 8);
    unlink(file);
}

/* A list from a stronger source takes the place of a weaker one's; lines part its values. */
static void environment_lists(void **state)
{
    (void)state;
    char file[] = "/tmp/rudd_options_XXXXXX", line[200], shown[64];
    const struct nn_option *more = nn_option_find(&options, "more");
    write_file(file, "more = file\n");
    snprintf(line, sizeof line, "--data d --config %s", file);
    setenv("RUDD_TEST_ONE_MORE", "one two\n\nthree\n", 1);
    assert_int_equal(parse(line), RUDD_OK);
    assert_int_equal(t.more.count, 2);
    assert_string_equal(t.more.items[0], "one two");
    assert_string_equal(t.more.items[1], "three");
    strcat(line, " --more x --more=y");
    assert_int_equal(parse(line), RUDD_OK);
    assert_string_equal(nn_option_print(shown, sizeof shown, more), "x y");
    assert_int_equal(parse(line), RUDD_OK); /* rudd train --resume reads its options twice */
    assert_string_equal(nn_option_print(shown, sizeof shown, more), "x y");
    unlink(file);
}

/* A variable that names no option would be ignored silently: it is refused, unless Kubernetes set it. */
static void environment_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *value, *message;
    } cases[] = {
        {"RUDD_TEST_ONE_EPOCHS", "many",
         "environment RUDD_TEST_ONE_EPOCHS: epochs: found "
         "\"many\", expected a whole"},
        {"RUDD_TEST_ONE_EPOCHS", "0", "from 1 to 100"},
        {"RUDD_TEST_ONE_FLIP", "maybe", "true or false"},
        {"RUDD_TEST_ONE_EPOCS", "3",
         "environment: unknown option RUDD_TEST_ONE_EPOCS; did you "
         "mean RUDD_TEST_ONE_EPOCHS"},
        {"RUDD_TEST_ONE_LEARNING_RATE", "3", "did you mean RUDD_TEST_ONE_LR"},
        {"RUDD_TEST_ONE_ZZZZZZZZ", "3", "unset it, or see rudd test one --help"},
    };
    static const char *const services[][2] = {
        {"RUDD_TEST_ONE_SERVICE_HOST", "10.0.0.1"},       {"RUDD_TEST_ONE_SERVICE_PORT_HTTP", "8080"},
        {"RUDD_TEST_ONE_PORT", "tcp://10.0.0.1:8080"},    {"RUDD_TEST_ONE_PORT_8080_TCP", "tcp://10.0.0.1:8080"},
        {"RUDD_TEST_ONE_PORT_8080_TCP_ADDR", "10.0.0.1"}, {"RUDD_TEST_ONE_CACHE_PORT_6379_TCP_PROTO", "tcp"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reset_environment(NULL);
        setenv(cases[i].variable, cases[i].value, 1);
        assert_int_equal(parse("--data d"), RUDD_ARGUMENT);
        if (!strstr(err.message, cases[i].message)) fail_msg("%s: %s", cases[i].variable, err.message);
    }
    reset_environment(NULL);
    setenv("RUDD_TEST_EPOCHS", "x", 1); /* another command's */
    for (size_t i = 0; i < sizeof services / sizeof *services; i++) setenv(services[i][0], services[i][1], 1);
    assert_int_equal(parse("--data d"), RUDD_OK);
    setenv("RUDD_TEST_ONE_PORT", "8080", 1); /* a person's, who means --listen */
    assert_int_equal(parse("--data d"), RUDD_ARGUMENT);
    for (size_t i = 0; i < sizeof services / sizeof *services; i++) unsetenv(services[i][0]);
}

static int nothing(void *user, size_t bytes)
{
    (void)user, (void)bytes;
    return 0;
}

/* A copy for a list may fail to be made. */
static void environment_without_memory(void **state)
{
    (void)state;
    setenv("RUDD_TEST_ONE_MORE", "one\ntwo", 1);
    rudd_set_alloc_hook(nothing, NULL);
    assert_int_equal(parse("--data d"), RUDD_NO_MEMORY);
    rudd_set_alloc_hook(NULL, NULL);
    assert_non_null(strstr(err.message, "RUDD_TEST_ONE_MORE"));
}

/* Headings and commands are rows of help only. */
static void headings_are_no_options(void **state)
{
    (void)state;
    static const struct nn_option headed[] = {
        NN_OPTION_HEADING("Pictures"),
        {"epochs", NN_OPTION_INT, &t.epochs, "N", 1, 100, "passes", NN_COMMON},
        NN_OPTION_HEADING("Other"),
        {"lr", NN_OPTION_DOUBLE, &t.lr, "X", 0, 10, "learning rate"},
    };
    char line[40] = "--=x";
    char *argv[] = {line, line, NULL};
    options = (struct nn_options){.usage = "prog", .about = "One. Two.", .rows = headed, .count = 4};
    assert_int_equal(nn_options_parse(&options, 2, argv, &err), RUDD_ARGUMENT);
    assert_false(nn_option_holds_value(&headed[0]));
    assert_true(nn_option_holds_value(&headed[1]));
    assert_int_equal(parse("--help"), RUDD_OK);
    assert_non_null(strstr(options.help, "One. Two.\n\nPictures\n  --epochs N"));
    assert_int_equal(parse("-h"), RUDD_OK);
    assert_non_null(strstr(options.help, "One.\n\n  --epochs N"));
    assert_null(strstr(options.help, "Two"));
    assert_null(strstr(options.help, "--lr"));
    assert_int_equal(parse("--help=words"), RUDD_OK);
    assert_non_null(strstr(options.help, "--epochs\t?\tpasses\n--lr\t?\tlearning rate\n"));
    assert_int_equal(parse("--help=other"), RUDD_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_type, reset),
        cmocka_unit_test_setup(shared_rows, reset),
        cmocka_unit_test_setup(strings_add_up, reset),
        cmocka_unit_test_setup(mistakes, reset),
        cmocka_unit_test_setup(config_files, reset),
        cmocka_unit_test_setup(help_page, reset),
        cmocka_unit_test_setup(config_lines, reset),
        cmocka_unit_test_setup_teardown(config_json, reset, reset),
        cmocka_unit_test_setup_teardown(config_mistakes, reset, reset),
        cmocka_unit_test_setup_teardown(config_without_memory, reset, reset),
        cmocka_unit_test_setup(nearest, reset),
        cmocka_unit_test_setup_teardown(print_and_set_agree, reset, reset),
        cmocka_unit_test_setup_teardown(environment_is_between, reset_environment, reset_environment),
        cmocka_unit_test_setup_teardown(environment_lists, reset_environment, reset_environment),
        cmocka_unit_test_setup_teardown(environment_mistakes, reset_environment, reset_environment),
        cmocka_unit_test_setup_teardown(environment_without_memory, reset_environment, reset_environment),
        cmocka_unit_test_setup_teardown(headings_are_no_options, reset, reset),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
