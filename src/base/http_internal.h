/* http_internal.h: what http.c and fetch.c share. */
#ifndef SLM_BASE_HTTP_INTERNAL_H
#define SLM_BASE_HTTP_INTERNAL_H

#include "base/buffer.h"

/* Append the URL as it may be shown: without user and password, query and fragment. */
void slm_http__append_url(slm_buffer *out, const char *url);

#endif
