/* pickle_machine.h - the parts of pickle.c's machine: its stack, its memo, its memory and the bytes it runs over. For pickle*.c.
 *
 *     stack   [ value value | value value value | value ]       | are marks
 *     memo    [ value, - , value, ... ]                          by number
 *
 * Functions that fail (false, NULL) have filled m->err. */
#ifndef WEIGHTS_PICKLE_MACHINE_H
#define WEIGHTS_PICKLE_MACHINE_H

#include "weights/pickle.h"

enum { PICKLE_MAX_STACK = 1 << 22, PICKLE_MAX_MARKS = 256, PICKLE_MAX_MEMORY = 256 << 20 };

/* The machine while it runs. */
struct pickle_machine {
    const unsigned char *at, *begin, *end;
    const char *name;
    struct rudd_error *err; /* never NULL */

    struct pickle_chunk *chunks; /* values are cut from */
    size_t memory;               /* of all of them */
    struct weights_value **stack, **memo;
    size_t stack_count, stack_room, memo_count, memo_room;
    size_t marks[PICKLE_MAX_MARKS]; /* stack_count when each was set */
    size_t mark_count;
    const struct weights_storage **storages;
    size_t storage_count, storage_room;
    bool stopped;
};

/* Fills m->err, a message that begins with the place; false. */
bool pickle_refuse(struct pickle_machine *m, const char *format, ...) RUDD_PRINTF(2, 3);

/* Zeroed, aligned to 16. */
void *pickle_take(struct pickle_machine *m, size_t bytes);
void pickle_free_chunks(struct pickle_chunk *chunks);
/* Makes room for at least count pointers in *array, which is of the heap; those that are new are NULL. */
bool pickle_grow(void *array, size_t *room, size_t count, struct pickle_machine *m);

bool pickle_push(struct pickle_machine *m, struct weights_value *v);
bool pickle_push_new(struct pickle_machine *m, struct weights_value value);
/* The upper *count values, off the stack but in place until more is pushed; *count 0: all above the last mark, which goes too, and their number. */
struct weights_value **pickle_pop(struct pickle_machine *m, size_t *count);
struct weights_value *pickle_top(struct pickle_machine *m);
bool pickle_append(struct pickle_machine *m, struct weights_value *list, struct weights_value *const *values, size_t count);

const unsigned char *pickle_bytes(struct pickle_machine *m, uint64_t count);
/* An unsigned little-endian integer of size bytes. */
bool pickle_number(uint64_t *number, struct pickle_machine *m, int size);
/* Text of the pickle, not terminated. */
struct pickle_text {
    const char *bytes;
    size_t length;
};
/* Up to a newline, without it. */
bool pickle_line(struct pickle_text *line, struct pickle_machine *m);
bool pickle_is(struct pickle_text text, const char *word);

/* ---- pickle_globals.c -------------------------------------------------------------------------------------------- */

/* Onto the stack: the name, if it is of the allow-list. */
bool pickle_push_global(struct pickle_machine *m, struct pickle_text module, struct pickle_text name);
/* What the name, called with the tuple of arguments, would give. */
bool pickle_push_call(struct pickle_machine *m, const struct weights_value *name, const struct weights_value *arguments);
/* What the persistent id stands for. */
bool pickle_push_storage(struct pickle_machine *m, const struct weights_value *id);

#endif
