/* test_encoder.c: a small BERT against a forward in double written for this test, on every kernel path;
 * that a vector does not depend on the batch; both poolings; and folders that must be refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/model.h"
#include "tiny_encoder.h"

enum { D = TINY_D, FEED = TINY_FEED, DIM = TINY_D / TINY_HEADS, MOST = TINY_POSITIONS };

/* ---- the oracle ---------------------------------------------------------------------------- */

static void norm(double *x, const float *scale, const float *shift)
{
    double mean = 0, variance = 0;
    for (int i = 0; i < D; i++)
        mean += x[i] / D;
    for (int i = 0; i < D; i++)
        variance += (x[i] - mean) * (x[i] - mean) / D;
    for (int i = 0; i < D; i++)
        x[i] = (x[i] - mean) / sqrt(variance + 1e-12) * (double)scale[i] + (double)shift[i];
}

/* y[n] = W x + b; tensors: W, b. */
static void linear(double *y, float *const *tensors, const double *x, int n, int k)
{
    for (int i = 0; i < n; i++) {
        y[i] = (double)tensors[1][i];
        for (int j = 0; j < k; j++)
            y[i] += (double)tensors[0][i * k + j] * x[j];
    }
}

static void attend(double (*y)[D], double (*q)[D], double (*k)[D], double (*v)[D], int n)
{
    for (int u = 0; u < n * TINY_HEADS; u++) {
        const int row = u / TINY_HEADS, at = u % TINY_HEADS * DIM;
        double weight[MOST], total = 0;
        for (int j = 0; j < n; j++) {
            double dot = 0;
            for (int i = at; i < at + DIM; i++)
                dot += q[row][i] * k[j][i];
            total += weight[j] = exp(dot / sqrt((double)DIM));
        }
        for (int i = at; i < at + DIM; i++) {
            y[row][i] = 0;
            for (int j = 0; j < n; j++)
                y[row][i] += weight[j] / total * v[j][i];
        }
    }
}

static void oracle(const tiny_encoder *e, const int32_t *ids, int n, bool first_token, double *out)
{
    static double x[MOST][D], q[MOST][D], k[MOST][D], v[MOST][D], a[MOST][D];
    float *const *t = e->tensors;
    for (int r = 0; r < n; r++) {
        for (int i = 0; i < D; i++)
            x[r][i] = (double)t[0][ids[r] * D + i] + (double)t[1][r * D + i] + (double)t[2][i];
        norm(x[r], t[3], t[4]);
    }
    for (int layer = 0; layer < TINY_LAYERS; layer++) {
        float *const *l = t + 5 + 16 * layer;
        for (int r = 0; r < n; r++) {
            linear(q[r], l, x[r], D, D);
            linear(k[r], l + 2, x[r], D, D);
            linear(v[r], l + 4, x[r], D, D);
        }
        attend(a, q, k, v, n);
        for (int r = 0; r < n; r++) {
            double more[D], hidden[FEED];
            linear(more, l + 6, a[r], D, D);
            for (int i = 0; i < D; i++)
                x[r][i] += more[i];
            norm(x[r], l[8], l[9]);
            linear(hidden, l + 10, x[r], FEED, D);
            for (int i = 0; i < FEED; i++)
                hidden[i] *= 0.5 * (1 + erf(hidden[i] / sqrt(2.0)));
            linear(more, l + 12, hidden, D, FEED);
            for (int i = 0; i < D; i++)
                x[r][i] += more[i];
            norm(x[r], l[14], l[15]);
        }
    }
    double square = 0;
    for (int i = 0; i < D; i++) {
        out[i] = 0;
        for (int r = 0; r < (first_token ? 1 : n); r++)
            out[i] += x[r][i];
        square += out[i] * out[i];
    }
    for (int i = 0; i < D; i++)
        out[i] /= sqrt(square);
}

/* ---- tests --------------------------------------------------------------------------------- */

static tiny_encoder tiny;

static slm_encoder *load(slm_device *device)
{
    slm_error err;
    slm_tensors *file = NULL;
    slm_encoder *encoder = NULL;
    if (slm_tensors_open(tiny.folder, &file, &err) != SLM_OK ||
        slm_encoder_load(device, file, &encoder, &err) != SLM_OK)
        fail_msg("%s", err.message);
    slm_tensors_close(file);
    return encoder;
}

static slm_device *open_device(const char *kernels, int threads)
{
    slm_device *device = NULL;
    const slm_device_options options = {kernels, threads};
    return slm_device_open(&options, &device, NULL) == SLM_OK ? device : NULL;
}

/* 40 sequences of 1 to 48 tokens: more rows than one batch takes. */
enum { TEXTS = 40 };
static size_t make_ids(int32_t *ids, int32_t *lens)
{
    slm_random random = slm_random_new(5, 5);
    size_t count = 0;
    for (int s = 0; s < TEXTS; s++) {
        lens[s] = s == 0 ? 1 : s == 1 ? MOST : 1 + (int32_t)slm_random_below(&random, MOST);
        for (int32_t i = 0; i < lens[s]; i++)
            ids[count++] = (int32_t)slm_random_below(&random, TINY_VOCABULARY);
    }
    return count;
}

static void check_path(const char *kernels, bool first_token)
{
    int32_t ids[TEXTS * MOST], lens[TEXTS];
    float out[TEXTS * D], alone[D];
    double want[D];
    slm_device *device = open_device(kernels, 2);
    if (device == NULL) return;
    slm_encoder *encoder = load(device);
    assert_int_equal(slm_encoder_get_config(encoder)->first_token, first_token);
    assert_true(make_ids(ids, lens) > 512);
    slm_encoder_run(encoder, ids, lens, TEXTS, out);
    for (size_t s = 0, at = 0; s < TEXTS; at += (size_t)lens[s++]) {
        oracle(&tiny, ids + at, lens[s], first_token, want);
        for (size_t i = 0; i < D; i++)
            if (!(fabs((double)out[s * D + i] - want[i]) < 2e-5))
                fail_msg("%s: text %zu: %g, not %g", kernels, s, (double)out[s * D + i], want[i]);
        slm_encoder_run(encoder, ids + at, &lens[s], 1, alone);
        assert_memory_equal(alone, out + s * D, sizeof alone);
    }
    slm_encoder_free(encoder);
    slm_device_close(device);
}

static void test_forward(void **state)
{
    (void)state;
    static const char *const paths[] = {"ref", "avx2", "avx512", "avx512bf16", "amx"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        check_path(paths[i], false);
    char pooling[160];
    snprintf(pooling, sizeof pooling, "%s/1_Pooling", tiny.folder);
    assert_int_equal(mkdir(pooling, 0700), 0);
    tiny_encoder_write(&tiny, "1_Pooling/config.json",
                       "{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":false}");
    check_path("ref", true);
    check_path(NULL, true);
    tiny_encoder_remove(&tiny, "1_Pooling/config.json");
}

static void test_threads(void **state)
{
    (void)state;
    int32_t ids[TEXTS * MOST], lens[TEXTS];
    float out[2][TEXTS * D];
    make_ids(ids, lens);
    for (int threads = 1; threads <= 2; threads++) {
        slm_device *device = open_device(NULL, threads);
        slm_encoder *encoder = load(device);
        slm_encoder_run(encoder, ids, lens, TEXTS, out[threads - 1]);
        slm_encoder_free(encoder);
        slm_device_close(device);
    }
    assert_memory_equal(out[0], out[1], sizeof out[0]);
}

static void test_config(void **state)
{
    (void)state;
    slm_error err;
    slm_tensors *file = NULL;
    slm_encoder_config c;
    assert_int_equal(slm_tensors_open(tiny.folder, &file, &err), SLM_OK);
    assert_true(slm_encoder_is(file));
    tiny_encoder_write(&tiny, "sentence_bert_config.json", "{\"max_seq_length\":7}");
    tiny_encoder_write(&tiny, "modules.json",
                       "[{\"type\":\"sentence_transformers.models.Transformer\"},"
                       "{\"type\":\"sentence_transformers.models.Pooling\"},"
                       "{\"type\":\"sentence_transformers.models.Normalize\"}]");
    assert_int_equal(slm_encoder_config_read(file, &c, &err), SLM_OK);
    assert_int_equal(c.max_tokens, 7);
    assert_int_equal(c.head_dim, 8);
    assert_int_equal(c.positions, 48);
    uint64_t items = 0;
    for (size_t i = 0; i < slm_tensors_count(file); i++)
        items += slm_tensor_items(slm_tensors_at(file, i));
    assert_true(slm_encoder_parameters(&c) == items);
    tiny_encoder_remove(&tiny, "sentence_bert_config.json");
    tiny_encoder_remove(&tiny, "modules.json");
    slm_tensors_close(file);
}

/* The configuration with one member said otherwise: of two, the last counts. */
static void check_refused(const char *name, const char *text, slm_status wanted, const char *part)
{
    slm_error err;
    slm_tensors *file = NULL;
    slm_encoder *encoder = NULL;
    slm_device *device = open_device("ref", 1);
    tiny_encoder_write(&tiny, name, text);
    assert_int_equal(slm_tensors_open(tiny.folder, &file, &err), SLM_OK);
    const slm_status status = slm_encoder_load(device, file, &encoder, &err);
    if (status != wanted || strstr(err.message, part) == NULL)
        fail_msg("%s: status %d, \"%s\" lacks \"%s\"", text, (int)status,
                 status == SLM_OK ? "" : err.message, part);
    slm_tensors_close(file);
    slm_device_close(device);
    tiny_encoder_remove(&tiny, name);
    tiny_encoder_write(&tiny, "config.json", TINY_ENCODER_CONFIG);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        slm_status status;
        const char *part;
    } cases[] = {
        {"\"bert\"", "\"roberta\"", SLM_ERR_UNSUPPORTED, "model_type 'roberta'"},
        {"\"gelu\"", "\"gelu_new\"", SLM_ERR_UNSUPPORTED, "hidden_act 'gelu_new'"},
        {"_heads\":3", "_heads\":5", SLM_ERR_FORMAT, "hidden_size 24 is no multiple of 5 heads"},
        {"_layers\":2", "_layers\":3", SLM_ERR_NOT_FOUND, "encoder.layer.2.attention.self.query"},
        {"_size\":40", "_size\":41", SLM_ERR_FORMAT,
         "has shape [40, 24]; config.json asks for [41"},
        {"_layers\":2", "_layers\":0", SLM_ERR_FORMAT, "num_hidden_layers is 0"},
        {"1e-12", "-1", SLM_ERR_FORMAT, "layer_norm_eps is -1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *at = strstr(TINY_ENCODER_CONFIG, cases[i].from);
        slm_buffer text = {0};
        assert_non_null(at);
        slm_buffer_append_text(&text, TINY_ENCODER_CONFIG);
        at = strstr(slm_buffer_text(&text), cases[i].from);
        const size_t before = (size_t)(at - slm_buffer_text(&text));
        slm_buffer changed = {0};
        slm_buffer_printf(&changed, "%.*s%s%s", (int)before, slm_buffer_text(&text), cases[i].to,
                          at + strlen(cases[i].from));
        check_refused("config.json", slm_buffer_text(&changed), cases[i].status, cases[i].part);
        slm_buffer_free(&text);
        slm_buffer_free(&changed);
    }
    check_refused("modules.json", "[{\"type\":\"sentence_transformers.models.Dense\"}]",
                  SLM_ERR_UNSUPPORTED, "models.Dense' is not computed");
    check_refused("modules.json", "{}", SLM_ERR_FORMAT, "expected an array");
    check_refused("sentence_bert_config.json", "{\"max_seq_length\":2}", SLM_ERR_FORMAT,
                  "max_seq_length is 2");
    check_refused("1_Pooling/config.json", "{\"pooling_mode_max_tokens\":true}",
                  SLM_ERR_UNSUPPORTED, "pooling 'pooling_mode_max_tokens'");
    check_refused("1_Pooling/config.json", "{}", SLM_ERR_FORMAT, "expected either");
}

static int make(void **state)
{
    (void)state;
    tiny_encoder_make(&tiny);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    tiny_encoder_free(&tiny);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("model/encoder", tests, make, drop);
}
