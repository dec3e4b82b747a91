/* engine.c: the scheduler: which rows make the next forward.
 *
 * A prompt of P tokens is computed up to its last but one; every sample of it then starts by feeding
 * the last prompt token at position P-1 from its own copy of the half-filled page, sharing the full
 * ones. So a sample that starts late needs nothing kept for it but pages, and sampling always reads
 * the row it has just computed.
 *
 * Each step takes one row from every decoding sample and fills up with prompt rows of the next
 * groups. Groups are admitted in order, when the pages of the prompt and of one whole sample can be
 * promised. That cannot lock: with nothing decoding, the group admitted last was admitted beside
 * everything the others hold, so its next sample fits; when it is done, the same holds for the one
 * before. (Paged cache: Kwon et al. 2023; batching by step: Yu et al. 2022.) */
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "engine_internal.h"

enum {
    GRAMMARS_KEPT = 8, /* that nobody uses */
    GRAMMAR_BYTES_MAX = 64 << 20,
};

slm_engine_options slm_engine_options_default(void)
{
    return (slm_engine_options){.batch = 32, .chunk = 256, .prefix_sharing = true};
}

static slm_status check_range(const char *name, int64_t value, int64_t min, int64_t max,
                              slm_error *err)
{
    if (value >= min && value <= max) return SLM_OK;
    return slm_error_set(err, SLM_ERR_INVALID, "%s is %lld; it must be from %lld to %lld", name,
                         (long long)value, (long long)min, (long long)max);
}

static int32_t pages_for(size_t positions)
{
    return (int32_t)((positions + SLM_PAGE_TOKENS - 1) / SLM_PAGE_TOKENS);
}

static void *must_alloc(size_t count, size_t bytes)
{
    void *memory = calloc(count ? count : 1, bytes);
    if (!memory) slm_out_of_memory(count * bytes);
    return memory;
}

/* Enough for `batch` sequences, within 512 MiB; for one in any case. */
static uint64_t default_cache_bytes(const slm_kv_shape *shape, int32_t context, int32_t batch)
{
    uint64_t page = slm_kv_page_bytes(shape);
    uint64_t sequence = (uint64_t)pages_for((size_t)context) * page;
    uint64_t whole = sequence * (uint64_t)batch, limit = 512ull << 20;
    if (limit < sequence) limit = sequence;
    uint64_t bytes = whole < limit ? whole : limit;
    return bytes < 2 * page ? 2 * page : bytes;
}

slm_engine_memory slm_engine_memory_of(const slm_model_config *config, slm_dtype dtype,
                                       int adapter_rank, const slm_engine_options *options)
{
    const slm_kv_shape shape = {.layers = config->layers,
                                .kv_heads = config->kv_heads,
                                .head_dim = config->head_dim,
                                .dtype = dtype};
    const int32_t context = options->context > 0 ? options->context : config->context;
    uint64_t cache = options->cache_bytes;
    if (cache == 0) cache = default_cache_bytes(&shape, context, options->batch);
    size_t batch = (size_t)options->batch;
    return (slm_engine_memory){
        .cache_bytes = cache / slm_kv_page_bytes(&shape) * slm_kv_page_bytes(&shape),
        .scratch_bytes =
            slm_forward_bytes(config, adapter_rank, batch + (size_t)options->chunk, batch)};
}

static slm_status resolve_options(slm_engine *e, slm_error *err)
{
    slm_engine_options *o = &e->options;
    const slm_model_config *config = slm_model_get_config(e->model);
    SLM_TRY(check_range("--batch", o->batch, 1, 4096, err));
    SLM_TRY(check_range("the prompt chunk", o->chunk, 1, 65536, err));
    if (o->context == 0) o->context = config->context;
    SLM_TRY(check_range("--ctx", o->context, 2, config->context, err));
    if (o->cache_bytes == 0)
        o->cache_bytes = default_cache_bytes(slm_model_kv_shape(e->model), o->context, o->batch);
    return SLM_OK;
}

slm_status slm_engine_new(slm_model *model, const slm_tokenizer *tokenizer,
                          const slm_engine_options *options, slm_engine **out, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_engine *e = must_alloc(1, sizeof *e);
    e->model = model;
    e->tokenizer = tokenizer;
    e->options = *options;
    e->next_id = 1;
    SLM_TRY_OUT(resolve_options(e, err));
    size_t batch = (size_t)e->options.batch, rows = batch + (size_t)e->options.chunk;
    SLM_TRY_OUT(engine__pages_init(&e->pages, slm_model_device(model), slm_model_kv_shape(model),
                                   e->options.cache_bytes, err));
    SLM_TRY_OUT(slm_forward_new(model, rows, batch, &e->forward, err));
    e->slots = must_alloc(batch, sizeof *e->slots);
    e->ids = must_alloc(rows, sizeof *e->ids);
    e->want = must_alloc(batch, sizeof *e->want);
    e->spans = must_alloc(rows, sizeof *e->spans);
    e->rows = must_alloc(batch, sizeof *e->rows);
    e->row_samples = must_alloc(batch, sizeof *e->row_samples);
    *out = e;
    e = NULL;
out:
    slm_engine_free(e);
    return status;
}

static void free_group(slm_engine *e, engine__group *g)
{
    engine__table_clear(&g->table, &e->pages);
    engine__table_free(&g->table);
    for (size_t i = 0; i < g->request.stop_count; i++)
        free(g->stop[i]);
    free(g->stop);
    free((void *)g->request.prompt);
    free((void *)g->request.stop_tokens);
    if (g->grammar) g->grammar->holders--;
    free(g);
}

static void free_sample(slm_engine *e, engine__sample *s)
{
    engine__table_clear(&s->table, &e->pages);
    slm_tokens_free(&s->ids);
    free(s->logprobs);
    slm_buffer_free(&s->stream.text);
    engine__table table = s->table; /* its memory serves the slot's next sample */
    memset(s, 0, sizeof *s);
    s->table = table;
}

void slm_engine_free(slm_engine *e)
{
    if (!e) return;
    for (int32_t i = 0; e->slots && i < e->options.batch; i++) {
        free_sample(e, &e->slots[i]);
        engine__table_free(&e->slots[i].table);
    }
    while (e->groups) {
        engine__group *next = e->groups->next;
        free_group(e, e->groups);
        e->groups = next;
    }
    slm_generated *generated;
    while ((generated = slm_engine_poll(e)))
        slm_generated_free(generated);
    while (e->grammars) {
        engine__grammar *next = e->grammars->next;
        engine__grammar_free(e->grammars);
        e->grammars = next;
    }
    engine__vocabulary_free(&e->vocabulary);
    slm_forward_free(e->forward);
    engine__pages_free(&e->pages);
    free(e->slots);
    free(e->ids);
    free(e->want);
    free(e->spans);
    free(e->rows);
    free(e->row_samples);
    free(e);
}

void slm_generated_free(slm_generated *generated)
{
    if (!generated) return;
    slm_tokens_free(&generated->ids);
    free(generated->logprobs);
    free(generated->text);
    free(generated);
}

/* ---- grammars ------------------------------------------------------------------------------ */

static bool is_grammar_of(const engine__grammar *g, const slm_generate *r)
{
    return strcmp(g->schema, r->json_schema) == 0 && g->stop_count == r->stop_token_count &&
           (g->stop_count == 0 ||
            memcmp(g->stops, r->stop_tokens, g->stop_count * sizeof *g->stops) == 0);
}

/* Drop those that nobody holds, beyond the latest used. */
static void drop_grammars(slm_engine *e)
{
    size_t kept = 0;
    for (engine__grammar **at = &e->grammars; *at;) {
        engine__grammar *g = *at;
        if (g->holders > 0 || kept++ < GRAMMARS_KEPT) {
            at = &g->next;
            continue;
        }
        *at = g->next;
        engine__grammar_free(g);
    }
}

/* The request's grammar, made or found; it is not held yet. */
static slm_status find_grammar(slm_engine *e, const slm_generate *r, engine__grammar **out,
                               slm_error *err)
{
    engine__grammar **at = &e->grammars, *g = NULL;
    while (*at && !is_grammar_of(*at, r))
        at = &(*at)->next;
    if (*at) {
        g = *at;
        *at = g->next;
    } else {
        size_t rows = (size_t)slm_model_get_config(e->model)->vocabulary;
        if (!e->vocabulary.sorted) engine__vocabulary_init(&e->vocabulary, e->tokenizer, rows);
        SLM_TRY(engine__grammar_new(r->json_schema, &e->vocabulary, r->stop_tokens,
                                    r->stop_token_count, &g, err));
    }
    g->next = e->grammars;
    e->grammars = g;
    drop_grammars(e);
    *out = g;
    return SLM_OK;
}

/* ---- submitting ---------------------------------------------------------------------------- */

static slm_status check_real(const char *name, double value, double min, double max, slm_error *err)
{
    if (value >= min && value <= max) return SLM_OK;
    return slm_error_set(err, SLM_ERR_INVALID, "%s is %g; it must be from %g to %g", name, value,
                         min, max);
}

static slm_status check_sampling(const slm_sample_options *s, slm_error *err)
{
    SLM_TRY(check_real("temperature", (double)s->temperature, 0, 100, err));
    SLM_TRY(check_range("top-k", s->top_k, 0, INT32_MAX, err));
    SLM_TRY(check_real("top-p", (double)s->top_p, 1e-9, 1, err));
    SLM_TRY(check_real("min-p", (double)s->min_p, 0, 1, err));
    SLM_TRY(check_real("presence penalty", (double)s->presence_penalty, -100, 100, err));
    SLM_TRY(check_real("frequency penalty", (double)s->frequency_penalty, -100, 100, err));
    return check_real("repetition penalty", (double)s->repetition_penalty, 1e-3, 100, err);
}

/* Pages that one sample of the group holds for itself at most: the copy of the half-filled page and
 * all that follow. */
static int32_t own_pages(const engine__group *g)
{
    size_t last = g->request.prompt_len + (size_t)g->request.max_tokens - 1;
    return pages_for(last) - (int32_t)((g->request.prompt_len - 1) / SLM_PAGE_TOKENS);
}

static int32_t prompt_pages(const engine__group *g)
{
    return pages_for(g->request.prompt_len - 1);
}

static slm_status check_request(const slm_engine *e, const slm_generate *r, slm_error *err)
{
    const slm_model_config *config = slm_model_get_config(e->model);
    if (r->prompt_len == 0) return slm_error_set(err, SLM_ERR_INVALID, "the prompt is empty");
    if (r->prompt_len >= (size_t)e->options.context) {
        return slm_error_set(err, SLM_ERR_INVALID,
                             "the prompt has %zu tokens and the context %lld, which an answer must "
                             "fit into too; shorten the prompt, or raise --ctx if it is below the "
                             "model's own",
                             r->prompt_len, (long long)e->options.context);
    }
    SLM_TRY(check_range("the number of samples", r->samples, 1, 1 << 20, err));
    SLM_TRY(check_range("max-tokens", r->max_tokens, 1, 1 << 24, err));
    SLM_TRY(check_sampling(&r->sampling, err));
    for (size_t i = 0; i < r->prompt_len; i++)
        if (r->prompt[i] < 0 || r->prompt[i] >= config->vocabulary)
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "prompt token %zu is %d; the model's vocabulary has %d tokens", i,
                                 (int)r->prompt[i], config->vocabulary);
    for (size_t i = 0; i < r->stop_count; i++)
        if (!r->stop[i][0])
            return slm_error_set(err, SLM_ERR_INVALID, "a stop string is empty; leave it out");
    return SLM_OK;
}

static engine__group *new_group(const slm_engine *e, const slm_generate *r, uint32_t first,
                                uint32_t samples)
{
    engine__group *g = must_alloc(1, sizeof *g);
    g->request = *r;
    g->request.samples = samples;
    g->first_sample = first;
    slm_token *prompt = must_alloc(r->prompt_len, sizeof *prompt);
    memcpy(prompt, r->prompt, r->prompt_len * sizeof *prompt);
    g->request.prompt = prompt;
    slm_token *stops = must_alloc(r->stop_token_count, sizeof *stops);
    if (r->stop_token_count) memcpy(stops, r->stop_tokens, r->stop_token_count * sizeof *stops);
    g->request.stop_tokens = stops;
    g->stop = must_alloc(r->stop_count, sizeof *g->stop);
    for (size_t i = 0; i < r->stop_count; i++) {
        g->stop[i] = strdup(r->stop[i]);
        if (!g->stop[i]) slm_out_of_memory(strlen(r->stop[i]));
    }
    g->request.stop = (const char *const *)g->stop;
    int32_t room = e->options.context - (int32_t)r->prompt_len;
    if (g->request.max_tokens > room) g->request.max_tokens = room;
    g->submitted_s = slm_progress_clock_s();
    return g;
}

slm_status slm_engine_submit(slm_engine *e, const slm_generate *r, uint64_t *id, slm_error *err)
{
    engine__grammar *grammar = NULL;
    SLM_TRY(check_request(e, r, err));
    if (r->json_schema) SLM_TRY(find_grammar(e, r, &grammar, err));
    uint32_t groups = e->options.prefix_sharing ? 1 : r->samples;
    uint32_t each = e->options.prefix_sharing ? r->samples : 1;
    engine__group **tail = &e->groups;
    while (*tail)
        tail = &(*tail)->next;
    for (uint32_t i = 0; i < groups; i++) {
        engine__group *g = new_group(e, r, i * each, each);
        g->request.json_schema = NULL; /* the caller's; the grammar has a copy */
        g->grammar = grammar;
        if (grammar) grammar->holders++;
        int32_t need = prompt_pages(g) + own_pages(g);
        if (need > e->pages.count) {
            free_group(e, g);
            SLM_ASSERT(i == 0);
            return slm_error_set(
                err, SLM_ERR_LIMIT,
                "a prompt of %zu tokens and a reply of up to %d need %d cache pages "
                "(%llu MiB) and there are %d; raise --memory or lower --max-tokens",
                r->prompt_len, (int)r->max_tokens, (int)need,
                (unsigned long long)((uint64_t)need * e->pages.page_bytes >> 20),
                (int)e->pages.count);
        }
        g->id = e->next_id;
        *tail = g;
        tail = &g->next;
    }
    e->pending += r->samples;
    *id = e->next_id++;
    return SLM_OK;
}

/* ---- finishing ----------------------------------------------------------------------------- */

static void hand_out(slm_engine *e, engine__group *g, uint32_t sample, slm_finish finish,
                     engine__sample *s)
{
    engine__done *done = must_alloc(1, sizeof *done);
    slm_generated *out = &done->generated;
    out->request = g->id;
    out->sample = g->first_sample + sample;
    out->finish = finish;
    out->prompt_len = g->request.prompt_len;
    out->time_s = slm_progress_clock_s() - g->submitted_s;
    if (s) {
        out->ids = s->ids;
        out->logprobs = s->logprobs;
        out->text_len = s->stream.text.len;
        s->ids = (slm_tokens){0};
        s->logprobs = NULL;
        out->text = slm_buffer_take(&s->stream.text);
    } else {
        out->text = must_alloc(1, 1);
    }
    if (e->done_last)
        e->done_last->next = done;
    else
        e->done_first = done;
    e->done_last = done;
    g->finished++;
}

static void send_text(engine__group *g, engine__sample *s, bool ended)
{
    size_t ready = engine__stream_ready(&s->stream, g->stop, g->request.stop_count, ended);
    if (ready <= s->stream.sent) return;
    if (g->request.on_text)
        g->request.on_text(g->request.context, g->first_sample + s->index,
                           s->stream.text.data + s->stream.sent, ready - s->stream.sent);
    s->stream.sent = ready;
}

static void finish_sample(slm_engine *e, engine__sample *s, slm_finish finish, bool cut)
{
    engine__group *g = s->group;
    if (!cut) engine__stream_finish(&s->stream, g->stop, g->request.stop_count);
    send_text(g, s, true);
    e->pages.promised -= s->promise;
    hand_out(e, g, s->index, finish, s);
    free_sample(e, s);
    e->active--;
}

static void drop_finished_groups(slm_engine *e)
{
    engine__group **at = &e->groups;
    while (*at) {
        engine__group *g = *at;
        if (g->finished < g->request.samples) {
            at = &g->next;
            continue;
        }
        *at = g->next;
        free_group(e, g);
    }
}

void slm_engine_cancel(slm_engine *e, uint64_t id)
{
    for (int32_t i = 0; i < e->options.batch; i++)
        if (e->slots[i].group && e->slots[i].group->id == id)
            finish_sample(e, &e->slots[i], SLM_FINISH_CANCELLED, false);
    for (engine__group *g = e->groups; g; g = g->next) {
        if (g->id != id) continue;
        while (g->started < g->request.samples)
            hand_out(e, g, g->started++, SLM_FINISH_CANCELLED, NULL);
        e->pages.promised -= g->promise;
        g->promise = 0;
    }
    drop_finished_groups(e);
}

slm_generated *slm_engine_poll(slm_engine *e)
{
    engine__done *done = e->done_first;
    if (!done) return NULL;
    e->done_first = done->next;
    if (!e->done_first) e->done_last = NULL;
    e->pending--;
    return &done->generated;
}

size_t slm_engine_pending(const slm_engine *e)
{
    return e->pending;
}

/* ---- scheduling ---------------------------------------------------------------------------- */

static bool prompt_is_ready(const engine__group *g)
{
    return g->admitted && g->computed + 1 == g->request.prompt_len;
}

/* Take the prompt's pages and promise those of the first sample. */
static bool admit_group(slm_engine *e, engine__group *g)
{
    int32_t pages = prompt_pages(g), own = own_pages(g);
    if (engine__pages_available(&e->pages) < pages + own) return false;
    engine__table_reserve(&g->table, pages);
    for (int32_t i = 0; i < pages; i++)
        engine__table_append(&g->table, engine__pages_take(&e->pages));
    g->promise = own;
    e->pages.promised += own;
    g->admitted = true;
    return true;
}

/* Give the sample the group's full pages and a copy of the half-filled one. */
static void share_prompt(slm_engine *e, engine__group *g, engine__sample *s)
{
    const slm_kernels *kernels = slm_device_table(e->pages.device);
    size_t positions = g->request.prompt_len - 1;
    int32_t full = (int32_t)(positions / SLM_PAGE_TOKENS);
    bool last = g->started == g->request.samples;
    engine__table_reserve(&s->table, full + own_pages(g));
    for (int32_t i = 0; i < full; i++) {
        engine__pages_hold(&e->pages, g->table.pages[i]);
        engine__table_append(&s->table, g->table.pages[i]);
    }
    if (positions % SLM_PAGE_TOKENS != 0) {
        int32_t page = engine__pages_take(&e->pages);
        kernels->copy_page(e->pages.device, e->pages.cache, e->pages.page_bytes,
                           g->table.pages[full], page);
        engine__table_append(&s->table, page);
        s->promise--;
        e->pages.promised--;
    }
    if (g->started > 1) e->stats.shared_tokens += positions;
    if (last) engine__table_clear(&g->table, &e->pages);
}

static bool start_sample(slm_engine *e, engine__group *g)
{
    int32_t own = own_pages(g);
    if (g->promise == 0) {
        if (engine__pages_available(&e->pages) < own) return false;
        e->pages.promised += own;
        g->promise = own;
    }
    engine__sample *s = e->slots;
    while (s->group)
        s++;
    s->group = g;
    s->index = g->started++;
    s->promise = g->promise;
    g->promise = 0;
    s->position = (int32_t)g->request.prompt_len - 1;
    s->pending = g->request.prompt[g->request.prompt_len - 1];
    if (g->grammar) s->place = engine__grammar_start(g->grammar);
    share_prompt(e, g, s);
    size_t most = (size_t)g->request.max_tokens;
    s->ids.ids = must_alloc(most, sizeof *s->ids.ids);
    s->ids.cap = most;
    s->logprobs = must_alloc(most, sizeof *s->logprobs);
    for (size_t i = 0; i < g->request.stop_count; i++)
        if (strlen(g->stop[i]) > s->stream.longest) s->stream.longest = strlen(g->stop[i]);
    e->active++;
    return true;
}

/* Fill free slots from groups whose prompt is there, in order. */
static void start_samples(slm_engine *e)
{
    for (engine__group *g = e->groups; g; g = g->next)
        while (e->active < e->options.batch && prompt_is_ready(g) &&
               g->started < g->request.samples)
            if (!start_sample(e, g)) break;
}

/* Admit the next groups while fewer samples are decoding or waiting to than there are slots. */
static void admit_groups(slm_engine *e)
{
    int64_t coming = e->active;
    for (engine__group *g = e->groups; g && coming < e->options.batch; g = g->next) {
        if (!g->admitted && !admit_group(e, g)) return;
        coming += g->request.samples - g->started;
    }
}

/* ---- a step -------------------------------------------------------------------------------- */

typedef struct step {
    size_t rows, span_count, samples;
    size_t prompt_rows;
} step;

/* The tokens that may come next; NULL: all. */
static const uint32_t *allowed_tokens(slm_engine *e, engine__sample *s)
{
    engine__grammar *grammar = s->group->grammar;
    if (!grammar) return NULL;
    double start_s = slm_progress_clock_s();
    uint32_t before = grammar->mask_count;
    const uint32_t *mask = engine__grammar_mask(grammar, &s->place, s->ids.ids, s->ids.len);
    e->stats.masks += grammar->mask_count - before;
    e->stats.masked_tokens++;
    e->stats.mask_s += slm_progress_clock_s() - start_s;
    return mask;
}

/* One row for each decoding sample. */
static void add_decoding(slm_engine *e, step *st)
{
    for (int32_t i = 0; i < e->options.batch; i++) {
        engine__sample *s = &e->slots[i];
        if (!s->group) continue;
        if (s->position / SLM_PAGE_TOKENS == s->table.len) {
            SLM_ASSERT(s->promise > 0);
            engine__table_append(&s->table, engine__pages_take(&e->pages));
            s->promise--;
            e->pages.promised--;
        }
        e->spans[st->span_count++] = (slm_kv_span){
            .row = (int32_t)st->rows, .rows = 1, .position = s->position, .pages = s->table.pages};
        const slm_generate *r = &s->group->request;
        e->rows[st->samples] = (slm_sample_row){
            .options = &r->sampling,
            .key = {r->seed, r->stream, r->first_rollout + s->group->first_sample + s->index},
            .position = (uint32_t)s->ids.len,
            .prompt = r->prompt,
            .prompt_len = r->prompt_len,
            .generated = s->ids.ids,
            .generated_len = s->ids.len,
            .allowed = allowed_tokens(e, s)};
        e->row_samples[st->samples] = s;
        e->want[st->samples++] = (int32_t)st->rows;
        e->ids[st->rows++] = s->pending;
    }
}

/* Chunks of prompts that wait, in order, up to `chunk` rows. */
static void add_prompts(slm_engine *e, step *st)
{
    size_t room = (size_t)e->options.chunk;
    for (engine__group *g = e->groups; g && room > 0; g = g->next) {
        if (!g->admitted || prompt_is_ready(g)) continue;
        size_t rows = g->request.prompt_len - 1 - g->computed;
        if (rows > room) rows = room;
        e->spans[st->span_count++] = (slm_kv_span){.row = (int32_t)st->rows,
                                                   .rows = (int32_t)rows,
                                                   .position = (int32_t)g->computed,
                                                   .pages = g->table.pages};
        memcpy(e->ids + st->rows, g->request.prompt + g->computed, rows * sizeof *e->ids);
        g->computed += rows;
        st->rows += rows;
        st->prompt_rows += rows;
        room -= rows;
    }
}

static bool is_stop_token(const slm_generate *r, slm_token id)
{
    for (size_t i = 0; i < r->stop_token_count; i++)
        if (r->stop_tokens[i] == id) return true;
    return false;
}

/* Take one sampled token into its sample; the sample may end here. */
static void take_token(slm_engine *e, engine__sample *s, const slm_sample_row *row)
{
    engine__group *g = s->group;
    if (!row->finite) {
        finish_sample(e, s, SLM_FINISH_ERROR, false);
        return;
    }
    s->logprobs[s->ids.len] = row->logprob;
    slm_tokens_append(&s->ids, row->id);
    s->pending = row->id;
    s->position++;
    e->stats.generated_tokens++;
    if (g->grammar) engine__grammar_advance(g->grammar, &s->place, s->ids.ids, s->ids.len);
    if (is_stop_token(&g->request, row->id)) {
        finish_sample(e, s, SLM_FINISH_STOP, false);
        return;
    }
    if (engine__stream_push(&s->stream, e->tokenizer, row->id, g->stop, g->request.stop_count)) {
        finish_sample(e, s, SLM_FINISH_STOP, true);
        return;
    }
    if (g->grammar && g->grammar->stop_count == 0 && engine__grammar_ended(g->grammar, &s->place)) {
        finish_sample(e, s, SLM_FINISH_STOP, false);
        return;
    }
    if (s->ids.len == (size_t)g->request.max_tokens) {
        finish_sample(e, s, SLM_FINISH_LENGTH, false);
        return;
    }
    send_text(g, s, false);
}

slm_status slm_engine_step(slm_engine *e, bool *worked, slm_error *err)
{
    (void)err;
    const slm_kernels *kernels = slm_device_table(slm_model_device(e->model));
    size_t vocabulary = (size_t)slm_model_get_config(e->model)->vocabulary;
    double start_s = slm_progress_clock_s();
    step st = {0};
    slm_mem logits;

    for (engine__grammar *g = e->grammars; g; g = g->next)
        engine__grammar_trim(g, GRAMMAR_BYTES_MAX);
    admit_groups(e);
    start_samples(e);
    add_decoding(e, &st);
    add_prompts(e, &st);
    *worked = st.rows > 0;
    if (st.rows == 0) {
        SLM_ASSERT(!e->groups);
        return SLM_OK;
    }
    slm_forward_run(e->forward, e->pages.cache, e->ids, st.rows, e->spans, st.span_count, e->want,
                    st.samples, &logits);
    if (st.samples > 0)
        kernels->sample(slm_model_device(e->model), logits, vocabulary, e->rows, st.samples);
    for (size_t i = 0; i < st.samples; i++)
        take_token(e, e->row_samples[i], &e->rows[i]);
    drop_finished_groups(e);
    e->stats.steps++;
    e->stats.prompt_tokens += st.prompt_rows;
    *(st.prompt_rows ? &e->stats.prompt_s : &e->stats.decode_s) += slm_progress_clock_s() - start_s;
    return SLM_OK;
}

slm_engine_stats slm_engine_get_stats(const slm_engine *e)
{
    slm_engine_stats stats = e->stats;
    stats.pages = (uint64_t)e->pages.count;
    stats.pages_used_peak = (uint64_t)e->pages.used_peak;
    stats.page_bytes = e->pages.page_bytes;
    return stats;
}

int32_t slm_engine_context(const slm_engine *e)
{
    return e->options.context;
}

/* ---- scoring ------------------------------------------------------------------------------- */

slm_status slm_engine_score(slm_engine *e, const slm_token *ids, size_t n, float *out,
                            float *logits, slm_error *err)
{
    const slm_kernels *kernels = slm_device_table(slm_model_device(e->model));
    slm_device *device = slm_model_device(e->model);
    size_t vocabulary = (size_t)slm_model_get_config(e->model)->vocabulary;
    SLM_ASSERT(e->pending == 0 && !e->groups);
    SLM_TRY(check_range("the number of tokens to score", (int64_t)n, 1, e->options.context, err));
    for (size_t i = 0; i < n; i++)
        SLM_TRY(check_range("a token to score", ids[i], 0, (int64_t)vocabulary - 1, err));
    if (pages_for(n) > engine__pages_available(&e->pages))
        return slm_error_set(err, SLM_ERR_LIMIT,
                             "%zu tokens need %d cache pages and there are %d; raise --memory", n,
                             (int)pages_for(n), (int)engine__pages_available(&e->pages));
    engine__table table = {0};
    for (int32_t i = 0; i < pages_for(n); i++)
        engine__table_append(&table, engine__pages_take(&e->pages));
    size_t width = (size_t)e->options.batch;
    for (size_t done = 0; done < n; done += width) {
        size_t rows = n - done < width ? n - done : width;
        slm_kv_span span = {.rows = (int32_t)rows, .position = (int32_t)done, .pages = table.pages};
        slm_mem row_logits;
        for (size_t i = 0; i < rows; i++)
            e->want[i] = (int32_t)i;
        slm_forward_run(e->forward, e->pages.cache, ids + done, rows, &span, 1, e->want, rows,
                        &row_logits);
        size_t scored = done + rows < n ? rows : rows - 1;
        if (scored > 0)
            kernels->log_prob(device, row_logits, scored, vocabulary, 1.0f, ids + done + 1,
                              out + done);
        if (logits)
            slm_device_download(device, logits + done * vocabulary, row_logits,
                                rows * vocabulary * sizeof *logits);
    }
    engine__table_clear(&table, &e->pages);
    engine__table_free(&table);
    return SLM_OK;
}
