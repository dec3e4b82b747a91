/* What identifies a person is found; what only looks like it in a medical text is not. */
#include "set_builder.h"

/* The kinds found in a text, joined by commas; in the order of the patterns. */
static void kinds_in(const char *text, slm_buffer *out)
{
    char path[64];
    put_rows(path, &(row){.id = "a", .text = text}, 1);
    const char *paths[] = {path};
    slm_data_check_options options = plain_options();
    slm_data_report report = check_files(paths, 1, &options);
    slm_buffer_truncate(out, 0);
    for (size_t i = 0; i < report.finding_count; i++) {
        if (strcmp(report.findings[i].check, "personal") != 0) continue;
        slm_buffer_printf(out, "%s%s", out->len > 0 ? "," : "", report.findings[i].kind);
        assert_int_equal(report.findings[i].line, 1);
        assert_holds(report.findings[i].text, "prompt[0].content");
    }
    assert_verdict(&report, "personal", out->len > 0 ? SLM_DATA_FAIL : SLM_DATA_PASS);
    slm_data_report_free(&report);
    unlink(path);
}

static void each_kind_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *text;
    } texts[] = {
        {"e-mail", "write to jane.doe+x@mail.example.org please"},
        {"URL", "I read https://example.org/page?x=1 about it"},
        {"URL", "see www.example.com/abc"},
        {"SSN", "my number is 123-45-6789 if that helps"},
        {"phone", "ring (555) 123-4567 after five"},
        {"phone", "ring 555-123-4567"},
        {"phone", "I am at +44 20 7946 0958"},
        {"phone", "call me on 555 0123"},
        {"phone", "mon num\xC3\xA9ro est le 01 23 45 67 89"},
        {"IP address", "my pump is at 192.168.10.4 now"},
        {"IP address", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"},
        {"device", "the pump says serial number: AB12345"},
        {"device", "its address is 00:1B:44:11:3A:B7"},
        {"medical record", "MRN 00123456 was on the letter"},
        {"medical record", "hospital number is K123456"},
        {"health plan", "member id: XJ99812 of the plan"},
        {"account", "IBAN DE44 5001 0517 5407 3249 31"},
        {"account", "card 4111 1111 1111 1111"},
        {"licence", "passport no. X1234567"},
        {"vehicle", "the car, number plate KX12ABC, hit me"},
        {"date", "since 03/14/2021 I have it"},
        {"date", "since 14.3.21 I have it"},
        {"date", "on 2021-03-14 it began"},
        {"date", "it began on March 14th"},
        {"date", "it began on the 14th of March"},
        {"date", "em 5 de mar\xC3\xA7o comecei"},
        {"date", "le 1er janvier"},
        {"date", "since March 2021"},
        {"place", "we moved to CA 90210"},
        {"place", "my zip code is 60614"},
        {"place", "near SW1A 1AA"},
        {"place", "I live at 12 Maple Street"},
        {"age", "my mother is 93 years old"},
        {"age", "he is aged 101"},
        {"age", "a 95-year-old man"},
        {"age", "mi abuela tiene 94 a\xC3\xB1os"},
        {"name", "my name is Rosalind and"},
        {"name", "Dr. Patel told me"},
        {"name", "Me llamo Luc\xC3\xAD"
                 "a"},
        {"unique number", "it says 3f2504e0-4f89-41d3-9a0c-0305e82c3301 there"},
        {"unique number", "reference 123456789012"},
    };
    slm_buffer kinds = {0};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        kinds_in(texts[i].text, &kinds);
        if (strstr(slm_buffer_text(&kinds), texts[i].kind) == NULL)
            fail_msg("\"%s\": found \"%s\", wanted %s", texts[i].text, slm_buffer_text(&kinds),
                     texts[i].kind);
    }
    slm_buffer_free(&kinds);
}

static void medicine_is_no_person(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "blood pressure 150/90, then 148/92, pulse 72",
        "I take 500 mg twice a day, 1000 mg at night, for 7-10 days",
        "pain is 8/10, was 3/10 on Monday",
        "potassium 5.2, creatinine 1.4, HbA1c 7.1%",
        "my 90 year old father, my 12 day old girl",
        "it began 95 days ago, 120 minutes after lunch",
        "call 911 or 999 or 112 at once; NHS 111",
        "I may have to stop; since March it is worse",
        "the 20-20-20 rule for screens",
        "vitamin B12, T4, SpO2 94-96%, 38.5 C",
        "insulin 10-12-14 units before meals",
        "2 or 3 times, 1-2 weeks, 6:30 in the morning",
        "the doctor said no, Sunday is fine",
        "policy of the clinic is to wait; the plate of food was cold",
        "I weigh 82.5 kg at 1.78 m, BMI 26.0",
        "account of what happened: none",
        "GFR 58, sodium 138-142 mmol/L, platelets 250,000",
        "dose 1.2.3 of the plan",
        "take it at 8, 14 and 20 o'clock",
        "aged 45, turned 46 last week",
    };
    slm_buffer kinds = {0};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        kinds_in(texts[i], &kinds);
        if (kinds.len > 0) fail_msg("\"%s\": found %s", texts[i], slm_buffer_text(&kinds));
    }
    slm_buffer_free(&kinds);
}

static void what_is_found_is_masked_and_bookkeeping_left_alone(void **state)
{
    (void)state;
    char path[64];
    static const char text[] =
        "{\"prompt_id\":\"123456789012\",\"family\":\"x@example.org\",\"source\":\"https://"
        "a.example/b\","
        "\"licence\":\"https://c.example\",\"prompt\":[{\"role\":\"user\",\"content\":\"hello\"}],"
        "\"rubrics\":[{\"criterion\":\"Mentions jane@example.org\",\"points\":1,\"tags\":"
        "[\"d@example.org\"]}]}\n";
    put_temporary(path, text, strlen(text));
    const char *paths[] = {path};
    slm_data_check_options options = plain_options();
    slm_data_report report = check_files(paths, 1, &options);
    assert_int_equal(count_findings(&report, "personal"), 1);
    assert_string_equal(finding_of(&report, "personal", 0)->text,
                        "rubrics[0].criterion: e-mail: \"ja**@*******.***\"");
    assert_int_equal(number_of(&report, "personal", "e-mail"), 1);
    slm_data_report_free(&report);
    unlink(path);
}

/* A long run of what patterns begin with costs no more than its length. */
static void hostile_texts_end(void **state)
{
    (void)state;
    slm_buffer text = {0}, kinds = {0};
    for (size_t i = 0; i < 20000; i++)
        slm_buffer_append_text(&text, i % 2 ? "1 " : "a.a@a.");
    kinds_in(slm_buffer_text(&text), &kinds);
    slm_buffer_free(&text);
    slm_buffer_free(&kinds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_found),
        cmocka_unit_test(medicine_is_no_person),
        cmocka_unit_test(what_is_found_is_masked_and_bookkeeping_left_alone),
        cmocka_unit_test(hostile_texts_end),
    };
    return cmocka_run_group_tests_name("data/personal", tests, NULL, NULL);
}
