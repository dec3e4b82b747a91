/* threads.h: one pool of threads and a static split of a range.
 *
 * slm_threads_run splits [0, count) into at most n contiguous parts by index alone, so which thread
 * computes which output never depends on timing. Threads split outputs, never a sum: results do not
 * depend on n. Workers spin briefly, then sleep. One caller at a time per pool. */
#ifndef SLM_BASE_THREADS_H
#define SLM_BASE_THREADS_H

#include <stddef.h>
#include "base/error.h"

typedef struct slm_threads slm_threads;

/* n threads including the caller (1..256); n = 0 means the cores this process may use. */
slm_status slm_threads_new(int n, slm_threads **out, slm_error *err);
void slm_threads_free(slm_threads *threads);
int slm_threads_count(const slm_threads *threads);
/* Cores in this process's affinity mask. */
int slm_threads_available(void);

typedef void slm_threads_fn(void *context, size_t begin, size_t end, int thread);
/* Run fn over [0,count) in parts whose bounds are multiples of `grain` (the last excepted), and
 * wait. thread is 0..n-1, for scratch memory. NULL threads runs in the caller. */
void slm_threads_run(slm_threads *threads, size_t count, size_t grain, slm_threads_fn *fn,
                     void *context);

#endif
