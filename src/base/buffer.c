/* buffer.c: a growing byte string.
 *
 * Capacity doubles, so appending n bytes one at a time costs O(n) altogether. One byte is always
 * kept for the NUL behind the content, so the text can be handed to C functions as it stands. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

void slm_buffer_reserve(slm_buffer *buffer, size_t extra_bytes)
{
    if (extra_bytes > SIZE_MAX / 2 || buffer->len > SIZE_MAX / 2 - extra_bytes - 1) {
        slm_out_of_memory(extra_bytes);
    }
    size_t need = buffer->len + extra_bytes + 1;
    if (need <= buffer->cap) return;
    size_t cap = buffer->cap < FIRST_CAPACITY ? FIRST_CAPACITY : buffer->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 4 ? need : cap * 2;
    char *data = realloc(buffer->data, cap);
    if (data == NULL) slm_out_of_memory(cap);
    data[buffer->len] = '\0';
    buffer->data = data;
    buffer->cap = cap;
}

void slm_buffer_append(slm_buffer *buffer, const void *bytes, size_t len)
{
    slm_buffer_reserve(buffer, len);
    if (len > 0) memcpy(buffer->data + buffer->len, bytes, len);
    buffer->len += len;
    buffer->data[buffer->len] = '\0';
}

void slm_buffer_append_text(slm_buffer *buffer, const char *text)
{
    slm_buffer_append(buffer, text, strlen(text));
}

void slm_buffer_append_char(slm_buffer *buffer, char c)
{
    slm_buffer_append(buffer, &c, 1);
}

void slm_buffer_printf(slm_buffer *buffer, const char *format, ...)
{
    slm_buffer_reserve(buffer, 0);
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = buffer->cap - buffer->len;
    int len = vsnprintf(buffer->data + buffer->len, room, format, args);
    va_end(args);
    SLM_ASSERT(len >= 0);
    if ((size_t)len >= room) {
        slm_buffer_reserve(buffer, (size_t)len);
        vsnprintf(buffer->data + buffer->len, (size_t)len + 1, format, again);
    }
    va_end(again);
    buffer->len += (size_t)len;
}

void slm_buffer_truncate(slm_buffer *buffer, size_t len)
{
    SLM_ASSERT(len <= buffer->len);
    buffer->len = len;
    if (buffer->data != NULL) buffer->data[len] = '\0';
}

const char *slm_buffer_text(const slm_buffer *buffer)
{
    return buffer->data != NULL ? buffer->data : "";
}

char *slm_buffer_take(slm_buffer *buffer)
{
    slm_buffer_reserve(buffer, 0);
    char *data = buffer->data;
    *buffer = (slm_buffer){0};
    return data;
}

void slm_buffer_free(slm_buffer *buffer)
{
    if (buffer == NULL) return;
    free(buffer->data);
    *buffer = (slm_buffer){0};
}
