/* cmd_perplexity.c: `slm perplexity`: how well models foretell plain texts, and against the first.
 *
 * Texts are read and cut into windows for every model before the first is loaded: a wrong name costs
 * nothing, and the time left is that of all. Models are loaded one after the other, so that one is in
 * memory at a time; its engine holds the pages of one window. What is computed, and over what the
 * intervals are, stands in engine/perplexity.c. */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/progress.h"
#include "base/utf8.h"

enum {
    BATCH = 64, /* tokens computed at once: their logits take 4 bytes a token of the vocabulary */
    FEW_WINDOWS = 20, /* a bootstrap over fewer is too narrow to be silent about */
    TEXT_BYTES_MAX = 1 << 30,
};

typedef struct perplexity_options {
    cli_shared shared;
    slm_option_list texts;
    int64_t limit;
} perplexity_options;

typedef struct text_file {
    const char *name;
    slm_buffer content;
    const char *text; /* of it, behind a byte order mark */
    size_t len;
} text_file;

/* A MODEL and what was found. */
typedef struct measured {
    const char *model;
    slm_windows windows;
    slm_perplexity result;
    bool compared; /* with the first: both have the same windows */
    double change;
    slm_interval interval;
    const char *kernels;
} measured;

typedef struct job {
    cli_app *app;
    const perplexity_options *options;
    text_file *texts;
    measured *models;
    size_t text_count, model_count;
    slm_progress *progress; /* begun with the first window */
    uint64_t done, total;   /* tokens, over all models */
} job;

/* ---- texts and windows ------------------------------------------------------------------------- */

static slm_status read_text(const char *path, text_file *file, slm_error *err)
{
    file->name = strcmp(path, "-") == 0 ? "standard input" : path;
    SLM_TRY(slm_file_read(path, TEXT_BYTES_MAX, &file->content, err));
    const char *text = slm_buffer_text(&file->content);
    size_t len = file->content.len, at = 0;
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3, len -= 3;
    if (len == 0)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: is empty; --text wants a text in UTF-8",
                             file->name);
    const char *zero = memchr(text, '\0', len);
    if (zero != NULL)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: not a text (byte %zu is zero); --text wants plain text in UTF-8",
                             file->name, (size_t)(zero - file->content.data) + 1);
    if (!slm_utf8_valid(text, len, &at))
        return slm_error_set(
            err, SLM_ERR_FORMAT,
            "%s: byte %zu is not UTF-8; if the text is in Latin-1, convert it with "
            "`iconv -f latin1 -t utf-8`",
            file->name, (size_t)(text + at - file->content.data) + 1);
    for (size_t used; at < len; at += used) {
        uint32_t codepoint;
        used = slm_utf8_decode(text + at, len - at, &codepoint);
        if (!slm_utf8_is_space(codepoint)) break;
    }
    if (at == len)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: holds no text, only white space",
                             file->name);
    file->text = text;
    file->len = len;
    return SLM_OK;
}

/* A MODEL that is there, its weights not yet read; or what is wrong with it. */
static slm_status open_tokenizer(const char *model, const slm_open_options *open,
                                 slm_tokenizer **out, slm_error *err)
{
    char *base = NULL, *adapter = NULL;
    slm_status status = SLM_OK;
    if (slm_remote_is(model) || strncmp(model, "recorded:", strlen("recorded:")) == 0)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: gives no probabilities of a text that it did not write itself; "
                             "perplexity wants a model on this machine: a .gguf file or a Hugging "
                             "Face folder, either with +DIR for an adapter",
                             model);
    slm_open_split(model, &base, &adapter);
    if (!slm_file_exists(base)) { /* in the words of every command */
        slm_chat *chat = NULL;
        SLM_TRY_OUT(slm_open_chat(model, open, &chat, err));
        slm_chat_free(chat);
    }
    if (adapter != NULL) SLM_TRY_OUT(slm_model_find_adapter(adapter, err));
    SLM_TRY_OUT(slm_open_tokenizer(base, out, err));
out:
    free(base);
    free(adapter);
    return status;
}

static slm_status cut(const job *j, measured *m, const slm_open_options *open, slm_error *err)
{
    const size_t context = (size_t)j->options->shared.context;
    slm_tokenizer *tokenizer = NULL;
    slm_status status;
    SLM_TRY_OUT(open_tokenizer(m->model, open, &tokenizer, err));
    for (size_t i = 0; i < j->text_count; i++) {
        status = slm_windows_add(&m->windows, tokenizer, j->texts[i].text, j->texts[i].len, context,
                                 (size_t)j->options->limit, err);
        if (status != SLM_OK) {
            slm_error_prefix(err, status, "%s", j->texts[i].name);
            goto out;
        }
    }
    if (m->windows.count == 0)
        status = slm_error_set(err, SLM_ERR_FORMAT,
                               "nothing to score: for %s the texts are %zu tokens, and a window "
                               "wants two; give more text%s",
                               m->model, m->windows.text_tokens,
                               j->options->limit > 0 ? ", or a higher --limit" : "");
out:
    slm_tokenizer_free(tokenizer);
    return status;
}

/* ---- scores ------------------------------------------------------------------------------------ */

/* An engine for one window. */
static slm_status open_engine(const job *j, slm_chat *chat, slm_engine **out, slm_error *err)
{
    const cli_shared *shared = &j->options->shared;
    slm_model *model = slm_open_model(chat);
    const uint64_t pages = (uint64_t)shared->context / SLM_PAGE_TOKENS + 2;
    slm_engine_options engine = slm_engine_options_default();
    engine.batch = shared->batch > 0 ? (int32_t)shared->batch : BATCH;
    engine.chunk = 1; /* nothing is generated */
    engine.context = (int32_t)shared->context;
    engine.cache_bytes = pages * slm_kv_page_bytes(slm_model_kv_shape(model));
    return slm_engine_new(model, slm_open_chat_tokenizer(chat), &engine, out, err);
}

static slm_status score(job *j, measured *m, const slm_open_options *open, slm_error *err)
{
    slm_chat *chat = NULL;
    slm_engine *engine = NULL;
    slm_status status;
    SLM_TRY_OUT(slm_open_chat(m->model, open, &chat, err));
    status = open_engine(j, chat, &engine, err);
    if (status == SLM_OK && j->progress == NULL)
        j->progress = slm_progress_new(&j->app->log, "perplexity", "tokens", j->total, 0);
    for (size_t i = 0; i < m->windows.count && status == SLM_OK && !cli_interrupted; i++) {
        status = slm_windows_score(&m->windows, i, engine, err);
        j->done += m->windows.items[i].len;
        slm_progress_update(j->progress, j->done, m->model);
    }
    if (status != SLM_OK) {
        slm_error_prefix(err, status, "%s", m->model);
    } else if (cli_interrupted) {
        status = slm_error_set(err, SLM_ERR_CANCELLED, "interrupted; there is no result");
    } else {
        m->kernels = slm_device_kernels(slm_open_device(chat));
        m->result = slm_windows_perplexity(&m->windows);
        m->compared = m != j->models && slm_windows_change(&j->models->windows, &m->windows,
                                                           &m->change, &m->interval);
    }
out:
    slm_engine_free(engine);
    slm_chat_free(chat);
    return status;
}

static slm_status measure(job *j, slm_error *err)
{
    slm_open_options open = cli__open_options(&j->options->shared);
    slm_status status = SLM_OK;
    open.batch = 1; /* the engine that scores is another one */
    open.context = 2;
    open.template = "chatml"; /* not used: a text is no conversation */
    for (size_t i = 0; i < j->model_count; i++) {
        SLM_TRY(cut(j, &j->models[i], &open, err));
        j->total += j->models[i].windows.tokens.len;
    }
    for (size_t i = 0; i < j->model_count && status == SLM_OK; i++)
        status = score(j, &j->models[i], &open, err);
    slm_progress_finish(j->progress);
    return status;
}

/* ---- telling ----------------------------------------------------------------------------------- */

static void interval_text(slm_interval interval, double factor, const char *format, char out[48])
{
    char low[20], high[20];
    snprintf(out, 48, "-");
    if (isnan(interval.low)) return;
    snprintf(low, sizeof low, format, factor * interval.low);
    snprintf(high, sizeof high, format, factor * interval.high);
    snprintf(out, 48, "[%s, %s]", low, high);
}

static void print_text(const job *j)
{
    const bool several = j->model_count > 1;
    printf("%9s %10s  %-20s %9s  ", "tokens", "perplexity", "95% interval", "bits/byte");
    if (several) printf("%9s  %-20s ", "change", "95% interval");
    puts("model");
    for (size_t i = 0; i < j->model_count; i++) {
        const measured *m = &j->models[i];
        char text[48], change[24] = "-", interval[48] = "-";
        interval_text(m->result.interval, 1, "%.3f", text);
        printf("%9zu %10.3f  %-20s %9.4f  ", m->result.tokens, m->result.perplexity, text,
               m->result.bits_per_byte);
        if (m->compared) {
            snprintf(change, sizeof change, "%+.2f%%", 100 * m->change);
            interval_text(m->interval, 100, "%+.2f%%", interval);
        }
        if (several) printf("%9s  %-20s ", i == 0 ? "" : change, i == 0 ? "" : interval);
        puts(m->model);
    }
}

static json_t *interval_json(slm_interval interval, double factor)
{
    if (isnan(interval.low)) return json_null();
    return json_pack("[f, f]", factor * interval.low, factor * interval.high);
}

static json_t *model_json(const measured *m, bool first)
{
    const slm_perplexity *r = &m->result;
    json_t *model = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:o, s:f}", "model", m->model, "kernels", m->kernels,
        "windows", (json_int_t)m->windows.count, "tokens", (json_int_t)r->tokens, "bytes",
        (json_int_t)r->bytes, "nll_nats", r->nll, "perplexity", r->perplexity,
        "perplexity_interval", interval_json(r->interval, 1), "bits_per_byte", r->bits_per_byte);
    if (first) return model;
    json_object_set_new(model, "change_percent",
                        m->compared ? json_real(100 * m->change) : json_null());
    json_object_set_new(model, "change_interval",
                        m->compared ? interval_json(m->interval, 100) : json_null());
    return model;
}

static void print_json(const job *j)
{
    json_t *texts = json_array(), *models = json_array();
    for (size_t i = 0; i < j->text_count; i++)
        json_array_append_new(texts, json_pack("{s:s, s:I}", "text", j->texts[i].name, "bytes",
                                               (json_int_t)j->texts[i].len));
    for (size_t i = 0; i < j->model_count; i++)
        json_array_append_new(models, model_json(&j->models[i], i == 0));
    json_t *root =
        json_pack("{s:o, s:I, s:I, s:s, s:f, s:o}", "texts", texts, "ctx",
                  (json_int_t)j->options->shared.context, "limit", (json_int_t)j->options->limit,
                  "dtype", j->options->shared.dtype, "level", 0.95, "models", models);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    putchar('\n');
    json_decref(root);
}

static void tell(const job *j)
{
    slm_log *log = &j->app->log;
    const size_t windows = j->models[0].windows.count;
    if (windows < FEW_WINDOWS)
        slm_log_print(log, SLM_LOG_WARNING,
                      "%zu window%s: intervals over so few %s; more text helps", windows,
                      windows == 1 ? "" : "s", windows == 1 ? "there are not" : "are too narrow");
    for (size_t i = 1; i < j->model_count; i++)
        if (!j->models[i].compared)
            slm_log_print(log, SLM_LOG_WARNING,
                          "%s cuts the texts into other tokens than %s: compare their bits per "
                          "byte, not their perplexities",
                          j->models[i].model, j->models[0].model);
    if (j->options->shared.json) {
        print_json(j);
    } else {
        print_text(j);
    }
}

/* ---- the command ------------------------------------------------------------------------------- */

static int run_perplexity(void *context, const void *options_in, const slm_option_list *arguments)
{
    const perplexity_options *options = options_in;
    cli_app *app = context;
    slm_error error;
    slm_status status = SLM_OK;
    job j = {.app = app,
             .options = options,
             .texts = slm_arena_array(&app->arena, options->texts.count + 1, sizeof *j.texts),
             .models = slm_arena_array(&app->arena, arguments->count, sizeof *j.models),
             .text_count = options->texts.count,
             .model_count = arguments->count};
    cli__catch_interrupts(true);
    for (size_t i = 0; i < arguments->count; i++)
        j.models[i].model = arguments->items[i];
    if (j.text_count == 0) {
        status = slm_error_set(&error, SLM_ERR_INVALID,
                               "which text? Name a file of plain text in UTF-8: --text FILE");
        goto out;
    }
    for (size_t i = 0; i < j.text_count; i++)
        SLM_TRY_OUT(read_text(options->texts.items[i], &j.texts[i], &error));
    SLM_TRY_OUT(measure(&j, &error));
    tell(&j);
out:
    for (size_t i = 0; i < j.text_count; i++)
        slm_buffer_free(&j.texts[i].content);
    for (size_t i = 0; i < j.model_count; i++)
        slm_windows_free(&j.models[i].windows);
    return status == SLM_OK ? CLI_DONE : cli__fail(app, &error);
}

static const slm_option perplexity_table[] = {
    {.name = "text",
     .type = SLM_OPTION_FILES,
     .offset = offsetof(perplexity_options, texts),
     .value_name = "FILE",
     .help = "plain text in UTF-8; - is stdin",
     .group = "Texts"},
    {.name = "ctx",
     .type = SLM_OPTION_INT,
     .offset = offsetof(cli_shared, context),
     .min = 2,
     .max = 16777216,
     .value_name = "N",
     .default_text = "512",
     .help = "tokens of a window; figures of different windows are not comparable"},
    {.name = "limit",
     .type = SLM_OPTION_INT,
     .offset = offsetof(perplexity_options, limit),
     .min = 0,
     .max = 9007199254740991.0,
     .value_name = "N",
     .default_text = "0",
     .help = "take the first N tokens of the texts alone; 0 takes all"},
    {.name = NULL},
};

/* Those of cli_machine_options that are honoured here. */
static const slm_option machine_table[] = {
    {.name = "threads",
     .type = SLM_OPTION_INT,
     .offset = offsetof(cli_shared, threads),
     .min = 0,
     .max = 256,
     .value_name = "N",
     .default_text = "0",
     .help = "threads to compute with; 0 takes every core; the figures do not depend on it",
     .group = "Machine"},
    {.name = "batch",
     .type = SLM_OPTION_INT,
     .offset = offsetof(cli_shared, batch),
     .min = 0,
     .max = 4096,
     .value_name = "N",
     .default_text = "0",
     .help = "tokens computed at once; 0 takes 64; the figures do not depend on it"},
    CLI_COMPUTE_ROWS(
        "quantised weights: keep them as the file has them, or widen them at load; the "
        "figures do not depend on it"),
    {.name = NULL},
};

const slm_command cli_command_perplexity = {
    .name = "perplexity",
    .usage = "MODEL... --text FILE [options]",
    .summary = "how well models foretell plain text, and what training cost",
    .description =
        "Cuts the texts into windows of --ctx tokens, scores each by itself, and prints for each "
        "MODEL the perplexity with an interval over windows, and the bits per byte. For a MODEL "
        "behind the first it also prints by how much its perplexity is above the first's, in "
        "percent, with an interval over pairs of windows: what a training cost in text that it was "
        "not about.\n\n"
        "Every token of a window is scored but its first, given those before it in the window; in "
        "front stands the token of the beginning, where the tokenizer adds one. A text's last "
        "window may be shorter. No chat template is put around anything. llama.cpp's perplexity "
        "scores only the second half of each window and leaves a short last one out, so its figure "
        "for the same text is usually lower.\n\n"
        "Perplexities compare where texts, --ctx and tokenizer are the same. Bits per byte also "
        "compare models whose tokenizers cut differently.",
    .example = "# what a speciality cost in general text\n"
               "slm perplexity base.gguf runs/ask-first/sft/model --text general.txt\n"
               "# the first 20,000 tokens of two texts, for a program\n"
               "slm perplexity model.gguf --text a.txt --text b.txt --limit 20000 --json",
    .tables = {perplexity_table, machine_table, cli_json_options, cli_common_options},
    .options_bytes = sizeof(perplexity_options),
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run_perplexity,
};
