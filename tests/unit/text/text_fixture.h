/* text_fixture.h: tokenizers for the tests of text/, made from GGUF files in memory. */
#ifndef SLM_TESTS_TEXT_FIXTURE_H
#define SLM_TESTS_TEXT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
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

/* What the ids stand for, special tokens too. */
static inline void decode_all(const slm_tokenizer *tokenizer, const slm_tokens *ids,
                              slm_buffer *out)
{
    for (size_t i = 0; i < ids->len; i++)
        slm_tokenizer_decode(tokenizer, ids->ids[i], true, out);
}

#endif
