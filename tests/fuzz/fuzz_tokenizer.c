/* fuzz_tokenizer.c: any bytes as text. The first byte chooses the family and whether special tokens
 * are parsed; the rest is encoded. Over a vocabulary of all bytes decoding must give the text back
 * (not with qwen2, which normalises), the streaming decoder must give what cleaning the text gives,
 * and the text as a chat template's Jinja must not trip the detection. */
#include "base/utf8.h"
#include "gguf_writer.h"
#include "tensor/tensor_internal.h"
#include "text/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FAMILIES = 4 };
static const char *const families[FAMILIES] = {"smollm", "gpt-2", "llama-bpe", "qwen2"};
static slm_tokenizer *tokenizers[FAMILIES];

static void load(size_t family)
{
    static const char *const merges[] = {"a a",
                                         "aa aa",
                                         "h e",
                                         "l l",
                                         "he ll",
                                         "\xc4\xa0 a",
                                         "\xc4\x8a \xc4\x8a",
                                         "\xc3\x83 \xc2\xa9"};
    gguf_writer w = {0};
    slm_buffer bytes = {0};
    slm_tensors *file = NULL;
    gguf_add_byte_tokenizer(&w, families[family], merges, sizeof(merges) / sizeof(merges[0]));
    gguf_finish(&w, &bytes);
    slm_status status = slm_tensors__open_memory(bytes.data, bytes.len, "made", &file, NULL);
    SLM_ASSERT(status == SLM_OK);
    status = slm_tokenizer_from_gguf(file, &tokenizers[family], NULL);
    SLM_ASSERT(status == SLM_OK);
    slm_tensors_close(file);
    slm_buffer_free(&bytes);
    gguf_writer_free(&w);
}

static void check_text(const slm_tokenizer *tokenizer, const char *text, size_t len, bool special,
                       bool exact)
{
    slm_tokens ids = {0};
    slm_buffer back = {0}, streamed = {0}, clean = {0};
    slm_decoder decoder = {0};
    bool any_special = false;
    slm_status status = slm_tokenizer_encode(tokenizer, text, len, special, &ids, NULL);
    SLM_ASSERT(status == SLM_OK);
    for (size_t i = 0; i < ids.len; i++) {
        any_special = any_special || slm_tokenizer_is_special(tokenizer, ids.ids[i]);
        slm_tokenizer_decode(tokenizer, ids.ids[i], true, &back);
        slm_decoder_push(&decoder, tokenizer, ids.ids[i], &streamed);
    }
    slm_decoder_finish(&decoder, &streamed);
    SLM_ASSERT(special || !any_special);
    if (exact) {
        SLM_ASSERT(back.len == len);
        SLM_ASSERT(len == 0 || memcmp(back.data, text, len) == 0);
    }
    SLM_ASSERT(slm_utf8_valid(slm_buffer_text(&streamed), streamed.len, NULL));
    /* What is held at the end becomes one U+FFFD, not one for each byte: compare whole texts only. */
    slm_utf8_append_valid(&clean, text, len);
    if (exact && !any_special && slm_utf8_incomplete_tail(text, len) == 0) {
        SLM_ASSERT(streamed.len == clean.len);
        SLM_ASSERT(clean.len == 0 || memcmp(streamed.data, clean.data, clean.len) == 0);
    }
    slm_tokens_free(&ids);
    slm_buffer_free(&back);
    slm_buffer_free(&streamed);
    slm_buffer_free(&clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    size_t family = data[0] % FAMILIES;
    bool special = data[0] & 4;
    if (tokenizers[family] == NULL) load(family);
    check_text(tokenizers[family], (const char *)data + 1, size - 1, special,
               family != FAMILIES - 1);

    slm_buffer jinja = {0};
    const slm_template *found = NULL;
    slm_buffer_append(&jinja, data + 1, size - 1);
    if (slm_template_detect(slm_buffer_text(&jinja), &found, NULL) == SLM_OK)
        SLM_ASSERT(found != NULL);
    slm_buffer_free(&jinja);
    return 0;
}
