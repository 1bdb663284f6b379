/**
 * What the kernel hands to a raw socket, judged and described: whether the packet can belong to a flow of tsnat's, and
 * what is left to be done to it.
 *
 * Raw sockets lie behind the kernel's offloads, but are not told of them. A packet may come with an unfinished transport
 * checksum (from a neighbour on the same machine, or after GRO), and TCP as a superpacket. The virtio header says so for
 * the data plane.
 */
import * as checksum from '../stack/wire/checksum.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as sctp from '../stack/wire/sctp.js'
import * as tcp from '../stack/wire/tcp.js'
import * as udp from '../stack/wire/udp.js'
import * as vnet from '../stack/wire/vnet.js'
import { hasPorts } from '../stack/parse.js'
import type { PortSet } from './port-set.js'

/** Where a packet goes. */
export const Admit = {
  pass: 0,
  /** The host's own, or nobody's. */
  other: 1,
  /** Ours, but not to be passed on: the checksum is wrong, or the length. */
  corrupt: 2,
  /** A UDP superpacket: where its datagrams end is not told. */
  udpSuperpacket: 3,
} as const
export type Admit = (typeof Admit)[keyof typeof Admit]

/** No link has less (RFC 791 asks for 576 to be taken): the least that packets are cut to when an MTU is not known. */
const MTU_MIN = 576

/** Ports as a table, made anew when the set is another one. */
class PortTable {
  readonly #member = new Uint8Array(65536)
  #set: PortSet = []

  update(set: PortSet): void {
    if (set === this.#set) return
    this.#set = set
    this.#member.fill(0)
    for (const { first, last } of set) this.#member.fill(1, first, last + 1)
  }

  has(port: number): boolean {
    return this.#member[port] === 1
  }
}

export interface AdmitScope {
  addresses(): readonly number[]
  ports(): PortSet
  /** MTU of the link that packets come from, in bytes. */
  wanMtu(): number
  /** MTU of the link that they go to. TCP is marked to be cut so that it fits both. */
  lanMtu(): number
}

export class Admission {
  readonly #scope: AdmitScope
  readonly #ports = new PortTable()
  readonly #bytes: Uint8Array
  readonly #view: DataView

  /** @param bytes where packets are laid; the virtio header goes into the 10 bytes before them */
  constructor(scope: AdmitScope, bytes: Uint8Array) {
    this.#scope = scope
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Judges the packet at `at`, and writes its virtio header when it may pass. */
  judge(at: number, length: number): Admit {
    const view = this.#view
    if (length < ipv4.HEADER_MIN) return Admit.other
    if (!this.#scope.addresses().includes(ipv4.destination(view, at))) return Admit.other
    const header = ipv4.headerLength(view, at)
    const protocol = ipv4.protocol(view, at)
    const transport = at + header
    vnet.clear(view, at - vnet.LENGTH)
    if (protocol === ipv4.PROTOCOL_ICMP) {
      return length < header + 8 || icmp4.type(view, transport) === icmp4.ECHO_REQUEST ? Admit.other : Admit.pass
    }
    if (!hasPorts(protocol)) return Admit.pass
    const minimum = protocol === ipv4.PROTOCOL_TCP ? tcp.HEADER_MIN : protocol === ipv4.PROTOCOL_SCTP ? sctp.HEADER : udp.HEADER
    if (length < header + minimum) return Admit.other
    this.#ports.update(this.#scope.ports())
    if (!this.#ports.has(view.getUint16(transport + 2))) return Admit.other
    if (length !== ipv4.totalLength(view, at)) return Admit.corrupt
    switch (protocol) {
      case ipv4.PROTOCOL_TCP:
        return this.#tcp(at, header, length)
      case ipv4.PROTOCOL_SCTP:
        return this.#sctp(at, header)
      case ipv4.PROTOCOL_UDPLITE:
        return Admit.pass
      default:
        return this.#udp(at, header, length)
    }
  }

  /** A kernel that leaves the CRC32c to the device leaves its field 0. One that is 0 is computed once more, to the same number. */
  #sctp(at: number, header: number): Admit {
    if (sctp.checksum(this.#view, at + header) === 0) this.#needsChecksum(at, header, sctp.CHECKSUM_OFFSET)
    return Admit.pass
  }

  #tcp(at: number, header: number, length: number): Admit {
    const view = this.#view
    const pseudo = this.#pseudoHeader(at, header, length, ipv4.PROTOCOL_TCP)
    const partial = tcp.checksum(view, at + header) === pseudo
    const most = Math.max(Math.min(this.#scope.wanMtu(), this.#scope.lanMtu()), MTU_MIN)
    if (length <= most) {
      if (partial) this.#needsChecksum(at, header, tcp.CHECKSUM_OFFSET)
      return Admit.pass
    }
    // Longer than a link carries: merged by the kernel, which leaves the checksum unfinished, or by the interface (LRO),
    // which leaves that of the first segment; both have verified all. Or put together from fragments, which nobody has
    // verified; those come without DF.
    if (!partial && !ipv4.dontFragment(view, at)) {
      const sum = checksum.sum(this.#bytes, at + header, length - header, pseudo)
      if (sum !== 0xffff) return Admit.corrupt
    }
    tcp.setChecksum(view, at + header, pseudo)
    this.#needsChecksum(at, header, tcp.CHECKSUM_OFFSET)
    const headers = header + tcp.headerLength(view, at + header)
    const ecn = (tcp.flags(view, at + header) & tcp.CWR) === 0 ? 0 : vnet.GSO_ECN
    vnet.setGsoType(view, at - vnet.LENGTH, vnet.GSO_TCPV4 | ecn)
    vnet.setHeaderLength(view, at - vnet.LENGTH, headers)
    vnet.setGsoSize(view, at - vnet.LENGTH, most - headers)
    return Admit.pass
  }

  #udp(at: number, header: number, length: number): Admit {
    const view = this.#view
    // A checksum that is finished and happens to be this number is computed once more, to the same number.
    if (udp.checksum(view, at + header) !== this.#pseudoHeader(at, header, length, ipv4.PROTOCOL_UDP)) return Admit.pass
    // Fragments are sent with finished checksums: what is longer than a link carries otherwise is a superpacket.
    if (length > this.#scope.wanMtu()) return Admit.udpSuperpacket
    this.#needsChecksum(at, header, udp.CHECKSUM_OFFSET)
    return Admit.pass
  }

  #pseudoHeader(at: number, header: number, length: number, protocol: number): number {
    const view = this.#view
    return checksum.pseudoHeader(ipv4.source(view, at), ipv4.destination(view, at), protocol, length - header)
  }

  #needsChecksum(at: number, start: number, offset: number): void {
    const header = at - vnet.LENGTH
    vnet.setFlags(this.#view, header, vnet.F_NEEDS_CSUM)
    vnet.setChecksumStart(this.#view, header, start)
    vnet.setChecksumOffset(this.#view, header, offset)
  }
}
