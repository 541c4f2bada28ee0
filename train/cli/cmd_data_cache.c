/* cmd_data_cache.c - `rudd data cache`: what training keeps between runs, and how to make it smaller. */
#include "train/cli/cmd_data_cache.h"

#include "train/learn/cache_folder.h"
#include <stdio.h>
#include <time.h>

static void print_table(const char *folder, const struct train_cache_file *files, int count)
{
    uint64_t total = 0;
    for (int i = 0; i < count; i++) {
        char when[32] = "";
        struct tm tm;
        const time_t seconds = (time_t)files[i].used;
        if (localtime_r(&seconds, &tm)) strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm);
        printf("%10.1f MB  %-16s  %s\n", (double)files[i].bytes / 1e6, when, files[i].name);
        total += files[i].bytes;
    }
    printf("%s: %d files, %.1f MB\n", folder, count, (double)total / 1e6);
}

static json_t *folder_json(const char *folder, const struct train_cache_file *files, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s,s:I,s:f}", "file", files[i].name, "bytes",
                                              (json_int_t)files[i].bytes, "used", files[i].used));
    return json_pack("{s:s,s:o}", "folder", folder, "files", list);
}

enum rudd_status train_cmd_data_cache(int argc, char **argv, struct rudd_error *err)
{
    const char *dir = NULL;
    char home[TRAIN_PATH];
    size_t most = SIZE_MAX;
    bool clear = false, json = false, done;
    struct train_cache_file *files = NULL;
    int count = 0, removed;
    const struct nn_option rows[] = {
        {"dir", NN_OPTION_STRING, &dir, "DIR", 0, 0,
         "a folder of rudd train --cache-dir; without it, $XDG_CACHE_HOME/rudd", NN_COMMON},
        {"max", NN_OPTION_BYTES, &most, "BYTES", 0, 0,
         "delete files, those not used for the longest time first, until BYTES remain", NN_COMMON},
        {"clear", NN_OPTION_FLAG, &clear, NULL, 0, 0, "delete all files", NN_COMMON},
        {"json", NN_OPTION_FLAG, &json, NULL, 0, 0, "print one JSON object instead of a table"},
    };
    struct nn_options options = {
        .usage = "rudd data cache [--clear | --max BYTES]",
        .about =
            "Shows what rudd train keeps between runs: the answers of a frozen network for each "
            "picture, so that the next run on the same pictures takes seconds.",
        .examples =
            (const struct nn_example[]){{"what is kept, and how large is it?", "rudd data cache"},
                                        {"keep 1 GiB of it", "rudd data cache --max 1G"},
                                        {NULL, NULL}},
        .rows = rows,
        .count = sizeof rows / sizeof *rows};
    enum rudd_status status = train_command_parse(&options, &done, argc, argv, err);
    if (status || done) goto out;
    if (!dir && !train_cache_folder_path(home)) {
        status = rudd_fail(err, RUDD_ARGUMENT,
                           "there is no cache: neither XDG_CACHE_HOME nor HOME names a folder; "
                           "give --dir");
        goto out;
    }
    if (!dir) dir = home;
    if (clear) most = 0;
    if (most != SIZE_MAX) status = train_cache_folder_trim(&removed, dir, most, NULL, err);
    if (!status) status = train_cache_folder_list(&files, &count, dir, err);
    if (!status && json)
        status = train_command_print(folder_json(dir, files, count), err);
    else if (!status)
        print_table(dir, files, count);
out:
    rudd_free(files);
    nn_options_free(&options);
    return status;
}
