/* config.c: a model's shape: who reads it, what must hold whoever read it, and how many numbers it
 * takes. Nothing is sized by a configuration that has not passed here. */
#include <string.h>

#include "model_internal.h"

/* Bounds that no real model comes near, so that no product of them overflows. */
static slm_status check_bounds(const char *path, const slm_model_config *c, slm_error *err)
{
    const struct {
        const char *name;
        int value, max;
    } fields[] = {{"layers", c->layers, 1024},
                  {"attention heads", c->heads, 1024},
                  {"key-value heads", c->kv_heads, 1024},
                  {"numbers in a head", c->head_dim, 4096},
                  {"numbers in an embedding", c->embedding, 65536},
                  {"feed-forward units", c->feed_forward, 1 << 20},
                  {"tokens in the vocabulary", c->vocabulary, 1 << 24},
                  {"positions of context", c->context, 1 << 24}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].value < 1 || fields[i].value > fields[i].max)
            return slm_error_set(err, SLM_ERR_FORMAT, "%s: %d %s; there must be from 1 to %d", path,
                                 fields[i].value, fields[i].name, fields[i].max);
    return SLM_OK;
}

slm_status model__config_check(const char *path, const slm_model_config *c, slm_error *err)
{
    SLM_TRY(check_bounds(path, c, err));
    if (c->heads % c->kv_heads != 0)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: %d attention heads are not a multiple of %d key-value heads",
                             path, c->heads, c->kv_heads);
    if (c->head_dim % 2 != 0)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: the head size %d is odd", path, c->head_dim);
    return SLM_OK;
}

slm_status slm_model_config_read(const slm_tensors *file, slm_model_config *out, slm_error *err)
{
    const char *path = slm_tensors_path(file);
    slm_model_config c = {0};
    if (slm_tensors_folder(file))
        SLM_TRY(model__config_from_folder(file, &c, err));
    else
        SLM_TRY(model__config_from_gguf(file, &c, err));
    SLM_TRY(model__config_check(path, &c, err));
    *out = c;
    return SLM_OK;
}

uint64_t slm_model_config_parameters(const slm_model_config *c)
{
    uint64_t d = (uint64_t)c->embedding, layer = 2 * d;
    uint64_t q = (uint64_t)(c->heads * c->head_dim), kv = (uint64_t)(c->kv_heads * c->head_dim);
    for (model__role role = 0; role < MODEL_MATRICES; role++) {
        int rows, columns;
        model__matrix_shape(c, role, &rows, &columns);
        layer += (uint64_t)rows * (uint64_t)columns;
    }
    if (c->qkv_bias) layer += q + 2 * kv;
    if (c->output_bias) layer += d;
    if (c->qk_norm) layer += 2 * (uint64_t)c->head_dim;
    uint64_t table = (uint64_t)c->vocabulary * d;
    return (uint64_t)c->layers * layer + d + table * (c->tied_head ? 1 : 2);
}
