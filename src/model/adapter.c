/* adapter.c: a LoRA adapter in PEFT's layout, put beside the weights.
 *
 * y = W x + s B A x with A [r, columns], B [rows, r] and s = alpha / r (Hu et al. 2022), or alpha /
 * sqrt(r) with rank stabilisation (Kalajdzievski 2023). Tensors are named after transformers'
 * modules: base_model.model.model.layers.N.self_attn.q_proj.lora_A.weight. A and B are kept in the
 * weights' dtype, since they are fed by the same activations. What PEFT can do besides (DoRA,
 * biases, whole modules saved, per-module ranks or alphas) is refused by name. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "model_internal.h"

static slm_status refuse(const slm_json_place *place, slm_error *err, const char *what)
{
    slm_json_error(place, err, "%s is not supported by this version; merge the adapter with PEFT",
                   what);
    if (err) err->status = SLM_ERR_UNSUPPORTED;
    return SLM_ERR_UNSUPPORTED;
}

/* false, null, "", [] and {} ask for nothing. */
static bool asks_nothing(const json_t *value)
{
    if (json_is_string(value)) return json_string_length(value) == 0;
    if (json_is_object(value) || json_is_array(value))
        return json_object_size(value) + json_array_size(value) == 0;
    return !value || json_is_null(value) || json_is_false(value);
}

/* How A and B began does not matter, unless the base's weights were changed with them (PiSSA, OLoRA,
 * CorDA, LoftQ ...): beside the base as it was published such an adapter is wrong. */
static slm_status check_start(const json_t *root, const slm_json_place *place, slm_error *err)
{
    static const char *const harmless[] = {"", "gaussian", "eva", "orthogonal"};
    const json_t *value = json_object_get(root, "init_lora_weights");
    char what[64];
    if (!value || json_is_null(value) || json_is_boolean(value)) return SLM_OK;
    const char *text = json_is_string(value) ? json_string_value(value) : "not a string";
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        if (strcmp(text, harmless[i]) == 0) return SLM_OK;
    snprintf(what, sizeof what, "init_lora_weights '%.30s'", text);
    return refuse(place, err, what);
}

static slm_status check_plain(json_t *root, const slm_json_place *place, slm_error *err)
{
    static const char *const refused[] = {
        "fan_in_fan_out",    "lora_bias",         "rank_pattern",
        "alpha_pattern",     "modules_to_save",   "trainable_token_indices",
        "layer_replication", "target_parameters", "alora_invocation_tokens",
        "arrow_config",      "kasa_config",       "velora_config",
        "monteclora_config"};
    const char *type = NULL, *bias = "none", *key;
    json_t *value;
    SLM_TRY(slm_json_string(root, "peft_type", place, &type, err));
    if (strcmp(type, "LORA") != 0) {
        char what[64];
        snprintf(what, sizeof what, "peft_type '%.30s'", type);
        return refuse(place, err, what);
    }
    SLM_TRY(slm_json_string_optional(root, "bias", place, &bias, err));
    if (strcmp(bias, "none") != 0) return refuse(place, err, "bias");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (!asks_nothing(json_object_get(root, refused[i]))) return refuse(place, err, refused[i]);
    /* Every variant has its switch: use_dora, use_qalora and what PEFT may yet bring. */
    json_object_foreach(root, key, value)
    {
        bool variant = strncmp(key, "use_", 4) == 0 && strcmp(key, "use_rslora") != 0;
        char what[64];
        snprintf(what, sizeof what, "%.60s", key);
        if (variant && !asks_nothing(value)) return refuse(place, err, what);
    }
    return check_start(root, place, err);
}

static slm_status read_config(json_t *root, const slm_json_place *place, model__adapter_config *out,
                              slm_error *err)
{
    int64_t rank = 0;
    SLM_TRY(check_plain(root, place, err));
    SLM_TRY(slm_json_integer(root, "r", place, &rank, err));
    SLM_TRY(slm_json_number(root, "lora_alpha", place, &out->alpha, err));
    SLM_TRY(slm_json_bool_optional(root, "use_rslora", place, &out->rank_stabilised, err));
    if (rank < 1 || rank > 65536)
        return slm_json_error(place, err, "r is %lld; it must be from 1 to 65536", (long long)rank);
    if (!(fabs(out->alpha) <= 1e6))
        return slm_json_error(place, err, "lora_alpha is %g; it must be from -1e6 to 1e6",
                              out->alpha);
    out->rank = (int)rank;
    return SLM_OK;
}

slm_status model__adapter_parse(const char *text, size_t len, const char *name,
                                model__adapter_config *out, slm_error *err)
{
    json_t *root = NULL;
    const slm_json_place place = {.name = name};
    SLM_TRY(model__parse_settings(text, len, name, &root, err));
    slm_status status = read_config(root, &place, out, err);
    json_decref(root);
    return status;
}

/* The layer's number at the head of text, written as one writes numbers: "7", not "07" or "+7", so
 * that two names cannot mean one matrix. *end is what follows the dot behind it. */
static bool parse_layer(const char *text, int layers, int *layer, const char **end)
{
    int value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (*at - '0');
        if (value >= layers) return false;
    }
    if (at == text || *at != '.' || (*text == '0' && at - text > 1)) return false;
    *layer = value;
    *end = at + 1;
    return true;
}

/* Which matrix, and which half of it, a tensor's name means; false if none. */
static bool parse_name(const slm_model *m, const char *name, int *layer, model__role *role,
                       bool *is_b)
{
    static const char front[] = "base_model.model.model.layers.";
    const model__names *names = model__names_of(NULL);
    const char *rest = NULL;
    if (strncmp(name, front, sizeof front - 1) != 0) return false;
    if (!parse_layer(name + sizeof front - 1, m->config.layers, layer, &rest)) return false;
    for (*role = 0; *role < MODEL_MATRICES; ++*role) {
        const char *part = names->matrices[*role];
        size_t len = strlen(part);
        if (strncmp(rest, part, len) != 0) continue;
        *is_b = strcmp(rest + len, ".lora_B.weight") == 0;
        if (*is_b || strcmp(rest + len, ".lora_A.weight") == 0) return true;
    }
    return false;
}

float model__adapter_scale(const model__adapter_config *config)
{
    double r = config->rank_stabilised ? sqrt((double)config->rank) : (double)config->rank;
    return (float)(config->alpha / r);
}

size_t model__interleaved_row(const slm_model_config *config, size_t row)
{
    size_t head_dim = (size_t)config->head_dim, half = head_dim / 2;
    size_t head = row / head_dim, within = row % head_dim;
    return head * head_dim + 2 * (within % half) + within / half;
}

/* Pack B of q or k with its rows in the order in which a GGUF Llama stores them. */
static slm_status pack_reordered(slm_model *m, const slm_tensor *tensor, slm_weight **out,
                                 slm_error *err)
{
    size_t rows = (size_t)tensor->shape[0], rank = (size_t)tensor->shape[1];
    if (!slm_dtype_is_weight(tensor->dtype) || slm_dtype_block_items(tensor->dtype) != 1)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED, "type %s is not F32, F16 or BF16",
                             slm_dtype_name(tensor->dtype));
    float *values = malloc(rows * rank * sizeof *values);
    if (!values) slm_out_of_memory(rows * rank * sizeof *values);
    for (size_t row = 0; row < rows; row++)
        slm_tensor_read(tensor, row * rank, rank,
                        values + model__interleaved_row(&m->config, row) * rank);
    slm_status status = slm_weight_pack(m->device, SLM_F32, values, rows, rank, m->dtype, out, err);
    free(values);
    return status;
}

static slm_status take_tensor(slm_model *m, const slm_tensors *file, const slm_tensor *tensor,
                              const model__adapter_config *config, slm_error *err)
{
    const char *path = slm_tensors_path(file);
    model__role role;
    int layer, rows, columns;
    bool is_b;
    if (!parse_name(m, tensor->name, &layer, &role, &is_b))
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: tensor %s is no half of a LoRA pair beside one of this model's "
                             "layers; leaving it out would give wrong answers",
                             path, tensor->name);
    model__matrix_shape(&m->config, role, &rows, &columns);
    uint64_t rank = (uint64_t)config->rank;
    uint64_t want[2] = {is_b ? (uint64_t)rows : rank, is_b ? rank : (uint64_t)columns};
    if (tensor->dims != 2 || tensor->shape[0] != want[0] || tensor->shape[1] != want[1])
        return slm_error_set(err, SLM_ERR_FORMAT,
                             "%s: tensor %s has shape [%llu, %llu]; rank and model ask for [%llu, "
                             "%llu]",
                             path, tensor->name, (unsigned long long)tensor->shape[0],
                             (unsigned long long)(tensor->dims > 1 ? tensor->shape[1] : 1),
                             (unsigned long long)want[0], (unsigned long long)want[1]);
    model__matrix *matrix = &m->layers[layer].matrices[role];
    slm_weight **half = is_b ? &matrix->b : &matrix->a;
    SLM_ASSERT(!*half); /* names differ, and each matrix has one name */
    slm_status status = SLM_OK;
    if (is_b && m->config.rope_interleaved && (role == MODEL_Q || role == MODEL_K))
        status = pack_reordered(m, tensor, half, err);
    else
        status = slm_weight_pack_tensor(m->device, tensor, m->dtype, half, err);
    if (status != SLM_OK) return slm_error_prefix(err, status, "%s: tensor %s", path, tensor->name);
    matrix->scale = model__adapter_scale(config);
    return SLM_OK;
}

/* Both halves of each pair, and at least one pair. */
static slm_status count_pairs(slm_model *m, const char *path, slm_error *err)
{
    for (int layer = 0; layer < m->config.layers; layer++)
        for (model__role role = 0; role < MODEL_MATRICES; role++) {
            const model__matrix *matrix = &m->layers[layer].matrices[role];
            if (!matrix->a != !matrix->b)
                return slm_error_set(
                    err, SLM_ERR_FORMAT, "%s: layer %d has lora_%c of %s without its other half",
                    path, layer, matrix->a ? 'A' : 'B', model__names_of(NULL)->matrices[role]);
            if (!matrix->a) continue;
            m->adapter_matrices++;
            m->weight_bytes += slm_weight_bytes(matrix->a) + slm_weight_bytes(matrix->b);
        }
    if (m->adapter_matrices > 0) return SLM_OK;
    return slm_error_set(err, SLM_ERR_FORMAT, "%s: holds no LoRA tensors", path);
}

slm_status model__adapter_apply(slm_model *m, const slm_tensors *file,
                                const model__adapter_config *config, slm_error *err)
{
    slm_status status = SLM_OK;
    uint64_t bytes = m->weight_bytes;
    SLM_ASSERT(m->adapter_rank == 0);
    for (size_t i = 0; i < slm_tensors_count(file); i++)
        SLM_TRY_OUT(take_tensor(m, file, slm_tensors_at(file, i), config, err));
    SLM_TRY_OUT(count_pairs(m, slm_tensors_path(file), err));
    m->adapter_rank = config->rank;
    m->adapter = *config;
out:
    if (status != SLM_OK) {
        model__adapter_drop(m);
        m->weight_bytes = bytes;
    }
    return status;
}

void model__adapter_drop(slm_model *m)
{
    for (int layer = 0; m->layers && layer < m->config.layers; layer++)
        for (model__role role = 0; role < MODEL_MATRICES; role++) {
            model__matrix *matrix = &m->layers[layer].matrices[role];
            if (matrix->a && matrix->b && m->adapter_rank > 0)
                m->weight_bytes -= slm_weight_bytes(matrix->a) + slm_weight_bytes(matrix->b);
            slm_weight_free(matrix->a);
            slm_weight_free(matrix->b);
            matrix->a = matrix->b = NULL;
        }
    m->adapter_rank = m->adapter_matrices = 0;
}

/* Whether folder[0..len)/below, left in `path`, has this file. */
static bool has_below(const char *folder, size_t len, const char *below, const char *name,
                      slm_buffer *path)
{
    slm_buffer_truncate(path, 0);
    slm_buffer_append(path, folder, len);
    if (*below) slm_buffer_printf(path, "%s%s", len > 0 ? "/" : "", below);
    const size_t without_name = path->len;
    slm_buffer_printf(path, "/%s", name);
    const bool is_there = slm_file_exists(slm_buffer_text(path));
    slm_buffer_truncate(path, without_name);
    return is_there;
}

slm_status slm_model_find_adapter(const char *folder, slm_error *err)
{
    static const char settings[] = "adapter_config.json";
    static const char *const adapters[] = {"interpolated",     "best",    "last", "grpo/best",
                                           "sft/interpolated", "sft/best"};
    slm_status status = SLM_ERR_NOT_FOUND;
    slm_buffer path = {0};
    size_t len = strlen(folder);
    while (len > 1 && folder[len - 1] == '/')
        len--;
    size_t stage = len; /* the folder that this one is in */
    while (stage > 0 && folder[stage - 1] != '/')
        stage--;
    if (stage > 1) stage--;
    if (has_below(folder, len, "", settings, &path)) {
        status = SLM_OK;
        goto out;
    }
    for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++)
        if (has_below(folder, len, adapters[i], settings, &path)) {
            slm_error_set(err, status, "%s: holds no adapter itself; name the one in %s", folder,
                          slm_buffer_text(&path));
            goto out;
        }
    if (has_below(folder, len, "", "config.json", &path))
        slm_error_set(err, status, "%s: is a whole model, no adapter; name it alone", folder);
    else if (has_below(folder, len, "model", "config.json", &path) ||
             (has_below(folder, len, "", "model.safetensors", &path) &&
              has_below(folder, stage, "model", "config.json", &path)))
        slm_error_set(err, status, "%s: holds no adapter; the whole model is %s: name that alone",
                      folder, slm_buffer_text(&path));
    else if (!slm_file_is_folder(folder))
        slm_error_set(err, status,
                      "%s: no such folder; behind + stands the folder of an adapter, such as a "
                      "stage's best",
                      folder);
    else
        slm_error_set(err, status, "%s: holds no adapter: it has no %s", folder, settings);
out:
    slm_buffer_free(&path);
    return status;
}

slm_status model__adapter_settings(const char *folder, slm_buffer *path, slm_buffer *out,
                                   slm_error *err)
{
    SLM_TRY(slm_model_find_adapter(folder, err));
    slm_file_join(path, folder, "adapter_config.json");
    return model__read_settings(slm_buffer_text(path), out, err);
}

slm_status slm_model_load_adapter(slm_model *m, const char *folder, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_tensors *file = NULL;
    slm_buffer path = {0}, text = {0};
    model__adapter_config config = {0};
    SLM_TRY_OUT(model__adapter_settings(folder, &path, &text, err));
    SLM_TRY_OUT(model__adapter_parse(slm_buffer_text(&text), text.len, slm_buffer_text(&path),
                                     &config, err));
    slm_file_join(&path, folder, "adapter_model.safetensors");
    SLM_TRY_OUT(slm_tensors_open(slm_buffer_text(&path), &file, err));
    SLM_TRY_OUT(model__adapter_apply(m, file, &config, err));
out:
    slm_tensors_close(file);
    slm_buffer_free(&path);
    slm_buffer_free(&text);
    return status;
}

int slm_model_adapter_rank(const slm_model *model)
{
    return model->adapter_rank;
}

int slm_model_adapter_matrices(const slm_model *model)
{
    return model->adapter_matrices;
}

slm_status slm_model_adapter_sha256(const char *folder, char hex[65], slm_error *err)
{
    static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors"};
    slm_buffer path = {0};
    slm_status status = SLM_OK;
    slm_sha256 *hash = slm_sha256_new();
    for (size_t i = 0; i < 2 && status == SLM_OK; i++) {
        char one[SLM_SHA256_HEX_BYTES] = "";
        slm_file_join(&path, folder, files[i]);
        status = slm_sha256_file(slm_buffer_text(&path), one, err);
        slm_sha256_update_part(hash, one);
    }
    slm_sha256_finish(hash, hex);
    slm_buffer_free(&path);
    return status;
}
