/* duplicates.c: texts that say the same in nearly the same words.
 *
 * Two texts are near duplicates if the sets of their word 5-grams have a Jaccard index of at least
 * a threshold. Comparing all pairs of n texts costs n^2; MinHash (Broder, "On the resemblance and
 * containment of documents", 1997) makes it nearly linear: of each of 126 hash functions the least
 * value over a text's 5-grams is kept, and two texts agree in one of them with a probability equal
 * to their Jaccard index s. The 126 are cut into 42 bands of 3 (Indyk and Motwani 1998): texts
 * that agree in a whole band become candidates, with probability 1 - (1 - s^3)^42: 0.996 at s = 0.5,
 * 0.04 at s = 0.1. Every candidate is verified by its true index, so what is told is exact and
 * only what is missed is left to chance, the same chance in every run.
 *
 * The check: what users wrote, the replies, and what the assistant said before. Within a family texts
 * are meant to be alike (twins are one scenario with and without its decisive fact), so there only
 * equal words of the user, or an equal reply, are a finding. */
#include <stdlib.h>
#include <string.h>
#include "data/inspect_internal.h"

enum {
    BANDS = 42,
    BAND_ROWS = 3,
    HASHES = BANDS * BAND_ROWS,
    GRAM_WORDS = 5,
    ASSISTANT_WORDS_MIN = 12,
    BUCKET_MAX =
        512, /* candidates that share a band: beyond it each is compared with the first ones */
};

void data__pairs_add(data__pairs *pairs, size_t a, size_t b, double score)
{
    if (pairs->count == pairs->cap) {
        pairs->cap = pairs->cap == 0 ? 256 : pairs->cap * 2;
        data__pair *items = realloc(pairs->items, pairs->cap * sizeof *items);
        if (items == NULL) slm_out_of_memory(pairs->cap * sizeof *items);
        pairs->items = items;
    }
    pairs->items[pairs->count++] = (data__pair){a, b, score};
}

static int by_members(const void *left, const void *right)
{
    const data__pair *x = left, *y = right;
    if (x->a != y->a) return x->a < y->a ? -1 : 1;
    return (x->b > y->b) - (x->b < y->b);
}

void data__pairs_sort(data__pairs *pairs)
{
    if (pairs->count > 1) qsort(pairs->items, pairs->count, sizeof *pairs->items, by_members);
}

void data__pairs_free(data__pairs *pairs)
{
    free(pairs->items);
    *pairs = (data__pairs){0};
}

typedef struct shingles {
    uint64_t *grams;
    size_t count;
} shingles;

typedef struct bucket_entry {
    uint64_t key;
    uint32_t text;
} bucket_entry;

static int by_key(const void *left, const void *right)
{
    const bucket_entry *x = left, *y = right;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->text > y->text) - (x->text < y->text);
}

static void sign(const shingles *s, uint64_t signature[HASHES])
{
    for (size_t h = 0; h < HASHES; h++) {
        uint64_t least = UINT64_MAX;
        for (size_t i = 0; i < s->count; i++) {
            uint64_t value = data__mix(s->grams[i], h + 1);
            if (value < least) least = value;
        }
        signature[h] = least;
    }
}

static double jaccard(const shingles *a, const shingles *b)
{
    size_t i = 0, j = 0, both = 0;
    while (i < a->count && j < b->count) {
        if (a->grams[i] == b->grams[j]) {
            both++;
            i++;
            j++;
        } else if (a->grams[i] < b->grams[j]) {
            i++;
        } else {
            j++;
        }
    }
    return (double)both / (double)(a->count + b->count - both);
}

/* The pairs that share a bucket, each once however many bands they share. */
static void candidates(bucket_entry *entries, size_t count, data__hash_table *seen,
                       const shingles *texts, double least, data__pairs *out)
{
    if (count > 1) qsort(entries, count, sizeof *entries, by_key);
    for (size_t begin = 0; begin < count;) {
        size_t end = begin + 1;
        while (end < count && entries[end].key == entries[begin].key)
            end++;
        for (size_t i = begin; i < end; i++) {
            size_t stop = i < begin + BUCKET_MAX ? i : begin + BUCKET_MAX;
            for (size_t j = begin; j < stop; j++) {
                uint32_t a = entries[j].text, b = entries[i].text;
                bool added;
                data__hash_table_put(seen, ((uint64_t)a << 32 | b) + 1, 0, &added);
                if (!added) continue;
                double score = jaccard(&texts[a], &texts[b]);
                if (score >= least) data__pairs_add(out, a, b, score);
            }
        }
        begin = end;
    }
}

void data__near_duplicates(const data__words *texts, size_t count, double least, data__pairs *out)
{
    slm_arena arena = {0};
    shingles *all = slm_arena_array(&arena, count, sizeof *all);
    uint64_t *signatures = malloc((count + 1) * HASHES * sizeof *signatures);
    bucket_entry *entries = malloc((count + 1) * sizeof *entries);
    if (signatures == NULL || entries == NULL)
        slm_out_of_memory(count * HASHES * sizeof *signatures);
    data__hash_table seen = {0};
    for (size_t i = 0; i < count; i++) {
        all[i].count = data__grams_of(&texts[i], GRAM_WORDS, &arena, &all[i].grams);
        sign(&all[i], signatures + i * HASHES);
    }
    for (size_t band = 0; band < BANDS; band++) {
        size_t n = 0;
        for (size_t i = 0; i < count; i++) {
            if (all[i].count == 0) continue;
            uint64_t key = band;
            for (size_t r = 0; r < BAND_ROWS; r++)
                key = data__mix(key, signatures[i * HASHES + band * BAND_ROWS + r]);
            entries[n++] = (bucket_entry){key, (uint32_t)i};
        }
        candidates(entries, n, &seen, all, least, out);
    }
    data__pairs_sort(out);
    data__hash_table_free(&seen);
    free(signatures);
    free(entries);
    slm_arena_free(&arena);
}

/* ---- the check ----------------------------------------------------------------------------- */

typedef struct counts {
    size_t exact, near, across;
} counts;

/* may_repeat: even the same words are in order within a family. */
static void look_at(data__inspection *in, const char *what, const data__words *texts,
                    bool may_repeat, counts *n)
{
    data__pairs pairs = {0};
    bool *copy = calloc(in->cases->count + 1, sizeof *copy); /* of many copies each is told once */
    if (copy == NULL) slm_out_of_memory(in->cases->count);
    data__near_duplicates(texts, in->cases->count, in->options->near, &pairs);
    for (size_t i = 0; i < pairs.count; i++) {
        size_t a = pairs.items[i].a, b = pairs.items[i].b;
        const slm_case *x = &in->cases->items[a], *y = &in->cases->items[b];
        bool same = texts[a].whole == texts[b].whole && texts[a].count == texts[b].count;
        if ((!same || may_repeat) && strcmp(x->family, y->family) == 0) continue;
        if (same && copy[a]) continue;
        copy[b] |= same;
        bool across = in->side[a] != in->side[b];
        n->exact += same;
        n->near += !same;
        n->across += across;
        data__find(in, "duplicates", same ? "exact" : "near", true, y->file, y->line,
                   "%s of %s %s %s:%zu (%s)%s; Jaccard %.2f over 5-grams", what, y->id,
                   same ? "has the same words as" : "is nearly", x->file, x->line, x->id,
                   across ? ", on another side" : "", pairs.items[i].score);
    }
    data__pairs_free(&pairs);
    free(copy);
}

/* A family stands on one side, or what was learned there is asked here. */
static size_t check_sides(data__inspection *in)
{
    data__set families = {0};
    size_t found = 0;
    for (size_t i = 0; i < in->cases->count; i++) {
        const slm_case *c = &in->cases->items[i];
        size_t first = data__set_put(&families, c->family, i);
        if (first == SIZE_MAX || in->side[first] == in->side[i]) continue;
        found++;
        data__find(in, "duplicates", "family", true, c->file, c->line,
                   "family %s stands in %s too (line %zu): a family belongs to one side", c->family,
                   in->cases->items[first].file, in->cases->items[first].line);
    }
    data__set_free(&families);
    return found;
}

/* The assistant's turns as one text; none where they are a few words of politeness. */
static data__words assistant_words(const slm_case *c, slm_arena *arena)
{
    slm_buffer text = {0};
    for (size_t t = 0; t < c->turn_count; t++)
        if (strcmp(c->turns[t].role, "assistant") == 0)
            slm_buffer_printf(&text, "%s\n", c->turns[t].content);
    data__words words = data__words_of(slm_buffer_text(&text), text.len, arena);
    slm_buffer_free(&text);
    return words.count >= ASSISTANT_WORDS_MIN ? words : (data__words){0};
}

void data__check_duplicates(data__inspection *in)
{
    slm_arena arena = {0};
    counts n = {0};
    size_t families = check_sides(in);
    look_at(in, "what the user wrote", in->words, false, &n);
    data__words *replies = slm_arena_array(&arena, in->cases->count, sizeof *replies);
    for (size_t i = 0; i < in->cases->count; i++) {
        const char *reply = in->cases->items[i].reply;
        if (reply == NULL) reply = in->cases->items[i].ideal;
        if (reply != NULL) replies[i] = data__words_of(reply, strlen(reply), &arena);
    }
    look_at(in, "the reply", replies, false, &n);
    data__words *said = slm_arena_array(&arena, in->cases->count, sizeof *said);
    for (size_t i = 0; i < in->cases->count; i++)
        said[i] = assistant_words(&in->cases->items[i], &arena);
    look_at(in, "what the assistant said before", said, true, &n);
    json_t *numbers =
        json_pack("{s:I,s:I,s:I,s:I,s:f}", "exact", (json_int_t)n.exact, "near", (json_int_t)n.near,
                  "across_sides", (json_int_t)n.across, "families_across_sides",
                  (json_int_t)families, "threshold", in->options->near);
    bool fails = n.exact + n.near + families > 0;
    data__result(
        in, "duplicates", fails ? SLM_DATA_FAIL : SLM_DATA_PASS, numbers, NULL,
        "%zu exact, %zu near (Jaccard from %.2f), %zu of them across sides; %zu families on "
        "two sides",
        n.exact, n.near, in->options->near, n.across, families);
    slm_arena_free(&arena);
}
