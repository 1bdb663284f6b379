/*
 * New TCP connections a second: each is opened, given one byte, and closed by the server.
 *
 *   connect server PORT PORTS
 *   connect client ADDRESS PORT PORTS CONNECTIONS AT-ONCE
 *
 * The server listens on PORTS ports from PORT on, and the client uses them in turn, so that no side runs out of port
 * numbers. The client prints one line of JSON.
 */
#include "tool.h"
#include <netinet/tcp.h>
#include <sys/epoll.h>

enum { EVENTS = 256, STALL_MS = 3000 };

static void serve(int port, int ports) {
  int poll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < ports; i++) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in at = endpoint("0.0.0.0", port + i);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4096) < 0) die("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
  }
  puts("ready");
  fflush(stdout);
  struct epoll_event events[EVENTS];
  for (;;) {
    int count = epoll_wait(poll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      int fd;
      while ((fd = accept4(events[i].data.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        send(fd, "x", 1, MSG_NOSIGNAL);
        close(fd);
      }
    }
  }
}

static struct sockaddr_in target;
static int first, range, next_port;

static int open_one(int poll) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  target.sin_port = htons((uint16_t)(first + next_port));
  next_port = (next_port + 1) % range;
  if (connect(fd, (struct sockaddr *)&target, sizeof target) < 0 && errno != EINPROGRESS) {
    close(fd);
    return 0;
  }
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
  return 1;
}

static void ask(uint64_t wanted, int at_once) {
  int poll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event events[EVENTS];
  uint64_t opened = 0, finished = 0, failed = 0, start = now_ns();
  while (finished + failed < wanted) {
    while (opened < wanted && opened - finished - failed < (uint64_t)at_once) {
      opened++;
      if (!open_one(poll)) failed++;
    }
    int count = epoll_wait(poll, events, EVENTS, STALL_MS);
    if (count == 0) break;
    for (int i = 0; i < count; i++) {
      char data[16];
      ssize_t got = recv(events[i].data.fd, data, sizeof data, 0);
      if (got > 0) got = recv(events[i].data.fd, data, sizeof data, 0) == 0 ? 0 : 1;
      if (got > 0) continue;
      if (got == 0) finished++;
      else if (errno == EAGAIN) continue;
      else failed++;
      close(events[i].data.fd);
    }
  }
  double took = (double)(now_ns() - start) / 1e9;
  printf("{\"connections\":%llu,\"failed\":%llu,\"seconds\":%.6f,\"perSecond\":%.1f}\n", (unsigned long long)finished,
         (unsigned long long)(wanted - finished), took, (double)finished / took);
}

int main(int count, char **arguments) {
  if (count == 4 && !strcmp(arguments[1], "server")) serve(atoi(arguments[2]), atoi(arguments[3]));
  if (count != 7 || strcmp(arguments[1], "client")) {
    fprintf(stderr, "usage: connect server PORT PORTS\n       connect client ADDRESS PORT PORTS CONNECTIONS AT-ONCE\n");
    return 64;
  }
  target = endpoint(arguments[2], 0);
  first = atoi(arguments[3]);
  range = atoi(arguments[4]);
  ask((uint64_t)atoll(arguments[5]), atoi(arguments[6]));
}
