/* csv.c - see csv.h. Fields of a row are gathered in one block of text, each with a 0 behind it. */
#include "data/table/csv.h"

#include <string.h>

static char guess_separator(const char *at, const char *end)
{
    static const char separators[] = ",;\t";
    int counts[sizeof separators - 1] = {0}, best = 0;
    bool quoted = false;
    for (; at < end && (quoted || *at != '\n'); at++) {
        if (*at == '"') quoted = !quoted;
        for (int i = 0; !quoted && separators[i]; i++) counts[i] += *at == separators[i];
    }
    for (int i = 1; separators[i]; i++)
        if (counts[i] > counts[best]) best = i;
    return separators[best];
}

enum rudd_status data_csv_begin(struct data_csv *csv, const char *bytes, size_t length,
                                const char *name, struct rudd_error *err)
{
    *csv = (struct data_csv){.name = name, .at = bytes, .end = bytes + length, .next_line = 1};
    if (length >= 2 && (memcmp(bytes, "\xff\xfe", 2) == 0 || memcmp(bytes, "\xfe\xff", 2) == 0))
        return rudd_fail(err, RUDD_FORMAT, "%s: the text is UTF-16; save it as UTF-8", name);
    if (length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) csv->at += 3;
    csv->separator = guess_separator(csv->at, csv->end);
    csv->fields = rudd_alloc(DATA_CSV_FIELDS * sizeof *csv->fields);
    csv->starts = rudd_alloc(DATA_CSV_FIELDS * sizeof *csv->starts);
    if (csv->fields && csv->starts) return RUDD_OK;
    return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to read it", name);
}

void data_csv_end(struct data_csv *csv)
{
    rudd_free(csv->fields);
    rudd_free(csv->starts);
    rudd_free(csv->text);
    *csv = (struct data_csv){0};
}

static enum rudd_status put(struct data_csv *csv, char c, struct rudd_error *err)
{
    if (csv->length == csv->room) {
        const size_t room = csv->room ? 2 * csv->room : 1024;
        char *larger = rudd_realloc(csv->text, room);
        if (!larger)
            return rudd_fail(err, RUDD_NO_MEMORY, "%s:%d: no memory for this row", csv->name,
                             csv->line);
        csv->text = larger;
        csv->room = room;
    }
    csv->text[csv->length++] = c;
    return RUDD_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\r';
}

/* From behind the opening quote to behind the closing one. */
static enum rudd_status read_quoted(struct data_csv *csv, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    for (; !status && csv->at < csv->end; csv->at++) {
        if (*csv->at == '"') {
            if (csv->at + 1 == csv->end || csv->at[1] != '"') {
                csv->at++;
                return RUDD_OK;
            }
            csv->at++;
        }
        csv->next_line += *csv->at == '\n';
        if (!*csv->at) return rudd_fail(err, RUDD_FORMAT, "%s:%d: a 0 byte", csv->name, csv->line);
        status = put(csv, *csv->at, err);
    }
    if (status) return status;
    return rudd_fail(err, RUDD_FORMAT, "%s:%d: a quoted field that begins here never ends",
                     csv->name, csv->line);
}

static enum rudd_status read_plain(struct data_csv *csv, size_t start, struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    for (; !status && csv->at < csv->end; csv->at++) {
        const char c = *csv->at;
        if (c == csv->separator || c == '\n') break;
        if (!c) return rudd_fail(err, RUDD_FORMAT, "%s:%d: a 0 byte", csv->name, csv->line);
        status = put(csv, c, err);
    }
    while (csv->length > start && is_blank(csv->text[csv->length - 1])) csv->length--;
    return status;
}

/* One field, without what ends it. */
static enum rudd_status read_field(struct data_csv *csv, struct rudd_error *err)
{
    if (csv->count == DATA_CSV_FIELDS)
        return rudd_fail(err, RUDD_FORMAT, "%s:%d: more than %d fields", csv->name, csv->line,
                         DATA_CSV_FIELDS);
    const size_t start = csv->starts[csv->count++] = csv->length;
    while (csv->at < csv->end && is_blank(*csv->at)) csv->at++;
    if (csv->at == csv->end || *csv->at != '"') {
        enum rudd_status status = read_plain(csv, start, err);
        return status ? status : put(csv, 0, err);
    }
    csv->at++;
    enum rudd_status status = read_quoted(csv, err);
    while (csv->at < csv->end && is_blank(*csv->at)) csv->at++;
    if (!status && csv->at < csv->end && *csv->at != csv->separator && *csv->at != '\n')
        status = rudd_fail(err, RUDD_FORMAT,
                           "%s:%d: text behind a closing quote; expected the separator '%c'; a "
                           "quote inside a quoted field is written twice",
                           csv->name, csv->line, csv->separator);
    return status ? status : put(csv, 0, err);
}

enum rudd_status data_csv_next(struct data_csv *csv, bool *more, struct rudd_error *err)
{
    for (; csv->at < csv->end && (*csv->at == '\n' || *csv->at == '\r'); csv->at++)
        csv->next_line += *csv->at == '\n';
    *more = csv->at < csv->end;
    csv->line = csv->next_line;
    csv->count = 0;
    csv->length = 0;
    if (!*more) return RUDD_OK;
    enum rudd_status status = read_field(csv, err);
    while (!status && csv->at < csv->end && *csv->at == csv->separator) {
        csv->at++;
        status = read_field(csv, err);
    }
    if (csv->at < csv->end && *csv->at == '\n') csv->at++, csv->next_line++;
    for (int i = 0; i < csv->count && !status; i++) csv->fields[i] = csv->text + csv->starts[i];
    return status;
}
