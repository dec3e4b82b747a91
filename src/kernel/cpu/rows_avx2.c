/* rows_avx2.c: rows_table.h compiled for AVX2. One text serves both widths; what differs
 * stands in vec.h. Reached only through cpu.c, after CPUID said that it may be. Nothing here is
 * public but the table. */
#include "kernel/cpu/rows_table.h"

const slm_cpu__rows slm_cpu__rows_avx2 = ROWS_TABLE;
