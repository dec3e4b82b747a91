/* fuzz_inspect.c: any bytes as cases, and as what they are compared with: up to a line of '%' the
 * cases, behind it the benchmark. The report holds together: findings that fail fail a check, and a
 * proof is clean just where no case overlaps. */
#include "fuzz.h"

#include <string.h>
#include "data/inspect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = memmem(data, size, "\n%\n", 3);
    size_t len = cut != NULL ? (size_t)(cut - data) + 1 : size;
    fuzz_file cases = fuzz_file_open(data, len);
    fuzz_file bench = fuzz_file_open(data + len, size - len);
    const char *files[] = {cases.path}, *against[] = {bench.path};
    slm_data_check_options options = slm_data_check_options_default();
    options.plain_rows = true;
    options.against = against;
    options.against_count = cut != NULL;
    slm_data_report report;
    slm_error error;
    if (slm_data_check(files, 1, &options, &report, &error) == SLM_OK) {
        bool fails = false;
        for (size_t i = 0; i < report.finding_count; i++)
            fails |= report.findings[i].fails;
        SLM_ASSERT(report.result_count > 0 && (!fails || report.failed));
        if (report.proof != NULL) {
            const json_t *hits = json_object_get(report.proof, "overlapping");
            SLM_ASSERT(json_is_true(json_object_get(report.proof, "clean")) ==
                       (json_array_size(hits) == 0));
        }
        json_decref(slm_data_report_json(&report));
        slm_data_report_free(&report);
    }
    fuzz_file_close(&cases);
    fuzz_file_close(&bench);
    return 0;
}
