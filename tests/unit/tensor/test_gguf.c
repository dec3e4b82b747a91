/* test_gguf.c: a small file read back whole, and hostile files: each is refused with an error that
 * names the file, the field and the place, and none is read past its end. Files stand in malloc'd
 * memory of their exact size, so that the address sanitizer sees a read past the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/hash.h"
#include "gguf_writer.h"
#include "tensor/tensor_internal.h"

/* One of everything. */
static void fill(gguf_writer *w)
{
    static const char *const words[] = {"one", "", "three"};
    static const int32_t numbers[] = {-1, 0, INT32_MAX};
    static const float reals[] = {0.5f, -2.0f};
    float values[64];
    for (int i = 0; i < 64; i++)
        values[i] = (float)(i - 32) / 4.0f;
    gguf_add_string(w, "general.architecture", "llama");
    gguf_add_u32(w, "llama.block_count", 2);
    gguf_add_u64(w, "large", INT64_MAX);
    gguf_add_f32(w, "llama.rope.freq_base", 10000.0f);
    gguf_add_bool(w, "flag", true);
    gguf_add_strings(w, "words", words, 3);
    gguf_add_i32s(w, "numbers", numbers, 3);
    gguf_add_f32s(w, "reals", reals, 2);
    gguf_add_i32s(w, "nothing", NULL, 0);
    gguf_add_tensor(w, "norm", SLM_F32, (uint64_t[]){3}, 1, values);
    gguf_add_tensor(w, "matrix", SLM_Q8_0, (uint64_t[]){2, 32}, 2, values);
    gguf_add_tensor(w, "cube", SLM_F16, (uint64_t[]){2, 3, 4, 1}, 4, values);
}

static slm_status open_bytes(const void *bytes, size_t len, slm_tensors **out, slm_error *err)
{
    return slm_tensors__open_memory(bytes, len, "test.gguf", out, err);
}

/* The file must be refused with `status`, and the message must hold every part. */
static void refuse(const gguf_writer *w, slm_status status, const char *part, const char *part2)
{
    slm_buffer bytes = {0};
    slm_tensors *file = NULL;
    slm_error err = {0};
    gguf_finish(w, &bytes);
    void *exact = malloc(bytes.len);
    memcpy(exact, bytes.data, bytes.len);
    slm_status got = open_bytes(exact, bytes.len, &file, &err);
    if (got != status || strstr(err.message, part) == NULL || strstr(err.message, part2) == NULL ||
        strstr(err.message, "test.gguf") == NULL)
        fail_msg("status %s, message \"%s\", expected %s with \"%s\" and \"%s\"",
                 slm_status_name(got), err.message, slm_status_name(status), part, part2);
    assert_null(file);
    free(exact);
    slm_buffer_free(&bytes);
}

static void check_metadata(const slm_tensors *file)
{
    const char *text = NULL;
    int64_t integer = 0;
    double real = 0;
    size_t len;
    slm_error err;
    assert_int_equal(slm_meta_count(file), 9);
    assert_string_equal(slm_meta_at(file, 0)->key, "general.architecture");
    assert_int_equal(slm_meta_string(file, "general.architecture", true, &text, &err), SLM_OK);
    assert_string_equal(text, "llama");
    assert_int_equal(slm_meta_integer(file, "llama.block_count", true, &integer, &err), SLM_OK);
    assert_int_equal(integer, 2);
    assert_int_equal(slm_meta_integer(file, "large", true, &integer, &err), SLM_OK);
    assert_true(integer == INT64_MAX);
    assert_int_equal(slm_meta_real(file, "llama.rope.freq_base", true, &real, &err), SLM_OK);
    assert_true(real == 10000.0);
    assert_int_equal(slm_meta_integer(file, "flag", true, &integer, &err), SLM_OK);
    assert_int_equal(integer, 1);

    const slm_meta *words = slm_meta_find(file, "words");
    assert_non_null(words);
    assert_int_equal(words->kind, SLM_META_ARRAY);
    assert_int_equal(words->item_kind, SLM_META_STRING);
    assert_int_equal(words->count, 3);
    assert_memory_equal(slm_meta_array_string(words, 2, &len), "three", 5);
    assert_int_equal(len, 5);
    slm_meta_array_string(words, 1, &len);
    assert_int_equal(len, 0);
    const slm_meta *numbers = slm_meta_find(file, "numbers");
    assert_int_equal(slm_meta_array_integer(numbers, 0), -1);
    assert_int_equal(slm_meta_array_integer(numbers, 2), INT32_MAX);
    assert_true(slm_meta_array_real(slm_meta_find(file, "reals"), 1) == -2.0);
    assert_int_equal(slm_meta_find(file, "nothing")->count, 0);
    assert_null(slm_meta_find(file, "none"));
}

static void check_tensors(const slm_tensors *file)
{
    float values[64];
    assert_int_equal(slm_tensors_count(file), 3);
    assert_string_equal(slm_tensors_at(file, 0)->name, "norm");
    const slm_tensor *matrix = slm_tensors_find(file, "matrix");
    assert_non_null(matrix);
    assert_int_equal(matrix->dtype, SLM_Q8_0);
    assert_int_equal(matrix->dims, 2);
    assert_int_equal(matrix->shape[0], 2);
    assert_int_equal(matrix->shape[1], 32);
    assert_int_equal(matrix->bytes, 68);
    slm_dequantise(matrix->dtype, matrix->data, 64, values);
    for (int i = 0; i < 64; i++)
        assert_float_equal(values[i], (float)(i - 32) / 4.0f, 8.0f / 127 / 2 + 0.01f);
    const slm_tensor *cube = slm_tensors_find(file, "cube");
    assert_int_equal(cube->dims, 4);
    assert_int_equal(cube->shape[0], 2);
    assert_int_equal(cube->shape[2], 4);
    assert_int_equal(cube->shape[3], 1);
    slm_dequantise(cube->dtype, cube->data, 24, values);
    assert_float_equal(values[23], -2.25f, 0);
    assert_null(slm_tensors_find(file, "none"));
}

static void test_read(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        gguf_writer w = {.version = version};
        slm_buffer bytes = {0};
        slm_tensors *file;
        fill(&w);
        gguf_finish(&w, &bytes);
        assert_int_equal(open_bytes(bytes.data, bytes.len, &file, NULL), SLM_OK);
        assert_string_equal(slm_tensors_format(file), version == 2 ? "GGUF v2" : "GGUF v3");
        assert_int_equal(slm_tensors_file_bytes(file), bytes.len);
        check_metadata(file);
        check_tensors(file);
        slm_tensors_close(file);
        slm_buffer_free(&bytes);
        gguf_writer_free(&w);
    }
    slm_tensors_close(NULL);
}

static void test_read_file(void **state)
{
    (void)state;
    char path[] = "/tmp/slm-gguf-XXXXXX", hex[SLM_SHA256_HEX_BYTES];
    const char *sha = NULL, *again = NULL;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    gguf_writer w = {0};
    slm_tensors *file = NULL;
    slm_error err = {0};
    fill(&w);
    assert_true(gguf_write(&w, path));
    assert_int_equal(slm_tensors_open(path, &file, &err), SLM_OK);
    assert_string_equal(slm_tensors_path(file), path);
    assert_null(slm_tensors_folder(file));
    check_metadata(file);
    check_tensors(file);
    assert_int_equal(slm_sha256_file(path, hex, &err), SLM_OK);
    assert_int_equal(slm_tensors_sha256(file, &sha, &err), SLM_OK);
    assert_string_equal(sha, hex);
    assert_int_equal(slm_tensors_sha256(file, &again, &err), SLM_OK);
    assert_ptr_equal(sha, again);
    slm_tensors_close(file);

    assert_int_equal(truncate(path, 0), 0);
    file = NULL;
    assert_int_equal(slm_tensors_open(path, &file, &err), SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "empty"));
    assert_non_null(strstr(err.message, path));
    unlink(path);
    assert_int_not_equal(slm_tensors_open(path, &file, &err), SLM_OK);
    assert_non_null(strstr(err.message, path));
    assert_null(file);
    gguf_writer_free(&w);
}

static void test_typed_errors(void **state)
{
    (void)state;
    gguf_writer w = {0};
    slm_buffer bytes = {0};
    slm_tensors *file;
    slm_error err = {0};
    int64_t integer = 7;
    double real = 7;
    const char *text = "kept";
    fill(&w);
    gguf__entry(&w, "with nul", 8);
    gguf__bytes(&w.entries, "a\0b", 3);
    gguf_finish(&w, &bytes);
    assert_int_equal(open_bytes(bytes.data, bytes.len, &file, &err), SLM_OK);
    assert_int_equal(slm_meta_integer(file, "none", false, &integer, &err), SLM_OK);
    assert_int_equal(slm_meta_real(file, "none", false, &real, &err), SLM_OK);
    assert_int_equal(slm_meta_string(file, "none", false, &text, &err), SLM_OK);
    assert_int_equal(integer, 7);
    assert_true(real == 7);
    assert_string_equal(text, "kept");
    assert_int_equal(slm_meta_integer(file, "none", true, &integer, &err), SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "test.gguf: metadata key 'none' is missing"));
    assert_int_equal(slm_meta_integer(file, "words", true, &integer, &err), SLM_ERR_FORMAT);
    assert_string_equal(err.message,
                        "test.gguf: metadata key 'words' must be an integer but is an array");
    assert_int_equal(slm_meta_real(file, "flag", false, &real, &err), SLM_ERR_FORMAT);
    assert_int_equal(slm_meta_string(file, "flag", false, &text, &err), SLM_ERR_FORMAT);
    assert_int_equal(slm_meta_string(file, "with nul", true, &text, &err), SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "NUL"));
    assert_int_equal(slm_meta_find(file, "with nul")->string_len, 3);
    assert_string_equal(text, "kept");
    slm_tensors_close(file);
    slm_buffer_free(&bytes);
    gguf_writer_free(&w);
}

/* Cut at every byte: an error each time, until only padding is missing. */
static void test_truncated(void **state)
{
    (void)state;
    gguf_writer w = {0};
    slm_buffer bytes = {0};
    slm_error err = {0};
    fill(&w);
    gguf_finish(&w, &bytes);
    size_t whole = bytes.len - 16; /* the last tensor's 48 bytes are padded to 64 */
    for (size_t len = 0; len < bytes.len; len++) {
        slm_tensors *file = NULL;
        uint8_t *exact = malloc(len ? len : 1);
        memcpy(exact, bytes.data, len);
        err.message[0] = '\0';
        slm_status status = open_bytes(exact, len, &file, &err);
        if (len >= whole) {
            assert_int_equal(status, SLM_OK);
        } else {
            assert_int_equal(status, SLM_ERR_FORMAT);
            assert_non_null(strstr(err.message, "test.gguf: "));
            assert_null(file);
        }
        slm_tensors_close(file);
        free(exact);
    }
    slm_buffer_free(&bytes);
    gguf_writer_free(&w);
}

/* Every byte of the head and tables replaced by every value that tends to matter: an error or a
 * file that can be read to its end; never a read outside it. */
static void test_damaged(void **state)
{
    (void)state;
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    gguf_writer w = {0};
    slm_buffer bytes = {0};
    fill(&w);
    gguf_finish(&w, &bytes);
    uint8_t *copy = malloc(bytes.len);
    for (size_t at = 0; at < bytes.len - w.data.len; at++) {
        for (size_t v = 0; v < sizeof(values); v++) {
            slm_tensors *file = NULL;
            memcpy(copy, bytes.data, bytes.len);
            copy[at] = values[v];
            if (open_bytes(copy, bytes.len, &file, NULL) != SLM_OK) continue;
            for (size_t i = 0; i < slm_tensors_count(file); i++) {
                const slm_tensor *t = slm_tensors_at(file, i);
                const uint8_t *from = t->data;
                assert_true(from >= copy && from + t->bytes <= copy + bytes.len);
            }
            slm_tensors_close(file);
        }
    }
    free(copy);
    slm_buffer_free(&bytes);
    gguf_writer_free(&w);
}

static void test_head(void **state)
{
    (void)state;
    slm_tensors *file = NULL;
    slm_error err = {0};
    assert_int_equal(open_bytes("GGML\3\0\0\0", 8, &file, &err), SLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "not a GGUF file"));
    gguf_writer w = {.version = 1};
    refuse(&w, SLM_ERR_UNSUPPORTED, "version at byte 4", "version 1");
    w.version = 4;
    refuse(&w, SLM_ERR_UNSUPPORTED, "version at byte 4", "version 4");
    w.version = 3u << 24;
    refuse(&w, SLM_ERR_UNSUPPORTED, "version at byte 4", "big-endian");
    w = (gguf_writer){.tensor_count = UINT64_C(1) << 63};
    refuse(&w, SLM_ERR_FORMAT, "tensor count", "9223372036854775808");
    w = (gguf_writer){.entry_count = UINT64_MAX};
    refuse(&w, SLM_ERR_FORMAT, "metadata count", "18446744073709551615");
    w = (gguf_writer){.tensor_count = 1};
    refuse(&w, SLM_ERR_FORMAT, "tensor count", "says 1");
}

static void test_hostile_metadata(void **state)
{
    (void)state;
    gguf_writer w = {0};
    gguf_add_u32(&w, "twice", 1);
    gguf_add_u32(&w, "other", 1);
    gguf_add_f32(&w, "twice", 1);
    refuse(&w, SLM_ERR_FORMAT, "'twice'", "stands twice");
    gguf_writer_free(&w);

    gguf__u64(&w.entries, UINT64_MAX - 7); /* a key's length that wraps around */
    w.entry_count = 1;
    slm_buffer_append(&w.entries, "0123456789abcdef", 16);
    refuse(&w, SLM_ERR_FORMAT, "metadata key 0 at byte 24", "18446744073709551608");
    gguf_writer_free(&w);

    gguf__entry(&w, "text", 8);
    gguf__u64(&w.entries, 1000);
    refuse(&w, SLM_ERR_FORMAT, "metadata 'text'", "1000");
    gguf_writer_free(&w);

    gguf__entry(&w, "", 4);
    gguf__u32(&w.entries, 0);
    refuse(&w, SLM_ERR_FORMAT, "metadata key 0", "is empty");
    gguf_writer_free(&w);

    gguf__bytes(&w.entries, "a\0b", 3);
    gguf__u32(&w.entries, 4);
    gguf__u64(&w.entries, 0);
    w.entry_count = 1;
    refuse(&w, SLM_ERR_FORMAT, "metadata key 0", "NUL");
    gguf_writer_free(&w);

    gguf__entry(&w, "type", 13);
    gguf__u32(&w.entries, 0);
    refuse(&w, SLM_ERR_FORMAT, "metadata 'type'", "13 is no GGUF value type");
    gguf_writer_free(&w);

    gguf_add_bool(&w, "flag", false);
    w.entries.data[w.entries.len - 1] = 2;
    refuse(&w, SLM_ERR_FORMAT, "metadata 'flag'", "not 2");
    gguf_writer_free(&w);

    gguf_add_u64(&w, "large", (uint64_t)INT64_MAX + 1);
    refuse(&w, SLM_ERR_FORMAT, "metadata 'large'", "9223372036854775808");
    gguf_writer_free(&w);
}

/* What the file could hold by its size, but no model's names and metadata take. */
static void test_hostile_memory(void **state)
{
    (void)state;
    gguf_writer w = {0};
    for (int i = 0; i < 500000 * 13 / 8; i++)
        gguf__u64(&w.entries, 0);
    w.entry_count = 500000;
    refuse(&w, SLM_ERR_LIMIT, "metadata count needs more memory", "40 MiB");
    w.entry_count = 0;
    w.tensor_count = 160000;
    refuse(&w, SLM_ERR_FORMAT, "name of tensor 0", "is empty");
    gguf_writer_free(&w);

    for (int i = 0; i < 450000 * 4; i++)
        gguf__u64(&w.infos, 0);
    w.tensor_count = 450000;
    refuse(&w, SLM_ERR_LIMIT, "tensor count needs more memory", "40 MiB");
    gguf_writer_free(&w);

    gguf__entry(&w, "words", 9);
    gguf__u32(&w.entries, 8);
    gguf__u64(&w.entries, 5400000);
    for (int i = 0; i < 5400000; i++)
        gguf__u64(&w.entries, 0);
    refuse(&w, SLM_ERR_LIMIT, "metadata 'words' needs more memory", "40 MiB");
    gguf_writer_free(&w);
}

static void test_hostile_arrays(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        uint64_t count;
        slm_status status;
        const char *part;
    } arrays[] = {
        {9, 1, SLM_ERR_UNSUPPORTED, "arrays of arrays"},
        {13, 1, SLM_ERR_FORMAT, "13 is no GGUF value type"},
        {8, UINT64_C(1) << 63, SLM_ERR_FORMAT, "9223372036854775808"},
        {8, 9, SLM_ERR_FORMAT, "says 9"},
        {4, UINT64_C(1) << 62, SLM_ERR_FORMAT, "4611686018427387904"}, /* times 4 wraps to 0 */
        {0, 1000, SLM_ERR_FORMAT, "says 1000"},
        {12, 9, SLM_ERR_FORMAT, "says 9"},
        {7, 8, SLM_ERR_FORMAT, "must be 0 or 1"},
        {10, 1, SLM_ERR_FORMAT, "above 2^63 - 1"},
        {8, 1, SLM_ERR_FORMAT, "its length is 18446744073709551615"},
    };
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
        gguf_writer w = {0};
        gguf__entry(&w, "list", 9);
        gguf__u32(&w.entries, arrays[i].type);
        gguf__u64(&w.entries, arrays[i].count);
        for (int n = 0; n < 8; n++)
            slm_buffer_append_char(&w.entries, (char)0xff);
        refuse(&w, arrays[i].status, "metadata 'list'", arrays[i].part);
        gguf_writer_free(&w);
    }
}

static void test_hostile_alignment(void **state)
{
    (void)state;
    static const uint32_t wrong[] = {0, 1, 7, 12, 48, 1u << 21, UINT32_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        gguf_writer w = {0};
        gguf_add_u32(&w, "general.alignment", wrong[i]);
        refuse(&w, SLM_ERR_FORMAT, "general.alignment", "power of two");
        gguf_writer_free(&w);
    }
    gguf_writer w = {0};
    gguf_add_string(&w, "general.alignment", "32");
    refuse(&w, SLM_ERR_FORMAT, "general.alignment", "power of two");
    gguf_writer_free(&w);
    gguf_add_u32(&w, "general.alignment",
                 64); /* the writer pads to 32: the second is out of place */
    float values[8] = {0};
    gguf_add_tensor(&w, "a", SLM_F32, (uint64_t[]){8}, 1, values);
    gguf_add_tensor(&w, "b", SLM_F32, (uint64_t[]){8}, 1, values);
    refuse(&w, SLM_ERR_FORMAT, "tensor 'b'", "alignment 64");
    gguf_writer_free(&w);
}

static void refuse_tensor(const char *name, uint32_t type, const uint64_t *shape, int dims,
                          uint64_t offset, slm_status status, const char *part, const char *part2)
{
    gguf_writer w = {0};
    float values[32] = {0};
    gguf_add_tensor(&w, "first", SLM_F32, (uint64_t[]){32}, 1, values);
    gguf_add_tensor_info(&w, name, type, shape, dims, offset);
    refuse(&w, status, part, part2);
    gguf_writer_free(&w);
}

static void test_hostile_tensors(void **state)
{
    (void)state;
    const uint64_t one[] = {8}, huge[] = {UINT64_C(1) << 32, UINT64_C(1) << 32};
    const uint64_t large[] = {UINT64_C(1) << 40}, empty[] = {0, 8}, odd[] = {2, 33};
    const uint64_t five[] = {1, 1, 1, 1, 8};
    refuse_tensor("first", 0, one, 1, 0, SLM_ERR_FORMAT, "'first'", "overlap");
    refuse_tensor("b", 0, one, 1, 128, SLM_ERR_FORMAT, "tensor 'b'", "beyond the file's end");
    refuse_tensor("b", 0, one, 1, UINT64_MAX - 31, SLM_ERR_FORMAT, "tensor 'b'", "beyond");
    refuse_tensor("b", 0, one, 1, 16, SLM_ERR_FORMAT, "tensor 'b'", "alignment 32");
    refuse_tensor("b", 0, one, 1, 64, SLM_ERR_FORMAT, "'first' and 'b'", "overlap");
    refuse_tensor("b", 0, huge, 2, 0, SLM_ERR_FORMAT, "tensor 'b'", "counted");
    refuse_tensor("b", 0, large, 1, 0, SLM_ERR_FORMAT, "tensor 'b'", "beyond");
    refuse_tensor("b", 0, empty, 2, 0, SLM_ERR_FORMAT, "dimension 1", "empty");
    refuse_tensor("b", 0, one, 0, 0, SLM_ERR_FORMAT, "tensor 'b'", "0 dimensions");
    refuse_tensor("b", 0, five, 5, 0, SLM_ERR_FORMAT, "tensor 'b'", "5 dimensions");
    refuse_tensor("b", 8, odd, 2, 0, SLM_ERR_FORMAT, "rows of 33", "multiple of 32");
    refuse_tensor("b", 10, one, 1, 0, SLM_ERR_UNSUPPORTED, "tensor 'b' has type 10", "Q2_K");
    refuse_tensor("b", 14, odd, 2, 0, SLM_ERR_FORMAT, "rows of 33", "multiple of 256");
    refuse_tensor("b", 4, one, 1, 0, SLM_ERR_UNSUPPORTED, "has type 4", "unknown");
    refuse_tensor("b", UINT32_MAX, one, 1, 0, SLM_ERR_UNSUPPORTED, "type 4294967295", "unknown");
    refuse_tensor("", 0, one, 1, 0, SLM_ERR_FORMAT, "name of tensor 1", "empty");

    /* The same name at another place. */
    gguf_writer w = {0};
    float values[8] = {0};
    gguf_add_tensor(&w, "same", SLM_F32, one, 1, values);
    gguf_add_tensor(&w, "same", SLM_F32, one, 1, values);
    refuse(&w, SLM_ERR_FORMAT, "'same'", "two tensors");
    gguf_writer_free(&w);

    char name[1100];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    gguf_add_tensor(&w, name, SLM_F32, one, 1, values);
    refuse(&w, SLM_ERR_FORMAT, "name of tensor 0", "at most 1024");
    gguf_writer_free(&w);
}

/* A file of nothing but a head is a file without tensors: vocabularies come so. */
static void test_empty_tables(void **state)
{
    (void)state;
    gguf_writer w = {0};
    slm_buffer bytes = {0};
    slm_tensors *file = NULL;
    gguf_finish(&w, &bytes);
    assert_int_equal(open_bytes(bytes.data, 24, &file, NULL), SLM_OK);
    assert_int_equal(slm_tensors_count(file), 0);
    assert_null(slm_tensors_find(file, "x"));
    assert_null(slm_meta_find(file, "x"));
    slm_tensors_close(file);
    slm_buffer_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_file),
        cmocka_unit_test(test_typed_errors),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_hostile_metadata),
        cmocka_unit_test(test_hostile_memory),
        cmocka_unit_test(test_hostile_arrays),
        cmocka_unit_test(test_hostile_alignment),
        cmocka_unit_test(test_hostile_tensors),
        cmocka_unit_test(test_empty_tables),
    };
    return cmocka_run_group_tests_name("tensor/gguf", tests, NULL, NULL);
}
