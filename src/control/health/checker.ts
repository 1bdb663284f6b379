/**
 * Says whether a link works, by asking somebody behind it again and again.
 *
 * Kept: whether the link is alive, and how many attempts in a row were answered or missed; one of the two counts is 0. A link starts
 * alive. As many misses in a row as `fails` says make it dead, as many answers in a row as `passes` says alive again; whatever comes
 * between starts the count anew, so a link that flaps stays what it is. Attempts begin an interval apart, give or take a tenth of
 * it so that many links are not asked in step; one ends before the next begins.
 *
 * Whether the link has a carrier, or is up at all, is told elsewhere: here that shows as misses only.
 */
import { hostTimers } from '../../host/wan-neighbours.js'
import type { Timers } from '../../host/wan-neighbours.js'
import { createProbe } from './probe.js'
import type { Clock, HealthCheck, HealthState, Outcome, Probe, ProbeLink } from './types.js'

export interface HealthCheckerOptions {
  readonly link: ProbeLink
  readonly check: HealthCheck
  /** Called at each change, with what the last attempt said. */
  readonly onChange: (alive: boolean, reason: string) => void
  readonly timers?: Timers
  readonly clock?: Clock
  /** Uniform in [0, 1). */
  readonly random?: () => number
  /** Asks instead of what `check` names. */
  readonly probe?: Probe
}

/** Share of the interval by which an attempt may come earlier or later. */
const JITTER = 0.1
/**
 * Milliseconds from the timeout until the attempt is given up. Timers run before sockets are read: without it, an answer that waits
 * there while this thread was busy would not count.
 */
const GRACE_MILLISECONDS = 1

/** Milliseconds since 1970 that never go back. */
const monotonic: Clock = () => performance.timeOrigin + performance.now()

const times = (count: number, one: string, many: string): string => (count === 1 ? `1 ${one}` : `${count} ${many} in a row`)

export class HealthChecker {
  readonly #check: HealthCheck
  readonly #probe: Probe | null
  readonly #onChange: HealthCheckerOptions['onChange']
  readonly #timers: Timers
  readonly #clock: Clock
  readonly #random: () => number
  #alive = true
  #since: number
  #error: string | null = null
  #misses = 0
  #answers = 0
  #milliseconds: number | null = null
  #running = false
  /** Of the attempt under way. */
  #attempt: AbortController | null = null
  #deadline: unknown
  #next: unknown

  /** @throws TsnatError HEALTH_CHECK when the check cannot be made */
  constructor(options: HealthCheckerOptions) {
    this.#check = options.check
    this.#timers = options.timers ?? hostTimers
    this.#clock = options.clock ?? monotonic
    this.#random = options.random ?? Math.random
    this.#onChange = options.onChange
    this.#probe = options.probe ?? createProbe(options.link, options.check, this.#clock)
    this.#since = this.#clock()
  }

  get state(): HealthState {
    return {
      alive: this.#alive,
      since: this.#since,
      error: this.#error,
      misses: this.#misses,
      answers: this.#answers,
      milliseconds: this.#milliseconds,
    }
  }

  /** Makes the first attempt at once. With a check of type none there is never any. */
  start(): void {
    if (this.#running) return
    this.#running = true
    this.#ask()
  }

  /** Gives up the attempt under way, which then does not count. The state stays; {@link start} goes on from it. */
  stop(): void {
    this.#running = false
    this.#timers.clearTimeout(this.#next)
    this.#timers.clearTimeout(this.#deadline)
    this.#attempt?.abort()
    this.#attempt = null
  }

  /** Makes the next attempt now, unless one is under way: for when something was heard that may have changed the answer. */
  hurry(): void {
    if (!this.#running || this.#attempt !== null) return
    this.#timers.clearTimeout(this.#next)
    this.#ask()
  }

  #ask(): void {
    if (this.#probe === null) return
    const attempt = new AbortController()
    this.#attempt = attempt
    const started = this.#clock()
    this.#deadline = this.#timers.setTimeout(() => {
      this.#deadline = this.#timers.setTimeout(() => attempt.abort(), GRACE_MILLISECONDS)
    }, this.#check.timeout * 1000)
    void this.#probe.attempt(attempt.signal).then((outcome) => {
      if (this.#attempt !== attempt) return
      this.#attempt = null
      this.#timers.clearTimeout(this.#deadline)
      this.#take(outcome)
      if (this.#running) this.#schedule(started)
    })
  }

  /** Of a link in doubt, attempts are so close that all misses that make it dead fit into one interval. */
  #schedule(started: number): void {
    const { interval, fails } = this.#check
    const isInDoubt = this.#alive && this.#misses > 0
    const apart = (isInDoubt ? interval / fails : interval) * 1000 * (1 - JITTER + 2 * JITTER * this.#random())
    this.#next = this.#timers.setTimeout(() => this.#ask(), Math.max(0, started + apart - this.#clock()))
  }

  #take(outcome: Outcome): void {
    if ('missed' in outcome) {
      this.#error = outcome.missed
      this.#answers = 0
      this.#misses++
      if (this.#alive && this.#misses >= this.#check.fails) this.#change(false, `${times(this.#misses, 'miss', 'misses')}: ${outcome.missed}`)
      return
    }
    this.#error = null
    this.#milliseconds = outcome.milliseconds
    this.#misses = 0
    this.#answers++
    if (!this.#alive && this.#answers >= this.#check.passes) this.#change(true, `${times(this.#answers, 'answer', 'answers')} from ${this.#probe!.target}`)
  }

  #change(alive: boolean, reason: string): void {
    this.#alive = alive
    this.#since = this.#clock()
    this.#onChange(alive, reason)
  }
}
