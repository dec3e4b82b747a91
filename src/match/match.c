/* match.c: sets of targets, and looking for them in a text.
 *
 * Questions: a sentence that asks is compared whole and in its pieces (split at commas, "and", "or")
 * with each target whole and in its pieces; the score is the geometric mean of recall and precision,
 * so that both asking for something else besides and asking for less count against it. Statements:
 * a sentence, or two that stand together, must hold most of the target's weight; what else they say
 * does not matter. Advice: condition and consequence both, in one such place. Then the guards.
 *
 * What must not count does not get as far: sentences copied from the background, repeated ones,
 * lists of keywords, questions as statements. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "match/match_internal.h"

static const char METHOD[] = "slm-match 2", METHOD_WITH_VECTORS[] = "slm-match-vectors 2";

/* Chosen on the labelled pairs and answers in tests/unit/match and tests/unit/judge (not the fresh
 * ones), harm also with an eye on the ideal replies of data/ask-first/seed.jsonl; statement and
 * then_piece on the fit half of data/validation/answers.jsonl. */
static const match__limits lexical_limits = {
    .question = 0.52,
    .question_recall = 0.44,
    .statement = 0.60,
    .statement_in_two = 0.52,
    .harm = 0.75,
    .condition = 0.50,
    .condition_piece = 0.70,
    .then = 0.50,
    .then_piece = 0.60,
    .outside = 0.35,
};
static const double PIECE_WEIGHT_MIN = 0.8; /* a piece of less content does not stand alone; */
static const double PIECE_WORD_MIN = 0.5;   /* content are words of this weight and no body part */
static const double CONTENT_MIN = 0.6; /* a question of less content asks nothing in particular */
static const double BACKGROUND_WEIGHT = 0.55; /* of words that everyone here uses already */
static const double ECHO_SHARE = 0.6;      /* of a sentence's runs that stand in the background */
static const double KNOWN_CONDITION = 0.7; /* of a condition that the conversation already holds */
static const double ROUNDING = 1e-6;       /* likenesses that differ by less are the same */
enum { ECHO_TOKENS_MIN = 5, ACT_REACH = 7 };

slm_matcher *slm_matcher_new(void)
{
    slm_matcher *m = calloc(1, sizeof *m);
    if (m == NULL) slm_out_of_memory(sizeof *m);
    match__lexicon_init(&m->lexicon);
    const match__limits *l = m->limits = &lexical_limits;
    const double numbers[] = {l->question,
                              l->statement,
                              l->harm,
                              l->condition,
                              l->condition_piece,
                              l->then,
                              l->outside,
                              PIECE_WEIGHT_MIN,
                              CONTENT_MIN,
                              BACKGROUND_WEIGHT,
                              ECHO_SHARE,
                              KNOWN_CONDITION,
                              MATCH__WORD_LIKENESS_MIN,
                              MATCH__HARM_WEIGHT_MIN,
                              MATCH__DENIED_MIN,
                              MATCH__KIND_LIKENESS,
                              MATCH__HARM_AGREEMENT_MIN,
                              MATCH__KEYWORDS_FUNCTION_SHARE,
                              MATCH__LOOP_DISTINCT_SHARE,
                              MATCH__OPPOSED_MAX,
                              l->question_recall,
                              PIECE_WORD_MIN,
                              l->then_piece,
                              l->statement_in_two};
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, METHOD);
    slm_sha256_update(hash, numbers, sizeof numbers);
    match__lexicon_hash(hash);
    slm_sha256_finish(hash, m->identity);
    return m;
}

slm_matcher *slm_matcher_new_with(slm_embed *encoder)
{
    slm_matcher *m = slm_matcher_new();
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, METHOD_WITH_VECTORS);
    slm_sha256_update_part(hash, m->identity);
    slm_sha256_update_part(hash, encoder->identity);
    match__embedding_hash(hash);
    slm_sha256_finish(hash, m->identity);
    m->limits = &match__embedding_limits;
    m->vectors = match__vectors_new(encoder);
    return m;
}

void slm_matcher_free(slm_matcher *matcher)
{
    if (matcher == NULL) return;
    match__vectors_free(matcher->vectors);
    match__lexicon_free(&matcher->lexicon);
    free(matcher);
}

const char *slm_matcher_identity(const slm_matcher *matcher)
{
    return matcher->identity;
}

/* ---- tables of hashes ---------------------------------------------------------------------- */

static uint64_t *table_new(slm_arena *arena, size_t count, size_t *slots)
{
    *slots = 16;
    while (*slots < count * 2 + 2)
        *slots *= 2;
    return slm_arena_array(arena, *slots, sizeof(uint64_t));
}

static bool table_has(const uint64_t *table, size_t slots, uint64_t hash)
{
    if (table == NULL) return false;
    hash |= hash == 0;
    for (size_t i = (size_t)hash & (slots - 1); table[i] != 0; i = (i + 1) & (slots - 1))
        if (table[i] == hash) return true;
    return false;
}

static void table_put(uint64_t *table, size_t slots, uint64_t hash)
{
    hash |= hash == 0;
    size_t i = (size_t)hash & (slots - 1);
    while (table[i] != 0 && table[i] != hash)
        i = (i + 1) & (slots - 1);
    table[i] = hash;
}

static uint64_t run_hash(const match__token *t)
{
    uint64_t hash = match__hash_more(MATCH__HASH_START, (const char *)&t[0].hash, sizeof t->hash);
    hash = match__hash_more(hash, (const char *)&t[1].hash, sizeof t->hash);
    return match__hash_more(hash, (const char *)&t[2].hash, sizeof t->hash);
}

/* ---- units --------------------------------------------------------------------------------- */

double match__weight(const slm_match_set *set, const match__word *word)
{
    double weight = (double)word->weight;
    if (weight > 0 && word->aspect == 0 && (word->flags & MATCH__DRUG) == 0 &&
        table_has(set->spoken, set->spoken_slots, word->hash))
        weight *= BACKGROUND_WEIGHT;
    return weight;
}

static void add_to_unit(const slm_match_set *set, const slm_match_text *text, size_t begin,
                        size_t end, match__unit *unit)
{
    for (size_t i = begin; i < end; i++) {
        const match__word *w = &text->words[i];
        uint32_t flags = w->flags;
        /* Where the conversation is about somebody's mother, "your mother" is the patient. */
        if ((flags & (MATCH__FAMILY | MATCH__CHILD)) != 0 &&
            table_has(set->spoken, set->spoken_slots, w->hash))
            flags = (flags & ~(uint32_t)(MATCH__FAMILY | MATCH__CHILD)) | MATCH__PRONOUN;
        unit->flags |= flags;
        unit->aspect |= w->aspect;
        unit->weight += match__weight(set, w);
        if ((w->flags & MATCH__DRUG) != 0 &&
            unit->drug_count < sizeof unit->drugs / sizeof unit->drugs[0])
            unit->drugs[unit->drug_count++] = w->hash;
        if ((w->flags & MATCH__SITE) != 0 &&
            unit->site_count < sizeof unit->sites / sizeof unit->sites[0])
            unit->sites[unit->site_count++] = w->hash;
    }
}

match__unit match__unit_of(const slm_match_set *set, const slm_match_text *text, size_t begin,
                           size_t end, size_t begin2, size_t end2)
{
    match__unit unit = {.begin = begin, .end = end, .begin2 = begin2, .end2 = end2};
    add_to_unit(set, text, begin, end, &unit);
    add_to_unit(set, text, begin2, end2, &unit);
    return unit;
}

/* "In one or both eyes": where a symptom sits is no question of its own. */
static double content_of(const slm_match_text *text, size_t begin, size_t end)
{
    double sum = 0;
    for (size_t i = begin; i < end; i++) {
        const match__word *w = &text->words[i];
        if ((w->flags & MATCH__SITE) == 0 && (double)w->weight >= PIECE_WORD_MIN)
            sum += (double)w->weight;
    }
    return sum;
}

/* A piece without content of its own joins its neighbour. A piece that names no person, time or part
 * keeps the whole's. */
size_t match__split(const slm_match_set *set, const slm_match_text *text, size_t begin, size_t end,
                    match__unit pieces[MATCH__PIECES_MAX])
{
    size_t count = 0, from = begin;
    match__unit whole = match__unit_of(set, text, begin, end, 0, 0);
    for (size_t i = begin + 1; i <= end && count < MATCH__PIECES_MAX; i++) {
        if (i < end && text->words[i].gap <= MATCH__GAP_BRACKET &&
            (text->words[i].flags & MATCH__EXAMPLE) == 0)
            continue;
        match__unit piece = match__unit_of(set, text, from, i, 0, 0);
        bool enough = content_of(text, from, i) >= PIECE_WEIGHT_MIN;
        if (!enough && i < end) continue; /* joins the next */
        if (!enough && count > 0) {       /* the last joins the one before */
            size_t before = pieces[count - 1].begin;
            piece = match__unit_of(set, text, before, i, 0, 0);
            count--;
        }
        pieces[count++] = piece;
        from = i;
    }
    for (size_t i = 0; i < count; i++) {
        if ((pieces[i].flags & MATCH__PERSONS) == 0)
            pieces[i].flags |= whole.flags & MATCH__PERSONS;
        if ((pieces[i].flags & MATCH__TIMES) == 0)
            pieces[i].flags |= whole.flags & (MATCH__TIMES | MATCH__PRESENT);
        if (pieces[i].site_count == 0) { /* "weakness or numbness in the arm": both in the arm */
            memcpy(pieces[i].sites, whole.sites, sizeof whole.sites);
            pieces[i].site_count = whole.site_count;
        }
    }
    return count > 1 ? count : 0;
}

/* ---- sets ---------------------------------------------------------------------------------- */

static void add_unit(slm_match_set *set, size_t target, bool is_condition, match__unit unit)
{
    SLM_ASSERT(set->unit_count < set->unit_cap);
    set->units[set->unit_count++] =
        (match__target_unit){.target = target, .is_condition = is_condition, .unit = unit};
}

static void add_units(slm_match_set *set, size_t target, bool is_condition, bool in_pieces)
{
    const match__target *t = &set->targets[target];
    const slm_match_text *text = is_condition ? t->when : t->text;
    match__unit pieces[MATCH__PIECES_MAX];
    add_unit(set, target, is_condition, match__unit_of(set, text, 0, text->word_count, 0, 0));
    if (!in_pieces) return;
    for (size_t i = 0; i < text->sentence_count; i++) {
        const slm_match_sentence *s = &text->sentences[i];
        size_t count = match__split(set, text, s->word_begin, s->word_end, pieces);
        for (size_t j = 0; j < count && set->unit_count < set->unit_cap - set->target_count * 3;
             j++)
            add_unit(set, target, is_condition, pieces[j]);
    }
}

/* Of what to do then the first piece: "call an ambulance" of "call an ambulance and keep him sitting
 * until it comes". */
static void add_first(slm_match_set *set, size_t target)
{
    const slm_match_text *text = set->targets[target].text;
    match__unit pieces[MATCH__PIECES_MAX];
    if (text->sentence_count == 0) return;
    const slm_match_sentence *s = &text->sentences[0];
    if (match__split(set, text, s->word_begin, s->word_end, pieces) > 0)
        add_unit(set, target, false, pieces[0]);
}

static void add_background(slm_match_set *set, const char *const *texts, size_t count)
{
    size_t tokens = 0, words = 0;
    slm_match_text **read = slm_arena_array(&set->scratch, count, sizeof(slm_match_text *));
    for (size_t i = 0; i < count; i++) {
        read[i] = slm_match_read(set->matcher, texts[i], strlen(texts[i]), &set->scratch);
        tokens += read[i]->token_count;
        words += read[i]->word_count;
    }
    set->runs = table_new(&set->arena, tokens, &set->run_slots);
    set->spoken = table_new(&set->arena, words, &set->spoken_slots);
    for (size_t i = 0; i < count; i++) {
        for (size_t t = 0; t + 3 <= read[i]->token_count; t++)
            table_put(set->runs, set->run_slots, run_hash(&read[i]->tokens[t]));
        for (size_t w = 0; w < read[i]->word_count; w++)
            if (read[i]->words[w].weight > 0)
                table_put(set->spoken, set->spoken_slots, read[i]->words[w].hash);
    }
    slm_arena_reset(&set->scratch);
}

static slm_match_text *read_copy(slm_match_set *set, const char *text, const char **copy_out)
{
    char *copy = slm_arena_strdup(&set->arena, text);
    *copy_out = copy;
    return slm_match_read(set->matcher, copy, strlen(copy), &set->arena);
}

slm_match_set *slm_match_set_new(const slm_matcher *matcher, const slm_match_target *targets,
                                 size_t target_count, const char *const *background,
                                 size_t background_count)
{
    slm_match_set *set = calloc(1, sizeof *set);
    if (set == NULL) slm_out_of_memory(sizeof *set);
    set->matcher = matcher;
    set->similarity = matcher->vectors == NULL ? &match__tfidf : &match__embedding;
    add_background(set, background, background_count);
    set->target_count = target_count;
    set->targets = slm_arena_array(&set->arena, target_count, sizeof *set->targets);
    set->unit_cap = target_count * (3 + 2 * MATCH__PIECES_MAX) + 3;
    set->units = slm_arena_array(&set->arena, set->unit_cap, sizeof *set->units);
    for (size_t i = 0; i < target_count; i++) {
        match__target *t = &set->targets[i];
        t->kind = targets[i].kind;
        t->text = read_copy(set, targets[i].text, &t->whole_text);
        if (targets[i].when != NULL) t->when = read_copy(set, targets[i].when, &t->when_text);
        t->unit_begin = set->unit_count;
        add_units(set, i, false, t->kind == SLM_MATCH_QUESTION);
        t->when_begin = set->unit_count;
        if (t->when != NULL) {
            add_first(set, i);
            t->when_begin = set->unit_count;
            add_units(set, i, true, true);
        }
        t->unit_end = set->unit_count;
    }
    set->state = set->similarity->prepare(set);
    return set;
}

void slm_match_set_free(slm_match_set *set)
{
    if (set == NULL) return;
    set->similarity->free(set->state);
    slm_arena_free(&set->scratch);
    slm_arena_free(&set->arena);
    free(set);
}

/* ---- finding ------------------------------------------------------------------------------- */

typedef struct finder {
    slm_match_set *set;
    const slm_match_text *text;
    slm_match_found *found;
    double *scores; /* [question target][sentence]: unguarded, for the assignment */
} finder;

static bool is_echo(const slm_match_set *set, const slm_match_text *text, size_t sentence)
{
    const slm_match_sentence *s = &text->sentences[sentence];
    size_t tokens = s->token_end - s->token_begin, same = 0;
    if (tokens < ECHO_TOKENS_MIN) return false;
    for (size_t i = s->token_begin; i + 3 <= s->token_end; i++)
        same += table_has(set->runs, set->run_slots, run_hash(&text->tokens[i]));
    return (double)same >= ECHO_SHARE * (double)(tokens - 2);
}

/* A candidate for a target's hit. */
static void offer(slm_match_hit *hit, double score, double least, slm_match_guard guard,
                  size_t sentence, size_t last)
{
    if (guard == SLM_MATCH_GUARD_NONE) {
        if (score <= hit->score) return;
        hit->score = score;
        hit->met = score >= least;
        hit->sentence = sentence;
        hit->last = last;
    } else if (score >= least && hit->guard == SLM_MATCH_GUARD_NONE) {
        hit->guard = guard;
        if (!hit->met && hit->sentence == SIZE_MAX) {
            hit->sentence = sentence;
            hit->last = last;
        }
    }
}

/* The like of one unit of a question to every question target. Returns the greatest, guards or not. */
static double ask_unit(finder *f, const match__unit *unit, size_t sentence)
{
    slm_match_set *set = f->set;
    const match__limits *limits = set->matcher->limits;
    double nearest = 0;
    set->similarity->turn_to(set->state, unit, false);
    for (size_t t = 0; t < set->target_count; t++) {
        if (set->targets[t].kind != SLM_MATCH_QUESTION) continue;
        for (size_t u = set->targets[t].unit_begin; u < set->targets[t].unit_end; u++) {
            match__likeness likeness = set->similarity->compare(set->state, u);
            double score = likeness.score;
            if (score <= 0) continue;
            if (score > nearest) nearest = score;
            if (likeness.recall < limits->question_recall) continue;
            slm_match_guard guard =
                match__guard(&likeness, SLM_MATCH_QUESTION, &set->units[u].unit, unit);
            offer(&f->found->hits[t], score, limits->question, guard, sentence, sentence);
            double *cell = &f->scores[t * f->text->sentence_count + sentence];
            if (guard == SLM_MATCH_GUARD_NONE && score > *cell) *cell = score;
        }
    }
    return nearest;
}

static void look_at_question(finder *f, size_t sentence)
{
    const slm_match_sentence *s = &f->text->sentences[sentence];
    match__unit whole = match__unit_of(f->set, f->text, s->word_begin, s->word_end, 0, 0);
    match__unit pieces[MATCH__PIECES_MAX];
    double known = ask_unit(f, &whole, sentence), sum = 0;
    size_t count = match__split(f->set, f->text, s->word_begin, s->word_end, pieces);
    for (size_t i = 0; i < count; i++)
        sum += ask_unit(f, &pieces[i], sentence);
    if (count > 0 && sum / (double)count > known) known = sum / (double)count;
    f->found->known[sentence] = whole.weight < CONTENT_MIN ? 1.0 : known;
}

/* Advice: the best of the condition's units, and the consequence. */
static void look_for_advice(finder *f, size_t target, const match__unit *unit, size_t sentence,
                            size_t last)
{
    slm_match_set *set = f->set;
    const match__target *t = &set->targets[target];
    const match__limits *limits = set->matcher->limits;
    if ((unit->flags & MATCH__IF) == 0) return;
    size_t told = t->unit_begin;
    match__likeness then = set->similarity->compare(set->state, told);
    if (then.score < limits->then) { /* what to do first may stand for all that is to be done */
        if (t->when_begin == told + 1) return;
        then = set->similarity->compare(set->state, ++told);
        if (then.score < limits->then_piece) return;
    }
    slm_match_guard then_guard =
        match__guard(&then, SLM_MATCH_ADVICE, &set->units[told].unit, unit);
    for (size_t u = t->when_begin; u < t->unit_end; u++) {
        match__likeness when = set->similarity->compare(set->state, u);
        bool is_piece = u > t->when_begin;
        if (when.score < (is_piece ? limits->condition_piece : limits->condition)) continue;
        slm_match_guard guard = match__guard(&when, SLM_MATCH_ADVICE, &set->units[u].unit, unit);
        if (guard == SLM_MATCH_GUARD_NONE) guard = then_guard;
        offer(&f->found->hits[target], sqrt(when.score * then.score), 0, guard, sentence, last);
    }
}

/* A target that begins with what to do ("Stop the tablets") is not said without that word. */
static void look_for_harm(finder *f, size_t target, const match__unit *unit, size_t sentence,
                          size_t last)
{
    const match__target *t = &f->set->targets[target];
    match__likeness likeness = f->set->similarity->compare(f->set->state, t->unit_begin);
    bool orders = t->text->word_count > 0 && t->text->words[0].weight > 0;
    if (likeness.score <= 0 || (orders && !likeness.has_first)) return;
    offer(&f->found->hits[target], likeness.score, f->set->matcher->limits->harm,
          match__guard(&likeness, SLM_MATCH_HARM, &f->set->units[t->unit_begin].unit, unit),
          sentence, last);
}

/* `alone`: one sentence, or an item with its lead-in. `advises`: holds one condition at most. */
static void look_at_statement(finder *f, const match__unit *unit, size_t sentence, size_t last,
                              bool alone, bool advises)
{
    slm_match_set *set = f->set;
    set->similarity->turn_to(set->state, unit, false);
    for (size_t t = 0; t < set->target_count; t++) {
        const match__target *target = &set->targets[t];
        if (target->kind == SLM_MATCH_ADVICE && advises)
            look_for_advice(f, t, unit, sentence, last);
        if (target->kind != SLM_MATCH_STATEMENT) continue;
        match__likeness likeness = set->similarity->compare(set->state, target->unit_begin);
        if (likeness.score <= 0) continue;
        offer(&f->found->hits[t], likeness.score,
              alone ? set->matcher->limits->statement : set->matcher->limits->statement_in_two,
              match__guard(&likeness, target->kind, &set->units[target->unit_begin].unit, unit),
              sentence, last);
    }
    if (!alone) return;
    /* What harms must be said outright, not as an if: "if you stop it, the risk rises". */
    set->similarity->turn_to(set->state, unit, true);
    for (size_t t = 0; t < set->target_count; t++)
        if (set->targets[t].kind == SLM_MATCH_HARM) look_for_harm(f, t, unit, sentence, last);
}

static bool may_tell(const finder *f, size_t sentence)
{
    const slm_match_sentence *s = &f->text->sentences[sentence];
    return s->mood == SLM_MATCH_TELLS && !s->user_voice && !s->repeated && s->prose &&
           !f->found->echo[sentence];
}

static void look_at_statements(finder *f, size_t i)
{
    const slm_match_text *text = f->text;
    const slm_match_sentence *s = &text->sentences[i];
    match__unit unit = match__unit_of(f->set, text, s->word_begin, s->word_end, 0, 0);
    look_at_statement(f, &unit, i, i, true, true);
    if (s->lead != SIZE_MAX) { /* an item is read with what introduces it */
        const slm_match_sentence *lead = &text->sentences[s->lead];
        if (f->found->echo[s->lead]) return;
        unit = match__unit_of(f->set, text, s->word_begin, s->word_end, lead->word_begin,
                              lead->word_end);
        look_at_statement(f, &unit, s->lead, i, true, true);
    } else if (i + 1 < text->sentence_count && may_tell(f, i + 1) &&
               text->sentences[i + 1].lead == SIZE_MAX) {
        unit = match__unit_of(f->set, text, s->word_begin, text->sentences[i + 1].word_end, 0, 0);
        look_at_statement(f, &unit, i, i + 1, false,
                          !s->conditional || !text->sentences[i + 1].conditional);
    }
}

static void assign_questions(finder *f)
{
    size_t questions = 0, asks = 0, sentences = f->text->sentence_count;
    double least = f->set->matcher->limits->question;
    size_t *rows = slm_arena_array(&f->set->scratch, f->set->target_count, sizeof *rows);
    size_t *columns = slm_arena_array(&f->set->scratch, sentences, sizeof *columns);
    for (size_t t = 0; t < f->set->target_count; t++)
        if (f->found->hits[t].met && f->set->targets[t].kind == SLM_MATCH_QUESTION)
            rows[questions++] = t;
    for (size_t s = 0; s < sentences; s++) {
        bool any = false;
        for (size_t q = 0; q < questions; q++)
            any |= f->scores[rows[q] * sentences + s] >= least;
        if (any) columns[asks++] = s;
    }
    if (questions == 0 || asks == 0) return;
    double *cells = slm_arena_array(&f->set->scratch, questions * asks, sizeof *cells);
    size_t *of = slm_arena_array(&f->set->scratch, questions, sizeof *of);
    for (size_t q = 0; q < questions; q++)
        for (size_t a = 0; a < asks; a++)
            cells[q * asks + a] = f->scores[rows[q] * sentences + columns[a]];
    slm_match_assign(cells, questions, asks, least, of);
    for (size_t q = 0; q < questions; q++)
        if (of[q] != SIZE_MAX) f->found->asked_by[rows[q]] = columns[of[q]];
}

slm_match_found slm_match_find(slm_match_set *set, const slm_match_text *text, slm_arena *arena)
{
    size_t sentences = text->sentence_count;
    slm_match_found found = {
        .hits = slm_arena_array(arena, set->target_count, sizeof *found.hits),
        .echo = slm_arena_array(arena, sentences, sizeof *found.echo),
        .known = slm_arena_array(arena, sentences, sizeof *found.known),
        .asked_by = slm_arena_array(arena, set->target_count, sizeof *found.asked_by),
    };
    slm_arena_reset(&set->scratch);
    finder f = {.set = set, .text = text, .found = &found};
    f.scores = slm_arena_array(&set->scratch, set->target_count * sentences, sizeof *f.scores);
    for (size_t t = 0; t < set->target_count; t++) {
        found.hits[t].sentence = found.hits[t].last = SIZE_MAX;
        found.asked_by[t] = SIZE_MAX;
    }
    for (size_t i = 0; i < sentences; i++)
        found.echo[i] = is_echo(set, text, i);
    slm_error err = {0};
    if (set->similarity->look(set->state, text, &set->scratch, &err) != SLM_OK) {
        slm_error *kept = slm_arena_alloc(arena, sizeof *kept);
        *kept = err;
        found.error = kept;
        return found;
    }
    found.outside = set->matcher->limits->outside;
    for (size_t i = 0; i < sentences; i++) {
        const slm_match_sentence *s = &text->sentences[i];
        if (s->mood == SLM_MATCH_ASKS && !s->repeated && !found.echo[i] && s->personal)
            look_at_question(&f, i);
        else if (may_tell(&f, i))
            look_at_statements(&f, i);
    }
    assign_questions(&f);
    return found;
}

/* The first piece of the sentence that is most like the target; one that no guard stops before any other.
 * The sentence, where it is one piece. */
static match__unit nearest_piece(slm_match_set *set, const slm_match_text *text, size_t target,
                                 const slm_match_sentence *s)
{
    match__unit best = match__unit_of(set, text, s->word_begin, s->word_end, 0, 0);
    match__unit pieces[MATCH__PIECES_MAX];
    double most = 0;
    bool is_free = false;
    size_t count = match__split(set, text, s->word_begin, s->word_end, pieces);
    for (size_t i = 0; i < count; i++) {
        set->similarity->turn_to(set->state, &pieces[i], false);
        for (size_t u = set->targets[target].unit_begin; u < set->targets[target].unit_end; u++) {
            match__likeness likeness = set->similarity->compare(set->state, u);
            bool free_too = match__guard(&likeness, SLM_MATCH_QUESTION, &set->units[u].unit,
                                         &pieces[i]) == SLM_MATCH_GUARD_NONE;
            if (likeness.score <= 0 || (is_free && !free_too)) continue;
            if (is_free == free_too && likeness.score <= most + ROUNDING) continue;
            best = pieces[i];
            most = likeness.score;
            is_free = free_too;
        }
    }
    return best;
}

/* The piece tells the order of questions that can be cut apart. The mean over its words, each by how
 * much of the target it has, tells that of the others ("e" joins them in Portuguese, and is no cut):
 * words that two targets share move both alike. */
double slm_match_place(slm_match_set *set, const slm_match_text *text, size_t target,
                       size_t sentence)
{
    match__unit piece = nearest_piece(set, text, target, &text->sentences[sentence]);
    double sum = 0, weight = 0;
    for (size_t w = piece.begin; w < piece.end; w++) {
        match__unit word = match__unit_of(set, text, w, w + 1, 0, 0);
        set->similarity->turn_to(set->state, &word, false);
        double recall =
            set->similarity->compare(set->state, set->targets[target].unit_begin).recall;
        sum += recall * (double)w;
        weight += recall;
    }
    return weight > 0 ? sum / weight : (double)piece.begin;
}

bool slm_match_is_outside(const slm_match_found *found, const slm_match_text *text, size_t sentence)
{
    const slm_match_sentence *s = &text->sentences[sentence];
    return s->mood == SLM_MATCH_ASKS && s->personal && !s->repeated && !found->echo[sentence] &&
           found->known[sentence] < found->outside;
}

slm_status slm_match_pair(const slm_matcher *matcher, slm_match_kind kind, const char *target,
                          const char *text, slm_match_hit *hit, slm_error *err)
{
    slm_arena arena = {0};
    slm_match_target one = {.kind = kind, .text = target};
    slm_match_set *set = slm_match_set_new(matcher, &one, 1, NULL, 0);
    slm_match_text *read = slm_match_read(matcher, text, strlen(text), &arena);
    for (size_t i = 0; i < read->sentence_count; i++) {
        if (read->sentences[i].mood != SLM_MATCH_COURTESY)
            read->sentences[i].mood = kind == SLM_MATCH_QUESTION ? SLM_MATCH_ASKS : SLM_MATCH_TELLS;
        read->sentences[i].personal = true;
        read->sentences[i].user_voice = false;
    }
    slm_match_found found = slm_match_find(set, read, &arena);
    slm_status status = found.error == NULL ? SLM_OK : found.error->status;
    if (status == SLM_OK) *hit = found.hits[0];
    if (status != SLM_OK && err != NULL) *err = *found.error;
    slm_match_set_free(set);
    slm_arena_free(&arena);
    return status;
}

bool slm_match_same(const slm_matcher *matcher, slm_match_kind kind, const char *target,
                    const char *text, slm_match_hit *hit)
{
    slm_match_hit found = {.sentence = SIZE_MAX, .last = SIZE_MAX};
    slm_status status = slm_match_pair(matcher, kind, target, text, &found, NULL);
    if (hit != NULL) *hit = found;
    return status == SLM_OK && found.met;
}

/* ---- telling to act ------------------------------------------------------------------------ */

/* Is the condition in [begin, end) one that holds anyway: too thin to be one, or told before? */
static bool holds_already(const slm_match_text *text, size_t begin, size_t end,
                          const slm_match_text *known)
{
    double all = 0, there = 0;
    for (size_t i = begin; i < end; i++) {
        const match__word *w = &text->words[i];
        if (!w->in_condition || w->weight <= 0) continue;
        all += (double)w->weight;
        for (size_t j = 0; known != NULL && j < known->word_count; j++)
            if (known->words[j].hash == w->hash) {
                there += (double)w->weight;
                break;
            }
    }
    return all < CONTENT_MIN || there >= KNOWN_CONDITION * all;
}

/* A verb that can stand in an order: not "calling", "goes", "took". */
static bool is_order(const slm_match_text *text, const match__word *word)
{
    const match__token *t = &text->tokens[word->token];
    if ((word->flags & MATCH__GO) == 0 || word->negated) return false;
    if (match__token_is(t, "ring") || match__token_is(t, "bring")) return true;
    if (t->len > 3 && memcmp(t->text + t->len - 3, "ing", 3) == 0) return false;
    if (t->text[t->len - 1] == 's') return false;
    return !match__token_is(t, "took") && !match__token_is(t, "taken") &&
           !match__token_is(t, "got") && !match__token_is(t, "sought");
}

static bool is_hedged(const slm_match_text *text, size_t begin, size_t verb)
{
    for (size_t i = text->words[begin].token; i < text->words[verb].token; i++) {
        const match__token *t = &text->tokens[i];
        if (match__token_is(t, "might") || match__token_is(t, "may") ||
            match__token_is(t, "could") || match__token_is(t, "consider"))
            return true;
    }
    return false;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

uint64_t *slm_match_drugs(const slm_match_text *text, slm_arena *arena, size_t *count)
{
    size_t n = 0, distinct = 0;
    for (size_t i = 0; i < text->word_count; i++)
        n += (text->words[i].flags & MATCH__DRUG) != 0;
    uint64_t *drugs = slm_arena_array(arena, n + 1, sizeof *drugs);
    n = 0;
    for (size_t i = 0; i < text->word_count; i++)
        if (text->words[i].flags & MATCH__DRUG) drugs[n++] = text->words[i].hash;
    qsort(drugs, n, sizeof *drugs, by_hash);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || drugs[i] != drugs[i - 1]) drugs[distinct++] = drugs[i];
    *count = distinct;
    return drugs;
}

bool slm_match_tells_to_act(const slm_match_text *text, size_t sentence,
                            const slm_match_text *known)
{
    const slm_match_sentence *s = &text->sentences[sentence];
    if (s->mood == SLM_MATCH_ASKS || s->user_voice) return false;
    if (!holds_already(text, s->word_begin, s->word_end, known)) return false;
    bool urgent = (match__flags(text, s->word_begin, s->word_end) & MATCH__URGENT) != 0;
    for (size_t i = s->word_begin; i < s->word_end; i++) {
        if (!is_order(text, &text->words[i]) || is_hedged(text, s->word_begin, i)) continue;
        for (size_t j = i; j < s->word_end && j < i + ACT_REACH; j++) {
            uint32_t flags = text->words[j].flags;
            if (j > i && (flags & MATCH__CLAUSE) != 0) break;
            if ((flags & MATCH__EMERGENCY) != 0) return true;
            if ((flags & MATCH__CARE) != 0 && urgent) return true;
        }
    }
    return false;
}

bool slm_match_tells_not_to_act(const slm_match_text *text, size_t sentence)
{
    const slm_match_sentence *s = &text->sentences[sentence];
    if (s->mood == SLM_MATCH_ASKS || s->user_voice || s->conditional) return false;
    for (size_t i = s->word_begin; i < s->word_end; i++) {
        const match__word *w = &text->words[i];
        bool calls = w->key_len == 4 && memcmp(w->key, "call", 4) == 0;
        if (!calls || !w->negated) continue;
        for (size_t j = i + 1; j < s->word_end && j < i + ACT_REACH; j++) {
            if (text->words[j].gap >= MATCH__GAP_AND || (text->words[j].flags & MATCH__CLAUSE) != 0)
                break;
            if ((text->words[j].flags & MATCH__EMERGENCY) != 0) return true;
        }
    }
    return false;
}
