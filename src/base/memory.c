/* memory.c: how much memory this process may still take.
 *
 * Linux tells it in three places: MemAvailable of /proc/meminfo; the limits of the control groups that
 * the process is in, each one up to the root (memory.max and memory.current of version 2,
 * memory.limit_in_bytes and memory.usage_in_bytes of version 1, the kernel's
 * admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst), whose use counts files in the page cache,
 * which can be given up; and RLIMIT_AS. A file that is not there sets no limit. */
#include "base/memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATH_BYTES = 4200, LINE_BYTES = 4300 };

/* The number behind `key` at the head of one of the file's lines ("" reads the first line). */
static bool read_number(const char *path, const char *key, uint64_t *out)
{
    char line[256];
    bool found = false;
    FILE *stream = fopen(path, "re");
    if (stream == NULL) return false;
    while (!found && fgets(line, sizeof line, stream) != NULL) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        found = sscanf(line + strlen(key), "%" SCNu64, out) == 1;
        if (key[0] == '\0') break;
    }
    fclose(stream);
    return found;
}

/* What a control group's folder leaves. */
static uint64_t left_in(const char *folder, bool second)
{
    char path[LINE_BYTES];
    uint64_t limit, used = 0, active = 0, inactive = 0;
    snprintf(path, sizeof path, "%s/%s", folder, second ? "memory.max" : "memory.limit_in_bytes");
    if (!read_number(path, "", &limit)) return UINT64_MAX;
    snprintf(path, sizeof path, "%s/%s", folder,
             second ? "memory.current" : "memory.usage_in_bytes");
    (void)read_number(path, "", &used);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    (void)read_number(path, second ? "active_file " : "total_active_file ", &active);
    (void)read_number(path, second ? "inactive_file " : "total_inactive_file ", &inactive);
    used = active + inactive < used ? used - active - inactive : 0;
    return used < limit ? limit - used : 0;
}

/* Of the group at `path` below `root` and of all above it. In a container the path may be the host's:
 * then only the root is there. */
static uint64_t left_up_from(const char *root, char *path, bool second)
{
    char folder[PATH_BYTES];
    uint64_t least = left_in(root, second);
    for (char *slash; (slash = strrchr(path, '/')) != NULL && path[1] != '\0'; *slash = '\0') {
        if (snprintf(folder, sizeof folder, "%s%s", root, path) >= (int)sizeof folder) break;
        uint64_t left = left_in(folder, second);
        if (left < least) least = left;
        if (slash == path) break;
    }
    return least;
}

static uint64_t left_in_groups(void)
{
    char line[LINE_BYTES];
    uint64_t least = UINT64_MAX;
    FILE *stream = fopen("/proc/self/cgroup", "re");
    if (stream == NULL) return least;
    while (fgets(line, sizeof line, stream) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *first = strchr(line, ':'), *path = first ? strchr(first + 1, ':') : NULL;
        if (path == NULL) continue;
        *path++ = '\0';
        const char *controllers = first + 1;
        const bool second = controllers[0] == '\0'; /* "0::/user.slice" */
        if (!second && strcmp(controllers, "memory") != 0) continue;
        uint64_t left =
            left_up_from(second ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory", path, second);
        if (left < least) least = left;
    }
    fclose(stream);
    return least;
}

static uint64_t left_of_address_space(void)
{
    struct rlimit limit;
    uint64_t pages = 0;
    const long page_bytes = sysconf(_SC_PAGESIZE);
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
    if (!read_number("/proc/self/statm", "", &pages) || page_bytes <= 0) return UINT64_MAX;
    const uint64_t used = pages * (uint64_t)page_bytes;
    return used < limit.rlim_cur ? limit.rlim_cur - used : 0;
}

uint64_t slm_memory_available(void)
{
    uint64_t least = UINT64_MAX, kilobytes;
    if (read_number("/proc/meminfo", "MemAvailable:", &kilobytes)) least = kilobytes * 1024;
    const uint64_t others[] = {left_in_groups(), left_of_address_space()};
    for (int i = 0; i < 2; i++)
        if (others[i] < least) least = others[i];
    return least;
}
