/* buffer.h: a growing byte string, always followed by a NUL that len does not count.
 *
 * A zero-initialised slm_buffer is empty and usable (data may be NULL then; slm_buffer_text gives
 * ""). Growth is geometric; memory exhaustion ends in slm_out_of_memory. */
#ifndef SLM_BASE_BUFFER_H
#define SLM_BASE_BUFFER_H

#include <stddef.h>
#include "base/error.h"

typedef struct slm_buffer {
    char *data;
    size_t len;
    size_t cap;
} slm_buffer;

void slm_buffer_reserve(slm_buffer *buffer, size_t extra_bytes);
void slm_buffer_append(slm_buffer *buffer, const void *bytes, size_t len);
void slm_buffer_append_text(slm_buffer *buffer, const char *text);
void slm_buffer_append_char(slm_buffer *buffer, char c);
void slm_buffer_printf(slm_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Keep the first len bytes (len <= buffer->len). */
void slm_buffer_truncate(slm_buffer *buffer, size_t len);
/* NUL-terminated content, never NULL, valid until the next change. */
const char *slm_buffer_text(const slm_buffer *buffer);
/* Hand the malloc'd NUL-terminated content to the caller (free with free()); the buffer is empty
 * afterwards. Never NULL. */
char *slm_buffer_take(slm_buffer *buffer);
void slm_buffer_free(slm_buffer *buffer);

#endif
