/** SYNs from outside that nobody waits for: held, met by the inside, or answered when their time is over (nat/unsolicited-syns.ts). */
import type { Attachment } from './attachment.js'
import type { Clock } from './clock.js'
import { Drop } from './drop.js'
import { type FlowTable, SIDE_DESTINATION, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './nat/flow-table.js'
import type { UnsolicitedSyns } from './nat/unsolicited-syns.js'
import type { Reports } from './reports.js'
import type { Slab } from './stack/batch.js'
import { NO_BLOCK } from './stack/held.js'
import { Packet, parse } from './stack/parse.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'
import * as tcp from './stack/wire/tcp.js'

export class Knocks {
  readonly #slab: Slab
  readonly #syns: UnsolicitedSyns
  /** By zone. */
  readonly #attachments: readonly Attachment[]
  readonly #reports: Reports
  readonly #clock: Clock
  readonly #packet = new Packet()

  constructor(slab: Slab, syns: UnsolicitedSyns, attachments: readonly Attachment[], reports: Reports, clock: Clock) {
    this.#slab = slab
    this.#syns = syns
    this.#attachments = attachments
    this.#reports = reports
    this.#clock = clock
  }

  /** A packet from outside, that came by the WAN `from` to an outside address, was refused with this drop code. */
  hear(packet: Packet, drop: number, from: Attachment): void {
    const isSyn = (packet.tcpFlags & (tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN)) === tcp.SYN
    if (!isSyn || (drop !== Drop['no-flow'] && drop !== Drop['filtered'])) return
    // So that the way back is known when its time is over. In a flood, which displaces what is held, nobody is asked for.
    if (this.#syns.hold(packet, from.zone, this.#clock.now)) from.canReach(from.linkTo(packet.source), this.#clock.now)
  }

  /** The inside opened a connection: a SYN of the other end that came before is forgotten (simultaneous open). */
  meet(packet: Packet, table: FlowTable, side: number): void {
    if (packet.protocol !== ipv4.PROTOCOL_TCP) return
    const at = (side ^ 1) * SIDE_WORDS
    this.#syns.forget(table.sides[at + SIDE_SOURCE]!, table.sides[at + SIDE_DESTINATION]!, table.sides[at + SIDE_PORTS]!)
  }

  /** Tells those whose SYN nobody wanted. @param flush sends what is queued */
  answerDue(flush: () => void): void {
    const { held } = this.#syns
    for (let block = this.#syns.takeDue(this.#clock.now); block !== NO_BLOCK; block = this.#syns.takeDue(this.#clock.now)) {
      parse(this.#slab.view, held.packetAt(block), held.lengthOf(block), this.#packet)
      this.#reports.send(this.#packet, this.#attachments[held.ownerOf(block)]!, icmp4.UNREACHABLE, icmp4.CODE_PORT)
      flush()
      held.release(block)
    }
  }
}
