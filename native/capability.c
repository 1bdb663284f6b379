/* Capabilities of the calling thread (capabilities(7)). */
#include "util.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

napi_value capabilities(napi_env env, napi_callback_info info) {
  (void)info;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  memset(data, 0, sizeof data);
  if (syscall(SYS_capget, &header, data) != 0) return throw_errno(env, errno, "capget", NULL);
  napi_value result;
  if (napi_create_array_with_length(env, 2, &result) != napi_ok ||
      napi_set_element(env, result, 0, value_uint32(env, data[0].effective)) != napi_ok ||
      napi_set_element(env, result, 1, value_uint32(env, data[1].effective)) != napi_ok) {
    return NULL;
  }
  return result;
}
