/* pull_hub.c: the files of a model on a hub that speaks the Hugging Face Hub's HTTP API.
 *
 *   GET ENDPOINT/api/models/OWNER/NAME/revision/REVISION?blobs=true
 *       {"sha": commit, "siblings": [{"rfilename", "size", "blobId", "lfs": {"sha256", "size"}}]}
 *   GET ENDPOINT/OWNER/NAME/resolve/COMMIT/FILE      the file, or a redirect to where it is stored
 *
 * (Hub API endpoints, huggingface_hub's RepoSibling.) Large files tell their sha256; small ones live
 * in git, whose blob name is a hash as well. The revision is asked for once and becomes a commit, so
 * that all files are of one moment.
 *
 * Where the hub stands is a setting: no address is written here. The token goes to the endpoint
 * alone: base/http drops it where a redirect changes the host (storage hosts get signed links), and
 * over plain http it stays at home unless the endpoint is this machine. */
#include "pull_internal.h"

#include <string.h>
#include <strings.h>

#include "base/json.h"

enum { LIST_TIMEOUT_MS = 120 * 1000, STALL_MS = 60 * 1000, MAX_FILES = 20000 };
static const size_t MAX_LIST_BYTES = (size_t)32 << 20;

slm_status pull__hub_start(pull *p)
{
    const char *endpoint = p->options->endpoint;
    if (endpoint == NULL || endpoint[0] == '\0') {
        return slm_error_set(p->err, SLM_ERR_INVALID,
                             "%s: slm does not know where your hub is; give its address with "
                             "--endpoint https://HOST, or set HF_ENDPOINT",
                             p->out->source);
    }
    const char *host = strstr(endpoint, "://");
    bool http = strncasecmp(endpoint, "http://", 7) == 0;
    size_t host_len = host != NULL ? strcspn(host + 3, "/?#") : 0;
    if ((!http && strncasecmp(endpoint, "https://", 8) != 0) || host_len == 0 ||
        strpbrk(endpoint, "?#@ \t\r\n") != NULL) {
        return slm_error_set(p->err, SLM_ERR_INVALID,
                             "the endpoint must be an address like https://HOST or "
                             "https://HOST/PATH, without a password, '?' and '#'");
    }
    size_t len = strlen(endpoint);
    while (endpoint[len - 1] == '/')
        len--;
    p->endpoint = slm_arena_strndup(&p->out->arena, endpoint, len);
    const char *token = p->options->token;
    if (token == NULL || token[0] == '\0') return SLM_OK;
    if (!pull__is_private(p->endpoint)) {
        slm_log_print(p->log, SLM_LOG_WARNING,
                      "the token is not sent to %s: plain http would show it to everybody between",
                      p->endpoint);
        return SLM_OK;
    }
    p->authorization[0] = slm_arena_printf(&p->out->arena, "Authorization: Bearer %s", token);
    return SLM_OK;
}

slm_status pull__hub_refused(pull *p, const char *what, long status, const char *retry_after)
{
    const char *where = p->endpoint;
    bool key = p->authorization[0] != NULL;
    switch (status) {
    case 401:
    case 403:
        if (key)
            return slm_error_set(p->err, SLM_ERR_NETWORK,
                                 "%s does not give out %s (HTTP status %ld): accept the model's "
                                 "terms on its page with the account that HF_TOKEN belongs to, and "
                                 "check that the token may read it",
                                 where, what, status);
        return slm_error_set(
            p->err, SLM_ERR_NETWORK,
            "%s does not give out %s (HTTP status %ld): there is no such model, or "
            "it asks who you are; check the name, or set HF_TOKEN",
            where, what, status);
    case 404:
    case 410:
        return slm_error_set(p->err, SLM_ERR_NOT_FOUND,
                             "%s has no %s (HTTP status %ld); check owner, name and revision%s",
                             where, what, status, key ? "" : ", or set HF_TOKEN if it is private");
    case 429:
        return slm_error_set(p->err, SLM_ERR_NETWORK,
                             "%s was asked too often (HTTP status 429); try again %s%.40s%s", where,
                             retry_after != NULL ? "in " : "later",
                             retry_after != NULL ? retry_after : "",
                             retry_after != NULL ? " s" : "");
    default:
        return slm_error_set(
            p->err, SLM_ERR_NETWORK, "%s answers with HTTP status %ld to the question for %s; %s",
            where, status, what, status >= 500 ? "try again later" : "is it the address of a hub?");
    }
}

typedef struct list_body {
    slm_buffer text;
    bool too_long;
} list_body;

/* Collects a body up to MAX_LIST_BYTES. */
static bool on_list(void *context, const void *bytes, size_t len)
{
    list_body *body = context;
    body->too_long = len > MAX_LIST_BYTES - body->text.len;
    if (!body->too_long) slm_buffer_append(&body->text, bytes, len);
    return !body->too_long;
}

static slm_status add_sibling(pull *p, const json_t *item, const slm_json_place *place,
                              size_t *room)
{
    const char *name, *oid = NULL, *sha256 = NULL;
    int64_t bytes = -1;
    json_t *lfs = NULL;
    SLM_TRY(slm_json_string(item, "rfilename", place, &name, p->err));
    SLM_TRY(pull__check_name(name, p->out->source, p->err));
    SLM_TRY(slm_json_integer_optional(item, "size", place, &bytes, p->err));
    SLM_TRY(slm_json_string_optional(item, "blobId", place, &oid, p->err));
    SLM_TRY(slm_json_object_optional(item, "lfs", place, &lfs, p->err));
    if (lfs != NULL) {
        const slm_json_place inner = {.parent = place, .key = "lfs"};
        SLM_TRY(slm_json_string_optional(lfs, "oid", &inner, &sha256, p->err));
        SLM_TRY(slm_json_string_optional(lfs, "sha256", &inner, &sha256, p->err));
        SLM_TRY(slm_json_integer_optional(lfs, "size", &inner, &bytes, p->err));
        oid = NULL; /* that of the pointer, not of the file */
        if (sha256 == NULL || !pull__is_hex(sha256, 64))
            return slm_json_error(&inner, p->err, "no sha256 of 64 hex digits");
    }
    if (oid != NULL && !pull__is_hex(oid, 40))
        return slm_json_error(place, p->err, "blobId is not 40 hex digits");
    slm_pull_file *file = pull__add_file(p, name, room);
    file->sized = bytes >= 0;
    file->bytes = bytes >= 0 ? (uint64_t)bytes : 0;
    if (sha256 != NULL) file->sha256 = pull__lower(p, sha256);
    if (oid != NULL) file->git_oid = pull__lower(p, oid);
    return SLM_OK;
}

static slm_status read_list(pull *p, const slm_buffer *body)
{
    json_t *root = NULL, *siblings;
    const char *name = slm_arena_printf(&p->out->arena, "the list of files of %s from %s",
                                        p->out->source, p->endpoint);
    const slm_json_place place = {.name = name};
    const char *commit;
    size_t room = 0;
    slm_status status = slm_json_parse(slm_buffer_text(body), body->len, name, 1, &root, p->err);
    if (status == SLM_OK) status = slm_json_string(root, "sha", &place, &commit, p->err);
    if (status == SLM_OK && !pull__is_hex(commit, 40))
        status = slm_json_error(&place, p->err, "sha is not a commit of 40 hex digits");
    if (status == SLM_OK) status = slm_json_array(root, "siblings", &place, &siblings, p->err);
    if (status == SLM_OK && json_array_size(siblings) > MAX_FILES)
        status = slm_json_error(&place, p->err, "more than %d files", MAX_FILES);
    if (status == SLM_OK) {
        p->out->commit = pull__lower(p, commit);
        const slm_json_place list = {.parent = &place, .key = "siblings"};
        for (size_t i = 0; status == SLM_OK && i < json_array_size(siblings); i++) {
            const slm_json_place at = {.parent = &list, .index = i};
            status = add_sibling(p, json_array_get(siblings, i), &at, &room);
        }
    }
    if (status == SLM_OK) status = pull__check_twins(p, name);
    json_decref(root);
    return status;
}

slm_status pull__hub_list(pull *p)
{
    slm_buffer url = {0}, retry = {0};
    list_body body = {0};
    slm_http_reply *reply = NULL;
    slm_buffer_printf(&url, "%s/api/models/%s/%s/revision/", p->endpoint, p->owner, p->name);
    pull__append_escaped(&url, p->out->revision, false);
    slm_buffer_append_text(&url, "?blobs=true");
    slm_http_request request = {.method = "GET",
                                .url = url.data,
                                .headers = p->authorization,
                                .timeout_ms = LIST_TIMEOUT_MS,
                                .stall_timeout_ms = STALL_MS,
                                .on_body = on_list,
                                .context = &body};
    slm_status status = slm_http_perform(p->http, &request, &reply, p->err);
    if (status != SLM_OK && body.too_long) {
        status =
            slm_error_set(p->err, SLM_ERR_FORMAT,
                          "%s sends a list of files of more than %zu MiB; is it the address of "
                          "a hub?",
                          p->endpoint, MAX_LIST_BYTES >> 20);
    } else if (status == SLM_OK && (reply->status < 200 || reply->status > 299)) {
        const char *what =
            slm_arena_printf(&p->out->arena, "%s/%s at %s", p->owner, p->name, p->out->revision);
        bool told = slm_http_reply_header(reply, "Retry-After", &retry) && retry.len > 0 &&
                    strspn(retry.data, "0123456789") == retry.len;
        status = pull__hub_refused(p, what, reply->status, told ? retry.data : NULL);
    } else if (status == SLM_OK) {
        status = read_list(p, &body.text);
    }
    slm_http_reply_free(reply);
    slm_buffer_free(&url);
    slm_buffer_free(&body.text);
    slm_buffer_free(&retry);
    return status;
}

const char *pull__hub_url(pull *p, const slm_pull_file *file)
{
    slm_buffer url = {0};
    slm_buffer_printf(&url, "%s/%s/%s/resolve/%s/", p->endpoint, p->owner, p->name, p->out->commit);
    pull__append_escaped(&url, file->name, true);
    const char *copy = slm_arena_strdup(&p->out->arena, url.data);
    slm_buffer_free(&url);
    return copy;
}
