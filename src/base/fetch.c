/* fetch.c: a URL to a file, over as many tries as it takes.
 *
 * What has arrived stands in PATH.part. The next try asks for the rest with a Range header; the
 * answer may be 206 (the rest), 200 (the server ignores ranges, or If-Range found another version:
 * begin anew) or 416 (there is no rest: the part is whole, or longer than the file). Which version
 * of the file a part belongs to stands in PATH.part.version, the server's ETag or Last-Modified.
 * The part is locked, so that two runs do not write the same file. Whatever the server claims, only
 * the hash decides whether the part becomes the file. */
#include "base/fetch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/http_internal.h"
#include "base/progress.h"

enum { STALL_TIMEOUT_MS = 60 * 1000 };
static const uint64_t UNIT_BYTES = 1000 * 1000;

typedef struct fetch {
    const char *url, *path;
    const slm_fetch_options *want;
    slm_buffer shown;   /* url as it may be shown */
    slm_buffer part;    /* path of the part */
    slm_buffer version; /* path of the version's file */
    slm_log *log;
    slm_error *err;
    FILE *stream;
    uint64_t have;  /* bytes in the part */
    uint64_t asked; /* begin of the range */
    slm_progress *progress;
    int write_errno;   /* why writing failed, or 0 */
    bool wrong_answer; /* a range that was not asked for */
    uint64_t told;     /* the size that the host tells, where it is not the one expected */
    bool too_long;     /* more came than may */
} fetch;

static uint64_t file_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && info.st_size > 0 ? (uint64_t)info.st_size : 0;
}

static void remove_part(fetch *f)
{
    unlink(f->part.data);
    unlink(f->version.data);
}

/* Whether it can be told from the content alone that it is the right one. */
static bool has_hash(const slm_fetch_options *want)
{
    return want->sha256 != NULL || want->git_oid != NULL;
}

/* *matches: whether the file has the size and the hash that are wanted. `found` gets its hash. */
static slm_status check_hash(const char *path, const slm_fetch_options *want, bool *matches,
                             char found[SLM_SHA256_HEX_BYTES], slm_error *err)
{
    found[0] = '\0';
    *matches = want->bytes == 0 || file_bytes(path) == want->bytes;
    if (!*matches) return SLM_OK;
    if (want->sha256 != NULL) {
        SLM_TRY(slm_sha256_file(path, found, err));
        *matches = strcasecmp(found, want->sha256) == 0;
    } else if (want->git_oid != NULL) {
        SLM_TRY(slm_git_blob_file(path, found, err));
        *matches = strcasecmp(found, want->git_oid) == 0;
    }
    return SLM_OK;
}

/* Notes which version of the file is coming; without a name for it a part cannot be continued
 * safely, so an old note goes away. */
static void note_version(fetch *f, const slm_http_reply *reply)
{
    slm_buffer value = {0};
    bool named = slm_http_reply_header(reply, "ETag", &value) && strncmp(value.data, "W/", 2) != 0;
    if (!named) named = slm_http_reply_header(reply, "Last-Modified", &value);
    if (!named || slm_file_write(f->version.data, value.data, value.len, NULL) != SLM_OK) {
        unlink(f->version.data);
    }
    slm_buffer_free(&value);
}

/* "bytes 100-199/200" -> 100 and, if known, 200. */
static bool read_content_range(const char *text, uint64_t *begin, uint64_t *total)
{
    unsigned long long from;
    unsigned long long to;
    unsigned long long all = 0;
    int found = sscanf(text, "bytes %llu-%llu/%llu", &from, &to, &all);
    if (found < 2) return false;
    *begin = from;
    *total = found == 3 ? all : 0;
    return true;
}

static bool on_headers(void *context, const slm_http_reply *reply)
{
    fetch *f = context;
    slm_buffer value = {0};
    uint64_t begin = 0;
    uint64_t total = 0;
    bool good = true;
    if (reply->status == 206) {
        good = slm_http_reply_header(reply, "Content-Range", &value) &&
               read_content_range(value.data, &begin, &total) && begin == f->asked;
        f->wrong_answer = !good;
    } else if (slm_http_reply_header(reply, "Content-Length", &value)) {
        total = strtoull(value.data, NULL, 10);
    }
    slm_buffer_free(&value);
    if (!good) return false;
    uint64_t limit = f->want->bytes > 0 ? f->want->bytes : f->want->max_bytes;
    if (total > 0 && (f->want->bytes > 0 ? total != limit : limit > 0 && total > limit)) {
        f->told = total;
        return false;
    }
    if (begin == 0) {
        note_version(f, reply);
        f->have = 0;
        if (ftruncate(fileno(f->stream), 0) != 0) {
            f->write_errno = errno;
            return false;
        }
    }
    if (f->want->on_progress != NULL) {
        f->want->on_progress(f->want->context, f->have);
        return true;
    }
    slm_buffer what = {0};
    slm_buffer_printf(&what, "fetching %s", slm_file_basename(f->path));
    f->progress = slm_progress_new(f->log, what.data, "MB", total / UNIT_BYTES, begin / UNIT_BYTES);
    slm_buffer_free(&what);
    return true;
}

static bool on_body(void *context, const void *bytes, size_t len)
{
    fetch *f = context;
    uint64_t limit = f->want->bytes > 0 ? f->want->bytes : f->want->max_bytes;
    if (limit > 0 && (f->have > limit || len > limit - f->have)) {
        f->too_long = true;
        return false;
    }
    if (fwrite(bytes, 1, len, f->stream) != len) {
        f->write_errno = errno != 0 ? errno : EIO;
        return false;
    }
    f->have += len;
    if (f->want->on_progress != NULL) {
        f->want->on_progress(f->want->context, f->have);
    } else {
        slm_progress_update(f->progress, f->have / UNIT_BYTES, NULL);
    }
    return true;
}

/* The error for a reply that is no file. */
static slm_status refused(fetch *f, long status)
{
    const char *advice = status == 404 || status == 410   ? "check the name"
                         : status == 401 || status == 403 ? "the host asks for permission"
                         : status == 429 || status >= 500 ? "try again later"
                                                          : "the host refused";
    slm_status kind = status == 404 || status == 410 ? SLM_ERR_NOT_FOUND : SLM_ERR_NETWORK;
    return slm_error_set(f->err, kind, "cannot fetch %s: HTTP status %ld; %s", f->shown.data,
                         status, advice);
}

/* After 416: *whole if the part is all there is. */
static slm_status check_no_rest(fetch *f, const slm_http_reply *reply, bool *whole)
{
    *whole = false;
    if (has_hash(f->want)) {
        char hex[SLM_SHA256_HEX_BYTES];
        return check_hash(f->part.data, f->want, whole, hex, f->err);
    }
    slm_buffer value = {0};
    unsigned long long total;
    *whole = slm_http_reply_header(reply, "Content-Range", &value) &&
             sscanf(value.data, "bytes */%llu", &total) == 1 && total == f->have;
    slm_buffer_free(&value);
    return SLM_OK;
}

/* Fills `line` with the If-Range header if the part's version is known. */
static bool read_version(fetch *f, slm_buffer *line)
{
    slm_buffer_append_text(line, "If-Range: ");
    size_t start = line->len;
    if (slm_file_read(f->version.data, 400, line, NULL) != SLM_OK) return false;
    return line->len > start && strpbrk(line->data, "\r\n") == NULL;
}

/* The error for a host that announces another size than is expected. */
static slm_status wrong_size(fetch *f)
{
    if (f->want->bytes > 0) {
        return slm_error_set(f->err, SLM_ERR_FORMAT,
                             "%s has %" PRIu64 " bytes, not the %" PRIu64 " that it should have",
                             f->shown.data, f->told, f->want->bytes);
    }
    return slm_error_set(f->err, SLM_ERR_LIMIT,
                         "%s has %" PRIu64 " bytes, more than the %" PRIu64 " that are allowed",
                         f->shown.data, f->told, f->want->max_bytes);
}

/* The headers of a request in `lines`, the last one If-Range if that is known. */
static const char **make_headers(const slm_fetch_options *want, const char *if_range)
{
    size_t count = 0;
    while (want->headers != NULL && want->headers[count] != NULL)
        count++;
    const char **lines = calloc(count + 2, sizeof *lines);
    if (lines == NULL) slm_out_of_memory(count);
    for (size_t i = 0; i < count; i++)
        lines[i] = want->headers[i];
    lines[count] = if_range;
    return lines;
}

/* The status for a request that brought no whole reply; its message is in f->err. */
static slm_status broken_off(fetch *f, slm_status status)
{
    if (f->write_errno != 0) {
        return slm_error_set(f->err, SLM_ERR_IO, "cannot write %s: %s", f->part.data,
                             strerror(f->write_errno));
    }
    if (f->told > 0) return wrong_size(f);
    if (f->too_long) {
        remove_part(f);
        return slm_error_set(f->err, SLM_ERR_FORMAT,
                             "%s sends more than the %" PRIu64 " bytes %s; what came was thrown "
                             "away",
                             f->shown.data,
                             f->want->bytes > 0 ? f->want->bytes : f->want->max_bytes,
                             f->want->bytes > 0 ? "that it should have" : "that are allowed");
    }
    if (f->err != NULL && status == SLM_ERR_NETWORK && file_bytes(f->part.data) > 0) {
        char reason[SLM_ERROR_MESSAGE_BYTES];
        memcpy(reason, f->err->message, sizeof reason);
        slm_error_set(f->err, status, "%s; what has arrived is kept, run again to go on", reason);
    }
    return status;
}

/* One request into f->stream. *again: the part was of no use and is empty, ask for the whole. */
static slm_status transfer(fetch *f, slm_http *http, bool *again)
{
    *again = false;
    slm_buffer if_range = {0};
    f->have = file_bytes(f->part.data);
    bool named = f->have > 0 && read_version(f, &if_range);
    f->asked = named || has_hash(f->want) ? f->have : 0;
    f->wrong_answer = false;
    const char **headers = make_headers(f->want, named ? if_range.data : NULL);
    slm_http_request request = {.method = "GET",
                                .url = f->url,
                                .headers = headers,
                                .range_begin = f->asked,
                                .stall_timeout_ms = STALL_TIMEOUT_MS,
                                .on_body = on_body,
                                .on_headers = on_headers,
                                .context = f};
    slm_http_reply *reply = NULL;
    slm_status status = slm_http_perform(http, &request, &reply, f->err);
    slm_progress_finish(f->progress);
    f->progress = NULL;
    free(headers);
    if (f->want->http_status != NULL) *f->want->http_status = reply != NULL ? reply->status : 0;
    if (status != SLM_OK && f->wrong_answer && f->asked > 0) {
        *again = true;
        status = SLM_OK;
    } else if (status != SLM_OK) {
        status = broken_off(f, status);
    } else if (reply->status == 416 && f->asked > 0) {
        bool whole;
        status = check_no_rest(f, reply, &whole);
        *again = status == SLM_OK && !whole;
    } else if (reply->status < 200 || reply->status > 299) {
        status = refused(f, reply->status);
    }
    if (*again && ftruncate(fileno(f->stream), 0) != 0) {
        status =
            slm_error_set(f->err, SLM_ERR_IO, "cannot write %s: %s", f->part.data, strerror(errno));
    }
    slm_http_reply_free(reply);
    slm_buffer_free(&if_range);
    return status;
}

/* The part is whole: check it and give it its name. */
static slm_status settle(fetch *f)
{
    if (fsync(fileno(f->stream)) != 0) {
        return slm_error_set(f->err, SLM_ERR_IO, "cannot write %s: %s", f->part.data,
                             strerror(errno));
    }
    bool matches;
    char hex[SLM_SHA256_HEX_BYTES];
    SLM_TRY(check_hash(f->part.data, f->want, &matches, hex, f->err));
    if (!matches && hex[0] == '\0') {
        f->told = file_bytes(f->part.data);
        remove_part(f);
        return wrong_size(f);
    }
    if (!matches) {
        remove_part(f);
        bool by_git = f->want->sha256 == NULL;
        return slm_error_set(f->err, SLM_ERR_FORMAT,
                             "%s is not the file that was expected: its %s is %s, not %s; it was "
                             "thrown away",
                             f->shown.data, by_git ? "git hash" : "sha256", hex,
                             by_git ? f->want->git_oid : f->want->sha256);
    }
    SLM_TRY(slm_file_replace(f->part.data, f->path, f->err));
    unlink(f->version.data);
    return SLM_OK;
}

/* With the part locked. */
static slm_status fetch_locked(fetch *f, slm_http *http)
{
    f->stream = fopen(f->part.data, "ae");
    if (f->stream == NULL) {
        return slm_error_set(f->err, SLM_ERR_IO, "cannot write %s: %s", f->part.data,
                             strerror(errno));
    }
    /* Unbuffered: what has arrived is in the file, whatever happens next. */
    setvbuf(f->stream, NULL, _IONBF, 0);
    bool again = false;
    slm_status status = transfer(f, http, &again);
    if (status == SLM_OK && again) {
        unlink(f->version.data);
        status = transfer(f, http, &again);
    }
    if (status == SLM_OK && !again) status = settle(f);
    fclose(f->stream);
    if (status != SLM_OK && file_bytes(f->part.data) == 0) remove_part(f);
    return status;
}

static slm_status make_folder_of(const char *path, slm_error *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) return SLM_OK;
    slm_buffer folder = {0};
    slm_buffer_append(&folder, path, (size_t)(slash - path));
    slm_status status = slm_file_make_folders(folder.data, err);
    slm_buffer_free(&folder);
    return status;
}

/* *there: `path` exists and is what is wanted. */
static slm_status is_there(const char *path, const slm_fetch_options *want, bool *there,
                           slm_error *err)
{
    char hex[SLM_SHA256_HEX_BYTES];
    *there = false;
    if (!slm_file_exists(path)) return SLM_OK;
    return check_hash(path, want, there, hex, err);
}

slm_status slm_fetch_with(slm_http *http, const char *url, const char *path,
                          const slm_fetch_options *options, slm_log *log, slm_error *err)
{
    bool there;
    SLM_TRY(is_there(path, options, &there, err));
    if (there) return SLM_OK;
    if (slm_file_exists(path)) {
        slm_log_print(log, SLM_LOG_WARNING, "%s is not what it should be; fetching it again", path);
    }
    fetch f = {.url = url, .path = path, .want = options, .log = log, .err = err};
    slm_file_lock *lock = NULL;
    slm_buffer_printf(&f.part, "%s.part", path);
    slm_buffer_printf(&f.version, "%s.part.version", path);
    slm_http__append_url(&f.shown, url);
    slm_status status = make_folder_of(path, err);
    if (status == SLM_OK) status = slm_file_lock_take(f.part.data, &lock, err);
    /* Another run may have brought the file while this one looked. */
    if (status == SLM_OK) status = is_there(path, options, &there, err);
    if (status == SLM_OK && there) {
        remove_part(&f);
    } else if (status == SLM_OK) {
        status = fetch_locked(&f, http);
    }
    slm_file_lock_release(lock);
    slm_buffer_free(&f.part);
    slm_buffer_free(&f.version);
    slm_buffer_free(&f.shown);
    return status;
}

slm_status slm_fetch(slm_http *http, const char *url, const char *path, const char *sha256,
                     slm_log *log, slm_error *err)
{
    slm_fetch_options options = {.sha256 = sha256};
    return slm_fetch_with(http, url, path, &options, log, err);
}
