/* fuzz_config.c: any bytes as a config.json, or, if they begin as GGUF, as a model. What is accepted
 * is within its bounds, so that sizes made of it do not overflow; a GGUF whose shape is accepted is
 * loaded, and one token is run through what loads. An error is a fine answer; a signal or a leak is
 * not. */
#include <math.h>
#include <string.h>

#include "model/model_internal.h"
#include "tensor/tensor_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const slm_model_config *c)
{
    SLM_ASSERT(c->layers > 0 && c->heads > 0 && c->kv_heads > 0 && c->heads % c->kv_heads == 0);
    SLM_ASSERT(c->head_dim > 0 && c->head_dim % 2 == 0 && c->vocabulary > 0 && c->context > 0);
    SLM_ASSERT(c->rope_base >= 1 && isfinite(c->rope_base) && c->norm_eps >= 0 && c->norm_eps <= 1);
    if (c->rope_scaling == SLM_ROPE_LINEAR || c->rope_scaling == SLM_ROPE_LLAMA3)
        SLM_ASSERT(c->rope_factor >= 1 && isfinite(c->rope_factor));
    if (c->rope_scaling == SLM_ROPE_LLAMA3)
        SLM_ASSERT(c->rope_low > 0 && c->rope_high > c->rope_low && c->rope_original > 0);
    uint64_t least = 2 * (uint64_t)c->embedding * (uint64_t)c->layers; /* the norms alone */
    SLM_ASSERT(slm_model_config_parameters(c) > least);
    for (model__role role = 0; role < MODEL_MATRICES; role++) {
        int rows, columns;
        model__matrix_shape(c, role, &rows, &columns);
        SLM_ASSERT(rows > 0 && columns > 0);
    }
}

static void run(slm_model *model)
{
    slm_forward *forward = NULL;
    slm_mem cache = {NULL}, logits;
    slm_device *device = slm_model_device(model);
    const int32_t id = 0, page = 0, want = 0;
    const slm_kv_span span = {.rows = 1, .pages = &page};
    if (slm_device_alloc(device, slm_kv_page_bytes(slm_model_kv_shape(model)), &cache, NULL) ==
            SLM_OK &&
        slm_forward_new(model, 1, 1, &forward, NULL) == SLM_OK)
        slm_forward_run(forward, cache, &id, 1, &span, 1, &want, 1, &logits);
    slm_forward_free(forward);
    slm_device_free(device, cache);
}

static void read_gguf(const uint8_t *data, size_t size)
{
    static slm_device *device;
    const slm_device_options device_options = {.kernels = "ref", .threads = 1};
    const slm_model_options options = {.dtype = SLM_F32};
    slm_tensors *file = NULL;
    slm_model *model = NULL;
    slm_model_config config;
    slm_error err;
    if (!device) {
        slm_status status = slm_device_open(&device_options, &device, &err);
        SLM_ASSERT(status == SLM_OK);
    }
    if (slm_tensors__open_memory(data, size, "fuzz.gguf", &file, &err) != SLM_OK) return;
    if (slm_model_config_read(file, &config, &err) == SLM_OK) {
        check(&config);
        if (slm_model_load(device, file, &options, &model, &err) == SLM_OK) run(model);
    }
    slm_model_free(model);
    slm_tensors_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slm_model_config config = {0};
    slm_error err;
    if (size >= 4 && memcmp(data, "GGUF", 4) == 0)
        read_gguf(data, size);
    else if (model__config_parse((const char *)data, size, "fuzz", &config, &err) == SLM_OK &&
             model__config_check("fuzz", &config, &err) == SLM_OK)
        check(&config);
    return 0;
}
