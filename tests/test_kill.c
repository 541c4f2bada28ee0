/* test_kill.c - `rudd train` as a process that is told to stop, or killed.
 *
 *     test_kill [KILLS [SEED]]         6 kills by default; `make kill-train` has 50
 *
 * A killed run is resumed, with another number of threads, until it is through, killed again and again on its way; it must then
 * equal one that nobody disturbed. Half of the kills come at a random moment, which is mostly within a step; the other half, so
 * that no write is spared, right behind a random event of a random file in the run's folder (its temporary form made, written to,
 * closed, renamed), which inotify reports. The last event before death says where it struck, and the end of the test sums that up.
 *
 * Here the disk survives; that files are synced before they are renamed is weights/replace.c's affair. */
#define _GNU_SOURCE /* prlimit */
#include "nn/rng.h"
#include "tests/sanitized.h"
#include "tests/training.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { EPOCHS = SANITIZED ? 2 : 5, LINE = 2000 };
static int kill_count = SANITIZED ? 2 : 6;
static unsigned seed = 1;
static struct nn_rng rng;

static const char *const files[] = {"run.json", "model.safetensors", "metrics.jsonl", "last.safetensors", "report.html"};
enum { FILES = sizeof files / sizeof *files };

/* All of the network learns; or its classifier alone, on activations that the run caches in its folder first. */
static const char *const recipes[] = {"|--mixup|0.2", "|--freeze|all"};
static const char *recipe;

/* When it saves: behind every epoch and within them; behind some epochs, so that others are
 * repeated; within epochs alone. None changes the run, so each process draws one of the first
 * paces_drawn. */
static const char *const paces[] = {"|--checkpoint-steps|3|--checkpoint-seconds|0",
                                    "|--checkpoint-steps|0|--checkpoint-seconds|0.1",
                                    "|--checkpoint-steps|4|--checkpoint-seconds|1e6"};
static unsigned paces_drawn = 1;

/* Of a run by this recipe that nobody disturbs: how long it takes, and how many events each file of it has. */
static double straight_seconds;
static int straight_events[FILES];

/* ---- the folder's events ----------------------------------------------------------------------------------------------- */

struct watch {
    int fd, total, events[FILES];
    int file;     /* of the last event; -1: none yet */
    bool arrived; /* that was under the file's own name, not work on its temporary form */
};

/* Watches the folder of a run, which it makes: rudd takes an empty one. */
static struct watch watch_run(const char *run)
{
    struct watch w = {.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .file = -1};
    mkdir(in_root(run), 0777);
    assert_true(w.fd >= 0);
    assert_true(inotify_add_watch(w.fd, in_root(run), IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO) >= 0);
    return w;
}

/* Takes note of what has happened, waiting up to so many milliseconds for something. */
static void watch_events(struct watch *w, int ms)
{
    _Alignas(struct inotify_event) char bytes[4096];
    struct pollfd ready = {.fd = w->fd, .events = POLLIN};
    if (poll(&ready, 1, ms) <= 0) return;
    ssize_t n = read(w->fd, bytes, sizeof bytes);
    for (char *at = bytes; at < bytes + n;) {
        const struct inotify_event *e = (const struct inotify_event *)(const void *)at;
        for (int i = 0; i < FILES && e->len; i++) {
            if (strncmp(e->name, files[i], strlen(files[i])) != 0) continue;
            const bool own = strcmp(e->name, files[i]) == 0;
            if (own && e->mask & IN_CLOSE_WRITE) continue; /* metrics.jsonl, open until death */
            w->total++;
            w->events[i]++;
            w->file = i;
            w->arrived = own; /* by a rename, or a line of metrics.jsonl by one write */
        }
        at += sizeof *e + e->len;
    }
}

/* ---- processes --------------------------------------------------------------------------------------------------------- */

/* Starts rudd with words separated by '|'; what it prints, errors included, goes to the file `out` of the test's folder. */
static pid_t start(const char *line)
{
    char binary[PATH_MAX + 16], copy[LINE], *argv[64];
    int argc = 0;
    ssize_t n = readlink("/proc/self/exe", binary, PATH_MAX - 1);
    assert_true(n > 0);
    binary[n] = 0;
    strcpy(strrchr(binary, '/'), "/../rudd");
    snprintf(copy, sizeof copy, "%s", line);
    argv[argc++] = binary;
    for (char *word = strtok(copy, "|"); word; word = strtok(NULL, "|")) argv[argc++] = word;
    argv[argc] = NULL;

    const char *out = in_root("out");
    fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) return pid;
    int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
    dup2(fd, 1);
    dup2(fd, 2);
    execv(binary, argv);
    _exit(127);
}

static int wait_for(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* Whether it has ended. */
static bool has_ended(pid_t pid, int *status)
{
    pid_t got = waitpid(pid, status, WNOHANG);
    assert_true(got >= 0);
    return got == pid;
}

static void assert_success(int status)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("rudd ended with status %#x; seed %u", status, seed);
}

/* Told to stop, with work that can go on. */
static void assert_stopped(int status)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 75) fail_msg("rudd ended with status %#x; seed %u", status, seed);
}

/* The command that begins a run or goes on with it: without run.json nothing has begun. */
static const char *train_line(const char *run)
{
    static char line[LINE];
    int threads = 1 + (int)nn_rng_below(&rng, 2), prefetch = (int)nn_rng_below(&rng, 4);
    const char *pace = paces[nn_rng_below(&rng, paces_drawn)];
    if (access(file_of(run, "run.json"), F_OK) == 0)
        snprintf(line, sizeof line, "train|--resume|%s|--threads|%d|--prefetch|%d%s", in_root(run), threads, prefetch, pace);
    else
        snprintf(line, sizeof line,
                 "train|--data|%s|--out|%s|--threads|%d|--prefetch|%d|--arch|rudd_nano|--image-size|48|--batch|8|--epochs|%d"
                 "|--ema|0.9|--accumulate|2%s%s",
                 in_root("drawn"), in_root(run), threads, prefetch, EPOCHS, recipe, pace);
    return line;
}

static void assert_finished(const char *run)
{
    char line[400];
    assert_same_run("straight", run);
    assert_same_metrics("straight", run, EPOCHS);
    snprintf(line, sizeof line, "ls '%s' | wc -l | grep -qx 5", in_root(run));
    assert_int_equal(system(line), 0); /* the five files and no left-overs */
    json_t *x = parse_json(file_of("straight", "run.json")), *y = parse_json(file_of(run, "run.json"));
    assert_string_equal(json_string_value(json_object_get(y, "status")), "done");
    assert_true(json_equal(json_object_get(x, "final"), json_object_get(y, "final")));
    json_decref(x);
    json_decref(y);
}

/* The run that the others are compared with. */
static void run_straight(const char *with)
{
    int status;
    remove_run("straight");
    recipe = with;
    paces_drawn = 1;
    struct watch watch = watch_run("straight");
    double began = train_now();
    pid_t pid = start(train_line("straight"));
    while (!has_ended(pid, &status)) watch_events(&watch, 10);
    assert_success(status);
    straight_seconds = train_now() - began;
    watch_events(&watch, 0);
    memcpy(straight_events, watch.events, sizeof straight_events);
    close(watch.fd);
}

static int begin(void **state)
{
    char line[LINE];
    nn_rng_init(&rng, seed, 0, 0);
    if (begin_runs(state) != 0) return -1;
    snprintf(line, sizeof line,
             "data|synth|-o|%s|--per-class|24|--size|64|--classes|esox_lucius,perca_fluviatilis,rutilus_rutilus",
             in_root("drawn"));
    assert_success(wait_for(start(line)));
    run_straight(recipes[0]);
    return 0;
}

/* ---- claims ------------------------------------------------------------------------------------------------------------ */

/* Lets a run go on until it ends or is killed. True: killed. */
static bool run_or_kill(struct watch *watch)
{
    const bool by_event = nn_rng_below(&rng, 2);
    const int file = (int)nn_rng_below(&rng, FILES);
    const int event = watch->events[file] + 1 + (int)nn_rng_below(&rng, (uint64_t)straight_events[file]);
    const double at = train_now() + straight_seconds * (double)nn_rng_below(&rng, 1000000) / 1e6;
    const useconds_t delay = (useconds_t)(nn_rng_below(&rng, 2) * nn_rng_below(&rng, 3000));
    pid_t pid = start(train_line("killed"));
    int status;
    while (!has_ended(pid, &status)) {
        double left = at - train_now();
        if (by_event ? watch->events[file] >= event : left <= 0) {
            if (by_event) usleep(delay);
            kill(pid, SIGKILL);
            status = wait_for(pid);
            break;
        }
        watch_events(watch, by_event ? 5 : left < 0.005 ? 1 : 5);
    }
    watch_events(watch, 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return true;
    assert_success(status);
    return false;
}

/* Killed at any moment and resumed, the run ends as the undisturbed one. */
static void kill_runs(int wanted)
{
    int within[FILES] = {0}, behind[FILES] = {0}, kills = 0, runs = 0;
    paces_drawn = sizeof paces / sizeof *paces;
    for (; kills < wanted; runs++) {
        struct watch watch = watch_run("killed");
        bool killed = true;
        while (killed && kills < wanted) {
            killed = run_or_kill(&watch);
            kills += killed;
            if (killed && watch.file >= 0) ++(watch.arrived ? behind : within)[watch.file];
        }
        if (killed) assert_success(wait_for(start(train_line("killed"))));
        assert_finished("killed");
        close(watch.fd);
        remove_run("killed");
    }
    print_message("  seed %u: %d kills in %d runs of %.1f s\n", seed, kills, runs, straight_seconds);
    for (int i = 0; i < FILES; i++)
        print_message("  %3d while %s was written, %d between it and the next file\n", within[i], files[i], behind[i]);
}

static void killed_runs_are_the_same(void **state)
{
    (void)state;
    kill_runs(kill_count - kill_count / 3);
}

static void killed_runs_on_a_cache_are_the_same(void **state)
{
    (void)state;
    run_straight(recipes[1]);
    kill_runs(kill_count / 3);
}

/* Starts a run and lets it write so many files. */
static pid_t start_and_wait(const char *run, int arrivals)
{
    struct watch watch = watch_run(run);
    pid_t pid = start(train_line(run));
    for (int seen = 0, events = 0; seen < arrivals; events = watch.total) {
        int status;
        assert_false(has_ended(pid, &status));
        watch_events(&watch, 1000);
        seen += watch.total > events && watch.arrived;
    }
    close(watch.fd);
    return pid;
}

/* Asked to stop, by either signal, soon or late: status 75, one line that says how to go on, and the same run in the end. */
static void signals_stop_a_run(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        pid_t pid = start_and_wait("asked", 1 + 3 * i);
        size_t length;
        char line[LINE], wanted[LINE];
        kill(pid, signals[i]);
        assert_stopped(wait_for(pid));
        assert_int_equal(access(file_of("asked", "last.safetensors"), F_OK), 0);
        snprintf(wanted, sizeof wanted, "rudd train --resume %s\n", in_root("asked"));
        char *said = read_all(in_root("out"), &length);
        assert_true(length > strlen(wanted) && memcmp(said + length - strlen(wanted), wanted, strlen(wanted)) == 0);
        rudd_free(said);
        snprintf(line, sizeof line, "grep -c -e --resume '%s' | grep -qx 1", in_root("out"));
        assert_int_equal(system(line), 0);
        assert_success(wait_for(start(train_line("asked"))));
        assert_finished("asked");
        remove_run("asked");
    }
}

/* A second signal ends it at once, as if it listened to none; nothing is lost by that either. */
static void a_second_signal_ends_it(void **state)
{
    (void)state;
    int status;
    pid_t pid = start_and_wait("ended", 4);
    kill(pid, SIGSTOP); /* so that both are there before it can act on one */
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    kill(pid, SIGTERM);
    kill(pid, SIGINT);
    kill(pid, SIGCONT);
    status = wait_for(pid);
    assert_true(WIFSIGNALED(status));
    assert_success(wait_for(start(train_line("ended"))));
    assert_finished("ended");
}

/* No file may grow beyond 1,000 bytes any more, as on a full disk: the run ends with a sentence and is marked failed, in a record
 * that is larger than that; what was saved stays, and with room again it goes on to the same end. */
static void a_full_disk_fails_a_run(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN); /* a child inherits that */
    pid_t pid = start_and_wait("full", 4);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(prlimit(pid, RLIMIT_FSIZE, &(struct rlimit){1000, 1000}, NULL), 0);
    int status = wait_for(pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    json_t *record = parse_json(file_of("full", "run.json"));
    assert_string_equal(json_string_value(json_object_get(record, "status")), "failed");
    json_decref(record);
    assert_success(wait_for(start(train_line("full"))));
    assert_finished("full");
}

/* Waits until a process handles SIGTERM: what /proc tells of it. */
static void wait_for_handler(pid_t pid)
{
    for (bool handles = false; !handles;) {
        char path[64], line[200];
        snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        while (fgets(line, sizeof line, f))
            if (strncmp(line, "SigCgt:", 7) == 0) handles = strtoull(line + 7, NULL, 16) >> (SIGTERM - 1) & 1;
        fclose(f);
        if (!handles) nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
}

/* Sends a signal to a process after up to so many milliseconds. False: it ended before that. */
static bool stop_within(pid_t pid, int number, int ms, int *status)
{
    const struct timespec a_while = {.tv_nsec = (long)nn_rng_below(&rng, (uint64_t)ms) * 1000000};
    nanosleep(&a_while, NULL);
    kill(pid, SIGSTOP); /* it cannot end meanwhile */
    assert_int_equal(waitpid(pid, status, WUNTRACED), pid);
    if (WIFEXITED(*status)) return false;
    kill(pid, number);
    kill(pid, SIGCONT);
    *status = wait_for(pid);
    return true;
}

/* Commands whose work cannot go on end by the signal itself, at any moment. */
static void signals_end_other_commands(void **state)
{
    (void)state;
    static const char *const commands[] = {"data|check|%s", "data|stats|%s"};
    for (int i = 0; i < 2; i++)
        for (int time = 0; time < 5; time++) {
            char line[LINE];
            int status;
            snprintf(line, sizeof line, commands[i], in_root("drawn"));
            if (stop_within(start(line), SIGTERM, 60, &status)) assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
        }
}

/* Evaluating, predicting, and training before its first step end with 75 and one line, at any moment. Lines of
 * answers are whole. Training has made no folder. */
static void signals_stop_what_can_begin_again(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT};
    int stopped[3] = {0};
    for (int time = 0; time < 24; time++) {
        char line[LINE], model[400];
        int status;
        size_t length;
        const int which = time % 3;
        snprintf(model, sizeof model, "%.399s", file_of("straight", "model.safetensors"));
        if (which == 0)
            snprintf(line, sizeof line, "eval|--views|10|--model|%s|--data|%s/train", model, in_root("drawn"));
        else if (which == 1)
            snprintf(line, sizeof line, "predict|--json|--views|10|--model|%s|%s", model, in_root("drawn"));
        else
            snprintf(line, sizeof line, "train|--data|%s|--weights|%s|--epochs|1000|--out|%s", in_root("drawn"), model,
                     in_root("never"));
        pid_t pid = start(line);
        wait_for_handler(pid);
        const bool in_time = stop_within(pid, signals[time / 3 % 2], 10, &status);
        char *said = read_all(in_root("out"), &length);
        assert_true(length > 0 && said[length - 1] == '\n');
        if (in_time && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
            assert_stopped(status);
            char *last = said + length - 1;
            while (last > said && last[-1] != '\n') last--;
            assert_int_equal(strncmp(last, "rudd: ", 6), 0);
            stopped[which]++;
        }
        if (which == 2 && access(file_of("never", "run.json"), F_OK) == 0) remove_run("never"); /* it had begun */
        rudd_free(said);
    }
    print_message("  stopped: eval %d, predict %d, train %d times of 8\n", stopped[0], stopped[1], stopped[2]);
    for (int i = 0; i < 3; i++) assert_true(stopped[i] > 0);
}

int main(int argc, char **argv)
{
    if (argc > 1) kill_count = atoi(argv[1]);
    if (argc > 2) seed = (unsigned)strtoul(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_stop_a_run),
        cmocka_unit_test(a_second_signal_ends_it),
        cmocka_unit_test(a_full_disk_fails_a_run),
        cmocka_unit_test(signals_end_other_commands),
        cmocka_unit_test(signals_stop_what_can_begin_again),
        cmocka_unit_test(killed_runs_are_the_same),
        cmocka_unit_test(killed_runs_on_a_cache_are_the_same),
    };
    return cmocka_run_group_tests_name("kill", tests, begin, end_runs);
}
