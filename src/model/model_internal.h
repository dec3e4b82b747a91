/* model_internal.h: what the files of model/ share. */
#ifndef SLM_MODEL_INTERNAL_H
#define SLM_MODEL_INTERNAL_H

#include "model/model.h"

/* One layer's weights, in the order the forward uses them. */
typedef struct model__layer {
    slm_mem attention_norm; /* [d] f32 */
    slm_weight *q, *k, *v;  /* [heads*head_dim, d], [kv_heads*head_dim, d] twice */
    slm_weight *output;     /* [d, heads*head_dim] */
    slm_mem feed_norm;      /* [d] f32 */
    slm_weight *gate, *up;  /* [feed_forward, d] */
    slm_weight *down;       /* [d, feed_forward] */
} model__layer;

struct slm_model {
    slm_device *device;
    slm_model_config config;
    slm_kv_shape kv;
    slm_dtype dtype;
    slm_weight *embedding; /* [vocabulary, d] */
    slm_weight *head;      /* the embedding itself when tied */
    slm_mem final_norm;    /* [d] f32 */
    model__layer *layers;
    double *frequencies; /* [head_dim/2]: base^(-2i/head_dim) */
    uint64_t weight_bytes;
};

#endif
