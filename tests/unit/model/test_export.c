/* test_export.c: a model in another file computes what it computed: bit for bit in F32 wherever rows
 * stay in their order, else up to the order of one sum; an adapter merged is the adapter beside; what
 * rounding lost is told; and nothing half-written stays. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>

#include "base/file.h"
#include "forward_oracle.h"
#include "model/model_internal.h"
#include "text/text.h"

enum { ROWS = 70, RANK = 3, VOCABULARY = GGUF_TOKEN_MERGES + 5 };

static char root[] = "/tmp/slm-export-XXXXXX";
static int32_t ids[ROWS];

static const char *at(const char *name)
{
    static char paths[64][128];
    static int next;
    char *out = paths[next++ % 64];
    snprintf(out, sizeof paths[0], "%s/%s", root, name);
    return out;
}

/* Everything under a folder, two levels. */
static void clear(const char *path)
{
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        char inside[512];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        if (unlink(inside) != 0) clear(inside);
    }
    if (folder) closedir(folder);
    (void)rmdir(path);
}

static size_t entries_of(const char *path)
{
    size_t count = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 2;
}

static int begin(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++)
        ids[i] = (i * 37 + 11) % VOCABULARY;
    return mkdtemp(root) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    clear(root);
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    clear(root);
    return mkdir(root, 0700);
}

static family make(const char *type, bool tied, uint64_t seed)
{
    family f = family_shape(type);
    f.vocabulary = VOCABULARY;
    f.tied = tied;
    f.d = f.feed = 64; /* whole blocks of Q4_1 and Q8_0 in every matrix */
    f.head_dim = f.qk_norm ? 16 : 8;
    family_fill(&f, seed);
    return f;
}

/* As a GGUF file with a tokenizer, which a folder is made of. */
static void write_gguf_file(const family *f, slm_dtype dtype, const char *path)
{
    static const char *const merges[] = {"t h", "th e", "i n", "e r", "a n"};
    gguf_writer w = {0};
    family_gguf_metadata(f, &w);
    gguf_add_byte_tokenizer(&w, "smollm", merges, 5);
    gguf_add_string(&w, "tokenizer.chat_template", "{{ 'x' }}\n");
    family_gguf_tensors(f, dtype, &w);
    assert_true(gguf_write(&w, path));
    gguf_writer_free(&w);
}

static slm_export_report export_as(const slm_export_options *options)
{
    slm_export_report report;
    slm_error err = {0};
    if (slm_export(options, &report, &err) != SLM_OK) fail_msg("%s", err.message);
    return report;
}

static slm_export_report export_f32(const char *from, const char *to, bool gguf)
{
    return export_as(
        &(slm_export_options){.base = from, .gguf = gguf, .dtype = SLM_F32, .path = to});
}

static float *logits(const char *path, const char *adapter)
{
    return oracle_run(path, adapter, "ref", SLM_F32, ids, ROWS, ROWS);
}

/* limit 0: bit for bit. */
static void check_same(const char *path, const float *expected, double limit, const char *what)
{
    float *got = logits(path, NULL);
    const size_t bytes = (size_t)ROWS * VOCABULARY * sizeof *got;
    if (limit == 0.0 ? memcmp(got, expected, bytes) != 0
                     : !(oracle_distance(got, expected, ROWS, VOCABULARY) < limit))
        fail_msg("%s: %g", what, oracle_distance(got, expected, ROWS, VOCABULARY));
    free(got);
}

/* ---- round trips --------------------------------------------------------------------------- */

static void test_round_trips(void **state)
{
    (void)state;
    static const char *const types[] = {"llama", "qwen2", "qwen3"};
    for (int i = 0; i < 6; i++) {
        family f = make(types[i / 2], i % 2 == 0, 11);
        /* A GGUF Llama's sum over a head's numbers runs in another order. */
        const double across = i / 2 == 0 ? 1e-5 : 0.0;
        char what[64];
        snprintf(what, sizeof what, "%s, %s", types[i / 2], f.tied ? "tied" : "own head");
        (void)fresh(NULL);
        write_gguf_file(&f, i % 2 ? SLM_F32 : SLM_Q4_1, at("a.gguf"));
        float *expected = logits(at("a.gguf"), NULL);
        slm_export_report report = export_f32(at("a.gguf"), at("folder"), false);
        assert_int_equal(report.change_count, 0);
        assert_int_equal(strlen(report.base_sha256), 64);
        check_same(at("folder"), expected, across, what);
        export_f32(at("a.gguf"), at("b.gguf"), true);
        check_same(at("b.gguf"), expected, 0.0, what);
        export_f32(at("folder"), at("c.gguf"), true);
        check_same(at("c.gguf"), expected, 0.0, what);
        float *in_folder = logits(at("folder"), NULL);
        export_f32(at("folder"), at("again"), false);
        check_same(at("again"), in_folder, 0.0, what);
        export_f32(at("c.gguf"), at("back"), false);
        check_same(at("back"), in_folder, 0.0, what);
        free(expected);
        free(in_folder);
        family_free(&f);
    }
}

/* transformers' own folder, against the oracle's order of rows. */
static void test_folder_to_gguf(void **state)
{
    (void)state;
    family f = make("llama", false, 12);
    slm_error err = {0};
    slm_export_report report;
    family_write_folder(&f, at("folder"));
    assert_int_equal(slm_export(&(slm_export_options){.base = at("folder"),
                                                      .gguf = true,
                                                      .dtype = SLM_F32,
                                                      .path = at("x.gguf")},
                                &report, &err),
                     SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "holds no tokenizer.json"));
    assert_false(slm_file_exists(at("x.gguf")));
    write_gguf_file(&f, SLM_F32, at("a.gguf"));
    export_f32(at("a.gguf"), at("other"), false);
    assert_int_equal(rename(at("other/tokenizer.json"), at("folder/tokenizer.json")), 0);
    export_f32(at("folder"), at("x.gguf"), true);
    float *expected = logits(at("a.gguf"), NULL);
    check_same(at("x.gguf"), expected, 0.0, "x.gguf");
    free(expected);
    family_free(&f);
}

/* Rotary scaling: linear as a key, Llama 3's as a table and back. */
static void test_rope_scaling(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        family f = make("llama", true, 13);
        slm_model_config config;
        slm_tensors *file = NULL;
        slm_error err = {0};
        (void)fresh(NULL);
        write_gguf_file(&f, SLM_F32, at("a.gguf"));
        export_f32(at("a.gguf"), at("folder"), false); /* its tokenizer */
        f.scaling = i ? SLM_ROPE_LLAMA3 : SLM_ROPE_LINEAR;
        f.base = 500000;
        f.factor = 8, f.low = 1, f.high = 4, f.original = 8192;
        family_write_folder(&f, at("folder"));
        float *expected = logits(at("folder"), NULL);
        export_f32(at("folder"), at("b.gguf"), true);
        check_same(at("b.gguf"), expected, 1e-5, "GGUF");
        export_f32(at("b.gguf"), at("back"), false);
        check_same(at("back"), expected, i ? 1e-5 : 0.0, "folder");
        assert_int_equal(slm_tensors_open(at("back"), &file, &err), SLM_OK);
        assert_int_equal(slm_model_config_read(file, &config, &err), SLM_OK);
        assert_int_equal(config.rope_scaling, f.scaling);
        assert_true(config.rope_factor == 8.0);
        slm_tensors_close(file);
        free(expected);
        family_free(&f);
    }
}

static void test_unknown_table(void **state)
{
    (void)state;
    family f = make("llama", true, 14);
    slm_export_report report;
    slm_error err = {0};
    float table[4] = {1, 1, 2, 3};
    f.table = table;
    f.scaling = SLM_ROPE_TABLE;
    write_gguf_file(&f, SLM_F32, at("a.gguf"));
    assert_int_equal(
        slm_export(
            &(slm_export_options){.base = at("a.gguf"), .dtype = SLM_F32, .path = at("folder")},
            &report, &err),
        SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "rope_freqs.weight"));
    assert_non_null(strstr(err.message, "--format gguf"));
    assert_int_equal(entries_of(root), 1);
    float *expected = logits(at("a.gguf"), NULL);
    export_f32(at("a.gguf"), at("b.gguf"), true);
    check_same(at("b.gguf"), expected, 0.0, "its own table");
    free(expected);
    f.table = NULL;
    family_free(&f);
}

/* bitsandbytes' 4 bits, widened, are plain weights. */
static void test_nf4(void **state)
{
    (void)state;
    family f = make("qwen2", true, 15);
    st_writer w = {0};
    f.extra = ",\"quantization_config\":{\"quant_method\":\"bitsandbytes\","
              "\"bnb_4bit_quant_type\":\"nf4\",\"load_in_4bit\":true}";
    family_tensors(&f, true, &w);
    family_write_tensors(&w, at("nf4"), "model.safetensors");
    family_write_config(&f, at("nf4"));
    float *expected = logits(at("nf4"), NULL);
    export_f32(at("nf4"), at("wide"), false);
    check_same(at("wide"), expected, 0.0, "widened");
    slm_buffer text = {0};
    slm_error err = {0};
    assert_int_equal(slm_file_read(at("wide/config.json"), 0, &text, &err), SLM_OK);
    assert_null(strstr(slm_buffer_text(&text), "quantization_config"));
    assert_non_null(strstr(slm_buffer_text(&text), "\"torch_dtype\": \"float32\""));
    slm_buffer_free(&text);
    st_writer_free(&w);
    free(expected);
    family_free(&f);
}

static void test_shards(void **state)
{
    (void)state;
    family f = make("qwen3", false, 16);
    family_write_folder(&f, at("folder"));
    float *expected = logits(at("folder"), NULL);
    const slm_export_options options = {
        .base = at("folder"), .dtype = SLM_F32, .path = at("shards"), .shard_bytes = 100000};
    slm_export_report report = export_as(&options);
    assert_true(report.files > 2);
    assert_int_equal(entries_of(at("shards")), report.files + 2); /* index, config.json */
    check_same(at("shards"), expected, 0.0, "shards");
    free(expected);
    family_free(&f);
}

/* ---- adapters and trained weights ---------------------------------------------------------- */

static void test_merged(void **state)
{
    (void)state;
    static const char *const types[] = {"llama", "qwen2", "qwen3"};
    for (int i = 0; i < 3; i++) {
        family f = make(types[i], true, 21);
        (void)fresh(NULL);
        write_gguf_file(&f, SLM_F32, at("a.gguf"));
        family_adapter_fill(&f, RANK);
        family_adapter_write(&f, at("adapter"), 7.5, i == 1);
        float *plain = logits(at("a.gguf"), NULL), *expected = logits(at("a.gguf"), at("adapter"));
        assert_true(oracle_distance(expected, plain, ROWS, f.vocabulary) > 0.1);
        slm_export_options options = {
            .base = at("a.gguf"), .adapter = at("adapter"), .dtype = SLM_F32, .path = at("folder")};
        export_as(&options);
        check_same(at("folder"), expected, 1e-5, "folder");
        options.gguf = true;
        options.path = at("b.gguf");
        slm_export_report report = export_as(&options);
        check_same(at("b.gguf"), expected, 1e-5, "GGUF");
        assert_int_equal(report.change_count, 8); /* seven kinds, and all */
        assert_string_equal(report.changes[0].kind, "q_proj");
        const slm_export_change *all = &report.changes[7];
        assert_string_equal(all->kind, "all");
        assert_true(all->lost < 1e-5 * all->change);
        assert_true(all->lost_f16 > all->lost && all->lost_bf16 > 4 * all->lost_f16);
        const double bf16 = all->lost_bf16;
        options.dtype = SLM_BF16;
        options.force = true;
        report = export_as(&options);
        assert_true(fabs(report.changes[7].lost - bf16) < 1e-9 * bf16);
        free(plain);
        free(expected);
        family_free(&f);
    }
}

/* A small change of weights that lie on BF16's grid is lost whole, and that is what is told. */
static void test_lost_whole(void **state)
{
    (void)state;
    family f = make("qwen2", true, 22);
    for (int layer = 0; layer < f.layers; layer++)
        for (int role = 0; role < FAMILY_ROLES; role++) {
            int rows, columns;
            family_sides(&f, role, &rows, &columns);
            for (int i = 0; i < rows * columns; i++)
                f.layer[layer].w[role][i] = /* far from 0, where the grid is coarse */
                    slm_bf16_to_f32(slm_bf16_from_f32(f.layer[layer].w[role][i] + 2.0f));
        }
    family_write_folder(&f, at("folder"));
    family_adapter_fill(&f, RANK);
    family_adapter_write(&f, at("adapter"), 1e-3, false);
    slm_export_options options = {
        .base = at("folder"), .adapter = at("adapter"), .dtype = SLM_BF16, .path = at("bf16")};
    const slm_export_report report = export_as(&options);
    const slm_export_change *all = &report.changes[report.change_count - 1];
    assert_true(all->change > 0);
    assert_true(fabs(all->lost - all->change) < 1e-6 * all->change);
    family_free(&f);
}

static void test_trained_weights(void **state)
{
    (void)state;
    family f = make("llama", true, 23), trained = make("llama", true, 24);
    write_gguf_file(&f, SLM_F32, at("a.gguf"));
    write_gguf_file(&trained, SLM_F32, at("trained.gguf"));
    float *expected = logits(at("trained.gguf"), NULL);
    family_write_folder(&trained, at("best"));
    assert_int_equal(unlink(at("best/config.json")), 0); /* a checkpoint has none */
    slm_export_options options = {.base = at("a.gguf"),
                                  .weights = at("best"),
                                  .gguf = true,
                                  .dtype = SLM_F32,
                                  .path = at("b.gguf")};
    const slm_export_report report = export_as(&options);
    assert_int_equal(report.change_count, 10); /* embedding and vectors too; no head */
    check_same(at("b.gguf"), expected, 0.0, "trained");
    /* Without the embedding the base's stays. */
    free(trained.embedding);
    trained.embedding = malloc(sizeof(float) * (size_t)(VOCABULARY * f.d));
    assert_non_null(trained.embedding);
    memcpy(trained.embedding, f.embedding, sizeof(float) * (size_t)(VOCABULARY * f.d));
    write_gguf_file(&trained, SLM_F32, at("trained.gguf"));
    st_writer rest = {0};
    slm_tensors *file = NULL;
    assert_int_equal(slm_tensors_open(at("best"), &file, NULL), SLM_OK);
    for (size_t i = 0; i < slm_tensors_count(file); i++) {
        const slm_tensor *t = slm_tensors_at(file, i);
        if (!strstr(t->name, "embed"))
            st_add(&rest, t->name, "F32", t->shape, t->dims, t->data, t->bytes);
    }
    family_write_tensors(&rest, at("rest"), "model.safetensors");
    slm_tensors_close(file);
    options.weights = at("rest");
    options.path = at("c.gguf");
    export_as(&options);
    float *mixed = logits(at("trained.gguf"), NULL);
    check_same(at("c.gguf"), mixed, 0.0, "without the embedding");
    st_writer_free(&rest);
    free(mixed);
    free(expected);
    family_free(&f);
    family_free(&trained);
}

static void test_adapter_alone(void **state)
{
    (void)state;
    family f = make("qwen3", true, 25);
    slm_error err = {0};
    char first[65], second[65];
    family_write_folder(&f, at("folder"));
    family_adapter_fill(&f, RANK);
    family_adapter_write(&f, at("adapter"), 4, true);
    if (slm_export_adapter(at("adapter"), "some/base", at("copy"), false, &err) != SLM_OK)
        fail_msg("%s", err.message);
    float *expected = logits(at("folder"), at("adapter")), *got = logits(at("folder"), at("copy"));
    assert_memory_equal(got, expected, sizeof *got * ROWS * VOCABULARY);
    slm_buffer text = {0};
    assert_int_equal(slm_file_read(at("copy/adapter_config.json"), 0, &text, &err), SLM_OK);
    assert_non_null(strstr(slm_buffer_text(&text), "\"base_model_name_or_path\": \"some/base\""));
    assert_int_equal(slm_model_adapter_sha256(at("adapter"), first, &err), SLM_OK);
    assert_int_equal(slm_model_adapter_sha256(at("copy"), second, &err), SLM_OK);
    assert_string_not_equal(first, second); /* another base is named */
    assert_int_equal(slm_export_adapter(at("adapter"), "b", at("copy"), false, &err),
                     SLM_ERR_INVALID);
    assert_int_equal(slm_export_adapter(at("adapter"), "b", at("copy"), true, &err), SLM_OK);
    assert_int_equal(slm_export_adapter(at("folder"), "b", at("new"), true, &err),
                     SLM_ERR_NOT_FOUND);
    assert_false(slm_file_exists(at("new")));
    slm_buffer_free(&text);
    free(expected);
    free(got);
    family_free(&f);
}

/* ---- types and metadata -------------------------------------------------------------------- */

static void test_types(void **state)
{
    (void)state;
    family f = make("qwen2", true, 31);
    static const slm_dtype types[] = {SLM_BF16, SLM_F16, SLM_Q8_0};
    write_gguf_file(&f, SLM_F32, at("a.gguf"));
    float *expected = logits(at("a.gguf"), NULL);
    for (int i = 0; i < 3; i++) {
        slm_tensors *file = NULL;
        slm_error err = {0};
        int64_t type = 0;
        slm_export_options options = {.base = at("a.gguf"),
                                      .gguf = true,
                                      .dtype = types[i],
                                      .path = at("b.gguf"),
                                      .force = true};
        export_as(&options);
        assert_int_equal(slm_tensors_open(at("b.gguf"), &file, &err), SLM_OK);
        assert_int_equal(slm_tensors_find(file, "blk.0.ffn_up.weight")->dtype, types[i]);
        /* 32 numbers a head, of which o_proj has 4: whole blocks; norms and biases are F32 */
        assert_int_equal(slm_tensors_find(file, "blk.1.attn_norm.weight")->dtype, SLM_F32);
        assert_int_equal(slm_tensors_find(file, "blk.1.attn_q.bias")->dtype, SLM_F32);
        assert_int_equal(slm_meta_integer(file, "general.file_type", true, &type, &err), SLM_OK);
        assert_int_equal(type, types[i] == SLM_BF16 ? 32 : types[i] == SLM_F16 ? 1 : 7);
        assert_non_null(slm_meta_find(file, "general.slm.base_sha256"));
        assert_non_null(slm_meta_find(file, "tokenizer.chat_template"));
        slm_tensors_close(file);
        check_same(at("b.gguf"), expected, types[i] == SLM_F16 ? 0.02 : 0.15, "rounded");
        if (types[i] == SLM_Q8_0) continue;
        options.gguf = false;
        options.path = at("folder");
        export_as(&options);
        assert_int_equal(slm_tensors_open(at("folder"), &file, &err), SLM_OK);
        for (size_t t = 0; t < slm_tensors_count(file); t++)
            assert_int_equal(slm_tensors_at(file, t)->dtype, types[i]);
        assert_string_equal(slm_meta_find(file, "format")->string, "pt");
        assert_non_null(slm_meta_find(file, "slm.base_sha256"));
        slm_tensors_close(file);
    }
    free(expected);
    family_free(&f);
}

/* ---- what is refused ----------------------------------------------------------------------- */

static void check_refused(const slm_export_options *options, slm_status status, const char *part)
{
    slm_export_report report;
    slm_error err = {0};
    const size_t before = entries_of(root);
    assert_int_equal(slm_export(options, &report, &err), status);
    if (!strstr(err.message, part)) fail_msg("'%s' lacks '%s'", err.message, part);
    assert_int_equal(entries_of(root), before);
}

static void test_places(void **state)
{
    (void)state;
    family f = make("llama", true, 41);
    write_gguf_file(&f, SLM_F32, at("a.gguf"));
    slm_export_options o = {.base = at("a.gguf"), .dtype = SLM_BF16, .path = at("folder")};
    family_write_text(at("folder"), "notes.txt", "mine");
    check_refused(&o, SLM_ERR_INVALID, "--force replaces it");
    o.force = true; /* but not what is no model */
    check_refused(&o, SLM_ERR_INVALID, "no folder of a model alone");
    assert_true(slm_file_exists(at("folder/notes.txt")));
    assert_int_equal(unlink(at("folder/notes.txt")), 0);
    o.force = false; /* an empty one may be filled */
    export_as(&o);
    check_refused(&o, SLM_ERR_INVALID, "--force replaces it");
    o.force = true;
    export_as(&o);
    assert_int_equal(entries_of(root), 2);
    /* Beside a subfolder nothing is removed. */
    family_write_text(at("folder/checkpoint"), "x", "y");
    check_refused(&o, SLM_ERR_INVALID, "no folder of a model alone");
    o.path = at("a.gguf");
    o.gguf = true;
    check_refused(&o, SLM_ERR_INVALID, "is what is read");
    o.path = at("b.gguf");
    family_write_text(root, "b.gguf", "mine");
    o.force = false;
    check_refused(&o, SLM_ERR_INVALID, "--force replaces it");
    o.force = true;
    export_as(&o);
    o.path = at("nosuch/folder/x");
    check_refused(&o, SLM_ERR_NOT_FOUND, "nosuch/folder");
    o.gguf = false;
    check_refused(&o, SLM_ERR_IO, "nosuch/folder");
    family_free(&f);
}

/* What a killed export left is no hindrance; one that runs is. */
static void test_left_over(void **state)
{
    (void)state;
    family f = make("llama", true, 42);
    slm_error err = {0};
    slm_file_lock *lock = NULL;
    write_gguf_file(&f, SLM_F32, at("a.gguf"));
    const slm_export_options o = {.base = at("a.gguf"), .dtype = SLM_BF16, .path = at("folder/")};
    family_write_text(at("folder.partial"), "model.safetensors", "half");
    assert_int_equal(slm_file_lock_take(at("folder.partial/.lock"), &lock, &err), SLM_OK);
    check_refused(&o, SLM_ERR_IO, "another slm");
    assert_true(slm_file_exists(at("folder.partial/model.safetensors")));
    slm_file_lock_release(lock);
    export_as(&o);
    assert_false(slm_file_exists(at("folder.partial")));
    assert_int_equal(entries_of(at("folder")), 6); /* no lock */
    family_free(&f);
}

static void test_stopped(void **state)
{
    (void)state;
    family f = make("llama", true, 43);
    const volatile bool stop = true;
    write_gguf_file(&f, SLM_F32, at("a.gguf"));
    slm_export_options o = {
        .base = at("a.gguf"), .dtype = SLM_BF16, .path = at("folder"), .stop = &stop};
    check_refused(&o, SLM_ERR_CANCELLED, "was not written");
    o.gguf = true;
    check_refused(&o, SLM_ERR_CANCELLED, "was not written");
    family_free(&f);
}

static void test_numbers_that_do_not_fit(void **state)
{
    (void)state;
    family f = make("llama", true, 44);
    f.layer[1].w[FAMILY_UP][5] = 1e6f;
    write_gguf_file(&f, SLM_F32, at("a.gguf"));
    slm_export_options o = {.base = at("a.gguf"), .dtype = SLM_F16, .path = at("folder")};
    check_refused(&o, SLM_ERR_UNSUPPORTED, "1e+06, which is beyond F16: use --type bf16");
    o.dtype = SLM_BF16;
    export_as(&o);
    f.layer[1].w[FAMILY_UP][5] = NAN;
    write_gguf_file(&f, SLM_F32, at("a.gguf"));
    o.path = at("other");
    check_refused(&o, SLM_ERR_UNSUPPORTED, "no number");
    o.gguf = true;
    o.dtype = SLM_Q8_0;
    check_refused(&o, SLM_ERR_UNSUPPORTED, "no number");
    family_free(&f);
}

static void test_wrong_adapters(void **state)
{
    (void)state;
    family f = make("llama", true, 45), other = make("qwen3", true, 45);
    write_gguf_file(&f, SLM_F32, at("a.gguf"));
    family_adapter_fill(&other, RANK);
    family_adapter_write(&other, at("other"), 4, false);
    slm_export_options o = {
        .base = at("a.gguf"), .adapter = at("other"), .dtype = SLM_F32, .path = at("x")};
    check_refused(&o, SLM_ERR_FORMAT, "asks for");
    family_adapter_fill(&f, RANK);
    st_writer w = {0};
    family_adapter_write(&f, at("adapter"), 4, false);
    o.adapter = at("adapter");
    st_add(&w, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "F32",
           (uint64_t[]){RANK, 64}, 2, f.layer[0].a[FAMILY_Q], sizeof(float) * RANK * 64);
    family_write_tensors(&w, at("adapter"), "adapter_model.safetensors");
    check_refused(&o, SLM_ERR_FORMAT, "without its other half");
    st_writer_free(&w);
    st_add(&w, "base_model.model.lm_head.lora_A.weight", "F32", (uint64_t[]){RANK, 64}, 2,
           f.layer[0].a[FAMILY_Q], sizeof(float) * RANK * 64);
    family_write_tensors(&w, at("adapter"), "adapter_model.safetensors");
    check_refused(&o, SLM_ERR_UNSUPPORTED, "lm_head.lora_A");
    o.weights = at("adapter");
    check_refused(&o, SLM_ERR_INVALID, "give one of them");
    o.adapter = NULL;
    check_refused(&o, SLM_ERR_INVALID, "holds an adapter");
    st_writer_free(&w);
    family_free(&f);
    family_free(&other);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup(test, fresh)
    const struct CMUnitTest tests[] = {
        WITH(test_round_trips),
        WITH(test_folder_to_gguf),
        WITH(test_rope_scaling),
        WITH(test_unknown_table),
        WITH(test_nf4),
        WITH(test_shards),
        WITH(test_merged),
        WITH(test_lost_whole),
        WITH(test_trained_weights),
        WITH(test_adapter_alone),
        WITH(test_types),
        WITH(test_places),
        WITH(test_left_over),
        WITH(test_stopped),
        WITH(test_numbers_that_do_not_fit),
        WITH(test_wrong_adapters),
    };
    return cmocka_run_group_tests_name("export", tests, begin, end);
}
