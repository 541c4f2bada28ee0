/* libsqlite.h - SQLite, loaded when a store in a file is opened. Included for <sqlite3.h>. */
#ifndef DATA_LIBSQLITE_H
#define DATA_LIBSQLITE_H

#include <sqlite3.h>
#include "kernels/library.h"

#define DATA_LIBSQLITE(F)                                                                                                      \
    F(sqlite3_bind_blob64)                                                                                                     \
    F(sqlite3_bind_double)                                                                                                     \
    F(sqlite3_bind_int64)                                                                                                      \
    F(sqlite3_bind_null)                                                                                                       \
    F(sqlite3_bind_text64)                                                                                                     \
    F(sqlite3_busy_timeout)                                                                                                    \
    F(sqlite3_changes)                                                                                                         \
    F(sqlite3_clear_bindings)                                                                                                  \
    F(sqlite3_close)                                                                                                           \
    F(sqlite3_column_blob)                                                                                                     \
    F(sqlite3_column_bytes)                                                                                                    \
    F(sqlite3_column_count)                                                                                                    \
    F(sqlite3_column_double)                                                                                                   \
    F(sqlite3_column_int64)                                                                                                    \
    F(sqlite3_column_text)                                                                                                     \
    F(sqlite3_column_type)                                                                                                     \
    F(sqlite3_errmsg)                                                                                                          \
    F(sqlite3_exec)                                                                                                            \
    F(sqlite3_finalize)                                                                                                        \
    F(sqlite3_open_v2)                                                                                                         \
    F(sqlite3_prepare_v2)                                                                                                      \
    F(sqlite3_prepare_v3)                                                                                                      \
    F(sqlite3_reset)                                                                                                           \
    F(sqlite3_step)

KERN_LIBRARY_DECLARE(data_libsqlite, DATA_LIBSQLITE);

#define sqlite3_bind_blob64 (*data_libsqlite.sqlite3_bind_blob64)
#define sqlite3_bind_double (*data_libsqlite.sqlite3_bind_double)
#define sqlite3_bind_int64 (*data_libsqlite.sqlite3_bind_int64)
#define sqlite3_bind_null (*data_libsqlite.sqlite3_bind_null)
#define sqlite3_bind_text64 (*data_libsqlite.sqlite3_bind_text64)
#define sqlite3_busy_timeout (*data_libsqlite.sqlite3_busy_timeout)
#define sqlite3_changes (*data_libsqlite.sqlite3_changes)
#define sqlite3_clear_bindings (*data_libsqlite.sqlite3_clear_bindings)
#define sqlite3_close (*data_libsqlite.sqlite3_close)
#define sqlite3_column_blob (*data_libsqlite.sqlite3_column_blob)
#define sqlite3_column_bytes (*data_libsqlite.sqlite3_column_bytes)
#define sqlite3_column_count (*data_libsqlite.sqlite3_column_count)
#define sqlite3_column_double (*data_libsqlite.sqlite3_column_double)
#define sqlite3_column_int64 (*data_libsqlite.sqlite3_column_int64)
#define sqlite3_column_text (*data_libsqlite.sqlite3_column_text)
#define sqlite3_column_type (*data_libsqlite.sqlite3_column_type)
#define sqlite3_errmsg (*data_libsqlite.sqlite3_errmsg)
#define sqlite3_exec (*data_libsqlite.sqlite3_exec)
#define sqlite3_finalize (*data_libsqlite.sqlite3_finalize)
#define sqlite3_open_v2 (*data_libsqlite.sqlite3_open_v2)
#define sqlite3_prepare_v2 (*data_libsqlite.sqlite3_prepare_v2)
#define sqlite3_prepare_v3 (*data_libsqlite.sqlite3_prepare_v3)
#define sqlite3_reset (*data_libsqlite.sqlite3_reset)
#define sqlite3_step (*data_libsqlite.sqlite3_step)

#endif
