/* options.h - command lines and config files, from one table per command.
 *
 *     struct nn_option rows[] = {
 *         {"data",   NN_OPTION_REQUIRED, &o.data,   "DIR",    0, 0,    "folder of class folders"},
 *         {"out|o",  NN_OPTION_STRING,   &o.out,    "FILE",   0, 0,    "where to write"},
 *         {"epochs", NN_OPTION_INT,      &o.epochs, "N",      1, 1000, "passes over the pictures"},
 *         {"order",  NN_OPTION_CHOICE,   &o.order,  "up|down", 0, 0,   "which way"},
 *         {"config", NN_OPTION_CONFIG,   NULL,      "FILE",   0, 0,    "options, one `name = value` a line, or a run.json"},
 *     };
 *
 * Everything is derived from the rows: parsing (--epochs 8, --epochs=8, -o FILE), ranges, -h, --help,
 * pages of the manual and words for completion (base/help.h), the name that was meant by a mistyped
 * one (base/suggest.h), variables of the environment (base/environment.h), config files, and the
 * record of a run. The default of an option is what its target holds before parsing.
 *
 * It lives in nn/ because all programs of the project need it (rudd, rudd-serve, rudd-bench) and may not include each other.
 * It prints nothing: help comes back as text, mistakes as RUDD_ARGUMENT with one line.
 *
 * Not here: sub-commands (train/main.c), the form of config files (config.h). Not thread-safe for one table; different tables are independent. */
#ifndef NN_OPTIONS_H
#define NN_OPTIONS_H

#include <stdbool.h>
#include "kernels/limits.h"
#include "nn/rudd.h"

enum nn_option_type {
    NN_OPTION_FLAG,     /* bool: --name true, --no-name false */
    NN_OPTION_INT,      /* int within min..max */
    NN_OPTION_DOUBLE,   /* double within min..max; nan and inf are refused */
    NN_OPTION_BYTES,    /* size_t; K, M and G suffixes are powers of 1024. Value "BYTES|auto": auto too, NN_BYTES_AUTO */
    NN_OPTION_STRING,   /* const char *; NULL: not given */
    NN_OPTION_REQUIRED, /* the same, but parsing fails when it stays NULL */
    NN_OPTION_STRINGS,  /* struct nn_strings; each time that it is given adds one */
    NN_OPTION_CHOICE,   /* int (or enum): index among the words of value, "a|b|c" */
    NN_OPTION_DOUBLES,  /* double[k], each within min..max; k is the number of words of value, "A,B,C" */
    NN_OPTION_CONFIG,   /* a file (config.h), read before the flags, which win; no target */
    NN_OPTION_GROUP,    /* no option: a heading of help, over the rows that follow */
    NN_OPTION_COMMAND   /* no option: a command in a page of commands (train/command.h) */
};
#define NN_BYTES_AUTO SIZE_MAX
enum { NN_STRINGS = 32 };
struct nn_strings {
    const char *items[NN_STRINGS];
    int count;
};
struct nn_config; /* config.c */
struct nn_option {
    const char *name; /* "epochs", or with a one-letter form "out|o" */
    enum nn_option_type type;
    void *target;      /* its value before parsing is the default */
    const char *value; /* what stands for the value in help; NULL for flags; the words of choices and lists */
    double min, max;   /* numbers only */
    const char *help;  /* one line, no full stop */
    bool common;       /* NN_COMMON: on the short page (-h) too */
};
enum { NN_COMMON = 1 };
#define NN_OPTION_HEADING(text)                                                                                                \
    {                                                                                                                          \
        "", NN_OPTION_GROUP, NULL, NULL, 0, 0, text                                                                            \
    }

/* Rows that several commands have: the same name, range and meaning of 0 or auto everywhere. use: what for. */
#define NN_OPTION_THREADS(target, use)                                                                                         \
    {                                                                                                                          \
        "threads", NN_OPTION_INT, target, "N", 0, KERN_THREADS_MAX, use "; 0: as many as this process may use"                 \
    }
#define NN_OPTION_MEMORY(target, use)                                                                                          \
    {                                                                                                                          \
        "memory-limit", NN_OPTION_BYTES, target, "BYTES|auto", 0, 0,                                                           \
            use "; 0: no limit; auto: what the system allows this process"                                                     \
    }

/* What help shows as an example; tables end with a NULL line. */
struct nn_example {
    const char *what, *line; /* "learn from a folder of photos", "rudd train --data photos ..." */
};

/* A command line. Filled by the caller, except for what nn_options_parse sets. */
struct nn_options {
    const char *usage;                 /* "rudd eval --model FILE --data DIR": the first words name the command */
    const char *about;                 /* sentences for help, of which -h shows the first; may be NULL */
    const struct nn_example *examples; /* may be NULL */
    const char *more;                  /* a last paragraph for help; may be NULL */
    const struct nn_option *rows;
    int count;
    int max_arguments; /* positional arguments taken; -1: any number */
    /* Names, NULL at the end, that a run's record holds but repeating it by --config leaves alone: where it wrote. May be NULL. */
    const char *const *unrepeated;
    /* Called when a config file that is a run's record has been read, before flags win over it. May be NULL. */
    void (*repeated)(void *user);
    void *user; /* its argument */

    char *help;       /* set: the page, when --help or -h was given: nothing else was parsed. Else NULL */
    char *unknown;    /* set: the word of argv that is perhaps another command's option; else NULL */
    char **arguments; /* set: the positional ones, moved together within argv */
    int argument_count;
    struct nn_config *configs; /* set: what config files' strings point into; nn_options_free */
};

/* Reads argv[1..argc-1] into the targets; `--` ends the options. argv is reordered: string targets and arguments point into it.
 * From weak to strong: config files, variables of the environment, the command line. A list from a
 * stronger source replaces that of a weaker one.
 * RUDD_ARGUMENT: unknown, malformed, out of range, missing; RUDD_IO: the config file. On failure some targets may be set. The help page shows each
 * target's value before parsing as the default. nn_options_free in any case. */
enum rudd_status nn_options_parse(struct nn_options *options, int argc, char **argv, struct rudd_error *err);
void nn_options_free(struct nn_options *options);

/* Sets one option from text, as the command line would; name without dashes. `where` starts the message. */
enum rudd_status nn_option_set(const struct nn_options *options, const char *name, const char *text, const char *where,
                               struct rudd_error *err);
/* Whether a row is an option with a value of its own: no heading, no command, no config file. Records
 * of options ask it. */
bool nn_option_holds_value(const struct nn_option *row);
/* The row of that long name; NULL when there is none. */
const struct nn_option *nn_option_find(const struct nn_options *options, const char *name);
/* The present value as text, numbers with nine digits, "" for a NULL string; at most size bytes with the 0. Returns out. */
char *nn_option_print(char *out, size_t size, const struct nn_option *row);
/* The long name alone, into out[size]. Returns out. */
char *nn_option_name(char *out, size_t size, const struct nn_option *row);

/* The nearest of count names to a mistyped one, by edit distance; NULL when none is near.
 * base/suggest.h knows meanings too. */
const char *nn_option_nearest(const char *wrong, const char *const *names, int count);

#endif
