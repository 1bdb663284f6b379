/*
 * The table of calls. The addon keeps no state of its own outside watches, so it may be loaded by any number of threads.
 */
#include "util.h"

static const struct {
  const char *name;
  napi_callback call;
} calls[] = {
    {"tunOpen", tun_open},
    {"packetOpen", packet_open},
    {"packetSetFilter", packet_set_filter},
    {"packetDrops", packet_drops},
    {"packetHardware", packet_hardware},
    {"streamOpen", stream_open},
    {"close", descriptor_close},
    {"openPath", descriptor_open_path},
    {"eventOpen", event_open},
    {"eventSignal", event_signal},
    {"eventClear", event_clear},
    {"unixDatagram", unix_datagram},
    {"socketPair", socket_pair},
    {"readClock", io_read_clock},
    {"poll", io_poll},
    {"readBatch", io_read_batch},
    {"writeBatch", io_write_batch},
    {"copy", copy_bytes},
    {"checksum", checksum},
    {"netlinkOpen", netlink_open},
    {"setNetworkNamespace", netns_set},
    {"unshareNetwork", netns_unshare},
    {"interfaceIndex", interface_index},
    {"controlOpen", control_open},
    {"interfaceGet", interface_get},
    {"interfaceSet", interface_set},
    {"watchOpen", watch_open},
    {"watchRearm", watch_rearm},
    {"watchRef", watch_ref},
    {"watchClose", watch_close},
    {"capabilities", capabilities},
};

NAPI_MODULE_INIT() {
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
    napi_value function;
    if (napi_create_function(env, calls[i].name, NAPI_AUTO_LENGTH, calls[i].call, NULL, &function) != napi_ok ||
        napi_set_named_property(env, exports, calls[i].name, function) != napi_ok) {
      return NULL;
    }
  }
  return exports;
}
