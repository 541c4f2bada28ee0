/* identify.c - see identify.h. A new kind is a row; the first row that fits names the file.
 *
 * Sources: each format's own description (ONNX's onnx.proto, TensorFlow's saved_model.proto and
 * meta_graph.proto, Apple's Model.proto, flatbuffers' file identifiers, the LFS pointer's
 * specification, ISO/IEC 14496-12 for "ftyp", POSIX for ustar), and file(1)'s table for the rest.
 *
 * Not here: raw numbers without a header (OpenVINO's .bin, TensorFlow's .data-00000-of-00001). */
#include "weights/container/identify.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { TEXT_LOOKED_AT = 1 << 16 };

struct span {
    const unsigned char *bytes;
    size_t length;
};

static bool holds_at(struct span s, size_t at, const char *magic, size_t size)
{
    return s.length >= at + size && !memcmp(s.bytes + at, magic, size);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Behind a byte order mark and white space. */
static struct span text_start(struct span s)
{
    size_t at = holds_at(s, 0, "\xef\xbb\xbf", 3) ? 3 : 0;
    while (at < s.length && s.bytes[at] && strchr(" \t\r\n", s.bytes[at])) at++;
    return (struct span){s.bytes + at, s.length - at};
}

static bool begins(struct span s, const char *word)
{
    const size_t n = strlen(word);
    return s.length >= n && !strncasecmp((const char *)s.bytes, word, n);
}

static bool mentions(struct span s, const char *word)
{
    const size_t n = strlen(word);
    const size_t end = s.length < TEXT_LOOKED_AT ? s.length : TEXT_LOOKED_AT;
    for (size_t i = 0; i + n <= end; i++)
        if (!memcmp(s.bytes + i, word, n)) return true;
    return false;
}

/* No control characters among the first bytes, and none of those that UTF-8 never has. */
static bool is_text(struct span s)
{
    const size_t end = s.length < 4096 ? s.length : 4096;
    for (size_t i = 0; i < end; i++) {
        const unsigned char c = s.bytes[i];
        if (c < '\t' || (c > '\r' && c < ' ') || c == 0x7f || c > 0xf7) return false;
    }
    return end > 0;
}

static bool is_html(struct span s)
{
    const struct span t = text_start(s);
    return begins(t, "<!doctype html") || begins(t, "<html") || begins(t, "<head") ||
           (begins(t, "<?xml") && mentions(t, "<html"));
}

static bool is_report(struct span s)
{
    return is_html(s) && mentions(s, "<title>rudd ");
}

static bool is_openvino(struct span s)
{
    return begins(text_start(s), "<?xml") && mentions(s, "<net ") && mentions(s, "<layers>");
}

static bool is_svg(struct span s)
{
    const struct span t = text_start(s);
    return begins(t, "<svg") || (begins(t, "<?xml") && mentions(t, "<svg"));
}

static bool is_xml(struct span s)
{
    const struct span t = text_start(s);
    return begins(t, "<?xml") || begins(t, "<error>");
}

static bool is_json(struct span s)
{
    const struct span t = text_start(s);
    return t.length && (t.bytes[0] == '{' || t.bytes[0] == '[') && is_text(t);
}

static bool is_index(struct span s)
{
    return is_json(s) && mentions(s, "\"weight_map\"");
}

static bool is_run_json(struct span s)
{
    return is_json(s) && mentions(s, "\"dataset\"") && mentions(s, "\"machine\"") &&
           mentions(s, "\"versions\"");
}

static bool is_metrics(struct span s)
{
    return is_json(s) && mentions(s, "\"epoch\"") && mentions(s, "\"train_loss\"");
}

static bool is_config(struct span s)
{
    return is_json(s) && (mentions(s, "\"architecture") || mentions(s, "\"model_type\"") ||
                          mentions(s, "\"pretrained_cfg\""));
}

static bool is_script(struct span s)
{
    return holds_at(s, 0, "#!", 2) && is_text(s);
}

/* A comma or a tab in the first line, and as many in the second. */
static bool is_table(struct span s)
{
    size_t at = 0, counts[2] = {0, 0};
    if (!is_text(s)) return false;
    for (int line = 0; line < 2; line++, at++)
        for (; at < s.length && s.bytes[at] != '\n'; at++)
            counts[line] += s.bytes[at] == ',' || s.bytes[at] == '\t';
    return counts[0] && counts[0] == counts[1];
}

/* ---- protocol buffers: a field's tag is its number * 8 + 2 for texts and messages ------------ */

/* A varint at *at; false beyond the end or beyond 64 bits. */
static bool read_varint(uint64_t *value, size_t *at, struct span s)
{
    *value = 0;
    for (int shift = 0; shift < 63 && *at < s.length; shift += 7) {
        const unsigned char byte = s.bytes[(*at)++];
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

/* Field 1 a number, as ONNX, SavedModel and Core ML begin: *at goes behind it. */
static bool starts_with_version(uint64_t *version, size_t *at, struct span s)
{
    *at = 1;
    return s.length > 4 && s.bytes[0] == 0x08 && read_varint(version, at, s) && *at < s.length;
}

/* Field 2 a message: *at goes to its first tag. */
static bool enters_second(size_t *at, struct span s)
{
    uint64_t size;
    if (s.bytes[(*at)++] != 0x12 || !read_varint(&size, at, s)) return false;
    return *at < s.length && size;
}

static bool is_saved_model(struct span s)
{
    uint64_t version, size;
    size_t at;
    if (!starts_with_version(&version, &at, s) || version != 1 || !enters_second(&at, s))
        return false;
    /* MetaGraphDef.meta_info_def, and in it stripped_op_list. */
    return s.bytes[at++] == 0x0a && read_varint(&size, &at, s) && at < s.length &&
           s.bytes[at] == 0x12;
}

static bool is_core_ml(struct span s)
{
    uint64_t version, size;
    size_t at;
    if (!starts_with_version(&version, &at, s) || version < 1 || version > 20) return false;
    if (!enters_second(&at, s)) return false;
    /* ModelDescription.input, and in it its name. */
    return s.bytes[at++] == 0x0a && read_varint(&size, &at, s) && at < s.length &&
           s.bytes[at] == 0x0a;
}

/* ir_version, then any other field of ModelProto: 2 to 8, 14 or 20. */
static bool is_onnx(struct span s)
{
    uint64_t version, field;
    size_t at;
    if (!starts_with_version(&version, &at, s) || version < 1 || version > 30) return false;
    if (!read_varint(&field, &at, s)) return false;
    const unsigned kind = field & 7;
    field >>= 3;
    return (kind == 0 && field == 5) ||
           (kind == 2 && ((field >= 2 && field <= 8 && field != 5) || field == 14 || field == 20));
}

/* GraphDef.node: NodeDef, with name and op. */
static bool is_frozen_graph(struct span s)
{
    uint64_t node, name;
    size_t at = 1;
    if (s.length < 8 || s.bytes[0] != 0x0a || !read_varint(&node, &at, s)) return false;
    if (node < 4 || at >= s.length || s.bytes[at++] != 0x0a || !read_varint(&name, &at, s))
        return false;
    return name < node && name < s.length - at && s.bytes[at + (size_t)name] == 0x12 &&
           mentions(s, "Placeholder");
}

/* ---- others with more than a word at one place ----------------------------------------------- */

/* MessagePack: a map whose first key is a text of flax.serialization's. */
static bool is_flax(struct span s)
{
    size_t at = 1;
    if (s.length < 8) return false;
    if (s.bytes[0] == 0xde)
        at = 3;
    else if (s.bytes[0] < 0x81 || s.bytes[0] > 0x8f)
        return false;
    const size_t key = s.bytes[at] & 0x1f;
    if ((s.bytes[at] & 0xe0) != 0xa0 || !key || key > s.length - at - 1) return false;
    return is_text((struct span){s.bytes + at + 1, key});
}

static bool is_webp(struct span s)
{
    return holds_at(s, 0, "RIFF", 4) && holds_at(s, 8, "WEBP", 4);
}

static bool is_bmp(struct span s)
{
    return holds_at(s, 0, "BM", 2) && holds_at(s, 15, "\0\0\0", 3);
}

static bool is_heif(struct span s)
{
    static const char brands[] = "heic heix hevc mif1 msf1 avif avis ";
    for (const char *b = brands; *b; b += 5)
        if (holds_at(s, 4, "ftyp", 4) && holds_at(s, 8, b, 4)) return true;
    return false;
}

/* A checkpoint's index is a table of LevelDB's, which is marked at its end. */
static bool is_tensorflow_index(struct span s)
{
    return s.length >= 48 && holds_at(s, s.length - 8, "\x57\xfb\x80\x8b\x24\x75\x47\xdb", 8);
}

/* A header would be there. */
static bool is_zeros(struct span s)
{
    const size_t end = s.length < 4096 ? s.length : 4096;
    return end && !s.bytes[0] && !memcmp(s.bytes, s.bytes + 1, end - 1);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define PICTURE_ADVICE "expected a model file, such as model.safetensors"
#define ARCHIVE_ADVICE "unpack it first and give the weights file in it"
#define MAGIC(at, text) NULL, at, text, sizeof text - 1
#define TEST(function) function, 0, NULL, 0

static const struct {
    bool (*is)(struct span s); /* NULL: magic [length] at byte at */
    size_t at;
    const char *magic;
    size_t length;
    struct weights_identity kind;
} rows[] = {
    {TEST(is_zeros),
     {"zeros instead of weights", "the download did not finish; download the file again"}},
    {MAGIC(0, "version https://git-lfs.github.com/spec/"),
     {"a Git LFS pointer, not the file itself", "run git lfs pull where it was cloned"}},
    {TEST(is_report), {"a run's report, not its weights", "give the run's folder"}},
    {TEST(is_html), {"HTML, not weights", "the download gave a web page; download the file again"}},
    {TEST(is_openvino),
     {"an OpenVINO network", "rudd does not read it; import the weights it was made from"}},
    {TEST(is_svg), {"an SVG drawing, not weights", PICTURE_ADVICE}},
    {TEST(is_xml),
     {"XML, not weights", "the download gave an error message; download the file again"}},
    {TEST(is_index),
     {"the index of weights in several files",
      "rudd reads one file; join them where they come from"}},
    {TEST(is_run_json), {"a run's record, not its weights", "give the run's folder"}},
    {TEST(is_metrics), {"a run's table of metrics, not its weights", "give the run's folder"}},
    {TEST(is_config),
     {"a model's configuration, not its weights", "rudd import the folder that holds both"}},
    {TEST(is_json), {"JSON, not weights", PICTURE_ADVICE}},
    {TEST(is_script), {"a script, not weights", PICTURE_ADVICE}},
    {MAGIC(4, "TFL3"),
     {"a TensorFlow Lite file", "rudd does not read it; import the weights it was made from"}},
    {MAGIC(0, "GGUF"), {"a GGUF file, a language model's", "rudd has image classifiers only"}},
    {TEST(is_saved_model),
     {"a TensorFlow SavedModel",
      "in Keras save it with model.save(\"model.keras\") and import that"}},
    {TEST(is_core_ml),
     {"a Core ML file", "rudd does not read it; import the weights it was made from"}},
    {TEST(is_onnx),
     {"an ONNX file",
      "rudd exports ONNX and does not read it; import the weights it was made from"}},
    {TEST(is_frozen_graph),
     {"a frozen TensorFlow graph", "rudd does not read it; import the weights it was made from"}},
    {TEST(is_tensorflow_index),
     {"the index of a TensorFlow checkpoint",
      "in Keras save the model with model.save(\"model.keras\") and import that"}},
    {TEST(is_flax),
     {"a Flax file (MessagePack)", "rudd does not read it; save the weights as safetensors"}},
    {MAGIC(0, "\0\0\0\0\2\0\0\0\5\0\0\0"),
     {"Darknet weights, a YOLO detector's", "rudd has image classifiers only"}},
    {MAGIC(0, "\x93NUMPY"), {"one NumPy array", "save all weights into one file with numpy.savez"}},
    {MAGIC(0, "\x80\2"),
     {"a Python pickle, but not torch.save's", "save model.state_dict() with torch.save"}},
    {MAGIC(0, "\x80\3"),
     {"a Python pickle, but not torch.save's", "save model.state_dict() with torch.save"}},
    {MAGIC(0, "\x80\4"),
     {"a Python pickle, but not torch.save's", "save model.state_dict() with torch.save"}},
    {MAGIC(0, "\x80\5"),
     {"a Python pickle, but not torch.save's", "save model.state_dict() with torch.save"}},
    {MAGIC(0, "\xff\xd8\xff"), {"a JPEG picture, not weights", PICTURE_ADVICE}},
    {MAGIC(0, "\x89PNG\r\n\x1a\n"), {"a PNG picture, not weights", PICTURE_ADVICE}},
    {MAGIC(0, "GIF8"), {"a GIF picture, not weights", PICTURE_ADVICE}},
    {TEST(is_webp), {"a WebP picture, not weights", PICTURE_ADVICE}},
    {TEST(is_heif), {"a HEIC or AVIF picture, not weights", PICTURE_ADVICE}},
    {TEST(is_bmp), {"a BMP picture, not weights", PICTURE_ADVICE}},
    {MAGIC(0, "II\x2a\0"), {"a TIFF picture, not weights", PICTURE_ADVICE}},
    {MAGIC(0, "MM\0\x2a"), {"a TIFF picture, not weights", PICTURE_ADVICE}},
    {MAGIC(4, "ftyp"), {"a video, not weights", PICTURE_ADVICE}},
    {MAGIC(0, "%PDF-"), {"a PDF document, not weights", PICTURE_ADVICE}},
    {MAGIC(0, "\x1f\x8b"), {"a gzip archive", ARCHIVE_ADVICE}},
    {MAGIC(0, "\xfd"
              "7zXZ\0"),
     {"an xz archive", ARCHIVE_ADVICE}},
    {MAGIC(0, "\x28\xb5\x2f\xfd"), {"a zstd archive", ARCHIVE_ADVICE}},
    {MAGIC(0, "BZh"), {"a bzip2 archive", ARCHIVE_ADVICE}},
    {MAGIC(0, "7z\xbc\xaf\x27\x1c"), {"a 7z archive", ARCHIVE_ADVICE}},
    {MAGIC(0, "Rar!\x1a\7"), {"a RAR archive", ARCHIVE_ADVICE}},
    {MAGIC(257, "ustar"), {"a tar archive", ARCHIVE_ADVICE}},
    {MAGIC(0, "SQLite format 3"), {"an SQLite database, not weights", PICTURE_ADVICE}},
    {MAGIC(0, "PAR1"), {"a Parquet table, not weights", PICTURE_ADVICE}},
    {MAGIC(0, "MATLAB "), {"a MATLAB file, not weights", PICTURE_ADVICE}},
    {MAGIC(0, "\x7f"
              "ELF"),
     {"a program, not weights", PICTURE_ADVICE}},
    {MAGIC(0, "\0\5\x16\7"),
     {"what macOS stores beside a file (._NAME)", "give the file without the \"._\" in its name"}},
    {TEST(is_table), {"a table of text (CSV), not weights", PICTURE_ADVICE}},
    {TEST(is_text), {"text, not weights", PICTURE_ADVICE}},
};

const struct weights_identity *weights_identify(const void *bytes, size_t length)
{
    const struct span s = {bytes, length};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].is ? rows[i].is(s) : holds_at(s, rows[i].at, rows[i].magic, rows[i].length))
            return &rows[i].kind;
    return NULL;
}

bool weights_is_safetensors(const void *bytes, size_t length)
{
    const unsigned char *p = bytes;
    /* Of a length's eight bytes the last are 0: JSON that is nested is text there. */
    return length > 8 && p[8] == '{' && !is_text((struct span){p, 8});
}

enum rudd_status weights_refuse_kind(const void *bytes, size_t length, const char *name,
                                     struct rudd_error *err)
{
    const struct weights_identity *kind = weights_identify(bytes, length);
    if (kind) return rudd_fail(err, RUDD_FORMAT, "%s: %s; %s", name, kind->what, kind->advice);
    return rudd_fail(err, RUDD_FORMAT,
                     "%s: no weights by its first bytes; expected safetensors, .pth, .npz, .h5 or "
                     ".keras; if it was downloaded, download it again",
                     name);
}
