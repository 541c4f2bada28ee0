/* account.c - see account.h. An account that has no memory for an example still counts. */
#include "data/sets/account.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *key, *one, *many;
} kinds[DATA_LEFT_COUNT] = {
#define ROW(name, key, one, many) {key, one, many},
    DATA_LEFT_KINDS(ROW)
#undef ROW
};

const char *data_left_key(enum data_left kind)
{
    return kinds[kind].key;
}

void data_account_add(struct data_account *account, enum data_left kind, const char *path,
                      const char *detail)
{
    if (account->count[kind]++ || account->example[kind]) return;
    const size_t room = strlen(path) + (detail ? strlen(detail) : 0) + 4;
    char *text = rudd_alloc(room);
    if (text)
        snprintf(text, room, "%s%s%s%s", path, detail ? " (" : "", detail ? detail : "",
                 detail ? ")" : "");
    account->example[kind] = text;
}

void data_account_note(struct data_account *account, const char *format, ...)
{
    char clause[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(clause, sizeof clause, format, arguments);
    va_end(arguments);
    const size_t before = account->note ? strlen(account->note) : 0;
    char *longer = rudd_realloc(account->note, before + strlen(clause) + 3);
    if (!longer) return;
    sprintf(longer + before, "%s%s", before ? "; " : "", clause);
    account->note = longer;
}

void data_account_merge(struct data_account *to, struct data_account *from)
{
    for (int kind = 0; kind < DATA_LEFT_COUNT; kind++) {
        to->count[kind] += from->count[kind];
        if (to->example[kind]) continue;
        to->example[kind] = from->example[kind];
        from->example[kind] = NULL;
    }
    if (from->note) data_account_note(to, "%s", from->note);
    data_account_free(from);
}

void data_account_free(struct data_account *account)
{
    for (int kind = 0; kind < DATA_LEFT_COUNT; kind++) rudd_free(account->example[kind]);
    rudd_free(account->note);
    *account = (struct data_account){0};
}

int data_account_total(const struct data_account *account)
{
    int total = 0;
    for (int kind = 0; kind < DATA_LEFT_COUNT; kind++) total += account->count[kind];
    return total;
}

char *data_account_print(char *text, size_t size, const struct data_account *account)
{
    size_t used = 0;
    text[0] = 0;
    for (int kind = 0; kind < DATA_LEFT_COUNT; kind++) {
        const int n = account->count[kind];
        const char *example = account->example[kind];
        if (!n || used >= size) continue;
        used += (size_t)snprintf(text + used, size - used, "%s%d %s", used ? ", " : "left out: ", n,
                                 n == 1 ? kinds[kind].one : kinds[kind].many);
        if (example && used < size)
            used += (size_t)snprintf(text + used, size - used, " (%s%.300s)",
                                     n == 1 ? "" : "such as ", example);
    }
    return text;
}
