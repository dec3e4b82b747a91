/* likeness.c: texts that are about the same thing, in whatever words.
 *
 * Between the sides of a split (training, development, test) a near copy is a fault, which
 * duplicates.c finds; two texts on the same matter are a question, which a reader answers: pairs with
 * a cosine from 0.65 on are listed for reading, and fail nothing. The cosine is that of sentence
 * vectors where an encoder is given (provider/embed.h), else of TF-IDF over words, with weight
 * (1 + log tf) * log(1 + N / df).
 *
 * All pairs above a threshold t without n^2 products: the words of a text are taken from the
 * heaviest; as soon as what is left of its vector is shorter than t, a text that shares only those
 * words cannot reach t (Cauchy and Schwarz), so only the words before that lead to candidates
 * (prefix filtering; Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", WWW 2007).
 * Heavy words are rare words, so their lists are short. The result is exact. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "data/inspect_internal.h"
#include "provider/embed.h"

typedef struct term {
    uint32_t word; /* index into the vocabulary */
    float weight;
} term;

typedef struct vector {
    term *terms; /* heaviest first; ties by word */
    size_t count;
} vector;

typedef struct corpus {
    slm_arena arena;
    data__hash_table vocabulary;
    uint32_t *frequency; /* texts that have the word */
    size_t frequency_cap;
    double texts;
} corpus;

static int by_hash(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The words of a text, each once, with how often it stands there as weight for now. */
static vector count_words(corpus *c, const data__words *words)
{
    vector v = {.terms = slm_arena_array(&c->arena, words->count, sizeof(term))};
    uint64_t *sorted = slm_arena_array(&c->arena, words->count, sizeof *sorted);
    if (words->count > 0) memcpy(sorted, words->hashes, words->count * sizeof *sorted);
    if (words->count > 1) qsort(sorted, words->count, sizeof *sorted, by_hash);
    for (size_t i = 0; i < words->count; i++) {
        if (i > 0 && sorted[i] == sorted[i - 1]) {
            v.terms[v.count - 1].weight += 1;
            continue;
        }
        uint32_t word =
            *data__hash_table_put(&c->vocabulary, sorted[i], (uint32_t)c->vocabulary.count, NULL);
        if (word >= c->frequency_cap) {
            size_t cap = c->frequency_cap == 0 ? 4096 : c->frequency_cap * 2;
            uint32_t *grown = realloc(c->frequency, cap * sizeof *grown);
            if (grown == NULL) slm_out_of_memory(cap * sizeof *grown);
            memset(grown + c->frequency_cap, 0, (cap - c->frequency_cap) * sizeof *grown);
            c->frequency = grown;
            c->frequency_cap = cap;
        }
        c->frequency[word]++;
        v.terms[v.count++] = (term){word, 1};
    }
    c->texts += 1;
    return v;
}

static int by_weight(const void *a, const void *b)
{
    const term *x = a, *y = b;
    if (x->weight > y->weight) return -1;
    if (x->weight < y->weight) return 1;
    return (x->word > y->word) - (x->word < y->word);
}

static void weigh(const corpus *c, vector *v)
{
    double square = 0;
    for (size_t i = 0; i < v->count; i++) {
        double weight = (1 + log((double)v->terms[i].weight)) *
                        log(1 + c->texts / c->frequency[v->terms[i].word]);
        v->terms[i].weight = (float)weight;
        square += weight * weight;
    }
    for (size_t i = 0; i < v->count; i++)
        v->terms[i].weight = (float)((double)v->terms[i].weight / sqrt(square));
    if (v->count > 1) qsort(v->terms, v->count, sizeof *v->terms, by_weight);
}

/* How many of the heaviest terms leave a rest that is shorter than `least`. */
static size_t prefix_of(const vector *v, double least)
{
    double rest = 0;
    size_t keep = v->count;
    while (keep > 0) {
        double weight = (double)v->terms[keep - 1].weight;
        if (sqrt(rest + weight * weight) >= least * (1 - 1e-5)) break;
        rest += weight * weight;
        keep--;
    }
    return keep;
}

typedef struct posting_lists {
    uint32_t **texts; /* of each word */
    uint32_t *counts;
} posting_lists;

static posting_lists index_of(corpus *c, const vector *texts, size_t count)
{
    size_t words = c->vocabulary.count;
    posting_lists lists = {slm_arena_array(&c->arena, words, sizeof *lists.texts),
                           slm_arena_array(&c->arena, words, sizeof *lists.counts)};
    uint32_t *sizes = slm_arena_array(&c->arena, words, sizeof *sizes);
    for (size_t i = 0; i < count; i++)
        for (size_t t = 0; t < texts[i].count; t++)
            sizes[texts[i].terms[t].word]++;
    for (size_t w = 0; w < words; w++)
        lists.texts[w] = slm_arena_array(&c->arena, sizes[w], sizeof **lists.texts);
    for (size_t i = 0; i < count; i++)
        for (size_t t = 0; t < texts[i].count; t++) {
            uint32_t w = texts[i].terms[t].word;
            lists.texts[w][lists.counts[w]++] = (uint32_t)i;
        }
    return lists;
}

static double cosine(const vector *v, const float *spread)
{
    double sum = 0;
    for (size_t i = 0; i < v->count; i++)
        sum += (double)v->terms[i].weight * (double)spread[v->terms[i].word];
    return sum;
}

void data__alike(const data__words *first, size_t first_count, const data__words *second,
                 size_t second_count, double least, bool (*skip)(void *context, size_t a, size_t b),
                 void *context, data__pairs *out)
{
    corpus c = {0};
    bool within = second == NULL;
    vector *left = slm_arena_array(&c.arena, first_count, sizeof *left);
    vector *right = within ? left : slm_arena_array(&c.arena, second_count, sizeof *right);
    size_t right_count = within ? first_count : second_count;
    for (size_t i = 0; i < first_count; i++)
        left[i] = count_words(&c, &first[i]);
    for (size_t i = 0; !within && i < second_count; i++)
        right[i] = count_words(&c, &second[i]);
    for (size_t i = 0; i < first_count; i++)
        weigh(&c, &left[i]);
    for (size_t i = 0; !within && i < second_count; i++)
        weigh(&c, &right[i]);
    posting_lists lists = index_of(&c, right, right_count);
    float *spread = slm_arena_array(&c.arena, c.vocabulary.count, sizeof *spread);
    uint32_t *seen = slm_arena_array(&c.arena, right_count, sizeof *seen); /* a + 1 */
    for (size_t a = 0; a < first_count; a++) {
        for (size_t t = 0; t < left[a].count; t++)
            spread[left[a].terms[t].word] = left[a].terms[t].weight;
        size_t prefix = prefix_of(&left[a], least);
        for (size_t t = 0; t < prefix; t++) {
            uint32_t word = left[a].terms[t].word;
            for (size_t p = 0; p < lists.counts[word]; p++) {
                size_t b = lists.texts[word][p];
                if (seen[b] == a + 1 || (within && b <= a)) continue;
                seen[b] = (uint32_t)(a + 1);
                if (skip != NULL && skip(context, a, b)) continue;
                double score = cosine(&right[b], spread);
                if (score >= least) data__pairs_add(out, a, b, score);
            }
        }
        for (size_t t = 0; t < left[a].count; t++)
            spread[left[a].terms[t].word] = 0;
    }
    data__pairs_sort(out);
    free(c.frequency);
    data__hash_table_free(&c.vocabulary);
    slm_arena_free(&c.arena);
}

/* ---- the check ----------------------------------------------------------------------------- */

slm_status data__embed(slm_embed *encoder, const char *const *texts, size_t count, float **out,
                       slm_error *err)
{
    size_t dimensions = encoder->dimensions;
    float *vectors = malloc((count + 1) * dimensions * sizeof *vectors);
    if (vectors == NULL)
        return slm_error_set(err, SLM_ERR_MEMORY, "no memory for %zu sentence vectors", count);
    enum { AT_ONCE = 256 };
    for (size_t i = 0; i < count; i += AT_ONCE) {
        size_t n = count - i < AT_ONCE ? count - i : AT_ONCE;
        slm_status status = slm_embed_run(encoder, texts + i, n, vectors + i * dimensions, err);
        if (status != SLM_OK) {
            free(vectors);
            return status;
        }
    }
    *out = vectors;
    return SLM_OK;
}

double data__dot(const float *a, const float *b, size_t n)
{
    float sum[8] = {0}; /* eight sums, so that the compiler may keep them side by side */
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            sum[j] += a[i + j] * b[i + j];
    double total = 0;
    for (size_t j = 0; j < 8; j++)
        total += (double)sum[j];
    for (; i < n; i++)
        total += (double)(a[i] * b[i]);
    return total;
}

static bool on_one_side(void *context, size_t a, size_t b)
{
    const data__inspection *in = context;
    return in->side[a] == in->side[b];
}

static int by_score(const void *left, const void *right)
{
    const data__pair *x = left, *y = right;
    if (x->score > y->score) return -1;
    if (x->score < y->score) return 1;
    return by_hash(&(uint64_t){x->a}, &(uint64_t){y->a});
}

slm_status data__check_alike(data__inspection *in, slm_error *err)
{
    const double least = in->options->alike;
    slm_embed *encoder = in->options->encoder;
    const char *method = encoder != NULL ? encoder->name : "TF-IDF";
    size_t n = in->cases->count;
    if (in->file_count < 2) {
        data__result(in, "alike", SLM_DATA_NOT_RUN, NULL, NULL,
                     "one file has one side; give training, development and test files together");
        return SLM_OK;
    }
    data__pairs pairs = {0};
    slm_arena arena = {0};
    if (encoder != NULL) {
        float *vectors = NULL;
        const char **texts = slm_arena_array(&arena, n, sizeof *texts);
        for (size_t i = 0; i < n; i++) { /* see overlap.c on scripts */
            const char *gloss = in->cases->items[i].gloss;
            texts[i] = gloss != NULL && !data__is_latin(in->spoken[i]) ? gloss : in->spoken[i];
        }
        slm_status status = data__embed(encoder, texts, n, &vectors, err);
        slm_arena_free(&arena);
        if (status != SLM_OK) return status;
        size_t d = encoder->dimensions;
        for (size_t a = 0; a < n; a++)
            for (size_t b = a + 1; b < n; b++) {
                if (in->side[a] == in->side[b]) continue;
                double score = data__dot(vectors + a * d, vectors + b * d, d);
                if (score >= least) data__pairs_add(&pairs, a, b, score);
            }
        free(vectors);
    } else {
        data__alike(in->words, n, NULL, 0, least, on_one_side, in, &pairs);
    }
    if (pairs.count > 1) qsort(pairs.items, pairs.count, sizeof *pairs.items, by_score);
    for (size_t i = 0; i < pairs.count; i++) {
        const slm_case *x = &in->cases->items[pairs.items[i].a],
                       *y = &in->cases->items[pairs.items[i].b];
        data__find(in, "alike", "read", false, y->file, y->line,
                   "%s is like %s:%zu (%s) on another side: %.2f", y->id, x->file, x->line, x->id,
                   pairs.items[i].score);
    }
    json_t *numbers = json_pack("{s:s,s:f,s:I}", "method", method, "threshold", least, "pairs",
                                (json_int_t)pairs.count);
    data__result(in, "alike", SLM_DATA_SHOWN, numbers, NULL,
                 "%zu pairs across sides from %.2f by %s, to be read", pairs.count, least, method);
    data__pairs_free(&pairs);
    return SLM_OK;
}
