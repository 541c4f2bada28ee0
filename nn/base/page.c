/* page.c - text in columns: see page.h. */
#include "nn/base/page.h"

#include "nn/rudd.h"
#include <stdbool.h>
#include <string.h>

void nn_page_put_bytes(struct nn_page *page, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) page->column = bytes[i] == '\n' ? 0 : page->column + 1;
    for (size_t i = 0; page->text && i < count; i++)
        page->text[page->used + i] = bytes[i] == NN_PAGE_SPACE ? ' ' : bytes[i];
    page->used += count;
}

void nn_page_put(struct nn_page *page, const char *text)
{
    nn_page_put_bytes(page, text, strlen(text));
}

void nn_page_pad(struct nn_page *page, int column)
{
    if (page->column > column) nn_page_put(page, "\n");
    while (page->column < column) nn_page_put(page, " ");
}

/* How much of a word of n bytes, too long for `room`, goes on this line. */
static size_t cut(const char *word, size_t n, size_t room)
{
    for (size_t i = room; i > 0; i--)
        if (word[i - 1] == '|' || word[i - 1] == ',') return i;
    return n;
}

void nn_page_wrap(struct nn_page *page, int indent, const char *text)
{
    const size_t line = (size_t)(NN_PAGE_WIDTH - indent);
    bool first = true;
    for (;;) {
        const size_t blanks = strspn(text, " \n");
        const bool paragraph = blanks >= 2 && text[0] == '\n' && text[1] == '\n';
        text += blanks;
        size_t n = strcspn(text, " \n");
        if (!n) return;
        if (paragraph) nn_page_put(page, "\n\n");
        if (!first && !paragraph) {
            if ((size_t)page->column + 1 + n > NN_PAGE_WIDTH)
                nn_page_put(page, "\n");
            else
                nn_page_put(page, " ");
        }
        if (page->column == 0) nn_page_pad(page, indent);
        for (; n > line; nn_page_put(page, "\n"), nn_page_pad(page, indent)) {
            const size_t part = cut(text, n, line);
            if (part == n) break;
            nn_page_put_bytes(page, text, part);
            text += part;
            n -= part;
        }
        nn_page_put_bytes(page, text, n);
        text += n;
        first = false;
    }
}

char *nn_page_make(void (*render)(struct nn_page *page, const void *what), const void *what)
{
    struct nn_page page = {0};
    render(&page, what);
    char *text = rudd_alloc(page.used + 1);
    if (!text) return NULL;
    page = (struct nn_page){.text = text};
    render(&page, what);
    text[page.used] = 0;
    return text;
}
