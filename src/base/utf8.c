/* utf8.c: UTF-8 by the table of RFC 3629 section 4 (well-formed byte sequences), Unicode properties
 * and normal forms from utf8proc.
 *
 * One function, sequence_length, knows which bytes may follow which lead byte; everything else is
 * built on it. The second byte carries all the special rules: overlong forms (E0, F0), surrogates
 * (ED) and the end of the code space (F4) are refused by narrowing its range. */
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { REPLACEMENT = 0xFFFD };

/* Length a character with this lead byte has (1-4), 0 if no character starts with it; the range of
 * its second byte in *low and *high. */
static size_t lead_length(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80) return 1;
    if (lead < 0xC2) return 0;
    if (lead < 0xE0) return 2;
    if (lead < 0xF0) {
        if (lead == 0xE0) *low = 0xA0;
        if (lead == 0xED) *high = 0x9F;
        return 3;
    }
    if (lead < 0xF5) {
        if (lead == 0xF0) *low = 0x90;
        if (lead == 0xF4) *high = 0x8F;
        return 4;
    }
    return 0;
}

/* Length of the valid character at text[0..len), 0 if there is none. *cut is set when what is there
 * is the beginning of a character and nothing else follows. */
static size_t sequence_length(const char *text, size_t len, bool *cut)
{
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char low;
    unsigned char high;
    size_t want = lead_length(bytes[0], &low, &high);
    *cut = false;
    for (size_t i = 1; i < want; i++) {
        if (i == len) {
            *cut = true;
            return 0;
        }
        if (bytes[i] < low || bytes[i] > high) return 0;
        low = 0x80;
        high = 0xBF;
    }
    return want;
}

bool slm_utf8_valid(const char *text, size_t len, size_t *bad_offset)
{
    size_t at = 0;
    while (at < len) {
        bool cut;
        size_t step =
            (unsigned char)text[at] < 0x80 ? 1 : sequence_length(text + at, len - at, &cut);
        if (step == 0) {
            if (bad_offset != NULL) *bad_offset = at;
            return false;
        }
        at += step;
    }
    return true;
}

size_t slm_utf8_decode(const char *text, size_t len, uint32_t *codepoint)
{
    const unsigned char *bytes = (const unsigned char *)text;
    bool cut;
    size_t step = sequence_length(text, len, &cut);
    switch (step) {
    case 1:
        *codepoint = bytes[0];
        return 1;
    case 2:
        *codepoint = (uint32_t)(bytes[0] & 0x1F) << 6 | (bytes[1] & 0x3F);
        return 2;
    case 3:
        *codepoint = (uint32_t)(bytes[0] & 0x0F) << 12 | (uint32_t)(bytes[1] & 0x3F) << 6 |
                     (bytes[2] & 0x3F);
        return 3;
    case 4:
        *codepoint = (uint32_t)(bytes[0] & 0x07) << 18 | (uint32_t)(bytes[1] & 0x3F) << 12 |
                     (uint32_t)(bytes[2] & 0x3F) << 6 | (bytes[3] & 0x3F);
        return 4;
    default:
        *codepoint = REPLACEMENT;
        return 1;
    }
}

size_t slm_utf8_encode(uint32_t codepoint, char out[4])
{
    if (codepoint > 0x10FFFF || (codepoint >= 0xD800 && codepoint <= 0xDFFF)) {
        codepoint = REPLACEMENT;
    }
    if (codepoint < 0x80) {
        out[0] = (char)codepoint;
        return 1;
    }
    if (codepoint < 0x800) {
        out[0] = (char)(0xC0 | codepoint >> 6);
        out[1] = (char)(0x80 | (codepoint & 0x3F));
        return 2;
    }
    if (codepoint < 0x10000) {
        out[0] = (char)(0xE0 | codepoint >> 12);
        out[1] = (char)(0x80 | (codepoint >> 6 & 0x3F));
        out[2] = (char)(0x80 | (codepoint & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | codepoint >> 18);
    out[1] = (char)(0x80 | (codepoint >> 12 & 0x3F));
    out[2] = (char)(0x80 | (codepoint >> 6 & 0x3F));
    out[3] = (char)(0x80 | (codepoint & 0x3F));
    return 4;
}

size_t slm_utf8_count(const char *text, size_t len)
{
    size_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

size_t slm_utf8_incomplete_tail(const char *text, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char byte = (unsigned char)text[len - back];
        if ((byte & 0xC0) == 0x80) continue;
        bool cut;
        sequence_length(text + len - back, back, &cut);
        return cut ? back : 0;
    }
    return 0;
}

void slm_utf8_append_valid(slm_buffer *out, const char *text, size_t len)
{
    size_t clean = 0; /* start of the run that is valid so far */
    size_t at = 0;
    while (at < len) {
        bool cut;
        size_t step = sequence_length(text + at, len - at, &cut);
        if (step == 0) {
            slm_buffer_append(out, text + clean, at - clean);
            slm_buffer_append_text(out, "\xEF\xBF\xBD");
            step = 1;
            clean = at + 1;
        }
        at += step;
    }
    slm_buffer_append(out, text + clean, len - clean);
}

/* utf8proc refuses invalid input; clean it first, so that no text can make this fail. */
static void append_mapped(slm_buffer *out, const char *text, size_t len, utf8proc_option_t options)
{
    slm_buffer clean = {0};
    if (!slm_utf8_valid(text, len, NULL)) {
        slm_utf8_append_valid(&clean, text, len);
        text = clean.data;
        len = clean.len;
    }
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t size = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len,
                                         &mapped, options | UTF8PROC_STABLE);
    if (size < 0) slm_out_of_memory(len);
    slm_buffer_append(out, mapped, (size_t)size);
    free(mapped);
    slm_buffer_free(&clean);
}

static bool is_ascii(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] >= 0x80) return false;
    }
    return true;
}

void slm_utf8_append_casefold(slm_buffer *out, const char *text, size_t len)
{
    if (!is_ascii(text, len)) {
        append_mapped(out, text, len, UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);
        return;
    }
    slm_buffer_append(out, text, len);
    for (char *c = out->data + (out->len - len); c < out->data + out->len; c++) {
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
    }
}

void slm_utf8_append_nfc(slm_buffer *out, const char *text, size_t len)
{
    if (is_ascii(text, len)) {
        slm_buffer_append(out, text, len);
    } else {
        append_mapped(out, text, len, UTF8PROC_COMPOSE);
    }
}

static utf8proc_category_t category(uint32_t codepoint)
{
    if (codepoint > 0x10FFFF) return UTF8PROC_CATEGORY_CN;
    return utf8proc_category((utf8proc_int32_t)codepoint);
}

bool slm_utf8_is_letter(uint32_t codepoint)
{
    utf8proc_category_t c = category(codepoint);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool slm_utf8_is_digit(uint32_t codepoint)
{
    return category(codepoint) == UTF8PROC_CATEGORY_ND;
}

/* The property White_Space: the separators and seven control characters. */
bool slm_utf8_is_space(uint32_t codepoint)
{
    if ((codepoint >= 0x09 && codepoint <= 0x0D) || codepoint == 0x85) return true;
    utf8proc_category_t c = category(codepoint);
    return c >= UTF8PROC_CATEGORY_ZS && c <= UTF8PROC_CATEGORY_ZP;
}

bool slm_utf8_is_punctuation(uint32_t codepoint)
{
    utf8proc_category_t c = category(codepoint);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

size_t slm_utf8_columns(const char *text, size_t len)
{
    size_t columns = 0;
    for (size_t at = 0; at < len;) {
        uint32_t codepoint;
        at += slm_utf8_decode(text + at, len - at, &codepoint);
        int width = utf8proc_charwidth((utf8proc_int32_t)codepoint);
        if (width > 0) columns += (size_t)width;
    }
    return columns;
}
