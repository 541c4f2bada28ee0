/* page.h - HTML text that grows: formatted, escaped, base64. A failed allocation is remembered, and shows at the end. */
#ifndef TRAIN_PAGE_H
#define TRAIN_PAGE_H

#include <stdbool.h>
#include "nn/rudd.h"

struct train_page {
    char *text; /* [length], no terminator; rudd_free it */
    size_t length, capacity;
    bool failed; /* out of memory: text is incomplete */
};
void train_page_bytes(struct train_page *page, const char *bytes, size_t length);
void train_page_add(struct train_page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
void train_page_escaped(struct train_page *page, const char *text); /* safe within elements and quoted attributes */
/* The same for a name of any bytes, as text to look at: nn_text's form, with control characters as
 * pictures. Lines may break behind slashes and underscores. */
void train_page_text(struct train_page *page, const char *bytes);
void train_page_base64(struct train_page *page, const uint8_t *bytes, size_t length);

#endif
