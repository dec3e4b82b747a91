/* pull_record.c: .slm-pull.json, the note that a pull leaves beside the files.
 *
 * It holds what the source had (names, sizes, hashes), so that --offline can answer, and which files
 * were found right and how old they were then, so that gigabytes are not hashed on every call: a
 * file whose size and modification time are the noted ones is taken as it is, unless --check. It is
 * written before the first file is fetched and again at the end, so a killed pull leaves a folder
 * that the next one knows. One folder has one source; another is refused. */
#include "pull_internal.h"

#include <string.h>

#include "base/json.h"

static const char RECORD_NAME[] = ".slm-pull.json";
static const size_t MAX_RECORD_BYTES = 64u << 20;

static void record_path(const pull *p, slm_buffer *out)
{
    slm_file_join(out, p->out->folder, RECORD_NAME);
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* One entry of "files". */
static slm_status read_file(const json_t *item, const slm_json_place *place, slm_pull_file *file,
                            slm_error *err)
{
    int64_t bytes = -1;
    *file = (slm_pull_file){0};
    SLM_TRY(slm_json_string(item, "name", place, &file->name, err));
    SLM_TRY(slm_json_integer_optional(item, "bytes", place, &bytes, err));
    SLM_TRY(slm_json_string_optional(item, "sha256", place, &file->sha256, err));
    SLM_TRY(slm_json_string_optional(item, "git_oid", place, &file->git_oid, err));
    SLM_TRY(slm_json_integer_optional(item, "checked_ns", place, &file->checked_ns, err));
    if ((file->sha256 != NULL && !pull__is_hex(file->sha256, 64)) ||
        (file->git_oid != NULL && !pull__is_hex(file->git_oid, 40))) {
        return slm_json_error(place, err, "a hash that is none");
    }
    file->sized = bytes >= 0;
    file->bytes = bytes >= 0 ? (uint64_t)bytes : 0;
    return SLM_OK;
}

static slm_pull_file *find_file(const pull *p, const char *name)
{
    for (size_t i = 0; i < p->out->file_count; i++) {
        if (strcmp(p->out->files[i].name, name) == 0) return &p->out->files[i];
    }
    return NULL;
}

/* What an earlier pull knew of a file that the source has still. */
static void add_knowledge(pull *p, const slm_pull_file *noted)
{
    if (noted->checked_ns == 0) return;
    slm_pull_file *file = find_file(p, noted->name);
    if (file == NULL) return;
    if (file->sha256 != NULL && !same_text(file->sha256, noted->sha256)) return;
    if (file->git_oid != NULL && !same_text(file->git_oid, noted->git_oid)) return;
    if (file->sized && (!noted->sized || file->bytes != noted->bytes)) return;
    file->sized = noted->sized;
    file->bytes = noted->bytes;
    file->checked_ns = noted->checked_ns;
    if (noted->sha256 != NULL) file->sha256 = slm_arena_strdup(&p->out->arena, noted->sha256);
}

static slm_status read_files(pull *p, const json_t *root, const slm_json_place *place, bool adopt)
{
    json_t *files;
    size_t room = 0;
    SLM_TRY(slm_json_array(root, "files", place, &files, p->err));
    const slm_json_place list = {.parent = place, .key = "files"};
    for (size_t i = 0; i < json_array_size(files); i++) {
        const slm_json_place at = {.parent = &list, .index = i};
        slm_pull_file noted;
        SLM_TRY(read_file(json_array_get(files, i), &at, &noted, p->err));
        if (!adopt) {
            add_knowledge(p, &noted);
            continue;
        }
        SLM_TRY(pull__check_name(noted.name, place->name, p->err));
        slm_pull_file *file = pull__add_file(p, noted.name, &room);
        noted.name = file->name;
        if (noted.sha256 != NULL) noted.sha256 = pull__lower(p, noted.sha256);
        if (noted.git_oid != NULL) noted.git_oid = pull__lower(p, noted.git_oid);
        *file = noted;
    }
    return SLM_OK;
}

/* The folder is of this source and no other. */
static slm_status check_source(pull *p, const char *source, const char *revision,
                               const char *commit)
{
    slm_pulled *out = p->out;
    if (strcmp(source, out->source) != 0) {
        return slm_error_set(p->err, SLM_ERR_INVALID,
                             "%s holds %s already; take another folder for %s", out->folder, source,
                             out->source);
    }
    if (p->kind != PULL_HUB) return SLM_OK;
    /* Offline nobody can say what a name stands for today, but what it stood for. */
    bool same = out->commit != NULL
                    ? same_text(commit, out->commit)
                    : same_text(revision, out->revision) || same_text(commit, out->revision);
    if (!same || commit == NULL) {
        return slm_error_set(p->err, SLM_ERR_INVALID,
                             "%s holds %s at %s (%s), not at %s; take another folder, or empty it",
                             out->folder, source, commit != NULL ? commit : "?",
                             revision != NULL ? revision : "?",
                             out->commit != NULL ? out->commit : out->revision);
    }
    if (out->commit == NULL) out->commit = slm_arena_strdup(&out->arena, commit);
    return SLM_OK;
}

slm_status pull__record_read(pull *p, bool adopt, bool *found)
{
    slm_buffer path = {0}, text = {0};
    json_t *root = NULL;
    slm_status status = SLM_OK;
    record_path(p, &path);
    *found = slm_file_exists(path.data);
    if (*found) {
        const slm_json_place place = {.name = path.data};
        const char *source = NULL, *revision = NULL, *commit = NULL;
        status = slm_file_read(path.data, MAX_RECORD_BYTES, &text, p->err);
        if (status == SLM_OK)
            status = slm_json_parse(slm_buffer_text(&text), text.len, path.data, 1, &root, p->err);
        if (status == SLM_OK) status = slm_json_string(root, "source", &place, &source, p->err);
        if (status == SLM_OK)
            status = slm_json_string_optional(root, "revision", &place, &revision, p->err);
        if (status == SLM_OK)
            status = slm_json_string_optional(root, "commit", &place, &commit, p->err);
        if (status == SLM_OK) status = check_source(p, source, revision, commit);
        if (status == SLM_OK) status = read_files(p, root, &place, adopt);
        if (status == SLM_ERR_FORMAT) {
            status = slm_error_prefix(p->err, status, "not a note of slm pull (remove it)");
        }
    }
    json_decref(root);
    slm_buffer_free(&text);
    slm_buffer_free(&path);
    return status;
}

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text != NULL) json_object_set_new(object, key, json_string(text));
}

slm_status pull__record_write(pull *p)
{
    const slm_pulled *out = p->out;
    json_t *root = json_object();
    set_text(root, "source", out->source);
    set_text(root, "revision", out->revision);
    set_text(root, "commit", out->commit);
    set_text(root, "endpoint", p->endpoint);
    json_t *files = json_array();
    for (size_t i = 0; i < out->file_count; i++) {
        const slm_pull_file *file = &out->files[i];
        json_t *item = json_object();
        set_text(item, "name", file->name);
        if (file->sized) json_object_set_new(item, "bytes", json_integer((json_int_t)file->bytes));
        set_text(item, "sha256", file->sha256);
        set_text(item, "git_oid", file->git_oid);
        if (file->checked_ns != 0) {
            json_object_set_new(item, "checked_ns", json_integer((json_int_t)file->checked_ns));
        }
        json_array_append_new(files, item);
    }
    json_object_set_new(root, "files", files);
    char *text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    if (text == NULL) slm_out_of_memory(1);
    slm_buffer path = {0};
    record_path(p, &path);
    slm_status status = slm_file_write(path.data, text, strlen(text), p->err);
    slm_buffer_free(&path);
    free(text);
    return status;
}
