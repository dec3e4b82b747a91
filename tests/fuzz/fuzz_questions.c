/* fuzz_questions.c: any bytes as a file of questions: XML, CSV, JSON, JSON Lines, a workbook. What is
 * kept is counted right, is valid UTF-8 in one spelling, and stands there once. */
#include "fuzz.h"

#include <string.h>
#include "base/buffer.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"
#include "data/questions.h"

static void ignore(void *context, const slm_error *problem)
{
    (void)context;
    SLM_ASSERT(problem->message[0] != '\0');
}

static void check_row(const char *line, size_t len)
{
    json_t *row = NULL;
    SLM_ASSERT(slm_json_parse(line, len, "row", 1, &row, NULL) == SLM_OK);
    const char *question = json_string_value(json_object_get(row, "question"));
    size_t bytes = json_string_length(json_object_get(row, "question"));
    char id[SLM_SHA256_HEX_BYTES];
    SLM_ASSERT(question != NULL && bytes > 0 && slm_utf8_valid(question, bytes, NULL));
    SLM_ASSERT(question[0] != ' ' && question[bytes - 1] != ' ' && strstr(question, "  ") == NULL);
    slm_sha256_hex(question, bytes, id);
    SLM_ASSERT(strcmp(id, json_string_value(json_object_get(row, "id"))) == 0);
    json_decref(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_file file = fuzz_file_open(data, size);
    const char *paths[] = {file.path};
    slm_import_options options = slm_import_options_default();
    slm_import_summary summary;
    char *text = NULL;
    size_t len = 0, rows = 0;
    FILE *out = open_memstream(&text, &len);
    SLM_ASSERT(out != NULL);
    SLM_ASSERT(slm_import(paths, 1, &options, out, ignore, NULL, &summary, NULL) == SLM_OK);
    fclose(out);
    for (size_t at = 0; at < len; rows++) {
        const char *end = memchr(text + at, '\n', len - at);
        SLM_ASSERT(end != NULL);
        check_row(text + at, (size_t)(end - text) - at);
        at = (size_t)(end - text) + 1;
    }
    const slm_import_source *t = &summary.total;
    SLM_ASSERT(rows == t->kept);
    SLM_ASSERT(t->read == t->kept + t->duplicate + t->empty + t->too_long);
    slm_import_summary_free(&summary);
    free(text);
    fuzz_file_close(&file);
    return 0;
}
