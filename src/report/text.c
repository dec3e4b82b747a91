/* text.c: numbers and foreign texts made fit for tables, terminals and HTML.
 *
 * Names and answers come from models and files, so they are data: whatever they hold must neither
 * break a table nor run in a browser nor steer a terminal. Everything goes code point by code point
 * through one place for each kind of output. Characters that reorder the text around them (the
 * explicit directional overrides, embeddings and isolates, Unicode Annex 9) are dropped in a
 * terminal and spelled out in HTML, where an element isolates its direction anyway.
 *
 * A share that is not 0 is never printed as 0, nor one below 1 as 100: "<1", ">99". */
#include <math.h>
#include <string.h>
#include "base/utf8.h"
#include "report/report_internal.h"

const char *report__percent(double share, char out[REPORT_NUMBER_BYTES])
{
    double percent = share * 100;
    if (isnan(percent)) {
        snprintf(out, REPORT_NUMBER_BYTES, "-");
    } else if (percent > 0 && percent < 0.5) {
        snprintf(out, REPORT_NUMBER_BYTES, "<1");
    } else if (percent < 100 && percent >= 99.5) {
        snprintf(out, REPORT_NUMBER_BYTES, ">99");
    } else {
        double whole = round(percent);
        snprintf(out, REPORT_NUMBER_BYTES, "%.0f", whole == 0 ? 0.0 : whole);
    }
    return out;
}

const char *report__percent_tenths(double share, char out[REPORT_NUMBER_BYTES])
{
    double percent = share * 100;
    if (isnan(percent)) {
        snprintf(out, REPORT_NUMBER_BYTES, "-");
    } else if (percent == 0 || percent == 100) {
        snprintf(out, REPORT_NUMBER_BYTES, "%.0f", percent);
    } else if (percent > 0 && percent < 0.05) {
        snprintf(out, REPORT_NUMBER_BYTES, "<0.1");
    } else if (percent < 100 && percent >= 99.95) {
        snprintf(out, REPORT_NUMBER_BYTES, ">99.9");
    } else {
        snprintf(out, REPORT_NUMBER_BYTES, "%.1f", percent);
    }
    return out;
}

const char *report__range(double low, double high, char out[REPORT_NUMBER_BYTES])
{
    if (isnan(low) || isnan(high)) {
        out[0] = '\0';
    } else {
        double from = round(low * 100), to = round(high * 100);
        snprintf(out, REPORT_NUMBER_BYTES, "%.0f–%.0f", from == 0 ? 0.0 : from, to == 0 ? 0.0 : to);
    }
    return out;
}

const char *report__interval(const slm_figure *figure, char out[REPORT_NUMBER_BYTES])
{
    report__range(figure->interval.low, figure->interval.high, out);
    if (isnan(figure->value))
        out[0] = '\0';
    else if (!*out)
        snprintf(out, REPORT_NUMBER_BYTES, "-");
    return out;
}

const char *report__bounds(const slm_figure *figure, char out[REPORT_NUMBER_BYTES])
{
    char low[REPORT_NUMBER_BYTES], high[REPORT_NUMBER_BYTES];
    out[0] = '\0';
    if (isnan(figure->low) || isnan(figure->high)) return out;
    snprintf(out, REPORT_NUMBER_BYTES, "[%.12s, %.12s]", report__percent_tenths(figure->low, low),
             report__percent_tenths(figure->high, high));
    return out;
}

const char *report__count(int64_t n, char out[REPORT_NUMBER_BYTES])
{
    char digits[REPORT_NUMBER_BYTES];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n);
    size_t used = 0;
    for (int i = 0; i < len; i++) {
        bool separate = i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-';
        if (separate) out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

/* Characters that reorder what stands around them. */
static bool is_bidi_control(uint32_t c)
{
    return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

static bool is_noncharacter(uint32_t c)
{
    return (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF);
}

static void append_codepoint(slm_buffer *out, uint32_t c)
{
    char bytes[4];
    slm_buffer_append(out, bytes, slm_utf8_encode(c, bytes));
}

/* The whole text on one line, safe but not yet cut. */
static void append_safe(slm_buffer *out, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        uint32_t c;
        i += slm_utf8_decode(text + i, len - i, &c);
        if (is_bidi_control(c)) continue;
        if (c == '\n' || c == '\r' || c == '\t' || c == 0x2028 || c == 0x2029) c = ' ';
        if (c < 0x20 || (c >= 0x7F && c < 0xA0) || is_noncharacter(c)) c = 0xFFFD;
        append_codepoint(out, c);
    }
}

/* The length in bytes of the longest start of text[0..len) that is at most `columns` wide. */
static size_t start_within(const char *text, size_t len, size_t columns)
{
    size_t used = 0, i = 0;
    while (i < len) {
        uint32_t c;
        size_t bytes = slm_utf8_decode(text + i, len - i, &c);
        size_t wide = slm_utf8_columns(text + i, bytes);
        if (used + wide > columns) break;
        used += wide;
        i += bytes;
    }
    return i;
}

/* Where the shortest end begins that leaves out at least `columns` columns; combining marks stay
 * with the letter before them. */
static size_t end_after(const char *text, size_t len, size_t columns)
{
    size_t used = 0, i = 0;
    while (i < len) {
        uint32_t c;
        size_t bytes = slm_utf8_decode(text + i, len - i, &c);
        size_t wide = slm_utf8_columns(text + i, bytes);
        if (used >= columns && wide > 0) break;
        used += wide;
        i += bytes;
    }
    return i;
}

void report__append_line(slm_buffer *out, const char *text, size_t columns)
{
    slm_buffer safe = {0};
    append_safe(&safe, text ? text : "");
    const char *line = slm_buffer_text(&safe);
    size_t wide = slm_utf8_columns(line, safe.len);
    if (columns == 0 || wide <= columns) {
        slm_buffer_append(out, line, safe.len);
    } else {
        /* The middle goes: a name's beginning says the family, its end the variant. */
        size_t head_columns = columns / 2, tail_columns = columns - 1 - head_columns;
        size_t head = start_within(line, safe.len, head_columns);
        size_t tail = end_after(line, safe.len, wide - tail_columns);
        slm_buffer_append(out, line, head);
        slm_buffer_append_text(out, "…");
        slm_buffer_append(out, line + tail, safe.len - tail);
    }
    slm_buffer_free(&safe);
}

/* One code point as it may stand in HTML or SVG. */
static void put_codepoint(FILE *out, uint32_t c)
{
    if (c == '&') {
        fputs("&amp;", out);
    } else if (c == '<') {
        fputs("&lt;", out);
    } else if (c == '>') {
        fputs("&gt;", out);
    } else if (c == '"') {
        fputs("&quot;", out);
    } else if (c == '\'') {
        fputs("&#39;", out);
    } else if (is_bidi_control(c)) {
        fprintf(out, "[U+%04X]", (unsigned)c);
    } else {
        if (c < 0x20 && c != '\n' && c != '\t') c += 0x2400; /* the pictures of controls */
        if (c == 0x7F) c = 0x2421;
        if ((c >= 0x80 && c < 0xA0) || is_noncharacter(c)) c = 0xFFFD;
        char bytes[4];
        fwrite(bytes, 1, slm_utf8_encode(c, bytes), out);
    }
}

bool report__escape(FILE *out, const char *text, size_t max_bytes)
{
    if (!text) return false;
    size_t len = max_bytes ? strnlen(text, max_bytes + 1) : strlen(text);
    bool cut = max_bytes && len > max_bytes;
    if (cut) len = max_bytes - slm_utf8_incomplete_tail(text, max_bytes);
    for (size_t i = 0; i < len;) {
        uint32_t c;
        i += slm_utf8_decode(text + i, len - i, &c);
        if (c == '\r') {
            if (i < len && text[i] == '\n') continue;
            c = '\n';
        }
        put_codepoint(out, c);
    }
    return cut;
}

void report__escape_line(FILE *out, const char *text, size_t columns)
{
    slm_buffer line = {0};
    report__append_line(&line, text, columns);
    report__escape(out, slm_buffer_text(&line), 0);
    slm_buffer_free(&line);
}
