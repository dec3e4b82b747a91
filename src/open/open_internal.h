/* open_internal.h: what the files of open/ share. */
#ifndef SLM_OPEN_INTERNAL_H
#define SLM_OPEN_INTERNAL_H

#include "base/hash.h"
#include "open/open.h"

/* local.c: a GGUF file behind chat.h. */
slm_status open__local_chat(const char *path, const slm_open_options *options, slm_chat **out,
                            slm_error *err);

/* A folder with an encoder (model.h). */
slm_status open__local_embed(const char *model, const slm_open_options *options, slm_embed **out,
                             slm_error *err);

/* local.c: the file's or folder's name without what stands before it, its extension, and slashes
 * behind; malloc'd. */
char *open__name_of(const char *path);
/* Hash a file of the model's folder, or its absence. */
slm_status open__hash_member(slm_sha256 *hash, const char *folder, const char *name,
                             slm_error *err);
slm_status open__device(const slm_open_options *options, slm_device **out, slm_error *err);

#endif
