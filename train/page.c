/* page.c - HTML text that grows: see page.h. */
#include "train/page.h"
#include "nn/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void train_page_bytes(struct train_page *page, const char *bytes, size_t length)
{
    if (page->failed) return;
    if (page->capacity - page->length < length) {
        size_t capacity = 2 * page->capacity + length + 4096;
        char *grown = rudd_realloc(page->text, capacity);
        if (!grown) {
            page->failed = true;
            return;
        }
        page->text = grown;
        page->capacity = capacity;
    }
    memcpy(page->text + page->length, bytes, length);
    page->length += length;
}

void train_page_add(struct train_page *page, const char *format, ...)
{
    char piece[4096]; /* longer text goes through _bytes and _escaped */
    va_list args;
    va_start(args, format);
    int n = vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof piece)
        page->failed = true;
    else
        train_page_bytes(page, piece, (size_t)n);
}

void train_page_escaped(struct train_page *page, const char *text)
{
    for (; *text; text++) {
        const char *as = *text == '<'   ? "&lt;"
                         : *text == '>' ? "&gt;"
                         : *text == '&' ? "&amp;"
                         : *text == '"' ? "&quot;"
                                        : NULL;
        train_page_bytes(page, as ? as : text, as ? strlen(as) : 1);
    }
}

/* U+2400 + c stands for the control character c, U+2421 for DEL; what U+0080 to U+009F mean is lost
 * on a page anyway. */
void train_page_text(struct train_page *page, const char *bytes)
{
    char *text = nn_text(bytes);
    if (!text) page->failed = true;
    for (const unsigned char *s = (const unsigned char *)text; s && *s; s++) {
        const char one[] = {(char)*s, 0};
        if (*s < 0x20 || *s == 0x7f)
            train_page_bytes(page, (const char[]){'\xe2', '\x90', (char)(*s == 0x7f ? 0xa1 : 0x80 + *s)}, 3);
        else if (*s == 0xc2 && s[1] < 0xa0)
            train_page_bytes(page, "\xef\xbf\xbd", 3), s++;
        else
            train_page_escaped(page, one);
        if ((*s == '_' || *s == '/') && s[1]) train_page_add(page, "<wbr>");
    }
    rudd_free(text);
}

void train_page_base64(struct train_page *page, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t v = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0u);
        char quad[4] = {digits[v >> 18], digits[v >> 12 & 63], left > 1 ? digits[v >> 6 & 63] : '=',
                        left > 2 ? digits[v & 63] : '='};
        train_page_bytes(page, quad, 4);
    }
}
