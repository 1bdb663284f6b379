/**
 * Keeps up with the kernel: interfaces and tables `main` and `local` of a running gateway, planned anew (main-table.ts) after each change
 * in the namespace of the WANs or in that of the TUN.
 */
import type { Config } from '../config.js'
import type { TsnatError } from '../errors.js'
import { KernelRoutes } from '../host/kernel-routes.js'
import type { KernelNetwork } from '../host/kernel-routes.js'
import { gatewayAddressOf } from '../host/lan-subnet.js'
import { openNamespace, ownNamespace } from '../host/namespace.js'
import type { NetworkNamespace } from '../host/namespace.js'
import { hostTimers } from '../host/wan-neighbours.js'
import type { Timers } from '../host/wan-neighbours.js'
import type { InterfaceAddress } from '../route/source.js'
import { Scope } from '../route/types.js'
import { parseIpv4, parsePrefix } from '../stack/wire/address.js'
import { followKernel } from './main-table.js'
import type { FollowedTables, TableWan } from './main-table.js'
import { ownedAddresses } from './outside-plan.js'

/** Interfaces of rules and routes: 1 is the loopback, 2 the TUN, then the WANs in their order. */
export const LAN_NUMBER = 2
export const numberOfWan = (place: number): number => LAN_NUMBER + 1 + place

/** Names of the interfaces in the order of their numbers from 1 on. */
export const interfaceNames = ({ lan, wans }: Pick<Config, 'lan' | 'wans'>): string[] => ['lo', lan, ...wans.map((wan) => wan.interface)]

/** What the configuration says of a WAN. */
export interface FollowedWan extends Pick<TableWan, 'name' | 'gateway' | 'weight' | 'metric'> {
  /** Addresses that only tsnat has; null: those of the kernel. */
  readonly owned: readonly InterfaceAddress[] | null
}

export interface FollowedRoutesOptions {
  readonly wanNamespace: NetworkNamespace
  readonly lanNamespace: NetworkNamespace
  readonly wans: readonly FollowedWan[]
  /** The TUN, with tsnat's own addresses there. */
  readonly lan: { readonly name: string; readonly addresses: readonly InterfaceAddress[] }
  /** The whole main table rather than what forwarding needs. */
  readonly everything: boolean
  readonly timers?: Timers
}

export interface FollowedRoutesListener {
  /** Something changed; perhaps nothing that routes depend on. */
  change(tables: FollowedTables): void
  /** The kernel refused a read, which is tried again after a second. */
  problem(error: TsnatError): void
}

/** The WANs as configured. */
export const followedWans = ({ wans }: Pick<Config, 'wans'>): FollowedWan[] => wans.map((wan) => ({
  name: wan.interface, owned: ownedAddresses(wan), gateway: wan.gateway === null ? null : parseIpv4(wan.gateway), weight: wan.weight, metric: wan.metric,
}))

type FollowConfig = Pick<Config, 'wans' | 'lan' | 'lanAddress' | 'netns' | 'importKernelRoutes'>

/** What a gateway of this configuration follows. Nothing on the host is changed. @throws NetlinkError, TsnatError when there is no such namespace */
export const openFollowedRoutes = async (config: FollowConfig): Promise<FollowedRoutes> => {
  const { address, length } = parsePrefix(config.lanAddress)!
  const lanNamespace = config.netns === undefined ? ownNamespace() : openNamespace(config.netns)
  try {
    return await FollowedRoutes.open({
      wanNamespace: ownNamespace(), lanNamespace, wans: followedWans(config), everything: config.importKernelRoutes,
      lan: { name: config.lan, addresses: [{ address: gatewayAddressOf(address, length), prefixLength: length, primary: true }] },
    })
  } finally {
    lanNamespace.close()
  }
}

/** A WAN as configured and as the kernel has it now. */
const tableWan = ({ name, owned, gateway, weight, metric }: FollowedWan, place: number, { links, addresses }: KernelNetwork): TableWan => {
  const link = links.find((each) => each.name === name)
  const usable = link === undefined ? [] : addresses.filter(({ ifindex, scope }) => ifindex === link.index && scope < Scope.link)
  return {
    number: numberOfWan(place), name, ifindex: link?.index ?? 0, up: link !== undefined && link.up && link.carrier,
    addresses: owned ?? usable.map(({ address, peer, prefixLength, primary }) => ({ address, peer, prefixLength, primary })),
    owned: owned !== null, gateway, weight, metric,
  }
}

export class FollowedRoutes {
  readonly #options: FollowedRoutesOptions
  readonly #outside: KernelRoutes
  /** Null when the TUN is in the namespace of the WANs. */
  readonly #inside: KernelRoutes | null

  /** Has read the kernel's state. @throws NetlinkError */
  static async open(options: FollowedRoutesOptions): Promise<FollowedRoutes> {
    const { wanNamespace, lanNamespace, timers = hostTimers } = options
    const outside = await KernelRoutes.open(wanNamespace, timers)
    try {
      return new FollowedRoutes(options, outside, wanNamespace.id === lanNamespace.id ? null : await KernelRoutes.open(lanNamespace, timers))
    } catch (error) {
      outside.close()
      throw error
    }
  }

  private constructor(options: FollowedRoutesOptions, outside: KernelRoutes, inside: KernelRoutes | null) {
    this.#options = options
    this.#outside = outside
    this.#inside = inside
  }

  /** As the kernel was when it was last read. */
  get tables(): FollowedTables {
    const { wans, lan, everything } = this.#options
    const kernel = this.#outside.state
    const inside = this.#inside?.state ?? null
    const ifindex = (inside ?? kernel).links.find(({ name }) => name === lan.name)?.index ?? 0
    const table = { number: LAN_NUMBER, name: lan.name, ifindex, addresses: lan.addresses }
    return followKernel({ wans: wans.map((wan, place) => tableWan(wan, place, kernel)), lan: table, kernel, inside, everything })
  }

  /** Tells of changes from now on. */
  listen(listener: FollowedRoutesListener): void {
    for (const routes of [this.#outside, this.#inside]) {
      routes?.on('change', () => listener.change(this.tables))
      routes?.on('problem', (error) => listener.problem(error))
    }
  }

  close(): void {
    this.#outside.close()
    this.#inside?.close()
  }
}
