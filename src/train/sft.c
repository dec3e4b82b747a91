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

#include "base/file.h"
#include "base/hash.h"
#include "base/progress.h"
#include "base/random.h"
#include "open/open.h"
#include "train_internal.h"

typedef struct sft {
    const slm_train *train;
    const slm_recipe_sft *settings;
    slm_error *err;
    char folder[4096];
    train__examples data, dev, replay;
    slm_training *training;
    train__optimiser *optimiser;
    train__metrics *metrics;
    train__state state;
    size_t *order; /* of the epoch below */
    size_t *plain; /* 0, 1, 2 ... for development data */
    size_t *picks; /* of a step */
    int64_t epoch;
    double started_s, computed_tokens;
} sft;

static train__reader reader_of(const sft *s)
{
    const slm_train *t = s->train;
    return (train__reader){.tokenizer = slm_open_chat_tokenizer(t->chat),
                           .tmpl = slm_open_chat_template(t->chat),
                           .system = t->recipe->run.system,
                           .thinking = strcmp(s->settings->thinking, "on") == 0,
                           .max_tokens = (size_t)s->settings->max_tokens};
}

static slm_status add_replay(sft *s)
{
    slm_buffer path = {0};
    train__reader reader = reader_of(s);
    slm_status status = SLM_OK;
    reader.thinking = false; /* answers as they came */
    SLM_TRY_OUT(train__replay(s->train, s->folder, &path, s->err));
    const char *file = slm_buffer_text(&path);
    const slm_option_list list = {.items = &file, .count = 1};
    SLM_TRY_OUT(train__examples_load(&list, &reader, &s->replay, s->err));
    train__examples_mix(&s->data, &s->replay, s->settings->replay_share,
                        (uint64_t)s->train->recipe->run.seed);
out:
    slm_buffer_free(&path);
    return status;
}

static slm_status load_data(sft *s)
{
    const train__reader reader = reader_of(s);
    if (reader.thinking && !slm_template_thinks(reader.tmpl))
        return slm_error_set(s->err, SLM_ERR_UNSUPPORTED,
                             "sft.thinking is on, but the template '%s' has no thinking",
                             slm_template_name(reader.tmpl));
    SLM_TRY(train__examples_load(&s->settings->data, &reader, &s->data, s->err));
    if (s->settings->dev.count > 0)
        SLM_TRY(train__examples_load(&s->settings->dev, &reader, &s->dev, s->err));
    else if (s->settings->dev_share > 0)
        train__examples_hold_back(&s->data, s->settings->dev_share,
                                  (uint64_t)s->train->recipe->run.seed, &s->dev);
    if (s->data.count == 0)
        return slm_error_set(s->err, SLM_ERR_INVALID,
                             "sft.dev_share (%g) leaves no example to learn from",
                             s->settings->dev_share);
    if (s->settings->replay.count > 0 && s->settings->replay_share > 0) SLM_TRY(add_replay(s));
    slm_log_print(s->train->log, SLM_LOG_INFO,
                  "%zu examples, %llu tokens, %llu of them learnt; %zu for development",
                  s->data.count, (unsigned long long)s->data.tokens,
                  (unsigned long long)s->data.learnt, s->dev.count);
    if (s->data.too_long + s->dev.too_long > 0)
        slm_log_print(s->train->log, SLM_LOG_WARNING,
                      "%zu examples are longer than sft.max_tokens (%lld) and were left out",
                      s->data.too_long + s->dev.too_long, (long long)s->settings->max_tokens);
    return SLM_OK;
}

static slm_status make_training(sft *s)
{
    const slm_recipe *recipe = s->train->recipe;
    const bool all = strcmp(recipe->run.train, "all") == 0;
    const slm_training_options options = {.full = all,
                                          .embeddings = all,
                                          .checkpoint = s->settings->checkpointing,
                                          .dropout = all ? 0.0f : (float)recipe->lora.dropout,
                                          .max_rows = (size_t)s->settings->rows,
                                          .max_sequences = TRAIN_MOST_SEQUENCES};
    slm_model *model = slm_open_model(s->train->chat);
    SLM_TRY(slm_training_new(model, &options, &s->training, s->err));
    SLM_TRY(train__optimiser_new(model, s->training, &s->settings->optimiser, s->state.steps,
                                 &s->optimiser, s->err));
    slm_log_print(s->train->log, SLM_LOG_DEBUG, "training takes %.0f MB beside the model",
                  (double)slm_training_bytes(s->training) / 1e6);
    return SLM_OK;
}

/* Examples and development examples: the latter choose what is kept. */
static void hash_data(sft *s)
{
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, s->data.sha256);
    slm_sha256_update_part(hash, s->dev.sha256);
    slm_sha256_finish(hash, s->state.data);
}

/* The stage as it begins, or as its last checkpoint has it. */
static slm_status begin(sft *s)
{
    const slm_recipe *recipe = s->train->recipe;
    const double examples = s->settings->epochs * (double)s->data.count;
    const char *kernels = slm_device_kernels(slm_open_device(s->train->chat));
    train__state last = {0};
    bool found = false;
    s->state = (train__state){.steps = (int64_t)ceil(examples / (double)s->settings->batch - 1e-9),
                              .best_loss = NAN,
                              .first_loss = NAN,
                              .best_score = NAN,
                              .first_score = NAN,
                              .first_entropy = NAN};
    memcpy(s->state.recipe, recipe->sft_sha256, sizeof recipe->sft_sha256);
    hash_data(s);
    snprintf(s->state.kernels, sizeof s->state.kernels, "%s", kernels);
    SLM_TRY(make_training(s));
    SLM_TRY(train__checkpoint_state(s->folder, "last", &found, &last, s->err));
    if (found) {
        SLM_TRY(train__state_check(s->folder, &last, &s->state, s->err));
        s->state = last;
        SLM_TRY(
            train__checkpoint_load(s->folder, "last", s->train, s->training, s->optimiser, s->err));
        if (s->state.step > 0)
            slm_log_print(s->train->log, SLM_LOG_INFO, "sft goes on from step %lld of %lld",
                          (long long)s->state.step, (long long)s->state.steps);
    }
    return train__metrics_open(s->folder, &s->state.log, &s->metrics, s->err);
}

/* ---- steps --------------------------------------------------------------------------------- */

/* The example at a place in the endless sequence of shuffled epochs. */
static size_t example_at(sft *s, int64_t place)
{
    const int64_t count = (int64_t)s->data.count, epoch = place / count;
    if (epoch != s->epoch) {
        slm_random random =
            slm_random_new((uint64_t)s->train->recipe->run.seed, 0x5f7a0000u + (uint64_t)epoch);
        for (size_t i = 0; i < s->data.count; i++)
            s->order[i] = i;
        slm_random_shuffle(&random, s->order, s->data.count, sizeof *s->order);
        s->epoch = epoch;
    }
    return s->order[place % count];
}

static train__loss take_step(sft *s, double *norm)
{
    const int64_t first = s->state.step * s->settings->batch;
    size_t count = 0;
    uint64_t learnt = 0;
    const double last = s->settings->epochs * (double)s->data.count;
    for (int64_t i = 0; i < s->settings->batch && (double)(first + i) < last - 1e-9; i++) {
        const size_t pick = example_at(s, first + i);
        learnt += s->data.items[pick].len - s->data.items[pick].prompt;
        s->computed_tokens += (double)s->data.items[pick].len;
        s->picks[count++] = pick;
    }
    const uint32_t pass = (uint32_t)(s->state.step * s->settings->batch);
    const train__loss loss =
        train__pass(s->training, &s->data, s->picks, count, (size_t)s->settings->rows,
                    1.0f / (float)learnt, (uint64_t)s->train->recipe->run.seed, pass);
    train__optimiser_step(s->optimiser, s->state.step + 1, norm);
    s->state.step++;
    return loss;
}

static double dev_loss(sft *s)
{
    if (s->dev.count == 0) return NAN;
    const train__loss loss = train__pass(s->training, &s->dev, s->plain, s->dev.count,
                                         (size_t)s->settings->rows, 0.0f, 0, 0);
    return loss.sum / (double)loss.tokens;
}

static slm_status save(sft *s, const char *name, bool with_optimiser)
{
    SLM_TRY(train__metrics_sync(s->metrics, &s->state.log, s->err));
    return train__checkpoint_save(s->folder, name, s->train, s->training,
                                  with_optimiser ? s->optimiser : NULL, &s->state, s->err);
}

/* Measure, log, and keep the weights if they are the best so far. */
static slm_status measure_dev(sft *s, json_t *values)
{
    const double loss = dev_loss(s);
    if (isnan(loss)) return SLM_OK;
    json_object_set_new(values, "dev_loss", json_real(loss));
    if (isnan(s->state.first_loss)) s->state.first_loss = loss;
    if (!isnan(s->state.best_loss) && !(loss < s->state.best_loss)) return SLM_OK;
    s->state.best_loss = loss;
    s->state.best_step = s->state.step;
    return save(s, "best", false);
}

static slm_status check_finite(const sft *s, double loss, double norm)
{
    if (isfinite(loss) && isfinite(norm)) return SLM_OK;
    return slm_error_set(s->err, SLM_ERR_INVALID,
                         "sft step %lld: the loss is %g and the gradient's norm %g; lower "
                         "sft.rate; the last checkpoint in %s is as it was",
                         (long long)s->state.step, loss, norm, s->folder);
}

/* One step with all that belongs to it. */
static slm_status run_step(sft *s, slm_progress *progress)
{
    const slm_recipe_sft *o = s->settings;
    const double before_s = slm_progress_clock_s(), tokens = s->computed_tokens;
    double norm;
    const double rate = train__rate(&o->optimiser, s->state.step + 1, s->state.steps);
    const train__loss loss = take_step(s, &norm);
    const double mean = loss.sum / (double)loss.tokens;
    const double took_s = slm_progress_clock_s() - before_s;
    const double speed = (s->computed_tokens - tokens) / took_s;
    const int64_t step = s->state.step;
    SLM_TRY(check_finite(s, mean, norm));
    json_t *values = json_pack("{s:f, s:f, s:f, s:f, s:I}", "loss", mean, "grad_norm", norm, "rate",
                               rate, "epoch", (double)(step * o->batch) / (double)s->data.count,
                               "learnt_tokens", (json_int_t)loss.tokens);
    slm_status status = SLM_OK;
    if (step % o->dev_steps == 0 || step == s->state.steps) status = measure_dev(s, values);
    if (status != SLM_OK) {
        json_decref(values);
        return status;
    }
    json_t *times = json_pack("{s:f, s:f}", "step_s", took_s, "tokens_per_s", speed);
    SLM_TRY(train__metrics_put(s->metrics, step, values, times, s->err));
    char note[96];
    snprintf(note, sizeof note, "loss %.3f, best dev %.3f, %.0f tokens/s", mean, s->state.best_loss,
             speed);
    slm_progress_update(progress, (uint64_t)step, note);
    return step % o->save_steps == 0 ? save(s, "last", true) : SLM_OK;
}

static bool out_of_time(const sft *s)
{
    const double budget_s = s->train->recipe->run.time_budget_minutes * 60;
    return budget_s > 0 && slm_progress_clock_s() - s->started_s > budget_s;
}

static slm_status run_steps(sft *s, slm_train_result *result)
{
    const slm_train *t = s->train;
    slm_status status = SLM_OK;
    s->started_s = slm_progress_clock_s();
    slm_progress *progress =
        slm_progress_new(t->log, "sft", "steps", (uint64_t)s->state.steps, (uint64_t)s->state.step);
    if (s->state.step == 0) {
        json_t *values = json_object();
        status = measure_dev(s, values);
        if (status == SLM_OK && json_object_size(values) > 0)
            status = train__metrics_put(s->metrics, 0, values, json_object(), s->err);
        else
            json_decref(values);
    }
    while (status == SLM_OK && s->state.step < s->state.steps) {
        status = run_step(s, progress);
        if (status != SLM_OK || s->state.step == s->state.steps) break;
        const bool stopped = t->stop && *t->stop;
        if (!stopped && !out_of_time(s)) continue;
        status = save(s, "last", true);
        result->out_of_time = !stopped;
        if (status == SLM_OK && stopped)
            status = slm_error_set(s->err, SLM_ERR_CANCELLED,
                                   "stopped at step %lld of %lld; the same command goes on",
                                   (long long)s->state.step, (long long)s->state.steps);
        break;
    }
    slm_progress_finish(progress);
    return status;
}

/* The best weights into the model and `best`, and the stage marked as done. */
static slm_status finish(sft *s, slm_train_result *result)
{
    if (s->state.step == s->state.steps && !s->state.finished) {
        s->state.finished = true;
        SLM_TRY(save(s, "last", true));
        if (s->dev.count == 0) {
            s->state.best_step = s->state.step;
            SLM_TRY(save(s, "best", false));
        }
    }
    bool found = false;
    train__state best = {0};
    SLM_TRY(train__checkpoint_state(s->folder, "best", &found, &best, s->err));
    if (found)
        SLM_TRY(train__checkpoint_load(s->folder, "best", s->train, s->training, NULL, s->err));
    result->steps = s->state.step;
    result->best_step = found ? best.best_step : s->state.step;
    result->dev_loss = s->state.best_loss;
    result->first_dev_loss = s->state.first_loss;
    snprintf(result->folder, sizeof result->folder, "%.4000s/%s", s->folder,
             found ? "best" : "last");
    return SLM_OK;
}

static void sft_free(sft *s)
{
    train__metrics_close(s->metrics);
    train__optimiser_free(s->optimiser);
    slm_training_free(s->training);
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
    sft s = {.train = train, .settings = &train->recipe->sft, .err = err, .epoch = -1};
    *result = (slm_train_result){
        .dev_loss = NAN, .first_dev_loss = NAN, .dev_reward = NAN, .first_dev_reward = NAN};
    snprintf(s.folder, sizeof s.folder, "%.4000s/sft", train->recipe->run.output);
    SLM_TRY_OUT(slm_file_make_folders(s.folder, err));
    SLM_TRY_OUT(load_data(&s));
    s.order = malloc(s.data.count * sizeof *s.order);
    s.plain = malloc((s.dev.count + 1) * sizeof *s.plain);
    s.picks = malloc((size_t)train->recipe->sft.batch * sizeof *s.picks);
    if (!s.order || !s.plain || !s.picks) slm_out_of_memory(s.data.count * sizeof *s.order);
    for (size_t i = 0; i < s.dev.count; i++)
        s.plain[i] = i;
    SLM_TRY_OUT(begin(&s));
    if (!s.state.finished) SLM_TRY_OUT(run_steps(&s, result));
    SLM_TRY_OUT(finish(&s, result));
out:
    sft_free(&s);
    return status;
}
