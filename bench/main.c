/* main.c - the program `rudd-bench`: its commands; prints the mistake, chooses the exit status.
 *
 *     0 done   1 failed   2 wrong usage */
#include "bench/bench.h"
#include "data/libraries.h"
#include "serve/libraries.h"
#include "train/command.h"
#include "weights/hub/libraries.h"
#include <stdio.h>

static const struct train_subcommand rows[] = {
    {NULL, NULL, "rudd alone"},
    {"infer", bench_infer, "one forward pass: milliseconds, pictures a second, memory"},
    {"train", bench_train, "one training step: forward, backward, update"},
    {"kernels", bench_kernels, "each kernel on the layers of B4 and V2-B0: GFLOP/s, GB/s, share of the peak"},
    {"metrics", bench_metrics, "the figures of an evaluation with many classes: seconds, memory"},
    {NULL, NULL, "With others"},
    {"serve", bench_serve, "rudd-serve under load: requests a second, percentiles, memory"},
    {"peers", bench_peers,
     "the same work in ONNX Runtime, OpenVINO, PyTorch and other builds of "
     "rudd, in turns"},
    {NULL, NULL, NULL},
};

static const struct nn_example examples[] = {
    {"one picture through a network of random weights", "rudd-bench infer --arch "
                                                        "tf_efficientnetv2_b0 --size 224"},
    {"a model of your own on two threads", "rudd-bench infer --model runs/1/model.safetensors "
                                           "--threads 2"},
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    static const struct nn_build_library *const libraries[] = {data_libraries, weights_hub_libraries, serve_libraries, NULL};
    static const struct train_commands commands = {.usage = "rudd-bench COMMAND [OPTION ...]",
                                                   .about = "Measures rudd on this machine.",
                                                   .more = "rudd-bench help COMMAND explains a "
                                                           "command and its options.",
                                                   .examples = examples,
                                                   .rows = rows,
                                                   .libraries = libraries};
    struct rudd_error err = {RUDD_OK, ""};
    enum rudd_status status = train_command_program(&commands, argc, argv, &err);
    if (fflush(stdout) && !status) status = rudd_fail(&err, RUDD_IO, "standard output cannot be written");
    if (!status) return 0;
    fprintf(stderr, "rudd: %s\n", err.message);
    return status == RUDD_ARGUMENT ? 2 : 1;
}
