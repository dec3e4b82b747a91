/* events.c: TensorBoard's event files, written without it.
 *
 * A file is a run of records: u64 length, u32 masked CRC-32C of those 8 bytes, the bytes, u32 masked
 * CRC-32C of them, little endian (TensorFlow's record format: rotate right by 15, add 0xa282ead8).
 * The bytes are a protocol buffer Event: wall_time = 1 (double), step = 2 (varint), file_version = 3
 * (string, first record alone), summary = 5; a Summary holds values = 1, each a tag = 1 (string) and
 * a simple_value = 2 (float). */
#include <string.h>

#include "train_internal.h"

/* Castagnoli's polynomial, reflected; a byte at a time without a table: records are short. */
static uint32_t crc32c(const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < len; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1u ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

static void put_little(slm_buffer *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        slm_buffer_append_char(out, (char)(value >> (8 * i) & 255));
}

static void put_crc(slm_buffer *out, const void *bytes, size_t len)
{
    const uint32_t crc = crc32c(bytes, len);
    put_little(out, ((crc >> 15) | (crc << 17)) + 0xa282ead8u, 4);
}

static void put_varint(slm_buffer *out, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        slm_buffer_append_char(out, (char)(value & 127) | (char)0x80);
    slm_buffer_append_char(out, (char)value);
}

static void put_bytes(slm_buffer *out, int field, const void *bytes, size_t len)
{
    put_varint(out, (uint64_t)field << 3 | 2);
    put_varint(out, len);
    slm_buffer_append(out, bytes, len);
}

static void put_double(slm_buffer *out, int field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_varint(out, (uint64_t)field << 3 | 1);
    put_little(out, bits, 8);
}

static void put_record(slm_buffer *out, const slm_buffer *event)
{
    const size_t start = out->len;
    put_little(out, event->len, 8);
    put_crc(out, out->data + start, 8);
    slm_buffer_append(out, event->data, event->len);
    put_crc(out, event->data, event->len);
}

void train__event_begin(slm_buffer *out, double time_s)
{
    static const char version[] = "brain.Event:2";
    slm_buffer event = {0};
    put_double(&event, 1, time_s);
    put_bytes(&event, 3, version, sizeof version - 1);
    put_record(out, &event);
    slm_buffer_free(&event);
}

void train__event_scalar(slm_buffer *out, double time_s, int64_t step, const char *tag,
                         double value)
{
    slm_buffer one = {0}, summary = {0}, event = {0};
    const float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    put_bytes(&one, 1, tag, strlen(tag));
    put_varint(&one, 2u << 3 | 5);
    put_little(&one, bits, 4);
    put_bytes(&summary, 1, one.data, one.len);
    put_double(&event, 1, time_s);
    put_varint(&event, 2u << 3);
    put_varint(&event, (uint64_t)step);
    put_bytes(&event, 5, summary.data, summary.len);
    put_record(out, &event);
    slm_buffer_free(&one);
    slm_buffer_free(&summary);
    slm_buffer_free(&event);
}
