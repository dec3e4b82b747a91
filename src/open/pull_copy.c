/* pull_copy.c: files that are on this machine already, and writing what comes from them or from an
 * archive: to NAME.part, hashed on the way, and renamed only when size and hash are right. */
#include "pull_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 20, MAX_DEPTH = 8, MAX_FILES = 20000 };

static slm_status make_folder_of(const char *path, slm_error *err)
{
    slm_buffer folder = {0};
    slm_buffer_append(&folder, path, (size_t)(slm_file_basename(path) - path));
    slm_status status = folder.len > 1 ? slm_file_make_folders(folder.data, err) : SLM_OK;
    slm_buffer_free(&folder);
    return status;
}

/* All bytes of `read` into the stream; hash and count of them. */
static slm_status pour(pull *p, const slm_pull_file *file, const char *part, FILE *stream,
                       pull__read *read, void *context, slm_sha256 *hash, uint64_t *total)
{
    slm_status status = SLM_OK;
    unsigned char *piece = malloc(PIECE_BYTES);
    if (piece == NULL) slm_out_of_memory(PIECE_BYTES);
    *total = 0;
    for (;;) {
        slm_error error = {0};
        int64_t got = read(context, piece, PIECE_BYTES, &error);
        if (got < 0) {
            status = slm_error_set(p->err, error.status, "%s", error.message);
            break;
        }
        if (got == 0) break;
        *total += (uint64_t)got;
        if (file->sized && *total > file->bytes) {
            status = slm_error_set(p->err, SLM_ERR_FORMAT,
                                   "%s of %s has more than the %" PRIu64 " bytes that it should "
                                   "have",
                                   file->name, p->out->source, file->bytes);
            break;
        }
        slm_sha256_update(hash, piece, (size_t)got);
        if (fwrite(piece, 1, (size_t)got, stream) != (size_t)got) {
            status =
                slm_error_set(p->err, SLM_ERR_IO, "cannot write %s: %s", part, strerror(errno));
            break;
        }
        pull__show(p, *total);
    }
    free(piece);
    return status;
}

slm_status pull__write_file(pull *p, const slm_pull_file *file, const char *path, pull__read *read,
                            void *context)
{
    char hex[SLM_SHA256_HEX_BYTES];
    uint64_t total;
    slm_buffer part = {0};
    slm_buffer_printf(&part, "%s.part", path);
    slm_status status = make_folder_of(path, p->err);
    FILE *stream = status == SLM_OK ? fopen(part.data, "we") : NULL;
    if (status == SLM_OK && stream == NULL) {
        status =
            slm_error_set(p->err, SLM_ERR_IO, "cannot write %s: %s", part.data, strerror(errno));
    }
    if (status != SLM_OK) {
        slm_buffer_free(&part);
        return status;
    }
    slm_sha256 *hash = slm_sha256_new();
    status = pour(p, file, part.data, stream, read, context, hash, &total);
    slm_sha256_finish(hash, hex);
    if (status == SLM_OK && (fflush(stream) != 0 || fsync(fileno(stream)) != 0)) {
        status =
            slm_error_set(p->err, SLM_ERR_IO, "cannot write %s: %s", part.data, strerror(errno));
    }
    fclose(stream);
    if (status == SLM_OK && file->sized && total != file->bytes) {
        status =
            slm_error_set(p->err, SLM_ERR_FORMAT,
                          "%s of %s has %" PRIu64 " bytes, not the %" PRIu64 " that it should have",
                          file->name, p->out->source, total, file->bytes);
    }
    if (status == SLM_OK && file->sha256 != NULL && strcmp(hex, file->sha256) != 0) {
        status = slm_error_set(p->err, SLM_ERR_FORMAT,
                               "%s of %s is not the file that was expected: its sha256 is %s, not "
                               "%s",
                               file->name, p->out->source, hex, file->sha256);
    }
    if (status == SLM_OK) status = slm_file_replace(part.data, path, p->err);
    if (status != SLM_OK) unlink(part.data);
    slm_buffer_free(&part);
    return status;
}

/* ---- files of this machine ------------------------------------------------------------------ */

static slm_status list_folder(pull *p, const char *folder, const char *prefix, int depth,
                              size_t *room)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return slm_error_set(p->err, SLM_ERR_IO, "cannot read the folder %s: %s", folder,
                             strerror(errno));
    }
    slm_buffer path = {0}, name = {0};
    slm_status status = SLM_OK;
    for (struct dirent *entry; status == SLM_OK && (entry = readdir(dir)) != NULL;) {
        struct stat info;
        if (entry->d_name[0] == '.') continue;
        slm_file_join(&path, folder, entry->d_name);
        slm_buffer_truncate(&name, 0);
        slm_buffer_printf(&name, "%s%s", prefix, entry->d_name);
        if (stat(path.data, &info) != 0) continue; /* a link to nothing */
        if (S_ISDIR(info.st_mode) && depth < MAX_DEPTH) {
            slm_buffer_append_char(&name, '/');
            status = list_folder(p, path.data, name.data, depth + 1, room);
        } else if (S_ISREG(info.st_mode) && pull__bad_name(name.data) == NULL) {
            slm_pull_file *file = pull__add_file(p, name.data, room);
            file->bytes = (uint64_t)info.st_size;
            file->sized = true;
        }
        if (status == SLM_OK && p->out->file_count > MAX_FILES) {
            status = slm_error_set(p->err, SLM_ERR_INVALID,
                                   "%s holds more than %d files; give the folder of one model",
                                   p->address, MAX_FILES);
        }
    }
    closedir(dir);
    slm_buffer_free(&path);
    slm_buffer_free(&name);
    return status;
}

slm_status pull__local_list(pull *p)
{
    size_t room = 0;
    if (slm_file_is_folder(p->address)) {
        SLM_TRY(list_folder(p, p->address, "", 0, &room));
        return pull__check_twins(p, p->address);
    }
    struct stat info;
    if (stat(p->address, &info) != 0 || !S_ISREG(info.st_mode)) {
        return slm_error_set(p->err, SLM_ERR_INVALID, "%s is neither a file nor a folder",
                             p->address);
    }
    SLM_TRY(pull__check_name(slm_file_basename(p->address), p->address, p->err));
    slm_pull_file *file = pull__add_file(p, slm_file_basename(p->address), &room);
    file->bytes = (uint64_t)info.st_size;
    file->sized = true;
    p->single = true;
    return SLM_OK;
}

typedef struct open_file {
    int fd;
    const char *path;
} open_file;

static int64_t read_open_file(void *context, void *bytes, size_t room, slm_error *err)
{
    open_file *file = context;
    for (;;) {
        ssize_t got = read(file->fd, bytes, room);
        if (got >= 0) return got;
        if (errno == EINTR) continue;
        slm_error_set(err, SLM_ERR_IO, "cannot read %s: %s", file->path, strerror(errno));
        return -1;
    }
}

static void source_path(const pull *p, const slm_pull_file *file, slm_buffer *out)
{
    if (p->single) {
        slm_buffer_append_text(out, p->address);
    } else {
        slm_file_join(out, p->address, file->name);
    }
}

bool pull__is_source(const pull *p, const slm_pull_file *file, const struct stat *there)
{
    slm_buffer from = {0};
    struct stat info;
    source_path(p, file, &from);
    bool same =
        stat(from.data, &info) == 0 && info.st_dev == there->st_dev && info.st_ino == there->st_ino;
    slm_buffer_free(&from);
    return same;
}

slm_status pull__local_copy(pull *p, const slm_pull_file *file, const char *path)
{
    slm_buffer from = {0};
    source_path(p, file, &from);
    open_file source = {.fd = open(from.data, O_RDONLY | O_CLOEXEC), .path = from.data};
    slm_status status = SLM_OK;
    if (source.fd < 0) {
        status =
            slm_error_set(p->err, SLM_ERR_IO, "cannot open %s: %s", from.data, strerror(errno));
    } else {
        status = pull__write_file(p, file, path, read_open_file, &source);
        close(source.fd);
    }
    slm_buffer_free(&from);
    return status;
}
