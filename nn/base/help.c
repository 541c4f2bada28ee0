/* help.c - option tables as pages for the terminal and as words for completion: see help.h. */
#include "nn/base/help.h"

#include "nn/base/environment.h"
#include "nn/base/man.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_COLUMN = 26 }; /* where the words about an option begin */

const struct nn_option nn_help_row = {
    "help|h", NN_OPTION_FLAG, NULL, NULL, 0, 0, "-h: the most used options; --help: all of them"};

enum rudd_status nn_help_asked(enum nn_help *help, int argc, char **argv, struct rudd_error *err)
{
    static const char *const words[] = {[NN_HELP_SHORT] = "short",
                                        [NN_HELP_WHOLE] = "all",
                                        [NN_HELP_MAN] = "man",
                                        [NN_HELP_WORDS] = "words"};
    *help = NN_HELP_NONE;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0 && !*help; i++) {
        if (strcmp(argv[i], "-h") == 0) *help = NN_HELP_SHORT;
        if (strcmp(argv[i], "--help") == 0) *help = NN_HELP_WHOLE;
        if (i == 1 && strncmp(argv[i], NN_HELP_OWNER_REQUEST, strlen(NN_HELP_OWNER_REQUEST)) == 0)
            *help = NN_HELP_OWNER;
        if (*help || strncmp(argv[i], "--help=", 7) != 0) continue;
        for (int k = NN_HELP_SHORT; k <= NN_HELP_WORDS; k++)
            if (strcmp(argv[i] + 7, words[k]) == 0) *help = (enum nn_help)k;
        if (!*help)
            return rudd_fail(err, RUDD_ARGUMENT,
                             "--help: found \"%.40s\", expected short, all, man or words",
                             argv[i] + 7);
    }
    return RUDD_OK;
}

enum rudd_status nn_help_owner(const struct nn_options *options, const char *request,
                               struct rudd_error *err)
{
    char title[NN_TITLE];
    const struct nn_option *row = nn_option_find(options, request + strlen(NN_HELP_OWNER_REQUEST));
    return row && row->type != NN_OPTION_COMMAND
               ? rudd_fail(err, RUDD_MISMATCH, "%s", nn_help_title(title, options->usage))
               : rudd_fail(err, RUDD_ARGUMENT, "no such option");
}

/* ---- parts ----------------------------------------------------------------------------------- */

char *nn_help_title(char out[NN_TITLE], const char *usage)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    size_t used = 0;
    for (const char *word = usage ? usage : ""; *word;) {
        const size_t n = strcspn(word, " ");
        if (strspn(word, letters) == 0 || strcspn(word, "|.=/") < n || used + n + 2 > NN_TITLE)
            break;
        if (used) out[used++] = ' ';
        memcpy(out + used, word, n);
        used += n;
        word += n + (word[n] == ' ');
    }
    out[used] = 0;
    return out;
}

char *nn_help_sentence(char *out, size_t size, const char *text)
{
    size_t n = 0;
    while (text[n] && !(text[n] == '.' && strchr(" \n", text[n + 1]))) n++;
    snprintf(out, size, "%.*s", (int)n, text);
    return out;
}

char *nn_help_meaning(char out[NN_HELP_TEXT], const struct nn_option *row)
{
    char name[NN_TITLE], value[256] = "";
    if (row->target) nn_option_print(value, sizeof value, row);
    if (row->type == NN_OPTION_FLAG && *value == 't')
        snprintf(out, NN_HELP_TEXT, "%s (default: yes; --no-%s:%cno)", row->help,
                 nn_option_name(name, sizeof name, row), NN_PAGE_SPACE);
    else if (row->type == NN_OPTION_FLAG || !*value)
        snprintf(out, NN_HELP_TEXT, "%s", row->help);
    else
        snprintf(out, NN_HELP_TEXT, "%s (default%c%s)", row->help, NN_PAGE_SPACE, value);
    return out;
}

char nn_help_letter(const struct nn_option *row)
{
    const char *bar = strchr(row->name, '|');
    return bar ? bar[1] : '\0';
}

/* ---- pages for the terminal ------------------------------------------------------------------ */

static void put_paragraph(struct nn_page *page, const char *text)
{
    nn_page_put(page, "\n");
    nn_page_wrap(page, 0, text);
    nn_page_put(page, "\n");
}

/* "-o, --out FILE"; of a command its name. */
static void put_name(struct nn_page *page, const struct nn_option *row)
{
    char name[NN_TITLE];
    const char letter[] = {'-', nn_help_letter(row), ',', ' ', '\0'};
    nn_page_put(page, "  ");
    if (letter[1]) nn_page_put(page, letter);
    if (row->type != NN_OPTION_COMMAND) nn_page_put(page, "--");
    nn_page_put(page, nn_option_name(name, sizeof name, row));
    if (row->value && row->type != NN_OPTION_FLAG) {
        nn_page_put(page, " ");
        nn_page_wrap(page, 6, row->value);
    }
}

static void put_row(struct nn_page *page, const struct nn_option *row)
{
    char text[NN_HELP_TEXT];
    if (row->type == NN_OPTION_GROUP) {
        put_paragraph(page, row->help);
        return;
    }
    put_name(page, row);
    /* Commands stand in a narrower column: their names are short. */
    const int column = row->type == NN_OPTION_COMMAND ? 14 : TEXT_COLUMN;
    if (page->column > column - 2) nn_page_put(page, "\n");
    nn_page_pad(page, column);
    nn_page_wrap(page, column, nn_help_meaning(text, row));
    nn_page_put(page, "\n");
}

/* A command, on as many lines as it needs, which the shell reads as one. */
static void put_command(struct nn_page *page, const char *line)
{
    nn_page_put(page, "  ");
    while (page->column + strlen(line) > NN_PAGE_WIDTH) {
        size_t n = (size_t)(NN_PAGE_WIDTH - 2 - page->column);
        while (n && line[n] != ' ') n--;
        if (!n) break;
        nn_page_put_bytes(page, line, n);
        nn_page_put(page, " \\\n      ");
        line += n + 1;
    }
    nn_page_put(page, line);
    nn_page_put(page, "\n");
}

static void put_examples(struct nn_page *page, const struct nn_example *examples)
{
    if (!examples) return;
    nn_page_put(page, "\nExamples\n");
    for (; examples->line; examples++) {
        nn_page_put(page, "  # ");
        nn_page_wrap(page, 4, examples->what);
        nn_page_put(page, "\n");
        put_command(page, examples->line);
    }
}

static void put_usage(struct nn_page *page, const struct nn_options *o)
{
    nn_page_put(page, "usage: ");
    nn_page_wrap(page, 11, o->usage);
    nn_page_put(page, "\n");
}

/* The variable that the page names as an example: an option with a number, else the first. */
static void put_environment(struct nn_page *page, const struct nn_options *o)
{
    char variable[NN_VARIABLE], text[NN_HELP_TEXT];
    const struct nn_option *shown = NULL;
    for (int i = 0; i < o->count; i++) {
        const struct nn_option *row = &o->rows[i];
        if (!nn_option_holds_value(row)) continue;
        if (!shown || (shown->type != NN_OPTION_INT && row->type == NN_OPTION_INT)) shown = row;
    }
    if (!shown || !*nn_environment_name(variable, o, shown)) return;
    snprintf(
        text, sizeof text,
        "Options may also stand in the environment, as %s for --%.*s. The command line wins over "
        "the environment, and the environment over files.",
        variable, (int)strcspn(shown->name, "|"), shown->name);
    put_paragraph(page, text);
}

static void render_whole(struct nn_page *page, const void *options)
{
    const struct nn_options *o = options;
    const bool commands = o->count && o->rows[o->count - 1].type == NN_OPTION_COMMAND;
    put_usage(page, o);
    if (o->about) put_paragraph(page, o->about);
    if (!o->count || o->rows[0].type != NN_OPTION_GROUP) nn_page_put(page, "\n");
    for (int i = 0; i < o->count; i++) put_row(page, &o->rows[i]);
    if (!commands) put_row(page, &nn_help_row);
    put_examples(page, o->examples);
    if (!commands) put_environment(page, o);
    if (o->more) put_paragraph(page, o->more);
}

/* Where no row is marked there are few: the page is whole. */
static void render_short(struct nn_page *page, const void *options)
{
    const struct nn_options *o = options;
    char text[NN_HELP_TEXT];
    bool marked = false;
    for (int i = 0; i < o->count; i++) marked |= o->rows[i].common;
    if (!marked) {
        render_whole(page, options);
        return;
    }
    put_usage(page, o);
    if (o->about) {
        nn_help_sentence(text, sizeof text - 1, o->about);
        put_paragraph(page, strcat(text, "."));
    }
    nn_page_put(page, "\n");
    for (int i = 0; i < o->count; i++)
        if (o->rows[i].common) put_row(page, &o->rows[i]);
    put_examples(page, o->examples);
    nn_page_put(page, "\nAll options: ");
    nn_page_put(page, nn_help_title(text, o->usage));
    nn_page_put(page, " --help\n");
}

/* ---- words ----------------------------------------------------------------------------------- */

/* What may stand for a value, for completion: the words of "auto|off", FILE and DIR for names of
 * files; "?" when nothing can be proposed. */
static const char *proposals(char out[NN_HELP_TEXT], const struct nn_option *row)
{
    static const char files[] = "|FILE|OUT|LIST|WHERE|PROGRAM|", folders[] = "|DIR|RUN|DST|";
    size_t used = 0;
    for (const char *word = row->value; word;
         word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL) {
        char bars[64];
        const int n = (int)strcspn(word, "|");
        snprintf(bars, sizeof bars, "|%.*s|", n, word);
        const bool file = strstr(files, bars), folder = strstr(folders, bars);
        if (!file && !folder && isupper((unsigned char)*word)) continue;
        used += (size_t)snprintf(out + used, NN_HELP_TEXT - used, "%s%.*s", used ? "|" : "",
                                 file || folder ? 4 : n,
                                 file     ? "FILE"
                                 : folder ? "DIR"
                                          : word);
        if (used >= NN_HELP_TEXT) break;
    }
    return used ? out : "?";
}

static void put_words(struct nn_page *page, const char *dashes, const char *name, const char *value,
                      const char *help)
{
    const char *const parts[] = {dashes, name, "\t", value, "\t", help, "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) nn_page_put(page, parts[i]);
}

static void render_words(struct nn_page *page, const void *options)
{
    const struct nn_options *o = options;
    for (int i = 0; i <= o->count; i++) {
        const struct nn_option *row = i < o->count ? &o->rows[i] : &nn_help_row;
        char name[NN_TITLE];
        const char letter[] = {nn_help_letter(row), '\0'};
        char text[NN_HELP_TEXT];
        const char *values = row->type == NN_OPTION_FLAG ? "-" : proposals(text, row);
        if (row->type == NN_OPTION_GROUP) continue;
        nn_option_name(name, sizeof name, row);
        if (row->type == NN_OPTION_COMMAND) {
            put_words(page, "", name, "COMMAND", row->help);
            continue;
        }
        put_words(page, "--", name, values, row->help);
        if (*letter) put_words(page, "-", letter, values, row->help);
        if (row->type == NN_OPTION_FLAG && row->target && *(bool *)row->target)
            put_words(page, "--no-", name, "-", row->help);
    }
}

char *nn_help_print(const struct nn_options *options, enum nn_help help)
{
    return nn_page_make(help == NN_HELP_WORDS   ? render_words
                        : help == NN_HELP_MAN   ? nn_man_render
                        : help == NN_HELP_SHORT ? render_short
                                                : render_whole,
                        options);
}
