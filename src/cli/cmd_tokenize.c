/* cmd_tokenize.c: `slm tokenize`: text to token ids and back, a line for each line.
 *
 * Only the tokenizer's part of the model file is read. Lines are taken in blocks of some megabytes;
 * the pool's threads encode the lines of a block side by side, and the block is written in order.
 * The end of a line (LF) is not part of its text. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/threads.h"
#include "text/text.h"

enum { BLOCK_BYTES = 4 << 20 };

typedef struct tokenize_options {
    cli_shared shared;
    bool decode, special;
    int64_t threads;
} tokenize_options;

typedef struct text_line {
    const char *text;
    size_t len;
    size_t number; /* from 1 */
} text_line;

/* One thread's part of a block. */
typedef struct block_part {
    slm_buffer out;
    slm_tokens ids;
    slm_error error;
    bool failed;
} block_part;

typedef struct block_job {
    const tokenize_options *options;
    const slm_tokenizer *tokenizer;
    const char *name; /* of the input, for errors */
    text_line *lines;
    size_t line_count, line_cap;
    block_part *parts; /* one a thread */
} block_job;

static void append_id(slm_buffer *out, slm_token id, char separator)
{
    char digits[16];
    size_t at = sizeof digits;
    uint32_t value = (uint32_t)id;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    if (separator != '\0') slm_buffer_append_char(out, separator);
    slm_buffer_append(out, digits + at, sizeof digits - at);
}

static slm_status encode_line(const block_job *job, const text_line *line, block_part *part)
{
    part->ids.len = 0;
    slm_status status = slm_tokenizer_encode(job->tokenizer, line->text, line->len,
                                             job->options->special, &part->ids, &part->error);
    if (status != SLM_OK) return status;
    bool json = job->options->shared.json;
    if (json) slm_buffer_append_char(&part->out, '[');
    for (size_t i = 0; i < part->ids.len; i++) {
        append_id(&part->out, part->ids.ids[i], i == 0 ? '\0' : json ? ',' : ' ');
    }
    slm_buffer_append_text(&part->out, json ? "]\n" : "\n");
    return SLM_OK;
}

/* Ids apart by spaces, commas or brackets, so that a JSON line decodes like a plain one. */
static slm_status decode_line(const block_job *job, const text_line *line, block_part *part)
{
    size_t size = slm_tokenizer_size(job->tokenizer);
    slm_buffer text = {0};
    slm_status status = SLM_OK;
    part->ids.len = 0;
    for (size_t at = 0; at < line->len;) {
        if (strchr(" \t,[]\r", line->text[at]) != NULL && line->text[at] != '\0') {
            at++;
            continue;
        }
        size_t begin = at;
        uint64_t id = 0;
        while (at < line->len && line->text[at] >= '0' && line->text[at] <= '9' && id < size) {
            id = id * 10 + (uint64_t)(line->text[at++] - '0');
        }
        if (at == begin || id >= size ||
            (at < line->len && strchr(" \t,[]\r", line->text[at]) == NULL)) {
            size_t end = begin;
            while (end < line->len && end - begin < 20 && strchr(" ,]", line->text[end]) == NULL)
                end++;
            status = slm_error_set(&part->error, SLM_ERR_FORMAT,
                                   "\"%.*s\" is no token id of this model (0 to %zu)",
                                   (int)(end - begin), line->text + begin, size - 1);
            break;
        }
        slm_tokens_append(&part->ids, (slm_token)id);
    }
    slm_tokenizer_decode_all(job->tokenizer, part->ids.ids, part->ids.len, job->options->special,
                             &text);
    if (status == SLM_OK && job->options->shared.json) {
        slm_json_append_string(&part->out, slm_buffer_text(&text), text.len);
    } else if (status == SLM_OK) {
        slm_buffer_append(&part->out, slm_buffer_text(&text), text.len);
    }
    slm_buffer_append_char(&part->out, '\n');
    slm_buffer_free(&text);
    return status;
}

static void run_lines(void *context, size_t begin, size_t end, int thread)
{
    block_job *job = context;
    block_part *part = &job->parts[thread];
    for (size_t i = begin; i < end && !part->failed; i++) {
        const text_line *line = &job->lines[i];
        slm_status status =
            job->options->decode ? decode_line(job, line, part) : encode_line(job, line, part);
        if (status != SLM_OK) {
            slm_error_prefix(&part->error, status, "%s:%zu", job->name, line->number);
            part->failed = true;
        }
    }
}

static void add_line(block_job *job, const char *text, size_t len, size_t number)
{
    if (job->line_count == job->line_cap) {
        job->line_cap = job->line_cap == 0 ? 4096 : job->line_cap * 2;
        text_line *grown = realloc(job->lines, job->line_cap * sizeof *grown);
        if (grown == NULL) slm_out_of_memory(job->line_cap * sizeof *grown);
        job->lines = grown;
    }
    job->lines[job->line_count++] = (text_line){text, len, number};
}

/* The whole lines of block[0..len) (all of it if `last`) through the pool to stdout. *consumed: the
 * bytes they took. */
static slm_status run_block(block_job *job, slm_threads *threads, const char *block, size_t len,
                            bool last, size_t *number, size_t *consumed, slm_error *err)
{
    size_t at = 0;
    job->line_count = 0;
    while (at < len) {
        const char *end = memchr(block + at, '\n', len - at);
        if (end == NULL && !last) break;
        size_t line_len = end != NULL ? (size_t)(end - (block + at)) : len - at;
        add_line(job, block + at, line_len, ++*number);
        at += line_len + (end != NULL);
    }
    *consumed = at;
    slm_threads_run(threads, job->line_count, 1, run_lines, job);
    for (int t = 0; t < slm_threads_count(threads); t++) {
        block_part *part = &job->parts[t];
        if (part->out.len > 0) fwrite(part->out.data, 1, part->out.len, stdout);
        slm_buffer_truncate(&part->out, 0);
        if (part->failed) {
            if (err != NULL) *err = part->error;
            return part->error.status;
        }
    }
    return SLM_OK;
}

static slm_status run_stream(block_job *job, slm_threads *threads, FILE *in, slm_error *err)
{
    slm_buffer block = {0};
    size_t number = 0;
    slm_status status = SLM_OK;
    bool last = false;
    while (status == SLM_OK && !last) {
        slm_buffer_reserve(&block, BLOCK_BYTES);
        size_t got = fread(block.data + block.len, 1, BLOCK_BYTES, in);
        block.len += got;
        if (ferror(in)) {
            status =
                slm_error_set(err, SLM_ERR_IO, "cannot read %s: %s", job->name, strerror(errno));
            break;
        }
        last = got < BLOCK_BYTES;
        size_t consumed;
        status = run_block(job, threads, slm_buffer_text(&block), block.len, last, &number,
                           &consumed, err);
        if (consumed > 0) memmove(block.data, block.data + consumed, block.len - consumed);
        block.len -= consumed;
    }
    slm_buffer_free(&block);
    return status;
}

static int run_tokenize(void *context, const void *options, const slm_option_list *arguments)
{
    const tokenize_options *tokenize = options;
    const char *path = arguments->count > 1 ? arguments->items[1] : "-";
    bool from_stdin = strcmp(path, "-") == 0;
    slm_tokenizer *tokenizer = NULL;
    slm_threads *threads = NULL;
    FILE *in = NULL;
    slm_error error;
    block_job job = {.options = tokenize, .name = from_stdin ? "stdin" : path};
    slm_status status;
    SLM_TRY_OUT(slm_open_tokenizer(arguments->items[0], &tokenizer, &error));
    SLM_TRY_OUT(slm_threads_new((int)tokenize->threads, &threads, &error));
    job.tokenizer = tokenizer;
    job.parts = slm_arena_array(&((cli_app *)context)->arena, (size_t)slm_threads_count(threads),
                                sizeof *job.parts);
    in = from_stdin ? stdin : fopen(path, "rb");
    if (in == NULL) {
        status = slm_error_set(&error, SLM_ERR_IO, "cannot open %s: %s", path, strerror(errno));
        goto out;
    }
    status = run_stream(&job, threads, in, &error);
out:
    for (int t = 0; job.parts != NULL && t < slm_threads_count(threads); t++) {
        slm_buffer_free(&job.parts[t].out);
        slm_tokens_free(&job.parts[t].ids);
    }
    free(job.lines);
    if (in != NULL && !from_stdin) fclose(in);
    slm_threads_free(threads);
    slm_tokenizer_free(tokenizer);
    return status == SLM_OK ? CLI_DONE : cli__fail(context, &error);
}

static const slm_option tokenize_table[] = {
    {.name = "decode",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(tokenize_options, decode),
     .help = "the other way: lines of ids to lines of text",
     .group = "Tokenize"},
    {.name = "special",
     .type = SLM_OPTION_FLAG,
     .offset = offsetof(tokenize_options, special),
     .help =
         "read <|im_end|> and its like in the text as control tokens; print them when decoding"},
    {.name = "threads",
     .type = SLM_OPTION_INT,
     .offset = offsetof(tokenize_options, threads),
     .min = 0,
     .max = 256,
     .value_name = "N",
     .default_text = "0",
     .help = "threads to work with; 0 takes every core"},
    {.name = NULL},
};

const slm_command cli_command_tokenize = {
    .name = "tokenize",
    .usage = "MODEL [FILE]",
    .summary = "text to token ids, a line for each line",
    .description =
        "Prints the model's token ids for each line of FILE, or of stdin. The end of the line is "
        "not part of its text, and no token is added in front or behind. With --decode it turns "
        "lines of ids into text. With --json a line is a JSON array, or a JSON string.",
    .example =
        "# the ids of a sentence\necho 'Since when does it hurt?' | slm tokenize model.gguf\n"
        "# and back\nslm tokenize model.gguf notes.txt | slm tokenize model.gguf --decode",
    .tables = {tokenize_table, cli_json_options, cli_common_options},
    .options_bytes = sizeof(tokenize_options),
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run_tokenize,
};
