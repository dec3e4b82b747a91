/* options_print.c: the same table as --help, man page, bash and zsh completion.
 *
 * Everything here reads the rows and nothing else, so a new row shows up everywhere at once. Rows
 * are gathered under their headings: a row without a heading belongs to the one above it, and equal
 * headings of different tables are one. The man page is plain man(7): letters that roff would take
 * for its own are escaped and anything beyond ASCII is written by code point, so that the page is
 * right in any locale. The completion scripts call nothing outside the shell itself. */
#include <stdlib.h>
#include <string.h>
#include "base/options.h"
#include "base/options_internal.h"
#include "base/utf8.h"

enum { LINE_COLUMNS = 80, HELP_COLUMN_MAX = 30 };

/* Headings and rows in the order in which they are shown. */
typedef struct layout_row {
    const slm_option *row;
    const char *group;
    size_t group_rank; /* order of the heading's first appearance */
    size_t place;
} layout_row;

typedef struct layout {
    layout_row *rows;
    size_t count;
} layout;

/* Stands last in every list of options. */
static const slm_option HELP_ROW = {
    .name = "help", .letter = 'h', .type = SLM_OPTION_FLAG, .help = "show this help and end"};
static const slm_option HELP_ROW_WITHOUT_LETTER = {
    .name = "help", .type = SLM_OPTION_FLAG, .help = "show this help and end"};

static int compare_rows(const void *a, const void *b)
{
    const layout_row *left = a;
    const layout_row *right = b;
    if (left->group_rank != right->group_rank) return left->group_rank < right->group_rank ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

static layout layout_new(const slm_command *command)
{
    size_t count = 1;
    for (options__walk w = {0}; slm_options__next(command, &w) != NULL;)
        count++;
    layout l = {.rows = calloc(count, sizeof *l.rows), .count = count};
    if (l.rows == NULL) slm_out_of_memory(count * sizeof *l.rows);
    const char *group = "Options";
    const slm_option *row;
    size_t i = 0;
    for (options__walk w = {0}; (row = slm_options__next(command, &w)) != NULL; i++) {
        if (row->group != NULL) group = row->group;
        size_t rank = i;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(l.rows[j].group, group) == 0) {
                rank = l.rows[j].group_rank;
                break;
            }
        }
        l.rows[i] = (layout_row){.row = row, .group = group, .group_rank = rank, .place = i};
    }
    qsort(l.rows, i, sizeof *l.rows, compare_rows);
    const char *last = i > 0 ? l.rows[i - 1].group : group;
    bool h_taken = false;
    for (size_t j = 0; j < i; j++)
        h_taken = h_taken || l.rows[j].row->letter == 'h';
    const slm_option *help = h_taken ? &HELP_ROW_WITHOUT_LETTER : &HELP_ROW;
    l.rows[i] = (layout_row){.row = help, .group = last, .place = i};
    return l;
}

static void layout_free(layout *l)
{
    free(l->rows);
}

static bool starts_group(const layout *l, size_t i)
{
    return i == 0 || strcmp(l->rows[i].group, l->rows[i - 1].group) != 0;
}

/* Writes text in lines of LINE_COLUMNS, words kept whole, from the second line on indented; the
 * first begins at column `at`. */
static void print_wrapped(FILE *out, const char *text, size_t at, size_t indent)
{
    const char *word = text;
    bool first = true;
    while (*word != '\0') {
        size_t len = strcspn(word, " \n");
        size_t columns = slm_utf8_columns(word, len);
        if (!first && at + 1 + columns > LINE_COLUMNS) {
            fprintf(out, "\n%*s", (int)indent, "");
            at = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", (int)len, word);
        at += columns + (first ? 0 : 1);
        first = false;
        word += len;
        word += strspn(word, " \n");
    }
    fputc('\n', out);
}

/* Calls `each` for the paragraphs of text, which are separated by blank lines. */
static void for_paragraphs(const char *text, void (*each)(FILE *out, const char *paragraph),
                           FILE *out)
{
    slm_buffer paragraph = {0};
    while (*text != '\0') {
        const char *end = strstr(text, "\n\n");
        size_t len = end != NULL ? (size_t)(end - text) : strlen(text);
        slm_buffer_truncate(&paragraph, 0);
        slm_buffer_append(&paragraph, text, len);
        each(out, slm_buffer_text(&paragraph));
        text += len;
        text += strspn(text, "\n");
    }
    slm_buffer_free(&paragraph);
}

static void help_paragraph(FILE *out, const char *paragraph)
{
    fputc('\n', out);
    print_wrapped(out, paragraph, 0, 0);
}

/* "-k, --rollouts N" as help shows it. */
static void append_synopsis(const slm_option *row, slm_buffer *out)
{
    const char *value = slm_options__value_name(row);
    if (row->letter != 0) {
        slm_buffer_printf(out, "-%c, ", row->letter);
    } else {
        slm_buffer_append_text(out, "    ");
    }
    slm_buffer_printf(out, slm_options__is_on(row) ? "--[no-]%s" : "--%s", row->name);
    if (value != NULL) slm_buffer_printf(out, " %s", value);
}

static void append_help(const slm_option *row, slm_buffer *out)
{
    slm_buffer note = {0};
    slm_options__append_note(row, &note);
    slm_buffer_append_text(out, row->help);
    if (note.len > 0) slm_buffer_printf(out, " (%s)", note.data);
    slm_buffer_free(&note);
}

static void print_help_row(const slm_option *row, size_t column, FILE *out)
{
    slm_buffer synopsis = {0};
    slm_buffer help = {0};
    append_synopsis(row, &synopsis);
    append_help(row, &help);
    size_t width = 2 + slm_utf8_columns(synopsis.data, synopsis.len);
    fprintf(out, "  %s", synopsis.data);
    if (width + 2 > column) {
        fputc('\n', out);
        width = 0;
    }
    fprintf(out, "%*s", (int)(column - width), "");
    print_wrapped(out, help.data, column, column);
    slm_buffer_free(&synopsis);
    slm_buffer_free(&help);
}

/* Lines of an example, each indented. */
static void print_example(FILE *out, const char *example, const char *indent,
                          void (*print)(FILE *out, const char *text, size_t len))
{
    while (*example != '\0') {
        size_t len = strcspn(example, "\n");
        fputs(indent, out);
        print(out, example, len);
        fputc('\n', out);
        example += len;
        if (*example == '\n') example++;
    }
}

static void print_plain(FILE *out, const char *text, size_t len)
{
    fwrite(text, 1, len, out);
}

void slm_options_print_help(const slm_command *command, FILE *out)
{
    layout l = layout_new(command);
    size_t column = 0;
    for (size_t i = 0; i < l.count; i++) {
        slm_buffer synopsis = {0};
        append_synopsis(l.rows[i].row, &synopsis);
        size_t need = 4 + slm_utf8_columns(synopsis.data, synopsis.len);
        if (need > column && need <= HELP_COLUMN_MAX) column = need;
        slm_buffer_free(&synopsis);
    }
    fprintf(out, "Usage: slm %s %s\n", command->name, command->usage);
    for_paragraphs(command->description, help_paragraph, out);
    for (size_t i = 0; i < l.count; i++) {
        if (starts_group(&l, i)) fprintf(out, "\n%s\n", l.rows[i].group);
        print_help_row(l.rows[i].row, column, out);
    }
    if (command->example != NULL) {
        fputs("\nExample\n", out);
        print_example(out, command->example, "  ", print_plain);
    }
    layout_free(&l);
}

/* Text as roff: its own letters escaped, beyond ASCII by code point. A control character at the
 * beginning of a line is disarmed by the zero-width \&. */
static void print_roff(FILE *out, const char *text, size_t len)
{
    if (len > 0 && (text[0] == '.' || text[0] == '\'')) fputs("\\&", out);
    for (size_t at = 0; at < len;) {
        uint32_t codepoint;
        at += slm_utf8_decode(text + at, len - at, &codepoint);
        switch (codepoint) {
        case '\\':
            fputs("\\(rs", out);
            break;
        case '-':
            fputs("\\-", out);
            break;
        case '\'':
            fputs("\\(aq", out);
            break;
        case '`':
            fputs("\\(ga", out);
            break;
        case '^':
            fputs("\\(ha", out);
            break;
        case '~':
            fputs("\\(ti", out);
            break;
        case '"':
            fputs("\\(dq", out);
            break;
        default:
            if (codepoint < 0x80) {
                fputc((int)codepoint, out);
            } else {
                fprintf(out, "\\[u%04X]", codepoint);
            }
        }
    }
}

static void roff_text(FILE *out, const char *text)
{
    print_roff(out, text, strlen(text));
}

/* Running text may be broken anywhere; newlines in it are blanks. */
static void roff_paragraph(FILE *out, const char *paragraph)
{
    fputs(".PP\n", out);
    slm_buffer line = {0};
    slm_buffer_append_text(&line, paragraph);
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] == '\n') line.data[i] = ' ';
    }
    roff_text(out, slm_buffer_text(&line));
    fputc('\n', out);
    slm_buffer_free(&line);
}

static void print_man_row(const slm_option *row, FILE *out)
{
    const char *value = slm_options__value_name(row);
    slm_buffer help = {0};
    append_help(row, &help);
    fputs(".TP\n", out);
    if (row->letter != 0) {
        fputs("\\fB\\-", out);
        print_roff(out, &row->letter, 1);
        fputs("\\fR, ", out);
    }
    fputs(slm_options__is_on(row) ? "\\fB\\-\\-[no\\-]" : "\\fB\\-\\-", out);
    roff_text(out, row->name);
    fputs("\\fR", out);
    if (value != NULL) {
        fputs(" \\fI", out);
        roff_text(out, value);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    roff_text(out, help.data);
    fputc('\n', out);
    slm_buffer_free(&help);
}

static void print_man_command(const slm_command *command, FILE *out)
{
    fputs(".SH \"slm ", out);
    roff_text(out, command->name);
    fputs("\"\n.B slm ", out);
    roff_text(out, command->name);
    fputs("\n", out);
    roff_text(out, command->usage);
    fputs("\n", out);
    for_paragraphs(command->description, roff_paragraph, out);
    layout l = layout_new(command);
    for (size_t i = 0; i < l.count; i++) {
        if (starts_group(&l, i)) {
            fputs(".SS \"", out);
            roff_text(out, l.rows[i].group);
            fputs("\"\n", out);
        }
        print_man_row(l.rows[i].row, out);
    }
    layout_free(&l);
    if (command->example != NULL) {
        fputs(".SS Example\n.nf\n", out);
        print_example(out, command->example, "", print_roff);
        fputs(".fi\n", out);
    }
}

void slm_options_print_man(const slm_command *const *commands, const char *version, FILE *out)
{
    fprintf(out, ".TH SLM 1 \"\" \"slm %s\" \"User Commands\"\n", version);
    fputs(".nh\n.ad l\n.SH NAME\nslm \\- measure how well a language model answers, on average and "
          "at its worst\n",
          out);
    fputs(".SH SYNOPSIS\n", out);
    for (size_t i = 0; commands[i] != NULL; i++) {
        fputs(i > 0 ? ".br\n.B slm " : ".B slm ", out);
        roff_text(out, commands[i]->name);
        fputs("\n", out);
        roff_text(out, commands[i]->usage);
        fputs("\n", out);
    }
    fputs(".SH COMMANDS\n", out);
    for (size_t i = 0; commands[i] != NULL; i++) {
        fputs(".TP\n.B ", out);
        roff_text(out, commands[i]->name);
        fputs("\n", out);
        roff_text(out, commands[i]->summary);
        fputs("\n", out);
    }
    fputs(
        ".PP\nA value follows its option as the next argument or behind an equals sign. A switch\n"
        "\\fB\\-\\-NAME\\fR is turned off by \\fB\\-\\-no\\-NAME\\fR. An argument \\fB\\-\\-\\fR "
        "ends the options.\n"
        "Results go to standard output, everything else to standard error.\n",
        out);
    for (size_t i = 0; commands[i] != NULL; i++)
        print_man_command(commands[i], out);
    fputs(
        ".SH EXIT STATUS\n.TP\n.B 0\nThe work is done.\n.TP\n.B 1\nIt failed; standard error says "
        "why.\n.TP\n.B 2\nThe command was used wrongly.\n",
        out);
}

/* Of a command of two words ("eval import") the second; NULL for a command of one. */
static const char *second_word(const slm_command *command)
{
    const char *blank = strchr(command->name, ' ');
    return blank != NULL ? blank + 1 : NULL;
}

/* A command's name as a pattern of a shell's `case`. */
static void print_case_name(const slm_command *command, FILE *out)
{
    fprintf(out, second_word(command) != NULL ? "'%s'" : "%s", command->name);
}

static size_t first_len(const slm_command *command)
{
    return strcspn(command->name, " ");
}

/* Whether commands[i] is the first with its first word. */
static bool begins_word(const slm_command *const *commands, size_t i)
{
    const size_t len = first_len(commands[i]);
    for (size_t j = 0; j < i; j++)
        if (first_len(commands[j]) == len &&
            strncmp(commands[j]->name, commands[i]->name, len) == 0)
            return false;
    return true;
}

void slm_options_append_words(const slm_command *const *commands, const char *first, size_t len,
                              const char *between, slm_buffer *out)
{
    const size_t begin = out->len;
    for (size_t i = 0; commands[i] != NULL; i++) {
        const size_t word = first_len(commands[i]);
        const bool is_behind = first != NULL && word == len && second_word(commands[i]) != NULL &&
                               strncmp(commands[i]->name, first, len) == 0;
        if (first != NULL ? !is_behind : !begins_word(commands, i)) continue;
        if (out->len > begin) slm_buffer_append_text(out, between);
        if (first != NULL)
            slm_buffer_append_text(out, second_word(commands[i]));
        else
            slm_buffer_append(out, commands[i]->name, word);
    }
}

static void print_words(const slm_command *const *commands, const char *first, size_t len,
                        const char *between, FILE *out)
{
    slm_buffer words = {0};
    slm_options_append_words(commands, first, len, between, &words);
    fputs(slm_buffer_text(&words), out);
    slm_buffer_free(&words);
}

/* Branches of a `case` on both words together: `then` runs for a command of two. */
static void print_pairs(const slm_command *const *commands, const char *then, FILE *out)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (second_word(commands[i]) == NULL) continue;
        fprintf(out, "    '%s') %s ;;\n", commands[i]->name, then);
    }
}

/* Branches of a `case` on the first word, one for each second word it may have: `before`, the word,
 * `after`, which lets the next branch be tried too. */
static void print_seconds(const slm_command *const *commands, const char *before, const char *after,
                          FILE *out)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        const char *second = second_word(commands[i]);
        if (second == NULL) continue;
        fprintf(out, "        %.*s) %s%s%s\n", (int)first_len(commands[i]), commands[i]->name,
                before, second, after);
    }
}

/* Whether it is about an option's value, not an argument. */
static bool is_of_option(const slm_completion *c)
{
    return strstr(c->after, " --") != NULL;
}

/* Whether completion should offer files for the row's value. */
static bool takes_file(const slm_option *row)
{
    return row->type == SLM_OPTION_FILE || row->type == SLM_OPTION_FILES;
}

/* The pattern "eval --cases|eval -c|..." of rows that `wanted` accepts; false if there are none. */
static bool print_bash_pattern(const slm_command *command, const layout *l,
                               bool (*wanted)(const slm_option *), FILE *out)
{
    bool any = false;
    for (size_t i = 0; i < l->count; i++) {
        const slm_option *row = l->rows[i].row;
        if (!wanted(row)) continue;
        fprintf(out, "%s'%s --%s'", any ? " | " : "    ", command->name, row->name);
        if (row->letter != 0) fprintf(out, " | '%s -%c'", command->name, row->letter);
        any = true;
    }
    if (any) fputs(")\n", out);
    return any;
}

static bool is_free_text(const slm_option *row)
{
    return row->type != SLM_OPTION_FLAG && row->type != SLM_OPTION_CHOICE && !takes_file(row);
}

/* The names of a command's options, a blank between them. */
static void print_bash_names(const layout *l, FILE *out)
{
    for (size_t i = 0; i < l->count; i++) {
        const slm_option *row = l->rows[i].row;
        fprintf(out, "%s--%s", i > 0 ? " " : "", row->name);
        if (slm_options__is_on(row)) fprintf(out, " --no-%s", row->name);
    }
}

static void print_bash_values(const slm_command *command, FILE *out)
{
    layout l = layout_new(command);
    if (print_bash_pattern(command, &l, takes_file, out)) fputs("        return 0 ;;\n", out);
    if (print_bash_pattern(command, &l, is_free_text, out)) {
        fputs("        compopt +o default\n        return 0 ;;\n", out);
    }
    for (size_t i = 0; i < l.count; i++) {
        const slm_option *row = l.rows[i].row;
        if (row->type != SLM_OPTION_CHOICE) continue;
        fprintf(out, "    '%s --%s'", command->name, row->name);
        if (row->letter != 0) fprintf(out, " | '%s -%c'", command->name, row->letter);
        fputs(")\n        words='", out);
        for (const char *c = row->choices; *c != '\0'; c++)
            fputc(*c == '|' ? ' ' : *c, out);
        fputs("' ;;\n", out);
    }
    layout_free(&l);
}

/* Branches of a `case` on the command: its options. */
static void print_bash_options(const slm_command *const *commands, FILE *out)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        layout l = layout_new(commands[i]);
        fputs("        ", out);
        print_case_name(commands[i], out);
        fputs(") words='", out);
        print_bash_names(&l, out);
        fputs("' ;;\n", out);
        layout_free(&l);
    }
}

/* And on the words before the cursor: what goes there. */
static void print_bash_words(const slm_completion *completions, bool of_options, FILE *out)
{
    for (const slm_completion *c = completions; c->after != NULL; c++)
        if (is_of_option(c) == of_options)
            fprintf(out, "    '%s')\n        words='%s' ;;\n", c->after, c->words);
}

void slm_options_print_bash(const slm_command *const *commands, const slm_completion *completions,
                            FILE *out)
{
    fputs("# bash completion for slm\n"
          "_slm()\n"
          "{\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local command=${COMP_WORDS[1]} words=''\n"
          "    COMPREPLY=()\n"
          "    # bash splits --name=value at the equals sign\n"
          "    if [[ $current == '=' ]]; then\n"
          "        current=''\n"
          "    elif [[ $before == '=' ]]; then\n"
          "        before=${COMP_WORDS[COMP_CWORD-2]}\n"
          "    fi\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        compopt +o default\n"
          "        mapfile -t COMPREPLY < <(compgen -W '",
          out);
    print_words(commands, NULL, 0, " ", out);
    fputs(" --help --version' -- \"$current\")\n"
          "        return 0\n"
          "    fi\n"
          "    if ((COMP_CWORD == 2)) && [[ $current != -* ]]; then\n"
          "        case $command in\n",
          out);
    print_seconds(commands, "words+=' ", "' ;;&", out);
    fputs("        esac\n"
          "        if [[ $words ]]; then\n"
          "            mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\"\n"
          "                compgen -f -- \"$current\")\n"
          "            return\n"
          "        fi\n"
          "    fi\n"
          "    ((COMP_CWORD > 2)) && case \"$command ${COMP_WORDS[2]}\" in\n",
          out);
    print_pairs(commands, "command+=\" ${COMP_WORDS[2]}\"", out);
    fputs("    esac\n"
          "    [[ $current == -* ]] || case \"${COMP_WORDS[*]:1:COMP_CWORD-1}\" in\n",
          out);
    print_bash_words(completions, false, out);
    fputs("    esac\n"
          "    case \"$command $before\" in\n",
          out);
    print_bash_words(completions, true, out);
    fputs("    esac\n"
          "    if [[ $words ]]; then\n"
          "        compopt +o default\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
          "        [[ ${COMPREPLY-} != *= ]] || compopt -o nospace\n"
          "        return 0\n"
          "    fi\n"
          "    case \"$command $before\" in\n",
          out);
    for (size_t i = 0; commands[i] != NULL; i++)
        print_bash_values(commands[i], out);
    fputs("    *)\n"
          "        [[ $current == -* ]] || return 0\n"
          "        case $command in\n",
          out);
    print_bash_options(commands, out);
    fputs("        esac ;;\n"
          "    esac\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
          "}\n"
          "complete -o default -F _slm slm\n",
          out);
}

/* Text inside single quotes of a zsh specification; the characters in `special` get a backslash. */
static void print_zsh(const char *text, const char *special, FILE *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", out);
            continue;
        }
        if (strchr(special, *text) != NULL) fputc('\\', out);
        fputc(*text, out);
    }
}

/* What to do where one of these words is wanted. */
static void print_zsh_words(const char *words, FILE *out)
{
    if (strchr(words, '=') != NULL) {
        fprintf(out, "{compset -P \"*=\" && _files || compadd -S \"\" -- %s}", words);
    } else {
        fprintf(out, "(%s)", words);
    }
}

/* The words of the completion for the command's option; NULL if there are none. */
static const char *words_of_option(const slm_command *command, const slm_option *row,
                                   const slm_completion *completions)
{
    for (const slm_completion *c = completions; c->after != NULL; c++) {
        const char *dashes = strstr(c->after, " --");
        if (dashes == NULL || strcmp(dashes + 3, row->name) != 0) continue;
        size_t len = (size_t)(dashes - c->after);
        if (strlen(command->name) == len && strncmp(c->after, command->name, len) == 0)
            return c->words;
    }
    return NULL;
}

/* The specification of the command's arguments: files, or the words of its completions. */
static void print_zsh_arguments(const slm_command *command, const slm_completion *completions,
                                FILE *out)
{
    const size_t len = strlen(command->name);
    bool first = false, second = false;
    for (const slm_completion *c = completions; c->after != NULL; c++) {
        if (is_of_option(c) || strcmp(c->after, command->name) != 0) continue;
        fputs("                '1:argument:", out);
        print_zsh_words(c->words, out);
        fputs("' \\\n", out);
        first = true;
    }
    for (const slm_completion *c = completions; c->after != NULL; c++) {
        if (is_of_option(c) || strncmp(c->after, command->name, len) != 0 || c->after[len] != ' ')
            continue;
        fputs(second ? "" : "                '2:argument:{case $words[2] in", out);
        fprintf(out, " (%s) compadd -- %s;;", c->after + len + 1, c->words);
        second = true;
    }
    if (second) fputs(" esac}' \\\n", out);
    fputs(first ? "                && return ;;\n" : "                '*:file:_files' ;;\n", out);
}

static void print_zsh_row(const slm_option *row, const char *words, FILE *out)
{
    bool repeats = row->type == SLM_OPTION_STRINGS || row->type == SLM_OPTION_FILES;
    const char *value = slm_options__value_name(row);
    const char *equals = value != NULL ? "=" : "";
    fputs("                ", out);
    if (row->letter != 0 && repeats) {
        fprintf(out, "'*'{-%c+,--%s%s}", row->letter, row->name, equals);
    } else if (row->letter != 0) {
        const char *plus = value != NULL ? "+" : "";
        fprintf(out, "'(-%c --%s)'{-%c%s,--%s%s}", row->letter, row->name, row->letter, plus,
                row->name, equals);
    } else {
        fprintf(out, "%s--%s%s", repeats ? "'*'" : "", row->name, equals);
    }
    fputs("'[", out);
    print_zsh(row->help, "[]\\:", out);
    fputc(']', out);
    if (value != NULL) {
        fputc(':', out);
        print_zsh(row->value_name != NULL ? row->value_name : row->name, "[]\\:", out);
        fputc(':', out);
        if (words != NULL) print_zsh_words(words, out);
        if (takes_file(row)) fputs("_files", out);
        if (row->type == SLM_OPTION_CHOICE) {
            fputc('(', out);
            for (const char *c = row->choices; *c != '\0'; c++)
                fputc(*c == '|' ? ' ' : *c, out);
            fputc(')', out);
        }
    }
    fputs("' \\\n", out);
    if (slm_options__is_on(row)) {
        fprintf(out, "                --no-%s'[", row->name);
        print_zsh(row->help, "[]\\:", out);
        fputs(" (off)]' \\\n", out);
    }
}

/* A first word with what it does: its summary, or the second words that go with it. */
static void print_zsh_first(const slm_command *const *commands, size_t i, FILE *out)
{
    const size_t len = first_len(commands[i]);
    fprintf(out, "            '%.*s:", (int)len, commands[i]->name);
    if (second_word(commands[i]) == NULL)
        print_zsh(commands[i]->summary, "\\", out);
    else
        print_words(commands, commands[i]->name, len, ", ", out);
    fputs("'\n", out);
}

void slm_options_print_zsh(const slm_command *const *commands, const slm_completion *completions,
                           FILE *out)
{
    fputs("#compdef slm\n"
          "# zsh completion for slm\n"
          "_slm() {\n"
          "    local curcontext=$curcontext state line\n"
          "    typeset -A opt_args\n"
          "    _arguments -C '(- *)'{-h,--help}'[show the commands and end]' \\\n"
          "        '(- *)--version[show the version and end]' \\\n"
          "        '1:command:->command' '*::argument:->argument'\n"
          "    case $state in\n"
          "    command)\n"
          "        local -a commands=(\n",
          out);
    for (size_t i = 0; commands[i] != NULL; i++)
        if (begins_word(commands, i)) print_zsh_first(commands, i, out);
    fputs("        )\n"
          "        _describe -t commands 'slm command' commands ;;\n"
          "    argument)\n"
          "        local command=$words[1]\n"
          "        if ((CURRENT == 2)); then\n"
          "            case $command in\n",
          out);
    print_seconds(commands, "compadd -- ", " ;|", out);
    fputs("            esac\n"
          "        fi\n"
          "        ((CURRENT > 2)) && case \"$words[1] $words[2]\" in\n",
          out);
    print_pairs(commands, "command+=\" $words[2]\"; shift words; ((CURRENT--))", out);
    fputs("        esac\n"
          "        case $command in\n",
          out);
    for (size_t i = 0; commands[i] != NULL; i++) {
        layout l = layout_new(commands[i]);
        fputs("        ", out);
        print_case_name(commands[i], out);
        fputs(")\n            _arguments -s -S \\\n", out);
        for (size_t j = 0; j < l.count; j++)
            print_zsh_row(l.rows[j].row, words_of_option(commands[i], l.rows[j].row, completions),
                          out);
        print_zsh_arguments(commands[i], completions, out);
        layout_free(&l);
    }
    fputs("        esac ;;\n"
          "    esac\n"
          "}\n"
          "_slm \"$@\"\n",
          out);
}
