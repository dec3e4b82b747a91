/* questions.h: public question sets -> one inventory of questions (import*.c, inventory.c).
 *
 * An inventory is JSON Lines of {"id", "question", "source"}: what `slm synth` makes cases from. The id
 * is the SHA-256 of the question in one spelling of its white space, so it is the same from whatever
 * set and on whatever day the question was imported. */
#ifndef SLM_DATA_QUESTIONS_H
#define SLM_DATA_QUESTIONS_H

#include <stddef.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/error.h"

typedef struct slm_import_options {
    const char *format; /* one of slm_import_formats; NULL: from the content */
    const char *column; /* of the question, in tables; NULL: by known names */
    const char *source; /* its name in the inventory; NULL: the set's, or the file's */
    size_t longest;     /* characters of a question; longer ones are left out */
} slm_import_options;
slm_import_options slm_import_options_default(void);
extern const char slm_import_formats[]; /* "medquad|liveqa|..." */

typedef struct slm_import_source {
    const char *name;
    size_t files, read, kept, duplicate, empty, too_long, bad; /* bad: not among those read */
} slm_import_source;
typedef struct slm_import_summary {
    slm_import_source *sources, total;
    size_t count, passed_over; /* files in folders that hold no questions: told, and no fault */
    slm_arena arena;
} slm_import_summary;
/* Files and folders in order -> lines of {"id", "question", "source"} on `out`, each question once.
 * What cannot be read goes to on_problem (file:line in the message) and stops nothing. */
slm_status slm_import(const char *const *paths, size_t path_count,
                      const slm_import_options *options, FILE *out,
                      void (*on_problem)(void *context, const slm_error *problem), void *context,
                      slm_import_summary *summary, slm_error *err);
void slm_import_summary_free(slm_import_summary *summary);

#endif
