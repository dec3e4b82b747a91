/* fuzz.h: what the fuzzers share: input bytes as a file that needs no disk. Each fuzzer is a program
 * of its own (libFuzzer calls LLVMFuzzerTestOneInput); the sanitizers and the properties that it
 * states with SLM_ASSERT find what is wrong. */
#ifndef SLM_TESTS_FUZZ_H
#define SLM_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file in memory with these bytes; its path is valid until fuzz_file_close. */
typedef struct fuzz_file {
    int descriptor;
    char path[64];
} fuzz_file;

static inline fuzz_file fuzz_file_open(const uint8_t *data, size_t size)
{
    fuzz_file file = {.descriptor = memfd_create("fuzz", MFD_CLOEXEC)};
    SLM_ASSERT(file.descriptor >= 0);
    SLM_ASSERT(size == 0 || write(file.descriptor, data, size) == (ssize_t)size);
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.descriptor);
    return file;
}

static inline void fuzz_file_close(fuzz_file *file)
{
    close(file->descriptor);
}

#endif
