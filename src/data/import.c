/* import.c: from any file of questions to questions, whatever set it is of.
 *
 * What a file holds is told from its first bytes: a zip archive is a workbook, '<' is XML, '{' and
 * '[' are JSON, and anything else that is text is CSV. --format forces one of the known sets and
 * then anything else is a problem of that file.
 *
 * A question is normalised before it gets its id: invalid bytes become U+FFFD, the text is composed
 * (NFC), control characters and runs of white space become one space, the ends are cut. Case,
 * punctuation and spelling stay: they are the person's own. A set with title and body gives both,
 * the title closed by a full stop if nothing closes it; a title that the body repeats is left out. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base/file.h"
#include "base/utf8.h"
#include "data/import_internal.h"

static const char *const names[] = {
    "",        "medquad",  "liveqa",         "mediqa",  "medicationqa",
    "mash-qa", "medredqa", "healthsearchqa", "askdocs", "k-qa",
    "csv",     "xlsx",     "jsonl"};
const char slm_import_formats[] = "medquad|liveqa|mediqa|medicationqa|mash-qa|medredqa|"
                                  "healthsearchqa|askdocs|k-qa|csv|xlsx|jsonl";

data__format data__format_named(const char *name)
{
    for (size_t i = 1; name != NULL && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0) return (data__format)i;
    return DATA__FORMAT_ANY;
}

const char *data__format_name(data__format format)
{
    return names[format];
}

void data__importer_free(data__importer *importer)
{
    slm_buffer_free(&importer->joined);
    slm_buffer_free(&importer->clean);
}

bool data__import_problem(data__importer *importer, const char *source, size_t line,
                          const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    slm_error problem = {0};
    if (line > 0)
        slm_error_set(&problem, SLM_ERR_FORMAT, "%s:%zu: %s", importer->file, line, text);
    else
        slm_error_set(&problem, SLM_ERR_FORMAT, "%s: %s", importer->file, text);
    importer->file_problems++;
    importer->on_problem(importer->context, source, &problem);
    return importer->file_problems < DATA__PROBLEMS_MAX;
}

void data__import_nothing(data__importer *importer, const char *what)
{
    if (!importer->in_folder || importer->format != DATA__FORMAT_ANY) {
        data__import_problem(importer, NULL, 0, "%s", what);
        return;
    }
    slm_error problem = {0};
    slm_error_set(&problem, SLM_ERR_UNSUPPORTED, "%s: passed over: %s", importer->file, what);
    importer->on_problem(importer->context, NULL, &problem);
}

/* ---- a question ---------------------------------------------------------------------------- */

void data__normalise_question(const char *text, size_t len, slm_buffer *out)
{
    slm_buffer composed = {0};
    bool ascii = true, gap = false;
    for (size_t i = 0; i < len && ascii; i++)
        ascii = (unsigned char)text[i] < 0x80;
    if (!ascii) {
        slm_utf8_append_nfc(&composed, text, len);
        text = slm_buffer_text(&composed);
        len = composed.len;
    }
    slm_buffer_truncate(out, 0);
    for (size_t at = 0; at < len;) {
        uint32_t point = 0;
        size_t step = slm_utf8_decode(text + at, len - at, &point);
        if (point < ' ' || (point >= 0x7F && point < 0xA0) || point == 0xFEFF ||
            slm_utf8_is_space(point)) {
            gap = out->len > 0;
        } else {
            if (gap) slm_buffer_append_char(out, ' ');
            slm_buffer_append(out, text + at, step);
            gap = false;
        }
        at += step;
    }
    slm_buffer_free(&composed);
}

static bool has_word(const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        uint32_t point = 0;
        at += slm_utf8_decode(text + at, len - at, &point);
        if (slm_utf8_is_letter(point) || slm_utf8_is_digit(point)) return true;
    }
    return false;
}

/* Is the title the beginning of the body? Both normalised. */
static bool repeats(const slm_buffer *title, const slm_buffer *body)
{
    return title->len <= body->len &&
           strncasecmp(slm_buffer_text(title), slm_buffer_text(body), title->len) == 0;
}

void data__import_question(data__importer *importer, const char *source, size_t line,
                           const char *title, size_t title_len, const char *body, size_t body_len)
{
    slm_buffer *question = &importer->clean, *head = &importer->joined;
    data__normalise_question(body != NULL ? body : "", body_len, question);
    data__normalise_question(title != NULL ? title : "", title_len, head);
    if (head->len > 0 && has_word(head->data, head->len) && !repeats(head, question)) {
        if (question->len > 0) {
            char last = head->data[head->len - 1];
            slm_buffer_append_text(head, strchr(".?!:;,", last) != NULL ? " " : ". ");
            slm_buffer_append(head, question->data, question->len);
        }
        question = head;
    }
    if (!has_word(slm_buffer_text(question), question->len)) slm_buffer_truncate(question, 0);
    importer->on_question(importer->context,
                          importer->options->source != NULL ? importer->options->source : source,
                          importer->file, line, slm_buffer_text(question), question->len);
}

/* ---- a file -------------------------------------------------------------------------------- */

typedef enum container { ZIP, XML, JSON, TEXT, PACKED, BINARY, EMPTY, UNREADABLE } container;

static container container_of(const char *path)
{
    unsigned char head[4096];
    FILE *stream = fopen(path, "re");
    if (stream == NULL) return UNREADABLE;
    size_t len = fread(head, 1, sizeof head, stream), at = 0;
    bool failed = ferror(stream) != 0;
    fclose(stream);
    if (failed) return UNREADABLE;
    if (len >= 4 && memcmp(head, "PK\x03\x04", 4) == 0) return ZIP;
    if ((len >= 2 && memcmp(head, "\x1F\x8B", 2) == 0) ||
        (len >= 6 && memcmp(head,
                            "\xFD"
                            "7zXZ\0",
                            6) == 0) ||
        (len >= 3 && memcmp(head, "BZh", 3) == 0) ||
        (len >= 4 && memcmp(head, "\x28\xB5\x2F\xFD", 4) == 0) ||
        (len >= 262 && memcmp(head + 257, "ustar", 5) == 0))
        return PACKED;
    if (len >= 2 && (memcmp(head, "\xFF\xFE", 2) == 0 || memcmp(head, "\xFE\xFF", 2) == 0))
        return XML; /* UTF-16: the parser knows it; no other reader here does */
    if (len >= 3 && memcmp(head, "\xEF\xBB\xBF", 3) == 0) at = 3;
    while (at < len && memchr(" \t\r\n", head[at], 4) != NULL)
        at++;
    if (at == len) return EMPTY;
    if (head[at] == '<') return XML;
    if (head[at] == '{' || head[at] == '[') return JSON;
    return memchr(head, '\0', len) == NULL ? TEXT : BINARY;
}

/* What a forced format may come in. */
static bool fits(data__format format, container c)
{
    switch (format) {
    case DATA__FORMAT_ANY:
        return true;
    case DATA__FORMAT_MEDQUAD:
    case DATA__FORMAT_LIVEQA:
    case DATA__FORMAT_MEDIQA:
        return c == XML;
    case DATA__FORMAT_MASH_QA:
    case DATA__FORMAT_JSONL:
        return c == JSON;
    case DATA__FORMAT_CSV:
        return c == TEXT;
    case DATA__FORMAT_XLSX:
        return c == ZIP;
    case DATA__FORMAT_MEDICATIONQA:
    case DATA__FORMAT_MEDREDQA:
    case DATA__FORMAT_HEALTHSEARCHQA:
    case DATA__FORMAT_ASKDOCS:
    case DATA__FORMAT_K_QA:
        break;
    }
    return c == ZIP || c == TEXT || c == JSON;
}

void data__import_file(data__importer *importer, const char *path)
{
    importer->file = path;
    importer->file_problems = 0;
    container c = container_of(path);
    if (c == UNREADABLE)
        data__import_problem(importer, NULL, 0, "cannot open it: %s", strerror(errno));
    else if (c == PACKED)
        data__import_nothing(importer, "a packed file; unpack it and name the folder");
    else if (c == BINARY)
        data__import_nothing(importer, "not a format that slm knows: no text, no workbook");
    else if (c == EMPTY)
        data__import_nothing(importer, "an empty file");
    else if (!fits(importer->format, c))
        data__import_problem(importer, NULL, 0, "not what --format %s is kept in",
                             data__format_name(importer->format));
    else if (c == ZIP)
        data__import_xlsx(importer);
    else if (c == XML)
        data__import_xml(importer);
    else if (c == JSON)
        data__import_json(importer);
    else
        data__import_csv(importer);
}
