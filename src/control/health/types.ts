/** What a health check is asked to do, and what it finds. */
import type { NetworkNamespace } from '../../host/namespace.js'

export type CheckType = 'icmp' | 'tcp' | 'http' | 'arp' | 'none'

export interface HealthCheck {
  readonly type: CheckType
  /**
   * icmp, arp: an IPv4 address, the link's gateway when absent. tcp: `ADDRESS:PORT`. http: a URL whose host is an IPv4 address,
   * such as `http://192.0.2.1:8080/health`.
   */
  readonly target?: string
  /** Seconds from the beginning of an attempt to that of the next, 0.1-86400. */
  readonly interval: number
  /** Seconds until an attempt without an answer has failed, 0.01-3600. One that takes longer than the interval puts off the next. */
  readonly timeout: number
  /** Misses in a row that make the link dead, 1-1000. */
  readonly fails: number
  /** Answers in a row that make it alive again, 1-1000. */
  readonly passes: number
  /** http: the status that counts as an answer, 100-599; when absent, all from 200 to 399. */
  readonly expect?: number
}

/** The numbers to use where none are given. */
export const HEALTH_DEFAULTS = { interval: 5, timeout: 1.5, fails: 3, passes: 3 } as const

/** The link that is checked. What changes while it runs is asked for at each attempt. */
export interface ProbeLink {
  readonly name: string
  readonly namespace: NetworkNamespace
  /** 0 while there is no such interface. */
  ifindex(): number
  /** int32; null while it has no address. */
  source(): number | null
  /** int32; null while there is none. */
  gateway(): number | null
  /**
   * Whether a neighbour on the link has that address (int32), so that it is reached without the gateway. When absent, the subnets that
   * the kernel has on the interface tell.
   */
  isOnLink?(address: number): boolean
}

/** An answer and the round trip in milliseconds, or why none counts. */
export type Outcome = { readonly milliseconds: number } | { readonly missed: string }

export interface Probe {
  /** What is asked, in words. */
  readonly target: string
  /** One attempt. Never rejects, and settles at once when the signal is aborted, which says that the time is over. */
  attempt(signal: AbortSignal): Promise<Outcome>
}

/** Milliseconds that never go back. */
export type Clock = () => number

export interface HealthState {
  readonly alive: boolean
  /** When it became what it is, by the checker's clock; by default milliseconds since 1970. */
  readonly since: number
  /** Why the last attempt failed; null when it was answered, and before the first. */
  readonly error: string | null
  /** Attempts in a row without an answer, up to now. */
  readonly misses: number
  /** Attempts in a row with an answer, up to now. */
  readonly answers: number
  /** Round trip of the last answer in milliseconds; null before the first. */
  readonly milliseconds: number | null
}
