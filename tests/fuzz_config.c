/* fuzz_config.c - arbitrary bytes as a config file over a table with every type of option. */
#include "nn/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool flip;
    static int epochs, order;
    static double lr, split[3];
    static size_t limit;
    const char *text = NULL, *out = NULL;
    static const char *const unrepeated[] = {"out", NULL};
    const struct nn_option rows[] = {
        {"flip", NN_OPTION_FLAG, &flip, NULL, 0, 0, ""},
        {"epochs", NN_OPTION_INT, &epochs, "N", 1, 100, ""},
        {"lr", NN_OPTION_DOUBLE, &lr, "X", 0, 10, ""},
        {"memory-limit", NN_OPTION_BYTES, &limit, "BYTES", 0, 0, ""},
        {"data", NN_OPTION_REQUIRED, &text, "DIR", 0, 0, ""},
        {"out|o", NN_OPTION_STRING, &out, "FILE", 0, 0, ""},
        {"order", NN_OPTION_CHOICE, &order, "up|down|random", 0, 0, ""},
        {"split", NN_OPTION_DOUBLES, split, "A,B,C", 0, 1, ""},
        {"config", NN_OPTION_CONFIG, NULL, "FILE", 0, 0, ""},
    };
    struct nn_options options = {.rows = rows, .count = sizeof rows / sizeof *rows, .unrepeated = unrepeated};
    struct rudd_error err;
    enum rudd_status status = nn_config_parse(&options, (const char *)data, size, "fuzz", &err);
    volatile size_t length = 0; /* what was set must lie in memory that is still there */
    if (status == RUDD_OK) length = (text ? __builtin_strlen(text) : 0) + (out ? __builtin_strlen(out) : 0);
    (void)length;
    nn_options_free(&options);
    return 0;
}
