/* tls.h - certificate and private key for libmicrohttpd's TLS: PEM files, read whole, the key wiped when it is given back. */
#ifndef SERVE_TLS_H
#define SERVE_TLS_H

#include <microhttpd.h>
#include "nn/rudd.h"

/* All zero: no TLS. */
struct serve_tls {
    char *certificate, *key; /* PEM */
};

/* Both paths, or neither (NULL). RUDD_ARGUMENT for one alone, or when this libmicrohttpd has no TLS. */
enum rudd_status serve_tls_read(struct serve_tls *tls, const char *certificate_path, const char *key_path,
                                struct rudd_error *err);
void serve_tls_free(struct serve_tls *tls);
/* For MHD_OPTION_ARRAY: what to start the daemon with, beside MHD_USE_TLS; ends with MHD_OPTION_END, and is only that without TLS. */
void serve_tls_options(struct MHD_OptionItem items[4], const struct serve_tls *tls);

#endif
