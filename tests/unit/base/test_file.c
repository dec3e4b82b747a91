/* Files: atomic replacement, aborts that leave nothing, links, permissions, maps, locks. */
#include "helpers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/file.h"

static slm_arena arena;

static int setup(void **state)
{
    return make_folder(state);
}

static int teardown(void **state)
{
    slm_arena_free(&arena);
    return remove_folder(state);
}

static void assert_content(const char *path, const char *want)
{
    slm_buffer text = {0};
    assert_int_equal(slm_file_read(path, 0, &text, NULL), SLM_OK);
    assert_string_equal(text.data, want);
    slm_buffer_free(&text);
}

static void writes_and_reads(void **state)
{
    char *path = in_folder(&arena, state, "a.txt");
    slm_error err = {0};
    assert_false(slm_file_exists(path));
    assert_int_equal(slm_file_write(path, "one\0two", 7, &err), SLM_OK);
    assert_true(slm_file_exists(path));
    assert_false(slm_file_is_folder(path));
    assert_true(slm_file_is_folder(*state));
    slm_buffer text = {0};
    slm_buffer_append_text(&text, "> ");
    assert_int_equal(slm_file_read(path, 7, &text, &err), SLM_OK);
    assert_int_equal(text.len, 9);
    assert_memory_equal(text.data, "> one\0two", 10);
    assert_int_equal(slm_file_write(path, NULL, 0, &err), SLM_OK);
    slm_buffer_truncate(&text, 0);
    assert_int_equal(slm_file_read(path, 0, &text, &err), SLM_OK);
    assert_int_equal(text.len, 0);
    assert_int_equal(count_files(*state), 1);
    slm_buffer_free(&text);
}

static void reading_says_what_is_wrong(void **state)
{
    slm_error err = {0};
    slm_buffer text = {0};
    char *missing = in_folder(&arena, state, "missing");
    assert_int_equal(slm_file_read(missing, 0, &text, &err), SLM_ERR_NOT_FOUND);
    assert_holds(err.message, missing);
    assert_holds(err.message, "No such file");
    assert_int_equal(slm_file_read(*state, 0, &text, &err), SLM_ERR_IO);
    char *path = in_folder(&arena, state, "ten");
    put_text(path, "0123456789");
    assert_int_equal(slm_file_read(path, 9, &text, &err), SLM_ERR_LIMIT);
    assert_holds(err.message, "10 bytes");
    assert_holds(err.message, "9 allowed");
    assert_int_equal(text.len, 0);
    /* A device has no size to look at first. */
    assert_int_equal(slm_file_read("/dev/zero", 1000, &text, &err), SLM_ERR_LIMIT);
    assert_int_equal(text.len, 0);
    slm_buffer_free(&text);
}

static void nothing_appears_before_commit(void **state)
{
    char *path = in_folder(&arena, state, "a.txt");
    slm_error err = {0};
    slm_file_writer *writer;
    assert_int_equal(slm_file_writer_open(path, &writer, &err), SLM_OK);
    fputs("new", slm_file_writer_stream(writer));
    fflush(slm_file_writer_stream(writer));
    assert_false(slm_file_exists(path));
    assert_int_equal(slm_file_writer_commit(writer, &err), SLM_OK);
    assert_content(path, "new");
    assert_int_equal(count_files(*state), 1);
}

static void abort_leaves_what_was(void **state)
{
    char *path = in_folder(&arena, state, "a.txt");
    slm_file_writer *writer;
    assert_int_equal(slm_file_writer_open(path, &writer, NULL), SLM_OK);
    fputs("new", slm_file_writer_stream(writer));
    slm_file_writer_abort(writer);
    assert_int_equal(count_files(*state), 0);
    put_text(path, "old");
    assert_int_equal(slm_file_writer_open(path, &writer, NULL), SLM_OK);
    fputs("new", slm_file_writer_stream(writer));
    slm_file_writer_abort(writer);
    slm_file_writer_abort(NULL);
    assert_content(path, "old");
    assert_int_equal(count_files(*state), 1);
}

static void failed_write_leaves_what_was(void **state)
{
    char *path = in_folder(&arena, state, "a.txt");
    slm_error err = {0};
    slm_file_writer *writer;
    put_text(path, "old");
    assert_int_equal(slm_file_writer_open(path, &writer, &err), SLM_OK);
    /* Make writing fail the way a full disk does, behind the stream's back. */
    int full = open("/dev/full", O_WRONLY);
    assert_true(full >= 0);
    assert_true(dup2(full, fileno(slm_file_writer_stream(writer))) >= 0);
    close(full);
    fputs("new", slm_file_writer_stream(writer));
    assert_int_equal(slm_file_writer_commit(writer, &err), SLM_ERR_IO);
    assert_holds(err.message, path);
    assert_holds(err.message, "No space left");
    assert_content(path, "old");
    assert_int_equal(count_files(*state), 1);
}

static void killed_writer_leaves_the_old_file(void **state)
{
    char *path = in_folder(&arena, state, "a.txt");
    put_text(path, "old");
    pid_t child = fork();
    if (child == 0) {
        slm_file_writer *writer;
        if (slm_file_writer_open(path, &writer, NULL) != SLM_OK) _exit(1);
        fputs("half", slm_file_writer_stream(writer));
        fflush(slm_file_writer_stream(writer));
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_content(path, "old");
}

static unsigned mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 0777;
}

static void permissions(void **state)
{
    char *path = in_folder(&arena, state, "a.txt");
    mode_t before = umask(022);
    assert_int_equal(slm_file_write(path, "x", 1, NULL), SLM_OK);
    assert_int_equal(mode_of(path), 0644);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(slm_file_write(path, "y", 1, NULL), SLM_OK);
    assert_int_equal(mode_of(path), 0600);
    umask(077);
    char *other = in_folder(&arena, state, "b.txt");
    assert_int_equal(slm_file_write(other, "x", 1, NULL), SLM_OK);
    assert_int_equal(mode_of(other), 0600);
    umask(before);
}

static void links_keep_pointing(void **state)
{
    char *folder = in_folder(&arena, state, "deep");
    char *target = in_folder(&arena, state, "deep/target");
    char *link = in_folder(&arena, state, "link");
    assert_int_equal(slm_file_make_folders(folder, NULL), SLM_OK);
    put_text(target, "old");
    assert_int_equal(symlink("deep/target", link), 0);
    assert_int_equal(slm_file_write(link, "new", 3, NULL), SLM_OK);
    struct stat info;
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_content(target, "new");
}

static void devices_are_written_to_not_replaced(void **state)
{
    slm_error err = {0};
    assert_int_equal(slm_file_write("/dev/null", "x", 1, &err), SLM_OK);
    struct stat info;
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_int_equal(slm_file_write("/dev/full", "x", 1, &err), SLM_ERR_IO);
    assert_holds(err.message, "/dev/full");
    assert_int_equal(slm_file_write(*state, "x", 1, &err), SLM_ERR_IO);
    assert_holds(err.message, "it is a folder");
}

static void missing_folder_is_named(void **state)
{
    slm_error err = {0};
    char *path = in_folder(&arena, state, "none/a.txt");
    assert_int_equal(slm_file_write(path, "x", 1, &err), SLM_ERR_NOT_FOUND);
    assert_holds(err.message, path);
    assert_holds(err.message, "make its folder first");
}

static void long_names_fit(void **state)
{
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    char *path = in_folder(&arena, state, name);
    assert_int_equal(slm_file_write(path, "x", 1, NULL), SLM_OK);
    assert_content(path, "x");
}

static void makes_folders(void **state)
{
    slm_error err = {0};
    char *path = in_folder(&arena, state, "a/b//c/");
    assert_int_equal(slm_file_make_folders(path, &err), SLM_OK);
    assert_true(slm_file_is_folder(path));
    assert_int_equal(slm_file_make_folders(path, &err), SLM_OK);
    assert_int_equal(slm_file_make_folders("/", &err), SLM_OK);
    assert_int_equal(slm_file_make_folders("", &err), SLM_ERR_INVALID);
    put_text(in_folder(&arena, state, "file"), "x");
    char *below = in_folder(&arena, state, "file/x");
    assert_int_equal(slm_file_make_folders(below, &err), SLM_ERR_IO);
    assert_holds(err.message, "is not a folder");
}

static void joins_and_splits(void **state)
{
    (void)state;
    slm_buffer out = {0};
    slm_file_join(&out, "runs", "a.json");
    assert_string_equal(out.data, "runs/a.json");
    slm_file_join(&out, "runs/", "a.json");
    assert_string_equal(out.data, "runs/a.json");
    slm_file_join(&out, "runs", "/etc/a");
    assert_string_equal(out.data, "/etc/a");
    slm_file_join(&out, "", "a");
    assert_string_equal(out.data, "a");
    slm_buffer_free(&out);
    assert_string_equal(slm_file_basename("/a/b.txt"), "b.txt");
    assert_string_equal(slm_file_basename("b.txt"), "b.txt");
    assert_string_equal(slm_file_basename("a/"), "");
    assert_true(slm_file_has_ending("a.gguf", ".gguf"));
    assert_true(slm_file_has_ending(".gguf", ".gguf"));
    assert_false(slm_file_has_ending("gguf", ".gguf"));
    assert_false(slm_file_has_ending("a.gguf.part", ".gguf"));
}

static void replaces(void **state)
{
    slm_error err = {0};
    char *from = in_folder(&arena, state, "from");
    char *to = in_folder(&arena, state, "to");
    put_text(from, "new");
    put_text(to, "old");
    assert_int_equal(slm_file_replace(from, to, &err), SLM_OK);
    assert_content(to, "new");
    assert_false(slm_file_exists(from));
    assert_int_equal(slm_file_replace(from, to, &err), SLM_ERR_NOT_FOUND);
    assert_holds(err.message, from);
}

static void maps(void **state)
{
    slm_error err = {0};
    slm_file_map map;
    char *path = in_folder(&arena, state, "m");
    put_text(path, "mapped");
    assert_int_equal(slm_file_map_open(path, &map, &err), SLM_OK);
    assert_int_equal(map.size, 6);
    assert_memory_equal(map.data, "mapped", 6);
    slm_file_map_close(&map);
    assert_null(map.data);
    slm_file_map_close(&map);
    slm_file_map_close(NULL);
    put_text(path, "");
    assert_int_equal(slm_file_map_open(path, &map, &err), SLM_OK);
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    assert_int_equal(slm_file_map_open(*state, &map, &err), SLM_ERR_IO);
    assert_holds(err.message, "not a regular file");
    char *missing = in_folder(&arena, state, "missing");
    assert_int_equal(slm_file_map_open(missing, &map, &err), SLM_ERR_NOT_FOUND);
}

static void locks(void **state)
{
    slm_error err = {0};
    slm_file_lock *first;
    slm_file_lock *second;
    char *path = in_folder(&arena, state, "lock");
    assert_int_equal(slm_file_lock_take(path, &first, &err), SLM_OK);
    assert_int_equal(slm_file_lock_take(path, &second, &err), SLM_ERR_IO);
    assert_null(second);
    assert_holds(err.message, "another slm is using");
    assert_holds(err.message, path);
    slm_file_lock_release(first);
    slm_file_lock_release(NULL);
    assert_true(slm_file_exists(path));
    assert_int_equal(slm_file_lock_take(path, &second, &err), SLM_OK);
    slm_file_lock_remove(second);
    assert_false(slm_file_exists(path));
    slm_file_lock_remove(NULL);
    /* What somebody put into its place is not removed. */
    assert_int_equal(slm_file_lock_take(path, &first, &err), SLM_OK);
    unlink(path);
    assert_int_equal(slm_file_lock_take(path, &second, &err), SLM_OK);
    slm_file_lock_remove(first);
    assert_true(slm_file_exists(path));
    slm_file_lock_remove(second);
    assert_false(slm_file_exists(path));
}

/* Takes the lock again and again; with it, what is in the file must never be changed by another. */
static void fight_for_lock(const char *path, const char *counter, int rounds)
{
    for (int i = 0; i < rounds;) {
        slm_error err = {0};
        slm_file_lock *lock;
        if (slm_file_lock_take(path, &lock, &err) != SLM_OK) continue;
        int fd = open(counter, O_CREAT | O_EXCL | O_RDWR, 0600);
        if (fd < 0) _exit(1); /* two are in here */
        close(fd);
        unlink(counter);
        slm_file_lock_remove(lock);
        i++;
    }
    _exit(0);
}

static void removed_locks_keep_others_out(void **state)
{
    char *path = in_folder(&arena, state, "lock"), *counter = in_folder(&arena, state, "inside");
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) fight_for_lock(path, counter, 2000);
    }
    for (int i = 0; i < 4; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_false(slm_file_exists(path));
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(writes_and_reads),
        FILE_TEST(reading_says_what_is_wrong),
        FILE_TEST(nothing_appears_before_commit),
        FILE_TEST(abort_leaves_what_was),
        FILE_TEST(failed_write_leaves_what_was),
        FILE_TEST(killed_writer_leaves_the_old_file),
        FILE_TEST(permissions),
        FILE_TEST(links_keep_pointing),
        FILE_TEST(devices_are_written_to_not_replaced),
        FILE_TEST(missing_folder_is_named),
        FILE_TEST(long_names_fit),
        FILE_TEST(makes_folders),
        cmocka_unit_test(joins_and_splits),
        FILE_TEST(replaces),
        FILE_TEST(maps),
        FILE_TEST(locks),
        FILE_TEST(removed_locks_keep_others_out),
    };
    return cmocka_run_group_tests_name("base/file", tests, NULL, NULL);
}
