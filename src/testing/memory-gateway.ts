/**
 * The whole data plane between two memory devices, with a clock that stands still until it is moved: what goes into one side
 * comes out of the other, translated. No privilege, no kernel, no waiting.
 */
import { DataPlane } from '../data-plane.js'
import { type Behaviours, NETFILTER } from '../nat/behaviour.js'
import { createEventRing } from '../nat/event-ring.js'
import type { Forward } from '../nat/forwards.js'
import { allocateFlowTable } from '../nat/flow-table.js'
import type { RandomSource } from '../nat/random.js'
import { type Profile, type ProfileName, PROFILES } from '../nat/profiles.js'
import type { LimitSettings, NatSettings } from '../nat/settings.js'
import type { Route } from '../route/table.js'
import { emptyRuleset, restoreRuleset } from '../policy/iptables/index.js'
import type { Ruleset } from '../policy/model.js'
import { ruleMessages } from '../policy-protocol.js'
import { NO_OFFLOADS, type Offloads } from '../stack/device/device.js'
import { MemoryDevice, type SentPacket, type VnetHeader } from '../stack/device/memory.js'
import { parseIpv4 } from '../stack/wire/address.js'
import { allocateStats, dropsByName } from '../stats.js'
import type { PortRange } from '../worker-protocol.js'

export interface MemoryGatewayOptions {
  /** The gateway's own address on the LAN. Default 10.0.0.1. */
  lanAddress?: string
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
  /** Start of the deterministic random numbers. */
  seed?: number
}

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

export class MemoryGateway {
  readonly lan: MemoryDevice
  readonly wan: MemoryDevice
  readonly plane: DataPlane
  readonly stats = allocateStats()
  /** Addresses of neighbours that the gateway has asked for, oldest first. */
  readonly asked: number[] = []
  /** Where the data plane tells of flows and mappings, while an EventConsumer wants it. */
  readonly eventRing = createEventRing(1024)
  /** Milliseconds. */
  #now = 1_000_000
  #ruleset = emptyRuleset()

  constructor(options: MemoryGatewayOptions = {}) {
    this.lan = new MemoryDevice({ name: 'lan', offloads: options.lanOffloads ?? NO_OFFLOADS })
    this.wan = new MemoryDevice({ name: 'wan', offloads: options.wanOffloads ?? NO_OFFLOADS })
    const behaviour = behaviourOf(options)
    const addresses = (options.wanAddresses ?? ['203.0.113.1']).map(address)
    this.plane = new DataPlane(
      {
        table: allocateFlowTable(behaviour.limits.flows),
        stats: this.stats,
        events: this.eventRing,
        wanSettings: {
          up: true,
          mtu: options.wanMtu ?? 1500,
          addresses,
          routes: options.routes ?? [{ destination: 0, prefixLength: 0, gateway: null, source: addresses[0] ?? 0 }],
        },
        ports: options.ports ?? [[1, 65535]],
        behaviour,
        forwards: options.forwards ?? [],
        mssClamp: options.mssClamp ?? true,
        ownedAddresses: (options.ownedAddresses ?? []).map(address),
        lan: { mtu: options.lanMtu ?? 1500, address: address(options.lanAddress ?? '10.0.0.1') },
      },
      {
        lan: () => this.lan,
        wan: () => this.wan,
        wanHasNeighbours: options.neighbours ?? false,
        ask: (neighbour) => this.asked.push(neighbour),
        random: seededRandom(options.seed ?? 1),
      },
    )
    this.plane.pipeline.tick(this.#now)
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

  /** A packet arrives from outside. */
  fromWan(bytes: Uint8Array, vnet?: Partial<VnetHeader>): this {
    this.wan.push(bytes, vnet)
    return this.#pump()
  }

  /** What went out to the inside since the last call. */
  toLan(): SentPacket[] {
    return this.lan.takeSent()
  }

  /** What went out to the outside since the last call. */
  toWan(): SentPacket[] {
    return this.wan.takeSent()
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
    while (this.wan.pending > 0) pipeline.pump(pipeline.wan)
    return this
  }
}
