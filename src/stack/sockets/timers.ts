/**
 * Timers of all sockets of a stack: one wheel, moved on by whoever drives the stack.
 *
 * Theory of operation. Time is cut into ticks of a millisecond. There are six levels of 32 slots; a slot of level n is 32^n ticks wide.
 * A timer lies in the list of one slot: on the level of the highest group of five bits in which its tick differs from the current one.
 * So everything on a level comes before everything on the level above, and a bit for each slot that holds something tells what comes
 * next without a search. When the current tick enters a slot of a higher level, what lies there is spread over the levels below.
 * Ticks are counted modulo 2^30; only the highest level can be entered by wrapping, and is searched in a circle.
 *
 * A timer that is moved to a later time stays where it lies, and is put in its new place when its old time comes: moving the deadline
 * of a busy connection on with each segment costs one store. Set and clear are O(1); a timer is touched at most six times on its way
 * down. Nothing is allocated but the timers themselves.
 */

const LEVELS = 6
const BITS = 5
const SLOTS = 1 << BITS
const SLOT_MASK = SLOTS - 1
const TICK_MASK = 2 ** (LEVELS * BITS) - 1
/** Further ahead than this, in ticks, nothing is put; it is put again when it has come there. 11.6 days. */
const FURTHEST = 2 ** (LEVELS * BITS) - 2 ** ((LEVELS - 1) * BITS + 1)
const TOP = LEVELS - 1

/** The lowest bit that is set, 0 … 31; the word is not 0. */
const lowestBit = (word: number) => 31 - Math.clz32(word & -word)

export class Timers {
  readonly #heads: (Timer | null)[] = new Array<Timer | null>(LEVELS * SLOTS).fill(null)
  /** A bit for each slot with something in it, by level. */
  readonly #occupied = new Int32Array(LEVELS)
  /** The first tick that has not been fired, in milliseconds of the clock; while timers fire, the tick that they fire in. */
  #current: number
  #firing = false
  #now: number

  /** @param now milliseconds of the clock that `advance` is told */
  constructor(now: number) {
    this.#now = now
    this.#current = Math.floor(now) + 1
  }

  /** What `advance` was told last, in milliseconds. */
  get now(): number {
    return this.#now
  }

  /**
   * When `advance` is to be called at the latest, in milliseconds; Infinity when no timer is set. It may be some time before the first
   * timer is due, never after it.
   */
  get next(): number {
    const level = this.#firstLevel()
    return level < 0 ? Infinity : this.#current + this.#ahead(level)
  }

  /**
   * Fires what is due, in the order of the milliseconds that it was due in. Each timer that fires sees `now` as the present; one that it
   * sets to a time that is already over fires a millisecond later.
   */
  advance(now: number): void {
    if (now > this.#now) this.#now = now
    const last = Math.floor(this.#now)
    for (let level = this.#firstLevel(); level >= 0; level = this.#firstLevel()) {
      const tick = this.#current + this.#ahead(level)
      if (tick > last + (level > 0 ? 1 : 0)) break
      this.#current = tick
      if (level > 0) this.#spread(level)
      else this.#fire()
    }
    if (this.#current <= last) this.#current = last + 1
  }

  /** For `Timer` only: puts it into the slot of its time. */
  file(timer: Timer): void {
    const earliest = this.#firing ? this.#current + 1 : this.#current
    let tick = Math.ceil(timer.due)
    if (tick < earliest) tick = earliest
    if (tick - this.#current > FURTHEST) tick = this.#current + FURTHEST
    timer.filed = tick
    const differing = (tick ^ this.#current) & TICK_MASK
    const level = differing === 0 ? 0 : ((31 - Math.clz32(differing)) / BITS) | 0
    const slot = (tick >>> (level * BITS)) & SLOT_MASK
    const index = level * SLOTS + slot
    const head = this.#heads[index]!
    timer.slot = index
    timer.before = null
    timer.after = head
    if (head !== null) head.before = timer
    this.#heads[index] = timer
    this.#occupied[level] = this.#occupied[level]! | (1 << slot)
  }

  /** For `Timer` only: takes it out of its slot. */
  unfile(timer: Timer): void {
    const index = timer.slot
    if (timer.after !== null) timer.after.before = timer.before
    if (timer.before !== null) timer.before.after = timer.after
    else {
      this.#heads[index] = timer.after
      if (timer.after === null) {
        const level = (index / SLOTS) | 0
        this.#occupied[level] = this.#occupied[level]! & ~(1 << (index & SLOT_MASK))
      }
    }
    timer.slot = -1
    timer.before = null
    timer.after = null
  }

  #firstLevel(): number {
    for (let level = 0; level < LEVELS; level++) if (this.#occupied[level] !== 0) return level
    return -1
  }

  /** From the current tick to the beginning of the first slot that holds something on a level, in ticks. */
  #ahead(level: number): number {
    const shift = level * BITS
    const here = (this.#current >>> shift) & SLOT_MASK
    let word = this.#occupied[level]!
    let slot = 0
    if (level === TOP) {
      word = here === 0 ? word : (word >>> here) | (word << (SLOTS - here))
      slot = here + lowestBit(word)
    } else slot = lowestBit(word)
    return (slot - here) * 2 ** shift - (this.#current & (2 ** shift - 1))
  }

  #spread(level: number): void {
    const index = level * SLOTS + ((this.#current >>> (level * BITS)) & SLOT_MASK)
    for (let timer = this.#heads[index]!; timer !== null; timer = this.#heads[index]!) {
      this.unfile(timer)
      this.file(timer)
    }
  }

  #fire(): void {
    const index = this.#current & SLOT_MASK
    this.#firing = true
    for (let timer = this.#heads[index]!; timer !== null; timer = this.#heads[index]!) {
      this.unfile(timer)
      if (timer.due > this.#current) this.file(timer)
      else timer.expire()
    }
    this.#firing = false
  }
}

/** One deadline. It fires once for each time that it was set. */
export class Timer {
  /** For `Timers` only: the slot that it lies in, -1 for none, the tick that it lies there for, and its neighbours in the list. */
  slot = -1
  filed = 0
  before: Timer | null = null
  after: Timer | null = null

  readonly #timers: Timers
  readonly #fire: () => void
  #due = Infinity

  constructor(timers: Timers, fire: () => void) {
    this.#timers = timers
    this.#fire = fire
  }

  /** When it fires, in milliseconds; Infinity when it is off. */
  get due(): number {
    return this.#due
  }

  /** Sets it, in place of the time that it was set to before. @param at milliseconds; Infinity turns it off */
  set(at: number): void {
    if (at === Infinity) {
      this.clear()
      return
    }
    this.#due = at
    if (this.slot >= 0) {
      if (at >= this.filed) return
      this.#timers.unfile(this)
    }
    this.#timers.file(this)
  }

  clear(): void {
    this.#due = Infinity
    if (this.slot >= 0) this.#timers.unfile(this)
  }

  /** For `Timers` only. */
  expire(): void {
    this.#due = Infinity
    this.#fire()
  }
}
