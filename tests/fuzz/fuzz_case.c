/* fuzz_case.c: any bytes as a case file, whole and cut by criteria, and as meta-evaluation rows. A
 * file that is accepted has cases whose canonical JSON is accepted again and says the same. */
#include "fuzz.h"

#include <string.h>
#include "data/data.h"

static void ignore(void *context, const slm_error *problem)
{
    (void)context, (void)problem;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_file file = fuzz_file_open(data, size);
    const char *path = file.path;
    slm_cases cases = {0};
    slm_cases_options options = {0};
    slm_error error;
    if (slm_cases_load(&path, 1, &options, NULL, NULL, &cases, &error) == SLM_OK) {
        slm_cases_check(&cases, ignore, NULL);
        slm_arena arena = {0};
        for (size_t i = 0; i < cases.count; i++) {
            slm_case again;
            SLM_ASSERT(slm_case_parse(cases.items[i].json, "again", 1, &arena, &again, &error) ==
                       SLM_OK);
            SLM_ASSERT(strcmp(again.json, cases.items[i].json) == 0);
            SLM_ASSERT(again.rubric_count == cases.items[i].rubric_count);
            slm_case_highest_tier(&again);
        }
        slm_arena_free(&arena);
        slm_cases_free(&cases);
        static const char *const criteria[] = {"axis:*", "*a*"};
        options = (slm_cases_options){.criteria = criteria, .criteria_count = 2};
        if (slm_cases_load(&path, 1, &options, NULL, NULL, &cases, &error) == SLM_OK) {
            for (size_t i = 0; i < cases.count; i++)
                SLM_ASSERT(cases.items[i].rubric_count > 0);
            slm_cases_free(&cases);
        }
    }
    slm_meta_rows rows = {0};
    if (slm_meta_rows_load(path, 0, &rows, &error) == SLM_OK) slm_meta_rows_free(&rows);
    fuzz_file_close(&file);
    return 0;
}
