/* test_events.c: TensorBoard's records, read back by a reader of the test's own. */
#include "train_fixture.h"

/* CRC-32C by a table; held against the vectors of RFC 3720, appendix B.4. */
static uint32_t crc32c(const uint8_t *bytes, size_t len)
{
    uint32_t table[256], crc = 0xffffffffu;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] & 1u ? (table[i] >> 1) ^ 0x82f63b78u : table[i] >> 1;
    }
    for (size_t i = 0; i < len; i++)
        crc = table[(crc ^ bytes[i]) & 255u] ^ (crc >> 8);
    return ~crc;
}

static void the_checksum_has_the_published_values(void **state)
{
    (void)state;
    uint8_t bytes[32];
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(crc32c(bytes, 32), 0x8a9136aau);
    memset(bytes, 255, sizeof bytes);
    assert_int_equal(crc32c(bytes, 32), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(crc32c(bytes, 32), 0x46dd794eu);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(crc32c(bytes, 32), 0x113fdb5cu);
    assert_int_equal(crc32c((const uint8_t *)"123456789", 9), 0xe3069283u);
}

typedef struct event {
    double time_s;
    int64_t step;
    char version[32], tag[64];
    float value;
} event;

typedef struct cursor {
    const uint8_t *at, *end;
} cursor;

static uint64_t little(cursor *c, int bytes)
{
    uint64_t value = 0;
    assert_true(c->end - c->at >= bytes);
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)c->at[i] << (8 * i);
    c->at += bytes;
    return value;
}

static uint64_t varint(cursor *c)
{
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        const uint64_t byte = little(c, 1);
        value |= (byte & 127) << shift;
        if (byte < 128) return value;
    }
}

static cursor inside(cursor *c)
{
    const uint64_t len = varint(c);
    assert_true((uint64_t)(c->end - c->at) >= len);
    const cursor part = {c->at, c->at + len};
    c->at += len;
    return part;
}

static void read_text(cursor *c, char *out, size_t size)
{
    const cursor text = inside(c);
    assert_true((size_t)(text.end - text.at) < size);
    memcpy(out, text.at, (size_t)(text.end - text.at));
    out[text.end - text.at] = '\0';
}

static void read_value(cursor c, event *out)
{
    while (c.at < c.end) {
        const uint64_t key = varint(&c);
        if (key == (1u << 3 | 2)) {
            read_text(&c, out->tag, sizeof out->tag);
        } else {
            assert_int_equal(key, 2u << 3 | 5);
            const uint32_t bits = (uint32_t)little(&c, 4);
            memcpy(&out->value, &bits, sizeof bits);
        }
    }
}

static event read_event(cursor c)
{
    event out = {.value = NAN, .step = -1};
    while (c.at < c.end) {
        const uint64_t key = varint(&c);
        if (key == (1u << 3 | 1)) {
            const uint64_t bits = little(&c, 8);
            memcpy(&out.time_s, &bits, sizeof bits);
        } else if (key == 2u << 3) {
            out.step = (int64_t)varint(&c);
        } else if (key == (3u << 3 | 2)) {
            read_text(&c, out.version, sizeof out.version);
        } else {
            assert_int_equal(key, 5u << 3 | 2);
            cursor summary = inside(&c);
            assert_int_equal(varint(&summary), 1u << 3 | 2);
            read_value(inside(&summary), &out);
            assert_ptr_equal(summary.at, summary.end);
        }
    }
    return out;
}

static void check_crc(cursor *c, const uint8_t *bytes, size_t len)
{
    const uint32_t crc = crc32c(bytes, len);
    assert_int_equal(little(c, 4), (uint32_t)(((crc >> 15) | (crc << 17)) + 0xa282ead8u));
}

/* The next record, its checksums held against its bytes. */
static event next_record(cursor *c)
{
    const uint8_t *start = c->at;
    const uint64_t len = little(c, 8);
    check_crc(c, start, 8);
    assert_true((uint64_t)(c->end - c->at) >= len + 4);
    const cursor data = {c->at, c->at + len};
    c->at += len;
    check_crc(c, data.at, len);
    return read_event(data);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    slm_buffer out = {0};
    train__event_begin(&out, 1234.5);
    train__event_scalar(&out, 1235.25, 0, "loss", 2.5);
    train__event_scalar(&out, 1236.0, 127, "grad_norm", -0.1);
    train__event_scalar(&out, 1237.0, 128, "time/step_s", 1e-30);
    train__event_scalar(&out, 1238.0, 5000000000, "reward/grounded", 1e300);
    cursor c = {(const uint8_t *)out.data, (const uint8_t *)out.data + out.len};
    event e = next_record(&c);
    assert_string_equal(e.version, "brain.Event:2");
    assert_true(e.time_s == 1234.5 && isnan(e.value));
    e = next_record(&c);
    assert_string_equal(e.tag, "loss");
    assert_true(e.step == 0 && e.value == 2.5f && e.time_s == 1235.25);
    e = next_record(&c);
    assert_string_equal(e.tag, "grad_norm");
    assert_true(e.step == 127 && e.value == -0.1f);
    e = next_record(&c);
    assert_true(e.step == 128 && e.value == 1e-30f);
    e = next_record(&c);
    assert_true(e.step == 5000000000 && isinf(e.value));
    assert_ptr_equal(c.at, c.end);
    slm_buffer_free(&out);
}

/* A log's event file: the version once, each number of each line with its step, times under time/. */
static void a_log_has_its_events(void **state)
{
    slm_error err = {0};
    train__metrics *metrics = NULL;
    train__sizes sizes = {0};
    assert_int_equal(train__metrics_open(*state, &sizes, &metrics, &err), SLM_OK);
    for (int64_t step = 1; step <= 2; step++)
        assert_int_equal(
            train__metrics_put(metrics, step,
                               json_pack("{s:f, s:s}", "loss", 1.5 * (double)step, "note", "text"),
                               json_pack("{s:f}", "step_s", 0.25), &err),
            SLM_OK);
    assert_int_equal(train__metrics_sync(metrics, &sizes, &err), SLM_OK);
    train__metrics_close(metrics);
    slm_buffer bytes = file_bytes(*state, "events.out.tfevents.slm");
    assert_int_equal(bytes.len, sizes.events);
    cursor c = {(const uint8_t *)bytes.data, (const uint8_t *)bytes.data + bytes.len};
    assert_string_equal(next_record(&c).version, "brain.Event:2");
    for (int64_t step = 1; step <= 2; step++) {
        event e = next_record(&c);
        assert_string_equal(e.tag, "loss");
        assert_true(e.step == step && e.value == 1.5f * (float)step);
        e = next_record(&c);
        assert_string_equal(e.tag, "time/step_s");
        assert_true(e.step == step && e.value == 0.25f);
    }
    assert_ptr_equal(c.at, c.end);
    slm_buffer_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_has_the_published_values),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test_setup_teardown(a_log_has_its_events, make_folder, remove_folder),
    };
    return cmocka_run_group_tests_name("train/events", tests, NULL, NULL);
}
