/* tokenizer.c: the public door: text -> ids, ids -> bytes, and the streaming decoder.
 *
 * Encoding goes through a text in ever longer strides:
 *  1. Added tokens written in the text (user-defined ones always, control tokens only on request)
 *     are cut out, the leftmost first and of those that begin there the longest.
 *  2. What lies between is cut where it stops being UTF-8: each run of invalid bytes is a piece by
 *     itself, and the valid text on its two sides is normalised and cut as if it were two texts.
 *  3. Added tokens that the file wants to be looked for after normalisation are cut out.
 *  4. The rest is cut into pieces (rules.c), and each piece becomes ids (bpe.c, scores.c).
 * The order is that of the Hugging Face tokenizers library. All state of a call lives in that call: a
 * tokenizer may be shared by threads. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "base/utf8.h"
#include "text/text_internal.h"

void slm_tokens_append(slm_tokens *tokens, slm_token id)
{
    if (tokens->len == tokens->cap) {
        size_t cap = tokens->cap ? 2 * tokens->cap : 64;
        slm_token *ids = cap > tokens->cap && cap <= SIZE_MAX / sizeof(*ids)
                             ? realloc(tokens->ids, cap * sizeof(*ids))
                             : NULL;
        if (ids == NULL) slm_out_of_memory(cap);
        tokens->ids = ids;
        tokens->cap = cap;
    }
    tokens->ids[tokens->len++] = id;
}

void slm_tokens_free(slm_tokens *tokens)
{
    if (tokens == NULL) return;
    free(tokens->ids);
    *tokens = (slm_tokens){0};
}

/* ---- encoding ------------------------------------------------------------------------------ */

/* One call of encode: what stays the same while it goes down the stages. */
typedef struct encoder {
    text_work work;
    const text_added_set *raw, *normal;
    slm_tokens *out;
    slm_error *err;
} encoder;

static slm_status encode_piece(text_work *work, const char *piece, size_t len, void *context,
                               slm_error *err)
{
    return slm_text__encode_piece(work, piece, len, context, err);
}

/* The longest token of the set that text begins with, or NULL. The candidates are in byte order:
 * each further byte narrows them to those that share it. */
static const text_added *match_added(const text_added_set *set, const char *text, size_t len)
{
    const text_added *found = NULL;
    size_t low = 0, high = set->count;
    for (size_t depth = 0; depth < len && low < high; depth++) {
        unsigned char byte = (unsigned char)text[depth];
        /* First candidate in [low, high) whose byte at depth is >= byte, then the first > byte.
         * All of them are longer than depth. */
        size_t a = low, b = high;
        while (a < b) {
            size_t middle = a + (b - a) / 2;
            if ((unsigned char)set->sorted[middle]->text[depth] < byte)
                a = middle + 1;
            else
                b = middle;
        }
        low = a;
        b = high;
        while (a < b) {
            size_t middle = a + (b - a) / 2;
            if ((unsigned char)set->sorted[middle]->text[depth] <= byte)
                a = middle + 1;
            else
                b = middle;
        }
        high = a;
        /* Candidates that end here are the first: shorter comes before longer. Two may look alike
         * once normalised; then the first stands for both. */
        while (low < high && set->sorted[low]->len == depth + 1) {
            if (found == NULL || found->len < depth + 1) found = set->sorted[low];
            low++;
        }
    }
    return found;
}

static bool is_word(uint32_t cp)
{
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return cp == 0x200c || cp == 0x200d; /* Join_Control */
    }
}

/* The character before `at`, and where it begins. */
static size_t step_back(const char *text, size_t at, uint32_t *cp)
{
    size_t begin = at - 1;
    while (begin > 0 && at - begin < 4 && ((unsigned char)text[begin] & 0xc0) == 0x80)
        begin--;
    if (slm_utf8_decode(text + begin, at - begin, cp) == at - begin) return begin;
    *cp = 0xfffd;
    return at - 1;
}

/* True if a token at text[begin..end) stands there as its flags ask; widens it to the white space
 * that it takes along, on the left not before `floor`. */
static bool fits(const text_added *added, const char *text, size_t len, size_t floor, size_t *begin,
                 size_t *end)
{
    uint32_t cp;
    if (added->single_word) {
        if (*begin > 0 && (step_back(text, *begin, &cp), is_word(cp))) return false;
        if (*end < len && (slm_utf8_decode(text + *end, len - *end, &cp), is_word(cp)))
            return false;
    }
    while (added->left_strip && *begin > floor) {
        size_t before = step_back(text, *begin, &cp);
        if (before < floor || !slm_utf8_is_space(cp)) break;
        *begin = before;
    }
    while (added->right_strip && *end < len) {
        size_t step = slm_utf8_decode(text + *end, len - *end, &cp);
        if (!slm_utf8_is_space(cp)) break;
        *end += step;
    }
    return true;
}

typedef slm_status between_fn(encoder *e, const char *text, size_t len, bool first);

/* Cut the tokens of a set out of text, the leftmost first and of those the longest; what lies
 * between them goes to `between`. */
static slm_status cut_added(encoder *e, const text_added_set *set, const char *text, size_t len,
                            bool first, between_fn *between)
{
    size_t done = 0;
    for (size_t at = 0; set->count > 0 && at < len;) {
        const text_added *added = NULL;
        if (set->first[(unsigned char)text[at]]) added = match_added(set, text + at, len - at);
        if (added == NULL) {
            at++;
            continue;
        }
        size_t begin = at, end = at + added->len;
        at = end;
        if (!fits(added, text, len, done, &begin, &end)) continue;
        if (begin > done) SLM_TRY(between(e, text + done, begin - done, first && done == 0));
        slm_tokens_append(e->out, added->id);
        at = done = end;
    }
    if (done < len) return between(e, text + done, len - done, first && done == 0);
    return SLM_OK;
}

static slm_status encode_normal(encoder *e, const char *text, size_t len, bool first)
{
    return slm_text__cut(&e->work, text, len, first, encode_piece, e->out, e->err);
}

/* The length of the run of invalid bytes that text begins with. */
static size_t invalid_run(const char *text, size_t len)
{
    size_t at = 0;
    uint32_t cp;
    /* A valid U+FFFD takes three bytes, an invalid byte one. */
    while (at < len && slm_utf8_decode(text + at, len - at, &cp) == 1 && cp == 0xfffd)
        at++;
    return at;
}

static slm_status encode_raw(encoder *e, const char *text, size_t len, bool first)
{
    for (size_t done = 0; done < len;) {
        size_t valid = len - done, normal_len;
        const char *normal;
        if (slm_utf8_valid(text + done, len - done, &valid)) valid = len - done;
        if (valid > 0) {
            SLM_TRY(slm_text__normalise(&e->work, text + done, valid, done == 0, &normal,
                                        &normal_len, e->err));
            SLM_TRY(cut_added(e, e->normal, normal, normal_len, first && done == 0, encode_normal));
        }
        size_t invalid = invalid_run(text + done + valid, len - done - valid);
        if (invalid > 0)
            SLM_TRY(slm_text__encode_piece(&e->work, text + done + valid, invalid, e->out, e->err));
        SLM_ASSERT(valid + invalid > 0);
        done += valid + invalid;
    }
    return SLM_OK;
}

slm_status slm_text__encode(const slm_tokenizer *tokenizer, const char *text, size_t len,
                            bool parse_special, bool first, slm_tokens *out, slm_error *err)
{
    size_t kept = out->len;
    encoder e = {.raw = &tokenizer->raw[parse_special],
                 .normal = &tokenizer->normal[parse_special],
                 .out = out,
                 .err = err};
    slm_text__work_begin(&e.work, tokenizer);
    slm_status status = cut_added(&e, e.raw, text, len, first, encode_raw);
    if (status != SLM_OK) out->len = kept;
    slm_text__work_free(&e.work);
    return status;
}

slm_status slm_tokenizer_encode(const slm_tokenizer *tokenizer, const char *text, size_t len,
                                bool parse_special, slm_tokens *out, slm_error *err)
{
    return slm_text__encode(tokenizer, text, len, parse_special, true, out, err);
}

/* ---- decoding ------------------------------------------------------------------------------ */

static const text_entry *decodable(const slm_tokenizer *tokenizer, slm_token id, bool keep_special)
{
    if (id < 0 || (size_t)id >= tokenizer->count) return NULL;
    const text_entry *entry = &tokenizer->entries[id];
    if (entry->type == TEXT_TOKEN_UNUSED) return NULL;
    if (slm_tokenizer_is_special(tokenizer, id) && !keep_special) return NULL;
    return entry;
}

void slm_tokenizer_decode(const slm_tokenizer *tokenizer, slm_token id, bool keep_special,
                          slm_buffer *out)
{
    const text_entry *entry = decodable(tokenizer, id, keep_special);
    if (entry != NULL) slm_buffer_append(out, entry->bytes, entry->bytes_len);
}

/* The bytes of the text's first token without the space that encoding put in front. */
static const char *skip_space(const slm_tokenizer *tokenizer, const text_entry *entry,
                              bool *started, size_t *len)
{
    bool skip =
        tokenizer->strip_first_space && !*started && entry->bytes_len > 0 && entry->bytes[0] == ' ';
    if (entry->bytes_len > 0) *started = true;
    *len = entry->bytes_len - (size_t)skip;
    return entry->bytes + skip;
}

void slm_tokenizer_decode_all(const slm_tokenizer *tokenizer, const slm_token *ids, size_t count,
                              bool keep_special, slm_buffer *out)
{
    bool started = false;
    for (size_t i = 0; i < count; i++) {
        size_t len = 0;
        const text_entry *entry = decodable(tokenizer, ids[i], keep_special);
        const char *bytes = entry ? skip_space(tokenizer, entry, &started, &len) : NULL;
        if (len > 0) slm_buffer_append(out, bytes, len);
    }
}

/* Append the whole characters of held + bytes, and hold the rest. */
static void push_bytes(slm_decoder *decoder, const char *bytes, size_t len, slm_buffer *out)
{
    while (decoder->held_len > 0 && len > 0) {
        /* Finish the held character, or find that it cannot be finished: at most three bytes. */
        decoder->held[decoder->held_len++] = *bytes++;
        len--;
        size_t tail = slm_utf8_incomplete_tail(decoder->held, decoder->held_len);
        if (tail == decoder->held_len) continue;
        size_t whole = decoder->held_len - tail;
        slm_utf8_append_valid(out, decoder->held, whole);
        memmove(decoder->held, decoder->held + whole, tail);
        decoder->held_len = tail;
    }
    if (len == 0) return;
    size_t tail = slm_utf8_incomplete_tail(bytes, len);
    slm_utf8_append_valid(out, bytes, len - tail);
    memcpy(decoder->held, bytes + len - tail, tail);
    decoder->held_len = tail;
}

void slm_decoder_push(slm_decoder *decoder, const slm_tokenizer *tokenizer, slm_token id,
                      slm_buffer *out)
{
    size_t len;
    const text_entry *entry = decodable(tokenizer, id, false);
    if (entry == NULL) return;
    const char *bytes = skip_space(tokenizer, entry, &decoder->started, &len);
    push_bytes(decoder, bytes, len, out);
}

void slm_decoder_finish(slm_decoder *decoder, slm_buffer *out)
{
    if (decoder->held_len > 0) slm_buffer_append_text(out, "\xef\xbf\xbd");
    decoder->held_len = 0;
}

/* ---- facts --------------------------------------------------------------------------------- */

size_t slm_tokenizer_size(const slm_tokenizer *tokenizer)
{
    return tokenizer->count;
}

slm_token slm_tokenizer_find(const slm_tokenizer *tokenizer, const char *text)
{
    return slm_text__find_text(tokenizer, text, strlen(text));
}

bool slm_tokenizer_is_special(const slm_tokenizer *tokenizer, slm_token id)
{
    if (id < 0 || (size_t)id >= tokenizer->count) return false;
    uint8_t type = tokenizer->entries[id].type;
    return type == TEXT_TOKEN_CONTROL || type == TEXT_TOKEN_UNKNOWN;
}

slm_token slm_tokenizer_bos(const slm_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

slm_token slm_tokenizer_eos(const slm_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

bool slm_tokenizer_adds_bos(const slm_tokenizer *tokenizer)
{
    return tokenizer->adds_bos;
}

const char *slm_tokenizer_chat_template(const slm_tokenizer *tokenizer)
{
    return tokenizer->chat_template;
}

const char *slm_tokenizer_description(const slm_tokenizer *tokenizer)
{
    return tokenizer->description;
}
