/* main.c: the program: from words on the command line to a command, from its status to an exit.
 *
 * Every command is an slm_command: its name (one word, or two as in `eval import`), option tables,
 * help text, and a function. This file finds the command, lets base/options fill its struct, and
 * runs it. Here and in the other files of cli alone the environment is read and the program ended.
 *
 * The memory of options and arguments lives in one arena until the end. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const slm_command *const cli_commands[] = {
    &cli_command_pull,         &cli_command_info,
    &cli_command_tokenize,     &cli_command_chat,
    &cli_command_data_import,  &cli_command_data_check,
    &cli_command_data_split,   &cli_command_synth,
    &cli_command_train,        &cli_command_eval,
    &cli_command_eval_import,  &cli_command_eval_export,
    &cli_command_judge,        &cli_command_judge_export,
    &cli_command_judge_import, &cli_command_judge_pairs,
    &cli_command_report,       &cli_command_cost,
    &cli_command_perplexity,   &cli_command_export,
    &cli_command_bench,        &cli_command_help,
    &cli_command_version,      &cli_command_man,
    &cli_command_completion,   NULL,
};

/* True if the command's name is words[0..*used) joined by spaces. */
static bool name_matches(const char *name, const char *const *words, size_t count, size_t *used)
{
    size_t at = 0;
    const char *rest = name;
    while (at < count) {
        size_t len = strlen(words[at]);
        if (strncmp(rest, words[at], len) != 0) return false;
        rest += len;
        at++;
        if (*rest == '\0') {
            *used = at;
            return true;
        }
        if (*rest != ' ') return false;
        rest++;
    }
    return false;
}

const slm_command *cli__find_command(const char *const *words, size_t count, size_t *used)
{
    const slm_command *best = NULL;
    *used = 0;
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        size_t words_used;
        if (name_matches(cli_commands[i]->name, words, count, &words_used) && words_used > *used) {
            best = cli_commands[i];
            *used = words_used;
        }
    }
    return best;
}

static int run_command(cli_app *app, const slm_command *command, int argc, char *const *argv,
                       bool no_colour)
{
    slm_error error;
    slm_option_list arguments = {0};
    bool help = false;
    cli_shared *options = slm_arena_alloc(&app->arena, command->options_bytes);
    slm_options_defaults(command, options, &app->arena);
    options->remote = &app->remote;
    slm_status status =
        slm_options_parse(command, argc, argv, options, &arguments, &help, &app->arena, &error);
    if (status == SLM_OK && help) {
        slm_options_print_help(command, stdout);
        return CLI_DONE;
    }
    if (status != SLM_OK) {
        return cli__fail(app, &error);
    }
    slm_log_level level = options->quiet     ? SLM_LOG_WARNING
                          : options->verbose ? SLM_LOG_DEBUG
                                             : SLM_LOG_INFO;
    app->log = slm_log_new(stderr, level, no_colour);
    return command->run(app, options, &arguments);
}

static int run(cli_app *app, int argc, char **argv)
{
    const char *no_colour_text = getenv("NO_COLOR"); /* no-color.org: any text but the empty one */
    bool no_colour = no_colour_text != NULL && no_colour_text[0] != '\0';
    app->log = slm_log_new(stderr, SLM_LOG_INFO, no_colour);
    app->colour = !no_colour && isatty(STDOUT_FILENO);
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) app->columns = size.ws_col;

    if (argc < 2) {
        cli__print_overview(stderr);
        return CLI_WRONG_USE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        cli__print_overview(stdout);
        return CLI_DONE;
    }
    size_t used;
    const char *const version[] = {"version"};
    const char *const *words = (const char *const *)(argv + 1);
    if (strcmp(argv[1], "--version") == 0) words = version;
    const slm_command *command = cli__find_command(words, (size_t)argc - 1, &used);
    if (command == NULL) return cli__unknown_command(app, argv[1]);
    int skip = 1 + (int)used;
    return run_command(app, command, argc - skip, argv + skip, no_colour);
}

int cli__run_again(cli_app *app, const slm_command *command, int argc, char **argv)
{
    const char *no_colour = getenv("NO_COLOR");
    return run_command(app, command, argc, argv, no_colour != NULL && no_colour[0] != '\0');
}

int main(int argc, char **argv)
{
    cli_app app = {0};
    int result = run(&app, argc, argv);
    /* A full disk or a closed pipe behind stdout is a failure of the command. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        slm_log_print(&app.log, SLM_LOG_ERROR, "cannot write to stdout: %s", strerror(errno));
        if (result == CLI_DONE) result = CLI_FAILED;
    }
    slm_arena_free(&app.arena);
    return result;
}
