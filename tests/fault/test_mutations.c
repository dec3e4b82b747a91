/* test_mutations.c: ten thousand damaged model files: each is an error or a model, never a signal, and
 * takes no more than its size and 64 MiB.
 *
 *     test_mutations [--count N] [FILE...]     N of each FILE instead of the small files made here
 *
 * A mutation is a handful of changes, drawn from its number: bits, bytes that matter to JSON, integers
 * that matter to sizes, pieces copied elsewhere, the end cut off. They fall evenly over the powers of
 * two of the file, because what rules the rest stands at its beginning. Small files stand right
 * before a page that may not be read; of large ones only the ends of each tensor are read. Children
 * do the work, some hundred mutations each, under a limit of address space (not in a build with the
 * address sanitizer, which needs terabytes of it); the number under way stands in shared memory, so
 * that a signal can be told with the mutation that raised it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "base/random.h"
#include "gguf_writer.h"
#include "model/model.h"
#include "safetensors_writer.h"
#include "tensor/tensor_internal.h"
#include "text/text.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMIT_MEMORY 0
#else
#define LIMIT_MEMORY 1
#endif

enum {
    MEMORY_BYTES = 64 << 20,
    SMALL_BYTES = 1 << 20, /* up to here files are copied and read whole */
    BATCH = 500,
    CHANGES_MAX = 8,
    CHANGE_MAX_BYTES = 64,
    LARGE_TOKENIZERS = 50, /* of large files, one tokenizer in so many is made */
};

typedef struct source {
    const char *name;
    const uint8_t *data;
    size_t len;
    const char *folder; /* data is the index of this folder's shards */
    long count;         /* mutations to try */
} source;

/* What the children tell. */
typedef struct tally {
    long at, opened, refused;
} tally;

static source sources[16];
static size_t source_count;
static long count_given;

/* ---- the files ----------------------------------------------------------------------------- */

static void add_source(const char *name, slm_buffer *bytes, long count)
{
    sources[source_count++] =
        (source){.name = name, .len = bytes->len, .data = (uint8_t *)bytes->data, .count = count};
}

static void make_gguf(slm_buffer *out)
{
    static const char *const merges[] = {"t h", "th e", "i n"};
    static const slm_dtype dtypes[] = {SLM_F32,  SLM_F16,  SLM_BF16, SLM_Q8_0, SLM_Q4_0, SLM_Q4_1,
                                       SLM_Q5_0, SLM_Q5_1, SLM_Q4_K, SLM_Q5_K, SLM_Q6_K};
    float values[512];
    gguf_writer w = {0};
    for (int i = 0; i < 512; i++)
        values[i] = sinf((float)i);
    gguf_add_string(&w, "general.architecture", "llama");
    gguf_add_u32(&w, "llama.block_count", 2);
    gguf_add_u32(&w, "llama.embedding_length", 256);
    gguf_add_u32(&w, "llama.attention.head_count", 4);
    gguf_add_f32(&w, "llama.rope.freq_base", 10000.0f);
    gguf_add_byte_tokenizer(&w, "smollm", merges, 3);
    for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++)
        gguf_add_tensor(&w, slm_dtype_name(dtypes[i]), dtypes[i], (uint64_t[]){2, 256}, 2, values);
    gguf_finish(&w, out);
    gguf_writer_free(&w);
}

static void make_safetensors(slm_buffer *out, bool nf4)
{
    float values[600];
    st_writer w = {0};
    for (int i = 0; i < 600; i++)
        values[i] = cosf((float)i) * 0.1f;
    st_add_metadata(&w, "format", "pt");
    st_add(&w, "model.norm.weight", "F32", (uint64_t[]){20}, 1, values, 80);
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof(name), "model.layers.%d.mlp.down_proj.weight", i);
        if (nf4)
            st_add_nf4(&w, name, 10, 60, values, &(st_nf4){.block = 32, .nested = i > 0});
        else
            st_add(&w, name, i ? "F16" : "BF16", (uint64_t[]){10, 60}, 2, values, 1200);
    }
    st_add(&w, "step", "I64", NULL, 0, "01234567", 8);
    st_finish(&w, out);
    st_writer_free(&w);
}

static char folder[] = "/tmp/slm-mutations-XXXXXX";
static char folder_paths[3][64];

static void make_folder(slm_buffer *index)
{
    assert_non_null(mkdtemp(folder));
    slm_buffer_append_text(index, "{\"metadata\": {\"total_size\": 96}, \"weight_map\": {");
    for (int s = 0; s < 2; s++) {
        st_writer w = {0};
        snprintf(folder_paths[s], sizeof(folder_paths[s]), "%s/model-%d.safetensors", folder, s);
        for (int i = 0; i < 2; i++) {
            char name[32];
            snprintf(name, sizeof(name), "t.%d.%d", s, i);
            st_add(&w, name, "F32", (uint64_t[]){6}, 1, "0123456789abcdef01234567", 24);
            slm_buffer_printf(index, "%s\n\"%s\": \"model-%d.safetensors\"", s + i ? "," : "", name,
                              s);
        }
        assert_true(st_write(&w, folder_paths[s]));
        st_writer_free(&w);
    }
    slm_buffer_append_text(index, "}}\n");
    snprintf(folder_paths[2], sizeof(folder_paths[2]), "%s/model.safetensors.index.json", folder);
}

static int make_sources(void **state)
{
    (void)state;
    static slm_buffer gguf, plain, nf4, index;
    if (source_count > 0) return 0;
    make_gguf(&gguf);
    make_safetensors(&plain, false);
    make_safetensors(&nf4, true);
    make_folder(&index);
    add_source("made.gguf", &gguf, 3500);
    add_source("made.safetensors", &plain, 2500);
    add_source("nf4.safetensors", &nf4, 3000);
    add_source("model.safetensors.index.json", &index, 1000);
    sources[3].folder = folder;
    return 0;
}

static int remove_sources(void **state)
{
    (void)state;
    for (int i = 0; i < 3 && folder_paths[i][0]; i++)
        unlink(folder_paths[i]);
    if (folder_paths[0][0]) rmdir(folder);
    for (size_t i = 0; folder_paths[0][0] && i < source_count; i++)
        free((void *)(uintptr_t)sources[i].data);
    return 0;
}

/* ---- mutations ----------------------------------------------------------------------------- */

/* The bytes under test: a copy of the source, whose end stands before a guard page. */
typedef struct specimen {
    const source *from;
    uint8_t *region;
    size_t region_bytes;
    uint8_t *data;
    size_t len;
    struct {
        size_t at, len;
    } changes[CHANGES_MAX];
    int change_count;
} specimen;

static void specimen_open(specimen *s, const source *from)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (from->len + page - 1) / page * page;
    *s = (specimen){.from = from, .region_bytes = body + page};
    s->region =
        mmap(NULL, s->region_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SLM_ASSERT(s->region != MAP_FAILED);
    SLM_ASSERT(mprotect(s->region + body, page, PROT_NONE) == 0);
    s->data = s->region + body - from->len;
    memcpy(s->data, from->data, from->len);
}

static size_t draw_place(slm_random *random, size_t len)
{
    if (slm_random_below(random, 4) == 0) return slm_random_below(random, len);
    size_t at = (size_t)exp2(slm_random_uniform(random) * log2((double)len));
    return at < len ? at : len - 1;
}

static uint64_t draw_integer(slm_random *random, size_t len)
{
    const uint64_t values[] = {0,
                               1,
                               2,
                               7,
                               8,
                               31,
                               32,
                               255,
                               256,
                               len,
                               len - 1,
                               len + 1,
                               len / 2,
                               INT32_MAX,
                               UINT32_MAX,
                               UINT64_C(1) << 32,
                               INT64_MAX,
                               UINT64_C(1) << 63,
                               UINT64_MAX,
                               UINT64_MAX - 31,
                               UINT64_C(1) << 61};
    return values[slm_random_below(random, sizeof(values) / sizeof(values[0]))];
}

static void change(specimen *s, slm_random *random)
{
    static const char json[] = "\"{}[]:,\\0123456789-.eE tfnu";
    size_t at = draw_place(random, s->len), left = s->len - at, len = 1;
    uint8_t bytes[CHANGE_MAX_BYTES];
    uint64_t integer = draw_integer(random, s->len);
    switch (slm_random_below(random, 6)) {
    case 0:
        bytes[0] = (uint8_t)(s->data[at] ^ 1u << slm_random_below(random, 8));
        break;
    case 1:
        bytes[0] = (uint8_t)slm_random_below(random, 256);
        break;
    case 2:
        bytes[0] = (uint8_t)json[slm_random_below(random, sizeof(json) - 1)];
        break;
    case 3:
        memcpy(bytes, &integer, 8);
        len = slm_random_below(random, 2) ? 8 : 4;
        break;
    case 4: {
        size_t other = draw_place(random, s->len);
        len = 1 + slm_random_below(random, CHANGE_MAX_BYTES);
        if (len > s->len - other) len = s->len - other;
        memcpy(bytes, s->data + other, len);
        break;
    }
    default:
        bytes[0] = (uint8_t)(s->data[at] + (slm_random_below(random, 2) ? 1 : -1));
    }
    if (len > left) len = left;
    memcpy(s->data + at, bytes, len);
    s->changes[s->change_count].at = at;
    s->changes[s->change_count++].len = len;
}

/* The specimen's bytes are those of mutation `number`. One of eight is cut. */
static void mutate(specimen *s, long number, slm_random *random)
{
    *random = slm_random_new((uint64_t)number, 77);
    for (int i = 0; i < s->change_count; i++)
        memcpy(s->data + s->changes[i].at, s->from->data + s->changes[i].at, s->changes[i].len);
    s->change_count = 0;
    s->len = s->from->len;
    int changes = 1;
    while (changes < CHANGES_MAX && slm_random_below(random, 2) == 0)
        changes++;
    for (int i = 0; i < changes; i++)
        change(s, random);
    if (slm_random_below(random, 8) == 0) s->len = draw_place(random, s->from->len);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void read_metadata(const slm_tensors *file)
{
    volatile uint64_t sink = 0;
    for (size_t i = 0; i < slm_meta_count(file); i++) {
        const slm_meta *meta = slm_meta_at(file, i);
        SLM_ASSERT(slm_meta_find(file, meta->key) == meta);
        if (meta->kind == SLM_META_STRING) sink += strlen(meta->string);
        for (size_t item = 0; meta->kind == SLM_META_ARRAY && item < meta->count; item++) {
            size_t len = 0;
            if (meta->item_kind == SLM_META_INTEGER) {
                sink += (uint64_t)slm_meta_array_integer(meta, item);
            } else if (meta->item_kind == SLM_META_REAL) {
                sink += slm_meta_array_real(meta, item) > 0;
            } else {
                const char *text = slm_meta_array_string(meta, item, &len);
                if (len > 0) sink += (uint64_t)text[0] + (uint64_t)text[len - 1];
            }
        }
    }
}

static void read_tensors(const slm_tensors *file, bool small)
{
    volatile float sink = 0;
    static float values[4096];
    for (size_t i = 0; i < slm_tensors_count(file); i++) {
        const slm_tensor *tensor = slm_tensors_at(file, i);
        size_t items = slm_tensor_items(tensor), step = sizeof(values) / sizeof(values[0]);
        SLM_ASSERT(slm_tensors_find(file, tensor->name) == tensor);
        if (!slm_dtype_is_weight(tensor->dtype) || items == 0) continue;
        if (!small) { /* its two ends */
            step = slm_dtype_block_items(tensor->dtype);
            if (step > items) step = items;
            slm_tensor_read(tensor, items - step, step, values);
            items = step;
        }
        for (size_t at = 0; at < items; at += step) {
            slm_tensor_read(tensor, at, step < items - at ? step : items - at, values);
            sink += values[0];
        }
    }
}

/* A caller who believes the file: its configuration and its tokenizer. */
static void use(const slm_tensors *file, bool tokenizer_too)
{
    slm_model_config config;
    slm_tokenizer *tokenizer = NULL;
    slm_error err;
    if (slm_tensors_folder(file) == NULL)
        (void)slm_model_config_read((slm_tensors *)(uintptr_t)file, &config, &err);
    if (!tokenizer_too || slm_tokenizer_from_gguf(file, &tokenizer, &err) != SLM_OK) return;
    slm_tokens ids = {0};
    (void)slm_tokenizer_encode(tokenizer, "the inn", 7, true, &ids, &err);
    slm_tokens_free(&ids);
    slm_tokenizer_free(tokenizer);
}

static slm_status open_specimen(const specimen *s, slm_tensors **file, slm_error *err)
{
    if (s->from->folder == NULL)
        return slm_tensors__open_memory(s->data, s->len, s->from->name, file, err);
    FILE *f = fopen(folder_paths[2], "wb");
    SLM_ASSERT(f != NULL && fwrite(s->data, 1, s->len, f) == s->len && fclose(f) == 0);
    return slm_tensors_open(s->from->folder, file, err);
}

static void try_one(specimen *s, long number, tally *told)
{
    slm_random random;
    slm_tensors *file = NULL;
    slm_error err = {0};
    bool small = s->from->len <= SMALL_BYTES;
    told->at = number;
    mutate(s, number, &random);
    if (open_specimen(s, &file, &err) != SLM_OK) {
        SLM_ASSERT(file == NULL && err.message[0] != '\0');
        told->refused++;
        return;
    }
    told->opened++;
    read_metadata(file);
    read_tensors(file, small);
    use(file, small || number % LARGE_TOKENIZERS == 0);
    slm_tensors_close(file);
}

/* ---- children ------------------------------------------------------------------------------ */

static void limit_memory(void)
{
#if LIMIT_MEMORY
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    SLM_ASSERT(f != NULL && fscanf(f, "%ld", &pages) == 1);
    fclose(f);
    rlim_t bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + MEMORY_BYTES;
    const struct rlimit limit = {bytes, bytes};
    SLM_ASSERT(setrlimit(RLIMIT_AS, &limit) == 0);
#endif
    const struct rlimit no_core = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &no_core);
}

static void run_batch(const source *from, long begin, long end, tally *told)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        specimen s;
        for (int n = 1; n < 32; n++)
            signal(n, SIG_DFL); /* the test framework's are inherited */
        specimen_open(&s, from);
        limit_memory();
        for (long number = begin; number < end; number++)
            try_one(&s, number, told);
        munmap(s.region, s.region_bytes);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        fail_msg("%s: mutation %ld ends in signal %d (%s)", from->name, told->at, WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: mutation %ld ends with status %d", from->name, told->at, WEXITSTATUS(status));
}

static void test_mutations(void **state)
{
    (void)state;
    tally *told =
        mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(told != MAP_FAILED);
    for (size_t i = 0; i < source_count; i++) {
        long count = count_given > 0 ? count_given : sources[i].count;
        *told = (tally){0};
        for (long at = 0; at < count; at += BATCH)
            run_batch(&sources[i], at, at + BATCH < count ? at + BATCH : count, told);
        printf("# %s: %ld mutations, %ld opened, %ld refused\n", sources[i].name, count,
               told->opened, told->refused);
        assert_int_equal(told->opened + told->refused, count);
        /* Changes that never matter, or that always do, would test nothing. */
        if (count >= 100) assert_true(told->opened > count / 100 && told->refused > count / 100);
    }
    munmap(told, sizeof(*told));
}

/* That the net holds: a child that takes too much, or reads past the end, is seen. */
static void test_net(void **state)
{
    (void)state;
    for (int past = 0; past < 2; past++) {
        if (!past && !LIMIT_MEMORY) continue;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            specimen s;
            for (int n = 1; n < 32; n++)
                signal(n, SIG_DFL);
            specimen_open(&s, &sources[0]);
            limit_memory();
            if (!past) _exit(malloc(MEMORY_BYTES + 1) == NULL ? 3 : 0);
            volatile uint8_t last = s.data[s.from->len - 1];
            volatile const uint8_t *guard = s.data + s.from->len;
            (void)last;
            _exit(*guard ? 1 : 0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (past)
            assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) > 1); /* the sanitizer exits */
        else
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        slm_file_map map;
        slm_error err;
        if (strcmp(argv[i], "--count") == 0 && i + 1 < argc) {
            count_given = strtol(argv[++i], NULL, 10);
            continue;
        }
        if (slm_file_map_open(argv[i], &map, &err) != SLM_OK || map.size == 0 ||
            source_count == sizeof(sources) / sizeof(sources[0])) {
            fprintf(stderr, "test_mutations: cannot use %s\n", argv[i]);
            return 2;
        }
        sources[source_count++] =
            (source){.name = argv[i], .data = map.data, .len = map.size, .count = 10000};
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_net),
                                       cmocka_unit_test(test_mutations)};
    return cmocka_run_group_tests_name("fault/mutations", tests, make_sources, remove_sources);
}
