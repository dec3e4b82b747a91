/* targets.c: what was promised, held against what was measured.
 *
 * A value reaches a target by itself; it meets it only when the evidence does: when the lower end of
 * its 95% interval is at the target or beyond it, and when it would still be there were every
 * unscored answer as bad as it could be. A figure without an interval meets nothing. */
#include "eval/eval_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    slm_measure measure;
} known[] = {
    {"score", {.kind = SLM_MEASURE_SCORE}},
    {"length-adjusted", {.kind = SLM_MEASURE_LENGTH_ADJUSTED}},
    {"seek",
     {.kind = SLM_MEASURE_BEHAVIOUR,
      .behaviour = SLM_BEHAVIOUR_SEEK,
      .stratum = SLM_STRATUM_LACKS}},
    {"precise",
     {.kind = SLM_MEASURE_BEHAVIOUR,
      .behaviour = SLM_BEHAVIOUR_PRECISE,
      .stratum = SLM_STRATUM_ENOUGH}},
    {"safe",
     {.kind = SLM_MEASURE_BEHAVIOUR, .behaviour = SLM_BEHAVIOUR_SAFE, .stratum = SLM_STRATUM_BOTH}},
    {"act",
     {.kind = SLM_MEASURE_BEHAVIOUR,
      .behaviour = SLM_BEHAVIOUR_ACT,
      .stratum = SLM_STRATUM_EMERGENCY}},
    {"twins", {.kind = SLM_MEASURE_TWINS}},
};
enum { KNOWN = sizeof known / sizeof known[0] };

/* "@4" at the end of a name is its k. */
static slm_status read_k(const char *text, char *name, size_t *k, slm_error *err)
{
    char *at = strrchr(name, '@');
    *k = 1;
    if (!at) return SLM_OK;
    char *end = NULL;
    errno = 0;
    unsigned long value = at[1] >= '0' && at[1] <= '9' ? strtoul(at + 1, &end, 10) : 0;
    if (value < 1 || value > 100000 || errno || *end)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "target '%s': behind the @ stands the k of worst-at-k, from 1 to "
                             "100000 (score@4=0.2)",
                             text);
    *k = value;
    *at = '\0';
    return SLM_OK;
}

static slm_status read_value(const char *text, const char *value, double *out, slm_error *err)
{
    char *end = NULL;
    bool plain = *value && value[strspn(value, "0123456789.%+-")] == '\0';
    errno = 0;
    *out = plain ? strtod(value, &end) : NAN;
    if (plain && end[0] == '%' && end[1] == '\0') {
        *out /= 100;
        end++;
    }
    if (!plain || end == value || *end || errno || !(*out >= -1 && *out <= 1))
        return slm_error_set(err, SLM_ERR_INVALID,
                             "target '%s': '%s' is no share; write 0.4 or 40%%", text, value);
    return SLM_OK;
}

slm_status slm_target_parse(const char *text, slm_arena *arena, slm_target *out, slm_error *err)
{
    const char *equals = strrchr(text, '=');
    size_t k = 1;
    if (!equals || equals == text)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "target '%s': expected NAME=VALUE, as in score=0.4 or seek@4=50%%",
                             text);
    char *name = slm_arena_strndup(arena, text, (size_t)(equals - text));
    *out = (slm_target){.name = slm_arena_strdup(arena, name)};
    SLM_TRY(read_value(text, equals + 1, &out->value, err));
    SLM_TRY(read_k(text, name, &k, err));
    for (size_t i = 0; i < KNOWN; i++) {
        if (strcmp(name, known[i].name) != 0) continue;
        out->measure = known[i].measure;
        out->measure.k = k;
        return SLM_OK;
    }
    if (!strchr(name, ':'))
        return slm_error_set(err, SLM_ERR_INVALID,
                             "target '%s': there is no measure '%s'; take score, length-adjusted, "
                             "seek, precise, safe, act, twins, or a tag (theme:hedging)",
                             text, name);
    out->measure = (slm_measure){.kind = SLM_MEASURE_TAG, .tag = name, .k = k};
    return SLM_OK;
}

const char *slm_target_state_name(slm_target_state state)
{
    static const char *const names[] = {"unknown", "missed", "reached", "met"};
    return names[state];
}

slm_target_state slm_target_check(const slm_results *results, const slm_arm *arm,
                                  const slm_target *target, slm_figure *figure)
{
    slm_figure f = slm_figure_of(results, arm, &target->measure);
    if (figure) *figure = f;
    if (isnan(f.value)) return SLM_TARGET_UNKNOWN;
    if (f.value < target->value) return SLM_TARGET_MISSED;
    bool is_met = f.interval.low >= target->value && f.low >= target->value;
    return is_met ? SLM_TARGET_MET : SLM_TARGET_REACHED;
}
