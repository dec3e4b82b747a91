/* tokenizer.c: the public door: text -> ids, ids -> bytes, and the streaming decoder.
 *
 * Encoding goes through a text three times, each time in longer strides:
 *  1. Added tokens written in the text (user-defined ones always, control tokens only on request)
 *     are cut out, the leftmost first and of those that begin there the longest.
 *  2. What lies between is cut where it stops being UTF-8: each run of invalid bytes is a piece by
 *     itself, and the valid text on its two sides is cut as if it were two texts. Where the family
 *     asks for it, valid text is brought to NFC.
 *  3. Valid text is cut into pieces (pretokenize.c), and each piece becomes ids (bpe.c).
 * All state of a call lives in that call: a tokenizer may be shared by threads. */
#include <stdlib.h>
#include <string.h>
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

static slm_status encode_pieces(text_work *work, const char *text, size_t len, slm_tokens *out,
                                slm_error *err)
{
    for (size_t at = 0; at < len;) {
        size_t piece = 0;
        SLM_TRY(slm_text__next_piece(work, text, len, at, &piece, err));
        SLM_TRY(slm_text__encode_piece(work, text + at, piece, out, err));
        at += piece;
    }
    return SLM_OK;
}

static slm_status encode_valid(text_work *work, const char *text, size_t len, slm_tokens *out,
                               slm_error *err)
{
    if (!work->tokenizer->pre->nfc) return encode_pieces(work, text, len, out, err);
    slm_buffer_truncate(&work->normal, 0);
    slm_utf8_append_nfc(&work->normal, text, len);
    return encode_pieces(work, slm_buffer_text(&work->normal), work->normal.len, out, err);
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

static slm_status encode_segment(text_work *work, const char *text, size_t len, slm_tokens *out,
                                 slm_error *err)
{
    while (len > 0) {
        size_t valid = len;
        if (slm_utf8_valid(text, len, &valid)) valid = len;
        if (valid > 0) SLM_TRY(encode_valid(work, text, valid, out, err));
        size_t invalid = invalid_run(text + valid, len - valid);
        if (invalid > 0) SLM_TRY(slm_text__encode_piece(work, text + valid, invalid, out, err));
        SLM_ASSERT(valid + invalid > 0);
        text += valid + invalid;
        len -= valid + invalid;
    }
    return SLM_OK;
}

/* The longest added token that text begins with, or NULL. The candidates are in byte order: each
 * further byte narrows them to those that share it. */
static const text_entry *match_added(const text_added *added, const char *text, size_t len)
{
    const text_entry *found = NULL;
    size_t low = 0, high = added->count;
    for (size_t depth = 0; depth < len && low < high; depth++) {
        unsigned char byte = (unsigned char)text[depth];
        /* First candidate in [low, high) whose byte at depth is >= byte, then the first > byte.
         * All of them are longer than depth. */
        size_t a = low, b = high;
        while (a < b) {
            size_t middle = a + (b - a) / 2;
            if ((unsigned char)added->sorted[middle]->text[depth] < byte)
                a = middle + 1;
            else
                b = middle;
        }
        low = a;
        b = high;
        while (a < b) {
            size_t middle = a + (b - a) / 2;
            if ((unsigned char)added->sorted[middle]->text[depth] <= byte)
                a = middle + 1;
            else
                b = middle;
        }
        high = a;
        /* A candidate that ends here is the first: shorter comes before longer. */
        if (low < high && added->sorted[low]->text_len == depth + 1) found = added->sorted[low++];
    }
    return found;
}

slm_status slm_tokenizer_encode(const slm_tokenizer *tokenizer, const char *text, size_t len,
                                bool parse_special, slm_tokens *out, slm_error *err)
{
    const text_added *added = parse_special ? &tokenizer->all : &tokenizer->user;
    slm_status status = SLM_OK;
    size_t first = out->len, begin = 0;
    text_work work;
    slm_text__work_begin(&work, tokenizer);
    for (size_t at = 0; added->count > 0 && at < len;) {
        const text_entry *entry = NULL;
        if (added->first[(unsigned char)text[at]]) entry = match_added(added, text + at, len - at);
        if (entry == NULL) {
            at++;
            continue;
        }
        SLM_TRY_OUT(encode_segment(&work, text + begin, at - begin, out, err));
        slm_tokens_append(out, (slm_token)(entry - tokenizer->entries));
        at += entry->text_len;
        begin = at;
    }
    SLM_TRY_OUT(encode_segment(&work, text + begin, len - begin, out, err));
out:
    if (status != SLM_OK) out->len = first;
    slm_text__work_free(&work);
    return status;
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
    const text_entry *entry = decodable(tokenizer, id, false);
    if (entry != NULL) push_bytes(decoder, entry->bytes, entry->bytes_len, out);
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

const char *slm_tokenizer_description(const slm_tokenizer *tokenizer)
{
    return tokenizer->description;
}
