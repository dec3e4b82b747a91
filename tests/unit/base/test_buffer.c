/* Buffer: growth, the NUL behind the content, printf across the capacity, handing over. */
#include "helpers.h"

static void empty_is_text(void **state)
{
    (void)state;
    slm_buffer b = {0};
    assert_string_equal(slm_buffer_text(&b), "");
    slm_buffer_append(&b, NULL, 0);
    assert_int_equal(b.len, 0);
    char *taken = slm_buffer_take(&b);
    assert_string_equal(taken, "");
    free(taken);
    slm_buffer_free(&b);
    slm_buffer_free(NULL);
}

static void grows_and_stays_terminated(void **state)
{
    (void)state;
    slm_buffer b = {0};
    for (size_t i = 0; i < 10000; i++) {
        slm_buffer_append_char(&b, (char)('a' + i % 26));
        assert_int_equal(b.len, i + 1);
        assert_int_equal(b.data[b.len], 0);
        assert_true(b.cap > b.len);
    }
    for (size_t i = 0; i < 10000; i++)
        assert_int_equal(b.data[i], 'a' + i % 26);
    slm_buffer_free(&b);
}

static void printf_crosses_the_capacity(void **state)
{
    (void)state;
    for (int len = 0; len < 300; len++) {
        slm_buffer b = {0};
        slm_buffer_append_text(&b, "x");
        slm_buffer_printf(&b, "%*s|%d", len, "", 42);
        assert_int_equal(b.len, 1 + len + 3);
        assert_string_equal(b.data + 1 + len, "|42");
        slm_buffer_free(&b);
    }
}

static void keeps_nul_bytes(void **state)
{
    (void)state;
    slm_buffer b = {0};
    slm_buffer_append(&b, "a\0b", 3);
    slm_buffer_append_text(&b, "c");
    assert_int_equal(b.len, 4);
    assert_memory_equal(b.data, "a\0bc", 5);
    slm_buffer_free(&b);
}

static void truncates(void **state)
{
    (void)state;
    slm_buffer b = {0};
    slm_buffer_truncate(&b, 0);
    slm_buffer_append_text(&b, "hello");
    slm_buffer_truncate(&b, 2);
    assert_string_equal(slm_buffer_text(&b), "he");
    slm_buffer_append_text(&b, "y");
    assert_string_equal(slm_buffer_text(&b), "hey");
    slm_buffer_free(&b);
}

static void take_leaves_it_empty(void **state)
{
    (void)state;
    slm_buffer b = {0};
    slm_buffer_append_text(&b, "mine");
    char *taken = slm_buffer_take(&b);
    assert_string_equal(taken, "mine");
    assert_null(b.data);
    assert_int_equal(b.len + b.cap, 0);
    slm_buffer_append_text(&b, "again");
    assert_string_equal(slm_buffer_text(&b), "again");
    free(taken);
    slm_buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_is_text),
        cmocka_unit_test(grows_and_stays_terminated),
        cmocka_unit_test(printf_crosses_the_capacity),
        cmocka_unit_test(keeps_nul_bytes),
        cmocka_unit_test(truncates),
        cmocka_unit_test(take_leaves_it_empty),
    };
    return cmocka_run_group_tests_name("base/buffer", tests, NULL, NULL);
}
