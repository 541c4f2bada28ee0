/* formats.h - the picture formats that rudd knows: one table, a row each.
 *
 * The first bytes of a file say what it is. Its ending is a hint for whoever lists a folder: what
 * ends like a picture is taken for one without opening it, and what has another ending or none is
 * looked at (data_format_sniff). */
#ifndef DATA_FORMATS_H
#define DATA_FORMATS_H

#include "data/image/codec.h"

enum { DATA_SNIFF = 32 }; /* so many first bytes are enough for every row */

struct data_format {
    const char *name;    /* "JPEG" */
    const char *endings; /* " .jpg .jpeg ", in lower case, each between blanks */
    bool (*starts)(const uint8_t *bytes, size_t length); /* whether a file begins like this */
    data_codec *decode;                                  /* NULL: not built in */
    const char *package; /* what must be installed when rudd is built; NULL: rudd always has it */
};

/* The row of a file by its first bytes, or by its name's ending in any case; NULL: none.
 * Rows that are not built in are found too: the caller says what is missing. */
const struct data_format *data_format_sniff(const uint8_t *bytes, size_t length);
const struct data_format *data_format_of_name(const char *name);
/* Row i, from 0; NULL behind the last. */
const struct data_format *data_format_at(int i);
/* The usual ending of such files, without its dot: "jpg". */
const char *data_format_ending(char ending[8], const struct data_format *format);
/* All names for messages, such as "JPEG, PNG or WebP": what this program can decode. */
const char *data_format_names(char *text, size_t size);

/* What bytes are that no format knows: "text, not a picture", for messages. Never NULL. */
const char *data_not_a_picture(const uint8_t *bytes, size_t length);

#endif
