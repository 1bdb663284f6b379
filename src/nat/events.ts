/**
 * What the data plane tells of flows and mappings, into the ring of event-ring.ts, while somebody wants to hear it.
 *
 * As netfilter does: a flow is NEW once its first packet has left; UPDATE says that its state changed, that it was answered
 * or became assured; DESTROY comes with the last counters. A flow of which no packet left is never mentioned. A mapping is
 * mentioned from the moment it is made, whatever becomes of the packet, since its port is taken from then on.
 *
 * None of this is called for a packet that changes nothing. Where it is called and nobody listens, it costs one load.
 */
import { PROTOCOL_TCP } from '../stack/wire/ipv4.js'
import {
  EVENT_BLOCK_BEGIN, EVENT_BLOCK_END, EVENT_DESTROY, EVENT_MAPPING_BEGIN, EVENT_MAPPING_END, EVENT_NEW, EVENT_UPDATE, EventProducer,
  FLAG_MAPPED, FLAG_REQUESTED, RECORD_FLAGS, RECORD_FLOW, RECORD_SECOND, RECORD_SIDES, RECORD_STATE, RECORD_TIME, RECORD_TYPE,
  WANT_BLOCKS, WANT_FLOWS, WANT_MAPPINGS,
} from './event-ring.js'
import {
  EVENT_ASSURED, EVENT_REPLIED, eventsIn, FLOW_PACKETS, FLOW_STATUS, FLOW_WORDS, type FlowTable, SIDE_DESTINATION, SIDE_META, SIDE_PORTS,
  SIDE_SOURCE, SIDE_WORDS,
} from './flow-table.js'
import type { Mappings } from './mappings.js'
import { stateName } from './tcp-state.js'
import { hasPassed } from './track.js'

export class FlowEvents {
  readonly #table: FlowTable
  readonly #mappings: Mappings
  readonly #producer: EventProducer
  readonly #clock: () => number
  /** Flows that end now do so because somebody asked for it. */
  isRequested = false

  /** @param clock milliseconds on the data plane's clock */
  constructor(ring: SharedArrayBuffer, table: FlowTable, mappings: Mappings, clock: () => number) {
    this.#table = table
    this.#mappings = mappings
    this.#producer = new EventProducer(ring)
    this.#clock = clock
  }

  /** The first packet of a flow has been handled: when it has left, the flow is NEW. */
  confirm(flow: number): void {
    if (this.#wants(flow) && hasPassed(this.#table, flow)) this.#write(EVENT_NEW, flow)
  }

  /**
   * A packet has changed the status of its flow.
   * @param before the status word until then
   */
  change(flow: number, before: number): void {
    if ((this.#producer.wanted & WANT_FLOWS) === 0) return
    const { flows, sides } = this.#table
    const at = flow * FLOW_WORDS
    // The first packet makes the flow NEW, with whatever state.
    if (flows[at + FLOW_PACKETS]! + flows[at + FLOW_PACKETS + 1]! === 1) return
    const after = flows[at + FLOW_STATUS]!
    const isTcp = (sides[flow * 2 * SIDE_WORDS + SIDE_META]! & 0xff) === PROTOCOL_TCP
    if (after !== before && (!isTcp || isTcpChange(eventsIn(before), eventsIn(after)))) this.#write(EVENT_UPDATE, flow)
  }

  /** A flow ends. It must still be open. */
  end(flow: number): void {
    if (this.#wants(flow) && hasPassed(this.#table, flow)) this.#write(EVENT_DESTROY, flow)
  }

  /** A mapping begins with its first flow, or ends with its last one. */
  mapping(isBegin: boolean, flow: number): void {
    if ((this.#producer.wanted & WANT_MAPPINGS) !== 0) this.#write(isBegin ? EVENT_MAPPING_BEGIN : EVENT_MAPPING_END, flow)
  }

  /** An inside host gets a block of outside ports, or gives it back. */
  block(isBegin: boolean, inside: number, outside: number, first: number, last: number): void {
    if ((this.#producer.wanted & WANT_BLOCKS) === 0) return
    const at = this.#begin(isBegin ? EVENT_BLOCK_BEGIN : EVENT_BLOCK_END)
    if (at < 0) return
    const { words } = this.#producer
    const side = at + RECORD_SIDES
    words[side + SIDE_SOURCE] = inside
    words[side + SIDE_DESTINATION] = outside
    words[side + SIDE_PORTS] = (first << 16) | last
    this.#producer.publish()
  }

  /** Those who want mappings get the flows that have none instead. */
  #wants(flow: number): boolean {
    const { wanted } = this.#producer
    if (wanted === 0) return false
    return (wanted & WANT_FLOWS) !== 0 || ((wanted & WANT_MAPPINGS) !== 0 && !this.#mappings.isMember(flow))
  }

  /** Reserves a record and writes its head. Returns its place, or -1. */
  #begin(type: number): number {
    const producer = this.#producer
    const at = producer.reserve()
    if (at < 0) return -1
    producer.words[at + RECORD_TYPE] = type
    producer.times[at / 2 + RECORD_TIME] = this.#clock()
    producer.words[at + RECORD_SECOND] = this.#table.now
    return at
  }

  #write(type: number, flow: number): void {
    const at = this.#begin(type)
    if (at < 0) return
    const { words } = this.#producer
    const { sides, flows } = this.#table
    words[at + RECORD_FLOW] = flow
    words[at + RECORD_FLAGS] = (this.#mappings.isMember(flow) ? FLAG_MAPPED : 0) | (this.isRequested ? FLAG_REQUESTED : 0)
    for (let word = 0; word < 2 * SIDE_WORDS; word++) words[at + RECORD_SIDES + word] = sides[flow * 2 * SIDE_WORDS + word]!
    for (let word = 0; word < FLOW_WORDS; word++) words[at + RECORD_STATE + word] = flows[flow * FLOW_WORDS + word]!
    this.#producer.publish()
  }
}

/** Whether conntrack would show the flow otherwise. */
const isTcpChange = (before: number, after: number): boolean =>
  ((before ^ after) & (EVENT_REPLIED | EVENT_ASSURED)) !== 0 || stateName(before) !== stateName(after)
