/* What an evaluation would still ask: the same as the loop then asks. */
#include "helpers.h"

static slm_eval_plan plan_of(const char *file, const slm_cases *cases, fake_chat *chat,
                             fake_judge *judge, int64_t k)
{
    slm_eval_options options = options_of(k);
    slm_eval_arm arm = {.chat = &chat->chat, .system_text = "You are a helpful assistant."};
    slm_eval_plan plan;
    slm_error err = {0};
    slm_store *store = file ? open_store(file) : NULL;
    ok(slm_eval_plan_of(store, cases, &arm, 1, &judge->judge, &options, &plan, &err), &err);
    slm_store_close(store);
    return plan;
}

static void the_plan_is_what_is_asked(void **state)
{
    (void)state;
    slm_cases cases;
    make_cases(&cases, 10);
    slm_error err = {0};
    fake_chat *chat = fake_chat_new(5);
    fake_judge *judge = fake_judge_new(1), *other = fake_judge_new(2);
    slm_eval_plan plan = plan_of(NULL, &cases, chat, judge, 3);
    assert_int_equal(plan.answers, 30);
    assert_int_equal(plan.criteria, 3 * 30); /* each judge covers three of a case's four */
    assert_true(plan.prompt_bytes > 30 * strlen("You are a helpful assistant."));
    assert_true(plan.judged_bytes > 0);
    slm_eval_options options = options_of(1);
    ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
    plan = plan_of(path, &cases, chat, judge, 1);
    assert_int_equal(plan.answers, 0);
    assert_int_equal(plan.criteria, 0);
    assert_int_equal(plan.prompt_bytes + plan.judged_bytes, 0);
    plan = plan_of(path, &cases, chat, judge, 3);
    assert_int_equal(plan.answers, 20);
    assert_int_equal(plan.criteria, 2 * 30);
    plan = plan_of(path, &cases, chat, other, 3);
    assert_int_equal(plan.answers, 20);
    assert_int_equal(plan.criteria, 3 * 30); /* it regrades what is there */
    int64_t before = chat->asked;
    options = options_of(3);
    ok(evaluate(path, &cases, chat, judge, &options, &err), &err);
    assert_int_equal(chat->asked - before, 20);
    slm_chat_free(&chat->chat);
    slm_judge_free(&judge->judge);
    slm_judge_free(&other->judge);
    slm_cases_free(&cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_plan_is_what_is_asked)};
    return cmocka_run_group_tests_name("eval/plan", tests, set_up, tear_down);
}
