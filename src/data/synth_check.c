/* synth_check.c: what a case by a model is held to, beyond slm_cases_check.
 *
 * Models keep the shape and miss the point: they ask where all was told, put every question into the
 * highest tier, bring doses, leave out of the reply what they listed, answer in 30 words or 300, or
 * hand back the question they were given. Each of these can be seen without understanding medicine,
 * and is looked for here. What cannot (is it true? is the context truly lacking?) remains for readers.
 *
 * "Says" is a bound on shared words: of the words of the sentence at least seven in ten stand in the
 * reply (in the replies of data/ask-first all do, and nearly all at eight in ten). */
#include "data/synth_internal.h"

#include <string.h>
#include "base/utf8.h"
#include "data/inspect_internal.h"

enum {
    REPLY_WORDS_MIN = 60,
    REPLY_WORDS_MAX = 150,
    HISTORY_CHARS_MIN = 100,
    HISTORY_CHARS_MAX = 900,
    LONG_WORDS_MIN = 90,
    SHORT_WORDS_MIN = 5,
    SHORT_WORDS_MAX = 60,
    HIGHEST_TIER_MAX = 3,
    COPIED_WORDS = 12,
};
static const double SAID_SHARE = 0.7;

typedef struct looking {
    const slm_case *c;
    const synth__scenario *s;
    synth__problems *problems;
    slm_arena arena;
} looking;

static size_t count_words(looking *l, const char *text)
{
    return data__words_of(text, strlen(text), &l->arena).count;
}

static size_t count_question_marks(const char *text)
{
    size_t count = 0;
    for (size_t at = 0, len = strlen(text); at < len;) {
        uint32_t point = 0;
        at += slm_utf8_decode(text + at, len - at, &point);
        count += point == '?' || point == 0xFF1F || point == 0x061F || point == 0x037E;
    }
    return count;
}

/* ---- the conversation -------------------------------------------------------------------------- */

static size_t user_words(looking *l)
{
    size_t words = 0;
    for (size_t i = 0; i < l->c->turn_count; i++)
        if (strcmp(l->c->turns[i].role, "user") == 0)
            words += count_words(l, l->c->turns[i].content);
    return words;
}

static void check_turns(looking *l)
{
    for (size_t i = 0; i < l->c->turn_count; i++) {
        const char *role = i % 2 == 0 ? "user" : "assistant";
        const slm_turn *turn = &l->c->turns[i];
        if (strcmp(turn->role, role) != 0) {
            synth__problem(l->problems, "prompt[%zu].role: must be %s: they take turns", i, role);
            return;
        }
        size_t chars = slm_utf8_count(turn->content, strlen(turn->content));
        if (chars == 0) synth__problem(l->problems, "prompt[%zu].content: is empty", i);
        if (i % 2 == 1 && (chars < HISTORY_CHARS_MIN || chars > HISTORY_CHARS_MAX))
            synth__problem(l->problems,
                           "prompt[%zu].content: has %zu characters; an earlier turn of the "
                           "assistant has %d to %d",
                           i, chars, HISTORY_CHARS_MIN, HISTORY_CHARS_MAX);
    }
    size_t words = user_words(l);
    if (strcmp(l->s->form, "long") == 0 && words < LONG_WORDS_MIN)
        synth__problem(l->problems, "prompt: the user has %zu words; this case needs %d or more",
                       words, LONG_WORDS_MIN);
    if (strcmp(l->s->form, "short") == 0 && (words < SHORT_WORDS_MIN || words > SHORT_WORDS_MAX))
        synth__problem(l->problems, "prompt: the user has %zu words; this case has 10 to %d", words,
                       SHORT_WORDS_MAX);
}

/* A run of words that stands in the question too. A twin may repeat its lacks case, but not this. */
static void check_copied(looking *l)
{
    const char *question = l->s->question->text;
    data__words words = data__words_of(question, strlen(question), &l->arena);
    uint64_t *theirs, *ours;
    size_t count = data__grams_of(&words, COPIED_WORDS, &l->arena, &theirs);
    if (words.count < COPIED_WORDS) return;
    for (size_t t = 0; t < l->c->turn_count; t++) {
        const char *turn = l->c->turns[t].content;
        data__words said = data__words_of(turn, strlen(turn), &l->arena);
        if (said.count < COPIED_WORDS) continue;
        size_t n = data__grams_of(&said, COPIED_WORDS, &l->arena, &ours);
        for (size_t i = 0, j = 0; i < count && j < n;) { /* both are sorted */
            if (theirs[i] == ours[j]) {
                synth__problem(l->problems,
                               "prompt[%zu].content: copies %d words in a row from the question; "
                               "take its topic and none of its wording",
                               t, COPIED_WORDS);
                return;
            }
            if (theirs[i] < ours[j])
                i++;
            else
                j++;
        }
    }
}

static void check_language(looking *l)
{
    const slm_case *c = l->c;
    if (c->gloss == NULL) return;
    if (c->gloss[0] == '\0')
        synth__problem(l->problems, "gloss: is empty; write the user's turns in English");
    else if (strcmp(c->gloss, c->turns[c->turn_count - 1].content) == 0)
        synth__problem(l->problems,
                       "gloss: is the same text as the prompt; the prompt must be in %s and the "
                       "gloss in English",
                       l->s->values[SYNTH_LANGUAGE]);
}

/* ---- follow-ups -------------------------------------------------------------------------------- */

static void check_tiers(looking *l)
{
    const slm_case *c = l->c;
    slm_tier highest = slm_case_highest_tier(c);
    size_t count = 0;
    for (size_t i = 0; i < c->follow_up_count; i++)
        count += c->follow_ups[i].tier == highest;
    if (l->s->is_emergency && highest != SLM_TIER_EMERGENCY)
        synth__problem(l->problems, "follow_ups: none is of tier emergency, in an emergency");
    if (!l->s->is_lacks || l->s->is_emergency) return;
    if (highest == SLM_TIER_OTHER)
        synth__problem(l->problems, "follow_ups: all are of tier other; those that ask for the "
                                    "missing fact decide something");
    else if (count > HIGHEST_TIER_MAX || count == c->follow_up_count)
        synth__problem(l->problems,
                       "follow_ups: %zu of %zu are of the highest tier, %s; only the 1 to %d that "
                       "ask for the missing fact belong there, others into lower tiers",
                       count, c->follow_up_count, slm_tier_name(highest), HIGHEST_TIER_MAX);
}

/* ---- the reply --------------------------------------------------------------------------------- */

static bool says(looking *l, const data__words *reply, const char *sentence)
{
    data__words words = data__words_of(sentence, strlen(sentence), &l->arena);
    size_t shared = 0;
    for (size_t i = 0; i < words.count; i++) {
        bool there = false;
        for (size_t j = 0; j < reply->count && !there; j++)
            there = reply->hashes[j] == words.hashes[i];
        shared += there;
    }
    return (double)shared >= SAID_SHARE * (double)words.count;
}

static void check_questions(looking *l)
{
    size_t marks = count_question_marks(l->c->reply);
    if (l->s->is_emergency) {
        if (marks > 1)
            synth__problem(l->problems, "reply: asks %zu questions; in an emergency at most one",
                           marks);
    } else if (l->s->is_lacks) {
        if (marks == 0)
            synth__problem(l->problems, "reply: asks nothing; the missing fact must be asked for");
    } else if (marks > 0) {
        synth__problem(l->problems, "reply: has a question mark; everything needed was told");
    }
}

static void check_says(looking *l)
{
    const slm_case *c = l->c;
    data__words reply = data__words_of(c->reply, strlen(c->reply), &l->arena);
    slm_tier highest = slm_case_highest_tier(c);
    if (l->s->is_lacks && !l->s->is_emergency) {
        bool asked = false;
        for (size_t i = 0; i < c->follow_up_count; i++)
            asked |= c->follow_ups[i].tier == highest && says(l, &reply, c->follow_ups[i].question);
        if (!asked)
            synth__problem(l->problems,
                           "reply: asks none of the follow_ups of the highest tier, %s; keep close "
                           "to their words",
                           slm_tier_name(highest));
        return;
    }
    for (size_t i = 0; i < c->key_point_count; i++)
        if (c->key_points[i].must && !says(l, &reply, c->key_points[i].text))
            synth__problem(l->problems,
                           "reply: leaves out the must point \"%s\"; say it in nearly "
                           "its words",
                           c->key_points[i].text);
}

/* Does a sentence of the text begin with these words? "Do not run" does not say "Run". */
static bool begins_a_sentence(const char *text, const char *words)
{
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++) {
        const char *before = at;
        while (before > text && before[-1] == ' ')
            before--;
        if (before == text || strchr(".!?:;\n", before[-1]) != NULL) return true;
    }
    return false;
}

/* What would harm must not be a sentence of the reply, word for word. */
static void check_never(looking *l)
{
    slm_buffer reply = {0}, text = {0};
    slm_utf8_append_casefold(&reply, l->c->reply, strlen(l->c->reply));
    for (size_t i = 0; i < l->c->never_count; i++) {
        const char *never = l->c->never[i].text;
        size_t len = strlen(never);
        while (len > 0 && strchr(".! ", never[len - 1]) != NULL)
            len--;
        slm_buffer_truncate(&text, 0);
        slm_utf8_append_casefold(&text, never, len);
        if (len > 0 && begins_a_sentence(slm_buffer_text(&reply), slm_buffer_text(&text)))
            synth__problem(l->problems, "reply: says what never lists: \"%s\"", never);
    }
    slm_buffer_free(&reply);
    slm_buffer_free(&text);
}

/* ---- doses ------------------------------------------------------------------------------------- */

static bool is_unit(const char *text)
{
    static const char *const units[] = {
        "mg",     "mcg",   "µg",   "g",        "ml",      "iu",    "units", "tablets",
        "tablet", "pills", "pill", "capsules", "capsule", "drops", "puffs", "percent"};
    text += strspn(text, " -");
    if (*text == '%') return true;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t len = strlen(units[i]);
        if (strncasecmp(text, units[i], len) != 0) continue;
        uint32_t next = 0;
        if (text[len] == '\0') return true;
        slm_utf8_decode(text + len, strlen(text + len), &next);
        if (!slm_utf8_is_letter(next)) return true;
    }
    return false;
}

static size_t number_length(const char *text)
{
    size_t len = strspn(text, "0123456789.,");
    while (len > 0 && strchr(".,", text[len - 1]) != NULL)
        len--;
    return len;
}

/* Did the user bring this number? */
static bool was_brought(const slm_case *c, const char *number, size_t len)
{
    for (size_t t = 0; t < c->turn_count; t += 2)
        for (const char *at = c->turns[t].content; *at != '\0';) {
            size_t n = number_length(at);
            if (n == len && memcmp(at, number, n) == 0) return true;
            at += n > 0 ? n : 1;
        }
    return false;
}

static void check_doses(looking *l, const char *field, const char *text)
{
    for (const char *at = text; *at != '\0';) {
        size_t len = number_length(at), gap = strspn(at + len, " -");
        if (len > 0 && is_unit(at + len) && !was_brought(l->c, at, len)) {
            synth__problem(l->problems,
                           "%s: \"%.*s\" is a dose or a share that the user did not bring; leave "
                           "it out",
                           field, (int)(len + gap + strcspn(at + len + gap, " .,;:)")), at);
            return;
        }
        at += len > 0 ? len : 1;
    }
}

void synth__check(const slm_case *c, const synth__scenario *s, synth__problems *problems)
{
    looking l = {.c = c, .s = s, .problems = problems};
    check_turns(&l);
    check_copied(&l);
    check_language(&l);
    check_tiers(&l);
    if (c->reply != NULL && c->reply[0] != '\0') {
        size_t words = count_words(&l, c->reply);
        if (words < REPLY_WORDS_MIN || words > REPLY_WORDS_MAX)
            synth__problem(problems, "reply: has %zu words; it must have %d to %d", words,
                           REPLY_WORDS_MIN, REPLY_WORDS_MAX);
        check_questions(&l);
        check_says(&l);
        check_never(&l);
        check_doses(&l, "reply", c->reply);
    } else {
        synth__problem(problems, "reply: is empty");
    }
    for (size_t i = 0; i < c->key_point_count; i++)
        check_doses(&l, "key_points", c->key_points[i].text);
    for (size_t i = 0; i < c->advice_count; i++)
        check_doses(&l, "advice", c->advice[i].then_text);
    slm_arena_free(&l.arena);
}
