/* grammar.c: which byte may come next: a pushdown automaton over the nodes of a schema.
 *
 * A frame says what is expected at one place and, by its parent, what comes when that is done: a
 * stack whose lower part is shared. A state is the set of frames that the text so far allows, as
 * anyOf, optional properties and numbers leave several open. Frames and states are each kept once
 * (found by hash), and a state remembers where each byte leads: the subset construction of a finite
 * automaton (Rabin and Scott 1959), done lazily, over stacks. So a step over known ground is one
 * look into a table.
 *
 * Text: RFC 8259 with UTF-8 of RFC 3629. White space stands only behind brackets, commas and colons
 * and before closing brackets: nothing, one space, or a line feed and up to GRAMMAR_INDENT_MAX
 * spaces; a small model must not get lost in it. Numbers have as many digits as any reader holds.
 * \u0000 and halves of surrogate pairs, which readers refuse, cannot be written.
 *
 * From every state a whole value can be reached: nothing is opened deeper than GRAMMAR_DEPTH_MAX
 * leaves room to close. */
#include <stdlib.h>
#include <string.h>

#include "engine/grammar_internal.h"

typedef enum phase {
    PHASE_DONE,
    PHASE_SPACE,    /* white space before `parent`, none read yet */
    PHASE_INDENT,   /* behind a line feed and a spaces */
    PHASE_VALUE,    /* a value of the choice `node` */
    PHASE_LITERAL,  /* a: bytes read */
    PHASE_QUOTE,    /* a string's first byte */
    PHASE_STRING,   /* a, b: characters that must, that may come; sub */
    PHASE_NUMBER,   /* sub; a: digits */
    PHASE_BRACE,    /* an object's first byte */
    PHASE_FIRST,    /* behind { and white space */
    PHASE_NEXT,     /* behind a comma; a: the first property that may come */
    PHASE_KEY,      /* a: property; b: bytes of it read */
    PHASE_OTHER,    /* another property's opening quote */
    PHASE_NAME,     /* its name; a, b: see other_name; sub */
    PHASE_COLON,    /* behind its name */
    PHASE_MEMBER,   /* behind a property's value; a as in NEXT */
    PHASE_CLOSE,    /* } */
    PHASE_BRACKET,  /* an array's first byte */
    PHASE_ELEMENTS, /* behind [ and white space */
    PHASE_ELEMENT,  /* behind an element; a, b: elements that must, that may come */
    PHASE_CLOSE_ARRAY,
} phase;

typedef enum text_state {             /* within a string */
                          TEXT_CHAR,  /* between characters */
                          TEXT_TAIL1, /* this many continuation bytes to come */
                          TEXT_TAIL2,
                          TEXT_TAIL3,
                          TEXT_E0, /* behind this lead byte, which narrows the next */
                          TEXT_ED,
                          TEXT_F0,
                          TEXT_F4,
                          TEXT_ESCAPE,
                          TEXT_U, /* behind \u and these digits */
                          TEXT_U0,
                          TEXT_U00,
                          TEXT_U000,
                          TEXT_UD,
                          TEXT_HEX1, /* this many digits to come */
                          TEXT_HEX2,
                          TEXT_HEX3,
                          TEXT_HIGH1, /* the same, of the first half of a pair */
                          TEXT_HIGH2,
                          TEXT_LOW_BACKSLASH, /* the second half's */
                          TEXT_LOW_U,
                          TEXT_LOW_D,
                          TEXT_LOW_C,
                          TEXT_BAD,
} text_state;

typedef enum number_state {
    NUMBER_START,
    NUMBER_MINUS,
    NUMBER_ZERO,
    NUMBER_INTEGER,
    NUMBER_POINT,
    NUMBER_FRACTION,
    NUMBER_E,
    NUMBER_SIGN,
    NUMBER_EXPONENT,
} number_state;

typedef struct frame {
    uint32_t parent, node, a, b;
    uint8_t phase, sub;
    uint16_t depth; /* objects and arrays that are open */
} frame;
_Static_assert(sizeof(frame) == 20, "frames are hashed and compared as bytes");

typedef struct state {
    uint32_t first, count; /* of its frames in `members` */
    uint32_t *next;        /* [256], GRAMMAR_NONE where it is not known yet; NULL: none is */
    uint32_t likeness;     /* GRAMMAR_NONE: not known yet */
    bool complete;
} state;

typedef struct table { /* open addressing over indices; GRAMMAR_NONE: free */
    uint32_t *slots;
    uint32_t mask, count;
} table;

struct engine__automaton {
    grammar_nodes nodes;
    uint32_t longest;
    bool ascii;
    frame *frames;
    uint32_t frame_count, frame_cap;
    state *states;
    uint32_t state_count, state_cap;
    uint32_t *members;
    size_t member_count, member_cap;
    table frame_table, state_table;
    uint32_t *list; /* the frames of the state being made */
    uint32_t list_count, list_cap;
    size_t next_bytes;
};

/* ---- tables -------------------------------------------------------------------------------- */

static void *grown(void *array, size_t count, size_t bytes)
{
    void *memory = realloc(array, count * bytes);
    if (!memory) slm_out_of_memory(count * bytes);
    return memory;
}

static uint64_t hash_words(const void *data, size_t bytes)
{
    uint64_t hash = 0x9e3779b97f4a7c15ull; /* 2^64 / golden ratio */
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i += 4) {
        uint32_t word;
        memcpy(&word, at + i, 4);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    return hash;
}

static void table_clear(table *t, uint32_t slots)
{
    t->slots = grown(t->slots, slots, sizeof *t->slots);
    memset(t->slots, 0xff, slots * sizeof *t->slots);
    t->mask = slots - 1;
    t->count = 0;
}

static void table_put(table *t, uint64_t hash, uint32_t value)
{
    uint32_t slot = (uint32_t)hash & t->mask;
    while (t->slots[slot] != GRAMMAR_NONE)
        slot = (slot + 1) & t->mask;
    t->slots[slot] = value;
    t->count++;
}

static uint64_t frame_hash(const frame *f)
{
    return hash_words(f, sizeof *f);
}

static uint32_t intern_frame(engine__automaton *m, const frame *f)
{
    uint64_t hash = frame_hash(f);
    for (uint32_t slot = (uint32_t)hash & m->frame_table.mask;;
         slot = (slot + 1) & m->frame_table.mask) {
        uint32_t found = m->frame_table.slots[slot];
        if (found == GRAMMAR_NONE) break;
        if (memcmp(&m->frames[found], f, sizeof *f) == 0) return found;
    }
    if (m->frame_count == m->frame_cap) {
        m->frame_cap = m->frame_cap ? 2 * m->frame_cap : 64;
        m->frames = grown(m->frames, m->frame_cap, sizeof *m->frames);
    }
    m->frames[m->frame_count] = *f;
    if (2 * (m->frame_table.count + 1) > m->frame_table.mask) {
        table_clear(&m->frame_table, 2 * (m->frame_table.mask + 1));
        for (uint32_t i = 0; i < m->frame_count; i++)
            table_put(&m->frame_table, frame_hash(&m->frames[i]), i);
    }
    table_put(&m->frame_table, hash, m->frame_count);
    return m->frame_count++;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t state_hash(const engine__automaton *m, uint32_t index)
{
    const state *s = &m->states[index];
    return hash_words(m->members + s->first, s->count * sizeof *m->members);
}

static uint32_t add_state(engine__automaton *m)
{
    if (m->state_count == m->state_cap) {
        m->state_cap = m->state_cap ? 2 * m->state_cap : 64;
        m->states = grown(m->states, m->state_cap, sizeof *m->states);
    }
    while (m->member_count + m->list_count > m->member_cap) {
        m->member_cap = m->member_cap ? 2 * m->member_cap : 256;
        m->members = grown(m->members, m->member_cap, sizeof *m->members);
    }
    bool complete = m->list_count > 0 && m->list[0] == 0; /* sorted, and DONE is frame 0 */
    m->states[m->state_count] = (state){.first = (uint32_t)m->member_count,
                                        .count = m->list_count,
                                        .likeness = GRAMMAR_NONE,
                                        .complete = complete};
    if (m->list_count)
        memcpy(m->members + m->member_count, m->list, m->list_count * sizeof *m->list);
    m->member_count += m->list_count;
    return m->state_count++;
}

/* The state of the frames in the list. */
static uint32_t intern_state(engine__automaton *m)
{
    uint32_t kept = 0;
    if (m->list_count == 0) return GRAMMAR_DEAD;
    if (m->list_count > 1) qsort(m->list, m->list_count, sizeof *m->list, by_number);
    for (uint32_t i = 0; i < m->list_count; i++)
        if (i == 0 || m->list[i] != m->list[i - 1]) m->list[kept++] = m->list[i];
    m->list_count = kept;
    uint64_t hash = hash_words(m->list, kept * sizeof *m->list);
    table *t = &m->state_table;
    for (uint32_t slot = (uint32_t)hash & t->mask;; slot = (slot + 1) & t->mask) {
        uint32_t found = t->slots[slot];
        if (found == GRAMMAR_NONE) break;
        const state *s = &m->states[found];
        if (s->count == kept && memcmp(m->members + s->first, m->list, kept * sizeof *m->list) == 0)
            return found;
    }
    uint32_t index = add_state(m);
    if (2 * (t->count + 1) > t->mask) {
        table_clear(t, 2 * (t->mask + 1));
        for (uint32_t i = GRAMMAR_START; i < index; i++)
            table_put(t, state_hash(m, i), i);
    }
    table_put(t, hash, index);
    return index;
}

/* ---- what may stand at a place ------------------------------------------------------------- */

static void push(engine__automaton *m, uint32_t index)
{
    if (m->list_count == m->list_cap) {
        m->list_cap = m->list_cap ? 2 * m->list_cap : 32;
        m->list = grown(m->list, m->list_cap, sizeof *m->list);
    }
    m->list[m->list_count++] = index;
}

static void enter(engine__automaton *m, const frame *f);

static void enter_index(engine__automaton *m, uint32_t index)
{
    frame f = m->frames[index];
    enter(m, &f);
}

/* White space, then f. */
static void enter_spaced(engine__automaton *m, const frame *f)
{
    frame space = {.parent = intern_frame(m, f), .phase = PHASE_SPACE};
    push(m, intern_frame(m, &space));
    enter(m, f);
}

/* A value of this node can be closed again below `depth` open ones. */
static bool has_room(const engine__automaton *m, uint32_t depth, uint32_t node)
{
    uint32_t height = m->nodes.items[node].height;
    return height != GRAMMAR_NONE && depth + height <= GRAMMAR_DEPTH_MAX;
}

static void enter_value(engine__automaton *m, const frame *f)
{
    static const uint8_t phases[] = {[GRAMMAR_LITERAL] = PHASE_LITERAL,
                                     [GRAMMAR_STRING] = PHASE_QUOTE,
                                     [GRAMMAR_NUMBER] = PHASE_NUMBER,
                                     [GRAMMAR_OBJECT] = PHASE_BRACE,
                                     [GRAMMAR_ARRAY] = PHASE_BRACKET};
    const grammar_node *choice = &m->nodes.items[f->node];
    for (uint32_t i = 0; i < choice->count; i++) {
        if (!has_room(m, f->depth, choice->items[i])) continue;
        frame leaf = {.parent = f->parent,
                      .node = choice->items[i],
                      .phase = phases[m->nodes.items[choice->items[i]].kind],
                      .depth = f->depth};
        push(m, intern_frame(m, &leaf));
    }
}

/* No property from `next` on is required. */
static bool may_close(const engine__automaton *m, const frame *f, uint32_t next)
{
    const grammar_node *object = &m->nodes.items[f->node];
    for (uint32_t i = next; i < object->count; i++)
        if (object->properties[i].required) return false;
    return true;
}

static bool may_add_other(const engine__automaton *m, const frame *f, uint32_t next)
{
    const grammar_node *object = &m->nodes.items[f->node];
    return object->value != GRAMMAR_NONE && has_room(m, f->depth, object->value) &&
           may_close(m, f, next);
}

/* The keys that may come from property `next` on; with `really` false only whether there are any. */
static bool enter_keys(engine__automaton *m, const frame *f, uint32_t next, bool really)
{
    const grammar_node *object = &m->nodes.items[f->node];
    bool any = may_add_other(m, f, next);
    frame key = *f;
    if (any && really) {
        key.phase = PHASE_OTHER;
        key.a = key.b = 0;
        push(m, intern_frame(m, &key));
    }
    for (uint32_t i = next; i < object->count; i++) {
        if (has_room(m, f->depth, object->properties[i].value)) {
            any = true;
            key.phase = PHASE_KEY;
            key.a = i;
            key.b = 0;
            if (really) push(m, intern_frame(m, &key));
        }
        if (object->properties[i].required) break;
    }
    return any;
}

/* A value of `node` behind a key or in an array, then `after`. */
static frame value_before(engine__automaton *m, uint32_t node, const frame *after)
{
    return (frame){.parent = intern_frame(m, after),
                   .node = node,
                   .phase = PHASE_VALUE,
                   .depth = after->depth};
}

static uint32_t one_less(uint32_t count)
{
    return count == 0 || count == GRAMMAR_NONE ? count : count - 1;
}

/* An element of an array, before which a must and b may come. */
static frame element_before(engine__automaton *m, const frame *f, uint32_t a, uint32_t b)
{
    frame after = *f;
    after.phase = PHASE_ELEMENT;
    after.a = one_less(a);
    after.b = one_less(b);
    return value_before(m, m->nodes.items[f->node].value, &after);
}

/* `spaced`: white space may stand before it. */
static void enter_closing(engine__automaton *m, const frame *f, phase closing, bool spaced)
{
    frame close = *f;
    close.phase = (uint8_t)closing;
    close.a = close.b = 0;
    if (spaced)
        enter_spaced(m, &close);
    else
        enter(m, &close);
}

static bool number_is_whole(const frame *f)
{
    return f->sub == NUMBER_ZERO || f->sub == NUMBER_INTEGER || f->sub == NUMBER_FRACTION ||
           f->sub == NUMBER_EXPONENT;
}

static bool number_may_go_on(const engine__automaton *m, const frame *f)
{
    bool whole = m->nodes.items[f->node].whole;
    if (f->sub == NUMBER_ZERO) return !whole;
    if (f->sub == NUMBER_INTEGER) return !whole || f->a < GRAMMAR_INTEGER_DIGITS;
    return f->sub != NUMBER_EXPONENT || f->a < GRAMMAR_EXPONENT_DIGITS;
}

/* Add to the list what may come where f is expected. */
static void enter(engine__automaton *m, const frame *f)
{
    const grammar_node *node = &m->nodes.items[f->node];
    frame value;
    switch ((phase)f->phase) {
    case PHASE_VALUE:
        enter_value(m, f);
        return;
    case PHASE_NEXT:
        enter_keys(m, f, f->a, true);
        return;
    case PHASE_FIRST:
        enter_keys(m, f, 0, true);
        if (may_close(m, f, 0)) enter_closing(m, f, PHASE_CLOSE, false);
        return;
    case PHASE_MEMBER:
        push(m, intern_frame(m, f));
        if (may_close(m, f, f->a)) enter_closing(m, f, PHASE_CLOSE, true);
        return;
    case PHASE_ELEMENTS:
        if (node->max > 0 && has_room(m, f->depth, node->value)) {
            value = element_before(m, f, node->min, node->max);
            enter(m, &value);
        }
        if (node->min == 0) enter_closing(m, f, PHASE_CLOSE_ARRAY, false);
        return;
    case PHASE_ELEMENT:
        push(m, intern_frame(m, f));
        if (f->a == 0) enter_closing(m, f, PHASE_CLOSE_ARRAY, true);
        return;
    case PHASE_NUMBER: /* a frame that nothing can follow would hide that the value has ended */
        if (number_may_go_on(m, f)) push(m, intern_frame(m, f));
        if (number_is_whole(f)) enter_index(m, f->parent);
        return;
    case PHASE_INDENT:
        push(m, intern_frame(m, f));
        enter_index(m, f->parent);
        return;
    default:
        push(m, intern_frame(m, f));
        return;
    }
}

/* ---- strings and numbers ------------------------------------------------------------------- */

static text_state first_byte(uint8_t byte, bool ascii)
{
    if (byte == '\\') return TEXT_ESCAPE;
    if (byte < 0x80) return byte < 0x20 || byte == '"' ? TEXT_BAD : TEXT_CHAR;
    if (ascii || byte < 0xc2 || byte > 0xf4) return TEXT_BAD;
    if (byte < 0xe0) return TEXT_TAIL1;
    if (byte == 0xe0) return TEXT_E0;
    if (byte == 0xed) return TEXT_ED;
    if (byte < 0xf0) return TEXT_TAIL2;
    return byte == 0xf0 ? TEXT_F0 : byte == 0xf4 ? TEXT_F4 : TEXT_TAIL3;
}

static text_state tail_byte(text_state now, uint8_t byte)
{
    static const struct {
        uint8_t low, high, next;
    } tails[] = {[TEXT_TAIL1] = {0x80, 0xbf, TEXT_CHAR},  [TEXT_TAIL2] = {0x80, 0xbf, TEXT_TAIL1},
                 [TEXT_TAIL3] = {0x80, 0xbf, TEXT_TAIL2}, [TEXT_E0] = {0xa0, 0xbf, TEXT_TAIL1},
                 [TEXT_ED] = {0x80, 0x9f, TEXT_TAIL1},    [TEXT_F0] = {0x90, 0xbf, TEXT_TAIL2},
                 [TEXT_F4] = {0x80, 0x8f, TEXT_TAIL2}};
    return byte >= tails[now].low && byte <= tails[now].high ? (text_state)tails[now].next
                                                             : TEXT_BAD;
}

static int hex_value(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Behind \u: no U+0000, and a first half of a pair only with its second. */
static text_state hex_digit(text_state now, uint8_t byte)
{
    int value = hex_value(byte);
    if (value < 0) return TEXT_BAD;
    switch (now) {
    case TEXT_U:
        return value == 0 ? TEXT_U0 : value == 13 ? TEXT_UD : TEXT_HEX3;
    case TEXT_U0:
        return value == 0 ? TEXT_U00 : TEXT_HEX2;
    case TEXT_U00:
        return value == 0 ? TEXT_U000 : TEXT_HEX1;
    case TEXT_U000:
        return value == 0 ? TEXT_BAD : TEXT_CHAR;
    case TEXT_UD:
        return value < 8 ? TEXT_HEX2 : value < 12 ? TEXT_HIGH2 : TEXT_BAD;
    case TEXT_HEX3:
        return TEXT_HEX2;
    case TEXT_HEX2:
        return TEXT_HEX1;
    case TEXT_HEX1:
        return TEXT_CHAR;
    case TEXT_HIGH2:
        return TEXT_HIGH1;
    case TEXT_HIGH1:
        return TEXT_LOW_BACKSLASH;
    case TEXT_LOW_D:
        return value == 13 ? TEXT_LOW_C : TEXT_BAD;
    default: /* TEXT_LOW_C */
        return value >= 12 ? TEXT_HEX2 : TEXT_BAD;
    }
}

/* The state within a string behind one more byte, which is not the closing quote. */
static text_state text_step(text_state now, uint8_t byte, bool ascii)
{
    switch (now) {
    case TEXT_CHAR:
        return first_byte(byte, ascii);
    case TEXT_TAIL1:
    case TEXT_TAIL2:
    case TEXT_TAIL3:
    case TEXT_E0:
    case TEXT_ED:
    case TEXT_F0:
    case TEXT_F4:
        return tail_byte(now, byte);
    case TEXT_ESCAPE:
        if (byte == 'u') return TEXT_U;
        return byte != 0 && strchr("\"\\/bfnrt", byte) ? TEXT_CHAR : TEXT_BAD;
    case TEXT_LOW_BACKSLASH:
        return byte == '\\' ? TEXT_LOW_U : TEXT_BAD;
    case TEXT_LOW_U:
        return byte == 'u' ? TEXT_LOW_D : TEXT_BAD;
    case TEXT_BAD:
        return TEXT_BAD;
    default:
        return hex_digit(now, byte);
    }
}

static void step_string(engine__automaton *m, frame f, uint8_t byte)
{
    if (f.sub == TEXT_CHAR && byte == '"') {
        if (f.a == 0) enter_index(m, f.parent);
        return;
    }
    if (f.b == 0) return;
    f.sub = (uint8_t)text_step((text_state)f.sub, byte, m->ascii);
    if (f.sub == TEXT_BAD) return;
    if (f.sub == TEXT_CHAR) {
        f.a = one_less(f.a);
        f.b = one_less(f.b);
    }
    enter(m, &f);
}

/* One more byte of a name that must be none of the object's properties. While it begins like some,
 * a is the first of those in order and b how many bytes agree; else a is GRAMMAR_NONE. */
static void other_name(const grammar_node *object, frame *f, uint8_t byte)
{
    if (f->a == GRAMMAR_NONE) return;
    const char *like = object->names[f->a];
    for (uint32_t i = f->a; i < object->count; i++) {
        const char *name = object->names[i];
        if (strncmp(name, like, f->b) != 0) break;
        if ((uint8_t)name[f->b] != byte) continue;
        f->a = i;
        f->b++;
        return;
    }
    f->a = GRAMMAR_NONE;
    f->b = 0;
}

static void step_name(engine__automaton *m, frame f, uint8_t byte)
{
    const grammar_node *object = &m->nodes.items[f.node];
    if (f.sub == TEXT_CHAR && byte == '"') {
        if (f.a != GRAMMAR_NONE && object->names[f.a][f.b] == '\0') return;
        f.phase = PHASE_COLON;
        f.a = f.b = 0;
        enter(m, &f);
        return;
    }
    if (byte == '\\') return; /* one spelling, so that it can be told from the properties */
    f.sub = (uint8_t)text_step((text_state)f.sub, byte, m->ascii);
    if (f.sub == TEXT_BAD) return;
    other_name(object, &f, byte);
    enter(m, &f);
}

static void step_number(engine__automaton *m, frame f, uint8_t byte)
{
    static const uint8_t most[] = {[NUMBER_INTEGER] = GRAMMAR_INTEGER_DIGITS,
                                   [NUMBER_FRACTION] = GRAMMAR_FRACTION_DIGITS,
                                   [NUMBER_EXPONENT] = GRAMMAR_EXPONENT_DIGITS};
    bool digit = byte >= '0' && byte <= '9', real = !m->nodes.items[f.node].whole;
    uint8_t to = NUMBER_START;
    switch ((number_state)f.sub) {
    case NUMBER_START:
        if (byte == '-') to = NUMBER_MINUS;
        if (digit) to = byte == '0' ? NUMBER_ZERO : NUMBER_INTEGER;
        break;
    case NUMBER_MINUS:
        if (digit) to = byte == '0' ? NUMBER_ZERO : NUMBER_INTEGER;
        break;
    case NUMBER_ZERO:
    case NUMBER_INTEGER:
        if (digit && f.sub == NUMBER_INTEGER) to = NUMBER_INTEGER;
        if (real && byte == '.') to = NUMBER_POINT;
        if (real && (byte | 0x20) == 'e') to = NUMBER_E;
        break;
    case NUMBER_POINT:
    case NUMBER_FRACTION:
        if (digit) to = NUMBER_FRACTION;
        if (f.sub == NUMBER_FRACTION && (byte | 0x20) == 'e') to = NUMBER_E;
        break;
    case NUMBER_E:
        if (byte == '+' || byte == '-') to = NUMBER_SIGN;
        if (digit) to = NUMBER_EXPONENT;
        break;
    case NUMBER_SIGN:
    case NUMBER_EXPONENT:
        if (digit) to = NUMBER_EXPONENT;
        break;
    }
    if (to == NUMBER_START) return;
    f.a = to == f.sub ? f.a + 1 : 1;
    if (digit && to != NUMBER_ZERO && f.a > most[to]) return;
    f.sub = to;
    enter(m, &f);
}

/* ---- a step -------------------------------------------------------------------------------- */

static void step_space(engine__automaton *m, frame f, uint8_t byte)
{
    if (f.phase == PHASE_SPACE && byte == ' ') {
        enter_index(m, f.parent);
        return;
    }
    if (byte != (f.phase == PHASE_SPACE ? '\n' : ' ')) return;
    if (f.phase == PHASE_INDENT && f.a == GRAMMAR_INDENT_MAX) return;
    f.a = f.phase == PHASE_SPACE ? 0 : f.a + 1;
    f.phase = PHASE_INDENT;
    enter(m, &f);
}

/* Behind the colon of property `next` - 1, or of another. */
static void enter_member(engine__automaton *m, const frame *f, uint32_t node, uint32_t next)
{
    frame after = *f;
    after.phase = PHASE_MEMBER;
    after.sub = 0;
    after.a = next;
    after.b = 0;
    frame value = value_before(m, node, &after);
    enter_spaced(m, &value);
}

static void step_object(engine__automaton *m, frame f, uint8_t byte)
{
    const grammar_node *object = &m->nodes.items[f.node];
    if (f.phase == PHASE_KEY) {
        const grammar_property *property = &object->properties[f.a];
        if ((uint8_t)property->key[f.b] != byte) return;
        if (++f.b < property->key_len)
            enter(m, &f);
        else
            enter_member(m, &f, property->value, f.a + 1);
    } else if (f.phase == PHASE_COLON) {
        if (byte == ':') enter_member(m, &f, object->value, object->count);
    } else if (f.phase == PHASE_OTHER) {
        if (byte != '"') return;
        f.phase = PHASE_NAME;
        f.a = object->count > 0 ? 0 : GRAMMAR_NONE;
        enter(m, &f);
    } else if (f.phase == PHASE_MEMBER) {
        if (byte != ',' || !enter_keys(m, &f, f.a, false)) return;
        f.phase = PHASE_NEXT;
        enter_spaced(m, &f);
    } else if (byte == '{') {
        SLM_ASSERT(f.phase == PHASE_BRACE);
        f.phase = PHASE_FIRST;
        f.depth++;
        enter_spaced(m, &f);
    }
}

static void step_array(engine__automaton *m, frame f, uint8_t byte)
{
    if (f.phase == PHASE_BRACKET && byte == '[') {
        f.phase = PHASE_ELEMENTS;
        f.depth++;
        enter_spaced(m, &f);
    } else if (f.phase == PHASE_ELEMENT && byte == ',' && f.b > 0) {
        frame value = element_before(m, &f, f.a, f.b);
        enter_spaced(m, &value);
    }
}

/* Add to the list what may come behind f and this byte. */
static void step_frame(engine__automaton *m, const frame *f, uint8_t byte)
{
    frame next = *f;
    switch ((phase)f->phase) {
    case PHASE_SPACE:
    case PHASE_INDENT:
        step_space(m, next, byte);
        return;
    case PHASE_LITERAL:
        if ((uint8_t)m->nodes.items[f->node].text[f->a] != byte) return;
        if (++next.a == m->nodes.items[f->node].text_len)
            enter_index(m, f->parent);
        else
            enter(m, &next);
        return;
    case PHASE_QUOTE:
        if (byte != '"') return;
        next.phase = PHASE_STRING;
        next.a = m->nodes.items[f->node].min;
        next.b = m->nodes.items[f->node].max;
        enter(m, &next);
        return;
    case PHASE_STRING:
        step_string(m, next, byte);
        return;
    case PHASE_NAME:
        step_name(m, next, byte);
        return;
    case PHASE_NUMBER:
        step_number(m, next, byte);
        return;
    case PHASE_CLOSE:
    case PHASE_CLOSE_ARRAY:
        if (byte == (f->phase == PHASE_CLOSE ? '}' : ']')) enter_index(m, f->parent);
        return;
    case PHASE_BRACKET:
    case PHASE_ELEMENT:
        step_array(m, next, byte);
        return;
    case PHASE_DONE:
        return;
    default:
        step_object(m, next, byte);
        return;
    }
}

uint32_t engine__automaton_step(engine__automaton *m, uint32_t index, uint8_t byte)
{
    if (!m->states[index].next) {
        uint32_t *next = malloc(256 * sizeof *next);
        if (!next) slm_out_of_memory(256 * sizeof *next);
        memset(next, 0xff, 256 * sizeof *next);
        m->states[index].next = next;
        m->next_bytes += 256 * sizeof *next;
    }
    uint32_t to = m->states[index].next[byte];
    if (to != GRAMMAR_NONE) return to;
    m->list_count = 0;
    for (uint32_t i = 0; i < m->states[index].count; i++) {
        frame f = m->frames[m->members[m->states[index].first + i]];
        step_frame(m, &f, byte);
    }
    to = intern_state(m);
    m->states[index].next[byte] = to;
    return to;
}

bool engine__automaton_complete(const engine__automaton *m, uint32_t index)
{
    return m->states[index].complete;
}

bool engine__automaton_ended(const engine__automaton *m, uint32_t index)
{
    return m->states[index].complete && m->states[index].count == 1;
}

/* ---- states that look alike ---------------------------------------------------------------- */

/* The same frame, and those below, with counts beyond reach made equal. */
static uint32_t alike(engine__automaton *m, uint32_t index)
{
    frame f = m->frames[index];
    if (index == 0) return 0;
    f.parent = alike(m, f.parent);
    if (f.phase == PHASE_STRING || f.phase == PHASE_ELEMENT) {
        if (f.a > m->longest) f.a = m->longest + 1;
        if (f.b > m->longest) f.b = GRAMMAR_NONE;
    }
    return intern_frame(m, &f);
}

uint32_t engine__automaton_likeness(engine__automaton *m, uint32_t index)
{
    if (m->states[index].likeness != GRAMMAR_NONE) return m->states[index].likeness;
    m->list_count = 0;
    for (uint32_t i = 0; i < m->states[index].count; i++)
        push(m, alike(m, m->members[m->states[index].first + i]));
    uint32_t like = intern_state(m);
    m->states[index].likeness = like;
    m->states[like].likeness = like;
    return like;
}

/* ---- the whole ----------------------------------------------------------------------------- */

size_t engine__automaton_bytes(const engine__automaton *m)
{
    return m->next_bytes + m->frame_cap * sizeof *m->frames + m->state_cap * sizeof *m->states +
           m->member_cap * sizeof *m->members +
           ((size_t)m->frame_table.mask + m->state_table.mask) * sizeof(uint32_t);
}

const grammar_nodes *engine__automaton_nodes(const engine__automaton *m)
{
    return &m->nodes;
}

static void free_tables(engine__automaton *m)
{
    for (uint32_t i = 0; i < m->state_count; i++)
        free(m->states[i].next);
    m->state_count = m->frame_count = 0;
    m->member_count = 0;
    m->next_bytes = 0;
}

void engine__automaton_forget(engine__automaton *m)
{
    const frame done = {.phase = PHASE_DONE};
    free_tables(m);
    table_clear(&m->frame_table, 256);
    table_clear(&m->state_table, 256);
    m->list_count = 0;
    intern_frame(m, &done);
    add_state(m); /* DEAD */
    const frame value = {.node = m->nodes.root, .phase = PHASE_VALUE};
    enter_spaced(m, &value);
    uint32_t start = intern_state(m);
    SLM_ASSERT(start == GRAMMAR_START);
}

void engine__automaton_ascii(engine__automaton *m)
{
    m->ascii = true;
}

slm_status engine__automaton_new(const char *schema, size_t longest, engine__automaton **out,
                                 slm_error *err)
{
    engine__automaton *m = calloc(1, sizeof *m);
    if (!m) slm_out_of_memory(sizeof *m);
    slm_status status = grammar__compile(schema, &m->nodes, err);
    if (status != SLM_OK) {
        free(m);
        return status;
    }
    m->longest = longest < (1u << 30) ? (uint32_t)longest : 1u << 30;
    engine__automaton_forget(m);
    *out = m;
    return SLM_OK;
}

void engine__automaton_free(engine__automaton *m)
{
    if (!m) return;
    free_tables(m);
    grammar__nodes_free(&m->nodes);
    free(m->frames);
    free(m->states);
    free(m->members);
    free(m->frame_table.slots);
    free(m->state_table.slots);
    free(m->list);
    free(m);
}
