/* cpu.h: what the files of cpu/ share. The *_avx2.c, *_avx512.c and *_avx512bf16.c files are
 * compiled for those instructions and reached only through the tables in cpu.c, after CPUID said
 * that they may be. */
#ifndef SLM_KERNEL_CPU_H
#define SLM_KERNEL_CPU_H

#include "kernel/kernel_internal.h"

/* y[m,n] (+)= x[m,k] @ W^T (+ bias) with W packed (kernel_internal.h). x is f32, or bf16 where the
 * function says so. w holds the blocks from `first` on; of a quantised weight it is a part that was
 * widened into a cache, behind which there is nothing to fetch ahead of time. */
typedef struct slm_cpu__gemm {
    float *y;
    const void *x;
    const char *w;
    size_t first;
    bool cached;
    const float *bias; /* or NULL */
    size_t m, n, k, block_bytes;
    size_t stride; /* of x: numbers from row to row, k or more */
    bool add;
    const char *next; /* read after the last block: to be fetched ahead of time; or NULL */
} slm_cpu__gemm;

static inline const char *slm_cpu__block(const slm_cpu__gemm *job, size_t block)
{
    return job->w + (block - job->first) * job->block_bytes;
}

/* Compute the outputs of blocks [begin, end) for all rows. */
typedef void slm_cpu__gemm_fn(const slm_cpu__gemm *job, size_t begin, size_t end);
slm_cpu__gemm_fn slm_cpu__gemm_f32_avx2;    /* x f32,  W f32 */
slm_cpu__gemm_fn slm_cpu__gemm_bf16_avx2;   /* x f32 (widened from bf16), W bf16 */
slm_cpu__gemm_fn slm_cpu__gemm_f32_avx512;  /* x f32,  W f32 */
slm_cpu__gemm_fn slm_cpu__gemm_bf16_avx512; /* x f32 (widened from bf16), W bf16 */
slm_cpu__gemm_fn slm_cpu__gemm_avx512bf16;  /* x bf16, W bf16 */
slm_cpu__gemm_fn slm_cpu__gemm_amx;         /* x bf16, W bf16 */

/* Groups [begin, end) of 32 k of a panel of quantised weights, as packed weights of one block: to
 * out, aligned to 64 bytes. What stands `ahead` bytes behind them is fetched to the L2 cache. */
typedef void slm_cpu__quant_fn(const slm_kernel__quant *quant, const char *panel, size_t begin,
                               size_t end, size_t ahead, char *out);
slm_cpu__quant_fn slm_cpu__quant_avx2;   /* plain lanes to f32 (rounded, if computed as bf16) */
slm_cpu__quant_fn slm_cpu__quant_avx512; /* the same */
slm_cpu__quant_fn slm_cpu__quant_pairs;  /* lanes in pairs to bf16 */

/* Transpositions (pairs_avx512.c): 16 outputs by up to 16 columns of a packed block of bf16 weights, to
 * [8 pairs of outputs][16 columns][2]. */
void slm_cpu__pairs_turn(const char *block, size_t columns, char *out);
/* Up to 16 columns of rows of bf16, to [pairs of rows][16 columns][2]. */
void slm_cpu__pairs_panel(const uint16_t *from, size_t stride, size_t rows, size_t columns,
                          char *out);
/* The same columns to rows: out[column][row], zeros up to a multiple of 32 rows; out and its stride are
 * aligned to 64 bytes. */
void slm_cpu__pairs_columns(const uint16_t *from, size_t stride, size_t rows, size_t columns,
                            uint16_t *out, size_t out_stride);

/* A weight that is kept quantised, for the multiplications that widen it as they go. */
typedef struct slm_cpu__quantised {
    const slm_kernel__quant *quant;
    const char *panels;
    size_t panel_bytes;
} slm_cpu__quantised;
/* The outputs of blocks [begin, end) for few rows; job->w is not read. */
typedef void slm_cpu__few_fn(const slm_cpu__gemm *job, const slm_cpu__quantised *w, size_t begin,
                             size_t end);
slm_cpu__few_fn slm_cpu__gemv_avx2;          /* 1 row, plain lanes; x f32 */
slm_cpu__few_fn slm_cpu__gemv_avx512;        /* the same */
slm_cpu__few_fn slm_cpu__gemv_pairs;         /* 1 row, lanes in pairs; x bf16 */
slm_cpu__few_fn slm_cpu__gemm_amx_quantised; /* up to 32 rows, lanes in pairs; x bf16 */

/* Attention of all rows of all spans: kv_heads * rows units. */
typedef struct slm_cpu__attention {
    char *y;
    slm_dtype act;
    const float *q;
    const char *cache;
    const slm_kv_shape *shape;
    int layer;
    size_t heads, rows;
    float scale;
    const slm_kv_span *spans;
    size_t span_count;
} slm_cpu__attention;

/* Units [begin, end) of kv_heads x rows, all rows of a kv head first. */
typedef void slm_cpu__attention_fn(const slm_cpu__attention *job, size_t begin, size_t end,
                                   float *scratch);
slm_cpu__attention_fn slm_cpu__attention_amx;
/* Whether it is made for this shape, and the floats of scratch that it wants. */
bool slm_cpu__attention_amx_can(const slm_kv_shape *shape);
size_t slm_cpu__attention_amx_scratch(void);

/* Attention within whole sequences: heads * count units. */
typedef struct slm_cpu__whole {
    float *y;
    const float *q, *k, *v; /* [rows, heads, head_dim] */
    const int32_t *lens;
    size_t count, heads, head_dim;
    float scale;
} slm_cpu__whole;

/* Attention's gradient. A unit is a kv head of a span. */
typedef struct slm_cpu__attention_gradient {
    float *dq, *dk, *dv;
    const float *dy, *q;
    const char *y, *cache;
    slm_dtype act;
    const slm_kv_shape *shape;
    int layer;
    size_t heads;
    float scale;
} slm_cpu__attention_gradient;
/* dq, dk and dv of the span's own rows are set; below: those of the keys before it, [position][2][
 * head_dim], or NULL. */
typedef void slm_cpu__attention_backward_fn(const slm_cpu__attention_gradient *job,
                                            const slm_kv_span *span, size_t kv_head, float *below,
                                            float *scratch);
slm_cpu__attention_backward_fn slm_cpu__attention_backward_amx;
/* Floats of scratch for so many keys; shapes are those of slm_cpu__attention_amx_can. */
size_t slm_cpu__attention_backward_amx_scratch(size_t keys, size_t width);

/* Operations on rows; see kernel.h for what each does. */
typedef struct slm_cpu__rows {
    void (*rms_norm)(char *y, slm_dtype act, const float *x, const float *weight, size_t m,
                     size_t d, float eps);
    /* table: 2 * head_dim floats for each row (rows.h); sign is that of the angle. */
    void (*rope)(float *x, const float *table, size_t m, size_t heads, size_t head_dim,
                 bool interleaved, float sign);
    void (*swiglu)(char *y, slm_dtype act, const float *gate, const float *up, size_t items);
    void (*convert)(char *y, slm_dtype act, const float *x, float scale, size_t items);
    void (*widen)(float *y, const uint16_t *x, size_t items);
    /* gradient.h */
    void (*rms_norm_backward)(float *dx, const float *dy, const float *x, const float *weight,
                              size_t m, size_t d, float eps, bool add);
    void (*inverse_rms)(float *inverse, const float *x, size_t m, size_t d, float eps);
    void (*norm_weight_backward)(float *dweight, const float *dy, const float *x,
                                 const float *inverse, size_t m, size_t d, size_t begin,
                                 size_t end);
    void (*swiglu_backward)(char *dgate, char *dup, slm_dtype act, const float *dy,
                            const float *gate, const float *up, size_t items);
    void (*adamw)(const slm_adamw *job, float first_rest, float second_rest, size_t begin,
                  size_t end);
    void (*add_scaled)(float *y, const float *x, float scale, size_t items);
    slm_cpu__attention_backward_fn *attention_backward; /* attention_backward.h */
    size_t (*attention_backward_scratch)(size_t keys, size_t width);
    /* scratch: group * (width + 2) floats. */
    slm_cpu__attention_fn *attention;
    void (*layer_norm)(float *y, const float *x, const float *more, const float *weight,
                       const float *bias, size_t m, size_t d, float eps);
    void (*gelu)(float *y, const float *x, size_t items);
    void (*split)(uint16_t *y, const float *x, size_t m, size_t d);
    /* Units [begin, end) of heads x sequences, all sequences of a head first. scratch: head_dim + 4
     * rows as long as the longest sequence rounded up to 16. */
    void (*whole)(const slm_cpu__whole *job, size_t begin, size_t end, float *scratch);
    void (*mean)(float *y, const float *x, size_t n, size_t d);
    slm_kernel__row_ops logits;
} slm_cpu__rows;
/* to[items] f32 = from[items] bf16, on all threads. */
void slm_cpu__widen(slm_device *device, const slm_cpu__rows *rows, float *to, const uint16_t *from,
                    size_t items);
extern const slm_cpu__rows slm_cpu__rows_avx2;
extern const slm_cpu__rows slm_cpu__rows_avx512;

/* What differs between the paths. */
typedef struct slm_cpu__path {
    const slm_kernels *table;
    const slm_cpu__rows *rows;
    slm_cpu__gemm_fn *gemm_f32, *gemm_bf16;
    bool bf16_inputs;   /* gemm_bf16 takes x in bf16 as it is */
    bool attention_amx; /* where its shape is one for the matrix unit */
    slm_cpu__quant_fn *quant;
    size_t panels; /* of a quantised weight that are widened before they are multiplied */
    struct {
        slm_cpu__few_fn *fn;
        size_t rows;     /* at most */
    } few_f32, few_bf16; /* widen and multiply at once */
} slm_cpu__path;
const slm_cpu__path *slm_cpu__path_of(const slm_device *device);

/* train.c: see kernel.h. */
void slm_cpu__rms_norm_backward(slm_device *device, slm_mem dx, slm_mem dweight, slm_mem dy,
                                slm_mem x, slm_mem weight, size_t m, size_t d, float eps, bool add);
void slm_cpu__swiglu_backward(slm_device *device, slm_mem dgate, slm_mem dup, slm_dtype act,
                              slm_mem dy, slm_mem gate, slm_mem up, size_t items);
void slm_cpu__head_loss(slm_device *device, const slm_head_loss *loss);
void slm_cpu__adamw(slm_device *device, const slm_adamw *job);
void slm_cpu__add_scaled(slm_device *device, slm_mem y, slm_mem x, float scale, size_t items);

/* attention_backward.c: see kernel.h. */
void slm_cpu__attention_backward(slm_device *device, slm_mem dq, slm_mem dk, slm_mem dv, slm_mem dy,
                                 slm_mem y, slm_dtype act, slm_mem q, slm_mem cache,
                                 const slm_kv_shape *shape, int layer, size_t heads, float scale,
                                 const slm_kv_span *spans, const int32_t *prefix_rows,
                                 size_t span_count);

/* backward.c: see kernel.h. */
void slm_cpu__linear_dx(slm_device *device, slm_mem dx, const slm_linear_grad *layers, size_t count,
                        size_t m, bool add);
void slm_cpu__linear_dw(slm_device *device, const slm_linear_grad *layers, size_t count, slm_mem x,
                        slm_dtype act, size_t m, size_t k);

#endif
