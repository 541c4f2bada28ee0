/* tls.c - see tls.h. TLS 1.2 and later.
 *
 * Not here: certificates that change while the server runs, client certificates, several names. */
#include "serve/tls.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static enum rudd_status read_pem(char **pem, const char *option, const char *path, struct rudd_error *err)
{
    enum { LIMIT = 1 << 20 };
    enum rudd_status status = RUDD_OK;
    FILE *f = fopen(path, "rb");
    if (!f) return rudd_fail(err, RUDD_IO, "%s %.500s: %s", option, path, strerror(errno));
    setbuf(f, NULL); /* no second copy of a key in memory */
    char *text = rudd_zalloc(1, LIMIT + 1);
    size_t n = text ? fread(text, 1, LIMIT, f) : 0;
    if (!text)
        status = rudd_fail(err, RUDD_NO_MEMORY, "%s %.500s: out of memory", option, path);
    else if (ferror(f))
        status = rudd_fail(err, RUDD_IO, "%s %.500s: %s", option, path, strerror(errno));
    else if (n == LIMIT || !strstr(text, "-----BEGIN "))
        status = rudd_fail(err, RUDD_FORMAT, "%s %.500s: not a PEM file (-----BEGIN ...)", option, path);
    fclose(f);
    if (status && text) explicit_bzero(text, LIMIT);
    if (status)
        rudd_free(text);
    else
        *pem = text;
    return status;
}

enum rudd_status serve_tls_read(struct serve_tls *tls, const char *certificate_path, const char *key_path,
                                struct rudd_error *err)
{
    if (!certificate_path && !key_path) return RUDD_OK;
    if (!certificate_path || !key_path)
        return rudd_fail(err, RUDD_ARGUMENT, "--tls-cert and --tls-key belong together; one of them is missing");
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "--tls-cert: this libmicrohttpd was built without TLS; use another, or a proxy in front");
    struct serve_tls t = {0};
    enum rudd_status status = read_pem(&t.certificate, "--tls-cert", certificate_path, err);
    if (!status) status = read_pem(&t.key, "--tls-key", key_path, err);
    if (status)
        serve_tls_free(&t);
    else
        *tls = t;
    return status;
}

void serve_tls_free(struct serve_tls *tls)
{
    if (tls->key) explicit_bzero(tls->key, strlen(tls->key));
    rudd_free(tls->key);
    rudd_free(tls->certificate);
    *tls = (struct serve_tls){0};
}

void serve_tls_options(struct MHD_OptionItem items[4], const struct serve_tls *tls)
{
    int n = 0;
    if (tls->key) {
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, tls->certificate};
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, tls->key};
        items[n++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t) "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"};
    }
    items[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
}
