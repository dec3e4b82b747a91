/* members.c: the members of a large JSON object, one at a time.
 *
 * The header of a safetensors file and the index of a sharded model are objects of up to a hundred
 * megabytes whose members are small. Built whole, a hostile text (RFC 8259 allows "[{},{},...") takes
 * seventy times its own size. So the object is only cut here: a key ends at its closing quote, a
 * value where its brackets close or, for a number or word, at the next separator. What lies between
 * is read by the JSON library, member by member, which finds every fault that cutting has passed
 * over. */
#include <string.h>
#include "tensor/tensor_internal.h"

enum { BUILT_MAX_BYTES = 64 << 10, STRING_MAX_BYTES = 4 << 20 };

static slm_status broken(const slm_json_members *m, size_t at, const char *what, slm_error *err)
{
    return slm_error_set(err, SLM_ERR_FORMAT,
                         "%s: not valid JSON at byte %zu: %s; the file is damaged: fetch it again",
                         m->name, m->base + at, what);
}

static void skip_space(slm_json_members *m)
{
    while (m->at < m->len && memchr(" \t\r\n", m->text[m->at], 4) != NULL)
        m->at++;
}

static bool take(slm_json_members *m, char c)
{
    skip_space(m);
    if (m->at == m->len || m->text[m->at] != c) return false;
    m->at++;
    return true;
}

/* Past the string at m->at, which is a quote. */
static slm_status skip_string(slm_json_members *m, slm_error *err)
{
    size_t start = m->at++;
    while (m->at < m->len && m->text[m->at] != '"')
        m->at += m->text[m->at] == '\\' ? 2 : 1;
    if (m->at >= m->len) return broken(m, start, "a string has no end", err);
    m->at++;
    return SLM_OK;
}

static slm_status skip_value(slm_json_members *m, slm_error *err)
{
    size_t start = m->at, depth = 0;
    if (start == m->len) return broken(m, start, "expected a value", err);
    if (m->text[start] == '"') return skip_string(m, err);
    if (m->text[start] != '{' && m->text[start] != '[') {
        while (m->at < m->len && memchr(",}] \t\r\n", m->text[m->at], 7) == NULL)
            m->at++;
        return m->at > start ? SLM_OK : broken(m, start, "expected a value", err);
    }
    do {
        if (m->at >= m->len) return broken(m, start, "a value has no end", err);
        char c = m->text[m->at];
        if (c == '"') {
            SLM_TRY(skip_string(m, err));
        } else {
            if (c == '{' || c == '[') depth++;
            if (c == '}' || c == ']') depth--;
            m->at++;
        }
    } while (depth > 0);
    return SLM_OK;
}

slm_status slm_tensor__members_open(slm_json_members *members, const char *name,
                                    const slm_json_slice *object, slm_error *err)
{
    *members = (slm_json_members){
        .name = name, .text = object->text, .len = object->len, .base = object->base};
    if (!take(members, '{')) return broken(members, members->at, "expected an object", err);
    return SLM_OK;
}

slm_status slm_tensor__members_next(slm_json_members *m, bool *more, slm_json_slice *key,
                                    slm_json_slice *value, slm_error *err)
{
    *more = false;
    if (take(m, '}')) {
        skip_space(m);
        if (m->at != m->len) return broken(m, m->at, "bytes follow the object's end", err);
        return SLM_OK;
    }
    if (m->count > 0 && !take(m, ',')) return broken(m, m->at, "expected ',' or '}'", err);
    skip_space(m);
    size_t start = m->at;
    if (start == m->len || m->text[start] != '"') return broken(m, start, "expected a key", err);
    SLM_TRY(skip_string(m, err));
    *key = (slm_json_slice){m->text + start, m->at - start, m->base + start};
    if (!take(m, ':')) return broken(m, m->at, "expected ':'", err);
    skip_space(m);
    start = m->at;
    SLM_TRY(skip_value(m, err));
    *value = (slm_json_slice){m->text + start, m->at - start, m->base + start};
    m->count++;
    *more = true;
    return SLM_OK;
}

slm_status slm_tensor__slice_parse(const slm_json_slice *slice, const char *name, json_t **out,
                                   slm_error *err)
{
    bool built = slice->text[0] == '{' || slice->text[0] == '[';
    size_t max = built ? BUILT_MAX_BYTES : STRING_MAX_BYTES;
    if (slice->len > max)
        return slm_error_set(err, SLM_ERR_LIMIT,
                             "%s: the value at byte %zu is %zu bytes long; at most %zu are allowed",
                             name, slice->base, slice->len, max);
    slm_status status = slm_json_parse(slice->text, slice->len, name, 1, out, err);
    if (status == SLM_OK) return status;
    /* The library counts from the slice's start. */
    slm_error inner = {0};
    if (err != NULL) inner = *err;
    return slm_error_set(err, status, "%.900s (counted from byte %zu)", inner.message, slice->base);
}

slm_status slm_tensor__slice_string(const slm_json_slice *slice, const char *name, const char *what,
                                    json_t **out, slm_error *err)
{
    SLM_TRY(slm_tensor__slice_parse(slice, name, out, err));
    if (json_is_string(*out)) return SLM_OK;
    json_decref(*out);
    *out = NULL;
    return slm_error_set(err, SLM_ERR_FORMAT, "%s: %s at byte %zu must be a string", name, what,
                         slice->base);
}
