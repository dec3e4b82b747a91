/* preflight.c: what can be known of a recipe's run before hours go into it.
 *
 * Every file of data is read once: a missing one, a broken line, a stratum that is practised and never
 * looked at are told now, and not when the stage that wants them begins. What the output folder holds
 * must have been made by this recipe: else its results would be mixed with those of another. */
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "provider/remote.h"
#include "train_internal.h"

/* What is asked over a network, or read from a file, has no weights. */
static slm_status look_at_model(const slm_recipe *r, slm_error *err)
{
    if (!slm_remote_is(r->run.model) &&
        strncmp(r->run.model, "recorded:", strlen("recorded:")) != 0)
        return SLM_OK;
    return slm_error_set(err, SLM_ERR_INVALID,
                         "%s: model: only a model on this machine can be trained, and %s is none; "
                         "set it to a .gguf file or a Hugging Face folder",
                         r->path, r->run.model);
}

/* What comes through a pipe is there once, for its stage. */
static bool can_be_read_twice(const slm_option_list *paths)
{
    struct stat file;
    for (size_t i = 0; i < paths->count; i++)
        if (stat(paths->items[i], &file) != 0 || !S_ISREG(file.st_mode)) return false;
    return true;
}

/* Rows of JSON Lines, each of which is at least an object. */
static slm_status count_rows(const slm_option_list *paths, size_t *count, slm_error *err)
{
    slm_status status = SLM_OK;
    *count = 0;
    for (size_t i = 0; i < paths->count && status == SLM_OK; i++) {
        slm_jsonl *file = NULL;
        json_t *row = NULL;
        SLM_TRY(slm_jsonl_open(paths->items[i], &file, err));
        while ((status = slm_jsonl_next(file, &row, NULL, err)) == SLM_OK && row) {
            json_decref(row);
            ++*count;
        }
        slm_jsonl_close(file);
    }
    return status;
}

/* Whether a stage that was begun in the output folder is one of these settings. */
static slm_status look_at_stage(const slm_recipe *r, const char *name,
                                const slm_recipe_settings *settings, slm_error *err)
{
    char folder[4200];
    bool found = false;
    train__state last = train__state_none();
    snprintf(folder, sizeof folder, "%.4000s/%s", r->run.output, name);
    SLM_TRY(train__checkpoint_state(folder, "last", &found, &last, err));
    return found ? train__settings_check(folder, &last, settings, err) : SLM_OK;
}

static slm_status look_at_examples(const slm_recipe *r, slm_log *log, slm_error *err)
{
    const slm_recipe_sft *o = &r->sft;
    size_t rows = 0, dev = 0, requests = 0;
    if (!can_be_read_twice(&o->data) || !can_be_read_twice(&o->dev) ||
        !can_be_read_twice(&o->replay))
        return SLM_OK;
    SLM_TRY(count_rows(&o->data, &rows, err));
    if (rows == 0)
        return slm_error_set(err, SLM_ERR_INVALID, "%s: no example to learn from",
                             o->data.items[0]);
    SLM_TRY(count_rows(&o->dev, &dev, err));
    SLM_TRY(count_rows(&o->replay, &requests, err));
    if (!log) return SLM_OK;
    const double replayed = requests > 0 ? o->replay_share : 0;
    const double held = o->dev.count > 0 ? 0 : o->dev_share;
    const double steps =
        ceil(o->epochs * (double)rows * (1 - held) / (1 - replayed) / (double)o->batch);
    slm_log_print(
        log, SLM_LOG_INFO,
        "sft: %zu rows, %.3g epochs in batches of %lld: about %.0f steps; development data "
        "are %s; into %s/sft",
        rows, o->epochs, (long long)o->batch, steps,
        o->dev.count > 0 ? "a file of their own" : "held back", r->run.output);
    return SLM_OK;
}

static slm_status look_at_practice(const slm_recipe *r, slm_log *log, slm_error *err)
{
    const slm_recipe_grpo *o = &r->grpo;
    slm_cases data = {0}, dev = {0};
    if (!can_be_read_twice(&o->data) || !can_be_read_twice(&o->dev)) return SLM_OK;
    const slm_status status = train__load_practice(o, &data, &dev, err);
    if (status == SLM_OK && log)
        slm_log_print(log, SLM_LOG_INFO,
                      "grpo: %zu cases, %zu for development; %lld steps of %lld cases with %lld "
                      "rollouts each, %s; into %s/grpo",
                      data.count, dev.count, (long long)o->steps, (long long)o->prompts,
                      (long long)o->rollouts, o->env, r->run.output);
    slm_cases_free(&data);
    slm_cases_free(&dev);
    return status;
}

slm_status slm_train_preflight(const slm_recipe *r, slm_log *log, slm_error *err)
{
    SLM_TRY(look_at_model(r, err));
    SLM_TRY(slm_recipe_check_files(r, err));
    if (r->has_sft) {
        SLM_TRY(look_at_stage(r, "sft", &r->sft_settings, err));
        SLM_TRY(look_at_examples(r, log, err));
    }
    if (r->has_grpo) {
        SLM_TRY(look_at_stage(r, "grpo", &r->grpo_settings, err));
        SLM_TRY(look_at_practice(r, log, err));
    }
    return SLM_OK;
}
