/* config_gguf.c: a model's shape from a GGUF file's metadata.
 *
 * Keys are "<architecture>.<name>" as the GGUF specification lists them. Every number has a bound
 * that no real model comes near, so that a hostile file cannot make a product overflow; the tensors
 * themselves are checked against these numbers when the weights are read. What this forward does
 * not compute (partial rotary, experts, sliding windows) is refused by name: a model is run right
 * or not at all. */
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

/* Metadata that means arithmetic that this forward does not have, unless it has this value. */
static slm_status refuse_unknown(const slm_tensors *file, const char *architecture, slm_error *err)
{
    static const struct {
        const char *name;
        int harmless;
    } refused[] = {{"expert_count", 0},        {"attention.sliding_window", 0},
                   {"attention.clamp_kqv", 0}, {"attention.scale", 0},
                   {"attention.causal", 1},    {"logit_scale", 0},
                   {"residual_scale", 0},      {"embedding_scale", 0},
                   {"rope.scaling.alpha", 0},  {"rope.scaling.attn_factor", 1}};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char key[128];
        snprintf(key, sizeof key, "%s.%s", architecture, refused[i].name);
        const slm_meta *meta = slm_meta_find(file, key);
        int value = refused[i].harmless;
        bool harmless = !meta || (meta->kind == SLM_META_INTEGER && meta->integer == value) ||
                        (meta->kind == SLM_META_REAL && meta->real == (double)value);
        if (!harmless)
            return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                                 "%s: metadata %s asks for what this version does not compute; use "
                                 "a model without it",
                                 slm_tensors_path(file), key);
    }
    return SLM_OK;
}

/* As llama.cpp reads it: a factor without a type is linear, a factor of 0 is none, and scale_linear
 * is an old name of the factor. */
static slm_status read_scaling(const slm_tensors *file, const char *architecture,
                               slm_model_config *out, slm_error *err)
{
    char key[128];
    const char *type = NULL;
    double factor = 0;
    snprintf(key, sizeof key, "%s.rope.scaling.type", architecture);
    SLM_TRY(slm_meta_string(file, key, false, &type, err));
    if (slm_tensors_find(file, "rope_freqs.weight")) out->rope_scaling = SLM_ROPE_TABLE;
    if (type && strcmp(type, "none") == 0) return SLM_OK;
    if (type && strcmp(type, "linear") != 0)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: %s '%s' is not computed by this version; there are: none, linear",
                             slm_tensors_path(file), key, type);
    SLM_TRY(read_real(file, architecture, "rope.scale_linear", false, 0, 1e6, &factor, err));
    SLM_TRY(
        read_real(file, architecture, "rope.scaling.factor", type != NULL, 0, 1e6, &factor, err));
    if (factor == 0.0 || factor == 1.0) return SLM_OK;
    if (factor < 1.0)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata %s.rope.scaling.factor is %g; it must be 0 or from 1",
                             slm_tensors_path(file), architecture, factor);
    if (out->rope_scaling == SLM_ROPE_TABLE)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: has both rope_freqs.weight and %s.rope.scaling.factor; this "
                             "version computes one of them",
                             slm_tensors_path(file), architecture);
    out->rope_scaling = SLM_ROPE_LINEAR;
    out->rope_factor = factor;
    return SLM_OK;
}

static slm_status read_rope(const slm_tensors *file, const char *architecture,
                            slm_model_config *out, slm_error *err)
{
    int rotary = out->head_dim;
    SLM_TRY(read_int(file, architecture, "rope.dimension_count", false, 4096, &rotary, err));
    if (rotary != out->head_dim)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: rotates %d of each head's %d numbers; this version rotates all",
                             slm_tensors_path(file), rotary, out->head_dim);
    out->rope_base = 10000.0;
    SLM_TRY(
        read_real(file, architecture, "rope.freq_base", false, 1.0, 1e12, &out->rope_base, err));
    /* The converter reorders q and k of Llama alone. */
    out->rope_interleaved = strcmp(architecture, "llama") == 0;
    return read_scaling(file, architecture, out, err);
}

slm_status model__config_from_gguf(const slm_tensors *file, slm_model_config *out, slm_error *err)
{
    const char *a = NULL, *path = slm_tensors_path(file);
    SLM_TRY(slm_meta_string(file, "general.architecture", true, &a, err));
    if (strcmp(a, "llama") != 0 && strcmp(a, "qwen2") != 0 && strcmp(a, "qwen3") != 0)
        return slm_error_set(
            err, SLM_ERR_UNSUPPORTED,
            "%s: the architecture '%s' is not known; this version runs: llama, qwen2, qwen3", path,
            a);
    snprintf(out->architecture, sizeof out->architecture, "%s", a);
    SLM_TRY(refuse_unknown(file, a, err));
    SLM_TRY(read_int(file, a, "block_count", true, 1024, &out->layers, err));
    SLM_TRY(read_int(file, a, "embedding_length", true, 65536, &out->embedding, err));
    SLM_TRY(read_int(file, a, "feed_forward_length", true, 1 << 20, &out->feed_forward, err));
    SLM_TRY(read_int(file, a, "attention.head_count", true, 1024, &out->heads, err));
    out->kv_heads = out->heads;
    SLM_TRY(read_int(file, a, "attention.head_count_kv", false, 1024, &out->kv_heads, err));
    SLM_TRY(read_int(file, a, "context_length", true, 1 << 24, &out->context, err));
    out->head_dim = out->embedding / out->heads;
    if (out->head_dim == 0)
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: metadata %s.attention.head_count %d is more than "
                             "embedding_length %d",
                             path, a, out->heads, out->embedding);
    SLM_TRY(read_int(file, a, "attention.key_length", false, 4096, &out->head_dim, err));
    int value_length = out->head_dim;
    SLM_TRY(read_int(file, a, "attention.value_length", false, 4096, &value_length, err));
    if (value_length != out->head_dim)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: keys of %d and values of %d numbers; this version computes equal "
                             "ones only",
                             path, out->head_dim, value_length);
    SLM_TRY(read_real(file, a, "attention.layer_norm_rms_epsilon", true, 0.0, 1.0, &out->norm_eps,
                      err));
    SLM_TRY(read_rope(file, a, out, err));
    const slm_tensor *embedding = slm_tensors_find(file, "token_embd.weight");
    if (!embedding || embedding->dims != 2)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "%s: has no two-dimensional tensor token_embd.weight", path);
    out->vocabulary = embedding->shape[0] > INT32_MAX ? INT32_MAX : (int)embedding->shape[0];
    out->tied_head = slm_tensors_find(file, "output.weight") == NULL;
    out->qkv_bias = slm_tensors_find(file, "blk.0.attn_q.bias") != NULL;
    out->output_bias = slm_tensors_find(file, "blk.0.attn_output.bias") != NULL;
    out->qk_norm = strcmp(a, "qwen3") == 0;
    return SLM_OK;
}
