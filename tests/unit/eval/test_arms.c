/* Tags, pairs of arms, targets, refusals, style and parts of results, on gradings put in by hand. */
#include "eval/eval_internal.h"
#include "helpers.h"

static const char rows_text[] =
    "{\"prompt_id\":\"a\",\"prompt\":[{\"role\":\"user\",\"content\":\"One?\"}],\"context\":"
    "\"lacks\","
    "\"example_tags\":[\"theme:hedging\"],\"rubrics\":["
    "{\"criterion\":\"right\",\"points\":5,\"tags\":[\"axis:accuracy\"]},"
    "{\"criterion\":\"rude\",\"points\":-4,\"tags\":[\"axis:tone\"]},"
    "{\"criterion\":\"asks\",\"points\":3,\"tags\":[\"axis:accuracy\",\"cluster:x\"]}]}\n"
    "{\"prompt_id\":\"b\",\"prompt\":[{\"role\":\"user\",\"content\":\"Two?\"}],\"context\":"
    "\"enough\","
    "\"example_tags\":[\"theme:hedging\",\"physician_agreed_category:y\"],\"rubrics\":["
    "{\"criterion\":\"right\",\"points\":2,\"tags\":[\"axis:accuracy\"]},"
    "{\"criterion\":\"rude\",\"points\":-4,\"tags\":[\"axis:tone\"]},"
    "{\"criterion\":\"kind\",\"points\":8,\"tags\":[\"axis:tone\"]}]}\n"
    "{\"prompt_id\":\"c\",\"prompt\":[{\"role\":\"user\",\"content\":\"Three?\"}],"
    "\"example_tags\":[\"theme:other\"],\"rubrics\":["
    "{\"criterion\":\"right\",\"points\":4,\"tags\":[\"axis:accuracy\"]},"
    "{\"criterion\":\"wrong\",\"points\":-4,\"tags\":[\"axis:accuracy\"]},"
    "{\"criterion\":\"long\",\"points\":-1,\"tags\":[\"axis:length\"]}]}\n";

typedef struct fixture {
    slm_store *store;
    slm_cases cases;
    slm_arena arena;
    slm_results results;
} fixture;

static void load_rows(slm_cases *cases, const char *text)
{
    char name[160];
    slm_error err = {0};
    in_folder(name, "rows.jsonl");
    put_file(name, text);
    const char *paths[] = {name};
    ok(slm_cases_load(paths, 1, NULL, NULL, NULL, cases, &err), &err);
}

static void open_fixture(fixture *f, const char *text)
{
    slm_error err = {0};
    *f = (fixture){0};
    load_rows(&f->cases, text);
    f->store = open_store(path);
    ok(slm_store_put_judge(f->store, "j", "rule", &err), &err);
    for (size_t i = 0; i < f->cases.count; i++) {
        const slm_case *c = &f->cases.items[i];
        ok(slm_store_put_case(f->store, f->cases.sha256, c->id, c->family, i, c->json, &err), &err);
    }
}

static void put_arm(fixture *f, const char *name, const char *kind)
{
    slm_error err = {0};
    slm_run run = {.hash = name,
                   .model_name = name,
                   .model_identity = name,
                   .kind = kind,
                   .cases_sha256 = f->cases.sha256};
    ok(slm_store_put_run(f->store, &run, &err), &err);
}

/* An answer with its verdicts: '1' met, '0' not, '?' unscored, '.' not covered. */
static void put(fixture *f, const char *arm, size_t i, int64_t rollout, const char *verdicts,
                const char *reply, const char *finish)
{
    slm_error err = {0};
    const slm_case *c = &f->cases.items[i];
    slm_sample sample = {.run = arm,
                         .case_id = c->id,
                         .rollout = rollout,
                         .reply = reply,
                         .finish = finish,
                         .prompt_tokens = -1,
                         .reply_tokens = -1,
                         .reasoning_tokens = -1,
                         .cached_tokens = -1};
    ok(slm_store_put_sample(f->store, &sample, NULL, &err), &err);
    slm_stored_grade grades[8];
    slm_verdict given[8] = {0};
    slm_stored_grading grading = {
        .run = arm, .case_id = c->id, .rollout = rollout, .judge_hash = "j", .grades = grades};
    for (size_t v = 0; v < c->rubric_count; v++) {
        if (verdicts[v] == '.') continue;
        given[v] = verdicts[v] == '1'   ? SLM_VERDICT_MET
                   : verdicts[v] == '0' ? SLM_VERDICT_NOT_MET
                                        : SLM_VERDICT_UNSCORED;
        grades[grading.grade_count++] = (slm_stored_grade){
            .criterion = (int64_t)v, .met = verdicts[v] == '?' ? -1 : verdicts[v] == '1'};
    }
    slm_score score = slm_score_case(c, given);
    grading.has_score = score.has_score;
    grading.score = score.score;
    grading.low = score.low;
    grading.high = score.high;
    grading.status = score.has_score ? "scored" : "unscored";
    ok(slm_store_put_grading(f->store, &grading, &err), &err);
}

static void load(fixture *f)
{
    slm_error err = {0};
    ok(slm_results_load(f->store, &f->arena, &f->results, &err), &err);
}

static const slm_arm *arm_of(const fixture *f, const char *name)
{
    for (size_t i = 0; i < f->results.arm_count; i++) {
        if (strcmp(f->results.arms[i].run.hash, name) == 0) return &f->results.arms[i];
    }
    fail_msg("there is no arm %s", name);
    return NULL;
}

static void close_fixture(fixture *f)
{
    slm_store_close(f->store);
    slm_arena_free(&f->arena);
    slm_cases_free(&f->cases);
}

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-12;
}

/* ---- tags ---- */

static const slm_tag_score *tag_of(const slm_tag_score *tags, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tags[i].tag, name) == 0) return &tags[i];
    }
    return NULL;
}

static void tags_are_scored_as_the_reference_does(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, rows_text);
    put_arm(&f, "m", "model");
    put(&f, "m", 0, 0, "101", "x", "stop"); /* 8/8 */
    put(&f, "m", 0, 1, "110", "x", "stop"); /* 1/8 */
    put(&f, "m", 1, 0, "010", "x", "stop"); /* -4/10 */
    put(&f, "m", 1, 1, "101", "x", "stop"); /* 10/10 */
    put(&f, "m", 2, 0, "111", "x", "stop"); /* -1/4 */
    put(&f, "m", 2, 1, "?01", "x", "stop"); /* unscored: -1/4 to 3/4 */
    load(&f);
    slm_tag_score *tags = NULL;
    size_t count = 0;
    slm_arm_tag_scores(&f.results, arm_of(&f, "m"), NULL, &f.arena, &tags, &count);
    /* axis:length gives no points anywhere, and so has no score. */
    assert_int_equal(count, 6);
    for (size_t i = 1; i < count; i++)
        assert_true(strcmp(tags[i - 1].tag, tags[i].tag) < 0);
    assert_null(tag_of(tags, count, "axis:length"));
    const slm_tag_score *hedging = tag_of(tags, count, "theme:hedging");
    assert_false(hedging->is_criterion_tag);
    assert_int_equal(hedging->figure.cases, 2);
    assert_int_equal(hedging->samples, 4);
    assert_true(near(hedging->figure.value, (1 + 0.125 - 0.4 + 1) / 4));
    /* The reference's population standard deviation over sqrt(n). */
    double mean = (1 + 0.125 - 0.4 + 1) / 4, squares = 0;
    static const double scores[] = {1, 0.125, -0.4, 1};
    for (int i = 0; i < 4; i++)
        squares += (scores[i] - mean) * (scores[i] - mean);
    assert_true(near(hedging->bootstrap_std, sqrt(squares / 4 / 4)));
    /* axis:tone gives points in b alone: 8 with a penalty of 4. */
    const slm_tag_score *tone = tag_of(tags, count, "axis:tone");
    assert_true(tone->is_criterion_tag);
    assert_int_equal(tone->figure.cases, 1);
    assert_true(near(tone->figure.value, (-0.5 + 1) / 2));
    /* axis:accuracy: a 8/8, 5/8; b 0, 2/2; c (4-4)/4 and unscored, whose bounds are 0 and 1. */
    const slm_tag_score *accuracy = tag_of(tags, count, "axis:accuracy");
    assert_int_equal(accuracy->samples, 5);
    assert_true(near(accuracy->figure.value, ((1 + 0.625) / 2 + 0.5 + 0) / 3));
    assert_true(near(accuracy->figure.low, ((1 + 0.625) / 2 + 0.5 + 0) / 3));
    assert_true(near(accuracy->figure.high, ((1 + 0.625) / 2 + 0.5 + 0.5) / 3));
    assert_true(near(tag_of(tags, count, "cluster:x")->figure.value, 0.5));

    slm_arm_tag_scores(&f.results, arm_of(&f, "m"), "theme:", &f.arena, &tags, &count);
    assert_int_equal(count, 2);
    slm_tag_score whole = slm_arm_aggregate(&f.results, arm_of(&f, "m"));
    assert_int_equal(whole.samples, 5);
    assert_true(near(whole.figure.value, ((1 + 0.125) / 2 + 0.3 - 0.25) / 3));
    close_fixture(&f);
}

static void comparable_is_the_reference_alone(void **state)
{
    (void)state;
    static const struct {
        const char *judge, *coverage, *part;
        bool comparable;
    } table[] = {
        {"rule", "{\"criteria\":3,\"criteria_covered\":3}", "graded by gpt-4.1, these by rule",
         false},
        {"imported", NULL, "is not told", false},
        {"j",
         "{\"criteria\":3,\"criteria_covered\":3,\"judge\":{\"model\":\"openai:gpt-4.1-mini\","
         "\"template_sha256\":\"%s\"}}",
         "graded by gpt-4.1", false},
        {"j",
         "{\"criteria\":3,\"criteria_covered\":3,\"judge\":{\"model\":\"openai:gpt-4.1\","
         "\"template_sha256\":\"00\"}}",
         "template is not the reference's", false},
        {"j",
         "{\"criteria\":3,\"criteria_covered\":2,\"judge\":{\"model\":\"gpt-4.1\","
         "\"template_sha256\":\"%s\"}}",
         "did not grade all criteria", false},
        {"j",
         "{\"criteria\":3,\"criteria_covered\":3,\"judge\":{\"model\":"
         "\"openai:gpt-4.1-2025-04-14@https://x/v1\",\"template_sha256\":\"%s\"}}",
         "over 7.", true},
    };
    slm_arena arena = {0};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char coverage[512];
        snprintf(coverage, sizeof coverage, "%s", table[i].coverage ? table[i].coverage : "");
        char *at = strstr(coverage, "%s");
        if (at) {
            char rest[64];
            snprintf(rest, sizeof rest, "%s", at + 2);
            snprintf(at, sizeof coverage - (size_t)(at - coverage), "%s%s",
                     slm_judge_reference_template, rest);
        }
        slm_arm arm = {.judge_name = table[i].judge,
                       .coverage_json = table[i].coverage ? coverage : NULL,
                       .case_count = 7};
        const char *why = NULL;
        assert_int_equal(slm_arm_is_comparable(&arm, &arena, &why), table[i].comparable);
        assert_holds(why, table[i].part);
    }
    slm_arena_free(&arena);
}

/* ---- pairs ---- */

/* n cases of one criterion each worth 4 points, in families of `per_family`. */
static void open_many(fixture *f, size_t n, size_t per_family)
{
    slm_buffer text = {0};
    for (size_t i = 0; i < n; i++)
        slm_buffer_printf(&text,
                          "{\"prompt_id\":\"c%03zu\",\"family\":\"f%zu\",\"prompt\":[{\"role\":"
                          "\"user\",\"content\":\"Q?\"}],\"rubrics\":[{\"criterion\":\"r\","
                          "\"points\":3,\"tags\":[]},{\"criterion\":\"s\",\"points\":1,\"tags\":[]}"
                          "]}\n",
                          i, i / per_family);
    open_fixture(f, slm_buffer_text(&text));
    slm_buffer_free(&text);
}

static double brute_force_p(const double *d, size_t n)
{
    double sum = 0;
    size_t far = 0;
    for (size_t i = 0; i < n; i++)
        sum += d[i];
    for (size_t mask = 0; mask < (size_t)1 << n; mask++) {
        double flipped = 0;
        for (size_t i = 0; i < n; i++)
            flipped += mask >> i & 1 ? -d[i] : d[i];
        far += fabs(flipped) >= fabs(sum) - 1e-9;
    }
    return (double)far / (double)((size_t)1 << n);
}

static void few_families_have_an_exact_p(void **state)
{
    (void)state;
    fixture f;
    slm_random random = slm_random_new(11, 0);
    double family[5] = {0}, sum = 0;
    open_many(&f, 10, 2);
    put_arm(&f, "m", "model");
    put_arm(&f, "n", "model");
    for (size_t i = 0; i < 10; i++) {
        static const char *const verdicts[] = {"00", "01", "10", "11"};
        static const double values[] = {0, 0.25, 0.75, 1};
        size_t a = (size_t)slm_random_below(&random, 4), b = (size_t)slm_random_below(&random, 4);
        put(&f, "m", i, 0, verdicts[a], "x", "stop");
        put(&f, "n", i, 0, verdicts[b], "x", "stop");
        family[i / 2] += values[a] - values[b];
        sum += values[a] - values[b];
    }
    load(&f);
    slm_measure measure = {.kind = SLM_MEASURE_SCORE};
    slm_comparison c = slm_compare(&f.results, arm_of(&f, "m"), arm_of(&f, "n"), &measure);
    assert_true(near(c.difference, sum / 10));
    assert_true(c.is_exact);
    assert_true(near(c.p, brute_force_p(family, 5)));
    assert_int_equal(c.cases, 10);
    assert_int_equal(c.families, 5);
    assert_true(near(c.low, c.difference) && near(c.high, c.difference));
    assert_true(c.interval.low <= c.difference && c.difference <= c.interval.high);
    /* The other way round it is the same with another sign. */
    slm_comparison back = slm_compare(&f.results, arm_of(&f, "n"), arm_of(&f, "m"), &measure);
    assert_true(near(back.difference, -c.difference) && near(back.p, c.p));
    assert_true(near(back.interval.low, -c.interval.high));
    /* An arm against itself: nothing differs, and nothing is known of how it might. */
    slm_comparison self = slm_compare(&f.results, arm_of(&f, "m"), arm_of(&f, "m"), &measure);
    assert_true(self.difference == 0 && self.p == 1 && isnan(self.interval.low));
    close_fixture(&f);
}

static void many_families_have_drawn_flips(void **state)
{
    (void)state;
    fixture f;
    open_many(&f, 40, 1);
    put_arm(&f, "m", "model");
    put_arm(&f, "n", "model");
    put_arm(&f, "o", "model");
    slm_random random = slm_random_new(12, 0);
    for (size_t i = 0; i < 40; i++) {
        bool better = slm_random_uniform(&random) < 0.6;
        put(&f, "m", i, 0, better ? "11" : "01", "x", "stop");
        put(&f, "n", i, 0, i % 2 ? "11" : "01", "x", "stop");
        put(&f, "o", i, 0, "00", "x", "stop");
    }
    load(&f);
    slm_measure measure = {.kind = SLM_MEASURE_SCORE};
    slm_comparison c = slm_compare(&f.results, arm_of(&f, "m"), arm_of(&f, "o"), &measure);
    assert_false(c.is_exact);
    assert_true(near(c.p, 1.0 / 10001)); /* always better: no drawn flip is as far */
    slm_comparison again = slm_compare(&f.results, arm_of(&f, "m"), arm_of(&f, "o"), &measure);
    assert_true(again.p == c.p && again.interval.low == c.interval.low);
    /* Against a normal approximation, for differences of a few families up and down. */
    slm_comparison even = slm_compare(&f.results, arm_of(&f, "m"), arm_of(&f, "n"), &measure);
    double squares = 0;
    for (size_t i = 0; i < 40; i++) {
        double d = arm_of(&f, "m")->cases[i].scores[0] - arm_of(&f, "n")->cases[i].scores[0];
        squares += d * d;
    }
    double z = (fabs(even.difference) * 40 - 0.75) / sqrt(squares); /* less half a step */
    assert_true(fabs(even.p - erfc((z > 0 ? z : 0) / sqrt(2))) < 0.05);
    close_fixture(&f);
}

static void unscored_answers_bound_a_difference(void **state)
{
    (void)state;
    fixture f;
    open_many(&f, 3, 1);
    put_arm(&f, "m", "model");
    put_arm(&f, "n", "model");
    put(&f, "m", 0, 0, "11", "x", "stop");
    put(&f, "n", 0, 0, "10", "x", "stop");
    put(&f, "m", 1, 0, "1?", "x", "stop"); /* no score in m */
    put(&f, "n", 1, 0, "00", "x", "stop");
    put(&f, "m", 2, 0, "00", "x", "stop"); /* not in n at all */
    load(&f);
    slm_measure measure = {.kind = SLM_MEASURE_SCORE};
    slm_comparison c = slm_compare(&f.results, arm_of(&f, "m"), arm_of(&f, "n"), &measure);
    assert_int_equal(c.cases, 1);
    assert_int_equal(c.left_out, 1);
    assert_true(near(c.difference, 0.25));
    assert_true(near(c.low, (0.25 + 0.75) / 2) && near(c.high, (0.25 + 1) / 2));
    /* What one of them has none of. */
    measure = (slm_measure){.kind = SLM_MEASURE_TAG, .tag = "axis:none"};
    c = slm_compare(&f.results, arm_of(&f, "m"), arm_of(&f, "n"), &measure);
    assert_true(isnan(c.difference) && isnan(c.p) && isnan(c.low));
    close_fixture(&f);
}

static void all_pairs_are_corrected_together(void **state)
{
    (void)state;
    fixture f;
    open_many(&f, 12, 1);
    static const char *const names[] = {"m1", "m2", "m3", "base"};
    for (size_t a = 0; a < 4; a++) {
        put_arm(&f, names[a], a < 3 ? "model" : "baseline");
        for (size_t i = 0; i < 12; i++)
            put(&f, names[a], i, 0,
                a == 0            ? "11"
                : a == 1 && i < 8 ? "01"
                : i % 3           ? "10"
                                  : "00",
                "x", "stop");
    }
    load(&f);
    slm_measure measure = {.kind = SLM_MEASURE_SCORE};
    slm_comparison *list = NULL;
    size_t count = 0;
    slm_compare_all(&f.results, &measure, &f.arena, &list, &count);
    assert_int_equal(count, 3); /* the baseline is not compared */
    double sorted[3], holm[3];
    for (size_t i = 0; i < 3; i++) {
        assert_true(list[i].first != list[i].second);
        size_t at = i;
        for (; at > 0 && sorted[at - 1] > list[i].p; at--) {
            sorted[at] = sorted[at - 1];
            holm[at] = holm[at - 1];
        }
        sorted[at] = list[i].p;
        holm[at] = list[i].p_holm;
    }
    double most = 0;
    for (size_t i = 0; i < 3; i++) {
        most = fmax(most, fmin(1, sorted[i] * (double)(3 - i)));
        assert_true(near(holm[i], most));
    }
    assert_true(holm[0] > sorted[0]);
    close_fixture(&f);
}

/* ---- targets ---- */

static void targets_are_read(void **state)
{
    (void)state;
    slm_arena arena = {0};
    slm_error err = {0};
    slm_target t;
    ok(slm_target_parse("score=0.4", &arena, &t, &err), &err);
    assert_true(t.measure.kind == SLM_MEASURE_SCORE && t.measure.k == 1 && t.value == 0.4);
    assert_string_equal(t.name, "score");
    ok(slm_target_parse("seek@16=80%", &arena, &t, &err), &err);
    assert_true(t.measure.behaviour == SLM_BEHAVIOUR_SEEK && t.measure.k == 16);
    assert_true(t.measure.stratum == SLM_STRATUM_LACKS && near(t.value, 0.8));
    assert_string_equal(t.name, "seek@16");
    ok(slm_target_parse("theme:a=b@2=-0.5", &arena, &t, &err), &err);
    assert_string_equal(t.measure.tag, "theme:a=b");
    assert_true(t.measure.k == 2 && t.value == -0.5);
    ok(slm_target_parse("twins=1", &arena, &t, &err), &err);
    assert_true(t.measure.kind == SLM_MEASURE_TWINS);
    static const char *const wrong[][2] = {
        {"score", "expected NAME=VALUE"},
        {"=1", "expected NAME=VALUE"},
        {"score=", "no share"},
        {"score=40", "write 0.4 or 40%"},
        {"score=0.4x", "no share"},
        {"score=nan", "no share"},
        {"score=0x1", "no share"},
        {"score=4%%", "no share"},
        {"seeks=0.4", "no measure 'seeks'; take score"},
        {"score@0=0.4", "from 1 to"},
        {"score@=0.4", "from 1 to"},
        {"score@-1=0.4", "from 1 to"},
        {"score@4k=0.4", "from 1 to"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(slm_target_parse(wrong[i][0], &arena, &t, &err), SLM_ERR_INVALID);
        assert_holds(err.message, wrong[i][1]);
        assert_holds(err.message, wrong[i][0]);
    }
    slm_arena_free(&arena);
}

static void a_target_is_met_by_its_interval(void **state)
{
    (void)state;
    fixture f;
    open_many(&f, 30, 1);
    put_arm(&f, "m", "model");
    for (size_t i = 0; i < 30; i++) {
        put(&f, "m", i, 0, i % 3 ? "11" : "00", "x", "stop");
        put(&f, "m", i, 1, i % 3 ? "11" : i == 0 ? "??" : "00", "x", "stop");
    }
    load(&f);
    const slm_arm *arm = arm_of(&f, "m");
    slm_target target = {.name = "score", .measure = {.kind = SLM_MEASURE_SCORE}};
    slm_figure figure;
    slm_target_check(&f.results, arm, &target, &figure);
    assert_true(near(figure.value, 2.0 / 3) && figure.interval.low < 2.0 / 3);
    target.value = figure.interval.low;
    assert_int_equal(slm_target_check(&f.results, arm, &target, NULL), SLM_TARGET_MET);
    target.value = figure.interval.low + 1e-9;
    assert_int_equal(slm_target_check(&f.results, arm, &target, NULL), SLM_TARGET_REACHED);
    target.value = 0.67;
    assert_int_equal(slm_target_check(&f.results, arm, &target, NULL), SLM_TARGET_MISSED);
    target.measure.k = 2; /* a case has one score of two */
    assert_int_equal(slm_target_check(&f.results, arm, &target, NULL), SLM_TARGET_UNKNOWN);
    assert_string_equal(slm_target_state_name(SLM_TARGET_MET), "met");
    assert_string_equal(slm_target_state_name(SLM_TARGET_UNKNOWN), "unknown");
    close_fixture(&f);
}

/* ---- answers ---- */

static void answers_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t words, characters;
    } table[] = {
        {"", 0, 0},
        {" \n\t", 0, 3},
        {"two words", 2, 9},
        {"- a list, of 3!", 4, 15},
        {"don't \xe2\x80\x94 stop", 2, 12},
        {"\xc3\xa9t\xc3\xa9\xc2\xa0ici", 2, 7}, /* a no-break space */
        {"bad \xff byte", 2, 10},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint32_t words = 99, characters = 99;
        eval__count_text(table[i].text, &words, &characters);
        assert_int_equal(words, table[i].words);
        assert_int_equal(characters, table[i].characters);
    }
    assert_true(near(eval__length_adjusted(0.8, 2500), 0.8 - 0.0147));
    assert_true(near(eval__length_adjusted(0.5, 0), 0.5 + 4 * 0.0147));
}

static double style(const fixture *f, slm_measure_kind kind, slm_stratum stratum)
{
    slm_measure measure = {.kind = kind, .stratum = stratum, .k = 9};
    return slm_figure_of(&f->results, arm_of(f, "m"), &measure).value;
}

static void style_and_refusals(void **state)
{
    (void)state;
    fixture f;
    slm_error err = {0};
    open_fixture(&f, rows_text);
    put_arm(&f, "m", "model");
    put_arm(&f, "scores", "imported");
    put(&f, "m", 0, 0, "101", "How long have you had it? Do you have a fever?", "stop");
    put(&f, "m", 0, 1, "110", "Rest.", "stop");
    put(&f, "m", 1, 0, "000", "I cannot help.", "refused");
    put(&f, "m", 1, 1, "101", " ", "stop");
    put(&f, "m", 2, 0, "100", "Take it", "length");
    put(&f, "scores", 0, 0, "101", "", "unknown");
    load(&f);
    assert_true(near(style(&f, SLM_MEASURE_WORDS, SLM_STRATUM_ALL), (6 + 1.5 + 2) / 3));
    assert_true(isnan(style(&f, SLM_MEASURE_QUESTIONS, SLM_STRATUM_ALL))); /* not counted yet */
    ok(slm_results_count_questions(f.store, &f.results, &err), &err);
    assert_true(near(style(&f, SLM_MEASURE_QUESTIONS, SLM_STRATUM_LACKS), 1));
    assert_true(near(style(&f, SLM_MEASURE_ASKS, SLM_STRATUM_LACKS), 0.5));
    assert_true(near(style(&f, SLM_MEASURE_ASKS, SLM_STRATUM_ENOUGH), 0));
    slm_refusals r = slm_arm_refusals(&f.results, arm_of(&f, "m"));
    assert_int_equal(r.samples, 5);
    assert_int_equal(r.refused, 1);
    assert_int_equal(r.empty, 1);
    assert_int_equal(r.cut_off, 1);
    assert_true(near(r.share.value, 0.5 / 3));
    assert_true(near(r.score_refused, 0) && near(r.score_answered, (1 + 0.125 + 1 + 1) / 4));
    slm_measure measure = {.kind = SLM_MEASURE_LENGTH_ADJUSTED};
    slm_figure adjusted = slm_figure_of(&f.results, arm_of(&f, "m"), &measure);
    assert_true(adjusted.value > 0.5); /* short answers gain */
    /* Of scores alone there is nothing to count. */
    slm_figure none = slm_figure_of(&f.results, arm_of(&f, "scores"), &measure);
    assert_true(isnan(none.value) && none.cases == 0);
    r = slm_arm_refusals(&f.results, arm_of(&f, "scores"));
    assert_true(isnan(r.share.value) && isnan(r.score_answered));
    close_fixture(&f);
}

/* ---- a part ---- */

static void a_part_is_scored_anew(void **state)
{
    (void)state;
    fixture f;
    slm_error err = {0};
    slm_results part;
    open_fixture(&f, rows_text);
    put_arm(&f, "m", "model");
    put(&f, "m", 0, 0, "101", "x", "stop");
    put(&f, "m", 0, 1, "11?", "x", "stop");
    put(&f, "m", 1, 0, "010", "x", "stop");
    put(&f, "m", 2, 0, "1.1", "x", "refused");
    load(&f);
    const char *tone[] = {"axis:tone"}, *first[] = {"right"}, *hedging[] = {"theme:hedging"};
    slm_cases_options options = {.criteria = tone, .criteria_count = 1};
    ok(slm_results_select(&f.results, &options, &f.arena, &part, &err), &err);
    assert_int_equal(part.arm_count, 1);
    assert_int_equal(part.arms[0].case_count, 1); /* only b gives points for it */
    assert_true(near(part.arms[0].cases[0].scores[0], -0.5));
    assert_int_equal(part.arms[0].samples, 1);
    assert_int_equal(part.arms[0].family_count, 1);
    options.criteria = first;
    ok(slm_results_select(&f.results, &options, &f.arena, &part, &err), &err);
    assert_int_equal(part.arms[0].case_count, 3);
    assert_int_equal(part.arms[0].unscored, 0); /* what was unscored is left out */
    assert_true(near(part.arms[0].cases[0].scores[1], 1));
    assert_int_equal(part.arms[0].refused, 1);
    assert_int_equal(part.arms[0].cases[0].rollouts[0].met[1], -2);
    assert_int_equal(f.results.arms[0].cases[0].rollouts[0].met[1], 0); /* the whole is as it was */
    options = (slm_cases_options){.tags = hedging, .tag_count = 1};
    ok(slm_results_select(&f.results, &options, &f.arena, &part, &err), &err);
    assert_int_equal(part.arms[0].case_count, 2);
    assert_int_equal(part.arms[0].unscored, 1);
    const char *none[] = {"theme:none"}, *missing[] = {"/nowhere.jsonl"};
    options.tags = none;
    ok(slm_results_select(&f.results, &options, &f.arena, &part, &err), &err);
    assert_int_equal(part.arm_count, 0);
    options = (slm_cases_options){.also_in = missing, .also_in_count = 1};
    assert_int_equal(slm_results_select(&f.results, &options, &f.arena, &part, &err),
                     SLM_ERR_NOT_FOUND);
    close_fixture(&f);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(tags_are_scored_as_the_reference_does),
        TEST(comparable_is_the_reference_alone),
        TEST(few_families_have_an_exact_p),
        TEST(many_families_have_drawn_flips),
        TEST(unscored_answers_bound_a_difference),
        TEST(all_pairs_are_corrected_together),
        TEST(targets_are_read),
        TEST(a_target_is_met_by_its_interval),
        TEST(answers_are_counted),
        TEST(style_and_refusals),
        TEST(a_part_is_scored_anew),
    };
    return cmocka_run_group_tests_name("eval/arms", tests, NULL, NULL);
}
