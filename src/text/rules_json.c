/* rules_json.c: the parts of a tokenizer.json that say what is done before and after merging, as the
 * rules that this module has: normalizer, pre_tokenizer, decoder, post_processor.
 *
 * Each is an object with a "type", or a Sequence of such objects. What is not known is refused with
 * its place, never passed over: it would change ids silently. */
#include <string.h>
#include "text/text_internal.h"

enum { MAX_DEPTH = 4 };

static slm_status unsupported(const slm_json_place *place, const char *key, const char *value,
                              const char *known, slm_error *err)
{
    const slm_json_place here = {.parent = place, .key = key};
    slm_json_error(&here, err, "'%.80s' is not supported; %s", value, known);
    if (err != NULL) err->status = SLM_ERR_UNSUPPORTED;
    return SLM_ERR_UNSUPPORTED;
}

/* Calls `step` for value, or for each member of the Sequence that it is. */
typedef slm_status step_fn(void *context, const json_t *value, const char *type,
                           const slm_json_place *place, slm_error *err);

static slm_status each_step(const json_t *value, const char *list_key, const slm_json_place *place,
                            int depth, step_fn *step, void *context, slm_error *err)
{
    const char *type;
    json_t *list;
    if (!json_is_object(value)) return slm_json_error(place, err, "expected an object");
    SLM_TRY(slm_json_string(value, "type", place, &type, err));
    if (strcmp(type, "Sequence") != 0) return step(context, value, type, place, err);
    if (depth == MAX_DEPTH) return slm_json_error(place, err, "so deep a Sequence");
    SLM_TRY(slm_json_array(value, list_key, place, &list, err));
    const slm_json_place inside = {.parent = place, .key = list_key};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const slm_json_place here = {.parent = &inside, .index = i};
        SLM_TRY(each_step(json_array_get(list, i), list_key, &here, depth + 1, step, context, err));
    }
    return SLM_OK;
}

/* "pattern": {"String": text} or {"Regex": expression}. */
static slm_status read_pattern(const json_t *value, const slm_json_place *place, text_regex *out,
                               slm_error *err)
{
    const slm_json_place here = {.parent = place, .key = "pattern"};
    const json_t *pattern = json_object_get(value, "pattern");
    const char *text = NULL, *regex = NULL;
    if (!json_is_object(pattern)) return slm_json_error(&here, err, "expected an object");
    SLM_TRY(slm_json_string_optional(pattern, "String", &here, &text, err));
    SLM_TRY(slm_json_string_optional(pattern, "Regex", &here, &regex, err));
    if ((text == NULL) == (regex == NULL) || (text ? text : regex)[0] == '\0')
        return slm_json_error(&here, err, "expected either String or Regex, not empty");
    slm_error why;
    slm_status status =
        slm_text__regex_compile(text ? text : regex, strlen(text ? text : regex), text, out, &why);
    if (status == SLM_OK) return SLM_OK;
    slm_json_error(&here, err, "%s", why.message);
    if (err != NULL) err->status = status;
    return status;
}

static slm_status set_content(slm_tokenizer *t, text_rule *rule, const json_t *value,
                              const char *key, const slm_json_place *place, slm_error *err)
{
    const char *content;
    SLM_TRY(slm_json_string(value, key, place, &content, err));
    rule->content = slm_arena_strdup(&t->arena, content);
    rule->content_len = strlen(content);
    return SLM_OK;
}

/* ---- normalizer ---------------------------------------------------------------------------- */

/* What the library takes for granted where the file does not say; accents go with the case. */
static slm_status bert_normalizer(slm_tokenizer *t, const json_t *value,
                                  const slm_json_place *place, slm_error *err)
{
    text_rule *rule = NULL;
    SLM_TRY(slm_text__rule_add(&t->normalise, TEXT_RULE_PLAIN, &rule, err));
    rule->clean = rule->ideographs = rule->lower = true;
    SLM_TRY(slm_json_bool_optional(value, "clean_text", place, &rule->clean, err));
    SLM_TRY(slm_json_bool_optional(value, "handle_chinese_chars", place, &rule->ideographs, err));
    SLM_TRY(slm_json_bool_optional(value, "lowercase", place, &rule->lower, err));
    rule->strip = rule->lower;
    return slm_json_bool_optional(value, "strip_accents", place, &rule->strip, err);
}

static slm_status normalizer_step(void *context, const json_t *value, const char *type,
                                  const slm_json_place *place, slm_error *err)
{
    slm_tokenizer *t = context;
    text_rule *rule = NULL;
    bool nfc = strcmp(type, "NFC") == 0, prepend = strcmp(type, "Prepend") == 0;
    if (strcmp(type, "BertNormalizer") == 0) return bert_normalizer(t, value, place, err);
    if (!nfc && !prepend && strcmp(type, "Replace") != 0)
        return unsupported(place, "type", type,
                           "NFC, Prepend, Replace, BertNormalizer and Sequence are", err);
    SLM_TRY(slm_text__rule_add(&t->normalise,
                               nfc       ? TEXT_RULE_NFC
                               : prepend ? TEXT_RULE_PREPEND
                                         : TEXT_RULE_REPLACE,
                               &rule, err));
    if (prepend) return set_content(t, rule, value, "prepend", place, err);
    if (nfc) return SLM_OK;
    SLM_TRY(read_pattern(value, place, &rule->regex, err));
    return set_content(t, rule, value, "content", place, err);
}

slm_status slm_text__json_normalizer(slm_tokenizer *t, const json_t *value,
                                     const slm_json_place *place, slm_error *err)
{
    if (value == NULL) return SLM_OK;
    return each_step(value, "normalizers", place, 0, normalizer_step, t, err);
}

/* ---- pre_tokenizer ------------------------------------------------------------------------- */

static slm_status pre_split(slm_tokenizer *t, const json_t *value, const slm_json_place *place,
                            slm_error *err)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    text_rule *rule = NULL;
    const char *name;
    size_t behaviour = 0;
    SLM_TRY(slm_json_string(value, "behavior", place, &name, err));
    while (behaviour < 5 && strcmp(names[behaviour], name) != 0)
        behaviour++;
    if (behaviour == 5)
        return unsupported(place, "behavior", name,
                           "Isolated, Removed, MergedWithPrevious, MergedWithNext and Contiguous "
                           "are",
                           err);
    SLM_TRY(slm_text__rule_add(&t->cut, TEXT_RULE_SPLIT, &rule, err));
    rule->behaviour = (text_behaviour)behaviour; /* in the order of its names */
    SLM_TRY(slm_json_bool_optional(value, "invert", place, &rule->invert, err));
    return read_pattern(value, place, &rule->regex, err);
}

static slm_status pre_byte_level(slm_tokenizer *t, const json_t *value, const slm_json_place *place,
                                 slm_error *err)
{
    bool prefix = true, regex = true; /* what the library takes for granted */
    text_rule *rule = NULL;
    SLM_TRY(slm_json_bool_optional(value, "add_prefix_space", place, &prefix, err));
    SLM_TRY(slm_json_bool_optional(value, "use_regex", place, &regex, err));
    t->model = TEXT_MODEL_BYTES;
    if (prefix) SLM_TRY(slm_text__rule_add(&t->cut, TEXT_RULE_SPACE, &rule, err));
    if (regex) SLM_TRY(slm_text__rule_add_split(&t->cut, TEXT_PATTERN_GPT2, TEXT_ISOLATED, err));
    return SLM_OK;
}

/* How a Metaspace puts a block in front; older files have add_prefix_space instead. */
static slm_status prepend_scheme(const json_t *value, const slm_json_place *place,
                                 text_prepend *out, slm_error *err)
{
    const char *scheme = NULL;
    bool prefix = true;
    SLM_TRY(slm_json_string_optional(value, "prepend_scheme", place, &scheme, err));
    SLM_TRY(slm_json_bool_optional(value, "add_prefix_space", place, &prefix, err));
    *out = prefix ? TEXT_PREPEND_ALWAYS : TEXT_PREPEND_NEVER;
    if (scheme == NULL || strcmp(scheme, "always") == 0) return SLM_OK;
    *out = strcmp(scheme, "first") == 0 ? TEXT_PREPEND_FIRST : TEXT_PREPEND_NEVER;
    if (*out == TEXT_PREPEND_FIRST || strcmp(scheme, "never") == 0) return SLM_OK;
    return unsupported(place, "prepend_scheme", scheme, "always, first and never are", err);
}

static slm_status pre_metaspace(slm_tokenizer *t, const json_t *value, const slm_json_place *place,
                                slm_error *err)
{
    text_rule *rule = NULL;
    bool split = true;
    SLM_TRY(slm_text__rule_add(&t->cut, TEXT_RULE_METASPACE, &rule, err));
    SLM_TRY(set_content(t, rule, value, "replacement", place, err));
    SLM_TRY(prepend_scheme(value, place, &rule->prepend, err));
    SLM_TRY(slm_json_bool_optional(value, "split", place, &split, err));
    if (strcmp(rule->content, TEXT_BLOCK) != 0)
        return unsupported(place, "replacement", rule->content, "U+2581 is", err);
    if (!split) return SLM_OK;
    SLM_TRY(slm_text__rule_add(&t->cut, TEXT_RULE_SPLIT, &rule, err));
    rule->behaviour = TEXT_WITH_NEXT;
    return slm_text__regex_compile(TEXT_BLOCK, TEXT_BLOCK_LEN, true, &rule->regex, err);
}

static slm_status pre_tokenizer_step(void *context, const json_t *value, const char *type,
                                     const slm_json_place *place, slm_error *err)
{
    slm_tokenizer *t = context;
    if (t->model == TEXT_MODEL_BYTES)
        return unsupported(place, "type", type, "behind a ByteLevel nothing is", err);
    if (strcmp(type, "Split") == 0) return pre_split(t, value, place, err);
    if (strcmp(type, "ByteLevel") == 0) return pre_byte_level(t, value, place, err);
    if (strcmp(type, "Metaspace") == 0) return pre_metaspace(t, value, place, err);
    if (strcmp(type, "BertPreTokenizer") == 0) {
        text_rule *rule = NULL;
        return slm_text__rule_add(&t->cut, TEXT_RULE_WORDS, &rule, err);
    }
    if (strcmp(type, "Digits") == 0) {
        bool individual = false;
        SLM_TRY(slm_json_bool_optional(value, "individual_digits", place, &individual, err));
        return slm_text__rule_add_split(&t->cut, TEXT_PATTERN_NUMBER,
                                        individual ? TEXT_ISOLATED : TEXT_CONTIGUOUS, err);
    }
    return unsupported(place, "type", type,
                       "Split, ByteLevel, Digits, Metaspace, BertPreTokenizer and Sequence are",
                       err);
}

slm_status slm_text__json_pre_tokenizer(slm_tokenizer *t, const json_t *value,
                                        const slm_json_place *place, slm_error *err)
{
    if (value == NULL) return SLM_OK;
    return each_step(value, "pretokenizers", place, 0, pre_tokenizer_step, t, err);
}

/* ---- decoder ------------------------------------------------------------------------------- */

static slm_status decode_strip(text_decoding *how, const json_t *value, const slm_json_place *place,
                               slm_error *err)
{
    const char *content;
    int64_t start, stop;
    SLM_TRY(slm_json_string(value, "content", place, &content, err));
    SLM_TRY(slm_json_integer(value, "start", place, &start, err));
    SLM_TRY(slm_json_integer(value, "stop", place, &stop, err));
    if (strcmp(content, " ") != 0 || start < 0 || start > 1 || stop != 0)
        return unsupported(place, "type", "Strip",
                           "only one of no space or one space at the start is", err);
    how->strip = start == 1;
    return SLM_OK;
}

static slm_status decoder_step(void *context, const json_t *value, const char *type,
                               const slm_json_place *place, slm_error *err)
{
    text_decoding *how = context;
    const slm_json_place pattern_place = {.parent = place, .key = "pattern"};
    if (strcmp(type, "ByteLevel") == 0) {
        how->byte_level = true;
    } else if (strcmp(type, "WordPiece") == 0) {
        how->words = true;
    } else if (strcmp(type, "ByteFallback") == 0) {
        how->byte_fallback = true;
    } else if (strcmp(type, "Replace") == 0) {
        const char *from = NULL, *to;
        const json_t *pattern = json_object_get(value, "pattern");
        SLM_TRY(slm_json_string(value, "content", place, &to, err));
        if (json_is_object(pattern))
            SLM_TRY(slm_json_string_optional(pattern, "String", &pattern_place, &from, err));
        if (from == NULL || strcmp(from, TEXT_BLOCK) != 0 || strcmp(to, " ") != 0)
            return unsupported(place, "type", type, "only U+2581 by a space is", err);
        how->blocks = true;
    } else if (strcmp(type, "Metaspace") == 0) {
        text_prepend scheme;
        SLM_TRY(prepend_scheme(value, place, &scheme, err));
        how->blocks = true;
        how->strip = scheme != TEXT_PREPEND_NEVER;
    } else if (strcmp(type, "Strip") == 0) {
        return decode_strip(how, value, place, err);
    } else if (strcmp(type, "Fuse") != 0) {
        return unsupported(place, "type", type,
                           "ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, WordPiece "
                           "and Sequence are",
                           err);
    }
    return SLM_OK;
}

slm_status slm_text__json_decoder(const json_t *value, const slm_json_place *place,
                                  text_decoding *out, slm_error *err)
{
    *out = (text_decoding){0};
    return each_step(value, "decoders", place, 0, decoder_step, out, err);
}

/* ---- post_processor ------------------------------------------------------------------------ */

static slm_status post_step(void *context, const json_t *value, const char *type,
                            const slm_json_place *place, slm_error *err)
{
    text_around *around = context;
    json_t *single;
    if (strcmp(type, "ByteLevel") == 0) return SLM_OK; /* moves offsets alone */
    if (strcmp(type, "BertProcessing") == 0) {
        around->bos = json_string_value(json_array_get(json_object_get(value, "cls"), 0));
        around->eos = json_string_value(json_array_get(json_object_get(value, "sep"), 0));
        if (around->bos != NULL && around->eos != NULL) return SLM_OK;
        return slm_json_error(place, err, "cls and sep must be [text, id]");
    }
    if (strcmp(type, "TemplateProcessing") != 0)
        return unsupported(place, "type", type,
                           "TemplateProcessing, BertProcessing, ByteLevel and Sequence are", err);
    SLM_TRY(slm_json_array(value, "single", place, &single, err));
    const size_t count = json_array_size(single);
    const json_t *first = json_object_get(json_array_get(single, 0), "SpecialToken");
    const json_t *last = json_object_get(json_array_get(single, count - 1), "SpecialToken");
    const slm_json_place here = {.parent = place, .key = "single"};
    if (json_is_object(first)) SLM_TRY(slm_json_string(first, "id", &here, &around->bos, err));
    if (count > 1 && json_is_object(last))
        SLM_TRY(slm_json_string(last, "id", &here, &around->eos, err));
    return SLM_OK;
}

slm_status slm_text__json_post_processor(const json_t *value, const slm_json_place *place,
                                         text_around *out, slm_error *err)
{
    *out = (text_around){NULL, NULL};
    if (value == NULL) return SLM_OK;
    return each_step(value, "processors", place, 0, post_step, out, err);
}
