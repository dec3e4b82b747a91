/* tiny_server.h: a web server on 127.0.0.1 in a thread of the test, one connection at a time.
 *
 * A test gives a function that gets the raw request and writes whatever it likes to the socket, so
 * that the server can break off, lie about lengths or answer nonsense. */
#ifndef SLM_TESTS_BASE_TINY_SERVER_H
#define SLM_TESTS_BASE_TINY_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/socket.h>
#include "helpers.h"

typedef struct tiny_server tiny_server;
/* request: head and body, NUL-terminated. The connection is closed afterwards. */
typedef void tiny_handler(tiny_server *server, int fd, const char *request);

struct tiny_server {
    int fd;
    int port;
    pthread_t thread;
    atomic_bool stop;
    atomic_int requests;
    tiny_handler *handler;
    void *context;
    /* Of the last request; read them only when no request is under way. */
    char last[65536];
};

static inline void tiny_send(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
        if (sent <= 0) return; /* the client has gone */
        at += sent;
        len -= (size_t)sent;
    }
}

static inline void tiny_send_text(int fd, const char *text)
{
    tiny_send(fd, text, strlen(text));
}

/* "200 OK" and headers, each ended by \r\n, and a body. */
static inline void tiny_reply(int fd, const char *status, const char *headers, const void *body,
                              size_t len)
{
    slm_buffer out = {0};
    slm_buffer_printf(&out, "HTTP/1.1 %s\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
                      status, headers, len);
    slm_buffer_append(&out, body, len);
    tiny_send(fd, out.data, out.len);
    slm_buffer_free(&out);
}

/* Value of a header of the request, or NULL. In static memory. */
static inline const char *tiny_header(const char *request, const char *name)
{
    static _Thread_local char value[1024];
    size_t len = strlen(name);
    for (const char *line = request; (line = strchr(line, '\n')) != NULL;) {
        line++;
        if (strncasecmp(line, name, len) != 0 || line[len] != ':') continue;
        const char *start = line + len + 1 + strspn(line + len + 1, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(start, "\r\n"), start);
        return value;
    }
    return NULL;
}

/* Reads head and body into server->last; false if the client went away. */
static inline bool tiny_read(tiny_server *server, int fd)
{
    size_t len = 0;
    for (;;) {
        ssize_t got = recv(fd, server->last + len, sizeof server->last - 1 - len, 0);
        if (got <= 0) return false;
        len += (size_t)got;
        server->last[len] = '\0';
        const char *end = strstr(server->last, "\r\n\r\n");
        if (end == NULL) continue;
        const char *length = tiny_header(server->last, "Content-Length");
        size_t body = length != NULL ? strtoull(length, NULL, 10) : 0;
        if ((size_t)(end + 4 - server->last) + body <= len) return true;
    }
}

static inline void *tiny_main(void *argument)
{
    tiny_server *server = argument;
    while (!atomic_load(&server->stop)) {
        struct pollfd wait = {.fd = server->fd, .events = POLLIN};
        if (poll(&wait, 1, 20) <= 0) continue;
        int fd = accept(server->fd, NULL, NULL);
        if (fd < 0) continue;
        if (tiny_read(server, fd)) {
            atomic_fetch_add(&server->requests, 1);
            server->handler(server, fd, server->last);
        }
        shutdown(fd, SHUT_WR);
        /* Closing with unread bytes would reset the connection and lose the reply. */
        char rest[256];
        while (recv(fd, rest, sizeof rest, MSG_DONTWAIT) > 0)
            continue;
        close(fd);
    }
    return NULL;
}

static inline tiny_server *tiny_start(tiny_handler *handler, void *context)
{
    tiny_server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    server->handler = handler;
    server->context = context;
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_true(server->fd >= 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server->fd, 64), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &len), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, tiny_main, server), 0);
    return server;
}

static inline void tiny_stop(tiny_server *server)
{
    atomic_store(&server->stop, true);
    pthread_join(server->thread, NULL);
    close(server->fd);
    free(server);
}

/* "http://127.0.0.1:PORT" + path */
static inline char *tiny_url(slm_arena *arena, const tiny_server *server, const char *path)
{
    return slm_arena_printf(arena, "http://127.0.0.1:%d%s", server->port, path);
}

/* Proxies of the machine must not stand between a test and its server. */
static inline void forget_proxies(void)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY",
                                        "all_proxy",  "ALL_PROXY",   "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

#endif
