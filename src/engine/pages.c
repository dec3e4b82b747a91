/* pages.c: the pool of KV pages and the page tables of sequences.
 *
 * All pages are allocated at once; a page handed out is zeroed, so that a masked key can never be a
 * NaN left by another sequence (ARCHITECTURE.md, 2b). Sequences that share a prefix hold the same
 * pages. A sequence is admitted only when the pages that it may ever need can be promised to it,
 * so nothing that runs can run out. */
#include <stdlib.h>
#include <string.h>

#include "engine_internal.h"

slm_status engine__pages_init(engine__pages *pages, slm_device *device, const slm_kv_shape *shape,
                              uint64_t cache_bytes, slm_error *err)
{
    memset(pages, 0, sizeof *pages);
    pages->device = device;
    pages->page_bytes = slm_kv_page_bytes(shape);
    uint64_t count = cache_bytes / pages->page_bytes;
    if (count < 2)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "--memory leaves %llu bytes for the KV cache; two pages of %zu bytes "
                             "are the least",
                             (unsigned long long)cache_bytes, pages->page_bytes);
    if (count > INT32_MAX / 2) count = INT32_MAX / 2;
    SLM_TRY(slm_device_alloc(device, (size_t)count * pages->page_bytes, &pages->cache, err));
    pages->count = (int32_t)count;
    pages->free = malloc((size_t)count * sizeof *pages->free);
    pages->holders = calloc((size_t)count, sizeof *pages->holders);
    if (!pages->free || !pages->holders) slm_out_of_memory((size_t)count * sizeof *pages->free);
    for (int32_t i = 0; i < pages->count; i++)
        pages->free[i] = pages->count - 1 - i;
    pages->free_count = pages->count;
    return SLM_OK;
}

void engine__pages_free(engine__pages *pages)
{
    if (pages->device) slm_device_free(pages->device, pages->cache);
    free(pages->free);
    free(pages->holders);
    memset(pages, 0, sizeof *pages);
}

int32_t engine__pages_available(const engine__pages *pages)
{
    return pages->free_count - pages->promised;
}

int32_t engine__pages_take(engine__pages *pages)
{
    SLM_ASSERT(pages->free_count > 0);
    int32_t page = pages->free[--pages->free_count];
    int32_t used = pages->count - pages->free_count;
    if (used > pages->used_peak) pages->used_peak = used;
    pages->holders[page] = 1;
    const slm_kernels *kernels = slm_device_table(pages->device);
    kernels->zero(pages->device, slm_mem_at(pages->cache, (size_t)page * pages->page_bytes),
                  pages->page_bytes);
    return page;
}

void engine__pages_hold(engine__pages *pages, int32_t page)
{
    SLM_ASSERT(pages->holders[page] > 0);
    pages->holders[page]++;
}

void engine__pages_release(engine__pages *pages, int32_t page)
{
    SLM_ASSERT(pages->holders[page] > 0);
    if (--pages->holders[page] == 0) pages->free[pages->free_count++] = page;
}

void engine__table_reserve(engine__table *table, int32_t pages)
{
    if (pages <= table->cap) return;
    int32_t *grown = realloc(table->pages, (size_t)pages * sizeof *grown);
    if (!grown) slm_out_of_memory((size_t)pages * sizeof *grown);
    table->pages = grown;
    table->cap = pages;
}

void engine__table_append(engine__table *table, int32_t page)
{
    if (table->len == table->cap) engine__table_reserve(table, table->cap ? 2 * table->cap : 8);
    table->pages[table->len++] = page;
}

void engine__table_clear(engine__table *table, engine__pages *pages)
{
    for (int32_t i = 0; i < table->len; i++)
        engine__pages_release(pages, table->pages[i]);
    table->len = 0;
}

void engine__table_free(engine__table *table)
{
    free(table->pages);
    memset(table, 0, sizeof *table);
}
