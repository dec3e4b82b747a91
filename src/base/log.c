/* log.c: lines on stderr.
 *
 * A line is put together in memory and written in one piece, so that lines of two processes on one
 * terminal do not mix. If a progress line stands unfinished on the terminal it is cleared first and
 * the next update draws it anew below. */
#include "base/log.h"

#include <stdarg.h>
#include <unistd.h>
#include "base/buffer.h"

slm_log slm_log_new(FILE *stream, slm_log_level level, bool no_colour)
{
    bool terminal = stream != NULL && isatty(fileno(stream)) == 1;
    return (slm_log){.stream = stream,
                     .level = level,
                     .colour = terminal && !no_colour,
                     .is_terminal = terminal};
}

void slm_log_print(slm_log *log, slm_log_level level, const char *format, ...)
{
    static const char *const prefixes[] = {"slm: error: ", "slm: warning: ", "", "slm: debug: "};
    static const char *const colours[] = {"\033[31m", "\033[33m", "", "\033[2m"};
    if (log == NULL || log->stream == NULL || level > log->level) return;
    char message[4096];
    slm_buffer line = {0};
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    if (log->line_open) slm_buffer_append_text(&line, "\r\033[K");
    log->line_open = false;
    const char *colour = log->colour ? colours[level] : "";
    slm_buffer_printf(&line, "%s%s%s", colour, prefixes[level], colour[0] != '\0' ? "\033[0m" : "");
    int len = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (len >= (int)sizeof message) {
        slm_buffer_reserve(&line, (size_t)len);
        vsnprintf(line.data + line.len, (size_t)len + 1, format, again);
        line.len += (size_t)len;
    } else if (len > 0) {
        slm_buffer_append(&line, message, (size_t)len);
    }
    va_end(again);
    slm_buffer_append_char(&line, '\n');
    fwrite(line.data, 1, line.len, log->stream);
    fflush(log->stream);
    slm_buffer_free(&line);
}

const char *slm_plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}
