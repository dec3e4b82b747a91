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

#endif
