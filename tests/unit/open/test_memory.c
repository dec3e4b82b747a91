/* test_memory.c: a local model takes the memory that slm_open_memory_of foretells, whatever keeps its
 * weights; which way it is opened changes neither its identity nor a bit of its samples; and it is
 * chosen by what fits, and by what is fast. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "family_model.h"
#include "open/open.h"
#include "tiny_model.h"

static char path[64], folder[64], with_adapter[136];

static slm_chat *open_chat(const char *name, const slm_open_options *options)
{
    slm_chat *chat = NULL;
    slm_error err;
    if (slm_open_chat(name, options, &chat, &err) != SLM_OK) fail_msg("%s", err.message);
    return chat;
}

static slm_open_memory foretold(int adapter_rank, const slm_device *device,
                                const slm_open_options *options)
{
    slm_tensors *file = NULL;
    slm_model_config config;
    assert_int_equal(slm_tensors_open(path, &file, NULL), SLM_OK);
    assert_int_equal(slm_model_config_read(file, &config, NULL), SLM_OK);
    slm_open_memory memory = slm_open_memory_of(file, &config, adapter_rank, device, options);
    slm_tensors_close(file);
    return memory;
}

enum { SAMPLES = 12, REPLY = 20 };

/* ids of all samples, one after the other. */
static void generate(slm_chat *chat, slm_token out[SAMPLES * REPLY])
{
    slm_engine *engine = slm_open_engine(chat);
    slm_token prompt[300];
    slm_error err;
    uint64_t id;
    for (int i = 0; i < 300; i++)
        prompt[i] = (slm_token)(7 * i % GGUF_TOKEN_MERGES);
    const slm_generate request = {
        .prompt = prompt,
        .prompt_len = 300,
        .samples = SAMPLES,
        .sampling = {.temperature = 1, .top_p = 0.9f, .repetition_penalty = 1},
        .max_tokens = REPLY};
    if (slm_engine_submit(engine, &request, &id, &err) != SLM_OK) fail_msg("%s", err.message);
    for (bool worked = true; worked;)
        assert_int_equal(slm_engine_step(engine, &worked, &err), SLM_OK);
    for (slm_generated *g; (g = slm_engine_poll(engine)) != NULL; slm_generated_free(g)) {
        assert_int_equal(g->ids.len, REPLY);
        memcpy(out + g->sample * REPLY, g->ids.ids, REPLY * sizeof *out);
    }
}

static void test_taken_as_foretold(void **state)
{
    (void)state;
    static const char *const kernels[] = {NULL, "ref"};
    static const char *const ways[] = {"keep", "widen"};
    for (int k = 0; k < 2; k++) {
        slm_token samples[2][SAMPLES * REPLY];
        char *identity[2];
        for (int w = 0; w < 2; w++) {
            const slm_open_options options = {.quantised = ways[w], .kernels = kernels[k]};
            slm_chat *chat = open_chat(path, &options);
            generate(chat, samples[w]);
            identity[w] = strdup(chat->identity);
            const slm_open_memory memory = foretold(0, NULL, &options);
            assert_true(memory.quantised);
            assert_true(memory.keeps == (w == 0));
            double want = (double)((w == 0 ? memory.kept_bytes : memory.widened_bytes) +
                                   memory.engine.cache_bytes + memory.engine.scratch_bytes);
            double got = (double)slm_device_bytes(slm_open_device(chat));
            if (!(got >= want * 0.98 && got <= want * 1.02))
                fail_msg("%s: %.0f bytes are taken, %.0f were foretold", ways[w], got, want);
            slm_chat_free(chat);
        }
        assert_memory_equal(samples[0], samples[1], sizeof samples[0]);
        assert_string_equal(identity[0], identity[1]);
        free(identity[0]);
        free(identity[1]);
    }
}

/* What an adapter adds: its weights, and the scratch of its rank. */
static void test_adapter(void **state)
{
    (void)state;
    const slm_open_options options = {.quantised = "keep", .batch = 64};
    slm_chat *plain = open_chat(path, &options), *with = open_chat(with_adapter, &options);
    const uint64_t weights = slm_model_weight_bytes(slm_open_model(with)) -
                             slm_model_weight_bytes(slm_open_model(plain));
    const uint64_t scratch = foretold(slm_model_adapter_rank(slm_open_model(with)), NULL, &options)
                                 .engine.scratch_bytes -
                             foretold(0, NULL, &options).engine.scratch_bytes;
    assert_true(scratch > 0);
    assert_true(slm_device_bytes(slm_open_device(with)) -
                    slm_device_bytes(slm_open_device(plain)) ==
                weights + scratch);
    slm_chat_free(plain);
    slm_chat_free(with);
}

static void test_auto(void **state)
{
    (void)state;
    slm_open_options options = {0};
    slm_open_memory memory = foretold(0, NULL, &options);
    assert_false(memory.keeps); /* it fits */
    options.cache_bytes = memory.available_bytes;
    assert_true(foretold(0, NULL, &options).keeps);
    options.cache_bytes = 0;
    slm_device *device = NULL;
    const slm_device_options plain = {.kernels = "ref"}, unit = {.kernels = "amx"};
    assert_int_equal(slm_device_open(&plain, &device, NULL), SLM_OK);
    assert_false(foretold(0, device, &options).keeps);
    slm_device_close(device);
    if (slm_device_open(&unit, &device, NULL) == SLM_OK) { /* it is no slower there */
        assert_true(foretold(0, device, &options).keeps);
        options.dtype = "f32";
        assert_false(foretold(0, device, &options).keeps);
        slm_device_close(device);
    }
    options.quantised = "widen";
    options.cache_bytes = memory.available_bytes;
    assert_false(foretold(0, NULL, &options).keeps);
}

static int setup(void **state)
{
    (void)state;
    tiny_shape t = tiny_default();
    t.d = t.feed = 256;
    t.head_dim = 64;
    t.layers = 4;
    t.dtype = SLM_Q4_1;
    snprintf(path, sizeof path, "/tmp/slm-memory-%d.gguf", (int)getpid());
    snprintf(folder, sizeof folder, "/tmp/slm-memory-%d-lora", (int)getpid());
    snprintf(with_adapter, sizeof with_adapter, "%s+%s", path, folder);
    tiny_write(&t, 3, path);
    family f = family_shape("llama");
    f.layers = t.layers;
    f.d = f.feed = 256;
    f.head_dim = 64;
    family_fill(&f, 1);
    family_adapter_fill(&f, 8);
    family_adapter_write(&f, folder, 8, false);
    family_free(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    family_remove(folder);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken_as_foretold),
        cmocka_unit_test(test_adapter),
        cmocka_unit_test(test_auto),
    };
    return cmocka_run_group_tests_name("open/memory", tests, setup, teardown);
}
