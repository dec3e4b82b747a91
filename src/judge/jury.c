/* jury.c: several judges who vote.
 *
 * Each answer goes to all of them at once. By criterion the jury says what more than half of those
 * who cover it say. Where no verdict has that many votes the jury has none: the criterion is
 * unscored, be it for a tie or since too many judges failed. So a jury of two has to agree, and one
 * of three bears one failure as long as the other two agree. What each judge said travels with the
 * jury's grading, and is stored as that judge's own.
 *
 * The judges are polled in turn, none of them for long, since a local one computes while it is
 * polled and a remote one waits. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/progress.h"
#include "judge/judge_internal.h"

static const char METHOD[] = "slm-judge-jury 1";
enum { TURN_MS = 20 }; /* how long one judge is waited for while others may have something */

/* An answer that not all have graded. */
typedef struct hearing {
    struct hearing *next;
    uint64_t ticket;
    const slm_case *c;
    uint64_t *tickets;     /* by judge */
    slm_grading **members; /* NULL: still to come */
    size_t left;
} hearing;

typedef struct jury {
    slm_judge judge;
    hearing *hearings;
    size_t turn; /* whose turn it is to be polled */
} jury;

slm_verdict slm_jury_vote(const slm_verdict *votes, size_t count)
{
    size_t covering = 0, met = 0, not_met = 0;
    for (size_t i = 0; i < count; i++) {
        covering += votes[i] != SLM_VERDICT_NOT_COVERED;
        met += votes[i] == SLM_VERDICT_MET;
        not_met += votes[i] == SLM_VERDICT_NOT_MET;
    }
    if (covering == 0) return SLM_VERDICT_NOT_COVERED;
    if (2 * met > covering) return SLM_VERDICT_MET;
    if (2 * not_met > covering) return SLM_VERDICT_NOT_MET;
    return SLM_VERDICT_UNSCORED;
}

static void free_hearing(hearing *h, size_t member_count)
{
    for (size_t m = 0; h->members != NULL && m < member_count; m++)
        slm_grading_free(h->members[m]);
    free(h->members);
    free(h->tickets);
    free(h);
}

static const char *vote_name(slm_verdict verdict)
{
    static const char *const names[] = {[SLM_VERDICT_NOT_COVERED] = "does not grade it",
                                        [SLM_VERDICT_UNSCORED] = "failed",
                                        [SLM_VERDICT_NOT_MET] = "not met",
                                        [SLM_VERDICT_MET] = "met"};
    return names[verdict];
}

/* How each voted, and the first reason that a judge of the winning side gave. */
static void vote(jury *j, const hearing *h, size_t criterion, slm_grading *out)
{
    size_t n = j->judge.member_count, same = 0, covering = 0;
    slm_grade *grade = &out->grades[criterion];
    slm_verdict *votes = calloc(n, sizeof *votes);
    if (votes == NULL) slm_out_of_memory(n);
    const char *reason = NULL;
    for (size_t m = 0; m < n; m++)
        votes[m] = h->members[m]->grades[criterion].verdict;
    grade->verdict = slm_jury_vote(votes, n);
    grade->prompt_tokens = grade->reply_tokens = -1;
    if (grade->verdict == SLM_VERDICT_NOT_COVERED) {
        free(votes);
        return;
    }
    slm_buffer text = {0};
    for (size_t m = 0; m < n; m++) {
        const slm_grade *one = &h->members[m]->grades[criterion];
        slm_buffer_printf(&text, "%s%s: %s", m ? "; " : "", j->judge.members[m]->name,
                          vote_name(votes[m]));
        covering += votes[m] != SLM_VERDICT_NOT_COVERED;
        same += votes[m] == grade->verdict;
        if (reason == NULL && votes[m] == grade->verdict) reason = one->explanation;
        if (one->prompt_tokens >= 0)
            grade->prompt_tokens =
                (grade->prompt_tokens < 0 ? 0 : grade->prompt_tokens) + one->prompt_tokens;
        if (one->reply_tokens >= 0)
            grade->reply_tokens =
                (grade->reply_tokens < 0 ? 0 : grade->reply_tokens) + one->reply_tokens;
    }
    slm_judge_tally *tally = &j->judge.tally;
    tally->unanimous += grade->verdict != SLM_VERDICT_UNSCORED && same == covering;
    tally->majority += grade->verdict != SLM_VERDICT_UNSCORED && same < covering;
    tally->unscored += grade->verdict == SLM_VERDICT_UNSCORED;
    if (grade->verdict == SLM_VERDICT_UNSCORED && out->error.status == SLM_OK) {
        for (size_t m = 0; m < n && out->error.status == SLM_OK; m++)
            if (votes[m] == SLM_VERDICT_UNSCORED) out->error = h->members[m]->error;
        if (out->error.status == SLM_OK)
            slm_error_set(&out->error, SLM_ERR_FORMAT,
                          "no verdict has more than half of the votes (%.600s)",
                          slm_buffer_text(&text));
    }
    if (reason != NULL) slm_buffer_printf(&text, ". %s", reason);
    grade->explanation = slm_buffer_take(&text);
    free(votes);
}

static slm_grading *verdict_of(jury *j, hearing *h)
{
    slm_grading *out = calloc(1, sizeof *out);
    if (out == NULL) slm_out_of_memory(sizeof *out);
    out->ticket = h->ticket;
    out->count = h->c->rubric_count;
    out->grades = calloc(out->count + 1, sizeof *out->grades);
    if (out->grades == NULL) slm_out_of_memory(out->count * sizeof *out->grades);
    for (size_t i = 0; i < out->count; i++)
        vote(j, h, i, out);
    out->members = h->members;
    out->member_count = j->judge.member_count;
    h->members = NULL;
    return out;
}

/* ---- the door ------------------------------------------------------------------------------ */

static bool jury_covers(const slm_judge *judge, const slm_case *c, size_t rubric_index)
{
    for (size_t m = 0; m < judge->member_count; m++)
        if (slm_judge_covers(judge->members[m], c, rubric_index)) return true;
    return false;
}

static slm_status jury_submit(slm_judge *judge, const slm_case *c, const char *reply,
                              uint64_t ticket, slm_error *err)
{
    jury *j = (jury *)judge;
    size_t n = judge->member_count;
    hearing *h = calloc(1, sizeof *h);
    if (h == NULL) slm_out_of_memory(sizeof *h);
    h->tickets = calloc(n, sizeof *h->tickets);
    h->members = calloc(n, sizeof *h->members);
    if (h->tickets == NULL || h->members == NULL) slm_out_of_memory(n * sizeof *h->members);
    h->ticket = ticket;
    h->c = c;
    h->left = n;
    for (size_t m = 0; m < n; m++) {
        slm_status status = slm_judge_submit(judge->members[m], c, reply, &h->tickets[m], err);
        if (status != SLM_OK) {
            /* What the judges before it were given comes back and finds nobody. */
            free_hearing(h, n);
            return slm_error_prefix(err, status, "judge %s", judge->members[m]->name);
        }
    }
    judge->tally.verdicts += c->rubric_count;
    hearing **last = &j->hearings;
    while (*last != NULL)
        last = &(*last)->next;
    *last = h;
    return SLM_OK;
}

/* The judge's grading goes to its hearing; a hearing that is complete becomes *out. */
static void take_grading(jury *j, size_t m, slm_grading *grading, slm_grading **out)
{
    for (hearing **at = &j->hearings; *at != NULL; at = &(*at)->next) {
        hearing *h = *at;
        if (h->tickets[m] != grading->ticket || h->members[m] != NULL) continue;
        h->members[m] = grading;
        if (--h->left == 0) {
            *at = h->next;
            *out = verdict_of(j, h);
            free_hearing(h, j->judge.member_count);
        }
        return;
    }
    slm_grading_free(grading);
}

static slm_status jury_poll(slm_judge *judge, int timeout_ms, slm_grading **grading, slm_error *err)
{
    jury *j = (jury *)judge;
    size_t n = judge->member_count;
    double end_s = slm_progress_clock_s() + timeout_ms / 1000.0;
    for (bool first = true;; first = false) {
        bool any = false;
        for (size_t i = 0; i < n && *grading == NULL; i++) {
            size_t m = j->turn;
            slm_judge *member = judge->members[m];
            slm_grading *one = NULL;
            j->turn = (m + 1) % n;
            slm_status status = slm_judge_poll(member, first ? 0 : TURN_MS, &one, err);
            if (status != SLM_OK) return slm_error_prefix(err, status, "judge %s", member->name);
            any |= one != NULL || member->in_flight > 0;
            if (one != NULL) take_grading(j, m, one, grading);
        }
        if (*grading != NULL || !any) break;
        if (timeout_ms >= 0 && slm_progress_clock_s() >= end_s) break;
    }
    return SLM_OK;
}

static void jury_drop(slm_judge *judge)
{
    jury *j = (jury *)judge;
    enum { PATIENCE_S = 2 };
    for (size_t m = 0; m < judge->member_count; m++)
        slm_judge_drop(judge->members[m], PATIENCE_S);
    while (j->hearings != NULL) {
        hearing *next = j->hearings->next;
        free_hearing(j->hearings, judge->member_count);
        j->hearings = next;
    }
}

static void jury_free(slm_judge *judge)
{
    jury *j = (jury *)judge;
    while (j->hearings != NULL) {
        hearing *next = j->hearings->next;
        free_hearing(j->hearings, judge->member_count);
        j->hearings = next;
    }
    for (size_t m = 0; m < judge->member_count; m++)
        slm_judge_free(judge->members[m]);
    free(judge->members);
    free(judge->name);
    free(judge->identity);
    free(judge->details_json);
    free(j);
}

static const slm_judge_class jury_class = {jury_covers, jury_submit, jury_poll, jury_free,
                                           jury_drop};

slm_status slm_judge_jury_new(slm_judge **members, size_t count, slm_judge **out, slm_error *err)
{
    char hex[SLM_SHA256_HEX_BYTES];
    slm_buffer name = {0}, details = {0};
    jury *j = calloc(1, sizeof *j);
    if (j == NULL) slm_out_of_memory(sizeof *j);
    j->judge.class = &jury_class;
    j->judge.member_count = count;
    j->judge.members = calloc(count + 1, sizeof *j->judge.members);
    if (j->judge.members == NULL) slm_out_of_memory(count);
    memcpy(j->judge.members, members, count * sizeof *members);
    slm_status status = SLM_OK;
    if (count < 2) status = slm_error_set(err, SLM_ERR_INVALID, "a jury needs two judges or more");
    for (size_t i = 0; i < count && status == SLM_OK; i++)
        for (size_t k = i + 1; k < count && status == SLM_OK; k++)
            if (strcmp(members[i]->identity, members[k]->identity) == 0)
                status =
                    slm_error_set(err, SLM_ERR_INVALID,
                                  "the judge %s stands twice in the jury; its vote counts once",
                                  members[i]->name);
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, METHOD);
    slm_buffer_append_text(&name, "jury of ");
    slm_buffer_append_text(&details, "{\"kind\":\"jury\",\"members\":[");
    for (size_t m = 0; m < count; m++) {
        slm_sha256_update_part(hash, members[m]->identity);
        slm_buffer_printf(&name, "%s%s", m ? ", " : "", members[m]->name);
        if (m) slm_buffer_append_char(&details, ',');
        if (members[m]->details_json != NULL)
            slm_buffer_append_text(&details, members[m]->details_json);
        else
            slm_buffer_printf(&details, "{\"kind\":\"%s\"}", members[m]->name);
        j->judge.is_costly |= members[m]->is_costly;
    }
    slm_buffer_append_text(&details, "]}");
    slm_sha256_finish(hash, hex);
    j->judge.identity = strdup(hex);
    if (j->judge.identity == NULL) slm_out_of_memory(sizeof hex);
    j->judge.name = slm_buffer_take(&name);
    j->judge.details_json = slm_buffer_take(&details);
    if (status != SLM_OK) {
        jury_free(&j->judge);
        return status;
    }
    *out = &j->judge;
    return SLM_OK;
}
