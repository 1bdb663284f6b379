/**
 * Room when everything is in use. A flood of packets with forged sources would otherwise keep every other host from opening
 * a flow until its own have timed out, minutes later.
 *
 * What gives way is the oldest flow that is not assured, of an inside address that was never proven (sources.ts). It gives
 * way only to an address that is proven, or has no flow yet, and only while there are hundreds of unproven ones; nothing that
 * is established is touched. Short of such a flood a full table refuses (RFC 6888 REQ-8). The kernel's early drop is alike,
 * but for whom and when.
 */
import { EVENT_ASSURED, type FlowTable, FLOW_SEEN, FLOW_WORDS, SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './flow-table.js'
import type { Rewrite } from './open-flow.js'
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
  // What a flow must have to give way: 0 for any protocol.
  #protocol = 0
  #external = 0
  #isShared = false
  #remote = 0
  #remotePort = 0
  /** Flows that gave way. */
  count = 0

  constructor(table: FlowTable, sources: Sources) {
    this.#table = table
    this.#sources = sources
  }

  /** Ends a flow, of whatever kind, for a new one of `source`. Returns whether there was one. */
  makeFlow(source: number): boolean {
    this.#protocol = 0
    return this.#make(source) !== NONE
  }

  /**
   * Ends a flow of this protocol with this outside address for a new one of `source`. Returns the outside port that it had, or -1.
   * @param isShared ports are taken towards one remote only: one to this remote
   */
  makePort(source: number, protocol: number, { source: external, destination, destinationPort }: Rewrite, isShared: boolean): number {
    this.#protocol = protocol
    this.#external = external
    this.#isShared = isShared
    this.#remote = destination
    this.#remotePort = destinationPort
    return this.#make(source)
  }

  /** @returns the outside port of the flow that ended, or -1 */
  #make(source: number): number {
    if (!this.#sources.isFlooded || !this.#sources.isPreferred(source)) return NONE
    const table = this.#table
    let victim = NONE
    for (const timeoutClass of CLASSES) {
      const candidate = this.#oldestOf(timeoutClass)
      if (candidate !== NONE && (victim === NONE || this.#seen(candidate) < this.#seen(victim))) victim = candidate
    }
    if (victim === NONE) return NONE
    const port = table.sides[(victim * 2 + 1) * SIDE_WORDS + SIDE_PORTS]! & 0xffff
    table.close(victim)
    this.count++
    return port
  }

  #oldestOf(timeoutClass: number): number {
    const table = this.#table
    let flow = table.oldest(timeoutClass)
    for (let look = 0; look < LOOKS && flow !== NONE; look++, flow = table.younger(flow)) {
      const isAssured = (table.eventsOf(flow) & EVENT_ASSURED) !== 0
      if (!isAssured && this.#isWanted(flow) && this.#sources.isUnproven(flow)) return flow
    }
    return NONE
  }

  #isWanted(flow: number): boolean {
    const { sides } = this.#table
    const at = (flow * 2 + 1) * SIDE_WORDS
    if (this.#protocol === 0) return true
    if ((sides[at + SIDE_META]! & 0xff) !== this.#protocol || sides[at + SIDE_DESTINATION] !== this.#external) return false
    return !this.#isShared || (sides[at + SIDE_SOURCE] === this.#remote && sides[at + SIDE_PORTS]! >>> 16 === this.#remotePort)
  }

  #seen(flow: number): number {
    return this.#table.flows[flow * FLOW_WORDS + FLOW_SEEN]!
  }
}
