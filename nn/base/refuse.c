/* refuse.c - see refuse.h. */
#include "nn/base/refuse.h"

#include <errno.h>
#include <stdbool.h>
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

const char *nn_write_advice(int cause)
{
    const bool full = cause == ENOSPC || cause == EDQUOT || cause == EFBIG;
    return full ? "; make room or write elsewhere" : "";
}

enum rudd_status nn_refuse_write(const char *path, int cause, struct rudd_error *err)
{
    if (cause == EACCES || cause == EPERM || cause == EROFS)
        return rudd_fail(err, RUDD_IO, "%s: you may not write this file; give another name", path);
    return rudd_fail(err, RUDD_IO, "%s: cannot write: %s%s", path, strerror(cause),
                     nn_write_advice(cause));
}

enum rudd_status nn_refuse_folder(const char *path, int cause, struct rudd_error *err)
{
    if (cause == ENOENT)
        return rudd_fail(err, RUDD_IO,
                         "%s: the folder that it would be in does not exist; make that one first",
                         path);
    if (cause == EACCES || cause == EPERM || cause == EROFS)
        return rudd_fail(err, RUDD_IO, "%s: you may not make a folder there; give another name",
                         path);
    return rudd_fail(err, RUDD_IO, "%s: the folder cannot be made: %s%s", path, strerror(cause),
                     nn_write_advice(cause));
}
