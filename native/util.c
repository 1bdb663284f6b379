#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool throw_type(napi_env env, const char *name, const char *expected) {
  char message[128];
  snprintf(message, sizeof message, "argument \"%s\" must be %s", name, expected);
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return false;
}

napi_value throw_range(napi_env env, const char *message) {
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message);
  return NULL;
}

bool args_get(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  return napi_get_cb_info(env, info, &count, values, NULL, NULL) == napi_ok;
}

bool arg_int64(napi_env env, napi_value value, const char *name, int64_t *out) {
  return napi_get_value_int64(env, value, out) == napi_ok || throw_type(env, name, "a number");
}

bool arg_int32(napi_env env, napi_value value, const char *name, int32_t *out) {
  int64_t wide;
  if (!arg_int64(env, value, name, &wide)) return false;
  if (wide < INT32_MIN || wide > INT32_MAX) {
    char message[128];
    snprintf(message, sizeof message, "argument \"%s\" must fit 32 bits, not %lld", name, (long long)wide);
    throw_range(env, message);
    return false;
  }
  *out = (int32_t)wide;
  return true;
}

bool arg_bool(napi_env env, napi_value value, const char *name, bool *out) {
  return napi_get_value_bool(env, value, out) == napi_ok || throw_type(env, name, "a boolean");
}

bool arg_fd(napi_env env, napi_value value, int *out) {
  int32_t fd;
  if (!arg_int32(env, value, "fd", &fd)) return false;
  if (fd < 0) {
    throw_range(env, "argument \"fd\" must not be negative");
    return false;
  }
  *out = fd;
  return true;
}

bool arg_string(napi_env env, napi_value value, const char *name, char *buffer, size_t size, size_t *length) {
  size_t needed;
  size_t copied;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &needed) != napi_ok) return throw_type(env, name, "a string");
  if (needed >= size) {
    char message[128];
    snprintf(message, sizeof message, "argument \"%s\" must have at most %zu bytes, not %zu", name, size - 1, needed);
    throw_range(env, message);
    return false;
  }
  if (napi_get_value_string_utf8(env, value, buffer, size, &copied) != napi_ok) return throw_type(env, name, "a string");
  if (strlen(buffer) != copied) return throw_type(env, name, "a string without NUL characters");
  if (length != NULL) *length = copied;
  return true;
}

bool arg_bytes(napi_env env, napi_value value, const char *name, struct bytes *out) {
  napi_typedarray_type type;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, &out->length, &data, NULL, NULL) != napi_ok || type != napi_uint8_array) {
    return throw_type(env, name, "a Uint8Array");
  }
  out->data = data;
  return true;
}

bool arg_int32s(napi_env env, napi_value value, const char *name, struct int32s *out) {
  napi_typedarray_type type;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, &out->length, &data, NULL, NULL) != napi_ok || type != napi_int32_array) {
    return throw_type(env, name, "an Int32Array");
  }
  out->data = data;
  return true;
}

bool arg_float64s(napi_env env, napi_value value, const char *name, struct float64s *out) {
  napi_typedarray_type type;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, &out->length, &data, NULL, NULL) != napi_ok || type != napi_float64_array) {
    return throw_type(env, name, "a Float64Array");
  }
  out->data = data;
  return true;
}

napi_value value_int32(napi_env env, int32_t number) {
  napi_value value;
  return napi_create_int32(env, number, &value) == napi_ok ? value : NULL;
}

napi_value value_uint32(napi_env env, uint32_t number) {
  napi_value value;
  return napi_create_uint32(env, number, &value) == napi_ok ? value : NULL;
}

/* Symbolic names of the errors that the calls of this addon can give; strerrorname_np(3) exists in glibc only. */
static const char *errno_name(int number) {
#define NAME(symbol) \
  case symbol:       \
    return #symbol;
  switch (number) {
    NAME(EPERM) NAME(ENOENT) NAME(EINTR) NAME(EIO) NAME(ENXIO) NAME(E2BIG) NAME(EBADF) NAME(EAGAIN) NAME(ENOMEM)
    NAME(EACCES) NAME(EFAULT) NAME(EBUSY) NAME(EEXIST) NAME(ENODEV) NAME(ENOTDIR) NAME(EISDIR) NAME(EINVAL)
    NAME(ENFILE) NAME(EMFILE) NAME(ENOTTY) NAME(EFBIG) NAME(ENOSPC) NAME(EROFS) NAME(EPIPE) NAME(ENAMETOOLONG)
    NAME(ENOSYS) NAME(ELOOP) NAME(EOVERFLOW) NAME(EBADFD) NAME(EUSERS) NAME(ENOTSOCK) NAME(EDESTADDRREQ)
    NAME(EMSGSIZE) NAME(EPROTOTYPE) NAME(ENOPROTOOPT) NAME(EPROTONOSUPPORT) NAME(ESOCKTNOSUPPORT) NAME(EOPNOTSUPP)
    NAME(EAFNOSUPPORT) NAME(EADDRINUSE) NAME(EADDRNOTAVAIL) NAME(ENETDOWN) NAME(ENETUNREACH) NAME(ECONNABORTED)
    NAME(ECONNRESET) NAME(ENOBUFS) NAME(EISCONN) NAME(ENOTCONN) NAME(ETIMEDOUT) NAME(ECONNREFUSED) NAME(EHOSTDOWN)
    NAME(EHOSTUNREACH) NAME(EALREADY) NAME(EINPROGRESS) NAME(ESTALE) NAME(EDQUOT)
  }
#undef NAME
  return "EUNKNOWN";
}

static bool set_string(napi_env env, napi_value object, const char *key, const char *text) {
  napi_value value;
  return napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value) == napi_ok &&
         napi_set_named_property(env, object, key, value) == napi_ok;
}

napi_value throw_errno(napi_env env, int number, const char *syscall, const char *subject) {
  char message[512];
  const char *name = errno_name(number);
  const char *reason = strerror(number);
  if (subject != NULL) {
    snprintf(message, sizeof message, "%s: %s, %s '%s'", name, reason, syscall, subject);
  } else {
    snprintf(message, sizeof message, "%s: %s, %s", name, reason, syscall);
  }
  napi_value code;
  napi_value text_value;
  napi_value error;
  if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code) == napi_ok &&
      napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text_value) == napi_ok &&
      napi_create_error(env, code, text_value, &error) == napi_ok &&
      napi_set_named_property(env, error, "errno", value_int32(env, number)) == napi_ok &&
      set_string(env, error, "syscall", syscall)) {
    napi_throw(env, error);
  }
  return NULL;
}
