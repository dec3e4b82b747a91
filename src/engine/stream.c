/* stream.c: the text of a reply as its tokens come, ended by stop strings.
 *
 * Text that might be the beginning of a stop string is held back from the caller until it is known
 * not to be one. The tokens stay as they were sampled; only the text is cut. */
#include <string.h>

#include "engine_internal.h"

/* Cut the text at the earliest stop string that ends at or after byte `from`. */
static bool cut_at_stop(engine__stream *stream, size_t from, char *const *stop, size_t stop_count)
{
    const char *text = slm_buffer_text(&stream->text);
    size_t best = stream->text.len;
    bool found = false;
    for (size_t i = 0; i < stop_count; i++) {
        size_t len = strlen(stop[i]);
        size_t begin = from + 1 > len ? from + 1 - len : 0;
        const char *at = memmem(text + begin, stream->text.len - begin, stop[i], len);
        if (at && (size_t)(at - text) <= best) {
            best = (size_t)(at - text);
            found = true;
        }
    }
    if (found) slm_buffer_truncate(&stream->text, best);
    return found;
}

bool engine__stream_push(engine__stream *stream, const slm_tokenizer *tokenizer, slm_token id,
                         char *const *stop, size_t stop_count)
{
    size_t before = stream->text.len;
    slm_decoder_push(&stream->decoder, tokenizer, id, &stream->text);
    if (stream->text.len == before) return false;
    return cut_at_stop(stream, before, stop, stop_count);
}

void engine__stream_finish(engine__stream *stream, char *const *stop, size_t stop_count)
{
    size_t before = stream->text.len;
    slm_decoder_finish(&stream->decoder, &stream->text);
    if (stream->text.len > before) cut_at_stop(stream, before, stop, stop_count);
}

size_t engine__stream_ready(const engine__stream *stream, char *const *stop, size_t stop_count,
                            bool ended)
{
    size_t len = stream->text.len;
    const char *text = slm_buffer_text(&stream->text);
    if (ended) return len;
    /* The earliest place in the tail from which the text is a proper prefix of a stop string. */
    size_t begin = len + 1 > stream->longest ? len + 1 - stream->longest : 0;
    if (begin < stream->sent) begin = stream->sent;
    for (size_t at = begin; at < len; at++)
        for (size_t i = 0; i < stop_count; i++)
            if (len - at < strlen(stop[i]) && memcmp(text + at, stop[i], len - at) == 0) return at;
    return len;
}
