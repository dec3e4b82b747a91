/* training.h: a part of kernel.h: what the operations of training are told. */
#ifndef SLM_KERNEL_TRAINING_H
#define SLM_KERNEL_TRAINING_H

#include "kernel/device.h"

/* The gradients of a linear layer. */
typedef struct slm_linear_grad {
    slm_mem dy; /* [m,n] in the dtype of the weights */
    const slm_weight *w;
    slm_mem dw, dbias; /* f32; or {NULL} */
    size_t n;
} slm_linear_grad;

typedef struct slm_dropout {
    uint64_t seed;
    uint32_t step, layer;
    float p; /* 0 <= p < 1: what is dropped */
} slm_dropout;

/* x[m,k] in the head's dtype, head W[vocab,k]. For each row: log_prob as slm_kernels.log_prob gives
 * it, and the entropy of softmax(logits / T). Where coefficient[i], dL/dlog_prob, is not 0: its dx and
 * its part of dw; the dx of other rows is 0. [m,vocab] never exists whole. */
typedef struct slm_head_loss {
    slm_mem x;
    const slm_weight *head;
    const int32_t *targets;   /* host memory, [m] */
    const float *coefficient; /* host memory, [m]; NULL: log-probabilities alone */
    float temperature;
    size_t m;
    float *log_prob, *entropy; /* host memory, [m]; entropy may be NULL */
    slm_mem dx;                /* f32 [m,k], sets */
    slm_mem dw;                /* f32 [vocab,k], adds; or {NULL} */
} slm_head_loss;

/* AdamW (Loshchilov and Hutter 2019) on f32: g = grad_scale * grad; first and second moments with
 * bias correction by step, which counts from 1; master -= rate * (m^ / (sqrt(v^) + eps) + decay *
 * master). grad is not changed. w: rewritten from master[n,k], unless NULL. */
typedef struct slm_adamw {
    slm_mem master, first, second, grad;
    slm_weight *w;
    size_t items;
    float rate, beta1, beta2, eps, decay, grad_scale;
    int64_t step;
} slm_adamw;

#endif
