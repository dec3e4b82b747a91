/* file.h: files whole, mapped and atomic.
 *
 * A file that slm makes is written to a temporary name in the same folder, synced, and renamed over
 * the target, then the folder is synced: a reader sees the old file or the new one. */
#ifndef SLM_BASE_FILE_H
#define SLM_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/buffer.h"
#include "base/error.h"

bool slm_file_exists(const char *path);
bool slm_file_is_folder(const char *path);
/* The whole file appended to out; an error if larger than max_bytes (0: no limit). "-" is stdin. */
slm_status slm_file_read(const char *path, size_t max_bytes, slm_buffer *out, slm_error *err);
/* Atomic write of a whole file, mode 0644 less umask. */
slm_status slm_file_write(const char *path, const void *bytes, size_t len, slm_error *err);
/* Rename over `to` and sync the folder, so that the change outlives a crash. */
slm_status slm_file_replace(const char *from, const char *to, slm_error *err);
/* mkdir -p. */
slm_status slm_file_make_folders(const char *path, slm_error *err);
/* "dir" + "/" + "name" into out (cleared first); an absolute name is taken as it is. */
void slm_file_join(slm_buffer *out, const char *folder, const char *name);
/* The part after the last '/'. Borrowed. */
const char *slm_file_basename(const char *path);
bool slm_file_has_ending(const char *path, const char *ending);

/* A file written piece by piece; nothing appears under `path` before commit. */
typedef struct slm_file_writer slm_file_writer;
slm_status slm_file_writer_open(const char *path, slm_file_writer **out, slm_error *err);
FILE *slm_file_writer_stream(slm_file_writer *writer);
/* Flush, sync, rename; frees the writer whether it succeeds or not. */
slm_status slm_file_writer_commit(slm_file_writer *writer, slm_error *err);
/* Remove the temporary file and free. NULL is allowed. */
void slm_file_writer_abort(slm_file_writer *writer);

/* A read-only mapping. data is NULL when size is 0. Not safe if the file is truncated meanwhile. */
typedef struct slm_file_map {
    const uint8_t *data;
    size_t size;
} slm_file_map;
slm_status slm_file_map_open(const char *path, slm_file_map *out, slm_error *err);
void slm_file_map_close(slm_file_map *map);

/* An exclusive lock held through an open file `path` (created if missing). A second holder gets
 * SLM_ERR_IO with a message that says another slm is using it. */
typedef struct slm_file_lock slm_file_lock;
slm_status slm_file_lock_take(const char *path, slm_file_lock **out, slm_error *err);
/* The file stays; or it goes, where it is nothing but the lock. NULL is allowed. */
void slm_file_lock_release(slm_file_lock *lock);
void slm_file_lock_remove(slm_file_lock *lock);

#endif
