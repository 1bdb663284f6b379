/*
 * Sends and receives packets of protocols that no ordinary program speaks.
 *
 *     ip-protocol listen PROTOCOL [PORT]                     prints "ready", then SOURCE[:PORT] and the payload in hex, a line each
 *     ip-protocol send PROTOCOL ADDRESS HEX [PORT PORT]      one packet; the ports are the source's and the destination's
 *
 * With ports the socket is one of UDP-Lite or UDP, whose header the kernel writes; without, a raw one: HEX is all that follows the
 * IPv4 header.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static unsigned char payload[65536];

static int open_socket(int protocol, int port) {
  int fd = socket(AF_INET, port == 0 ? SOCK_RAW : SOCK_DGRAM, protocol);
  if (fd < 0) err(1, "socket of protocol %d", protocol);
  struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(port) };
  if (port != 0 && bind(fd, (struct sockaddr *)&own, sizeof own) < 0) err(1, "bind");
  return fd;
}

static void listen_on(int protocol, int port) {
  int fd = open_socket(protocol, port);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(fd, payload, sizeof payload, 0, (struct sockaddr *)&from, &size);
    if (length < 0) err(1, "recvfrom");
    /* A raw socket gives the IPv4 header, too. */
    ssize_t at = port == 0 ? (payload[0] & 15) * 4 : 0;
    printf("%s", inet_ntoa(from.sin_addr));
    if (port != 0) printf(":%d", ntohs(from.sin_port));
    printf(" ");
    for (; at < length; at++) printf("%02x", payload[at]);
    printf("\n");
    fflush(stdout);
  }
}

static void send_to(int protocol, const char *address, const char *hex, int own_port, int port) {
  int fd = open_socket(protocol, own_port);
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) errx(1, "no address: %s", address);
  size_t length = strlen(hex) / 2;
  for (size_t i = 0; i < length; i++) {
    unsigned byte;
    if (sscanf(hex + 2 * i, "%2x", &byte) != 1) errx(1, "no hex digits: %s", hex + 2 * i);
    payload[i] = byte;
  }
  if (sendto(fd, payload, length, 0, (struct sockaddr *)&to, sizeof to) < 0) err(1, "sendto");
}

int main(int count, char **words) {
  if (count >= 3 && strcmp(words[1], "listen") == 0) listen_on(atoi(words[2]), count > 3 ? atoi(words[3]) : 0);
  else if (count == 5 && strcmp(words[1], "send") == 0) send_to(atoi(words[2]), words[3], words[4], 0, 0);
  else if (count == 7 && strcmp(words[1], "send") == 0) send_to(atoi(words[2]), words[3], words[4], atoi(words[5]), atoi(words[6]));
  else errx(64, "ip-protocol listen PROTOCOL [PORT] | send PROTOCOL ADDRESS HEX [PORT PORT]");
  return 0;
}
