/* csv.c: a CSV reader by RFC 4180: fields separated by commas, quoted where they hold commas, quotes
 * (doubled) or line ends; lines ended by LF or CRLF. Blank lines are passed over. A quote in the
 * middle of an unquoted field, text behind a closing quote, and a quote that is never closed are
 * errors that name the line: guessing would shift columns silently. */
#include "eval/eval_internal.h"

#include <stdlib.h>
#include <string.h>

static slm_status csv_error(const eval__csv *csv, const char *what, slm_error *err)
{
    return slm_error_set(err, SLM_ERR_FORMAT, "%s:%zu: %s", csv->name, csv->next_line, what);
}

static void begin_field(eval__csv *csv)
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
static slm_status read_quoted(eval__csv *csv, slm_error *err)
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

static slm_status read_field(eval__csv *csv, slm_error *err)
{
    begin_field(csv);
    if (csv->at < csv->len && csv->text[csv->at] == '"') {
        csv->at++;
        SLM_TRY(read_quoted(csv, err));
        if (csv->at < csv->len && !strchr(",\r\n", csv->text[csv->at]))
            return csv_error(csv,
                             "text behind a closing quote; a quote in a quoted field is "
                             "doubled",
                             err);
    } else {
        while (csv->at < csv->len && !strchr(",\r\n", csv->text[csv->at])) {
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
static slm_status end_line(eval__csv *csv, slm_error *err)
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

slm_status eval__csv_next(eval__csv *csv, bool *row, slm_error *err)
{
    *row = false;
    if (csv->next_line == 0) csv->next_line = 1;
    while (csv->at < csv->len && strchr("\r\n", csv->text[csv->at]) && csv->text[csv->at])
        SLM_TRY(end_line(csv, err));
    csv->line = csv->next_line;
    csv->field_count = 0;
    slm_buffer_truncate(&csv->field_text, 0);
    if (csv->at >= csv->len) return SLM_OK;
    for (;;) {
        SLM_TRY(read_field(csv, err));
        if (csv->at >= csv->len || csv->text[csv->at] != ',') break;
        csv->at++;
    }
    SLM_TRY(end_line(csv, err));
    for (size_t i = 0; i < csv->field_count; i++)
        csv->fields[i] = csv->field_text.data + csv->offsets[i];
    *row = true;
    return SLM_OK;
}

void eval__csv_free(eval__csv *csv)
{
    slm_buffer_free(&csv->field_text);
    free(csv->fields);
    free(csv->offsets);
}
