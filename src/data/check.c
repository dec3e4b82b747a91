/* check.c: the cases that this project writes, held to more than the reader asks.
 *
 * The reader takes any HealthBench row. Ours promise more (data/ask-first/README.md): every field,
 * bounded counts, families in which a scenario stands both with and without its decisive fact,
 * facts that answer every follow-up, no text twice, and a rubric whose checks follow one
 * convention, so that seek, precise, safe and act mean the same in every case. Each finding is told
 * with file, line and field; a check that finds nothing says nothing. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/utf8.h"
#include "data/data_internal.h"

typedef struct checker {
    const slm_cases *cases;
    void (*on_problem)(void *context, const slm_error *problem);
    void *context;
    size_t found;
} checker;

__attribute__((format(printf, 4, 5))) static void find(checker *k, const slm_case *c,
                                                       const char *field, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    slm_error problem = {0};
    slm_error_set(&problem, SLM_ERR_FORMAT, "%s:%zu: %s: %s", c->file, c->line, field, text);
    k->found++;
    if (k->on_problem != NULL) k->on_problem(k->context, &problem);
}

/* Two texts that differ in case, spaces and punctuation alone are the same text. */
static char *folded(slm_arena *arena, const char *text)
{
    slm_buffer fold = {0}, out = {0};
    slm_utf8_append_casefold(&fold, text, strlen(text));
    bool gap = false;
    for (size_t at = 0; at < fold.len;) {
        uint32_t point = 0;
        size_t step = slm_utf8_decode(fold.data + at, fold.len - at, &point);
        if (slm_utf8_is_space(point) || slm_utf8_is_punctuation(point)) {
            gap = out.len > 0;
        } else {
            if (gap) slm_buffer_append_char(&out, ' ');
            slm_buffer_append(&out, fold.data + at, step);
            gap = false;
        }
        at += step;
    }
    char *copy = slm_arena_strndup(arena, slm_buffer_text(&out), out.len);
    slm_buffer_free(&fold);
    slm_buffer_free(&out);
    return copy;
}

static void check_fields(checker *k, const slm_case *c)
{
    const struct {
        const char *name, *value;
    } texts[] = {{"specialty", c->specialty},
                 {"register", c->register_name},
                 {"language", c->language},
                 {"source", c->source},
                 {"licence", c->licence}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].value == NULL || texts[i].value[0] == '\0')
            find(k, c, texts[i].name, "is missing; our cases have it");
    if (c->context == SLM_CONTEXT_NONE) find(k, c, "context", "is missing; lacks or enough");
    if (c->disposition == SLM_DISPOSITION_NONE)
        find(k, c, "disposition", "is missing; emergency, urgent, routine or self-care");
    if (c->difficulty == 0) find(k, c, "difficulty", "is missing; 1 to 5");
    if (c->language != NULL && strncasecmp(c->language, "en", 2) != 0 && c->gloss == NULL)
        find(k, c, "gloss", "is missing; a case that is not English has an English gloss");
}

static void check_count(checker *k, const slm_case *c, const char *field, size_t count, size_t low,
                        size_t high)
{
    if (count < low || count > high)
        find(k, c, field, "has %zu; our cases have %zu to %zu", count, low, high);
}

static void check_lists(checker *k, const slm_case *c)
{
    check_count(k, c, "follow_ups", c->follow_up_count, 3, 7);
    check_count(k, c, "key_points", c->key_point_count, 1, 4);
    check_count(k, c, "advice", c->advice_count, 1, 3);
    check_count(k, c, "never", c->never_count, 1, 8);
    bool must = false;
    for (size_t i = 0; i < c->key_point_count; i++)
        must |= c->key_points[i].must;
    if (c->key_point_count > 0 && !must) find(k, c, "key_points", "none is marked must");
    for (size_t i = 0; i < c->follow_up_count; i++) {
        const slm_follow_up *f = &c->follow_ups[i];
        bool answered = false;
        for (size_t j = 0; j < c->fact_count; j++)
            answered |= c->facts[j].follow_up != NULL && strcmp(c->facts[j].follow_up, f->id) == 0;
        if (!answered)
            find(k, c, "facts", "none answers follow-up '%s': the patient could not", f->id);
        if (f->why == NULL || f->why[0] == '\0')
            find(k, c, "follow_ups", "'%s' has no why; say what its answer decides", f->id);
    }
    for (size_t i = 0; i < c->fact_count; i++)
        if (c->facts[i].topic == NULL || c->facts[i].topic[0] == '\0')
            find(k, c, "facts", "'%s' has no topic", c->facts[i].id);
}

/* Texts that must differ within a case: every list for itself. */
static void check_duplicates(checker *k, const slm_case *c)
{
    slm_arena arena = {0};
    const struct {
        const char *field;
        size_t count;
    } lists[] = {{"follow_ups", c->follow_up_count},
                 {"key_points", c->key_point_count},
                 {"advice", c->advice_count},
                 {"never", c->never_count},
                 {"rubrics", c->rubric_count}};
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
        data__set seen = {0};
        for (size_t i = 0; i < lists[l].count; i++) {
            const char *text = l == 0   ? c->follow_ups[i].question
                               : l == 1 ? c->key_points[i].text
                               : l == 2 ? slm_arena_printf(&arena, "%s / %s", c->advice[i].if_text,
                                                           c->advice[i].then_text)
                               : l == 3 ? c->never[i].text
                                        : c->rubrics[i].criterion;
            size_t first = data__set_put(&seen, folded(&arena, text), i);
            if (first != SIZE_MAX)
                find(k, c, lists[l].field, "%zu says the same as %zu: '%s'", i, first, text);
        }
        data__set_free(&seen);
    }
    slm_arena_free(&arena);
}

static bool lists_id(const slm_id_list *list, const char *id)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->ids[i], id) == 0) return true;
    return false;
}

static const slm_rubric_item *rubric_of(const slm_case *c, slm_behaviour behaviour)
{
    for (size_t i = 0; i < c->rubric_count; i++)
        if (c->rubrics[i].behaviour == behaviour && c->rubrics[i].check != NULL)
            return &c->rubrics[i];
    return NULL;
}

static void check_seek(checker *k, const slm_case *c, const slm_check *check)
{
    slm_tier highest = slm_case_highest_tier(c);
    for (size_t i = 0; i < c->follow_up_count; i++) {
        const slm_follow_up *f = &c->follow_ups[i];
        bool listed = lists_id(&check->asks, f->id);
        if (listed != (f->tier == highest))
            find(k, c, "rubrics",
                 "seek %s follow-up '%s' of tier %s; it lists those of the "
                 "highest tier, here %s",
                 listed ? "lists" : "leaves out", f->id, slm_tier_name(f->tier),
                 slm_tier_name(highest));
    }
}

/* Which behaviours a case is graded on, and that their checks are whole. */
static void check_rubric(checker *k, const slm_case *c)
{
    bool emergency = c->disposition == SLM_DISPOSITION_EMERGENCY;
    slm_behaviour first = emergency                          ? SLM_BEHAVIOUR_ACT
                          : c->context == SLM_CONTEXT_ENOUGH ? SLM_BEHAVIOUR_PRECISE
                                                             : SLM_BEHAVIOUR_SEEK;
    const slm_behaviour wanted[] = {first, SLM_BEHAVIOUR_SAFE};
    for (size_t i = 0; i < 2; i++) {
        const slm_rubric_item *item = rubric_of(c, wanted[i]);
        if (item == NULL) {
            find(k, c, "rubrics", "no criterion with a check is tagged behaviour:%s",
                 slm_behaviour_name(wanted[i]));
            continue;
        }
        if (item->points <= 0)
            find(k, c, "rubrics", "behaviour:%s has %g points; it must have positive ones",
                 slm_behaviour_name(wanted[i]), item->points);
        if (wanted[i] == SLM_BEHAVIOUR_SEEK) check_seek(k, c, item->check);
        if (wanted[i] == SLM_BEHAVIOUR_ACT || wanted[i] == SLM_BEHAVIOUR_SEEK) continue;
        for (size_t j = 0; j < c->key_point_count; j++)
            if (c->key_points[j].must && !lists_id(&item->check->says, c->key_points[j].id))
                find(k, c, "rubrics", "behaviour:%s leaves out the must point '%s'",
                     slm_behaviour_name(wanted[i]), c->key_points[j].id);
        for (size_t j = 0; j < c->never_count; j++)
            if (!lists_id(&item->check->avoids, c->never[j].id))
                find(k, c, "rubrics", "behaviour:%s leaves out the never '%s'",
                     slm_behaviour_name(wanted[i]), c->never[j].id);
    }
    for (size_t i = 0; i < c->rubric_count; i++)
        if (c->rubrics[i].behaviour != SLM_BEHAVIOUR_NONE && c->rubrics[i].check == NULL)
            find(k, c, "rubrics", "%zu is tagged behaviour:%s but has no check", i,
                 slm_behaviour_name(c->rubrics[i].behaviour));
}

/* Over the set: a family with a case tagged twin holds both contexts; no conversation stands twice. */
static void check_set(checker *k)
{
    const slm_cases *cases = k->cases;
    slm_arena arena = {0};
    data__set families = {0}, prompts = {0};
    size_t *members = slm_arena_array(&arena, cases->count, sizeof *members);
    size_t *lacks = slm_arena_array(&arena, cases->count, sizeof *lacks);
    size_t *twins = slm_arena_array(&arena, cases->count, sizeof *twins);
    for (size_t i = 0; i < cases->count; i++) {
        const slm_case *c = &cases->items[i];
        size_t first = data__set_put(&families, c->family, i);
        if (first == SIZE_MAX) first = i;
        members[first]++;
        lacks[first] += c->context == SLM_CONTEXT_LACKS;
        twins[first] += slm_case_has_tag(c, "twin");

        slm_buffer all = {0};
        for (size_t t = 0; t < c->turn_count; t++)
            slm_buffer_printf(&all, "%s %s ", c->turns[t].role, c->turns[t].content);
        size_t same = data__set_put(&prompts, folded(&arena, slm_buffer_text(&all)), i);
        slm_buffer_free(&all);
        if (same != SIZE_MAX)
            find(k, c, "prompt", "is the same conversation as %s:%zu", cases->items[same].file,
                 cases->items[same].line);
    }
    for (size_t i = 0; i < cases->count; i++) {
        if (twins[i] == 0 || (lacks[i] > 0 && lacks[i] < members[i])) continue;
        find(k, &cases->items[i], "family",
             "'%s' has a twin among %zu and %s; twins are the same scenario with the decisive fact "
             "and "
             "without it",
             cases->items[i].family, members[i],
             lacks[i] > 0 ? "none with enough context" : "none that lacks context");
    }
    data__set_free(&families);
    data__set_free(&prompts);
    slm_arena_free(&arena);
}

size_t slm_cases_check(const slm_cases *cases,
                       void (*on_problem)(void *context, const slm_error *problem), void *context)
{
    checker k = {.cases = cases, .on_problem = on_problem, .context = context};
    for (size_t i = 0; i < cases->count; i++) {
        check_fields(&k, &cases->items[i]);
        check_lists(&k, &cases->items[i]);
        check_duplicates(&k, &cases->items[i]);
        check_rubric(&k, &cases->items[i]);
    }
    check_set(&k);
    return k.found;
}
