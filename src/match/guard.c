/* guard.c: what keeps a likeness from being sameness.
 *
 * "Is the pain on the left?" and "Is the pain on the right?" share nearly every word and ask two
 * things. Each guard reads one kind of small word and objects when both sides have it and differ.
 * Where one side says nothing about it, the guard is silent, but for the persons and times whose
 * absence says something: "Has anyone in your family had asthma?" is not "Have you had asthma?". */
#include "match/match_internal.h"

static const uint32_t persons_by_rank[] = {MATCH__FAMILY, MATCH__CHILD, MATCH__PRONOUN,
                                           MATCH__SELF};

/* Whom a unit is about: the most particular of the persons in it ("your son": the son). */
static uint32_t person_of(uint32_t flags)
{
    for (size_t i = 0; i < sizeof persons_by_rank / sizeof persons_by_rank[0]; i++)
        if (flags & persons_by_rank[i]) return persons_by_rank[i];
    return 0;
}

static bool persons_differ(uint32_t a, uint32_t b)
{
    a = person_of(a);
    b = person_of(b);
    if (a == b) return false;
    if (a == MATCH__PRONOUN || b == MATCH__PRONOUN) /* he and she stand for whoever was meant */
        return a == MATCH__SELF || b == MATCH__SELF;
    if (a == MATCH__FAMILY || b == MATCH__FAMILY) return true;
    return a != 0 && b != 0;
}

static bool times_differ(uint32_t a, uint32_t b)
{
    const uint32_t here = MATCH__NOW | MATCH__PRESENT;
    bool past_a = (a & MATCH__PAST) != 0, past_b = (b & MATCH__PAST) != 0;
    bool coming_a = (a & MATCH__FUTURE) != 0, coming_b = (b & MATCH__FUTURE) != 0;
    if (coming_a != coming_b) return (coming_a ? b : a) & (here | MATCH__PAST);
    if (past_a != past_b) return (past_a ? b : a) & here;
    return false;
}

static bool sides_differ(uint32_t a, uint32_t b)
{
    a &= MATCH__SIDES;
    b &= MATCH__SIDES;
    return a != 0 && b != 0 && (a & b) == 0;
}

/* Both name some, and none in common. */
static bool names_differ(const uint64_t *a, size_t a_count, const uint64_t *b, size_t b_count)
{
    if (a_count == 0 || b_count == 0) return false;
    for (size_t i = 0; i < a_count; i++)
        for (size_t j = 0; j < b_count; j++)
            if (a[i] == b[j]) return false;
    return true;
}

static slm_match_guard guard_statement(const match__likeness *likeness, slm_match_kind kind,
                                       const match__unit *target, const match__unit *text)
{
    if ((target->flags & MATCH__FIRST) != 0 && (text->flags & MATCH__FIRST) == 0)
        return SLM_MATCH_GUARD_SUBJECT;
    if (kind == SLM_MATCH_HARM) { /* blame needs more agreement than credit */
        if (likeness->opposite_words || likeness->plain_accord < MATCH__HARM_AGREEMENT_MIN)
            return SLM_MATCH_GUARD_NEGATION;
        return SLM_MATCH_GUARD_NONE;
    }
    /* "Do not kiss the baby until it has healed" is not said by "it heals". */
    if (likeness->denied < MATCH__DENIED_MIN) return SLM_MATCH_GUARD_NEGATION;
    /* "do not stop" and "continue": opposite words with opposite polarity agree */
    if ((likeness->agreement < MATCH__OPPOSED_MAX) != likeness->opposite_words)
        return SLM_MATCH_GUARD_NEGATION;
    /* "Call an ambulance now" is not said by "if it gets worse, call an ambulance". */
    if (kind == SLM_MATCH_STATEMENT && (target->flags & (MATCH__EMERGENCY | MATCH__URGENT)) != 0 &&
        (target->flags & MATCH__IF) == 0 && (text->flags & MATCH__IF) != 0)
        return SLM_MATCH_GUARD_IF;
    return SLM_MATCH_GUARD_NONE;
}

slm_match_guard match__guard(const match__likeness *likeness, slm_match_kind kind,
                             const match__unit *target, const match__unit *text)
{
    if (names_differ(target->drugs, target->drug_count, text->drugs, text->drug_count))
        return SLM_MATCH_GUARD_DRUG;
    if (sides_differ(target->flags, text->flags)) return SLM_MATCH_GUARD_SIDE;
    if (kind != SLM_MATCH_QUESTION) return guard_statement(likeness, kind, target, text);
    if (names_differ(target->sites, target->site_count, text->sites, text->site_count))
        return SLM_MATCH_GUARD_SITE;
    /* A question asks the same with and without its "not". */
    if (likeness->opposite_words) return SLM_MATCH_GUARD_NEGATION;
    if (persons_differ(target->flags, text->flags)) return SLM_MATCH_GUARD_SUBJECT;
    if (times_differ(target->flags, text->flags)) return SLM_MATCH_GUARD_TIME;
    if (target->aspect != 0 && text->aspect != 0 && (target->aspect & text->aspect) == 0)
        return SLM_MATCH_GUARD_ASPECT;
    return SLM_MATCH_GUARD_NONE;
}

const char *slm_match_guard_name(slm_match_guard guard)
{
    static const char *const names[] = {"none",         "negation", "subject",  "side",
                                        "time",         "aspect",   "medicine", "part of the body",
                                        "its condition"};
    return names[guard];
}
