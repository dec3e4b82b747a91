/* bpe.c: a piece of text -> ids, by merging pairs in the order of their rank.
 *
 * Byte-pair encoding (Sennrich, Haddow and Birch 2016, algorithm 1; over bytes as in Radford et al.
 * 2019): begin with one symbol for each byte or character, and as long as neighbours have a merge,
 * join the pair of the lowest rank, the leftmost first. Three ways to the same ids:
 *
 *  - The piece is a token whose own merges give it whole (known since loading): one look-up. Most
 *    words of running text.
 *  - A short piece: its symbols and the ranks of its pairs in arrays on the stack, each step a scan.
 *  - A long one: symbols in a linked list, pairs in a heap ordered by rank, then place: O(n log n).
 *    A heap entry is rank << 32 | place and nothing else. When a merge changes a pair its old entry
 *    stays behind, and is dropped on its way out because the pair found there has another rank (two
 *    pairs never share one). The heap has eight children a node: a node's children are one cache
 *    line, and a heap of ten million is eight levels deep.
 *
 * A character that is no token gives the tokens of its bytes if all of them are there, else the
 * unknown token if there is one, else no symbol (SmolLM2's vocabulary lacks 21 bytes, which no or
 * hardly any text holds); its neighbours then stand side by side, as in the peers. */
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "text/text_internal.h"

enum { SHORT_PIECE = 48, CHILDREN = 8, LINE = 64 };

const text_merge *slm_text__find_merge(const slm_tokenizer *t, slm_token left, slm_token right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (uint32_t slot = (uint32_t)slm_text__mix(pair) & t->merge_mask;;
         slot = (slot + 1) & t->merge_mask) {
        const text_merge *merge = &t->merges[slot];
        if (merge->pair == pair) return merge;
        if (merge->pair == UINT64_MAX) return NULL;
    }
}

static uint32_t rank_of(const slm_tokenizer *t, slm_token left, slm_token right)
{
    const text_merge *merge = slm_text__find_merge(t, left, right);
    return merge ? merge->rank : TEXT_NO_RANK;
}

/* ---- short pieces -------------------------------------------------------------------------- */

/* Merge ids[0..n), n at most SHORT_PIECE, in place. */
static void merge_short(const slm_tokenizer *t, slm_token *ids, size_t n, slm_tokens *out)
{
    uint32_t ranks[SHORT_PIECE]; /* of the pair (i, i + 1) */
    for (size_t i = 0; i + 1 < n; i++)
        ranks[i] = rank_of(t, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) {
            if (ranks[i] < ranks[best]) best = i;
        }
        if (ranks[best] == TEXT_NO_RANK) break;
        ids[best] = slm_text__find_merge(t, ids[best], ids[best + 1])->id;
        n--;
        memmove(&ids[best + 1], &ids[best + 2], (n - best - 1) * sizeof(ids[0]));
        memmove(&ranks[best], &ranks[best + 1], (n - best - 1) * sizeof(ranks[0]));
        if (best > 0) ranks[best - 1] = rank_of(t, ids[best - 1], ids[best]);
        if (best + 1 < n) ranks[best] = rank_of(t, ids[best], ids[best + 1]);
    }
    for (size_t i = 0; i < n; i++)
        slm_tokens_append(out, ids[i]);
}

/* ---- long pieces --------------------------------------------------------------------------- */

/* Index 0 is the root, the children of i are 8i + 1 .. 8i + 8, and heap + 1 lies on a line's start. */
static void sift_down(uint64_t *heap, size_t count, size_t at)
{
    uint64_t value = heap[at];
    for (;;) {
        size_t child = CHILDREN * at + 1;
        if (child >= count) break;
        size_t end = child + CHILDREN < count ? child + CHILDREN : count;
        size_t least = child;
        for (size_t i = child + 1; i < end; i++) {
            if (heap[i] < heap[least]) least = i;
        }
        if (heap[least] >= value) break;
        heap[at] = heap[least];
        at = least;
    }
    heap[at] = value;
}

static void sift_up(uint64_t *heap, size_t at)
{
    uint64_t value = heap[at];
    while (at > 0) {
        size_t parent = (at - 1) / CHILDREN;
        if (heap[parent] <= value) break;
        heap[at] = heap[parent];
        at = parent;
    }
    heap[at] = value;
}

void slm_text__heap_order(uint64_t *heap, size_t count)
{
    for (size_t i = count / CHILDREN + 1; i-- > 0;) {
        if (i < count) sift_down(heap, count, i);
    }
}

void slm_text__heap_push(uint64_t *heap, size_t *count, uint64_t value)
{
    heap[*count] = value;
    sift_up(heap, (*count)++);
}

uint64_t slm_text__heap_pop(uint64_t *heap, size_t *count)
{
    uint64_t top = heap[0];
    heap[0] = heap[--*count];
    if (*count > 0) sift_down(heap, *count, 0);
    return top;
}

/* Room for n symbols and for a heap of 2n: each of fewer than n merges takes one entry out and puts
 * at most two in, on top of fewer than n at the start. */
slm_status slm_text__reserve(text_work *work, size_t n, slm_error *err)
{
    if (n > UINT32_MAX / 4)
        return slm_error_set(err, SLM_ERR_LIMIT,
                             "a single word of %zu bytes is too long to tokenise; is this text?",
                             n);
    if (work->symbol_cap >= n) return SLM_OK;
    free(work->symbols);
    free(work->heap_memory);
    work->symbols = NULL;
    work->heap_memory = NULL;
    work->symbol_cap = 0;
    size_t cap = n < 1024 ? 1024 : n;
    size_t heap_bytes = (2 * cap + LINE / sizeof(uint64_t)) * sizeof(uint64_t);
    work->symbols = malloc(cap * sizeof(*work->symbols));
    work->heap_memory = aligned_alloc(LINE, (heap_bytes + LINE - 1) / LINE * LINE);
    if (work->symbols == NULL || work->heap_memory == NULL)
        return slm_error_set(err, SLM_ERR_MEMORY,
                             "no memory to tokenise a single word of %zu bytes; is this text?", n);
    work->heap = work->heap_memory + LINE / sizeof(uint64_t) - 1; /* so that heap + 1 is aligned */
    work->symbol_cap = cap;
    return SLM_OK;
}

static void push_pair(const slm_tokenizer *t, const text_symbol *symbols, uint64_t *heap,
                      size_t *count, uint32_t at)
{
    uint32_t rank = rank_of(t, symbols[at].id, symbols[symbols[at].next].id);
    if (rank != TEXT_NO_RANK) slm_text__heap_push(heap, count, (uint64_t)rank << 32 | at);
}

static slm_status merge_long(text_work *work, const slm_token *ids, size_t n, slm_tokens *out,
                             slm_error *err)
{
    const slm_tokenizer *t = work->tokenizer;
    SLM_TRY(slm_text__reserve(work, n, err));
    text_symbol *symbols = work->symbols;
    uint64_t *heap = work->heap;
    size_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        symbols[i] = (text_symbol){.id = ids[i], .previous = i - 1, .next = i + 1};
        uint32_t rank = i + 1 < n ? rank_of(t, ids[i], ids[i + 1]) : TEXT_NO_RANK;
        if (rank != TEXT_NO_RANK) heap[count++] = (uint64_t)rank << 32 | i;
    }
    symbols[0].previous = TEXT_NO_SYMBOL;
    symbols[n - 1].next = TEXT_NO_SYMBOL;
    slm_text__heap_order(heap, count);
    while (count > 0) {
        uint64_t top = slm_text__heap_pop(heap, &count);
        uint32_t at = (uint32_t)top;
        text_symbol *left = &symbols[at];
        if (left->id < 0 || left->next == TEXT_NO_SYMBOL) continue;
        text_symbol *right = &symbols[left->next];
        const text_merge *merge = slm_text__find_merge(t, left->id, right->id);
        if (merge == NULL || merge->rank != (uint32_t)(top >> 32)) continue;
        left->id = merge->id;
        left->next = right->next;
        right->id = TEXT_MERGED;
        if (left->next != TEXT_NO_SYMBOL) {
            symbols[left->next].previous = at;
            push_pair(t, symbols, heap, &count, at);
        }
        if (left->previous != TEXT_NO_SYMBOL) push_pair(t, symbols, heap, &count, left->previous);
    }
    for (uint32_t i = 0; i != TEXT_NO_SYMBOL; i = symbols[i].next)
        slm_tokens_append(out, symbols[i].id);
    return SLM_OK;
}

/* ---- pieces -------------------------------------------------------------------------------- */

void slm_text__append_unknown(const slm_tokenizer *t, const char *text, size_t len, bool *unknown,
                              slm_tokens *out)
{
    bool bytes = true;
    for (size_t i = 0; i < len; i++)
        bytes = bytes && t->byte_ids[(uint8_t)text[i]] >= 0;
    if (bytes) {
        for (size_t i = 0; i < len; i++)
            slm_tokens_append(out, t->byte_ids[(uint8_t)text[i]]);
        *unknown = false;
    } else if (t->unknown >= 0 && !(*unknown && t->fuse_unknown)) {
        slm_tokens_append(out, t->unknown);
        *unknown = true;
    }
}

/* The symbols that merging begins with. */
static void place_symbols(const slm_tokenizer *t, const char *piece, size_t len, slm_tokens *out)
{
    bool unknown = false;
    for (size_t at = 0; at < len;) {
        uint32_t cp;
        size_t step = t->model == TEXT_MODEL_BYTES ? 1 : slm_utf8_decode(piece + at, len - at, &cp);
        slm_token id = t->model == TEXT_MODEL_BYTES ? t->byte_ids[(uint8_t)piece[at]]
                                                    : slm_text__find_piece(t, piece + at, step);
        if (id >= 0) {
            slm_tokens_append(out, id);
            unknown = false;
        } else {
            slm_text__append_unknown(t, piece + at, step, &unknown, out);
        }
        at += step;
    }
}

static slm_status merge_placed(text_work *work, const char *piece, size_t len, slm_tokens *out,
                               slm_error *err)
{
    if (len > UINT32_MAX / 4)
        return slm_text__reserve(work, len, err); /* says that it is too long */
    slm_tokens *placed = &work->placed;
    placed->len = 0;
    place_symbols(work->tokenizer, piece, len, placed);
    if (placed->len > SHORT_PIECE) return merge_long(work, placed->ids, placed->len, out, err);
    merge_short(work->tokenizer, placed->ids, placed->len, out);
    return SLM_OK;
}

slm_status slm_text__merge_piece(text_work *work, const char *piece, size_t len, slm_tokens *out,
                                 slm_error *err)
{
    const slm_tokenizer *t = work->tokenizer;
    if (t->model == TEXT_MODEL_SCORES) return slm_text__merge_scores(work, piece, len, out, err);
    if (t->model == TEXT_MODEL_CHARS || len > SHORT_PIECE || t->unknown >= 0)
        return merge_placed(work, piece, len, out, err);
    slm_token ids[SHORT_PIECE];
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        ids[n] = t->byte_ids[(uint8_t)piece[i]];
        n += ids[n] >= 0;
    }
    merge_short(t, ids, n, out);
    return SLM_OK;
}

slm_status slm_text__encode_piece(text_work *work, const char *piece, size_t len, slm_tokens *out,
                                  slm_error *err)
{
    const slm_tokenizer *t = work->tokenizer;
    if (t->model == TEXT_MODEL_WORDS) {
        slm_text__encode_word(t, piece, len, out);
        return SLM_OK;
    }
    slm_token id = slm_text__find_piece(t, piece, len);
    if (id >= 0 && t->entries[id].whole) {
        slm_tokens_append(out, id);
        return SLM_OK;
    }
    return slm_text__merge_piece(work, piece, len, out, err);
}

void slm_text__work_begin(text_work *work, const slm_tokenizer *tokenizer)
{
    *work = (text_work){.tokenizer = tokenizer};
    work->match = pcre2_match_data_create(1, NULL);
    if (work->match == NULL) slm_out_of_memory(sizeof(void *));
}

void slm_text__work_free(text_work *work)
{
    pcre2_match_data_free(work->match);
    free(work->symbols);
    free(work->heap_memory);
    slm_tokens_free(&work->placed);
    for (size_t i = 0; i < 2; i++)
        slm_buffer_free(&work->normal[i]);
    for (size_t i = 0; i < TEXT_MAX_RULES; i++)
        slm_buffer_free(&work->changed[i]);
}
