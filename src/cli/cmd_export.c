/* cmd_export.c: slm export: a model, with what was learnt, for other programs.
 *
 * Says on stdout what was written, and of an adapter how much of its change the file's type lost. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "model/model.h"

/* A loss that is worth a warning. */
#define WARN_SHARE 0.05

typedef struct export_options {
    cli_shared shared;
    const char *format, *type, *path, *base, *weights;
    uint64_t max_shard;
    bool force;
} export_options;

static double share(double lost, const slm_export_change *change)
{
    return change->change > 0 ? lost / change->change : 0;
}

/* The smallest type that keeps the change; safetensors and GGUF have these all. */
static const char *keeping_type(const slm_export_change *all, slm_dtype dtype)
{
    if (dtype == SLM_Q8_0 && share(all->lost_bf16, all) <= WARN_SHARE) return "bf16";
    if (dtype != SLM_F16 && share(all->lost_f16, all) <= WARN_SHARE) return "f16";
    return "f32";
}

static void warn_of_loss(cli_app *app, const slm_export_report *report, slm_dtype dtype)
{
    if (report->change_count == 0) return;
    const slm_export_change *all = &report->changes[report->change_count - 1];
    const double lost = share(all->lost, all);
    if (dtype == SLM_F32 || lost <= WARN_SHARE) return;
    slm_log_print(&app->log, SLM_LOG_WARNING,
                  "rounding to %s changed what was learnt by %.1f%%: --type %s keeps it",
                  slm_dtype_name(dtype), 100 * lost, keeping_type(all, dtype));
}

static void print_report(const slm_export_report *report, const char *path, slm_dtype dtype)
{
    char bytes[32];
    cli__bytes_text(report->bytes, bytes);
    printf("%s: %zu tensors, %s as %s", path, report->tensors, bytes, slm_dtype_name(dtype));
    printf(report->files > 1 ? " in %zu files\n" : "\n", report->files);
    if (report->change_count == 0) return;
    printf("%-10s  %12s  %s\n", "learnt in", "norm", "lost to rounding");
    for (size_t i = 0; i < report->change_count; i++) {
        const slm_export_change *change = &report->changes[i];
        printf("%-10s  %12.5g  %.3g%%\n", change->kind, change->change,
               100 * share(change->lost, change));
    }
}

static void print_json(const slm_export_report *report, const export_options *options,
                       const char *path, slm_dtype dtype)
{
    json_t *changes = json_array();
    for (size_t i = 0; i < report->change_count; i++) {
        const slm_export_change *change = &report->changes[i];
        json_array_append_new(changes,
                              json_pack("{s:s, s:f, s:f, s:f, s:f}", "kind", change->kind, "norm",
                                        change->change, "lost", share(change->lost, change),
                                        "lost_bf16", share(change->lost_bf16, change), "lost_f16",
                                        share(change->lost_f16, change)));
    }
    json_t *root = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:o}", "path", path, "format",
                             options->format, "type", slm_dtype_name(dtype), "bytes",
                             (json_int_t)report->bytes, "tensors", (json_int_t)report->tensors,
                             "files", (json_int_t)report->files, "base_sha256", report->base_sha256,
                             "changes", changes);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    putchar('\n');
    json_decref(root);
}

static slm_status read_type(const export_options *options, bool gguf, slm_dtype *out,
                            slm_error *err)
{
    *out = strcmp(options->type, "f32") == 0    ? SLM_F32
           : strcmp(options->type, "f16") == 0  ? SLM_F16
           : strcmp(options->type, "q8_0") == 0 ? SLM_Q8_0
                                                : SLM_BF16;
    if (gguf || *out != SLM_Q8_0) return SLM_OK;
    return slm_error_set(err, SLM_ERR_INVALID,
                         "safetensors has no type q8_0: give f32, bf16 or f16, or --format gguf");
}

/* A model in one file or folder, reported. */
static slm_status export_model(cli_app *app, const export_options *options, const char *base,
                               const char *adapter, const char *path, bool gguf, slm_error *err)
{
    slm_export_report report;
    slm_export_options job = {.base = base,
                              .adapter = adapter,
                              .weights = options->weights,
                              .gguf = gguf,
                              .path = path,
                              .force = options->force,
                              .shard_bytes = options->max_shard,
                              .log = &app->log,
                              .stop = &cli_interrupted};
    SLM_TRY(read_type(options, gguf, &job.dtype, err));
    SLM_TRY(slm_export(&job, &report, err));
    warn_of_loss(app, &report, job.dtype);
    if (options->shared.json)
        print_json(&report, options, path, job.dtype);
    else
        print_report(&report, path, job.dtype);
    return SLM_OK;
}

/* The adapter for PEFT, and where --base says so what it lies beside. */
static slm_status export_adapter(cli_app *app, const export_options *options, const char *base,
                                 const char *adapter, slm_error *err)
{
    const bool folder = slm_file_is_folder(base);
    if (!adapter)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "--format peft writes an adapter, and there is none: write MODEL+DIR");
    if (options->weights)
        return slm_error_set(err, SLM_ERR_INVALID, "--weights has no adapter to write");
    if (options->base) SLM_TRY(export_model(app, options, base, NULL, options->base, false, err));
    char *resolved = realpath(options->base ? options->base : base, NULL);
    slm_status status =
        slm_export_adapter(adapter, resolved ? resolved : base, options->path, options->force, err);
    if (status == SLM_OK && !options->base && !folder)
        slm_log_print(
            &app->log, SLM_LOG_WARNING,
            "peft cannot open %s, which the adapter names as its base: --base PATH writes "
            "one that it can",
            base);
    free(resolved);
    if (status != SLM_OK) return status;
    if (options->shared.json && !options->base) {
        json_t *root = json_pack("{s:s, s:s}", "path", options->path, "format", "peft");
        json_dumpf(root, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(root);
    } else if (!options->shared.json) {
        printf("%s: adapter for PEFT\n", options->path);
    }
    return SLM_OK;
}

static int run_export(void *context, const void *options_in, const slm_option_list *arguments)
{
    cli_app *app = context;
    const export_options *options = options_in;
    slm_error error;
    slm_status status = SLM_OK;
    char *base = NULL, *adapter = NULL;
    cli__catch_interrupts(true);
    if (!options->path) {
        slm_error_set(&error, SLM_ERR_INVALID, "where to? -o PATH names the file or folder");
        return cli__fail(app, &error);
    }
    const char *format = options->format                               ? options->format
                         : slm_file_has_ending(options->path, ".gguf") ? "gguf"
                                                                       : "safetensors";
    export_options chosen = *options;
    chosen.format = format;
    slm_open_split(arguments->items[0], &base, &adapter);
    if (strcmp(format, "peft") == 0)
        status = export_adapter(app, &chosen, base, adapter, &error);
    else if (options->base)
        status = slm_error_set(&error, SLM_ERR_INVALID, "--base goes with --format peft alone");
    else
        status = export_model(app, &chosen, base, adapter, options->path,
                              strcmp(format, "gguf") == 0, &error);
    free(base);
    free(adapter);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option export_table[] = {
    {.name = "output",
     .letter = 'o',
     .type = SLM_OPTION_FILE,
     .offset = offsetof(export_options, path),
     .value_name = "PATH",
     .help = "the folder, or with GGUF the file, that is made",
     .group = "Export"},
    {.name = "format",
     .type = SLM_OPTION_CHOICE,
     .offset = offsetof(export_options, format),
     .choices = "safetensors|gguf|peft",
     .value_name = "NAME",
     .help = "safetensors: a Hugging Face folder; gguf: one file; peft: the adapter alone "
             "(default: gguf where PATH ends so, else safetensors)"},
    {.name = "type",
     .type = SLM_OPTION_CHOICE,
     .offset = offsetof(export_options, type),
     .choices = "f32|bf16|f16|q8_0",
     .value_name = "TYPE",
     .default_text = "bf16",
     .help = "what weights are rounded to; q8_0 in GGUF alone"},
    {.name = "base",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(export_options, base),
     .value_name = "PATH",
     .help = "with --format peft: also write the base, as a folder of safetensors"},
    {.name = "weights",
     .type = SLM_OPTION_FILE,
     .offset = offsetof(export_options, weights),
     .value_name = "DIR",
     .help = "weights that were trained (OUTPUT/STAGE/best), in place of MODEL's own"},
    {.name = "max-shard",
     .type = SLM_OPTION_BYTES,
     .offset = offsetof(export_options, max_shard),
     .max = 1e18,
     .value_name = "SIZE",
     .default_text = "5G",
     .help = "safetensors larger than this become several files; 0: never"},
    {.name = "force",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(export_options, force),
     .help = "replace what is at PATH"},
    {.name = NULL},
};

const slm_command cli_command_export = {
    .name = "export",
    .usage = "MODEL[+DIR] -o PATH [options]",
    .summary = "a model or adapter for other programs: safetensors, GGUF, PEFT",
    .description =
        "Writes a model of this machine with its tokenizer and chat template as transformers or "
        "llama.cpp read it. With +DIR behind the model the LoRA adapter is merged: W + scale B A "
        "is "
        "computed in float32 and rounded once. What rounding lost of the adapter is printed, and "
        "where it is more than a few percent, the type that would keep it.\n\n"
        "The file or folder appears whole or not at all, and holds the version of slm and the "
        "SHA-256 of what it was made of. Weights are read and written piece by piece.",
    .example =
        "# the model that a recipe made, for llama.cpp\n"
        "slm export model.gguf+runs/sft/best -o ask-first.gguf --type q8_0\n"
        "# the adapter for PEFT, and the base that it lies beside\n"
        "slm export model.gguf+runs/sft/best --format peft -o adapter --base base --type f32",
    .tables = {export_table, cli_json_options, cli_common_options},
    .options_bytes = sizeof(export_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_export,
};
