/* xml.c: libxml2's SAX2 parser with everything off that a data file has no business with.
 *
 * No document is built: elements are told as they come, so memory does not grow with the file.
 * A document type declaration ends the reading at once: without it there are no entities to expand
 * (billion laughs) or to fetch (external entities), and no file of questions needs one. Depth is
 * bounded here, names and attributes by the parser's own limits, which stay on; no network, no file is
 * opened by it: it gets the bytes in pieces. */
#include <libxml/parser.h>
#include <libxml/SAX2.h>
#include <string.h>
#include "data/import_internal.h"

typedef struct parse {
    data__xml_handler *handler;
    xmlParserCtxtPtr parser;
    bool has_doctype, failed;
    int depth, line;
    char why[256];
} parse;

enum { ATTRIBUTES_MAX = 32, DEPTH_MAX = 256 };

static void fail(parse *p, int line, const char *why)
{
    p->failed = true;
    p->line = line;
    snprintf(p->why, sizeof p->why, "%s", why);
    for (size_t len = strlen(p->why); len > 0 && (unsigned char)p->why[len - 1] <= ' '; len--)
        p->why[len - 1] = '\0';
}

static void on_start(void *context, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
                     int namespace_count, const xmlChar **namespaces, int count, int defaulted,
                     const xmlChar **attributes)
{
    parse *p = context;
    (void)prefix, (void)uri, (void)namespace_count, (void)namespaces, (void)defaulted;
    if (p->handler->stop || p->failed) return;
    if (++p->depth > DEPTH_MAX) {
        fail(p, xmlSAX2GetLineNumber(p->parser), "elements within elements beyond a depth of 256");
        xmlStopParser(p->parser);
        return;
    }
    const char *list[2 * ATTRIBUTES_MAX + 1];
    slm_arena arena = {.block_bytes = 1024};
    size_t n = 0;
    for (int i = 0; i < count && i < ATTRIBUTES_MAX; i++) {
        const xmlChar **a = attributes + 5 * (ptrdiff_t)i; /* name, prefix, URI, value, its end */
        list[n++] = (const char *)a[0];
        list[n++] = slm_arena_strndup(&arena, (const char *)a[3], (size_t)(a[4] - a[3]));
    }
    list[n] = NULL;
    int line = xmlSAX2GetLineNumber(p->parser);
    p->handler->start(p->handler->context, (const char *)name, list, line > 0 ? (size_t)line : 0);
    slm_arena_free(&arena);
}

static void on_end(void *context, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
    parse *p = context;
    (void)prefix, (void)uri;
    p->depth--;
    if (!p->handler->stop && !p->failed) p->handler->end(p->handler->context, (const char *)name);
}

static void on_text(void *context, const xmlChar *text, int len)
{
    parse *p = context;
    if (!p->handler->stop && !p->failed)
        p->handler->text(p->handler->context, (const char *)text, (size_t)len);
}

static void on_doctype(void *context, const xmlChar *name, const xmlChar *external,
                       const xmlChar *system)
{
    parse *p = context;
    (void)name, (void)external, (void)system;
    p->has_doctype = true;
    p->line = xmlSAX2GetLineNumber(p->parser);
    xmlStopParser(p->parser);
}

#if LIBXML_VERSION >= 21200
static void on_error(void *context, const xmlError *error)
#else
static void on_error(void *context, xmlErrorPtr error)
#endif
{
    parse *p = context;
    if (error == NULL || error->level < XML_ERR_ERROR || p->failed) return;
    /* What libxml2 says of a file that is cut off sounds like the opposite. */
    bool cut = error->code == XML_ERR_DOCUMENT_END && p->depth > 0;
    fail(p, error->line,
         cut                      ? "it ends too early"
         : error->message != NULL ? error->message
                                  : "no XML");
}

slm_status data__xml_parse(data__read_fn *read, void *source, const char *name,
                           data__xml_handler *handler, slm_error *err)
{
    xmlSAXHandler sax = {.initialized = XML_SAX2_MAGIC,
                         .startElementNs = on_start,
                         .endElementNs = on_end,
                         .characters = on_text,
                         .cdataBlock = on_text,
                         .ignorableWhitespace = on_text,
                         .internalSubset = on_doctype,
                         .serror = on_error};
    parse p = {.handler = handler};
    char buffer[32 << 10];
    bool read_failed = false;
    xmlParserCtxtPtr parser = xmlCreatePushParserCtxt(&sax, &p, NULL, 0, NULL);
    if (parser == NULL) slm_out_of_memory(sizeof *parser);
    p.parser = parser;
    xmlCtxtUseOptions(parser, XML_PARSE_NONET);
    for (;;) {
        ptrdiff_t got = read(source, buffer, sizeof buffer);
        read_failed = got < 0;
        if (got <= 0) break;
        xmlParseChunk(parser, buffer, (int)got, 0);
        if (p.failed || p.has_doctype || handler->stop) break;
    }
    if (!read_failed && !p.failed && !p.has_doctype && !handler->stop) {
        xmlParseChunk(parser, NULL, 0, 1);
        if (!p.failed && !p.has_doctype && !parser->wellFormed)
            fail(&p, xmlSAX2GetLineNumber(parser), "it ends too early");
    }
    if (parser->myDoc != NULL) xmlFreeDoc(parser->myDoc);
    parser->myDoc = NULL;
    xmlFreeParserCtxt(parser);
    int line = p.line > 0 ? p.line : 1;
    if (p.has_doctype)
        return slm_error_set(
            err, SLM_ERR_FORMAT,
            "%s:%d: a document type declaration; files of questions need none, and "
            "its entities are not read. Remove it",
            name, line);
    if (p.failed)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s:%d: not well-formed XML: %s", name, line,
                             p.why);
    if (read_failed) return slm_error_set(err, SLM_ERR_IO, "cannot read %s", name);
    return SLM_OK;
}
