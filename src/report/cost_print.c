/* cost_print.c: the costs of cost.c as a table with its assumptions below it, and as JSON. A cost
 * without what it was computed from is a rumour, so neither form can be had without. */
#include <math.h>
#include <string.h>
#include <jansson.h>
#include "base/buffer.h"
#include "base/json.h"
#include "base/utf8.h"
#include "report/report_internal.h"

enum { NAME_COLUMNS = 32 };

/* Cents matter for little, and not for much. */
static const char *dollars(double usd, char out[REPORT_NUMBER_BYTES])
{
    if (usd >= 100) return report__count((int64_t)llround(usd), out);
    snprintf(out, REPORT_NUMBER_BYTES, "%.*f", usd == 0 ? 0 : usd >= 0.1 ? 2 : 4, usd);
    return out;
}

static const char *tokens(double count, bool told, char out[REPORT_NUMBER_BYTES])
{
    if (!told) return "-";
    if (count >= 100) return report__count((int64_t)llround(count), out);
    snprintf(out, REPORT_NUMBER_BYTES, "%.1f", count);
    return out;
}

/* A name or a source on one line, whatever is in it. */
static void put_line(FILE *out, const char *text, size_t columns)
{
    slm_buffer line = {0};
    report__append_line(&line, text, columns);
    fputs(slm_buffer_text(&line), out);
    slm_buffer_free(&line);
}

/* ---- table ---- */

/* Padded by columns: a Chinese character takes two. */
static void put_name(FILE *out, const char *name)
{
    slm_buffer line = {0};
    report__append_line(&line, name, NAME_COLUMNS);
    size_t used = slm_utf8_columns(slm_buffer_text(&line), line.len);
    fprintf(out, "%s%*s", slm_buffer_text(&line),
            used < NAME_COLUMNS ? (int)(NAME_COLUMNS - used) : 0, "");
    slm_buffer_free(&line);
}

static void print_row(const slm_costs *costs, const slm_arm_cost *arm, FILE *out)
{
    char usd[REPORT_NUMBER_BYTES], thousand[REPORT_NUMBER_BYTES], prompt[REPORT_NUMBER_BYTES],
        cached[REPORT_NUMBER_BYTES], reply[REPORT_NUMBER_BYTES], reasoning[REPORT_NUMBER_BYTES];
    put_name(out, arm->name);
    fprintf(out, "  %11s  %9s  %7s  %7s  %7s  %7s  ", dollars(arm->usd, usd),
            dollars(arm->usd / costs->options.requests * 1000, thousand),
            tokens(arm->prompt, true, prompt), tokens(arm->cached, arm->cached_told, cached),
            tokens(arm->reply, true, reply),
            tokens(arm->reasoning, arm->reasoning_told, reasoning));
    if (arm->price != NULL) {
        fputs("token\n", out);
    } else if (costs->options.whole_machines) {
        fprintf(out, "hour, %.0f whole machine%s\n", arm->machines, arm->machines == 1 ? "" : "s");
    } else {
        fprintf(out, "hour, %.3g of a machine\n", arm->machines);
    }
}

/* ---- assumptions ---- */

static void put_source(FILE *out, const char *source, const char *dated)
{
    fprintf(out, ", dated %s", dated);
    if (source == NULL) {
        fputs(", no source told", out);
    } else {
        fputs(" (", out);
        put_line(out, source, 0);
        fputc(')', out);
    }
}

static void print_hosted(const slm_costs *costs, const slm_arm_cost *arm, FILE *out)
{
    const slm_price *p = arm->price;
    fputs("  ", out);
    put_line(out, arm->name, 0);
    fputs(": priced as ", out);
    put_line(out, p->model, 0);
    if (arm->host != NULL) {
        fputs(" at ", out);
        put_line(out, arm->host, 0);
    }
    fprintf(out, " (line %zu): US$%g per million prompt tokens, %g cached, %g reply", p->line,
            p->input, p->cached, p->output);
    put_source(out, p->source, p->dated);
    if (arm->discount > 0) {
        fprintf(out, "; batch discount %g%%", arm->discount * 100);
    } else if (costs->options.batch_mode) {
        fputs("; the price file has no batch discount for it, so none is taken", out);
    }
    if (!arm->cached_told) fputs("; cached tokens were not told and count as none", out);
    fputs("\n", out);
}

static void print_rented(const slm_costs *costs, const slm_arm_cost *arm, FILE *out)
{
    char share[REPORT_NUMBER_BYTES], whole[REPORT_NUMBER_BYTES];
    double paid_hours = arm->busy_hours / costs->options.utilisation;
    fputs("  ", out);
    put_line(out, arm->name, 0);
    fputs(": runs on ", out);
    put_line(out, arm->machine->machine, 0);
    fprintf(out, " (line %zu): US$%g an hour", arm->machine->line, arm->machine->per_hour);
    put_source(out, arm->machine->source, arm->machine->dated);
    fprintf(out,
            "; %.4g reply tokens a second, %s; %.4g hours of work, %.4g paid at utilisation %g",
            arm->tokens_per_second,
            arm->speed_measured ? "measured: all reply tokens over the sum of the answers' times, "
                                  "which is too low where several were made at once"
                                : "as given",
            arm->busy_hours, paid_hours, costs->options.utilisation);
    fprintf(out, "; a share of %.3g machines is US$%s, whole ones (%.0f) are US$%s\n",
            paid_hours / SLM_COST_MONTH_HOURS, dollars(arm->usd_share, share),
            ceil(paid_hours / SLM_COST_MONTH_HOURS), dollars(arm->usd_whole, whole));
}

/* What holds for every arm. */
static void print_general(const slm_costs *costs, FILE *out)
{
    const slm_cost_options *options = &costs->options;
    bool hosted = false, rented = false;
    for (size_t i = 0; i < costs->count; i++) {
        hosted = hosted || costs->arms[i].price != NULL;
        rented = rented || costs->arms[i].machine != NULL;
    }
    fputs("  every request uses as many tokens as the evaluation's answers did on average, refused "
          "and cut-off ones included\n",
          out);
    if (hosted) fputs("  reasoning tokens are among the reply's and are paid like them\n", out);
    if (hosted && options->batch_discount < 0 && !options->batch_mode)
        fputs("  no batch discount: requests are answered at once\n", out);
    if (!rented) return;
    if (options->whole_machines) {
        fprintf(out, "  whole machines, paid for %g hours a month each, busy or not\n",
                SLM_COST_MONTH_HOURS);
    } else {
        fprintf(out,
                "  shares of a machine: paid hours are hours of work over utilisation, and what is "
                "not used of a month's %g hours is another's (--whole-machines: paid around the "
                "clock)\n",
                SLM_COST_MONTH_HOURS);
    }
    fputs(
        "  the time that prompts take is in the tokens per second; staff, storage and network are "
        "not in any price\n",
        out);
}

void slm_costs_print(const slm_costs *costs, FILE *out)
{
    char requests[REPORT_NUMBER_BYTES];
    fprintf(out, "What %s requests a month cost, by ",
            report__count((int64_t)llround(costs->options.requests), requests));
    put_line(out, costs->prices->path, 0);
    fprintf(out, "\n\n%-*s  %11s  %9s  %7s  %7s  %7s  %7s  %s\n", NAME_COLUMNS, "", "US$ a month",
            "per 1,000", "prompt", "cached", "reply", "thought", "paid by the");
    for (size_t i = 0; i < costs->count; i++)
        print_row(costs, &costs->arms[i], out);
    fputs(
        "\nTokens are those of one request, cached ones among the prompt's, thought ones among the "
        "reply's.\n\nAssumed\n",
        out);
    print_general(costs, out);
    for (size_t i = 0; i < costs->count; i++) {
        const slm_arm_cost *arm = &costs->arms[i];
        if (arm->price != NULL)
            print_hosted(costs, arm, out);
        else
            print_rented(costs, arm, out);
        if (arm->told < arm->samples) {
            fputs("  ", out);
            put_line(out, arm->name, 0);
            fprintf(out,
                    ": %zu of %zu answers did not tell their tokens and are not in the means\n",
                    arm->samples - arm->told, arm->samples);
        }
    }
    for (size_t i = 0; i < costs->left_out_count; i++) {
        fputs("  ", out);
        put_line(out, costs->left_out[i], 0);
        fputc('\n', out);
    }
}

/* ---- JSON ---- */

static json_t *text_or_null(const char *text)
{
    if (text == NULL) return json_null();
    slm_buffer valid = {0};
    report__append_line(&valid, text, 0);
    json_t *value = json_string(slm_buffer_text(&valid));
    slm_buffer_free(&valid);
    return value;
}

static json_t *hosted_json(const slm_arm_cost *arm)
{
    const slm_price *p = arm->price;
    return json_pack("{s:o, s:o, s:o, s:f, s:f, s:f, s:f, s:s, s:o, s:I}", "model",
                     text_or_null(arm->model), "host", text_or_null(arm->host), "priced_as",
                     text_or_null(p->model), "input", p->input, "cached", p->cached, "output",
                     p->output, "discount", arm->discount, "dated", p->dated, "source",
                     text_or_null(p->source), "line", (json_int_t)p->line);
}

static json_t *rented_json(const slm_arm_cost *arm)
{
    const slm_machine_price *m = arm->machine;
    return json_pack("{s:o, s:f, s:s, s:o, s:I, s:f, s:b, s:f, s:f, s:f, s:f}", "machine",
                     text_or_null(m->machine), "per_hour", m->per_hour, "dated", m->dated, "source",
                     text_or_null(m->source), "line", (json_int_t)m->line, "tokens_per_second",
                     arm->tokens_per_second, "tokens_per_second_measured", arm->speed_measured,
                     "busy_hours", arm->busy_hours, "machines", arm->machines, "usd_share",
                     arm->usd_share, "usd_whole", arm->usd_whole);
}

static json_t *arm_json(const slm_arm_cost *arm)
{
    return json_pack(
        "{s:o, s:s, s:f, s:I, s:I, s:f, s:o, s:f, s:o, s:o, s:o}", "arm", text_or_null(arm->name),
        "run", arm->run, "usd_a_month", arm->usd, "answers", (json_int_t)arm->samples,
        "answers_with_tokens", (json_int_t)arm->told, "prompt_tokens", arm->prompt, "cached_tokens",
        arm->cached_told ? json_real(arm->cached) : json_null(), "reply_tokens", arm->reply,
        "reasoning_tokens", arm->reasoning_told ? json_real(arm->reasoning) : json_null(), "hosted",
        arm->price ? hosted_json(arm) : json_null(), "rented",
        arm->machine ? rented_json(arm) : json_null());
}

void slm_costs_json(const slm_costs *costs, FILE *out)
{
    const slm_cost_options *options = &costs->options;
    json_t *arms = json_array(), *left_out = json_array();
    for (size_t i = 0; i < costs->count; i++)
        json_array_append_new(arms, arm_json(&costs->arms[i]));
    for (size_t i = 0; i < costs->left_out_count; i++)
        json_array_append_new(left_out, text_or_null(costs->left_out[i]));
    json_t *root =
        json_pack("{s:f, s:o, s:b, s:o, s:f, s:b, s:f, s:o, s:o}", "requests_a_month",
                  options->requests, "prices", text_or_null(costs->prices->path), "batch_mode",
                  options->batch_mode, "batch_discount",
                  options->batch_discount >= 0 ? json_real(options->batch_discount) : json_null(),
                  "utilisation", options->utilisation, "whole_machines", options->whole_machines,
                  "hours_a_month", SLM_COST_MONTH_HOURS, "arms", arms, "left_out", left_out);
    slm_buffer text = {0};
    slm_json_append_canonical(&text, root);
    fprintf(out, "%s\n", slm_buffer_text(&text));
    slm_buffer_free(&text);
    json_decref(root);
}
