/* Options: every type from a command line and from a recipe, errors that name option, bounds and
 * the nearest name, and that help, man page and completions hold every row. Where groff, bash and
 * zsh are installed, what is printed is also run through them. */
#include "helpers.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/wait.h>
#include "base/options.h"
#include "base/utf8.h"

typedef struct eval_options {
    bool json;
    bool colour;
    int64_t rollouts;
    double temperature;
    const char *system;
    const char *db;
    const char *dtype;
    uint64_t memory;
    slm_option_list stop;
    slm_option_list cases;
    int64_t seed;
} eval_options;

#define AT(field) offsetof(eval_options, field)
static const slm_option EVAL[] = {
    {"cases", 'c', SLM_OPTION_FILES, AT(cases), 0, 0, NULL, "FILE", NULL,
     "cases to ask, one JSON object a line", "Evaluation"},
    {"rollouts", 'k', SLM_OPTION_INT, AT(rollouts), 1, 64, NULL, "N", "4", "answers to each case",
     NULL},
    {"db", 0, SLM_OPTION_FILE, AT(db), 0, 0, NULL, "FILE", "results.db", "the results database",
     NULL},
    {"system", 0, SLM_OPTION_STRING, AT(system), 0, 0, NULL, "TEXT", "You're a .helper\\",
     "system text; \"@FILE\" reads it from a file, as in [this] one's place: there", NULL},
    {NULL},
};
static const slm_option SAMPLING[] = {
    {"temperature", 't', SLM_OPTION_NUMBER, AT(temperature), 0, 2, NULL, "T", "0.7",
     "softness of the choice of tokens; a long explanation that does not fit in what is left of "
     "the line and goes on below",
     "Sampling"},
    {"stop", 0, SLM_OPTION_STRINGS, AT(stop), 0, 0, NULL, "TEXT", NULL, "end a reply here", NULL},
    {"seed", 0, SLM_OPTION_INT, AT(seed), 0, 1e19, NULL, "N", "0", "names the random numbers",
     NULL},
    {"dtype", 0, SLM_OPTION_CHOICE, AT(dtype), 0, 0, "f32|bf16", NULL, "bf16", "weights in memory",
     "Machine"},
    {"memory-limit", 0, SLM_OPTION_BYTES, AT(memory), 1 << 20, 1099511627776.0, NULL, "SIZE",
     "512MiB", "memory for keys and values", NULL},
    {"json", 0, SLM_OPTION_FLAG, AT(json), 0, 0, NULL, NULL, NULL, "results as JSON",
     "Output \xE2\x80\x93 all"},
    {"colour", 0, SLM_OPTION_FLAG, AT(colour), 0, 0, NULL, NULL, "true", "colours on a terminal",
     NULL},
    {NULL},
};
static const slm_command COMMAND = {
    .name = "eval",
    .usage = "MODEL... --cases FILE [options]",
    .summary = "ask, grade, store: k answers to each case",
    .description =
        "Asks every model every case k times.\nIt's graded.\n\n.Results go on where they "
        "were; a caf\xC3\xA9 'quoted' ~ ^ `tick`.",
    .example = "# four answers to each case\nslm eval model.gguf -c cases.jsonl -k 4\n.odd line",
    .tables = {EVAL, SAMPLING},
    .options_bytes = sizeof(eval_options),
    .min_arguments = 1,
    .max_arguments = 3,
};
static const slm_option HEAT[] = {
    {"heat", 'h', SLM_OPTION_FLAG, 0, 0, 0, NULL, NULL, NULL, "warm", NULL},
    {NULL},
};
static const slm_command OTHER = {
    .name = "info",
    .usage = "FILE",
    .summary = "what a file holds",
    .description = "Shows it.",
    .tables = {HEAT},
    .options_bytes = 8,
    .min_arguments = 1,
    .max_arguments = 1,
};
static const slm_command PAIR = {
    .name = "eval import",
    .usage = "FILE",
    .summary = "take in scores from elsewhere",
    .description = "Reads them.",
    .tables = {HEAT},
    .options_bytes = 8,
    .min_arguments = 1,
    .max_arguments = 1,
};
static const slm_command CHECK = {
    .name = "data check",
    .usage = "FILE",
    .summary = "look at it",
    .description = "Looks.",
    .tables = {HEAT},
    .options_bytes = 8,
};
static const slm_command SPLIT = {
    .name = "data split",
    .usage = "",
    .summary = "part it",
    .description = "Parts.",
    .tables = {HEAT},
    .options_bytes = 8,
};
static const slm_command *const COMMANDS[] = {&COMMAND, &PAIR, &CHECK, &SPLIT, &OTHER, NULL};

static slm_arena arena;
static eval_options options;
static slm_option_list arguments;
static bool help;
static slm_error err;

/* Parses words separated by blanks after filling in defaults. */
static slm_status parse(const char *line)
{
    char *words[32];
    int count = 0;
    char *copy = slm_arena_strdup(&arena, line);
    char *rest = NULL;
    for (char *w = strtok_r(copy, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest)) {
        words[count++] = w;
    }
    err = (slm_error){0};
    slm_options_defaults(&COMMAND, &options, &arena);
    return slm_options_parse(&COMMAND, count, words, &options, &arguments, &help, &arena, &err);
}

static void parses(const char *line)
{
    if (parse(line) != SLM_OK) fail_msg("%s: %s", line, err.message);
}

static void refuses(const char *line, const char *part)
{
    if (parse(line) != SLM_ERR_INVALID) fail_msg("\"%s\" was accepted", line);
    assert_holds(err.message, part);
}

static int teardown(void **state)
{
    (void)state;
    slm_arena_free(&arena);
    return 0;
}

static void defaults_are_filled_in(void **state)
{
    (void)state;
    parses("model");
    assert_int_equal(options.rollouts, 4);
    assert_true(options.temperature == 0.7);
    assert_string_equal(options.db, "results.db");
    assert_string_equal(options.dtype, "bf16");
    assert_true(options.memory == 512u << 20);
    assert_true(options.colour && !options.json);
    assert_int_equal(options.stop.count, 0);
    assert_int_equal(arguments.count, 1);
    assert_string_equal(arguments.items[0], "model");
    assert_null(arguments.items[1]);
    assert_false(help);
}

static void every_way_to_write_a_value(void **state)
{
    (void)state;
    static const char *const lines[] = {"m --rollouts 8", "m --rollouts=8", "-k 8 m", "-k8 m"};
    for (size_t i = 0; i < 4; i++) {
        parses(lines[i]);
        assert_int_equal(options.rollouts, 8);
        assert_int_equal(arguments.count, 1);
    }
    parses("m --temperature 1e-1 --dtype f32 --memory-limit=1.5g --db=a=b --json --no-colour");
    assert_true(options.temperature == 0.1);
    assert_string_equal(options.dtype, "f32");
    assert_true(options.memory == 1610612736);
    assert_string_equal(options.db, "a=b");
    assert_true(options.json && !options.colour);
    parses("m --json --no-json --colour=off -k 3 -k 5 --system=");
    assert_true(!options.json && !options.colour);
    assert_int_equal(options.rollouts, 5);
    assert_string_equal(options.system, "");
    parses("m --seed 9223372036854775807");
    assert_true(options.seed == INT64_MAX);
}

static void lists_grow(void **state)
{
    (void)state;
    parses("m -c one --cases two -cthree --stop END");
    assert_int_equal(options.cases.count, 3);
    assert_string_equal(options.cases.items[0], "one");
    assert_string_equal(options.cases.items[2], "three");
    assert_int_equal(options.stop.count, 1);
    /* What a recipe listed is replaced, not added to, by the command line. */
    slm_options_defaults(&COMMAND, &options, &arena);
    assert_int_equal(slm_options_set(&COMMAND, "stop", "a", NULL, &options, &arena, &err), SLM_OK);
    assert_int_equal(slm_options_set(&COMMAND, "stop", "b", NULL, &options, &arena, &err), SLM_OK);
    assert_int_equal(options.stop.count, 2);
    char *words[] = {(char[]){"m"}, (char[]){"--stop"}, (char[]){"c"}};
    assert_int_equal(
        slm_options_parse(&COMMAND, 3, words, &options, &arguments, &help, &arena, &err), SLM_OK);
    assert_int_equal(options.stop.count, 1);
    assert_string_equal(options.stop.items[0], "c");
}

static void two_dashes_end_options(void **state)
{
    (void)state;
    parses("- -- --json -k");
    assert_int_equal(arguments.count, 3);
    assert_string_equal(arguments.items[0], "-");
    assert_string_equal(arguments.items[1], "--json");
    assert_false(options.json);
}

static void help_is_asked_for(void **state)
{
    (void)state;
    parses("--help");
    assert_true(help);
    parses("-h --bogus");
    assert_true(help);
    parses("m");
    assert_false(help);
}

static void wrong_values_name_option_and_bounds(void **state)
{
    (void)state;
    refuses("m -k 65", "--rollouts must be a whole number from 1 to 64, not '65'");
    refuses("m -k 0", "from 1 to 64");
    refuses("m -k 4.5", "--rollouts must be a whole number");
    refuses("m -k four", "not 'four'");
    refuses("m -k= ", "not '='");
    refuses("m --rollouts=", "not ''");
    refuses("m -k 99999999999999999999", "--rollouts");
    refuses("m --temperature nan", "--temperature must be a number from 0 to 2, not 'nan'");
    refuses("m --temperature -0.1", "from 0 to 2");
    refuses("m --temperature 0.5x", "not '0.5x'");
    refuses("m --seed -1", "a whole number, at least 0");
    refuses("m --dtype f16", "--dtype must be one of f32, bf16, not 'f16'");
    refuses("m --dtype f32|bf16", "one of f32, bf16");
    refuses("m --dtype f3", "one of");
    refuses("m --memory-limit 12Q", "a size like");
    refuses("m --memory-limit -1", "a size like");
    refuses("m --memory-limit 512K", "from 1 MiB to 1 TiB, not '512K'");
    refuses("m --json=maybe", "--json must be true or false, not 'maybe'");
    refuses("m --db=", "--db must be a file");
    refuses("m --system \xFF", "--system must be text in UTF-8, not '\xEF\xBF\xBD'");
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } table[] = {{"1048576", 1048576}, {"2M", 2097152},   {"2m", 2097152},
                 {"2MB", 2097152},     {"2MiB", 2097152}, {"2097152B", 2097152},
                 {"0.5G", 536870912},  {"1T", 1ull << 40}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char line[64];
        snprintf(line, sizeof line, "m --memory-limit %s", table[i].text);
        parses(line);
        assert_true(options.memory == table[i].bytes);
    }
}

static void unknown_options_suggest(void **state)
{
    (void)state;
    refuses("m --rolouts 3", "unknown option --rolouts; did you mean --rollouts?");
    refuses("m --rollotus 3", "did you mean --rollouts?");
    refuses("m --temp 3", "did you mean --temperature?");
    refuses("m --memory_limit 3", "did you mean --memory-limit?");
    refuses("m --nothing-like-it=3",
            "unknown option --nothing-like-it (slm eval --help lists all)");
    refuses("m --no-rollouts", "unknown option --no-rollouts");
    refuses("m --no-json=true", "--no-json takes no value");
    refuses("m -x", "unknown option -x");
    refuses("m --\xFF", "unknown option --\xEF\xBF\xBD");
    refuses(
        "m "
        "--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "unknown option --aaaa");
    static const char *const names[] = {"chat", "eval", "report"};
    assert_string_equal(slm_options_nearest("evla", names, 3), "eval");
    assert_string_equal(slm_options_nearest("rep", names, 3), "report");
    assert_null(slm_options_nearest("bench", names, 3));
    assert_null(slm_options_nearest("", names, 3));
}

static void missing_values_are_noticed(void **state)
{
    (void)state;
    refuses("m --rollouts", "--rollouts needs a value: --rollouts N");
    refuses("m -k", "--rollouts needs a value");
    refuses("m --dtype", "--dtype f32|bf16");
    refuses("m --db --json", "--db needs a value, but --json follows (write --db=--json");
}

static void arguments_are_counted(void **state)
{
    (void)state;
    refuses("-k 3", "use it like this: slm eval MODEL... --cases FILE [options]");
    refuses("a b c d", "slm eval takes at most 3 arguments, not 4");
    parses("a b c");
    assert_int_equal(arguments.count, 3);
    char *one[] = {(char[]){"x"}};
    assert_int_equal(slm_options_parse(&SPLIT, 1, one, &options, &arguments, &help, &arena, &err),
                     SLM_ERR_INVALID);
    assert_string_equal(err.message, "slm data split takes no arguments, not 1; use it like this: "
                                     "slm data split");
}

static slm_status set(const char *name, const char *value, const char *place)
{
    err = (slm_error){0};
    return slm_options_set(&COMMAND, name, value, place, &options, &arena, &err);
}

static void recipes_set_the_same_options(void **state)
{
    (void)state;
    slm_options_defaults(&COMMAND, &options, &arena);
    assert_int_equal(set("memory_limit", "2G", "recipe.yaml:3"), SLM_OK);
    assert_true(options.memory == 2147483648);
    assert_int_equal(set("memory-limit", "3G", "recipe.yaml:3"), SLM_OK);
    assert_true(options.memory == 3221225472);
    assert_int_equal(set("json", "yes", "recipe.yaml:4"), SLM_OK);
    assert_true(options.json);
    assert_int_equal(set("rollouts", "99", "recipe.yaml:12"), SLM_ERR_INVALID);
    assert_string_equal(err.message,
                        "recipe.yaml:12: rollouts must be a whole number from 1 to 64, not '99'");
    assert_int_equal(set("memory_limt", "1G", "recipe.yaml:13"), SLM_ERR_INVALID);
    assert_string_equal(err.message,
                        "recipe.yaml:13: unknown key memory_limt; did you mean memory_limit?");
    assert_int_equal(set("xyz", "1", NULL), SLM_ERR_INVALID);
    assert_string_equal(err.message, "unknown key xyz");
}

/* What print writes, in memory of the arena. */
static const char *printed(void (*print)(FILE *out))
{
    FILE *file = tmpfile();
    assert_non_null(file);
    print(file);
    long len = ftell(file);
    char *text = slm_arena_alloc(&arena, (size_t)len + 1);
    rewind(file);
    assert_int_equal(fread(text, 1, (size_t)len, file), len);
    fclose(file);
    return text;
}

static void print_help(FILE *out)
{
    slm_options_print_help(&COMMAND, out);
}
static void print_other_help(FILE *out)
{
    slm_options_print_help(&OTHER, out);
}
static void print_man(FILE *out)
{
    slm_options_print_man(COMMANDS, "0.1.0", out);
}
static const slm_completion COMPLETIONS[] = {{"info", "eval other"},
                                             {"info eval", "import export"},
                                             {"eval --system", "a.x= a.y= b="},
                                             {NULL, NULL}};

static void print_bash(FILE *out)
{
    slm_options_print_bash(COMMANDS, COMPLETIONS, out);
}
static void print_zsh(FILE *out)
{
    slm_options_print_zsh(COMMANDS, COMPLETIONS, out);
}

/* The text with every run of white space as one blank, since lines are broken anywhere. */
static const char *without_breaks(const char *text)
{
    char *out = slm_arena_alloc(&arena, strlen(text) + 1);
    size_t len = 0;
    for (; *text != '\0'; text++) {
        bool blank = *text == ' ' || *text == '\n';
        if (blank && len > 0 && out[len - 1] == ' ') continue;
        out[len++] = blank ? ' ' : *text;
    }
    return out;
}

static void help_shows_all_in_columns(void **state)
{
    (void)state;
    const char *text = printed(print_help);
    const char *joined = without_breaks(text);
    assert_int_equal(strncmp(text, "Usage: slm eval MODEL... --cases FILE [options]\n\n", 49), 0);
    assert_holds(text, "\nEvaluation\n  -c, --cases FILE ");
    assert_holds(text, "\nSampling\n");
    assert_holds(text, "\nMachine\n");
    assert_holds(joined, "(1 to 64; default 4)");
    assert_holds(joined, "(at least 0; default 0)");
    assert_holds(text, "--dtype f32|bf16");
    assert_holds(joined, "(1 MiB to 1 TiB; default 512MiB)");
    assert_holds(text, "      --[no-]colour ");
    assert_holds(joined, "(may be repeated)");
    assert_holds(text, "-h, --help");
    assert_holds(text, "Example\n  # four answers to each case\n  slm eval model.gguf");
    /* Nothing is wider than a terminal, and all explanations begin in one column. */
    size_t column = 0;
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        assert_in_range(slm_utf8_columns(line, len), 0, 80);
        const char *dashes = strstr(line, "--");
        if (dashes != NULL && dashes < line + 7 && line[0] == ' ') {
            const char *gap = strstr(line + 6, "  ");
            assert_non_null(gap);
            size_t at = (size_t)(gap - line) + strspn(gap, " ");
            if (column == 0) column = at;
            assert_int_equal(at, column);
        }
        line += len;
        if (*line == '\n') line++;
    }
    assert_true(column > 0);
    /* A command that uses -h itself keeps it. */
    const char *other = printed(print_other_help);
    assert_holds(other, "-h, --heat");
    assert_holds(other, "      --help");
}

static void all_texts_hold_every_option(void **state)
{
    (void)state;
    const char *help_text = printed(print_help);
    const char *man = printed(print_man);
    const char *bash = printed(print_bash);
    const char *zsh = printed(print_zsh);
    const slm_option *tables[] = {EVAL, SAMPLING, HEAT};
    for (size_t t = 0; t < 3; t++) {
        for (const slm_option *row = tables[t]; row->name != NULL; row++) {
            char *name = slm_arena_printf(&arena, "--%s", row->name);
            assert_holds(bash, name);
            assert_holds(zsh, name);
            if (t < 2 && strcmp(row->name, "colour") != 0) assert_holds(help_text, name);
            char *roff = slm_arena_printf(&arena, "%s", row->name);
            char *dash = strchr(roff, '-');
            if (dash != NULL) {
                roff = slm_arena_printf(&arena, "%.*s\\-%s", (int)(dash - roff), roff, dash + 1);
            }
            bool on = strcmp(row->name, "colour") == 0;
            const char *front = on ? "\\fB\\-\\-[no\\-]" : "\\fB\\-\\-";
            assert_holds(man, slm_arena_printf(&arena, "%s%s\\fR", front, roff));
            if (row->letter != 0) {
                assert_holds(man, slm_arena_printf(&arena, "\\fB\\-%c\\fR, ", row->letter));
                assert_holds(bash, slm_arena_printf(&arena, "-%c", row->letter));
            }
        }
    }
    for (size_t i = 0; COMMANDS[i] != NULL; i++) {
        assert_holds(man, COMMANDS[i]->summary);
        assert_holds(zsh, COMMANDS[i]->name);
        assert_holds(bash, COMMANDS[i]->name);
        assert_holds(man, slm_arena_printf(&arena, ".SH \"slm %s\"", COMMANDS[i]->name));
    }
    assert_holds(bash, "--no-colour");
    assert_holds(zsh, "--no-colour");
}

/* Runs a program with `input`; returns its exit status, -1 if it is not installed. Its stdout and
 * stderr together go to *output. */
static int run(char *const *words, const char *input, const char **output)
{
    FILE *in = tmpfile();
    FILE *out = tmpfile();
    assert_true(in != NULL && out != NULL);
    fputs(input, in);
    rewind(in);
    pid_t child = fork();
    if (child == 0) {
        dup2(fileno(in), STDIN_FILENO);
        dup2(fileno(out), STDOUT_FILENO);
        dup2(fileno(out), STDERR_FILENO);
        execvp(words[0], words);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    fseek(out, 0, SEEK_END);
    long len = ftell(out);
    char *text = slm_arena_alloc(&arena, (size_t)len + 1);
    rewind(out);
    assert_int_equal(fread(text, 1, (size_t)len, out), len);
    *output = text;
    fclose(in);
    fclose(out);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 127 ? -1 : WEXITSTATUS(status);
}

static void groff_takes_the_man_page(void **state)
{
    (void)state;
    const char *output;
    char *quiet[] = {(char[]){"groff"}, (char[]){"-man"}, (char[]){"-ww"}, (char[]){"-z"}, NULL};
    int status = run(quiet, printed(print_man), &output);
    if (status == -1) skip();
    assert_string_equal(output, "");
    assert_int_equal(status, 0);
    char *plain[] = {(char[]){"groff"},     (char[]){"-man"},    (char[]){"-Tutf8"},
                     (char[]){"-rLL=200n"}, (char[]){"-P-cbou"}, NULL};
    assert_int_equal(run(plain, printed(print_man), &output), 0);
    assert_holds(output, "a caf\xC3\xA9 'quoted' ~ ^ `tick`.");
    assert_holds(output, ".Results go on");
    assert_holds(output, ".odd line");
    assert_holds(output, "default You're a .helper\\)");
    assert_holds(output, "--memory-limit SIZE");
    assert_holds(output, "\"@FILE\"");
}

/* What bash offers for a command line whose last word is being typed. */
static void completes(const char *words, const char *want)
{
    char *bash[] = {(char[]){"bash"}, (char[]){"-s"}, NULL};
    const char *output;
    char *script = slm_arena_printf(&arena,
                                    "set -eu\ncompopt() { echo \"compopt $*\"; }\n%s\n"
                                    "COMP_WORDS=(%s)\nCOMP_CWORD=$((${#COMP_WORDS[@]}-1))\n"
                                    "_slm\necho \"${COMPREPLY[*]-}\"\n",
                                    printed(print_bash), words);
    int status = run(bash, script, &output);
    if (status == -1) skip();
    assert_string_equal(output, want);
    assert_int_equal(status, 0);
}

static void bash_completes(void **state)
{
    (void)state;
    completes("slm e", "compopt +o default\neval\n");
    completes("slm --v", "compopt +o default\n--version\n");
    completes("slm eval --me", "--memory-limit\n");
    completes("slm eval m --no", "--no-colour\n");
    completes("slm eval --dtype ''", "f32 bf16\n");
    completes("slm eval --dtype = b", "bf16\n");
    completes("slm eval --dtype =", "f32 bf16\n");
    completes("slm eval --cases ''", "\n");
    completes("slm eval -c x", "\n");
    completes("slm eval -k ''", "compopt +o default\n\n");
    completes("slm eval x", "\n");
    completes("slm info --", "--heat --help\n");
    completes("slm nothing --", "\n");
    /* A command of two words: its second word, then its own options. */
    completes("slm eval impo", "import\n");
    completes("slm d", "compopt +o default\ndata\n");
    completes("slm data sp", "split\n");
    completes("slm eval import --", "--heat --help\n");
    completes("slm eval other --me", "--memory-limit\n");
    /* Words that no table has: arguments, and an option's. */
    completes("slm info ''", "compopt +o default\neval other\n");
    completes("slm info e", "compopt +o default\neval\n");
    completes("slm info eval ''", "compopt +o default\nimport export\n");
    completes("slm info eval e", "compopt +o default\nexport\n");
    completes("slm info other ''", "\n");
    completes("slm info --he", "--heat --help\n");
    completes("slm eval --system a.", "compopt +o default\ncompopt -o nospace\na.x= a.y=\n");
    completes("slm eval --system = b", "compopt +o default\ncompopt -o nospace\nb=\n");
    completes("slm eval --system a.x = ''", "\n");
}

static void zsh_takes_the_completion(void **state)
{
    (void)state;
    const char *output;
    char *words[] = {(char[]){"zsh"}, (char[]){"-n"}, NULL};
    int status = run(words, printed(print_zsh), &output);
    if (status == -1) skip();
    assert_string_equal(output, "");
    assert_int_equal(status, 0);
}

static void zsh_specifications_are_quoted(void **state)
{
    (void)state;
    const char *text = printed(print_zsh);
    assert_holds(text, "#compdef slm\n");
    assert_holds(text, "'eval:ask, grade, store: k answers to each case'");
    assert_holds(text, "'(-k --rollouts)'{-k+,--rollouts=}'[answers to each case]:N:' \\\n");
    assert_holds(text,
                 "'*'{-c+,--cases=}'[cases to ask, one JSON object a line]:FILE:_files' \\\n");
    assert_holds(text, "--dtype='[weights in memory]:dtype:(f32 bf16)' \\\n");
    assert_holds(text, "as in \\[this\\] one'\\''s place\\: there]:TEXT:");
    assert_holds(text, "            'data:check, split'\n");
    assert_holds(text, "                '1:argument:(eval other)' \\\n"
                       "                '2:argument:{case $words[2] in (eval) compadd -- import "
                       "export;; esac}' \\\n                && return ;;\n");
    assert_holds(text, "{compset -P \"*=\" && _files || compadd -S \"\" -- a.x= a.y= b=}' \\\n");
}

#define OPTION_TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPTION_TEST(defaults_are_filled_in),
        OPTION_TEST(every_way_to_write_a_value),
        OPTION_TEST(lists_grow),
        OPTION_TEST(two_dashes_end_options),
        OPTION_TEST(help_is_asked_for),
        OPTION_TEST(wrong_values_name_option_and_bounds),
        OPTION_TEST(sizes),
        OPTION_TEST(unknown_options_suggest),
        OPTION_TEST(missing_values_are_noticed),
        OPTION_TEST(arguments_are_counted),
        OPTION_TEST(recipes_set_the_same_options),
        OPTION_TEST(help_shows_all_in_columns),
        OPTION_TEST(all_texts_hold_every_option),
        OPTION_TEST(groff_takes_the_man_page),
        OPTION_TEST(bash_completes),
        OPTION_TEST(zsh_takes_the_completion),
        OPTION_TEST(zsh_specifications_are_quoted),
    };
    return cmocka_run_group_tests_name("base/options", tests, NULL, NULL);
}
