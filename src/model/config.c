/* config.c: a model's shape, read from a GGUF file's metadata and checked before anything is sized
 * by it.
 *
 * Keys are "<architecture>.<name>" as the GGUF specification lists them. Every number has a bound
 * that no real model comes near, so that a hostile file cannot make a product overflow; the tensors
 * themselves are checked against these numbers when the weights are read. What this forward does
 * not compute (RoPE scaling, partial rotary, experts) is refused by name: a model is run right or
 * not at all. */
#include <stdio.h>
#include <string.h>

#include "model_internal.h"

static slm_status read_int(const slm_tensors *file, const char *architecture, const char *name,
                           bool required, int64_t max, int *out, slm_error *err)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", architecture, name);
    int64_t value = *out;
    SLM_TRY(slm_meta_integer(file, key, required, &value, err));
    if (value < 1 || value > max)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata %s is %lld; it must be from 1 to %lld",
                             slm_tensors_path(file), key, (long long)value, (long long)max);
    *out = (int)value;
    return SLM_OK;
}

static slm_status read_real(const slm_tensors *file, const char *architecture, const char *name,
                            bool required, double min, double max, double *out, slm_error *err)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", architecture, name);
    SLM_TRY(slm_meta_real(file, key, required, out, err));
    if (!(*out >= min && *out <= max))
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: metadata %s is %g; it must be from %g to %g",
                             slm_tensors_path(file), key, *out, min, max);
    return SLM_OK;
}

/* Metadata whose presence means arithmetic that this forward does not have. */
static slm_status refuse_unknown(const slm_tensors *file, const char *architecture, slm_error *err)
{
    static const char *const refused[] = {"rope.scaling.type",   "rope.scaling.factor",
                                          "expert_count",        "attention.sliding_window",
                                          "attention.clamp_kqv", "logit_scale"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char key[128];
        snprintf(key, sizeof key, "%s.%s", architecture, refused[i]);
        const slm_meta *meta = slm_meta_find(file, key);
        if (!meta) continue;
        bool harmless = (meta->kind == SLM_META_STRING && strcmp(meta->string, "none") == 0) ||
                        (meta->kind == SLM_META_INTEGER && meta->integer == 0);
        if (!harmless)
            return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                                 "%s: metadata %s asks for what this version does not compute; use "
                                 "a model without it",
                                 slm_tensors_path(file), key);
    }
    return SLM_OK;
}

static slm_status check_heads(const slm_tensors *file, const slm_model_config *config, int rotary,
                              slm_error *err)
{
    const char *path = slm_tensors_path(file);
    if (config->heads % config->kv_heads != 0)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: %d attention heads are not a multiple of %d key-value heads",
                             path, config->heads, config->kv_heads);
    if (config->head_dim % 2 != 0)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: the head size %d is odd", path,
                             config->head_dim);
    if (rotary != config->head_dim)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: rotates %d of each head's %d numbers; this version rotates all",
                             path, rotary, config->head_dim);
    return SLM_OK;
}

slm_status slm_model_config_read(const slm_tensors *file, slm_model_config *out, slm_error *err)
{
    const char *architecture = NULL;
    slm_model_config config = {0};
    SLM_TRY(slm_meta_string(file, "general.architecture", true, &architecture, err));
    if (strcmp(architecture, "llama") != 0)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: the architecture '%s' is not known; this version runs: llama",
                             slm_tensors_path(file), architecture);
    snprintf(config.architecture, sizeof config.architecture, "%s", architecture);
    SLM_TRY(refuse_unknown(file, architecture, err));
    SLM_TRY(read_int(file, architecture, "block_count", true, 1024, &config.layers, err));
    SLM_TRY(read_int(file, architecture, "embedding_length", true, 65536, &config.embedding, err));
    SLM_TRY(read_int(file, architecture, "feed_forward_length", true, 1 << 20, &config.feed_forward,
                     err));
    SLM_TRY(read_int(file, architecture, "attention.head_count", true, 1024, &config.heads, err));
    config.kv_heads = config.heads;
    SLM_TRY(read_int(file, architecture, "attention.head_count_kv", false, 1024, &config.kv_heads,
                     err));
    SLM_TRY(read_int(file, architecture, "context_length", true, 1 << 24, &config.context, err));
    config.head_dim = config.embedding / config.heads;
    SLM_TRY(
        read_int(file, architecture, "attention.key_length", false, 4096, &config.head_dim, err));
    int rotary = config.head_dim;
    SLM_TRY(read_int(file, architecture, "rope.dimension_count", false, 4096, &rotary, err));
    SLM_TRY(check_heads(file, &config, rotary, err));
    config.rope_base = 10000.0;
    SLM_TRY(
        read_real(file, architecture, "rope.freq_base", false, 1.0, 1e12, &config.rope_base, err));
    SLM_TRY(read_real(file, architecture, "attention.layer_norm_rms_epsilon", true, 0.0, 1.0,
                      &config.norm_eps, err));
    config.rope_interleaved = true;

    const slm_tensor *embedding = slm_tensors_find(file, "token_embd.weight");
    if (!embedding || embedding->dims != 2)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: has no two-dimensional tensor token_embd.weight",
                             slm_tensors_path(file));
    if (embedding->shape[0] > (1u << 24))
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: token_embd.weight has %llu rows; too many",
                             slm_tensors_path(file), (unsigned long long)embedding->shape[0]);
    config.vocabulary = (int)embedding->shape[0];
    config.tied_head = slm_tensors_find(file, "output.weight") == NULL;
    *out = config;
    return SLM_OK;
}

uint64_t slm_model_config_parameters(const slm_model_config *config)
{
    uint64_t d = (uint64_t)config->embedding;
    uint64_t q = (uint64_t)config->heads * (uint64_t)config->head_dim;
    uint64_t kv = (uint64_t)config->kv_heads * (uint64_t)config->head_dim;
    uint64_t layer = 2 * d + 2 * q * d + 2 * kv * d + 3 * d * (uint64_t)config->feed_forward;
    uint64_t table = (uint64_t)config->vocabulary * d;
    return (uint64_t)config->layers * layer + d + table * (config->tied_head ? 1 : 2);
}
