/* personal.c: what identifies a person, as far as patterns can tell.
 *
 * The list is that of HIPAA's Safe Harbor, 45 CFR 164.514(b)(2)(i): eighteen kinds of identifiers
 * that a text must be free of to count as de-identified. Patterns find those with a form of their
 * own: contact details, numbers behind a word that says what they are ("MRN 12345"), dates finer
 * than a year, addresses. They cannot find a name in a sentence, a face or a voice; a name behind a
 * title or "my name is" they can. So a clean result is a floor, not a proof.
 *
 * Ages over 89: Safe Harbor lets them stand together as "90 or older", so 90 passes and 91 does
 * not. Dates: a month without its year or day says next to nothing about a person and passes.
 *
 * Every string of a row is looked at but ids, tags, source and licence, which the writers set. What
 * is found is shown with all but its first two characters masked, so that a report may be kept. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>
#include "base/utf8.h"
#include "data/inspect_internal.h"

#define MONTH                                                                                        \
    "(?:jan(?:uary|vier)?|enero|janeiro|feb(?:ruary|rero)?|f[ée]vrier|fevereiro|mar(?:ch|zo|s|ço)" \
    "?"                                                                                              \
    "|apr(?:il)?|abril|avril|may|mayo|mai|maio|june?|juin|junio|junho|july?|juillet|julio|julho"     \
    "|aug(?:ust)?|agosto|ao[ûu]t|sept?(?:ember|embre|iembre)?|setembro|oct(?:ober|ubre|obre)?"      \
    "|outubro|nov(?:ember|embre|iembre|embro)?|dec(?:ember)?|d[ée]cembre|diciembre|dezembro)"
#define DAY          "(?:[12]\\d|3[01]|0?[1-9])"
#define MONTH_NUMBER "(?:1[0-2]|0?[1-9])"
#define YEAR         "(?:19|20)\\d\\d"
#define STATE                                                                                      \
    "(?:A[LKZR]|C[AOT]|D[CE]|FL|GA|HI|I[DLNA]|K[SY]|LA|M[EDAINSOT]|N[EVHJMYCD]|O[HKR]|PA|RI|S[CD]" \
    "|T[NX]|UT|V[TA]|W[AVIY])"
/* A number that is named before it: "MRN: 12345". It has a digit and four characters at least. */
#define NAMED(words)                                                                               \
    "(?i)\\b(?:" words ")\\b[\\s#:.]*(?:(?:no|nr|num|number|id|is|was)\\b[\\s#:.]*){0,3}"          \
    "(?=[A-Z-]{0,6}\\d)[A-Z0-9][A-Z0-9-]{3,}"

static const struct pattern {
    const char *kind, *regex;
} patterns[] = {
    {"e-mail", "(?i)[a-z0-9._%+-]+@[a-z0-9-]+(?:\\.[a-z0-9-]+)*\\.[a-z]{2,}"},
    {"URL", "(?i)\\b(?:https?|ftp)://[^\\s\"<>]+|\\bwww\\.[a-z0-9-]+\\.[a-z]{2,}[^\\s\"<>]*"},
    {"SSN", "(?<![\\d-])(?!000|666|9\\d\\d)\\d{3}-(?!00)\\d{2}-(?!0000)\\d{4}(?![\\d-])"},
    {"phone",
     "(?<![\\d.+-])\\+\\d{1,3}[ .-]?(?:\\(\\d{1,4}\\)[ .-]?)?\\d{2,4}(?:[ .-]?\\d{2,4}){1,4}(?!\\d)"
     "|(?<![\\d.-])(?:1[ .-])?\\(?\\d{3}\\)?[ .-]\\d{3}[ .-]\\d{4}(?![\\d-])"
     "|(?<![\\d.,/-])0\\d{2,4}[ -]\\d{3,4}[ -]?\\d{3,4}(?!\\d)"
     "|(?<![\\d.,/-])0[1-9](?:[ .]\\d{2}){4}(?!\\d)"
     "|(?i)\\b(?:call|text|phone|tel|mobile|cell|fax|whatsapp)\\w*\\W{1,3}(?:(?:me|us|on|at|"
     "number|no|is)\\W{1,2}){0,3}\\(?\\d{3,5}\\)?[ -]?\\d{3,4}(?:[ -]?\\d{2,4})?(?!\\d)"},
    {"IP address",
     "(?<![\\d.])(?:(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)\\.){3}(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)(?![\\d.])"
     "|(?i)(?<![0-9a-f:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![0-9a-f:])"},
    {"device", "(?i)(?<![0-9a-f:-])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![0-9a-f:-])|" NAMED(
                   "serial|imei|device id|udi|lot number of (?:my|the) (?:pacemaker|implant)")},
    {"medical record", NAMED("mrn|medical record|patient (?:id|no|number)|hospital (?:id|no|number)"
                             "|nhs (?:no|number)|chart (?:no|number)|case (?:no|number)")},
    {"health plan", NAMED("member (?:id|no|number)|policy|medicare|medicaid|beneficiary|"
                          "insurance (?:id|no|number)|group (?:no|number)")},
    {"account",
     NAMED("account|acct|iban|sort code|routing|credit card|card number|invoice") "|\\b[A-Z]{2}\\d{"
                                                                                  "2}(?: "
                                                                                  "?[A-Z0-9]{4}){3,"
                                                                                  "7}(?: "
                                                                                  "?[A-Z0-9]{1,3})?"
                                                                                  "\\b"
                                                                                  "|(?<![\\d.-])(?:"
                                                                                  "\\d{4}[ "
                                                                                  "-]){3}\\d{4}(?!["
                                                                                  "\\d-])"},
    {"licence", NAMED("licen[cs]e|passport|certificate|dea|npi|driving licen[cs]e")},
    {"vehicle",
     NAMED(
         "vin|plate|number plate|licen[cs]e plate|registration|reg") "|\\b(?=[A-HJ-NPR-Z0-9]*\\d)(?"
                                                                     "=[A-HJ-NPR-Z0-9]*[A-Z])[A-HJ-"
                                                                     "NPR-Z0-9]{11}\\d{6}\\b"},
    {"date", "(?<![\\d/.-])(?:(?:" DAY "([/.-])" MONTH_NUMBER "|" MONTH_NUMBER "([/.-])" DAY
             ")(?:\\1|\\2)(?:" YEAR "|(?<=[/.])\\d\\d))(?![/.-]?\\d)"
             "|(?<!\\d)" YEAR "[/.-](?:0?[1-9]|1[0-2])[/.-]" DAY "(?!\\d)"
             "|(?i)\\b" MONTH "\\.?,? +(?:the +)?" DAY "(?:st|nd|rd|th)?\\b(?![:.]?\\d)"
             "|(?i)\\b" DAY "(?:st|nd|rd|th|er|\xC2\xBA)?(?: +of| +de)? +" MONTH "\\b"
             "|(?i)\\b" MONTH ",?(?: +of| +de)? +" YEAR "\\b"},
    {"place",
     "\\b" STATE ",? +\\d{5}(?:-\\d{4})?\\b|(?i)\\b(?:zip(?: ?code)?|post ?code|postal code|c"
     "[óo]digo postal|code postal|cep)\\b\\W{0,3}(?:is\\W)?[A-Z0-9]{2,5}[ -]?\\d[A-Z0-9-]*"
     "|(?-i)\\b[A-Z]{1,2}\\d[A-Z\\d]? \\d[ABD-HJLNP-UW-Z]{2}\\b"
     "|(?-i)\\b\\d{1,5} +(?:[NSEW]\\.? +)?[A-Z][a-z]+(?: +[A-Z][a-z]+){0,2} +(?:Street|St|"
     "Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Close|Crescent)\\b"},
    {"age",
     "(?i)\\b(?:9[1-9]|1[01]\\d|120)[ -]?(?:years?|yrs?|y\\.?o\\.?|y/o|ans|años|anos|साल|वर्ष)"
     "\\b(?!\\W{0,3}(?:ago|since|later))"
     "|(?i)\\b(?:aged?|turned|turning|miaka|idade|edad|âgée? de)\\W{1,2}(?:of )?(?:9[1-9]|1[01]\\d|"
     "120)\\b(?! ?(?:%|percent|mg|ml|bpm|days?|weeks?|months?|minutes?|hours?|siku|wiki))"},
    {"name", "(?-i)\\b(?:[Mm]y name is|[Ii] am called|[Mm]e llamo|[Mm]i nombre es|[Jj]e m'appelle"
             "|[Mm]eu nome é|[Jj]ina langu ni) +\\p{Lu}\\p{L}+"
             "|(?-i)\\b(?:Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Sr|Sra|Dra|Mme)\\b\\.? +\\p{Lu}\\p{Ll}+"},
    {"unique number",
     "(?i)\\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\\b|(?<![\\d.,+-])\\d{9,}"
     "(?![\\d.,])"},
};
enum { PATTERNS = sizeof patterns / sizeof patterns[0] };

typedef struct scan {
    data__inspection *in;
    const slm_case *c;
    pcre2_code *code[PATTERNS];
    pcre2_match_data *match;
    pcre2_match_context *limits;
    size_t found[PATTERNS], rows;
} scan;

/* Fields that the writers of the cases set, not the persons in them. */
static bool is_bookkeeping(const char *path)
{
    static const char *const names[] = {"prompt_id", "family",       "source",
                                        "licence",   "example_tags", "canary"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = strlen(names[i]);
        if (strncmp(path, names[i], len) == 0 &&
            (path[len] == '\0' || path[len] == '[' || path[len] == '.'))
            return true;
    }
    const char *last = strrchr(path, '.');
    if (last != NULL && (strcmp(last, ".id") == 0 || strcmp(last, ".follow_up") == 0)) return true;
    return strstr(path, ".tags[") != NULL || strstr(path, ".check.") != NULL;
}

/* The first two characters, then a star for each letter and digit. */
static void mask(const char *text, size_t len, slm_buffer *out)
{
    slm_buffer_truncate(out, 0);
    size_t shown = 0;
    for (size_t at = 0; at < len && out->len < 80;) {
        uint32_t point = 0;
        size_t step = slm_utf8_decode(text + at, len - at, &point);
        bool plain = slm_utf8_is_space(point) || slm_utf8_is_punctuation(point);
        if (shown++ < 2 || plain)
            slm_buffer_append(out, text + at, step);
        else
            slm_buffer_append_char(out, '*');
        at += step;
    }
}

static void scan_text(void *context, const char *path, const char *text, size_t len)
{
    scan *s = context;
    if (is_bookkeeping(path)) return;
    slm_buffer shown = {0};
    for (size_t p = 0; p < PATTERNS; p++) {
        for (size_t at = 0; at < len;) {
            int count = pcre2_match(s->code[p], (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK,
                                    s->match, s->limits);
            if (count < 0) {
                if (count != PCRE2_ERROR_NOMATCH)
                    data__find(s->in, "personal", "not scanned", true, s->c->file, s->c->line,
                               "%s: too long to be looked at for a %s", path, patterns[p].kind);
                break;
            }
            const size_t *ends = pcre2_get_ovector_pointer(s->match);
            mask(text + ends[0], ends[1] - ends[0], &shown);
            s->found[p]++;
            data__find(s->in, "personal", patterns[p].kind, true, s->c->file, s->c->line,
                       "%s: %s: \"%s\"", path, patterns[p].kind, slm_buffer_text(&shown));
            at = ends[1] > at ? ends[1] : at + 1;
        }
    }
    slm_buffer_free(&shown);
}

static slm_status compile(scan *s, slm_error *err)
{
    for (size_t p = 0; p < PATTERNS; p++) {
        int number = 0;
        size_t offset = 0;
        s->code[p] =
            pcre2_compile((PCRE2_SPTR)patterns[p].regex, PCRE2_ZERO_TERMINATED,
                          PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &number, &offset, NULL);
        if (s->code[p] == NULL) {
            PCRE2_UCHAR why[128] = {0};
            pcre2_get_error_message(number, why, sizeof why);
            return slm_error_set(err, SLM_ERR_UNSUPPORTED,
                                 "this PCRE2 does not take the pattern of %s at %zu: %s",
                                 patterns[p].kind, offset, (const char *)why);
        }
        pcre2_jit_compile(s->code[p], PCRE2_JIT_COMPLETE); /* without it only slower */
    }
    return SLM_OK;
}

slm_status data__check_personal(data__inspection *in, slm_error *err)
{
    scan s = {.in = in,
              .match = pcre2_match_data_create(8, NULL),
              .limits = pcre2_match_context_create(NULL)};
    slm_status status = SLM_OK;
    pcre2_jit_stack *stack = pcre2_jit_stack_create(32 << 10, 4 << 20, NULL);
    if (s.match == NULL || s.limits == NULL) slm_out_of_memory(sizeof s);
    pcre2_set_match_limit(s.limits, 1000000);
    if (stack != NULL) pcre2_jit_stack_assign(s.limits, NULL, stack);
    SLM_TRY_OUT(compile(&s, err));
    for (size_t i = 0; i < in->cases->count; i++) {
        json_t *row = NULL;
        s.c = &in->cases->items[i];
        SLM_TRY_OUT(slm_json_parse(s.c->json, strlen(s.c->json), s.c->file, s.c->line, &row, err));
        size_t before = in->out->finding_count;
        data__each_string(row, "", scan_text, &s);
        s.rows += in->out->finding_count > before;
        json_decref(row);
    }
    json_t *numbers = json_object();
    size_t total = 0;
    slm_buffer kinds = {0};
    for (size_t p = 0; p < PATTERNS; p++) {
        json_object_set_new(numbers, patterns[p].kind, json_integer((json_int_t)s.found[p]));
        total += s.found[p];
        if (s.found[p] > 0)
            slm_buffer_printf(&kinds, "%s%s %zu", kinds.len > 0 ? ", " : ": ", patterns[p].kind,
                              s.found[p]);
    }
    bool fails = data__failures(in, "personal") > 0; /* also where a text could not be scanned */
    data__result(in, "personal", fails ? SLM_DATA_FAIL : SLM_DATA_PASS, numbers, NULL,
                 "%zu in %zu cases%s", total, s.rows, slm_buffer_text(&kinds));
    slm_buffer_free(&kinds);
out:
    for (size_t p = 0; p < PATTERNS; p++)
        pcre2_code_free(s.code[p]);
    pcre2_match_data_free(s.match);
    pcre2_match_context_free(s.limits);
    pcre2_jit_stack_free(stack);
    return status;
}
