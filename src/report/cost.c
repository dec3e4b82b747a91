/* cost.c: what a number of requests a month costs with each arm of a results database.
 *
 * A hosted model is paid by the token: tokens a request, as measured, times a dated price,
 *     usd = requests x ((prompt - cached) x input + cached x cached + reply x output) x (1 - discount).
 * A model of one's own is paid by the hour of a machine:
 *     busy hours = requests x reply tokens / tokens per second / 3600
 *     paid hours = busy hours / utilisation
 * and the machines are paid hours / 730, as a share, or rounded up to whole ones that are paid around
 * the clock. Tokens per second are the option's, or those of the stored timings: all reply tokens over
 * the sum of the answers' times. Where several answers were made at once that is less than the machine
 * can, so the cost errs on the dear side; it never claims more speed than was seen.
 *
 * What is paid by the token and what by the hour is read from the run's model identity: "openai:NAME@
 * URL" and its like are hosted, a bare hash is a local file, "recorded:HASH#IDENTITY" is what it was
 * recorded from. Nothing is guessed: what has no price is an error. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "provider/remote.h"
#include "report/report.h"

slm_cost_options slm_cost_options_default(void)
{
    return (slm_cost_options){.requests = 1e6, .batch_discount = -1, .utilisation = 0.5};
}

/* ---- tokens of a run ---- */

typedef struct usage {
    size_t samples, told;
    double prompt, cached, reply, reasoning; /* sums over the told ones */
    size_t cached_told, reasoning_told;
    double timed_reply, time_s;
} usage;

static bool on_sample(void *context, const slm_sample *sample, bool empty)
{
    (void)empty;
    usage *u = context;
    u->samples++;
    if (sample->prompt_tokens < 0 || sample->reply_tokens < 0) return true;
    double prompt = (double)sample->prompt_tokens, cached = (double)sample->cached_tokens;
    u->told++;
    u->prompt += prompt;
    u->reply += (double)sample->reply_tokens;
    if (cached >= 0) {
        u->cached += cached < prompt ? cached : prompt;
        u->cached_told++;
    }
    if (sample->reasoning_tokens >= 0) {
        u->reasoning += (double)sample->reasoning_tokens;
        u->reasoning_told++;
    }
    if (sample->time_s > 0) {
        u->timed_reply += (double)sample->reply_tokens;
        u->time_s += sample->time_s;
    }
    return true;
}

/* ---- runs ---- */

typedef struct run_list {
    slm_arena *arena;
    slm_run *items;
    size_t count, cap;
} run_list;

static bool on_run(void *context, const slm_run *run)
{
    run_list *list = context;
    if (strcmp(run->kind, "baseline") == 0) return true;
    list->items =
        slm_arena_grow(list->arena, list->items, list->count, &list->cap, sizeof *list->items);
    list->items[list->count++] = (slm_run){
        .hash = slm_arena_strdup(list->arena, run->hash),
        .model_name = slm_arena_strdup(list->arena, run->model_name),
        .model_identity = slm_arena_strdup(list->arena, run->model_identity),
        .kind = slm_arena_strdup(list->arena, run->kind),
    };
    return true;
}

/* A name that no other run bears: with the run's hash behind it where one does. */
static const char *unique_name(const run_list *runs, const slm_run *run)
{
    for (size_t i = 0; i < runs->count; i++) {
        const slm_run *other = &runs->items[i];
        if (other != run && strcmp(other->model_name, run->model_name) == 0)
            return slm_arena_printf(runs->arena, "%s (%.8s)", run->model_name, run->hash);
    }
    return run->model_name;
}

static bool is_wanted(const slm_cost_options *options, const slm_run *run, const char *name)
{
    for (size_t i = 0; i < options->arm_count; i++) {
        if (strcmp(options->arms[i], run->model_name) == 0 || strcmp(options->arms[i], name) == 0)
            return true;
    }
    return options->arm_count == 0;
}

/* ---- who is paid ---- */

typedef enum payment { BY_TOKEN, BY_HOUR } payment;

/* "openai:gpt-4.1@https://api.openai.com/v1" -> gpt-4.1, api.openai.com. What is neither remote nor
 * local (imported, recorded without its source) is looked up by the arm's name at any host. */
static payment read_identity(const slm_run *run, slm_arena *arena, slm_arm_cost *arm)
{
    const char *identity = run->model_identity ? run->model_identity : "";
    if (strncmp(identity, "recorded:", 9) == 0) {
        const char *source = strchr(identity, '#');
        if (source != NULL) identity = source + 1;
    }
    arm->model = run->model_name;
    if (slm_remote_is(identity)) {
        const char *name = strchr(identity, ':') + 1, *at = NULL;
        for (const char *c = strstr(name, "@http"); c != NULL; c = strstr(c + 1, "@http"))
            at = c;
        arm->model = slm_arena_strndup(arena, name, at ? (size_t)(at - name) : strlen(name));
        const char *host = at ? strstr(at, "://") : NULL;
        if (host != NULL) arm->host = slm_arena_strndup(arena, host + 3, strcspn(host + 3, "/?"));
        return BY_TOKEN;
    }
    bool is_hash = strlen(identity) == 64 && strspn(identity, "0123456789abcdef") == 64;
    return is_hash ? BY_HOUR : BY_TOKEN;
}

/* The machine that the options name for this arm; NULL: none. `NAME=` is an arm's name where it fits,
 * the longest first, as names may hold the sign themselves. */
static const char *machine_of(const slm_cost_options *options, const slm_run *run,
                              const slm_arm_cost *arm, bool is_local)
{
    const char *for_all = NULL;
    for (size_t i = 0; i < options->machine_count; i++) {
        const char *text = options->machines[i];
        const char *const names[] = {arm->name, run->model_name};
        for (size_t n = 0; n < 2; n++) {
            size_t len = strlen(names[n]);
            if (strncmp(text, names[n], len) == 0 && text[len] == '=') return text + len + 1;
        }
        if (strchr(text, '=') == NULL) for_all = text;
    }
    return is_local ? for_all : NULL;
}

static slm_status price_by_token(const slm_costs *costs, slm_arm_cost *arm, slm_error *err)
{
    const slm_cost_options *options = &costs->options;
    arm->price = slm_prices_model(costs->prices, arm->model, arm->host);
    if (arm->price == NULL)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: no price of the model '%.120s'%s%.120s, which '%.120s' used; add "
                             "it under 'models:', or say on what machine it runs: --machine "
                             "'%.120s=NAME'",
                             costs->prices->path, arm->model, arm->host ? " at " : "",
                             arm->host ? arm->host : "", arm->name, arm->name);
    if (options->batch_discount >= 0) {
        arm->discount = options->batch_discount;
    } else if (options->batch_mode) {
        arm->discount = arm->price->batch_discount;
    }
    const slm_price *p = arm->price;
    double request = ((arm->prompt - arm->cached) * p->input + arm->cached * p->cached +
                      arm->reply * p->output) /
                     1e6;
    arm->usd = options->requests * request * (1 - arm->discount);
    return SLM_OK;
}

static slm_status find_machine(const slm_costs *costs, const char *name, slm_arm_cost *arm,
                               slm_error *err)
{
    const slm_prices *prices = costs->prices;
    if (name == NULL && prices->machine_count == 1) {
        arm->machine = &prices->machines[0];
    } else if (name == NULL && prices->machine_count > 1) {
        return slm_error_set(err, SLM_ERR_INVALID,
                             "%s: on which of the %zu machines does '%.120s' run? Say --machine "
                             "NAME, such as '%.80s'",
                             prices->path, prices->machine_count, arm->name,
                             prices->machines[0].machine);
    } else if (name != NULL) {
        arm->machine = slm_prices_machine(prices, name);
    }
    if (arm->machine != NULL) return SLM_OK;
    return slm_error_set(
        err, SLM_ERR_NOT_FOUND,
        "%s: no price of the machine%s%.120s%s that the model '%.120s' runs on; add "
        "it under 'machines:'",
        prices->path, name ? " '" : "", name ? name : "", name ? "'" : "", arm->name);
}

static slm_status price_by_hour(const slm_costs *costs, const char *machine, const usage *u,
                                slm_arm_cost *arm, slm_error *err)
{
    const slm_cost_options *options = &costs->options;
    SLM_TRY(find_machine(costs, machine, arm, err));
    arm->speed_measured = options->tokens_per_second <= 0;
    arm->tokens_per_second = options->tokens_per_second;
    if (arm->speed_measured) {
        if (u->time_s <= 0 || u->timed_reply <= 0)
            return slm_error_set(err, SLM_ERR_NOT_FOUND,
                                 "the database holds no times of '%.120s': say how many tokens a "
                                 "second its machine makes, --tokens-per-second N",
                                 arm->name);
        arm->tokens_per_second = u->timed_reply / u->time_s;
    }
    arm->busy_hours = options->requests * arm->reply / arm->tokens_per_second / 3600;
    double paid_hours = arm->busy_hours / options->utilisation;
    double share = paid_hours / SLM_COST_MONTH_HOURS, whole = ceil(share);
    arm->usd_share = paid_hours * arm->machine->per_hour;
    arm->usd_whole = whole * SLM_COST_MONTH_HOURS * arm->machine->per_hour;
    arm->machines = options->whole_machines ? whole : share;
    arm->usd = options->whole_machines ? arm->usd_whole : arm->usd_share;
    return SLM_OK;
}

static slm_status price_run(slm_costs *costs, const slm_run *run, const char *name, const usage *u,
                            slm_arena *arena, slm_error *err)
{
    double told = (double)u->told;
    slm_arm_cost *arm = &costs->arms[costs->count];
    *arm = (slm_arm_cost){
        .name = name,
        .run = run->hash,
        .samples = u->samples,
        .told = u->told,
        .prompt = u->prompt / told,
        /* What was not told was not read from a cache, as far as anybody knows. */
        .cached = u->cached / told,
        .reply = u->reply / told,
        .reasoning = u->reasoning_told ? u->reasoning / (double)u->reasoning_told : 0,
        .cached_told = u->cached_told > 0,
        .reasoning_told = u->reasoning_told > 0,
    };
    payment pays = read_identity(run, arena, arm);
    const char *machine = machine_of(&costs->options, run, arm, pays == BY_HOUR);
    if (pays == BY_HOUR || machine != NULL) {
        SLM_TRY(price_by_hour(costs, machine, u, arm, err));
    } else {
        SLM_TRY(price_by_token(costs, arm, err));
    }
    costs->count++;
    return SLM_OK;
}

/* ---- all of it ---- */

static slm_status check_options(const slm_cost_options *options, const run_list *runs,
                                slm_error *err)
{
    if (!(options->requests > 0))
        return slm_error_set(err, SLM_ERR_INVALID, "requests: %g a month; it must be above 0",
                             options->requests);
    if (!(options->utilisation > 0 && options->utilisation <= 1))
        return slm_error_set(err, SLM_ERR_INVALID,
                             "utilisation: %g; it must be above 0 and at most 1",
                             options->utilisation);
    if (!(options->batch_discount <= 1))
        return slm_error_set(err, SLM_ERR_INVALID, "batch discount: %g; it must be from 0 to 1",
                             options->batch_discount);
    for (size_t a = 0; a < options->arm_count; a++) {
        bool found = false;
        for (size_t i = 0; i < runs->count && !found; i++)
            found = strcmp(options->arms[a], runs->items[i].model_name) == 0 ||
                    strcmp(options->arms[a], unique_name(runs, &runs->items[i])) == 0;
        if (!found)
            return slm_error_set(err, SLM_ERR_NOT_FOUND, "the database holds no arm '%.200s'",
                                 options->arms[a]);
    }
    return SLM_OK;
}

static int by_cost(const void *a, const void *b)
{
    const slm_arm_cost *first = a, *second = b;
    if (first->usd != second->usd) return first->usd < second->usd ? -1 : 1;
    return strcmp(first->run, second->run);
}

slm_status slm_costs_load(slm_store *store, const slm_prices *prices,
                          const slm_cost_options *options, slm_arena *arena, slm_costs *out,
                          slm_error *err)
{
    run_list runs = {.arena = arena};
    *out = (slm_costs){.options = *options, .prices = prices};
    SLM_TRY(slm_store_runs(store, on_run, &runs, err));
    SLM_TRY(check_options(options, &runs, err));
    out->arms = slm_arena_array(arena, runs.count, sizeof *out->arms);
    out->left_out = slm_arena_array(arena, runs.count, sizeof *out->left_out);
    for (size_t i = 0; i < runs.count; i++) {
        const slm_run *run = &runs.items[i];
        const char *name = unique_name(&runs, run);
        if (!is_wanted(options, run, name)) continue;
        usage u = {0};
        SLM_TRY(slm_store_sample_facts(store, run->hash, on_sample, &u, err));
        if (u.told > 0) {
            slm_error why;
            slm_status status = price_run(out, run, name, &u, arena, &why);
            if (status != SLM_OK && !options->leave_out) {
                if (err != NULL) *err = why;
                return status;
            }
            if (status != SLM_OK)
                out->left_out[out->left_out_count++] =
                    slm_arena_printf(arena, "%s has no cost: %s", name, why.message);
        } else {
            out->left_out[out->left_out_count++] = slm_arena_printf(
                arena, "%s has no cost: none of its %zu answers told its tokens%s", name, u.samples,
                strcmp(run->kind, "imported") == 0 ? " (scores were imported)" : "");
        }
    }
    if (out->count == 0 && !options->leave_out)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "no model in the database told how many tokens it used; `slm eval` "
                             "stores them with each answer%s%.300s",
                             out->left_out_count ? ". " : "",
                             out->left_out_count ? out->left_out[0] : "");
    qsort(out->arms, out->count, sizeof *out->arms, by_cost);
    return SLM_OK;
}
