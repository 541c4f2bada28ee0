/* run_json.c - options, machine and versions as JSON: see run_json.h. */
#include "train/run_json.h"

#include "kernels/kern.h"
#include "nn/base/build.h"
#include "nn/sha256.h"
#include "nn/text.h"
#include "train/settings.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { NAME = 64, TEXT = 8192 };

static json_t *list_json(const char *text)
{
    json_t *list = json_array();
    for (char *end; list && *text; text = *end ? end + 1 : end)
        if (json_array_append_new(list, json_real(strtod(text, &end))) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *option_json(const struct nn_option *row)
{
    char text[TEXT];
    nn_option_print(text, sizeof text, row);
    switch (row->type) {
    case NN_OPTION_FLAG: return json_boolean(*(bool *)row->target);
    case NN_OPTION_INT: return json_integer(*(int *)row->target);
    case NN_OPTION_DOUBLE: return json_real(*(double *)row->target);
    case NN_OPTION_BYTES:
        return *(size_t *)row->target == NN_BYTES_AUTO ? json_string(text) : json_integer((json_int_t) * (size_t *)row->target);
    case NN_OPTION_DOUBLES: return list_json(text);
    default: return nn_text_json(text[0] ? text : NULL);
    }
}

json_t *train_options_json(const struct nn_option *rows, int count)
{
    char name[NAME];
    json_t *object = json_object();
    for (int i = 0; object && i < count; i++) {
        if (!nn_option_holds_value(&rows[i])) continue; /* a config file's lines are among the others by now */
        if (json_object_set_new(object, nn_option_name(name, sizeof name, &rows[i]), option_json(&rows[i])) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

json_t *train_machine_json(void)
{
    char cpu[256], text[256];
    struct utsname u;
    nn_build_processor(cpu, sizeof cpu);
    if (uname(&u) != 0) memset(&u, 0, sizeof u);
    snprintf(text, sizeof text, "%.60s %.60s %.60s", u.sysname, u.release, u.machine);
    return json_pack("{s:s,s:i,s:s,s:i,s:s}", "cpu", cpu, "cores", (int)sysconf(_SC_NPROCESSORS_ONLN), "isa", kern_isa(),
                     "threads", kern_threads(), "system", text);
}

json_t *train_versions_json(void)
{
    return json_pack("{s:s,s:s,s:s}", "rudd", RUDD_VERSION, "commit", nn_build_commit(), "compiler", __VERSION__);
}

void train_run_id(char id[TRAIN_RUN_ID], const struct nn_option *rows, int count, const char *dataset, const char *weights)
{
    char name[NAME], text[TEXT], hex[NN_SHA256_HEX];
    struct nn_sha256 hash;
    nn_sha256_init(&hash);
    for (int i = 0; i < count; i++) {
        nn_option_name(name, sizeof name, &rows[i]);
        if (!nn_option_holds_value(&rows[i]) || train_settings_incidental(name)) continue;
        nn_option_print(text, sizeof text, &rows[i]);
        nn_sha256_update(&hash, name, strlen(name) + 1);
        nn_sha256_update(&hash, text, strlen(text) + 1);
    }
    nn_sha256_update(&hash, dataset, strlen(dataset) + 1);
    nn_sha256_update(&hash, weights, strlen(weights) + 1);
    nn_sha256_hex(hex, &hash);
    snprintf(id, TRAIN_RUN_ID, "%.12s", hex);
}
