/* predict_sort.c - pictures sorted into folders by what they show, and a file that undoes it.
 *
 *     DIR/sure/CLASS/heron.jpg      a link to the picture (or a copy of it); heron-2.jpg, if another
 *     DIR/unsure/CLASS/...          folder has a heron.jpg too
 *     DIR/unread.csv                pictures that could not be read, and why
 *     DIR/undo.sh                   a shell script: each link, copy and folder, a line each
 *     DIR/.rudd-sort                a mark, by which undo.sh and later runs know the folder
 *
 * Nothing is ever overwritten, and the pictures themselves are only read. Links are symbolic and
 * hold the picture's absolute path. So they work across disks, say where a picture came from, and
 * stay right when DIR moves.
 *
 * A line of undo.sh is written before the thing that it undoes is made. A run that is killed at any
 * moment leaves at most a line too many, and the script passes over what is not there. */
#include "train/predict.h"

#include "nn/base/refuse.h"
#include "nn/text.h"
#include "train/folder.h"
#include "train/sort_undo.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_LONGEST = 255 };
static const char unread_start[] = "path,error\n";

struct sorter {
    struct train_sink sink;
    const rudd_model *model;
    struct train_sorting sorting;
    const char *folder;
    char *here; /* the current folder, absolute */
    int dir, unread;
    struct train_undo *undo;
    long count;            /* pictures so far */
    struct train_page row; /* kept from row to row */
};

/* ---- names ---------------------------------------------------------------------------------- */

static const char *just_name(const void *user, int i)
{
    (void)i;
    return user;
}

/* The folder of a class: its name, if it keeps the rule for class names; models of old may hold
 * others. */
static void class_folder(char *out, size_t size, const struct sorter *s, const struct rudd_top *top)
{
    const char *name = rudd_model_class_name(s->model, top->index);
    const char *half = top->probability >= s->sorting.sure ? "sure" : "unsure";
    if (nn_class_names_check(just_name, name, 1, "", NULL) == RUDD_OK)
        snprintf(out, size, "%s/%s", half, name);
    else
        snprintf(out, size, "%s/class-%d", half, top->index + 1);
}

/* The n-th name to try for a picture: heron.jpg, heron-2.jpg ... heron-9.jpg, then by the number of
 * the picture, which is nearly always free. So a thousand pictures of one name stay fast. */
static void name_for(char out[NAME_LONGEST + 1], const struct sorter *s, const char *path, int n)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    char number[32] = "";
    if (n > 1) snprintf(number, sizeof number, "-%ld", n < 10 ? n : s->count + n - 10);
    if (!dot || dot == name || strlen(dot) > 16) dot = name + strlen(name);
    size_t stem = (size_t)(dot - name), room = NAME_LONGEST - strlen(dot) - strlen(number);
    if (stem > room) {
        stem = room;
        while (stem && ((unsigned char)name[stem] & 0xc0) == 0x80) stem--; /* not within a character */
    }
    snprintf(out, NAME_LONGEST + 1, "%.*s%s%s", (int)stem, name, number, dot);
}

/* path as it is from anywhere, rudd_alloc'ed. */
static char *absolute(const struct sorter *s, const char *path)
{
    const size_t room = strlen(s->here) + strlen(path) + 2;
    char *out = rudd_alloc(room);
    if (!out) return NULL;
    if (path[0] == '/')
        strcpy(out, path);
    else
        snprintf(out, room, "%s/%s", strcmp(s->here, "/") ? s->here : "", path);
    return out;
}

static bool is_there(const struct sorter *s, const char *name)
{
    struct stat st;
    return fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- making --------------------------------------------------------------------------------- */

static enum rudd_status make_folder(struct sorter *s, const char *name, struct rudd_error *err)
{
    if (is_there(s, name)) return RUDD_OK;
    enum rudd_status status = train_undo_folder(s->undo, name, err);
    if (status || mkdirat(s->dir, name, 0777) == 0 || errno == EEXIST) return status;
    return rudd_fail(err, RUDD_IO, "%s/%s: the folder cannot be made: %s", s->folder, name, strerror(errno));
}

/* The picture's bytes and its time as a new file; as open(2), -1 and errno. */
static int copy_to(const struct sorter *s, const char *name, const struct train_answer *a)
{
    struct stat st;
    int fd = openat(s->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), failed = 0;
    if (fd < 0) return -1;
    for (size_t done = 0; done < a->length && !failed;) {
        const ssize_t n = write(fd, a->bytes + done, a->length - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            failed = n ? errno : ENOSPC;
    }
    if (!failed && stat(a->path, &st) == 0) futimens(fd, (struct timespec[2]){st.st_mtim, st.st_mtim});
    if (close(fd) && !failed) failed = errno;
    if (failed) unlinkat(s->dir, name, 0);
    errno = failed;
    return failed ? -1 : 0;
}

static enum rudd_status put(struct sorter *s, const struct train_answer *a, const char *target, struct rudd_error *err)
{
    char folder[NN_CLASS_NAME + 16], name[NAME_LONGEST + 1], path[sizeof folder + sizeof name];
    class_folder(folder, sizeof folder, s, &a->top[0]);
    enum rudd_status status = make_folder(s, folder[0] == 's' ? "sure" : "unsure", err);
    if (!status) status = make_folder(s, folder, err);
    for (int n = 1; !status; n++) {
        name_for(name, s, a->path, n);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (is_there(s, path)) continue;
        status = train_undo_file(s->undo, path, target, s->sorting.copy, err);
        if (status || (s->sorting.copy ? copy_to(s, path, a) : symlinkat(target, s->dir, path)) == 0) return status;
        if (errno != EEXIST)
            status = rudd_fail(err, RUDD_IO, "%s/%s: cannot make the %s: %s%s", s->folder, path,
                               s->sorting.copy ? "copy" : "link", strerror(errno),
                               !s->sorting.copy && errno == EPERM ? "; this disk has no links, so give --copy" : "");
    }
    return status;
}

/* ---- the sink ------------------------------------------------------------------------------- */

static enum rudd_status write_unread(struct sorter *s, const char *path, const char *error, struct rudd_error *err)
{
    struct train_page *row = &s->row;
    row->length = 0;
    train_csv_path(row, path);
    train_page_add(row, ",");
    train_csv_path(row, error);
    train_page_add(row, "\n");
    if (row->failed) return rudd_fail(err, RUDD_NO_MEMORY, "%s/unread.csv: no memory for a row", s->folder);
    if (write(s->unread, row->text, row->length) == (ssize_t)row->length) return RUDD_OK;
    return rudd_fail(err, RUDD_IO, "%s/unread.csv: cannot write: %s%s", s->folder, strerror(errno), nn_write_advice(errno));
}

static enum rudd_status take(struct train_sink *sink, const struct train_answer *a, struct rudd_error *err)
{
    struct sorter *s = (struct sorter *)sink;
    if (a->image > 0) return RUDD_OK; /* told with the file's first tensor */
    s->count++;
    if (a->error) return write_unread(s, a->path, a->error, err);
    if (a->image == 0) return write_unread(s, a->path, "a file of tensors, not a picture", err);
    char *target = absolute(s, a->path);
    if (!target) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to sort it", a->path);
    enum rudd_status status = put(s, a, target, err);
    rudd_free(target);
    return status;
}

static enum rudd_status end(struct train_sink *sink, bool stopped, struct rudd_error *err)
{
    (void)stopped; /* undo.sh is complete at any time */
    struct sorter *s = (struct sorter *)sink;
    enum rudd_status status = RUDD_OK;
    if (s->unread >= 0 && close(s->unread))
        status =
            rudd_fail(err, RUDD_IO, "%s/unread.csv: cannot write: %s%s", s->folder, strerror(errno), nn_write_advice(errno));
    if (s->dir >= 0) close(s->dir);
    train_undo_close(s->undo);
    rudd_free(s->row.text);
    rudd_free(s->here);
    rudd_free(s);
    return status;
}

/* The current folder, rudd_alloc'ed; NULL and errno: it cannot be found, or ENOMEM. */
static char *current_folder(void)
{
    for (size_t room = 4096; room <= 1 << 20; room *= 2) {
        char *here = rudd_alloc(room);
        if (!here) errno = ENOMEM;
        if (!here || getcwd(here, room)) return here;
        rudd_free(here);
        if (errno != ERANGE) return NULL;
    }
    return NULL;
}

enum rudd_status train_predict_sort(struct train_sink **sink, const char *folder, const rudd_model *model,
                                    const struct train_sorting *sorting, struct rudd_error *err)
{
    struct stat st;
    const bool made = mkdir(folder, 0777) == 0;
    if (!made && errno != EEXIST) return nn_refuse_folder(folder, errno, err);
    struct sorter *s = rudd_zalloc(1, sizeof *s);
    if (!s) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to sort into it", folder);
    *s = (struct sorter){.sink = {take, end}, .model = model, .sorting = *sorting, .folder = folder, .dir = -1, .unread = -1};
    enum rudd_status status = RUDD_OK;
    s->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir < 0)
        status = rudd_fail(err, RUDD_IO, "%s: cannot open the folder: %s", folder, strerror(errno));
    else if (!(s->here = current_folder()))
        status = rudd_fail(err, errno == ENOMEM ? RUDD_NO_MEMORY : RUDD_IO, "%s: cannot find the current folder: %s", folder,
                           strerror(errno));
    if (!status) status = train_undo_open(&s->undo, s->dir, folder, made, err);
    if (!status) {
        s->unread = openat(s->dir, "unread.csv", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
        const bool fresh = s->unread >= 0 && fstat(s->unread, &st) == 0 && st.st_size == 0;
        const ssize_t length = (ssize_t)sizeof unread_start - 1;
        if (s->unread < 0 || (fresh && write(s->unread, unread_start, (size_t)length) != length))
            status = rudd_fail(err, RUDD_IO, "%s/unread.csv: cannot write: %s", folder, strerror(errno));
    }
    if (status)
        end(&s->sink, true, NULL);
    else
        *sink = &s->sink;
    return status;
}
