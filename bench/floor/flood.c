/*
 * The highest rate of small UDP datagrams that arrives without loss.
 *
 *   flood sink PORT
 *   flood search ADDRESS PORT BYTES SECONDS
 *
 * `search` sends for SECONDS at a rate, waits, and asks the sink how many came. It bisects between nothing and what
 * arrives when sending as fast as possible, until the step is 3 %. A rate holds when one of two attempts loses nothing.
 * Both sides use sendmmsg and recvmmsg, so that they are not what limits. Prints one line of JSON.
 */
#include "tool.h"
#include <sys/time.h>

enum { BATCH = 32, SETTLE_MS = 60 };
/* First word of a datagram: data of a trial, or a question and its answer. */
enum { DATA = 0x64617461, QUESTION = 0x3f3f3f3f };

struct message {
  uint32_t kind;
  uint32_t trial;
  uint64_t count;
};

static void sink(int port) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in at = endpoint("0.0.0.0", port);
  buffers(fd, 16 << 20);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) die("bind");
  puts("ready");
  fflush(stdout);
  static uint8_t data[BATCH][2048];
  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  struct sockaddr_in from[BATCH];
  uint32_t trial = 0;
  uint64_t arrived = 0;
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      parts[i] = (struct iovec){data[i], sizeof data[i]};
      messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < got; i++) {
      struct message message;
      memcpy(&message, data[i], sizeof message);
      if (message.trial != trial) {
        trial = message.trial;
        arrived = 0;
      }
      if (message.kind == DATA) arrived++;
      if (message.kind != QUESTION) continue;
      message.count = arrived;
      sendto(fd, &message, sizeof message, 0, (struct sockaddr *)&from[i], sizeof from[i]);
    }
  }
}

struct outcome {
  uint64_t sent, arrived;
  double seconds;
};

/* Sends at `rate` a second, or as fast as possible for 0, in bursts of at most BATCH. */
static struct outcome attempt(int fd, size_t bytes, double rate, double seconds) {
  static uint32_t trial;
  static uint8_t data[2048];
  struct message message = {DATA, ++trial + ((uint32_t)getpid() << 12), 0};
  memcpy(data, &message, sizeof message);
  struct iovec part = {data, bytes};
  struct mmsghdr messages[BATCH];
  for (int i = 0; i < BATCH; i++) messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
  uint64_t sent = 0, start = now_ns(), end = start + (uint64_t)(seconds * 1e9), now = start;
  while (now < end) {
    uint64_t due = rate > 0 ? (uint64_t)(rate * (double)(now - start) / 1e9) : sent + BATCH;
    if (due > sent) {
      int done = sendmmsg(fd, messages, due - sent < BATCH ? (unsigned)(due - sent) : BATCH, 0);
      if (done > 0) sent += (uint64_t)done;
    } else {
      struct timespec pause = {.tv_nsec = 20000};
      nanosleep(&pause, NULL);
    }
    now = now_ns();
  }
  struct outcome outcome = {sent, 0, (double)(now - start) / 1e9};
  message.kind = QUESTION;
  for (int tries = 0; tries < 20; tries++) {
    struct timespec pause = {.tv_nsec = SETTLE_MS * 1000000};
    nanosleep(&pause, NULL);
    send(fd, &message, sizeof message, 0);
    struct message answer;
    while (recv(fd, &answer, sizeof answer, 0) == sizeof answer) {
      if (answer.kind != QUESTION || answer.trial != message.trial) continue;
      /* Packets may still be in queues: the count is final when it no longer grows. */
      if (answer.count == outcome.arrived && tries > 0) return outcome;
      outcome.arrived = answer.count;
      if (outcome.arrived == sent) return outcome;
      break;
    }
  }
  return outcome;
}

static void search(struct sockaddr_in at, size_t bytes, double seconds) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct timeval patience = {.tv_usec = 200000};
  buffers(fd, 4 << 20);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr *)&at, sizeof at) < 0) die("connect");
  attempt(fd, bytes, 1000, 0.1);
  struct outcome flat = attempt(fd, bytes, 0, seconds);
  double most = (double)flat.arrived / flat.seconds, good = 0, bad = most * 1.1, last = 0;
  uint64_t packets = 0;
  for (double rate = most; bad - good > 0.03 * bad && bad > 100; rate = (good + bad) / 2) {
    struct outcome outcome = {0};
    int whole = 0;
    for (int tries = 0; tries < 2 && !whole; tries++) {
      outcome = attempt(fd, bytes, rate, seconds);
      packets += outcome.arrived;
      whole = outcome.sent > 0 && outcome.arrived == outcome.sent;
    }
    if (!whole) {
      bad = rate;
      continue;
    }
    last = (double)outcome.sent / outcome.seconds;
    /* A sender that cannot keep up with the rate asked has found its own limit. */
    if (last < rate * 0.97) break;
    good = rate;
  }
  printf("{\"perSecond\":%.1f,\"unpaced\":%.1f,\"sentUnpaced\":%.1f}\n", last > good ? last : good, most, (double)flat.sent / flat.seconds);
}

int main(int count, char **arguments) {
  if (count == 3 && !strcmp(arguments[1], "sink")) sink(atoi(arguments[2]));
  if (count != 6 || strcmp(arguments[1], "search")) {
    fprintf(stderr, "usage: flood sink PORT\n       flood search ADDRESS PORT BYTES SECONDS\n");
    return 64;
  }
  size_t bytes = (size_t)atoi(arguments[4]);
  if (bytes < sizeof(struct message) || bytes > 1472) {
    fprintf(stderr, "BYTES must be %zu to 1472\n", sizeof(struct message));
    return 64;
  }
  search(endpoint(arguments[2], atoi(arguments[3])), bytes, atof(arguments[5]));
}
