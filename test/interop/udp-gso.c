/*
 * UDP in superpackets (UDP_SEGMENT): one sendmsg for many datagrams, cut by the kernel as late as it can.
 *
 *   udp-gso serve PORT                          says "up", waits for what `exchange` sends, sends as much back, and goes on
 *   udp-gso exchange ADDRESS PORT SIZE ROUNDS   sends ROUNDS superpackets of 40 datagrams of SIZE bytes, awaits as many
 *
 * Each datagram tells its number, and its bytes depend on it; each round's last one is shorter by 100. Whoever receives checks
 * size and bytes. A datagram that is lost or wrong ends the program with a message and exit code 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { SEGMENTS = 40, SHORTER = 100, HEADER = 12, SIZE_MAX_BYTES = 1600 };

struct header {
  uint32_t number;
  uint32_t rounds;
  uint32_t size;
};

static void fail(const char *what) {
  fprintf(stderr, "udp-gso: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint32_t length_of(uint32_t number, uint32_t size) { return number % SEGMENTS == SEGMENTS - 1 ? size - SHORTER : size; }

static void fill(uint8_t *bytes, uint32_t number, uint32_t rounds, uint32_t size) {
  struct header header = {number, rounds, size};
  uint32_t length = length_of(number, size);
  memcpy(bytes, &header, HEADER);
  for (uint32_t i = HEADER; i < length; i++) bytes[i] = (uint8_t)(number * 7 + i * 31 + (i >> 8));
}

static void check(const uint8_t *bytes, ssize_t length, uint32_t expected, uint32_t rounds, uint32_t size) {
  uint8_t wanted[SIZE_MAX_BYTES];
  fill(wanted, expected, rounds, size);
  if (length == (ssize_t)length_of(expected, size) && memcmp(bytes, wanted, (size_t)length) == 0) return;
  struct header header;
  memcpy(&header, bytes, HEADER);
  fprintf(stderr, "udp-gso: datagram %u: got number %u with %zd bytes\n", expected, header.number, length);
  exit(1);
}

static void send_all(int fd, const struct sockaddr_in *to, uint32_t rounds, uint32_t size) {
  static uint8_t bytes[SEGMENTS * SIZE_MAX_BYTES];
  for (uint32_t round = 0; round < rounds; round++) {
    size_t length = 0;
    for (uint32_t i = 0; i < SEGMENTS; i++) {
      fill(bytes + length, round * SEGMENTS + i, rounds, size);
      length += length_of(round * SEGMENTS + i, size);
    }
    char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct iovec part = {.iov_base = bytes, .iov_len = length};
    struct msghdr message = {
        .msg_name = (void *)to,
        .msg_namelen = sizeof *to,
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    struct cmsghdr *option = CMSG_FIRSTHDR(&message);
    option->cmsg_level = SOL_UDP;
    option->cmsg_type = UDP_SEGMENT;
    option->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    uint16_t segment = (uint16_t)size;
    memcpy(CMSG_DATA(option), &segment, sizeof segment);
    if (sendmsg(fd, &message, 0) != (ssize_t)length) fail("sendmsg");
    /* 4 Gbit/s would be no feat for the sender, but is one for a small receive buffer. */
    struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
  }
}

/* Receives the rest of what begins with the datagram in `bytes`. */
static void receive_rest(int fd, uint8_t *bytes, ssize_t length) {
  struct header first;
  memcpy(&first, bytes, HEADER);
  for (uint32_t number = 0;;) {
    check(bytes, length, number, first.rounds, first.size);
    if (++number == first.rounds * SEGMENTS) return;
    length = recv(fd, bytes, SIZE_MAX_BYTES, 0);
    if (length < 0) {
      fprintf(stderr, "udp-gso: %u of %u datagrams came\n", number, first.rounds * SEGMENTS);
      exit(1);
    }
  }
}

static void set_patience(int fd, int seconds) {
  struct timeval patience = {.tv_sec = seconds};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

static void serve(int fd, const struct sockaddr_in *at) {
  uint8_t bytes[SIZE_MAX_BYTES];
  if (bind(fd, (const struct sockaddr *)at, sizeof *at) != 0) fail("bind");
  puts("up");
  fflush(stdout);
  for (;;) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    set_patience(fd, 0);
    ssize_t length = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &size);
    if (length < HEADER) fail("recvfrom");
    set_patience(fd, 2);
    receive_rest(fd, bytes, length);
    struct header first;
    memcpy(&first, bytes, HEADER);
    send_all(fd, &from, first.rounds, first.size);
  }
}

static void exchange(int fd, const struct sockaddr_in *with, uint32_t size, uint32_t rounds) {
  uint8_t bytes[SIZE_MAX_BYTES];
  set_patience(fd, 2);
  send_all(fd, with, rounds, size);
  ssize_t length = recv(fd, bytes, sizeof bytes, 0);
  if (length < HEADER) fail("nothing came back");
  receive_rest(fd, bytes, length);
  printf("%u datagrams each way\n", rounds * SEGMENTS);
}

int main(int count, char **words) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  const int buffer = 8 << 20;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  struct sockaddr_in address = {.sin_family = AF_INET};
  if (count == 3 && strcmp(words[1], "serve") == 0) {
    address.sin_port = htons((uint16_t)atoi(words[2]));
    serve(fd, &address);
  } else if (count == 6 && strcmp(words[1], "exchange") == 0 && atoi(words[4]) <= SIZE_MAX_BYTES) {
    address.sin_port = htons((uint16_t)atoi(words[3]));
    inet_pton(AF_INET, words[2], &address.sin_addr);
    exchange(fd, &address, (uint32_t)atoi(words[4]), (uint32_t)atoi(words[5]));
  } else {
    fputs("usage: udp-gso serve PORT | exchange ADDRESS PORT SIZE ROUNDS\n", stderr);
    return 2;
  }
  return 0;
}
