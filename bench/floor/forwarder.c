/*
 * The floor for a gateway in userspace: what TUN and packet socket cost when next to nothing is done between them.
 *
 * A TUN (virtio header, every offload that the kernel gives) and a packet socket (virtio header) are joined by a poll
 * loop with one read and one write a packet. One address is exchanged for another, so that real programs can talk
 * through it: incremental checksums, no flow table, no ports, no TTL, no fragments. It answers no ARP: the peer needs a
 * static neighbour entry.
 *
 *   forwarder NETNS TUN WAN INSIDE OUTSIDE PEER-MAC
 *
 * The TUN is made in NETNS (a path), the packet socket where the program was started. Prints "ready" and runs until
 * it is killed. The TUN's address, MTU and routes are the caller's business, after "ready".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum { VNET = 10, ETHERNET = 14, BATCH = 64, ROOM = 1 << 17 };

/* Addresses as they lie in memory; sums of 16-bit words in memory order, which a one's-complement sum may use. */
static uint32_t inside, outside;
static uint32_t outward, inward;
static uint8_t buffer[ROOM] __attribute__((aligned(64)));
static uint8_t ethernet[ETHERNET];

static void die(const char *what) {
  fprintf(stderr, "forwarder: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint32_t fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

/* What replacing `from` by `to` adds to a one's-complement sum (RFC 1624). */
static uint32_t difference(uint32_t from, uint32_t to) {
  return fold((~from & 0xffff) + ((~from >> 16) & 0xffff) + (to & 0xffff) + (to >> 16));
}

/* Adjusts a complemented checksum. */
static void adjust(uint8_t *at, uint32_t delta) {
  uint16_t sum;
  memcpy(&sum, at, 2);
  sum = ~fold((~sum & 0xffff) + delta);
  memcpy(at, &sum, 2);
}

/* Adjusts the pseudo-header sum of a checksum that hardware, or the peer, is to complete: not complemented. */
static void adjust_partial(uint8_t *at, uint32_t delta) {
  uint16_t sum;
  memcpy(&sum, at, 2);
  sum = fold(sum + delta);
  memcpy(at, &sum, 2);
}

/* Replaces the address at `offset` of the IP header; returns 0 when the packet is not ours to carry. */
static int rewrite(uint8_t *ip, int offset, uint32_t from, uint32_t to, uint32_t delta, int partial) {
  uint32_t address;
  if (ip[0] >> 4 != 4) return 0;
  memcpy(&address, ip + offset, 4);
  if (address != from) return 0;
  memcpy(ip + offset, &to, 4);
  adjust(ip + 10, delta);
  uint8_t *transport = ip + (ip[0] & 15) * 4;
  int field = ip[9] == IPPROTO_TCP ? 16 : ip[9] == IPPROTO_UDP ? 6 : -1;
  if (field < 0) return 1;
  if (partial) adjust_partial(transport + field, delta);
  else if (ip[9] == IPPROTO_TCP || transport[6] | transport[7]) adjust(transport + field, delta);
  return 1;
}

/* TUN to wire: the Ethernet header goes between virtio header and IP header. */
static void forward_out(int tun, int wire) {
  uint8_t *ip = buffer + 64;
  struct virtio_net_hdr *virtio = (struct virtio_net_hdr *)(ip - VNET);
  for (int i = 0; i < BATCH; i++) {
    ssize_t got = read(tun, virtio, ROOM - 64);
    if (got < VNET + 20) return;
    struct virtio_net_hdr header = *virtio;
    if (!rewrite(ip, 12, inside, outside, outward, header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) continue;
    if (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) header.csum_start += ETHERNET;
    if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE) header.hdr_len += ETHERNET;
    uint8_t *start = ip - ETHERNET - VNET;
    memcpy(start, &header, VNET);
    memcpy(start + VNET, ethernet, ETHERNET);
    if (write(wire, start, got + ETHERNET) < 0 && errno != EAGAIN && errno != ENOBUFS) die("write to the wire");
  }
}

/* Wire to TUN: the Ethernet header is dropped by moving the virtio header up to the IP header. */
static void forward_in(int wire, int tun) {
  uint8_t *ip = buffer + 64;
  uint8_t *start = ip - ETHERNET - VNET;
  for (int i = 0; i < BATCH; i++) {
    ssize_t got = read(wire, start, ROOM - 64);
    if (got < VNET + ETHERNET + 20) return;
    struct virtio_net_hdr header;
    memcpy(&header, start, VNET);
    if (!rewrite(ip, 16, outside, inside, inward, header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) continue;
    if (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) header.csum_start -= ETHERNET;
    if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE) header.hdr_len -= ETHERNET;
    memcpy(ip - VNET, &header, VNET);
    if (write(tun, ip - VNET, got - ETHERNET) < 0 && errno != EAGAIN && errno != ENOBUFS) die("write to the TUN");
  }
}

static int open_tun(const char *namespace, const char *name) {
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  int there = open(namespace, O_RDONLY | O_CLOEXEC);
  if (home < 0 || there < 0) die(namespace);
  if (setns(there, CLONE_NEWNET) < 0) die("setns");
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) die("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
  if (ioctl(fd, TUNSETIFF, &request) < 0) die("TUNSETIFF");
  unsigned base = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  if (ioctl(fd, TUNSETOFFLOAD, base | TUN_F_USO4 | TUN_F_USO6) < 0 && ioctl(fd, TUNSETOFFLOAD, base) < 0) die("TUNSETOFFLOAD");
  if (setns(home, CLONE_NEWNET) < 0) die("setns");
  return fd;
}

static int open_wire(const char *name) {
  struct sock_filter code[] = {
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ETHERNET + 16),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(outside), 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 0x40000),
    BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
  int one = 1, bytes = 16 << 20;
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("packet socket");
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) < 0) die("PACKET_VNET_HDR");
  setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) die("SO_ATTACH_FILTER");
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die(name);
  struct ifreq request = {0};
  snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
  if (ioctl(fd, SIOCGIFHWADDR, &request) < 0) die("SIOCGIFHWADDR");
  memcpy(ethernet + 6, request.ifr_hwaddr.sa_data, 6);
  ethernet[12] = ETH_P_IP >> 8;
  ethernet[13] = ETH_P_IP & 255;
  return fd;
}

int main(int count, char **arguments) {
  if (count != 7 || inet_pton(AF_INET, arguments[4], &inside) != 1 || inet_pton(AF_INET, arguments[5], &outside) != 1 ||
      sscanf(arguments[6], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &ethernet[0], &ethernet[1], &ethernet[2], &ethernet[3], &ethernet[4], &ethernet[5]) != 6) {
    fprintf(stderr, "usage: forwarder NETNS TUN WAN INSIDE OUTSIDE PEER-MAC\n");
    return 64;
  }
  outward = difference(inside, outside);
  inward = difference(outside, inside);
  int wire = open_wire(arguments[3]);
  int tun = open_tun(arguments[1], arguments[2]);
  puts("ready");
  fflush(stdout);
  struct pollfd both[2] = {{.fd = tun, .events = POLLIN}, {.fd = wire, .events = POLLIN}};
  for (;;) {
    if (poll(both, 2, -1) < 0 && errno != EINTR) die("poll");
    if (both[0].revents & POLLIN) forward_out(tun, wire);
    if (both[1].revents & POLLIN) forward_in(wire, tun);
  }
}
