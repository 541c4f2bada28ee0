/* man.c - option tables as roff: see man.h.
 *
 * Only macros of man(7) that groff and mandoc both know. Text is escaped: a backslash, a hyphen (it
 * would be printed as a dash, which nobody can copy), and a dot or quote at the start of a line. */
#include "nn/base/man.h"

#include "nn/base/environment.h"
#include "nn/base/help.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void put_text(struct nn_page *page, const char *text)
{
    for (; *text; text++) {
        if (page->column == 0 && (*text == '.' || *text == '\'')) nn_page_put(page, "\\&");
        if (*text == '\\')
            nn_page_put(page, "\\e");
        else if (*text == '-')
            nn_page_put(page, "\\-");
        else if (*text == '\n')
            nn_page_put(page, text[1] == '\n' ? "\n.PP" : "\n");
        else
            nn_page_put_bytes(page, text, 1);
    }
}

static void put_heading(struct nn_page *page, const char *macro, const char *text)
{
    nn_page_put(page, macro);
    nn_page_put(page, " \"");
    put_text(page, text);
    nn_page_put(page, "\"\n");
}

static void put_font(struct nn_page *page, const char *font, const char *text)
{
    nn_page_put(page, font);
    put_text(page, text);
    nn_page_put(page, "\\fR");
}

/* "rudd-data-check", the name of the page. */
static char *page_name(char out[NN_TITLE], const char *usage)
{
    nn_help_title(out, usage);
    for (char *c = out; *c; c++)
        if (*c == ' ') *c = '-';
    return out;
}

static void put_head(struct nn_page *page, const struct nn_options *o)
{
    char name[NN_TITLE], upper[NN_TITLE], title[NN_TITLE], text[NN_HELP_TEXT];
    page_name(name, o->usage);
    snprintf(upper, sizeof upper, "%s", name);
    for (char *c = upper; *c; c++) *c = (char)toupper((unsigned char)*c);
    nn_page_put(page, ".TH \"");
    put_text(page, upper);
    nn_page_put(page, "\" 1 \"\" \"rudd " RUDD_VERSION "\" \"User commands\"\n.SH NAME\n");
    put_text(page, name);
    nn_page_put(page, " \\- ");
    if (o->about) nn_help_sentence(text, sizeof text, o->about);
    if (o->about) text[0] = (char)tolower((unsigned char)text[0]);
    put_text(page, o->about ? text : title);
    nn_page_put(page, "\n.SH SYNOPSIS\n");
    nn_help_title(title, o->usage);
    put_font(page, "\\fB", title);
    put_text(page, o->usage + strlen(title));
    nn_page_put(page, "\n");
    if (!o->about) return;
    nn_page_put(page, ".SH DESCRIPTION\n");
    put_text(page, o->about);
    nn_page_put(page, "\n");
}

static void put_row(struct nn_page *page, const struct nn_option *row)
{
    char name[NN_TITLE], text[NN_HELP_TEXT];
    const char letter[] = {'-', nn_help_letter(row), '\0'};
    const bool command = row->type == NN_OPTION_COMMAND;
    if (row->type == NN_OPTION_GROUP) {
        put_heading(page, ".SS", row->help);
        return;
    }
    nn_page_put(page, ".TP\n");
    if (letter[1]) {
        put_font(page, "\\fB", letter);
        nn_page_put(page, ", ");
    }
    snprintf(text, sizeof text, "%s%s", command ? "" : "--",
             nn_option_name(name, sizeof name, row));
    put_font(page, "\\fB", text);
    if (row->value && row->type != NN_OPTION_FLAG) {
        nn_page_put(page, " ");
        put_font(page, "\\fI", row->value);
    }
    nn_page_put(page, "\n");
    put_text(page, nn_help_meaning(text, row));
    nn_page_put(page, "\n");
}

static void put_examples(struct nn_page *page, const struct nn_example *examples)
{
    if (!examples) return;
    nn_page_put(page, ".SH EXAMPLES\n");
    for (const struct nn_example *first = examples; examples->line; examples++) {
        if (examples != first) nn_page_put(page, ".PP\n");
        put_text(page, examples->what);
        nn_page_put(page, ":\n.PP\n.RS 4\n.EX\n");
        put_text(page, examples->line);
        nn_page_put(page, "\n.EE\n.RE\n");
    }
}

static void put_environment(struct nn_page *page, const struct nn_options *o)
{
    char variable[NN_VARIABLE];
    nn_page_put(page, ".SH ENVIRONMENT\n");
    if (*nn_environment_name(variable, o, NULL)) {
        put_text(page, "An option may stand in a variable named ");
        put_font(page, "\\fB", variable);
        nn_page_put(page,
                    "\\fIOPTION\\fR, in capitals, with _ for \\-. The command line wins over the "
                    "environment, and the environment over files.\n");
    }
    nn_page_put(page,
                ".TP\n\\fBRUDD_ISA\\fR\ncaps the instruction set: ref, blas, avx2 or avx512\n"
                ".TP\n\\fBRUDD_TRACE\\fR\n1: prints each step of the network with its time\n");
}

static void put_see_also(struct nn_page *page, const struct nn_options *o, bool commands)
{
    char name[NN_TITLE], other[NN_TITLE];
    nn_page_put(page, ".SH SEE ALSO\n");
    page_name(name, o->usage);
    for (int i = 0; commands && i < o->count; i++) {
        if (o->rows[i].type != NN_OPTION_COMMAND) continue;
        put_font(page, "\\fB", name);
        nn_page_put(page, "\\fB\\-");
        put_text(page, nn_option_name(other, sizeof other, &o->rows[i]));
        nn_page_put(page, "\\fR(1),\n");
    }
    nn_page_put(page, strcmp(name, "rudd") == 0 ? "\\fBrudd\\-serve\\fR(1)\n"
                                                : "\\fBrudd\\fR(1), \\fBrudd\\-serve\\fR(1)\n");
}

void nn_man_render(struct nn_page *page, const void *options)
{
    const struct nn_options *o = options;
    const bool commands = o->count && o->rows[o->count - 1].type == NN_OPTION_COMMAND;
    put_head(page, o);
    put_heading(page, ".SH", commands ? "COMMANDS" : "OPTIONS");
    for (int i = 0; i < o->count; i++) put_row(page, &o->rows[i]);
    if (!commands) put_row(page, &nn_help_row);
    put_examples(page, o->examples);
    put_environment(page, o);
    nn_page_put(page, ".SH EXIT STATUS\n"
                      ".TP\n0\ndone\n.TP\n1\nfailed\n.TP\n2\nwrong use: trying again cannot help\n"
                      ".TP\n75\nunfinished work that can go on\n.TP\n99\na gate refused\n");
    put_see_also(page, o, commands);
}
