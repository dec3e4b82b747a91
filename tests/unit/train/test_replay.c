/* test_replay.c: a model's own answers are those of the requests, the model and the system text that
 * the recipe has now, however often their making was broken off, and nothing is asked twice. */
#include "train_fixture.h"

#include "base/hash.h"

enum { REQUESTS = 12, WIDTH = 4 };

/* ---- a model that answers by what it is asked, the last first ---------------------------------- */

typedef struct speaker {
    slm_chat chat;
    struct {
        uint64_t ticket, draw;
        bool has_system, thinks;
    } waiting[WIDTH];
    size_t count, asked, answered;
    size_t stop_at; /* after so many answers of this run; 0: never */
    size_t fail_at; /* the answer that is an error; 0: none */
    bool stopped;
} speaker;

static slm_status speaker_submit(slm_chat *chat, const slm_chat_request *request, uint64_t ticket,
                                 slm_error *err)
{
    speaker *s = (speaker *)chat;
    const char *last = request->messages[request->message_count - 1].content;
    (void)err;
    assert_true(s->count < WIDTH);
    assert_true(request->sampling.temperature == 0);
    assert_int_equal(request->sampling.max_tokens, request->sampling.thinking ? 1024 : 256);
    s->waiting[s->count].thinks = request->sampling.thinking;
    s->asked++;
    s->waiting[s->count].ticket = ticket;
    s->waiting[s->count].has_system = strcmp(request->messages[0].role, "system") == 0;
    s->waiting[s->count++].draw = slm_hash_bytes(last, strlen(last));
    return SLM_OK;
}

/* A text, an empty one, or one that was cut off, of which nothing is learnt. */
static slm_status speaker_poll(slm_chat *chat, int timeout_ms, slm_chat_reply **reply,
                               slm_error *err)
{
    speaker *s = (speaker *)chat;
    char text[128];
    (void)timeout_ms, (void)err;
    *reply = NULL;
    if (s->count == 0) return SLM_OK;
    const uint64_t draw = s->waiting[--s->count].draw;
    snprintf(text, sizeof text, "Answer %u \"\xc3\xa9\xff\"\nof %s.", (unsigned)(draw % 1000),
             chat->identity);
    if (s->waiting[s->count].has_system) memcpy(text, "System", 6);
    *reply = slm_chat_reply_new(s->waiting[s->count].ticket, 0,
                                draw % 4 == 0 ? SLM_CHAT_LENGTH : SLM_CHAT_STOP,
                                draw % 4 == 1 ? "" : text);
    if (s->waiting[s->count].thinks) (*reply)->reasoning = strdup("Hm.");
    s->answered++;
    if (s->answered == s->fail_at) {
        (*reply)->finish = SLM_CHAT_ERROR;
        slm_error_set(&(*reply)->error, SLM_ERR_NETWORK, "nobody is at home");
    }
    s->stopped = s->answered == s->stop_at;
    return SLM_OK;
}

static void speaker_nothing(slm_chat *chat)
{
    (void)chat;
}

static void speaker_cancel(slm_chat *chat, uint64_t ticket)
{
    (void)chat, (void)ticket;
}

static const slm_chat_class speaker_class = {speaker_submit, speaker_poll, speaker_cancel,
                                             speaker_nothing};

/* ---- runs ---------------------------------------------------------------------------------------- */

typedef struct setting {
    const char *folder, *requests, *model, *system, *thinking;
    size_t stop_at, fail_at;
} setting;

typedef struct outcome {
    slm_status status;
    slm_error err;
    size_t asked;
    char *log;
} outcome;

static outcome make(const setting *o)
{
    char name[] = "speaker", model[32];
    slm_recipe recipe = {0};
    outcome out = {0};
    size_t len = 0;
    slm_buffer path = {0};
    FILE *stream = open_memstream(&out.log, &len);
    assert_non_null(stream);
    slm_log log = slm_log_new(stream, SLM_LOG_INFO, true);
    snprintf(model, sizeof model, "%s", o->model);
    speaker s = {.chat = {.class = &speaker_class, .name = name, .identity = model, .width = WIDTH},
                 .stop_at = o->stop_at,
                 .fail_at = o->fail_at};
    const char *paths[] = {o->requests};
    recipe.sft.replay = (slm_option_list){.items = paths, .count = 1};
    recipe.run.system = o->system;
    recipe.run.thinking = o->thinking;
    recipe.sft.max_tokens = 1024;
    const slm_train train = {.recipe = &recipe, .chat = &s.chat, .log = &log, .stop = &s.stopped};
    out.status = train__replay(&train, o->folder, &path, &out.err);
    assert_string_equal(slm_file_basename(slm_buffer_text(&path)), "replay.jsonl");
    out.asked = s.asked;
    slm_buffer_free(&path);
    fclose(stream);
    return out;
}

/* It succeeds after so many requests; the log, to be freed. */
static char *make_well(const setting *o, size_t asked)
{
    outcome out = make(o);
    if (out.status != SLM_OK) fail_msg("%s", out.err.message);
    assert_int_equal(out.asked, asked);
    return out.log;
}

static void put_requests(const char *path, int first)
{
    slm_buffer text = {0};
    for (int i = first; i < first + REQUESTS; i++)
        slm_buffer_printf(
            &text, "{\"messages\":[{\"role\":\"user\",\"content\":\"Tell of %d\"}],\"id\":%d}\n", i,
            i);
    put_file(path, text.data, text.len);
    slm_buffer_free(&text);
}

static setting begin(slm_arena *arena, void **state)
{
    const setting o = {.folder = in_folder(arena, state, "sft"),
                       .requests = in_folder(arena, state, "requests.jsonl"),
                       .model = "model one",
                       .system = "",
                       .thinking = "off"};
    slm_error err = {0};
    assert_int_equal(slm_file_make_folders(o.folder, &err), SLM_OK);
    put_requests(o.requests, 0);
    return o;
}

/* Every request whose answer ended, in their order, with what was answered to it. */
static void answers_are_kept_in_the_order_of_the_requests(void **state)
{
    slm_arena arena = {0};
    const setting o = begin(&arena, state);
    size_t kept = 0;
    free(make_well(&o, REQUESTS));
    slm_buffer text = file_bytes(o.folder, "replay.jsonl");
    const char *at = slm_buffer_text(&text);
    for (int i = 0; i < REQUESTS; i++) {
        char request[32], line[256];
        const size_t len = (size_t)snprintf(request, sizeof request, "Tell of %d", i);
        const uint64_t draw = slm_hash_bytes(request, len);
        if (draw % 4 < 2) continue;
        snprintf(line, sizeof line,
                 "{\"messages\":[{\"content\":\"%s\",\"role\":\"user\"},{\"content\":\"Answer %u "
                 "\\\"\xc3\xa9\xef\xbf\xbd\\\"\\nof model one.\",\"role\":\"assistant\"}]}\n",
                 request, (unsigned)(draw % 1000));
        if (strncmp(at, line, strlen(line)) != 0) fail_msg("wanted %sgot %s", line, at);
        at += strlen(line);
        kept++;
    }
    assert_string_equal(at, "");
    assert_true(kept > 2 && kept < REQUESTS);
    slm_buffer_free(&text);
    /* Nothing is asked twice; a file that was lost comes back. */
    slm_buffer before = file_bytes(o.folder, "replay.jsonl");
    assert_int_equal(unlink(in_folder(&arena, state, "sft/replay.jsonl")), 0);
    free(make_well(&o, 0));
    text = file_bytes(o.folder, "replay.jsonl");
    assert_string_equal(slm_buffer_text(&text), slm_buffer_text(&before));
    slm_buffer_free(&text);
    slm_buffer_free(&before);
    slm_arena_free(&arena);
}

/* Other requests, another model, another system text, or thoughts: another file, and it is said. */
static void what_is_stale_is_asked_again(void **state)
{
    slm_arena arena = {0};
    const setting first = begin(&arena, state);
    setting o = first;
    char *log = make_well(&o, REQUESTS);
    assert_null(strstr(log, "again"));
    free(log);
    slm_buffer one = file_bytes(o.folder, "replay.jsonl");
    for (int change = 0; change < 4; change++) {
        o = first;
        if (change == 0) o.requests = in_folder(&arena, state, "other.jsonl");
        if (change == 1) o.model = "model two";
        if (change == 2) o.system = "Be brief.";
        if (change == 3) o.thinking = "on";
        put_requests(in_folder(&arena, state, "other.jsonl"), 3);
        log = make_well(&o, REQUESTS);
        assert_holds(log, "answers.jsonl holds answers to other requests");
        free(log);
        slm_buffer two = file_bytes(o.folder, "replay.jsonl");
        assert_string_not_equal(slm_buffer_text(&two), slm_buffer_text(&one));
        assert_holds(slm_buffer_text(&two), change == 0   ? "Tell of 12"
                                            : change == 1 ? "of model two."
                                            : change == 2 ? "System"
                                                          : "<think>\\nHm.\\n</think>\\n\\nAnswer");
        slm_buffer_free(&two);
        free(make_well(&first, REQUESTS));
        two = file_bytes(o.folder, "replay.jsonl");
        assert_string_equal(slm_buffer_text(&two), slm_buffer_text(&one));
        slm_buffer_free(&two);
    }
    slm_buffer_free(&one);
    slm_arena_free(&arena);
}

/* Once steps were taken with them, other answers are refused, and those that are there stay. */
static void a_stage_that_was_begun_keeps_its_answers(void **state)
{
    slm_arena arena = {0};
    const setting first = begin(&arena, state);
    setting o = first;
    slm_error err = {0};
    free(make_well(&o, REQUESTS));
    assert_int_equal(slm_file_make_folders(in_folder(&arena, state, "sft/last"), &err), SLM_OK);
    o.model = "model two";
    outcome out = make(&o);
    assert_int_equal(out.status, SLM_ERR_INVALID);
    assert_int_equal(out.asked, 0);
    assert_holds(out.err.message, "sft/answers.jsonl");
    assert_holds(out.err.message, "choose another output");
    free(out.log);
    free(make_well(&first, 0));
    slm_arena_free(&arena);
}

/* Stopped after any answer, nothing that was answered is asked again, and what comes out is the same. */
static void stopped_anywhere_it_goes_on(void **state)
{
    slm_arena arena = {0};
    setting whole = begin(&arena, state), o = whole;
    slm_error err = {0};
    free(make_well(&whole, REQUESTS));
    o.folder = in_folder(&arena, state, "broken");
    for (size_t stop = 1; stop < REQUESTS; stop++) {
        void *path = strdup(o.folder);
        assert_int_equal(slm_file_make_folders(o.folder, &err), SLM_OK);
        o.stop_at = stop;
        outcome out = make(&o);
        assert_int_equal(out.status, SLM_ERR_CANCELLED);
        assert_holds(out.err.message, "the same command goes on");
        free(out.log);
        assert_false(slm_file_exists(in_folder(&arena, state, "broken/replay.jsonl")));
        o.stop_at = 0;
        char *log = make_well(&o, REQUESTS - stop);
        assert_holds(log, slm_arena_printf(&arena, "goes on from answer %zu of 12", stop));
        free(log);
        assert_same_file(whole.folder, o.folder, "replay.jsonl");
        remove_folder(&path);
    }
    slm_arena_free(&arena);
}

/* A file that was cut at any byte, or ends in what was never written: what is whole of it counts. */
static void a_torn_file_is_gone_on_with(void **state)
{
    slm_arena arena = {0};
    setting whole = begin(&arena, state), o = whole;
    slm_error err = {0};
    free(make_well(&whole, REQUESTS));
    slm_buffer text = file_bytes(whole.folder, "answers.jsonl");
    o.folder = in_folder(&arena, state, "torn");
    assert_int_equal(slm_file_make_folders(o.folder, &err), SLM_OK);
    const char *path = in_folder(&arena, state, "torn/answers.jsonl");
    for (size_t len = 0; len <= text.len; len += 1 + len % 5) {
        size_t lines = 0;
        for (size_t i = 0; i < len; i++)
            lines += text.data[i] == '\n';
        put_file(path, text.data, len);
        free(make_well(&o, REQUESTS - (lines > 0 ? lines - 1 : 0)));
        assert_same_file(whole.folder, o.folder, "replay.jsonl");
        /* Now it is whole. */
        free(make_well(&o, 0));
    }
    static const char *const tails[] = {"\n", "{\"answer\":1,\"request\":2}\n",
                                        "{\"answer\":\"x\",\"request\":99}\n", "\0\0\0\0\n"};
    const char *end = text.data + text.len - 1; /* of the last line but one */
    while (end[-1] != '\n')
        end--;
    for (size_t i = 0; i < 4; i++) {
        slm_buffer broken = {0};
        slm_buffer_append(&broken, text.data, (size_t)(end - text.data));
        slm_buffer_append(&broken, tails[i], i == 3 ? 5 : strlen(tails[i]));
        put_file(path, broken.data, broken.len);
        slm_buffer_free(&broken);
        free(make_well(&o, 1));
        assert_same_file(whole.folder, o.folder, "replay.jsonl");
    }
    slm_buffer_free(&text);
    slm_arena_free(&arena);
}

/* An answer that failed is nobody's: what came before it stays, and it is asked again. */
static void an_error_is_no_answer(void **state)
{
    slm_arena arena = {0};
    setting o = begin(&arena, state);
    o.fail_at = 6;
    outcome out = make(&o);
    assert_int_equal(out.status, SLM_ERR_NETWORK);
    assert_holds(out.err.message, "nobody is at home");
    free(out.log);
    o.fail_at = 0;
    free(make_well(&o, REQUESTS - 5));
    /* Nowhere to write. */
    o.folder = in_folder(&arena, state, "sft/replay.jsonl");
    out = make(&o);
    assert_int_equal(out.status, SLM_ERR_IO);
    assert_holds(out.err.message, "cannot write");
    free(out.log);
    slm_arena_free(&arena);
}

static void requests_are_checked(void **state)
{
    static const struct {
        const char *text, *message;
    } list[] = {{"", "no request to replay"},
                {"{\"messages\":[]}\n", "requests.jsonl:1"},
                {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
                 "{\"role\":\"assistant\",\"content\":\"b\"}]}\n",
                 "messages must end with the user's"},
                {"{\"message\":1}\n", "messages"}};
    slm_arena arena = {0};
    const setting o = begin(&arena, state);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        put_text(o.requests, list[i].text);
        outcome out = make(&o);
        assert_true(out.status != SLM_OK && out.asked == 0);
        assert_holds(out.err.message, list[i].message);
        free(out.log);
    }
    slm_arena_free(&arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_are_kept_in_the_order_of_the_requests),
        TEST(what_is_stale_is_asked_again),
        TEST(a_stage_that_was_begun_keeps_its_answers),
        TEST(stopped_anywhere_it_goes_on),
        TEST(a_torn_file_is_gone_on_with),
        TEST(an_error_is_no_answer),
        TEST(requests_are_checked),
    };
    return cmocka_run_group_tests_name("train/replay", tests, NULL, NULL);
}
