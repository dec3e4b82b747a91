/* progress_internal.h: what progress.c and its tests share: the text of a line, clock given. */
#ifndef SLM_BASE_PROGRESS_INTERNAL_H
#define SLM_BASE_PROGRESS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"

typedef struct progress__state {
    const char *what, *unit, *note; /* note may be NULL */
    uint64_t total, already, done;  /* done includes already */
    double elapsed_s;               /* of this run */
} progress__state;

/* The line without its end, cut to `columns` (0: not cut); with a bar if bar. */
void slm_progress__line(const progress__state *state, bool bar, size_t columns, slm_buffer *out);
/* "41s", "3m 05s", "2h 07m", "3d 04h". */
void slm_progress__time(double seconds, slm_buffer *out);

#endif
