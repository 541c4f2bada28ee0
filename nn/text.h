/* text.h - any bytes as text that JSON can hold, without loss; and the rule for class names.
 *
 * File names are bytes; JSON is UTF-8. A name that is UTF-8 and has no backslash in it is its own
 * text. In any other name each backslash is doubled and each byte that does not belong to UTF-8
 * becomes \xhh, two lower-case digits: "caf\xe9.jpg". So two names never share a text, and the
 * bytes come back from it: \\ is a backslash, \xhh a byte.
 *
 * UTF-8 is that of Unicode 15, section 3.9: shortest forms, no surrogates, nothing above U+10FFFF. */
#ifndef NN_TEXT_H
#define NN_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include "nn/rudd.h"

/* Whether all bytes are UTF-8. */
bool nn_text_is_utf8(const char *bytes);
/* The text of bytes, rudd_alloc'ed; NULL: no memory. */
char *nn_text(const char *bytes);
/* Text back to the bytes, in place, and so to bytes of any kind; text that nn_text did not make
 * stays as it is. Returns text. */
char *nn_text_back(char *text);
/* The same as a JSON string. A new reference; NULL: no memory. NULL gives JSON's null. */
json_t *nn_text_json(const char *bytes);

/* ---- names of classes ------------------------------------------------------------------------- */

enum { NN_CLASS_NAME = 200 }; /* bytes at most */

/* The rule for class names, at training, import and loading: UTF-8, 1 to 200 bytes, no control
 * characters, no slash, no dot in front, no two alike. name_of(user, i) gives the i-th of count.
 * `where` starts the message. RUDD_FORMAT, RUDD_NO_MEMORY. */
enum rudd_status nn_class_names_check(const char *(*name_of)(const void *user, int i), const void *user, int count,
                                      const char *where, struct rudd_error *err);

#endif
