/* config.h - files that set options, in two forms told apart by their first character.
 *
 *     # a line each, as in TOML and INI            {"options": {"epochs": 12, "lr": 3e-4,
 *     [train]                                                  "split": [0.7, 0.15, 0.15]}, ...}
 *     epochs = 12          # passes
 *     out = "runs/a b"                              a run's own record (run.json), or just the inner object
 *     split = [0.7, 0.15, 0.15]
 *
 * Lines: names as on the command line, `_` for `-` if one likes; [sections] are headings for people and mean nothing; # opens a
 * comment at a line's start or behind a space, ; at its start; text may stand in "" (with \" \\ \n \t) or '' (as it is); a
 * name given twice is a mistake. Whatever is wrong is told with file and line.
 *
 * Not here: values over several lines, nested tables. */
#ifndef NN_CONFIG_H
#define NN_CONFIG_H

#include <jansson.h>
#include "nn/options.h"

/* Sets options from text [length], which name calls in messages. String targets then point into a copy that o->configs holds.
 * RUDD_ARGUMENT: unknown, malformed, out of range, twice; RUDD_FORMAT: neither lines nor JSON. On failure some may be set. */
enum rudd_status nn_config_parse(struct nn_options *options, const char *text, size_t length, const char *name,
                                 struct rudd_error *err);
/* The same from a file of at most 1 MiB; RUDD_IO. */
enum rudd_status nn_config_read(struct nn_options *options, const char *path, struct rudd_error *err);

/* Sets every option that object holds; null leaves one as it is. String targets point into object, which must outlive them. */
enum rudd_status nn_config_apply_json(const struct nn_options *options, const json_t *object, const char *where,
                                      struct rudd_error *err);

/* A copy of text [length] with a 0 behind it, for string targets to point into; it lives until
 * nn_options_free. NULL: no memory. */
char *nn_config_hold(struct nn_options *options, const char *text, size_t length);
void nn_config_free(struct nn_config *configs); /* all of them; NULL is fine */

#endif
