/* huggingface.c: a tokenizer from Hugging Face's tokenizer.json: BPE over bytes (GPT-2, Llama 3,
 * Qwen, SmolLM2) and over characters with byte tokens (Llama 2, Mistral), and WordPiece (BERT).
 *
 * The file is walked over twice. First only to find where its parts lie; then, in the order in which
 * they depend on each other, pre-tokenizer (which tells the kind of BPE), added tokens, vocabulary,
 * merges, decoder. Vocabulary and merges are read off the text straight into the tables, so that
 * memory is bounded by the file's size; the other parts are small and go through base/json, an
 * element at a time.
 *
 * What a merge may make is text: one that would join "<" and "s>" to the control token <s> is left
 * out, for a user may write that. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "text/scan.h"
#include "text/text_internal.h"

enum { MAX_PART = 1 << 19, MAX_CONFIG = 1 << 20, MAX_HOLES = 1024 };

typedef struct parts {
    text_slice added_tokens, normalizer, pre_tokenizer, post_processor, decoder, model;
    text_slice vocab, merges; /* of model */
    text_slice type, dropout, unk_token, prefix, suffix, fuse_unk, byte_fallback, ignore_merges;
    text_slice max_characters;
} parts;

typedef struct loader {
    slm_tokenizer *t;
    text_scan scan; /* the whole file */
    slm_json_place root;
    parts parts;
    slm_buffer key, text;
    size_t added_cap;
    const char *unknown;       /* the model's unk_token */
    bool byte_fallback, words; /* words: WordPiece */
    slm_error *err;
} loader;

/* ---- finding the parts --------------------------------------------------------------------- */

typedef struct wanted {
    const char *key;
    size_t offset; /* of a text_slice in parts */
} wanted;

static const wanted top_level[] = {
    {"added_tokens", offsetof(parts, added_tokens)},
    {"normalizer", offsetof(parts, normalizer)},
    {"pre_tokenizer", offsetof(parts, pre_tokenizer)},
    {"post_processor", offsetof(parts, post_processor)},
    {"decoder", offsetof(parts, decoder)},
    {"model", offsetof(parts, model)},
    {NULL, 0},
};

static const wanted in_model[] = {
    {"vocab", offsetof(parts, vocab)},
    {"merges", offsetof(parts, merges)},
    {"type", offsetof(parts, type)},
    {"dropout", offsetof(parts, dropout)},
    {"unk_token", offsetof(parts, unk_token)},
    {"continuing_subword_prefix", offsetof(parts, prefix)},
    {"end_of_word_suffix", offsetof(parts, suffix)},
    {"fuse_unk", offsetof(parts, fuse_unk)},
    {"byte_fallback", offsetof(parts, byte_fallback)},
    {"ignore_merges", offsetof(parts, ignore_merges)},
    {"max_input_chars_per_word", offsetof(parts, max_characters)},
    {NULL, 0},
};

static slm_status find_parts(loader *l, text_scan *scan, const wanted *list)
{
    bool first = true, more;
    SLM_TRY(slm_text__scan_open(scan, '{', l->err));
    for (;;) {
        text_slice value, *slot = NULL;
        SLM_TRY(slm_text__scan_next(scan, '}', &first, &more, l->err));
        if (!more) return SLM_OK;
        SLM_TRY(slm_text__scan_key(scan, &l->key, l->err));
        for (const wanted *w = list; w->key != NULL; w++) {
            if (strcmp(slm_buffer_text(&l->key), w->key) == 0)
                slot = (text_slice *)(void *)((char *)&l->parts + w->offset);
        }
        SLM_TRY(slm_text__scan_skip(scan, &value, l->err));
        if (slot == NULL) continue;
        if (slot->begin != NULL)
            return slm_text__scan_error(scan, l->err, "'%s' stands twice",
                                        slm_buffer_text(&l->key));
        *slot = value;
    }
}

/* A scan of a part, with the file's own line numbers in errors. */
static text_scan scan_of(const loader *l, const text_slice *part)
{
    text_scan scan = l->scan;
    scan.at = (size_t)(part->begin - scan.text);
    scan.len = scan.at + part->len;
    return scan;
}

/* *out NULL if the part is missing or null; else a new reference. */
static slm_status parse_part(loader *l, const text_slice *part, const char *key, json_t **out)
{
    *out = NULL;
    if (part->begin == NULL || (part->len == 4 && memcmp(part->begin, "null", 4) == 0))
        return SLM_OK;
    if (part->len > MAX_PART)
        return slm_error_set(l->err, SLM_ERR_UNSUPPORTED,
                             "%s: %s is %zu bytes long; at most %d are supported", l->scan.name,
                             key, part->len, MAX_PART);
    return slm_json_parse(part->begin, part->len, l->scan.name,
                          slm_text__scan_line(&l->scan, part->begin), out, l->err);
}

/* ---- the model's settings ------------------------------------------------------------------ */

static slm_status refuse(const loader *l, const char *key, const char *why)
{
    return slm_error_set(l->err, SLM_ERR_UNSUPPORTED, "%s: model.%s: %s", l->scan.name, key, why);
}

static slm_status read_text(loader *l, const text_slice *part, const char *key, const char **out)
{
    text_scan scan;
    *out = NULL;
    if (part->begin == NULL || (part->len == 4 && memcmp(part->begin, "null", 4) == 0))
        return SLM_OK;
    scan = scan_of(l, part);
    slm_status status = slm_text__scan_string(&scan, &l->text, l->err);
    if (status != SLM_OK) return slm_error_prefix(l->err, status, "model.%s", key);
    *out = slm_arena_strndup(&l->t->arena, slm_buffer_text(&l->text), l->text.len);
    return SLM_OK;
}

static slm_status read_flag(loader *l, const text_slice *part, const char *key, bool *out)
{
    text_scan scan;
    if (part->begin == NULL || (part->len == 4 && memcmp(part->begin, "null", 4) == 0))
        return SLM_OK;
    *out = part->len == 4 && memcmp(part->begin, "true", 4) == 0;
    if (*out || (part->len == 5 && memcmp(part->begin, "false", 5) == 0)) return SLM_OK;
    scan = scan_of(l, part);
    return slm_text__scan_error(&scan, l->err, "model.%s: expected a boolean", key);
}

static slm_status read_word_settings(loader *l, const char *prefix)
{
    slm_tokenizer *t = l->t;
    int32_t most = 100; /* what the library takes for granted, as it does the prefix */
    if (l->parts.vocab.begin == NULL)
        return slm_error_set(l->err, SLM_ERR_FORMAT,
                             "%s: model.vocab is missing: this is no WordPiece", l->scan.name);
    t->prefix = prefix != NULL ? prefix : "##";
    t->prefix_len = strlen(t->prefix);
    if (t->prefix_len > TEXT_MAX_TOKEN_BYTES / 2)
        return refuse(l, "continuing_subword_prefix", "so long a one is not supported");
    if (l->parts.max_characters.begin != NULL) {
        text_scan scan = scan_of(l, &l->parts.max_characters);
        SLM_TRY(slm_text__scan_id(&scan, &most, l->err));
    }
    t->max_characters = (size_t)most;
    return SLM_OK;
}

static slm_status read_settings(loader *l)
{
    const parts *p = &l->parts;
    slm_tokenizer *t = l->t;
    const char *type, *prefix, *suffix;
    SLM_TRY(read_text(l, &p->type, "type", &type));
    SLM_TRY(read_text(l, &p->prefix, "continuing_subword_prefix", &prefix));
    SLM_TRY(read_text(l, &p->suffix, "end_of_word_suffix", &suffix));
    SLM_TRY(read_text(l, &p->unk_token, "unk_token", &l->unknown));
    SLM_TRY(read_flag(l, &p->fuse_unk, "fuse_unk", &t->fuse_unknown));
    SLM_TRY(read_flag(l, &p->byte_fallback, "byte_fallback", &l->byte_fallback));
    SLM_TRY(read_flag(l, &p->ignore_merges, "ignore_merges", &t->whole_words));
    l->words = type != NULL && strcmp(type, "WordPiece") == 0;
    if (l->words) return read_word_settings(l, prefix);
    if (type != NULL && strcmp(type, "BPE") != 0)
        return slm_error_set(l->err, SLM_ERR_UNSUPPORTED,
                             "%s: model.type: '%s' is not supported; BPE and WordPiece are",
                             l->scan.name, type);
    if (p->vocab.begin == NULL || p->merges.begin == NULL)
        return slm_error_set(l->err, SLM_ERR_FORMAT, "%s: model.%s is missing: this is no BPE",
                             l->scan.name, p->vocab.begin ? "merges" : "vocab");
    if (prefix != NULL && prefix[0] != '\0')
        return refuse(l, "continuing_subword_prefix", "only none is supported");
    if (suffix != NULL && suffix[0] != '\0')
        return refuse(l, "end_of_word_suffix", "only none is supported");
    if (p->dropout.begin != NULL && *p->dropout.begin != 'n' &&
        strtod(p->dropout.begin, NULL) != 0.0)
        return refuse(l, "dropout", "merges left out at random are not supported; set it to null");
    return SLM_OK;
}

/* ---- added tokens -------------------------------------------------------------------------- */

/* One element of added_tokens. Whether it is special stays in *special. */
static slm_status read_added(loader *l, const json_t *value, const slm_json_place *place,
                             text_added *out, bool *special)
{
    const char *content;
    int64_t id;
    bool normalised = true;
    *out = (text_added){0};
    *special = false;
    if (!json_is_object(value)) return slm_json_error(place, l->err, "expected an object");
    SLM_TRY(slm_json_string(value, "content", place, &content, l->err));
    SLM_TRY(slm_json_integer(value, "id", place, &id, l->err));
    SLM_TRY(slm_json_bool_optional(value, "special", place, special, l->err));
    normalised = !*special;
    SLM_TRY(slm_json_bool_optional(value, "normalized", place, &normalised, l->err));
    SLM_TRY(slm_json_bool_optional(value, "lstrip", place, &out->left_strip, l->err));
    SLM_TRY(slm_json_bool_optional(value, "rstrip", place, &out->right_strip, l->err));
    SLM_TRY(slm_json_bool_optional(value, "single_word", place, &out->single_word, l->err));
    if (id < 0 || id >= TEXT_MAX_TOKENS)
        return slm_json_error(place, l->err, "id %" PRId64 " is not from 0 to %d", id,
                              TEXT_MAX_TOKENS - 1);
    if (content[0] == '\0' || strlen(content) > TEXT_MAX_TOKEN_BYTES)
        return slm_json_error(place, l->err, "content must have 1 to %d bytes",
                              TEXT_MAX_TOKEN_BYTES);
    out->id = (slm_token)id;
    out->normalised = normalised;
    out->text = slm_arena_strdup(&l->t->arena, content);
    out->len = (uint32_t)strlen(content);
    return SLM_OK;
}

static void append_added(loader *l, const text_added *added)
{
    slm_tokenizer *t = l->t;
    if (t->added_count == l->added_cap) {
        size_t cap = l->added_cap ? 2 * l->added_cap : 64;
        text_added *grown = slm_arena_array(&t->arena, cap, sizeof(*grown));
        if (t->added_count > 0) memcpy(grown, t->added, t->added_count * sizeof(*grown));
        t->added = grown;
        l->added_cap = cap;
    }
    t->added[t->added_count++] = *added;
}

/* special[i] tells the i-th added token; out. */
static slm_status read_added_tokens(loader *l, slm_buffer *special)
{
    const text_slice *part = &l->parts.added_tokens;
    const slm_json_place list = {.parent = &l->root, .key = "added_tokens"};
    bool first = true, more;
    if (part->begin == NULL || *part->begin == 'n') return SLM_OK;
    text_scan scan = scan_of(l, part);
    SLM_TRY(slm_text__scan_open(&scan, '[', l->err));
    for (size_t i = 0;; i++) {
        const slm_json_place place = {.parent = &list, .index = i};
        text_slice element;
        text_added added;
        bool is_special;
        json_t *value;
        SLM_TRY(slm_text__scan_next(&scan, ']', &first, &more, l->err));
        if (!more) return SLM_OK;
        SLM_TRY(slm_text__scan_skip(&scan, &element, l->err));
        SLM_TRY(parse_part(l, &element, "added_tokens", &value));
        slm_status status = read_added(l, value, &place, &added, &is_special);
        json_decref(value);
        SLM_TRY(status);
        append_added(l, &added);
        slm_buffer_append_char(special, is_special);
    }
}

/* ---- vocabulary ---------------------------------------------------------------------------- */

/* Calls for each member of vocab, or counts them: ids go up to *top - 1. */
static slm_status read_vocab(loader *l, bool put, size_t *number, size_t *top)
{
    text_scan scan = scan_of(l, &l->parts.vocab);
    bool first = true, more;
    SLM_TRY(slm_text__scan_open(&scan, '{', l->err));
    for (*number = 0;; ++*number) {
        int32_t id;
        char why[96];
        SLM_TRY(slm_text__scan_next(&scan, '}', &first, &more, l->err));
        if (!more) return SLM_OK;
        SLM_TRY(slm_text__scan_key(&scan, &l->text, l->err));
        SLM_TRY(slm_text__scan_id(&scan, &id, l->err));
        if (id >= TEXT_MAX_TOKENS)
            return slm_text__scan_error(&scan, l->err,
                                        "model.vocab: id %d is too high; ids up to %d are allowed",
                                        id, TEXT_MAX_TOKENS - 1);
        if ((size_t)id >= *top) *top = (size_t)id + 1;
        if (!put) continue;
        text_entry *entry = &l->t->entries[id];
        const char *text = slm_buffer_text(&l->text);
        if (entry->text_len > 0)
            return slm_text__scan_error(&scan, l->err, "model.vocab: two tokens have the id %d",
                                        id);
        /* Its type may be known from added_tokens. */
        text_token_type type = (text_token_type)entry->type;
        if (type == TEXT_TOKEN_UNUSED) type = TEXT_TOKEN_NORMAL;
        if (type == TEXT_TOKEN_NORMAL && l->byte_fallback &&
            slm_text__byte_of(text, l->text.len) >= 0 && l->t->model != TEXT_MODEL_BYTES)
            type = TEXT_TOKEN_BYTE;
        bool mapped = type == TEXT_TOKEN_NORMAL || type == TEXT_TOKEN_USER_DEFINED;
        const char *problem = slm_text__token_put(l->t, id, text, l->text.len, type, mapped, why);
        if (problem != NULL)
            return slm_text__scan_error(&scan, l->err, "model.vocab: token %d %s", id, problem);
    }
}

/* The types of added tokens before the vocabulary is put in, and afterwards those that it lacks. */
static slm_status put_added(loader *l, const slm_buffer *special, bool types)
{
    slm_tokenizer *t = l->t;
    for (size_t i = 0; i < t->added_count; i++) {
        const text_added *added = &t->added[i];
        text_entry *entry = &t->entries[added->id];
        text_token_type type = special->data[i] ? TEXT_TOKEN_CONTROL : TEXT_TOKEN_USER_DEFINED;
        char why[96];
        const char *problem = NULL;
        if (types) {
            entry->type = (uint8_t)type;
            continue;
        }
        if (entry->text_len == 0)
            problem = slm_text__token_put(t, added->id, added->text, added->len, type, false, why);
        else if (entry->text_len != added->len || memcmp(entry->text, added->text, added->len) != 0)
            problem = "has an id that another token has too";
        if (problem != NULL)
            return slm_error_set(l->err, SLM_ERR_FORMAT, "%s: added_tokens[%zu] ('%.80s') %s",
                                 l->scan.name, i, added->text, problem);
    }
    return SLM_OK;
}

static slm_status read_tokens(loader *l)
{
    slm_tokenizer *t = l->t;
    slm_buffer special = {0};
    size_t number, top = 0;
    slm_status status;
    SLM_TRY_OUT(read_added_tokens(l, &special));
    SLM_TRY_OUT(read_vocab(l, false, &number, &top));
    for (size_t i = 0; i < t->added_count; i++) {
        if ((size_t)t->added[i].id >= top) top = (size_t)t->added[i].id + 1;
    }
    if (number == 0 || top > 2 * (number + t->added_count) + MAX_HOLES) {
        status = slm_error_set(l->err, SLM_ERR_FORMAT,
                               "%s: model.vocab and added_tokens have %zu tokens with ids up to "
                               "%zu; that many ids without a token are not supported",
                               l->scan.name, number + t->added_count, top);
        goto out;
    }
    slm_text__tokens_begin(t, top);
    SLM_TRY_OUT(put_added(l, &special, true));
    SLM_TRY_OUT(read_vocab(l, true, &number, &top));
    SLM_TRY_OUT(put_added(l, &special, false));
    if (l->unknown != NULL) {
        t->unknown = slm_text__find_text(t, l->unknown, strlen(l->unknown));
        if (t->unknown < 0)
            status = refuse(l, "unk_token", "the vocabulary lacks it");
        else if (t->entries[t->unknown].type == TEXT_TOKEN_NORMAL) {
            t->entries[t->unknown].type = TEXT_TOKEN_UNKNOWN;
            t->entries[t->unknown].mapped = false;
        }
    }
out:
    slm_buffer_free(&special);
    return status;
}

/* ---- merges -------------------------------------------------------------------------------- */

/* The next element of merges: "a b" or ["a", "b"]. Both texts lie in l->text, the right one from
 * *right on; *separator bytes lie between them. */
static slm_status read_pair(loader *l, text_scan *scan, size_t *left, size_t *right)
{
    bool first = true, more;
    if (slm_text__scan_peek(scan) != '[') {
        SLM_TRY(slm_text__scan_string(scan, &l->text, l->err));
        const char *text = slm_buffer_text(&l->text), *end = text + l->text.len;
        const char *space = memchr(text, ' ', l->text.len);
        if (space == NULL || space == text || space + 1 == end ||
            memchr(space + 1, ' ', (size_t)(end - space - 1)) != NULL)
            return slm_text__scan_error(
                scan, l->err, "model.merges: '%.80s' is not two texts with one space between",
                text);
        *left = (size_t)(space - text);
        *right = *left + 1;
        return SLM_OK;
    }
    SLM_TRY(slm_text__scan_open(scan, '[', l->err));
    SLM_TRY(slm_text__scan_next(scan, ']', &first, &more, l->err));
    if (more) SLM_TRY(slm_text__scan_string(scan, &l->text, l->err));
    if (more) SLM_TRY(slm_text__scan_next(scan, ']', &first, &more, l->err));
    if (more) SLM_TRY(slm_text__scan_string(scan, &l->key, l->err));
    bool both = more;
    if (more) SLM_TRY(slm_text__scan_next(scan, ']', &first, &more, l->err));
    if (!both || more || l->text.len == 0 || l->key.len == 0)
        return slm_text__scan_error(scan, l->err, "model.merges: a pair must be two texts");
    *left = *right = l->text.len;
    slm_buffer_append(&l->text, slm_buffer_text(&l->key), l->key.len);
    return SLM_OK;
}

static slm_status read_merges(loader *l, bool put, size_t *count)
{
    text_scan scan = scan_of(l, &l->parts.merges);
    bool first = true, more;
    text_slice value;
    SLM_TRY(slm_text__scan_open(&scan, '[', l->err));
    for (*count = 0;; ++*count) {
        size_t left = 0, right = 0;
        const char *why = NULL;
        SLM_TRY(slm_text__scan_next(&scan, ']', &first, &more, l->err));
        if (!more) return SLM_OK;
        if (*count >= TEXT_MAX_TOKENS)
            return slm_text__scan_error(&scan, l->err, "model.merges: more than %d merges",
                                        TEXT_MAX_TOKENS);
        if (!put) {
            SLM_TRY(slm_text__scan_skip(&scan, &value, l->err));
            continue;
        }
        SLM_TRY(read_pair(l, &scan, &left, &right));
        const char *text = slm_buffer_text(&l->text);
        if (slm_text__merge_put(l->t, (uint32_t)*count, text, left, text + right,
                                l->text.len - right, &why) == TEXT_MERGE_BAD)
            return slm_text__scan_error(&scan, l->err, "model.merges: merge %zu ('%.*s' '%.*s') %s",
                                        *count, (int)(left > 80 ? 80 : left), text, 80,
                                        text + right, why);
    }
}

/* ---- the whole ----------------------------------------------------------------------------- */

static slm_status read_rules(loader *l)
{
    slm_tokenizer *t = l->t;
    json_t *value;
    slm_status status;
    const slm_json_place normalizer = {.parent = &l->root, .key = "normalizer"};
    const slm_json_place pre_tokenizer = {.parent = &l->root, .key = "pre_tokenizer"};
    SLM_TRY(parse_part(l, &l->parts.normalizer, "normalizer", &value));
    status = slm_text__json_normalizer(t, value, &normalizer, l->err);
    json_decref(value);
    SLM_TRY(status);
    SLM_TRY(parse_part(l, &l->parts.pre_tokenizer, "pre_tokenizer", &value));
    t->model = TEXT_MODEL_CHARS; /* unless there is a ByteLevel */
    status = slm_text__json_pre_tokenizer(t, value, &pre_tokenizer, l->err);
    json_decref(value);
    if (status == SLM_OK && l->words && t->model == TEXT_MODEL_BYTES)
        return slm_error_set(l->err, SLM_ERR_UNSUPPORTED,
                             "%s: pre_tokenizer: WordPiece over bytes is not supported",
                             l->scan.name);
    if (l->words) t->model = TEXT_MODEL_WORDS;
    return status;
}

static slm_status read_decoder(loader *l)
{
    slm_tokenizer *t = l->t;
    const slm_json_place place = {.parent = &l->root, .key = "decoder"};
    /* Where the file does not say how: the way back from what encoding does. */
    text_decoding how = {.byte_level = t->model == TEXT_MODEL_BYTES,
                         .blocks = t->model == TEXT_MODEL_CHARS,
                         .words = t->model == TEXT_MODEL_WORDS,
                         .byte_fallback = l->byte_fallback};
    json_t *value;
    SLM_TRY(parse_part(l, &l->parts.decoder, "decoder", &value));
    slm_status status = value ? slm_text__json_decoder(value, &place, &how, l->err) : SLM_OK;
    json_decref(value);
    SLM_TRY(status);
    if (how.byte_level != (t->model == TEXT_MODEL_BYTES) ||
        how.words != (t->model == TEXT_MODEL_WORDS) ||
        (l->byte_fallback && !how.byte_fallback && t->model == TEXT_MODEL_CHARS))
        return slm_error_set(l->err, SLM_ERR_UNSUPPORTED,
                             "%s: decoder: it does not undo what pre_tokenizer and model do",
                             l->scan.name);
    if (how.blocks) slm_text__decode_blocks(t);
    t->strip_first_space = how.strip;
    if (how.words) slm_text__decode_words(t);
    return SLM_OK;
}

/* The id of a token that stands around a text; -1 for NULL. */
static slm_status around_id(const loader *l, const char *text, slm_token *out)
{
    *out = text != NULL ? slm_text__find_text(l->t, text, strlen(text)) : -1;
    if (text == NULL || *out >= 0) return SLM_OK;
    return slm_error_set(l->err, SLM_ERR_FORMAT, "%s: post_processor: the vocabulary lacks '%s'",
                         l->scan.name, text);
}

static slm_status read_post_processor(loader *l)
{
    slm_tokenizer *t = l->t;
    const slm_json_place place = {.parent = &l->root, .key = "post_processor"};
    text_around around = {NULL, NULL};
    json_t *value;
    SLM_TRY(parse_part(l, &l->parts.post_processor, "post_processor", &value));
    slm_status status = slm_text__json_post_processor(value, &place, &around, l->err);
    if (status == SLM_OK) status = around_id(l, around.bos, &t->bos);
    /* What stands behind a text that is to be continued is not its end; WordPiece's is. */
    if (status == SLM_OK && l->words) status = around_id(l, around.eos, &t->eos);
    t->adds_bos = t->bos >= 0;
    json_decref(value);
    return status;
}

/* tokenizer_config.json: "bos_token": null, a text, or an object with its content. */
static slm_status config_token(const slm_tokenizer *t, const json_t *config, const char *key,
                               const slm_json_place *place, slm_token *out, slm_error *err)
{
    const json_t *value = json_object_get(config, key);
    const slm_json_place here = {.parent = place, .key = key};
    const char *text;
    if (json_is_object(value)) value = json_object_get(value, "content");
    if (value == NULL || json_is_null(value)) return SLM_OK;
    text = json_string_value(value);
    if (text == NULL) return slm_json_error(&here, err, "expected a text");
    slm_token id = slm_text__find_text(t, text, strlen(text));
    if (id < 0) return slm_json_error(&here, err, "the vocabulary lacks '%.80s'", text);
    *out = id;
    return SLM_OK;
}

/* "chat_template": a text, or a list of which the one named default is taken. */
static void config_template(slm_tokenizer *t, const json_t *config)
{
    const json_t *value = json_object_get(config, "chat_template");
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name != NULL && strcmp(name, "default") == 0) {
            value = json_object_get(item, "template");
            break;
        }
    }
    if (json_is_string(value))
        t->chat_template = slm_arena_strdup(&t->arena, json_string_value(value));
}

static slm_status read_config(slm_tokenizer *t, const char *name, const char *text, size_t len,
                              slm_error *err)
{
    json_t *config = NULL;
    const slm_json_place root = {.name = name};
    bool adds_bos = t->adds_bos;
    slm_status status = slm_json_parse(text, len, name, 1, &config, err);
    if (status != SLM_OK) return status;
    if (!json_is_object(config)) {
        status = slm_json_error(&root, err, "expected an object");
        goto out;
    }
    SLM_TRY_OUT(config_token(t, config, "bos_token", &root, &t->bos, err));
    SLM_TRY_OUT(config_token(t, config, "eos_token", &root, &t->eos, err));
    SLM_TRY_OUT(slm_json_bool_optional(config, "add_bos_token", &root, &adds_bos, err));
    t->adds_bos = adds_bos && t->bos >= 0;
    config_template(t, config);
out:
    json_decref(config);
    return status;
}

static slm_status load(loader *l)
{
    slm_tokenizer *t = l->t;
    size_t count;
    text_scan scan = l->scan;
    SLM_TRY(find_parts(l, &scan, top_level));
    SLM_TRY(slm_text__scan_end(&scan, l->err));
    if (l->parts.model.begin == NULL)
        return slm_error_set(l->err, SLM_ERR_FORMAT, "%s: 'model' is missing: this is no tokenizer",
                             l->scan.name);
    scan = scan_of(l, &l->parts.model);
    SLM_TRY(find_parts(l, &scan, in_model));
    SLM_TRY(read_settings(l));
    SLM_TRY(read_rules(l));
    SLM_TRY(read_tokens(l));
    if (!l->words) {
        SLM_TRY(read_merges(l, false, &count));
        slm_text__merges_begin(t, count);
        SLM_TRY(read_merges(l, true, &count));
    }
    SLM_TRY(read_decoder(l));
    SLM_TRY(slm_text__finish(t, l->err));
    t->description = slm_arena_printf(&t->arena, "%s, tokenizer.json, %zu tokens",
                                      l->words                       ? "WordPiece"
                                      : t->model == TEXT_MODEL_BYTES ? "BPE over bytes"
                                                                     : "BPE over characters",
                                      t->count);
    return read_post_processor(l);
}

slm_status slm_text__from_json(const char *name, const char *text, size_t len,
                               const char *config_name, const char *config, size_t config_len,
                               slm_tokenizer **out, slm_error *err)
{
    loader l = {.t = slm_text__new(),
                .scan = {.name = name, .text = text, .len = len},
                .root = {.name = name},
                .err = err};
    slm_status status = load(&l);
    if (status == SLM_OK && config != NULL)
        status = read_config(l.t, config_name, config, config_len, err);
    slm_buffer_free(&l.key);
    slm_buffer_free(&l.text);
    if (status != SLM_OK) {
        slm_tokenizer_free(l.t);
        return status;
    }
    *out = l.t;
    return SLM_OK;
}

/* A file that may lie beside `path`; *found tells. */
static slm_status read_beside(const char *path, const char *name, slm_buffer *where,
                              slm_buffer *text, bool *found, slm_error *err)
{
    slm_buffer_truncate(where, 0);
    slm_buffer_append(where, path, (size_t)(slm_file_basename(path) - path));
    slm_buffer_append_text(where, name);
    *found = slm_file_exists(slm_buffer_text(where));
    return *found ? slm_file_read(slm_buffer_text(where), MAX_CONFIG, text, err) : SLM_OK;
}

slm_status slm_tokenizer_from_json(const char *path, slm_tokenizer **out, slm_error *err)
{
    slm_file_map map = {0};
    slm_buffer where = {0}, config = {0}, jinja = {0};
    bool has_config = false, has_jinja = false;
    slm_tokenizer *t = NULL;
    slm_status status = slm_file_map_open(path, &map, err);
    if (status != SLM_OK) return status;
    SLM_TRY_OUT(read_beside(path, "chat_template.jinja", &where, &jinja, &has_jinja, err));
    SLM_TRY_OUT(read_beside(path, "tokenizer_config.json", &where, &config, &has_config, err));
    SLM_TRY_OUT(slm_text__from_json(
        path, map.data ? (const char *)map.data : "", map.size, slm_buffer_text(&where),
        has_config ? slm_buffer_text(&config) : NULL, config.len, &t, err));
    if (has_jinja) t->chat_template = slm_arena_strdup(&t->arena, slm_buffer_text(&jinja));
    *out = t;
out:
    slm_file_map_close(&map);
    slm_buffer_free(&where);
    slm_buffer_free(&config);
    slm_buffer_free(&jinja);
    return status;
}

/* ---- vocab.txt ----------------------------------------------------------------------------- */

/* What tokenizer_config.json says of a text's case and accents, as a normalizer. */
static slm_status append_normalizer(slm_buffer *out, const char *name, const slm_buffer *config,
                                    slm_error *err)
{
    const slm_json_place root = {.name = name};
    bool lower = true, ideographs = true, strip;
    json_t *object = NULL;
    slm_status status = SLM_OK;
    if (config->len > 0)
        SLM_TRY(slm_json_parse(slm_buffer_text(config), config->len, name, 1, &object, err));
    if (object != NULL && !json_is_object(object)) {
        status = slm_json_error(&root, err, "expected an object");
        goto out;
    }
    if (object != NULL) {
        SLM_TRY_OUT(slm_json_bool_optional(object, "do_lower_case", &root, &lower, err));
        SLM_TRY_OUT(
            slm_json_bool_optional(object, "tokenize_chinese_chars", &root, &ideographs, err));
    }
    strip = lower;
    if (object != NULL)
        SLM_TRY_OUT(slm_json_bool_optional(object, "strip_accents", &root, &strip, err));
    slm_buffer_printf(out,
                      "\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":%s,"
                      "\"handle_chinese_chars\":%s,\"strip_accents\":%s},",
                      lower ? "true" : "false", ideographs ? "true" : "false",
                      strip ? "true" : "false");
out:
    json_decref(object);
    return status;
}

/* The lines as `vocab`, in a tokenizer.json of the parts that BERT's have. */
static void append_lines(slm_buffer *out, const char *text, size_t len)
{
    static const char *const special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    slm_buffer added = {0};
    size_t id = 0;
    slm_buffer_append_text(out, "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
                                "\"vocab\":{");
    for (size_t at = 0; at < len; id++) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t line = end != NULL ? (size_t)(end - text) - at : len - at;
        const size_t next = at + line + 1;
        while (line > 0 && text[at + line - 1] == '\r')
            line--;
        if (id > 0) slm_buffer_append_char(out, ',');
        slm_json_append_string(out, text + at, line);
        slm_buffer_printf(out, ":%zu", id);
        for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
            if (strlen(special[i]) == line && memcmp(special[i], text + at, line) == 0)
                slm_buffer_printf(&added, "%s{\"id\":%zu,\"content\":\"%s\",\"special\":true}",
                                  added.len > 0 ? "," : "", id, special[i]);
        at = next;
    }
    slm_buffer_printf(out, "}},\"added_tokens\":[%s]}", slm_buffer_text(&added));
    slm_buffer_free(&added);
}

slm_status slm_tokenizer_from_vocab(const char *path, slm_tokenizer **out, slm_error *err)
{
    enum { MAX_VOCAB = 64 << 20 };
    slm_buffer where = {0}, config = {0}, lines = {0}, json = {0};
    bool has_config = false;
    slm_status status = slm_file_read(path, MAX_VOCAB, &lines, err);
    if (status != SLM_OK) goto out;
    SLM_TRY_OUT(read_beside(path, "tokenizer_config.json", &where, &config, &has_config, err));
    slm_buffer_append_text(&json,
                           "{\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
                           "\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"[CLS]\",0],"
                           "\"sep\":[\"[SEP]\",0]},");
    SLM_TRY_OUT(append_normalizer(&json, slm_buffer_text(&where), &config, err));
    append_lines(&json, slm_buffer_text(&lines), lines.len);
    status = slm_text__from_json(path, slm_buffer_text(&json), json.len, NULL, NULL, 0, out, err);
out:
    slm_buffer_free(&where);
    slm_buffer_free(&config);
    slm_buffer_free(&lines);
    slm_buffer_free(&json);
    return status;
}
