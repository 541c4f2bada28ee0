/* suggest.c - the name that was meant: see suggest.h. */
#include "nn/base/suggest.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 48 };

/* Levenshtein's distance, one row of the table at a time. Words longer than the row are as far
 * apart as can be. */
static int distance(const char *a, const char *b)
{
    int row[NAME_MAX_LENGTH + 1], n = (int)strlen(b);
    if (n > NAME_MAX_LENGTH || strlen(a) > NAME_MAX_LENGTH) return INT_MAX;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 0; a[i]; i++) {
        int diagonal = row[0];
        row[0] = i + 1;
        for (int j = 1; j <= n; j++) {
            int best = diagonal + (a[i] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *nn_option_nearest(const char *wrong, const char *const *names, int count)
{
    const char *best = NULL;
    int least = 1 + (int)strlen(wrong) / 3; /* a third may be wrong: more is another word */
    for (int i = 0; i < count; i++) {
        int d = distance(wrong, names[i]);
        if (d < least || (d == least && !best)) {
            least = d;
            best = names[i];
        }
    }
    return best;
}

/* The first of the words of "a|b" that is among the names. */
static const char *first_of(const char *words, const char *const *names, int count)
{
    while (words && *words) {
        const size_t n = strcspn(words, "|");
        for (int i = 0; i < count; i++)
            if (strlen(names[i]) == n && memcmp(names[i], words, n) == 0) return names[i];
        words += n + (words[n] == '|');
    }
    return NULL;
}

struct nn_suggestion nn_suggest(const char *wrong, const char *const *names, int count,
                                const struct nn_synonym *synonyms)
{
    char word[NAME_MAX_LENGTH + 1];
    struct nn_suggestion s = {0};
    bool known = false;
    size_t n = 0;
    for (; wrong[n] && n < NAME_MAX_LENGTH; n++)
        word[n] = wrong[n] == '_' ? '-' : (char)tolower((unsigned char)wrong[n]);
    word[n] = 0;
    s.name = first_of(word, names, count); /* right but for a capital or '_' */
    for (; !s.name && synonyms && synonyms->wrong; synonyms++) {
        if (strcmp(synonyms->wrong, word) != 0) continue;
        known = true;
        s.name = first_of(synonyms->right, names, count);
        s.advice = synonyms->advice;
        if (s.name || s.advice) return s;
    }
    if (!s.name && !known) { /* a known word, of other commands, is no spelling mistake */
        s.name = nn_option_nearest(word, names, count);
        s.spelled = s.name != NULL;
    }
    return s;
}

const struct nn_option *nn_suggest_option(struct nn_suggestion *found,
                                          const struct nn_options *options, const char *wrong)
{
    enum { MOST = 256 };
    char text[MOST][NAME_MAX_LENGTH];
    const char *names[MOST] = {0};
    const struct nn_option *rows[MOST];
    int n = 0;
    for (int i = 0; i < options->count && n < MOST; i++) {
        if (options->rows[i].type == NN_OPTION_GROUP) continue;
        rows[n] = &options->rows[i];
        names[n] = nn_option_name(text[n], sizeof text[n], rows[n]);
        n++;
    }
    *found = nn_suggest(wrong, names, n, nn_option_synonyms);
    for (int i = 0; found->name && i < n; i++)
        if (names[i] == found->name) {
            found->name = rows[i]->name; /* outlives the names above; may have "|o" behind it */
            return rows[i];
        }
    return NULL;
}
