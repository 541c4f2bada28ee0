/* libgnutls.h - GnuTLS, loaded for --tls-cert. Included instead of <gnutls/abstract.h>.
 * Debian's libmicrohttpd brings it along; another one may do without. */
#ifndef SERVE_LIBGNUTLS_H
#define SERVE_LIBGNUTLS_H

#ifdef HAVE_GNUTLS

#include <gnutls/abstract.h>
#include "kernels/library.h"

#define SERVE_LIBGNUTLS(F)                                                                                                     \
    F(gnutls_calloc)                                                                                                           \
    F(gnutls_certificate_allocate_credentials)                                                                                 \
    F(gnutls_certificate_free_credentials)                                                                                     \
    F(gnutls_certificate_set_x509_key_mem)                                                                                     \
    F(gnutls_free)                                                                                                             \
    F(gnutls_pcert_deinit)                                                                                                     \
    F(gnutls_pcert_list_import_x509_raw)                                                                                       \
    F(gnutls_privkey_deinit)                                                                                                   \
    F(gnutls_privkey_import_x509_raw)                                                                                          \
    F(gnutls_privkey_init)                                                                                                     \
    F(gnutls_strerror)

KERN_LIBRARY_DECLARE(serve_libgnutls, SERVE_LIBGNUTLS);

#define gnutls_calloc (*serve_libgnutls.gnutls_calloc)
#define gnutls_certificate_allocate_credentials (*serve_libgnutls.gnutls_certificate_allocate_credentials)
#define gnutls_certificate_free_credentials (*serve_libgnutls.gnutls_certificate_free_credentials)
#define gnutls_certificate_set_x509_key_mem (*serve_libgnutls.gnutls_certificate_set_x509_key_mem)
#define gnutls_free (*serve_libgnutls.gnutls_free)
#define gnutls_pcert_deinit (*serve_libgnutls.gnutls_pcert_deinit)
#define gnutls_pcert_list_import_x509_raw (*serve_libgnutls.gnutls_pcert_list_import_x509_raw)
#define gnutls_privkey_deinit (*serve_libgnutls.gnutls_privkey_deinit)
#define gnutls_privkey_import_x509_raw (*serve_libgnutls.gnutls_privkey_import_x509_raw)
#define gnutls_privkey_init (*serve_libgnutls.gnutls_privkey_init)
#define gnutls_strerror (*serve_libgnutls.gnutls_strerror)

#endif
#endif
