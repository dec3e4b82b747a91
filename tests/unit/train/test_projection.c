/* test_projection.c: what is said of a stage's time is what was measured, said once, and with what a
 * time budget leaves of it. */
#include "train_fixture.h"

#include "base/progress.h"

typedef struct heard {
    slm_recipe recipe;
    slm_log log;
    slm_train train;
    train__stage stage;
    char *text;
    size_t len;
    FILE *stream;
} heard;

static void begin(heard *h, int64_t step, int64_t steps, double budget_minutes)
{
    *h = (heard){0};
    h->stream = open_memstream(&h->text, &h->len);
    assert_non_null(h->stream);
    h->log = slm_log_new(h->stream, SLM_LOG_INFO, true);
    h->recipe.run.time_budget_minutes = budget_minutes;
    h->train = (slm_train){.recipe = &h->recipe, .log = &h->log};
    h->stage = (train__stage){.train = &h->train,
                              .name = "sft",
                              .state = {.step = step, .steps = steps},
                              .started_s = slm_progress_clock_s()};
}

static const char *text_of(heard *h)
{
    fflush(h->stream);
    return h->text ? h->text : "";
}

static void end(heard *h)
{
    fclose(h->stream);
    free(h->text);
}

static void times_read_well(void **state)
{
    static const struct {
        double s;
        const char *text;
    } list[] = {{0.0241, "0.024 s"}, {2.44, "2.4 s"},  {9.6, "10 s"},           {99, "99 s"},
                {110, "2 min"},      {3600, "60 min"}, {5940, "99 min"},        {6400, "1.8 h"},
                {36000, "10.0 h"},   {2e12, "years"},  {NAN, "an unknown time"}};
    char text[TRAIN_ABOUT_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        train__about(list[i].s, text);
        assert_string_equal(text, list[i].text);
    }
}

static void looks_are_counted(void **state)
{
    (void)state;
    for (int64_t steps = 1; steps < 40; steps++)
        for (int64_t each = 1; each < 45; each++)
            for (int64_t step = 0; step <= steps; step++) {
                int64_t count = 0;
                for (int64_t s = step + 1; s <= steps; s++)
                    count += s % each == 0 || s == steps;
                assert_int_equal(train__looks_left(step, steps, each), count);
            }
}

static void three_steps_tell_the_rest(void **state)
{
    heard h;
    train__projection p = {.look_s = 30};
    (void)state;
    begin(&h, 0, 100, 0);
    for (int i = 0; i < 2; i++) {
        h.stage.state.step++;
        train__project(&p, &h.stage, 2, 1000, 1000.0 * (99 - i), 5);
        assert_string_equal(text_of(&h), "");
    }
    h.stage.state.step++;
    train__project(&p, &h.stage, 5, 1000, 97000, 5); /* 3 ms a unit: 291 s, and five looks */
    assert_string_equal(
        text_of(&h), "sft: 97 steps left of 100: about 7 min, if they go on like the first 3 (3 s "
                     "each), with 5 looks at development cases of 30 s\n");
    h.stage.state.step++;
    train__project(&p, &h.stage, 500, 1000, 96000, 5);
    assert_null(strstr(text_of(&h), "96 steps"));
    end(&h);
    /* A long step tells at once; the last one has nothing to tell. */
    p = (train__projection){0};
    begin(&h, 1, 10, 0);
    train__project(&p, &h.stage, 600, 1, 9, 0);
    assert_string_equal(text_of(&h),
                        "sft: 9 steps left of 10: about 90 min, if they go on like the "
                        "first (10 min)\n");
    end(&h);
    p = (train__projection){.look_s = 30};
    begin(&h, 1, 2, 0);
    train__project(&p, &h.stage, 600, 1, 1, 1);
    assert_string_equal(text_of(&h), "sft: 1 step left of 2: about 10 min, if it goes like the "
                                     "first (10 min), with 1 look at development cases of 30 s\n");
    end(&h);
    p = (train__projection){0};
    begin(&h, 10, 10, 0);
    train__project(&p, &h.stage, 600, 1, 0, 0);
    assert_string_equal(text_of(&h), "");
    end(&h);
}

static void a_budget_leaves_some_steps(void **state)
{
    heard h;
    train__projection p = {0};
    (void)state;
    begin(&h, 1, 10, 60); /* 90 minutes are to come, 60 are left */
    train__project(&p, &h.stage, 600, 1, 9, 0);
    assert_holds(text_of(&h), "more than time_budget_minutes (60) leaves: about ");
    assert_true(strstr(text_of(&h), "about 5 of the 9 steps") ||
                strstr(text_of(&h), "about 6 of the 9 steps"));
    assert_holds(text_of(&h), "the same command goes on");
    end(&h);
    p = (train__projection){0};
    begin(&h, 1, 10, 91);
    train__project(&p, &h.stage, 600, 1, 9, 0);
    assert_null(strstr(text_of(&h), "time_budget"));
    end(&h);
    begin(&h, 0, 10, 1);
    train__project_range(&h.stage, "playing alone ", 600, 1200, "a look");
    assert_holds(text_of(&h), "sft: 10 steps: playing alone about 10 min to 20 min, from a look; ");
    assert_holds(text_of(&h), "leaves: at most ");
    end(&h);
    begin(&h, 0, 1, 1);
    train__project_range(&h.stage, "", 600, 1200, "a look");
    assert_holds(text_of(&h), "sft: 1 step: about 10 min to 20 min, from a look; the first will ");
    assert_holds(text_of(&h), "leaves: at most 0 of the 1 step still fit; ");
    end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_read_well),
        cmocka_unit_test(looks_are_counted),
        cmocka_unit_test(three_steps_tell_the_rest),
        cmocka_unit_test(a_budget_leaves_some_steps),
    };
    return cmocka_run_group_tests_name("train/projection", tests, NULL, NULL);
}
