/* fuzz_import.c: any bytes as scores to import, CSV or simple-evals JSON, into a database in memory
 * that is thrown away. What was imported must be loadable, and what has cases exportable again. */
#include "fuzz.h"

#include "eval/eval.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_file input = fuzz_file_open(data, size);
    char db[64];
    snprintf(db, sizeof db, "/dev/shm/slm-fuzz-%d.db", (int)getpid());
    slm_store *store = NULL;
    slm_error error;
    SLM_ASSERT(slm_store_open(db, false, &store, &error) == SLM_OK);
    if (slm_eval_import(store, input.path, "fuzz", NULL, NULL, &error) == SLM_OK) {
        slm_arena arena = {0};
        slm_results results;
        SLM_ASSERT(slm_results_load(store, &arena, &results, &error) == SLM_OK);
        FILE *out = fopen("/dev/null", "w");
        for (size_t i = 0; out && i < results.arm_count; i++) {
            slm_status status =
                slm_eval_export_simple(store, &results, &results.arms[i], out, &error);
            SLM_ASSERT(status == SLM_OK || status == SLM_ERR_UNSUPPORTED);
        }
        if (out) fclose(out);
        slm_arena_free(&arena);
    }
    slm_store_close(store);
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal", ".lock"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s%s", db, suffixes[i]);
        unlink(path);
    }
    fuzz_file_close(&input);
    return 0;
}
