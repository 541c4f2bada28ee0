/* record.h - structs of doubles with names: one list of fields gives the struct, its JSON and its reader.
 *
 *     #define FIELDS(F) F(epoch) F(loss)            struct r { FIELDS(TRAIN_FIELD) };
 *     static const char *const names[] = {FIELDS(TRAIN_FIELD_NAME)};
 *
 * A number that is not finite is null in JSON and NaN in memory. */
#ifndef TRAIN_RECORD_H
#define TRAIN_RECORD_H

#include <jansson.h>
#include <stdbool.h>

#define TRAIN_FIELD(name) double name;
#define TRAIN_FIELD_NAME(name) #name,

/* x, or null when it is not finite. A new reference; NULL when out of memory. */
json_t *train_json_number(double x);
/* {"name": value, ...} in the order of names. A new reference; NULL when out of memory. */
json_t *train_record_json(const double *values, const char *const *names, int count);
/* The reverse; false when a field is missing or is neither number nor null. Other keys are ignored. */
bool train_record_parse(double *values, const char *const *names, int count, const json_t *object);

#endif
