/* test_examples.c: which tokens are given and which are learnt: exactly the reply's and the one that
 * ends its turn, for every kind of template, with and without thinking. */
#include "train_fixture.h"
#include "unit/text/text_fixture.h"

static const char *const control[] = {"<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>",
                                      "<|im_end|>",        "<|endoftext|>",   "<|start_header_id|>",
                                      "<|end_header_id|>", "<|eot_id|>",      "<|eom_id|>"};
static const char *const plain[] = {"<think>", "</think>"};

typedef struct setting {
    const char *tmpl, *system;
    bool thinking, as_it_came;
    size_t max_tokens;
} setting;

/* The examples of a file with this text; NULL and *err where it is refused. */
static slm_status load(void **state, slm_tokenizer *tokenizer, const setting *s, const char *text,
                       train__examples *out, slm_error *err)
{
    slm_arena arena = {0};
    const char *path = in_folder(&arena, state, "x.jsonl");
    const slm_option_list paths = {&path, 1};
    const train__reader reader = {.tokenizer = tokenizer,
                                  .tmpl = slm_template_find(s->tmpl),
                                  .system = s->system,
                                  .thinking = s->thinking,
                                  .as_it_came = s->as_it_came,
                                  .max_tokens = s->max_tokens ? s->max_tokens : 4096};
    assert_non_null(reader.tmpl);
    put_text(path, text);
    const slm_status status = train__examples_load(&paths, &reader, out, err);
    slm_arena_free(&arena);
    return status;
}

static slm_tokenizer *tokenizer_of_all(void)
{
    return special_tokenizer(control, sizeof control / sizeof *control, plain, 2);
}

static void assert_text(const slm_tokenizer *tokenizer, const slm_token *ids, size_t count,
                        const char *expected)
{
    const slm_tokens tokens = {(slm_token *)(uintptr_t)ids, count, count};
    slm_buffer text = {0};
    decode_all(tokenizer, &tokens, &text);
    assert_string_equal(slm_buffer_text(&text), expected);
    slm_buffer_free(&text);
}

/* What is counted is what is there. */
static void assert_totals(const train__examples *e)
{
    uint64_t tokens = 0, learnt = 0;
    for (size_t i = 0; i < e->count; i++) {
        tokens += e->items[i].len;
        learnt += e->items[i].len - e->items[i].prompt;
    }
    assert_int_equal(e->tokens, tokens);
    assert_int_equal(e->learnt, learnt);
}

/* Example `index` of the file: what is given, and what is learnt. */
static void check(void **state, const setting *s, const char *text, size_t count, size_t index,
                  const char *given, const char *learnt)
{
    slm_tokenizer *tokenizer = tokenizer_of_all();
    train__examples examples;
    slm_error err = {0};
    if (load(state, tokenizer, s, text, &examples, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_int_equal(examples.count, count);
    const train__example *e = &examples.items[index];
    assert_text(tokenizer, e->ids, e->prompt, given);
    assert_text(tokenizer, e->ids + e->prompt, e->len - e->prompt, learnt);
    assert_totals(&examples);
    train__examples_free(&examples);
    slm_tokenizer_free(tokenizer);
}

#define ONE                                                                                        \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi <|im_end|>\"},"                            \
    "{\"role\":\"assistant\",\"content\":\"How long?\"}]}\n"
#define THOUGHT                                                                                    \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":"   \
    "\"How long?\",\"ideal_thinking\":\"Time decides.\"}]}\n"
#define LONG                                                                                       \
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Ask.\"},"                                   \
    "{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"            \
    "{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}]}\n"
#define CASE                                                                                       \
    "{\"prompt_id\":\"x-1\",\"prompt\":[{\"role\":\"user\",\"content\":\"a\"},"                    \
    "{\"role\":\"assistant\",\"content\":\"Old.\"},{\"role\":\"user\",\"content\":\"b\"}],"        \
    "\"rubrics\":[{\"criterion\":\"Asks.\",\"points\":1,\"tags\":[]}],"                            \
    "\"reply\":\"Which one?\"%s}\n"

static void the_reply_and_its_end_are_learnt(void **state)
{
    const setting chatml = {.tmpl = "chatml"};
    check(state, &chatml, ONE, 1, 0,
          "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n",
          "How long?<|im_end|>");
    const setting system = {.tmpl = "chatml", .system = "Ask first."};
    check(state, &system, ONE, 1, 0,
          "<|im_start|>system\nAsk first.<|im_end|>\n<|im_start|>user\nHi <|im_end|><|im_end|>\n"
          "<|im_start|>assistant\n",
          "How long?<|im_end|>");
    const setting llama3 = {.tmpl = "llama3"};
    check(state, &llama3, ONE, 1, 0,
          "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi <|im_end|><|eot_id|>"
          "<|start_header_id|>assistant<|end_header_id|>\n\n",
          "How long?<|eot_id|>");
}

/* Off: the empty thought is prompt. On: the thought and its marks are learnt. */
static void thinking_is_prompt_or_learnt(void **state)
{
    const setting off = {.tmpl = "qwen3"}, on = {.tmpl = "qwen3", .thinking = true};
    check(state, &off, THOUGHT, 1, 0,
          "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
          "How long?<|im_end|>");
    check(state, &on, THOUGHT, 1, 0, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
          "<think>\nTime decides.\n</think>\n\nHow long?<|im_end|>");
    const setting came = {.tmpl = "qwen3", .thinking = true, .as_it_came = true};
    check(state, &came, ONE, 1, 0,
          "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n",
          "How long?<|im_end|>");
    /* Its marks are the tokens that the model would write. */
    slm_tokenizer *tokenizer = tokenizer_of_all();
    train__examples examples;
    slm_error err = {0};
    assert_int_equal(load(state, tokenizer, &on, THOUGHT, &examples, &err), SLM_OK);
    const train__example *e = &examples.items[0];
    assert_int_equal(e->ids[e->prompt], slm_tokenizer_find(tokenizer, "<think>"));
    train__examples_free(&examples);
    slm_tokenizer_free(tokenizer);
}

/* Each reply behind what stands before it; the file's own system text stays. */
static void each_reply_is_an_example(void **state)
{
    const setting s = {.tmpl = "chatml", .system = "unused"};
    check(state, &s, LONG, 2, 0,
          "<|im_start|>system\nAsk.<|im_end|>\n<|im_start|>user\na<|im_end|>\n"
          "<|im_start|>assistant\n",
          "b<|im_end|>");
    check(state, &s, LONG, 2, 1,
          "<|im_start|>system\nAsk.<|im_end|>\n<|im_start|>user\na<|im_end|>\n"
          "<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n"
          "<|im_start|>assistant\n",
          "d<|im_end|>");
    check(state, &s, LONG "\n" ONE, 3, 2,
          "<|im_start|>system\nunused<|im_end|>\n<|im_start|>user\nHi <|im_end|><|im_end|>\n"
          "<|im_start|>assistant\n",
          "How long?<|im_end|>");
}

static void of_a_case_the_ideal_reply_is_learnt(void **state)
{
    const setting s = {.tmpl = "chatml", .system = "Ask."};
    char text[1024];
    snprintf(text, sizeof text, CASE, "");
    check(
        state, &s, text, 1, 0,
        "<|im_start|>system\nAsk.<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
        "Old.<|im_end|>\n<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n",
        "Which one?<|im_end|>");
    const setting on = {.tmpl = "qwen3", .thinking = true};
    snprintf(text, sizeof text, CASE, ",\"ideal_thinking\":\"Hm.\"");
    check(state, &on, text, 1, 0,
          "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nOld.<|im_end|>\n"
          "<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n",
          "<think>\nHm.\n</think>\n\nWhich one?<|im_end|>");
}

/* Refused, with a message that holds both parts. */
static void refuse_file(void **state, const setting *s, const char *text, const char *first,
                        const char *second)
{
    slm_tokenizer *tokenizer = tokenizer_of_all();
    train__examples examples;
    slm_error err = {0};
    const slm_status status = load(state, tokenizer, s, text, &examples, &err);
    if (status == SLM_OK) fail_msg("taken: %s", text);
    assert_int_equal(status, err.status);
    assert_int_equal(examples.count, 0);
    assert_holds(err.message, first);
    assert_holds(err.message, second);
    slm_tokenizer_free(tokenizer);
}

static void errors_name_file_and_line(void **state)
{
    const setting s = {.tmpl = "chatml"}, on = {.tmpl = "qwen3", .thinking = true};
    char text[1024];
    refuse_file(state, &s, "", "x.jsonl", "no example to learn from");
    refuse_file(state, &s,
                ONE "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
                    "{\"role\":\"assistant\",\"content\":\"\"}]}\n",
                "x.jsonl:2", "nothing to learn");
    refuse_file(state, &s, ONE "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n",
                "x.jsonl:2", "no message of the assistant");
    refuse_file(state, &s, ONE "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}\n",
                "x.jsonl:2", "no messages");
    refuse_file(state, &s, ONE "{\"messages\":[{\"role\":\"user\"}]}\n", "x.jsonl:2",
                "messages[0].content");
    refuse_file(state, &s, ONE "{\"messages\":7}\n", "x.jsonl:2", "messages");
    refuse_file(state, &s, ONE "{\"message\":[]}\n", "x.jsonl:2", "messages");
    refuse_file(state, &s, ONE "not json\n", "x.jsonl:2", "");
    refuse_file(state, &s,
                "{\"messages\":[{\"role\":\"tool\",\"content\":\"a\"},"
                "{\"role\":\"assistant\",\"content\":\"b\"}]}\n",
                "x.jsonl:1", "role 'tool'");
    refuse_file(state, &on, ONE, "x.jsonl:1", "no ideal_thinking");
    snprintf(text, sizeof text, CASE, "");
    refuse_file(state, &on, text, "x.jsonl:1", "no ideal_thinking");
    char *reply = strstr(text, "\"reply\":");
    assert_non_null(reply);
    memcpy(reply, "\"other\":", 8);
    refuse_file(state, &s, text, "x.jsonl:1", "case x-1 has no reply");
}

static void longer_ones_are_left_out_and_counted(void **state)
{
    slm_tokenizer *tokenizer = tokenizer_of_all();
    train__examples examples;
    slm_error err = {0};
    setting s = {.tmpl = "chatml", .max_tokens = 4096};
    assert_int_equal(load(state, tokenizer, &s, LONG, &examples, &err), SLM_OK);
    const size_t first = examples.items[0].len, second = examples.items[1].len;
    char hash[65];
    memcpy(hash, examples.sha256, sizeof hash);
    train__examples_free(&examples);
    s.max_tokens = second - 1;
    assert_int_equal(load(state, tokenizer, &s, LONG, &examples, &err), SLM_OK);
    assert_int_equal(examples.count, 1);
    assert_int_equal(examples.too_long, 1);
    assert_int_equal(examples.items[0].len, first);
    assert_string_not_equal(examples.sha256, hash); /* other data are learnt */
    train__examples_free(&examples);
    s.max_tokens = first;
    assert_int_equal(load(state, tokenizer, &s, LONG, &examples, &err), SLM_OK);
    assert_int_equal(examples.count, 1);
    train__examples_free(&examples);
    s.max_tokens = first - 1;
    assert_int_equal(load(state, tokenizer, &s, LONG, &examples, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "2 are longer than max_tokens");
    slm_tokenizer_free(tokenizer);
}

/* Conversations are held back whole, drawn by what they say and not by where the file lies. */
static void families_are_held_back_whole(void **state)
{
    slm_tokenizer *tokenizer = tokenizer_of_all();
    const setting s = {.tmpl = "chatml"};
    slm_buffer text = {0};
    slm_error err = {0};
    size_t held_before = 0;
    for (int i = 0; i < 200; i++)
        slm_buffer_printf(&text,
                          "{\"messages\":[{\"role\":\"user\",\"content\":\"%03d\"},"
                          "{\"role\":\"assistant\",\"content\":\"a\"},"
                          "{\"role\":\"user\",\"content\":\"b\"},"
                          "{\"role\":\"assistant\",\"content\":\"c\"}]}\n",
                          i);
    for (int again = 0; again < 2; again++) {
        train__examples all, held;
        if (again) slm_buffer_append_text(&text, "\n");
        assert_int_equal(load(state, tokenizer, &s, slm_buffer_text(&text), &all, &err), SLM_OK);
        const uint64_t tokens = all.tokens;
        train__examples_hold_back(&all, 0.2, 7, &held);
        assert_int_equal(all.count + held.count, 400);
        assert_int_equal(all.tokens + held.tokens, tokens);
        assert_true(held.count > 40 && held.count < 120 && held.count % 2 == 0);
        for (size_t i = 0; i < held.count; i += 2)
            assert_int_equal(held.items[i].family, held.items[i + 1].family);
        if (again) assert_int_equal(held.count, held_before);
        held_before = held.count;
        train__examples_free(&held);
        train__examples_free(&all);
    }
    slm_buffer_free(&text);
    slm_tokenizer_free(tokenizer);
}

/* `count` conversations that begin with this text and a number of three digits. */
static train__examples numbered(void **state, slm_tokenizer *tokenizer, const char *begins,
                                int count)
{
    const setting s = {.tmpl = "chatml"};
    train__examples out;
    slm_buffer text = {0};
    slm_error err = {0};
    for (int i = 0; i < count; i++)
        slm_buffer_printf(&text,
                          "{\"messages\":[{\"role\":\"user\",\"content\":\"%s %03d\"},"
                          "{\"role\":\"assistant\",\"content\":\"Reply %.*s\"}]}\n",
                          begins, i, i % 7, "longer");
    if (load(state, tokenizer, &s, slm_buffer_text(&text), &out, &err) != SLM_OK)
        fail_msg("%s", err.message);
    slm_buffer_free(&text);
    return out;
}

/* How many of the examples behind the first `from` have these ids. */
static size_t times(const train__examples *mixed, size_t from, const train__example *e)
{
    size_t count = 0;
    for (size_t i = from; i < mixed->count; i++)
        count += mixed->items[i].len == e->len &&
                 memcmp(mixed->items[i].ids, e->ids, e->len * sizeof *e->ids) == 0;
    return count;
}

/* The share of the whole that was asked for, to the nearest example; each as often as any other, but for
 * one time; behind what was there, which stays as it was. */
static void a_share_is_mixed_in(void **state)
{
    static const struct {
        int count, more;
        double share;
        size_t added;
    } list[] = {{40, 5, 0.2, 10}, {40, 30, 0.2, 10}, {40, 7, 0.5, 40}, {17, 4, 0.15, 3},
                {9, 4, 0.9, 81},  {10, 4, 0.01, 0},  {40, 7, 0, 0}};
    slm_tokenizer *tokenizer = tokenizer_of_all();
    for (size_t l = 0; l < sizeof list / sizeof *list; l++) {
        train__examples all = numbered(state, tokenizer, "All", list[l].count);
        train__examples more = numbered(state, tokenizer, "More", list[l].more);
        const size_t count = all.count, each = list[l].added / more.count;
        const slm_token *last = all.items[count - 1].ids;
        train__examples_mix(&all, &more, list[l].share, 7);
        assert_int_equal(all.count, count + list[l].added);
        assert_ptr_equal(all.items[count - 1].ids, last);
        assert_totals(&all);
        size_t found = 0;
        for (size_t i = 0; i < more.count; i++) {
            const size_t n = times(&all, count, &more.items[i]);
            assert_true(n == each || n == each + 1);
            found += n;
        }
        assert_int_equal(found, list[l].added);
        train__examples_free(&all);
        train__examples_free(&more);
    }
    slm_tokenizer_free(tokenizer);
}

/* The order is drawn by seed and by nothing else; what was mixed in is part of which data they are. */
static void the_mix_is_drawn_by_seed(void **state)
{
    slm_tokenizer *tokenizer = tokenizer_of_all();
    train__examples more = numbered(state, tokenizer, "More", 30);
    train__examples other = numbered(state, tokenizer, "Other", 30);
    train__examples mixed[4];
    size_t same = 0, unmoved = 0;
    for (int i = 0; i < 4; i++) {
        mixed[i] = numbered(state, tokenizer, "All", 30);
        assert_string_not_equal(mixed[i].sha256, more.sha256);
        train__examples_mix(&mixed[i], i == 3 ? &other : &more, 0.5, i == 2 ? 8 : 7);
        assert_int_equal(mixed[i].count, 60);
    }
    for (size_t i = 30; i < 60; i++) {
        assert_ptr_equal(mixed[0].items[i].ids, mixed[1].items[i].ids);
        same += mixed[0].items[i].ids == mixed[2].items[i].ids;
        unmoved += mixed[0].items[i].ids == more.items[i - 30].ids;
    }
    assert_true(same < 15 && unmoved < 15);
    assert_string_equal(mixed[0].sha256, mixed[1].sha256);
    assert_string_not_equal(mixed[0].sha256, mixed[3].sha256);
    for (int i = 0; i < 4; i++)
        train__examples_free(&mixed[i]);
    train__examples_free(&more);
    train__examples_free(&other);
    slm_tokenizer_free(tokenizer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_reply_and_its_end_are_learnt), TEST(thinking_is_prompt_or_learnt),
        TEST(each_reply_is_an_example),         TEST(of_a_case_the_ideal_reply_is_learnt),
        TEST(errors_name_file_and_line),        TEST(longer_ones_are_left_out_and_counted),
        TEST(families_are_held_back_whole),     TEST(a_share_is_mixed_in),
        TEST(the_mix_is_drawn_by_seed),
    };
    return cmocka_run_group_tests_name("train/examples", tests, NULL, NULL);
}
