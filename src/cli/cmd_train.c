/* cmd_train.c: slm train: a recipe, stage by stage.
 *
 * The model is opened once for all stages; each leaves its best weights in it for the next. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "train/train.h"

typedef struct train_options {
    cli_shared shared;
    slm_option_list sets;
    bool keys;
    const char *format;
} train_options;

static void print_result(const char *stage, const slm_train_result *r, bool json)
{
    if (json) {
        slm_buffer text = {0};
        slm_buffer_printf(&text, "{\"stage\":\"%s\",\"folder\":", stage);
        slm_json_append_string(&text, r->folder, strlen(r->folder));
        slm_buffer_printf(&text, ",\"steps\":%lld,\"best_step\":%lld,\"first_dev_loss\":",
                          (long long)r->steps, (long long)r->best_step);
        slm_json_append_number(&text, r->first_dev_loss);
        slm_buffer_append_text(&text, ",\"dev_loss\":");
        slm_json_append_number(&text, r->dev_loss);
        slm_buffer_append_text(&text, ",\"first_dev_reward\":");
        slm_json_append_number(&text, r->first_dev_reward);
        slm_buffer_append_text(&text, ",\"dev_reward\":");
        slm_json_append_number(&text, r->dev_reward);
        slm_buffer_printf(&text, ",\"out_of_time\":%s}\n", r->out_of_time ? "true" : "false");
        fwrite(text.data, 1, text.len, stdout);
        slm_buffer_free(&text);
    } else {
        printf("%s: %s, step %lld of %lld", stage, r->folder, (long long)r->best_step,
               (long long)r->steps);
        if (!isnan(r->dev_loss))
            printf("; development loss %.4f, before %.4f", r->dev_loss, r->first_dev_loss);
        if (!isnan(r->dev_reward))
            printf("; development reward %.4f, before %.4f", r->dev_reward, r->first_dev_reward);
        printf("\n");
    }
    fflush(stdout);
}

static slm_status run_stages(cli_app *app, const train_options *options, slm_recipe *recipe,
                             slm_error *err)
{
    slm_open_options open = cli__open_options(&options->shared);
    slm_lora_options lora;
    slm_chat *chat = NULL;
    slm_train_result result;
    SLM_TRY(slm_recipe_lora_options(recipe, &lora, err));
    if (strcmp(recipe->run.train, "adapter") == 0) {
        open.lora = &lora;
        open.lora_seed = (uint64_t)recipe->run.seed;
    } else {
        open.quantised = "widen"; /* weights that are trained cannot be kept quantised */
    }
    if (recipe->run.template) open.template = recipe->run.template;
    SLM_TRY(slm_open_chat(recipe->run.model, &open, &chat, err));
    const slm_train train = {
        .recipe = recipe, .chat = chat, .log = &app->log, .stop = &cli_interrupted};
    slm_status status =
        slm_open_model(chat)
            ? SLM_OK
            : slm_error_set(err, SLM_ERR_INVALID, "%s: only a model on this machine can be trained",
                            recipe->run.model);
    if (status == SLM_OK && recipe->has_sft) {
        status = slm_train_sft(&train, &result, err);
        if (status == SLM_OK) print_result("sft", &result, options->shared.json);
    }
    if (status == SLM_OK && recipe->has_grpo) {
        status = slm_train_grpo(&train, &result, err);
        if (status == SLM_OK) print_result("grpo", &result, options->shared.json);
    }
    slm_chat_free(chat);
    return status;
}

static int run_train(void *context, const void *options_in, const slm_option_list *arguments)
{
    cli_app *app = context;
    const train_options *options = options_in;
    slm_recipe recipe;
    slm_error error;
    if (options->keys) {
        slm_recipe_print_keys(strcmp(options->format, "markdown") == 0, stdout);
        return CLI_DONE;
    }
    if (arguments->count == 0) {
        slm_error_set(&error, SLM_ERR_INVALID,
                      "which recipe? slm train RECIPE.yaml; --keys tells "
                      "what stands in one");
        return cli__fail(app, &error);
    }
    cli__catch_interrupts(true);
    slm_status status = slm_recipe_load(arguments->items[0], options->sets.items,
                                        options->sets.count, &recipe, &error);
    if (status != SLM_OK) return cli__fail(app, &error);
    status = run_stages(app, options, &recipe, &error);
    slm_recipe_free(&recipe);
    if (status == SLM_ERR_CANCELLED) {
        slm_log_print(&app->log, SLM_LOG_WARNING, "%s", error.message);
        return CLI_FAILED;
    }
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option train_table[] = {
    {.name = "set",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(train_options, sets),
     .value_name = "SECTION.KEY=VALUE",
     .help = "a setting that goes before the recipe's; may be given more than once",
     .group = "Training"},
    {.name = "keys",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(train_options, keys),
     .help = "print every key that a recipe may have, with default and meaning"},
    {.name = "format",
     .type = SLM_OPTION_CHOICE,
     .offset = offsetof(train_options, format),
     .choices = "text|markdown",
     .value_name = "NAME",
     .default_text = "text",
     .help = "of --keys"},
    {.name = NULL},
};

const slm_command cli_command_train = {
    .name = "train",
    .usage = "RECIPE.yaml [--set SECTION.KEY=VALUE]...",
    .summary = "teach a model: by examples, then by practice",
    .description =
        "Runs the stages of a YAML recipe on one set of weights and leaves checkpoints, a log and "
        "TensorBoard events in the recipe's output folder. The adapter in OUTPUT/STAGE/best is "
        "used "
        "as MODEL+OUTPUT/STAGE/best in every other command.\n\n"
        "Stopped or killed anywhere, the same command goes on, and ends with the weights of a run "
        "that was not.",
    .example = "# everything that a recipe can say\n"
               "slm train --keys\n"
               "# the recipe, for one epoch instead of its own number\n"
               "slm train recipes/ask-first.yaml --set sft.epochs=1",
    .tables = {train_table, cli_machine_options, cli_json_options, cli_common_options},
    .options_bytes = sizeof(train_options),
    .min_arguments = 0,
    .max_arguments = 1,
    .run = run_train,
};
