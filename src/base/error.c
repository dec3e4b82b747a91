/* error.c: filling an slm_error, and the two ways a program ends that are not the caller's choice.
 *
 * A message is formatted into a local array first, so that an argument may point into the error
 * that is being replaced (wrapping a message in a longer one is the common case). A message that
 * does not fit is cut at a character boundary: it may be printed, stored as JSON or sent to a
 * browser, and all of these want valid UTF-8. */
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the longest prefix of text[0..len) that does not end inside a character. */
static size_t whole_characters(const char *text, size_t len)
{
    size_t start = len;
    while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0) return len;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t want = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    return len - (start - 1) < want ? start - 1 : len;
}

/* Copies text (NUL-terminated, maybe cut by vsnprintf) into err->message. */
static void store(slm_error *err, const char *text, int needed)
{
    size_t len = strlen(text);
    if (needed < 0 || (size_t)needed > len) len = whole_characters(text, len);
    memcpy(err->message, text, len);
    err->message[len] = '\0';
}

slm_status slm_error_set(slm_error *err, slm_status status, const char *format, ...)
{
    if (err == NULL) return status;
    char text[SLM_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    int needed = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    store(err, text, needed);
    err->status = status;
    return status;
}

slm_status slm_error_prefix(slm_error *err, slm_status status, const char *format, ...)
{
    if (err == NULL) return status;
    char front[SLM_ERROR_MESSAGE_BYTES];
    char text[SLM_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    int needed = vsnprintf(front, sizeof front, format, args);
    va_end(args);
    if (needed < 0 || (size_t)needed >= sizeof front) {
        front[whole_characters(front, strlen(front))] = '\0';
    }
    needed = snprintf(text, sizeof text, "%s: %s", front, err->message);
    store(err, text, needed);
    return err->status;
}

const char *slm_status_name(slm_status status)
{
    switch (status) {
    case SLM_OK:
        return "ok";
    case SLM_ERR_INVALID:
        return "invalid";
    case SLM_ERR_IO:
        return "io";
    case SLM_ERR_FORMAT:
        return "format";
    case SLM_ERR_NOT_FOUND:
        return "not_found";
    case SLM_ERR_UNSUPPORTED:
        return "unsupported";
    case SLM_ERR_MEMORY:
        return "memory";
    case SLM_ERR_NETWORK:
        return "network";
    case SLM_ERR_LIMIT:
        return "limit";
    case SLM_ERR_CANCELLED:
        return "cancelled";
    }
    return "unknown";
}

_Noreturn void slm_assert_failed(const char *condition, const char *file, int line,
                                 const char *function)
{
    fprintf(stderr, "slm: bug: %s:%d: %s: this should hold: %s\n", file, line, function, condition);
    fflush(stderr);
    abort();
}

_Noreturn void slm_out_of_memory(size_t bytes)
{
    fprintf(stderr, "slm: error: out of memory (%zu more bytes wanted)\n", bytes);
    fflush(stderr);
    abort();
}
