/**
 * Two stacks, and a line between them that delays, loses and reorders packets as it is told, by a clock that stands still until it is
 * moved. No kernel, no privilege, no waiting; the same seed gives the same run. With `start` the same runs by the real clock, for
 * programs that use Node's shapes of sockets.
 */
import { seededRandom } from './memory-gateway.js'
import { HEADROOM, type Batch, type Region, type Slab } from '../stack/batch.js'
import { type Device, type DeviceCounters, NO_OFFLOADS, type Offloads } from '../stack/device/device.js'
import { DeviceHost } from '../stack/sockets/device-host.js'
import { type Driven, Driver } from '../stack/sockets/driver.js'
import type { TcpSettings } from '../stack/sockets/tcp/settings.js'
import * as vnet from '../stack/wire/vnet.js'

/** One direction of a line. */
export interface LineOptions {
  /** Milliseconds on the way. Default 0. */
  delay?: number
  /** How likely a packet is lost, 0 … 1. */
  loss?: number
  /** How likely a packet is held back for `reorderDelay` while others pass. */
  reorder?: number
  /** Milliseconds. Default: as long as `delay`, at least 1. */
  reorderDelay?: number
  /** How likely a packet comes twice. */
  duplicate?: number
  /** Bytes a millisecond; default: no limit. */
  rate?: number
  /** Bytes that may wait for the line when it has a rate; more are lost. Default 256 KiB. */
  queue?: number
}

export interface StackLinkOptions extends LineOptions {
  /** From right to left, where it is not as from left to right. */
  back?: LineOptions
  leftAddress?: string
  rightAddress?: string
  /** Bytes. Default 1500. */
  mtu?: number
  /** What the line says it does for packets; it carries superpackets as they are, as a TUN does. Default: none. */
  offloads?: Offloads
  seed?: number
  /** Sockets that each stack may have. Default 4096. */
  capacity?: number
  /** Settings of TCP, of both. */
  tcp?: Partial<TcpSettings>
}

interface Travelling {
  readonly due: number
  readonly bytes: Uint8Array
  readonly header: Uint8Array
}

/** A virtio header. */
const NOTHING_LEFT_TO_DO = new Uint8Array(vnet.LENGTH)

/** @param header the packet's virtio header, as vnet.ts reads it from address 0 */
type Fate = (packet: Uint8Array, header: Uint8Array) => boolean

/** One direction: what was sent into it and has not come out. */
class Line {
  readonly #options: LineOptions
  readonly #random: { next(): number }
  #travelling: Travelling[] = []
  #freeAt = 0
  now = 0
  passed = 0
  lost = 0
  /** Asked of each packet: true loses it. */
  drop: Fate = () => false

  constructor(options: LineOptions, random: { next(): number }) {
    this.#options = options
    this.#random = random
  }

  get next(): number {
    return this.#travelling[0]?.due ?? Infinity
  }

  send(bytes: Uint8Array, header: Uint8Array): void {
    const { delay = 0, loss = 0, reorder = 0, reorderDelay = Math.max(1, delay), duplicate = 0, rate = Infinity, queue = 256 << 10 } = this.#options
    const free = Math.max(this.#freeAt, this.now)
    if (this.drop(bytes, header) || this.#happens(loss) || (free - this.now) * rate > queue) {
      this.lost++
      return
    }
    this.#freeAt = free + bytes.length / rate
    const due = this.#freeAt + delay + (this.#happens(reorder) ? reorderDelay : 0)
    this.#add({ due, bytes, header })
    if (this.#happens(duplicate)) this.#add({ due, bytes, header })
  }

  /** Takes out what has arrived, as long as `take` has room for it. */
  receive(take: (packet: Travelling) => boolean): void {
    let count = 0
    while (count < this.#travelling.length && this.#travelling[count]!.due <= this.now && take(this.#travelling[count]!)) count++
    this.passed += count
    if (count === this.#travelling.length) this.#travelling = []
    else if (count > 0) this.#travelling.splice(0, count)
  }

  inject(bytes: Uint8Array): void {
    this.#add({ due: this.now, bytes: bytes.slice(), header: NOTHING_LEFT_TO_DO })
  }

  #happens(chance: number): boolean {
    return chance > 0 && this.#random.next() < chance * 2 ** 32
  }

  #add(packet: Travelling): void {
    let index = this.#travelling.length
    while (index > 0 && this.#travelling[index - 1]!.due > packet.due) index--
    if (index === this.#travelling.length) this.#travelling.push(packet)
    else this.#travelling.splice(index, 0, packet)
  }
}

/** An end of the line. */
class LineEnd implements Device {
  readonly name: string
  readonly offloads: Offloads
  readonly fd = -1
  readonly counters: DeviceCounters = { sendErrors: 0, lastErrno: 0 }
  readonly #out: Line
  readonly #in: Line
  readonly #onSend: () => void

  constructor(name: string, offloads: Offloads, out: Line, incoming: Line, onSend: () => void) {
    this.name = name
    this.offloads = offloads
    this.#out = out
    this.#in = incoming
    this.#onSend = onSend
  }

  receive(slab: Slab, region: Region, batch: Batch): number {
    batch.clear()
    let next = region.start
    this.#in.receive(({ bytes, header }) => {
      const at = (next + HEADROOM + 63) & ~63
      if (batch.full || at + bytes.length > region.end) return false
      slab.bytes.set(header, at - vnet.LENGTH)
      slab.bytes.set(bytes, at)
      batch.push(at, bytes.length, 0)
      next = at + bytes.length
      return true
    })
    return batch.count
  }

  send(slab: Slab, batch: Batch): void {
    for (let index = 0; index < batch.count; index++) {
      const at = batch.at[index]!
      this.#out.send(slab.bytes.slice(at, at + batch.length[index]!), slab.bytes.slice(at - vnet.LENGTH, at))
    }
    batch.clear()
    this.#onSend()
  }

  close(): void {}
}

/** Virtual milliseconds after which `until` gives up. */
const PATIENCE = 3_600_000

export class StackLink implements Driven {
  readonly left: DeviceHost
  readonly right: DeviceHost
  readonly #toRight: Line
  readonly #toLeft: Line
  /** Milliseconds. */
  #now = 1000
  #driver: Driver | null = null

  constructor(options: StackLinkOptions = {}) {
    const { leftAddress = '10.0.0.1/24', rightAddress = '10.0.0.2/24', mtu = 1500, offloads = NO_OFFLOADS, seed = 1, capacity = 4096, tcp = {}, back } = options
    const random = seededRandom(seed)
    this.#toRight = new Line(options, random)
    this.#toLeft = new Line(back ?? options, random)
    this.#setClocks()
    const make = (address: string, out: Line, incoming: Line): DeviceHost => {
      const device = new LineEnd(address, offloads, out, incoming, () => this.#driver?.wake())
      const secret = Uint8Array.from({ length: 16 }, () => random.next() >>> 24)
      return new DeviceHost({ device, addresses: [address], mtu, now: this.#now, random: seededRandom(random.next()), secret, capacity, tcp })
    }
    this.left = make(leftAddress, this.#toRight, this.#toLeft)
    this.right = make(rightAddress, this.#toLeft, this.#toRight)
  }

  /** Milliseconds on the clock of both. */
  get now(): number {
    return this.#now
  }

  get next(): number {
    return Math.min(this.left.next, this.right.next, this.#toLeft.next, this.#toRight.next)
  }

  /** Packets that came out, and those that were lost on the way. */
  get passed(): number {
    return this.#toLeft.passed + this.#toRight.passed
  }

  get lost(): number {
    return this.#toLeft.lost + this.#toRight.lost
  }

  /** From now on `fate` is asked of each packet from left to right: true loses it. */
  dropToRight(fate: Fate): void {
    this.#toRight.drop = fate
  }

  dropToLeft(fate: Fate): void {
    this.#toLeft.drop = fate
  }

  /** A packet out of nowhere arrives at the left, whole with its checksums. */
  injectLeft(bytes: Uint8Array): void {
    this.#toLeft.inject(bytes)
  }

  injectRight(bytes: Uint8Array): void {
    this.#toRight.inject(bytes)
  }

  /** Lets fire what is due at this time. */
  advance(now: number): void {
    this.#now = now
    this.#setClocks()
    this.left.advance(now)
    this.right.advance(now)
  }

  /** Moves the packets that are there now. */
  pump(): number {
    return this.left.pump() + this.right.pump()
  }

  /** Lets so many milliseconds pass, and all happen that is due in them. */
  run(milliseconds: number): void {
    const end = this.#now + milliseconds
    this.#work(() => false, end)
    this.advance(end)
    while (this.pump() > 0);
  }

  /**
   * Lets time pass until something is so.
   * @param limit virtual milliseconds
   * @throws Error when it is not so by then, or nothing more would happen
   */
  until(isSo: () => boolean, limit = PATIENCE): void {
    if (!this.#work(isSo, this.#now + limit)) throw new Error(`it did not come to that within ${limit} ms`)
  }

  /** Runs by the real clock until `stop`. */
  start(): this {
    const begin = this.#now - performance.now()
    this.#driver = new Driver(this, { clock: () => begin + performance.now() })
    this.left.useDriver(this.#driver)
    this.right.useDriver(this.#driver)
    return this
  }

  /** Ends what `start` began. */
  stop(): void {
    this.#driver?.close()
  }

  #work(isSo: () => boolean, end: number): boolean {
    for (;;) {
      while (this.pump() > 0) if (isSo()) return true
      if (isSo()) return true
      const next = Math.max(this.next, this.#now)
      if (next > end || next === Infinity) return false
      this.advance(next)
    }
  }

  #setClocks(): void {
    this.#toLeft.now = this.#now
    this.#toRight.now = this.#now
  }
}
