/* Opening of TUN devices (Documentation/networking/tuntap.rst of the kernel). */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char path[] = "/dev/net/tun";

static napi_value fail(napi_env env, int fd, const char *syscall, const char *subject) {
  int number = errno;
  close(fd);
  return throw_errno(env, number, syscall, subject);
}

/* Tries the masks in their order; 0 when none is accepted. False after throwing. */
static bool negotiate_offloads(napi_env env, int fd, napi_value masks, uint32_t *accepted) {
  uint32_t count;
  if (napi_get_array_length(env, masks, &count) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument \"offloads\" must be an array");
    return false;
  }
  *accepted = 0;
  for (uint32_t i = 0; i < count; i++) {
    napi_value element;
    int32_t mask;
    if (napi_get_element(env, masks, i, &element) != napi_ok || !arg_int32(env, element, "offloads", &mask)) return false;
    if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)(uint32_t)mask) == 0) {
      *accepted = (uint32_t)mask;
      return true;
    }
  }
  return true;
}

napi_value tun_open(napi_env env, napi_callback_info info) {
  napi_value args[3];
  char name[IFNAMSIZ];
  bool vnet_header;
  if (!args_get(env, info, 3, args) || !arg_string(env, args[0], "name", name, sizeof name, NULL) ||
      !arg_bool(env, args[1], "vnetHeader", &vnet_header)) {
    return NULL;
  }

  int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return throw_errno(env, errno, "open", path);

  struct ifreq request;
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, name, sizeof name);
  request.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | (vnet_header ? IFF_VNET_HDR : 0));
  if (ioctl(fd, TUNSETIFF, &request) != 0) return fail(env, fd, "ioctl TUNSETIFF", name);

  uint32_t accepted = 0;
  if (vnet_header) {
    int size = sizeof(struct virtio_net_hdr);
    if (ioctl(fd, TUNSETVNETHDRSZ, &size) != 0) return fail(env, fd, "ioctl TUNSETVNETHDRSZ", name);
    if (!negotiate_offloads(env, fd, args[2], &accepted)) {
      close(fd);
      return NULL;
    }
  }

  napi_value result;
  napi_value text;
  if (napi_create_object(env, &result) != napi_ok ||
      napi_create_string_utf8(env, request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ), &text) != napi_ok ||
      napi_set_named_property(env, result, "fd", value_int32(env, fd)) != napi_ok ||
      napi_set_named_property(env, result, "name", text) != napi_ok ||
      napi_set_named_property(env, result, "offloads", value_uint32(env, accepted)) != napi_ok) {
    close(fd);
    return NULL;
  }
  return result;
}
