/* fuzz_json.c: any bytes as JSON. What parses has a canonical text that parses to the same canonical
 * text again; as JSON Lines the reader comes to an end. */
#include "fuzz.h"

#include <string.h>
#include "base/buffer.h"
#include "base/json.h"

static void round_trip(const uint8_t *data, size_t size)
{
    json_t *value = NULL, *again = NULL;
    slm_buffer first = {0}, second = {0};
    slm_error error;
    if (slm_json_parse((const char *)data, size, "input", 1, &value, &error) == SLM_OK) {
        slm_json_append_canonical(&first, value);
        SLM_ASSERT(slm_json_parse(first.data, first.len, "again", 1, &again, &error) == SLM_OK);
        slm_json_append_canonical(&second, again);
        SLM_ASSERT(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    }
    json_decref(value);
    json_decref(again);
    slm_buffer_free(&first);
    slm_buffer_free(&second);
}

static void read_lines(const uint8_t *data, size_t size)
{
    fuzz_file file = fuzz_file_open(data, size);
    slm_jsonl *reader = NULL;
    slm_error error;
    if (slm_jsonl_open(file.path, &reader, &error) == SLM_OK) {
        json_t *value;
        size_t line = 0, before = 0;
        while (slm_jsonl_next(reader, &value, &line, &error) == SLM_OK && value != NULL) {
            SLM_ASSERT(line > before);
            before = line;
            json_decref(value);
        }
    }
    slm_jsonl_close(reader);
    fuzz_file_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    round_trip(data, size);
    read_lines(data, size);
    slm_buffer quoted = {0};
    json_t *value = NULL;
    slm_error error;
    slm_json_append_string(&quoted, (const char *)data, size);
    /* Any text can be written, and what is written can be read, but for U+0000. */
    bool has_zero = memchr(data, 0, size) != NULL;
    slm_status status =
        slm_json_parse(slm_buffer_text(&quoted), quoted.len, "quoted", 1, &value, &error);
    SLM_ASSERT(has_zero || status == SLM_OK);
    json_decref(value);
    slm_buffer_free(&quoted);
    return 0;
}
