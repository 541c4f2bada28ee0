/* settings.c - see settings.h. */
#include "weights/hub/settings.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A variable's value; NULL: not set, or empty. */
static const char *value_of(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

static const char *first_of(const char *a, const char *b)
{
    return value_of(a) ? value_of(a) : value_of(b);
}

bool hub_says_yes(const char *variable)
{
    static const char *const words[] = {"1", "ON", "YES", "TRUE"};
    const char *text = value_of(variable);
    for (size_t i = 0; text && i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(text, words[i])) return true;
    return false;
}

/* The user's own folder; "" when nothing says which. */
static const char *home_folder(void)
{
    const struct passwd *user = value_of("HOME") ? NULL : getpwuid(getuid());
    return value_of("HOME") ? value_of("HOME") : user && user->pw_dir ? user->pw_dir : "";
}

/* head/tail into out, a "~/" in front replaced. */
static enum rudd_status join(char out[HUB_PATH], const char *head, const char *tail,
                             struct rudd_error *err)
{
    const bool own = head[0] == '~' && (head[1] == '/' || !head[1]);
    const char *home = own ? home_folder() : "";
    const int n = snprintf(out, HUB_PATH, "%s%s%s%s", home, head + own, *tail ? "/" : "", tail);
    if (n < HUB_PATH - 512) return RUDD_OK; /* file names below it have room */
    return rudd_fail(err, RUDD_ARGUMENT, "the path of the hub's cache, %.100s..., is too long",
                     head);
}

/* $HF_HOME. */
static enum rudd_status hub_home(char out[HUB_PATH], struct rudd_error *err)
{
    if (value_of("HF_HOME")) return join(out, value_of("HF_HOME"), "", err);
    if (value_of("XDG_CACHE_HOME"))
        return join(out, value_of("XDG_CACHE_HOME"), "huggingface", err);
    if (!*home_folder())
        return rudd_fail(
            err, RUDD_ARGUMENT,
            "HOME is not set: set HF_HOME to a folder where downloaded weights are kept");
    return join(out, home_folder(), ".cache/huggingface", err);
}

static enum rudd_status read_endpoint(struct hub_settings *s, struct rudd_error *err)
{
    const char *text = value_of("HF_ENDPOINT") ? value_of("HF_ENDPOINT") : HUB_ENDPOINT;
    size_t length = strlen(text);
    while (length && text[length - 1] == '/') length--;
    if (length >= sizeof s->endpoint ||
        (strncmp(text, "https://", 8) && strncmp(text, "http://", 7)) ||
        strpbrk(text, " \t\r\n?#@"))
        return rudd_fail(err, RUDD_ARGUMENT,
                         "HF_ENDPOINT: found \"%.80s\", expected an address such as " HUB_ENDPOINT,
                         text);
    memcpy(s->endpoint, text, length);
    s->endpoint[length] = 0;
    return RUDD_OK;
}

/* A token without the white space around it; "" for one that could not stand in a request. */
static void set_token(struct hub_settings *s, const char *text)
{
    static const char blank[] = " \t\r\n";
    text += strspn(text, blank);
    size_t length = strlen(text);
    while (length && strchr(blank, text[length - 1])) length--;
    if (length >= sizeof s->token) return;
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~') return;
    memcpy(s->token, text, length);
    s->token[length] = 0;
}

static enum rudd_status read_token(struct hub_settings *s, const char *home, struct rudd_error *err)
{
    const char *token = first_of("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN");
    char path[HUB_PATH], text[HUB_TOKEN];
    if (hub_says_yes("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return RUDD_OK;
    if (token) {
        set_token(s, token);
        return RUDD_OK;
    }
    const char *named = value_of("HF_TOKEN_PATH");
    enum rudd_status status = named ? join(path, named, "", err) : join(path, home, "token", err);
    const int fd = status ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return status; /* nobody has logged in */
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    set_token(s, text);
    return RUDD_OK;
}

/* Whole seconds; `usual` when the variable is not set, and for 0, as in Python. */
static enum rudd_status read_seconds(long *seconds, const char *variable, long usual,
                                     struct rudd_error *err)
{
    const char *text = value_of(variable);
    char *end = NULL;
    *seconds = text ? strtol(text, &end, 10) : usual;
    if (text && (*end || *seconds < 0 || *seconds > 86400))
        return rudd_fail(err, RUDD_ARGUMENT, "%s: found \"%.40s\", expected seconds, 1 to 86400",
                         variable, text);
    if (!*seconds) *seconds = usual;
    return RUDD_OK;
}

enum rudd_status hub_settings_read(struct hub_settings *s, struct rudd_error *err)
{
    char home[HUB_PATH];
    const char *cache = first_of("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE");
    memset(s, 0, sizeof *s);
    s->certificates = value_of("SSL_CERT_FILE");
    s->offline =
        hub_says_yes(value_of("HF_HUB_OFFLINE") ? "HF_HUB_OFFLINE" : "TRANSFORMERS_OFFLINE");
    enum rudd_status status = read_endpoint(s, err);
    if (!status) status = read_seconds(&s->etag_seconds, "HF_HUB_ETAG_TIMEOUT", 10, err);
    if (!status) status = read_seconds(&s->download_seconds, "HF_HUB_DOWNLOAD_TIMEOUT", 10, err);
    if (!status) status = hub_home(home, err);
    if (!status) status = cache ? join(s->cache, cache, "", err) : join(s->cache, home, "hub", err);
    if (!status) status = read_token(s, home, err);
    return status;
}
