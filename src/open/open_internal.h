/* open_internal.h: what the files of open/ share. */
#ifndef SLM_OPEN_INTERNAL_H
#define SLM_OPEN_INTERNAL_H

#include "open/open.h"

/* local.c: a GGUF file behind chat.h. */
slm_status open__local_chat(const char *path, const slm_open_options *options, slm_chat **out,
                            slm_error *err);

#endif
