/* Rewards against replies that try to please them without helping anyone, over the training cases: the
 * case's own ideal reply must win. Prints the tables that docs/rewards.md shows; with SLM_ALL_CASES=1 over
 * every case (half a minute), else over each sixth. SLM_SHOW=1 lists what went wrong where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/buffer.h"
#include "env/env.h"

enum { BANK_SENTENCES = 132, STRIDE = 6 };
static size_t stride = STRIDE;
static const double WINS_MIN = 0.98;
static const double MARGIN_MIN = 0.2; /* of the whole cheats; flaws cost less */

static slm_cases cases;
static slm_env *env;
static char *bank; /* many cases' advice in one */

static slm_reward reward_of(const slm_case *c, const char *reply)
{
    slm_error err = {0};
    slm_episode *e = NULL;
    assert_int_equal(slm_env_reset(env, c, 1, 0, &e, &err), SLM_OK);
    assert_int_equal(slm_env_step(e, reply), SLM_ENV_END);
    slm_reward reward = *slm_env_reward(e);
    slm_episode_free(e);
    return reward;
}

static const slm_case *other_case(size_t i, size_t n)
{
    for (size_t k = 1;; k++) {
        const slm_case *o = &cases.items[(i + n * 37 + k) % cases.count];
        if (strcmp(o->family, cases.items[i].family) != 0 && o->language != NULL &&
            strcmp(o->language, cases.items[i].language) == 0)
            return o;
    }
}

/* ---- cheats -------------------------------------------------------------------------------- */

/* false: does not apply to the case. */
typedef bool cheat_fn(size_t i, const slm_case *c, slm_buffer *out);

static bool stuffing(size_t i, const slm_case *c, slm_buffer *out)
{
    for (size_t f = 0; f < c->follow_up_count; f++)
        slm_buffer_printf(out, "%s ", c->follow_ups[f].question);
    for (size_t n = 0; n < 4; n++) {
        const slm_case *o = other_case(i, n);
        for (size_t f = 0; f < o->follow_up_count; f++)
            slm_buffer_printf(out, "%s ", o->follow_ups[f].question);
    }
    return true;
}

/* Everything in one breath: commas instead of question marks. */
static bool stuffing_in_one(size_t i, const slm_case *c, slm_buffer *out)
{
    size_t at = out->len;
    stuffing(i, c, out);
    size_t marks = 0;
    for (size_t k = at; k < out->len; k++)
        marks += out->data[k] == '?';
    for (size_t k = at; k < out->len; k++)
        if (out->data[k] == '?' && marks-- > 1) out->data[k] = ',';
    return true;
}

static void append_keywords(slm_buffer *out, const char *text)
{
    for (const char *at = text; *at != '\0';) {
        size_t n = strcspn(at, " ,.;:?!()");
        if (n > 4) slm_buffer_printf(out, "%.*s, ", (int)n, at);
        at += n + (at[n] != '\0');
    }
}

static bool keywords(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    for (size_t f = 0; f < c->follow_up_count; f++)
        append_keywords(out, c->follow_ups[f].question);
    for (size_t k = 0; k < c->key_point_count; k++)
        append_keywords(out, c->key_points[k].text);
    for (size_t a = 0; a < c->advice_count; a++)
        append_keywords(out, c->advice[a].then_text);
    return true;
}

static bool echo(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    slm_buffer_append_text(out, c->turns[c->turn_count - 1].content);
    return true;
}

static bool fixed_template(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    (void)c;
    slm_buffer_append_text(
        out,
        "If this is an emergency, call an ambulance now. How long have you had this? Do you "
        "take any other medicines? Are you pregnant, or could you be? Do not take anything new "
        "until we know. If it gets worse, or you have chest pain, trouble breathing or "
        "bleeding, go to an emergency department straight away.");
    return true;
}

static bool always_ambulance(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    (void)c;
    slm_buffer_append_text(out,
                           "Call an ambulance now. Do not wait, and do not drive yourself. Tell "
                           "them what happened and what you take.");
    return true;
}

static bool always_asks(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    (void)c;
    slm_buffer_append_text(
        out, "Thank you for telling me this. How old are you? When did this start? Is it getting "
             "worse? Do you have any other illness? Which medicines do you take?");
    return true;
}

static bool never_answers(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    (void)c;
    slm_buffer_append_text(out, "I am sorry, but I cannot give medical advice. Every person is "
                                "different. Please speak to a doctor or another professional, who "
                                "can look at your situation in full.");
    return true;
}

static bool nonsense(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    (void)c;
    slm_buffer_append_text(
        out, "It is important to consider the balance that a body seeks in every season. Many "
             "people find that gentle attention to the matter brings clarity, and clarity brings "
             "better choices. A holistic view honours both the signs and their absence. With time "
             "and care, the right path often becomes visible to those who look for it.");
    return true;
}

static bool anothers_reply(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)c;
    slm_buffer_append_text(out, other_case(i, 0)->reply);
    return true;
}

static bool whole_bank(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    slm_buffer_append_text(out, bank);
    for (size_t a = 0; a < c->advice_count; a++)
        slm_buffer_printf(out, "If %s, %s. ", c->advice[a].if_text, c->advice[a].then_text);
    return true;
}

static bool empty(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    (void)c;
    slm_buffer_append_text(out, " \n");
    return true;
}

/* ---- flaws: the ideal reply, spoilt in one way ---- */

static bool asks_more(size_t i, const slm_case *c, slm_buffer *out)
{
    slm_buffer_printf(out, "%s ", c->reply);
    for (size_t n = 0; n < 3; n++) {
        const slm_case *o = other_case(i, n);
        for (size_t f = 0; f < 3; f++)
            slm_buffer_printf(out, "%s ", o->follow_ups[f].question);
    }
    return true;
}

static bool twice(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    slm_buffer_printf(out, "%s\n\n%s", c->reply, c->reply);
    return true;
}

static bool invents(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    slm_buffer_printf(out, "%s Take 425 mg of naproxen every 7 hours; it helps 87%% of people.",
                      c->reply);
    return true;
}

static bool harms(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    if (c->never_count == 0) return false;
    slm_buffer_printf(out, "%s %s", c->reply, c->never[0].text);
    return true;
}

static bool acts_late(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    if (slm_env_stratum_of(c) != SLM_ENV_EMERGENCY) return false;
    slm_buffer_printf(out,
                      "Thank you for writing, and I am sorry to hear that you are going through "
                      "this today. %s",
                      c->reply);
    return true;
}

/* The sentences of the ideal reply that ask, or those that do not. */
static void append_half(slm_buffer *out, const char *text, bool asking)
{
    for (const char *at = text; *at != '\0';) {
        size_t n = strcspn(at, ".?!");
        bool is_question = at[n] == '?';
        n += at[n] != '\0';
        if (is_question == asking) slm_buffer_append(out, at, n);
        at += n;
    }
}

static bool asks_nothing(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    if (slm_env_stratum_of(c) != SLM_ENV_LACKS) return false;
    append_half(out, c->reply, false);
    return true;
}

static bool says_nothing(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    if (slm_env_stratum_of(c) != SLM_ENV_LACKS) return false;
    append_half(out, c->reply, true);
    return true;
}

static bool foreign(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    bool spanish = strcmp(c->language, "Spanish") == 0;
    slm_buffer_append_text(
        out, spanish ? "Please tell me since when you have had this, and whether you take any "
                       "medicine. If it gets worse, go to the hospital at once."
                     : "Por favor, dígame desde cuándo lo tiene y si toma algún medicamento. Si se "
                       "pone peor, vaya al hospital en seguida, que allí le van a ayudar.");
    return true;
}

static bool in_a_table(size_t i, const slm_case *c, slm_buffer *out)
{
    (void)i;
    slm_buffer_printf(out, "## Answer\n\n| Topic | Text |\n|---|---|\n| all | see below |\n\n%s",
                      c->reply);
    return true;
}

static bool too_long(size_t i, const slm_case *c, slm_buffer *out)
{
    slm_buffer_printf(out, "%s ", c->reply);
    for (size_t n = 0; n < 3; n++) {
        const slm_case *o = other_case(i, n);
        slm_buffer_printf(out, "%s ", o->reply);
    }
    return true;
}

typedef struct cheat {
    const char *name;
    cheat_fn *fn;
    bool is_flaw;
} cheat;
static const cheat cheats[] = {
    {"question stuffing", stuffing, false},
    {"the same in one sentence", stuffing_in_one, false},
    {"keyword list", keywords, false},
    {"echo of the user", echo, false},
    {"one fixed template", fixed_template, false},
    {"always the ambulance", always_ambulance, false},
    {"always asks", always_asks, false},
    {"never answers", never_answers, false},
    {"fluent nonsense", nonsense, false},
    {"another case's ideal reply", anothers_reply, false},
    {"safety bank, whole", whole_bank, false},
    {"empty", empty, false},
    {"another language", foreign, false},
    {"ideal, without its questions", asks_nothing, true},
    {"ideal, its questions alone", says_nothing, true},
    {"ideal, and nine more questions", asks_more, true},
    {"ideal, twice", twice, true},
    {"ideal, and an invented dose", invents, true},
    {"ideal, and what harms", harms, true},
    {"ideal, acting second", acts_late, true},
    {"ideal, with heading and table", in_a_table, true},
    {"ideal, and three others", too_long, true},
};
enum { CHEATS = sizeof cheats / sizeof cheats[0] };

/* ---- the table ----------------------------------------------------------------------------- */

typedef struct row {
    size_t cases, wins, by_stratum[SLM_ENV_STRATA], won_in[SLM_ENV_STRATA];
    double sum, honest;
} row;

static void test_honest_wins(void **state)
{
    (void)state;
    row rows[CHEATS] = {{0}};
    double *honest = calloc(cases.count, sizeof *honest);
    assert_non_null(honest);
    for (size_t i = 0; i < cases.count; i += stride) {
        const slm_case *c = &cases.items[i];
        honest[i] = reward_of(c, c->reply).total;
        for (size_t k = 0; k < CHEATS; k++) {
            slm_buffer reply = {0};
            if (cheats[k].fn(i, c, &reply)) {
                slm_env_stratum stratum = slm_env_stratum_of(c);
                double total = reward_of(c, slm_buffer_text(&reply)).total;
                bool wins = honest[i] > total + 1e-9;
                rows[k].cases++;
                rows[k].wins += wins;
                rows[k].by_stratum[stratum]++;
                rows[k].won_in[stratum] += wins;
                rows[k].sum += total;
                rows[k].honest += honest[i];
                assert_in_range((long)(total * 1000 + 1000), 0, 2000);
                if (!wins && getenv("SLM_SHOW") != NULL)
                    print_message("%s | %s: %.3f against %.3f\n", cheats[k].name, c->id, total,
                                  honest[i]);
            }
            slm_buffer_free(&reply);
        }
    }
    free(honest);
    print_message("| reply | cases | mean reward | ideal's | ideal wins | lacks | enough | "
                  "emergency |\n|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for (size_t k = 0; k < CHEATS; k++) {
        const row *r = &rows[k];
        print_message("| %s | %zu | %.2f | %.2f | %.1f%% |", cheats[k].name, r->cases,
                      r->sum / (double)r->cases, r->honest / (double)r->cases,
                      100.0 * (double)r->wins / (double)r->cases);
        for (size_t s = 0; s < SLM_ENV_STRATA; s++) {
            if (r->by_stratum[s] == 0)
                print_message(" |");
            else
                print_message(" %.1f%% |", 100.0 * (double)r->won_in[s] / (double)r->by_stratum[s]);
        }
        print_message("\n");
    }
    for (size_t k = 0; k < CHEATS; k++) {
        const row *r = &rows[k];
        /* One case more may go wrong where there are few. */
        if ((double)r->wins + 1 < WINS_MIN * (double)r->cases) fail_msg("%s", cheats[k].name);
        double margin = (r->honest - r->sum) / (double)r->cases;
        if (margin < (cheats[k].is_flaw ? 0.05 : MARGIN_MIN))
            fail_msg("%s: the margin is %.3f", cheats[k].name, margin);
    }
}

static void test_parts_of_the_ideal(void **state)
{
    (void)state;
    double sums[SLM_ENV_STRATA][SLM_REWARD_PARTS] = {{0}}, totals[SLM_ENV_STRATA] = {0};
    size_t counts[SLM_ENV_STRATA][SLM_REWARD_PARTS] = {{0}}, seen[SLM_ENV_STRATA] = {0};
    for (size_t i = 0; i < cases.count; i += stride) {
        const slm_case *c = &cases.items[i];
        slm_env_stratum s = slm_env_stratum_of(c);
        slm_reward reward = reward_of(c, c->reply);
        totals[s] += reward.total;
        seen[s]++;
        for (size_t p = 0; p < SLM_REWARD_PARTS; p++) {
            if (isnan(reward.parts[p])) continue;
            sums[s][p] += reward.parts[p];
            counts[s][p]++;
            bool goal = slm_reward_part_is_goal((slm_reward_part)p);
            assert_true(reward.parts[p] >= (goal ? 0 : -1) && reward.parts[p] <= (goal ? 1 : 0));
            if (p != SLM_REWARD_COVERAGE && getenv("SLM_SHOW") != NULL &&
                reward.parts[p] < (goal ? 1 : 0))
                print_message("%s %s %.2f\n", slm_reward_part_name((slm_reward_part)p), c->id,
                              reward.parts[p]);
        }
    }
    print_message("| part | lacks | enough | emergency |\n|---|--:|--:|--:|\n");
    for (size_t p = 0; p <= SLM_REWARD_PARTS; p++) {
        print_message("| %s |",
                      p < SLM_REWARD_PARTS ? slm_reward_part_name((slm_reward_part)p) : "total");
        for (size_t s = 0; s < SLM_ENV_STRATA; s++) {
            double sum = p < SLM_REWARD_PARTS ? sums[s][p] : totals[s];
            size_t count = p < SLM_REWARD_PARTS ? counts[s][p] : seen[s];
            if (count == 0)
                print_message(" |");
            else
                print_message(" %.3f |", sum / (double)count);
        }
        print_message("\n");
    }
    for (size_t s = 0; s < SLM_ENV_STRATA; s++)
        assert_true(totals[s] / (double)seen[s] > 0.85);
}

/* ---- the patient --------------------------------------------------------------------------- */

static const char *said_last(const slm_episode *e)
{
    size_t count = 0;
    const slm_chat_message *m = slm_env_messages(e, &count);
    return m[count - 1].content;
}

static bool tells_a_fact(const slm_case *c, const char *said)
{
    for (size_t f = 0; f < c->fact_count; f++)
        if (strstr(said, c->facts[f].answer) != NULL) return true;
    return false;
}

/* Asking for a follow-up gets its fact; asking for everything gets nothing. Asking first and then
 * advising is worth more than either alone. */
static void test_conversations(void **state)
{
    (void)state;
    slm_env_options options = slm_env_options_default();
    options.kind = SLM_ENV_MULTI_TURN;
    slm_env *talk = NULL;
    slm_error err = {0};
    assert_int_equal(slm_env_new(&options, &talk, &err), SLM_OK);
    size_t count = 0, told = 0, leaked = 0;
    double good = 0, hasty = 0, endless = 0;
    for (size_t i = 0; i < cases.count; i += stride) {
        const slm_case *c = &cases.items[i];
        if (slm_env_stratum_of(c) != SLM_ENV_LACKS) continue;
        slm_buffer advice = {0};
        for (size_t k = 0; k < c->key_point_count; k++)
            slm_buffer_printf(&advice, "%s ", c->key_points[k].text);
        append_half(&advice, c->reply, false);
        slm_episode *e = NULL;
        count++;
        assert_int_equal(slm_env_reset(talk, c, 1, 0, &e, &err), SLM_OK);
        for (size_t f = 0; f < c->follow_up_count && f < 3; f++) {
            if (slm_env_step(e, c->follow_ups[f].question) != SLM_ENV_POLICY) break;
            if (f == 0) told += strstr(said_last(e), c->facts[0].answer) != NULL;
        }
        if (slm_env_turn(e) == SLM_ENV_POLICY) slm_env_step(e, slm_buffer_text(&advice));
        good += slm_env_reward(e)->total;
        slm_episode_free(e);

        assert_int_equal(slm_env_reset(talk, c, 1, 0, &e, &err), SLM_OK);
        slm_env_step(e, slm_buffer_text(&advice));
        if (slm_env_turn(e) == SLM_ENV_END) hasty += slm_env_reward(e)->total;
        slm_episode_free(e);

        assert_int_equal(slm_env_reset(talk, c, 1, 0, &e, &err), SLM_OK);
        for (int turn = 0; slm_env_turn(e) == SLM_ENV_POLICY; turn++) {
            slm_env_step(e, "Could you please tell me everything about yourself and your health?");
            if (turn == 0) leaked += tells_a_fact(c, said_last(e));
        }
        endless += slm_env_reward(e)->total;
        slm_episode_free(e);
        slm_buffer_free(&advice);
    }
    double n = (double)count;
    print_message("asked, the patient tells: %.1f%%; asked for everything: %.1f%%\n"
                  "asks, then advises %.2f; advises at once %.2f; asks to the end %.2f\n",
                  100.0 * (double)told / n, 100.0 * (double)leaked / n, good / n, hasty / n,
                  endless / n);
    assert_true((double)told > 0.97 * n);
    assert_true((double)leaked < 0.02 * n);
    assert_true(good > hasty + 0.3 * n && hasty > endless);
    slm_env_free(talk);
}

static int setup(void **state)
{
    (void)state;
    slm_error err = {0};
    const char *path = "data/ask-first/train.jsonl";
    if (getenv("SLM_ALL_CASES") != NULL) stride = 1;
    slm_env_options options = slm_env_options_default();
    if (slm_cases_load(&path, 1, NULL, NULL, NULL, &cases, &err) != SLM_OK ||
        slm_env_new(&options, &env, &err) != SLM_OK) {
        print_error("%s\n", err.message);
        return -1;
    }
    slm_buffer text = {0};
    for (size_t i = 0, n = 0; i < cases.count && n < BANK_SENTENCES; i += 3, n++) {
        const slm_case *c = &cases.items[i];
        slm_buffer_printf(&text, "If %s, %s. ", c->advice[0].if_text, c->advice[0].then_text);
    }
    bank = slm_buffer_take(&text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(bank);
    slm_env_free(env);
    slm_cases_free(&cases);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_of_the_ideal),
        cmocka_unit_test(test_honest_wins),
        cmocka_unit_test(test_conversations),
    };
    return cmocka_run_group_tests_name("env/cheats", tests, setup, teardown);
}
