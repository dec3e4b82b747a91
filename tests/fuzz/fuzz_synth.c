/* fuzz_synth.c: any bytes as what a model wrote when it was asked for a case. Either there is a case,
 * which is one for the reader of case files and for the check of our own, or there are problems, each a
 * line of valid UTF-8 that can be shown to the model. */
#include "fuzz.h"

#include <string.h>
#include "base/utf8.h"
#include "data/synth_internal.h"

static const synth__cell cell = {.name = "cell", .form = "plain", .is_lacks = true};
static const synth__question asked = {"q", "Is it safe?", "fuzz"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    synth__scenario s = {
        .question = &asked,
        .cell = &cell,
        .values = {"a cook", "terse", "routine", "medicine", "English", "1", "3", "since when"},
        .is_lacks = true,
        .form = "plain",
        .turns = 1,
        .difficulty = 3,
        .id = "syn-1",
        .family = "syn-1",
    };
    if (size > 0 && (data[0] & 1) != 0) { /* an even first byte: lacks; an odd one: emergency */
        s.is_emergency = true;
        s.form = "emergency";
        s.values[SYNTH_DISPOSITION] = "emergency";
    }
    char *text = malloc(size + 1);
    SLM_ASSERT(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    slm_synth_options options = slm_synth_options_default();
    synth__problems problems = {0};
    json_t *row = synth__case_of(text, &s, NULL, &options, "a model", &problems);
    SLM_ASSERT((row == NULL) == (problems.count > 0));
    SLM_ASSERT((problems.count > 0) == (problems.text.len > 0));
    SLM_ASSERT(slm_utf8_valid(slm_buffer_text(&problems.text), problems.text.len, NULL));
    for (const char *line = slm_buffer_text(&problems.text); *line != '\0';) {
        SLM_ASSERT(strncmp(line, "- ", 2) == 0);
        line += strcspn(line, "\n") + 1;
    }
    if (row != NULL) {
        slm_buffer json = {0};
        slm_cases cases = {.count = 1};
        slm_case c;
        slm_json_append_canonical(&json, row);
        SLM_ASSERT(slm_case_parse(slm_buffer_text(&json), "row", 1, &cases.arena, &c, NULL) ==
                   SLM_OK);
        cases.items = &c;
        SLM_ASSERT(slm_cases_check(&cases, NULL, NULL) == 0);
        slm_arena_free(&cases.arena);
        slm_buffer_free(&json);
    }
    json_decref(row);
    slm_buffer_free(&problems.text);
    free(text);
    return 0;
}
