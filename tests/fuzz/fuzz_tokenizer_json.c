/* fuzz_tokenizer_json.c: any bytes as a tokenizer.json; what follows a zero byte is the
 * tokenizer_config.json. What loads must encode and decode without a fault, its ids must be ids, and
 * a text without special tokens must not give one. */
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "text/text_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const slm_tokenizer *t, const char *text, size_t len, bool special)
{
    slm_tokens ids = {0};
    slm_buffer streamed = {0}, whole = {0};
    slm_decoder decoder = {0};
    if (slm_tokenizer_encode(t, text, len, special, &ids, NULL) != SLM_OK)
        SLM_ASSERT(ids.len == 0); /* an expression that gives up */
    for (size_t i = 0; i < ids.len; i++) {
        SLM_ASSERT(ids.ids[i] >= 0 && (size_t)ids.ids[i] < slm_tokenizer_size(t));
        SLM_ASSERT(special || t->entries[ids.ids[i]].type != TEXT_TOKEN_CONTROL ||
                   ids.ids[i] == t->unknown);
        slm_decoder_push(&decoder, t, ids.ids[i], &streamed);
    }
    slm_decoder_finish(&decoder, &streamed);
    SLM_ASSERT(slm_utf8_valid(slm_buffer_text(&streamed), streamed.len, NULL));
    slm_tokenizer_decode_all(t, ids.ids, ids.len, special, &whole);
    slm_tokens_free(&ids);
    slm_buffer_free(&streamed);
    slm_buffer_free(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char sample[] = "ab  a 12 it's <s>\xc3\xa9 e\xcc\x81\n\xff \xf0\x9f\xa4\x92";
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t len = zero ? (size_t)(zero - data) : size;
    /* Copies of their own length: reading past an end is found out. */
    char *json = malloc(len ? len : 1), *config = NULL;
    SLM_ASSERT(json != NULL);
    if (len > 0) memcpy(json, data, len);
    slm_buffer rest = {0};
    if (zero != NULL) {
        slm_buffer_append(&rest, zero + 1, size - len - 1);
        config = rest.len ? rest.data : NULL;
    }
    slm_tokenizer *t = NULL;
    slm_error err = {0};
    slm_status status =
        slm_text__from_json("f.json", json, len, "c.json", config, rest.len, &t, &err);
    SLM_ASSERT((status == SLM_OK) == (t != NULL));
    SLM_ASSERT(status == SLM_OK || err.message[0] != '\0');
    if (t != NULL) {
        size_t text_len = len < 200 ? len : 200;
        check_text(t, sample, sizeof(sample) - 1, false);
        check_text(t, sample, sizeof(sample) - 1, true);
        check_text(t, json, text_len, false);
    }
    slm_tokenizer_free(t);
    slm_buffer_free(&rest);
    free(json);
    return 0;
}
