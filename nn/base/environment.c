/* environment.c - options from variables: see environment.h. */
#include "nn/base/environment.h"

#include "nn/base/help.h"
#include "nn/base/suggest.h"
#include "nn/config.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

char *nn_environment_name(char out[NN_VARIABLE], const struct nn_options *options,
                          const struct nn_option *row)
{
    char title[NN_TITLE], name[NN_TITLE] = "";
    nn_help_title(title, options->usage);
    out[0] = 0;
    if (strncmp(title, "rudd", 4) != 0 || (title[4] != ' ' && title[4] != '-')) return out;
    if (row) nn_option_name(name, sizeof name, row);
    snprintf(out, NN_VARIABLE, "%s_%s", title, name);
    for (char *c = out; *c; c++)
        *c = *c == ' ' || *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return out;
}

/* Its value; NULL: not set, or empty. */
static const char *value_of(char variable[NN_VARIABLE], const struct nn_options *options,
                            const struct nn_option *row)
{
    if (row->type == NN_OPTION_GROUP || row->type == NN_OPTION_COMMAND) return NULL;
    if (!*nn_environment_name(variable, options, row)) return NULL;
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

enum rudd_status nn_environment_config(struct nn_options *options, struct rudd_error *err)
{
    char variable[NN_VARIABLE];
    for (int i = 0; i < options->count; i++) {
        if (options->rows[i].type != NN_OPTION_CONFIG) continue;
        const char *path = value_of(variable, options, &options->rows[i]);
        if (path) return nn_config_read(options, path, err);
    }
    return RUDD_OK;
}

/* A line for each value; they take the place of those that a file gave. */
static enum rudd_status set_list(struct nn_options *o, const struct nn_option *row,
                                 const char *variable, const char *value, struct rudd_error *err)
{
    char where[NN_VARIABLE + 20], name[NN_TITLE];
    char *text = nn_config_hold(o, value, strlen(value));
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to read it", variable);
    ((struct nn_strings *)row->target)->count = 0;
    snprintf(where, sizeof where, "environment %s: ", variable);
    nn_option_name(name, sizeof name, row);
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        enum rudd_status status = *line ? nn_option_set(o, name, line, where, err) : RUDD_OK;
        if (status != RUDD_OK) return status;
    }
    return RUDD_OK;
}

static enum rudd_status set_row(struct nn_options *o, const struct nn_option *row,
                                struct rudd_error *err)
{
    char variable[NN_VARIABLE], where[NN_VARIABLE + 20], name[NN_TITLE];
    const char *value = row->type == NN_OPTION_CONFIG ? NULL : value_of(variable, o, row);
    if (!value) return RUDD_OK;
    if (row->type == NN_OPTION_STRINGS) return set_list(o, row, variable, value, err);
    snprintf(where, sizeof where, "environment %s: ", variable);
    return nn_option_set(o, nn_option_name(name, sizeof name, row), value, where, err);
}

/* ---- unknown variables ----------------------------------------------------------------------- */

static bool ends_with(const char *name, size_t n, const char *end)
{
    const size_t k = strlen(end);
    return n >= k && memcmp(name + n - k, end, k) == 0;
}

/* Whether Kubernetes (or Docker's links) set this variable for a service; name [n] is what follows
 * the prefix. The forms, where <S>_ may be missing:
 * <S>_SERVICE_HOST, <S>_SERVICE_PORT[_<NAME>], <S>_PORT=tcp://..., <S>_PORT_<N>_TCP[_ADDR ...]. */
static bool of_a_service(const char *name, size_t n, const char *value)
{
    char text[256];
    if (n >= sizeof text) return false;
    memcpy(text, name, n);
    text[n] = 0;
    if (strstr(text, "SERVICE_HOST") || strstr(text, "SERVICE_PORT")) return true;
    if (ends_with(text, n, "PORT") && strstr(value, "://")) return true;
    const char *port = strstr(text, "PORT_");
    return port && isdigit((unsigned char)port[5]) &&
           (strstr(port, "_TCP") || strstr(port, "_UDP") || strstr(port, "_SCTP"));
}

static bool has_variable(const struct nn_options *o, const char *name, size_t n)
{
    char variable[NN_VARIABLE];
    for (int i = 0; i < o->count; i++) {
        if (o->rows[i].type == NN_OPTION_GROUP) continue;
        nn_environment_name(variable, o, &o->rows[i]);
        if (strlen(variable) == n && memcmp(variable, name, n) == 0) return true;
    }
    return false;
}

/* "RUDD_TRAIN_EPOCS=3": the message names the variable that was meant. */
static enum rudd_status refuse(const struct nn_options *o, const char *entry, size_t n,
                               size_t prefix, struct rudd_error *err)
{
    char wrong[NN_TITLE], variable[NN_VARIABLE], title[NN_TITLE];
    snprintf(wrong, sizeof wrong, "%.*s", (int)(n - prefix), entry + prefix);
    struct nn_suggestion found;
    const struct nn_option *row = nn_suggest_option(&found, o, wrong);
    if (row)
        return rudd_fail(err, RUDD_ARGUMENT, "environment: unknown option %.*s; did you mean %s",
                         (int)n, entry, nn_environment_name(variable, o, row));
    return rudd_fail(err, RUDD_ARGUMENT, "environment: unknown option %.*s; %s%s%s", (int)n, entry,
                     found.advice ? found.advice : "unset it, or see ",
                     found.advice ? "" : nn_help_title(title, o->usage),
                     found.advice ? "" : " --help");
}

enum rudd_status nn_environment_apply(struct nn_options *options, struct rudd_error *err)
{
    char prefix[NN_VARIABLE];
    nn_environment_name(prefix, options, NULL);
    const size_t length = strlen(prefix);
    if (!length) return RUDD_OK;
    for (int i = 0; i < options->count; i++) {
        enum rudd_status status = set_row(options, &options->rows[i], err);
        if (status != RUDD_OK) return status;
    }
    for (char **entry = environ; entry && *entry; entry++) {
        if (strncmp(*entry, prefix, length) != 0) continue;
        const size_t n = strcspn(*entry, "=");
        const char *value = (*entry)[n] ? *entry + n + 1 : "";
        if (!has_variable(options, *entry, n) && !of_a_service(*entry + length, n - length, value))
            return refuse(options, *entry, n, length, err);
    }
    return RUDD_OK;
}
