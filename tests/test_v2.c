/* test_v2.c - the Open Inference Protocol: what its bodies and paths mean, and a server that speaks it. Triton's own client: tests/parity. */
#define _GNU_SOURCE /* strcasestr */
#include "tests/serve_fish.h"
#include "serve/v2_request.h"
#include <math.h>

enum { VALUES = 3 * SIZE * SIZE };
static float tensor[3 * VALUES], expected[3][CLASSES];

/* ---- bodies ------------------------------------------------------------------------------------------------------------ */

static unsigned refused(const char *body, const void *bytes, size_t n)
{
    struct serve_v2_request r = {0};
    struct serve_problem p = {0};
    struct text t = {0};
    text_add(&t, body, strlen(body));
    if (n) text_add(&t, bytes, n);
    bool good = serve_v2_parse(&r, t.data, t.length, strlen(body), 2, &p);
    assert_int_equal(good, !p.http);
    assert_int_equal(good, r.json != NULL);
    serve_v2_request_free(&r);
    free(t.data);
    return p.http;
}

#define INPUT(rest) "{\"inputs\":[{" rest "}]}"
#define IMAGE INPUT("\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[1],\"data\":[\"/9j/\"]")
#define ONE "[1,2,3,4,5,6,7,8,9,10,11,12]"

/* What is not as the protocol and the model's metadata say is refused, and nothing is taken by halves. */
static void bodies_are_checked(void **state)
{
    (void)state;
    assert_int_equal(refused(IMAGE, NULL, 0), 0);
    assert_int_equal(refused(INPUT("\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,2,2],\"data\":" ONE), NULL, 0), 0);
    assert_int_equal(
        refused(INPUT("\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,2,2],\"data\":[[" ONE "]]"), NULL, 0), 0);
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"inputs\":[]}",
        "{\"id\":7,\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[1],\"data\":[\"/9j/\"]}]}",
        "{\"inputs\":[{},{}]}",
        INPUT("\"name\":\"picture\",\"datatype\":\"BYTES\",\"shape\":[1],\"data\":[\"/9j/\"]"),
        INPUT("\"name\":\"image\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[1]"),
        INPUT("\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[0],\"data\":[]"),
        INPUT("\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[2],\"data\":[\"/9j/\"]"),
        INPUT("\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[1,2],\"data\":[\"/9j/\",\"/9j/\"]"),
        INPUT("\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[1],\"data\":\"/9j/\""),
        INPUT("\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[3,2,2],\"data\":" ONE),
        INPUT("\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[2,3,2,2],\"data\":" ONE),
        INPUT("\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,2,2],\"data\":[1,2]"),
        INPUT("\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,2,2],\"data\":[1,2,3,4,5,6,7,8,9,10,11,\"12\"]"),
        INPUT("\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,2,2],\"data\":[1,2,3,4,5,6,7,8,9,10,11,1e300]"),
        ("{\"outputs\":[{\"name\":\"logits\"}],\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[1],\"data\":["
         "\"/9j/\"]}]}"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(refused(bad[i], NULL, 0), 400);
    assert_int_equal(refused(INPUT("\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[1],\"data\":[\"QUJD\"]"), NULL, 0),
                     415);
    assert_int_equal(refused(INPUT("\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[65],\"data\":[]"), NULL, 0), 413);
}

/* Tensor bytes: pictures behind their lengths; every wrong length is found, whichever byte it changes. */
static void tensor_bytes_are_checked(void **state)
{
    (void)state;
    static const uint8_t two[] = {4, 0, 0, 0, 0xff, 0xd8, 0xff, 0xe0, 3, 0, 0, 0, 0xff, 0xd8, 0xff};
    const char *head =
        INPUT("\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[2],\"parameters\":{\"binary_data_size\":15}");
    struct serve_v2_request r = {0};
    struct serve_problem p = {0};
    struct text t = {0};
    text_add(&t, head, strlen(head));
    text_add(&t, two, sizeof two);
    assert_true(serve_v2_parse(&r, t.data, t.length, strlen(head), 2, &p));
    assert_int_equal(r.count, 2);
    assert_int_equal(r.pictures[0].length, 4);
    assert_int_equal(r.pictures[1].length, 3);
    assert_memory_equal(r.pictures[1].bytes, two + 12, 3);
    serve_v2_request_free(&r);
    for (size_t n = 0; n < sizeof two; n++) assert_int_equal(refused(head, two, n), 400);
    for (int at = 0; at < 12; at += at == 3 ? 5 : 1) {
        uint8_t changed[sizeof two];
        memcpy(changed, two, sizeof two);
        changed[at] ^= 0x81;
        assert_int_not_equal(refused(head, changed, sizeof changed), 0);
    }
    struct serve_problem beyond = {0};
    assert_false(serve_v2_parse(&r, t.data, t.length, t.length + 1, 2, &beyond));
    assert_int_equal(beyond.http, 400);
    free(t.data);
    const float nan[12] = {NAN};
    assert_int_equal(
        refused(INPUT("\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,2,2],\"parameters\":{\"binary_data_size\":48}"),
                nan, sizeof nan),
        400);
}

static void paths_are_read(void **state)
{
    (void)state;
    char version[65], longest[200];
    assert_int_equal(serve_v2_path_parse(version, "fish", "fish"), SERVE_V2_METADATA);
    assert_int_equal(serve_v2_path_parse(version, "fish/ready", "fish"), SERVE_V2_READY);
    assert_int_equal(serve_v2_path_parse(version, "a/b/infer", "a/b"), SERVE_V2_INFER);
    assert_string_equal(version, "");
    assert_int_equal(serve_v2_path_parse(version, "fish/versions/7/infer", "fish"), SERVE_V2_INFER);
    assert_string_equal(version, "7");
    assert_int_equal(serve_v2_path_parse(version, "fish/versions/7", "fish"), SERVE_V2_METADATA);
    const char *none[] = {
        "", "fis", "fishes", "fish/", "fish/infer/", "fish/versions", "fish/versions/", "fish/versions//infer", "dog/infer"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(serve_v2_path_parse(version, none[i], "fish"), SERVE_V2_NOTHING);
    snprintf(longest, sizeof longest, "fish/versions/%0100d", 1);
    assert_int_equal(serve_v2_path_parse(version, longest, "fish"), SERVE_V2_NOTHING);
}

/* ---- a server ---------------------------------------------------------------------------------------------------------- */

static int make_all(void **state)
{
    (void)state;
    struct rudd_error err = {0};
    rudd_model *model = NULL;
    rudd_session *session = NULL;
    make_fish("v2");
    for (int i = 0; i < 3 * VALUES; i++) tensor[i] = (float)((i * 7919 + i / VALUES * 31) % 997) / 500.f - 1.f;
    assert_int_equal(rudd_model_open(&model, model_path, &err), RUDD_OK);
    assert_int_equal(rudd_session_create(&session, model, 1, &err), RUDD_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rudd_predict_tensor(session, tensor + i * VALUES, 1, NULL, &err), RUDD_OK);
        memcpy(expected[i], rudd_session_probabilities(session), sizeof expected[i]);
    }
    rudd_session_destroy(session);
    rudd_model_close(model);
    return 0;
}

/* Three pictures in one tensor, more than the engine runs at once here, come back as three rows, bytes in and bytes out. */
static void tensors_are_computed(void **state)
{
    (void)state;
    struct server s = server_start(model_path, "--max-batch", "2", NULL);
    char json[512], headers[256];
    snprintf(json, sizeof json,
             "{\"id\":\"a\",\"parameters\":{\"binary_data_output\":true},\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\","
             "\"shape\":[3,3,%d,%d],\"parameters\":{\"binary_data_size\":%zu}}]}",
             SIZE, SIZE, sizeof tensor);
    snprintf(headers, sizeof headers, "Inference-Header-Content-Length: %zu\r\n", strlen(json));
    struct text t = {0};
    text_add(&t, json, strlen(json));
    text_add(&t, tensor, sizeof tensor);
    struct answer a = ask(s.port, "POST", "/v2/models/fish/infer", headers, t.data, t.length);
    assert_int_equal(a.code, 200);
    const char *length = strcasestr(a.all.data, "Inference-Header-Content-Length: ");
    assert_non_null(length);
    size_t head = strtoul(length + 33, NULL, 10), all = a.all.length - (size_t)(a.body - a.all.data);
    assert_int_equal(all - head, sizeof expected);
    json_t *root = json_loadb(a.body, head, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(root, "id")), "a");
    json_decref(root);
    float got[3][CLASSES];
    memcpy(got, a.body + head, sizeof got);
    for (int i = 0; i < 3; i++)
        for (int c = 0; c < CLASSES; c++) assert_true(fabsf(got[i][c] - expected[i][c]) < 1e-6f);
    answer_free(&a);
    free(t.data);
    a = get(s.port, "/model_info"); /* what was asked for is not timed */
    assert_non_null(strstr(a.body, "\"max_batch\":2,"));
    answer_free(&a);
    server_stop(s);
}

/* Paths say the model and its version; refusals carry the protocol's "error". */
static void routes_answer(void **state)
{
    (void)state;
    struct server s = server_start(model_path, NULL);
    const struct {
        const char *path;
        int code;
    } cases[] = {{"/v2", 200},
                 {"/v2/health/live", 200},
                 {"/v2/health/ready", 200},
                 {"/v2/models/fish", 200},
                 {"/v2/models/fish/ready", 200},
                 {"/v2/models/fish/versions/none", 404},
                 {"/v2/models/dog/ready", 404},
                 {"/v2/models/", 404},
                 {"/v2/models/fish/infer", 405}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = get(s.port, cases[i].path);
        assert_int_equal(a.code, cases[i].code);
        json_t *root = answer_json(&a);
        assert_int_equal(json_is_string(json_object_get(root, "error")), a.code != 200);
        json_decref(root);
        answer_free(&a);
    }
    assert_problem(post(s.port, "/v2/models/fish", "application/json", "{}", 2), 405, "method_not_allowed");
    assert_problem(post(s.port, "/v2/health/live", "application/json", "{}", 2), 405, "method_not_allowed");
    assert_problem(post(s.port, "/v2/models/fish/infer", "application/json", IMAGE, strlen(IMAGE)), 422, "broken_image");
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bodies_are_checked), cmocka_unit_test(tensor_bytes_are_checked),
                                       cmocka_unit_test(paths_are_read), cmocka_unit_test(tensors_are_computed),
                                       cmocka_unit_test(routes_answer)};
    return cmocka_run_group_tests(tests, make_all, remove_fish);
}
