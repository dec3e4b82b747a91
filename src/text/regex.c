/* regex.c: the regular expressions of tokenizers, as PCRE2 runs them.
 *
 * tokenizer.json writes its expressions for Oniguruma with Ruby's syntax (Oniguruma's doc/RE), which
 * differs from PCRE2's in what it calls white space, a word character or \h, in sets within sets,
 * and in what a quantifier behind a quantifier means. translate() rewrites what can be said in both
 * and refuses the rest by name, so that no expression is run with another meaning:
 *
 *  - \s is Unicode's White_Space (Z*, U+0009-000D, U+0085). PCRE2's own also takes U+180E.
 *  - \w is what Oniguruma's table has (WORD below); \h is a hexadecimal digit.
 *  - [a[bc]] is [abc]; {,n} is {0,n}; ^ and $ stand at every line's ends; \p{Han} is the script.
 *
 * An expression is matched by the JIT, and by the interpreter where there is no JIT or its stack is
 * too small. The number of steps is limited: an expression that takes exponential time is an error. */
#include <ctype.h>
#include <string.h>
#include "text/text_internal.h"

#define SPACE "\\p{Z}\\x09-\\x0d\\x{85}" /* inside a class */
/* Alphabetic characters, circled letters among them; marks; digits, and Latin-1's small ones; "_". */
#define WORD                                                                                       \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"                        \
    "\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
#define HEX "0-9A-Fa-f"

enum { MAX_PATTERN = 1 << 14, MAX_STEPS = 20000000, MAX_NESTED = 8 };

typedef struct translator {
    const char *at, *end;
    slm_buffer out;
    char why[96]; /* empty: no objection */
} translator;

static void object(translator *t, const char *what, const char *at, size_t len)
{
    if (t->why[0]) return;
    if (len > (size_t)(t->end - at)) len = (size_t)(t->end - at);
    snprintf(t->why, sizeof(t->why), "%s '%.*s' is not supported", what, (int)len, at);
}

/* \p{L}, \p{^Lu}, \P{Han}: a general category as it is, a longer name as a script. */
static void property(translator *t)
{
    const char *begin = t->at, *name = t->at + 3;
    bool negated = begin[1] == 'P';
    if (name < t->end && *name == '^') {
        negated = !negated;
        name++;
    }
    const char *close = name;
    while (close < t->end && (isalnum((unsigned char)*close) || *close == '_'))
        close++;
    if (t->end - begin < 4 || begin[2] != '{' || close >= t->end || *close != '}' ||
        close == name) {
        object(t, "the property", begin, 8);
        t->at = t->end;
        return;
    }
    slm_buffer_printf(&t->out, "\\%c{%s%.*s}", negated ? 'P' : 'p', close - name > 2 ? "sc:" : "",
                      (int)(close - name), name);
    t->at = close + 1;
}

/* \uHHHH and \x{H...} and \xHH. Returns false if `at` is none of them. */
static bool code_point(translator *t)
{
    const char *digits = t->at + 2;
    bool braces = t->at[1] == 'x' && digits < t->end && *digits == '{';
    if (braces) digits++;
    size_t want = t->at[1] == 'u' ? 4 : braces ? 6 : 2, n = 0;
    unsigned value = 0;
    while (digits + n < t->end && n < want && isxdigit((unsigned char)digits[n])) {
        int c = tolower((unsigned char)digits[n++]);
        value = value * 16 + (unsigned)(isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    if (n == 0 || (!braces && n < want)) return false;
    if (braces && (digits + n >= t->end || digits[n] != '}')) return false;
    if (t->at[1] == 'x' && !braces && value > 0x7f) return false; /* a byte, not a character */
    slm_buffer_printf(&t->out, "\\x{%x}", value);
    t->at = digits + n + braces;
    return true;
}

/* A backslash and what belongs to it. */
static void escape(translator *t, bool in_class)
{
    static const struct {
        char c;
        const char *outside, *inside; /* NULL: refused */
    } map[] = {
        {'s', "[" SPACE "]", SPACE},
        {'S', "[^" SPACE "]", "\\S\\x{180e}"},
        {'w', "[" WORD "]", WORD},
        {'W', "[^" WORD "]", NULL},
        {'h', "[" HEX "]", HEX},
        {'H', "[^" HEX "]", NULL},
        {'d', "\\d", "\\d"},
        {'D', "\\D", "\\D"},
        {'n', "\\n", "\\n"},
        {'r', "\\r", "\\r"},
        {'t', "\\t", "\\t"},
        {'f', "\\f", "\\f"},
        {'a', "\\a", "\\a"},
        {'e', "\\e", "\\e"},
        {'v', "\\x0b", "\\x0b"},
        {'b', "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))", "\\x08"},
        {'A', "\\A", NULL},
        {'z', "\\z", NULL},
        {'Z', "\\Z", NULL},
    };
    if (t->at + 1 >= t->end) {
        object(t, "the end", t->at, 1);
        t->at = t->end;
        return;
    }
    char c = t->at[1];
    if (c == 'p' || c == 'P') {
        property(t);
        return;
    }
    if ((c == 'x' || c == 'u') && code_point(t)) return;
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        const char *text = in_class ? map[i].inside : map[i].outside;
        if (map[i].c != c || text == NULL) continue;
        slm_buffer_append_text(&t->out, text);
        t->at += 2;
        return;
    }
    if (isalnum((unsigned char)c)) {
        object(t, in_class ? "in a set the escape" : "the escape", t->at, 2);
    } else {
        if ((unsigned char)c < 0x80) slm_buffer_append_char(&t->out, '\\');
        slm_buffer_append_char(&t->out, c);
    }
    t->at += 2;
}

/* A set from its '[' on. A set within a set is flattened; its brackets are not written. */
static void set(translator *t, int depth)
{
    const char *begin = t->at++;
    if (depth == 0) slm_buffer_append_char(&t->out, '[');
    if (t->at < t->end && *t->at == '^') {
        if (depth > 0) object(t, "the negated set in a set", begin, 2);
        if (depth == 0) slm_buffer_append_char(&t->out, '^');
        t->at++;
    }
    if (t->at < t->end && *t->at == ']') { /* first: itself */
        slm_buffer_append_text(&t->out, "\\]");
        t->at++;
    }
    while (t->at < t->end && *t->at != ']' && !t->why[0]) {
        if (*t->at == '\\') {
            escape(t, true);
        } else if (*t->at == '[') {
            if (t->at + 1 < t->end && t->at[1] == ':')
                object(t, "the named set", t->at, 10);
            else if (depth >= MAX_NESTED)
                object(t, "so deep a set", t->at, 1);
            else
                set(t, depth + 1);
        } else if (*t->at == '&' && t->at + 1 < t->end && t->at[1] == '&') {
            object(t, "the intersection", t->at, 2);
        } else {
            slm_buffer_append_char(&t->out, *t->at++);
        }
    }
    if (t->at >= t->end) {
        object(t, "the set without an end", begin, 8);
        return;
    }
    if (depth == 0) slm_buffer_append_char(&t->out, ']');
    t->at++;
}

static void group(translator *t, bool at_start)
{
    static const char *const known[] = {
        "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"};
    size_t left = (size_t)(t->end - t->at), len = 1;
    if (left >= 2 && t->at[1] == '?') {
        len = 0;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            size_t n = strlen(known[i]);
            if (left >= n && memcmp(t->at, known[i], n) == 0) len = n;
        }
        /* Within an alternative the two libraries do not mean the same by it. */
        if (at_start && left >= 4 && memcmp(t->at, "(?i)", 4) == 0) len = 4;
    }
    if (len == 0 || (left >= 2 && t->at[1] == '*')) object(t, "the group", t->at, 4);
    slm_buffer_append(&t->out, t->at, len);
    t->at += len ? len : 1;
}

/* {n} {n,} {n,m} {,m}; any other brace is itself. */
static void braces(translator *t)
{
    const char *at = t->at + 1, *low = at;
    while (at < t->end && isdigit((unsigned char)*at))
        at++;
    const char *low_end = at;
    bool comma = at < t->end && *at == ',';
    if (comma) at++;
    const char *high = at;
    while (at < t->end && isdigit((unsigned char)*at))
        at++;
    bool counts = low_end > low || (comma && at > high);
    if (!counts || at >= t->end || *at != '}' || low_end - low > 5 || at - high > 5) {
        slm_buffer_append_text(&t->out, "\\{");
        t->at++;
        return;
    }
    slm_buffer_printf(&t->out, "{%.*s%.*s", low_end > low ? (int)(low_end - low) : 1,
                      low_end > low ? low : "0", (int)(at + 1 - low_end), low_end);
    t->at = at + 1;
    /* Ruby repeats what is repeated already, PCRE2 takes it as possessive or lazy. */
    if (t->at < t->end && (*t->at == '+' || (*t->at == '?' && !comma)))
        object(t, "the quantifier behind a quantifier", t->at - 1, 2);
}

static void translate(translator *t)
{
    const char *begin = t->at;
    while (t->at < t->end && !t->why[0]) {
        switch (*t->at) {
        case '\\':
            escape(t, false);
            break;
        case '[':
            set(t, 0);
            break;
        case '(':
            group(t, t->at == begin);
            break;
        case '{':
            braces(t);
            break;
        default:
            slm_buffer_append_char(&t->out, *t->at++);
        }
    }
}

static slm_status compile(const char *pattern, size_t len, uint32_t options, text_regex *out,
                          char *why, size_t why_bytes)
{
    int code;
    PCRE2_SIZE at;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL) slm_out_of_memory(sizeof(void *));
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    out->code = pcre2_compile((PCRE2_SPTR)pattern, len, options | PCRE2_UTF, &code, &at, context);
    pcre2_compile_context_free(context);
    if (out->code == NULL) {
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, why_bytes);
        return SLM_ERR_UNSUPPORTED;
    }
    /* Without JIT (another processor, or memory that may not be made executable) the interpreter
     * does the same, slower. */
    out->jit = pcre2_jit_compile(out->code, PCRE2_JIT_COMPLETE) == 0;
    return SLM_OK;
}

slm_status slm_text__regex_compile(const char *pattern, size_t len, bool literal, text_regex *out,
                                   slm_error *err)
{
    char why[160] = "";
    slm_status status = SLM_ERR_UNSUPPORTED;
    translator t = {.at = pattern, .end = pattern + len};
    *out = (text_regex){0};
    if (len > MAX_PATTERN) {
        snprintf(why, sizeof(why), "%zu bytes are too long; at most %d are allowed", len,
                 MAX_PATTERN);
    } else if (literal) {
        status = compile(pattern, len, PCRE2_LITERAL, out, why, sizeof(why));
    } else {
        translate(&t);
        if (t.why[0])
            snprintf(why, sizeof(why), "%s", t.why);
        else
            status = compile(slm_buffer_text(&t.out), t.out.len,
                             PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, out, why,
                             sizeof(why));
    }
    slm_buffer_free(&t.out);
    if (status == SLM_OK) return SLM_OK;
    return slm_error_set(err, status, "the expression '%.*s' cannot be used: %s",
                         (int)(len > 300 ? 300 : len), pattern, why);
}

void slm_text__regex_free(text_regex *regex)
{
    pcre2_code_free(regex->code);
    *regex = (text_regex){0};
}

pcre2_match_context *slm_text__regex_limits(void)
{
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    if (limits == NULL) slm_out_of_memory(sizeof(void *));
    pcre2_set_match_limit(limits, MAX_STEPS);
    return limits;
}

slm_status slm_text__regex_find(const text_regex *regex, text_work *work, const char *text,
                                size_t len, size_t from, bool *found, size_t *begin, size_t *end,
                                slm_error *err)
{
    int got = PCRE2_ERROR_JIT_STACKLIMIT;
    pcre2_match_context *limits = work->tokenizer->limits;
    if (regex->jit)
        got = pcre2_jit_match(regex->code, (PCRE2_SPTR)text, len, from, PCRE2_NO_UTF_CHECK,
                              work->match, limits);
    if (got == PCRE2_ERROR_JIT_STACKLIMIT)
        got = pcre2_match(regex->code, (PCRE2_SPTR)text, len, from,
                          PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, work->match, limits);
    *found = got >= 0;
    if (got == PCRE2_ERROR_NOMATCH) return SLM_OK;
    if (got < 0) {
        char why[128];
        pcre2_get_error_message(got, (PCRE2_UCHAR *)why, sizeof(why));
        return slm_error_set(err, SLM_ERR_LIMIT,
                             "the tokenizer's expression for cutting text gave up at byte %zu of "
                             "%zu: %s",
                             from, len, why);
    }
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(work->match);
    /* An end before the beginning needs \K, which is refused. */
    SLM_ASSERT(span[0] >= from && span[1] >= span[0] && span[1] <= len);
    *begin = span[0];
    *end = span[1];
    return SLM_OK;
}
