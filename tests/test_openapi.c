/* test_openapi.c - the description at /openapi.json says what the table of routes does, nothing more and nothing less; the pages stand alone. */
#include "serve/exchange.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *description(void)
{
    json_error_t where;
    json_t *root = json_loadb((const char *)serve_openapi, serve_openapi_size, JSON_REJECT_DUPLICATES, &where);
    assert_non_null(root);
    return root;
}

/* The row that a described path and method reach; -1: none. A {parameter} is what an asterisk stands for. */
static int find_row(const char *path, bool post)
{
    int count;
    const struct serve_route *table = serve_route_table(&count);
    for (int i = 0; i < count; i++) {
        size_t n = strcspn(table[i].path, "*");
        const char *end = table[i].path[n] ? table[i].path + n + 1 : "";
        size_t m = strlen(path), ends = strlen(end);
        bool fits = table[i].path[n]
                        ? !strncmp(path, table[i].path, n) && path[n] == '{' && !strcmp(path + m - (ends < m ? ends : m), end)
                        : !strcmp(path, table[i].path);
        if (fits) return table[i].post == post ? i : -1;
    }
    return -1;
}

/* Each operation has its route, each route its operation; those that need no key say so, and those that take nothing take none. */
static void routes_are_described(void **state)
{
    (void)state;
    int count;
    const struct serve_route *table = serve_route_table(&count);
    json_t *root = description(), *methods, *op;
    const char *path, *method;
    int *described = calloc((size_t)count, sizeof *described);
    json_object_foreach(json_object_get(root, "paths"), path, methods) json_object_foreach(methods, method, op)
    {
        bool post = !strcmp(method, "post");
        assert_true(post || !strcmp(method, "get"));
        int row = find_row(path, post);
        if (row < 0) fail_msg("%s %s is described, but there is no such route", method, path);
        described[row]++;
        const json_t *security = json_object_get(op, "security");
        if ((security && !json_array_size(security)) != ((table[row].roles & SERVE_OPEN) != 0))
            fail_msg("%s %s: whether it needs a key is described wrongly", method, path);
        assert_non_null(json_object_get(json_object_get(op, "responses"), "200"));
        assert_non_null(json_object_get(op, "summary"));
    }
    for (int i = 0; i < count; i++)
        if (!described[i])
            fail_msg("%s %s is not described in serve/openapi.json", table[i].post ? "POST" : "GET", table[i].path);
    free(described);
    json_decref(root);
}

/* Calls visit for each "$ref" below value. */
static void check_refs(json_t *root, json_t *value)
{
    const char *key;
    json_t *element;
    size_t i;
    if (json_is_array(value)) json_array_foreach(value, i, element) check_refs(root, element);
    json_object_foreach(value, key, element)
    {
        check_refs(root, element);
        if (strcmp(key, "$ref")) continue;
        char text[256], *save = NULL;
        snprintf(text, sizeof text, "%s", json_string_value(element));
        json_t *at = root;
        assert_string_equal(strtok_r(text, "/", &save), "#");
        for (char *part; (part = strtok_r(NULL, "/", &save));) at = json_object_get(at, part);
        if (!at) fail_msg("%s leads nowhere", json_string_value(element));
    }
}

static void references_lead_somewhere(void **state)
{
    (void)state;
    json_t *root = description();
    assert_string_equal(json_string_value(json_object_get(root, "openapi")), "3.1.0");
    assert_string_equal(json_string_value(json_object_get(json_object_get(root, "info"), "version")), RUDD_VERSION);
    check_refs(root, root);
    json_decref(root);
}

/* Each page is one file: no other host, no handler in an attribute (the policy would block it), one script, one style, policies of their own. */
static void pages_stand_alone(void **state)
{
    (void)state;
    const unsigned char *const pages[] = {serve_page, serve_docs};
    char csp[2][SERVE_CSP];
    for (int i = 0; i < 2; i++) {
        const char *page = (const char *)pages[i], *const foreign[] = {"http://",           "https://",  "<script ", "<style ",
                                                                       "<link rel=\"style", " onclick=", " style=\""};
        for (size_t k = 0; k < sizeof foreign / sizeof *foreign; k++) assert_null(strstr(page, foreign[k]));
        const char *script = strstr(page, "<script>"), *style = strstr(page, "<style>");
        assert_true(script && style && !strstr(script + 1, "<script>") && !strstr(style + 1, "<style>"));
        serve_page_csp(csp[i], pages[i]);
        assert_null(strstr(csp[i], "unsafe"));
        assert_int_equal(strlen(strstr(csp[i], "script-src 'sha256-")) > 60, 1);
    }
    assert_string_not_equal(csp[0], csp[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(routes_are_described), cmocka_unit_test(references_lead_somewhere),
                                       cmocka_unit_test(pages_stand_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
