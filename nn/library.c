/* library.c - see library.h. */
#include "nn/library.h"

#include <stdarg.h>
#include <stdio.h>

enum rudd_status nn_library_load(struct kern_library *library, struct rudd_error *err, const char *need, ...)
{
    char why[500], clause[1000];
    if (kern_library_load(library, why, sizeof why)) return RUDD_OK;
    va_list arguments;
    va_start(arguments, need);
    vsnprintf(clause, sizeof clause, need, arguments);
    va_end(arguments);
    return rudd_fail(err, RUDD_ARGUMENT, "%s, but %s cannot be loaded: install %s (%s)", clause, library->soname,
                     library->package, why);
}
