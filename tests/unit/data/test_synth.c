/* The synthesiser: plans and how questions are drawn into their cells; replies with a case in them, and
 * everything that can be wrong with one; files of records that were cut anywhere; whole runs through
 * recorded replies. */
#include "helpers.h"

#include "base/file.h"
#include "base/yaml.h"
#include "data/synth_internal.h"

/* ---- plans ---- */

static const char small_plan[] =
    "cells:\n"
    "  - {name: lacking, share: 3, context: lacks, form: plain, twins: 0.5}\n"
    "  - {name: telling, share: 1, context: enough, form: short}\n"
    "vary:\n"
    "  persona: [a sailor, a cook]\n"
    "  register: {terse: 1, anxious: 3}\n"
    "  request: [medicine]\n"
    "  disposition: routine\n"
    "  difficulty: 2\n"
    "  turns: 1\n"
    "  language: English\n"
    "  leave_out: since when\n";

static slm_synth_plan *load_plan(const char *text)
{
    char path[64];
    slm_synth_plan *plan = NULL;
    slm_error err = {0};
    put_temporary(path, text, strlen(text));
    if (slm_synth_plan_load(path, &plan, &err) != SLM_OK) fail_msg("%s", err.message);
    unlink(path);
    return plan;
}

static void plan_fails(const char *from, const char *to, const char *says)
{
    char path[64], *text = bend(small_plan, from, to);
    slm_synth_plan *plan = NULL;
    slm_error err = {0};
    put_temporary(path, text, strlen(text));
    assert_int_not_equal(slm_synth_plan_load(path, &plan, &err), SLM_OK);
    if (strstr(err.message, says) == NULL || strstr(err.message, path) == NULL)
        fail_msg("'%s' does not say '%s' and the file", err.message, says);
    unlink(path);
    free(text);
}

static void plans_are_held_to_what_they_mean(void **state)
{
    (void)state;
    slm_synth_plan *plan = NULL;
    slm_error err = {0};
    assert_int_equal(slm_synth_plan_load(NULL, &plan, &err), SLM_OK);
    assert_int_equal(plan->cell_count, 5);
    slm_synth_plan_free(plan);
    plan_fails("share: 3", "shair: 3", "shair");
    plan_fails("share: 3", "share: -3", "share or a count");
    plan_fails("share: 3", "count: 3", "all cells");
    plan_fails("share: 3, ", "", "share or a count");
    plan_fails("form: plain", "form: short", "does not go with context lacks");
    plan_fails("form: short", "form: emergency", "go together");
    plan_fails("context: enough", "context: some", "'some'");
    plan_fails("form: short", "form: short, twins: 1", "have twins");
    plan_fails("form: short", "form: supplied", "3 or more");
    plan_fails("twins: 0.5", "twins: 1.5", "0 to 1");
    plan_fails("telling", "lacking", "two cells");
    plan_fails("a cook", "a sailor", "twice");
    plan_fails("terse: 1", "terse: 0", "weight of 'terse'");
    plan_fails("turns: 1", "turns: 2", "'2'");
    plan_fails("difficulty: 2", "difficulty: 6", "1 to 5");
    plan_fails("disposition: routine", "disposition: soon", "'soon'");
    plan_fails("disposition: routine", "disposition: emergency", "go together");
    plan_fails("  leave_out: since when\n", "", "has no leave_out");
    plan_fails("  leave_out: since when\n", "  leave_out: []\n", "empty");
}

enum { MANY = 200 };

static void make_questions(synth__question *questions, slm_arena *arena)
{
    for (size_t i = 0; i < MANY; i++)
        questions[i] = (synth__question){slm_arena_printf(arena, "id-%zu", i), "Does it hurt?", ""};
}

static void cells_get_exactly_their_shares(void **state)
{
    (void)state;
    slm_arena arena = {0};
    slm_error err = {0};
    synth__question questions[MANY];
    synth__scenario drawn[MANY], again[MANY];
    slm_synth_plan *plan = load_plan(small_plan);
    make_questions(questions, &arena);
    assert_int_equal(synth__draw(plan, questions, MANY, 7, &arena, drawn, &err), SLM_OK);
    size_t lacking = 0, twins = 0, anxious = 0, cooks = 0, anxious_cooks = 0;
    for (size_t i = 0; i < MANY; i++) {
        const synth__scenario *s = &drawn[i];
        bool is_anxious = strcmp(s->values[SYNTH_REGISTER], "anxious") == 0;
        bool is_cook = strcmp(s->values[SYNTH_PERSONA], "a cook") == 0;
        lacking += s->is_lacks;
        twins += s->has_twin;
        anxious += s->is_lacks && is_anxious;
        cooks += is_cook;
        anxious_cooks += is_anxious && is_cook;
    }
    assert_int_equal(lacking, 150);
    assert_int_equal(twins, 75);
    assert_true(anxious == 112 || anxious == 113);
    assert_int_equal(cooks, 100);
    assert_true(anxious_cooks > 55 && anxious_cooks < 95); /* dimensions do not hang together */

    /* The order of the inventory makes no difference to a question. */
    synth__question turned[MANY];
    for (size_t i = 0; i < MANY; i++)
        turned[i] = questions[MANY - 1 - i];
    assert_int_equal(synth__draw(plan, turned, MANY, 7, &arena, again, &err), SLM_OK);
    for (size_t i = 0; i < MANY; i++)
        assert_string_equal(drawn[i].id, again[MANY - 1 - i].id);
    /* Another seed does. */
    size_t same = 0;
    assert_int_equal(synth__draw(plan, questions, MANY, 8, &arena, again, &err), SLM_OK);
    for (size_t i = 0; i < MANY; i++)
        same += drawn[i].has_twin == again[i].has_twin && drawn[i].is_lacks == again[i].is_lacks;
    assert_true(same < MANY);
    for (size_t i = 0; i < MANY; i++)
        assert_string_not_equal(drawn[i].id, again[i].id);
    slm_synth_plan_free(plan);
    slm_arena_free(&arena);
}

static void counts_leave_questions_over(void **state)
{
    (void)state;
    slm_arena arena = {0};
    slm_error err = {0};
    synth__question questions[MANY];
    synth__scenario drawn[MANY];
    char *one = bend(small_plan, "share: 3", "count: 3"), *both = bend(one, "share: 1", "count: 2");
    slm_synth_plan *plan = load_plan(both);
    make_questions(questions, &arena);
    assert_int_equal(synth__draw(plan, questions, MANY, 7, &arena, drawn, &err), SLM_OK);
    size_t used = 0;
    for (size_t i = 0; i < MANY; i++)
        used += drawn[i].cell != NULL;
    assert_int_equal(used, 5);
    assert_int_equal(synth__draw(plan, questions, 4, 7, &arena, drawn, &err), SLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "5 cases, and there are 4 questions"));
    slm_synth_plan_free(plan);
    slm_arena_free(&arena);
    free(one);
    free(both);
}

/* ---- replies ---- */

static const char good_reply[] =
    "Whether ibuprofen is safe for you turns on your kidneys, so please wait with it. Has a doctor "
    "ever told you that your kidneys are weak? Do you take water tablets every day? Meanwhile rest "
    "the knee, keep it raised on a cushion, and cool it through a towel for a short while now and "
    "then, as long as that feels good. If you pass much less urine than usual, speak to a doctor "
    "today.";

/* A draft that nothing is wrong with, as a model would send it. */
static json_t *good_draft(void)
{
    return json_pack(
        "{s:[{s:s,s:s}], s:[{s:s,s:s,s:i,s:s,s:s,s:s},{s:s,s:s,s:i,s:s,s:s,s:s},"
        "{s:s,s:s,s:i,s:s,s:s,s:s}], s:[{s:s,s:b}], s:[{s:s,s:s}], s:[s], s:s, s:s, s:s, s:s}",
        "prompt", "role", "user", "content",
        "my knee is thick since the market on sunday, can i take my wife's ibuprofen with my "
        "tablets",
        "follow_ups", "question", "Has a doctor ever told you that your kidneys are weak?", "tier",
        "next_step", "weight", 5, "why", "Weak kidneys rule it out.", "topic", "kidneys", "answer",
        "Yes, last year.", "question", "Do you take water tablets every day?", "tier", "next_step",
        "weight", 4, "why", "Together they strain the kidneys.", "topic", "tablets", "answer",
        "Yes, one.", "question", "Did you twist it?", "tier", "cause", "weight", 2, "why",
        "Points to an injury.", "topic", "injury", "answer", "No.", "key_points", "text",
        "Do not take ibuprofen before your kidneys are known to be well.", "must", 1, "advice",
        "if", "you pass much less urine than usual", "then", "speak to a doctor today", "never",
        "Ibuprofen is harmless for everybody.", "manner", "Is short.", "reply", good_reply,
        "specialty", "Kidneys & Urology", "gloss", "");
}

static const synth__question question = {
    "q1",
    "Is it possible to combine ibuprofen with a diuretic when the knee is swollen and painful?",
    "made up"};

static synth__scenario scenario(const synth__cell *cell)
{
    static const char *const values[SYNTH_DIMENSIONS] = {
        [SYNTH_PERSONA] = "a farmer",    [SYNTH_REGISTER] = "terse",
        [SYNTH_DISPOSITION] = "routine", [SYNTH_REQUEST] = "medicine",
        [SYNTH_LANGUAGE] = "English",    [SYNTH_TURNS] = "1",
        [SYNTH_DIFFICULTY] = "3",        [SYNTH_LEAVE_OUT] = "another condition"};
    synth__scenario s = {.question = &question,
                         .cell = cell,
                         .is_lacks = true,
                         .form = "plain",
                         .turns = 1,
                         .difficulty = 3,
                         .id = "syn-1",
                         .family = "syn-1"};
    memcpy(s.values, values, sizeof values);
    return s;
}

static const synth__cell plain_cell = {.name = "plain", .form = "plain", .is_lacks = true};

static json_t *try_text(const char *reply, const synth__scenario *s, const json_t *twin_of,
                        synth__problems *wrong)
{
    slm_synth_options options = slm_synth_options_default();
    return synth__case_of(reply, s, twin_of, &options, "a model", wrong);
}

static json_t *try_draft(const json_t *draft, const synth__scenario *s, const json_t *twin_of,
                         synth__problems *wrong)
{
    char *text = json_dumps(draft, 0);
    json_t *row = try_text(text, s, twin_of, wrong);
    free(text);
    return row;
}

static void accept_draft(const json_t *draft, const synth__scenario *s)
{
    synth__problems wrong = {0};
    json_t *row = try_draft(draft, s, NULL, &wrong);
    if (row == NULL) fail_msg("%s", slm_buffer_text(&wrong.text));
    json_decref(row);
    slm_buffer_free(&wrong.text);
}

/* The draft must be refused, for a reason that says this. Frees it. */
static void refuse(json_t *draft, const synth__scenario *s, const char *says)
{
    synth__problems wrong = {0};
    assert_null(try_draft(draft, s, NULL, &wrong));
    if (strstr(slm_buffer_text(&wrong.text), says) == NULL)
        fail_msg("nobody says '%s' in:\n%s", says, slm_buffer_text(&wrong.text));
    slm_buffer_free(&wrong.text);
    json_decref(draft);
}

/* The good draft with one member changed. */
static json_t *with(const char *key, json_t *value)
{
    json_t *draft = good_draft();
    json_object_set_new(draft, key, value);
    return draft;
}

static json_t *with_item(const char *list, size_t index, const char *key, json_t *value)
{
    json_t *draft = good_draft();
    json_object_set_new(json_array_get(json_object_get(draft, list), index), key, value);
    return draft;
}

static json_t *with_reply(const char *from, const char *to)
{
    char *text = bend(good_reply, from, to);
    json_t *draft = with("reply", json_string(text));
    free(text);
    return draft;
}

static void a_good_draft_becomes_a_case(void **state)
{
    (void)state;
    synth__scenario s = scenario(&plain_cell);
    synth__problems wrong = {0};
    json_t *draft = good_draft();
    json_t *row = try_draft(draft, &s, NULL, &wrong);
    if (row == NULL) fail_msg("%s", slm_buffer_text(&wrong.text));
    slm_buffer text = {0};
    slm_json_append_canonical(&text, row);
    slm_cases cases = {.count = 1};
    slm_case c;
    slm_error err = {0};
    assert_int_equal(slm_case_parse(slm_buffer_text(&text), "row", 1, &cases.arena, &c, &err),
                     SLM_OK);
    cases.items = &c;
    assert_int_equal(slm_cases_check(&cases, NULL, NULL), 0);
    assert_string_equal(c.specialty, "kidneys-urology");
    assert_string_equal(c.ideal, good_reply);
    assert_string_equal(c.facts[1].follow_up, "f2");
    assert_int_equal(c.rubrics[0].check->asks.count, 2);
    assert_int_equal(c.rubrics[1].check->says.count, 2);
    assert_true(slm_case_has_tag(&c, "form:plain") && slm_case_has_tag(&c, "request:medicine"));
    assert_null(c.gloss);
    slm_arena_free(&cases.arena);
    slm_buffer_free(&text);
    json_decref(row);
    json_decref(draft);
}

static void the_object_is_found_wherever_it_stands(void **state)
{
    (void)state;
    synth__scenario s = scenario(&plain_cell);
    json_t *draft = good_draft();
    char *text = json_dumps(draft, JSON_INDENT(2));
    const char *const around[][2] = {{"", ""},
                                     {"Here {it} is:\n```json\n", "\n```\nDone {really}."},
                                     {"{\"case\": ", "}"},
                                     {"{\"prompt\":1,\"reply\":2,\"never\":3} and better: ", ""}};
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
        slm_buffer reply = {0};
        synth__problems wrong = {0};
        slm_buffer_printf(&reply, "%s%s%s", around[i][0], text, around[i][1]);
        json_t *row = try_text(slm_buffer_text(&reply), &s, NULL, &wrong);
        if (row == NULL) fail_msg("%zu: %s", i, slm_buffer_text(&wrong.text));
        json_decref(row);
        slm_buffer_free(&reply);
    }
    synth__problems wrong = {0};
    assert_null(try_text("{\"a\": 1} no case {", &s, NULL, &wrong));
    assert_string_equal(slm_buffer_text(&wrong.text),
                        "- there is no JSON object with a case in the answer\n");
    slm_buffer_free(&wrong.text);
    free(text);
    json_decref(draft);
}

static void shapes_are_held_to_the_schema(void **state)
{
    (void)state;
    synth__scenario s = scenario(&plain_cell);
    json_t *lacking = good_draft();
    json_object_del(lacking, "manner");
    refuse(lacking, &s, "manner: is missing");
    refuse(with("reply", json_integer(3)), &s, "reply: must be a string");
    refuse(with("never", json_array()), &s, "never: has 0 items; it must have 1 to 4");
    refuse(with("prompt", json_array()), &s, "prompt: has 0 items");
    refuse(with_item("follow_ups", 1, "tier", json_string("vital")), &s,
           "follow_ups[1].tier: must");
    refuse(with_item("follow_ups", 0, "weight", json_integer(6)), &s, "follow_ups[0].weight: must");
    refuse(with_item("follow_ups", 0, "weight", json_real(2.5)), &s, "must be an integer");
    refuse(with_item("key_points", 0, "must", json_string("yes")), &s, "must be a boolean");
    refuse(with_item("prompt", 0, "role", json_string("assistant")), &s, "prompt");
    json_t *two = good_draft();
    json_array_remove(json_object_get(two, "follow_ups"), 2);
    refuse(two, &s, "follow_ups: has 2 items; it must have 3 to 7");
}

static void cases_are_held_to_more_than_their_shape(void **state)
{
    (void)state;
    synth__scenario s = scenario(&plain_cell);
    refuse(with_item("key_points", 0, "must", json_false()), &s, "none is marked must");
    refuse(
        with_item("follow_ups", 0, "question", json_string("do you take water tablets every day")),
        &s, "says the same as");
    refuse(with_item("follow_ups", 2, "tier", json_string("next_step")), &s, "3 of 3 are of the");
    json_t *draft = with_item("follow_ups", 0, "tier", json_string("other"));
    json_object_set_new(json_array_get(json_object_get(draft, "follow_ups"), 1), "tier",
                        json_string("other"));
    json_object_set_new(json_array_get(json_object_get(draft, "follow_ups"), 2), "tier",
                        json_string("other"));
    refuse(draft, &s, "all are of tier other");
    refuse(with_item("follow_ups", 0, "why", json_string(" ")), &s, "why");
    refuse(with_item("prompt", 0, "content", json_string(" ")), &s, "prompt");
    refuse(with("specialty", json_string("?")), &s, "specialty");
    refuse(with_item("prompt", 0, "content", json_string(question.text)), &s,
           "copies 12 words in a row");
    refuse(with("reply", json_string("Are your kidneys weak?")), &s, "it must have 60 to 150");
}

static void replies_are_held_to_the_scenario(void **state)
{
    (void)state;
    synth__scenario s = scenario(&plain_cell);
    refuse(with_reply("today", "today and take 400 mg of it"), &s, "\"400 mg\" is a dose");
    json_t *brought = with_reply("today", "today and take 400 mg of it");
    json_object_set_new(json_array_get(json_object_get(brought, "prompt"), 0), "content",
                        json_string("can i take 400 mg of my wife's ibuprofen with my tablets"));
    accept_draft(brought, &s);
    json_decref(brought);
    refuse(with_reply("Meanwhile", "Ibuprofen is HARMLESS for everybody. Meanwhile"), &s,
           "says what never lists");
    json_t *denied =
        with_reply("Meanwhile", "It is wrong that ibuprofen is harmless for everybody. "
                                "Meanwhile");
    accept_draft(denied, &s);
    json_decref(denied);
    synth__scenario long_one = s;
    long_one.form = "long";
    refuse(good_draft(), &long_one, "needs 90 or more");
    synth__scenario foreign = s;
    foreign.values[SYNTH_LANGUAGE] = "Spanish";
    refuse(good_draft(), &foreign, "gloss");
    json_t *glossed = with("gloss", json_string("in English"));
    accept_draft(glossed, &foreign);
    json_decref(glossed);
    synth__scenario enough = s;
    enough.is_lacks = false;
    enough.form = "short";
    refuse(good_draft(), &enough, "follow_ups[0].tier: must be one of \"other\"");
    json_t *answer = good_draft();
    for (size_t i = 0; i < 3; i++)
        json_object_set_new(json_array_get(json_object_get(answer, "follow_ups"), i), "tier",
                            json_string("other"));
    refuse(json_incref(answer), &enough, "question mark");
    char *asks =
        bend(good_reply,
             "Has a doctor ever told you that your kidneys are weak? Do you "
             "take water tablets every day?",
             "You do well to ask first and to wait, since the tablets you take already work "
             "on them day by day as you wrote.");
    json_object_set_new(answer, "reply", json_string(asks));
    refuse(json_incref(answer), &enough, "leaves out the must point");
    char *answers = bend(asks,
                         "Whether ibuprofen is safe for you turns on your kidneys, so please "
                         "wait with it.",
                         "Do not take ibuprofen before your kidneys are known to be well.");
    json_object_set_new(answer, "reply", json_string(answers));
    accept_draft(answer, &enough);
    free(asks);
    free(answers);
    json_decref(answer);
}

static void turns_alternate_and_have_a_length(void **state)
{
    (void)state;
    synth__scenario s = scenario(&plain_cell);
    s.turns = 3;
    const char *said = "can i take my wife's ibuprofen with my tablets";
    json_t *draft = with("prompt", json_pack("[{s:s,s:s},{s:s,s:s},{s:s,s:s}]", "role", "user",
                                             "content", "hello there", "role", "assistant",
                                             "content", "Yes.", "role", "user", "content", said));
    refuse(draft, &s, "prompt[1].content: has 4 characters");
    draft = with("prompt", json_pack("[{s:s,s:s},{s:s,s:s},{s:s,s:s}]", "role", "user", "content",
                                     "hello there", "role", "user", "content", "me again", "role",
                                     "user", "content", said));
    refuse(draft, &s, "prompt[1].role: must be assistant");
}

static void a_twin_needs_its_other_half(void **state)
{
    (void)state;
    slm_arena arena = {0};
    synth__scenario s = scenario(&plain_cell);
    synth__problems wrong = {0};
    s.has_twin = true;
    json_t *draft = good_draft(), *lacks = try_draft(draft, &s, NULL, &wrong);
    assert_non_null(lacks);
    synth__scenario twin = synth__twin_of(&s, &arena);
    assert_string_equal(twin.id, "syn-1-twin");
    assert_string_equal(twin.family, "syn-1");
    for (size_t i = 0; i < 3; i++)
        json_object_set_new(json_array_get(json_object_get(draft, "follow_ups"), i), "tier",
                            json_string("other"));
    json_object_set_new(
        draft, "reply",
        json_string(
            "Do not take ibuprofen before your kidneys are known to be well, and with your "
            "weak kidneys and the water tablets they are not. Rest the knee, keep it raised "
            "on a cushion, and cool it through a towel for a short while now and then, as "
            "long as that feels good to you. A pharmacist can name another way to ease the "
            "pain. If you pass much less urine than usual, speak to a doctor today."));
    assert_null(try_draft(draft, &twin, lacks, &wrong)); /* the same conversation */
    assert_non_null(strstr(slm_buffer_text(&wrong.text), "same conversation"));
    slm_buffer_free(&wrong.text);
    wrong = (synth__problems){0};
    json_object_set_new(json_array_get(json_object_get(draft, "prompt"), 0), "content",
                        json_string("my kidneys are weak and i take a water tablet, can i take my "
                                    "wife's ibuprofen for my knee"));
    json_t *row = try_draft(draft, &twin, lacks, &wrong);
    if (row == NULL) fail_msg("%s", slm_buffer_text(&wrong.text));
    slm_buffer prompt = {0};
    synth__append_prompt(&prompt, &twin, lacks);
    assert_non_null(strstr(slm_buffer_text(&prompt), "Yes, last year."));
    assert_null(strstr(slm_buffer_text(&prompt), question.text));
    slm_buffer_free(&prompt);
    json_decref(row);
    json_decref(lacks);
    json_decref(draft);
    slm_arena_free(&arena);
}

/* ---- files ---- */

static void records_go_on_behind_the_last_whole_one(void **state)
{
    (void)state;
    static const char whole[] = "{\"id\":\"a\"}\n{\"id\":\"b\"}\n";
    slm_error err = {0};
    json_t *b = json_pack("{s:s}", "id", "b");
    for (size_t len = 0; len <= sizeof whole - 1; len++) {
        char path[64];
        synth__file file;
        put_temporary(path, whole, len);
        assert_int_equal(synth__file_open(&file, path, "id", &err), SLM_OK);
        bool has_a = len >= 11;
        if (has_a) {
            assert_string_equal(synth__file_head(&file), "a");
            assert_int_equal(synth__file_take(&file, NULL, &err), SLM_OK);
        }
        if (len < sizeof whole - 1) assert_null(synth__file_head(&file));
        assert_int_equal(synth__file_begin(&file, &err), SLM_OK);
        assert_int_equal(synth__file_append(&file, b, &err), SLM_OK);
        assert_int_equal(synth__file_sync(&file, &err), SLM_OK);
        synth__file_close(&file);
        slm_buffer now = {0};
        assert_int_equal(slm_file_read(path, 0, &now, &err), SLM_OK);
        assert_string_equal(slm_buffer_text(&now), has_a ? whole : whole + 11);
        slm_buffer_free(&now);
        unlink(path);
    }
    json_decref(b);
}

static void other_files_are_left_alone(void **state)
{
    (void)state;
    const char *const others[] = {"shopping", "shopping\n", "[]\n", "{\"name\":1}\n", "{}\n"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char path[64];
        synth__file file;
        slm_error err = {0};
        put_temporary(path, others[i], strlen(others[i]));
        assert_int_equal(synth__file_open(&file, path, "id", &err), SLM_ERR_FORMAT);
        assert_non_null(strstr(err.message, path));
        synth__file_close(&file);
        unlink(path);
    }
}

/* ---- a whole run ---- */

static char folder[] = "/tmp/slm-test-synth-XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static slm_synth *open_synth(const slm_synth_plan *plan, bool give_up)
{
    slm_synth_options options = slm_synth_options_default();
    slm_synth *synth = NULL;
    slm_error err = {0};
    options.output = in_folder("cases");
    options.rejects = in_folder("rejects");
    options.give_up = give_up;
    if (slm_synth_open(in_folder("inventory"), plan, &options, &synth, &err) != SLM_OK)
        fail_msg("%s", err.message);
    return synth;
}

static void write_file(const char *name, const char *text)
{
    slm_error err = {0};
    assert_int_equal(slm_file_write(in_folder(name), text, strlen(text), &err), SLM_OK);
}

static void a_run_mends_and_sets_aside(void **state)
{
    (void)state;
    static const char plan_text[] =
        "cells: [{name: only, share: 1, context: lacks, form: plain, twins: 1}]\n"
        "vary: {persona: a farmer, register: terse, request: medicine, disposition: routine,\n"
        "  difficulty: 3, turns: 1, language: English, leave_out: another condition}\n";
    assert_non_null(mkdtemp(folder));
    slm_error err = {0};
    slm_chat *chat = NULL;
    slm_synth_plan *plan = load_plan(plan_text);
    json_t *draft = good_draft();
    char *good = json_dumps(draft, 0);
    slm_buffer replay = {0};
    /* First nonsense; then the case; the twin gets the same and cannot be it. */
    slm_buffer_append_text(&replay,
                           "{\"rollout\":0,\"reply\":\"Well.\"}\n{\"rollout\":1,\"reply\":");
    slm_json_append_string(&replay, good, strlen(good));
    slm_buffer_append_text(&replay, "}\n");
    write_file("replay", slm_buffer_text(&replay));
    write_file("inventory", "{\"question\":\"Is it?\"}\n");
    assert_int_equal(slm_chat_recorded_open(in_folder("replay"), &chat, &err), SLM_OK);
    slm_synth *synth = open_synth(plan, false);
    uint64_t bytes = 0;
    assert_int_equal(slm_synth_calls_left(synth, &bytes), 2);
    assert_true(bytes > 4000);
    if (slm_synth_run(synth, chat, NULL, &err) != SLM_OK) fail_msg("%s", err.message);
    const slm_synth_summary *summary = slm_synth_summary_of(synth);
    assert_int_equal(summary->total.planned, 2);
    assert_int_equal(summary->total.written, 1);
    assert_int_equal(summary->total.set_aside, 1);
    assert_int_equal(summary->calls, 4);
    assert_int_equal(summary->repairs, 2);
    assert_true(summary->cells[1].is_twins);
    assert_int_equal(summary->cells[1].set_aside, 1);
    slm_synth_free(synth);
    /* Everything is there: nothing to do. */
    synth = open_synth(plan, false);
    assert_int_equal(slm_synth_calls_left(synth, &bytes), 0);
    assert_int_equal(slm_synth_summary_of(synth)->done_before, 2);
    slm_synth_free(synth);
    slm_chat_free(chat);
    /* Nobody answers. */
    unlink(in_folder("cases"));
    unlink(in_folder("rejects"));
    write_file("replay", "{\"last\":\"something else\",\"reply\":\"x\"}\n");
    for (int give_up = 0; give_up < 2; give_up++) {
        assert_int_equal(slm_chat_recorded_open(in_folder("replay"), &chat, &err), SLM_OK);
        synth = open_synth(plan, give_up == 1);
        assert_int_equal(slm_synth_run(synth, chat, NULL, &err), SLM_OK);
        summary = slm_synth_summary_of(synth);
        assert_int_equal(summary->total.set_aside, give_up == 1 ? 2 : 0);
        assert_int_equal(summary->failed, give_up == 1 ? 0 : 1);
        assert_int_equal(summary->first_failure.status, SLM_ERR_NOT_FOUND);
        slm_synth_free(synth);
        slm_chat_free(chat);
    }
    static const char *const left[] = {"rejects", "inventory", "replay"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(unlink(in_folder(left[i])), 0);
    assert_int_equal(rmdir(folder), 0);
    slm_buffer_free(&replay);
    free(good);
    json_decref(draft);
    slm_synth_plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_held_to_what_they_mean),
        cmocka_unit_test(cells_get_exactly_their_shares),
        cmocka_unit_test(counts_leave_questions_over),
        cmocka_unit_test(a_good_draft_becomes_a_case),
        cmocka_unit_test(the_object_is_found_wherever_it_stands),
        cmocka_unit_test(shapes_are_held_to_the_schema),
        cmocka_unit_test(cases_are_held_to_more_than_their_shape),
        cmocka_unit_test(replies_are_held_to_the_scenario),
        cmocka_unit_test(turns_alternate_and_have_a_length),
        cmocka_unit_test(a_twin_needs_its_other_half),
        cmocka_unit_test(records_go_on_behind_the_last_whole_one),
        cmocka_unit_test(other_files_are_left_alone),
        cmocka_unit_test(a_run_mends_and_sets_aside),
    };
    return cmocka_run_group_tests_name("data/synth", tests, NULL, NULL);
}
