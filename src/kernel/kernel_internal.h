/* kernel_internal.h: what the files of kernel/ share: the device, the packed weight, scratch
 * memory, the mathematical functions, and the parts of sampling that every path has in common. */
#ifndef SLM_KERNEL_INTERNAL_H
#define SLM_KERNEL_INTERNAL_H

#include "kernel/kernel.h"
#include "kernel/quant.h"

/* ---- device -------------------------------------------------------------------------------- */

typedef struct slm_kernel__scratch_memory {
    slm_mem mem;
    size_t bytes;
} slm_kernel__scratch_memory;

/* cos and sin of the last call of rope: every layer of a forward asks for the same positions. */
typedef struct slm_kernel__rope_cache {
    slm_kernel__scratch_memory memory; /* frequencies, positions, then the table */
    size_t m, half;
    bool interleaved;
} slm_kernel__rope_cache;

struct slm_device {
    const slm_kernels *table;
    slm_threads *threads;
    int thread_count;
    size_t bytes; /* handed out */
    bool blocked; /* weights are packed in blocks of 16 outputs; false: row-major (ref) */
    bool pairs;   /* bf16 weights feed instructions that take pairs of k */
    slm_kernel__scratch_memory scratch;
    slm_kernel__scratch_memory head; /* logits of head_loss */
    slm_kernel__rope_cache rope;
};

/* At least `bytes` of memory aligned to 64 with any content, valid until the next call. Grows
 * rarely: no allocation in a steady state. */
char *slm_kernel__scratch(slm_device *device, size_t bytes);
void slm_kernel__reserve(slm_device *device, slm_kernel__scratch_memory *memory, size_t bytes);

/* slm_threads_run, but in the calling thread alone when `work` (about one per cycle) is too small
 * to be worth waking others. Results cannot depend on it: outputs are independent. */
void slm_kernel__run(slm_device *device, size_t count, size_t grain, size_t work,
                     slm_threads_fn *fn, void *context);

static inline size_t slm_kernel__round_up(size_t value, size_t to)
{
    return (value + to - 1) / to * to;
}

/* Where buffers are host memory: what stands there; NULL for {NULL}. */
static inline float *slm_kernel__f32(slm_mem mem)
{
    return (float *)(void *)mem.at;
}

static inline uint16_t *slm_kernel__bf16(slm_mem mem)
{
    return (uint16_t *)(void *)mem.at;
}

/* Bytes of a number that is computed with: f32 or bf16. */
static inline size_t slm_kernel__item_bytes(slm_dtype dtype)
{
    return dtype == SLM_F32 ? sizeof(float) : sizeof(uint16_t);
}

/* ---- weights ------------------------------------------------------------------------------- */

enum { SLM_KERNEL_BLOCK = 16 }; /* outputs of a packed block */

/* Row-major on ref. Elsewhere, with n padded to a multiple of 16 by zero rows:
 * f32  [n/16][k][16], bf16 [n/16][ceil(k/2)][16][2], an odd k padded by a zero.
 * Kept quantised (quant.super is not 0), on ref too: panels as quant.h tells. */
struct slm_weight {
    slm_device *device;
    slm_mem data;
    size_t n, k, bytes;
    size_t block_bytes; /* of one block of 16 outputs; of one row on ref */
    slm_dtype dtype;    /* what it is computed as */
    slm_kernel__quant quant;
};

/* Packed blocks of outputs in a weight of n; the last may be part of one. */
static inline size_t slm_kernel__blocks(size_t n)
{
    return (n + SLM_KERNEL_BLOCK - 1) / SLM_KERNEL_BLOCK;
}

/* ---- KV pages ------------------------------------------------------------------------------ */

/* Every kv head of a layer has an area for K and one for V of 64 * width items, width being
 * head_dim rounded up to 16, so that V is read in whole vectors. */
static inline size_t slm_kernel__kv_width(const slm_kv_shape *shape)
{
    return slm_kernel__round_up((size_t)shape->head_dim, SLM_KERNEL_BLOCK);
}
/* Byte offset in a page of K (v = 0) or V (v = 1) of one layer and kv head. */
static inline size_t slm_kernel__kv_offset(const slm_kv_shape *shape, int layer, int kv_head, int v)
{
    size_t item = slm_kernel__item_bytes(shape->dtype);
    size_t area = SLM_PAGE_TOKENS * slm_kernel__kv_width(shape) * item;
    return (((size_t)layer * (size_t)shape->kv_heads + (size_t)kv_head) * 2 + (size_t)v) * area;
}

/* ---- mathematics in double (math.c) -------------------------------------------------------- */

double slm_kernel__exp(double x);
double slm_kernel__log(double x); /* x > 0, finite */
double slm_kernel__erf(double x);
/* |x| below 2^30 or so (a position times a frequency). */
void slm_kernel__sin_cos(double x, double *sine, double *cosine);

/* ---- rows of logits (sample.c) ------------------------------------------------------------- */

enum { SLM_KERNEL_SUM_BLOCK = 256 }; /* weights are summed in blocks of this many */

/* What a path provides. Orders of summation depend on n alone. */
typedef struct slm_kernel__row_ops {
    /* *max = the largest of x[n], NaN ignored; *sum = sum of exp((x[i] - *max) * inv_t), NaN if x
     * holds a NaN or *max is infinite. */
    void (*max_sum)(const float *x, size_t n, float inv_t, float *max, double *sum);
    /* Index of the largest of x[n] (no NaN); the smallest such index. */
    size_t (*argmax)(const float *x, size_t n);
    /* w[i] = exp((x[i] - max) * inv_t); sums[b] = sum of the b-th 256 of them. */
    void (*weights)(float *w, double *sums, const float *x, size_t n, float max, float inv_t);
    /* ids[] = the i with x[i] >= cut, ascending; returns how many. */
    size_t (*select)(int32_t *ids, const float *x, size_t n, float cut);
    /* With w[i] as above: out[i] act = factor * w[i]. */
    void (*gradient)(void *out, slm_dtype act, const float *x, size_t n, float max, float inv_t,
                     float factor);
    /* The sum of w[i] (x[i] - max) * inv_t, in which a weight of 0 counts 0. */
    double (*weighted_sum)(const float *x, size_t n, float max, float inv_t);
} slm_kernel__row_ops;

/* The bodies of slm_kernels.log_prob and .sample, given a path's row operations. */
void slm_kernel__log_prob(slm_device *device, const slm_kernel__row_ops *ops, const float *logits,
                          size_t m, size_t vocab, float temperature, const int32_t *ids,
                          float *out);
void slm_kernel__sample(slm_device *device, const slm_kernel__row_ops *ops, const float *logits,
                        size_t vocab, slm_sample_row *rows, size_t m);

/* log_prob as slm_kernels.log_prob, entropy (unless NULL) of softmax(x / T), and, unless gradient is
 * NULL, coefficient * d log_prob / d x in act. */
void slm_kernel__loss_row(const slm_kernel__row_ops *ops, const float *x, size_t vocab,
                          float temperature, int32_t target, float *log_prob, float *entropy,
                          float coefficient, slm_dtype act, void *gradient);

/* ---- training (train.c) -------------------------------------------------------------------- */

double slm_kernel__power(double x, int64_t n); /* n >= 0 */
void slm_kernel__head_loss(slm_device *device, const slm_kernel__row_ops *ops,
                           const slm_head_loss *loss);
void slm_kernel__dropout(slm_device *device, slm_mem y, slm_mem x, slm_dtype act,
                         const slm_dropout *dropout, uint64_t first, size_t items, bool add);
void slm_kernel__embed_backward(slm_device *device, slm_mem dw, slm_mem dy, const int32_t *ids,
                                size_t m, size_t d);
void slm_kernel__weight_write(slm_device *device, slm_weight *w, slm_mem master); /* weight.c */
void slm_kernel__sum_squares(slm_device *device, slm_mem x, size_t items, double *out);
slm_status slm_kernel__all_reduce(slm_device *device, slm_mem x, size_t items, slm_error *err);

/* ---- tables -------------------------------------------------------------------------------- */

extern const slm_kernels slm_kernel__ref;
#ifndef SLM_KERNELS_REF_ONLY
extern const slm_kernels slm_kernel__avx2;
extern const slm_kernels slm_kernel__avx512;
extern const slm_kernels slm_kernel__avx512bf16;
extern const slm_kernels slm_kernel__amx;
#endif

/* Entries that are the same wherever buffers are host memory (host.c). */
void slm_kernel__gather(slm_device *device, slm_mem y, slm_mem x, const int32_t *rows, size_t m,
                        size_t d);
void slm_kernel__copy_page(slm_device *device, slm_mem cache, size_t page_bytes, int32_t from,
                           int32_t to);
void slm_kernel__zero(slm_device *device, slm_mem mem, size_t bytes);
void slm_kernel__sync(slm_device *device);

#endif
