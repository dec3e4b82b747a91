/* grade.c: what the loop and the baselines have in common: which cases a judge can score, group
 * commits, and answers on their way through a judge into the store.
 *
 * The writer commits about once a second, or sooner when much has come: what was committed survives
 * kill -9, and a second of work is cheap to do again. The grader keeps up to EVAL_JUDGING answers
 * with the judge, so that a judge behind a model has its many calls in flight while memory stays
 * bounded, however many answers a database holds. */
#include "eval/eval_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/progress.h"

enum { WRITER_ROWS = 512 };
static const double WRITER_AGE_S = 0.8;

slm_status eval__writer_open(eval__writer *writer, slm_error *err)
{
    writer->rows++;
    if (writer->is_open) return SLM_OK;
    SLM_TRY(slm_store_begin(writer->store, err));
    writer->is_open = true;
    writer->begun_s = slm_progress_clock_s();
    writer->rows = 1;
    return SLM_OK;
}

slm_status eval__writer_commit(eval__writer *writer, slm_error *err)
{
    if (!writer->is_open) return SLM_OK;
    writer->is_open = false;
    slm_status status = slm_store_commit(writer->store, err);
    if (status != SLM_OK) slm_store_rollback(writer->store);
    return status;
}

slm_status eval__writer_tick(eval__writer *writer, slm_error *err)
{
    if (!writer->is_open) return SLM_OK;
    double age_s = writer->age_s > 0 ? writer->age_s : WRITER_AGE_S;
    if (writer->rows < WRITER_ROWS && slm_progress_clock_s() - writer->begun_s < age_s)
        return SLM_OK;
    return eval__writer_commit(writer, err);
}

slm_status eval__grader_submit(eval__grader *grader, const char *run, const slm_case *c,
                               int64_t rollout, const char *reply, slm_error *err)
{
    SLM_ASSERT(grader->pending_count < EVAL_JUDGING);
    uint64_t ticket = 0;
    slm_status status = slm_judge_submit(grader->judge, c, reply, &ticket, err);
    if (status != SLM_OK)
        return slm_error_prefix(err, status, "grading case %s, rollout %" PRId64, c->id, rollout);
    size_t at = grader->pending_count++;
    grader->pending[at].ticket = ticket;
    grader->pending[at].run = run;
    grader->pending[at].c = c;
    grader->pending[at].rollout = rollout;
    grader->pending[at].heard = NULL;
    return SLM_OK;
}

slm_status eval__grader_submit_episode(eval__grader *grader, slm_env *env, const char *run,
                                       const slm_case *c, int64_t rollout, const char *reply,
                                       const char *transcript_json, slm_error *err)
{
    slm_env_heard *heard = NULL;
    SLM_TRY(eval__hear(env, c, transcript_json, &heard, err));
    slm_status status = eval__grader_submit(grader, run, &heard->c, rollout, reply, err);
    if (status != SLM_OK)
        slm_env_heard_free(heard);
    else
        grader->pending[grader->pending_count - 1].heard = heard;
    return status;
}

static slm_status put_grading(slm_store *store, const char *run, const slm_case *c, int64_t rollout,
                              const char *judge_hash, const slm_grading *grading, bool *has_score,
                              slm_error *err)
{
    slm_stored_grading row = {
        .run = run, .case_id = c->id, .rollout = rollout, .judge_hash = judge_hash};
    slm_stored_grade *grades = calloc(c->rubric_count + 1, sizeof *grades);
    if (!grades) slm_out_of_memory(c->rubric_count);
    eval__to_stored(c, grading, grades, &row);
    slm_status status = slm_store_put_grading(store, &row, err);
    free(grades);
    if (has_score) *has_score = row.has_score;
    return status;
}

slm_status slm_eval_put_grading(slm_store *store, const char *run, const slm_case *c,
                                int64_t rollout, const char *judge_hash, const slm_grading *grading,
                                slm_error *err)
{
    return put_grading(store, run, c, rollout, judge_hash, grading, NULL, err);
}

/* The judge's grading; of a jury also what each of its judges said, as that judge's own. */
static slm_status store_grading(eval__grader *grader, size_t at, slm_grading *grading,
                                slm_error *err)
{
    if (grader->pending[at].heard) slm_env_heard_amend(grader->pending[at].heard, grading);
    const slm_judge *judge = grader->judge;
    const char *run = grader->pending[at].run;
    const slm_case *c = grader->pending[at].c;
    int64_t rollout = grader->pending[at].rollout;
    slm_store *store = grader->writer->store;
    bool has_score = false;
    SLM_TRY(eval__writer_open(grader->writer, err));
    SLM_TRY(put_grading(store, run, c, rollout, judge->identity, grading, &has_score, err));
    for (size_t m = 0; m < grading->member_count; m++)
        SLM_TRY(put_grading(store, run, c, rollout, judge->members[m]->identity,
                            grading->members[m], NULL, err));
    grader->graded++;
    if (!has_score) {
        if (grader->unscored++ == 0) grader->unscored_error = grading->error;
    }
    slm_env_heard_free(grader->pending[at].heard);
    grader->pending[at] = grader->pending[--grader->pending_count];
    return SLM_OK;
}

slm_status eval__grader_poll(eval__grader *grader, int timeout_ms, slm_error *err)
{
    while (grader->pending_count > 0) {
        slm_grading *grading = NULL;
        /* A costly judge keeps its verdicts itself, while it is polled. Those that wait to be taken
         * go into one group; where it has to be waited for each is on the disk before the next
         * comes, so that whoever is killed then has nothing to ask twice. */
        bool costly = grader->judge->is_costly;
        if (costly && timeout_ms == 0) SLM_TRY(eval__writer_open(grader->writer, err));
        if (costly && timeout_ms != 0) SLM_TRY(eval__writer_commit(grader->writer, err));
        SLM_TRY(slm_judge_poll(grader->judge, timeout_ms, &grading, err));
        if (!grading) {
            if (costly) SLM_TRY(eval__writer_commit(grader->writer, err));
            if (grader->judge->in_flight > 0) return SLM_OK;
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "the judge %s gave no grading for %zu answers; run again to grade "
                                 "them",
                                 grader->judge->name, grader->pending_count);
        }
        size_t at = 0;
        while (at < grader->pending_count && grader->pending[at].ticket != grading->ticket)
            at++;
        slm_status status = SLM_OK;
        if (at < grader->pending_count) status = store_grading(grader, at, grading, err);
        slm_grading_free(grading);
        if (status != SLM_OK) return status;
        SLM_TRY(eval__writer_tick(grader->writer, err));
        timeout_ms = 0;
    }
    return SLM_OK;
}

slm_status eval__grader_finish(eval__grader *grader, slm_error *err)
{
    while (grader->pending_count > 0) {
        SLM_TRY(eval__grader_poll(grader, 200, err));
        SLM_TRY(eval__writer_tick(grader->writer, err));
    }
    return SLM_OK;
}

void eval__drop_gradings(slm_judge *judge)
{
    slm_judge_drop(judge, EVAL_DROP_S);
}

void eval__grader_drop(eval__grader *grader)
{
    slm_judge_drop(grader->judge, EVAL_DROP_S);
    eval__grader_free(grader);
}

void eval__grader_free(eval__grader *grader)
{
    for (size_t i = 0; i < grader->pending_count; i++)
        slm_env_heard_free(grader->pending[i].heard);
    grader->pending_count = 0;
}

bool eval__stopped(const slm_eval_options *options)
{
    return options->stop && *options->stop;
}

/* ---- cases ---- */

static int compare_ids(const void *a, const void *b, void *context)
{
    const slm_cases *cases = context;
    return strcmp(cases->items[*(const size_t *)a].id, cases->items[*(const size_t *)b].id);
}

slm_status eval__select(const slm_cases *cases, const slm_judge *judge, bool skip_uncovered,
                        slm_log *log, eval__selection *out, slm_error *err)
{
    const slm_case *first = NULL;
    *out = (eval__selection){.cases = cases};
    if (cases->count == 0)
        return slm_error_set(err, SLM_ERR_INVALID, "there is no case to evaluate");
    out->items = calloc(cases->count, sizeof *out->items);
    out->by_id = calloc(cases->count, sizeof *out->by_id);
    if (!out->items || !out->by_id) slm_out_of_memory(cases->count);
    for (size_t i = 0; i < cases->count; i++) {
        if (slm_judge_can_score(judge, &cases->items[i]))
            out->items[out->count++] = i;
        else if (!first)
            first = &cases->items[i];
    }
    size_t left_out = cases->count - out->count;
    if (left_out && (!skip_uncovered || out->count == 0)) {
        slm_status status = slm_error_set(
            err, SLM_ERR_INVALID,
            "case %s (line %zu): the judge %s covers no criterion of it that gives points, and so "
            "with %zu of %zu cases; %s",
            first->id, first->line, judge->name, left_out, cases->count,
            out->count ? "leave them out with --skip-uncovered or use another judge"
                       : "use another judge");
        eval__selection_free(out);
        return status;
    }
    if (left_out)
        slm_log_print(log, SLM_LOG_WARNING,
                      "%zu of %zu cases are left out, the first is %s: the judge %s covers no "
                      "criterion of them that gives points",
                      left_out, cases->count, first->id, judge->name);
    memcpy(out->by_id, out->items, out->count * sizeof *out->by_id);
    qsort_r(out->by_id, out->count, sizeof *out->by_id, compare_ids, (void *)(uintptr_t)cases);
    /* From here on by_id holds positions in items: the set is searched by id, and answered by
     * position. items ascends, so a case's position is found by bisection. */
    for (size_t i = 0; i < out->count; i++) {
        size_t low = 0, high = out->count;
        while (low + 1 < high) {
            size_t middle = low + (high - low) / 2;
            if (out->items[middle] <= out->by_id[i])
                low = middle;
            else
                high = middle;
        }
        out->by_id[i] = low;
    }
    return SLM_OK;
}

void eval__selection_free(eval__selection *selection)
{
    free(selection->items);
    free(selection->by_id);
    selection->items = selection->by_id = NULL;
    selection->count = 0;
}

size_t eval__selection_find(const eval__selection *selection, const char *case_id)
{
    size_t low = 0, high = selection->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        size_t position = selection->by_id[middle];
        int order = strcmp(eval__case_at(selection, position)->id, case_id);
        if (order == 0) return position;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return SIZE_MAX;
}

/* Name and coverage of a judge, what it is made of with the coverage; and how far it is known to agree
 * with people, so that reports can tell. */
static slm_status put_judge(slm_store *store, const slm_cases *cases, const slm_judge *judge,
                            slm_error *err)
{
    slm_buffer text = {0};
    slm_coverage coverage = slm_judge_coverage(judge, cases);
    slm_buffer_printf(&text,
                      "{\"cases\":%zu,\"cases_covered\":%zu,\"criteria\":%zu,"
                      "\"criteria_covered\":%zu",
                      coverage.cases, coverage.cases_covered, coverage.criteria,
                      coverage.criteria_covered);
    if (judge->details_json) slm_buffer_printf(&text, ",\"judge\":%s", judge->details_json);
    slm_buffer_append_char(&text, '}');
    slm_status status = slm_store_put_judge(store, judge->identity, judge->name, err);
    if (status == SLM_OK)
        status = slm_store_put_coverage(store, judge->identity, cases->sha256,
                                        slm_buffer_text(&text), err);
    slm_buffer_free(&text);
    const slm_validation *known = slm_judge_validation(judge->identity);
    if (status != SLM_OK || known == NULL) return status;
    return slm_store_put_agreement(store, judge->identity, known->labels, known->name, known->json,
                                   err);
}

slm_status eval__put_setting(slm_store *store, const slm_cases *cases, slm_judge *judge,
                             slm_error *err)
{
    slm_status status = SLM_OK;
    slm_judge_use_store(judge, store);
    SLM_TRY_OUT(slm_store_begin(store, err));
    SLM_TRY_OUT(put_judge(store, cases, judge, err));
    for (size_t m = 0; m < judge->member_count; m++)
        SLM_TRY_OUT(put_judge(store, cases, judge->members[m], err));
    for (size_t i = 0; i < cases->count; i++) {
        const slm_case *c = &cases->items[i];
        SLM_TRY_OUT(slm_store_put_case(store, cases->sha256, c->id, c->family, i, c->json, err));
    }
    status = slm_store_commit(store, err);
out:
    if (status != SLM_OK) slm_store_rollback(store);
    return status;
}

/* ---- what is there already ---- */

typedef struct have_reader {
    const eval__selection *selection;
    size_t k;
    uint8_t *have;
} have_reader;

static bool on_key(void *context, const char *case_id, int64_t rollout, bool graded)
{
    have_reader *r = context;
    if (rollout >= (int64_t)r->k) return true;
    size_t at = eval__selection_find(r->selection, case_id);
    if (at == SIZE_MAX) return true;
    r->have[at * r->k + (size_t)rollout] =
        (uint8_t)(EVAL_HAS_SAMPLE | (graded ? EVAL_HAS_GRADING : 0));
    return true;
}

slm_status eval__have(slm_store *store, const char *run, const char *judge_hash,
                      const eval__selection *selection, size_t k, uint8_t *have, slm_error *err)
{
    have_reader reader = {.selection = selection, .k = k, .have = have};
    return slm_store_sample_keys(store, run, judge_hash, on_key, &reader, err);
}
