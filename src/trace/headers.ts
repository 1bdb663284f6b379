/** The headers of a packet as numbers, for people to look at. Reads only what is there, however broken the packet is. */
import { hasPorts } from '../stack/parse.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'

/** What is null is not in the packet, or cannot be read. Fragments after the first have no transport header. */
export interface PacketHeaders {
  /** int32 */
  readonly source: number
  readonly destination: number
  readonly protocol: number
  /** Bytes, as the header says. */
  readonly length: number
  readonly ttl: number
  readonly tos: number
  readonly identification: number
  readonly dontFragment: boolean
  readonly moreFragments: boolean
  /** Bytes */
  readonly offset: number
  readonly sourcePort: number | null
  readonly destinationPort: number | null
  /** FIN 1 … CWR 128 */
  readonly tcpFlags: number | null
  /** The maximum segment size that a SYN announces. */
  readonly mss: number | null
  readonly icmpType: number | null
  readonly icmpCode: number | null
  /** Identifier of a query. */
  readonly icmpId: number | null
}

const MSS_LENGTH = 4

type Transport = Pick<PacketHeaders, 'sourcePort' | 'destinationPort' | 'tcpFlags' | 'mss' | 'icmpType' | 'icmpCode' | 'icmpId'>
const NO_TRANSPORT: Transport = { sourcePort: null, destinationPort: null, tcpFlags: null, mss: null, icmpType: null, icmpCode: null, icmpId: null }

/** @param left bytes that are there */
const mssOf = (view: DataView, at: number, left: number): number | null => {
  const header = tcp.headerLength(view, at)
  if ((tcp.flags(view, at) & tcp.SYN) === 0 || header < tcp.HEADER_MIN || header > left) return null
  const option = tcp.findOption(view, at, header, tcp.OPTION_MSS)
  return option < 0 || tcp.optionLength(view, option) !== MSS_LENGTH ? null : view.getUint16(option + 2)
}

const readTransport = (view: DataView, at: number, left: number, protocol: number): Transport => {
  if (protocol === ipv4.PROTOCOL_ICMP && left >= icmp4.ERROR_HEADER) {
    const icmpType = icmp4.type(view, at)
    return { ...NO_TRANSPORT, icmpType, icmpCode: icmp4.code(view, at), icmpId: icmp4.isQuery(icmpType) ? icmp4.identifier(view, at) : null }
  }
  if (!hasPorts(protocol) || left < 4) return NO_TRANSPORT
  const ports = { ...NO_TRANSPORT, sourcePort: view.getUint16(at), destinationPort: view.getUint16(at + 2) }
  if (protocol !== ipv4.PROTOCOL_TCP || left < tcp.HEADER_MIN) return ports
  return { ...ports, tcpFlags: tcp.flags(view, at), mss: mssOf(view, at, left) }
}

/** Null when there is not even an IPv4 header. @param received bytes that are there, from `at` on */
export const readHeaders = (view: DataView, at: number, received: number): PacketHeaders | null => {
  if (received < ipv4.HEADER_MIN || ipv4.version(view, at) !== 4) return null
  const protocol = ipv4.protocol(view, at)
  const headerLength = ipv4.headerLength(view, at)
  const length = ipv4.totalLength(view, at)
  const offset = ipv4.fragmentOffset(view, at)
  const left = Math.min(received, length) - headerLength
  const isReadable = offset === 0 && headerLength >= ipv4.HEADER_MIN
  return {
    source: ipv4.source(view, at),
    destination: ipv4.destination(view, at),
    protocol,
    length,
    ttl: ipv4.ttl(view, at),
    tos: ipv4.tos(view, at),
    identification: ipv4.identification(view, at),
    dontFragment: ipv4.dontFragment(view, at),
    moreFragments: ipv4.moreFragments(view, at),
    offset,
    ...(isReadable ? readTransport(view, at + headerLength, left, protocol) : NO_TRANSPORT),
  }
}
