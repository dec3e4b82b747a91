/* quant_avx512bf16.c: panels of quantised weights to pairs of bf16, as gemm_avx512bf16.c and
 * gemm_amx_avx512bf16.c take them. VCVTNE2PS2BF16 rounds two vectors to nearest even and puts them
 * one behind the other, which is why lanes hold pairs. (It flushes f32 below 2^-126 to zero, as the
 * multiplications do that take its results.) */
#include "kernel/cpu/quant512.h"

void slm_cpu__quant_pairs(const slm_kernel__quant *quant, const char *panel, size_t begin,
                          size_t end, size_t ahead, char *out)
{
    decode(STORE_PAIRS, quant, panel, begin, end, ahead, out);
}

void slm_cpu__gemv_pairs(const slm_cpu__gemm *job, const slm_cpu__quantised *w, size_t begin,
                         size_t end)
{
    one_row(STORE_PAIRS, job, w, begin, end);
}
