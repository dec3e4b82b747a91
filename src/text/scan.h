/* scan.h: walks over JSON text without building it: for the vocabulary and merges of a
 * tokenizer.json, which are large and whose memory must stay bounded by the file's size. Anything
 * small in it is cut out with text_scan_skip and given to base/json. */
#ifndef SLM_TEXT_SCAN_H
#define SLM_TEXT_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buffer.h"
#include "base/error.h"

typedef struct text_scan {
    const char *name; /* of the file, for errors */
    const char *text;
    size_t len, at;
} text_scan;

/* A value as it stands in the text; begin NULL: there is none. */
typedef struct text_slice {
    const char *begin;
    size_t len;
} text_slice;

/* "name:line: message", SLM_ERR_FORMAT, at the place where the scan stands. */
slm_status slm_text__scan_error(const text_scan *scan, slm_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
size_t slm_text__scan_line(const text_scan *scan, const char *at);
/* '{' or '[' */
slm_status slm_text__scan_open(text_scan *scan, char bracket, slm_error *err);
/* To the next member or element of what was opened; *more false: the closing bracket is behind.
 * *first must be true at the beginning. */
slm_status slm_text__scan_next(text_scan *scan, char close, bool *first, bool *more,
                               slm_error *err);
/* A string, put into out in place of what it held, as valid UTF-8. */
slm_status slm_text__scan_string(text_scan *scan, slm_buffer *out, slm_error *err);
/* A member's name and its colon. */
slm_status slm_text__scan_key(text_scan *scan, slm_buffer *out, slm_error *err);
/* A number without fraction from 0 to 2^31 - 1. */
slm_status slm_text__scan_id(text_scan *scan, int32_t *out, slm_error *err);
/* Past a value of any kind. Its brackets are counted, what is within strings is not; apart from
 * that what it holds is not looked at. */
slm_status slm_text__scan_skip(text_scan *scan, text_slice *out, slm_error *err);
/* Nothing but white space follows. */
slm_status slm_text__scan_end(text_scan *scan, slm_error *err);
/* The first character of the next value; 0 at the end. */
char slm_text__scan_peek(text_scan *scan);

#endif
