/* grpo_fixture.h: cases to practise on, a recipe that does so in a moment, and what two runs of it must
 * have alike. */
#ifndef SLM_TESTS_GRPO_FIXTURE_H
#define SLM_TESTS_GRPO_FIXTURE_H

#include "train_fixture.h"

/* A case of the kind, with all that rewards look at. */
static inline void put_case(slm_buffer *out, int number, const char *context,
                            const char *disposition)
{
    slm_buffer_printf(
        out,
        "{\"prompt_id\":\"c%d\",\"prompt\":[{\"role\":\"user\",\"content\":\"Sore knee %d?\"}],"
        "\"rubrics\":[{\"criterion\":\"Asks since when.\",\"points\":5,\"tags\":[]}],"
        "\"example_tags\":[],\"family\":\"f%d\",\"context\":\"%s\",\"disposition\":\"%s\","
        "\"follow_ups\":[{\"id\":\"q1\",\"question\":\"Since when?\",\"tier\":\"next_step\","
        "\"weight\":5,\"why\":\"It decides.\"}],"
        "\"facts\":[{\"id\":\"a1\",\"follow_up\":\"q1\",\"topic\":\"since\",\"answer\":\"May.\"}],"
        "\"key_points\":[{\"id\":\"k1\",\"text\":\"Rest it.\",\"must\":true}],"
        "\"advice\":[{\"id\":\"s1\",\"if\":\"it swells\",\"then\":\"see a doctor\"}],"
        "\"never\":[{\"id\":\"n1\",\"text\":\"Run on it.\"}]}\n",
        number, number, number, context, disposition);
}

static inline void put_cases(const char *path, int first)
{
    slm_buffer text = {0};
    for (int i = first; i < first + 6; i++)
        put_case(&text, i, i % 2 ? "enough" : "lacks", i % 3 == 2 ? "emergency" : "routine");
    put_file(path, text.data, text.len);
    slm_buffer_free(&text);
}

static inline void put_practice(slm_arena *arena, void **state)
{
    const tiny_shape shape = tiny_default();
    const char *folder = *state;
    slm_buffer text = {0};
    tiny_write(&shape, 1, in_folder(arena, state, "model.gguf"));
    put_cases(in_folder(arena, state, "cases.jsonl"), 0);
    put_cases(in_folder(arena, state, "dev.jsonl"), 6);
    slm_buffer_printf(&text,
                      "model: %s/model.gguf\noutput: %s/out\nseed: 3\nsystem: ''\n"
                      "lora:\n  rank: 4\n"
                      "grpo:\n  data: %s/cases.jsonl\n  dev: %s/dev.jsonl\n  steps: 4\n"
                      "  prompts: 3\n  rollouts: 4\n  max_tokens: 24\n  rows: 200\n  rate: 1e-2\n"
                      "  min_spread: 0\n  check_cases: 1\n  dev_rollouts: 1\n  dev_steps: 2\n"
                      "  save_steps: 1\n  updates: 2\n",
                      folder, folder, folder, folder);
    put_file(in_folder(arena, state, "recipe.yaml"), text.data, text.len);
    slm_buffer_free(&text);
}

static inline void assert_same_runs(slm_arena *arena, void **state, const char *a, const char *b)
{
    static const char *const files[] = {"last/adapter_model.safetensors",
                                        "last/optimiser.safetensors",
                                        "best/adapter_model.safetensors", "samples.jsonl"};
    const char *x = slm_arena_printf(arena, "%s/%s/grpo", (const char *)*state, a);
    const char *y = slm_arena_printf(arena, "%s/%s/grpo", (const char *)*state, b);
    for (size_t i = 0; i < 4; i++)
        assert_same_file(x, y, files[i]);
    char *of_x = metrics_text(x), *of_y = metrics_text(y);
    assert_string_equal(of_x, of_y);
    free(of_x);
    free(of_y);
}

#endif
