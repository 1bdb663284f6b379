/**
 * A device that harms what passes: wraps another and loses, duplicates, corrupts or holds back packets, each with a
 * probability of its own for each direction, by a seeded generator: the same seed and packets give the same faults.
 *
 * Theory of operation. Each direction is a lane with slots, each large enough for the largest packet, in a region of the
 * slab that belongs to this device alone. A duplicate is a copy in a slot, since whoever gets a packet may write to it; a
 * packet that is held back moves to a slot until as many others have passed, and waits if none come. Slots whose packet
 * was passed on are free again at the next `receive`, or when `send` of the wrapped device has returned. Without a free
 * slot a packet passes unharmed and is counted as spared. Lanes without faults cost nothing; others cost one random
 * number for each kind of fault and packet, and nothing is allocated.
 *
 * A corrupted packet always has its checksum finished first, so that the receiver can find out. A superpacket cannot carry
 * a wrong checksum and is spared.
 */
import { ExitCode, TsnatError } from '../../errors.js'
import { Batch, HEADROOM, PACKET_MAX } from '../batch.js'
import type { Region, Slab } from '../batch.js'
import { completeChecksum } from '../segment.js'
import * as ipv4 from '../wire/ipv4.js'
import * as vnet from '../wire/vnet.js'
import type { Device, DeviceCounters, Offloads } from './device.js'

/** Bytes of the region that each slot takes. Half of the slots serve each direction. */
export const FAULT_SLOT = (HEADROOM + PACKET_MAX + 63) & ~63

/** Probabilities, 0-1, each 0 when not given. */
export interface FaultRates {
  loss?: number
  duplicate?: number
  /** One bit after the IPv4 header flips. */
  corrupt?: number
  /** The packet is held back until `reorderBy` others have passed. */
  reorder?: number
  /** 1 or more; default 3. */
  reorderBy?: number
}

export interface FaultOptions {
  /** Packets received from the device. */
  incoming?: FaultRates
  /** Packets sent to it. */
  outgoing?: FaultRates
  /** Any integer. */
  seed: number
  /**
   * Part of the slab for this device alone: two times FAULT_SLOT or a multiple of that. It may be empty when nothing is
   * duplicated or reordered.
   */
  storage: Region
}

export interface FaultCounters {
  lost: number
  duplicated: number
  corrupted: number
  reordered: number
  /** Faults that were due and could not be done. */
  spared: number
}

const FREE = 0
const HELD = 1
const PASSED = 2

/** A probability as a bound for 31 random bits. @throws TsnatError FAULT_RATE */
const bound = (name: string, rate: number | undefined): number => {
  if (rate === undefined) return 0
  if (!(rate >= 0 && rate <= 1)) {
    throw new TsnatError(`${name} ${rate} is not a probability`, {
      code: 'FAULT_RATE',
      hint: 'give a number from 0 to 1',
      exitCode: ExitCode.usage,
    })
  }
  return rate * 2 ** 31
}

/** One direction. */
class Lane {
  readonly counters: FaultCounters = { lost: 0, duplicated: 0, corrupted: 0, reordered: 0, spared: 0 }
  /** Whether any fault can happen. */
  readonly active: boolean
  /** What `run` reads. Smaller than the batches of the caller, so that copies and packets let go find room in those. */
  part = new Batch(0)
  /** What `run` writes, for `send`. */
  out = new Batch(0)
  readonly #loss: number
  readonly #duplicate: number
  readonly #corrupt: number
  readonly #reorder: number
  readonly #reorderBy: number
  /** Address of the packet in each slot. */
  readonly #slotAt: Int32Array
  readonly #slotLength: Int32Array
  readonly #slotLink: Int32Array
  readonly #slotState: Uint8Array
  /** Value of #passed at which a held packet goes. */
  readonly #slotDue: Int32Array
  #held = 0
  /** Packets passed so far, int32. */
  #passed = 0
  #random: number

  constructor(direction: string, rates: FaultRates, seed: number, first: number, slots: number) {
    this.#loss = bound(`${direction} loss`, rates.loss)
    this.#duplicate = bound(`${direction} duplicate`, rates.duplicate)
    this.#corrupt = bound(`${direction} corrupt`, rates.corrupt)
    this.#reorder = bound(`${direction} reorder`, rates.reorder)
    this.#reorderBy = Math.max(1, Math.floor(rates.reorderBy ?? 3))
    this.active = this.#loss + this.#duplicate + this.#corrupt + this.#reorder > 0
    if (slots === 0 && this.#duplicate + this.#reorder > 0) {
      throw new TsnatError('no storage for packets that are duplicated or reordered', {
        code: 'FAULT_STORAGE',
        hint: `give a region of the slab of at least ${2 * FAULT_SLOT} bytes`,
        exitCode: ExitCode.usage,
      })
    }
    this.#slotAt = Int32Array.from({ length: slots }, (_, slot) => first + slot * FAULT_SLOT)
    this.#slotLength = new Int32Array(slots)
    this.#slotLink = new Int32Array(slots)
    this.#slotState = new Uint8Array(slots)
    this.#slotDue = new Int32Array(slots)
    this.#random = seed | 0
  }

  /** Fits the lane's own batches to the caller's. Allocates at the first call, and when the capacity changes. */
  prepare(capacity: number): void {
    if (this.out.capacity === capacity) return
    this.out = new Batch(capacity)
    this.part = new Batch(capacity - Math.min(this.#slotAt.length, capacity >> 1))
  }

  /** Whoever had the packets that were passed on is done with them. */
  release(): void {
    for (let slot = 0; slot < this.#slotState.length; slot++) {
      if (this.#slotState[slot] === PASSED) this.#slotState[slot] = FREE
    }
  }

  /** Passes `part` to `to`, with faults. */
  run(slab: Slab, to: Batch): void {
    const { part } = this
    for (let i = 0; i < part.count; i++) {
      const at = part.at[i]!
      const length = part.length[i]!
      const link = part.link[i]!
      /** Extra packets that `to` can take and still have room for the rest of `part`. */
      const room = to.capacity - to.count - (part.count - i)
      if (this.#chance(this.#loss)) {
        this.counters.lost++
        continue
      }
      const copy = this.#chance(this.#duplicate) ? this.#store(slab, at, length, link, room > 0 ? PASSED : FREE) : -1
      if (this.#chance(this.#corrupt)) this.#damage(slab, at, length)
      const held = this.#chance(this.#reorder) ? this.#store(slab, at, length, link, HELD) : -1
      if (held === -1) {
        to.push(at, length, link)
        this.#passed = (this.#passed + 1) | 0
      } else {
        this.counters.reordered++
        this.#held++
        this.#slotDue[held] = (this.#passed + this.#reorderBy) | 0
      }
      if (copy !== -1) {
        this.counters.duplicated++
        to.push(this.#slotAt[copy]!, length, link)
      }
      if (this.#held > 0) this.#letGo(to, part.count - i - 1)
    }
    part.clear()
  }

  /** Passes on held packets that are due, leaving room for `rest` others. */
  #letGo(to: Batch, rest: number): void {
    for (let slot = 0; slot < this.#slotState.length; slot++) {
      if (to.count + rest >= to.capacity) return
      if (this.#slotState[slot] !== HELD || ((this.#slotDue[slot]! - this.#passed) | 0) > 0) continue
      this.#slotState[slot] = PASSED
      this.#held--
      to.push(this.#slotAt[slot]!, this.#slotLength[slot]!, this.#slotLink[slot]!)
    }
  }

  /** Copies a packet and what is before it into a slot. @param state what the slot becomes; FREE: do not. @returns slot or -1 */
  #store(slab: Slab, at: number, length: number, link: number, state: number): number {
    const slot = state === FREE ? -1 : this.#slotState.indexOf(FREE)
    if (slot === -1) {
      this.counters.spared++
      return -1
    }
    slab.bytes.copyWithin(this.#slotAt[slot]! - HEADROOM, at - HEADROOM, at + length)
    this.#slotLength[slot] = length
    this.#slotLink[slot] = link
    this.#slotState[slot] = state
    return slot
  }

  #damage(slab: Slab, at: number, length: number): void {
    const { bytes, view } = slab
    const header = length < ipv4.HEADER_MIN ? length : ipv4.headerLength(view, at)
    const before = at - vnet.LENGTH
    if (length <= header || vnet.gsoType(view, before) !== vnet.GSO_NONE) {
      this.counters.spared++
      return
    }
    completeChecksum(slab, at, length)
    vnet.clear(view, before)
    const bit = this.#next() % ((length - header) * 8)
    bytes[at + header + (bit >>> 3)]! ^= 1 << (bit & 7)
    this.counters.corrupted++
  }

  #chance(limit: number): boolean {
    return limit !== 0 && this.#next() < limit
  }

  /** 31 random bits: a counter with the golden ratio as its step, scrambled by multiplications and shifts. */
  #next(): number {
    this.#random = (this.#random + 0x9e3779b9) | 0
    let x = this.#random
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d)
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b)
    return (x ^ (x >>> 16)) >>> 1
  }
}

export class FaultDevice implements Device {
  readonly name: string
  readonly offloads: Offloads
  readonly fd: number
  readonly counters: DeviceCounters
  readonly #inner: Device
  readonly #incoming: Lane
  readonly #outgoing: Lane

  /** @throws TsnatError FAULT_RATE for a number that is no probability, FAULT_STORAGE for a region that is too small */
  constructor(inner: Device, options: FaultOptions) {
    this.name = inner.name
    this.offloads = inner.offloads
    this.fd = inner.fd
    this.counters = inner.counters
    this.#inner = inner
    const { incoming = {}, outgoing = {}, seed, storage } = options
    const first = ((storage.start + 63) & ~63) + HEADROOM
    const each = Math.max(0, Math.floor((storage.end - first + HEADROOM) / (2 * FAULT_SLOT)))
    this.#incoming = new Lane('incoming', incoming, seed, first, each)
    this.#outgoing = new Lane('outgoing', outgoing, ~seed, first + each * FAULT_SLOT, each)
  }

  /** What was done to packets received from the device. */
  get incoming(): Readonly<FaultCounters> {
    return this.#incoming.counters
  }

  /** What was done to packets sent to it. */
  get outgoing(): Readonly<FaultCounters> {
    return this.#outgoing.counters
  }

  receive(slab: Slab, region: Region, batch: Batch): number {
    const lane = this.#incoming
    if (!lane.active) return this.#inner.receive(slab, region, batch)
    batch.clear()
    lane.release()
    lane.prepare(batch.capacity)
    const result = this.#inner.receive(slab, region, lane.part)
    if (result < 0) return result
    lane.run(slab, batch)
    return batch.count
  }

  send(slab: Slab, batch: Batch): void {
    const lane = this.#outgoing
    if (!lane.active) {
      this.#inner.send(slab, batch)
      return
    }
    lane.prepare(batch.capacity)
    for (let i = 0; i < batch.count; ) {
      while (i < batch.count && !lane.part.full) {
        lane.part.push(batch.at[i]!, batch.length[i]!, batch.link[i]!)
        i++
      }
      lane.run(slab, lane.out)
      if (lane.out.count > 0) this.#inner.send(slab, lane.out)
      lane.release()
    }
    batch.clear()
  }

  /** Packets that are held back are lost. */
  close(): void {
    this.#inner.close()
  }
}
