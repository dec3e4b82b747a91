/* remote.c: what the commands share about models behind an API.
 *
 * Here the options about them become settings, here the variables that hold keys are read, and here
 * people are told what leaves the building before it does, and what was spent when it is over. A key's
 * value goes from the environment to the settings' caller and nowhere else: it is never printed.
 *
 * Estimates: prompts are counted at four bytes a token, replies at their limit, so that the cost told
 * beforehand is seldom passed; --max-cost does not rest on them (provider/budget.h). */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "base/buffer.h"

#define SHARED(field) offsetof(cli_shared, field)

const slm_option cli_remote_options[] = {
    {.name = "key-env",
     .type = SLM_OPTION_STRING,
     .offset = SHARED(key_env),
     .value_name = "VARIABLE",
     .help = "environment variable with the key of a MODEL that has a URL of its own",
     .group = "Remote models"},
    {.name = "endpoints",
     .type = SLM_OPTION_FILE,
     .offset = SHARED(endpoints),
     .value_name = "FILE",
     .help = "your own servers, in YAML: url, key_env, concurrency, timeout, price"},
    {.name = "prices",
     .type = SLM_OPTION_FILE,
     .offset = SHARED(prices),
     .value_name = "FILE",
     .help = "dated prices, in YAML"},
    {.name = "max-cost",
     .type = SLM_OPTION_NUMBER,
     .offset = SHARED(max_cost),
     .min = 0,
     .max = 1e9,
     .value_name = "USD",
     .default_text = "0",
     .help = "ask no more once the next call could pass it; 0 sets no limit"},
    {.name = "dry-run",
     .type = SLM_OPTION_FLAG,
     .offset = SHARED(dry_run),
     .help = "say which hosts would be asked how often, and end"},
    {.name = "offline",
     .type = SLM_OPTION_FLAG,
     .offset = SHARED(offline),
     .help = "refuse every network call"},
    {.name = "record",
     .type = SLM_OPTION_FILE,
     .offset = SHARED(record),
     .value_name = "FILE",
     .help = "append every request and reply, for recorded:FILE"},
    {.name = "concurrency",
     .type = SLM_OPTION_INT,
     .offset = SHARED(concurrency),
     .min = 0,
     .max = 4096,
     .value_name = "N",
     .default_text = "0",
     .help = "calls at once, less while a host is overloaded; 0 takes the endpoint's, or 16"},
    {.name = "timeout",
     .type = SLM_OPTION_NUMBER,
     .offset = SHARED(timeout_s),
     .min = 0,
     .max = 86400,
     .value_name = "SECONDS",
     .default_text = "0",
     .help = "longest wait for one reply; 0 takes the endpoint's, or 600"},
    {.name = "retries",
     .type = SLM_OPTION_INT,
     .offset = SHARED(retries),
     .min = 0,
     .max = 100,
     .value_name = "N",
     .default_text = "8",
     .help = "tries after the first, where trying again can help"},
    {.name = "ca-file",
     .type = SLM_OPTION_FILE,
     .offset = SHARED(ca_file),
     .value_name = "FILE",
     .help = "certificates to trust instead of the system's (PEM)"},
    {.name = NULL},
};

static const char *read_variable(void *context, const char *variable)
{
    (void)context;
    return getenv(variable);
}

/* A socket for each call, and some files. The hard limit stays what it is. */
static void raise_file_limit(const cli_remote *remote)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)remote->settings.concurrency;
    for (size_t i = 0; i < remote->endpoints.count; i++) {
        if ((rlim_t)remote->endpoints.items[i].concurrency > wanted)
            wanted = (rlim_t)remote->endpoints.items[i].concurrency;
    }
    wanted = 2 * wanted + 256;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

slm_status cli__remote_start(cli_app *app, const cli_shared *shared, const char *const *models,
                             size_t count, slm_error *err)
{
    cli_remote *remote = &app->remote;
    remote->started = true;
    remote->dry_run = shared->dry_run;
    remote->record = shared->dry_run ? NULL : shared->record;
    remote->budget.limit_usd = shared->max_cost;
    remote->settings = (slm_remote_settings){
        .secret = read_variable,
        .key_env = shared->key_env,
        .ca_file = shared->ca_file,
        .offline = shared->offline,
        .concurrency = (int)shared->concurrency,
        .timeout_s = shared->timeout_s,
        .retries = (int)shared->retries,
        .budget = &remote->budget,
        .log = &app->log,
    };
    if (shared->endpoints != NULL) {
        SLM_TRY(slm_endpoints_load(shared->endpoints, &remote->endpoints, err));
        remote->settings.endpoints = &remote->endpoints;
    }
    if (shared->prices != NULL) {
        SLM_TRY(slm_prices_load(shared->prices, &remote->prices, err));
        remote->settings.prices = &remote->prices;
    }
    SLM_TRY(slm_remote_check_key_env(models, count, &remote->settings, err));
    /* What is wrong with any of them is told before the first is asked. */
    for (size_t i = 0; i < count; i++) {
        slm_remote_info info;
        if (slm_remote_is(models[i]))
            SLM_TRY(slm_remote_look(models[i], &remote->settings, &app->arena, &info, err));
    }
    raise_file_limit(remote);
    return SLM_OK;
}

/* 1234567 as 1,234,567. */
static void append_count(slm_buffer *out, uint64_t count)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, count);
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) slm_buffer_append_char(out, ',');
        slm_buffer_append_char(out, digits[i]);
    }
}

/* Cents matter for little, and not for much. */
static void append_usd(slm_buffer *out, double usd)
{
    slm_buffer_printf(out, "US$%.*f", usd >= 100 || usd == 0 ? 0 : usd >= 0.1 ? 2 : 4, usd);
}

slm_status cli__remote_announce(cli_app *app, const char *model, uint64_t calls,
                                uint64_t prompt_bytes, int64_t reply_tokens, slm_error *err)
{
    slm_remote_info info;
    if (!slm_remote_is(model)) return SLM_OK;
    SLM_TRY(slm_remote_look(model, &app->remote.settings, &app->arena, &info, err));
    slm_buffer text = {0};
    if (calls == 0) {
        slm_buffer_printf(&text, "%s: each turn is a call to %s", info.model, info.host);
    } else {
        slm_buffer_printf(&text, "%s: ", info.model);
        append_count(&text, calls);
        slm_buffer_printf(&text, " call%s to %s", calls == 1 ? "" : "s", info.host);
    }
    if (!info.encrypted) slm_buffer_append_text(&text, ", in the clear (http)");
    slm_buffer_printf(&text, ", %s%s", info.key_variable != NULL ? "with the key in " : "no key",
                      info.key_variable != NULL ? info.key_variable : "");
    if (calls > 0) {
        int64_t prompt_tokens = slm_remote_guess_tokens(prompt_bytes);
        int64_t replies = (int64_t)calls * reply_tokens;
        slm_buffer_append_text(&text, "; about ");
        append_count(&text, (uint64_t)prompt_tokens);
        slm_buffer_append_text(&text, " prompt tokens, up to ");
        append_count(&text, (uint64_t)replies);
        slm_buffer_append_text(&text, " reply tokens");
        if (info.has_price) {
            slm_buffer_append_text(&text, ", up to about ");
            append_usd(&text, slm_price_cost(&info.price, prompt_tokens, 0, replies));
            slm_buffer_printf(&text, " by prices of %s", info.price.dated);
        }
    }
    if (!info.has_price) slm_buffer_append_text(&text, ", price unknown");
    slm_log_print(&app->log, SLM_LOG_INFO, "%s", slm_buffer_text(&text));
    slm_buffer_free(&text);
    return SLM_OK;
}

static void log_spent(cli_app *app, const slm_budget *budget)
{
    slm_buffer text = {0};
    append_count(&text, budget->calls);
    slm_buffer_append_text(&text, budget->calls == 1 ? " remote call" : " remote calls");
    if (budget->retries > 0) {
        slm_buffer_append_text(&text, " (");
        append_count(&text, budget->retries);
        slm_buffer_append_text(&text, " of them tried again)");
    }
    slm_buffer_append_text(&text, ": ");
    append_count(&text, (uint64_t)budget->prompt_tokens);
    slm_buffer_append_text(&text, " prompt tokens (");
    append_count(&text, (uint64_t)budget->cached_tokens);
    slm_buffer_append_text(&text, " cached), ");
    append_count(&text, (uint64_t)budget->reply_tokens);
    slm_buffer_append_text(&text, " reply tokens (");
    append_count(&text, (uint64_t)budget->reasoning_tokens);
    slm_buffer_append_text(&text, " reasoning)");
    if (budget->priced > 0) {
        slm_buffer_append_text(&text, ", ");
        append_usd(&text, budget->spent_usd);
    }
    if (budget->unpriced > 0) slm_buffer_append_text(&text, ", price unknown");
    if (budget->guessed > 0)
        slm_buffer_printf(&text,
                          "; %" PRIu64 " of the calls ended without telling their use, and count "
                          "as the most that they can cost",
                          budget->guessed);
    slm_log_print(&app->log, SLM_LOG_INFO, "%s", slm_buffer_text(&text));
    slm_buffer_free(&text);
}

void cli__remote_finish(cli_app *app)
{
    cli_remote *remote = &app->remote;
    if (remote->budget.calls > 0) log_spent(app, &remote->budget);
    app->spent_usd += remote->budget.spent_usd;
    slm_endpoints_free(&remote->endpoints);
    slm_prices_free(&remote->prices);
    *remote = (cli_remote){0};
}
