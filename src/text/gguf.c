/* gguf.c: a tokenizer from a GGUF file's tokenizer.ggml.* metadata (docs/gguf.md of the ggml
 * project): byte-level BPE ("gpt2") and SentencePiece scores ("llama").
 *
 * What a SentencePiece file leaves out means what it means to llama.cpp: a space in front of a text,
 * BOS in front of a prompt, and 1, 2 and 0 for BOS, EOS and the unknown token. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "text/text_internal.h"

#define KEY_MODEL  "tokenizer.ggml.model"
#define KEY_PRE    "tokenizer.ggml.pre"
#define KEY_TOKENS "tokenizer.ggml.tokens"
#define KEY_TYPES  "tokenizer.ggml.token_type"
#define KEY_SCORES "tokenizer.ggml.scores"
#define KEY_MERGES "tokenizer.ggml.merges"

/* *out is NULL if the key is absent and not required. */
static slm_status find_array(const slm_tensors *file, const char *key, slm_meta_kind kind,
                             bool required, const slm_meta **out, slm_error *err)
{
    const slm_meta *meta = slm_meta_find(file, key);
    *out = meta;
    if (meta == NULL && !required) return SLM_OK;
    if (meta == NULL)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: metadata key '%s' is missing: the file holds no tokenizer; "
                             "convert the model again, with its tokenizer",
                             slm_tensors_path(file), key);
    if (meta->kind != SLM_META_ARRAY || meta->item_kind != kind)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: metadata key '%s' must be an array of %s",
                             slm_tensors_path(file), key,
                             kind == SLM_META_STRING    ? "strings"
                             : kind == SLM_META_INTEGER ? "integers"
                                                        : "numbers");
    return SLM_OK;
}

static slm_status read_type(const slm_tensors *file, const slm_meta *types, size_t id,
                            text_token_type *out, slm_error *err)
{
    int64_t type = types ? slm_meta_array_integer(types, id) : TEXT_TOKEN_NORMAL;
    if (type < TEXT_TOKEN_NORMAL || type > TEXT_TOKEN_BYTE)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata '%s': token %zu has type %" PRId64 "; 1 to 6 are known",
                             slm_tensors_path(file), KEY_TYPES, id, type);
    *out = (text_token_type)type;
    return SLM_OK;
}

/* User-defined tokens are looked for in every text, control and unknown ones on request. */
static void list_added(slm_tokenizer *t)
{
    for (int fill = 0; fill < 2; fill++) {
        size_t n = 0;
        for (size_t i = 0; i < t->count; i++) {
            const text_entry *entry = &t->entries[i];
            if (entry->type != TEXT_TOKEN_USER_DEFINED && entry->type != TEXT_TOKEN_CONTROL &&
                entry->type != TEXT_TOKEN_UNKNOWN)
                continue;
            if (fill)
                t->added[n] =
                    (text_added){.text = entry->text, .len = entry->text_len, .id = (slm_token)i};
            n++;
        }
        t->added_count = n;
        if (!fill) t->added = slm_arena_array(&t->arena, n, sizeof(*t->added));
    }
}

static slm_status read_tokens(slm_tokenizer *t, const slm_tensors *file, slm_error *err)
{
    const char *path = slm_tensors_path(file);
    const slm_meta *tokens, *types;
    SLM_TRY(find_array(file, KEY_TOKENS, SLM_META_STRING, true, &tokens, err));
    SLM_TRY(find_array(file, KEY_TYPES, SLM_META_INTEGER, false, &types, err));
    if (tokens->count == 0 || tokens->count > TEXT_MAX_TOKENS)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata '%s' holds %zu tokens; 1 to %d are "
                             "allowed",
                             path, KEY_TOKENS, tokens->count, TEXT_MAX_TOKENS);
    if (types != NULL && types->count != tokens->count)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata '%s' holds %zu types for %zu tokens", path, KEY_TYPES,
                             types->count, tokens->count);
    slm_text__tokens_begin(t, tokens->count);
    for (size_t i = 0; i < t->count; i++) {
        char why[96];
        size_t len;
        text_token_type type = TEXT_TOKEN_NORMAL;
        const char *text = slm_meta_array_string(tokens, i, &len);
        SLM_TRY(read_type(file, types, i, &type, err));
        const char *problem =
            slm_text__token_put(t, (slm_token)i, text, len, type, type == TEXT_TOKEN_NORMAL, why);
        if (problem != NULL)
            return slm_error_set(err, SLM_ERR_FORMAT, "%s: metadata '%s': token %zu %s", path,
                                 KEY_TOKENS, i, problem);
    }
    list_added(t);
    return SLM_OK;
}

static slm_status read_merges(slm_tokenizer *t, const slm_tensors *file, slm_error *err)
{
    const slm_meta *merges;
    SLM_TRY(find_array(file, KEY_MERGES, SLM_META_STRING, true, &merges, err));
    if (merges->count > TEXT_MAX_TOKENS)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata '%s' holds %zu merges; at most %d "
                             "are allowed",
                             slm_tensors_path(file), KEY_MERGES, merges->count, TEXT_MAX_TOKENS);
    slm_text__merges_begin(t, merges->count);
    for (size_t i = 0; i < merges->count; i++) {
        size_t len;
        const char *text = slm_meta_array_string(merges, i, &len), *why = NULL;
        const char *space = memchr(text, ' ', len);
        size_t left = space ? (size_t)(space - text) : 0, right = space ? len - left - 1 : 0;
        if (left == 0 || right == 0 || memchr(space + 1, ' ', right) != NULL)
            why = "is not two texts with one space between";
        else if (slm_text__merge_put(t, (uint32_t)i, text, left, space + 1, right, &why) ==
                 TEXT_MERGE_OK)
            continue;
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: metadata '%s': merge %zu ('%.*s') %s",
                             slm_tensors_path(file), KEY_MERGES, i, (int)(len > 80 ? 80 : len),
                             text, why);
    }
    return SLM_OK;
}

static slm_status read_scores(slm_tokenizer *t, const slm_tensors *file, slm_error *err)
{
    const slm_meta *scores;
    SLM_TRY(find_array(file, KEY_SCORES, SLM_META_REAL, true, &scores, err));
    if (scores->count != t->count)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata '%s' holds %zu scores for %zu tokens",
                             slm_tensors_path(file), KEY_SCORES, scores->count, t->count);
    float *values = malloc(t->count * sizeof(*values));
    if (values == NULL) slm_out_of_memory(t->count * sizeof(*values));
    size_t bad = t->count;
    for (size_t i = 0; i < t->count; i++) {
        values[i] = (float)slm_meta_array_real(scores, i);
        if (!isfinite(values[i]) && bad == t->count) bad = i;
    }
    if (bad == t->count) slm_text__rank_scores(t, values);
    free(values);
    if (bad < t->count)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata '%s': token %zu has a score that is no finite number",
                             slm_tensors_path(file), KEY_SCORES, bad);
    return SLM_OK;
}

static slm_status read_id(const slm_tokenizer *t, const slm_tensors *file, const char *key,
                          slm_token otherwise, slm_token *out, slm_error *err)
{
    int64_t id = (size_t)otherwise < t->count ? otherwise : -1;
    SLM_TRY(slm_meta_integer(file, key, false, &id, err));
    if (id < -1 || id >= (int64_t)t->count)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata '%s' is %" PRId64 " but the vocabulary has %zu tokens",
                             slm_tensors_path(file), key, id, t->count);
    *out = (slm_token)id;
    return SLM_OK;
}

static slm_status read_bytes_model(slm_tokenizer *t, const slm_tensors *file, slm_error *err)
{
    const char *pre = NULL;
    SLM_TRY(slm_meta_string(file, KEY_PRE, true, &pre, err));
    slm_status status = slm_text__rules_by_name(t, pre, err);
    if (status != SLM_OK) return slm_error_prefix(err, status, "%s", slm_tensors_path(file));
    SLM_TRY(read_tokens(t, file, err));
    SLM_TRY(read_merges(t, file, err));
    t->description =
        slm_arena_printf(&t->arena, "BPE, pre-tokenizer %s, %zu tokens", pre, t->count);
    return SLM_OK;
}

static slm_status read_scores_model(slm_tokenizer *t, const slm_tensors *file, slm_error *err)
{
    int64_t space = 1;
    text_rule *rule = NULL;
    t->model = TEXT_MODEL_SCORES;
    t->fuse_unknown = true;
    t->adds_bos = true;
    SLM_TRY(read_tokens(t, file, err));
    SLM_TRY(read_scores(t, file, err));
    SLM_TRY(read_id(t, file, "tokenizer.ggml.unknown_token_id", 0, &t->unknown, err));
    SLM_TRY(slm_meta_integer(file, "tokenizer.ggml.add_space_prefix", false, &space, err));
    if (space) {
        SLM_TRY(slm_text__rule_add(&t->normalise, TEXT_RULE_PREPEND, &rule, err));
        rule->content = TEXT_BLOCK;
        rule->content_len = TEXT_BLOCK_LEN;
        t->strip_first_space = true;
    }
    SLM_TRY(slm_text__rule_add(&t->normalise, TEXT_RULE_REPLACE, &rule, err));
    rule->content = TEXT_BLOCK;
    rule->content_len = TEXT_BLOCK_LEN;
    SLM_TRY(slm_text__regex_compile(" ", 1, true, &rule->regex, err));
    slm_text__decode_blocks(t);
    t->description = slm_arena_printf(&t->arena, "SentencePiece scores, %zu tokens", t->count);
    return SLM_OK;
}

static slm_status read_all(slm_tokenizer *t, const slm_tensors *file, slm_error *err)
{
    const char *model = NULL, *jinja = NULL;
    SLM_TRY(slm_meta_string(file, KEY_MODEL, true, &model, err));
    bool scores = strcmp(model, "llama") == 0;
    if (!scores && strcmp(model, "gpt2") != 0)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: tokenizer model '%s' is not supported; byte-level BPE ('gpt2') "
                             "and SentencePiece scores ('llama') are",
                             slm_tensors_path(file), model);
    SLM_TRY(scores ? read_scores_model(t, file, err) : read_bytes_model(t, file, err));
    SLM_TRY(slm_text__finish(t, err));
    SLM_TRY(read_id(t, file, "tokenizer.ggml.bos_token_id", scores ? 1 : -1, &t->bos, err));
    SLM_TRY(read_id(t, file, "tokenizer.ggml.eos_token_id", scores ? 2 : -1, &t->eos, err));
    int64_t adds_bos = t->adds_bos;
    SLM_TRY(slm_meta_integer(file, "tokenizer.ggml.add_bos_token", false, &adds_bos, err));
    t->adds_bos = adds_bos != 0 && t->bos >= 0;
    SLM_TRY(slm_meta_string(file, "tokenizer.chat_template", false, &jinja, err));
    t->chat_template = slm_arena_strdup(&t->arena, jinja);
    return SLM_OK;
}

slm_status slm_tokenizer_from_gguf(const slm_tensors *file, slm_tokenizer **out, slm_error *err)
{
    slm_tokenizer *t = slm_text__new();
    slm_status status = read_all(t, file, err);
    if (status != SLM_OK) {
        slm_tokenizer_free(t);
        return status;
    }
    *out = t;
    return SLM_OK;
}
