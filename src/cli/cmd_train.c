/* cmd_train.c: slm train: a recipe, stage by stage: measure, learn, practise, measure again, report.
 *
 * Each stage opens what the one before left in its folder. What is measured is measured by `slm eval`
 * and told by `slm report`, with the very options that a user would give them; so everything that was
 * done once is found again when the command goes on. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "tensor/tensor.h"
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

/* ---- judge and patient of practice --------------------------------------------------------- */

/* Those of them that the recipe names, in the program's arena. */
static const char **others_of(cli_app *app, const slm_recipe *recipe, size_t *count)
{
    const slm_recipe_grpo *o = &recipe->grpo;
    const char **all = slm_arena_array(&app->arena, o->judge.count + 1, sizeof *all);
    *count = 0;
    for (size_t i = 0; i < o->judge.count; i++)
        all[(*count)++] = o->judge.items[i];
    if (o->patient) all[(*count)++] = o->patient;
    return all;
}

/* What may be spent from now on: the limit is one for all that a recipe runs. */
static slm_status money_left(const cli_app *app, const train_options *options, double *out,
                             slm_error *err)
{
    *out = options->shared.max_cost;
    if (*out == 0) return SLM_OK;
    *out -= app->spent_usd;
    if (*out > 0) return SLM_OK;
    return slm_error_set(err, SLM_ERR_LIMIT, "--max-cost %g is spent; what was done is kept",
                         options->shared.max_cost);
}

static slm_status start_others(cli_app *app, const train_options *options, const slm_recipe *recipe,
                               cli_shared *shared, slm_error *err)
{
    size_t count = 0;
    const char **all = others_of(app, recipe, &count);
    bool is_remote = false;
    for (size_t i = 0; i < count; i++)
        is_remote = is_remote || slm_remote_is(all[i]);
    *shared = options->shared;
    shared->judges = recipe->grpo.judge;
    shared->template_name = NULL; /* of the model that practises */
    if (!is_remote) shared->key_env = NULL;
    SLM_TRY(money_left(app, options, &shared->max_cost, err));
    return cli__remote_start(app, shared, all, count, err);
}

/* How often they would be asked at most: every step with all of its groups replaced, every look at the
 * development cases; and how long cases and criteria are. */
static slm_status announce_others(cli_app *app, const cli_shared *shared, const slm_recipe *recipe,
                                  slm_error *err)
{
    const slm_recipe_grpo *o = &recipe->grpo;
    const slm_cases_options all = {0};
    slm_cases cases = {0}, dev = {0};
    uint64_t bytes = 0, criteria = 0, judged_bytes = 0;
    slm_status status = slm_cases_load(o->data.items, o->data.count, &all, NULL, NULL, &cases, err);
    if (status == SLM_OK)
        status = slm_cases_load(o->dev.items, o->dev.count, &all, NULL, NULL, &dev, err);
    for (size_t i = 0; status == SLM_OK && i < cases.count; i++) {
        const slm_case *c = &cases.items[i];
        uint64_t said = 0;
        for (size_t t = 0; t < c->turn_count; t++)
            said += strlen(c->turns[t].content);
        bytes += said;
        criteria += c->rubric_count;
        judged_bytes += c->rubric_count * (said + CLI_JUDGE_BYTES + CLI_ANSWER_BYTES);
    }
    const uint64_t looks = (uint64_t)(o->steps / o->dev_steps) + 2;
    const uint64_t rollouts = (uint64_t)(2 * o->steps * o->prompts * o->rollouts) +
                              looks * dev.count * (uint64_t)o->dev_rollouts +
                              3 * (uint64_t)(o->check_cases * o->rollouts);
    const uint64_t n = cases.count > 0 ? cases.count : 1, turns = (uint64_t)o->turns - 1;
    for (size_t j = 0; status == SLM_OK && j < o->judge.count; j++)
        status = cli__remote_announce(app, o->judge.items[j], rollouts * criteria / n,
                                      rollouts * (judged_bytes / n), shared->judge_max_tokens, err);
    if (status == SLM_OK && o->patient)
        status = cli__remote_announce(app, o->patient, rollouts * turns,
                                      rollouts * turns * (bytes / n + CLI_PATIENT_BYTES),
                                      CLI_PATIENT_TOKENS, err);
    slm_cases_free(&cases);
    slm_cases_free(&dev);
    return status;
}

/* Whether `slm eval` asks somebody behind an API for the recipe. */
static bool measures_by_api(const slm_recipe *recipe)
{
    const slm_recipe_eval *o = &recipe->eval;
    return slm_remote_is(o->judge) || (o->patient && slm_remote_is(o->patient));
}

/* A key that would go nowhere is a mistake. */
static slm_status check_key(const train_options *options, const slm_recipe *recipe,
                            const char *const *others, size_t count, slm_error *err)
{
    bool used = recipe->has_eval && measures_by_api(recipe);
    for (size_t i = 0; i < count; i++)
        used = used || (recipe->has_grpo && slm_remote_is(others[i]));
    if (used || !options->shared.key_env) return SLM_OK;
    return slm_error_set(err, SLM_ERR_INVALID,
                         "--key-env %s: the recipe names no judge or patient behind an API",
                         options->shared.key_env);
}

/* Of the model that is trained and measured; NULL: its own. */
static const char *template_of(const train_options *options, const slm_recipe *recipe)
{
    return recipe->run.template ? recipe->run.template : options->shared.template_name;
}

/* A recipe that thinks, with a model whose template cannot, is refused before anything is measured. */
static slm_status check_thinking(const train_options *options, const slm_recipe *recipe,
                                 slm_error *err)
{
    slm_open_options open = cli__open_options(&options->shared);
    const slm_template *tmpl = NULL;
    if (!slm_recipe_thinks(recipe)) return SLM_OK;
    open.template = template_of(options, recipe);
    SLM_TRY(slm_open_template(recipe->run.model, &open, &tmpl, err));
    if (slm_template_thinks(tmpl)) return SLM_OK;
    return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                         "%s: thinking is on, but %s has the template '%s', which has no thinking; "
                         "set thinking to off",
                         recipe->path, recipe->run.model, slm_template_name(tmpl));
}

/* Before the first stage, which may take hours: are they there, and what will be asked of them? */
static slm_status look_at_others(cli_app *app, const train_options *options,
                                 const slm_recipe *recipe, slm_error *err)
{
    slm_status status = SLM_OK;
    cli_shared shared;
    size_t count = 0;
    const char **all = others_of(app, recipe, &count);
    bool asks = false;
    SLM_TRY(check_key(options, recipe, all, count, err));
    if (!recipe->has_grpo || count == 0) return SLM_OK;
    SLM_TRY_OUT(start_others(app, options, recipe, &shared, err));
    const slm_open_options open = cli__open_options(&shared);
    for (size_t i = 0; i < count; i++) {
        const bool rule = i < recipe->grpo.judge.count && strncmp(all[i], "rule", 4) == 0;
        slm_judge *judge = NULL;
        asks = asks || slm_remote_is(all[i]);
        if (rule) {
            const slm_judge_options none = slm_judge_options_default();
            SLM_TRY_OUT(slm_open_judge(all[i], &open, &none, &judge, err));
        } else {
            SLM_TRY_OUT(cli__check_model(all[i], &open, err));
        }
        slm_judge_free(judge);
    }
    if (asks) SLM_TRY_OUT(announce_others(app, &shared, recipe, err));
out:
    cli__remote_finish(app);
    return status;
}

static slm_status open_others(cli_app *app, const train_options *options, const slm_recipe *recipe,
                              slm_judge **judge, slm_chat **patient, slm_error *err)
{
    size_t count = 0;
    cli_shared shared;
    others_of(app, recipe, &count);
    if (count == 0) return SLM_OK;
    SLM_TRY(start_others(app, options, recipe, &shared, err));
    if (recipe->grpo.judge.count > 0) SLM_TRY(cli__open_judges(app, &shared, NULL, judge, err));
    if (!recipe->grpo.patient) return SLM_OK;
    const slm_open_options open = cli__open_options(&shared);
    return slm_open_chat(recipe->grpo.patient, &open, patient, err);
}

/* ---- the stages ---------------------------------------------------------------------------- */

typedef slm_status stage_fn(const slm_train *train, slm_train_result *result, slm_error *err);

/* Open the model, with a new adapter where it brings none, and run one stage over it. */
static slm_status run_stage(cli_app *app, const train_options *options, const slm_recipe *recipe,
                            const char *name, const char *model, stage_fn *stage,
                            slm_train_result *result, slm_error *err)
{
    slm_open_options open = cli__open_options(&options->shared);
    slm_lora_options lora;
    slm_chat *chat = NULL, *patient = NULL;
    slm_judge *judge = NULL;
    slm_status status = SLM_OK;
    SLM_TRY(slm_recipe_lora_options(recipe, &lora, err));
    if (slm_recipe_wants_adapter(recipe)) {
        open.lora = &lora;
        open.lora_seed = (uint64_t)recipe->run.seed;
    } else {
        open.quantised = "widen"; /* weights that are trained cannot be kept quantised */
    }
    open.template = template_of(options, recipe);
    SLM_TRY(slm_open_chat(model, &open, &chat, err));
    if (stage == slm_train_grpo)
        SLM_TRY_OUT(open_others(app, options, recipe, &judge, &patient, err));
    const slm_train train = {.recipe = recipe,
                             .chat = chat,
                             .judge = judge,
                             .patient = patient,
                             .log = &app->log,
                             .stop = &cli_interrupted};
    status = stage(&train, result, err);
    if (judge) cli__log_judge(app, judge);
out:
    slm_judge_free(judge);
    slm_chat_free(patient);
    slm_chat_free(chat);
    cli__remote_finish(app);
    if (status == SLM_OK) print_result(name, result, options->shared.json);
    return status;
}

/* ---- measuring ----------------------------------------------------------------------------- */

/* The words of a command line, in the program's arena. */
typedef struct words {
    char **items;
    int count, room;
} words;

static void say(cli_app *app, words *w, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(cli_app *app, words *w, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) slm_out_of_memory(strlen(format));
    va_end(arguments);
    if (w->count == w->room) {
        w->room = w->room > 0 ? 2 * w->room : 32;
        char **grown = slm_arena_array(&app->arena, (size_t)w->room, sizeof *grown);
        if (w->count > 0) memcpy(grown, w->items, (size_t)w->count * sizeof *grown);
        w->items = grown;
    }
    w->items[w->count++] = slm_arena_strdup(&app->arena, text);
    free(text);
}

static void say_machine(cli_app *app, words *w, const cli_shared *shared)
{
    if (shared->threads > 0) say(app, w, "--threads=%lld", (long long)shared->threads);
    if (shared->batch > 0) say(app, w, "--batch=%lld", (long long)shared->batch);
    if (shared->context > 0) say(app, w, "--ctx=%lld", (long long)shared->context);
    if (shared->memory > 0) say(app, w, "--memory=%llu", (unsigned long long)shared->memory);
    if (shared->device) say(app, w, "--device=%s", shared->device);
    if (!shared->prefix_sharing) say(app, w, "--no-prefix-sharing");
    if (shared->dtype) say(app, w, "--dtype=%s", shared->dtype);
    if (shared->quantised) say(app, w, "--quantised=%s", shared->quantised);
    if (shared->kernels) say(app, w, "--kernels=%s", shared->kernels);
    if (shared->json) say(app, w, "--json");
    if (shared->quiet) say(app, w, "--quiet");
    if (shared->verbose) say(app, w, "--verbose");
}

/* What the recipe's judges are asked with, here and in practice. */
static slm_status say_judge(cli_app *app, words *w, const train_options *options,
                            const slm_recipe *recipe, slm_error *err)
{
    const cli_shared *s = &options->shared;
    double left = 0;
    SLM_TRY(money_left(app, options, &left, err));
    say(app, w, "--judge=%s", recipe->eval.judge);
    if (s->judge_template) say(app, w, "--judge-template=%s", s->judge_template);
    if (s->judge_system) say(app, w, "--judge-system=%s", s->judge_system);
    say(app, w, "--judge-temperature=%.17g", s->judge_temperature);
    say(app, w, "--judge-max-tokens=%lld", (long long)s->judge_max_tokens);
    say(app, w, "--judge-seed=%lld", (long long)s->judge_seed);
    say(app, w, "--judge-thinking=%s", s->judge_thinking);
    if (s->key_env && measures_by_api(recipe)) say(app, w, "--key-env=%s", s->key_env);
    if (s->endpoints) say(app, w, "--endpoints=%s", s->endpoints);
    if (s->prices) say(app, w, "--prices=%s", s->prices);
    if (s->ca_file) say(app, w, "--ca-file=%s", s->ca_file);
    if (s->record) say(app, w, "--record=%s", s->record);
    if (s->dry_run) say(app, w, "--dry-run");
    if (s->offline) say(app, w, "--offline");
    if (left > 0) say(app, w, "--max-cost=%.17g", left);
    say(app, w, "--timeout=%.17g", s->timeout_s);
    say(app, w, "--concurrency=%lld", (long long)s->concurrency);
    say(app, w, "--retries=%lld", (long long)s->retries);
    return SLM_OK;
}

/* `slm eval` of the models named so, into the recipe's database; then all arms stand in its tables. */
static int evaluate(cli_app *app, const train_options *options, const slm_recipe *recipe,
                    const char *const *models, const char *const *names, size_t count)
{
    const slm_recipe_eval *o = &recipe->eval;
    words w = {0};
    slm_error error;
    for (size_t i = 0; i < count; i++) {
        say(app, &w, "%s", models[i]);
        say(app, &w, "--name=%s", names[i]);
    }
    for (size_t i = 0; i < o->cases.count; i++)
        say(app, &w, "--cases=%s", o->cases.items[i]);
    say(app, &w, "--system=%s", recipe->run.system);
    say(app, &w, "--rollouts=%lld", (long long)o->rollouts);
    say(app, &w, "--max-tokens=%lld", (long long)o->max_tokens);
    say(app, &w, "--temperature=%.17g", o->temperature);
    say(app, &w, "--thinking=%s", recipe->run.thinking);
    say(app, &w, "--env=%s", o->env);
    say(app, &w, "--turns=%lld", (long long)o->turns);
    if (o->patient) say(app, &w, "--patient=%s", o->patient);
    if (say_judge(app, &w, options, recipe, &error) != SLM_OK) return cli__fail(app, &error);
    say(app, &w, "--db=%s/results.db", recipe->run.output);
    if (template_of(options, recipe)) say(app, &w, "--template=%s", template_of(options, recipe));
    say_machine(app, &w, &options->shared);
    return cli__run_again(app, &cli_command_eval, w.count, w.items);
}

/* The base with the recipe's other system texts: what a prompt alone can do. */
static int evaluate_prompts(cli_app *app, const train_options *options, slm_recipe *recipe)
{
    const char *const model = recipe->run.model, *own = recipe->run.system;
    int result = CLI_DONE;
    for (size_t i = 0; i < recipe->eval.system.count && result == CLI_DONE; i++) {
        char name[64];
        const char *const names[] = {name};
        snprintf(name, sizeof name, "base, prompt %zu", i + 1);
        recipe->run.system = recipe->eval.system.items[i];
        result = evaluate(app, options, recipe, &model, names, 1);
        recipe->run.system = own;
    }
    return result;
}

static int write_report(cli_app *app, const train_options *options, const slm_recipe *recipe)
{
    words w = {0};
    say(app, &w, "--db=%s/results.db", recipe->run.output);
    say(app, &w, "--html=%s/report.html", recipe->run.output);
    say(app, &w, "--base=base");
    if (options->shared.quiet) say(app, &w, "--quiet");
    return cli__run_again(app, &cli_command_report, w.count, w.items);
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* A folder of the recipe's output behind the base. */
static const char *trained(cli_app *app, const slm_recipe *recipe, const char *folder)
{
    char *base = NULL, *adapter = NULL;
    slm_open_split(recipe->run.model, &base, &adapter);
    const char *out = slm_arena_printf(&app->arena, "%s+%s", base, folder);
    free(base);
    free(adapter);
    return out;
}

/* Whether the folder holds the model that is made of this base and these weights. */
static bool is_made_of(const char *folder, const char *base, const char *weights)
{
    static const char *const keys[] = {"slm.base_sha256", "slm.weights_sha256"};
    const char *const paths[] = {base, weights};
    slm_tensors *made = NULL;
    bool same = slm_tensors_open(folder, &made, NULL) == SLM_OK;
    for (size_t i = 0; i < 2 && same; i++) {
        slm_tensors *part = NULL;
        const char *is = NULL, *was = NULL;
        same = slm_tensors_open(paths[i], &part, NULL) == SLM_OK &&
               slm_tensors_sha256(part, &is, NULL) == SLM_OK &&
               slm_meta_string(made, keys[i], true, &was, NULL) == SLM_OK && strcmp(is, was) == 0;
        slm_tensors_close(part);
    }
    slm_tensors_close(made);
    return same;
}

/* Where weights of the base were trained: the model as a folder that every command opens. f32, which
 * keeps what was learnt; opened, it is rounded as it was in training. */
static slm_status make_model(cli_app *app, const slm_recipe *recipe, const char *name,
                             const char *weights, const char **model, slm_error *err)
{
    slm_export_report report;
    *model = slm_arena_printf(&app->arena, "%s/%s/model", recipe->run.output, name);
    const slm_export_options job = {.base = recipe->run.model,
                                    .weights = weights,
                                    .dtype = SLM_F32,
                                    .path = *model,
                                    .force = true,
                                    .shard_bytes = 5000000000,
                                    .log = &app->log,
                                    .stop = &cli_interrupted};
    if (is_made_of(*model, recipe->run.model, weights)) return SLM_OK;
    return slm_export(&job, &report, err);
}

static int fail_with(cli_app *app, const slm_error *error)
{
    if (error->status != SLM_ERR_CANCELLED) return cli__fail(app, error);
    slm_log_print(&app->log, SLM_LOG_WARNING, "%s", error->message);
    return CLI_FAILED;
}

static int run_recipe(cli_app *app, const train_options *options, slm_recipe *recipe)
{
    const char *models[3] = {recipe->run.model}, *names[3] = {"base"};
    size_t count = 1;
    slm_train_result result = {0};
    slm_error error;
    int done = CLI_DONE;
    const bool dry_run = options->shared.dry_run;
    if (slm_train_preflight(recipe, dry_run ? &app->log : NULL, &error) != SLM_OK ||
        check_thinking(options, recipe, &error) != SLM_OK ||
        look_at_others(app, options, recipe, &error) != SLM_OK)
        return cli__fail(app, &error);
    if (!dry_run && slm_file_make_folders(recipe->run.output, &error) != SLM_OK)
        return cli__fail(app, &error);
    if (recipe->has_eval) done = evaluate(app, options, recipe, models, names, 1);
    if (done == CLI_DONE && recipe->has_eval) done = evaluate_prompts(app, options, recipe);
    if (done != CLI_DONE) return done;
    if (dry_run && recipe->has_eval)
        slm_log_print(&app->log, SLM_LOG_INFO,
                      "each stage is measured again with as many answers as the base");
    if (dry_run) return CLI_DONE;
    const struct {
        bool wanted;
        const char *name;
        stage_fn *run;
    } stages[] = {{recipe->has_sft, "sft", slm_train_sft},
                  {recipe->has_grpo, "grpo", slm_train_grpo}};
    for (size_t i = 0; i < 2; i++) {
        if (!stages[i].wanted) continue;
        cli__catch_interrupts(true);
        if (run_stage(app, options, recipe, stages[i].name, models[count - 1], stages[i].run,
                      &result, &error) != SLM_OK)
            return fail_with(app, &error);
        if (result.out_of_time) {
            slm_log_print(&app->log, SLM_LOG_WARNING,
                          "%s: the time budget ended at step %lld; the same command goes on",
                          stages[i].name, (long long)result.steps);
            return CLI_FAILED;
        }
        models[count] = trained(app, recipe, result.folder);
        if (!slm_recipe_wants_adapter(recipe) &&
            make_model(app, recipe, stages[i].name, result.folder, &models[count], &error) !=
                SLM_OK)
            return fail_with(app, &error);
        names[count++] = stages[i].name;
    }
    if (recipe->has_eval) done = evaluate(app, options, recipe, models, names, count);
    return done == CLI_DONE && recipe->has_eval ? write_report(app, options, recipe) : done;
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
    if (slm_recipe_load(arguments->items[0], options->sets.items, options->sets.count, &recipe,
                        &error) != SLM_OK)
        return cli__fail(app, &error);
    const int result = run_recipe(app, options, &recipe);
    slm_recipe_free(&recipe);
    return result;
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
        "used as MODEL+OUTPUT/STAGE/best in every other command; where weights are trained, "
        "OUTPUT/STAGE/model is the model.\n\n"
        "Stopped or killed anywhere, the same command goes on, and ends with the weights of a run "
        "that was not.\n\n"
        "The options about judges and remote models are for those that the recipe names: "
        "grpo.judge, "
        "grpo.patient, eval.judge, eval.patient. --max-cost is one limit for them all.\n\n"
        "With --json standard output is JSON Lines: the tables, an object for each stage, and the "
        "tables again.",
    .example = "# everything that a recipe can say\n"
               "slm train --keys\n"
               "# the recipe, for one epoch instead of its own number\n"
               "slm train recipes/ask-first.yaml --set sft.epochs=1\n"
               "# is everything there, and what will be done? Nothing is\n"
               "slm train recipes/ask-first.yaml --dry-run\n"
               "# rewarded also by a judge over the rubrics\n"
               "slm train recipes/ask-first.yaml --set reward.rubric=2 --set grpo.judge=judge.gguf",
    .tables = {train_table, cli_judge_options, cli_machine_options, cli_remote_options,
               cli_json_options, cli_common_options},
    .options_bytes = sizeof(train_options),
    .min_arguments = 0,
    .max_arguments = 1,
    .run = run_train,
};
