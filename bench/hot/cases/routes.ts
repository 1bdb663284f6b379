/** Longest prefix match, and whole lookups by policy. */
import { DeadHops } from '../../../src/route/hops.js'
import { RouteLookup, RouteResult } from '../../../src/route/lookup.js'
import { defaultRules, readyRules } from '../../../src/route/rules.js'
import { RouteTables } from '../../../src/route/tables.js'
import type { RouteInfo } from '../../../src/route/types.js'
import { Origin, RouteKey, RouteType, Scope, Table } from '../../../src/route/types.js'
import { maskOf } from '../../../src/stack/wire/address.js'
import { seededRandom } from '../../../src/testing/memory-gateway.js'
import { type Case, sink } from './case.js'

/** `bgp`: lengths as in the Internet's table, and more specific prefixes within others. `random`: any address, any length from 8. */
export type RouteMix = 'bgp' | 'random'

const PER_CALL = 1024
const PEERS = 64
/** Shares of the prefix lengths in a full table, in thousandths; the rest are /24. */
const SHARES = [[8, 1], [11, 1], [12, 1], [13, 2], [14, 2], [15, 2], [16, 14], [17, 8], [18, 14], [19, 25], [20, 45], [21, 52], [22, 110], [23, 103]] as const

interface Prefix {
  readonly destination: number
  readonly length: number
}

const makePrefixes = (mix: RouteMix, count: number): Prefix[] => {
  const random = seededRandom(5)
  const known = new Set<number>()
  const prefixes: Prefix[] = []
  const lengthOf = (): number => {
    if (mix === 'random') return 8 + (random.next() % 25)
    let share = random.next() % 1000
    for (const [length, part] of SHARES) {
      if (share < part) return length
      share -= part
    }
    return 24
  }
  while (prefixes.length < count) {
    const length = lengthOf()
    // In the Internet's table about half of the prefixes lie in others; the low bits of a known one are drawn again.
    const near = mix === 'bgp' && prefixes.length > 0 && random.next() % 2 === 0 ? prefixes[random.next() % prefixes.length]! : null
    const address = near === null ? random.next() : near.destination | (random.next() & ~maskOf(near.length))
    const destination = address & maskOf(length)
    const key = (destination >>> 0) * 64 + length
    if (mix === 'bgp' && (destination >>> 24 === 0 || destination >>> 24 >= 224)) continue
    if (known.has(key)) continue
    known.add(key)
    prefixes.push({ destination, length })
  }
  return prefixes
}

const routeVia = (peer: number): RouteInfo => ({
  type: RouteType.unicast, tos: 0, metric: 20, scope: Scope.global, origin: Origin.static, source: 0, mtu: 0, mtuLocked: false,
  hops: [{ gateway: (0x0a000100 + peer) | 0, device: 2 + (peer % 4), weight: 1, onlink: false, ownGateway: false }],
})

const fill = (prefixes: readonly Prefix[]): RouteTables => {
  const lists = Array.from({ length: PEERS }, (_, peer) => [routeVia(peer)])
  const tables = new RouteTables()
  prefixes.forEach(({ destination, length }, index) => { tables.set({ table: Table.main, destination, length, routes: lists[index % PEERS]! }) })
  return tables
}

/** Addresses within known prefixes, each as likely as any other. */
const addressesIn = (prefixes: readonly Prefix[], count: number): Int32Array => {
  const random = seededRandom(6)
  return Int32Array.from({ length: count }, () => {
    const { destination, length } = prefixes[random.next() % prefixes.length]!
    return destination | (random.next() & ~maskOf(length))
  })
}

const filled = new Map<string, { prefixes: Prefix[]; tables: RouteTables; addresses: Int32Array }>()

/** One table is kept for the cases of one kind; earlier ones are let go. */
const tableOf = (mix: RouteMix, routes: number): { prefixes: Prefix[]; tables: RouteTables; addresses: Int32Array } => {
  const name = `${mix} ${routes}`
  let made = filled.get(name)
  if (made === undefined) {
    const prefixes = makePrefixes(mix, routes)
    filled.clear()
    filled.set(name, (made = { prefixes, tables: fill(prefixes), addresses: addressesIn(prefixes, 1 << 18) }))
  }
  return made
}

/** Finds the longest prefix. */
export const prefixMatch = (mix: RouteMix, routes: number): Case => {
  const { tables, addresses } = tableOf(mix, routes)
  let next = 0
  return {
    name: `longest prefix, ${routes} ${mix} routes`,
    count: PER_CALL,
    run: () => {
      let found = 0
      for (let done = 0; done < PER_CALL; done++) {
        next = (next + 1) & (addresses.length - 1)
        if (tables.find(Table.main, addresses[next]!, 32) !== null) found += tables.foundLength
      }
      sink.value += found
    },
  }
}

/** Default rules, the table main asked second. */
export const policyLookup = (mix: RouteMix, routes: number): Case => {
  const { tables, addresses } = tableOf(mix, routes)
  const lookup = new RouteLookup(readyRules(defaultRules(), () => 0), tables, new DeadHops(), 1)
  const key = new RouteKey()
  const result = new RouteResult()
  let next = 0
  return {
    name: `rules, table and next hop, ${routes} ${mix} routes`,
    count: PER_CALL,
    run: () => {
      let found = 0
      for (let done = 0; done < PER_CALL; done++) {
        next = (next + 1) & (addresses.length - 1)
        key.destination = addresses[next]!
        found += lookup.lookup(key, result)
      }
      sink.value += found
    },
  }
}

/** A prefix comes and goes. A /24 leaves the index alone; a /1 changes half of it. */
export const routeChange = (mix: RouteMix, routes: number, length: number): Case => {
  const { tables } = tableOf(mix, routes)
  const list = [routeVia(1)]
  const destination = 0x65656500 & maskOf(length)
  return {
    name: `add and delete a /${length}, beside ${routes} ${mix} routes`,
    count: 1,
    run: () => {
      tables.set({ table: Table.main, destination, length, routes: list })
      tables.set({ table: Table.main, destination, length, routes: [] })
    },
  }
}

/** The longest prefix by one hash map a length, as another opinion. */
const otherOpinion = (prefixes: readonly Prefix[]): ((address: number) => number) => {
  const byLength = Array.from({ length: 33 }, () => new Set<number>())
  for (const { destination, length } of prefixes) byLength[length]!.add(destination)
  return (address) => {
    for (let length = 32; length >= 0; length--) if (byLength[length]!.has(address & maskOf(length))) return length
    return -1
  }
}

/** The longest prefix by a look at every one. */
const linearSearch = (prefixes: readonly Prefix[]): ((address: number) => number) => {
  const destinations = Int32Array.from(prefixes, ({ destination }) => destination)
  const lengths = Int8Array.from(prefixes, ({ length }) => length)
  const masks = Int32Array.from(prefixes, ({ length }) => maskOf(length))
  return (address) => {
    let longest = -1
    for (let at = 0; at < destinations.length; at++) {
      if ((address & masks[at]!) === destinations[at] && lengths[at]! > longest) longest = lengths[at]!
    }
    return longest
  }
}

/** Addresses looked up by linear search besides, which takes about a millisecond each. */
const LINEAR_SAMPLES = 2000

/** Build time, memory, and whether `samples` lookups agree with other ways of finding them; `linearNanoseconds` is what the slower takes. */
export const weighRoutes = (mix: RouteMix, routes: number, samples: number): { buildMilliseconds: number; bytesPerRoute: number; wrong: number; linearNanoseconds: number; linearSamples: number } => {
  const prefixes = makePrefixes(mix, routes)
  const started = process.hrtime.bigint()
  const tables = fill(prefixes)
  const buildMilliseconds = Number(process.hrtime.bigint() - started) / 1e6
  const opinion = otherOpinion(prefixes)
  const random = seededRandom(9)
  const addresses = addressesIn(prefixes, samples)
  const find = (address: number): number => (tables.find(Table.main, address, 32) === null ? -1 : tables.foundLength)
  let wrong = 0
  for (const known of addresses) {
    for (const address of [known, random.next() | 0]) if (find(address) !== opinion(address)) wrong++
  }
  const linear = linearSearch(prefixes)
  const some = addresses.subarray(0, LINEAR_SAMPLES).map((address, index) => (index % 4 === 0 ? random.next() : address))
  const before = process.hrtime.bigint()
  const found = some.map(linear)
  const linearNanoseconds = Number(process.hrtime.bigint() - before) / some.length
  some.forEach((address, index) => { if (find(address) !== found[index]) wrong++ })
  return { buildMilliseconds, bytesPerRoute: tables.bytes / routes, wrong, linearNanoseconds, linearSamples: some.length }
}
