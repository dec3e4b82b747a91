/* The door: tickets, what is in flight, coverage; with a judge of the test's own behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "judge/judge.h"

typedef struct fake {
    slm_judge judge;
    uint64_t held[8]; /* answered last in, first out */
    size_t count;
    bool refuse, late, freed;
} fake;

/* Covers criteria whose text begins with "c". */
static bool fake_covers(const slm_judge *judge, const slm_case *c, size_t index)
{
    (void)judge;
    return c->rubrics[index].criterion[0] == 'c';
}

static slm_status fake_submit(slm_judge *judge, const slm_case *c, const char *reply,
                              uint64_t ticket, slm_error *err)
{
    fake *f = (fake *)judge;
    (void)c;
    if (f->refuse) return slm_error_set(err, SLM_ERR_LIMIT, "no more of \"%s\"", reply);
    f->held[f->count++] = ticket;
    return SLM_OK;
}

static slm_status fake_poll(slm_judge *judge, int timeout_ms, slm_grading **grading, slm_error *err)
{
    fake *f = (fake *)judge;
    (void)timeout_ms, (void)err;
    if (f->late) return SLM_OK;
    *grading = calloc(1, sizeof **grading);
    (*grading)->ticket = f->held[--f->count];
    (*grading)->count = 1;
    (*grading)->grades = calloc(1, sizeof *(*grading)->grades);
    (*grading)->grades[0].explanation = strdup("because");
    return SLM_OK;
}

static void fake_free(slm_judge *judge)
{
    ((fake *)judge)->freed = true;
}

static const slm_judge_class fake_class = {fake_covers, fake_submit, fake_poll, fake_free, NULL};

static fake make_fake(void)
{
    return (fake){.judge = {.class = &fake_class, .name = "fake"}};
}

static void tickets_name_gradings(void **state)
{
    (void)state;
    fake f = make_fake();
    slm_case c = {.id = "x"};
    slm_error err = {0};
    slm_grading *grading = (slm_grading *)1;
    assert_int_equal(slm_judge_poll(&f.judge, 0, &grading, &err), SLM_OK); /* none in flight */
    assert_null(grading);
    uint64_t a = 0, b = 0;
    assert_int_equal(slm_judge_submit(&f.judge, &c, "one", &a, &err), SLM_OK);
    assert_int_equal(slm_judge_submit(&f.judge, &c, "two", &b, &err), SLM_OK);
    assert_int_equal(slm_judge_submit(&f.judge, &c, "", NULL, &err), SLM_OK);
    assert_true(a != b && a != 0 && b != 0);
    assert_int_equal(f.judge.in_flight, 3);
    f.late = true;
    assert_int_equal(slm_judge_poll(&f.judge, 0, &grading, &err), SLM_OK);
    assert_null(grading);
    assert_int_equal(f.judge.in_flight, 3); /* nothing came: it is still in flight */
    f.late = false;
    for (size_t i = 3; i-- > 0;) {
        assert_int_equal(slm_judge_poll(&f.judge, -1, &grading, &err), SLM_OK);
        assert_non_null(grading);
        if (i == 1) assert_int_equal(grading->ticket, b);
        if (i == 0) assert_int_equal(grading->ticket, a);
        assert_int_equal(f.judge.in_flight, i);
        slm_grading_free(grading);
    }
    slm_judge_free(&f.judge);
    assert_true(f.freed);
    slm_judge_free(NULL);
    slm_grading_free(NULL);
}

static void what_is_refused_is_not_in_flight(void **state)
{
    (void)state;
    fake f = make_fake();
    slm_case c = {.id = "x"};
    slm_error err = {0};
    uint64_t ticket = 42;
    f.refuse = true;
    assert_int_equal(slm_judge_submit(&f.judge, &c, "hello", &ticket, &err), SLM_ERR_LIMIT);
    assert_string_equal(err.message, "no more of \"hello\"");
    assert_int_equal(ticket, 42);
    assert_int_equal(f.judge.in_flight, 0);
    assert_int_equal(slm_judge_submit(&f.judge, NULL, "hello", &ticket, &err), SLM_ERR_INVALID);
    assert_int_equal(slm_judge_submit(&f.judge, &c, NULL, &ticket, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "fake"));
}

static void coverage_counts_criteria_and_cases(void **state)
{
    (void)state;
    fake f = make_fake();
    slm_rubric_item one[] = {{.criterion = "covered", .points = 5},
                             {.criterion = "not", .points = 3}};
    slm_rubric_item two[] = {{.criterion = "covered", .points = -5},
                             {.criterion = "not", .points = 3}};
    slm_case items[] = {{.id = "a", .rubrics = one, .rubric_count = 2},
                        {.id = "b", .rubrics = two, .rubric_count = 2},
                        {.id = "c"}};
    slm_cases cases = {.items = items, .count = 3};
    slm_coverage coverage = slm_judge_coverage(&f.judge, &cases);
    assert_int_equal(coverage.criteria, 4);
    assert_int_equal(coverage.criteria_covered, 2);
    assert_int_equal(coverage.cases, 3);
    assert_int_equal(coverage.cases_covered, 1); /* minus points alone cannot be earned */
    assert_true(slm_judge_covers(&f.judge, &items[0], 0));
    assert_false(slm_judge_covers(&f.judge, &items[0], 1));
    assert_false(slm_judge_covers(&f.judge, &items[0], 2)); /* there is no such criterion */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tickets_name_gradings),
        cmocka_unit_test(what_is_refused_is_not_in_flight),
        cmocka_unit_test(coverage_counts_criteria_and_cases),
    };
    return cmocka_run_group_tests_name("judge/judge", tests, NULL, NULL);
}
