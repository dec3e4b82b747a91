/* A JSON Schema, a NUL, then bytes as a reply. Any schema compiles or is refused with a reason; bytes
 * that the automaton takes to the end are JSON that satisfies the schema; and where they stop, or go
 * wrong, haste finds an end: no state is a trap. */
#include "fuzz.h"

#include <string.h>
#include "engine/grammar_internal.h"
#include "schema_validator.h"

/* The byte that leads to an end soonest, by and large: closing marks first, then any that may come. */
static int hasty_byte(engine__automaton *m, uint32_t state)
{
    static const char first[] = "\"}]:,0123456789truefalsnN\\abcdefABCDEFu{[";
    for (const char *c = first; *c; c++)
        if (engine__automaton_step(m, state, (uint8_t)*c) != GRAMMAR_DEAD) return (uint8_t)*c;
    for (int byte = 0; byte < 256; byte++)
        if (engine__automaton_step(m, state, (uint8_t)byte) != GRAMMAR_DEAD) return byte;
    return -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    size_t len = end ? (size_t)(end - data) : size;
    char *schema = strndup((const char *)data, len);
    engine__automaton *m = NULL;
    slm_error err = {0};
    SLM_ASSERT(schema);
    slm_status status = engine__automaton_new(schema, 16, &m, &err);
    SLM_ASSERT(status == err.status && (status == SLM_OK || err.message[0]));
    if (status == SLM_OK) {
        slm_buffer text = {0};
        uint32_t state = GRAMMAR_START;
        size_t left = 20000;
        for (size_t i = len + 1; i < size; i++) {
            uint32_t to = engine__automaton_step(m, state, data[i]);
            if (to == GRAMMAR_DEAD) continue;
            state = to;
            slm_buffer_append_char(&text, (char)data[i]);
        }
        while (!engine__automaton_complete(m, state) && left-- > 0) {
            int byte = hasty_byte(m, state);
            SLM_ASSERT(byte >= 0);
            state = engine__automaton_step(m, state, (uint8_t)byte);
            slm_buffer_append_char(&text, (char)byte);
        }
        if (engine__automaton_complete(m, state)) {
            json_error_t error;
            json_t *root = json_loads(schema, JSON_DECODE_ANY, &error);
            json_t *value = json_loadb(text.data, text.len, JSON_DECODE_ANY, &error);
            SLM_ASSERT(root && value && schema_holds(root, root, value));
            json_decref(root);
            json_decref(value);
        }
        slm_buffer_free(&text);
    }
    engine__automaton_free(m);
    free(schema);
    return 0;
}
