/* Arena: alignment, zeroing also after a reset, large allocations, copies of text. */
#include "helpers.h"

static int all_zero(const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != 0) return 0;
    }
    return 1;
}

static void memory_is_aligned_and_zero(void **state)
{
    (void)state;
    slm_arena arena = {0};
    for (size_t i = 0; i < 3000; i++) {
        size_t bytes = i * 7 % 333;
        unsigned char *memory = slm_arena_alloc(&arena, bytes);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 16, 0);
        assert_true(all_zero(memory, bytes));
        memset(memory, 0xAA, bytes);
    }
    for (size_t align = 1; align <= 4096; align *= 2) {
        slm_arena_alloc_aligned(&arena, 1, 1);
        unsigned char *memory = slm_arena_alloc_aligned(&arena, 100, align);
        assert_int_equal((uintptr_t)memory % align, 0);
        memset(memory, 0xBB, 100);
    }
    slm_arena_free(&arena);
}

static void allocations_do_not_overlap(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    slm_arena arena = {.block_bytes = 256};
    unsigned char *memory[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        memory[i] = slm_arena_alloc(&arena, i);
        memset(memory[i], (int)(i & 0xFF), i);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < i; j++)
            assert_int_equal(memory[i][j], i & 0xFF);
    }
    assert_int_equal(arena.used_bytes, COUNT * (COUNT - 1) / 2);
    slm_arena_free(&arena);
    assert_null(arena.head);
    assert_int_equal(arena.used_bytes, 0);
}

static void reset_reuses_memory_zeroed(void **state)
{
    (void)state;
    slm_arena arena = {.block_bytes = 1024};
    memset(slm_arena_alloc(&arena, 900), 0xCC, 900);
    unsigned char *large = slm_arena_alloc(&arena, 5000);
    memset(large, 0xCC, 5000);
    slm_arena_reset(&arena);
    assert_int_equal(arena.used_bytes, 0);
    unsigned char *again = slm_arena_alloc(&arena, 3000);
    assert_ptr_equal(again, large); /* the largest block is the one that is kept */
    assert_true(all_zero(again, 3000));
    memset(again, 0xDD, 3000);
    unsigned char *more = slm_arena_alloc(&arena, 1500);
    assert_true(all_zero(more, 1500));
    slm_arena_free(&arena);
}

static void text_is_copied(void **state)
{
    (void)state;
    slm_arena arena = {0};
    char text[] = "cases";
    char *copy = slm_arena_strdup(&arena, text);
    text[0] = 'X';
    assert_string_equal(copy, "cases");
    assert_string_equal(slm_arena_strndup(&arena, "rollouts", 4), "roll");
    assert_null(slm_arena_strdup(&arena, NULL));
    assert_null(slm_arena_strndup(&arena, NULL, 3));
    assert_string_equal(slm_arena_printf(&arena, "%s=%d", "k", 4), "k=4");
    slm_arena_free(&arena);
}

static void arrays_and_empty_things(void **state)
{
    (void)state;
    slm_arena arena = {0};
    assert_non_null(slm_arena_array(&arena, 0, 8));
    int *numbers = slm_arena_array(&arena, 1000, sizeof *numbers);
    assert_int_equal(numbers[999], 0);
    slm_arena_free(&arena);
    slm_arena_free(NULL);
    slm_arena empty = {0};
    slm_arena_reset(&empty);
    slm_arena_free(&empty);
}

static void a_list_grows_and_keeps_what_it_has(void **state)
{
    (void)state;
    slm_arena arena = {0};
    size_t cap = 0, moves = 0;
    int *numbers = NULL;
    for (size_t i = 0; i < 100; i++) {
        int *before = numbers;
        numbers = slm_arena_grow(&arena, numbers, i, &cap, sizeof *numbers);
        moves += numbers != before;
        assert_int_equal(numbers[i], 0);
        numbers[i] = (int)i;
    }
    assert_int_equal(cap, 128);
    assert_int_equal(moves, 4); /* 16, 32, 64, 128 */
    for (int i = 0; i < 100; i++)
        assert_int_equal(numbers[i], i);
    slm_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_and_zero),
        cmocka_unit_test(allocations_do_not_overlap),
        cmocka_unit_test(reset_reuses_memory_zeroed),
        cmocka_unit_test(text_is_copied),
        cmocka_unit_test(arrays_and_empty_things),
        cmocka_unit_test(a_list_grows_and_keeps_what_it_has),
    };
    return cmocka_run_group_tests_name("base/arena", tests, NULL, NULL);
}
