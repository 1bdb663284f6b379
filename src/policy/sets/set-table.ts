/**
 * The elements of one set, for the data plane.
 *
 * An element is a record in one Int32Array: its address, its second word (see edits.ts), then, if the set has timeouts,
 * when it expires, then, if the set has counters, packets and bytes as two doubles. That is 8 to 32 bytes; the index adds
 * 5 to 16. Records keep their number for life. A free record has the second word FREE and the next free one as address.
 *
 * A lookup is one probe of the index for `hash:ip` and `hash:ip,port`, one a prefix length in use for nets, from the
 * longest on. Expired elements are not found; `sweep` frees them. Times are kept modulo 2^32 ms: the longest timeout,
 * 2147483 s, is just below half of that, so that an element must be swept within 24 days of its end.
 *
 * Only the thread of the data plane has a table, and writes it. Lookups and removals allocate nothing; adding allocates
 * when the records or the index double.
 */
import { hashWords } from '../../nat/hash-index.js'
import { maskOf } from '../../stack/wire/address.js'
import {
  type ElementColumns, type ElementSetDefinition, ELEMENTS_MAX, emptyColumns, INTERFACE_SHIFT, NOMATCH, PHYSDEV, PREFIX_BITS, type SetPage, WILDCARD,
} from './edits.js'
import { GrowingIndex } from './growing-index.js'
import type { InterfaceNames } from './interface-names.js'
import { slotsFor, strideOf } from './layout.js'
import { holds, type SetQuery } from './query.js'

/** Results of a test. */
export const MISS = 0
export const HIT = 1
/** An element with `nomatch` was the most specific one. */
export const EXCLUDED = 2

/** Results of adding. */
export const ADDED = 0
export const EXISTS = 1
export const FULL = 2

const FREE = -1
const NONE = -1
const RECORDS_MIN = 64
/** Records looked at for an expired one when a packet is added to a full set. */
const SWEEP_FOR_ROOM = 32


export class SetTable {
  readonly definition: ElementSetDefinition
  readonly #names: InterfaceNames
  readonly #isNet: boolean
  readonly #hasInterface: boolean
  /** Bits of the second word that are part of the hashed key. */
  readonly #keyBits: number
  readonly #stride: number
  /** Place of the counters in a record, in doubles. */
  readonly #counterAt: number
  #records!: Int32Array
  #counters!: Float64Array
  #index!: GrowingIndex
  /** Numbers below have been used. */
  #end = 0
  #free = NONE
  #count = 0
  #cursor = 0
  /** Prefix lengths in use, longest first, and how many elements have each. */
  readonly #lengths = new Uint8Array(33)
  #lengthCount = 0
  readonly #ofLength = new Int32Array(33)

  constructor(definition: ElementSetDefinition, names: InterfaceNames) {
    this.definition = definition
    this.#names = names
    this.#hasInterface = definition.kind === 'hash:net,iface'
    this.#isNet = definition.kind === 'hash:net' || this.#hasInterface
    this.#keyBits = this.#isNet ? PREFIX_BITS : -1
    this.#stride = strideOf(definition)
    this.#counterAt = definition.timeout === null ? 1 : 2
    this.flush()
  }

  /** Elements, expired ones included that were not swept yet. */
  get size(): number {
    return this.#count
  }

  /** Bytes in use. */
  get bytes(): number {
    return this.#records.byteLength + this.#index.slots * 4
  }

  /** The prefix length that packets are added and removed with: the longest in use, else 32. */
  get packetPrefix(): number {
    return this.#lengthCount > 0 ? this.#lengths[0]! : 32
  }

  flush(): void {
    this.#end = 0
    this.#allocate(RECORDS_MIN)
    this.#index = new GrowingIndex(
      slotsFor(this.definition, 0),
      (number) => this.#hash(this.#records[number * this.#stride]!, this.#records[number * this.#stride + 1]!),
      (number) => this.#records[number * this.#stride + 1] !== FREE,
    )
    this.#free = NONE
    this.#count = 0
    this.#cursor = 0
    this.#lengthCount = 0
    this.#ofLength.fill(0)
  }

  /** Whether the packet that the query describes is in the set. Counts it, if the set counts and the query says so. */
  test(query: SetQuery): number {
    return this.#isNet ? this.#testNets(query) : this.#testExact(query)
  }

  /**
   * The number of an element, or -1. Its timeout does not count.
   * @param part its second word; of flags, only PHYSDEV counts
   */
  find(address: number, part: number): number {
    const hash = this.#hash(address, part)
    for (let slot = this.#index.first(hash); slot >= 0; slot = this.#index.next(slot, hash)) {
      const number = this.#index.numberAt(slot)
      if (this.#sameKey(number, address, part) && (!this.#hasInterface || this.#sameInterface(number, part))) return number
    }
    return NONE
  }

  isExpired(number: number, now: number): boolean {
    if (this.definition.timeout === null) return false
    const expiry = this.#records[number * this.#stride + 2]!
    return expiry !== 0 && ((now - expiry) | 0) >= 0
  }

  /**
   * Adds an element.
   * @param part its second word, flags included
   * @param exist an element that is there gets flags, timeout and counters anew
   * @param milliseconds until it expires, 0: never
   * @param packets -1: as they are, 0 for a new element
   * @param thorough a full set is searched as a whole for expired elements
   * @returns ADDED, EXISTS or FULL
   */
  add(address: number, part: number, exist: boolean, milliseconds: number, packets: number, bytes: number, now: number, thorough: boolean): number {
    let number = this.find(address, part)
    const isNew = number === NONE
    if (isNew) {
      if (this.#count >= this.#limit && !this.#makeRoom(now, thorough)) return FULL
      number = this.#insert(address, part)
    } else if (!exist && !this.isExpired(number, now)) {
      return EXISTS
    } else {
      this.#refresh(number, part)
    }
    this.#setExtensions(number, isNew, milliseconds, packets, bytes, now)
    return ADDED
  }

  /** Removes an element; false when there is none, or it is expired. */
  remove(address: number, part: number, now: number): boolean {
    const number = this.find(address, part)
    if (number === NONE) return false
    const wasLive = !this.isExpired(number, now)
    this.#delete(number)
    return wasLive
  }

  /** Looks at some records, in turn, and frees the expired ones. Returns how many it freed. */
  sweep(now: number, records: number): number {
    if (this.definition.timeout === null) return 0
    let freed = 0
    for (let left = Math.min(records, this.#end); left > 0; left--) {
      this.#cursor = this.#cursor + 1 < this.#end ? this.#cursor + 1 : 0
      if (this.#isLive(this.#cursor) && this.isExpired(this.#cursor, now)) {
        this.#delete(this.#cursor)
        freed++
      }
    }
    return freed
  }

  /** Live elements among `limit` records from number `from` on. Allocates. */
  page(from: number, limit: number, now: number): SetPage {
    const elements = emptyColumns(this.definition)
    const interfaces = new Map<number, number>()
    const stop = Math.min(from + limit, this.#end)
    for (let number = from; number < stop; number++) {
      if (this.#isLive(number) && !this.isExpired(number, now)) this.#write(number, elements, interfaces, now)
    }
    return { elements, next: stop < this.#end ? stop : -1 }
  }

  #write(number: number, elements: ElementColumns, interfaces: Map<number, number>, now: number): void {
    const at = number * this.#stride
    const part = this.#records[at + 1]!
    elements.addresses.push(this.#records[at]!)
    elements.parts.push(this.#hasInterface ? this.#exported(part, elements.interfaces, interfaces) : part)
    const expiry = this.#records[at + 2]!
    elements.milliseconds?.push(expiry === 0 ? 0 : Math.max(1, (expiry - now) | 0))
    elements.packets?.push(this.#counters[at / 2 + this.#counterAt]!)
    elements.bytes?.push(this.#counters[at / 2 + this.#counterAt + 1]!)
  }

  /** The second word with a number of the page's own for the interface. */
  #exported(part: number, names: string[], known: Map<number, number>): number {
    const own = part >>> INTERFACE_SHIFT
    let number = known.get(own)
    if (number === undefined) known.set(own, (number = names.push(this.#names.nameOf(own)) - 1))
    return (part & ((1 << INTERFACE_SHIFT) - 1)) | (number << INTERFACE_SHIFT)
  }

  get #limit(): number {
    return Math.min(this.definition.maxElements, ELEMENTS_MAX)
  }

  #hash(address: number, part: number): number {
    return hashWords(this.definition.seed, address, part & this.#keyBits, 0, 0)
  }

  #isLive(number: number): boolean {
    return this.#records[number * this.#stride + 1] !== FREE
  }

  #sameKey(number: number, address: number, part: number): boolean {
    const at = number * this.#stride
    return this.#records[at] === address && ((this.#records[at + 1]! ^ part) & this.#keyBits) === 0
  }

  /** The interface of the element is that of `part`, or a beginning of its name. */
  #sameInterface(number: number, part: number): boolean {
    const own = this.#records[number * this.#stride + 1]!
    if (((own ^ part) & PHYSDEV) !== 0) return false
    if ((own & WILDCARD) === 0) return own >>> INTERFACE_SHIFT === part >>> INTERFACE_SHIFT
    return this.#names.beginsWith(part >>> INTERFACE_SHIFT, own >>> INTERFACE_SHIFT)
  }

  #testExact(query: SetQuery): number {
    const address = query.address & this.definition.mask
    const hash = this.#hash(address, query.part)
    for (let slot = this.#index.first(hash); slot >= 0; slot = this.#index.next(slot, hash)) {
      const number = this.#index.numberAt(slot)
      if (this.#sameKey(number, address, query.part)) return this.#accepts(number, query) ? HIT : MISS
    }
    return MISS
  }

  /**
   * The most specific network first. Of sets with interfaces, the first network that holds the address decides, whether or
   * not it has the interface: shorter prefixes are looked at only if there is none. So does the kernel.
   */
  #testNets(query: SetQuery): number {
    for (let index = 0; index < this.#lengthCount; index++) {
      const length = this.#lengths[index]!
      const address = query.address & maskOf(length)
      const hash = this.#hash(address, length)
      let isHere = false
      for (let slot = this.#index.first(hash); slot >= 0; slot = this.#index.next(slot, hash)) {
        const number = this.#index.numberAt(slot)
        if (!this.#sameKey(number, address, length)) continue
        isHere = true
        if (this.#hasInterface && !this.#sameInterface(number, query.interface << INTERFACE_SHIFT)) continue
        if (this.#accepts(number, query)) return (this.#records[number * this.#stride + 1]! & NOMATCH) !== 0 ? EXCLUDED : HIT
        isHere = false
      }
      if (isHere && this.#hasInterface) return MISS
    }
    return MISS
  }

  /** Whether an element that fits is alive and has counted what the query wants; counts first. */
  #accepts(number: number, query: SetQuery): boolean {
    if (this.isExpired(number, query.now)) return false
    if (!this.definition.counters) return true
    const at = (number * this.#stride) / 2 + this.#counterAt
    if (query.updateCounters) {
      this.#counters[at]!++
      this.#counters[at + 1]! += query.length
    }
    return (query.packets === null || holds(query.packets, this.#counters[at]!)) &&
      (query.bytes === null || holds(query.bytes, this.#counters[at + 1]!))
  }

  #insert(address: number, part: number): number {
    let number = this.#free
    if (number === NONE) {
      if ((this.#end + 1) * this.#stride > this.#records.length) this.#allocate(this.#end * 2)
      number = this.#end++
    } else {
      this.#free = this.#records[number * this.#stride]!
    }
    this.#records[number * this.#stride] = address
    this.#records[number * this.#stride + 1] = part
    this.#index.insert(this.#hash(address, part), number, this.#end)
    this.#count++
    if (this.#isNet && this.#ofLength[part & PREFIX_BITS]!++ === 0) this.#listLengths()
    return number
  }

  #delete(number: number): void {
    const at = number * this.#stride
    const part = this.#records[at + 1]!
    this.#index.remove(this.#hash(this.#records[at]!, part), number)
    this.#records[at] = this.#free
    this.#records[at + 1] = FREE
    this.#free = number
    this.#count--
    if (this.#isNet && --this.#ofLength[part & PREFIX_BITS]! === 0) this.#listLengths()
  }

  /** Only NOMATCH changes on an element that is there: a name, once a beginning of names, stays one. */
  #refresh(number: number, part: number): void {
    if (!this.#isNet) return
    const at = number * this.#stride + 1
    this.#records[at] = (this.#records[at]! & ~NOMATCH) | (part & NOMATCH)
  }

  #setExtensions(number: number, isNew: boolean, milliseconds: number, packets: number, bytes: number, now: number): void {
    const at = number * this.#stride
    if (this.definition.timeout !== null) {
      const expiry = (now + milliseconds) | 0
      this.#records[at + 2] = milliseconds === 0 ? 0 : expiry === 0 ? 1 : expiry
    }
    if (!this.definition.counters) return
    const counter = at / 2 + this.#counterAt
    if (isNew || packets >= 0) this.#counters[counter] = Math.max(0, packets)
    if (isNew || bytes >= 0) this.#counters[counter + 1] = Math.max(0, bytes)
  }

  #makeRoom(now: number, thorough: boolean): boolean {
    if (this.sweep(now, thorough ? this.#end : SWEEP_FOR_ROOM) > 0) return true
    if (!this.definition.forceAdd || this.#count === 0) return false
    do this.#cursor = this.#cursor + 1 < this.#end ? this.#cursor + 1 : 0
    while (!this.#isLive(this.#cursor))
    this.#delete(this.#cursor)
    return true
  }

  #listLengths(): void {
    this.#lengthCount = 0
    for (let length = 32; length >= 0; length--) if (this.#ofLength[length]! > 0) this.#lengths[this.#lengthCount++] = length
  }

  #allocate(records: number): void {
    const words = new Int32Array(Math.max(RECORDS_MIN, records) * this.#stride)
    if (this.#end > 0) words.set(this.#records.subarray(0, this.#end * this.#stride))
    this.#records = words
    this.#counters = new Float64Array(words.buffer)
  }
}
