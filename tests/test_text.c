/* test_text.c - bytes as text for JSON and back, and the rule for class names. */
#include "nn/name_index.h"
#include "nn/rng.h"
#include "nn/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct {
    const char *bytes, *text;
} cases[] = {
    {"", ""},
    {"a/b c.jpg", "a/b c.jpg"},
    {"br\xc3\xa8me \xe9\xad\x9a \xf0\x9f\x90\x9f", "br\xc3\xa8me \xe9\xad\x9a \xf0\x9f\x90\x9f"},
    {"caf\xe9.jpg", "caf\\xe9.jpg"},
    {"caf\xe8.jpg", "caf\\xe8.jpg"},
    {"caf\\xe9.jpg", "caf\\\\xe9.jpg"},
    {"\xc3\xa8\xe8", "\xc3\xa8\\xe8"},
    {"\xc0\x80", "\\xc0\\x80"},                   /* not the shortest form */
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* a surrogate */
    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
    {"\xe9\xad", "\\xe9\\xad"},                   /* cut */
    {"a\x01\n", "a\x01\n"},                       /* JSON's own affair */
};

static void texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = nn_text(cases[i].bytes);
        assert_string_equal(text, cases[i].text);
        assert_true(nn_text_is_utf8(text));
        json_t *json = nn_text_json(cases[i].bytes);
        char *dumped = json_dumps(json, JSON_ENCODE_ANY);
        json_t *back = json_loads(dumped, JSON_DECODE_ANY, NULL);
        assert_string_equal(json_string_value(back), cases[i].text);
        json_decref(back);
        free(dumped);
        json_decref(json);
        assert_string_equal(nn_text_back(text), cases[i].bytes);
        rudd_free(text);
    }
    assert_true(json_is_null(nn_text_json(NULL)));
}

/* What people write with backslashes of their own is not nn_text's, and stays. */
static void other_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {"C:\\data", "a\\", "a\\x4", "a\\x41", "\\xe9\\n"};
    for (int i = 0; i < 5; i++) {
        char copy[20];
        strcpy(copy, texts[i]);
        assert_string_equal(nn_text_back(copy), texts[i]);
    }
}

/* Random bytes: two names that differ have two texts, and each comes back. */
static void lossless(void **state)
{
    (void)state;
    static const char some[] = "ax\\89ef\xc3\xa8\xe9\xad\x9a\xf0\x9f\x90\x9f\xff";
    for (uint64_t n = 0; n < 20000; n++) {
        char bytes[9] = "", kept[9];
        for (uint64_t i = 0; i < n % 8; i++) bytes[i] = some[nn_rng_u64(1, n, i, 0) % (sizeof some - 1)];
        strcpy(kept, bytes);
        char *text = nn_text(bytes);
        assert_true(nn_text_is_utf8(text));
        assert_string_equal(nn_text_back(text), kept);
        rudd_free(text);
    }
}

static void class_names(void **state)
{
    (void)state;
    char longest[202];
    memset(longest, 'x', 201);
    longest[201] = 0;
    const struct {
        const char *name, *words;
    } wrong[] = {
        {"", "is empty"},
        {"br\xe8me", "class 2, \"br\\xe8me\", is not UTF-8"},
        {".hidden", "begins with a dot"},
        {"a/b", "has a slash"},
        {"a\tb", "has a control character"},
        {"a\xc2\x85", "has a control character"},
        {longest, "longer than 200 bytes"},
        {"pike", "two classes are called \"pike\""},
    };
    struct rudd_error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *names[3] = {"pike", wrong[i].name, "Esox lucius (\xd1\x89\xd1\x83\xd0\xba\xd0\xb0)"};
        assert_int_equal(nn_class_names_check(nn_name_of_array, names, 3, "x", &err), RUDD_FORMAT);
        if (!strstr(err.message, wrong[i].words)) fail_msg("%s", err.message);
    }
    longest[200] = 0;
    const char *names[3] = {"pike", longest, "Pike"};
    assert_int_equal(nn_class_names_check(nn_name_of_array, names, 3, "x", &err), RUDD_OK);
}

static void index_finds(void **state)
{
    (void)state;
    const char *names[5] = {"c", "a", "", "b", "a"};
    struct nn_name_index index;
    assert_int_equal(nn_name_index_make(&index, nn_name_of_array, names, 5, NULL), RUDD_OK);
    assert_int_equal(index.twice, 4);
    assert_int_equal(nn_name_index_find(&index, "a"), 1);
    assert_int_equal(nn_name_index_find(&index, "c"), 0);
    assert_int_equal(nn_name_index_find(&index, ""), 2);
    assert_int_equal(nn_name_index_find(&index, "d"), -1);
    assert_int_equal(nn_name_index_find(&index, "aa"), -1);
    nn_name_index_free(&index);
    assert_int_equal(nn_name_index_make(&index, nn_name_of_array, NULL, 0, NULL), RUDD_OK);
    assert_int_equal(nn_name_index_find(&index, "a"), -1);
    nn_name_index_free(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),       cmocka_unit_test(other_texts), cmocka_unit_test(lossless),
        cmocka_unit_test(class_names), cmocka_unit_test(index_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
