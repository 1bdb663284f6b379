/** The gateway as a host: it answers pings, and says to the LAN that nothing else is there. */
import { type Attachment, ZONE_LAN } from './attachment.js'
import { Drop } from './drop.js'
import { OWN_IDENTIFICATION } from './nat/identification.js'
import type { NextHopQueue } from './next-hop-queue.js'
import type { Reports } from './reports.js'
import { isInvalidSource } from './stack/address-class.js'
import type { Slab } from './stack/batch.js'
import type { Packet } from './stack/parse.js'
import { turnEcho, turnRound } from './stack/reply.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'
import type { Tracing } from './trace/tracing.js'

export class OwnHost {
  readonly #slab: Slab
  readonly #reports: Reports
  readonly #queue: NextHopQueue
  readonly #tracing: Tracing

  constructor(slab: Slab, reports: Reports, queue: NextHopQueue, tracing: Tracing) {
    this.#slab = slab
    this.#reports = reports
    this.#queue = queue
    this.#tracing = tracing
  }

  /** A packet addressed to the gateway itself. Returns 0 or a drop code. */
  receive(packet: Packet, from: Attachment): number {
    if (packet.icmpType !== icmp4.ECHO_REQUEST || isInvalidSource(packet.source)) return this.#refuse(packet, from)
    const link = from.linkTo(packet.source)
    if (link < 0) return Drop['no-route']
    this.#tracing.recorder?.answered(icmp4.ECHO_REPLY, 0)
    const { isDry } = this.#tracing
    if (link !== 0 && !isDry && !from.neighbours!.isReachable(link)) return this.#queue.add(packet, link, ~from.zone, 0, OWN_IDENTIFICATION, from, from)
    turnEcho(this.#slab.view, packet)
    if (this.#reports.rules?.letOut(packet.at, packet.length, from) === false) return Drop['rule']
    if (isDry) return 0
    return from.egress.pushWithin(packet.at, packet.length, from.mtu, link)
  }

  /** A later fragment of a ping whose first one was answered. */
  receiveRest(packet: Packet, from: Attachment): number {
    const link = from.linkTo(packet.source)
    if (link < 0 || (link !== 0 && !from.neighbours!.isReachable(link))) return Drop['next-hop-unresolved']
    turnRound(this.#slab.view, packet)
    return from.egress.pushWithin(packet.at, packet.length, from.mtu, link)
  }

  #refuse(packet: Packet, from: Attachment): number {
    if (from.zone !== ZONE_LAN) return Drop['no-flow']
    // TCP is answered by who has sockets, if somebody has (RFC 1812 5.2.7.1 for the others).
    if (packet.protocol === ipv4.PROTOCOL_UDP) this.#reports.send(packet, from, icmp4.UNREACHABLE, icmp4.CODE_PORT)
    else if (packet.icmpType < 0 && packet.protocol !== ipv4.PROTOCOL_TCP) this.#reports.send(packet, from, icmp4.UNREACHABLE, icmp4.CODE_PROTOCOL)
    return Drop['to-gateway']
  }
}
