/* tiny_model.h: a small Llama with random weights and a byte-level tokenizer, as a GGUF file.
 *
 * Real in shape (grouped queries, odd sizes, tied or own head), small enough that a double-precision
 * forward in a test is quick. Include cmocka's headers before it. */
#ifndef SLM_TESTS_TINY_MODEL_H
#define SLM_TESTS_TINY_MODEL_H

#include "base/random.h"
#include "gguf_writer.h"

typedef struct tiny_shape {
    int layers, d, heads, kv_heads, head_dim, feed, vocabulary, context;
    bool tied;
    slm_dtype dtype; /* of the matrices in the file */
} tiny_shape;

static inline tiny_shape tiny_default(void)
{
    return (tiny_shape){.layers = 3,
                        .d = 32,
                        .heads = 4,
                        .kv_heads = 2,
                        .head_dim = 8,
                        .feed = 48,
                        .vocabulary = GGUF_TOKEN_MERGES + 5,
                        .context = 512,
                        .tied = true,
                        .dtype = SLM_F32};
}

static inline float *tiny__values(slm_random *random, size_t n, double mean, double sd)
{
    float *values = malloc(n * sizeof *values);
    SLM_ASSERT(values);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(mean + sd * slm_random_normal(random));
    return values;
}

static inline void tiny__matrix(gguf_writer *w, slm_random *random, slm_dtype dtype,
                                const char *name, int rows, int columns, double gain)
{
    double sd = gain / sqrt((double)columns);
    float *values = tiny__values(random, (size_t)rows * (size_t)columns, 0, sd);
    uint64_t shape[2] = {(uint64_t)rows, (uint64_t)columns};
    gguf_add_tensor(w, name, dtype, shape, 2, values);
    free(values);
}

static inline void tiny__norm(gguf_writer *w, slm_random *random, const char *name, int items)
{
    float *values = tiny__values(random, (size_t)items, 1, 0.1);
    uint64_t shape[1] = {(uint64_t)items};
    gguf_add_tensor(w, name, SLM_F32, shape, 1, values);
    free(values);
}

static inline void tiny_metadata(gguf_writer *w, const tiny_shape *t)
{
    static const char *const merges[] = {"t h", "th e", "i n", "e r", "a n"};
    gguf_add_string(w, "general.architecture", "llama");
    gguf_add_string(w, "general.name", "tiny");
    gguf_add_u32(w, "llama.block_count", (uint32_t)t->layers);
    gguf_add_u32(w, "llama.context_length", (uint32_t)t->context);
    gguf_add_u32(w, "llama.embedding_length", (uint32_t)t->d);
    gguf_add_u32(w, "llama.feed_forward_length", (uint32_t)t->feed);
    gguf_add_u32(w, "llama.attention.head_count", (uint32_t)t->heads);
    gguf_add_u32(w, "llama.attention.head_count_kv", (uint32_t)t->kv_heads);
    gguf_add_u32(w, "llama.attention.key_length", (uint32_t)t->head_dim);
    gguf_add_u32(w, "llama.rope.dimension_count", (uint32_t)t->head_dim);
    gguf_add_f32(w, "llama.rope.freq_base", 10000.0f);
    gguf_add_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_add_byte_tokenizer(w, "smollm", merges, 5);
    gguf_add_string(w, "tokenizer.chat_template",
                    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
                    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
                    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}");
}

static inline void tiny_tensors(gguf_writer *w, const tiny_shape *t, uint64_t seed)
{
    slm_random random = slm_random_new(seed, 1);
    int q = t->heads * t->head_dim, kv = t->kv_heads * t->head_dim;
    char name[64];
    tiny__matrix(w, &random, t->dtype, "token_embd.weight", t->vocabulary, t->d, 4);
    tiny__norm(w, &random, "output_norm.weight", t->d);
    if (!t->tied) tiny__matrix(w, &random, t->dtype, "output.weight", t->vocabulary, t->d, 3);
    for (int i = 0; i < t->layers; i++) {
        const struct {
            const char *name;
            int rows, columns;
        } matrices[] = {{"attn_q", q, t->d},         {"attn_k", kv, t->d},
                        {"attn_v", kv, t->d},        {"attn_output", t->d, q},
                        {"ffn_gate", t->feed, t->d}, {"ffn_up", t->feed, t->d},
                        {"ffn_down", t->d, t->feed}};
        for (size_t m = 0; m < sizeof matrices / sizeof matrices[0]; m++) {
            snprintf(name, sizeof name, "blk.%d.%s.weight", i, matrices[m].name);
            tiny__matrix(w, &random, t->dtype, name, matrices[m].rows, matrices[m].columns, 1.5);
        }
        snprintf(name, sizeof name, "blk.%d.attn_norm.weight", i);
        tiny__norm(w, &random, name, t->d);
        snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", i);
        tiny__norm(w, &random, name, t->d);
    }
}

/* Write the model to `path`. */
static inline void tiny_write(const tiny_shape *t, uint64_t seed, const char *path)
{
    gguf_writer w = {0};
    tiny_metadata(&w, t);
    tiny_tensors(&w, t, seed);
    SLM_ASSERT(gguf_write(&w, path));
    gguf_writer_free(&w);
}

#endif
