/* scenario.c: a case, prepared once for all its episodes: what its texts are matched by, which
 * language it is in, what follow-ups weigh, and what may be named without having been invented.
 *
 * A follow-up weighs its own weight (1-5), halved for each tier below the highest that the case has: the
 * highest tier is what decides the answer, and what its rubric asks for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "data/targets.h"
#include "env/env_internal.h"

/* Where matching takes a sentence of the ideal reply for what must never be said (it says "most" where
 * the other says "all"), only what is more like it counts. */
static void find_harm_floors(env__scenario *s, const slm_matcher *matcher, const slm_case *c)
{
    s->harm_floors = slm_arena_array(&s->arena, c->never_count + 1, sizeof *s->harm_floors);
    if (c->reply == NULL) return;
    slm_arena scratch = {0};
    slm_match_text *text = slm_match_read(matcher, c->reply, strlen(c->reply), &scratch);
    slm_match_found found = slm_match_find(s->set, text, &scratch);
    for (size_t i = 0; i < c->never_count && found.error == NULL; i++)
        if (found.hits[s->never + i].met) s->harm_floors[i] = found.hits[s->never + i].score;
    slm_arena_free(&scratch);
}

/* Everything that a reply may draw on, as one text. What must never be said gives its medicines (a
 * warning names them) but not its numbers. */
static void append_known(slm_buffer *out, const slm_case *c)
{
    for (size_t i = 0; i < c->turn_count; i++)
        slm_buffer_printf(out, "%s\n", c->turns[i].content);
    for (size_t i = 0; i < c->follow_up_count; i++)
        slm_buffer_printf(out, "%s\n%s\n", c->follow_ups[i].question,
                          c->follow_ups[i].why != NULL ? c->follow_ups[i].why : "");
    for (size_t i = 0; i < c->fact_count; i++)
        slm_buffer_printf(out, "%s\n%s\n", c->facts[i].topic != NULL ? c->facts[i].topic : "",
                          c->facts[i].answer);
    for (size_t i = 0; i < c->key_point_count; i++)
        slm_buffer_printf(out, "%s\n", c->key_points[i].text);
    for (size_t i = 0; i < c->advice_count; i++)
        slm_buffer_printf(out, "%s\n%s\n", c->advice[i].if_text, c->advice[i].then_text);
    if (c->reply != NULL) slm_buffer_printf(out, "%s\n", c->reply);
    if (c->ideal != NULL) slm_buffer_printf(out, "%s\n", c->ideal);
}

static void find_known(env__scenario *s, const slm_matcher *matcher, const slm_case *c)
{
    slm_buffer known = {0};
    append_known(&known, c);
    env__quantities_add(&s->quantities, slm_buffer_text(&known));
    for (size_t i = 0; i < c->never_count; i++)
        slm_buffer_printf(&known, "%s\n", c->never[i].text);
    slm_arena scratch = {0};
    slm_match_text *text = slm_match_read(matcher, slm_buffer_text(&known), known.len, &scratch);
    size_t count = 0;
    uint64_t *drugs = slm_match_drugs(text, &scratch, &count);
    s->drugs = slm_arena_array(&s->arena, count + 1, sizeof *s->drugs);
    memcpy(s->drugs, drugs, count * sizeof *drugs);
    s->drug_count = count;
    slm_arena_free(&scratch);
    slm_buffer_free(&known);
}

static void find_weights(env__scenario *s, const slm_case *c)
{
    slm_tier highest = slm_case_highest_tier(c);
    s->weights = slm_arena_array(&s->arena, c->follow_up_count + 1, sizeof *s->weights);
    for (size_t i = 0; i < c->follow_up_count; i++) {
        const slm_follow_up *f = &c->follow_ups[i];
        s->weights[i] = (f->weight > 0 ? f->weight : 1) * pow(0.5, (int)f->tier - (int)highest);
    }
}

static bool is_loose(const slm_fact *fact)
{
    return fact->follow_up == NULL && fact->topic != NULL;
}

static void find_targets(env__scenario *s, const slm_matcher *matcher, const slm_case *c)
{
    size_t loose = 0;
    for (size_t i = 0; i < c->fact_count; i++)
        loose += is_loose(&c->facts[i]);
    s->key_points = c->follow_up_count;
    s->advice = s->key_points + c->key_point_count;
    s->never = s->advice + c->advice_count;
    s->topics = s->never + c->never_count;
    s->target_count = s->topics + loose;
    slm_match_target *targets = slm_arena_array(&s->arena, s->target_count + 1, sizeof *targets);
    size_t n = slm_case_targets(c, targets);
    for (size_t i = 0; i < c->fact_count; i++)
        if (is_loose(&c->facts[i]))
            targets[n++] = (slm_match_target){SLM_MATCH_QUESTION, c->facts[i].topic, NULL};
    s->pieces = slm_arena_array(&s->arena, s->target_count + 1, sizeof *s->pieces);
    for (size_t i = 0; i < s->target_count; i++)
        s->pieces[i] = env__pieces(targets[i].text, strlen(targets[i].text));

    const char **turns = slm_arena_array(&s->arena, c->turn_count + 1, sizeof *turns);
    slm_buffer said = {0};
    for (size_t i = 0; i < c->turn_count; i++) {
        turns[i] = c->turns[i].content;
        if (strcmp(c->turns[i].role, "user") == 0)
            slm_buffer_printf(&said, "%s\n", c->turns[i].content);
    }
    s->set = slm_match_set_new(matcher, targets, s->target_count, turns, c->turn_count);
    char *copy = slm_arena_strndup(&s->arena, slm_buffer_text(&said), said.len);
    s->conversation = slm_match_read(matcher, copy, said.len, &s->arena);
    s->language = env__language_named(c->language);
    env__language spoken = env__language_of(c->turns[c->turn_count - 1].content);
    if (s->language == ENV__LANGUAGE_UNKNOWN) s->language = spoken;
    /* Hindi in Latin letters: nobody can tell how it should be answered. */
    if (s->language == ENV__HINDI && spoken != ENV__HINDI) s->language = ENV__LANGUAGE_UNKNOWN;
    slm_buffer_free(&said);
}

env__scenario *env__scenario_new(const slm_matcher *matcher, const slm_case *c,
                                 uint64_t fingerprint)
{
    env__scenario *s = calloc(1, sizeof *s);
    if (s == NULL) slm_out_of_memory(sizeof *s);
    s->fingerprint = fingerprint;
    s->stratum = slm_env_stratum_of(c);
    find_targets(s, matcher, c);
    find_weights(s, c);
    find_harm_floors(s, matcher, c);
    find_known(s, matcher, c);
    return s;
}

void env__scenario_free(env__scenario *scenario)
{
    if (scenario == NULL) return;
    slm_match_set_free(scenario->set);
    env__quantities_free(&scenario->quantities);
    slm_arena_free(&scenario->arena);
    free(scenario);
}
