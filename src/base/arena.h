/* arena.h: memory with one lifetime (a process, a model, a step, a request).
 *
 * Allocations are carved from blocks and released together. No per-object free. Not thread-safe:
 * one owner at a time. A zero-initialised slm_arena is an empty arena ready for use. */
#ifndef SLM_BASE_ARENA_H
#define SLM_BASE_ARENA_H

#include <stddef.h>
#include "base/error.h"

typedef struct slm_arena_block slm_arena_block;

typedef struct slm_arena {
    slm_arena_block *head; /* newest block */
    size_t block_bytes;    /* size of new blocks; 0 means 64 KiB */
    size_t used_bytes;     /* handed out since init or reset */
} slm_arena;

/* `bytes` of zeroed memory aligned to 16. Never NULL (see error.h); bytes 0 gives a valid pointer. */
void *slm_arena_alloc(slm_arena *arena, size_t bytes);
/* As above with `align`, a power of two up to 4096. */
void *slm_arena_alloc_aligned(slm_arena *arena, size_t bytes, size_t align);
/* Zeroed array; a product that overflows ends in slm_out_of_memory. */
void *slm_arena_array(slm_arena *arena, size_t count, size_t item_bytes);
/* `items` where there is room behind `count` of them; else a copy with twice the room, at least 16,
 * and *cap is that. What was before stays until the arena goes. */
void *slm_arena_grow(slm_arena *arena, void *items, size_t count, size_t *cap, size_t item_bytes);
/* NUL-terminated copies. slm_arena_strndup copies exactly len bytes. NULL in gives NULL. */
char *slm_arena_strdup(slm_arena *arena, const char *text);
char *slm_arena_strndup(slm_arena *arena, const char *text, size_t len);
char *slm_arena_printf(slm_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Forget all allocations but keep the largest block for reuse. */
void slm_arena_reset(slm_arena *arena);
/* Release everything; the arena is empty and usable again. NULL is allowed. */
void slm_arena_free(slm_arena *arena);

#endif
