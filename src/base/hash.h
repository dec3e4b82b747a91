/* hash.h: SHA-256 (FIPS 180-4, OpenSSL libcrypto) for content addresses; FNV-1a for tables. */
#ifndef SLM_BASE_HASH_H
#define SLM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

enum { SLM_SHA256_BYTES = 32, SLM_SHA256_HEX_BYTES = 65 }; /* hex with its NUL */

typedef struct slm_sha256 slm_sha256; /* incremental */

slm_sha256 *slm_sha256_new(void);
void slm_sha256_update(slm_sha256 *hash, const void *bytes, size_t len);
/* As update, with the length in front (8 bytes, little endian), so that parts cannot run together:
 * ("ab","c") and ("a","bc") hash differently. NULL text counts as a distinct empty part. */
void slm_sha256_update_part(slm_sha256 *hash, const char *text);
/* Lower-case hex; frees the handle. */
void slm_sha256_finish(slm_sha256 *hash, char hex[SLM_SHA256_HEX_BYTES]);

void slm_sha256_hex(const void *bytes, size_t len, char hex[SLM_SHA256_HEX_BYTES]);
slm_status slm_sha256_file(const char *path, char hex[SLM_SHA256_HEX_BYTES], slm_error *err);

/* A file's name in git: the SHA-1 of "blob <bytes>", a NUL and its content, in lower-case hex. A hub
 * tells it for files that it keeps in git itself. It finds damage, not malice. */
enum { SLM_GIT_BLOB_HEX_BYTES = 41 };
slm_status slm_git_blob_file(const char *path, char hex[SLM_GIT_BLOB_HEX_BYTES], slm_error *err);

/* FNV-1a, 64 bit. Not for content addresses. */
uint64_t slm_hash_bytes(const void *bytes, size_t len);

#endif
