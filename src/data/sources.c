/* sources.c: what stands in a file or a folder, as texts with their places.
 *
 * `slm data check --against` takes whatever a benchmark comes as. Of JSON and JSON Lines every
 * string counts: a benchmark's questions, answers and criteria alike must not be in a training set.
 * Of the other formats the questions count, read as `slm data import` reads them. Folders are walked
 * in byte order of their paths, so that the same files give the same hash on every machine. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/hash.h"
#include "data/import_internal.h"
#include "data/inspect_internal.h"

enum { FILES_MAX = 1000000, DEPTH_MAX = 32, JSON_BYTES_MAX = 512 << 20 };

/* ---- folders ------------------------------------------------------------------------------- */

typedef struct listing {
    slm_arena *arena;
    const char **items;
    size_t count, cap;
} listing;

static slm_status add_path(listing *l, const char *path, int depth, slm_error *err);

static slm_status add_folder(listing *l, const char *path, int depth, slm_error *err)
{
    if (depth > DEPTH_MAX)
        return slm_error_set(err, SLM_ERR_LIMIT, "%s: more than %d folders deep", path, DEPTH_MAX);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return slm_error_set(err, SLM_ERR_IO, "cannot open the folder %s: %s", path,
                             strerror(errno));
    slm_status status = SLM_OK;
    slm_buffer name = {0};
    for (struct dirent *entry; status == SLM_OK && (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        slm_file_join(&name, path, entry->d_name);
        status = add_path(l, slm_buffer_text(&name), depth + 1, err);
    }
    slm_buffer_free(&name);
    closedir(folder);
    return status;
}

static slm_status add_path(listing *l, const char *path, int depth, slm_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return slm_error_set(err, errno == ENOENT ? SLM_ERR_NOT_FOUND : SLM_ERR_IO,
                             "cannot open %s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) return add_folder(l, path, depth, err);
    if (depth > 0 && !S_ISREG(st.st_mode)) return SLM_OK;
    if (l->count == FILES_MAX)
        return slm_error_set(err, SLM_ERR_LIMIT, "%s: more than %d files", path, FILES_MAX);
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 64 : l->cap * 2;
        const char **items = realloc(l->items, l->cap * sizeof *items);
        if (items == NULL) slm_out_of_memory(l->cap * sizeof *items);
        l->items = items;
    }
    l->items[l->count++] = slm_arena_strdup(l->arena, path);
    return SLM_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

slm_status data__list_files(const char *path, slm_arena *arena, const char ***out, size_t *count,
                            slm_error *err)
{
    listing l = {.arena = arena};
    slm_status status = add_path(&l, path, 0, err);
    if (status == SLM_OK) {
        if (l.count > 1) qsort(l.items, l.count, sizeof *l.items, by_text);
        *out = slm_arena_array(arena, l.count, sizeof **out);
        if (l.count > 0) memcpy(*out, l.items, l.count * sizeof **out);
        *count = l.count;
    }
    free(l.items);
    return status;
}

slm_status data__content_hash(const char *path, char hex[65], slm_error *err)
{
    if (!slm_file_is_folder(path)) return slm_sha256_file(path, hex, err);
    slm_arena arena = {0};
    const char **files;
    size_t count = 0, skip = strlen(path);
    slm_status status = data__list_files(path, &arena, &files, &count, err);
    slm_sha256 *hash = slm_sha256_new();
    for (size_t i = 0; status == SLM_OK && i < count; i++) {
        char part[SLM_SHA256_HEX_BYTES];
        status = slm_sha256_file(files[i], part, err);
        if (status != SLM_OK) break;
        slm_sha256_update_part(hash, files[i] + skip);
        slm_sha256_update_part(hash, part);
    }
    slm_sha256_finish(hash, hex);
    slm_arena_free(&arena);
    return status;
}

/* ---- texts --------------------------------------------------------------------------------- */

typedef struct source {
    const char *file;
    size_t line;
    void (*fn)(void *context, const char *file, size_t line, const char *text, size_t len);
    void (*on_skip)(void *context, const char *why);
    void *context;
    bool alone;        /* named itself, not found in a folder */
    slm_error problem; /* the first one */
} source;

static void one_string(void *context, const char *path, const char *text, size_t len)
{
    source *s = context;
    (void)path;
    s->fn(s->context, s->file, s->line, text, len);
}

/* Line by line; false if the first line is no JSON value by itself. */
static slm_status lines_of(source *s, bool *is_lines, slm_error *err)
{
    slm_jsonl *reader = NULL;
    slm_error problem = {0};
    *is_lines = false;
    SLM_TRY(slm_jsonl_open(s->file, &reader, err));
    slm_status status;
    for (;;) {
        json_t *row = NULL;
        status = slm_jsonl_next(reader, &row, &s->line, &problem);
        if (status != SLM_OK || row == NULL) break;
        *is_lines = true;
        data__each_string(row, "", one_string, s);
        json_decref(row);
    }
    slm_jsonl_close(reader);
    if (status != SLM_OK && *is_lines) return slm_error_set(err, status, "%s", problem.message);
    return SLM_OK;
}

/* A whole JSON file: each element of the outermost list or object is a row. */
static slm_status whole_of(source *s, slm_error *err)
{
    slm_buffer text = {0};
    json_t *root = NULL;
    SLM_TRY(slm_file_read(s->file, JSON_BYTES_MAX, &text, err));
    slm_status status = slm_json_parse(slm_buffer_text(&text), text.len, s->file, 1, &root, err);
    slm_buffer_free(&text);
    if (status != SLM_OK) return status;
    s->line = 0;
    if (json_is_array(root)) {
        for (size_t i = 0; i < json_array_size(root); i++) {
            s->line = i + 1;
            data__each_string(json_array_get(root, i), "", one_string, s);
        }
    } else {
        const char *key;
        json_t *member;
        json_object_foreach(root, key, member)
        {
            s->line++;
            data__each_string(member, "", one_string, s);
        }
    }
    json_decref(root);
    return SLM_OK;
}

static void one_question(void *context, const char *set, const char *file, size_t line,
                         const char *question, size_t len)
{
    source *s = context;
    (void)set;
    if (len > 0) s->fn(s->context, file, line > 0 ? line : ++s->line, question, len);
}

/* Files that hold no questions lie in folders too: they are passed over, and that is told. */
static void one_problem(void *context, const char *set, const slm_error *problem)
{
    source *s = context;
    (void)set;
    if (s->problem.status == SLM_OK) s->problem = *problem;
    if (!s->alone && s->on_skip != NULL) s->on_skip(s->context, problem->message);
}

static slm_status questions_of(source *s, slm_error *err)
{
    slm_import_options options = slm_import_options_default();
    data__importer importer = {
        .options = &options, .on_question = one_question, .on_problem = one_problem, .context = s};
    data__import_file(&importer, s->file);
    data__importer_free(&importer);
    if (s->problem.status != SLM_OK && s->alone)
        return slm_error_set(err, s->problem.status, "%s", s->problem.message);
    return SLM_OK;
}

static bool is_json(const char *path)
{
    slm_file_map map;
    if (slm_file_map_open(path, &map, NULL) != SLM_OK) return false;
    size_t at = map.size >= 3 && memcmp(map.data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (at < map.size && memchr(" \t\r\n", map.data[at], 4) != NULL)
        at++;
    bool json = at < map.size && (map.data[at] == '{' || map.data[at] == '[');
    slm_file_map_close(&map);
    return json;
}

slm_status data__each_text(const char *path,
                           void (*fn)(void *context, const char *file, size_t line,
                                      const char *text, size_t len),
                           void (*on_skip)(void *context, const char *why), void *context,
                           slm_error *err)
{
    slm_arena arena = {0};
    const char **files;
    size_t count = 0;
    slm_status status = data__list_files(path, &arena, &files, &count, err);
    for (size_t i = 0; status == SLM_OK && i < count; i++) {
        source s = {.file = files[i],
                    .fn = fn,
                    .on_skip = on_skip,
                    .context = context,
                    .alone = strcmp(files[i], path) == 0};
        if (is_json(files[i])) {
            bool is_lines = false;
            status = lines_of(&s, &is_lines, err);
            if (status == SLM_OK && !is_lines) status = whole_of(&s, err);
        } else {
            status = questions_of(&s, err);
        }
    }
    slm_arena_free(&arena);
    return status;
}
