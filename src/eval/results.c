/* results.c: everything in a database that reports are made of, read in one state of it.
 *
 * An arm is a run under a judge that graded some of it. Each table is read once, forward, in key
 * order; a run's samples and its gradings come sorted by case and rollout, so what belongs together
 * is found by walking them side by side. The texts of answers stay in the database, but for their
 * length and their questions: a report that shows them reads them itself. */
#include "eval/eval_internal.h"

#include <stdlib.h>
#include <string.h>
#include "base/hash.h"

typedef struct judge_row {
    const char *hash, *name;
} judge_row;

typedef struct coverage_row {
    const char *judge, *cases, *json;
} coverage_row;

/* A case of a set. */
typedef struct set_case {
    const char *id, *family;
    size_t position, index; /* index: in the loader's cases */
} set_case;

typedef struct case_set {
    const char *sha256;
    set_case *items; /* by id */
    size_t count, cap;
} case_set;

/* The samples of one case of a run. */
typedef struct case_samples {
    const char *id;
    size_t samples;
} case_samples;

/* What is known of an answer but its text. */
typedef struct answer {
    size_t samples; /* index of its case in the samples */
    int64_t rollout;
    uint32_t words, characters;
    bool has_text, is_refused, is_empty, is_cut_off;
} answer;

typedef struct loader {
    slm_arena *arena;
    slm_store *store;
    slm_run *runs;
    judge_row *judges;
    coverage_row *coverages;
    size_t run_count, judge_count, coverage_count;
    size_t run_cap, judge_cap, coverage_cap;
    case_set *sets;
    size_t set_count, set_cap;
    case_set *reading; /* the set being read */
    slm_case *cases;
    size_t case_count, case_cap;
    size_t *table; /* cases by the hash of their JSON; index + 1 */
    size_t table_size;
    slm_case *final_cases; /* cases, where they stay */
    slm_arm *arms;
    size_t arm_count, arm_cap;
    /* Of the run, then of the run and judge, being read. */
    case_samples *samples;
    size_t sample_count, sample_cap;
    slm_arm totals;
    answer *answers; /* in key order */
    size_t answer_count, answer_cap;
    size_t answer_at; /* the next that a grading may be of */
    const case_set *set;
    slm_case_scores *scores;
    size_t score_count, score_cap;
    slm_rollout_scores *rollouts;
    size_t rollout_count, rollout_cap;
    int8_t *met; /* of the rollouts whose case is there, one behind the other */
    size_t met_count, met_cap;
    slm_status status;
    slm_error *err;
} loader;

/* Room for one more item behind `count` in a growing array. */
static void *grown(void *items, size_t count, size_t *cap, size_t item_bytes)
{
    if (count < *cap) return items;
    *cap = *cap ? *cap * 2 : 16;
    items = realloc(items, *cap * item_bytes);
    if (!items) slm_out_of_memory(*cap * item_bytes);
    return items;
}
#define ROOM(items, count, cap) ((items) = grown((items), (count), &(cap), sizeof *(items)))

static bool on_run(void *context, const slm_run *run)
{
    loader *l = context;
    ROOM(l->runs, l->run_count, l->run_cap);
    l->runs[l->run_count++] = (slm_run){
        .hash = slm_arena_strdup(l->arena, run->hash),
        .model_name = slm_arena_strdup(l->arena, run->model_name),
        .model_identity = slm_arena_strdup(l->arena, run->model_identity),
        .kind = slm_arena_strdup(l->arena, run->kind),
        .system_text = slm_arena_strdup(l->arena, run->system_text),
        .sampling_json = slm_arena_strdup(l->arena, run->sampling_json),
        .cases_sha256 = slm_arena_strdup(l->arena, run->cases_sha256),
        .seed = run->seed,
        .details_json = slm_arena_strdup(l->arena, run->details_json),
    };
    return true;
}

static bool on_judge(void *context, const char *hash, const char *name)
{
    loader *l = context;
    ROOM(l->judges, l->judge_count, l->judge_cap);
    l->judges[l->judge_count++] = (judge_row){.hash = slm_arena_strdup(l->arena, hash),
                                              .name = slm_arena_strdup(l->arena, name)};
    return true;
}

static bool on_coverage(void *context, const char *judge, const char *cases, const char *json)
{
    loader *l = context;
    ROOM(l->coverages, l->coverage_count, l->coverage_cap);
    l->coverages[l->coverage_count++] = (coverage_row){.judge = slm_arena_strdup(l->arena, judge),
                                                       .cases = slm_arena_strdup(l->arena, cases),
                                                       .json = slm_arena_strdup(l->arena, json)};
    return true;
}

static bool on_set(void *context, const char *sha256)
{
    loader *l = context;
    ROOM(l->sets, l->set_count, l->set_cap);
    l->sets[l->set_count++] = (case_set){.sha256 = slm_arena_strdup(l->arena, sha256)};
    return true;
}

/* The slot of a JSON text in the table: its case, or where it would stand. */
static size_t *case_slot(loader *l, const char *json)
{
    size_t at = (size_t)slm_hash_bytes(json, strlen(json)) & (l->table_size - 1);
    while (l->table[at] && strcmp(l->cases[l->table[at] - 1].json, json) != 0)
        at = (at + 1) & (l->table_size - 1);
    return &l->table[at];
}

static void grow_table(loader *l)
{
    if (2 * l->case_count < l->table_size) return;
    free(l->table);
    l->table_size = l->table_size ? 2 * l->table_size : 256;
    l->table = calloc(l->table_size, sizeof *l->table);
    if (!l->table) slm_out_of_memory(l->table_size);
    for (size_t i = 0; i < l->case_count; i++)
        *case_slot(l, l->cases[i].json) = i + 1;
}

/* Sets overlap (a limit, a tag), so a case is parsed once however many sets hold it. */
static bool on_case(void *context, const char *id, const char *family, size_t position,
                    const char *json)
{
    loader *l = context;
    grow_table(l);
    size_t *slot = case_slot(l, json);
    if (!*slot) {
        ROOM(l->cases, l->case_count, l->case_cap);
        l->status =
            slm_case_parse(json, "results database", 0, l->arena, &l->cases[l->case_count], l->err);
        if (l->status != SLM_OK) return false;
        /* The parser's own canonical text is the same, but this table must not depend on it. */
        l->cases[l->case_count].json = slm_arena_strdup(l->arena, json);
        *slot = ++l->case_count;
    }
    case_set *set = l->reading;
    ROOM(set->items, set->count, set->cap);
    set->items[set->count++] = (set_case){.id = slm_arena_strdup(l->arena, id),
                                          .family = slm_arena_strdup(l->arena, family),
                                          .position = position,
                                          .index = *slot - 1};
    return true;
}

static slm_status load_cases(loader *l, slm_error *err)
{
    SLM_TRY(slm_store_case_sets(l->store, on_set, l, err));
    for (size_t i = 0; i < l->set_count; i++) {
        l->reading = &l->sets[i];
        SLM_TRY(slm_store_cases(l->store, l->sets[i].sha256, on_case, l, err));
        if (l->status != SLM_OK) return l->status;
    }
    l->final_cases = slm_arena_array(l->arena, l->case_count, sizeof *l->final_cases);
    if (l->case_count) memcpy(l->final_cases, l->cases, l->case_count * sizeof *l->cases);
    return SLM_OK;
}

static bool on_facts(void *context, const slm_sample *sample, bool empty)
{
    loader *l = context;
    case_samples *last = l->sample_count ? &l->samples[l->sample_count - 1] : NULL;
    if (!last || strcmp(last->id, sample->case_id) != 0) {
        ROOM(l->samples, l->sample_count, l->sample_cap);
        last = &l->samples[l->sample_count++];
        *last = (case_samples){.id = slm_arena_strdup(l->arena, sample->case_id)};
    }
    last->samples++;
    l->totals.samples++;
    ROOM(l->answers, l->answer_count, l->answer_cap);
    answer *a = &l->answers[l->answer_count++];
    *a = (answer){.samples = l->sample_count - 1,
                  .rollout = sample->rollout,
                  .has_text = strcmp(sample->finish, "unknown") != 0,
                  .is_refused = strcmp(sample->finish, "refused") == 0,
                  .is_cut_off = strcmp(sample->finish, "length") == 0};
    a->is_empty = empty && a->has_text && !a->is_refused;
    eval__count_text(sample->reply, &a->words, &a->characters);
    l->totals.refused += a->is_refused;
    l->totals.empty += a->is_empty;
    l->totals.cut_off += a->is_cut_off;
    if (sample->reply_tokens > 0) l->totals.reply_tokens += sample->reply_tokens;
    if (sample->prompt_tokens > 0) l->totals.prompt_tokens += sample->prompt_tokens;
    return true;
}

static int compare_set_case(const void *key, const void *item)
{
    return strcmp(key, ((const set_case *)item)->id);
}

static int compare_samples(const void *key, const void *item)
{
    return strcmp(key, ((const case_samples *)item)->id);
}

static slm_case_scores *open_case(loader *l, const char *id)
{
    ROOM(l->scores, l->score_count, l->score_cap);
    slm_case_scores *s = &l->scores[l->score_count++];
    const set_case *known = NULL;
    const case_samples *samples = NULL;
    if (l->set && l->set->count)
        known = bsearch(id, l->set->items, l->set->count, sizeof *known, compare_set_case);
    if (l->sample_count)
        samples = bsearch(id, l->samples, l->sample_count, sizeof *samples, compare_samples);
    *s = (slm_case_scores){
        .case_id = samples ? samples->id : slm_arena_strdup(l->arena, id),
        .position = l->score_count - 1,
        .samples = samples ? samples->samples : 0,
        /* Offset of its rollouts until the array stops moving. */
        .family_index = l->rollout_count,
    };
    s->family = known ? known->family : s->case_id;
    if (known) {
        s->position = known->position;
        s->c = &l->final_cases[known->index];
    }
    return s;
}

/* The answer that was graded: both come in the order of their keys. NULL: it is not there. */
static const answer *answer_of(loader *l, const slm_stored_grading *grading)
{
    for (; l->answer_at < l->answer_count; l->answer_at++) {
        const answer *a = &l->answers[l->answer_at];
        int order = strcmp(l->samples[a->samples].id, grading->case_id);
        if (order == 0) order = (a->rollout > grading->rollout) - (a->rollout < grading->rollout);
        if (order >= 0) return order == 0 ? a : NULL;
    }
    return NULL;
}

/* The verdicts by criterion, behind those of the rollouts before. */
static const int8_t *put_met(loader *l, const slm_case *c, const slm_stored_grading *grading)
{
    while (l->met_cap < l->met_count + c->rubric_count)
        l->met = grown(l->met, l->met_cap, &l->met_cap, sizeof *l->met);
    int8_t *met = l->met + l->met_count;
    eval__met_of(c, grading, met);
    l->met_count += c->rubric_count;
    return met;
}

static bool on_grading(void *context, const slm_stored_grading *grading)
{
    loader *l = context;
    slm_case_scores *s = l->score_count ? &l->scores[l->score_count - 1] : NULL;
    if (!s || strcmp(s->case_id, grading->case_id) != 0) s = open_case(l, grading->case_id);
    ROOM(l->rollouts, l->rollout_count, l->rollout_cap);
    slm_rollout_scores *r = &l->rollouts[l->rollout_count++];
    *r = (slm_rollout_scores){.rollout = grading->rollout,
                              .has_score = grading->has_score,
                              .score = grading->score,
                              .low = grading->low,
                              .high = grading->high,
                              .questions = -1};
    const answer *a = answer_of(l, grading);
    if (a) {
        r->has_text = a->has_text;
        r->is_refused = a->is_refused;
        r->is_empty = a->is_empty;
        r->is_cut_off = a->is_cut_off;
        r->words = a->words;
        r->characters = a->characters;
    }
    eval__judge_behaviours(s->c, s->c ? put_met(l, s->c, grading) : NULL, r->behaviours);
    s->rollout_count++;
    s->count += grading->has_score;
    return true;
}

static int compare_position(const void *a, const void *b)
{
    const slm_case_scores *x = a, *y = b;
    if (x->position != y->position) return x->position < y->position ? -1 : 1;
    return strcmp(x->case_id, y->case_id);
}

static int compare_family(const void *a, const void *b)
{
    return strcmp((*(slm_case_scores *const *)a)->family, (*(slm_case_scores *const *)b)->family);
}

/* Numbers for the families, so that figures need not compare names. */
void eval__number_families(slm_arm *arm)
{
    arm->family_count = 0;
    slm_case_scores **by_family = calloc(arm->case_count + 1, sizeof *by_family);
    if (!by_family) slm_out_of_memory(arm->case_count);
    for (size_t i = 0; i < arm->case_count; i++)
        by_family[i] = &arm->cases[i];
    qsort(by_family, arm->case_count, sizeof *by_family, compare_family);
    for (size_t i = 0; i < arm->case_count; i++) {
        if (i == 0 || strcmp(by_family[i]->family, by_family[i - 1]->family) != 0)
            arm->family_count++;
        by_family[i]->family_index = arm->family_count - 1;
    }
    free(by_family);
}

/* What was read of a run and a judge becomes an arm. */
static void close_arm(loader *l, const slm_run *run, const judge_row *judge)
{
    ROOM(l->arms, l->arm_count, l->arm_cap);
    slm_arm *arm = &l->arms[l->arm_count++];
    *arm = l->totals;
    arm->run = *run;
    arm->judge_hash = judge->hash;
    arm->judge_name = judge->name;
    for (size_t i = 0; i < l->coverage_count; i++) {
        if (run->cases_sha256 && strcmp(l->coverages[i].judge, judge->hash) == 0 &&
            strcmp(l->coverages[i].cases, run->cases_sha256) == 0)
            arm->coverage_json = l->coverages[i].json;
    }
    arm->case_count = l->score_count;
    arm->cases = slm_arena_array(l->arena, l->score_count, sizeof *arm->cases);
    memcpy(arm->cases, l->scores, l->score_count * sizeof *arm->cases);
    slm_rollout_scores *rollouts = slm_arena_array(l->arena, l->rollout_count, sizeof *rollouts);
    double *scores = slm_arena_array(l->arena, l->rollout_count, sizeof *scores);
    int8_t *met = slm_arena_array(l->arena, l->met_count, sizeof *met);
    if (l->rollout_count) memcpy(rollouts, l->rollouts, l->rollout_count * sizeof *rollouts);
    if (l->met_count) memcpy(met, l->met, l->met_count);
    for (size_t i = 0; i < arm->case_count; i++) {
        slm_case_scores *s = &arm->cases[i];
        s->rollouts = rollouts + s->family_index;
        s->scores = scores + s->family_index;
        size_t n = 0;
        for (size_t j = 0; j < s->rollout_count; j++) {
            if (s->rollouts[j].has_score) s->scores[n++] = s->rollouts[j].score;
            if (!s->c) continue;
            s->rollouts[j].met = met;
            met += s->c->rubric_count;
        }
        arm->scored += s->count;
        arm->unscored += s->rollout_count - s->count;
    }
    qsort(arm->cases, arm->case_count, sizeof *arm->cases, compare_position);
    eval__number_families(arm);
}

static const case_set *find_set(const loader *l, const char *sha256)
{
    for (size_t i = 0; sha256 && i < l->set_count; i++) {
        if (strcmp(l->sets[i].sha256, sha256) == 0) return &l->sets[i];
    }
    return NULL;
}

static slm_status load_run(loader *l, const slm_run *run, slm_error *err)
{
    l->sample_count = l->answer_count = 0;
    l->totals = (slm_arm){0};
    l->set = find_set(l, run->cases_sha256);
    SLM_TRY(slm_store_sample_facts(l->store, run->hash, on_facts, l, err));
    for (size_t i = 0; i < l->judge_count; i++) {
        l->score_count = l->rollout_count = l->met_count = l->answer_at = 0;
        SLM_TRY(slm_store_gradings(l->store, run->hash, l->judges[i].hash, on_grading, l, err));
        if (l->score_count) close_arm(l, run, &l->judges[i]);
    }
    return SLM_OK;
}

/* Models, imported scores, then baselines in the order in which reports show them. What stands
 * behind another ':' ("baseline:shuffled:RUNHASH") makes no difference. */
static int rank_of(const slm_run *run)
{
    static const char *const names[] = {
        "baseline:floor",      "baseline:floor:seek", "baseline:floor:precise",
        "baseline:floor:safe", "baseline:floor:act",  "baseline:floor:twins",
        "baseline:shuffled",   "baseline:echo",       "baseline:always-ask",
        "baseline:never-ask",
    };
    enum { NAMES = sizeof names / sizeof names[0] };
    if (strcmp(run->kind, "model") == 0) return 0;
    if (strcmp(run->kind, "imported") == 0) return 1;
    int rank = 2 + NAMES;
    for (int i = 0; run->model_identity && i < NAMES; i++) {
        size_t len = strlen(names[i]);
        if (strncmp(run->model_identity, names[i], len) != 0) continue;
        char next = run->model_identity[len];
        if (next == '\0' || next == ':') rank = 2 + i; /* the last is the longest */
    }
    return rank;
}

static int compare_arms(const void *a, const void *b)
{
    const slm_arm *x = a, *y = b;
    int order = rank_of(&x->run) - rank_of(&y->run);
    if (order == 0) order = strcmp(x->run.hash, y->run.hash);
    return order ? order : strcmp(x->judge_hash, y->judge_hash);
}

static void free_loader(loader *l)
{
    free(l->runs);
    free(l->judges);
    free(l->coverages);
    for (size_t i = 0; i < l->set_count; i++)
        free(l->sets[i].items);
    free(l->sets);
    free(l->cases);
    free(l->table);
    free(l->arms);
    free(l->samples);
    free(l->answers);
    free(l->met);
    free(l->scores);
    free(l->rollouts);
}

slm_status slm_results_load(slm_store *store, slm_arena *arena, slm_results *out, slm_error *err)
{
    loader l = {.arena = arena, .store = store, .err = err};
    slm_status status = SLM_OK;
    SLM_TRY(slm_store_begin_reading(store, err));
    SLM_TRY_OUT(slm_store_runs(store, on_run, &l, err));
    SLM_TRY_OUT(slm_store_judges(store, on_judge, &l, err));
    SLM_TRY_OUT(slm_store_coverages(store, on_coverage, &l, err));
    SLM_TRY_OUT(load_cases(&l, err));
    for (size_t i = 0; i < l.run_count; i++)
        SLM_TRY_OUT(load_run(&l, &l.runs[i], err));
    if (l.arm_count) qsort(l.arms, l.arm_count, sizeof *l.arms, compare_arms);
    out->arms = slm_arena_array(arena, l.arm_count, sizeof *out->arms);
    if (l.arm_count) memcpy(out->arms, l.arms, l.arm_count * sizeof *out->arms);
    out->arm_count = l.arm_count;
    out->arena = arena;
    out->resamples = slm_arena_alloc(arena, sizeof *out->resamples);
    out->cases = l.final_cases;
    out->case_count = l.case_count;
out:
    slm_store_end_reading(store);
    free_loader(&l);
    return status;
}
