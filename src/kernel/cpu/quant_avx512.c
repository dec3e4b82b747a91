/* quant_avx512.c: panels of quantised weights to f32, rounded to bf16 where they are computed as
 * that: what gemm_avx512.c multiplies f32 weights with gives the same bits as its bf16 weights,
 * which it widens to the same numbers. */
#include "kernel/cpu/quant512.h"

static bool rounds(const slm_kernel__quant *quant)
{
    return quant->as == SLM_BF16 || (quant->dtype == SLM_NF4 && quant->rounded == SLM_BF16);
}

void slm_cpu__quant_avx512(const slm_kernel__quant *quant, const char *panel, size_t begin,
                           size_t end, size_t ahead, char *out)
{
    if (rounds(quant))
        decode(STORE_ROUNDED, quant, panel, begin, end, ahead, out);
    else
        decode(STORE_F32, quant, panel, begin, end, ahead, out);
}

void slm_cpu__gemv_avx512(const slm_cpu__gemm *job, const slm_cpu__quantised *w, size_t begin,
                          size_t end)
{
    if (rounds(w->quant))
        one_row(STORE_ROUNDED, job, w, begin, end);
    else
        one_row(STORE_F32, job, w, begin, end);
}
