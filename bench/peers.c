/* peers.c - rudd-bench peers: the same network, weights, input and threads in rudd and in every other engine that is installed, in turns.
 *
 *     rudd | pause | onnxruntime | pause | openvino | pause | torch | pause | rudd | ...        medians over the rounds
 *
 * Turns, because a shared machine changes its speed by the minute: what slows one down slows all. The pause lets threads that spin after
 * their work fall asleep. Before each measured inference stands one that is not, so that everyone starts with his own caches.
 *
 * Another build of rudd-bench (--old) takes part in a process of its own for each turn, and beside it,
 * in the same way, this one: that ratio compares the builds and nothing else.
 *
 * Some rows are measured a second time in the same turns, beside busy loops (beside.h). The loops are
 * started before anything else and rest while they are not wanted.
 *
 * rudd runs in this process, each peer in one of its own (peer.h, peer.py), all of them on files that are written here and removed
 * afterwards: the ONNX file, the model file (for PyTorch, through timm), the input, and rudd's logits, against which every peer
 * compares its own, so that nobody is fast by being wrong. */
#include "bench/peers.h"
#include "bench/build.h"
#include "kernels/kern.h"
#include "train/command.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CLASSES = 1000, WARM_ROUNDS = 2, PAUSE_MS = 50 };
/* torch.compile builds C++ for minutes; a run of the largest network takes seconds. */
static const double start_seconds = 900, run_seconds = 120;

const char *const peers_kinds[PEERS_KINDS] = {"onnxruntime", "openvino", "torch"};

static const struct peers_work usual[] = {{"efficientnet_b4", 380, 1, false},
                                          {"efficientnet_b4", 224, 1, true},
                                          {"efficientnet_b4", 380, 8, false},
                                          {"efficientnet_b4", 224, 8, false},
                                          {"tf_efficientnetv2_b0", 224, 1, true}};

bool peers_takes_part(const struct peers_settings *settings, int kind)
{
    return !settings->only || settings->only == kind + 1;
}

static volatile sig_atomic_t stopped;
static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

/* ---- the peers --------------------------------------------------------------------------------------------------- */

/* The side drops out, the others go on; only a wish to stop ends the row. */
static enum rudd_status drop_out(struct peers_side *s, enum rudd_status status, const char *why, struct rudd_error *err)
{
    snprintf(s->trouble, sizeof s->trouble, "%s", why);
    bench_peer_stop(&s->process);
    return status == RUDD_CANCELLED ? rudd_fail(err, RUDD_CANCELLED, "stopped by a signal") : RUDD_OK;
}

static enum rudd_status start_side(struct peers_side *s, const struct peers_row *r, struct rudd_error *err)
{
    char size[16], batch[16], classes[16], threads[16];
    snprintf(size, sizeof size, "%d", r->work.size);
    snprintf(batch, sizeof batch, "%d", r->work.batch);
    snprintf(classes, sizeof classes, "%d", r->model->class_count);
    snprintf(threads, sizeof threads, "%d", kern_threads());
    const char *const argv[] = {r->settings->python,
                                "-c",
                                (const char *)bench_peer_py,
                                s->kind,
                                r->folder,
                                r->model->arch,
                                size,
                                batch,
                                classes,
                                threads,
                                NULL};
    struct bench_answer answer;
    struct rudd_error trouble;
    enum rudd_status status = bench_peer_start(&s->process, argv, &trouble);
    if (!status) status = bench_peer_ask(&answer, &s->process, NULL, start_seconds, &trouble);
    if (status) return drop_out(s, status, trouble.message, err);
    s->missing = answer.kind == BENCH_MISSING;
    if (answer.kind == BENCH_MISSING || answer.kind == BENCH_FAILED) return drop_out(s, RUDD_OK, answer.text, err);
    if (answer.kind != BENCH_READY) return drop_out(s, RUDD_OK, "gave a time before it was ready", err);
    memcpy(s->name, answer.name, sizeof s->name);
    memcpy(s->version, answer.version, sizeof s->version);
    return RUDD_OK;
}

/* One inference of one peer; round < 0: warming up. */
static enum rudd_status side_turn(struct peers_side *s, int round, struct rudd_error *err)
{
    struct bench_answer answer;
    struct rudd_error trouble;
    enum rudd_status status = bench_peer_ask(&answer, &s->process, "run", run_seconds, &trouble);
    if (status) return drop_out(s, status, trouble.message, err);
    if (answer.kind != BENCH_TIME)
        return drop_out(s, RUDD_OK, answer.kind == BENCH_FAILED ? answer.text : "answered `run` without a time", err);
    if (answer.difference >= 0) s->difference = answer.difference;
    if (round == 0 && s->difference < 0) return drop_out(s, RUDD_OK, "never said how its logits compare", err);
    if (answer.ms <= 0) return drop_out(s, RUDD_OK, "gave a time of 0 ms", err);
    if (round >= 0) s->times.each[round] = answer.ms;
    return RUDD_OK;
}

static void rudd_turn(struct peers_row *r, int round)
{
    nn_plan_forward(r->plan, r->work.batch);
    double start = bench_now_ms();
    nn_plan_forward(r->plan, r->work.batch);
    if (round >= 0) r->rudd.each[round] = bench_now_ms() - start;
}

static enum rudd_status rest(struct rudd_error *err)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000 * 1000};
    nanosleep(&pause, NULL);
    return stopped ? rudd_fail(err, RUDD_CANCELLED, "stopped by a signal") : RUDD_OK;
}

/* A measurement of each build. Who begins changes with the round: what the first leaves behind is
 * the second's in one round and the first's in the next. */
static enum rudd_status builds_turn(struct peers_row *r, int round, struct rudd_error *err)
{
    struct peers_builds *b = &r->builds;
    const struct bench_build_work work = {r->model->arch, r->work.size, r->work.batch, kern_threads()};
    enum rudd_status status = RUDD_OK;
    for (int i = 0; i < 2 && !status; i++) {
        const bool old = (round + i) & 1;
        const char *program = old ? r->settings->old : "/proc/self/exe";
        struct rudd_error trouble;
        double ms = 0;
        status = bench_build_ask(&ms, program, &work, run_seconds, &trouble);
        if (status == RUDD_CANCELLED) return rudd_fail(err, status, "%s", trouble.message);
        if (status) {
            const char *name = old ? "" : "this build: ";
            snprintf(b->trouble, sizeof b->trouble, "%s%.500s", name, trouble.message);
            return RUDD_OK;
        }
        if (round >= 0) (old ? &b->old : &b->now)->each[round] = ms;
        status = rest(err);
    }
    return status;
}

static bool builds_take_part(const struct peers_row *r)
{
    return r->settings->old && !r->builds.trouble[0];
}

static enum rudd_status take_turns(struct peers_row *r, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    for (int round = -WARM_ROUNDS; round < r->settings->rounds && !status; round++) {
        bench_beside_run(r->loops, r->beside > 0); /* each time: a shell's `fg` wakes them, too */
        rudd_turn(r, round);
        status = rest(err);
        for (int i = 0; i < PEERS_KINDS && !status; i++) {
            if (r->sides[i].trouble[0]) continue;
            status = side_turn(&r->sides[i], round, err);
            if (!status) status = rest(err);
        }
        if (!status && builds_take_part(r)) status = builds_turn(r, round, err);
    }
    return status;
}

static void sum_up(struct peers_times *t, size_t n)
{
    t->median = bench_median(t->each, n);
    t->min = t->each[0];
    t->low = t->each[n / 4];
    t->high = t->each[n - 1 - n / 4];
}

/* Before either is summed up, which sorts it. */
static void compare(struct peers_ratio *ratio, double *scratch, const struct peers_times *ours,
                    const struct peers_times *theirs, size_t n)
{
    for (size_t i = 0; i < n; i++) scratch[i] = ours->each[i] / theirs->each[i];
    ratio->median = bench_median(scratch, n);
    ratio->has_interval = bench_interval(&ratio->low, &ratio->high, scratch, n);
}

/* The row beside so many loops, measured and printed. */
static enum rudd_status measure_beside(struct peers_row *r, int loops, struct rudd_error *err)
{
    const size_t n = (size_t)r->settings->rounds;
    r->beside = loops;
    enum rudd_status status = take_turns(r, err);
    if (status) return status;
    for (int i = 0; i < PEERS_KINDS; i++) {
        struct peers_side *s = &r->sides[i];
        if (s->trouble[0]) continue;
        compare(&s->ratio, r->ratios, &r->rudd, &s->times, n);
        sum_up(&s->times, n);
    }
    sum_up(&r->rudd, n);
    if (builds_take_part(r)) {
        compare(&r->builds.ratio, r->ratios, &r->builds.now, &r->builds.old, n);
        sum_up(&r->builds.now, n);
        sum_up(&r->builds.old, n);
    }
    return peers_print_row(r, err);
}

/* ---- a row ------------------------------------------------------------------------------------------------------- */

static enum rudd_status prepare_times(struct peers_row *r, struct rudd_error *err)
{
    const size_t rounds = (size_t)r->settings->rounds;
    double *next = r->block = rudd_zalloc((PEERS_KINDS + 4) * rounds, sizeof *next);
    if (!next) return rudd_fail(err, RUDD_NO_MEMORY, "no memory for %zu rounds", rounds);
    r->ratios = next;
    r->rudd.each = next += rounds;
    r->builds.old.each = next += rounds;
    r->builds.now.each = next += rounds;
    for (int i = 0; i < PEERS_KINDS; i++) r->sides[i].times.each = next += rounds;
    return RUDD_OK;
}

static enum rudd_status prepare(struct peers_row *r, struct rudd_error *err)
{
    enum rudd_status status = nn_model_create(&r->model, r->work.arch, CLASSES, err);
    if (status) return status;
    if (!r->work.size) r->work.size = r->model->preprocess.image_size;
    status = prepare_times(r, err);
    if (status) return status;
    for (int i = 0; i < PEERS_KINDS; i++) {
        r->sides[i].kind = peers_kinds[i];
        r->sides[i].difference = -1;
        if (!peers_takes_part(r->settings, i)) strcpy(r->sides[i].trouble, "not asked for");
    }
    const struct nn_plan_options options = {.batch = r->work.batch, .image_size = r->work.size};
    status = nn_plan_create(&r->plan, r->model, &options, err);
    if (status) return status;
    bench_fill(nn_plan_input(r->plan), (size_t)r->work.batch * (size_t)r->work.size * (size_t)r->work.size * 3);
    nn_plan_prepare(r->plan);
    const bool alone = r->settings->only > PEERS_KINDS;
    return alone ? RUDD_OK : peers_write_files(r, err);
}

static enum rudd_status measure_row(const struct peers_settings *settings, const struct peers_work *work,
                                    const struct bench_beside *loops, struct rudd_error *err)
{
    struct peers_row *r = rudd_zalloc(1, sizeof *r);
    if (!r) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for a row");
    r->settings = settings;
    r->work = *work;
    r->loops = loops;
    enum rudd_status status = prepare(r, err);
    for (int i = 0; i < PEERS_KINDS && !status; i++)
        if (peers_takes_part(settings, i)) status = start_side(&r->sides[i], r, err);
    peers_remove_files(r); /* everyone has read them */
    if (!status) status = measure_beside(r, 0, err);
    if (!status && work->beside && loops->count) status = measure_beside(r, loops->count, err);
    for (int i = 0; i < PEERS_KINDS; i++) bench_peer_stop(&r->sides[i].process);
    nn_plan_destroy(r->plan);
    nn_model_destroy(r->model);
    rudd_free(r->block);
    rudd_free(r);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static enum rudd_status measure_rows(const struct peers_settings *settings, struct rudd_error *err)
{
    const struct peers_work *rows = usual;
    size_t count = sizeof usual / sizeof *usual;
    struct peers_work one = settings->one;
    if (one.arch || one.size || one.batch) {
        if (!one.arch) one.arch = "efficientnet_b4";
        if (!one.batch) one.batch = 1;
        one.beside = true;
        rows = &one;
        count = 1;
    }
    struct bench_beside loops;
    enum rudd_status status = bench_beside_start(&loops, settings->beside, err);
    if (status) return status;
    bench_beside_run(&loops, false);
    struct sigaction on_stop = {.sa_handler = stop}, old_int, old_term; /* without SA_RESTART: waiting ends at once */
    sigaction(SIGINT, &on_stop, &old_int);
    sigaction(SIGTERM, &on_stop, &old_term);
    if (!settings->json) peers_print_heading(settings);
    for (size_t i = 0; i < count && !status; i++) status = measure_row(settings, &rows[i], &loops, err);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    return bench_beside_stop(&loops, status, err);
}

/* The other build's whole path: its name is not looked up among the system's programs. */
static enum rudd_status find_old(struct peers_settings *s, char **path, struct rudd_error *err)
{
    if (!s->old) return RUDD_OK;
    *path = realpath(s->old, NULL);
    if (!*path || access(*path, X_OK)) return rudd_fail(err, RUDD_IO, "--old: %.300s: %s", s->old, strerror(errno));
    s->old = *path;
    return RUDD_OK;
}

enum rudd_status bench_peers(int argc, char **argv, struct rudd_error *err)
{
    struct peers_settings s = {.python = "python3", .rounds = 11, .beside = 8};
    const struct nn_option rows[] = {
        {"arch", NN_OPTION_STRING, &s.one.arch, "NAME", 0, 0,
         "one row with this architecture; without it, --size and --batch: the usual five rows"},
        {"size", NN_OPTION_INT, &s.one.size, "N", 0, 4096,
         "width and height of the pictures in pixels; 0: what the network was made for"},
        {"batch", NN_OPTION_INT, &s.one.batch, "N", 0, 1024, "pictures at a time; 0: one"},
        NN_OPTION_THREADS(&s.threads, "threads of each"),
        {"rounds", NN_OPTION_INT, &s.rounds, "N", 1, 10000, "measured turns of each"},
        {"only", NN_OPTION_CHOICE, &s.only, "all|onnxruntime|openvino|torch|none", 0, 0, "measure rudd and this peer only"},
        {"old", NN_OPTION_STRING, &s.old, "PROGRAM", 0, 0, "another build of rudd-bench, measured in the same turns"},
        {"beside", NN_OPTION_INT, &s.beside, "N", 0, BENCH_BESIDE_MOST,
         "also measure B4 and V2-B0 at 224, batch 1, beside N busy processes; 0: no"},
        {"python", NN_OPTION_STRING, &s.python, "PROGRAM", 0, 0, "Python in which the peers are installed"},
        {"json", NN_OPTION_FLAG, &s.json, NULL, 0, 0, "print a line of JSON for each row instead of a table"},
    };
    static const struct nn_example examples[] = {
        {"rudd beside ONNX Runtime", "rudd-bench peers --only onnxruntime"},
        {NULL, NULL},
    };
    struct nn_options options = {.usage = "rudd-bench peers [--arch NAME] [--size N] [--batch N] [--only PEER] ...",
                                 .about = "Measures the same work in rudd and in each peer that "
                                          "is installed, in turns. Peers are Python packages: "
                                          "onnxruntime, openvino, and torch with timm and "
                                          "safetensors. `make peers` fetches them "
                                          "(tests/parity/peers.sh install) and runs this; or "
                                          "install them with pip where --python finds them. "
                                          "PyTorch 2 is compiled by torch.compile, PyTorch 1 "
                                          "frozen and optimised by its jit.",
                                 .examples = examples,
                                 .rows = rows,
                                 .count = sizeof rows / sizeof *rows};
    char *old = NULL;
    bool done;
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (!status && !done) {
        kern_set_threads(kern_threads_within(s.threads));
        status = find_old(&s, &old, err);
        if (!status) status = measure_rows(&s, err);
    }
    free(old);
    nn_options_free(&options);
    return status;
}
