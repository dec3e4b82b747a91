/* Splitting: families whole, shares held, kinds shared out alike, the same each time; a family on two
 * sides is refused. */
#include "set_builder.h"

enum { FAMILIES = 300 };

/* Families of one to three cases: lacks, twins, emergencies. */
static void put_families(char path[64], bool backwards)
{
    slm_buffer text = {0};
    for (size_t n = 0; n < FAMILIES; n++) {
        size_t f = backwards ? FAMILIES - 1 - n : n;
        for (size_t m = 0; m <= f % 3; m++) {
            char id[32], name[32];
            snprintf(id, sizeof id, "c%zu-%zu", f, m);
            snprintf(name, sizeof name, "f%zu", f);
            append_row(&text, &(row){.id = id,
                                     .family = name,
                                     .text = id,
                                     .context = m % 2 ? "enough" : "lacks",
                                     .disposition = f % 10 == 9 ? "emergency" : "routine"});
        }
    }
    put_temporary(path, text.data, text.len);
    slm_buffer_free(&text);
}

static slm_cases load(const char *const *paths, size_t count)
{
    slm_cases cases;
    slm_error err = {0};
    if (slm_cases_load(paths, count, NULL, NULL, NULL, &cases, &err) != SLM_OK)
        fail_msg("%s", err.message);
    return cases;
}

static void families_stay_whole_and_shares_are_held(void **state)
{
    (void)state;
    char path[64];
    put_families(path, false);
    const char *paths[] = {path};
    slm_cases cases = load(paths, 1);
    int *side = calloc(cases.count, sizeof *side);
    assert_int_equal(slm_cases_split(&cases, 0.08, 0.15, 7, side, NULL), SLM_OK);
    double all[3] = {0}, emergencies[3] = {0};
    for (size_t i = 0; i < cases.count; i++) {
        all[side[i]] += 1;
        emergencies[side[i]] += cases.items[i].disposition == SLM_DISPOSITION_EMERGENCY;
        if (i > 0 && strcmp(cases.items[i].family, cases.items[i - 1].family) == 0)
            assert_int_equal(side[i], side[i - 1]);
    }
    double total = (double)cases.count, urgent = emergencies[0] + emergencies[1] + emergencies[2];
    const double share[3] = {0.77, 0.08, 0.15};
    for (int s = 0; s < 3; s++) {
        assert_true(all[s] >= share[s] * total - 3 && all[s] <= share[s] * total + 3);
        assert_true(emergencies[s] >= share[s] * urgent - 4 &&
                    emergencies[s] <= share[s] * urgent + 4);
    }
    free(side);
    slm_cases_free(&cases);
    unlink(path);
}

static void the_seed_decides_and_the_order_of_rows_does_not(void **state)
{
    (void)state;
    char path[64], reversed[64];
    put_families(path, false);
    put_families(reversed, true);
    const char *paths[] = {path}, *others[] = {reversed};
    slm_cases cases = load(paths, 1), back = load(others, 1);
    size_t n = cases.count, changed = 0;
    int *a = calloc(n, sizeof *a), *b = calloc(n, sizeof *b), *c = calloc(n, sizeof *c);
    assert_int_equal(slm_cases_split(&cases, 0.1, 0.2, 1, a, NULL), SLM_OK);
    assert_int_equal(slm_cases_split(&back, 0.1, 0.2, 1, b, NULL), SLM_OK);
    assert_int_equal(slm_cases_split(&cases, 0.1, 0.2, 2, c, NULL), SLM_OK);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            if (strcmp(cases.items[i].id, back.items[j].id) == 0) assert_int_equal(a[i], b[j]);
        changed += a[i] != c[i];
    }
    assert_true(changed > n / 10);
    free(a);
    free(b);
    free(c);
    slm_cases_free(&cases);
    slm_cases_free(&back);
    unlink(path);
    unlink(reversed);
}

static void a_family_in_two_files_is_refused(void **state)
{
    (void)state;
    char one[64], two[64];
    put_rows(one, &(row){.id = "a", .family = "knee", .text = "x"}, 1);
    put_rows(two,
             (const row[]){{.id = "b", .text = "y"}, {.id = "c", .family = "knee", .text = "z"}},
             2);
    const char *paths[] = {one, two};
    slm_cases cases = load(paths, 2);
    int side[3];
    slm_error err = {0};
    assert_int_equal(slm_cases_split(&cases, 0.1, 0.1, 0, side, &err), SLM_ERR_FORMAT);
    assert_holds(err.message, two);
    assert_holds(err.message, ":2: family knee");
    assert_holds(err.message, one);
    slm_cases_free(&cases);
    unlink(one);
    unlink(two);
}

static void wrong_shares_are_told(void **state)
{
    (void)state;
    char path[64];
    put_rows(path, (const row[]){{.id = "a", .text = "x"}, {.id = "b", .text = "y"}}, 2);
    const char *paths[] = {path};
    slm_cases cases = load(paths, 1);
    int side[2];
    slm_error err = {0};
    assert_int_equal(slm_cases_split(&cases, 0.5, 0.5, 0, side, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "no training");
    assert_int_equal(slm_cases_split(&cases, 0.1, 0.1, 0, side, &err), SLM_ERR_INVALID);
    assert_holds(err.message, "too few");
    assert_int_equal(slm_cases_split(&cases, 0, 0.5, 0, side, &err), SLM_OK);
    assert_int_equal(side[0] + side[1], 2); /* one of them is test, none development */
    slm_cases_free(&cases);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_stay_whole_and_shares_are_held),
        cmocka_unit_test(the_seed_decides_and_the_order_of_rows_does_not),
        cmocka_unit_test(a_family_in_two_files_is_refused),
        cmocka_unit_test(wrong_shares_are_told),
    };
    return cmocka_run_group_tests_name("data/split", tests, NULL, NULL);
}
