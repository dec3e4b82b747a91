/* model_internal.h: what the files of model/ share. */
#ifndef SLM_MODEL_INTERNAL_H
#define SLM_MODEL_INTERNAL_H

#include "base/buffer.h"
#include "base/json.h"
#include "model/model.h"

/* ---- roles and their names in files (names.c) ---------------------------------------------- */

/* The matrices of a layer, each [rows, columns] with an optional bias [rows]. */
typedef enum model__role {
    MODEL_Q,
    MODEL_K,
    MODEL_V,
    MODEL_OUTPUT,
    MODEL_GATE,
    MODEL_UP,
    MODEL_DOWN,
    MODEL_MATRICES,
} model__role;

/* The vectors of a layer. */
typedef enum model__norm {
    MODEL_ATTENTION_NORM,
    MODEL_FEED_NORM,
    MODEL_Q_NORM,
    MODEL_K_NORM,
    MODEL_NORMS,
} model__norm;

enum { MODEL_NAME_BYTES = 96 };

/* How a kind of file names its tensors. */
typedef struct model__names {
    const char *embedding, *final_norm, *head;
    const char *layer; /* "blk.": the layer's number and a dot follow */
    const char *matrices[MODEL_MATRICES];
    const char *norms[MODEL_NORMS];
} model__names;
const model__names *model__names_of(const slm_tensors *file);
const model__names *model__gguf_names(void);
/* "blk.3.attn_q" + suffix into out. */
void model__layer_name(char out[MODEL_NAME_BYTES], const model__names *names, int layer,
                       const char *part, const char *suffix);
/* rows and columns of a matrix under a configuration. */
void model__matrix_shape(const slm_model_config *config, model__role role, int *rows, int *columns);

/* ---- configuration ------------------------------------------------------------------------- */

slm_status model__config_from_gguf(const slm_tensors *file, slm_model_config *out, slm_error *err);
slm_status model__config_from_folder(const slm_tensors *file, slm_model_config *out,
                                     slm_error *err);
/* config.json's text, not yet held against the bounds; `name` stands for the path in errors. */
slm_status model__config_parse(const char *text, size_t len, const char *name,
                               slm_model_config *out, slm_error *err);
/* What must hold of any configuration before something is sized by it. */
slm_status model__config_check(const char *name, const slm_model_config *config, slm_error *err);

/* The text of a file of settings: real ones have some KB, and a parsed one takes up to 30 times its
 * size. */
enum { MODEL_SETTINGS_MAX_BYTES = 1 << 20 };
slm_status model__read_settings(const char *path, slm_buffer *out, slm_error *err);
/* The JSON object that the text is: a new reference. */
slm_status model__parse_settings(const char *text, size_t len, const char *name, json_t **out,
                                 slm_error *err);

/* Whether b's numbers, widened, are a's, whose type is a weight's (weights.c). */
bool model__same_numbers(const slm_tensor *a, const slm_tensor *b);

/* What Llama 3's scaling divides the i-th rotary frequency by; 1 without it (weights.c). */
double model__rope_factor(const slm_model_config *config, int i);

/* ---- the adapter --------------------------------------------------------------------------- */

typedef struct model__adapter_config {
    double alpha;
    int rank;
    bool rank_stabilised;
} model__adapter_config;

/* The text of the folder's adapter_config.json, whose name is left in `path`. */
slm_status model__adapter_settings(const char *folder, slm_buffer *path, slm_buffer *out,
                                   slm_error *err);
/* adapter_config.json's text; `name` stands for the path in errors. */
slm_status model__adapter_parse(const char *text, size_t len, const char *name,
                                model__adapter_config *out, slm_error *err);
/* Put the tensors of `file` beside the model's weights; a model without an adapter when it fails. */
slm_status model__adapter_apply(slm_model *model, const slm_tensors *file,
                                const model__adapter_config *config, slm_error *err);
void model__adapter_drop(slm_model *model);
float model__adapter_scale(const model__adapter_config *config);
/* Where a row of q or k as transformers orders it stands in a GGUF Llama: row j * head_dim/2 + i of
 * each head (j = 0, 1) at 2 i + j, so that rotated pairs stand together. */
size_t model__interleaved_row(const slm_model_config *config, size_t row);

/* ---- the model ----------------------------------------------------------------------------- */

/* W, its bias, and the adapter's A [rank, columns] and B [rows, rank] beside it. */
typedef struct model__matrix {
    slm_weight *weight;
    slm_mem bias; /* [rows] f32, or {NULL} */
    slm_weight *a, *b;
    float scale;
} model__matrix;

typedef struct model__layer {
    model__matrix matrices[MODEL_MATRICES];
    slm_mem norms[MODEL_NORMS]; /* f32; {NULL} where the model has none */
} model__layer;

struct slm_model {
    slm_device *device;
    slm_model_config config;
    slm_kv_shape kv;
    slm_dtype dtype;
    bool keep_quantised;
    slm_weight *embedding; /* [vocabulary, d] */
    slm_weight *head;      /* the embedding itself when tied */
    slm_mem final_norm;    /* [d] f32 */
    model__layer *layers;
    double *frequencies; /* [head_dim/2] */
    uint64_t weight_bytes;
    int adapter_rank; /* the largest of its matrices; 0: no adapter */
    int adapter_matrices;
    model__adapter_config adapter;
};

/* ---- one forward, for inference and training (forward.c) ----------------------------------- */

struct slm_forward {
    slm_model *model;
    size_t max_rows, max_logits;
    slm_mem x;       /* f32 [rows, d]: the residual stream */
    slm_mem normed;  /* act [rows, d] */
    slm_mem q, k, v; /* f32 [rows, heads*head_dim], [rows, kv_heads*head_dim] twice */
    slm_mem q_raw,
        k_raw;           /* where a backward wants q and k as they are before their norms; {NULL} */
    slm_mem attended;    /* act [rows, heads*head_dim] */
    slm_mem gate, up;    /* f32 [rows, feed_forward] */
    slm_mem hidden;      /* act [rows, feed_forward] */
    slm_mem wanted;      /* f32 [wanted, d] */
    slm_mem logits;      /* f32 [logits, vocabulary] */
    slm_mem low;         /* f32 [rows, adapter rank]: A x */
    slm_mem low_act;     /* act, scaled */
    slm_dropout dropout; /* training: of what feeds an adapter; p 0: none */
    slm_mem dropped;     /* act [rows, the widest]: so much of it as was kept; not owned */
    int32_t *positions;  /* [rows] */
};

/* What the layers of one run share. */
typedef struct model__batch {
    slm_mem cache;
    slm_kv_shape kv; /* the model's; or of one layer, which the layers use in turn */
    size_t rows;
    const slm_kv_span *spans;  /* the rows of the batch, as they attend */
    const slm_kv_span *writes; /* which rows' keys and values go to which pages */
    size_t span_count, write_count;
} model__batch;

/* slm_forward_new with room for max_wanted rows behind the last layer's norm, max_logits of logits. */
slm_status model__forward_new(slm_model *model, size_t max_rows, size_t max_wanted,
                              size_t max_logits, slm_forward **out, slm_error *err);
/* f->positions of the batch's rows. */
void model__place(slm_forward *f, const model__batch *b);
/* The two halves of a layer: f->x of b's rows in, and out. */
void model__attend(slm_forward *f, const model__batch *b, int layer);
void model__feed_forward(slm_forward *f, size_t rows, int layer);
/* The second as far as f->gate, f->up and f->hidden. */
void model__feed_hidden(slm_forward *f, size_t rows, int layer);
/* x[rows, columns] act as it reaches a matrix's A: itself, or in training with dropout f->dropped. */
slm_mem model__drop(slm_forward *f, int layer, model__role role, slm_mem x, size_t rows);

/* The matrices of a layer that read the same numbers, in the order of their use. */
enum {
    MODEL_GROUP_QKV,
    MODEL_GROUP_OUTPUT,
    MODEL_GROUP_GATE_UP,
    MODEL_GROUP_DOWN,
    MODEL_GROUPS,
    MODEL_GROUP_MOST = 3
};
/* The first matrix of each, and the end. */
extern const model__role model__group_begin[MODEL_GROUPS + 1];

#endif
