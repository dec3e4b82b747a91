/* csv.h: CSV as RFC 4180 has it, with errors that name the line; and what spreadsheets make of it. */
#ifndef SLM_BASE_CSV_H
#define SLM_BASE_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buffer.h"
#include "base/error.h"

/* Set name, text and len; zero the rest. */
typedef struct slm_csv {
    const char *name; /* shown in errors */
    const char *text;
    size_t len, at;
    char separator; /* 0: a comma */
    size_t line;    /* of the file, where the row begins */
    size_t row;     /* as a spreadsheet counts: 1 is the header */
    size_t next_line;
    slm_buffer field_text;
    char **fields;
    size_t field_count, field_cap;
    size_t *offsets;
} slm_csv;

/* Before the first row: pass over a UTF-8 byte-order mark, and take for the separator what the first
 * line has most of: commas, semicolons or tabs. */
void slm_csv_detect(slm_csv *csv);
/* The next row that is not empty; *row false at the end. Fields live until the next call. */
slm_status slm_csv_next(slm_csv *csv, bool *row, slm_error *err);
void slm_csv_free(slm_csv *csv);

enum { SLM_CSV_COLUMN_BYTES = 16 };
/* "A" for 0, "AB" for 27: what a spreadsheet calls the column. */
void slm_csv_column_name(size_t index, char out[SLM_CSV_COLUMN_BYTES]);
/* Append text as a quoted field, safe to open in a spreadsheet: invalid bytes are U+FFFD, control
 * characters but tabs and line feeds are left out, and what would be a formula has an apostrophe in
 * front. */
void slm_csv_append_text(slm_buffer *out, const char *text);

#endif
