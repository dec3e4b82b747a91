/* test_memory.c: the memory that may still be taken is some, and a limit on address space shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/resource.h>
#include "base/memory.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TAKES_ALL_ADDRESSES 1
#else
#define TAKES_ALL_ADDRESSES 0
#endif

static void test_there_is_some(void **state)
{
    (void)state;
    uint64_t bytes = slm_memory_available();
    assert_true(bytes > 1u << 20);
    assert_true(bytes != UINT64_MAX); /* every Linux tells */
}

static void test_address_space(void **state)
{
    (void)state;
    struct rlimit before, less;
    if (TAKES_ALL_ADDRESSES) {
        skip();
        return;
    }
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    less = before;
    less.rlim_cur = 300u << 20;
    assert_int_equal(setrlimit(RLIMIT_AS, &less), 0);
    uint64_t bytes = slm_memory_available();
    less.rlim_cur = 1u << 20; /* less than is taken already */
    assert_int_equal(setrlimit(RLIMIT_AS, &less), 0);
    uint64_t none = slm_memory_available();
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_true(bytes > 0 && bytes < 300u << 20);
    assert_int_equal(none, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_is_some),
        cmocka_unit_test(test_address_space),
    };
    return cmocka_run_group_tests_name("base/memory", tests, NULL, NULL);
}
