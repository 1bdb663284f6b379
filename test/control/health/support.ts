/** Time that moves when it is told to, and a probe that answers what it is told to. */
import type { Timers } from '../../../src/host/wan-neighbours.js'
import type { Outcome, Probe } from '../../../src/control/health/index.js'

interface Timer {
  at: number
  callback: () => void
}

export class FakeTime {
  #now = 0
  readonly #timers = new Set<Timer>()

  readonly clock = (): number => this.#now
  readonly timers: Timers = {
    setTimeout: (callback, milliseconds) => {
      const timer = { at: this.#now + milliseconds, callback }
      this.#timers.add(timer)
      return timer
    },
    clearTimeout: (timer) => void this.#timers.delete(timer as Timer),
  }

  get pending(): number {
    return this.#timers.size
  }

  /** Moves on, calling what is due on the way, in order, and letting promises settle. */
  async advance(seconds: number): Promise<void> {
    const end = this.#now + seconds * 1000
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve))
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = next.at
      next.callback()
    }
    this.#now = end
  }
}

export const HIT: Outcome = { milliseconds: 3 }
export const MISS: Outcome = { missed: 'no answer from 192.0.2.1' }

/** Answers at once, or as long as `silent` only when the attempt is given up. */
export class FakeProbe implements Probe {
  readonly target = '192.0.2.1'
  outcome: Outcome = HIT
  silent = false
  /** Times at which attempts began. */
  readonly attempts: number[] = []
  /** Under way now. */
  open = 0
  readonly #clock: () => number

  constructor(clock: () => number) {
    this.#clock = clock
  }

  attempt(signal: AbortSignal): Promise<Outcome> {
    this.attempts.push(this.#clock())
    if (!this.silent) return Promise.resolve(this.outcome)
    this.open++
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        this.open--
        resolve(MISS)
      })
    })
  }
}
