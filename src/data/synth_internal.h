/* synth_internal.h: what the files of the synthesiser share. */
#ifndef SLM_DATA_SYNTH_INTERNAL_H
#define SLM_DATA_SYNTH_INTERNAL_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "data/data_internal.h"
#include "data/synth.h"

/* ---- synth_plan.c: cells, and which question goes where -------------------------------------- */

/* What varies within a cell. */
typedef enum synth__dimension {
    SYNTH_PERSONA,
    SYNTH_REGISTER,
    SYNTH_DISPOSITION,
    SYNTH_REQUEST,
    SYNTH_LANGUAGE,
    SYNTH_TURNS,
    SYNTH_DIFFICULTY,
    SYNTH_LEAVE_OUT,
    SYNTH_DIMENSIONS,
} synth__dimension;
extern const char *const synth__dimension_names[SYNTH_DIMENSIONS];

typedef struct synth__values {
    const char **texts;
    double *weights;
    size_t count;
} synth__values;

typedef struct synth__cell {
    const char *name;
    double share;  /* relative; 0 where count is given */
    size_t count;  /* 0 where share is given */
    double twins;  /* the share of its cases that get one */
    bool is_lacks; /* context */
    bool is_emergency;
    const char *form; /* plain, long, short, supplied, emergency */
    synth__values values[SYNTH_DIMENSIONS];
} synth__cell;

struct slm_synth_plan {
    slm_arena arena;
    synth__cell *cells;
    size_t cell_count;
};

typedef struct synth__question {
    const char *id, *text, *source;
} synth__question;

/* One case to be written. */
typedef struct synth__scenario {
    const synth__question *question;
    const synth__cell *cell;
    const char *values[SYNTH_DIMENSIONS];
    bool has_twin, is_twin;
    bool is_lacks, is_emergency;
    const char *form; /* the cell's, or twin */
    int turns, difficulty;
    const char *id, *family;
} synth__scenario;

/* A scenario for each question; cell NULL where the plan's counts are used up. An error if the plan
 * wants more cases than there are questions. */
slm_status synth__draw(const slm_synth_plan *plan, const synth__question *questions, size_t count,
                       uint64_t seed, slm_arena *arena, synth__scenario *out, slm_error *err);
/* The twin of a scenario that has one. */
synth__scenario synth__twin_of(const synth__scenario *s, slm_arena *arena);

/* ---- synth_prompt.c: what the model is asked --------------------------------------------------- */

extern const char synth__method[]; /* changes with the wording */
extern const char synth__system_text[];
/* JSON schema of what the model writes; a new reference. */
json_t *synth__schema(const synth__scenario *s);
/* twin_of: the row of the case whose twin this is; NULL where it is none. */
void synth__append_prompt(slm_buffer *out, const synth__scenario *s, const json_t *twin_of);
/* problems: lines that begin with "- ". */
void synth__append_repair(slm_buffer *out, const char *problems);

/* ---- synth_case.c: a reply -> a case ----------------------------------------------------------- */

typedef struct synth__problems {
    slm_buffer text; /* "- what is wrong\n" each */
    size_t count;
} synth__problems;
__attribute__((format(printf, 2, 3))) void synth__problem(synth__problems *problems,
                                                          const char *format, ...);

/* The last object in the reply that looks like a case; a new reference, NULL if there is none. */
json_t *synth__find(const char *text, size_t len);
/* Hold a value to a schema (the keywords that synth__schema uses). */
void synth__validate(const json_t *schema, const json_t *value, const char *path,
                     synth__problems *problems);
/* Reply -> row, a new reference; NULL, and problems say why. `model` is named in the row. */
json_t *synth__case_of(const char *reply, const synth__scenario *s, const json_t *twin_of,
                       const slm_synth_options *options, const char *model,
                       synth__problems *problems);

/* ---- synth_check.c: more than slm_cases_check asks --------------------------------------------- */

void synth__check(const slm_case *c, const synth__scenario *s, synth__problems *problems);

/* ---- synth_output.c: files of records that are only appended to -------------------------------- */

typedef struct synth__file {
    char *path;
    const char *key; /* of a record's id */
    FILE *reader;
    slm_buffer line;
    json_t *head;  /* the next record that is there already */
    size_t number; /* its line */
    int64_t kept;  /* bytes of whole records taken so far */
    bool has_tail; /* a last record that was cut off */
    int fd;        /* for appending; -1: not open */
    bool is_unsynced;
} synth__file;
/* For reading what is there; a missing file is an empty one. */
slm_status synth__file_open(synth__file *file, const char *path, const char *key, slm_error *err);
/* The id of the next record; NULL at the end. */
const char *synth__file_head(const synth__file *file);
/* Take it: a new reference in *row (may be NULL), and read the next. */
slm_status synth__file_take(synth__file *file, json_t **row, slm_error *err);
/* Cut off what is behind the records that were taken, if anything is. */
slm_status synth__file_begin(synth__file *file, slm_error *err);
/* Append a record behind those that were taken. */
slm_status synth__file_append(synth__file *file, const json_t *row, slm_error *err);
slm_status synth__file_sync(synth__file *file, slm_error *err);
void synth__file_close(synth__file *file);

#endif
