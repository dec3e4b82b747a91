/* yaml.c: libyaml's events become jansson's values.
 *
 * A recursive reader over the event stream. Every mapping, list and text is entered into a list of
 * (value, line), sorted at the end, so that an error about a value deep in a file can still say where
 * it stands. Aliases are refused: a settings file has no need for them, and they are how a small file
 * grows without bound (the "billion laughs"). Scalars are told apart as the core schema of YAML 1.2
 * does (section 10.3.2), less octal and hexadecimal numbers, infinities and NaN, which stay text. */
#include "base/yaml.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>
#include "base/buffer.h"
#include "base/file.h"
#include "base/options.h"

enum { MAX_DEPTH = 64, MAX_BYTES = 4 << 20 };

typedef struct spot {
    const json_t *value;
    size_t line;
} spot;

struct slm_yaml {
    char *name;
    json_t *root;
    spot *spots; /* sorted by value */
    size_t count, cap;
};

typedef struct reader {
    slm_yaml *yaml;
    yaml_parser_t parser;
    slm_error *err;
} reader;

static slm_status refuse(reader *r, const yaml_mark_t *mark, const char *what)
{
    return slm_error_set(r->err, SLM_ERR_FORMAT, "%s:%zu: %s", r->yaml->name, mark->line + 1, what);
}

static slm_status next_event(reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event)) return SLM_OK;
    const char *problem = r->parser.problem != NULL ? r->parser.problem : "not YAML";
    size_t line = r->parser.problem_mark.line;
    if (line == 0 && r->parser.context_mark.line > 0) line = r->parser.context_mark.line;
    return slm_error_set(r->err, SLM_ERR_FORMAT, "%s:%zu: not YAML: %s", r->yaml->name, line + 1,
                         problem);
}

static void note_line(slm_yaml *yaml, const void *value, const yaml_mark_t *mark)
{
    if (yaml->count == yaml->cap) {
        yaml->cap = yaml->cap > 0 ? 2 * yaml->cap : 64;
        spot *grown = realloc(yaml->spots, yaml->cap * sizeof *grown);
        if (grown == NULL) slm_out_of_memory(yaml->cap * sizeof *grown);
        yaml->spots = grown;
    }
    yaml->spots[yaml->count++] = (spot){.value = value, .line = mark->line + 1};
}

/* ---- scalars ---- */

static const char *skip_digits(const char *text)
{
    while (isdigit((unsigned char)*text))
        text++;
    return text;
}

/* [-+]? [0-9]+ */
static bool is_whole(const char *text)
{
    if (*text == '-' || *text == '+') text++;
    return *text != '\0' && *skip_digits(text) == '\0';
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_number(const char *text)
{
    if (*text == '-' || *text == '+') text++;
    const char *end = skip_digits(text);
    bool digits = end > text;
    if (*end == '.') {
        text = end + 1;
        end = skip_digits(text);
        digits = digits || end > text;
    }
    if (!digits) return false;
    if (*end == 'e' || *end == 'E') {
        text = end + 1;
        if (*text == '-' || *text == '+') text++;
        end = skip_digits(text);
        if (end == text) return false;
    }
    return *end == '\0';
}

static bool is_one_of(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

static slm_status read_scalar(reader *r, const yaml_event_t *event, json_t **out)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (event->data.scalar.tag != NULL || event->data.scalar.anchor != NULL) {
        return refuse(r, &event->start_mark, "anchors (&) and tags (!) are not taken here");
    }
    if (strlen(text) != len) return refuse(r, &event->start_mark, "a text with a zero byte");
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        *out = json_stringn(text, len);
    } else if (len == 0 || strcmp(text, "~") == 0 || is_one_of(text, "null", "Null", "NULL")) {
        *out = json_null();
    } else if (is_one_of(text, "true", "True", "TRUE")) {
        *out = json_true();
    } else if (is_one_of(text, "false", "False", "FALSE")) {
        *out = json_false();
    } else if (is_whole(text)) {
        errno = 0;
        long long value = strtoll(text, NULL, 10);
        if (errno != 0) return refuse(r, &event->start_mark, "a whole number past 64 bits");
        *out = json_integer(value);
    } else if (is_number(text)) {
        *out = json_real(strtod(text, NULL));
    } else {
        *out = json_stringn(text, len);
    }
    if (*out == NULL) return refuse(r, &event->start_mark, "not a text or number that can be kept");
    if (json_is_string(*out) || json_is_number(*out)) /* the others are the same everywhere */
        note_line(r->yaml, *out, &event->start_mark);
    return SLM_OK;
}

/* ---- lists and mappings ---- */

static slm_status read_value(reader *r, yaml_event_t *event, int depth, json_t **out);

static slm_status read_list(reader *r, json_t *list, int depth)
{
    for (;;) {
        yaml_event_t event;
        json_t *item = NULL;
        SLM_TRY(next_event(r, &event));
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return SLM_OK;
        }
        slm_status status = read_value(r, &event, depth, &item);
        yaml_event_delete(&event);
        SLM_TRY(status);
        json_array_append_new(list, item);
    }
}

/* Reads the key in `event` and the value behind it. */
static slm_status read_member(reader *r, yaml_event_t *event, json_t *object, int depth)
{
    if (event->type != YAML_SCALAR_EVENT) {
        return refuse(r, &event->start_mark, "a key must be a plain name");
    }
    const char *key = (const char *)event->data.scalar.value;
    if (strlen(key) != event->data.scalar.length || event->data.scalar.anchor != NULL ||
        event->data.scalar.tag != NULL) {
        return refuse(r, &event->start_mark, "a key must be a plain name");
    }
    if (json_object_get(object, key) != NULL) {
        return slm_error_set(r->err, SLM_ERR_FORMAT, "%s:%zu: the key '%.80s' stands here twice",
                             r->yaml->name, event->start_mark.line + 1, key);
    }
    yaml_event_t inner;
    json_t *value = NULL;
    SLM_TRY(next_event(r, &inner));
    slm_status status = read_value(r, &inner, depth, &value);
    yaml_event_delete(&inner);
    SLM_TRY(status);
    if (json_object_set_new(object, key, value) != 0) {
        return refuse(r, &event->start_mark, "a key that is not UTF-8");
    }
    void *member = json_object_iter_at(object, key);
    note_line(r->yaml, json_object_iter_key(member), &event->start_mark);
    return SLM_OK;
}

static slm_status read_mapping(reader *r, json_t *object, int depth)
{
    for (;;) {
        yaml_event_t event;
        SLM_TRY(next_event(r, &event));
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return SLM_OK;
        }
        slm_status status = read_member(r, &event, object, depth);
        yaml_event_delete(&event);
        SLM_TRY(status);
    }
}

static slm_status read_value(reader *r, yaml_event_t *event, int depth, json_t **out)
{
    if (depth > MAX_DEPTH) return refuse(r, &event->start_mark, "more than 64 levels");
    if (event->type == YAML_SCALAR_EVENT) return read_scalar(r, event, out);
    if (event->type == YAML_ALIAS_EVENT) {
        return refuse(r, &event->start_mark, "aliases (*name) are not taken here; write it out");
    }
    bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
    if (!is_list && event->type != YAML_MAPPING_START_EVENT) {
        return refuse(r, &event->start_mark, "expected a value");
    }
    const yaml_char_t *anchor =
        is_list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;
    const yaml_char_t *tag =
        is_list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
    if (anchor != NULL || tag != NULL) {
        return refuse(r, &event->start_mark, "anchors (&) and tags (!) are not taken here");
    }
    json_t *value = is_list ? json_array() : json_object();
    if (value == NULL) slm_out_of_memory(sizeof(void *));
    note_line(r->yaml, value, &event->start_mark);
    slm_status status =
        is_list ? read_list(r, value, depth + 1) : read_mapping(r, value, depth + 1);
    if (status != SLM_OK) {
        json_decref(value);
        return status;
    }
    *out = value;
    return SLM_OK;
}

/* ---- a document ---- */

static slm_status read_document(reader *r)
{
    for (bool seen = false;;) {
        yaml_event_t event;
        slm_status status = SLM_OK;
        SLM_TRY(next_event(r, &event));
        bool end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && seen) {
            status = refuse(r, &event.start_mark, "a second document; one is taken");
        } else if (event.type != YAML_STREAM_START_EVENT &&
                   event.type != YAML_DOCUMENT_START_EVENT &&
                   event.type != YAML_DOCUMENT_END_EVENT && !end) {
            status = read_value(r, &event, 0, &r->yaml->root);
            seen = true;
        }
        yaml_event_delete(&event);
        SLM_TRY(status);
        if (end) return SLM_OK;
    }
}

static int compare_spots(const void *a, const void *b)
{
    const char *x = (const char *)((const spot *)a)->value;
    const char *y = (const char *)((const spot *)b)->value;
    return (x > y) - (x < y);
}

slm_status slm_yaml_parse(const char *text, size_t len, const char *name, slm_yaml **out,
                          slm_error *err)
{
    *out = NULL;
    slm_yaml *yaml = calloc(1, sizeof *yaml);
    if (yaml == NULL) slm_out_of_memory(sizeof *yaml);
    yaml->name = strdup(name);
    if (yaml->name == NULL) slm_out_of_memory(strlen(name));
    if (len > MAX_BYTES) {
        slm_yaml_free(yaml);
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: larger than 4 MiB; is it a settings file?",
                             name);
    }
    reader r = {.yaml = yaml, .err = err};
    if (!yaml_parser_initialize(&r.parser)) slm_out_of_memory(sizeof r.parser);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    slm_status status = read_document(&r);
    yaml_parser_delete(&r.parser);
    if (status != SLM_OK) {
        slm_yaml_free(yaml);
        return status;
    }
    if (yaml->root == NULL) yaml->root = json_null();
    if (yaml->count > 0) qsort(yaml->spots, yaml->count, sizeof *yaml->spots, compare_spots);
    *out = yaml;
    return SLM_OK;
}

slm_status slm_yaml_load(const char *path, slm_yaml **out, slm_error *err)
{
    slm_buffer text = {0};
    slm_status status = slm_file_read(path, MAX_BYTES, &text, err);
    if (status == SLM_OK) {
        status = slm_yaml_parse(slm_buffer_text(&text), text.len, path, out, err);
    }
    slm_buffer_free(&text);
    return status;
}

void slm_yaml_free(slm_yaml *yaml)
{
    if (yaml == NULL) return;
    json_decref(yaml->root);
    free(yaml->spots);
    free(yaml->name);
    free(yaml);
}

const json_t *slm_yaml_root(const slm_yaml *yaml)
{
    return yaml->root;
}

const char *slm_yaml_name(const slm_yaml *yaml)
{
    return yaml->name;
}

size_t slm_yaml_line(const slm_yaml *yaml, const json_t *value)
{
    spot wanted = {.value = value};
    if (yaml->count == 0) return 0;
    const spot *found =
        bsearch(&wanted, yaml->spots, yaml->count, sizeof *yaml->spots, compare_spots);
    return found != NULL ? found->line : 0;
}

size_t slm_yaml_key_line(const slm_yaml *yaml, const char *key)
{
    return slm_yaml_line(yaml, (const void *)key);
}

slm_json_place slm_yaml_place(const slm_yaml *yaml, const json_t *value)
{
    return (slm_json_place){.name = yaml->name, .line = slm_yaml_line(yaml, value)};
}

slm_status slm_yaml_check_keys(const json_t *object, const slm_json_place *place,
                               const char *const *known, slm_error *err)
{
    size_t count = 0;
    while (known[count] != NULL)
        count++;
    for (void *at = json_object_iter((json_t *)(uintptr_t)object); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        const char *key = json_object_iter_key(at);
        size_t i = 0;
        while (i < count && strcmp(known[i], key) != 0)
            i++;
        if (i < count) continue;
        const char *near = slm_options_nearest(key, known, count);
        return slm_json_error(place, err, "unknown key '%.80s'%s%s%s", key,
                              near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                              near != NULL ? "'?" : "");
    }
    return SLM_OK;
}
