/*
 * Copies bytes between buffers. V8 copies what threads share word by word, and byte by byte where source and target are not aligned
 * alike; this is memmove(3). Who may touch which bytes, the threads agree on by other means.
 */
#include "util.h"

#include <string.h>

static int is_inside(int64_t at, int64_t length, size_t size) {
  return at >= 0 && length >= 0 && at <= (int64_t)size && length <= (int64_t)size - at;
}

napi_value copy_bytes(napi_env env, napi_callback_info info) {
  napi_value args[5];
  struct bytes source;
  struct bytes target;
  int64_t from;
  int64_t length;
  int64_t at;
  if (!args_get(env, info, 5, args) || !arg_bytes(env, args[0], "source", &source) || !arg_int64(env, args[1], "from", &from) ||
      !arg_int64(env, args[2], "length", &length) || !arg_bytes(env, args[3], "target", &target) || !arg_int64(env, args[4], "at", &at)) {
    return NULL;
  }
  if (!is_inside(from, length, source.length) || !is_inside(at, length, target.length)) {
    return throw_range(env, "copy: the range must lie inside both buffers");
  }
  memmove(target.data + at, source.data + from, (size_t)length);
  return NULL;
}
