/* Recording and replaying: what was answered comes back, by rollout and case, whatever order it came in
 * and however the file was left; endpoints files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "provider/endpoints.h"
#include "provider/record.h"

static char folder[] = "/tmp/slm-test-record-XXXXXX";
static char source[300], record[300];

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(source, sizeof source, "%s/source.jsonl", folder);
    snprintf(record, sizeof record, "%s/record.jsonl", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(source);
    unlink(record);
    return rmdir(folder);
}

static int clean(void **state)
{
    (void)state;
    unlink(record);
    return 0;
}

static void write_file(const char *path, const char *text)
{
    slm_error err = {0};
    assert_int_equal(slm_file_write(path, text, strlen(text), &err), SLM_OK);
}

static slm_chat *replay(const char *path)
{
    slm_chat *chat = NULL;
    slm_error err = {0};
    if (slm_chat_recorded_open(path, &chat, &err) != SLM_OK) fail_msg("%s", err.message);
    return chat;
}

static slm_chat *recording_of(const char *lines)
{
    slm_error err = {0};
    slm_chat *chat = NULL;
    write_file(source, lines);
    slm_chat *inner = replay(source);
    if (slm_chat_record_open(inner, record, &chat, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_ptr_equal(slm_chat_record_inner(chat), inner);
    return chat;
}

/* Asks for n replies from rollout `first` on and joins them with '|'. */
static void assert_answers(slm_chat *chat, const char *text, const char *case_id, uint32_t first,
                           uint32_t n, const char *wanted)
{
    slm_chat_message message = {.role = "user", .content = text};
    slm_chat_request request = {.messages = &message,
                                .message_count = 1,
                                .n = n,
                                .first_rollout = first,
                                .case_id = case_id,
                                .sampling = slm_chat_sampling_default()};
    slm_error err = {0};
    slm_buffer got = {0};
    uint64_t ticket;
    char *replies[16] = {NULL};
    assert_int_equal(slm_chat_submit(chat, &request, &ticket, &err), SLM_OK);
    for (uint32_t i = 0; i < n; i++) {
        slm_chat_reply *reply = NULL;
        assert_int_equal(slm_chat_poll(chat, -1, &reply, &err), SLM_OK);
        assert_int_equal(reply->ticket, ticket);
        const char *shown = reply->finish == SLM_CHAT_ERROR ? reply->error.message : reply->text;
        replies[reply->index] = strdup(shown);
        slm_chat_reply_free(reply);
    }
    for (uint32_t i = 0; i < n; i++) {
        slm_buffer_printf(&got, "%s%s", i > 0 ? "|" : "", replies[i]);
        free(replies[i]);
    }
    if (strstr(slm_buffer_text(&got), wanted) == NULL)
        fail_msg("'%s' is not in '%s'", wanted, slm_buffer_text(&got));
    slm_buffer_free(&got);
}

static void what_was_answered_comes_back(void **state)
{
    (void)state;
    slm_chat *chat =
        recording_of("{\"reply\":\"a\",\"usage\":{\"prompt_tokens\":3,\"reply_tokens\":1}}\n"
                     "{\"reply\":\"b\",\"reasoning\":\"r\",\"finish\":\"length\"}\n"
                     "{\"reply\":\"no network\",\"finish\":\"error\"}\n");
    assert_answers(chat, "one", "c1", 4, 2, "b|"); /* rollout 5 is the third line: an error */
    assert_answers(chat, "one", "c1", 0, 2, "a|b");
    slm_chat_free(chat);
    struct stat info;
    assert_int_equal(stat(record, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    chat = replay(record);
    assert_answers(chat, "one", "c1", 0, 2, "a|b");
    assert_answers(chat, "one", "c1", 4, 1, "b");
    assert_answers(chat, "one", "c1", 5, 1, "no network");
    assert_answers(chat, "one", "c1", 2, 1, "rollout 2 of this request was not recorded");
    assert_answers(chat, "two", "c1", 0, 1, "no line answers this request");
    slm_chat_message message = {.role = "user", .content = "one"};
    slm_chat_request request = {
        .messages = &message, .message_count = 1, .n = 2, .sampling = slm_chat_sampling_default()};
    slm_chat_reply *reply = NULL;
    assert_int_equal(slm_chat_submit(chat, &request, NULL, NULL), SLM_OK);
    assert_int_equal(slm_chat_poll(chat, -1, &reply, NULL), SLM_OK);
    assert_int_equal(reply->prompt_tokens, 3);
    assert_int_equal(reply->cached_tokens, -1);
    assert_int_equal(reply->reply_tokens, 1);
    slm_chat_reply_free(reply);
    assert_int_equal(slm_chat_poll(chat, -1, &reply, NULL), SLM_OK);
    assert_int_equal(reply->finish, SLM_CHAT_LENGTH);
    assert_string_equal(reply->reasoning, "r");
    slm_chat_reply_free(reply);
    slm_chat_free(chat);
}

static void the_last_line_of_a_rollout_and_its_own_case_count(void **state)
{
    (void)state;
    write_file(record,
               "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"rollout\":1,"
               "\"case\":\"a\",\"reply\":\"old\"}\n"
               "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"rollout\":1,"
               "\"case\":\"b\",\"reply\":\"other\"}\n"
               "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"rollout\":1,"
               "\"case\":\"a\",\"reply\":\"new\"}\n"
               "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"reply\":\"any\"}\n");
    slm_chat *chat = replay(record);
    assert_answers(chat, "q", "a", 1, 1, "new");
    assert_answers(chat, "q", "b", 1, 1, "other");
    assert_answers(chat, "q", NULL, 0, 1, "any");
    slm_chat_free(chat);
}

static void an_end_that_was_cut_is_mended(void **state)
{
    (void)state;
    write_file(record, "{\"reply\":\"whole\"}\n{\"reply\":\"cu");
    slm_chat *chat = recording_of("{\"reply\":\"a\"}\n");
    assert_answers(chat, "q", NULL, 0, 1, "a");
    slm_chat_free(chat);
    chat = replay(record);
    assert_answers(chat, "q", NULL, 0, 1, "a");
    assert_answers(chat, "x", NULL, 0, 1, "whole");
    slm_chat_free(chat);
    write_file(record, "{\"reply\":\"no newline\"}");
    chat = recording_of("{\"reply\":\"a\"}\n");
    assert_answers(chat, "q", NULL, 0, 1, "a");
    slm_chat_free(chat);
    chat = replay(record);
    assert_answers(chat, "x", NULL, 0, 1, "no newline");
    slm_chat_free(chat);
    /* A half line longer than a block. */
    char *half = malloc(20000);
    memset(half, 'x', 20000);
    memcpy(half, "{\"reply\":\"first\"}\n{\"reply\":\"", 28);
    half[19999] = '\0';
    write_file(record, half);
    free(half);
    chat = recording_of("{\"reply\":\"a\"}\n");
    slm_chat_free(chat);
    slm_buffer left = {0};
    assert_int_equal(slm_file_read(record, 0, &left, NULL), SLM_OK);
    assert_string_equal(left.data, "{\"reply\":\"first\"}\n");
    slm_buffer_free(&left);
}

static void two_models_in_one_file_are_told_apart(void **state)
{
    (void)state;
    slm_chat *chat = NULL;
    slm_error err = {0};
    char path[400];
    write_file(record, "{\"reply\":\"a\",\"model\":\"openai:a#1\"}\n{\"reply\":\"b\",\"model\":"
                       "\"openai:b\"}\n");
    assert_int_equal(slm_chat_recorded_open(record, &chat, &err), SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "#MODEL"));
    snprintf(path, sizeof path, "%s#openai:a#1", record);
    chat = replay(path);
    assert_answers(chat, "q", NULL, 0, 2, "a|a");
    slm_chat_free(chat);
    snprintf(path, sizeof path, "%s#openai:c", record);
    assert_int_equal(slm_chat_recorded_open(path, &chat, &err), SLM_ERR_FORMAT);
    assert_int_not_equal(slm_chat_recorded_open("/nonexistent#x", &chat, &err), SLM_OK);
    assert_non_null(strstr(err.message, "/nonexistent#x"));
}

static void a_recording_that_cannot_be_written_is_told(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_chat *chat = NULL;
    write_file(source, "{\"reply\":\"a\"}\n");
    assert_int_equal(slm_chat_record_open(replay(source), "/nonexistent/r", &chat, &err),
                     SLM_ERR_IO);
    assert_null(chat);
    assert_non_null(strstr(err.message, "/nonexistent/r"));
    /* A full disk. */
    assert_int_equal(slm_chat_record_open(replay(source), "/dev/full", &chat, &err), SLM_OK);
    slm_chat_message message = {.role = "user", .content = "q"};
    slm_chat_request request = {
        .messages = &message, .message_count = 1, .n = 1, .sampling = slm_chat_sampling_default()};
    slm_chat_reply *reply = NULL;
    assert_int_equal(slm_chat_submit(chat, &request, NULL, &err), SLM_OK);
    assert_int_equal(slm_chat_poll(chat, -1, &reply, &err), SLM_ERR_IO);
    assert_null(reply);
    assert_non_null(strstr(err.message, "/dev/full"));
    slm_chat_free(chat);
}

static void cancelling_goes_through(void **state)
{
    (void)state;
    slm_chat *chat = recording_of("{\"reply\":\"a\"}\n");
    slm_chat_message message = {.role = "user", .content = "q"};
    slm_chat_request request = {
        .messages = &message, .message_count = 1, .n = 2, .sampling = slm_chat_sampling_default()};
    uint64_t ticket;
    assert_int_equal(slm_chat_submit(chat, &request, &ticket, NULL), SLM_OK);
    slm_chat_cancel(chat, ticket);
    for (int i = 0; i < 2; i++) {
        slm_chat_reply *reply = NULL;
        assert_int_equal(slm_chat_poll(chat, -1, &reply, NULL), SLM_OK);
        assert_int_equal(reply->finish, SLM_CHAT_CANCELLED);
        slm_chat_reply_free(reply);
    }
    slm_chat_free(chat);
    slm_buffer left = {0};
    assert_int_equal(slm_file_read(record, 0, &left, NULL), SLM_OK);
    assert_int_equal(left.len, 0); /* nothing was answered, so nothing is recorded */
    slm_buffer_free(&left);
}

static void vectors_are_recorded_too(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_embed *embed = NULL, *inner = NULL;
    write_file(source, "{\"reply\":\"a chat's\"}\n{\"text\":\"a\",\"vector\":[0.6,0.8]}\n"
                       "{\"text\":\"b\",\"vector\":[0.1,-0.99498743]}\n");
    if (slm_embed_recorded_open(source, &inner, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_int_equal(slm_embed_record_open(inner, record, &embed, &err), SLM_OK);
    assert_int_equal(embed->dimensions, 2);
    const char *const texts[] = {"b", "a"};
    float out[4], again[4];
    assert_int_equal(slm_embed_run(embed, texts, 2, out, &err), SLM_OK);
    assert_true(out[2] == 0.6f && out[3] == 0.8f);
    const char *const unknown[] = {"c"};
    assert_int_equal(slm_embed_run(embed, unknown, 1, again, &err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "source.jsonl"));
    assert_int_equal(slm_embed_run(embed, unknown, 0, again, &err), SLM_OK);
    slm_embed_free(embed);
    assert_int_equal(slm_embed_recorded_open(record, &embed, &err), SLM_OK);
    assert_int_equal(slm_embed_run(embed, texts, 2, again, &err), SLM_OK);
    assert_memory_equal(out, again, sizeof out);
    slm_embed_free(embed);
    write_file(source, "{\"text\":\"a\",\"vector\":[1,0]}\n{\"text\":\"b\",\"vector\":[1]}\n");
    assert_int_equal(slm_embed_recorded_open(source, &embed, &err), SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, ":2: vector"));
    write_file(source, "{\"reply\":\"a\"}\n");
    assert_int_equal(slm_embed_recorded_open(source, &embed, &err), SLM_ERR_FORMAT);
}

/* ---- endpoints ---- */

static void an_endpoint_holds_for_what_is_below_it(void **state)
{
    (void)state;
    slm_endpoints endpoints;
    slm_error err = {0};
    write_file(source, "endpoints:\n  - url: HTTPS://A.example/v1/\n    key_env: A_KEY\n"
                       "    concurrency: 8\n    timeout: 30\n"
                       "    price: {input: 1, output: 2, dated: 2025-06-01}\n"
                       "  - url: https://a.example/v1/big\n");
    if (slm_endpoints_load(source, &endpoints, &err) != SLM_OK) fail_msg("%s", err.message);
    const slm_endpoint *found = slm_endpoints_find(&endpoints, "https://a.example/v1");
    assert_string_equal(found->key_env, "A_KEY");
    assert_int_equal(found->concurrency, 8);
    assert_true(found->timeout_s == 30 && found->has_price && found->price.output == 2);
    assert_ptr_equal(slm_endpoints_find(&endpoints, "https://a.example/v1/small"), found);
    assert_null(slm_endpoints_find(&endpoints, "https://a.example/v1/big/er")->key_env);
    assert_null(slm_endpoints_find(&endpoints, "https://a.example/v11"));
    assert_null(slm_endpoints_find(&endpoints, "https://a.example"));
    assert_null(slm_endpoints_find(&endpoints, "https://a.example.evil/v1"));
    assert_null(slm_endpoints_find(&endpoints, "http://a.example/v1"));
    slm_endpoints_free(&endpoints);
    static const char *const wrong[][2] = {
        {"endpoints:\n  - {key_env: A}\n", ":2: url"},
        {"endpoints:\n  - {url: a.example}\n", "https://"},
        {"endpoints:\n  - {url: 'https://a.example?x=1'}\n", "query"},
        {"endpoints:\n  - {url: 'https://a.example', key_env: sk-123}\n", "does not belong"},
        {"endpoints:\n  - {url: 'https://a.example', concurrency: 0}\n", "from 1 to 4096"},
        {"endpoints:\n  - {url: 'https://a.example', timeout: 0.5}\n", "from 1 to 86400"},
        {"endpoints:\n  - {url: 'https://a.example', price: {input: 1, output: 2}}\n", "date"},
        {"endpoints:\n  - {url: 'https://a.example', keyenv: A}\n", "did you mean 'key_env'?"},
        {"endpoints:\n  - {url: 'https://a.example'}\n  - {url: 'https://A.example/'}\n",
         ":3: https://a.example stands in line 2 already"},
        {"- a\n", "endpoints:"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_file(source, wrong[i][0]);
        assert_int_equal(slm_endpoints_load(source, &endpoints, &err), SLM_ERR_FORMAT);
        slm_endpoints_free(&endpoints);
        if (strstr(err.message, wrong[i][1]) == NULL)
            fail_msg("'%s' is not in '%s'", wrong[i][1], err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_was_answered_comes_back, clean),
        cmocka_unit_test_teardown(the_last_line_of_a_rollout_and_its_own_case_count, clean),
        cmocka_unit_test_teardown(an_end_that_was_cut_is_mended, clean),
        cmocka_unit_test_teardown(two_models_in_one_file_are_told_apart, clean),
        cmocka_unit_test_teardown(a_recording_that_cannot_be_written_is_told, clean),
        cmocka_unit_test_teardown(cancelling_goes_through, clean),
        cmocka_unit_test_teardown(vectors_are_recorded_too, clean),
        cmocka_unit_test_teardown(an_endpoint_holds_for_what_is_below_it, clean),
    };
    return cmocka_run_group_tests_name("provider/record", tests, set_up, tear_down);
}
