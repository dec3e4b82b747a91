/* scores.c: a text -> ids by SentencePiece's scores, as its BPE models are run.
 *
 * Begin with one symbol for each character. As long as two neighbours spell a token together, join
 * the pair whose token has the highest score, the leftmost first (Kudo and Richardson 2018, section
 * 3; the same order as llama.cpp's). What is no token in the end becomes byte tokens, or the unknown
 * token. Only tokens of text are ever made: a user who writes <s> writes three characters.
 *
 * Scores are turned into ranks at loading (equal scores, equal rank), so that the heap of bpe.c
 * serves here too: rank << 32 | place. An entry whose pair has changed is dropped on its way out, or
 * stands for a pair of the same rank at the same place and then is as good. */
#include <stdlib.h>
#include "base/utf8.h"
#include "text/text_internal.h"

typedef struct scored {
    float score;
    slm_token id;
} scored;

static int compare_scores(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

void slm_text__rank_scores(slm_tokenizer *t, const float *scores)
{
    scored *order = malloc(t->count * sizeof(*order));
    if (order == NULL) slm_out_of_memory(t->count * sizeof(*order));
    for (size_t i = 0; i < t->count; i++)
        order[i] = (scored){.score = scores[i], .id = (slm_token)i};
    qsort(order, t->count, sizeof(*order), compare_scores);
    t->ranks = slm_arena_array(&t->arena, t->count, sizeof(*t->ranks));
    uint32_t rank = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (i > 0 && order[i].score != order[i - 1].score) rank++;
        t->ranks[order[i].id] = rank;
    }
    free(order);
}

/* The token that symbols[at] and the next spell together; TEXT_NO_TOKEN: none. */
static slm_token joined(const slm_tokenizer *t, const text_symbol *symbols, const char *piece,
                        size_t len, uint32_t at)
{
    const text_symbol *right = &symbols[symbols[at].next];
    size_t end = right->next == TEXT_NO_SYMBOL ? len : symbols[right->next].begin;
    return slm_text__find_piece(t, piece + symbols[at].begin, end - symbols[at].begin);
}

static void push_pair(const slm_tokenizer *t, text_work *work, const char *piece, size_t len,
                      size_t *count, uint32_t at)
{
    slm_token id = joined(t, work->symbols, piece, len, at);
    if (id >= 0) slm_text__heap_push(work->heap, count, (uint64_t)t->ranks[id] << 32 | at);
}

static uint32_t place(const slm_tokenizer *t, text_symbol *symbols, const char *piece, size_t len)
{
    uint32_t n = 0;
    for (size_t at = 0; at < len;) {
        uint32_t cp;
        size_t step = slm_utf8_decode(piece + at, len - at, &cp);
        symbols[n] = (text_symbol){.id = slm_text__find_piece(t, piece + at, step),
                                   .previous = n - 1,
                                   .next = n + 1,
                                   .begin = (uint32_t)at};
        n++;
        at += step;
    }
    symbols[0].previous = TEXT_NO_SYMBOL;
    symbols[n - 1].next = TEXT_NO_SYMBOL;
    return n;
}

slm_status slm_text__merge_scores(text_work *work, const char *piece, size_t len, slm_tokens *out,
                                  slm_error *err)
{
    const slm_tokenizer *t = work->tokenizer;
    if (len == 0) return SLM_OK;
    SLM_TRY(slm_text__reserve(work, len, err));
    text_symbol *symbols = work->symbols;
    uint32_t n = place(t, symbols, piece, len);
    size_t count = 0;
    for (uint32_t i = 0; i + 1 < n; i++)
        push_pair(t, work, piece, len, &count, i);
    while (count > 0) {
        uint64_t top = slm_text__heap_pop(work->heap, &count);
        uint32_t at = (uint32_t)top;
        text_symbol *left = &symbols[at];
        if (left->id == TEXT_MERGED || left->next == TEXT_NO_SYMBOL) continue;
        slm_token id = joined(t, symbols, piece, len, at);
        if (id < 0 || t->ranks[id] != (uint32_t)(top >> 32)) continue;
        text_symbol *right = &symbols[left->next];
        left->id = id;
        left->next = right->next;
        right->id = TEXT_MERGED;
        if (left->next != TEXT_NO_SYMBOL) {
            symbols[left->next].previous = at;
            push_pair(t, work, piece, len, &count, at);
        }
        if (left->previous != TEXT_NO_SYMBOL)
            push_pair(t, work, piece, len, &count, left->previous);
    }
    bool unknown = false;
    for (uint32_t i = 0; i != TEXT_NO_SYMBOL; i = symbols[i].next) {
        size_t end = symbols[i].next == TEXT_NO_SYMBOL ? len : symbols[symbols[i].next].begin;
        if (symbols[i].id >= 0) {
            slm_tokens_append(out, symbols[i].id);
            unknown = false;
        } else {
            slm_text__append_unknown(t, piece + symbols[i].begin, end - symbols[i].begin, &unknown,
                                     out);
        }
    }
    return SLM_OK;
}
