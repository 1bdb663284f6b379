/** Tools for tests of and around tsnat, published as `tsnat/testing`. */
export { createCaptureRing, CaptureConsumer, CaptureProducer } from '../stack/device/capture-ring.js'
export type { CaptureRecord } from '../stack/device/capture-ring.js'
export { DelayDevice } from '../stack/device/delay.js'
export type { DelayCounters, DelayOptions } from '../stack/device/delay.js'
export { FAULT_SLOT, FaultDevice } from '../stack/device/fault.js'
export type { FaultCounters, FaultOptions, FaultRates } from '../stack/device/fault.js'
export { MemoryDevice } from '../stack/device/memory.js'
export type { MemoryDeviceOptions, SentPacket, VnetHeader } from '../stack/device/memory.js'
export { PcapDevice } from '../stack/device/pcap.js'
export { Batch, createSlab } from '../stack/batch.js'
export type { Region, Slab } from '../stack/batch.js'
export { NO_OFFLOADS } from '../stack/device/device.js'
export type { Device, DeviceCounters, Offloads } from '../stack/device/device.js'
export { checkPacket } from './check-packet.js'
export type { Unfinished } from './check-packet.js'
export { FakeClock } from './clock.js'
export { MemoryGateway, seededRandom } from './memory-gateway.js'
export type { MemoryGatewayOptions } from './memory-gateway.js'
export { describePacket } from './describe-packet.js'
export * from './lab/index.js'
export { buildFragments, buildIcmp, buildIcmpEcho, buildIcmpError, buildIpv4, buildTcp, buildUdp, mssOption } from './packets.js'
export { StackLink } from './stack-link.js'
export type { LineOptions, StackLinkOptions } from './stack-link.js'
export type {
  AddressLike,
  IcmpEchoOptions,
  IcmpErrorOptions,
  IcmpOptions,
  PacketOptions,
  TcpOptions,
  UdpOptions,
} from './packets.js'
