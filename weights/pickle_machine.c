/* pickle_machine.c - see pickle_machine.h; and what pickle.h offers over finished values. */
#include "weights/pickle_machine.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_CHUNK = 1 << 11, CHUNK = 1 << 16 }; /* bytes; they double */

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Values are cut from chunks, which form a list. */
struct pickle_chunk {
    struct pickle_chunk *next;
    size_t used, size;
};
enum { HEAD = (sizeof(struct pickle_chunk) + 15) / 16 * 16 };

static void *no_memory(struct pickle_machine *m)
{
    rudd_fail(m->err, RUDD_NO_MEMORY, "%s: no memory for its pickle", m->name);
    return NULL;
}

void *pickle_take(struct pickle_machine *m, size_t bytes)
{
    struct pickle_chunk *c = m->chunks;
    bytes = (bytes + 15) / 16 * 16;
    if (!c || c->size - c->used < bytes) {
        const size_t usual = !c ? FIRST_CHUNK : m->memory < CHUNK ? m->memory : CHUNK;
        const size_t size = bytes > usual - HEAD ? bytes + HEAD : usual;
        if (size > PICKLE_MAX_MEMORY - m->memory) {
            rudd_fail(m->err, RUDD_LIMIT, "%s: its pickle needs more than %d MiB of values", m->name, PICKLE_MAX_MEMORY >> 20);
            return NULL;
        }
        c = rudd_zalloc(size, 1);
        if (!c) return no_memory(m);
        *c = (struct pickle_chunk){m->chunks, HEAD, size};
        m->chunks = c;
        m->memory += size;
    }
    void *taken = (char *)c + c->used;
    c->used += bytes;
    return taken;
}

void pickle_free_chunks(struct pickle_chunk *c)
{
    while (c) {
        struct pickle_chunk *next = c->next;
        rudd_free(c);
        c = next;
    }
}

bool pickle_grow(void *array, size_t *room, size_t count, struct pickle_machine *m)
{
    void **old, **grown;
    memcpy(&old, array, sizeof old);
    if (count <= *room) return true;
    if (count > PICKLE_MAX_STACK) {
        rudd_fail(m->err, RUDD_LIMIT, "%s: its pickle holds more than %d values at once", m->name, PICKLE_MAX_STACK);
        return false;
    }
    size_t wanted = *room ? *room : 64;
    while (wanted < count) wanted *= 2;
    grown = rudd_realloc(old, wanted * sizeof *grown);
    if (!grown) return no_memory(m) != NULL;
    memset(grown + *room, 0, (wanted - *room) * sizeof *grown);
    *room = wanted;
    memcpy(array, &grown, sizeof grown);
    return true;
}

bool pickle_refuse(struct pickle_machine *m, const char *format, ...)
{
    char text[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    rudd_fail(m->err, RUDD_FORMAT, "%s: pickle, byte %zu: %s", m->name, (size_t)(m->at - m->begin), text);
    return false;
}

/* ---- the machine's parts ----------------------------------------------------------------------------------------- */

bool pickle_push(struct pickle_machine *m, struct weights_value *v)
{
    if (!pickle_grow(&m->stack, &m->stack_room, m->stack_count + 1, m)) return false;
    m->stack[m->stack_count++] = v;
    return true;
}

bool pickle_push_new(struct pickle_machine *m, struct weights_value value)
{
    struct weights_value *v = pickle_take(m, sizeof *v);
    if (!v) return false;
    *v = value;
    return pickle_push(m, v);
}

/* Values above the last mark, or on the whole stack. */
static size_t above_mark(const struct pickle_machine *m)
{
    return m->stack_count - (m->mark_count ? m->marks[m->mark_count - 1] : 0);
}

struct weights_value **pickle_pop(struct pickle_machine *m, size_t *count)
{
    if (!*count) {
        if (!m->mark_count) {
            pickle_refuse(m, "takes what is above a mark, but there is none");
            return NULL;
        }
        *count = above_mark(m);
        m->mark_count--;
    } else if (above_mark(m) < *count) {
        pickle_refuse(m, "needs %zu values, the stack has %zu above its mark", *count, above_mark(m));
        return NULL;
    }
    /* Of an empty stack too there must be a place to point to. */
    if (!pickle_grow(&m->stack, &m->stack_room, 1, m)) return NULL;
    m->stack_count -= *count;
    return m->stack + m->stack_count;
}

struct weights_value *pickle_top(struct pickle_machine *m)
{
    if (above_mark(m)) return m->stack[m->stack_count - 1];
    pickle_refuse(m, "needs a value, the stack has none above its mark");
    return NULL;
}

bool pickle_append(struct pickle_machine *m, struct weights_value *list, struct weights_value *const *values, size_t count)
{
    const size_t needed = list->list.count + count;
    if (needed > list->list.room) {
        const size_t room = needed < 2 * list->list.room ? 2 * list->list.room : needed;
        struct weights_value **items = pickle_take(m, room * sizeof *items);
        if (!items) return false;
        if (list->list.count) memcpy(items, list->list.items, list->list.count * sizeof *items);
        list->list.items = items;
        list->list.room = room;
    }
    if (count) memcpy(list->list.items + list->list.count, values, count * sizeof *values);
    list->list.count = needed;
    return true;
}

/* ---- bytes of the program ---------------------------------------------------------------------------------------- */

const unsigned char *pickle_bytes(struct pickle_machine *m, uint64_t count)
{
    const size_t left = (size_t)(m->end - m->at);
    if (count > left) {
        pickle_refuse(m, "needs %" PRIu64 " bytes but %zu follow; the file is truncated", count, left);
        return NULL;
    }
    m->at += count;
    return m->at - count;
}

bool pickle_number(uint64_t *number, struct pickle_machine *m, int size)
{
    const unsigned char *p = pickle_bytes(m, (uint64_t)size);
    if (!p) return false;
    *number = 0;
    for (int i = size - 1; i >= 0; i--) *number = *number << 8 | p[i];
    return true;
}

bool pickle_line(struct pickle_text *line, struct pickle_machine *m)
{
    const unsigned char *end = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (!end) return pickle_refuse(m, "a name without a newline; the file is truncated");
    *line = (struct pickle_text){(const char *)m->at, (size_t)(end - m->at)};
    m->at = end + 1;
    return true;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

const char *weights_kind_name(enum weights_kind kind)
{
    static const char *const names[] = {
        [WEIGHTS_NONE] = "None",
        [WEIGHTS_TRUTH] = "a truth value",
        [WEIGHTS_INTEGER] = "an integer",
        [WEIGHTS_REAL] = "a number",
        [WEIGHTS_TEXT] = "text",
        [WEIGHTS_LIST] = "a list",
        [WEIGHTS_TUPLE] = "a tuple",
        [WEIGHTS_DICT] = "a dict",
        [WEIGHTS_NAME] = "a global",
        [WEIGHTS_STORAGE] = "a storage",
        [WEIGHTS_TENSOR_VIEW] = "a tensor",
        [WEIGHTS_INERT] = "an object",
    };
    return names[kind];
}

bool pickle_is(struct pickle_text text, const char *word)
{
    return strlen(word) == text.length && !memcmp(text.bytes, word, text.length);
}

bool weights_value_is(const struct weights_value *v, const char *text)
{
    return v->kind == WEIGHTS_TEXT && pickle_is((struct pickle_text){v->text.bytes, v->text.length}, text);
}

const struct weights_value *weights_value_find(const struct weights_value *dict, const char *key)
{
    if (dict->kind != WEIGHTS_DICT) return NULL;
    for (size_t i = dict->list.count; i >= 2; i -= 2)
        if (weights_value_is(dict->list.items[i - 2], key)) return dict->list.items[i - 1];
    return NULL;
}
