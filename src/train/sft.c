/* sft.c: learning from examples.
 *
 * Each epoch's order is drawn anew, by seed and epoch; a step takes the next `batch` examples, and
 * its loss is the mean over all their learnt tokens, however they are packed. Every so many steps the
 * development examples' loss is measured and the checkpoint with the lowest is kept as `best`. What a
 * step does depends on settings, data and step alone; so a stage that goes on from a checkpoint ends
 * where one ends that was never broken off. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/random.h"
#include "open/open.h"
#include "train_internal.h"

typedef struct sft {
    train__stage stage;
    const slm_recipe_sft *settings;
    train__examples data, dev, replay;
    train__snapshot *base; /* NULL: all that is learnt is kept */
    size_t *order;         /* of the epoch below */
    size_t *plain;         /* 0, 1, 2 ... for development data */
    size_t *picks;         /* of a step */
    int64_t epoch;
    double computed_tokens;
    train__projection projection;
} sft;

static train__reader reader_of(const sft *s)
{
    const slm_train *t = s->stage.train;
    return (train__reader){.tokenizer = slm_open_chat_tokenizer(t->chat),
                           .tmpl = slm_open_chat_template(t->chat),
                           .system = t->recipe->run.system,
                           .thinking = slm_recipe_thinks(t->recipe),
                           .max_tokens = (size_t)s->settings->max_tokens};
}

static slm_status add_replay(sft *s)
{
    slm_buffer path = {0};
    train__reader reader = reader_of(s);
    slm_status status = SLM_OK;
    reader.as_it_came = true;
    SLM_TRY_OUT(train__replay(s->stage.train, s->stage.folder, &path, s->stage.err));
    const char *file = slm_buffer_text(&path);
    const slm_option_list list = {.items = &file, .count = 1};
    SLM_TRY_OUT(train__examples_load(&list, &reader, &s->replay, s->stage.err));
    train__examples_mix(&s->data, &s->replay, s->settings->replay_share,
                        (uint64_t)s->stage.train->recipe->run.seed);
out:
    slm_buffer_free(&path);
    return status;
}

static slm_status load_data(sft *s)
{
    const train__reader reader = reader_of(s);
    if (reader.thinking && !slm_template_thinks(reader.tmpl))
        return slm_error_set(s->stage.err, SLM_ERR_UNSUPPORTED,
                             "thinking is on, but the template '%s' has no thinking",
                             slm_template_name(reader.tmpl));
    SLM_TRY(train__examples_load(&s->settings->data, &reader, &s->data, s->stage.err));
    if (s->settings->dev.count > 0)
        SLM_TRY(train__examples_load(&s->settings->dev, &reader, &s->dev, s->stage.err));
    else if (s->settings->dev_share > 0)
        train__examples_hold_back(&s->data, s->settings->dev_share,
                                  (uint64_t)s->stage.train->recipe->run.seed, &s->dev);
    if (s->data.count == 0)
        return slm_error_set(s->stage.err, SLM_ERR_INVALID,
                             "sft.dev_share (%g) leaves no example to learn from",
                             s->settings->dev_share);
    if (s->settings->replay.count > 0 && s->settings->replay_share > 0) SLM_TRY(add_replay(s));
    slm_log_print(s->stage.train->log, SLM_LOG_INFO,
                  "%zu examples, %llu tokens, %llu of them learnt; %zu for development",
                  s->data.count, (unsigned long long)s->data.tokens,
                  (unsigned long long)s->data.learnt, s->dev.count);
    if (s->data.too_long + s->dev.too_long > 0)
        slm_log_print(s->stage.train->log, SLM_LOG_WARNING,
                      "%zu examples are longer than sft.max_tokens (%lld) and were left out",
                      s->data.too_long + s->dev.too_long, (long long)s->settings->max_tokens);
    return SLM_OK;
}

static slm_status make_training(sft *s)
{
    const slm_recipe *recipe = s->stage.train->recipe;
    const bool adapter = slm_recipe_wants_adapter(recipe);
    const slm_training_options options = {.full = !adapter,
                                          .embeddings = strcmp(recipe->run.train, "all") == 0,
                                          .checkpoint = s->settings->checkpointing,
                                          .dropout = adapter ? (float)recipe->lora.dropout : 0.0f,
                                          .max_rows = (size_t)s->settings->rows,
                                          .max_sequences = TRAIN_MOST_SEQUENCES};
    slm_model *model = slm_open_model(s->stage.train->chat);
    SLM_TRY(slm_training_new(model, &options, &s->stage.training, s->stage.err));
    SLM_TRY(train__optimiser_new(model, s->stage.training, &s->settings->optimiser,
                                 s->stage.state.steps, &s->stage.optimiser, s->stage.err));
    return SLM_OK;
}

/* The stage as it begins, or as its last checkpoint has it. Development examples are part of what it
 * is: they choose what is kept. */
static slm_status begin(sft *s)
{
    const double examples = s->settings->epochs * (double)s->data.count;
    bool found = false;
    train__stage_fresh(&s->stage, (int64_t)ceil(examples / (double)s->settings->batch - 1e-9),
                       &s->stage.train->recipe->sft_settings, s->data.sha256, s->dev.sha256);
    SLM_TRY(make_training(s));
    if (s->settings->interpolate < 1)
        SLM_TRY(train__snapshot_new(slm_open_model(s->stage.train->chat), s->stage.training, true,
                                    &s->base, s->stage.err));
    train__stage_tell_memory(&s->stage, s->base ? 3 : 2);
    SLM_TRY(train__stage_find(&s->stage, &found));
    if (found) SLM_TRY(train__stage_load_last(&s->stage));
    return train__stage_open_log(&s->stage);
}

/* ---- steps --------------------------------------------------------------------------------- */

/* The example at a place in the endless sequence of shuffled epochs. */
static size_t example_at(sft *s, int64_t place)
{
    const int64_t count = (int64_t)s->data.count, epoch = place / count;
    if (epoch != s->epoch) {
        slm_random random = slm_random_new((uint64_t)s->stage.train->recipe->run.seed,
                                           0x5f7a0000u + (uint64_t)epoch);
        for (size_t i = 0; i < s->data.count; i++)
            s->order[i] = i;
        slm_random_shuffle(&random, s->order, s->data.count, sizeof *s->order);
        s->epoch = epoch;
    }
    return s->order[place % count];
}

/* The examples of the step to come, into `picks`. */
static size_t pick(sft *s, uint64_t *tokens, uint64_t *learnt)
{
    const int64_t first = s->stage.state.step * s->settings->batch;
    const double last = s->settings->epochs * (double)s->data.count;
    size_t count = 0;
    *tokens = *learnt = 0;
    for (int64_t i = 0; i < s->settings->batch && (double)(first + i) < last - 1e-9; i++) {
        const train__example *e = &s->data.items[s->picks[count++] = example_at(s, first + i)];
        *tokens += e->len;
        *learnt += e->len - e->prompt;
    }
    return count;
}

static train__loss take_step(sft *s, double *norm)
{
    uint64_t tokens, learnt;
    const size_t count = pick(s, &tokens, &learnt);
    s->computed_tokens += (double)tokens;
    const uint32_t pass = (uint32_t)(s->stage.state.step * s->settings->batch);
    const train__loss loss =
        train__pass(s->stage.training, &s->data, s->picks, count, (size_t)s->settings->rows,
                    1.0f / (float)learnt, (uint64_t)s->stage.train->recipe->run.seed, pass);
    train__optimiser_step(s->stage.optimiser, s->stage.state.step + 1, norm);
    s->stage.state.step++;
    return loss;
}

/* NaN without development examples; with them a loss that is no number is an error, since the best
 * checkpoint could not be told by it. */
static slm_status dev_loss(sft *s, double *out)
{
    *out = NAN;
    if (s->dev.count == 0) return SLM_OK;
    const train__loss loss = train__pass(s->stage.training, &s->dev, s->plain, s->dev.count,
                                         (size_t)s->settings->rows, 0.0f, 0, 0);
    *out = loss.sum / (double)loss.tokens;
    if (isfinite(*out)) return SLM_OK;
    if (s->stage.state.step == 0)
        return slm_error_set(s->stage.err, SLM_ERR_INVALID,
                             "%s: before the first step the loss on development examples is %g: %s "
                             "cannot be trained as it is",
                             s->stage.name, *out, s->stage.train->recipe->run.model);
    return slm_error_set(s->stage.err, SLM_ERR_INVALID,
                         "%s step %lld: the loss on development examples is %g; lower %s.rate; the "
                         "last checkpoint in %s is as it was",
                         s->stage.name, (long long)s->stage.state.step, *out, s->stage.name,
                         s->stage.folder);
}

/* Measure, log, and keep the weights if they are the best so far. */
static slm_status measure_dev(sft *s, json_t *values)
{
    const double begun_s = slm_progress_clock_s();
    double loss;
    if (s->dev.count == 0) return SLM_OK;
    SLM_TRY(dev_loss(s, &loss));
    s->projection.look_s = slm_progress_clock_s() - begun_s;
    json_object_set_new(values, "dev_loss", json_real(loss));
    if (isnan(s->stage.state.first_loss)) s->stage.state.first_loss = loss;
    if (!isnan(s->stage.state.best_loss) && !(loss < s->stage.state.best_loss)) return SLM_OK;
    s->stage.state.best_loss = loss;
    s->stage.state.best_step = s->stage.state.step;
    return train__stage_save(&s->stage, "best", false);
}

/* Tokens of the steps to come. */
static double tokens_left(const sft *s)
{
    const double examples = s->settings->epochs * (double)s->data.count -
                            (double)(s->stage.state.step * s->settings->batch);
    return fmax(0, examples) * (double)s->data.tokens / (double)s->data.count;
}

/* Learning a token takes longer than measuring one: how much longer depends on what is learnt. Without
 * development examples the first step's are measured. */
static void project_from_look(sft *s)
{
    const double least = s->settings->checkpointing ? 2.5 : 1.5;
    const double most = s->settings->checkpointing ? 5 : 4;
    const train__stage *stage = &s->stage;
    const char *what = "look at development";
    uint64_t tokens = s->dev.tokens, learnt;
    double look_s = s->projection.look_s;
    if (s->dev.count == 0) {
        const size_t count = pick(s, &tokens, &learnt);
        const double begun_s = slm_progress_clock_s();
        train__pass(stage->training, &s->data, s->picks, count, (size_t)s->settings->rows, 0.0f, 0,
                    0);
        look_s = slm_progress_clock_s() - begun_s;
        what = "first step's";
    }
    if (look_s <= 0) return;
    const double measured_s = look_s / (double)tokens * tokens_left(s);
    const double looks_s = s->projection.look_s *
                           (double)train__looks_left(0, stage->state.steps, s->settings->dev_steps);
    char why[128];
    snprintf(why, sizeof why, "the %s examples (%.0f tokens/s, not learning)", what,
             (double)tokens / look_s);
    train__project_range(stage, "", least * measured_s + looks_s, most * measured_s + looks_s, why);
}

static void project(sft *s, double took_s, double tokens)
{
    const int64_t step = s->stage.state.step, steps = s->stage.state.steps;
    if (s->projection.look_s == 0) /* gone on with: none was measured in this run */
        s->projection.look_s = (double)s->dev.tokens * took_s / tokens / 2;
    train__project(&s->projection, &s->stage, took_s, tokens, tokens_left(s),
                   train__looks_left(step, steps, s->settings->dev_steps));
}

/* One step with all that belongs to it. */
static slm_status run_step(sft *s, slm_progress *progress)
{
    const slm_recipe_sft *o = s->settings;
    const double before_s = slm_progress_clock_s(), tokens = s->computed_tokens;
    double norm;
    const double rate = train__rate(&o->optimiser, s->stage.state.step + 1, s->stage.state.steps);
    const train__loss loss = take_step(s, &norm);
    const double mean = loss.sum / (double)loss.tokens;
    const double took_s = slm_progress_clock_s() - before_s;
    const double speed = (s->computed_tokens - tokens) / took_s;
    const int64_t step = s->stage.state.step;
    SLM_TRY(train__stage_check_finite(&s->stage, mean, norm));
    json_t *values = json_pack("{s:f, s:f, s:f, s:f, s:I}", "loss", mean, "grad_norm", norm, "rate",
                               rate, "epoch", (double)(step * o->batch) / (double)s->data.count,
                               "learnt_tokens", (json_int_t)loss.tokens);
    slm_status status = SLM_OK;
    if (step % o->dev_steps == 0 || step == s->stage.state.steps) status = measure_dev(s, values);
    if (status != SLM_OK) {
        json_decref(values);
        return status;
    }
    json_t *times = json_pack("{s:f, s:f}", "step_s", took_s, "tokens_per_s", speed);
    SLM_TRY(train__metrics_put(s->stage.metrics, step, values, times, s->stage.err));
    char note[96];
    snprintf(note, sizeof note, "loss %.3f, best dev %.3f, %.0f tokens/s", mean,
             s->stage.state.best_loss, speed);
    slm_progress_update(progress, (uint64_t)step, note);
    project(s, took_s, s->computed_tokens - tokens);
    return step % o->save_steps == 0 ? train__stage_save(&s->stage, "last", true) : SLM_OK;
}

static slm_status run_steps(sft *s, slm_train_result *result)
{
    const slm_train *t = s->stage.train;
    slm_status status = SLM_OK;
    slm_progress *progress = slm_progress_new(
        t->log, "sft", "steps", (uint64_t)s->stage.state.steps, (uint64_t)s->stage.state.step);
    if (s->stage.state.step == 0) {
        json_t *values = json_object();
        status = measure_dev(s, values);
        if (status == SLM_OK && json_object_size(values) > 0)
            status = train__metrics_put(s->stage.metrics, 0, values, json_object(), s->stage.err);
        else
            json_decref(values);
        if (status == SLM_OK) project_from_look(s);
    }
    while (status == SLM_OK && s->stage.state.step < s->stage.state.steps) {
        bool pauses = false;
        status = run_step(s, progress);
        if (status != SLM_OK || s->stage.state.step == s->stage.state.steps) break;
        status = train__stage_pause(&s->stage, &pauses, result);
        if (pauses) break;
    }
    slm_progress_finish(progress);
    return status;
}

/* The weights between the base's and the best, which are in the model. */
static slm_status interpolate(sft *s, const train__state *best, slm_train_result *result)
{
    static const char name[] = "interpolated";
    const slm_train *t = s->stage.train;
    train__state state = *best;
    train__snapshot_mix(s->base, s->settings->interpolate);
    SLM_TRY(dev_loss(s, &state.best_loss));
    SLM_TRY(train__checkpoint_save(s->stage.folder, name, t, s->stage.training, NULL, &state,
                                   s->stage.err));
    if (s->dev.count > 0)
        slm_log_print(t->log, SLM_LOG_INFO,
                      "%.4g of what was learnt is kept: development loss %.3f, %.3f with all",
                      s->settings->interpolate, state.best_loss, best->best_loss);
    result->dev_loss = state.best_loss;
    snprintf(result->folder, sizeof result->folder, "%.4000s/%s", s->stage.folder, name);
    return SLM_OK;
}

/* The best weights into the model and `best`, and the stage marked as done. */
static slm_status finish(sft *s, slm_train_result *result)
{
    if (s->stage.state.step == s->stage.state.steps && !s->stage.state.finished) {
        if (s->dev.count == 0) { /* before the stage counts as done, which it is with it */
            s->stage.state.best_step = s->stage.state.step;
            SLM_TRY(train__stage_save(&s->stage, "best", false));
        }
        s->stage.state.finished = true;
        SLM_TRY(train__stage_save(&s->stage, "last", true));
    }
    bool found = false;
    train__state best = {0};
    SLM_TRY(train__checkpoint_state(s->stage.folder, "best", &found, &best, s->stage.err));
    if (found)
        SLM_TRY(train__checkpoint_load(s->stage.folder, "best", s->stage.train, s->stage.training,
                                       NULL, s->stage.err));
    result->steps = s->stage.state.step;
    result->best_step = found ? best.best_step : s->stage.state.step;
    result->dev_loss = s->stage.state.best_loss;
    result->first_dev_loss = s->stage.state.first_loss;
    snprintf(result->folder, sizeof result->folder, "%.4000s/%s", s->stage.folder,
             found ? "best" : "last");
    if (s->base && found && s->stage.state.finished) SLM_TRY(interpolate(s, &best, result));
    return SLM_OK;
}

static void sft_free(sft *s)
{
    train__snapshot_free(s->base);
    train__stage_free(&s->stage);
    train__examples_free(&s->dev);
    train__examples_free(&s->data);
    train__examples_free(&s->replay);
    free(s->order);
    free(s->plain);
    free(s->picks);
}

slm_status slm_train_sft(const slm_train *train, slm_train_result *result, slm_error *err)
{
    slm_status status = SLM_OK;
    sft s = {.settings = &train->recipe->sft, .epoch = -1};
    *result = (slm_train_result){
        .dev_loss = NAN, .first_dev_loss = NAN, .dev_reward = NAN, .first_dev_reward = NAN};
    SLM_TRY_OUT(train__stage_begin(&s.stage, "sft", train, err));
    SLM_TRY_OUT(load_data(&s));
    s.order = malloc(s.data.count * sizeof *s.order);
    s.plain = malloc((s.dev.count + 1) * sizeof *s.plain);
    s.picks = malloc((size_t)train->recipe->sft.batch * sizeof *s.picks);
    if (!s.order || !s.plain || !s.picks) slm_out_of_memory(s.data.count * sizeof *s.order);
    for (size_t i = 0; i < s.dev.count; i++)
        s.plain[i] = i;
    SLM_TRY_OUT(begin(&s));
    if (!s.stage.state.finished) SLM_TRY_OUT(run_steps(&s, result));
    SLM_TRY_OUT(finish(&s, result));
out:
    sft_free(&s);
    return status;
}
