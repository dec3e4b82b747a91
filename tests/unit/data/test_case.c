/* One row: every field where it belongs, and for everything that can be wrong with one an error that
 * names file, line and field. */
#include "helpers.h"

static slm_arena arena;

static int teardown(void **state)
{
    (void)state;
    slm_arena_free(&arena);
    return 0;
}

static slm_case parse(const char *json)
{
    slm_case c;
    slm_error err = {0};
    if (slm_case_parse(json, "f.jsonl", 7, &arena, &c, &err) != SLM_OK) fail_msg("%s", err.message);
    return c;
}

/* The whole case with one change must be refused, at `place`, with `words`. */
static void refused(const char *from, const char *to, const char *place, const char *words)
{
    slm_case c = {0};
    slm_error err = {0};
    char *json = bend(whole_case, from, to);
    slm_status status = slm_case_parse(json, "f.jsonl", 7, &arena, &c, &err);
    free(json);
    if (status == SLM_OK) fail_msg("%s was accepted", to);
    assert_int_equal(status, SLM_ERR_FORMAT);
    assert_int_equal(err.status, SLM_ERR_FORMAT);
    char begin[256];
    snprintf(begin, sizeof begin, "f.jsonl:7: %s: ", place);
    if (strncmp(err.message, begin, strlen(begin)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", err.message, begin);
    assert_holds(err.message, words);
    assert_null(c.id); /* nothing was written */
}

static void every_field_arrives(void **state)
{
    (void)state;
    slm_case c = parse(whole_case);
    assert_string_equal(c.id, "a-1");
    assert_string_equal(c.file, "f.jsonl");
    assert_int_equal(c.line, 7);
    assert_string_equal(c.family, "knee");
    assert_int_equal(c.turn_count, 3);
    assert_string_equal(c.turns[1].role, "assistant");
    assert_string_equal(c.turns[2].content, "Can I run on Sunday?");
    assert_int_equal(c.rubric_count, 3);
    assert_string_equal(c.rubrics[0].criterion, "Asks what decides.");
    assert_true(c.rubrics[0].points == 7.0 && c.rubrics[2].points == -2.0);
    assert_int_equal(c.rubrics[0].behaviour, SLM_BEHAVIOUR_SEEK);
    assert_int_equal(c.rubrics[1].behaviour, SLM_BEHAVIOUR_SAFE);
    assert_int_equal(c.rubrics[2].behaviour, SLM_BEHAVIOUR_NONE);
    assert_int_equal(c.rubrics[0].tag_count, 2);
    assert_int_equal(c.rubrics[0].check->asks.count, 2);
    assert_string_equal(c.rubrics[0].check->asks.ids[1], "f2");
    assert_string_equal(c.rubrics[1].check->says.ids[0], "s1");
    assert_string_equal(c.rubrics[1].check->avoids.ids[0], "n1");
    assert_null(c.rubrics[2].check);
    assert_int_equal(c.tag_count, 2);
    assert_true(slm_case_has_tag(&c, "theme:context_seeking"));
    assert_false(slm_case_has_tag(&c, "theme"));
    assert_string_equal(c.ideal, "Is it swollen?");
    assert_int_equal(c.context, SLM_CONTEXT_LACKS);
    assert_int_equal(c.disposition, SLM_DISPOSITION_SELF_CARE);
    assert_int_equal(c.difficulty, 2);
    assert_int_equal(c.follow_up_count, 3);
    assert_int_equal(c.follow_ups[2].tier, SLM_TIER_CAUSE);
    assert_int_equal(c.follow_ups[0].weight, 5);
    assert_string_equal(c.follow_ups[0].why, "swelling decides");
    assert_string_equal(c.facts[1].follow_up, "f2");
    assert_string_equal(c.facts[1].topic, "bending");
    assert_true(c.key_points[0].must);
    assert_false(c.key_points[1].must);
    assert_string_equal(c.advice[0].if_text, "it locks");
    assert_string_equal(c.advice[0].then_text, "see a doctor");
    assert_string_equal(c.never[0].text, "Run through the pain.");
    assert_string_equal(c.register_name, "terse");
    assert_string_equal(c.licence, "Apache-2.0");
    assert_null(c.reply);
    assert_null(c.gloss);
}

static void ids_find_their_items(void **state)
{
    (void)state;
    slm_case c = parse(whole_case);
    assert_string_equal(slm_case_follow_up(&c, "f3")->question, "Did you fall?");
    assert_string_equal(slm_case_key_point(&c, "k2")->text, "Ice helps.");
    assert_string_equal(slm_case_advice(&c, "s1")->if_text, "it locks");
    assert_string_equal(slm_case_never(&c, "n1")->id, "n1");
    assert_null(slm_case_follow_up(&c, "k1"));
    assert_null(slm_case_key_point(&c, "s1"));
    assert_null(slm_case_advice(&c, "f1"));
    assert_null(slm_case_never(&c, ""));
    assert_int_equal(slm_case_highest_tier(&c), SLM_TIER_NEXT_STEP);
    slm_case bare = {0};
    assert_int_equal(slm_case_highest_tier(&bare), SLM_TIER_OTHER);
}

static void a_healthbench_row_is_a_case(void **state)
{
    (void)state;
    slm_case c = parse("{\"example_tags\":[\"theme:hedging\"],\"ideal_completions_data\":null,"
                       "\"prompt\":[{\"content\":\"Hi\",\"role\":\"user\"}],\"prompt_id\":\"x\","
                       "\"rubrics\":[{\"criterion\":\"Greets.\",\"points\":3,\"tags\":[]}]}");
    assert_string_equal(c.family, "x"); /* a family of one */
    assert_int_equal(c.context, SLM_CONTEXT_NONE);
    assert_int_equal(c.disposition, SLM_DISPOSITION_NONE);
    assert_int_equal(c.difficulty, 0);
    assert_null(c.ideal);
    assert_int_equal(c.follow_up_count + c.fact_count + c.key_point_count + c.never_count, 0);
}

static void unknown_fields_are_kept_and_ignored(void **state)
{
    (void)state;
    char *json = bend(whole_case, "\"prompt_id\"", "\"zebra\":{\"b\":1,\"a\":[2.5]},\"prompt_id\"");
    slm_case c = parse(json), plain = parse(whole_case);
    free(json);
    assert_holds(c.json, "\"zebra\":{\"a\":[2.5],\"b\":1}");
    assert_string_equal(c.family, plain.family);
    /* The canonical text reads back as the same case. */
    slm_case again = parse(c.json);
    assert_string_equal(again.json, c.json);
    assert_int_equal(again.rubric_count, 3);
}

static void wrong_conversations(void **state)
{
    (void)state;
    refused("\"prompt_id\":\"a-1\",", "", "prompt_id", "missing");
    refused("\"prompt_id\":\"a-1\"", "\"prompt_id\":3", "prompt_id", "string");
    refused("\"prompt_id\":\"a-1\"", "\"prompt_id\":\" \"", "prompt_id", "empty");
    refused("\"prompt\":[", "\"prompt\":[],\"was\":[", "prompt", "at least one turn");
    refused("\"prompt\":[", "\"prompt\":\"text\",\"was\":[", "prompt", "array");
    refused("{\"role\":\"user\",\"content\":\"My knee hurts.\"}", "\"hello\"", "prompt[0]",
            "object");
    refused("\"role\":\"assistant\"", "\"role\":\"doctor\"", "prompt[1].role",
            "'doctor' is none of system, user, assistant");
    refused("\"content\":\"Rest it.\"", "\"text\":\"Rest it.\"", "prompt[1].content", "missing");
    refused("{\"role\":\"user\",\"content\":\"Can I", "{\"role\":\"assistant\",\"content\":\"Can I",
            "prompt[2].role", "must be the user's");
    refused("Can I run on Sunday?", "", "prompt[2].content", "empty");
}

static void wrong_rubrics(void **state)
{
    (void)state;
    refused("\"rubrics\":[", "\"rubrics\":null,\"was\":[", "rubrics", "array");
    refused("\"points\":7", "\"points\":0", "rubrics[0].points", "must not be 0");
    refused("\"points\":7", "\"points\":\"7\"", "rubrics[0].points", "number");
    refused("\"criterion\":\"Is rude.\"", "\"criterion\":\"\"", "rubrics[2].criterion", "empty");
    refused("[\"axis:communication_quality\"]", "[1]", "rubrics[2].tags[0]", "string");
    refused("behaviour:seek", "behaviour:seak", "rubrics[0].tags[0]", "no behaviour");
    refused("axis:context_awareness", "behaviour:act", "rubrics[0].tags[1]", "one behaviour");
    refused("{\"asks\":[\"f1\",\"f2\"]}", "[]", "rubrics[0].check", "object");
    refused("{\"asks\":[\"f1\",\"f2\"]}", "{\"ask\":[\"f1\"]}", "rubrics[0].check.ask", "unknown");
    refused("{\"asks\":[\"f1\",\"f2\"]}", "{\"asks\":[]}", "rubrics[0].check", "needs asks");
    refused("\"says\":[\"s1\",\"k1\"],", "", "rubrics[1].check", "needs says");
    refused("[\"axis:communication_quality\"]", "[],\"check\":{}", "rubrics[2].check",
            "checks nothing");
    refused("\"asks\":[\"f1\",\"f2\"]", "\"asks\":[\"f1\",\"f9\"]", "rubrics[0].check.asks[1]",
            "no 'f9' among the case's follow_ups");
    refused("\"asks\":[\"f1\",\"f2\"]", "\"asks\":[\"k1\"]", "rubrics[0].check.asks[0]", "no 'k1'");
    refused("\"says\":[\"s1\",\"k1\"]", "\"says\":[\"n1\"]", "rubrics[1].check.says[0]",
            "key_points or advice");
    refused("\"avoids\":[\"n1\"]", "\"avoids\":[\"k1\"]", "rubrics[1].check.avoids[0]", "never");
    refused("\"asks\":[\"f1\",\"f2\"]", "\"asks\":[\"f1\",\"f1\"]", "rubrics[0].check.asks[1]",
            "twice");
}

static void wrong_fields_of_ours(void **state)
{
    (void)state;
    refused("\"context\":\"lacks\"", "\"context\":\"lack\"", "context",
            "'lack' is none of lacks, enough");
    refused("\"disposition\":\"self-care\"", "\"disposition\":\"home\"", "disposition", "none of");
    refused("\"difficulty\":2", "\"difficulty\":6", "difficulty",
            "6 is out of bounds; it must be 1 to 5");
    refused("\"difficulty\":2", "\"difficulty\":2.5", "difficulty", "whole number");
    refused("\"weight\":5", "\"weight\":0", "follow_ups[0].weight", "1 to 5");
    refused("\"tier\":\"cause\"", "\"tier\":\"because\"", "follow_ups[2].tier",
            "emergency, next_step");
    refused("\"tier\":\"cause\",", "", "follow_ups[2].tier", "missing");
    refused("\"id\":\"f2\",", "\"id\":\"f1\",", "follow_ups[1].id",
            "already stands at follow_ups[0]");
    refused("\"follow_up\":\"f3\"", "\"follow_up\":\"f4\"", "facts[2].follow_up", "no 'f4'");
    refused("\"must\":true", "\"must\":1", "key_points[0].must", "true or false");
    refused("\"id\":\"s1\",\"if\"", "\"id\":\"k2\",\"if\"", "advice[0].id", "key point's id too");
    refused("\"if\":\"it locks\"", "\"if\":\"\"", "advice[0].if", "empty");
    refused("\"then\":", "\"do\":", "advice[0].then", "missing");
    refused("\"text\":\"Run through the pain.\"", "\"text\":false", "never[0].text", "string");
    refused("\"language\":\"en\"", "\"language\":[\"en\"]", "language", "string");
    refused("\"ideal_completion\":\"Is", "\"ideal_completion\":7,\"x\":\"Is",
            "ideal_completions_data.ideal_completion", "string");
}

static void what_is_no_json(void **state)
{
    (void)state;
    slm_case c;
    slm_error err = {0};
    assert_int_equal(slm_case_parse("[]", "db", 1, &arena, &c, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, "must be a JSON object");
    assert_int_equal(slm_case_parse("{\"prompt_id\":\"a\"", "db", 3, &arena, &c, &err),
                     SLM_ERR_FORMAT);
    assert_holds(err.message, "db:3:");
    assert_int_equal(slm_case_parse("{\"prompt_id\":\"\xff\"}", "db", 3, &arena, &c, &err),
                     SLM_ERR_FORMAT);
    assert_holds(err.message, "db:3:");
    assert_int_equal(slm_case_parse("{\"a\":1,\"a\":2}", "db", 3, &arena, &c, &err),
                     SLM_ERR_FORMAT);
    assert_int_equal(slm_case_parse("", "db", 1, &arena, &c, NULL), SLM_ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_arrives),
        cmocka_unit_test(ids_find_their_items),
        cmocka_unit_test(a_healthbench_row_is_a_case),
        cmocka_unit_test(unknown_fields_are_kept_and_ignored),
        cmocka_unit_test(wrong_conversations),
        cmocka_unit_test(wrong_rubrics),
        cmocka_unit_test(wrong_fields_of_ours),
        cmocka_unit_test(what_is_no_json),
    };
    return cmocka_run_group_tests_name("data/case", tests, NULL, teardown);
}
