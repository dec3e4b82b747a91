/* memory.h: how much memory this process may still take. */
#ifndef SLM_BASE_MEMORY_H
#define SLM_BASE_MEMORY_H

#include <stdint.h>

/* Bytes that can be taken without swapping: the least of what the machine has free (caches of files
 * count as free), what the control groups of this process leave, and what its limit on address space
 * leaves. UINT64_MAX where none of them can be told. */
uint64_t slm_memory_available(void);

#endif
