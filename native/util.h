/*
 * Helpers shared by all files: reading arguments, throwing, and the list of calls.
 *
 * Every arg_* function returns false after throwing a TypeError or RangeError that names the argument; the caller then
 * returns NULL at once. None of them allocates.
 */
#ifndef TSNAT_UTIL_H
#define TSNAT_UTIL_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
  uint8_t *data;
  size_t length;
};

struct int32s {
  int32_t *data;
  size_t length;
};

struct float64s {
  double *data;
  size_t length;
};

/* Fills values[0 .. count-1]; missing arguments are undefined, which the arg_* functions then refuse. */
bool args_get(napi_env env, napi_callback_info info, size_t count, napi_value *values);
bool arg_int32(napi_env env, napi_value value, const char *name, int32_t *out);
bool arg_int64(napi_env env, napi_value value, const char *name, int64_t *out);
bool arg_bool(napi_env env, napi_value value, const char *name, bool *out);
/* A descriptor: a non-negative int32. */
bool arg_fd(napi_env env, napi_value value, int *out);
/* Copies a string of at most size - 1 bytes without NUL inside, terminated; *length may be NULL. */
bool arg_string(napi_env env, napi_value value, const char *name, char *buffer, size_t size, size_t *length);
bool arg_bytes(napi_env env, napi_value value, const char *name, struct bytes *out);
bool arg_int32s(napi_env env, napi_value value, const char *name, struct int32s *out);
bool arg_float64s(napi_env env, napi_value value, const char *name, struct float64s *out);

/*
 * Throws an Error with `code` ("EPERM"), `errno` (positive) and `syscall`; message "EPERM: Operation not permitted, open
 * '/dev/net/tun'". `subject` (what the call was about) may be NULL. Returns NULL, so that callers can return it.
 */
napi_value throw_errno(napi_env env, int number, const char *syscall, const char *subject);
napi_value throw_range(napi_env env, const char *message);

napi_value value_int32(napi_env env, int32_t number);
napi_value value_uint32(napi_env env, uint32_t number);

/* The calls, one for each method of NativeAddon in src/native.ts, which describes them. */
napi_value tun_open(napi_env env, napi_callback_info info);
napi_value packet_open(napi_env env, napi_callback_info info);
napi_value packet_set_filter(napi_env env, napi_callback_info info);
napi_value packet_drops(napi_env env, napi_callback_info info);
napi_value packet_hardware(napi_env env, napi_callback_info info);
napi_value stream_open(napi_env env, napi_callback_info info);
napi_value descriptor_close(napi_env env, napi_callback_info info);
napi_value descriptor_open_path(napi_env env, napi_callback_info info);
napi_value event_open(napi_env env, napi_callback_info info);
napi_value event_signal(napi_env env, napi_callback_info info);
napi_value event_clear(napi_env env, napi_callback_info info);
napi_value unix_datagram(napi_env env, napi_callback_info info);
napi_value socket_pair(napi_env env, napi_callback_info info);
napi_value io_read_clock(napi_env env, napi_callback_info info);
napi_value io_poll(napi_env env, napi_callback_info info);
napi_value io_read_batch(napi_env env, napi_callback_info info);
napi_value io_write_batch(napi_env env, napi_callback_info info);
napi_value copy_bytes(napi_env env, napi_callback_info info);
napi_value checksum(napi_env env, napi_callback_info info);
napi_value netlink_open(napi_env env, napi_callback_info info);
napi_value netns_set(napi_env env, napi_callback_info info);
napi_value netns_unshare(napi_env env, napi_callback_info info);
napi_value interface_index(napi_env env, napi_callback_info info);
napi_value control_open(napi_env env, napi_callback_info info);
napi_value interface_get(napi_env env, napi_callback_info info);
napi_value interface_set(napi_env env, napi_callback_info info);
napi_value watch_open(napi_env env, napi_callback_info info);
napi_value watch_rearm(napi_env env, napi_callback_info info);
napi_value watch_ref(napi_env env, napi_callback_info info);
napi_value watch_close(napi_env env, napi_callback_info info);
napi_value capabilities(napi_env env, napi_callback_info info);

#endif
