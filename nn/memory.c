/* memory.c - places a plan's buffers in its one block: greedy by size over lifetimes. */
#include "nn/steps.h"

enum { LINE = 16 }; /* floats of a cache line: every buffer starts on one */

static bool alive_together(const struct nn_buffer *a, const struct nn_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset where b fits among the buffers placed so far. */
static size_t lowest_gap(const struct nn_buffer *b, const struct nn_buffer *buffers, const int *placed, int placed_count)
{
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < placed_count; i++) {
            const struct nn_buffer *p = &buffers[placed[i]];
            if (alive_together(b, p) && offset < p->offset + p->floats && p->offset < offset + b->floats) {
                offset = (p->offset + p->floats + LINE - 1) / LINE * LINE;
                moved = true;
            }
        }
    }
    return offset;
}

size_t nn_memory_place(struct nn_buffer *buffers, int count, int *order)
{
    int used = 0;
    for (int i = 0; i < count; i++) {
        if (buffers[i].first < 0) continue;
        /* Insertion by size, ties by number: the layout depends on the plan alone. */
        int at = used++;
        for (; at > 0 && buffers[order[at - 1]].floats < buffers[i].floats; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    size_t total = 0;
    for (int i = 0; i < used; i++) {
        struct nn_buffer *b = &buffers[order[i]];
        b->offset = lowest_gap(b, buffers, order, i);
        if (b->offset + b->floats > total) total = b->offset + b->floats;
    }
    return total;
}
