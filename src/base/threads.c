/* threads.c: a pool whose workers each wait for a ticket.
 *
 * slm_threads_run cuts the range by index, gives the parts 1.. to workers 1.. by raising their
 * tickets, does part 0 itself and waits until the count of unfinished parts is zero. A call is
 * often only tens of microseconds of work and comes thousands of times a second, so both sides
 * first spin for a moment and only then sleep on a condition variable; a pool with more threads
 * than cores does not spin, since it would take the core from the thread that it waits for.
 *
 * No wake-up is lost, by Dekker's argument: who goes to sleep first says so (`asleep`) and then
 * looks at the ticket; who hands out work first raises the ticket and then looks at `asleep`. All
 * four are sequentially consistent, so at least one of the two sees the other; and `asleep` is set
 * under the mutex that the signal takes, so the signal cannot fall between the look and the wait. */
#include "base/threads.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 256, CACHE_LINE = 64, SPIN_NS = 30 * 1000 };

/* Somebody who waits for a number to change. */
typedef struct sleeper {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    atomic_bool asleep;
} sleeper;

typedef struct worker {
    alignas(CACHE_LINE) atomic_uint ticket; /* counts the parts given to this worker */
    sleeper sleeper;
    size_t begin, end; /* of the part; ordered by ticket */
    int index;
    bool started;
    pthread_t thread;
    slm_threads *pool;
} worker;

struct slm_threads {
    alignas(CACHE_LINE)
        atomic_int unfinished; /* parts of the running call, the caller's left out */
    sleeper caller;
    alignas(CACHE_LINE) slm_threads_fn *fn; /* NULL: end the thread; ordered by ticket */
    void *context;
    atomic_flag running;
    int count;
    unsigned spins;
    worker *workers; /* [count]; 0 is the caller and has no thread */
};

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("pause" ::: "memory");
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* How many pauses last SPIN_NS: a pause takes from 4 to 200 cycles, depending on the processor. */
static unsigned measure_spins(void)
{
    enum { TRIES = 5, PAUSES = 256 };
    int64_t best = INT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        int64_t start = now_ns();
        for (int j = 0; j < PAUSES; j++)
            pause_cpu();
        int64_t took = now_ns() - start;
        if (took < best) best = took;
    }
    if (best < 1) best = 1;
    return (unsigned)((int64_t)SPIN_NS * PAUSES / best) + 1;
}

static void sleeper_init(sleeper *s)
{
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->changed, NULL);
    atomic_init(&s->asleep, false);
}

static void sleeper_destroy(sleeper *s)
{
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
}

static void sleeper_wake(sleeper *s)
{
    if (!atomic_load(&s->asleep)) return;
    pthread_mutex_lock(&s->mutex);
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

/* Returns when the worker's ticket is no longer `seen`. */
static void wait_for_ticket(worker *w, unsigned seen)
{
    for (unsigned i = 0; i < w->pool->spins; i++) {
        if (atomic_load_explicit(&w->ticket, memory_order_acquire) != seen) return;
        pause_cpu();
    }
    pthread_mutex_lock(&w->sleeper.mutex);
    atomic_store(&w->sleeper.asleep, true);
    while (atomic_load(&w->ticket) == seen) {
        pthread_cond_wait(&w->sleeper.changed, &w->sleeper.mutex);
    }
    atomic_store(&w->sleeper.asleep, false);
    pthread_mutex_unlock(&w->sleeper.mutex);
}

/* Returns when no part of the running call is unfinished. */
static void wait_for_parts(slm_threads *pool)
{
    for (unsigned i = 0; i < pool->spins; i++) {
        if (atomic_load_explicit(&pool->unfinished, memory_order_acquire) == 0) return;
        pause_cpu();
    }
    pthread_mutex_lock(&pool->caller.mutex);
    atomic_store(&pool->caller.asleep, true);
    while (atomic_load(&pool->unfinished) != 0) {
        pthread_cond_wait(&pool->caller.changed, &pool->caller.mutex);
    }
    atomic_store(&pool->caller.asleep, false);
    pthread_mutex_unlock(&pool->caller.mutex);
}

static void *worker_main(void *argument)
{
    worker *w = argument;
    slm_threads *pool = w->pool;
    for (unsigned seen = 0;; seen++) {
        wait_for_ticket(w, seen);
        if (pool->fn == NULL) return NULL;
        pool->fn(pool->context, w->begin, w->end, w->index);
        if (atomic_fetch_sub(&pool->unfinished, 1) == 1) sleeper_wake(&pool->caller);
    }
}

int slm_threads_available(void)
{
    cpu_set_t set;
    long count = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        count = CPU_COUNT(&set);
    } else {
        count = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than cpu_set_t has bits */
    }
    return count < 1 ? 1 : count > MAX_THREADS ? MAX_THREADS : (int)count;
}

/* Starts workers 1..count-1 with all signals blocked, so that they reach the program's own thread. */
static slm_status start_workers(slm_threads *pool, slm_error *err)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    slm_status status = SLM_OK;
    for (int i = 1; i < pool->count && status == SLM_OK; i++) {
        worker *w = &pool->workers[i];
        int code = pthread_create(&w->thread, NULL, worker_main, w);
        if (code != 0) {
            status = slm_error_set(err, SLM_ERR_MEMORY,
                                   "cannot start thread %d of %d: %s; ask for fewer with --threads",
                                   i + 1, pool->count, strerror(code));
        }
        w->started = code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

slm_status slm_threads_new(int n, slm_threads **out, slm_error *err)
{
    *out = NULL;
    if (n < 0 || n > MAX_THREADS) {
        return slm_error_set(err, SLM_ERR_INVALID, "threads must be from 1 to %d, not %d (0: all)",
                             MAX_THREADS, n);
    }
    int available = slm_threads_available();
    if (n == 0) n = available;
    slm_threads *pool = aligned_alloc(CACHE_LINE, sizeof *pool);
    worker *workers = aligned_alloc(CACHE_LINE, (size_t)n * sizeof *workers);
    if (pool == NULL || workers == NULL) slm_out_of_memory((size_t)n * sizeof *workers);
    memset(pool, 0, sizeof *pool);
    memset(workers, 0, (size_t)n * sizeof *workers);
    pool->count = n;
    pool->spins = n > 1 && n <= available ? measure_spins() : 0;
    pool->workers = workers;
    atomic_init(&pool->unfinished, 0);
    atomic_flag_clear(&pool->running);
    sleeper_init(&pool->caller);
    for (int i = 0; i < n; i++) {
        workers[i].index = i;
        workers[i].pool = pool;
        atomic_init(&workers[i].ticket, 0);
        sleeper_init(&workers[i].sleeper);
    }
    slm_status status = start_workers(pool, err);
    if (status != SLM_OK) {
        slm_threads_free(pool);
        return status;
    }
    *out = pool;
    return SLM_OK;
}

static void give_ticket(worker *w)
{
    atomic_fetch_add(&w->ticket, 1);
    sleeper_wake(&w->sleeper);
}

void slm_threads_free(slm_threads *threads)
{
    if (threads == NULL) return;
    threads->fn = NULL;
    for (int i = 1; i < threads->count; i++) {
        if (threads->workers[i].started) give_ticket(&threads->workers[i]);
    }
    for (int i = 0; i < threads->count; i++) {
        if (threads->workers[i].started) pthread_join(threads->workers[i].thread, NULL);
        sleeper_destroy(&threads->workers[i].sleeper);
    }
    sleeper_destroy(&threads->caller);
    free(threads->workers);
    free(threads);
}

int slm_threads_count(const slm_threads *threads)
{
    return threads == NULL ? 1 : threads->count;
}

void slm_threads_run(slm_threads *threads, size_t count, size_t grain, slm_threads_fn *fn,
                     void *context)
{
    if (count == 0) return;
    if (grain == 0) grain = 1;
    size_t units = (count - 1) / grain + 1;
    size_t parts = (size_t)slm_threads_count(threads);
    if (parts > units) parts = units;
    if (parts == 1) {
        fn(context, 0, count, 0);
        return;
    }
    bool busy = atomic_flag_test_and_set(&threads->running);
    SLM_ASSERT(!busy);
    threads->fn = fn;
    threads->context = context;
    atomic_store(&threads->unfinished, (int)parts - 1);
    size_t each = units / parts;
    size_t longer = units % parts; /* so many parts have one unit more */
    size_t first_end = (each + (longer > 0 ? 1 : 0)) * grain;
    size_t begin = first_end;
    for (size_t i = 1; i < parts; i++) {
        worker *w = &threads->workers[i];
        w->begin = begin;
        begin += (each + (i < longer ? 1 : 0)) * grain;
        w->end = i + 1 == parts ? count : begin;
        give_ticket(w);
    }
    fn(context, 0, first_end, 0);
    wait_for_parts(threads);
    atomic_flag_clear(&threads->running);
}
