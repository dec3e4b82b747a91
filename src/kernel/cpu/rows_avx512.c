/* rows_avx512.c: rows.h and attention.h compiled for AVX-512. One text serves both widths; what
 * differs stands in vec.h. Reached only through cpu.c, after CPUID said that it may be. Nothing
 * here is public but the table. */
#include "kernel/cpu/attention.h"
#include "kernel/cpu/attention_backward.h"
#include "kernel/cpu/gradient.h"
#include "kernel/cpu/encoder.h"

const slm_cpu__rows slm_cpu__rows_avx512 = {
    .rms_norm = rms_norm,
    .rope = rope,
    .swiglu = swiglu,
    .convert = convert,
    .widen = widen,
    .attention = attention,
    .rms_norm_backward = rms_norm_backward,
    .inverse_rms = inverse_rms,
    .norm_weight_backward = norm_weight_backward,
    .swiglu_backward = swiglu_backward,
    .adamw = adamw,
    .add_scaled = add_scaled,
    .attention_backward = attention_backward,
    .attention_backward_scratch = attention_backward_scratch,
    .logits = {max_sum, argmax, weights, select_ids, gradient, weighted_sum},
    .layer_norm = layer_norm,
    .gelu = gelu,
    .split = split,
    .whole = whole_attention,
    .mean = mean_row,
};
