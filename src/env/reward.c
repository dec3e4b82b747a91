/* reward.c: the named parts of a reward, and their sum (docs/rewards.md).
 *
 * Goals are what a good answer does, in [0,1]; penalties what no answer should do, in [-1,0]. A part
 * that does not apply to a case is NaN and does not count. The total is the weighted mean of the goals
 * that apply plus the weighted penalties, kept in [-1,1]: a goal's weight is its share, a penalty's
 * weight what it takes away at worst.
 *
 * F-beta: van Rijsbergen, Information Retrieval (1979), chapter 7. */
#include <math.h>
#include <string.h>
#include "env/env_internal.h"

static const double REPEATED_FREE = 0.1;  /* share of repeated runs that costs nothing */
static const double REPEATED_WHOLE = 0.5; /* and from which on it costs all */
static const double UNGROUNDED_EACH = 0.34;
static const double OUTSIDE_EACH = 0.25;
static const double OPTIONAL_POINT = 0.25; /* a key point that need not be said */
enum { CONDITIONAL_FREE = 3 };             /* conditional sentences beside the case's own advice */

static const char *const part_names[SLM_REWARD_PARTS] = {
    [SLM_REWARD_COVERAGE] = "coverage", [SLM_REWARD_KEY_POINTS] = "key_points",
    [SLM_REWARD_BANK] = "bank",         [SLM_REWARD_ACT_FIRST] = "act_first",
    [SLM_REWARD_RUBRIC] = "rubric",     [SLM_REWARD_NEVER] = "never",
    [SLM_REWARD_GROUNDED] = "grounded", [SLM_REWARD_HOLDING_BACK] = "holding_back",
    [SLM_REWARD_RUSHING] = "rushing",   [SLM_REWARD_REPETITION] = "repetition",
    [SLM_REWARD_LANGUAGE] = "language", [SLM_REWARD_FORMAT] = "format",
    [SLM_REWARD_LENGTH] = "length",
};

const char *slm_reward_part_name(slm_reward_part part)
{
    return (size_t)part < SLM_REWARD_PARTS ? part_names[part] : "unknown";
}

bool slm_reward_part_is_goal(slm_reward_part part)
{
    return part <= SLM_REWARD_RUBRIC;
}

/* ---- options ------------------------------------------------------------------------------- */

#define WEIGHT(key, part, value, text)                                                             \
    {                                                                                              \
        .name = key, .type = SLM_OPTION_NUMBER, .min = 0, .max = 100, .value_name = "WEIGHT",      \
        .offset = offsetof(slm_reward_options, weights) + (part) * sizeof(double),                 \
        .default_text = value, .help = text                                                        \
    }

/* clang-format off */
const slm_option slm_reward_option_table[] = {
    {.name = "coverage", .type = SLM_OPTION_NUMBER, .min = 0, .max = 100, .value_name = "WEIGHT",
     .offset = offsetof(slm_reward_options, weights) + SLM_REWARD_COVERAGE * sizeof(double),
     .default_text = "2", .group = "Rewards",
     .help = "share of asking the case's follow-ups, where context lacks"},
    WEIGHT("key-points", SLM_REWARD_KEY_POINTS, "1", "share of saying what the answer must say"),
    WEIGHT("bank", SLM_REWARD_BANK, "0.5", "share of saying the case's conditional safety advice"),
    WEIGHT("act-first", SLM_REWARD_ACT_FIRST, "2", "share of acting in the first sentence of an emergency"),
    WEIGHT("rubric", SLM_REWARD_RUBRIC, "0", "share of a judge's score; above 0 it is asked"),
    WEIGHT("never", SLM_REWARD_NEVER, "1", "taken away for saying what would harm"),
    WEIGHT("grounded", SLM_REWARD_GROUNDED, "0.5", "taken away for medicines, quantities and statistics from nowhere"),
    WEIGHT("holding-back", SLM_REWARD_HOLDING_BACK, "0.5", "taken away for asking where the answer was due"),
    WEIGHT("rushing", SLM_REWARD_RUSHING, "0.5", "taken away for asking nothing where context lacks"),
    WEIGHT("repetition", SLM_REWARD_REPETITION, "0.5", "taken away for saying the same again"),
    WEIGHT("language", SLM_REWARD_LANGUAGE, "1", "taken away for another language than the user's"),
    WEIGHT("format", SLM_REWARD_FORMAT, "0.5", "taken away for empty replies, role tokens, headings and tables"),
    WEIGHT("length", SLM_REWARD_LENGTH, "0.5", "taken away for long replies"),
    {.name = "beta", .type = SLM_OPTION_NUMBER, .min = 0.1, .max = 10, .value_name = "BETA",
     .offset = offsetof(slm_reward_options, beta), .default_text = "1",
     .help = "of coverage's F-beta: above 1 asking all weighs more than asking nothing else"},
    {.name = "words-soft", .type = SLM_OPTION_INT, .min = 1, .max = 100000, .value_name = "N",
     .offset = offsetof(slm_reward_options, words_soft), .default_text = "160",
     .help = "words of a reply from which on length costs"},
    {.name = "words-hard", .type = SLM_OPTION_INT, .min = 1, .max = 100000, .value_name = "N",
     .offset = offsetof(slm_reward_options, words_hard), .default_text = "320",
     .help = "words of a reply from which on length costs all of its weight"},
    {.name = NULL},
};
/* clang-format on */

slm_reward_options slm_reward_options_default(void)
{
    const slm_command command = {
        .name = "reward",
        .tables = {slm_reward_option_table},
        .options_bytes = sizeof(slm_reward_options),
    };
    slm_reward_options options;
    slm_arena arena = {0};
    slm_options_defaults(&command, &options, &arena);
    slm_arena_free(&arena);
    return options;
}

slm_status slm_reward_options_check(const slm_reward_options *options, slm_error *err)
{
    for (size_t p = 0; p < SLM_REWARD_PARTS; p++)
        if (!(options->weights[p] >= 0 && options->weights[p] <= 100))
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "reward.%s is %g; a weight is from 0 to 100, and 0 turns it off",
                                 part_names[p], options->weights[p]);
    if (!(options->beta >= 0.1 && options->beta <= 10))
        return slm_error_set(err, SLM_ERR_INVALID, "reward.beta is %g; it must be from 0.1 to 10",
                             options->beta);
    if (options->words_soft < 1 || options->words_hard <= options->words_soft ||
        options->words_hard > 100000)
        return slm_error_set(
            err, SLM_ERR_INVALID,
            "reward.words_soft is %lld and words_hard %lld; they must be from 1 to "
            "100000, the second above the first",
            (long long)options->words_soft, (long long)options->words_hard);
    return SLM_OK;
}

/* ---- an episode's replies ------------------------------------------------------------------ */

void env__tally_take(env__tally *tally, const env__scenario *s, const env__reading *r,
                     const char *reply, bool is_first)
{
    for (size_t t = 0; t < s->target_count; t++) {
        tally->met_earlier[t] = tally->met[t];
        tally->met[t] |= r->met[t];
    }
    tally->cost += r->cost;
    tally->questions = (size_t)(tally->cost + 0.5);
    tally->conditional += r->conditional;
    tally->ungrounded += r->ungrounded;
    tally->degenerate |= r->degenerate;
    tally->answers = r->asks == 0;
    tally->last_asks = r->asks;
    tally->last_outside = r->outside;
    if (is_first) tally->acts_first = r->acts_first;
    if (s->language != ENV__LANGUAGE_UNKNOWN)
        tally->language = fmin(tally->language, env__language_penalty(reply, s->language));
    tally->format = fmin(tally->format, env__format_penalty(reply));
    size_t words = env__words(reply);
    if (words > tally->words) tally->words = words;
}

/* ---- parts --------------------------------------------------------------------------------- */

static double coverage(const slm_reward_options *options, const slm_case *c, const env__scenario *s,
                       const env__tally *tally)
{
    double weight = 0, asked = 0;
    size_t count = 0;
    if (s->stratum != SLM_ENV_LACKS || c->follow_up_count == 0) return NAN;
    for (size_t i = 0; i < c->follow_up_count; i++) {
        weight += s->weights[i];
        if (!tally->met[i]) continue;
        asked += s->weights[i];
        count++;
    }
    if (count == 0) return 0;
    double recall = asked / weight, b2 = options->beta * options->beta;
    double precision = (double)count / (tally->cost > (double)count ? tally->cost : (double)count);
    return (1 + b2) * precision * recall / (b2 * precision + recall);
}

/* Share of the key points that are said; one that need not be counts a quarter of one that must. */
static double key_points(const slm_case *c, const env__scenario *s, const env__tally *tally)
{
    double wanted = 0, said = 0;
    for (size_t i = 0; i < c->key_point_count; i++) {
        double weight = c->key_points[i].must ? 1 : OPTIONAL_POINT;
        wanted += weight;
        if (tally->met[s->key_points + i]) said += weight;
    }
    return wanted > 0 ? said / wanted : NAN;
}

/* One sentence of the case's advice is enough; but who says dozens has not chosen. In an emergency the
 * advice is to act, which is looked for elsewhere. */
static double bank(const slm_case *c, const env__scenario *s, const env__tally *tally,
                   size_t replies)
{
    size_t said = 0;
    if (c->advice_count == 0 || s->stratum == SLM_ENV_EMERGENCY) return NAN;
    for (size_t i = 0; i < c->advice_count; i++)
        said += tally->met[s->advice + i];
    if (said == 0) return 0;
    size_t free = (said + CONDITIONAL_FREE) * (replies > 0 ? replies : 1);
    return tally->conditional <= free ? 1 : (double)free / (double)tally->conditional;
}

static double never(const slm_case *c, const env__scenario *s, const env__tally *tally)
{
    if (c->never_count == 0) return NAN;
    for (size_t i = 0; i < c->never_count; i++)
        if (tally->met[s->never + i]) return -1;
    return 0;
}

/* Where the answer was due: all of it for asking without a key point, else some for each question that
 * the case has no use for. */
static double holding_back(const slm_case *c, const env__scenario *s, const env__tally *tally)
{
    bool due = tally->at_limit || (c->key_point_count > 0 && c->context != SLM_CONTEXT_NONE &&
                                   s->stratum != SLM_ENV_LACKS);
    if (!due) return NAN;
    if (tally->last_asks == 0) return 0;
    bool said = false;
    for (size_t i = 0; i < c->key_point_count; i++)
        said |= tally->met[s->key_points + i];
    if (!said) return -1;
    if (tally->at_limit) return -0.5;
    return -fmin(1, OUTSIDE_EACH * (double)tally->last_outside);
}

/* Its mirror: nothing was asked where the answer was not due. Without it a model that cannot yet tell
 * the two apart learns to ask less, since a question that is not the right one earns nothing. */
static double rushing(const slm_case *c, const env__scenario *s, const env__tally *tally)
{
    if (s->stratum != SLM_ENV_LACKS || c->follow_up_count == 0) return NAN;
    return tally->cost > 0 ? 0 : -1;
}

static double repetition(const env__tally *tally, const char *const *replies, size_t count)
{
    if (tally->degenerate) return -1;
    double share = env__repeated_share(replies, count);
    if (share <= REPEATED_FREE) return 0;
    return -fmin(1, (share - REPEATED_FREE) / (REPEATED_WHOLE - REPEATED_FREE));
}

static double length(const slm_reward_options *options, const env__tally *tally)
{
    double soft = (double)options->words_soft, hard = (double)options->words_hard;
    double over = ((double)tally->words - soft) / (hard - soft);
    return over <= 0 ? 0 : -fmin(1, over);
}

static double total(const slm_reward_options *options, const double *parts)
{
    double goals = 0, weight = 0, penalties = 0;
    for (size_t p = 0; p < SLM_REWARD_PARTS; p++) {
        if (isnan(parts[p])) continue;
        if (slm_reward_part_is_goal((slm_reward_part)p)) {
            goals += options->weights[p] * parts[p];
            weight += options->weights[p];
        } else {
            penalties += options->weights[p] * parts[p];
        }
    }
    double sum = (weight > 0 ? goals / weight : 0) + penalties;
    return fmax(-1, fmin(1, sum));
}

void env__reward(const slm_reward_options *options, const slm_case *c, const env__scenario *s,
                 const env__tally *tally, const char *const *replies, size_t reply_count,
                 double rubric, slm_reward *out)
{
    *out = (slm_reward){.questions = tally->questions,
                        .words = tally->words,
                        .replies = reply_count,
                        .answers = tally->answers};
    for (size_t i = 0; i < c->follow_up_count; i++)
        out->follow_ups_asked += tally->met[i];
    double *parts = out->parts;
    parts[SLM_REWARD_COVERAGE] = coverage(options, c, s, tally);
    parts[SLM_REWARD_KEY_POINTS] = key_points(c, s, tally);
    parts[SLM_REWARD_BANK] = bank(c, s, tally, reply_count);
    parts[SLM_REWARD_ACT_FIRST] = s->stratum == SLM_ENV_EMERGENCY ? (double)tally->acts_first : NAN;
    parts[SLM_REWARD_RUBRIC] = rubric;
    parts[SLM_REWARD_NEVER] = never(c, s, tally);
    parts[SLM_REWARD_GROUNDED] = -fmin(1, UNGROUNDED_EACH * (double)tally->ungrounded);
    parts[SLM_REWARD_HOLDING_BACK] = holding_back(c, s, tally);
    parts[SLM_REWARD_RUSHING] = rushing(c, s, tally);
    parts[SLM_REWARD_REPETITION] = repetition(tally, replies, reply_count);
    parts[SLM_REWARD_LANGUAGE] = s->language == ENV__LANGUAGE_UNKNOWN ? NAN : tally->language;
    parts[SLM_REWARD_FORMAT] = tally->format;
    parts[SLM_REWARD_LENGTH] = length(options, tally);
    for (size_t p = 0; p < SLM_REWARD_PARTS; p++)
        if (parts[p] == 0) parts[p] = 0; /* no minus zero in logs */
    out->total = total(options, parts);
}
