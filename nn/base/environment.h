/* environment.h - options from variables: RUDD_TRAIN_EPOCHS=9 is `rudd train --epochs 9`.
 *
 *     variable = RUDD_ + command + _ + option, in capitals, '_' for ' ' and '-'
 *
 * `rudd data check` has RUDD_DATA_CHECK_JSON, rudd-serve RUDD_SERVE_CACHE, rudd-bench infer
 * RUDD_BENCH_INFER_SIZE. Flags take true, false, yes, no, 1 or 0. An option that may be given
 * several times takes its values with newlines between. An empty variable counts as not set, since
 * files of Compose and Kubernetes hold such.
 *
 * A variable with the command's prefix that names no option is refused: a typo would be ignored
 * silently. Kubernetes gives every container variables of each service, and a service may be named
 * rudd-serve: RUDD_SERVE_SERVICE_HOST, RUDD_SERVE_PORT, RUDD_SERVE_PORT_8080_TCP ... These are left
 * alone.
 *
 * RUDD_ISA, RUDD_TRACE and RUDD_REDIS_PASSWORD have no command in them: they are no options. */
#ifndef NN_BASE_ENVIRONMENT_H
#define NN_BASE_ENVIRONMENT_H

#include "nn/options.h"

enum { NN_VARIABLE = 128 };

/* The variable of an option; the prefix alone when row is NULL. "": the table's usage does not
 * begin with rudd, so it has none. Returns out. */
char *nn_environment_name(char out[NN_VARIABLE], const struct nn_options *options,
                          const struct nn_option *row);
/* Reads the file that the variable of --config names, if it is set. */
enum rudd_status nn_environment_config(struct nn_options *options, struct rudd_error *err);
/* Sets every option whose variable is set. String targets point into the environment or what
 * options->configs holds. RUDD_ARGUMENT: a value that does not fit, or an unknown option. */
enum rudd_status nn_environment_apply(struct nn_options *options, struct rudd_error *err);

#endif
