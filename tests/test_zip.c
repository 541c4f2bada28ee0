/* test_zip.c - zip archives and NumPy's arrays in them: what writers write is read, what lies is refused, and what is written is read back. */
#include "nn/half.h"
#include "tests/archives.h"
#include "weights/npz.h"
#include "weights/zip.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static struct rudd_error err;
static unsigned char zip[1 << 16];
enum { LOCAL = 30, CENTRAL = 46 };

/* Stored arrays, one of them in Fortran order, deflated ones likewise, a scalar, and metadata; *length of the archive. */
static void make_sound(size_t *length, int flags, int zip64)
{
    static unsigned char npy[5][512], packed[2][512];
    static const float values[6] = {0, 1, 2, 3, 4, 5};
    static const int64_t big = 1LL << 40;
    size_t n[5], packed_length[2];
    n[0] = make_npy(npy[0], "<f4", "False", "(2, 3)", values, sizeof values);
    n[1] = make_npy(npy[1], "<f4", "True", "(2, 3)", values, sizeof values);
    n[2] = make_npy(npy[2], "<i8", "False", "()", &big, sizeof big);
    n[3] = make_npy(npy[3], "|S5", "False", "()", "value", 5);
    n[4] = make_npy(npy[4], "<f4", "False", "(0, 7)", NULL, 0);
    for (int i = 0; i < 2; i++) assert_true(packed_length[i] = deflated(packed[i], sizeof packed[i], npy[i], n[i]));
    const struct entry entries[] = {
        {.name = "c.npy", .bytes = npy[0], .length = n[0], .flags = flags},
        {.name = "fortran.npy", .bytes = npy[1], .length = n[1], .flags = flags},
        {.name = "scalar.npy", .bytes = npy[2], .length = n[2], .flags = flags},
        {.name = "a.key.npy", .bytes = npy[3], .length = n[3], .flags = flags},
        {.name = "empty.npy", .bytes = npy[4], .length = n[4], .flags = flags},
        {.name = "packed.npy",
         .bytes = packed[0],
         .length = packed_length[0],
         .unpacked = n[0],
         .crc = (uint32_t)crc32(0, npy[0], (uInt)n[0]),
         .method = 8},
        {.name = "packed_fortran.npy",
         .bytes = packed[1],
         .length = packed_length[1],
         .unpacked = n[1],
         .crc = (uint32_t)crc32(0, npy[1], (uInt)n[1]),
         .method = 8},
        {.name = "notes.txt", .bytes = "hello", .length = 5},
    };
    *length = make_zip(zip, entries, sizeof entries / sizeof *entries, zip64);
}

static void assert_values(const struct weights_file *f, const char *name, const float *expected, size_t count)
{
    float out[8];
    const struct weights_tensor *t = weights_find(f, name);
    assert_non_null(t);
    assert_int_equal(t->count, count);
    assert_int_equal(weights_read_f32(out, f, t, &err), RUDD_OK);
    if (count) assert_memory_equal(out, expected, count * sizeof *out);
}

/* A sound archive is read, with descriptors behind its entries or without, with zip64 records or without. */
static void sound_archives_are_read(void **state)
{
    (void)state;
    static const float c[6] = {0, 1, 2, 3, 4, 5}, transposed[6] = {0, 2, 4, 1, 3, 5}, big = 0x1p40f;
    for (int form = 0; form < 4; form++) {
        size_t length;
        struct weights_file f;
        make_sound(&length, form & 1 ? 8 : 0, form & 2);
        assert_int_equal(weights_parse(&f, zip, length, "sound.npz", &err), RUDD_OK);
        assert_int_equal(f.tensor_count, 6);
        assert_values(&f, "c", c, 6);
        assert_values(&f, "fortran", transposed, 6);
        assert_values(&f, "packed", c, 6);
        assert_values(&f, "packed_fortran", transposed, 6);
        assert_values(&f, "scalar", &big, 1);
        assert_values(&f, "empty", NULL, 0);
        assert_int_equal(weights_find(&f, "empty")->shape[1], 7);
        assert_string_equal(weights_meta(&f, "a.key"), "value");
        weights_close(&f);
    }
}

/* Whatever single byte is missing from the end on, an archive is refused: its end record is the last thing in it. */
static void cut_archives_are_refused(void **state)
{
    (void)state;
    size_t length;
    for (int zip64 = 0; zip64 < 2; zip64++) {
        make_sound(&length, 8, zip64);
        for (size_t n = 4; n < length; n++) {
            unsigned char *cut = malloc(n);
            struct weights_file f;
            memcpy(cut, zip, n);
            assert_int_equal(weights_parse(&f, cut, n, "cut.npz", &err), RUDD_FORMAT);
            free(cut);
        }
    }
}

/* Any byte of the headers, of the directory and of the stored bytes changed: refused or, where the byte means nothing (dates, versions), read as
 * before. What is never accepted is another value. */
static void changed_bytes_change_nothing(void **state)
{
    (void)state;
    static const float c[6] = {0, 1, 2, 3, 4, 5}, transposed[6] = {0, 2, 4, 1, 3, 5};
    size_t length, refused = 0;
    make_sound(&length, 0, 1);
    for (size_t i = 4; i < length; i++)
        for (int bit = 0; bit < 8; bit++) {
            struct weights_file f;
            zip[i] ^= (unsigned char)(1 << bit);
            if (weights_parse(&f, zip, length, "changed.npz", &err)) {
                assert_true(err.status == RUDD_FORMAT || err.status == RUDD_LIMIT);
                refused++;
            } else {
                assert_int_equal(f.tensor_count, 6);
                assert_values(&f, "c", c, 6);
                assert_values(&f, "packed", c, 6);
                assert_values(&f, "packed_fortran", transposed, 6);
                weights_close(&f);
            }
            zip[i] ^= (unsigned char)(1 << bit);
        }
    assert_true(refused > 7 * length);
}

/* Each lie about an entry is refused by its name. */
static void lying_entries_are_refused(void **state)
{
    (void)state;
    static unsigned char npy[512], packed[512], long_header[20000] = "\x93NUMPY\1\0\x11\x27";
    static const float one = 1;
    const size_t n = make_npy(npy, "<f4", "False", "()", &one, sizeof one), m = deflated(packed, sizeof packed, npy, n);
    const uint32_t crc = (uint32_t)crc32(0, npy, (uInt)n);
    const struct {
        struct entry entry;
        const char *fault;
    } cases[] = {
        {{.name = "a.npy", .bytes = npy, .length = n, .crc = 7}, "a.npy: its bytes do not have the CRC"},
        {{.name = "a.npy", .bytes = npy, .length = n, .flags = 1}, "encrypted"},
        {{.name = "a.npy", .bytes = npy, .length = n, .flags = 1 << 13}, "encrypted"},
        {{.name = "a.npy", .bytes = npy, .length = n, .method = 14}, "compression method 14"},
        {{.name = "a.npy", .bytes = npy, .length = n, .unpacked = n + 1}, "stored, but"},
        {{.name = "a.npy", .bytes = packed, .length = m, .unpacked = n + 1, .crc = crc, .method = 8}, "do not unpack"},
        {{.name = "a.npy", .bytes = packed, .length = m, .unpacked = n - 1, .crc = crc, .method = 8}, "do not unpack"},
        {{.name = "a.npy", .bytes = packed, .length = m - 1, .unpacked = n, .crc = crc, .method = 8}, "do not unpack"},
        {{.name = "a.npy", .bytes = npy, .length = n, .crc = crc, .method = 8}, "do not unpack"},
        {{.name = "a.npy", .bytes = packed, .length = m, .unpacked = 1032 * m + 1032, .crc = crc, .method = 8}, "nothing does"},
        {{.name = "a.npy", .bytes = packed, .length = m, .unpacked = 0xfffffffe, .crc = crc, .method = 8}, "nothing does"},
        {{.name = "a.npy", .bytes = packed, .length = m, .unpacked = 0xffffffff, .crc = crc, .method = 8}, "extra fields"},
        {{.name = "\x1b[2Ja.npy", .bytes = npy, .length = n}, "control characters"},
        {{.name = "", .bytes = npy, .length = n}, "is empty"},
        {{.name = "a.txt", .bytes = npy, .length = n}, "without weights"},
        {{.name = "a.npy", .bytes = npy, .length = n - 1}, "a: its shape in <f4 needs 4 bytes of values but 3 follow"},
        {{.name = "a.npy", .bytes = npy, .length = 20}, "truncated"},
        {{.name = "a.npy", .bytes = npy + 1, .length = n - 1}, "does not begin as a .npy"},
        {{.name = "a.npy", .bytes = long_header, .length = sizeof long_header}, "a header of 10001 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weights_file f, before;
        memset(&f, 0x5a, sizeof f);
        before = f;
        size_t length = make_zip(zip, &cases[i].entry, 1, 0);
        enum rudd_status status = weights_parse(&f, zip, length, "hostile.npz", &err);
        if (status != RUDD_FORMAT || !strstr(err.message, cases[i].fault)) print_error("%zu: %s\n", i, err.message);
        assert_int_equal(status, RUDD_FORMAT);
        assert_non_null(strstr(err.message, "hostile.npz: "));
        assert_non_null(strstr(err.message, cases[i].fault));
        assert_memory_equal(&f, &before, sizeof f);
    }
}

/* An array that is not numbers of ours, or of which the shape does not fit, is refused. */
static void odd_arrays_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *descr, *order, *shape, *fault;
    } cases[] = {
        {">f4", "False", "(2,)", "values of type >f4"},
        {"|O", "False", "(2,)", "values of type |O"},
        {"<c8", "False", "(1,)", "values of type <c8"},
        {"|S4", "False", "(2,)", "values of type |S4"},
        {"|V2", "False", "(4,)", "values of type |V2"},
        {"<f4", "Maybe", "(2,)", "the .npy header is not"},
        {"<f4", "False", "(3,)", "needs 12 bytes"},
        {"<f4", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 2)", "rank 9"},
        {"<f4", "False", "(1099511627776, 1099511627776)", "overflows"},
        {"<f4", "False", "(99999999999999999999,)", "the .npy header is not"},
        {"<f4", "True", "(0, 1099511627776, 1099511627776, 1099511627776)", "needs 0 bytes"},
        {"<f4", "False", "(-1,)", "the .npy header is not"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char npy[512];
        static const float values[2];
        struct weights_file f;
        const struct entry e = {.name = "a.npy",
                                .bytes = npy,
                                .length = make_npy(npy, cases[i].descr, cases[i].order, cases[i].shape, values, sizeof values)};
        size_t length = make_zip(zip, &e, 1, 0);
        enum rudd_status status = weights_parse(&f, zip, length, "odd.npz", &err);
        if (status != RUDD_FORMAT || !strstr(err.message, cases[i].fault)) print_error("%zu: %s\n", i, err.message);
        assert_int_equal(status, RUDD_FORMAT);
        assert_non_null(strstr(err.message, cases[i].fault));
    }
}

/* Entries that share bytes, hide bytes between them or have one name are refused; so is a directory that is elsewhere. */
static void overlaps_are_refused(void **state)
{
    (void)state;
    static unsigned char npy[256];
    static const float one = 1;
    const size_t n = make_npy(npy, "<f4", "False", "()", &one, sizeof one);
    struct entry entries[2] = {{.name = "a.npy", .bytes = npy, .length = n}, {.name = "b.npy", .bytes = npy, .length = n}};
    struct weights_file f;
    size_t length = make_zip(zip, entries, 2, 0);
    const size_t directory = 2 * (LOCAL + 5 + n), second = directory + CENTRAL + 5;
    assert_int_equal(weights_parse(&f, zip, length, "two.npz", &err), RUDD_OK);
    weights_close(&f);

    /* The second record of the directory points to the first entry, name and all. */
    put(zip + second + 42, 0, 4);
    memcpy(zip + second + CENTRAL, "a.npy", 5);
    assert_int_equal(weights_parse(&f, zip, length, "same.npz", &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "overlap"));

    /* The first entry swallows the second: its bytes are another whole entry, which the directory names too. */
    struct entry inner = {.name = "b.npy", .bytes = npy, .length = n};
    unsigned char shell[1024];
    size_t whole = make_zip(shell, &inner, 1, 0);
    entries[0] = (struct entry){.name = "a.npy", .bytes = shell, .length = whole};
    length = make_zip(zip, entries, 2, 0);
    size_t at = LOCAL + 5 + whole + LOCAL + 5 + n + CENTRAL + 5;
    put(zip + at + 42, LOCAL + 5, 4);
    assert_int_equal(weights_parse(&f, zip, length, "swallowed.npz", &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "overlap"));

    /* An entry that the directory does not name. */
    entries[0] = inner;
    entries[1].name = "c.npy";
    length = make_zip(zip, entries, 2, 0);
    memmove(zip + directory, zip + second, length - second);
    length -= CENTRAL + 5;
    put(zip + length - 14, 1, 2);
    put(zip + length - 12, 1, 2);
    put(zip + length - 10, CENTRAL + 5, 4);
    assert_int_equal(weights_parse(&f, zip, length, "hidden.npz", &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "belong to no entry"));

    entries[1].name = "b.npy";
    length = make_zip(zip, entries, 2, 0);
    assert_int_equal(weights_parse(&f, zip, length, "twice.npz", &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "two entries are called b.npy"));

    zip[length] = 0; /* one byte behind the end */
    assert_int_equal(weights_parse(&f, zip, length + 1, "behind.npz", &err), RUDD_FORMAT);
}

/* Sizes and place of an entry in the directory's zip64 field, as where they do not fit 32 bits; a field too short for them is refused. */
static void large_entries_are_read(void **state)
{
    (void)state;
    unsigned char npy[256];
    static const float one = 1;
    const size_t n = make_npy(npy, "<f4", "False", "()", &one, sizeof one), directory = LOCAL + 5 + n;
    const struct entry e = {.name = "a.npy", .bytes = npy, .length = n};
    for (int room = 0; room <= 24; room += 8) {
        struct weights_file f;
        size_t length = make_zip(zip, &e, 1, 0);
        unsigned char *record = zip + directory, *extra = record + CENTRAL + 5;
        memmove(extra + 28, extra, length - (size_t)(extra - zip));
        length += 28;
        put(record + 20, 0xffffffffffffffff, 8);
        put(record + 42, 0xffffffff, 4);
        put(record + 30, 28, 2);
        put(extra, 1, 2);
        put(extra + 2, (uint64_t)room, 2);
        put(extra + 4, n, 8);
        put(extra + 12, n, 8);
        put(extra + 20, 0, 8);
        if (room < 24) { /* the rest is another field */
            put(extra + 4 + room, 0x4246, 2);
            put(extra + 6 + room, (uint64_t)(20 - room), 2);
        }
        put(zip + length - 10, CENTRAL + 5 + 28, 4);
        enum rudd_status status = weights_parse(&f, zip, length, "large.npz", &err);
        assert_int_equal(status, room == 24 ? RUDD_OK : RUDD_FORMAT);
        if (!status) {
            assert_values(&f, "a", &one, 1);
            weights_close(&f);
        } else {
            assert_non_null(strstr(err.message, "its extra fields are broken"));
        }
    }
}

/* Many small entries that unpack to much are refused by the sum, before memory is taken for all of them. */
static void bombs_are_refused(void **state)
{
    (void)state;
    enum { SIZE = 40 << 20, ENTRIES = 8 }; /* 320 MiB from 300 kB */
    unsigned char *zeros = calloc(SIZE, 1), *packed = malloc(1 << 17), *bomb = malloc(1 << 20), header[256];
    assert_true(zeros && packed && bomb);
    size_t n = make_npy(header, "|u1", "False", "(41942912,)", NULL, 0);
    memcpy(zeros, header, n);
    const size_t size = n + 41942912, length = deflated(packed, 1 << 17, zeros, size);
    assert_true(length && size <= SIZE);
    struct entry entries[ENTRIES];
    static char names[ENTRIES][16];
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(names[i], sizeof names[i], "%d.npy", i);
        entries[i] = (struct entry){.name = names[i],
                                    .bytes = packed,
                                    .length = length,
                                    .unpacked = size,
                                    .crc = (uint32_t)crc32(0, zeros, (uInt)size),
                                    .method = 8};
    }
    struct weights_file f;
    size_t whole = make_zip(bomb, entries, 2, 0);
    assert_int_equal(weights_parse(&f, bomb, whole, "large.npz", &err), RUDD_OK);
    assert_int_equal(f.tensor_count, 2);
    weights_close(&f);
    whole = make_zip(bomb, entries, ENTRIES, 0);
    assert_int_equal(weights_parse(&f, bomb, whole, "bomb.npz", &err), RUDD_LIMIT);
    assert_non_null(strstr(err.message, "bomb.npz: unpacks to more than"));
    free(bomb);
    free(packed);
    free(zeros);
}

static int note_largest(void *largest, size_t bytes)
{
    if (bytes > *(size_t *)largest) *(size_t *)largest = bytes;
    return 1;
}

static int allow_fewer(void *left, size_t bytes)
{
    (void)bytes;
    return (*(int *)left)-- > 0;
}

/* A deflated array is not held: opening the file takes no memory of its size, reading it takes that of one array, and what the file has become since it
 * was opened is noticed. */
static void packed_arrays_are_not_held(void **state)
{
    (void)state;
    enum { COUNT = 1 << 20, WHOLE = 2 * COUNT + 256 };
    unsigned char *npy = malloc(WHOLE), *packed = malloc(WHOLE), *archive = malloc(WHOLE + 512);
    float *out = malloc(COUNT * sizeof *out);
    uint16_t *halves = malloc(COUNT * sizeof *halves);
    assert_true(npy && packed && archive && out && halves);
    for (size_t i = 0; i < COUNT; i++) halves[i] = (uint16_t)((i * 2654435761u >> 13) & 0x3bff); /* finite */
    for (int fortran = 0; fortran < 2; fortran++) {
        char path[] = P_tmpdir "/rudd-test-XXXXXX";
        const size_t n = make_npy(npy, "<f2", fortran ? "True" : "False", "(1024, 1024)", halves, COUNT * sizeof *halves);
        struct entry e = {
            .name = "a.npy", .bytes = packed, .unpacked = n, .crc = (uint32_t)crc32(0, npy, (uInt)n), .method = 8};
        assert_true(e.length = deflated(packed, WHOLE, npy, n));
        const size_t length = make_zip(archive, &e, 1, 0);
        const int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, archive, length, 0), length);

        struct weights_file f;
        size_t largest = 0;
        rudd_set_alloc_hook(note_largest, &largest);
        assert_int_equal(weights_open(&f, path, &err), RUDD_OK);
        rudd_set_alloc_hook(NULL, NULL);
        assert_true(largest > 0 && largest < 100000);
        const struct weights_tensor *t = weights_find(&f, "a");
        assert_int_equal(weights_read_f32(out, &f, t, &err), RUDD_OK);
        for (size_t i = 0; i < COUNT; i++) {
            const size_t at = fortran ? i % 1024 * 1024 + i / 1024 : i;
            if (memcmp(&out[i], &(float){nn_f32_from_f16(halves[at])}, sizeof *out)) fail_msg("value %zu is %g", i, out[i]);
        }
        for (int allowed = 0;; allowed++) {
            int left = allowed;
            rudd_set_alloc_hook(allow_fewer, &left);
            enum rudd_status status = weights_read_f32(out, &f, t, &err);
            rudd_set_alloc_hook(NULL, NULL);
            if (!status) {
                assert_true(allowed >= 3 + fortran);
                break;
            }
            assert_int_equal(status, RUDD_NO_MEMORY);
        }
        const unsigned char changed = archive[length / 2] ^ 1;
        assert_int_equal(pwrite(fd, &changed, 1, (off_t)length / 2), 1);
        assert_int_equal(weights_read_f32(out, &f, t, &err), RUDD_FORMAT);
        assert_non_null(strstr(err.message, "tensor a: its bytes"));
        assert_int_equal(ftruncate(fd, (off_t)length / 2), 0);
        assert_int_equal(weights_read_f32(out, &f, t, &err), RUDD_IO);
        weights_close(&f);
        close(fd);
        unlink(path);
    }
    free(npy);
    free(packed);
    free(archive);
    free(out);
    free(halves);
}

/* Whichever allocation fails, zlib's too, reading says so and leaves nothing behind. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    size_t length;
    int n = 0;
    make_sound(&length, 0, 1);
    for (;; n++) {
        struct weights_file f;
        int left = n;
        rudd_set_alloc_hook(allow_fewer, &left);
        enum rudd_status status = weights_parse(&f, zip, length, "f.npz", &err);
        rudd_set_alloc_hook(NULL, NULL);
        if (!status) {
            weights_close(&f);
            break;
        }
        assert_int_equal(status, RUDD_NO_MEMORY);
    }
    assert_true(n > 20);
}

/* Arrays of all of NumPy's dtypes and shapes, and metadata, come back as they were; the same arrays make the same bytes; a write for which there is
 * no memory leaves no file. */
static void written_archives_are_read(void **state)
{
    (void)state;
    static unsigned char noise[64];
    char folder[] = P_tmpdir "/rudd-test-XXXXXX", path[2][64];
    struct weights_tensor out[WEIGHTS_DTYPES + 2];
    char names[WEIGHTS_DTYPES][16];
    struct weights_meta meta[] = {{"rudd.text", "{\"\xd1\x89\": \"\xd1\x83\"}"}, {"rudd.empty", ""}};
    int n = 0;
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (unsigned char)(i * 167 + 13);
    for (int d = 0; d < WEIGHTS_DTYPES; d++) {
        if (d == WEIGHTS_BF16) continue;
        snprintf(names[n], sizeof names[n], "t.%d", d);
        out[n] = (struct weights_tensor){
            .name = names[n], .dtype = (enum weights_dtype)d, .rank = 2, .shape = {1, 3}, .count = 3, .data = noise};
        n++;
    }
    out[n++] = (struct weights_tensor){.name = "scalar", .dtype = WEIGHTS_F32, .count = 1, .data = noise};
    out[n++] = (struct weights_tensor){.name = "empty", .dtype = WEIGHTS_F32, .rank = 2, .shape = {0, 7}, .data = noise};

    assert_non_null(mkdtemp(folder));
    unsigned char *bytes[2];
    long length[2];
    for (int k = 0; k < 2; k++) {
        struct weights_supply supply = {out, n, NULL};
        snprintf(path[k], sizeof path[k], "%s/%d.npz", folder, k);
        assert_int_equal(weights_npz_write(path[k], &supply, meta, 2, &err), RUDD_OK);
        FILE *f = fopen(path[k], "rb");
        assert_non_null(f);
        assert_int_equal(fseek(f, 0, SEEK_END), 0);
        length[k] = ftell(f);
        rewind(f);
        bytes[k] = malloc((size_t)length[k]);
        assert_int_equal(fread(bytes[k], 1, (size_t)length[k], f), length[k]);
        fclose(f);
    }
    assert_int_equal(length[0], length[1]);
    assert_memory_equal(bytes[0], bytes[1], (size_t)length[0]);
    free(bytes[0]);
    free(bytes[1]);

    struct weights_file f;
    assert_int_equal(weights_open(&f, path[0], &err), RUDD_OK);
    assert_int_equal(f.tensor_count, n);
    for (int i = 0; i < n; i++) {
        const struct weights_tensor *t = weights_find(&f, out[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, out[i].dtype);
        assert_int_equal(t->rank, out[i].rank);
        assert_memory_equal(t->shape, out[i].shape, sizeof t->shape);
        assert_memory_equal(t->data, noise, t->count * weights_dtype_size(t->dtype));
    }
    assert_string_equal(weights_meta(&f, "rudd.text"), meta[0].value);
    assert_string_equal(weights_meta(&f, "rudd.empty"), "");
    weights_close(&f);

    unlink(path[1]);
    for (int allowed = 0;; allowed++) {
        struct weights_supply supply = {out, n, NULL};
        int left = allowed;
        rudd_set_alloc_hook(allow_fewer, &left);
        enum rudd_status status = weights_npz_write(path[1], &supply, meta, 2, &err);
        rudd_set_alloc_hook(NULL, NULL);
        if (!status) {
            assert_true(allowed >= 3);
            break;
        }
        assert_int_equal(status, RUDD_NO_MEMORY);
        assert_int_equal(access(path[1], F_OK), -1);
    }
    out[0].dtype = WEIGHTS_BF16;
    assert_int_equal(weights_npz_write(path[1], &(struct weights_supply){out, n, NULL}, NULL, 0, &err), RUDD_ARGUMENT);
    assert_non_null(strstr(err.message, "NumPy has no BF16"));
    unlink(path[0]);
    unlink(path[1]);
    assert_int_equal(rmdir(folder), 0); /* nothing temporary in it either */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_archives_are_read),      cmocka_unit_test(cut_archives_are_refused),
        cmocka_unit_test(changed_bytes_change_nothing), cmocka_unit_test(lying_entries_are_refused),
        cmocka_unit_test(odd_arrays_are_refused),       cmocka_unit_test(overlaps_are_refused),
        cmocka_unit_test(large_entries_are_read),       cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(packed_arrays_are_not_held),   cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(written_archives_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
