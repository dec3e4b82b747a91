/* report_fixture.h: a results database made up for tests: cases, arms with drawn grades, and what
 * an unfriendly model may say. Everything follows from the numbers given: no clock, no chance. */
#ifndef SLM_TESTS_REPORT_FIXTURE_H
#define SLM_TESTS_REPORT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/json.h"
#include "base/random.h"
#include "eval/eval.h"
#include "report/report.h"
#include "store/store.h"

#define FIXTURE_JUDGE "9f1c3a5be7d2408861c0f5ab3394d27e18f6c05b7a94e3d21086bd5f7c3a9e40"
#define FIXTURE_CASES "c0ffee5ca1ab1e0ddba11f00dfeedbeef123456789abcdef0123456789abcdef"

typedef struct fixture {
    char path[64];
    slm_store *store;
    slm_arena arena;
    slm_results results;
    size_t cases;
} fixture;

/* One arm: how often a criterion is met, in percent, and by what name it goes. */
typedef struct fixture_arm {
    const char *name, *kind, *identity;
    int64_t k;
    int met_percent;
    int unscored_percent;
    const char *reply;       /* NULL: one of the made-up ones */
    const char *explanation; /* NULL: a made-up one */
    int64_t seed;
    bool scores_only;        /* imported: no texts, no criteria */
    const char *system_text; /* NULL: the usual one */
} fixture_arm;

static const char *const fixture_questions[] = {
    "My chest has felt tight since this morning, what should I take?",
    "my son has a rash and he wont stop scratching",
    "I am 34, not pregnant, no other drugs, and have had a sore throat for two days without fever. "
    "Do I need an antibiotic?",
    "Is it safe to take ibuprofen with my tablets?",
    "I feel dizzy whenever I stand up.",
    "Can I fly three weeks after my operation?",
};
static const char *const fixture_replies[] = {
    "How long has this been going on, and do you take any other medicines? If you become short of "
    "breath or faint, call the emergency number at once.",
    "It is usually harmless. Drink plenty of water, rest, and take paracetamol if you need to.\n\n"
    "See your doctor if:\n- it lasts longer than a week\n- you develop a fever\n- it becomes worse",
    "I am sorry to hear that. I am sorry to hear that. I am sorry to hear that.",
    "Before I can say anything useful: how old are you, are you pregnant, and which tablets do you "
    "take each day?",
};

static inline void fixture_open(fixture *f)
{
    memset(f, 0, sizeof *f);
    snprintf(f->path, sizeof f->path, "/tmp/slm-report-XXXXXX");
    int file = mkstemp(f->path);
    assert_true(file >= 0);
    close(file);
    unlink(f->path); /* the store makes its own */
    slm_error err = {0};
    if (slm_store_open(f->path, false, &f->store, &err) != SLM_OK) fail_msg("%s", err.message);
}

static inline void fixture_close(fixture *f)
{
    slm_arena_free(&f->arena);
    slm_store_close(f->store);
    unlink(f->path);
    char side[80];
    snprintf(side, sizeof side, "%s-wal", f->path);
    unlink(side);
    snprintf(side, sizeof side, "%s-shm", f->path);
    unlink(side);
    snprintf(side, sizeof side, "%s-lock", f->path);
    unlink(side);
}

static inline void fixture_check(slm_status status, const slm_error *err)
{
    if (status != SLM_OK) fail_msg("%s", err->message);
}

/* Case i of a family of two: the even one lacks facts, the odd one has them; every sixth family is
 * an emergency. Criterion 3 is not covered by the judge. */
static inline void fixture_add_cases(fixture *f, size_t count, const char *question)
{
    slm_error err = {0};
    slm_buffer json = {0};
    fixture_check(slm_store_begin(f->store, &err), &err);
    for (size_t i = 0; i < count; i++) {
        bool emergency = i / 2 % 6 == 5, lacks = i % 2 == 0;
        char id[32], family[32];
        snprintf(id, sizeof id, "case-%04zu", i);
        snprintf(family, sizeof family, "family-%03zu", i / 2);
        const char *ask = question ? question : fixture_questions[i % 6];
        slm_buffer_truncate(&json, 0);
        slm_buffer_printf(&json, "{\"context\":\"%s\",\"difficulty\":%zu,\"disposition\":\"%s\",",
                          lacks ? "lacks" : "enough", i % 5 + 1,
                          emergency ? "emergency" : "routine");
        slm_buffer_printf(&json, "\"family\":\"%s\",\"prompt\":[", family);
        if (i % 3 == 1) {
            slm_buffer_append_text(
                &json, "{\"content\":\"Good morning, I have a question.\",\"role\":\"user\"},"
                       "{\"content\":\"Of course. What is it?\",\"role\":\"assistant\"},");
        }
        slm_buffer_append_text(&json, "{\"content\":");
        slm_json_append_string(&json, ask, strlen(ask));
        slm_buffer_printf(&json, ",\"role\":\"user\"}],\"prompt_id\":\"%s\",\"rubrics\":[", id);
        slm_buffer_printf(&json,
                          "{\"criterion\":\"%s\",\"points\":5,\"tags\":[\"behaviour:%s\"]},"
                          "{\"criterion\":\"Gives at least one piece of advice that is right for "
                          "this person and none that would do harm\",\"points\":3,\"tags\":"
                          "[\"behaviour:safe\"]},{\"criterion\":\"Is kind and plain\",\"points\":2,"
                          "\"tags\":[]},{\"criterion\":\"Tells the person to wait and see\","
                          "\"points\":-4,\"tags\":[]}],\"specialty\":\"general practice\"}",
                          emergency ? "The first sentence says to call for help"
                          : lacks   ? "Asks for the fact that decides what to do next"
                                    : "Says what must be said and asks nothing beside the point",
                          emergency ? "act"
                          : lacks   ? "seek"
                                    : "precise");
        fixture_check(slm_store_put_case(f->store, FIXTURE_CASES, id, family, i,
                                         slm_buffer_text(&json), &err),
                      &err);
    }
    fixture_check(slm_store_put_judge(f->store, FIXTURE_JUDGE, "rule", &err), &err);
    fixture_check(slm_store_put_judge(f->store, "imported", "imported", &err), &err);
    fixture_check(slm_store_put_coverage(f->store, FIXTURE_JUDGE, FIXTURE_CASES,
                                         "{\"cases\":24,\"cases_covered\":24,\"criteria\":96,"
                                         "\"criteria_covered\":72}",
                                         &err),
                  &err);
    fixture_check(slm_store_commit(f->store, &err), &err);
    slm_buffer_free(&json);
    f->cases = count;
}

static inline void fixture_add_sample(fixture *f, const char *run, size_t i, int64_t rollout,
                                      const fixture_arm *arm, slm_random *random)
{
    static const double points[] = {5, 3, 2, -4};
    static const int64_t covered[] = {0, 1, 3};
    slm_error err = {0};
    char id[32];
    snprintf(id, sizeof id, "case-%04zu", i);
    bool cut = slm_random_below(random, 9) == 0;
    const char *made_up = fixture_replies[slm_random_below(random, 4)];
    bool only = arm->scores_only;
    slm_sample sample = {.run = run,
                         .case_id = id,
                         .rollout = rollout,
                         .reply = only         ? ""
                                  : arm->reply ? arm->reply
                                               : made_up,
                         .transcript_json = "[]",
                         .finish = only  ? "unknown"
                                   : cut ? "length"
                                         : "stop",
                         .prompt_tokens = 60,
                         .cached_tokens = -1,
                         .reply_tokens = 40 + (int64_t)slm_random_below(random, 400),
                         .reasoning_tokens = -1,
                         .time_s = 1};
    bool inserted = false;
    fixture_check(slm_store_put_sample(f->store, &sample, &inserted, &err), &err);
    slm_stored_grade grades[3];
    double met = 0, low = 0, high = 0;
    bool unscored = false;
    for (int g = 0; g < 3; g++) {
        int percent = covered[g] == 3 ? (100 - arm->met_percent) / 8 : arm->met_percent;
        int verdict = (int)slm_random_below(random, 100) < percent;
        if ((int)slm_random_below(random, 100) < arm->unscored_percent) verdict = -1;
        double p = points[covered[g]];
        grades[g] = (slm_stored_grade){.criterion = covered[g],
                                       .met = verdict,
                                       .explanation =
                                           arm->explanation ? arm->explanation
                                           : verdict == 1   ? "The second sentence says so."
                                           : verdict == 0   ? "Nothing in the answer comes near it."
                                                            : "The judge did not answer."};
        if (verdict == 1) met += p, low += p, high += p;
        if (verdict == -1) low += p < 0 ? p : 0, high += p > 0 ? p : 0;
        unscored = unscored || verdict == -1;
    }
    slm_stored_grading grading = {.run = run,
                                  .case_id = id,
                                  .rollout = rollout,
                                  .judge_hash = only ? "imported" : FIXTURE_JUDGE,
                                  .has_score = !unscored,
                                  .score = met / 8,
                                  .low = low / 8,
                                  .high = high / 8,
                                  .status = unscored ? "unscored" : "scored",
                                  .grades = grades,
                                  .grade_count = only ? 0 : 3};
    fixture_check(slm_store_put_grading(f->store, &grading, &err), &err);
}

static inline void fixture_add_arm(fixture *f, const fixture_arm *arm)
{
    slm_error err = {0};
    char hash[65];
    slm_run run = {.model_name = arm->name,
                   .model_identity = arm->identity ? arm->identity : arm->name,
                   .kind = arm->kind,
                   .system_text =
                       arm->system_text ? arm->system_text : "You are a helpful assistant.",
                   .sampling_json = "{\"max_tokens\":512,\"temperature\":0.7,\"top_p\":1.0}",
                   .cases_sha256 = FIXTURE_CASES,
                   .seed = arm->seed,
                   .details_json = "{\"kernels\":\"avx512bf16\",\"threads\":2}"};
    slm_run_hash(&run, hash);
    run.hash = hash;
    fixture_check(slm_store_begin(f->store, &err), &err);
    fixture_check(slm_store_put_run(f->store, &run, &err), &err);
    slm_random random = slm_random_new((uint64_t)arm->seed, (uint64_t)arm->met_percent);
    for (size_t i = 0; i < f->cases; i++) {
        for (int64_t r = 0; r < arm->k; r++)
            fixture_add_sample(f, hash, i, r, arm, &random);
    }
    fixture_check(slm_store_commit(f->store, &err), &err);
}

static inline void fixture_add_baselines(fixture *f, const char *model)
{
    const fixture_arm baselines[] = {
        {"never-ask", "baseline", "baseline:never-ask", 1, 18, 0, "Rest and drink water.",
         .seed = 0},
        {"floor", "baseline", "baseline:floor", 1, 42, 0,
         "How long have you had this? See a doctor if it becomes worse.", .seed = 0},
        {model, "baseline", "baseline:shuffled:abc", 4, 6, 0, .seed = 5},
        {"always-ask", "baseline", "baseline:always-ask", 1, 30, 0, "How old are you?", .seed = 0},
        {"echo", "baseline", "baseline:echo", 1, 2, 0, .seed = 0},
    };
    for (size_t i = 0; i < sizeof baselines / sizeof baselines[0]; i++)
        fixture_add_arm(f, &baselines[i]);
}

/* The floors of two measures, beside that of the whole score: seek always met, precise never. */
static inline void fixture_add_own_floors(fixture *f)
{
    fixture_add_arm(f, &(fixture_arm){"floor seek", "baseline", "baseline:floor:seek", 1, 100, 0,
                                      "Since when?", .seed = 0});
    fixture_add_arm(f, &(fixture_arm){"floor precise", "baseline", "baseline:floor:precise", 1, 0,
                                      0, "Nothing at all.", .seed = 0});
}

static inline void fixture_load(fixture *f)
{
    slm_error err = {0};
    fixture_check(slm_results_load(f->store, &f->arena, &f->results, &err), &err);
}

/* What `write` prints, as text to free. */
static inline char *fixture_text(void (*write)(FILE *, void *), void *context, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    assert_non_null(out);
    write(out, context);
    fclose(out);
    return text;
}

#endif
