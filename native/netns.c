/* Network namespaces of the calling thread, and interface names in it. */
#include "util.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>

napi_value netns_set(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int fd;
  if (!args_get(env, info, 1, args) || !arg_fd(env, args[0], &fd)) return NULL;
  return setns(fd, CLONE_NEWNET) == 0 ? NULL : throw_errno(env, errno, "setns", NULL);
}

napi_value netns_unshare(napi_env env, napi_callback_info info) {
  (void)info;
  return unshare(CLONE_NEWNET) == 0 ? NULL : throw_errno(env, errno, "unshare", NULL);
}

napi_value interface_index(napi_env env, napi_callback_info info) {
  napi_value args[1];
  char name[256];
  if (!args_get(env, info, 1, args) || !arg_string(env, args[0], "name", name, sizeof name, NULL)) return NULL;
  unsigned int index = if_nametoindex(name);
  if (index == 0 && errno != ENODEV && errno != ENXIO) return throw_errno(env, errno, "if_nametoindex", name);
  return value_uint32(env, index);
}
