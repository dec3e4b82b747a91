/* ref.h: what the files of ref/ share. */
#ifndef SLM_KERNEL_REF_H
#define SLM_KERNEL_REF_H

#include "kernel/kernel_internal.h"

static inline void ref__put(slm_mem y, slm_dtype act, size_t index, float value)
{
    if (act == SLM_F32)
        slm_kernel__f32(y)[index] = value;
    else
        slm_kernel__bf16(y)[index] = slm_bf16_from_f32(value);
}

static inline float ref__get(slm_mem x, slm_dtype act, size_t index)
{
    return act == SLM_F32 ? slm_kernel__f32(x)[index] : slm_bf16_to_f32(slm_kernel__bf16(x)[index]);
}

/* The numbers of one output of a weight, quantised or not. */
void ref__weight_row(const slm_weight *w, size_t row, float *out);

/* backward.c: see kernel.h. */
void ref__linear_dx(slm_device *device, slm_mem dx, const slm_linear_grad *layers, size_t count,
                    size_t m, bool add);
void ref__linear_dw(slm_device *device, const slm_linear_grad *layers, size_t count, slm_mem x,
                    slm_dtype act, size_t m, size_t k);
void ref__rms_norm_backward(slm_device *device, slm_mem dx, slm_mem dweight, slm_mem dy, slm_mem x,
                            slm_mem weight, size_t m, size_t d, float eps, bool add);
void ref__attention_backward(slm_device *device, slm_mem dq, slm_mem dk, slm_mem dv, slm_mem dy,
                             slm_mem y, slm_dtype act, slm_mem q, slm_mem cache,
                             const slm_kv_shape *shape, int layer, size_t heads, float scale,
                             const slm_kv_span *spans, const int32_t *prefix_rows,
                             size_t span_count);
void ref__swiglu_backward(slm_device *device, slm_mem dgate, slm_mem dup, slm_dtype act, slm_mem dy,
                          slm_mem gate, slm_mem up, size_t items);
void ref__adamw(slm_device *device, const slm_adamw *job);
void ref__add_scaled(slm_device *device, slm_mem y, slm_mem x, float scale, size_t items);

/* encoder.c: entries of the table. */
void ref__layer_norm(slm_device *device, slm_mem y, slm_mem x, slm_mem more, slm_mem weight,
                     slm_mem bias, size_t m, size_t d, float eps);
void ref__gelu(slm_device *device, slm_mem y, slm_mem x, size_t items);
void ref__attention_whole(slm_device *device, slm_mem y, slm_mem q, slm_mem k, slm_mem v,
                          const int32_t *lens, size_t count, size_t heads, size_t head_dim,
                          float scale);
void ref__mean_pool(slm_device *device, slm_mem y, slm_mem x, const int32_t *lens, size_t count,
                    size_t d);
void ref__split(slm_device *device, slm_mem y, slm_mem x, size_t m, size_t d);

#endif
