/* help.h - an option table as text: the short page (-h), the whole page (--help), a page of the
 * manual, and words for the completion of shells.
 *
 * A request is what stands behind --help: `--help=man`. Those that only programs ask for are not on
 * the page itself; docs/commands.md has them. */
#ifndef NN_BASE_HELP_H
#define NN_BASE_HELP_H

#include "nn/base/page.h"
#include "nn/options.h"

enum nn_help {
    NN_HELP_NONE,
    NN_HELP_SHORT, /* usage, one sentence, the rows marked NN_COMMON, examples */
    NN_HELP_WHOLE, /* every row, in its group */
    NN_HELP_MAN,   /* roff for man(7) */
    NN_HELP_WORDS, /* a line for each name, for completion: name TAB values TAB help. Values are
                    * words with '|' between, FILE and DIR for names; "-": none, "?": any */
    NN_HELP_OWNER  /* no text: whether the table has an option (nn_help_owner) */
};

/* What argv[1..argc-1] asks for, up to a `--`: -h, --help or --help=short|all|man|words.
 * RUDD_ARGUMENT: --help= with another word. */
enum rudd_status nn_help_asked(enum nn_help *help, int argc, char **argv, struct rudd_error *err);
/* Answers "--help=owner:NAME". RUDD_MISMATCH: the table has that option, and the message is the
 * command's name; RUDD_ARGUMENT: it has not. So a program can ask all its commands. */
#define NN_HELP_OWNER_REQUEST "--help=owner:"
enum rudd_status nn_help_owner(const struct nn_options *options, const char *request,
                               struct rudd_error *err);
/* The text, rudd_alloc'ed; NULL: no memory. */
char *nn_help_print(const struct nn_options *options, enum nn_help help);

/* ---- parts that several pages share ---------------------------------------------------------- */

/* "rudd data check" of "rudd data check DIR [--json]": the words that are commands' names. */
enum { NN_TITLE = 64, NN_HELP_TEXT = 1024 };
char *nn_help_title(char out[NN_TITLE], const char *usage);
/* The first sentence of text, without its full stop. */
char *nn_help_sentence(char *out, size_t size, const char *text);
/* What a row says of itself: its help and, where it has one, its default. */
char *nn_help_meaning(char out[NN_HELP_TEXT], const struct nn_option *row);
/* The row of --help itself, which no table holds. */
extern const struct nn_option nn_help_row;
/* '\0', or the one-letter form. */
char nn_help_letter(const struct nn_option *row);

#endif
