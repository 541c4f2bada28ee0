/* libpq.h - libpq, loaded when a store in PostgreSQL is opened. Included instead of <libpq-fe.h>.
 * Empty where rudd is built without it. */
#ifndef DATA_LIBPQ_H
#define DATA_LIBPQ_H

#ifdef HAVE_LIBPQ

#include <libpq-fe.h>
#include "kernels/library.h"

#define DATA_LIBPQ(F)                                                                                                          \
    F(PQclear)                                                                                                                 \
    F(PQcmdTuples)                                                                                                             \
    F(PQconnectPoll)                                                                                                           \
    F(PQconnectStartParams)                                                                                                    \
    F(PQconnectdb)                                                                                                             \
    F(PQconninfoFree)                                                                                                          \
    F(PQconninfoParse)                                                                                                         \
    F(PQconsumeInput)                                                                                                          \
    F(PQenterPipelineMode)                                                                                                     \
    F(PQerrorMessage)                                                                                                          \
    F(PQexec)                                                                                                                  \
    F(PQexitPipelineMode)                                                                                                      \
    F(PQfinish)                                                                                                                \
    F(PQflush)                                                                                                                 \
    F(PQfreemem)                                                                                                               \
    F(PQftype)                                                                                                                 \
    F(PQgetResult)                                                                                                             \
    F(PQgetisnull)                                                                                                             \
    F(PQgetlength)                                                                                                             \
    F(PQgetvalue)                                                                                                              \
    F(PQisBusy)                                                                                                                \
    F(PQnfields)                                                                                                               \
    F(PQntuples)                                                                                                               \
    F(PQpipelineSync)                                                                                                          \
    F(PQresultErrorField)                                                                                                      \
    F(PQresultErrorMessage)                                                                                                    \
    F(PQresultStatus)                                                                                                          \
    F(PQsendPrepare)                                                                                                           \
    F(PQsendQuery)                                                                                                             \
    F(PQsendQueryPrepared)                                                                                                     \
    F(PQsetNoticeReceiver)                                                                                                     \
    F(PQsetnonblocking)                                                                                                        \
    F(PQsocket)                                                                                                                \
    F(PQstatus)                                                                                                                \
    F(PQunescapeBytea)

KERN_LIBRARY_DECLARE(data_libpq, DATA_LIBPQ);

#define PQclear (*data_libpq.PQclear)
#define PQcmdTuples (*data_libpq.PQcmdTuples)
#define PQconnectPoll (*data_libpq.PQconnectPoll)
#define PQconnectStartParams (*data_libpq.PQconnectStartParams)
#define PQconnectdb (*data_libpq.PQconnectdb)
#define PQconninfoFree (*data_libpq.PQconninfoFree)
#define PQconninfoParse (*data_libpq.PQconninfoParse)
#define PQconsumeInput (*data_libpq.PQconsumeInput)
#define PQenterPipelineMode (*data_libpq.PQenterPipelineMode)
#define PQerrorMessage (*data_libpq.PQerrorMessage)
#define PQexec (*data_libpq.PQexec)
#define PQexitPipelineMode (*data_libpq.PQexitPipelineMode)
#define PQfinish (*data_libpq.PQfinish)
#define PQflush (*data_libpq.PQflush)
#define PQfreemem (*data_libpq.PQfreemem)
#define PQftype (*data_libpq.PQftype)
#define PQgetResult (*data_libpq.PQgetResult)
#define PQgetisnull (*data_libpq.PQgetisnull)
#define PQgetlength (*data_libpq.PQgetlength)
#define PQgetvalue (*data_libpq.PQgetvalue)
#define PQisBusy (*data_libpq.PQisBusy)
#define PQnfields (*data_libpq.PQnfields)
#define PQntuples (*data_libpq.PQntuples)
#define PQpipelineSync (*data_libpq.PQpipelineSync)
#define PQresultErrorField (*data_libpq.PQresultErrorField)
#define PQresultErrorMessage (*data_libpq.PQresultErrorMessage)
#define PQresultStatus (*data_libpq.PQresultStatus)
#define PQsendPrepare (*data_libpq.PQsendPrepare)
#define PQsendQuery (*data_libpq.PQsendQuery)
#define PQsendQueryPrepared (*data_libpq.PQsendQueryPrepared)
#define PQsetNoticeReceiver (*data_libpq.PQsetNoticeReceiver)
#define PQsetnonblocking (*data_libpq.PQsetnonblocking)
#define PQsocket (*data_libpq.PQsocket)
#define PQstatus (*data_libpq.PQstatus)
#define PQunescapeBytea (*data_libpq.PQunescapeBytea)

#endif
#endif
