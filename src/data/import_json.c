/* import_json.c: questions from JSON Lines, from a list of objects, and from SQuAD-like JSON.
 *
 * MASH-QA (Zhu et al., Findings of EMNLP 2020) has SQuAD's shape: data[] of documents, paragraphs[]
 * of each, qas[] of each with a question. Everything else is rows: an object on each line, or in one
 * list, whose members are the columns of a table (import_table.c), K-QA and AskDocs threads among
 * them. Each row finds its columns for itself, so that files may be mixed.
 *
 * A row of JSON Lines that cannot be read is told, and reading goes on with the next line. */
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "data/import_internal.h"

enum { ROW_BYTES_MAX = 64 << 20, MEMBERS_MAX = 256 };

static void take_object(data__importer *importer, const json_t *row, size_t line)
{
    const char *names[MEMBERS_MAX], *key;
    const json_t *values[MEMBERS_MAX];
    size_t count = 0;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)row, key, value)
    {
        if (count == MEMBERS_MAX) break;
        names[count] = key;
        values[count++] = value;
    }
    data__columns columns;
    if (!data__columns_find(importer, names, count, line, false, &columns)) return;
    const json_t *body = values[columns.body];
    const json_t *title = columns.title != SIZE_MAX ? values[columns.title] : NULL;
    if ((!json_is_string(body) && !json_is_null(body)) ||
        (title != NULL && !json_is_string(title) && !json_is_null(title))) {
        data__import_problem(importer, columns.source, line, "%s: expected a string",
                             names[json_is_string(body) ? columns.title : columns.body]);
        return;
    }
    data__import_question(importer, columns.source, line, json_string_value(title),
                          json_string_length(title), json_string_value(body),
                          json_string_length(body));
}

/* ---- one value ----------------------------------------------------------------------------- */

static void take_squad(data__importer *importer, const json_t *data)
{
    const char *source = data__format_name(DATA__FORMAT_MASH_QA);
    size_t rows = 0;
    for (size_t d = 0; d < json_array_size(data); d++) {
        const json_t *paragraphs = json_object_get(json_array_get(data, d), "paragraphs");
        for (size_t p = 0; p < json_array_size(paragraphs); p++) {
            const json_t *qas = json_object_get(json_array_get(paragraphs, p), "qas");
            for (size_t q = 0; q < json_array_size(qas); q++) {
                const json_t *question = json_object_get(json_array_get(qas, q), "question");
                rows++;
                if (json_is_string(question))
                    data__import_question(importer, source, 0, NULL, 0, json_string_value(question),
                                          json_string_length(question));
                else if (!data__import_problem(importer, source, 0,
                                               "data[%zu].paragraphs[%zu].qas[%zu]: expected a "
                                               "question",
                                               d, p, q))
                    return;
            }
        }
    }
    if (rows == 0)
        data__import_problem(importer, source, 0, "SQuAD-like JSON without a question in it");
}

static void take_value(data__importer *importer, const json_t *root)
{
    const json_t *data = json_object_get(root, "data");
    bool may_be_squad =
        importer->format == DATA__FORMAT_ANY || importer->format == DATA__FORMAT_MASH_QA;
    if (json_is_array(data) && may_be_squad) {
        take_squad(importer, data);
        return;
    }
    const json_t *rows = json_is_array(root) ? root : data;
    if (!json_is_array(rows) || importer->format == DATA__FORMAT_MASH_QA) {
        data__import_problem(importer, NULL, 0,
                             "JSON, but neither a list of rows nor SQuAD-like (data[], "
                             "paragraphs[], qas[])");
        return;
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (json_is_object(row))
            take_object(importer, row, i + 1);
        else
            data__import_problem(importer, NULL, i + 1, "expected an object");
        if (importer->file_problems >= DATA__PROBLEMS_MAX) return;
    }
}

/* ---- lines --------------------------------------------------------------------------------- */

/* The line at *at without its end; moves *at behind it. */
static const char *next_line(const slm_file_map *map, size_t *at, size_t *len)
{
    const char *text = (const char *)map->data + *at;
    const char *end = memchr(text, '\n', map->size - *at);
    *len = end != NULL ? (size_t)(end - text) : map->size - *at;
    *at += *len + (end != NULL);
    while (*len > 0 && memchr(" \t\r", text[*len - 1], 3) != NULL)
        (*len)--;
    return text;
}

static void take_lines(data__importer *importer, const slm_file_map *map, size_t at)
{
    for (size_t line = 1; at < map->size; line++) {
        size_t len;
        const char *text = next_line(map, &at, &len);
        slm_error problem = {0};
        json_t *row = NULL;
        if (len == 0) continue;
        if (len > ROW_BYTES_MAX) {
            data__import_problem(importer, NULL, line, "a line of more than %d MiB",
                                 ROW_BYTES_MAX >> 20);
        } else if (slm_json_parse(text, len, importer->file, line, &row, &problem) != SLM_OK) {
            importer->file_problems++;
            importer->on_problem(importer->context, NULL, &problem);
        } else if (!json_is_object(row)) {
            data__import_problem(importer, NULL, line, "expected an object");
        } else {
            take_object(importer, row, line);
        }
        json_decref(row);
        if (importer->file_problems >= DATA__PROBLEMS_MAX) {
            data__import_problem(importer, NULL, line, "too many bad rows; the rest is left");
            return;
        }
    }
}

/* Lines, unless the value goes on over the end of the first line, or is SQuAD-like or a list. */
static bool is_lines(const slm_file_map *map, size_t at, json_t **whole)
{
    size_t len;
    *whole = NULL;
    if (map->data[at] == '[') return false;
    const char *text = next_line(map, &at, &len);
    json_t *first = NULL;
    if (len > ROW_BYTES_MAX || slm_json_parse(text, len, "", 1, &first, NULL) != SLM_OK) {
        /* A broken first row of many, or the begin of a value that goes on over many lines. */
        if (len > 0 && text[len - 1] == '}') return true;
        while (at < map->size && memchr(" \t\r\n", map->data[at], 4) != NULL)
            at++;
        return at < map->size && map->data[at] == '{';
    }
    if (json_is_array(json_object_get(first, "data"))) {
        *whole = first;
        return false;
    }
    json_decref(first);
    return true;
}

void data__import_json(data__importer *importer)
{
    slm_file_map map;
    slm_error problem = {0};
    if (slm_file_map_open(importer->file, &map, &problem) != SLM_OK) {
        importer->on_problem(importer->context, NULL, &problem);
        return;
    }
    size_t at = map.size >= 3 && memcmp(map.data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    size_t begin = at;
    while (at < map.size && memchr(" \t\r\n", map.data[at], 4) != NULL)
        at++;
    json_t *root = NULL;
    if (at == map.size) {
        data__import_problem(importer, NULL, 0, "an empty file");
    } else if (is_lines(&map, at, &root)) {
        take_lines(importer, &map, begin);
    } else if (root != NULL || slm_json_parse((const char *)map.data + at, map.size - at,
                                              importer->file, 1, &root, &problem) == SLM_OK) {
        take_value(importer, root);
    } else {
        importer->on_problem(importer->context, NULL, &problem);
    }
    json_decref(root);
    slm_file_map_close(&map);
}
