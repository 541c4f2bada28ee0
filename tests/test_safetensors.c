/* test_safetensors.c - the container: every dtype there and back, every way a header can lie, every way a write can fail. */
#include "weights/replace.h"
#include "weights/safetensors.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], path[128];
static struct rudd_error err;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, P_tmpdir "/rudd-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    err = (struct rudd_error){RUDD_OK, ""};
    return 0;
}

static int entries_in_folder(void)
{
    DIR *d = opendir(folder);
    int n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* A file's bytes from its header's text and this many bytes of data (0, 1, 2, ...). */
static size_t compose(unsigned char *bytes, const char *header, size_t data_length)
{
    size_t n = strlen(header);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)n >> (8 * i));
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < data_length; i++) bytes[8 + n + i] = (unsigned char)i;
    return 8 + n + data_length;
}

#define T(name, dtype, shape, begin, end)                                                                                      \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"
#define SOUND "{\"__metadata__\":{\"k\":\"v\"}," T("b", "F32", "[2]", "4", "12") "," T("a", "U8", "[4,1]", "0", "4") "}    "

/* A sound file yields its tensors by name, its metadata, and pointers to the right bytes. */
static void sound_file_is_read(void **state)
{
    (void)state;
    unsigned char bytes[512];
    struct weights_file f;
    size_t length = compose(bytes, SOUND, 12);
    assert_int_equal(weights_parse(&f, bytes, length, "sound", &err), RUDD_OK);
    assert_int_equal(f.tensor_count, 2);
    assert_string_equal(f.tensors[0].name, "a");
    const struct weights_tensor *b = weights_find(&f, "b");
    assert_non_null(b);
    assert_int_equal(b->dtype, WEIGHTS_F32);
    assert_int_equal(b->rank, 1);
    assert_int_equal(b->shape[0], 2);
    assert_int_equal(b->count, 2);
    assert_ptr_equal(b->data, bytes + length - 8);
    assert_null(weights_find(&f, "c"));
    assert_string_equal(weights_meta(&f, "k"), "v");
    assert_null(weights_meta(&f, "w"));
    weights_close(&f);
}

/* Each lie is refused; the message names the file and the fault; the caller's struct keeps every byte. */
static void lies_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        const char *fault;
    } cases[] = {
        {"", 0, "zeros instead of weights"},
        {"[]", 0, "no weights by its first bytes"},
        {" {}", 0, "no weights by its first bytes"},
        {"{", 0, "not valid JSON"},
        {"{}x", 0, "not valid JSON"},
        {"{\"a\":\"\xff\xfe\"}", 0, "not valid JSON"},
        {"{" T("\xc3", "U8", "[1]", "0", "1") "}", 1, "not valid JSON"},
        {"{" T("a", "U8", "[1]", "0", "1") "," T("a", "U8", "[1]", "0", "1") "}", 1, "duplicate"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "duplicate"},
        {"{\"a\":7}", 0, "tensor a: its entry"},
        {"{\"a\":{}}", 0, "tensor a: dtype"},
        {"{" T("a", "F8", "[1]", "0", "1") "}", 1, "dtype F8, expected one of F32"},
        {"{" T("a", "f32", "[1]", "0", "4") "}", 4, "dtype f32"},
        {"{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype is missing"},
        {"{" T("a", "U8", "1", "0", "1") "}", 1, "no \"shape\""},
        {"{" T("a", "U8", "[-1]", "0", "1") "}", 1, "dimension 0"},
        {"{" T("a", "U8", "[1.0]", "0", "1") "}", 1, "dimension 0"},
        {"{" T("a", "U8", "[1,\"1\"]", "0", "1") "}", 1, "dimension 1"},
        {"{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", "0", "1") "}", 1, "rank 9"},
        {"{" T("a", "U8", "[4294967296,4294967296]", "0", "1") "}", 1, "overflows at dimension 1"},
        {"{" T("a", "F64", "[2305843009213693952]", "0", "1") "}", 1, "overflows"},
        {"{" T("a", "U8", "[9223372036854775808]", "0", "1") "}", 1, "not valid JSON"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "data_offsets"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, "not a pair"},
        {"{" T("a", "U8", "[1]", "0", "1.0") "}", 1, "not a pair"},
        {"{" T("a", "U8", "[1]", "-1", "0") "}", 1, "lie outside"},
        {"{" T("a", "U8", "[1]", "1", "0") "}", 1, "lie outside"},
        {"{" T("a", "U8", "[2]", "0", "2") "}", 1, "its tensors have 2 bytes, 1 of them are there"},
        {"{" T("a", "U8", "[1]", "0", "9223372036854775807") "}", 1, "not complete"},
        {"{" T("a", "F32", "[2]", "0", "4") "}", 4, "needs 8"},
        {"{" T("a", "F32", "[1]", "0", "8") "}", 8, "needs 4"},
        {"{" T("a", "U8", "[2]", "0", "2") "," T("b", "U8", "[2]", "1", "3") "}", 3, "overlap"},
        {"{" T("a", "U8", "[2]", "0", "2") "," T("b", "U8", "[2]", "0", "2") "}", 2, "overlap"},
        {"{" T("a", "U8", "[1]", "0", "1") "," T("b", "U8", "[1]", "2", "3") "}", 3, "leave a gap"},
        {"{" T("a", "U8", "[1]", "1", "2") "}", 2, "leave a gap"},
        {"{" T("a", "U8", "[1]", "0", "1") "}", 2, "1 bytes follow"},
        {"{}", 1, "1 bytes follow"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", 1, "unknown key \"x\""},
        {"{" T("a\\nb", "U8", "[1]", "0", "1") "}", 1, "control characters"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is not"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "\"k\" is not a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char bytes[512];
        struct weights_file f, before;
        memset(&f, 0x5a, sizeof f);
        before = f;
        size_t length = compose(bytes, cases[i].header, cases[i].data);
        enum rudd_status status = weights_parse(&f, bytes, length, "hostile.safetensors", &err);
        if (status != RUDD_FORMAT || !strstr(err.message, cases[i].fault))
            print_error("%s\n%s\n", cases[i].header, err.message);
        assert_int_equal(status, RUDD_FORMAT);
        assert_non_null(strstr(err.message, "hostile.safetensors: "));
        assert_non_null(strstr(err.message, cases[i].fault));
        assert_null(strchr(err.message, '\n'));
        assert_memory_equal(&f, &before, sizeof f);
    }
}

/* A file cut at any byte is refused, and so is a header length of any absurd size. */
static void cut_files_are_refused(void **state)
{
    (void)state;
    unsigned char bytes[512];
    struct weights_file f;
    size_t length = compose(bytes, SOUND, 12);
    for (size_t n = 0; n < length; n++) {
        unsigned char *cut = malloc(n ? n : 1); /* exactly as long, so that a sanitizer sees one byte too many */
        memcpy(cut, bytes, n);
        assert_int_equal(weights_parse(&f, cut, n, "cut", &err), RUDD_FORMAT);
        free(cut);
    }
    for (int bit = 10; bit < 64; bit++) {
        memset(bytes, 0, 8);
        bytes[bit / 8] = (unsigned char)(1 << bit % 8);
        assert_int_equal(weights_parse(&f, bytes, length, "long", &err), RUDD_FORMAT);
        assert_non_null(strstr(err.message, "not complete"));
    }
    /* More than the limit, all of it there. */
    size_t huge = (16 << 20) + 1;
    unsigned char *big = calloc(huge + 8, 1);
    assert_non_null(big);
    for (int i = 0; i < 8; i++) big[i] = (unsigned char)((uint64_t)huge >> (8 * i));
    big[8] = '{';
    assert_int_equal(weights_parse(&f, big, huge + 8, "big", &err), RUDD_LIMIT);
    free(big);
}

/* What is not a file of bytes is refused without waiting or mapping. */
static void odd_files_are_refused(void **state)
{
    (void)state;
    struct weights_file f;
    char pipe_path[128];
    assert_int_equal(weights_open(&f, path, &err), RUDD_IO);
    assert_int_equal(weights_open(&f, folder, &err), RUDD_MISMATCH);
    snprintf(pipe_path, sizeof pipe_path, "%s/pipe", folder);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(weights_open(&f, pipe_path, &err), RUDD_IO);
    assert_int_equal(weights_write_bytes(pipe_path, "x", 1, &err), RUDD_ARGUMENT);
    unlink(pipe_path);
    assert_int_equal(weights_write_bytes(path, "", 0, &err), RUDD_OK);
    assert_int_equal(weights_open(&f, path, &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "empty"));
    assert_int_equal(weights_write_bytes(folder, "x", 1, &err), RUDD_ARGUMENT);
    assert_int_equal(weights_write_bytes("/dev/null", "x", 1, &err), RUDD_ARGUMENT);
}

/* All dtypes come back with the same bytes, names, shapes and metadata, also where a tensor lies unaligned. */
static void every_dtype_survives(void **state)
{
    (void)state;
    unsigned char noise[64];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (unsigned char)(i * 167 + 13);
    struct weights_tensor out[WEIGHTS_BOOL + 4];
    char names[WEIGHTS_BOOL + 4][24];
    int n = 0;
    /* A byte first, so that the rest is unaligned; then a scalar and an empty tensor. */
    for (int d = WEIGHTS_BOOL; d >= 0; d--, n++)
        out[n] = (struct weights_tensor){.dtype = (enum weights_dtype)d, .rank = 2, .shape = {1, 3}, .count = 3, .data = noise};
    out[n++] = (struct weights_tensor){.dtype = WEIGHTS_I64, .rank = 0, .count = 1, .data = noise};
    out[n++] = (struct weights_tensor){.dtype = WEIGHTS_F32, .rank = 3, .shape = {2, 0, 5}, .count = 0, .data = noise};
    for (int i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "t%c\xd1\x89.%d", 'z' - i, i);
        out[i].name = names[i];
    }
    struct weights_meta meta[] = {{"format", "pt"},
                                  {"rudd.text", "line\nwith \"quotes\" and \xd1\x89\xd1\x83\xd0\xba\xd0\xb0"}};
    assert_int_equal(weights_write(path, out, n, meta, 2, &err), RUDD_OK);

    struct weights_file f;
    assert_int_equal(weights_open(&f, path, &err), RUDD_OK);
    assert_int_equal(f.tensor_count, n);
    assert_string_equal(weights_meta(&f, "rudd.text"), meta[1].value);
    for (int i = 0; i < n; i++) {
        const struct weights_tensor *t = weights_find(&f, names[i]);
        assert_non_null(t);
        assert_int_equal(t->dtype, out[i].dtype);
        assert_int_equal(t->rank, out[i].rank);
        assert_memory_equal(t->shape, out[i].shape, sizeof t->shape);
        assert_int_equal(t->count, out[i].count);
        assert_memory_equal(t->data, noise, t->count * weights_dtype_size(t->dtype));
    }
    weights_close(&f);
}

/* Half floats, bfloats and all others become the float32 of the same value; the halves' yardstick is arithmetic in double. */
static void values_become_float32(void **state)
{
    (void)state;
    static uint16_t all[65536];
    static float f16[65536], bf16[65536];
    for (int i = 0; i < 65536; i++) all[i] = (uint16_t)i;
    struct weights_tensor t = {.dtype = WEIGHTS_F16, .count = 65536, .data = all};
    weights_to_f32(f16, &t);
    t.dtype = WEIGHTS_BF16;
    weights_to_f32(bf16, &t);
    for (int i = 0; i < 65536; i++) {
        int exponent = i >> 10 & 31, mantissa = i & 1023;
        double value = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
        if (exponent == 31) value = mantissa ? (double)NAN : (double)INFINITY;
        if (i & 0x8000) value = -value;
        assert_true(isnan(value) ? isnan(f16[i]) : (double)f16[i] == value && !signbit(f16[i]) == !signbit(value));
        uint32_t bits;
        memcpy(&bits, &bf16[i], 4);
        assert_int_equal(bits, (uint32_t)i << 16);
    }
    float out[2];
#define CHECK(type, dt, a, b, x, y)                                                                                            \
    do {                                                                                                                       \
        const type v[2] = {a, b};                                                                                              \
        weights_to_f32(out, &(struct weights_tensor){.dtype = dt, .count = 2, .data = v});                                     \
        assert_true(out[0] == (x) && out[1] == (y));                                                                           \
    } while (0)
    CHECK(float, WEIGHTS_F32, 1.5f, -0x1p-149f, 1.5f, -0x1p-149f);
    CHECK(double, WEIGHTS_F64, 0.1, -2, 0.1f, -2);
    CHECK(int64_t, WEIGHTS_I64, -5, 1000000, -5, 1e6f);
    CHECK(int32_t, WEIGHTS_I32, -5, 77, -5, 77);
    CHECK(int16_t, WEIGHTS_I16, -32768, 5, -32768, 5);
    CHECK(int8_t, WEIGHTS_I8, -128, 5, -128, 5);
    CHECK(uint8_t, WEIGHTS_U8, 255, 0, 255, 0);
    CHECK(uint8_t, WEIGHTS_BOOL, 1, 0, 1, 0);
#undef CHECK
}

static void *slurp(size_t *length)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && !fstat(fd, &st));
    void *bytes = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
    close(fd);
    *length = (size_t)st.st_size;
    return bytes;
}

static void assert_holds(const void *bytes, size_t length)
{
    size_t n;
    void *now = slurp(&n);
    assert_int_equal(n, length);
    assert_memory_equal(now, bytes, n);
    free(now);
}

/* A disk that fills up at any byte leaves the old file as it was and no temporary one beside it. */
static void full_disk_keeps_the_old_file(void **state)
{
    (void)state;
    static float values[5000];
    struct weights_tensor t = {.name = "t", .dtype = WEIGHTS_F32, .rank = 1, .shape = {5000}, .count = 5000, .data = values};
    assert_int_equal(weights_write(path, &t, 1, NULL, 0, &err), RUDD_OK);
    size_t length, failures = 0;
    void *old = slurp(&length);
    values[7] = 1;
    for (rlim_t room = 0; room < length; room += 1009) {
        pid_t child = fork();
        if (!child) {
            /* A file of this process may not grow beyond room: write() fails as it does on a full disk. */
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){room, room});
            enum rudd_status status = weights_write(path, &t, 1, NULL, 0, &err);
            _exit(status == RUDD_IO && strstr(err.message, path) ? 0 : 1);
        }
        int result;
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_int_equal(result, 0);
        assert_holds(old, length);
        assert_int_equal(entries_in_folder(), 1);
        failures++;
    }
    assert_true(failures > 10);
    free(old);
}

/* A reader that has the file open keeps the old bytes when it is replaced; permissions pass on. */
static void replacement_is_atomic(void **state)
{
    (void)state;
    float one = 1, two = 2, seen;
    struct stat st;
    struct weights_tensor t = {.name = "t", .dtype = WEIGHTS_F32, .count = 1, .data = &one};
    assert_int_equal(weights_write(path, &t, 1, NULL, 0, &err), RUDD_OK);
    assert_int_equal(chmod(path, 0640), 0);
    struct weights_file f;
    assert_int_equal(weights_open(&f, path, &err), RUDD_OK);
    t.data = &two;
    assert_int_equal(weights_write(path, &t, 1, NULL, 0, &err), RUDD_OK);
    weights_to_f32(&seen, weights_find(&f, "t"));
    assert_true(seen == 1);
    weights_close(&f);
    assert_int_equal(weights_open(&f, path, &err), RUDD_OK);
    weights_to_f32(&seen, weights_find(&f, "t"));
    assert_true(seen == 2);
    weights_close(&f);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

/* What wrappers of a network put before its names is taken off, however deep; what is left stays a name, and one tensor's. */
static void names_are_unwrapped(void **state)
{
    (void)state;
    static const float x[4] = {0, 1, 2, 3};
    char *names[] = {"module.a", "model._orig_mod.module.b", "model.", "c.model.d"}, again[] = "model.a";
    static const char *const expected[] = {"a", "b", "model.", "c.model.d"};
    struct weights_tensor t[5];
    for (int i = 0; i < 4; i++)
        t[i] = (struct weights_tensor){.name = names[i], .dtype = WEIGHTS_F32, .count = 1, .data = &x[i]};
    struct weights_file f;
    assert_int_equal(weights_write(path, t, 4, NULL, 0, &err), RUDD_OK);
    assert_int_equal(weights_open(&f, path, &err), RUDD_OK);
    assert_int_equal(f.tensor_count, 4);
    for (int i = 0; i < 4; i++) {
        float seen;
        assert_non_null(weights_find(&f, expected[i]));
        weights_to_f32(&seen, weights_find(&f, expected[i]));
        assert_true(seen == x[i]);
    }
    weights_close(&f);
    t[4] = (struct weights_tensor){.name = again, .dtype = WEIGHTS_F32, .count = 1, .data = x};
    assert_int_equal(weights_write(path, t, 5, NULL, 0, &err), RUDD_OK);
    assert_int_equal(weights_open(&f, path, &err), RUDD_FORMAT);
    assert_non_null(strstr(err.message, "two tensors are called a"));
}

/* Names that a header cannot hold are refused before anything is written. */
static void bad_names_are_not_written(void **state)
{
    (void)state;
    float x = 0;
    char twice[] = "t", latin1[] = "\xe9";
    struct weights_tensor t[2] = {{.name = twice, .dtype = WEIGHTS_F32, .count = 1, .data = &x}};
    t[1] = t[0];
    assert_int_equal(weights_write(path, t, 2, NULL, 0, &err), RUDD_ARGUMENT);
    t[0].name = latin1;
    assert_int_equal(weights_write(path, t, 1, NULL, 0, &err), RUDD_ARGUMENT);
    assert_int_equal(entries_in_folder(), 0);
}

static int allow_fewer(void *left, size_t bytes)
{
    (void)bytes;
    return (*(int *)left)-- > 0;
}

/* Whichever allocation fails, reading and writing say so and leave nothing behind. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    float x = 3;
    unsigned char bytes[512];
    size_t length = compose(bytes, SOUND, 12);
    struct weights_tensor t = {.name = "t", .dtype = WEIGHTS_F32, .count = 1, .data = &x};
    int failures = 0;
    for (int n = 0;; n++) {
        struct weights_file f;
        int left = n;
        rudd_set_alloc_hook(allow_fewer, &left);
        enum rudd_status status = weights_parse(&f, bytes, length, "f", &err);
        rudd_set_alloc_hook(NULL, NULL);
        if (!status) {
            weights_close(&f);
            break;
        }
        assert_int_equal(status, RUDD_NO_MEMORY);
        failures++;
    }
    assert_true(failures >= 6);
    int left = 0;
    rudd_set_alloc_hook(allow_fewer, &left);
    enum rudd_status status = weights_write(path, &t, 1, NULL, 0, &err);
    rudd_set_alloc_hook(NULL, NULL);
    assert_int_equal(status, RUDD_NO_MEMORY);
    assert_int_equal(entries_in_folder(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(sound_file_is_read),           TEST(lies_are_refused),          TEST(cut_files_are_refused),
        TEST(odd_files_are_refused),        TEST(every_dtype_survives),      TEST(values_become_float32),
        TEST(full_disk_keeps_the_old_file), TEST(names_are_unwrapped),       TEST(replacement_is_atomic),
        TEST(bad_names_are_not_written),    TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
