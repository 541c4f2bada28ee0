/* where.h - the place of a server's store, as --store and --store-file name it.
 *
 *     --store rudd-serve.sqlite | sqlite:FILE | postgresql://USER@HOST/DATABASE
 *     --store-file FILE      whose first line is one of these, a URL with its password too: every
 *                            user of the machine can read command lines */
#ifndef DATA_STORE_WHERE_H
#define DATA_STORE_WHERE_H

#include <stdbool.h>
#include "nn/rudd.h"

#define DATA_STORE_FILE "rudd-serve.sqlite" /* where nothing is named */
enum { DATA_STORE_WHERE = 2048 };

/* The place into out: the first line of file, else store, else DATA_STORE_FILE. RUDD_ARGUMENT for both
 * at once, a password on the command line or a URL that cannot be read; RUDD_IO, RUDD_FORMAT for the
 * file. No message holds what the file says. */
enum rudd_status data_store_where(char out[DATA_STORE_WHERE], const char *store, const char *file,
                                  struct rudd_error *err);
/* Whether it is PostgreSQL's. */
bool data_store_is_url(const char *where);
/* Whether libpq, which is loaded, understands the URL. libpq's own words about one quote it, and its
 * password may be in there; this shows nothing of it. RUDD_ARGUMENT. Only where libpq was built in. */
enum rudd_status data_store_check_url(const char *where, struct rudd_error *err);

#endif
