/* The floor: the kernel's cost of sending the same bytes to the same number of sockets, without protocol or log.
 *
 *   floor PORT CLIENTS SIZE EVENTS PER-SECOND   (PER-SECOND 0: as fast as the clients read)
 *
 * Waits for the clients, then sends each of them EVENTS text frames of SIZE bytes, paced, each with a timestamp in
 * the sink's format. Prints its own CPU time. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
  if (argc != 6) return fprintf(stderr, "floor PORT CLIENTS SIZE EVENTS PER-SECOND\n"), 2;
  int clients = atoi(argv[2]), one = 1, *fds = calloc((size_t)clients, sizeof *fds);
  size_t size = (size_t)atol(argv[3]), head = size < 126 ? 2 : 4;
  long events = atol(argv[4]);
  double rate = atof(argv[5]);
  struct rlimit files = {60000, 60000};
  setrlimit(RLIMIT_NOFILE, &files);
  int listening = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
  inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
  setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listening, (struct sockaddr *)&at, sizeof at) || listen(listening, 4096)) return perror("listen"), 1;
  puts("listening"), fflush(stdout);
  for (int i = 0; i < clients; i++) {
    fds[i] = accept(listening, NULL, NULL);
    setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  unsigned char *frame = malloc(head + size);
  frame[0] = 0x81;
  if (head == 2) frame[1] = (unsigned char)size;
  else frame[1] = 126, frame[2] = (unsigned char)(size >> 8), frame[3] = (unsigned char)size;
  memset(frame + head, '.', size);
  memcpy(frame + head, "{\"type\":\"agent_message\",", 24);
  sleep(1);
  double began = now(), used = cpu();
  for (long e = 0; e < events; e++) {
    if (rate > 0) {
      double wait = began + (double)e / rate - now();
      if (wait > 0) nanosleep(&(struct timespec){(time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9)}, NULL);
    }
    struct timespec sent_at;
    clock_gettime(CLOCK_MONOTONIC, &sent_at);
    snprintf((char *)frame + head + 24, 22, "@%019lld@", sent_at.tv_sec * 1000000000LL + sent_at.tv_nsec);
    for (int i = 0; i < clients; i++) {
      size_t sent = 0;
      while (sent < head + size) {
        ssize_t n = send(fds[i], frame + sent, head + size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) sent += (size_t)n;
        else if (errno == EAGAIN) poll(&(struct pollfd){fds[i], POLLOUT, 0}, 1, 1000);
        else return perror("send"), 1;
      }
    }
  }
  printf("{\"cpu_s\":%.6f,\"seconds\":%.3f,\"sends\":%ld}\n", cpu() - used, now() - began, events * clients);
  fflush(stdout);
  sleep(1);
  return 0;
}
