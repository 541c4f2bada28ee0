/* tls.h - certificate and private key for libmicrohttpd's TLS: PEM files, read whole, and again when they change; the key is wiped when it is
 * given back.
 *
 *     files --read, does the key fit?--> PEM in memory --each handshake--> GnuTLS
 *
 * A pair that cannot be read or does not fit changes nothing: the one before goes on, and the metric and the log say so. So it does not
 * matter which of the two files is replaced first. Connections that are there keep what they began with.
 *
 * Built without GnuTLS' headers the pair is read once, and libmicrohttpd takes it at the start. */
#ifndef SERVE_TLS_H
#define SERVE_TLS_H

#include <microhttpd.h>
#include "serve/files.h"
#include "serve/metrics.h"

struct serve_tls_options {
    const char *certificate, *key; /* PEM files; both NULL: no TLS */
    void (*say)(const char *line); /* what the log should say; may be NULL */
};

struct serve_tls;
/* *tls stays NULL without TLS. RUDD_ARGUMENT: one file alone, this libmicrohttpd has no TLS, or there is one in this process already:
 * libmicrohttpd asks for a certificate without saying for whom. */
enum rudd_status serve_tls_create(struct serve_tls **tls, const struct serve_tls_options *options, struct serve_files *files,
                                  struct serve_metrics *metrics, struct rudd_error *err);
/* After the daemon is gone, before files. NULL is fine. */
void serve_tls_destroy(struct serve_tls *tls);
/* For MHD_OPTION_ARRAY: what to start the daemon with, beside MHD_USE_TLS; ends with MHD_OPTION_END, and is only that without TLS. */
void serve_tls_start_options(struct MHD_OptionItem items[4], const struct serve_tls *tls);

#endif
