/* grpo.c: learning from practice.
 *
 * A step draws cases by stratum, lets the engine play a group of episodes of each over the very
 * weights that are trained, rewards them, and follows the policy gradient with the group's own mean
 * as the baseline (Shao et al. 2024). A group whose rewards are all alike teaches nothing; another
 * case of its stratum is drawn in its place (drawing.c).
 *
 * What a step does depends on settings, data, step and the checkpoint before it alone; how it learns
 * from its rollouts stands in learn.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/progress.h"
#include "base/random.h"
#include "open/open.h"
#include "train_internal.h"

/* A number for each stratum, and how many it is the mean of. */
typedef struct tally {
    double sum[SLM_ENV_STRATA];
    size_t count[SLM_ENV_STRATA];
} tally;

typedef struct grpo {
    train__stage stage;
    const slm_recipe_grpo *settings;
    slm_cases data, dev;
    slm_env *env;
    slm_store *store;           /* verdicts and a patient's replies; NULL: none to keep */
    train__snapshot *reference; /* what the policy is held near; NULL: nothing */
    train__group *groups;       /* [prompts] of the step */
    size_t group_count;
    train__projection projection;
} grpo;

/* ---- rollouts ------------------------------------------------------------------------------ */

static train__roll_options roll_options(const grpo *g, int64_t step)
{
    const slm_recipe *recipe = g->stage.train->recipe;
    slm_chat_sampling sampling = slm_chat_sampling_default();
    sampling.temperature = g->settings->temperature;
    sampling.max_tokens = g->settings->max_tokens;
    sampling.seed = (int64_t)(((uint64_t)recipe->run.seed * 1000003 + (uint64_t)step) & INT64_MAX);
    sampling.thinking = slm_recipe_thinks(recipe);
    return (train__roll_options){.sampling = sampling,
                                 .system = recipe->run.system,
                                 .overlong_tokens = g->settings->overlong_tokens,
                                 .judge = g->stage.train->judge,
                                 .patient = g->stage.train->patient,
                                 .store = g->store,
                                 .log = g->stage.train->log,
                                 .stop = g->stage.train->stop};
}

/* Play the groups from `first` on. */
static slm_status play(grpo *g, size_t first, int64_t step)
{
    const train__roll_options options = roll_options(g, step);
    for (size_t i = first; i < g->group_count; i++)
        g->groups[i].count = (size_t)g->settings->rollouts;
    return train__roll(g->stage.train->chat, g->env, &options, g->groups + first,
                       g->group_count - first, g->stage.err);
}

static void clear_groups(grpo *g)
{
    for (size_t i = 0; i < g->group_count; i++)
        train__group_free(&g->groups[i]);
    g->group_count = 0;
}

/* What each case earned lately: half of what it did before, half of what it did now. */
static void note_rewards(grpo *g, size_t first)
{
    for (size_t i = first; i < g->group_count; i++) {
        double *past = &g->stage.state.past[g->groups[i].c - g->data.items];
        *past = 0.5 * *past + 0.5 * train__group_mean(&g->groups[i]);
    }
}

static const slm_case *draw(const grpo *g, slm_env_stratum stratum, slm_random *random)
{
    return train__draw(&g->data, g->stage.state.past, g->groups, g->group_count, stratum, random);
}

/* A step's groups: drawn by quota; flat ones are replaced once from their own stratum. */
static slm_status practise(grpo *g, size_t *flat)
{
    const int64_t step = g->stage.state.step + 1;
    slm_random random =
        slm_random_new((uint64_t)g->stage.train->recipe->run.seed + 0x67727000u, (uint64_t)step);
    size_t quota[SLM_ENV_STRATA];
    clear_groups(g);
    *flat = 0;
    train__quota(g->settings, &g->data, quota);
    for (int s = 0; s < SLM_ENV_STRATA; s++)
        for (size_t i = 0; i < quota[s]; i++) {
            const slm_case *c = draw(g, (slm_env_stratum)s, &random);
            if (c) g->groups[g->group_count++] = (train__group){.c = c};
        }
    SLM_TRY(play(g, 0, step));
    note_rewards(g, 0);
    const size_t first = g->group_count;
    for (size_t i = 0; i < first; i++) {
        if (train__group_has_spread(&g->groups[i])) continue;
        ++*flat;
        const slm_case *c = draw(g, g->groups[i].stratum, &random);
        if (c) g->groups[g->group_count++] = (train__group){.c = c};
    }
    if (g->group_count == first) return SLM_OK;
    SLM_TRY(play(g, first, step));
    note_rewards(g, first);
    for (size_t i = first; i < g->group_count; i++)
        *flat += !train__group_has_spread(&g->groups[i]);
    return SLM_OK;
}

/* ---- measuring ----------------------------------------------------------------------------- */

static void add_to(tally *t, slm_env_stratum stratum, double value)
{
    if (isnan(value)) return;
    t->sum[stratum] += value;
    t->count[stratum]++;
}

static void put_tally(json_t *values, const char *name, const tally *t)
{
    char key[96];
    for (int s = 0; s < SLM_ENV_STRATA; s++) {
        if (t->count[s] == 0) continue;
        snprintf(key, sizeof key, "%s/%s", name, slm_env_stratum_name((slm_env_stratum)s));
        json_object_set_new(values, key, json_real(t->sum[s] / (double)t->count[s]));
    }
}

static double all_of(const tally *t)
{
    double sum = 0, count = 0;
    for (int s = 0; s < SLM_ENV_STRATA; s++) {
        sum += t->sum[s];
        count += (double)t->count[s];
    }
    return count > 0 ? sum / count : NAN;
}

/* The standard deviation within a group: of rewards, or of a part where it applies. NaN: nowhere. */
static double spread_of(const train__group *group, int part)
{
    double sum = 0, square = 0, count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t k = 0; k < group->count; k++) {
            const slm_reward *r = &group->rollouts[k].reward;
            const double value = part < 0 ? r->total : r->parts[part];
            if (isnan(value)) continue;
            if (pass == 0) {
                sum += value;
                count++;
            } else {
                square += (value - sum / count) * (value - sum / count);
            }
        }
    return count > 0 ? sqrt(square / count) : NAN;
}

/* Rewards, their parts and behaviour by stratum. Returns the mean reward. */
static double describe(const train__group *groups, size_t count, json_t *values)
{
    tally reward = {0}, spread = {0}, asks = {0}, answers = {0}, words = {0}, tokens = {0};
    tally cut = {0}, overlong = {0}, parts[SLM_REWARD_PARTS] = {0}, spreads[SLM_REWARD_PARTS] = {0};
    size_t judged = 0, unscored = 0;
    for (size_t i = 0; i < count; i++) {
        const train__group *group = &groups[i];
        for (size_t k = 0; k < group->count; k++) {
            const train__rollout *r = &group->rollouts[k];
            add_to(&reward, group->stratum, r->reward.total);
            add_to(&asks, group->stratum, r->reward.questions > 0);
            add_to(&answers, group->stratum, r->reward.answers);
            add_to(&words, group->stratum, (double)r->reward.words);
            add_to(&tokens, group->stratum, (double)r->tokens);
            add_to(&cut, group->stratum, r->cut_off);
            add_to(&overlong, group->stratum, r->overlong);
            for (int p = 0; p < SLM_REWARD_PARTS; p++)
                add_to(&parts[p], group->stratum, r->reward.parts[p]);
            judged += r->judged;
            unscored += r->unscored;
        }
        add_to(&spread, group->stratum, spread_of(group, -1));
        for (int p = 0; p < SLM_REWARD_PARTS; p++)
            add_to(&spreads[p], group->stratum, spread_of(group, p));
    }
    if (values) {
        put_tally(values, "reward", &reward);
        put_tally(values, "spread", &spread);
        put_tally(values, "asks", &asks);
        put_tally(values, "answers", &answers);
        put_tally(values, "words", &words);
        put_tally(values, "tokens", &tokens);
        put_tally(values, "cut_off", &cut);
        put_tally(values, "overlong", &overlong);
        for (int p = 0; p < SLM_REWARD_PARTS; p++) {
            char name[64];
            const char *part = slm_reward_part_name((slm_reward_part)p);
            snprintf(name, sizeof name, "spread/%s", part);
            put_tally(values, part, &parts[p]);
            put_tally(values, name, &spreads[p]);
        }
        if (judged > 0) {
            json_object_set_new(values, "judged", json_integer((json_int_t)judged));
            json_object_set_new(values, "unscored", json_integer((json_int_t)unscored));
        }
    }
    return all_of(&reward);
}

/* Groups of the development cases; of each stratum the first `most`. Freed by the caller. */
static slm_status play_dev(grpo *g, size_t most, size_t rollouts, train__group **out, size_t *count)
{
    size_t have[SLM_ENV_STRATA] = {0};
    const train__roll_options options = roll_options(g, 0); /* the same draws every time */
    *out = calloc(g->dev.count, sizeof **out);
    if (!*out) slm_out_of_memory(g->dev.count * sizeof **out);
    *count = 0;
    for (size_t i = 0; i < g->dev.count; i++) {
        const slm_case *c = &g->dev.items[i];
        if (have[slm_env_stratum_of(c)]++ >= most) continue;
        (*out)[(*count)++] = (train__group){.c = c, .count = rollouts};
    }
    return train__roll(g->stage.train->chat, g->env, &options, *out, *count, g->stage.err);
}

static void free_groups(train__group *groups, size_t count)
{
    for (size_t i = 0; i < count; i++)
        train__group_free(&groups[i]);
    free(groups);
}

/* Is there something to learn from? In every stratum enough groups must have spread. */
static slm_status check_spread(grpo *g)
{
    const slm_recipe_grpo *o = g->settings;
    train__group *groups = NULL;
    size_t count = 0;
    tally spread = {0};
    slm_status status = play_dev(g, (size_t)o->check_cases, (size_t)o->rollouts, &groups, &count);
    for (size_t i = 0; status == SLM_OK && i < count; i++)
        add_to(&spread, groups[i].stratum, train__group_has_spread(&groups[i]));
    for (int s = 0; s < SLM_ENV_STRATA && status == SLM_OK; s++) {
        if (spread.count[s] == 0) continue;
        const double share = spread.sum[s] / (double)spread.count[s];
        slm_log_print(g->stage.train->log, SLM_LOG_INFO,
                      "%s: %.0f of %zu development groups have spread",
                      slm_env_stratum_name((slm_env_stratum)s), spread.sum[s], spread.count[s]);
        if (share < o->min_spread)
            status = slm_error_set(
                g->stage.err, SLM_ERR_INVALID,
                "grpo: of %zu development groups of stratum %s only %.0f have rewards that differ "
                "(grpo.min_spread wants %.0f%%): practice would teach nothing there; teach it by "
                "examples first: sft.data lacks replies of that kind",
                spread.count[s], slm_env_stratum_name((slm_env_stratum)s), spread.sum[s],
                100 * o->min_spread);
    }
    free_groups(groups, count);
    return status;
}

/* Development reward; the best weights so far are kept, unless replies have become all alike. */
static slm_status measure_dev(grpo *g, bool collapsed, json_t *values)
{
    train__group *groups = NULL;
    size_t count = 0, most = (size_t)g->settings->dev_cases;
    const double begun_s = slm_progress_clock_s();
    slm_status status =
        play_dev(g, most > 0 ? most : SIZE_MAX, (size_t)g->settings->dev_rollouts, &groups, &count);
    if (status == SLM_OK) {
        json_t *parts = json_object();
        const char *key;
        json_t *value;
        const double reward = describe(groups, count, parts);
        json_object_set_new(values, "dev_reward", json_real(reward));
        json_object_foreach(parts, key, value)
        {
            char name[128];
            snprintf(name, sizeof name, "dev/%s", key);
            json_object_set(values, name, value);
        }
        json_decref(parts);
        if (isnan(g->stage.state.first_score)) g->stage.state.first_score = reward;
        if (isnan(g->stage.state.best_score) ||
            (reward > g->stage.state.best_score && !collapsed)) {
            g->stage.state.best_score = reward;
            g->stage.state.best_step = g->stage.state.step;
            status = train__stage_save(&g->stage, "best", false);
        }
    }
    free_groups(groups, count);
    g->projection.look_s = slm_progress_clock_s() - begun_s;
    return status;
}

/* Rollouts of a look at the development cases, `most` of each stratum. */
static size_t dev_rollouts(const grpo *g, size_t most, int64_t rollouts)
{
    size_t have[SLM_ENV_STRATA] = {0}, cases = 0;
    for (size_t i = 0; i < g->dev.count; i++)
        cases += have[slm_env_stratum_of(&g->dev.items[i])]++ < most;
    return cases * (size_t)rollouts;
}

static size_t dev_look(const grpo *g)
{
    const size_t most = (size_t)g->settings->dev_cases;
    return dev_rollouts(g, most > 0 ? most : SIZE_MAX, g->settings->dev_rollouts);
}

/* Before the first step: the rollouts that were played to see whether there is something to learn tell
 * what playing takes. Flat groups are played again; learning from them has not been seen yet. */
static void project_from_check(const grpo *g, double took_s)
{
    const slm_recipe_grpo *o = g->settings;
    const size_t played = dev_rollouts(g, (size_t)o->check_cases, o->rollouts);
    const double each_s = took_s / (double)(played > 0 ? played : 1);
    const double steps_s = each_s * (double)(o->steps * o->prompts * o->rollouts);
    const double looks_s =
        each_s * (double)dev_look(g) * (double)(1 + train__looks_left(0, o->steps, o->dev_steps));
    char why[160], took[TRAIN_ABOUT_BYTES];
    train__about(took_s, took);
    snprintf(why, sizeof why,
             "%zu rollouts that took %s; flat groups are played again, and learning comes on top",
             played, took);
    train__project_range(&g->stage, "playing alone ", steps_s + looks_s, 2 * steps_s + looks_s,
                         why);
}

static void project(grpo *g, double took_s, double played_s)
{
    const int64_t step = g->stage.state.step, steps = g->stage.state.steps;
    size_t rollouts = 0;
    for (size_t i = 0; i < g->group_count; i++)
        rollouts += g->groups[i].count;
    if (g->projection.look_s == 0 && rollouts > 0) /* gone on with: none was measured in this run */
        g->projection.look_s = played_s / (double)rollouts * (double)dev_look(g);
    train__project(&g->projection, &g->stage, took_s, 1, (double)(steps - step),
                   train__looks_left(step, steps, g->settings->dev_steps));
}

/* ---- the stage ----------------------------------------------------------------------------- */

/* Who was named must be there; and how much of the rubrics a score will rest on is said before. */
static slm_status look_at_judge(grpo *g)
{
    const slm_train *t = g->stage.train;
    if (t->recipe->reward.weights[SLM_REWARD_RUBRIC] > 0 && !t->judge)
        return slm_error_set(g->stage.err, SLM_ERR_INVALID,
                             "grpo: reward.rubric is %g, but no judge is there to be asked",
                             t->recipe->reward.weights[SLM_REWARD_RUBRIC]);
    if (g->settings->patient && !t->patient)
        return slm_error_set(g->stage.err, SLM_ERR_INVALID,
                             "grpo: the patient %s is not there to be asked", g->settings->patient);
    if (!t->judge) return SLM_OK;
    const slm_coverage data = slm_judge_coverage(t->judge, &g->data);
    slm_log_print(
        t->log, SLM_LOG_INFO,
        "judge %s covers %zu of %zu criteria, and can score %zu of %zu cases to practise "
        "on%s",
        t->judge->name, data.criteria_covered, data.criteria, data.cases_covered, data.cases,
        data.cases_covered < data.cases ? "; in the others its part of the reward is absent" : "");
    if (data.cases_covered > 0) return SLM_OK;
    return slm_error_set(g->stage.err, SLM_ERR_INVALID,
                         "%s: the judge %s covers no criterion that gives points; use another "
                         "judge, or set reward.rubric to 0",
                         g->settings->data.items[0], t->judge->name);
}

static slm_status load_data(grpo *g)
{
    const slm_recipe_grpo *o = g->settings;
    slm_env_options env = slm_env_options_default();
    env.kind = strcmp(o->env, "multi-turn") == 0 ? SLM_ENV_MULTI_TURN : SLM_ENV_SINGLE_TURN;
    env.turns_max = o->turns;
    env.patient_is_model = g->stage.train->patient != NULL;
    env.reward = g->stage.train->recipe->reward;
    SLM_TRY(train__load_practice(o, &g->data, &g->dev, g->stage.err));
    slm_log_print(g->stage.train->log, SLM_LOG_INFO,
                  "%zu cases to practise on, %zu for development", g->data.count, g->dev.count);
    SLM_TRY(look_at_judge(g));
    return slm_env_new(&env, &g->env, g->stage.err);
}

/* What the stage is of besides its recipe: data, and who judges and answers in it. */
static void name_others(const grpo *g, char out[65])
{
    const slm_train *t = g->stage.train;
    snprintf(out, 65, "%s", g->dev.sha256);
    if (!t->judge && !t->patient) return;
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, g->dev.sha256);
    slm_sha256_update_part(hash, t->judge ? t->judge->identity : "");
    slm_sha256_update_part(hash, t->patient ? t->patient->identity : "");
    slm_sha256_finish(hash, out);
}

/* What was asked of others is kept beside the checkpoints. */
static slm_status open_store(grpo *g)
{
    const slm_train *t = g->stage.train;
    slm_buffer path = {0};
    if (!t->patient && !(t->judge && t->judge->is_costly)) return SLM_OK;
    slm_file_join(&path, g->stage.folder, "verdicts.db");
    const slm_status status =
        slm_store_open(slm_buffer_text(&path), false, &g->store, g->stage.err);
    slm_buffer_free(&path);
    if (status == SLM_OK && t->judge) slm_judge_use_store(t->judge, g->store);
    return status;
}

static slm_status make_training(grpo *g)
{
    const slm_recipe *recipe = g->stage.train->recipe;
    const slm_training_options options = {.full = !slm_recipe_wants_adapter(recipe),
                                          .embeddings = strcmp(recipe->run.train, "all") == 0,
                                          .checkpoint = g->settings->checkpointing,
                                          .max_rows = (size_t)g->settings->rows,
                                          .max_sequences = 2 * TRAIN_MOST_SEQUENCES};
    slm_model *model = slm_open_model(g->stage.train->chat);
    SLM_TRY(slm_training_new(model, &options, &g->stage.training, g->stage.err));
    return train__optimiser_new(model, g->stage.training, &g->settings->optimiser,
                                g->settings->steps * g->settings->updates, &g->stage.optimiser,
                                g->stage.err);
}

/* The base, or the model as the stage begins. */
static slm_status remember_reference(grpo *g)
{
    const slm_recipe_grpo *o = g->settings;
    if (strcmp(o->kl, "none") == 0 || o->kl_weight == 0) return SLM_OK;
    return train__snapshot_new(slm_open_model(g->stage.train->chat), g->stage.training,
                               strcmp(o->kl, "base") == 0, &g->reference, g->stage.err);
}

/* The stage as it begins, kept as `start`; or as its last checkpoint has it. */
static slm_status begin(grpo *g)
{
    bool found = false;
    char others[65];
    SLM_TRY(make_training(g));
    name_others(g, others);
    train__stage_fresh(&g->stage, g->settings->steps, &g->stage.train->recipe->grpo_settings,
                       g->data.sha256, others);
    g->stage.state.past_count = g->data.count;
    g->stage.state.past =
        slm_arena_array(&g->data.arena, g->data.count, sizeof *g->stage.state.past);
    SLM_TRY(train__stage_find(&g->stage, &found));
    if (found)
        SLM_TRY(train__checkpoint_load(g->stage.folder, "start", g->stage.train, g->stage.training,
                                       NULL, g->stage.err));
    SLM_TRY(remember_reference(g));
    train__stage_tell_memory(&g->stage, g->reference ? 3 : 2);
    if (found) SLM_TRY(train__stage_load_last(&g->stage));
    return train__stage_open_log(&g->stage);
}

static void append_sample(slm_buffer *out, int64_t step, const train__group *group)
{
    const train__rollout *r = &group->rollouts[0];
    size_t count = 0;
    const slm_chat_message *messages = slm_env_messages(r->episode, &count);
    json_t *parts = json_object(), *said = json_array();
    for (int p = 0; p < SLM_REWARD_PARTS; p++)
        if (!isnan(r->reward.parts[p]))
            json_object_set_new(parts, slm_reward_part_name((slm_reward_part)p),
                                json_real(r->reward.parts[p]));
    if (r->overlong != 0) json_object_set_new(parts, "overlong", json_real(r->overlong));
    for (size_t i = 0; i < count; i++)
        json_array_append_new(said, json_pack("{s:s, s:s}", "role", messages[i].role, "content",
                                              messages[i].content));
    json_t *row =
        json_pack("{s:I, s:s, s:s, s:f, s:o, s:b, s:o}", "step", (json_int_t)step, "case",
                  group->c->id, "stratum", slm_env_stratum_name(group->stratum), "reward",
                  r->reward.total, "parts", parts, "cut_off", r->cut_off, "messages", said);
    slm_json_append_canonical(out, row);
    slm_buffer_append_char(out, '\n');
    json_decref(row);
}

/* Three of a step's rollouts, to be read: the first group of each stratum, then their second ones. */
static slm_status put_samples(grpo *g)
{
    slm_buffer text = {0};
    size_t shown = 0;
    for (size_t nth = 1; nth <= g->group_count && shown < 3; nth++) {
        size_t seen[SLM_ENV_STRATA] = {0};
        for (size_t i = 0; i < g->group_count && shown < 3; i++) {
            if (++seen[g->groups[i].stratum] != nth) continue;
            append_sample(&text, g->stage.state.step, &g->groups[i]);
            shown++;
        }
    }
    slm_status status = train__metrics_put_samples(g->stage.metrics, slm_buffer_text(&text),
                                                   text.len, g->stage.err);
    slm_buffer_free(&text);
    return status;
}

static json_t *step_values(grpo *g, const train__learnt *o, size_t flat)
{
    json_t *values = json_object();
    const double tokens = (double)o->sum.tokens;
    const double reward = describe(g->groups, g->group_count, values);
    const double rate =
        train__rate(&g->settings->optimiser, g->stage.state.step * g->settings->updates + 1,
                    g->settings->steps * g->settings->updates);
    json_object_set_new(values, "reward", json_real(reward));
    json_object_set_new(values, "loss", json_real(o->sum.loss));
    json_object_set_new(values, "grad_norm", json_real(o->norm));
    json_object_set_new(values, "rate", json_real(rate));
    if (o->sum.tokens > 0) { /* else there is nothing that they could be of */
        if (g->reference) json_object_set_new(values, "kl", json_real(o->sum.divergence / tokens));
        json_object_set_new(values, "clip_share", json_real((double)o->sum.clipped / tokens));
        json_object_set_new(values, "entropy", json_real(o->entropy));
    }
    json_object_set_new(values, "flat_groups", json_integer((json_int_t)flat));
    json_object_set_new(values, "groups", json_integer((json_int_t)g->group_count));
    json_object_set_new(values, "mismatches", json_integer((json_int_t)o->mismatches));
    json_object_set_new(values, "learnt_tokens", json_integer((json_int_t)o->sum.tokens));
    return values;
}

/* Is a token's entropy so low that replies become all alike? What `best` holds is kept then. */
static bool watch_entropy(grpo *g, double entropy)
{
    train__state *state = &g->stage.state;
    if (isnan(state->first_entropy)) state->first_entropy = entropy;
    if (entropy >= 0.3 * state->first_entropy) return false;
    slm_log_print(g->stage.train->log, SLM_LOG_WARNING,
                  "grpo step %lld: the entropy of a token is %.3f, below 30%% of its %.3f at the "
                  "start: replies become all alike; `best` stays that of step %lld",
                  (long long)state->step, entropy, state->first_entropy,
                  (long long)state->best_step);
    return true;
}

static bool is_measured(const grpo *g, int64_t step)
{
    return step % g->settings->dev_steps == 0 || step == g->stage.state.steps;
}

/* Practise, or leave the stage as it was before the step, saved: whoever was to judge or to answer may
 * have failed, or somebody pressed Ctrl-C, and the steps before are not to be done again for that. */
static slm_status practise_or_save(grpo *g, size_t *flat)
{
    const size_t bytes = g->stage.state.past_count * sizeof *g->stage.state.past;
    double *past = malloc(bytes + 1);
    if (!past) slm_out_of_memory(bytes);
    memcpy(past, g->stage.state.past, bytes);
    const slm_status status = practise(g, flat);
    if (status != SLM_OK) {
        slm_error why = {0};
        if (g->stage.err) why = *g->stage.err;
        memcpy(g->stage.state.past, past, bytes);
        train__stage_save(&g->stage, "last", true); /* what it cannot save is done again */
        if (g->stage.err) *g->stage.err = why;
    }
    free(past);
    return status;
}

static slm_status run_step(grpo *g, slm_progress *progress)
{
    const slm_recipe_grpo *o = g->settings;
    const double begun_s = slm_progress_clock_s();
    size_t flat = 0, tokens = 0;
    train__learnt out;
    const train__learner learner = {.settings = o,
                                    .training = g->stage.training,
                                    .optimiser = g->stage.optimiser,
                                    .reference = g->reference,
                                    .log = g->stage.train->log};
    /* A look at development cases takes long: who stops it, or a judge that fails in it, is not to cost
     * more than this step. */
    if (is_measured(g, g->stage.state.step + 1) && g->stage.state.step != g->stage.saved)
        SLM_TRY(train__stage_save(&g->stage, "last", true));
    SLM_TRY(practise_or_save(g, &flat));
    const double played_s = slm_progress_clock_s();
    for (size_t i = 0; i < g->group_count; i++) {
        train__choose(o, &g->groups[i]);
        for (size_t k = 0; k < g->groups[i].count; k++)
            tokens += g->groups[i].rollouts[k].tokens;
    }
    train__learn(&learner, g->groups, g->group_count, g->stage.state.step + 1, &out);
    const double learnt_s = slm_progress_clock_s();
    json_t *values = step_values(g, &out, flat);
    g->stage.state.step++;
    slm_status status;
    if (out.mismatches == 0)
        status = train__stage_check_finite(&g->stage, out.sum.loss, out.norm);
    else
        status =
            slm_error_set(g->stage.err, SLM_ERR_INVALID,
                          "grpo step %lld: %zu of %zu log-probabilities differ between rollout "
                          "and training; that is a bug: please report it",
                          (long long)g->stage.state.step, out.mismatches, out.sum.tokens);
    const bool collapsed = status == SLM_OK && out.sum.tokens > 0 && watch_entropy(g, out.entropy);
    if (status == SLM_OK && is_measured(g, g->stage.state.step))
        status = measure_dev(g, collapsed, values);
    if (status != SLM_OK) {
        json_decref(values);
        return status;
    }
    char note[128];
    int len = snprintf(note, sizeof note, "reward %.3f, best dev %.3f, %zu flat",
                       json_number_value(json_object_get(values, "reward")),
                       g->stage.state.best_score, flat);
    if (out.sum.tokens > 0)
        len += snprintf(note + len, sizeof note - (size_t)len, ", entropy %.2f", out.entropy);
    if (out.sum.tokens > 0 && g->reference)
        snprintf(note + len, sizeof note - (size_t)len, ", KL %.3f",
                 out.sum.divergence / (double)out.sum.tokens);
    json_t *times = json_pack("{s:f, s:f, s:f, s:f}", "rollout_s", played_s - begun_s, "training_s",
                              learnt_s - played_s, "rollout_tokens_per_s",
                              (double)tokens / (played_s - begun_s), "training_tokens_per_s",
                              (double)out.sum.tokens / (learnt_s - played_s));
    SLM_TRY(train__metrics_put(g->stage.metrics, g->stage.state.step, values, times, g->stage.err));
    SLM_TRY(put_samples(g));
    slm_progress_update(progress, (uint64_t)g->stage.state.step, note);
    project(g, learnt_s - begun_s, played_s - begun_s);
    return g->stage.state.step % o->save_steps == 0 ? train__stage_save(&g->stage, "last", true)
                                                    : SLM_OK;
}

/* Before the first step: is there something to learn; how good is it now. */
static slm_status first_look(grpo *g)
{
    json_t *values = json_object();
    const double begun_s = slm_progress_clock_s();
    slm_status status = check_spread(g);
    if (status == SLM_OK) project_from_check(g, slm_progress_clock_s() - begun_s);
    if (status == SLM_OK) status = train__stage_save(&g->stage, "start", false);
    if (status == SLM_OK) status = measure_dev(g, false, values);
    if (status != SLM_OK) {
        json_decref(values);
        return status;
    }
    SLM_TRY(train__metrics_put(g->stage.metrics, 0, values, json_object(), g->stage.err));
    return train__stage_save(&g->stage, "last", true);
}

static slm_status run_steps(grpo *g, slm_train_result *result)
{
    slm_status status = SLM_OK;
    slm_progress *progress =
        slm_progress_new(g->stage.train->log, "grpo", "steps", (uint64_t)g->stage.state.steps,
                         (uint64_t)g->stage.state.step);
    if (g->stage.state.step == 0 && isnan(g->stage.state.best_score)) status = first_look(g);
    while (status == SLM_OK && g->stage.state.step < g->stage.state.steps) {
        bool pauses = false;
        status = run_step(g, progress);
        if (status != SLM_OK || g->stage.state.step == g->stage.state.steps) break;
        status = train__stage_pause(&g->stage, &pauses, result);
        if (pauses) break;
    }
    slm_progress_finish(progress);
    return status == SLM_ERR_CANCELLED ? train__stage_cancelled(&g->stage) : status;
}

static slm_status finish(grpo *g, slm_train_result *result)
{
    if (g->stage.state.step == g->stage.state.steps && !g->stage.state.finished) {
        g->stage.state.finished = true;
        SLM_TRY(train__stage_save(&g->stage, "last", true));
    }
    SLM_TRY(train__checkpoint_load(g->stage.folder, "best", g->stage.train, g->stage.training, NULL,
                                   g->stage.err));
    result->steps = g->stage.state.step;
    result->best_step = g->stage.state.best_step;
    result->dev_reward = g->stage.state.best_score;
    result->first_dev_reward = g->stage.state.first_score;
    snprintf(result->folder, sizeof result->folder, "%.4000s/best", g->stage.folder);
    return SLM_OK;
}

static void grpo_free(grpo *g)
{
    if (g->groups) clear_groups(g);
    free(g->groups);
    train__snapshot_free(g->reference);
    train__stage_free(&g->stage);
    if (g->stage.train->judge) slm_judge_use_store(g->stage.train->judge, NULL);
    slm_store_close(g->store);
    slm_env_free(g->env);
    slm_cases_free(&g->data);
    slm_cases_free(&g->dev);
}

slm_status slm_train_grpo(const slm_train *train, slm_train_result *result, slm_error *err)
{
    slm_status status = SLM_OK;
    grpo g = {.settings = &train->recipe->grpo};
    *result = (slm_train_result){
        .dev_loss = NAN, .first_dev_loss = NAN, .dev_reward = NAN, .first_dev_reward = NAN};
    g.groups = calloc(2 * (size_t)train->recipe->grpo.prompts, sizeof *g.groups);
    if (!g.groups) slm_out_of_memory(sizeof *g.groups);
    SLM_TRY_OUT(train__stage_begin(&g.stage, "grpo", train, err));
    SLM_TRY_OUT(load_data(&g));
    SLM_TRY_OUT(open_store(&g));
    SLM_TRY_OUT(begin(&g));
    if (!g.stage.state.finished) SLM_TRY_OUT(run_steps(&g, result));
    SLM_TRY_OUT(finish(&g, result));
out:
    grpo_free(&g);
    return status;
}
