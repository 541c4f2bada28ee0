/* run_json.h - what run.json says: the options as values of their own types, the machine, the versions. Back to
 * options: nn/config.h. */
#ifndef TRAIN_RUN_JSON_H
#define TRAIN_RUN_JSON_H

#include <jansson.h>
#include "nn/options.h"

/* {"epochs":8,"data":"photos","flip":0.5,"split":[0.7,0.15,0.15],...}: each option under its long name. A new reference; NULL
 * when out of memory. */
json_t *train_options_json(const struct nn_option *rows, int count);
/* {"cpu","cores","isa","threads","system"} and {"rudd","compiler"}. New references; NULL when out of memory. */
json_t *train_machine_json(void);
json_t *train_versions_json(void);

/* A name for the run that these options, data set and weights determine: 12 hex digits. Equal runs have equal ids. Incidental
 * options (settings.h) do not count. */
enum { TRAIN_RUN_ID = 13 };
void train_run_id(char id[TRAIN_RUN_ID], const struct nn_option *rows, int count, const char *dataset, const char *weights);

#endif
