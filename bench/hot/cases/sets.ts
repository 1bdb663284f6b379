/** Sets of ipset: lookups, and what an element takes. */
import type { ElementKind, ElementSetDefinition } from '../../../src/policy/sets/edits.js'
import { INTERFACE_SHIFT } from '../../../src/policy/sets/edits.js'
import { InterfaceNames } from '../../../src/policy/sets/interface-names.js'
import { SetQuery } from '../../../src/policy/sets/query.js'
import { SetTable } from '../../../src/policy/sets/set-table.js'
import { maskOf } from '../../../src/stack/wire/address.js'
import { type Case, sink } from './case.js'

const PROBES = 1 << 14
const PER_CALL = 256
const TCP_80 = (6 << 16) | 80
/** Spreads numbers over the addresses, each to one of its own. */
const spread = (index: number): number => Math.imul(index + 1, 0x9e3779b1)

const names = new InterfaceNames()
const device = names.numberOf('eth0')

/** @param prefixes how many prefix lengths the elements of a set of networks have: 32, 31, … */
const fill = (kind: ElementKind, elements: number, prefixes: number, extensions: boolean): SetTable => {
  const definition: ElementSetDefinition = {
    kind, maxElements: 1 << 22, hashSize: 1024, seed: 0x51f15e, mask: -1, forceAdd: false, timeout: extensions ? 0 : null, counters: extensions,
  }
  const table = new SetTable(definition, names)
  for (let index = 0; table.size < elements; index++) {
    const prefix = 32 - (index % prefixes)
    const part = kind === 'hash:ip' ? 0 : kind === 'hash:ip,port' ? TCP_80 : kind === 'hash:net' ? prefix : prefix | (device << INTERFACE_SHIFT)
    table.add(kind.startsWith('hash:net') ? spread(index) & maskOf(prefix) : spread(index), part, true, 0, 0, 0, 0, true)
  }
  return table
}

/** Lookups at random: of addresses that are in the set, or, for a miss, of others. */
export const lookUpSet = (kind: ElementKind, elements: number, options: { prefixes?: number; extensions?: boolean; miss?: boolean } = {}): Case => {
  const { prefixes = 1, extensions = false, miss = false } = options
  const table = fill(kind, elements, prefixes, extensions)
  const probes = Int32Array.from({ length: PROBES }, (_, index) =>
    miss ? spread(0x40000000 + index) : spread(Number(BigInt.asUintN(32, BigInt(index) * 2654435761n)) % elements))
  const query = new SetQuery()
  query.part = TCP_80
  query.interface = device
  query.length = 100
  query.updateCounters = extensions
  let at = 0
  const nets = kind.startsWith('hash:net') ? `, ${prefixes} prefix ${prefixes === 1 ? 'length' : 'lengths'}` : ''
  return {
    name: `${miss ? 'miss' : 'hit'} in ${kind} of ${elements}${nets}${extensions ? ', timeout and counters' : ''}`,
    count: PER_CALL,
    run: () => {
      for (let done = 0; done < PER_CALL; done++) {
        query.address = probes[(at = (at + 1) & (PROBES - 1))]!
        query.now = at
        sink.value += table.test(query)
      }
    },
  }
}

/** An element added and another removed, as SET targets do. */
export const changeSet = (elements: number): Case => {
  const table = fill('hash:ip', elements, 1, true)
  let next = elements
  let last = 0
  return {
    name: `add and remove in hash:ip of ${elements}, timeout and counters`,
    count: PER_CALL,
    run: () => {
      for (let done = 0; done < PER_CALL; done++) {
        table.add(spread(next++), 0, false, 60_000, 1, 100, 0, false)
        sink.value += table.remove(spread(last++), 0, 0) ? 1 : 0
      }
    },
  }
}

/** Bytes an element of a full set of this size, and nanoseconds to add one, growth included. */
export const weighSet = (kind: ElementKind, elements: number, extensions: boolean): { bytes: number; nsPerAdd: number; longest: number } => {
  const begin = process.hrtime.bigint()
  const { bytes } = fill(kind, elements, 1, extensions)
  const total = Number(process.hrtime.bigint() - begin)
  const table = fill(kind, 0, 1, extensions)
  let longest = 0
  for (let index = 0; index < elements; index++) {
    const before = process.hrtime.bigint()
    table.add(spread(index), kind === 'hash:ip' ? 0 : 32, true, 0, 0, 0, 0, true)
    longest = Math.max(longest, Number(process.hrtime.bigint() - before))
  }
  return { bytes: bytes / elements, nsPerAdd: total / elements, longest }
}
