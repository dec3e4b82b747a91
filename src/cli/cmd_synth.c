/* cmd_synth.c: `slm synth`: an inventory of questions to cases, through any MODEL.
 *
 * The work is done in data/synth.h; here are its options, what is said before the first call, and the
 * table of cells at the end. Three files stand side by side: the cases (-o FILE), those set aside
 * (FILE.rejected.jsonl), and the replies that were paid for (FILE.db, or --db). Exit status 0 means
 * that every case of the plan is written or set aside; where calls failed, the budget was spent or
 * somebody stopped it, the same command goes on from there. */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>
#include "base/buffer.h"
#include "base/json.h"
#include "data/synth.h"

typedef struct synth_options {
    cli_shared shared;
    const char *model, *plan, *output, *rejects, *db, *set, *source, *licence;
    int64_t limit;
    bool give_up, show_plan, schema;
} synth_options;

typedef struct synthesis {
    cli_app *app;
    const synth_options *options;
    slm_synth_plan *plan;
    slm_synth *synth;
    slm_chat *chat;
    slm_store *store;
    slm_file_lock *lock;
} synthesis;

static const char *beside(const synthesis *s, const char *given, const char *ending)
{
    return given != NULL ? given
                         : slm_arena_printf(&s->app->arena, "%s%s", s->options->output, ending);
}

static slm_status open_synth(synthesis *s, const char *inventory, slm_error *err)
{
    const synth_options *o = s->options;
    slm_synth_options synth = slm_synth_options_default();
    synth.output = o->output;
    synth.rejects = beside(s, o->rejects, ".rejected.jsonl");
    if (strcmp(synth.output, synth.rejects) == 0)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "--rejects %s: is the file of the cases; name another", o->rejects);
    synth.sampling.temperature = o->shared.temperature;
    synth.sampling.top_p = o->shared.top_p;
    synth.sampling.max_tokens = o->shared.max_tokens;
    synth.sampling.seed = o->shared.seed;
    synth.sampling.thinking = strcmp(o->shared.thinking, "on") == 0;
    synth.limit = (size_t)o->limit;
    synth.set = o->set;
    synth.source = o->source;
    synth.licence = o->licence;
    synth.give_up = o->give_up;
    synth.no_schema = !o->schema;
    synth.log = &s->app->log;
    synth.stop = &cli_interrupted;
    SLM_TRY(slm_synth_plan_load(o->plan, &s->plan, err));
    return slm_synth_open(inventory, s->plan, &synth, &s->synth, err);
}

static slm_status announce(synthesis *s, slm_error *err)
{
    const slm_synth_summary *summary = slm_synth_summary_of(s->synth);
    uint64_t bytes = 0, calls = slm_synth_calls_left(s->synth, &bytes);
    size_t done = summary->done_before, planned = summary->total.planned;
    slm_log_print(&s->app->log, SLM_LOG_INFO,
                  "%zu cases planned, %zu done before, %" PRIu64
                  " to write; a case that has to be mended takes a second call",
                  planned, done, calls);
    if (calls == 0) return SLM_OK;
    return cli__remote_announce(s->app, s->options->model, calls, bytes,
                                s->options->shared.max_tokens, err);
}

static slm_status work(synthesis *s, slm_error *err)
{
    const synth_options *o = s->options;
    slm_open_options open = cli__open_options(&o->shared);
    SLM_TRY(slm_store_open(beside(s, o->db, ".db"), false, &s->store, err));
    SLM_TRY(slm_open_chat(o->model, &open, &s->chat, err));
    return slm_synth_run(s->synth, s->chat, s->store, err);
}

/* ---- what came out ----------------------------------------------------------------------------- */

static json_t *count_json(const slm_synth_count *c)
{
    return json_pack("{s:I, s:I, s:I}", "planned", (json_int_t)c->planned, "written",
                     (json_int_t)c->written, "set_aside", (json_int_t)c->set_aside);
}

static void print_json(const slm_synth_summary *summary)
{
    json_t *cells = json_array(), *all = count_json(&summary->total);
    for (size_t i = 0; i < summary->cell_count; i++) {
        json_t *cell = count_json(&summary->cells[i]);
        json_object_set_new(cell, "cell", json_string(summary->cells[i].cell));
        json_object_set_new(cell, "twins", json_boolean(summary->cells[i].is_twins));
        json_array_append_new(cells, cell);
    }
    json_object_set_new(all, "cells", cells);
    json_object_set_new(all, "done_before", json_integer((json_int_t)summary->done_before));
    json_object_set_new(all, "failed", json_integer((json_int_t)summary->failed));
    json_object_set_new(all, "calls", json_integer((json_int_t)summary->calls));
    json_object_set_new(all, "cached", json_integer((json_int_t)summary->cached));
    json_object_set_new(all, "repairs", json_integer((json_int_t)summary->repairs));
    json_object_set_new(all, "prompt_tokens", json_integer(summary->prompt_tokens));
    json_object_set_new(all, "reply_tokens", json_integer(summary->reply_tokens));
    slm_buffer text = {0};
    slm_json_append_canonical(&text, all);
    printf("%s\n", slm_buffer_text(&text));
    slm_buffer_free(&text);
    json_decref(all);
}

static void print_count(const slm_synth_count *c, const char *name)
{
    printf("%-28s %8zu %8zu %10zu %8zu\n", name, c->planned, c->written, c->set_aside,
           c->planned - c->written - c->set_aside);
}

static void print_table(const slm_synth_summary *summary)
{
    printf("%-28s %8s %8s %10s %8s\n", "cell", "planned", "written", "set aside", "to do");
    for (size_t i = 0; i < summary->cell_count; i++) {
        slm_buffer name = {0};
        slm_buffer_printf(&name, "%s%s", summary->cells[i].cell,
                          summary->cells[i].is_twins ? ", twins" : "");
        print_count(&summary->cells[i], slm_buffer_text(&name));
        slm_buffer_free(&name);
    }
    print_count(&summary->total, "all");
}

static void report(const synthesis *s)
{
    const slm_synth_summary *summary = slm_synth_summary_of(s->synth);
    if (s->options->shared.json)
        print_json(summary);
    else
        print_table(summary);
    fflush(stdout);
    slm_log_print(&s->app->log, SLM_LOG_INFO,
                  "%" PRIu64 " calls, %" PRIu64 " of them to mend a case; %" PRIu64
                  " replies were known from before",
                  summary->calls, summary->repairs, summary->cached);
    if (summary->total.set_aside > 0)
        slm_log_print(&s->app->log, SLM_LOG_INFO,
                      "%zu cases were set aside, with the reasons, in %s", summary->total.set_aside,
                      beside(s, s->options->rejects, ".rejected.jsonl"));
}

/* Everything was tried: is everything there? */
static slm_status judge(const synthesis *s, slm_error *err)
{
    const slm_synth_summary *summary = slm_synth_summary_of(s->synth);
    size_t left = summary->total.planned - summary->total.written - summary->total.set_aside;
    if (left == 0) return SLM_OK;
    return slm_error_set(
        err, summary->first_failure.status != SLM_OK ? SLM_ERR_NETWORK : SLM_ERR_LIMIT,
        "%zu cases are still to do, since a call failed: %s. The same command goes "
        "on from there; with --give-up it sets aside what gets no reply",
        left, summary->first_failure.message);
}

static slm_status synth_all(synthesis *s, const slm_option_list *arguments, slm_error *err)
{
    const synth_options *o = s->options;
    if (arguments->count == 0 || o->model == NULL || o->output == NULL)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "name the inventory, a --model and the file to write: slm synth "
                             "inventory.jsonl --model MODEL -o cases.jsonl");
    if (strcmp(o->output, "-") == 0)
        return slm_error_set(
            err, SLM_ERR_INVALID,
            "-o - cannot be gone on with after a run that ended early; name a file");
    if (!o->shared.dry_run) /* before it is read how far an earlier run came */
        SLM_TRY(slm_file_lock_take(beside(s, NULL, "-lock"), &s->lock, err));
    SLM_TRY(open_synth(s, arguments->items[0], err));
    SLM_TRY(cli__remote_start(s->app, &o->shared, &o->model, 1, err));
    SLM_TRY(announce(s, err));
    if (s->app->remote.dry_run) {
        report(s);
        return SLM_OK;
    }
    slm_status status = work(s, err);
    bool began = slm_synth_summary_of(s->synth)->calls > 0;
    if (status == SLM_OK || began) report(s);
    if (status == SLM_ERR_CANCELLED)
        slm_log_print(&s->app->log, SLM_LOG_WARNING,
                      "stopped; what is done is in %s, and the same command goes on from there",
                      o->output);
    return status == SLM_OK ? judge(s, err) : status;
}

static int run_synth(void *context, const void *options_in, const slm_option_list *arguments)
{
    synthesis s = {.app = context, .options = options_in};
    slm_error error;
    if (s.options->show_plan) {
        fputs(slm_synth_default_plan, stdout);
        return CLI_DONE;
    }
    cli__catch_interrupts(true);
    slm_status status = synth_all(&s, arguments, &error);
    slm_chat_free(s.chat);
    cli__remote_finish(s.app);
    slm_store_close(s.store);
    slm_file_lock_remove(s.lock);
    slm_synth_free(s.synth);
    slm_synth_plan_free(s.plan);
    if (status == SLM_ERR_CANCELLED) return CLI_FAILED;
    return status == SLM_OK ? CLI_DONE : cli__fail(s.app, &error);
}

#define SYNTH(field) offsetof(synth_options, field)

static const slm_option synth_table[] = {
    {.name = "model",
     .type = SLM_OPTION_STRING,
     .offset = SYNTH(model),
     .value_name = "MODEL",
     .help = "who writes the cases",
     .group = "Cases"},
    {.name = "output",
     .letter = 'o',
     .type = SLM_OPTION_FILE,
     .offset = SYNTH(output),
     .value_name = "FILE",
     .help = "the cases; where there are some already, it goes on behind them"},
    {.name = "rejects",
     .type = SLM_OPTION_FILE,
     .offset = SYNTH(rejects),
     .value_name = "FILE",
     .help = "what is set aside, with reasons and reply; left out, OUTPUT.rejected.jsonl"},
    {.name = "db",
     .type = SLM_OPTION_FILE,
     .offset = SYNTH(db),
     .value_name = "FILE",
     .help = "database that keeps every reply that was paid for; left out, OUTPUT.db"},
    {.name = "plan",
     .type = SLM_OPTION_FILE,
     .offset = SYNTH(plan),
     .value_name = "FILE",
     .help = "cells and what varies in them, in YAML; left out, the one that --show-plan prints"},
    {.name = "show-plan",
     .type = SLM_OPTION_FLAG,
     .offset = SYNTH(show_plan),
     .help = "print the default plan, to begin one's own from, and end"},
    {.name = "limit",
     .type = SLM_OPTION_INT,
     .offset = SYNTH(limit),
     .min = 0,
     .max = 1e9,
     .value_name = "N",
     .default_text = "0",
     .help = "only the first N questions; 0 takes all"},
    {.name = "set",
     .type = SLM_OPTION_STRING,
     .offset = SYNTH(set),
     .value_name = "NAME",
     .default_text = "synth",
     .help = "what the cases' tag set:NAME says"},
    {.name = "source",
     .type = SLM_OPTION_STRING,
     .offset = SYNTH(source),
     .value_name = "TEXT",
     .default_text = "slm synth",
     .help = "what the cases say of where they come from"},
    {.name = "licence",
     .type = SLM_OPTION_STRING,
     .offset = SYNTH(licence),
     .value_name = "TEXT",
     .default_text = "not stated",
     .help = "the licence that the cases name"},
    {.name = "schema",
     .type = SLM_OPTION_FLAG,
     .offset = SYNTH(schema),
     .default_text = "true",
     .help = "hold the model to the shape of a case by a JSON schema; --no-schema for a host that "
             "refuses one"},
    {.name = "give-up",
     .type = SLM_OPTION_FLAG,
     .offset = SYNTH(give_up),
     .help =
         "set aside also the cases whose calls failed, instead of leaving them to the next run"},
    {.name = "temperature",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(cli_shared, temperature),
     .min = 0,
     .max = 10,
     .value_name = "T",
     .default_text = "0.8",
     .help = "randomness of what is written",
     .group = "Sampling"},
    {.name = "top-p",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(cli_shared, top_p),
     .min = 0,
     .max = 1,
     .value_name = "P",
     .default_text = "1",
     .help = "draw from the likeliest tokens that together have probability P; 1 is off"},
    {.name = "max-tokens",
     .type = SLM_OPTION_INT,
     .offset = offsetof(cli_shared, max_tokens),
     .min = 1,
     .max = 1000000,
     .value_name = "N",
     .default_text = "4096",
     .help = "longest reply, and its thoughts where the model thinks"},
    {.name = "thinking",
     .type = SLM_OPTION_CHOICE,
     .offset = offsetof(cli_shared, thinking),
     .choices = "on|off",
     .value_name = "WHEN",
     .default_text = "off",
     .help = "let a model that can think before it writes"},
    {.name = "seed",
     .type = SLM_OPTION_INT,
     .offset = offsetof(cli_shared, seed),
     .min = 0,
     .max = 9007199254740991.0,
     .value_name = "N",
     .default_text = "0",
     .help = "another seed draws other cells for the questions, and other cases"},
    {.name = NULL},
};

const slm_command cli_command_synth = {
    .name = "synth",
    .usage = "INVENTORY --model MODEL -o CASES.jsonl",
    .summary = "questions -> cases with follow-ups, facts and rubrics",
    .description =
        "Lets MODEL write a case for each question of an inventory (slm data import makes one): a "
        "conversation on the question's topic, weighted follow-up questions with the answers a "
        "patient would give, key points, safety advice, what must never be said, and an ideal "
        "reply; "
        "rubrics are built around them. A plan says how many cases of which kind there are to be "
        "and what varies in them; some get a twin, in which the missing fact is supplied.\n\n"
        "Every case is held to the format and to what slm data check asks of it. One that fails "
        "goes "
        "back to the model once, with what is wrong; if it fails again it is set aside with the "
        "reasons. Cases are synthetic: read them before anything is trained on them.\n\n"
        "A run may be ended at any time, also by kill -9: the same command goes on from there, and "
        "no reply is paid twice. The cases stand in the order of the inventory.",
    .example = "# what would be asked of whom, and what it would cost at most\n"
               "slm synth inventory.jsonl --model openai:gpt-4.1 --prices prices.yaml \\\n"
               "  -o cases.jsonl --dry-run\n"
               "# two hundred cases after a plan of one's own\n"
               "slm synth inventory.jsonl --model openai:gpt-4.1 --plan plan.yaml --limit 200 \\\n"
               "  --max-cost 20 --licence CC-BY-4.0 -o cases.jsonl",
    .tables = {synth_table, cli_machine_options, cli_remote_options, cli_json_options,
               cli_common_options},
    .options_bytes = sizeof(synth_options),
    .min_arguments = 0,
    .max_arguments = 1,
    .run = run_synth,
};
