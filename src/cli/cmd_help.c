/* cmd_help.c: help, version, man, completion: the program about itself.
 *
 * All of it is printed from the commands' tables (base/options), so help text, manual page and
 * completion cannot disagree with what the program takes. */
#include "cli/cli.h"

#include <string.h>

#include "train/train.h"

enum { NAME_COLUMNS = 12 };

void cli__print_overview(FILE *out)
{
    fputs("slm measures how well a language model answers, on average and at its worst.\n"
          "This is version " SLM_VERSION ".\n\n"
          "Usage: slm COMMAND [arguments] [options]\n\nCommands:\n",
          out);
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        fprintf(out, "  %-*s %s\n", NAME_COLUMNS, cli_commands[i]->name, cli_commands[i]->summary);
    }
    fputs("\n`slm COMMAND --help` tells about one of them, `slm man | man -l -` about all.\n"
          "A MODEL is a GGUF file or a Hugging Face folder, either with +DIR behind it for\n"
          "a LoRA adapter; a model behind an API (openai:NAME[@URL], anthropic:, azure:,\n"
          "bedrock:); or recorded:FILE for replies from a file.\n"
          "\nExample:\n"
          "  # ask a model every case four times, grade the answers, print the table\n"
          "  slm eval model.gguf --cases data/ask-first/seed.jsonl -k 4\n",
          out);
}

int cli__unknown_command(cli_app *app, const char *word)
{
    const char *names[32];
    size_t count = 0;
    for (; cli_commands[count] != NULL; count++) {
        SLM_ASSERT(count < sizeof names / sizeof *names);
        names[count] = cli_commands[count]->name;
    }
    const char *nearest = slm_options_nearest(word, names, count);
    if (nearest != NULL) {
        slm_log_print(&app->log, SLM_LOG_ERROR,
                      "there is no command \"%s\"; did you mean \"%s\"? slm --help lists them",
                      word, nearest);
    } else {
        slm_log_print(&app->log, SLM_LOG_ERROR,
                      "there is no command \"%s\"; slm --help lists those there are", word);
    }
    return CLI_WRONG_USE;
}

typedef struct help_options {
    cli_shared shared;
} help_options;

static int run_help(void *context, const void *options, const slm_option_list *arguments)
{
    (void)options;
    if (arguments->count == 0) {
        cli__print_overview(stdout);
        return CLI_DONE;
    }
    size_t used;
    const slm_command *command = cli__find_command(arguments->items, arguments->count, &used);
    if (command == NULL || used != arguments->count) {
        return cli__unknown_command(context, arguments->items[command == NULL ? 0 : used]);
    }
    slm_options_print_help(command, stdout);
    return CLI_DONE;
}

static int run_version(void *context, const void *options, const slm_option_list *arguments)
{
    (void)context, (void)options, (void)arguments;
    puts("slm " SLM_VERSION);
    return CLI_DONE;
}

static int run_man(void *context, const void *options, const slm_option_list *arguments)
{
    (void)options;
    if (arguments->count > 0) {
        size_t used;
        slm_error error;
        const slm_command *command = cli__find_command(arguments->items, arguments->count, &used);
        slm_error_set(&error, SLM_ERR_INVALID,
                      "slm man is one page over all commands and takes no arguments; "
                      "slm help %s tells about one of them",
                      command != NULL ? command->name : "COMMAND");
        return cli__fail(context, &error);
    }
    slm_options_print_man(cli_commands, SLM_VERSION, stdout);
    return CLI_DONE;
}

/* Words of the commands in the arena: slm_options_append_words. */
static const char *words_of(cli_app *app, const char *first, size_t len)
{
    slm_buffer words = {0};
    slm_options_append_words(cli_commands, first, len, " ", &words);
    const char *out = slm_arena_strdup(&app->arena, slm_buffer_text(&words));
    slm_buffer_free(&words);
    return out;
}

/* What the shells offer that no option's row holds, in the arena. */
static const slm_completion *completions_of(cli_app *app)
{
    size_t count = 0, commands = 0;
    slm_buffer settings = {0};
    while (cli_commands[commands] != NULL)
        commands++;
    slm_completion *all = slm_arena_array(&app->arena, commands + 4, sizeof *all);
    slm_recipe_append_settings(&settings);
    all[count++] =
        (slm_completion){"train --set", slm_arena_strdup(&app->arena, slm_buffer_text(&settings))};
    all[count++] = (slm_completion){"completion", "bash zsh"};
    all[count++] = (slm_completion){"help", words_of(app, NULL, 0)};
    for (size_t i = 0; i < commands; i++) {
        const size_t len = strcspn(cli_commands[i]->name, " ");
        const char *after =
            slm_arena_printf(&app->arena, "help %.*s", (int)len, cli_commands[i]->name);
        const char *words = words_of(app, cli_commands[i]->name, len);
        if (*words != '\0' && strcmp(all[count - 1].after, after) != 0)
            all[count++] = (slm_completion){after, words};
    }
    slm_buffer_free(&settings);
    return all;
}

static int run_completion(void *context, const void *options, const slm_option_list *arguments)
{
    (void)options;
    const char *shell = arguments->items[0];
    if (strcmp(shell, "bash") == 0) {
        slm_options_print_bash(cli_commands, completions_of(context), stdout);
    } else if (strcmp(shell, "zsh") == 0) {
        slm_options_print_zsh(cli_commands, completions_of(context), stdout);
    } else {
        slm_error error;
        slm_error_set(&error, SLM_ERR_INVALID,
                      "no completion for \"%s\"; there is one for bash and one for zsh", shell);
        return cli__fail(context, &error);
    }
    return CLI_DONE;
}

const slm_command cli_command_help = {
    .name = "help",
    .usage = "[COMMAND]",
    .summary = "what the commands do and take",
    .description = "Prints the list of commands, or what one of them does and takes, the same as "
                   "`slm COMMAND --help`.",
    .example = "# everything that eval takes\nslm help eval",
    .tables = {cli_common_options},
    .options_bytes = sizeof(help_options),
    .max_arguments = 2,
    .run = run_help,
};

const slm_command cli_command_version = {
    .name = "version",
    .usage = "",
    .summary = "this program's version",
    .description = "Prints the version, the same as `slm --version`.",
    .example = "# which version is this\nslm version",
    .tables = {cli_common_options},
    .options_bytes = sizeof(help_options),
    .run = run_version,
};

const slm_command cli_command_man = {
    .name = "man",
    .usage = "",
    .summary = "the manual page, in roff",
    .description = "Prints the manual page slm(1) over all commands, for man and groff.",
    .example = "# read it\nslm man | man -l -",
    .tables = {cli_common_options},
    .options_bytes = sizeof(help_options),
    .max_arguments = -1, /* refused with a hint at slm help */
    .run = run_man,
};

const slm_command cli_command_completion = {
    .name = "completion",
    .usage = "bash|zsh",
    .summary = "completion for a shell",
    .description = "Prints a completion script for bash or zsh. `make install` puts both where the "
                   "shells look for them.",
    .example = "# complete in this shell from now on\nsource <(slm completion bash)",
    .tables = {cli_common_options},
    .options_bytes = sizeof(help_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_completion,
};
