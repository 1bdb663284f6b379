/** tsnat as a library: the gateway, its configuration, and a TUN as a stream. Codecs are under tsnat/wire, test tools under tsnat/testing. */
export type {
  CaptureRequest, CaptureSide, EventRequest, FlowChange, FlowEvent, FlowEventType, FlowFilter, FlowRecord, GatewayControl, GatewayStatus, InterfaceStatus, LostEvents, OffloadStatus, TupleRecord,
} from './api/types.js'
export { configJsonSchema, parseConfig, type Config, type ConfigInput } from './config.js'
export { DROP_NAMES, DROP_TEXTS } from './drop.js'
export { ExitCode, TsnatError } from './errors.js'
export { openControlServer, type ControlServer, type ControlServerOptions } from './api/server.js'
export { createGateway, type GatewayOptions, type RunningGateway } from './gateway.js'
export { Tun, type TunOptions } from './tun.js'
