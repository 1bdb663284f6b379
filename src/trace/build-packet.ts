/** The bytes of a packet that somebody has described, as a host would send it: right lengths and checksums, DF set, zeros inside. */
import * as checksum from '../stack/wire/checksum.js'
import * as gre from '../stack/wire/gre.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as sctp from '../stack/wire/sctp.js'
import * as tcp from '../stack/wire/tcp.js'
import * as udp from '../stack/wire/udp.js'

export interface PacketDescription {
  /** int32 */
  readonly source: number
  readonly destination: number
  readonly protocol: number
  /** Mean nothing to protocols without ports; of an ICMP query, the source port is the identifier. */
  readonly sourcePort: number
  readonly destinationPort: number
  /** FIN 1 … CWR 128 */
  readonly tcpFlags: number
  readonly icmpType: number
  readonly icmpCode: number
  /** Bytes of the datagram; null: as short as can be. */
  readonly length: number | null
  readonly ttl: number
  readonly tos: number
}

/** What a host on Ethernet announces in a SYN. */
const MSS = 1460
const MSS_OPTION = 4
const ESP_HEADER = 8

/** Bytes of the shortest transport header that a packet of this kind can have. */
const transportLength = ({ protocol, tcpFlags }: PacketDescription): number => {
  switch (protocol) {
    case ipv4.PROTOCOL_TCP: return tcp.HEADER_MIN + ((tcpFlags & tcp.SYN) === 0 ? 0 : MSS_OPTION)
    case ipv4.PROTOCOL_UDP:
    case ipv4.PROTOCOL_UDPLITE: return udp.HEADER
    case ipv4.PROTOCOL_ICMP: return icmp4.ERROR_HEADER
    case ipv4.PROTOCOL_SCTP: return sctp.HEADER + sctp.INIT_MIN
    case ipv4.PROTOCOL_GRE: return gre.HEADER_MIN
    case ipv4.PROTOCOL_ESP: return ESP_HEADER
    default: return 0
  }
}

/** Bytes of the shortest packet of this kind. */
export const lengthMin = (packet: PacketDescription): number => ipv4.HEADER_MIN + transportLength(packet)

const writeTcp = (view: DataView, at: number, { tcpFlags }: PacketDescription): void => {
  const isSyn = (tcpFlags & tcp.SYN) !== 0
  tcp.setHeaderLength(view, at, tcp.HEADER_MIN + (isSyn ? MSS_OPTION : 0))
  tcp.setFlags(view, at, tcpFlags)
  tcp.setWindow(view, at, 65535)
  if (!isSyn) return
  view.setUint8(at + tcp.HEADER_MIN, tcp.OPTION_MSS)
  view.setUint8(at + tcp.HEADER_MIN + 1, MSS_OPTION)
  view.setUint16(at + tcp.HEADER_MIN + 2, MSS)
}

const writeIcmp = (view: DataView, at: number, { icmpType, icmpCode, sourcePort }: PacketDescription): void => {
  icmp4.setType(view, at, icmpType)
  icmp4.setCode(view, at, icmpCode)
  if (icmp4.isQuery(icmpType)) icmp4.setIdentifier(view, at, sourcePort)
}

/** The transport header but its checksum. */
const writeTransport = (view: DataView, at: number, packet: PacketDescription, length: number): void => {
  const { protocol, sourcePort, destinationPort } = packet
  switch (protocol) {
    case ipv4.PROTOCOL_TCP:
    case ipv4.PROTOCOL_UDP:
    case ipv4.PROTOCOL_UDPLITE:
    case ipv4.PROTOCOL_SCTP:
      view.setUint16(at, sourcePort)
      view.setUint16(at + 2, destinationPort)
  }
  switch (protocol) {
    case ipv4.PROTOCOL_TCP:
      writeTcp(view, at, packet)
      return
    case ipv4.PROTOCOL_UDP:
    // Where UDP has its length, UDP-Lite has its coverage: all of it.
    case ipv4.PROTOCOL_UDPLITE:
      udp.setLength(view, at, length)
      return
    case ipv4.PROTOCOL_ICMP:
      writeIcmp(view, at, packet)
      return
    case ipv4.PROTOCOL_SCTP:
      view.setUint8(at + sctp.HEADER, sctp.INIT)
      view.setUint16(at + sctp.HEADER + 2, sctp.INIT_MIN)
      return
    case ipv4.PROTOCOL_GRE:
      gre.setProtocol(view, at, 0x0800)
      return
    case ipv4.PROTOCOL_ESP:
      view.setUint32(at, 1)
      view.setUint32(at + 4, 1)
  }
}

const writeChecksum = (view: DataView, bytes: Uint8Array, at: number, { source, destination, protocol }: PacketDescription, length: number): void => {
  const sum = (pseudo: number): number => checksum.sum(bytes, at, length, pseudo)
  switch (protocol) {
    case ipv4.PROTOCOL_TCP:
      tcp.setChecksum(view, at, checksum.finish(sum(checksum.pseudoHeader(source, destination, protocol, length))))
      return
    case ipv4.PROTOCOL_UDP:
    case ipv4.PROTOCOL_UDPLITE:
      udp.setChecksum(view, at, checksum.finishUdp(sum(checksum.pseudoHeader(source, destination, protocol, length))))
      return
    case ipv4.PROTOCOL_ICMP:
      icmp4.setChecksum(view, at, checksum.finish(sum(0)))
      return
    case ipv4.PROTOCOL_SCTP:
      sctp.setChecksum(view, at, sctp.computeChecksum(view, at, length))
  }
}

/** @throws RangeError when `length` is below {@link lengthMin} */
export const buildPacket = (packet: PacketDescription): Uint8Array => {
  const { source, destination, protocol, ttl, tos, length = null } = packet
  const bytes = new Uint8Array(length ?? lengthMin(packet))
  if (bytes.length < lengthMin(packet)) throw new RangeError(`${bytes.length} bytes are fewer than ${lengthMin(packet)}`)
  const view = new DataView(bytes.buffer)
  const at = ipv4.HEADER_MIN
  writeTransport(view, at, packet, bytes.length - at)
  writeChecksum(view, bytes, at, packet, bytes.length - at)
  ipv4.writeHeader(view, 0, tos, bytes.length, 0, ipv4.FLAG_DONT_FRAGMENT, ttl, protocol, source, destination)
  return bytes
}
