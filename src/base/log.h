/* log.h: what goes to stderr. Results go to stdout; everything else goes through here. */
#ifndef SLM_BASE_LOG_H
#define SLM_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum slm_log_level {
    SLM_LOG_ERROR,
    SLM_LOG_WARNING,
    SLM_LOG_INFO,
    SLM_LOG_DEBUG
} slm_log_level;

/* A log belongs to the program, is made in cli and handed down. NULL logs nothing. */
typedef struct slm_log {
    FILE *stream;
    slm_log_level level;
    bool colour;      /* only on a terminal and without NO_COLOR */
    bool is_terminal; /* a progress line may be drawn */
    bool line_open;   /* a progress line stands unfinished; slm_log_print clears it first */
} slm_log;

/* is_terminal and colour from isatty(stream) and no_colour (cli reads NO_COLOR). */
slm_log slm_log_new(FILE *stream, slm_log_level level, bool no_colour);
/* "slm: error: ..." / "slm: warning: ..." / plain text for info. Adds the newline. */
void slm_log_print(slm_log *log, slm_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "s" where n things are many: "1 case", "2 cases". */
const char *slm_plural(uint64_t n);

#endif
