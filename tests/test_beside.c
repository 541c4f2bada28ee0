/* test_beside.c - the busy loops beside a measurement: they run, they rest, and none outlives what
 * started it, however that ends. No time is judged: a test waits for what must come. */
#include "bench/beside.h"
#include "bench/bench.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

extern char **environ;

enum { LOOPS = 3, MOMENT_MS = 10, PATIENCE = 6000 }; /* a minute of moments, then it never comes */

static struct rudd_error err;

static void wait_a_moment(void)
{
    const struct timespec moment = {.tv_nsec = MOMENT_MS * 1000 * 1000};
    nanosleep(&moment, NULL);
}

/* ---- processes ----------------------------------------------------------------------------- */

struct process {
    char state; /* 'R', 'S', 'T', 'Z'; 0: there is none */
    int parent;
    unsigned long ticks; /* of processor time */
};

static struct process look(pid_t pid)
{
    struct process p = {0};
    char path[64], text[512] = "";
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f) return p;
    const char *end = fgets(text, sizeof text, f) ? strrchr(text, ')') : NULL;
    fclose(f);
    if (!end) return p;
    const char *form = ") %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu";
    assert_int_equal(sscanf(end, form, &p.state, &p.parent, &user, &kernel), 4);
    p.ticks = user + kernel;
    return p;
}

static void wait_for_state(pid_t pid, char state)
{
    for (int i = 0; look(pid).state != state; i++) {
        if (i == PATIENCE) fail_msg("%d: state %c, not %c", pid, look(pid).state, state);
        wait_a_moment();
    }
}

static void wait_for_work(pid_t pid)
{
    const unsigned long before = look(pid).ticks;
    for (int i = 0; look(pid).ticks <= before; i++) {
        if (i == PATIENCE) fail_msg("%d does not run", pid);
        wait_a_moment();
    }
}

/* The children of a process, at most LOOPS of them. Returns how many. */
static int children_of(pid_t children[LOOPS], pid_t parent)
{
    int count = 0;
    DIR *folder = opendir("/proc");
    assert_non_null(folder);
    for (const struct dirent *entry; count < LOOPS && (entry = readdir(folder));) {
        const pid_t pid = atoi(entry->d_name);
        if (pid > 0 && look(pid).parent == parent) children[count++] = pid;
    }
    closedir(folder);
    return count;
}

static void assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* Orphans come to this process (PR_SET_CHILD_SUBREAPER). A loop was killed, or it had only begun
 * and left because its parent was gone. */
static void reap(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

/* ---- the loops ----------------------------------------------------------------------------- */

static void loops_run_and_are_gone_afterwards(void **state)
{
    (void)state;
    struct bench_beside b;
    assert_int_equal(bench_beside_start(&b, LOOPS, &err), RUDD_OK);
    assert_int_equal(b.count, LOOPS);
    for (int i = 0; i < LOOPS; i++) {
        assert_int_equal(look(b.loops[i]).parent, getpid());
        wait_for_work(b.loops[i]);
    }
    assert_int_equal(bench_beside_stop(&b, RUDD_OK, &err), RUDD_OK);
    assert_int_equal(b.count, 0);
    assert_no_children();
    assert_int_equal(bench_beside_stop(&b, RUDD_OK, &err), RUDD_OK);
    assert_int_equal(bench_beside_start(&b, 0, &err), RUDD_OK);
    assert_no_children();
}

static void loops_rest_and_go_on(void **state)
{
    (void)state;
    struct bench_beside b;
    assert_int_equal(bench_beside_start(&b, LOOPS, &err), RUDD_OK);
    for (int turn = 0; turn < 2; turn++) {
        bench_beside_run(&b, false);
        bench_beside_run(&b, false);
        for (int i = 0; i < LOOPS; i++) wait_for_state(b.loops[i], 'T');
        bench_beside_run(&b, true);
        for (int i = 0; i < LOOPS; i++) wait_for_work(b.loops[i]);
    }
    bench_beside_run(&b, false); /* at rest they can be ended, too */
    assert_int_equal(bench_beside_stop(&b, RUDD_OK, &err), RUDD_OK);
    assert_no_children();
}

/* A figure beside fewer loops than it says is an error; an error from before stays what it was. */
static void a_loop_that_ends_early_is_an_error(void **state)
{
    (void)state;
    struct bench_beside b;
    for (int i = 0; i < 2; i++) {
        const enum rudd_status before = i ? RUDD_FORMAT : RUDD_OK;
        assert_int_equal(bench_beside_start(&b, LOOPS, &err), RUDD_OK);
        kill(b.loops[1], SIGKILL);
        wait_for_state(b.loops[1], 'Z');
        err.message[0] = 0;
        assert_int_equal(bench_beside_stop(&b, before, &err), i ? RUDD_FORMAT : RUDD_MISMATCH);
        if (!i) assert_non_null(strstr(err.message, "1 of 3 busy loops ended early"));
        assert_no_children();
    }
}

/* What the parent closes is closed: the other end of a pipe sees it while the loops run. */
static void loops_hold_no_files(void **state)
{
    (void)state;
    struct bench_beside b;
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(bench_beside_start(&b, LOOPS, &err), RUDD_OK);
    close(ends[1]);
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE * MOMENT_MS), 1);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    assert_int_equal(bench_beside_stop(&b, RUDD_OK, &err), RUDD_OK);
}

/* When the system starts no more processes, that is the error, and those started are gone. A
 * process of its own gives up its rights for it: to the superuser there is no such limit. */
static void too_many_loops_are_an_error(void **state)
{
    (void)state;
    const pid_t pid = fork();
    if (pid == 0) {
        struct bench_beside b;
        const struct rlimit most = {2, 2};
        if (geteuid() == 0 && setuid(65534)) _exit(1);
        if (setrlimit(RLIMIT_NPROC, &most)) _exit(2);
        if (bench_beside_start(&b, LOOPS, &err) != RUDD_IO) _exit(3);
        if (!strstr(err.message, "of 3 does not start: ") || b.count) _exit(4);
        _exit(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : 5);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- the program --------------------------------------------------------------------------- */

static const char *bench_path(void)
{
    static char path[4096];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
    assert_true(n > 0);
    path[n] = 0;
    strcpy(strrchr(path, '/'), "/../rudd-bench");
    return path;
}

/* Runs it by a shell with these arguments, its errors among its output. Returns its status. */
static int run(char *out, size_t size, const char *arguments)
{
    char command[8192];
    snprintf(command, sizeof command, "%s %s 2>&1", bench_path(), arguments);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    out[fread(out, 1, size - 1, f)] = 0;
    const int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Starts `rudd-bench COMMAND ...` on a small network beside LOOPS loops, for longer than anybody
 * waits; its table goes nowhere. */
static pid_t start_program(const char *command, const char *more)
{
    pid_t pid;
    const char *const argv[] = {bench_path(), command, more, "--arch=rudd_nano", "--beside=3", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0);
    char *const *mutable = (char *const *)(uintptr_t)argv;
    assert_int_equal(posix_spawn(&pid, argv[0], &actions, NULL, mutable, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* kill -9 leaves no loop behind, neither a busy one nor one at rest. */
static void loops_die_with_their_program(void **state)
{
    (void)state;
    static const char *const commands[] = {"infer", "train", "peers"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        pid_t loops[LOOPS];
        const bool peers = !strcmp(commands[i], "peers");
        const pid_t pid = start_program(commands[i], peers ? "--python=false" : "--repeat=100000");
        for (int k = 0; children_of(loops, pid) < LOOPS; k++) {
            if (k == PATIENCE) fail_msg("%s has no loops", commands[i]);
            wait_a_moment();
        }
        for (int k = 0; k < LOOPS && peers; k++) wait_for_state(loops[k], 'T');
        assert_int_equal(kill(pid, SIGKILL), 0);
        reap(pid);
        for (int k = 0; k < LOOPS; k++) reap(loops[k]);
        assert_no_children();
    }
}

/* Every report says how many there were. */
static void reports_say_how_many(void **state)
{
    (void)state;
    static const char *const commands[] = {"infer", "train"};
    char arguments[256], out[4096];
    for (int i = 0; i < 2; i++) {
        for (int loops = 0; loops < 3; loops += 2) {
            const char *form = "%s --arch rudd_nano --size 32 --batch 1 --repeat 2 --beside %d %s";
            snprintf(arguments, sizeof arguments, form, commands[i], loops, "--json");
            assert_int_equal(run(out, sizeof out, arguments), 0);
            json_t *line = json_loads(out, 0, NULL);
            assert_int_equal(json_integer_value(json_object_get(line, "beside")), loops);
            assert_true(json_is_integer(json_object_get(line, "beside")));
            json_decref(line);
            snprintf(arguments, sizeof arguments, form, commands[i], loops, "");
            assert_int_equal(run(out, sizeof out, arguments), 0);
            assert_non_null(strstr(out, loops ? "2 busy loops beside" : "0 busy loops beside"));
        }
    }
    assert_no_children();
}

static void bad_values_are_one_line_and_status_2(void **state)
{
    (void)state;
    static const char *const commands[] = {"infer", "train", "serve", "peers"};
    static const char *const values[] = {"-1", "257", "x", "1.5", "''", "99999999999", "8x"};
    char arguments[256], out[4096];
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            snprintf(arguments, sizeof arguments, "%s --beside %s", commands[i], values[k]);
            assert_int_equal(run(out, sizeof out, arguments), 2);
            if (!strstr(out, "--beside: found \"")) fail_msg("%s: %s", arguments, out);
            assert_non_null(strstr(out, "from 0 to 256"));
            assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops_run_and_are_gone_afterwards),
        cmocka_unit_test(loops_rest_and_go_on),
        cmocka_unit_test(a_loop_that_ends_early_is_an_error),
        cmocka_unit_test(loops_hold_no_files),
        cmocka_unit_test(too_many_loops_are_an_error),
        cmocka_unit_test(loops_die_with_their_program),
        cmocka_unit_test(reports_say_how_many),
        cmocka_unit_test(bad_values_are_one_line_and_status_2),
    };
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
