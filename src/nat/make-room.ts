/**
 * Room when everything is in use. A flood of packets with forged sources would otherwise keep every other host from opening
 * a flow until its own have timed out, minutes later.
 *
 * What gives way is the oldest flow that is not assured, of an inside address that was never proven (sources.ts). It gives
 * way only to an address that is proven, or has no flow yet, and only while there are hundreds of unproven ones; nothing that
 * is established is touched. Short of such a flood a full table refuses (RFC 6888 REQ-8). The kernel's early drop is alike,
 * but for whom and when.
 */
import { EVENT_ASSURED, type FlowTable, FLOW_SEEN, FLOW_WORDS, SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_WORDS } from './flow-table.js'
import type { Sources } from './sources.js'
import { CLASS_GENERIC, CLASS_GRE, CLASS_ICMP, CLASS_SCTP, CLASS_TCP_SYN_RECV, CLASS_TCP_SYN_SENT, CLASS_TCP_UNACKNOWLEDGED, CLASS_UDP } from './timeouts.js'

/** Classes of flows that may not be assured. */
const CLASSES = [CLASS_UDP, CLASS_ICMP, CLASS_TCP_SYN_SENT, CLASS_TCP_SYN_RECV, CLASS_TCP_UNACKNOWLEDGED, CLASS_SCTP, CLASS_GRE, CLASS_GENERIC] as const
/** Flows looked at in each class at most. */
const LOOKS = 32
const NONE = -1

export class RoomMaker {
  readonly #table: FlowTable
  readonly #sources: Sources
  /** Flows that gave way. */
  count = 0

  constructor(table: FlowTable, sources: Sources) {
    this.#table = table
    this.#sources = sources
  }

  /** Ends a flow, of whatever kind, for a new one of `source`. Returns whether there was one. */
  makeFlow(source: number): boolean {
    return this.#make(source, 0, 0) !== NONE
  }

  /** Ends a flow of this protocol with this outside address for a new one of `source`. Returns the outside port that it had, or -1. */
  makePort(source: number, protocol: number, external: number): number {
    return this.#make(source, protocol, external)
  }

  /** @param protocol 0 for any, with any outside address; @returns the outside port of the flow that ended, or -1 */
  #make(source: number, protocol: number, external: number): number {
    if (!this.#sources.isFlooded || !this.#sources.isPreferred(source)) return NONE
    const table = this.#table
    let victim = NONE
    for (const timeoutClass of CLASSES) {
      const candidate = this.#oldestOf(timeoutClass, protocol, external)
      if (candidate !== NONE && (victim === NONE || this.#seen(candidate) < this.#seen(victim))) victim = candidate
    }
    if (victim === NONE) return NONE
    const port = table.sides[(victim * 2 + 1) * SIDE_WORDS + SIDE_PORTS]! & 0xffff
    table.close(victim)
    this.count++
    return port
  }

  #oldestOf(timeoutClass: number, protocol: number, external: number): number {
    const table = this.#table
    let flow = table.oldest(timeoutClass)
    for (let look = 0; look < LOOKS && flow !== NONE; look++, flow = table.younger(flow)) {
      const at = (flow * 2 + 1) * SIDE_WORDS
      const isWanted = protocol === 0 || ((table.sides[at + SIDE_META]! & 0xff) === protocol && table.sides[at + SIDE_DESTINATION] === external)
      const isAssured = (table.eventsOf(flow) & EVENT_ASSURED) !== 0
      if (isWanted && !isAssured && this.#sources.isUnproven(flow)) return flow
    }
    return NONE
  }

  #seen(flow: number): number {
    return this.#table.flows[flow * FLOW_WORDS + FLOW_SEEN]!
  }
}
