/* left.c - see left.h. */
#include "train/left.h"
#include "nn/text.h"

json_t *train_left_json(const struct data_account *account)
{
    json_t *object = json_pack("{s:i}", "total", data_account_total(account));
    for (int kind = 0; object && kind < DATA_LEFT_COUNT; kind++) {
        if (!account->count[kind]) continue;
        const char *example = account->example[kind];
        json_t *row = json_pack("{s:i,s:o}", "count", account->count[kind], "example", nn_text_json(example));
        if (json_object_set_new(object, data_left_key((enum data_left)kind), row)) {
            json_decref(object);
            return NULL;
        }
    }
    if (object && account->note) json_object_set_new(object, "note", nn_text_json(account->note));
    return object;
}

void train_left_note(const struct train_events *events, const char *where, const struct data_account *account)
{
    char line[2000];
    if (*data_account_print(line, sizeof line, account)) train_note(events, "%s: %s", where, line);
    if (account->note) train_note(events, "%s", account->note);
}
