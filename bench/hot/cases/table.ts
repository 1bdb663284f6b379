/** The flow table alone. */
import { allocateFlowTable, FlowTable, SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from '../../../src/nat/flow-table.js'
import { AddressPool } from '../../../src/nat/address-pool.js'
import { ADDRESS_DEPENDENT, ENDPOINT_INDEPENDENT, SHARED } from '../../../src/nat/behaviour.js'
import { EndpointChooser } from '../../../src/nat/choose-endpoint.js'
import { Forwards } from '../../../src/nat/forwards.js'
import { Mappings } from '../../../src/nat/mappings.js'
import { PortHold } from '../../../src/nat/port-hold.js'
import { FlowOpener } from '../../../src/nat/open-flow.js'
import { PortPool } from '../../../src/nat/port-pool.js'
import { Packet } from '../../../src/stack/parse.js'
import { PROTOCOL_UDP } from '../../../src/stack/wire/ipv4.js'
import { portsIn } from '../../../src/stack/port-range.js'
import { seededRandom } from '../../../src/testing/memory-gateway.js'
import { type Case, sink } from './case.js'

const EXTERNAL = 0xcb007101 | 0
const ZONE_LAN = 0
const ZONE_WAN = 1
const PER_CALL = 1024
const KEY_WORDS = 4

const random = seededRandom(7)
const ports = new PortPool(portsIn([[1, 65535]]))

/** A packet of flow number `index`; the remote and the source port together are its own. */
const setPacket = (packet: Packet, index: number): void => {
  packet.protocol = PROTOCOL_UDP
  packet.source = 0x0a000002 + (index & 0xffff)
  packet.destination = 0xc6120001 + (index >>> 15)
  packet.ports = ((1024 + (index & 0x7fff)) << 16) | 53
}

/** What the configuration has as default for TCP and UDP. */
const EXCLUSIVE = ENDPOINT_INDEPENDENT | (ADDRESS_DEPENDENT << 2)

/** Opens flow number `index`; where ports are exclusive, with a mapping of its own, over as many outside addresses as that takes. */
const open = (opener: FlowOpener, packet: Packet, behaviour: number, index: number): number => {
  setPacket(packet, index)
  const isShared = behaviour === SHARED
  if (!isShared) packet.source += index & ~0xffff
  const source = isShared ? EXTERNAL : EXTERNAL + (index >>> 15)
  const rewrite = { egress: ZONE_WAN, source, destination: packet.destination, destinationPort: packet.ports & 0xffff }
  return opener.openFromInside(packet, ZONE_LAN, rewrite, behaviour, 0)
}

/** A table with `flows` open flows, made for `capacity`, and its opener. */
const filled = (flows: number, capacity: number, behaviour = SHARED): { table: FlowTable; opener: FlowOpener } => {
  const table = new FlowTable(allocateFlowTable(capacity), random.next())
  const mappings = new Mappings(table, random.next())
  const chooser = new EndpointChooser({
    table, mappings, ports, addresses: new AddressPool(null, 'paired'), forwards: new Forwards([]), hold: new PortHold(0),
    blocks: null, deterministic: null, parity: false, keepIdentifiers: true, random,
  })
  table.onClose = (flow) => {
    chooser.forget(flow)
    mappings.remove(flow)
  }
  const opener = new FlowOpener({ table, mappings, chooser, random })
  const packet = new Packet()
  for (let index = 0; index < flows; index++) {
    if (open(opener, packet, behaviour, index) < 0) throw new Error(`flow ${index} was refused`)
  }
  return { table, opener }
}

/** Keys of all sides, in random order. */
const shuffledKeys = (table: FlowTable, flows: number): Int32Array => {
  const order = Int32Array.from({ length: flows * 2 }, (_, side) => side)
  for (let last = order.length - 1; last > 0; last--) {
    const other = random.next() % (last + 1)
    const side = order[last]!
    order[last] = order[other]!
    order[other] = side
  }
  const keys = new Int32Array(order.length * KEY_WORDS)
  order.forEach((side, index) => {
    const at = side * SIDE_WORDS
    keys[index * KEY_WORDS] = table.sides[at + SIDE_SOURCE]!
    keys[index * KEY_WORDS + 1] = table.sides[at + SIDE_DESTINATION]!
    keys[index * KEY_WORDS + 2] = table.sides[at + SIDE_PORTS]!
    keys[index * KEY_WORDS + 3] = table.sides[at + SIDE_META]! & 0xffff
  })
  return keys
}

/** Finds sides that are there, each about as often as any other. */
export const lookupHit = (flows: number): Case => {
  const { table } = filled(flows, flows)
  const keys = shuffledKeys(table, flows)
  let next = 0
  return {
    name: `lookup, hit, ${flows} flows`,
    count: PER_CALL,
    run: () => {
      let found = 0
      for (let done = 0; done < PER_CALL; done++) {
        if (next === keys.length) next = 0
        found += table.find(keys[next]!, keys[next + 1]!, keys[next + 2]!, keys[next + 3]!)
        next += KEY_WORDS
      }
      sink.value += found
    },
  }
}

/** Opens flows beside `flows` others, and closes them. */
export const openAndClose = (flows: number, isShared: boolean): Case => {
  const behaviour = isShared ? SHARED : EXCLUSIVE
  const { table, opener } = filled(flows, flows + PER_CALL, behaviour)
  const packet = new Packet()
  const opened = new Int32Array(PER_CALL)
  let index = flows
  return {
    name: `open and close, ${isShared ? 'shared ports' : 'a mapping each'}, beside ${flows} flows`,
    count: PER_CALL,
    run: () => {
      for (let done = 0; done < PER_CALL; done++) opened[done] = open(opener, packet, behaviour, index++) >> 1
      for (let done = 0; done < PER_CALL; done++) table.close(opened[done]!)
    },
  }
}

/** Memory and lookup cost of a table with `flows` flows. To be called first in a fresh process, with --expose-gc. */
export const weigh = (flows: number, rounds: number): { bytesPerFlow: number; residentPerFlow: number; nsPerLookup: number } => {
  // Once at small scale, so that code and its compilation are not counted.
  lookupHit(64).run()
  globalThis.gc?.()
  const before = process.memoryUsage.rss()
  const { table } = filled(flows, flows)
  globalThis.gc?.()
  const residentPerFlow = (process.memoryUsage.rss() - before) / flows
  const bytesPerFlow = table.sides.buffer.byteLength / flows
  const { run, count } = lookupHit(flows)
  const calls = Math.ceil((flows * 2) / count)
  let best = Infinity
  for (let round = 0; round <= rounds; round++) {
    const started = process.hrtime.bigint()
    for (let call = 0; call < calls; call++) run()
    const taken = Number(process.hrtime.bigint() - started) / (calls * count)
    if (round > 0) best = Math.min(best, taken)
  }
  return { bytesPerFlow, residentPerFlow, nsPerLookup: best }
}
