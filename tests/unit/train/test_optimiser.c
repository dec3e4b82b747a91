/* test_optimiser.c: AdamW against its formula in double, clipping, schedules at their ends, and
 * moments through a file. */
#include "train_fixture.h"

static slm_recipe_optimiser settings_of(const char *schedule)
{
    return (slm_recipe_optimiser){.rate = 0.01,
                                  .schedule = schedule,
                                  .warmup = 0.1,
                                  .beta1 = 0.9,
                                  .beta2 = 0.99,
                                  .eps = 1e-8,
                                  .decay = 0.1,
                                  .clip = 0};
}

static void assert_near(double got, double expected)
{
    if (fabs(got - expected) > 1e-12) fail_msg("%.17g, not %.17g", got, expected);
}

/* ---- schedules ----------------------------------------------------------------------------- */

static void rates_begin_and_end_where_they_should(void **state)
{
    static const char *const names[] = {"constant", "linear", "cosine"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        slm_recipe_optimiser s = settings_of(names[i]);
        assert_near(train__rate(&s, 1, 100), 0.001); /* a tenth of the way up */
        assert_near(train__rate(&s, 10, 100), 0.01); /* the highest */
        const double last = train__rate(&s, 100, 100), middle = train__rate(&s, 55, 100);
        for (int64_t step = 11; step <= 100; step++)
            assert_true(train__rate(&s, step, 100) <= train__rate(&s, step - 1, 100));
        if (i == 0) assert_true(last == 0.01 && middle == 0.01);
        if (i == 1) {
            assert_near(last, 0.01 / 91); /* 0 would be the step after the last */
            assert_near(middle, 0.01 * (1 - 45.0 / 91));
        }
        if (i == 2) {
            assert_near(last, 0.005 * (1 + cos(3.14159265358979 * 90 / 91)));
            assert_true(last > 0 && last < 1e-5);
        }
        s.warmup = 0;
        const double first = train__rate(&s, 1, 100);
        assert_true(first <= 0.01 && first > 0.0098);
        s.warmup = 1;
        assert_near(train__rate(&s, 100, 100), 0.01);
        assert_near(train__rate(&s, 50, 100), 0.005);
        s.warmup = 0.05;
        assert_near(train__rate(&s, 1, 1), 0.01); /* a single step is taken in full */
    }
}

/* ---- steps --------------------------------------------------------------------------------- */

typedef struct fixture {
    slm_arena arena;
    stage stage;
    slm_training *training;
    slm_parameter *parameters;
    size_t count;
} fixture;

static void fixture_open(fixture *f, void **state)
{
    static const char *const sets[] = {"train=all", NULL};
    *f = (fixture){0};
    put_stage(&f->arena, state);
    stage_open(&f->stage, in_folder(&f->arena, state, "recipe.yaml"), sets, 1);
    f->training = training_of(&f->stage, 64, 0);
    f->parameters = slm_training_parameters(f->training, &f->count);
}

static void fixture_close(fixture *f)
{
    slm_training_free(f->training);
    stage_close(&f->stage);
    slm_arena_free(&f->arena);
}

static slm_device *device_of(const fixture *f)
{
    return slm_model_device(slm_open_model(f->stage.chat));
}

/* Gradients of step `step`, the same wherever they are asked for. */
static float gradient_at(size_t parameter, size_t item, int64_t step)
{
    return (float)sin(0.7 * (double)parameter + 1.3 * (double)item + 2.9 * (double)step);
}

static double put_gradients(const fixture *f, int64_t step)
{
    double squares = 0;
    for (size_t i = 0; i < f->count; i++) {
        const size_t items = parameter_items(&f->parameters[i]);
        float *values = malloc(items * sizeof *values);
        assert_non_null(values);
        for (size_t k = 0; k < items; k++) {
            values[k] = gradient_at(i, k, step);
            squares += (double)values[k] * (double)values[k];
        }
        slm_device_upload(device_of(f), f->parameters[i].grad, values, items * sizeof *values);
        free(values);
    }
    return sqrt(squares);
}

static float *values_of(const fixture *f, size_t parameter)
{
    const size_t items = parameter_items(&f->parameters[parameter]);
    float *values = malloc(items * sizeof *values);
    assert_non_null(values);
    slm_device_download(device_of(f), values, f->parameters[parameter].value,
                        items * sizeof *values);
    return values;
}

/* Five steps of parameter `p` by the formula (Loshchilov and Hutter 2019, algorithm 2), in double. */
static void check_formula(const fixture *f, size_t p, const float *start,
                          const slm_recipe_optimiser *s, const double *scales)
{
    const size_t items = parameter_items(&f->parameters[p]);
    const double decay = f->parameters[p].rows > 1 ? s->decay : 0; /* of matrices alone */
    float *got = values_of(f, p);
    for (size_t i = 0; i < items; i++) {
        double x = (double)start[i], m = 0, v = 0;
        for (int64_t step = 1; step <= 5; step++) {
            const double g = scales[step] * (double)gradient_at(p, i, step);
            m = s->beta1 * m + (1 - s->beta1) * g;
            v = s->beta2 * v + (1 - s->beta2) * g * g;
            const double mean = m / (1 - pow(s->beta1, (double)step));
            const double square = v / (1 - pow(s->beta2, (double)step));
            x -= train__rate(s, step, 20) * (mean / (sqrt(square) + s->eps) + decay * x);
        }
        if (fabs(x - (double)got[i]) > 2e-6 * (1 + fabs(x)))
            fail_msg("%s[%zu]: %.9g, the formula says %.9g", f->parameters[p].name, i,
                     (double)got[i], x);
    }
    free(got);
}

static void run_formula(void **state, double clip, double eps)
{
    fixture f;
    slm_error err = {0};
    train__optimiser *optimiser = NULL;
    slm_recipe_optimiser s = settings_of("linear");
    double scales[6] = {0};
    s.clip = clip;
    s.eps = eps;
    fixture_open(&f, state);
    float **start = slm_arena_array(&f.arena, f.count, sizeof *start);
    for (size_t i = 0; i < f.count; i++)
        start[i] = values_of(&f, i);
    if (train__optimiser_new(slm_open_model(f.stage.chat), f.training, &s, 20, &optimiser, &err) !=
        SLM_OK)
        fail_msg("%s", err.message);
    for (int64_t step = 1; step <= 5; step++) {
        double norm;
        const double expected = put_gradients(&f, step);
        train__optimiser_step(optimiser, step, &norm);
        assert_true(fabs(norm - expected) <= 1e-6 * expected);
        scales[step] = clip > 0 && expected > clip ? clip / expected : 1;
    }
    for (size_t i = 0; i < f.count; i++) {
        check_formula(&f, i, start[i], &s, scales);
        free(start[i]);
    }
    /* The gradients are gone. */
    double norm;
    train__optimiser_step(optimiser, 6, &norm);
    assert_true(norm == 0);
    train__optimiser_free(optimiser);
    fixture_close(&f);
}

static void steps_are_those_of_the_formula(void **state)
{
    run_formula(state, 0, 1e-8);
}

/* AdamW forgets a constant scale but for eps; so eps is made to matter. */
static void gradients_are_clipped_by_their_norm(void **state)
{
    run_formula(state, 1, 1e-3);
    run_formula(state, 1e9, 1e-3); /* above every norm: nothing is clipped */
}

/* What the forward reads is what was learnt. */
static void the_model_reads_what_was_learnt(void **state)
{
    fixture f;
    slm_error err = {0};
    train__optimiser *optimiser = NULL;
    const slm_recipe_optimiser s = settings_of("constant");
    static const int32_t ids[] = {5, 6, 7, 8}, want[] = {0, 1, 2}, targets[] = {6, 7, 8};
    static const slm_train_sequence one = {0, 4, -1};
    const slm_train_batch batch = {.ids = ids,
                                   .rows = 4,
                                   .sequences = &one,
                                   .sequence_count = 1,
                                   .want = want,
                                   .targets = targets,
                                   .want_count = 3,
                                   .temperature = 1};
    const float coefficient[] = {-1, -1, -1};
    float before[3], after[3];
    double norm;
    fixture_open(&f, state);
    if (train__optimiser_new(slm_open_model(f.stage.chat), f.training, &s, 20, &optimiser, &err) !=
        SLM_OK)
        fail_msg("%s", err.message);
    for (int64_t step = 1; step <= 10; step++) {
        slm_training_forward(f.training, &batch, coefficient, step == 1 ? before : after, NULL);
        slm_training_backward(f.training, NULL);
        train__optimiser_step(optimiser, step, &norm);
    }
    for (size_t i = 0; i < 3; i++)
        assert_true(after[i] > before[i]);
    train__optimiser_free(optimiser);
    fixture_close(&f);
}

static void moments_survive_a_file(void **state)
{
    fixture f;
    slm_error err = {0};
    train__optimiser *one = NULL, *two = NULL;
    const slm_recipe_optimiser s = settings_of("cosine");
    double norm;
    fixture_open(&f, state);
    const char *path = in_folder(&f.arena, state, "o.safetensors");
    const char *weights = in_folder(&f.arena, state, "w.safetensors");
    slm_model *model = slm_open_model(f.stage.chat);
    assert_int_equal(train__optimiser_new(model, f.training, &s, 20, &one, &err), SLM_OK);
    for (int64_t step = 1; step <= 3; step++) {
        put_gradients(&f, step);
        train__optimiser_step(one, step, &norm);
    }
    assert_int_equal(train__optimiser_save(one, path, &err), SLM_OK);
    assert_int_equal(slm_training_save(f.training, weights, NULL, 0, &err), SLM_OK);
    put_gradients(&f, 4);
    train__optimiser_step(one, 4, &norm);
    float *expected = values_of(&f, 1);
    /* Back to step 3, in an optimiser that has seen nothing. */
    slm_tensors *file = NULL;
    assert_int_equal(slm_tensors_open(weights, &file, &err), SLM_OK);
    assert_int_equal(slm_training_load(f.training, file, &err), SLM_OK);
    slm_tensors_close(file);
    assert_int_equal(train__optimiser_new(model, f.training, &s, 20, &two, &err), SLM_OK);
    assert_int_equal(train__optimiser_load(two, path, &err), SLM_OK);
    put_gradients(&f, 4);
    train__optimiser_step(two, 4, &norm);
    float *got = values_of(&f, 1);
    assert_memory_equal(got, expected, parameter_items(&f.parameters[1]) * sizeof *got);
    /* A file of something else. */
    assert_int_equal(train__optimiser_load(two, weights, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "w.safetensors: ");
    assert_holds(err.message, ".first is missing");
    free(got);
    free(expected);
    train__optimiser_free(one);
    train__optimiser_free(two);
    fixture_close(&f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_begin_and_end_where_they_should),
        TEST(steps_are_those_of_the_formula),
        TEST(gradients_are_clipped_by_their_norm),
        TEST(the_model_reads_what_was_learnt),
        TEST(moments_survive_a_file),
    };
    return cmocka_run_group_tests_name("train/optimiser", tests, NULL, NULL);
}
