/* wordpiece.c: WordPiece as BERT has it (Wu et al. 2016, section 4.1; Devlin et al. 2019).
 *
 * The text is made plain: control characters go, every white space becomes a space, ideographs get
 * spaces around them; where the model is uncased, accents (nonspacing marks after canonical
 * decomposition) go and letters are lowered, character by character. It is cut at white space, and
 * each punctuation character is a word of its own. A word becomes the longest token that it begins
 * with, then the longest that the rest begins with written behind "##", and so on; a word that is
 * too long or cannot be written so is the unknown token as a whole.
 *
 * What is punctuation, a mark or a format character is told by Unicode's general categories; the
 * library that made the vocabularies has those of Unicode 9, which differ in some 500 characters of
 * rare scripts. Bytes that are no UTF-8 give nothing, as U+FFFD does. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "base/utf8.h"
#include "text/text_internal.h"

/* ---- normalising --------------------------------------------------------------------------- */

/* Blocks that BERT calls Chinese, ends included. The one from 2B920 begins there in the library whose
 * ids are matched. */
static const uint32_t ideographs[][2] = {
    {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},   {0x20000, 0x2a6df},
    {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f},
};

static bool is_ideograph(uint32_t cp)
{
    if (cp < ideographs[0][0]) return false;
    for (size_t i = 0; i < sizeof ideographs / sizeof ideographs[0]; i++)
        if (cp >= ideographs[i][0] && cp <= ideographs[i][1]) return true;
    return false;
}

static bool is_ascii_punctuation(uint32_t cp)
{
    return (cp >= 33 && cp <= 47) || (cp >= 58 && cp <= 64) || (cp >= 91 && cp <= 96) ||
           (cp >= 123 && cp <= 126);
}

static bool is_dropped(uint32_t cp)
{
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_CC:
        return cp != '\t' && cp != '\n' && cp != '\r';
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
        return true;
    default:
        return cp == 0xfffd;
    }
}

static void append_character(slm_buffer *out, uint32_t cp)
{
    char bytes[4];
    slm_buffer_append(out, bytes, slm_utf8_encode(cp, bytes));
}

static void append_lowered(const text_rule *rule, slm_buffer *out, uint32_t cp)
{
    if (rule->lower && cp == 0x130) { /* the one character whose lower case is two */
        append_character(out, 'i');
        cp = 0x307;
    } else if (rule->lower) {
        cp = (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
    }
    append_character(out, cp);
}

/* Canonical decomposition in canonical order, marks left out. */
static void append_stripped(const text_rule *rule, const char *text, size_t len, slm_buffer *out)
{
    enum { LOCAL = 256 };
    utf8proc_int32_t local[LOCAL], *points = local;
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t count =
        utf8proc_decompose(bytes, (utf8proc_ssize_t)len, points, LOCAL, UTF8PROC_DECOMPOSE);
    if (count > LOCAL) {
        points = malloc((size_t)count * sizeof *points);
        if (points == NULL) slm_out_of_memory((size_t)count * sizeof *points);
        count = utf8proc_decompose(bytes, (utf8proc_ssize_t)len, points, count, UTF8PROC_DECOMPOSE);
    }
    SLM_ASSERT(count >= 0); /* the text is valid UTF-8 */
    for (utf8proc_ssize_t i = 0; i < count; i++)
        if (utf8proc_category(points[i]) != UTF8PROC_CATEGORY_MN)
            append_lowered(rule, out, (uint32_t)points[i]);
    if (points != local) free(points);
}

/* One character of what is kept, before accents and case. */
static void append_clean(const text_rule *rule, slm_buffer *out, uint32_t cp)
{
    if (rule->clean && is_dropped(cp)) return;
    if (rule->clean && slm_utf8_is_space(cp)) cp = ' ';
    const bool apart = rule->ideographs && is_ideograph(cp);
    if (apart) slm_buffer_append_char(out, ' ');
    append_character(out, cp);
    if (apart) slm_buffer_append_char(out, ' ');
}

/* ASCII needs neither tables nor decomposition. */
static void append_ascii(const text_rule *rule, const char *text, size_t len, slm_buffer *out)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (rule->clean && (c == '\t' || c == '\n' || c == '\r')) c = ' ';
        if (rule->clean && ((unsigned char)c < 32 || c == 127)) continue;
        if (rule->lower && c >= 'A' && c <= 'Z') c = (char)(c + ('a' - 'A'));
        slm_buffer_append_char(out, c);
    }
}

void slm_text__plain(const text_rule *rule, const char *text, size_t len, slm_buffer *out)
{
    bool ascii = true;
    for (size_t i = 0; i < len && ascii; i++)
        ascii = (unsigned char)text[i] < 0x80;
    if (ascii) {
        append_ascii(rule, text, len, out);
        return;
    }
    slm_buffer clean = {0};
    uint32_t cp;
    for (size_t at = 0; at < len;) {
        at += slm_utf8_decode(text + at, len - at, &cp);
        append_clean(rule, &clean, cp);
    }
    const char *kept = slm_buffer_text(&clean);
    if (rule->strip) {
        append_stripped(rule, kept, clean.len, out);
    } else {
        for (size_t at = 0; at < clean.len;) {
            at += slm_utf8_decode(kept + at, clean.len - at, &cp);
            append_lowered(rule, out, cp);
        }
    }
    slm_buffer_free(&clean);
}

/* ---- cutting ------------------------------------------------------------------------------- */

bool slm_text__next_word(const char *text, size_t len, size_t from, size_t *begin, size_t *end)
{
    bool started = false;
    for (size_t at = from; at < len;) {
        uint32_t cp;
        const size_t step = slm_utf8_decode(text + at, len - at, &cp);
        const bool space = slm_utf8_is_space(cp);
        const bool alone = cp < 0x80 ? is_ascii_punctuation(cp) : slm_utf8_is_punctuation(cp);
        if (started && (space || alone)) return true;
        at += step;
        if (space) continue;
        if (!started) *begin = at - step;
        *end = at;
        if (alone) return true;
        started = true;
    }
    return started;
}

/* ---- words --------------------------------------------------------------------------------- */

/* The length of text without its last character. */
static size_t without_last(const char *text, size_t len)
{
    len--;
    while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    return len;
}

/* The longest token at the beginning of text, behind the prefix if there is one. */
static slm_token longest(const slm_tokenizer *t, const char *text, size_t len, bool inside,
                         size_t *used)
{
    char candidate[TEXT_MAX_TOKEN_BYTES];
    const size_t prefix = inside ? t->prefix_len : 0;
    if (t->max_bytes <= prefix) return -1;
    size_t most = t->max_bytes - prefix;
    if (most < len) { /* to the beginning of the character that is cut */
        len = most;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    if (prefix > 0) memcpy(candidate, t->prefix, prefix);
    memcpy(candidate + prefix, text, len);
    for (; len > 0; len = without_last(text, len)) {
        slm_token id = slm_text__find_piece(t, candidate, prefix + len);
        if (id < 0) continue;
        *used = len;
        return id;
    }
    return -1;
}

void slm_text__encode_word(const slm_tokenizer *t, const char *word, size_t len, slm_tokens *out)
{
    const size_t kept = out->len;
    size_t characters = 0;
    if (!slm_utf8_valid(word, len, NULL)) return;
    for (size_t i = 0; i < len; i++)
        characters += ((unsigned char)word[i] & 0xc0) != 0x80;
    bool known = characters <= t->max_characters;
    for (size_t at = 0, used = 0; known && at < len; at += used) {
        slm_token id = longest(t, word + at, len - at, at > 0, &used);
        known = id >= 0;
        if (known) slm_tokens_append(out, id);
    }
    if (known) return;
    out->len = kept;
    if (t->unknown >= 0) slm_tokens_append(out, t->unknown);
}

void slm_text__decode_words(slm_tokenizer *t)
{
    char bytes[TEXT_MAX_TOKEN_BYTES + 1];
    for (size_t i = 0; i < t->count; i++) {
        text_entry *entry = &t->entries[i];
        if (entry->type != TEXT_TOKEN_NORMAL || entry->text_len == 0) continue;
        if (t->prefix_len > 0 && entry->text_len > t->prefix_len &&
            memcmp(entry->text, t->prefix, t->prefix_len) == 0) {
            entry->bytes = entry->text + t->prefix_len;
            entry->bytes_len = (uint16_t)(entry->text_len - t->prefix_len);
            continue;
        }
        bytes[0] = ' ';
        memcpy(bytes + 1, entry->text, entry->text_len);
        entry->bytes_len = (uint16_t)(entry->text_len + 1);
        entry->bytes = slm_arena_strndup(&t->arena, bytes, entry->bytes_len);
    }
    t->strip_first_space = true;
}
