/* test_nf4.c: bitsandbytes' weights joined with their scales, and states that do not fit: each is
 * refused with an error that names the file, the tensor and the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "safetensors_writer.h"
#include "tensor/tensor_internal.h"

enum { ROWS = 6, COLUMNS = 80, ITEMS = ROWS * COLUMNS };
static float values[ITEMS];

static int make_values(void **state)
{
    (void)state;
    for (int i = 0; i < ITEMS; i++)
        values[i] = sinf((float)i * 1.7f) * (0.5f + (float)(i % 97) / 97.0f);
    return 0;
}

static slm_status open_writer(const st_writer *w, slm_buffer *bytes, slm_tensors **out,
                              slm_error *err)
{
    st_finish(w, bytes);
    return slm_tensors__open_memory(bytes->data, bytes->len, "test.safetensors", out, err);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const st_nf4 kinds[] = {{.block = 64, .nested = true},
                                   {.block = 32, .nested = false},
                                   {.block = 64, .nested = true, .dtype = "bfloat16"},
                                   {.block = 4096, .nested = false, .dtype = "float16"}};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        st_writer w = {0};
        slm_buffer bytes = {0};
        slm_tensors *file = NULL;
        slm_error err = {0};
        float got[ITEMS], one;
        st_add(&w, "before", "F32", (uint64_t[]){1}, 1, values, 4);
        st_add_nf4(&w, "w.weight", ROWS, COLUMNS, values, &kinds[k]);
        st_add(&w, "w.weight.other", "F32", (uint64_t[]){1}, 1, values, 4);
        if (open_writer(&w, &bytes, &file, &err) != SLM_OK) fail_msg("%s", err.message);
        assert_int_equal(slm_tensors_count(file), 3);
        assert_string_equal(slm_tensors_at(file, 0)->name, "before");
        assert_string_equal(slm_tensors_at(file, 2)->name, "w.weight.other");
        const slm_tensor *t = slm_tensors_find(file, "w.weight");
        assert_int_equal(t->dtype, SLM_NF4);
        assert_int_equal(t->shape[0], ROWS);
        assert_int_equal(t->shape[1], COLUMNS);
        slm_tensor_read(t, 0, ITEMS, got);
        for (size_t i = 0; i < ITEMS; i++) {
            /* The widest gap of the table is 0.3 wide, and a scale is 1.5 at most. */
            assert_true(fabsf(got[i] - values[i]) < 0.15f * 1.5f + 0.02f);
            slm_tensor_read(t, i, 1, &one);
            assert_memory_equal(&one, &got[i], sizeof(one));
            if (t->nf4->rounded == SLM_BF16)
                assert_true(one == slm_bf16_to_f32(slm_bf16_from_f32(one)));
            if (t->nf4->rounded == SLM_F16)
                assert_true(one == slm_f16_to_f32(slm_f16_from_f32(one)));
        }
        slm_tensor_read(t, ITEMS, 0, got);
        slm_tensors_close(file);
        slm_buffer_free(&bytes);
        st_writer_free(&w);
    }
}

static void refuse(st_writer *w, slm_status status, const char *part, const char *part2)
{
    slm_buffer bytes = {0};
    slm_tensors *file = NULL;
    slm_error err = {0};
    slm_status got = open_writer(w, &bytes, &file, &err);
    if (got != status || strstr(err.message, part) == NULL || strstr(err.message, part2) == NULL ||
        strstr(err.message, "test.safetensors") == NULL)
        fail_msg("status %s, message \"%s\", expected %s with \"%s\" and \"%s\"",
                 slm_status_name(got), err.message, slm_status_name(status), part, part2);
    assert_null(file);
    slm_buffer_free(&bytes);
    st_writer_free(w);
}

#define GOOD "\"quant_type\":\"nf4\",\"blocksize\":64,\"dtype\":\"float32\",\"shape\":[6,80]"

static void test_hostile_state(void **state)
{
    (void)state;
    static const struct {
        const char *state, *part;
        slm_status status;
    } wrong[] = {
        {"", "not valid JSON", SLM_ERR_FORMAT},
        {"[]", "must be a JSON object", SLM_ERR_FORMAT},
        {"{}", "quant_type", SLM_ERR_FORMAT},
        {"{\"quant_type\":\"fp4\"}", "not 'fp4'", SLM_ERR_FORMAT},
        {"{\"quant_type\":\"nf4\",\"dtype\":\"int8\"}", "not 'int8'", SLM_ERR_FORMAT},
        {"{\"quant_type\":\"nf4\",\"blocksize\":0,\"dtype\":\"float32\"}", "blocksize must be 1",
         SLM_ERR_FORMAT},
        {"{\"quant_type\":\"nf4\",\"blocksize\":-64,\"dtype\":\"float32\"}", "is -64",
         SLM_ERR_FORMAT},
        {"{\"quant_type\":\"nf4\",\"blocksize\":9223372036854775807,\"dtype\":\"float32\"}",
         "blocksize must be 1", SLM_ERR_FORMAT},
        {"{\"quant_type\":\"nf4\",\"blocksize\":64,\"dtype\":\"float32\",\"shape\":[]}",
         "0 dimensions", SLM_ERR_FORMAT},
        {"{\"quant_type\":\"nf4\",\"blocksize\":64,\"dtype\":\"float32\",\"shape\":null}", "shape",
         SLM_ERR_FORMAT},
        {"{\"quant_type\":\"nf4\",\"blocksize\":64,\"dtype\":\"float32\",\"shape\":[0,80]}",
         "shape[0]", SLM_ERR_FORMAT},
        {"{\"quant_type\":\"nf4\",\"blocksize\":64,\"dtype\":\"float32\","
         "\"shape\":[4294967296,4294967296]}",
         "shape[1]", SLM_ERR_FORMAT},
        {"{\"quant_type\":\"nf4\",\"blocksize\":64,\"dtype\":\"float32\",\"shape\":[6,81]}",
         "486 numbers, which take 243 bytes, but the weight has 240", SLM_ERR_FORMAT},
        {"{" GOOD ",\"nested_offset\":0.5}", "nested_blocksize", SLM_ERR_FORMAT},
        {"{" GOOD ",\"nested_offset\":0.5,\"nested_blocksize\":0}", "nested_blocksize must be 1",
         SLM_ERR_FORMAT},
        {"{" GOOD ",\"nested_offset\":1e300,\"nested_blocksize\":256,\"nested_dtype\":\"float32\"}",
         "nested_offset is no number", SLM_ERR_FORMAT},
        {"{" GOOD ",\"nested_offset\":\"1\",\"nested_blocksize\":256,\"nested_dtype\":\"float32\"}",
         "nested_offset", SLM_ERR_FORMAT},
        {"{" GOOD ",\"nested_offset\":1,\"nested_blocksize\":256,\"nested_dtype\":\"float16\"}",
         "not 'float16'", SLM_ERR_FORMAT},
        {"{" GOOD ",\"nested_offset\":1,\"nested_blocksize\":4,\"nested_dtype\":\"float32\"}",
         "'.nested_absmax' must hold 2 numbers of type F32 but holds 1 of type F32",
         SLM_ERR_FORMAT},
        {"{" GOOD "}", "'.absmax' must hold 8 numbers of type F32 but holds 8 of type U8",
         SLM_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        st_writer w = {0};
        st_add_nf4(&w, "w", ROWS, COLUMNS, values,
                   &(st_nf4){.block = 64, .nested = true, .state = wrong[i].state});
        refuse(&w, wrong[i].status, "w.quant_state.bitsandbytes__nf4", wrong[i].part);
    }
}

/* Rename a tensor in the header, to one of the same length. */
static void rename_tensor(st_writer *w, const char *from, const char *to)
{
    assert_int_equal(strlen(from), strlen(to));
    char *at = strstr(w->header.data, from);
    assert_non_null(at);
    memcpy(at, to, strlen(to));
}

static void test_missing_parts(void **state)
{
    (void)state;
    static const char *const parts[] = {"w.absmax", "w.nested_absmax", "w.nested_quant_map",
                                        "w.quant_map"};
    st_writer w = {0};
    const st_nf4 good = {.block = 64, .nested = true};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        char quoted[64], other[64];
        snprintf(quoted, sizeof(quoted), "\"%s\"", parts[i]);
        snprintf(other, sizeof(other), "\"v%s\"", parts[i] + 1);
        st_add_nf4(&w, "w", ROWS, COLUMNS, values, &good);
        rename_tensor(&w, quoted, other);
        refuse(&w, SLM_ERR_NOT_FOUND, parts[i] + 1, "is missing");
    }
    st_add_nf4(&w, "w", ROWS, COLUMNS, values, &good);
    rename_tensor(&w, "\"w\"", "\"v\"");
    refuse(&w, SLM_ERR_NOT_FOUND, "w.quant_state", "the weight that it describes is missing");
    st_add_nf4(&w, "w", ROWS, COLUMNS, values,
               &(st_nf4){.block = 64, .nested = false, .shorter = 1});
    refuse(&w, SLM_ERR_FORMAT, "must hold 8 numbers", "holds 7");
    st_add_nf4(&w, "w", ROWS, COLUMNS, values,
               &(st_nf4){.block = 64, .nested = true, .suffix = "fp4"});
    refuse(&w, SLM_ERR_UNSUPPORTED, "type fp4", "nf4 is");
    /* The scales of one weight described as a weight of their own. */
    st_add_nf4(&w, "w", ROWS, COLUMNS, values, &good);
    st_add_nf4(&w, "w.absmaxx", 4, 4, values, &good);
    for (char *at; (at = strstr(w.header.data, "\"w.absmax\"")) != NULL;)
        memcpy(at, "\"w.absmay\"", 10);
    for (char *at; (at = strstr(w.header.data, "w.absmaxx")) != NULL;)
        memmove(at + 8, at + 9, strlen(at + 9) + 1), w.header.len--;
    refuse(&w, SLM_ERR_FORMAT, "w.absmax.quant_state", "describes what is no weight");
    /* A state that describes itself. */
    st_add(&w, "s.quant_state.bitsandbytes__nf4", "U8", (uint64_t[]){2}, 1, "{}", 2);
    refuse(&w, SLM_ERR_NOT_FOUND, "s.quant_state", "missing");
    st_add(&w, ".quant_state.bitsandbytes__nf4", "U8", (uint64_t[]){2}, 1, "{}", 2);
    refuse(&w, SLM_ERR_NOT_FOUND, ".quant_state", "missing");
    st_add(&w, "s.quant_state.bitsandbytes__nf4", "I8", (uint64_t[]){2}, 1, "{}", 2);
    refuse(&w, SLM_ERR_FORMAT, "s.quant_state", "bytes of JSON");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_hostile_state),
        cmocka_unit_test(test_missing_parts),
    };
    return cmocka_run_group_tests_name("tensor/nf4", tests, make_values, NULL);
}
