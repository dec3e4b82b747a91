/* helpers.h: a folder of a test's own, small files, and what a stream has written. */
#ifndef SLM_TESTS_BASE_HELPERS_H
#define SLM_TESTS_BASE_HELPERS_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <dirent.h>
#include <cmocka.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"

/* Makes an empty folder; *state is its path. A cmocka setup. */
static inline int make_folder(void **state)
{
    const char *base = getenv("TMPDIR");
    slm_buffer path = {0};
    slm_buffer_printf(&path, "%s/slm-test-XXXXXX", base != NULL ? base : "/tmp");
    char *made = mkdtemp(path.data);
    if (made == NULL) return -1;
    *state = slm_buffer_take(&path);
    return 0;
}

static inline int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* The teardown of make_folder. */
static inline int remove_folder(void **state)
{
    int failed = nftw(*state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return failed;
}

/* "folder/name" in memory of the arena. */
static inline char *in_folder(slm_arena *arena, void **state, const char *name)
{
    return slm_arena_printf(arena, "%s/%s", (const char *)*state, name);
}

static inline void put_file(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static inline void put_text(const char *path, const char *text)
{
    put_file(path, text, strlen(text));
}

/* Names in a folder, "." and ".." left out. */
static inline size_t count_files(const char *folder)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) count++;
    }
    closedir(dir);
    return count;
}

/* Asserts that text holds part, showing both if not. */
static inline void assert_holds(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) fail_msg("\"%s\" is not in \"%s\"", part, text);
}

#endif
