/* refuse.c - see refuse.h. */
#include "nn/base/refuse.h"

#include <errno.h>
#include <string.h>

enum rudd_status nn_refuse_open(const char *path, const char *what, int cause,
                                struct rudd_error *err)
{
    if (cause == ENOENT)
        return rudd_fail(err, RUDD_IO,
                         "%s: there is no such %s; check its name and the folder that you are in",
                         path, what);
    if (cause == ENOTDIR)
        return rudd_fail(err, RUDD_IO, "%s: a file stands where a folder is expected", path);
    if (cause == EACCES)
        return rudd_fail(err, RUDD_IO, "%s: you may not read this %s; ask its owner for permission",
                         path, what);
    return rudd_fail(err, RUDD_IO, "%s: cannot open the %s: %s", path, what, strerror(cause));
}
