/* test_checkpoint.c: a save that is killed before any of its calls leaves a whole checkpoint, the old
 * one or the new one, and the next save goes through. */
#define TRAIN_CRASHES
#include "train_fixture.h"

typedef struct fixture {
    slm_arena arena;
    stage stage;
    slm_training *training;
    train__optimiser *optimiser;
    train__state state;
    const char *folder;
} fixture;

static void fixture_open(fixture *f, void **state)
{
    slm_error err = {0};
    *f = (fixture){.state = {.steps = 100, .best_loss = NAN, .first_loss = 0.5, .best_score = NAN}};
    put_stage(&f->arena, state);
    f->folder = in_folder(&f->arena, state, "out");
    if (slm_file_make_folders(f->folder, &err) != SLM_OK) fail_msg("%s", err.message);
    stage_open(&f->stage, in_folder(&f->arena, state, "recipe.yaml"), NULL, 1);
    f->training = training_of(&f->stage, 64, 0);
    if (train__optimiser_new(slm_open_model(f->stage.chat), f->training,
                             &f->stage.recipe.sft.optimiser, 100, &f->optimiser, &err) != SLM_OK)
        fail_msg("%s", err.message);
    memset(f->state.settings.sha256, 'a', 64);
    memset(f->state.data, 'b', 64);
    snprintf(f->state.kernels, sizeof f->state.kernels, "avx2");
}

static void fixture_close(fixture *f)
{
    train__optimiser_free(f->optimiser);
    slm_training_free(f->training);
    stage_close(&f->stage);
    slm_arena_free(&f->arena);
}

/* Every weight is the number of the step, so that halves of two checkpoints would be seen. */
static void fill(const fixture *f, int64_t step)
{
    size_t count;
    slm_model *model = slm_open_model(f->stage.chat);
    const slm_parameter *parameters = slm_training_parameters(f->training, &count);
    for (size_t i = 0; i < count; i++) {
        const size_t items = parameter_items(&parameters[i]);
        float *values = malloc(items * sizeof *values);
        assert_non_null(values);
        for (size_t k = 0; k < items; k++)
            values[k] = (float)step;
        slm_device_upload(slm_model_device(model), parameters[i].value, values,
                          items * sizeof *values);
        free(values);
    }
}

static slm_status save(fixture *f, int64_t step, slm_error *err)
{
    fill(f, step);
    f->state.step = step;
    return train__checkpoint_save(f->folder, "last", &f->stage.train, f->training, f->optimiser,
                                  &f->state, err);
}

/* The step of the checkpoint; its weights must be of the same. */
static int64_t whole_step(fixture *f)
{
    train__state state = {0};
    slm_error err = {0};
    bool found = false;
    size_t count;
    if (train__checkpoint_state(f->folder, "last", &found, &state, &err) != SLM_OK)
        fail_msg("%s", err.message);
    if (!found) fail_msg("no checkpoint is found");
    fill(f, -1);
    if (train__checkpoint_load(f->folder, "last", &f->stage.train, f->training, f->optimiser,
                               &err) != SLM_OK)
        fail_msg("%s", err.message);
    const slm_parameter *parameters = slm_training_parameters(f->training, &count);
    for (size_t i = 0; i < count; i++) {
        float first;
        slm_device_download(slm_model_device(slm_open_model(f->stage.chat)), &first,
                            parameters[i].value, sizeof first);
        assert_true(first == (float)state.step);
    }
    return state.step;
}

/* Kill a child that saves step 2 before its n-th call; true if it got through. */
static bool save_and_die(fixture *f, long n)
{
    int status;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        crash_countdown = n;
        _exit(save(f, 2, NULL) == SLM_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
    return WIFEXITED(status);
}

static void killed_anywhere_a_whole_one_is_found(void **state)
{
    fixture f;
    slm_error err = {0};
    long n = 0, old = 0, fresh = 0;
    fixture_open(&f, state);
    for (bool through = false; !through; n++) {
        assert_int_equal(save(&f, 1, &err), SLM_OK);
        through = save_and_die(&f, n);
        const int64_t step = whole_step(&f);
        assert_true(step == 1 || step == 2);
        if (through) assert_int_equal(step, 2);
        old += step == 1;
        fresh += step == 2 && !through;
        assert_true(n < 1000);
    }
    assert_true(n > 15); /* writing, syncing, moving, removing */
    assert_true(old > 10 && fresh > 1);
    assert_int_equal(save(&f, 3, &err), SLM_OK);
    assert_int_equal(whole_step(&f), 3);
    assert_int_equal(count_files(f.folder), 1); /* nothing is left of the broken ones */
    fixture_close(&f);
}

/* Broken between the two moves: there is no `last`, and the old one lies aside. */
static void the_one_moved_aside_is_moved_back(void **state)
{
    fixture f;
    slm_error err = {0};
    fixture_open(&f, state);
    assert_int_equal(save(&f, 1, &err), SLM_OK);
    const char *last = slm_arena_printf(&f.arena, "%s/last", f.folder);
    const char *old = slm_arena_printf(&f.arena, "%s/last.old", f.folder);
    assert_int_equal(rename(last, old), 0);
    assert_int_equal(whole_step(&f), 1);
    assert_true(slm_file_is_folder(last));
    assert_false(slm_file_is_folder(old));
    fixture_close(&f);
}

static void what_is_kept_comes_back(void **state)
{
    fixture f;
    train__state got = {0};
    slm_error err = {0};
    bool found = true;
    fixture_open(&f, state);
    assert_int_equal(train__checkpoint_state(f.folder, "last", &found, &got, &err), SLM_OK);
    assert_false(found);
    f.state.best_step = 4;
    f.state.best_loss = 0.1 + 0.2;
    f.state.log.lines = 1234567890123;
    f.state.log.events = 7;
    f.state.finished = true;
    assert_int_equal(save(&f, 9, &err), SLM_OK);
    assert_int_equal(train__checkpoint_state(f.folder, "last", &found, &got, &err), SLM_OK);
    assert_true(found && got.finished && got.best_loss == 0.1 + 0.2 && got.first_loss == 0.5);
    assert_true(isnan(got.best_score));
    assert_int_equal(got.step, 9);
    assert_int_equal(got.steps, 100);
    assert_int_equal(got.best_step, 4);
    assert_int_equal(got.log.lines, 1234567890123);
    assert_int_equal(got.log.events, 7);
    assert_string_equal(got.settings.sha256, f.state.settings.sha256);
    assert_string_equal(got.data, f.state.data);
    assert_string_equal(got.kernels, "avx2");
    fixture_close(&f);
}

/* PEFT's own names and keys. */
static void the_adapter_is_in_pefts_layout(void **state)
{
    fixture f;
    slm_error err = {0};
    slm_tensors *file = NULL;
    json_t *root = NULL;
    fixture_open(&f, state);
    assert_int_equal(save(&f, 1, &err), SLM_OK);
    const char *config = slm_arena_printf(&f.arena, "%s/last/adapter_config.json", f.folder);
    assert_int_equal(slm_json_load(config, &root, &err), SLM_OK);
    assert_string_equal(json_string_value(json_object_get(root, "peft_type")), "LORA");
    assert_int_equal(json_integer_value(json_object_get(root, "r")), 4);
    assert_true(json_number_value(json_object_get(root, "lora_alpha")) == 32);
    assert_int_equal(json_array_size(json_object_get(root, "target_modules")), 7);
    json_decref(root);
    const char *weights = slm_arena_printf(&f.arena, "%s/last/adapter_model.safetensors", f.folder);
    assert_int_equal(slm_tensors_open(weights, &file, &err), SLM_OK);
    const slm_tensor *b =
        slm_tensors_find(file, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight");
    assert_non_null(b);
    assert_int_equal(b->shape[0], 32);
    assert_int_equal(b->shape[1], 4);
    slm_tensors_close(file);
    fixture_close(&f);
}

static void damage_is_an_error(void **state)
{
    fixture f;
    train__state got = {0};
    slm_error err = {0};
    bool found;
    fixture_open(&f, state);
    assert_int_equal(save(&f, 5, &err), SLM_OK);
    const char *path = slm_arena_printf(&f.arena, "%s/last/state.json", f.folder);
    put_text(path, "{\"step\":5,\"steps\":3,\"best_step\":0,\"metrics_bytes\":0,\"events_bytes\":0,"
                   "\"samples_bytes\":0,"
                   "\"recipe\":\"\",\"data\":\"\",\"kernels\":\"\"}");
    assert_int_equal(train__checkpoint_state(f.folder, "last", &found, &got, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "last/state.json");
    assert_holds(err.message, "impossible counts");
    put_text(path, "{\"step\":");
    assert_int_not_equal(train__checkpoint_state(f.folder, "last", &found, &got, &err), SLM_OK);
    assert_holds(err.message, "last/state.json");
    put_text(path, "{\"model\":\"another\"}");
    assert_int_equal(
        train__checkpoint_load(f.folder, "last", &f.stage.train, f.training, NULL, &err),
        SLM_ERR_INVALID);
    assert_holds(err.message, "another model");
    fixture_close(&f);
}

/* A folder that cannot be written: an error, and the last checkpoint is as it was. */
static void a_save_that_fails_changes_nothing(void **state)
{
    fixture f;
    slm_error err = {0};
    fixture_open(&f, state);
    assert_int_equal(save(&f, 1, &err), SLM_OK);
    put_text(slm_arena_printf(&f.arena, "%s/last.new", f.folder), "in the way");
    const slm_status status = save(&f, 2, &err);
    assert_int_not_equal(status, SLM_OK);
    assert_holds(err.message, "last.new");
    assert_int_equal(whole_step(&f), 1);
    fixture_close(&f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(killed_anywhere_a_whole_one_is_found),
        TEST(the_one_moved_aside_is_moved_back),
        TEST(what_is_kept_comes_back),
        TEST(the_adapter_is_in_pefts_layout),
        TEST(damage_is_an_error),
        TEST(a_save_that_fails_changes_nothing),
    };
    return cmocka_run_group_tests_name("train/checkpoint", tests, NULL, NULL);
}
