/**
 * The WAN interface, followed live.
 *
 * The state is always read from the kernel as a whole, see reread.ts. Events that concern other interfaces cost their parsing and no more.
 *
 * The interface is known by its name: when it is removed and made again, the state has the new ifindex.
 */
import { EventEmitter } from 'node:events'
import type { TsnatError } from '../errors.js'
import { ownNamespace } from './namespace.js'
import type { NetworkNamespace } from './namespace.js'
import { EventGroup, NetlinkEvents } from './netlink-events.js'
import { Reread } from './reread.js'
import { Rtnetlink } from './rtnetlink.js'
import { TABLE_MAIN } from './rtnetlink-types.js'
import { hostTimers, NeighbourKeeper } from './wan-neighbours.js'
import type { NeighbourReport, Timers } from './wan-neighbours.js'
import { absentState, readWanState } from './wan-state.js'
import type { WanState } from './wan-state.js'

export type { NeighbourReport, Timers } from './wan-neighbours.js'
export type { WanAddress, WanRoute, WanState } from './wan-state.js'

export interface WanEvents {
  /** The whole new state; only when it differs from the one before. */
  change: [WanState]
  /** A neighbour in use is resolved, changed its MAC address or its state, or does not answer. */
  neighbour: [NeighbourReport]
  /** The kernel refused a read. The state is the last one read; it is tried again after a second. */
  problem: [TsnatError]
}

export class WanMonitor extends EventEmitter<WanEvents> {
  readonly name: string
  readonly #rtnetlink: Rtnetlink
  readonly #events: NetlinkEvents
  readonly #neighbours: NeighbourKeeper
  readonly #reread: Reread
  #state: WanState
  #text = ''

  /**
   * Opens a monitor that has read the state once. An interface that does not exist is no error: it may come.
   * @throws NetlinkError
   */
  static async open(name: string, namespace: NetworkNamespace = ownNamespace(), timers: Timers = hostTimers): Promise<WanMonitor> {
    const monitor = new WanMonitor(name, namespace, timers)
    try {
      monitor.#take(await readWanState(monitor.#rtnetlink, name))
    } catch (error) {
      monitor.close()
      throw error
    }
    return monitor
  }

  private constructor(name: string, namespace: NetworkNamespace, timers: Timers) {
    super()
    this.name = name
    this.#state = absentState(name)
    this.#rtnetlink = new Rtnetlink(namespace)
    this.#reread = new Reread(() => this.#read(), (error) => this.emit('problem', error), timers)
    this.#neighbours = new NeighbourKeeper(this.#rtnetlink, (report) => this.emit('neighbour', report), timers)
    const isOurs = (ifindex: number): boolean => ifindex === this.#state.ifindex
    this.#events = new NetlinkEvents(namespace, Object.values(EventGroup), {
      link: (link) => {
        if (link.name === this.name || isOurs(link.index)) this.#reread.mark()
      },
      address: (address) => {
        if (isOurs(address.ifindex)) this.#reread.mark()
      },
      route: (route) => {
        if (route.table === TABLE_MAIN && isOurs(route.ifindex)) this.#reread.mark()
      },
      neighbour: (neighbour, deleted) => this.#neighbours.onEvent(neighbour, deleted),
      lost: () => {
        this.#neighbours.recheck()
        this.#reread.mark()
      },
    })
  }

  get state(): WanState {
    return this.#state
  }

  /**
   * Has the kernel resolve an on-link address and keeps it resolved until {@link release}; what is known now and every
   * change of it comes as 'neighbour' event. Meant for Ethernet links.
   * @param ip int32
   */
  resolve(ip: number): void {
    this.#neighbours.use(ip)
  }

  release(ip: number): void {
    this.#neighbours.release(ip)
  }

  close(): void {
    this.#reread.close()
    this.#neighbours.close()
    this.#events.close()
    this.#rtnetlink.close()
  }

  async #read(): Promise<void> {
    const state = await readWanState(this.#rtnetlink, this.name)
    if (!this.#reread.closed) this.#take(state)
  }

  #take(state: WanState): void {
    const text = JSON.stringify(state)
    if (text === this.#text) return
    this.#text = text
    this.#state = state
    this.emit('change', state)
    this.#neighbours.setInterface(state.up ? state.ifindex : 0)
  }
}
