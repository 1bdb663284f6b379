/*
 * The Internet checksum in bulk (RFC 1071). The one's-complement sum does not depend on byte order (RFC 1071 section 2(B)):
 * words are added as the machine loads them, and only the folded result is swapped.
 */
#include "util.h"

#include <string.h>

typedef uint64_t lanes __attribute__((vector_size(16)));

static uint32_t fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint32_t)sum;
}

/* Folded sum of words in the machine's byte order. The lanes hold sums of 32-bit words, so they cannot overflow. */
static uint32_t sum_words(const uint8_t *data, size_t length) {
  const lanes low = {0xffffffff, 0xffffffff};
  lanes even = {0, 0};
  lanes odd = {0, 0};
  for (; length >= 2 * sizeof(lanes); data += 2 * sizeof(lanes), length -= 2 * sizeof(lanes)) {
    lanes first;
    lanes second;
    memcpy(&first, data, sizeof first);
    memcpy(&second, data + sizeof first, sizeof second);
    even += (first & low) + (second & low);
    odd += (first >> 32) + (second >> 32);
  }
  uint64_t sum = (uint64_t)fold(even[0]) + fold(even[1]) + fold(odd[0]) + fold(odd[1]);
  for (; length >= 4; data += 4, length -= 4) {
    uint32_t word;
    memcpy(&word, data, sizeof word);
    sum += word;
  }
  if (length > 0) {
    uint8_t tail[4] = {0, 0, 0, 0};
    uint32_t word;
    memcpy(tail, data, length);
    memcpy(&word, tail, sizeof word);
    sum += word;
  }
  return fold(sum);
}

napi_value checksum(napi_env env, napi_callback_info info) {
  napi_value args[4];
  struct bytes slab;
  int64_t start;
  int64_t length;
  int64_t initial;
  if (!args_get(env, info, 4, args) || !arg_bytes(env, args[0], "slab", &slab) || !arg_int64(env, args[1], "start", &start) ||
      !arg_int64(env, args[2], "length", &length) || !arg_int64(env, args[3], "initial", &initial)) {
    return NULL;
  }
  if (start < 0 || length < 0 || start > (int64_t)slab.length || length > (int64_t)slab.length - start) {
    return throw_range(env, "checksum: the range must lie inside the slab");
  }
  uint32_t sum = sum_words(slab.data + start, (size_t)length);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  sum = __builtin_bswap16((uint16_t)sum);
#endif
  return value_uint32(env, fold((uint64_t)sum + (uint32_t)initial));
}
