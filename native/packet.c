/* Packet sockets (packet(7)). */
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* All return NULL when it went well, else the name of the call that failed, with errno set. */

static const char *attach_filter(int fd, const struct bytes *filter) {
  if (filter->length % sizeof(struct sock_filter) != 0 || filter->length / sizeof(struct sock_filter) > BPF_MAXINSNS) {
    errno = EINVAL;
    return "setsockopt SO_ATTACH_FILTER";
  }
  struct sock_fprog program = {
      .len = (unsigned short)(filter->length / sizeof(struct sock_filter)),
      .filter = (struct sock_filter *)(void *)filter->data,
  };
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? NULL : "setsockopt SO_ATTACH_FILTER";
}

static const char *set_buffer(int fd, int forced, int plain, int bytes, const char *name) {
  if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) == 0) return NULL;
  return setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes) == 0 ? NULL : name;
}

static const char *configure(int fd, bool vnet_header, const struct bytes *filter, int buffer_bytes) {
  const int on = 1;
  if (vnet_header && setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0) return "setsockopt PACKET_VNET_HDR";
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0) return "setsockopt PACKET_IGNORE_OUTGOING";
  if (buffer_bytes > 0) {
    const char *failed = set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, buffer_bytes, "setsockopt SO_RCVBUF");
    if (failed == NULL) failed = set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, buffer_bytes, "setsockopt SO_SNDBUF");
    if (failed != NULL) return failed;
  }
  return filter->length == 0 ? NULL : attach_filter(fd, filter);
}

napi_value packet_open(napi_env env, napi_callback_info info) {
  napi_value args[5];
  int32_t ifindex;
  bool cooked;
  bool vnet_header;
  struct bytes filter;
  int32_t buffer_bytes;
  if (!args_get(env, info, 5, args) || !arg_int32(env, args[0], "ifindex", &ifindex) ||
      !arg_bool(env, args[1], "cooked", &cooked) || !arg_bool(env, args[2], "vnetHeader", &vnet_header) ||
      !arg_bytes(env, args[3], "filter", &filter) || !arg_int32(env, args[4], "bufferBytes", &buffer_bytes)) {
    return NULL;
  }
  if (ifindex <= 0) return throw_range(env, "argument \"ifindex\" must be positive");

  /* Protocol 0: the socket receives nothing until bind() names the protocol. */
  int fd = socket(AF_PACKET, (cooked ? SOCK_DGRAM : SOCK_RAW) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return throw_errno(env, errno, "socket", "AF_PACKET");

  const char *failed = configure(fd, vnet_header, &filter, buffer_bytes);
  if (failed == NULL) {
    struct sockaddr_ll address;
    memset(&address, 0, sizeof address);
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = ifindex;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) failed = "bind";
  }
  if (failed != NULL) {
    int number = errno;
    close(fd);
    return throw_errno(env, number, failed, NULL);
  }
  return value_int32(env, fd);
}

napi_value packet_set_filter(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int fd;
  struct bytes filter;
  if (!args_get(env, info, 2, args) || !arg_fd(env, args[0], &fd) || !arg_bytes(env, args[1], "filter", &filter)) return NULL;
  const char *failed = attach_filter(fd, &filter);
  return failed == NULL ? NULL : throw_errno(env, errno, failed, NULL);
}

napi_value packet_drops(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int fd;
  if (!args_get(env, info, 1, args) || !arg_fd(env, args[0], &fd)) return NULL;
  struct tpacket_stats stats;
  socklen_t size = sizeof stats;
  if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) != 0) {
    return throw_errno(env, errno, "getsockopt PACKET_STATISTICS", NULL);
  }
  return value_uint32(env, stats.tp_drops);
}

napi_value packet_hardware(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int fd;
  struct bytes mac;
  if (!args_get(env, info, 2, args) || !arg_fd(env, args[0], &fd) || !arg_bytes(env, args[1], "mac", &mac)) return NULL;
  struct sockaddr_ll address;
  socklen_t size = sizeof address;
  memset(&address, 0, sizeof address);
  if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) return throw_errno(env, errno, "getsockname", NULL);
  size_t length = address.sll_halen < sizeof address.sll_addr ? address.sll_halen : sizeof address.sll_addr;
  memcpy(mac.data, address.sll_addr, length < mac.length ? length : mac.length);
  return value_int32(env, address.sll_hatype);
}
