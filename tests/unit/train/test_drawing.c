/* test_drawing.c: which cases a step takes: every stratum its share, none twice, those that earned little
 * more often; and of a group's rollouts the best and the worst, with advantages from all. */
#include "grpo_fixture.h"

typedef struct drawn {
    slm_cases cases;
    slm_arena arena;
} drawn;

/* Six cases: 0 and 4 lack context, 1 and 3 have enough, 2 and 5 are emergencies. */
static void load(drawn *d, void **state)
{
    const slm_cases_options options = {0};
    slm_error err = {0};
    *d = (drawn){0};
    const char *path = in_folder(&d->arena, state, "cases.jsonl");
    put_cases(path, 0);
    if (slm_cases_load(&path, 1, &options, NULL, NULL, &d->cases, &err) != SLM_OK)
        fail_msg("%s", err.message);
}

static void unload(drawn *d)
{
    slm_cases_free(&d->cases);
    slm_arena_free(&d->arena);
}

static void every_stratum_gives_its_share(void **state)
{
    static const struct {
        double lacks, enough, emergency;
        int64_t prompts;
        size_t out[SLM_ENV_STRATA];
    } rows[] = {{0.5, 0.35, 0.15, 8, {4, 3, 1}},
                {0.5, 0.35, 0.15, 20, {10, 7, 3}},
                {1, 1, 0, 5, {3, 2, 0}},
                {0, 0, 0.1, 3, {0, 0, 3}}};
    drawn d;
    load(&d, state);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const slm_recipe_grpo o = {.lacks = rows[i].lacks,
                                   .enough = rows[i].enough,
                                   .emergency = rows[i].emergency,
                                   .prompts = rows[i].prompts};
        size_t out[SLM_ENV_STRATA];
        train__quota(&o, &d.cases, out);
        for (int s = 0; s < SLM_ENV_STRATA; s++)
            assert_int_equal(out[s], rows[i].out[s]);
    }
    /* without the emergencies, theirs goes to the others */
    const slm_recipe_grpo o = {.lacks = 0.5, .enough = 0.35, .emergency = 0.15, .prompts = 8};
    const slm_cases two = {.items = d.cases.items, .count = 2};
    size_t out[SLM_ENV_STRATA];
    train__quota(&o, &two, out);
    assert_int_equal(out[SLM_ENV_LACKS], 5);
    assert_int_equal(out[SLM_ENV_ENOUGH], 3);
    assert_int_equal(out[SLM_ENV_EMERGENCY], 0);
    unload(&d);
}

static void none_is_drawn_twice(void **state)
{
    const double past[6] = {0};
    train__group groups[6];
    slm_random random = slm_random_new(1, 2);
    drawn d;
    load(&d, state);
    for (int s = 0; s < SLM_ENV_STRATA; s++) {
        size_t count = 0;
        for (;;) {
            const slm_case *c =
                train__draw(&d.cases, past, groups, count, (slm_env_stratum)s, &random);
            if (!c) break;
            assert_int_equal(slm_env_stratum_of(c), s);
            for (size_t i = 0; i < count; i++)
                assert_ptr_not_equal(groups[i].c, c);
            groups[count++] = (train__group){.c = c};
        }
        assert_int_equal(count, 2);
    }
    unload(&d);
}

/* 0.1 + 1/2 against 0.1: six times as often; what went wrong altogether weighs more still. */
static void who_failed_comes_more_often(void **state)
{
    enum { DRAWS = 7000 };
    const double mastered[6] = {[0] = 1, [4] = 0}, wrong[6] = {[0] = 1, [4] = -1};
    slm_random random = slm_random_new(5, 6);
    size_t failed = 0, more = 0;
    drawn d;
    load(&d, state);
    for (int i = 0; i < DRAWS; i++) {
        failed +=
            train__draw(&d.cases, mastered, NULL, 0, SLM_ENV_LACKS, &random) == &d.cases.items[4];
        more += train__draw(&d.cases, wrong, NULL, 0, SLM_ENV_LACKS, &random) == &d.cases.items[4];
    }
    assert_in_range(failed, DRAWS * 6 / 7 - 150, DRAWS * 6 / 7 + 150);
    assert_in_range(more, DRAWS * 11 / 12 - 130, DRAWS * 11 / 12 + 130);
    unload(&d);
}

enum { GROUP = 8 };

static void choose(const double *rewards, int64_t most, bool mask, train__rollout *out)
{
    const slm_recipe_grpo o = {.rollouts = GROUP,
                               .train_per_group = most,
                               .advantage = "leave-one-out",
                               .mask_cut_off = mask};
    train__group group = {.count = GROUP, .rollouts = out};
    for (int i = 0; i < GROUP; i++)
        out[i] = (train__rollout){.reward.total = rewards[i], .cut_off = i == 2, .learnt = true};
    train__choose(&o, &group);
}

static void the_best_and_the_worst_teach(void **state)
{
    const double rewards[GROUP] = {0.3, 0.2, 0.9, 0.4, -0.1, 0.5, 0.6, 0.25}, mean = 3.05 / GROUP;
    train__rollout r[GROUP];
    (void)state;
    choose(rewards, 4, false, r); /* worst: 4, 1; best: 6, 2 */
    for (int i = 0; i < GROUP; i++) {
        assert_int_equal(r[i].learnt, i == 1 || i == 2 || i == 4 || i == 6);
        /* from all eight, whoever is learnt */
        assert_true(fabs(r[i].advantage - (rewards[i] - mean) * GROUP / (GROUP - 1)) < 1e-12);
    }
    choose(rewards, 3, false, r); /* an odd one is a best one */
    for (int i = 0; i < GROUP; i++)
        assert_int_equal(r[i].learnt, i == 2 || i == 4 || i == 6);
    choose(rewards, 4, true, r); /* what was cut off teaches nothing, nor is it replaced */
    for (int i = 0; i < GROUP; i++)
        assert_int_equal(r[i].learnt, i == 1 || i == 4 || i == 6);
    choose(rewards, 0, false, r);
    for (int i = 0; i < GROUP; i++)
        assert_true(r[i].learnt);
}

static void a_flat_group_teaches_nothing(void **state)
{
    const double rewards[GROUP] = {0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5};
    train__rollout r[GROUP];
    (void)state;
    choose(rewards, 0, false, r);
    for (int i = 0; i < GROUP; i++)
        assert_true(!r[i].learnt && r[i].advantage == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_stratum_gives_its_share),
        TEST(none_is_drawn_twice),
        TEST(who_failed_comes_more_often),
        cmocka_unit_test(the_best_and_the_worst_teach),
        cmocka_unit_test(a_flat_group_teaches_nothing),
    };
    return cmocka_run_group_tests_name("drawing", tests, NULL, NULL);
}
