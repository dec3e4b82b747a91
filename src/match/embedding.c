/* embedding.c: likeness by sentence vectors, read together with the words.
 *
 * An encoder puts texts that mean alike near each other ("Do you drink?" and "How much alcohol do you
 * have in a week?"), where words see nothing. But it puts what differs in one small word just as near
 * ("Is it the left knee?"), and a long sentence that says a thing and something else not near enough.
 * So both are read. The vectors only say how like two texts are; polarity and what the guards look at
 * come from the words. A question's score is the lexical likeness or the cosine brought to its scale,
 * whichever is more; that of what is told is a weighted mean of the two, since a sentence that tells
 * shares its matter with many that tell otherwise. (Sentence vectors compared by cosine: Reimers and
 * Gurevych, "Sentence-BERT", EMNLP 2019.)
 *
 * What is given to the encoder are a text's sentences, the pieces of its compound questions, and of a
 * sentence with a condition that and the rest, each once. Two sentences that stand together are as
 * near as the nearer of them or their mean is. The targets' vectors are asked for with those of the
 * first text. Scale and weight were chosen on the pairs of tests/unit/match/pairs.h, what is told and advised on the
 * fit half of data/validation/answers.jsonl. */
#include <math.h>
#include <string.h>
#include "match/match_internal.h"

static const double ASKED_COSINE = 0.80; /* times the cosine of questions: their score */
static const double TOLD_COSINE = 0.50;  /* weight of the cosine in what is told */
static const double SHARED_MIN = 0.25; /* less is in common: each side's own polarity is compared */

const match__limits match__embedding_limits = {
    .question = 0.52,
    .question_recall = 0,
    .statement = 0.54,
    .statement_in_two = 0.50,
    .harm = 0.72,
    .condition = 0.45,
    .condition_piece = 0.60,
    .then = 0.38,
    .then_piece = 0.60,
    .outside = 0.42,
};

void match__embedding_hash(slm_sha256 *hash)
{
    const match__limits *l = &match__embedding_limits;
    const double numbers[] = {ASKED_COSINE,       TOLD_COSINE,  SHARED_MIN, l->question,
                              l->question_recall, l->statement, l->harm,    l->condition,
                              l->condition_piece, l->then,      l->outside, l->then_piece,
                              l->statement_in_two};
    slm_sha256_update(hash, numbers, sizeof numbers);
}

typedef enum span_kind {
    SPAN_SENTENCE,
    SPAN_PIECE,     /* of a compound question */
    SPAN_CONDITION, /* what stands under an if */
    SPAN_REST,      /* and what does not */
} span_kind;

/* A stretch of the current text that has a vector. */
typedef struct span {
    size_t begin, end; /* words; of a condition and its rest those of the sentence */
    span_kind kind;
    const float *vector;
} span;

typedef struct embedding {
    slm_match_set *set;
    void *words; /* the lexical state */
    size_t dimensions;
    float *unit_vectors; /* [unit of the set][dimensions] */
    double *unit_denied; /* share of the unit's weight that it denies */
    bool is_ready;       /* they were asked for */

    const slm_match_text *text;
    span *spans;
    size_t span_count, span_cap;
    const char **texts; /* of the spans */
    /* the current unit */
    const float *near[8];
    size_t near_count;
    float *mean;
    double denied;
} embedding;

/* ---- what is given to the encoder ---------------------------------------------------------- */

static size_t token_end_of(const slm_match_text *text, size_t end)
{
    for (size_t s = 0; s < text->sentence_count; s++)
        if (text->sentences[s].word_begin < end && end <= text->sentences[s].word_end)
            return end == text->sentences[s].word_end ? text->sentences[s].token_end
                                                      : text->words[end].token;
    return end < text->word_count ? text->words[end].token : text->token_count;
}

/* The tokens of the words [begin, end), of those alone that are under an if, or are not. */
static const char *words_text(const slm_match_text *text, size_t begin, size_t end, span_kind kind,
                              slm_arena *arena)
{
    size_t from = begin < end ? text->words[begin].token : 0, to = token_end_of(text, end);
    size_t bytes = 1, word = begin, len = 0;
    for (size_t t = from; t < to; t++)
        bytes += text->tokens[t].len + 1;
    char *out = slm_arena_alloc(arena, bytes);
    for (size_t t = from; t < to; t++) {
        while (word + 1 < end && text->words[word + 1].token <= t)
            word++;
        bool under = text->words[word].in_condition;
        if ((kind == SPAN_CONDITION && !under) || (kind == SPAN_REST && under)) continue;
        if (len > 0) out[len++] = ' ';
        memcpy(out + len, text->tokens[t].text, text->tokens[t].len);
        len += text->tokens[t].len;
    }
    out[len] = '\0';
    return out;
}

static void add_span(embedding *e, size_t begin, size_t end, span_kind kind, const char *text)
{
    if (e->span_count == e->span_cap || text[0] == '\0') return;
    e->texts[e->span_count] = text;
    e->spans[e->span_count++] = (span){.begin = begin, .end = end, .kind = kind};
}

static void add_sentence(embedding *e, const slm_match_sentence *s, slm_arena *arena)
{
    const slm_match_text *text = e->text;
    if (s->mood == SLM_MATCH_COURTESY || s->repeated || s->word_begin == s->word_end) return;
    add_span(e, s->word_begin, s->word_end, SPAN_SENTENCE,
             slm_arena_strndup(arena, s->text, s->len));
    if (s->mood == SLM_MATCH_ASKS) {
        match__unit pieces[MATCH__PIECES_MAX];
        size_t count = match__split(e->set, text, s->word_begin, s->word_end, pieces);
        for (size_t i = 0; i < count; i++)
            add_span(e, pieces[i].begin, pieces[i].end, SPAN_PIECE,
                     words_text(text, pieces[i].begin, pieces[i].end, SPAN_PIECE, arena));
        return;
    }
    bool any = false, all = true;
    for (size_t w = s->word_begin; w < s->word_end; w++) {
        any |= text->words[w].in_condition;
        all &= text->words[w].in_condition;
    }
    if (!any) return;
    add_span(e, s->word_begin, s->word_end, SPAN_CONDITION,
             words_text(text, s->word_begin, s->word_end, SPAN_CONDITION, arena));
    if (!all)
        add_span(e, s->word_begin, s->word_end, SPAN_REST,
                 words_text(text, s->word_begin, s->word_end, SPAN_REST, arena));
}

static const char *text_of_unit(const slm_match_set *set, size_t unit, slm_arena *arena)
{
    const match__target *target = &set->targets[set->units[unit].target];
    const slm_match_text *text = set->units[unit].is_condition ? target->when : target->text;
    const match__unit *u = &set->units[unit].unit;
    if (u->begin == 0 && u->end == text->word_count)
        return set->units[unit].is_condition ? target->when_text : target->whole_text;
    return words_text(text, u->begin, u->end, SPAN_PIECE, arena);
}

/* The share of the weight of a stretch of words that is said not to be so. */
static void add_denied(const slm_match_set *set, const slm_match_text *text, size_t begin,
                       size_t end, double *denied, double *all)
{
    for (size_t w = begin; w < end; w++) {
        double weight = match__weight(set, &text->words[w]);
        if (weight <= 0) continue;
        *all += weight;
        if (text->words[w].negated) *denied += weight;
    }
}

/* ---- the set ------------------------------------------------------------------------------- */

static void *embedding_prepare(slm_match_set *set)
{
    embedding *e = slm_arena_alloc(&set->arena, sizeof *e);
    e->set = set;
    e->words = match__tfidf.prepare(set);
    e->dimensions = match__vectors_embed(set->matcher->vectors)->dimensions;
    e->mean = slm_arena_array(&set->arena, e->dimensions, sizeof *e->mean);
    e->unit_vectors =
        slm_arena_array(&set->arena, set->unit_count * e->dimensions, sizeof *e->unit_vectors);
    e->unit_denied = slm_arena_array(&set->arena, set->unit_count, sizeof *e->unit_denied);
    for (size_t i = 0; i < set->unit_count; i++) {
        const match__target *target = &set->targets[set->units[i].target];
        const match__unit *u = &set->units[i].unit;
        double denied = 0, all = 0;
        add_denied(set, set->units[i].is_condition ? target->when : target->text, u->begin, u->end,
                   &denied, &all);
        e->unit_denied[i] = all > 0 ? denied / all : 0;
    }
    return e;
}

static void embedding_free(void *state)
{
    match__tfidf.free(((embedding *)state)->words);
}

/* ---- the text ------------------------------------------------------------------------------ */

static slm_status embedding_look(void *state, const slm_match_text *text, slm_arena *arena,
                                 slm_error *err)
{
    embedding *e = state;
    slm_match_set *set = e->set;
    SLM_TRY(match__tfidf.look(e->words, text, arena, err));
    e->text = text;
    e->span_count = 0;
    e->span_cap = text->sentence_count * (1 + MATCH__PIECES_MAX);
    e->spans = slm_arena_array(arena, e->span_cap, sizeof *e->spans);
    e->texts = slm_arena_array(arena, e->span_cap + set->unit_count, sizeof *e->texts);
    for (size_t i = 0; i < text->sentence_count; i++)
        add_sentence(e, &text->sentences[i], arena);
    size_t count = e->span_count, units = e->is_ready ? 0 : set->unit_count;
    for (size_t i = 0; i < units; i++)
        e->texts[count + i] = text_of_unit(set, i, arena);
    float *vectors = slm_arena_array(arena, (count + units) * e->dimensions, sizeof *vectors);
    SLM_TRY(match__vectors_get(set->matcher->vectors, e->texts, count + units, vectors, err));
    for (size_t i = 0; i < count; i++)
        e->spans[i].vector = vectors + i * e->dimensions;
    if (units > 0)
        memcpy(e->unit_vectors, vectors + count * e->dimensions,
               units * e->dimensions * sizeof *vectors);
    e->is_ready = true;
    return SLM_OK;
}

static bool is_within(const span *s, const match__unit *unit)
{
    return (unit->begin <= s->begin && s->end <= unit->end) ||
           (unit->begin2 <= s->begin && s->end <= unit->end2);
}

static void add_near(embedding *e, const float *vector)
{
    if (e->near_count < sizeof e->near / sizeof e->near[0]) e->near[e->near_count++] = vector;
}

/* The two sentences of a unit taken together. */
static void add_mean(embedding *e, const float *a, const float *b)
{
    double sum = 0;
    for (size_t d = 0; d < e->dimensions; d++) {
        e->mean[d] = a[d] + b[d];
        sum += (double)e->mean[d] * (double)e->mean[d];
    }
    if (sum <= 0) return;
    for (size_t d = 0; d < e->dimensions; d++)
        e->mean[d] = (float)((double)e->mean[d] / sqrt(sum));
    add_near(e, e->mean);
}

static bool has_condition(const embedding *e, const span *sentence)
{
    for (size_t w = sentence->begin; w < sentence->end; w++)
        if (e->text->words[w].in_condition) return true;
    return false;
}

static void embedding_turn_to(void *state, const match__unit *unit, bool skip_conditions)
{
    embedding *e = state;
    const float *sentences[2] = {NULL, NULL};
    size_t sentence_count = 0;
    double denied = 0, all = 0;
    match__tfidf.turn_to(e->words, unit, skip_conditions);
    e->near_count = 0;
    for (size_t i = 0; i < e->span_count; i++) {
        const span *s = &e->spans[i];
        if (!is_within(s, unit)) continue;
        bool is_exact = s->begin == unit->begin && s->end == unit->end;
        if (s->kind == SPAN_PIECE && !is_exact) continue;
        if (skip_conditions &&
            (s->kind == SPAN_CONDITION || (s->kind == SPAN_SENTENCE && has_condition(e, s))))
            continue;
        add_near(e, s->vector);
        if (s->kind == SPAN_SENTENCE && sentence_count < 2) sentences[sentence_count++] = s->vector;
    }
    if (sentence_count == 2) add_mean(e, sentences[0], sentences[1]);
    add_denied(e->set, e->text, unit->begin, unit->end, &denied, &all);
    add_denied(e->set, e->text, unit->begin2, unit->end2, &denied, &all);
    e->denied = all > 0 ? denied / all : 0;
}

static double cosine(const embedding *e, const float *a, const float *b)
{
    double sum = 0;
    for (size_t d = 0; d < e->dimensions; d++)
        sum += (double)a[d] * (double)b[d];
    return sum;
}

static match__likeness embedding_compare(void *state, size_t target_unit)
{
    embedding *e = state;
    match__likeness out = match__tfidf.compare(e->words, target_unit);
    double most = 0;
    for (size_t i = 0; i < e->near_count; i++)
        most = fmax(most, cosine(e, e->near[i], e->unit_vectors + target_unit * e->dimensions));
    slm_match_kind kind = e->set->targets[e->set->units[target_unit].target].kind;
    if (kind == SLM_MATCH_QUESTION)
        out.score = fmax(out.score, ASKED_COSINE * most);
    else
        out.score = TOLD_COSINE * most + (1 - TOLD_COSINE) * out.score;
    if (out.recall <= 0 && most > 0)
        out.opposite_words = match__tfidf_opposes(e->words, target_unit);
    if (out.recall < SHARED_MIN) {
        double wanted = e->unit_denied[target_unit];
        out.agreement = out.plain_accord = 1 - 2 * fabs(wanted - e->denied);
        out.denied = wanted > 0 && e->denied <= 0 ? 0 : 1;
    }
    return out;
}

const match__similarity_class match__embedding = {
    embedding_prepare, embedding_look, embedding_turn_to, embedding_compare, embedding_free};
