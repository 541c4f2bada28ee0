/* test_help.c - what users read before they begin: every command's pages, its examples, its page of
 * the manual, completion, the words for what they meant, --version.
 *
 * The commands are those that the programs name themselves (--help=words), so that a new one is
 * tested from its first day. */
#include "nn/base/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { OUTPUT = 1 << 17, COMMANDS = 100, NAME = 100 };

static char bin[4096]; /* the folder of the programs */
static char commands[COMMANDS][NAME];
static int command_count;

/* Runs a line of the shell in which $B is the programs' folder; its exit status. Standard error is
 * part of the output. */
static int run(char output[OUTPUT], const char *format, ...)
{
    char line[8192];
    va_list arguments;
    int n = snprintf(line, sizeof line, "exec 2>&1; B='%s'; PATH=\"$B:$PATH\"; ", bin);
    va_start(arguments, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, arguments);
    va_end(arguments);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    size_t length = fread(output, 1, OUTPUT - 1, pipe);
    output[length] = 0;
    assert_true(length < OUTPUT - 1);
    const int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool installed(const char *program)
{
    char output[OUTPUT];
    return run(output, "command -v %s", program) == 0;
}

/* Adds `rudd data` and, through it, `rudd data check`; the request goes behind the program. */
static void add_commands(const char *program, const char *group)
{
    char output[OUTPUT], *line, *rest = output;
    assert_true(command_count < COMMANDS);
    snprintf(commands[command_count++], NAME, "%s %s", program, group);
    assert_int_equal(run(output, "%s --help=words %s", program, group), 0);
    while ((line = strsep(&rest, "\n")) && *line) {
        char name[NAME];
        const size_t n = strcspn(line, "\t");
        assert_int_equal(line[n], '\t');
        if (strncmp(line + n, "\tCOMMAND\t", 9) != 0) continue;
        snprintf(name, sizeof name, "%s%s%.*s", group, *group ? " " : "", (int)n, line);
        add_commands(program, name);
    }
}

static int setup(void **state)
{
    (void)state;
    ssize_t n = readlink("/proc/self/exe", bin, sizeof bin - 8);
    if (n <= 0) return -1;
    bin[n] = 0;
    strcpy(strrchr(bin, '/'), "/..");
    add_commands("rudd", "");
    add_commands("rudd-serve", "");
    add_commands("rudd-bench", "");
    return command_count > 25 ? 0 : -1;
}

/* "rudd" and "data check" of "rudd data check". */
static const char *split(char program[NAME], const char *command)
{
    const size_t n = strcspn(command, " ");
    snprintf(program, NAME, "%.*s", (int)n, command);
    return command + n + 1;
}

/* ---- pages ----------------------------------------------------------------------------------- */

static void check_width(const char *command, const char *page)
{
    for (const char *line = page; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (strcspn(line, "\n") > 80)
            fail_msg("%s: %zu columns: %.*s", command, strcspn(line, "\n"), (int)strcspn(line, "\n"), line);
}

static void pages_fit_a_terminal(void **state)
{
    (void)state;
    char program[NAME], page[OUTPUT], shorter[OUTPUT];
    for (int i = 0; i < command_count; i++) {
        const char *words = split(program, commands[i]);
        assert_int_equal(run(page, "%s --help %s", program, words), 0);
        check_width(commands[i], page);
        if (strncmp(page, "usage: rudd", 11) != 0) fail_msg("%s: no usage", commands[i]);
        if (!strstr(page, "\nExamples\n")) fail_msg("%s: no examples", commands[i]);
        assert_int_equal(run(shorter, "%s -h %s", program, words), 0);
        check_width(commands[i], shorter);
        if (strlen(shorter) > strlen(page)) fail_msg("%s: -h is longer than --help", commands[i]);
    }
}

/* Whether `option` is one of the program's command in `words`. */
static bool knows(const char *program, const char *words, const char *option)
{
    char list[OUTPUT], wanted[NAME + 2];
    if (run(list, "%s --help=words %s", program, words) != 0) return false;
    snprintf(wanted, sizeof wanted, "%s\t", option);
    for (const char *at = list; (at = strstr(at, wanted)); at++)
        if (at == list || at[-1] == '\n') return true;
    return false;
}

/* Each option of an example exists, and what it says before them is a command. */
static void check_example(const char *command, char *line)
{
    char whole[1000], words[NAME] = "", *word, *rest = whole;
    int named = 0;
    bool any = false;
    snprintf(whole, sizeof whole, "%s", line);
    const char *program = strsep(&rest, " ");
    if (strncmp(program, "rudd", 4) != 0) return; /* curl asks the server */
    while ((word = strsep(&rest, " "))) {
        char option[NAME];
        if (word[0] != '-' && !any && named < 2 && strspn(word, "abcdefghijklmnopqrstuvwxyz") == strlen(word)) {
            snprintf(words + strlen(words), sizeof words - strlen(words), " %s", word);
            named++;
        }
        any |= word[0] == '-';
        if (word[0] != '-' || !word[1]) continue;
        snprintf(option, sizeof option, "%.*s", (int)strcspn(word, "="), word);
        /* A second word may be an argument: `rudd predict photo`. */
        if (!knows(program, words, option)) fail_msg("%s: example with %s: %s", command, option, line);
    }
    if (strcmp(program, "rudd") == 0) {
        char output[OUTPUT];
        if (run(output, "rudd --help=words %s", words) != 0) fail_msg("%s: example: %s", command, line);
    }
}

static void examples_name_what_exists(void **state)
{
    (void)state;
    char program[NAME], page[OUTPUT];
    int count = 0;
    for (int i = 0; i < command_count; i++) {
        const char *words = split(program, commands[i]);
        assert_int_equal(run(page, "%s --help %s", program, words), 0);
        char *line, *rest = strstr(page, "\nExamples\n") + 10;
        for (char *cut = rest; (cut = strstr(cut, " \\\n      "));) /* a long one is one line */
            memmove(cut + 1, cut + 9, strlen(cut + 9) + 1);
        while ((line = strsep(&rest, "\n")) && line[0] == ' ') {
            if (strncmp(line, "  # ", 4) == 0 || strncmp(line, "    ", 4) == 0) continue;
            check_example(commands[i], line + 2);
            count++;
        }
    }
    assert_true(count >= command_count);
}

static void pages_of_the_manual(void **state)
{
    (void)state;
    if (!installed("groff")) skip();
    char program[NAME], output[OUTPUT];
    for (int i = 0; i < command_count; i++) {
        const char *words = split(program, commands[i]);
        if (run(output, "%s --help=man %s | groff -man -ww -z", program, words) || *output)
            fail_msg("%s: %s", commands[i], output);
        assert_int_equal(run(output, "%s --help=man %s", program, words), 0);
        for (const char *part = ".TH \".SH NAME\n.SH SYNOPSIS\n.SH EXAMPLES\n.SH EXIT STATUS\n"; *part;) {
            char heading[40];
            const size_t n = strcspn(part, "\n\"") + 1;
            snprintf(heading, sizeof heading, "%.*s", (int)n, part);
            if (!strstr(output, heading)) fail_msg("%s: no %s", commands[i], heading);
            part += n;
        }
    }
}

/* The overview comes without a word, and help COMMAND is COMMAND --help. */
static void overview(void **state)
{
    (void)state;
    static char bare[OUTPUT], other[OUTPUT];
    assert_int_equal(run(bare, "rudd"), 0);
    assert_non_null(strstr(bare, "rudd train --data"));
    assert_int_equal(run(other, "rudd help"), 0);
    assert_string_equal(other, bare);
    assert_int_equal(run(other, "rudd --help"), 0);
    assert_string_equal(other, bare);
    assert_int_equal(run(bare, "rudd data check --help"), 0);
    assert_int_equal(run(other, "rudd help data check"), 0);
    assert_string_equal(other, bare);
    assert_int_equal(run(other, "rudd data help check"), 0);
    assert_string_equal(other, bare);
    assert_int_equal(run(other, "rudd train --help=nonsense"), 2);
    assert_int_equal(run(other, "rudd > /dev/full"), 1);
}

/* ---- what was meant -------------------------------------------------------------------------- */

static void mistakes_are_met_by_meaning(void **state)
{
    (void)state;
    static const struct {
        const char *line, *answer;
    } cases[] = {
        {"rudd train --learning-rate 1", "--learning-rate; did you mean --lr\n"},
        {"rudd train --Learning_Rate=1", "--Learning_Rate; did you mean --lr\n"},
        {"rudd train --batch-size 8", "did you mean --batch\n"},
        {"rudd train --imgsz 8", "did you mean --image-size\n"},
        {"rudd train --image_size 8", "did you mean --image-size\n"},
        {"rudd train --epoch 8", "did you mean --epochs\n"},
        {"rudd train --output x", "did you mean --out\n"},
        {"rudd train --device cuda", "rudd runs on processors only"},
        {"rudd train --num-classes 3", "the folders of --data"},
        {"rudd train --verbose", "--quiet"},
        {"rudd-serve --port 80", "did you mean --listen\n"},
        {"rudd-serve --num-workers 2", "did you mean --workers\n"},
        {"rudd predict --imgsz 224", "did you mean --image-size\n"},
        {"rudd eval --imgsz 224", "the model file holds its image size"},
        {"rudd data split x --output y", "did you mean --out\n"},
        {"rudd train --top 3", "unknown option --top; it is an option of rudd predict\n"},
        {"rudd predict --near=1", "it is an option of rudd data check and others\n"},
        {"rudd eval --out x", "it is an option of "},
        {"rudd-bench infer --clients 2", "it is an option of rudd-bench serve\n"},
        {"rudd trian", "unknown command \"trian\"; did you mean train\n"},
        {"rudd fit", "did you mean train\n"},
        {"rudd test", "did you mean eval\n"},
        {"rudd convert", "rudd import"},
        {"rudd serve", "rudd-serve --model"},
        {"rudd data validate", "data: unknown command \"validate\"; did you mean check\n"},
        {"rudd runs ls", "did you mean list\n"},
        {"rudd runs", "expected one of list, show"},
        {"rudd-bench inference", "unknown command \"inference\""},
    };
    char output[OUTPUT];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int status = run(output, "%s", cases[i].line);
        if (status != 2 || !strstr(output, cases[i].answer) || strchr(output, '\n')[1])
            fail_msg("%s: status %d: %s", cases[i].line, status, output);
    }
}

/* A row whose option is gone would say nothing: some command has what each row means. */
static void synonyms_are_alive(void **state)
{
    (void)state;
    static char all[OUTPUT * 4];
    char program[NAME], output[OUTPUT];
    for (int i = 0; i < command_count; i++) {
        const char *words = split(program, commands[i]);
        assert_int_equal(run(output, "%s --help=words %s", program, words), 0);
        assert_true(strlen(all) + strlen(output) < sizeof all);
        strcat(all, output);
    }
    for (const struct nn_synonym *s = nn_option_synonyms; s->wrong; s++) {
        assert_true(s->right || s->advice);
        for (const char *name = s->right; name && *name;) {
            char wanted[NAME];
            const size_t n = strcspn(name, "|");
            snprintf(wanted, sizeof wanted, "\n--%.*s\t", (int)n, name);
            if (!strstr(all, wanted)) fail_msg("%s: no command has --%.*s", s->wrong, (int)n, name);
            name += n + (name[n] == '|');
        }
        for (const struct nn_synonym *other = nn_option_synonyms; other < s; other++)
            if (strcmp(other->wrong, s->wrong) == 0) fail_msg("%s: twice", s->wrong);
    }
}

/* ---- completion ------------------------------------------------------------------------------ */

/* Words with spaces between, the last of which is completed; @ is an empty one. */
static const struct {
    const char *words, *answer;
} completions[] = {
    {"rudd tr", "train"},
    {"rudd data sp", "split"},
    {"rudd help da", "data"},
    {"rudd help runs li", "list"},
    {"rudd train --data x --weigh", "--weight-decay --weights"},
    {"rudd data check --no-n", "--no-near"},
    {"rudd train --resize @", "crop pad squash"},
    {"rudd train --optimizer l", "lbfgs lion"},
    {"rudd train --epochs @", ""},
    {"rudd train --data pict", "pictures"},
    {"rudd train --weights pict", "pictures pictures.safetensors"},
    {"rudd predict -- --model x pict", "pictures pictures.safetensors"},
    {"rudd export -o pictures.", "pictures.safetensors"},
    {"rudd-serve --lis", "--listen"},
    {"rudd-bench infer --arc", "--arch"},
    {"rudd nonsense --mo", ""},
};

/* Runs `script` in a shell for each case; it prints what is proposed for its arguments, a line each. */
static void check_completions(const char *shell, const char *script)
{
    char output[OUTPUT], folder[] = "/tmp/rudd_help_XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(run(output, "cd %s && mkdir pictures && : > pictures.safetensors", folder), 0);
    for (size_t i = 0; i < sizeof completions / sizeof *completions; i++) {
        char words[200];
        snprintf(words, sizeof words, "%s", completions[i].words);
        char *empty = strchr(words, '@');
        if (empty) strcpy(empty, "''");
        run(output,
            "cd %s && export HOME=$PWD; %s -c '%s' %s %s | sed 's,/$,,' | sort -u | "
            "paste -sd' ' - | tr -d '\n'",
            folder, shell, script, strstr(shell, "fish") ? "" : "x", words);
        if (strcmp(output, completions[i].answer) != 0)
            fail_msg("%s: %s: found \"%s\", expected \"%s\"", shell, completions[i].words, output, completions[i].answer);
    }
    assert_int_equal(run(output, "rm -r %s", folder), 0);
}

static void completion_in_bash(void **state)
{
    (void)state;
    check_completions("bash", "source <(rudd completion bash); COMP_WORDS=(\"$@\"); "
                              "COMP_CWORD=$(($# - 1)); _rudd; "
                              "printf \"%s\\n\" \"${COMPREPLY[@]}\"");
    char output[OUTPUT]; /* bash cuts at '=' */
    run(output, "bash -c 'source <(rudd completion bash); COMP_WORDS=(rudd train --resize = s); "
                "COMP_CWORD=4; _rudd; "
                "printf %%s ${COMPREPLY[@]}'");
    assert_string_equal(output, "squash");
}

/* zsh's own completion needs a terminal: its functions are replaced by ones that print. */
static void completion_in_zsh(void **state)
{
    (void)state;
    if (!installed("zsh")) skip();
    check_completions("zsh -f", "compdef() { }; compset() { }; words=(\"$@\"); CURRENT=$#; "
                                "offer() { local i; for i; do [[ $i == $words[CURRENT]* ]] && "
                                "print -r -- $i; done }; "
                                "compadd() { shift; offer $@ }; _describe() { offer "
                                "${${(P)2}%%:*} }; "
                                "_files() { if [[ $1 == -/ ]]; then offer *(/N); else offer "
                                "*(N); fi }; "
                                "source <(rudd completion zsh); _rudd");
}

static void completion_in_fish(void **state)
{
    (void)state;
    if (!installed("fish")) skip();
    check_completions("fish", "rudd completion fish | source; "
                              "complete -C (string join \" \" -- $argv) | string replace -r "
                              "\"\\t.*\" \"\"");
}

/* ---- version --------------------------------------------------------------------------------- */

static void version(void **state)
{
    (void)state;
    static const char *const programs[] = {"rudd", "rudd-serve", "rudd-bench"};
    char output[OUTPUT];
    for (int i = 0; i < 3; i++) {
        char first[NAME];
        assert_int_equal(run(output, "%s --version", programs[i]), 0);
        snprintf(first, sizeof first, "%s " RUDD_VERSION " (commit ", programs[i]);
        assert_int_equal(strncmp(output, first, strlen(first)), 0);
        assert_non_null(strstr(output, "\nprocessor "));
        assert_non_null(strstr(output, "\nkernels "));
        assert_non_null(strstr(output, "JPEG pictures "));
        assert_int_equal(run(output, "RUDD_ISA=ref %s --version", programs[i]), 0);
        assert_non_null(strstr(output, "kernels                 ref\n"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_fit_a_terminal),        cmocka_unit_test(examples_name_what_exists),
        cmocka_unit_test(pages_of_the_manual),         cmocka_unit_test(overview),
        cmocka_unit_test(mistakes_are_met_by_meaning), cmocka_unit_test(synonyms_are_alive),
        cmocka_unit_test(completion_in_bash),          cmocka_unit_test(completion_in_zsh),
        cmocka_unit_test(completion_in_fish),          cmocka_unit_test(version),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
