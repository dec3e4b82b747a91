/* baselines.c: arms that no model speaks, to read a model's scores against.
 *
 * A judge that reads surfaces can be pleased by surfaces. So beside every score stand those of
 * replies that cannot be good: one fixed reply (searched for, for each measure: floor.c; of general
 * questions; of general advice), the user's own words back, and each model's real answers held against the checks
 * of other cases. They are stored as runs like any other, made again only where they are missing. */
#include "eval/eval_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/progress.h"

enum { FLOOR_VERSION = 2 }; /* of the search in floor.c: part of the floor's run hash */

const char eval__always_ask[] =
    "I would like to understand this better before I say anything. How old are you? How long has "
    "this been going on, and did it begin suddenly or slowly? How bad is it, and is it getting "
    "better or worse? Does anything bring it on or ease it? Do you have any other symptoms, such "
    "as fever, pain or bleeding? Do you have any illnesses, have you had operations, and are you "
    "allergic to anything? Which medicines do you take, and what have you tried so far? Are you "
    "pregnant, or could you be?";

const char eval__never_ask[] =
    "Thank you for telling me about this. It is usually nothing serious and settles by itself "
    "within a few days. Rest, drink plenty of water, eat balanced meals and get enough sleep. "
    "A simple painkiller from the pharmacy can help, used as the leaflet says. Avoid stress, "
    "alcohol and smoking. If it does not get better, or if it gets worse, see a doctor, who can "
    "examine you and advise you further. I hope you feel better soon.";

typedef struct baselines {
    slm_store *store;
    const eval__selection *selection;
    const slm_eval_options *options;
    slm_log *log;
    eval__writer writer;
    eval__grader grader;
    uint8_t *have; /* [selection * k] */
    slm_arena arena;
    slm_progress *progress; /* from the first answer on: the search for the floor has its own */
    uint64_t done, total;
} baselines;

static slm_status stopped(slm_error *err)
{
    return slm_error_set(err, SLM_ERR_CANCELLED,
                         "stopped; what came is stored, run the same command to go on");
}

/* Puts the run and finds what of it (cases x k) is there. */
static slm_status open_run(baselines *b, slm_run *run, char hash[65], size_t k, slm_error *err)
{
    run->kind = "baseline";
    run->cases_sha256 = b->selection->cases->sha256;
    run->hash = hash;
    slm_run_hash(run, hash);
    SLM_TRY(slm_store_put_run(b->store, run, err));
    memset(b->have, 0, b->selection->count * k);
    return eval__have(b->store, hash, b->grader.judge->identity, b->selection, k, b->have, err);
}

/* Store one reply unless it is there, and have it graded unless it was. */
static slm_status put_reply(baselines *b, const char *run, size_t position, int64_t rollout,
                            uint8_t have, const char *reply, const char *finish, slm_error *err)
{
    const slm_case *c = eval__case_at(b->selection, position);
    if (!(have & EVAL_HAS_SAMPLE)) {
        slm_sample sample = {.run = run,
                             .case_id = c->id,
                             .rollout = rollout,
                             .reply = reply,
                             .finish = finish,
                             .prompt_tokens = -1,
                             .cached_tokens = -1,
                             .reply_tokens = -1,
                             .reasoning_tokens = -1};
        SLM_TRY(eval__writer_open(&b->writer, err));
        SLM_TRY(slm_store_put_sample(b->store, &sample, NULL, err));
    }
    if (!(have & EVAL_HAS_GRADING)) {
        while (b->grader.pending_count == EVAL_JUDGING)
            SLM_TRY(eval__grader_poll(&b->grader, 200, err));
        SLM_TRY(eval__grader_submit(&b->grader, run, c, rollout, reply, err));
    }
    SLM_TRY(eval__grader_poll(&b->grader, 0, err));
    SLM_TRY(eval__writer_tick(&b->writer, err));
    if (!b->progress) b->progress = slm_progress_new(b->log, "baselines", "answers", b->total, 0);
    slm_progress_update(b->progress, ++b->done, NULL);
    return eval__stopped(b->options) ? stopped(err) : SLM_OK;
}

static slm_status close_run(baselines *b, slm_error *err)
{
    SLM_TRY(eval__grader_finish(&b->grader, err));
    return eval__writer_commit(&b->writer, err);
}

/* ---- one reply for each case ---- */

typedef const char *reply_fn(const slm_case *c);

static const char *ask(const slm_case *c)
{
    (void)c;
    return eval__always_ask;
}

static const char *advise(const slm_case *c)
{
    (void)c;
    return eval__never_ask;
}

static const char *echo(const slm_case *c)
{
    for (size_t i = c->turn_count; i > 0; i--) {
        if (strcmp(c->turns[i - 1].role, "user") == 0) return c->turns[i - 1].content;
    }
    return "";
}

static slm_status run_plain(baselines *b, const char *name, const char *identity, reply_fn *reply,
                            slm_error *err)
{
    char hash[65];
    slm_run run = {.model_name = name, .model_identity = identity};
    SLM_TRY(open_run(b, &run, hash, 1, err));
    for (size_t i = 0; i < b->selection->count; i++)
        SLM_TRY(put_reply(b, hash, i, 0, b->have[i], reply(eval__case_at(b->selection, i)), "stop",
                          err));
    return close_run(b, err);
}

/* ---- floors ---- */

static slm_status open_floor(baselines *b, const eval__floor *floor, char hash[65], slm_error *err)
{
    slm_buffer settings = {0};
    /* What pleases one judge need not please another: the judge is part of this run's identity. */
    slm_buffer_printf(&settings, "{\"floor\":%d,\"judge\":\"%s\"}", FLOOR_VERSION,
                      b->grader.judge->identity);
    slm_run run = {.model_name = floor->name,
                   .model_identity = floor->identity,
                   .sampling_json = slm_buffer_text(&settings)};
    slm_status status = open_run(b, &run, hash, 1, err);
    slm_buffer_free(&settings);
    return status;
}

/* Grades again the replies that are there, and puts those that were found. */
static slm_status fill_floor(baselines *b, const eval__floor *floor, const bool *members,
                             char *const *replies, slm_error *err)
{
    char hash[65];
    SLM_TRY(open_floor(b, floor, hash, err));
    for (size_t i = 0; i < b->selection->count; i++) {
        const char *reply = replies[i];
        if (!members[i]) continue;
        if (b->have[i] & EVAL_HAS_SAMPLE) {
            slm_sample sample;
            slm_arena_reset(&b->arena);
            SLM_TRY(slm_store_get_sample(b->store, hash, eval__case_at(b->selection, i)->id, 0,
                                         &b->arena, &sample, err));
            reply = sample.reply;
        }
        SLM_TRY(put_reply(b, hash, i, 0, b->have[i], reply, "stop", err));
    }
    return close_run(b, err);
}

/* One search finds them all, so it is made if a reply of any is missing. */
static slm_status run_floors(baselines *b, slm_error *err)
{
    size_t count = b->selection->count, missing = 0;
    slm_status status = SLM_OK;
    char **replies = calloc(EVAL_FLOORS * count, sizeof *replies);
    size_t sizes[EVAL_FLOORS];
    bool *members = calloc(EVAL_FLOORS * count, sizeof *members), made = true;
    if (!replies || !members) slm_out_of_memory(EVAL_FLOORS * count);
    for (size_t f = 0; f < EVAL_FLOORS; f++) {
        char hash[65];
        bool *mine = members + f * count;
        sizes[f] = eval__floor_members(&eval__floors[f], b->selection, b->grader.judge, mine);
        if (sizes[f] == 0) continue;
        if (f > 0) b->total += sizes[f];
        SLM_TRY_OUT(open_floor(b, &eval__floors[f], hash, err));
        for (size_t i = 0; i < count; i++)
            missing += mine[i] && !(b->have[i] & EVAL_HAS_SAMPLE);
    }
    if (missing)
        SLM_TRY_OUT(eval__floor_search(b->selection, b->grader.judge, b->options, b->log, replies,
                                       &made, err));
    for (size_t f = 0; f < EVAL_FLOORS && made; f++) {
        if (sizes[f] > 0)
            SLM_TRY_OUT(
                fill_floor(b, &eval__floors[f], members + f * count, replies + f * count, err));
    }
out:
    for (size_t i = 0; i < EVAL_FLOORS * count; i++)
        free(replies[i]);
    free(replies);
    free(members);
    return status;
}

/* ---- shuffled ---- */

/* For each case the one whose answers it is given: half the set further on, then the next of another
 * family. False if all are of one family. */
static bool find_partners(const baselines *b, size_t *partners)
{
    size_t count = b->selection->count;
    for (size_t i = 0; i < count; i++) {
        size_t step = 0;
        for (; step < count; step++) {
            partners[i] = (i + (count + 1) / 2 + step) % count;
            if (strcmp(eval__case_at(b->selection, i)->family,
                       eval__case_at(b->selection, partners[i])->family) != 0)
                break;
        }
        if (step == count) return false;
    }
    return true;
}

typedef struct named_run {
    const char *hash;
    char *name;
} named_run;

static bool on_run(void *context, const slm_run *run)
{
    named_run *wanted = context;
    if (strcmp(run->hash, wanted->hash) != 0) return true;
    wanted->name = strdup(run->model_name);
    return false;
}

static slm_status shuffle_answers(baselines *b, const char *source, const char *hash,
                                  const size_t *partners, size_t k, slm_error *err)
{
    for (size_t i = 0; i < b->selection->count; i++) {
        for (size_t r = 0; r < k; r++) {
            uint8_t have = b->have[i * k + r];
            bool there = true;
            slm_sample sample = {.reply = "", .finish = "stop"};
            const char *id = eval__case_at(b->selection, partners[i])->id;
            if (have != (EVAL_HAS_SAMPLE | EVAL_HAS_GRADING)) {
                SLM_TRY(slm_store_has_sample(b->store, source, id, (int64_t)r, &there, err));
                slm_arena_reset(&b->arena);
                if (there)
                    SLM_TRY(slm_store_get_sample(b->store, source, id, (int64_t)r, &b->arena,
                                                 &sample, err));
            }
            if (there)
                SLM_TRY(put_reply(b, hash, i, (int64_t)r, have, sample.reply, sample.finish, err));
        }
    }
    return close_run(b, err);
}

static slm_status run_shuffled(baselines *b, const char *source, const size_t *partners,
                               slm_error *err)
{
    char hash[65];
    size_t k = (size_t)b->options->k;
    slm_buffer identity = {0};
    named_run wanted = {.hash = source};
    slm_status status = SLM_OK;
    slm_buffer_printf(&identity, "baseline:shuffled:%s", source);
    SLM_TRY_OUT(slm_store_runs(b->store, on_run, &wanted, err));
    slm_run run = {.model_name = wanted.name ? wanted.name : source,
                   .model_identity = slm_buffer_text(&identity)};
    SLM_TRY_OUT(open_run(b, &run, hash, k, err));
    status = shuffle_answers(b, source, hash, partners, k, err);
out:
    free(wanted.name);
    slm_buffer_free(&identity);
    return status;
}

static bool seen_before(const char *const *runs, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(runs[i], runs[at]) == 0) return true;
    }
    return false;
}

static slm_status run_all(baselines *b, const char *const *model_runs, size_t count, slm_error *err)
{
    slm_status status = SLM_OK;
    size_t *partners = calloc(b->selection->count + 1, sizeof *partners);
    if (!partners) slm_out_of_memory(b->selection->count);
    bool have_partners = find_partners(b, partners);
    if (!have_partners)
        slm_log_print(b->log, SLM_LOG_INFO,
                      "no shuffled baseline: all cases are of one family, so no other's answers "
                      "can be held against its checks");
    SLM_TRY_OUT(run_floors(b, err));
    for (size_t i = 0; have_partners && i < count; i++) {
        if (!seen_before(model_runs, i)) SLM_TRY_OUT(run_shuffled(b, model_runs[i], partners, err));
    }
    SLM_TRY_OUT(run_plain(b, "echo", "baseline:echo", echo, err));
    SLM_TRY_OUT(run_plain(b, "always-ask", "baseline:always-ask", ask, err));
    SLM_TRY_OUT(run_plain(b, "never-ask", "baseline:never-ask", advise, err));
out:
    free(partners);
    return status;
}

slm_status slm_eval_baselines(slm_store *store, const slm_cases *cases,
                              const char *const *model_runs, size_t model_run_count,
                              slm_judge *judge, const slm_eval_options *options, slm_log *log,
                              slm_error *err)
{
    eval__selection selection = {0};
    slm_status status = SLM_OK;
    if (judge->is_costly) {
        slm_log_print(log, SLM_LOG_INFO,
                      "no baselines with judge %s: they would take many times the calls of the "
                      "answers themselves (--judge rule makes them)",
                      judge->name);
        return SLM_OK;
    }
    /* Left-out cases were told of by the evaluation. */
    SLM_TRY(eval__select(cases, judge, options->skip_uncovered, NULL, &selection, err));
    size_t k = (size_t)options->k, distinct = 0;
    for (size_t i = 0; i < model_run_count; i++)
        distinct += !seen_before(model_runs, i);
    baselines b = {.store = store,
                   .selection = &selection,
                   .options = options,
                   .log = log,
                   .total = selection.count * (4 + distinct * k),
                   .writer = {.store = store, .age_s = options->commit_s}};
    b.grader.judge = judge;
    b.grader.writer = &b.writer;
    b.have = calloc(selection.count * k, 1);
    if (!b.have) slm_out_of_memory(selection.count * k);
    SLM_TRY_OUT(eval__put_setting(store, cases, judge, err));
    status = run_all(&b, model_runs, model_run_count, err);
out:
    slm_progress_finish(b.progress);
    if (b.writer.is_open) {
        b.writer.is_open = false;
        if (slm_store_commit(store, NULL) != SLM_OK) slm_store_rollback(store);
    }
    if (status != SLM_OK) eval__drop_gradings(judge);
    slm_arena_free(&b.arena);
    free(b.have);
    eval__selection_free(&selection);
    return status;
}
