/* Threads: every index once, in the part that index alone decides; thousands of small calls;
 * sleepers woken; more threads than cores. Run under ThreadSanitizer too. */
#include "helpers.h"

#include <signal.h>
#include <stdatomic.h>
#include <pthread.h>
#include "base/threads.h"

enum { MAX_COUNT = 1000 };

typedef struct record {
    int touched[MAX_COUNT];
    int owner[MAX_COUNT];
    size_t grain, count;
    atomic_int parts;
    atomic_int bad;
} record;

static void mark(void *context, size_t begin, size_t end, int thread)
{
    record *r = context;
    atomic_fetch_add(&r->parts, 1);
    if (begin >= end || begin % r->grain != 0) atomic_fetch_add(&r->bad, 1);
    if (end % r->grain != 0 && end != r->count) atomic_fetch_add(&r->bad, 1);
    for (size_t i = begin; i < end; i++) {
        r->touched[i]++;
        r->owner[i] = thread;
    }
}

static void check_split(slm_threads *threads, size_t count, size_t grain)
{
    static record r;
    memset(&r, 0, sizeof r);
    r.grain = grain;
    r.count = count;
    slm_threads_run(threads, count, grain, mark, &r);
    assert_int_equal(atomic_load(&r.bad), 0);
    size_t units = (count + grain - 1) / grain;
    size_t n = (size_t)slm_threads_count(threads);
    size_t parts = n < units ? n : units;
    assert_int_equal(atomic_load(&r.parts), parts);
    size_t longest = 0;
    size_t shortest = MAX_COUNT;
    size_t run = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(r.touched[i], 1);
        assert_in_range(r.owner[i], 0, parts - 1);
        if (i > 0) assert_in_range(r.owner[i], r.owner[i - 1], r.owner[i - 1] + 1);
        run = i > 0 && r.owner[i] == r.owner[i - 1] ? run + 1 : 1;
        if (run > longest) longest = run;
    }
    for (size_t p = 0; p < parts; p++) {
        size_t len = 0;
        for (size_t i = 0; i < count; i++)
            len += (size_t)r.owner[i] == p;
        if (p + 1 < parts && len < shortest) shortest = len;
    }
    /* Parts differ by one grain at most. */
    if (parts > 1) assert_true(longest <= shortest + grain);
}

static void every_index_once(void **state)
{
    (void)state;
    for (int n = 1; n <= 5; n++) {
        slm_threads *threads;
        slm_error err = {0};
        assert_int_equal(slm_threads_new(n, &threads, &err), SLM_OK);
        assert_int_equal(slm_threads_count(threads), n);
        static const size_t counts[] = {0, 1, 2, 3, 7, 16, 31, 100, 999, 1000};
        static const size_t grains[] = {1, 2, 3, 16, 64, 1000};
        for (size_t c = 0; c < 10; c++) {
            for (size_t g = 0; g < 6; g++)
                check_split(threads, counts[c], grains[g]);
        }
        slm_threads_free(threads);
    }
}

static void no_pool_runs_in_the_caller(void **state)
{
    (void)state;
    check_split(NULL, 100, 3);
    assert_int_equal(slm_threads_count(NULL), 1);
    slm_threads_free(NULL);
}

static void add(void *context, size_t begin, size_t end, int thread)
{
    (void)thread;
    long *sums = context;
    for (size_t i = begin; i < end; i++)
        sums[i]++;
}

static void thousands_of_small_calls(void **state)
{
    (void)state;
    enum { CALLS = 20000, WIDTH = 12 };
    for (int n = 2; n <= 4; n++) {
        long sums[WIDTH] = {0};
        slm_threads *threads;
        assert_int_equal(slm_threads_new(n, &threads, NULL), SLM_OK);
        for (int i = 0; i < CALLS; i++)
            slm_threads_run(threads, WIDTH, 1, add, sums);
        for (int i = 0; i < WIDTH; i++)
            assert_int_equal(sums[i], CALLS);
        slm_threads_free(threads);
    }
}

static void calls_after_everybody_slept(void **state)
{
    (void)state;
    long sums[4] = {0};
    slm_threads *threads;
    assert_int_equal(slm_threads_new(3, &threads, NULL), SLM_OK);
    for (int i = 0; i < 200; i++) {
        /* Around the length of the spin, so that some calls meet a worker falling asleep. */
        usleep((useconds_t)(i % 100));
        slm_threads_run(threads, 4, 1, add, sums);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(sums[i], 200);
    slm_threads_free(threads);
}

static void slow_part(void *context, size_t begin, size_t end, int thread)
{
    (void)begin;
    (void)end;
    if (thread == 1) usleep(20000); /* long after the caller has stopped spinning */
    atomic_fetch_add((atomic_int *)context, 1);
}

static void caller_sleeps_until_the_last_part(void **state)
{
    (void)state;
    slm_threads *threads;
    assert_int_equal(slm_threads_new(2, &threads, NULL), SLM_OK);
    for (int i = 0; i < 5; i++) {
        atomic_int done = 0;
        slm_threads_run(threads, 2, 1, slow_part, &done);
        assert_int_equal(atomic_load(&done), 2);
    }
    slm_threads_free(threads);
}

static void pools_come_and_go(void **state)
{
    (void)state;
    long sums[8] = {0};
    for (int i = 0; i < 50; i++) {
        slm_threads *threads;
        assert_int_equal(slm_threads_new(i % 8 + 1, &threads, NULL), SLM_OK);
        if (i % 2 == 0) slm_threads_run(threads, 8, 1, add, sums);
        slm_threads_free(threads);
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(sums[i], 25);
}

static void signals_are_left_to_the_program(void *context, size_t begin, size_t end, int thread)
{
    (void)begin;
    (void)end;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    int *blocked = context;
    blocked[thread] = sigismember(&mask, SIGINT);
}

static void workers_block_signals(void **state)
{
    (void)state;
    int blocked[2] = {-1, -1};
    slm_threads *threads;
    assert_int_equal(slm_threads_new(2, &threads, NULL), SLM_OK);
    slm_threads_run(threads, 2, 1, signals_are_left_to_the_program, blocked);
    assert_int_equal(blocked[0], 0);
    assert_int_equal(blocked[1], 1);
    slm_threads_free(threads);
}

static void counts_out_of_bounds(void **state)
{
    (void)state;
    slm_error err = {0};
    slm_threads *threads;
    assert_int_equal(slm_threads_new(-1, &threads, &err), SLM_ERR_INVALID);
    assert_null(threads);
    assert_int_equal(slm_threads_new(257, &threads, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "1 to 256");
    assert_holds(err.message, "257");
    assert_in_range(slm_threads_available(), 1, 256);
    assert_int_equal(slm_threads_new(0, &threads, &err), SLM_OK);
    assert_int_equal(slm_threads_count(threads), slm_threads_available());
    slm_threads_free(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_once),
        cmocka_unit_test(no_pool_runs_in_the_caller),
        cmocka_unit_test(thousands_of_small_calls),
        cmocka_unit_test(calls_after_everybody_slept),
        cmocka_unit_test(caller_sleeps_until_the_last_part),
        cmocka_unit_test(pools_come_and_go),
        cmocka_unit_test(workers_block_signals),
        cmocka_unit_test(counts_out_of_bounds),
    };
    return cmocka_run_group_tests_name("base/threads", tests, NULL, NULL);
}
