/* main.c - the program `rudd-bench`: finds the command, prints its mistake, chooses the exit status (0 done, 1 failed, 2
 * usage). */
#include "bench/bench.h"
#include "nn/options.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    bench_command *run;
    const char *help;
} commands[] = {
    {"kernels", bench_kernels, "each kernel on the layers of B4 and V2-B0: GFLOP/s, GB/s, share of the peak"},
    {"infer", bench_infer, "one forward pass: milliseconds, images a second, memory"},
    {"metrics", bench_metrics, "the figures of an evaluation with many classes: seconds, memory"},
    {"peers", bench_peers, "the same work in ONNX Runtime, OpenVINO, PyTorch, another build of rudd, in turns"},
    {"serve", bench_serve, "rudd-serve under load: requests a second, percentiles, memory; its counters checked"},
    {"train", bench_train, "one training step: forward, backward, update"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(void)
{
    printf("usage: rudd-bench COMMAND [OPTION ...]\n\nMeasures this machine.\n\n");
    for (int i = 0; i < COMMANDS; i++) printf("  %-10s %s\n", commands[i].name, commands[i].help);
    printf("\n  rudd-bench COMMAND --help    the options of a command\n  rudd-bench --version         %s\n", RUDD_VERSION);
}

static enum rudd_status dispatch(int argc, char **argv, struct rudd_error *err)
{
    const char *names[COMMANDS], *name = argc > 1 ? argv[1] : "";
    for (int i = 0; i < COMMANDS; i++) {
        if (!strcmp(commands[i].name, name)) return commands[i].run(argc - 1, argv + 1, err);
        names[i] = commands[i].name;
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        print_help();
        return RUDD_OK;
    }
    if (!strcmp(name, "--version")) {
        printf("rudd-bench %s\n", RUDD_VERSION);
        return RUDD_OK;
    }
    if (argc < 2) return rudd_fail(err, RUDD_ARGUMENT, "no command given; rudd-bench --help lists them");
    const char *near = nn_option_nearest(name, names, COMMANDS);
    return rudd_fail(err, RUDD_ARGUMENT, "unknown command \"%.80s\"; %s%s", name, near ? "did you mean " : "see rudd-bench ",
                     near ? near : "--help");
}

int main(int argc, char **argv)
{
    struct rudd_error err = {RUDD_OK, ""};
    enum rudd_status status = dispatch(argc, argv, &err);
    if (fflush(stdout) && !status) status = rudd_fail(&err, RUDD_IO, "standard output cannot be written");
    if (!status) return 0;
    fprintf(stderr, "rudd: %s\n", err.message);
    return status == RUDD_ARGUMENT ? 2 : 1;
}
