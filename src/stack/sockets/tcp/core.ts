/**
 * What all connections of a stack share: the network below, timers, the row of each in the socket table, and who has work to do.
 *
 * Theory of operation. A segment changes a connection and marks it; nothing is sent and no user is told then. When the network says that
 * it has handed over all packets that were there (`settle`), every marked connection is worked off once: its user is told, then it sends
 * what is to be sent, acknowledgment included, then its timer is set (work.ts). So a batch of segments gets one answer (RFC 9293
 * MUST-59), and no user's code runs in the midst of a segment. What a user does meanwhile marks the connection again; what he does at
 * any other time is worked off at once.
 *
 * A connection that finds no room in the network waits in `#blocked` for `room`.
 */
import type { Network } from '../network.js'
import { KeyedHash } from '../siphash.js'
import type { EphemeralPorts } from '../ports.js'
import type { SocketTable } from '../socket-table.js'
import type { Timers } from '../timers.js'
import type { Connection } from './connection.js'
import type { Listener } from './listener.js'
import { DEFAULT_SETTINGS, type TcpSettings } from './settings.js'
import { TimeWait } from './time-wait.js'
import { work } from './work.js'

export interface StackHost {
  readonly network: Network
  readonly table: SocketTable
  readonly ports: EphemeralPorts
  readonly timers: Timers
  /** uint32. */
  readonly random: { next(): number }
  /** 16 bytes that nobody else knows: initial sequence numbers and cookies depend on them. */
  readonly secret: Uint8Array
}

export class Core {
  readonly network: Network
  readonly table: SocketTable
  readonly ports: EphemeralPorts
  readonly timers: Timers
  readonly random: { next(): number }
  readonly settings: TcpSettings
  readonly hash: KeyedHash
  /** Who has which row of the socket table. */
  readonly owners: (Connection | Listener | undefined)[] = []
  readonly timeWait: TimeWait
  readonly #marked: Connection[] = []
  #blocked: Connection[] = []
  #isBusy = false

  constructor(host: StackHost, settings: Partial<TcpSettings>) {
    this.network = host.network
    this.table = host.table
    this.ports = host.ports
    this.timers = host.timers
    this.random = host.random
    this.settings = { ...DEFAULT_SETTINGS, ...settings }
    this.hash = new KeyedHash(host.secret)
    this.timeWait = new TimeWait(this)
  }

  get now(): number {
    return this.timers.now
  }

  /** Until `settle`, connections are only marked. */
  begin(): void {
    this.#isBusy = true
  }

  /** The connection has something to do. */
  touch(connection: Connection): void {
    if (!connection.isMarked) {
      connection.isMarked = true
      this.#marked.push(connection)
    }
    if (!this.#isBusy) this.settle()
  }

  /** Works off the marked connections. Should a user's code throw, the others stay marked for the next time. */
  settle(): void {
    const marked = this.#marked
    this.#isBusy = true
    let next = 0
    try {
      while (next < marked.length) {
        const connection = marked[next++]!
        connection.isMarked = false
        work(connection)
      }
    } finally {
      marked.splice(0, next)
      this.#isBusy = false
    }
  }

  /** The network had no room for what the connection wanted to send. */
  block(connection: Connection): void {
    if (connection.isBlocked) return
    connection.isBlocked = true
    this.#blocked.push(connection)
  }

  /** There is room again. */
  unblock(): void {
    const blocked = this.#blocked
    this.#blocked = []
    const wasBusy = this.#isBusy
    this.#isBusy = true
    for (const connection of blocked) {
      connection.isBlocked = false
      this.touch(connection)
    }
    if (!wasBusy) this.settle()
  }
}
