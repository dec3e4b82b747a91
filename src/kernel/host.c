/* host.c: entries that only move memory, the same wherever buffers are host memory. */
#include "kernel/kernel_internal.h"

#include <string.h>

void slm_kernel__gather(slm_device *device, slm_mem y, slm_mem x, const int32_t *rows, size_t m,
                        size_t d)
{
    (void)device;
    size_t bytes = d * sizeof(float);
    for (size_t i = 0; i < m; i++)
        memcpy(y.at + i * bytes, x.at + (size_t)rows[i] * bytes, bytes);
}

void slm_kernel__copy_page(slm_device *device, slm_mem cache, size_t page_bytes, int32_t from,
                           int32_t to)
{
    (void)device;
    if (from == to) return;
    memcpy(cache.at + (size_t)to * page_bytes, cache.at + (size_t)from * page_bytes, page_bytes);
}

void slm_kernel__zero(slm_device *device, slm_mem mem, size_t bytes)
{
    (void)device;
    if (bytes > 0) memset(mem.at, 0, bytes);
}

void slm_kernel__sync(slm_device *device)
{
    (void)device; /* every entry of a host device is done when it returns */
}
