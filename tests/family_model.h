/* family_model.h: small random models of every family, in memory, and as the two kinds of file.
 *
 * A `family` holds its numbers as transformers has them: q and k in NeoX order, [rows, columns].
 * family_write_folder writes config.json and model.safetensors; family_write_gguf writes what the
 * converter would make of it, with q and k of a Llama reordered (row j * head_dim/2 + i of each head,
 * j = 0 or 1, goes to 2 i + j). An adapter may stand beside it, for PEFT's layout.
 *
 *     family f = family_shape("qwen3");     its flags may be changed now
 *     family_fill(&f, 1);
 *     family_write_folder(&f, folder);      family_write_gguf(&f, SLM_F32, path);
 *     family_adapter_fill(&f, 4);           family_adapter_write(&f, folder, 8.0, true);
 *     family_free(&f); */
#ifndef SLM_TESTS_FAMILY_MODEL_H
#define SLM_TESTS_FAMILY_MODEL_H

#include <sys/stat.h>
#include <unistd.h>
#include "base/random.h"
#include "gguf_writer.h"
#include "model/model.h"
#include "safetensors_writer.h"

enum { FAMILY_Q, FAMILY_K, FAMILY_V, FAMILY_O, FAMILY_GATE, FAMILY_UP, FAMILY_DOWN, FAMILY_ROLES };
enum { FAMILY_NORMS = 4 }; /* before attention, before feed-forward, of q, of k */

static const char *const family_folder_parts[FAMILY_ROLES] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
static const char *const family_gguf_parts[FAMILY_ROLES] = {
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
static const char *const family_folder_norms[FAMILY_NORMS] = {
    "input_layernorm", "post_attention_layernorm", "self_attn.q_norm", "self_attn.k_norm"};
static const char *const family_gguf_norms[FAMILY_NORMS] = {"attn_norm", "ffn_norm", "attn_q_norm",
                                                            "attn_k_norm"};

typedef struct family_layer {
    float *w[FAMILY_ROLES];    /* [rows, columns] */
    float *bias[FAMILY_ROLES]; /* [rows] or NULL */
    float *norm[FAMILY_NORMS]; /* NULL: none */
    float *a[FAMILY_ROLES];    /* [rank, columns] or NULL */
    float *b[FAMILY_ROLES];    /* [rows, rank] or NULL */
} family_layer;

typedef struct family {
    const char *type; /* "llama", "qwen2", "qwen3" */
    int layers, d, heads, kv_heads, head_dim, feed, vocabulary, context;
    double base, eps;
    slm_rope_scaling scaling; /* TABLE: `table` below, GGUF only */
    double factor, low, high;
    int original;
    bool tied, qkv_bias, output_bias, qk_norm;
    bool new_style;    /* config.json says rope_parameters, as transformers 5 writes it */
    const char *extra; /* NULL, or members for config.json: ",\"key\":value" */
    int rank;
    double scale; /* of the adapter */
    float *embedding, *head, *final_norm, *table;
    family_layer *layer;
} family;

/* ---- making -------------------------------------------------------------------------------- */

/* A shape without numbers, with what the family always has. */
static inline family family_shape(const char *type)
{
    bool qwen2 = strcmp(type, "qwen2") == 0, qwen3 = strcmp(type, "qwen3") == 0;
    return (family){.type = type,
                    .layers = 2,
                    .d = 32,
                    .heads = 4,
                    .kv_heads = 2,
                    .head_dim = qwen3 ? 12 : 8,
                    .feed = 44,
                    .vocabulary = 61,
                    .context = 512,
                    .base = 10000.0,
                    .eps = 1e-5,
                    .qkv_bias = qwen2,
                    .qk_norm = qwen3};
}

static inline void family_sides(const family *f, int role, int *rows, int *columns)
{
    int q = f->heads * f->head_dim, kv = f->kv_heads * f->head_dim;
    const int sides[FAMILY_ROLES][2] = {{q, f->d},       {kv, f->d},      {kv, f->d},     {f->d, q},
                                        {f->feed, f->d}, {f->feed, f->d}, {f->d, f->feed}};
    *rows = sides[role][0];
    *columns = sides[role][1];
}

static inline int family_norm_items(const family *f, int norm)
{
    return norm < 2 ? f->d : f->head_dim;
}

static inline float *family__values(slm_random *random, int items, double mean, double sd)
{
    float *values = malloc((size_t)items * sizeof *values);
    SLM_ASSERT(values);
    for (int i = 0; i < items; i++)
        values[i] = (float)(mean + sd * slm_random_normal(random));
    return values;
}

/* Random numbers for the shape and flags that f has. */
static inline void family_fill(family *f, uint64_t seed)
{
    slm_random random = slm_random_new(seed, 17);
    f->embedding = family__values(&random, f->vocabulary * f->d, 0, 0.7);
    if (!f->tied) f->head = family__values(&random, f->vocabulary * f->d, 0, 0.5);
    f->final_norm = family__values(&random, f->d, 1, 0.1);
    f->layer = calloc((size_t)f->layers, sizeof *f->layer);
    SLM_ASSERT(f->layer);
    for (int i = 0; i < f->layers; i++) {
        family_layer *layer = &f->layer[i];
        for (int role = 0; role < FAMILY_ROLES; role++) {
            int rows, columns;
            family_sides(f, role, &rows, &columns);
            layer->w[role] = family__values(&random, rows * columns, 0, 1.5 / sqrt(columns));
            bool bias = role <= FAMILY_V ? f->qkv_bias : role == FAMILY_O && f->output_bias;
            if (bias) layer->bias[role] = family__values(&random, rows, 0, 0.5);
        }
        for (int norm = 0; norm < (f->qk_norm ? FAMILY_NORMS : 2); norm++)
            layer->norm[norm] = family__values(&random, family_norm_items(f, norm), 1, 0.2);
    }
}

/* A and B beside every matrix of every layer but the first layer's `up`. */
static inline void family_adapter_fill(family *f, int rank)
{
    slm_random random = slm_random_new(5, 23);
    f->rank = rank;
    for (int i = 0; i < f->layers; i++)
        for (int role = 0; role < FAMILY_ROLES; role++) {
            int rows, columns;
            family_sides(f, role, &rows, &columns);
            if (i == 0 && role == FAMILY_UP) continue;
            f->layer[i].a[role] = family__values(&random, rank * columns, 0, 0.7 / sqrt(columns));
            f->layer[i].b[role] = family__values(&random, rows * rank, 0, 0.4);
        }
}

/* W + scale B A instead of the adapter. */
static inline void family_merge(family *f)
{
    for (int i = 0; i < f->layers; i++)
        for (int role = 0; role < FAMILY_ROLES; role++) {
            family_layer *layer = &f->layer[i];
            int rows, columns;
            family_sides(f, role, &rows, &columns);
            for (int at = 0; layer->a[role] && at < rows * columns; at++) {
                double sum = 0;
                for (int r = 0; r < f->rank; r++)
                    sum += (double)layer->b[role][at / columns * f->rank + r] *
                           (double)layer->a[role][r * columns + at % columns];
                layer->w[role][at] = (float)((double)layer->w[role][at] + f->scale * sum);
            }
            free(layer->a[role]);
            free(layer->b[role]);
            layer->a[role] = layer->b[role] = NULL;
        }
    f->rank = 0;
}

static inline void family_free(family *f)
{
    for (int i = 0; f->layer && i < f->layers; i++) {
        for (int role = 0; role < FAMILY_ROLES; role++) {
            free(f->layer[i].w[role]);
            free(f->layer[i].bias[role]);
            free(f->layer[i].a[role]);
            free(f->layer[i].b[role]);
        }
        for (int norm = 0; norm < FAMILY_NORMS; norm++)
            free(f->layer[i].norm[norm]);
    }
    free(f->layer);
    free(f->embedding);
    free(f->head);
    free(f->final_norm);
    free(f->table);
    *f = (family){0};
}

/* ---- a Hugging Face folder ----------------------------------------------------------------- */

static inline void family_path(char out[256], const char *folder, const char *name)
{
    SLM_ASSERT(snprintf(out, 256, "%s/%s", folder, name) < 256);
}

static inline void family_write_text(const char *folder, const char *name, const char *text)
{
    char path[256];
    (void)mkdir(folder, 0700);
    family_path(path, folder, name);
    FILE *file = fopen(path, "wb");
    SLM_ASSERT(file && fwrite(text, 1, strlen(text), file) == strlen(text) && fclose(file) == 0);
}

static inline void family__config_rope(const family *f, slm_buffer *out)
{
    bool plain = f->scaling == SLM_ROPE_PLAIN;
    slm_buffer scaling = {0};
    if (f->scaling == SLM_ROPE_LINEAR)
        slm_buffer_printf(&scaling, "\"linear\",\"factor\":%g", f->factor);
    if (f->scaling == SLM_ROPE_LLAMA3)
        slm_buffer_printf(&scaling,
                          "\"llama3\",\"factor\":%g,\"low_freq_factor\":%g,\"high_freq_factor\":%g,"
                          "\"original_max_position_embeddings\":%d",
                          f->factor, f->low, f->high, f->original);
    if (plain) slm_buffer_append_text(&scaling, "\"default\"");
    if (f->new_style)
        slm_buffer_printf(out, ",\"rope_parameters\":{\"rope_theta\":%g,\"rope_type\":%s}", f->base,
                          slm_buffer_text(&scaling));
    else if (plain)
        slm_buffer_printf(out, ",\"rope_theta\":%g,\"rope_scaling\":null", f->base);
    else
        slm_buffer_printf(out, ",\"rope_theta\":%g,\"rope_scaling\":{\"type\":%s}", f->base,
                          slm_buffer_text(&scaling));
    slm_buffer_free(&scaling);
}

static inline void family_config_json(const family *f, slm_buffer *out)
{
    slm_buffer_truncate(out, 0);
    slm_buffer_printf(out,
                      "{\"model_type\":\"%s\",\"hidden_act\":\"silu\",\"num_hidden_layers\":%d,"
                      "\"hidden_size\":%d,\"intermediate_size\":%d,\"num_attention_heads\":%d,"
                      "\"num_key_value_heads\":%d,\"head_dim\":%d,\"vocab_size\":%d,"
                      "\"max_position_embeddings\":%d,\"rms_norm_eps\":%g,"
                      "\"tie_word_embeddings\":%s",
                      f->type, f->layers, f->d, f->feed, f->heads, f->kv_heads, f->head_dim,
                      f->vocabulary, f->context, f->eps, f->tied ? "true" : "false");
    if (f->output_bias) slm_buffer_append_text(out, ",\"attention_bias\":true");
    family__config_rope(f, out);
    slm_buffer_printf(out, "%s}", f->extra ? f->extra : "");
}

static inline void family__add(st_writer *w, const char *name, int rows, int columns,
                               const float *values)
{
    uint64_t shape[2] = {(uint64_t)rows, (uint64_t)columns};
    st_add(w, name, "F32", columns ? shape : &shape[0], columns ? 2 : 1, values,
           sizeof(float) * (size_t)rows * (size_t)(columns ? columns : 1));
}

/* Every tensor of the model under transformers' names. NF4: the layers' matrices as bitsandbytes
 * stores them. */
static inline void family_tensors(const family *f, bool nf4, st_writer *w)
{
    char name[128];
    family__add(w, "model.embed_tokens.weight", f->vocabulary, f->d, f->embedding);
    if (f->head) family__add(w, "lm_head.weight", f->vocabulary, f->d, f->head);
    family__add(w, "model.norm.weight", f->d, 0, f->final_norm);
    for (int i = 0; i < f->layers; i++) {
        const family_layer *layer = &f->layer[i];
        for (int role = 0; role < FAMILY_ROLES; role++) {
            int rows, columns;
            family_sides(f, role, &rows, &columns);
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", i, family_folder_parts[role]);
            if (nf4)
                st_add_nf4(w, name, (uint64_t)rows, (uint64_t)columns, layer->w[role],
                           &(st_nf4){.block = 64, .nested = role % 2 == 0});
            else
                family__add(w, name, rows, columns, layer->w[role]);
            snprintf(name, sizeof name, "model.layers.%d.%s.bias", i, family_folder_parts[role]);
            if (layer->bias[role]) family__add(w, name, rows, 0, layer->bias[role]);
        }
        for (int norm = 0; norm < FAMILY_NORMS; norm++) {
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", i, family_folder_norms[norm]);
            if (layer->norm[norm])
                family__add(w, name, family_norm_items(f, norm), 0, layer->norm[norm]);
        }
    }
}

static inline void family_write_tensors(const st_writer *w, const char *folder, const char *name)
{
    char path[256];
    (void)mkdir(folder, 0700);
    family_path(path, folder, name);
    SLM_ASSERT(st_write(w, path));
}

static inline void family_write_config(const family *f, const char *folder)
{
    slm_buffer text = {0};
    family_config_json(f, &text);
    family_write_text(folder, "config.json", slm_buffer_text(&text));
    slm_buffer_free(&text);
}

static inline void family_write_folder(const family *f, const char *folder)
{
    st_writer w = {0};
    family_tensors(f, false, &w);
    family_write_tensors(&w, folder, "model.safetensors");
    family_write_config(f, folder);
    st_writer_free(&w);
}

/* Remove a folder that the functions here wrote. */
static inline void family_remove(const char *folder)
{
    static const char *const names[] = {"config.json", "model.safetensors", "adapter_config.json",
                                        "adapter_model.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[256];
        family_path(path, folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

/* ---- the adapter --------------------------------------------------------------------------- */

static inline void family_adapter_tensors(const family *f, st_writer *w)
{
    char name[128];
    for (int i = 0; f->layer && i < f->layers; i++)
        for (int role = 0; role < FAMILY_ROLES; role++) {
            int rows, columns;
            family_sides(f, role, &rows, &columns);
            if (!f->layer[i].a[role]) continue;
            snprintf(name, sizeof name, "base_model.model.model.layers.%d.%s.lora_A.weight", i,
                     family_folder_parts[role]);
            family__add(w, name, f->rank, columns, f->layer[i].a[role]);
            snprintf(name, sizeof name, "base_model.model.model.layers.%d.%s.lora_B.weight", i,
                     family_folder_parts[role]);
            family__add(w, name, rows, f->rank, f->layer[i].b[role]);
        }
}

/* adapter_config.json's text as peft writes it, with `extra` members (",\"key\":value") behind. */
static inline void family_adapter_json(const family *f, double alpha, bool stabilised,
                                       const char *extra, slm_buffer *out)
{
    slm_buffer_truncate(out, 0);
    slm_buffer_printf(out,
                      "{\"peft_type\":\"LORA\",\"task_type\":\"CAUSAL_LM\",\"inference_mode\":true,"
                      "\"lora_dropout\":0.05,\"fan_in_fan_out\":false,\"modules_to_save\":null,"
                      "\"alpha_pattern\":{},\"loftq_config\":{},\"qalora_group_size\":16,"
                      "\"target_modules\":[\"q_proj\"],\"r\":%d,\"lora_alpha\":%g,"
                      "\"use_rslora\":%s%s}",
                      f->rank, alpha, stabilised ? "true" : "false", extra);
}

/* Sets f->scale to what the two settings mean. */
static inline void family_adapter_write(family *f, const char *folder, double alpha,
                                        bool stabilised)
{
    slm_buffer text = {0};
    st_writer w = {0};
    f->scale = alpha / (stabilised ? sqrt(f->rank) : f->rank);
    family_adapter_json(f, alpha, stabilised, "", &text);
    family_write_text(folder, "adapter_config.json", slm_buffer_text(&text));
    family_adapter_tensors(f, &w);
    family_write_tensors(&w, folder, "adapter_model.safetensors");
    slm_buffer_free(&text);
    st_writer_free(&w);
}

/* ---- GGUF ---------------------------------------------------------------------------------- */

/* Where the converter puts row `row` of a matrix; the same row back with `back`. */
static inline int family__gguf_row(const family *f, int role, int row, bool back)
{
    if (strcmp(f->type, "llama") != 0 || role > FAMILY_K) return row;
    int half = f->head_dim / 2, head = row / f->head_dim, at = row % f->head_dim;
    return head * f->head_dim + (back ? at % 2 * half + at / 2 : 2 * (at % half) + at / half);
}

/* Copies [rows, columns] with rows in the file's order, or back. */
static inline void family__reorder(const family *f, int role, int rows, int columns,
                                   const float *from, bool back, float *to)
{
    for (int row = 0; row < rows; row++)
        memcpy(to + family__gguf_row(f, role, row, back) * columns, from + row * columns,
               sizeof(float) * (size_t)columns);
}

static inline void family_gguf_metadata(const family *f, gguf_writer *w)
{
    const struct {
        const char *name;
        int value;
    } numbers[] = {{"block_count", f->layers},
                   {"context_length", f->context},
                   {"embedding_length", f->d},
                   {"feed_forward_length", f->feed},
                   {"attention.head_count", f->heads},
                   {"attention.head_count_kv", f->kv_heads},
                   {"attention.key_length", f->head_dim},
                   {"attention.value_length", f->head_dim}};
    char key[128];
    gguf_add_string(w, "general.architecture", f->type);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(key, sizeof key, "%s.%s", f->type, numbers[i].name);
        gguf_add_u32(w, key, (uint32_t)numbers[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", f->type);
    gguf_add_f32(w, key, (float)f->eps);
    snprintf(key, sizeof key, "%s.rope.freq_base", f->type);
    gguf_add_f32(w, key, (float)f->base);
    if (f->scaling != SLM_ROPE_LINEAR) return;
    snprintf(key, sizeof key, "%s.rope.scaling.type", f->type);
    gguf_add_string(w, key, "linear");
    snprintf(key, sizeof key, "%s.rope.scaling.factor", f->type);
    gguf_add_f32(w, key, (float)f->factor);
}

static inline void family__gguf_add(gguf_writer *w, slm_dtype dtype, const char *name, int rows,
                                    int columns, const float *values)
{
    uint64_t shape[2] = {(uint64_t)rows, (uint64_t)columns};
    gguf_add_tensor(w, name, columns ? dtype : SLM_F32, shape, columns ? 2 : 1, values);
}

static inline void family_gguf_tensors(const family *f, slm_dtype dtype, gguf_writer *w)
{
    char name[128];
    family__gguf_add(w, dtype, "token_embd.weight", f->vocabulary, f->d, f->embedding);
    if (f->head) family__gguf_add(w, dtype, "output.weight", f->vocabulary, f->d, f->head);
    family__gguf_add(w, dtype, "output_norm.weight", f->d, 0, f->final_norm);
    if (f->table) family__gguf_add(w, dtype, "rope_freqs.weight", f->head_dim / 2, 0, f->table);
    for (int i = 0; i < f->layers; i++) {
        const family_layer *layer = &f->layer[i];
        for (int role = 0; role < FAMILY_ROLES; role++) {
            int rows, columns;
            family_sides(f, role, &rows, &columns);
            float *values = malloc(sizeof *values * (size_t)(rows * columns));
            SLM_ASSERT(values);
            family__reorder(f, role, rows, columns, layer->w[role], false, values);
            snprintf(name, sizeof name, "blk.%d.%s.weight", i, family_gguf_parts[role]);
            family__gguf_add(w, dtype, name, rows, columns, values);
            snprintf(name, sizeof name, "blk.%d.%s.bias", i, family_gguf_parts[role]);
            if (layer->bias[role]) {
                family__reorder(f, role, rows, 1, layer->bias[role], false, values);
                family__gguf_add(w, dtype, name, rows, 0, values);
            }
            free(values);
        }
        for (int norm = 0; norm < FAMILY_NORMS; norm++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", i, family_gguf_norms[norm]);
            if (layer->norm[norm])
                family__gguf_add(w, dtype, name, family_norm_items(f, norm), 0, layer->norm[norm]);
        }
    }
}

static inline void family__read_back(const slm_tensors *file, const char *name, float *out)
{
    const slm_tensor *tensor = slm_tensors_find(file, name);
    SLM_ASSERT(tensor);
    slm_tensor_read(tensor, 0, (size_t)slm_tensor_items(tensor), out);
}

/* Matrices of `dtype`; f's own numbers become those that the file holds. */
static inline void family_write_gguf(family *f, slm_dtype dtype, const char *path)
{
    gguf_writer w = {0};
    slm_tensors *file = NULL;
    char name[128];
    family_gguf_metadata(f, &w);
    family_gguf_tensors(f, dtype, &w);
    SLM_ASSERT(gguf_write(&w, path));
    gguf_writer_free(&w);
    SLM_ASSERT(slm_tensors_open(path, &file, NULL) == SLM_OK);
    family__read_back(file, "token_embd.weight", f->embedding);
    if (f->head) family__read_back(file, "output.weight", f->head);
    for (int i = 0; i < f->layers; i++)
        for (int role = 0; role < FAMILY_ROLES; role++) {
            int rows, columns;
            family_sides(f, role, &rows, &columns);
            float *values = malloc(sizeof *values * (size_t)(rows * columns));
            SLM_ASSERT(values);
            snprintf(name, sizeof name, "blk.%d.%s.weight", i, family_gguf_parts[role]);
            family__read_back(file, name, values);
            family__reorder(f, role, rows, columns, values, true, f->layer[i].w[role]);
            free(values);
        }
    slm_tensors_close(file);
}

#endif
