/* tiny_encoder.h: a small BERT encoder with random weights and a WordPiece vocabulary, as a folder
 * of Hugging Face's layout in /tmp. */
#ifndef SLM_TESTS_TINY_ENCODER_H
#define SLM_TESTS_TINY_ENCODER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/file.h"
#include "base/random.h"
#include "safetensors_writer.h"

enum { TINY_LAYERS = 2, TINY_D = 24, TINY_HEADS = 3, TINY_FEED = 40, TINY_POSITIONS = 48 };
enum { TINY_VOCABULARY = 12 };

#define TINY_ENCODER_CONFIG                                                                        \
    "{\"model_type\":\"bert\",\"hidden_act\":\"gelu\",\"num_hidden_layers\":2,"                    \
    "\"num_attention_heads\":3,\"hidden_size\":24,\"intermediate_size\":40,\"vocab_size\":12,"     \
    "\"max_position_embeddings\":48,\"type_vocab_size\":2,\"layer_norm_eps\":1e-12}"

typedef struct tiny_encoder {
    char folder[64];
    /* Weights in the order in which tiny_encoder_make draws them. */
    float *tensors[8 + 16 * TINY_LAYERS];
    size_t count;
} tiny_encoder;

static inline void tiny_encoder_write(const tiny_encoder *e, const char *name, const char *text)
{
    char path[160];
    slm_error err;
    snprintf(path, sizeof path, "%s/%s", e->folder, name);
    if (slm_file_write(path, text, strlen(text), &err) != SLM_OK) fail_msg("%s", err.message);
}

static inline void tiny_encoder_remove(const tiny_encoder *e, const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", e->folder, name);
    remove(path);
}

static inline void tiny_encoder__add(tiny_encoder *e, st_writer *w, slm_random *random,
                                     const char *name, int rows, int columns, double mean,
                                     double sd)
{
    const size_t items = (size_t)rows * (size_t)(columns ? columns : 1);
    float *values = malloc(items * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < items; i++)
        values[i] = (float)(mean + sd * slm_random_normal(random));
    st_add(w, name, "F32", (uint64_t[]){(uint64_t)rows, (uint64_t)columns}, columns ? 2 : 1, values,
           items * sizeof *values);
    e->tensors[e->count++] = values;
}

/* Tensors: words, places, types, norm weight, norm bias; then of each layer weight and bias of query,
 * key, value, attention output, its norm, up, down, its norm. */
static inline void tiny_encoder_make(tiny_encoder *e)
{
    static const struct {
        const char *name;
        int rows, columns;
    } parts[] = {
        {"attention.self.query", TINY_D, TINY_D},  {"attention.self.key", TINY_D, TINY_D},
        {"attention.self.value", TINY_D, TINY_D},  {"attention.output.dense", TINY_D, TINY_D},
        {"attention.output.LayerNorm", TINY_D, 0}, {"intermediate.dense", TINY_FEED, TINY_D},
        {"output.dense", TINY_D, TINY_FEED},       {"output.LayerNorm", TINY_D, 0}};
    st_writer w = {0};
    slm_random random = slm_random_new(11, 1);
    char path[160];
    *e = (tiny_encoder){.folder = "/tmp/slm-encoder-XXXXXX"};
    assert_non_null(mkdtemp(e->folder));
    tiny_encoder__add(e, &w, &random, "embeddings.word_embeddings.weight", TINY_VOCABULARY, TINY_D,
                      0, 1);
    tiny_encoder__add(e, &w, &random, "embeddings.position_embeddings.weight", TINY_POSITIONS,
                      TINY_D, 0, 0.3);
    tiny_encoder__add(e, &w, &random, "embeddings.token_type_embeddings.weight", 2, TINY_D, 0, 0.3);
    tiny_encoder__add(e, &w, &random, "embeddings.LayerNorm.weight", TINY_D, 0, 1, 0.1);
    tiny_encoder__add(e, &w, &random, "embeddings.LayerNorm.bias", TINY_D, 0, 0, 0.1);
    for (int layer = 0; layer < TINY_LAYERS; layer++)
        for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
            char name[96];
            const bool norm = parts[p].columns == 0;
            snprintf(name, sizeof name, "encoder.layer.%d.%s.weight", layer, parts[p].name);
            tiny_encoder__add(e, &w, &random, name, parts[p].rows, parts[p].columns, norm ? 1 : 0,
                              norm ? 0.1 : 0.3);
            snprintf(name, sizeof name, "encoder.layer.%d.%s.bias", layer, parts[p].name);
            tiny_encoder__add(e, &w, &random, name, parts[p].rows, 0, 0, 0.1);
        }
    snprintf(path, sizeof path, "%s/model.safetensors", e->folder);
    assert_true(st_write(&w, path));
    st_writer_free(&w);
    tiny_encoder_write(e, "config.json", TINY_ENCODER_CONFIG);
    tiny_encoder_write(e, "vocab.txt",
                       "[PAD]\n[UNK]\n[CLS]\n[SEP]\nfever\n##s\nchild\n?\nthe\nhow\na\nb\n");
}

static inline void tiny_encoder_free(tiny_encoder *e)
{
    static const char *const names[] = {
        "model.safetensors",         "config.json",           "vocab.txt", "modules.json",
        "sentence_bert_config.json", "1_Pooling/config.json", "1_Pooling"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        tiny_encoder_remove(e, names[i]);
    rmdir(e->folder);
    for (size_t i = 0; i < e->count; i++)
        free(e->tensors[i]);
}

#endif
