/* fetch.h: a URL to a file: resumable (a `.part` file and a range request), checked by sha256,
 * renamed into place only when whole and right. */
#ifndef SLM_BASE_FETCH_H
#define SLM_BASE_FETCH_H

#include "base/hash.h"
#include "base/http.h"
#include "base/log.h"

/* sha256 hex of 64 digits, or NULL to accept any content. If `path` exists and matches (or sha256
 * is NULL), nothing is fetched. A server that ignores the range restarts the file; a short body is
 * an error that leaves the part for next time; a wrong hash removes the part.
 * Without sha256 a part is only continued if the server named its version (ETag, Last-Modified) and
 * says that it has not changed. Missing folders are made. */
slm_status slm_fetch(slm_http *http, const char *url, const char *path, const char *sha256,
                     slm_log *log, slm_error *err);

/* What a caller may know and want besides. All zero is slm_fetch without a hash. */
typedef struct slm_fetch_options {
    const char *sha256;         /* as above */
    const char *git_oid;        /* instead: the file's name in git, 40 hex digits */
    uint64_t bytes;             /* its size where that is known, else 0; another size is an error */
    uint64_t max_bytes;         /* else: stop a body that grows past this; 0: no limit */
    const char *const *headers; /* sent along, as in slm_http_request; NULL-terminated or NULL */
    /* If set, it is told how many bytes are there, and no progress is shown here. */
    void (*on_progress)(void *context, uint64_t bytes);
    void *context;
    long *http_status; /* if set: the status of the last reply, 0 if there was none */
} slm_fetch_options;

slm_status slm_fetch_with(slm_http *http, const char *url, const char *path,
                          const slm_fetch_options *options, slm_log *log, slm_error *err);

#endif
