/**
 * When to read from the kernel again.
 *
 * Events only say that something changed; what changed is read anew, as a whole. So nothing depends on the order or the completeness of
 * events: the kernel sends none for routes that vanish with their interface, and drops events under load. Any number of events within
 * one turn of the event loop, or during a read, lead to one further read. Reads are spaced so that at most a fifth of the time goes into
 * them, which bounds the cost of a routing daemon at work. A read that was refused is tried again after a second.
 */
import { TsnatError } from '../errors.js'
import type { Timers } from './wan-neighbours.js'

/** Share of the time that reads may take, as the pause per unit of reading. */
const PAUSE_FACTOR = 4
const RETRY_MILLISECONDS = 1000

export class Reread {
  readonly #read: () => Promise<void>
  readonly #problem: (error: TsnatError) => void
  readonly #timers: Timers
  /** Something changed since the last read began. */
  #dirty = false
  /** A read is under way, or scheduled. */
  #busy = false
  #pause: unknown
  #closed = false

  /** @param read reads and takes over; @param problem the kernel refused a read */
  constructor(read: () => Promise<void>, problem: (error: TsnatError) => void, timers: Timers) {
    this.#read = read
    this.#problem = problem
    this.#timers = timers
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Something changed. */
  mark(): void {
    this.#dirty = true
    if (this.#busy || this.#closed) return
    this.#busy = true
    setImmediate(() => void this.#refresh())
  }

  /** No read begins any more; one that is under way may still end. */
  close(): void {
    this.#closed = true
    this.#timers.clearTimeout(this.#pause)
  }

  async #refresh(): Promise<void> {
    if (this.#closed) return
    const started = performance.now()
    this.#dirty = false
    let pause: number
    try {
      await this.#read()
      pause = (performance.now() - started) * PAUSE_FACTOR
    } catch (error) {
      if (this.#closed) return
      this.#dirty = true
      pause = RETRY_MILLISECONDS
      if (error instanceof TsnatError) this.#problem(error)
    }
    if (this.#closed) return
    this.#pause = this.#timers.setTimeout(() => {
      this.#busy = false
      if (this.#dirty) this.mark()
    }, pause)
  }
}
