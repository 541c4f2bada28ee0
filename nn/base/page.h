/* page.h - text that is laid out in columns, as help pages are, and returned as one string.
 *
 * The idea: a page is rendered twice by the same function. The first pass only counts bytes, the
 * second writes into a block of exactly that size. So no buffer grows, and one allocation can fail.
 *
 *     static void render(struct nn_page *page, const void *what) { nn_page_put(page, ...); ... }
 *     char *text = nn_page_make(render, what);
 *
 * Columns count bytes: help texts are ASCII. */
#ifndef NN_BASE_PAGE_H
#define NN_BASE_PAGE_H

#include <stddef.h>

enum {
    NN_PAGE_WIDTH = 80,    /* no line is longer */
    NN_PAGE_SPACE = '\x1f' /* becomes a space, at which no line ends */
};

struct nn_page {
    char *text; /* NULL in the first pass */
    size_t used;
    int column; /* of the next byte, from 0 */
};

/* Text as it is, newlines too. */
void nn_page_put(struct nn_page *page, const char *text);
void nn_page_put_bytes(struct nn_page *page, const char *bytes, size_t count);
/* Spaces up to the column; a new line first if the text already reaches it. */
void nn_page_pad(struct nn_page *page, int column);
/* Words from here on. Lines that follow begin at column `indent`. An empty line in text stays one.
 * A word that is too long for a line is cut behind a '|' or ','. */
void nn_page_wrap(struct nn_page *page, int indent, const char *text);
/* The rendered text, rudd_alloc'ed; NULL: no memory. render is called twice and must do the same
 * both times. */
char *nn_page_make(void (*render)(struct nn_page *page, const void *what), const void *what);

#endif
