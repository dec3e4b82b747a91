/* dump_logits.c: every row of logits of a model for given ids, for comparing with another program.
 *
 *   dump_logits MODEL f32|bf16 KERNELS IDS OUT
 *
 * IDS has one sequence a line, ids separated by spaces. OUT gets the rows as float32, one sequence
 * after the other: [sum of lengths, vocabulary]. KERNELS "" takes the best path there is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "open/open.h"

static void fail(const slm_error *err)
{
    fprintf(stderr, "dump_logits: %s\n", err->message);
    exit(1);
}

static size_t read_ids(char *line, slm_tokens *out)
{
    out->len = 0;
    char *end = line;
    for (char *at = line; *at; at = end) {
        long id = strtol(at, &end, 10);
        if (end == at) break;
        slm_tokens_append(out, (slm_token)id);
    }
    return out->len;
}

int main(int argc, char **argv)
{
    slm_error err = {0};
    slm_chat *chat = NULL;
    if (argc != 6) {
        fprintf(stderr, "usage: dump_logits MODEL f32|bf16 KERNELS IDS OUT\n");
        return 2;
    }
    slm_open_options options = {.dtype = argv[2], .kernels = argv[3][0] ? argv[3] : NULL};
    if (slm_open_chat(argv[1], &options, &chat, &err) != SLM_OK) fail(&err);
    slm_engine *engine = slm_open_engine(chat);
    size_t vocabulary = slm_tokenizer_size(slm_open_chat_tokenizer(chat));
    FILE *in = fopen(argv[4], "r"), *out = fopen(argv[5], "wb");
    if (!in || !out) {
        perror("dump_logits");
        return 1;
    }
    char *line = NULL;
    size_t cap = 0;
    slm_tokens ids = {0};
    while (getline(&line, &cap, in) > 0) {
        size_t n = read_ids(line, &ids);
        if (n == 0) continue;
        float *logits = calloc(n * vocabulary, sizeof *logits);
        float *scores = calloc(n, sizeof *scores);
        if (!logits || !scores) return 1;
        if (slm_engine_score(engine, ids.ids, n, scores, logits, &err) != SLM_OK) fail(&err);
        fwrite(logits, sizeof *logits, n * vocabulary, out);
        free(logits);
        free(scores);
    }
    free(line);
    slm_tokens_free(&ids);
    fclose(in);
    int status = fclose(out) != 0;
    slm_chat_free(chat);
    return status;
}
