/* error.h: the two kinds of error.
 *
 * The caller's or the world's (a file, a request, an API): a function returns an slm_status and
 * fills a caller-owned slm_error with what went wrong, where, and what to do about it. On success
 * the error is left untouched. `err` may be NULL everywhere; then only the status is returned.
 *
 * A bug in this program: SLM_ASSERT, which is always on. A file's content is never checked with it.
 *
 * Running out of memory for small bookkeeping (arena, buffer) ends the program through
 * slm_out_of_memory: results are written atomically, so a later run goes on where this one was.
 * Large allocations (weights, caches, mapped files) return SLM_ERR_MEMORY instead. */
#ifndef SLM_BASE_ERROR_H
#define SLM_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

typedef enum slm_status {
    SLM_OK = 0,
    SLM_ERR_INVALID,     /* the caller asked for something that makes no sense: exit status 2 */
    SLM_ERR_IO,          /* the operating system refused: open, read, write, rename */
    SLM_ERR_FORMAT,      /* a file or reply is not what it should be */
    SLM_ERR_NOT_FOUND,   /* a file, tensor, row or key that must be there is not */
    SLM_ERR_UNSUPPORTED, /* well formed, but this build or machine cannot do it */
    SLM_ERR_MEMORY,      /* a large allocation failed or does not fit its limit */
    SLM_ERR_NETWORK,     /* a host did not answer or answered wrongly */
    SLM_ERR_LIMIT,       /* a budget or bound that the user set was reached */
    SLM_ERR_CANCELLED,   /* stopped on request (SIGINT, slm_chat_cancel) */
} slm_status;

enum { SLM_ERROR_MESSAGE_BYTES = 1024 };

typedef struct slm_error {
    slm_status status;
    char message[SLM_ERROR_MESSAGE_BYTES]; /* UTF-8, one sentence or two, no newline at the end */
} slm_error;

/* Set *err (if not NULL) to a formatted message; returns `status` so that a caller can write
 * `return slm_error_set(err, SLM_ERR_IO, ...)`. Cuts long messages at a character boundary. */
slm_status slm_error_set(slm_error *err, slm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put a formatted text and ": " in front of the message already in *err; returns err's status.
 * Call it only with an err that was set (or NULL, which returns `status`). */
slm_status slm_error_prefix(slm_error *err, slm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "invalid", "io", ...: a stable lower-case name for logs and JSON. */
const char *slm_status_name(slm_status status);

/* Prints file, line and condition to stderr and aborts. */
_Noreturn void slm_assert_failed(const char *condition, const char *file, int line,
                                 const char *function);
_Noreturn void slm_out_of_memory(size_t bytes);

#define SLM_ASSERT(cond) ((cond) ? (void)0 : slm_assert_failed(#cond, __FILE__, __LINE__, __func__))

/* Return from the calling function when `call` fails; for functions with nothing to clean up. */
#define SLM_TRY(call)                                                                              \
    do {                                                                                           \
        slm_status slm_try_status_ = (call);                                                       \
        if (slm_try_status_ != SLM_OK) return slm_try_status_;                                     \
    } while (0)

/* The same for functions with `status` and an `out:` label. */
#define SLM_TRY_OUT(call)                                                                          \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status != SLM_OK) goto out;                                                            \
    } while (0)

#endif
