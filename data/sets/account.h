/* account.h - what a scan of folders leaves out, and what it takes otherwise than its name says.
 *
 * A picture that is not used is counted here under one kind, with the first path as an example.
 * Commands print data_account_print's line and the counts in --json, so that no picture
 * disappears without a word. */
#ifndef DATA_ACCOUNT_H
#define DATA_ACCOUNT_H

#include <stdbool.h>
#include "nn/rudd.h"

/* ROW(NAME, key in JSON, words for one, words for several) */
#define DATA_LEFT_KINDS(ROW)                                                                       \
    ROW(FORMAT, "no_decoder", "picture that this rudd cannot decode",                              \
        "pictures that this rudd cannot decode")                                                   \
    ROW(DANGLING, "dangling_links", "link that leads nowhere", "links that lead nowhere")          \
    ROW(CLOSED, "not_permitted", "file or folder that cannot be opened",                           \
        "files and folders that cannot be opened")                                                 \
    ROW(AGAIN, "read_already", "link to a folder that is read already",                            \
        "links to folders that are read already")                                                  \
    ROW(UNLABELLED, "unlabelled", "picture without a class", "pictures without a class")           \
    ROW(AMBIGUOUS, "several_classes", "picture with several classes",                              \
        "pictures with several classes")                                                           \
    ROW(MISSING, "missing_files", "listed picture that is not there",                              \
        "listed pictures that are not there")                                                      \
    ROW(BESIDE, "beside_splits", "folder beside the splits", "folders beside the splits")          \
    ROW(SYSTEM, "system_folders", "folder that a system made", "folders that a system made")       \
    ROW(HIDDEN, "hidden", "hidden name", "hidden names")                                           \
    ROW(OTHER, "not_pictures", "file that is no picture", "files that are no pictures")

#define DATA_LEFT_ENUM(name, key, one, many) DATA_LEFT_##name,
enum data_left { DATA_LEFT_KINDS(DATA_LEFT_ENUM) DATA_LEFT_COUNT };
#undef DATA_LEFT_ENUM

struct data_account {
    int count[DATA_LEFT_COUNT];
    char *example[DATA_LEFT_COUNT]; /* the first path of each kind; NULL: none, or no memory */
    char *note; /* what was taken otherwise than named, such as "valid/ for validation"; or NULL */
};

/* path: an example, with `detail` (may be NULL) in brackets behind it. */
void data_account_add(struct data_account *account, enum data_left kind, const char *path,
                      const char *detail);
/* Appends a clause to the note. */
void RUDD_PRINTF(2, 3) data_account_note(struct data_account *account, const char *format, ...);
/* Adds `from` to *to and empties it. */
void data_account_merge(struct data_account *to, struct data_account *from);
void data_account_free(struct data_account *account);

int data_account_total(const struct data_account *account);
const char *data_left_key(enum data_left kind);
/* "left out: 9 links that lead nowhere (such as a/b.jpg), 1 hidden name (such as .x.jpg)" in
 * text[size]; "" when nothing was. Returns text. */
char *data_account_print(char *text, size_t size, const struct data_account *account);

#endif
