/* Small calls on descriptors: close, open, eventfd, one Unix datagram, a pair of Unix sockets. */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

napi_value descriptor_close(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int fd;
  if (!args_get(env, info, 1, args) || !arg_fd(env, args[0], &fd)) return NULL;
  /* On Linux the descriptor is gone after EINTR too. */
  return close(fd) == 0 || errno == EINTR ? NULL : throw_errno(env, errno, "close", NULL);
}

napi_value descriptor_open_path(napi_env env, napi_callback_info info) {
  napi_value args[1];
  char path[PATH_MAX];
  if (!args_get(env, info, 1, args) || !arg_string(env, args[0], "path", path, sizeof path, NULL)) return NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  return fd < 0 ? throw_errno(env, errno, "open", path) : value_int32(env, fd);
}

napi_value event_open(napi_env env, napi_callback_info info) {
  (void)info;
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return fd < 0 ? throw_errno(env, errno, "eventfd", NULL) : value_int32(env, fd);
}

napi_value event_signal(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int fd;
  if (!args_get(env, info, 1, args) || !arg_fd(env, args[0], &fd)) return NULL;
  /* EAGAIN: the counter is at its limit, so the event is signalled already. */
  if (eventfd_write(fd, 1) != 0 && errno != EAGAIN) return throw_errno(env, errno, "eventfd_write", NULL);
  return NULL;
}

napi_value event_clear(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int fd;
  eventfd_t value;
  if (!args_get(env, info, 1, args) || !arg_fd(env, args[0], &fd)) return NULL;
  if (eventfd_read(fd, &value) != 0 && errno != EAGAIN) return throw_errno(env, errno, "eventfd_read", NULL);
  return NULL;
}

napi_value unix_datagram(napi_env env, napi_callback_info info) {
  napi_value args[3];
  bool wait;
  struct sockaddr_un address;
  char message[8192];
  size_t path_length;
  size_t message_length;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (!args_get(env, info, 3, args) ||
      !arg_string(env, args[0], "path", address.sun_path, sizeof address.sun_path, &path_length) ||
      !arg_string(env, args[1], "message", message, sizeof message, &message_length) || !arg_bool(env, args[2], "wait", &wait)) {
    return NULL;
  }
  char subject[sizeof address.sun_path];
  memcpy(subject, address.sun_path, sizeof subject);
  /* The name of an abstract socket starts with NUL and is not terminated. */
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_length);
  if (address.sun_path[0] == '@') {
    address.sun_path[0] = '\0';
  } else {
    size++;
  }

  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return throw_errno(env, errno, "socket", "AF_UNIX");
  ssize_t sent;
  do {
    sent = sendto(fd, message, message_length, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT), (struct sockaddr *)&address, size);
  } while (sent < 0 && errno == EINTR);
  int number = errno;
  close(fd);
  return sent < 0 ? throw_errno(env, number, "sendto", subject) : NULL;
}

/* Beyond the limit of the system when this is allowed, up to it otherwise. */
static bool set_buffer(int fd, int forced, int plain, int bytes) {
  return setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) == 0 || setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes) == 0;
}

napi_value socket_pair(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t bytes;
  if (!args_get(env, info, 1, args) || !arg_int32(env, args[0], "bufferBytes", &bytes)) return NULL;
  if (bytes < 0) return throw_range(env, "argument \"bufferBytes\" must not be negative");

  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) return throw_errno(env, errno, "socketpair", NULL);
  napi_value pair = NULL;
  int number = 0;
  for (int i = 0; i < 2 && number == 0 && bytes > 0; i++) {
    if (!set_buffer(fds[i], SO_SNDBUFFORCE, SO_SNDBUF, bytes) || !set_buffer(fds[i], SO_RCVBUFFORCE, SO_RCVBUF, bytes)) number = errno;
  }
  if (number == 0 && napi_create_array_with_length(env, 2, &pair) == napi_ok &&
      napi_set_element(env, pair, 0, value_int32(env, fds[0])) == napi_ok &&
      napi_set_element(env, pair, 1, value_int32(env, fds[1])) == napi_ok) {
    return pair;
  }
  close(fds[0]);
  close(fds[1]);
  return throw_errno(env, number == 0 ? ENOMEM : number, number == 0 ? "napi_create_array" : "setsockopt SO_SNDBUF", NULL);
}
