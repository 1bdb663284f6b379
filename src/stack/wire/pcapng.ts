/**
 * Writes pcapng blocks (draft-ietf-opsawg-pcapng): pure functions, each returns one whole block. A file is a section
 * header, one interface description for each interface in order of their numbers, then packets, then, if wanted, one
 * statistics block for each interface. Little-endian, times in microseconds.
 */

export const LINKTYPE_ETHERNET = 1
/** Packets begin with an IPv4 or IPv6 header. libpcap 1.10.3 refuses files with two interfaces of this type. */
export const LINKTYPE_RAW = 101
/** Packets begin with an IPv4 header. */
export const LINKTYPE_IPV4 = 228

const BLOCK_SECTION = 0x0a0d0d0a
const BLOCK_INTERFACE = 1
const BLOCK_STATISTICS = 5
const BLOCK_PACKET = 6
const BYTE_ORDER_MAGIC = 0x1a2b3c4d

const OPTION_END = 0
const OPTION_COMMENT = 1
const SECTION_HARDWARE = 2
const SECTION_OS = 3
const SECTION_APPLICATION = 4
const INTERFACE_NAME = 2
const INTERFACE_DESCRIPTION = 3
const INTERFACE_RESOLUTION = 9
const PACKET_FLAGS = 2
const PACKET_DROPS = 4
const STATISTICS_RECEIVED = 4
const STATISTICS_DROPPED = 5

const MICROSECONDS = 6
const FLAG_IN = 1
const FLAG_OUT = 2

interface Option {
  code: number
  value: Uint8Array
}

const pad4 = (length: number): number => (length + 3) & ~3

const text = (code: number, value: string | undefined): Option[] =>
  value === undefined ? [] : [{ code, value: new TextEncoder().encode(value).subarray(0, 0xffff) }]

const uint32 = (code: number, value: number): Option => {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return { code, value: bytes }
}

const uint64 = (code: number, value: number): Option => {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true)
  return { code, value: bytes }
}

/** Puts the frame of a block (type, both lengths, options) around a body that `fill` writes. */
const block = (
  type: number,
  bodyLength: number,
  options: Option[],
  fill: (view: DataView, body: Uint8Array) => void,
): Uint8Array => {
  const body = pad4(bodyLength)
  const tail = options.length === 0 ? 0 : options.reduce((total, { value }) => total + 4 + pad4(value.length), 4)
  const total = 12 + body + tail
  const bytes = new Uint8Array(total)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, type, true)
  view.setUint32(4, total, true)
  view.setUint32(total - 4, total, true)
  fill(new DataView(bytes.buffer, 8, body), bytes.subarray(8, 8 + body))
  let at = 8 + body
  for (const { code, value } of options) {
    view.setUint16(at, code, true)
    view.setUint16(at + 2, value.length, true)
    bytes.set(value, at + 4)
    at += 4 + pad4(value.length)
  }
  if (tail !== 0) view.setUint32(at, OPTION_END, true)
  return bytes
}

/** Microseconds, as two 32-bit halves, the upper one first. */
const setTime = (view: DataView, at: number, microseconds: number): void => {
  view.setUint32(at, Math.floor(microseconds / 2 ** 32), true)
  view.setUint32(at + 4, Math.floor(microseconds) % 2 ** 32, true)
}

export interface SectionHeader {
  hardware?: string
  os?: string
  /** Name and version of the program that writes the file. */
  application?: string
}

export const sectionHeader = ({ hardware, os, application }: SectionHeader): Uint8Array => {
  const options = [...text(SECTION_HARDWARE, hardware), ...text(SECTION_OS, os), ...text(SECTION_APPLICATION, application)]
  return block(BLOCK_SECTION, 16, options, (view) => {
    view.setUint32(0, BYTE_ORDER_MAGIC, true)
    view.setUint16(4, 1, true)
    view.setUint16(6, 0, true)
    view.setBigInt64(8, -1n, true)
  })
}

export interface InterfaceDescription {
  name: string
  description?: string
  /** LINKTYPE_*. */
  linkType: number
  /** Most bytes kept of a packet; 0 means no limit. */
  snapLength: number
}

/**
 * Interfaces are numbered from 0 in the order of these blocks. Give all of a file the same link type and snapshot length:
 * libpcap, and with it tcpdump, reads no others.
 */
export const interfaceDescription = ({ name, description, linkType, snapLength }: InterfaceDescription): Uint8Array => {
  const options = [
    ...text(INTERFACE_NAME, name),
    ...text(INTERFACE_DESCRIPTION, description),
    { code: INTERFACE_RESOLUTION, value: Uint8Array.of(MICROSECONDS) },
  ]
  return block(BLOCK_INTERFACE, 8, options, (view) => {
    view.setUint16(0, linkType, true)
    view.setUint32(4, snapLength, true)
  })
}

export interface EnhancedPacket {
  interfaceId: number
  /** Microseconds since 1970. */
  timestamp: number
  direction?: 'in' | 'out'
  originalLength: number
  /** What was kept of it. */
  bytes: Uint8Array
  /** Packets of this interface that are missing between the one before and this one. */
  dropped?: number
  /** Text for people, as many as there are. */
  comments?: readonly string[]
}

export const enhancedPacket = (packet: EnhancedPacket): Uint8Array => {
  const { interfaceId, timestamp, direction, originalLength, bytes, dropped, comments = [] } = packet
  const options: Option[] = comments.flatMap((comment) => text(OPTION_COMMENT, comment))
  if (direction !== undefined) options.push(uint32(PACKET_FLAGS, direction === 'in' ? FLAG_IN : FLAG_OUT))
  if (dropped !== undefined && dropped > 0) options.push(uint64(PACKET_DROPS, dropped))
  return block(BLOCK_PACKET, 20 + bytes.length, options, (view, body) => {
    view.setUint32(0, interfaceId, true)
    setTime(view, 4, timestamp)
    view.setUint32(12, bytes.length, true)
    view.setUint32(16, originalLength, true)
    body.set(bytes, 20)
  })
}

export interface InterfaceStatistics {
  interfaceId: number
  /** Microseconds since 1970. */
  timestamp: number
  /** Packets seen, the dropped ones included. */
  received: number
  dropped: number
}

export const interfaceStatistics = ({ interfaceId, timestamp, received, dropped }: InterfaceStatistics): Uint8Array =>
  block(BLOCK_STATISTICS, 12, [uint64(STATISTICS_RECEIVED, received), uint64(STATISTICS_DROPPED, dropped)], (view) => {
    view.setUint32(0, interfaceId, true)
    setTime(view, 4, timestamp)
  })
