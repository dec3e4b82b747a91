/* fuzz_safetensors.c: any bytes as a safetensors file: opened, every tensor read to its end, NF4 with
 * its scales. What opens has its tensors within the bytes. The bytes are also read as the index of
 * that file. An error is a fine answer; a signal, a leak or a read outside the bytes is not. */
#include "tensor/tensor_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_tensor(const slm_tensors *file, const slm_tensor *tensor, const uint8_t *data,
                        size_t size)
{
    volatile float sink = 0;
    float values[257];
    const uint8_t *at = tensor->data;
    size_t items = slm_tensor_items(tensor), step = sizeof(values) / sizeof(values[0]);
    SLM_ASSERT(slm_tensors_find(file, tensor->name) == tensor);
    SLM_ASSERT(at >= data && tensor->bytes <= (size_t)(data + size - at));
    SLM_ASSERT((tensor->dtype == SLM_NF4) == (tensor->nf4 != NULL));
    if (!slm_dtype_is_weight(tensor->dtype)) return;
    for (size_t first = 0; first < items; first += step) {
        slm_tensor_read(tensor, first, step < items - first ? step : items - first, values);
        sink += values[0];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slm_tensors *file = NULL;
    slm_error err;
    if (size >= 4 && data[0] == 'G' && data[1] == 'G') return 0; /* fuzz_gguf's */
    if (slm_tensors__open_memory(data, size, "fuzz.safetensors", &file, &err) != SLM_OK) return 0;
    for (size_t i = 0; i < slm_tensors_count(file); i++)
        read_tensor(file, slm_tensors_at(file, i), data, size);
    for (size_t i = 0; i < slm_meta_count(file); i++)
        SLM_ASSERT(slm_meta_find(file, slm_meta_at(file, i)->key) == slm_meta_at(file, i));
    const slm_tensor_part index = {.path = "index", .data = data + 8, .size = size - 8};
    (void)slm_tensor__check_index(file, &index, &err);
    slm_tensors_close(file);
    return 0;
}
