/**
 * The WAN interface, followed live.
 *
 * The state is always read from the kernel as a whole; events only say that it must be read again. So nothing depends on
 * the order or the completeness of events (the kernel sends none for routes that vanish with their interface, and drops
 * events under load). Events that concern other interfaces cost their parsing and no more.
 *
 * Any number of events within one turn of the event loop, or during a read, lead to one further read. Reads are spaced
 * so that at most a fifth of the time goes into them, which bounds the cost of a routing daemon at work.
 *
 * The interface is known by its name: when it is removed and made again, the state has the new ifindex.
 */
import { EventEmitter } from 'node:events'
import { TsnatError } from '../errors.js'
import { ownNamespace } from './namespace.js'
import type { NetworkNamespace } from './namespace.js'
import { EventGroup, NetlinkEvents } from './netlink-events.js'
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

/** Share of the time that reads may take, as the pause per unit of reading. */
const PAUSE_FACTOR = 4
const RETRY_MILLISECONDS = 1000

export class WanMonitor extends EventEmitter<WanEvents> {
  readonly name: string
  readonly #rtnetlink: Rtnetlink
  readonly #events: NetlinkEvents
  readonly #neighbours: NeighbourKeeper
  readonly #timers: Timers
  #state: WanState
  #text = ''
  /** Something changed since the last read began. */
  #dirty = false
  /** A read is under way, or scheduled. */
  #busy = false
  #pause: unknown
  #closed = false

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
    this.#timers = timers
    this.#state = absentState(name)
    this.#rtnetlink = new Rtnetlink(namespace)
    this.#neighbours = new NeighbourKeeper(this.#rtnetlink, (report) => this.emit('neighbour', report), timers)
    const isOurs = (ifindex: number): boolean => ifindex === this.#state.ifindex
    this.#events = new NetlinkEvents(namespace, Object.values(EventGroup), {
      link: (link) => {
        if (link.name === this.name || isOurs(link.index)) this.#markDirty()
      },
      address: (address) => {
        if (isOurs(address.ifindex)) this.#markDirty()
      },
      route: (route) => {
        if (route.table === TABLE_MAIN && isOurs(route.ifindex)) this.#markDirty()
      },
      neighbour: (neighbour, deleted) => this.#neighbours.onEvent(neighbour, deleted),
      lost: () => {
        this.#neighbours.recheck()
        this.#markDirty()
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
    this.#closed = true
    this.#timers.clearTimeout(this.#pause)
    this.#neighbours.close()
    this.#events.close()
    this.#rtnetlink.close()
  }

  #markDirty(): void {
    this.#dirty = true
    if (this.#busy) return
    this.#busy = true
    setImmediate(() => void this.#refresh())
  }

  async #refresh(): Promise<void> {
    const started = performance.now()
    this.#dirty = false
    let pause: number
    try {
      const state = await readWanState(this.#rtnetlink, this.name)
      if (this.#closed) return
      this.#take(state)
      pause = (performance.now() - started) * PAUSE_FACTOR
    } catch (error) {
      if (this.#closed) return
      this.#dirty = true
      pause = RETRY_MILLISECONDS
      if (error instanceof TsnatError) this.emit('problem', error)
    }
    this.#pause = this.#timers.setTimeout(() => {
      this.#busy = false
      if (this.#dirty) this.#markDirty()
    }, pause)
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
