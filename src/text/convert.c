/* convert.c: a GGUF file's tokenizer as the files of a Hugging Face folder.
 *
 * Byte-level BPE is written as it stands: vocabulary, merges, and the cutting rules that
 * tokenizer.ggml.pre names. SentencePiece's scores become merges, as transformers makes them: every
 * way to make a token of two others is a merge, and merges are in the order of their token's score,
 * the highest first, then of the left part's and the right part's length. Merging by rank then takes
 * the pairs that merging by score takes. */
#include <stdlib.h>
#include <string.h>
#include "text/text_internal.h"

typedef struct writer {
    const slm_tokenizer *t;
    const slm_tensors *file;
    const slm_meta *merges, *scores; /* NULL where the file has none */
    const text_family *family;       /* of byte-level BPE */
    slm_buffer *out;
    slm_token unknown, pad;
} writer;

static const slm_meta *array_of(const slm_tensors *file, const char *key)
{
    const slm_meta *meta = slm_meta_find(file, key);
    return meta && meta->kind == SLM_META_ARRAY ? meta : NULL;
}

static void append_token(slm_buffer *out, const slm_tokenizer *t, slm_token id)
{
    slm_json_append_string(out, t->entries[id].text, t->entries[id].text_len);
}

static bool is_added(const text_entry *entry)
{
    return entry->type == TEXT_TOKEN_CONTROL || entry->type == TEXT_TOKEN_UNKNOWN ||
           entry->type == TEXT_TOKEN_USER_DEFINED;
}

static void append_added(const writer *w)
{
    bool first = true;
    slm_buffer_append_text(w->out, "\"added_tokens\":[");
    for (size_t i = 0; i < w->t->count; i++) {
        const text_entry *entry = &w->t->entries[i];
        if (!is_added(entry)) continue;
        slm_buffer_printf(w->out, "%s\n{\"id\":%zu,\"content\":", first ? "" : ",", i);
        append_token(w->out, w->t, (slm_token)i);
        slm_buffer_printf(w->out,
                          ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                          "\"normalized\":false,\"special\":%s}",
                          entry->type == TEXT_TOKEN_USER_DEFINED ? "false" : "true");
        first = false;
    }
    slm_buffer_append_text(w->out, "],\n");
}

static void append_pattern(slm_buffer *out, const char *pattern)
{
    slm_buffer_append_text(out, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
    slm_json_append_string(out, pattern, strlen(pattern));
    slm_buffer_append_text(out, "},\"behavior\":\"Isolated\",\"invert\":false},");
}

/* The parts around a byte-level model. */
static void append_byte_rules(const writer *w)
{
    bool gpt2 = false;
    slm_buffer_printf(w->out,
                      "\"normalizer\":%s,\n\"pre_tokenizer\":{\"type\":\"Sequence\","
                      "\"pretokenizers\":[",
                      w->family->nfc ? "{\"type\":\"NFC\"}" : "null");
    for (size_t i = 0; i < 2 && w->family->patterns[i]; i++) {
        const char *pattern = w->family->patterns[i];
        gpt2 = strcmp(pattern, TEXT_PATTERN_GPT2) == 0;
        if (strcmp(pattern, TEXT_PATTERN_NUMBER) == 0)
            slm_buffer_append_text(w->out, "{\"type\":\"Digits\",\"individual_digits\":true},");
        else if (!gpt2)
            append_pattern(w->out, pattern);
    }
    slm_buffer_printf(w->out,
                      "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
                      "\"use_regex\":%s}]},\n",
                      gpt2 ? "true" : "false");
    slm_buffer_append_text(w->out, "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
                                   "\"trim_offsets\":true,\"use_regex\":true},\n");
}

/* The parts around SentencePiece's: spaces become U+2581, one stands in front. */
static void append_block_rules(const writer *w)
{
    const bool prefix = w->t->strip_first_space;
    slm_buffer_append_text(w->out, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    if (prefix)
        slm_buffer_append_text(w->out, "{\"type\":\"Prepend\",\"prepend\":\"" TEXT_BLOCK "\"},");
    slm_buffer_append_text(
        w->out, "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" TEXT_BLOCK
                "\"}]},\n\"pre_tokenizer\":null,\n\"decoder\":{\"type\":\"Sequence\",\"decoders\":["
                "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" TEXT_BLOCK
                "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}");
    if (prefix)
        slm_buffer_append_text(w->out,
                               ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}");
    slm_buffer_append_text(w->out, "]},\n");
}

/* BOS in front of a text, where the file asks for it. */
static void append_template(const writer *w)
{
    slm_buffer *out = w->out;
    const slm_token bos = w->t->adds_bos ? w->t->bos : -1;
    const char *const heads[] = {"\"single\":[", "\"pair\":["};
    slm_buffer_append_text(out, "\"post_processor\":{\"type\":\"TemplateProcessing\",");
    for (int pair = 0; pair < 2; pair++) {
        slm_buffer_append_text(out, heads[pair]);
        for (int part = 0; part <= pair; part++) {
            if (part) slm_buffer_append_char(out, ',');
            if (bos >= 0) {
                slm_buffer_append_text(out, "{\"SpecialToken\":{\"id\":");
                append_token(out, w->t, bos);
                slm_buffer_printf(out, ",\"type_id\":%d}},", part);
            }
            slm_buffer_printf(out, "{\"Sequence\":{\"id\":\"%c\",\"type_id\":%d}}",
                              part ? 'B' : 'A', part);
        }
        slm_buffer_append_text(out, "],");
    }
    slm_buffer_append_text(out, "\"special_tokens\":{");
    if (bos >= 0) {
        append_token(out, w->t, bos);
        slm_buffer_append_text(out, ":{\"id\":");
        append_token(out, w->t, bos);
        slm_buffer_printf(out, ",\"ids\":[%d],\"tokens\":[", bos);
        append_token(out, w->t, bos);
        slm_buffer_append_text(out, "]}");
    }
    slm_buffer_append_text(out, "}},\n");
}

/* Added tokens stand here too: their ids would be others if they did not. */
static void append_vocabulary(const writer *w)
{
    bool first = true;
    slm_buffer_append_text(w->out, "\"vocab\":{");
    for (size_t i = 0; i < w->t->count; i++) {
        if (w->t->entries[i].type == TEXT_TOKEN_UNUSED) continue;
        slm_buffer_append_text(w->out, first ? "\n" : ",\n");
        append_token(w->out, w->t, (slm_token)i);
        slm_buffer_printf(w->out, ":%zu", i);
        first = false;
    }
    slm_buffer_append_text(w->out, "},\n");
}

static void append_merge(slm_buffer *out, bool first, const char *left, size_t left_len,
                         const char *right, size_t right_len)
{
    slm_buffer_append_text(out, first ? "\n[" : ",\n[");
    slm_json_append_string(out, left, left_len);
    slm_buffer_append_char(out, ',');
    slm_json_append_string(out, right, right_len);
    slm_buffer_append_char(out, ']');
}

static void append_given_merges(const writer *w)
{
    for (size_t i = 0; i < w->merges->count; i++) {
        size_t len;
        const char *text = slm_meta_array_string(w->merges, i, &len);
        const char *space = memchr(text, ' ', len); /* there is one: the file was loaded */
        const size_t left = (size_t)(space - text);
        append_merge(w->out, i == 0, text, left, space + 1, len - left - 1);
    }
}

/* ---- merges from scores -------------------------------------------------------------------- */

typedef struct score_merge {
    double score;
    slm_token id, left, right;          /* id: what they make */
    uint32_t left_length, right_length; /* in characters */
} score_merge;

static int by_score(const void *a_in, const void *b_in)
{
    const score_merge *a = a_in, *b = b_in;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    if (a->id != b->id) return a->id < b->id ? -1 : 1;
    if (a->left_length != b->left_length) return a->left_length > b->left_length ? -1 : 1;
    if (a->right_length != b->right_length) return a->right_length > b->right_length ? -1 : 1;
    if (a->left != b->left) return a->left < b->left ? -1 : 1;
    return (a->right > b->right) - (a->right < b->right);
}

static uint32_t characters(const char *text, size_t len)
{
    uint32_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* What merging may make: normal tokens alone, as SentencePiece. */
static slm_token mergeable(const slm_tokenizer *t, const char *text, size_t len)
{
    slm_token id = slm_text__find_text(t, text, len);
    return id >= 0 && t->entries[id].type == TEXT_TOKEN_NORMAL ? id : -1;
}

static void find_splits(const writer *w, slm_token id, slm_buffer *merges)
{
    const text_entry *entry = &w->t->entries[id];
    for (size_t at = 1; at < entry->text_len; at++) {
        if (((unsigned char)entry->text[at] & 0xc0) == 0x80) continue;
        const slm_token left = mergeable(w->t, entry->text, at);
        const slm_token right = mergeable(w->t, entry->text + at, entry->text_len - at);
        if (left < 0 || right < 0) continue;
        const score_merge merge = {.score = slm_meta_array_real(w->scores, (size_t)id),
                                   .id = id,
                                   .left = left,
                                   .right = right,
                                   .left_length = characters(entry->text, at),
                                   .right_length =
                                       characters(entry->text + at, entry->text_len - at)};
        slm_buffer_append(merges, &merge, sizeof merge);
    }
}

/* Of two tokens with one score the first in the text is made first, whichever it is; ranks cannot
 * say that. */
static slm_status refuse_equal(const writer *w, const score_merge *list, size_t count,
                               slm_error *err)
{
    slm_token previous = -1;
    double score = 0;
    for (size_t i = 0; i < count; i++) {
        if (previous >= 0 && list[i].id != previous && list[i].score == score)
            return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                                 "%s: metadata 'tokenizer.ggml.scores': two tokens have the score "
                                 "%g, and tokenizer.json has no word for that: use --format gguf",
                                 slm_tensors_path(w->file), score);
        previous = list[i].id;
        score = list[i].score;
    }
    return SLM_OK;
}

static slm_status append_score_merges(const writer *w, slm_error *err)
{
    slm_buffer merges = {0};
    slm_status status = SLM_OK;
    for (size_t i = 0; i < w->t->count; i++)
        if (w->t->entries[i].type == TEXT_TOKEN_NORMAL) find_splits(w, (slm_token)i, &merges);
    const size_t count = merges.len / sizeof(score_merge);
    score_merge *list = (score_merge *)(void *)merges.data;
    if (count > 0) qsort(list, count, sizeof *list, by_score);
    status = refuse_equal(w, list, count, err);
    for (size_t i = 0; i < count && status == SLM_OK; i++) {
        const text_entry *left = &w->t->entries[list[i].left];
        const text_entry *right = &w->t->entries[list[i].right];
        append_merge(w->out, i == 0, left->text, left->text_len, right->text, right->text_len);
    }
    slm_buffer_free(&merges);
    return status;
}

/* ---- the files ----------------------------------------------------------------------------- */

static slm_status append_tokenizer(const writer *w, slm_error *err)
{
    const bool bytes = w->family != NULL;
    slm_buffer_append_text(w->out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n");
    append_added(w);
    if (bytes)
        append_byte_rules(w);
    else
        append_block_rules(w);
    append_template(w);
    slm_buffer_append_text(w->out, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    if (w->unknown >= 0 && !bytes)
        append_token(w->out, w->t, w->unknown);
    else
        slm_buffer_append_text(w->out, "null");
    slm_buffer_printf(w->out,
                      ",\"continuing_subword_prefix\":%s,\"end_of_word_suffix\":%s,\"fuse_unk\":%s,"
                      "\"byte_fallback\":%s,\"ignore_merges\":%s,\n",
                      bytes ? "\"\"" : "null", bytes ? "\"\"" : "null", bytes ? "false" : "true",
                      bytes ? "false" : "true", bytes && w->family->whole_words ? "true" : "false");
    append_vocabulary(w);
    slm_buffer_append_text(w->out, "\"merges\":[");
    if (bytes)
        append_given_merges(w);
    else
        SLM_TRY(append_score_merges(w, err));
    slm_buffer_append_text(w->out, "]}}\n");
    return SLM_OK;
}

static void append_special(const writer *w, slm_buffer *out, const char *key, slm_token id)
{
    if (id < 0) return;
    slm_buffer_printf(out, "%s\n  \"%s\": ", out->len > 1 ? "," : "", key);
    append_token(out, w->t, id);
}

static void append_specials(const writer *w, slm_buffer *out)
{
    slm_buffer_append_char(out, '{');
    append_special(w, out, "bos_token", w->t->bos);
    append_special(w, out, "eos_token", w->t->eos);
    append_special(w, out, "unk_token", w->unknown);
    append_special(w, out, "pad_token", w->pad);
}

static void append_config(const writer *w, int context, slm_buffer *out)
{
    append_specials(w, out);
    slm_buffer_printf(out,
                      "%s\n  \"add_bos_token\": %s,\n  \"clean_up_tokenization_spaces\": false,\n"
                      "  \"model_max_length\": %d,\n"
                      "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"",
                      out->len > 1 ? "," : "", w->t->adds_bos ? "true" : "false", context);
    if (w->t->chat_template) {
        slm_buffer_append_text(out, ",\n  \"chat_template\": ");
        slm_json_append_string(out, w->t->chat_template, strlen(w->t->chat_template));
    }
    slm_buffer_append_text(out, "\n}\n");
}

/* An id that no part of slm needs; outside the vocabulary it is none. */
static slm_token optional_id(const writer *w, const char *key)
{
    const slm_meta *meta = slm_meta_find(w->file, key);
    if (!meta || meta->kind != SLM_META_INTEGER || meta->integer < 0 ||
        (uint64_t)meta->integer >= w->t->count)
        return -1;
    return (slm_token)meta->integer;
}

static slm_status find_family(writer *w, slm_error *err)
{
    const char *pre = NULL;
    SLM_TRY(slm_meta_string(w->file, "tokenizer.ggml.pre", true, &pre, err));
    w->family = slm_text__family_named(pre);
    if (w->family) return SLM_OK;
    return slm_error_set(err, SLM_ERR_UNSUPPORTED, "%s: pre-tokenizer '%s' is not known",
                         slm_tensors_path(w->file), pre);
}

slm_status slm_tokenizer_convert_from_gguf(const slm_tensors *file, int context,
                                           slm_tokenizer_files *out, slm_error *err)
{
    slm_tokenizer *t = NULL;
    slm_status status = slm_tokenizer_from_gguf(file, &t, err);
    *out = (slm_tokenizer_files){.bos = -1, .eos = -1, .pad = -1};
    if (status != SLM_OK) return status;
    writer w = {.t = t,
                .file = file,
                .merges = array_of(file, "tokenizer.ggml.merges"),
                .scores = array_of(file, "tokenizer.ggml.scores"),
                .out = &out->tokenizer};
    w.unknown = t->unknown >= 0 ? t->unknown : optional_id(&w, "tokenizer.ggml.unknown_token_id");
    w.pad = optional_id(&w, "tokenizer.ggml.padding_token_id");
    if (t->model == TEXT_MODEL_BYTES) SLM_TRY_OUT(find_family(&w, err));
    SLM_TRY_OUT(append_tokenizer(&w, err));
    append_config(&w, context, &out->config);
    append_specials(&w, &out->special_map);
    slm_buffer_append_text(&out->special_map, "\n}\n");
    out->bos = t->bos;
    out->eos = t->eos;
    out->pad = w.pad;
out:
    if (status != SLM_OK) slm_tokenizer_files_free(out);
    slm_tokenizer_free(t);
    return status;
}

void slm_tokenizer_files_free(slm_tokenizer_files *files)
{
    slm_buffer_free(&files->tokenizer);
    slm_buffer_free(&files->config);
    slm_buffer_free(&files->special_map);
}
