/** Whether a packet can travel the way that it would go, and what its sender is told when it cannot. */
import type { Attachment } from './attachment.js'
import { Drop } from './drop.js'
import type { LimitSettings } from './nat/settings.js'
import type { Reports } from './reports.js'
import { routingCode } from './routing.js'
import type { Slab } from './stack/batch.js'
import type { Packet } from './stack/parse.js'
import { wireLength } from './stack/segment.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'
import { STAT_REFUSED } from './stats.js'

export interface PathCheckParts {
  readonly slab: Slab
  readonly reports: Reports
  readonly refusal: LimitSettings['refusal']
  /** stats.ts */
  readonly stats: Float64Array
}

/** No resources is a passing state, hence the soft error by default (RFC 6888 REQ-8; RFC 5508 REQ-8 has the other). */
const REFUSAL_CODES: Readonly<Record<LimitSettings['refusal'], number>> = { 'host-unreachable': icmp4.CODE_HOST, prohibited: icmp4.CODE_ADMIN_PROHIBITED, silent: -1 }

export class PathCheck {
  readonly #slab: Slab
  readonly #reports: Reports
  /** ICMP code for who is refused at a limit, or -1 for none. */
  readonly #refusal: number
  readonly #stats: Float64Array

  constructor({ slab, reports, refusal, stats }: PathCheckParts) {
    this.#slab = slab
    this.#reports = reports
    this.#refusal = REFUSAL_CODES[refusal]
    this.#stats = stats
  }

  /** TTL and MTU of the way out. Returns 0 or a drop code, the sender having been told. @param mtu bytes */
  check(packet: Packet, from: Attachment, mtu: number): number {
    if (packet.ttl <= 1) {
      this.#reports.send(packet, from, icmp4.TIME_EXCEEDED, icmp4.CODE_TTL)
      return Drop['ttl-expired']
    }
    if (!ipv4.dontFragment(this.#slab.view, packet.at) || wireLength(this.#slab.view, packet.at, packet.length) <= mtu) return 0
    this.#reports.send(packet, from, icmp4.UNREACHABLE, icmp4.CODE_FRAGMENTATION_NEEDED, mtu)
    return Drop['too-big']
  }

  /** Tells a sender inside that there is no way to where he wants to, or none for his protocol. */
  tellOfNoWay(packet: Packet, from: Attachment, refused: number): void {
    const code = refused === Drop['no-address'] || refused === Drop['wan-down'] ? icmp4.CODE_NET : routingCode(refused)
    if (code >= 0) this.#reports.send(packet, from, icmp4.UNREACHABLE, code)
    if (refused === Drop['protocol-refused']) {
      // No setting of tsnat's lets AH pass; that others do not is as if nobody there knew them.
      this.#reports.send(packet, from, icmp4.UNREACHABLE, packet.protocol === ipv4.PROTOCOL_AH ? icmp4.CODE_ADMIN_PROHIBITED : icmp4.CODE_PROTOCOL)
    }
  }

  /** A packet opens no flow, as a limit is reached. */
  tellOfLimit(packet: Packet, from: Attachment): void {
    this.#stats[STAT_REFUSED]!++
    if (this.#refusal >= 0) this.#reports.send(packet, from, icmp4.UNREACHABLE, this.#refusal)
  }
}
