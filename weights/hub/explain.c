/* explain.c - see explain.h. */
#include "weights/hub/explain.h"

#include <stdio.h>
#include <string.h>

#include "weights/hub/known.h"

void hub_address(char url[HUB_URL], const struct hub_settings *settings, const char *repo,
                 const char *revision, const char *file)
{
    char escaped[3 * HUB_REVISION], *out = escaped;
    for (const char *s = revision; *s && s - revision < HUB_REVISION; s++) {
        if (*s == '/')
            out = strcpy(out, "%2F") + 3;
        else
            *out++ = *s;
    }
    *out = 0;
    snprintf(url, HUB_URL, "%s/%s/resolve/%s/%s", settings->endpoint, repo, escaped, file);
}

enum rudd_status hub_explain_by_hand(const struct hub_about *about, enum rudd_status status,
                                     struct rudd_error *err)
{
    char url[HUB_URL];
    hub_address(url, about->settings, about->name->repo, about->name->revision, about->file);
    if (!err) return status;
    return rudd_fail(err, status,
                     "%.1200s; without a network here: open %s in a browser on a machine that has "
                     "one, and give the file in place of the name: --weights FILE",
                     err->message, url);
}

enum rudd_status hub_explain_offline(const struct hub_about *about, struct rudd_error *err)
{
    rudd_fail(
        err, RUDD_IO,
        "%s: HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids the network, and %.500s does not "
        "hold %s of it",
        about->name->repo, about->settings->cache, about->file);
    return hub_explain_by_hand(about, RUDD_IO, err);
}

static enum rudd_status unknown_name(const struct hub_about *about, const struct hub_answer *answer,
                                     struct rudd_error *err)
{
    char near[120], hint[200] = "rudd fetch lists those that are known to work";
    if (hub_known_nearest(near, sizeof near, about->name->repo) &&
        strcmp(near, about->name->repo) != 0)
        snprintf(hint, sizeof hint, "did you mean %s?", near);
    return rudd_fail(err, RUDD_MISMATCH, "%s: found no such name on %s; %s%s", about->name->repo,
                     about->settings->endpoint, hint,
                     answer->token_sent ? " (or your HF_TOKEN may not see it)"
                                        : " (what is private needs HF_TOKEN)");
}

/* An answer with an error status. */
static enum rudd_status refused(const struct hub_about *about, const struct hub_answer *answer,
                                struct rudd_error *err)
{
    const char *repo = about->name->repo, *endpoint = about->settings->endpoint;
    if (!strcmp(answer->code, "GatedRepo"))
        return rudd_fail(err, RUDD_MISMATCH,
                         "%s: its owner gives it only to those who accepted his conditions: log in "
                         "at %s/%s, accept them, make a token in your settings there, and set "
                         "HF_TOKEN to it",
                         repo, endpoint, repo);
    if (!strcmp(answer->code, "RevisionNotFound"))
        return rudd_fail(err, RUDD_MISMATCH,
                         "%s: has no branch, tag or commit \"%s\"; %s/%s/tree/main shows them",
                         repo, about->name->revision, endpoint, repo);
    if (!strcmp(answer->code, "EntryNotFound"))
        return rudd_fail(err, RUDD_MISMATCH, "%s: has no file %s; %s/%s/tree/main lists its files",
                         repo, about->file, endpoint, repo);
    if (!strcmp(answer->code, "RepoNotFound")) return unknown_name(about, answer, err);
    switch (answer->http) {
    case 401:
        if (answer->token_sent)
            return rudd_fail(err, RUDD_MISMATCH,
                             "%s: %s does not accept your token (HF_TOKEN, or the file of hf auth "
                             "login): make a new one, or unset it: public weights need none",
                             repo, endpoint);
        return unknown_name(about, answer, err);
    case 403:
        return rudd_fail(err, RUDD_MISMATCH,
                         "%s: %s forbids it (403); see whether %s/%s opens in a browser where you "
                         "are logged in, and set HF_TOKEN to a token of yours",
                         repo, endpoint, endpoint, repo);
    case 404: return unknown_name(about, answer, err);
    case 407:
        return rudd_fail(err, RUDD_IO,
                         "%s: the proxy asks for a name and a password (407): "
                         "https_proxy=http://NAME:PASSWORD@HOST:PORT gives them",
                         repo);
    case 429:
        return rudd_fail(err, RUDD_IO,
                         "%s: %s answers that there were too many requests (429): wait %ld seconds "
                         "and try again%s",
                         repo, endpoint, answer->retry_after ? answer->retry_after : 300,
                         answer->token_sent ? "" : "; with HF_TOKEN more are allowed");
    default: break;
    }
    return rudd_fail(err, RUDD_IO, "%s: %s answers with error %ld%s", repo, endpoint, answer->http,
                     answer->http >= 500 ? ": it has trouble of its own; try again later" : "");
}

static enum rudd_status broken_off(const struct hub_about *about, const struct hub_answer *answer,
                                   const struct hub_part *part, struct rudd_error *err)
{
    if (part && part->at)
        return rudd_fail(err, RUDD_IO,
                         "%s: the connection broke off at %.1f of %.1f MB of %s (%s); the part is "
                         "kept: the same command goes on from there",
                         about->name->repo, (double)part->at / 1e6, (double)part->facts->size / 1e6,
                         about->file, *answer->words ? answer->words : "too few bytes came");
    rudd_fail(err, RUDD_IO, "%s: no connection to %s (%s)", about->name->repo,
              about->settings->endpoint, *answer->words ? answer->words : "it gave no answer");
    return hub_explain_by_hand(about, RUDD_IO, err);
}

enum rudd_status hub_explain(const struct hub_about *about, enum hub_result result,
                             const struct hub_answer *answer, const struct hub_part *part,
                             struct rudd_error *err)
{
    const char *repo = about->name->repo, *endpoint = about->settings->endpoint;
    switch (result) {
    case HUB_REFUSED: return refused(about, answer, err);
    case HUB_UNTRUSTED:
        return rudd_fail(err, RUDD_IO,
                         "%s: the certificate of %s is not accepted (%s): install ca-certificates; "
                         "where your network checks what passes, set SSL_CERT_FILE to its "
                         "certificates",
                         repo, endpoint, answer->words);
    case HUB_CHANGED:
        return rudd_fail(
            err, RUDD_MISMATCH,
            "%s: %s of \"%s\" is another file each time that it is asked for; try again "
            "later",
            repo, about->file, about->name->revision);
    case HUB_NO_FILE:
        rudd_fail(err, RUDD_FORMAT,
                  "%s: %s answers with a page, not with a file of a hub (HTTP %ld): a network that "
                  "wants you to log in does that: open any page in a browser first; or HF_ENDPOINT "
                  "names no hub",
                  repo, endpoint, answer->http);
        return RUDD_FORMAT;
    case HUB_STOPPED:
        return rudd_fail(err, RUDD_CANCELLED, "%s: stopped; the same command goes on from there",
                         repo);
    case HUB_FAILED: return err ? err->status : RUDD_IO;
    default: return broken_off(about, answer, part, err);
    }
}
