/* fuzz_csv.c: any bytes as CSV that a spreadsheet wrote. Reading ends; what was read, written again
 * as quoted fields, reads the same but for what is no text (base/csv.h). */
#include "fuzz.h"

#include <string.h>
#include "base/csv.h"

static bool same(const char *field, const char *wanted)
{
    slm_buffer text = {0};
    slm_csv_append_text(&text, wanted);
    slm_csv csv = {.name = "again", .text = slm_buffer_text(&text), .len = text.len};
    bool row = false;
    slm_error error;
    SLM_ASSERT(slm_csv_next(&csv, &row, &error) == SLM_OK && row && csv.field_count == 1);
    bool equal = strcmp(csv.fields[0], field) == 0;
    slm_csv_free(&csv);
    slm_buffer_free(&text);
    return equal;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slm_csv csv = {.name = "sheet", .text = (const char *)data, .len = size};
    slm_error error;
    slm_csv_detect(&csv);
    for (size_t rows = 0;; rows++) {
        bool row = false;
        if (slm_csv_next(&csv, &row, &error) != SLM_OK || !row) break;
        SLM_ASSERT(rows <= size && csv.field_count > 0);
        for (size_t i = 0; i < csv.field_count; i++) {
            /* Once written it is text, and a second writing changes nothing more than a formula's
             * apostrophe did the first time. */
            slm_buffer once = {0};
            slm_csv_append_text(&once, csv.fields[i]);
            slm_csv inner = {.name = "once", .text = slm_buffer_text(&once), .len = once.len};
            bool any = false;
            SLM_ASSERT(slm_csv_next(&inner, &any, &error) == SLM_OK && any);
            SLM_ASSERT(inner.field_count == 1);
            const char *cell = inner.fields[0] + strspn(inner.fields[0], " \t\r\n");
            SLM_ASSERT(*cell == '\0' || strchr("=+-@", *cell) == NULL);
            SLM_ASSERT(same(inner.fields[0], inner.fields[0]));
            slm_csv_free(&inner);
            slm_buffer_free(&once);
        }
    }
    slm_csv_free(&csv);
    return 0;
}
