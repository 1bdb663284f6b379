/** What may leave the gateway, whatever came in. Shares no code with it. */
import type { Offloads } from '../../src/stack/device/device.js'
import type { SentPacket } from '../../src/stack/device/memory.js'
import { E, headerOf, u16 } from '../stack/support.js'

const NEEDS_CSUM = 1
const TCPV4 = 1
const UDP_L4 = 5
const ECN = 0x80
const ICMP_ERRORS = [3, 4, 5, 11, 12]

const sumsToFull = (bytes: Uint8Array): boolean => {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += bytes[at]! * 256 + (bytes[at + 1] ?? 0)
  return sum > 0 && sum % 0xffff === 0
}

/** Whether a kernel would take the virtio header for this packet, and the wire the packet. */
const checkOffload = ({ bytes, vnet }: SentPacket, offloads: Offloads, mtu: number): string[] => {
  const problems: string[] = []
  const header = headerOf(bytes)
  const protocol = bytes[9]
  const partial = (vnet.flags & NEEDS_CSUM) !== 0
  if ((vnet.flags & ~3) !== 0) problems.push(`flags ${vnet.flags}`)
  if (partial) {
    if (!offloads.checksum) problems.push('unfinished checksum to a device that does not finish it')
    if (vnet.checksumStart < header || vnet.checksumStart + vnet.checksumOffset + 2 > bytes.length) problems.push('checksum outside the packet')
    if ((u16(bytes, 6) & 0x3fff) !== 0) problems.push('unfinished checksum in a fragment')
    if (vnet.checksumStart === header && vnet.checksumOffset !== (protocol === 6 ? 16 : protocol === 17 ? 6 : -1)) problems.push('checksum in the wrong place')
  }
  if (vnet.gsoType === 0) {
    if (bytes.length > mtu) problems.push(`${bytes.length} bytes at an MTU of ${mtu}`)
    return problems
  }
  const type = vnet.gsoType & ~ECN
  const isTcp = protocol === 6 && type === TCPV4
  if (!isTcp && !(protocol === 17 && vnet.gsoType === UDP_L4)) return [...problems, `type ${vnet.gsoType} on protocol ${protocol}`]
  if (!partial || vnet.checksumStart !== header) problems.push('superpacket without unfinished checksum')
  if (isTcp ? !offloads.tcp : !offloads.udp) problems.push('superpacket to a device that does not cut it')
  if (vnet.gsoSize === 0) problems.push('superpacket with segments of 0 bytes')
  if (vnet.headerLength > bytes.length) problems.push(`headers of ${vnet.headerLength} bytes in ${bytes.length}`)
  const headers = header + (isTcp ? (bytes[header + 12]! >> 4) * 4 : 8)
  if (Math.min(bytes.length, headers + vnet.gsoSize) > mtu) problems.push(`segments of ${headers + vnet.gsoSize} bytes at an MTU of ${mtu}`)
  return problems
}

const checkHeader = (bytes: Uint8Array): string[] => {
  const problems: string[] = []
  if (bytes.length < 20 || bytes[0]! >> 4 !== 4 || headerOf(bytes) < 20 || headerOf(bytes) > bytes.length) return ['no IPv4 header']
  if (u16(bytes, 2) !== bytes.length) problems.push(`total length ${u16(bytes, 2)} of ${bytes.length}`)
  if (!sumsToFull(bytes.subarray(0, headerOf(bytes)))) problems.push('header checksum')
  if (bytes[8] === 0) problems.push('TTL 0')
  return problems
}

/** An ICMP error is always made or remade here, so that all of it must be right. */
const checkIcmpError = (bytes: Uint8Array, outside: boolean): string[] => {
  const message = bytes.subarray(headerOf(bytes))
  if (bytes[9] !== 1 || (u16(bytes, 6) & 0x3fff) !== 0 || !ICMP_ERRORS.includes(message[0]!)) return []
  const problems = sumsToFull(message) ? [] : ['ICMP checksum']
  const quote = message.subarray(8)
  if (outside && quote.subarray(16, 20).join('.') !== E) problems.push(`quotes a packet to ${quote.subarray(16, 20).join('.')} on the outside`)
  return problems
}

/** Everything wrong with what was sent; empty when all is right. */
export const judge = (sent: readonly SentPacket[], outside: boolean, offloads: Offloads, mtu: number): string[] =>
  sent.flatMap((packet) => {
    const { bytes } = packet
    const header = checkHeader(bytes)
    const problems = header.includes('no IPv4 header') ? header : [...header, ...checkOffload(packet, offloads, mtu), ...checkIcmpError(bytes, outside)]
    if (outside && bytes.subarray(12, 16).join('.') !== E) problems.push(`source ${bytes.subarray(12, 16).join('.')} on the outside`)
    return problems.map((text) => `${outside ? 'WAN' : 'LAN'}: ${text}: ${Buffer.from(bytes.subarray(0, 80)).toString('hex')} ${JSON.stringify(packet.vnet)}`)
  })
