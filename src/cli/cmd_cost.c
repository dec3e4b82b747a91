/* cmd_cost.c: `slm cost`: what a number of requests a month costs with each model of a results
 * database, hosted or on a machine, by a dated file of prices.
 *
 * The database is opened for reading only and nothing is asked of any network: prices are the file's,
 * tokens and times those that the evaluation measured. */
#include "cli/cli.h"

#include "provider/price.h"
#include "report/report.h"
#include "store/store.h"

typedef struct cost_options {
    cli_shared shared;
    const char *db, *prices, *output;
    double requests, batch_discount, utilisation, tokens_per_second;
    bool batch_mode, whole_machines;
    slm_option_list machines, arms;
} cost_options;

static slm_status write_costs(cli_app *app, const slm_costs *costs, const cost_options *options,
                              slm_error *err)
{
    cli_output out;
    SLM_TRY(cli__output_open(options->output, &out, err));
    if (options->shared.json) {
        slm_costs_json(costs, out.stream);
    } else {
        slm_costs_print(costs, out.stream);
    }
    slm_status status = cli__output_commit(&out, &app->log, err);
    cli__output_abort(&out);
    return status;
}

static int run_cost(void *context, const void *options_in, const slm_option_list *arguments)
{
    (void)arguments;
    cli_app *app = context;
    const cost_options *options = options_in;
    slm_cost_options cost = {
        .requests = options->requests,
        .batch_mode = options->batch_mode,
        .batch_discount = options->batch_discount > 0 ? options->batch_discount : -1,
        .utilisation = options->utilisation,
        .tokens_per_second = options->tokens_per_second,
        .whole_machines = options->whole_machines,
        .machines = options->machines.items,
        .machine_count = options->machines.count,
        .arms = options->arms.items,
        .arm_count = options->arms.count,
    };
    slm_store *store = NULL;
    slm_prices prices = {0};
    slm_arena arena = {0};
    slm_costs costs;
    slm_error error;
    slm_status status;
    if (options->prices == NULL) {
        status = slm_error_set(&error, SLM_ERR_INVALID,
                               "--prices FILE: by what prices? A dated YAML file, as in "
                               "docs/prices-example.yaml");
        goto out;
    }
    SLM_TRY_OUT(slm_prices_load(options->prices, &prices, &error));
    SLM_TRY_OUT(slm_store_open(options->db, true, &store, &error));
    SLM_TRY_OUT(slm_costs_load(store, &prices, &cost, &arena, &costs, &error));
    status = write_costs(app, &costs, options, &error);
out:
    slm_arena_free(&arena);
    slm_store_close(store);
    slm_prices_free(&prices);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option cost_table[] = {
    {.name = "db",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(cost_options, db),
     .value_name = "FILE",
     .default_text = "results.db",
     .help = "the results database",
     .group = "Cost"},
    {.name = "prices",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(cost_options, prices),
     .value_name = "FILE",
     .help = "dated prices, in YAML: models by the token, machines by the hour"},
    {.name = "requests",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(cost_options, requests),
     .min = 1,
     .max = 1e15,
     .value_name = "N",
     .default_text = "1000000",
     .help = "requests a month"},
    {.name = "arm",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(cost_options, arms),
     .value_name = "NAME",
     .help = "only this model, by the name that reports show; given again: this one too"},
    {.name = "machine",
     .type = SLM_OPTION_STRINGS,
     .offset = offsetof(cost_options, machines),
     .value_name = "[ARM=]NAME",
     .help = "the machine of the price file that local models run on, or that this one does, "
             "hosted or not"},
    {.name = "tokens-per-second",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(cost_options, tokens_per_second),
     .min = 0,
     .max = 1e9,
     .value_name = "N",
     .default_text = "0",
     .help = "reply tokens that one machine makes, with its batches full; 0: as measured in the "
             "evaluation"},
    {.name = "utilisation",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(cost_options, utilisation),
     .min = 0.001,
     .max = 1,
     .value_name = "SHARE",
     .default_text = "0.5",
     .help = "share of the paid hours in which a machine answers"},
    {.name = "whole-machines",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(cost_options, whole_machines),
     .help = "pay whole machines around the clock; else shares of one"},
    {.name = "batch-mode",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(cost_options, batch_mode),
     .help = "take off the batch discount that the price file has for a hosted model"},
    {.name = "batch-discount",
     .type = SLM_OPTION_NUMBER,
     .offset = offsetof(cost_options, batch_discount),
     .min = 0,
     .max = 1,
     .value_name = "SHARE",
     .default_text = "0",
     .help = "take this share off every hosted price instead; 0: none"},
    {.name = "output",
     .letter = 'o',
     .type = SLM_OPTION_FILE,
     .offset = offsetof(cost_options, output),
     .value_name = "FILE",
     .help = "write to FILE and not to stdout"},
    {.name = NULL},
};

const slm_command cli_command_cost = {
    .name = "cost",
    .usage = "--prices FILE [--db FILE]",
    .summary = "what a million requests a month cost, hosted or on a machine",
    .description =
        "Computes what each model of a results database costs a month: a hosted one from the "
        "tokens "
        "that its answers used, a local one from the hours that a machine needs for them. Every "
        "assumption is printed; a price that is not in the file is an error.",
    .example = "# by the prices that hold for you\n"
               "slm cost --db results.db --prices prices.yaml\n"
               "# a GPU that makes 1,400 tokens a second and is busy half of its hours\n"
               "slm cost --prices prices.yaml --machine rented-gpu --tokens-per-second 1400 "
               "--utilisation 0.5",
    .tables = {cost_table, cli_json_options, cli_common_options},
    .options_bytes = sizeof(cost_options),
    .run = run_cost,
};
