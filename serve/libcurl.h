/* libcurl.h - libcurl, loaded for --fetch-allow. Included instead of <curl/curl.h>. */
#ifndef SERVE_LIBCURL_H
#define SERVE_LIBCURL_H

#ifdef HAVE_LIBCURL

#include <curl/curl.h>
#include "kernels/library.h"

#define SERVE_LIBCURL(F)                                                                                                       \
    F(curl_easy_cleanup)                                                                                                       \
    F(curl_easy_getinfo)                                                                                                       \
    F(curl_easy_init)                                                                                                          \
    F(curl_easy_perform)                                                                                                       \
    F(curl_easy_setopt)                                                                                                        \
    F(curl_free)                                                                                                               \
    F(curl_global_cleanup)                                                                                                     \
    F(curl_global_init)                                                                                                        \
    F(curl_url)                                                                                                                \
    F(curl_url_cleanup)                                                                                                        \
    F(curl_url_get)                                                                                                            \
    F(curl_url_set)

KERN_LIBRARY_DECLARE(serve_libcurl, SERVE_LIBCURL);

/* Macros of the header, which only check types. */
#undef curl_easy_setopt
#undef curl_easy_getinfo

#define curl_easy_cleanup (*serve_libcurl.curl_easy_cleanup)
#define curl_easy_getinfo (*serve_libcurl.curl_easy_getinfo)
#define curl_easy_init (*serve_libcurl.curl_easy_init)
#define curl_easy_perform (*serve_libcurl.curl_easy_perform)
#define curl_easy_setopt (*serve_libcurl.curl_easy_setopt)
#define curl_free (*serve_libcurl.curl_free)
#define curl_global_cleanup (*serve_libcurl.curl_global_cleanup)
#define curl_global_init (*serve_libcurl.curl_global_init)
#define curl_url (*serve_libcurl.curl_url)
#define curl_url_cleanup (*serve_libcurl.curl_url_cleanup)
#define curl_url_get (*serve_libcurl.curl_url_get)
#define curl_url_set (*serve_libcurl.curl_url_set)

#endif
#endif
