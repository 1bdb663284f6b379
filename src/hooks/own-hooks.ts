/**
 * The hooks of what the gateway itself sends.
 *
 *     output       OUTPUT       raw ─► mangle                        a socket of the gateway sends; then it may be routed again
 *     outputNat                 nat: where it goes                   then again
 *     outputLeave               filter, then POSTROUTING             before it is sent
 *     loop         INPUT        mangle ─► filter                     it is for another socket here
 *     letOut       OUTPUT       raw ─► mangle ─► nat ─► filter, then POSTROUTING: the gateway answers a packet (an ICMP error, RST, echo reply)
 *
 * A socket's packet begins with `meet`, one of a known flow with `meetKnown` of the other hooks. Each hook returns 0, or the drop code of
 * a packet that must not go on; nobody is told of it here. An answer takes the place of the packet that it answers, which goes no further.
 */
import type { Attachment } from '../attachment.js'
import { Drop } from '../drop.js'
import { ACCEPT, AFTER_TRACKING, ALL_TABLES, PART_FILTER, PART_MANGLE, PART_NAT, PART_RAW, REJECT } from '../policy/engine/index.js'
import { type RejectKind, STATE } from '../policy/model.js'
import type { OwnPacketRules } from '../reports.js'
import type { Slab } from '../stack/batch.js'
import { Packet, parse } from '../stack/parse.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import { describeNoFlow } from './describe.js'
import { INPUT, OUTPUT, type PacketInHand, POSTROUTING } from './packet-in-hand.js'

/** Where REDIRECT sends what the gateway itself sends. */
const LOOPBACK = 0x7f000001

export class OwnHooks implements OwnPacketRules {
  readonly #slab: Slab
  readonly #hand: PacketInHand
  readonly #answer = new Packet()

  constructor(slab: Slab, hand: PacketInHand) {
    this.#slab = slab
    this.#hand = hand
  }

  /** A packet of a socket, of no flow. @param mark the socket's; @param state STATE.NEW or STATE.ESTABLISHED */
  meet(packet: Packet, mark: number, state: number): void {
    this.#hand.begin(packet, -1, mark)
    describeNoFlow(packet, this.#hand.meta, state)
  }

  /** As far as routes may depend on it. @param to where the first look at the routes led; null: to this host */
  output(packet: Packet, to: Attachment | null): number {
    return this.#ask(OUTPUT, PART_RAW | PART_MANGLE, packet, to)
  }

  /** The packet's source was chosen again. */
  sourceChosen(address: number): void {
    const { meta } = this.#hand
    meta.source = meta.originalSource = meta.replyDestination = address
  }

  /** What table nat says is in `destination`. */
  outputNat(packet: Packet, to: Attachment | null): number {
    const stopped = this.#ask(OUTPUT, PART_NAT, packet, to)
    this.#hand.takeDestination(packet, LOOPBACK)
    return stopped
  }

  /** When the way is known. What the packet shall leave as is in `source`. */
  outputLeave(packet: Packet, to: Attachment | null): number {
    const stopped = this.#ask(OUTPUT, PART_FILTER, packet, to)
    if (stopped !== 0) return stopped
    const held = this.#ask(POSTROUTING, AFTER_TRACKING, packet, to)
    this.#hand.takeSource(packet)
    this.#hand.clamp(packet)
    return held
  }

  /** What does not leave, by the ends that it arrives with. PREROUTING is not asked. */
  loop(packet: Packet): number {
    const { meta } = this.#hand
    meta.source = packet.source
    meta.destination = packet.destination
    if (meta.hasPorts && packet.protocol !== ipv4.PROTOCOL_ICMP) {
      meta.sourcePort = packet.ports >>> 16
      meta.destinationPort = packet.ports & 0xffff
    }
    return this.#ask(INPUT, PART_MANGLE | PART_FILTER, packet, null)
  }

  /** How the packet in hand was rejected; it has a meaning after `rule-rejected`. */
  get rejection(): RejectKind {
    return this.#hand.outcome.rejectKind
  }

  /** Whether rules let an answer of the gateway's pass, whose header they may change. */
  letOut(at: number, length: number, to: Attachment): boolean {
    const packet = this.#answer
    const hand = this.#hand
    if (parse(this.#slab.view, at, length, packet) !== 0) return true
    hand.begin(packet, -1, 0, true)
    describeNoFlow(packet, hand.meta, packet.icmpType === icmp4.ECHO_REPLY ? STATE.ESTABLISHED : STATE.RELATED)
    hand.run(OUTPUT, ALL_TABLES, packet, null, to)
    if (hand.outcome.verdict === ACCEPT) hand.run(POSTROUTING, AFTER_TRACKING, packet, null, to)
    if (hand.outcome.verdict !== ACCEPT) return false
    hand.apply(packet)
    return true
  }

  #ask(hook: number, part: number, packet: Packet, to: Attachment | null): number {
    const { verdict } = this.#hand.run(hook, part, packet, null, to)
    this.#hand.apply(packet)
    return verdict === ACCEPT ? 0 : verdict === REJECT ? Drop['rule-rejected'] : Drop['rule']
  }
}
