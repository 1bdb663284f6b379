/* Settings of an interface by ioctl (netdevice(7)), through a socket that fixes the network namespace they are made in. */
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum form { FORM_FLAGS, FORM_NUMBER, FORM_ADDRESS };

/* By the INTERFACE_* numbers of src/native.ts. */
static const struct {
  unsigned long get;
  unsigned long set;
  enum form form;
  const char *get_name;
  const char *set_name;
} fields[] = {
    {SIOCGIFFLAGS, SIOCSIFFLAGS, FORM_FLAGS, "ioctl SIOCGIFFLAGS", "ioctl SIOCSIFFLAGS"},
    {SIOCGIFMTU, SIOCSIFMTU, FORM_NUMBER, "ioctl SIOCGIFMTU", "ioctl SIOCSIFMTU"},
    {SIOCGIFTXQLEN, SIOCSIFTXQLEN, FORM_NUMBER, "ioctl SIOCGIFTXQLEN", "ioctl SIOCSIFTXQLEN"},
    {SIOCGIFADDR, SIOCSIFADDR, FORM_ADDRESS, "ioctl SIOCGIFADDR", "ioctl SIOCSIFADDR"},
    {SIOCGIFNETMASK, SIOCSIFNETMASK, FORM_ADDRESS, "ioctl SIOCGIFNETMASK", "ioctl SIOCSIFNETMASK"},
};

napi_value control_open(napi_env env, napi_callback_info info) {
  (void)info;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return fd < 0 ? throw_errno(env, errno, "socket", "AF_INET") : value_int32(env, fd);
}

/* The arguments that both calls begin with: control, name, field. */
static bool arg_request(napi_env env, const napi_value *args, int *fd, struct ifreq *request, int32_t *field) {
  memset(request, 0, sizeof *request);
  if (!arg_fd(env, args[0], fd) || !arg_string(env, args[1], "name", request->ifr_name, sizeof request->ifr_name, NULL) ||
      !arg_int32(env, args[2], "field", field)) {
    return false;
  }
  if (*field < 0 || *field >= (int32_t)(sizeof fields / sizeof fields[0])) {
    throw_range(env, "argument \"field\" must be one of INTERFACE_*");
    return false;
  }
  return true;
}

napi_value interface_get(napi_env env, napi_callback_info info) {
  napi_value args[3];
  int fd;
  int32_t field;
  struct ifreq request;
  struct sockaddr_in address;
  if (!args_get(env, info, 3, args) || !arg_request(env, args, &fd, &request, &field)) return NULL;
  if (ioctl(fd, fields[field].get, &request) != 0) return throw_errno(env, errno, fields[field].get_name, request.ifr_name);
  switch (fields[field].form) {
    case FORM_FLAGS:
      return value_int32(env, (uint16_t)request.ifr_flags);
    case FORM_NUMBER:
      return value_int32(env, request.ifr_mtu);
    case FORM_ADDRESS:
      memcpy(&address, &request.ifr_addr, sizeof address);
      return value_int32(env, (int32_t)ntohl(address.sin_addr.s_addr));
  }
  return NULL;
}

napi_value interface_set(napi_env env, napi_callback_info info) {
  napi_value args[4];
  int fd;
  int32_t field;
  int32_t value;
  struct ifreq request;
  struct sockaddr_in address;
  if (!args_get(env, info, 4, args) || !arg_request(env, args, &fd, &request, &field) || !arg_int32(env, args[3], "value", &value)) {
    return NULL;
  }
  switch (fields[field].form) {
    case FORM_FLAGS:
      request.ifr_flags = (short)value;
      break;
    case FORM_NUMBER:
      request.ifr_mtu = value;
      break;
    case FORM_ADDRESS:
      memset(&address, 0, sizeof address);
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl((uint32_t)value);
      memcpy(&request.ifr_addr, &address, sizeof address);
      break;
  }
  if (ioctl(fd, fields[field].set, &request) != 0) return throw_errno(env, errno, fields[field].set_name, request.ifr_name);
  return NULL;
}
