/* text_fixture.h: tokenizers for the tests of text/, made from GGUF and JSON files in memory. */
#ifndef SLM_TESTS_TEXT_FIXTURE_H
#define SLM_TESTS_TEXT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/json.h"
#include "base/utf8.h"
#include "gguf_writer.h"
#include "tensor/tensor_internal.h"
#include "text/text_internal.h"

/* The tokenizer that the writer's metadata describes; the file is gone afterwards. */
static inline slm_status load_tokenizer(const gguf_writer *w, slm_tokenizer **out, slm_error *err)
{
    slm_buffer bytes = {0};
    slm_tensors *file = NULL;
    *out = NULL;
    gguf_finish(w, &bytes);
    slm_status status = slm_tensors__open_memory(bytes.data, bytes.len, "test.gguf", &file, err);
    if (status == SLM_OK) status = slm_tokenizer_from_gguf(file, out, err);
    slm_tensors_close(file);
    memset(bytes.data, 0xa5, bytes.len); /* whoever still looks there is found out */
    slm_buffer_free(&bytes);
    return status;
}

/* gguf_add_byte_tokenizer's vocabulary; the test fails if it does not load. */
static inline slm_tokenizer *byte_tokenizer(const char *pre, const char *const *merges,
                                            size_t count)
{
    gguf_writer w = {0};
    slm_tokenizer *tokenizer;
    slm_error err = {0};
    gguf_add_byte_tokenizer(&w, pre, merges, count);
    if (load_tokenizer(&w, &tokenizer, &err) != SLM_OK) fail_msg("%s", err.message);
    gguf_writer_free(&w);
    return tokenizer;
}

/* A tokenizer.json, and the tokenizer_config.json beside it (NULL: none). The texts are gone
 * afterwards. */
static inline slm_status load_json(const char *json, const char *config, slm_tokenizer **out,
                                   slm_error *err)
{
    size_t len = strlen(json);
    char *text = malloc(len + 1); /* without a NUL: reading past the end is found out */
    assert_non_null(text);
    memcpy(text, json, len);
    text = realloc(text, len ? len : 1);
    *out = NULL;
    slm_status status = slm_text__from_json("tokenizer.json", text, len, "tokenizer_config.json",
                                            config, config ? strlen(config) : 0, out, err);
    memset(text, 0xa5, len);
    free(text);
    return status;
}

/* The members of a byte-level vocabulary: byte b has the id b. */
static inline void append_byte_vocabulary(slm_buffer *out)
{
    for (int b = 0; b < 256; b++) {
        char text[64];
        gguf_byte_text((uint8_t)b, text);
        slm_buffer_append_text(out, b ? "," : "");
        slm_json_append_string(out, text, strlen(text));
        slm_buffer_printf(out, ":%d", b);
    }
}

/* A byte-level tokenizer with special tokens from id 256 on, BOS the first of them and EOS the
 * second; and after them the tokens in `plain` (may be NULL), which are not special. */
static inline slm_tokenizer *special_tokenizer(const char *const *special, size_t count,
                                               const char *const *plain, size_t plain_count)
{
    slm_buffer json = {0}, config = {0};
    slm_tokenizer *tokenizer;
    slm_error err = {0};
    slm_buffer_append_text(&json, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"
                                  "false},\"added_tokens\":[");
    for (size_t i = 0; i < count + plain_count; i++)
        slm_buffer_printf(&json,
                          "%s{\"id\":%zu,\"content\":\"%s\",\"special\":%s,\"normalized\":false}",
                          i ? "," : "", 256 + i, i < count ? special[i] : plain[i - count],
                          i < count ? "true" : "false");
    slm_buffer_append_text(&json, "],\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
    append_byte_vocabulary(&json);
    slm_buffer_append_text(&json, "}}}");
    slm_buffer_printf(&config, "{\"bos_token\":\"%s\",\"eos_token\":{\"content\":\"%s\"}}",
                      special[0], special[1]);
    if (load_json(slm_buffer_text(&json), slm_buffer_text(&config), &tokenizer, &err) != SLM_OK)
        fail_msg("%s", err.message);
    slm_buffer_free(&json);
    slm_buffer_free(&config);
    return tokenizer;
}

/* What the ids stand for, special tokens too. */
static inline void decode_all(const slm_tokenizer *tokenizer, const slm_tokens *ids,
                              slm_buffer *out)
{
    for (size_t i = 0; i < ids->len; i++)
        slm_tokenizer_decode(tokenizer, ids->ids[i], true, out);
}

#endif
