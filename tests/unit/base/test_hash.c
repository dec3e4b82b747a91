/* Hashes: the examples of FIPS 180-4 and of the FNV page, parts that cannot run together, files. */
#include "helpers.h"

#include "base/hash.h"

static void known_answers(void **state)
{
    (void)state;
    char hex[SLM_SHA256_HEX_BYTES];
    slm_sha256_hex("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    slm_sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const char *two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    slm_sha256_hex(two_blocks, strlen(two_blocks), hex);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void pieces_are_as_the_whole(void **state)
{
    (void)state;
    char whole[SLM_SHA256_HEX_BYTES];
    char pieces[SLM_SHA256_HEX_BYTES];
    slm_sha256_hex("abc", 3, whole);
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update(hash, "a", 1);
    slm_sha256_update(hash, NULL, 0);
    slm_sha256_update(hash, "bc", 2);
    slm_sha256_finish(hash, pieces);
    assert_string_equal(whole, pieces);
}

static void hash_parts(const char *a, const char *b, char hex[SLM_SHA256_HEX_BYTES])
{
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, a);
    slm_sha256_update_part(hash, b);
    slm_sha256_finish(hash, hex);
}

static void parts_do_not_run_together(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"ab", "c"}, {"a", "bc"},   {"abc", ""},
                                           {"", "abc"}, {"abc", NULL}, {NULL, "abc"}};
    char hex[6][SLM_SHA256_HEX_BYTES];
    for (size_t i = 0; i < 6; i++) {
        hash_parts(pairs[i][0], pairs[i][1], hex[i]);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(hex[i], hex[j]);
    }
    /* The layout is part of every content address: 8 bytes of length, little endian, then text. */
    char want[SLM_SHA256_HEX_BYTES];
    slm_sha256_hex("\2\0\0\0\0\0\0\0ab\1\0\0\0\0\0\0\0c", 19, want);
    assert_string_equal(hex[0], want);
}

static void files(void **state)
{
    slm_arena arena = {0};
    slm_error err = {0};
    char hex[SLM_SHA256_HEX_BYTES];
    char *path = in_folder(&arena, state, "abc");
    put_text(path, "abc");
    assert_int_equal(slm_sha256_file(path, hex, &err), SLM_OK);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    size_t len = (size_t)3 << 20;
    char *bytes = slm_arena_alloc(&arena, len);
    memset(bytes, 'x', len);
    put_file(path, bytes, len);
    char want[SLM_SHA256_HEX_BYTES];
    slm_sha256_hex(bytes, len, want);
    assert_int_equal(slm_sha256_file(path, hex, &err), SLM_OK);
    assert_string_equal(hex, want);
    char *missing = in_folder(&arena, state, "missing");
    assert_int_equal(slm_sha256_file(missing, hex, &err), SLM_ERR_NOT_FOUND);
    assert_holds(err.message, missing);
    assert_int_equal(slm_sha256_file(*state, hex, &err), SLM_ERR_IO);
    slm_arena_free(&arena);
}

/* As `git hash-object` names the same contents. */
static void git_blobs(void **state)
{
    slm_arena arena = {0};
    slm_error err = {0};
    char hex[SLM_GIT_BLOB_HEX_BYTES];
    char *path = in_folder(&arena, state, "blob");
    put_text(path, "");
    assert_int_equal(slm_git_blob_file(path, hex, &err), SLM_OK);
    assert_string_equal(hex, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    put_text(path, "hello\n");
    assert_int_equal(slm_git_blob_file(path, hex, &err), SLM_OK);
    assert_string_equal(hex, "ce013625030ba8dba906f756967f9e9ca394464a");
    char *missing = in_folder(&arena, state, "missing");
    assert_int_equal(slm_git_blob_file(missing, hex, &err), SLM_ERR_NOT_FOUND);
    assert_holds(err.message, missing);
    slm_arena_free(&arena);
}

static void fnv(void **state)
{
    (void)state;
    assert_true(slm_hash_bytes("", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(slm_hash_bytes("a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(slm_hash_bytes("foobar", 6) == UINT64_C(0x85944171f73967e8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(pieces_are_as_the_whole),
        cmocka_unit_test(parts_do_not_run_together),
        cmocka_unit_test_setup_teardown(files, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(git_blobs, make_folder, remove_folder),
        cmocka_unit_test(fnv),
    };
    return cmocka_run_group_tests_name("base/hash", tests, NULL, NULL);
}
