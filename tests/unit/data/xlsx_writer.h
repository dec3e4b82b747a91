/* xlsx_writer.h: workbooks to test with, as zip archives of the XML that is given. */
#ifndef SLM_TESTS_DATA_XLSX_WRITER_H
#define SLM_TESTS_DATA_XLSX_WRITER_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

static const char xlsx_book[] =
    "<workbook xmlns:r=\"http://r\"><sheets><sheet name=\"Notes\" sheetId=\"1\" r:id=\"rId3\"/>"
    "<sheet name=\"Data\" sheetId=\"2\" r:id=\"rId1\"/></sheets></workbook>";
static const char xlsx_relations[] =
    "<Relationships><Relationship Id=\"rId1\" Target=\"worksheets/sheet1.xml\"/>"
    "<Relationship Id=\"rId3\" Target=\"/xl/worksheets/notes.xml\"/></Relationships>";
static const char xlsx_notes[] =
    "<worksheet><sheetData><row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is>"
    "<t>see the other sheet</t></is></c></row></sheetData></worksheet>";

typedef struct xlsx_member {
    const char *name, *text;
    size_t len; /* 0: strlen(text) */
} xlsx_member;

/* A zip archive at `path`, which is made anew. */
static inline bool write_zip(const char *path, const xlsx_member *members, size_t count)
{
    int code = 0;
    unlink(path);
    zip_t *archive = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (archive == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        size_t len = members[i].len > 0 ? members[i].len : strlen(members[i].text);
        zip_source_t *source = zip_source_buffer(archive, members[i].text, len, 0);
        if (source == NULL || zip_file_add(archive, members[i].name, source, ZIP_FL_OVERWRITE) < 0)
            return false;
    }
    return zip_close(archive) == 0;
}

/* A workbook of two sheets; strings may be NULL. */
static inline bool write_xlsx(const char *path, const char *strings, const char *sheet)
{
    const xlsx_member members[] = {{"xl/workbook.xml", xlsx_book, 0},
                                   {"xl/_rels/workbook.xml.rels", xlsx_relations, 0},
                                   {"xl/worksheets/notes.xml", xlsx_notes, 0},
                                   {"xl/worksheets/sheet1.xml", sheet, 0},
                                   {"xl/sharedStrings.xml", strings, 0}};
    return write_zip(path, members, strings != NULL ? 5 : 4);
}

#endif
