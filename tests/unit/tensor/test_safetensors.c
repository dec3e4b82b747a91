/* test_safetensors.c: files and sharded folders read back whole, and hostile headers: each is refused
 * with an error that names the file, the field and the place. Files stand in malloc'd memory of
 * their exact size, so that the address sanitizer sees a read past the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/hash.h"
#include "safetensors_writer.h"
#include "tensor/tensor_internal.h"

static const float numbers[24] = {1, -2, 3.5f, 0.25f, 5, 6, 7, 8, 9, 10, 11, 12};

static slm_status open_exact(const slm_buffer *bytes, slm_tensors **out, slm_error *err)
{
    static void *exact; /* of the file opened last */
    free(exact);
    exact = malloc(bytes->len ? bytes->len : 1);
    if (bytes->len > 0) memcpy(exact, bytes->data, bytes->len);
    return slm_tensors__open_memory(exact, bytes->len, "test.safetensors", out, err);
}

/* These bytes must be refused with `status`, and the message must hold both parts. */
static void refuse_bytes(const slm_buffer *bytes, slm_status status, const char *part,
                         const char *part2)
{
    slm_tensors *file = NULL;
    slm_error err = {0};
    slm_status got = open_exact(bytes, &file, &err);
    if (got != status || strstr(err.message, part) == NULL || strstr(err.message, part2) == NULL ||
        strstr(err.message, "test.safetensors") == NULL)
        fail_msg("status %s, message \"%s\", expected %s with \"%s\" and \"%s\"",
                 slm_status_name(got), err.message, slm_status_name(status), part, part2);
    assert_null(file);
}

static void refuse(st_writer *w, slm_status status, const char *part, const char *part2)
{
    slm_buffer bytes = {0};
    st_finish(w, &bytes);
    refuse_bytes(&bytes, status, part, part2);
    slm_buffer_free(&bytes);
    st_writer_free(w);
}

/* A header of this text, followed by `data` zero bytes. */
static void refuse_header(const char *header, size_t data, slm_status status, const char *part,
                          const char *part2)
{
    slm_buffer bytes = {0};
    size_t len = strlen(header);
    for (int i = 0; i < 8; i++)
        slm_buffer_append_char(&bytes, (char)(len >> (8 * i) & 255));
    slm_buffer_append_text(&bytes, header);
    for (size_t i = 0; i < data; i++)
        slm_buffer_append_char(&bytes, 0);
    refuse_bytes(&bytes, status, part, part2);
    slm_buffer_free(&bytes);
}

static void fill(st_writer *w)
{
    uint16_t halves[8], brains[8];
    for (int i = 0; i < 8; i++) {
        halves[i] = slm_f16_from_f32(numbers[i]);
        brains[i] = slm_bf16_from_f32(numbers[i]);
    }
    st_add_metadata(w, "format", "pt");
    st_add_metadata(w, "caf\\u00e9", "line\\nbreak");
    st_add(w, "f32", "F32", (uint64_t[]){2, 6}, 2, numbers, 48);
    st_add(w, "f16", "F16", (uint64_t[]){2, 2, 2, 1}, 4, halves, 16);
    st_add(w, "bf16", "BF16", (uint64_t[]){8}, 1, brains, 16);
    st_add(w, "empty", "F32", (uint64_t[]){0, 4}, 2, NULL, 0);
    st_add(w, "one", "I64", NULL, 0, "\1\0\0\0\0\0\0", 8);
    st_add(w, "na\\u006de", "U8", (uint64_t[]){3}, 1, "abc", 3);
}

static void check(const slm_tensors *file)
{
    float out[12];
    const char *text = NULL;
    assert_int_equal(slm_tensors_count(file), 6);
    const slm_tensor *t = slm_tensors_find(file, "f32");
    assert_int_equal(t->dtype, SLM_F32);
    assert_int_equal(t->dims, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 6);
    assert_int_equal(t->bytes, 48);
    assert_null(t->nf4);
    slm_tensor_read(t, 0, 12, out);
    assert_memory_equal(out, numbers, 48);
    slm_tensor_read(t, 7, 3, out);
    assert_memory_equal(out, numbers + 7, 12);
    t = slm_tensors_find(file, "f16");
    assert_int_equal(t->dims, 4);
    assert_int_equal(slm_tensor_items(t), 8);
    slm_tensor_read(t, 0, 8, out);
    assert_memory_equal(out, numbers, 32);
    slm_tensor_read(slm_tensors_find(file, "bf16"), 2, 6, out);
    assert_memory_equal(out, numbers + 2, 24);
    t = slm_tensors_find(file, "empty");
    assert_int_equal(t->bytes, 0);
    assert_int_equal(slm_tensor_items(t), 0);
    t = slm_tensors_find(file, "one");
    assert_int_equal(t->dtype, SLM_I64);
    assert_int_equal(t->dims, 1);
    assert_int_equal(t->shape[0], 1);
    assert_false(slm_dtype_is_weight(t->dtype));
    assert_memory_equal(slm_tensors_find(file, "name")->data, "abc", 3);
    assert_null(slm_tensors_find(file, "__metadata__"));
    assert_int_equal(slm_meta_count(file), 2);
    assert_int_equal(slm_meta_string(file, "format", true, &text, NULL), SLM_OK);
    assert_string_equal(text, "pt");
    assert_int_equal(slm_meta_string(file, "caf\xc3\xa9", true, &text, NULL), SLM_OK);
    assert_string_equal(text, "line\nbreak");
}

static void test_read(void **state)
{
    (void)state;
    st_writer w = {0};
    slm_buffer bytes = {0};
    slm_tensors *file = NULL;
    slm_error err = {0};
    fill(&w);
    st_finish(&w, &bytes);
    if (open_exact(&bytes, &file, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_string_equal(slm_tensors_format(file), "safetensors");
    assert_int_equal(slm_tensors_file_bytes(file), bytes.len);
    assert_null(slm_tensors_folder(file));
    check(file);
    slm_tensors_close(file);
    slm_buffer_free(&bytes);
    st_writer_free(&w);
    /* Nothing at all is a file without tensors. */
    st_finish(&w, &bytes);
    assert_int_equal(open_exact(&bytes, &file, &err), SLM_OK);
    assert_int_equal(slm_tensors_count(file), 0);
    slm_tensors_close(file);
    slm_buffer_free(&bytes);
}

/* ---- folders ------------------------------------------------------------------------------- */

static char folder[] = "/tmp/slm-safetensors-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json",
                                        "model-00001-of-00002.safetensors",
                                        "model-00002-of-00002.safetensors", "pytorch_model.bin"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(in_folder(names[i]));
    return rmdir(folder);
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void test_file(void **state)
{
    (void)state;
    st_writer w = {0};
    slm_tensors *file = NULL;
    slm_error err = {0};
    char hex[SLM_SHA256_HEX_BYTES];
    const char *sha = NULL;
    fill(&w);
    assert_true(st_write(&w, in_folder("model.safetensors")));
    assert_int_equal(slm_sha256_file(in_folder("model.safetensors"), hex, &err), SLM_OK);
    for (int whole = 0; whole < 2; whole++) {
        const char *path = whole ? folder : in_folder("model.safetensors");
        if (slm_tensors_open(path, &file, &err) != SLM_OK) fail_msg("%s", err.message);
        assert_string_equal(slm_tensors_path(file), path);
        assert_string_equal(slm_tensors_folder(file), folder);
        check(file);
        assert_int_equal(slm_tensors_sha256(file, &sha, &err), SLM_OK);
        assert_string_equal(sha, hex);
        slm_tensors_close(file);
    }
    st_writer_free(&w);
}

static const char SHARD1[] = "model-00001-of-00002.safetensors";
static const char SHARD2[] = "model-00002-of-00002.safetensors";

/* Two shards and an index that names the second one first. */
static void write_shards(const char *index)
{
    st_writer w = {0};
    st_add_metadata(&w, "format", "pt");
    st_add_metadata(&w, "only", "first");
    st_add(&w, "b", "F32", (uint64_t[]){4}, 1, numbers, 16);
    assert_true(st_write(&w, in_folder(SHARD1)));
    st_writer_free(&w);
    st_add_metadata(&w, "format", "other");
    st_add(&w, "a", "F32", (uint64_t[]){8}, 1, numbers + 4, 32);
    assert_true(st_write(&w, in_folder(SHARD2)));
    st_writer_free(&w);
    write_text("model.safetensors.index.json",
               index ? index
                     : "{\"metadata\": {\"total_size\": 48}, \"weight_map\": {\n"
                       "  \"a\": \"model-00002-of-00002.safetensors\",\n"
                       "  \"b\": \"model-00001-of-00002.safetensors\"\n}}\n");
}

static void test_shards(void **state)
{
    (void)state;
    slm_tensors *file = NULL;
    slm_error err = {0};
    const char *text = NULL;
    char hex[SLM_SHA256_HEX_BYTES];
    float out[8];
    write_shards(NULL);
    if (slm_tensors_open(folder, &file, &err) != SLM_OK) fail_msg("%s", err.message);
    assert_string_equal(slm_tensors_format(file), "safetensors, 2 shards");
    assert_string_equal(slm_tensors_folder(file), folder);
    assert_int_equal(slm_tensors_count(file), 2);
    assert_string_equal(slm_tensors_at(file, 0)->name, "b");
    slm_tensor_read(slm_tensors_find(file, "a"), 0, 8, out);
    assert_memory_equal(out, numbers + 4, 32);
    assert_int_equal(slm_meta_count(file), 2);
    assert_int_equal(slm_meta_string(file, "format", true, &text, &err), SLM_OK);
    assert_string_equal(text, "pt");

    /* The hash is that of the shards one after the other, by name. */
    slm_buffer both = {0};
    assert_int_equal(slm_file_read(in_folder(SHARD1), 0, &both, &err), SLM_OK);
    assert_int_equal(slm_file_read(in_folder(SHARD2), 0, &both, &err), SLM_OK);
    assert_int_equal(slm_tensors_file_bytes(file), both.len);
    slm_sha256_hex(both.data, both.len, hex);
    assert_int_equal(slm_tensors_sha256(file, &text, &err), SLM_OK);
    assert_string_equal(text, hex);
    slm_buffer_free(&both);
    slm_tensors_close(file);
}

static void refuse_folder(slm_status status, const char *part, const char *part2)
{
    slm_tensors *file = NULL;
    slm_error err = {0};
    slm_status got = slm_tensors_open(folder, &file, &err);
    if (got != status || strstr(err.message, part) == NULL || strstr(err.message, part2) == NULL)
        fail_msg("status %s, message \"%s\", expected %s with \"%s\" and \"%s\"",
                 slm_status_name(got), err.message, slm_status_name(status), part, part2);
    assert_null(file);
}

static void test_hostile_index(void **state)
{
    (void)state;
    static const struct {
        const char *index, *part;
    } wrong[] = {
        {"{\"weight_map\": {\"a\": \"../model-00001-of-00002.safetensors\"}}", "beside the index"},
        {"{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "at byte 21"},
        {"{\"weight_map\": {\"a\": \".safetensors\"}}", "must be a .safetensors file"},
        {"{\"weight_map\": {\"a\": 1}}", "must be a string"},
        {"{\"weight_map\": {}}", "is empty"},
        {"{\"weight_map\": []}", "expected an object"},
        {"{\"weight_map\": {\"a\": \"x.safetensors\"}, \"weight_map\": {}}", "stands twice"},
        {"{\"weights\": {}}", "weight_map is missing"},
        {"{\"weight_map\": {\"a\": \"x", "has no end"},
        {"[]", "expected an object"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        write_shards(wrong[i].index);
        refuse_folder(SLM_ERR_FORMAT, "model.safetensors.index.json: ", wrong[i].part);
    }
    write_shards("{\"weight_map\": {\"a\": \"model-00003-of-00003.safetensors\"}}");
    refuse_folder(SLM_ERR_NOT_FOUND, "shard 1 of 1", "model-00003-of-00003.safetensors");
    write_shards("{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\"}}");
    refuse_folder(SLM_ERR_FORMAT, "tensor 'a' stands in no shard", "not of one model");
    write_shards("{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\","
                 " \"b\": \"model-00002-of-00002.safetensors\"}}");
    refuse_folder(SLM_ERR_FORMAT, "tensor 'a' should stand in model-00001", "but stands in model");

    /* The same tensor in both shards. */
    write_shards(NULL);
    st_writer w = {0};
    st_add(&w, "b", "F32", (uint64_t[]){4}, 1, numbers, 16);
    assert_true(st_write(&w, in_folder(SHARD2)));
    st_writer_free(&w);
    refuse_folder(SLM_ERR_FORMAT, "two tensors are named 'b'", folder);
    assert_int_equal(truncate(in_folder(SHARD1), 0), 0);
    refuse_folder(SLM_ERR_FORMAT, SHARD1, "is empty");
}

static void test_no_model(void **state)
{
    (void)state;
    refuse_folder(SLM_ERR_NOT_FOUND, "neither model.safetensors nor", "name a folder");
    write_text("pytorch_model.bin", "x");
    refuse_folder(SLM_ERR_NOT_FOUND, "pickled", "save the model as safetensors");
}

/* ---- hostile files ------------------------------------------------------------------------- */

static void test_truncated(void **state)
{
    (void)state;
    st_writer w = {0};
    slm_buffer bytes = {0};
    fill(&w);
    st_finish(&w, &bytes);
    for (size_t len = bytes.len; len-- > 0;) {
        slm_buffer_truncate(&bytes, len);
        refuse_bytes(&bytes, SLM_ERR_FORMAT, "", "");
    }
    slm_buffer_free(&bytes);
    st_finish(&w, &bytes);
    slm_buffer_append_char(&bytes, 0);
    refuse_bytes(&bytes, SLM_ERR_FORMAT, "the last 1 bytes", "belong to no tensor");
    slm_buffer_free(&bytes);
    st_writer_free(&w);
}

static void test_hostile_length(void **state)
{
    (void)state;
    slm_buffer bytes = {0};
    for (int i = 0; i < 64; i++)
        slm_buffer_append_char(&bytes, (char)0xff);
    refuse_bytes(&bytes, SLM_ERR_FORMAT, "header length at byte 0", "18446744073709551615");
    memcpy(bytes.data, "\0\0\0\1\0\0\0", 8);
    refuse_bytes(&bytes, SLM_ERR_FORMAT, "header length at byte 0 says 16777216", "only 56 follow");
    memcpy(bytes.data, "\1\xe1\xf5\5\0\0\0", 8);
    refuse_bytes(&bytes, SLM_ERR_FORMAT, "100000001", "more than the 100000000 allowed");
    slm_buffer_truncate(&bytes, 5);
    refuse_bytes(&bytes, SLM_ERR_FORMAT, "begins with 8 bytes", "cut short");
    slm_buffer_free(&bytes);
}

static void test_hostile_json(void **state)
{
    (void)state;
    static const struct {
        const char *header, *part, *part2;
    } wrong[] = {
        {"", "begins with 8 bytes", "has 8 bytes"},
        {"  ", "at byte 10", "expected an object"},
        {"[]", "at byte 8", "expected an object"},
        {"{ ", "at byte 10", "expected a key"},
        {"{\"a\"", "at byte 12", "expected ':'"},
        {"{\"a\":", "at byte 13", "expected a value"},
        {"{\"a\":}", "at byte 13", "expected a value"},
        {"{\"a\":{}", "at byte 15", "expected ','"},
        {"{\"a\":{\"dtype\":\"F32\"", "at byte 13", "a value has no end"},
        {"{\"a", "at byte 9", "a string has no end"},
        {"{\"a\\\"", "at byte 9", "a string has no end"},
        {"{\"a\":{}}", "tensor 'a'", "dtype"},
        {"{} x", "at byte 11", "bytes follow"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]} \"b\":1}", "expected ','",
         "at byte"},
        {"{\"a\":[1}]}", "not valid JSON at byte 16", "expected ','"},
        {"{\"a\\u0000b\":{}}", "not valid JSON", "counted from byte 9"},
        {"{\"a\xff\":{}}", "not valid JSON", "counted from byte 9"},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", "name at byte 9",
         "0 bytes"},
        {"{\"a\":1}", "tensor 'a'", "must be an object"},
        {"{\"__metadata__\":1}", "expected an object", "at byte 24"},
        {"{\"__metadata__\":{\"a\":1}}", "a value of __metadata__ at byte 29", "string"},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", "'a'", "stands twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\"}}", "not valid JSON", "duplicate"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
         "two tensors are named 'a'", ""},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        refuse_header(wrong[i].header, 0, SLM_ERR_FORMAT, wrong[i].part, wrong[i].part2);
}

static void test_hostile_tensors(void **state)
{
    (void)state;
    static const struct {
        const char *dtype, *shape, *offsets;
        slm_status status;
        const char *part;
    } wrong[] = {
        {"\"F32\"", "[2]", "[0,8]", SLM_OK, ""},
        {"\"F31\"", "[2]", "[0,8]", SLM_ERR_UNSUPPORTED, "dtype 'F31'"},
        {"\"Q4_0\"", "[2]", "[0,8]", SLM_ERR_UNSUPPORTED, "dtype 'Q4_0'"},
        {"\"NF4\"", "[2]", "[0,8]", SLM_ERR_UNSUPPORTED, "dtype 'NF4'"},
        {"7", "[2]", "[0,8]", SLM_ERR_FORMAT, "dtype"},
        {"\"F32\"", "2", "[0,8]", SLM_ERR_FORMAT, "shape"},
        {"\"F32\"", "[2.0]", "[0,8]", SLM_ERR_FORMAT, "shape[0] must be a whole number"},
        {"\"F32\"", "[-2]", "[0,8]", SLM_ERR_FORMAT, "shape[0]"},
        {"\"F32\"", "[1,\"2\"]", "[0,8]", SLM_ERR_FORMAT, "shape[1]"},
        {"\"F32\"", "[1,1,1,1,2]", "[0,8]", SLM_ERR_UNSUPPORTED, "5 dimensions"},
        {"\"F32\"", "[4294967296,4294967296]", "[0,8]", SLM_ERR_FORMAT, "can be counted"},
        {"\"F32\"", "[9223372036854775807]", "[0,8]", SLM_ERR_FORMAT, "can be counted"},
        {"\"F32\"", "[9223372036854775808]", "[0,8]", SLM_ERR_FORMAT,
         "shape[0] must be a whole number"},
        {"\"U8\"", "[1152921504606846975]", "[0,8]", SLM_ERR_FORMAT, "take 1152921504606846975"},
        {"\"F32\"", "[2]", "[0]", SLM_ERR_FORMAT, "must be [begin, end]"},
        {"\"F32\"", "[2]", "[0,8,8]", SLM_ERR_FORMAT, "must be [begin, end]"},
        {"\"F32\"", "[2]", "[-8,0]", SLM_ERR_FORMAT, "data_offsets[0]"},
        {"\"F32\"", "[2]", "[8,0]", SLM_ERR_FORMAT, "end before they begin"},
        {"\"F32\"", "[2]", "[0,9]", SLM_ERR_FORMAT, "reach beyond the file's end"},
        {"\"F32\"", "[2]", "[9223372036854775800,9223372036854775807]", SLM_ERR_FORMAT, "beyond"},
        {"\"F32\"", "[3]", "[0,8]", SLM_ERR_FORMAT,
         "hold 8 bytes but 3 numbers of type F32 take 12"},
        {"\"F32\"", "[1]", "[0,4]", SLM_ERR_FORMAT, "belong to no tensor"},
        {"\"F32\"", "[1]", "[4,8]", SLM_ERR_FORMAT, "4 bytes before tensor 'a' at offset 4"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char header[256];
        snprintf(header, sizeof(header), "{\"a\":{\"dtype\":%s,\"shape\":%s,\"data_offsets\":%s}}",
                 wrong[i].dtype, wrong[i].shape, wrong[i].offsets);
        if (wrong[i].status != SLM_OK)
            refuse_header(header, 8, wrong[i].status, wrong[i].part, "test.safetensors");
    }
    st_writer w = {0};
    st_add(&w, "a", "F32", (uint64_t[]){4}, 1, numbers, 16);
    st_add_entry(&w, "b", "F32", (uint64_t[]){2}, 1, 8, 16);
    refuse(&w, SLM_ERR_FORMAT, "'a' and 'b'", "overlap");
    st_add(&w, "a", "F32", (uint64_t[]){4}, 1, numbers, 16);
    st_add_entry(&w, "b", "F32", (uint64_t[]){4}, 1, 0, 16);
    refuse(&w, SLM_ERR_FORMAT, "overlap", "");
    char name[1100];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    st_add(&w, name, "F32", (uint64_t[]){4}, 1, numbers, 16);
    refuse(&w, SLM_ERR_FORMAT, "1099 bytes", "1 to 1024");
}

/* What would take more memory than a model's names may. */
static void test_hostile_memory(void **state)
{
    (void)state;
    st_writer w = {0};
    for (int i = 0; i < 500000; i++) /* 6 bytes of header for each table's row */
        slm_buffer_append_text(&w.header, i ? ",\"\":{}" : "\"\":{}");
    refuse(&w, SLM_ERR_LIMIT, "the header needs more memory", "40 MiB");
    slm_buffer_append_text(&w.header, "\"a\":[");
    for (int i = 0; i < 30000; i++)
        slm_buffer_append_text(&w.header, "{},");
    slm_buffer_append_text(&w.header, "1]");
    refuse(&w, SLM_ERR_LIMIT, "90003 bytes long", "65536");
    for (int i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        st_add_metadata(&w, key, "");
    }
    refuse(&w, SLM_ERR_LIMIT, "__metadata__ has 5000 entries", "4096");
    slm_buffer_append_text(&w.metadata, "\"long\":\"");
    for (int i = 0; i < 5 << 20; i++)
        slm_buffer_append_char(&w.metadata, 'x');
    slm_buffer_append_char(&w.metadata, '"');
    refuse(&w, SLM_ERR_LIMIT, "5242882 bytes long", "4194304");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test_setup_teardown(test_file, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_shards, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_hostile_index, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_no_model, make_folder, remove_folder),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_hostile_length),
        cmocka_unit_test(test_hostile_json),
        cmocka_unit_test(test_hostile_tensors),
        cmocka_unit_test(test_hostile_memory),
    };
    return cmocka_run_group_tests_name("tensor/safetensors", tests, NULL, NULL);
}
