/* options.c: filling a command's options struct from its table.
 *
 * Command line, recipe and default go through one function, set_value, so that a value means the
 * same wherever it stands. The nearest name to a misspelt one is found by edit distance with
 * transpositions (optimal string alignment; Damerau, "A technique for computer detection and
 * correction of spelling errors", CACM 7, 1964); a beginning of a name ("--temp") counts as near.
 * Mistakes in a table itself are bugs and end in assertions when defaults are filled in. */
#include "base/options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/options_internal.h"
#include "base/utf8.h"

enum { NAME_BYTES = 64 };
/* Bounds from here on are the type's own and are not worth showing. */
static const double HUGE_BOUND = 2147483647;

const slm_option *slm_options__next(const slm_command *command, options__walk *walk)
{
    while (walk->table < SLM_COMMAND_TABLES && command->tables[walk->table] != NULL) {
        const slm_option *row = &command->tables[walk->table][walk->row];
        if (row->name != NULL) {
            walk->row++;
            return row;
        }
        walk->table++;
        walk->row = 0;
    }
    return NULL;
}

bool slm_options__is_on(const slm_option *row)
{
    return row->type == SLM_OPTION_FLAG && row->default_text != NULL &&
           strcmp(row->default_text, "true") == 0;
}

const char *slm_options__value_name(const slm_option *row)
{
    if (row->type == SLM_OPTION_FLAG) return NULL;
    if (row->value_name != NULL) return row->value_name;
    return row->type == SLM_OPTION_CHOICE ? row->choices : "VALUE";
}

static bool is_bounded(const slm_option *row)
{
    return row->min != 0 || row->max != 0;
}

/* "512 MiB" or "20", whichever the row's type asks for. */
static void append_bound(const slm_option *row, double value, slm_buffer *out)
{
    static const char *const units[] = {"", " KiB", " MiB", " GiB", " TiB"};
    size_t unit = 0;
    if (row->type == SLM_OPTION_BYTES) {
        while (unit < 4 && value >= 1024 && fmod(value, 1024) == 0) {
            value /= 1024;
            unit++;
        }
    }
    slm_buffer_printf(out, "%.15g%s", value, units[unit]);
}

static void append_bounds(const slm_option *row, slm_buffer *out)
{
    if (!is_bounded(row)) return;
    double huge = row->type == SLM_OPTION_BYTES ? 0x1p53 : HUGE_BOUND;
    bool low = row->min > -huge;
    bool high = row->max < huge;
    if (low && high) {
        append_bound(row, row->min, out);
        slm_buffer_append_text(out, " to ");
        append_bound(row, row->max, out);
    } else if (low) {
        slm_buffer_append_text(out, "at least ");
        append_bound(row, row->min, out);
    } else if (high) {
        slm_buffer_append_text(out, "at most ");
        append_bound(row, row->max, out);
    }
}

static void append_choices(const slm_option *row, slm_buffer *out)
{
    for (const char *c = row->choices; *c != '\0'; c++) {
        if (*c == '|') {
            slm_buffer_append_text(out, ", ");
        } else {
            slm_buffer_append_char(out, *c);
        }
    }
}

void slm_options__append_kind(const slm_option *row, slm_buffer *out)
{
    slm_buffer bounds = {0};
    append_bounds(row, &bounds);
    switch (row->type) {
    case SLM_OPTION_FLAG:
        slm_buffer_append_text(out, "true or false");
        break;
    case SLM_OPTION_INT:
        slm_buffer_append_text(out, "a whole number");
        break;
    case SLM_OPTION_NUMBER:
        slm_buffer_append_text(out, "a number");
        break;
    case SLM_OPTION_BYTES:
        slm_buffer_append_text(out, "a size like 4096, 512M or 1.5GiB");
        break;
    case SLM_OPTION_CHOICE:
        slm_buffer_append_text(out, "one of ");
        append_choices(row, out);
        break;
    case SLM_OPTION_STRING:
    case SLM_OPTION_STRINGS:
        slm_buffer_append_text(out, "text in UTF-8");
        break;
    case SLM_OPTION_FILE:
    case SLM_OPTION_FILES:
        slm_buffer_append_text(out, "a file");
        break;
    }
    if (bounds.len > 0) {
        bool range = strncmp(bounds.data, "at ", 3) != 0;
        slm_buffer_printf(out, "%s%s", range ? " from " : ", ", bounds.data);
    }
    slm_buffer_free(&bounds);
}

void slm_options__append_note(const slm_option *row, slm_buffer *out)
{
    size_t start = out->len;
    append_bounds(row, out);
    if (row->type == SLM_OPTION_CHOICE && row->value_name != NULL) append_choices(row, out);
    if (row->type == SLM_OPTION_STRINGS || row->type == SLM_OPTION_FILES) {
        slm_buffer_append_text(out, "may be repeated");
    }
    const char *text = row->default_text;
    if (row->type == SLM_OPTION_FLAG) text = slm_options__is_on(row) ? "on" : NULL;
    if (text == NULL) return;
    if (out->len > start) slm_buffer_append_text(out, "; ");
    slm_buffer_printf(out, "default %s", text[0] != '\0' ? text : "empty");
}

static const slm_option *find_name(const slm_command *command, const char *name)
{
    const slm_option *row;
    for (options__walk w = {0}; (row = slm_options__next(command, &w)) != NULL;) {
        if (strcmp(row->name, name) == 0) return row;
    }
    return NULL;
}

static const slm_option *find_letter(const slm_command *command, char letter)
{
    const slm_option *row;
    for (options__walk w = {0}; (row = slm_options__next(command, &w)) != NULL;) {
        if (row->letter != 0 && row->letter == letter) return row;
    }
    return NULL;
}

/* Edit distance with transpositions of neighbours; both shorter than NAME_BYTES. */
static int distance(const char *a, const char *b)
{
    int rows[3][NAME_BYTES + 1];
    int *before = rows[0];
    int *last = rows[1];
    int *now = rows[2];
    int len_b = (int)strlen(b);
    for (int j = 0; j <= len_b; j++)
        last[j] = j;
    for (int i = 1; a[i - 1] != '\0'; i++) {
        now[0] = i;
        for (int j = 1; j <= len_b; j++) {
            int best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            now[j] = best;
        }
        int *recycled = before;
        before = last;
        last = now;
        now = recycled;
    }
    return last[len_b];
}

/* How far a misspelt name is from a candidate; -1 if it is not worth suggesting. */
static int nearness(const char *wrong, const char *candidate)
{
    size_t len = strlen(wrong);
    if (len >= NAME_BYTES || strlen(candidate) >= NAME_BYTES || len == 0) return -1;
    if (len >= 2 && strncmp(wrong, candidate, len) == 0) return 0;
    int limit = len <= 3 ? 1 : len <= 8 ? 2 : 3;
    int found = distance(wrong, candidate);
    return found <= limit ? found : -1;
}

const char *slm_options_nearest(const char *wrong, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    int best = -1;
    for (size_t i = 0; i < count; i++) {
        int near = nearness(wrong, names[i]);
        if (near >= 0 && (best < 0 || near < best)) {
            best = near;
            nearest = names[i];
        }
    }
    return nearest;
}

/* The name nearest to `wrong`, which may be "no-" in front of a flag; NULL if none is near. */
static const slm_option *nearest_row(const slm_command *command, const char *wrong)
{
    const slm_option *nearest = NULL;
    const slm_option *row;
    int best = -1;
    for (options__walk w = {0}; (row = slm_options__next(command, &w)) != NULL;) {
        int near = nearness(wrong, row->name);
        if (near >= 0 && (best < 0 || near < best)) {
            best = near;
            nearest = row;
        }
    }
    return nearest;
}

/* Sets bool *out from "true", "on", "yes", "1" and their opposites. */
static bool read_flag(const char *text, bool *out)
{
    static const char *const on[] = {"true", "on", "yes", "1"};
    static const char *const off[] = {"false", "off", "no", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(text, on[i]) == 0 || strcmp(text, off[i]) == 0) {
            *out = strcmp(text, on[i]) == 0;
            return true;
        }
    }
    return false;
}

static bool starts_like_number(const char *text)
{
    if (*text == '-' || *text == '+') text++;
    return (*text >= '0' && *text <= '9') || *text == '.';
}

static bool read_number(const char *text, double *out)
{
    char *end;
    if (!starts_like_number(text)) return false;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out);
}

/* "1.5GiB": a number and a power of 1024. */
static bool read_bytes(const char *text, uint64_t *out)
{
    static const char letters[] = "KMGT";
    char *end;
    if (!starts_like_number(text) || text[0] == '-') return false;
    double value = strtod(text, &end);
    if (end == text) return false;
    if (*end != '\0' && strcmp(end, "B") != 0) {
        char letter = *end >= 'a' && *end <= 'z' ? (char)(*end - 'a' + 'A') : *end;
        const char *found = strchr(letters, letter);
        if (found == NULL) return false;
        for (const char *c = letters; c <= found; c++)
            value *= 1024;
        end++;
        if (strcmp(end, "") != 0 && strcmp(end, "B") != 0 && strcmp(end, "iB") != 0) return false;
    }
    if (!(value >= 0) || value >= 0x1p64) return false;
    *out = (uint64_t)value;
    return true;
}

static bool read_choice(const slm_option *row, const char *text)
{
    size_t len = strlen(text);
    for (const char *start = row->choices; start != NULL;) {
        const char *bar = strchr(start, '|');
        size_t width = bar != NULL ? (size_t)(bar - start) : strlen(start);
        if (width == len && memcmp(start, text, len) == 0) return true;
        start = bar != NULL ? bar + 1 : NULL;
    }
    return false;
}

static bool within(const slm_option *row, double value)
{
    return !is_bounded(row) || (value >= row->min && value <= row->max);
}

static void append_item(slm_option_list *list, const char *item, bool first, slm_arena *arena)
{
    size_t count = first ? 0 : list->count;
    const char **items = slm_arena_array(arena, count + 1, sizeof *items);
    if (count > 0) memcpy(items, list->items, count * sizeof *items);
    items[count] = item;
    list->items = items;
    list->count = count + 1;
}

/* Puts the value of `text` where the row says; false if it is not allowed. `first` makes a list
 * begin anew instead of growing. */
static bool set_value(const slm_option *row, const char *text, bool first, void *options,
                      slm_arena *arena)
{
    void *field = (char *)options + row->offset;
    switch (row->type) {
    case SLM_OPTION_FLAG:
        return read_flag(text, field);
    case SLM_OPTION_INT: {
        char *end;
        errno = 0;
        long long value = strtoll(text, &end, 10);
        if (!starts_like_number(text) || *end != '\0' || errno != 0) return false;
        if (!within(row, (double)value)) return false;
        *(int64_t *)field = value;
        return true;
    }
    case SLM_OPTION_NUMBER: {
        double value;
        if (!read_number(text, &value) || !within(row, value)) return false;
        *(double *)field = value;
        return true;
    }
    case SLM_OPTION_BYTES: {
        uint64_t value;
        if (!read_bytes(text, &value) || !within(row, (double)value)) return false;
        *(uint64_t *)field = value;
        return true;
    }
    case SLM_OPTION_CHOICE:
        if (!read_choice(row, text)) return false;
        *(const char **)field = slm_arena_strdup(arena, text);
        return true;
    case SLM_OPTION_STRING:
    case SLM_OPTION_STRINGS:
        if (!slm_utf8_valid(text, strlen(text), NULL)) return false;
        break;
    case SLM_OPTION_FILE:
    case SLM_OPTION_FILES:
        if (text[0] == '\0') return false;
        break;
    }
    if (row->type == SLM_OPTION_STRINGS || row->type == SLM_OPTION_FILES) {
        append_item(field, slm_arena_strdup(arena, text), first, arena);
    } else {
        *(const char **)field = slm_arena_strdup(arena, text);
    }
    return true;
}

/* The error for a value that set_value refused; `shown` is the option as the user wrote it. */
static slm_status refuse(const slm_option *row, const char *shown, const char *text, slm_error *err)
{
    slm_buffer kind = {0};
    slm_buffer clean = {0};
    slm_options__append_kind(row, &kind);
    slm_utf8_append_valid(&clean, text, strlen(text));
    slm_status status = slm_error_set(err, SLM_ERR_INVALID, "%s must be %s, not '%s'", shown,
                                      slm_buffer_text(&kind), slm_buffer_text(&clean));
    slm_buffer_free(&kind);
    slm_buffer_free(&clean);
    return status;
}

static size_t field_bytes(slm_option_type type)
{
    switch (type) {
    case SLM_OPTION_FLAG:
        return sizeof(bool);
    case SLM_OPTION_STRINGS:
    case SLM_OPTION_FILES:
        return sizeof(slm_option_list);
    case SLM_OPTION_STRING:
    case SLM_OPTION_FILE:
    case SLM_OPTION_CHOICE:
        return sizeof(const char *);
    case SLM_OPTION_INT:
    case SLM_OPTION_NUMBER:
    case SLM_OPTION_BYTES:
        break;
    }
    return 8;
}

void slm_options_defaults(const slm_command *command, void *options, slm_arena *arena)
{
    if (command->options_bytes > 0) memset(options, 0, command->options_bytes);
    const slm_option *row;
    for (options__walk w = {0}; (row = slm_options__next(command, &w)) != NULL;) {
        SLM_ASSERT(find_name(command, row->name) == row);
        SLM_ASSERT(row->letter == 0 || find_letter(command, row->letter) == row);
        SLM_ASSERT(strlen(row->name) < NAME_BYTES && row->help != NULL);
        SLM_ASSERT(row->type != SLM_OPTION_CHOICE || row->choices != NULL);
        SLM_ASSERT(row->offset + field_bytes(row->type) <= command->options_bytes);
        if (row->default_text == NULL) continue;
        bool valid = set_value(row, row->default_text, true, options, arena);
        SLM_ASSERT(valid);
    }
}

/* State of one slm_options_parse. */
typedef struct parser {
    const slm_command *command;
    int argc, at;
    char *const *argv;
    void *options;
    slm_arena *arena;
    bool *seen; /* [rows]: whether a list has been given already, by the row's place in the walk */
    slm_error *err;
} parser;

static slm_status unknown_option(const parser *p, const char *shown, const char *name)
{
    slm_buffer clean = {0};
    slm_utf8_append_valid(&clean, shown, strlen(shown));
    const slm_option *near = nearest_row(p->command, name);
    slm_status status;
    if (near != NULL) {
        status = slm_error_set(p->err, SLM_ERR_INVALID,
                               "unknown option %s; did you mean --%s? (slm %s --help lists all)",
                               clean.data, near->name, p->command->name);
    } else {
        status =
            slm_error_set(p->err, SLM_ERR_INVALID, "unknown option %s (slm %s --help lists all)",
                          clean.data, p->command->name);
    }
    slm_buffer_free(&clean);
    return status;
}

static slm_status put(parser *p, const slm_option *row, const char *text)
{
    char shown[NAME_BYTES + 8];
    snprintf(shown, sizeof shown, "--%s", row->name);
    size_t place = 0;
    const slm_option *each;
    for (options__walk w = {0}; (each = slm_options__next(p->command, &w)) != row;)
        place++;
    if (!set_value(row, text, !p->seen[place], p->options, p->arena)) {
        return refuse(row, shown, text, p->err);
    }
    p->seen[place] = true;
    return SLM_OK;
}

/* The value of `row` is the next argument. */
static slm_status put_next(parser *p, const slm_option *row)
{
    const char *next = p->at < p->argc ? p->argv[p->at] : NULL;
    if (next == NULL) {
        return slm_error_set(p->err, SLM_ERR_INVALID, "--%s needs a value: --%s %s", row->name,
                             row->name, slm_options__value_name(row));
    }
    /* Far more often a forgotten value than one that begins with two dashes. */
    if (strncmp(next, "--", 2) == 0) {
        return slm_error_set(p->err, SLM_ERR_INVALID,
                             "--%s needs a value, but %s follows (write --%s=%s if you mean that)",
                             row->name, next, row->name, next);
    }
    p->at++;
    return put(p, row, next);
}

/* "--name", "--name=value", "--no-name" */
static slm_status parse_long(parser *p, const char *argument)
{
    char name[NAME_BYTES];
    const char *equals = strchr(argument, '=');
    size_t len = equals != NULL ? (size_t)(equals - argument) - 2 : strlen(argument) - 2;
    if (len >= sizeof name) return unknown_option(p, argument, "");
    memcpy(name, argument + 2, len);
    name[len] = '\0';
    const slm_option *row = find_name(p->command, name);
    if (row == NULL && strncmp(name, "no-", 3) == 0) {
        row = find_name(p->command, name + 3);
        if (row != NULL && row->type == SLM_OPTION_FLAG) {
            if (equals == NULL) return put(p, row, "false");
            return slm_error_set(p->err, SLM_ERR_INVALID, "--%s takes no value", name);
        }
        row = NULL;
    }
    if (row == NULL) {
        char shown[NAME_BYTES + 2];
        snprintf(shown, sizeof shown, "--%s", name);
        return unknown_option(p, shown, name);
    }
    if (equals != NULL) return put(p, row, equals + 1);
    if (row->type == SLM_OPTION_FLAG) return put(p, row, "true");
    return put_next(p, row);
}

/* "-k4", "-k 4", "-v", "-vk4" */
static slm_status parse_letters(parser *p, const char *argument, bool *help)
{
    for (const char *c = argument + 1; *c != '\0'; c++) {
        const slm_option *row = find_letter(p->command, *c);
        if (row == NULL && *c == 'h') {
            *help = true;
            return SLM_OK;
        }
        if (row == NULL) return unknown_option(p, argument, "");
        if (row->type != SLM_OPTION_FLAG) {
            return c[1] != '\0' ? put(p, row, c + 1) : put_next(p, row);
        }
        SLM_TRY(put(p, row, "true"));
    }
    return SLM_OK;
}

static slm_status check_count(const slm_command *command, size_t count, slm_error *err)
{
    if (count < (size_t)command->min_arguments) {
        return slm_error_set(err, SLM_ERR_INVALID,
                             "something is missing after \"slm %s\"; use it like this: slm %s %s",
                             command->name, command->name, command->usage);
    }
    if (command->max_arguments >= 0 && count > (size_t)command->max_arguments) {
        char most[32] = "no";
        if (command->max_arguments > 0)
            snprintf(most, sizeof most, "%s%d",
                     command->min_arguments < command->max_arguments ? "at most " : "",
                     command->max_arguments);
        return slm_error_set(err, SLM_ERR_INVALID,
                             "slm %s takes %s argument%s, not %zu; use it like this: slm %s%s%s",
                             command->name, most, command->max_arguments == 1 ? "" : "s", count,
                             command->name, command->usage[0] != '\0' ? " " : "", command->usage);
    }
    return SLM_OK;
}

slm_status slm_options_parse(const slm_command *command, int argc, char *const *argv, void *options,
                             slm_option_list *arguments, bool *help, slm_arena *arena,
                             slm_error *err)
{
    size_t rows = 0;
    for (options__walk w = {0}; slm_options__next(command, &w) != NULL;)
        rows++;
    parser p = {.command = command,
                .argc = argc,
                .argv = argv,
                .options = options,
                .arena = arena,
                .seen = slm_arena_array(arena, rows, sizeof *p.seen),
                .err = err};
    *arguments = (slm_option_list){0};
    *help = false;
    arguments->items = slm_arena_array(arena, (size_t)argc + 1, sizeof *arguments->items);
    bool only_arguments = false;
    while (p.at < argc) {
        const char *argument = argv[p.at++];
        if (only_arguments || argument[0] != '-' || argument[1] == '\0') {
            arguments->items[arguments->count++] = slm_arena_strdup(arena, argument);
        } else if (strcmp(argument, "--") == 0) {
            only_arguments = true;
        } else if (strcmp(argument, "--help") == 0) {
            *help = true;
        } else if (argument[1] == '-') {
            SLM_TRY(parse_long(&p, argument));
        } else {
            SLM_TRY(parse_letters(&p, argument, help));
        }
        if (*help) return SLM_OK;
    }
    return check_count(command, arguments->count, err);
}

slm_status slm_options_set(const slm_command *command, const char *name, const char *value,
                           const char *place, void *options, slm_arena *arena, slm_error *err)
{
    char dashed[NAME_BYTES] = "";
    if (strlen(name) < sizeof dashed) {
        for (size_t i = 0; name[i] != '\0'; i++)
            dashed[i] = name[i] == '_' ? '-' : name[i];
    }
    const slm_option *row = find_name(command, dashed);
    slm_status status;
    if (row == NULL) {
        const slm_option *near = nearest_row(command, dashed);
        char written[NAME_BYTES] = "";
        for (size_t i = 0; near != NULL && near->name[i] != '\0'; i++) {
            written[i] = near->name[i] == '-' ? '_' : near->name[i];
        }
        status =
            slm_error_set(err, SLM_ERR_INVALID, "unknown key %s%s%s%s", name,
                          near != NULL ? "; did you mean " : "", written, near != NULL ? "?" : "");
    } else if (set_value(row, value, false, options, arena)) {
        return SLM_OK;
    } else {
        status = refuse(row, name, value, err);
    }
    return place != NULL ? slm_error_prefix(err, status, "%s", place) : status;
}
