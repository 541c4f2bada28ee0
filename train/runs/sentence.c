/* sentence.c - a sentence that grows: see sentence.h. */
#include "train/runs/sentence.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void train_say(struct train_sentence *s, const char *format, ...)
{
    const size_t room = s->size - s->used;
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(s->text + s->used, room, format, args);
    va_end(args);
    s->full |= n < 0 || (size_t)n >= room;
    if (!s->full) s->used += (size_t)n;
}

void train_say_word(struct train_sentence *s, const char *path, const char *more)
{
    bool plain = *path && *path != '-';
    for (const char *c = path; *c; c++)
        plain = plain && (isalnum((unsigned char)*c) || strchr("_./+-:@%,=", *c));
    if (plain) {
        train_say(s, "%s%s", path, more);
        return;
    }
    train_say(s, "'");
    for (const char *c = path; *c; c++) {
        if (*c == '\'')
            train_say(s, "'\\''");
        else
            train_say(s, "%c", *c);
    }
    train_say(s, "%s'", more);
}

void train_say_percent(struct train_sentence *s, double share)
{
    const double tenths = 1000 * share;
    if (share >= 0.995 && share < 1)
        train_say(s, "%.1f %%", floor(tenths) / 10);
    else if (share > 0 && share < 0.005)
        train_say(s, "%.1f %%", ceil(tenths) / 10);
    else
        train_say(s, "%.0f %%", 100 * share);
}
