/** What tests of the packet path share: packets in a slab, packets as a kernel with offloads hands them over. */
import { createSlab, HEADROOM, type Slab } from '../../src/stack/batch.js'
import type { VnetHeader } from '../../src/stack/device/memory.js'
import { Packet, parse } from '../../src/stack/parse.js'
import { parseIpv4 } from '../../src/stack/wire/address.js'
import * as vnet from '../../src/stack/wire/vnet.js'

export const A = '10.0.0.2'
export const B = '10.0.0.3'
/** The gateway's address on the LAN. */
export const G = '10.0.0.1'
export const E = '203.0.113.1'
export const P = '198.51.100.10'
export const Q = '198.51.100.20'

export const ip = (text: string): number => {
  const parsed = parseIpv4(text)
  if (parsed === null) throw new Error(`${text} is no address`)
  return parsed
}

export const u16 = (bytes: Uint8Array, at: number): number => bytes[at]! * 256 + bytes[at + 1]!
export const u32 = (bytes: Uint8Array, at: number): number => u16(bytes, at) * 65536 + u16(bytes, at + 2)
const text = (bytes: Uint8Array, at: number): string => bytes.subarray(at, at + 4).join('.')
export const sourceOf = (bytes: Uint8Array): string => text(bytes, 12)
export const destinationOf = (bytes: Uint8Array): string => text(bytes, 16)
export const headerOf = (bytes: Uint8Array): number => (bytes[0]! & 15) * 4
/** `address:port` of either end of a TCP or UDP packet. */
export const from = (bytes: Uint8Array): string => `${sourceOf(bytes)}:${u16(bytes, headerOf(bytes))}`
export const to = (bytes: Uint8Array): string => `${destinationOf(bytes)}:${u16(bytes, headerOf(bytes) + 2)}`
/** Type and code of an ICMP message. */
export const icmp = (bytes: Uint8Array): string => `${bytes[headerOf(bytes)]}/${bytes[headerOf(bytes) + 1]}`

export const bytesOf = (length: number, seed = 1): Uint8Array => Uint8Array.from({ length }, (_, index) => (index * 31 + seed * 17 + (index >> 8)) & 0xff)

/** A virtio header with nothing to do. */
export const NOTHING: VnetHeader = { flags: 0, gsoType: 0, headerLength: 0, gsoSize: 0, checksumStart: 0, checksumOffset: 0 }

/** The sum that an unfinished checksum field holds, computed without the code under test. */
const pseudoSum = (bytes: Uint8Array, length: number): number => {
  let sum = bytes[9]! + length
  for (let at = 12; at < 20; at += 2) sum += u16(bytes, at)
  while (sum > 0xffff) sum = (sum % 65536) + Math.floor(sum / 65536)
  return sum
}

/** A TCP or UDP packet as a kernel sends it that leaves the checksum to the device. */
export const unfinish = (packet: Uint8Array): { bytes: Uint8Array; vnet: VnetHeader } => {
  const bytes = packet.slice()
  const header = headerOf(bytes)
  const checksumOffset = bytes[9] === 6 ? 16 : 6
  const sum = pseudoSum(bytes, bytes.length - header)
  bytes[header + checksumOffset] = sum >> 8
  bytes[header + checksumOffset + 1] = sum & 0xff
  return { bytes, vnet: { ...NOTHING, flags: vnet.F_NEEDS_CSUM, checksumStart: header, checksumOffset } }
}

/** A superpacket, its transport payload to be cut into pieces of `gsoSize`. */
export const superpacket = (packet: Uint8Array, gsoSize: number): { bytes: Uint8Array; vnet: VnetHeader } => {
  const made = unfinish(packet)
  const header = headerOf(packet)
  const isTcp = packet[9] === 6
  const transport = isTcp ? (packet[header + 12]! >> 4) * 4 : 8
  return {
    bytes: made.bytes,
    vnet: { ...made.vnet, gsoType: isTcp ? vnet.GSO_TCPV4 : vnet.GSO_UDP_L4, gsoSize, headerLength: header + transport },
  }
}

/** Where `inSlab` puts a packet. */
export const AT = 1024

export const writeVnet = (view: DataView, at: number, header: Partial<VnetHeader>): void => {
  const full = { ...NOTHING, ...header }
  vnet.setFlags(view, at, full.flags)
  vnet.setGsoType(view, at, full.gsoType)
  vnet.setHeaderLength(view, at, full.headerLength)
  vnet.setGsoSize(view, at, full.gsoSize)
  vnet.setChecksumStart(view, at, full.checksumStart)
  vnet.setChecksumOffset(view, at, full.checksumOffset)
}

/** A slab of `size` bytes full of 0xa5, with the packet at AT. */
export const inSlab = (bytes: Uint8Array, header: Partial<VnetHeader> = {}, size = 256 << 10): Slab => {
  const slab = createSlab(size)
  slab.bytes.fill(0xa5)
  slab.bytes.fill(0, AT - HEADROOM, AT)
  slab.bytes.set(bytes, AT)
  writeVnet(slab.view, AT - vnet.LENGTH, header)
  return slab
}

/** The packet in a slab and parsed; throws when the parser refuses it. */
export const parsed = (bytes: Uint8Array, header: Partial<VnetHeader> = {}): { slab: Slab; packet: Packet } => {
  const slab = inSlab(bytes, header)
  const packet = new Packet()
  const drop = parse(slab.view, AT, bytes.length, packet)
  if (drop !== 0) throw new Error(`parse returned ${drop}`)
  return { slab, packet }
}

/** The packet as it now stands in the slab. */
export const taken = (slab: Slab, length: number): Uint8Array => slab.bytes.slice(AT, AT + length)

/** Whether bytes are the same; matchers of vitest are slow on large arrays. */
export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** The bytes of the one packet that was sent. */
export const only = (sent: readonly { bytes: Uint8Array }[]): Uint8Array => {
  if (sent.length !== 1) throw new Error(`${sent.length} packets instead of one`)
  return sent[0]!.bytes
}
