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
#include "base/json.h"
#include "model_internal.h"

typedef struct adapter_config {
    double alpha, rank;
    bool rank_stabilised;
} adapter_config;

static slm_status refuse(const slm_json_place *place, slm_error *err, const char *what)
{
    slm_json_error(place, err, "%s is not supported by this version; merge the adapter with PEFT",
                   what);
    if (err) err->status = SLM_ERR_UNSUPPORTED;
    return SLM_ERR_UNSUPPORTED;
}

static slm_status check_plain(const json_t *root, const slm_json_place *place, slm_error *err)
{
    const char *type = "", *bias = "none";
    SLM_TRY(slm_json_string(root, "peft_type", place, &type, err));
    if (strcmp(type, "LORA") != 0) return refuse(place, err, type);
    SLM_TRY(slm_json_string_optional(root, "bias", place, &bias, err));
    if (strcmp(bias, "none") != 0) return refuse(place, err, "bias");
    static const char *const flags[] = {"use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        bool set = false;
        SLM_TRY(slm_json_bool_optional(root, flags[i], place, &set, err));
        if (set) return refuse(place, err, flags[i]);
    }
    static const char *const empty[] = {"rank_pattern", "alpha_pattern", "modules_to_save",
                                        "trainable_token_indices", "layer_replication"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        const json_t *value = json_object_get(root, empty[i]);
        if (json_object_size(value) > 0 || json_array_size(value) > 0)
            return refuse(place, err, empty[i]);
    }
    return SLM_OK;
}

static slm_status read_config(const char *path, adapter_config *out, slm_error *err)
{
    json_t *root = NULL;
    slm_status status = SLM_OK;
    const slm_json_place place = {.name = path};
    SLM_TRY_OUT(slm_json_load(path, &root, err));
    if (!json_is_object(root)) {
        status = slm_json_error(&place, err, "expected an object");
        goto out;
    }
    SLM_TRY_OUT(check_plain(root, &place, err));
    SLM_TRY_OUT(slm_json_number(root, "r", &place, &out->rank, err));
    SLM_TRY_OUT(slm_json_number(root, "lora_alpha", &place, &out->alpha, err));
    SLM_TRY_OUT(slm_json_bool_optional(root, "use_rslora", &place, &out->rank_stabilised, err));
    if (!(out->rank >= 1 && out->rank <= 65536) || !isfinite(out->alpha))
        status = slm_json_error(&place, err, "r is %g and lora_alpha %g; r must be from 1 to 65536",
                                out->rank, out->alpha);
out:
    json_decref(root);
    return status;
}

/* Which matrix, and which half of it, a tensor's name means; false if none. */
static bool parse_name(const slm_model *m, const char *name, int *layer, model__role *role,
                       bool *is_b)
{
    const model__names *names = model__names_of(NULL);
    int end = 0;
    if (sscanf(name, "base_model.model.model.layers.%d.%n", layer, &end) != 1 || end == 0)
        return false;
    if (*layer < 0 || *layer >= m->config.layers) return false;
    for (*role = 0; *role < MODEL_MATRICES; ++*role) {
        const char *part = names->matrices[*role];
        size_t len = strlen(part);
        if (strncmp(name + end, part, len) != 0) continue;
        *is_b = strcmp(name + end + len, ".lora_B.weight") == 0;
        if (*is_b || strcmp(name + end + len, ".lora_A.weight") == 0) return true;
    }
    return false;
}

/* Pack B of q or k with its rows in the order in which a GGUF Llama stores them: its converter puts
 * row j * head_dim/2 + i of each head (j = 0, 1) at 2 i + j, so that rotated pairs stand together. */
static slm_status pack_reordered(slm_model *m, const slm_tensor *tensor, slm_weight **out,
                                 slm_error *err)
{
    size_t rows = (size_t)tensor->shape[0], rank = (size_t)tensor->shape[1];
    size_t head_dim = (size_t)m->config.head_dim, half = head_dim / 2;
    if (!slm_dtype_is_weight(tensor->dtype) || slm_dtype_block_items(tensor->dtype) != 1)
        return slm_error_set(err, SLM_ERR_UNSUPPORTED, "tensor %s: type %s is not F32, F16 or BF16",
                             tensor->name, slm_dtype_name(tensor->dtype));
    float *values = malloc(rows * rank * sizeof *values);
    if (!values) slm_out_of_memory(rows * rank * sizeof *values);
    for (size_t row = 0; row < rows; row++) {
        size_t head = row / head_dim, within = row % head_dim;
        size_t to = head * head_dim + 2 * (within % half) + within / half;
        slm_tensor_read(tensor, row * rank, rank, values + to * rank);
    }
    slm_status status = slm_weight_pack(m->device, SLM_F32, values, rows, rank, m->dtype, out, err);
    free(values);
    return status;
}

static slm_status take_tensor(slm_model *m, const slm_tensors *file, const slm_tensor *tensor,
                              const adapter_config *config, slm_error *err)
{
    const char *path = slm_tensors_path(file);
    model__role role;
    int layer, rows, columns;
    bool is_b;
    if (!parse_name(m, tensor->name, &layer, &role, &is_b))
        return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                             "%s: tensor %s changes nothing that this model has", path,
                             tensor->name);
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
    if (is_b && m->config.rope_interleaved && (role == MODEL_Q || role == MODEL_K))
        SLM_TRY(pack_reordered(m, tensor, half, err));
    else
        SLM_TRY(slm_weight_pack_tensor(m->device, tensor, m->dtype, half, err));
    m->weight_bytes += slm_weight_bytes(*half);
    double r = config->rank_stabilised ? sqrt(config->rank) : config->rank;
    matrix->scale = (float)(config->alpha / r);
    return SLM_OK;
}

static slm_status check_pairs(slm_model *m, const char *path, slm_error *err)
{
    for (int layer = 0; layer < m->config.layers; layer++)
        for (model__role role = 0; role < MODEL_MATRICES; role++) {
            const model__matrix *matrix = &m->layers[layer].matrices[role];
            if (!matrix->a != !matrix->b)
                return slm_error_set(
                    err, SLM_ERR_FORMAT, "%s: layer %d has lora_%c of %s without its other half",
                    path, layer, matrix->a ? 'A' : 'B', model__names_of(NULL)->matrices[role]);
            if (matrix->a) m->adapter_matrices++;
        }
    if (m->adapter_matrices > 0) return SLM_OK;
    return slm_error_set(err, SLM_ERR_FORMAT, "%s: holds no LoRA tensors", path);
}

slm_status slm_model_load_adapter(slm_model *m, const char *folder, slm_error *err)
{
    slm_status status = SLM_OK;
    slm_tensors *file = NULL;
    slm_buffer path = {0};
    adapter_config config = {0};
    SLM_ASSERT(m->adapter_rank == 0);
    slm_file_join(&path, folder, "adapter_config.json");
    SLM_TRY_OUT(read_config(slm_buffer_text(&path), &config, err));
    slm_file_join(&path, folder, "adapter_model.safetensors");
    SLM_TRY_OUT(slm_tensors_open(slm_buffer_text(&path), &file, err));
    for (size_t i = 0; i < slm_tensors_count(file); i++)
        SLM_TRY_OUT(take_tensor(m, file, slm_tensors_at(file, i), &config, err));
    SLM_TRY_OUT(check_pairs(m, slm_buffer_text(&path), err));
    m->adapter_rank = (int)config.rank;
out:
    slm_tensors_close(file);
    slm_buffer_free(&path);
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
