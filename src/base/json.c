/* json.c: jansson with places.
 *
 * A place is a chain of stack objects from a field up to its file; it is turned into text only when
 * there is something to report. The typed readers all go through member(), which finds the value
 * and words the two mistakes a field can have: it is missing, or it is of another type.
 *
 * Numbers are written so that equal values give equal bytes: a whole number below 2^63 as an
 * integer, anything else with the fewest of 15, 16 or 17 digits that read back as the same double
 * (17 always do; Steele and White, "How to print floating-point numbers accurately", 1990). */
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/utf8.h"

struct slm_jsonl {
    FILE *stream;
    char *name;
    char *text; /* getline's */
    size_t cap;
    size_t line;
};

static const char BYTE_ORDER_MARK[] = "\xEF\xBB\xBF";

slm_status slm_json_parse(const char *text, size_t len, const char *name, size_t line, json_t **out,
                          slm_error *err)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    json_error_t problem;
    *out = json_loadb(text, len, flags, &problem);
    /* A whole number beyond 64 bits is legal JSON, and tokenizer_config.json files hold one for "no
     * limit" (10^30 as a float prints it). Such a text is read with reals only. */
    if (*out == NULL && json_error_code(&problem) == json_error_numeric_overflow)
        *out = json_loadb(text, len, flags | JSON_DECODE_INT_AS_REAL, &problem);
    if (*out != NULL) return SLM_OK;
    size_t at_line = line + (problem.line > 0 ? (size_t)problem.line - 1 : 0);
    return slm_error_set(err, SLM_ERR_FORMAT, "%s:%zu:%d: not valid JSON: %s", name, at_line,
                         problem.column > 0 ? problem.column : 1, problem.text);
}

slm_status slm_json_load(const char *path, json_t **out, slm_error *err)
{
    *out = NULL;
    slm_buffer text = {0};
    slm_status status = slm_file_read(path, 0, &text, err);
    if (status == SLM_OK) {
        size_t skip = text.len >= 3 && memcmp(text.data, BYTE_ORDER_MARK, 3) == 0 ? 3 : 0;
        status = slm_json_parse(text.data + skip, text.len - skip, path, 1, out, err);
    }
    slm_buffer_free(&text);
    return status;
}

/* Appends "a.b[3]"; true if it wrote anything. */
static bool append_path(const slm_json_place *place, slm_buffer *out)
{
    if (place->parent == NULL) return false;
    bool inside = append_path(place->parent, out);
    if (place->key == NULL) {
        slm_buffer_printf(out, "[%zu]", place->index);
    } else {
        if (inside) slm_buffer_append_char(out, '.');
        slm_utf8_append_valid(out, place->key, strlen(place->key));
    }
    return true;
}

void slm_json_place_text(const slm_json_place *place, slm_buffer *out)
{
    const slm_json_place *root = place;
    while (root->parent != NULL)
        root = root->parent;
    slm_buffer_append_text(out, root->name != NULL ? root->name : "JSON");
    if (root->line > 0) slm_buffer_printf(out, ":%zu", root->line);
    if (place->parent != NULL) {
        slm_buffer_append_text(out, ": ");
        append_path(place, out);
    }
}

slm_status slm_json_error(const slm_json_place *place, slm_error *err, const char *format, ...)
{
    if (err == NULL) return SLM_ERR_FORMAT;
    char message[SLM_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    slm_buffer where = {0};
    slm_json_place_text(place, &where);
    slm_error_set(err, SLM_ERR_FORMAT, "%s: %s", slm_buffer_text(&where), message);
    slm_buffer_free(&where);
    return SLM_ERR_FORMAT;
}

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "boolean";
    case JSON_NULL:
        return "null";
    }
    return "unknown";
}

static bool is_object(const json_t *value)
{
    return json_is_object(value);
}
static bool is_array(const json_t *value)
{
    return json_is_array(value);
}
static bool is_string(const json_t *value)
{
    return json_is_string(value);
}
static bool is_number(const json_t *value)
{
    return json_is_number(value);
}
static bool is_boolean(const json_t *value)
{
    return json_is_boolean(value);
}

typedef struct member_kind {
    const char *words; /* "a number" */
    bool (*is)(const json_t *value);
} member_kind;

static const member_kind OBJECT = {"an object", is_object};
static const member_kind ARRAY = {"an array", is_array};
static const member_kind STRING = {"a string", is_string};
static const member_kind NUMBER = {"a number", is_number};
static const member_kind INTEGER = {"a whole number", is_number};
static const member_kind BOOLEAN = {"true or false", is_boolean};

/* The member `key` of object if it is of the kind wanted; NULL in *out if optional and not given. */
static slm_status member(const json_t *object, const char *key, const slm_json_place *place,
                         const member_kind *kind, bool optional, json_t **out, slm_error *err)
{
    static const slm_json_place nowhere = {.name = NULL};
    if (place == NULL) place = &nowhere;
    *out = NULL;
    if (!json_is_object(object)) {
        return slm_json_error(place, err, "expected an object, got %s",
                              object != NULL ? type_name(object) : "nothing");
    }
    slm_json_place here = {.parent = place, .key = key};
    json_t *value = json_object_get(object, key);
    if (value == NULL || (optional && json_is_null(value))) {
        if (optional) return SLM_OK;
        return slm_json_error(&here, err, "missing, expected %s", kind->words);
    }
    if (!kind->is(value)) {
        return slm_json_error(&here, err, "expected %s, got %s", kind->words, type_name(value));
    }
    *out = value;
    return SLM_OK;
}

static slm_status get_string(const json_t *object, const char *key, const slm_json_place *place,
                             bool optional, const char **out, slm_error *err)
{
    json_t *value;
    SLM_TRY(member(object, key, place, &STRING, optional, &value, err));
    if (value != NULL) *out = json_string_value(value);
    return SLM_OK;
}

slm_status slm_json_string(const json_t *object, const char *key, const slm_json_place *place,
                           const char **out, slm_error *err)
{
    return get_string(object, key, place, false, out, err);
}

slm_status slm_json_string_optional(const json_t *object, const char *key,
                                    const slm_json_place *place, const char **out, slm_error *err)
{
    return get_string(object, key, place, true, out, err);
}

static slm_status get_number(const json_t *object, const char *key, const slm_json_place *place,
                             bool optional, double *out, slm_error *err)
{
    json_t *value;
    SLM_TRY(member(object, key, place, &NUMBER, optional, &value, err));
    if (value != NULL) *out = json_number_value(value);
    return SLM_OK;
}

slm_status slm_json_number(const json_t *object, const char *key, const slm_json_place *place,
                           double *out, slm_error *err)
{
    return get_number(object, key, place, false, out, err);
}

slm_status slm_json_number_optional(const json_t *object, const char *key,
                                    const slm_json_place *place, double *out, slm_error *err)
{
    return get_number(object, key, place, true, out, err);
}

static slm_status get_integer(const json_t *object, const char *key, const slm_json_place *place,
                              bool optional, int64_t *out, slm_error *err)
{
    json_t *value;
    SLM_TRY(member(object, key, place, &INTEGER, optional, &value, err));
    if (value == NULL) return SLM_OK;
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return SLM_OK;
    }
    double real = json_real_value(value);
    if (real != floor(real) || real < -0x1p63 || real >= 0x1p63) {
        static const slm_json_place nowhere = {.name = NULL};
        slm_json_place here = {.parent = place != NULL ? place : &nowhere, .key = key};
        return slm_json_error(&here, err, "expected a whole number, got %.17g", real);
    }
    *out = (int64_t)real;
    return SLM_OK;
}

slm_status slm_json_integer(const json_t *object, const char *key, const slm_json_place *place,
                            int64_t *out, slm_error *err)
{
    return get_integer(object, key, place, false, out, err);
}

slm_status slm_json_integer_optional(const json_t *object, const char *key,
                                     const slm_json_place *place, int64_t *out, slm_error *err)
{
    return get_integer(object, key, place, true, out, err);
}

slm_status slm_json_bool_optional(const json_t *object, const char *key,
                                  const slm_json_place *place, bool *out, slm_error *err)
{
    json_t *value;
    SLM_TRY(member(object, key, place, &BOOLEAN, true, &value, err));
    if (value != NULL) *out = json_is_true(value);
    return SLM_OK;
}

slm_status slm_json_array(const json_t *object, const char *key, const slm_json_place *place,
                          json_t **out, slm_error *err)
{
    json_t *value;
    SLM_TRY(member(object, key, place, &ARRAY, false, &value, err));
    *out = value;
    return SLM_OK;
}

slm_status slm_json_array_optional(const json_t *object, const char *key,
                                   const slm_json_place *place, json_t **out, slm_error *err)
{
    json_t *value;
    SLM_TRY(member(object, key, place, &ARRAY, true, &value, err));
    if (value != NULL) *out = value;
    return SLM_OK;
}

slm_status slm_json_object_optional(const json_t *object, const char *key,
                                    const slm_json_place *place, json_t **out, slm_error *err)
{
    json_t *value;
    SLM_TRY(member(object, key, place, &OBJECT, true, &value, err));
    if (value != NULL) *out = value;
    return SLM_OK;
}

slm_status slm_jsonl_open(const char *path, slm_jsonl **out, slm_error *err)
{
    *out = NULL;
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *stream = is_stdin ? stdin : fopen(path, "re");
    if (stream == NULL) {
        return slm_error_set(err, errno == ENOENT ? SLM_ERR_NOT_FOUND : SLM_ERR_IO,
                             "cannot open %s: %s", path, strerror(errno));
    }
    slm_jsonl *reader = calloc(1, sizeof *reader);
    if (reader == NULL) slm_out_of_memory(sizeof *reader);
    reader->stream = stream;
    reader->name = strdup(is_stdin ? "standard input" : path);
    if (reader->name == NULL) slm_out_of_memory(strlen(path));
    *out = reader;
    return SLM_OK;
}

slm_status slm_jsonl_next(slm_jsonl *reader, json_t **out, size_t *line, slm_error *err)
{
    *out = NULL;
    for (;;) {
        errno = 0;
        ssize_t got = getline(&reader->text, &reader->cap, reader->stream);
        if (got < 0) {
            if (feof(reader->stream) && !ferror(reader->stream)) return SLM_OK;
            if (errno == ENOMEM) slm_out_of_memory(reader->cap);
            return slm_error_set(err, SLM_ERR_IO, "cannot read %s: %s", reader->name,
                                 strerror(errno));
        }
        reader->line++;
        const char *text = reader->text;
        size_t len = (size_t)got;
        if (reader->line == 1 && len >= 3 && memcmp(text, BYTE_ORDER_MARK, 3) == 0) {
            text += 3;
            len -= 3;
        }
        while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL && text[len - 1] != '\0')
            len--;
        if (len == 0) continue;
        json_t *value;
        SLM_TRY(slm_json_parse(text, len, reader->name, reader->line, &value, err));
        if (!json_is_object(value)) {
            slm_status status = slm_error_set(err, SLM_ERR_FORMAT,
                                              "%s:%zu: expected an object on each line, got %s",
                                              reader->name, reader->line, type_name(value));
            json_decref(value);
            return status;
        }
        *out = value;
        if (line != NULL) *line = reader->line;
        return SLM_OK;
    }
}

void slm_jsonl_close(slm_jsonl *reader)
{
    if (reader == NULL) return;
    if (reader->stream != stdin) fclose(reader->stream);
    free(reader->name);
    free(reader->text);
    free(reader);
}

enum { SCAN_WORK_MAX = 32 << 20 };

json_t *slm_json_scan_next(slm_json_scan *scan)
{
    while (scan->at < scan->len && !slm_json_scan_is_tangled(scan)) {
        size_t begin = scan->at++;
        if (scan->text[begin] != '{') continue;
        json_error_t error;
        json_t *object = json_loadb(scan->text + begin, scan->len - begin,
                                    JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &error);
        size_t used = error.position > 0 ? (size_t)error.position : 1;
        scan->work += used;
        scan->behind = begin + used;
        if (object != NULL) return object;
    }
    return NULL;
}

void slm_json_scan_skip(slm_json_scan *scan)
{
    scan->at = scan->behind;
}

bool slm_json_scan_is_tangled(const slm_json_scan *scan)
{
    return scan->work >= SCAN_WORK_MAX;
}

void slm_json_append_string(slm_buffer *out, const char *text, size_t len)
{
    slm_buffer_append_char(out, '"');
    size_t plain = 0; /* start of the run that needs no change */
    for (size_t at = 0; at < len;) {
        unsigned char c = (unsigned char)text[at];
        uint32_t codepoint;
        size_t step = c < 0x80 ? 1 : slm_utf8_decode(text + at, len - at, &codepoint);
        bool bad = c >= 0x80 && step == 1;
        if (c >= 0x20 && c != '"' && c != '\\' && !bad) {
            at += step;
            continue;
        }
        slm_buffer_append(out, text + plain, at - plain);
        const char *found = strchr("\"\"\\\\\bb\ff\nn\rr\tt", c);
        if (bad) {
            slm_buffer_append_text(out, "\xEF\xBF\xBD");
        } else if (c != '\0' && found != NULL && strchr("\"\\\b\f\n\r\t", c) != NULL) {
            slm_buffer_append_char(out, '\\');
            slm_buffer_append_char(out, found[1]);
        } else {
            slm_buffer_printf(out, "\\u%04x", c);
        }
        at += step;
        plain = at;
    }
    slm_buffer_append(out, text + plain, len - plain);
    slm_buffer_append_char(out, '"');
}

void slm_json_append_number(slm_buffer *out, double value)
{
    if (!isfinite(value)) {
        slm_buffer_append_text(out, "null");
        return;
    }
    if (value == 0 && signbit(value)) {
        slm_buffer_append_text(out, "-0.0");
        return;
    }
    if (value == floor(value) && value >= -0x1p63 && value < 0x1p63) {
        slm_buffer_printf(out, "%" PRId64, (int64_t)value);
        return;
    }
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    /* A program that set a locale may get a decimal comma from printf. */
    char *comma = strchr(text, ',');
    if (comma != NULL) *comma = '.';
    slm_buffer_append_text(out, text);
}

static int compare_keys(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

static void append_object(slm_buffer *out, const json_t *object)
{
    size_t count = json_object_size(object);
    const char **keys = malloc((count + 1) * sizeof *keys);
    if (keys == NULL) slm_out_of_memory(count * sizeof *keys);
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        keys[n++] = key;
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    slm_buffer_append_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i > 0) slm_buffer_append_char(out, ',');
        slm_json_append_string(out, keys[i], strlen(keys[i]));
        slm_buffer_append_char(out, ':');
        slm_json_append_canonical(out, json_object_get(object, keys[i]));
    }
    slm_buffer_append_char(out, '}');
    free(keys);
}

void slm_json_append_canonical(slm_buffer *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        append_object(out, value);
        break;
    case JSON_ARRAY:
        slm_buffer_append_char(out, '[');
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i > 0) slm_buffer_append_char(out, ',');
            slm_json_append_canonical(out, json_array_get(value, i));
        }
        slm_buffer_append_char(out, ']');
        break;
    case JSON_STRING:
        slm_json_append_string(out, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        slm_buffer_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        slm_json_append_number(out, json_real_value(value));
        break;
    case JSON_TRUE:
        slm_buffer_append_text(out, "true");
        break;
    case JSON_FALSE:
        slm_buffer_append_text(out, "false");
        break;
    case JSON_NULL:
        slm_buffer_append_text(out, "null");
        break;
    }
}
