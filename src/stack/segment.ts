/**
 * Software for what the egress does not offload: completing transport checksums, cutting superpackets into segments, and
 * cutting datagrams into fragments.
 */
import type { Batch, Slab } from './batch.js'
import type { Scratch } from './scratch.js'
import { keepCopiedOptions } from './ip-options.js'
import * as checksum from './wire/checksum.js'
import * as ipv4 from './wire/ipv4.js'
import * as tcp from './wire/tcp.js'
import * as udp from './wire/udp.js'
import * as vnet from './wire/vnet.js'

/** GSO type without the ECN bit. */
export const segmentType = (view: DataView, at: number): number => vnet.gsoType(view, at - vnet.LENGTH) & ~vnet.GSO_ECN

/** Bytes of headers that every segment of the superpacket at `at` carries. */
const segmentHeaders = (view: DataView, at: number, type: number): number => {
  const headerLength = ipv4.headerLength(view, at)
  return headerLength + (type === vnet.GSO_TCPV4 ? tcp.headerLength(view, at + headerLength) : udp.HEADER)
}

/** The longest datagram that the packet at `at` will be on the wire. */
export const wireLength = (view: DataView, at: number, length: number): number => {
  const type = segmentType(view, at)
  if (type !== vnet.GSO_TCPV4 && type !== vnet.GSO_UDP_L4) return length
  return Math.min(length, segmentHeaders(view, at, type) + vnet.gsoSize(view, at - vnet.LENGTH))
}

/** How many datagrams the packet at `at` will be on the wire, before any of them is fragmented. They have consecutive IDs. */
export const wireCount = (view: DataView, at: number, length: number): number => {
  const type = segmentType(view, at)
  if (type !== vnet.GSO_TCPV4 && type !== vnet.GSO_UDP_L4) return 1
  return Math.max(1, Math.ceil((length - segmentHeaders(view, at, type)) / vnet.gsoSize(view, at - vnet.LENGTH)))
}

/** Completes the transport checksum where the virtio header says that it is partial. */
export const completeChecksum = (slab: Slab, at: number, length: number): void => {
  const { view, bytes } = slab
  const header = at - vnet.LENGTH
  if ((vnet.flags(view, header) & vnet.F_NEEDS_CSUM) === 0) return
  const start = vnet.checksumStart(view, header)
  const field = start + vnet.checksumOffset(view, header)
  vnet.clear(view, header)
  // The two numbers come from the other side of a device; one that points outside the packet is not followed.
  if (start >= length || field + 2 > length) return
  const sum = checksum.sum(bytes, at + start, length - start, 0)
  const isUdp = ipv4.protocol(view, at) === ipv4.PROTOCOL_UDP
  view.setUint16(at + field, isUdp ? checksum.finishUdp(sum) : checksum.finish(sum))
}

/**
 * Cuts the superpacket at `at` into segments in the scratch region, each with all its checksums, and appends them to `out`
 * until that is full. `parse` must have accepted the packet.
 * @param from 0, or what the call before returned
 * @returns how far it came, in bytes of the datagram: `length` when all is cut; -1 when the scratch region has no more room
 */
export const segment = (slab: Slab, at: number, length: number, from: number, scratch: Scratch, out: Batch, link: number): number => {
  const { view, bytes } = slab
  const type = segmentType(view, at)
  const size = vnet.gsoSize(view, at - vnet.LENGTH)
  const headers = segmentHeaders(view, at, type)
  const headerLength = ipv4.headerLength(view, at)
  let offset = Math.max(from, headers)
  do {
    if (out.full) return offset
    const payload = Math.min(size, length - offset)
    const to = scratch.take(headers + payload)
    if (to < 0) return -1
    bytes.copyWithin(to, at, at + headers)
    bytes.copyWithin(to + headers, at + offset, at + offset + payload)
    vnet.clear(view, to - vnet.LENGTH)
    ipv4.setTotalLength(view, to, headers + payload)
    ipv4.setIdentification(view, to, (ipv4.identification(view, at) + (offset - headers) / size) & 0xffff)
    ipv4.writeChecksum(view, to)
    const transport = to + headerLength
    const transportLength = headers - headerLength + payload
    if (type === vnet.GSO_TCPV4) finishTcp(slab, transport, transportLength, to, offset - headers, offset + payload === length)
    else finishUdp(slab, transport, transportLength, to)
    out.push(to, headers + payload, link)
    offset += payload
  } while (offset < length)
  return offset
}

const transportSum = (slab: Slab, at: number, transport: number, length: number, protocol: number): number =>
  checksum.sum(slab.bytes, transport, length, checksum.pseudoHeader(ipv4.source(slab.view, at), ipv4.destination(slab.view, at), protocol, length))

/** Sequence number, flags (FIN and PSH on the last, CWR on the first) and checksum of one segment. */
const finishTcp = (slab: Slab, transport: number, length: number, at: number, offset: number, isLast: boolean): void => {
  const { view } = slab
  tcp.setSequence(view, transport, (tcp.sequence(view, transport) + offset) | 0)
  let flags = tcp.flags(view, transport)
  if (!isLast) flags &= ~(tcp.FIN | tcp.PSH)
  if (offset > 0) flags &= ~tcp.CWR
  tcp.setFlags(view, transport, flags)
  tcp.setChecksum(view, transport, 0)
  tcp.setChecksum(view, transport, checksum.finish(transportSum(slab, at, transport, length, ipv4.PROTOCOL_TCP)))
}

const finishUdp = (slab: Slab, transport: number, length: number, at: number): void => {
  const { view } = slab
  udp.setLength(view, transport, length)
  udp.setChecksum(view, transport, 0)
  udp.setChecksum(view, transport, checksum.finishUdp(transportSum(slab, at, transport, length, ipv4.PROTOCOL_UDP)))
}

/**
 * Cuts the datagram at `at` into fragments of at most `mtu` bytes in the scratch region (RFC 791 3.2). A datagram that is a
 * fragment itself is cut further, its offset and MF kept. Options are repeated only where their copy bit says so.
 * @returns false when there was no room; nothing has been appended then
 */
export const fragment = (slab: Slab, at: number, length: number, mtu: number, scratch: Scratch, out: Batch, link: number): boolean => {
  const { view, bytes } = slab
  completeChecksum(slab, at, length)
  const headerLength = ipv4.headerLength(view, at)
  const field = ipv4.flagsAndOffset(view, at)
  const firstOffset = (field & ipv4.OFFSET_MASK) << 3
  const first = out.count
  let offset = 0
  const payload = length - headerLength
  while (offset < payload) {
    const to = scratch.take(mtu)
    if (to < 0 || out.full) {
      out.count = first
      return false
    }
    let header = headerLength
    bytes.copyWithin(to, at, at + headerLength)
    if (offset > 0) header = keepCopiedOptions(view, to, headerLength)
    const rest = payload - offset
    const piece = header + rest <= mtu ? rest : (mtu - header) & ~7
    const more = offset + piece < payload ? ipv4.FLAG_MORE_FRAGMENTS : field & ipv4.FLAG_MORE_FRAGMENTS
    bytes.copyWithin(to + header, at + headerLength + offset, at + headerLength + offset + piece)
    vnet.clear(view, to - vnet.LENGTH)
    ipv4.setTotalLength(view, to, header + piece)
    ipv4.setFlagsAndOffset(view, to, (field & ipv4.FLAG_RESERVED) | more | ((firstOffset + offset) >>> 3))
    ipv4.writeChecksum(view, to)
    out.push(to, header + piece, link)
    offset += piece
  }
  return true
}
