/* rules.c: what is done to a text before merging: it is normalised, then cut into pieces.
 *
 * Merging never crosses from one piece into the next, so the pieces decide the ids as much as the
 * merges do. A tokenizer has two lists of rules, named as tokenizer.json names its normalizers and
 * pre-tokenizers; a GGUF file's tokenizer.ggml.pre names a list that is written down here. Each
 * cutting rule is applied to every piece that the one before it made, and sees nothing outside of
 * it: a look-ahead at a piece's end is at the end of the text. */
#include <string.h>
#include "base/utf8.h"
#include "text/text_internal.h"

/* What Llama 3 and Qwen 2 share, with their own rule for digits. */
#define MODERN(digits)                                                                             \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const text_family families[] = {
    {.name = "smollm", .patterns = {TEXT_PATTERN_NUMBER, TEXT_PATTERN_GPT2}},
    {.name = "gpt-2", .patterns = {TEXT_PATTERN_GPT2}},
    {.name = "qwen2", .patterns = {MODERN(TEXT_PATTERN_NUMBER)}, .nfc = true},
    {.name = "llama-bpe",
     .patterns = {MODERN(TEXT_PATTERN_NUMBER "{1,3}")},
     .whole_words = true,
     .adds_bos = true},
};

const text_family *slm_text__family(size_t index)
{
    return index < sizeof(families) / sizeof(families[0]) ? &families[index] : NULL;
}

const text_family *slm_text__family_named(const char *name)
{
    const text_family *family = NULL;
    for (size_t i = 0; (family = slm_text__family(i)) != NULL; i++)
        if (strcmp(family->name, name) == 0) break;
    return family;
}

/* ---- lists --------------------------------------------------------------------------------- */

slm_status slm_text__rule_add(text_rules *rules, text_rule_kind kind, text_rule **out,
                              slm_error *err)
{
    if (rules->count == TEXT_MAX_RULES)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "the tokenizer has more than %d steps that change or cut text",
                             TEXT_MAX_RULES);
    *out = &rules->items[rules->count++];
    **out = (text_rule){.kind = kind};
    return SLM_OK;
}

slm_status slm_text__rule_add_split(text_rules *rules, const char *pattern,
                                    text_behaviour behaviour, slm_error *err)
{
    text_rule *rule = NULL;
    SLM_TRY(slm_text__rule_add(rules, TEXT_RULE_SPLIT, &rule, err));
    rule->behaviour = behaviour;
    return slm_text__regex_compile(pattern, strlen(pattern), false, &rule->regex, err);
}

slm_status slm_text__rules_by_name(slm_tokenizer *t, const char *name, slm_error *err)
{
    const text_family *family = slm_text__family_named(name);
    text_rule *rule = NULL;
    if (family == NULL)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "pre-tokenizer '%s' is not supported; known are smollm, gpt-2, qwen2, "
                             "llama-bpe",
                             name);
    if (family->nfc) SLM_TRY(slm_text__rule_add(&t->normalise, TEXT_RULE_NFC, &rule, err));
    for (size_t i = 0; i < 2 && family->patterns[i] != NULL; i++)
        SLM_TRY(slm_text__rule_add_split(&t->cut, family->patterns[i], TEXT_ISOLATED, err));
    t->whole_words = family->whole_words;
    t->adds_bos = family->adds_bos;
    return SLM_OK;
}

void slm_text__rules_free(text_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        slm_text__regex_free(&rules->items[i].regex);
    rules->count = 0;
}

/* ---- normalising --------------------------------------------------------------------------- */

/* Where to look on after a match: behind it, and on from an empty one. */
static size_t next_from(const char *text, size_t len, size_t begin, size_t end)
{
    uint32_t cp;
    if (end > begin) return end;
    return end < len ? end + slm_utf8_decode(text + end, len - end, &cp) : len + 1;
}

static slm_status replace(text_work *work, const text_rule *rule, const char *text, size_t len,
                          slm_buffer *out, slm_error *err)
{
    size_t done = 0;
    for (size_t from = 0; from <= len;) {
        bool found;
        size_t begin = 0, end = 0;
        SLM_TRY(
            slm_text__regex_find(&rule->regex, work, text, len, from, &found, &begin, &end, err));
        if (!found) break;
        slm_buffer_append(out, text + done, begin - done);
        slm_buffer_append(out, rule->content, rule->content_len);
        done = end;
        from = next_from(text, len, begin, end);
    }
    slm_buffer_append(out, text + done, len - done);
    return SLM_OK;
}

/* ---- NFC as of Unicode 9 ------------------------------------------------------------------- */

/* Characters added after Unicode 9 that today's NFC reorders or composes. The library that made the
 * vocabularies has Unicode 9's data for NFC, where these were not assigned: nothing moves across
 * them and nothing is composed with them. A model was taught on ids made so, and gets such ids here.
 * (Found by comparing NFC of every character, between marks of other classes, with today's; those of
 * Unicode 15 from its DerivedAge and combining classes.) */
static const uint32_t after_unicode_9[][2] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x10D24, 0x10D27},
    {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85},
    {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42},
    {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF},
};

static bool is_after_unicode_9(uint32_t codepoint)
{
    size_t low = 0, high = sizeof after_unicode_9 / sizeof after_unicode_9[0];
    if (codepoint < after_unicode_9[0][0]) return false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (codepoint > after_unicode_9[middle][1])
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof after_unicode_9 / sizeof after_unicode_9[0] &&
           codepoint >= after_unicode_9[low][0];
}

/* Append text in NFC, the characters above standing as they are between what is brought to NFC. */
static void append_nfc(slm_buffer *out, const char *text, size_t len)
{
    size_t done = 0;
    for (size_t at = 0, used; at < len; at += used) {
        uint32_t codepoint;
        used =
            (unsigned char)text[at] < 0x80 ? 1 : slm_utf8_decode(text + at, len - at, &codepoint);
        if (used < 2 || !is_after_unicode_9(codepoint)) continue;
        if (at > done) slm_utf8_append_nfc(out, text + done, at - done);
        slm_buffer_append(out, text + at, used);
        done = at + used;
    }
    if (len > done) slm_utf8_append_nfc(out, text + done, len - done);
}

slm_status slm_text__normalise(text_work *work, const char *text, size_t len, bool first,
                               const char **out, size_t *out_len, slm_error *err)
{
    const text_rules *rules = &work->tokenizer->normalise;
    for (size_t i = 0; i < rules->count; i++) {
        const text_rule *rule = &rules->items[i];
        slm_buffer *to = &work->normal[i % 2];
        slm_buffer_truncate(to, 0);
        if (rule->kind == TEXT_RULE_NFC) {
            append_nfc(to, text, len);
        } else if (rule->kind == TEXT_RULE_PLAIN) {
            slm_text__plain(rule, text, len, to);
        } else if (rule->kind == TEXT_RULE_REPLACE) {
            SLM_TRY(replace(work, rule, text, len, to, err));
        } else {
            SLM_ASSERT(rule->kind == TEXT_RULE_PREPEND);
            if (first && len > 0) slm_buffer_append(to, rule->content, rule->content_len);
            slm_buffer_append(to, text, len);
        }
        text = slm_buffer_text(to);
        len = to->len;
    }
    *out = text;
    *out_len = len;
    return SLM_OK;
}

/* ---- cutting ------------------------------------------------------------------------------- */

typedef struct cutter {
    text_work *work;
    text_piece_fn *piece;
    void *context;
    slm_error *err;
} cutter;

static slm_status cut_from(cutter *c, size_t at, const char *text, size_t len, bool first);

/* Spans come in order; a span is held back while the next may join it. */
typedef struct splitter {
    const char *text;
    size_t held_begin, held_end; /* equal: nothing is held */
    bool held, previous_match;
} splitter;

static slm_status release(cutter *c, size_t rule, splitter *s, bool first)
{
    size_t begin = s->held_begin, len = s->held_end - begin;
    bool held = s->held && len > 0;
    s->held = false;
    if (!held) return SLM_OK;
    return cut_from(c, rule + 1, s->text + begin, len, first && begin == 0);
}

static slm_status feed(cutter *c, size_t rule, splitter *s, size_t begin, size_t end, bool match,
                       bool first)
{
    const text_rule *r = &c->work->tokenizer->cut.items[rule];
    bool join = false;
    match = match != r->invert;
    if (r->behaviour == TEXT_REMOVED && match) return SLM_OK;
    if (r->behaviour == TEXT_CONTIGUOUS) join = match == s->previous_match;
    if (r->behaviour == TEXT_WITH_PREVIOUS) join = match && !s->previous_match;
    if (r->behaviour == TEXT_WITH_NEXT) join = !match && s->previous_match;
    s->previous_match = match;
    if (join && s->held) {
        s->held_end = end;
        return SLM_OK;
    }
    SLM_TRY(release(c, rule, s, first));
    s->held_begin = begin;
    s->held_end = end;
    s->held = true;
    return SLM_OK;
}

static slm_status split(cutter *c, size_t at, const char *text, size_t len, bool first)
{
    const text_rule *rule = &c->work->tokenizer->cut.items[at];
    bool isolated = rule->behaviour == TEXT_ISOLATED;
    splitter s = {.text = text};
    size_t done = 0;
    for (size_t from = 0; from <= len;) {
        bool found;
        size_t begin = 0, end = 0;
        SLM_TRY(slm_text__regex_find(&rule->regex, c->work, text, len, from, &found, &begin, &end,
                                     c->err));
        if (!found) break;
        from = next_from(text, len, begin, end);
        if (isolated) {
            if (begin > done)
                SLM_TRY(cut_from(c, at + 1, text + done, begin - done, first && done == 0));
            if (end > begin)
                SLM_TRY(cut_from(c, at + 1, text + begin, end - begin, first && begin == 0));
        } else {
            if (begin > done) SLM_TRY(feed(c, at, &s, done, begin, false, first));
            SLM_TRY(feed(c, at, &s, begin, end, true, first));
        }
        done = end;
        if (done == len) break;
    }
    if (done < len && isolated)
        return cut_from(c, at + 1, text + done, len - done, first && done == 0);
    if (done < len) SLM_TRY(feed(c, at, &s, done, len, false, first));
    return release(c, at, &s, first);
}

static slm_status metaspace(cutter *c, size_t at, const char *text, size_t len, bool first)
{
    const text_rule *rule = &c->work->tokenizer->cut.items[at];
    slm_buffer *to = &c->work->changed[at];
    bool begins =
        len > 0 && (text[0] == ' ' || (len >= rule->content_len &&
                                       memcmp(text, rule->content, rule->content_len) == 0));
    slm_buffer_truncate(to, 0);
    if (!begins &&
        (rule->prepend == TEXT_PREPEND_ALWAYS || (rule->prepend == TEXT_PREPEND_FIRST && first)))
        slm_buffer_append(to, rule->content, rule->content_len);
    for (size_t i = 0; i < len;) {
        const char *space = memchr(text + i, ' ', len - i);
        size_t end = space ? (size_t)(space - text) : len;
        slm_buffer_append(to, text + i, end - i);
        if (space) slm_buffer_append(to, rule->content, rule->content_len);
        i = end + (space != NULL);
    }
    return cut_from(c, at + 1, slm_buffer_text(to), to->len, first);
}

static slm_status words(cutter *c, size_t at, const char *text, size_t len, bool first)
{
    size_t begin = 0, end = 0;
    while (slm_text__next_word(text, len, end, &begin, &end))
        SLM_TRY(cut_from(c, at + 1, text + begin, end - begin, first && begin == 0));
    return SLM_OK;
}

static slm_status cut_from(cutter *c, size_t at, const char *text, size_t len, bool first)
{
    const text_rules *rules = &c->work->tokenizer->cut;
    if (at == rules->count) return c->piece(c->work, text, len, c->context, c->err);
    switch (rules->items[at].kind) {
    case TEXT_RULE_SPLIT:
        return split(c, at, text, len, first);
    case TEXT_RULE_METASPACE:
        return metaspace(c, at, text, len, first);
    case TEXT_RULE_WORDS:
        return words(c, at, text, len, first);
    case TEXT_RULE_SPACE:
        if (len > 0 && text[0] == ' ') return cut_from(c, at + 1, text, len, first);
        slm_buffer_truncate(&c->work->changed[at], 0);
        slm_buffer_append_char(&c->work->changed[at], ' ');
        slm_buffer_append(&c->work->changed[at], text, len);
        return cut_from(c, at + 1, slm_buffer_text(&c->work->changed[at]), c->work->changed[at].len,
                        first);
    case TEXT_RULE_NFC:
    case TEXT_RULE_PREPEND:
    case TEXT_RULE_REPLACE:
    case TEXT_RULE_PLAIN:
        break;
    }
    SLM_ASSERT(!"a rule that cuts");
    return SLM_ERR_UNSUPPORTED;
}

slm_status slm_text__cut(text_work *work, const char *text, size_t len, bool first,
                         text_piece_fn *piece, void *context, slm_error *err)
{
    cutter c = {.work = work, .piece = piece, .context = context, .err = err};
    if (len == 0) return SLM_OK;
    return cut_from(&c, 0, text, len, first);
}
