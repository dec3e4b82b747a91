/* Remote models without a network: where a MODEL leads, which key goes there, what is written and what
 * is read by each API's format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "provider/remote_internal.h"

#define KEY "sk-0123456789abcdef"

/* ---- where a MODEL leads ---- */

static const char *environment(void *context, const char *variable)
{
    (void)context;
    static const char *const pairs[][2] = {{"OPENAI_API_KEY", KEY "-openai"},
                                           {"ANTHROPIC_API_KEY", KEY "-anthropic"},
                                           {"AZURE_OPENAI_API_KEY", KEY "-azure"},
                                           {"AWS_BEARER_TOKEN_BEDROCK", KEY "-bedrock"},
                                           {"MINE", KEY "-mine"},
                                           {"BROKEN", "sk-\n"},
                                           {"EMPTY", ""}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (strcmp(pairs[i][0], variable) == 0) return pairs[i][1];
    }
    return NULL;
}

static void assert_leads(const char *model, const char *key_env, const char *url, const char *key)
{
    slm_remote_settings settings = {.secret = environment, .key_env = key_env, .retries = -1};
    remote__target target;
    slm_error err = {0};
    if (remote__target_read(model, &settings, &target, &err) != SLM_OK ||
        remote__target_key(&target, &settings, &err) != SLM_OK)
        fail_msg("%s: %s", model, err.message);
    assert_string_equal(remote__target_url(&target, false), url);
    if (key == NULL) {
        assert_null(target.key);
    } else {
        assert_non_null(target.key);
        assert_string_equal(target.key + strlen(KEY), key);
    }
    remote__target_free(&target);
}

static void a_model_leads_to_its_host_with_its_key(void **state)
{
    (void)state;
    assert_leads("openai:gpt-4.1", NULL, "https://api.openai.com/v1/chat/completions", "-openai");
    assert_leads("openai:m@https://API.OpenAI.com/v1/", NULL,
                 "https://api.openai.com/v1/chat/completions", "-openai");
    assert_leads("openai:m@https://a.example", NULL, "https://a.example/v1/chat/completions", NULL);
    assert_leads("openai:m@https://a.example/api", "MINE", "https://a.example/api/chat/completions",
                 "-mine");
    assert_leads("openai:a@b@http://127.0.0.1:80/v1", NULL,
                 "http://127.0.0.1:80/v1/chat/completions", NULL);
    assert_leads("openai:x@http://y@https://a.example/v1", NULL,
                 "https://a.example/v1/chat/completions", NULL);
    assert_leads("openai:m", "MINE", "https://api.openai.com/v1/chat/completions", "-openai");
    assert_leads("azure:d@https://r.openai.azure.com", NULL,
                 "https://r.openai.azure.com/openai/deployments/d/chat/completions"
                 "?api-version=2024-10-21",
                 "-azure");
    assert_leads("anthropic:claude", NULL, "https://api.anthropic.com/v1/messages", "-anthropic");
    assert_leads("bedrock:maker.m-v1:0@eu-central-1", NULL,
                 "https://bedrock-runtime.eu-central-1.amazonaws.com/model/maker.m-v1%3A0/converse",
                 "-bedrock");
}

static void a_key_stays_with_its_host(void **state)
{
    (void)state;
    static const char *const strangers[] = {
        "openai:m@https://api.openai.com.example/v1",
        "openai:m@https://xapi.openai.com/v1",
        "openai:m@https://api.openai.com:8443/v1",
        "openai:m@http://api.openai.com/v1",
        "azure:d@https://openai.azure.com.example",
        "azure:d@https://xopenai.azure.com",
        "anthropic:m@https://api.anthropic.com.example",
        "bedrock:m@https://mine.s3.amazonaws.com",
        "bedrock:m@https://bedrock-runtime.eu-central-1.amazonaws.com.example",
        "bedrock:m@https://bedrock-runtime.a.b.amazonaws.com",
    };
    slm_remote_settings settings = {.secret = environment};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        remote__target target;
        slm_error err = {0};
        assert_int_equal(remote__target_read(strangers[i], &settings, &target, &err), SLM_OK);
        assert_int_equal(remote__target_key(&target, &settings, &err), SLM_OK);
        if (target.key != NULL) fail_msg("%s gets %s", strangers[i], target.key_variable);
        remote__target_free(&target);
    }
}

static void assert_refused(const char *model, const char *key_env, const char *part)
{
    slm_remote_settings settings = {.secret = environment, .key_env = key_env};
    slm_chat *chat = NULL;
    slm_error err = {0};
    if (slm_chat_remote_open(model, &settings, &chat, &err) == SLM_OK)
        fail_msg("%s is taken", model);
    assert_null(chat);
    if (strstr(err.message, part) == NULL) fail_msg("'%s' is not in '%s'", part, err.message);
    assert_null(strstr(err.message, KEY));
}

static void wrong_models_are_refused_with_a_remedy(void **state)
{
    (void)state;
    assert_refused("openai:", NULL, "openai:NAME");
    assert_refused("openai:@https://a.example", NULL, "openai:NAME");
    assert_refused("azure:d", NULL, "NAME.openai.azure.com");
    assert_refused("azure:d@https://r.openai.azure.com?key=1", NULL, "api-version");
    assert_refused("openai:m@https://a.example?key=1", NULL, "with a query");
    assert_refused("bedrock:m", NULL, "bedrock:NAME@REGION");
    assert_refused("bedrock:m@nowhere", NULL, "region");
    assert_refused("bedrock:m@eu-1.evil.example/", NULL, "region");
    assert_refused("openai:m@http://u:p@a.example", NULL, "user or password");
    assert_refused("openai:m@https:///v1", NULL, "without a host");
    assert_refused("openai:m@https://a.example/#x", NULL, "does not belong");
    assert_refused("openai:m@http://192.0.2.1/v1", "MINE", "plain http");
    assert_refused("openai:m@http://127.0.0.2/v1", "MINE", "plain http");
    assert_refused("openai:m@http://127.0.0.1.example/v1", "MINE", "plain http");
    assert_refused("openai:m@https://a.example", "UNSET", "UNSET");
    assert_refused("openai:m@https://a.example", "EMPTY", "EMPTY");
    assert_refused("openai:m@https://a.example", "BROKEN", "line break");
}

/* ---- what is written ---- */

static const slm_chat_message talk[] = {{"system", "Be \"kind\"."},
                                        {"user", "Hello"},
                                        {"user", "Again"},
                                        {"assistant", "Yes?"},
                                        {"user", "Bye"}};

static json_t *body_of(const char *model, const slm_chat_request *request, remote__dialect dialect)
{
    slm_remote_settings settings = {.secret = environment};
    remote__target target;
    slm_error err = {0};
    slm_buffer body = {0};
    assert_int_equal(remote__target_read(model, &settings, &target, &err), SLM_OK);
    const remote__api *api = remote__api_of(target.kind);
    if (api->check(&target, request, &err) != SLM_OK) fail_msg("%s", err.message);
    api->body(&target, request, &dialect, 5, &body);
    json_t *root = json_loadb(body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    if (root == NULL) fail_msg("not JSON: %s", body.data);
    slm_buffer_free(&body);
    remote__target_free(&target);
    return root;
}

static void assert_body(const char *model, const slm_chat_request *request, remote__dialect dialect,
                        const char *wanted)
{
    json_t *root = body_of(model, request, dialect), *want = json_loads(wanted, 0, NULL);
    assert_non_null(want);
    slm_buffer got = {0};
    slm_json_append_canonical(&got, root);
    if (!json_equal(root, want)) fail_msg("%s\nis not\n%s", slm_buffer_text(&got), wanted);
    slm_buffer_free(&got);
    json_decref(root);
    json_decref(want);
}

static slm_chat_request request_of(void)
{
    slm_chat_request request = {.messages = talk,
                                .message_count = 5,
                                .n = 1,
                                .case_id = "",
                                .sampling = slm_chat_sampling_default()};
    request.sampling.max_tokens = 50;
    return request;
}

static void openai_is_written(void **state)
{
    (void)state;
    static const char messages[] =
        "\"messages\":[{\"role\":\"system\",\"content\":\"Be \\\"kind\\\".\"},"
        "{\"role\":\"user\",\"content\":\"Hello\"},{\"role\":\"user\",\"content\":\"Again\"},"
        "{\"role\":\"assistant\",\"content\":\"Yes?\"},{\"role\":\"user\",\"content\":\"Bye\"}]";
    char wanted[2000];
    slm_chat_request request = request_of();
    snprintf(wanted, sizeof wanted,
             "{\"model\":\"m\",\"max_completion_tokens\":50,\"seed\":5,\"temperature\":0.7,%s}",
             messages);
    assert_body("openai:m", &request, (remote__dialect){0}, wanted);
    snprintf(wanted, sizeof wanted, "{\"model\":\"m\",\"max_tokens\":50,\"temperature\":0.7,%s}",
             messages);
    assert_body("openai:m", &request, (remote__dialect){.old_max_tokens = true, .no_seed = true},
                wanted);
    request.sampling.presence_penalty = 0.5;
    request.sampling.frequency_penalty = -0.5;
    request.sampling.repetition_penalty = 1.1;
    request.sampling.thinking = true;
    snprintf(wanted, sizeof wanted,
             "{\"model\":\"m\",\"max_completion_tokens\":50,\"seed\":5,\"temperature\":0.7,%s,"
             "\"presence_penalty\":0.5,\"frequency_penalty\":-0.5,\"repetition_penalty\":1.1,"
             "\"repeat_penalty\":1.1,\"chat_template_kwargs\":{\"enable_thinking\":true}}",
             messages);
    assert_body("openai:m@https://a.example", &request, (remote__dialect){0}, wanted);
}

static void a_schema_is_strict_only_where_it_can_be(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        bool strict;
    } tests[] = {
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"boolean\"}},\"required\":[\"a\"],"
         "\"additionalProperties\":false}",
         true},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"boolean\"}},\"required\":[\"a\"]}",
         false},
        {"{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},\"required\":[\"a\"],"
         "\"additionalProperties\":false}",
         false},
        {"{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{}}}", false},
    };
    slm_chat_request request = request_of();
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        request.json_schema = tests[i].schema;
        json_t *root = body_of("openai:m", &request, (remote__dialect){0});
        json_t *format = json_object_get(root, "response_format");
        assert_string_equal(json_string_value(json_object_get(format, "type")), "json_schema");
        json_t *inner = json_object_get(format, "json_schema");
        assert_int_equal(json_is_true(json_object_get(inner, "strict")), tests[i].strict);
        json_t *schema = json_loads(tests[i].schema, 0, NULL);
        assert_true(json_equal(json_object_get(inner, "schema"), schema));
        json_decref(schema);
        json_decref(root);
    }
}

static void anthropic_and_bedrock_are_written(void **state)
{
    (void)state;
    slm_chat_request request = request_of();
    request.json_schema = "{\"type\":\"object\"}";
    request.sampling.temperature = 1;
    assert_body("anthropic:m", &request, (remote__dialect){0},
                "{\"model\":\"m\",\"max_tokens\":50,\"system\":\"Be \\\"kind\\\".\","
                "\"temperature\":1,\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"},"
                "{\"role\":\"user\",\"content\":\"Again\"},{\"role\":\"assistant\",\"content\":"
                "\"Yes?\"},{\"role\":\"user\",\"content\":\"Bye\"}],\"tools\":[{\"name\":\"reply\","
                "\"description\":\"The reply, in full.\",\"input_schema\":{\"type\":\"object\"}}],"
                "\"tool_choice\":{\"type\":\"tool\",\"name\":\"reply\"}}");
    assert_body("bedrock:m@eu-west-1", &request, (remote__dialect){0},
                "{\"system\":[{\"text\":\"Be \\\"kind\\\".\"}],\"messages\":[{\"role\":\"user\","
                "\"content\":[{\"text\":\"Hello\"},{\"text\":\"Again\"}]},{\"role\":\"assistant\","
                "\"content\":[{\"text\":\"Yes?\"}]},{\"role\":\"user\",\"content\":[{\"text\":"
                "\"Bye\"}]}],\"inferenceConfig\":{\"maxTokens\":50,\"temperature\":1},"
                "\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"reply\",\"description\":"
                "\"The reply, in full.\",\"inputSchema\":{\"json\":{\"type\":\"object\"}}}}],"
                "\"toolChoice\":{\"tool\":{\"name\":\"reply\"}}}}");
    request.json_schema = NULL;
    request.sampling.thinking = true;
    request.sampling.max_tokens = 4096;
    json_t *root = body_of("anthropic:m", &request, (remote__dialect){0});
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(root, "thinking"), "budget_tokens")),
        2048);
    json_decref(root);
}

static void what_an_api_lacks_is_said(void **state)
{
    (void)state;
    slm_remote_settings settings = {.secret = environment};
    slm_chat_request request = request_of();
    static const char *const models[] = {"openai:m", "anthropic:m", "bedrock:m@eu-west-1"};
    for (size_t i = 0; i < 3; i++) {
        remote__target target;
        slm_error err = {0};
        assert_int_equal(remote__target_read(models[i], &settings, &target, &err), SLM_OK);
        const remote__api *api = remote__api_of(target.kind);
        request.sampling = slm_chat_sampling_default();
        assert_int_equal(api->check(&target, &request, &err), SLM_OK);
        request.sampling.repetition_penalty = 1.2;
        assert_int_equal(api->check(&target, &request, &err), SLM_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.message, "--repetition-penalty"));
        assert_non_null(strstr(err.message, target.host));
        if (i > 0) {
            slm_chat_request alone = request;
            alone.sampling = slm_chat_sampling_default();
            alone.message_count = 1;
            assert_int_equal(api->check(&target, &alone, &err), SLM_ERR_UNSUPPORTED);
        }
        remote__target_free(&target);
    }
}

/* ---- what is read ---- */

static void assert_parsed(const remote__api *api, const char *body, slm_chat_finish finish,
                          const char *text, const char *reasoning, const int64_t tokens[4])
{
    remote__parsed parsed;
    slm_error err = {0};
    if (remote__parse_reply(api, body, strlen(body), NULL, &parsed, &err) != SLM_OK)
        fail_msg("%s: %s", err.message, body);
    assert_int_equal(parsed.finish, finish);
    assert_string_equal(slm_buffer_text(&parsed.text), text);
    assert_int_equal(parsed.has_reasoning, reasoning != NULL);
    if (reasoning != NULL) assert_string_equal(slm_buffer_text(&parsed.reasoning), reasoning);
    assert_int_equal(parsed.prompt_tokens, tokens[0]);
    assert_int_equal(parsed.cached_tokens, tokens[1]);
    assert_int_equal(parsed.reply_tokens, tokens[2]);
    assert_int_equal(parsed.reasoning_tokens, tokens[3]);
    remote__parsed_free(&parsed);
}

static const int64_t untold[4] = {-1, -1, -1, -1};

static void openai_is_read(void **state)
{
    (void)state;
    const remote__api *api = &remote__openai;
    assert_parsed(api,
                  "{\"choices\":[{\"message\":{\"content\":\"Hi\",\"reasoning_content\":\"Hm\"},"
                  "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":9,"
                  "\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":4},"
                  "\"completion_tokens_details\":{\"reasoning_tokens\":2}}}",
                  SLM_CHAT_LENGTH, "Hi", "Hm", (int64_t[]){9, 4, 3, 2});
    assert_parsed(api, "{\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"No.\"}}]}",
                  SLM_CHAT_REFUSED, "No.", NULL, untold);
    assert_parsed(api, "{\"choices\":[{\"message\":{},\"finish_reason\":\"content_filter\"}]}",
                  SLM_CHAT_REFUSED, "", NULL, untold);
    assert_parsed(api, "{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":null}]}",
                  SLM_CHAT_STOP, "", NULL, untold);
    assert_parsed(api,
                  "{\"choices\":[{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                  "{\"type\":\"text\",\"text\":\"b\"}],\"reasoning\":\"r\"}}],\"usage\":"
                  "{\"prompt_tokens\":-1,\"completion_tokens\":1e300}}",
                  SLM_CHAT_STOP, "ab", "r", untold);
    assert_parsed(api, "{\"choices\":[{\"message\":{\"content\":\"a\\u0000b\xff\"}}]}",
                  SLM_CHAT_STOP,
                  "a\xEF\xBF\xBD"
                  "b\xEF\xBF\xBD",
                  NULL, untold);
}

static void anthropic_is_read(void **state)
{
    (void)state;
    const remote__api *api = &remote__anthropic;
    assert_parsed(api,
                  "{\"content\":[{\"type\":\"thinking\",\"thinking\":\"Hm\"},{\"type\":\"text\","
                  "\"text\":\"Hi\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":5,"
                  "\"cache_read_input_tokens\":3,\"cache_creation_input_tokens\":2,"
                  "\"output_tokens\":7}}",
                  SLM_CHAT_STOP, "Hi", "Hm", (int64_t[]){10, 3, 7, -1});
    assert_parsed(api, "{\"content\":[],\"stop_reason\":\"refusal\"}", SLM_CHAT_REFUSED, "", NULL,
                  untold);
    assert_parsed(api, "{\"content\":[],\"stop_reason\":\"max_tokens\"}", SLM_CHAT_LENGTH, "", NULL,
                  untold);
    assert_parsed(api,
                  "{\"content\":[{\"type\":\"tool_use\",\"input\":{\"b\":1,\"a\":true}},"
                  "{\"type\":\"tool_use\"},{\"type\":7}],\"stop_reason\":\"tool_use\"}",
                  SLM_CHAT_STOP, "{\"a\":true,\"b\":1}", NULL, untold);
}

static void bedrock_is_read(void **state)
{
    (void)state;
    const remote__api *api = &remote__bedrock;
    assert_parsed(api,
                  "{\"output\":{\"message\":{\"content\":[{\"reasoningContent\":{\"reasoningText\":"
                  "{\"text\":\"Hm\"}}},{\"text\":\"Hi\"}]}},\"stopReason\":\"max_tokens\","
                  "\"usage\":{\"inputTokens\":5,\"outputTokens\":7,\"cacheReadInputTokens\":1}}",
                  SLM_CHAT_LENGTH, "Hi", "Hm", (int64_t[]){6, 1, 7, -1});
    assert_parsed(api,
                  "{\"output\":{\"message\":{\"content\":[{\"toolUse\":{\"input\":{\"a\":1}}}]}},"
                  "\"stopReason\":\"guardrail_intervened\"}",
                  SLM_CHAT_REFUSED, "{\"a\":1}", NULL, untold);
}

static void what_is_no_reply_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *body, *part;
    } tests[] = {
        {"", "empty"},
        {"{\"choices\":[{", "not JSON"},
        {"[1]", "not an object"},
        {" <!DOCTYPE html><html>", "HTML"},
        {"plain\033[31m words", "plain [31m words"},
        {"{}", "choices"},
        {"{\"choices\":{}}", "choices"},
        {"{\"choices\":[{\"message\":{\"content\":3}}]}", "no text"},
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        remote__parsed parsed;
        slm_error err = {0};
        assert_int_equal(remote__parse_reply(&remote__openai, tests[i].body, strlen(tests[i].body),
                                             "text/plain", &parsed, &err),
                         SLM_ERR_FORMAT);
        remote__parsed_free(&parsed);
        if (strstr(err.message, tests[i].part) == NULL)
            fail_msg("'%s' is not in '%s'", tests[i].part, err.message);
    }
}

static void errors_of_every_form_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *body, *message, *code;
    } tests[] = {
        {"{\"error\":{\"message\":\"m\\n1\",\"code\":\"c\",\"param\":\"p\"}}", "m 1", "c"},
        {"{\"error\":{\"message\":\"m\",\"code\":502}}", "m", "502"},
        {"{\"error\":\"text\"}", "text", ""},
        {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}", "m",
         ""},
        {"{\"message\":\"m\",\"__type\":\"ThrottlingException\"}", "m", ""},
        {"{\"detail\":[{\"msg\":\"m\"}]}", "m", ""},
        {"{\"detail\":\"m\"}", "m", ""},
        {"{\"error\":{\"message\":\"m\",\"innererror\":{\"code\":\"inner\"}}}", "m", "inner"},
        {"<html>x", "an HTML page", ""},
        {"just words", "just words", ""},
        {"", "", ""},
        {"{\"error\":{\"message\":\"the key is " KEY "\",\"code\":\"" KEY "\"}}",
         "the key is *******************", "*******************"},
        {"{\"error\":{\"message\":\"\\u0073k-0123456789abcdef\"}}", "*******************", ""},
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        remote__problem problem;
        remote__read_problem(tests[i].body, strlen(tests[i].body), KEY, &problem);
        assert_string_equal(problem.message, tests[i].message);
        assert_string_equal(problem.code, tests[i].code);
    }
}

static void long_messages_are_cut_at_a_character(void **state)
{
    (void)state;
    char text[600], out[40];
    for (size_t i = 0; i + 3 <= sizeof text; i += 3)
        memcpy(text + i, "\xE2\x82\xAC", 3);
    remote__one_line(text, sizeof text, out, sizeof out);
    assert_true(strlen(out) < sizeof out);
    assert_string_equal(out + strlen(out) - 3, "...");
    assert_int_equal((strlen(out) - 3) % 3, 0);
    remote__one_line("a\xE2\x80\xAE"
                     "b\x7F\r\n c ",
                     11, out, sizeof out);
    assert_string_equal(out, "a b c");
}

/* ---- money ---- */

static void a_limit_is_not_passed(void **state)
{
    (void)state;
    slm_budget budget = {.limit_usd = 1};
    assert_true(slm_budget_reserve(&budget, 0.6));
    assert_false(slm_budget_reserve(&budget, 0.5));
    assert_true(slm_budget_reserve(&budget, 0.4));
    slm_budget_settle(&budget, 0.6, 0.1);
    assert_true(slm_budget_reserve(&budget, 0.5));
    slm_budget_settle(&budget, 0.4, 0.4);
    slm_budget_settle(&budget, 0.5, 0.5);
    assert_true(budget.reserved_usd == 0);
    assert_false(slm_budget_reserve(&budget, 0.01));
    assert_true(fabs(slm_budget_left_usd(&budget)) < 1e-12);
    slm_budget open = {0};
    assert_true(slm_budget_reserve(&open, 1e9));
    assert_true(isinf(slm_budget_left_usd(&open)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_leads_to_its_host_with_its_key),
        cmocka_unit_test(a_key_stays_with_its_host),
        cmocka_unit_test(wrong_models_are_refused_with_a_remedy),
        cmocka_unit_test(openai_is_written),
        cmocka_unit_test(a_schema_is_strict_only_where_it_can_be),
        cmocka_unit_test(anthropic_and_bedrock_are_written),
        cmocka_unit_test(what_an_api_lacks_is_said),
        cmocka_unit_test(openai_is_read),
        cmocka_unit_test(anthropic_is_read),
        cmocka_unit_test(bedrock_is_read),
        cmocka_unit_test(what_is_no_reply_is_said),
        cmocka_unit_test(errors_of_every_form_are_read),
        cmocka_unit_test(long_messages_are_cut_at_a_character),
        cmocka_unit_test(a_limit_is_not_passed),
    };
    return cmocka_run_group_tests_name("provider/remote", tests, NULL, NULL);
}
