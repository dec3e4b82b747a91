/* test_grammar.c: JSON held to a schema: what is accepted and what is not, byte by byte; which
 * schemas are refused and how; random walks, over schemas written here and random ones, which must
 * end in text that jansson reads and that a validator of its own finds right; masks against trying
 * every token; and whole replies of a small model with random weights. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/utf8.h"
#include "engine_fixture.h"
#include "schema_validator.h"

static const char JUDGE[] =
    "{\"type\":\"object\",\"properties\":{\"explanation\":{\"type\":\"string\"},"
    "\"criteria_met\":{\"type\":\"boolean\"}},\"required\":[\"explanation\",\"criteria_met\"],"
    "\"additionalProperties\":false}";

static engine__automaton *make(const char *schema)
{
    engine__automaton *m = NULL;
    slm_error err = {0};
    if (engine__automaton_new(schema, 8, &m, &err) != SLM_OK)
        fail_msg("%s: %s", schema, err.message);
    return m;
}

static uint32_t read_bytes(engine__automaton *m, uint32_t state, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        state = engine__automaton_step(m, state, (uint8_t)text[i]);
    return state;
}

static bool accepts(engine__automaton *m, const char *text)
{
    return engine__automaton_complete(m, read_bytes(m, GRAMMAR_START, text, strlen(text)));
}

/* ---- what is accepted ---------------------------------------------------------------------- */

typedef struct acceptance {
    const char *schema;
    const char *yes[10], *no[16];
} acceptance;

static const acceptance acceptances[] = {
    {JUDGE,
     {"{\"explanation\":\"a\",\"criteria_met\":true}",
      "{ \"explanation\": \"\", \"criteria_met\": false }",
      "{\n  \"explanation\": \"x\\n\",\n  \"criteria_met\": true\n}",
      "{\"explanation\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\",\"criteria_met\":true}"},
     {"{\"criteria_met\":true,\"explanation\":\"a\"}", "{\"explanation\":\"a\"}",
      "{\"explanation\":\"a\",\"criteria_met\":\"true\"}",
      "{\"explanation\":\"a\",\"criteria_met\":true",
      "{\"explanation\":\"a\",\"criteria_met\":true,}",
      "{\"explanation\":\"a\",\"criteria_met\":true}}",
      "{  \"explanation\":\"a\",\"criteria_met\":true}",
      "{\"explanation\":1,\"criteria_met\":true}",
      "{\"explanation\":\"a\",\"more\":1,\"criteria_met\":true}",
      "{\n                 \"explanation\":\"a\",\"criteria_met\":true}",
      "{\"explanation\" :\"a\",\"criteria_met\":true}",
      "{\"explanation\":\"a\",\"criteria_met\":true} "}},
    {"{\"type\":\"string\"}",
     {"\"\"", "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\u00e9\\u0001\\uFFFF\\ud7ff\"",
      "\"\\ud83d\\ude00\"", "\"\x7f\"", "\"\xf4\x8f\xbf\xbf\"", "\"\xed\x9f\xbf\""},
     {"\"", "a", "\"\\x\"", "\"\\u00g0\"", "\"\\u0000\"", "\"\\ud83d\"", "\"\\ude00\"",
      "\"\\ud83d\\u0041\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"",
      "\"\xe0\x80\x80\"", "\"\xff\"", "\"\n\"", "\"\xc3\""}},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
     {"\"ab\"", "\"\xc3\xa9\xf0\x9f\x98\x80z\"", "\"\\u00e9\\n\"", "\"\\ud83d\\ude00b\""},
     {"\"a\"", "\"abcd\"", "\"\"", "\"\\ud83d\\ude00\"", "\"\xc3\xa9\""}},
    {"{\"type\":\"integer\"}",
     {"0", "-0", "7", "-120", "999999999999999999"},
     {"01", "1.0", "1e3", "-", "+1", "", "1000000000000000000"}},
    {"{\"type\":\"number\"}",
     {"0", "0.5", "-1.25e-7", "1E+99", "3e5", "1e09"},
     {"1.", ".5", "1e", "1e100", "1e+", "00", "--1", "0x1", "1.2.3"}},
    {"{\"type\":[\"boolean\",\"null\"]}",
     {"true", "false", "null", " true"},
     {"nul", "True", "truefalse"}},
    {"{\"enum\":[\"red\",\"reddish\",1,null,{\"b\":1,\"a\":[true]}]}",
     {"\"red\"", "\"reddish\"", "1", "null", "{\"a\":[true],\"b\":1}"},
     {"\"redd\"", "2", "{\"b\":1,\"a\":[true]}", "\"red"}},
    {"{\"const\":\"caf\xc3\xa9 \\\"\"}",
     {"\"caf\xc3\xa9 \\\"\""},
     {"\"cafe\"", "\"caf\\u00e9 \\\"\""}},
    {"{\"enum\":[1,\"a\",2.5],\"type\":[\"integer\"]}", {"1"}, {"\"a\"", "2.5"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":3}",
     {"[1]", "[1,2,3]", "[ 1, 2 ]", "[\n 1,\n 2\n]"},
     {"[]", "[1,2,3,4]", "[1,]", "[,1]", "[1 ,2]", "[1", "[\"a\"]", "[1  ]"}},
    {"{\"type\":\"array\",\"maxItems\":0}", {"[]", "[ ]", "[\n]"}, {"[1]", "[  ]"}},
    {"{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"},\"c\":{\"type\":"
     "\"integer\"}},\"required\":[\"b\"]}",
     {"{\"b\":1}", "{\"a\":1,\"b\":1}", "{\"b\":1,\"c\":1}", "{\"a\":1,\"b\":1,\"c\":1}"},
     {"{}", "{\"a\":1}", "{\"a\":1,\"c\":1}", "{\"b\":1,\"a\":1}", "{\"b\":1,\"b\":1}",
      "{\"b\":1,\"d\":1}", "3"}},
    {"{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"integer\"},\"abc\":{\"type\":"
     "\"integer\"}},"
     "\"additionalProperties\":{\"type\":\"boolean\"}}",
     {"{}", "{\"ab\":1}", "{\"a\":true}", "{\"abcd\":true,\"\xc3\xa9\":false}",
      "{\"ab\":1,\"b\":true}", "{\"\":true}"},
     {"{\"ab\":true}", "{\"abc\":true}", "{\"a\":1}", "{\"x\":true,\"ab\":1}",
      "{\"a\\u0062\":true}"}},
    {"{\"required\":[\"k\"]}",
     {"{\"k\":[1,{\"x\":null}]}", "{\"k\":1,\"z\":2}"},
     {"{}", "{\"z\":2}"}},
    {"{}",
     {"1", "[]", "{}", "{\"a\":[1,\"b\",{\"c\":null}]}", "null", "\"x\""},
     {"", "[", "{]", "[1,]"}},
    {"true", {"0"}, {"tru"}},
    {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":1},{\"const\":\"long\"}"
     "]}",
     {"12", "\"a\"", "\"long\""},
     {"\"lo\"", "true", "1.5"}},
    {"{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"a\"},\"x\":{\"type\":"
     "\"integer\"}},\"required\":[\"kind\",\"x\"]},{\"type\":\"object\",\"properties\":{\"kind\":{"
     "\"const\":"
     "\"b\"}},\"required\":[\"kind\"]},{\"type\":\"null\"}]}",
     {"{\"kind\":\"a\",\"x\":3}", "{\"kind\":\"b\"}", "null"},
     {"{\"kind\":\"a\"}", "{\"kind\":\"b\",\"x\":3}", "{\"kind\":\"c\"}"}},
    {"{\"$defs\":{\"tree\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
     "\"next\":{"
     "\"anyOf\":[{\"$ref\":\"#/$defs/"
     "tree\"},{\"type\":\"null\"}]}},\"required\":[\"v\",\"next\"]}},"
     "\"$ref\":\"#/$defs/tree\"}",
     {"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}}"},
     {"{\"v\":1}", "{\"v\":1,\"next\":{\"v\":2}}"}},
    {"{\"properties\":{\"a~b/c\":{\"type\":\"null\"},\"d\":{\"$ref\":\"#/properties/a~0b~1c\"}},"
     "\"required\":[\"d\"]}",
     {"{\"d\":null}", "{\"a~b/c\":null,\"d\":null}"},
     {"{\"d\":1}"}},
    {"{\"allOf\":[{\"type\":\"null\"}],\"title\":\"t\",\"description\":\"d\"}", {"null"}, {"1"}},
    {"{\"properties\":{\"never\":false,\"a\":true},\"additionalProperties\":false}",
     {"{}", "{\"a\":1}"},
     {"{\"never\":1}"}},
};

static void test_acceptance(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof acceptances / sizeof acceptances[0]; i++) {
        const acceptance *a = &acceptances[i];
        engine__automaton *m = make(a->schema);
        for (size_t k = 0; k < 10 && a->yes[k]; k++)
            if (!accepts(m, a->yes[k])) fail_msg("%s refuses %s", a->schema, a->yes[k]);
        for (size_t k = 0; k < 16 && a->no[k]; k++)
            if (accepts(m, a->no[k])) fail_msg("%s accepts %s", a->schema, a->no[k]);
        engine__automaton_free(m);
    }
}

static void test_end(void **state)
{
    (void)state;
    engine__automaton *m = make(JUDGE);
    const char *text = "{\"explanation\":\"a\",\"criteria_met\":true}";
    uint32_t end = read_bytes(m, GRAMMAR_START, text, strlen(text));
    assert_true(engine__automaton_ended(m, end));
    for (int byte = 0; byte < 256; byte++)
        assert_int_equal(engine__automaton_step(m, end, (uint8_t)byte), GRAMMAR_DEAD);
    engine__automaton_free(m);
    m = make("{\"type\":\"integer\"}"); /* whole, yet may go on */
    end = read_bytes(m, GRAMMAR_START, "12", 2);
    assert_true(engine__automaton_complete(m, end));
    assert_false(engine__automaton_ended(m, end));
    assert_true(engine__automaton_ended(m, read_bytes(m, GRAMMAR_START, "-0", 2)));
    assert_true(engine__automaton_ended(m, read_bytes(m, GRAMMAR_START, "123456789012345678", 18)));
    engine__automaton_free(m);
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * GRAMMAR_DEPTH_MAX + 3] = "";
    engine__automaton *m = make("{}");
    memset(text, '[', GRAMMAR_DEPTH_MAX);
    memset(text + GRAMMAR_DEPTH_MAX, ']', GRAMMAR_DEPTH_MAX);
    assert_true(accepts(m, text));
    memset(text, '[', GRAMMAR_DEPTH_MAX + 1);
    assert_int_equal(read_bytes(m, GRAMMAR_START, text, GRAMMAR_DEPTH_MAX + 1), GRAMMAR_DEAD);
    engine__automaton_free(m);
}

/* ---- what is refused ----------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        slm_status status;
        const char *message;
    } cases[] = {
        {"{", SLM_ERR_INVALID, "the JSON schema"},
        {"[]", SLM_ERR_INVALID, "at #: a schema must be an object"},
        {"{\"properties\":{\"a\":{\"items\":{\"pattern\":\"x\"}}}}", SLM_ERR_UNSUPPORTED,
         "at #/properties/a/items: 'pattern' is not supported"},
        {"{\"type\":\"integer\",\"minimum\":3}", SLM_ERR_UNSUPPORTED, "'minimum'"},
        {"{\"type\":\"text\"}", SLM_ERR_INVALID, "the type 'text' is not known"},
        {"{\"type\":[]}", SLM_ERR_INVALID, "'type' must be"},
        {"{\"type\":[\"null\",3]}", SLM_ERR_INVALID, "'type' must be"},
        {"{\"minLength\":-1}", SLM_ERR_INVALID, "'minLength' must be a whole number"},
        {"{\"minItems\":3,\"maxItems\":2}", SLM_ERR_INVALID, "minItems is above maxItems"},
        {"{\"enum\":[]}", SLM_ERR_INVALID, "'enum' must be a list"},
        {"{\"enum\":[1],\"minLength\":1}", SLM_ERR_UNSUPPORTED,
         "'minLength' beside 'enum' is not supported"},
        {"{\"const\":1,\"type\":\"string\"}", SLM_ERR_INVALID, "no value of 'const' has the type"},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"x\"}]}", SLM_ERR_INVALID, "at #/anyOf/1:"},
        {"{\"anyOf\":[],\"title\":\"\"}", SLM_ERR_INVALID, "'anyOf' must be a list"},
        {"{\"anyOf\":[{}],\"type\":\"null\"}", SLM_ERR_UNSUPPORTED, "'type' beside 'anyOf'"},
        {"{\"allOf\":[{},{}]}", SLM_ERR_UNSUPPORTED, "'allOf' of more than one"},
        {"{\"oneOf\":[{\"type\":\"number\"},{\"type\":\"integer\"}]}", SLM_ERR_UNSUPPORTED,
         "'oneOf': a value might fit 0 and 1 both"},
        {"{\"oneOf\":[{\"const\":1},{\"const\":1.0}]}", SLM_ERR_UNSUPPORTED, "fit 0 and 1"},
        {"{\"$ref\":\"http://x/y\"}", SLM_ERR_UNSUPPORTED, "'$ref' must point into"},
        {"{\"$ref\":\"#/$defs/a\"}", SLM_ERR_INVALID, "which is not there"},
        {"{\"$ref\":\"#\"}", SLM_ERR_INVALID, "no value with at most 64"},
        {"{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", SLM_ERR_INVALID,
         "no value with at most 64"},
        {"false", SLM_ERR_INVALID, "no value with at most 64"},
        {"{\"required\":[\"b\"],\"properties\":{},\"additionalProperties\":false}", SLM_ERR_INVALID,
         "'b' is required"},
        {"{\"$defs\":{\"a\":{\"not\":{}}},\"items\":{\"$ref\":\"#/$defs/a\"}}", SLM_ERR_UNSUPPORTED,
         "at #/$defs/a: 'not' is not supported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        engine__automaton *m = NULL;
        slm_error err = {0};
        slm_status status = engine__automaton_new(cases[i].schema, 8, &m, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].message))
            fail_msg("%s: %d %s", cases[i].schema, (int)status, err.message);
        assert_int_equal(err.status, status);
        assert_null(m);
    }
}

/* ---- random walks -------------------------------------------------------------------------- */

static uint8_t choose_byte(engine__automaton *m, uint32_t state, slm_random *random, bool haste,
                           const char *text)
{
    uint8_t bytes[256];
    size_t count = 0;
    static const char closers[] = "\"}]";
    for (const char *c = closers; *c && (haste || slm_random_below(random, 6) == 0); c++)
        if (engine__automaton_step(m, state, (uint8_t)*c) != GRAMMAR_DEAD) return (uint8_t)*c;
    for (int byte = 0; byte < 256; byte++)
        if (engine__automaton_step(m, state, (uint8_t)byte) != GRAMMAR_DEAD)
            bytes[count++] = (uint8_t)byte;
    if (count == 0) fail_msg("a dead end behind %s", text);
    return bytes[slm_random_below(random, count)];
}

/* One walk to a whole value, which must be JSON that satisfies the schema. */
static void walk(engine__automaton *m, const char *schema, uint64_t seed)
{
    slm_random random = slm_random_new(seed, 3);
    slm_buffer text = {0};
    uint32_t state = GRAMMAR_START;
    while (!(engine__automaton_ended(m, state) ||
             (engine__automaton_complete(m, state) && slm_random_below(&random, 4) == 0))) {
        uint8_t byte = choose_byte(m, state, &random, text.len > 400, slm_buffer_text(&text));
        state = engine__automaton_step(m, state, byte);
        slm_buffer_append_char(&text, (char)byte);
        if (text.len > 20000) fail_msg("%s: a walk does not end: %.200s", schema, text.data);
    }
    json_error_t error;
    json_t *root = json_loads(schema, JSON_DECODE_ANY, &error);
    json_t *value = json_loadb(text.data, text.len, JSON_DECODE_ANY, &error);
    if (!value) fail_msg("%s gave %s: %s", schema, slm_buffer_text(&text), error.text);
    if (!schema_holds(root, root, value)) fail_msg("%s gave %s", schema, slm_buffer_text(&text));
    json_decref(root);
    json_decref(value);
    slm_buffer_free(&text);
}

static void test_walks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof acceptances / sizeof acceptances[0]; i++) {
        engine__automaton *m = make(acceptances[i].schema);
        for (uint64_t seed = 0; seed < 60; seed++)
            walk(m, acceptances[i].schema, seed);
        engine__automaton_free(m);
    }
}

/* A random schema, now and then one that is refused. */
static void random_schema(slm_random *r, int depth, slm_buffer *out)
{
    static const char *const simple[] = {
        "{\"type\":\"string\"}",
        "{\"type\":\"string\",\"minLength\":2,\"maxLength\":5}",
        "{\"type\":\"integer\"}",
        "{\"type\":\"number\"}",
        "{\"type\":[\"boolean\",\"null\"]}",
        "{\"enum\":[\"a\",\"ab\",3,null,[1]]}",
        "{\"const\":{\"x\":\"\\u00e9\"}}",
        "{\"$ref\":\"#\"}",
        "{\"type\":[\"string\",\"integer\",\"array\"],\"maxLength\":3,\"maxItems\":2}",
        "true",
        "false",
    };
    uint64_t kind = slm_random_below(r, depth > 0 ? 16 : 11);
    if (kind < 11) {
        slm_buffer_append_text(out, simple[kind]);
    } else if (kind < 13) {
        slm_buffer_append_text(out, "{\"type\":\"array\",\"items\":");
        random_schema(r, depth - 1, out);
        slm_buffer_printf(out, ",\"minItems\":%d,\"maxItems\":%d}", (int)slm_random_below(r, 3),
                          2 + (int)slm_random_below(r, 3));
    } else if (kind < 14) {
        slm_buffer_append_text(out, slm_random_below(r, 2) ? "{\"anyOf\":[" : "{\"oneOf\":[");
        random_schema(r, depth - 1, out);
        slm_buffer_append_char(out, ',');
        random_schema(r, depth - 1, out);
        slm_buffer_append_text(out, "]}");
    } else {
        uint64_t count = slm_random_below(r, 4), extra = slm_random_below(r, 3);
        slm_buffer_append_text(out, "{\"type\":\"object\",\"properties\":{");
        for (uint64_t i = 0; i < count; i++) {
            slm_buffer_printf(out, "%s\"%c%s\":", i ? "," : "", (int)('a' + (int)i), i ? "" : "b");
            random_schema(r, depth - 1, out);
        }
        slm_buffer_append_text(out, "},\"required\":[");
        if (count > 1)
            slm_buffer_append_text(out, slm_random_below(r, 2) ? "\"b\"" : "\"ab\",\"q\"");
        slm_buffer_append_text(out, "]");
        if (extra == 1) slm_buffer_append_text(out, ",\"additionalProperties\":false");
        if (extra == 2)
            slm_buffer_append_text(out, ",\"additionalProperties\":{\"type\":\"null\"}");
        slm_buffer_append_text(out, "}");
    }
}

static void test_random_schemas(void **state)
{
    (void)state;
    size_t compiled = 0;
    for (uint64_t i = 0; i < 600; i++) {
        slm_random random = slm_random_new(i, 9);
        slm_buffer schema = {0};
        engine__automaton *m = NULL;
        slm_error err = {0};
        random_schema(&random, 3, &schema);
        if (engine__automaton_new(slm_buffer_text(&schema), 8, &m, &err) == SLM_OK) {
            compiled++;
            for (uint64_t seed = 0; seed < 6; seed++)
                walk(m, slm_buffer_text(&schema), i * 100 + seed);
        } else if (err.status != SLM_ERR_UNSUPPORTED && err.status != SLM_ERR_INVALID) {
            fail_msg("%s: %s", slm_buffer_text(&schema), err.message);
        }
        engine__automaton_free(m);
        slm_buffer_free(&schema);
    }
    assert_true(compiled > 300);
}

/* ---- masks --------------------------------------------------------------------------------- */

static char vocabulary_path[64];
static const char *const merges[] = {
    "\" ,",         /* ", */
    "\", \"",       /* "," */
    "\xc4\xa0 \"",  /* a space and " */
    "\" :",         /* ": */
    "\": \xc4\xa0", /* ": and a space */
    "{ \"",
    "\" }",
    "a b",
    "ab c",
    "t r",
    "u e",
    "tr ue",
    "\xc4\x8a \xc4\xa0",
    "\xc4\xa0 \xc4\xa0", /* two spaces */
    "\xc3\xa2 \xc4\xa4", /* two of the euro sign's bytes: e2 82 */
    "\xc2\xac a",        /* its last byte and an a */
    "\xc3\xb0 \xc5\x81", /* f0 9f */
    "1 2",
    "] }",
    "\\ u",
    "\xc3\x83 \xc2\xa9", /* c3 a9 */
};

static slm_tokenizer *open_tokenizer(const char *file_path)
{
    slm_tokenizer *tokenizer = NULL;
    slm_tensors *file = NULL;
    slm_error err = {0};
    if (slm_tensors_open(file_path, &file, &err) != SLM_OK) fail_msg("%s", err.message);
    if (slm_tokenizer_from_gguf(file, &tokenizer, &err) != SLM_OK) fail_msg("%s", err.message);
    slm_tensors_close(file);
    return tokenizer;
}

static bool bit(const uint32_t *mask, slm_token id)
{
    return mask[id / 32] >> id % 32 & 1u;
}

/* The mask of a place is what trying every token gives. */
static void check_mask(engine__grammar *g, const slm_tokenizer *tokenizer, engine__automaton *own,
                       engine__grammar_place *place, const slm_token *ids, size_t count,
                       uint32_t state)
{
    const uint32_t *mask = engine__grammar_mask(g, place, ids, count);
    for (slm_token id = 0; (size_t)id < slm_tokenizer_size(tokenizer); id++) {
        slm_buffer bytes = {0};
        slm_tokenizer_decode(tokenizer, id, false, &bytes);
        bool may = bytes.len > 0 && read_bytes(own, state, bytes.data, bytes.len) != GRAMMAR_DEAD;
        if (id == GGUF_TOKEN_IM_END) may = engine__automaton_complete(own, state);
        if (bit(mask, id) != may)
            fail_msg("token %d \"%s\" after %zu tokens", (int)id, slm_buffer_text(&bytes), count);
        slm_buffer_free(&bytes);
    }
    for (size_t id = slm_tokenizer_size(tokenizer); id < 32 * g->vocabulary->words; id++)
        assert_false(bit(mask, (slm_token)id));
}

static const char *const mask_schemas[] = {
    JUDGE,
    "{}",
    "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":20}}",
    "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"},\"properties\":{\"ab\":"
    "true}}",
    "{\"enum\":[\"\xe2\x82\xac\",\"ab\",\"abc\",12]}",
};

static void test_masks(void **state)
{
    (void)state;
    static const slm_token stop = GGUF_TOKEN_IM_END;
    slm_tokenizer *tokenizer = open_tokenizer(vocabulary_path);
    engine__vocabulary v;
    engine__vocabulary_init(&v, tokenizer, slm_tokenizer_size(tokenizer) + 40);
    for (size_t i = 0; i < sizeof mask_schemas / sizeof mask_schemas[0]; i++) {
        engine__grammar *g = NULL;
        slm_error err = {0};
        assert_int_equal(engine__grammar_new(mask_schemas[i], &v, &stop, 1, &g, &err), SLM_OK);
        engine__automaton *own = make(mask_schemas[i]);
        for (uint64_t seed = 0; seed < 12; seed++) {
            slm_random random = slm_random_new(seed, i);
            engine__grammar_place place = engine__grammar_start(g);
            slm_tokens ids = {0};
            uint32_t at = GRAMMAR_START;
            for (int step = 0; step < 60; step++) {
                check_mask(g, tokenizer, own, &place, ids.ids, ids.len, at);
                const uint32_t *mask = engine__grammar_mask(g, &place, ids.ids, ids.len);
                slm_token id = (slm_token)slm_random_below(&random, v.count);
                for (int tries = 0; tries < (int)v.count && (!bit(mask, id) || id == stop); tries++)
                    id = (slm_token)((uint32_t)(id + 1) % v.count);
                if (!bit(mask, id) || id == stop) {
                    assert_true(bit(mask, stop));
                    break;
                }
                slm_tokens_append(&ids, id);
                engine__grammar_advance(g, &place, ids.ids, ids.len);
                slm_buffer bytes = {0};
                slm_tokenizer_decode(tokenizer, id, false, &bytes);
                at = read_bytes(own, at, bytes.data, bytes.len);
                slm_buffer_free(&bytes);
                if (step % 7 == 6) engine__grammar_trim(g, 0); /* places are found again */
            }
            slm_tokens_free(&ids);
        }
        assert_true(g->epoch > 0 || i == 4); /* the last has short values only */
        engine__automaton_free(own);
        engine__grammar_free(g);
    }
    engine__vocabulary_free(&v);
    slm_tokenizer_free(tokenizer);
}

/* Long strings with a bound share their masks until the bound is near. */
static void test_masks_are_shared(void **state)
{
    (void)state;
    slm_tokenizer *tokenizer = open_tokenizer(vocabulary_path);
    engine__vocabulary v;
    engine__grammar *g = NULL;
    slm_error err = {0};
    slm_token quote = slm_tokenizer_find(tokenizer, "\""), a = slm_tokenizer_find(tokenizer, "a");
    engine__vocabulary_init(&v, tokenizer, slm_tokenizer_size(tokenizer));
    assert_int_equal(
        engine__grammar_new("{\"type\":\"string\",\"maxLength\":1000}", &v, NULL, 0, &g, &err),
        SLM_OK);
    slm_tokens ids = {0};
    engine__grammar_place place = engine__grammar_start(g);
    for (int i = 0; i <= 1000; i++) {
        slm_tokens_append(&ids, i == 0 ? quote : a);
        engine__grammar_advance(g, &place, ids.ids, ids.len);
        const uint32_t *mask = engine__grammar_mask(g, &place, ids.ids, ids.len);
        assert_true(bit(mask, quote));
        assert_int_equal(bit(mask, a), i < 1000);
    }
    assert_true(g->mask_count < 10);
    slm_tokens_append(&ids, quote);
    engine__grammar_advance(g, &place, ids.ids, ids.len);
    assert_true(engine__grammar_ended(g, &place));
    slm_tokens_free(&ids);
    engine__grammar_free(g);
    engine__vocabulary_free(&v);
    slm_tokenizer_free(tokenizer);
}

/* A vocabulary that cannot spell what may be needed is an error; one without parts of characters
 * keeps to ASCII. */
static void test_poor_vocabularies(void **state)
{
    (void)state;
    slm_tokenizer *tokenizer = open_tokenizer(vocabulary_path);
    engine__vocabulary v;
    engine__grammar *g = NULL;
    slm_error err = {0};
    engine__vocabulary_init(&v, tokenizer, slm_tokenizer_size(tokenizer));
    for (int byte = 0x90; byte < 0xa0; byte++)
        v.single[byte] = false;
    assert_int_equal(engine__grammar_new("{}", &v, NULL, 0, &g, &err), SLM_OK);
    engine__grammar_place place = engine__grammar_start(g);
    slm_token quote = slm_tokenizer_find(tokenizer, "\"");
    engine__grammar_advance(g, &place, &quote, 1);
    const uint32_t *mask = engine__grammar_mask(g, &place, &quote, 1);
    assert_true(bit(mask, GGUF_TOKEN_BYTES + 'a'));
    assert_true(bit(mask, GGUF_TOKEN_BYTES + '\\'));
    for (int byte = 0x80; byte < 0x100; byte++)
        assert_false(bit(mask, GGUF_TOKEN_BYTES + byte));
    engine__grammar_free(g);
    assert_int_equal(engine__grammar_new("{\"const\":\"\xc4\x90\"}", &v, NULL, 0, &g, &err),
                     SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "no token for the byte 0x90"));
    v.single['}'] = false;
    assert_int_equal(engine__grammar_new("{}", &v, NULL, 0, &g, &err), SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "no token for the byte 0x7D"));
    engine__vocabulary_free(&v);
    slm_tokenizer_free(tokenizer);
}

/* ---- replies ------------------------------------------------------------------------------- */

enum { REQUESTS = 6, SAMPLES = 4, REPLY = 300 };
static const char SHORT[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\","
                            "\"maxLength\":12},\"b\":{\"type\":"
                            "\"array\",\"items\":{\"type\":\"integer\"},\"maxItems\":2},\"c\":{"
                            "\"enum\":[\"x\",\"y\",null]}},"
                            "\"required\":[\"a\",\"b\",\"c\"]}";

static slm_generate make_request(int which, slm_token *prompt)
{
    static const slm_token stop = GGUF_TOKEN_IM_END;
    slm_random random = slm_random_new(5, (uint64_t)which);
    for (int i = 0; i < 30; i++)
        prompt[i] = (slm_token)slm_random_below(&random, GGUF_TOKEN_MERGES);
    slm_generate r = {.prompt = prompt,
                      .prompt_len = 30,
                      .samples = SAMPLES,
                      .seed = 3,
                      .stream = (uint64_t)which,
                      .sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
                      .max_tokens = which == 4 ? 9 : REPLY,
                      .stop_tokens = &stop,
                      .stop_token_count = 1,
                      .json_schema = SHORT};
    if (which == 1) r.sampling.top_k = 3;
    if (which == 2) {
        r.sampling.top_p = 0.5f;
        r.sampling.repetition_penalty = 1.5f;
    }
    if (which == 3) r.sampling.temperature = 0;
    if (which == 5) r.json_schema = NULL;
    return r;
}

static void run_requests(fixture *f, slm_generated *out[REQUESTS][SAMPLES])
{
    slm_error err = {0};
    uint64_t ids[REQUESTS];
    slm_generated *g;
    for (int i = 0; i < REQUESTS; i++) {
        slm_token prompt[30];
        slm_generate r = make_request(i, prompt);
        if (slm_engine_submit(f->engine, &r, &ids[i], &err) != SLM_OK) fail_msg("%s", err.message);
    }
    for (bool worked = true; worked;)
        assert_int_equal(slm_engine_step(f->engine, &worked, &err), SLM_OK);
    while ((g = slm_engine_poll(f->engine)))
        for (int i = 0; i < REQUESTS; i++)
            if (ids[i] == g->request) out[i][g->sample] = g;
}

static void check_reply(const slm_generated *g)
{
    json_error_t error;
    json_t *schema = json_loads(SHORT, 0, &error), *value = json_loads(g->text, 0, &error);
    if (g->finish == SLM_FINISH_LENGTH) {
        engine__automaton *m = make(SHORT);
        size_t whole = g->text_len; /* its last character may be cut: shown as U+FFFD */
        if (whole >= 3 && memcmp(g->text + whole - 3, "\xef\xbf\xbd", 3) == 0) whole -= 3;
        assert_null(value);
        assert_int_not_equal(read_bytes(m, GRAMMAR_START, g->text, whole), GRAMMAR_DEAD);
        engine__automaton_free(m);
    } else {
        assert_int_equal(g->finish, SLM_FINISH_STOP);
        if (!value || !schema_holds(schema, schema, value)) fail_msg("%s", g->text);
        assert_int_equal(g->ids.ids[g->ids.len - 1], GGUF_TOKEN_IM_END);
    }
    json_decref(schema);
    json_decref(value);
}

/* Replies are values of the schema, the same ones whatever runs beside them, and their
 * log-probabilities are those of the free model. */
static void test_replies(void **state)
{
    (void)state;
    slm_generated *first[REQUESTS][SAMPLES] = {0};
    static const int batches[] = {32, 3, 1};
    for (int run = 0; run < 3; run++) {
        fixture f;
        slm_generated *out[REQUESTS][SAMPLES] = {0};
        slm_engine_options options = slm_engine_options_default();
        options.batch = batches[run];
        open_fixture(&f, NULL, 1 + run % 2, SLM_F32, &options);
        run_requests(&f, out);
        slm_engine_stats stats = slm_engine_get_stats(f.engine);
        assert_true(stats.masked_tokens > stats.masks && stats.masks > 0);
        for (int i = 0; i < REQUESTS; i++)
            for (int s = 0; s < SAMPLES; s++) {
                slm_generated *g = out[i][s];
                assert_non_null(g);
                if (i < 5) check_reply(g);
                if (i == 4) assert_int_equal(g->finish, SLM_FINISH_LENGTH);
                if (run == 0) {
                    first[i][s] = g;
                    continue;
                }
                assert_int_equal(g->ids.len, first[i][s]->ids.len);
                assert_memory_equal(g->ids.ids, first[i][s]->ids.ids, 4 * g->ids.len);
                assert_memory_equal(g->logprobs, first[i][s]->logprobs, 4 * g->ids.len);
            }
        slm_error err = {0};
        slm_token all[30 + REPLY];
        float scored[30 + REPLY];
        slm_generate r = make_request(0, all);
        (void)r;
        memcpy(all + 30, first[0][0]->ids.ids, 4 * first[0][0]->ids.len);
        size_t count = 30 + first[0][0]->ids.len;
        assert_int_equal(slm_engine_score(f.engine, all, count, scored, NULL, &err), SLM_OK);
        assert_memory_equal(scored + 29, first[0][0]->logprobs, 4 * first[0][0]->ids.len);
        for (int i = 0; run > 0 && i < REQUESTS; i++)
            for (int s = 0; s < SAMPLES; s++)
                slm_generated_free(out[i][s]);
        close_fixture(&f);
    }
    for (int i = 0; i < REQUESTS; i++)
        for (int s = 0; s < SAMPLES; s++)
            slm_generated_free(first[i][s]);
}

/* Without stop tokens a reply ends with its value; a schema that is refused is an error at once; and
 * grammars are kept, but not all. */
static void test_requests(void **state)
{
    (void)state;
    fixture f;
    slm_error err = {0};
    slm_token prompt[30];
    uint64_t id;
    slm_generated *g;
    slm_engine_options options = slm_engine_options_default();
    options.batch = 4;
    open_fixture(&f, NULL, 1, SLM_F32, &options);
    slm_generate r = make_request(0, prompt);
    r.stop_token_count = 0;
    r.samples = 1;
    assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_OK);
    for (bool worked = true; worked;)
        assert_int_equal(slm_engine_step(f.engine, &worked, &err), SLM_OK);
    g = slm_engine_poll(f.engine);
    assert_int_equal(g->finish, SLM_FINISH_STOP);
    assert_int_equal(g->text[g->text_len - 1], '}');
    slm_generated_free(g);
    r.json_schema = "{\"type\":\"string\",\"format\":\"date\"}";
    assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "'format' is not supported"));
    assert_int_equal(slm_engine_pending(f.engine), 0);
    for (int i = 0; i < 30; i++) {
        char schema[32];
        snprintf(schema, sizeof schema, "{\"const\":%d}", i);
        r.json_schema = schema;
        assert_int_equal(slm_engine_submit(f.engine, &r, &id, &err), SLM_OK);
        for (bool worked = true; worked;)
            assert_int_equal(slm_engine_step(f.engine, &worked, &err), SLM_OK);
        g = slm_engine_poll(f.engine);
        assert_int_equal(strtol(g->text, NULL, 10), i);
        slm_generated_free(g);
    }
    size_t kept = 0;
    for (const engine__grammar *at = f.engine->grammars; at; at = at->next)
        kept++;
    assert_true(kept <= 10);
    close_fixture(&f);
}

static int setup(void **state)
{
    (void)state;
    gguf_writer w = {0};
    write_fixture();
    snprintf(vocabulary_path, sizeof vocabulary_path, "/tmp/slm-grammar-v-%d.gguf", (int)getpid());
    gguf_add_string(&w, "general.architecture", "llama");
    gguf_add_byte_tokenizer(&w, "smollm", merges, sizeof merges / sizeof merges[0]);
    if (!gguf_write(&w, vocabulary_path)) return -1;
    gguf_writer_free(&w);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(fixture_path()) | unlink(vocabulary_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acceptance),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_walks),
        cmocka_unit_test(test_random_schemas),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_masks_are_shared),
        cmocka_unit_test(test_poor_vocabularies),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_requests),
    };
    return cmocka_run_group_tests_name("grammar", tests, setup, teardown);
}
