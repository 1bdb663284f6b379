/* Netlink sockets that listen for events. Requests do not come here: package `netlink` does those. */
#include "util.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool set_up(int fd, const struct int32s *groups, int32_t buffer, const char **syscall) {
  struct sockaddr_nl address;
  memset(&address, 0, sizeof address);
  address.nl_family = AF_NETLINK;
  *syscall = "bind";
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) return false;
  *syscall = "setsockopt";
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0 &&
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) != 0) {
    return false;
  }
  for (size_t i = 0; i < groups->length; i++) {
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups->data[i], sizeof groups->data[i]) != 0) return false;
  }
  return true;
}

napi_value netlink_open(napi_env env, napi_callback_info info) {
  napi_value args[3];
  int32_t protocol;
  struct int32s groups;
  int32_t buffer;
  if (!args_get(env, info, 3, args) || !arg_int32(env, args[0], "protocol", &protocol) ||
      !arg_int32s(env, args[1], "groups", &groups) || !arg_int32(env, args[2], "bufferBytes", &buffer)) {
    return NULL;
  }
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) return throw_errno(env, errno, "socket", "AF_NETLINK");
  const char *syscall;
  if (!set_up(fd, &groups, buffer, &syscall)) {
    int number = errno;
    close(fd);
    return throw_errno(env, number, syscall, "AF_NETLINK");
  }
  return value_int32(env, fd);
}
