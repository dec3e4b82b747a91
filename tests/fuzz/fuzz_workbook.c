/* fuzz_workbook.c: any bytes as the parts of a workbook: what the archive's own checks would keep a
 * fuzzer of whole files from. The bytes are cut at '\1' into sheet, shared strings, workbook and
 * relations; parts that are left out are sound ones. */
#include "fuzz.h"

#include <string.h>
#include <zip.h>
#include "data/questions.h"

static const char book[] = "<workbook xmlns:r=\"r\"><sheets><sheet name=\"a\" r:id=\"rId1\"/>"
                           "</sheets></workbook>";
static const char relations[] = "<Relationships><Relationship Id=\"rId1\" Target=\"s.xml\"/>"
                                "</Relationships>";

static void ignore(void *context, const slm_error *problem)
{
    (void)context, (void)problem;
}

static void add(zip_t *archive, const char *name, const void *bytes, size_t len)
{
    zip_source_t *source = zip_source_buffer(archive, bytes, len, 0);
    SLM_ASSERT(source != NULL);
    zip_int64_t index = zip_file_add(archive, name, source, 0);
    SLM_ASSERT(index >= 0);
    SLM_ASSERT(zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_STORE, 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"xl/s.xml", "xl/sharedStrings.xml", "xl/workbook.xml",
                                        "xl/_rels/workbook.xml.rels"};
    const uint8_t *parts[4] = {NULL, NULL, (const uint8_t *)book, (const uint8_t *)relations};
    size_t lens[4] = {0, 0, sizeof book - 1, sizeof relations - 1};
    for (size_t p = 0; p < 4 && size > 0; p++) {
        const uint8_t *end = memchr(data, 1, size);
        parts[p] = data;
        lens[p] = end != NULL ? (size_t)(end - data) : size;
        data += lens[p] + (end != NULL);
        size -= lens[p] + (end != NULL);
    }
    char path[64];
    snprintf(path, sizeof path, "/dev/shm/slm-fuzz-%d.xlsx", (int)getpid());
    unlink(path);
    zip_t *archive = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    SLM_ASSERT(archive != NULL);
    for (size_t p = 0; p < 4; p++)
        if (parts[p] != NULL) add(archive, names[p], parts[p], lens[p]);
    SLM_ASSERT(zip_close(archive) == 0);

    const char *paths[] = {path};
    slm_import_options options = slm_import_options_default();
    slm_import_summary summary;
    FILE *out = fopen("/dev/null", "w");
    SLM_ASSERT(out != NULL);
    SLM_ASSERT(slm_import(paths, 1, &options, out, ignore, NULL, &summary, NULL) == SLM_OK);
    fclose(out);
    slm_import_summary_free(&summary);
    unlink(path);
    return 0;
}
