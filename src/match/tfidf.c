/* tfidf.c: likeness by TF-IDF over words, words by their character n-grams.
 *
 * A plain TF-IDF cosine wants equal words; people write "allergies" and "allergic". So each word of
 * a target takes the most like word of the text, where likeness of two words is the cosine of their
 * character trigrams (ends marked) and counts from 0.6 on: a soft TF-IDF (Cohen, Ravikumar and
 * Fienberg, "A comparison of string distance metrics for name-matching tasks", IIWeb 2003, with
 * trigrams inside). Term frequency is 0 or 1: saying a word twice asks nothing more. The inverse
 * document frequency comes from the lexicon's fixed lists and from the set's background
 * (match__weight), never from the text that is judged.
 *
 * For speed the targets' words are a vocabulary with an index from trigrams, and what a word of a
 * text is like is remembered by its key: texts that come by the thousand share most words. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "match/match_internal.h"

enum {
    GRAMS_MAX = MATCH__STEM_BYTES + 2,
    MEMORY_SLOTS = 2048, /* of remembered words; forgotten together when half are taken */
};

typedef struct link {
    uint32_t vocabulary;
    float likeness; /* < 0: the opposite word */
} link;

typedef struct vocable {
    const match__word *word;
    uint32_t grams[GRAMS_MAX];
    size_t gram_count;
} vocable;

typedef struct term {
    uint32_t vocabulary;
    float weight;
    bool negated;
} term;

typedef struct remembered {
    uint64_t hash; /* of the key; 0: free */
    link *links;
    uint32_t link_count;
    uint32_t id; /* among the words of the current text, valid if stamp is current */
    uint32_t stamp;
    double weight;
} remembered;

typedef struct tfidf {
    slm_match_set *set;
    vocable *vocabulary;
    size_t vocabulary_count;
    term **terms; /* of each unit of the set */
    size_t *term_counts;
    bool *member;        /* [unit][vocabulary] */
    double *unit_weight; /* of each unit of the set */
    remembered *memory;
    size_t remembered_count;
    slm_arena links; /* what `memory` points to */

    /* the current text */
    uint32_t stamp;
    const slm_match_text *text;
    remembered **words; /* of each word of the text */
    /* the current unit: the best likeness to each word of the vocabulary, unnegated and negated */
    float (*best)[2];
    bool *opposite;
    uint32_t *touched;
    size_t touched_count;
    remembered **distinct;
    size_t distinct_count;
    double weight;
} tfidf;

static size_t grams_of(const char *key, size_t len, uint32_t grams[GRAMS_MAX])
{
    char marked[MATCH__STEM_BYTES + 2];
    if (len > MATCH__STEM_BYTES) len = MATCH__STEM_BYTES;
    marked[0] = '^';
    memcpy(marked + 1, key, len);
    marked[len + 1] = '$';
    size_t count = 0;
    for (size_t i = 0; i + 3 <= len + 2; i++) {
        uint32_t gram = (uint32_t)(unsigned char)marked[i] << 16 |
                        (uint32_t)(unsigned char)marked[i + 1] << 8 | (unsigned char)marked[i + 2];
        bool there = false;
        for (size_t j = 0; j < count && !there; j++)
            there = grams[j] == gram;
        if (!there) grams[count++] = gram;
    }
    return count;
}

/* Words that are only themselves: short ones, phrases, medicines, aspects, numbers. */
static bool is_exact(const match__word *word)
{
    return word->key_len < 4 || word->aspect != 0 || (word->flags & MATCH__DRUG) != 0 ||
           (word->key[0] >= '0' && word->key[0] <= '9') ||
           memchr(word->key, ' ', word->key_len) != NULL;
}

static double word_likeness(const vocable *v, const uint32_t *grams, size_t count)
{
    size_t common = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < v->gram_count; j++)
            if (grams[i] == v->grams[j]) {
                common++;
                break;
            }
    if (common == 0) return 0;
    return (double)common / sqrt((double)count * (double)v->gram_count);
}

/* ---- the set ------------------------------------------------------------------------------- */

static uint32_t vocabulary_of(tfidf *t, const match__word *word)
{
    for (size_t i = 0; i < t->vocabulary_count; i++)
        if (t->vocabulary[i].word->hash == word->hash) return (uint32_t)i;
    vocable *v = &t->vocabulary[t->vocabulary_count];
    v->word = word;
    v->gram_count = is_exact(word) ? 0 : grams_of(word->key, word->key_len, v->grams);
    return (uint32_t)t->vocabulary_count++;
}

static const slm_match_text *text_of_unit(const slm_match_set *set, size_t unit)
{
    const match__target *target = &set->targets[set->units[unit].target];
    return set->units[unit].is_condition ? target->when : target->text;
}

static void prepare_unit(tfidf *t, size_t unit)
{
    slm_match_set *set = t->set;
    const slm_match_text *text = text_of_unit(set, unit);
    const match__unit *u = &set->units[unit].unit;
    slm_match_kind kind = set->targets[set->units[unit].target].kind;
    term *terms = slm_arena_array(&set->arena, u->end - u->begin, sizeof *terms);
    size_t count = 0;
    double sum = 0;
    for (size_t i = u->begin; i < u->end; i++) {
        const match__word *word = &text->words[i];
        double weight = match__weight(set, word);
        /* What must not be said is about what everyone speaks of, and lies in the verb as much as in
         * the noun ("use the old drops"). An aspect is a matter of questions. */
        if (kind == SLM_MATCH_HARM && weight > 0)
            weight = fmax((double)word->weight, MATCH__HARM_WEIGHT_MIN);
        if (weight <= 0 || (kind != SLM_MATCH_QUESTION && word->aspect != 0)) continue;
        uint32_t v = vocabulary_of(t, word);
        bool there = false;
        for (size_t j = 0; j < count; j++)
            there |= terms[j].vocabulary == v;
        if (there) continue;
        terms[count++] = (term){v, (float)weight, word->negated};
        sum += weight;
    }
    t->terms[unit] = terms;
    t->term_counts[unit] = count;
    t->unit_weight[unit] = sum;
}

static void *tfidf_prepare(slm_match_set *set)
{
    tfidf *t = slm_arena_alloc(&set->arena, sizeof *t);
    t->set = set;
    size_t words = 0;
    for (size_t i = 0; i < set->unit_count; i++)
        words += set->units[i].unit.end - set->units[i].unit.begin;
    t->vocabulary = slm_arena_array(&set->arena, words, sizeof *t->vocabulary);
    t->terms = slm_arena_array(&set->arena, set->unit_count, sizeof *t->terms);
    t->term_counts = slm_arena_array(&set->arena, set->unit_count, sizeof *t->term_counts);
    t->unit_weight = slm_arena_array(&set->arena, set->unit_count, sizeof *t->unit_weight);
    for (size_t i = 0; i < set->unit_count; i++)
        prepare_unit(t, i);
    size_t n = t->vocabulary_count;
    t->member = slm_arena_array(&set->arena, set->unit_count * n, sizeof *t->member);
    for (size_t i = 0; i < set->unit_count; i++)
        for (size_t j = 0; j < t->term_counts[i]; j++)
            t->member[i * n + t->terms[i][j].vocabulary] = true;
    t->best = slm_arena_array(&set->arena, n, sizeof *t->best);
    t->opposite = slm_arena_array(&set->arena, n, sizeof *t->opposite);
    t->touched = slm_arena_array(&set->arena, n, sizeof *t->touched);
    t->memory = slm_arena_array(&set->arena, MEMORY_SLOTS, sizeof *t->memory);
    return t;
}

static void tfidf_free(void *state)
{
    tfidf *t = state;
    slm_arena_free(&t->links);
}

/* ---- the text ------------------------------------------------------------------------------ */

static void find_links(tfidf *t, const match__word *word, remembered *r)
{
    const match__lexicon *lexicon = &t->set->matcher->lexicon;
    link found[64];
    size_t count = 0;
    uint32_t grams[GRAMS_MAX];
    size_t gram_count = is_exact(word) ? 0 : grams_of(word->key, word->key_len, grams);
    for (size_t i = 0; i < t->vocabulary_count && count < 64; i++) {
        const vocable *v = &t->vocabulary[i];
        if (v->word->hash == word->hash) {
            found[count++] = (link){(uint32_t)i, 1.0F};
        } else if (match__lexicon_opposite(lexicon, v->word->hash, word->hash)) {
            found[count++] = (link){(uint32_t)i, -1.0F};
        } else if (match__lexicon_is_kind(lexicon, v->word->hash, word->hash)) {
            found[count++] = (link){(uint32_t)i, (float)MATCH__KIND_LIKENESS};
        } else if (gram_count > 0 && v->gram_count > 0) {
            double likeness = word_likeness(v, grams, gram_count);
            if (likeness >= MATCH__WORD_LIKENESS_MIN)
                found[count++] = (link){(uint32_t)i, (float)likeness};
        }
    }
    r->link_count = (uint32_t)count;
    r->links = slm_arena_array(&t->links, count, sizeof *r->links);
    memcpy(r->links, found, count * sizeof *found);
    r->weight = match__weight(t->set, word);
}

static remembered *remember(tfidf *t, const match__word *word)
{
    uint64_t hash = word->hash == 0 ? 1 : word->hash;
    size_t slot = (size_t)hash & (MEMORY_SLOTS - 1);
    while (t->memory[slot].hash != 0 && t->memory[slot].hash != hash)
        slot = (slot + 1) & (MEMORY_SLOTS - 1);
    remembered *r = &t->memory[slot];
    if (r->hash != 0) return r;
    r->hash = hash;
    t->remembered_count++;
    find_links(t, word, r);
    return r;
}

static slm_status tfidf_look(void *state, const slm_match_text *text, slm_arena *arena,
                             slm_error *err)
{
    (void)err;
    tfidf *t = state;
    t->text = text;
    if (t->remembered_count + text->word_count >= MEMORY_SLOTS / 2) {
        memset(t->memory, 0, MEMORY_SLOTS * sizeof *t->memory);
        t->remembered_count = 0;
        slm_arena_reset(&t->links);
    }
    t->words = slm_arena_array(arena, text->word_count, sizeof *t->words);
    t->distinct = slm_arena_array(arena, text->word_count, sizeof(remembered *));
    for (size_t i = 0; i < text->word_count; i++) {
        const match__word *word = &text->words[i];
        if (word->weight <= 0 && word->aspect == 0) continue; /* weighs nothing, stays NULL */
        /* A text of more different words than memory has room for is cut; none that a model
         * writes is that long. */
        if (t->remembered_count >= MEMORY_SLOTS - 8) break;
        t->words[i] = remember(t, word);
    }
    t->touched_count = 0;
    memset(t->best, 0, t->vocabulary_count * sizeof *t->best);
    memset(t->opposite, 0, t->vocabulary_count * sizeof *t->opposite);
    return SLM_OK;
}

static void take_word(tfidf *t, size_t i)
{
    remembered *r = t->words[i];
    if (r == NULL) return;
    if (r->stamp != t->stamp) {
        r->stamp = t->stamp;
        t->distinct[t->distinct_count++] = r;
        t->weight += r->weight;
    }
    bool negated = t->text->words[i].negated;
    for (size_t k = 0; k < r->link_count; k++) {
        uint32_t v = r->links[k].vocabulary;
        if (t->best[v][0] <= 0 && t->best[v][1] <= 0 && !t->opposite[v])
            t->touched[t->touched_count++] = v;
        if (r->links[k].likeness < 0)
            t->opposite[v] = true;
        else if (r->links[k].likeness > t->best[v][negated])
            t->best[v][negated] = r->links[k].likeness;
    }
}

static void tfidf_turn_to(void *state, const match__unit *unit, bool skip_conditions)
{
    tfidf *t = state;
    for (size_t i = 0; i < t->touched_count; i++) {
        uint32_t v = t->touched[i];
        t->best[v][0] = t->best[v][1] = 0;
        t->opposite[v] = false;
    }
    t->touched_count = t->distinct_count = 0;
    t->weight = 0;
    t->stamp++;
    for (size_t i = unit->begin; i < unit->end; i++)
        if (!skip_conditions || !t->text->words[i].in_condition) take_word(t, i);
    for (size_t i = unit->begin2; i < unit->end2; i++)
        if (!skip_conditions || !t->text->words[i].in_condition) take_word(t, i);
}

/* The weight of the text's words that stand in the target. *opposite: one of them is the opposite of a
 * word that the target has and the text has not. */
static double cover(const tfidf *t, size_t target_unit, bool *opposite)
{
    const bool *member = t->member + target_unit * t->vocabulary_count;
    double covered = 0;
    for (size_t i = 0; i < t->distinct_count; i++) {
        const remembered *r = t->distinct[i];
        double most = 0;
        bool against = false;
        for (size_t k = 0; k < r->link_count; k++) {
            if (!member[r->links[k].vocabulary]) continue;
            double likeness = (double)r->links[k].likeness;
            if (likeness < 0) {
                const float *best = t->best[r->links[k].vocabulary];
                against |= best[0] <= 0 && best[1] <= 0; /* and the word itself is not there */
            } else if (likeness > most) {
                most = likeness;
            }
        }
        covered += r->weight * most;
        *opposite |= against && most <= 0;
    }
    return covered;
}

bool match__tfidf_opposes(const void *state, size_t target_unit)
{
    bool opposite = false;
    cover(state, target_unit, &opposite);
    return opposite;
}

static match__likeness tfidf_compare(void *state, size_t target_unit)
{
    tfidf *t = state;
    match__likeness out = {0};
    double shared = 0, agreement = 0, accord = 0, denied = 0, denied_there = 0;
    for (size_t i = 0; i < t->term_counts[target_unit]; i++) {
        const term *x = &t->terms[target_unit][i];
        const float *best = t->best[x->vocabulary];
        double plain = best[0], negated = best[1], most = plain > negated ? plain : negated;
        shared += (double)x->weight * most;
        double same = x->negated ? negated : plain, other = x->negated ? plain : negated;
        agreement += (double)x->weight * (same >= other ? same : -other);
        if (same <= 0 || other <= 0) accord += (double)x->weight * (same - other);
        if (i == 0) out.has_first = most > 0;
        if (x->negated) {
            denied += (double)x->weight;
            denied_there += (double)x->weight * most;
        }
    }
    if (t->unit_weight[target_unit] <= 0 || shared <= 0) return out;
    double covered = cover(t, target_unit, &out.opposite_words);
    out.recall = shared / t->unit_weight[target_unit];
    out.precision = t->weight > 0 ? covered / t->weight : 0;
    if (out.precision > 1) out.precision = 1;
    bool asks = t->set->targets[t->set->units[target_unit].target].kind == SLM_MATCH_QUESTION;
    out.score = asks ? sqrt(out.recall * out.precision) : out.recall;
    out.agreement = agreement / shared;
    out.plain_accord = accord / shared;
    out.denied = denied > 0 ? denied_there / denied : 1;
    return out;
}

const match__similarity_class match__tfidf = {tfidf_prepare, tfidf_look, tfidf_turn_to,
                                              tfidf_compare, tfidf_free};
