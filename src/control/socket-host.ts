/**
 * The gateway's own sockets: the stack that owns them, in this thread, and what connects it with the data plane.
 *
 * They choose their own addresses by the gateway's routes, and their ports from those that are tsnat's. A port that a socket is bound to
 * on purpose becomes tsnat's, too: the WANs hear it, and the host's kernel keeps off it.
 */
import { setImmediate } from 'node:timers/promises'
import type { HostPorts } from '../host/ports.js'
import { createSocketRings } from '../socket-ring.js'
import { Driver } from '../stack/sockets/driver.js'
import { systemRandom } from '../nat/random.js'
import { createSocketApi, type SocketApi } from '../stack/sockets/node/api.js'
import { SocketTable } from '../stack/sockets/socket-table.js'
import { Stack } from '../stack/sockets/stack.js'
import type { PortRange, WorkerSettings } from '../worker-protocol.js'
import { BoundPorts } from './bound-ports.js'
import { RingNetwork } from './ring-network.js'

export interface SocketHostOptions {
  /** Sockets at a time, TIME_WAIT included. */
  readonly capacity: number
  /** Ports to choose from. */
  readonly ports: PortRange
  /** Bytes: the largest MTU of the gateway's interfaces. */
  readonly mtu: () => number
  /** The gateway's own addresses, besides those of the loopback. */
  readonly addresses: () => ReadonlySet<number>
  readonly broadcasts: () => ReadonlySet<number>
  /** Milliseconds, not going back. */
  readonly clock: () => number
  /** Told which ports sockets are bound to, beyond those to choose from; resolves when packets for them come here. */
  readonly bound: (ports: HostPorts) => Promise<void>
}

export class SocketHost {
  readonly stack: Stack
  readonly api: SocketApi
  readonly #table: SharedArrayBuffer
  readonly #rings = createSocketRings()
  readonly #network: RingNetwork
  readonly #driver: Driver
  #following: Promise<void> = Promise.resolve()
  readonly #ports: PortRange
  /** Wakes the data plane, once there is one. */
  signal: () => void = () => {}

  constructor({ capacity, ports, mtu, addresses, broadcasts, clock, bound }: SocketHostOptions) {
    this.#ports = ports
    this.#table = SocketTable.allocate(capacity)
    this.#network = new RingNetwork({ rings: this.#rings, mtu, addresses, broadcasts, signal: () => this.signal() })
    this.stack = new Stack({ network: this.#network, table: this.#table, now: clock(), random: systemRandom(), ports, answersPings: false })
    const { stack } = this
    const network = this.#network
    const driver = new Driver({ advance: (now) => stack.advance(now), pump: () => network.pump(), get next() { return stack.next } }, { clock })
    this.#driver = driver
    network.wake = driver.wake
    stack.attend = driver.attend
    stack.onHold = () => driver.hold()
    stack.onRelease = () => driver.release()
    this.api = createSocketApi(stack)
    new BoundPorts(stack.table.ports, (port) => port >= ports[0] && port <= ports[1], (now) => { this.#following = bound(now) })
  }

  get workerSettings(): WorkerSettings['sockets'] {
    return { table: this.#table, rings: this.#rings, ports: this.#ports }
  }

  /** Resolves when packets for the ports that sockets are bound to now come here. */
  async portsReady(): Promise<void> {
    await setImmediate()
    await this.#following
  }

  /** Ends all sockets. */
  close(): void {
    this.stack.close()
    this.#driver.close()
    this.#network.close()
  }
}
