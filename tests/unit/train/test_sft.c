/* test_sft.c: a run that was stopped or killed anywhere ends where one ends that was not, with one
 * thread or two; and how examples are packed does not matter. */
#define TRAIN_CRASHES
#include "train_fixture.h"

enum { STEPS = 7 }; /* two epochs of ten examples, three a step */

static const char *recipe_path(slm_arena *arena, void **state)
{
    return in_folder(arena, state, "recipe.yaml");
}

static const char *output_set(slm_arena *arena, void **state, const char *name)
{
    return slm_arena_printf(arena, "output=%s", in_folder(arena, state, name));
}

/* One call of the stage; `extra` may be NULL. */
static slm_status run(slm_arena *arena, void **state, const char *output, const char *extra,
                      int threads, bool stop, slm_train_result *result, slm_error *err)
{
    const volatile bool stopped = stop;
    const char *const sets[] = {output_set(arena, state, output), extra, NULL};
    stage s;
    stage_open(&s, recipe_path(arena, state), sets, threads);
    s.train.stop = &stopped;
    const slm_status status = slm_train_sft(&s.train, result, err);
    stage_close(&s);
    return status;
}

static slm_train_result run_whole(slm_arena *arena, void **state, const char *output,
                                  const char *extra, int threads)
{
    slm_train_result result;
    slm_error err = {0};
    if (run(arena, state, output, extra, threads, false, &result, &err) != SLM_OK)
        fail_msg("%s", err.message);
    return result;
}

/* Weights, moments and what was logged are the same; measured times apart. */
static void assert_same_runs(slm_arena *arena, void **state, const char *a, const char *b)
{
    static const char *const files[] = {"last/adapter_model.safetensors",
                                        "last/optimiser.safetensors",
                                        "best/adapter_model.safetensors"};
    const char *x = slm_arena_printf(arena, "%s/%s/sft", (const char *)*state, a);
    const char *y = slm_arena_printf(arena, "%s/%s/sft", (const char *)*state, b);
    for (size_t i = 0; i < 3; i++)
        assert_same_file(x, y, files[i]);
    char *of_x = metrics_text(x), *of_y = metrics_text(y);
    assert_string_equal(of_x, of_y);
    free(of_x);
    free(of_y);
    struct stat events_x, events_y;
    assert_int_equal(stat(slm_arena_printf(arena, "%s/events.out.tfevents.slm", x), &events_x), 0);
    assert_int_equal(stat(slm_arena_printf(arena, "%s/events.out.tfevents.slm", y), &events_y), 0);
    assert_int_equal(events_x.st_size, events_y.st_size);
}

/* ---- a whole run --------------------------------------------------------------------------- */

static void examples_are_learnt(void **state)
{
    slm_arena arena = {0};
    put_stage(&arena, state);
    slm_train_result result = run_whole(&arena, state, "out", "sft.epochs=30", 2);
    assert_int_equal(result.steps, 100);
    assert_true(result.dev_loss < 0.5 * result.first_dev_loss);
    assert_true(result.best_step > 0 && !result.out_of_time);
    assert_string_equal(result.folder, in_folder(&arena, state, "out/sft/best"));
    char *text = metrics_text(in_folder(&arena, state, "out/sft"));
    assert_holds(text, "\"step\":100");
    assert_holds(text, "\"grad_norm\":");
    /* Once done it is not done again, and tells the same. */
    slm_train_result again = run_whole(&arena, state, "out", "sft.epochs=30", 1);
    assert_true(again.dev_loss == result.dev_loss && again.steps == result.steps);
    assert_int_equal(again.best_step, result.best_step);
    char *after = metrics_text(in_folder(&arena, state, "out/sft"));
    assert_string_equal(after, text);
    free(text);
    free(after);
    slm_arena_free(&arena);
}

static void all_weights_can_be_learnt(void **state)
{
    slm_arena arena = {0};
    slm_error err = {0};
    slm_train_result result;
    put_stage(&arena, state);
    slm_train_result whole = run_whole(&arena, state, "whole", "train=all", 2);
    assert_true(whole.dev_loss < whole.first_dev_loss);
    while (run(&arena, state, "stopped", "train=all", 1, true, &result, &err) == SLM_ERR_CANCELLED)
        ;
    assert_true(result.dev_loss == whole.dev_loss);
    assert_same_file(in_folder(&arena, state, "whole/sft"), in_folder(&arena, state, "stopped/sft"),
                     "last/model.safetensors");
    slm_arena_free(&arena);
}

/* All of the layers, and the last norm; embedding and head stay the base's. */
static void layers_alone_can_be_learnt(void **state)
{
    slm_arena arena = {0};
    slm_tensors *file = NULL;
    slm_error err = {0};
    put_stage(&arena, state);
    const slm_train_result result = run_whole(&arena, state, "out", "train=layers", 2);
    assert_true(result.dev_loss < result.first_dev_loss);
    const char *path = in_folder(&arena, state, "out/sft/best/model.safetensors");
    if (slm_tensors_open(path, &file, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_non_null(slm_tensors_find(file, "model.layers.0.self_attn.q_proj.weight"));
    assert_non_null(slm_tensors_find(file, "model.norm.weight"));
    assert_null(slm_tensors_find(file, "model.embed_tokens.weight"));
    assert_null(slm_tensors_find(file, "lm_head.weight"));
    slm_tensors_close(file);
    slm_arena_free(&arena);
}

/* The weights of out/sft/NAME, all tensors one after the other; *count floats. */
static float *weights_in(slm_arena *arena, void **state, const char *name, size_t *count)
{
    slm_tensors *file = NULL;
    slm_error err = {0};
    const char *path = slm_arena_printf(arena, "%s/out/sft/%s", (const char *)*state, name);
    if (slm_tensors_open(path, &file, &err) != SLM_OK) fail_msg("%s", err.message);
    *count = 0;
    for (size_t i = 0; i < slm_tensors_count(file); i++)
        *count += slm_tensor_items(slm_tensors_at(file, i));
    float *out = slm_arena_array(arena, *count, sizeof *out);
    for (size_t i = 0, at = 0; i < slm_tensors_count(file); i++) {
        const slm_tensor *tensor = slm_tensors_at(file, i);
        memcpy(out + at, tensor->data, tensor->bytes);
        at += slm_tensor_items(tensor);
    }
    slm_tensors_close(file);
    return out;
}

/* The share that is kept lies between the base and the best, whose place it does not take, and another
 * one needs no further step. */
static void part_of_what_was_learnt_can_be_kept(void **state)
{
    static const char name[] = "interpolated/model.safetensors";
    slm_arena arena = {0};
    size_t count = 0;
    put_stage(&arena, state);
    const slm_train_result whole = run_whole(&arena, state, "out", "train=all", 2);
    const float *best = weights_in(&arena, state, "best/model.safetensors", &count);
    const char *const shares[] = {"0", "0.5"};
    slm_train_result results[2];
    float *weights[2];
    for (int i = 0; i < 2; i++) {
        const char *sets[] = {output_set(&arena, state, "out"), "train=all",
                              slm_arena_printf(&arena, "sft.interpolate=%s", shares[i]), NULL};
        for (int again = 0; again < 2; again++) { /* once done nothing is learnt again */
            slm_error err = {0};
            stage s;
            stage_open(&s, recipe_path(&arena, state), sets, 1);
            if (slm_train_sft(&s.train, &results[i], &err) != SLM_OK) fail_msg("%s", err.message);
            stage_close(&s);
        }
        assert_string_equal(results[i].folder, in_folder(&arena, state, "out/sft/interpolated"));
        assert_int_equal(results[i].steps, whole.steps);
        weights[i] = weights_in(&arena, state, name, &count);
    }
    double moved = 0;
    for (size_t i = 0; i < count; i++) {
        const float middle = 0.5f * weights[0][i] + 0.5f * best[i];
        assert_true(fabsf(weights[1][i] - middle) <= 1e-6f * fabsf(middle));
        moved += fabs((double)weights[1][i] - (double)best[i]);
    }
    assert_true(moved > 0);
    assert_true(results[0].dev_loss == whole.first_dev_loss);
    assert_true(results[1].dev_loss < whole.first_dev_loss &&
                results[1].dev_loss != whole.dev_loss);
    slm_arena_free(&arena);
}

/* Of an adapter B alone is scaled, so that B A is. */
static void part_of_an_adapter_can_be_kept(void **state)
{
    slm_arena arena = {0};
    size_t count = 0;
    put_stage(&arena, state);
    const slm_train_result kept = run_whole(&arena, state, "out", "sft.interpolate=0.25", 2);
    assert_string_equal(kept.folder, in_folder(&arena, state, "out/sft/interpolated"));
    const float *best = weights_in(&arena, state, "best/adapter_model.safetensors", &count);
    const float *part = weights_in(&arena, state, "interpolated/adapter_model.safetensors", &count);
    size_t same = 0, scaled = 0;
    for (size_t i = 0; i < count; i++) {
        same += part[i] == best[i];
        scaled += part[i] == 0.25f * best[i] && best[i] != 0;
    }
    assert_int_equal(same + scaled, count);
    assert_true(same > count / 10 && scaled > count / 10);
    slm_arena_free(&arena);
}

/* Without development data the last weights are the best there are. */
static void without_development_data_the_last_is_kept(void **state)
{
    slm_arena arena = {0};
    slm_buffer text = {0};
    put_stage(&arena, state);
    slm_buffer_printf(
        &text,
        "model: %s/model.gguf\noutput: x\nsft: {data: %s/data.jsonl, batch: 5, dev_share: 0}\n",
        (const char *)*state, (const char *)*state);
    put_file(in_folder(&arena, state, "recipe.yaml"), text.data, text.len);
    slm_buffer_free(&text);
    slm_train_result result = run_whole(&arena, state, "out", NULL, 1);
    assert_true(isnan(result.dev_loss));
    assert_int_equal(result.best_step, result.steps);
    const char *folder = in_folder(&arena, state, "out/sft");
    slm_buffer last = file_bytes(folder, "last/adapter_model.safetensors");
    slm_buffer best = file_bytes(folder, "best/adapter_model.safetensors");
    assert_int_equal(last.len, best.len);
    assert_memory_equal(last.data, best.data, best.len);
    slm_buffer_free(&last);
    slm_buffer_free(&best);
    slm_arena_free(&arena);
}

/* ---- broken runs --------------------------------------------------------------------------- */

static void stopped_at_every_step_it_ends_the_same(void **state)
{
    slm_arena arena = {0};
    slm_error err = {0};
    slm_train_result result, whole;
    int stops = 0;
    put_stage(&arena, state);
    whole = run_whole(&arena, state, "whole", NULL, 2);
    while (run(&arena, state, "stopped", NULL, 1 + stops % 2, true, &result, &err) ==
           SLM_ERR_CANCELLED) {
        assert_holds(err.message, "the same command goes on");
        assert_true(++stops < STEPS);
    }
    assert_int_equal(stops, STEPS - 1);
    assert_same_runs(&arena, state, "whole", "stopped");
    assert_true(result.dev_loss == whole.dev_loss && result.best_step == whole.best_step);
    slm_arena_free(&arena);
}

static void threads_do_not_matter(void **state)
{
    slm_arena arena = {0};
    put_stage(&arena, state);
    run_whole(&arena, state, "one", "lora.dropout=0.2", 1);
    run_whole(&arena, state, "two", "lora.dropout=0.2", 2);
    assert_same_runs(&arena, state, "one", "two");
    slm_arena_free(&arena);
}

typedef struct victim {
    slm_arena *arena;
    void **state;
    int threads;
} victim;

static slm_status run_victim(void *context)
{
    const victim *v = context;
    slm_train_result result;
    return run(v->arena, v->state, "killed", NULL, v->threads, false, &result, NULL);
}

/* Killed before each seventh call of an unbroken run, and each time again a little later. */
static void killed_anywhere_it_ends_the_same(void **state)
{
    slm_arena arena = {0};
    put_stage(&arena, state);
    run_whole(&arena, state, "whole", NULL, 1);
    const char *folder = in_folder(&arena, state, "killed");
    int kills = 0;
    for (long n = 0;; n += 7) {
        void *path = strdup(folder);
        victim first = {&arena, state, 1 + (int)(n % 2)}, again = {&arena, state, 1};
        const bool through = run_and_die(n, run_victim, &first);
        long next = 3;
        while (!through && !run_and_die(next, run_victim, &again)) {
            next += 40; /* far enough to come to the next checkpoint */
            kills++;
        }
        assert_same_runs(&arena, state, "whole", "killed");
        remove_folder(&path);
        if (through) break;
        kills++;
    }
    assert_true(kills > 20);
    slm_arena_free(&arena);
}

/* ---- a share that is kept, and kills ---------------------------------------------------------- */

typedef struct part {
    slm_arena *arena;
    void **state;
    const char *output;
    int threads;
} part;

static slm_status run_part(void *context)
{
    const part *p = context;
    const char *const sets[] = {output_set(p->arena, p->state, p->output), "train=all",
                                "sft.interpolate=0.5", NULL};
    slm_train_result result;
    stage s;
    stage_open(&s, recipe_path(p->arena, p->state), sets, p->threads);
    const slm_status status = slm_train_sft(&s.train, &result, NULL);
    stage_close(&s);
    return status;
}

static void no_development_data(slm_arena *arena, void **state)
{
    slm_buffer recipe = file_bytes(*state, "recipe.yaml");
    char *line = strstr(recipe.data, "  dev:");
    assert_non_null(line);
    const char *end = strchr(line, '\n') + 1;
    memmove(line, end, strlen(end) + 1);
    recipe.len = strlen(recipe.data);
    slm_buffer_append_text(&recipe, "  dev_share: 0\n");
    put_file(in_folder(arena, state, "recipe.yaml"), recipe.data, recipe.len);
    slm_buffer_free(&recipe);
}

/* What is left is the share, and neither all nor the share of a share; without development data too. */
static void kept_in_part_and_killed_it_ends_the_same(void **state)
{
    slm_arena arena = {0};
    put_stage(&arena, state);
    for (int with_dev = 1; with_dev >= 0; with_dev--) {
        int kills = 0;
        if (!with_dev) no_development_data(&arena, state);
        part whole = {&arena, state, with_dev ? "whole" : "whole without", 2};
        assert_int_equal(run_part(&whole), SLM_OK);
        for (long n = 0;; n += 4) {
            void *path = strdup(in_folder(&arena, state, "broken"));
            part broken = {&arena, state, "broken", 1};
            const bool through = run_and_die(n, run_part, &broken);
            if (!through) assert_int_equal(run_part(&broken), SLM_OK);
            assert_same_file(
                in_folder(&arena, state, slm_arena_printf(&arena, "%s/sft", whole.output)),
                in_folder(&arena, state, "broken/sft"), "interpolated/model.safetensors");
            remove_folder(&path);
            if (through) break;
            kills++;
        }
        assert_true(kills > 5);
    }
    slm_arena_free(&arena);
}

/* ---- what is refused ----------------------------------------------------------------------- */

static void refuse_run(void **state, const char *extra, const char *message)
{
    slm_arena arena = {0};
    slm_error err = {0};
    slm_train_result result;
    const slm_status status = run(&arena, state, "out", extra, 1, false, &result, &err);
    if (status == SLM_OK) fail_msg("taken: %s", extra);
    assert_holds(err.message, message);
    slm_arena_free(&arena);
}

static void another_run_is_not_gone_on_with(void **state)
{
    slm_arena arena = {0};
    slm_error err = {0};
    slm_train_result result;
    put_stage(&arena, state);
    assert_int_equal(run(&arena, state, "out", NULL, 1, true, &result, &err), SLM_ERR_CANCELLED);
    refuse_run(state, "sft.rate=0.02", "other settings: sft.rate was 0.01 and is 0.02");
    refuse_run(state, "seed=4", "other settings: seed was 3 and is 4");
    put_examples(in_folder(&arena, state, "dev.jsonl"), 20, FIXTURE_DEV);
    refuse_run(state, "sft.batch=3", "of other data");
    put_examples(in_folder(&arena, state, "dev.jsonl"), FIXTURE_EXAMPLES, FIXTURE_DEV);
    put_examples(in_folder(&arena, state, "data.jsonl"), 1, FIXTURE_EXAMPLES);
    refuse_run(state, "sft.batch=3", "of other data");
    put_examples(in_folder(&arena, state, "data.jsonl"), 0, FIXTURE_EXAMPLES);
    /* The same names, other weights. */
    const tiny_shape shape = tiny_default();
    tiny_write(&shape, 2, in_folder(&arena, state, "model.gguf"));
    refuse_run(state, "sft.batch=3", "another model");
    tiny_write(&shape, 1, in_folder(&arena, state, "model.gguf"));
    run_whole(&arena, state, "out", "sft.save_steps=1",
              1); /* how often is saved is nobody's matter */
    refuse_run(state, "thinking=on", "has no thinking");
    slm_arena_free(&arena);
}

/* A rate at which nothing stays finite. */
static void what_explodes_is_an_error(void **state)
{
    slm_arena arena = {0};
    put_stage(&arena, state);
    slm_error err = {0};
    slm_train_result result;
    assert_int_equal(run(&arena, state, "out", NULL, 1, true, &result, &err), SLM_ERR_CANCELLED);
    const char *weights = in_folder(&arena, state, "out/sft/last/adapter_model.safetensors");
    slm_buffer bytes = {0};
    assert_int_equal(slm_file_read(weights, 0, &bytes, &err), SLM_OK);
    for (size_t i = bytes.len - 4096; i < bytes.len; i++)
        bytes.data[i] = (char)0xff; /* NaN */
    put_file(weights, bytes.data, bytes.len);
    refuse_run(state, NULL, "lower sft.rate");
    slm_buffer_free(&bytes);
    slm_arena_free(&arena);
}

/* A token that stands in development examples alone has weights that are no numbers: no step is taken,
 * since no checkpoint could be told to be the best. */
static void a_development_loss_that_is_no_number_is_an_error(void **state)
{
    slm_arena arena = {0};
    put_stage(&arena, state);
    tiny_shape shape = tiny_default();
    shape.tied = false;
    const size_t row = (size_t)shape.d * sizeof(float);
    gguf_writer w = {0};
    tiny_metadata(&w, &shape);
    tiny_tensors(&w, &shape, 1); /* the first is the embedding */
    memset(w.data.data + (GGUF_TOKEN_BYTES + 'Z') * row, 0xff, row);
    assert_true(gguf_write(&w, in_folder(&arena, state, "model.gguf")));
    gguf_writer_free(&w);
    put_text(in_folder(&arena, state, "dev.jsonl"),
             "{\"messages\":[{\"role\":\"user\",\"content\":\"Zinc?\"},"
             "{\"role\":\"assistant\",\"content\":\"How long?\"}]}\n");
    refuse_run(state, NULL, "the loss on development examples is nan");
    assert_false(slm_file_exists(in_folder(&arena, state, "out/sft/last")));
    /* With others it is a model like any. */
    put_examples(in_folder(&arena, state, "dev.jsonl"), FIXTURE_EXAMPLES, FIXTURE_DEV);
    run_whole(&arena, state, "out", NULL, 1);
    slm_arena_free(&arena);
}

/* ---- packing ------------------------------------------------------------------------------- */

typedef struct packed {
    float *gradients;
    size_t count;
    train__loss loss;
} packed;

/* Eight examples, of different lengths, in batches of up to `rows` rows and `at_once` examples. */
static packed pass(slm_arena *arena, void **state, size_t rows, size_t at_once, bool full)
{
    const char *const sets[] = {full ? "train=all" : "train=adapter", NULL};
    const char *path = in_folder(arena, state, "data.jsonl");
    const slm_option_list paths = {&path, 1};
    static const size_t order[] = {4, 1, 9, 0, 7, 3, 2, 6};
    train__examples examples;
    slm_error err = {0};
    packed out = {0};
    stage s;
    size_t count;
    stage_open(&s, recipe_path(arena, state), sets, 2);
    const train__reader reader = {.tokenizer = slm_open_chat_tokenizer(s.chat),
                                  .tmpl = slm_open_chat_template(s.chat),
                                  .max_tokens = 128};
    if (train__examples_load(&paths, &reader, &examples, &err) != SLM_OK)
        fail_msg("%s", err.message);
    slm_training *training = training_of(&s, rows, 0);
    uint64_t learnt = 0;
    for (size_t i = 0; i < 8; i++)
        learnt += examples.items[order[i]].len - examples.items[order[i]].prompt;
    for (size_t i = 0; i < 8; i += at_once) {
        const train__loss loss =
            train__pass(training, &examples, order + i, at_once, rows, 1.0f / (float)learnt, 0, 0);
        out.loss.sum += loss.sum;
        out.loss.tokens += loss.tokens;
    }
    assert_int_equal(out.loss.tokens, learnt);
    const slm_parameter *parameters = slm_training_parameters(training, &count);
    for (size_t i = 0; i < count; i++)
        out.count += parameter_items(&parameters[i]);
    out.gradients = slm_arena_array(arena, out.count, sizeof *out.gradients);
    for (size_t i = 0, at = 0; i < count; at += parameter_items(&parameters[i++]))
        slm_device_download(slm_model_device(slm_open_model(s.chat)), out.gradients + at,
                            parameters[i].grad, parameter_items(&parameters[i]) * sizeof(float));
    train__examples_free(&examples);
    slm_training_free(training);
    stage_close(&s);
    return out;
}

static void assert_same_gradients(const packed *a, const packed *b)
{
    double difference = 0, size = 0;
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        difference += pow((double)a->gradients[i] - (double)b->gradients[i], 2);
        size += pow((double)a->gradients[i], 2);
    }
    assert_true(size > 0);
    if (sqrt(difference / size) > 1e-6)
        fail_msg("gradients differ by %g of their norm", sqrt(difference / size));
    assert_true(fabs(a->loss.sum - b->loss.sum) <= 1e-6 * a->loss.sum);
}

/* One batch of eight, packed in one, or as they fit, or each by itself, is the same step. */
static void packing_does_not_matter(void **state)
{
    slm_arena arena = {0};
    put_stage(&arena, state);
    for (int full = 0; full < 2; full++) {
        const packed one = pass(&arena, state, 1024, 8, full == 1);
        const packed some = pass(&arena, state, 130, 8, full == 1);
        const packed each = pass(&arena, state, 128, 1, full == 1);
        assert_same_gradients(&one, &some);
        assert_same_gradients(&one, &each);
    }
    slm_arena_free(&arena);
}

/* Development loss is that of the model as it is used: dropout has no part in it. */
static void development_loss_knows_no_dropout(void **state)
{
    slm_arena arena = {0};
    put_stage(&arena, state);
    run_whole(&arena, state, "out", NULL, 1);
    const char *const sets[] = {NULL};
    stage s;
    slm_error err = {0};
    stage_open(&s, recipe_path(&arena, state), sets, 1);
    const train__reader reader = {.tokenizer = slm_open_chat_tokenizer(s.chat),
                                  .tmpl = slm_open_chat_template(s.chat),
                                  .max_tokens = 128};
    const size_t order[] = {0, 1, 2};
    train__examples dev;
    if (train__examples_load(&s.recipe.sft.dev, &reader, &dev, &err) != SLM_OK)
        fail_msg("%s", err.message);
    double sums[2];
    for (int drops = 0; drops < 2; drops++) {
        slm_training *training = training_of(&s, 256, drops ? 0.5f : 0);
        if (train__checkpoint_load(in_folder(&arena, state, "out/sft"), "last", &s.train, training,
                                   NULL, &err) != SLM_OK)
            fail_msg("%s", err.message);
        sums[drops] = train__pass(training, &dev, order, 3, 256, 0, 1, 1).sum;
        if (drops) /* but learning has */
            assert_true(train__pass(training, &dev, order, 3, 256, 1, 1, 1).sum != sums[1]);
        slm_training_free(training);
    }
    assert_true(sums[0] == sums[1]);
    train__examples_free(&dev);
    stage_close(&s);
    slm_arena_free(&arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(examples_are_learnt),
        TEST(all_weights_can_be_learnt),
        TEST(layers_alone_can_be_learnt),
        TEST(part_of_what_was_learnt_can_be_kept),
        TEST(part_of_an_adapter_can_be_kept),
        TEST(without_development_data_the_last_is_kept),
        TEST(stopped_at_every_step_it_ends_the_same),
        TEST(threads_do_not_matter),
        TEST(killed_anywhere_it_ends_the_same),
        TEST(kept_in_part_and_killed_it_ends_the_same),
        TEST(another_run_is_not_gone_on_with),
        TEST(what_explodes_is_an_error),
        TEST(a_development_loss_that_is_no_number_is_an_error),
        TEST(packing_does_not_matter),
        TEST(development_loss_knows_no_dropout),
    };
    return cmocka_run_group_tests_name("train/sft", tests, NULL, NULL);
}
