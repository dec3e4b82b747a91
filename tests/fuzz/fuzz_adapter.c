/* fuzz_adapter.c: any bytes as an adapter: adapter_config.json, a NUL, adapter_model.safetensors. What
 * is accepted changes matrices, one token runs through it, and dropping it gives all memory back; what
 * is refused leaves the model as it was. */
#include <math.h>
#include <string.h>

#include "family_model.h"
#include "model/model_internal.h"
#include "tensor/tensor_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slm_model *model;
static slm_mem cache;

/* A Llama from GGUF, so that rows of B are reordered, small enough for seeds of some KB. */
static void make_model(void)
{
    const slm_device_options device_options = {.kernels = "ref", .threads = 1};
    const slm_model_options options = {.dtype = SLM_F32};
    slm_device *device = NULL;
    slm_tensors *file = NULL;
    slm_buffer bytes = {0};
    gguf_writer w = {0};
    family f = family_shape("llama");
    f.d = 8, f.heads = 2, f.kv_heads = 1, f.head_dim = 4, f.feed = 6, f.vocabulary = 3;
    family_fill(&f, 1);
    family_gguf_metadata(&f, &w);
    family_gguf_tensors(&f, SLM_F32, &w);
    gguf_finish(&w, &bytes);
    slm_status status = slm_device_open(&device_options, &device, NULL);
    SLM_ASSERT(status == SLM_OK);
    status = slm_tensors__open_memory(bytes.data, bytes.len, "made", &file, NULL);
    SLM_ASSERT(status == SLM_OK);
    status = slm_model_load(device, file, &options, &model, NULL);
    SLM_ASSERT(status == SLM_OK);
    status = slm_device_alloc(device, slm_kv_page_bytes(slm_model_kv_shape(model)), &cache, NULL);
    SLM_ASSERT(status == SLM_OK);
    slm_tensors_close(file);
    slm_buffer_free(&bytes);
    gguf_writer_free(&w);
    family_free(&f);
}

static void run(void)
{
    slm_forward *forward = NULL;
    slm_mem logits;
    const int32_t id = 0, page = 0, want = 0;
    const slm_kv_span span = {.rows = 1, .pages = &page};
    slm_status status = slm_forward_new(model, 1, 1, &forward, NULL);
    SLM_ASSERT(status == SLM_OK);
    slm_forward_run(forward, cache, &id, 1, &span, 1, &want, 1, &logits);
    slm_forward_free(forward);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    model__adapter_config config = {0};
    slm_tensors *file = NULL;
    slm_error err;
    const uint8_t *end = memchr(data, 0, size);
    size_t len = end ? (size_t)(end - data) : size;
    if (!model) make_model();
    if (model__adapter_parse((const char *)data, len, "fuzz.json", &config, &err) != SLM_OK)
        return 0;
    SLM_ASSERT(config.rank > 0 && isfinite(config.alpha));
    if (!end) return 0;
    uint64_t bytes = slm_model_weight_bytes(model);
    if (slm_tensors__open_memory(end + 1, size - len - 1, "fuzz.safetensors", &file, &err) !=
        SLM_OK)
        return 0;
    if (model__adapter_apply(model, file, &config, &err) == SLM_OK) {
        SLM_ASSERT(slm_model_adapter_rank(model) == config.rank);
        SLM_ASSERT(slm_model_adapter_matrices(model) > 0);
        SLM_ASSERT(slm_model_weight_bytes(model) > bytes);
        run();
        model__adapter_drop(model);
    }
    SLM_ASSERT(slm_model_adapter_rank(model) == 0 && slm_model_weight_bytes(model) == bytes);
    slm_tensors_close(file);
    return 0;
}
