/* common.c: what the commands share.
 *
 * The option tables that several commands take are here once, so that `--threads` means and says the
 * same everywhere. So are the ways of ending: an error's text goes to stderr, its status becomes the
 * exit status, a result that goes to a file appears there whole or not at all.
 *
 * Signals: a handler may only set a flag. Long work looks at it between steps, stores what it has,
 * and returns SLM_ERR_CANCELLED like any other error. */
#include "cli/cli.h"

#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include "base/buffer.h"

const char cli_default_system_text[] = "You are a helpful assistant.";

#define SHARED(field) offsetof(cli_shared, field)

const slm_option cli_common_options[] = {
    {.name = "quiet",
     .letter = 'q',
     .type = SLM_OPTION_FLAG,
     .offset = SHARED(quiet),
     .help = "only warnings and errors on stderr",
     .group = "Common"},
    {.name = "verbose",
     .letter = 'v',
     .type = SLM_OPTION_FLAG,
     .offset = SHARED(verbose),
     .help = "more about what is going on, on stderr"},
    {.name = NULL},
};

const slm_option cli_json_options[] = {
    {.name = "json",
     .type = SLM_OPTION_FLAG,
     .offset = SHARED(json),
     .help = "the result as JSON, for machines",
     .group = "Output"},
    {.name = NULL},
};

const slm_option cli_sampling_options[] = {
    {.name = "temperature",
     .type = SLM_OPTION_NUMBER,
     .offset = SHARED(temperature),
     .min = 0,
     .max = 10,
     .value_name = "T",
     .default_text = "0.7",
     .help = "randomness of the answers; 0 takes the likeliest token each time",
     .group = "Sampling"},
    {.name = "top-p",
     .type = SLM_OPTION_NUMBER,
     .offset = SHARED(top_p),
     .min = 0,
     .max = 1,
     .value_name = "P",
     .default_text = "1",
     .help = "draw from the likeliest tokens that together have probability P; 1 is off"},
    {.name = "top-k",
     .type = SLM_OPTION_INT,
     .offset = SHARED(top_k),
     .min = 0,
     .max = 1000000,
     .value_name = "N",
     .default_text = "0",
     .help = "draw from the N likeliest tokens; 0 is off"},
    {.name = "min-p",
     .type = SLM_OPTION_NUMBER,
     .offset = SHARED(min_p),
     .min = 0,
     .max = 1,
     .value_name = "P",
     .default_text = "0",
     .help = "leave out tokens below P times the likeliest one's probability; 0 is off"},
    {.name = "presence-penalty",
     .type = SLM_OPTION_NUMBER,
     .offset = SHARED(presence_penalty),
     .min = -2,
     .max = 2,
     .value_name = "X",
     .default_text = "0",
     .help = "taken from the logit of every token that the answer already has"},
    {.name = "frequency-penalty",
     .type = SLM_OPTION_NUMBER,
     .offset = SHARED(frequency_penalty),
     .min = -2,
     .max = 2,
     .value_name = "X",
     .default_text = "0",
     .help = "the same, times how often the answer has it"},
    {.name = "repetition-penalty",
     .type = SLM_OPTION_NUMBER,
     .offset = SHARED(repetition_penalty),
     .min = 0.01,
     .max = 10,
     .value_name = "X",
     .default_text = "1",
     .help = "divides the logits of tokens in prompt and answer; 1 is off"},
    {.name = "max-tokens",
     .type = SLM_OPTION_INT,
     .offset = SHARED(max_tokens),
     .min = 1,
     .max = 1000000,
     .value_name = "N",
     .default_text = "512",
     .help = "longest answer"},
    {.name = "stop",
     .type = SLM_OPTION_STRINGS,
     .offset = SHARED(stop),
     .value_name = "TEXT",
     .help = "end an answer before this text"},
    {.name = "seed",
     .type = SLM_OPTION_INT,
     .offset = SHARED(seed),
     .min = 0,
     .max = 9007199254740991.0,
     .value_name = "N",
     .default_text = "0",
     .help = "the same seed gives the same answers"},
    {.name = "thinking",
     .type = SLM_OPTION_CHOICE,
     .offset = SHARED(thinking),
     .choices = "on|off",
     .value_name = "WHEN",
     .default_text = "off",
     .help = "let a model that can think before it answers"},
    {.name = NULL},
};

const slm_option cli_machine_options[] = {
    {.name = "threads",
     .type = SLM_OPTION_INT,
     .offset = SHARED(threads),
     .min = 0,
     .max = 256,
     .value_name = "N",
     .default_text = "0",
     .help = "threads to compute with; 0 takes every core; the answers do not depend on it",
     .group = "Machine"},
    {.name = "batch",
     .type = SLM_OPTION_INT,
     .offset = SHARED(batch),
     .min = 0,
     .max = 4096,
     .value_name = "N",
     .default_text = "0",
     .help = "answers computed at once; 0 takes 32; the answers do not depend on it"},
    {.name = "memory",
     .type = SLM_OPTION_BYTES,
     .offset = SHARED(memory),
     .value_name = "BYTES",
     .default_text = "0",
     .help =
         "for keys and values of past tokens (512M, 2G); 0 takes what the batch needs up to 512M"},
    {.name = "ctx",
     .type = SLM_OPTION_INT,
     .offset = SHARED(context),
     .min = 0,
     .max = 16777216,
     .value_name = "N",
     .default_text = "0",
     .help = "longest prompt and answer together, in tokens; 0 takes the model's own"},
    CLI_COMPUTE_ROWS(
        "quantised weights: keep them as the file has them, in less memory, or widen them at load; "
        "auto keeps them where that is no slower, or widened they would not fit into free memory; "
        "the answers do not depend on it"),
    {.name = "template",
     .type = SLM_OPTION_STRING,
     .offset = SHARED(template_name),
     .value_name = "NAME",
     .help = "the chat template; left out, the model's own"},
    {.name = "prefix-sharing",
     .type = SLM_OPTION_FLAG,
     .offset = SHARED(prefix_sharing),
     .default_text = "true",
     .help = "compute a prompt once for all its answers; without it they are the same"},
    {.name = NULL},
};

const slm_option cli_judge_options[] = {
    {.name = "judge-template",
     .type = SLM_OPTION_FILE,
     .offset = SHARED(judge_template),
     .value_name = "FILE",
     .help = "what a MODEL that judges is asked, with <<conversation>> and <<rubric_item>> in it",
     .group = "Judge"},
    {.name = "judge-system",
     .type = SLM_OPTION_STRING,
     .offset = SHARED(judge_system),
     .value_name = "TEXT|@FILE",
     .help = "the judge's system text; left out, none is sent"},
    {.name = "judge-temperature",
     .type = SLM_OPTION_NUMBER,
     .offset = SHARED(judge_temperature),
     .min = 0,
     .max = 10,
     .value_name = "T",
     .default_text = "0",
     .help = "randomness of its verdicts; a reply without one is asked for again at 0.5 or more"},
    {.name = "judge-max-tokens",
     .type = SLM_OPTION_INT,
     .offset = SHARED(judge_max_tokens),
     .min = 1,
     .max = 1000000,
     .value_name = "N",
     .default_text = "1024",
     .help = "longest verdict with its reason, and its thoughts where it thinks"},
    {.name = "judge-seed",
     .type = SLM_OPTION_INT,
     .offset = SHARED(judge_seed),
     .min = 0,
     .max = 9007199254740991.0,
     .value_name = "N",
     .default_text = "0",
     .help = "the same seed gives the same verdicts, as far as the model allows"},
    {.name = "judge-thinking",
     .type = SLM_OPTION_CHOICE,
     .offset = SHARED(judge_thinking),
     .choices = "on|off",
     .value_name = "WHEN",
     .default_text = "off",
     .help = "let a judge that can think before it decides"},
    {.name = NULL},
};

int cli__fail(cli_app *app, const slm_error *error)
{
    slm_log_print(&app->log, SLM_LOG_ERROR, "%s", error->message);
    return error->status == SLM_ERR_INVALID ? CLI_WRONG_USE : CLI_FAILED;
}

slm_chat_sampling cli__sampling(const cli_shared *shared)
{
    slm_chat_sampling sampling = slm_chat_sampling_default();
    sampling.temperature = shared->temperature;
    sampling.top_p = shared->top_p;
    sampling.top_k = shared->top_k;
    sampling.min_p = shared->min_p;
    sampling.presence_penalty = shared->presence_penalty;
    sampling.frequency_penalty = shared->frequency_penalty;
    sampling.repetition_penalty = shared->repetition_penalty;
    sampling.max_tokens = shared->max_tokens;
    sampling.seed = shared->seed;
    sampling.thinking = strcmp(shared->thinking, "on") == 0;
    sampling.stop = shared->stop.items;
    sampling.stop_count = shared->stop.count;
    return sampling;
}

slm_open_options cli__open_options(const cli_shared *shared)
{
    return (slm_open_options){
        .dtype = shared->dtype,
        .quantised = shared->quantised,
        .kernels = shared->kernels,
        .device = shared->device,
        .template = shared->template_name,
        .threads = (int)shared->threads,
        .batch = (int)shared->batch,
        .context = (int)shared->context,
        .cache_bytes = shared->memory,
        .no_prefix_sharing = !shared->prefix_sharing,
        .remote = shared->remote->started ? &shared->remote->settings : NULL,
        .record = shared->remote->record,
    };
}

slm_status cli__open_judges(cli_app *app, const cli_shared *shared, const char *fallback,
                            slm_judge **out, slm_error *err)
{
    slm_judge_options options = slm_judge_options_default();
    options.sampling.temperature = shared->judge_temperature;
    options.sampling.max_tokens = shared->judge_max_tokens;
    options.sampling.seed = shared->judge_seed;
    options.sampling.thinking = strcmp(shared->judge_thinking, "on") == 0;
    if (shared->judge_system != NULL)
        SLM_TRY(cli__text_or_file(app, shared->judge_system, &options.system_text, err));
    if (shared->judge_template != NULL) {
        slm_buffer path = {0};
        slm_buffer_printf(&path, "@%s", shared->judge_template);
        options.template_name = shared->judge_template;
        slm_status status =
            cli__text_or_file(app, slm_buffer_text(&path), &options.template_text, err);
        slm_buffer_free(&path);
        if (status != SLM_OK) return status;
    }
    slm_open_options open = cli__open_options(shared);
    if (shared->judges.count > 0)
        return slm_open_judges(shared->judges.items, shared->judges.count, &open, &options, out,
                               err);
    if (fallback == NULL)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "which judge? Name it: rule, rule+ENCODER, or a MODEL");
    return slm_open_judge(fallback, &open, &options, out, err);
}

void cli__log_judge(cli_app *app, const slm_judge *judge)
{
    const slm_judge_tally *t = &judge->tally;
    if (!judge->is_costly || t->verdicts == 0) return;
    for (size_t m = 0; m < judge->member_count; m++)
        cli__log_judge(app, judge->members[m]);
    slm_log_level level = t->unscored > 0 ? SLM_LOG_WARNING : SLM_LOG_INFO;
    if (judge->member_count > 0) {
        slm_log_print(&app->log, level,
                      "%s: %" PRIu64 " verdicts, of one mind on %" PRIu64 ", by vote on %" PRIu64
                      ", %" PRIu64 " unscored for want of a majority",
                      judge->name, t->verdicts, t->unanimous, t->majority, t->unscored);
        return;
    }
    slm_buffer text = {0};
    slm_buffer_printf(&text,
                      "judge %s: %" PRIu64 " verdicts, %" PRIu64
                      " of them known from before, %" PRIu64 " calls",
                      judge->name, t->verdicts, t->cached, t->calls);
    if (t->asked_again > 0)
        slm_buffer_printf(&text, ", %" PRIu64 " of them to ask again", t->asked_again);
    slm_buffer_printf(&text, ", %" PRIu64 " unscored", t->unscored);
    slm_log_print(&app->log, level, "%s", slm_buffer_text(&text));
    slm_buffer_free(&text);
}

slm_status cli__check_model(const char *model, const slm_open_options *open, slm_error *err)
{
    size_t len = strlen(model);
    if (len > 5 && strcmp(model + len - 5, ".gguf") == 0) {
        slm_tokenizer *tokenizer = NULL;
        SLM_TRY(slm_open_tokenizer(model, &tokenizer, err));
        slm_tokenizer_free(tokenizer);
        return SLM_OK;
    }
    slm_chat *chat = NULL;
    SLM_TRY(slm_open_chat(model, open, &chat, err));
    slm_chat_free(chat);
    return SLM_OK;
}

slm_status cli__text_or_file(cli_app *app, const char *argument, const char **out, slm_error *err)
{
    if (argument[0] != '@') {
        *out = argument;
        return SLM_OK;
    }
    slm_buffer text = {0};
    slm_status status = slm_file_read(argument + 1, 1u << 20, &text, err);
    if (status == SLM_OK && strlen(slm_buffer_text(&text)) != text.len) {
        status =
            slm_error_set(err, SLM_ERR_FORMAT, "%s: not a text (it has a zero byte)", argument + 1);
    }
    if (status == SLM_OK) {
        if (text.len > 0 && text.data[text.len - 1] == '\n')
            slm_buffer_truncate(&text, text.len - 1);
        *out = slm_arena_strdup(&app->arena, slm_buffer_text(&text));
    }
    slm_buffer_free(&text);
    return status;
}

slm_status cli__output_open(const char *path, cli_output *out, slm_error *err)
{
    *out = (cli_output){.stream = stdout, .path = path};
    if (path == NULL || strcmp(path, "-") == 0) return SLM_OK;
    SLM_TRY(slm_file_writer_open(path, &out->writer, err));
    out->stream = slm_file_writer_stream(out->writer);
    return SLM_OK;
}

slm_status cli__output_commit(cli_output *output, slm_log *log, slm_error *err)
{
    if (output->writer == NULL) return SLM_OK;
    slm_file_writer *writer = output->writer;
    output->writer = NULL;
    SLM_TRY(slm_file_writer_commit(writer, err));
    slm_log_print(log, SLM_LOG_INFO, "wrote %s", output->path);
    return SLM_OK;
}

void cli__output_abort(cli_output *output)
{
    slm_file_writer_abort(output->writer);
    output->writer = NULL;
}

void cli__bytes_text(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

volatile bool cli_interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    cli_interrupted = true;
}

void cli__catch_interrupts(bool once)
{
    /* Without SA_RESTART, so that a read from the terminal returns. */
    struct sigaction action = {.sa_handler = on_interrupt,
                               .sa_flags = once ? (int)SA_RESETHAND : 0};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    /* A conversation has nothing to store: SIGTERM ends it as it ends any program. */
    if (once) sigaction(SIGTERM, &action, NULL);
}
