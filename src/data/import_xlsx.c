/* import_xlsx.c: questions from a workbook (ECMA-376, SpreadsheetML).
 *
 * A workbook is a zip archive of XML: xl/workbook.xml names the sheets, its relations tell their
 * files, xl/sharedStrings.xml holds the texts that cells refer to by number. Sheets are taken in the
 * workbook's order; the first whose header row has a question column is read, row by row, keeping
 * of a row only that column.
 *
 * Fences: a member is inflated to 256 MiB at most, shared strings take 64 MiB at most, whatever the
 * archive's directory claims; beyond that the file is refused (a zip bomb is told from a large
 * table by nothing else). Inflating goes on only as the parser takes it. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zip.h>
#include "data/import_internal.h"

enum {
    MEMBER_BYTES_MAX = 256 << 20,
    STRINGS_BYTES_MAX = 64 << 20,
    CELL_BYTES_MAX = 1 << 20,
    COLUMNS_MAX = 1024,
    SHEETS_MAX = 256,
};

/* ---- a member as a stream ------------------------------------------------------------------ */

typedef struct member {
    zip_file_t *file;
    size_t read;
    bool too_large;
} member;

static ptrdiff_t read_member(void *source, char *buffer, size_t cap)
{
    member *m = source;
    zip_int64_t got = zip_fread(m->file, buffer, cap);
    if (got < 0) return -1;
    m->read += (size_t)got;
    m->too_large = m->read > MEMBER_BYTES_MAX;
    return m->too_large ? -1 : (ptrdiff_t)got;
}

/* Parse a member of the archive. NOT_FOUND without a message of ours if there is none. */
static slm_status parse_member(zip_t *archive, const char *path, const char *name,
                               data__xml_handler *handler, slm_error *err)
{
    zip_int64_t index = zip_name_locate(archive, name, 0);
    if (index < 0)
        return slm_error_set(err, SLM_ERR_NOT_FOUND, "%s: a workbook without %s", path, name);
    member m = {.file = zip_fopen_index(archive, (zip_uint64_t)index, 0)};
    if (m.file == NULL)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: cannot unpack %s: %s", path, name,
                             zip_strerror(archive));
    slm_arena arena = {0};
    const char *place = slm_arena_printf(&arena, "%s, %s", path, name);
    slm_status status = data__xml_parse(read_member, &m, place, handler, err);
    slm_arena_free(&arena);
    if (m.too_large)
        status = slm_error_set(err, SLM_ERR_LIMIT,
                               "%s: %s unpacks to more than %d MiB; save the table as CSV", path,
                               name, MEMBER_BYTES_MAX >> 20);
    else if (status == SLM_ERR_IO)
        status = slm_error_set(err, SLM_ERR_FORMAT, "%s: %s is damaged: it cannot be unpacked",
                               path, name);
    zip_fclose(m.file);
    return status;
}

static const char *attribute(const char *const *attributes, const char *name)
{
    for (size_t i = 0; attributes[i] != NULL; i += 2)
        if (strcmp(attributes[i], name) == 0) return attributes[i + 1];
    return NULL;
}

/* ---- workbook and relations ---------------------------------------------------------------- */

typedef struct book {
    slm_arena *arena;
    const char *sheets[SHEETS_MAX]; /* relation ids, then members */
    size_t count;
    bool relations; /* the second reading */
} book;

static void book_start(void *context, const char *name, const char *const *attributes, size_t line)
{
    book *b = context;
    (void)line;
    if (!b->relations) {
        const char *id = attribute(attributes, "id"); /* r:id; sheetId has another name */
        if (strcmp(name, "sheet") == 0 && id != NULL && b->count < SHEETS_MAX)
            b->sheets[b->count++] = slm_arena_strdup(b->arena, id);
        return;
    }
    const char *id = attribute(attributes, "Id"), *target = attribute(attributes, "Target");
    if (strcmp(name, "Relationship") != 0 || id == NULL || target == NULL) return;
    for (size_t i = 0; i < b->count; i++)
        if (strcmp(b->sheets[i], id) == 0)
            b->sheets[i] = target[0] == '/' ? slm_arena_strdup(b->arena, target + 1)
                                            : slm_arena_printf(b->arena, "xl/%s", target);
}

static void ignore_end(void *context, const char *name)
{
    (void)context, (void)name;
}

static void ignore_text(void *context, const char *text, size_t len)
{
    (void)context, (void)text, (void)len;
}

static slm_status read_book(zip_t *archive, const char *path, book *b, slm_error *err)
{
    data__xml_handler handler = {
        .start = book_start, .end = ignore_end, .text = ignore_text, .context = b};
    SLM_TRY(parse_member(archive, path, "xl/workbook.xml", &handler, err));
    b->relations = true;
    SLM_TRY(parse_member(archive, path, "xl/_rels/workbook.xml.rels", &handler, err));
    if (b->count == 0)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: a workbook without sheets", path);
    return SLM_OK;
}

/* ---- shared strings ------------------------------------------------------------------------ */

typedef struct strings {
    slm_buffer bytes; /* NUL behind each */
    size_t *offsets;
    size_t count, cap;
    bool in_item, in_text, in_phonetic, too_large;
    data__xml_handler *handler;
} strings;

static void strings_start(void *context, const char *name, const char *const *attributes,
                          size_t line)
{
    strings *s = context;
    (void)attributes, (void)line;
    if (strcmp(name, "si") == 0) {
        if (s->count == s->cap) {
            s->cap = s->cap == 0 ? 1024 : s->cap * 2;
            size_t *offsets = realloc(s->offsets, s->cap * sizeof *offsets);
            if (offsets == NULL) slm_out_of_memory(s->cap * sizeof *offsets);
            s->offsets = offsets;
        }
        s->offsets[s->count++] = s->bytes.len;
        s->in_item = true;
    } else if (strcmp(name, "rPh") == 0) {
        s->in_phonetic = true;
    } else if (strcmp(name, "t") == 0) {
        s->in_text = s->in_item && !s->in_phonetic;
    }
}

static void strings_end(void *context, const char *name)
{
    strings *s = context;
    if (strcmp(name, "si") == 0) {
        slm_buffer_append_char(&s->bytes, '\0');
        s->in_item = s->in_text = false;
    } else if (strcmp(name, "rPh") == 0) {
        s->in_phonetic = false;
    } else if (strcmp(name, "t") == 0) {
        s->in_text = false;
    }
}

static void strings_text(void *context, const char *text, size_t len)
{
    strings *s = context;
    if (!s->in_text) return;
    if (s->bytes.len + len + s->count * sizeof *s->offsets > STRINGS_BYTES_MAX) {
        s->too_large = s->handler->stop = true;
        return;
    }
    slm_buffer_append(&s->bytes, text, len);
}

static slm_status read_strings(zip_t *archive, const char *path, strings *s, slm_error *err)
{
    data__xml_handler handler = {
        .start = strings_start, .end = strings_end, .text = strings_text, .context = s};
    s->handler = &handler;
    if (zip_name_locate(archive, "xl/sharedStrings.xml", 0) < 0) return SLM_OK; /* all inline */
    SLM_TRY(parse_member(archive, path, "xl/sharedStrings.xml", &handler, err));
    if (s->too_large)
        return slm_error_set(err, SLM_ERR_LIMIT,
                             "%s: more than %d MiB of text in its cells; save the table as CSV",
                             path, STRINGS_BYTES_MAX >> 20);
    return SLM_OK;
}

/* ---- a sheet ------------------------------------------------------------------------------- */

typedef struct sheet {
    data__importer *importer;
    const strings *strings;
    data__xml_handler *handler;
    slm_arena arena; /* the header's names */
    const char *names[COLUMNS_MAX];
    size_t name_count;
    data__columns columns;
    bool has_header, no_question;
    size_t row, column; /* counted from 1, from 0 */
    bool in_row, in_value, any;
    char type; /* 's' shared, 'i' inline or plain text, 'n' other */
    slm_buffer cell, title, body;
} sheet;

/* "AB12": 27. SIZE_MAX if it is none. */
static size_t column_of(const char *reference)
{
    size_t column = 0, letters = 0;
    for (; reference[letters] >= 'A' && reference[letters] <= 'Z'; letters++) {
        if (letters == 3) return SIZE_MAX;
        column = column * 26 + (size_t)(reference[letters] - 'A' + 1);
    }
    return letters == 0 ? SIZE_MAX : column - 1;
}

static void sheet_start(void *context, const char *name, const char *const *attributes, size_t line)
{
    sheet *s = context;
    (void)line;
    if (strcmp(name, "row") == 0) {
        const char *number = attribute(attributes, "r");
        unsigned long told = number != NULL ? strtoul(number, NULL, 10) : 0;
        s->row = told > 0 && told <= 1048576 ? told : s->row + 1;
        s->column = SIZE_MAX; /* so that the first cell without a reference is 0 */
        s->in_row = true;
        s->any = false;
        slm_buffer_truncate(&s->title, 0);
        slm_buffer_truncate(&s->body, 0);
    } else if (strcmp(name, "c") == 0) {
        const char *reference = attribute(attributes, "r"), *type = attribute(attributes, "t");
        size_t told = reference != NULL ? column_of(reference) : SIZE_MAX;
        s->column = told != SIZE_MAX ? told : s->column + 1;
        s->type = type == NULL ? 'n' : strcmp(type, "s") == 0 ? 's' : 'i';
        slm_buffer_truncate(&s->cell, 0);
    } else if (strcmp(name, "v") == 0 || strcmp(name, "t") == 0) {
        s->in_value = s->in_row;
    }
}

static const char *cell_text(const sheet *s)
{
    const char *text = slm_buffer_text(&s->cell);
    if (s->type != 's') return text;
    char *end = NULL;
    unsigned long index = strtoul(text, &end, 10);
    if (end == text || index >= s->strings->count) return "";
    return s->strings->bytes.data + s->strings->offsets[index];
}

static void end_cell(sheet *s)
{
    const char *text = cell_text(s);
    if (text[0] == '\0') return;
    s->any = true;
    if (!s->has_header) {
        if (s->column >= COLUMNS_MAX) return;
        s->names[s->column] = slm_arena_strdup(&s->arena, text);
        if (s->column + 1 > s->name_count) s->name_count = s->column + 1;
    } else if (s->column == s->columns.title) {
        slm_buffer_append_text(&s->title, text);
    } else if (s->column == s->columns.body) {
        slm_buffer_append_text(&s->body, text);
    }
}

static void end_row(sheet *s)
{
    s->in_row = false;
    if (!s->any) return;
    if (s->has_header) {
        data__import_question(s->importer, s->columns.source, s->row, slm_buffer_text(&s->title),
                              s->title.len, slm_buffer_text(&s->body), s->body.len);
        return;
    }
    for (size_t i = 0; i < s->name_count; i++)
        if (s->names[i] == NULL) s->names[i] = "";
    s->has_header = true;
    if (!data__columns_find(s->importer, s->names, s->name_count, s->row, true, &s->columns))
        s->no_question = s->handler->stop = true;
}

static void sheet_end(void *context, const char *name)
{
    sheet *s = context;
    if (strcmp(name, "v") == 0 || strcmp(name, "t") == 0)
        s->in_value = false;
    else if (strcmp(name, "c") == 0 && s->in_row)
        end_cell(s);
    else if (strcmp(name, "row") == 0 && s->in_row)
        end_row(s);
}

static void sheet_text(void *context, const char *text, size_t len)
{
    sheet *s = context;
    if (s->in_value && s->cell.len + len <= CELL_BYTES_MAX) slm_buffer_append(&s->cell, text, len);
}

/* *found: the sheet had a question column and was read. */
static slm_status read_sheet(data__importer *importer, zip_t *archive, const strings *texts,
                             const char *name, bool *found, slm_error *err)
{
    sheet s = {.importer = importer, .strings = texts};
    data__xml_handler handler = {
        .start = sheet_start, .end = sheet_end, .text = sheet_text, .context = &s};
    s.handler = &handler;
    slm_status status = parse_member(archive, importer->file, name, &handler, err);
    *found = s.has_header && !s.no_question;
    slm_arena_free(&s.arena);
    slm_buffer_free(&s.cell);
    slm_buffer_free(&s.title);
    slm_buffer_free(&s.body);
    return status;
}

void data__import_xlsx(data__importer *importer)
{
    slm_arena arena = {0};
    book b = {.arena = &arena};
    strings texts = {0};
    slm_error problem = {0};
    slm_status status = SLM_OK;
    int code = 0;
    bool found = false;
    zip_t *archive = zip_open(importer->file, ZIP_RDONLY, &code);
    if (archive == NULL) {
        data__import_problem(importer, NULL, 0, "a damaged zip archive: no workbook to read");
        return;
    }
    SLM_TRY_OUT(read_book(archive, importer->file, &b, &problem));
    SLM_TRY_OUT(read_strings(archive, importer->file, &texts, &problem));
    for (size_t i = 0; i < b.count && !found; i++)
        SLM_TRY_OUT(read_sheet(importer, archive, &texts, b.sheets[i], &found, &problem));
    if (!found)
        data__import_problem(importer, NULL, 0,
                             "no sheet has a column of questions; name it with --column");
out:
    if (status != SLM_OK) importer->on_problem(importer->context, NULL, &problem);
    zip_discard(archive);
    free(texts.offsets);
    slm_buffer_free(&texts.bytes);
    slm_arena_free(&arena);
}
