/* training_internal.h: what trainable.c and backward.c share. */
#ifndef SLM_MODEL_TRAINING_H
#define SLM_MODEL_TRAINING_H

#include "base/arena.h"
#include "model_internal.h"

/* Gradients of a matrix: {NULL} where it is not learnt. */
typedef struct training__grads {
    slm_mem w, bias, a, b;
} training__grads;

/* A layer: its gradients, and what its backward wants of its forward. */
typedef struct training__layer {
    training__grads grads[MODEL_MATRICES];
    slm_mem norms[MODEL_NORMS];
    slm_mem input; /* f32 [rows, d]: the residual stream before the layer */
} training__layer;

/* What a forward leaves for the backward of one layer; with checkpoints, of all in turn. */
typedef struct training__tape {
    slm_mem middle;       /* f32 [rows, d]: between the layer's halves */
    slm_mem q;            /* f32 [rows, heads*head_dim], rotated */
    slm_mem q_raw, k_raw; /* before their norms; {NULL} where there are none */
    slm_mem attended;     /* act [rows, heads*head_dim] */
    slm_mem gate, up;     /* f32 [rows, feed_forward] */
} training__tape;

struct slm_training {
    slm_model *model;
    slm_training_options options;
    slm_arena arena;
    slm_mem *taken; /* every buffer, to be freed */
    size_t taken_count, taken_room, taken_bytes;
    slm_forward *forward;
    training__layer *layers; /* [layers] */
    training__tape *tapes;   /* [layers], or one */
    slm_parameter *parameters;
    bool *reordered; /* [parameters]: rows of q or k of a GGUF Llama */
    size_t parameter_count, parameter_room;
    slm_mem embedding_grad, head_grad, final_norm_grad;

    /* gradients on their way: f32, and what feeds a linear_dx or linear_dw in the model's dtype */
    slm_mem dx, dnormed, dattended, dhidden, dq, dk, dv; /* f32 */
    slm_mem act[3];                                      /* of a group's outputs */
    slm_mem dlow, dlow_act[3], dkept;                    /* of an adapter */
    slm_mem dwanted;                                     /* f32 [rows, d] */

    /* the batch of the last forward */
    slm_mem cache;
    slm_kv_span *spans, *writes;
    int32_t *prefix_rows, *pages, *ids, *want, *targets;
    float *log_prob; /* of a head that is passed again */
    model__batch batch;
    slm_train_batch what; /* its pointers are those above */
    bool head_done;       /* dx of the head is in dwanted */
};

/* A buffer that lives as long as the training. */
slm_status training__take(slm_training *t, size_t bytes, slm_mem *out, slm_error *err);
/* Make the list of parameters and their gradients. */
slm_status training__collect(slm_training *t, slm_error *err);

#endif
