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
#include "base/threads.h"
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

enum { COUNTED_AT_ONCE = 512, COUNTERS = 16 };

/* Rollouts of an arm by case and index. */
typedef struct place {
    const char *case_id;
    slm_rollout_scores *rollout;
} place;

/* An answer that waits to be read: its places, since several judges' arms stand side by side. */
typedef struct answer {
    size_t text; /* offset in the buffer */
    size_t begin, end;
} answer;

typedef struct counter {
    slm_matcher *matcher;
    slm_threads *threads;
    slm_arena arenas[COUNTERS]; /* of each thread */
    const slm_results *results;
    place *places; /* of the run being read, in key order */
    size_t place_count, at;
    answer answers[COUNTED_AT_ONCE];
    size_t answer_count;
    slm_buffer texts;
} counter;

static int32_t count_questions(const slm_matcher *matcher, const char *reply, slm_arena *arena)
{
    int32_t questions = 0;
    slm_arena_reset(arena);
    slm_match_text *text = slm_match_read(matcher, reply, strlen(reply), arena);
    for (size_t i = 0; i < text->sentence_count; i++) {
        const slm_match_sentence *s = &text->sentences[i];
        questions += s->mood == SLM_MATCH_ASKS && !s->user_voice && !s->repeated;
    }
    return questions;
}

static void count_some(void *context, size_t begin, size_t end, int thread)
{
    counter *c = context;
    for (size_t i = begin; i < end; i++) {
        const answer *a = &c->answers[i];
        int32_t questions =
            count_questions(c->matcher, c->texts.data + a->text, &c->arenas[thread]);
        for (size_t j = a->begin; j < a->end; j++)
            c->places[j].rollout->questions = questions;
    }
}

static void count_waiting(counter *c)
{
    slm_threads_run(c->threads, c->answer_count, 8, count_some, c);
    c->answer_count = 0;
    slm_buffer_truncate(&c->texts, 0);
}

static int compare_places(const void *a, const void *b)
{
    const place *x = a, *y = b;
    int order = strcmp(x->case_id, y->case_id);
    if (order) return order;
    return (x->rollout->rollout > y->rollout->rollout) -
           (x->rollout->rollout < y->rollout->rollout);
}

static int order_of(const place *at, const slm_sample *sample)
{
    int order = strcmp(at->case_id, sample->case_id);
    if (order) return order;
    return (at->rollout->rollout > sample->rollout) - (at->rollout->rollout < sample->rollout);
}

static bool on_sample(void *context, const slm_sample *sample, bool empty)
{
    counter *c = context;
    (void)empty;
    while (c->at < c->place_count && order_of(&c->places[c->at], sample) < 0)
        c->at++;
    answer a = {.text = c->texts.len, .begin = c->at};
    while (c->at < c->place_count && order_of(&c->places[c->at], sample) == 0)
        c->at++;
    a.end = c->at;
    if (a.begin == a.end || !c->places[a.begin].rollout->has_text) return c->at < c->place_count;
    slm_buffer_append(&c->texts, sample->reply, strlen(sample->reply) + 1);
    c->answers[c->answer_count++] = a;
    if (c->answer_count == COUNTED_AT_ONCE) count_waiting(c);
    return c->at < c->place_count;
}

static void find_places(counter *c, const char *run)
{
    size_t cap = 0;
    c->place_count = c->at = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1) {
            c->places = calloc(cap + 1, sizeof *c->places);
            if (!c->places) slm_out_of_memory(cap);
        }
        for (size_t a = 0; a < c->results->arm_count; a++) {
            const slm_arm *arm = &c->results->arms[a];
            if (strcmp(arm->run.hash, run) != 0) continue;
            for (size_t i = 0; i < arm->case_count; i++) {
                const slm_case_scores *scores = &arm->cases[i];
                cap += scores->rollout_count;
                for (size_t r = 0; pass == 1 && r < scores->rollout_count; r++)
                    c->places[c->place_count++] = (place){scores->case_id, &scores->rollouts[r]};
            }
        }
    }
    if (c->place_count) qsort(c->places, c->place_count, sizeof *c->places, compare_places);
}

static bool is_first(const slm_results *results, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(results->arms[i].run.hash, results->arms[at].run.hash) == 0) return false;
    }
    return true;
}

slm_status slm_results_count_questions(slm_store *store, slm_results *results, slm_error *err)
{
    counter *c = calloc(1, sizeof *c);
    if (!c) slm_out_of_memory(sizeof *c);
    int threads = slm_threads_available();
    slm_status status = SLM_OK;
    c->results = results;
    c->matcher = slm_matcher_new();
    SLM_TRY_OUT(slm_threads_new(threads < COUNTERS ? threads : COUNTERS, &c->threads, err));
    for (size_t i = 0; i < results->arm_count && status == SLM_OK; i++) {
        if (!is_first(results, i)) continue;
        find_places(c, results->arms[i].run.hash);
        status = slm_store_sample_facts(store, results->arms[i].run.hash, on_sample, c, err);
        count_waiting(c);
        free(c->places);
        c->places = NULL;
    }
out:
    slm_threads_free(c->threads);
    slm_matcher_free(c->matcher);
    for (size_t i = 0; i < COUNTERS; i++)
        slm_arena_free(&c->arenas[i]);
    slm_buffer_free(&c->texts);
    free(c);
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
