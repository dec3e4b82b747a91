/* kernel.h: a device and its operations.
 *
 * Everything a model computes goes through one table of functions. `ref` is plain C, float32 with
 * double accumulation, and is the truth the others are held against; `avx2`, `avx512`,
 * `avx512bf16` and `amx` are the CPU's fast paths; a GPU back end arrives by filling this table.
 *
 * Buffers are handles: host memory on ref and cpu, device memory elsewhere. Nothing above this
 * folder dereferences one. Operations are queued in order; slm_kernel_sync waits.
 *
 * Numerics (ARCHITECTURE.md), on CPU within one path:
 *  (a) linear: one f32 accumulator per output, k ascending, no split of k; threads split outputs
 *      only; inputs are rounded the same way whatever the number of rows. (amx: 32 steps of k at
 *      a time, in the matrix unit's own order within them, which does not depend on rows either.)
 *  (b) K and V are rounded to the cache's dtype before any use; attention walks blocks of 64 keys
 *      counted from the sequence's own first token, so chunking cannot change a result.
 *  (c) one function turns a row of logits into a log-probability, for sampler and loss.
 *  (d) exp, sin and cos are ours.
 * Results do not depend on the number of threads, nor on which other rows are in a call. */
#ifndef SLM_KERNEL_H
#define SLM_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "kernel/device.h"
#include "kernel/training.h"
#include "tensor/tensor.h"

/* ---- the paged KV cache -------------------------------------------------------------------- */

enum { SLM_PAGE_TOKENS = 64 }; /* a page holds 64 positions of one sequence: one attention block */

typedef struct slm_kv_shape {
    int layers, kv_heads, head_dim; /* head_dim even */
    slm_dtype dtype;                /* SLM_BF16, or SLM_F32 beside f32 weights */
} slm_kv_shape;
/* Bytes of one page: all layers, K and V. The layout within is the device's own. */
size_t slm_kv_page_bytes(const slm_kv_shape *shape);

/* One sequence's part of a batch: rows [row, row+rows) of q/k/v are its positions
 * [position, position+rows); its page table holds ceil((position+rows)/64) page indices. */
typedef struct slm_kv_span {
    int32_t row, rows, position;
    const int32_t *pages; /* host memory */
} slm_kv_span;

/* ---- sampling ------------------------------------------------------------------------------ */

typedef struct slm_sample_options {
    float temperature;        /* 0: greedy */
    int32_t top_k;            /* 0: off */
    float top_p;              /* 1: off */
    float min_p;              /* 0: off */
    float presence_penalty;   /* 0: off; over generated ids */
    float frequency_penalty;  /* 0: off; over generated ids */
    float repetition_penalty; /* 1: off; over prompt and generated ids */
} slm_sample_options;

/* One row's draw. Order: penalties on raw logits (repetition divides positive and multiplies
 * negative logits, Keskar et al. 2019; presence and frequency subtract), temperature, top-k, top-p,
 * min-p relative to the best; ties go to the smaller id; then the inverse of the cumulative
 * distribution at slm_random_at(key, position), ids ascending. */
typedef struct slm_sample_row {
    const slm_sample_options *options;
    slm_random_key key;
    uint32_t position;     /* index of the generated token */
    const int32_t *prompt; /* host memory: ids of the prompt (for repetition penalty) */
    size_t prompt_len;
    const int32_t *generated; /* host memory */
    size_t generated_len;
    const uint32_t *allowed; /* NULL, or a bitmask over the vocabulary: grammar, min-tokens */
    /* results */
    int32_t id;
    float logprob; /* log softmax(logits / T)[id] over the whole vocabulary, before penalties and
                      truncation; T = 1 when temperature is 0 */
    bool finite;   /* false: the logits held a NaN or no finite value; id is then -1 */
} slm_sample_row;

/* ---- operations ---------------------------------------------------------------------------- */

/* A linear layer: where its outputs go, its weights, its bias or {NULL}. */
typedef struct slm_linear {
    slm_mem y;
    const slm_weight *w;
    slm_mem bias;
} slm_linear;

/* All activations are f32, row-major and dense unless a prototype says otherwise. `act` is the
 * dtype of what feeds a linear: SLM_BF16 beside bf16 weights (rounded to nearest even), else
 * SLM_F32. y may not alias x unless said. "sets" overwrites, "adds" accumulates. */
typedef struct slm_kernels {
    const char *name;

    /* y[m,d] f32 = W[ids[i], :]; sets. ids in host memory, each < rows of W. */
    void (*embed)(slm_device *, slm_mem y, const slm_weight *w, const int32_t *ids, size_t m);
    /* For each of `count` layers that share x[m,k] act: y[m,n] f32 = x @ W[n,k]^T (+ bias[n] f32
     * unless {NULL}); sets, or adds to y if `add`. bias is added once after the sum. f32 accumulator.
     * No y aliases another or x. next: the layers of the following call (their w is what counts), so
     * that their weights are brought nearer meanwhile; or NULL. */
    void (*linear)(slm_device *, const slm_linear *layers, size_t count, slm_mem x, size_t m,
                   bool add, const slm_linear *next, size_t next_count);
    /* y[m,d] act = x[m,d] f32 * rsqrt(mean(x^2) + eps) * weight[d] f32; sets; y may alias x when
     * act is f32. Also QK-norm, with m = rows * heads and d = head_dim. */
    void (*rms_norm)(slm_device *, slm_mem y, slm_dtype act, slm_mem x, slm_mem weight, size_t m,
                     size_t d, float eps);
    /* In place: rotate x[m, heads, head_dim] f32 by positions[m] (host memory); pairs (i, i +
     * head_dim/2) ("NeoX" order) or (2i, 2i+1) if interleaved; frequencies[head_dim/2] f64 in host
     * memory; the angle position * frequency is reduced in f64. direction -1 for backward. */
    void (*rope)(slm_device *, slm_mem x, const int32_t *positions, const double *frequencies,
                 size_t m, size_t heads, size_t head_dim, bool interleaved, int direction);
    /* Write k[.., kv_heads, head_dim] and v (f32) of all spans' rows to their pages of `layer`. */
    void (*kv_write)(slm_device *, slm_mem cache, const slm_kv_shape *, int layer, slm_mem k,
                     slm_mem v, const slm_kv_span *spans, size_t span_count);
    /* y[.., heads, head_dim] act = softmax(q k^T * scale) v, causal, over the pages of each span,
     * whose K and V up to the span's end have been written; sets. q f32. heads is a multiple of
     * kv_heads (Ainslie et al. 2023). What a page holds beyond the span's end has no effect, but
     * must be finite. */
    void (*attention)(slm_device *, slm_mem y, slm_dtype act, slm_mem q, slm_mem cache,
                      const slm_kv_shape *, int layer, size_t heads, float scale,
                      const slm_kv_span *spans, size_t span_count);
    /* y[m,d] act = silu(gate[m,d]) * up[m,d]; sets. */
    void (*swiglu)(slm_device *, slm_mem y, slm_dtype act, slm_mem gate, slm_mem up, size_t items);
    /* Encoders (Devlin et al. 2019). All f32 but where said.
     * y[m,d] = (x + more - mean) * rsqrt(variance + eps) * weight[d] + bias[d], mean and variance
     * (divided by d) of each row of x[m,d] + more[m,d]; more may be {NULL}; sets; y may alias x. */
    void (*layer_norm)(slm_device *, slm_mem y, slm_mem x, slm_mem more, slm_mem weight,
                       slm_mem bias, size_t m, size_t d, float eps);
    /* y[items] = x (1 + erf(x / sqrt 2)) / 2 (Hendrycks and Gimpel 2016, not the approximation by
     * tanh); sets; y may alias x. */
    void (*gelu)(slm_device *, slm_mem y, slm_mem x, size_t items);
    /* y[rows, heads, head_dim] = softmax(q k^T * scale) v, each row seeing all rows of its sequence;
     * the rows of `count` sequences of lens[i] > 0 rows (host memory) stand one after the other;
     * sets. */
    void (*attention_whole)(slm_device *, slm_mem y, slm_mem q, slm_mem k, slm_mem v,
                            const int32_t *lens, size_t count, size_t heads, size_t head_dim,
                            float scale);
    /* y[count,d] = mean of the rows of each sequence of x[rows,d]; sets. */
    void (*mean_pool)(slm_device *, slm_mem y, slm_mem x, const int32_t *lens, size_t count,
                      size_t d);
    /* y[m,3d] bf16 = high(x), low(x), high(x) of each row of x[m,d]: high is x rounded to bf16, low
     * is x - high, rounded likewise. Behind weights W packed as bf16 [n,3d] = high(W), high(W),
     * low(W), a linear gives x @ W^T to about 2^-16 of each product; sets. */
    void (*split)(slm_device *, slm_mem y, slm_mem x, size_t m, size_t d);
    /* y[i,:] f32 = x[rows[i],:] f32, i < m; sets. rows in host memory. */
    void (*gather)(slm_device *, slm_mem y, slm_mem x, const int32_t *rows, size_t m, size_t d);
    /* out[m] f32 (host memory) = log softmax(logits[m,vocab] / temperature)[ids[m]]; waits. */
    void (*log_prob)(slm_device *, slm_mem logits, size_t m, size_t vocab, float temperature,
                     const int32_t *ids, float *out);
    /* Fill id, logprob, finite of rows[m] from logits[m,vocab] f32 (not changed); waits. */
    void (*sample)(slm_device *, slm_mem logits, size_t vocab, slm_sample_row *rows, size_t m);
    /* Copy page `from` to page `to` within a cache whose pages have page_bytes. */
    void (*copy_page)(slm_device *, slm_mem cache, size_t page_bytes, int32_t from, int32_t to);
    /* mem[0..bytes) = 0. */
    void (*zero)(slm_device *, slm_mem mem, size_t bytes);
    /* y[items] act = scale * x[items] f32; sets; y may alias x when act is f32. */
    void (*convert)(slm_device *, slm_mem y, slm_dtype act, slm_mem x, float scale, size_t items);
    /* Wait until everything queued is done. */
    void (*sync)(slm_device *);

    /* Training: all of these are filled or none (slm_device_trains). Gradients are f32, except that
     * what feeds linear_dx and linear_dw is rounded to `act` as in the forward. Sums over rows run in
     * their order; a row's dx depends on nothing but its own sequence. */

    /* dx[m,k] f32 = sum over layers (up to 8), in their order, of dy_i[m,n_i] @ W_i[n_i,k]; dy in the dtype of
     * the weights, which are read from the forward's packing; sets, or adds to dx if `add`. */
    void (*linear_dx)(slm_device *, slm_mem dx, const slm_linear_grad *layers, size_t count,
                      size_t m, bool add);
    /* For each layer: dw[n,k] += dy[m,n]^T @ x[m,k] unless dw is {NULL}; dbias[n] += column sums of
     * dy unless {NULL}. dy and x in `act`. w may be NULL, n is told apart. */
    void (*linear_dw)(slm_device *, const slm_linear_grad *layers, size_t count, slm_mem x,
                      slm_dtype act, size_t m, size_t k);
    /* dw[ids[i],:] += dy[i,:] f32, i ascending. ids in host memory. */
    void (*embed_backward)(slm_device *, slm_mem dw, slm_mem dy, const int32_t *ids, size_t m,
                           size_t d);
    /* From dy[m,d] f32 and the forward's x and weight: dx[m,d] sets, or adds if `add`; dweight[d]
     * adds, unless {NULL}. dx may be dy. */
    void (*rms_norm_backward)(slm_device *, slm_mem dx, slm_mem dweight, slm_mem dy, slm_mem x,
                              slm_mem weight, size_t m, size_t d, float eps, bool add);
    /* dq[.., heads, head_dim], dk and dv[.., kv_heads, head_dim] f32 of all spans' rows; set. dy f32,
     * y in `act` and q f32 are the forward's, and its pages are still as they were. A span may begin
     * at a position above 0: then prefix_rows[s] is the row at which the rows of the same batch stand
     * whose keys fill its positions [0, position): their dk and dv get its part too; or -1: those
     * keys get none. prefix_rows (host memory) may be NULL when no span begins above 0. */
    void (*attention_backward)(slm_device *, slm_mem dq, slm_mem dk, slm_mem dv, slm_mem dy,
                               slm_mem y, slm_dtype act, slm_mem q, slm_mem cache,
                               const slm_kv_shape *, int layer, size_t heads, float scale,
                               const slm_kv_span *spans, const int32_t *prefix_rows,
                               size_t span_count);
    /* dgate, dup [items] act set from dy, gate, up f32. dgate and dup may be gate and up when act is
     * f32. */
    void (*swiglu_backward)(slm_device *, slm_mem dgate, slm_mem dup, slm_dtype act, slm_mem dy,
                            slm_mem gate, slm_mem up, size_t items);
    /* y[i] = x[i] / (1 - p) where the random number of (seed, step, layer, first + i) is p or more,
     * else 0; i < items; x and y in `act`; sets, or, f32 alone, adds. y may be x. Its own backward. */
    void (*dropout)(slm_device *, slm_mem y, slm_mem x, slm_dtype act, const slm_dropout *,
                    uint64_t first, size_t items, bool add);
    void (*head_loss)(slm_device *, const slm_head_loss *); /* waits */
    void (*adamw)(slm_device *, const slm_adamw *);
    /* w[n,k] = master[n,k] f32, rounded to its dtype; w is not kept quantised. */
    void (*weight_write)(slm_device *, slm_weight *w, slm_mem master);
    /* *out (host) = sum of x[items]^2 in double, in an order that depends on items alone; waits. */
    void (*sum_squares)(slm_device *, slm_mem x, size_t items, double *out);
    /* y[items] += scale * x[items]. */
    void (*add_scaled)(slm_device *, slm_mem y, slm_mem x, float scale, size_t items);
    /* Sum x[items] over all ranks, in rank order; one rank: nothing to do. */
    slm_status (*all_reduce)(slm_device *, slm_mem x, size_t items, slm_error *err);
} slm_kernels;

/* Whether f32 weights are multiplied faster as bf16 parts (see split) than as they are. */
bool slm_device_prefers_split(const slm_device *device);
/* The table in use; every forward entry is filled. */
const slm_kernels *slm_device_table(const slm_device *device);
/* True if the training entries are filled. */
bool slm_device_trains(const slm_device *device);

#endif
