/** A packet as one line, for the messages of failing tests. */
import { hasPorts } from '../stack/parse.js'
import * as address from '../stack/wire/address.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'
import * as udp from '../stack/wire/udp.js'

const TCP_FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR']

const describeTcp = (view: DataView, at: number, left: number): string => {
  const flags = TCP_FLAGS.filter((_, bit) => (tcp.flags(view, at) >>> bit) & 1).join(' ') || 'no flags'
  const numbers = `seq ${tcp.sequence(view, at) >>> 0} ack ${tcp.acknowledgment(view, at) >>> 0} win ${tcp.window(view, at)}`
  return `TCP ${flags} ${numbers} length ${left - tcp.headerLength(view, at)}`
}

const describeIcmp = (view: DataView, at: number, left: number): string => {
  const type = icmp4.type(view, at)
  const head = `ICMP ${type}/${icmp4.code(view, at)}`
  if (icmp4.isQuery(type)) {
    return `${head} id ${icmp4.identifier(view, at)} seq ${icmp4.sequence(view, at)} length ${left - icmp4.ERROR_HEADER}`
  }
  if (!icmp4.isError(type)) return head
  const tooBig = type === icmp4.UNREACHABLE && icmp4.code(view, at) === icmp4.CODE_FRAGMENTATION_NEEDED
  const mtu = tooBig ? ` mtu ${icmp4.mtu(view, at)}` : ''
  const quote = new Uint8Array(view.buffer, view.byteOffset + at + icmp4.ERROR_HEADER, left - icmp4.ERROR_HEADER)
  return `${head}${mtu} about {${describePacket(quote)}}`
}

/** Addresses and ports, flags, lengths. Anything may be passed: what is cut short is said to be. */
export const describePacket = (bytes: Uint8Array): string => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < ipv4.HEADER_MIN) return `${bytes.length} bytes, no IPv4 header`
  const at = ipv4.headerLength(view, 0)
  const left = bytes.length - at
  const protocol = ipv4.protocol(view, 0)
  const offset = ipv4.fragmentOffset(view, 0)
  const ported = hasPorts(protocol) && offset === 0 && left >= 4
  const source = address.formatIpv4(ipv4.source(view, 0)) + (ported ? `:${udp.sourcePort(view, at)}` : '')
  const destination = address.formatIpv4(ipv4.destination(view, 0)) + (ported ? `:${udp.destinationPort(view, at)}` : '')

  let content = `protocol ${protocol} length ${left}`
  if (ipv4.version(view, 0) !== 4) content = `version ${ipv4.version(view, 0)}`
  else if (offset > 0) content = `protocol ${protocol} fragment`
  else if (protocol === ipv4.PROTOCOL_TCP && left >= tcp.HEADER_MIN) content = describeTcp(view, at, left)
  else if (protocol === ipv4.PROTOCOL_UDP && left >= udp.HEADER) content = `UDP length ${left - udp.HEADER}`
  else if (protocol === ipv4.PROTOCOL_ICMP && left >= icmp4.ERROR_HEADER) content = describeIcmp(view, at, left)

  const df = ipv4.dontFragment(view, 0) ? ' DF' : ''
  const mf = ipv4.moreFragments(view, 0) ? ' MF' : ''
  const place = offset > 0 ? ` offset ${offset}` : ''
  const total = ipv4.totalLength(view, 0) === bytes.length ? '' : ` (${bytes.length} of ${ipv4.totalLength(view, 0)} bytes)`
  const header = `ttl ${ipv4.ttl(view, 0)} id ${ipv4.identification(view, 0)}${df}${mf}${place}`
  return `${source} > ${destination} ${content}, ${header}${total}`
}
