/* hash.c: SHA-256 and git's blob names through OpenSSL's EVP interface; FNV-1a 64 (Fowler, Noll, Vo; offset basis
 * 14695981039346656037, prime 1099511628211).
 *
 * SHA-256 names contents: model files, cases, settings, cached calls. Failing to allocate or to
 * find the algorithm is treated as out of memory: libcrypto's default provider always has it. */
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct slm_sha256 {
    EVP_MD_CTX *context;
};

slm_sha256 *slm_sha256_new(void)
{
    slm_sha256 *hash = malloc(sizeof *hash);
    if (hash == NULL) slm_out_of_memory(sizeof *hash);
    hash->context = EVP_MD_CTX_new();
    if (hash->context == NULL || EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1) {
        slm_out_of_memory(sizeof *hash);
    }
    return hash;
}

void slm_sha256_update(slm_sha256 *hash, const void *bytes, size_t len)
{
    if (len == 0) return;
    int done = EVP_DigestUpdate(hash->context, bytes, len);
    SLM_ASSERT(done == 1);
}

void slm_sha256_update_part(slm_sha256 *hash, const char *text)
{
    /* No text has the length 2^64-1, so it can stand for "no text". */
    uint64_t len = text != NULL ? strlen(text) : UINT64_MAX;
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (unsigned char)(len >> (8 * i));
    slm_sha256_update(hash, prefix, sizeof prefix);
    if (text != NULL) slm_sha256_update(hash, text, (size_t)len);
}

/* Writes `count` digest bytes as 2 * count hex digits and a NUL, and frees the context. */
static void finish_hex(EVP_MD_CTX *context, unsigned int count, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    int done = EVP_DigestFinal_ex(context, digest, &len);
    SLM_ASSERT(done == 1 && len == count);
    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[2 * (size_t)len] = '\0';
    EVP_MD_CTX_free(context);
}

void slm_sha256_finish(slm_sha256 *hash, char hex[SLM_SHA256_HEX_BYTES])
{
    finish_hex(hash->context, SLM_SHA256_BYTES, hex);
    free(hash);
}

void slm_sha256_hex(const void *bytes, size_t len, char hex[SLM_SHA256_HEX_BYTES])
{
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update(hash, bytes, len);
    slm_sha256_finish(hash, hex);
}

/* Feeds a whole file to the digest. `total`: how many bytes it must have, or -1. */
static slm_status update_from(EVP_MD_CTX *context, int fd, const char *path, off_t total,
                              slm_error *err)
{
    enum { PIECE_BYTES = 1 << 20 };
    off_t all = 0;
    slm_status status = SLM_OK;
    unsigned char *piece = malloc(PIECE_BYTES);
    if (piece == NULL) slm_out_of_memory(PIECE_BYTES);
    for (;;) {
        ssize_t got = read(fd, piece, PIECE_BYTES);
        if (got == 0) break;
        if (got < 0) {
            if (errno == EINTR) continue;
            status = slm_error_set(err, SLM_ERR_IO, "cannot read %s: %s", path, strerror(errno));
            break;
        }
        int done = EVP_DigestUpdate(context, piece, (size_t)got);
        SLM_ASSERT(done == 1);
        all += got;
    }
    free(piece);
    if (status == SLM_OK && total >= 0 && all != total) {
        status = slm_error_set(err, SLM_ERR_IO, "%s changed while it was read", path);
    }
    return status;
}

static slm_status open_to_hash(const char *path, int *fd, slm_error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd >= 0) return SLM_OK;
    return slm_error_set(err, errno == ENOENT ? SLM_ERR_NOT_FOUND : SLM_ERR_IO,
                         "cannot open %s: %s", path, strerror(errno));
}

slm_status slm_sha256_file(const char *path, char hex[SLM_SHA256_HEX_BYTES], slm_error *err)
{
    char discarded[SLM_SHA256_HEX_BYTES];
    int fd;
    SLM_TRY(open_to_hash(path, &fd, err));
    slm_sha256 *hash = slm_sha256_new();
    slm_status status = update_from(hash->context, fd, path, -1, err);
    slm_sha256_finish(hash, status == SLM_OK ? hex : discarded);
    close(fd);
    return status;
}

slm_status slm_git_blob_file(const char *path, char hex[SLM_GIT_BLOB_HEX_BYTES], slm_error *err)
{
    enum { SHA1_BYTES = 20 };
    char discarded[SLM_GIT_BLOB_HEX_BYTES];
    int fd;
    struct stat info;
    SLM_TRY(open_to_hash(path, &fd, err));
    if (fstat(fd, &info) != 0) {
        slm_status status =
            slm_error_set(err, SLM_ERR_IO, "cannot read %s: %s", path, strerror(errno));
        close(fd);
        return status;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || EVP_DigestInit_ex(context, EVP_sha1(), NULL) != 1) {
        slm_out_of_memory(SHA1_BYTES);
    }
    char head[32];
    int len = snprintf(head, sizeof head, "blob %jd", (intmax_t)info.st_size);
    int done = EVP_DigestUpdate(context, head, (size_t)len + 1); /* with its NUL */
    SLM_ASSERT(done == 1);
    slm_status status = update_from(context, fd, path, info.st_size, err);
    finish_hex(context, SHA1_BYTES, status == SLM_OK ? hex : discarded);
    close(fd);
    return status;
}

uint64_t slm_hash_bytes(const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < len; i++) {
        hash ^= at[i];
        hash *= UINT64_C(1099511628211);
    }
    return hash;
}
