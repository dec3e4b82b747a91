/* balance.c: how many cases there are of each kind.
 *
 * Counts over every dimension that a plan may set shares for: context, disposition, kind (lacks,
 * enough, emergency), register, language, specialty, turns (single, multi), twins, difficulty, side.
 * Against a plan's wanted shares a share may be off by a tolerance; without a plan the counts are
 * shown and nothing is judged. A value that the plan names and no case has counts as a share of 0; a
 * dimension that we do not know is an error, for a plan that is not looked at would seem to hold. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "data/inspect_internal.h"

typedef const char *value_fn(const data__inspection *in, size_t index);

static const char *context_of(const data__inspection *in, size_t i)
{
    return slm_context_name(in->cases->items[i].context);
}
static const char *disposition_of(const data__inspection *in, size_t i)
{
    return slm_disposition_name(in->cases->items[i].disposition);
}
static const char *kind_of(const data__inspection *in, size_t i)
{
    const slm_case *c = &in->cases->items[i];
    if (c->disposition == SLM_DISPOSITION_EMERGENCY) return "emergency";
    return slm_context_name(c->context);
}
static const char *register_of(const data__inspection *in, size_t i)
{
    return in->cases->items[i].register_name;
}
static const char *language_of(const data__inspection *in, size_t i)
{
    return in->cases->items[i].language;
}
static const char *specialty_of(const data__inspection *in, size_t i)
{
    return in->cases->items[i].specialty;
}
static const char *turns_of(const data__inspection *in, size_t i)
{
    size_t users = 0;
    const slm_case *c = &in->cases->items[i];
    for (size_t t = 0; t < c->turn_count; t++)
        users += strcmp(c->turns[t].role, "user") == 0;
    return users > 1 ? "multi" : "single";
}
static const char *difficulty_of(const data__inspection *in, size_t i)
{
    static const char *const names[] = {"none", "1", "2", "3", "4", "5"};
    return names[in->cases->items[i].difficulty];
}
static const char *side_of(const data__inspection *in, size_t i)
{
    return slm_file_basename(in->files[in->side[i]]);
}

/* A twin stands in a family that has both contexts; computed, whatever the tags say. */
static bool *find_twins(const data__inspection *in, slm_arena *arena)
{
    size_t n = in->cases->count;
    bool *twins = slm_arena_array(arena, n, sizeof *twins);
    size_t *first = slm_arena_array(arena, n, sizeof *first);
    int *contexts = slm_arena_array(arena, n, sizeof *contexts);
    data__set families = {0};
    for (size_t i = 0; i < n; i++) {
        first[i] = data__set_put(&families, in->cases->items[i].family, i);
        if (first[i] == SIZE_MAX) first[i] = i;
        contexts[first[i]] |= 1 << in->cases->items[i].context;
    }
    for (size_t i = 0; i < n; i++)
        twins[i] = (contexts[first[i]] & (1 << SLM_CONTEXT_LACKS)) != 0 &&
                   (contexts[first[i]] & (1 << SLM_CONTEXT_ENOUGH)) != 0;
    data__set_free(&families);
    return twins;
}

static const struct dimension {
    const char *name;
    value_fn *value; /* NULL: twins */
} dimensions[] = {{"context", context_of},
                  {"disposition", disposition_of},
                  {"kind", kind_of},
                  {"register", register_of},
                  {"language", language_of},
                  {"specialty", specialty_of},
                  {"turns", turns_of},
                  {"twin", NULL},
                  {"difficulty", difficulty_of},
                  {"side", side_of}};
enum { DIMENSIONS = sizeof dimensions / sizeof dimensions[0] };

typedef struct tally {
    const char *value;
    size_t count;
} tally;

static int by_count(const void *a, const void *b)
{
    const tally *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return strcmp(x->value, y->value);
}

static size_t count_values(const data__inspection *in, const struct dimension *d, const bool *twins,
                           tally *out)
{
    data__set values = {0};
    size_t count = 0;
    for (size_t i = 0; i < in->cases->count; i++) {
        const char *value = d->value != NULL ? d->value(in, i) : twins[i] ? "twin" : "single";
        if (value == NULL) value = "none";
        size_t at = data__set_put(&values, value, count);
        if (at == SIZE_MAX) {
            at = count++;
            out[at] = (tally){value, 0};
        }
        out[at].count++;
    }
    data__set_free(&values);
    if (count > 1) qsort(out, count, sizeof *out, by_count);
    return count;
}

static size_t compare(data__inspection *in, const struct dimension *d, const tally *values,
                      size_t count, const json_t *wanted)
{
    size_t off = 0;
    const char *name;
    json_t *share;
    json_object_foreach((json_t *)(uintptr_t)wanted, name, share)
    {
        double have = 0, want = json_number_value(share);
        for (size_t i = 0; i < count; i++)
            if (strcmp(values[i].value, name) == 0)
                have = (double)values[i].count / (double)in->cases->count;
        if (fabs(have - want) <= in->options->tolerance) continue;
        off++;
        data__find(in, "balance", d->name, true, in->files[0], 0,
                   "%s %s is %.1f%% of the cases; the plan wants %.1f%% (within %.1f)", d->name,
                   name, 100 * have, 100 * want, 100 * in->options->tolerance);
    }
    return off;
}

static slm_status check_plan(const json_t *wanted, slm_error *err)
{
    const char *name, *value;
    json_t *shares, *share;
    json_object_foreach((json_t *)(uintptr_t)wanted, name, shares)
    {
        bool known = false;
        for (size_t i = 0; i < DIMENSIONS; i++)
            known |= strcmp(dimensions[i].name, name) == 0;
        if (!known)
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "the plan wants shares of %s; there are context, disposition, "
                                 "kind, register, language, specialty, turns, twin, difficulty "
                                 "and side",
                                 name);
        if (!json_is_object(shares))
            return slm_error_set(err, SLM_ERR_INVALID,
                                 "the plan's shares of %s: expected values with a share each",
                                 name);
        json_object_foreach(shares, value, share)
        {
            double number = json_number_value(share);
            if (!json_is_number(share) || !(number >= 0 && number <= 1))
                return slm_error_set(err, SLM_ERR_INVALID,
                                     "the plan's share of %s %s must be a number from 0 to 1", name,
                                     value);
        }
    }
    return SLM_OK;
}

slm_status data__check_balance(data__inspection *in, slm_error *err)
{
    const json_t *wanted = in->options->wanted;
    SLM_TRY(check_plan(wanted, err));
    slm_arena arena = {0};
    slm_buffer table = {0};
    const bool *twins = find_twins(in, &arena);
    tally *values = slm_arena_array(&arena, in->cases->count, sizeof *values);
    json_t *numbers = json_object();
    size_t off = 0, planned = 0;
    for (size_t d = 0; d < DIMENSIONS; d++) {
        size_t count = count_values(in, &dimensions[d], twins, values);
        json_t *row = json_object();
        slm_buffer_printf(&table, "  %-12s", dimensions[d].name);
        for (size_t i = 0; i < count; i++) {
            json_object_set_new(row, values[i].value, json_integer((json_int_t)values[i].count));
            slm_buffer_printf(&table, "%s%s %zu (%.0f%%)", i > 0 ? ", " : " ", values[i].value,
                              values[i].count,
                              100 * (double)values[i].count / (double)in->cases->count);
        }
        slm_buffer_append_char(&table, '\n');
        json_object_set_new(numbers, dimensions[d].name, row);
        const json_t *shares = json_object_get(wanted, dimensions[d].name);
        planned += json_object_size(shares);
        off += compare(in, &dimensions[d], values, count, shares);
    }
    if (planned == 0)
        data__result(in, "balance", SLM_DATA_SHOWN, numbers, slm_buffer_text(&table),
                     "no plan to compare with");
    else
        data__result(in, "balance", off > 0 ? SLM_DATA_FAIL : SLM_DATA_PASS, numbers,
                     slm_buffer_text(&table),
                     "%zu of %zu planned shares are off by more than %.0f%%", off, planned,
                     100 * in->options->tolerance);
    slm_buffer_free(&table);
    slm_arena_free(&arena);
    return SLM_OK;
}
