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

/* ---- the adapter --------------------------------------------------------------------------- */

typedef struct model__adapter_config {
    double alpha;
    int rank;
    bool rank_stabilised;
} model__adapter_config;

/* adapter_config.json's text; `name` stands for the path in errors. */
slm_status model__adapter_parse(const char *text, size_t len, const char *name,
                                model__adapter_config *out, slm_error *err);
/* Put the tensors of `file` beside the model's weights; a model without an adapter when it fails. */
slm_status model__adapter_apply(slm_model *model, const slm_tensors *file,
                                const model__adapter_config *config, slm_error *err);
void model__adapter_drop(slm_model *model);

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
};

#endif
