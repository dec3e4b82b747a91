/* grammar_mask.c: which tokens may come next: a trie of the vocabulary walked with the automaton.
 *
 * Tokens are bytes, and a token may end a string, a comma and half of the next key: nothing is
 * assumed about where tokens end. The tokens in the order of their bytes make a trie in preorder, so
 * that the walk is one loop that jumps over what lies below a byte that may not stand there. Its
 * result is kept for the state; within a long string that is one state, and states which differ only
 * in counts beyond a token's reach share theirs (engine__automaton_likeness).
 *
 * A mask is never empty before the value has ended: every byte that the value may need is a token by
 * itself, which is checked when the schema comes. Where tokens for parts of characters lack, strings
 * are held to ASCII and escapes. */
#include <stdlib.h>
#include <string.h>

#include "engine/grammar_internal.h"

static void *must_alloc(size_t count, size_t bytes)
{
    void *memory = calloc(count ? count : 1, bytes);
    if (!memory) slm_out_of_memory(count * bytes);
    return memory;
}

/* ---- the vocabulary ------------------------------------------------------------------------ */

static int by_bytes(const void *a, const void *b, void *context)
{
    const engine__vocabulary *v = context;
    slm_token x = *(const slm_token *)a, y = *(const slm_token *)b;
    size_t x_len = v->offset[x + 1] - v->offset[x], y_len = v->offset[y + 1] - v->offset[y];
    int order =
        memcmp(v->bytes + v->offset[x], v->bytes + v->offset[y], x_len < y_len ? x_len : y_len);
    if (order != 0) return order;
    if (x_len != y_len) return x_len < y_len ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* How many bytes of token `b` are those that `a` begins with. */
static size_t common_bytes(const engine__vocabulary *v, slm_token a, slm_token b)
{
    size_t a_len = v->offset[a + 1] - v->offset[a], b_len = v->offset[b + 1] - v->offset[b];
    size_t len = a_len < b_len ? a_len : b_len, i = 0;
    while (i < len && v->bytes[v->offset[a] + i] == v->bytes[v->offset[b] + i])
        i++;
    return i;
}

/* The nodes of `count` tokens in order. path[d]: the last node of depth d. */
static void build_trie(engine__vocabulary *v, uint32_t count)
{
    uint32_t *path = must_alloc(v->longest + 1, sizeof *path);
    size_t nodes = 0, open = 0;
    for (uint32_t i = 0; i < count; i++)
        nodes += v->offset[v->sorted[i] + 1] - v->offset[v->sorted[i]] -
                 (i > 0 ? common_bytes(v, v->sorted[i - 1], v->sorted[i]) : 0);
    v->byte = must_alloc(nodes, sizeof *v->byte);
    v->depth = must_alloc(nodes, sizeof *v->depth);
    v->skip = must_alloc(nodes, sizeof *v->skip);
    v->first = must_alloc(nodes + 1, sizeof *v->first);
    for (uint32_t i = 0; i < count; i++) {
        slm_token id = v->sorted[i];
        size_t len = v->offset[id + 1] - v->offset[id];
        size_t same = i > 0 ? common_bytes(v, v->sorted[i - 1], id) : 0;
        while (open > same)
            v->skip[path[--open]] = v->nodes;
        for (; open < len; open++) {
            v->byte[v->nodes] = (uint8_t)v->bytes[v->offset[id] + open];
            v->depth[v->nodes] = (uint16_t)open;
            v->first[v->nodes] = i;
            path[open] = v->nodes++;
        }
    }
    while (open > 0)
        v->skip[path[--open]] = v->nodes;
    v->first[v->nodes] = count;
    free(path);
}

void engine__vocabulary_init(engine__vocabulary *v, const slm_tokenizer *tokenizer, size_t rows)
{
    slm_buffer bytes = {0};
    uint32_t count = 0;
    memset(v, 0, sizeof *v);
    v->words = (rows + 31) / 32;
    v->count = (uint32_t)slm_tokenizer_size(tokenizer);
    v->offset = must_alloc((size_t)v->count + 1, sizeof *v->offset);
    v->sorted = must_alloc(v->count, sizeof *v->sorted);
    for (uint32_t id = 0; id < v->count; id++) {
        slm_tokenizer_decode(tokenizer, (slm_token)id, false, &bytes);
        v->offset[id + 1] = (uint32_t)bytes.len;
        size_t len = v->offset[id + 1] - v->offset[id];
        if (len == 0 || len > UINT16_MAX) continue;
        if (len > v->longest) v->longest = len;
        if (len == 1) v->single[(uint8_t)bytes.data[v->offset[id]]] = true;
        v->sorted[count++] = (slm_token)id;
    }
    v->bytes = slm_buffer_take(&bytes);
    qsort_r(v->sorted, count, sizeof *v->sorted, by_bytes, v);
    build_trie(v, count);
}

void engine__vocabulary_free(engine__vocabulary *v)
{
    free(v->bytes);
    free(v->offset);
    free(v->sorted);
    free(v->byte);
    free(v->depth);
    free(v->skip);
    free(v->first);
    memset(v, 0, sizeof *v);
}

/* ---- a grammar ----------------------------------------------------------------------------- */

static bool has_any(const engine__vocabulary *v, int low, int high)
{
    for (int byte = low; byte <= high; byte++)
        if (v->single[byte]) return true;
    return false;
}

/* Whatever state is reached, some token leads on. */
static slm_status check_vocabulary(const engine__vocabulary *v, engine__automaton *automaton,
                                   slm_error *err)
{
    const grammar_nodes *nodes = engine__automaton_nodes(automaton);
    for (int byte = 0; byte < 256; byte++)
        if (!v->single[byte] && ((byte >= ' ' && byte <= '~') || nodes->literal_bytes[byte]))
            return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                                 "the model's vocabulary has no token for the byte 0x%02X, which a "
                                 "reply held to this JSON schema may need",
                                 byte);
    if (!has_any(v, 0x80, 0x8f) || !has_any(v, 0x90, 0x9f) || !has_any(v, 0xa0, 0xbf))
        engine__automaton_ascii(automaton);
    return SLM_OK;
}

slm_status engine__grammar_new(const char *schema, const engine__vocabulary *vocabulary,
                               const slm_token *stops, size_t stop_count, engine__grammar **out,
                               slm_error *err)
{
    engine__automaton *automaton = NULL;
    SLM_TRY(engine__automaton_new(schema, vocabulary->longest, &automaton, err));
    slm_status status = check_vocabulary(vocabulary, automaton, err);
    if (status != SLM_OK) {
        engine__automaton_free(automaton);
        return status;
    }
    engine__grammar *g = must_alloc(1, sizeof *g);
    g->automaton = automaton;
    g->vocabulary = vocabulary;
    g->schema = strdup(schema);
    if (!g->schema) slm_out_of_memory(strlen(schema));
    g->stops = must_alloc(stop_count, sizeof *g->stops);
    for (size_t i = 0; i < stop_count; i++) /* one beyond the vocabulary is never sampled */
        if (stops[i] >= 0 && (size_t)stops[i] < 32 * vocabulary->words)
            g->stops[g->stop_count++] = stops[i];
    g->walk = must_alloc(vocabulary->longest + 1, sizeof *g->walk);
    *out = g;
    return SLM_OK;
}

static void free_masks(engine__grammar *g)
{
    for (uint32_t i = 0; i < g->mask_cap; i++)
        free(g->masks[i]);
    free(g->masks);
    g->masks = NULL;
    g->mask_cap = g->mask_count = 0;
}

void engine__grammar_free(engine__grammar *g)
{
    if (!g) return;
    free_masks(g);
    engine__automaton_free(g->automaton);
    free(g->schema);
    free(g->stops);
    free(g->walk);
    free(g);
}

engine__grammar_place engine__grammar_start(const engine__grammar *g)
{
    return (engine__grammar_place){GRAMMAR_START, g->epoch};
}

static void step_token(engine__grammar *g, engine__grammar_place *place, slm_token id)
{
    const engine__vocabulary *v = g->vocabulary;
    if (id < 0 || (uint32_t)id >= v->count) return;
    for (uint32_t i = v->offset[id]; i < v->offset[id + 1]; i++)
        place->state = engine__automaton_step(g->automaton, place->state, (uint8_t)v->bytes[i]);
}

/* Find a place again whose state was forgotten. */
static void find_place(engine__grammar *g, engine__grammar_place *place, const slm_token *ids,
                       size_t count)
{
    if (place->epoch == g->epoch) return;
    *place = engine__grammar_start(g);
    for (size_t i = 0; i < count; i++)
        step_token(g, place, ids[i]);
}

void engine__grammar_advance(engine__grammar *g, engine__grammar_place *place, const slm_token *ids,
                             size_t count)
{
    if (count == 0) return;
    find_place(g, place, ids, count - 1);
    step_token(g, place, ids[count - 1]);
}

bool engine__grammar_ended(engine__grammar *g, const engine__grammar_place *place)
{
    return place->epoch == g->epoch && engine__automaton_ended(g->automaton, place->state);
}

/* ---- masks --------------------------------------------------------------------------------- */

static void walk_trie(engine__grammar *g, uint32_t state, uint32_t *mask)
{
    const engine__vocabulary *v = g->vocabulary;
    uint32_t *walk = g->walk;
    walk[0] = state;
    for (uint32_t i = 0; i < v->nodes;) {
        size_t depth = v->depth[i];
        uint32_t to = engine__automaton_step(g->automaton, walk[depth], v->byte[i]);
        if (to == GRAMMAR_DEAD) {
            i = v->skip[i];
            continue;
        }
        walk[depth + 1] = to;
        for (uint32_t t = v->first[i]; t < v->first[i + 1]; t++)
            mask[v->sorted[t] / 32] |= 1u << v->sorted[t] % 32;
        i++;
    }
}

const uint32_t *engine__grammar_mask(engine__grammar *g, engine__grammar_place *place,
                                     const slm_token *ids, size_t count)
{
    find_place(g, place, ids, count);
    uint32_t state = engine__automaton_likeness(g->automaton, place->state);
    if (state >= g->mask_cap) {
        uint32_t cap = g->mask_cap ? g->mask_cap : 64;
        while (cap <= state)
            cap *= 2;
        g->masks = realloc(g->masks, cap * sizeof *g->masks);
        if (!g->masks) slm_out_of_memory(cap * sizeof *g->masks);
        memset(g->masks + g->mask_cap, 0, (cap - g->mask_cap) * sizeof *g->masks);
        g->mask_cap = cap;
    }
    if (g->masks[state]) return g->masks[state];
    uint32_t *mask = must_alloc(g->vocabulary->words, sizeof *mask);
    walk_trie(g, state, mask);
    bool complete = engine__automaton_complete(g->automaton, state);
    for (size_t i = 0; i < g->stop_count; i++) {
        uint32_t bit = 1u << g->stops[i] % 32, *word = &mask[g->stops[i] / 32];
        *word = complete ? *word | bit : *word & ~bit;
    }
    g->masks[state] = mask;
    g->mask_count++;
    return mask;
}

void engine__grammar_trim(engine__grammar *g, size_t bytes)
{
    size_t held = engine__automaton_bytes(g->automaton) +
                  g->mask_count * g->vocabulary->words * sizeof(uint32_t);
    if (held <= bytes) return;
    free_masks(g);
    engine__automaton_forget(g->automaton);
    g->epoch++;
}
