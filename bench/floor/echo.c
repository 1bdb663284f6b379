/*
 * Closed-loop UDP echo.
 *
 *   echo server PORT
 *   echo client ADDRESS PORT BYTES OUTSTANDING SECONDS
 *
 * The client keeps OUTSTANDING datagrams in flight: each answer sends the next. One system call a datagram on each side,
 * as ordinary programs do it. An answer that is missing for 200 ms counts as lost and is replaced. Prints one line of JSON.
 */
#include "tool.h"
#include <sys/time.h>

enum { LOST_AFTER_MS = 200, SAMPLES = 1 << 24 };

struct message {
  uint32_t slot;
  uint32_t generation;
  uint64_t sent;
};

static void serve(int port) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in at = endpoint("0.0.0.0", port);
  buffers(fd, 4 << 20);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) die("bind");
  puts("ready");
  fflush(stdout);
  uint8_t data[65536];
  for (;;) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t got = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &length);
    if (got >= 0) sendto(fd, data, (size_t)got, 0, (struct sockaddr *)&from, length);
  }
}

static void ask(struct sockaddr_in at, size_t bytes, uint32_t outstanding, double seconds) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct timeval patience = {.tv_usec = LOST_AFTER_MS * 1000};
  buffers(fd, 4 << 20);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr *)&at, sizeof at) < 0) die("connect");
  uint8_t out[65536] = {0}, in[65536];
  uint32_t *generation = calloc(outstanding, sizeof *generation);
  uint64_t *sent = calloc(outstanding, sizeof *sent);
  uint32_t *sample = malloc(SAMPLES * sizeof *sample);
  uint64_t trips = 0, lost = 0, start = now_ns(), end = start + (uint64_t)(seconds * 1e9), checked = start;
  for (uint32_t slot = 0; slot < outstanding; slot++) {
    struct message message = {slot, 0, sent[slot] = now_ns()};
    memcpy(out, &message, sizeof message);
    if (send(fd, out, bytes, 0) < 0) die("send");
  }
  uint64_t now = start;
  while (now < end) {
    ssize_t got = recv(fd, in, sizeof in, 0);
    now = now_ns();
    if (got >= (ssize_t)sizeof(struct message)) {
      struct message message;
      memcpy(&message, in, sizeof message);
      if (message.slot < outstanding && message.generation == generation[message.slot]) {
        if (trips < SAMPLES) sample[trips] = (uint32_t)(now - message.sent);
        trips++;
        message.generation = ++generation[message.slot];
        message.sent = sent[message.slot] = now;
        memcpy(out, &message, sizeof message);
        send(fd, out, bytes, 0);
      }
    }
    if (now - checked < LOST_AFTER_MS * 1000000ull) continue;
    checked = now;
    for (uint32_t slot = 0; slot < outstanding; slot++) {
      if (now - sent[slot] < LOST_AFTER_MS * 1000000ull) continue;
      lost++;
      struct message message = {slot, ++generation[slot], sent[slot] = now};
      memcpy(out, &message, sizeof message);
      send(fd, out, bytes, 0);
    }
  }
  double took = (double)(now - start) / 1e9;
  size_t count = trips < SAMPLES ? trips : SAMPLES;
  qsort(sample, count, sizeof *sample, compare_u32);
  printf("{\"trips\":%llu,\"lost\":%llu,\"seconds\":%.6f,\"perSecond\":%.1f,\"p50\":%.2f,\"p99\":%.2f}\n", (unsigned long long)trips,
         (unsigned long long)lost, took, (double)trips / took, count ? sample[count / 2] / 1e3 : -1, count ? sample[count * 99 / 100] / 1e3 : -1);
}

int main(int count, char **arguments) {
  if (count == 3 && !strcmp(arguments[1], "server")) serve(atoi(arguments[2]));
  if (count != 7 || strcmp(arguments[1], "client")) {
    fprintf(stderr, "usage: echo server PORT\n       echo client ADDRESS PORT BYTES OUTSTANDING SECONDS\n");
    return 64;
  }
  size_t bytes = (size_t)atoi(arguments[4]);
  if (bytes < sizeof(struct message) || bytes > 65000) {
    fprintf(stderr, "BYTES must be %zu to 65000\n", sizeof(struct message));
    return 64;
  }
  ask(endpoint(arguments[2], atoi(arguments[3])), bytes, (uint32_t)atoi(arguments[5]), atof(arguments[6]));
}
