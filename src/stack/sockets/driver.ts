/**
 * Drives what lives by a clock on Node's event loop: a stack with its device, or several of them.
 *
 * Theory of operation. A turn reads the clock, lets fire what is due, and pumps packets as long as there are any, but no longer than the
 * rest of the program can wait. Turns are caused by the device (a watch tells when it is readable), by Node's timer for the next
 * deadline, and by whoever uses a socket: `attend` brings the clock up to date at once, and a turn follows when the program's own
 * code has run, so that what it has sent meanwhile leaves in one batch.
 *
 * Node's timer is moved only to an earlier time; when it fires too early it is set anew.
 *
 * The process stays alive as long as somebody holds it (open sockets do), or something is left to be done at once.
 */
import { performance } from 'node:perf_hooks'
import { native } from '../../native.js'

export interface Driven {
  /** Lets fire what is due. @param now milliseconds, never less than before */
  advance(now: number): void
  /** Receives and sends what there is. @returns how many packets there were; -errno when nothing more can come */
  pump(): number
  /** When `advance` is needed at the latest, milliseconds; Infinity when only packets bring something to do. */
  readonly next: number
}

export interface DriverOptions {
  /** Milliseconds; never goes back. Default: Node's monotonic clock. */
  clock?: () => number
  /** Descriptor that tells by being readable that there are packets; -1, the default, for none. */
  fd?: number
  /** Nothing more can come, for this reason. The driver has been closed. */
  onGone?: (errno: number) => void
}

/** Pumps without a break. */
const TURN = 16
/** The longest time that a timer of Node can be set to, milliseconds. */
const LONGEST = 2 ** 31 - 1

export class Driver {
  readonly #driven: Driven
  readonly #clock: () => number
  readonly #watch: object | null
  /** The watch will call. */
  #isArmed = true
  readonly #onGone: (errno: number) => void
  #timer: NodeJS.Timeout | null = null
  #timerAt = Infinity
  /** Keeps the process alive. */
  #anchor: NodeJS.Timeout | null = null
  #holds = 0
  #isRunning = false
  #isDue = false
  #isClosed = false

  constructor(driven: Driven, { clock = () => performance.now(), fd = -1, onGone = () => {} }: DriverOptions = {}) {
    this.#driven = driven
    this.#clock = clock
    this.#onGone = onGone
    this.#watch = fd < 0 ? null : native().watchOpen(fd, () => this.#onReadable())
    if (this.#watch !== null) native().watchRef(this.#watch, false)
    this.attend()
  }

  /** To be called before a socket is used. */
  readonly attend = (): void => {
    if (this.#isRunning || this.#isClosed) return
    this.#advance()
    this.wake()
  }

  /** There is something to be sent or received. */
  readonly wake = (): void => {
    if (this.#isDue || this.#isRunning || this.#isClosed) return
    this.#isDue = true
    queueMicrotask(() => {
      if (this.#isDue) this.#turn()
    })
  }

  /** Keeps the process alive until `release` has been called as often. */
  hold(): void {
    if (this.#holds++ === 0 && !this.#isClosed) this.#anchor = setInterval(() => {}, LONGEST)
  }

  release(): void {
    if (--this.#holds > 0 || this.#anchor === null) return
    clearInterval(this.#anchor)
    this.#anchor = null
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#watch !== null) native().watchClose(this.#watch)
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#anchor !== null) clearInterval(this.#anchor)
    this.#anchor = null
  }

  #advance(): void {
    this.#isRunning = true
    try {
      this.#driven.advance(this.#clock())
    } finally {
      this.#isRunning = false
    }
  }

  #onReadable(): void {
    this.#isArmed = false
    this.#turn()
  }

  #turn(): void {
    if (this.#isClosed || this.#isRunning) return
    this.#isDue = false
    this.#isRunning = true
    let count = 1
    try {
      for (let pumps = 0; pumps < TURN && count > 0; pumps++) {
        this.#driven.advance(this.#clock())
        count = this.#driven.pump()
      }
    } finally {
      this.#isRunning = false
      this.#goOn(count)
    }
  }

  #goOn(count: number): void {
    if (this.#isClosed) return
    if (count < 0) {
      this.close()
      this.#onGone(-count)
      return
    }
    if (count > 0) {
      this.#isDue = true
      setImmediate(() => this.#turn())
      return
    }
    if (this.#watch !== null && !this.#isArmed) {
      this.#isArmed = true
      native().watchRearm(this.#watch)
    }
    const { next } = this.#driven
    if (next < this.#timerAt) this.#setTimer(next)
  }

  #setTimer(at: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timerAt = at
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#timerAt = Infinity
      this.#turn()
    }, Math.min(LONGEST, Math.max(0, Math.ceil(at - this.#clock()))))
    this.#timer.unref()
  }
}
