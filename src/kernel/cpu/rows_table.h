/* rows_table.h: the table of all that is written over vec.h, as the file that includes this compiles
 * it. */
#ifndef SLM_KERNEL_ROWS_TABLE_H
#define SLM_KERNEL_ROWS_TABLE_H

#include "kernel/cpu/attention.h"
#include "kernel/cpu/attention_backward.h"
#include "kernel/cpu/gradient.h"
#include "kernel/cpu/encoder.h"

#define ROWS_TABLE                                                                                 \
    {                                                                                              \
        .rms_norm = rms_norm, .rope = rope, .swiglu = swiglu, .convert = convert, .widen = widen,  \
        .attention = attention, .rms_norm_backward = rms_norm_backward,                            \
        .inverse_rms = inverse_rms, .norm_weight_backward = norm_weight_backward,                  \
        .swiglu_backward = swiglu_backward, .adamw = adamw, .add_scaled = add_scaled,              \
        .attention_backward = attention_backward,                                                  \
        .attention_backward_scratch = attention_backward_scratch,                                  \
        .logits = {max_sum, argmax, weights, select_ids, gradient, weighted_sum},                  \
        .layer_norm = layer_norm, .gelu = gelu, .split = split, .whole = whole_attention,          \
        .mean = mean_row,                                                                          \
    }

#endif
