/* Pull: what a source means, which names of files are let in, which files are chosen, what a record
 * says. Everything with a server, a wheel or a kill is in tests/e2e/test_pull.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "open/pull_internal.h"

static slm_error err;
static slm_pulled out;
static slm_pull_options options;
static pull p;
static size_t room;

static int setup(void **state)
{
    (void)state;
    err = (slm_error){0};
    out = (slm_pulled){0};
    options = (slm_pull_options){0};
    p = (pull){.options = &options, .err = &err, .out = &out};
    room = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    slm_pulled_free(&out);
    return 0;
}

static void start_again(void)
{
    teardown(NULL);
    setup(NULL);
}

static void holds(const char *text, const char *piece)
{
    if (strstr(text, piece) == NULL) fail_msg("\"%s\" is not in \"%s\"", piece, text);
}

/* ---- sources -------------------------------------------------------------------------------- */

static void sources_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(pull__parse(&p, "hf:some-owner/A_model.1"), SLM_OK);
    assert_int_equal(p.kind, PULL_HUB);
    assert_string_equal(p.owner, "some-owner");
    assert_string_equal(p.name, "A_model.1");
    assert_string_equal(out.revision, "main");
    start_again();
    assert_int_equal(pull__parse(&p, "hf:a/b@refs/pr/3"), SLM_OK);
    assert_string_equal(out.revision, "refs/pr/3");
    assert_string_equal(out.source, "hf:a/b");
    start_again();
    assert_int_equal(pull__parse(&p, "pip:some.package==1!2.0+cpu"), SLM_OK);
    assert_int_equal(p.kind, PULL_PIP);
    assert_string_equal(p.name, "some.package");
    assert_string_equal(p.version, "1!2.0+cpu");
    start_again();
    assert_int_equal(pull__parse(&p, "https://host:8/a/my%20model.gguf"), SLM_OK);
    assert_int_equal(p.kind, PULL_URL);
    assert_true(p.single);
    assert_int_equal(out.file_count, 1);
    assert_string_equal(out.files[0].name, "my model.gguf");
    assert_string_equal(out.source, "https://host:8/a/my%20model.gguf");
    start_again();
    assert_int_equal(pull__parse(&p, "/tmp"), SLM_OK);
    assert_int_equal(p.kind, PULL_PATH);
}

static void a_query_is_told_apart_but_not_told(void **state)
{
    (void)state;
    assert_int_equal(pull__parse(&p, "https://host/m.gguf?key=secret"), SLM_OK);
    assert_null(strstr(out.source, "secret"));
    assert_string_equal(out.files[0].name, "m.gguf");
    char first[200];
    snprintf(first, sizeof first, "%s", out.source);
    start_again();
    assert_int_equal(pull__parse(&p, "https://host/m.gguf?key=other"), SLM_OK);
    assert_string_not_equal(out.source, first);
}

static void wrong_sources_are_refused(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"hf:", "hf:OWNER/NAME"},
        {"hf:name", "hf:OWNER/NAME"},
        {"hf:a/b/c", "hf:OWNER/NAME"},
        {"hf:../b", "hf:OWNER/NAME"},
        {"hf:a/..", "hf:OWNER/NAME"},
        {"hf:a/b?x", "hf:OWNER/NAME"},
        {"hf:a/b@", "hf:OWNER/NAME@REVISION"},
        {"hf:a/b@../main", "hf:OWNER/NAME@REVISION"},
        {"hf:a/b@x//y", "hf:OWNER/NAME@REVISION"},
        {"pip:package", "pip:PACKAGE==VERSION"},
        {"pip:--index-url==1", "pip:PACKAGE==VERSION"},
        {"pip:a b==1", "pip:PACKAGE==VERSION"},
        {"pip:a==", "pip:PACKAGE==VERSION"},
        {"pip:a==-1", "pip:PACKAGE==VERSION"},
        {"pip:a==1;x", "pip:PACKAGE==VERSION"},
        {"https://host/", "file name"},
        {"https://host", "file name"},
        {"https://host/a/?x=1", "file name"},
        {"https://user:pass@host/a", "password"},
        {"https://host/..", "leads out"},
        {"https://host/a%2Fb", "slash"},
        {"https://host/a%00b", "zero byte"},
        {"https://host/a%5Cb", "backslash"},
        {"https://host/a%0Ab", "control character"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (pull__parse(&p, table[i][0]) != SLM_ERR_INVALID) fail_msg("%s is let in", table[i][0]);
        holds(err.message, table[i][1]);
        assert_null(strstr(err.message, "pass@"));
        start_again();
    }
    assert_int_equal(pull__parse(&p, "/there/is/no/such"), SLM_ERR_NOT_FOUND);
    holds(err.message, "/there/is/no/such");
    holds(err.message, "hf:OWNER/NAME");
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"", "empty"},
        {"/etc/passwd", "absolute"},
        {"../x", "leads out"},
        {"a/../x", "leads out"},
        {"a/..", "leads out"},
        {".", "leads out"},
        {"a//b", "empty part"},
        {"a/", "empty part"},
        {"a\\b", "backslash"},
        {"C:\\x", "backslash"},
        {"a\nb", "control"},
        {"a\x1b[31m", "control"},
        {"\x7f", "control"},
        {"\xff", "UTF-8"},
        {".slm-pull.json", "keeps for itself"},
        {"a/.slm-pull.lock", "keeps for itself"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *why = pull__bad_name(table[i][0]);
        if (why == NULL) fail_msg("\"%s\" is let in", table[i][0]);
        holds(why, table[i][1]);
    }
    assert_int_equal(pull__check_name("a\n\x1b/../b", "the host", &err), SLM_ERR_FORMAT);
    holds(err.message, "the host names a file \"a\\x0a\\x1b/../b\"");
    char longer[1200];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    holds(pull__bad_name(longer), "too long");
    longer[300] = '\0';
    holds(pull__bad_name(longer), "too long");
    static const char *const good[] = {"config.json", "a/b/c",           "...", "..a", "a..b/c",
                                       ".hidden",     "Größe 東京.gguf", "a b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (pull__bad_name(good[i]) != NULL) fail_msg("\"%s\" is refused", good[i]);
    }
}

static void keys_stay_private(void **state)
{
    (void)state;
    static const char *const yes[] = {"https://host",        "HTTPS://host/x",
                                      "http://127.0.0.1:80", "http://localhost",
                                      "http://localhost/x",  "http://[::1]:8/"};
    static const char *const no[] = {"http://host", "http://127.0.0.1.evil.com",
                                     "http://localhost.evil.com", "http://127.0.0.2",
                                     "http://127.0.0.1@evil.com"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!pull__is_private(yes[i])) fail_msg("%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (pull__is_private(no[i])) fail_msg("%s", no[i]);
}

static void twins_are_refused(void **state)
{
    (void)state;
    pull__add_file(&p, "b", &room);
    pull__add_file(&p, "a", &room);
    assert_int_equal(pull__check_twins(&p, "the host"), SLM_OK);
    assert_string_equal(out.files[0].name, "a");
    pull__add_file(&p, "b", &room);
    assert_int_equal(pull__check_twins(&p, "the host"), SLM_ERR_FORMAT);
    holds(err.message, "\"b\" twice");
}

/* ---- choosing ------------------------------------------------------------------------------- */

static void offer(const char *const *names)
{
    start_again();
    out.source = "hf:a/b";
    out.folder = "/f";
    for (; *names != NULL; names++)
        pull__add_file(&p, *names, &room);
}

/* Exactly these are chosen, in the order offered, and the MODEL is `path`. */
static void assert_chosen(const char *path, const char *wanted)
{
    slm_buffer got = {0};
    if (pull__choose(&p) != SLM_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < out.file_count; i++)
        if (out.files[i].chosen) slm_buffer_printf(&got, "%s ", out.files[i].name);
    assert_string_equal(slm_buffer_text(&got), wanted);
    slm_buffer_free(&got);
    assert_string_equal(pull__model_path(&p), path);
}

#define OFFER(...) offer((const char *const[]){__VA_ARGS__, NULL})

static void a_folder_model_is_chosen(void **state)
{
    (void)state;
    OFFER("config.json", "model.safetensors", "tokenizer.json", "README.md", "pytorch_model.bin",
          "onnx/model.onnx", "model.fp16.safetensors", "LICENSE", "x.gguf", "sub/config.json");
    assert_chosen("/f", "config.json model.safetensors tokenizer.json LICENSE ");
    OFFER("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
          "model.safetensors.index.json", "consolidated.safetensors");
    assert_chosen("/f", "config.json model-00001-of-00002.safetensors "
                        "model-00002-of-00002.safetensors model.safetensors.index.json ");
    OFFER("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "optimizer.pt");
    assert_chosen("/f", "adapter_config.json adapter_model.safetensors ");
    OFFER("pkg/__init__.py", "pkg/m/1_Pooling/config.json", "pkg/m/config.json",
          "pkg/m/model.safetensors", "pkg/m/vocab.txt", "pkg.dist-info/LICENSE");
    assert_chosen("/f/pkg/m", "pkg/m/1_Pooling/config.json pkg/m/config.json "
                              "pkg/m/model.safetensors pkg/m/vocab.txt ");
}

static void one_gguf_is_chosen_and_of_several_none(void **state)
{
    (void)state;
    OFFER("README.md", "config.json", "deep/m.gguf");
    assert_chosen("/f/deep/m.gguf", "deep/m.gguf ");
    OFFER("m-Q4.gguf", "m-Q8.gguf");
    assert_int_equal(pull__choose(&p), SLM_ERR_INVALID);
    holds(err.message, "2 GGUF files: m-Q4.gguf, m-Q8.gguf; choose with --include");
    OFFER("a/config.json", "a/x.safetensors", "b/config.json", "b/y.safetensors");
    assert_int_equal(pull__choose(&p), SLM_ERR_INVALID);
    holds(err.message, "2 models, each in its folder: a/config.json, b/config.json");
    OFFER("pytorch_model.bin", "config.json");
    assert_int_equal(pull__choose(&p), SLM_ERR_NOT_FOUND);
    holds(err.message, "no model that slm reads");
}

static void the_user_chooses(void **state)
{
    (void)state;
    static const char *const globs[] = {"*Q8*", "LICENSE"};
    OFFER("m-Q4.gguf", "m-Q8.gguf", "LICENSE");
    options.include = globs;
    options.include_count = 2;
    assert_chosen("/f/m-Q8.gguf", "m-Q8.gguf LICENSE ");
    OFFER("m-Q4.gguf", "m-Q8.gguf", "LICENSE");
    static const char *const none[] = {"*Q5*"};
    options.include = none;
    options.include_count = 1;
    assert_int_equal(pull__choose(&p), SLM_ERR_NOT_FOUND);
    holds(err.message, "--include *Q5* matches none of the 3 files");
    OFFER("ab/c/x", "ab/d/y", "ab/e");
    static const char *const all[] = {"*"};
    options.include = all;
    options.include_count = 1;
    assert_chosen("/f/ab", "ab/c/x ab/d/y ab/e ");
    OFFER("abc/x", "abd/y");
    options.include = all;
    options.include_count = 1;
    assert_chosen("/f", "abc/x abd/y ");
}

static const char some_hash[] = "B94D27B9934D3E08A52E52D7DA7DABFAC484EFE37A5380EE9088F7ACE2EFCDE9";

static void a_hash_is_for_one_file(void **state)
{
    (void)state;
    OFFER("config.json", "model.safetensors");
    options.sha256 = some_hash;
    assert_int_equal(pull__choose(&p), SLM_OK);
    assert_null(out.files[0].sha256);
    assert_memory_equal(out.files[1].sha256, "b94d27b9934d3e08", 16);
    OFFER("config.json", "a.safetensors", "b.safetensors");
    options.sha256 = some_hash;
    assert_int_equal(pull__choose(&p), SLM_ERR_INVALID);
    holds(err.message, "--sha256 is for one file, and here are 2");
    OFFER("m.gguf");
    options.sha256 = some_hash;
    out.files[0].sha256 = "00";
    assert_int_equal(pull__choose(&p), SLM_ERR_FORMAT);
    holds(err.message, "m.gguf");
    holds(err.message, "b94d27b9");
}

/* ---- records -------------------------------------------------------------------------------- */

static char folder[] = "/tmp/slm-test-pull-XXXXXX";

static int make_folder(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/slm-test-pull-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : setup(state);
}

static int remove_folder(void **state)
{
    char path[100];
    snprintf(path, sizeof path, "%s/.slm-pull.json", folder);
    unlink(path);
    return rmdir(folder) != 0 ? -1 : teardown(state);
}

static void put_record(const char *text)
{
    char path[100];
    snprintf(path, sizeof path, "%s/.slm-pull.json", folder);
    assert_int_equal(slm_file_write(path, text, strlen(text), &err), SLM_OK);
}

static void new_pull(const char *commit)
{
    start_again();
    p.kind = PULL_HUB;
    out.source = "hf:a/b";
    out.revision = "main";
    out.commit = commit;
    out.folder = folder;
}

#define COMMIT "0123456789012345678901234567890123456789"

static void records_come_back(void **state)
{
    (void)state;
    bool found;
    new_pull(COMMIT);
    assert_int_equal(pull__record_read(&p, false, &found), SLM_OK);
    assert_false(found);
    slm_pull_file *file = pull__add_file(&p, "x/m.gguf", &room);
    file->sha256 = pull__lower(&p, some_hash);
    file->sized = true;
    file->bytes = 123;
    file->checked_ns = 456;
    pull__add_file(&p, "README", &room);
    assert_int_equal(pull__record_write(&p), SLM_OK);
    /* Adopted whole, as offline. */
    new_pull(NULL);
    assert_int_equal(pull__record_read(&p, true, &found), SLM_OK);
    assert_true(found);
    assert_string_equal(out.commit, COMMIT);
    assert_int_equal(out.file_count, 2);
    assert_string_equal(out.files[0].name, "x/m.gguf");
    assert_int_equal(out.files[0].bytes, 123);
    assert_true(out.files[0].checked_ns == 456);
    assert_false(out.files[1].sized);
    /* Added to what the source tells, but only where that is the same file. */
    new_pull(COMMIT);
    file = pull__add_file(&p, "x/m.gguf", &room);
    assert_int_equal(pull__record_read(&p, false, &found), SLM_OK);
    assert_true(file->checked_ns == 456 && file->bytes == 123);
    new_pull(COMMIT);
    file = pull__add_file(&p, "x/m.gguf", &room);
    file->sha256 = "00";
    assert_int_equal(pull__record_read(&p, false, &found), SLM_OK);
    assert_true(file->checked_ns == 0);
    /* Another source, or another commit. */
    new_pull(COMMIT);
    out.source = "hf:a/c";
    assert_int_equal(pull__record_read(&p, false, &found), SLM_ERR_INVALID);
    holds(err.message, "holds hf:a/b already");
    new_pull("9999999999999999999999999999999999999999");
    assert_int_equal(pull__record_read(&p, false, &found), SLM_ERR_INVALID);
    holds(err.message, "take another folder");
}

static void broken_records_are_told(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"", ".slm-pull.json"},
        {"{}", "source"},
        {"[]", "object"},
        {"{\"source\":\"hf:a/b\",\"revision\":\"main\",\"commit\":\"" COMMIT "\"}", "files"},
        {"{\"source\":\"hf:a/b\",\"revision\":\"main\",\"commit\":\"" COMMIT "\",\"files\":[1]}",
         "files[0]"},
        {"{\"source\":\"hf:a/b\",\"revision\":\"main\",\"commit\":\"" COMMIT
         "\",\"files\":[{\"name\":\"../x\"}]}",
         "leads out"},
        {"{\"source\":\"hf:a/b\",\"revision\":\"main\",\"commit\":\"" COMMIT
         "\",\"files\":[{\"name\":\"x\",\"sha256\":\"zz\"}]}",
         "hash"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        bool found;
        new_pull(NULL);
        put_record(table[i][0]);
        if (pull__record_read(&p, true, &found) != SLM_ERR_FORMAT) fail_msg("%s", table[i][0]);
        holds(err.message, table[i][1]);
        holds(err.message, "remove it");
    }
}

#define PULL_TEST(f)   cmocka_unit_test_setup_teardown(f, setup, teardown)
#define FOLDER_TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PULL_TEST(sources_are_told_apart),    PULL_TEST(a_query_is_told_apart_but_not_told),
        PULL_TEST(wrong_sources_are_refused), PULL_TEST(names_that_lead_elsewhere_are_refused),
        PULL_TEST(keys_stay_private),         PULL_TEST(twins_are_refused),
        PULL_TEST(a_folder_model_is_chosen),  PULL_TEST(one_gguf_is_chosen_and_of_several_none),
        PULL_TEST(the_user_chooses),          PULL_TEST(a_hash_is_for_one_file),
        FOLDER_TEST(records_come_back),       FOLDER_TEST(broken_records_are_told),
    };
    return cmocka_run_group_tests_name("open/pull", tests, NULL, NULL);
}
