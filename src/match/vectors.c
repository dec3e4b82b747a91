/* vectors.c: sentences -> vectors, each asked for once.
 *
 * An evaluation grades thousands of answers, a search for fixed replies joins the same sentences over
 * and over: vectors are kept by the hash of their text. The memory is bounded by two generations: what
 * is asked for goes into the young one; when that is full the old one is dropped and the young one
 * grows old; what is found in the old one is copied back into the young one. So what is used stays,
 * and no order of use has to be kept.
 *
 * What is missing goes to the encoder in one batch, each text once. A vector depends on its text alone
 * (the encoder's promise), so the cache never changes a result. One lock: threads may share it. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "match/match_internal.h"

enum { GENERATION_BYTES = 16 << 20, ROWS_MIN = 64, BATCH_MAX = 1024 };

typedef struct generation {
    uint32_t *slots; /* hash of the text -> row + 1 */
    char (*keys)[SLM_SHA256_HEX_BYTES];
    float *rows;
    size_t count;
} generation;

struct match__vectors {
    slm_embed *embed;
    pthread_mutex_t lock;
    generation young, old;
    size_t cap, slot_count;
};

static void generation_new(const match__vectors *v, generation *g)
{
    g->slots = calloc(v->slot_count, sizeof *g->slots);
    g->keys = calloc(v->cap, sizeof *g->keys);
    g->rows = calloc(v->cap * v->embed->dimensions, sizeof *g->rows);
    g->count = 0;
    if (g->slots == NULL || g->keys == NULL || g->rows == NULL) slm_out_of_memory(GENERATION_BYTES);
}

static void generation_free(generation *g)
{
    free(g->slots);
    free(g->keys);
    free(g->rows);
}

match__vectors *match__vectors_new(slm_embed *embed)
{
    match__vectors *v = calloc(1, sizeof *v);
    if (v == NULL) slm_out_of_memory(sizeof *v);
    SLM_ASSERT(embed->dimensions > 0);
    v->embed = embed;
    v->cap = GENERATION_BYTES / (embed->dimensions * sizeof(float));
    if (v->cap < ROWS_MIN) v->cap = ROWS_MIN;
    v->slot_count = 64;
    while (v->slot_count < 2 * v->cap)
        v->slot_count *= 2;
    pthread_mutex_init(&v->lock, NULL);
    generation_new(v, &v->young);
    generation_new(v, &v->old);
    return v;
}

void match__vectors_free(match__vectors *v)
{
    if (v == NULL) return;
    generation_free(&v->young);
    generation_free(&v->old);
    pthread_mutex_destroy(&v->lock);
    slm_embed_free(v->embed);
    free(v);
}

const slm_embed *match__vectors_embed(const match__vectors *v)
{
    return v->embed;
}

/* The slot of the key: its own, or the free one where it would go. */
static size_t slot_of(const match__vectors *v, const generation *g, const char *key)
{
    size_t slot = (size_t)slm_hash_bytes(key, SLM_SHA256_HEX_BYTES - 1) & (v->slot_count - 1);
    while (g->slots[slot] != 0 && strcmp(g->keys[g->slots[slot] - 1], key) != 0)
        slot = (slot + 1) & (v->slot_count - 1);
    return slot;
}

static void put(match__vectors *v, const char *key, const float *row)
{
    size_t dimensions = v->embed->dimensions;
    if (v->young.count == v->cap) {
        generation dropped = v->old;
        v->old = v->young;
        v->young = dropped;
        memset(v->young.slots, 0, v->slot_count * sizeof *v->young.slots);
        v->young.count = 0;
    }
    size_t slot = slot_of(v, &v->young, key);
    if (v->young.slots[slot] != 0) return;
    size_t at = v->young.count++;
    v->young.slots[slot] = (uint32_t)at + 1;
    memcpy(v->young.keys[at], key, SLM_SHA256_HEX_BYTES);
    memcpy(v->young.rows + at * dimensions, row, dimensions * sizeof *row);
}

static bool get(match__vectors *v, const char *key, float *out)
{
    size_t dimensions = v->embed->dimensions;
    const generation *g = &v->young;
    size_t slot = slot_of(v, g, key);
    bool is_old = g->slots[slot] == 0;
    if (is_old) {
        g = &v->old;
        slot = slot_of(v, g, key);
    }
    if (g->slots[slot] == 0) return false;
    memcpy(out, g->rows + (g->slots[slot] - 1) * dimensions, dimensions * sizeof *out);
    if (is_old) put(v, key, out);
    return true;
}

/* Those of `texts` that are not known, asked for together. */
static slm_status fill(match__vectors *v, const char *const *texts,
                       char (*keys)[SLM_SHA256_HEX_BYTES], size_t count, float *out, slm_error *err)
{
    size_t dimensions = v->embed->dimensions, missing = 0;
    const char **asked = calloc(count, sizeof *asked);
    size_t *row_of = calloc(count, sizeof *row_of); /* asked row + 1; 0: known */
    float *rows = NULL;
    slm_status status = SLM_OK;
    if (asked == NULL || row_of == NULL) slm_out_of_memory(count * sizeof *asked);
    for (size_t i = 0; i < count; i++) {
        if (get(v, keys[i], out + i * dimensions)) continue;
        for (size_t j = 0; j < i && row_of[i] == 0; j++)
            if (row_of[j] != 0 && strcmp(keys[j], keys[i]) == 0) row_of[i] = row_of[j];
        if (row_of[i] != 0) continue;
        asked[missing++] = texts[i];
        row_of[i] = missing;
    }
    if (missing > 0) {
        rows = calloc(missing * dimensions, sizeof *rows);
        if (rows == NULL) slm_out_of_memory(missing * dimensions * sizeof *rows);
        SLM_TRY_OUT(slm_embed_run(v->embed, asked, missing, rows, err));
    }
    for (size_t i = 0; i < count; i++) {
        if (row_of[i] == 0) continue;
        const float *row = rows + (row_of[i] - 1) * dimensions;
        memcpy(out + i * dimensions, row, dimensions * sizeof *out);
        put(v, keys[i], row);
    }
out:
    free(asked);
    free(row_of);
    free(rows);
    return status;
}

slm_status match__vectors_get(match__vectors *v, const char *const *texts, size_t count, float *out,
                              slm_error *err)
{
    slm_status status = SLM_OK;
    char(*keys)[SLM_SHA256_HEX_BYTES] = calloc(count + 1, sizeof *keys);
    if (keys == NULL) slm_out_of_memory(count * sizeof *keys);
    for (size_t i = 0; i < count; i++)
        slm_sha256_hex(texts[i], strlen(texts[i]), keys[i]);
    pthread_mutex_lock(&v->lock);
    for (size_t at = 0; at < count && status == SLM_OK; at += BATCH_MAX) {
        size_t n = count - at < BATCH_MAX ? count - at : BATCH_MAX;
        status = fill(v, texts + at, keys + at, n, out + at * v->embed->dimensions, err);
    }
    pthread_mutex_unlock(&v->lock);
    free(keys);
    return status;
}
