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

void train_pictures_note(const struct train_events *events, const struct data_loader *loader, struct train_told *told)
{
    enum { FEW = 5 };
    const int notes = data_loader_note_count(loader), more = notes - (told->notes > FEW ? told->notes : FEW);
    for (; told->bad < data_loader_bad_count(loader); told->bad++)
        train_note(events, "skipped: %s", data_loader_bad(loader, told->bad));
    for (; told->notes < notes && told->notes < FEW; told->notes++)
        train_note(events, "note: %s", data_loader_note(loader, told->notes));
    if (more > 0) train_note(events, "note: %d more pictures are damaged, but read; rudd data check lists them", more);
    told->notes = notes;
}

json_t *train_pictures_json(const struct data_loader *loader, int (*count)(const struct data_loader *),
                            const char *(*line)(const struct data_loader *, int))
{
    json_t *list = json_array();
    for (int i = 0; list && i < count(loader); i++) json_array_append_new(list, nn_text_json(line(loader, i)));
    return list;
}
