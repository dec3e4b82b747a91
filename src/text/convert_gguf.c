/* convert_gguf.c: a Hugging Face folder's tokenizer as a GGUF file's tokenizer.ggml.* metadata.
 *
 * A GGUF file does not hold cutting rules but a name for them, so tokenizer.json's rules are compared
 * with those that the names stand for, and what fits none is refused: with the wrong name a program
 * would read other ids than the model was taught. BPE over characters (Llama 2) becomes
 * SentencePiece's scores: minus the rank of the merge that makes a token. Merging by score takes the
 * pair whose result scores highest, whichever merge makes it, so that is the same only where the
 * merges of one token stand together; else it is refused too. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "text/text_internal.h"

typedef struct reader {
    const char *path;
    const json_t *root; /* of tokenizer.json */
    const slm_tokenizer *t;
    slm_gguf_meta *out;
    size_t vocabulary;
    slm_error *err;
} reader;

static slm_status refuse(const reader *r, const char *what)
{
    return slm_error_set(r->err, SLM_ERR_UNSUPPORTED,
                         "%s: %s; a GGUF file cannot say that: use --format safetensors", r->path,
                         what);
}

/* ---- which name the rules have ------------------------------------------------------------- */

/* The pattern of one pre-tokenizer; "" if it cuts nothing, NULL if no family has it. */
static const char *pattern_of(const json_t *step)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    const json_t *prefix = json_object_get(step, "add_prefix_space");
    if (!type) return NULL;
    if (strcmp(type, "Digits") == 0)
        return json_is_true(json_object_get(step, "individual_digits")) ? TEXT_PATTERN_NUMBER
                                                                        : NULL;
    if (strcmp(type, "ByteLevel") == 0) {
        if (!json_is_false(prefix)) return NULL;
        return json_is_false(json_object_get(step, "use_regex")) ? "" : TEXT_PATTERN_GPT2;
    }
    const char *behaviour = json_string_value(json_object_get(step, "behavior"));
    if (strcmp(type, "Split") != 0 || !behaviour || strcmp(behaviour, "Isolated") != 0 ||
        json_is_true(json_object_get(step, "invert")))
        return NULL;
    return json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex"));
}

static bool read_patterns(const json_t *pre, const char *out[2])
{
    size_t count = 0, steps = 1;
    const json_t *list = json_object_get(pre, "pretokenizers");
    if (list) steps = json_array_size(list);
    out[0] = out[1] = NULL;
    for (size_t i = 0; i < steps; i++) {
        const char *pattern = pattern_of(list ? json_array_get(list, i) : pre);
        if (!pattern || (pattern[0] && count == 2)) return false;
        if (pattern[0]) out[count++] = pattern;
    }
    return true;
}

static bool same_pattern(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static slm_status find_family(const reader *r, const text_family **out)
{
    const char *patterns[2];
    const text_rules *normal = &r->t->normalise;
    const bool nfc = normal->count == 1 && normal->items[0].kind == TEXT_RULE_NFC;
    if (normal->count > (nfc ? 1u : 0u)) return refuse(r, "normalizer: it is not NFC alone");
    if (!read_patterns(json_object_get(r->root, "pre_tokenizer"), patterns))
        return refuse(r, "pre_tokenizer: its steps are none that have a name");
    for (size_t i = 0; (*out = slm_text__family(i)) != NULL; i++)
        if (same_pattern((*out)->patterns[0], patterns[0]) &&
            same_pattern((*out)->patterns[1], patterns[1]) && (*out)->nfc == nfc &&
            (*out)->whole_words == r->t->whole_words)
            return SLM_OK;
    return refuse(r, "pre_tokenizer: its expressions are none that have a name (smollm, gpt-2, "
                     "qwen2, llama-bpe)");
}

/* ---- merges and scores --------------------------------------------------------------------- */

/* The two texts of a merge; false if it is none. */
static bool merge_parts(const json_t *merge, const char **left, size_t *left_len,
                        const char **right, size_t *right_len)
{
    if (json_is_array(merge)) {
        const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
        *left = json_string_value(a);
        *right = json_string_value(b);
        *left_len = json_string_length(a);
        *right_len = json_string_length(b);
        return *left && *right;
    }
    const char *text = json_string_value(merge), *space = text ? strchr(text, ' ') : NULL;
    if (!space) return false;
    *left = text;
    *left_len = (size_t)(space - text);
    *right = space + 1;
    *right_len = json_string_length(merge) - *left_len - 1;
    return true;
}

static void add_merges(const reader *r, const json_t *merges)
{
    slm_buffer text = {0};
    slm_gguf_add_strings(r->out, "tokenizer.ggml.merges", json_array_size(merges));
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const char *left, *right;
        size_t left_len, right_len;
        slm_buffer_truncate(&text, 0);
        if (merge_parts(json_array_get(merges, i), &left, &left_len, &right, &right_len)) {
            slm_buffer_append(&text, left, left_len);
            slm_buffer_append_char(&text, ' ');
            slm_buffer_append(&text, right, right_len);
        }
        slm_gguf_put_string(r->out, slm_buffer_text(&text), text.len);
    }
    slm_buffer_free(&text);
}

/* Minus the rank of the first merge that makes a token, into scores, which hold NAN before. */
static slm_status rank_merges(const reader *r, const json_t *merges, float *scores)
{
    slm_buffer text = {0};
    slm_token last = -1;
    slm_status status = SLM_OK;
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const char *left, *right;
        size_t left_len, right_len;
        if (!merge_parts(json_array_get(merges, i), &left, &left_len, &right, &right_len)) continue;
        slm_buffer_truncate(&text, 0);
        slm_buffer_append(&text, left, left_len);
        slm_buffer_append(&text, right, right_len);
        const slm_token id = slm_text__find_text(r->t, slm_buffer_text(&text), text.len);
        if (id < 0 || id == last) continue;
        last = id;
        if (!isnan(scores[id])) {
            status = refuse(r, "model.merges: the merges of a token do not stand together");
            break;
        }
        scores[id] = -(float)i;
    }
    slm_buffer_free(&text);
    return status;
}

static slm_status add_scores(const reader *r, const json_t *merges)
{
    float *scores = malloc(r->vocabulary * sizeof *scores);
    if (!scores) slm_out_of_memory(r->vocabulary * sizeof *scores);
    const float below = -(float)json_array_size(merges);
    for (size_t i = 0; i < r->vocabulary; i++)
        scores[i] = NAN;
    slm_status status = rank_merges(r, merges, scores);
    for (size_t i = 0; i < r->vocabulary; i++) {
        const bool text = i < r->t->count && r->t->entries[i].type == TEXT_TOKEN_NORMAL;
        if (isnan(scores[i])) scores[i] = text ? below - (float)i : 0.0f;
    }
    if (status == SLM_OK) slm_gguf_add_f32s(r->out, "tokenizer.ggml.scores", scores, r->vocabulary);
    free(scores);
    return status;
}

/* ---- tokens -------------------------------------------------------------------------------- */

/* Rows behind the vocabulary get texts of their own: every id must have one. */
static void add_tokens(const reader *r)
{
    int32_t *types = malloc((r->vocabulary + 1) * sizeof *types);
    if (!types) slm_out_of_memory(r->vocabulary * sizeof *types);
    slm_gguf_add_strings(r->out, "tokenizer.ggml.tokens", r->vocabulary);
    for (size_t i = 0; i < r->vocabulary; i++) {
        const text_entry *entry = i < r->t->count ? &r->t->entries[i] : NULL;
        char name[32];
        types[i] = entry && entry->text_len > 0 ? entry->type : TEXT_TOKEN_UNUSED;
        if ((slm_token)i == r->t->unknown) types[i] = TEXT_TOKEN_UNKNOWN;
        if (entry && entry->text_len > 0)
            slm_gguf_put_string(r->out, entry->text, entry->text_len);
        else
            slm_gguf_put_string(r->out, name, (size_t)snprintf(name, sizeof name, "[PAD%zu]", i));
    }
    slm_gguf_add_i32s(r->out, "tokenizer.ggml.token_type", types, r->vocabulary);
    free(types);
}

static void add_id(const reader *r, const char *key, slm_token id)
{
    if (id >= 0) slm_gguf_add_u32(r->out, key, (uint32_t)id);
}

/* "pad_token": a text, or an object with its content. */
static slm_token config_id(const reader *r, const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    if (json_is_object(value)) value = json_object_get(value, "content");
    const char *text = json_string_value(value);
    return text ? slm_text__find_text(r->t, text, strlen(text)) : -1;
}

static void add_rest(const reader *r, const json_t *config)
{
    const slm_tokenizer *t = r->t;
    add_id(r, "tokenizer.ggml.bos_token_id", t->bos);
    add_id(r, "tokenizer.ggml.eos_token_id", t->eos);
    add_id(r, "tokenizer.ggml.unknown_token_id",
           t->unknown >= 0 ? t->unknown : config_id(r, config, "unk_token"));
    add_id(r, "tokenizer.ggml.padding_token_id", config_id(r, config, "pad_token"));
    slm_gguf_add_bool(r->out, "tokenizer.ggml.add_bos_token", t->adds_bos);
    if (t->chat_template)
        slm_gguf_add_string(r->out, "tokenizer.chat_template", t->chat_template,
                            strlen(t->chat_template));
}

/* SentencePiece's way with spaces, in a normalizer or in a Metaspace: all that a GGUF file has for
 * BPE over characters. *prefix: a space is put in front. */
static bool reads_blocks(const slm_tokenizer *t, bool *prefix)
{
    const text_rules *normal = &t->normalise, *cut = &t->cut;
    *prefix = false;
    if (normal->count == 0 && cut->count > 0 && cut->items[0].kind == TEXT_RULE_METASPACE) {
        *prefix = cut->items[0].prepend != TEXT_PREPEND_NEVER;
        return true;
    }
    if (normal->count == 0 || normal->count > 2 || cut->count > 0) return false;
    const text_rule *last = &normal->items[normal->count - 1];
    *prefix = normal->count == 2;
    if (*prefix && normal->items[0].kind != TEXT_RULE_PREPEND) return false;
    return last->kind == TEXT_RULE_REPLACE && strcmp(last->content, TEXT_BLOCK) == 0;
}

static slm_status convert(const reader *r, const json_t *config)
{
    const json_t *merges = json_object_get(json_object_get(r->root, "model"), "merges");
    const text_family *family = NULL;
    if (r->t->model == TEXT_MODEL_BYTES) SLM_TRY(find_family(r, &family));
    bool prefix = false;
    if (!family && r->t->model != TEXT_MODEL_CHARS) return refuse(r, "model.type: it is not BPE");
    if (!family && !reads_blocks(r->t, &prefix))
        return refuse(r, "normalizer: it is not SentencePiece's");
    if (r->t->count > r->vocabulary)
        return slm_error_set(r->err, SLM_ERR_FORMAT,
                             "%s: %zu tokens, but the model has %zu rows for them; this is another "
                             "model's tokenizer",
                             r->path, r->t->count, r->vocabulary);
    const char *model = family ? "gpt2" : "llama";
    slm_gguf_add_string(r->out, "tokenizer.ggml.model", model, strlen(model));
    const char *pre = family ? family->name : "default";
    slm_gguf_add_string(r->out, "tokenizer.ggml.pre", pre, strlen(pre));
    add_tokens(r);
    if (family) {
        add_merges(r, merges);
    } else {
        SLM_TRY(add_scores(r, merges));
        slm_gguf_add_bool(r->out, "tokenizer.ggml.add_space_prefix", prefix);
    }
    add_rest(r, config);
    return SLM_OK;
}

slm_status slm_tokenizer_convert_to_gguf(const char *folder, size_t vocabulary, slm_gguf_meta *out,
                                         slm_error *err)
{
    slm_status status = SLM_OK;
    slm_buffer path = {0}, beside = {0};
    slm_tokenizer *t = NULL;
    json_t *root = NULL, *config = NULL;
    slm_file_join(&path, folder, "tokenizer.json");
    slm_file_join(&beside, folder, "tokenizer_config.json");
    if (!slm_file_exists(slm_buffer_text(&path))) {
        status = slm_error_set(err, SLM_ERR_NOT_FOUND,
                               "%s holds no tokenizer.json: fetch the whole folder", folder);
        goto out;
    }
    SLM_TRY_OUT(slm_tokenizer_from_json(slm_buffer_text(&path), &t, err));
    SLM_TRY_OUT(slm_json_load(slm_buffer_text(&path), &root, err));
    if (slm_file_exists(slm_buffer_text(&beside)))
        SLM_TRY_OUT(slm_json_load(slm_buffer_text(&beside), &config, err));
    const reader r = {.path = slm_buffer_text(&path),
                      .root = root,
                      .t = t,
                      .out = out,
                      .vocabulary = vocabulary,
                      .err = err};
    SLM_TRY_OUT(convert(&r, config));
out:
    json_decref(root);
    json_decref(config);
    slm_tokenizer_free(t);
    slm_buffer_free(&path);
    slm_buffer_free(&beside);
    return status;
}
