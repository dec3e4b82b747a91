/* test_recipe.c: recipes: what they say is what is used, --set goes before them, errors name file,
 * line and key, and the settings' hash is that of their meaning. */
#include "train_fixture.h"

#define MINIMAL "model: m.gguf\noutput: out\nsft:\n  data: d.jsonl\n"

static const char *path_of(slm_arena *arena, void **state, const char *text)
{
    const char *path = in_folder(arena, state, "r.yaml");
    put_text(path, text);
    return path;
}

static slm_recipe load(void **state, const char *text, const char *const *sets, size_t count)
{
    slm_arena arena = {0};
    slm_recipe recipe;
    slm_error err = {0};
    if (slm_recipe_load(path_of(&arena, state, text), sets, count, &recipe, &err) != SLM_OK)
        fail_msg("%s", err.message);
    slm_arena_free(&arena);
    return recipe;
}

/* Refused, with a message that holds both parts. */
static void refuse_with(void **state, const char *text, const char *set, const char *first,
                        const char *second)
{
    slm_arena arena = {0};
    slm_recipe recipe;
    slm_error err = {0};
    const slm_status status =
        slm_recipe_load(path_of(&arena, state, text), &set, set ? 1 : 0, &recipe, &err);
    if (status == SLM_OK) fail_msg("taken: %s %s", text, set ? set : "");
    assert_int_equal(status, err.status);
    assert_holds(err.message, first);
    assert_holds(err.message, second);
    slm_arena_free(&arena);
}

static void defaults_and_values_are_read(void **state)
{
    slm_recipe r = load(state, MINIMAL, NULL, 0);
    assert_string_equal(r.run.model, "m.gguf");
    assert_string_equal(r.run.train, "adapter");
    assert_true(r.has_sft);
    assert_int_equal(r.lora.rank, 16);
    assert_true(r.lora.alpha == 32 && r.sft.optimiser.rate == 2e-4);
    assert_string_equal(r.sft.optimiser.schedule, "cosine");
    assert_int_equal(r.sft.data.count, 1);
    assert_false(slm_recipe_thinks(&r));
    assert_string_equal(r.eval.env, "single-turn");
    assert_null(r.eval.patient);
    slm_recipe_free(&r);
    r = load(state,
             "# all kinds of values\nmodel: 'm.gguf'\noutput: out\nseed: 7\ntrain: all\n"
             "thinking: on\nsystem: \"\"\ntime_budget_minutes: 1.5\nlora: {rank: 8, alpha: 16, "
             "dropout: 0.1,\n"
             "  rank_stabilised: true, matrices: \"q, v\"}\n"
             "sft:\n  data: [a.jsonl, b.jsonl]\n  dev: c.jsonl\n  epochs: 3\n  rate: 1e-3\n"
             "  checkpointing: true\n  rows: 2048\n  max_tokens: 512\n"
             "eval: {cases: t.jsonl, env: multi-turn, turns: 3, patient: p.gguf}\n",
             NULL, 0);
    assert_int_equal(r.run.seed, 7);
    assert_string_equal(r.run.train, "all");
    assert_string_equal(r.run.system, "");
    assert_true(r.run.time_budget_minutes == 1.5 && r.lora.dropout == 0.1);
    assert_true(r.lora.rank_stabilised && r.sft.checkpointing);
    assert_int_equal(r.sft.data.count, 2);
    assert_string_equal(r.sft.data.items[1], "b.jsonl");
    assert_string_equal(r.sft.dev.items[0], "c.jsonl");
    assert_string_equal(r.run.thinking, "on");
    assert_true(slm_recipe_thinks(&r));
    assert_string_equal(r.eval.env, "multi-turn");
    assert_string_equal(r.eval.patient, "p.gguf");
    assert_int_equal(r.eval.turns, 3);
    assert_true(r.sft.epochs == 3 && r.sft.optimiser.rate == 1e-3);
    slm_lora_options lora;
    assert_int_equal(slm_recipe_lora_options(&r, &lora, NULL), SLM_OK);
    assert_int_equal(lora.matrices, SLM_MATRIX_Q | SLM_MATRIX_V);
    assert_int_equal(lora.rank, 8);
    slm_recipe_free(&r);
}

static void settings_on_the_command_line_go_before_the_file(void **state)
{
    const char *const sets[] = {
        "sft.epochs=5", "seed=11",           "lora.rank=2",       "sft.data=x",
        "sft.data=y",   "sft.max-tokens=64", "sft.max_tokens=32", "lora.rank_stabilised=true"};
    slm_recipe r = load(state, MINIMAL, sets, sizeof sets / sizeof *sets);
    assert_true(r.sft.epochs == 5);
    assert_int_equal(r.run.seed, 11);
    assert_int_equal(r.lora.rank, 2);
    assert_int_equal(r.sft.max_tokens, 32);
    assert_true(r.lora.rank_stabilised);
    /* A list is replaced by the first that names it, and grows by the rest. */
    assert_int_equal(r.sft.data.count, 2);
    assert_string_equal(r.sft.data.items[0], "x");
    assert_string_equal(r.sft.data.items[1], "y");
    slm_recipe_free(&r);
    /* A section that only --set names is a stage too. */
    const char *const only[] = {"sft.data=z"};
    r = load(state, "model: m\noutput: o\n", only, 1);
    assert_true(r.has_sft);
    slm_recipe_free(&r);
}

static void errors_name_file_line_and_key(void **state)
{
    refuse_with(state, MINIMAL "  epohcs: 2\n", NULL, "r.yaml:5",
                "unknown key epohcs; did you mean epochs?");
    refuse_with(state, "modle: x\n" MINIMAL, NULL, "r.yaml:1", "did you mean model?");
    refuse_with(state, MINIMAL "  rate: fast\n", NULL, "r.yaml:5", "rate must be");
    refuse_with(state, MINIMAL "  rate: 2\n", NULL, "r.yaml:5", "not '2'");
    refuse_with(state, MINIMAL "  batch: 0\n", NULL, "r.yaml:5", "batch");
    refuse_with(state, MINIMAL "  batch: 1.5\n", NULL, "r.yaml:5", "batch");
    refuse_with(state, MINIMAL "  schedule: square\n", NULL, "r.yaml:5", "constant");
    refuse_with(state, MINIMAL "lora:\n  rank: -1\n", NULL, "r.yaml:6", "rank");
    refuse_with(state, MINIMAL "lora:\n  matrices: q,z\n", NULL, "r.yaml",
                "'z' is none of q, k, v");
    refuse_with(state, MINIMAL "  warmup: {a: 1}\n", NULL, "r.yaml:5", "wants a value");
    refuse_with(state, MINIMAL "train: both\n", NULL, "r.yaml:5", "adapter");
    refuse_with(state, "model: m\noutput: o\nsft: 3\n", NULL, "r.yaml:3", "sft must hold keys");
    refuse_with(state, "- model\n", NULL, "r.yaml:1", "keys");
    refuse_with(state, MINIMAL "system: '@file.txt'\n", NULL, "r.yaml",
                "write out what stands in file.txt");
    refuse_with(state, "output: o\n", NULL, "r.yaml", "Set the key model");
    refuse_with(state, "model: m\n", NULL, "r.yaml", "Set the key output");
    refuse_with(state, "model: m\noutput: o\n", NULL, "r.yaml", "no stage");
    refuse_with(state, MINIMAL "  epochs:\n    true\n", NULL, "r.yaml:5", "epochs must be");
    refuse_with(state, MINIMAL "  dev: [a,\n   {b: c}]\n", NULL, "r.yaml:5",
                "dev: wants a value, or a list of values");
    /* One value where a list stands, even one of one value, is not what was meant. */
    refuse_with(state, MINIMAL "  epochs: [1]\n", NULL, "r.yaml:5",
                "epochs: takes one value, not a list");
    refuse_with(state, MINIMAL "lora:\n  matrices: [q, v]\n", NULL, "r.yaml:6",
                "matrices: takes one");
    refuse_with(state, "seed: []\n" MINIMAL, NULL, "r.yaml:1", "seed: takes one value");
    /* Sections that there are not, and a key in a section that holds some. */
    refuse_with(state, MINIMAL "dpo:\n  beta: 1\n", NULL, "r.yaml:5",
                "there is no section dpo; there are lora, sft, grpo, reward, eval");
    refuse_with(state, MINIMAL "gpro:\n", NULL, "r.yaml:5", "no section gpro; did you mean grpo?");
    refuse_with(state, MINIMAL "dpo: 3\n", NULL, "r.yaml:5", "unknown key dpo");
    refuse_with(state, MINIMAL "  optimiser: {rate: 1}\n", NULL, "r.yaml:5",
                "unknown key optimiser");
    refuse_with(state, "model: m\noutput: o\nsft:\n", NULL, "r.yaml", "Set the key data");
    refuse_with(state, MINIMAL "  rows: 256\n  max_tokens: 512\n", NULL, "sft.rows is 256", "512");
    refuse_with(state, MINIMAL "  data: e.jsonl\n", NULL, "r.yaml:5", "twice");
    refuse_with(state, MINIMAL "train: layers\n", "model=m+a", "adapter a", "train: layers");
    refuse_with(state, MINIMAL "  interpolate: 0.5\n", "model=m+a", "sft.interpolate", "adapter a");
    refuse_with(state, MINIMAL "  interpolate: 1.5\n", NULL, "r.yaml:5", "interpolate");
    refuse_with(state, MINIMAL "  thinking: on\n", NULL, "r.yaml:5",
                "thinking is a key of the whole recipe, not of sft");
    refuse_with(state, MINIMAL, "sft.thinking=on", "--set sft.thinking=on: thinking is",
                "it stands at the top level");
    refuse_with(state, MINIMAL, "sft.time-budget-minutes=3", "--set", "top level");
    refuse_with(state, MINIMAL "thinking: true\n", NULL, "r.yaml:5", "off, on");
    refuse_with(state, MINIMAL "eval: {cases: t, patient: p.gguf}\n", NULL, "eval.patient",
                "set eval.env to multi-turn");
    refuse_with(state, MINIMAL "eval: {cases: t}\n", "eval.turns=33", "--set", "turns must be");
    slm_recipe recipe;
    slm_error err = {0};
    assert_int_not_equal(slm_recipe_load("/nowhere/r.yaml", NULL, 0, &recipe, &err), SLM_OK);
    assert_holds(err.message, "/nowhere/r.yaml");
}

static void a_wrong_setting_is_named(void **state)
{
    static const struct {
        const char *set, *said;
    } rows[] = {
        {"sft.epohcs=2", "unknown key epohcs; did you mean epochs?"},
        {"sfft.epochs=2", "there is no section sfft; did you mean sft? There are lora, sft, grpo"},
        {"dpo.beta=2", "there is no section dpo; there are lora, sft, grpo, reward, eval"},
        {"sft.epochs", "write it as SECTION.KEY=VALUE, or KEY=VALUE"},
        {"sft.epochs=many", "epochs must be a number"},
        {"sft=1", "sft is a section: write sft.KEY=VALUE"},
        {"sft.=1", "write it as SECTION.KEY=VALUE"},
        {".x=1", "write it as SECTION.KEY=VALUE"},
        {".model=m", "write it as SECTION.KEY=VALUE"},
        {"=1", "write it as SECTION.KEY=VALUE"},
        {"modle=m", "unknown key modle; did you mean model?"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char said[256];
        snprintf(said, sizeof said, "--set %s: %s", rows[i].set, rows[i].said);
        refuse_with(state, MINIMAL, rows[i].set, said, "");
    }
    /* A long one is cut between characters, and the reason stands behind it. */
    char set[1500] = "sft.rate=a", *at = set + strlen(set);
    for (size_t i = 0; i < 700; i++, at += 2)
        memcpy(at, "\xC3\xA4", 3);
    refuse_with(state, MINIMAL, set, "\xC3\xA4...: rate must be a number", "--set sft.rate=a\xC3");
}

static void the_hash_is_of_the_meaning(void **state)
{
    slm_recipe first = load(state, MINIMAL "  epochs: 2\n  rate: 0.0002\n", NULL, 0);
    static const char *const same[] = {
        MINIMAL, /* both are the defaults */
        "# a comment\nsft: {rate: 2.0e-4, epochs: 2.0, data: [other.jsonl]}\n"
        "output: 'elsewhere'\nmodel: moved.gguf\nlora:\n",
        MINIMAL "lora:\n  matrices: \"down, up,gate,o,v,k,q\"\n  alpha: 32.0\n",
        MINIMAL "  save_steps: 7\ntime_budget_minutes: 10\n",
        MINIMAL "  interpolate: 0.5\n", /* nothing of it is learnt otherwise */
    };
    static const char *const others[] = {
        MINIMAL "  epochs: 3\n",        MINIMAL "seed: 1\n",
        MINIMAL "  rate: 0.00021\n",    MINIMAL "lora: {rank: 8}\n",
        MINIMAL "system: You ask.\n",   MINIMAL "lora: {matrices: 'q'}\n",
        MINIMAL "thinking: on\n",       MINIMAL "train: all\n",
        MINIMAL "  dev_steps: 3\n",     MINIMAL "lora: {rank_stabilised: true}\n",
        MINIMAL "  schedule: linear\n",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        slm_recipe r = load(state, same[i], NULL, 0);
        if (strcmp(r.sft_settings.sha256, first.sft_settings.sha256) != 0)
            fail_msg("another hash: %s", same[i]);
        slm_recipe_free(&r);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        slm_recipe r = load(state, others[i], NULL, 0);
        if (strcmp(r.sft_settings.sha256, first.sft_settings.sha256) == 0)
            fail_msg("the same hash: %s", others[i]);
        slm_recipe_free(&r);
    }
    /* What one stage does is not undone by a setting of another. */
    slm_recipe practised =
        load(state, MINIMAL "grpo: {data: c, dev: d, steps: 3}\neval: {cases: t}\n", NULL, 0);
    slm_recipe other =
        load(state, MINIMAL "  epochs: 9\ngrpo: {data: c, dev: d, steps: 3}\n", NULL, 0);
    slm_recipe thinks =
        load(state, MINIMAL "thinking: on\ngrpo: {data: c, dev: d, steps: 3}\n", NULL, 0);
    slm_recipe talks = load(state,
                            MINIMAL "grpo: {data: c, dev: d, steps: 3}\n"
                                    "eval: {cases: t, env: multi-turn, turns: 2}\n",
                            NULL, 0);
    slm_recipe longer =
        load(state, MINIMAL "grpo: {data: c, dev: d, steps: 4}\nreward: {never: 2}\n", NULL, 0);
    assert_string_equal(practised.sft_settings.sha256, first.sft_settings.sha256);
    assert_string_equal(longer.sft_settings.sha256, first.sft_settings.sha256);
    assert_string_equal(practised.grpo_settings.sha256, other.grpo_settings.sha256);
    assert_string_not_equal(practised.grpo_settings.sha256, longer.grpo_settings.sha256);
    assert_string_not_equal(practised.grpo_settings.sha256, thinks.grpo_settings.sha256);
    assert_string_equal(practised.grpo_settings.sha256, talks.grpo_settings.sha256);
    slm_recipe_free(&thinks);
    slm_recipe_free(&talks);
    slm_recipe_free(&practised);
    slm_recipe_free(&other);
    slm_recipe_free(&longer);
    const char *const set[] = {"sft.epochs=2"};
    slm_recipe r = load(state, MINIMAL "  epochs: 9\n", set, 1);
    assert_string_equal(r.sft_settings.sha256, first.sft_settings.sha256);
    slm_recipe_free(&r);
    slm_recipe_free(&first);
}

/* Each can be set so, and none is left out: the reference counts them. */
static void every_key_is_offered_as_a_setting(void **state)
{
    (void)state;
    slm_buffer settings = {0};
    char *keys = NULL;
    size_t len = 0, rows = 0, words = 0;
    slm_recipe_append_settings(&settings);
    const char *text = slm_buffer_text(&settings);
    assert_int_equal(strncmp(text, "model= output= ", 15), 0);
    assert_holds(text, " time_budget_minutes= lora.rank=");
    assert_holds(text, " grpo.train_per_group= ");
    assert_holds(text, " reward.rubric= ");
    assert_int_equal(text[settings.len - 1], '=');
    for (const char *c = text; *c; c++)
        words += *c == '=';
    FILE *out = open_memstream(&keys, &len);
    assert_non_null(out);
    slm_recipe_print_keys(false, out);
    assert_int_equal(fclose(out), 0);
    for (const char *c = keys; (c = strstr(c, "\n  ")) != NULL; c++)
        rows++;
    assert_int_equal(words, rows);
    free(keys);
    slm_buffer_free(&settings);
}

static void every_key_is_explained(void **state)
{
    (void)state;
    for (int markdown = 0; markdown < 2; markdown++) {
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        assert_non_null(out);
        slm_recipe_print_keys(markdown == 1, out);
        assert_int_equal(fclose(out), 0);
        static const char *const keys[] = {
            "model", "time_budget_minutes", "rank_stabilised", "max_tokens", "warmup", "thinking"};
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            assert_holds(text, keys[i]);
        assert_holds(text, markdown ? "| `epochs` | 2 |" : "(default 2)");
        assert_null(strstr(text, "max-tokens"));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_and_values_are_read, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(settings_on_the_command_line_go_before_the_file,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(errors_name_file_line_and_key, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_wrong_setting_is_named, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_hash_is_of_the_meaning, make_folder, remove_folder),
        cmocka_unit_test(every_key_is_offered_as_a_setting),
        cmocka_unit_test(every_key_is_explained),
    };
    return cmocka_run_group_tests_name("train/recipe", tests, NULL, NULL);
}
