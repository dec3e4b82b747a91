/* fuzz_options.c: any words as a command line. It is accepted with values within their bounds, or
 * refused with a message. */
#include "fuzz.h"

#include <string.h>
#include "base/options.h"

typedef struct values {
    bool flag, on;
    int64_t count;
    double rate;
    const char *text, *file, *choice;
    uint64_t bytes;
    slm_option_list texts, files;
} values;

#define AT(field) offsetof(values, field)
static const slm_option table[] = {
    {.name = "flag", .letter = 'f', .type = SLM_OPTION_FLAG, .offset = AT(flag), .help = "h"},
    {.name = "on", .type = SLM_OPTION_FLAG, .offset = AT(on), .default_text = "true", .help = "h"},
    {.name = "count",
     .letter = 'k',
     .type = SLM_OPTION_INT,
     .offset = AT(count),
     .min = 1,
     .max = 64,
     .default_text = "4",
     .help = "h"},
    {.name = "rate",
     .type = SLM_OPTION_NUMBER,
     .offset = AT(rate),
     .min = -2,
     .max = 2,
     .help = "h"},
    {.name = "text", .type = SLM_OPTION_STRING, .offset = AT(text), .help = "h"},
    {.name = "file", .letter = 'o', .type = SLM_OPTION_FILE, .offset = AT(file), .help = "h"},
    {.name = "choice",
     .type = SLM_OPTION_CHOICE,
     .offset = AT(choice),
     .choices = "one|two",
     .help = "h"},
    {.name = "bytes", .type = SLM_OPTION_BYTES, .offset = AT(bytes), .help = "h"},
    {.name = "texts", .type = SLM_OPTION_STRINGS, .offset = AT(texts), .help = "h"},
    {.name = "files", .type = SLM_OPTION_FILES, .offset = AT(files), .help = "h"},
    {.name = NULL},
};
static const slm_command command = {
    .name = "fuzz",
    .usage = "[FILE]",
    .summary = "s",
    .description = "d",
    .tables = {table},
    .options_bytes = sizeof(values),
    .max_arguments = 3,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { WORDS = 32 };
    char *words[WORDS + 1] = {0};
    int count = 0;
    char *copy = malloc(size + 1);
    SLM_ASSERT(copy != NULL);
    if (size > 0) memcpy(copy, data, size);
    copy[size] = '\0';
    for (size_t at = 0; at < size && count < WORDS; at += strlen(copy + at) + 1)
        words[count++] = copy + at;
    slm_arena arena = {0};
    values got;
    slm_option_list arguments = {0};
    bool help = false;
    slm_error error = {0};
    slm_options_defaults(&command, &got, &arena);
    slm_status status =
        slm_options_parse(&command, count, words, &got, &arguments, &help, &arena, &error);
    if (status == SLM_OK && !help) {
        SLM_ASSERT(got.count >= 1 && got.count <= 64 && got.rate >= -2 && got.rate <= 2);
        SLM_ASSERT(arguments.count <= 3);
        SLM_ASSERT(got.choice == NULL || strcmp(got.choice, "one") == 0 ||
                   strcmp(got.choice, "two") == 0);
    } else if (status != SLM_OK) {
        SLM_ASSERT(status == SLM_ERR_INVALID && error.message[0] != '\0');
    }
    slm_arena_free(&arena);
    free(copy);
    return 0;
}
