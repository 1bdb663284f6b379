/** Packets whose next hop is not known yet: they are kept as they came, and their senders told when nobody answers. */
import type { Attachment } from './attachment.js'
import type { Clock } from './clock.js'
import { Drop } from './drop.js'
import type { Reports } from './reports.js'
import { FAILED } from './route/neighbours.js'
import type { HeldPackets } from './stack/held.js'
import type { Packet } from './stack/parse.js'
import * as icmp4 from './stack/wire/icmp4.js'
import type { Tracing } from './trace/tracing.js'

export class NextHopQueue {
  /** Where the waiting packets of all links are kept. */
  readonly held: HeldPackets
  readonly #reports: Reports
  readonly #clock: Clock
  readonly #tracing: Tracing

  constructor(held: HeldPackets, reports: Reports, clock: Clock, tracing: Tracing) {
    this.held = held
    this.#reports = reports
    this.#clock = clock
    this.#tracing = tracing
  }

  /**
   * Keeps the packet until its next hop is resolved. Returns 0 or a drop code.
   * @param owner the side it belongs to, and that flow's generation; or ~zone for a packet that belongs to none
   * @param identification the ID that it leaves with
   */
  add(packet: Packet, link: number, owner: number, generation: number, identification: number, from: Attachment, to: Attachment): number {
    if (to.neighbours!.request(link, this.#clock.now) === FAILED) {
      this.#reports.send(packet, from, icmp4.UNREACHABLE, icmp4.CODE_HOST)
      return Drop['next-hop-unresolved']
    }
    if (!to.waiting!.add(link, packet.at, packet.length, owner, generation, identification)) return Drop['next-hop-queue-full']
    this.#tracing.recorder?.held(to.zone, to.neighbours!.addressOf(link))
    return 0
  }
}
