/* local.c: a model file of ours as a chat: template and tokenizer in front of an engine.
 *
 * The conversation is rendered by the model's template straight to ids; the reply's ids and
 * log-probabilities are handed out as they were sampled. Polling drives the engine. */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/progress.h"
#include "open_internal.h"
#include "provider/record.h"

enum { STOP_TOKENS = 8 };

typedef struct local_ticket {
    struct local_ticket *next;
    uint64_t ticket, request; /* the chat's and the engine's name for it */
    uint32_t left;            /* replies still to come */
    bool want_trace;
    slm_tokens prompt;
    void (*on_text)(void *context, uint32_t index, const char *text, size_t len);
    void *context;
} local_ticket;

typedef struct local_chat {
    slm_chat base; /* first */
    slm_device *device;
    slm_model *model;
    slm_tokenizer *tokenizer;
    const slm_template *tmpl;
    slm_engine *engine;
    local_ticket *tickets;
} local_chat;

static void forward_text(void *context, uint32_t sample, const char *text, size_t len)
{
    local_ticket *t = context;
    t->on_text(t->context, sample, text, len);
}

static void free_ticket(local_ticket *t)
{
    if (!t) return;
    slm_tokens_free(&t->prompt);
    free(t);
}

static slm_status render(local_chat *c, const slm_chat_request *r, slm_tokens *out, slm_error *err)
{
    slm_text_message *messages = calloc(r->message_count, sizeof *messages);
    if (!messages) slm_out_of_memory(r->message_count * sizeof *messages);
    for (size_t i = 0; i < r->message_count; i++)
        messages[i] = (slm_text_message){r->messages[i].role, r->messages[i].content};
    slm_template_options options = slm_template_options_default();
    options.thinking = r->sampling.thinking;
    slm_status status = slm_template_render(c->tmpl, c->tokenizer, messages, r->message_count,
                                            &options, out, NULL, err);
    free(messages);
    return status;
}

static slm_status check_supported(const local_chat *c, const slm_chat_request *r, slm_error *err)
{
    if (r->json_schema && r->sampling.thinking)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: a reply held to a JSON schema leaves no room to think first; use "
                             "--thinking off",
                             c->base.name);
    if (r->sampling.thinking && !slm_template_thinks(c->tmpl))
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: the template '%s' has no thinking; use --thinking off",
                             c->base.name, slm_template_name(c->tmpl));
    return SLM_OK;
}

static slm_status local_submit(slm_chat *base, const slm_chat_request *r, uint64_t ticket,
                               slm_error *err)
{
    local_chat *c = (local_chat *)base;
    const slm_chat_sampling *s = &r->sampling;
    const char *case_id = r->case_id ? r->case_id : "";
    slm_status status = SLM_OK;
    slm_token stops[STOP_TOKENS];
    local_ticket *t = calloc(1, sizeof *t);
    if (!t) slm_out_of_memory(sizeof *t);
    SLM_TRY_OUT(check_supported(c, r, err));
    SLM_TRY_OUT(render(c, r, &t->prompt, err));
    t->ticket = ticket;
    t->left = r->n;
    t->want_trace = r->want_trace;
    t->on_text = r->on_text;
    t->context = r->context;
    slm_generate g = {.prompt = t->prompt.ids,
                      .prompt_len = t->prompt.len,
                      .samples = r->n,
                      .first_rollout = r->first_rollout,
                      .seed = (uint64_t)s->seed,
                      .stream = slm_hash_bytes(case_id, strlen(case_id)),
                      .max_tokens = s->max_tokens > INT32_MAX ? INT32_MAX : (int32_t)s->max_tokens,
                      .stop_tokens = stops,
                      .stop = s->stop,
                      .stop_count = s->stop_count,
                      .json_schema = r->json_schema,
                      .on_text = r->on_text ? forward_text : NULL,
                      .context = t};
    g.sampling = (slm_sample_options){.temperature = (float)s->temperature,
                                      .top_k = s->top_k > INT32_MAX ? 0 : (int32_t)s->top_k,
                                      .top_p = (float)s->top_p,
                                      .min_p = (float)s->min_p,
                                      .presence_penalty = (float)s->presence_penalty,
                                      .frequency_penalty = (float)s->frequency_penalty,
                                      .repetition_penalty = (float)s->repetition_penalty};
    g.stop_token_count = slm_template_stop_tokens(c->tmpl, c->tokenizer, stops, STOP_TOKENS);
    SLM_TRY_OUT(slm_engine_submit(c->engine, &g, &t->request, err));
    t->next = c->tickets;
    c->tickets = t;
    t = NULL;
out:
    free_ticket(t);
    return status;
}

static slm_chat_finish finish_of(slm_finish finish)
{
    switch (finish) {
    case SLM_FINISH_STOP:
        return SLM_CHAT_STOP;
    case SLM_FINISH_LENGTH:
        return SLM_CHAT_LENGTH;
    case SLM_FINISH_CANCELLED:
        return SLM_CHAT_CANCELLED;
    case SLM_FINISH_ERROR:
        break;
    }
    return SLM_CHAT_ERROR;
}

static slm_chat_trace *make_trace(const local_ticket *t, slm_generated *g)
{
    slm_chat_trace *trace = calloc(1, sizeof *trace);
    if (!trace) slm_out_of_memory(sizeof *trace);
    size_t bytes = t->prompt.len * sizeof *trace->prompt_ids;
    trace->prompt_ids = malloc(bytes);
    if (!trace->prompt_ids) slm_out_of_memory(bytes);
    memcpy(trace->prompt_ids, t->prompt.ids, bytes);
    trace->prompt_len = t->prompt.len;
    trace->reply_ids = g->ids.ids;
    trace->logprobs = g->logprobs;
    trace->reply_len = g->ids.len;
    g->ids = (slm_tokens){0};
    g->logprobs = NULL;
    return trace;
}

/* A thinking model writes "<think> ... </think>" before its answer: the first is reasoning. A
 * thought that was cut off leaves no answer. */
static void split_reasoning(slm_chat_reply *reply)
{
    static const char open[] = "<think>", close[] = "</think>";
    char *begin = reply->text + strspn(reply->text, " \n");
    if (strncmp(begin, open, strlen(open)) != 0) return;
    begin += strlen(open);
    begin += strspn(begin, "\n");
    char *end = strstr(begin, close), *text = end ? end + strlen(close) : begin + strlen(begin);
    size_t len = end ? (size_t)(end - begin) : strlen(begin);
    while (len > 0 && begin[len - 1] == '\n')
        len--;
    reply->reasoning = strndup(begin, len);
    text += strspn(text, "\n");
    char *rest = strdup(text);
    if (!reply->reasoning || !rest) slm_out_of_memory(len);
    free(reply->text);
    reply->text = rest;
}

/* Turn an engine's sample into a reply; frees the sample, and the ticket with its last reply. */
static slm_chat_reply *make_reply(local_chat *c, slm_generated *g)
{
    local_ticket **at = &c->tickets;
    while ((*at)->request != g->request)
        at = &(*at)->next;
    local_ticket *t = *at;
    slm_chat_reply *reply = calloc(1, sizeof *reply);
    if (!reply) slm_out_of_memory(sizeof *reply);
    reply->ticket = t->ticket;
    reply->index = g->sample;
    reply->finish = finish_of(g->finish);
    reply->text = g->text;
    g->text = NULL;
    if (slm_template_thinks(c->tmpl)) split_reasoning(reply);
    reply->prompt_tokens = (int64_t)t->prompt.len;
    reply->cached_tokens = 0;
    reply->reply_tokens = (int64_t)g->ids.len;
    reply->reasoning_tokens = 0;
    reply->time_s = g->time_s;
    if (reply->finish == SLM_CHAT_ERROR)
        slm_error_set(&reply->error, SLM_ERR_FORMAT,
                      "%s: the model's logits are not finite; the file may be damaged",
                      c->base.name);
    if (t->want_trace) reply->trace = make_trace(t, g);
    slm_generated_free(g);
    if (--t->left == 0) {
        *at = t->next;
        free_ticket(t);
    }
    return reply;
}

static slm_status local_poll(slm_chat *base, int timeout_ms, slm_chat_reply **reply, slm_error *err)
{
    local_chat *c = (local_chat *)base;
    double end_s = slm_progress_clock_s() + timeout_ms / 1000.0;
    *reply = NULL;
    for (;;) {
        slm_generated *g = slm_engine_poll(c->engine);
        if (g) {
            *reply = make_reply(c, g);
            return SLM_OK;
        }
        bool worked = false;
        SLM_TRY(slm_engine_step(c->engine, &worked, err));
        if (!worked) return SLM_OK;
        if (timeout_ms >= 0 && slm_progress_clock_s() >= end_s) {
            g = slm_engine_poll(c->engine);
            if (g) *reply = make_reply(c, g);
            return SLM_OK;
        }
    }
}

static void local_cancel(slm_chat *base, uint64_t ticket)
{
    local_chat *c = (local_chat *)base;
    for (local_ticket *t = c->tickets; t; t = t->next)
        if (t->ticket == ticket) slm_engine_cancel(c->engine, t->request);
}

static void local_free(slm_chat *base)
{
    local_chat *c = (local_chat *)base;
    while (c->tickets) {
        local_ticket *next = c->tickets->next;
        free_ticket(c->tickets);
        c->tickets = next;
    }
    slm_engine_free(c->engine);
    slm_model_free(c->model);
    slm_tokenizer_free(c->tokenizer);
    slm_device_close(c->device);
    free(c->base.name);
    free(c->base.identity);
    free(c);
}

static const slm_chat_class local_class = {local_submit, local_poll, local_cancel, local_free};

/* ---- opening ------------------------------------------------------------------------------- */

static char *copy_text(const char *text, size_t len)
{
    char *copy = strndup(text, len);
    if (!copy) slm_out_of_memory(len);
    return copy;
}

/* Folders that training leaves in a stage: what they hold is told apart by the stage. */
static bool is_of_stage(const char *name, size_t len)
{
    static const char *const names[] = {"best", "last", "interpolated", "model"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && memcmp(name, names[i], len) == 0) return true;
    return false;
}

/* The file's or folder's name without what stands before it, its extension, and slashes behind; of
 * STAGE/best and its like, the stage's. */
char *open__name_of(const char *path)
{
    size_t end = strlen(path), len;
    const char *base;
    for (;;) {
        while (end > 1 && path[end - 1] == '/')
            end--;
        base = path + end;
        while (base > path && base[-1] != '/')
            base--;
        len = (size_t)(path + end - base);
        if (!is_of_stage(base, len)) break;
        const size_t above = (size_t)(base - path);
        if (above < 2 || path[above - 2] == '.' || path[above - 2] == '/') break; /* ./model */
        end = above;
    }
    if (len > 5 && strncmp(base + len - 5, ".gguf", 5) == 0) len -= 5;
    return copy_text(base, len);
}

void slm_open_split(const char *model, char **base, char **adapter)
{
    const char *plus = slm_file_exists(model) ? NULL : strrchr(model, '+');
    *base = copy_text(model, plus ? (size_t)(plus - model) : strlen(model));
    *adapter = plus ? copy_text(plus + 1, strlen(plus + 1)) : NULL;
}

/* Hash a file of the model's folder, or its absence. */
slm_status open__hash_member(slm_sha256 *hash, const char *folder, const char *name, slm_error *err)
{
    char hex[SLM_SHA256_HEX_BYTES] = "";
    slm_buffer path = {0};
    slm_file_join(&path, folder, name);
    slm_status status = SLM_OK;
    if (slm_file_exists(slm_buffer_text(&path)))
        status = slm_sha256_file(slm_buffer_text(&path), hex, err);
    slm_sha256_update_part(hash, hex);
    slm_buffer_free(&path);
    return status;
}

/* What decides the replies besides messages, sampling and seed. Not whether quantised weights are
 * kept: they give the same to the bit. */
static slm_status make_identity(const local_chat *c, slm_tensors *file, const char *adapter,
                                const char *dtype, char **out, slm_error *err)
{
    static const char *const members[] = {"config.json", "tokenizer.json", "tokenizer_config.json"};
    char hex[SLM_SHA256_HEX_BYTES], adapter_hex[SLM_SHA256_HEX_BYTES] = "";
    const char *content = NULL, *folder = slm_tensors_folder(file);
    slm_status status = SLM_OK;
    slm_sha256 *hash = slm_sha256_new();
    SLM_TRY_OUT(slm_tensors_sha256(file, &content, err));
    if (adapter) SLM_TRY_OUT(slm_model_adapter_sha256(adapter, adapter_hex, err));
    for (size_t i = 0; folder && i < sizeof members / sizeof members[0]; i++)
        SLM_TRY_OUT(open__hash_member(hash, folder, members[i], err));
    const char *const parts[] = {
        "local", content, adapter_hex, slm_template_name(c->tmpl), slm_device_kernels(c->device),
        dtype};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        slm_sha256_update_part(hash, parts[i]);
out:
    slm_sha256_finish(hash, hex);
    if (status == SLM_OK) *out = copy_text(hex, strlen(hex));
    return status;
}

static slm_status load_tokenizer(local_chat *c, const slm_tensors *file, slm_error *err)
{
    if (!slm_tensors_folder(file)) return slm_tokenizer_from_gguf(file, &c->tokenizer, err);
    slm_buffer path = {0};
    slm_file_join(&path, slm_tensors_folder(file), "tokenizer.json");
    slm_status status = slm_tokenizer_from_json(slm_buffer_text(&path), &c->tokenizer, err);
    slm_buffer_free(&path);
    return status;
}

static slm_status choose_template(const slm_tokenizer *tokenizer, const char *path,
                                  const slm_open_options *options, const slm_template **out,
                                  slm_error *err)
{
    if (options->template) {
        *out = slm_template_find(options->template);
        if (!*out)
            return slm_error_set(err, SLM_ERR_INVALID, "--template %s is not known; there are: %s",
                                 options->template, slm_template_names());
        return SLM_OK;
    }
    const char *jinja = slm_tokenizer_chat_template(tokenizer);
    if (!jinja)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: holds no chat template; name one with --template (%s)", path,
                             slm_template_names());
    slm_status status = slm_template_detect(jinja, out, err);
    return status == SLM_OK ? status : slm_error_prefix(err, status, "%s", path);
}

slm_status slm_open_template(const char *model, const slm_open_options *options,
                             const slm_template **out, slm_error *err)
{
    char *base = NULL, *adapter = NULL;
    slm_tokenizer *tokenizer = NULL;
    slm_status status = SLM_OK;
    slm_open_split(model, &base, &adapter);
    SLM_TRY_OUT(slm_open_tokenizer(base, &tokenizer, err));
    SLM_TRY_OUT(choose_template(tokenizer, base, options, out, err));
out:
    slm_tokenizer_free(tokenizer);
    free(base);
    free(adapter);
    return status;
}

slm_status open__device(const slm_open_options *o, slm_device **out, slm_error *err)
{
    if (o->device && strcmp(o->device, "cpu") != 0)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "--device %s: this version computes on the CPU; use --device cpu",
                             o->device);
    const slm_device_options device = {.kernels = o->kernels, .threads = o->threads};
    return slm_device_open(&device, out, err);
}

static slm_engine_options engine_options(const slm_open_options *o)
{
    slm_engine_options engine = slm_engine_options_default();
    if (o->batch) engine.batch = o->batch;
    engine.context = o->context;
    engine.cache_bytes = o->cache_bytes;
    engine.prefix_sharing = !o->no_prefix_sharing;
    return engine;
}

static slm_dtype dtype_of(const slm_open_options *o)
{
    SLM_ASSERT(!o->dtype || strcmp(o->dtype, "bf16") == 0 || strcmp(o->dtype, "f32") == 0);
    return o->dtype && strcmp(o->dtype, "f32") == 0 ? SLM_F32 : SLM_BF16;
}

slm_open_memory slm_open_memory_of(const slm_tensors *file, const slm_model_config *config,
                                   int adapter_rank, const slm_device *device,
                                   const slm_open_options *o)
{
    const char *wish = o->quantised ? o->quantised : "auto";
    const slm_engine_options engine = engine_options(o);
    slm_model_options model = {.dtype = dtype_of(o)};
    slm_open_memory memory = {
        .widened_bytes = slm_model_file_weight_bytes(file, config, &model),
        .engine = slm_engine_memory_of(config, model.dtype, adapter_rank, &engine),
        .available_bytes = slm_memory_available(),
        .quantised = slm_model_file_is_quantised(file),
    };
    model.keep_quantised = true;
    memory.kept_bytes = slm_model_file_weight_bytes(file, config, &model);
    uint64_t need = memory.widened_bytes + memory.engine.cache_bytes + memory.engine.scratch_bytes;
    SLM_ASSERT(strcmp(wish, "keep") == 0 || strcmp(wish, "widen") == 0 ||
               strcmp(wish, "auto") == 0);
    const bool better = need > memory.available_bytes ||
                        (device && slm_device_prefers_quantised(device, model.dtype));
    memory.keeps = memory.quantised && (wish[0] == 'k' || (wish[0] == 'a' && better));
    return memory;
}

static slm_status open_engine(local_chat *c, const slm_open_options *o, slm_error *err)
{
    const slm_engine_options engine = engine_options(o);
    SLM_TRY(slm_engine_new(c->model, c->tokenizer, &engine, &c->engine, err));
    c->base.width = 2 * engine.batch; /* the next prompts are ready when slots fall free */
    c->base.holds_lengths = true;
    return SLM_OK;
}

/* Model, adapter, tokenizer and template of a file that is open. */
static slm_status load(local_chat *c, slm_tensors *file, const char *adapter,
                       const slm_open_options *o, slm_error *err)
{
    const char *dtype = o->dtype ? o->dtype : "bf16", *path = slm_tensors_path(file);
    slm_model_options model = {.dtype = dtype_of(o)};
    slm_model_config config;
    SLM_TRY(load_tokenizer(c, file, err));
    SLM_TRY(choose_template(c->tokenizer, path, o, &c->tmpl, err));
    SLM_TRY(open__device(o, &c->device, err));
    SLM_TRY(slm_model_config_read(file, &config, err));
    model.keep_quantised = slm_open_memory_of(file, &config, 0, c->device, o).keeps;
    SLM_TRY(slm_model_load(c->device, file, &model, &c->model, err));
    if (adapter) SLM_TRY(slm_model_load_adapter(c->model, adapter, err));
    if (!adapter && o->lora) SLM_TRY(slm_model_new_adapter(c->model, o->lora, o->lora_seed, err));
    size_t rows = (size_t)slm_model_get_config(c->model)->vocabulary;
    if (slm_tokenizer_size(c->tokenizer) > rows)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: the tokenizer has %zu tokens and the model %zu embeddings", path,
                             slm_tokenizer_size(c->tokenizer), rows);
    return make_identity(c, file, adapter, dtype, &c->base.identity, err);
}

/* The name for reports: the file's, with the adapter's folder behind it. */
static char *make_name(const char *base, const char *adapter)
{
    char *name = open__name_of(base);
    if (!adapter) return name;
    char *last = open__name_of(adapter);
    slm_buffer both = {0};
    slm_buffer_printf(&both, "%s+%s", name, last);
    free(name);
    free(last);
    return slm_buffer_take(&both);
}

slm_status open__local_chat(const char *model, const slm_open_options *o, slm_chat **out,
                            slm_error *err)
{
    slm_status status = SLM_OK;
    slm_tensors *file = NULL;
    char *base = NULL, *adapter = NULL;
    local_chat *c = calloc(1, sizeof *c);
    if (!c) slm_out_of_memory(sizeof *c);
    c->base.class = &local_class;
    slm_open_split(model, &base, &adapter);
    if (!slm_file_exists(base)) {
        status = slm_error_set(err, SLM_ERR_NOT_FOUND,
                               "%s: no such file; MODEL is a .gguf file, a Hugging Face folder "
                               "(either with +DIR for an adapter) or recorded:FILE",
                               base);
        goto out;
    }
    if (adapter) SLM_TRY_OUT(slm_model_find_adapter(adapter, err)); /* before weights are read */
    SLM_TRY_OUT(slm_tensors_open(base, &file, err));
    SLM_TRY_OUT(load(c, file, adapter, o, err));
    SLM_TRY_OUT(open_engine(c, o, err));
    c->base.name = o->name ? copy_text(o->name, strlen(o->name)) : make_name(base, adapter);
    *out = &c->base;
    c = NULL;
out:
    slm_tensors_close(file);
    if (c) local_free(&c->base);
    free(base);
    free(adapter);
    return status;
}

slm_engine *slm_open_engine(slm_chat *chat)
{
    chat = slm_chat_record_inner(chat);
    return chat->class == &local_class ? ((local_chat *)chat)->engine : NULL;
}

const slm_device *slm_open_device(const slm_chat *chat)
{
    chat = slm_chat_record_inner((slm_chat *)(uintptr_t)chat);
    return chat->class == &local_class ? ((const local_chat *)chat)->device : NULL;
}

slm_model *slm_open_model(slm_chat *chat)
{
    return chat->class == &local_class ? ((local_chat *)chat)->model : NULL;
}

const slm_tokenizer *slm_open_chat_tokenizer(const slm_chat *chat)
{
    return chat->class == &local_class ? ((const local_chat *)chat)->tokenizer : NULL;
}

const slm_template *slm_open_chat_template(const slm_chat *chat)
{
    return chat->class == &local_class ? ((const local_chat *)chat)->tmpl : NULL;
}
