/* options.c - command lines from one table per command.
 *
 *     argv --> is help there? then stop (base/help.c)
 *          --> config files (config.c)                      nn_option_set per line
 *              environment (base/environment.c)             nn_option_set per variable
 *          --> flags                                        nn_option_set per flag; the rest are arguments
 *
 * nn_option_set is the only place that turns text into a value; all three go through it.
 *
 * Not here: abbreviations of long names, several letters behind one dash. */
#include "nn/options.h"

#include "nn/base/environment.h"
#include "nn/base/help.h"
#include "nn/base/suggest.h"
#include "nn/config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 48 };

char *nn_option_name(char *out, size_t size, const struct nn_option *row)
{
    snprintf(out, size, "%.*s", (int)strcspn(row->name, "|"), row->name);
    return out;
}

bool nn_option_holds_value(const struct nn_option *row)
{
    return row->type != NN_OPTION_CONFIG && row->type != NN_OPTION_GROUP && row->type != NN_OPTION_COMMAND;
}

static const struct nn_option *find(const struct nn_options *o, const char *name, size_t length)
{
    for (int i = 0; length && i < o->count; i++) /* headings have no name */
        if (strcspn(o->rows[i].name, "|") == length && memcmp(o->rows[i].name, name, length) == 0) return &o->rows[i];
    return NULL;
}

const struct nn_option *nn_option_find(const struct nn_options *options, const char *name)
{
    return find(options, name, strlen(name));
}

static const struct nn_option *find_letter(const struct nn_options *o, char letter)
{
    for (int i = 0; i < o->count; i++)
        if (nn_help_letter(&o->rows[i]) == letter) return &o->rows[i];
    return NULL;
}

static enum rudd_status unknown(const struct nn_options *o, const char *name, const char *where, const char *dashes,
                                struct rudd_error *err)
{
    char meant[NAME_MAX_LENGTH];
    struct nn_suggestion found;
    const struct nn_option *row = nn_suggest_option(&found, o, name);
    if (row)
        return rudd_fail(err, RUDD_ARGUMENT, "%sunknown option %s%s; did you mean %s%s", where, dashes, name,
                         *dashes ? "--" : "", nn_option_name(meant, sizeof meant, row));
    return rudd_fail(err, RUDD_ARGUMENT, "%sunknown option %s%s; %s", where, dashes, name,
                     found.advice ? found.advice : "see --help");
}

/* ---- text to values ---------------------------------------------------------------------------------------------- */

/* One number up to `stop` or the end; false when there is something else, or it is outside the range. */
static bool number(double *value, const char *text, const char **end, double min, double max)
{
    char *after;
    if (!*text || isspace((unsigned char)*text)) return false;
    double x = strtod(text, &after);
    if (after == text || !isfinite(x) || x < min || x > max) return false;
    *value = x;
    *end = after;
    return true;
}

static bool whole(int *value, const char *text, double min, double max)
{
    char *end;
    if (!*text || isspace((unsigned char)*text)) return false;
    errno = 0;
    long x = strtol(text, &end, 10);
    if (errno || *end || end == text || x < INT_MIN || x > INT_MAX || (double)x < min || (double)x > max) return false;
    *value = (int)x;
    return true;
}

/* Index of text among the words of "a|b|c"; -1: none. */
static int choice(const char *words, const char *text)
{
    size_t length = strlen(text);
    for (int i = 0;; i++) {
        size_t n = strcspn(words, "|");
        if (n == length && memcmp(words, text, n) == 0) return i;
        if (!words[n]) return -1;
        words += n + 1;
    }
}

static bool takes_auto(const struct nn_option *row)
{
    return choice(row->value, "auto") >= 0;
}

static bool byte_count(size_t *value, const struct nn_option *row, const char *text)
{
    static const char suffixes[] = "KMG";
    char *end;
    if (takes_auto(row) && strcmp(text, "auto") == 0) {
        *value = NN_BYTES_AUTO;
        return true;
    }
    if (!isdigit((unsigned char)*text)) return false;
    errno = 0;
    unsigned long long x = strtoull(text, &end, 10);
    const char *s = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
    int shift = s ? 10 * (int)(s - suffixes + 1) : 0;
    if (errno || end[s ? 1 : 0] || x > (SIZE_MAX >> shift)) return false;
    *value = (size_t)x << shift;
    return true;
}

static int list_length(const struct nn_option *row)
{
    int n = 1;
    for (const char *p = row->value; *p; p++) n += *p == ',';
    return n;
}

static bool doubles(double *values, const struct nn_option *row, const char *text)
{
    int n = list_length(row);
    for (int i = 0; i < n; i++) {
        if (!number(&values[i], text, &text, row->min, row->max)) return false;
        if (*text++ != (i + 1 < n ? ',' : 0)) return false;
    }
    return true;
}

/* "true", "yes", "1" and their opposites; the command line's own --name and --no-name arrive as these too. */
static bool truth(bool *value, const char *text)
{
    int i = choice("false|true|no|yes|0|1", text);
    if (i >= 0) *value = i & 1;
    return i >= 0;
}

static void expected(char *out, size_t size, const struct nn_option *row)
{
    switch (row->type) {
    case NN_OPTION_FLAG: snprintf(out, size, "true or false"); break;
    case NN_OPTION_INT: snprintf(out, size, "a whole number from %.0f to %.0f", row->min, row->max); break;
    case NN_OPTION_DOUBLE: snprintf(out, size, "a number from %g to %g", row->min, row->max); break;
    case NN_OPTION_BYTES: snprintf(out, size, "a number of bytes, such as 300M%s", takes_auto(row) ? ", or auto" : ""); break;
    case NN_OPTION_CHOICE: snprintf(out, size, "one of %s", row->value); break;
    case NN_OPTION_DOUBLES:
        snprintf(out, size, "%d numbers from %g to %g with commas between, %s", list_length(row), row->min, row->max,
                 row->value);
        break;
    default: snprintf(out, size, "%s", row->value ? row->value : "text"); break;
    }
}

static bool set_value(const struct nn_option *row, const char *text)
{
    const char *end;
    switch (row->type) {
    case NN_OPTION_FLAG: return truth(row->target, text);
    case NN_OPTION_INT: return whole(row->target, text, row->min, row->max);
    case NN_OPTION_BYTES: return byte_count(row->target, row, text);
    case NN_OPTION_DOUBLES: {
        double values[16];
        if (list_length(row) > 16 || !doubles(values, row, text)) return false;
        memcpy(row->target, values, sizeof *values * (size_t)list_length(row));
        return true;
    }
    case NN_OPTION_DOUBLE: {
        double x;
        if (!number(&x, text, &end, row->min, row->max) || *end) return false;
        *(double *)row->target = x;
        return true;
    }
    case NN_OPTION_CHOICE: {
        int i = choice(row->value, text);
        if (i >= 0) *(int *)row->target = i;
        return i >= 0;
    }
    case NN_OPTION_STRING:
    case NN_OPTION_REQUIRED: *(const char **)row->target = text; return *text != 0;
    case NN_OPTION_STRINGS: {
        struct nn_strings *s = row->target;
        if (!*text || s->count == NN_STRINGS) return false;
        s->items[s->count++] = text;
        return true;
    }
    case NN_OPTION_CONFIG: return true; /* read in the first pass */
    case NN_OPTION_GROUP:
    case NN_OPTION_COMMAND: break;
    }
    return false;
}

static enum rudd_status set_row(const struct nn_option *row, const char *text, const char *where, const char *dashes,
                                struct rudd_error *err)
{
    char name[NAME_MAX_LENGTH], want[256];
    if (set_value(row, text)) return RUDD_OK;
    expected(want, sizeof want, row);
    return rudd_fail(err, RUDD_ARGUMENT, "%s%s%s: found \"%.80s\", expected %s", where, dashes,
                     nn_option_name(name, sizeof name, row), text, want);
}

enum rudd_status nn_option_set(const struct nn_options *options, const char *name, const char *text, const char *where,
                               struct rudd_error *err)
{
    const struct nn_option *row = nn_option_find(options, name);
    if (!row || !nn_option_holds_value(row)) return unknown(options, name, where, "", err);
    return set_row(row, text, where, "", err);
}

/* ---- command lines ----------------------------------------------------------------------------------------------- */

/* What argv[i] is: the row it names (NULL: not an option, or unknown), whether --no-, and the text behind '='. */
struct flag {
    const struct nn_option *row;
    bool negated;
    char *text;
};

static struct flag recognise(const struct nn_options *o, char *word)
{
    struct flag f = {0};
    if (word[1] != '-') {
        f.row = word[2] ? NULL : find_letter(o, word[1]);
        return f;
    }
    char *name = word + 2;
    size_t length = strcspn(name, "=");
    f.text = name[length] ? name + length + 1 : NULL;
    f.row = find(o, name, length);
    if (!f.row && strncmp(name, "no-", 3) == 0) {
        f.row = find(o, name + 3, length - 3);
        if (f.row && f.row->type != NN_OPTION_FLAG) f.row = NULL;
        f.negated = f.row != NULL;
    }
    return f;
}

enum pass { READ_CONFIGS, CLEAR_LISTS, SET_FLAGS };

static enum rudd_status walk(struct nn_options *o, int argc, char **argv, enum pass pass, struct rudd_error *err)
{
    char name[NAME_MAX_LENGTH];
    int kept = 1;
    bool ended = false;
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        if (ended || word[0] != '-' || !word[1]) { /* a lone "-" is an argument, as everywhere */
            if (pass == SET_FLAGS) argv[kept++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            ended = true;
            continue;
        }
        struct flag f = recognise(o, word);
        if (!f.row) {
            size_t dashes = strspn(word, "-"), length = strcspn(word + dashes, "=");
            if (length >= NAME_MAX_LENGTH) length = NAME_MAX_LENGTH - 1;
            memcpy(name, word + dashes, length);
            name[length] = 0;
            struct nn_suggestion found;
            if (dashes == 2 && (!nn_suggest_option(&found, o, name) || found.spelled) && !found.advice) o->unknown = word;
            return unknown(o, name, "", dashes == 1 ? "-" : "--", err);
        }
        if (!f.text && f.row->type == NN_OPTION_FLAG) {
            f.text = f.negated ? "false" : "true";
        } else if (f.negated) {
            return rudd_fail(err, RUDD_ARGUMENT, "%.80s: found a value, expected none", word);
        } else if (!f.text) {
            if (i + 1 == argc)
                return rudd_fail(err, RUDD_ARGUMENT, "--%s: found nothing behind it, expected %s",
                                 nn_option_name(name, sizeof name, f.row), f.row->value);
            f.text = argv[++i];
        }
        enum rudd_status status = RUDD_OK;
        if (pass == READ_CONFIGS && f.row->type == NN_OPTION_CONFIG) status = nn_config_read(o, f.text, err);
        if (pass == CLEAR_LISTS && f.row->type == NN_OPTION_STRINGS) ((struct nn_strings *)f.row->target)->count = 0;
        if (pass == SET_FLAGS) status = set_row(f.row, f.text, "", "--", err);
        if (status != RUDD_OK) return status;
    }
    if (pass == SET_FLAGS) {
        o->arguments = argv + 1;
        o->argument_count = kept - 1;
    }
    return RUDD_OK;
}

/* ---- values to text ---------------------------------------------------------------------------------------------- */

char *nn_option_print(char *out, size_t size, const struct nn_option *row)
{
    out[0] = 0;
    switch (row->type) {
    case NN_OPTION_FLAG: snprintf(out, size, "%s", *(bool *)row->target ? "true" : "false"); break;
    case NN_OPTION_INT: snprintf(out, size, "%d", *(int *)row->target); break;
    case NN_OPTION_DOUBLE: snprintf(out, size, "%.9g", *(double *)row->target); break;
    case NN_OPTION_BYTES:
        if (takes_auto(row) && *(size_t *)row->target == NN_BYTES_AUTO)
            snprintf(out, size, "auto");
        else if (*(size_t *)row->target != SIZE_MAX) /* which is no bound at all */
            snprintf(out, size, "%zu", *(size_t *)row->target);
        break;
    case NN_OPTION_STRING:
    case NN_OPTION_REQUIRED:
        if (*(const char **)row->target) snprintf(out, size, "%s", *(const char **)row->target);
        break;
    case NN_OPTION_STRINGS: {
        const struct nn_strings *s = row->target;
        size_t used = 0;
        for (int i = 0; i < s->count && used < size; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%s", i ? " " : "", s->items[i]);
        break;
    }
    case NN_OPTION_CHOICE: {
        const char *word = row->value;
        for (int i = *(int *)row->target; i > 0; i--) word += strcspn(word, "|") + 1;
        snprintf(out, size, "%.*s", (int)strcspn(word, "|"), word);
        break;
    }
    case NN_OPTION_DOUBLES: {
        size_t used = 0;
        for (int i = 0; i < list_length(row) && used < size; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%.9g", i ? "," : "", ((double *)row->target)[i]);
        break;
    }
    case NN_OPTION_CONFIG:
    case NN_OPTION_GROUP:
    case NN_OPTION_COMMAND: break;
    }
    return out;
}

/* ---- command lines ------------------------------------------------------------------------------------------------ */

enum rudd_status nn_options_parse(struct nn_options *options, int argc, char **argv, struct rudd_error *err)
{
    options->help = NULL;
    options->arguments = NULL;
    options->argument_count = 0;
    options->configs = NULL;
    options->unknown = NULL;
    enum nn_help help;
    enum rudd_status status = nn_help_asked(&help, argc, argv, err);
    if (status == RUDD_OK && help == NN_HELP_OWNER) return nn_help_owner(options, argv[1], err);
    if (status == RUDD_OK && help) {
        options->help = nn_help_print(options, help);
        return options->help ? RUDD_OK
                             : rudd_fail(err, RUDD_NO_MEMORY,
                                         "no memory for the help "
                                         "page");
    }
    if (status == RUDD_OK) status = nn_environment_config(options, err);
    if (status == RUDD_OK) status = walk(options, argc, argv, READ_CONFIGS, err);
    if (status == RUDD_OK) status = nn_environment_apply(options, err);
    if (status == RUDD_OK) status = walk(options, argc, argv, CLEAR_LISTS, err);
    if (status == RUDD_OK) status = walk(options, argc, argv, SET_FLAGS, err);
    if (status != RUDD_OK) return status;
    if (options->max_arguments >= 0 && options->argument_count > options->max_arguments)
        return rudd_fail(err, RUDD_ARGUMENT, "found \"%.80s\", expected an option; usage: %s",
                         options->arguments[options->max_arguments], options->usage);
    for (int i = 0; i < options->count; i++) {
        const struct nn_option *row = &options->rows[i];
        char name[NAME_MAX_LENGTH];
        if (row->type == NN_OPTION_REQUIRED && !*(const char **)row->target)
            return rudd_fail(err, RUDD_ARGUMENT, "--%s %s is missing: %s", nn_option_name(name, sizeof name, row), row->value,
                             row->help);
    }
    return RUDD_OK;
}

void nn_options_free(struct nn_options *options)
{
    nn_config_free(options->configs);
    options->configs = NULL;
    rudd_free(options->help);
    options->help = NULL;
}
