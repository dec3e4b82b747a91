/* dump_vectors.c: an encoder's vectors of the lines of a file, for comparing with another program.
 *
 *   dump_vectors FOLDER KERNELS THREADS LINES OUT [REPEAT]
 *
 * OUT gets float32 [lines, dimensions], in the order of the lines. KERNELS "" takes the best path there
 * is. With REPEAT the lines are run that often more, and each run's seconds are printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "open/open.h"

int main(int argc, char **argv)
{
    slm_error err = {0};
    slm_embed *embed = NULL;
    if (argc != 6 && argc != 7) {
        fprintf(stderr, "usage: dump_vectors FOLDER KERNELS THREADS LINES OUT [REPEAT]\n");
        return 2;
    }
    const slm_open_options options = {.kernels = argv[2][0] ? argv[2] : NULL,
                                      .threads = (int)strtol(argv[3], NULL, 10)};
    if (slm_open_embed(argv[1], &options, &embed, &err) != SLM_OK) {
        fprintf(stderr, "dump_vectors: %s\n", err.message);
        return 1;
    }
    FILE *in = fopen(argv[4], "r"), *out = fopen(argv[5], "wb");
    char **lines = NULL, *line = NULL;
    size_t count = 0, room = 0, cap = 0;
    if (in == NULL || out == NULL) {
        perror("dump_vectors");
        return 1;
    }
    for (ssize_t len; (len = getline(&line, &cap, in)) > 0;) {
        if (line[len - 1] == '\n') line[len - 1] = '\0';
        if (count == room) lines = realloc(lines, (room = 2 * room + 1024) * sizeof *lines);
        if (lines == NULL || (lines[count++] = strdup(line)) == NULL) return 1;
    }
    float *vectors = malloc(count * embed->dimensions * sizeof *vectors + 1);
    if (vectors == NULL) return 1;
    const long repeat = argc == 7 ? strtol(argv[6], NULL, 10) : 0;
    int status = 0;
    for (long i = 0; i <= repeat && status == 0; i++) {
        const double start_s = slm_progress_clock_s();
        status = slm_embed_run(embed, (const char *const *)lines, count, vectors, &err) != SLM_OK;
        if (i > 0) printf("%.6f\n", slm_progress_clock_s() - start_s);
    }
    if (status) fprintf(stderr, "dump_vectors: %s\n", err.message);
    fwrite(vectors, sizeof *vectors, count * embed->dimensions, out);
    for (size_t i = 0; i < count; i++)
        free(lines[i]);
    free(lines), free(line), free(vectors);
    fclose(in);
    status |= fclose(out) != 0;
    slm_embed_free(embed);
    return status;
}
