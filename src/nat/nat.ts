/**
 * What NAT keeps between packets, put together: the flow table and all that follows it.
 *
 * The flow table says when a flow opens, changes or ends; here stands who hears of it, in which order. Nobody else hangs on to the
 * table: who is outside of NAT and stores something by flow sets `onFlowEnds` and `onFlowChange`, which are told first.
 */
import { type PortRange, portsIn } from '../stack/port-range.js'
import type { RandomSource } from '../stack/random.js'
import { PROTOCOL_TCP } from '../stack/wire/ipv4.js'
import { AddressPool } from './address-pool.js'
import { ENDPOINT_INDEPENDENT } from './behaviour.js'
import { EndpointChooser } from './choose-endpoint.js'
import { DeterministicPlan } from './deterministic.js'
import { createEventRing } from './event-ring.js'
import { FlowEvents } from './events.js'
import { FlowTable, type FlowTableMemory, SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS, ZONE_INSIDE } from './flow-table.js'
import { type Forward, Forwards } from './forwards.js'
import { Hairpins } from './hairpins.js'
import { RoomMaker } from './make-room.js'
import { Mappings } from './mappings.js'
import { FlowOpener } from './open-flow.js'
import { OutsideAddresses } from './outside-addresses.js'
import { parsePool } from './pool.js'
import { FIRST_BLOCK, PortBlocks } from './port-blocks.js'
import { PortHold } from './port-hold.js'
import { PortPool } from './port-pool.js'
import type { Profile } from './profiles.js'
import { Rules } from './rules.js'
import type { PortSettings } from './settings.js'
import { Sources } from './sources.js'
import { timeoutColumn } from './timeouts.js'
import { Tracker } from './track.js'

export interface NatOptions {
  readonly memory: FlowTableMemory
  readonly behaviour: Profile
  readonly ports: readonly PortRange[]
  readonly forwards: readonly Forward[]
  /** Outside addresses that deterministic NAT counts on where there is no pool, int32. */
  readonly addresses: readonly number[]
  /** See EndpointChooser. */
  readonly keepIdentifiers: boolean
  readonly random: RandomSource
  /** Milliseconds. */
  readonly clock: { readonly now: number }
  /** event-ring.ts; absent: nobody ever listens. */
  readonly events?: SharedArrayBuffer | undefined
}

/** Ports of a block beyond those that deterministic NAT gives, where nothing is said of blocks. */
const OVERFLOW_BLOCK = 64

/** Where port blocks begin, their size and how many a host may have; null where there are none. */
const blockPlan = ({ blockSize, blocksPerHost }: PortSettings, plan: DeterministicPlan | null): { first: number; size: number; perHost: number } | null => {
  if (plan === null) return blockSize === 0 ? null : { first: FIRST_BLOCK, size: blockSize, perHost: blocksPerHost }
  const size = blockSize === 0 ? OVERFLOW_BLOCK : blockSize
  const perHost = Math.floor(plan.portsBeyond / size)
  return perHost === 0 ? null : { first: plan.overflow, size, perHost }
}

export class Nat {
  readonly table: FlowTable
  readonly ports: PortPool
  readonly addresses: AddressPool
  readonly mappings: Mappings
  readonly forwards: Forwards
  readonly events: FlowEvents
  readonly sources: Sources
  readonly rules: Rules
  readonly hairpins: Hairpins
  readonly room: RoomMaker
  readonly chooser: EndpointChooser
  readonly opener: FlowOpener
  readonly tracker: Tracker
  /** Port blocks; null where ports are given one by one. */
  readonly blocks: PortBlocks | null
  /** Idle seconds by timeout class. */
  readonly timeouts: Int32Array
  onFlowEnds: (flow: number) => void = () => {}
  onFlowChange: (flow: number) => void = () => {}
  readonly #outside = new OutsideAddresses()
  readonly #hold: PortHold

  constructor({ memory, behaviour, ports, forwards, addresses, keepIdentifiers, random, clock, events }: NatOptions) {
    const { nat, limits } = behaviour
    const table = new FlowTable(memory, random.next())
    this.table = table
    this.timeouts = timeoutColumn(behaviour.timeouts)
    this.ports = new PortPool(portsIn(ports))
    this.mappings = new Mappings(table, random.next(), this.#outside)
    this.forwards = new Forwards(forwards)
    this.#hold = new PortHold(nat.ports.hold, nat.ports.holdMax)
    this.sources = new Sources(table, limits, random.next())
    this.rules = new Rules(nat.rules, nat, limits.flows)
    this.hairpins = new Hairpins(table, this.mappings, this.timeouts, random.next())
    this.room = new RoomMaker(table, this.sources)
    this.events = new FlowEvents(events ?? createEventRing(1), table, this.mappings, () => clock.now)
    const pool = nat.pool === null ? null : parsePool(nat.pool)!
    this.addresses = new AddressPool(pool, nat.pooling)
    const deterministic = nat.deterministic === null ? null : new DeterministicPlan(nat.deterministic, pool ?? addresses)
    const plan = blockPlan(nat.ports, deterministic)
    this.blocks = plan === null ? null : new PortBlocks({ ...plan, hold: nat.ports.hold, ports: this.ports, random })
    this.chooser = new EndpointChooser({
      table, mappings: this.mappings, ports: this.ports, addresses: this.addresses, forwards: this.forwards, hold: this.#hold,
      blocks: this.blocks, deterministic, parity: nat.ports.parity, keepIdentifiers, random,
    })
    this.opener = new FlowOpener({ table, mappings: this.mappings, chooser: this.chooser, random })
    this.tracker = new Tracker(table, nat.tcp, this.timeouts)
    this.#listen()
  }

  #listen(): void {
    const { table, sources, events, rules, hairpins } = this
    table.onReclass = (flow, before, after) => sources.reclassed(flow, before, after)
    table.onChange = (flow, before) => {
      sources.changed(flow, before)
      events.change(flow, before)
      this.onFlowChange(flow)
    }
    table.onClose = (flow) => {
      this.onFlowEnds(flow)
      events.end(flow)
      sources.closed(flow)
      rules.closed(flow)
      hairpins.closed(flow)
      this.#endMapping(flow)
    }
    this.mappings.onBegin = (flow) => events.mapping(true, flow)
    if (this.blocks !== null) this.blocks.onBlock = (event, inside, outside, first, last) => events.block(event === 'assigned', inside, outside, first, last)
  }

  setPorts(ports: readonly PortRange[], forwards: readonly Forward[]): void {
    this.ports.replace(portsIn(ports))
    this.forwards.replace(forwards)
  }

  /** Other outside addresses are there. @param all of them; @param byWan in the order of their zones */
  setAddresses(all: ReadonlySet<number>, byWan: readonly ReadonlySet<number>[]): void {
    this.#outside.replace(byWan)
    this.addresses.setPresent(all, byWan)
  }

  /** Closes flows given as pairs of index and generation; a flow that has another generation by now is left alone. Returns those closed. */
  closeFlows(pairs: Int32Array): Int32Array {
    const { table, events } = this
    const closed: number[] = []
    events.isRequested = true
    for (let index = 0; index + 1 < pairs.length; index += 2) {
      const flow = pairs[index]!
      const generation = pairs[index + 1]!
      if (flow < table.used && table.isLive(flow) && table.generationOf(flow) === generation) {
        table.close(flow)
        closed.push(flow, generation)
      }
    }
    events.isRequested = false
    return Int32Array.from(closed)
  }

  /** A flow ends. When its mapping ends with it, the outside port rests, if strangers could have sent to it (RFC 6888 REQ-8). */
  #endMapping(flow: number): void {
    const { mappings, chooser, table } = this
    const side = mappings.insideSide(flow) * SIDE_WORDS
    const isMember = mappings.isMember(flow)
    const isOpen = isMember && mappings.behaviourOf(flow) >>> 2 === ENDPOINT_INDEPENDENT
    chooser.forget(flow)
    // A flow that shares its port holds it alone.
    const ends = isMember ? mappings.remove(flow) : table.zoneOf(flow * 2) === ZONE_INSIDE
    if (!ends) return
    if (isMember) this.events.mapping(false, flow)
    const { sides, now } = table
    const outside = side ^ SIDE_WORDS
    const inside = sides[side + SIDE_SOURCE]!
    const external = sides[outside + SIDE_DESTINATION]!
    const port = sides[outside + SIDE_PORTS]! & 0xffff
    chooser.end(inside, external, port, now)
    const protocol = sides[side + SIDE_META]! & 0xff
    if (isOpen && protocol !== PROTOCOL_TCP) this.#hold.release(external, protocol, port, inside, sides[side + SIDE_PORTS]! >>> 16, now)
  }
}
