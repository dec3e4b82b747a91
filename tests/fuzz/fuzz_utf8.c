/* fuzz_utf8.c: any bytes as text. Decoding walks to the end, encoding gives back what was decoded,
 * and what is made valid is valid. */
#include "fuzz.h"

#include <string.h>
#include "base/buffer.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = size > 0 ? (const char *)data : "";
    size_t bad = 0;
    bool valid = slm_utf8_valid(text, size, &bad);
    slm_buffer out = {0}, made = {0};
    for (size_t at = 0; at < size;) {
        uint32_t codepoint;
        char bytes[4];
        size_t used = slm_utf8_decode(text + at, size - at, &codepoint);
        SLM_ASSERT(used >= 1 && used <= 4 && at + used <= size);
        slm_buffer_append(&out, bytes, slm_utf8_encode(codepoint, bytes));
        at += used;
    }
    if (valid) {
        SLM_ASSERT(out.len == size && (size == 0 || memcmp(out.data, text, size) == 0));
        slm_utf8_append_casefold(&made, text, size);
        SLM_ASSERT(slm_utf8_valid(slm_buffer_text(&made), made.len, NULL));
        slm_buffer_truncate(&made, 0);
        slm_utf8_append_nfc(&made, text, size);
        SLM_ASSERT(slm_utf8_valid(slm_buffer_text(&made), made.len, NULL));
        slm_utf8_columns(text, size);
    } else {
        SLM_ASSERT(bad < size && slm_utf8_valid(text, bad, NULL));
    }
    SLM_ASSERT(slm_utf8_incomplete_tail(text, size) <= 3);
    slm_buffer_truncate(&made, 0);
    slm_utf8_append_valid(&made, text, size);
    SLM_ASSERT(slm_utf8_valid(slm_buffer_text(&made), made.len, NULL));
    slm_buffer_free(&out);
    slm_buffer_free(&made);
    return 0;
}
