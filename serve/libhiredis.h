/* libhiredis.h - hiredis, loaded for --cache. Included instead of <hiredis/hiredis.h>. */
#ifndef SERVE_LIBHIREDIS_H
#define SERVE_LIBHIREDIS_H

#ifdef HAVE_HIREDIS

#include <hiredis/hiredis.h>
#include "kernels/library.h"

#define SERVE_LIBHIREDIS(F)                                                                                                    \
    F(freeReplyObject)                                                                                                         \
    F(redisAppendCommandArgv)                                                                                                  \
    F(redisBufferRead)                                                                                                         \
    F(redisBufferWrite)                                                                                                        \
    F(redisConnectNonBlock)                                                                                                    \
    F(redisEnableKeepAlive)                                                                                                    \
    F(redisFree)                                                                                                               \
    F(redisGetReplyFromReader)

KERN_LIBRARY_DECLARE(serve_libhiredis, SERVE_LIBHIREDIS);

#define freeReplyObject (*serve_libhiredis.freeReplyObject)
#define redisAppendCommandArgv (*serve_libhiredis.redisAppendCommandArgv)
#define redisBufferRead (*serve_libhiredis.redisBufferRead)
#define redisBufferWrite (*serve_libhiredis.redisBufferWrite)
#define redisConnectNonBlock (*serve_libhiredis.redisConnectNonBlock)
#define redisEnableKeepAlive (*serve_libhiredis.redisEnableKeepAlive)
#define redisFree (*serve_libhiredis.redisFree)
#define redisGetReplyFromReader (*serve_libhiredis.redisGetReplyFromReader)

#endif
#endif
