/* pickles.h - pickles as Python writes them, opcode by opcode, for tests of what reads them. */
#ifndef TESTS_PICKLES_H
#define TESTS_PICKLES_H

#include <string.h>

/* Pieces of pickles; PIECE makes a piece of the bytes of a literal, zeros included. */
struct piece {
    const char *bytes;
    size_t length;
};
#define PIECE(literal)                                                                                                         \
    (struct piece)                                                                                                             \
    {                                                                                                                          \
        literal, sizeof(literal) - 1                                                                                           \
    }

/* A tensor of two floats, [1,2] of storage KEY from element offset on, in a storage of count. All three are one character: a digit, and the numbers
 * themselves as bytes. */
#define STORAGE(KEY, COUNT) "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" KEY "X\3\0\0\0cpuK" COUNT "tQ"
#define TENSOR(KEY, COUNT, OFFSET)                                                                                             \
    "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE(KEY, COUNT) "K" OFFSET                                                      \
                                                               "K\1K\2\206K\2K\1\206\211ccollections\nOrderedDict\n)RtR"
/* Text of at most 255 bytes. */
#define NAME(LENGTH, TEXT) "X" LENGTH "\0\0\0" TEXT

#endif
