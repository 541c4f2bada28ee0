/* libutf8proc.h - utf8proc, loaded for the first name that is not ASCII. Included instead of
 * <utf8proc.h>. */
#ifndef DATA_LIBUTF8PROC_H
#define DATA_LIBUTF8PROC_H

#include <utf8proc.h>
#include "kernels/library.h"

#define DATA_LIBUTF8PROC(F) F(utf8proc_NFC)

KERN_LIBRARY_DECLARE(data_libutf8proc, DATA_LIBUTF8PROC);

#define utf8proc_NFC (*data_libutf8proc.utf8proc_NFC)

#endif
