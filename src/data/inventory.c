/* inventory.c: many files of questions -> one inventory, each question once.
 *
 * A line is {"id", "question", "source"}; the id is the SHA-256 of the normalised question, so the
 * same question has the same id from whatever set and on whatever day it was imported. The first
 * occurrence in the order of the paths given (folders in byte order of their files' paths) is kept,
 * so the order is stable and the same input gives the same bytes. Of what is kept in memory there
 * is a hash of 32 bytes a question. */
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/utf8.h"
#include "data/import_internal.h"
#include "data/inspect_internal.h"

slm_import_options slm_import_options_default(void)
{
    return (slm_import_options){.longest = 8000};
}

typedef struct inventory {
    const slm_import_options *options;
    FILE *out;
    slm_import_summary *summary;
    size_t source_cap;
    size_t current; /* the source of the last question; SIZE_MAX: none yet */
    size_t file_source;
    data__hash_table ids; /* the first 8 bytes of an id -> index */
    char (*digests)[SLM_SHA256_HEX_BYTES];
    size_t digest_count, digest_cap;
    slm_buffer row;
    void (*on_problem)(void *context, const slm_error *problem);
    void *context;
} inventory;

static slm_import_source *source_named(inventory *v, const char *name)
{
    slm_import_summary *s = v->summary;
    if (v->current != SIZE_MAX && strcmp(s->sources[v->current].name, name) == 0)
        return &s->sources[v->current];
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->sources[i].name, name) == 0) {
            v->current = i;
            return &s->sources[i];
        }
    if (s->count == v->source_cap) {
        size_t cap = v->source_cap == 0 ? 16 : v->source_cap * 2;
        slm_import_source *grown = slm_arena_array(&s->arena, cap, sizeof *grown);
        if (s->count > 0) memcpy(grown, s->sources, s->count * sizeof *grown);
        s->sources = grown;
        v->source_cap = cap;
    }
    v->current = s->count++;
    s->sources[v->current] = (slm_import_source){.name = slm_arena_strdup(&s->arena, name)};
    return &s->sources[v->current];
}

/* True if the id is new; then it is known from now on. */
static bool remember(inventory *v, const char id[SLM_SHA256_HEX_BYTES])
{
    for (uint64_t probe = 0;; probe++) { /* past 64 bits that two ids share: practically never */
        bool added;
        uint64_t key = slm_hash_bytes(id, SLM_SHA256_HEX_BYTES - 1) + probe;
        uint32_t index = *data__hash_table_put(&v->ids, key, (uint32_t)v->digest_count, &added);
        if (!added && memcmp(v->digests[index], id, SLM_SHA256_HEX_BYTES) == 0) return false;
        if (added) break;
    }
    if (v->digest_count == v->digest_cap) {
        v->digest_cap = v->digest_cap == 0 ? 1024 : v->digest_cap * 2;
        char(*digests)[SLM_SHA256_HEX_BYTES] = realloc(v->digests, v->digest_cap * sizeof *digests);
        if (digests == NULL) slm_out_of_memory(v->digest_cap * sizeof *digests);
        v->digests = digests;
    }
    memcpy(v->digests[v->digest_count++], id, SLM_SHA256_HEX_BYTES);
    return true;
}

static void on_question(void *context, const char *source, const char *file, size_t line,
                        const char *question, size_t len)
{
    inventory *v = context;
    (void)file, (void)line;
    slm_import_source *s = source_named(v, source);
    char id[SLM_SHA256_HEX_BYTES];
    s->read++;
    if (v->file_source != v->current) {
        s->files++;
        v->file_source = v->current;
    }
    if (len == 0) {
        s->empty++;
        return;
    }
    if (slm_utf8_count(question, len) > v->options->longest) {
        s->too_long++;
        return;
    }
    slm_sha256_hex(question, len, id);
    if (!remember(v, id)) {
        s->duplicate++;
        return;
    }
    s->kept++;
    slm_buffer_truncate(&v->row, 0);
    slm_buffer_printf(&v->row, "{\"id\":\"%s\",\"question\":", id);
    slm_json_append_string(&v->row, question, len);
    slm_buffer_append_text(&v->row, ",\"source\":");
    slm_json_append_string(&v->row, source, strlen(source));
    slm_buffer_append_text(&v->row, "}\n");
    fwrite(v->row.data, 1, v->row.len, v->out);
}

static void on_problem(void *context, const char *source, const slm_error *problem)
{
    inventory *v = context;
    if (problem->status == SLM_ERR_UNSUPPORTED) {
        v->summary->passed_over++;
    } else {
        if (source != NULL) source_named(v, source)->bad++;
        v->summary->total.bad++;
    }
    if (v->on_problem != NULL) v->on_problem(v->context, problem);
}

slm_status slm_import(const char *const *paths, size_t path_count,
                      const slm_import_options *options, FILE *out,
                      void (*problem)(void *context, const slm_error *problem), void *context,
                      slm_import_summary *summary, slm_error *err)
{
    *summary = (slm_import_summary){.total = {.name = "total"}};
    inventory v = {.options = options,
                   .out = out,
                   .summary = summary,
                   .current = SIZE_MAX,
                   .on_problem = problem,
                   .context = context};
    data__importer importer = {.options = options,
                               .format = data__format_named(options->format),
                               .on_question = on_question,
                               .on_problem = on_problem,
                               .context = &v};
    slm_status status = SLM_OK;
    slm_arena arena = {0};
    if (options->format != NULL && importer.format == DATA__FORMAT_ANY) {
        status = slm_error_set(err, SLM_ERR_INVALID, "no format '%s'; there are %s",
                               options->format, slm_import_formats);
        goto out;
    }
    for (size_t i = 0; i < path_count; i++) {
        const char **files;
        size_t count = 0;
        SLM_TRY_OUT(data__list_files(paths[i], &arena, &files, &count, err));
        for (size_t f = 0; f < count; f++) {
            v.file_source = SIZE_MAX;
            summary->total.files++;
            importer.in_folder = strcmp(files[f], paths[i]) != 0;
            data__import_file(&importer, files[f]);
        }
        slm_arena_reset(&arena);
    }
    if (ferror(out)) {
        status = slm_error_set(err, SLM_ERR_IO, "cannot write the inventory");
        goto out;
    }
    for (size_t i = 0; i < summary->count; i++) {
        const slm_import_source *s = &summary->sources[i];
        summary->total.read += s->read;
        summary->total.kept += s->kept;
        summary->total.duplicate += s->duplicate;
        summary->total.empty += s->empty;
        summary->total.too_long += s->too_long;
    }
out:
    data__importer_free(&importer);
    data__hash_table_free(&v.ids);
    free(v.digests);
    slm_buffer_free(&v.row);
    slm_arena_free(&arena);
    if (status != SLM_OK) slm_import_summary_free(summary);
    return status;
}

void slm_import_summary_free(slm_import_summary *summary)
{
    if (summary == NULL) return;
    slm_arena_free(&summary->arena);
    *summary = (slm_import_summary){0};
}
