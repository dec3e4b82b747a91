/* text.h: text <-> token ids, and conversations -> prompts.
 *
 * A tokenizer is immutable after loading and may be used by several threads. Byte-level BPE
 * (Radford et al. 2019, section 2.2): the text is cut by the pre-tokenizer's regular expressions
 * (PCRE2, JIT), bytes are mapped to printable characters, and pairs are merged by rank. BPE over
 * characters with byte tokens for the rest, as Llama 2's tokenizer.json has it; SentencePiece's
 * scores (Kudo and Richardson 2018), as a GGUF file has them; and WordPiece (Wu et al. 2016), whose
 * texts stand between slm_tokenizer_bos, [CLS], and slm_tokenizer_eos, [SEP]. */
#ifndef SLM_TEXT_H
#define SLM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "tensor/tensor.h"

typedef int32_t slm_token;

/* A growing list of ids; zero-initialised is empty. */
typedef struct slm_tokens {
    slm_token *ids;
    size_t len, cap;
} slm_tokens;
void slm_tokens_append(slm_tokens *tokens, slm_token id);
void slm_tokens_free(slm_tokens *tokens);

/* ---- tokenizer ----------------------------------------------------------------------------- */

typedef struct slm_tokenizer slm_tokenizer;

/* From a GGUF file's `tokenizer.ggml.*` metadata. The file may be closed afterwards. A tokenizer
 * model or pre-tokenizer that is not known is refused by name. */
slm_status slm_tokenizer_from_gguf(const slm_tensors *file, slm_tokenizer **out, slm_error *err);
/* From a tokenizer.json of Hugging Face, with the tokenizer_config.json and chat_template.jinja that
 * may lie beside it. A part that is not known is refused with its place in the file
 * ("tokenizer.json: pre_tokenizer.pretokenizers[1].type: ..."). */
slm_status slm_tokenizer_from_json(const char *path, slm_tokenizer **out, slm_error *err);
/* WordPiece (BERT) from a vocab.txt, a token a line, for a folder without tokenizer.json. Case, accents
 * and ideographs are treated as the tokenizer_config.json beside it says, else as in uncased BERT. */
slm_status slm_tokenizer_from_vocab(const char *path, slm_tokenizer **out, slm_error *err);
void slm_tokenizer_free(slm_tokenizer *tokenizer);

/* Append the ids of text; on an error *out is as it was. No BOS or EOS is added.
 *  - Control tokens written in the text are text unless parse_special; the vocabulary's user-defined
 *    tokens are always found (leftmost, then longest).
 *  - Bytes that are no UTF-8 are encoded as the bytes they are: each run of them is a piece of its
 *    own, and the text on its two sides is cut as two texts. A byte that the vocabulary has no token
 *    for gives nothing (SmolLM2's lacks 21, none of them in valid text but rare control characters
 *    and planes without characters), as in the peers.
 *  - Valid text is normalised as the file asks (NFC for Qwen), and a space put in front of it where
 *    the file asks for that: at the beginning and behind added tokens (Llama 2).
 * Time is n log n in the longest word; SLM_ERR_MEMORY or SLM_ERR_LIMIT where one word is too long,
 * SLM_ERR_LIMIT where an expression of the file takes too many steps. */
slm_status slm_tokenizer_encode(const slm_tokenizer *tokenizer, const char *text, size_t len,
                                bool parse_special, slm_tokens *out, slm_error *err);
/* Append the bytes that an id stands for. Special tokens give nothing unless keep_special. May end
 * within a character: see slm_decoder. An id outside the vocabulary gives nothing. */
void slm_tokenizer_decode(const slm_tokenizer *tokenizer, slm_token id, bool keep_special,
                          slm_buffer *out);
/* The text of a whole sequence: as above, and without the space that encoding put in front. */
void slm_tokenizer_decode_all(const slm_tokenizer *tokenizer, const slm_token *ids, size_t count,
                              bool keep_special, slm_buffer *out);
size_t slm_tokenizer_size(const slm_tokenizer *tokenizer); /* ids are 0..size-1 */
/* The id whose text in the vocabulary is `text` (special tokens too); -1 if none. */
slm_token slm_tokenizer_find(const slm_tokenizer *tokenizer, const char *text);
bool slm_tokenizer_is_special(const slm_tokenizer *tokenizer, slm_token id);
slm_token slm_tokenizer_bos(const slm_tokenizer *tokenizer); /* -1: none */
slm_token slm_tokenizer_eos(const slm_tokenizer *tokenizer); /* -1: none */
bool slm_tokenizer_adds_bos(const slm_tokenizer *tokenizer);
/* The file's own chat template (Jinja), for slm_template_detect; NULL: none. Borrowed. */
const char *slm_tokenizer_chat_template(const slm_tokenizer *tokenizer);
/* "BPE, pre-tokenizer smollm, 49152 tokens": for slm info. Borrowed. */
const char *slm_tokenizer_description(const slm_tokenizer *tokenizer);

/* Streaming decoder: holds back bytes until a character is whole. Zero-initialised is ready. */
typedef struct slm_decoder {
    char held[4];
    size_t held_len;
    bool
        started; /* the first token was decoded: its space in front was dropped where there is one */
} slm_decoder;
/* Append whole characters to out. Invalid bytes become U+FFFD. */
void slm_decoder_push(slm_decoder *decoder, const slm_tokenizer *tokenizer, slm_token id,
                      slm_buffer *out);
/* At the end: what is still held becomes one U+FFFD. */
void slm_decoder_finish(slm_decoder *decoder, slm_buffer *out);

/* ---- from one kind of file into the other (convert.c, convert_gguf.c) ------------------------ */

/* What a Hugging Face folder holds besides the weights, made from a GGUF file's metadata. */
typedef struct slm_tokenizer_files {
    slm_buffer tokenizer;    /* tokenizer.json */
    slm_buffer config;       /* tokenizer_config.json */
    slm_buffer special_map;  /* special_tokens_map.json */
    slm_token bos, eos, pad; /* -1: none */
} slm_tokenizer_files;
/* `context`: positions of the model. *out is empty when it fails. */
slm_status slm_tokenizer_convert_from_gguf(const slm_tensors *file, int context,
                                           slm_tokenizer_files *out, slm_error *err);
void slm_tokenizer_files_free(slm_tokenizer_files *files);
/* Add the tokenizer.ggml.* entries that mean what the folder's tokenizer.json does, for a model of
 * `vocabulary` rows. SLM_ERR_UNSUPPORTED where GGUF has no name for what it does. */
slm_status slm_tokenizer_convert_to_gguf(const char *folder, size_t vocabulary, slm_gguf_meta *out,
                                         slm_error *err);

/* ---- chat templates ------------------------------------------------------------------------ */

typedef struct slm_text_message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* UTF-8 */
} slm_text_message;

typedef struct slm_template slm_template; /* a named C function and its rules; static */

/* By name ("smollm2", "chatml", "qwen2", "qwen2.5", "qwen3", "llama2", "llama3", "llama3.1"); NULL if
 * there is none. */
const slm_template *slm_template_find(const char *name);
/* From the model's own Jinja text: recognised by what it says, whatever its spelling. An error where
 * none fits, which names --template and the names there are. */
slm_status slm_template_detect(const char *jinja, const slm_template **out, slm_error *err);
const char *slm_template_name(const slm_template *tmpl);
/* "smollm2, chatml, ...": every name, for help and errors. */
const char *slm_template_names(void);
/* Whether its model can think before it answers. */
bool slm_template_thinks(const slm_template *tmpl);

#define SLM_TEMPLATE_DATE "26 Jul 2024" /* what Meta's template says where nobody gives a date */
typedef struct slm_template_options {
    bool add_generation_prompt; /* end with the assistant's opening */
    bool thinking;    /* qwen3: leave the model to think; false opens with an empty thought */
    const char *date; /* llama3.1: today, as "26 Jul 2024"; NULL: SLM_TEMPLATE_DATE */
} slm_template_options;
/* With the generation prompt, without thinking, without a date. */
slm_template_options slm_template_options_default(void);

/* The prompt's ids. Roles and markers become control tokens, contents are encoded as text only
 * (parse_special false). Roles must be known and the list not empty; llama2 wants user and assistant
 * in turns. An error says which message is wrong. What the model thought in earlier turns
 * (<think>...</think> in an assistant's content) is dropped by qwen3 as its own template does.
 * `options` NULL: the default. `text` (may be NULL) gets the rendered text, for goldens and
 * --verbose. */
slm_status slm_template_render(const slm_template *tmpl, const slm_tokenizer *tokenizer,
                               const slm_text_message *messages, size_t count,
                               const slm_template_options *options, slm_tokens *out,
                               slm_buffer *text, slm_error *err);
/* Ids that end the assistant's turn under this template (<|im_end|>, EOS), into out[cap]; returns
 * how many there are. */
size_t slm_template_stop_tokens(const slm_template *tmpl, const slm_tokenizer *tokenizer,
                                slm_token *out, size_t cap);

#endif
