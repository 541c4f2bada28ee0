/* libcurl.h - libcurl, loaded for weights by name (hub.h) and for rudd-serve's --fetch-allow.
 * Included instead of <curl/curl.h>. */
#ifndef WEIGHTS_HUB_LIBCURL_H
#define WEIGHTS_HUB_LIBCURL_H

#ifdef HAVE_LIBCURL

#include <curl/curl.h>
#include "kernels/library.h"

#define WEIGHTS_LIBCURL(F)                                                                         \
    F(curl_easy_cleanup)                                                                           \
    F(curl_easy_getinfo)                                                                           \
    F(curl_easy_header)                                                                            \
    F(curl_easy_init)                                                                              \
    F(curl_easy_perform)                                                                           \
    F(curl_easy_reset)                                                                             \
    F(curl_easy_setopt)                                                                            \
    F(curl_easy_strerror)                                                                          \
    F(curl_free)                                                                                   \
    F(curl_global_cleanup)                                                                         \
    F(curl_global_init)                                                                            \
    F(curl_slist_append)                                                                           \
    F(curl_slist_free_all)                                                                         \
    F(curl_url)                                                                                    \
    F(curl_url_cleanup)                                                                            \
    F(curl_url_get)                                                                                \
    F(curl_url_set)

KERN_LIBRARY_DECLARE(weights_libcurl, WEIGHTS_LIBCURL);

/* Macros of the header, which only check types. */
#undef curl_easy_setopt
#undef curl_easy_getinfo

#define curl_easy_cleanup (*weights_libcurl.curl_easy_cleanup)
#define curl_easy_getinfo (*weights_libcurl.curl_easy_getinfo)
#define curl_easy_header (*weights_libcurl.curl_easy_header)
#define curl_easy_init (*weights_libcurl.curl_easy_init)
#define curl_easy_perform (*weights_libcurl.curl_easy_perform)
#define curl_easy_reset (*weights_libcurl.curl_easy_reset)
#define curl_easy_setopt (*weights_libcurl.curl_easy_setopt)
#define curl_easy_strerror (*weights_libcurl.curl_easy_strerror)
#define curl_free (*weights_libcurl.curl_free)
#define curl_global_cleanup (*weights_libcurl.curl_global_cleanup)
#define curl_global_init (*weights_libcurl.curl_global_init)
#define curl_slist_append (*weights_libcurl.curl_slist_append)
#define curl_slist_free_all (*weights_libcurl.curl_slist_free_all)
#define curl_url (*weights_libcurl.curl_url)
#define curl_url_cleanup (*weights_libcurl.curl_url_cleanup)
#define curl_url_get (*weights_libcurl.curl_url_get)
#define curl_url_set (*weights_libcurl.curl_url_set)

#endif
#endif
