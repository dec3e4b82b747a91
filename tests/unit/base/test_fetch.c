/* Fetching against a server that breaks off, ignores ranges, changes the file, or lies. */
#include "tiny_server.h"

#include "base/fetch.h"
#include "base/file.h"

enum { SIZE = 200000 };

/* What the server does, and the file that it has. */
typedef struct behaviour {
    unsigned char content[SIZE];
    size_t size;
    const char *etag;
    size_t break_after; /* 0: sends all */
    size_t lie_by;      /* added to Content-Length */
    bool ignores_ranges;
    bool wrong_range; /* answers with another range than asked */
    bool no_length;
    const char *status; /* instead of serving: "404 Not Found" */
} behaviour;

static slm_arena arena;
static slm_http *http;
static tiny_server *server;
static behaviour *site;
static slm_error err;
static char *url, *path, *part, *version;
static char right_hash[SLM_SHA256_HEX_BYTES];

static void serve(tiny_server *s, int fd, const char *request)
{
    behaviour *b = s->context;
    if (b->status != NULL) {
        tiny_reply(fd, b->status, "", "no", 2);
        return;
    }
    const char *range = tiny_header(request, "Range");
    size_t begin = 0;
    if (range != NULL && !b->ignores_ranges) begin = strtoull(range + strlen("bytes="), NULL, 10);
    const char *if_range = tiny_header(request, "If-Range");
    if (if_range != NULL && (b->etag == NULL || strcmp(if_range, b->etag) != 0)) begin = 0;
    slm_buffer head = {0};
    if (begin > 0 && begin >= b->size) {
        slm_buffer_printf(&head, "Content-Range: bytes */%zu\r\n", b->size);
        tiny_reply(fd, "416 Range Not Satisfiable", head.data, "", 0);
        slm_buffer_free(&head);
        return;
    }
    slm_buffer_append_text(&head,
                           begin > 0 ? "HTTP/1.1 206 Partial Content\r\n" : "HTTP/1.1 200 OK\r\n");
    if (begin > 0) {
        slm_buffer_printf(&head, "Content-Range: bytes %zu-%zu/%zu\r\n",
                          begin + (b->wrong_range ? 1 : 0), b->size - 1, b->size);
    }
    size_t len = b->size - begin;
    if (!b->no_length) slm_buffer_printf(&head, "Content-Length: %zu\r\n", len + b->lie_by);
    if (b->etag != NULL) slm_buffer_printf(&head, "ETag: %s\r\n", b->etag);
    slm_buffer_append_text(&head, "Connection: close\r\n\r\n");
    if (b->break_after > 0 && b->break_after < len) len = b->break_after;
    slm_buffer_append(&head, b->content + begin, len);
    tiny_send(fd, head.data, head.len);
    slm_buffer_free(&head);
}

static int setup(void **state)
{
    if (make_folder(state) != 0) return -1;
    err = (slm_error){0};
    site = calloc(1, sizeof *site);
    if (site == NULL) return -1;
    site->size = SIZE;
    site->etag = "\"v1\"";
    for (size_t i = 0; i < SIZE; i++)
        site->content[i] = (unsigned char)(i * i >> 7 ^ i);
    slm_sha256_hex(site->content, SIZE, right_hash);
    server = tiny_start(serve, site);
    url = tiny_url(&arena, server, "/model.gguf?token=secret");
    path = in_folder(&arena, state, "models/deep/model.gguf");
    part = slm_arena_printf(&arena, "%s.part", path);
    version = slm_arena_printf(&arena, "%s.part.version", path);
    return slm_http_new(NULL, &http, &err) == SLM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    slm_http_free(http);
    tiny_stop(server);
    free(site);
    slm_arena_free(&arena);
    return remove_folder(state);
}

static slm_status fetch(const char *sha256)
{
    err = (slm_error){0};
    return slm_fetch(http, url, path, sha256, NULL, &err);
}

static void fetches(const char *sha256)
{
    if (fetch(sha256) != SLM_OK) fail_msg("%s", err.message);
}

/* The file is whole and nothing is left beside it. */
static void assert_fetched(void)
{
    slm_buffer got = {0};
    assert_int_equal(slm_file_read(path, 0, &got, &err), SLM_OK);
    assert_int_equal(got.len, site->size);
    assert_memory_equal(got.data, site->content, site->size);
    slm_buffer_free(&got);
    assert_false(slm_file_exists(part));
    assert_false(slm_file_exists(version));
}

static size_t size_of(const char *name)
{
    slm_buffer got = {0};
    assert_int_equal(slm_file_read(name, 0, &got, &err), SLM_OK);
    size_t len = got.len;
    slm_buffer_free(&got);
    return len;
}

static int requests(void)
{
    return atomic_load(&server->requests);
}

static void whole_at_once(void **state)
{
    (void)state;
    fetches(right_hash);
    assert_fetched();
    assert_int_equal(requests(), 1);
    /* There and right: nobody is asked, not even when nobody may be. */
    fetches(right_hash);
    fetches(NULL);
    assert_int_equal(requests(), 1);
    /* Upper case is the same hash. */
    char upper[SLM_SHA256_HEX_BYTES];
    for (size_t i = 0; i < sizeof upper; i++) {
        bool letter = right_hash[i] >= 'a' && right_hash[i] <= 'f';
        upper[i] = letter ? (char)(right_hash[i] - 'a' + 'A') : right_hash[i];
    }
    fetches(upper);
    assert_int_equal(requests(), 1);
}

static void goes_on_after_a_break(void **state)
{
    (void)state;
    site->break_after = 70000;
    assert_int_equal(fetch(right_hash), SLM_ERR_NETWORK);
    assert_holds(err.message, "/model.gguf");
    assert_holds(err.message, "run again to go on");
    assert_null(strstr(err.message, "secret"));
    assert_false(slm_file_exists(path));
    assert_int_equal(size_of(part), 70000);
    assert_int_equal(fetch(right_hash), SLM_ERR_NETWORK);
    assert_int_equal(size_of(part), 140000);
    fetches(right_hash);
    assert_fetched();
    assert_int_equal(requests(), 3);
    assert_holds(server->last, "Range: bytes=140000-\r\n");
    assert_holds(server->last, "If-Range: \"v1\"\r\n");
}

static void begins_anew_where_ranges_are_ignored(void **state)
{
    (void)state;
    site->break_after = 70000;
    assert_int_equal(fetch(right_hash), SLM_ERR_NETWORK);
    site->break_after = 0;
    site->ignores_ranges = true;
    fetches(right_hash);
    assert_fetched();
    assert_int_equal(requests(), 2);
}

static void a_changed_file_begins_anew(void **state)
{
    (void)state;
    site->break_after = 70000;
    assert_int_equal(fetch(NULL), SLM_ERR_NETWORK);
    site->break_after = 0;
    site->etag = "\"v2\"";
    memset(site->content, 'n', SIZE);
    fetches(NULL);
    assert_fetched();
}

static void without_hash_or_version_nothing_is_continued(void **state)
{
    (void)state;
    site->etag = NULL;
    site->break_after = 70000;
    assert_int_equal(fetch(NULL), SLM_ERR_NETWORK);
    assert_false(slm_file_exists(version));
    site->break_after = 0;
    fetches(NULL);
    assert_fetched();
    assert_null(strstr(server->last, "Range:"));
    /* A weak ETag names no bytes. */
    teardown(state);
    assert_int_equal(setup(state), 0);
    site->etag = "W/\"v1\"";
    site->break_after = 70000;
    assert_int_equal(fetch(NULL), SLM_ERR_NETWORK);
    assert_false(slm_file_exists(version));
}

static void with_version_alone_it_is_continued(void **state)
{
    (void)state;
    site->break_after = 70000;
    assert_int_equal(fetch(NULL), SLM_ERR_NETWORK);
    site->break_after = 0;
    fetches(NULL);
    assert_fetched();
    assert_holds(server->last, "Range: bytes=70000-\r\n");
}

static void a_whole_part_is_taken(void **state)
{
    (void)state;
    assert_int_equal(slm_file_make_folders(in_folder(&arena, state, "models/deep"), &err), SLM_OK);
    put_file(part, site->content, SIZE);
    fetches(right_hash);
    assert_fetched();
    assert_int_equal(requests(), 1);
}

static void a_part_longer_than_the_file_is_thrown_away(void **state)
{
    (void)state;
    assert_int_equal(slm_file_make_folders(in_folder(&arena, state, "models/deep"), &err), SLM_OK);
    char *longer = slm_arena_alloc(&arena, SIZE + 10);
    put_file(part, longer, SIZE + 10);
    fetches(right_hash);
    assert_fetched();
    assert_int_equal(requests(), 2);
}

static void a_wrong_range_begins_anew(void **state)
{
    (void)state;
    site->break_after = 70000;
    assert_int_equal(fetch(right_hash), SLM_ERR_NETWORK);
    site->break_after = 0;
    site->wrong_range = true;
    fetches(right_hash);
    assert_fetched();
    assert_int_equal(requests(), 3);
}

static void a_wrong_hash_leaves_nothing(void **state)
{
    (void)state;
    site->content[SIZE / 2] ^= 1;
    assert_int_equal(fetch(right_hash), SLM_ERR_FORMAT);
    assert_holds(err.message, right_hash);
    assert_holds(err.message, "thrown away");
    assert_false(slm_file_exists(path));
    assert_false(slm_file_exists(part));
    assert_false(slm_file_exists(version));
    site->content[SIZE / 2] ^= 1;
    fetches(right_hash);
    assert_fetched();
}

static void a_stale_part_is_found_out(void **state)
{
    (void)state;
    assert_int_equal(slm_file_make_folders(in_folder(&arena, state, "models/deep"), &err), SLM_OK);
    put_text(part, "the beginning of something else");
    assert_int_equal(fetch(right_hash), SLM_ERR_FORMAT);
    fetches(right_hash);
    assert_fetched();
}

static void lies_about_the_length_are_noticed(void **state)
{
    (void)state;
    site->lie_by = 10;
    assert_int_equal(fetch(NULL), SLM_ERR_NETWORK);
    assert_false(slm_file_exists(path));
    /* All bytes had arrived: the hash knows, whatever the length said. */
    fetches(right_hash);
    assert_fetched();
    teardown(state);
    assert_int_equal(setup(state), 0);
    site->no_length = true;
    site->size = SIZE - 1; /* no length to compare with: only the hash can tell */
    assert_int_equal(fetch(right_hash), SLM_ERR_FORMAT);
    assert_false(slm_file_exists(path));
}

static void an_old_file_is_replaced(void **state)
{
    assert_int_equal(slm_file_make_folders(in_folder(&arena, state, "models/deep"), &err), SLM_OK);
    put_text(path, "old");
    fetches(NULL);
    assert_int_equal(size_of(path), 3);
    site->break_after = 70000;
    assert_int_equal(fetch(right_hash), SLM_ERR_NETWORK);
    assert_int_equal(size_of(path), 3); /* still there until the new one is whole */
    site->break_after = 0;
    fetches(right_hash);
    assert_fetched();
}

static void refusals_are_worded(void **state)
{
    (void)state;
    site->status = "404 Not Found";
    assert_int_equal(fetch(NULL), SLM_ERR_NOT_FOUND);
    assert_holds(err.message, "404");
    assert_holds(err.message, "check the name");
    assert_false(slm_file_exists(part));
    site->status = "403 Forbidden";
    assert_int_equal(fetch(NULL), SLM_ERR_NETWORK);
    assert_holds(err.message, "permission");
    site->status = "503 Busy";
    assert_int_equal(fetch(NULL), SLM_ERR_NETWORK);
    assert_holds(err.message, "try again later");
}

static void an_error_keeps_the_part(void **state)
{
    (void)state;
    site->break_after = 70000;
    assert_int_equal(fetch(right_hash), SLM_ERR_NETWORK);
    site->status = "503 Busy";
    assert_int_equal(fetch(right_hash), SLM_ERR_NETWORK);
    assert_int_equal(size_of(part), 70000);
}

static void two_at_a_time_are_refused(void **state)
{
    assert_int_equal(slm_file_make_folders(in_folder(&arena, state, "models/deep"), &err), SLM_OK);
    slm_file_lock *lock;
    assert_int_equal(slm_file_lock_take(part, &lock, &err), SLM_OK);
    assert_int_equal(fetch(right_hash), SLM_ERR_IO);
    assert_holds(err.message, "another slm is using");
    assert_int_equal(requests(), 0);
    slm_file_lock_release(lock);
    fetches(right_hash);
    assert_fetched();
}

static void offline_leaves_nothing(void **state)
{
    slm_http *offline;
    slm_http_options options = {.offline = true};
    assert_int_equal(slm_http_new(&options, &offline, &err), SLM_OK);
    path = in_folder(&arena, state, "model.gguf");
    assert_int_equal(slm_fetch(offline, url, path, right_hash, NULL, &err), SLM_ERR_NETWORK);
    assert_holds(err.message, "--offline");
    assert_int_equal(count_files(*state), 0);
    slm_http_free(offline);
}

static void empty_files_are_files(void **state)
{
    (void)state;
    site->size = 0;
    fetches(NULL);
    assert_int_equal(size_of(path), 0);
    assert_false(slm_file_exists(part));
}

static slm_status fetch_with(const slm_fetch_options *options)
{
    err = (slm_error){0};
    return slm_fetch_with(http, url, path, options, NULL, &err);
}

static void sizes_are_held_to(void **state)
{
    (void)state;
    long status = -1;
    slm_fetch_options options = {.bytes = SIZE - 1, .http_status = &status};
    assert_int_equal(fetch_with(&options), SLM_ERR_FORMAT);
    assert_holds(err.message, "200000 bytes, not the 199999");
    assert_int_equal(status, 0);
    assert_false(slm_file_exists(path));
    assert_false(slm_file_exists(part));
    /* A body that announces nothing and does not end. */
    site->no_length = true;
    assert_int_equal(fetch_with(&options), SLM_ERR_FORMAT);
    assert_holds(err.message, "more than the 199999 bytes");
    assert_false(slm_file_exists(part));
    options.bytes = SIZE + 1;
    assert_int_equal(fetch_with(&options), SLM_ERR_FORMAT);
    assert_holds(err.message, "200000 bytes, not the 200001");
    assert_false(slm_file_exists(path));
    options = (slm_fetch_options){.max_bytes = SIZE - 1};
    assert_int_equal(fetch_with(&options), SLM_ERR_FORMAT);
    assert_holds(err.message, "that are allowed");
    site->no_length = false;
    assert_int_equal(fetch_with(&options), SLM_ERR_LIMIT);
    assert_holds(err.message, "more than the 199999 that are allowed");
    options = (slm_fetch_options){.bytes = SIZE, .max_bytes = 1, .http_status = &status};
    assert_int_equal(fetch_with(&options), SLM_OK);
    assert_int_equal(status, 200);
    assert_fetched();
    /* A file of another size is not the one wanted. */
    put_text(path, "short");
    assert_int_equal(fetch_with(&options), SLM_OK);
    assert_fetched();
}

static void the_git_hash_is_a_hash(void **state)
{
    char oid[SLM_GIT_BLOB_HEX_BYTES];
    char *copy = in_folder(&arena, state, "copy");
    put_file(copy, site->content, SIZE);
    assert_int_equal(slm_git_blob_file(copy, oid, &err), SLM_OK);
    assert_int_equal(remove(copy), 0);
    slm_fetch_options options = {.git_oid = oid};
    site->break_after = 70000;
    site->etag = NULL;
    assert_int_equal(fetch_with(&options), SLM_ERR_NETWORK);
    site->break_after = 0;
    assert_int_equal(fetch_with(&options), SLM_OK);
    assert_fetched();
    assert_holds(server->last, "Range: bytes=70000-\r\n");
    oid[0] = oid[0] == '0' ? '1' : '0';
    assert_int_equal(fetch_with(&options), SLM_ERR_FORMAT);
    assert_holds(err.message, "git hash");
    assert_holds(err.message, oid);
}

static void note_bytes(void *context, uint64_t bytes)
{
    *(uint64_t *)context = bytes;
}

static void headers_go_along_and_progress_comes_back(void **state)
{
    (void)state;
    static const char *const headers[] = {"Authorization: Bearer key", "Accept: */*", NULL};
    uint64_t last = 0;
    long status = -1;
    slm_fetch_options options = {.sha256 = right_hash,
                                 .headers = headers,
                                 .on_progress = note_bytes,
                                 .context = &last,
                                 .http_status = &status};
    site->break_after = 70000;
    assert_int_equal(fetch_with(&options), SLM_ERR_NETWORK);
    assert_int_equal(last, 70000);
    site->break_after = 0;
    assert_int_equal(fetch_with(&options), SLM_OK);
    assert_int_equal(last, SIZE);
    assert_int_equal(status, 206);
    assert_fetched();
    assert_holds(server->last, "Authorization: Bearer key\r\n");
    assert_holds(server->last, "If-Range: \"v1\"\r\n");
    assert_int_equal(remove(path), 0);
    site->status = "401 Unauthorized";
    assert_int_equal(fetch_with(&options), SLM_ERR_NETWORK);
    assert_int_equal(status, 401);
}

#define FETCH_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    forget_proxies();
    const struct CMUnitTest tests[] = {
        FETCH_TEST(whole_at_once),
        FETCH_TEST(goes_on_after_a_break),
        FETCH_TEST(begins_anew_where_ranges_are_ignored),
        FETCH_TEST(a_changed_file_begins_anew),
        FETCH_TEST(without_hash_or_version_nothing_is_continued),
        FETCH_TEST(with_version_alone_it_is_continued),
        FETCH_TEST(a_whole_part_is_taken),
        FETCH_TEST(a_part_longer_than_the_file_is_thrown_away),
        FETCH_TEST(a_wrong_range_begins_anew),
        FETCH_TEST(a_wrong_hash_leaves_nothing),
        FETCH_TEST(a_stale_part_is_found_out),
        FETCH_TEST(lies_about_the_length_are_noticed),
        FETCH_TEST(an_old_file_is_replaced),
        FETCH_TEST(refusals_are_worded),
        FETCH_TEST(an_error_keeps_the_part),
        FETCH_TEST(two_at_a_time_are_refused),
        FETCH_TEST(offline_leaves_nothing),
        FETCH_TEST(empty_files_are_files),
        FETCH_TEST(sizes_are_held_to),
        FETCH_TEST(the_git_hash_is_a_hash),
        FETCH_TEST(headers_go_along_and_progress_comes_back),
    };
    return cmocka_run_group_tests_name("base/fetch", tests, NULL, NULL);
}
