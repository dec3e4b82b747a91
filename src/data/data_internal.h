/* data_internal.h: what the files of data/ share. */
#ifndef SLM_DATA_INTERNAL_H
#define SLM_DATA_INTERNAL_H

#include "base/json.h"
#include "data/data.h"

enum { DATA__LINE_BYTES_MAX = 64 << 20 }; /* of a row of JSON: a bound against hostile files */

/* A case from a parsed row; `name` and `line` are for errors and for the case. */
slm_status data__case_from_json(const json_t *row, const char *name, size_t line, slm_arena *arena,
                                slm_case *out, slm_error *err);

/* A set of texts, each with a number that the caller gives it. Open addressing; texts borrowed. */
typedef struct data__set {
    const char **keys;
    size_t *values;
    size_t count, cap;
} data__set;
/* The value under which the key already stands, or SIZE_MAX if it was not there and is now. */
size_t data__set_put(data__set *set, const char *key, size_t value);
bool data__set_has(const data__set *set, const char *key);
void data__set_free(data__set *set);

#endif
