/* tls.c - see tls.h. TLS 1.2 and later.
 *
 * Each handshake parses the PEM text anew and gives GnuTLS what it made, to be freed there: some ten microseconds beside a signature's
 * hundreds, and nobody has to know when the last handshake with an old certificate is over.
 *
 * Not here: client certificates, several names, OCSP. */
#include "serve/tls.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#ifdef HAVE_GNUTLS
#include "nn/library.h"
#include "serve/libgnutls.h"
#endif

enum { LIMIT = 1 << 20 }; /* bytes of a file */

struct pair {
    char *certificate, *key; /* PEM */
};

struct serve_tls {
    struct serve_tls_options options;
    struct serve_files *files;
    struct serve_metrics *metrics;
    pthread_rwlock_t lock; /* of the pair */
    struct pair pair;
};

static struct serve_tls *the_one; /* set before the daemon starts, cleared after it ended */

static void free_pair(struct pair *p)
{
    if (p->key) explicit_bzero(p->key, strlen(p->key));
    rudd_free(p->key);
    rudd_free(p->certificate);
    *p = (struct pair){0};
}

static enum rudd_status read_pem(char **pem, const char *option, const char *path, struct rudd_error *err)
{
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

#ifdef HAVE_GNUTLS

static gnutls_datum_t datum_of(char *pem)
{
    return (gnutls_datum_t){(unsigned char *)pem, (unsigned)strlen(pem)};
}

/* Whether GnuTLS takes the two, and one is the other's. */
static enum rudd_status check_pair(const struct serve_tls_options *o, const struct pair *p, struct rudd_error *err)
{
    gnutls_certificate_credentials_t c;
    const gnutls_datum_t certificate = datum_of(p->certificate), key = datum_of(p->key);
    int failed = gnutls_certificate_allocate_credentials(&c);
    if (!failed) {
        failed = gnutls_certificate_set_x509_key_mem(c, &certificate, &key, GNUTLS_X509_FMT_PEM);
        gnutls_certificate_free_credentials(c);
    }
    return failed < 0 ? rudd_fail(err, RUDD_FORMAT, "--tls-cert %.300s, --tls-key %.300s: %s", o->certificate, o->key,
                                  gnutls_strerror(failed))
                      : RUDD_OK;
}

/* gnutls_certificate_retrieve_function3: the pair, for one handshake. */
static int for_handshake(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **chain,
                         unsigned *length, gnutls_ocsp_data_st **ocsp, unsigned *ocsp_length, gnutls_privkey_t *key,
                         unsigned *flags)
{
    enum { CHAIN = 16 }; /* GnuTLS' own limit */
    struct serve_tls *t = the_one;
    unsigned count = CHAIN;
    (void)session, (void)info;
    gnutls_pcert_st *list = gnutls_calloc(CHAIN, sizeof *list);
    if (!list || gnutls_privkey_init(key)) {
        gnutls_free(list);
        return -1;
    }
    pthread_rwlock_rdlock(&t->lock);
    const gnutls_datum_t certificate_pem = datum_of(t->pair.certificate), key_pem = datum_of(t->pair.key);
    int failed = gnutls_pcert_list_import_x509_raw(list, &count, &certificate_pem, GNUTLS_X509_FMT_PEM, 0);
    if (failed < 0) count = 0;
    if (failed >= 0) failed = gnutls_privkey_import_x509_raw(*key, &key_pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    pthread_rwlock_unlock(&t->lock);
    if (failed < 0) {
        for (unsigned i = 0; i < count; i++) gnutls_pcert_deinit(&list[i]);
        gnutls_free(list);
        gnutls_privkey_deinit(*key);
        return -1;
    }
    *chain = list;
    *length = count;
    *ocsp = NULL;
    *ocsp_length = 0;
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    return 0;
}

#else

static enum rudd_status check_pair(const struct serve_tls_options *o, const struct pair *p, struct rudd_error *err)
{
    (void)o, (void)p, (void)err;
    return RUDD_OK; /* the daemon does not start with one that does not fit */
}

#endif

static enum rudd_status read_pair(struct pair *pair, const struct serve_tls_options *o, struct rudd_error *err)
{
    struct pair p = {0};
    enum rudd_status status = read_pem(&p.certificate, "--tls-cert", o->certificate, err);
    if (!status) status = read_pem(&p.key, "--tls-key", o->key, err);
    if (!status) status = check_pair(o, &p, err);
    if (status)
        free_pair(&p);
    else
        *pair = p;
    return status;
}

#ifdef HAVE_GNUTLS
static void reload(void *user)
{
    struct serve_tls *t = user;
    struct pair fresh = {0}, old;
    struct rudd_error err;
    char line[2200];
    enum rudd_status status = read_pair(&fresh, &t->options, &err);
    serve_metrics_add(t->metrics, SERVE_M_TLS_LOADS, 1, status ? "failed" : "ok");
    if (status)
        snprintf(line, sizeof line, "the certificate before goes on: %s", err.message);
    else
        snprintf(line, sizeof line, "new connections get the certificate that now is in %.1000s", t->options.certificate);
    if (t->options.say) t->options.say(line);
    if (status) return;
    pthread_rwlock_wrlock(&t->lock);
    old = t->pair;
    t->pair = fresh;
    pthread_rwlock_unlock(&t->lock);
    free_pair(&old);
}
#endif

enum rudd_status serve_tls_create(struct serve_tls **tls, const struct serve_tls_options *o, struct serve_files *files,
                                  struct serve_metrics *metrics, struct rudd_error *err)
{
    if (!o->certificate && !o->key) return RUDD_OK;
    if (!o->certificate || !o->key)
        return rudd_fail(err, RUDD_ARGUMENT, "--tls-cert and --tls-key belong together; one of them is missing");
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return rudd_fail(err, RUDD_ARGUMENT,
                         "--tls-cert: this libmicrohttpd was built without TLS; use another, or a proxy in front");
    enum rudd_status status = RUDD_OK;
#ifdef HAVE_GNUTLS
    status = nn_library_load(&serve_libgnutls_library, err, "--tls-cert: HTTPS is to be spoken");
    if (status) return status;
#endif
    if (the_one) return rudd_fail(err, RUDD_ARGUMENT, "--tls-cert: another server of this process speaks TLS already");
    struct serve_tls *t = rudd_zalloc(1, sizeof *t);
    if (!t) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for --tls-cert");
    t->options = *o;
    t->files = files;
    t->metrics = metrics;
    pthread_rwlock_init(&t->lock, NULL);
#ifdef HAVE_GNUTLS
    status = serve_files_add(files, o->certificate, reload, t, err);
    if (!status) status = serve_files_add(files, o->key, reload, t, err);
#endif
    if (!status) status = read_pair(&t->pair, o, err);
    if (status)
        serve_tls_destroy(t);
    else
        *tls = the_one = t;
    return status;
}

void serve_tls_destroy(struct serve_tls *t)
{
    if (!t) return;
    serve_files_remove(t->files, t);
    if (the_one == t) the_one = NULL;
    free_pair(&t->pair);
    pthread_rwlock_destroy(&t->lock);
    rudd_free(t);
}

void serve_tls_start_options(struct MHD_OptionItem items[4], const struct serve_tls *t)
{
    int n = 0;
    if (t) {
#ifdef HAVE_GNUTLS
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *)(intptr_t)for_handshake};
#else
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, t->pair.certificate};
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, t->pair.key};
#endif
        items[n++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t) "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"};
    }
    items[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
}
