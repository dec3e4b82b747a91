/* test_others.c: practice with a judge and with a model as patient: what they say is what is rewarded
 * and answered, in whatever order it comes; a kill leaves no trace; a judge that fails is counted and
 * never a verdict, and one that is gone costs no step. */
#define TRAIN_CRASHES
#include "grpo_fixture.h"

#include "base/hash.h"

/* ---- a model that judges or answers by what it is asked alone ------------------------------- */

typedef struct oracle {
    slm_chat chat;
    struct {
        uint64_t ticket, draw;
    } waiting[256];
    size_t count, polls;
    size_t asked, dead_from; /* from this call on it cannot be reached; 0: it always can */
    bool is_patient;
} oracle;

static slm_status oracle_submit(slm_chat *chat, const slm_chat_request *request, uint64_t ticket,
                                slm_error *err)
{
    oracle *o = (oracle *)chat;
    const char *last = request->messages[request->message_count - 1].content;
    (void)err;
    assert_true(o->count < 256);
    o->asked++;
    o->waiting[o->count].ticket = ticket;
    o->waiting[o->count++].draw = slm_hash_bytes(last, strlen(last));
    return SLM_OK;
}

/* The last first, and now and then nothing yet. */
static slm_status oracle_poll(slm_chat *chat, int timeout_ms, slm_chat_reply **reply,
                              slm_error *err)
{
    static const char *const answers[] = {"Since May.", "I do not know. It is 12 days.", ""};
    oracle *o = (oracle *)chat;
    (void)timeout_ms, (void)err;
    *reply = NULL;
    if (o->count == 0 || o->polls++ % 3 == 0) return SLM_OK;
    const uint64_t draw = o->waiting[--o->count].draw, ticket = o->waiting[o->count].ticket;
    if (o->dead_from > 0 && o->asked >= o->dead_from) {
        *reply = slm_chat_reply_new(ticket, 0, SLM_CHAT_ERROR, NULL);
        slm_error_set(&(*reply)->error, SLM_ERR_NETWORK, "nobody is at home");
        return SLM_OK;
    }
    const char *text = o->is_patient   ? answers[draw % 3]
                       : draw % 9 == 0 ? "I would rather not say."
                       : draw % 2      ? "{\"explanation\":\"Yes.\",\"criteria_met\":true}"
                                       : "{\"explanation\":\"No.\",\"criteria_met\":false}";
    *reply = slm_chat_reply_new(ticket, 0, SLM_CHAT_STOP, text);
    return SLM_OK;
}

static void oracle_cancel(slm_chat *chat, uint64_t ticket)
{
    (void)chat, (void)ticket;
}

static void oracle_free(slm_chat *chat)
{
    free(chat->name);
    free(chat->identity);
    free(chat);
}

static const slm_chat_class oracle_class = {oracle_submit, oracle_poll, oracle_cancel, oracle_free};

static oracle *oracle_new(bool is_patient)
{
    oracle *o = calloc(1, sizeof *o);
    assert_non_null(o);
    o->chat.class = &oracle_class;
    o->chat.name = strdup("oracle");
    o->chat.identity = strdup("oracle 1");
    o->chat.width = 8;
    o->is_patient = is_patient;
    return o;
}

/* ---- running -------------------------------------------------------------------------------- */

typedef struct with {
    bool judge, patient;
    size_t dead_from;
    size_t asked; /* out */
} with;

static slm_status run(slm_arena *arena, void **state, const char *output, with *w, int threads,
                      slm_error *err)
{
    const char *sets[12] = {slm_arena_printf(arena, "output=%s", in_folder(arena, state, output))};
    size_t count = 1;
    stage s;
    slm_train_result result;
    oracle *judging = oracle_new(false), *patient = oracle_new(true);
    slm_judge *judge = NULL;
    judging->dead_from = w->judge ? w->dead_from : 0;
    patient->dead_from = w->judge ? 0 : w->dead_from;
    if (w->judge) sets[count++] = "reward.rubric=2";
    if (w->judge) sets[count++] = "grpo.judge=oracle";
    if (w->patient) sets[count++] = "grpo.env=multi-turn";
    if (w->patient) sets[count++] = "grpo.patient=oracle";
    /* so long and so warm that many of them ask, with any kernels' rounding */
    if (w->patient) sets[count++] = "grpo.max_tokens=80";
    if (w->patient) sets[count++] = "grpo.temperature=1.5";
    if (w->patient) sets[count++] = "grpo.turns=2";
    if (w->patient) sets[count++] = "grpo.rows=300";
    if (w->dead_from) sets[count++] = "grpo.save_steps=100";
    stage_open(&s, in_folder(arena, state, "recipe.yaml"), sets, threads);
    const slm_judge_options options = slm_judge_options_default();
    assert_int_equal(slm_judge_model_new(&judging->chat, &options, &judge, err), SLM_OK);
    if (w->judge) s.train.judge = judge;
    if (w->patient) s.train.patient = &patient->chat;
    const slm_status status = slm_train_grpo(&s.train, &result, err);
    w->asked = w->judge ? judging->asked : patient->asked;
    assert_true(patient->chat.in_flight == 0);
    stage_close(&s);
    slm_judge_free(judge);
    slm_chat_free(&patient->chat);
    return status;
}

static void run_whole(slm_arena *arena, void **state, const char *output, with *w, int threads)
{
    slm_error err = {0};
    if (run(arena, state, output, w, threads, &err) != SLM_OK) fail_msg("%s", err.message);
}

static double sum_of(slm_arena *arena, void **state, const char *output, const char *key)
{
    slm_jsonl *file = NULL;
    json_t *row = NULL;
    slm_error err = {0};
    double sum = 0;
    const char *name = slm_arena_printf(arena, "%s/grpo/metrics.jsonl", output);
    assert_int_equal(slm_jsonl_open(in_folder(arena, state, name), &file, &err), SLM_OK);
    for (;;) {
        assert_int_equal(slm_jsonl_next(file, &row, NULL, &err), SLM_OK);
        if (!row) break;
        sum += json_number_value(json_object_get(row, key));
        json_decref(row);
    }
    slm_jsonl_close(file);
    return sum;
}

/* ---- tests ---------------------------------------------------------------------------------- */

/* What it says is a part of the reward; where it says nothing there is none, and it is counted. */
static void a_judge_is_heard(void **state)
{
    slm_arena arena = {0};
    with w = {.judge = true}, without = {0};
    put_practice(&arena, state);
    run_whole(&arena, state, "judged", &w, 2);
    run_whole(&arena, state, "alone", &without, 2);
    const double judged = sum_of(&arena, state, "judged", "judged");
    const double unscored = sum_of(&arena, state, "judged", "unscored");
    assert_true(judged >= 4 * 12);
    assert_true(unscored > 0 && unscored < judged / 2);
    const double score = sum_of(&arena, state, "judged", "rubric/lacks");
    assert_true(score > 0 && score < 4);
    assert_true(sum_of(&arena, state, "judged", "dev/judged") > 0);
    assert_true(sum_of(&arena, state, "alone", "judged") == 0);
    assert_true(sum_of(&arena, state, "alone", "rubric/lacks") == 0);
    assert_true(sum_of(&arena, state, "alone", "reward") !=
                sum_of(&arena, state, "judged", "reward"));
    slm_arena_free(&arena);
}

typedef struct victim {
    slm_arena *arena;
    void **state;
    with *w;
    int threads;
} victim;

static slm_status run_victim(void *context)
{
    const victim *v = context;
    slm_error err = {0};
    return run(v->arena, v->state, "broken", v->w, v->threads, &err);
}

/* Killed before the n-th call that changes a file, again and again, until it is done. */
static void kills_leave_no_trace_with(void **state, with w)
{
    static const long counts[] = {3, 20, 37, 55, 80, 110, 150, 200, 260, 400};
    slm_arena arena = {0};
    put_practice(&arena, state);
    run_whole(&arena, state, "whole", &w, 1);
    const size_t asked = w.asked;
    int killed = 0;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        victim v = {&arena, state, &w, i % 2 ? 1 : 2};
        killed += !run_and_die(counts[i], run_victim, &v);
    }
    assert_true(killed >= 5);
    run_whole(&arena, state, "broken", &w, 2);
    assert_same_runs(&arena, state, "whole", "broken");
    assert_true(asked > 0);
    slm_arena_free(&arena);
}

static void kills_leave_no_trace_with_a_judge(void **state)
{
    kills_leave_no_trace_with(state, (with){.judge = true});
}

static void kills_leave_no_trace_with_a_patient(void **state)
{
    kills_leave_no_trace_with(state, (with){.patient = true});
}

static void kills_leave_no_trace_with_both(void **state)
{
    kills_leave_no_trace_with(state, (with){.judge = true, .patient = true});
}

/* They can be reached no more: an error that says so, and the steps that were done are kept. */
static void whoever_is_gone_costs_no_step(void **state, with w, const char *who)
{
    slm_arena arena = {0};
    slm_error err = {0};
    put_practice(&arena, state);
    with whole = {.judge = w.judge, .patient = w.patient, .dead_from = 1u << 20};
    run_whole(&arena, state, "whole", &whole, 2);
    w.dead_from = whole.asked - whole.asked / 10;
    assert_int_equal(run(&arena, state, "broken", &w, 2, &err), SLM_ERR_NETWORK);
    assert_holds(err.message, who);
    assert_holds(err.message, "nobody is at home");
    assert_holds(err.message, "the same command goes on");
    slm_buffer kept = file_bytes(in_folder(&arena, state, "broken/grpo/last"), "state.json");
    assert_null(strstr(slm_buffer_text(&kept), "\"step\":0"));
    slm_buffer_free(&kept);
    w.dead_from = 1u << 20;
    run_whole(&arena, state, "broken", &w, 2);
    if (!w.judge) assert_same_runs(&arena, state, "whole", "broken");
    slm_arena_free(&arena);
}

static void a_judge_that_is_gone_costs_no_step(void **state)
{
    whoever_is_gone_costs_no_step(state, (with){.judge = true},
                                  "the judge oracle could grade none");
}

static void a_patient_that_is_gone_costs_no_step(void **state)
{
    whoever_is_gone_costs_no_step(state, (with){.patient = true}, "the patient oracle");
}

/* The same stage with another judge, or none, is another stage. */
static void a_judge_is_part_of_the_stage(void **state)
{
    slm_arena arena = {0};
    slm_error err = {0};
    slm_judge *rule = NULL;
    stage s;
    slm_train_result result;
    with w = {.judge = true};
    put_practice(&arena, state);
    run_whole(&arena, state, "out", &w, 2);
    const char *const sets[] = {"reward.rubric=2", "grpo.judge=oracle", NULL};
    stage_open(&s, in_folder(&arena, state, "recipe.yaml"), sets, 1);
    assert_int_equal(slm_train_grpo(&s.train, &result, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "no judge is there");
    assert_int_equal(slm_judge_rule_new(&rule, &err), SLM_OK);
    s.train.judge = rule;
    assert_int_equal(slm_train_grpo(&s.train, &result, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "covers no criterion"); /* the fixture's have no check */
    slm_judge_free(rule);
    stage_close(&s);
    slm_arena_free(&arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_judge_is_heard),
        TEST(kills_leave_no_trace_with_a_judge),
        TEST(kills_leave_no_trace_with_a_patient),
        TEST(kills_leave_no_trace_with_both),
        TEST(a_judge_that_is_gone_costs_no_step),
        TEST(a_patient_that_is_gone_costs_no_step),
        TEST(a_judge_is_part_of_the_stage),
    };
    return cmocka_run_group_tests_name("train/others", tests, NULL, NULL);
}
