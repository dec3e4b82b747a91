/* options_internal.h: what options.c (reading) and options_print.c (help, man page, completion)
 * share: walking a command's rows and saying in words what a row allows. */
#ifndef SLM_BASE_OPTIONS_INTERNAL_H
#define SLM_BASE_OPTIONS_INTERNAL_H

#include "base/buffer.h"
#include "base/options.h"

/* A walk over all rows of all tables of a command:
 *     for (options__walk w = {0}; (row = slm_options__next(command, &w)) != NULL;) */
typedef struct options__walk {
    size_t table, row;
} options__walk;
const slm_option *slm_options__next(const slm_command *command, options__walk *walk);

/* True for a flag that is on unless it is turned off. */
bool slm_options__is_on(const slm_option *row);
/* Append what a value may be: "a whole number from 1 to 64", "one of f32, bf16". */
void slm_options__append_kind(const slm_option *row, slm_buffer *out);
/* Append bounds and default as help shows them: "1 to 64; default 4"; nothing if there are none. */
void slm_options__append_note(const slm_option *row, slm_buffer *out);
/* What stands for the value in help: value_name, or the choices; NULL for flags. */
const char *slm_options__value_name(const slm_option *row);

#endif
