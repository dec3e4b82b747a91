/* json.h: reading and writing JSON with places in the errors.
 *
 * jansson does the parsing; this module adds what jansson lacks: errors that name file, line,
 * column and the path of a field ("cases.jsonl:12: rubrics[2].points: expected a number, got
 * string"), JSON Lines, and canonical text for hashing. json_t values are jansson's: who holds a
 * reference calls json_decref. */
#ifndef SLM_BASE_JSON_H
#define SLM_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buffer.h"
#include "base/error.h"

/* Parse exactly one JSON value in text[0..len). `name` is shown in errors (a file, "reply of
 * host"); `line` is the line number of text's first line (1 for a whole file). Duplicate keys and
 * trailing bytes are errors. *out is a new reference. */
slm_status slm_json_parse(const char *text, size_t len, const char *name, size_t line, json_t **out,
                          slm_error *err);
/* Read and parse a whole file. */
slm_status slm_json_load(const char *path, json_t **out, slm_error *err);

/* Where a value stands, for errors. Lives on the caller's stack; a child refers to its parent. */
typedef struct slm_json_place {
    const char *name;                    /* file name; only at the root */
    size_t line;                         /* only at the root; 0: unknown */
    const struct slm_json_place *parent; /* NULL at the root */
    const char *key;                     /* member of parent, or NULL for an element */
    size_t index;                        /* element of parent when key is NULL */
} slm_json_place;

/* "file:line: a.b[3].c" into out. */
void slm_json_place_text(const slm_json_place *place, slm_buffer *out);
/* Set err to "<place>: <message>" with SLM_ERR_FORMAT. */
slm_status slm_json_error(const slm_json_place *place, slm_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Typed members of `object`. The required forms fail when the key is missing or has another type;
 * the optional forms leave *out as it was when the key is missing or null, and fail on another
 * type. Strings are borrowed from the json_t. Integers accept a JSON real only if it is whole. */
slm_status slm_json_string(const json_t *object, const char *key, const slm_json_place *place,
                           const char **out, slm_error *err);
slm_status slm_json_string_optional(const json_t *object, const char *key,
                                    const slm_json_place *place, const char **out, slm_error *err);
slm_status slm_json_number(const json_t *object, const char *key, const slm_json_place *place,
                           double *out, slm_error *err);
slm_status slm_json_number_optional(const json_t *object, const char *key,
                                    const slm_json_place *place, double *out, slm_error *err);
slm_status slm_json_integer(const json_t *object, const char *key, const slm_json_place *place,
                            int64_t *out, slm_error *err);
slm_status slm_json_integer_optional(const json_t *object, const char *key,
                                     const slm_json_place *place, int64_t *out, slm_error *err);
slm_status slm_json_bool_optional(const json_t *object, const char *key,
                                  const slm_json_place *place, bool *out, slm_error *err);
slm_status slm_json_array(const json_t *object, const char *key, const slm_json_place *place,
                          json_t **out, slm_error *err); /* borrowed */
slm_status slm_json_array_optional(const json_t *object, const char *key,
                                   const slm_json_place *place, json_t **out, slm_error *err);
slm_status slm_json_object_optional(const json_t *object, const char *key,
                                    const slm_json_place *place, json_t **out, slm_error *err);

/* JSON Lines. A reader yields one object a line; blank lines are skipped; a UTF-8 byte-order mark
 * at the start and CR before LF are accepted. A last line without LF is read like any other. */
typedef struct slm_jsonl slm_jsonl;
slm_status slm_jsonl_open(const char *path, slm_jsonl **out, slm_error *err);
/* *out: new reference, or NULL at the end of the file. *line (may be NULL): its line number. */
slm_status slm_jsonl_next(slm_jsonl *reader, json_t **out, size_t *line, slm_error *err);
void slm_jsonl_close(slm_jsonl *reader);

/* The JSON objects in a text that may hold anything else: a reply with a code fence, an introduction,
 * a remark. Each "{" is tried from left to right, also those within an object that was given. That is
 * quadratic at worst, for which a text would have to be made on purpose; the work is bounded.
 * {.text, .len} is the beginning. */
typedef struct slm_json_scan {
    const char *text;
    size_t len;
    size_t at;     /* where the search goes on */
    size_t behind; /* the last object that was given */
    size_t work;   /* bytes read over all tries */
} slm_json_scan;
/* A new reference; NULL: there are no more, or the bound is reached. Duplicate keys are an error. */
json_t *slm_json_scan_next(slm_json_scan *scan);
/* Do not look into the last object. */
void slm_json_scan_skip(slm_json_scan *scan);
/* Was the bound reached? */
bool slm_json_scan_is_tangled(const slm_json_scan *scan);

/* Append `text` as a JSON string with quotes. Invalid UTF-8 is replaced by U+FFFD. */
void slm_json_append_string(slm_buffer *out, const char *text, size_t len);
/* Append a number so that reading it gives the same double; NaN and infinities become null. */
void slm_json_append_number(slm_buffer *out, double value);
/* Append canonical text: keys sorted, no spaces, numbers as above. Equal values, equal bytes. */
void slm_json_append_canonical(slm_buffer *out, const json_t *value);

#endif
