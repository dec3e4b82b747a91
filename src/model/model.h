/* model.h: a decoder-only transformer from its file: configuration, weights, adapter, forward.
 *
 * One description covers Llama 2 and 3 (Touvron et al. 2023, Grattafiori et al. 2024), Qwen2 and
 * Qwen2.5 (biases on q, k, v) and Qwen3 (a norm on each head's q and k): pre-norm with RMSNorm,
 * rotary positions, grouped-query attention, SwiGLU, tied or own head. The description is read from
 * GGUF metadata or from a Hugging Face folder's config.json. A forward takes a batch of spans of
 * sequences, each with its own page table, and gives logits for the rows asked for. */
#ifndef SLM_MODEL_H
#define SLM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/log.h"
#include "kernel/kernel.h"
#include "tensor/tensor.h"

/* How rotary frequencies are changed for contexts longer than those of pre-training. */
typedef enum slm_rope_scaling {
    SLM_ROPE_PLAIN,
    SLM_ROPE_LINEAR, /* every frequency divided by factor (Chen et al. 2023) */
    SLM_ROPE_LLAMA3, /* low frequencies divided, high ones kept, smooth between (Llama 3.1) */
    SLM_ROPE_TABLE,  /* divided by a table in the file (GGUF's rope_freqs.weight) */
} slm_rope_scaling;

typedef struct slm_model_config {
    char architecture[32]; /* "llama", "qwen2", "qwen3" */
    int layers, heads, kv_heads, head_dim;
    int embedding; /* d: width of the residual stream */
    int feed_forward;
    int vocabulary;
    int context; /* positions the model was trained for */
    double rope_base;
    double norm_eps;
    slm_rope_scaling rope_scaling;
    double rope_factor, rope_low, rope_high; /* LINEAR: factor; LLAMA3: all three */
    int rope_original;                       /* LLAMA3: context of pre-training */
    bool rope_interleaved; /* pairs (2i, 2i+1), as llama.cpp stores Llama's q and k */
    bool tied_head;        /* logits use the embedding's weights */
    bool qkv_bias;         /* biases on q, k and v */
    bool output_bias;      /* and on the attention's output */
    bool qk_norm;          /* RMSNorm over each head's q and k before rotation */
} slm_model_config;

typedef struct slm_model slm_model;

typedef struct slm_model_options {
    slm_dtype dtype;     /* SLM_BF16 or SLM_F32: weights, activations before a linear, KV cache */
    bool keep_quantised; /* keep quantised matrices as the file has them, and widen them to `dtype`
                            where they are multiplied: the same results to the bit in less memory */
} slm_model_options;

/* Read configuration and weights onto the device. `file` may be closed afterwards. Errors name the
 * file and the tensor or key. */
slm_status slm_model_load(slm_device *device, slm_tensors *file, const slm_model_options *options,
                          slm_model **out, slm_error *err);
/* Put a LoRA adapter (Hu et al. 2022) beside the weights: a folder in PEFT's layout,
 * adapter_config.json and adapter_model.safetensors. y = W x + scale B A x, with scale alpha / r (or
 * alpha / sqrt(r) where the file says rslora). Nothing is merged. One adapter a model; call it
 * before slm_forward_new. What PEFT can do and this does not is refused by name. */
slm_status slm_model_load_adapter(slm_model *model, const char *folder, slm_error *err);
/* Does the folder hold an adapter? Reads nothing. Where it holds none the error names what is near: a
 * training's stage keeps its adapters, or the whole model, in folders of its own. */
slm_status slm_model_find_adapter(const char *folder, slm_error *err);
/* Rank of the adapter, 0 without one; and how many matrices it changes. */
int slm_model_adapter_rank(const slm_model *model);
int slm_model_adapter_matrices(const slm_model *model);
/* SHA-256 over the adapter's two files: its identity. */
slm_status slm_model_adapter_sha256(const char *folder, char hex[65], slm_error *err);

/* Configuration alone, for slm info. */
slm_status slm_model_config_read(const slm_tensors *file, slm_model_config *out, slm_error *err);
void slm_model_free(slm_model *model);

const slm_model_config *slm_model_get_config(const slm_model *model);
slm_device *slm_model_device(const slm_model *model);
const slm_kv_shape *slm_model_kv_shape(const slm_model *model);
uint64_t slm_model_parameters(const slm_model *model);   /* tied weights once */
uint64_t slm_model_weight_bytes(const slm_model *model); /* on the device */
bool slm_model_keeps_quantised(const slm_model *model);  /* as its options said */
/* Of the weights' bytes, what no multiplication reads: an embedding that is not the head as well. */
uint64_t slm_model_lookup_bytes(const slm_model *model);
/* What slm_model_weight_bytes will be once the file is loaded; and whether it has matrices that
 * `keep_quantised` makes a difference to. */
uint64_t slm_model_file_weight_bytes(const slm_tensors *file, const slm_model_config *config,
                                     const slm_model_options *options);
bool slm_model_file_is_quantised(const slm_tensors *file);
/* Numbers in the weights of this configuration, tied weights once. */
uint64_t slm_model_config_parameters(const slm_model_config *config);

/* Scratch for forwards of up to max_rows rows and max_logits rows of logits. */
typedef struct slm_forward slm_forward;
slm_status slm_forward_new(slm_model *model, size_t max_rows, size_t max_logits, slm_forward **out,
                           slm_error *err);
void slm_forward_free(slm_forward *forward);
/* What slm_forward_new(max_rows, max_logits) will allocate beside an adapter of this rank (0: none). */
size_t slm_forward_bytes(const slm_model_config *config, int adapter_rank, size_t max_rows,
                         size_t max_logits);

/* Run ids[rows] through the model. Spans partition the rows in order; K and V are written to their
 * pages in `cache`. Logits of the rows in want[want_count] (ascending row indices) come out as
 * f32 [want_count, vocabulary] in *logits, valid until the next run. */
void slm_forward_run(slm_forward *forward, slm_mem cache, const int32_t *ids, size_t rows,
                     const slm_kv_span *spans, size_t span_count, const int32_t *want,
                     size_t want_count, slm_mem *logits);

/* ---- encoders: texts -> vectors ---------------------------------------------------------------- */

/* BERT (Devlin et al. 2019) as sentence-transformers runs it (Reimers and Gurevych 2019): a folder of
 * safetensors, config.json, and where they lie there modules.json, sentence_bert_config.json and
 * 1_Pooling/config.json. */
typedef struct slm_encoder_config {
    int layers, heads, head_dim;
    int embedding; /* d: width of the vectors */
    int feed_forward;
    int vocabulary;
    int positions;  /* the longest sequence */
    int types;      /* rows of token_type_embeddings; all tokens have type 0 */
    int max_tokens; /* what a text is cut to, the tokens around it included */
    double norm_eps;
    bool first_token; /* a text's vector is its first token's, not the mean of all */
} slm_encoder_config;

/* Whether config.json says that the folder holds an encoder; false where there is none. */
bool slm_encoder_is(const slm_tensors *file);
slm_status slm_encoder_config_read(const slm_tensors *file, slm_encoder_config *out,
                                   slm_error *err);
uint64_t slm_encoder_parameters(const slm_encoder_config *config); /* without the pooler's */

typedef struct slm_encoder slm_encoder;
/* Weights are f32. `file` may be closed afterwards. */
slm_status slm_encoder_load(slm_device *device, slm_tensors *file, slm_encoder **out,
                            slm_error *err);
void slm_encoder_free(slm_encoder *encoder);
const slm_encoder_config *slm_encoder_get_config(const slm_encoder *encoder);
uint64_t slm_encoder_weight_bytes(const slm_encoder *encoder); /* on the device */
/* out[count, d] f32 in host memory, rows of length 1. The ids of `count` sequences stand one after
 * the other; each has lens[i] from 1 to `positions` of them, below `vocabulary`. A row depends on
 * its own sequence alone. One call at a time. */
void slm_encoder_run(slm_encoder *encoder, const int32_t *ids, const int32_t *lens, size_t count,
                     float *out);

/* ---- training (trainable.c, backward.c) ---------------------------------------------------- */

/* Matrices of every layer, as bits. */
enum {
    SLM_MATRIX_Q = 1 << 0,
    SLM_MATRIX_K = 1 << 1,
    SLM_MATRIX_V = 1 << 2,
    SLM_MATRIX_O = 1 << 3,
    SLM_MATRIX_GATE = 1 << 4,
    SLM_MATRIX_UP = 1 << 5,
    SLM_MATRIX_DOWN = 1 << 6,
    SLM_MATRIX_ALL = (1 << 7) - 1,
};

typedef struct slm_lora_options {
    int rank;             /* 1 or more, at most the smallest side of a matrix */
    double alpha;         /* B A x is scaled by alpha / rank */
    bool rank_stabilised; /* or by alpha / sqrt(rank) (Kalajdzievski 2023) */
    unsigned matrices;    /* bits of SLM_MATRIX_*, at least one */
} slm_lora_options;

/* Lay a new adapter beside the weights: A uniform within 1 / sqrt(columns), which is what PEFT's
 * default comes to, keyed by seed, layer and matrix; B zero, so that nothing is changed yet. As with
 * slm_model_load_adapter: one a model, before slm_forward_new. */
slm_status slm_model_new_adapter(slm_model *model, const slm_lora_options *options, uint64_t seed,
                                 slm_error *err);
/* What the model's adapter is, from a file or new; false without one. */
bool slm_model_adapter_options(const slm_model *model, slm_lora_options *out);

/* Something that is learnt. */
typedef struct slm_parameter {
    const char *name;     /* as PEFT's or transformers' files name it */
    size_t rows, columns; /* a vector: [1, n] */
    slm_mem value;        /* f32: what the optimiser works on */
    slm_mem grad;         /* f32: sums up until it is cleared */
    slm_weight *weight;   /* what the forward reads, written from value; NULL: value itself */
} slm_parameter;

typedef struct slm_training_options {
    bool full; /* every matrix, bias and norm of the layers and the last norm; else the adapter */
    bool embeddings; /* and, if full, the embedding and the head */
    bool checkpoint; /* keep each layer's input alone and compute the layer again: less memory */
    float dropout;   /* of what feeds the adapter's A; 0 <= dropout < 1 */
    size_t max_rows, max_sequences; /* of one batch */
} slm_training_options;

/* A sequence of a packed batch: its rows are the positions from 0 on, or those behind the sequence
 * `prefix`, which stands before it in the list and has no prefix of its own; -1: none. A prompt that
 * several replies share is so computed once, forward and backward. */
typedef struct slm_train_sequence {
    int32_t row, rows, prefix;
} slm_train_sequence;

typedef struct slm_train_batch {
    const int32_t *ids; /* [rows] */
    size_t rows;
    const slm_train_sequence *sequences; /* partition the rows, in order */
    size_t sequence_count;
    const int32_t *want;    /* [want_count] rows whose next token is scored; a row may come twice */
    const int32_t *targets; /* [want_count] that token */
    size_t want_count;
    float temperature;
    uint64_t seed; /* of dropout */
    uint32_t step; /* of dropout: another for every batch */
    bool measures; /* without dropout: the model as it is used; no backward follows */
} slm_train_batch;

/* What a training step needs beside the model: activations, gradients, masters. The model must
 * outlive it. Full training of weights that are kept quantised is SLM_ERR_UNSUPPORTED, as is a device
 * without training's operations. */
typedef struct slm_training slm_training;
slm_status slm_training_new(slm_model *model, const slm_training_options *options,
                            slm_training **out, slm_error *err);
void slm_training_free(slm_training *training); /* NULL is allowed */
/* Bytes on the device, the model's weights not among them. */
size_t slm_training_bytes(const slm_training *training);
/* All parameters, always in the same order. */
slm_parameter *slm_training_parameters(slm_training *training, size_t *count);
void slm_training_clear_grads(slm_training *training);
/* log_prob[want_count] = log softmax(logits / temperature)[target], to the bit what the engine's
 * sampling gives; entropy[want_count] of that distribution, or NULL. coefficient[want_count] = dL /
 * dlog_prob where they are known by now (so that the head is passed once), else NULL. */
void slm_training_forward(slm_training *training, const slm_train_batch *batch,
                          const float *coefficient, float *log_prob, float *entropy);
/* Add the gradients of the last forward's batch. coefficient: NULL if the forward was told. */
void slm_training_backward(slm_training *training, const float *coefficient);
/* Values of all parameters as F32 safetensors, rows in transformers' order; metadata as in
 * slm_safetensors_create. Loading wants the same names and shapes, and rewrites the weights. */
slm_status slm_training_save(slm_training *training, const char *path,
                             const char *const (*metadata)[2], size_t metadata_count,
                             slm_error *err);
slm_status slm_training_load(slm_training *training, const slm_tensors *file, slm_error *err);

/* ---- export (export.c, export_folder.c, export_gguf.c) ---------------------------------------- */

typedef struct slm_export_options {
    const char *base;     /* a GGUF file, a .safetensors file, or a Hugging Face folder */
    const char *adapter;  /* folder in PEFT's layout that is merged into it, or NULL */
    const char *weights;  /* folder with a model.safetensors of trained weights, which go before the
                            base's, or NULL; not with an adapter */
    bool gguf;            /* else a Hugging Face folder */
    slm_dtype dtype;      /* of matrices: SLM_F32, SLM_BF16, SLM_F16 or, in GGUF, SLM_Q8_0 */
    const char *path;     /* of the file or folder that is made */
    bool force;           /* replace what is there */
    uint64_t shard_bytes; /* a folder's files are no larger; 0: one file */
    slm_log *log;         /* progress; NULL: none */
    const volatile bool *stop; /* becomes true to break off with SLM_ERR_CANCELLED; NULL: never */
} slm_export_options;

/* What was changed (by adapter or weights) in matrices of one kind, and what rounding left of it. */
typedef struct slm_export_change {
    const char *kind; /* "q_proj" ..., "embedding", "head", "vectors", "all" */
    double change;    /* Frobenius norm of what was to be added to the base */
    double lost;      /* of the difference between that and what was added in the file's type */
    double lost_bf16, lost_f16; /* the same if the file had these types */
} slm_export_change;

enum { SLM_EXPORT_CHANGES = 11 };
typedef struct slm_export_report {
    slm_export_change changes[SLM_EXPORT_CHANGES]; /* the last is of all */
    size_t change_count;                           /* 0: nothing was changed */
    uint64_t bytes;                                /* of the weights' files */
    size_t tensors, files;                         /* files that hold weights */
    char base_sha256[65];
} slm_export_report;

/* Write W + scale B A, or the trained weights, computed in f32 and rounded once. The file appears
 * whole or not at all. Errors name what the chosen kind of file cannot hold and what can. */
slm_status slm_export(const slm_export_options *options, slm_export_report *out, slm_error *err);
/* Write an adapter alone, as PEFT reads it, with `base_name` as the base that its settings name. */
slm_status slm_export_adapter(const char *adapter, const char *base_name, const char *path,
                              bool force, slm_error *err);

#endif
