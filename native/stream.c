/* TCP sockets that use one interface and one source address, whatever the routing tables say of other ones. */
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* NULL when it went well, else the name of the call that failed, with errno set. */
static const char *bind_stream(int fd, int ifindex, int32_t source) {
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, sizeof ifindex) != 0) return "setsockopt SO_BINDTOIFINDEX";
  /* The port is chosen when the socket connects, so that one may serve several destinations. */
  if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0) return "setsockopt IP_BIND_ADDRESS_NO_PORT";
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl((uint32_t)source);
  return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 ? NULL : "bind";
}

napi_value stream_open(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t ifindex;
  int32_t source;
  if (!args_get(env, info, 2, args) || !arg_int32(env, args[0], "ifindex", &ifindex) || !arg_int32(env, args[1], "source", &source)) {
    return NULL;
  }
  if (ifindex <= 0) return throw_range(env, "argument \"ifindex\" must be positive");

  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return throw_errno(env, errno, "socket", "AF_INET");
  const char *failed = bind_stream(fd, ifindex, source);
  if (failed != NULL) {
    int number = errno;
    close(fd);
    return throw_errno(env, number, failed, NULL);
  }
  return value_int32(env, fd);
}
