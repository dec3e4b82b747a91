/* The readers of question sets, on small files in the public sets' own schemas; what is wrong is told
 * with its place and stops nothing; hostile XML and archives are refused. */
#include "helpers.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/hash.h"
#include "data/import_internal.h"
#include "data/questions.h"
#include "base/json.h"
#include "xlsx_writer.h"

typedef struct imported {
    slm_status status;
    slm_error err;
    slm_import_summary summary;
    slm_buffer rows; /* the inventory */
    problems problems;
} imported;

static imported import_paths(const char *const *paths, size_t count,
                             const slm_import_options *options)
{
    imported i = {0};
    slm_import_options defaults = slm_import_options_default();
    FILE *out = tmpfile();
    assert_non_null(out);
    i.status = slm_import(paths, count, options != NULL ? options : &defaults, out, note_problem,
                          &i.problems, &i.summary, &i.err);
    rewind(out);
    char block[4096];
    for (size_t got; (got = fread(block, 1, sizeof block, out)) > 0;)
        slm_buffer_append(&i.rows, block, got);
    fclose(out);
    return i;
}

static imported import_text(const char *text, const slm_import_options *options)
{
    char path[64];
    put_temporary(path, text, strlen(text));
    const char *paths[] = {path};
    imported i = import_paths(paths, 1, options);
    unlink(path);
    return i;
}

static void free_imported(imported *i)
{
    slm_import_summary_free(&i->summary);
    slm_buffer_free(&i->rows);
    slm_buffer_free(&i->problems.all);
}

/* The questions of the inventory, a line each, as "source: question". */
static void list_questions(const imported *i, slm_buffer *out)
{
    const char *at = slm_buffer_text(&i->rows);
    slm_buffer_truncate(out, 0);
    while (*at != '\0') {
        const char *end = strchr(at, '\n');
        json_t *row = NULL;
        char hex[SLM_SHA256_HEX_BYTES];
        assert_non_null(end);
        assert_int_equal(slm_json_parse(at, (size_t)(end - at), "row", 1, &row, NULL), SLM_OK);
        const char *question = json_string_value(json_object_get(row, "question"));
        slm_sha256_hex(question, strlen(question), hex);
        assert_string_equal(json_string_value(json_object_get(row, "id")), hex);
        slm_buffer_printf(out, "%s: %s\n", json_string_value(json_object_get(row, "source")),
                          question);
        json_decref(row);
        at = end + 1;
    }
}

/* Importing `text` gives these questions and so many problems. */
static void gives(const char *text, const char *wanted, size_t bad)
{
    imported i = import_text(text, NULL);
    slm_buffer questions = {0};
    if (i.status != SLM_OK) fail_msg("%s: %s", text, i.err.message);
    list_questions(&i, &questions);
    if (strcmp(slm_buffer_text(&questions), wanted) != 0)
        fail_msg("%s\ngave:\n%swanted:\n%sproblems:\n%s", text, slm_buffer_text(&questions), wanted,
                 slm_buffer_text(&i.problems.all));
    if (i.summary.total.bad != bad || i.problems.count != bad)
        fail_msg("%s: %zu problems, wanted %zu:\n%s", text, i.problems.count, bad,
                 slm_buffer_text(&i.problems.all));
    slm_buffer_free(&questions);
    free_imported(&i);
}

/* Importing `text` keeps nothing and tells this. */
static void refuses(const char *text, const char *words)
{
    imported i = import_text(text, NULL);
    assert_int_equal(i.status, SLM_OK);
    assert_int_equal(i.summary.total.kept, 0);
    assert_int_equal(i.problems.count, 1);
    assert_holds(i.problems.first, words);
    free_imported(&i);
}

/* ---- the public sets --------------------------------------------------------------------------- */

static void xml_sets_are_read(void **state)
{
    (void)state;
    gives("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Document id=\"1\" source=\"S\"><Focus>Gout"
          "</Focus><QAPairs><QAPair pid=\"1\"><Question qid=\"1\" qtype=\"information\">What is "
          "(are) "
          "Gout &amp; pseudogout ?</Question><Answer>Crystals.</Answer></QAPair>"
          "<QAPair pid=\"2\"><Question qid=\"2\">Who gets\n   it?</Question><Answer/></QAPair>"
          "<QAPair pid=\"3\"><Answer>No question.</Answer></QAPair></QAPairs></Document>",
          "medquad: What is (are) Gout & pseudogout ?\nmedquad: Who gets it?\n", 1);
    gives("<LiveQA2017-Medical-Test-Set-Full><NLM-QUESTION qid=\"TQ1\"><Original-Question "
          "qfile=\"1\">"
          "<SUBJECT>hives</SUBJECT><MESSAGE>What brings\tthem on?</MESSAGE></Original-Question>"
          "<NIST-PARAPHRASE>Other words</NIST-PARAPHRASE><NLM-Summary>More</NLM-Summary>"
          "<ReferenceAnswers><RefAnswer><ANSWER>Heat.</ANSWER></RefAnswer></ReferenceAnswers>"
          "</NLM-QUESTION><NLM-QUESTION qid=\"TQ2\"><SUBJECT>Is it the heat?</SUBJECT><MESSAGE/>"
          "</NLM-QUESTION><NLM-QUESTION><SUBJECT>warts</SUBJECT><MESSAGE>Warts on hands.</MESSAGE>"
          "</NLM-QUESTION></LiveQA2017-Medical-Test-Set-Full>",
          "liveqa: hives. What brings them on?\nliveqa: Is it the heat?\nliveqa: Warts on hands.\n",
          0);
    gives(
        "<MEDIQA2019-Task3-QA-ValidationSet><Question QID=\"2\"><QuestionText>about styes. DO THEY "
        "BURST?</QuestionText><AnswerList><Answer AID=\"2_1\"><AnswerURL>u</AnswerURL><AnswerText>"
        "They may.</AnswerText></Answer></AnswerList></Question>"
        "</MEDIQA2019-Task3-QA-ValidationSet>",
        "mediqa: about styes. DO THEY BURST?\n", 0);
    gives("<Document><QAPairs><QAPair><Question><![CDATA[Is 3 < 4?]]> <b>Or</b> not?</Question>"
          "</QAPair></QAPairs></Document>",
          "medquad: Is 3 < 4? Or not?\n", 0);
}

static void tables_are_known_by_their_columns(void **state)
{
    (void)state;
    gives("Title,Body,Response,Response Score,Occupation\r\n"
          "Odd rash,\"It came, itched\nand went.\",See someone.,3,nurse\r\n"
          "Cold feet?,Cold feet? Since a week.,Socks.,1,md\r\n",
          "medredqa: Odd rash. It came, itched and went.\nmedredqa: Cold feet? Since a week.\n", 0);
    gives("Question;Focus (Drug);Question Type;Answer\nhow long does it last;aspirin;Dose;A day\n",
          "medicationqa: how long does it last\n", 0);
    gives("{\"title\":\"Sore heel\",\"post\":\"Since I run.\",\"question\":\"Which shoes?\"}\n",
          "askdocs: Sore heel. Since I run.\n", 0);
    gives("{\"Question\":\"Is it catching?\",\"Must_have\":[\"no\"]}\n{\"Question\":\"And now?\","
          "\"ICD_10_diag\":\"x\"}\n",
          "k-qa: Is it catching?\nk-qa: And now?\n", 0);
    gives("{\"version\":1,\"data\":[{\"title\":\"t\",\"paragraphs\":[{\"context\":\"c\",\"qas\":["
          "{\"id\":\"1\",\"question\":\"What soothes it?\",\"answers\":[]},{\"id\":\"2\"}]}]}]}",
          "mash-qa: What soothes it?\n", 1);
    gives("{\n \"data\": [\n  {\"paragraphs\": [{\"qas\": [{\"question\": \"On many "
          "lines?\"}]}]}\n ]\n}",
          "mash-qa: On many lines?\n", 0);
}

static void other_tables_take_a_column(void **state)
{
    (void)state;
    slm_import_options options = slm_import_options_default();
    imported i = import_text("a,complaint\n1,My ear rings\n2,\n3,it rings\n", &options);
    assert_int_equal(i.summary.total.kept, 0);
    assert_holds(i.problems.first, "no column of questions; name it with --column. There are: a");
    free_imported(&i);
    options.column = "Complaint";
    options.source = "clinic";
    i = import_text("a,complaint\n1,My ear rings\n2,\n3,it rings\n", &options);
    assert_int_equal(i.summary.total.kept, 2);
    assert_int_equal(i.summary.total.empty, 1);
    assert_int_equal(i.summary.count, 1);
    assert_string_equal(i.summary.sources[0].name, "clinic");
    free_imported(&i);
    options.column = "colour";
    i = import_text("[{\"complaint\": \"x\"}]", &options);
    assert_holds(i.problems.first, ":1: no column 'colour'; there are: complaint");
    free_imported(&i);
}

static void a_format_can_be_forced(void **state)
{
    (void)state;
    slm_import_options options = slm_import_options_default();
    options.format = "healthsearchqa";
    imported i = import_text("id,question\n1,why do ears ring\n", &options);
    assert_string_equal(i.summary.sources[0].name, "healthsearchqa");
    assert_int_equal(i.summary.total.kept, 1);
    free_imported(&i);
    options.format = "medquad";
    i = import_text("id,question\n1,why do ears ring\n", &options);
    assert_int_equal(i.summary.total.kept, 0);
    assert_holds(i.problems.first, "not what --format medquad is kept in");
    free_imported(&i);
    options.format = "mediqa";
    i = import_text(
        "<Document><QAPairs><QAPair><Question>Q?</Question></QAPair></QAPairs></Document>",
        &options);
    assert_int_equal(i.summary.total.kept, 0);
    assert_int_equal(i.problems.count, 1);
    free_imported(&i);
    options.format = "pigeon";
    i = import_text("x", &options);
    assert_int_equal(i.status, SLM_ERR_INVALID);
    assert_holds(i.err.message, "medquad|liveqa");
    free_imported(&i);
}

/* ---- one inventory ------------------------------------------------------------------------------ */

static void a_question_stands_there_once(void **state)
{
    (void)state;
    slm_import_options options = slm_import_options_default();
    options.longest = 20;
    imported i =
        import_text("{\"question\":\" What  is\\nthis? \"}\n{\"question\":\"What is this?\"}\n"
                    "{\"question\":\"what is this?\"}\n{\"question\":\" ?! \"}\n"
                    "{\"question\":null}\n"
                    "{\"question\":\"A question beyond twenty characters\"}\n"
                    "{\"question\":\"caf\\u00e9 or tea?\"}\n"
                    "{\"question\":\"cafe\\u0301 or tea?\"}\n",
                    &options);
    slm_buffer questions = {0};
    list_questions(&i, &questions);
    assert_holds(slm_buffer_text(&questions), ": What is this?\n");
    assert_holds(slm_buffer_text(&questions), ": what is this?\n"); /* case stays a difference */
    const slm_import_source *t = &i.summary.total;
    assert_int_equal(t->read, 8);
    assert_int_equal(t->kept, 3);
    assert_int_equal(t->duplicate, 2);
    assert_int_equal(t->empty, 2);
    assert_int_equal(t->too_long, 1);
    assert_int_equal(t->bad, 0);
    assert_int_equal(t->read, t->kept + t->duplicate + t->empty + t->too_long);
    slm_buffer_free(&questions);
    free_imported(&i);
}

static void bad_rows_are_told_and_passed(void **state)
{
    (void)state;
    imported i = import_text("{\"question\":\"one?\"}\n{\"question\":\n7\n{\"question\":5}\n"
                             "{\"other\":1}\n{\"question\":\"two?\"}\n",
                             NULL);
    assert_int_equal(i.summary.total.kept, 2);
    assert_int_equal(i.problems.count, 4);
    const char *const places[] = {":2:", ":3: expected an object",
                                  ":4: question: expected a string", "no column of questions"};
    for (size_t p = 0; p < 4; p++)
        assert_holds(slm_buffer_text(&i.problems.all), places[p]);
    free_imported(&i);
    i = import_text("n,question\n1,one?\n2\n3,say \"what\"?\n4,four?\n5,\"open\n6,six?\n", NULL);
    assert_int_equal(i.summary.total.kept, 3); /* one, four, six */
    assert_int_equal(i.problems.count, 3);
    const char *const lines[] = {":3: the row has 1 fields, and the question is the 2th",
                                 ":4: a quote within", ":6: a quote is opened and never closed"};
    for (size_t p = 0; p < 3; p++)
        assert_holds(slm_buffer_text(&i.problems.all), lines[p]);
    free_imported(&i);
}

static void files_that_are_none(void **state)
{
    (void)state;
    refuses("", "an empty file");
    refuses(" \n\n", "an empty file");
    refuses("<a><b>", "not well-formed XML");
    refuses("<a/>", "XML, but no questions");
    refuses("<Document><QAPairs></QAPairs></Document>", "a MedQuAD document without questions");
    refuses("{\"a\":\n", "unexpected");
    refuses("[1,2", "']' expected");
    refuses("{\"data\":{}}\n", "no column of questions");
    refuses("\x1F\x8B\x08 gzip", "a packed file; unpack it");
    refuses("PK\x03\x04 but no zip", "a damaged zip archive");
    const char *paths[] = {"/nowhere/questions"};
    imported i = import_paths(paths, 1, NULL);
    assert_int_equal(i.status, SLM_ERR_NOT_FOUND);
    assert_holds(i.err.message, "/nowhere/questions");
    free_imported(&i);
}

static void folders_are_walked_in_order(void **state)
{
    (void)state;
    char folder[64] = "/tmp/slm-test-import-XXXXXX", path[96];
    assert_non_null(mkdtemp(folder));
    const struct {
        const char *name, *text;
    } files[] = {{"b.jsonl", "{\"question\":\"two?\"}\n{\"question\":\"one?\"}\n"},
                 {"a.csv", "question\none?\n"},
                 {"c/d.json", "[{\"question\":\"three?\"}]"},
                 {"README.txt", "Notes, nothing else.\n"},
                 {".hidden", "{\"question\":\"never?\"}\n"}};
    snprintf(path, sizeof path, "%s/c", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t f = 0; f < 5; f++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[f].name);
        assert_int_equal(slm_file_write(path, files[f].text, strlen(files[f].text), NULL), SLM_OK);
    }
    const char *paths[] = {folder};
    imported i = import_paths(paths, 1, NULL), again = import_paths(paths, 1, NULL);
    slm_buffer questions = {0};
    list_questions(&i, &questions);
    assert_string_equal(slm_buffer_text(&questions),
                        "a.csv: one?\nb.jsonl: two?\nd.json: three?\n");
    assert_string_equal(slm_buffer_text(&i.rows), slm_buffer_text(&again.rows));
    assert_int_equal(i.summary.total.duplicate, 1);
    assert_int_equal(i.summary.total.bad, 0);
    assert_int_equal(i.summary.passed_over, 1);
    assert_holds(slm_buffer_text(&i.problems.all), "README.txt: passed over");
    for (size_t f = 0; f < 5; f++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[f].name);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/c", folder);
    rmdir(path);
    rmdir(folder);
    slm_buffer_free(&questions);
    free_imported(&i);
    free_imported(&again);
}

/* ---- workbooks ----------------------------------------------------------------------------------- */

static imported import_xlsx(const char *strings, const char *sheet)
{
    char path[64];
    put_temporary(path, "", 0);
    assert_true(write_xlsx(path, strings, sheet));
    const char *paths[] = {path};
    imported i = import_paths(paths, 1, NULL);
    unlink(path);
    return i;
}

static void workbooks_are_read(void **state)
{
    (void)state;
    imported i = import_xlsx(
        "<sst><si><t>Question</t></si><si><t>Focus (Drug)</t></si><si><r><t>does it </t></r><r><t>"
        "interact</t></r><rPh><t>NO</t></rPh></si></sst>",
        "<worksheet><sheetData>"
        "<row r=\"1\"><c r=\"B1\" t=\"s\"><v>0</v></c><c r=\"C1\" t=\"s\"><v>1</v></c></row>"
        "<row r=\"2\"><c r=\"A2\"><v>7</v></c><c r=\"B2\" t=\"s\"><v>2</v></c></row>"
        "<row r=\"3\"/>"
        "<row r=\"4\"><c r=\"A4\"><v>8</v></c><c t=\"inlineStr\"><is><t>right &amp; "
        "next</t></is></c>"
        "</row>"
        "<row r=\"5\"><c r=\"C5\" t=\"s\"><v>1</v></c></row>"
        "<row r=\"6\"><c r=\"B6\" t=\"s\"><v>99</v></c><c r=\"C6\" t=\"s\"><v>1</v></c></row>"
        "</sheetData></worksheet>");
    slm_buffer questions = {0};
    list_questions(&i, &questions);
    assert_string_equal(slm_buffer_text(&questions),
                        "medicationqa: does it interact\nmedicationqa: right & next\n");
    assert_int_equal(i.summary.total.read, 4);
    assert_int_equal(i.summary.total.empty, 2); /* row 5, and an index to nowhere */
    assert_int_equal(i.problems.count, 0);
    slm_buffer_free(&questions);
    free_imported(&i);
}

static void broken_workbooks_are_told(void **state)
{
    (void)state;
    imported i = import_xlsx(NULL, "<worksheet><sheetData><row><c t=\"str\"><v>Colour</v></c></row>"
                                   "</sheetData></worksheet>");
    assert_holds(i.problems.first, "no sheet has a column of questions");
    free_imported(&i);
    i = import_xlsx(NULL, "<worksheet><sheetData><row>");
    assert_holds(i.problems.first, ", xl/worksheets/sheet1.xml:1: not well-formed XML: it ends");
    free_imported(&i);
    char path[64];
    put_temporary(path, "", 0);
    const xlsx_member members[] = {{"word/document.xml", "<a/>", 0}};
    assert_true(write_zip(path, members, 1));
    const char *paths[] = {path};
    i = import_paths(paths, 1, NULL);
    assert_holds(i.problems.first, "without xl/workbook.xml");
    free_imported(&i);
    unlink(path);
}

/* ---- hostile files ------------------------------------------------------------------------------- */

static void entities_are_refused(void **state)
{
    (void)state;
    /* billion laughs */
    slm_buffer text = {0};
    slm_buffer_append_text(&text,
                           "<?xml version=\"1.0\"?>\n<!DOCTYPE Document [<!ENTITY a0 \"lol\">");
    for (int i = 1; i < 10; i++)
        slm_buffer_printf(&text,
                          "<!ENTITY a%d \"&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;\">", i,
                          i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    slm_buffer_append_text(&text,
                           "]>\n<Document><QAPairs><QAPair><Question>&a9;</Question></QAPair>"
                           "</QAPairs></Document>");
    refuses(slm_buffer_text(&text), "a document type declaration");
    slm_buffer_free(&text);
    /* a file from here, a file from elsewhere, a parameter entity */
    refuses(
        "<!DOCTYPE Document [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><Document><QAPairs><QAPair>"
        "<Question>&x;</Question></QAPair></QAPairs></Document>",
        "a document type declaration");
    refuses("<!DOCTYPE Document SYSTEM \"http://127.0.0.1:9/x.dtd\"><Document/>",
            "a document type declaration");
    refuses("<!DOCTYPE Document [<!ENTITY % p SYSTEM \"file:///etc/hostname\"> %p;]><Document/>",
            "a document type declaration");
    /* without a declaration an entity is no entity */
    refuses("<Document><QAPairs><QAPair><Question>&x;</Question></QAPair></QAPairs></Document>",
            "not well-formed XML");
}

static void depth_is_bounded(void **state)
{
    (void)state;
    slm_buffer text = {0};
    for (int i = 0; i < 100000; i++)
        slm_buffer_append_text(&text, "<a>");
    refuses(slm_buffer_text(&text), "depth");
    slm_buffer_truncate(&text, 0);
    for (int i = 0; i < 100000; i++)
        slm_buffer_append_text(&text, "[");
    refuses(slm_buffer_text(&text), "depth");
    slm_buffer_free(&text);
}

static size_t peak_kib(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (size_t)usage.ru_maxrss;
}

/* 300 MiB of one byte pack into 300 KiB; two members, one at a time. */
static void zip_bombs_are_capped(void **state)
{
    (void)state;
    size_t len = 300u << 20;
    char path[64];
    char *bomb = malloc(len);
    assert_non_null(bomb);
    memset(bomb, ' ', len);
    memcpy(bomb, "<sst>", 5);
    put_temporary(path, "", 0);
    const xlsx_member members[] = {{"xl/workbook.xml", xlsx_book, 0},
                                   {"xl/_rels/workbook.xml.rels", xlsx_relations, 0},
                                   {"xl/sharedStrings.xml", bomb, len}};
    assert_true(write_zip(path, members, 3));
    const char *paths[] = {path};
    size_t before = peak_kib();
    imported i = import_paths(paths, 1, NULL);
    assert_int_equal(i.summary.total.kept, 0);
    assert_holds(i.problems.first, "xl/sharedStrings.xml unpacks to more than 256 MiB");
    assert_true(peak_kib() - before < 32 << 10);
    free_imported(&i);

    /* many shared strings: the second fence */
    size_t at = 5;
    while (at + 64 < 100u << 20) {
        memcpy(bomb + at, "<si><t>", 7);
        memset(bomb + at + 7, 'x', 1000);
        memcpy(bomb + at + 1007, "</t></si>", 9);
        at += 1016;
    }
    const xlsx_member strings[] = {{"xl/workbook.xml", xlsx_book, 0},
                                   {"xl/_rels/workbook.xml.rels", xlsx_relations, 0},
                                   {"xl/sharedStrings.xml", bomb, at}};
    assert_true(write_zip(path, strings, 3));
    i = import_paths(paths, 1, NULL);
    assert_holds(i.problems.first, "more than 64 MiB of text in its cells");
    free_imported(&i);
    free(bomb);
    unlink(path);
}

static void a_file_with_nothing_but_wrong_rows_is_left(void **state)
{
    (void)state;
    slm_buffer text = {0};
    for (int i = 0; i < 5000; i++)
        slm_buffer_append_text(&text, "{\"x\"\n");
    imported i = import_text(slm_buffer_text(&text), NULL);
    assert_true(i.problems.count <= DATA__PROBLEMS_MAX + 1);
    assert_holds(slm_buffer_text(&i.problems.all), "too many bad rows; the rest is left");
    free_imported(&i);
    slm_buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xml_sets_are_read),
        cmocka_unit_test(tables_are_known_by_their_columns),
        cmocka_unit_test(other_tables_take_a_column),
        cmocka_unit_test(a_format_can_be_forced),
        cmocka_unit_test(a_question_stands_there_once),
        cmocka_unit_test(bad_rows_are_told_and_passed),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(folders_are_walked_in_order),
        cmocka_unit_test(workbooks_are_read),
        cmocka_unit_test(broken_workbooks_are_told),
        cmocka_unit_test(entities_are_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(zip_bombs_are_capped),
        cmocka_unit_test(a_file_with_nothing_but_wrong_rows_is_left),
    };
    return cmocka_run_group_tests_name("data/import", tests, NULL, NULL);
}
