/* rows_avx2.c: rows.h and attention.h compiled for AVX2. One text serves both widths; what differs
 * stands in vec.h. Reached only through cpu.c, after CPUID said that it may be. Nothing here is
 * public but the table. */
#include "kernel/cpu/attention.h"
#include "kernel/cpu/encoder.h"

const slm_cpu__rows slm_cpu__rows_avx2 = {
    .rms_norm = rms_norm,
    .rope = rope,
    .swiglu = swiglu,
    .convert = convert,
    .widen = widen,
    .attention = attention,
    .logits = {max_sum, argmax, weights, select_ids, gradient},
    .layer_norm = layer_norm,
    .gelu = gelu,
    .split = split,
    .whole = whole_attention,
    .mean = mean_row,
};
