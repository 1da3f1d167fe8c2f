/* Many WebSocket clients in one thread: they subscribe, read, and count. The load side of the fan-out benchmarks.
 *
 *   sink [-e EVENT] [-c CONFIRMATION] [-s SIZE] HOST PORT PATH CLIENTS PLANS EVENTS SECONDS [SUBSCRIBE-FRAME ...]
 *
 * Opens CLIENTS connections (PATH "-": raw, without a handshake), sends each of them the frames given (a single `%d`
 * in one is replaced by the client's number modulo PLANS), prints "ready" when every client has received as many confirmations as
 * frames were sent, then reads until every client has EVENTS events, or for SECONDS. Prints one line of JSON at the end.
 *
 * Events are frames whose payload begins with EVENT, confirmations those that begin with CONFIRMATION; the defaults are
 * the hub's. With SIZE, the bytes after the confirmations are a stream of events of SIZE bytes each, independent of
 * frames. If a payload contains "@NANOSECONDS@", the time since then (CLOCK_MONOTONIC) is recorded for percentiles.
 * Frame headers are parsed, not searched for. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, LATENCIES = 4 * 1000 * 1000 };
static const char *event = "{\"type\":\"agent_message\"", *confirmation = "{\"type\":\"subscription_confirmed\"";
static size_t event_size; /* 0: every frame is at most one event */

typedef struct {
  int fd;
  long events, confirmed, streamed;
  size_t kept, room;
  unsigned char *rest; /* the beginning of an incomplete frame */
} Client;

static Client *clients;
static int count, open_count, frames;
static long all_events, all_bytes, wanted, finished;
static uint32_t *latencies; /* microseconds */
static size_t latency_count;

static void die(const char *what) { perror(what); exit(1); }

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void keep_latency(const unsigned char *text, size_t size, int64_t now) {
  const unsigned char *mark = memchr(text, '@', size);
  if (!mark || latency_count == LATENCIES) return;
  int64_t sent_at = strtoll((const char *)mark + 1, NULL, 10);
  if (sent_at > 0 && now >= sent_at) latencies[latency_count++] = (uint32_t)((now - sent_at) / 1000);
}

static int begins(const unsigned char *text, size_t size, const char *with) {
  return size > strlen(with) && !memcmp(text, with, strlen(with));
}

static void count_events(Client *client, long events, const unsigned char *text, size_t size, int64_t now) {
  all_events += events;
  if (client->events < wanted && client->events + events >= wanted) finished++;
  client->events += events;
  if (events) keep_latency(text, size, now);
}

static void take(Client *client, const unsigned char *text, size_t size, int64_t now) {
  if (event_size && client->confirmed >= frames) {
    client->streamed += (long)size;
    count_events(client, client->streamed / (long)event_size - client->events, text, size, now);
  } else if (begins(text, size, event)) {
    count_events(client, 1, text, size, now);
  } else if (begins(text, size, confirmation)) {
    client->confirmed++;
  }
}

/* Parses complete frames; returns the number of bytes consumed. */
static size_t parse(Client *client, const unsigned char *data, size_t size, int64_t now) {
  size_t at = 0;
  while (size - at >= 2) {
    size_t head = 2, body = data[at + 1] & 127;
    if (body == 126) {
      if (size - at < 4) break;
      body = (size_t)data[at + 2] << 8 | data[at + 3];
      head = 4;
    } else if (body == 127) {
      if (size - at < 10) break;
      body = 0;
      for (int i = 2; i < 10; i++) body = body << 8 | data[at + i];
      head = 10;
    }
    if (size - at < head + body) break;
    if ((data[at] & 15) <= 2) take(client, data + at + head, body, now);
    at += head + body;
  }
  return at;
}

static void receive(Client *client) {
  static unsigned char chunk[CHUNK];
  ssize_t got = recv(client->fd, chunk, CHUNK, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    close(client->fd);
    client->fd = -1;
    open_count--;
    return;
  }
  all_bytes += got;
  int64_t now = now_ns();
  if (!client->kept) {
    size_t used = parse(client, chunk, (size_t)got, now);
    client->kept = (size_t)got - used;
    if (client->kept > client->room) client->rest = realloc(client->rest, client->room = client->kept + CHUNK);
    if (client->kept) memcpy(client->rest, chunk + used, client->kept);
    return;
  }
  if (client->kept + (size_t)got > client->room)
    client->rest = realloc(client->rest, client->room = client->kept + (size_t)got + CHUNK);
  memcpy(client->rest + client->kept, chunk, (size_t)got);
  size_t size = client->kept + (size_t)got, used = parse(client, client->rest, size, now);
  memmove(client->rest, client->rest + used, client->kept = size - used);
}

static void send_all(int fd, const void *data, size_t size) {
  if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size) die("send");
}

static void send_text(int fd, const char *text) {
  size_t size = strlen(text), head = size < 126 ? 6 : 8;
  unsigned char frame[4096] = {0x81};
  if (size > sizeof frame - 8) exit(2);
  if (size < 126) frame[1] = 0x80 | (unsigned char)size;
  else frame[1] = 0x80 | 126, frame[2] = (unsigned char)(size >> 8), frame[3] = (unsigned char)size;
  memcpy(frame + head, text, size); /* masked with zeros: the text as it is */
  send_all(fd, frame, head + size);
}

static int connect_one(const char *host, int port, const char *path) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &to.sin_addr);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (strcmp(path, "-")) {
    char request[1024], answer[4096];
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                        path, host, port);
    send_all(fd, request, (size_t)size);
    size_t got = 0; /* byte by byte, so that no frame after the response is consumed */
    while (got < 4 || memcmp(answer + got - 4, "\r\n\r\n", 4)) {
      if (got == sizeof answer || recv(fd, answer + got, 1, 0) != 1) die("handshake");
      got++;
    }
    if (memcmp(answer, "HTTP/1.1 101", 12)) { fprintf(stderr, "%.60s\n", answer); exit(1); }
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

static int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static double percentile(double p) {
  return latency_count ? latencies[(size_t)(p * (double)(latency_count - 1))] / 1000.0 : -1;
}

int main(int argc, char **argv) {
  for (int option; (option = getopt(argc, argv, "+e:c:s:")) != -1;) {
    if (option == 'e') event = optarg;
    else if (option == 'c') confirmation = optarg;
    else if (option == 's') event_size = (size_t)atol(optarg);
    else return 2;
  }
  argv += optind - 1, argc -= optind - 1;
  if (argc < 8) return fprintf(stderr, "sink [OPTION ...] HOST PORT PATH CLIENTS PLANS EVENTS SECONDS [FRAME ...]\n"), 2;
  frames = argc - 8;
  int plans = atoi(argv[5]), poll_fd = epoll_create1(0);
  struct rlimit files = {60000, 60000};
  setrlimit(RLIMIT_NOFILE, &files);
  count = open_count = atoi(argv[4]);
  wanted = atol(argv[6]);
  double seconds = atof(argv[7]);
  clients = calloc((size_t)count, sizeof *clients);
  latencies = malloc(LATENCIES * sizeof *latencies);
  for (int i = 0; i < count; i++) {
    clients[i].fd = connect_one(argv[1], atoi(argv[2]), argv[3]);
    struct epoll_event watch = {.events = EPOLLIN, .data.ptr = &clients[i]};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, clients[i].fd, &watch);
    for (int f = 0; f < frames; f++) {
      char text[2048];
      snprintf(text, sizeof text, argv[8 + f], i % plans); /* NOLINT: the frames are ours */
      send_text(clients[i].fd, text);
    }
  }
  int64_t began = 0, deadline = now_ns() + (int64_t)(seconds * 1e9);
  int ready = 0;
  while (open_count && (finished < count || !wanted) && now_ns() < deadline) {
    struct epoll_event events[512];
    int n = epoll_wait(poll_fd, events, 512, 50);
    for (int i = 0; i < n; i++) receive(events[i].data.ptr);
    if (!began && all_events) began = now_ns();
    if (!ready) {
      ready = 1;
      for (int i = 0; i < count && ready; i++) ready = clients[i].confirmed >= frames;
      if (ready) puts("ready"), fflush(stdout), deadline = now_ns() + (int64_t)(seconds * 1e9);
    }
  }
  double took = began ? (now_ns() - began) / 1e9 : 0;
  long least = clients[0].events, most = clients[0].events;
  for (int i = 1; i < count; i++) {
    if (clients[i].events < least) least = clients[i].events;
    if (clients[i].events > most) most = clients[i].events;
  }
  qsort(latencies, latency_count, sizeof *latencies, by_size);
  printf("{\"clients\":%d,\"open\":%d,\"events\":%ld,\"bytes\":%ld,\"least\":%ld,\"most\":%ld,\"seconds\":%.4f,"
         "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f}\n",
         count, open_count, all_events, all_bytes, least, most, took, percentile(.5), percentile(.99), percentile(.999));
  return 0;
}
