/* sort_undo.c - see sort_undo.h.
 *
 * undo.sh is a POSIX shell script: functions in front, then a line for each thing that was made,
 *
 *     undo_folder 'sure'
 *     undo_folder 'sure/pike'
 *     undo_link 'sure/pike/a.jpg' '/pictures/a.jpg'
 *
 * and a trap that ends the work after the last line, however many there are: so lines can be added
 * at any time. Names stand in single quotes, in which a shell reads all bytes as they are; a quote
 * becomes '\'' and a line feed '"$n"', so that a record is always one line and a cut one is known.
 *
 * The script removes a link only if it still leads to its picture (or holds that path, when the
 * picture is gone), and a copy only if it still equals its picture. It works in the folder that has
 * its mark and nowhere else. */
#include "train/sort_undo.h"

#include "nn/base/refuse.h"
#include "train/folder.h"
#include "train/page.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MARK ".rudd-sort"
#define SCRIPT "undo.sh"
enum { ID = 32, TAIL = 1 << 16 };

static const char head[] = "#!/bin/sh\n"
                           "# Undoes what `rudd predict --sort-into` made in this folder: removes every link that still\n"
                           "# leads to its picture, every copy that still equals its picture, then the empty folders.\n"
                           "# Anything else stays and is named. The pictures themselves are not touched.\n"
                           "#\n"
                           "#     sh undo.sh\n"
                           "LC_ALL=C\nexport LC_ALL\nunset CDPATH\n"
                           "case $0 in\n*/*) cd -- \"${0%/*}/\" || exit 1 ;;\nesac\n"
                           "n='\n'\n";

static const char body[] =
    "found=\n"
    "[ -f " MARK " ] && read -r found < " MARK "\n"
    "if [ \"$found\" != \"$id\" ]; then\n"
    "    echo 'undo.sh: this is not the folder that it was made for; nothing was removed' >&2\n"
    "    exit 1\n"
    "fi\n"
    "kept=0 folders=0 doomed=0 list=\n"
    "keep() {\n"
    "    printf 'kept: %s: %s\\n' \"$1\" \"$2\" >&2\n"
    "    kept=1\n"
    "}\n"
    "remove() { # a hundred at a time\n"
    "    doomed=$((doomed + 1))\n"
    "    eval \"doomed$doomed=\\$1\"\n"
    "    list=\"$list \\\"\\$doomed$doomed\\\"\"\n"
    "    [ \"$doomed\" -lt 100 ] || flush\n"
    "}\n"
    "flush() {\n"
    "    [ -z \"$list\" ] || eval \"rm -f $list\" || kept=1\n"
    "    doomed=0 list=\n"
    "}\n"
    "undo_link() {\n"
    "    if [ -L \"$1\" ]; then\n"
    "        if [ \"$1\" -ef \"$2\" ] 2> /dev/null || [ \"$(readlink \"$1\" && echo .)\" = \"$2$n.\" ]; then\n"
    "            remove \"$1\"\n"
    "        else\n"
    "            keep \"$1\" 'leads elsewhere now'\n"
    "        fi\n"
    "    elif [ -e \"$1\" ]; then\n"
    "        keep \"$1\" 'is no link any more'\n"
    "    fi\n"
    "}\n"
    "undo_copy() {\n"
    "    if [ -f \"$1\" ] && ! [ -L \"$1\" ] && cmp -s \"$1\" \"$2\"; then\n"
    "        remove \"$1\"\n"
    "    elif [ -e \"$1\" ] || [ -L \"$1\" ]; then\n"
    "        keep \"$1\" 'differs from its picture, or that is gone'\n"
    "    fi\n"
    "}\n"
    "undo_folder() {\n"
    "    folders=$((folders + 1))\n"
    "    eval \"folder$folders=\\$1\"\n"
    "}\n"
    "finish() {\n"
    "    flush\n"
    "    while [ \"$folders\" -gt 0 ]; do\n"
    "        eval \"folder=\\$folder$folders\"\n"
    "        folders=$((folders - 1))\n"
    "        [ ! -d \"$folder\" ] || rmdir \"$folder\" || kept=1\n"
    "    done\n"
    "    [ \"$kept\" = 0 ] || exit 1\n"
    "    rm -f unread.csv " MARK " " SCRIPT "\n"
    "    [ \"$made\" = 1 ] || exit 0\n"
    "    here=$(pwd -P && echo .)\n"
    "    here=${here%\"$n\".}\n"
    "    cd -P .. && rmdir -- \"./${here##*/}\"\n"
    "}\n"
    "trap finish EXIT\n";

struct train_undo {
    const char *folder;
    int fd;
    struct train_page line; /* kept from line to line */
};

static enum rudd_status failed(const struct train_undo *u, const char *what, struct rudd_error *err)
{
    return rudd_fail(err, RUDD_IO, "%s/%s: cannot write: %s%s", u->folder, what, strerror(errno), nn_write_advice(errno));
}

/* The line as a whole, or not at all. */
static enum rudd_status write_line(struct train_undo *u, struct rudd_error *err)
{
    struct stat st;
    if (u->line.failed) return rudd_fail(err, RUDD_NO_MEMORY, "%s/" SCRIPT ": no memory for a line", u->folder);
    if (fstat(u->fd, &st)) return failed(u, SCRIPT, err);
    const ssize_t n = write(u->fd, u->line.text, u->line.length);
    if (n == (ssize_t)u->line.length) return RUDD_OK;
    if (n >= 0) errno = ENOSPC;
    enum rudd_status status = failed(u, SCRIPT, err);
    (void)!ftruncate(u->fd, st.st_size);
    return status;
}

static void add_quoted(struct train_page *line, const char *bytes)
{
    train_page_bytes(line, " '", 2);
    for (const char *s = bytes; *s;) {
        const size_t plain = strcspn(s, "'\n");
        train_page_bytes(line, s, plain);
        s += plain;
        if (!*s) break;
        const char *as = *s == '\n' ? "'\"$n\"'" : "'\\''";
        train_page_bytes(line, as, strlen(as));
        s++;
    }
    train_page_bytes(line, "'", 1);
}

enum rudd_status train_undo_folder(struct train_undo *u, const char *name, struct rudd_error *err)
{
    u->line.length = 0;
    train_page_add(&u->line, "undo_folder");
    add_quoted(&u->line, name);
    train_page_add(&u->line, "\n");
    return write_line(u, err);
}

enum rudd_status train_undo_file(struct train_undo *u, const char *name, const char *target, bool copy, struct rudd_error *err)
{
    u->line.length = 0;
    train_page_add(&u->line, copy ? "undo_copy" : "undo_link");
    add_quoted(&u->line, name);
    add_quoted(&u->line, target);
    train_page_add(&u->line, "\n");
    return write_line(u, err);
}

/* ---- beginning ------------------------------------------------------------------------------ */

/* The id in the folder's mark; "": it has none. */
static void read_mark(char id[ID + 1], int dir)
{
    int fd = openat(dir, MARK, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, id, ID);
    if (fd >= 0) close(fd);
    id[n > 0 ? n : 0] = 0;
    id[strspn(id, "0123456789abcdef-")] = 0;
}

/* A new mark; it need only differ from those of other folders. */
static enum rudd_status write_mark(struct train_undo *u, char id[ID + 1], int dir, struct rudd_error *err)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(id, ID + 1, "%llx-%lx", (unsigned long long)t.tv_sec * 1000000000 + (unsigned long long)t.tv_nsec, (long)getpid());
    int fd = openat(dir, MARK, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return failed(u, MARK, err);
    const bool whole = dprintf(fd, "%s\n", id) == (int)strlen(id) + 1;
    return close(fd) || !whole ? failed(u, MARK, err) : RUDD_OK;
}

/* Drops the end of a line that a power cut left. */
static enum rudd_status mend(struct train_undo *u, struct rudd_error *err)
{
    char tail[TAIL];
    struct stat st;
    if (fstat(u->fd, &st)) return failed(u, SCRIPT, err);
    const off_t from = st.st_size > TAIL ? st.st_size - TAIL : 0;
    ssize_t n = pread(u->fd, tail, sizeof tail, from);
    if (n < 0) return failed(u, SCRIPT, err);
    while (n && tail[n - 1] != '\n') n--;
    if (from + n < st.st_size && ftruncate(u->fd, from + n)) return failed(u, SCRIPT, err);
    return RUDD_OK;
}

static enum rudd_status begin(struct train_undo *u, int dir, const char *id, bool made, struct rudd_error *err)
{
    struct stat st;
    u->fd = openat(dir, SCRIPT, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0777);
    if (u->fd < 0 || fstat(u->fd, &st)) return failed(u, SCRIPT, err);
    if (st.st_size) return mend(u, err);
    train_page_bytes(&u->line, head, sizeof head - 1);
    train_page_add(&u->line, "id=%s made=%d\n", id, made);
    train_page_bytes(&u->line, body, sizeof body - 1);
    return write_line(u, err);
}

enum rudd_status train_undo_open(struct train_undo **undo, int dir, const char *folder, bool made, struct rudd_error *err)
{
    char id[ID + 1];
    enum rudd_status status = RUDD_OK;
    read_mark(id, dir);
    if (!*id) status = train_folder_must_be_empty(folder, "sorted pictures are", NULL, err);
    if (status) return status;
    struct train_undo *u = rudd_zalloc(1, sizeof *u);
    if (!u) return rudd_fail(err, RUDD_NO_MEMORY, "%s: no memory to sort into it", folder);
    u->folder = folder;
    u->fd = -1;
    if (!*id) status = write_mark(u, id, dir, err);
    if (!status) status = begin(u, dir, id, made, err);
    if (status)
        train_undo_close(u);
    else
        *undo = u;
    return status;
}

void train_undo_close(struct train_undo *u)
{
    if (!u) return;
    if (u->fd >= 0) close(u->fd);
    rudd_free(u->line.text);
    rudd_free(u);
}
