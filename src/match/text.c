/* text.c: a text -> sentences, tokens and words, and what each sentence does.
 *
 * Lines and sentence ends split; an item of a list knows the sentence that introduces the list, so
 * "Please tell me:" makes questions of the lines under it. Tokens are folded letters and digits with
 * contractions resolved ("don't": do not). Words are the longest phrases that the lexicon knows, or
 * stems. A question's aspect (since when, how often, how bad) spans words that need not stand
 * together ("when did the pain start"), so it is found by rules and becomes a word of its own. */
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "match/match_internal.h"

/* A sentence of at least this many tokens, most of them English and hardly one a function word, is
 * a list of keywords. */
enum { KEYWORDS_TOKENS_MIN = 6 };
/* A longer quotation is none: its end may be another's. */
enum { QUOTE_BYTES_MAX = 4096 };
/* A text says the same again when more than half of its sentences did stand before, or when its
 * runs of three tokens are mostly repeats. */
enum { REPEAT_SENTENCES_MIN = 4, LOOP_TOKENS_MIN = 60 };

typedef struct reader {
    const slm_matcher *matcher;
    slm_arena *arena;
    slm_match_text *out;
    char *fold; /* where folded tokens are written */
    size_t fold_len;
    match__gap gap; /* before the next token */
    const char *begin, *end,
        *seen; /* the text, and how far it was looked through for quotation marks */
    bool in_quote;
} reader;

bool match__token_is(const match__token *token, const char *word)
{
    size_t len = strlen(word);
    return token->len == len && memcmp(token->text, word, len) == 0;
}

static bool token_in(const match__token *token, const char *words)
{
    for (const char *at = words; *at != '\0';) {
        size_t len = strcspn(at, " ");
        if (token->len == len && memcmp(token->text, at, len) == 0) return true;
        at += len + (at[len] == ' ');
    }
    return false;
}

uint32_t match__flags(const slm_match_text *text, size_t begin, size_t end)
{
    uint32_t flags = 0;
    for (size_t i = begin; i < end; i++)
        flags |= text->words[i].flags;
    return flags;
}

/* ---- tokens -------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* slm_utf8_decode with the common case in line. */
static inline size_t decode(const char *text, size_t len, uint32_t *point)
{
    unsigned char c = (unsigned char)*text;
    if (c >= 0x80) return slm_utf8_decode(text, len, point);
    *point = c;
    return 1;
}

/* Is the code point part of a word? Marks and letters beyond ASCII are; symbols are not. */
static bool is_word_point(uint32_t c)
{
    if (c < 0x80) return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    if (c < 0xC0) return c == 0xAA || c == 0xB5 || c == 0xBA;
    if ((c >= 0x2000 && c <= 0x2BFF) || (c >= 0xFE00 && c <= 0xFE0F) || c == 0xFFFD ||
        (c >= 0x1F000 && c <= 0x1FAFF) || c == 0xD7 || c == 0xF7)
        return false;
    return !slm_utf8_is_space(c) && !slm_utf8_is_punctuation(c);
}

/* Scripts without spaces: each character is a token. */
static bool is_alone(uint32_t c)
{
    return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) ||
           (c >= 0x20000 && c <= 0x2FFFF) || (c >= 0x0E00 && c <= 0x0E7F);
}

static bool is_apostrophe(uint32_t c)
{
    return c == '\'' || c == 0x2019 || c == 0x2BC;
}

static void push_token(reader *r, const char *text, size_t len)
{
    if (len == 0) return;
    match__token *t = &r->out->tokens[r->out->token_count++];
    *t = (match__token){.text = text,
                        .len = (uint32_t)len,
                        .gap = (uint8_t)r->gap,
                        .hash = match__hash_more(MATCH__HASH_START, text, len)};
    r->gap = token_in(t, "and plus y et") ? MATCH__GAP_AND
             : token_in(t, "or o ou nor") ? MATCH__GAP_OR
                                          : MATCH__GAP_SPACE;
}

/* A folded word that may hold apostrophes: resolve the contraction. */
static void push_word(reader *r, const char *word, size_t len)
{
    static const char *const endings[][2] = {{"'s", NULL},    {"'re", "are"},  {"'ve", "have"},
                                             {"'ll", "will"}, {"'d", "would"}, {"'m", "am"}};
    if (memchr(word, '\'', len) == NULL) {
        push_token(r, word, len);
        return;
    }
    if (len > 3 && memcmp(word + len - 3, "n't", 3) == 0) {
        if (len == 5 && memcmp(word, "ca", 2) == 0)
            push_token(r, "can", 3);
        else if (len == 5 && memcmp(word, "wo", 2) == 0)
            push_token(r, "will", 4);
        else
            push_token(r, word, len - 3);
        push_token(r, "not", 3);
        return;
    }
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t n = strlen(endings[i][0]);
        if (len <= n || memcmp(word + len - n, endings[i][0], n) != 0) continue;
        push_token(r, word, len - n);
        if (endings[i][1] != NULL) push_token(r, endings[i][1], strlen(endings[i][1]));
        return;
    }
    const char *cut = memchr(word, '\'', len);
    push_token(r, word, (size_t)(cut - word));
    push_word(r, cut + 1, len - (size_t)(cut + 1 - word));
}

static void widen_gap(reader *r, match__gap gap)
{
    if (gap > r->gap) r->gap = gap;
}

static void see_punctuation(reader *r, uint32_t c)
{
    if (c == ',' || c == 0x3001 || c == 0x060C || c == 0xFF0C)
        widen_gap(r, MATCH__GAP_COMMA);
    else if (c == '/')
        widen_gap(r, MATCH__GAP_OR);
    else if (c == '(' || c == ')')
        widen_gap(r, MATCH__GAP_BRACKET);
    else if (c == ':' || c == ';' || c == 0x2013 || c == 0x2014 || c == '?' || c == '!' ||
             c == 0x2026)
        widen_gap(r, MATCH__GAP_BREAK);
}

/* The tokens of one sentence. */
static void read_tokens(reader *r, const char *text, size_t len)
{
    char *word = r->fold + r->fold_len;
    size_t word_len = 0;
    r->gap = MATCH__GAP_SPACE;
    for (size_t at = 0; at < len;) {
        uint32_t c = 0, next = 0;
        size_t step = decode(text + at, len - at, &c);
        if (at + step < len) decode(text + at + step, len - at - step, &next);
        bool in_number = word_len > 0 && is_digit(word[word_len - 1]) && next >= '0' && next <= '9';
        if (is_word_point(c)) {
            if (c < 0x80) {
                word[word_len++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
            } else {
                slm_buffer folded = {0};
                slm_utf8_append_casefold(&folded, text + at, step);
                memcpy(word + word_len, slm_buffer_text(&folded), folded.len);
                word_len += folded.len;
                slm_buffer_free(&folded);
            }
        } else if (is_apostrophe(c) && word_len > 0 && is_word_point(next)) {
            word[word_len++] = '\'';
        } else if (c == '.' && in_number) {
            word[word_len++] = '.';
        } else if (!(c == ',' && in_number)) { /* 1,000 is one number */
            push_word(r, word, word_len);
            word += word_len;
            r->fold_len += word_len;
            word_len = 0;
            see_punctuation(r, c);
            if ((c == '-') && at > 0 && text[at - 1] == ' ') widen_gap(r, MATCH__GAP_BREAK);
        }
        if (word_len > 0 && (is_alone(c) || (is_alone(next) && !is_alone(c)))) {
            push_word(r, word, word_len);
            word += word_len;
            r->fold_len += word_len;
            word_len = 0;
        }
        at += step;
    }
    push_word(r, word, word_len);
    r->fold_len += word_len;
}

/* ---- aspects ------------------------------------------------------------------------------- */

static bool any_ahead(const match__token *t, size_t from, size_t to, const char *words)
{
    for (size_t i = from; i < to; i++)
        if (token_in(&t[i], words)) return true;
    return false;
}

static uint32_t aspect_of_how(const match__token *t, size_t i, size_t end)
{
    if (i + 1 >= end) return 0;
    const match__token *next = &t[i + 1];
    if (match__token_is(next, "long")) {
        for (size_t j = i + 2; j < end && j < i + 8; j++) {
            if (token_in(&t[j], "should will would until can may must")) return MATCH__UNTIL;
            if (token_in(&t[j], "do does did each usually typically lasts lasted"))
                return MATCH__LASTING;
            if (token_in(&t[j], "have has had been ago since")) return MATCH__ONSET;
        }
        return MATCH__ONSET;
    }
    if (token_in(next, "often frequently frequent")) return MATCH__OFTEN;
    if (match__token_is(next, "many") && i + 2 < end) {
        if (token_in(&t[i + 2], "times")) return MATCH__OFTEN;
        if (token_in(&t[i + 2], "days weeks months years hours") &&
            any_ahead(t, i + 3, i + 7 < end ? i + 7 : end, "have has had been ago since"))
            return MATCH__ONSET;
        return MATCH__AMOUNT;
    }
    if (token_in(next, "much many high far large big fast")) return MATCH__AMOUNT;
    if (token_in(next, "bad badly severe severely intense painful strong serious"))
        return MATCH__SEVERITY;
    if (match__token_is(next, "old")) return MATCH__AGE;
    return 0;
}

static uint32_t aspect_of_when(const match__token *t, size_t i, size_t end)
{
    size_t to = i + 9 < end ? i + 9 : end;
    if (i + 1 >= end) return 0;
    bool asks =
        token_in(&t[i + 1], "did was is do does were has have exactly it this they the these "
                            "that your his her");
    if (any_ahead(t, i + 1, to, "last")) return MATCH__LAST_TIME;
    if (any_ahead(t, i + 1, to, "first noticed notice")) return MATCH__ONSET;
    if (asks && any_ahead(t, i + 1, to,
                          "start started begin began begun onset appear appeared come came develop "
                          "developed happen happened"))
        return MATCH__ONSET;
    return 0;
}

static uint32_t aspect_of_what(const match__token *t, size_t i, size_t end)
{
    size_t to = i + 8 < end ? i + 8 : end;
    uint32_t bits = 0;
    if (i + 1 >= end) return 0;
    if (any_ahead(t, i + 1, to,
                  "make makes brings bring seems seem triggers trigger helps help "
                  "relieves relieve eases ease worsens worsen") ||
        match__token_is(&t[i], "anything") || match__token_is(&t[i], "something")) {
        if (any_ahead(t, i + 1, to, "worse trigger triggers brings worsens worsen aggravates"))
            bits |= MATCH__WORSENS;
        if (any_ahead(t, i + 1, to, "better helps help relieves relieve eases ease"))
            bits |= MATCH__EASES;
        if (bits != 0) return bits;
    }
    if (!match__token_is(&t[i], "what")) return 0;
    if (match__token_is(&t[i + 1], "age")) return MATCH__AGE;
    if (any_ahead(t, i + 1, to, "like")) return MATCH__CHARACTER;
    return 0;
}

/* What the question that begins at token i wants to know; 0 for none. */
static uint32_t aspect_at(const match__token *t, size_t i, size_t end)
{
    const match__token *token = &t[i];
    if (token->len < 3 || token->len > 11) return 0;
    if (match__token_is(token, "how")) return aspect_of_how(t, i, end);
    if (match__token_is(token, "when")) return aspect_of_when(t, i, end);
    if (token_in(token, "what anything something")) return aspect_of_what(t, i, end);
    if (token_in(token, "where location whereabouts")) return MATCH__PLACE;
    if (match__token_is(token, "which") && i + 1 < end && token_in(&t[i + 1], "side part area"))
        return MATCH__PLACE;
    if (match__token_is(token, "why")) return MATCH__WHY;
    if (token_in(token, "onset duration")) return MATCH__ONSET;
    if (match__token_is(token, "since") && i + 1 < end && match__token_is(&t[i + 1], "when"))
        return MATCH__ONSET;
    if (token_in(token, "frequency")) return MATCH__OFTEN;
    if (token_in(token, "severity scale")) return MATCH__SEVERITY;
    if (match__token_is(token, "age")) return MATCH__AGE;
    return 0;
}

static const char *aspect_key(uint32_t aspect)
{
    static const char *const keys[] = {
        "~onset",   "~lasting", "~often",     "~severity", "~place",     "~amount", "~age",
        "~worsens", "~eases",   "~character", "~why",      "~last time", "~until"};
    size_t bit = 0;
    while ((aspect & 1) == 0) {
        aspect >>= 1;
        bit++;
    }
    return keys[bit];
}

/* ---- words --------------------------------------------------------------------------------- */

static void push(reader *r, match__word word)
{
    word.hash = match__hash_more(MATCH__HASH_START, word.key, word.key_len);
    r->out->words[r->out->word_count++] = word;
}

/* The longest phrase of the lexicon at token i; its length in tokens, 0 for none. */
static size_t find_phrase(const reader *r, const match__token *t, size_t i, size_t end,
                          const match__entry **entry)
{
    char phrase[256];
    size_t len = 0, found = 0;
    uint64_t hash = MATCH__HASH_START;
    for (size_t n = 0; n < MATCH__PHRASE_TOKENS_MAX && i + n < end; n++) {
        const match__token *token = &t[i + n];
        if (n > 0 && (token->gap >= MATCH__GAP_COMMA || token->gap == MATCH__GAP_BRACKET)) break;
        if (len + token->len + 1 > sizeof phrase) break;
        if (n > 0) {
            phrase[len++] = ' ';
            hash = match__hash_more(hash, " ", 1);
        }
        memcpy(phrase + len, token->text, token->len);
        len += token->len;
        hash = match__hash_more(hash, token->text, token->len);
        const match__entry *e = match__lexicon_find(&r->matcher->lexicon, phrase, len, hash);
        if (e != NULL) {
            *entry = e;
            found = n + 1;
        }
        if (!match__lexicon_is_prefix(&r->matcher->lexicon, hash)) break;
    }
    return found;
}

/* A token that is no phrase: its stem, if the lexicon has that; else the stem with full weight. */
static match__word word_of_token(const reader *r, const match__token *token)
{
    char stem[MATCH__STEM_BYTES];
    size_t len = match__stem(token->text, token->len, stem);
    uint64_t hash = match__hash_more(MATCH__HASH_START, stem, len);
    const match__entry *e = match__lexicon_find(&r->matcher->lexicon, stem, len, hash);
    if (e != NULL)
        return (match__word){
            .key = e->key, .key_len = (uint32_t)e->key_len, .weight = e->weight, .flags = e->flags};
    bool is_number = is_digit(stem[0]);
    bool is_letter = len == 1 && (unsigned char)stem[0] < 0x80;
    const char *key = len == token->len && memcmp(stem, token->text, len) == 0
                          ? token->text
                          : slm_arena_strndup(r->arena, stem, len);
    return (match__word){.key = key,
                         .key_len = (uint32_t)len,
                         .weight = is_number   ? 0.5F
                                   : is_letter ? 0.0F
                                               : 1.0F};
}

static void read_words(reader *r, size_t begin, size_t end)
{
    const match__token *t = r->out->tokens;
    for (size_t i = begin, busy = begin, how = SIZE_MAX; i < end; i++) {
        uint32_t aspect = aspect_at(t, i, end);
        if (aspect != 0 && match__token_is(&t[i], "how")) how = i;
        uint8_t gap = t[i].gap;
        if (aspect != 0) {
            const char *key = aspect_key(aspect);
            push(r, (match__word){.key = key,
                                  .key_len = (uint32_t)strlen(key),
                                  .weight = 0.9F,
                                  .aspect = aspect,
                                  .token = (uint32_t)i,
                                  .gap = gap});
            gap = MATCH__GAP_SPACE;
        }
        if (i < busy) continue;
        const match__entry *entry = NULL;
        size_t n = find_phrase(r, t, i, end, &entry);
        match__word word;
        if (n == 0) {
            word = word_of_token(r, &t[i]);
            n = 1;
        } else {
            word = (match__word){.key = entry->key,
                                 .key_len = (uint32_t)entry->key_len,
                                 .weight = entry->weight,
                                 .flags = entry->flags};
        }
        /* The "long" of "how long" is in the aspect already. */
        if (i > begin && how == i - 1 && n == 1) word.weight = 0;
        word.token = (uint32_t)i;
        word.gap = gap;
        push(r, word);
        busy = i + n;
    }
}

/* Negation reaches over its clause: from one boundary to the next. A comma or "or" followed by
 * hardly a word goes on with the list that the negation is about. */
static void spread_negation(slm_match_text *text, size_t begin, size_t end)
{
    match__word *w = text->words;
    bool carried = false;
    for (size_t i = begin; i < end;) {
        size_t to = i + 1;
        while (to < end && w[to].gap < MATCH__GAP_AND && (w[to].flags & MATCH__CLAUSE) == 0)
            to++;
        bool joins = i > begin && w[i].gap == MATCH__GAP_COMMA && to - i <= 3 &&
                     (w[i].flags & (MATCH__CLAUSE | MATCH__GO)) == 0 && !w[i - 1].in_condition;
        bool negated = joins && carried;
        for (size_t j = i; j < to; j++)
            negated ^= (w[j].flags & MATCH__NOT) != 0;
        bool behind = false;
        for (size_t j = i; j < to; j++) {
            if (w[j].flags & MATCH__WITHOUT) behind = true;
            w[j].negated = negated ^ behind;
            w[j].in_condition = (w[i].flags & MATCH__IF) != 0;
        }
        carried = negated;
        i = to;
    }
}

/* ---- sentences ----------------------------------------------------------------------------- */

static bool is_question_mark(uint32_t c)
{
    return c == '?' || c == 0xFF1F || c == 0x061F || c == 0x037E;
}

static bool starts_as_question(const match__token *t, size_t begin, size_t end)
{
    size_t i = begin;
    while (i < end && token_in(&t[i], "so and also first secondly finally now well ok okay but"))
        i++;
    if (i + 1 >= end) return false;
    if (token_in(&t[i], "do does did have has had") && token_in(&t[i + 1], "you he she they"))
        return true;
    return token_in(&t[i], "are is was were can could will would") &&
           token_in(&t[i + 1], "you your there he she they");
}

/* "Should I worry?" is the user speaking, not a question to the user. "I cannot say: was it before or
 * after the drink?" is not. */
static bool in_user_voice(const match__token *t, size_t begin, size_t end)
{
    bool first = false;
    for (size_t i = begin; i < end; i++) {
        if (token_in(&t[i], "you your yourself he she his her him")) return false;
        bool answers = i == begin && i + 1 < end && token_in(&t[i], "i we") &&
                       token_in(&t[i + 1], "can cannot could do would will need must");
        first |= !answers && token_in(&t[i], "i my me mine we our myself");
    }
    return first;
}

/* "What causes gout?" and "How is it treated?" are about the matter, not about a person. */
static bool is_personal(const slm_match_text *text, const slm_match_sentence *s)
{
    const match__token *t = text->tokens;
    size_t begin = s->token_begin;
    while (begin < s->token_end && token_in(&t[begin], "so and but now well"))
        begin++;
    bool general = s->token_end - begin > 3 && token_in(&t[begin], "what how why when who") &&
                   token_in(&t[begin + 1], "is are causes cause can does do should happens might "
                                           "could will would");
    if (!general) return true;
    for (size_t i = s->word_begin; i < s->word_end; i++)
        if (text->words[i].aspect != 0) return true;
    for (size_t i = begin; i < s->token_end; i++)
        if (token_in(&t[i],
                     "you your he she his her him they their the this these any anyone there "
                     "baby child son daughter"))
            return true;
    return false;
}

/* "What should you do?", "Why is this important?": headings of what comes, not questions. */
static bool is_heading(const match__token *t, size_t begin, size_t end)
{
    if (end - begin < 3 || !token_in(&t[begin], "what how why when so")) return false;
    if (match__token_is(&t[begin], "why"))
        return !any_ahead(t, begin, end, "did was were you your he she his her");
    return any_ahead(t, begin + 1, begin + 3, "should can could to") &&
           any_ahead(t, begin + 1, end, "do expect know help manage prevent treat see seek");
}

static void find_mood(slm_match_text *text, slm_match_sentence *s, bool has_mark)
{
    uint32_t flags = match__flags(text, s->word_begin, s->word_end);
    const match__token *t = text->tokens;
    const slm_match_sentence *lead = s->lead == SIZE_MAX ? NULL : &text->sentences[s->lead];
    s->conditional = (flags & MATCH__IF) != 0;
    s->personal = is_personal(text, s);
    if (lead != NULL && (match__flags(text, lead->word_begin, lead->word_end) & MATCH__OTHERS))
        return;
    if (flags & MATCH__OTHERS) return;
    bool needs = (flags & MATCH__NEED) != 0;
    if (lead != NULL && (match__flags(text, lead->word_begin, lead->word_end) & MATCH__NEED))
        needs = s->personal = true;
    if (needs) {
        s->mood = SLM_MATCH_ASKS;
        s->personal = true;
        return;
    }
    if (flags & MATCH__COURTESY) {
        s->mood = SLM_MATCH_COURTESY;
        return;
    }
    if (!has_mark && !starts_as_question(t, s->token_begin, s->token_end)) return;
    if (in_user_voice(t, s->token_begin, s->token_end)) {
        s->user_voice = true;
        return;
    }
    if (is_heading(t, s->token_begin, s->token_end)) return;
    s->mood = SLM_MATCH_ASKS;
}

static bool is_prose(const slm_match_text *text, const slm_match_sentence *s)
{
    size_t tokens = s->token_end - s->token_begin, words = 0, known = 0, functions = 0;
    for (size_t i = s->word_begin; i < s->word_end; i++) {
        const match__word *w = &text->words[i];
        if (w->aspect != 0) continue;
        words++;
        known += w->weight != 1.0F || w->flags != 0;
        functions += w->weight == 0.0F;
    }
    if (tokens < KEYWORDS_TOKENS_MIN || known * 2 < words) return true;
    return (double)functions >= MATCH__KEYWORDS_FUNCTION_SHARE * (double)words;
}

static bool has_end_mark(const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        uint32_t c = 0;
        at += decode(text + at, len - at, &c);
        if (is_question_mark(c)) return true;
    }
    return false;
}

static bool is_outer(char c)
{
    return c == ' ' || c == '\t' || c == '*' || c == '_' || c == '#' || c == '>' || c == '"' ||
           c == '`' || c == '\r';
}

/* The length of a quotation mark at `at`, of one that may open (or close) a quotation; else 0. */
static size_t quote_mark(const reader *r, const char *at, bool opens)
{
    static const char *const marks[] = {"\"", "\u201c", "\u201d"};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(marks[i]);
        if ((size_t)(r->end - at) < n || memcmp(at, marks[i], n) != 0) continue;
        if (i > 0) return (i == 1) == opens ? n : 0;
        /* a straight one opens behind a space, and closes before what is no word; 6" does neither */
        if (opens) return at > r->begin && strchr(" \n(", at[-1]) != NULL ? n : 0;
        return at + n == r->end || strchr(" \n.,;:!?)*", at[n]) != NULL ? n : 0;
    }
    return 0;
}

/* Does `at` stand inside a quotation that has an end? What stands in the draft of a letter is asked of its
 * reader. A reply that is in quotation marks as a whole is none. Called with rising `at`. */
static bool is_quoted(reader *r, const char *at)
{
    while (r->seen < at) {
        size_t n = quote_mark(r, r->seen, !r->in_quote);
        const char *last = r->end - r->seen > QUOTE_BYTES_MAX ? r->seen + QUOTE_BYTES_MAX : r->end;
        bool closes = r->in_quote;
        for (const char *p = r->seen + n; n > 0 && !r->in_quote && p < last && !closes; p++)
            closes = quote_mark(r, p, false) > 0;
        if (n > 0 && closes && r->seen > r->begin) r->in_quote = !r->in_quote;
        r->seen += n > 0 ? n : 1;
    }
    return r->in_quote;
}

/* Read [text, text+len) as one sentence; false if there is no word in it. */
static bool add_sentence(reader *r, const char *text, size_t len, size_t lead)
{
    while (len > 0 && is_outer(text[0])) {
        text++;
        len--;
    }
    while (len > 0 && is_outer(text[len - 1]))
        len--;
    slm_match_text *out = r->out;
    slm_match_sentence *s = &out->sentences[out->sentence_count];
    *s = (slm_match_sentence){.text = text, .len = len, .lead = lead};
    s->token_begin = out->token_count;
    read_tokens(r, text, len);
    s->token_end = out->token_count;
    if (s->token_begin == s->token_end) return false;
    s->word_begin = out->word_count;
    read_words(r, s->token_begin, s->token_end);
    s->word_end = out->word_count;
    spread_negation(out, s->word_begin, s->word_end);
    find_mood(out, s, has_end_mark(text, len));
    if (is_quoted(r, text) && s->mood == SLM_MATCH_ASKS) {
        s->mood = SLM_MATCH_TELLS;
        s->user_voice = true; /* and is not told either */
    }
    s->prose = is_prose(out, s);
    out->sentence_count++;
    return true;
}

/* Does the full stop at `at` end a sentence? Not after an abbreviation or an initial. */
static bool stop_ends(const char *line, size_t at, size_t len)
{
    /* titles stand before a name; the others end a sentence where a capital follows */
    static const char *const short_forms[] = {"dr",  "mr",  "mrs", "ms",  "prof",   "st",
                                              "e.g", "i.e", "vs",  "etc", "approx", "no",
                                              "a.m", "p.m", "fig", "max", "min",    "temp"};
    enum { TITLES = 6 };
    if (at + 1 < len && line[at + 1] != ' ' && line[at + 1] != '\t' && line[at + 1] != '"' &&
        line[at + 1] != ')' && line[at + 1] != '*')
        return false;
    size_t begin = at;
    while (begin > 0 && line[begin - 1] != ' ' && line[begin - 1] != '(')
        begin--;
    size_t n = at - begin, next = at + 1;
    if (n == 1 && line[begin] >= 'A' && line[begin] <= 'Z' && line[begin] != 'I') return false;
    while (next < len && line[next] == ' ')
        next++;
    if (next == len) return true;
    bool goes_on = line[next] >= 'a' && line[next] <= 'z';
    for (size_t i = 0; i < sizeof short_forms / sizeof short_forms[0]; i++) {
        if (strlen(short_forms[i]) != n) continue;
        bool same = true;
        for (size_t j = 0; j < n; j++)
            same &= (line[begin + j] | (line[begin + j] >= 'A' ? 32 : 0)) == short_forms[i][j];
        if (same) return i >= TITLES && !goes_on;
    }
    return true;
}

/* Cut a line into sentences. Returns how many it added. */
static size_t read_line(reader *r, const char *line, size_t len, size_t lead)
{
    size_t begin = 0, added = 0;
    for (size_t at = 0; at < len;) {
        uint32_t c = 0;
        size_t step = decode(line + at, len - at, &c);
        bool ends = c == '!' || is_question_mark(c) || c == 0x3002 || c == 0xFF01 || c == 0x0964 ||
                    c == 0x2026 || (c == '.' && stop_ends(line, at, len));
        at += step;
        if (!ends) continue;
        while (at < len && strchr(".?!\")*_'", line[at]) != NULL)
            at++;
        if (len - at >= 3 && memcmp(line + at, "\u201d", 3) == 0) at += 3;
        if (at < len && line[at] != ' ' && line[at] != '\t' && c < 0x80) continue;
        added += add_sentence(r, line + begin, at - begin, lead);
        begin = at;
    }
    return added + add_sentence(r, line + begin, len - begin, lead);
}

/* Length of a list item's bullet or number, with the space behind it; 0 if the line is no item. */
static size_t bullet_len(const char *line, size_t len)
{
    static const char *const bullets[] = {"- ",      "* ",     "+ ",    "\u2022",
                                          "\u2013 ", "\u25e6", "\u25aa"};
    for (size_t i = 0; i < sizeof bullets / sizeof bullets[0]; i++) {
        size_t n = strlen(bullets[i]);
        if (len > n && memcmp(line, bullets[i], n) == 0) return n;
    }
    size_t n = 0;
    while (n < len && n < 3 && is_digit(line[n]))
        n++;
    if (n == 0 && len > 2 && ((line[0] | 32) >= 'a' && (line[0] | 32) <= 'h') && line[1] == ')')
        return 2;
    if (n > 0 && n + 1 < len && (line[n] == '.' || line[n] == ')') && line[n + 1] == ' ')
        return n + 2;
    return 0;
}

static bool ends_with_colon(const char *line, size_t len)
{
    while (len > 0 && is_outer(line[len - 1]))
        len--;
    return len > 0 && line[len - 1] == ':';
}

static void read_lines(reader *r, const char *text, size_t len)
{
    size_t lead = SIZE_MAX;
    bool in_items = false;
    for (size_t at = 0; at < len;) {
        const char *line = text + at;
        const char *end = memchr(line, '\n', len - at);
        size_t n = end == NULL ? len - at : (size_t)(end - line);
        at += n + 1;
        while (n > 0 && (*line == ' ' || *line == '\t')) {
            line++;
            n--;
        }
        while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\r'))
            n--;
        size_t bullet = bullet_len(line, n);
        if (n == 0) continue;
        if (bullet == 0 && in_items) lead = SIZE_MAX;
        in_items = bullet > 0;
        bool leads = ends_with_colon(line, n);
        size_t added =
            read_line(r, line + bullet, n - bullet, leads && !in_items ? SIZE_MAX : lead);
        if (leads && added > 0 && !in_items) lead = r->out->sentence_count - 1;
        if (!leads && !in_items && lead != SIZE_MAX && added > 0)
            in_items = true; /* unmarked item */
    }
}

/* ---- repetition ---------------------------------------------------------------------------- */

static int by_value(const void *x, const void *y)
{
    uint64_t a, b;
    memcpy(&a, x, sizeof a);
    memcpy(&b, y, sizeof b);
    return a < b ? -1 : a > b;
}

static size_t distinct(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += i == 0 || values[i] != values[i - 1];
    return n;
}

static void find_repeats(reader *r)
{
    slm_match_text *out = r->out;
    uint64_t *hashes = slm_arena_array(r->arena, out->sentence_count, sizeof *hashes);
    size_t repeated = 0, counted = 0;
    for (size_t i = 0; i < out->sentence_count; i++) {
        slm_match_sentence *s = &out->sentences[i];
        if (s->token_end - s->token_begin < 3) continue;
        uint64_t hash = MATCH__HASH_START;
        for (size_t t = s->token_begin; t < s->token_end; t++)
            hash = match__hash_more(hash, (const char *)&out->tokens[t].hash, sizeof hash);
        for (size_t j = 0; j < counted && !s->repeated; j++)
            s->repeated = hashes[j] == hash;
        repeated += s->repeated;
        /* Beyond a bound each new sentence is not remembered: this stays linear in long texts. */
        if (!s->repeated && counted < 512) hashes[counted++] = hash;
    }
    out->degenerate =
        out->sentence_count >= REPEAT_SENTENCES_MIN && repeated * 2 > out->sentence_count;
    if (out->token_count < LOOP_TOKENS_MIN) return;
    size_t runs = out->token_count - 2;
    uint64_t *triples = slm_arena_array(r->arena, runs, sizeof *triples);
    for (size_t i = 0; i < runs; i++)
        triples[i] = match__hash_more(out->tokens[i].hash * 31 + out->tokens[i + 1].hash,
                                      (const char *)&out->tokens[i + 2].hash, sizeof(uint64_t));
    if ((double)distinct(triples, runs) < MATCH__LOOP_DISTINCT_SHARE * (double)runs)
        out->degenerate = true;
}

slm_match_text *slm_match_read(const slm_matcher *matcher, const char *text, size_t len,
                               slm_arena *arena)
{
    if (len > MATCH__TEXT_BYTES_MAX) len = MATCH__TEXT_BYTES_MAX;
    /* Bounds for every array, so that reading needs no growing: tokens begin after a gap, at an
     * apostrophe, or (scripts without spaces) at any character beyond ASCII. */
    size_t starts = 1, wide = 0, apostrophes = 0, ends = 2;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool word = c >= 0x80 || is_word_point(c);
        bool before = i > 0 && ((unsigned char)text[i - 1] >= 0x80 ||
                                is_word_point((unsigned char)text[i - 1]));
        starts += word && !before;
        wide += c >= 0x80;
        apostrophes += c == '\'';
        ends += c == '.' || c == '!' || c == '?' || c == '\n';
    }
    reader r = {.matcher = matcher, .arena = arena, .begin = text, .end = text + len, .seen = text};
    r.out = slm_arena_alloc(arena, sizeof *r.out);
    size_t tokens = starts + wide + 2 * apostrophes;
    r.out->tokens = slm_arena_array(arena, tokens, sizeof *r.out->tokens);
    r.out->words = slm_arena_array(arena, 2 * tokens, sizeof *r.out->words);
    r.out->sentences = slm_arena_array(arena, 2 * ends + wide, sizeof *r.out->sentences);
    r.fold = slm_arena_alloc(arena, len + 3 * wide + 16);
    read_lines(&r, text, len);
    find_repeats(&r);
    return r.out;
}
