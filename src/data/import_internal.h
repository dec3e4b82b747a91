/* import_internal.h: what the readers of public question sets share.
 *
 * A reader takes a file apart and calls data__import_question for each row; what becomes of it is
 * the sink's matter: slm_import writes an inventory, slm_data_check looks for overlaps. */
#ifndef SLM_DATA_IMPORT_INTERNAL_H
#define SLM_DATA_IMPORT_INTERNAL_H

#include <stdbool.h>
#include "base/buffer.h"
#include "base/json.h"
#include "data/questions.h"

typedef enum data__format {
    DATA__FORMAT_ANY, /* not forced */
    DATA__FORMAT_MEDQUAD,
    DATA__FORMAT_LIVEQA,
    DATA__FORMAT_MEDIQA,
    DATA__FORMAT_MEDICATIONQA,
    DATA__FORMAT_MASH_QA,
    DATA__FORMAT_MEDREDQA,
    DATA__FORMAT_HEALTHSEARCHQA,
    DATA__FORMAT_ASKDOCS,
    DATA__FORMAT_K_QA,
    DATA__FORMAT_CSV,
    DATA__FORMAT_XLSX,
    DATA__FORMAT_JSONL,
} data__format;

enum { DATA__PROBLEMS_MAX = 1000 }; /* of one file; past them the rest of it is left */

typedef struct data__importer {
    const slm_import_options *options;
    data__format format; /* forced, or ANY */
    const char *file;
    slm_buffer joined, clean; /* scratch */
    /* question: normalised, in scratch; empty if there was none. line 0: not told. */
    void (*on_question)(void *context, const char *source, const char *file, size_t line,
                        const char *question, size_t len);
    /* source: NULL if none is known yet. */
    void (*on_problem)(void *context, const char *source, const slm_error *problem);
    void *context;
    size_t file_problems; /* of this file */
    bool in_folder;       /* the file was not named itself */
} data__importer;

/* ANY for NULL and for a name that is none. */
data__format data__format_named(const char *name);
const char *data__format_name(data__format format);
/* Read one file by what it holds. What is wrong with it is told to on_problem. */
void data__import_file(data__importer *importer, const char *path);
void data__importer_free(data__importer *importer);

/* For readers: a row's question, in one part or as title and body. A part may be NULL. */
void data__import_question(data__importer *importer, const char *source, size_t line,
                           const char *title, size_t title_len, const char *body, size_t body_len);
/* A row that is none; line 0: the file. "file:line: " is put in front. False when a file has had so
 * many that reading it on makes no sense (it was told). */
__attribute__((format(printf, 4, 5))) bool data__import_problem(data__importer *importer,
                                                                const char *source, size_t line,
                                                                const char *format, ...);
/* The file holds nothing to import: SLM_ERR_UNSUPPORTED, and no fault, for one found in a folder; a
 * problem for one that was named. */
void data__import_nothing(data__importer *importer, const char *what);
/* White space runs become one space, control characters too; NFC; invalid bytes U+FFFD. */
void data__normalise_question(const char *text, size_t len, slm_buffer *out);

/* ---- tables: CSV, workbooks, rows of JSON ---------------------------------------------------- */

/* Where the question stands among the columns. */
typedef struct data__columns {
    const char *source; /* borrowed */
    size_t title, body; /* indexes; title SIZE_MAX: there is none */
} data__columns;
/* False if no column is a question; then the problem was told, unless `quiet`. */
bool data__columns_find(data__importer *importer, const char *const *names, size_t count,
                        size_t line, bool quiet, data__columns *out);

void data__import_csv(data__importer *importer);
void data__import_json(data__importer *importer);
void data__import_xml(data__importer *importer);
void data__import_xlsx(data__importer *importer);

/* ---- xml.c: libxml2's SAX parser, fenced in -------------------------------------------------- */

typedef struct data__xml_handler {
    /* attributes: name, value, name, value, ..., NULL; local names. */
    void (*start)(void *context, const char *name, const char *const *attributes, size_t line);
    void (*end)(void *context, const char *name);
    void (*text)(void *context, const char *text, size_t len);
    void *context;
    bool stop; /* set by a callback: enough */
} data__xml_handler;
/* Bytes in order: at most cap into buffer; returns how many, 0 at the end, < 0 on error (the reader
 * keeps why). */
typedef ptrdiff_t data__read_fn(void *source, char *buffer, size_t cap);
/* Refuses document type declarations, and with them entities; reads nothing but what it is given. */
slm_status data__xml_parse(data__read_fn *read, void *source, const char *name,
                           data__xml_handler *handler, slm_error *err);

#endif
