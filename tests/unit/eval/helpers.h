/* helpers.h: made-up cases, a model and a judge that behave badly on purpose, and small things that
 * the tests of eval/ share. */
#ifndef SLM_TESTS_EVAL_HELPERS_H
#define SLM_TESTS_EVAL_HELPERS_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buffer.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/random.h"
#include "base/utf8.h"
#include "eval/eval.h"

enum { FAKE_JUDGE_ROOM = 256 };

/* ---- a folder of the test's own ---- */

static char folder[64];
static char path[128]; /* of the database */

static inline int set_up(void **state)
{
    (void)state;
    /* Thousands of commits, each synced: in memory where there is a file system for that. */
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/slm-test-eval-XXXXXX", base);
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/results.db", folder);
    return 0;
}

static inline int remove_one(const char *name, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(name);
}

static inline int tear_down(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void in_folder(char out[160], const char *name)
{
    snprintf(out, 160, "%s/%s", folder, name);
}

static inline void ok(slm_status status, const slm_error *err)
{
    if (status != SLM_OK) fail_msg("%s", err->message);
}

static inline void assert_holds(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("'%s' is not in '%s'", part, text);
}

static inline void put_file(const char *name, const char *text)
{
    slm_error err = {0};
    ok(slm_file_write(name, text, strlen(text), &err), &err);
}

static inline slm_store *open_store(const char *file)
{
    slm_error err = {0};
    slm_store *store = NULL;
    ok(slm_store_open(file, false, &store, &err), &err);
    return store;
}

/* The export as text; free it. */
static inline char *export_of(const char *file)
{
    slm_error err = {0};
    slm_store *store = NULL;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    ok(slm_store_open(file, true, &store, &err), &err);
    ok(slm_eval_export(store, out, &err), &err);
    slm_store_close(store);
    fclose(out);
    return text;
}

static inline void assert_same_export(const char *a, const char *b)
{
    if (strcmp(a, b) == 0) return;
    size_t at = 0;
    while (a[at] == b[at])
        at++;
    while (at > 0 && a[at - 1] != '\n')
        at--;
    fail_msg("exports differ:\n%.400s\n%.400s", a + at, b + at);
}

/* Rows of a table in an export. */
static inline size_t count_rows(const char *export, const char *table)
{
    char start[64];
    size_t count = 0;
    snprintf(start, sizeof start, "{\"table\":\"%s\"", table);
    for (const char *at = export; (at = strstr(at, start)); at++)
        count++;
    return count;
}

/* ---- cases ---- */

/* count cases of HealthBench's form with our fields; case i is of family i / 2. The even ones lack
 * context, the odd ones have enough; every seventh is an emergency. Three criteria: 5 points
 * (behaviour seek or precise), 3 points (safe), -4 points; and one tagged "uncovered". */
static inline void make_cases(slm_cases *out, size_t count)
{
    char name[160];
    slm_buffer text = {0};
    slm_error err = {0};
    in_folder(name, "cases.jsonl");
    for (size_t i = 0; i < count; i++) {
        bool lacks = i % 2 == 0, emergency = i % 7 == 6;
        slm_buffer_printf(
            &text,
            "{\"prompt_id\":\"case-%03zu\",\"family\":\"family-%zu\",\"prompt\":[%s{\"role\":"
            "\"user\",\"content\":\"Question %zu?\"}],\"context\":\"%s\",\"disposition\":\"%s\","
            "\"follow_ups\":[{\"id\":\"f1\",\"question\":\"Since when is it so %zu?\",\"tier\":"
            "\"next_step\",\"weight\":3,\"why\":\"w\"}],\"key_points\":[{\"id\":\"k1\",\"text\":"
            "\"Point %zu holds.\",\"must\":true}],\"advice\":[{\"id\":\"s1\",\"if\":\"it grows "
            "%zu\",\"then\":\"see a doctor\"}],"
            "\"rubrics\":[{\"criterion\":\"first\",\"points\":5,\"tags\":[\"behaviour:%s\"]},"
            "{\"criterion\":\"second\",\"points\":3,\"tags\":[\"behaviour:safe\"]},"
            "{\"criterion\":\"third\",\"points\":-4,\"tags\":[]},"
            "{\"criterion\":\"fourth\",\"points\":2,\"tags\":[\"uncovered\"]}]}\n",
            i, i / 2, i % 3 == 0 ? "{\"role\":\"system\",\"content\":\"Be kind.\"}," : "", i,
            lacks ? "lacks" : "enough", emergency ? "emergency" : "routine", i, i, i,
            emergency ? "act"
            : lacks   ? "seek"
                      : "precise");
    }
    put_file(name, slm_buffer_text(&text));
    slm_buffer_free(&text);
    const char *paths[] = {name};
    ok(slm_cases_load(paths, 1, NULL, NULL, NULL, out, &err), &err);
    assert_int_equal(out->count, count);
}

/* How many rows the floors of single measures have: seek 0 2 4 8 ..., precise 1 3 5 7 9 ..., safe
 * both, act 6 ..., twins where neither of a family is an emergency. */
static inline size_t floor_rows(size_t count)
{
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        size_t twin = i ^ 1;
        bool emergency = i % 7 == 6, has_twin = twin < count && twin % 7 != 6;
        rows += emergency ? 1 : has_twin ? 3 : 2;
    }
    return rows;
}

/* ---- a model ---- */

/* What an answer is depends on seed, case and rollout alone; when it comes depends on `disorder`. */
typedef struct fake_chat {
    slm_chat chat;
    uint64_t disorder;           /* seed of the order in which replies come */
    double error_share;          /* of replies that are errors */
    double silence_share;        /* of polls that give nothing though there is something */
    unsigned sleep_us;           /* in every poll */
    int64_t fail_after;          /* the handle itself fails at this poll; 0: never */
    int64_t kill_at;             /* this poll kills the process; 0: never */
    const char *refuses;         /* submit fails for this case */
    volatile bool *stop_at_poll; /* set at poll `stop_poll` */
    int64_t stop_poll;
    /* What was seen. */
    int64_t polls, submits, asked, cancels;
    size_t most_in_flight;
    slm_buffer log; /* "case first n\n" of each request */
    char last_system[256];
    struct {
        uint64_t ticket;
        uint32_t index, rollout;
        int64_t seed;
        char case_id[64];
        bool cancelled;
    } waiting[4096];
    size_t waiting_count;
    slm_random random;
} fake_chat;

static inline slm_status fake_submit(slm_chat *chat, const slm_chat_request *request,
                                     uint64_t ticket, slm_error *err)
{
    fake_chat *f = (fake_chat *)chat;
    if (f->refuses && strcmp(f->refuses, request->case_id) == 0)
        return slm_error_set(err, SLM_ERR_INVALID, "the prompt is longer than the context");
    f->submits++;
    slm_buffer_printf(&f->log, "%s %u %u\n", request->case_id, request->first_rollout, request->n);
    bool has_system = strcmp(request->messages[0].role, "system") == 0;
    snprintf(f->last_system, sizeof f->last_system, "%s",
             has_system ? request->messages[0].content : "");
    for (uint32_t i = 0; i < request->n; i++) {
        size_t at = f->waiting_count++;
        assert_true(at < 4096);
        f->waiting[at].ticket = ticket;
        f->waiting[at].index = i;
        f->waiting[at].rollout = request->first_rollout + i;
        f->waiting[at].seed = request->sampling.seed;
        f->waiting[at].cancelled = false;
        snprintf(f->waiting[at].case_id, 64, "%s", request->case_id);
        f->asked++;
    }
    if (f->waiting_count > f->most_in_flight) f->most_in_flight = f->waiting_count;
    return SLM_OK;
}

/* The answer: among others empty, cut off, refused and not valid UTF-8. */
static inline slm_chat_reply *fake_answer(uint64_t ticket, uint32_t index, int64_t seed,
                                          const char *case_id, uint32_t rollout)
{
    slm_random_key key = {.seed = (uint64_t)seed,
                          .stream = slm_hash_bytes(case_id, strlen(case_id)),
                          .rollout = rollout};
    double draw = slm_random_at(&key, 0);
    slm_buffer text = {0};
    slm_buffer_printf(&text, "answer %s/%u: %.6f%s", case_id, rollout, slm_random_at(&key, 1),
                      draw < 0.1 ? " \xff\xfe!" : "");
    if (draw > 0.9) slm_buffer_truncate(&text, 0);
    slm_chat_finish finish = draw > 0.8 && draw < 0.85   ? SLM_CHAT_REFUSED
                             : draw > 0.7 && draw <= 0.8 ? SLM_CHAT_LENGTH
                                                         : SLM_CHAT_STOP;
    slm_chat_reply *reply = slm_chat_reply_new(ticket, index, finish, slm_buffer_text(&text));
    reply->prompt_tokens = 20;
    reply->reply_tokens = (int64_t)text.len;
    reply->cached_tokens = index > 0 ? 20 : 0; /* differs when requests are cut otherwise */
    reply->time_s = (double)index + 0.25;
    if (draw > 0.4 && draw < 0.5) {
        reply->reasoning = strdup("hm");
        assert_non_null(reply->reasoning);
    }
    slm_buffer_free(&text);
    return reply;
}

static inline slm_status fake_poll(slm_chat *chat, int timeout_ms, slm_chat_reply **reply,
                                   slm_error *err)
{
    (void)timeout_ms;
    fake_chat *f = (fake_chat *)chat;
    f->polls++;
    if (f->sleep_us) usleep(f->sleep_us);
    if (f->kill_at && f->polls == f->kill_at) kill(getpid(), 9);
    if (f->stop_at_poll && f->polls == f->stop_poll) *f->stop_at_poll = true;
    if (f->fail_after && f->polls >= f->fail_after)
        return slm_error_set(err, SLM_ERR_NETWORK, "the cable is out");
    if (f->waiting_count == 0 || slm_random_uniform(&f->random) < f->silence_share) return SLM_OK;
    size_t at = (size_t)slm_random_below(&f->random, f->waiting_count);
    if (f->waiting[at].cancelled) {
        *reply = slm_chat_reply_new(f->waiting[at].ticket, f->waiting[at].index, SLM_CHAT_CANCELLED,
                                    NULL);
    } else if (slm_random_uniform(&f->random) < f->error_share) {
        *reply = slm_chat_reply_new(f->waiting[at].ticket, f->waiting[at].index, SLM_CHAT_ERROR,
                                    "half an ans");
        slm_error_set(&(*reply)->error, SLM_ERR_NETWORK, "status 500 for %s",
                      f->waiting[at].case_id);
    } else {
        *reply = fake_answer(f->waiting[at].ticket, f->waiting[at].index, f->waiting[at].seed,
                             f->waiting[at].case_id, f->waiting[at].rollout);
    }
    f->waiting[at] = f->waiting[--f->waiting_count];
    return SLM_OK;
}

static inline void fake_cancel(slm_chat *chat, uint64_t ticket)
{
    fake_chat *f = (fake_chat *)chat;
    f->cancels++;
    for (size_t i = 0; i < f->waiting_count; i++) {
        if (f->waiting[i].ticket == ticket) f->waiting[i].cancelled = true;
    }
}

static inline void fake_free(slm_chat *chat)
{
    slm_buffer_free(&((fake_chat *)chat)->log);
    free(chat);
}

static const slm_chat_class fake_chat_class = {fake_submit, fake_poll, fake_cancel, fake_free};

static inline fake_chat *fake_chat_new(uint64_t disorder)
{
    static char name[] = "fake", identity[] = "fake-identity";
    fake_chat *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->chat = (slm_chat){.class = &fake_chat_class, .name = name, .identity = identity, .width = 8};
    f->random = slm_random_new(disorder, 1);
    return f;
}

/* ---- a judge ---- */

/* Verdicts depend on judge, case, criterion and answer alone. */
typedef struct fake_judge {
    slm_judge judge;
    uint64_t taste;   /* which verdicts */
    bool in_disorder; /* gradings come in any order, and not at once */
    bool fails;       /* some gradings have an unscored criterion */
    int64_t submits, polls;
    int64_t fail_after;            /* the handle fails at this poll; 0: never */
    const char *covers_nothing_of; /* a case */
    double length_bonus;           /* > 0: a criterion is met by long answers, not by taste */
    bool is_at_odds;               /* seek wants a question, precise none; see fake_at_odds */
    struct {
        uint64_t ticket;
        const slm_case *c;
        char *reply;
    } waiting[FAKE_JUDGE_ROOM];
    size_t count;
    slm_random random;
} fake_judge;

static inline bool fake_covers(const slm_judge *judge, const slm_case *c, size_t index)
{
    const fake_judge *f = (const fake_judge *)judge;
    if (f->covers_nothing_of && strcmp(f->covers_nothing_of, c->id) == 0) return false;
    for (size_t i = 0; i < c->rubrics[index].tag_count; i++) {
        if (strcmp(c->rubrics[index].tags[i], "uncovered") == 0) return false;
    }
    return true;
}

static inline uint64_t fake_draw(const fake_judge *f, const slm_case *c, size_t criterion,
                                 const char *reply)
{
    char text[1024];
    int len =
        snprintf(text, sizeof text, "%" PRIu64 "|%s|%zu|%s", f->taste, c->id, criterion, reply);
    uint64_t words[2] = {slm_hash_bytes(text, (size_t)len), f->taste};
    slm_random random = slm_random_new(words[0], words[1]);
    return slm_random_u64(&random);
}

static inline slm_status fake_judge_submit(slm_judge *judge, const slm_case *c, const char *reply,
                                           uint64_t ticket, slm_error *err)
{
    (void)err;
    fake_judge *f = (fake_judge *)judge;
    assert_true(f->count < FAKE_JUDGE_ROOM);
    assert_true(slm_utf8_valid(reply, strlen(reply), NULL));
    f->waiting[f->count].ticket = ticket;
    f->waiting[f->count].c = c;
    f->waiting[f->count].reply = strdup(reply);
    assert_non_null(f->waiting[f->count].reply);
    f->count++;
    f->submits++;
    return SLM_OK;
}

/* The first criterion: a case that lacks context wants to be asked since when, one with enough of it
 * wants a point and no question, an emergency a doctor first. The second, safe: a doctor. */
static inline bool fake_at_odds(const slm_case *c, size_t criterion, const char *reply)
{
    if (c->rubrics[criterion].points < 0) return false;
    if (criterion > 0) return strstr(reply, "ee a doctor") != NULL;
    if (c->disposition == SLM_DISPOSITION_EMERGENCY) return strncmp(reply, "See a doctor", 12) == 0;
    if (c->context == SLM_CONTEXT_LACKS) return strstr(reply, "Since when") != NULL;
    return strstr(reply, "Point ") && !strchr(reply, '?');
}

static inline slm_grading *fake_grade(const fake_judge *f, uint64_t ticket, const slm_case *c,
                                      const char *reply)
{
    slm_grading *grading = calloc(1, sizeof *grading);
    assert_non_null(grading);
    grading->ticket = ticket;
    grading->count = c->rubric_count;
    grading->grades = calloc(c->rubric_count, sizeof *grading->grades);
    assert_non_null(grading->grades);
    for (size_t i = 0; i < c->rubric_count; i++) {
        uint64_t draw = fake_draw(f, c, i, reply);
        slm_grade *grade = &grading->grades[i];
        grade->prompt_tokens = grade->reply_tokens = -1;
        if (!fake_covers(&f->judge, c, i)) continue;
        grade->verdict = draw % 2 ? SLM_VERDICT_MET : SLM_VERDICT_NOT_MET;
        if (f->length_bonus > 0)
            grade->verdict = c->rubrics[i].points > 0 &&
                                     (double)strlen(reply) > f->length_bonus * (double)(i + 1)
                                 ? SLM_VERDICT_MET
                                 : SLM_VERDICT_NOT_MET;
        if (f->is_at_odds)
            grade->verdict = fake_at_odds(c, i, reply) ? SLM_VERDICT_MET : SLM_VERDICT_NOT_MET;
        if (f->fails && draw % 5 == 0) {
            grade->verdict = SLM_VERDICT_UNSCORED;
            slm_error_set(&grading->error, SLM_ERR_FORMAT, "no verdict in the judge's reply");
        }
        grade->explanation = strdup(draw % 3 ? "because" : "since \"so\"");
        assert_non_null(grade->explanation);
    }
    return grading;
}

static inline slm_status fake_judge_poll(slm_judge *judge, int timeout_ms, slm_grading **grading,
                                         slm_error *err)
{
    (void)timeout_ms;
    fake_judge *f = (fake_judge *)judge;
    f->polls++;
    if (f->fail_after && f->polls >= f->fail_after)
        return slm_error_set(err, SLM_ERR_NETWORK, "the judge has left");
    if (f->count == 0) return SLM_OK;
    size_t at = 0;
    if (f->in_disorder) {
        if (slm_random_uniform(&f->random) < 0.3) return SLM_OK;
        at = (size_t)slm_random_below(&f->random, f->count);
    }
    *grading = fake_grade(f, f->waiting[at].ticket, f->waiting[at].c, f->waiting[at].reply);
    free(f->waiting[at].reply);
    f->waiting[at] = f->waiting[--f->count];
    return SLM_OK;
}

static inline void fake_judge_free(slm_judge *judge)
{
    fake_judge *f = (fake_judge *)judge;
    for (size_t i = 0; i < f->count; i++)
        free(f->waiting[i].reply);
    free(f->judge.identity);
    free(f);
}

static const slm_judge_class fake_judge_class = {fake_covers, fake_judge_submit, fake_judge_poll,
                                                 fake_judge_free, NULL};

static inline fake_judge *fake_judge_new(uint64_t taste)
{
    static char name[] = "fake";
    fake_judge *f = calloc(1, sizeof *f);
    assert_non_null(f);
    slm_buffer identity = {0};
    slm_buffer_printf(&identity, "taste-%" PRIu64, taste);
    f->judge = (slm_judge){
        .class = &fake_judge_class, .name = name, .identity = slm_buffer_take(&identity)};
    f->taste = taste;
    f->random = slm_random_new(taste, 2);
    return f;
}

/* ---- an evaluation ---- */

static inline slm_eval_options options_of(int64_t k)
{
    slm_eval_options options = {.k = k, .sampling = slm_chat_sampling_default()};
    options.sampling.seed = 7;
    return options;
}

static inline slm_status evaluate(const char *file, const slm_cases *cases, fake_chat *chat,
                                  fake_judge *judge, const slm_eval_options *options,
                                  slm_error *err)
{
    slm_eval_arm arm = {.chat = &chat->chat, .system_text = "You are a helpful assistant."};
    slm_store *store = open_store(file);
    slm_status status = slm_eval_run(store, cases, &arm, 1, &judge->judge, options, NULL, err);
    slm_store_close(store);
    return status;
}

/* A new model, whose replies come in the order that `disorder` gives. */
typedef fake_chat *new_chat_fn(uint64_t disorder);

/* The export of an unbroken, well-behaved evaluation; free it. */
static inline char *unbroken_by(new_chat_fn *new_chat, const slm_cases *cases, uint64_t taste,
                                const slm_eval_options *options)
{
    char file[160];
    slm_error err = {0};
    in_folder(file, "unbroken.db");
    unlink(file);
    fake_chat *chat = new_chat(1);
    fake_judge *judge = fake_judge_new(taste);
    ok(evaluate(file, cases, chat, judge, options, &err), &err);
    slm_chat_free(&chat->chat);
    slm_judge_free(&judge->judge);
    return export_of(file);
}

static inline char *unbroken(const slm_cases *cases, uint64_t taste,
                             const slm_eval_options *options)
{
    return unbroken_by(fake_chat_new, cases, taste, options);
}

/* In a child that kills itself at the given poll; true if it finished before. */
static inline bool evaluate_until_killed(new_chat_fn *new_chat, const slm_cases *cases,
                                         const slm_eval_options *options, int64_t kill_at,
                                         uint64_t disorder)
{
    pid_t child = fork();
    if (child == 0) {
        slm_error err = {0};
        fake_chat *chat = new_chat(disorder);
        fake_judge *judge = fake_judge_new(1);
        judge->in_disorder = true;
        chat->kill_at = kill_at;
        slm_status status = evaluate(path, cases, chat, judge, options, &err);
        _exit(status == SLM_OK ? 0 : 1);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    if (WIFSIGNALED(how)) {
        assert_int_equal(WTERMSIG(how), SIGKILL);
        return false;
    }
    assert_int_equal(WEXITSTATUS(how), 0);
    return true;
}

/* The database is what an unbroken evaluation makes; then it is taken away. */
static inline void assert_evaluated(const char *expected)
{
    char *text = export_of(path);
    assert_same_export(text, expected);
    free(text);
    unlink(path);
}

/* Killed once, at every possible reply; how many of these there are. */
static inline int64_t kill_at_every_reply(new_chat_fn *new_chat, const slm_cases *cases,
                                          const slm_eval_options *options, const char *expected)
{
    for (int64_t at = 1;; at++) {
        bool done = evaluate_until_killed(new_chat, cases, options, at, (uint64_t)at);
        if (!done) assert_true(evaluate_until_killed(new_chat, cases, options, 0, 98));
        assert_evaluated(expected);
        if (done) return at - 1;
    }
}

#endif
