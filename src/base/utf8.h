/* utf8.h: UTF-8 as bytes, code points and terminal columns (RFC 3629; Unicode data: utf8proc). */
#ifndef SLM_BASE_UTF8_H
#define SLM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"

/* True if the bytes are valid UTF-8 (no surrogates, no overlong forms). On false, *bad_offset (may
 * be NULL) is the first offending byte. */
bool slm_utf8_valid(const char *text, size_t len, size_t *bad_offset);
/* Decode one code point at text[0..len). Returns the bytes used (1-4) and sets *codepoint; for an
 * invalid or cut sequence returns 1 and sets U+FFFD. len must be > 0. */
size_t slm_utf8_decode(const char *text, size_t len, uint32_t *codepoint);
/* Encode into out[4]; returns the bytes written; an invalid code point is written as U+FFFD. */
size_t slm_utf8_encode(uint32_t codepoint, char out[4]);
/* Characters in valid UTF-8 text. */
size_t slm_utf8_count(const char *text, size_t len);
/* How many bytes at the end of text are the beginning of a character that is not complete yet
 * (0-3). For streaming: print len minus this. */
size_t slm_utf8_incomplete_tail(const char *text, size_t len);
/* Append text with every invalid byte replaced by U+FFFD. */
void slm_utf8_append_valid(slm_buffer *out, const char *text, size_t len);
/* Append the text case-folded (Unicode full case folding) and NFC-composed. Invalid bytes become
 * U+FFFD. */
void slm_utf8_append_casefold(slm_buffer *out, const char *text, size_t len);
/* Append the text in NFC. Invalid bytes become U+FFFD. */
void slm_utf8_append_nfc(slm_buffer *out, const char *text, size_t len);
/* Letter (L*), digit (Nd), white space, punctuation (P*), by Unicode general category. */
bool slm_utf8_is_letter(uint32_t codepoint);
bool slm_utf8_is_digit(uint32_t codepoint);
bool slm_utf8_is_space(uint32_t codepoint);
bool slm_utf8_is_punctuation(uint32_t codepoint);
/* Terminal columns of valid UTF-8 text (wide characters count 2, combining marks 0). */
size_t slm_utf8_columns(const char *text, size_t len);

#endif
