/* csv.c: a CSV reader by RFC 4180: fields separated by commas, quoted where they hold commas, quotes
 * (doubled) or line ends; lines ended by LF or CRLF. Blank lines are passed over. A quote in the
 * middle of an unquoted field, text behind a closing quote, and a quote that is never closed are
 * errors that name the line: guessing would shift columns silently.
 *
 * Spreadsheets write other separators where the comma is for decimals, and a byte-order mark in
 * front: slm_csv_detect looks at the header for both. What they would take for a formula is written
 * with an apostrophe in front (OWASP, "CSV Injection"), since a cell may hold a stranger's text. */
#include "base/csv.h"

#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"

static slm_status csv_error(const slm_csv *csv, const char *what, slm_error *err)
{
    return slm_error_set(err, SLM_ERR_FORMAT, "%s:%zu: %s", csv->name, csv->next_line, what);
}

static char separator_of(const slm_csv *csv)
{
    return csv->separator ? csv->separator : ',';
}

/* At a separator, a line end, or a zero byte, which is told elsewhere. */
static bool ends_field(const slm_csv *csv)
{
    char c = csv->text[csv->at];
    return c == separator_of(csv) || c == '\r' || c == '\n' || c == '\0';
}

static void begin_field(slm_csv *csv)
{
    if (csv->field_count == csv->field_cap) {
        csv->field_cap = csv->field_cap ? 2 * csv->field_cap : 8;
        csv->fields = realloc(csv->fields, csv->field_cap * sizeof *csv->fields);
        csv->offsets = realloc(csv->offsets, csv->field_cap * sizeof *csv->offsets);
        if (!csv->fields || !csv->offsets) slm_out_of_memory(csv->field_cap);
    }
    csv->offsets[csv->field_count++] = csv->field_text.len;
}

/* Behind the opening quote; stops behind the closing one. */
static slm_status read_quoted(slm_csv *csv, slm_error *err)
{
    size_t opened = csv->next_line;
    while (csv->at < csv->len) {
        char c = csv->text[csv->at++];
        if (c == '"') {
            if (csv->at == csv->len || csv->text[csv->at] != '"') return SLM_OK;
            csv->at++;
        }
        if (c == '\n') csv->next_line++;
        if (c == '\0') return csv_error(csv, "a zero byte: this is not a text file", err);
        slm_buffer_append_char(&csv->field_text, c);
    }
    return slm_error_set(err, SLM_ERR_FORMAT, "%s:%zu: a quote is opened and never closed",
                         csv->name, opened);
}

static slm_status read_field(slm_csv *csv, slm_error *err)
{
    begin_field(csv);
    if (csv->at < csv->len && csv->text[csv->at] == '"') {
        csv->at++;
        SLM_TRY(read_quoted(csv, err));
        if (csv->at < csv->len && !ends_field(csv))
            return csv_error(csv,
                             "text behind a closing quote; a quote in a quoted field is "
                             "doubled",
                             err);
    } else {
        while (csv->at < csv->len && !ends_field(csv)) {
            char c = csv->text[csv->at++];
            if (c == '"')
                return csv_error(csv, "a quote within a field that is not quoted as a whole", err);
            slm_buffer_append_char(&csv->field_text, c);
        }
        if (csv->at < csv->len && csv->text[csv->at] == '\0')
            return csv_error(csv, "a zero byte: this is not a text file", err);
    }
    slm_buffer_append_char(&csv->field_text, '\0');
    return SLM_OK;
}

/* Past the end of a line, if one is here. */
static slm_status end_line(slm_csv *csv, slm_error *err)
{
    if (csv->at < csv->len && csv->text[csv->at] == '\r') {
        csv->at++;
        if (csv->at < csv->len && csv->text[csv->at] != '\n')
            return csv_error(csv, "a carriage return that no line feed follows", err);
    }
    if (csv->at < csv->len) {
        if (csv->text[csv->at] != '\n')
            return csv_error(csv, "a zero byte: this is not a text file", err);
        csv->at++;
        csv->next_line++;
    }
    return SLM_OK;
}

slm_status slm_csv_next(slm_csv *csv, bool *row, slm_error *err)
{
    *row = false;
    if (csv->next_line == 0) csv->next_line = 1;
    while (csv->at < csv->len && strchr("\r\n", csv->text[csv->at]) && csv->text[csv->at]) {
        SLM_TRY(end_line(csv, err));
        csv->row++;
    }
    csv->line = csv->next_line;
    csv->field_count = 0;
    slm_buffer_truncate(&csv->field_text, 0);
    if (csv->at >= csv->len) return SLM_OK;
    csv->row++;
    for (;;) {
        SLM_TRY(read_field(csv, err));
        if (csv->at >= csv->len || csv->text[csv->at] != separator_of(csv)) break;
        csv->at++;
    }
    SLM_TRY(end_line(csv, err));
    for (size_t i = 0; i < csv->field_count; i++)
        csv->fields[i] = csv->field_text.data + csv->offsets[i];
    *row = true;
    return SLM_OK;
}

void slm_csv_free(slm_csv *csv)
{
    slm_buffer_free(&csv->field_text);
    free(csv->fields);
    free(csv->offsets);
}

void slm_csv_detect(slm_csv *csv)
{
    static const char candidates[] = {',', ';', '\t'};
    size_t counts[sizeof candidates] = {0}, best = 0;
    bool quoted = false;
    if (csv->at == 0 && csv->len >= 3 && memcmp(csv->text, "\xef\xbb\xbf", 3) == 0) csv->at = 3;
    for (size_t i = csv->at; i < csv->len; i++) {
        char c = csv->text[i];
        if (c == '"') quoted = !quoted;
        if (quoted) continue;
        if (c == '\n' || c == '\r') break;
        for (size_t s = 0; s < sizeof candidates; s++)
            counts[s] += c == candidates[s];
    }
    for (size_t s = 1; s < sizeof candidates; s++)
        if (counts[s] > counts[best]) best = s;
    csv->separator = candidates[best];
}

void slm_csv_column_name(size_t index, char out[SLM_CSV_COLUMN_BYTES])
{
    char letters[SLM_CSV_COLUMN_BYTES];
    size_t n = 0;
    for (index++; index > 0 && n + 1 < sizeof letters; index = (index - 1) / 26)
        letters[n++] = (char)('A' + (index - 1) % 26);
    for (size_t i = 0; i < n; i++)
        out[i] = letters[n - 1 - i];
    out[n] = '\0';
}

void slm_csv_append_text(slm_buffer *out, const char *text)
{
    slm_buffer valid = {0}, plain = {0};
    slm_utf8_append_valid(&valid, text, strlen(text));
    for (size_t i = 0; i < valid.len; i++) {
        unsigned char c = (unsigned char)valid.data[i];
        if (c == '"') slm_buffer_append_char(&plain, '"');
        if (c >= 0x20 || c == '\n' || c == '\t') slm_buffer_append_char(&plain, (char)c);
    }
    slm_buffer_append_char(out, '"');
    /* A formula in a spreadsheet, also behind the white space that some of them strip. */
    const char *first = slm_buffer_text(&plain);
    first += strspn(first, " \t\n");
    if (*first && strchr("=+-@", *first)) slm_buffer_append_char(out, '\'');
    slm_buffer_append(out, plain.data, plain.len);
    slm_buffer_append_char(out, '"');
    slm_buffer_free(&valid);
    slm_buffer_free(&plain);
}
