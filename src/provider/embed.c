/* embed.c: vectors from /embeddings of an OpenAI-compatible server or Azure, and from a recording.
 *
 * Texts go in batches, several at once, over the line that chats use too (line.c: retries, budget,
 * limits). What comes is checked before it is used: one vector for each text, all of one size, finite,
 * not zero; each is brought to length 1. The size is learned by asking for one vector at the start. */
#include "provider/embed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/file.h"
#include "base/hash.h"
#include "remote_internal.h"

enum { BATCH = 64, MOST_DIMENSIONS = 65536 };

slm_status slm_embed_run(slm_embed *embed, const char *const *texts, size_t count, float *out,
                         slm_error *err)
{
    return count > 0 ? embed->class->run(embed, texts, count, out, err) : SLM_OK;
}

void slm_embed_free(slm_embed *embed)
{
    if (embed != NULL) embed->class->free(embed);
}

/* Brings a row to length 1; false if it has none. */
static bool normalise(float *row, size_t dimensions)
{
    double sum = 0;
    for (size_t d = 0; d < dimensions; d++)
        sum += (double)row[d] * (double)row[d];
    if (!(sum > 0) || isinf(sum)) return false;
    double scale = 1 / sqrt(sum);
    for (size_t d = 0; d < dimensions; d++)
        row[d] = (float)((double)row[d] * scale);
    return true;
}

/* ---- remote ---- */

typedef struct batch {
    remote__call call; /* first */
    const char *const *texts;
    size_t count;
    float *out;
} batch;

typedef struct remote_embed {
    slm_embed embed; /* first */
    remote__target target;
    remote__line line;
    float *probe; /* of the first call, whose size is not known before */
} remote_embed;

static void write_body(void *context, remote__call *call, slm_buffer *out)
{
    remote_embed *r = context;
    const batch *b = (const batch *)call;
    slm_buffer_append_char(out, '{');
    remote__append_member(out, "model", r->target.model);
    slm_buffer_append_text(out, ",\"encoding_format\":\"float\",\"input\":[");
    for (size_t i = 0; i < b->count; i++) {
        if (i > 0) slm_buffer_append_char(out, ',');
        /* An empty text is refused where it is sent; a space is the nearest to it. */
        const char *text = b->texts[i][0] != '\0' ? b->texts[i] : " ";
        slm_json_append_string(out, text, strlen(text));
    }
    slm_buffer_append_text(out, "]}");
}

static slm_status read_row(remote_embed *r, const json_t *vector, float *row, slm_error *err)
{
    size_t d;
    const json_t *value;
    if (json_array_size(vector) != r->embed.dimensions)
        return slm_error_set(err, SLM_ERR_FORMAT, "a vector of %zu numbers among those of %zu",
                             json_array_size(vector), r->embed.dimensions);
    json_array_foreach(vector, d, value)
    {
        double number = json_number_value(value);
        if (!json_is_number(value) || !(fabs(number) < 1e30))
            return slm_error_set(err, SLM_ERR_FORMAT, "a vector with something that is no number");
        row[d] = (float)number;
    }
    if (!normalise(row, r->embed.dimensions))
        return slm_error_set(err, SLM_ERR_FORMAT, "a vector of zeros");
    return SLM_OK;
}

static slm_status read_rows(remote_embed *r, const batch *b, const json_t *data, slm_error *err)
{
    bool seen[BATCH] = {false};
    const json_t *item;
    size_t i;
    if (json_array_size(data) != b->count)
        return slm_error_set(err, SLM_ERR_FORMAT, "%zu vectors came for %zu texts",
                             json_array_size(data), b->count);
    json_array_foreach(data, i, item)
    {
        int64_t index = remote__count(item, "index");
        if (index < 0 && json_object_get(item, "index") == NULL) index = (int64_t)i;
        if (index < 0 || index >= (int64_t)b->count || seen[index])
            return slm_error_set(err, SLM_ERR_FORMAT, "a vector whose index fits no text");
        seen[index] = true;
        SLM_TRY(read_row(r, json_object_get(item, "embedding"),
                         b->out + (size_t)index * r->embed.dimensions, err));
    }
    return SLM_OK;
}

static remote__verdict on_reply(void *context, remote__call *call, const json_t *root,
                                remote__usage *usage, slm_error *err)
{
    remote_embed *r = context;
    batch *b = (batch *)call;
    const json_t *data = json_object_get(root, "data");
    usage->prompt_tokens = remote__count(json_object_get(root, "usage"), "prompt_tokens");
    usage->reply_tokens = usage->prompt_tokens >= 0 ? 0 : -1;
    if (r->embed.dimensions == 0) {
        size_t size = json_array_size(json_object_get(json_array_get(data, 0), "embedding"));
        if (size == 0 || size > MOST_DIMENSIONS) {
            slm_error_set(err, SLM_ERR_FORMAT, "the reply has no data[0].embedding");
            return VERDICT_AGAIN;
        }
        r->embed.dimensions = size;
        b->out = r->probe = calloc(size, sizeof *r->probe);
        if (r->probe == NULL) slm_out_of_memory(size);
    }
    return read_rows(r, b, data, err) == SLM_OK ? VERDICT_DONE : VERDICT_AGAIN;
}

static remote__verdict on_problem(void *context, remote__call *call, long status,
                                  const remote__problem *problem, slm_error *err)
{
    (void)context, (void)call, (void)status, (void)problem, (void)err;
    return VERDICT_PASS;
}

/* Takes all that is on the line; the first error of a call ends it. */
static slm_status drain(remote_embed *r, slm_error *err)
{
    slm_status status = SLM_OK;
    for (;;) {
        remote__call *call = NULL;
        status = remote__line_poll(&r->line, -1, &call, err);
        if (status != SLM_OK || call == NULL) break;
        status = call->error.status;
        if (status != SLM_OK && err != NULL) *err = call->error;
        free(call);
        if (status != SLM_OK) break;
    }
    /* Those in flight write into memory of the caller's: they are stopped. */
    for (remote__call *call; (call = remote__line_take(&r->line)) != NULL;) {
        remote__line_drop(&r->line, call);
        free(call);
    }
    return status;
}

static slm_status remote_run(slm_embed *embed, const char *const *texts, size_t count, float *out,
                             slm_error *err)
{
    remote_embed *r = (remote_embed *)embed;
    if (r->line.broken) {
        if (err != NULL) *err = r->line.broken_error;
        return r->line.broken_error.status;
    }
    for (size_t at = 0; at < count; at += BATCH) {
        batch *b = calloc(1, sizeof *b);
        if (b == NULL) slm_out_of_memory(sizeof *b);
        b->texts = texts + at;
        b->count = count - at < BATCH ? count - at : BATCH;
        b->out = out != NULL ? out + at * embed->dimensions : NULL;
        double bytes = 0;
        for (size_t i = 0; i < b->count; i++)
            bytes += (double)strlen(b->texts[i]) + 8;
        if (r->target.price != NULL) b->call.cost_usd = bytes * r->target.price->input / 1e6;
        b->call.jitter = slm_hash_bytes(b->texts[0], strlen(b->texts[0]));
        remote__line_add(&r->line, &b->call);
    }
    return drain(r, err);
}

static void remote_free(slm_embed *embed)
{
    remote_embed *r = (remote_embed *)embed;
    remote__line_close(&r->line);
    remote__target_free(&r->target);
    free(r->probe);
    free(r->embed.name);
    free(r->embed.identity);
    free(r);
}

static const slm_embed_class remote_class = {.run = remote_run, .free = remote_free};

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) slm_out_of_memory(strlen(text));
    return copy;
}

slm_status slm_embed_remote_open(const char *model, const slm_remote_settings *settings,
                                 slm_embed **out, slm_error *err)
{
    static const char *const probe[] = {"a"};
    *out = NULL;
    remote_embed *r = calloc(1, sizeof *r);
    if (r == NULL) slm_out_of_memory(sizeof *r);
    remote__owner owner = {
        .body = write_body, .on_reply = on_reply, .on_problem = on_problem, .context = r};
    r->embed.class = &remote_class;
    slm_status status = remote__target_read(model, settings, &r->target, err);
    if (status == SLM_OK && r->target.kind != REMOTE_OPENAI && r->target.kind != REMOTE_AZURE)
        status = slm_error_set(err, SLM_ERR_UNSUPPORTED,
                               "%s: vectors come from openai: and azure: models here", model);
    if (status == SLM_OK && !settings->offline)
        status = remote__target_key(&r->target, settings, err);
    if (status == SLM_OK)
        status = remote__line_open(&r->line, &r->target, true, settings, &owner, err);
    if (status == SLM_OK) {
        slm_log_print(settings->log, SLM_LOG_INFO, "asking %s how long the vectors of %s are",
                      r->target.host, r->target.model);
        status = remote_run(&r->embed, probe, 1, NULL, err);
    }
    if (status != SLM_OK) {
        remote_free(&r->embed);
        return status;
    }
    r->embed.name = copy_text(r->target.model);
    r->embed.identity = copy_text(r->target.identity);
    *out = &r->embed;
    return SLM_OK;
}

/* ---- recorded ---- */

typedef struct entry {
    const char *text;
    const float *vector;
    size_t number; /* of its line */
} entry;

typedef struct recorded_embed {
    slm_embed embed; /* first */
    slm_arena arena;
    const char *path, *model;
    entry *entries; /* sorted by text */
    size_t count, cap;
} recorded_embed;

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->text, ((const entry *)b)->text);
}

static slm_status recorded_run(slm_embed *embed, const char *const *texts, size_t count, float *out,
                               slm_error *err)
{
    recorded_embed *r = (recorded_embed *)embed;
    for (size_t i = 0; i < count; i++) {
        entry wanted = {.text = texts[i]};
        const entry *found =
            bsearch(&wanted, r->entries, r->count, sizeof *r->entries, compare_entries);
        if (found == NULL)
            return slm_error_set(err, SLM_ERR_NOT_FOUND,
                                 "%s: no vector was recorded for this text: \"%.80s\"", r->path,
                                 texts[i]);
        memcpy(out + i * embed->dimensions, found->vector, embed->dimensions * sizeof *out);
    }
    return SLM_OK;
}

static void recorded_free(slm_embed *embed)
{
    recorded_embed *r = (recorded_embed *)embed;
    slm_arena_free(&r->arena);
    free(r->entries);
    free(r->embed.name);
    free(r->embed.identity);
    free(r);
}

static const slm_embed_class recorded_class = {.run = recorded_run, .free = recorded_free};

static slm_status read_vector(recorded_embed *r, const json_t *object, size_t number,
                              slm_error *err)
{
    slm_json_place place = {.name = r->path, .line = number};
    const char *text = NULL, *model = NULL;
    json_t *vector = NULL;
    size_t d;
    const json_t *value;
    SLM_TRY(slm_json_string(object, "text", &place, &text, err));
    SLM_TRY(slm_json_string_optional(object, "model", &place, &model, err));
    SLM_TRY(slm_json_array(object, "vector", &place, &vector, err));
    if (model != NULL && r->model == NULL) r->model = slm_arena_strdup(&r->arena, model);
    if (model != NULL && strcmp(model, r->model) != 0)
        return slm_json_error(&place, err, "vectors of %.150s among those of %.150s", model,
                              r->model);
    if (r->embed.dimensions == 0) r->embed.dimensions = json_array_size(vector);
    slm_json_place at = {.parent = &place, .key = "vector"};
    if (r->embed.dimensions == 0 || json_array_size(vector) != r->embed.dimensions)
        return slm_json_error(&at, err, "has %zu numbers, the first one had %zu",
                              json_array_size(vector), r->embed.dimensions);
    float *row = slm_arena_array(&r->arena, r->embed.dimensions, sizeof *row);
    json_array_foreach(vector, d, value)
    {
        if (!json_is_number(value)) return slm_json_error(&at, err, "expected numbers");
        row[d] = (float)json_number_value(value);
    }
    if (r->count == r->cap) {
        r->cap = r->cap > 0 ? 2 * r->cap : 64;
        entry *grown = realloc(r->entries, r->cap * sizeof *grown);
        if (grown == NULL) slm_out_of_memory(r->cap * sizeof *grown);
        r->entries = grown;
    }
    r->entries[r->count++] =
        (entry){.text = slm_arena_strdup(&r->arena, text), .vector = row, .number = number};
    return SLM_OK;
}

static slm_status read_vectors(recorded_embed *r, slm_error *err)
{
    slm_jsonl *reader = NULL;
    slm_status status = SLM_OK;
    SLM_TRY(slm_jsonl_open(r->path, &reader, err));
    for (;;) {
        json_t *object = NULL;
        size_t number = 0;
        SLM_TRY_OUT(slm_jsonl_next(reader, &object, &number, err));
        if (object == NULL) break;
        if (json_object_get(object, "vector") != NULL) status = read_vector(r, object, number, err);
        json_decref(object);
        if (status != SLM_OK) goto out;
    }
    if (r->count == 0) {
        status =
            slm_error_set(err, SLM_ERR_FORMAT, "%s: there is no recorded vector in it", r->path);
    } else {
        qsort(r->entries, r->count, sizeof *r->entries, compare_entries);
    }
out:
    slm_jsonl_close(reader);
    return status;
}

slm_status slm_embed_recorded_open(const char *path, slm_embed **out, slm_error *err)
{
    char hex[SLM_SHA256_HEX_BYTES];
    *out = NULL;
    SLM_TRY(slm_sha256_file(path, hex, err));
    recorded_embed *r = calloc(1, sizeof *r);
    if (r == NULL) slm_out_of_memory(sizeof *r);
    slm_buffer identity = {0};
    slm_buffer_printf(&identity, "recorded:%s", hex);
    r->embed.class = &recorded_class;
    r->embed.name = copy_text(slm_file_basename(path));
    r->embed.identity = slm_buffer_take(&identity);
    r->path = slm_arena_strdup(&r->arena, path);
    slm_status status = read_vectors(r, err);
    if (status != SLM_OK) {
        recorded_free(&r->embed);
        return status;
    }
    *out = &r->embed;
    return SLM_OK;
}
