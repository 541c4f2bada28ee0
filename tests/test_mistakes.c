/* test_mistakes.c - sixty typical mistakes and what users read then, word for word: mistakes.def.
 *
 * The commands are run by a shell in a folder of the test's own, as users run them:
 *
 *     set/           train/ val/ test/ of three species, 48 pixels
 *     one/           one class            flat/    pictures without classes      void/   nothing
 *     m.safetensors  a small network for the three species
 *     runs/mine/     a finished run
 *     pike.jpg       a picture            note.txt a text                        two.txt two class names
 *
 * A row fails when the exit status or a single byte on standard error is another, or a second line
 * is there. Where the words of a message change, the row changes with them. */
#include "data/image/formats.h"
#include "tests/pictures.h"
#include "tests/sanitized.h"
#include "weights/model_file.h"

#include <arpa/inet.h>
#include <grp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { NOBODY = 65534, CANNOT = 77, SECONDS = 120 };

static const struct mistake {
    const char *prepare; /* by sh, before; "" */
    const char *command; /* "nobody: ...": without the rights of root */
    int status;
    const char *line; /* all of standard error, without its line feed */
} mistakes[] = {
#define MISTAKE(prepare, command, status, line) {prepare, command, status, line},
#include "tests/mistakes.def"
#undef MISTAKE
};
enum { MISTAKES = sizeof mistakes / sizeof *mistakes };

static const char *const species[] = {"esox_lucius", "perca_fluviatilis", "sander_lucioperca"};
static char folder[64], programs[4096];
static int taken = -1, port;

/* ---- running --------------------------------------------------------------------------------- */

static void in_child(const char *command)
{
    char path[8300];
    snprintf(path, sizeof path, "%s:%s", programs, getenv("PATH"));
    setenv("PATH", path, 1);
    setenv("LC_ALL", "C", 1);
    setenv("ASAN_OPTIONS", "detect_leaks=0", 0); /* leaks are other tests' matter */
    alarm(SECONDS);
    if (!freopen("/dev/null", "r", stdin) || !freopen("out.txt", "w", stdout) || !freopen("err.txt", "w", stderr))
        _exit(CANNOT);
    if (!strncmp(command, "nobody: ", 8)) {
        command += 8;
        if (!getuid() && (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))) _exit(CANNOT);
        snprintf(path, sizeof path, "%s/rudd", programs);
        if (access(path, X_OK)) _exit(CANNOT); /* the build lies in a folder of root's */
    }
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(CANNOT);
}

/* Its exit status; 128 and more: killed. */
static int run(const char *command)
{
    int status;
    const pid_t pid = fork();
    if (!pid) in_child(command);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* text with the places of mistakes.def filled in: @PORT@, the port that is taken; @PICTURES@, the
 * formats that this build reads. */
static void fill_in(char *out, size_t size, const char *text)
{
    char number[12], formats[200];
    const struct {
        const char *place, *value;
    } places[] = {{"@PORT@", number}, {"@PICTURES@", data_format_names(formats, sizeof formats)}};
    snprintf(number, sizeof number, "%d", port);
    snprintf(out, size, "%s", text);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *at = strstr(text, places[i].place);
        if (at) snprintf(out, size, "%.*s%s%s", (int)(at - text), text, places[i].value, at + strlen(places[i].place));
    }
}

/* ---- the folder ------------------------------------------------------------------------------ */

static void must(const char *command)
{
    if (run(command)) {
        (void)!system("cat out.txt err.txt");
        fail_msg("%s", command);
    }
}

static void make_model(void)
{
    struct nn_model *m;
    struct rudd_error err;
    if (nn_model_create(&m, "rudd_nano", 3, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < 3; i++) {
        rudd_free(m->classes[i].name);
        m->classes[i].name = rudd_strdup(species[i]);
    }
    m->preprocess.image_size = 32;
    if (weights_model_save("m.safetensors", m, NULL, WEIGHTS_TIMM, &err)) fail_msg("%s", err.message);
    nn_model_destroy(m);
}

static int begin(void **state)
{
    (void)state;
    const ssize_t n = readlink("/proc/self/exe", programs, sizeof programs - 1);
    assert_true(n > 0);
    programs[n] = 0;
    *strrchr(programs, '/') = 0; /* build/tests */
    *strrchr(programs, '/') = 0;
    folder_create(folder);
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    must("rudd data synth -o set --per-class 8 --size 48 --classes esox_lucius,perca_fluviatilis,sander_lucioperca");
    must("rudd train --data set --arch rudd_nano --image-size 32 --epochs 1 --threads 1 --out runs/mine");
    must("mkdir one flat void && cp -r set/train/esox_lucius one/ && cp set/train/esox_lucius/*.jpg flat/ && "
         "cp \"$(ls set/test/esox_lucius/*.jpg | head -n 1)\" pike.jpg && echo a note > note.txt && "
         "printf 'pike\\nperch\\n' > two.txt");
    make_model();
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(taken, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(taken, 1), 0);
    assert_int_equal(getsockname(taken, (struct sockaddr *)&at, &size), 0);
    port = ntohs(at.sin_port);
    return 0;
}

static int end(void **state)
{
    (void)state;
    close(taken);
    assert_int_equal(chdir("/"), 0);
    folder_remove(folder);
    return 0;
}

/* ---- the claim ------------------------------------------------------------------------------- */

static bool is_as_said(const struct mistake *m)
{
    char command[2000], expected[3000], found[6000] = "";
    fill_in(command, sizeof command, m->command);
    fill_in(expected, sizeof expected - 1, m->line);
    strcat(expected, "\n");
    if (*m->prepare) must(m->prepare);
    const int status = run(command);
    if (status == CANNOT) {
        print_message("left out, not possible here: %s\n", m->command);
        return true;
    }
    FILE *f = fopen("err.txt", "rb");
    assert_non_null(f);
    found[fread(found, 1, sizeof found - 1, f)] = 0;
    fclose(f);
    if (status == m->status && !strcmp(found, expected)) return true;
    print_error("$ %s\nexpected %d %sfound    %d %s\n", command, m->status, expected, status, found);
    return false;
}

static void each_answer_is_one_helpful_line(void **state)
{
    (void)state;
    int wrong = 0;
    for (int i = 0; i < MISTAKES; i++) {
        if (SANITIZED && strstr(mistakes[i].command, "ulimit -v")) continue; /* its shadow is larger than any limit */
        wrong += !is_as_said(&mistakes[i]);
    }
    if (wrong) fail_msg("%d of %d answers are others", wrong, MISTAKES);
}

/* The table itself: sixty rows, none twice, each a line of the program's with no line feed in it. */
static void the_table_keeps_its_word(void **state)
{
    (void)state;
    assert_true(MISTAKES >= 60);
    for (int i = 0; i < MISTAKES; i++) {
        const struct mistake *m = &mistakes[i];
        assert_true(m->status == 1 || m->status == 2);
        assert_true(!strncmp(m->line, "rudd: ", 6) && !strchr(m->line, '\n'));
        for (int k = 0; k < i; k++)
            assert_true(strcmp(m->command, mistakes[k].command) || strcmp(m->prepare, mistakes[k].prepare));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_keeps_its_word),
        cmocka_unit_test(each_answer_is_one_helpful_line),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
