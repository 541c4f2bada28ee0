/* name.c - see name.h. */
#include "weights/hub/name.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

/* Copies text up to `length` characters; false: too long or empty. */
static bool copy(char *out, size_t size, const char *text, size_t length)
{
    if (!length || length >= size) return false;
    memcpy(out, text, length);
    out[length] = 0;
    return true;
}

/* An owner or a name: letters, digits, '_', '-' and '.'; the last two not at an end nor twice. */
static bool is_part(const char *text, size_t length)
{
    static const char inner[] = LETTERS "-.";
    if (!length || length > 96) return false;
    for (size_t i = 0; i < length; i++) {
        if (!strchr(inner, text[i])) return false;
        const bool sign = text[i] == '-' || text[i] == '.';
        if (sign && (i == 0 || i + 1 == length || text[i + 1] == text[i])) return false;
    }
    return true;
}

static bool is_revision(const char *text, size_t length)
{
    if (!length || length >= HUB_REVISION || *text == '/' || *text == '.') return false;
    if (strspn(text, LETTERS "-./") < length || text[length - 1] == '/') return false;
    for (size_t i = 0; i + 1 < length; i++)
        if ((text[i] == '.' || text[i] == '/') && (text[i + 1] == '.' || text[i + 1] == '/'))
            return false;
    return true;
}

static bool ends_as_a_file(const char *text, size_t length)
{
    static const char *const endings[] = {".safetensors", ".pth", ".pt",   ".bin",    ".ckpt",
                                          ".npz",         ".h5",  ".hdf5", ".keras",  ".onnx",
                                          ".tar",         ".zip", ".json", ".gguf",   ".tflite",
                                          ".pkl",         ".git", ".gz",   ".msgpack"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t n = strlen(endings[i]);
        if (length >= n && !strncasecmp(text + length - n, endings[i], n)) return true;
    }
    return false;
}

/* What stands behind the mark of a marked name; text itself when it has none. */
static const char *skip_mark(const char *text, bool *page, const char *endpoint)
{
    static const char *const marks[] = {"hf-hub:", "hf_hub:", "hf://models/", "hf://", "hf:"};
    static const char *const pages[] = {"https://huggingface.co/", "https://hf.co/",
                                        "https://www.huggingface.co/", "http://huggingface.co/"};
    const size_t length = endpoint ? strlen(endpoint) : 0;
    *page = false;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (!strncmp(text, marks[i], strlen(marks[i]))) return text + strlen(marks[i]);
    *page = true;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (!strncasecmp(text, pages[i], strlen(pages[i]))) return text + strlen(pages[i]);
    if (length && !strncmp(text, endpoint, length) && text[length] == '/') return text + length + 1;
    *page = false;
    return text;
}

/* The revision of a page's address: "/tree/REV", "/blob/REV/FILE", "/resolve/REV/FILE". */
static bool page_revision(struct hub_name *name, const char *rest)
{
    static const char *const kinds[] = {"/tree/", "/blob/", "/resolve/", "/raw/"};
    rest += strspn(rest, "/") > 1 ? strspn(rest, "/") - 1 : 0;
    if (!*rest || !strcmp(rest, "/") || *rest == '?' || *rest == '#') return true;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const size_t n = strlen(kinds[i]);
        if (strncmp(rest, kinds[i], n) != 0) continue;
        const size_t length = strcspn(rest + n, "/?#");
        return is_revision(rest + n, length) &&
               copy(name->revision, sizeof name->revision, rest + n, length);
    }
    return false;
}

bool hub_name_parse(struct hub_name *name, const char *text, const char *endpoint)
{
    struct hub_name n = {.revision = "main"};
    bool page;
    const char *s = skip_mark(text, &page, endpoint);
    n.marked = s != text;
    const size_t owner = strcspn(s, "/");
    if (s[owner] != '/' || !is_part(s, owner)) return false;
    const char *model = s + owner + 1;
    const size_t length = strcspn(model, page ? "/?#" : "@");
    if (!is_part(model, length) || !copy(n.repo, sizeof n.repo, s, owner + 1 + length))
        return false;
    const char *rest = model + length;
    if (page) {
        if (!page_revision(&n, rest)) return false;
    } else if (*rest == '@') {
        if (!is_revision(rest + 1, strlen(rest + 1)) ||
            !copy(n.revision, sizeof n.revision, rest + 1, strlen(rest + 1)))
            return false;
    }
    if (ends_as_a_file(model, length)) return false;
    *name = n;
    return true;
}

bool hub_is_commit(const char *revision)
{
    return strlen(revision) == 40 && strspn(revision, "0123456789abcdef") == 40;
}
