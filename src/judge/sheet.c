/* sheet.c: answers as a spreadsheet for a person to grade, and back.
 *
 * A sheet has a row for each criterion of an answer. Conversation and reply stand in the answer's
 * first row alone, so that the criteria below them can be read at a glance; what the program needs
 * back are the columns `id` and `holds`, in any order and any place. An id is a hash of run, case,
 * rollout, and the criterion's number: it tells a reader nothing, and it finds the answer again in
 * the database without a key to be kept.
 *
 * Which answers: arms take turns, and each takes from the kind of case (context and disposition, else
 * theme) that it has had least of, the next case in one shuffled order that all arms share. So arms
 * and kinds are balanced to within one, and arms are graded on the same cases as far as they have
 * them. A seed decides all draws.
 *
 * Spreadsheets change separators, quotes, line ends and byte-order marks as they please (base/csv.h).
 * What they cannot do is lost on import: every cell that is not understood is named with its line
 * and column, and then nothing is imported. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/csv.h"
#include "base/file.h"
#include "base/random.h"
#include "base/utf8.h"
#include "judge/judge_internal.h"

enum {
    ID_DIGITS = 16,
    ID_BYTES = 48,
    CELL_BYTES_MAX = 30000, /* spreadsheets hold some 32,000 characters in a cell */
    PROBLEMS_MAX = 100,
};
static const char byte_order_mark[] = "\xef\xbb\xbf";

/* "x" and hex digits: nothing that a spreadsheet takes for a number or a date. */
static void answer_id(const char *run, const char *case_id, int64_t rollout, char out[ID_BYTES])
{
    char number[32], hex[SLM_SHA256_HEX_BYTES];
    snprintf(number, sizeof number, "%" PRId64, rollout);
    slm_sha256 *hash = slm_sha256_new();
    slm_sha256_update_part(hash, "slm sheet 1");
    slm_sha256_update_part(hash, run);
    slm_sha256_update_part(hash, case_id);
    slm_sha256_update_part(hash, number);
    slm_sha256_finish(hash, hex);
    snprintf(out, ID_BYTES, "x%.*s", ID_DIGITS, hex);
}

/* ---- which answers ------------------------------------------------------------------------- */

/* A sample that could be graded. */
typedef struct candidate {
    const slm_case *c;
    size_t arm, kind;
    int64_t rollout;
    uint64_t case_rank, rollout_rank; /* drawn */
    size_t turn;                      /* how many of this arm's answers to the case come before */
} candidate;

typedef struct choice {
    slm_arena arena;
    judge__stored stored;
    const char **kinds;
    size_t kind_count, kind_cap;
    candidate *items;
    size_t count, cap;
    size_t arm, arm_count;
    uint64_t seed;
} choice;

static const char *kind_of(const slm_case *c, slm_arena *arena)
{
    if (c->context != SLM_CONTEXT_NONE || c->disposition != SLM_DISPOSITION_NONE)
        return slm_arena_printf(arena, "%s %s", slm_context_name(c->context),
                                slm_disposition_name(c->disposition));
    for (size_t i = 0; i < c->tag_count; i++)
        if (strncmp(c->tags[i], "theme:", 6) == 0) return c->tags[i];
    return "";
}

static size_t kind_index(choice *ch, const slm_case *c)
{
    const char *kind = kind_of(c, &ch->arena);
    for (size_t i = 0; i < ch->kind_count; i++)
        if (strcmp(ch->kinds[i], kind) == 0) return i;
    if (ch->kind_count == ch->kind_cap) {
        ch->kind_cap = ch->kind_cap ? 2 * ch->kind_cap : 16;
        ch->kinds = realloc(ch->kinds, ch->kind_cap * sizeof(const char *));
        if (ch->kinds == NULL) slm_out_of_memory(ch->kind_cap);
    }
    ch->kinds[ch->kind_count] = kind;
    return ch->kind_count++;
}

static uint64_t drawn(uint64_t seed, const char *run, const char *case_id, int64_t rollout)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, rollout);
    uint64_t stream = slm_hash_bytes(case_id, strlen(case_id)) ^
                      (slm_hash_bytes(run, strlen(run)) * 31) ^
                      (slm_hash_bytes(text, strlen(text)) * 17);
    slm_random random = slm_random_new(seed, stream);
    return slm_random_u64(&random);
}

static bool on_key(void *context, const char *case_id, int64_t rollout, bool graded)
{
    choice *ch = context;
    (void)graded;
    const judge__stored_run *run = &ch->stored.runs[ch->arm];
    const slm_case *c = judge__stored_find(&ch->stored, run->set, case_id);
    if (c == NULL || c->rubric_count == 0) return true;
    if (ch->count == ch->cap) {
        ch->cap = ch->cap ? 2 * ch->cap : 1024;
        ch->items = realloc(ch->items, ch->cap * sizeof *ch->items);
        if (ch->items == NULL) slm_out_of_memory(ch->cap * sizeof *ch->items);
    }
    ch->items[ch->count++] =
        (candidate){.c = c,
                    .arm = ch->arm,
                    .kind = kind_index(ch, c),
                    .rollout = rollout,
                    .case_rank = drawn(ch->seed, "", case_id, 0),
                    .rollout_rank = drawn(ch->seed, run->hash, case_id, rollout)};
    return true;
}

/* By arm, case, and draw: to number an arm's answers to a case. */
static int compare_by_case(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->arm != y->arm) return x->arm < y->arm ? -1 : 1;
    int order = strcmp(x->c->id, y->c->id);
    if (order) return order;
    if (x->rollout_rank != y->rollout_rank) return x->rollout_rank < y->rollout_rank ? -1 : 1;
    return (x->rollout > y->rollout) - (x->rollout < y->rollout);
}

/* By arm and kind, in the order in which they are taken. */
static int compare_by_turn(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->arm != y->arm) return x->arm < y->arm ? -1 : 1;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    if (x->turn != y->turn) return x->turn < y->turn ? -1 : 1;
    if (x->case_rank != y->case_rank) return x->case_rank < y->case_rank ? -1 : 1;
    int order = strcmp(x->c->id, y->c->id);
    return order ? order : (x->rollout > y->rollout) - (x->rollout < y->rollout);
}

static slm_status find_candidates(choice *ch, slm_store *store, slm_error *err)
{
    SLM_TRY(judge__stored_load(store, &ch->arena, &ch->stored, err));
    ch->arm_count = ch->stored.run_count;
    for (ch->arm = 0; ch->arm < ch->arm_count; ch->arm++) {
        const judge__stored_run *run = &ch->stored.runs[ch->arm];
        if (strcmp(run->kind, "model") != 0) continue;
        SLM_TRY(slm_store_sample_keys(store, run->hash, "", on_key, ch, err));
    }
    if (ch->count == 0)
        return slm_error_set(err, SLM_ERR_NOT_FOUND,
                             "there is no answer of a model to one of its cases in the database; "
                             "run slm eval first");
    qsort(ch->items, ch->count, sizeof *ch->items, compare_by_case);
    for (size_t i = 1; i < ch->count; i++) {
        const candidate *before = &ch->items[i - 1];
        candidate *one = &ch->items[i];
        if (one->arm == before->arm && one->c == before->c) one->turn = before->turn + 1;
    }
    qsort(ch->items, ch->count, sizeof *ch->items, compare_by_turn);
    return SLM_OK;
}

/* Picks n of the candidates into `picks`; returns how many. begin[arm * kinds + kind] is where those
 * of an arm and kind begin, and moves on. */
static size_t pick(const choice *ch, size_t n, size_t *picks, size_t *arms)
{
    size_t cells = ch->arm_count * ch->kind_count, count = 0;
    size_t *at = calloc(cells + 1, sizeof *at), *end = calloc(cells + 1, sizeof *end);
    size_t *by_arm = calloc(ch->arm_count + 1, sizeof *by_arm);
    size_t *taken = calloc(cells + 1, sizeof *taken);
    if (at == NULL || end == NULL || by_arm == NULL || taken == NULL) slm_out_of_memory(cells);
    for (size_t i = 0; i < ch->count; i++) {
        size_t cell = ch->items[i].arm * ch->kind_count + ch->items[i].kind;
        if (end[cell] == 0) at[cell] = i;
        end[cell] = i + 1;
    }
    while (count < n) {
        size_t best = SIZE_MAX, best_arm = 0;
        for (size_t cell = 0; cell < cells; cell++) {
            if (at[cell] == end[cell]) continue;
            size_t arm = cell / ch->kind_count;
            bool better = best == SIZE_MAX || by_arm[arm] < by_arm[best_arm] ||
                          (arm == best_arm && taken[cell] < taken[best]);
            if (!better) continue;
            best = cell;
            best_arm = arm;
        }
        if (best == SIZE_MAX) break;
        picks[count++] = at[best]++;
        taken[best]++;
        by_arm[best_arm]++;
    }
    *arms = 0;
    for (size_t arm = 0; arm < ch->arm_count; arm++)
        *arms += by_arm[arm] > 0;
    free(at);
    free(end);
    free(by_arm);
    free(taken);
    return count;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* A field with a text that is not longer than spreadsheets bear. */
static void append_cell(slm_buffer *out, const char *text)
{
    slm_buffer_append_char(out, ',');
    size_t len = strlen(text);
    if (len <= CELL_BYTES_MAX) {
        slm_csv_append_text(out, text);
        return;
    }
    slm_buffer cut = {0};
    slm_buffer_append(&cut, text, CELL_BYTES_MAX - slm_utf8_incomplete_tail(text, CELL_BYTES_MAX));
    slm_buffer_printf(&cut, "\n[cut here: %zu of %zu bytes]", cut.len, len);
    slm_csv_append_text(out, slm_buffer_text(&cut));
    slm_buffer_free(&cut);
}

static void append_conversation(slm_buffer *out, const slm_case *c)
{
    slm_buffer text = {0};
    for (size_t i = 0; i < c->turn_count; i++)
        slm_buffer_printf(&text, "%s%s: %s", i ? "\n\n" : "", c->turns[i].role,
                          c->turns[i].content);
    append_cell(out, slm_buffer_text(&text));
    slm_buffer_free(&text);
}

static void append_answer(slm_buffer *out, size_t number, const char *id, const slm_case *c,
                          const char *reply, const char *model)
{
    for (size_t r = 0; r < c->rubric_count; r++) {
        slm_buffer_printf(out, "%s.%zu,%zu", id, r + 1, number);
        if (model != NULL) append_cell(out, model);
        if (r == 0) {
            append_conversation(out, c);
            append_cell(out, reply);
        } else {
            slm_buffer_append_text(out, ",,");
        }
        append_cell(out, c->rubrics[r].criterion);
        slm_buffer_append_text(out, ",,\r\n");
    }
}

slm_status slm_sheet_export(slm_store *store, const slm_sheet_options *options, FILE *out,
                            size_t *answers, size_t *arms, slm_error *err)
{
    static const uint64_t stream = 0x7368656574; /* a stream of its own */
    choice ch = {.seed = options->seed};
    slm_buffer text = {0};
    size_t *picks = NULL, arm_count = 0;
    slm_arena sample_arena = {0};
    slm_status status = SLM_OK;
    SLM_TRY_OUT(find_candidates(&ch, store, err));
    size_t n = options->n < ch.count ? options->n : ch.count;
    picks = calloc(n + 1, sizeof *picks);
    if (picks == NULL) slm_out_of_memory(n);
    n = pick(&ch, n, picks, &arm_count);
    slm_random random = slm_random_new(options->seed, stream);
    slm_random_shuffle(&random, picks, n, sizeof *picks);
    slm_buffer_printf(&text, "%sid,answer%s,conversation,reply,criterion,holds,comment\r\n",
                      byte_order_mark, options->blind ? "" : ",model");
    for (size_t i = 0; i < n; i++) {
        const candidate *one = &ch.items[picks[i]];
        const judge__stored_run *run = &ch.stored.runs[one->arm];
        slm_sample sample;
        char id[ID_BYTES];
        slm_arena_reset(&sample_arena);
        SLM_TRY_OUT(slm_store_get_sample(store, run->hash, one->c->id, one->rollout, &sample_arena,
                                         &sample, err));
        answer_id(run->hash, one->c->id, one->rollout, id);
        append_answer(&text, i + 1, id, one->c, sample.reply, options->blind ? NULL : run->name);
    }
    if (fwrite(text.data, 1, text.len, out) != text.len)
        status = slm_error_set(err, SLM_ERR_IO, "cannot write the sheet: the disk may be full");
    if (answers != NULL) *answers = n;
    if (arms != NULL) *arms = arm_count;
out:
    slm_buffer_free(&text);
    free(picks);
    free(ch.kinds);
    free(ch.items);
    slm_arena_free(&sample_arena);
    slm_arena_free(&ch.arena);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------- */

typedef struct sheet_row {
    const char *id; /* of the answer */
    size_t criterion, line, row;
    slm_verdict verdict;
    const char *comment; /* NULL: none */
} sheet_row;

/* An answer that the sheet names. */
typedef struct sheet_answer {
    const char *id;
    size_t first, count; /* of its rows */
    const judge__stored_run *run;
    const slm_case *c;
    int64_t rollout;
} sheet_answer;

enum { COLUMN_ID, COLUMN_HOLDS, COLUMN_COMMENT, COLUMNS };
static const char *const column_names[COLUMNS] = {"id", "holds", "comment"};

typedef struct sheet_reader {
    slm_csv csv;
    slm_arena arena;
    size_t columns[COLUMNS]; /* SIZE_MAX: none */
    sheet_row *rows;
    size_t count, cap;
    sheet_answer *answers;
    size_t answer_count;
    judge__stored stored;
    const judge__stored_run *run; /* while its samples are read */
    size_t problems;
    void (*on_problem)(void *context, const slm_error *problem);
    void *context;
} sheet_reader;

static void tell(sheet_reader *r, size_t line, size_t row, size_t column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static void tell(sheet_reader *r, size_t line, size_t row, size_t column, const char *format, ...)
{
    char what[512], where[SLM_CSV_COLUMN_BYTES] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (r->problems++ >= PROBLEMS_MAX) return;
    slm_error problem = {0};
    if (column != SIZE_MAX) slm_csv_column_name(column, where);
    slm_error_set(&problem, SLM_ERR_FORMAT, "%s:%zu: row %zu%s%s: %s", r->csv.name, line, row,
                  *where ? ", column " : "", where, what);
    r->on_problem(r->context, &problem);
}

static slm_status read_header(sheet_reader *r, slm_error *err)
{
    bool row = false;
    SLM_TRY(slm_csv_next(&r->csv, &row, err));
    for (size_t c = 0; c < COLUMNS; c++) {
        r->columns[c] = SIZE_MAX;
        for (size_t i = 0; row && i < r->csv.field_count; i++) {
            const char *name = r->csv.fields[i] + strspn(r->csv.fields[i], " ");
            size_t len = strlen(name);
            while (len > 0 && name[len - 1] == ' ')
                len--;
            if (len != strlen(column_names[c]) || strncasecmp(name, column_names[c], len) != 0)
                continue;
            if (r->columns[c] != SIZE_MAX)
                return slm_error_set(err, SLM_ERR_FORMAT, "%s:%zu: two columns are called %s",
                                     r->csv.name, r->csv.line, column_names[c]);
            r->columns[c] = i;
        }
    }
    for (size_t c = 0; c <= COLUMN_HOLDS; c++)
        if (r->columns[c] == SIZE_MAX)
            return slm_error_set(err, SLM_ERR_FORMAT,
                                 "%s: there is no column '%s' in its first row; a sheet is what "
                                 "slm judge export writes, saved as CSV",
                                 r->csv.name, column_names[c]);
    return SLM_OK;
}

/* Without white space at its ends, in the arena. */
static const char *cell(sheet_reader *r, size_t column)
{
    if (column >= r->csv.field_count) return "";
    const char *text = r->csv.fields[column];
    text += strspn(text, " \t\r\n");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        len--;
    return slm_arena_strndup(&r->arena, text, len);
}

static bool read_verdict(const char *text, slm_verdict *out)
{
    static const char *const yes[] = {"yes", "y", "true", "1", "met"};
    static const char *const no[] = {"no", "n", "false", "0", "not met"};
    *out = SLM_VERDICT_UNSCORED;
    if (*text == '\0') return true;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcasecmp(text, yes[i]) == 0) *out = SLM_VERDICT_MET;
        if (strcasecmp(text, no[i]) == 0) *out = SLM_VERDICT_NOT_MET;
    }
    return *out != SLM_VERDICT_UNSCORED;
}

/* "x0123456789abcdef.3" -> answer and criterion. */
static bool read_id(const char *text, const char **id, size_t *criterion, slm_arena *arena)
{
    size_t digits = text[0] == 'x' ? strspn(text + 1, "0123456789abcdef") : 0;
    const char *number = text + 1 + digits;
    if (digits != ID_DIGITS || *number++ != '.') return false;
    size_t len = strspn(number, "0123456789");
    if (len == 0 || len > 6 || number[len] != '\0') return false;
    *id = slm_arena_strndup(arena, text, ID_DIGITS + 1);
    *criterion = (size_t)strtoull(number, NULL, 10);
    return *criterion > 0;
}

static void read_one(sheet_reader *r)
{
    const slm_csv *csv = &r->csv;
    bool is_blank = true;
    for (size_t i = 0; i < csv->field_count; i++)
        is_blank &= csv->fields[i][strspn(csv->fields[i], " \t\r\n")] == '\0';
    if (is_blank) return;
    sheet_row one = {.line = csv->line, .row = csv->row};
    const char *id = cell(r, r->columns[COLUMN_ID]), *holds = cell(r, r->columns[COLUMN_HOLDS]);
    const char *comment = cell(r, r->columns[COLUMN_COMMENT]);
    bool good = true;
    if (!read_id(id, &one.id, &one.criterion, &r->arena)) {
        tell(r, csv->line, csv->row, r->columns[COLUMN_ID],
             "'%.40s' is no id of an exported sheet; leave that column as it was", id);
        good = false;
    }
    if (!read_verdict(holds, &one.verdict)) {
        tell(r, csv->line, csv->row, r->columns[COLUMN_HOLDS],
             "'%.40s' is neither yes nor no; leave the cell empty where it cannot be said", holds);
        good = false;
    }
    if (!slm_utf8_valid(comment, strlen(comment), NULL)) {
        tell(r, csv->line, csv->row, r->columns[COLUMN_COMMENT],
             "the text is not UTF-8; save the sheet as CSV in UTF-8");
        good = false;
    }
    if (!good) return;
    if (*comment) one.comment = comment;
    if (r->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 1024;
        r->rows = realloc(r->rows, r->cap * sizeof *r->rows);
        if (r->rows == NULL) slm_out_of_memory(r->cap * sizeof *r->rows);
    }
    r->rows[r->count++] = one;
}

static int compare_rows(const void *a, const void *b)
{
    const sheet_row *x = a, *y = b;
    int order = strcmp(x->id, y->id);
    if (order) return order;
    if (x->criterion != y->criterion) return x->criterion < y->criterion ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static slm_status read_rows(sheet_reader *r, slm_error *err)
{
    SLM_TRY(read_header(r, err));
    for (;;) {
        bool row = false;
        SLM_TRY(slm_csv_next(&r->csv, &row, err));
        if (!row) break;
        read_one(r);
    }
    if (r->count == 0 && r->problems == 0)
        return slm_error_set(err, SLM_ERR_FORMAT, "%s: has a header and no row", r->csv.name);
    if (r->count > 0) qsort(r->rows, r->count, sizeof *r->rows, compare_rows);
    r->answers = slm_arena_array(&r->arena, r->count + 1, sizeof *r->answers);
    for (size_t i = 0; i < r->count; i++) {
        const sheet_row *one = &r->rows[i];
        if (i == 0 || strcmp(one->id, r->rows[i - 1].id) != 0)
            r->answers[r->answer_count++] = (sheet_answer){.id = one->id, .first = i};
        else if (one->criterion == r->rows[i - 1].criterion)
            tell(r, one->line, one->row, r->columns[COLUMN_ID],
                 "the same id stands in row %zu already", r->rows[i - 1].row);
        r->answers[r->answer_count - 1].count++;
    }
    return SLM_OK;
}

static int compare_answers(const void *a, const void *b)
{
    return strcmp(((const sheet_answer *)a)->id, ((const sheet_answer *)b)->id);
}

static bool on_sample(void *context, const char *case_id, int64_t rollout, bool graded)
{
    sheet_reader *r = context;
    char id[ID_BYTES];
    (void)graded;
    answer_id(r->run->hash, case_id, rollout, id);
    sheet_answer wanted = {.id = id};
    sheet_answer *found =
        bsearch(&wanted, r->answers, r->answer_count, sizeof *r->answers, compare_answers);
    if (found == NULL) return true;
    found->run = r->run;
    found->rollout = rollout;
    found->c = judge__stored_find(&r->stored, r->run->set, case_id);
    return true;
}

/* Which answers of the database they are; what is wrong with that is told. */
static slm_status find_answers(sheet_reader *r, slm_store *store, slm_error *err)
{
    SLM_TRY(judge__stored_load(store, &r->arena, &r->stored, err));
    for (size_t i = 0; i < r->stored.run_count; i++) {
        r->run = &r->stored.runs[i];
        SLM_TRY(slm_store_sample_keys(store, r->run->hash, "", on_sample, r, err));
    }
    for (size_t i = 0; i < r->answer_count; i++) {
        const sheet_answer *a = &r->answers[i];
        for (size_t k = a->first; k < a->first + a->count; k++) {
            const sheet_row *one = &r->rows[k];
            if (a->c == NULL) {
                tell(r, one->line, one->row, r->columns[COLUMN_ID],
                     "the database has no such answer; was the sheet made from another one?");
                break;
            }
            if (one->criterion > a->c->rubric_count)
                tell(r, one->line, one->row, r->columns[COLUMN_ID],
                     "the case has %zu criteria, there is none of number %zu", a->c->rubric_count,
                     one->criterion);
        }
    }
    return SLM_OK;
}

static slm_status give_answer(const sheet_reader *r, const sheet_answer *a, slm_sheet_fn *fn,
                              void *context, slm_error *err)
{
    size_t filled = 0;
    slm_grading grading = {.count = a->c->rubric_count};
    grading.grades = calloc(grading.count + 1, sizeof *grading.grades);
    if (grading.grades == NULL) slm_out_of_memory(grading.count);
    for (size_t i = 0; i < grading.count; i++)
        grading.grades[i] = (slm_grade){.verdict = SLM_VERDICT_UNSCORED, NULL, -1, -1};
    for (size_t k = a->first; k < a->first + a->count; k++) {
        slm_grade *grade = &grading.grades[r->rows[k].criterion - 1];
        grade->verdict = r->rows[k].verdict;
        filled += grade->verdict != SLM_VERDICT_UNSCORED;
        if (r->rows[k].comment == NULL) continue;
        grade->explanation = strdup(r->rows[k].comment);
        if (grade->explanation == NULL) slm_out_of_memory(strlen(r->rows[k].comment));
    }
    slm_status status = SLM_OK;
    if (filled > 0)
        status = fn(context, a->run->hash, a->run->set, a->c, a->rollout, &grading, err);
    for (size_t i = 0; i < grading.count; i++)
        free(grading.grades[i].explanation);
    free(grading.grades);
    return status;
}

slm_status slm_sheet_import(slm_store *store, const char *path,
                            void (*on_problem)(void *context, const slm_error *problem),
                            slm_sheet_fn *fn, void *context, slm_error *err)
{
    enum { SHEET_BYTES_MAX = 256 << 20 };
    slm_buffer text = {0};
    sheet_reader r = {.on_problem = on_problem, .context = context};
    slm_status status = SLM_OK;
    SLM_TRY_OUT(slm_file_read(path, SHEET_BYTES_MAX, &text, err));
    r.csv = (slm_csv){.name = path, .text = slm_buffer_text(&text), .len = text.len};
    if (text.len >= 2 && (memcmp(text.data, "\xff\xfe", 2) == 0 ||
                          memcmp(text.data, "\xfe\xff", 2) == 0 || memcmp(text.data, "PK", 2) == 0))
        SLM_TRY_OUT(slm_error_set(err, SLM_ERR_FORMAT, "%s: is %s; save the sheet as CSV in UTF-8",
                                  path,
                                  text.data[0] == 'P' ? "a spreadsheet file" : "UTF-16 text"));
    slm_csv_detect(&r.csv);
    SLM_TRY_OUT(read_rows(&r, err));
    SLM_TRY_OUT(find_answers(&r, store, err));
    if (r.problems > 0) {
        const char *more = r.problems > PROBLEMS_MAX ? " (the first 100 are listed)" : "";
        SLM_TRY_OUT(slm_error_set(err, SLM_ERR_FORMAT,
                                  "%s: %zu cells are not as they should be%s; nothing was imported",
                                  path, r.problems, more));
    }
    for (size_t i = 0; i < r.answer_count; i++)
        SLM_TRY_OUT(give_answer(&r, &r.answers[i], fn, context, err));
out:
    slm_csv_free(&r.csv);
    free(r.rows);
    slm_arena_free(&r.arena);
    slm_buffer_free(&text);
    return status;
}
