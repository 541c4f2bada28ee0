/* config.c - config files to options: see config.h.
 *
 *     text --copy--> { --> jansson --------> name, value        lines --cut in place--> name, value
 *                                      \________ one nn_option_set for both ________/
 *
 * What string options point into (the cut copy, or the JSON) hangs on the options until nn_options_free. */
#include "nn/config.h"

#include "nn/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_MAX_BYTES = 1 << 20, NAME = 64, WHERE = 512 };

/* One file's text, or JSON. */
struct nn_config {
    struct nn_config *next;
    json_t *json;
    char text[];
};

void nn_config_free(struct nn_config *configs)
{
    while (configs) {
        struct nn_config *next = configs->next;
        json_decref(configs->json);
        rudd_free(configs);
        configs = next;
    }
}

char *nn_config_hold(struct nn_options *options, const char *text, size_t length)
{
    struct nn_config *config = rudd_alloc(sizeof *config + length + 1);
    if (!config) return NULL;
    config->json = NULL;
    memcpy(config->text, text, length);
    config->text[length] = 0;
    config->next = options->configs;
    options->configs = config;
    return config->text;
}

/* A list as the command line spells it, "0.7,0.15,0.15", in place. */
static char *bare_list(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++)
        if (!isspace((unsigned char)*from)) *to++ = *from;
    *to = 0;
    size_t n = (size_t)(to - text);
    if (n < 2 || text[0] != '[' || text[n - 1] != ']') return text;
    text[n - 1] = 0;
    return text + 1;
}

static const char *with_dashes(char out[NAME], const char *name)
{
    snprintf(out, NAME, "%s", name);
    for (char *c = out; *c; c++)
        if (*c == '_') *c = '-';
    return out;
}

/* The option of that name in a config file, `_` standing for `-`; NULL with a message when there is none. */
static const struct nn_option *find(const struct nn_options *o, const char *name, const char *where, struct rudd_error *err)
{
    char dashed[NAME];
    const struct nn_option *row = nn_option_find(o, with_dashes(dashed, name));
    if (!row) nn_option_set(o, name, "", where, err); /* says so, and what is near */
    return row;
}

/* text may be changed, and is pointed into. */
static enum rudd_status set(const struct nn_options *o, const struct nn_option *row, char *text, const char *where,
                            struct rudd_error *err)
{
    char name[NAME];
    if (row->type == NN_OPTION_DOUBLES) text = bare_list(text);
    return nn_option_set(o, nn_option_name(name, sizeof name, row), text, where, err);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static enum rudd_status set_json(const struct nn_options *o, const char *name, const json_t *value, const char *where,
                                 struct rudd_error *err)
{
    char own[NAME];
    const struct nn_option *row = find(o, name, where, err);
    if (!row) return RUDD_ARGUMENT;
    if (json_is_null(value)) return RUDD_OK;
    nn_option_name(own, sizeof own, row);
    if (json_is_string(value)) /* a record's own text of a path: the bytes come back in place */
        return nn_option_set(o, own, nn_text_back((char *)json_string_value(value)), where, err);
    /* Numbers and truth values read the same in JSON and on the command line. */
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!text) return rudd_fail(err, RUDD_NO_MEMORY, "%sno memory for option %s", where, name);
    enum rudd_status status;
    if (row->type == NN_OPTION_STRING || row->type == NN_OPTION_REQUIRED || row->type == NN_OPTION_STRINGS)
        status = rudd_fail(err, RUDD_ARGUMENT, "%s%s: found %.80s, expected text in quotes", where, own, text);
    else
        status = set(o, row, text, where, err);
    free(text); /* jansson's; targets other than strings keep no pointer */
    return status;
}

enum rudd_status nn_config_apply_json(const struct nn_options *options, const json_t *object, const char *where,
                                      struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        status = set_json(options, name, value, where, err);
        if (status != RUDD_OK) break;
    }
    return status;
}

/* jansson tells no lines of values: the line of the first "name" behind the text's offset `from`. */
static int line_of(const char *text, size_t from, const char *name)
{
    char quoted[NAME + 2];
    int line = 1;
    snprintf(quoted, sizeof quoted, "\"%.60s\"", name);
    const char *at = strstr(text + from, quoted);
    for (const char *p = text; p < (at ? at : text + from); p++) line += *p == '\n';
    return line;
}

static bool listed(const char *const *names, const char *name)
{
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

static enum rudd_status apply_json_text(struct nn_config *config, const struct nn_options *o, size_t length, const char *file,
                                        struct rudd_error *err)
{
    json_error_t at;
    config->json = json_loadb(config->text, length, JSON_REJECT_DUPLICATES, &at);
    if (!config->json) return rudd_fail(err, RUDD_FORMAT, "%s:%d: not valid JSON: %.150s", file, at.line, at.text);
    const json_t *record = json_object_get(config->json, "options");
    const char *options = json_is_object(record) ? strstr(config->text, "\"options\"") : NULL;
    enum rudd_status status = RUDD_OK;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(options ? record : config->json), name, value)
    {
        char where[WHERE];
        if (options && listed(o->unrepeated, name)) continue;
        snprintf(where, sizeof where, "%.400s:%d: ", file,
                 line_of(config->text, options ? (size_t)(options - config->text) : 0, name));
        status = set_json(o, name, value, where, err);
        if (status != RUDD_OK) break;
    }
    if (status == RUDD_OK && options && o->repeated) o->repeated(o->user);
    return status;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static char *trim(char *s)
{
    while (isspace((unsigned char)*s)) s++;
    size_t n = strlen(s);
    while (n && isspace((unsigned char)s[n - 1])) n--;
    s[n] = 0;
    return s;
}

static char *cut_comment(char *s)
{
    for (char *hash = strchr(s, '#'); hash; hash = strchr(hash + 1, '#'))
        if (hash == s || isspace((unsigned char)hash[-1])) {
            *hash = 0;
            break;
        }
    return trim(s);
}

/* "..." or '...' and nothing but a comment behind it, in place; NULL when it is not that. */
static char *unquote(char *s)
{
    const char quote = *s;
    char *to = s, *from = s + 1;
    for (; *from && *from != quote; from++) {
        if (quote == '"' && *from == '\\') {
            const char *escape = "\"\\nt", *found = from[1] ? strchr(escape, *++from) : NULL;
            if (!found) return NULL;
            *to++ = "\"\\\n\t"[found - escape];
        } else {
            *to++ = *from;
        }
    }
    if (*from != quote) return NULL;
    const char *rest = trim(from + 1);
    if (*rest && *rest != '#') return NULL;
    *to = 0;
    return s;
}

/* lines[row]: where a row was set before, 0 for not yet. */
static enum rudd_status apply_line(const struct nn_options *o, char *p, int *lines, int line, const char *file,
                                   struct rudd_error *err)
{
    char where[WHERE];
    p = trim(p);
    if (!*p || *p == '#' || *p == ';') return RUDD_OK;
    snprintf(where, sizeof where, "%.400s:%d: ", file, line);
    if (*p == '[') {
        const char *section = cut_comment(p);
        if (section[strlen(section) - 1] == ']') return RUDD_OK;
        return rudd_fail(err, RUDD_ARGUMENT, "%sfound \"%.80s\", expected [section]", where, section);
    }
    char *equals = strchr(p, '=');
    if (!equals || equals == p)
        return rudd_fail(err, RUDD_ARGUMENT, "%sfound \"%.80s\", expected name = value", where, cut_comment(p));
    *equals = 0;
    char *name = trim(p), *value = trim(equals + 1);
    if (*value == '"' || *value == '\'') {
        value = unquote(value);
        if (!value) return rudd_fail(err, RUDD_ARGUMENT, "%s%s: the quoted text does not end as it should", where, name);
    } else {
        value = cut_comment(value);
    }
    const struct nn_option *row = find(o, name, where, err);
    if (!row) return RUDD_ARGUMENT;
    int *before = &lines[row - o->rows];
    if (*before) return rudd_fail(err, RUDD_ARGUMENT, "%s%s: is given in line %d already", where, name, *before);
    *before = line;
    return set(o, row, value, where, err);
}

static enum rudd_status apply_lines(const struct nn_options *o, char *text, const char *file, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    int *lines = rudd_zalloc((size_t)o->count, sizeof *lines), line = 1;
    if (!lines) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to read it", file);
    for (char *p = text, *next; p && status == RUDD_OK; p = next, line++) {
        next = strchr(p, '\n');
        if (next) *next++ = 0;
        status = apply_line(o, p, lines, line, file, err);
    }
    rudd_free(lines);
    return status;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

enum rudd_status nn_config_parse(struct nn_options *options, const char *text, size_t length, const char *name,
                                 struct rudd_error *err)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some editors open UTF-8 with it */
    if (length >= 3 && memcmp(text, mark, 3) == 0) {
        text += 3;
        length -= 3;
    }
    if (length > CONFIG_MAX_BYTES || memchr(text, 0, length))
        return rudd_fail(err, RUDD_FORMAT, "%s: not a config file; expected lines of name = value or JSON, 1 MiB at most",
                         name);
    /* Held from now on, also on failure: some targets may point into it already. */
    if (!nn_config_hold(options, text, length)) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to read it", name);
    struct nn_config *config = options->configs;
    return config->text[strspn(config->text, " \t\r\n")] == '{' ? apply_json_text(config, options, length, name, err)
                                                                : apply_lines(options, config->text, name, err);
}

enum rudd_status nn_config_read(struct nn_options *options, const char *path, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    FILE *f = fopen(path, "rb");
    if (!f) return rudd_fail(err, RUDD_IO, "%s: %s", path, strerror(errno));
    char *text = rudd_alloc(CONFIG_MAX_BYTES + 1);
    if (!text) {
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to read it", path);
        goto done;
    }
    size_t n = fread(text, 1, CONFIG_MAX_BYTES + 1, f);
    if (ferror(f))
        status = rudd_fail(err, RUDD_IO, "%s: cannot be read: %s", path, strerror(errno));
    else
        status = nn_config_parse(options, text, n, path, err);
done:
    rudd_free(text);
    fclose(f);
    return status;
}
