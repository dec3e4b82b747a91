/* config_folder.c: a model's shape from the config.json of a Hugging Face folder.
 *
 * Keys and their defaults are those of transformers' LlamaConfig, Qwen2Config and Qwen3Config. What
 * this forward does not compute (sliding windows, other activations, YaRN, other quantisations) is
 * refused by name: a model is run right or not at all. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "model_internal.h"

typedef struct reader {
    const json_t *root;
    slm_json_place place;
    slm_model_config *out;
} reader;

static slm_status read_int(const reader *r, const char *key, bool required, int *out,
                           slm_error *err)
{
    int64_t value = *out;
    if (required)
        SLM_TRY(slm_json_integer(r->root, key, &r->place, &value, err));
    else
        SLM_TRY(slm_json_integer_optional(r->root, key, &r->place, &value, err));
    if (value < 1 || value > (1 << 24))
        return slm_json_error(&r->place, err, "%s is %lld; it must be from 1 to %d", key,
                              (long long)value, 1 << 24);
    *out = (int)value;
    return SLM_OK;
}

static slm_status read_real(const json_t *object, const char *key, const slm_json_place *place,
                            bool required, double min, double max, double *out, slm_error *err)
{
    if (required)
        SLM_TRY(slm_json_number(object, key, place, out, err));
    else
        SLM_TRY(slm_json_number_optional(object, key, place, out, err));
    if (!(*out >= min && *out <= max))
        return slm_json_error(place, err, "%s is %g; it must be from %g to %g", key, *out, min,
                              max);
    return SLM_OK;
}

static slm_status unsupported(const reader *r, slm_error *err, const char *what, const char *value)
{
    slm_json_error(&r->place, err, "%s '%s' is not computed by this version; use another model",
                   what, value);
    if (err) err->status = SLM_ERR_UNSUPPORTED;
    return SLM_ERR_UNSUPPORTED;
}

/* Rotating a part of each head would change the arithmetic. */
static slm_status refuse_partial(const reader *r, const json_t *object, slm_error *err)
{
    double part = 1.0;
    SLM_TRY(slm_json_number_optional(object, "partial_rotary_factor", &r->place, &part, err));
    return part == 1.0 ? SLM_OK : unsupported(r, err, "partial_rotary_factor", "below 1");
}

/* rope_scaling, or rope_parameters as newer files write it (which also holds rope_theta). */
static slm_status read_scaling(const reader *r, slm_error *err)
{
    slm_model_config *c = r->out;
    json_t *scaling = NULL;
    const char *type = "default";
    slm_json_place place = {.parent = &r->place, .key = "rope_scaling"};
    SLM_TRY(slm_json_object_optional(r->root, place.key, &r->place, &scaling, err));
    if (json_object_size(scaling) == 0) {
        place.key = "rope_parameters";
        SLM_TRY(slm_json_object_optional(r->root, place.key, &r->place, &scaling, err));
    }
    if (!scaling) return SLM_OK;
    SLM_TRY(refuse_partial(r, scaling, err));
    SLM_TRY(read_real(scaling, "rope_theta", &place, false, 1, 1e12, &c->rope_base, err));
    SLM_TRY(slm_json_string_optional(scaling, "type", &place, &type, err));
    SLM_TRY(slm_json_string_optional(scaling, "rope_type", &place, &type, err));
    if (strcmp(type, "default") == 0) return SLM_OK;
    if (strcmp(type, "linear") != 0 && strcmp(type, "llama3") != 0)
        return unsupported(r, err, "rope_scaling type", type);
    SLM_TRY(read_real(scaling, "factor", &place, true, 1, 1e6, &c->rope_factor, err));
    c->rope_scaling = SLM_ROPE_LINEAR;
    if (strcmp(type, "linear") == 0) return SLM_OK;
    double original = 0;
    c->rope_scaling = SLM_ROPE_LLAMA3;
    SLM_TRY(read_real(scaling, "low_freq_factor", &place, true, 1e-3, 1e6, &c->rope_low, err));
    SLM_TRY(read_real(scaling, "high_freq_factor", &place, true, 1e-3, 1e6, &c->rope_high, err));
    SLM_TRY(read_real(scaling, "original_max_position_embeddings", &place, true, 1, 1 << 24,
                      &original, err));
    if (c->rope_high <= c->rope_low)
        return slm_json_error(&place, err, "high_freq_factor must be above low_freq_factor");
    c->rope_original = (int)original;
    return SLM_OK;
}

/* What would change the arithmetic and is not there. */
static slm_status refuse_unknown(const reader *r, slm_error *err)
{
    const char *activation = "silu";
    bool sliding = false, mlp_bias = false;
    json_t *quantisation = NULL;
    SLM_TRY(slm_json_string_optional(r->root, "hidden_act", &r->place, &activation, err));
    if (strcmp(activation, "silu") != 0) return unsupported(r, err, "hidden_act", activation);
    SLM_TRY(slm_json_bool_optional(r->root, "use_sliding_window", &r->place, &sliding, err));
    if (sliding) return unsupported(r, err, "use_sliding_window", "true");
    SLM_TRY(slm_json_bool_optional(r->root, "mlp_bias", &r->place, &mlp_bias, err));
    if (mlp_bias) return unsupported(r, err, "mlp_bias", "true");
    SLM_TRY(refuse_partial(r, r->root, err));
    SLM_TRY(
        slm_json_object_optional(r->root, "quantization_config", &r->place, &quantisation, err));
    if (!quantisation) return SLM_OK;
    const char *method = "", *type = "nf4";
    bool eight = false;
    SLM_TRY(slm_json_string_optional(quantisation, "quant_method", &r->place, &method, err));
    SLM_TRY(slm_json_string_optional(quantisation, "bnb_4bit_quant_type", &r->place, &type, err));
    SLM_TRY(slm_json_bool_optional(quantisation, "load_in_8bit", &r->place, &eight, err));
    if (strcmp(method, "bitsandbytes") != 0)
        return unsupported(r, err, "quantization_config.quant_method", method);
    if (eight) return unsupported(r, err, "quantization_config.load_in_8bit", "true");
    if (strcmp(type, "nf4") != 0)
        return unsupported(r, err, "quantization_config.bnb_4bit_quant_type", type);
    return SLM_OK;
}

static slm_status read_shape(const reader *r, slm_error *err)
{
    slm_model_config *c = r->out;
    bool qwen3 = strcmp(c->architecture, "qwen3") == 0;
    SLM_TRY(read_int(r, "num_hidden_layers", true, &c->layers, err));
    SLM_TRY(read_int(r, "hidden_size", true, &c->embedding, err));
    SLM_TRY(read_int(r, "intermediate_size", true, &c->feed_forward, err));
    SLM_TRY(read_int(r, "num_attention_heads", true, &c->heads, err));
    SLM_TRY(read_int(r, "vocab_size", true, &c->vocabulary, err));
    SLM_TRY(read_int(r, "max_position_embeddings", true, &c->context, err));
    c->kv_heads = c->heads;
    SLM_TRY(read_int(r, "num_key_value_heads", false, &c->kv_heads, err));
    c->head_dim = qwen3 ? 128 : c->embedding / c->heads;
    if (c->head_dim == 0)
        return slm_json_error(&r->place, err, "%d heads are more than hidden_size %d", c->heads,
                              c->embedding);
    SLM_TRY(read_int(r, "head_dim", false, &c->head_dim, err));
    c->norm_eps = 1e-6;
    return read_real(r->root, "rms_norm_eps", &r->place, false, 0, 1, &c->norm_eps, err);
}

static slm_status read_all(reader *r, slm_error *err)
{
    slm_model_config *c = r->out;
    const char *type = NULL;
    bool bias = false;
    SLM_TRY(slm_json_string(r->root, "model_type", &r->place, &type, err));
    if (strcmp(type, "llama") != 0 && strcmp(type, "qwen2") != 0 && strcmp(type, "qwen3") != 0) {
        slm_json_error(&r->place, err,
                       "the model_type '%s' is not known; this version runs: llama, qwen2, qwen3",
                       type);
        if (err) err->status = SLM_ERR_UNSUPPORTED;
        return SLM_ERR_UNSUPPORTED;
    }
    snprintf(c->architecture, sizeof c->architecture, "%s", type);
    SLM_TRY(refuse_unknown(r, err));
    SLM_TRY(read_shape(r, err));
    c->rope_base = 10000.0;
    SLM_TRY(read_real(r->root, "rope_theta", &r->place, false, 1, 1e12, &c->rope_base, err));
    SLM_TRY(read_scaling(r, err));
    SLM_TRY(slm_json_bool_optional(r->root, "tie_word_embeddings", &r->place, &c->tied_head, err));
    SLM_TRY(slm_json_bool_optional(r->root, "attention_bias", &r->place, &bias, err));
    c->qkv_bias = bias || strcmp(type, "qwen2") == 0;
    c->output_bias = bias && strcmp(type, "qwen2") != 0;
    c->qk_norm = strcmp(type, "qwen3") == 0;
    return SLM_OK;
}

slm_status model__read_settings(const char *path, slm_buffer *out, slm_error *err)
{
    slm_buffer_truncate(out, 0);
    return slm_file_read(path, MODEL_SETTINGS_MAX_BYTES, out, err);
}

slm_status model__parse_settings(const char *text, size_t len, const char *name, json_t **out,
                                 slm_error *err)
{
    const slm_json_place place = {.name = name};
    size_t skip = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    SLM_TRY(slm_json_parse(text + skip, len - skip, name, 1, out, err));
    if (json_is_object(*out)) return SLM_OK;
    json_decref(*out);
    *out = NULL;
    return slm_json_error(&place, err, "expected an object");
}

slm_status model__config_parse(const char *text, size_t len, const char *name,
                               slm_model_config *out, slm_error *err)
{
    json_t *root = NULL;
    SLM_TRY(model__parse_settings(text, len, name, &root, err));
    reader r = {.root = root, .place = {.name = name}, .out = out};
    slm_status status = read_all(&r, err);
    json_decref(root);
    return status;
}

slm_status model__config_from_folder(const slm_tensors *file, slm_model_config *out, slm_error *err)
{
    slm_buffer path = {0}, text = {0};
    slm_status status = SLM_OK;
    slm_file_join(&path, slm_tensors_folder(file), "config.json");
    SLM_TRY_OUT(model__read_settings(slm_buffer_text(&path), &text, err));
    SLM_TRY_OUT(
        model__config_parse(slm_buffer_text(&text), text.len, slm_buffer_text(&path), out, err));
out:
    slm_buffer_free(&path);
    slm_buffer_free(&text);
    return status;
}
