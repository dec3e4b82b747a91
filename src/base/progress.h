/* progress.h: how far, how fast, how long still. One updating line with a bar on a terminal, a plain
 * line every `plain_interval_s` elsewhere. Time left is from the rate of this run, not counting
 * work that an earlier run had done. */
#ifndef SLM_BASE_PROGRESS_H
#define SLM_BASE_PROGRESS_H

#include <stdint.h>
#include "base/log.h"

typedef struct slm_progress slm_progress;

/* total units of `unit` ("samples", of one "sample"; 0: not known); already_done of them by an earlier
 * run. log may be NULL. */
slm_progress *slm_progress_new(slm_log *log, const char *what, const char *unit, uint64_t total,
                               uint64_t already_done);
/* done counts from 0 including already_done; note (may be NULL) is shown at the end of the line. */
void slm_progress_update(slm_progress *progress, uint64_t done, const char *note);
/* A closing line with the total and the time taken; frees. NULL is allowed. */
void slm_progress_finish(slm_progress *progress);
/* Seconds on a monotonic clock. */
double slm_progress_clock_s(void);

#endif
