/* synth_plan.c: the plan of a synthesis, and which question goes into which of its cells.
 *
 * A plan is YAML (docs/synth.md): cells, each with a share of all cases or a count, a context, a form,
 * and for what varies within it (persona, register, ...) values with weights; `vary` gives the values
 * for all cells, and a cell may give its own.
 *
 * Coverage is drawn without replacement: shares become whole numbers by the method of largest
 * remainders, the questions are ordered by a random number each, and the cells take them in turn. So
 * the counts are those of the plan and not only so on average. The same is done for each value within
 * a cell. The random numbers are counter-based (base/random.h), keyed by seed, question and what is
 * drawn, so the order of the inventory does not matter. */
#include "data/synth_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/random.h"
#include "base/yaml.h"

const char *const synth__dimension_names[SYNTH_DIMENSIONS] = {
    [SYNTH_PERSONA] = "persona",         [SYNTH_REGISTER] = "register",
    [SYNTH_DISPOSITION] = "disposition", [SYNTH_REQUEST] = "request",
    [SYNTH_LANGUAGE] = "language",       [SYNTH_TURNS] = "turns",
    [SYNTH_DIFFICULTY] = "difficulty",   [SYNTH_LEAVE_OUT] = "leave_out",
};

const char slm_synth_default_plan[] =
    "# The plan that slm synth follows without --plan (docs/synth.md tells what each line means).\n"
    "# Shares of cells are relative to each other; twins come on top of the cell that has them.\n"
    "cells:\n"
    "  - {name: plain, share: 0.42, context: lacks, form: plain, twins: 0.21}\n"
    "  - {name: long, share: 0.13, context: lacks, form: long, difficulty: [3, 4, 5]}\n"
    "  - {name: short, share: 0.09, context: enough, form: short, turns: 1, difficulty: [1, 2]}\n"
    "  - {name: supplied, share: 0.12, context: enough, form: supplied, turns: [3, 5]}\n"
    "  - {name: emergency, share: 0.15, context: enough, form: emergency,\n"
    "     disposition: emergency}\n"
    "vary:\n"
    "  persona:\n"
    "    - a young adult writing about themselves\n"
    "    - someone in midlife writing about themselves\n"
    "    - an older person, past seventy, writing about themselves\n"
    "    - the parent of a newborn or a toddler\n"
    "    - the parent of a schoolchild or a teenager\n"
    "    - someone who writes about a partner or a friend\n"
    "    - someone who cares for an ageing parent\n"
    "    - a nurse, a pharmacist or a doctor asking about a patient\n"
    "  register: [terse, rambling, anxious, expert, second-language, typo-ridden]\n"
    "  request: [symptom, medicine, result, plan, letter, comparison, worry]\n"
    "  disposition: {urgent: 0.3, routine: 0.45, self-care: 0.25}\n"
    "  difficulty: [2, 3, 4]\n"
    "  turns: {1: 0.5, 3: 0.4, 5: 0.1}\n"
    "  language: {English: 0.9, Spanish: 0.02, Hindi: 0.02, Swahili: 0.02, French: 0.02,\n"
    "    Portuguese: 0.02}\n"
    "  leave_out:\n"
    "    - another medicine or condition that changes the advice\n"
    "    - a sign that would make it urgent\n"
    "    - how long it has lasted, or how it began\n"
    "    - who it is about (age, pregnancy, what they had before)\n"
    "    - what exactly was taken, done or measured\n"
    "# What slm data check --plan holds the finished cases to.\n"
    "shares:\n"
    "  kind: {lacks: 0.55, enough: 0.30, emergency: 0.15}\n"
    "  turns: {single: 0.5, multi: 0.5}\n"
    "tolerance: 0.1\n";

/* ---- reading ----------------------------------------------------------------------------------- */

static slm_status add_value(synth__values *values, const json_t *value, const char *text,
                            double weight, const slm_json_place *place, slm_arena *arena,
                            slm_error *err)
{
    if (json_is_integer(value))
        text = slm_arena_printf(arena, "%lld", (long long)json_integer_value(value));
    else if (json_is_string(value))
        text = slm_arena_strdup(arena, json_string_value(value));
    if (text == NULL || text[0] == '\0')
        return slm_json_error(place, err, "expected texts or whole numbers");
    for (size_t i = 0; i < values->count; i++)
        if (strcmp(values->texts[i], text) == 0)
            return slm_json_error(place, err, "'%s' stands there twice", text);
    values->texts[values->count] = text;
    values->weights[values->count++] = weight;
    return SLM_OK;
}

/* A value, a list of values, or a mapping of values to weights. */
static slm_status read_values(const json_t *node, const slm_json_place *place, slm_arena *arena,
                              synth__values *out, slm_error *err)
{
    size_t count = json_is_array(node)    ? json_array_size(node)
                   : json_is_object(node) ? json_object_size(node)
                                          : 1;
    synth__values values = {.texts = slm_arena_array(arena, count, sizeof *values.texts),
                            .weights = slm_arena_array(arena, count, sizeof *values.weights)};
    if (count == 0) return slm_json_error(place, err, "is empty; give at least one value");
    if (json_is_array(node)) {
        for (size_t i = 0; i < count; i++)
            SLM_TRY(add_value(&values, json_array_get(node, i), NULL, 1, place, arena, err));
    } else if (json_is_object(node)) {
        const char *key;
        json_t *weight;
        json_object_foreach((json_t *)(uintptr_t)node, key, weight)
        {
            double w = json_is_number(weight) ? json_number_value(weight) : -1;
            if (!(w > 0) || !isfinite(w))
                return slm_json_error(place, err, "the weight of '%s' must be a number above 0",
                                      key);
            SLM_TRY(add_value(&values, NULL, slm_arena_strdup(arena, key), w, place, arena, err));
        }
    } else {
        SLM_TRY(add_value(&values, node, NULL, 1, place, arena, err));
    }
    *out = values;
    return SLM_OK;
}

static bool is_one_of(const char *text, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(*names, text) == 0) return true;
    return false;
}

/* Values that mean something to the program. */
static slm_status check_values(const synth__values *values, synth__dimension dimension,
                               const slm_json_place *place, slm_error *err)
{
    static const char *const dispositions[] = {"emergency", "urgent", "routine", "self-care", NULL};
    static const char *const turns[] = {"1", "3", "5", "7", "9", NULL};
    static const char *const difficulties[] = {"1", "2", "3", "4", "5", NULL};
    for (size_t i = 0; i < values->count; i++) {
        const char *text = values->texts[i];
        if (dimension == SYNTH_DISPOSITION && !is_one_of(text, dispositions))
            return slm_json_error(place, err,
                                  "'%s' is none of emergency, urgent, routine, self-care", text);
        if (dimension == SYNTH_TURNS && !is_one_of(text, turns))
            return slm_json_error(place, err,
                                  "'%s' is none of 1, 3, 5, 7, 9: user and assistant take turns, "
                                  "and the last is the user's",
                                  text);
        if (dimension == SYNTH_DIFFICULTY && !is_one_of(text, difficulties))
            return slm_json_error(place, err, "'%s' is none of 1 to 5", text);
    }
    return SLM_OK;
}

static slm_status read_dimensions(const json_t *node, const slm_json_place *place, slm_arena *arena,
                                  synth__values out[SYNTH_DIMENSIONS], slm_error *err)
{
    for (int d = 0; d < SYNTH_DIMENSIONS; d++) {
        const json_t *value = json_object_get(node, synth__dimension_names[d]);
        slm_json_place at = {.parent = place, .key = synth__dimension_names[d]};
        if (value == NULL) continue;
        SLM_TRY(read_values(value, &at, arena, &out[d], err));
        SLM_TRY(check_values(&out[d], (synth__dimension)d, &at, err));
    }
    return SLM_OK;
}

/* Does the form fit the context, and what is drawn fit both? */
static slm_status check_cell(synth__cell *cell, const char *context, const slm_json_place *place,
                             slm_error *err)
{
    static const char *const lacks[] = {"plain", "long", NULL}, *const enough[] = {
                                                                    "short", "supplied", NULL};
    const synth__values *dispositions = &cell->values[SYNTH_DISPOSITION];
    size_t emergencies = 0;
    cell->is_lacks = strcmp(context, "lacks") == 0;
    cell->is_emergency = strcmp(cell->form, "emergency") == 0;
    if (!cell->is_lacks && strcmp(context, "enough") != 0)
        return slm_json_error(place, err, "context '%s' is neither lacks nor enough", context);
    if (!cell->is_emergency && !is_one_of(cell->form, cell->is_lacks ? lacks : enough))
        return slm_json_error(place, err,
                              "form '%s' does not go with context %s; lacks: plain, long; enough: "
                              "short, supplied; either: emergency",
                              cell->form, context);
    for (int d = 0; d < SYNTH_DIMENSIONS; d++)
        if (cell->values[d].count == 0)
            return slm_json_error(place, err, "has no %s, and neither has vary",
                                  synth__dimension_names[d]);
    for (size_t i = 0; i < dispositions->count; i++)
        emergencies += strcmp(dispositions->texts[i], "emergency") == 0;
    if (cell->is_emergency ? emergencies != dispositions->count : emergencies > 0)
        return slm_json_error(place, err,
                              "form emergency and disposition emergency go together, and alone");
    if (cell->twins < 0 || cell->twins > 1)
        return slm_json_error(place, err, "twins is the share of its cases that get one: 0 to 1");
    if (cell->twins > 0 && (!cell->is_lacks || cell->is_emergency))
        return slm_json_error(place, err,
                              "only cases that lack context, and are no emergency, have twins");
    if (strcmp(cell->form, "supplied") == 0)
        for (size_t i = 0; i < cell->values[SYNTH_TURNS].count; i++)
            if (strcmp(cell->values[SYNTH_TURNS].texts[i], "1") == 0)
                return slm_json_error(place, err,
                                      "form supplied needs turns of 3 or more: earlier ones told "
                                      "the fact");
    return SLM_OK;
}

static slm_status read_cell(const json_t *node, const slm_json_place *place,
                            const synth__values common[SYNTH_DIMENSIONS], slm_arena *arena,
                            synth__cell *out, slm_error *err)
{
    static const char *const known[] = {"name",       "share",       "count",    "context",
                                        "form",       "twins",       "persona",  "register",
                                        "request",    "disposition", "language", "turns",
                                        "difficulty", "leave_out",   NULL};
    const char *name = NULL, *context = NULL, *form = NULL;
    int64_t count = 0;
    synth__cell cell = {0};
    if (!json_is_object(node)) return slm_json_error(place, err, "a cell is a mapping");
    SLM_TRY(slm_yaml_check_keys(node, place, known, err));
    SLM_TRY(slm_json_string(node, "name", place, &name, err));
    SLM_TRY(slm_json_string(node, "context", place, &context, err));
    SLM_TRY(slm_json_string(node, "form", place, &form, err));
    SLM_TRY(slm_json_number_optional(node, "share", place, &cell.share, err));
    SLM_TRY(slm_json_number_optional(node, "twins", place, &cell.twins, err));
    SLM_TRY(slm_json_integer_optional(node, "count", place, &count, err));
    if ((cell.share > 0) == (count > 0) || cell.share < 0 || count < 0 || !isfinite(cell.share))
        return slm_json_error(place, err, "give it a share or a count, above 0, and not both");
    cell.count = (size_t)count;
    cell.name = slm_arena_strdup(arena, name);
    cell.form = slm_arena_strdup(arena, form);
    memcpy(cell.values, common, sizeof cell.values);
    SLM_TRY(read_dimensions(node, place, arena, cell.values, err));
    SLM_TRY(check_cell(&cell, context, place, err));
    *out = cell;
    return SLM_OK;
}

static slm_status read_plan(const slm_yaml *yaml, slm_synth_plan *plan, slm_error *err)
{
    static const char *const known[] = {"cells", "vary", "shares", "tolerance", NULL};
    const json_t *root = slm_yaml_root(yaml);
    slm_json_place place = slm_yaml_place(yaml, root);
    synth__values common[SYNTH_DIMENSIONS] = {0};
    json_t *cells = NULL, *vary = NULL;
    if (!json_is_object(root))
        return slm_json_error(&place, err, "a plan is a mapping with cells and vary");
    SLM_TRY(slm_yaml_check_keys(root, &place, known, err));
    SLM_TRY(slm_json_array(root, "cells", &place, &cells, err));
    SLM_TRY(slm_json_object_optional(root, "vary", &place, &vary, err));
    if (vary != NULL) {
        slm_json_place at = slm_yaml_place(yaml, vary);
        const char *names[SYNTH_DIMENSIONS + 1] = {0};
        memcpy(names, synth__dimension_names, sizeof synth__dimension_names);
        SLM_TRY(slm_yaml_check_keys(vary, &at, names, err));
        SLM_TRY(read_dimensions(vary, &at, &plan->arena, common, err));
    }
    plan->cell_count = json_array_size(cells);
    plan->cells = slm_arena_array(&plan->arena, plan->cell_count, sizeof *plan->cells);
    if (plan->cell_count == 0) return slm_json_error(&place, err, "cells is empty");
    for (size_t i = 0; i < plan->cell_count; i++) {
        const json_t *node = json_array_get(cells, i);
        slm_json_place at = slm_yaml_place(yaml, node);
        SLM_TRY(read_cell(node, &at, common, &plan->arena, &plan->cells[i], err));
        if ((plan->cells[i].count > 0) != (plan->cells[0].count > 0))
            return slm_json_error(&at, err, "all cells have a share, or all have a count");
        for (size_t j = 0; j < i; j++)
            if (strcmp(plan->cells[i].name, plan->cells[j].name) == 0)
                return slm_json_error(&at, err, "there are two cells named '%s'",
                                      plan->cells[i].name);
    }
    return SLM_OK;
}

slm_status slm_synth_plan_load(const char *path, slm_synth_plan **out, slm_error *err)
{
    slm_yaml *yaml = NULL;
    slm_synth_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL) slm_out_of_memory(sizeof *plan);
    slm_status status = path != NULL
                            ? slm_yaml_load(path, &yaml, err)
                            : slm_yaml_parse(slm_synth_default_plan, strlen(slm_synth_default_plan),
                                             "the default plan", &yaml, err);
    if (status == SLM_OK) status = read_plan(yaml, plan, err);
    slm_yaml_free(yaml);
    if (status != SLM_OK)
        slm_synth_plan_free(plan);
    else
        *out = plan;
    return status;
}

void slm_synth_plan_free(slm_synth_plan *plan)
{
    if (plan == NULL) return;
    slm_arena_free(&plan->arena);
    free(plan);
}

/* ---- drawing ----------------------------------------------------------------------------------- */

/* What a random number is for: part of its counter. */
enum { DRAW_CELL, DRAW_TWIN, DRAW_VALUE };

typedef struct ranked {
    size_t index;
    double key;
    const char *id;
} ranked;

static int by_key(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return strcmp(x->id, y->id);
}

static void shuffle(ranked *items, size_t count, uint64_t seed, uint32_t what)
{
    for (size_t i = 0; i < count; i++) {
        slm_random_key key = {.seed = seed,
                              .stream = slm_hash_bytes(items[i].id, strlen(items[i].id))};
        items[i].key = slm_random_at(&key, what);
    }
    qsort(items, count, sizeof *items, by_key);
}

/* n in parts as the weights, by largest remainders; equal remainders are drawn. */
static void apportion(const double *weights, size_t parts, size_t n, uint64_t seed,
                      const char *stream, uint32_t what, size_t *out, slm_arena *arena)
{
    double sum = 0;
    size_t given = 0;
    ranked *rest = slm_arena_array(arena, parts, sizeof *rest);
    slm_random_key key = {
        .seed = seed, .stream = slm_hash_bytes(stream, strlen(stream)), .rollout = what};
    for (size_t i = 0; i < parts; i++)
        sum += weights[i];
    for (size_t i = 0; i < parts; i++) {
        double exact = (double)n * weights[i] / sum;
        out[i] = (size_t)(exact + 1e-9);
        given += out[i];
        /* Rounded, so that what is equal on paper is a draw. */
        double remainder = round((exact - (double)out[i]) * 1e6);
        rest[i] = (ranked){i, -remainder + slm_random_at(&key, (uint32_t)i) / 2, ""};
    }
    qsort(rest, parts, sizeof *rest, by_key);
    for (size_t i = 0; given < n; i++, given++)
        out[rest[i % parts].index]++;
}

static slm_status count_cells(const slm_synth_plan *plan, size_t questions, uint64_t seed,
                              size_t *counts, slm_arena *arena, slm_error *err)
{
    if (plan->cells[0].count == 0) {
        double *shares = slm_arena_array(arena, plan->cell_count, sizeof *shares);
        for (size_t i = 0; i < plan->cell_count; i++)
            shares[i] = plan->cells[i].share;
        apportion(shares, plan->cell_count, questions, seed, "cells", DRAW_CELL, counts, arena);
        return SLM_OK;
    }
    size_t wanted = 0;
    for (size_t i = 0; i < plan->cell_count; i++)
        wanted += counts[i] = plan->cells[i].count;
    if (wanted > questions)
        return slm_error_set(err, SLM_ERR_INVALID,
                             "the plan counts %zu cases, and there are %zu questions; give more "
                             "questions, smaller counts, or shares",
                             wanted, questions);
    return SLM_OK;
}

static void name_scenario(synth__scenario *s, uint64_t seed, slm_arena *arena)
{
    char hex[SLM_SHA256_HEX_BYTES];
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, synth__method);
    slm_sha256_update_part(hash, s->question->id);
    slm_sha256_update_part(hash, slm_arena_printf(arena, "%llu", (unsigned long long)seed));
    slm_sha256_update_part(hash, s->cell->name);
    slm_sha256_update_part(hash, s->form);
    slm_sha256_update_part(hash, s->is_lacks ? "lacks" : "enough");
    for (int d = 0; d < SYNTH_DIMENSIONS; d++)
        slm_sha256_update_part(hash, s->values[d]);
    slm_sha256_finish(hash, hex);
    s->family = slm_arena_printf(arena, "syn-%.16s", hex);
    s->id = s->family;
}

/* The scenarios of one cell's questions. */
static void draw_cell(const synth__cell *cell, ranked *members, size_t count, uint64_t seed,
                      synth__scenario *out, slm_arena *arena)
{
    size_t twins = (size_t)llround(cell->twins * (double)count);
    shuffle(members, count, seed, DRAW_TWIN);
    for (size_t i = 0; i < count; i++) {
        synth__scenario *s = &out[members[i].index];
        s->cell = cell;
        s->has_twin = i < twins;
        s->is_lacks = cell->is_lacks;
        s->is_emergency = cell->is_emergency;
        s->form = cell->form;
    }
    for (uint32_t d = 0; d < SYNTH_DIMENSIONS; d++) {
        const synth__values *values = &cell->values[d];
        size_t *counts = slm_arena_array(arena, values->count, sizeof *counts);
        apportion(values->weights, values->count, count, seed, cell->name, DRAW_VALUE + d, counts,
                  arena);
        shuffle(members, count, seed, DRAW_VALUE + d);
        size_t at = 0;
        for (size_t v = 0; v < values->count; v++)
            for (size_t i = 0; i < counts[v]; i++)
                out[members[at++].index].values[d] = values->texts[v];
    }
    for (size_t i = 0; i < count; i++) {
        synth__scenario *s = &out[members[i].index];
        s->turns = (int)strtol(s->values[SYNTH_TURNS], NULL, 10);
        s->difficulty = (int)strtol(s->values[SYNTH_DIFFICULTY], NULL, 10);
        name_scenario(s, seed, arena);
    }
}

slm_status synth__draw(const slm_synth_plan *plan, const synth__question *questions, size_t count,
                       uint64_t seed, slm_arena *arena, synth__scenario *out, slm_error *err)
{
    size_t *counts = slm_arena_array(arena, plan->cell_count, sizeof *counts);
    ranked *order = slm_arena_array(arena, count, sizeof *order);
    SLM_TRY(count_cells(plan, count, seed, counts, arena, err));
    for (size_t i = 0; i < count; i++) {
        order[i] = (ranked){.index = i, .id = questions[i].id};
        out[i] = (synth__scenario){.question = &questions[i]};
    }
    shuffle(order, count, seed, DRAW_CELL);
    ranked *next = order;
    for (size_t c = 0; c < plan->cell_count; c++) {
        draw_cell(&plan->cells[c], next, counts[c], seed, out, arena);
        next += counts[c];
    }
    return SLM_OK;
}

synth__scenario synth__twin_of(const synth__scenario *s, slm_arena *arena)
{
    synth__scenario twin = *s;
    twin.is_twin = true;
    twin.has_twin = twin.is_lacks = false;
    twin.form = "twin";
    twin.id = slm_arena_printf(arena, "%s-twin", s->family);
    return twin;
}
