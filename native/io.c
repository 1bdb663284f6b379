/*
 * The hot path: readClock, poll, readBatch, writeBatch. Nothing here allocates or throws for what the network does; every address and
 * length that comes from JavaScript is checked against the slab before it is used.
 *
 * One system call a packet, on purpose. recvmmsg and sendmmsg were measured on a veth pair, batches of 1 to 200 small
 * packets: they gained nothing over recv and sendto (460 and 1470 ns a packet either way), lost 10 % on batches of one, and
 * recvmmsg cannot pack packets tightly, since it wants all buffers, of 64 KiB each, beforehand.
 */
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  HEADROOM = 64,      /* bytes kept free ahead of each packet, and alignment of its address */
  PACKET_MAX = 65535, /* the largest IPv4 datagram */
  POLL_MAX = 64,      /* descriptors a poll */
  WRITE_SENT = 0,
  WRITE_FAILED = 1,
  WRITE_ERRNO = 2,
  WRITE_COLUMNS = 3,
};

napi_value io_read_clock(napi_env env, napi_callback_info info) {
  napi_value args[1];
  struct float64s clock;
  if (!args_get(env, info, 1, args) || !arg_float64s(env, args[0], "clock", &clock)) return NULL;
  if (clock.length == 0) return throw_range(env, "argument \"clock\" must have room for a number");
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  clock.data[0] = (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
  return NULL;
}

napi_value io_poll(napi_env env, napi_callback_info info) {
  napi_value args[3];
  struct int32s fds;
  struct int32s ready;
  int64_t timeout;
  if (!args_get(env, info, 3, args) || !arg_int32s(env, args[0], "fds", &fds) || !arg_int32s(env, args[1], "ready", &ready) ||
      !arg_int64(env, args[2], "timeoutMicroseconds", &timeout)) {
    return NULL;
  }
  if (fds.length > POLL_MAX || ready.length < fds.length) return value_int32(env, -EINVAL);

  struct pollfd polled[POLL_MAX];
  for (size_t i = 0; i < fds.length; i++) {
    polled[i] = (struct pollfd){.fd = fds.data[i], .events = POLLIN};
  }
  struct timespec wait = {.tv_sec = timeout / 1000000, .tv_nsec = timeout % 1000000 * 1000};
  int count = ppoll(polled, fds.length, timeout < 0 ? NULL : &wait, NULL);
  if (count < 0) {
    if (errno != EINTR) return value_int32(env, -errno);
    count = 0;
  }
  for (size_t i = 0; i < fds.length; i++) ready.data[i] = count == 0 ? 0 : polled[i].revents;
  return value_int32(env, count);
}

/* The first address at or beyond `position` plus headroom that is a multiple of 64. */
static size_t next_address(size_t position) {
  return (position + HEADROOM + HEADROOM - 1) & ~(size_t)(HEADROOM - 1);
}

static ssize_t read_one(int fd, bool is_socket, uint8_t *target, size_t size) {
  ssize_t got;
  do {
    got = is_socket ? recv(fd, target, size, MSG_DONTWAIT) : read(fd, target, size);
  } while (got < 0 && errno == EINTR);
  return got;
}

napi_value io_read_batch(napi_env env, napi_callback_info info) {
  napi_value args[9];
  int fd;
  bool is_socket;
  struct bytes slab;
  int64_t start;
  int64_t end;
  int64_t before;
  struct int32s at;
  struct int32s length;
  int64_t max;
  if (!args_get(env, info, 9, args) || !arg_int32(env, args[0], "fd", &fd) || !arg_bool(env, args[1], "socket", &is_socket) ||
      !arg_bytes(env, args[2], "slab", &slab) || !arg_int64(env, args[3], "start", &start) ||
      !arg_int64(env, args[4], "end", &end) || !arg_int64(env, args[5], "before", &before) ||
      !arg_int32s(env, args[6], "at", &at) || !arg_int32s(env, args[7], "length", &length) ||
      !arg_int64(env, args[8], "max", &max)) {
    return NULL;
  }
  if (start < 0 || end < start || end > (int64_t)slab.length || end > INT32_MAX || before < 0 || before > HEADROOM || max < 0 ||
      max > (int64_t)at.length || max > (int64_t)length.length) {
    return value_int32(env, -EINVAL);
  }

  int32_t count = 0;
  int64_t skipped = 0;
  size_t address = next_address((size_t)start);
  while (count < max && address + PACKET_MAX <= (size_t)end) {
    ssize_t got = read_one(fd, is_socket, slab.data + address - before, (size_t)before + PACKET_MAX);
    if (got < 0) {
      /* The kernel took a packet from the queue that the virtio header cannot describe (an offload it has no word for). */
      if (errno == EINVAL && skipped++ < max) continue;
      if (count == 0 && errno != EAGAIN) return value_int32(env, -errno);
      break;
    }
    if (got == 0 && !is_socket) break;
    int32_t size = got > before ? (int32_t)(got - before) : 0;
    at.data[count] = (int32_t)address;
    length.data[count] = size;
    count++;
    address = next_address(address + (size_t)size);
  }
  return value_int32(env, count);
}

/* Returns 0 or errno. */
static int write_one(int fd, bool is_socket, const uint8_t *packet, size_t size, const struct sockaddr_ll *destination) {
  ssize_t put;
  do {
    put = is_socket ? sendto(fd, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)destination,
                             destination == NULL ? 0 : sizeof *destination)
                    : write(fd, packet, size);
  } while (put < 0 && errno == EINTR);
  return put < 0 ? errno : 0;
}

napi_value io_write_batch(napi_env env, napi_callback_info info) {
  napi_value args[9];
  int fd;
  bool is_socket;
  struct bytes slab;
  int64_t before;
  struct int32s at;
  struct int32s length;
  int32_t count;
  struct int32s result;
  int32_t cooked_interface;
  if (!args_get(env, info, 9, args) || !arg_int32(env, args[0], "fd", &fd) || !arg_bool(env, args[1], "socket", &is_socket) ||
      !arg_bytes(env, args[2], "slab", &slab) || !arg_int64(env, args[3], "before", &before) ||
      !arg_int32s(env, args[4], "at", &at) || !arg_int32s(env, args[5], "length", &length) ||
      !arg_int32(env, args[6], "count", &count) || !arg_int32s(env, args[7], "result", &result) ||
      !arg_int32(env, args[8], "cookedInterface", &cooked_interface)) {
    return NULL;
  }
  if (result.length < WRITE_COLUMNS) return throw_range(env, "writeBatch: \"result\" must have 3 elements");

  const struct sockaddr_ll address = {
      .sll_family = AF_PACKET,
      .sll_protocol = htons(ETH_P_IP),
      .sll_ifindex = cooked_interface,
  };
  const struct sockaddr_ll *destination = cooked_interface > 0 ? &address : NULL;
  int32_t sent = 0;
  int32_t failed = 0;
  int32_t last = 0;
  for (int32_t i = 0; i < count; i++) {
    bool listed = (size_t)i < at.length && (size_t)i < length.length;
    int64_t from = listed ? at.data[i] - before : -1;
    int64_t size = listed && length.data[i] >= 0 ? before + length.data[i] : -1;
    int number = EINVAL;
    if (before >= 0 && before <= HEADROOM && from >= 0 && size >= 0 && from + size <= (int64_t)slab.length) {
      number = write_one(fd, is_socket, slab.data + from, (size_t)size, destination);
    }
    if (number == 0) {
      sent++;
    } else {
      failed++;
      last = number;
    }
  }
  result.data[WRITE_SENT] = sent;
  result.data[WRITE_FAILED] = failed;
  result.data[WRITE_ERRNO] = last;
  return NULL;
}
