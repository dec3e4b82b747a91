/* schema_validator.h: does a value satisfy a JSON Schema? The keywords that the engine knows, written
 * straight from the standard (JSON Schema 2020-12) and sharing nothing with the engine: a second
 * opinion for tests and fuzzers. */
#ifndef SLM_TESTS_SCHEMA_VALIDATOR_H
#define SLM_TESTS_SCHEMA_VALIDATOR_H

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline bool validator__type(const json_t *value, const char *type)
{
    if (strcmp(type, "object") == 0) return json_is_object(value);
    if (strcmp(type, "array") == 0) return json_is_array(value);
    if (strcmp(type, "string") == 0) return json_is_string(value);
    if (strcmp(type, "null") == 0) return json_is_null(value);
    if (strcmp(type, "boolean") == 0) return json_is_boolean(value);
    if (strcmp(type, "number") == 0) return json_is_number(value);
    return json_is_integer(value) ||
           (json_is_real(value) && json_real_value(value) == floor(json_real_value(value)));
}

static inline bool validator__types(const json_t *value, const json_t *types)
{
    if (json_is_string(types)) return validator__type(value, json_string_value(types));
    for (size_t i = 0; i < json_array_size(types); i++)
        if (validator__type(value, json_string_value(json_array_get(types, i)))) return true;
    return false;
}

/* 1 and 1.0 are equal. */
static inline bool validator__equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return !(json_number_value(a) < json_number_value(b)) &&
               !(json_number_value(a) > json_number_value(b));
    if (json_typeof(a) != json_typeof(b)) return false;
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b)) return false;
        for (size_t i = 0; i < json_array_size(a); i++)
            if (!validator__equal(json_array_get(a, i), json_array_get(b, i))) return false;
        return true;
    }
    if (json_is_object(a)) {
        const char *key;
        json_t *value;
        if (json_object_size(a) != json_object_size(b)) return false;
        json_object_foreach((json_t *)(uintptr_t)a, key, value)
        {
            const json_t *other = json_object_get(b, key);
            if (!other || !validator__equal(value, other)) return false;
        }
        return true;
    }
    return json_equal(a, b);
}

static inline const json_t *validator__pointer(const json_t *root, const char *pointer)
{
    char step[256];
    while (root && *pointer == '/') {
        size_t len = strcspn(++pointer, "/"), used = 0;
        for (size_t i = 0; i < len && used < 255; i++) {
            char c = pointer[i];
            if (c == '~' && i + 1 < len) c = pointer[++i] == '1' ? '/' : '~';
            step[used++] = c;
        }
        step[used] = '\0';
        root = json_is_array(root) ? json_array_get(root, strtoul(step, NULL, 10))
                                   : json_object_get(root, step);
        pointer += len;
    }
    return root;
}

static inline size_t validator__characters(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static inline bool schema_holds(const json_t *root, const json_t *schema, const json_t *value);

static inline bool validator__object(const json_t *root, const json_t *schema, const json_t *value)
{
    const json_t *named = json_object_get(schema, "properties"), *other;
    const json_t *required = json_object_get(schema, "required");
    const char *key;
    json_t *member;
    other = json_object_get(schema, "additionalProperties");
    for (size_t i = 0; i < json_array_size(required); i++)
        if (!json_object_get(value, json_string_value(json_array_get(required, i)))) return false;
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        const json_t *its = json_object_get(named, key);
        if (!its) its = other;
        if (its && !schema_holds(root, its, member)) return false;
    }
    return true;
}

static inline size_t validator__branches(const json_t *root, const json_t *branches,
                                         const json_t *value)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(branches); i++)
        count += schema_holds(root, json_array_get(branches, i), value);
    return count;
}

static inline bool validator__bounds(const json_t *schema, const char *least, const char *most,
                                     size_t count)
{
    const json_t *low = json_object_get(schema, least), *high = json_object_get(schema, most);
    return !(low && (double)count < json_number_value(low)) &&
           !(high && (double)count > json_number_value(high));
}

static inline bool validator__keywords(const json_t *root, const json_t *schema,
                                       const json_t *value)
{
    const json_t *word;
    if ((word = json_object_get(schema, "$ref"))) {
        const json_t *target = validator__pointer(root, json_string_value(word) + 1);
        if (!target || !schema_holds(root, target, value)) return false;
    }
    if ((word = json_object_get(schema, "type")) && !validator__types(value, word)) return false;
    if ((word = json_object_get(schema, "const")) && !validator__equal(word, value)) return false;
    if ((word = json_object_get(schema, "enum"))) {
        bool found = false;
        for (size_t i = 0; i < json_array_size(word); i++)
            found |= validator__equal(json_array_get(word, i), value);
        if (!found) return false;
    }
    word = json_object_get(schema, "anyOf");
    if (word && validator__branches(root, word, value) == 0) return false;
    word = json_object_get(schema, "oneOf");
    if (word && validator__branches(root, word, value) != 1) return false;
    word = json_object_get(schema, "allOf");
    if (word && validator__branches(root, word, value) != json_array_size(word)) return false;
    if (json_is_object(value) && !validator__object(root, schema, value)) return false;
    if (json_is_string(value) &&
        !validator__bounds(schema, "minLength", "maxLength",
                           validator__characters(json_string_value(value))))
        return false;
    if (!json_is_array(value)) return true;
    if (!validator__bounds(schema, "minItems", "maxItems", json_array_size(value))) return false;
    word = json_object_get(schema, "items");
    for (size_t i = 0; word && i < json_array_size(value); i++)
        if (!schema_holds(root, word, json_array_get(value, i))) return false;
    return true;
}

/* A schema may lead back to itself without a step into the value; that adds nothing. */
static inline bool schema_holds(const json_t *root, const json_t *schema, const json_t *value)
{
    typedef struct question {
        const struct question *below;
        const json_t *schema, *value;
    } question;
    static const question *asked;
    if (json_is_boolean(schema)) return json_is_true(schema);
    for (const question *q = asked; q; q = q->below)
        if (q->schema == schema && q->value == value) return false;
    const question now = {asked, schema, value};
    asked = &now;
    bool holds = validator__keywords(root, schema, value);
    asked = now.below;
    return holds;
}

#endif
