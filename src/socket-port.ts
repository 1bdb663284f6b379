/**
 * The data plane's end of the rings to the thread that owns the sockets (socket-ring.ts): packets for the gateway itself go up, with
 * what is known of them, packets of its sockets come down. A full ring loses packets, as the queue of a socket does.
 */
import { ASLEEP, FIFTH, FIRST, FOURTH, HEAD_BYTES, KIND, KIND_PACKET, KIND_PATH, KIND_REFUSED, KIND_TAKEN, LENGTH, PACKET_OFFSET, SECOND, SOCKET, type SocketRings, STARVED, THIRD } from './socket-ring.js'
import { Drop } from './drop.js'
import type { LocalDelivery, SocketOwner } from './local-delivery.js'
import { HEADROOM, type Region, type Slab } from './stack/batch.js'
import { copyBytes } from './stack/copy.js'
import { RecordConsumer, RecordProducer } from './stack/record-ring.js'
import type { Packet } from './stack/parse.js'
import type { Arrival } from './stack/sockets/network.js'
import * as vnet from './stack/wire/vnet.js'

/** Takes a packet of a socket, at an address of the slab. Whatever becomes of it, its place is free again after `flush`. */
export type TakeOwn = (at: number, length: number, socket: number) => void

/** Packets taken in one turn at most. */
const TURN = 64

export class SocketPort implements LocalDelivery, SocketOwner {
  readonly #slab: Slab
  readonly #region: Region
  readonly #up: RecordProducer
  readonly #down: RecordConsumer
  #hasWritten = false

  /** @param region where packets of the sockets are put */
  constructor(rings: SocketRings, slab: Slab, region: Region) {
    this.#slab = slab
    this.#region = region
    this.#up = new RecordProducer(rings.up)
    this.#down = new RecordConsumer(rings.down)
  }

  deliver({ at, length }: Packet, _: unknown, arrival: Arrival): number {
    const bytes = (PACKET_OFFSET + length + 7) & ~7
    const record = this.#begin(KIND_PACKET, bytes, arrival.socket)
    if (record < 0) return Drop['socket-queue-full']
    const { view } = this.#up
    view.setInt32(record + FIRST, length, true)
    view.setInt32(record + SECOND, arrival.originalAddress, true)
    view.setInt32(record + THIRD, arrival.originalPort, true)
    view.setInt32(record + FOURTH, arrival.interface, true)
    view.setUint32(record + FIFTH, arrival.mark, true)
    const from = at - vnet.LENGTH
    copyBytes(this.#slab.bytes, from, length + vnet.LENGTH, this.#up.bytes, record + PACKET_OFFSET - vnet.LENGTH)
    this.#up.publish()
    return 0
  }

  /** The socket's packets leave with this source and by a path of this MTU. */
  path(socket: number, source: number, mtu: number): void {
    this.#tell(KIND_PATH, socket, source, mtu)
  }

  /** The socket's packet was not sent: another socket has the same ends with this source. */
  taken(socket: number, source: number): void {
    this.#tell(KIND_TAKEN, socket, source, 0)
  }

  /** @param errno positive */
  refused(socket: number, errno: number): void {
    this.#tell(KIND_REFUSED, socket, errno, 0)
  }

  /** Whether packets of the sockets are there. */
  get hasSome(): boolean {
    return this.#down.next() >= 0
  }

  /** Takes packets that the sockets send, at most a turn's worth, into the slab. Returns true when there are more. */
  take(takeOwn: TakeOwn): boolean {
    const { view, bytes } = this.#down
    let at = (this.#region.start + HEADROOM + 63) & ~63
    let left = TURN
    for (let record = this.#down.next(); record >= 0 && left > 0; record = this.#down.next(), left--) {
      const length = view.getInt32(record + FIRST, true)
      if (at + length > this.#region.end) return true
      const from = record + PACKET_OFFSET - vnet.LENGTH
      copyBytes(bytes, from, length + vnet.LENGTH, this.#slab.bytes, at - vnet.LENGTH)
      const socket = view.getInt32(record + SOCKET, true)
      this.#down.release(view.getInt32(record + LENGTH, true))
      takeOwn(at, length, socket)
      at = (at + length + HEADROOM + 63) & ~63
    }
    const { control } = this.#down
    if (Atomics.load(control, STARVED) === 1 && Atomics.compareExchange(control, STARVED, 1, 2) === 1) this.#hasWritten = true
    return left === 0
  }

  /** Wakes the sockets' thread if something was sent up, or there is room again. To be called at the end of a turn. */
  wake(): void {
    if (!this.#hasWritten) return
    this.#hasWritten = false
    const { control } = this.#up
    if (Atomics.exchange(control, ASLEEP, 0) === 1) Atomics.notify(control, ASLEEP)
  }

  /** To be called before sleeping. Returns whether nothing has come down meanwhile: then the eventfd will wake this thread. */
  maySleep(): boolean {
    const { control } = this.#down
    Atomics.store(control, ASLEEP, 1)
    if (this.#down.next() < 0) return true
    Atomics.store(control, ASLEEP, 0)
    return false
  }

  #tell(kind: number, socket: number, first: number, second: number): void {
    const record = this.#begin(kind, HEAD_BYTES, socket)
    if (record < 0) return
    this.#up.view.setInt32(record + FIRST, first, true)
    this.#up.view.setInt32(record + SECOND, second, true)
    this.#up.publish()
  }

  #begin(kind: number, bytes: number, socket: number): number {
    const record = this.#up.reserve(bytes)
    if (record < 0) return -1
    const { view } = this.#up
    view.setInt32(record + LENGTH, bytes, true)
    view.setInt32(record + KIND, kind, true)
    view.setInt32(record + SOCKET, socket, true)
    this.#hasWritten = true
    return record
  }
}
