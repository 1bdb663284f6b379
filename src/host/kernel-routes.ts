/**
 * Interfaces, addresses and the main routing table of a namespace, followed live.
 *
 * Always read as a whole, see reread.ts. Route messages are kept as they came, to tell at the cost of a comparison whether anything
 * changed; only then are they decoded. A read costs some microseconds a route of any table; nothing is read while nothing changes.
 * Next hop objects are read only when routes name them without saying what they are.
 */
import { EventEmitter } from 'node:events'
import type { TsnatError } from '../errors.js'
import { ownNamespace } from './namespace.js'
import type { NetworkNamespace } from './namespace.js'
import { EventGroup, NetlinkEvents } from './netlink-events.js'
import { Reread } from './reread.js'
import { decodeKernelRoute, needsNextHop, withNextHops } from './route-messages.js'
import type { KernelRoute } from './route-messages.js'
import { Rtnetlink } from './rtnetlink.js'
import { TABLE_MAIN } from './rtnetlink-types.js'
import type { InterfaceAddress, Link } from './rtnetlink-types.js'
import { hostTimers } from './wan-neighbours.js'
import type { Timers } from './wan-neighbours.js'

export interface KernelNetwork {
  readonly links: readonly Link[]
  /** In the kernel's order. */
  readonly addresses: readonly InterfaceAddress[]
  /** The main table, in the order in which `ip route show` lists it. */
  readonly routes: readonly KernelRoute[]
}

export interface KernelRoutesEvents {
  /** The whole new state; only when it differs from the one before. */
  change: [KernelNetwork]
  /** The kernel refused a read. The state is the last one read; it is tried again after a second. */
  problem: [TsnatError]
}

const sameBytes = (a: readonly Buffer[], b: readonly Buffer[]): boolean =>
  a.length === b.length && a.every((bytes, place) => bytes.equals(b[place]!))

export class KernelRoutes extends EventEmitter<KernelRoutesEvents> {
  readonly #rtnetlink: Rtnetlink
  readonly #events: NetlinkEvents
  readonly #reread: Reread
  #state: KernelNetwork = { links: [], addresses: [], routes: [] }
  /** Messages and objects that the routes were decoded from. */
  #messages: readonly Buffer[] = []
  #objects = ''
  /** Links and addresses, as text to be compared. */
  #text = ''

  /** Opens one that has read the state once. @throws NetlinkError */
  static async open(namespace: NetworkNamespace = ownNamespace(), timers: Timers = hostTimers): Promise<KernelRoutes> {
    const routes = new KernelRoutes(namespace, timers)
    try {
      await routes.#read()
    } catch (error) {
      routes.close()
      throw error
    }
    return routes
  }

  private constructor(namespace: NetworkNamespace, timers: Timers) {
    super()
    this.#rtnetlink = new Rtnetlink(namespace)
    this.#reread = new Reread(() => this.#read(), (error) => this.emit('problem', error), timers)
    const mark = (): void => this.#reread.mark()
    this.#events = new NetlinkEvents(namespace, [EventGroup.link, EventGroup.address, EventGroup.route, EventGroup.nextHop], {
      link: mark,
      address: mark,
      route: ({ table }) => {
        if (table === TABLE_MAIN) mark()
      },
      nextHop: mark,
      lost: mark,
    })
  }

  get state(): KernelNetwork {
    return this.#state
  }

  close(): void {
    this.#reread.close()
    this.#events.close()
    this.#rtnetlink.close()
  }

  async #read(): Promise<void> {
    const links = await this.#rtnetlink.links()
    const addresses = await this.#rtnetlink.addresses()
    const messages = await this.#rtnetlink.routeMessages()
    const text = JSON.stringify([links, addresses])
    const routes = await this.#routesOf(messages)
    if (this.#reread.closed || (text === this.#text && routes === this.#state.routes)) return
    this.#text = text
    this.#state = { links, addresses, routes }
    this.emit('change', this.#state)
  }

  /** The routes of before, when nothing has changed. */
  async #routesOf(messages: readonly Buffer[]): Promise<readonly KernelRoute[]> {
    const same = sameBytes(messages, this.#messages)
    if (same && this.#objects === '') return this.#state.routes
    const routes = messages.map(decodeKernelRoute).filter((route) => route?.table === TABLE_MAIN) as KernelRoute[]
    const objects = routes.some(needsNextHop) ? await this.#rtnetlink.nextHopObjects() : []
    const text = objects.length === 0 ? '' : JSON.stringify(objects)
    if (same && text === this.#objects) return this.#state.routes
    this.#messages = messages
    this.#objects = text
    return text === '' ? routes : withNextHops(routes, objects)
  }
}
