/* record.c - named doubles to and from JSON: see record.h. */
#include "train/record.h"

#include <math.h>

json_t *train_json_number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *train_record_json(const double *values, const char *const *names, int count)
{
    json_t *object = json_object();
    for (int i = 0; object && i < count; i++) {
        /* Whole numbers are written as such: "epoch":3, not 3.0. */
        bool whole = values[i] == floor(values[i]) && fabs(values[i]) < 9e15;
        json_t *value = whole ? json_integer((json_int_t)values[i]) : train_json_number(values[i]);
        if (json_object_set_new(object, names[i], value) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

bool train_record_parse(double *values, const char *const *names, int count, const json_t *object)
{
    for (int i = 0; i < count; i++) {
        const json_t *value = json_object_get(object, names[i]);
        if (!json_is_number(value) && !json_is_null(value)) return false;
        values[i] = json_is_null(value) ? NAN : json_number_value(value);
    }
    return true;
}
