/* test_recipe_files.c: a file that a recipe names and that is not there is told with its key, and with
 * what sets it; what is there, or is no file, is passed over. */
#include "train_fixture.h"

/* A recipe whose model, examples, cases and system text are all there; the file `missing` of them is
 * not, where that is not NULL. */
static slm_status check_without(void **state, const char *missing, const char *set, slm_error *err)
{
    static const char *const names[] = {"m.gguf",   "learn",        "learn-dev", "again",
                                        "practise", "practise-dev", "cases",     "system.txt"};
    slm_arena arena = {0};
    slm_recipe recipe;
    slm_buffer text = {0};
    const char *const folder = in_folder(&arena, state, "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *path = in_folder(&arena, state, names[i]);
        put_text(path, "x");
        if (missing && strcmp(names[i], missing) == 0) assert_int_equal(remove(path), 0);
    }
    slm_buffer_printf(&text,
                      "model: %s/m.gguf\noutput: o\n"
                      "sft: {data: ['-', %s/learn], dev: %s/learn-dev, replay: %s/again}\n"
                      "grpo: {data: %s/practise, dev: %s/practise-dev}\n"
                      "eval: {cases: %s/cases, system: [Ask., '@-', '@%s/system.txt']}\n",
                      folder, folder, folder, folder, folder, folder, folder, folder);
    const char *path = in_folder(&arena, state, "r.yaml");
    put_text(path, slm_buffer_text(&text));
    if (slm_recipe_load(path, &set, set ? 1 : 0, &recipe, err) != SLM_OK)
        fail_msg("%s", err->message);
    const slm_status status = slm_recipe_check_files(&recipe, err);
    slm_recipe_free(&recipe);
    slm_buffer_free(&text);
    slm_arena_free(&arena);
    return status;
}

static void what_is_there_is_taken(void **state)
{
    slm_error err = {0};
    if (check_without(state, NULL, NULL, &err) != SLM_OK) fail_msg("%s", err.message);
    /* Models that are no path, and what only another stage would read. */
    static const char *const models[] = {"model=recorded:none", "model=hf:o/n", "model=pip:p==1",
                                         "model=openai:m@127.0.0.1:1", "model=/"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (check_without(state, NULL, models[i], &err) != SLM_OK)
            fail_msg("%s: %s", models[i], err.message);
}

static void what_is_not_there_is_told_with_its_key(void **state)
{
    static const struct {
        const char *missing, *key, *remedy;
    } rows[] = {
        {"m.gguf", "r.yaml: model: cannot open ", "with --set model=MODEL"},
        {"learn", "r.yaml: sft.data: cannot open ", "with --set sft.data=FILE"},
        {"learn-dev", "r.yaml: sft.dev: cannot open ", "with --set sft.dev=FILE"},
        {"again", "r.yaml: sft.replay: cannot open ", "with --set sft.replay=FILE"},
        {"practise", "r.yaml: grpo.data: cannot open ", "with --set grpo.data=FILE"},
        {"practise-dev", "r.yaml: grpo.dev: cannot open ", "with --set grpo.dev=FILE"},
        {"cases", "r.yaml: eval.cases: cannot open ", "with --set eval.cases=FILE"},
        {"system.txt", "r.yaml: eval.system: cannot open ", "with --set eval.system=@FILE"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        slm_error err = {0};
        char named[64];
        snprintf(named, sizeof named, "/%s: No such file", rows[i].missing);
        assert_int_equal(check_without(state, rows[i].missing, NULL, &err), SLM_ERR_NOT_FOUND);
        assert_holds(err.message, rows[i].key);
        assert_holds(err.message, named);
        assert_holds(err.message, rows[i].remedy);
    }
}

static void other_wrongs_are_told_too(void **state)
{
    slm_error err = {0};
    assert_int_equal(check_without(state, NULL, "sft.dev=/", &err), SLM_ERR_IO);
    assert_holds(err.message, "sft.dev: cannot open /: Is a directory");
    assert_int_equal(check_without(state, NULL, "model=/+/nowhere/best", &err), SLM_ERR_NOT_FOUND);
    assert_holds(err.message, "model: cannot open /nowhere/best: ");
    assert_holds(err.message, "--set model=MODEL");
    assert_int_equal(
        check_without(state, NULL, "model=/nowhere/SmolLM2-135M-Instruct.Q4_1.gguf", &err),
        SLM_ERR_NOT_FOUND);
    assert_holds(err.message, "--set model=\"$(tools/fetch-smollm2)\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_there_is_taken, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_told_with_its_key, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(other_wrongs_are_told_too, make_folder, remove_folder),
    };
    return cmocka_run_group_tests_name("train/recipe_files", tests, NULL, NULL);
}
