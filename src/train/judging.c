/* judging.c: rollouts before a judge, while others are still being played.
 *
 * A rollout's score is the judge's on its last reply, with what was said before it shown along, as an
 * evaluation has it (eval.h). The judge grades beside the sampling; which gradings come first leaves no
 * trace, since each goes to its own rollout.
 *
 * A rollout that the judge failed on gets no score: the reward's part is absent, as for a case that it
 * does not apply to, and it is counted. Where nobody could be asked at all (a host that is down, money
 * that is spent) practice would go on with another reward than the recipe's: that is an error. A judge
 * that was asked and came to no verdict is none. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/eval.h"
#include "train_internal.h"

static const double DROP_S = 10; /* how long what is in flight after a failure is waited for */

struct train__hearing {
    uint64_t ticket;
    train__rollout *rollout;
    const slm_case *c;
    slm_env_heard *heard; /* NULL: a single reply */
};

slm_status train__judging_submit(train__judging *j, const slm_case *c, bool in_turns,
                                 train__rollout *rollout, slm_error *err)
{
    slm_episode *episode = rollout->episode;
    const char *reply = slm_env_reply(episode, slm_env_reply_count(episode) - 1);
    if (!slm_judge_can_score(j->judge, c)) {
        slm_env_judged(episode, NAN);
        return SLM_OK;
    }
    if (j->count == j->room) {
        j->room = j->room ? 2 * j->room : 64;
        j->items = realloc(j->items, j->room * sizeof *j->items);
        if (!j->items) slm_out_of_memory(j->room * sizeof *j->items);
    }
    train__hearing *h = &j->items[j->count];
    *h = (train__hearing){.rollout = rollout, .c = c};
    if (in_turns) h->heard = slm_env_hear(c, episode);
    const slm_status status =
        slm_judge_submit(j->judge, h->heard ? &h->heard->c : c, reply, &h->ticket, err);
    if (status != SLM_OK) {
        slm_env_heard_free(h->heard);
        return slm_error_prefix(err, status, "grading case %s", c->id);
    }
    j->count++;
    return SLM_OK;
}

static void take_grading(train__judging *j, slm_grading *grading)
{
    size_t at = 0;
    while (at < j->count && j->items[at].ticket != grading->ticket)
        at++;
    if (at == j->count) return; /* of what was dropped */
    const train__hearing h = j->items[at];
    j->items[at] = j->items[--j->count];
    if (h.heard) slm_env_heard_amend(h.heard, grading);
    const slm_score score = slm_score_grading(h.c, grading);
    h.rollout->judged = true;
    h.rollout->unscored = !score.has_score;
    j->graded++;
    if (!score.has_score) {
        /* Replies without a verdict, and a jury that disagrees, are SLM_ERR_FORMAT. */
        j->lost += grading->error.status != SLM_ERR_FORMAT;
        if (j->unscored++ == 0) j->first = grading->error;
    }
    slm_env_heard_free(h.heard);
    slm_env_judged(h.rollout->episode, score.has_score ? score.score : NAN);
    h.rollout->reward = *slm_env_reward(h.rollout->episode);
}

static slm_status poll_once(train__judging *j, int timeout_ms, bool *any, slm_error *err)
{
    slm_grading *grading = NULL;
    *any = false;
    SLM_TRY(slm_judge_poll(j->judge, timeout_ms, &grading, err));
    *any = grading != NULL;
    if (grading)
        take_grading(j, grading);
    else if (j->judge->in_flight == 0)
        return slm_error_set(err, SLM_ERR_FORMAT, "the judge %s gave no grading for %zu rollouts",
                             j->judge->name, j->count);
    slm_grading_free(grading);
    return SLM_OK;
}

/* What is there is kept as one group; while it is waited each verdict is on the disk as it comes. */
slm_status train__judging_poll(train__judging *j, int timeout_ms, slm_error *err)
{
    slm_store *store = timeout_ms == 0 ? j->judge->store : NULL;
    slm_status status = SLM_OK;
    bool any = true;
    if (j->count == 0) return SLM_OK;
    if (store) SLM_TRY(slm_store_begin(store, err));
    while (status == SLM_OK && any && j->count > 0) {
        status = poll_once(j, timeout_ms, &any, err);
        if (timeout_ms != 0) break;
    }
    if (!store) return status;
    const slm_status kept = slm_store_commit(store, status == SLM_OK ? err : NULL);
    if (kept != SLM_OK) slm_store_rollback(store);
    return status == SLM_OK ? kept : status;
}

slm_status train__judging_end(train__judging *j, slm_log *log, slm_error *err)
{
    if (j->unscored == 0) return SLM_OK;
    if (j->lost == j->graded)
        return slm_error_set(err, SLM_ERR_NETWORK,
                             "the judge %s could grade none of %zu rollouts: %.600s; the step is "
                             "not learnt from, and the same command goes on with it",
                             j->judge->name, j->graded, j->first.message);
    slm_log_print(log, SLM_LOG_WARNING,
                  "%zu of %zu rollouts are unscored, since the judge %s failed on them (%.600s): "
                  "their reward is without its part",
                  j->unscored, j->graded, j->judge->name, j->first.message);
    return SLM_OK;
}

void train__judging_free(train__judging *j)
{
    if (j->count > 0) slm_judge_drop(j->judge, DROP_S);
    for (size_t i = 0; i < j->count; i++)
        slm_env_heard_free(j->items[i].heard);
    free(j->items);
    *j = (train__judging){0};
}
