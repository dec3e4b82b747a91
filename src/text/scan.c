/* scan.c: a JSON text walked over value by value (RFC 8259), nothing of it kept.
 *
 * The walk is driven by the caller, who knows what must come: open a bracket, take members until
 * there are no more, read a string or a number, skip what is of no interest. There is no recursion,
 * so depth costs nothing. */
#include "text/scan.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "base/utf8.h"

size_t slm_text__scan_line(const text_scan *s, const char *at)
{
    size_t line = 1;
    for (const char *p = s->text; (p = memchr(p, '\n', (size_t)(at - p))) != NULL; p++)
        line++;
    return line;
}

slm_status slm_text__scan_error(const text_scan *s, slm_error *err, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    size_t at = s->at < s->len ? s->at : s->len;
    return slm_error_set(err, SLM_ERR_FORMAT, "%s:%zu: %s", s->name,
                         slm_text__scan_line(s, s->text + at), message);
}

static void skip_space(text_scan *s)
{
    while (s->at < s->len && (s->text[s->at] == ' ' || s->text[s->at] == '\n' ||
                              s->text[s->at] == '\t' || s->text[s->at] == '\r'))
        s->at++;
}

char slm_text__scan_peek(text_scan *s)
{
    skip_space(s);
    return s->at < s->len ? s->text[s->at] : 0;
}

static slm_status expect(text_scan *s, char c, slm_error *err)
{
    char found = slm_text__scan_peek(s);
    if (s->at >= s->len)
        return slm_text__scan_error(s, err, "the file ends where '%c' is expected", c);
    if (found != c) return slm_text__scan_error(s, err, "'%c' is expected", c);
    s->at++;
    return SLM_OK;
}

slm_status slm_text__scan_open(text_scan *s, char bracket, slm_error *err)
{
    return expect(s, bracket, err);
}

slm_status slm_text__scan_next(text_scan *s, char close, bool *first, bool *more, slm_error *err)
{
    *more = slm_text__scan_peek(s) != close;
    if (!*more) {
        s->at++;
        return SLM_OK;
    }
    if (!*first) {
        SLM_TRY(expect(s, ',', err));
        if (slm_text__scan_peek(s) == close)
            return slm_text__scan_error(s, err, "a value is expected behind the comma");
    }
    *first = false;
    return SLM_OK;
}

static bool hex4(const text_scan *s, size_t at, uint32_t *out)
{
    uint32_t value = 0;
    if (s->len - at < 4) return false;
    for (size_t i = 0; i < 4; i++) {
        char c = s->text[at + i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit > 15) return false;
        value = value * 16 + digit;
    }
    *out = value;
    return true;
}

/* What stands behind a backslash; false if nothing may stand there so. */
static bool unescape(text_scan *s, slm_buffer *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (s->at >= s->len) return false;
    char c = s->text[s->at++], utf8[4];
    const char *known = c ? strchr(from, c) : NULL;
    if (known != NULL) {
        slm_buffer_append_char(out, to[known - from]);
        return true;
    }
    uint32_t cp, low;
    if (c != 'u' || !hex4(s, s->at, &cp)) return false;
    s->at += 4;
    if (cp >= 0xdc00 && cp < 0xe000) return false;
    if (cp >= 0xd800 && cp < 0xdc00) {
        if (s->len - s->at < 6 || s->text[s->at] != '\\' || s->text[s->at + 1] != 'u' ||
            !hex4(s, s->at + 2, &low) || low < 0xdc00 || low >= 0xe000)
            return false;
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        s->at += 6;
    }
    slm_buffer_append(out, utf8, slm_utf8_encode(cp, utf8));
    return true;
}

slm_status slm_text__scan_string(text_scan *s, slm_buffer *out, slm_error *err)
{
    SLM_TRY(expect(s, '"', err));
    slm_buffer_truncate(out, 0);
    for (;;) {
        size_t begin = s->at;
        while (s->at < s->len && s->text[s->at] != '"' && s->text[s->at] != '\\' &&
               (unsigned char)s->text[s->at] >= 0x20)
            s->at++;
        slm_buffer_append(out, s->text + begin, s->at - begin);
        if (s->at >= s->len) return slm_text__scan_error(s, err, "the file ends within a string");
        char c = s->text[s->at];
        if (c == '"') break;
        if (c != '\\')
            return slm_text__scan_error(s, err, "a string holds the control character 0x%02x",
                                        (unsigned)(unsigned char)c);
        s->at++;
        if (!unescape(s, out))
            return slm_text__scan_error(s, err, "a string holds an escape that is none");
    }
    s->at++;
    if (!slm_utf8_valid(slm_buffer_text(out), out->len, NULL))
        return slm_text__scan_error(s, err, "a string is not UTF-8");
    return SLM_OK;
}

slm_status slm_text__scan_key(text_scan *s, slm_buffer *out, slm_error *err)
{
    SLM_TRY(slm_text__scan_string(s, out, err));
    return expect(s, ':', err);
}

slm_status slm_text__scan_id(text_scan *s, int32_t *out, slm_error *err)
{
    skip_space(s);
    int64_t value = 0;
    size_t begin = s->at;
    while (s->at < s->len && s->text[s->at] >= '0' && s->text[s->at] <= '9' && value <= INT32_MAX)
        value = value * 10 + (s->text[s->at++] - '0');
    bool ends = s->at >= s->len || strchr(",]} \n\r\t", s->text[s->at]) != NULL;
    if (s->at == begin || value > INT32_MAX || !ends)
        return slm_text__scan_error(s, err, "an id from 0 to %d is expected", INT32_MAX);
    *out = (int32_t)value;
    return SLM_OK;
}

/* Past the string that begins at s->at. */
static slm_status skip_string(text_scan *s, slm_error *err)
{
    for (s->at++; s->at < s->len; s->at++) {
        if (s->text[s->at] == '"') {
            s->at++;
            return SLM_OK;
        }
        if (s->text[s->at] == '\\') s->at++;
    }
    s->at = s->len;
    return slm_text__scan_error(s, err, "the file ends within a string");
}

slm_status slm_text__scan_skip(text_scan *s, text_slice *out, slm_error *err)
{
    skip_space(s);
    size_t begin = s->at, depth = 0;
    while (s->at < s->len) {
        char c = s->text[s->at];
        if (c == '"') {
            SLM_TRY(skip_string(s, err));
            if (depth == 0) break;
            continue;
        }
        if (depth == 0 && memchr(",]} \n\t\r", c, 7) != NULL) break;
        s->at++;
        if (c == '{' || c == '[') depth++;
        if ((c == '}' || c == ']') && --depth == 0) break;
    }
    if (depth > 0 || s->at == begin)
        return slm_text__scan_error(
            s, err, s->at < s->len ? "a value is expected" : "the file ends within a value");
    *out = (text_slice){.begin = s->text + begin, .len = s->at - begin};
    return SLM_OK;
}

slm_status slm_text__scan_end(text_scan *s, slm_error *err)
{
    skip_space(s);
    if (s->at < s->len) return slm_text__scan_error(s, err, "something stands behind the end");
    return SLM_OK;
}
