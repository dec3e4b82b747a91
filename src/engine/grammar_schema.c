/* grammar_schema.c: a JSON Schema becomes nodes that the automaton can walk.
 *
 * Keywords as in JSON Schema 2020-12: type (a name or a list), properties, required,
 * additionalProperties, items, minItems, maxItems, minLength, maxLength, enum, const, anyOf, oneOf,
 * an allOf of one, $ref into the same document, true and false. Notes (title, description, ...) are
 * passed over. Everything else is refused by name: a reply that looks held to a schema and is not
 * would be worse than none.
 *
 * The nodes may accept less than the schema does, never more:
 *  - properties come in the order of `properties`, each once; further ones only where
 *    additionalProperties asks for them or nothing else is said, and behind the named ones;
 *  - a schema with `properties`, `items` or `maxLength` but no `type` means objects, arrays, strings;
 *  - literals and names have one spelling.
 * oneOf is read as anyOf, which is right only where two branches cannot hold at once: that is proven
 * by type, by value, or by a required property whose values differ; else it is refused.
 *
 * Each node knows how low its lowest value is, so that the automaton never opens what it could not
 * close within GRAMMAR_DEPTH_MAX, and recursion without an end is found here. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/grammar_internal.h"

enum { NODES_MAX = 1 << 16, NESTING_MAX = 128 };

typedef struct one_of {
    struct one_of *next;
    const uint32_t *branches;
    uint32_t count;
    const char *path;
} one_of;

typedef struct seen {
    const json_t *schema;
    uint32_t node;
} seen;

typedef struct compiler {
    grammar_nodes *out;
    const json_t *document;
    slm_buffer path;
    seen *seen;
    size_t seen_count, seen_cap;
    one_of *one_ofs;
    uint32_t any; /* the node of every value; GRAMMAR_NONE until it is needed */
    int nesting;
    slm_error *err;
} compiler;

static slm_status schema_node(compiler *c, const json_t *schema, uint32_t *out);

static slm_status refuse(compiler *c, slm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static slm_status refuse(compiler *c, slm_status status, const char *format, ...)
{
    slm_buffer text = {0};
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    slm_buffer_printf(&text, "the JSON schema at #%s: %s", slm_buffer_text(&c->path), message);
    slm_error_set(c->err, status, "%s", slm_buffer_text(&text));
    slm_buffer_free(&text);
    return status;
}

/* ---- making nodes -------------------------------------------------------------------------- */

static grammar_node *at(compiler *c, uint32_t node)
{
    return &c->out->items[node];
}

static slm_status new_node(compiler *c, grammar_kind kind, uint32_t *out)
{
    grammar_nodes *nodes = c->out;
    if (nodes->count == NODES_MAX)
        return refuse(c, SLM_ERR_LIMIT, "the schema is too large; %d parts are the most",
                      NODES_MAX);
    if (nodes->count == nodes->cap) {
        nodes->cap = nodes->cap ? 2 * nodes->cap : 32;
        nodes->items = realloc(nodes->items, nodes->cap * sizeof *nodes->items);
        if (!nodes->items) slm_out_of_memory(nodes->cap * sizeof *nodes->items);
    }
    nodes->items[nodes->count] = (grammar_node){
        .kind = kind, .height = GRAMMAR_NONE, .max = GRAMMAR_NONE, .value = GRAMMAR_NONE};
    *out = nodes->count++;
    return SLM_OK;
}

static void add_item(compiler *c, uint32_t choice, uint32_t item)
{
    grammar_node *node = at(c, choice);
    if ((node->count & (node->count - 1)) == 0) { /* full at 0 and each power of two */
        uint32_t *grown = slm_arena_array(&c->out->arena, node->count ? 2 * (size_t)node->count : 1,
                                          sizeof *grown);
        if (node->count) memcpy(grown, node->items, node->count * sizeof *grown);
        node->items = grown;
    }
    node->items[node->count++] = item;
}

static slm_status add_leaf(compiler *c, uint32_t choice, grammar_kind kind, uint32_t *out)
{
    SLM_TRY(new_node(c, kind, out));
    add_item(c, choice, *out);
    return SLM_OK;
}

static void mark_bytes(compiler *c, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        c->out->literal_bytes[(uint8_t)text[i]] = true;
}

static slm_status add_literal(compiler *c, uint32_t choice, const char *text, size_t len)
{
    uint32_t leaf;
    SLM_TRY(add_leaf(c, choice, GRAMMAR_LITERAL, &leaf));
    at(c, leaf)->text = slm_arena_strndup(&c->out->arena, text, len);
    at(c, leaf)->text_len = (uint32_t)len;
    mark_bytes(c, text, len);
    return SLM_OK;
}

static slm_status add_word(compiler *c, uint32_t choice, const char *word)
{
    return add_literal(c, choice, word, strlen(word));
}

/* The node of every value. */
static slm_status any_node(compiler *c, uint32_t *out)
{
    uint32_t leaf;
    if (c->any != GRAMMAR_NONE) {
        *out = c->any;
        return SLM_OK;
    }
    SLM_TRY(new_node(c, GRAMMAR_CHOICE, &c->any));
    SLM_TRY(add_leaf(c, c->any, GRAMMAR_STRING, &leaf));
    SLM_TRY(add_leaf(c, c->any, GRAMMAR_NUMBER, &leaf));
    SLM_TRY(add_leaf(c, c->any, GRAMMAR_OBJECT, &leaf));
    at(c, leaf)->value = c->any;
    SLM_TRY(add_leaf(c, c->any, GRAMMAR_ARRAY, &leaf));
    at(c, leaf)->value = c->any;
    SLM_TRY(add_word(c, c->any, "true"));
    SLM_TRY(add_word(c, c->any, "false"));
    SLM_TRY(add_word(c, c->any, "null"));
    *out = c->any;
    return SLM_OK;
}

/* A schema below the one at hand: `key` and, unless NULL, `name` go onto the path. */
static slm_status child_node(compiler *c, const json_t *schema, const char *key, const char *name,
                             uint32_t *out)
{
    size_t before = c->path.len;
    slm_buffer_printf(&c->path, "/%s", key);
    if (name) slm_buffer_printf(&c->path, "/%s", name);
    slm_status status = schema_node(c, schema, out);
    if (status == SLM_OK) slm_buffer_truncate(&c->path, before);
    return status;
}

/* ---- keywords ------------------------------------------------------------------------------ */

static const char *const notes[] = {"title",       "description", "default",  "examples",
                                    "$schema",     "$id",         "$comment", "$defs",
                                    "definitions", "deprecated",  "readOnly", "writeOnly"};
static const char *const typed[] = {"type",     "properties", "required", "additionalProperties",
                                    "items",    "minItems",   "maxItems", "minLength",
                                    "maxLength"};

static bool listed(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0) return true;
    return false;
}

#define LISTED(word, words) listed(word, words, sizeof(words) / sizeof(words)[0])

/* Every keyword is a note, one of `words`, or refused. `head` is the keyword that decides. */
static slm_status check_keywords(compiler *c, const json_t *schema, const char *head,
                                 const char *const *words, size_t count)
{
    const char *key;
    json_t *value;
    static const char *const known[] = {"enum", "const", "anyOf", "oneOf", "allOf", "$ref"};
    json_object_foreach((json_t *)(uintptr_t)schema, key, value)
    {
        if (LISTED(key, notes) || listed(key, words, count)) continue;
        if (head && (LISTED(key, known) || LISTED(key, typed)))
            return refuse(c, SLM_ERR_UNSUPPORTED, "'%s' beside '%s' is not supported", key, head);
        return refuse(c, SLM_ERR_UNSUPPORTED, "'%.60s' is not supported", key);
    }
    return SLM_OK;
}

static slm_status read_bound(compiler *c, const json_t *schema, const char *key, uint32_t *out)
{
    const json_t *value = json_object_get(schema, key);
    if (!value) return SLM_OK;
    json_int_t bound = json_is_integer(value) ? json_integer_value(value) : -1;
    if (json_is_real(value) && json_real_value(value) < 1e9 &&
        json_real_value(value) == (double)(json_int_t)json_real_value(value))
        bound = (json_int_t)json_real_value(value);
    if (bound < 0 || bound >= (json_int_t)GRAMMAR_NONE)
        return refuse(c, SLM_ERR_INVALID, "'%s' must be a whole number from 0 to 4294967294", key);
    *out = (uint32_t)bound;
    return SLM_OK;
}

static slm_status read_bounds(compiler *c, const json_t *schema, const char *least,
                              const char *most, grammar_node *out)
{
    SLM_TRY(read_bound(c, schema, least, &out->min));
    SLM_TRY(read_bound(c, schema, most, &out->max));
    if (out->min > out->max) return refuse(c, SLM_ERR_INVALID, "%s is above %s", least, most);
    return SLM_OK;
}

static slm_status add_string(compiler *c, const json_t *schema, uint32_t choice)
{
    grammar_node bounds = {.max = GRAMMAR_NONE};
    uint32_t leaf;
    SLM_TRY(read_bounds(c, schema, "minLength", "maxLength", &bounds));
    SLM_TRY(add_leaf(c, choice, GRAMMAR_STRING, &leaf));
    at(c, leaf)->min = bounds.min;
    at(c, leaf)->max = bounds.max;
    return SLM_OK;
}

static slm_status add_array(compiler *c, const json_t *schema, uint32_t choice)
{
    const json_t *items = json_object_get(schema, "items");
    grammar_node bounds = {.max = GRAMMAR_NONE};
    uint32_t leaf, value;
    SLM_TRY(read_bounds(c, schema, "minItems", "maxItems", &bounds));
    if (items)
        SLM_TRY(child_node(c, items, "items", NULL, &value));
    else
        SLM_TRY(any_node(c, &value));
    SLM_TRY(add_leaf(c, choice, GRAMMAR_ARRAY, &leaf));
    at(c, leaf)->min = bounds.min;
    at(c, leaf)->max = bounds.max;
    at(c, leaf)->value = value;
    return SLM_OK;
}

/* What further properties may be: GRAMMAR_NONE without any. `others`: what `required` may name
 * beyond `properties`, which also holds where further ones are merely not forbidden. */
static slm_status read_additional(compiler *c, const json_t *schema, uint32_t *out,
                                  uint32_t *others)
{
    const json_t *value = json_object_get(schema, "additionalProperties");
    *out = *others = GRAMMAR_NONE;
    if (json_is_false(value)) return SLM_OK;
    if (value && !json_is_true(value))
        SLM_TRY(child_node(c, value, "additionalProperties", NULL, others));
    else
        SLM_TRY(any_node(c, others));
    if (value || !json_object_get(schema, "properties")) *out = *others;
    return SLM_OK;
}

static void set_property(compiler *c, grammar_property *property, const char *name, uint32_t value)
{
    slm_buffer key = {0};
    slm_json_append_string(&key, name, strlen(name));
    slm_buffer_append_char(&key, ':');
    mark_bytes(c, key.data, key.len);
    property->name = slm_arena_strdup(&c->out->arena, name);
    property->key = slm_arena_strndup(&c->out->arena, key.data, key.len);
    property->key_len = (uint32_t)key.len;
    property->value = value;
    slm_buffer_free(&key);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static slm_status read_required(compiler *c, const json_t *required, uint32_t others,
                                grammar_property *properties, uint32_t *count)
{
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (!name) return refuse(c, SLM_ERR_INVALID, "'required' must be a list of names");
        uint32_t p = 0;
        while (p < *count && strcmp(properties[p].name, name) != 0)
            p++;
        if (p == *count) {
            if (others == GRAMMAR_NONE)
                return refuse(c, SLM_ERR_INVALID,
                              "'%.60s' is required, not among 'properties', and others are "
                              "forbidden",
                              name);
            set_property(c, &properties[(*count)++], name, others);
        }
        properties[p].required = true;
    }
    return SLM_OK;
}

static slm_status add_object(compiler *c, const json_t *schema, uint32_t choice)
{
    json_t *named = json_object_get(schema, "properties"), *value;
    const json_t *required = json_object_get(schema, "required");
    const char *name;
    uint32_t count = 0, additional, others, leaf;
    if (named && !json_is_object(named))
        return refuse(c, SLM_ERR_INVALID, "'properties' must be an object");
    if (required && !json_is_array(required))
        return refuse(c, SLM_ERR_INVALID, "'required' must be a list of names");
    grammar_property *properties =
        slm_arena_array(&c->out->arena, json_object_size(named) + json_array_size(required) + 1,
                        sizeof *properties);
    json_object_foreach(named, name, value)
    {
        uint32_t node;
        SLM_TRY(child_node(c, value, "properties", name, &node));
        set_property(c, &properties[count++], name, node);
    }
    SLM_TRY(read_additional(c, schema, &additional, &others));
    SLM_TRY(read_required(c, required, others, properties, &count));
    SLM_TRY(add_leaf(c, choice, GRAMMAR_OBJECT, &leaf));
    grammar_node *node = at(c, leaf);
    node->value = additional;
    node->properties = properties;
    node->count = count;
    node->names = slm_arena_array(&c->out->arena, (size_t)count + 1, sizeof *node->names);
    for (uint32_t i = 0; i < count; i++)
        node->names[i] = properties[i].name;
    if (count > 0) qsort(node->names, count, sizeof *node->names, by_name);
    return SLM_OK;
}

static slm_status add_type(compiler *c, const json_t *schema, uint32_t choice, const char *type)
{
    uint32_t leaf;
    if (strcmp(type, "object") == 0) return add_object(c, schema, choice);
    if (strcmp(type, "array") == 0) return add_array(c, schema, choice);
    if (strcmp(type, "string") == 0) return add_string(c, schema, choice);
    if (strcmp(type, "null") == 0) return add_word(c, choice, "null");
    if (strcmp(type, "boolean") == 0) {
        SLM_TRY(add_word(c, choice, "true"));
        return add_word(c, choice, "false");
    }
    bool whole = strcmp(type, "integer") == 0;
    if (!whole && strcmp(type, "number") != 0)
        return refuse(c, SLM_ERR_INVALID,
                      "the type '%.60s' is not known; there are object, array, string, number, "
                      "integer, boolean and null",
                      type);
    SLM_TRY(add_leaf(c, choice, GRAMMAR_NUMBER, &leaf));
    at(c, leaf)->whole = whole;
    return SLM_OK;
}

/* The types that a schema without `type` means, in `out`[3]. */
static size_t meant_types(const json_t *schema, const char **out)
{
    static const struct {
        const char *key, *type;
    } meant[] = {
        {"properties", "object"}, {"required", "object"}, {"additionalProperties", "object"},
        {"items", "array"},       {"minItems", "array"},  {"maxItems", "array"},
        {"minLength", "string"},  {"maxLength", "string"}};
    size_t count = 0;
    for (size_t i = 0; i < sizeof meant / sizeof meant[0]; i++) {
        if (!json_object_get(schema, meant[i].key)) continue;
        if (count == 0 || strcmp(out[count - 1], meant[i].type) != 0) out[count++] = meant[i].type;
    }
    return count;
}

static slm_status add_types(compiler *c, const json_t *schema, uint32_t choice)
{
    const json_t *type = json_object_get(schema, "type");
    const char *meant[3];
    uint32_t any;
    SLM_TRY(check_keywords(c, schema, NULL, typed, sizeof typed / sizeof typed[0]));
    if (json_is_string(type)) return add_type(c, schema, choice, json_string_value(type));
    for (size_t i = 0; i < json_array_size(type); i++) {
        const char *name = json_string_value(json_array_get(type, i));
        if (!name) break;
        SLM_TRY(add_type(c, schema, choice, name));
        if (i + 1 == json_array_size(type)) return SLM_OK;
    }
    if (type)
        return refuse(c, SLM_ERR_INVALID, "'type' must be a name or a list of names, not empty");
    size_t count = meant_types(schema, meant);
    for (size_t i = 0; i < count; i++)
        SLM_TRY(add_type(c, schema, choice, meant[i]));
    if (count > 0) return SLM_OK;
    SLM_TRY(any_node(c, &any));
    add_item(c, choice, any);
    return SLM_OK;
}

/* ---- values, branches, references ---------------------------------------------------------- */

static bool has_type_name(const json_t *value, const char *type)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return strcmp(type, "object") == 0;
    case JSON_ARRAY:
        return strcmp(type, "array") == 0;
    case JSON_STRING:
        return strcmp(type, "string") == 0;
    case JSON_INTEGER:
        return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
    case JSON_REAL:
        return strcmp(type, "number") == 0;
    case JSON_NULL:
        return strcmp(type, "null") == 0;
    default:
        return strcmp(type, "boolean") == 0;
    }
}

static bool has_type(const json_t *value, const json_t *type)
{
    if (!type) return true;
    if (json_is_string(type)) return has_type_name(value, json_string_value(type));
    for (size_t i = 0; i < json_array_size(type); i++) {
        const char *name = json_string_value(json_array_get(type, i));
        if (name && has_type_name(value, name)) return true;
    }
    return false;
}

static slm_status add_value(compiler *c, const json_t *schema, uint32_t choice, const json_t *value)
{
    slm_buffer text = {0};
    if (!has_type(value, json_object_get(schema, "type"))) return SLM_OK;
    slm_json_append_canonical(&text, value);
    slm_status status = add_literal(c, choice, text.data, text.len);
    slm_buffer_free(&text);
    return status;
}

static slm_status add_values(compiler *c, const json_t *schema, const char *head, uint32_t choice)
{
    static const char *const beside[] = {"enum", "type"}, *const one[] = {"const", "type"};
    const json_t *value = json_object_get(schema, head);
    if (strcmp(head, "const") == 0) {
        SLM_TRY(check_keywords(c, schema, head, one, 2));
        SLM_TRY(add_value(c, schema, choice, value));
    } else {
        SLM_TRY(check_keywords(c, schema, head, beside, 2));
        if (json_array_size(value) == 0)
            return refuse(c, SLM_ERR_INVALID, "'enum' must be a list of values, not empty");
        for (size_t i = 0; i < json_array_size(value); i++)
            SLM_TRY(add_value(c, schema, choice, json_array_get(value, i)));
    }
    if (at(c, choice)->count == 0)
        return refuse(c, SLM_ERR_INVALID, "no value of '%s' has the type that 'type' asks for",
                      head);
    return SLM_OK;
}

static slm_status add_branches(compiler *c, const json_t *schema, const char *head, uint32_t choice)
{
    const json_t *branches = json_object_get(schema, head);
    size_t count = json_array_size(branches);
    SLM_TRY(check_keywords(c, schema, head, &head, 1));
    if (count == 0)
        return refuse(c, SLM_ERR_INVALID, "'%s' must be a list of schemas, not empty", head);
    if (strcmp(head, "allOf") == 0 && count > 1)
        return refuse(c, SLM_ERR_UNSUPPORTED, "'allOf' of more than one schema is not supported");
    uint32_t *nodes = slm_arena_array(&c->out->arena, count, sizeof *nodes);
    for (size_t i = 0; i < count; i++) {
        char index[24];
        snprintf(index, sizeof index, "%zu", i);
        SLM_TRY(child_node(c, json_array_get(branches, i), head, index, &nodes[i]));
        add_item(c, choice, nodes[i]);
    }
    if (strcmp(head, "oneOf") != 0) return SLM_OK;
    one_of *check = slm_arena_alloc(&c->out->arena, sizeof *check);
    *check = (one_of){.next = c->one_ofs,
                      .branches = nodes,
                      .count = (uint32_t)count,
                      .path = slm_arena_strdup(&c->out->arena, slm_buffer_text(&c->path))};
    c->one_ofs = check;
    return SLM_OK;
}

/* One step of a JSON pointer (RFC 6901): ~1 is /, ~0 is ~. */
static const json_t *step_into(const json_t *value, const char *step, size_t len)
{
    char name[256];
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        char byte = step[i];
        if (used + 1 == sizeof name) return NULL;
        if (byte == '~' && i + 1 < len) byte = step[++i] == '1' ? '/' : '~';
        name[used++] = byte;
    }
    name[used] = '\0';
    if (json_is_object(value)) return json_object_get(value, name);
    if (!json_is_array(value) || used == 0 || strspn(name, "0123456789") != used) return NULL;
    return json_array_get(value, (size_t)strtoull(name, NULL, 10));
}

static slm_status add_reference(compiler *c, const json_t *schema, uint32_t choice)
{
    static const char *const alone[] = {"$ref"};
    const char *text = json_string_value(json_object_get(schema, "$ref"));
    const json_t *target = c->document;
    uint32_t node;
    SLM_TRY(check_keywords(c, schema, "$ref", alone, 1));
    if (!text || text[0] != '#' || (text[1] && text[1] != '/'))
        return refuse(c, SLM_ERR_UNSUPPORTED,
                      "'$ref' must point into the same schema, as \"#/$defs/NAME\"");
    for (const char *step = text + 1; *step && target;) {
        size_t len = strcspn(++step, "/");
        target = step_into(target, step, len);
        step += len;
    }
    if (!target)
        return refuse(c, SLM_ERR_INVALID, "'$ref' points at %.100s, which is not there", text);
    size_t before = c->path.len; /* errors below name the place that is pointed at */
    slm_buffer path = c->path;
    c->path = (slm_buffer){0};
    slm_buffer_append_text(&c->path, text + 1);
    slm_status status = schema_node(c, target, &node);
    if (status != SLM_OK) {
        slm_buffer_free(&path);
        return status;
    }
    slm_buffer_free(&c->path);
    c->path = path;
    SLM_ASSERT(c->path.len == before);
    add_item(c, choice, node);
    return SLM_OK;
}

static slm_status fill_node(compiler *c, const json_t *schema, uint32_t node)
{
    static const char *const heads[] = {"$ref", "const", "enum", "anyOf", "oneOf", "allOf"};
    uint32_t any;
    if (json_is_false(schema)) return SLM_OK; /* a choice of nothing */
    if (json_is_true(schema)) {
        SLM_TRY(any_node(c, &any));
        add_item(c, node, any);
        return SLM_OK;
    }
    if (!json_is_object(schema))
        return refuse(c, SLM_ERR_INVALID, "a schema must be an object, true or false");
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        if (!json_object_get(schema, heads[i])) continue;
        if (i == 0) return add_reference(c, schema, node);
        if (i < 3) return add_values(c, schema, heads[i], node);
        return add_branches(c, schema, heads[i], node);
    }
    return add_types(c, schema, node);
}

static slm_status schema_node(compiler *c, const json_t *schema, uint32_t *out)
{
    for (size_t i = 0; i < c->seen_count; i++) {
        /* true, false and null are one value each in jansson, wherever they stand. */
        if (c->seen[i].schema != schema || !json_is_object(schema)) continue;
        *out = c->seen[i].node;
        return SLM_OK;
    }
    if (c->nesting == NESTING_MAX)
        return refuse(c, SLM_ERR_LIMIT, "more than %d schemas within each other", NESTING_MAX);
    SLM_TRY(new_node(c, GRAMMAR_CHOICE, out));
    if (c->seen_count == c->seen_cap) {
        c->seen_cap = c->seen_cap ? 2 * c->seen_cap : 32;
        c->seen = realloc(c->seen, c->seen_cap * sizeof *c->seen);
        if (!c->seen) slm_out_of_memory(c->seen_cap * sizeof *c->seen);
    }
    c->seen[c->seen_count++] = (seen){schema, *out};
    c->nesting++;
    slm_status status = fill_node(c, schema, *out);
    c->nesting--;
    return status;
}

/* ---- once all nodes are there -------------------------------------------------------------- */

/* Append to `leaves` what a node may be; `mark` tells which choices were looked into. */
static void collect_leaves(const grammar_nodes *nodes, uint32_t node, uint8_t *mark,
                           uint32_t *leaves, uint32_t *count)
{
    uint32_t *stack = malloc(((size_t)nodes->count + 1) * sizeof *stack), depth = 0;
    if (!stack) slm_out_of_memory(nodes->count * sizeof *stack);
    memset(mark, 0, nodes->count);
    stack[depth++] = node;
    mark[node] = 1;
    while (depth > 0) {
        uint32_t now = stack[--depth];
        const grammar_node *n = &nodes->items[now];
        if (n->kind != GRAMMAR_CHOICE) {
            leaves[(*count)++] = now;
            continue;
        }
        for (uint32_t i = n->count; i-- > 0;) {
            if (mark[n->items[i]]) continue;
            mark[n->items[i]] = 1;
            stack[depth++] = n->items[i];
        }
    }
    free(stack);
}

static void flatten(compiler *c)
{
    grammar_nodes *nodes = c->out;
    uint8_t *mark = malloc((size_t)nodes->count + 1);
    uint32_t *leaves = malloc(((size_t)nodes->count + 1) * sizeof *leaves);
    uint32_t **flat = calloc((size_t)nodes->count + 1, sizeof *flat);
    uint32_t *counts = calloc((size_t)nodes->count + 1, sizeof *counts);
    if (!mark || !leaves || !flat || !counts) slm_out_of_memory(nodes->count);
    for (uint32_t i = 0; i < nodes->count; i++) {
        if (nodes->items[i].kind != GRAMMAR_CHOICE) continue;
        collect_leaves(nodes, i, mark, leaves, &counts[i]);
        flat[i] = slm_arena_array(&nodes->arena, counts[i], sizeof *leaves);
        if (counts[i]) memcpy(flat[i], leaves, counts[i] * sizeof *leaves);
    }
    for (uint32_t i = 0; i < nodes->count; i++) {
        if (nodes->items[i].kind != GRAMMAR_CHOICE) continue;
        nodes->items[i].items = flat[i];
        nodes->items[i].count = counts[i];
    }
    free(mark);
    free(leaves);
    free(flat);
    free(counts);
}

static uint32_t node_height(const grammar_nodes *nodes, const grammar_node *node)
{
    uint32_t height = node->kind == GRAMMAR_CHOICE ? GRAMMAR_NONE : 0;
    switch (node->kind) {
    case GRAMMAR_CHOICE:
        for (uint32_t i = 0; i < node->count; i++)
            if (nodes->items[node->items[i]].height < height)
                height = nodes->items[node->items[i]].height;
        return height;
    case GRAMMAR_OBJECT:
        for (uint32_t i = 0; i < node->count; i++) {
            uint32_t below = nodes->items[node->properties[i].value].height;
            if (node->properties[i].required && below > height) height = below;
        }
        break;
    case GRAMMAR_ARRAY:
        if (node->min > 0) height = nodes->items[node->value].height;
        break;
    default:
        return 0;
    }
    return height >= GRAMMAR_DEPTH_MAX ? GRAMMAR_NONE : height + 1;
}

/* The least fixed point from above: each pass settles one more level at least. */
static void measure_heights(grammar_nodes *nodes)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < nodes->count; i++) {
            uint32_t height = node_height(nodes, &nodes->items[i]);
            changed |= height != nodes->items[i].height;
            nodes->items[i].height = height;
        }
    }
}

/* ---- oneOf --------------------------------------------------------------------------------- */

static bool is_number_text(const grammar_node *node)
{
    return node->text[0] == '-' || (node->text[0] >= '0' && node->text[0] <= '9');
}

static grammar_kind kind_of_literal(const grammar_node *node)
{
    if (node->text[0] == '"') return GRAMMAR_STRING;
    if (node->text[0] == '{') return GRAMMAR_OBJECT;
    if (node->text[0] == '[') return GRAMMAR_ARRAY;
    return is_number_text(node) ? GRAMMAR_NUMBER : GRAMMAR_LITERAL;
}

/* No value is both; for two leaves that are no objects, or where one is a literal. */
static bool are_apart(const grammar_node *a, const grammar_node *b)
{
    if (a->kind != GRAMMAR_LITERAL && b->kind != GRAMMAR_LITERAL) return a->kind != b->kind;
    if (a->kind == GRAMMAR_LITERAL && b->kind == GRAMMAR_LITERAL) {
        if (is_number_text(a) && is_number_text(b))
            return strtod(a->text, NULL) < strtod(b->text, NULL) ||
                   strtod(a->text, NULL) > strtod(b->text, NULL);
        return a->text_len != b->text_len || memcmp(a->text, b->text, a->text_len) != 0;
    }
    const grammar_node *literal = a->kind == GRAMMAR_LITERAL ? a : b, *other = a == literal ? b : a;
    return kind_of_literal(literal) != other->kind;
}

static bool all_literals_apart(const grammar_nodes *nodes, uint32_t a, uint32_t b)
{
    const grammar_node *x = &nodes->items[a], *y = &nodes->items[b];
    for (uint32_t i = 0; i < x->count; i++)
        for (uint32_t k = 0; k < y->count; k++) {
            const grammar_node *left = &nodes->items[x->items[i]];
            const grammar_node *right = &nodes->items[y->items[k]];
            if (left->kind == GRAMMAR_OBJECT && right->kind == GRAMMAR_OBJECT) return false;
            if (!are_apart(left, right)) return false;
        }
    return true;
}

/* Two kinds of object that a property tells apart, which both must have. */
static bool objects_are_apart(const grammar_nodes *nodes, const grammar_node *a,
                              const grammar_node *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        const grammar_property *p = &a->properties[i];
        for (uint32_t k = 0; p->required && k < b->count; k++) {
            const grammar_property *q = &b->properties[k];
            if (q->required && strcmp(p->name, q->name) == 0 &&
                all_literals_apart(nodes, p->value, q->value))
                return true;
        }
    }
    return false;
}

static slm_status check_one_of(compiler *c, const one_of *check)
{
    const grammar_nodes *nodes = c->out;
    for (uint32_t i = 0; i < check->count; i++)
        for (uint32_t k = i + 1; k < check->count; k++) {
            const grammar_node *a = &nodes->items[check->branches[i]];
            const grammar_node *b = &nodes->items[check->branches[k]];
            for (uint32_t x = 0; x < a->count; x++)
                for (uint32_t y = 0; y < b->count; y++) {
                    const grammar_node *left = &nodes->items[a->items[x]];
                    const grammar_node *right = &nodes->items[b->items[y]];
                    bool both = left->kind == GRAMMAR_OBJECT && right->kind == GRAMMAR_OBJECT;
                    if (both ? objects_are_apart(nodes, left, right) : are_apart(left, right))
                        continue;
                    slm_buffer_truncate(&c->path, 0);
                    slm_buffer_append_text(&c->path, check->path);
                    return refuse(c, SLM_ERR_UNSUPPORTED,
                                  "'oneOf': a value might fit %u and %u both; where that does not "
                                  "matter, write anyOf",
                                  i, k);
                }
        }
    return SLM_OK;
}

/* ---- the door ------------------------------------------------------------------------------ */

void grammar__nodes_free(grammar_nodes *nodes)
{
    slm_arena_free(&nodes->arena);
    free(nodes->items);
    memset(nodes, 0, sizeof *nodes);
}

slm_status grammar__compile(const char *schema, grammar_nodes *out, slm_error *err)
{
    slm_status status = SLM_OK;
    json_t *document = NULL;
    memset(out, 0, sizeof *out);
    compiler c = {.out = out, .any = GRAMMAR_NONE, .err = err};
    if (slm_json_parse(schema, strlen(schema), "the JSON schema", 1, &document, err) != SLM_OK) {
        status = SLM_ERR_INVALID;
        if (err) err->status = status;
        goto out;
    }
    c.document = document;
    SLM_TRY_OUT(schema_node(&c, document, &out->root));
    flatten(&c);
    measure_heights(out);
    for (const one_of *check = c.one_ofs; check; check = check->next)
        SLM_TRY_OUT(check_one_of(&c, check));
    slm_buffer_truncate(&c.path, 0);
    if (out->items[out->root].height == GRAMMAR_NONE)
        status =
            refuse(&c, SLM_ERR_INVALID,
                   "no value with at most %d objects and arrays within each other satisfies it",
                   GRAMMAR_DEPTH_MAX);
out:
    if (status != SLM_OK) grammar__nodes_free(out);
    json_decref(document);
    slm_buffer_free(&c.path);
    free(c.seen);
    return status;
}
