/* file.c: whole files, mappings, locks, and files that appear all at once.
 *
 * A writer creates a file of a name that nobody else uses in the target's folder, so that rename(2)
 * stays on one file system and replaces the target in one step. The file is synced before the
 * rename (else a crash may leave the new name with no content) and the folder after it (else the
 * rename itself may be lost). A target that exists keeps its permissions; a symbolic link keeps
 * pointing where it does, its target is replaced. What is no regular file (/dev/stdout, a pipe)
 * cannot be replaced and is written directly. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct slm_file_writer {
    FILE *stream;
    slm_buffer path;      /* the target, symbolic links resolved */
    slm_buffer temporary; /* empty when the target is written directly */
};

struct slm_file_lock {
    int fd;
    char *path;
};

/* The status that fits errno after a failed open. */
static slm_status open_status(int code)
{
    return code == ENOENT || code == ENOTDIR ? SLM_ERR_NOT_FOUND : SLM_ERR_IO;
}

bool slm_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool slm_file_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Appends all of fd to out. */
static slm_status read_all(int fd, const char *name, size_t max_bytes, slm_buffer *out,
                           slm_error *err)
{
    enum { PIECE_BYTES = 64 * 1024 };
    size_t start = out->len;
    struct stat info;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
        if (max_bytes > 0 && (uintmax_t)info.st_size > max_bytes) {
            return slm_error_set(err, SLM_ERR_LIMIT, "%s has %jd bytes, more than the %zu allowed",
                                 name, (intmax_t)info.st_size, max_bytes);
        }
        slm_buffer_reserve(out, (size_t)info.st_size + 1);
    }
    for (;;) {
        if (out->cap - out->len < 2) slm_buffer_reserve(out, PIECE_BYTES);
        ssize_t got = read(fd, out->data + out->len, out->cap - out->len - 1);
        if (got == 0) return SLM_OK;
        if (got < 0) {
            if (errno == EINTR) continue;
            slm_status status =
                slm_error_set(err, SLM_ERR_IO, "cannot read %s: %s", name, strerror(errno));
            slm_buffer_truncate(out, start);
            return status;
        }
        out->len += (size_t)got;
        out->data[out->len] = '\0';
        if (max_bytes > 0 && out->len - start > max_bytes) {
            slm_buffer_truncate(out, start);
            return slm_error_set(err, SLM_ERR_LIMIT, "%s has more than the %zu bytes allowed", name,
                                 max_bytes);
        }
    }
}

slm_status slm_file_read(const char *path, size_t max_bytes, slm_buffer *out, slm_error *err)
{
    slm_buffer_reserve(out, 0);
    if (strcmp(path, "-") == 0) {
        return read_all(STDIN_FILENO, "standard input", max_bytes, out, err);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return slm_error_set(err, open_status(errno), "cannot open %s: %s", path, strerror(errno));
    }
    slm_status status = read_all(fd, path, max_bytes, out, err);
    close(fd);
    return status;
}

slm_status slm_file_write(const char *path, const void *bytes, size_t len, slm_error *err)
{
    slm_file_writer *writer;
    SLM_TRY(slm_file_writer_open(path, &writer, err));
    /* A short write leaves the stream's error flag, which commit reports. */
    if (len > 0) (void)!fwrite(bytes, 1, len, writer->stream);
    return slm_file_writer_commit(writer, err);
}

slm_status slm_file_make_folders(const char *path, slm_error *err)
{
    slm_buffer part = {0};
    slm_status status = SLM_OK;
    if (path[0] == '\0') {
        return slm_error_set(err, SLM_ERR_INVALID, "cannot make a folder with an empty name");
    }
    size_t len = strlen(path);
    for (size_t i = 1; i <= len; i++) {
        if (i < len && path[i] != '/') continue;
        slm_buffer_truncate(&part, 0);
        slm_buffer_append(&part, path, i);
        if (mkdir(part.data, 0777) == 0) continue;
        int code = errno;
        /* A read-only parent answers EROFS or EACCES for a folder that is there. */
        if (slm_file_is_folder(part.data)) continue;
        if (code == EEXIST) {
            status = slm_error_set(err, SLM_ERR_IO,
                                   "cannot make the folder %s: %s is there and is not a folder",
                                   path, part.data);
        } else {
            status = slm_error_set(err, SLM_ERR_IO, "cannot make the folder %s: %s", part.data,
                                   strerror(code));
        }
        break;
    }
    slm_buffer_free(&part);
    return status;
}

void slm_file_join(slm_buffer *out, const char *folder, const char *name)
{
    slm_buffer_truncate(out, 0);
    if (name[0] != '/' && folder[0] != '\0') {
        slm_buffer_append_text(out, folder);
        if (out->data[out->len - 1] != '/') slm_buffer_append_char(out, '/');
    }
    slm_buffer_append_text(out, name);
}

const char *slm_file_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

bool slm_file_has_ending(const char *path, const char *ending)
{
    const size_t len = strlen(path), ending_len = strlen(ending);
    return len >= ending_len && strcmp(path + len - ending_len, ending) == 0;
}

/* The folder of path, "." if it names none. */
static void folder_of(const char *path, slm_buffer *out)
{
    const char *slash = strrchr(path, '/');
    slm_buffer_truncate(out, 0);
    if (slash == NULL) {
        slm_buffer_append_text(out, ".");
    } else {
        slm_buffer_append(out, path, slash == path ? 1 : (size_t)(slash - path));
    }
}

/* Makes writer->temporary; returns its descriptor or -1 with errno. */
static int open_temporary(slm_file_writer *writer)
{
    slm_buffer folder = {0};
    folder_of(slm_buffer_text(&writer->path), &folder);
    int fd = -1;
    for (int attempt = 0; attempt < 100; attempt++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        slm_file_join(&writer->temporary, slm_buffer_text(&folder), "");
        /* Target names may be up to NAME_MAX long: keep only their beginning. */
        slm_buffer_printf(&writer->temporary, ".%.100s.%ld-%lld%09ld.tmp",
                          slm_file_basename(slm_buffer_text(&writer->path)), (long)getpid(),
                          (long long)now.tv_sec, now.tv_nsec + attempt);
        fd = open(writer->temporary.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd >= 0 || errno != EEXIST) break;
    }
    int code = errno;
    if (fd < 0) slm_buffer_truncate(&writer->temporary, 0);
    slm_buffer_free(&folder);
    errno = code;
    return fd;
}

static void writer_free(slm_file_writer *writer)
{
    slm_buffer_free(&writer->path);
    slm_buffer_free(&writer->temporary);
    free(writer);
}

slm_status slm_file_writer_open(const char *path, slm_file_writer **out, slm_error *err)
{
    *out = NULL;
    struct stat info;
    bool there = stat(path, &info) == 0;
    if (there && S_ISDIR(info.st_mode)) {
        return slm_error_set(err, SLM_ERR_IO, "cannot write %s: it is a folder", path);
    }
    slm_file_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL) slm_out_of_memory(sizeof *writer);
    char *resolved = there ? realpath(path, NULL) : NULL;
    slm_buffer_append_text(&writer->path, resolved != NULL ? resolved : path);
    free(resolved);
    int fd;
    if (there && !S_ISREG(info.st_mode)) {
        fd = open(path, O_WRONLY | O_CLOEXEC);
    } else {
        fd = open_temporary(writer);
        /* Best effort: on a file system without permissions this fails and does not matter. */
        if (fd >= 0 && there) (void)!fchmod(fd, info.st_mode & 0777);
    }
    if (fd >= 0) writer->stream = fdopen(fd, "w");
    if (writer->stream == NULL) {
        slm_status status =
            slm_error_set(err, open_status(errno), "cannot write %s: %s%s", path, strerror(errno),
                          errno == ENOENT ? " (make its folder first)" : "");
        if (fd >= 0) close(fd);
        if (writer->temporary.len > 0) unlink(writer->temporary.data);
        writer_free(writer);
        return status;
    }
    *out = writer;
    return SLM_OK;
}

FILE *slm_file_writer_stream(slm_file_writer *writer)
{
    return writer->stream;
}

/* Makes a rename in the folder of path last through a crash. File systems that cannot sync a
 * folder answer EINVAL; there is nothing better to do there. */
static slm_status sync_folder(const char *path, slm_error *err)
{
    slm_buffer folder = {0};
    folder_of(path, &folder);
    slm_status status = SLM_OK;
    int fd = open(folder.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        if (fsync(fd) != 0 && errno != EINVAL) {
            status = slm_error_set(err, SLM_ERR_IO, "cannot sync the folder %s: %s", folder.data,
                                   strerror(errno));
        }
        close(fd);
    }
    slm_buffer_free(&folder);
    return status;
}

slm_status slm_file_replace(const char *from, const char *to, slm_error *err)
{
    if (rename(from, to) != 0) {
        return slm_error_set(err, open_status(errno), "cannot rename %s to %s: %s", from, to,
                             strerror(errno));
    }
    return sync_folder(to, err);
}

slm_status slm_file_writer_commit(slm_file_writer *writer, slm_error *err)
{
    slm_status status = SLM_OK;
    const char *path = slm_buffer_text(&writer->path);
    bool direct = writer->temporary.len == 0;
    errno = 0;
    bool failed = ferror(writer->stream) != 0;
    failed = fflush(writer->stream) != 0 || failed;
    if (!failed && !direct) failed = fsync(fileno(writer->stream)) != 0;
    int code = errno;
    if (fclose(writer->stream) != 0 && !failed) {
        failed = true;
        code = errno;
    }
    if (!failed && !direct && rename(writer->temporary.data, path) != 0) {
        failed = true;
        code = errno;
    }
    if (failed) {
        if (!direct) unlink(writer->temporary.data);
        status = slm_error_set(err, SLM_ERR_IO, "cannot write %s: %s%s", path,
                               code != 0 ? strerror(code) : "an earlier write failed",
                               direct ? "" : " (the file is as it was before)");
    } else if (!direct) {
        status = sync_folder(path, err);
    }
    writer_free(writer);
    return status;
}

void slm_file_writer_abort(slm_file_writer *writer)
{
    if (writer == NULL) return;
    fclose(writer->stream);
    if (writer->temporary.len > 0) unlink(writer->temporary.data);
    writer_free(writer);
}

slm_status slm_file_map_open(const char *path, slm_file_map *out, slm_error *err)
{
    *out = (slm_file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return slm_error_set(err, open_status(errno), "cannot open %s: %s", path, strerror(errno));
    }
    slm_status status = SLM_OK;
    struct stat info;
    if (fstat(fd, &info) != 0) {
        status = slm_error_set(err, SLM_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        status = slm_error_set(err, SLM_ERR_IO, "cannot map %s: it is not a regular file", path);
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            status = slm_error_set(err, SLM_ERR_MEMORY, "cannot map the %jd bytes of %s: %s",
                                   (intmax_t)info.st_size, path, strerror(errno));
        } else {
            out->data = data;
            out->size = (size_t)info.st_size;
        }
    }
    close(fd);
    return status;
}

void slm_file_map_close(slm_file_map *map)
{
    if (map == NULL) return;
    if (map->data != NULL) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (slm_file_map){0};
}

/* Is `path` the file that is open? */
static bool is_at(int fd, const char *path)
{
    struct stat held, there;
    return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_dev == there.st_dev &&
           held.st_ino == there.st_ino;
}

slm_status slm_file_lock_take(const char *path, slm_file_lock **out, slm_error *err)
{
    *out = NULL;
    int fd = -1;
    /* Between open and flock the holder may have removed or renamed the file: a lock on what is no
     * longer at `path` keeps nobody out, so the file that is there now is tried. */
    do {
        if (fd >= 0) close(fd);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0) {
            return slm_error_set(err, open_status(errno), "cannot open the lock %s: %s", path,
                                 strerror(errno));
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            slm_status status;
            if (errno == EWOULDBLOCK) {
                status = slm_error_set(err, SLM_ERR_IO,
                                       "another slm is using %s: wait for it to end, or give "
                                       "another file",
                                       path);
            } else {
                status =
                    slm_error_set(err, SLM_ERR_IO, "cannot lock %s: %s", path, strerror(errno));
            }
            close(fd);
            return status;
        }
    } while (!is_at(fd, path));
    slm_file_lock *lock = malloc(sizeof *lock);
    if (lock == NULL) slm_out_of_memory(sizeof *lock);
    lock->fd = fd;
    lock->path = strdup(path);
    if (lock->path == NULL) slm_out_of_memory(strlen(path));
    *out = lock;
    return SLM_OK;
}

void slm_file_lock_release(slm_file_lock *lock)
{
    if (lock == NULL) return;
    close(lock->fd);
    free(lock->path);
    free(lock);
}

void slm_file_lock_remove(slm_file_lock *lock)
{
    /* While the lock is held, so that nobody else's is taken away. */
    if (lock != NULL && is_at(lock->fd, lock->path)) unlink(lock->path);
    slm_file_lock_release(lock);
}
