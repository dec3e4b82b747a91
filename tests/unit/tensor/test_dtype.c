/* test_dtype.c: sizes, half and brain floats over their whole range, and blocks against values worked
 * out by hand from the formats' definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>
#include "gguf_writer.h"
#include "tensor/tensor.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        slm_dtype dtype;
        const char *name;
        size_t items, bytes;
    } expected[] = {
        {SLM_F32, "F32", 1, 4},         {SLM_F16, "F16", 1, 2},
        {SLM_BF16, "BF16", 1, 2},       {SLM_Q8_0, "Q8_0", 32, 34},
        {SLM_Q4_0, "Q4_0", 32, 18},     {SLM_Q4_1, "Q4_1", 32, 20},
        {SLM_Q5_0, "Q5_0", 32, 22},     {SLM_Q5_1, "Q5_1", 32, 24},
        {SLM_Q4_K, "Q4_K", 256, 144},   {SLM_Q5_K, "Q5_K", 256, 176},
        {SLM_Q6_K, "Q6_K", 256, 210},   {SLM_NF4, "NF4", 2, 1},
        {SLM_F64, "F64", 1, 8},         {SLM_I64, "I64", 1, 8},
        {SLM_I32, "I32", 1, 4},         {SLM_I16, "I16", 1, 2},
        {SLM_I8, "I8", 1, 1},           {SLM_U64, "U64", 1, 8},
        {SLM_U32, "U32", 1, 4},         {SLM_U16, "U16", 1, 2},
        {SLM_U8, "U8", 1, 1},           {SLM_BOOL, "BOOL", 1, 1},
        {SLM_F8_E4M3, "F8_E4M3", 1, 1}, {SLM_F8_E5M2, "F8_E5M2", 1, 1},
    };
    assert_int_equal(sizeof(expected) / sizeof(expected[0]), SLM_DTYPE_COUNT);
    for (size_t i = 0; i < SLM_DTYPE_COUNT; i++) {
        slm_dtype dtype = expected[i].dtype;
        assert_string_equal(slm_dtype_name(dtype), expected[i].name);
        assert_int_equal(slm_dtype_block_items(dtype), expected[i].items);
        assert_int_equal(slm_dtype_block_bytes(dtype), expected[i].bytes);
        assert_int_equal(slm_dtype_bytes(dtype, 0), 0);
        assert_int_equal(slm_dtype_bytes(dtype, 768), 768 / expected[i].items * expected[i].bytes);
        assert_true(slm_dtype_block_items(dtype) <= SLM_DTYPE_MAX_BLOCK_ITEMS);
        assert_int_equal(slm_dtype_is_weight(dtype), i < 12);
    }
}

/* Every one of the 65,536 halves against the definition: (-1)^s 2^(e-25) (1024 + f), or 2^-24 f. */
static void test_f16_all(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float got = slm_f16_to_f32((uint16_t)h);
        uint32_t exponent = h >> 10 & 31, fraction = h & 1023;
        bool negative = h >> 15;
        if (exponent == 31 && fraction != 0) {
            assert_true(isnan(got));
            continue;
        }
        float size = exponent == 31  ? INFINITY
                     : exponent == 0 ? ldexpf((float)fraction, -24)
                                     : ldexpf((float)(1024 + fraction), (int)exponent - 25);
        assert_int_equal(bits_of(got), bits_of(negative ? -size : size));
    }
}

static void test_bf16(void **state)
{
    (void)state;
    static const struct {
        uint32_t f32;
        uint16_t bf16;
    } expected[] = {
        {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x3f800000, 0x3f80}, /* 0, -0, 1 */
        {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82},                       /* ties go to even */
        {0x3f808001, 0x3f81}, {0x3f807fff, 0x3f80}, /* just past, before a tie */
        {0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, /* overflow, infinities */
        {0x7fc00000, 0x7fc0}, {0x7f800001, 0x7fc0}, {0xffffffff, 0xffff}, /* NaN stays NaN */
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        float value;
        memcpy(&value, &expected[i].f32, sizeof(value));
        assert_int_equal(slm_bf16_from_f32(value), expected[i].bf16);
    }
    for (uint32_t b = 0; b < 65536; b++)
        assert_int_equal(bits_of(slm_bf16_to_f32((uint16_t)b)), b << 16);
}

/* The test's own half, so that what the reader reads is checked against known bits. */
static void test_f16_writer(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float value = slm_f16_to_f32((uint16_t)h);
        assert_true(isnan(value) ? isnan(slm_f16_to_f32(slm_f16_from_f32(value)))
                                 : slm_f16_from_f32(value) == h);
        if (!isnan(value)) assert_int_equal(gguf_f16_from_f32(value), h);
    }
    /* Between the halves: both ways of rounding agree, at ties and beside them. */
    for (uint32_t bits = 0; bits < 0x47900000u; bits += 0x3ffu) {
        for (uint32_t low = 0; low < 3; low++) {
            uint32_t near = (bits & ~0x1fffu) + 0x0fffu + low;
            float value, spread;
            memcpy(&value, &near, sizeof(value));
            memcpy(&spread, &bits, sizeof(spread));
            assert_int_equal(slm_f16_from_f32(value), gguf_f16_from_f32(value));
            assert_int_equal(slm_f16_from_f32(-spread), gguf_f16_from_f32(-spread));
        }
    }
    assert_int_equal(slm_f16_from_f32(INFINITY), 0x7c00);
    assert_int_equal(slm_f16_from_f32(-INFINITY), 0xfc00);
    assert_int_equal(gguf_f16_from_f32(1.0f + 0x1p-11f), 0x3c00); /* tie to even */
    assert_int_equal(gguf_f16_from_f32(1.0f + 3 * 0x1p-11f), 0x3c02);
    assert_int_equal(gguf_f16_from_f32(65519.0f), 0x7bff);
    assert_int_equal(gguf_f16_from_f32(65520.0f), 0x7c00);
}

/* Blocks at an odd address: alignment is not promised. */
static void test_blocks(void **state)
{
    (void)state;
    uint8_t bytes[1 + 34];
    float out[32];

    bytes[1] = 0x00, bytes[2] = 0x38; /* d = 0.5 */
    for (int i = 0; i < 32; i++)
        bytes[3 + i] = (uint8_t)(int8_t)(i == 0 ? -128 : i == 31 ? 127 : i - 16);
    slm_dequantise(SLM_Q8_0, bytes + 1, 32, out);
    assert_float_equal(out[0], -64.0f, 0);
    assert_float_equal(out[1], -7.5f, 0);
    assert_float_equal(out[31], 63.5f, 0);

    /* Byte i: low half i, high half 15 - i. */
    for (int i = 0; i < 16; i++)
        bytes[3 + i] = (uint8_t)(i | (15 - i) << 4);
    slm_dequantise(SLM_Q4_0, bytes + 1, 32, out);
    for (int i = 0; i < 16; i++) {
        assert_float_equal(out[i], 0.5f * (float)(i - 8), 0);
        assert_float_equal(out[16 + i], 0.5f * (float)(7 - i), 0);
    }

    bytes[3] = 0x00, bytes[4] = 0xc2; /* m = -3 */
    for (int i = 0; i < 16; i++)
        bytes[5 + i] = (uint8_t)(i | (15 - i) << 4);
    slm_dequantise(SLM_Q4_1, bytes + 1, 32, out);
    for (int i = 0; i < 16; i++) {
        assert_float_equal(out[i], 0.5f * (float)i - 3.0f, 0);
        assert_float_equal(out[16 + i], 0.5f * (float)(15 - i) - 3.0f, 0);
    }
}

/* d q is exact in f32, the sum is rounded once, to nearest even. */
static void test_rounding(void **state)
{
    (void)state;
    /* d = 1 + 2^-10, m = 2^-14 (1 + 2^-10); 15 d + m = 15 + 15 2^-10 + 2^-14 + 2^-24, whose last bit
     * lies below an f32 of 15 (its steps are 2^-20): dropped. */
    uint8_t bytes[20] = {0x01, 0x3c, 0x01, 0x04, 0x0f};
    float out[32];
    slm_dequantise(SLM_Q4_1, bytes, 32, out);
    assert_int_equal(bits_of(out[0]), bits_of(15.0f + 15 * 0x1p-10f + 0x1p-14f));
    assert_int_equal(bits_of(out[1]), bits_of(0x1p-14f + 0x1p-24f));
}

static void test_plain(void **state)
{
    (void)state;
    static const float values[5] = {0.0f, -0.0f, 1.5f, -65504.0f, 0x1p-24f};
    slm_buffer bytes = {0};
    float out[5];
    slm_buffer_append(&bytes, values, sizeof(values));
    slm_dequantise(SLM_F32, bytes.data, 5, out);
    assert_memory_equal(out, values, sizeof(values));

    slm_buffer_truncate(&bytes, 0);
    for (int i = 0; i < 5; i++)
        gguf__u16(&bytes, gguf_f16_from_f32(values[i]));
    slm_dequantise(SLM_F16, bytes.data, 5, out);
    assert_memory_equal(out, values, sizeof(values));

    slm_buffer_truncate(&bytes, 0);
    for (int i = 0; i < 5; i++)
        gguf__u16(&bytes, slm_bf16_from_f32(values[i]));
    slm_dequantise(SLM_BF16, bytes.data, 5, out);
    for (int i = 0; i < 5; i++)
        assert_int_equal(bits_of(out[i]), bits_of(slm_bf16_to_f32(slm_bf16_from_f32(values[i]))));
    slm_dequantise(SLM_BF16, NULL, 0, out);
    slm_buffer_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),  cmocka_unit_test(test_f16_all),
        cmocka_unit_test(test_bf16),   cmocka_unit_test(test_f16_writer),
        cmocka_unit_test(test_blocks), cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_plain),
    };
    return cmocka_run_group_tests_name("tensor/dtype", tests, NULL, NULL);
}
