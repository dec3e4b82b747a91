/* encoder_config.c: an encoder's shape from the files of its folder.
 *
 * config.json is that of transformers' BertConfig. What sentence-transformers puts around the model
 * stands beside it: modules.json lists the steps, sentence_bert_config.json the length that a text is
 * cut to, 1_Pooling/config.json how rows become a vector. What this forward does not compute (other
 * activations, relative positions, dense layers behind the pooling) is refused by name. Vectors are
 * brought to length 1 whether or not the list has a step for that: cosines do not change by it. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model_internal.h"

/* The object in a file of the folder; *out NULL if there is no such file and it may be missing. */
static slm_status read_object(const slm_tensors *file, const char *name, bool required,
                              slm_buffer *path, json_t **out, slm_error *err)
{
    slm_buffer text = {0};
    *out = NULL;
    slm_buffer_truncate(path, 0);
    slm_file_join(path, slm_tensors_folder(file), name);
    if (!required && !slm_file_exists(slm_buffer_text(path))) return SLM_OK;
    slm_status status = model__read_settings(slm_buffer_text(path), &text, err);
    if (status == SLM_OK)
        status =
            slm_json_parse(slm_buffer_text(&text), text.len, slm_buffer_text(path), 1, out, err);
    slm_buffer_free(&text);
    return status;
}

bool slm_encoder_is(const slm_tensors *file)
{
    if (slm_tensors_folder(file) == NULL) return false;
    slm_buffer path = {0};
    json_t *root = NULL;
    const char *type = NULL;
    if (read_object(file, "config.json", false, &path, &root, NULL) == SLM_OK)
        type = json_string_value(json_object_get(root, "model_type"));
    const bool is = type != NULL && strcmp(type, "bert") == 0;
    json_decref(root);
    slm_buffer_free(&path);
    return is;
}

static slm_status unsupported(const slm_json_place *place, slm_error *err, const char *what,
                              const char *value)
{
    slm_json_error(place, err, "%s '%.80s' is not computed by this version; use another encoder",
                   what, value);
    if (err != NULL) err->status = SLM_ERR_UNSUPPORTED;
    return SLM_ERR_UNSUPPORTED;
}

static slm_status read_int(const json_t *root, const char *key, int most,
                           const slm_json_place *place, int *out, slm_error *err)
{
    int64_t value;
    SLM_TRY(slm_json_integer(root, key, place, &value, err));
    if (value < 1 || value > most)
        return slm_json_error(place, err, "%s is %lld; it must be from 1 to %d", key,
                              (long long)value, most);
    *out = (int)value;
    return SLM_OK;
}

static slm_status read_bert(const json_t *root, const slm_json_place *place,
                            slm_encoder_config *out, slm_error *err)
{
    enum { MOST = 1 << 20, MOST_WIDTH = 1 << 14, MOST_LAYERS = 512 };
    const char *type = "", *activation = "gelu", *positions = "absolute";
    bool decoder = false;
    if (!json_is_object(root)) return slm_json_error(place, err, "expected an object");
    SLM_TRY(slm_json_string(root, "model_type", place, &type, err));
    if (strcmp(type, "bert") != 0) return unsupported(place, err, "model_type", type);
    SLM_TRY(slm_json_string_optional(root, "hidden_act", place, &activation, err));
    if (strcmp(activation, "gelu") != 0) return unsupported(place, err, "hidden_act", activation);
    SLM_TRY(slm_json_string_optional(root, "position_embedding_type", place, &positions, err));
    if (strcmp(positions, "absolute") != 0)
        return unsupported(place, err, "position_embedding_type", positions);
    SLM_TRY(slm_json_bool_optional(root, "is_decoder", place, &decoder, err));
    if (decoder) return unsupported(place, err, "is_decoder", "true");
    SLM_TRY(read_int(root, "num_hidden_layers", MOST_LAYERS, place, &out->layers, err));
    SLM_TRY(read_int(root, "num_attention_heads", MOST_WIDTH, place, &out->heads, err));
    SLM_TRY(read_int(root, "hidden_size", MOST_WIDTH, place, &out->embedding, err));
    SLM_TRY(read_int(root, "intermediate_size", 4 * MOST_WIDTH, place, &out->feed_forward, err));
    SLM_TRY(read_int(root, "vocab_size", MOST, place, &out->vocabulary, err));
    SLM_TRY(read_int(root, "max_position_embeddings", MOST_WIDTH, place, &out->positions, err));
    SLM_TRY(read_int(root, "type_vocab_size", 16, place, &out->types, err));
    if (out->embedding % out->heads != 0)
        return slm_json_error(place, err, "hidden_size %d is no multiple of %d heads",
                              out->embedding, out->heads);
    out->head_dim = out->embedding / out->heads;
    out->max_tokens = out->positions;
    out->norm_eps = 1e-12;
    SLM_TRY(slm_json_number_optional(root, "layer_norm_eps", place, &out->norm_eps, err));
    if (!(out->norm_eps >= 0 && out->norm_eps <= 1))
        return slm_json_error(place, err, "layer_norm_eps is %g; it must be from 0 to 1",
                              out->norm_eps);
    return SLM_OK;
}

/* The steps, by the last part of their names: Transformer, Pooling, and perhaps Normalize. */
static slm_status read_modules(const json_t *root, const slm_json_place *place, slm_error *err)
{
    if (root == NULL) return SLM_OK;
    if (!json_is_array(root)) return slm_json_error(place, err, "expected an array");
    for (size_t i = 0; i < json_array_size(root); i++) {
        const slm_json_place here = {.parent = place, .index = i};
        const char *type;
        SLM_TRY(slm_json_string(json_array_get(root, i), "type", &here, &type, err));
        const char *dot = strrchr(type, '.'), *name = dot != NULL ? dot + 1 : type;
        if (strcmp(name, "Transformer") != 0 && strcmp(name, "Pooling") != 0 &&
            strcmp(name, "Normalize") != 0)
            return unsupported(&here, err, "type", type);
    }
    return SLM_OK;
}

static slm_status read_pooling(const json_t *root, const slm_json_place *place,
                               slm_encoder_config *out, slm_error *err)
{
    const char *key;
    json_t *value;
    bool mean = false;
    if (root == NULL) return SLM_OK;
    if (!json_is_object(root)) return slm_json_error(place, err, "expected an object");
    json_object_foreach((json_t *)(uintptr_t)root, key, value)
    {
        if (strncmp(key, "pooling_mode", strlen("pooling_mode")) != 0) continue;
        if (json_is_string(value) && strcmp(json_string_value(value), "mean") == 0) mean = true;
        if (json_is_string(value) && strcmp(json_string_value(value), "cls") == 0)
            out->first_token = true;
        if (!json_is_true(value)) continue;
        if (strcmp(key, "pooling_mode_mean_tokens") == 0)
            mean = true;
        else if (strcmp(key, "pooling_mode_cls_token") == 0)
            out->first_token = true;
        else
            return unsupported(place, err, "pooling", key);
    }
    if (mean == out->first_token)
        return slm_json_error(place, err,
                              "expected either pooling_mode_mean_tokens or pooling_mode_cls_token");
    return SLM_OK;
}

static slm_status read_length(const json_t *root, const slm_json_place *place,
                              slm_encoder_config *out, slm_error *err)
{
    int64_t most = out->max_tokens;
    if (root == NULL) return SLM_OK;
    SLM_TRY(slm_json_integer_optional(root, "max_seq_length", place, &most, err));
    if (most < 3)
        return slm_json_error(place, err, "max_seq_length is %lld; it must be at least 3",
                              (long long)most);
    if (most < out->max_tokens) out->max_tokens = (int)most;
    return SLM_OK;
}

slm_status slm_encoder_config_read(const slm_tensors *file, slm_encoder_config *out, slm_error *err)
{
    static const char *const names[] = {"config.json", "modules.json", "1_Pooling/config.json",
                                        "sentence_bert_config.json"};
    slm_status status = SLM_OK;
    slm_buffer path = {0};
    json_t *root = NULL;
    *out = (slm_encoder_config){0};
    if (slm_tensors_folder(file) == NULL)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: an encoder is a folder of Hugging Face's layout",
                             slm_tensors_path(file));
    for (size_t i = 0; i < 4; i++) {
        SLM_TRY_OUT(read_object(file, names[i], i == 0, &path, &root, err));
        const slm_json_place place = {.name = slm_buffer_text(&path)};
        status = i == 0   ? read_bert(root, &place, out, err)
                 : i == 1 ? read_modules(root, &place, err)
                 : i == 2 ? read_pooling(root, &place, out, err)
                          : read_length(root, &place, out, err);
        if (status != SLM_OK) goto out;
        json_decref(root);
        root = NULL;
    }
out:
    json_decref(root);
    slm_buffer_free(&path);
    return status;
}

uint64_t slm_encoder_parameters(const slm_encoder_config *c)
{
    const uint64_t d = (uint64_t)c->embedding, feed = (uint64_t)c->feed_forward;
    const uint64_t layer = 4 * (d * d + d) + 2 * d * feed + feed + d + 4 * d;
    const uint64_t rows = (uint64_t)c->vocabulary + (uint64_t)c->positions + (uint64_t)c->types;
    return rows * d + 2 * d + (uint64_t)c->layers * layer;
}
