/* folder.c - making, claiming and filling folders, and whose a file is; see folder.h. */
#include "train/folder.h"

#include "nn/base/refuse.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum rudd_status train_folder_make(const char *path, struct rudd_error *err)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return RUDD_OK;
    return nn_refuse_folder(path, errno, err);
}

enum rudd_status train_folder_make_all(const char *path, struct rudd_error *err)
{
    char part[4096];
    struct stat st;
    if (strlen(path) >= sizeof part)
        return rudd_fail(err, RUDD_ARGUMENT, "the path of a folder is %zu bytes long; expected fewer than %zu", strlen(path),
                         sizeof part);
    for (size_t n = 1; n <= strlen(path); n++) {
        if (path[n] != '/' && path[n] != 0) continue;
        snprintf(part, sizeof part, "%.*s", (int)n, path);
        enum rudd_status status = train_folder_make(part, err);
        if (status) return status;
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return rudd_fail(err, RUDD_IO, "%s: is not a folder", path);
    return RUDD_OK;
}

enum rudd_status train_folder_must_be_empty(const char *path, const char *what, bool (*may_stay)(const char *name),
                                            struct rudd_error *err)
{
    enum rudd_status status = RUDD_OK;
    DIR *dir = opendir(path);
    if (!dir) return nn_refuse_open(path, "folder", errno, err);
    const char *found = NULL;
    for (struct dirent *e; !found && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !(may_stay && may_stay(e->d_name)))
            found = e->d_name;
    if (found)
        status = rudd_fail(err, RUDD_ARGUMENT, "%s holds %.100s already; %s written only into a new or empty folder", path,
                           found, what);
    closedir(dir);
    return status;
}

enum rudd_status train_folder_claim(const char *path, struct rudd_error *err)
{
    enum rudd_status status = train_folder_make(path, err);
    return status ? status : train_folder_must_be_empty(path, "pictures are", NULL, err);
}

enum rudd_status train_folder_write(const char *path, const void *bytes, size_t length, struct rudd_error *err)
{
    FILE *file = fopen(path, "wb");
    if (!file) return nn_refuse_write(path, errno, err);
    bool whole = fwrite(bytes, 1, length, file) == length;
    whole = fclose(file) == 0 && whole;
    if (whole) return RUDD_OK;
    int why = errno;
    unlink(path);
    return nn_refuse_write(path, why, err);
}

enum rudd_status train_file_must_be_own(const char *path, const char *beginning, const char *what, struct rudd_error *err)
{
    char start[100] = "";
    struct stat st;
    const size_t length = strlen(beginning);
    if (stat(path, &st) || !S_ISREG(st.st_mode) || !st.st_size) return RUDD_OK;
    FILE *file = fopen(path, "rb");
    if (!file) return nn_refuse_open(path, "file", errno, err);
    const bool own = length <= sizeof start && fread(start, 1, length, file) == length && !memcmp(start, beginning, length);
    fclose(file);
    if (own) return RUDD_OK;
    return rudd_fail(err, RUDD_ARGUMENT, "%s exists and is not %s, so it is not replaced; give another name", path, what);
}
