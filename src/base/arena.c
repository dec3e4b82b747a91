/* arena.c: blocks in a singly linked list, newest first; an allocation moves a mark in the newest.
 *
 * Memory is handed out zeroed. Fresh blocks come from calloc, which gets zeroed pages from the
 * operating system for nothing; only what an earlier life of the block (before a reset) has written
 * is cleared again. An allocation that is larger than a block gets a block of its own size. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_BLOCK_BYTES = 64 * 1024, DEFAULT_ALIGN = 16, MAX_ALIGN = 4096 };

struct slm_arena_block {
    slm_arena_block *next; /* older */
    size_t capacity;       /* bytes of data */
    size_t used;           /* handed out, padding included */
    size_t dirty;          /* bytes from the start that may not be zero */
    alignas(16) unsigned char data[];
};

static slm_arena_block *block_new(size_t capacity)
{
    if (capacity > SIZE_MAX - sizeof(slm_arena_block)) slm_out_of_memory(capacity);
    slm_arena_block *block = calloc(1, sizeof *block + capacity);
    if (block == NULL) slm_out_of_memory(capacity);
    block->capacity = capacity;
    return block;
}

/* Bytes from block->data + block->used to the next multiple of align. */
static size_t padding(const slm_arena_block *block, size_t align)
{
    uintptr_t mark = (uintptr_t)(block->data + block->used);
    return (size_t)(-mark & (uintptr_t)(align - 1));
}

static bool fits(const slm_arena_block *block, size_t bytes, size_t align)
{
    size_t pad = padding(block, align);
    size_t left = block->capacity - block->used;
    return pad <= left && bytes <= left - pad;
}

void *slm_arena_alloc_aligned(slm_arena *arena, size_t bytes, size_t align)
{
    SLM_ASSERT(align > 0 && align <= MAX_ALIGN && (align & (align - 1)) == 0);
    slm_arena_block *block = arena->head;
    if (block == NULL || !fits(block, bytes, align)) {
        size_t capacity = arena->block_bytes ? arena->block_bytes : DEFAULT_BLOCK_BYTES;
        if (bytes > SIZE_MAX - MAX_ALIGN) slm_out_of_memory(bytes);
        size_t need = bytes + align;
        block = block_new(need > capacity ? need : capacity);
        block->next = arena->head;
        arena->head = block;
    }
    block->used += padding(block, align);
    unsigned char *memory = block->data + block->used;
    if (block->used < block->dirty) {
        size_t stale = block->dirty - block->used;
        memset(memory, 0, stale < bytes ? stale : bytes);
    }
    block->used += bytes;
    if (block->used > block->dirty) block->dirty = block->used;
    arena->used_bytes += bytes;
    return memory;
}

void *slm_arena_alloc(slm_arena *arena, size_t bytes)
{
    return slm_arena_alloc_aligned(arena, bytes, DEFAULT_ALIGN);
}

void *slm_arena_array(slm_arena *arena, size_t count, size_t item_bytes)
{
    if (item_bytes != 0 && count > SIZE_MAX / item_bytes) slm_out_of_memory(SIZE_MAX);
    return slm_arena_alloc(arena, count * item_bytes);
}

void *slm_arena_grow(slm_arena *arena, void *items, size_t count, size_t *cap, size_t item_bytes)
{
    if (count < *cap) return items;
    *cap = *cap > 0 ? 2 * *cap : 16;
    void *grown = slm_arena_array(arena, *cap, item_bytes);
    if (count > 0) memcpy(grown, items, count * item_bytes);
    return grown;
}

char *slm_arena_strndup(slm_arena *arena, const char *text, size_t len)
{
    if (text == NULL) return NULL;
    if (len == SIZE_MAX) slm_out_of_memory(len);
    char *copy = slm_arena_alloc_aligned(arena, len + 1, 1);
    memcpy(copy, text, len);
    return copy;
}

char *slm_arena_strdup(slm_arena *arena, const char *text)
{
    return text == NULL ? NULL : slm_arena_strndup(arena, text, strlen(text));
}

char *slm_arena_printf(slm_arena *arena, const char *format, ...)
{
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    SLM_ASSERT(len >= 0);
    char *text = slm_arena_alloc_aligned(arena, (size_t)len + 1, 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

void slm_arena_reset(slm_arena *arena)
{
    slm_arena_block *largest = arena->head;
    for (slm_arena_block *block = arena->head; block != NULL; block = block->next) {
        if (block->capacity > largest->capacity) largest = block;
    }
    for (slm_arena_block *block = arena->head, *next; block != NULL; block = next) {
        next = block->next;
        if (block != largest) free(block);
    }
    if (largest != NULL) {
        largest->next = NULL;
        largest->used = 0;
    }
    arena->head = largest;
    arena->used_bytes = 0;
}

void slm_arena_free(slm_arena *arena)
{
    if (arena == NULL) return;
    for (slm_arena_block *block = arena->head, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    arena->head = NULL;
    arena->used_bytes = 0;
}
