/**
 * Policy routing for the data plane: rules, tables and dead next hops together, and a generation that tells flows when to ask again.
 *
 * All changes come between two packets, from the thread that owns it. A few prefixes are changed in place; a whole set is built by
 * another thread and taken over at once, so that lookups never wait for a million routes to be read.
 */
import { type DeadCause, DeadHops } from './hops.js'
import type { RouteStep } from './lookup.js'
import { RouteLookup, RouteResult } from './lookup.js'
import type { Rule } from './rules.js'
import { defaultRules, readyRules } from './rules.js'
import type { TablesImage } from './tables.js'
import { RouteTables } from './tables.js'
import type { NextHop, PrefixRoutes, RouteError } from './types.js'
import { RouteKey, RouteType, Table } from './types.js'

/** What changes; plain data. */
export interface RoutingUpdate {
  /** Prefixes, each with all its routes from now on. */
  readonly routes: readonly PrefixRoutes[]
  /** All rules from now on; null: as before. */
  readonly rules: readonly Rule[] | null
  /** Names of all interfaces with their numbers from now on; null: as before. */
  readonly interfaces: readonly (readonly [string, number])[] | null
}

/** Flows keep it in 16 bits; 0 stands for "not routed yet". */
const GENERATIONS = 0xffff
/** Upper four bits of a group's address. */
const MULTICAST = 0xe

export class PolicyRouter {
  readonly #dead = new DeadHops()
  readonly #seed: number
  #tables = new RouteTables()
  #rules: readonly Rule[] = defaultRules()
  #interfaces: ReadonlyMap<string, number> = new Map()
  #lookup: RouteLookup
  #generation = 1
  readonly #typeKey = new RouteKey()
  readonly #typeResult = new RouteResult()

  /** @param seed secret, for the choice among several next hops */
  constructor(seed: number) {
    this.#seed = seed
    this.#lookup = this.#ready()
  }

  /** 1 to 65535; another after every change. */
  get generation(): number {
    return this.#generation
  }

  /** Prefixes in all tables. */
  get size(): number {
    return this.#tables.size
  }

  /** Changes some prefixes, rules, interfaces. */
  update({ routes, rules, interfaces }: RoutingUpdate): void {
    for (const prefix of routes) this.#tables.set(prefix)
    this.#changed(rules, interfaces)
  }

  /** Takes over all tables, as {@link RouteTables.image} of another thread gives them. */
  replace(tables: TablesImage, { rules, interfaces }: Pick<RoutingUpdate, 'rules' | 'interfaces'>): void {
    this.#tables = new RouteTables(tables)
    this.#changed(rules, interfaces)
  }

  /** An interface goes down or comes up, or its checks fail or succeed again, with all next hops on it. */
  setDeviceDead(device: number, dead: boolean, cause?: DeadCause): void {
    if (this.#dead.setDevice(device, dead, cause)) this.#nextGeneration()
  }

  /** A gateway stops answering, or answers again. */
  setGatewayDead(device: number, gateway: number, dead: boolean): void {
    if (this.#dead.setGateway(device, gateway, dead)) this.#nextGeneration()
  }

  isDead(hop: NextHop): boolean {
    return this.#dead.has(hop)
  }

  /** See {@link RouteLookup.lookup}. */
  lookup(key: RouteKey, result: RouteResult, trace: RouteStep[] | null = null): RouteError {
    return this.#lookup.lookup(key, result, trace)
  }

  /**
   * What kind of address it is, as the table `local` says; what that does not know is somebody else's: unicast.
   *
   * @param device 0, or the number of the only interface whose addresses count
   */
  addressType(address: number, device: number): RouteType {
    if (address === -1 || address >>> 24 === 0) return RouteType.broadcast
    if (address >>> 28 === MULTICAST) return RouteType.multicast
    this.#typeKey.destination = address
    const result = this.#typeResult
    if (this.#lookup.lookupTable(Table.local, this.#typeKey, result) !== 0) return RouteType.unicast
    return device === 0 || result.device === device ? result.type : RouteType.unicast
  }

  #changed(rules: readonly Rule[] | null, interfaces: RoutingUpdate['interfaces']): void {
    this.#rules = rules ?? this.#rules
    if (interfaces !== null) this.#interfaces = new Map(interfaces)
    this.#lookup = this.#ready()
    this.#nextGeneration()
  }

  #ready(): RouteLookup {
    return new RouteLookup(readyRules(this.#rules, (name) => this.#interfaces.get(name) ?? 0), this.#tables, this.#dead, this.#seed)
  }

  #nextGeneration(): void {
    this.#generation = this.#generation === GENERATIONS ? 1 : this.#generation + 1
  }
}
