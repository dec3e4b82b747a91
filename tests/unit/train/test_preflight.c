/* test_preflight.c: what is known before the first stage is told then: data that cannot be read, a stratum
 * that nobody looks at, an output folder that another recipe began; and what will be done. */
#include "grpo_fixture.h"

static slm_status look(slm_arena *arena, void **state, const char *const *sets, char **told,
                       slm_error *err)
{
    slm_recipe recipe;
    size_t count = 0, len = 0;
    FILE *stream = open_memstream(told, &len);
    slm_log log = slm_log_new(stream, SLM_LOG_INFO, true);
    while (sets[count])
        count++;
    if (slm_recipe_load(in_folder(arena, state, "recipe.yaml"), sets, count, &recipe, err) !=
        SLM_OK)
        fail_msg("%s", err->message);
    const slm_status status = slm_train_preflight(&recipe, &log, err);
    fclose(stream);
    slm_recipe_free(&recipe);
    return status;
}

static void looks(slm_arena *arena, void **state, const char *set, const char *holds)
{
    const char *const sets[] = {set, NULL};
    slm_error err = {0};
    char *told = NULL;
    if (look(arena, state, sets, &told, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_holds(told, holds);
    free(told);
}

static void refuses(slm_arena *arena, void **state, const char *set, slm_status status,
                    const char *holds)
{
    const char *const sets[] = {set, NULL};
    slm_error err = {0};
    char *told = NULL;
    assert_int_equal(look(arena, state, sets, &told, &err), status);
    assert_holds(err.message, holds);
    free(told);
}

static void examples_are_looked_at(void **state)
{
    slm_arena arena = {0};
    put_stage(&arena, state);
    looks(&arena, state, NULL, "sft: 10 rows, 2 epochs in batches of 3: about 7 steps");
    refuses(&arena, state, "sft.data=nothere.jsonl", SLM_ERR_NOT_FOUND, "sft.data: cannot open");
    put_file(in_folder(&arena, state, "dev.jsonl"), "{}\n{\"messages\":", 15);
    refuses(&arena, state, NULL, SLM_ERR_FORMAT, "dev.jsonl:2");
    put_file(in_folder(&arena, state, "data.jsonl"), "\n", 1);
    refuses(&arena, state, NULL, SLM_ERR_INVALID, "data.jsonl: no example to learn from");
    slm_arena_free(&arena);
}

static void practice_is_looked_at(void **state)
{
    slm_arena arena = {0};
    put_practice(&arena, state);
    looks(&arena, state, NULL,
          "grpo: 6 cases, 6 for development; 4 steps of 3 cases with 4 rollouts each, single-turn");
    slm_buffer calm = {0};
    put_case(&calm, 7, "lacks", "routine");
    put_file(in_folder(&arena, state, "dev.jsonl"), calm.data, calm.len);
    slm_buffer_free(&calm);
    refuses(&arena, state, NULL, SLM_ERR_INVALID, "no case of stratum enough");
    put_file(in_folder(&arena, state, "dev.jsonl"), "{\"prompt_id\":5}\n", 16);
    refuses(&arena, state, NULL, SLM_ERR_FORMAT, "dev.jsonl:1");
    slm_arena_free(&arena);
}

/* Begun with these settings it may go on; with others it is refused before anything is measured. */
static void another_folder_is_refused(void **state)
{
    slm_arena arena = {0};
    slm_error err = {0};
    const char *const one_step[] = {"time_budget_minutes=1e-9", NULL};
    stage s;
    slm_train_result result;
    put_stage(&arena, state);
    stage_open(&s, in_folder(&arena, state, "recipe.yaml"), one_step, 1);
    if (slm_train_sft(&s.train, &result, &err) != SLM_OK) fail_msg("%s", err.message);
    stage_close(&s);
    looks(&arena, state, "sft.save_steps=1", "sft: ");
    refuses(&arena, state, "sft.epochs=3", SLM_ERR_INVALID, "sft.epochs was 2 and is 3");
    refuses(&arena, state, "system=Be brief.", SLM_ERR_INVALID,
            "system was \"You are a helpful assistant.\" and is \"Be brief.\"");
    slm_arena_free(&arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(examples_are_looked_at),
        TEST(practice_is_looked_at),
        TEST(another_folder_is_refused),
    };
    return cmocka_run_group_tests_name("preflight", tests, NULL, NULL);
}
