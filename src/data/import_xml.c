/* import_xml.c: three public sets that come as XML.
 *
 * MedQuAD (Ben Abacha and Demner-Fushman, BMC Bioinformatics 2019): a Document a file, in it
 * QAPairs/QAPair/Question. Many answers were removed for copyright; the questions are all there.
 *
 * LiveQA-Medical (Ben Abacha et al., TREC 2017): NLM-QUESTION with SUBJECT and MESSAGE, in the test
 * set below Original-Question. The question is what the person wrote: subject and message; the
 * paraphrase and the summary beside it are others' words.
 *
 * MEDIQA 2019, task 3 (Ben Abacha, Shivade and Demner-Fushman, BioNLP 2019): Question with a
 * QuestionText. The words around an element tell which set a file is of, whatever its root is
 * called. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "data/import_internal.h"

enum { TEXT_BYTES_MAX = 1 << 20 };

typedef struct xml_reader {
    data__importer *importer;
    slm_buffer title, body;
    slm_buffer *open; /* where text goes; NULL: nowhere */
    size_t depth;     /* of the elements within the one that is open */
    size_t line;      /* of the row */
    bool in_pair, in_original, in_question;
    bool has_pairs; /* a QAPairs, be it empty */
    size_t rows;
} xml_reader;

static bool may_be(const xml_reader *r, data__format format)
{
    return r->importer->format == DATA__FORMAT_ANY || r->importer->format == format;
}

static void begin(xml_reader *r, slm_buffer *buffer)
{
    r->open = buffer;
    r->depth = 0;
}

static void on_start(void *context, const char *name, const char *const *attributes, size_t line)
{
    xml_reader *r = context;
    (void)attributes;
    if (r->open != NULL) {
        r->depth++;
        return;
    }
    if (strcmp(name, "QAPairs") == 0) r->has_pairs = true;
    if (strcmp(name, "QAPair") == 0 && may_be(r, DATA__FORMAT_MEDQUAD)) {
        r->in_pair = true;
        r->line = line;
    } else if (strcmp(name, "NLM-QUESTION") == 0 && may_be(r, DATA__FORMAT_LIVEQA)) {
        r->in_original = true;
        r->line = line;
        slm_buffer_truncate(&r->title, 0);
        slm_buffer_truncate(&r->body, 0);
    } else if (r->in_pair && strcmp(name, "Question") == 0) {
        slm_buffer_truncate(&r->body, 0);
        r->in_question = true;
        r->line = line;
        begin(r, &r->body);
    } else if (r->in_original && strcmp(name, "SUBJECT") == 0 && r->title.len == 0) {
        begin(r, &r->title);
    } else if (r->in_original && strcmp(name, "MESSAGE") == 0 && r->body.len == 0) {
        begin(r, &r->body);
    } else if (strcmp(name, "QuestionText") == 0 && may_be(r, DATA__FORMAT_MEDIQA)) {
        slm_buffer_truncate(&r->body, 0);
        r->line = line;
        begin(r, &r->body);
    }
}

static void emit(xml_reader *r, data__format format, const slm_buffer *title)
{
    r->rows++;
    data__import_question(r->importer, data__format_name(format), r->line,
                          title != NULL ? slm_buffer_text(title) : NULL,
                          title != NULL ? title->len : 0, slm_buffer_text(&r->body), r->body.len);
}

static void on_end(void *context, const char *name)
{
    xml_reader *r = context;
    if (r->open != NULL && r->depth > 0) {
        r->depth--;
        return;
    }
    r->open = NULL;
    if (strcmp(name, "QAPair") == 0) {
        /* A pair without a question is a row too. */
        if (r->in_pair && !r->in_question) {
            r->rows++;
            data__import_problem(r->importer, data__format_name(DATA__FORMAT_MEDQUAD), r->line,
                                 "a QAPair without a Question");
        }
        r->in_pair = r->in_question = false;
    } else if (strcmp(name, "Question") == 0 && r->in_question) {
        emit(r, DATA__FORMAT_MEDQUAD, NULL);
    } else if (strcmp(name, "NLM-QUESTION") == 0 && r->in_original) {
        emit(r, DATA__FORMAT_LIVEQA, &r->title);
        r->in_original = false;
    } else if (strcmp(name, "QuestionText") == 0 && may_be(r, DATA__FORMAT_MEDIQA) && !r->in_pair &&
               !r->in_original) {
        emit(r, DATA__FORMAT_MEDIQA, NULL);
    }
}

static void on_text(void *context, const char *text, size_t len)
{
    xml_reader *r = context;
    if (r->open != NULL && r->open->len + len <= TEXT_BYTES_MAX)
        slm_buffer_append(r->open, text, len);
}

static ptrdiff_t read_stream(void *source, char *buffer, size_t cap)
{
    FILE *stream = source;
    size_t got = fread(buffer, 1, cap, stream);
    return got == 0 && ferror(stream) ? -1 : (ptrdiff_t)got;
}

void data__import_xml(data__importer *importer)
{
    xml_reader r = {.importer = importer};
    data__xml_handler handler = {.start = on_start, .end = on_end, .text = on_text, .context = &r};
    slm_error problem = {0};
    FILE *stream = fopen(importer->file, "re");
    if (stream == NULL) {
        data__import_problem(importer, NULL, 0, "cannot open it: %s", strerror(errno));
        return;
    }
    slm_status status = data__xml_parse(read_stream, stream, importer->file, &handler, &problem);
    fclose(stream);
    if (status != SLM_OK)
        importer->on_problem(importer->context, NULL, &problem);
    else if (r.rows == 0)
        data__import_nothing(
            importer, r.has_pairs
                          ? "a MedQuAD document without questions"
                          : "XML, but no questions as MedQuAD, LiveQA-Medical or MEDIQA have them");
    slm_buffer_free(&r.title);
    slm_buffer_free(&r.body);
}
