/* walk.h - every picture below a folder, once, in the order of names.
 *
 * The one walk that all commands use: train, eval, predict, check, stats and split see the same
 * pictures. A picture is a file whose ending is that of a known format (data/image/formats.h), or
 * one with another ending or none whose first bytes are. Links are followed; a folder is entered
 * once, so that a loop of links ends. What is left out is counted (account.h).
 *
 * Order: the entries of a folder by the bytes of their names; a folder's content stands where its
 * name stands. Nothing depends on the order in which the file system gives them. */
#ifndef DATA_WALK_H
#define DATA_WALK_H

#include "data/sets/account.h"

struct data_walk {
    /* Called for each picture: `path` begins with the folder that was given. A failure ends the
     * walk and is its result. */
    enum rudd_status (*picture)(void *user, const char *path, struct rudd_error *err);
    void *user;
    const char *also;    /* an ending that is taken too, such as ".npy"; or NULL */
    const char *outside; /* a folder that no link may lead back to; or NULL */
    struct data_account *account;
};

/* A folder inside that cannot be read is counted; RUDD_IO when `folder` itself cannot be. */
enum rudd_status data_walk(const struct data_walk *walk, const char *folder,
                           struct rudd_error *err);

/* One folder's entries, sorted by the bytes of their names, without "." and "..". */
struct data_entry {
    char *name;
    enum data_entry_kind { DATA_ENTRY_FILE, DATA_ENTRY_FOLDER, DATA_ENTRY_DANGLING } kind;
    bool link;
};
/* RUDD_IO when the folder cannot be read. Free with data_entries_free. */
enum rudd_status data_entries_read(struct data_entry **entries, int *count, const char *folder,
                                   struct rudd_error *err);
void data_entries_free(struct data_entry *entries, int count);

/* Whether name is one of the folders that systems leave in others: __MACOSX, @eaDir, lost+found,
 * $RECYCLE.BIN, "System Volume Information". */
bool data_is_system_folder(const char *name);

/* Whether folder/entry, which is no folder, is to be taken for a picture; if not, it is counted. */
bool data_walk_takes(const struct data_walk *walk, const char *path,
                     const struct data_entry *entry);

char *data_path_join(const char *folder, const char *name); /* rudd_alloc'ed; NULL: no memory */

#endif
