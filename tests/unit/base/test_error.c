/* Errors: messages, prefixes, cutting at characters, and the two ways to die. */
#include "helpers.h"

#include <signal.h>
#include <sys/wait.h>
#include "base/utf8.h"

static void set_fills_message(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_status status = slm_error_set(&err, SLM_ERR_IO, "cannot open %s", "x.json");
    assert_int_equal(status, SLM_ERR_IO);
    assert_int_equal(err.status, SLM_ERR_IO);
    assert_string_equal(err.message, "cannot open x.json");
}

static void null_error_returns_status(void **state)
{
    (void)state;
    assert_int_equal(slm_error_set(NULL, SLM_ERR_LIMIT, "x"), SLM_ERR_LIMIT);
    assert_int_equal(slm_error_prefix(NULL, SLM_ERR_FORMAT, "x"), SLM_ERR_FORMAT);
}

static void message_may_wrap_itself(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_error_set(&err, SLM_ERR_IO, "inner");
    slm_error_set(&err, SLM_ERR_FORMAT, "outer (%s)", err.message);
    assert_string_equal(err.message, "outer (inner)");
}

static void prefix_keeps_status(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_error_set(&err, SLM_ERR_NOT_FOUND, "no such key");
    assert_int_equal(slm_error_prefix(&err, SLM_ERR_IO, "line %d", 7), SLM_ERR_NOT_FOUND);
    assert_string_equal(err.message, "line 7: no such key");
}

static void long_messages_are_cut_at_a_character(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t c = 0; c < 4; c++) {
        for (size_t shift = 0; shift < 4; shift++) {
            slm_buffer text = {0};
            for (size_t i = 0; i < shift; i++)
                slm_buffer_append_char(&text, 'x');
            while (text.len < 3000)
                slm_buffer_append_text(&text, characters[c]);
            slm_error err;
            slm_error_set(&err, SLM_ERR_IO, "%s", text.data);
            size_t len = strlen(err.message);
            assert_in_range(len, SLM_ERROR_MESSAGE_BYTES - 4, SLM_ERROR_MESSAGE_BYTES - 1);
            assert_true(slm_utf8_valid(err.message, len, NULL));
            slm_error_prefix(&err, SLM_ERR_IO, "%s", text.data);
            assert_true(slm_utf8_valid(err.message, strlen(err.message), NULL));
            slm_buffer_free(&text);
        }
    }
}

static void statuses_have_names(void **state)
{
    (void)state;
    assert_string_equal(slm_status_name(SLM_OK), "ok");
    assert_string_equal(slm_status_name(SLM_ERR_NOT_FOUND), "not_found");
    for (int i = SLM_OK; i <= SLM_ERR_CANCELLED; i++) {
        assert_string_not_equal(slm_status_name((slm_status)i), "unknown");
    }
}

/* Runs f in a child; returns its stderr and asserts that it was aborted. */
static char *output_of_abort(void (*f)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        signal(SIGABRT, SIG_DFL);
        f();
        _exit(0);
    }
    close(ends[1]);
    static char text[4096];
    ssize_t got = read(ends[0], text, sizeof text - 1);
    text[got > 0 ? got : 0] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return text;
}

static void assert_false_thing(void)
{
    int two = 2;
    SLM_ASSERT(two == 3);
}

static void exhaust(void)
{
    slm_out_of_memory(12345);
}

static void assertion_names_its_place(void **state)
{
    (void)state;
    const char *text = output_of_abort(assert_false_thing);
    assert_holds(text, "two == 3");
    assert_holds(text, "test_error.c:");
    assert_holds(text, "assert_false_thing");
}

static void out_of_memory_names_the_size(void **state)
{
    (void)state;
    assert_holds(output_of_abort(exhaust), "12345");
}

static slm_status try_it(slm_status given, int *reached)
{
    SLM_TRY(given);
    *reached = 1;
    return SLM_OK;
}

static void try_returns_early(void **state)
{
    (void)state;
    int reached = 0;
    assert_int_equal(try_it(SLM_ERR_IO, &reached), SLM_ERR_IO);
    assert_int_equal(reached, 0);
    assert_int_equal(try_it(SLM_OK, &reached), SLM_OK);
    assert_int_equal(reached, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_message),
        cmocka_unit_test(null_error_returns_status),
        cmocka_unit_test(message_may_wrap_itself),
        cmocka_unit_test(prefix_keeps_status),
        cmocka_unit_test(long_messages_are_cut_at_a_character),
        cmocka_unit_test(statuses_have_names),
        cmocka_unit_test(assertion_names_its_place),
        cmocka_unit_test(out_of_memory_names_the_size),
        cmocka_unit_test(try_returns_early),
    };
    return cmocka_run_group_tests_name("base/error", tests, NULL, NULL);
}
