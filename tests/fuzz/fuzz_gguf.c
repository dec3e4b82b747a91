/* fuzz_gguf.c: any bytes as a GGUF file: opened, read to the end of every array and tensor, and asked
 * for a tokenizer. An error is a fine answer; a signal, a leak or a read outside the bytes is not. */
#include "tensor/tensor_internal.h"
#include "text/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_metadata(const slm_tensors *file)
{
    volatile uint64_t sink = 0;
    for (size_t i = 0; i < slm_meta_count(file); i++) {
        const slm_meta *meta = slm_meta_at(file, i);
        SLM_ASSERT(slm_meta_find(file, meta->key) == meta);
        for (size_t item = 0; meta->kind == SLM_META_ARRAY && item < meta->count; item++) {
            size_t len = 0;
            if (meta->item_kind == SLM_META_INTEGER) {
                sink += (uint64_t)slm_meta_array_integer(meta, item);
            } else if (meta->item_kind == SLM_META_REAL) {
                sink += slm_meta_array_real(meta, item) > 0;
            } else {
                const char *text = slm_meta_array_string(meta, item, &len);
                if (len > 0) sink += (uint64_t)text[0] + (uint64_t)text[len - 1];
            }
        }
    }
}

static void read_tensors(const slm_tensors *file)
{
    volatile float sink = 0;
    for (size_t i = 0; i < slm_tensors_count(file); i++) {
        const slm_tensor *tensor = slm_tensors_at(file, i);
        SLM_ASSERT(slm_tensors_find(file, tensor->name) == tensor);
        size_t block = slm_dtype_block_items(tensor->dtype), items = slm_tensor_items(tensor);
        float values[SLM_DTYPE_MAX_BLOCK_ITEMS];
        if (!slm_dtype_is_weight(tensor->dtype)) continue;
        for (size_t at = 0; at < items; at += block) {
            slm_tensor_read(tensor, at, block, values);
            sink += values[0];
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slm_tensors *file = NULL;
    slm_tokenizer *tokenizer = NULL;
    slm_error err;
    if (slm_tensors__open_memory(data, size, "fuzz", &file, &err) != SLM_OK) return 0;
    read_metadata(file);
    read_tensors(file);
    if (slm_tokenizer_from_gguf(file, &tokenizer, &err) == SLM_OK) {
        slm_tokens ids = {0};
        slm_tokenizer_encode(tokenizer, (const char *)data, size < 256 ? size : 256, true, &ids,
                             &err);
        slm_tokens_free(&ids);
    }
    slm_tokenizer_free(tokenizer);
    slm_tensors_close(file);
    return 0;
}
