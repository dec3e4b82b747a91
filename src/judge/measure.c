/* measure.c: a judge's verdicts on labelled answers.
 *
 * Many answers are with the judge at a time. Verdicts that are there go to the store in a group, as a
 * recorded judge's do, which would else wait for the disk at each. Where the judge has to be waited
 * for, each verdict is stored as it comes: what was asked stays asked when the program is killed. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/progress.h"
#include "judge/judge_internal.h"

enum { JUDGING = 64, POLL_MS = 200, DROP_S = 10 };
static const double COMMIT_S = 0.8;

typedef struct measuring {
    const slm_labels *labels;
    slm_judge *judge;
    slm_verdict *verdicts;
    slm_error *first_error;
    struct {
        uint64_t ticket;
        const slm_labelled *item;
    } pending[JUDGING];
    size_t pending_count, next;
    uint64_t done;
} measuring;

static void take_verdicts(const measuring *m, const slm_labelled *item, const slm_grading *grading,
                          slm_verdict *verdicts)
{
    for (size_t i = 0; i < item->c.rubric_count; i++)
        verdicts[item->first + i] = grading->grades[i].verdict;
    if (grading->error.status != SLM_OK && m->first_error->status == SLM_OK)
        *m->first_error = grading->error;
}

static void take_grading(measuring *m, const slm_grading *grading)
{
    size_t at = 0;
    while (at < m->pending_count && m->pending[at].ticket != grading->ticket)
        at++;
    if (at == m->pending_count) return;
    const slm_labelled *item = m->pending[at].item;
    m->pending[at] = m->pending[--m->pending_count];
    take_verdicts(m, item, grading, m->verdicts);
    for (size_t i = 0; i < grading->member_count; i++)
        take_verdicts(m, item, grading->members[i], m->verdicts + (i + 1) * m->labels->criteria);
    m->done += item->c.rubric_count;
}

static slm_status submit_more(measuring *m, slm_error *err)
{
    while (m->pending_count < JUDGING && m->next < m->labels->count) {
        const slm_labelled *item = &m->labels->items[m->next];
        uint64_t ticket = 0;
        SLM_TRY(slm_judge_submit(m->judge, &item->c, item->reply, &ticket, err));
        m->pending[m->pending_count].ticket = ticket;
        m->pending[m->pending_count++].item = item;
        m->next++;
    }
    return SLM_OK;
}

/* *any: one came. */
static slm_status poll_once(measuring *m, int timeout_ms, bool *any, slm_error *err)
{
    slm_grading *grading = NULL;
    *any = false;
    SLM_TRY(slm_judge_poll(m->judge, timeout_ms, &grading, err));
    if (grading != NULL) {
        *any = true;
        take_grading(m, grading);
        slm_grading_free(grading);
    } else if (m->judge->in_flight == 0) {
        return slm_error_set(err, SLM_ERR_FORMAT, "the judge %s gave no grading for %zu answers",
                             m->judge->name, m->pending_count);
    }
    return SLM_OK;
}

/* What is there, in one group; then what comes while it is waited. */
static slm_status poll_all(measuring *m, slm_error *err)
{
    slm_store *store = m->judge->store;
    bool any = true;
    if (store != NULL) SLM_TRY(slm_store_begin(store, err));
    slm_status status = SLM_OK;
    double begun_s = slm_progress_clock_s();
    while (status == SLM_OK && any && slm_progress_clock_s() - begun_s < COMMIT_S) {
        status = submit_more(m, err);
        if (status == SLM_OK && m->pending_count == 0) break;
        if (status == SLM_OK) status = poll_once(m, 0, &any, err);
    }
    if (store != NULL) {
        /* What came before a failure is kept. */
        slm_status kept = slm_store_commit(store, status == SLM_OK ? err : NULL);
        if (kept != SLM_OK) slm_store_rollback(store);
        if (status == SLM_OK) status = kept;
    }
    if (status != SLM_OK || any || m->pending_count == 0) return status;
    return poll_once(m, POLL_MS, &any, err);
}

slm_status slm_labels_grade(const slm_labels *labels, slm_judge *judge, slm_log *log,
                            const volatile bool *stop, slm_verdict *verdicts,
                            slm_error *first_error, slm_error *err)
{
    measuring m = {
        .labels = labels, .judge = judge, .verdicts = verdicts, .first_error = first_error};
    slm_status status = SLM_OK;
    *first_error = (slm_error){0};
    slm_progress *progress = slm_progress_new(log, judge->name, "verdicts", labels->criteria, 0);
    while (m.next < labels->count || m.pending_count > 0) {
        if (stop != NULL && *stop)
            SLM_TRY_OUT(slm_error_set(err, SLM_ERR_CANCELLED, "stopped after %" PRIu64 " verdicts",
                                      m.done));
        SLM_TRY_OUT(poll_all(&m, err));
        slm_progress_update(progress, m.done, NULL);
    }
out:
    slm_progress_finish(progress);
    if (status != SLM_OK) slm_judge_drop(judge, DROP_S);
    return status;
}
