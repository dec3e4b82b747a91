/* yaml.h: reading YAML settings (recipes, prices, endpoints) as the values of json.h.
 *
 * One document of mappings, lists and scalars becomes a json_t, so that slm_json_* reads its members
 * and names the field in errors. Plain scalars follow the core schema of YAML 1.2: null, true, false,
 * whole numbers, numbers; everything else, and whatever stands in quotes, is text (so are dates, and
 * `yes`). Not taken: a key twice, anchors and aliases, tags, a second document, more than 4 MiB. */
#ifndef SLM_BASE_YAML_H
#define SLM_BASE_YAML_H

#include <jansson.h>
#include <stddef.h>
#include "base/error.h"
#include "base/json.h"

typedef struct slm_yaml slm_yaml;

slm_status slm_yaml_load(const char *path, slm_yaml **out, slm_error *err);
/* `name` is shown in errors. */
slm_status slm_yaml_parse(const char *text, size_t len, const char *name, slm_yaml **out,
                          slm_error *err);
void slm_yaml_free(slm_yaml *yaml); /* NULL is allowed */

/* Borrowed; an empty document is null. */
const json_t *slm_yaml_root(const slm_yaml *yaml);
const char *slm_yaml_name(const slm_yaml *yaml);
/* The line where a mapping, list, text or number of this document begins; 0 for other values. */
size_t slm_yaml_line(const slm_yaml *yaml, const json_t *value);
/* The line of a key, which is the object's own, as json_object_foreach gives it. */
size_t slm_yaml_key_line(const slm_yaml *yaml, const char *key);
/* A root place for errors about `value`: file and line. */
slm_json_place slm_yaml_place(const slm_yaml *yaml, const json_t *value);

/* An error, with the nearest name, for a key of `object` that is not in `known` (ended by NULL). */
slm_status slm_yaml_check_keys(const json_t *object, const slm_json_place *place,
                               const char *const *known, slm_error *err);

#endif
