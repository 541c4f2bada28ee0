/* team.h - sharing the work of a kernel among threads that sleep when there is none.
 *
 * A kernel says how many items of work it has and how many of them make a piece. Threads take pieces
 * until none is left. The calling thread takes pieces too, so a helper that the system does not run
 * holds up the one piece that it has begun and, within a plan, the caller for a moment (team.c).
 *
 *     kern_share(piece, work, items, grain, worth)
 *
 *     items  |---|---|---|---|---|---|---|---|      a piece: `grain` items
 *            place 0's pieces    place 1's          who has finished his own takes what others left
 *
 * Which thread computes an item depends on timing. What an item is must follow from shapes alone and
 * no two items may write the same element, so that the result does not depend on it. */
#ifndef KERN_TEAM_H
#define KERN_TEAM_H

#include <stdbool.h>
#include <stddef.h>

/* Computes items first .. end-1 of `work`. place: 0 <= place < kern_threads(); no two pieces run at
 * one place at the same time, so a kernel may keep scratch by place. */
typedef void kern_piece(const void *work, int first, int end, int place);

/* Runs piece over the items 0 .. items-1 and returns when all are done. worth: whether sharing pays;
 * false: the calling thread does all at place 0. Takes at most kern_threads() threads. Any thread may
 * call it, at the same time as others: they share the helpers. A piece may share work, too; it must
 * not fork. Cannot fail: without helpers, for
 * want of memory or of threads, the calling thread does all. */
void kern_share(kern_piece *piece, const void *work, int items, int grain, bool worth);

/* The grain where an item touches so many floats: pieces of 64 KiB. Handing out a piece takes as long
 * as some hundred floats. */
static inline int kern_grain(size_t floats)
{
    const size_t piece = 16384;
    return floats == 0 || floats >= piece ? 1 : (int)(piece / floats);
}

/* Between these, helpers without work wait awake for a moment, because more is to come at once.
 * Outside, they sleep almost at once. Pairs may nest and overlap between threads. */
void kern_team_begin(void);
void kern_team_end(void);

#endif
