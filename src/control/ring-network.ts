/**
 * The network that the gateway's sockets stand on: the data plane, in its own thread (socket-port.ts), at the other end of two rings.
 *
 * Packets are built in the ring itself, and read from there by the sockets. What comes up is taken in turns, so that the program goes on
 * between them however much there is (driver.ts).
 */
import { KIND, KIND_PACKET, KIND_PATH, KIND_REFUSED, KIND_TAKEN, ASLEEP, FIFTH, FIRST, FOURTH, LENGTH, PACKET_OFFSET, SECOND, SOCKET, type SocketRings, STARVED, THIRD } from '../socket-ring.js'
import type { Slab } from '../stack/batch.js'
import type { Offloads } from '../stack/device/device.js'
import { RecordConsumer, RecordProducer } from '../stack/record-ring.js'
import type { Arrival, Network, NetworkUser } from '../stack/sockets/network.js'
import * as vnet from '../stack/wire/vnet.js'

/** Records taken without a break. */
const TURN = 256
const LOOPBACK_NET = 127

export interface RingNetworkOptions {
  readonly rings: SocketRings
  /** Bytes: the largest MTU of the gateway's interfaces. */
  readonly mtu: () => number
  /** The gateway's own addresses, besides those of the loopback. */
  readonly addresses: () => ReadonlySet<number>
  readonly broadcasts: () => ReadonlySet<number>
  /** See Network. */
  readonly isOccupied?: NonNullable<Network['isOccupied']>
  /** Wakes the data plane. */
  readonly signal: () => void
}

/** Nobody. */
const NOBODY: NetworkUser = { receive: () => {}, settle: () => {}, path: () => {}, taken: () => {}, refused: () => {}, room: () => {} }

export class RingNetwork implements Network {
  readonly slab: Slab
  /** The data plane's egresses do for each packet what their devices do not. */
  readonly offloads: Offloads = { checksum: true, tcp: true, udp: true }
  user: NetworkUser = NOBODY
  /** Called when records have come that no `pump` sees which is running now. */
  wake: () => void = () => {}
  readonly #options: RingNetworkOptions
  readonly #down: RecordProducer
  readonly #up: RecordConsumer
  readonly #upSlab: Slab
  readonly #arrival: Arrival = { socket: -1, originalAddress: 0, originalPort: -1, interface: 0, mark: 0 }
  #reserved = 0
  /** The data plane will call `wake`. */
  #isArmed = false

  constructor(options: RingNetworkOptions) {
    this.#options = options
    this.#down = new RecordProducer(options.rings.down)
    this.#up = new RecordConsumer(options.rings.up)
    this.slab = this.#down
    this.#upSlab = this.#up
  }

  get mtu(): number {
    return this.#options.mtu()
  }

  isLocal(address: number): boolean {
    return address === 0 || address >>> 24 === LOOPBACK_NET || this.#options.addresses().has(address)
  }

  isOccupied(protocol: number, address: number, port: number): boolean {
    return this.#options.isOccupied?.(protocol, address, port) ?? false
  }

  isBroadcast(address: number): boolean {
    return address === -1 || this.#options.broadcasts().has(address)
  }

  reserve(length: number): number {
    const bytes = (PACKET_OFFSET + length + 7) & ~7
    let record = this.#down.reserve(bytes)
    if (record < 0) {
      Atomics.store(this.#down.control, STARVED, 1)
      // The data plane may have emptied the ring before it could see that.
      record = this.#down.reserve(bytes)
      if (record < 0) return -1
    }
    this.#reserved = bytes
    const at = record + PACKET_OFFSET
    vnet.clear(this.slab.view, at - vnet.LENGTH)
    return at
  }

  send(at: number, length: number, socket: number): void {
    const { view } = this.slab
    const record = at - PACKET_OFFSET
    view.setInt32(record + LENGTH, this.#reserved, true)
    view.setInt32(record + KIND, KIND_PACKET, true)
    view.setInt32(record + SOCKET, socket, true)
    view.setInt32(record + FIRST, length, true)
    this.#down.publish()
    if (Atomics.exchange(this.#down.control, ASLEEP, 0) === 1) this.#options.signal()
  }

  /** Takes records, at most so many, and hands them to the sockets. @returns how many there were; `wake` is called when there are some again */
  pump(): number {
    const { user } = this
    let left = TURN
    for (let record = this.#up.next(); record >= 0 && left > 0; record = this.#up.next(), left--) {
      this.#take(record, user)
      this.#up.release(this.#up.view.getInt32(record + LENGTH, true))
    }
    if (Atomics.compareExchange(this.#down.control, STARVED, 2, 0) === 2) user.room()
    user.settle()
    return left < TURN || !this.#arm() ? TURN - left + 1 : 0
  }

  /** Nobody is to be woken any more. */
  close(): void {
    this.wake = () => {}
    Atomics.store(this.#up.control, ASLEEP, 0)
    Atomics.notify(this.#up.control, ASLEEP)
  }

  /** Lets the data plane call when there are records, or there is room again. Returns false when there are some already. */
  #arm(): boolean {
    if (this.#isArmed) return true
    const { control } = this.#up
    Atomics.store(control, ASLEEP, 1)
    if (this.#up.next() >= 0 || Atomics.load(this.#down.control, STARVED) === 2) {
      Atomics.store(control, ASLEEP, 0)
      return false
    }
    const { async, value } = Atomics.waitAsync(control, ASLEEP, 1)
    if (!async) return false
    this.#isArmed = true
    void value.then(() => {
      this.#isArmed = false
      this.wake()
    })
    return true
  }

  #take(record: number, user: NetworkUser): void {
    const { view } = this.#up
    const socket = view.getInt32(record + SOCKET, true)
    const first = view.getInt32(record + FIRST, true)
    switch (view.getInt32(record + KIND, true)) {
      case KIND_PACKET: {
        const arrival = this.#arrival
        arrival.socket = socket
        arrival.originalAddress = view.getInt32(record + SECOND, true)
        arrival.originalPort = view.getInt32(record + THIRD, true)
        arrival.interface = view.getInt32(record + FOURTH, true)
        arrival.mark = view.getUint32(record + FIFTH, true)
        user.receive(this.#upSlab, record + PACKET_OFFSET, first, arrival)
        return
      }
      case KIND_PATH:
        user.path(socket, first, view.getInt32(record + SECOND, true))
        return
      case KIND_TAKEN:
        user.taken(socket, first)
        return
      case KIND_REFUSED:
        user.refused(socket, first)
    }
  }
}
