/**
 * The whole data plane between memory devices, with a clock that stands still until it is moved: what goes into one side
 * comes out of another, translated. No privilege, no kernel, no waiting.
 */
import { numberOfZone, ZONE_SELF } from '../attachment.js'
import { DataPlane } from '../data-plane.js'
import { createLogRing, LOG_RING_MIN } from '../hooks/log-ring.js'
import type { LocalDelivery, OpenDelivery, SocketOwner } from '../local-delivery.js'
import { type Behaviours, NETFILTER } from '../nat/behaviour.js'
import { createEventRing } from '../nat/event-ring.js'
import type { Forward } from '../nat/forwards.js'
import { allocateFlowTable } from '../nat/flow-table.js'
import { type Profile, type ProfileName, PROFILES } from '../nat/profiles.js'
import type { LimitSettings, NatSettings } from '../nat/settings.js'
import type { Route } from '../route/table.js'
import { Origin, type PrefixRoutes, type RouteInfo, RouteType, Scope, Table } from '../route/types.js'
import { emptyRuleset, restoreRuleset } from '../policy/iptables/index.js'
import type { Ruleset } from '../policy/model.js'
import { ruleMessages } from '../policy-protocol.js'
import { Batch, type Region, type Slab } from '../stack/batch.js'
import { NO_OFFLOADS, type Offloads } from '../stack/device/device.js'
import { MemoryDevice, type SentPacket, type VnetHeader } from '../stack/device/memory.js'
import type { PortRange } from '../stack/port-range.js'
import type { RandomSource } from '../stack/random.js'
import type { Arrival } from '../stack/sockets/network.js'
import { SocketTable } from '../stack/sockets/socket-table.js'
import { parseIpv4 } from '../stack/wire/address.js'
import { allocateStats, dropsByName } from '../stats.js'
import type { DeadFlows, WanSettings } from '../worker-protocol.js'

/** One of several WANs. */
export interface MemoryWan {
  /** Flows leave from the first. */
  addresses: string[]
  /** Those that no kernel has: pings to them are answered. Default none. */
  ownedAddresses?: string[]
  /** Default: everything is on the link. */
  routes?: Route[]
  /** Bytes. Default 1500. */
  mtu?: number
  offloads?: Offloads
  /** It needs Ethernet addresses of its neighbours. Default false. */
  neighbours?: boolean
}

export interface MemoryGatewayOptions {
  /** The gateway's own address on the LAN. Default 10.0.0.1. */
  lanAddress?: string
  /** Several WANs; then what follows here of one WAN has no effect. */
  wans?: readonly MemoryWan[]
  /** The WAN's addresses; flows leave from the first. Default 203.0.113.1. */
  wanAddresses?: string[]
  /** Those of the WAN's addresses that no kernel has: pings to them are answered. Default none. */
  ownedAddresses?: string[]
  /** Default: everything is on the link. */
  routes?: Route[]
  lanMtu?: number
  wanMtu?: number
  /** External ports. Default 1-65535. */
  ports?: readonly PortRange[]
  deadFlows?: DeadFlows
  /** The settings that the others are laid over. Default: `behave`, with netfilter's mapping and filtering. */
  profile?: ProfileName
  /** Mapping and filtering by protocol. */
  behaviours?: Behaviours
  nat?: Partial<NatSettings>
  forwards?: readonly Forward[]
  timeouts?: Partial<Profile['timeouts']>
  limits?: Partial<LimitSettings>
  mssClamp?: boolean
  lanOffloads?: Offloads
  wanOffloads?: Offloads
  /** The WAN needs Ethernet addresses of its neighbours: `asked` collects the questions. Default false. */
  neighbours?: boolean
  /** It has sockets, at most so many, or those of this table: `sockets` is the table, `toSelf` what they got. Default 0: none. */
  sockets?: number | SharedArrayBuffer
  /** Where packets for these sockets go in place of `toSelf`. */
  openDelivery?: OpenDelivery
  /** From which its sockets choose their ports. Default: from all. */
  socketPorts?: PortRange
  /** Start of the deterministic random numbers. */
  seed?: number
}

/** A packet that was delivered to the gateway's own sockets. */
export interface Delivered extends Readonly<Arrival> {
  readonly bytes: Uint8Array
  /** Zone that it came in by. */
  readonly zone: number
}

/** What a socket was told of its packets (see NetworkUser). */
export type Told =
  | { readonly what: 'path'; readonly socket: number; readonly source: number; readonly mtu: number }
  | { readonly what: 'taken'; readonly socket: number; readonly source: number }
  | { readonly what: 'refused'; readonly socket: number; readonly errno: number }

/** Numbers that look random and are the same each time (xorshift32). */
export const seededRandom = (seed: number): RandomSource => {
  let state = seed | 0 || 1
  return {
    next: () => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return state >>> 0
    },
  }
}

const address = (text: string): number => {
  const parsed = parseIpv4(text)
  if (parsed === null) throw new RangeError(`"${text}" is not an IPv4 address`)
  return parsed
}

const NETFILTERS: Behaviours = { tcp: NETFILTER, udp: NETFILTER, icmp: NETFILTER }

/** What the options say, over their profile. Small tables, where they say nothing of that. */
export const behaviourOf = ({ profile, behaviours, nat, timeouts, limits }: MemoryGatewayOptions): Profile => {
  const base = PROFILES[profile ?? 'behave']
  const { tcp, udp, icmp } = behaviours ?? (profile === undefined ? NETFILTERS : base.nat)
  return {
    nat: { ...base.nat, udp, icmp, tcp: { ...base.nat.tcp, ...tcp }, ...nat },
    timeouts: { ...base.timeouts, ...timeouts },
    limits: { ...base.limits, flows: 4096, fragmentBytes: 1 << 20, ...limits },
  }
}

/** The WANs of the options: the only one, where they name no other. */
const wansOf = ({ wans, wanAddresses, ownedAddresses, routes, wanMtu, wanOffloads, neighbours }: MemoryGatewayOptions): readonly MemoryWan[] =>
  wans ?? [{
    addresses: wanAddresses ?? ['203.0.113.1'],
    ...(ownedAddresses === undefined ? {} : { ownedAddresses }), ...(routes === undefined ? {} : { routes }),
    ...(wanMtu === undefined ? {} : { mtu: wanMtu }), ...(wanOffloads === undefined ? {} : { offloads: wanOffloads }),
    ...(neighbours === undefined ? {} : { neighbours }),
  }]

const settingsOf = ({ addresses, routes, mtu }: MemoryWan): WanSettings => {
  const own = addresses.map(address)
  return { up: true, mtu: mtu ?? 1500, addresses: own, routes: routes ?? [{ destination: 0, prefixLength: 0, gateway: null, source: own[0] ?? 0 }] }
}

/** Routes of all WANs, those of the first before those of others. */
export const mainTable = (wans: readonly WanSettings[]): readonly PrefixRoutes[] => {
  const prefixes = new Map<string, PrefixRoutes & { readonly routes: RouteInfo[] }>()
  wans.forEach(({ routes }, index) => {
    for (const { destination, prefixLength: length, gateway } of routes) {
      const key = `${destination}/${length}`
      const prefix = prefixes.get(key) ?? { table: Table.main, destination, length, routes: [] }
      prefixes.set(key, prefix)
      const hops = [{ gateway, device: numberOfZone(index + 1), weight: 1, onlink: false, ownGateway: false }]
      const scope = gateway === null ? Scope.link : Scope.global
      prefix.routes.push({ type: RouteType.unicast, tos: 0, metric: index, scope, origin: Origin.kernel, source: 0, mtu: 0, mtuLocked: false, hops })
    }
  })
  return [...prefixes.values()]
}

export class MemoryGateway {
  readonly lan: MemoryDevice
  readonly wans: readonly MemoryDevice[]
  readonly plane: DataPlane
  readonly stats = allocateStats()
  /** Addresses of neighbours that the gateway has asked for, oldest first. */
  readonly asked: number[] = []
  /** The same by WAN. */
  readonly askedAt: readonly number[][]
  /** Where the data plane tells of flows and mappings, while an EventConsumer wants it. */
  readonly eventRing = createEventRing(1024)
  /** Where the data plane writes what rules log; for a RuleLogReader. */
  readonly logRing = createLogRing(LOG_RING_MIN)
  /** The gateway's own sockets; null: it has none. */
  readonly sockets: SocketTable | null
  readonly #delivered: Delivered[] = []
  readonly #told: Told[] = []
  #selfRegion: Region = { start: 0, end: 0 }
  /** Milliseconds. */
  #now = 1_000_000
  #ruleset = emptyRuleset()
  readonly #wanSettings: WanSettings[]
  #prefixes: readonly PrefixRoutes[] = []

  constructor(options: MemoryGatewayOptions = {}) {
    this.lan = new MemoryDevice({ name: 'lan', offloads: options.lanOffloads ?? NO_OFFLOADS })
    const wans = wansOf(options)
    this.wans = wans.map(({ offloads }, index) => new MemoryDevice({ name: `wan${index}`, offloads: offloads ?? NO_OFFLOADS }))
    this.askedAt = wans.map(() => [])
    const behaviour = behaviourOf(options)
    const { sockets = 0 } = options
    this.sockets = sockets === 0 ? null : new SocketTable(typeof sockets === 'number' ? SocketTable.allocate(sockets) : sockets)
    this.plane = new DataPlane(
      {
        table: allocateFlowTable(behaviour.limits.flows),
        stats: this.stats,
        events: this.eventRing,
        logs: this.logRing,
        wans: wans.map((wan) => ({ settings: settingsOf(wan), ownedAddresses: (wan.ownedAddresses ?? []).map(address) })),
        ports: options.ports ?? [[1, 65535]],
        behaviour,
        forwards: options.forwards ?? [],
        mssClamp: options.mssClamp ?? true,
        sockets: this.sockets,
        ...(options.socketPorts === undefined ? {} : { socketPorts: options.socketPorts }),
        ...(options.deadFlows === undefined ? {} : { deadFlows: options.deadFlows }),
        lan: { mtu: options.lanMtu ?? 1500, address: address(options.lanAddress ?? '10.0.0.1') },
      },
      {
        lan: () => this.lan,
        wan: (index) => this.wans[index]!,
        wanHasNeighbours: (index) => wans[index]!.neighbours ?? false,
        ask: (index, neighbour) => {
          this.asked.push(neighbour)
          this.askedAt[index]!.push(neighbour)
        },
        random: seededRandom(options.seed ?? 1),
        ...(this.sockets === null ? {} : { openDelivery: options.openDelivery ?? ((slab: Slab, region: Region) => this.#openDelivery(slab, region)) }),
      },
    )
    this.#wanSettings = wans.map(settingsOf)
    this.#route()
    this.plane.pipeline.tick(this.#now)
  }

  #openDelivery({ bytes }: Slab, region: Region): LocalDelivery & SocketOwner {
    this.#selfRegion = region
    return {
      deliver: ({ at, length }, from, arrival) => {
        this.#delivered.push({ bytes: bytes.slice(at, at + length), zone: from?.zone ?? ZONE_SELF, ...arrival })
        return 0
      },
      path: (socket, source, mtu) => void this.#told.push({ what: 'path', socket, source, mtu }),
      taken: (socket, source) => void this.#told.push({ what: 'taken', socket, source }),
      refused: (socket, errno) => void this.#told.push({ what: 'refused', socket, errno }),
    }
  }

  /** A socket of the gateway's own sends a packet. @param socket its row in `sockets` */
  fromSelf(socket: number, bytes: Uint8Array, vnet: Partial<VnetHeader> = {}): this {
    const { own, pipeline, slab } = this.plane
    const batch = new Batch(1)
    const device = new MemoryDevice()
    device.push(bytes, vnet)
    device.receive(slab, this.#selfRegion, batch)
    own!.send(batch.at[0]!, batch.length[0]!, socket)
    pipeline.flush()
    return this
  }

  /** What the gateway's own sockets were told of their packets since the last call. */
  told(): Told[] {
    return this.#told.splice(0)
  }

  /** What the gateway's own sockets got since the last call. */
  toSelf(): Delivered[] {
    return this.#delivered.splice(0)
  }

  /** A WAN changes: its addresses, routes, MTU or state. */
  setWan(index: number, settings: WanSettings): void {
    this.#wanSettings[index] = settings
    this.plane.setWan(index, settings)
    this.#route()
  }

  /** The main table has the routes of the WANs, as the control plane makes it. */
  #route(): void {
    const before = this.#prefixes
    this.#prefixes = mainTable(this.#wanSettings)
    const gone = before.map((prefix) => ({ ...prefix, routes: [] }))
    this.plane.policy.handle({ type: 'routing', update: { routes: [...gone, ...this.#prefixes], rules: null, interfaces: null } })
  }

  /** Moves the clock on and lets everything end that is over. */
  advance(seconds: number): void {
    this.#now += seconds * 1000
    while (this.plane.pipeline.tick(this.#now));
  }

  /** Milliseconds on the gateway's clock. */
  get now(): number {
    return this.#now
  }

  /** The rules in effect. */
  get ruleset(): Ruleset {
    return this.#ruleset
  }

  /** Lets a rule set take effect, whose rules name sets by these ids. */
  useRules(ruleset: Ruleset, sets: readonly (readonly [name: string, id: number])[] = []): this {
    const { policy } = this.plane
    for (const message of ruleMessages(0, ruleset, sets)) policy.handle(message)
    while (policy.step());
    this.#ruleset = ruleset
    return this
  }

  /** Lets the rules of a file of iptables-save take effect, counters included; its tables are emptied first. */
  restoreRules(text: string): this {
    return this.useRules(restoreRuleset(this.#ruleset, text, { counters: true }))
  }

  /** A packet arrives from inside. */
  fromLan(bytes: Uint8Array, vnet?: Partial<VnetHeader>): this {
    this.lan.push(bytes, vnet)
    return this.#pump()
  }

  /** A packet arrives from outside, by the first WAN. */
  fromWan(bytes: Uint8Array, vnet?: Partial<VnetHeader>): this {
    return this.fromWanAt(0, bytes, vnet)
  }

  /** A packet arrives from outside. @param index of the WAN, 0 for the first */
  fromWanAt(index: number, bytes: Uint8Array, vnet?: Partial<VnetHeader>): this {
    this.wans[index]!.push(bytes, vnet)
    return this.#pump()
  }

  /** What went out to the inside since the last call. */
  toLan(): SentPacket[] {
    return this.lan.takeSent()
  }

  /** What went out by the first WAN since the last call. */
  toWan(): SentPacket[] {
    return this.toWanAt(0)
  }

  /** What went out by a WAN since the last call. @param index 0 for the first */
  toWanAt(index: number): SentPacket[] {
    return this.wans[index]!.takeSent()
  }

  /** The device of the first WAN. */
  get wan(): MemoryDevice {
    return this.wans[0]!
  }

  /** Live flows. */
  get flows(): number {
    return this.plane.table.count
  }

  /** Drop counts by reason. */
  get drops(): Record<string, number> {
    return dropsByName(this.stats)
  }

  #pump(): this {
    const { pipeline } = this.plane
    while (this.lan.pending > 0) pipeline.pump(pipeline.lan)
    this.wans.forEach((wan, index) => {
      while (wan.pending > 0) pipeline.pump(pipeline.wans[index]!)
    })
    return this
  }
}
