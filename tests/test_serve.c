/* test_serve.c - rudd-serve as its clients see it: a child process with a small random model, real sockets, every route, every
 * refusal. Answers are compared with a session in this process. Load and the end: test_serve_load.c. */
#define _GNU_SOURCE /* strcasestr */
#include "data/image/formats.h"
#include "tests/serve_fish.h"
#include <png.h>
#include <sys/stat.h>

static float expected[PICTURES][CLASSES];

/* ---- what the tests need ----------------------------------------------------------------------------------------------------
 */

static int make_all(void **state)
{
    (void)state;
    start_shared("serve");
    predict_fish(expected);
    return 0;
}

static struct text make_form(const char *field, const struct text *file)
{
    struct text t = {0};
    text_print(&t, "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n");
    text_print(&t, "--XX\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n",
               field);
    text_add(&t, file->data, file->length);
    text_print(&t, "\r\n--XX--\r\n");
    return t;
}

static struct text make_json(const char *prefix, const struct text *file)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct text t = {0};
    text_print(&t, "{\"image\":\"%s", prefix);
    for (size_t i = 0; i < file->length; i += 3) {
        uint32_t bits = 0;
        for (size_t j = i; j < i + 3; j++) bits = bits << 8 | (j < file->length ? (uint8_t)file->data[j] : 0);
        char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63], digits[bits >> 6 & 63], digits[bits & 63]};
        for (size_t j = file->length - i + 1; j < 4; j++) four[j] = '=';
        text_add(&t, four, 4);
    }
    text_print(&t, "\"}");
    return t;
}

/* ---- answers ----------------------------------------------------------------------------------------------------------------
 */

/* The same picture as a form, as it is, and as base64 gets the answer of a session in this process. */
static void three_ways_one_answer(void **state)
{
    struct server *s = *state;
    struct text form = make_form("file", &pictures[1]), plain = make_json("", &pictures[1]),
                url = make_json("Data:image/png;base64,", &pictures[1]);
    struct answer answers[] = {
        post(s->port, "/predict", "multipart/form-data; boundary=XX", form.data, form.length),
        post(s->port, "/predict", "image/png", pictures[1].data, pictures[1].length),
        post(s->port, "/predict", "application/x-www-form-urlencoded", pictures[1].data, pictures[1].length),
        post(s->port, "/predict", "application/json", plain.data, plain.length),
        post(s->port, "/predict", "application/x-www-form-urlencoded", url.data, url.length),
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        assert_true(is_right(&answers[i], expected[1]));
        answer_free(&answers[i]);
    }
    free(form.data);
    free(plain.data);
    free(url.data);
}

/* .NET writes the names in its forms without quotes; other fields of such a form are no pictures. */
static void names_without_quotes(void **state)
{
    struct server *s = *state;
    struct text form = {0};
    text_print(&form,
               "--XX\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=note\r\n\r\nhello\r\n"
               "--XX\r\nContent-Disposition: form-data; name=file; filename=a.png; filename*=utf-8''a.png\r\n\r\n");
    text_add(&form, pictures[1].data, pictures[1].length);
    text_print(&form, "\r\n--XX\r\nContent-Disposition: form-data; name=end\r\n\r\nthe end\r\n--XX--\r\n");
    static const char type[] = "multipart/form-data; boundary=\"XX\"";
    struct answer one = post(s->port, "/predict", type, form.data, form.length),
                  several = post(s->port, "/batch/predict", type, form.data, form.length);
    assert_true(is_right(&one, expected[1]));
    assert_int_equal(several.code, 200);
    assert_non_null(strstr(several.body, "\"total\":1,\"done\":1,"));
    answer_free(&one);
    answer_free(&several);
    free(form.data);
}

/* Every field that clients rely on is there and agrees with the others; top_k sets the length of the list. */
static void prediction_is_the_superset(void **state)
{
    struct server *s = *state;
    for (int k = 0; k <= 7; k++) { /* 0: not given */
        char path[64];
        snprintf(path, sizeof path, k ? "/predict?top_k=%d" : "/predict", k);
        struct answer a = post(s->port, path, "image/png", pictures[2].data, pictures[2].length);
        assert_int_equal(a.code, 200);
        json_t *root = answer_json(&a), *top, *top3, *all;
        int id, cached, class;
        const char *name, *same, *label, *version, *key, *best;
        double confidence, ms, seconds, p, last = 2;
        assert_int_equal(json_unpack(root, "{s:i,s:s,s:s,s:f,s:i,s:s,s:o,s:o,s:f,s:f,s:s,s:b,s:s}", "species_id", &id,
                                     "species_name", &name, "class", &same, "confidence", &confidence, "predicted_class",
                                     &class, "predicted_label", &label, "top_3_predictions", &top3, "all_predictions", &all,
                                     "processing_time_ms", &ms, "prediction_time", &seconds, "model_version", &version,
                                     "cached", &cached, "prediction_id", &key),
                         0);
        assert_int_equal(json_array_size(top3), k == 0 ? 3 : k < CLASSES ? k : CLASSES);
        size_t i;
        json_array_foreach(top3, i, top)
        {
            assert_int_equal(json_unpack(top, "{s:i,s:s,s:f}", "class", &class, "label", &best, "probability", &p), 0);
            assert_true(p <= last && p == (double)expected[2][class] ? true : (float)p == expected[2][class]);
            last = p;
            if (i == 0) {
                assert_int_equal(class, id);
                assert_string_equal(best, name);
                assert_true((float)p == (float)confidence);
            }
        }
        assert_string_equal(name, same);
        assert_string_equal(name, label);
        assert_string_equal(version, "run-7");
        assert_int_equal(strlen(key), 32);
        assert_true(ms > 0 && seconds > 0 && seconds < ms && cached == (k > 0));
        json_decref(root);
        answer_free(&a);
    }
}

/* Probes, facts and the page answer on every alias, to GET and to HEAD. */
static void routes_answer(void **state)
{
    struct server *s = *state;
    const char *paths[] = {"/", "/health", "/healthcheck", "/livez", "/ready", "/readyz", "/model_info", "/metrics"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct answer full = get(s->port, paths[i]), head = ask(s->port, "HEAD", paths[i], "", NULL, 0);
        assert_int_equal(full.code, 200);
        assert_int_equal(head.code, 200);
        assert_true(strlen(full.body) > 5);
        assert_string_equal(head.body, "");
        answer_free(&full);
        answer_free(&head);
    }
    struct answer a = get(s->port, "/health");
    json_t *root = answer_json(&a);
    assert_string_equal(json_string_value(json_object_get(root, "status")), "healthy");
    assert_true(json_is_true(json_object_get(root, "model_loaded")));
    json_decref(root);
    answer_free(&a);
    a = get(s->port, "/ready");
    assert_string_equal(a.body, "{\"status\":\"ready\"}\n");
    answer_free(&a);
}

/* /model_info tells what the model file says. */
static void model_info_is_the_file(void **state)
{
    struct server *s = *state;
    struct answer a = get(s->port, "/model_info");
    json_t *root = answer_json(&a), *classes, *mean;
    const char *name, *version, *sha, *run, *latin, *resize;
    int size, inner;
    double top1;
    assert_int_equal(json_unpack(root, "{s:s,s:s,s:o,s:i,s:{s:i,s:s,s:o},s:s,s:s,s:{s:f},s:[{s:s}]}", "model_name", &name,
                                 "version", &version, "classes", &classes, "image_size", &size, "preprocess", "image_size",
                                 &inner, "resize", &resize, "mean", &mean, "sha256", &sha, "run", &run, "metrics", "top1",
                                 &top1, "labels", "latin", &latin),
                     0);
    assert_string_equal(name, "fish");
    assert_string_equal(version, "run-7");
    assert_string_equal(run, "run-7");
    assert_string_equal(latin, "Esox lucius");
    assert_int_equal(json_array_size(classes), CLASSES);
    assert_string_equal(json_string_value(json_array_get(classes, 3)), "zander");
    assert_int_equal(size, SIZE);
    assert_int_equal(inner, SIZE);
    assert_int_equal(json_array_size(mean), 3);
    assert_int_equal(strlen(sha), 64);
    assert_true(top1 == 0.5);
    const json_t *batch = json_object_get(root, "max_batch");
    assert_true(json_integer_value(batch) == 1 || json_integer_value(batch) == 4);
    json_decref(root);
    answer_free(&a);
}

/* Browsers get the page, whole and under a policy without 'unsafe-'; JSON clients get facts. */
static void root_has_two_faces(void **state)
{
    struct server *s = *state;
    struct answer page = ask(s->port, "GET", "/", "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n", NULL, 0),
                  facts = ask(s->port, "GET", "/", "Accept: application/json\r\n", NULL, 0);
    assert_true(has_header(&page, "Content-Type: text/html"));
    assert_true(has_header(&page, "Content-Security-Policy: default-src 'none'"));
    assert_false(has_header(&page, "unsafe-"));
    assert_true(has_header(&page, "X-Content-Type-Options: nosniff"));
    assert_non_null(strstr(page.body, "</html>"));
    assert_null(strstr(page.body, "http://")); /* nothing from elsewhere */
    assert_null(strstr(page.body, "https://"));
    json_t *root = answer_json(&facts);
    assert_string_equal(json_string_value(json_object_get(root, "service")), "rudd-serve");
    json_decref(root);
    answer_free(&page);
    answer_free(&facts);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------------------
 */

static void wrong_paths_and_methods(void **state)
{
    static char much[4 << 20];
    struct server *s = *state;
    assert_problem(get(s->port, "/nothing"), 404, "not_found");
    assert_problem(get(s->port, "/predict/"), 404, "not_found");
    assert_problem(post(s->port, "/nothing", "image/png", much, sizeof much), 404, "not_found");
    struct answer a = get(s->port, "/predict");
    assert_true(has_header(&a, "Allow: POST\r\n"));
    assert_problem(a, 405, "method_not_allowed");
    a = post(s->port, "/health", "text/plain", "x", 1);
    assert_true(has_header(&a, "Allow: GET, HEAD\r\n"));
    assert_problem(a, 405, "method_not_allowed");
    assert_problem(ask(s->port, "DELETE", "/predict", "", NULL, 0), 405, "method_not_allowed");
}

static void malformed_bodies(void **state)
{
    struct server *s = *state;
    struct text form = make_form("picture", &pictures[0]), two = make_form("file", &pictures[0]);
    const char *multipart = "multipart/form-data; boundary=XX", *json = "application/json";
    assert_problem(post(s->port, "/predict", multipart, form.data, form.length), 400, "no_image");
    assert_problem(post(s->port, "/predict", multipart, two.data, two.length - 12), 400, "bad_multipart");
    assert_problem(post(s->port, "/predict", "multipart/form-data", two.data, two.length), 400, "bad_multipart");
    two.length -= strlen("--XX--\r\n");
    struct text again = make_form("file", &pictures[0]);
    text_add(&two, again.data, again.length);
    assert_problem(post(s->port, "/predict", multipart, two.data, two.length), 400, "several_images");
    assert_problem(post(s->port, "/predict", json, "{\"image\":", 9), 400, "bad_json");
    assert_problem(post(s->port, "/predict", json, "[1]", 3), 400, "no_image");
    assert_problem(post(s->port, "/predict", json, "{\"image\":7}", 11), 400, "no_image");
    assert_problem(post(s->port, "/predict", json, "{\"image\":\"*\"}", 13), 400, "bad_base64");
    struct answer twice = post(s->port, "/predict", json, "{\"image\":\"a\",\"image\":\"b\"}", 25);
    assert_non_null(strstr(twice.body, "twice"));
    assert_problem(twice, 400, "bad_json");
    assert_problem(post(s->port, "/predict", json, "{\"image\":\"\"}", 12), 415, "not_an_image");
    assert_problem(post(s->port, "/predict", "image/png", "", 0), 400, "empty_body");
    const char *bad[] = {"0", "-1", "x", "", "1.5", "3x", "00"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char path[64];
        snprintf(path, sizeof path, "/predict?top_k=%s", bad[i]);
        assert_problem(post(s->port, path, "image/png", pictures[0].data, pictures[0].length), 400, "bad_top_k");
    }
    free(form.data);
    free(two.data);
    free(again.data);
}

/* What is no picture is 415, what is a broken one 422, at every length of truncation. */
static void broken_pictures(void **state)
{
    struct server *s = *state;
    assert_problem(post(s->port, "/predict", "image/png", "RIFF....WAVEfmt ", 16), 415, "not_an_image");
    assert_problem(post(s->port, "/predict", "image/jpeg", "\xff\xd8\xff\xe0 and no more", 16), 422, "broken_image");
    for (size_t n = 8; n < pictures[0].length - 12; n += pictures[0].length / 9)
        assert_problem(post(s->port, "/predict", "image/png", pictures[0].data, n), 422, "broken_image");
}

/* The first bytes say what a picture is, whatever the type that the client claims. */
static void other_formats(void **state)
{
    struct server *s = *state;
    /* BMP: 1 x 1 pixel of 24 bits */
    static const char bmp[58] = "BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\1\0\0\0\1\0\0\0\1\0\x18";
    static const char gif[] = "GIF89a\1\0\1\0\x80\0\0\xff\0\0\0\0\xff,\0\0\0\0\1\0\1\0\0\2\2\x44\1\0;";
    const struct data_format *format = data_format_sniff((const uint8_t *)gif, sizeof gif - 1);
    struct answer a = post(s->port, "/predict", "image/jpeg", bmp, sizeof bmp);
    assert_int_equal(a.code, 200);
    answer_free(&a);
    assert_problem(post(s->port, "/predict", "image/bmp", bmp, sizeof bmp - 4), 422, "broken_image");
    if (!format->decode) {
        assert_problem(post(s->port, "/predict", "image/gif", gif, sizeof gif - 1), 501, "no_decoder");
        return;
    }
    a = post(s->port, "/predict", "image/gif", gif, sizeof gif - 1);
    assert_int_equal(a.code, 200);
    answer_free(&a);
}

/* A damaged picture that can be read is answered with a note, each time: such answers are not kept. */
static void damaged_pictures(void **state)
{
    struct server *s = *state;
    const size_t whole = pictures[1].length;
    for (int k = 0; k < 3; k++) {
        const size_t n = k == 2 ? whole : whole - 12; /* without its IEND chunk */
        struct answer a = post(s->port, "/predict", "image/png", pictures[1].data, n);
        assert_int_equal(a.code, 200);
        json_t *root = answer_json(&a), *note = json_object_get(root, "note");
        if (k == 2) {
            assert_null(note);
        } else {
            assert_string_equal(json_string_value(note), "damaged, but read: the end is missing");
            assert_true(json_is_false(json_object_get(root, "cached")));
        }
        json_decref(root);
        answer_free(&a);
    }
}

/* Limits hold for bodies with a length, for bodies without, and for small files with many pixels. */
static void limits(void **state)
{
    (void)state;
    struct server s = server_start(model_path, "--max-body", "64K", "--max-megapixels", "0.02", NULL);
    struct text chunked = {0};
    char *zeros = calloc(1, 100000);
    assert_problem(post(s.port, "/predict", "image/png", zeros, 100000), 413, "body_too_large");
    text_print(&chunked, "POST /predict HTTP/1.1\r\nHost: t\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n",
               100000);
    text_add(&chunked, zeros, 100000);
    text_print(&chunked, "\r\n0\r\n\r\n");
    assert_problem(exchange(s.port, chunked), 413, "body_too_large");
    /* Far too large: answered without the body. */
    assert_problem(ask(s.port, "POST", "/predict", "Content-Length: 99999999999\r\n", NULL, 0), 413, "body_too_large");
    assert_problem(ask(s.port, "POST", "/predict", "Content-Length: 100000\r\nExpect: 100-continue\r\n", NULL, 0), 413,
                   "body_too_large");
    struct text blank = {0}; /* 20,100 pixels */
    png_image image = {.version = PNG_IMAGE_VERSION, .width = 201, .height = 100, .format = PNG_FORMAT_RGB};
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    blank.data = malloc(size);
    assert_true(png_image_write_to_memory(&image, blank.data, &size, 0, zeros, 0, NULL));
    assert_problem(post(s.port, "/predict", "image/png", blank.data, size), 413, "too_many_pixels");
    struct answer fine = post(s.port, "/predict", "image/png", pictures[0].data, pictures[0].length);
    assert_int_equal(fine.code, 200);
    answer_free(&fine);
    free(blank.data);
    free(zeros);
    server_stop(s);
}

/* What proxies may read in two ways is refused, and the connection closed: nothing behind it is taken for a request. */
static void smuggled_requests(void **state)
{
    struct server *s = *state;
    static const char *const heads[] = {"Host: t\r\nContent-Length: 4\r\nContent-Length: 0\r\n",
                                        "Host: t\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                                        "Host: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                                        "Host: t\r\nTransfer-Encoding: gzip\r\n",
                                        "Host: t\r\nContent-Length : 4\r\n",
                                        "Host: t\r\nHost: u\r\n",
                                        ""};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct text t = {0};
        text_print(&t, "POST /predict HTTP/1.1\r\n%s\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: t\r\n\r\n", heads[i]);
        struct answer a = exchange(s->port, t);
        assert_null(strstr(a.all.data, "# HELP"));
        assert_problem(a, 400, "bad_header");
    }
    struct text old = {0}, whole = {0};
    text_print(&old, "GET /health HTTP/1.0\r\n\r\n"); /* had no Host */
    text_print(&whole, "GET http://t/health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    struct answer a = exchange(s->port, old), b = exchange(s->port, whole);
    assert_int_equal(a.code, 200);
    assert_int_equal(b.code, 200);
    answer_free(&a);
    answer_free(&b);
}

/* ---- real photographs -------------------------------------------------------------------------------------------------------
 */

static struct text read_file(const char *path)
{
    struct text t = {0};
    char piece[65536];
    FILE *f = fopen(path, "rb");
    if (!f) return t;
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) text_add(&t, piece, n);
    fclose(f);
    return t;
}

/* With real weights, each photograph's best class is the one that the table beside them names. */
static void photographs(void **state)
{
    (void)state;
    const char *weights = "../shared/weights/tf_efficientnetv2_b0.imagenet.safetensors";
    struct text table = read_file("../shared/photos/expected.tsv");
    if (!table.data || access(weights, R_OK)) {
        free(table.data);
        skip();
    }
    struct server s = server_start(weights, NULL);
    int count = 0;
    for (char *line = strchr(table.data, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
        char name[128], path[256];
        int best = -1, index = -2;
        assert_int_equal(sscanf(line + 1, "%127[^\t]\t%d", name, &index), 2);
        snprintf(path, sizeof path, "../shared/photos/%s", name);
        struct text photo = read_file(path);
        struct answer a = post(s.port, "/predict", "application/octet-stream", photo.data, photo.length);
        assert_int_equal(a.code, 200);
        json_t *root = answer_json(&a);
        assert_int_equal(json_unpack(root, "{s:i}", "predicted_class", &best), 0);
        assert_int_equal(best, index);
        json_decref(root);
        answer_free(&a);
        free(photo.data);
        count++;
    }
    assert_int_equal(count, 8);
    free(table.data);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {SHARED(smuggled_requests),    SHARED(three_ways_one_answer),
                                       SHARED(names_without_quotes), SHARED(prediction_is_the_superset),
                                       SHARED(routes_answer),        SHARED(model_info_is_the_file),
                                       SHARED(root_has_two_faces),   SHARED(wrong_paths_and_methods),
                                       SHARED(malformed_bodies),     SHARED(broken_pictures),
                                       SHARED(other_formats),        SHARED(damaged_pictures),
                                       cmocka_unit_test(limits),     cmocka_unit_test(photographs)};
    return cmocka_run_group_tests(tests, make_all, stop_shared);
}
