/* style.c: how answers are written: their length, their questions, and those that were refused.
 *
 * A question is a sentence that wants an answer from the reader, as match/ reads it: with or without
 * a question mark, but neither a courtesy ("does that help?") nor one in the user's own voice
 * ("should I worry?"), and one that stands twice counts once. Its word lists are English; in other
 * languages it is the question mark that tells. */
#include "eval/eval_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "match/match.h"

void eval__count_text(const char *text, uint32_t *words, uint32_t *characters)
{
    bool in_word = false;
    *words = *characters = 0;
    size_t len = text ? strlen(text) : 0;
    for (size_t at = 0; at < len; (*characters)++) {
        uint32_t c = (unsigned char)text[at];
        bool is_space, counts;
        if (c < 0x80) {
            at++;
            is_space = c == ' ' || (c >= '\t' && c <= '\r');
            counts = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        } else {
            at += slm_utf8_decode(text + at, len - at, &c);
            is_space = slm_utf8_is_space(c);
            counts = slm_utf8_is_letter(c) || slm_utf8_is_digit(c);
        }
        if (is_space) {
            in_word = false;
        } else if (counts && !in_word) {
            in_word = true;
            (*words)++;
        }
    }
}

/* ---- questions ---- */

typedef struct counter {
    slm_matcher *matcher;
    slm_arena arena;
    const slm_results *results;
} counter;

static int32_t count_questions(counter *c, const char *reply)
{
    int32_t questions = 0;
    slm_arena_reset(&c->arena);
    slm_match_text *text = slm_match_read(c->matcher, reply, strlen(reply), &c->arena);
    for (size_t i = 0; i < text->sentence_count; i++) {
        const slm_match_sentence *s = &text->sentences[i];
        questions += s->mood == SLM_MATCH_ASKS && !s->user_voice && !s->repeated;
    }
    return questions;
}

/* Rollouts of an arm by case and index. */
typedef struct place {
    const char *case_id;
    slm_rollout_scores *rollout;
} place;

typedef struct places {
    counter *counter;
    place *items;
    size_t count, at;
} places;

static int compare_places(const void *a, const void *b)
{
    const place *x = a, *y = b;
    int order = strcmp(x->case_id, y->case_id);
    if (order) return order;
    return (x->rollout->rollout > y->rollout->rollout) -
           (x->rollout->rollout < y->rollout->rollout);
}

static bool on_sample(void *context, const slm_sample *sample, bool empty)
{
    places *p = context;
    int32_t questions = -1;
    (void)empty;
    for (; p->at < p->count; p->at++) {
        place *at = &p->items[p->at];
        int order = strcmp(at->case_id, sample->case_id);
        if (order == 0)
            order =
                (at->rollout->rollout > sample->rollout) - (at->rollout->rollout < sample->rollout);
        if (order > 0) break;
        if (order < 0 || !at->rollout->has_text) continue;
        /* Several judges' arms stand side by side: the answer is read once. */
        if (questions < 0) questions = count_questions(p->counter, sample->reply);
        at->rollout->questions = questions;
    }
    return p->at < p->count;
}

static slm_status count_run(counter *c, slm_store *store, const char *run, slm_error *err)
{
    places p = {.counter = c};
    size_t cap = 0;
    for (size_t a = 0; a < c->results->arm_count; a++) {
        const slm_arm *arm = &c->results->arms[a];
        if (strcmp(arm->run.hash, run) != 0) continue;
        for (size_t i = 0; i < arm->case_count; i++)
            cap += arm->cases[i].rollout_count;
    }
    p.items = calloc(cap + 1, sizeof *p.items);
    if (!p.items) slm_out_of_memory(cap);
    for (size_t a = 0; a < c->results->arm_count; a++) {
        const slm_arm *arm = &c->results->arms[a];
        if (strcmp(arm->run.hash, run) != 0) continue;
        for (size_t i = 0; i < arm->case_count; i++) {
            for (size_t r = 0; r < arm->cases[i].rollout_count; r++)
                p.items[p.count++] = (place){arm->cases[i].case_id, &arm->cases[i].rollouts[r]};
        }
    }
    if (p.count) qsort(p.items, p.count, sizeof *p.items, compare_places);
    slm_status status = slm_store_sample_facts(store, run, on_sample, &p, err);
    free(p.items);
    return status;
}

slm_status slm_results_count_questions(slm_store *store, slm_results *results, slm_error *err)
{
    counter c = {.matcher = slm_matcher_new(), .results = results};
    slm_status status = SLM_OK;
    for (size_t i = 0; i < results->arm_count && status == SLM_OK; i++) {
        bool is_first = true;
        for (size_t j = 0; j < i && is_first; j++)
            is_first = strcmp(results->arms[j].run.hash, results->arms[i].run.hash) != 0;
        if (is_first) status = count_run(&c, store, results->arms[i].run.hash, err);
    }
    slm_matcher_free(c.matcher);
    slm_arena_free(&c.arena);
    return status;
}

/* ---- refusals ---- */

slm_refusals slm_arm_refusals(const slm_results *results, const slm_arm *arm)
{
    slm_refusals out = {.samples = arm->samples,
                        .refused = arm->refused,
                        .empty = arm->empty,
                        .cut_off = arm->cut_off};
    slm_measure measure = {.kind = SLM_MEASURE_REFUSED};
    double sums[2] = {0};
    size_t counts[2] = {0};
    out.share = slm_figure_of(results, arm, &measure);
    for (size_t i = 0; i < arm->case_count; i++) {
        for (size_t r = 0; r < arm->cases[i].rollout_count; r++) {
            const slm_rollout_scores *rollout = &arm->cases[i].rollouts[r];
            if (!rollout->has_score || !rollout->has_text) continue;
            sums[rollout->is_refused] += rollout->score;
            counts[rollout->is_refused]++;
        }
    }
    out.score_answered = counts[0] ? sums[0] / (double)counts[0] : NAN;
    out.score_refused = counts[1] ? sums[1] / (double)counts[1] : NAN;
    return out;
}
